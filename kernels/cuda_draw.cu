/* cuda_draw.cu: a token for each row of logits, drawn where they are.
 *
 * The rule is model/sampler.c's: logits over the temperature, the top_k largest, of these the smallest set of the largest that
 * has top_p of their probability; what remains is drawn from in proportion, in the order of the ids. Equal logits stay or go
 * together.
 *
 * Nothing is sorted. A logit stays if fewer than top_k are larger, and if those that are larger have less than top_p: either
 * measure falls as the logit rises, so the least that stays is found by halving the range of all floats, 32 passes over a row
 * that lies in the cache. A row is a block whose size follows from V; weights are floats, their sums doubles in one order, so a
 * token depends on its row, its number u and V alone. The last step cuts the row into a run of ids a thread, adds up the
 * runs in order, and walks through the one that u falls into.
 *
 * The host draws u, from the request's own stream. A row without a number (NaN) gives some id; its log-probability tells. */
#include "kernels/cuda_int.h"
#include "kernels/cuda_device.h"
#include "kernels/cuda_math.h"

enum { THREADS_MAX = 512 };

static unsigned row_threads(int V)
{
	return V <= 4096 ? 128 : THREADS_MAX;
}

/* Floats as numbers in the same order, both zeros one; NaN of either sign is at one of the ends. */
static __device__ __forceinline__ uint32_t order_of(float x)
{
	uint32_t u = __float_as_uint(x + 0.0f);
	return u & 0x80000000u ? ~u : u | 0x80000000u;
}

struct row {
	const float *x;
	int V;
	float top, temperature;
	double *room;
};

static __device__ __forceinline__ float weight_of(const row &r, float x)
{
	return dm_expf((x - r.top) / r.temperature);
}

/* Of the logits from `least` on that are above `at`: how many, or what they weigh; for every thread. */
static __device__ double measure(const row &r, uint32_t least, uint32_t at, bool weigh)
{
	double sum = 0;
	for (int i = (int)threadIdx.x; i < r.V; i += (int)blockDim.x) {
		float x = r.x[i];
		uint32_t k = order_of(x);
		if (k >= least && k > at)
			sum += weigh ? (double)weight_of(r, x) : 1.0;
	}
	return block_sum(sum, r.room);
}

/* The least of them above which there is less than that */
static __device__ uint32_t find_least(const row &r, uint32_t least, double limit, bool weigh)
{
	uint32_t low = least, high = 0xffffffffu;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (measure(r, least, middle, weigh) < limit)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* For every thread. One that has no columns brings -inf, which is nobody's largest. */
static __device__ float find_top(const float *x, int V, float *room)
{
	float top = -INFINITY;
	for (int i = (int)threadIdx.x; i < V; i += (int)blockDim.x)
		top = fmaxf(top, x[i]);
	top = warp_max(top);
	if (threadIdx.x % WARP == 0)
		room[threadIdx.x / WARP] = top;
	__syncthreads();
	for (unsigned w = 0; w < blockDim.x / WARP; w++)
		top = fmaxf(top, room[w]);
	return top;
}

static __global__ void draw_kernel(int32_t *ids, const float *logits, const kernels_draw *how, int V)
{
	SHARED(float, tops, [THREADS_MAX / WARP]);
	SHARED(double, room, [THREADS_MAX / WARP]);
	SHARED(double, runs, [THREADS_MAX]);
	kernels_draw h = how[blockIdx.x];
	const float *x = logits + (size_t)blockIdx.x * (size_t)V;
	if (!(h.temperature > 0))
		return;
	row r = { x, V, find_top(x, V, tops), h.temperature, room };
	uint32_t least = h.top_k > 0 && h.top_k < V ? find_least(r, 0, h.top_k, false) : 0;
	if (h.top_p > 0 && h.top_p < 1)
		least = find_least(r, least, (double)h.top_p * (measure(r, least, 0, true)), true);

	int each = (V + (int)blockDim.x - 1) / (int)blockDim.x, from = (int)threadIdx.x * each;
	int to = from + each < V ? from + each : V;
	double sum = 0;
	for (int i = from; i < to; i++)
		sum += order_of(x[i]) >= least ? (double)weight_of(r, x[i]) : 0.0;
	runs[threadIdx.x] = sum;
	__syncthreads();
	if (threadIdx.x != 0)
		return;
	double all = 0, at = 0;
	int run = 0, last = 0;
	for (int t = 0; t < (int)blockDim.x; t++) {
		all += runs[t];
		last = runs[t] > 0 ? t : last;
	}
	for (double u = h.u * all; run < last && !(u < at + runs[run]); run++)
		at += runs[run];
	int32_t id = 0;
	for (int i = run * each; i < V && i < (run + 1) * each; i++) {
		float w = order_of(x[i]) >= least ? weight_of(r, x[i]) : 0.0f;
		if (!(w > 0))
			continue;
		id = i;
		at += (double)w;
		if (h.u * all < at)
			break;
	}
	ids[blockIdx.x] = id;
}

void cuda_draw(struct backend *be, int32_t *ids, const float *logits, const struct kernels_draw *how, int T, int V)
{
	const kernels_draw *copy = (const kernels_draw *)cuda_stage(be, how, (size_t)T * sizeof(*how));
	if (copy && T > 0)
		CUDA_LAUNCH(be, draw_kernel, dim3((unsigned)T), dim3(row_threads(V)), 0, ids, logits, copy, V);
}
