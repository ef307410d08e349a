/* pattern.c: regex_match: the answer matches a regular expression of Python's re.
 *
 * The pattern is the option `pattern`; without it, each document's targets are patterns, of which any may match. whole:
 * true asks for a match of the whole answer (re.fullmatch), else one anywhere in it will do (re.search); ignore_case: true
 * folds case by Unicode. All patterns are compiled when the task is read, so that a broken one is found before the model is
 * asked. */
#include "base/base.h"

#include "evals/metric_int.h"

struct pattern {
	struct pyregex *regex; /* NULL: the targets are patterns */
	bool whole, ignore_case;
};

/* The pattern is compiled as it stands first, so that an error points into what was written. */
static int compile(struct pyregex **out, const struct pattern *p, const char *pattern)
{
	int rc = pyregex_compile(out, pattern);
	char *wrapped;

	if (rc || (!p->whole && !p->ignore_case))
		return rc;
	pyregex_free(*out);
	wrapped = mem_printf("%s(?%s:%s)%s", p->whole ? "\\A" : "", p->ignore_case ? "i" : "", pattern,
			     p->whole ? "\\Z" : "");
	rc = pyregex_compile(out, wrapped);
	free(wrapped);
	return rc;
}

static int find(bool *found, const struct pyregex *re, const struct buf *text)
{
	struct buf part = BUF_INIT(BUF_NOLIMIT);
	enum pyregex_found what = PYREGEX_NOTHING;
	int rc = pyregex_find(re, text, 0, &part, &what);

	buf_release(&part);
	*found = what != PYREGEX_NOTHING;
	return rc;
}

int check_pattern(const struct task_metric *m, const struct instance *in)
{
	const struct pattern *p = m->options;
	struct pyregex *re;

	for (size_t i = 0; !p->regex && i < in->n_targets; i++) {
		if (compile(&re, p, in->targets[i]))
			return err_context(ERR_INPUT, "regex_match: the target is no regular expression");
		pyregex_free(re);
	}
	return 0;
}

int score_pattern(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	const struct pattern *p = m->options;
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	bool found = false;
	int rc = 0;

	utf8_repair(&text, o->text, o->len);
	if (p->regex)
		rc = find(&found, p->regex, &text);
	for (size_t i = 0; !p->regex && i < o->in->n_targets && !found && !rc; i++) {
		struct pyregex *re;

		rc = compile(&re, p, o->in->targets[i]);
		if (!rc) {
			rc = find(&found, re, &text);
			pyregex_free(re);
		}
	}
	out->score = found;
	buf_release(&text);
	return rc ? err_context(rc, "regex_match") : 0;
}

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct pattern *p = m->options = mem_alloc(sizeof(*p));
	const char *pattern = NULL;
	int rc = yaml_get_text(src->y, entry, "pattern", &pattern);

	rc = rc ? rc : yaml_get_flag(src->y, entry, "whole", &p->whole);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "ignore_case", &p->ignore_case);
	if (!rc && pattern && compile(&p->regex, p, pattern)) {
		p->regex = NULL;
		rc = yaml_error(src->y, entry, "pattern", "%s", err_text());
	}
	return rc;
}

static void options_free(void *options)
{
	struct pattern *p = options;

	pyregex_free(p->regex);
	free(p);
}

static const char *const keys[] = { "pattern", "whole", "ignore_case" };
const struct metric_options pattern_options = { keys, ARRAY_LEN(keys), options_load, options_free };
