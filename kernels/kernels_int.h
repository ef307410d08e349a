/* kernels_int.h: what the files of kernels/ share among themselves. */
#ifndef KERNELS_INT_H
#define KERNELS_INT_H

#include "kernels/kernels.h"

/* The state of both CPU back ends. A back end serves one caller at a time; its own threads have scratch each, which
 * grows to what the largest call wanted and stays. */
struct cpu_state {
	const struct gemm_level *level; /* of the matrix products: gemm_int.h */
	size_t limit_bytes, used_bytes; /* of device memory, which here is the host's */
	int n_scratch;
	struct cpu_scratch {
		float *p;
		size_t n;
		char pad[48]; /* a cache line each */
	} * scratch;
};

int cpu_open(struct backend **out, int threads);
int cpu_ref_open(struct backend **out, int threads);

/* The name of a function in a file that is compiled at two levels of instructions */
#ifdef __AVX512F__
#define AT_LEVEL(name) name##_v4
#else
#define AT_LEVEL(name) name
#endif

/* Takes the fastest level up to this one (3: AVX2, 4: AVX-512) that the machine has; gives what it took. */
int cpu_choose_level(struct backend *be, int at_most);

/* Memory of the CPU back ends, and the end of one. */
void cpu_state_new(struct backend *be);
void cpu_close(struct backend *be);
int cpu_alloc(struct backend *be, void **out, size_t bytes);
void cpu_free(struct backend *be, void *p);
void cpu_copy(struct backend *be, void *dst, const void *src, size_t bytes);
void cpu_zero(struct backend *be, void *dst, size_t bytes);
int cpu_sync(struct backend *be);

/* At least n floats on a 64-byte border, for the calling thread of a parallel region; contents undefined. */
float *cpu_scratch(struct backend *be, size_t n);
/* Threads worth waking for so many units of work (about a nanosecond each on one core). */
int cpu_threads(const struct backend *be, size_t work);

/* cpu_pack.c, for both tables */
size_t cpu_packed_bytes(struct backend *be, int type, int N, int K);
void cpu_pack(struct backend *be, const struct kernels_weight *w, const void *host_rows, int row0, int rows);
void cpu_unpack(struct backend *be, void *host_rows, const struct kernels_weight *w, int row0, int rows);
/* out[kn] = columns k0.. of a row of any weight, as floats */
void cpu_weight_row(float *out, const struct kernels_weight *w, int row, int k0, int kn);
/* cpu_gemm.c */
void cpu_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		const struct kernels_linear *how);
void cpu_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
		   const struct kernels_linear *how);
void cpu_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
		   const struct kernels_linear *how);
/* cpu_blis.c: the same three by BLIS, for machines whose instructions the tile was not tuned for */
void cpu_blis_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		     const struct kernels_linear *how);
void cpu_blis_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
			const struct kernels_linear *how);
void cpu_blis_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
			const struct kernels_linear *how);
/* cpu_norm.c */
void cpu_rmsnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C, float eps);
void cpu_rmsnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
		      const float *rstd, int T, int C);
void cpu_layernorm(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
		   const float *b, int T, int C, float eps);
void cpu_layernorm_back(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			const float *w, const float *mean, const float *rstd, int T, int C);
void cpu_headnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T, int H,
		  int D, float eps);
void cpu_headnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
		       const float *rstd, int stride, int T, int H, int D);
void cpu_linear_db(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N);
/* cpu_attn.c, and again for AVX-512 */
void cpu_attn(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
	      const struct kernels_seqs *seqs, const struct kernels_attn *shape);
void cpu_attn_back(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
		   const float *lse, const float *q, const float *k, const float *v, const struct kernels_seqs *seqs,
		   const struct kernels_attn *shape);
void cpu_attn_v4(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
		 const struct kernels_seqs *seqs, const struct kernels_attn *shape);
void cpu_attn_back_v4(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
		      const float *lse, const float *q, const float *k, const float *v, const struct kernels_seqs *seqs,
		      const struct kernels_attn *shape);
/* cpu_pointwise.c */
void cpu_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T, bool add);
void cpu_embed_back(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C, int V);
void cpu_rope(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H, int D,
	      bool back);
void cpu_swiglu(struct backend *be, float *out, const float *gate, const float *up, size_t n);
void cpu_swiglu_back(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
		     const float *up, size_t n);
void cpu_gelu(struct backend *be, float *out, const float *x, size_t n);
void cpu_gelu_back(struct backend *be, float *dx, const float *dout, const float *x, size_t n);
void cpu_dropout(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p);
void cpu_scale(struct backend *be, float *x, size_t n, float s);
void cpu_add(struct backend *be, float *x, const float *y, size_t n);
void cpu_gather(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C);
void cpu_scatter_add(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C);
void cpu_put_rows(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride, const int32_t *rows,
		  int n, int width);
/* cpu_loss.c */
void cpu_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
		 const int32_t *target, int T, int V);
void cpu_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V);
/* cpu_optim.c */
double cpu_sumsq(struct backend *be, const float *x, size_t n);
void cpu_adamw(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
	       const struct kernels_adamw *how);

#endif
