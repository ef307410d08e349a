/* cuda_int.h: what the .cu files of the plugin share: the state of a device behind six functions, and the table's entries.
 *
 * A kernel file is C with launches: __global__ kernels, then the functions of the table (kernels.h has their contracts),
 * which check sizes, choose a launch and put it on the one stream. The rule of every choice, since scores keep their bits
 * in any company: tile, block size, number of parts and kernel depend on the weights' shape, the head size, the device
 * and a sequence's own length, never on the number of rows, of sequences, or on the longest of them.
 *
 * Errors: an operation of the table returns nothing; what fails is recorded, first error first, and comes out of sync().
 * After an error cuda_scratch() and cuda_stage() give NULL and the operation returns at once, and until sync() has given it no kernel
 * is launched (cuda_list.cu).
 *
 * The same files compile as C++ for the host, where tests/cuda_emulation/ stands in for the toolkit's headers. No
 * contraction: multiply-adds are written fmaf() (the plugin is built with -fmad=false), so that two copies of a loop cannot differ. */
#ifndef KERNELS_CUDA_INT_H
#define KERNELS_CUDA_INT_H

#include "kernels/kernels.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* ---- the device (cuda.cu) ---------------------------------------------------------------------------------------------- */

/* The numerics class: what the products of GEMM and attention are made of. Sums are fp32 in all three. */
enum cuda_math { CUDA_MATH_F32, CUDA_MATH_TF32, CUDA_MATH_BF16 };

/* The stream, with all on it that was asked for so far. For what is no kernel of ours; a kernel goes through CUDA_LAUNCH. */
cudaStream_t cuda_stream(struct backend *be);
enum cuda_math cuda_math(const struct backend *be);
/* What cudaGetDeviceProperties() said when the device was opened. */
const struct cudaDeviceProp *cuda_properties(const struct backend *be);

/* Device memory for the operation that asks, contents undefined, 256-byte aligned, one block at a time: the next call
 * takes it back, in the order of the stream. It grows to the largest size asked and stays. NULL: an error is recorded. */
void *cuda_scratch(struct backend *be, size_t bytes);

/* A copy of host memory on the device, made in the order of the stream; the caller may change the original at once. The
 * copy is valid for what the operation that asks launches, and may be one of an earlier call that had the same contents.
 * An operation asks at most 8 times. NULL: an error is recorded; 0 bytes give a valid pointer. */
const void *cuda_stage(struct backend *be, const void *host, size_t bytes);

/* Records an error of a call, if it is one and the first; true: all well. */
bool cuda_check(struct backend *be, cudaError_t rc, const char *call, const char *file, int line);
#define CUDA_CHECK(be, call) cuda_check(be, (call), #call, __FILE__, __LINE__)

/* Records an error that is not CUDA's (a size beyond a limit, say), by the same rule. code is an enum err. */
void cuda_fail(struct backend *be, int code, const char *text, const char *file, int line);

/* Records that a kernel needs more shared memory than a block of this device may have. */
void cuda_fail_shared(struct backend *be, const char *what, size_t bytes);

/* Raises a kernel's limit of dynamic shared memory, where that and what it declares may be beyond what every device grants. It is never
 * lowered: the limit holds at once, for launches that are gathered and not on the stream yet too. False: an error is recorded, which
 * says that `what` is too large for this device, where that is so. */
template <class K> static inline bool cuda_allow_shared(struct backend *be, K *kernel, size_t bytes, const char *what)
{
	const size_t granted = 48 << 10, declared_at_most = 16 << 10;
	struct cudaFuncAttributes now;
	if (bytes <= granted - declared_at_most)
		return true;
	if (!CUDA_CHECK(be, cudaFuncGetAttributes(&now, kernel)))
		return false;
	if (bytes + now.sharedSizeBytes > cuda_properties(be)->sharedMemPerBlockOptin) {
		cuda_fail_shared(be, what, bytes + now.sharedSizeBytes);
		return false;
	}
	return (size_t)now.maxDynamicSharedSizeBytes >= bytes ||
	       CUDA_CHECK(be, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
}

/* ---- launches (cuda_list.cu) --------------------------------------------------------------------------------------------- */

/* A launch; its arguments are copied. What it was in the source is for the error, should it be refused. */
struct cuda_kernel {
	const void *function;
	dim3 grid, block;
	size_t shared_bytes;
	const void *const *args;
	const size_t *sizes;
	int n_args;
};
void cuda_put_kernel(struct backend *be, const char *what, const char *file, int line, const struct cuda_kernel *k);
/* Puts on the stream what has been gathered. */
void cuda_flush(struct backend *be);

#ifdef __CUDACC__
#define CUDA_FUNCTION(kernel) (reinterpret_cast<const void *>(kernel))
#else
#define CUDA_FUNCTION(kernel) emu_function(kernel)
#endif

template <class T> struct cuda_given { /* a parameter's type, which the arguments are converted to */
	typedef T type;
};
template <class... P>
static inline void cuda_launch(struct backend *be, const char *what, const char *file, int line, void (*kernel)(P...),
			       dim3 grid, dim3 block, size_t shared_bytes, typename cuda_given<P>::type... values)
{
	static_assert(sizeof...(P) > 0 && sizeof...(P) <= 20, "cuda_list_int.h: CUDA_ITEM_ARGS");
	const void *const args[] = { &values... };
	const size_t sizes[] = { sizeof(P)... };
	const struct cuda_kernel k = {
		CUDA_FUNCTION(kernel), grid, block, shared_bytes, args, sizes, (int)sizeof...(P)
	};
	cuda_put_kernel(be, what, file, line, &k);
}

/* A kernel in the order of the back end's stream; a launch that is refused is recorded. A template instance goes in
 * parentheses. */
#define CUDA_LAUNCH(be, kernel, grid, block, shared_bytes, ...)                                                        \
	cuda_launch(be, #kernel, __FILE__, __LINE__, kernel, grid, block, shared_bytes, __VA_ARGS__)

/* ---- memory (cuda.cu) ----------------------------------------------------------------------------------------------------- */

int cuda_alloc(struct backend *be, void **out, size_t bytes);
void cuda_free(struct backend *be, void *p);
void cuda_upload(struct backend *be, void *dst, const void *host_src, size_t bytes);
void cuda_download(struct backend *be, void *host_dst, const void *src, size_t bytes);
void cuda_copy(struct backend *be, void *dst, const void *src, size_t bytes);
void cuda_zero(struct backend *be, void *dst, size_t bytes);
int cuda_sync(struct backend *be);
uint64_t cuda_mark(struct backend *be);
int cuda_wait(struct backend *be, uint64_t mark);
/* Waits for what was downloaded, and hands it out; errors stay recorded for cuda_sync(). */
bool cuda_deliver(struct backend *be);

/* ---- weights and products (cuda_gemm.cu) ------------------------------------------------------------------------------------ */

/* Either form of a weight, as rows in device memory: element k of row n stands at data[n * stride + k] in its type. */
struct cuda_rows {
	const void *data;
	size_t stride; /* elements */
	int32_t type;  /* enum kernels_type */
};
struct cuda_rows cuda_weight_rows(const struct kernels_weight *w);

size_t cuda_packed_bytes(struct backend *be, int type, int N, int K);
void cuda_pack(struct backend *be, const struct kernels_weight *w, const void *host_rows, int row0, int rows);
void cuda_unpack(struct backend *be, void *host_rows, const struct kernels_weight *w, int row0, int rows);
void cuda_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		 const struct kernels_linear *how);
void cuda_linear_into(struct backend *be, float *y, float *act, const float *from, const float *x,
		      const struct kernels_weight *w, const struct kernels_linear *how);
void cuda_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
		    const struct kernels_linear *how);
void cuda_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
		    const struct kernels_linear *how);
void cuda_for_products(struct backend *be, const float *x, int rows, int cols, bool alone);

/* Where an operation puts what it makes: where it was told to, and the operand of the products that follow, if for_products() was
 * said. begin() first of all, for every array the operation makes; the kernel writes by cuda_device.h, make(); end() for every
 * one behind the last launch. */
struct cuda_made {
	float *x;               /* NULL: nobody reads it */
	__nv_bfloat16 *operand; /* NULL: it is not wanted */
	size_t stride;          /* of the operand's rows; n columns and zeros */
};
/* x[n]; flat: only where the operand's elements are as many, in the same order. before: cuda_launches() when the operation began */
struct cuda_made cuda_begin_made(struct backend *be, uint64_t before, float *x, size_t n, bool flat);
void cuda_end_made(struct backend *be, uint64_t before, const struct cuda_made *m);
/* An operation that began `before` has written x[n], and no operand's source but there: other operands are still good. */
void cuda_keep_operands(struct backend *be, uint64_t before, const float *x, size_t n);
uint64_t cuda_launches(const struct backend *be);
/* All of x[bytes] is written by an operation that knows nothing of operands; to be called by everyone who can overwrite what was made
 * for products alone. Who adds to what is there, or writes rows with gaps, does not call it. */
void cuda_written(struct backend *be, const void *x, size_t bytes);

/* ---- the rest of the table ----------------------------------------------------------------------------------------------------- */

/* cuda_norm.cu */
void cuda_linear_db(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N);
void cuda_rmsnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C, float eps);
void cuda_rmsnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
		       const float *rstd, int T, int C);
void cuda_layernorm(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
		    const float *b, int T, int C, float eps);
void cuda_layernorm_back(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			 const float *w, const float *mean, const float *rstd, int T, int C);
void cuda_headnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T,
		   int H, int D, float eps);
void cuda_headnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
			const float *rstd, int stride, int T, int H, int D);
/* cuda_pointwise.cu */
void cuda_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T,
		bool add);
void cuda_embed_back(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C, int V);
void cuda_rope(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H, int D,
	       bool back);
void cuda_swiglu(struct backend *be, float *out, const float *gate, const float *up, size_t n);
void cuda_swiglu_back(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
		      const float *up, size_t n);
void cuda_gelu(struct backend *be, float *out, const float *x, size_t n);
void cuda_gelu_back(struct backend *be, float *dx, const float *dout, const float *x, size_t n);
void cuda_dropout(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p);
void cuda_scale(struct backend *be, float *x, size_t n, float s);
void cuda_add(struct backend *be, float *x, const float *y, size_t n);
void cuda_gather(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C);
void cuda_scatter_add(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C);
void cuda_put_rows(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride,
		   const int32_t *rows, int n, int width);
/* cuda_attn.cu */
void cuda_attn(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
	       const struct kernels_seqs *seqs, const struct kernels_attn *shape);
/* cuda_attn_back.cu */
void cuda_attn_back(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
		    const float *lse, const float *q, const float *k, const float *v, const struct kernels_seqs *seqs,
		    const struct kernels_attn *shape);
/* cuda_loss.cu */
void cuda_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
		  const int32_t *target, int T, int V);
void cuda_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V);
/* cuda_head.cu */
bool cuda_head_tiles(struct backend *be, const struct kernels_weight *head);
void cuda_head_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *x,
		       const struct kernels_weight *head, const int32_t *first, const int32_t *target, int T);
void cuda_head_back(struct backend *be, double *logprob, float *dx, float *dw, float beta, const float *x,
		    const struct kernels_weight *head, const int32_t *target, const float *scale, int T);
/* cuda_draw.cu */
void cuda_draw(struct backend *be, int32_t *ids, const float *logits, const struct kernels_draw *how, int T, int V);
/* cuda_optim.cu */
double cuda_sumsq(struct backend *be, const float *x, size_t n);
void cuda_adamw(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
		const struct kernels_adamw *how);

#endif
