/* bag.c: answers that are collections, where the order says nothing.
 *
 *	set_match  the set of the answer's items is the target's
 *	set_f1     2 |both| / (|answer| + |target|) of the two sets; 1 if both are empty
 *	token_f1   the same of words, each as often as it stands there: the F1 of SQuAD, of the best target
 *
 * Items of a set stand between separators; white space around them and empty ones do not count, nor how often one is
 * there. A target that is a list is the set itself; a target that is one text is parted like the answer. Before they are
 * compared, items go through the normalisation of exact_match. token_f1 has SQuAD's: lower case, without ASCII punctuation
 * and without the words a, an, the; two texts of which one has no words left are equal or have nothing in common.
 *
 * Options of the sets: separator (","), and those of exact_match. */
#include "base/base.h"

#include "base/lettercase.h"
#include "evals/mt_int.h"

struct set {
	struct exact exact;
	char *separator;
};

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static void strip(const char **s, size_t *len)
{
	const char *from = NULL, *to = *s, *end = *s + *len;
	size_t used;

	for (const char *p = *s; p < end; p += used)
		if (!utf8_is_space(utf8_next(p, (size_t)(end - p), &used))) {
			from = from ? from : p;
			to = p + used;
		}
	*len = from ? (size_t)(to - from) : 0;
	*s = from ? from : *s;
}

static int add_item(struct map *items, const struct set *set, const char *s, size_t len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc;

	strip(&s, &len);
	utf8_repair(&text, s, len);
	rc = exact_normal(&text, &set->exact);
	if (!rc && text.len)
		map_put(items, buf_str(&text), text.len, 1);
	buf_release(&text);
	return rc;
}

static int add_items(struct map *items, const struct set *set, const char *s, size_t len)
{
	size_t skip = strlen(set->separator);
	const char *end = s + len;
	int rc = 0;

	while (!rc) {
		const char *at = memmem(s, (size_t)(end - s), set->separator, skip);

		rc = add_item(items, set, s, (size_t)((at ? at : end) - s));
		if (!at)
			break;
		s = at + skip;
	}
	return rc;
}

struct shared {
	size_t said, right, both;
};

static int compare_sets(struct shared *out, const struct task_metric *m, const struct outcome *o)
{
	const struct set *set = m->options;
	char *const *targets = o->in->targets;
	struct map said, all;
	int rc;

	map_init(&said);
	map_init(&all);
	rc = add_items(&said, set, o->text, o->len);
	out->said = said.len;
	if (!rc && o->in->n_targets == 1)
		rc = add_items(&all, set, targets[0], strlen(targets[0]));
	for (size_t i = 0; i < o->in->n_targets && o->in->n_targets > 1 && !rc; i++)
		rc = add_item(&all, set, targets[i], strlen(targets[i]));
	out->right = all.len;
	rc = rc ? rc : add_items(&all, set, o->text, o->len); /* what is not new then is in both */
	out->both = out->said + out->right - all.len;
	map_release(&said);
	map_release(&all);
	return rc ? err_context(rc, "%s", m->kind->name) : 0;
}

int score_set_match(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	struct shared s = { 0 };
	int rc = compare_sets(&s, m, o);

	out->score = s.both == s.said && s.both == s.right;
	return rc;
}

int score_set_f1(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	struct shared s = { 0 };
	int rc = compare_sets(&s, m, o);

	out->score = s.said + s.right ? 2 * (double)s.both / (double)(s.said + s.right) : 1;
	return rc;
}

static int set_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct set *set = m->options = mem_alloc(sizeof(*set));
	const char *separator = ",";
	int rc = yaml_get_text(src->y, entry, "separator", &separator);

	if (!rc && !*separator)
		rc = yaml_error(src->y, entry, "separator", "separator must be text that is not empty");
	set->separator = mem_str(separator);
	return rc ? rc : exact_load(&set->exact, src, entry);
}

static void set_free(void *options)
{
	struct set *set = options;

	exact_release(&set->exact);
	free(set->separator);
	free(set);
}

static const char *const set_keys[] = { "separator", EXACT_KEYS };
const struct metric_options set_options = { set_keys, ARRAY_LEN(set_keys), set_load, set_free };

/* ---- words ------------------------------------------------------------------------------------------------------- */

struct squad {
	struct exact exact;
	struct regex *articles;
};

static int read_words(struct row *out, struct words *w, const struct squad *squad, const char *s, size_t len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc;

	utf8_repair(&text, s, len);
	rc = exact_normal(&text, &squad->exact);
	rc = rc ? rc : regex_replace(&text, squad->articles, " ");
	if (!rc)
		row_add_words(out, w, buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}

int score_token_f1(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	struct row said = { 0 };
	struct grams said_grams;
	struct words w;
	int rc;

	words_init(&w);
	rc = read_words(&said, &w, m->options, o->text, o->len);
	grams_init(&said_grams, &said, 1);
	for (size_t i = 0; i < o->in->n_targets && !rc; i++) {
		struct row right = { 0 };
		struct grams right_grams;
		double f;

		rc = read_words(&right, &w, m->options, o->in->targets[i], strlen(o->in->targets[i]));
		grams_init(&right_grams, &right, 1);
		f = said.n && right.n
			    ? 2 * (double)grams_shared(&said_grams, &right_grams, 1, 1) / (double)(said.n + right.n)
			    : said.n == right.n;
		out->score = f > out->score ? f : out->score;
		grams_release(&right_grams);
		row_release(&right);
	}
	grams_release(&said_grams);
	row_release(&said);
	words_release(&w);
	return rc ? err_context(rc, "token_f1") : 0;
}

static int squad_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct squad *squad = m->options = mem_alloc(sizeof(*squad));

	(void)src;
	(void)entry;
	squad->exact.ignore_case = squad->exact.ignore_punctuation = true;
	return regex_new(&squad->articles, "\\b(a|an|the)\\b");
}

static void squad_free(void *options)
{
	struct squad *squad = options;

	regex_free(squad->articles);
	free(squad);
}

const struct metric_options squad_options = { NULL, 0, squad_load, squad_free };
