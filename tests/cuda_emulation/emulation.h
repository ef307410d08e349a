/* emulation.h: CUDA's device language for the host. A thread is a fiber; a kernel is a function that fibers run.
 *
 * The one idea: code between two meeting points (a barrier, a warp operation, the end) touches nothing that another
 * thread may touch at the same time, or it is wrong. So one fiber at a time runs from one meeting point to the next, on
 * one processor, and the order of the fibers is free: forwards, backwards, or at random from a seed. A kernel whose bits
 * differ between orders misses a barrier. ThreadSanitizer knows the fibers as threads, and is told of an order only where
 * CUDA gives one: __syncthreads, __syncwarp, the start and the end of a launch. Shuffles and votes give none, and blocks
 * have none among each other.
 *
 * It stops (with the kernel, block, thread, file and line) at what would hang or be undefined on a device: threads at
 * different barriers, a barrier after a thread has left, a lane that a mask names and that has left, never comes, or is at
 * another operation, a lane outside its own mask, a shuffle from outside the mask, a misaligned ldmatrix or cp.async.
 * Shared memory is NaN at the start of every block; each array has a heap block of its own, which the address sanitizer
 * watches. An asynchronous copy lands at once or at the wait for it, by the order.
 *
 * Not seen: real concurrency (a block that spins on another one hangs), the rounding inside a tensor core and of the
 * device's approximate instructions, bank conflicts, registers. Results are for logic: a tolerance against a reference in
 * double, and bits against themselves.
 *
 * The scheduler is emulation.cpp. It is compiled without ThreadSanitizer: its state is shared on purpose. */
#ifndef CUDA_EMULATION_H
#define CUDA_EMULATION_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

/* ---- words of the language ------------------------------------------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
	unsigned x, y, z;
};
struct dim3 {
	unsigned x, y, z;
	dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
	{
	}
};
struct alignas(8) float2 {
	float x, y;
};
struct alignas(16) float4 {
	float x, y, z, w;
};
struct alignas(8) int2 {
	int x, y;
};
struct alignas(16) int4 {
	int x, y, z, w;
};
struct alignas(8) uint2 {
	unsigned x, y;
};
struct alignas(16) uint4 {
	unsigned x, y, z, w;
};
struct alignas(16) double2 {
	double x, y;
};

static inline float2 make_float2(float x, float y)
{
	return { x, y };
}

static inline float4 make_float4(float x, float y, float z, float w)
{
	return { x, y, z, w };
}

static inline int4 make_int4(int x, int y, int z, int w)
{
	return { x, y, z, w };
}

static inline uint2 make_uint2(unsigned x, unsigned y)
{
	return { x, y };
}

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
	return { x, y, z, w };
}

/* ---- the scheduler's face ------------------------------------------------------------------------------------------------ */

enum emu_order { EMU_FORWARD, EMU_BACKWARD, EMU_RANDOM };

/* What the running fiber is. Written by the scheduler only. */
struct emu_self {
	uint3 thread;
	int lane, warp;
	void *context; /* where it goes on: a stack pointer, or ucontext_t */
};
extern struct emu_now {
	const struct emu_self *self;
	dim3 grid, block;
	uint3 block_index;
	int parity; /* of the block in the order of running: adjacent blocks have fibers and shared arrays apart */
	unsigned char *dyn;      /* dynamic shared memory of this parity */
	void *scheduler_context; /* where the scheduler goes on */
} emu;

#define threadIdx (emu.self->thread)
#define blockIdx (emu.block_index)
#define blockDim emu.block /* without parentheses: they are also fields of the parameters of a node */
#define gridDim emu.grid
static const int warpSize = 32;

struct emu_site {
	const char *file;
	int line;
};
/* The last parameters of an operation: the place of its call */
#define EMU_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define EMU_SITE                                                                                                       \
	emu_site                                                                                                       \
	{                                                                                                              \
		file, line                                                                                             \
	}

[[noreturn]] void emu_stop(const char *what, emu_site site);
/* The fiber waits for those it meets: it has said where and for what, and the scheduler goes on. Straight from where it meets and
 * not from a function further down, since a processor foresees a return to the caller of the last fiber. */
void emu_wait(void);
#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void emu_switch(void **save, void *to);
#endif
static inline __attribute__((always_inline)) void emu_leave(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(EMU_TSAN)
	emu_switch(const_cast<void **>(&emu.self->context), emu.scheduler_context);
#else
	emu_wait();
#endif
}

void emu_at_block(int value, emu_site site);
void emu_block_met(void);
static inline __attribute__((always_inline)) void emu_meet_block(int value, emu_site site)
{
	emu_at_block(value, site);
	emu_leave();
	emu_block_met();
}
int emu_block_or(void);
int emu_block_and(void);
int emu_block_count(void);
/* Leaves up to 64 bytes for the other lanes of the mask and meets them; then their bytes can be read. */
void emu_at_warp(unsigned mask, const void *offer, int bytes, bool orders_memory, emu_site site);
static inline __attribute__((always_inline)) void emu_meet_warp(unsigned mask, const void *offer, int bytes,
								bool orders_memory, emu_site site)
{
	emu_at_warp(mask, offer, bytes, orders_memory, site);
	emu_leave();
}
void emu_look(void *out, int lane, int offset, int bytes);
void emu_look_ordered(void); /* the acquiring half of an operation that orders memory */

/* Runs body once a thread; gives false if the device would refuse such a launch. */
bool emu_run(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body,
	     size_t shared_limit = (size_t)-1 /* of what it declares and what it is given */);

/* For tests: the order of fibers, blocks and landing copies from now on, and the seed of EMU_RANDOM */
void emu_set_order(enum emu_order order, uint64_t seed);
/* Steps that threads took from meeting point to meeting point, since the start of the program */
uint64_t emu_steps(void);

/* ---- shared memory ----------------------------------------------------------------------------------------------------------- */

/* Both parities of an array that a kernel declares. Which were used is known, so that they are made NaN again. */
struct emu_shared {
	size_t bytes;
	void *at[2];
	mutable char used[2];
	explicit emu_shared(size_t size);
	void *use() const
	{
		__atomic_store_n(&used[emu.parity], 1, __ATOMIC_RELAXED);
		return at[emu.parity];
	}
};
#define SHARED(type, name, dims)                                                                                       \
	typedef type emu_type_##name dims;                                                                             \
	static const emu_shared emu_pair_##name(sizeof(emu_type_##name));                                              \
	emu_type_##name &name = *static_cast<emu_type_##name *>(emu_pair_##name.use())
#define DYN_SHARED(type, name) type *name = reinterpret_cast<type *>(emu.dyn)

/* ---- launches ----------------------------------------------------------------------------------------------------------------- */

struct emu_stream;
/* cuda_runtime.cpp: queues a launch on a stream; bytes: of dynamic shared memory */
void emu_launch(const char *kernel, const void *function, dim3 grid, dim3 block, size_t bytes, emu_stream *stream,
		std::function<void()> body);
/* Stops if p is no address that a kernel may use: device memory, pinned memory or NULL */
void emu_check_argument(const char *kernel, int argument, const void *p);

template <class T> static inline void emu_check_one(const char *kernel, int i, const T &value)
{
	if constexpr (std::is_pointer<T>::value)
		emu_check_argument(kernel, i, (const void *)value);
	(void)kernel, (void)i, (void)value;
}

/* Arguments are copied when the kernel is launched, as on a device, not when it runs. */
template <class... P, class... A>
static inline void emu_call(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes,
			    emu_stream *stream, A... args)
{
	std::tuple<P...> bound(static_cast<P>(args)...);
	int i = 0;
	std::apply([&](const P &...p) { (emu_check_one(name, i++, p), ...); }, bound);
	emu_launch(name, (const void *)kernel, grid, block, bytes, stream,
		   [kernel, bound] { std::apply(kernel, bound); });
}

/* A kernel as the runtime's calls that take a plain address know it: cudaLaunchKernel() and the nodes of graphs. It copies
 * its arguments, checks them, and gives what one thread runs. */
typedef std::function<void()> emu_bind(const void *kernel, void **args);
const void *emu_register(const void *kernel, emu_bind *bind);
template <class... P, size_t... I>
static inline std::function<void()> emu_bind_at(void (*kernel)(P...), void **args, std::index_sequence<I...>)
{
	std::tuple<P...> bound(*static_cast<const P *>(args[I])...);
	(emu_check_one("a kernel", (int)I, std::get<I>(bound)), ...);
	return [kernel, bound] { std::apply(kernel, bound); };
}
template <class... P> static inline std::function<void()> emu_bind_args(const void *kernel, void **args)
{
	return emu_bind_at(reinterpret_cast<void (*)(P...)>(const_cast<void *>(kernel)), args,
			   std::index_sequence_for<P...>());
}
template <class... P> static inline const void *emu_function(void (*kernel)(P...))
{
	return emu_register(reinterpret_cast<const void *>(kernel), emu_bind_args<P...>);
}
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                         \
	emu_call(#kernel, kernel, (grid), (block), (shared_bytes), (stream), __VA_ARGS__)

/* ---- barriers, votes, shuffles --------------------------------------------------------------------------------------------------- */

#define __syncthreads() emu_meet_block(0, emu_site{ __FILE__, __LINE__ })

static inline int __syncthreads_or(int v, EMU_PLACE)
{
	emu_meet_block(!!v, EMU_SITE);
	return emu_block_or();
}

static inline int __syncthreads_and(int v, EMU_PLACE)
{
	emu_meet_block(!!v, EMU_SITE);
	return emu_block_and();
}

static inline int __syncthreads_count(int v, EMU_PLACE)
{
	emu_meet_block(!!v, EMU_SITE);
	return emu_block_count();
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_PLACE)
{
	emu_meet_warp(mask, nullptr, 0, true, EMU_SITE);
	emu_look_ordered();
}

template <class T> static inline T emu_shuffle(unsigned mask, T v, int from, bool inside, emu_site site)
{
	static_assert(sizeof(T) <= 8, "shuffles are of 4 or 8 bytes");
	emu_meet_warp(mask, &v, (int)sizeof(T), false, site);
	if (inside) {
		if (!(mask >> from & 1u))
			emu_stop("a shuffle reads a lane outside its mask", site);
		emu_look(&v, from, 0, (int)sizeof(T));
	}
	return v;
}

template <class T> static inline T __shfl_sync(unsigned mask, T v, int from, int width = 32, EMU_PLACE)
{
	return emu_shuffle(mask, v, (emu.self->lane & ~(width - 1)) + (from & (width - 1)), true, EMU_SITE);
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, EMU_PLACE)
{
	int from = emu.self->lane ^ lanes;
	return emu_shuffle(mask, v, from, from < (emu.self->lane & ~(width - 1)) + width, EMU_SITE);
}

template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_PLACE)
{
	int from = emu.self->lane + (int)by;
	return emu_shuffle(mask, v, from, from < (emu.self->lane & ~(width - 1)) + width, EMU_SITE);
}

template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_PLACE)
{
	int from = emu.self->lane - (int)by;
	return emu_shuffle(mask, v, from, from >= (emu.self->lane & ~(width - 1)), EMU_SITE);
}

static inline unsigned __ballot_sync(unsigned mask, int v, EMU_PLACE)
{
	unsigned votes = 0;
	v = !!v;
	emu_meet_warp(mask, &v, (int)sizeof(v), false, EMU_SITE);
	for (int i = 0; i < 32; i++)
		if (mask >> i & 1u) {
			int vote;
			emu_look(&vote, i, 0, (int)sizeof(vote));
			votes |= (unsigned)vote << i;
		}
	return votes;
}

static inline int __any_sync(unsigned mask, int v, EMU_PLACE)
{
	return __ballot_sync(mask, v, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int v, EMU_PLACE)
{
	return __ballot_sync(mask, v, file, line) == mask;
}

/* ---- atomics: whole, and in the order of the fibers ---------------------------------------------------------------------------------- */

/* atomic for the thread sanitizer; alone they are what they say, since one fiber runs at a time */
template <class T> static inline T atomicExch(T *p, T v)
{
	T old;
	__atomic_exchange(p, &v, &old, __ATOMIC_RELAXED);
	return old;
}

template <class T> static inline T atomicCAS(T *p, T compare, T v)
{
	__atomic_compare_exchange(p, &compare, &v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return compare;
}

template <class T> static inline T atomicAdd(T *p, T v)
{
	T old, sum;
	__atomic_load(p, &old, __ATOMIC_RELAXED);
	sum = old + v;
	__atomic_store(p, &sum, __ATOMIC_RELAXED);
	return old;
}

template <class T> static inline T atomicMax(T *p, T v)
{
	T old;
	__atomic_load(p, &old, __ATOMIC_RELAXED);
	if (v > old)
		__atomic_store(p, &v, __ATOMIC_RELAXED);
	return old;
}

static inline void __threadfence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- arithmetic and loads ---------------------------------------------------------------------------------------------------------- */

template <class T> static inline T __ldg(const T *p)
{
	return *p;
}

template <class T> static inline T __ldcs(const T *p)
{
	return *p;
}

template <class T> static inline void __stcs(T *p, T v)
{
	*p = v;
}

static inline float rsqrtf(float x)
{
	return 1.0f / sqrtf(x);
}

template <class T> static inline T min(T a, T b)
{
	return b < a ? b : a;
}

template <class T> static inline T max(T a, T b)
{
	return a < b ? b : a;
}

static inline int __popc(unsigned v)
{
	return __builtin_popcount(v);
}

static inline float exp2_fast(float x)
{
	return exp2f(x);
}

template <class To, class From> static inline To emu_bits(From v)
{
	To u;
	static_assert(sizeof(u) == sizeof(v), "same size");
	memcpy(&u, &v, sizeof(u));
	return u;
}

static inline int __float_as_int(float v)
{
	return emu_bits<int>(v);
}

static inline float __int_as_float(int v)
{
	return emu_bits<float>(v);
}

static inline unsigned __float_as_uint(float v)
{
	return emu_bits<unsigned>(v);
}

static inline float __uint_as_float(unsigned v)
{
	return emu_bits<float>(v);
}

static inline long long __double_as_longlong(double v)
{
	return emu_bits<long long>(v);
}

static inline double __longlong_as_double(long long v)
{
	return emu_bits<double>(v);
}

/* ---- tensor cores and asynchronous copies: cuda_device.h says what they do --------------------------------------------------------- */

void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], EMU_PLACE);
void mma_tf32(float d[4], const float a[4], const float b[2],
	      EMU_PLACE); /* rounds each product and sum to fp32, in order */
/* The copies of a thread that are under way. put: false: it lands at once. next: one that must land now. */
bool emu_copies_put(void *dst, const void *src, int bytes, emu_site site);
bool emu_copies_next(void **dst, const void **src, int *bytes, int under_way);
void cp_async_commit(void);

static inline void emu_land(void *dst, const void *src, int bytes)
{
	uint64_t word[2] = { 0, 0 };
	if (bytes)
		memcpy(word, src, (size_t)bytes);
	memcpy(dst, word, sizeof(word));
}

static inline void cp_async16(void *dst, const void *src, int bytes, EMU_PLACE)
{
	if (!emu_copies_put(dst, src, bytes, EMU_SITE))
		emu_land(dst, src, bytes);
}

template <int N> static inline void cp_async_wait(void)
{
	void *dst;
	const void *src;
	for (int bytes; emu_copies_next(&dst, &src, &bytes, N);)
		emu_land(dst, src, bytes);
}

/* This read, and the copies above, stand here, and not in the scheduler, so that sanitizers see it. */
static inline void emu_ldmatrix(uint32_t r[4], const void *row, bool transposed, emu_site site)
{
	if ((uintptr_t)row & 15u)
		emu_stop("the row of an ldmatrix is not aligned to 16 bytes", site);
	emu_meet_warp(0xffffffffu, &row, (int)sizeof(row), false, site);
	int g = emu.self->lane / 4, t = emu.self->lane % 4;
	for (int i = 0; i < 4; i++) {
		const uint16_t *p, *q;
		emu_look(&p, 8 * i + (transposed ? 2 * t : g), 0, (int)sizeof(p));
		q = p + 1;
		if (transposed)
			emu_look(&q, 8 * i + 2 * t + 1, 0, (int)sizeof(q));
		r[i] = transposed ? p[g] | (uint32_t)q[g] << 16 : p[2 * t] | (uint32_t)q[2 * t] << 16;
	}
}

static inline void ldmatrix_x4(uint32_t r[4], const void *row, EMU_PLACE)
{
	emu_ldmatrix(r, row, false, EMU_SITE);
}

static inline void ldmatrix_x4_trans(uint32_t r[4], const void *row, EMU_PLACE)
{
	emu_ldmatrix(r, row, true, EMU_SITE);
}

#endif
