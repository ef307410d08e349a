/* cuda_pins_int.h: what cuda_lt.cu (products by the library), cuda_trial.cu (the test of a pin) and cuda_pins.cu (the table of
 * pins) share, and nobody else needs. */
#ifndef KERNELS_CUDA_PINS_INT_H
#define KERNELS_CUDA_PINS_INT_H

#include "kernels/cuda_lt_int.h"
#include "kernels/cuda_state_int.h"

enum { CUDA_PIN_FIELDS = 9, CUDA_PINS_MAX = 256, CUDA_LT_ROWS = 128 };

/* The forms of a product, as pins say them: y = x W^T and what is fused behind it, and the two gradients */
enum {
	FORM_PLAIN,
	FORM_BIAS,
	FORM_GELU,     /* behind a bias, y is not kept */
	FORM_GELU_AUX, /* y is */
	FORM_DX,
	FORM_DW,
	FORMS
};

/* One configuration of the library. Everything before algo is in the hash of the numerics class. */
struct cuda_pin {
	int n, k, form;             /* of the weight, W[n,k] */
	int field[CUDA_PIN_FIELDS]; /* by enum lt_config */
	lt_algo algo;
	bool good;
};

struct cuda_lt {
	lt_library lib;
	void *handle;
	size_t version;
	int refused;       /* the library's first status that was not 0, since a trial began */
	cuda_block tail;   /* of the last rows of a product: [128, n], once or twice */
	char missing[160]; /* why the library is not used; "" : it is */
};

struct cuda_pins {
	cuda_lt lt;
	cuda_pin pins[CUDA_PINS_MAX];
	int n, n_good;
	uint64_t hash;
	bool pinned_any; /* the file has pins for this device */
};

/* cuda_lt.cu. False: lt->missing says why. */
bool cuda_lt_load(cuda_lt *lt);
/* The handle goes. The library stays: CUDA does not survive being unloaded. */
void cuda_lt_unload(cuda_lt *lt);
/* A number of tokens as the library gets it */
int cuda_lt_whole(int n);
/* The product of a trial, now, in one call beside its last rows; the library's status */
int cuda_lt_try(struct backend *be, const cuda_lt_product *p, const lt_algo *algo);
/* q->algo from its fields, and its fields from q->algo; false: refused */
bool cuda_lt_algo(const cuda_lt *lt, cuda_pin *q);
bool cuda_lt_fields(const cuda_lt *lt, cuda_pin *q);
/* What the library would take for it, without a split of k, a reduction or a workspace, and at places that blocks begin at */
int cuda_lt_candidates(struct backend *be, const cuda_lt_product *p, lt_result *out, int room);

/* cuda_pins.cu: the pin in force for W[n,k] and a form; NULL: there is none */
const cuda_pin *cuda_pins_find(const struct backend *be, int n, int k, int form);

/* cuda_trial.cu. y: what is to be judged, of all rows and of some; our own; y's that are kept beside their gelu */
struct cuda_trial {
	cuda_block x, w, bias, y[5], wrong;
};
/* Rows of the test of a pin, and so of its largest call: by the shape, never by what memory is free, since it decides bits */
int cuda_trial_rows(const cuda_pin *q);
bool cuda_trial_too_large(const cuda_pin *q);
bool cuda_trial_open(struct backend *be, cuda_trial *t, const cuda_pin *q);
void cuda_trial_close(struct backend *be, cuda_trial *t);
void cuda_trial_fill(struct backend *be, const cuda_pin *q, const cuda_trial *t);
/* The product of a trial with so many tokens, into y[to] what is judged and into y[kept] what FORM_GELU_AUX keeps */
cuda_lt_product cuda_trial_product(const cuda_trial *t, const cuda_pin *q, int tokens, int to, int kept);
/* Gives the rows that are wrong, or -1: the library refuses, or an error is on record. Opens what is too small. */
int cuda_trial_wrong(struct backend *be, const cuda_pin *q, cuda_trial *t);

#endif
