/* evals.h: questions to a model, scores back, and a verdict on the difference.
 *
 * Three parts. Suites: a suite file names tasks in lm-evaluation-harness keys; suite_run() asks any model through one
 * struct scorer and gives per-sample scores. Statistics of one run and of a pair. The gate: a pure function of
 * (policy, candidate, baseline). Nothing here opens a file, a socket or the registry: files come through a reader. */
#ifndef ASSAY_EVALS_H
#define ASSAY_EVALS_H

#include "base/base.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/yaml.h"

/* ---- the model, as evals sees it ---------------------------------------------------------------------------------- */

struct loglik_request { /* the logarithm of P(continuation | context); rolling: of P(context), continuation NULL */
	const char *context, *continuation;
	bool chat; /* the context came out of chat() */
};
struct loglik_result {
	double logprob;
	int tokens;
	bool greedy;
	double seconds; /* what it took, or its share of what many took; 0: not known */
};
struct generate_until {
	const char *prompt;
	const char *const *until; /* NULL at the end */
	int max_tokens;
	double temperature; /* 0: greedy; the next two then say nothing */
	int top_k;          /* 0: all */
	double top_p;       /* 0: all */
	uint64_t seed;
	bool chat; /* the prompt came out of chat() */
};
struct generated {
	char *text; /* the caller's to free; may hold NULs */
	size_t len;
	int tokens;
	double seconds; /* as of a loglik_result */
};
struct scorer_watch { /* is told now and then how many of a call's requests are through */
	void (*call)(size_t n_done, void *arg);
	void *arg;
};
struct scorer { /* filled by the runner; results in the order of the requests */
	void *self;
	int (*loglik)(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
		      const struct scorer_watch *watch);
	int (*generate)(void *self, const struct generate_until *reqs, size_t n, struct generated *out,
			const struct scorer_watch *watch);
	/* Adds the conversation as the model's chat template writes it, up to where the answer begins; continues: up to
	 * where the last message, which is the beginning of the answer, ends. NULL: the model has no template. */
	int (*chat)(void *self, const json_t *messages, bool continues, struct buf *out);
};

/* ---- suites --------------------------------------------------------------------------------------------------------- */

/* How files named by a suite are reached (paths are relative to the root of the tree). */
struct eval_files {
	void *self;
	int (*read)(void *self, const char *path, struct buf *out); /* ERR_NOTFOUND if there is none */
	/* Calls each() for every file beneath a folder, with its path; a folder that is not there has none. NULL: groups
	 * find no tasks by name, and tasks no data sets. */
	int (*list)(void *self, const char *folder, int (*each)(const char *path, void *arg), void *arg);
	/* {"org/name": folder} for data sets that tasks name as the Hugging Face hub does; "*": a folder of such folders.
	 * NULL: none; borrowed. */
	const json_t *datasets;
	/* How many bytes of memory are free now, of which documents may take half; 0: not known. NULL: documents are not bounded. */
	uint64_t (*memory)(void *self);
};

struct suite;
/* Reads the suite file, its task files and all their data. A file named in another is looked for beside that file,
 * then from the root. Every mistake is ERR_INPUT with file, line and key. */
int suite_load(struct suite **out, const char *path, const struct eval_files *files);
void suite_free(struct suite *s);
bool suite_has_command(const struct suite *s); /* Does a task of it name a command that scores? */
const char *suite_name(const struct suite *s);
size_t suite_tasks(const struct suite *s);
const char *suite_task_name(const struct suite *s, size_t i);
size_t suite_task_docs(const struct suite *s, size_t i);
/* What a report says of task i's documents, where the harness goes on with a warning: how many have a right answer that is
 * none of their choices, and which is the first. NULL: nothing. Borrowed. */
const char *suite_task_note(const struct suite *s, size_t i);
/* The first task that task i shares a group with, of a group or of groups that overlap: itself without one. */
size_t suite_task_unit(const struct suite *s, size_t i);
/* Digest of all questions of task i: canonical keys and documents. Equal digests: samples pair one to one. */
struct digest suite_task_digest(const struct suite *s, size_t i);
/* Of all its tasks, by name, and of what its groups make of them. */
struct digest suite_digest(const struct suite *s);
/* How much is asked at most, counted in bytes, of which a token has at least one: the longest request, with the tokens that
 * may be written behind it, and all of them. Of a chat neither is known before a template has written it: UINT64_MAX. */
struct suite_size {
	uint64_t longest, total, requests;
	bool generates;
};
struct suite_size suite_size(const struct suite *s);
/* Calls each() for every evaluated document, for overlap checks. text: the question, the right answer. */
struct suite_text {
	const char *task, *id, *question, *answer;
};
int suite_each_text(const struct suite *s, int (*each)(const struct suite_text *text, void *arg), void *arg);

/* How a metric is made from its per-sample pairs (score, weight). */
enum aggregate {
	AGGREGATE_MEAN,       /* sum score / n; with weights: sum weight score / sum weight */
	AGGREGATE_PERPLEXITY, /* exp(-sum score / sum weight): perplexity, word_perplexity, byte_perplexity */
	AGGREGATE_BITS,       /* -sum score / (sum weight ln 2): bits_per_byte */
	/* of the sums of each sample's parts (evals/corpus.c) */
	AGGREGATE_BLEU,
	AGGREGATE_CHRF,
	AGGREGATE_TER,
	AGGREGATE_F1,
	AGGREGATE_MCC,
	AGGREGATE_MEMBERS, /* of a group: the mean of its members' values, of any of those above but the mean */
};
struct metric {
	char *name, *filter; /* "acc", "none" */
	enum aggregate aggregate;
	bool higher_is_better, binary; /* binary: every score is 0 or 1 */
	double value, stderr_;         /* stderr_ NaN where it is not defined */
	double *scores, *weights;      /* one per sample; weights NULL: all 1 */
	double *parts;                 /* n_parts per sample, of which a corpus's value is made; else NULL */
	size_t n_parts;
};
struct sample {
	char *id; /* unique in the task: the document's "id" if it has one, else its row number */
	char *prompt, *target, *response; /* cut to some KB for the record */
	size_t response_len;              /* what a model wrote may hold NULs */
	json_t *answers;                  /* {filter: what it made of the responses}; NULL: the response as it is */
	char *slice, *cluster;            /* what it is a part of; NULL: of nothing */
	char doc_hash[17], prompt_hash[17], target_hash[17]; /* "": not known */
	int64_t tokens;                                      /* scored or written; 0: not known */
	double seconds; /* its requests took; 0: not known. Not stored with the samples (times.c) */
};
enum { SHARDS_MAX = 10000 };
struct task_shard { /* those documents of the first `asked` whose number leaves i - 1, divided by n; n 0: all */
	int i, n;
	size_t asked;
	char by[DIGEST_HEX]; /* who answered, and how; "": nobody said */
};
struct task_member {
	char *task;
	size_t n;     /* its samples */
	size_t times; /* it counts: as often as the groups within the group name it, too */
};
struct task_result { /* of a task, or of a group: the samples of its members, one member behind the other */
	char *task;
	char digest[DIGEST_HEX]; /* suite_task_digest */
	char *asked;             /* of another tool's result: what its digest is of, in words; else NULL */
	size_t n, n_total;       /* evaluated, in the task */
	struct task_shard shard;
	double seconds; /* that the scorer took; not stored with the samples, which are the same at any speed */
	bool timed;     /* the samples' times are known, and written by task_sample_write() and its kin */
	struct sample *samples;
	struct metric *metrics;
	size_t n_metrics;
	struct task_member *members; /* of a group; NULL: a task */
	size_t n_members;
	struct samples_pack *pack; /* texts of samples that are not read yet; NULL: all are there */
	char order[DIGEST_HEX];    /* seed of the order in which it was visited (order.c); "": its documents' */
	uint64_t asked_below;      /* the samples of a place below this are all there */
};
struct suite_result {
	char *suite;
	struct task_result *tasks; /* behind the suite's tasks, its groups */
	size_t n;
};
/* Where samples are kept as they come, so that a run that was cut short goes on in the middle of a task. */
struct eval_keep {
	void *self;
	/* Fills the samples of r that are known, and marks them; r has its n samples and metrics, empty. */
	int (*restore)(void *self, struct task_result *r, bool *have);
	int (*add)(void *self, const struct task_result *r, const size_t *slots, size_t n);
};
/* Models that score what others wrote, at named locations; filled by the runner. */
struct jury {
	void *self;
	int (*ask)(void *self, const char *location, const struct generate_until *reqs, size_t n, struct generated *out,
		   const struct scorer_watch *watch);
};
/* Programs of the questions that score what models wrote; the runner says where and how they may run. */
struct score_file {
	char *path; /* relative; where the program finds it */
	struct buf bytes;
};
struct score_command {
	char **argv; /* NULL at the end */
	size_t n_words;
	struct score_file *files;
	size_t n_files;
	double timeout_s;
};
struct command_host {
	void *self;
	int (*ready)(void *self); /* ERR_ENV: no command may run here */
	/* Runs it on the lines; *out, whose limit is the caller's, takes what it prints. ERR_INPUT: it failed;
	 * ERR_UNAVAILABLE: it is not there, or took too long. */
	int (*run)(void *self, const struct score_command *c, const char *in, size_t len, struct buf *out);
};
struct suite_options {
	int64_t limit; /* > 0: the first so many documents of each task */
	double share;  /* > 0, below 1: this share of each task's documents, rounded up, as the harness's limit */
	uint64_t seed;
	int shard, shards;                   /* 1 to shards; 0: all */
	const char *by;                      /* of a shard: a digest of all that can change a score but the questions */
	const struct eval_keep *keep;        /* NULL: nothing is */
	const struct jury *judge;            /* NULL: off; a task that wants one is refused */
	const struct command_host *commands; /* likewise */
};
/* What the suite will measure, known before anything is asked: calls each() for every metric of every task and group. */
struct suite_measure {
	const char *task, *metric, *filter; /* borrowed during the call */
	enum aggregate aggregate;
	bool higher_is_better, binary, weighted;
	size_t n; /* samples */
};
int suite_each_measure(const struct suite *s, int (*each)(const struct suite_measure *m, void *arg), void *arg);
/* The clusters that a task's documents name by this member (NULL: by the task's own column). n 0: by nothing. */
struct suite_clusters {
	size_t n;
	double effective; /* (sum of sizes)^2 / sum of their squares */
};
int suite_count_clusters(const struct suite *s, const char *task, const char *member, struct suite_clusters *out);
int suite_run(struct suite_result **out, const struct suite *s, const struct scorer *scorer,
	      const struct suite_options *o);
void suite_result_free(struct suite_result *r);
/* Shards put together, in any order; their samples move into *out, which is what a run without shards gives, bit for bit.
 * ERR_INPUT names the file that is missing, there twice, or of another suite, model or limit. */
struct shard_file {
	const char *name;
	struct task_result *tasks;
	size_t n;
};
int suite_merge(struct suite_result **out, const struct suite *s, const struct shard_file *files, size_t n);
/* Names the cluster of each sample of a result of this suite: the member of that name of its document, a text or a whole
 * number. ERR_INPUT names the first document without one. */
int suite_clusters(const struct suite *s, struct task_result *r, const char *member);
void task_result_release(struct task_result *t);
/* The stored form: blocks and an index (evals/samples_pack.c). Equal results give equal bytes, with one version of zstd. */
void task_result_pack(const struct task_result *t, struct buf *out);
/* A stored form's bytes, mapped or not. release (may be NULL) is called when the result is released, and at an error. */
struct samples_bytes {
	const uint8_t *data;
	size_t len;
	void (*release)(void *self);
	void *self;
};
/* Opens either form. Of the packed one all numbers and names are read, not the texts. ERR_IO names a damaged block;
 * ERR_INPUT: it is no such file, or one of a newer version. */
int task_result_open(struct task_result *out, struct samples_bytes bytes, const char *name);
/* Reads the texts of sample i, or of all of them: prompt, target, response, answers, hashes, tokens. */
int task_result_text(struct task_result *t, size_t i);
int task_result_texts(struct task_result *t);
/* How long each sample took, as bytes of their own. ERR_INPUT: they are not of so many samples, or no times. */
void task_times_pack(const struct task_result *t, struct buf *out);
int task_times_read(struct task_result *t, const void *data, size_t len, const char *name);
double task_result_seconds(const struct task_result *t); /* of all samples; 0: not known */
/* The same for people and other tools: a header line {"task",…,"metrics":[…]} and a line a sample; reads back equal. The
 * texts must be there. */
void task_result_write(const struct task_result *t, struct buf *out);
/* One line of it. */
void task_sample_write(const struct task_result *t, size_t i, struct buf *out);
/* Samples on their way, {"slot":i, and a line of the above}: what a struct eval_keep keeps. */
void task_samples_write(const struct task_result *t, const size_t *slots, size_t n, struct buf *out);
int task_samples_restore(struct task_result *t, bool *have, const char *text, size_t len, const char *name);
int task_result_read(struct task_result *out, const char *text, size_t len, const char *name);
/* Several, one behind the other. ERR_NOTFOUND: it is no such text. Free *out and release its n also after an error. */
int task_results_read(struct task_result **out, size_t *n, const char *text, size_t len, const char *name);
/* From plain score files ({"id","score"[,"weight","cluster","slice","repeat"]} a line), as one task with one metric. */
int task_result_read_scores(struct task_result *out, const char *text, size_t len, const char *name);
/* In words, what of two results of one task are other questions: documents that came, went or changed, other prompts
 * around the same documents, new metrics. The texts of both must be there. Yours. */
char *task_result_differences(const struct task_result *candidate, const struct task_result *baseline);
/* What lm-evaluation-harness wrote with --log_samples: results_DATE.json, beside it samples_TASK_DATE.jsonl. ERR_NOTFOUND: no
 * such file. Free *out and release its n also after an error. */
int harness_results_read(struct task_result **out, size_t *n, const struct eval_files *files, const char *path);
/* The same form of ours, MODEL/results_DATE.json and MODEL/samples_TASK_DATE.jsonl, MODEL being `model` without what a file's
 * name cannot have with the results last. The texts must be there. ERR_INPUT: two tasks of one name, one
 * that is no file's name, or a shard. What the form has no place for: evals/harness_write.c. */
struct harness_target {
	void *self;
	int (*write)(void *self, const char *path, const struct buf *text);
	const char *model;
	int64_t unix_ns; /* the date */
};
int harness_write(const struct harness_target *to, const struct task_result *tasks, size_t n);
/* {"suite","tasks":{TASK:{METRIC:{value,stderr,n[,"by":{SLICE:{value,stderr,n}}]}}}} */
json_t *suite_result_json(const struct suite_result *r);
/* The metric on each slice, {SLICE:{value,stderr,n}}; yours. NULL: the samples are of none. */
json_t *slices_json(const struct task_result *t, const struct metric *m);
const struct metric *task_result_metric(const struct task_result *t, const char *name, const char *filter);
/* What a report says of a metric whose value is no finite number, which JSON writes as null. NULL: nothing. Yours. */
char *task_result_metric_note(const struct task_result *t, const struct metric *m);

/* ---- overlap: are the questions in the training data? -------------------------------------------------------------- */

/* Index the questions, let the training data go by, read off the counts. What counts as overlap: evals/overlap.c. */
struct overlap;
struct overlap *overlap_new(void);
void overlap_free(struct overlap *o);
/* Documents of one task are added one behind the other. ERR_INPUT: more than 2^31 words. */
int overlap_add(struct overlap *o, const char *suite, const struct suite_text *text);
int overlap_add_suite(struct overlap *o, const struct suite *s);
/* A text of the training data. line 0: of a file without lines. */
void overlap_scan_text(struct overlap *o, const char *text, size_t len, const char *file, size_t line);
/* A line of training data: {"text"}, {"prompt","completion"}, {"messages"}, {"prompt","chosen","rejected"}; of any other
 * object every text in it. */
void overlap_scan_example(struct overlap *o, const json_t *example, const char *file, size_t line);
/* [{"suite","task","n","exact","ngram","documents","examples":[{"id","how","where"}]}], in the order of the tasks.
 * documents: those with either; examples: the first five. Yours. */
json_t *overlap_json(struct overlap *o);

/* ---- the gate --------------------------------------------------------------------------------------------------------- */

enum verdict {
	VERDICT_ERROR,
	VERDICT_PASS,
	VERDICT_FAIL,
	VERDICT_INCONCLUSIVE,
	VERDICT_NO_BASELINE,
	VERDICT_INCOMPARABLE
};
const char *verdict_name(enum verdict v); /* "PASS" */
int verdict_parse(enum verdict *out, const char *name);

enum gate_action { GATE_BLOCK, GATE_WARN, GATE_PASS_THROUGH, GATE_FLOORS, GATE_RESCORE };
struct gate_rule {
	char *task, *metric, *filter; /* filter NULL: the task's first */
	bool has_min, has_max, has_drop, has_increase, has_gain, has_overlap, drop_relative, increase_relative,
		gain_relative;
	double min, max, drop, increase, gain; /* drop: in the metric's unit, or a ratio if relative */
	char *no_new_failures; /* of samples whose id or slice matches this pattern (* ? [a-z]); NULL: no such limit */
	char *cluster;         /* the member of a document that says which of them belong together, or NULL */
	bool whole_clusters;   /* cluster_losses: whole: a loss may come as whole clusters */
	bool has_range;        /* scores lie in least..most; one that does not is an error */
	double least, most;
	double overlap; /* the largest share of the task's documents that the training data may have */
};
struct gate_limits {                        /* what a model may take; 0: no limit */
	double seconds, bytes, cost, price; /* price: of an hour */
};
struct gate_policy {
	char *baseline; /* "production"; NULL: none asked for */
	double confidence;
	bool population;   /* target */
	bool strict_power; /* a rule that can only end INCONCLUSIVE is refused */
	struct gate_rule *rules;
	size_t n;
	char **watch;
	size_t n_watch;
	enum gate_action no_baseline;                                  /* FLOORS, BLOCK, PASS_THROUGH */
	enum gate_action inconclusive_push, inconclusive_pull_request; /* WARN, BLOCK */
	enum gate_action incomparable;                                 /* RESCORE, BLOCK */
	int64_t rescore;                                               /* at most so many samples; 0: all */
	int64_t attempts;  /* of a branch against one baseline, over which the error is spent; 0: not counted on */
	bool stop_early;   /* as soon as every rule is decided */
	double deadline_s; /* of the evaluation; 0: none */
	size_t max_items;  /* that are asked at most; 0: all */
	struct gate_limits limits;
	bool has_overlap;
	double max_overlap; /* for every task whose rules do not say it themselves */
};
/* The defaults of docs/reference.md with no rule. */
void gate_policy_init(struct gate_policy *p);
/* gate: the mapping under "gate:" (y: its document, for positions). What this version cannot judge (attempts)
 * is refused by name. */
int gate_policy_parse(struct gate_policy *out, const struct yaml *y, const json_t *gate);
void gate_policy_release(struct gate_policy *p);

struct gate_result_rule {
	char *rule; /* "intents.acc: max_drop 0.03" */
	char *task, *metric, *filter;
	enum verdict verdict;
	double baseline, candidate, delta; /* NaN: none. delta = candidate - baseline, in the metric's unit */
	double lo, hi;                     /* each end a one-sided bound of delta (or of the value, for min and max) */
	double p;                          /* of the test that PASS rests on; NaN: arithmetic, no test */
	bool open;                         /* more samples may decide it */
	const char *whole;                 /* why only all of them do; NULL: fewer may, or it is decided; static */
	size_t clusters;                   /* that the test rests on; 0: on samples */
	size_t n, lost, won;          /* samples; for 0/1 scores, those only the baseline / the candidate got right */
	const char *method;           /* "exact count", "exact test", "floored t", …; static */
	char *explanation;            /* a sentence with numbers */
	bool higher_is_better, gated; /* gated false: a watched or merely shown metric; FAIL is then an alarm */
};
struct gate_overlap { /* of one task with the training data (overlap.c) */
	const char *task;
	size_t n, exact, ngram, documents;
};
struct gate_usage { /* what the candidate took */
	double seconds, bytes;
};
struct gate_input {
	const struct gate_usage *usage; /* NULL: not known */
	const struct task_result *const *candidate;
	size_t n_candidate;
	const struct task_result *const *baseline; /* NULL: no baseline */
	size_t n_baseline;
	const char *exhausted;    /* why no test can pass any more (attempts), or NULL */
	bool identical;           /* same weights, tokenizer, prompt and questions: PASS by identity */
	const char *incomparable; /* a reason found by the caller, or NULL */
	bool pull_request;        /* which inconclusive rule applies */
	const struct gate_overlap
		*overlap; /* of the candidate's training data; a task that is not here was not counted */
	size_t n_overlap;
	const char *overlap_missing; /* what of the data could not be compared, or NULL */
	/* The seed of the order in which samples are visited, where somebody looks before all are in: then bets on that
	 * order decide, too, and a population's final test has the rest of the level. NULL: as the candidate says. */
	const char *order;
};
struct gate_result {
	enum verdict verdict;
	bool blocks;                    /* the policy lets this verdict stop the push */
	int exit;                       /* 0, 1, 2 */
	char *sentence;                 /* why, in one sentence */
	struct gate_result_rule *rules; /* the gated ones first, worst first; then every other paired metric */
	size_t n;
	double confidence;
	bool population;
};
/* Pure. ERR_INPUT if the policy names a task or metric that nobody measured. */
int gate_decide(struct gate_result *out, const struct gate_policy *policy, const struct gate_input *in);
enum gate_want { GATE_WANTS_NONE, GATE_WANTS_GOLDEN, GATE_WANTS_ALL };
/* Of a candidate that was asked in the order in->order, as far as it came: what is missing for a verdict? */
struct gate_look {
	bool failed;           /* a rule has failed for good: so has the gate */
	size_t open;           /* rules that more samples may decide */
	char *whole;           /* which of them want all samples, and why; NULL: none */
	enum gate_want *wants; /* of each of the candidate's tasks */
};
int gate_look(struct gate_look *out, const struct gate_policy *policy, const struct gate_input *in);
void gate_look_release(struct gate_look *look);
/* Is a sample golden by a rule (no_new_failures) of this task or group? */
bool gate_is_golden(const struct gate_policy *policy, const char *task, const char *id, const char *slice);

/* A suite asked bit by bit, by task and document number (visit.c). The suite must outlive it. */
struct suite_visit;
/* order: the seed of the order of the visit, 64 hexadecimal digits; seed: of sampled answers (struct suite_options). */
void suite_visit_open(struct suite_visit **out, const struct suite *s, const char *order, uint64_t seed);
void suite_visit_free(struct suite_visit *v);
/* Samples that are known already: those of the same questions and metrics are taken over. */
void suite_visit_take(struct suite_visit *v, const struct task_result *known);
/* The same of samples that an eval_keep has (NULL: none), which keeps those that come, too; borrowed. */
int suite_visit_keep(struct suite_visit *v, const struct eval_keep *keep);
/* For tasks that want one (struct suite_options); borrowed. ERR_ENV: a task does, and it is NULL or not ready. */
int suite_visit_judge(struct suite_visit *v, const struct jury *judge, const struct command_host *commands);
bool suite_visit_has(const struct suite_visit *v, size_t task, size_t doc);
const struct suite *suite_visit_suite(const struct suite_visit *v);
uint64_t suite_visit_known(const struct suite_visit *v); /* samples */
/* Where the document stands in the order: the same for all tasks of all suites. */
uint64_t suite_visit_place(const struct suite_visit *v, size_t task, size_t doc);
bool suite_visit_is_golden(const struct suite_visit *v, const struct gate_policy *policy, size_t task, size_t doc);
/* Asks documents that are not known yet; *done counts them, for the progress that the caller began. */
int suite_visit_ask(struct suite_visit *v, const struct scorer *scorer, size_t task, const size_t *docs, size_t n,
		    uint64_t *done);
/* What is known by now, tasks without a sample among them; brief: without texts. Yours. */
struct suite_result *suite_visit_result(const struct suite_visit *v, bool brief);
/* What is wanted of each of the suite's tasks, from what is wanted of each of that result's (its groups among them). */
void suite_visit_needs(const struct suite_visit *v, const struct suite_result *r, const enum gate_want *wants,
		       enum gate_want *needs);
/* Before there are scores: why the gate will fail whatever they are, since a task of in->overlap breaks its limit; yours.
 * NULL: it may pass. */
char *gate_overlap_broken(const struct gate_policy *policy, const struct gate_input *in);
/* Why this metric of the candidate cannot be compared with the baseline's, sample by sample; yours. NULL: it can, or there is no
 * baseline. */
char *gate_incomparable(const struct gate_input *in, const struct task_result *task, const struct metric *metric);
void gate_result_release(struct gate_result *r);

/* ---- the gate before there are scores (gate_power.c) ------------------------------------------------------------------ */

/* By how much two models that are equally good differ on a metric: seen before, or assumed. */
struct gate_noise {
	const char *task, *metric, *filter;
	double flips;     /* of 0/1 scores: the share of samples that come out differently */
	double spread;    /* of others: the standard deviation of a sample's difference, in the metric's unit */
	const char *from; /* "the last 3 comparisons"; static or borrowed */
};
struct gate_power_input {
	const struct suite *const *suites;
	size_t n_suites;
	int64_t limit; /* > 0: so many samples a task */
	double share;  /* > 0: this share of them (struct suite_options) */
	const struct task_result *const *baseline;
	size_t n_baseline; /* 0: nothing is stored of one */
	const struct gate_noise *noise;
	size_t n_noise;
	bool structure; /* only what no model could change: pass stays NaN, and this takes no time */
};
enum gate_outlook {
	OUTLOOK_FINE,     /* an unchanged model passes in four of five runs, or nobody knows */
	OUTLOOK_WEAK,     /* more seldom */
	OUTLOOK_HOPELESS, /* an unchanged model cannot pass at all */
	OUTLOOK_NEVER     /* no model can pass or fail: only INCONCLUSIVE is left */
};
struct gate_power_rule {
	char *rule, *task, *metric; /* "intents.acc: max_drop 0.03" */
	size_t n, clusters;         /* clusters 0: none */
	double flips;               /* NaN: not of 0/1 scores */
	const char *from;           /* where flips or spread are from; NULL: not known */
	double detects;             /* the least change that is told from none: in the metric's unit; NaN: not known */
	double pass;                /* probability that an unchanged model passes; NaN: not known */
	enum gate_outlook outlook;
	char *why; /* a sentence, where outlook is not FINE; else NULL */
};
struct gate_power {
	struct gate_power_rule *rules; /* of the policy, in its order; one for each limit */
	size_t n;
	/* That all rules pass: if they were independent, and bounds whatever their dependence. NaN: a rule is not known. */
	double pass, pass_least, pass_most;
};
/* Pure, like gate_decide(). ERR_INPUT if the policy names a task or a metric that the suites will not measure, a wrong
 * direction, clusters that the documents do not name. */
int gate_power(struct gate_power *out, const struct gate_policy *policy, const struct gate_power_input *in);
void gate_power_release(struct gate_power *p);
json_t *gate_power_json(const struct gate_power *p);
/* The variance of one sample's difference, read off the bounds that a compared metric is shown with. */
double gate_row_variance(const struct gate_result_rule *row, double confidence);
/* What two runs of k like these differ by at most, at this confidence, where sd is the standard deviation of their values. */
double gate_noise_floor(double sd, size_t k, double confidence);
/* A max_drop for n 0/1 scores that an unchanged model, which differs on a share `flips` of them, passes in 19 of 20 runs;
 * a multiple of half a point, at least one point. */
double gate_propose_drop(size_t n, double flips, bool population, double confidence);
/* The document of `assay gate --json` (docs/reference.md). */
json_t *gate_result_json(const struct gate_result *r);

#endif
