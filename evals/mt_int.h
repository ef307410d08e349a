/* mt_int.h: texts as rows of numbers, and the metrics that compare them: BLEU, chrF, TER, ROUGE. Private to evals/. */
#ifndef EVALS_MT_INT_H
#define EVALS_MT_INT_H

#include "evals/metric_int.h"

/* ---- ngram.c ----------------------------------------------------------------------------------------------------- */

struct words { /* the numbers of words, shared by the texts that are compared */
	struct map numbers;
	int64_t n;
};
void words_init(struct words *w);
void words_release(struct words *w);
/* The next word at *s, by Python's white space; *s is moved behind it. */
bool next_word(const char **s, const char *end, const char **word, size_t *len);

struct row {
	uint32_t *ids;
	size_t n, cap;
};
void row_add(struct row *r, uint32_t id);
void row_add_word(struct row *r, struct words *w, const char *s, size_t len);
void row_add_words(struct row *r, struct words *w, const char *s, size_t len); /* text.split() */
void row_release(struct row *r);

struct gram {
	const uint32_t *ids; /* of the row */
	size_t len;
};
struct grams { /* the places of a row, sorted by what begins there */
	struct gram *at;
	size_t n;
};
/* The row must outlive the grams. longest: the highest order that is asked for. */
void grams_init(struct grams *g, const struct row *r, size_t longest);
void grams_release(struct grams *g);
size_t grams_count(const struct grams *g, size_t order);
/* How many n-grams of hyp stand in a reference, each as often as in the one that has it most often. */
size_t grams_shared(const struct grams *hyp, const struct grams *refs, size_t n_refs, size_t order);

/* ---- mt_text.c: sacrebleu's tokenizers ----------------------------------------------------------------------------- */

struct mt_text; /* rules that rewrite a text until white space parts its tokens */
/* name: "13a", "intl", "zh", "char", "none". NULL: no such tokenizer. */
struct mt_text *mt_text_new(const char *name);
/* Tercom's, as sacrebleu has it. */
struct mt_text *mt_text_tercom(bool normalized, bool no_punct, bool asian_support);
void mt_text_free(struct mt_text *t);
int mt_text_apply(const struct mt_text *t, struct buf *s);
const char *mt_text_names(void); /* "13a, intl, …" */

/* ---- the metrics ------------------------------------------------------------------------------------------------- */

int score_bleu(const struct task_metric *m, const struct outcome *o, struct scored *out);
double bleu_value(const double *sums);
extern const struct metric_options bleu_options;
int score_chrf(const struct task_metric *m, const struct outcome *o, struct scored *out);
double chrf_value(const double *sums, size_t n_parts);
extern const struct metric_options chrf_options, chrfpp_options;
int score_ter(const struct task_metric *m, const struct outcome *o, struct scored *out);
double ter_value(const double *sums);
extern const struct metric_options ter_options;
int score_rouge1(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_rouge2(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_rouge_l(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_rouge_lsum(const struct task_metric *m, const struct outcome *o, struct scored *out);
extern const struct metric_options rouge_options;
/* porter.c: the stem of a word of a-z and 0-9. Yours. */
char *stem_word(const char *s, size_t len);

#endif
