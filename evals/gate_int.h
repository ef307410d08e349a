/* gate_int.h: pairing and judging, between gate.c and its parts. Private to evals/. */
#ifndef EVALS_GATE_INT_H
#define EVALS_GATE_INT_H

#include "evals/evals_int.h"
#include "evals/stats_int.h"

/* ---- pair.c ------------------------------------------------------------------------------------------------------ */

/* One metric of one task in both runs, on the samples that both have, in the candidate's order. */
struct pairing {
	const struct task_result *ct, *bt; /* bt NULL: none */
	const struct metric *cm, *bm;      /* bm NULL: none */
	char *incomparable;                /* why the two cannot be compared, or NULL */
	size_t n;                          /* pairs */
	double *c, *b, *w;                 /* scores and weights (NULL: all 1) */
	struct metric mc, mb;              /* both metrics on the pairs alone; what they point at is the pairing's */
	size_t *index;                     /* of the pair's sample in ct */
	bool count;                        /* 0/1 scores without weights: decided on integers */
	size_t lost, won;                  /* pairs that got worse, better */
	double value_c, value_b, delta;    /* over the pairs; delta NaN if there are none */
	double ratio_c, ratio_b;           /* sum score / sum weight, of which perplexities are made */
	double scale_b;                    /* spread of a sample of the baseline (stats_ratio) */
};
int pairing_open(struct pairing *p, const struct gate_input *in, const struct task_result *ct, const struct metric *cm);
void pairing_close(struct pairing *p);
/* One-sided bounds of the change in the metric's unit, and the method's name. NaN if there is no pair of samples. */
const char *pairing_interval(const struct pairing *p, double confidence, double *lo, double *hi);
/* One-sided p of "it got worse", for the watch list; *method its name. 1 where nothing points that way. */
double pairing_p_worse(const struct pairing *p, const char **method);
/* One-sided bounds of a metric's value alone. */
const char *value_interval(const struct metric *m, size_t n, double confidence, double *lo, double *hi);
/* One confidence bound on a standard error that may be 0. See pair.c. */
double interval_error(double se, double scale, size_t n);

/* ---- gate.c ------------------------------------------------------------------------------------------------------ */

/* The candidate's task and metric that the policy names; ERR_INPUT says what there is. */
int gate_find_metric(const struct gate_input *in, const char *task, const char *metric, const char *filter,
		     const struct task_result **ct, const struct metric **cm);
/* gate_check.c: what the gate refuses to judge, each ERR_INPUT. whose: "candidate" or "baseline". */
int gate_check_policy(const struct gate_policy *policy);
int gate_check_tasks(const struct task_result *const *tasks, size_t n, const char *whose);
int gate_check_rule(const struct gate_rule *r, const struct metric *m); /* can this metric have these limits? */
int gate_check_pair(const struct gate_rule *rule,
		    const struct pairing *p); /* scores within their range; golden ones there */

/* ---- sequence.c: a limit on a mean, while the samples come in ---------------------------------------------------- */

struct sequence_limit {          /* known before anything is asked */
	size_t n;                /* samples of the suite */
	double weight, heaviest; /* the sum of their weights, and the largest: n and 1 where all weigh the same */
	double least, most;      /* of a gain for each unit of weight: -1 and 1 of a change, 0 and 1 of a score */
	double required;         /* the least mean gain that passes: -0.02 for max_drop 0.02 */
	double required_sum;     /* the same of the sum; exact for counts */
	double worst, best;      /* the sum of gains over all samples, at worst and at best */
	double expected;         /* the mean gain of an unchanged model; NaN: not known */
	double alpha;            /* of the bets; 0: none are made */
	bool population;         /* the samples are draws */
};
struct sequence {
	struct sequence_limit limit;
	struct stats_bet bet;
	double mean;        /* what is bet on */
	size_t n;           /* visited */
	double worst, best; /* of the sum over all samples, as far as it is known */
	enum stats_decision decision;
	bool certain; /* else by a bet */
	size_t after; /* samples at the decision */
};
void sequence_open(struct sequence *s, const struct sequence_limit *l);
/* The next one in the order of the visit: its gain (weight × …), between worst and best. */
void sequence_add(struct sequence *s, double gain, double weight, double worst, double best);
/* One that is known out of order: for certainty, not for bets. */
void sequence_know(struct sequence *s, double gain, double worst, double best);

/* ---- gate_rule.c ------------------------------------------------------------------------------------------------- */

enum limit_kind { LIMIT_MIN, LIMIT_MAX, LIMIT_DROP, LIMIT_INCREASE, LIMIT_GAIN, LIMIT_NEW_FAILURES, LIMIT_KINDS };
struct judge {
	const struct gate_rule *rule;
	enum limit_kind kind;
	const struct gate_input *in;
	const struct pairing *pair;
	double confidence;
	bool population, clustered; /* target; every sample names its cluster */
	const char *order;          /* the seed of the visit's order; NULL: nobody looks before the end */
	const struct visit *visits; /* the samples in that order, as far as none is missing */
	size_t n_visits;
	const bool *visited; /* is sample i of the candidate one of these? */
	bool partial;        /* ordered, and not all samples are there */
	bool brief;          /* the verdict alone is wanted: no bounds where they cost much */
};
/* Fills a row: numbers, verdict, sentence. The caller owns it. */
int gate_rule_judge(struct gate_result_rule *row, const struct judge *j);
/* A row that decides nothing: numbers and a sentence about the change. */
void gate_rule_show(struct gate_result_rule *row, const struct pairing *p, double confidence, const char *why);
/* The row of a limit on a task's overlap with the training data. */
void gate_rule_overlap(struct gate_result_rule *row, const char *task, double limit, const struct gate_input *in);
void gate_rule_release(struct gate_result_rule *row);
bool limit_present(const struct gate_rule *rule, enum limit_kind kind);
/* As it stands in the policy; *relative: a share of the baseline's value. */
double limit_value(const struct gate_rule *rule, enum limit_kind kind, bool *relative);
/* "intents.acc: max_drop 0.03"; yours. */
char *limit_text(const struct gate_rule *rule, enum limit_kind kind);
/* Is the sample among those that no_new_failures names? */
bool sample_matches(const struct sample *s, const char *pattern);
bool gate_sample_matches(const char *id, const char *slice, const char *pattern);
/* How many decimals, at least so many, show x beside y without hiding which is larger, or that x is not zero. */
int gate_decimals(double x, double y, int least);

/* ---- gate_early.c: before all samples are in ---------------------------------------------------------------------- */

#define GATE_BETS_SHARE 0.2 /* of the level, where a final test has the rest */
/* The level at which bets may decide; 0: none are made. */
double gate_bets_level(const struct judge *j, bool relative);
/* Why only all samples decide; NULL: fewer may. static. */
const char *gate_cannot_stop(const struct judge *j, bool relative);
/* A limit on change, or min and max, played over the samples that are there. False: the weight of the rest is not known. */
void gate_sequence_change(struct sequence *s, const struct judge *j, double limit, bool relative, double alpha);
bool gate_sequence_value(struct sequence *s, const struct judge *j, double limit, double alpha);
enum verdict gate_verdict_of(enum stats_decision d);
/* Verdict and bounds of a limit of target suite on a part of the samples; adds how it is known to the sentence. */
void gate_early_change(struct gate_result_rule *row, const struct judge *j, double limit, bool relative,
		       struct buf *text);
void gate_early_value(struct gate_result_rule *row, const struct judge *j, double limit, struct buf *text);
/* p of "it did not get worse", valid at every look, for the watch list. */
double gate_early_worse(const struct judge *j, const char **method);

/* The same for target population (gate_early_population.c). */
void gate_early_population_change(struct gate_result_rule *row, const struct judge *j, double limit, bool relative,
				  struct buf *text);
void gate_early_population_value(struct gate_result_rule *row, const struct judge *j, double limit, struct buf *text);
/* What the bets on a population's samples have shown, and the level that they have; 0: none were made. */
double gate_population_bets(const struct judge *j, double limit, bool relative, double *p_pass, double *p_fail);
/* ---- gate_limits.c ----------------------------------------------------------------------------------------------- */

enum { GATE_LIMITS_MAX = 3 };
/* Fills a row for each limit and gives their number. u NULL: not known. */
size_t gate_limits_judge(struct gate_result_rule *rows, const struct gate_limits *l, const struct gate_usage *u);
int gate_limits_parse(struct gate_limits *l, const struct yaml *y, const json_t *gate);

/* ---- gate_population.c ------------------------------------------------------------------------------------------- */

/* Below these no test holds its level, and there is no verdict. */
enum { CLUSTERS_MIN = 20, UNBOUNDED_MIN = 100, BOOTSTRAP_MIN = 200 };
struct gate_count {                 /* of paired 0/1 scores */
	size_t n, lost, won, right; /* right: in the baseline */
};
/* p of "it dropped by more than the limit" and of "it did not", in the unit of the whole level alpha. */
double gate_count_p_pass(const struct gate_count *c, double limit, bool relative, double alpha);
double gate_count_p_fail(const struct gate_count *c, double limit, bool relative, double alpha);
/* Bounds, p, method, verdict and sentence of a limit on change (limit < 0: a gain is required), or of min and max. */
void gate_population_change(struct gate_result_rule *row, const struct judge *j, double limit, bool relative);
void gate_population_value(struct gate_result_rule *row, const struct judge *j, double limit);

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* "task.metric" or "task.metric,filter" in parts, all yours. False: not of this form. */
bool gate_name_split(const char *name, char **task, char **metric, char **filter);

#endif
