/* cuda_best_int.h: of a row of logits the largest, where it stands first, and the sum of e^(x - largest): what a log-probability, the
 * gradient of a cross entropy and the next token are made of.
 *
 * In the class bf16 a row is cut into groups of 32 words, as a warp of a product holds them: four lanes take eight words each, the
 * exponentials and the sum are fp32. Groups are joined in double: 128 chains, of which chain c has the groups c, c + 128 …
 * in ascending order, then a fixed tree. So a row whose logits are in memory (cuda_loss.cu) and one whose logits never leave the
 * registers of their product (cuda_head.cu) give the same bits. The logits of that class carry 8 bits of their operands; an
 * error of some 2^-24 of the sum is nothing beside it, and double exponentials, 25 operations a word, would take longer than the
 * bytes on cards that are slow at them. The other classes sum in double from the first word (cuda_loss.cu). */
#ifndef KERNELS_CUDA_BEST_INT_H
#define KERNELS_CUDA_BEST_INT_H

#include "kernels/cuda_math.h"
#include "kernels/cuda_tile_int.h"

struct best {
	float top;
	int at;
	double sum; /* of e^(x - top) */
};

enum {
	GROUP_WORDS = 32,
	GROUP_LANES = 4,
	GROUP_OWN = GROUP_WORDS / GROUP_LANES,
	BEST_CHAINS = 128,
	BEST_ROOM = BEST_CHAINS / WARP /* of best_of_chains() */
};

struct group_best {
	float top, sum;
	int at;
};

static __device__ __forceinline__ best best_none(void)
{
	return { -INFINITY, INT32_MAX, 0 };
}

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

static __device__ __forceinline__ best best_warp(best v)
{
	for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
		best o;
		o.top = __shfl_xor_sync(WARP_ALL, v.top, lanes);
		o.at = __shfl_xor_sync(WARP_ALL, v.at, lanes);
		o.sum = __shfl_xor_sync(WARP_ALL, v.sum, lanes);
		v = best_join(v, o);
	}
	return v;
}

/* Of the values of a block's first `threads` threads, whole warps, for every thread; room: a place for each of these warps. */
static __device__ __forceinline__ best best_block(best v, best *room, int threads)
{
	v = best_warp(v);
	if ((int)threadIdx.x < threads && threadIdx.x % WARP == 0)
		room[threadIdx.x / WARP] = v;
	__syncthreads();
	v = room[0];
	for (int w = 1; w < threads / WARP; w++)
		v = best_join(v, room[w]);
	__syncthreads();
	return v;
}

/* The word that value k of a lane is of, where the first one's is known: as the elements of a product lie (chain_col()) */
static __device__ __forceinline__ int group_word(int first, int k)
{
	return first + k / 2 * 8 + k % 2;
}

/* A group, for each of its four lanes, of their values v; words from V on are none. All lanes of the warp call it. */
static __device__ __forceinline__ group_best group_of(const float v[GROUP_OWN], int first, int V)
{
	group_best g = { -INFINITY, 0, INT32_MAX };
	UNROLL
	for (int k = 0; k < GROUP_OWN; k++) {
		int word = group_word(first, k);
		bool counts = word < V && (v[k] > g.top || g.at == INT32_MAX);
		g.top = counts && v[k] == v[k] ? v[k] : g.top;
		g.at = counts ? word : g.at;
	}
	UNROLL
	for (int lanes = 1; lanes < GROUP_LANES; lanes *= 2) {
		float top = __shfl_xor_sync(WARP_ALL, g.top, lanes);
		int at = __shfl_xor_sync(WARP_ALL, g.at, lanes);
		bool other = top > g.top || (top == g.top && at < g.at);
		g.top = other ? top : g.top;
		g.at = other ? at : g.at;
	}
	UNROLL
	for (int k = 0; k < GROUP_OWN; k++) {
		float e = v[k] == g.top ? 1.0f : dm_expf(v[k] - g.top);
		g.sum += group_word(first, k) < V ? e : 0.0f;
	}
	UNROLL
	for (int lanes = 1; lanes < GROUP_LANES; lanes *= 2)
		g.sum += __shfl_xor_sync(WARP_ALL, g.sum, lanes);
	return g;
}

/* scale (softmax - onehot(target)): e^(x - top) by this factor, but at the target, where 1 is near what it is taken from */
static __device__ __forceinline__ float loss_factor(float scale, double sum)
{
	return (float)((double)scale / sum);
}

static __device__ __forceinline__ float loss_at_target(float e, float scale, double sum)
{
	return (float)((double)scale * ((double)e / sum - 1.0));
}

static __device__ __forceinline__ best best_with(best v, const group_best &g)
{
	return best_join(v, { g.top, g.at, (double)g.sum });
}

#endif
