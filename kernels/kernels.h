/* kernels.h: arithmetic on device memory, behind one table a back end.
 *
 * A back end is memory (alloc, upload, download), order (sync) and operations. "cpu_ref" is the specification in plain
 * loops; "cpu" is the fast one (own kernels, or BLIS, and OpenMP); "cuda:N" comes from libassay-cuda.so. The three tables list the same
 * operations in the same order.
 *
 * Letters, everywhere: T rows (tokens of a packed batch), C hidden width, H query heads, K key/value heads, D head
 * size, F feed-forward width, V vocabulary, S sequences. Matrices are row-major fp32. Outputs first, then inputs, then
 * sizes. A gradient carries a d in front. Pointers are device memory of that back end, but for those marked host.
 *
 * Same bits: every output row has one fixed order of operations, which depends on that row's own data and on the
 * weights' shape, never on how many rows share the call or on the number of threads. No transcendental of the C library:
 * kernels/vmath.h has ours. This header must also compile as C++ (the .cu files see it). */
#ifndef ASSAY_KERNELS_H
#define ASSAY_KERNELS_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum kernels_type { KERNELS_F32, KERNELS_BF16, KERNELS_F16 };

/* A weight W[N,K] of a linear layer, as it is multiplied by. Two forms:
 *	rows      row-major fp32 in device memory: what is trained
 *	packed    in the back end's own order, made by pack() from rows of any type; the elements keep that type and are
 *		  widened, exactly, when they are read: a bf16 weight gives the bits of the same weight in fp32 */
struct kernels_weight {
	const void *data;
	int32_t N, K;
	int32_t type;   /* enum kernels_type */
	int32_t packed; /* 0 or 1 */
};

/* What a linear layer reads and writes. Strides are floats from one row to the next, so that x and y may be columns of
 * something wider. */
struct kernels_linear {
	int M; /* rows of x and y */
	int x_stride, y_stride;
	const float *bias; /* [N], added to every row, or NULL */
	float beta;        /* 0 or 1: y = or y += */
};

/* Which sequences a packed batch holds. Sequence s has query rows q_start[s]..q_start[s+1] of q. It has at least as many
 * keys as queries; the last query sees every key, the one before it all but the last, and so on (causal, aligned at the
 * end): equal counts are a whole sequence, fewer queries are a continuation of something computed before. All arrays
 * are host memory.
 *
 * Without k_rows, the keys of s are rows k_start[s]..k_start[s+1] of k and v. With it, key j of s, which is the key at
 * position j, is row r = k_rows[k_start[s] + j]: of k and v if r >= 0, of the cache's at row -1 - r if r < 0. So
 * sequences may share a prefix, in this batch or from one before. Forward only. */
struct kernels_seqs {
	int n;
	const int32_t *q_start;         /* n + 1 */
	const int32_t *k_start;         /* n + 1 */
	const int32_t *k_rows;          /* NULL, or k_start[n] of them */
	const float *cache_k, *cache_v; /* device memory; NULL: no negative row */
	int cache_stride;
};

struct kernels_attn {
	int heads, kv_heads, head_dim; /* heads % kv_heads == 0; query head h reads key head h / (heads / kv_heads) */
	int q_stride, kv_stride, o_stride; /* floats from one row to the next: q, k and v may be parts of one buffer */
	float scale;                       /* usually 1 / sqrt(head_dim) */
	int window; /* 0: all keys; else the last `window` keys up to the query's own, that one counted */
};

struct kernels_adamw {
	float lr, beta1, beta2, eps, decay; /* decay is decoupled; 0 for vectors, by the caller */
	float grad_scale;                   /* the clip factor, applied to the gradient first */
	int64_t step;                       /* from 1, for the bias correction (computed in double) */
};

struct kernels_draw {      /* of a token from a row of logits, as struct generate_request has it */
	double u;          /* in [0, 1) */
	float temperature; /* 0: none is drawn */
	float top_p;       /* 0 or 1: all */
	int32_t top_k;     /* 0: all */
	int32_t unused;    /* 0 */
};

struct kernels_part { /* of device memory, for another device or from one; 0 bytes: nothing */
	float *p;
	size_t bytes;
};
enum { KERNELS_RANKS_ID = 128 };

struct backend {
	const char *name;     /* "cpu" */
	const char *numerics; /* the class of its bits: "cpu-3/f32/x86-64-v3": name-kernel version/types/instructions */
	int threads;

	/* memory: 64-byte aligned, zeroed. alloc gives ERR_UNAVAILABLE with the size in the text. upload has read its source
	 * when it returns; what download writes is there behind the next sync */
	int (*alloc)(struct backend *be, void **out, size_t bytes);
	void (*free)(struct backend *be, void *p);
	void (*upload)(struct backend *be, void *dst, const void *host_src, size_t bytes);
	void (*download)(struct backend *be, void *host_dst, const void *src, size_t bytes);
	void (*copy)(struct backend *be, void *dst, const void *src, size_t bytes);
	void (*zero)(struct backend *be, void *dst, size_t bytes);
	int (*sync)(struct backend *be); /* waits; gives the first error since the last sync */
	/* So that a device goes on while the host works with what it has given: mark() names what was downloaded so far, and behind
	 * wait(mark) that is there, whatever was asked for since and is not done. wait gives the first error since the last sync, and
	 * then nothing is on its way any more, as behind sync. NULL: all is done when it is asked for. */
	uint64_t (*mark)(struct backend *be);
	int (*wait)(struct backend *be, uint64_t mark);
	/* Memory of a device of its own: what alloc can still give, and all of it; or, of a device that fails, the first error since
	 * the last sync, and zeros. NULL: it is the host's. */
	int (*memory)(struct backend *be, size_t *free_bytes, size_t *total_bytes);
	/* Set by a back end that has memory(): the error that alloc or sync gave last is a lack of that memory, so less at a time may
	 * do. What else gives ERR_UNAVAILABLE, a lost device or a library that refuses, is not mended by asking for less. */
	bool no_memory;

	/* ---- linear layers: y[M,N] = x[M,K] W^T + bias, and its three gradients */

	/* Bytes of a packed weight; 0: this back end does not pack that type. */
	size_t (*packed_bytes)(struct backend *be, int type, int N, int K);
	/* Rows row0 .. row0 + rows of W, host memory of w->type at any alignment, into w->data; and back, bit for bit. As upload
	 * and download. */
	void (*pack)(struct backend *be, const struct kernels_weight *w, const void *host_rows, int row0, int rows);
	void (*unpack)(struct backend *be, void *host_rows, const struct kernels_weight *w, int row0, int rows);

	void (*linear)(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		       const struct kernels_linear *how);
	/* linear, and what stands beside it, in one pass over memory: y = from + x W^T + bias, and with act also act = gelu(y), dense
	 * [M,N] as y then. from has the strides of y and may be y; NULL: nothing is added (beta is not looked at). act may be
	 * y: then y is not kept. The bits of copy, linear and gelu, unless a library computes the gelu, which the numerics say.
	 * NULL: the caller asks for the parts. */
	void (*linear_into)(struct backend *be, float *y, float *act, const float *from, const float *x,
			    const struct kernels_weight *w, const struct kernels_linear *how);
	/* Said before the operation that makes x[rows,cols], dense: products take it as x or dy next. Between it and the last of them
	 * run nothing but products, linear_db, and operations of which this was said too. alone: nobody else reads it, so where the
	 * device keeps what products take in a form of its own, x itself may be left undefined. Changes no bit. NULL: of no use. */
	void (*for_products)(struct backend *be, const float *x, int rows, int cols, bool alone);
	/* dx[M,K] = dy[M,N] W (how: y is dy, x is dx; beta is dx's; no bias) */
	void (*linear_dx)(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
			  const struct kernels_linear *how);
	/* dw[N,K] = dy^T x + beta dw; dw is dense fp32 rows */
	void (*linear_dw)(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
			  const struct kernels_linear *how);
	/* db[N] += sum over the M rows of dy, in blocks of rows of a fixed size */
	void (*linear_db)(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N);

	/* ---- embedding, norms, positions */

	/* out[T,C] = table[ids[t]], or added to out; ids are device memory. Backward adds to dtable in row order. */
	void (*embed)(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T,
		      bool add);
	void (*embed_back)(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C,
			   int V);

	/* out = w * (x * rstd), rstd[T] = 1 / sqrt(mean(x^2) + eps). Backward ADDS to dx and to dw[C]. */
	void (*rmsnorm)(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C,
			float eps);
	void (*rmsnorm_back)(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			     const float *w, const float *rstd, int T, int C);

	/* out = w (x - mean) rstd + b, rstd = 1 / sqrt(biased variance + eps); mean and rstd are [T]. Backward ADDS to dx,
	 * dw and db. */
	void (*layernorm)(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
			  const float *b, int T, int C, float eps);
	void (*layernorm_back)(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			       const float *w, const float *mean, const float *rstd, int T, int C);

	/* RMS norm of every head by itself, w[D] shared by the heads: H heads of D in rows of `stride` floats; rstd[T,H].
	 * out may be x. Backward OVERWRITES dx, may be in place on dout, and adds to dw; all have the same stride. */
	void (*headnorm)(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T,
			 int H, int D, float eps);
	void (*headnorm_back)(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			      const float *w, const float *rstd, int stride, int T, int H, int D);

	/* In place on x[T] rows of `stride` floats, H heads of D: pair (i, i + D/2) turns by the angle of its row's
	 * position: cos_sin[pos][D] holds D/2 cosines, then D/2 sines. back turns the other way. pos is device memory. */
	void (*rope)(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H,
		     int D, bool back);

	/* out = softmax(scale q k^T) v per sequence, causal; lse[T,H] = log sum exp of the scaled scores (may be NULL).
	 * Keys are walked in tiles aligned to the position in the sequence, so a cache or a shared prefix changes no bit. */
	void (*attn)(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
		     const struct kernels_seqs *seqs, const struct kernels_attn *shape);
	/* Whole sequences only (as many keys as queries, no k_rows). Overwrites dq, dk, dv, which have the strides of q, k and v; dout
	 * and out have o_stride. */
	void (*attn_back)(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
			  const float *lse, const float *q, const float *k, const float *v,
			  const struct kernels_seqs *seqs, const struct kernels_attn *shape);

	/* out[n] = silu(gate) * up; out may be up. Backward overwrites dgate and dup; dup may be dout. */
	void (*swiglu)(struct backend *be, float *out, const float *gate, const float *up, size_t n);
	void (*swiglu_back)(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
			    const float *up, size_t n);

	/* out[n] = gelu(x), the tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); out may be x. Backward overwrites
	 * dx, which may be dout. */
	void (*gelu)(struct backend *be, float *out, const float *x, size_t n);
	void (*gelu_back)(struct backend *be, float *dx, const float *dout, const float *x, size_t n);

	/* out[n] = x keep / (1 - p), keep[i] drawn by a counter: element i of stream `key` is dropped where the upper 24
	 * bits of splitmix64(key + i * 0x9e3779b97f4a7c15) are below p 2^24. Its own backward. out may be x. */
	void (*dropout)(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p);

	/* x[n] *= s */
	void (*scale)(struct backend *be, float *x, size_t n, float s);
	/* x[n] += y[n] */
	void (*add)(struct backend *be, float *x, const float *y, size_t n);
	/* rows of src[.,C] picked into out[n,C], and added back: dsrc[rows[i]] += dout[i]; rows are device memory, unique */
	void (*gather)(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C);
	void (*scatter_add)(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C);

	/* dst[rows[i]] = src[i] where rows[i] >= 0, `width` floats each; rows are device memory, unique */
	void (*put_rows)(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride,
			 const int32_t *rows, int n, int width);

	/* Per row of logits[T,V]: logprob = logits[t][target] - log sum exp, summed in double, and argmax, the first
	 * largest, for each of the row's targets: those first[t] .. first[t + 1], or without first the one at t. A target < 0
	 * has logprob 0 (its argmax is found all the same). argmax may be NULL. All are device memory. */
	void (*logprob)(struct backend *be, double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
			const int32_t *target, int T, int V);
	/* In place: logits become dlogits = scale[t] * (softmax - onehot(target)); rows with target < 0 become 0. scale is
	 * device memory. */
	void (*xent_back)(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V);

	/* The head and its loss in one: logits = x[T,C] W^T are computed by tiles of the vocabulary, and never stand in memory. For a
	 * weight of which head_tiles() says so; NULL: for none. logprob and argmax are as above, with the bits of linear() and
	 * logprob(). */
	bool (*head_tiles)(struct backend *be, const struct kernels_weight *head);
	void (*head_logprob)(struct backend *be, double *logprob, int32_t *argmax, const float *x,
			     const struct kernels_weight *head, const int32_t *first, const int32_t *target, int T);
	/* With one target a row, and its gradient dlogits, as xent_back() has it: dx[T,C] = dlogits W, dw[V,C] = dlogits^T x + beta dw;
	 * dw NULL: not wanted. */
	void (*head_back)(struct backend *be, double *logprob, float *dx, float *dw, float beta, const float *x,
			  const struct kernels_weight *head, const int32_t *target, const float *scale, int T);

	/* ids[t] = the token that is drawn from row t of logits[T,V], where its temperature is above 0; else it stays as it is.
	 * how is host memory. NULL: the host draws (model/sampler.c). */
	void (*draw)(struct backend *be, int32_t *ids, const float *logits, const struct kernels_draw *how, int T,
		     int V);

	/* Optimizer. sumsq gives the sum of squares of n floats, in double and in a fixed order (host result). */
	double (*sumsq)(struct backend *be, const float *x, size_t n);
	void (*adamw)(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
		      const struct kernels_adamw *how);

	/* ---- several devices, a process each, that compute one thing together. NULL: by the host alone.
	 *
	 * Rank 0 makes an id, which all join with; join waits for all n of them. Then trade sends give[i] to rank i and receives
	 * take[i] from it, for all i but the own one, and is done when it returns; all ranks call it alike. broken(arg) is asked
	 * while it waits, and ends it; what it set as the thread's error stays. Errors: ERR_UNAVAILABLE. close() leaves. */
	int (*ranks_id)(struct backend *be, uint8_t id[KERNELS_RANKS_ID]);
	int (*ranks_join)(struct backend *be, const uint8_t id[KERNELS_RANKS_ID], int rank, int n,
			  bool (*broken)(void *arg), void *arg);
	int (*trade)(struct backend *be, const struct kernels_part *give, const struct kernels_part *take,
		     bool (*broken)(void *arg), void *arg); /* NULL before join */

	void *state;                       /* the back end's own */
	void (*close)(struct backend *be); /* for backend_close(): frees the state and the table itself */
};

/* spec: DEVICE, or DEVICE/CLASS for a device with more than one numerics class:
 *	auto		the first CUDA device that works, else the CPU (and why goes to the log, where there is a card)
 *	cpu, cpu_ref	the fast tables and the slow ones
 *	cuda, cuda:N	a CUDA device: the first that works; that one. Numbers are those of CUDA_VISIBLE_DEVICES.
 * The classes of cuda are what the operands of a matrix product are rounded to; all sums are fp32:
 *	bf16 (the default), tf32, f32
 * threads 0: all that the process may use. ERR_UNAVAILABLE (no plugin, no driver, no such device, no memory) or ERR_ENV (a
 * driver or a card that is too old) say what is missing and how to get it. A back end serves one caller at a time. */
int backend_open(struct backend **out, const char *spec, int threads);
void backend_close(struct backend *be);
/* How many CUDA devices are visible. Errors as of backend_open(). */
int backend_cuda_devices(int *n);

/* What there is and what is missing, thing by thing: for `assay doctor`. fix may be NULL. */
typedef void kernels_tell(void *arg, bool ok, const char *what, const char *detail, const char *fix);
void backend_probe(kernels_tell *tell, void *arg);

/* The CUDA plugin, libassay-cuda.so beside the program, exports
 *	const int assay_cuda_abi = KERNELS_ABI;
 *	const struct kernels_build assay_cuda_build = KERNELS_BUILD;
 *	int assay_cuda_open(struct backend **out, const struct kernels_want *want);
 *	int assay_cuda_count(int *n, int (*fail)(int code, const char *text, const char *fix));
 *	void assay_cuda_probe(kernels_tell *tell, void *arg);
 * A plugin of another build is refused: by its number, which is raised where an operation means something else, and by what
 * nobody can forget, the size of the table and the digest of this file. The Makefile gives that to the two sources that
 * write KERNELS_BUILD (KERNELS_BUILD_ID). */
#define KERNELS_ABI 9
struct kernels_build {
	uint64_t table_bytes, header;
};
#define KERNELS_BUILD                                                                                                  \
	{                                                                                                              \
		sizeof(struct backend), KERNELS_BUILD_ID                                                               \
	}
enum kernels_class { KERNELS_CLASS_F32, KERNELS_CLASS_TF32, KERNELS_CLASS_BF16 };
struct kernels_want {
	int device; /* -1: the first that works */
	int cls;    /* enum kernels_class */
	/* The program's err_set() and err_hint(), for all that fails in the plugin; gives code. fix may be NULL. */
	int (*fail)(int code, const char *text, const char *fix);
};

#ifdef __cplusplus
}
#endif
#endif
