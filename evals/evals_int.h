/* evals_int.h: how a task lies in memory between its file and its scores. Private to evals/.
 *
 * T task, D document (one JSON object of a data file), instance (a document made into requests), outcome (what the
 * model answered). The way of a document: hub.c finds its file, dataset.c reads it, process_docs.c chooses and completes
 * it, field.c and answer.c evaluate doc_to_*, fewshot.c finds its shots, prompt.c lays out the prompt and the instance,
 * loglik.c or generate_until.c ask the model, filter.c takes the answer out of what it wrote, metrics.c scores, samples.c
 * keeps. The way of a task: group.c finds it by its name, task_file.c gathers its keys, task.c reads them. */
#ifndef EVALS_INT_H
#define EVALS_INT_H

#include "base/pyregex.h"
#include "base/rows.h"
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
	struct yaml *y;
	json_t *map;      /* the mapping of the task */
	const char *path; /* of the file that holds it */
	const struct eval_files *files;
	struct chat_form chat;              /* of the suite */
	const struct process_docs *process; /* what splits become when they are read; NULL: as they are */
};
/* Reads a file named in the file src_path: looked for beside that file, then from the root. *used: the path, yours. */
int source_read(const struct eval_files *files, const char *src_path, const char *name, size_t max, struct buf *out,
		char **used);
/* dir/name with "." and ".." resolved, yours; NULL if that leaves the root. */
char *source_path(const char *dir, const char *name);

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
	const struct rows_options *card; /* what the data set's card says of its rows; NULL: nothing */
	bool hub; /* of a data set by name: its "id" is not ours, rows are numbered where it does not serve */
};
/* The split of that name: of dataset_kwargs.data_files, or of the data set that dataset_path names. key: who asks, for
 * errors. */
int split_load(struct split *out, const struct source *src, const char *key, const char *name);
/* Every document needs an id of its own. */
int split_check_ids(struct split *s);
void split_release(struct split *s);
/* "file:line: ", in front of the error text. */
int doc_error(int rc, const struct doc *d);

/* ---- hub.c ------------------------------------------------------------------------------------------------------- */

struct hub_card { /* of a data set; what is borrowed is of its yaml */
	struct yaml *yaml;
	char *folder;         /* of the README.md, from where its paths go; NULL: there is none that names files */
	const json_t *config; /* the configuration that counts */
	const json_t *files;  /* its data_files; NULL: the splits are told by their names */
	const char *data_dir; /* beneath folder; NULL: folder itself */
	struct rows_options rows;
};
/* The files that hold a split of the data set name, in order; yours. card: what it says of itself, yours to close, also after an
 * error. key: who asks, for errors. */
int hub_files(char ***out, size_t *n, struct hub_card *card, const struct source *src, const char *name,
	      const char *key, const char *split);
/* The folder of the data set; yours. */
int hub_folder(char **out, const struct source *src, const char *name);

/* ---- hub_card.c ---------------------------------------------------------------------------------------------------- */

/* Reads the README.md among the n files of a data set. ERR_INPUT: it is damaged, or has not the configuration that the task
 * wants. */
int hub_card_open(struct hub_card *c, const struct source *src, char *const *paths, size_t n, const char *folder);
void hub_card_close(struct hub_card *c);
/* The paths and patterns, from c->folder, that it gives for a split, as a list of texts; yours. */
int hub_card_paths(const struct hub_card *c, const struct source *src, const char *key, const char *split,
		   json_t **out);

/* ---- data_glob.c ------------------------------------------------------------------------------------------------- */

bool data_is_glob(const char *name);
/* Does the pattern stand for this path? * and ? and [a-z] are of one name, ** is any folders; hidden names only where the
 * pattern's have the dot, too. */
bool data_glob_matches(const char *pattern, const char *path);
int data_glob_check(const char *pattern); /* ERR_INPUT: ** is only a piece of a name in it */
/* The files that a pattern stands for, by name; yours, also after an error. folder: of a data set, or NULL. */
int data_glob(char ***out, size_t *n, const struct source *src, const char *folder, const char *pattern);

/* ---- process_docs.c ---------------------------------------------------------------------------------------------- */

struct process_set;
struct process_docs {
	struct template *where; /* NULL: all */
	struct process_set *set;
	size_t n;
};
/* process_docs of the task; without the key, one that changes nothing. */
int process_docs_load(struct process_docs *p, const struct source *src);
int process_docs_apply(const struct process_docs *p, struct split *s);
void process_docs_release(struct process_docs *p);

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
/* columns: a member of a document with the field's text as name makes it a column. */
int field_load(struct field *f, const struct source *src, const char *key, const struct split *columns);
void field_release(struct field *f);
/* A new reference: the column as it is, text from a template, or the value. */
int field_eval(json_t **out, const struct field *f, const struct doc *d);
/* As field_eval, for a field that must give text; nothing is added for FIELD_NONE. */
int field_text(struct buf *out, const struct field *f, const struct doc *d);

/* ---- answer.c: what a document asks, and what is right ----------------------------------------------------------- */

/* A scalar as Python's str() would print it; yours. NULL for a list or an object. */
char *answer_scalar(const json_t *v);
/* doc_to_target: a whole number, text, or a list of these. choice: the task has choices. */
int answer_target(json_t **out, const struct field *target, bool choice, const struct doc *d);
/* doc_to_choice: a list of texts. */
int answer_choices(json_t **out, const struct field *field, const struct doc *d);
/* doc_to_text: adds the text; or, in a task with choices, gives the number that it is. *number -1: it is text. */
int answer_question(struct buf *out, json_int_t *number, const struct field *text, bool choice, const struct doc *d);

/* ---- pyrandom.c -------------------------------------------------------------------------------------------------- */

enum { PYRANDOM_WORDS = 624 };
struct pyrandom { /* random.Random(seed) of Python */
	uint32_t word[PYRANDOM_WORDS];
	size_t at;
};
void pyrandom_seed(struct pyrandom *r, uint32_t seed);
uint32_t pyrandom_word(struct pyrandom *r);              /* getrandbits(32) */
uint32_t pyrandom_below(struct pyrandom *r, uint32_t n); /* randrange(n); n > 0 */
double pyrandom_real(struct pyrandom *r);                /* random() */
/* sample(range(n), k); k <= n. */
void pyrandom_sample(struct pyrandom *r, uint32_t n, uint32_t *out, size_t k);

/* ---- filter.c ---------------------------------------------------------------------------------------------------- */

enum { REPEATS_MAX = 1024 };
struct text { /* of a model; may hold NULs */
	const char *s;
	size_t len;
};
struct filter { /* a pipeline of filter_list */
	char *name;
	struct filter_step *steps;
	size_t n;
};
/* filter_list, or the first response as "none". text: the responses are texts. Free *out also after an error. */
int filters_load(struct filter **out, size_t *n, const struct source *src, bool text, int repeats);
void filters_free(struct filter *f, size_t n);
/* One pipeline, which takes the first response as it is. */
bool filters_trivial(const struct filter *f, size_t n);
/* Adds what is left of the n responses to document d. ERR_INPUT. */
int filter_apply(const struct filter *f, const struct text *texts, size_t n, const struct doc *d, struct buf *out);

/* ---- metrics.c --------------------------------------------------------------------------------------------------- */

enum output_type { OUTPUT_LOGLIK, OUTPUT_ROLLING, OUTPUT_CHOICE, OUTPUT_GENERATE, OUTPUT_TYPES };

struct prompt {
	char *text;       /* of a chat: NULL before instance_chat() */
	json_t *messages; /* NULL: no chat */
};
enum { GOLD_NONE = -100 }; /* what the harness makes of a label above the choices, and of a text that is none of them */
struct instance {          /* a document as requests */
	struct prompt *prompts; /* one; with several inputs one for each choice */
	size_t n_prompts;
	bool continues;                  /* the last message is the beginning of the answer (gen_prefix) */
	char **choices, **continuations; /* CHOICE: both; LOGLIK: one continuation */
	size_t n_choices;
	int *gold; /* CHOICE: indexes of right answers; below 0 it is none: GOLD_NONE, or the number that the document gives */
	size_t n_gold;
	char **targets; /* GENERATE: any of them is right; LOGLIK and ROLLING: the text */
	size_t n_targets;
};
struct outcome {
	const struct instance *in;
	const struct loglik_result *ll;       /* n_choices of them; one for LOGLIK and ROLLING */
	const struct loglik_result *ll_alone; /* of the choices without the question; NULL: nobody asked */
	const char *text;                     /* GENERATE; may hold NULs */
	size_t len;
};
struct task;
struct metric_kind; /* a row of the table in metrics.c */
struct task_metric {
	const struct metric_kind *kind;
	void *options;  /* the kind's own; NULL: none */
	json_t *asked;  /* those members of the entry in metric_list that are options; NULL: none */
	size_t n_parts; /* numbers that a sample keeps for the corpus's value */
};
/* metric_list, or the defaults of the output type; and what score adds. */
int metrics_load(struct task_metric **out, size_t *n, const struct source *src, enum output_type type);
void metrics_free(struct task_metric *m, size_t n);
/* An empty result metric of this kind, with room for n scores. */
void metric_init(struct metric *m, const struct task_metric *from, const char *filter, size_t n);
/* Is the document's right answer what every metric needs? ERR_INPUT says what is wrong. */
int metrics_check(const struct task_metric *m, size_t n, const struct instance *in);
/* Scores a document as sample number `at` of the result. */
int metric_score(const struct task_metric *m, const struct outcome *o, struct metric *into, size_t at);
/* Do the metrics need the log-likelihoods of the choices without the question? */
bool metrics_need_alone(const struct task_metric *m, size_t n);
/* What the metrics ask, as a part of a task's digest. */
void metrics_digest(struct digest_ctx *c, const struct task_metric *m, size_t n);
/* What is summed over sum w: the score, or (a weighted mean) weight × score. A new array. */
double *metric_terms(enum aggregate a, const double *scores, const double *weights, size_t n);
/* Fills value and stderr_ from scores and weights. */
void metric_close(struct metric *m, size_t n);
void metric_release(struct metric *m);
/* The range of a score, from 0, of a metric that is a mean; 0: it has none, or the name is not known. */
double metric_range(const char *name);
/* What a well-known name means: 1 higher is better, -1 lower, 0 not known; *binary: scores are 0 or 1. */
int metric_direction(const char *name, bool *binary);
const char *aggregate_name(enum aggregate a);
int aggregate_parse(enum aggregate *out, const char *name);

/* ---- judge.c ------------------------------------------------------------------------------------------------------ */

struct judged { /* what a judge is to be asked of a block */
	struct judged_item {
		const struct task_metric *m;
		const char *id; /* of the document; borrowed */
		char *prompt;
		size_t slot, metric; /* where the score belongs */
	} * items;
	size_t n, cap;
};
bool metric_is_judge(const struct task_metric *m);
int judge_add(struct judged *j, const struct task_metric *m, const struct outcome *o, const struct doc *d, size_t slot,
	      size_t metric);
/* Asks, scores, and clears j. */
int judge_flush(struct judged *j, const struct jury *judge, const struct task *t, struct task_result *r);
void judge_clear(struct judged *j);
/* ERR_ENV: a task wants a judge, and there is none. */
int judge_allowed(const struct suite *s, const struct jury *judge);

/* ---- score_command.c ---------------------------------------------------------------------------------------------- */

struct commanded { /* what a command is to score of a block */
	struct commanded_item {
		const struct task_metric *m;
		const char *id; /* of the document; borrowed */
		char *line;
		size_t slot, metric; /* where the score belongs */
		bool scored;
	} * items;
	size_t n, cap;
};
/* The metric that the key score makes. Free it with the others, also after an error. */
int score_command_load(struct task_metric *m, const struct source *src, enum output_type type);
bool metric_is_command(const struct task_metric *m);
/* texts: what was written, before the filter. */
void commanded_add(struct commanded *c, const struct task_metric *m, const struct outcome *o, const struct text *texts,
		   size_t n_texts, const struct doc *d, size_t slot, size_t metric);
/* Runs the commands, scores, and clears c. */
int commanded_flush(struct commanded *c, const struct command_host *host, struct task_result *r);
void commanded_clear(struct commanded *c);
/* ERR_ENV: a task wants a command, and none may run. */
int commands_allowed(const struct suite *s, const struct command_host *host);

/* ---- slice.c ----------------------------------------------------------------------------------------------------- */

struct slice_columns { /* of the documents; NULL: none */
	char *by, *cluster;
};
/* metadata.assay of a task. */
int slice_load(struct slice_columns *c, const struct source *src);
void slice_release(struct slice_columns *c);
/* ERR_INPUT: the document has not the columns. */
int slice_check(const struct slice_columns *c, const struct doc *d);
void slice_fill(struct sample *s, const struct slice_columns *c, const struct doc *d);

/* ---- harness.c --------------------------------------------------------------------------------------------------- */

/* The metric as a task file would ask for it, with the defaults: the harness passes none of sacrebleu's options on. */
int harness_metric(struct task_metric **out, size_t *n, const char *name);

/* ---- harness_form.c ---------------------------------------------------------------------------------------------- */

/* NaN, Infinity and -Infinity, where JSON has none, become texts. */
void harness_form_plain(struct buf *text);
bool harness_form_infinite(const json_t *v); /* is it such a text? */
bool harness_form_is_value(const char *key); /* "metric,filter", and no standard error */
/* The values of a task in a part of the results ("results", "groups"); all that they say of a task; a row of samples. ours: by
 * harness_write.c. ERR_INPUT with file and key (a row: without its place). */
int harness_form_values(const json_t *doc, const char *path, const char *part, const char *task);
int harness_form_task(const json_t *doc, const char *path, const char *task, bool ours);
int harness_form_row(const json_t *row);

/* ---- corpus.c ---------------------------------------------------------------------------------------------------- */

bool aggregate_is_corpus(enum aggregate a);
/* Can so many parts make this aggregate? Is a sample's row of them sound? ERR_INPUT says why not. */
int corpus_parts_check(enum aggregate a, size_t n_parts);
int corpus_row_check(enum aggregate a, const double *row, size_t n_parts);
/* Fills value and stderr_ from the parts of n samples. */
void corpus_close(struct metric *m, size_t n);
/* The values of m, or m - minus on the same samples, over bootstrap draws, sorted. */
struct corpus_draws {
	double *values;
	size_t n;
};
void corpus_draw(struct corpus_draws *out, const struct metric *m, const struct metric *minus, size_t n);
/* One-sided bounds, each at confidence. */
void corpus_bounds(const struct corpus_draws *d, double confidence, double *lo, double *hi);
void corpus_draws_release(struct corpus_draws *d);

/* ---- fewshot.c --------------------------------------------------------------------------------------------------- */

struct shot { /* question NULL: nobody shows it */
	char *question, *answer, *prefix;
	bool answered; /* the target is not an empty text */
};
struct fewshot {
	int n;             /* num_fewshot */
	bool random;       /* sampler: default; else first_n */
	bool leaves_out;   /* a document is not its own shot */
	bool own_answers;  /* it may be, and is asked with it */
	bool own_words;    /* fewshot_config says what a shot says */
	struct split pool; /* empty if n is 0 */
	struct field text, target, choice, gen_prefix;
	char *target_delimiter, *delimiter;
	uint32_t *drawn;    /* n for each document: places in the pool */
	struct shot *shots; /* one for each of the pool */
};
struct shot_splits {                              /* what of a task its shots depend on */
	const char *training, *validation, *test; /* names, or NULL; validation or test is asked */
	const char *target_delimiter, *delimiter;
	bool rolling;
};
/* num_fewshot and fewshot_config: the pool. */
int fewshot_load(struct fewshot *f, const struct source *src, const struct shot_splits *splits);
/* Draws and renders. asked: the evaluated documents; inputs: doc_to_text is a number. */
int fewshot_render(struct fewshot *f, const struct source *src, const struct split *asked, bool inputs);
/* The i-th shot of a document. */
const struct shot *fewshot_get(const struct fewshot *f, size_t doc, int i);
void fewshot_release(struct fewshot *f);

/* ---- task_file.c ------------------------------------------------------------------------------------------------- */

struct task_file {
	const struct eval_files *files;
	struct yaml *docs[64], *y; /* all that were read; the first */
	size_t n;
	json_t *map; /* with what it includes */
	char *path;
};
/* Reads the file name, named in the file src_path, and what it includes. */
int task_file_open(struct task_file *f, const struct eval_files *files, const char *src_path, const char *name);
/* The file of that path, from the root or absolute. */
int task_file_read(struct task_file *f, const struct eval_files *files, const char *path);
/* What a mapping written in another file includes comes into it; the documents stay open, as errors need them. */
int task_file_include(struct task_file *f, const struct eval_files *files, struct yaml *y, json_t *map,
		      const char *path);
void task_file_close(struct task_file *f);
/* An error if a key still names a Python function. */
int task_file_functions(const struct source *src);

/* ---- task.c ------------------------------------------------------------------------------------------------------ */

struct task {
	char *name;
	enum output_type type;
	struct field text, target, choice, description, gen_prefix;
	char *target_delimiter, *fewshot_delimiter;
	struct filter *filters;
	size_t n_filters;
	int repeats;          /* how often each text is asked for */
	bool chat, multiturn; /* through the model's chat template; shots as turns of their own */
	bool inputs;          /* doc_to_text is a number: the choices are the questions */
	char *system;         /* system_instruction, or NULL */
	struct split eval;
	struct fewshot shots;
	char **until;              /* NULL at the end */
	int max_tokens, top_k;     /* top_k, top_p: 0 where nothing is cut off */
	double temperature, top_p; /* temperature 0: greedy */
	struct task_metric *metrics;
	size_t n_metrics;
	struct slice_columns columns;
	struct suite_size size; /* of all its documents */
	char *note;             /* what the report says of its documents, or NULL */
	struct digest digest;
};
int task_load(struct task *t, const struct source *src);
void task_release(struct task *t);

/* ---- group.c ----------------------------------------------------------------------------------------------------- */

struct group_metric {
	char *name, **filters; /* no filters: all that there are */
	size_t n_filters;
	bool by_size; /* members weigh as they have samples; else alike */
};
struct group_member {
	size_t task;  /* index into the suite's */
	size_t times; /* it counts (struct task_member) */
	bool direct;  /* it stands in the group's own list */
};
struct group {
	char *name;
	struct group_member *members; /* each task once */
	size_t n;
	struct group_metric *metrics;
	size_t n_metrics;
	struct digest digest;
};
/* Adds the tasks that a group names, and the group itself where it has values of its own. suite: the suite's file. */
int group_load(struct suite *s, const struct source *suite, const struct source *src);
void group_release(struct group *g);
/* False, with a warning: there is none. r: the results of the suite's tasks. */
bool group_result(struct task_result *out, const struct group *g, const struct suite_result *r);
/* metric_close() for the metrics of a group. */
void group_close(struct task_result *t);
/* Do the members weigh as they have samples, or each alike? */
bool group_is_by_size(const struct task_result *t, const struct metric *m);

/* ---- suite.c ----------------------------------------------------------------------------------------------------- */

struct suite {
	char *name;
	struct task *tasks;
	size_t n;
	struct group *groups;
	size_t n_groups, cap_groups;
};
/* Adds a task; shared: one that is there already, with the same questions, is the one. */
int suite_add(struct suite *s, const struct source *src, bool shared, size_t *index);

const struct task *suite_task(const struct suite *s, size_t i);
/* Names the cluster of a sample by a member of its document. ERR_INPUT: it has none. */
int doc_cluster(struct sample *s, const struct doc *d, const char *member);
/* Room for n samples of a task. */
void task_result_begin(struct task_result *r, const struct task *t, size_t n);
struct suite_result *suite_result_new(const struct suite *s);
/* The groups, behind the results of all tasks. */
void suite_result_groups(struct suite_result *r, const struct suite *s);

/* ---- prompt.c ---------------------------------------------------------------------------------------------------- */

/* d: one of t->eval. */
int instance_build(struct instance *out, const struct task *t, const struct doc *d);
/* Lets the model's template write the conversation; nothing to do for one without. */
int instance_chat(struct instance *in, const struct task *t, const struct scorer *scorer);
void instance_release(struct instance *in);
/* The document's text and its right answer alone, with the delimiter in front of it. */
int prompt_own_text(struct buf *question, struct buf *answer, const struct task *t, const struct doc *d);

/* ---- loglik.c, generate_until.c: the request kinds --------------------------------------------------------------- */

struct eval_run {
	const struct scorer *scorer;
	const struct jury *judge;            /* NULL: no task asks for one */
	const struct command_host *commands; /* likewise */
	uint64_t seed;
	uint64_t done;         /* documents, over the whole suite */
	double requests_per_s; /* of the last block; 0: none yet */
	const struct eval_keep *keep;
};
/* Which samples of a result are asked, in this order: sample number slots[i] is document rows[slots[i]]. */
struct asked {
	const size_t *slots, *rows;
	size_t n;
};
/* How many requests the next block should have: what takes about BLOCK_SECONDS, at most max. */
size_t block_size(const struct eval_run *run, size_t max);
/* A block of samples is scored, which took so long: to be kept, and counted. */
int block_done(struct eval_run *run, const struct task_result *r, const struct asked *block, size_t requests,
	       double seconds);
/* Evaluates what is asked; r's samples and metrics are there, empty. */
int loglik_run(struct eval_run *run, const struct task *t, struct task_result *r, const struct asked *asked);
int generate_until_run(struct eval_run *run, const struct task *t, struct task_result *r, const struct asked *asked);

/* ---- sample_ids.c ------------------------------------------------------------------------------------------------ */

/* The first sample whose id another one before it has, or SIZE_MAX. */
size_t sample_ids_twice(const struct sample *samples, size_t n);
/* partner[i]: which of the n_in has the id of of[i], or SIZE_MAX. */
void sample_ids_match(size_t *partner, const struct sample *of, size_t n, const struct sample *in, size_t n_in);

/* ---- order.c ----------------------------------------------------------------------------------------------------- */

struct visit {
	uint64_t place;
	size_t index; /* of the sample */
};
uint64_t visit_place(const char *seed, const char *task, const char *id);
uint64_t result_place(const struct task_result *t, const char *seed, size_t i); /* of a task or a group */
void visits_sort(struct visit *v, size_t n);
/* The samples of a place below this, in the order of the visit; room for t->n. Gives how many. */
size_t result_visits(const struct task_result *t, const char *seed, uint64_t below, struct visit *out);

/* ---- samples.c --------------------------------------------------------------------------------------------------- */

void sample_fill(struct sample *s, const struct doc *d, const struct instance *in, const char *target,
		 const char *response, size_t response_len);
/* What a filter made of the responses. */
void sample_answer(struct sample *s, const char *filter, const struct buf *answer);
/* The header of a result, and a line of it; yours. */
json_t *samples_header(const struct task_result *t, const char *format);
json_t *sample_json(const struct task_result *t, size_t i);
/* Of a line, what is no number that a gate needs: texts, hashes, tokens; yours. */
json_t *sample_texts(const struct sample *s);
void sample_texts_read(struct sample *s, const json_t *v);
/* Makes room for a result as its header says, of at most so many samples. ERR_INPUT. */
int samples_header_read(struct task_result *t, const json_t *v, const char *format, size_t most);
int sample_scores_read(struct task_result *t, size_t slot, const json_t *v);
/* The values, computed again. claimed: the file states them, and must be right. */
int samples_close(struct task_result *t, const char *name, bool claimed);

/* ---- samples_pack.c ---------------------------------------------------------------------------------------------- */

void samples_pack_close(struct samples_pack *p);

#endif
