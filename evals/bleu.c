/* bleu.c: corpus BLEU as sacrebleu computes it.
 *
 * A sample gives ten numbers: words of the answer, words of the reference nearest in length (the shorter of two as near),
 * matches and totals of 1- to 4-grams. A word sequence counts as often as in the reference that has it most often. The
 * value is made of their sums:
 *
 *	BP exp(1/4 sum of ln p_n),  p_n = 100 matches / totals,  BP = min(1, exp(1 - reference / answer))
 *
 * where the k-th precision without a match is 100 / (2^k totals) (smoothing "exp"). A corpus without any 4-gram, or
 * without any match, has BLEU 0. The score of one sample, which only serves to find the bad ones, leaves out the orders that
 * it is too short for (sacrebleu's effective_order).
 *
 * Options: tokenize (13a), lowercase (false). */
#include "base/base.h"

#include <math.h>

#include "base/lettercase.h"
#include "evals/mt_int.h"

enum { ORDER = 4 };
enum { HYP_LEN, REF_LEN, MATCHES, TOTALS = MATCHES + ORDER };

struct bleu {
	struct mt_text *text;
	bool lowercase;
};

/* ---- one sample -------------------------------------------------------------------------------------------------- */

static int read_words(struct row *out, struct words *w, const struct bleu *b, const char *s, size_t len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc;

	if (b->lowercase)
		case_lower(&text, s, len);
	else
		utf8_repair(&text, s, len);
	rc = mt_text_apply(b->text, &text);
	if (!rc)
		row_add_words(out, w, buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}

static size_t nearest_length(size_t hyp, const struct row *refs, size_t n)
{
	size_t best = refs[0].n;

	for (size_t i = 1; i < n; i++) {
		size_t gap = refs[i].n > hyp ? refs[i].n - hyp : hyp - refs[i].n;
		size_t least = best > hyp ? best - hyp : hyp - best;

		if (gap < least || (gap == least && refs[i].n < best))
			best = refs[i].n;
	}
	return best;
}

static double value(const double *sums, bool effective)
{
	double logs = 0, halved = 1, brevity = 1, order = ORDER;
	double any = 0;

	for (int n = 0; n < ORDER; n++)
		any += sums[MATCHES + n];
	if (any == 0)
		return 0;
	if (sums[HYP_LEN] < sums[REF_LEN])
		brevity = exp(1 - sums[REF_LEN] / sums[HYP_LEN]);
	for (int n = 0; n < ORDER; n++) {
		double match = sums[MATCHES + n], total = sums[TOTALS + n];

		if (total == 0) {
			if (!effective)
				return 0;
			order = n;
			break;
		}
		if (match == 0)
			halved *= 2;
		logs += log(match == 0 ? 100 / (halved * total) : 100 * match / total);
	}
	return brevity * exp(logs / order);
}

double bleu_value(const double *sums)
{
	return value(sums, false);
}

int score_bleu(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	size_t n_refs = o->in->n_targets;
	struct row hyp = { 0 }, *refs = mem_array(n_refs, sizeof(*refs));
	struct grams hyp_grams = { 0 }, *ref_grams = mem_array(n_refs, sizeof(*ref_grams));
	struct words w;
	int rc;

	words_init(&w);
	rc = read_words(&hyp, &w, m->options, o->text, o->len);
	for (size_t i = 0; i < n_refs && !rc; i++) {
		rc = read_words(&refs[i], &w, m->options, o->in->targets[i], strlen(o->in->targets[i]));
		grams_init(&ref_grams[i], &refs[i], ORDER);
	}
	if (!rc) {
		grams_init(&hyp_grams, &hyp, ORDER);
		out->parts[HYP_LEN] = (double)hyp.n;
		out->parts[REF_LEN] = (double)nearest_length(hyp.n, refs, n_refs);
		for (size_t n = 0; n < ORDER; n++) {
			out->parts[MATCHES + n] = (double)grams_shared(&hyp_grams, ref_grams, n_refs, n + 1);
			out->parts[TOTALS + n] = (double)grams_count(&hyp_grams, n + 1);
		}
		out->score = value(out->parts, true);
	}
	for (size_t i = 0; i < n_refs; i++) {
		grams_release(&ref_grams[i]);
		row_release(&refs[i]);
	}
	grams_release(&hyp_grams);
	row_release(&hyp);
	words_release(&w);
	free(ref_grams);
	free(refs);
	return rc ? err_context(rc, "bleu") : 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct bleu *b = m->options = mem_alloc(sizeof(*b));
	const char *tokenize = "13a";
	int rc = yaml_get_text(src->y, entry, "tokenize", &tokenize);

	rc = rc ? rc : yaml_get_flag(src->y, entry, "lowercase", &b->lowercase);
	if (rc)
		return rc;
	b->text = mt_text_new(tokenize);
	return b->text ? 0
		       : yaml_error(src->y, entry, "tokenize", "no tokenizer \"%.60s\" (known: %s)", tokenize,
				    mt_text_names());
}

static void options_free(void *options)
{
	struct bleu *b = options;

	mt_text_free(b->text);
	free(b);
}

static const char *const keys[] = { "tokenize", "lowercase" };
const struct metric_options bleu_options = { keys, ARRAY_LEN(keys), options_load, options_free };
