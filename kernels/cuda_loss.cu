/* cuda_loss.cu: log-probabilities of targets, and the gradient of the cross entropy, over rows of logits.
 *
 * A row is a block whose size follows from V. logprob reads a row once: a thread carries the largest of its own logits, and
 * the sum of e^(x - largest) in double, and scales the sum when a larger one comes; lanes and warps are then joined in a
 * fixed tree. So its bits depend on the row and V only, and its floor is 4 V bytes a row; the exponentials in double are 25
 * operations an element, which a data centre's card does at about that speed. argmax is the first largest: a thread keeps
 * its first, a join takes the larger value, or the lower index of equal ones.
 *
 * The model hands over logits in chunks of rows, so that they never stand in memory whole (model/). */
#include "kernels/cuda_int.h"
#include "kernels/cuda_device.h"
#include "kernels/cuda_math.h"

enum { WARPS_MAX = 16 };

static unsigned row_threads(int V)
{
	return V <= 4096 ? 128 : 512;
}

struct best {
	float top;
	int at;
	double sum; /* of e^(x - top) */
};

/* Two parts of a row become one. NaN of either makes the sum NaN. */
static __device__ __forceinline__ best best_join(best a, best b)
{
	if (b.top > a.top || (b.top == a.top && b.at < a.at)) {
		best t = a;
		a = b;
		b = t;
	}
	if (b.top == a.top)
		a.sum += b.sum; /* also where both are -inf */
	else
		a.sum += b.sum * dm_exp((double)b.top - (double)a.top);
	return a;
}

static __device__ __forceinline__ best best_shuffle(best v, int lanes)
{
	best o;
	o.top = __shfl_xor_sync(WARP_ALL, v.top, lanes);
	o.at = __shfl_xor_sync(WARP_ALL, v.at, lanes);
	o.sum = __shfl_xor_sync(WARP_ALL, v.sum, lanes);
	return o;
}

/* The whole row's, for every thread */
static __device__ __forceinline__ best best_block(best v, best *room)
{
	for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
		v = best_join(v, best_shuffle(v, lanes));
	if (threadIdx.x % WARP == 0)
		room[threadIdx.x / WARP] = v;
	__syncthreads();
	v = room[0];
	for (unsigned w = 1; w < blockDim.x / WARP; w++)
		v = best_join(v, room[w]);
	__syncthreads();
	return v;
}

/* What a thread's own columns give. A thread without any has the identity of best_join. */
static __device__ __forceinline__ best best_own(const float *x, int V)
{
	best v = { -INFINITY, INT32_MAX, 0 };
	for (int i = (int)threadIdx.x; i < V; i += (int)blockDim.x) {
		float e = x[i];
		if (v.at == INT32_MAX)
			v = { e, i, 1 };
		else if (e > v.top)
			v = { e, i, v.sum * dm_exp((double)v.top - (double)e) + 1 };
		else
			v.sum += e == v.top ? 1 : dm_exp((double)e - (double)v.top);
	}
	return v;
}

static __global__ void logprob_kernel(double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
				      const int32_t *target, int V)
{
	SHARED(best, room, [WARPS_MAX]);
	SHARED(double, log_sum, [1]);
	int t = (int)blockIdx.x, from = first ? first[t] : t, to = first ? first[t + 1] : t + 1;
	const float *x = logits + (size_t)t * (size_t)V;
	if (from == to)
		return;
	best b = best_block(best_own(x, V), room);
	if (threadIdx.x == 0)
		log_sum[0] = (double)b.top + dm_log(b.sum);
	__syncthreads();
	for (int i = from + (int)threadIdx.x; i < to; i += (int)blockDim.x) {
		int32_t at = target[i];
		logprob[i] = at < 0 ? 0 : (double)x[at] - log_sum[0];
		if (argmax)
			argmax[i] = b.at;
	}
}

void cuda_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
		  const int32_t *target, int T, int V)
{
	if (T > 0)
		CUDA_LAUNCH(be, logprob_kernel, dim3((unsigned)T), dim3(row_threads(V)), 0, logprob, argmax, logits,
			    first, target, V);
}

/* ---- gradient ---------------------------------------------------------------------------------------------------------- */

/* The largest and the sum as above, with exponentials in float; then the row is written over, or becomes an operand's. */
static __global__ void xent_back_kernel(cuda_made made, const float *logits, const int32_t *target, const float *scale,
					int V)
{
	SHARED(float, tops, [WARPS_MAX]);
	SHARED(double, sums, [WARPS_MAX]);
	int step = (int)blockDim.x, at = target[blockIdx.x];
	size_t row = (size_t)blockIdx.x * (size_t)V, piece = (size_t)blockIdx.x * made.stride;
	const float *x = logits + row;
	float top = -INFINITY, s = scale[blockIdx.x];
	make_padding(made, piece, V);
	if (at < 0) {
		for (int i = (int)threadIdx.x; i < V; i += step)
			make(made, row + i, piece + i, 0);
		return;
	}
	for (int i = (int)threadIdx.x; i < V; i += step)
		top = fmaxf(top, x[i]);
	top = warp_max(top);
	if (threadIdx.x % WARP == 0)
		tops[threadIdx.x / WARP] = top;
	__syncthreads();
	for (int w = 0; w < step / WARP; w++)
		top = fmaxf(top, tops[w]);
	double sum = 0;
	for (int i = (int)threadIdx.x; i < V; i += step)
		sum += (double)dm_expf(x[i] - top);
	sum = block_sum(sum, sums);
	float k = (float)((double)s / sum);
	for (int i = (int)threadIdx.x; i < V; i += step) {
		float e = dm_expf(x[i] - top);
		make(made, row + i, piece + i, i == at ? (float)((double)s * ((double)e / sum - 1.0)) : e * k);
	}
}

void cuda_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V)
{
	uint64_t before = cuda_launches(be);
	if (T <= 0)
		return;
	cuda_made made = cuda_begin_made(be, before, logits, (size_t)T * (size_t)V, false);
	CUDA_LAUNCH(be, xent_back_kernel, dim3((unsigned)T), dim3(row_threads(V)), 0, made, logits, target, scale, V);
	cuda_end_made(be, before, &made);
}
