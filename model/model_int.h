/* model_int.h: what the files of model/ share and nobody else sees.
 *
 * Letters as in kernels.h: T rows of a packed batch, C hidden, H query heads, K key/value heads, D head size, F
 * feed-forward, V vocabulary, L layers. */
#ifndef MODEL_INT_H
#define MODEL_INT_H

#include "base/base.h"
#include "base/json.h"
#include "model/model.h"

/* ---- safetensors.c: one file of named arrays --------------------------------------------------------------------- */

#define SAFETENSORS_DIMS 8

struct safetensors_entry {
	const char *name;  /* borrowed from the header */
	const char *dtype; /* "F32"; borrowed */
	int n_dims;
	uint64_t dims[SAFETENSORS_DIMS];
	uint64_t count, begin, end; /* elements; bytes of the data section */
	const uint8_t *data;        /* not aligned */
};
struct safetensors {
	char *path;
	struct fs_map map;
	json_t *header;
	struct safetensors_entry *entries; /* in the order of the file */
	size_t n;
	struct map by_name;
};
/* Reads and checks all of the header. ERR_INPUT says what is wrong with the file. */
int safetensors_open(struct safetensors *out, const char *path);
void safetensors_close(struct safetensors *s);
const struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name);
const char *safetensors_metadata(const struct safetensors *s, const char *key); /* NULL: none; borrowed */
/* F32, F16 and BF16 to float, count elements. */
int safetensors_floats(const struct safetensors *s, const struct safetensors_entry *e, float *out);

struct safetensors_out { /* one F32 tensor to be written */
	const char *name;
	int n_dims;
	int64_t dims[2];
};
/* Writes path atomically in the reference writer's order, whatever the order of list. data(i) gives the floats of
 * list[i], borrowed until the next call. One metadata pair: a second would have no fixed order. */
int safetensors_write(const char *path, const struct safetensors_out *list, size_t n, const char *key,
		      const char *value, const float *(*data)(size_t i, void *arg), void *arg);

/* ---- transformer.c: parameters ----------------------------------------------------------------------------------- */

/* Where a layer's parameters begin in the one buffer; the same offsets hold for gradients and Adam states. q, k and v
 * lie behind one another, so that they are one matrix [(H + 2K) D, C]. */
struct layer_at {
	size_t qkv, o, gate, up, down, norm1, norm2;
};
struct tensor { /* as the folder names it */
	char name[80];
	int n_dims;
	int64_t dims[2];
	size_t at, count;
};
struct model {
	struct model_config config;
	struct backend *be;
	struct tensor *tensors;
	size_t n_tensors;
	struct layer_at *layers;
	size_t embed, head, norm;   /* offsets; head == embed where tied */
	size_t n_params, n_decayed; /* matrices come first: those decay */
	float *params;
	float *rope; /* cos_sin of positions 0 .. rope_rows */
	int rope_rows;
	int32_t eos[16]; /* all ids that end a generation */
	int n_eos;
	json_t *source, *generation; /* config.json and generation_config.json as loaded; NULL for a fresh model */
};
struct model *model_new(const struct model_config *config, struct backend *be); /* shapes, no memory for them yet */
int model_alloc(struct model *m);                                               /* parameters, all zero */
int model_need_rope(struct model *m, int rows);
/* ERR_INPUT naming what, if an id is outside the vocabulary. */
int model_check_ids(const struct model *m, const int32_t *ids, int n, const char *what, size_t which);

/* ---- pass.c: the memory of a forward, and the packed batch in it ------------------------------------------------- */

struct layer_acts { /* [T, .] each; without `keep` all layers share one set and x, mid are the same */
	float *x, *h1, *rstd1, *qkv, *att, *lse, *mid, *h2, *rstd2, *gate, *up, *act;
};
struct pass_size {
	int tokens, rows, seqs; /* at most, in one forward: tokens, rows through the head, sequences */
	int positions;          /* positions are below this */
	bool keep;              /* keep what the backward pass needs */
	struct kvcache *cache;  /* keys and values go through it; NULL: they come from the batch itself */
};
struct pass {
	struct model *m;
	struct backend *be;
	struct pass_size size;
	int chunk; /* rows of logits at a time */

	/* the batch, on the host */
	int T, n_seqs, n_rows;
	int32_t *ids, *pos, *rows, *targets, *argmax;
	int32_t *q_start, *k_start, *k_len;
	double *logprob;

	/* on the device */
	int32_t *d_ints, *d_ids, *d_pos, *d_rows, *d_targets, *d_argmax;
	double *d_logprob;
	float *floats; /* all that follows */
	struct layer_acts *acts;
	float *last;                            /* [T,C] behind the last layer */
	float *picked, *hidden, *rstd, *logits; /* [rows,C] [rows,C] [rows] [chunk,V] */
};
int pass_open(struct pass *p, struct model *m, const struct pass_size *size);
void pass_close(struct pass *p);
void pass_clear(struct pass *p); /* an empty batch */
bool pass_fits(const struct pass *p, int tokens, int rows);
/* Adds a sequence of n tokens from position first_pos on; slot is its region of the cache. Gives its first row. */
int pass_add(struct pass *p, const int32_t *ids, int n, int first_pos, int slot);
/* Sends a row through the head; target is the id whose log-probability is wanted. Gives its index in logprob. */
int pass_want(struct pass *p, int row, int32_t target);
void pass_upload(struct pass *p); /* the batch to the device */
struct kernels_seqs pass_seqs(const struct pass *p);

/* One allocation for many arrays: every *where gets its part, 64-byte aligned. */
struct pass_part {
	float **where;
	size_t count;
};
int pass_carve(struct backend *be, float **whole, const struct pass_part *parts, size_t n, const char *what);

/* ---- kvcache.c: keys and values of sequences that go on ---------------------------------------------------------- */

struct kvcache {
	struct backend *be;
	int layers, slots, rows, width; /* rows a slot; width: floats of keys and values of a row */
	float *data;                    /* [layer][slot][row][width] */
};
int kvcache_open(struct kvcache *c, struct model *m, int slots, int rows);
void kvcache_close(struct kvcache *c);
float *kvcache_layer(const struct kvcache *c, int layer);
/* Copies the keys and values of a packed batch (rows of stride floats) to their slots. */
void kvcache_put(struct kvcache *c, int layer, const struct pass *p, const float *kv, int stride);

/* ---- transformer.c, transformer_back.c --------------------------------------------------------------------------- */

void transformer_forward(struct pass *p); /* up to p->last */
/* The wanted rows: final norm and head; fills p->logprob and p->argmax. with_logits(p, first, n, arg) sees each chunk
 * of logits on the device; NULL: nobody. */
int transformer_head(struct pass *p, void (*with_logits)(struct pass *p, int first, int n, void *arg), void *arg);

struct back {
	float *grads; /* laid out as the parameters */
	float *floats, *dx, *dh, *dqkv, *datt, *dgate, *dup, *dact, *dpicked, *dhidden;
};
int back_open(struct back *b, struct pass *p);
void back_close(struct back *b, struct backend *be);
/* Head forward and all of the backward pass, after transformer_forward. Adds to the gradients of scale * sum of NLL;
 * fills p->logprob. */
int transformer_back(struct pass *p, struct back *b, float scale);

/* ---- checkpoint.c: the state of a training ----------------------------------------------------------------------- */

struct train_cursor { /* what comes next */
	int64_t step, epoch, at, seen, tokens;
};
struct train_state {
	uint64_t fingerprint; /* of everything the result depends on */
	struct train_cursor cursor;
	double first_loss, last_loss;
	float *params, *m, *v; /* device */
	size_t n;
};
int checkpoint_write(const char *dir, const struct train_state *s, struct backend *be);
/* ERR_NOTFOUND: dir holds none of this training. A damaged one is skipped with a warning for the one before it. */
int checkpoint_read(const char *dir, struct train_state *s, struct backend *be);
/* A hash, not a digest: against accidents only. */
uint64_t checkpoint_hash(uint64_t h, const void *data, size_t len);

#endif
