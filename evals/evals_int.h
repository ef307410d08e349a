/* evals_int.h: how a task lies in memory between its file and its scores. Private to evals/.
 *
 * T task, D document (one JSON object of a data file), instance (a document made into requests), outcome (what the
 * model answered). The way of a document: dataset.c reads it, field.c evaluates doc_to_*, prompt.c lays out the
 * prompt and the instance, loglik.c or generate_until.c ask the model, metrics.c scores, samples.c keeps. */
#ifndef EVALS_INT_H
#define EVALS_INT_H

#include "evals/evals.h"
#include "model/model.h"

/* ---- dataset.c: files and documents ------------------------------------------------------------------------------ */

/* How a suite puts its questions to a model's chat template: lm-evaluation-harness's flags of the same names. */
struct chat_form {
	bool apply, multiturn;
	const char *system; /* NULL: none; borrowed */
};
/* Where a task's keys stand and how its files are reached. */
struct source {
	const struct yaml *y;
	json_t *map;      /* the mapping of the task */
	const char *path; /* of the file that holds it */
	const struct eval_files *files;
	struct chat_form chat; /* of the suite */
};
/* Reads a file named in the file src_path: looked for beside that file, then from the root. *used: the path, yours. */
int source_read(const struct eval_files *files, const char *src_path, const char *name, size_t max, struct buf *out,
		char **used);

struct doc {
	json_t *value;
	const char *file; /* borrowed from its split */
	size_t line;
	char *id;
};
struct split {
	char *name;
	char **files;
	size_t n_files;
	struct doc *docs;
	size_t n, cap;
};
/* The split of that name among dataset_kwargs.data_files. key: who asks, for errors. */
int split_load(struct split *out, const struct source *src, const char *key, const char *name);
/* Every document needs an id of its own. */
int split_check_ids(const struct split *s);
void split_release(struct split *s);
/* "file:line: ", in front of the error text. */
int doc_error(int rc, const struct doc *d);

/* ---- literal.c --------------------------------------------------------------------------------------------------- */

/* A Python list or tuple of literals ("['a', \"b\", 3]") as a JSON array. ERR_INPUT. */
int literal_parse(json_t **out, const char *text, size_t len);

/* ---- field.c: doc_to_text, doc_to_target, doc_to_choice … -------------------------------------------------------- */

enum field_kind { FIELD_NONE, FIELD_COLUMN, FIELD_TEMPLATE, FIELD_VALUE };
struct field {
	enum field_kind kind;
	const char *key; /* "doc_to_text"; static */
	char *text;      /* the column or the template */
	struct template *tmpl;
	json_t *value; /* a list or a number written in the task file */
};
/* columns: a member of a document with the field's text as name makes it a column; NULL: always a template. */
int field_load(struct field *f, const struct source *src, const char *key, const struct split *columns);
void field_release(struct field *f);
/* A new reference: the column as it is, text from a template, or the value. */
int field_eval(json_t **out, const struct field *f, const struct doc *d);
/* As field_eval, for a field that must give text; nothing is added for FIELD_NONE. */
int field_text(struct buf *out, const struct field *f, const struct doc *d);

/* ---- metrics.c --------------------------------------------------------------------------------------------------- */

enum output_type { OUTPUT_LOGLIK, OUTPUT_ROLLING, OUTPUT_CHOICE, OUTPUT_GENERATE, OUTPUT_TYPES };

struct instance {                        /* a document as requests */
	char *context;                   /* of a chat: not before instance_chat() */
	json_t *messages;                /* NULL: no chat */
	bool continues;                  /* the last message is the beginning of the answer (gen_prefix) */
	char **choices, **continuations; /* CHOICE: both; LOGLIK: one continuation */
	size_t n_choices;
	int *gold; /* CHOICE: indexes of right answers, -1 for one that is none */
	size_t n_gold;
	char **targets; /* GENERATE: any of them is right; LOGLIK and ROLLING: the text */
	size_t n_targets;
};
struct outcome {
	const struct instance *in;
	const struct loglik_result *ll; /* n_choices of them; one for LOGLIK and ROLLING */
	const char *text;               /* GENERATE; may hold NULs */
	size_t len;
};
struct metric_kind; /* a row of the table in metrics.c */
struct task_metric {
	const struct metric_kind *kind;
	bool ignore_case, ignore_punctuation, ignore_numbers;
	struct metric_regex *regexes; /* regexes_to_ignore */
	size_t n_regexes;
	struct metric_regex *any; /* for ignore_case */
};
/* metric_list, or the defaults of the output type. */
int metrics_load(struct task_metric **out, size_t *n, const struct source *src, enum output_type type);
void metrics_free(struct task_metric *m, size_t n);
const char *metric_kind_name(const struct metric_kind *k);
/* An empty result metric of this kind, with room for n scores. */
void metric_init(struct metric *m, const struct task_metric *from, const char *filter, size_t n);
int metric_score(const struct task_metric *m, const struct outcome *o, double *score, double *weight);
/* What is summed over sum w: the score, or (a weighted mean) weight × score. A new array. */
double *metric_terms(enum aggregate a, const double *scores, const double *weights, size_t n);
/* Fills value and stderr_ from scores and weights. */
void metric_close(struct metric *m, size_t n);
void metric_release(struct metric *m);
/* What a well-known name means: 1 higher is better, -1 lower, 0 not known; *binary: scores are 0 or 1. */
int metric_direction(const char *name, bool *binary);
const char *aggregate_name(enum aggregate a);
int aggregate_parse(enum aggregate *out, const char *name);

/* ---- task.c ------------------------------------------------------------------------------------------------------ */

struct task {
	char *name;
	enum output_type type;
	struct field text, target, choice, description, gen_prefix;
	char *target_delimiter, *fewshot_delimiter, *filter;
	bool chat, multiturn;    /* through the model's chat template; shots as turns of their own */
	char *system;            /* system_instruction, or NULL */
	struct split eval, pool; /* pool: where shots come from; empty if num_fewshot is 0 */
	bool pool_is_eval;
	int num_fewshot;
	char **until;              /* NULL at the end */
	int max_tokens, top_k;     /* top_k, top_p: 0 where nothing is cut off */
	double temperature, top_p; /* temperature 0: greedy */
	struct task_metric *metrics;
	size_t n_metrics;
	struct suite_size size; /* of all its documents */
	struct digest digest;
};
int task_load(struct task *t, const struct source *src);
void task_release(struct task *t);

/* ---- prompt.c ---------------------------------------------------------------------------------------------------- */

/* Description, shots and the document's own text, as lm-evaluation-harness lays them out in plain text. */
int prompt_build(struct buf *out, const struct task *t, const struct doc *d);
int instance_build(struct instance *out, const struct task *t, const struct doc *d);
/* Lets the model's template write the conversation; nothing to do for one without. */
int instance_chat(struct instance *in, const struct task *t, const struct scorer *scorer);
void instance_release(struct instance *in);
/* The document's text and its right answer alone, with the delimiter in front of it. */
int prompt_own_text(struct buf *question, struct buf *answer, const struct task *t, const struct doc *d);

/* ---- loglik.c, generate_until.c: the request kinds --------------------------------------------------------------- */

struct eval_run {
	const struct scorer *scorer;
	uint64_t seed;
	uint64_t done; /* documents, over the whole suite */
};
/* Evaluates the first r->n documents; r's samples and metrics are there, empty. */
int loglik_run(struct eval_run *run, const struct task *t, struct task_result *r);
int generate_until_run(struct eval_run *run, const struct task *t, struct task_result *r);

/* ---- samples.c --------------------------------------------------------------------------------------------------- */

void sample_fill(struct sample *s, const struct doc *d, const struct instance *in, const char *target,
		 const char *response, size_t response_len);

#endif
