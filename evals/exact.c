/* exact.c: exact_match, and the normalisation of texts before they are compared.
 *
 * In the harness's order: regexes_to_ignore, lower case, ASCII punctuation, ASCII digits; of the answer and of each target.
 * Any target will do. Regular expressions (pyregex.c) and lower case (base/lettercase.h) are Python's. Invalid UTF-8 of a model is U+FFFD. */
#include "base/base.h"

#include "base/lettercase.h"
#include "evals/metric_int.h"

enum { REGEXES_MAX = 32 };

static void drop_bytes(struct buf *s, const char *from, const char *to)
{
	size_t kept = 0;

	for (size_t at = 0; at < s->len; at++) {
		char c = s->data[at];
		bool drop = false;

		for (size_t i = 0; from[i]; i++)
			drop |= c >= from[i] && c <= to[i];
		if (!drop)
			s->data[kept++] = c;
	}
	if (s->data)
		s->data[kept] = 0;
	s->len = kept;
}

static void lower(struct buf *s)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);

	case_lower(&out, buf_str(s), s->len);
	buf_release(s);
	*s = out;
}

int exact_normal(struct buf *s, const struct exact *e)
{
	int rc = 0;

	for (size_t i = 0; i < e->n_regexes && !rc; i++)
		rc = pyregex_remove(e->regexes[i], s);
	if (rc)
		return rc;
	if (e->ignore_case)
		lower(s);
	if (e->ignore_punctuation)
		drop_bytes(s, "!:[{", "/@`~");
	if (e->ignore_numbers)
		drop_bytes(s, "0", "9");
	return 0;
}

/* The choice that a label names; below 0 from the end, as Python's lists have it. */
static const struct loglik_result *choice_of(const struct outcome *o, int gold)
{
	int n = (int)o->in->n_choices, at = gold < 0 ? gold + n : gold;

	return gold == GOLD_NONE || at < 0 || at >= n ? NULL : &o->ll[at];
}

/* The harness ends at an index beyond the list. */
int check_exact(const struct task_metric *m, const struct instance *in)
{
	for (size_t i = 0; i < in->n_gold; i++)
		if (in->gold[i] != GOLD_NONE && in->gold[i] < -(int)in->n_choices)
			return err_set(ERR_INPUT, "%s: the right answer is %d, and there are %zu choices",
				       m->kind->name, in->gold[i], in->n_choices);
	return 0;
}

int score_exact(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	struct buf said = BUF_INIT(BUF_NOLIMIT), right = BUF_INIT(BUF_NOLIMIT);
	int rc;

	if (o->in->n_gold) { /* multiple choice */
		for (size_t i = 0; i < o->in->n_gold; i++) {
			const struct loglik_result *choice = choice_of(o, o->in->gold[i]);

			if (choice && choice->greedy)
				out->score = 1;
		}
		return 0;
	}
	utf8_repair(&said, o->text, o->len);
	rc = exact_normal(&said, m->options);
	for (size_t i = 0; i < o->in->n_targets && !rc; i++) {
		buf_clear(&right);
		utf8_repair(&right, o->in->targets[i], strlen(o->in->targets[i]));
		rc = exact_normal(&right, m->options);
		if (!rc && said.len == right.len && memcmp(buf_str(&said), buf_str(&right), said.len) == 0)
			out->score = 1;
	}
	buf_release(&right);
	buf_release(&said);
	return rc ? err_context(rc, "exact_match") : 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int regexes_load(struct exact *e, const struct source *src, json_t *entry)
{
	json_t *list = json_object_get(entry, "regexes_to_ignore"), *pattern;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > REGEXES_MAX)
		return yaml_error(src->y, entry, "regexes_to_ignore", "expected a list of at most %d texts",
				  REGEXES_MAX);
	e->regexes = mem_array(json_array_size(list) + 1, sizeof(*e->regexes));
	json_array_foreach(list, i, pattern)
	{
		if (!json_is_string(pattern))
			return yaml_error(src->y, entry, "regexes_to_ignore", "expected a list of texts");
		if (pyregex_compile(&e->regexes[i], json_string_value(pattern)))
			return yaml_error(src->y, entry, "regexes_to_ignore", "%s", err_text());
		e->n_regexes++;
	}
	return 0;
}

int exact_load(struct exact *e, const struct source *src, json_t *entry)
{
	int rc = yaml_get_flag(src->y, entry, "ignore_case", &e->ignore_case);

	rc = rc ? rc : yaml_get_flag(src->y, entry, "ignore_punctuation", &e->ignore_punctuation);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "ignore_numbers", &e->ignore_numbers);
	return rc ? rc : regexes_load(e, src, entry);
}

void exact_release(struct exact *e)
{
	for (size_t i = 0; i < e->n_regexes; i++)
		pyregex_free(e->regexes[i]);
	free(e->regexes);
}

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	m->options = mem_alloc(sizeof(struct exact));
	return exact_load(m->options, src, entry);
}

static void options_free(void *options)
{
	exact_release(options);
	free(options);
}

static const char *const keys[] = { EXACT_KEYS };
const struct metric_options exact_options = { keys, ARRAY_LEN(keys), options_load, options_free };
