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
/* These bytes of a tensor have been read: their pages need not stay in memory. */
void safetensors_drop(const struct safetensors *s, const uint8_t *data, size_t len);

struct safetensors_out { /* one tensor to be written */
	const char *name;
	int n_dims;
	int64_t dims[2];
	const char *dtype; /* NULL: F32 */
};
uint64_t safetensors_out_bytes(const struct safetensors_out *t);
/* Writes path atomically in the reference writer's order, whatever the order of list. data(i) gives the elements of
 * list[i], borrowed until the next call; NULL: it failed and has set the error (reported as ERR_IO). One metadata pair:
 * a second would have no fixed order. */
int safetensors_write(const char *path, const struct safetensors_out *list, size_t n, const char *key,
		      const char *value, const void *(*data)(size_t i, void *arg), void *arg);

/* ---- arch.c: the families ---------------------------------------------------------------------------------------- */

enum role { /* what a tensor is for */
	    ROLE_EMBED,
	    ROLE_POSITIONS,
	    ROLE_NORM,
	    ROLE_HEAD,
	    ROLE_NORM1, /* from here on: of a layer */
	    ROLE_Q,
	    ROLE_K,
	    ROLE_V,
	    ROLE_QKV, /* the three as one tensor */
	    ROLE_Q_NORM,
	    ROLE_K_NORM,
	    ROLE_O,
	    ROLE_NORM2,
	    ROLE_GATE,
	    ROLE_UP,
	    ROLE_DOWN,
	    ROLES
};
struct arch { /* a family: a row of the table in arch.c */
	const char *model_type, *class_name, *gguf;
	bool layernorm;           /* with mean and bias; else RMS norm */
	bool learned_positions;   /* a table; else rotary */
	bool gated;               /* silu(gate) * up; else gelu(up) */
	bool conv1d;              /* matrices of layers are stored [in, out] */
	const char *layers;       /* "model.layers": a layer's tensors are LAYERS.N.NAME */
	const char *prefix;       /* may be absent from all names of a file: "transformer."; NULL */
	const char *names[ROLES]; /* NULL: the family has no such tensor */
};
const struct arch *arch_find(const char *model_type); /* NULL: none */
const struct arch *arch_at(size_t i);                 /* the rows in order; NULL behind the last */
const char *arch_known(void);                         /* "llama, mistral, …" for messages */

/* ---- shards.c, elements.c: weights as a folder stores them --------------------------------------------------------- */

struct shards {
	struct safetensors *files;
	size_t n;
	struct map names; /* of all tensors */
	json_t *index;    /* model.safetensors.index.json; NULL without one */
};
struct model;
int shards_open(struct shards *s, const char *dir); /* ERR_INPUT; release it either way */
void shards_release(struct shards *s);              /* one that is all zero, too */
/* The tensor of that name, in *in; NULL: none. */
const struct safetensors_entry *shards_find(const struct shards *s, const char *name, const struct safetensors **in);
/* The file that the index says a tensor is in, whether it is or not; NULL: it does not say. Borrowed. */
const char *shards_indexed(const struct shards *s, const char *name);
/* As shards_find; the family's prefix may be absent from the file's names. */
const struct safetensors_entry *shards_tensor(const struct model *m, const struct shards *s, const char *name,
					      const struct safetensors **in);
#define SHARDS_LIMIT UINT64_C(5000000000) /* bytes of a file */
/* model.safetensors in dir, which exists; or shards of at most `limit` bytes and their index. list and data as for
 * safetensors_write. */
int shards_write(const char *dir, const struct safetensors_out *list, size_t n, uint64_t limit,
		 const void *(*data)(size_t i, void *arg), void *arg);
/* out[cols,rows] = in[rows,cols], elements of `size` bytes */
void elements_transpose(void *out, const void *in, int rows, int cols, size_t size);
/* dtype: "BF16" or "F16". Narrowing rounds to nearest, ties to even; NaN stays one. */
void elements_widen(float *out, const void *in, const char *dtype, size_t n);
void elements_narrow(void *out, const float *in, const char *dtype, size_t n);
uint16_t elements_bf16(float x);
uint16_t elements_half(float x);

/* ---- transformer.c: parameters ----------------------------------------------------------------------------------- */

struct tensor { /* as the folder names it */
	char name[96];
	enum role role;
	int layer; /* -1: of no layer */
	bool bias;
	bool transposed; /* the folder has [cols, rows] */
	int rows, cols;  /* ours: rows is outputs; a vector has one row */
	int n_dims;
	int64_t dims[2];   /* the folder's */
	size_t at, count;  /* place among all parameters, in floats */
	const char *dtype; /* what it was stored as: "F32", "BF16", "F16" */
};
#define NO_VECTOR SIZE_MAX
struct lora_part;
struct matrix { /* a weight of a linear layer, or a table of embeddings */
	struct kernels_weight w;
	size_t at;   /* of its first row among the parameters */
	size_t bias; /* place of its bias, or NO_VECTOR */
	const struct lora_part *lora;
	int n_lora;
};
/* q, k and v lie behind one another, so that they are one matrix [(H + 2K) D, C]. Vectors are places, or NO_VECTOR. */
struct layer {
	struct matrix qkv, o, gate, up, down;
	size_t norm1, norm1_bias, norm2, norm2_bias, q_norm, k_norm;
	int window;
};
struct model {
	struct model_config config;
	const struct arch *arch;
	struct backend *be;
	bool on_device; /* the back end's memory is its own: a matter of sizes, and known without a back end, too */
	struct tensor *tensors;
	size_t n_tensors;
	struct layer *layers;
	struct matrix embed, positions, head; /* head.w is embed.w where tied */
	size_t norm, norm_bias;
	size_t n_params, n_decayed; /* matrices come first: those decay */
	float *params;              /* all of them, in rows; NULL: frozen */
	float *vectors;             /* those behind n_decayed; part of params, or of their own */
	void *panels;               /* of a frozen model: all that its matrices point into */
	struct lora *lora;          /* NULL: none */
	float *rope;                /* cos_sin of positions 0 .. rope_rows */
	int rope_rows;
	int32_t eos[16]; /* all ids that end a generation */
	int n_eos;
	json_t *source, *generation; /* config.json and generation_config.json as loaded; NULL for a fresh model */
};
/* Shapes, no memory for them yet; be NULL: there never will be. */
struct model *model_new(const struct model_config *config, struct backend *be);
int model_alloc(struct model *m);        /* trainable parameters, all zero */
int model_alloc_frozen(struct model *m); /* packed matrices by each tensor's dtype, vectors; contents undefined */
/* The matrix that tensor t is a part of, and its first row there. NULL: t is a vector. */
struct matrix *model_matrix(struct model *m, const struct tensor *t, int *row0);
const float *model_vector(const struct model *m, size_t at); /* NULL for NO_VECTOR */
/* Tensor t as our rows, on the host, in the type its weights have now (fp32 if trained); and its size. */
int model_read_tensor(const struct model *m, const struct tensor *t, void *rows, size_t *bytes);
int model_need_rope(struct model *m, int rows);
uint64_t model_rope_bytes(const struct model *m, int rows);
void transformer_rope_divisors(const struct model_config *c,
			       float *out); /* [D/2]: what scaling divides frequencies by */
/* A folder's shapes and files, all checked, and no memory for weights: m->be is NULL. Release the shards either way. */
int model_open_folder(struct model **out, struct shards *shards, const char *dir);
/* ERR_INPUT naming what, if an id is outside the vocabulary. */
int model_check_ids(const struct model *m, const int32_t *ids, int n, const char *what, size_t which);

/* ---- lora.c: trainable factors beside frozen matrices ------------------------------------------------------------ */

struct lora_part {
	enum role role;
	int layer, row0, N, K; /* rows row0 .. row0 + N of the matrix */
	size_t a, b;           /* places of A[rank,K] and B[N,rank] in lora->params */
};
struct lora {
	int rank;
	float scale, dropout; /* scale: alpha / rank */
	double alpha;
	struct lora_part *parts; /* by layer, by role */
	size_t n;
	char **targets; /* the modules' last names */
	size_t n_targets;
	float *params;
	size_t n_params;
};
void lora_free(struct lora *l, struct backend *be);
int lora_plan(struct model *m, const struct lora_options *o); /* m->lora without memory, to be measured */
struct pass;
struct back;
/* y += scale B (A dropout(x)) for the parts of w. */
void lora_forward(struct pass *p, float *y, const float *x, const struct matrix *w);
/* Adds to the factors' gradients, and to dx. */
void lora_back(struct pass *p, struct back *b, float *dx, const float *dy, const float *x, const struct matrix *w);
/* delta[N,K] = scale B A of part i, on the host. */
int lora_delta(const struct model *m, size_t i, float *delta);

/* ---- peft.c: an adapter that is merged while weights are read ----------------------------------------------------- */

struct peft;
/* ERR_INPUT names what is wrong or not built. name is for the errors; NULL: dir. */
int peft_open(struct peft **out, const char *dir, const char *name);
void peft_free(struct peft *p);
bool peft_has(const struct peft *p, const struct tensor *t); /* something of the adapter belongs to this tensor */
/* Makes of the tensor's rows (ours: outputs first) what the adapter makes of them: W += scale B A, or other weights. */
int peft_merge(struct peft *p, const struct model *m, const struct tensor *t, float *rows);
int peft_check_used(const struct peft *p); /* every tensor of the adapter has found its place */

/* ---- acts.c: what a forward computes, and what a backward needs of it -------------------------------------------- */

/* [T, .] each. Kept for the backward pass: all but h and act, which are computed again from what is kept. Without
 * `keep` all layers share one set, and mid is x. */
struct layer_acts {
	float *x, *mean1, *rstd1, *raw, *qkv, *rstd_q, *rstd_k, *att, *lse, *mid, *mean2, *rstd2, *gate, *up;
};

/* ---- pass.c: the packed batch, and the memory of a forward ------------------------------------------------------- */

struct pass_size {
	int tokens, rows, seqs; /* at most, in one forward: tokens, rows through the head, sequences */
	int targets;            /* wanted log-probabilities; at least one a row */
	int positions;          /* positions are below this */
	int keys;               /* places for the keys of all sequences; 0: every sequence is whole */
	bool keep;              /* keep what the backward pass needs … */
	bool checkpointing;     /* … or only x of each layer, the rest is computed again */
	bool drawn;             /* somebody looks at logits */
	struct kvcache *cache;  /* where keys and values of earlier batches are; may be NULL */
};
struct pass {
	struct model *m;
	struct backend *be;
	struct pass_size size;
	bool tiled; /* the back end has head and loss in one: there are no logits … */
	int chunk;  /* … else so many rows of them at a time */

	/* the batch, on the host */
	int T, n_seqs, n_rows, n_targets;
	int32_t *ids, *pos, *rows;
	int32_t *first; /* of each wanted row among the targets; one more at the end */
	int32_t *targets;
	int32_t *q_start, *k_start, *k_rows; /* k_rows: NULL without size.keys */
	int32_t *kept;                       /* cache row of each token, -1: not kept */
	float *scales;                       /* of the wanted rows: weight of each in the loss */
	int32_t *packed;                     /* all of it, as it goes to the device */

	/* what comes back, of the batch that was asked for last; and the memory for it and for the one before */
	double *logprob; /* of each target */
	int32_t *argmax; /* of each target's row */
	double *logprobs;
	int32_t *argmaxes;
	int turn; /* 0 or 1 */

	/* on the device; pass_upload() puts those that are read where it likes */
	int32_t *d_ints, *d_ids, *d_pos, *d_rows, *d_first, *d_targets, *d_argmax, *d_kept;
	double *d_logprob;
	float *d_scales;
	float *floats; /* all that follows */
	struct layer_acts *acts;
	float *h, *act;                                /* [T, C or H D], [T, F]: shared by the layers */
	float *lora_x, *lora_t;                        /* [T, widest], [T, rank] */
	float *last;                                   /* [T,C] behind the last layer */
	float *picked, *hidden, *mean, *rstd, *logits; /* [rows,C] [rows,C] [rows] [rows] [chunk,V] */
	uint64_t dropout_key;                          /* of this forward and its backward; 0: no dropout */
};
int acts_open(struct pass *p); /* p->floats and all that lies in it */
void acts_close(struct pass *p);
uint64_t acts_bytes(const struct model *m, const struct pass_size *size, int chunk);
int pass_open(struct pass *p, struct model *m, const struct pass_size *size);
void pass_close(struct pass *p);
uint64_t pass_bytes(const struct model *m, const struct pass_size *size); /* memory that pass_open takes */
void pass_clear(struct pass *p);                                          /* an empty batch */
bool pass_fits(const struct pass *p, int tokens, int rows);
bool pass_fits_behind(const struct pass *p, int tokens, int rows, int first_pos); /* the keys, too */
/* Adds a whole sequence. Gives its first row. */
int pass_add(struct pass *p, const int32_t *ids, int n);
/* Adds n tokens at positions first_pos … behind a prefix, whose keys are the first_pos rows `prefix`: a row of this
 * batch, or -1 - r for row r of the cache. kept: the cache rows that take the keys and values of the n tokens (NULL:
 * none). */
int pass_add_behind(struct pass *p, const int32_t *ids, int n, const int32_t *prefix, int first_pos,
		    const int32_t *kept);
/* Sends a row through the head; target is the id whose log-probability is wanted. Gives its index in logprob and argmax.
 * Calls for the same row that follow one another send it once. */
int pass_want(struct pass *p, int row, int32_t target);
/* What a batch gives is there behind pass_wait(), and stays until the second batch after it is asked for. So the device need
 * not wait for a host that looks at one batch and fills the next: ask for that one first. Where pass_wait() fails, nothing is
 * on its way any more. */
struct pass_answer {
	const double *logprob;
	const int32_t *argmax;
	int n; /* targets; 0: nothing was asked for */
	uint64_t mark;
};
int pass_wait(struct pass *p, uint64_t mark);
/* Asks for it: p->logprob, and p->argmax where the head has looked for it */
void pass_download(struct pass *p, struct pass_answer *a, bool argmax);
void pass_upload(struct pass *p);        /* the batch to the device */
void pass_upload_scales(struct pass *p); /* the weights of the rows alone */
struct kernels_seqs pass_seqs(const struct pass *p, int layer);

/* ---- ranks.c ------------------------------------------------------------------------------------------------------ */

/* give[i] of device memory to rank i, take[i] from it; what is given must be wanted, and nothing is given to oneself. */
int ranks_trade(struct ranks *r, struct backend *be, const struct kernels_part *give, const struct kernels_part *take);
/* Before the first trade: the devices' own way, where they have one; else it is the host's, and a warning says so. stopped is asked
 * while they meet: ERR_INTERRUPTED. */
int ranks_join(struct ranks *r, struct backend *be, bool (*stopped)(void));
bool ranks_broken(void *ranks); /* has somebody ended? The thread's error then says who, and why */

/* One allocation for many arrays: every *where gets its part, 64-byte aligned. */
struct pass_part {
	float **where;
	size_t count;
};
uint64_t pass_carve_bytes(const struct pass_part *parts, size_t n);
int pass_carve(struct backend *be, float **whole, const struct pass_part *parts, size_t n, const char *what);

/* ---- kvcache.c: keys and values that outlive their batch ---------------------------------------------------------- */

struct kvcache {
	struct backend *be;
	int layers, rows, width; /* width: floats of keys and values of a row */
	float *data;             /* [layer][row][width] */
	int32_t *free_rows;      /* a stack */
	int n_free;
};
uint64_t kvcache_bytes(const struct model *m, int rows);
int kvcache_open(struct kvcache *c, struct model *m, int rows);
void kvcache_close(struct kvcache *c);
float *kvcache_layer(const struct kvcache *c, int layer);
/* Takes n free rows, or none of them (false). */
bool kvcache_take(struct kvcache *c, int32_t *rows, int n);
void kvcache_give(struct kvcache *c, const int32_t *rows, int n);

/* ---- prefix.c: requests that begin alike -------------------------------------------------------------------------- */

struct prefix_text {
	const int32_t *ids;
	int n;
	uint32_t index; /* the caller's */
};
/* Sorts texts so that those with a common prefix lie side by side; shared[k]: ids that k has in common with k - 1. */
void prefix_sort(struct prefix_text *texts, int *shared, size_t n);

struct prefix_use { /* request `who` is scored at a row that another one, `owner`, computes; both: places in order */
	uint32_t owner;
	int32_t pos;
	uint32_t who;
};
struct prefix_tree {
	size_t n;
	uint32_t *order;         /* the requests, sorted */
	int *begin;              /* of each in this order: its first row that the ones before it have not computed */
	struct prefix_use *uses; /* by owner, by pos, by who */
	size_t n_uses, cap_uses;
	size_t most_uses; /* of one row */
	int longest;      /* rows of the longest request; at least 1 */
	uint64_t rows;    /* all that are to be computed */
};
/* share false: as if all requests were different from their first token on. The requests must have been checked. */
void prefix_open(struct prefix_tree *t, const struct score_request *reqs, size_t n, bool share);
void prefix_close(struct prefix_tree *t);

/* ---- score.c, generate.c: what they take at most, for a plan ------------------------------------------------------ */

/* After a failure rc with so many tokens at a time: true where fewer may do, which `how` asks for then. */
bool score_smaller(const struct model *m, int rc, int tokens, struct score_options *how);
/* Bytes beside weights and cache, for the batch, the longest request and the rows of the plan; *cache: of the cache. */
uint64_t score_bytes(const struct model *m, const struct model_plan *plan, uint64_t *cache);
uint64_t generate_bytes(const struct model *m, const struct model_plan *plan, uint64_t *cache);

/* ---- sampler.c --------------------------------------------------------------------------------------------------- */

struct sampler {
	int vocab;
	double *weights, *sorted;
};
void sampler_open(struct sampler *s, int vocab);
void sampler_close(struct sampler *s);
/* temperature, top_k and top_p of how; temperature > 0. */
int32_t sampler_draw(struct sampler *s, const float *logits, const struct generate_request *how, struct rng *r);

/* ---- transformer.c, transformer_back.c --------------------------------------------------------------------------- */

void transformer_forward(struct pass *p); /* up to p->last */
/* The wanted rows: final norm and head; asks for their log-probabilities. with_logits(p, first, n, arg) sees each chunk of
 * logits on the device (size.drawn); NULL: nobody. */
void transformer_ask(struct pass *p, struct pass_answer *a,
		     void (*with_logits)(struct pass *p, int first, int n, void *arg), void *arg);
/* Asks and waits: p->logprob and p->argmax are there. */
int transformer_head(struct pass *p, void (*with_logits)(struct pass *p, int first, int n, void *arg), void *arg);

/* What the backward pass computes again: a layer (next: the x behind it), a norm, p->act, some rows of logits. */
void transformer_layer(struct pass *p, int layer, float *next);
void transformer_norm(struct pass *p, float *out, float *mean, float *rstd, const float *x, size_t w, size_t b, int T);
void transformer_act(struct pass *p, const struct layer_acts *a, bool alone);
/* What comes next makes x of the batch's rows for products (kernels.h, for_products). */
void transformer_for_products(const struct pass *p, const float *x, int cols, bool alone);
void transformer_hidden(struct pass *p); /* the wanted rows behind the last norm */
void transformer_logits(struct pass *p, int first, int n);

struct back {
	float *grads; /* laid out as what is trained: all parameters, or the factors of LoRA */
	size_t n_grads;
	bool fresh; /* no gradient in it yet: the next backward pass overwrites instead of adding */
	float *floats, *dx, *dh, *dqkv, *datt, *dgate, *dup, *dpicked, *dhidden, *dlora_x, *dlora_t, *sink;
};
int back_open(struct back *b, struct pass *p);
void back_close(struct back *b, struct backend *be);
uint64_t back_bytes(const struct model *m, const struct pass_size *size);
/* Head forward and all of the backward pass, after transformer_forward. Adds to the gradients of the sum over the
 * wanted rows of scales[i] * NLL; asks for the log-probabilities (no argmax). b->fresh must be set before the first one of a
 * step. */
void transformer_back(struct pass *p, struct back *b, struct pass_answer *a);

/* ---- checkpoint.c ------------------------------------------------------------------------------------------------- */

/* A hash, not a digest: against accidents only. */
uint64_t checkpoint_hash(uint64_t h, const void *data, size_t len);

#endif
