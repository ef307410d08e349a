/* cuda_device.h: the words that kernels are written in.
 *
 * A kernel is launched by LAUNCH (or CUDA_LAUNCH of cuda_int.h) and declares shared memory by SHARED or DYN_SHARED, so
 * that the same source compiles under nvcc and, as C++, for the host (tests/cuda_emulation/). Tensor cores and asynchronous
 * copies are behind six inline functions: mma_bf16, mma_tf32 (of cuda_gemm.cu), ldmatrix_x4, ldmatrix_x4_trans, cp_async16, and the
 * pair cp_async_commit/wait. They are PTX of sm_80, which newer devices run too; the emulation has the same six from the
 * fragment layouts of the PTX manual. wgmma and TMA are not used: they could be compiled but not tested without a card. */
#ifndef KERNELS_CUDA_DEVICE_H
#define KERNELS_CUDA_DEVICE_H

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                         \
	kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
/* SHARED(float, tile, [32][33]); */
#define SHARED(type, name, dims) __shared__ __align__(16) type name dims
/* The memory whose size the launch gave, as an array of type; once a kernel */
#define DYN_SHARED(type, name)                                                                                         \
	extern __shared__ __align__(128) unsigned char cuda_dyn_shared[];                                              \
	type *name = reinterpret_cast<type *>(cuda_dyn_shared)

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
	return (uint32_t)__cvta_generic_to_shared(p);
}

/* d[16,8] += a[16,16] b[16,8] of bf16, sums in fp32, spread over a warp: lane = 4 g + t holds
 *	d: rows g, g, g+8, g+8; columns 2t, 2t+1, 2t, 2t+1	a: rows g, g+8, g, g+8; columns 2t.. and, from the third, 2t+8..
 *	b: column g; rows 2t.. and 2t+8..			two neighbours in one register, the lower one in the lower half */
static __device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"
		     "{%0,%1,%2,%3};"
		     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
		     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four 8x8 matrices of 16-bit elements from shared memory: lane 8 i + r gives the address of row r of matrix i (16 bytes,
 * aligned); lane 4 g + t receives row g, columns 2t and 2t+1 of matrix i in r[i] */
static __device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
		     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
		     : "r"(shared_address(row))
		     : "memory");
}

/* The same, each matrix transposed: lane 4 g + t receives rows 2t and 2t+1 of column g */
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
		     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
		     : "r"(shared_address(row))
		     : "memory");
}

/* 16 bytes from global to shared memory, both aligned; the first `bytes` (0..16) are read, the rest become 0. Done when
 * the thread has waited for the copy's group, and for other threads after a barrier behind that. */
static __device__ __forceinline__ void cp_async16(void *dst, const void *src, int bytes)
{
	asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(shared_address(dst)), "l"(src), "r"(bytes)
		     : "memory");
}

static __device__ __forceinline__ void cp_async_commit(void)
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most N of the thread's groups are under way */
template <int N> static __device__ __forceinline__ void cp_async_wait(void)
{
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* 2^x, of the special function unit: 2 ulp, the same bits on one model of device */
static __device__ __forceinline__ float exp2_fast(float x)
{
	float y;
	asm("ex2.approx.ftz.f32 %0,%1;" : "=f"(y) : "f"(x));
	return y;
}

#endif /* else: cuda_runtime.h of the emulation has them all */

/* ---- a warp, a block ------------------------------------------------------------------------------------------------- */

enum { WARP = 32 };
#define WARP_ALL 0xffffffffu

/* Butterflies: every lane gets the same bits, since a + b is b + a */
static __device__ __forceinline__ float warp_sum(float v)
{
	for (int d = WARP / 2; d > 0; d /= 2)
		v += __shfl_xor_sync(WARP_ALL, v, d);
	return v;
}

static __device__ __forceinline__ double warp_sum(double v)
{
	for (int d = WARP / 2; d > 0; d /= 2)
		v += __shfl_xor_sync(WARP_ALL, v, d);
	return v;
}

static __device__ __forceinline__ float warp_max(float v)
{
	for (int d = WARP / 2; d > 0; d /= 2)
		v = fmaxf(v, __shfl_xor_sync(WARP_ALL, v, d));
	return v;
}

/* The sum over a block of whole warps, `room` being shared memory for a value a warp: warps by butterfly, then the warps'
 * sums in ascending order, so every thread gets the same bits. All threads call it; room may be used again at once. */
template <class T> static __device__ __forceinline__ T block_sum(T v, T *room)
{
	v = warp_sum(v);
	if (threadIdx.x % WARP == 0)
		room[threadIdx.x / WARP] = v;
	__syncthreads();
	T sum = room[0];
	for (unsigned w = 1; w < blockDim.x / WARP; w++)
		sum += room[w];
	__syncthreads();
	return sum;
}

/* W floats at p, of which `left` are there: one load where W is 4 and all are (p is aligned then) */
template <int W> static __device__ __forceinline__ void load_floats(float v[W], const float *p, size_t left)
{
	if (W == 4 && left >= 4) {
		float4 q = *reinterpret_cast<const float4 *>(p);
		v[0] = q.x, v[1 % W] = q.y, v[2 % W] = q.z, v[3 % W] = q.w;
		return;
	}
	for (int i = 0; i < W; i++)
		v[i] = (size_t)i < left ? p[i] : 0.0f;
}

template <int W> static __device__ __forceinline__ void store_floats(float *p, const float v[W], size_t left)
{
	if (W == 4 && left >= 4) {
		*reinterpret_cast<float4 *>(p) = make_float4(v[0], v[1 % W], v[2 % W], v[3 % W]);
		return;
	}
	for (int i = 0; i < W; i++)
		if ((size_t)i < left)
			p[i] = v[i];
}

/* An element that is made, of which products may want an operand (cuda_int.h, struct cuda_made): x[at], operand[piece] */
template <class M> static __device__ __forceinline__ void make(const M &m, size_t at, size_t piece, float v)
{
	if (m.x)
		m.x[at] = v;
	if (m.operand)
		m.operand[piece] = __float2bfloat16_rn(v);
}

/* The zeros behind the n columns of an operand's row */
template <class M> static __device__ __forceinline__ void make_padding(const M &m, size_t piece, int n)
{
	if (m.operand && (size_t)n + threadIdx.x < m.stride)
		m.operand[piece + (size_t)n + threadIdx.x] = __float2bfloat16_rn(0);
}

/* Two floats as one register of bf16, rounded to nearest even, the first in the lower half */
static __device__ __forceinline__ uint32_t bf16_pair(float low, float high)
{
	__nv_bfloat162 v = __floats2bfloat162_rn(low, high);
	uint32_t u;
	memcpy(&u, &v, sizeof(u));
	return u;
}

/* make() of W neighbours of an operand that is as long; store_floats() */
template <int W, class M>
static __device__ __forceinline__ void make_floats(const M &m, size_t at, const float v[W], size_t left)
{
	if (m.x)
		store_floats<W>(m.x + at, v, left);
	if (!m.operand)
		return;
	if (W == 4 && left >= 4) {
		uint2 packed = { bf16_pair(v[0], v[1 % W]), bf16_pair(v[2 % W], v[3 % W]) };
		*reinterpret_cast<uint2 *>(m.operand + at) = packed;
		return;
	}
	for (int i = 0; i < W; i++)
		if ((size_t)i < left)
			m.operand[at + (size_t)i] = __float2bfloat16_rn(v[i]);
}

#endif
