/* evaluate.h: the local engine (a model and its tokenizer) as a scorer of suites. */
#ifndef RUNNER_EVALUATE_H
#define RUNNER_EVALUATE_H

#include "evals/evals.h"
#include "model/model.h"
#include "runner/chat.h"
#include "runner/runner.h"

struct engine {
	struct model *model;
	struct tokenizer *tokenizer;
	struct chat *chat;  /* NULL: the folder has no template */
	const char *prompt; /* the product's, in front of every context; borrowed */
	int batch_tokens;
	uint64_t memory_bytes; /* beside the weights; 0: no bound. The caller's to set */
	bool warned;           /* that a system's message was left out */
	size_t n_cut;          /* requests so far whose beginning the model had no room for */
};
int engine_open(struct engine *e, const char *dir, struct backend *be, int batch_tokens, const char *prompt);
void engine_close(struct engine *e);
struct scorer engine_scorer(struct engine *e); /* borrows e */
struct score_options engine_options(const struct engine *e);
/* The ids of a prompt; the tokenizer adds its special tokens unless the text begins with them. */
int engine_encode(const struct engine *e, const char *text, size_t len, struct tokens *ids);

void evaluate_key(const struct run *run, const struct run_suite *s, const char *object, const char *prompt_oid,
		  char key[DIGEST_HEX]);
/* Of an evaluation that is not whole (parts.h). */
void evaluate_key_part(const struct run *run, const struct run_suite *s, const char *object, const char *prompt_oid,
		       char key[DIGEST_HEX]);
double run_limit(const struct run *run);
/* A limit as the harness has it: a whole number of samples a task, or below 1 a share of them. ERR_USAGE: neither. */
int evaluate_limit_check(double limit);
void evaluate_limit_ask(struct suite_options *how, double limit);
char *evaluate_limit_text(double limit); /* "at most 8 samples a task"; yours */
json_t *evaluate_limit_json(double limit);

uint64_t evaluate_seed(const struct run *run); /* of sampled answers */
/* The stored model, ready to answer; it stays so until another is needed. */
int evaluate_load(struct run *run, const char *object, const char *prompt, struct scorer *scorer);
/* Whole evaluations in the registry. ERR_NOTFOUND: none, or one whose samples are lost. */
int evaluate_known(struct run *run, struct run_suite *s, const char *object, const char *prompt_oid,
		   struct task_result **tasks, size_t *n, json_t **stage);
/* The answers of a server are stored: it need not keep them to be asked again. */
void evaluate_answered(struct run *run);
/* How many prompts were cut from the left since it was asked last. */
size_t evaluate_cut(struct run *run);
/* The file that keeps the samples of this evaluation on their way (eval_keep.h). */
struct keep;
int evaluate_keep(struct keep **out, const struct run *run, const struct run_suite *s, const char *object,
		  const char *prompt_oid);
/* Of a visit that asks everything, in the order of the documents. */
#define ANY_ORDER "0000000000000000000000000000000000000000000000000000000000000000"
/* Results into the store, as a stage, but for tasks without samples; and back. */
int evaluate_store(struct run *run, const struct suite_result *result, size_t cut, json_t **stage);
int evaluate_read(struct run *run, const json_t *stage, struct task_result **tasks, size_t *n);
void evaluate_forget(struct task_result **tasks, size_t *n);

#endif
