/* cuda_loss.cu: log-probabilities of targets, and the gradient of the cross entropy, over rows of logits that are in memory.
 *
 * A row is a block whose size follows from V. logprob reads a row once, argmax being the first largest. In the class bf16 it goes by
 * groups of words (cuda_best_int.h), and its floor is 4 V bytes a row; so does the gradient. In the other classes a thread of logprob
 * carries the largest of its own logits, and the sum of e^(x - largest) in double, and scales the sum when a larger one comes; lanes and
 * warps are then joined in a fixed tree: the exponentials in double are 25 operations an element, which a data centre's card does
 * at about the speed of its memory. So bits depend on the row and V only.
 *
 * The model hands over logits in chunks of rows, so that they never stand in memory whole (model/), or, where the head's product
 * is our own in bf16, not at all: then cuda_head.cu has their loss. */
#include "kernels/cuda_int.h"
#include "kernels/cuda_best_int.h"

enum { THREADS_MAX = 512, WARPS_MAX = THREADS_MAX / WARP };

static unsigned row_threads(const struct backend *be, int V)
{
	return cuda_math(be) != CUDA_MATH_BF16 && V <= 4096 ? 128 : THREADS_MAX;
}

/* By groups: a quarter of the block's threads are chains. For every thread. */
static __device__ __forceinline__ best best_of_groups(const float *x, int V, best *chains, best *room)
{
	int groups = (V + GROUP_WORDS - 1) / GROUP_WORDS, lane = (int)threadIdx.x % GROUP_LANES;
	best v = best_none();
	for (int g0 = 0; g0 < groups; g0 += BEST_CHAINS) { /* all lanes of a warp as often */
		int g = g0 + (int)threadIdx.x / GROUP_LANES, first = g * GROUP_WORDS + lane * 2;
		float own[GROUP_OWN];
		UNROLL
		for (int k = 0; k < GROUP_OWN; k++)
			own[k] = group_word(first, k) < V ? x[group_word(first, k)] : 0.0f;
		group_best b = group_of(own, first, V);
		if (g < groups)
			v = best_with(v, b);
	}
	if (lane == 0)
		chains[threadIdx.x / GROUP_LANES] = v;
	__syncthreads();
	return best_block(chains[threadIdx.x % BEST_CHAINS], room, BEST_CHAINS);
}

/* What a thread's own columns give. A thread without any has the identity of best_join. */
static __device__ __forceinline__ best best_own(const float *x, int V)
{
	best v = best_none();
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

template <bool GROUPS>
static __global__ void logprob_kernel(double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
				      const int32_t *target, int V)
{
	SHARED(best, room, [WARPS_MAX]);
	SHARED(best, chains, [GROUPS ? BEST_CHAINS : 1]);
	SHARED(double, log_sum, [1]);
	int t = (int)blockIdx.x, from = first ? first[t] : t, to = first ? first[t + 1] : t + 1;
	const float *x = logits + (size_t)t * (size_t)V;
	if (from == to)
		return;
	best b = GROUPS ? best_of_groups(x, V, chains, room) : best_block(best_own(x, V), room, (int)blockDim.x);
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
	dim3 grid((unsigned)(T > 0 ? T : 0)), block(row_threads(be, V));
	if (T > 0 && cuda_math(be) == CUDA_MATH_BF16)
		CUDA_LAUNCH(be, (logprob_kernel<true>), grid, block, 0, logprob, argmax, logits, first, target, V);
	else if (T > 0)
		CUDA_LAUNCH(be, (logprob_kernel<false>), grid, block, 0, logprob, argmax, logits, first, target, V);
}

/* ---- gradient ---------------------------------------------------------------------------------------------------------- */

/* The largest, and the sum by thread of exponentials in float. For every thread. */
static __device__ __forceinline__ best best_of_threads(const float *x, int V, float *tops, double *sums)
{
	int step = (int)blockDim.x;
	float top = -INFINITY;
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
	return { top, 0, block_sum(sum, sums) };
}

/* Then the row is written over, or becomes an operand's. */
template <bool GROUPS>
static __global__ void xent_back_kernel(cuda_made made, const float *logits, const int32_t *target, const float *scale,
					int V)
{
	SHARED(float, tops, [WARPS_MAX]);
	SHARED(double, sums, [WARPS_MAX]);
	SHARED(best, chains, [GROUPS ? BEST_CHAINS : 1]);
	SHARED(best, room, [BEST_ROOM]);
	int step = (int)blockDim.x, at = target[blockIdx.x];
	size_t row = (size_t)blockIdx.x * (size_t)V, piece = (size_t)blockIdx.x * made.stride;
	const float *x = logits + row;
	float s = scale[blockIdx.x];
	make_padding(made, piece, V);
	if (at < 0) {
		for (int i = (int)threadIdx.x; i < V; i += step)
			make(made, row + i, piece + i, 0);
		return;
	}
	best b = GROUPS ? best_of_groups(x, V, chains, room) : best_of_threads(x, V, tops, sums);
	float k = loss_factor(s, b.sum);
	for (int i = (int)threadIdx.x; i < V; i += step) {
		float e = dm_expf(x[i] - b.top);
		make(made, row + i, piece + i, i == at ? loss_at_target(e, s, b.sum) : e * k);
	}
}

void cuda_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V)
{
	uint64_t before = cuda_launches(be);
	if (T <= 0)
		return;
	dim3 grid((unsigned)T), block(row_threads(be, V));
	cuda_made made = cuda_begin_made(be, before, logits, (size_t)T * (size_t)V, false);
	if (cuda_math(be) == CUDA_MATH_BF16)
		CUDA_LAUNCH(be, (xent_back_kernel<true>), grid, block, 0, made, logits, target, scale, V);
	else
		CUDA_LAUNCH(be, (xent_back_kernel<false>), grid, block, 0, made, logits, target, scale, V);
	cuda_end_made(be, before, &made);
}
