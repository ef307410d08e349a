/* metric_int.h: how a metric joins the table in metrics.c, and what the metrics share. Private to evals/.
 *
 * A metric is a row of the table: for which requests it is made, how a sample is scored, how its keys in metric_list are
 * read. Its options are the file's own; the table only carries them. */
#ifndef EVALS_METRIC_INT_H
#define EVALS_METRIC_INT_H

#include "evals/evals_int.h"

struct scored { /* of one sample; filled with { 0, 1, zeros } beforehand */
	double score, weight;
	double *parts; /* the metric's n_parts */
};
struct metric_options {
	const char *const *keys; /* of an entry in metric_list, beyond those that every metric has */
	size_t n_keys;
	/* Fills m->options (and m->n_parts, m->asked where they depend on them). */
	int (*load)(struct task_metric *m, const struct source *src, json_t *entry);
	void (*free)(void *options); /* NULL: there is nothing in m->options */
};
struct metric_kind {
	const char *name, *aggregation; /* aggregation: what the harness calls it */
	unsigned types;                 /* 1 << output type */
	unsigned defaults;              /* the types that have it when metric_list is absent */
	enum aggregate aggregate;
	bool higher_is_better, binary;
	bool weighted;
	size_t n_parts; /* unless the options say otherwise */
	int (*score)(const struct task_metric *m, const struct outcome *o, struct scored *out);
	const struct metric_options *options; /* NULL: none */
	/* Is a document's right answer what the metric needs? Asked when the task is read. NULL: anything will do. */
	int (*check)(const struct task_metric *m, const struct instance *in);
};

/* ---- regex.c ----------------------------------------------------------------------------------------------------- */

struct regex; /* of PCRE2, as it is: for our own rules and for schemas; task files have pyregex.c */
/* ERR_INPUT says why and where in the pattern. */
int regex_new(struct regex **out, const char *pattern);
void regex_free(struct regex *re);
/* Every match replaced; with: PCRE2's "$1". s must be valid UTF-8. ERR_INPUT: the search went on for too long. */
int regex_replace(struct buf *s, const struct regex *re, const char *with);
int regex_found(bool *out, const struct regex *re, const char *s, size_t len);

/* ---- choice.c: multiple_choice ----------------------------------------------------------------------------------- */

int score_acc(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_acc_norm(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_acc_bytes(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_acc_mutual_info(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_confidence(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_brier(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_likelihood(const struct task_metric *m, const struct outcome *o, struct scored *out);
int check_right(const struct task_metric *m, const struct instance *in);
int check_exact(const struct task_metric *m, const struct instance *in);
int check_labels(const struct task_metric *m, const struct instance *in);
int score_labels(const struct task_metric *m, const struct outcome *o, struct scored *out);
extern const struct metric_options f1_options;

/* ---- exact.c ----------------------------------------------------------------------------------------------------- */

struct exact { /* the harness's normalisation of answers */
	bool ignore_case, ignore_punctuation, ignore_numbers;
	struct pyregex **regexes; /* regexes_to_ignore */
	size_t n_regexes;
};
#define EXACT_KEYS "ignore_case", "ignore_punctuation", "ignore_numbers", "regexes_to_ignore"
int exact_load(struct exact *e, const struct source *src, json_t *entry);
void exact_release(struct exact *e);
int exact_normal(struct buf *s, const struct exact *e);
extern const struct metric_options exact_options;
int score_exact(const struct task_metric *m, const struct outcome *o, struct scored *out);

/* ---- bag.c ------------------------------------------------------------------------------------------------------- */

int score_set_match(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_set_f1(const struct task_metric *m, const struct outcome *o, struct scored *out);
extern const struct metric_options set_options;
int score_token_f1(const struct task_metric *m, const struct outcome *o, struct scored *out);
extern const struct metric_options squad_options;

/* ---- label.c ----------------------------------------------------------------------------------------------------- */

int score_label(const struct task_metric *m, const struct outcome *o, struct scored *out);
int check_label(const struct task_metric *m, const struct instance *in);
extern const struct metric_options label_options;

/* ---- judge.c ------------------------------------------------------------------------------------------------------ */

extern const struct metric_options judge_options;
int score_judge(const struct task_metric *m, const struct outcome *o, struct scored *out);

/* ---- score_command.c ---------------------------------------------------------------------------------------------- */

int score_command(const struct task_metric *m, const struct outcome *o, struct scored *out);

/* ---- pattern.c --------------------------------------------------------------------------------------------------- */

int score_pattern(const struct task_metric *m, const struct outcome *o, struct scored *out);
int check_pattern(const struct task_metric *m, const struct instance *in);
extern const struct metric_options pattern_options;

#endif
