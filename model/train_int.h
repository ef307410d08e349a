/* train_int.h: what the files of a training share.
 *
 *	train.c        the step loop: batch, forward, backward, clip, update; schedule, validation
 *	train_dpo.c    the loss of preferences (DPO)
 *	checkpoint.c   state of a training, in and out
 *
 * A unit is what the order of steps is made of: an example, or a pair of them, chosen and rejected, that stay together. */
#ifndef MODEL_TRAIN_INT_H
#define MODEL_TRAIN_INT_H

#include "model/model_int.h"

struct training {
	struct model *m;
	const struct train_data *data;
	const struct train_options *o;
	const struct train_hooks *hooks;
	int batch_tokens, micro_tokens;

	uint32_t *useful; /* units with something that counts; of a pair, the chosen one */
	size_t n_useful;
	uint32_t *order; /* of this epoch: places in useful */
	size_t n;        /* units an epoch takes */
	int64_t order_epoch, total; /* total: units to see, over all epochs */
	uint32_t *batch;            /* units of this step */
	size_t n_batch;
	int64_t batch_rows, batch_counted;
	int64_t steps, warmup;

	float *trained; /* all parameters, or the factors of LoRA */
	size_t n_trained, n_decayed;
	struct pass pass;
	struct back back;
	float *states; /* both Adam states */
	double *reference; /* of a preference training: log-probabilities of the initial model, by example */
	struct train_state state;
	double started, saved;
};

/* An example of n tokens is n - 1 rows: the last token is only predicted. */
static inline int train_rows(const struct train_example *e)
{
	return e->n - 1;
}
void train_add_example(struct pass *p, const struct train_example *e);
/* Fills the pass with units of the list from `at` on, as many as fit; gives the place behind them. */
size_t train_fill(struct training *t, const uint32_t *units, size_t at, size_t n);

/* ---- train_dpo.c ------------------------------------------------------------------------------------------------- */

/* Before step one, with the weights as they are then: fills t->reference. */
int train_dpo_reference(struct training *t);
/* The micro-batch that is in the pass, units from first to behind of the step: adds the pairs' losses to *loss. */
int train_dpo_batch(struct training *t, size_t first, size_t behind, double *loss);

#endif
