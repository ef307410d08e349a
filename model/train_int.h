/* train_int.h: what the files of a training share.
 *
 *	train.c          options, the step, the loop
 *	train_order.c    units, their order, steps and micro-batches
 *	train_ranks.c    a step's shares, over the devices that compute them
 *	train_eval.c     losses without training: validation and the best weights; train_loss
 *	train_dpo.c      the loss of preferences (DPO)
 *	train_state.c    what a resumed training goes on from: fingerprint, checkpoints
 *
 * A unit is what the order of steps is made of: an example, or a pair of them, chosen and rejected, that stay together. It
 * is named by the place of its (first) example in the data. */
#ifndef MODEL_TRAIN_INT_H
#define MODEL_TRAIN_INT_H

#include "model/model_int.h"

struct train_cursor { /* what comes next */
	int64_t step, epoch, at, seen, tokens;
};
struct train_state {          /* all that is carried from step to step */
	uint64_t fingerprint; /* of everything the result depends on */
	struct train_cursor cursor;
	double first_loss, last_loss, best_loss;
	int64_t best_step;            /* 0: none yet */
	int worse;                    /* evaluations since */
	float *params, *m, *v, *best; /* device; best: NULL where nothing is put aside */
	size_t n;
	double *reference[2]; /* of preferences: of the data and of the validation data, or NULL (train_set) */
	size_t n_reference[2];
};

struct train_set { /* the units of some data that have something to learn */
	const struct train_data *data;
	uint32_t *units;
	size_t n;
	int longest;       /* rows of the largest */
	double *reference; /* of preferences: log-probabilities of the initial model, by example */
};
struct train_place { /* of a unit, while micro-batches are chosen */
	uint32_t unit;
	int32_t rows, at, share, micro;
};
struct train_ranks {        /* the devices of this training, and what adds up their gradients */
	struct ranks *link; /* NULL: there is one device */
	int rank, n;        /* this one; all of them */
	float *floats;      /* both of: */
	float *sum, *inbox; /* what is added up already, and what has come from others; NULL: not wanted */
	size_t piece;       /* floats that are exchanged at a time */
	double *losses;     /* of each share */
	bool stop;          /* somebody was asked to stop */
};
struct training {
	struct model *m;
	const struct train_options *o;
	const struct train_hooks *hooks;
	int batch_tokens, micro_tokens;
	struct train_set set, held; /* what is trained on; validation data, n is 0 without */

	uint32_t *order;            /* of this epoch: places in set.units */
	size_t n;                   /* units an epoch takes */
	int64_t order_epoch, total; /* total: units to see, over all epochs */
	uint32_t *batch;            /* units of this step, by share and micro-batch */
	struct train_place *places;
	size_t n_batch, *ends; /* of each share, where it ends in batch */
	int shares;
	int64_t batch_rows, batch_counted;
	int64_t steps, warmup;

	float *trained; /* all parameters, or the factors of LoRA */
	size_t n_trained, n_decayed;
	struct pass pass;
	struct back back;
	struct pass_answer asked; /* of a micro-batch whose loss has not been taken yet, if n, and … */
	double *asked_loss;       /* … where it goes */
	struct train_ranks ranks;
	float *states; /* both Adam states, and the best weights */
	struct train_state state;
	double saved, saving; /* when a checkpoint was written, and how long that took */
};

int train_not_finite(const struct training *t, const char *what, double lr); /* ERR_INPUT */

/* ---- train_order.c ------------------------------------------------------------------------------------------------- */

/* An example of n tokens is n - 1 rows: the last token is only predicted. */
int train_rows(const struct train_example *e);
int train_counted(const struct train_example *e);
/* Checks all examples; what: "training" or "validation"; most_rows: of a unit. */
int train_set_open(struct train_set *s, const struct training *t, const struct train_data *d, const char *what,
		   int most_rows);
void train_set_close(struct train_set *s);
/* Fills the pass with units of the list from `at` on, below n, as many as fit; gives the place behind them. */
size_t train_fill(struct pass *p, const struct train_set *s, const uint32_t *units, size_t at, size_t n);
/* The order of t->set; counts steps and warm-up. */
int train_order_open(struct training *t);
/* Takes the units of the next step and moves the cursor behind them; false: there are no more. */
bool train_order_next(struct training *t, struct train_cursor *c);
/* Puts them in the order of well-filled micro-batches. */
void train_order_pack(struct training *t);

/* ---- train_ranks.c ------------------------------------------------------------------------------------------------- */

/* Lets the devices meet; those whose bits differ are refused before. As ranks_join. */
int train_ranks_open(struct training *t, bool (*stopped)(void));
void train_ranks_close(struct training *t);
uint64_t train_ranks_bytes(size_t n_trained, int shares, int ranks, bool by_device); /* memory that it takes */
/* Ranks that do not begin with the same weights, data and options, and at the same step, are refused. */
int train_ranks_check(struct training *t);
/* The gradients of shares first … first + n of all ranks, which stand in back.grads on each, are added to those of the shares
 * before, in the order of shares; behind the last ones, back.grads is the whole sum, the same on all ranks. */
int train_ranks_add(struct training *t, int first);
/* The losses of all shares, on all ranks, and whether somebody is asked to stop (stop: this one is). */
int train_ranks_tell(struct training *t, bool stop, double *loss);

/* ---- train_eval.c -------------------------------------------------------------------------------------------------- */

/* The loss of the validation data, if it is time; NaN if not. The best weights so far are put aside. */
int train_eval(struct training *t, struct train_step *s);
bool train_eval_impatient(const struct training *t);
int train_eval_restore(struct training *t); /* the best weights, where they were put aside; and waits */

/* ---- train_dpo.c --------------------------------------------------------------------------------------------------- */

/* Before step one, with the weights as they are then: fills s->reference. */
int train_dpo_reference(struct training *t, const struct train_set *s);
/* Adds the losses of n units to *loss; logprob: of their rows, which the head has gone over. counted: pairs of the step, for
 * the weights of the rows in the pass; 0: none are wanted. */
void train_dpo_losses(struct training *t, const struct train_set *s, const uint32_t *units, size_t n, int64_t counted,
		      const double *logprob, double *loss);

/* ---- train_state.c ------------------------------------------------------------------------------------------------- */

int train_state_fingerprint(const struct training *t, uint64_t *out);
int train_state_write(const char *dir, const struct train_state *s, struct backend *be);
/* ERR_NOTFOUND: dir holds none of this training. A damaged one is skipped with a warning for the one before it. */
int train_state_read(const char *dir, struct train_state *s, struct backend *be);

#endif
