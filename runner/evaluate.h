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
int64_t run_limit(const struct run *run);

#endif
