/* chrf.c: corpus chrF and chrF++ as sacrebleu computes them.
 *
 * A sample gives three numbers for each order: n-grams of the answer (0 if the reference has none), of the reference, and
 * those that both have; of character n-grams (1 to char_order, white space left out) and then of word n-grams (1 to
 * word_order: 0 in chrf, 2 in chrf++). Of several references the one with the best score counts. The value is made of
 * their sums: precision and recall averaged over the orders that both sides have, then
 *
 *	100 (1 + 4) P R / (4 P + R)                                          (beta = 2)
 *
 * Words are parted at white space, and from the one ASCII punctuation mark at their end, else at their beginning.
 *
 * Options: char_order (6), word_order, lowercase (false), whitespace (false: without white space). */
#include "base/base.h"

#include "base/lettercase.h"
#include "evals/mt_int.h"

enum { CHAR_ORDER_MAX = 6, WORD_ORDER_MAX = 2 };

struct chrf {
	int64_t char_order, word_order;
	bool lowercase, whitespace;
};
struct side { /* an answer or a reference */
	struct row points, words;
	struct grams point_grams, word_grams;
};

/* ---- one text ---------------------------------------------------------------------------------------------------- */

static bool is_mark(char c)
{
	return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

static void add_parted(struct row *r, struct words *w, const char *s, size_t len)
{
	size_t used;

	utf8_next(s, len, &used);
	if (used < len && is_mark(s[len - 1])) {
		row_add_word(r, w, s, len - 1);
		row_add_word(r, w, s + len - 1, 1);
	} else if (used < len && is_mark(*s)) {
		row_add_word(r, w, s, 1);
		row_add_word(r, w, s + 1, len - 1);
	} else {
		row_add_word(r, w, s, len);
	}
}

static void side_init(struct side *d, const struct chrf *c, struct words *w, const char *s, size_t len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	const char *p, *end, *word;
	size_t used, n;

	*d = (struct side){ 0 };
	if (c->lowercase)
		case_lower(&text, s, len);
	else
		utf8_repair(&text, s, len);
	p = buf_str(&text);
	end = p + text.len;
	for (const char *q = p; q < end; q += used) {
		uint32_t point = utf8_next(q, (size_t)(end - q), &used);

		if (c->whitespace || !utf8_is_space(point))
			row_add(&d->points, point);
	}
	while (c->word_order && next_word(&p, end, &word, &n))
		add_parted(&d->words, w, word, n);
	grams_init(&d->point_grams, &d->points, (size_t)c->char_order);
	grams_init(&d->word_grams, &d->words, (size_t)c->word_order);
	buf_release(&text);
}

static void side_release(struct side *d)
{
	grams_release(&d->point_grams);
	grams_release(&d->word_grams);
	row_release(&d->points);
	row_release(&d->words);
}

/* ---- one sample -------------------------------------------------------------------------------------------------- */

static void compare(double *parts, const struct grams *hyp, const struct grams *ref, size_t order)
{
	parts[1] = (double)grams_count(ref, order);
	parts[0] = parts[1] > 0 ? (double)grams_count(hyp, order) : 0;
	parts[2] = (double)grams_shared(hyp, ref, 1, order);
}

double chrf_value(const double *sums, size_t n_parts)
{
	double precision = 0, recall = 0, orders = 0;

	for (size_t i = 0; i + 2 < n_parts; i += 3)
		if (sums[i] > 0 && sums[i + 1] > 0) {
			precision += sums[i + 2] / sums[i];
			recall += sums[i + 2] / sums[i + 1];
			orders++;
		}
	if (!(precision + recall > 0))
		return 0;
	precision /= orders;
	recall /= orders;
	return 100 * (5 * precision * recall / (4 * precision + recall));
}

int score_chrf(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	const struct chrf *c = m->options;
	double parts[3 * (CHAR_ORDER_MAX + WORD_ORDER_MAX)];
	struct side hyp, ref;
	struct words w;

	words_init(&w);
	side_init(&hyp, c, &w, o->text, o->len);
	for (size_t i = 0; i < o->in->n_targets; i++) {
		double *next = parts, f;

		side_init(&ref, c, &w, o->in->targets[i], strlen(o->in->targets[i]));
		for (size_t n = 1; n <= (size_t)c->char_order; n++, next += 3)
			compare(next, &hyp.point_grams, &ref.point_grams, n);
		for (size_t n = 1; n <= (size_t)c->word_order; n++, next += 3)
			compare(next, &hyp.word_grams, &ref.word_grams, n);
		f = chrf_value(parts, m->n_parts);
		if (!i || f > out->score) {
			out->score = f;
			memcpy(out->parts, parts, m->n_parts * sizeof(*parts));
		}
		side_release(&ref);
	}
	side_release(&hyp);
	words_release(&w);
	return 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int load(struct task_metric *m, const struct source *src, json_t *entry, int64_t word_order)
{
	struct chrf *c = m->options = mem_alloc(sizeof(*c));
	int rc;

	c->char_order = CHAR_ORDER_MAX;
	c->word_order = word_order;
	rc = yaml_get_int(src->y, entry, "char_order", 1, CHAR_ORDER_MAX, &c->char_order);
	rc = rc ? rc : yaml_get_int(src->y, entry, "word_order", 0, WORD_ORDER_MAX, &c->word_order);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "lowercase", &c->lowercase);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "whitespace", &c->whitespace);
	m->n_parts = 3 * (size_t)(c->char_order + c->word_order);
	return rc;
}

static int load_chrf(struct task_metric *m, const struct source *src, json_t *entry)
{
	return load(m, src, entry, 0);
}

static int load_chrfpp(struct task_metric *m, const struct source *src, json_t *entry)
{
	return load(m, src, entry, 2);
}

static const char *const keys[] = { "char_order", "word_order", "lowercase", "whitespace" };
const struct metric_options chrf_options = { keys, ARRAY_LEN(keys), load_chrf, free };
const struct metric_options chrfpp_options = { keys, ARRAY_LEN(keys), load_chrfpp, free };
