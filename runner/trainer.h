/* trainer.h: what the trainers and `assay tokenizer train` share. */
#ifndef RUNNER_TRAINER_H
#define RUNNER_TRAINER_H

#include "model/model.h"
#include "runner/runner.h"

/* Adds the text that a tokenizer learns from: of a file of rows every text in every row (prompt, completion, text,
 * contents of messages), a line each; of any other file its bytes. */
int trainer_plain_text(struct tree *t, const char *path, struct buf *out);
int trainer_plain_rows(const char *text, size_t len, const char *name, struct buf *out);

/* The learning curve: a point is the mean loss and speed of some steps. */
struct trainer_curve {
	json_t *points;     /* [step, loss, lr, grad_norm, tokens per second] */
	json_t *validation; /* [step, loss] */
	char *path;         /* where it is kept beside a checkpoint */
	struct train_step last;
	int64_t every, n, tokens; /* steps a point; steps and tokens since the last one */
	double sum, seconds;
};
void trainer_curve_open(struct trainer_curve *c, const char *work);
int trainer_curve_step(const struct train_step *s, void *curve); /* a hook; goes on with what was kept */
int trainer_curve_save(void *curve);                             /* a hook */
void trainer_curve_finish(struct trainer_curve *c);              /* a last point, of the steps since */
void trainer_curve_close(struct trainer_curve *c);
json_t *trainer_curve_number(double x); /* null where it is not finite */

#endif
