/* kernels.h: arithmetic on device memory, behind one table a back end.
 *
 * A back end is memory (alloc, upload, download), order (sync) and operations. "cpu_ref" is the specification in plain
 * loops; "cpu" is the fast one (BLIS and OpenMP); "cuda:N" comes from libassay-cuda.so. The three tables list the same
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

/* Which sequences a packed batch holds. Sequence s has query rows q_start[s]..q_start[s+1] of q, and key rows
 * k_start[s]..k_start[s+1] of k and v. It has at least as many keys as queries; the last query sees every key, the one
 * before it all but the last, and so on (causal, aligned at the end): equal counts are a whole sequence, fewer queries
 * are a continuation behind a cache. All arrays are host memory. */
struct kernels_seqs {
	int n;
	const int32_t *q_start; /* n + 1 */
	const int32_t *k_start; /* n + 1; with k_len: n */
	const int32_t *k_len; /* NULL, or n: then the keys of s are rows k_start[s] .. k_start[s] + k_len[s] of k and v,
				 * in any order and with gaps between sequences (caches in fixed regions). Forward only. */
};

struct kernels_attn {
	int heads, kv_heads, head_dim; /* heads % kv_heads == 0; query head h reads key head h / (heads / kv_heads) */
	int q_stride, kv_stride, o_stride; /* floats from one row to the next: q, k and v may be parts of one buffer */
	float scale;                       /* usually 1 / sqrt(head_dim) */
};

struct kernels_adamw {
	float lr, beta1, beta2, eps, decay; /* decay is decoupled; 0 for vectors, by the caller */
	float grad_scale;                   /* the clip factor, applied to the gradient first */
	int64_t step;                       /* from 1, for the bias correction (computed in double) */
};

struct backend {
	const char *name;     /* "cpu" */
	const char *numerics; /* the class of its bits: "cpu-1/f32/x86-64-v3": name-kernel version/types/instructions */
	int threads;

	/* memory: 64-byte aligned, zeroed. alloc gives ERR_UNAVAILABLE with the size in the text */
	int (*alloc)(struct backend *be, void **out, size_t bytes);
	void (*free)(struct backend *be, void *p);
	void (*upload)(struct backend *be, void *dst, const void *host_src, size_t bytes);
	void (*download)(struct backend *be, void *host_dst, const void *src, size_t bytes);
	void (*copy)(struct backend *be, void *dst, const void *src, size_t bytes);
	void (*zero)(struct backend *be, void *dst, size_t bytes);
	int (*sync)(struct backend *be); /* waits; gives the first error since the last sync */

	/* c[M,N] = a b + beta c, beta 0 or 1.  nt: a[M,K], b[N,K] transposed (forward: y = x W^T)
	 * nn: a[M,K], b[K,N] (dx = dy W)       tn: a[K,M] transposed, b[K,N] (dW += dy^T x) */
	void (*gemm_nt)(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta);
	void (*gemm_nn)(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta);
	void (*gemm_tn)(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta);

	/* out[T,C] = table[ids[t]]; ids are device memory. Backward adds to dtable in row order. */
	void (*embed)(struct backend *be, float *out, const float *table, const int32_t *ids, int T, int C);
	void (*embed_back)(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C,
			   int V);

	/* out = w * (x * rstd), rstd[T] = 1 / sqrt(mean(x^2) + eps). Backward ADDS to dx and to dw[C]. */
	void (*rmsnorm)(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C,
			float eps);
	void (*rmsnorm_back)(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			     const float *w, const float *rstd, int T, int C);

	/* In place on x[T] rows of `stride` floats, H heads of D: pair (i, i + D/2) turns by the angle of its row's
	 * position: cos_sin[pos][D] holds D/2 cosines, then D/2 sines. back turns the other way. pos is device memory. */
	void (*rope)(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H,
		     int D, bool back);

	/* out = softmax(scale q k^T) v per sequence, causal; lse[T,H] = log sum exp of the scaled scores (may be NULL).
	 * Keys are walked in tiles aligned to the position in the sequence, so a cache changes no bit. */
	void (*attn)(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
		     const struct kernels_seqs *seqs, const struct kernels_attn *shape);
	/* Whole sequences only (as many keys as queries). Overwrites dq, dk, dv, which have the strides of q, k and v; dout
	 * and out have o_stride. */
	void (*attn_back)(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
			  const float *lse, const float *q, const float *k, const float *v,
			  const struct kernels_seqs *seqs, const struct kernels_attn *shape);

	/* out[n] = silu(gate) * up. Backward overwrites dgate and dup. */
	void (*swiglu)(struct backend *be, float *out, const float *gate, const float *up, size_t n);
	void (*swiglu_back)(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
			    const float *up, size_t n);

	/* x[n] += y[n] */
	void (*add)(struct backend *be, float *x, const float *y, size_t n);
	/* rows of src[.,C] picked into out[n,C], and added back: dsrc[rows[i]] += dout[i]; rows are device memory, unique */
	void (*gather)(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C);
	void (*scatter_add)(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C);

	/* Per row of logits[T,V]: logprob[t] = logits[t][target] - log sum exp, summed in double; argmax[t] is the first
	 * largest. target[t] < 0 skips a row (logprob 0; its argmax is found all the same). argmax may be NULL. targets
	 * and outputs are device memory. */
	void (*logprob)(struct backend *be, double *logprob, int32_t *argmax, const float *logits,
			const int32_t *target, int T, int V);
	/* In place: logits become dlogits = scale * (softmax - onehot(target)); rows with target < 0 become 0. */
	void (*xent_back)(struct backend *be, float *logits, const int32_t *target, int T, int V, float scale);

	/* Optimizer. sumsq gives the sum of squares of n floats, in double and in a fixed order (host result). */
	double (*sumsq)(struct backend *be, const float *x, size_t n);
	void (*adamw)(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
		      const struct kernels_adamw *how);

	void *state;                       /* the back end's own */
	void (*close)(struct backend *be); /* for backend_close(): frees the state and the table itself */
};

/* spec: "auto", "cpu", "cpu_ref", "cuda", "cuda:N"; threads 0: all that the process may use. ERR_UNAVAILABLE says what
 * is missing and how to get it. A back end serves one caller at a time.
 *
 * The CUDA plugin, libassay-cuda.so beside the program, exports
 *	int assay_cuda_open(struct backend **out, int device);   0, or an enum err
 *	const char *assay_cuda_error(void);                      why; may be absent
 *	const int assay_cuda_abi = KERNELS_ABI;                  the table it was built with */
#define KERNELS_ABI 1
int backend_open(struct backend **out, const char *spec, int threads);
void backend_close(struct backend *be);

#ifdef __cplusplus
}
#endif
#endif
