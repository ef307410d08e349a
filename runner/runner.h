/* runner.h: a run: a commit on its way to a verdict.
 *
 * struct run owns all that the steps make. Each step unpacks it, calls one folder's public header, and packs the
 * result; run.c walks the table of steps and is the file to read first. */
#ifndef ASSAY_RUNNER_H
#define ASSAY_RUNNER_H

#include "artifacts/artifacts.h"
#include "base/base.h"
#include "base/json.h"
#include "evals/evals.h"
#include "kernels/kernels.h"
#include "runner/config.h"
#include "runner/event.h"
#include "runner/hub_cache.h"
#include "runner/home.h"
#include "runner/repo.h"

struct run_options {
	const char *rev; /* NULL: HEAD */
	bool dirty, json, quiet;
	bool judge;             /* judges may be asked */
	const char *profile;    /* NULL: none */
	const char *report_dir; /* NULL: no files */
	const char *target;     /* NULL: from the event */
	const char *device;     /* "auto" */
	struct crew *crew;      /* the devices of a training, of which `device` is the first; NULL: it alone */
	int shares;             /* of a step, where the configuration does not say; 0: as many as there are devices */
	const char *until;      /* NULL: all steps; else the last one, by name (assay plan stops behind "plan") */
	int64_t threads;        /* 0: all */
	double limit;           /* samples a task; below 1: that share of them; 0: whole suites */
	int shard, shards;      /* of the documents, 1 to shards: evaluated and stored, not judged (parts.c); 0: all */
	bool calibrates;        /* measures noise: what was measured before does not stand in its way */
	int64_t replicate;      /* > 0: the same commit with other random numbers (assay calibrate) */
	int64_t batch_tokens;   /* of scoring, at most */
	const char *memory;     /* "4G"; NULL: what there is */
	const char *datasets;   /* a folder of data sets, or NULL */
	double wait_s;          /* for another run's lease */
	bool fresh;             /* nothing that is stored is reused, there is no baseline (reproduce.c) */
	const char *base;       /* fresh: the object that a base MODEL@ALIAS stands for; NULL: what it is now */
	const char *object;     /* fresh: the model, which is not trained; NULL: it is */
	double checkpoint_s;    /* between checkpoints of a training; 0: only where it is stopped */
};
void run_options_init(struct run_options *o);

enum step_status { STEP_SKIPPED, STEP_DONE, STEP_REUSED, STEP_RESUMED, STEP_FAILED };
const char *step_status_name(enum step_status s);

enum run_step { RUN_READ, RUN_PLAN, RUN_TRAIN, RUN_EVAL, RUN_GATE, RUN_RECORD, RUN_REPORT, RUN_STEPS };

struct run_data { /* a data set of the training */
	char *path, oid[OID_HEX];
	const char *member; /* in path: which file of an archive; NULL: it is none */
	int64_t rows, bytes;
	double weight;
	bool validation; /* held out: judged by, not learned from */
	json_t *schema;  /* {member: {"rows","types"}} of its rows; NULL: not read */
};

struct run_memory { /* bytes that a piece of work needs */
	bool known;
	uint64_t weights, gradients, optimizer, activations, cache, total;
};

struct run_baseline {
	bool found;
	char *name, *commit, *why; /* why: in words, when not found */
	int version;               /* 0: a run without a version */
	bool promoted;             /* found by an alias: somebody or some gate wanted it there */
	char verdict[16];          /* of its run */
	char run[DIGEST_HEX], object[DIGEST_HEX], prompt[OID_HEX], product[DIGEST_HEX];
};

struct run_suite {
	char *path;
	struct suite *suite;
	char questions[DIGEST_HEX]; /* digest of all its tasks */
	struct task_result *tasks, *base_tasks;
	size_t n_tasks, n_base_tasks;
	json_t *stage, *base_stage;     /* {"tasks":[{"task","filter","n","object"}]}: what is stored */
	char lost[DIGEST_HEX];          /* key of an evaluation whose samples are not in the store; "" */
	bool reused, rescored, resumed; /* resumed: some samples were there from a run that was cut short */
};

struct run {
	const struct run_options *options;
	struct event event;
	struct repo *repo;       /* borrowed */
	struct home *home;       /* borrowed */
	struct backend *backend; /* opened when first needed */

	/* read */
	struct commit commit;
	struct tree *tree, *questions_tree; /* the candidate's; the target's (may be the same) */
	struct commit target;               /* oid "" if there is none */
	struct config config, target_config;
	bool have_config, have_target_config;
	const struct config *product, *questions; /* which of the two is used for what */
	bool repair; /* a push to the default branch that mends its broken policy: nothing runs, nothing is judged */

	/* plan */
	const struct config_profile *profile; /* may be NULL */
	bool may_train;
	char numerics[128];
	char product_key[DIGEST_HEX], train_key[DIGEST_HEX], prompt_oid[OID_HEX];
	char base_object[DIGEST_HEX];                /* the stored base; "" for init, or a folder not stored yet */
	const char *method;                          /* of a training to come: "full", "lora"; NULL: none; static */
	struct location *location;                   /* where the base is served; NULL: it is here */
	struct run_memory memory_train, memory_eval; /* plan_memory.c */
	uint64_t memory_have;                        /* 0: not known */
	const char *memory_what;                     /* what limits it; static */
	int batch_tokens;                            /* of scoring, so that it fits; 0: as the options say */
	struct hub_model hub;                        /* the base, if it is one of the hub's cache; else name is NULL */
	const char *base_dir; /* assay train: the base as a folder of the file system; else NULL */
	struct buf prompt;
	struct run_data *data;
	size_t n_data;
	json_t *overlap; /* of the data with the questions (plan_overlap.c); NULL: nothing is trained on */
	char overlap_key[DIGEST_HEX];
	struct run_suite *suites;
	size_t n_suites;
	struct run_suite *proposed; /* suites of the candidate that the target does not have: shown, decide nothing */
	size_t n_proposed;
	const char *alias;                                 /* that a PASS would move; NULL: none */
	int alias_version;                                 /* what it points at; 0: nothing */
	char alias_commit[OID_HEX], alias_prompt[OID_HEX]; /* of the run it stands for */

	/* train */
	char object[DIGEST_HEX]; /* the model that is judged */
	json_t *training;        /* {"method","steps","tokens","first_loss","last_loss","seconds","curve"} or NULL */
	bool left_to_ci;         /* a profile that does not train met a model that is not stored */

	/* eval */
	struct judges *judges;               /* NULL: off */
	const struct command_host *commands; /* that score; NULL: before step_eval() */
	struct score_host *score_host;       /* it */
	struct loaded *loaded;               /* evaluate.c: the model kept between suites */
	struct early *early;                 /* early.c: samples asked in blocks; NULL: suite by suite */
	json_t *stopped;              /* {"order","why","asked","total"} of an evaluation that is not whole, or NULL */
	char attempt_of[DIGEST_HEX];  /* the baseline's run against which the attempts were counted */
	char base_scored[DIGEST_HEX]; /* the baseline's run whose answers the suites have; "": none */

	/* gate */
	struct lease *gate_lease;
	struct run_baseline baseline;
	struct gate_result gate;
	bool have_gate, identical;
	json_t *more_stages; /* that the record shall have too, or NULL */
	int64_t attempt;     /* of this branch against this baseline, from 1; 0: nobody counts */
	char *exhausted;     /* more attempts than the policy has error for, in words, or NULL */

	/* record, report */
	json_t *record;
	char id[DIGEST_HEX];
	json_t *promotion; /* {"state","alias","from","to","why"} or NULL */
	json_t *notes;     /* texts */
	json_t *report;

	struct {
		enum step_status status;
		double seconds;
	} steps[RUN_STEPS];
	double started;
	int failed; /* the first failure, or 0 */
	char *fail_text, *fail_hint;
};

/* Runs a commit through the steps. Gives the exit code of the process. The caller owns *run and releases it. */
int run_push(struct run *run, const struct run_options *o, struct repo *repo, struct home *home,
	     const struct event *event);
void run_release(struct run *run);
void run_suites_drop(struct run *run); /* those that decide */
/* The target's questions cannot be read (rc): 0, and the candidate's own are in force, if this push is what mends them; else rc, with
 * what to do. */
int run_repair(struct run *run, int rc);
void run_note(struct run *run, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Of the gate: what the policy says, or (gate.attempts) its share for one attempt. */
double run_confidence(const struct run *run);
/* The policy whose locations this run may use: the target's, if that is of the default branch or was named by hand; else NULL. */
const struct config *run_policy(const struct run *run);
int run_shares(const struct run *run); /* of a step of the training: finetune.data_parallel, or as many as devices */
int run_backend(struct run *run);      /* opens run->backend if it is not */
const char *run_step_name(size_t i);
void run_stop_on_signals(void); /* SIGINT and SIGTERM end training at a checkpoint, and a command */
const volatile int *run_stop_flag(void);

/* The steps; their order stands in run.c. */
int step_read(struct run *run);
int step_plan(struct run *run);
int step_train(struct run *run);
int step_eval(struct run *run);
int step_gate(struct run *run);
int step_record(struct run *run);
int step_report(struct run *run);

/* Looks for a stored model with run->train_key; fills run->object and run->training if there is one. */
int train_known(struct run *run);

/* plan.c: what the plan found, as a document and as text (assay plan). */
json_t *plan_json(const struct run *run);

/* train.c of the runner: the two ways to a model. */
int trainer_own(struct run *run, const char *work, const char *out);
int trainer_command(struct run *run, const char *work, const char *out);

/* suites on a stored model: fills tasks and stage from the registry, or by running. reused tells which. */
int evaluate_object(struct run *run, struct run_suite *s, const char *object, const char *prompt_oid,
		    const char *prompt, struct task_result **tasks, size_t *n, json_t **stage, bool *reused,
		    bool may_run);
void evaluate_close(struct run *run); /* drops the model kept loaded between suites */

uint64_t run_model_bytes(const struct run *run); /* of all files of the model that is judged */
/* What the stages of this run made, under their keys, as the record keeps it; yours. */
json_t *run_stages(const struct run *run);
/* The gate's result as the record keeps it (rules.c). */
json_t *rules_json(const struct gate_result *g);

/* The report of a stored run, from its record and the samples in the store; pairs (NULL: not wanted): the samples as the web
 * page has them (ci/html_samples.c). Both yours. */
int report_of_record(json_t **report, json_t **pairs, struct home *h, const char *id, const json_t *record);
/* Removes the report of an earlier run from the folder (NULL: no folder), so that a run that ends early leaves none that
 * would pass for its own. ERR_INPUT: the folder is a symbolic link. Files of the same names beside a report.json that is not assay's stay. */
int report_dir_clear(const char *dir);

#endif
