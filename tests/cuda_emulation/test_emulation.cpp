/* test_emulation.cpp: the emulation itself. What is right gives its result in every order; each kind of fault is found, by
 * the order of fibers, by a stop with the place, or by ThreadSanitizer. A fault runs in a child process. */
#include "cuda_test.h"
#include "kernels/cuda_device.h"

#if defined(__SANITIZE_THREAD__)
enum { UNDER_TSAN = 1 };
#else
enum { UNDER_TSAN = 0 };
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HOST_TOUCHES "AddressSanitizer"
#define PAST_THE_END "AddressSanitizer"
#elif defined(__SANITIZE_THREAD__)
#define HOST_TOUCHES "ThreadSanitizer"
#define PAST_THE_END "wrote past the end of a block"
#else
#define HOST_TOUCHES "the host reads or writes device memory"
#define PAST_THE_END "wrote past the end of a block"
#endif

template <class T> struct device_array {
	T *p;
	size_t n;
	explicit device_array(size_t count) : p(NULL), n(count)
	{
		cudaMalloc(&p, n * sizeof(T));
	}
	explicit device_array(const std::vector<T> &v) : device_array(v.size())
	{
		cudaMemcpy(p, v.data(), n * sizeof(T), cudaMemcpyHostToDevice);
	}
	~device_array()
	{
		cudaFree(p);
	}
	std::vector<T> get() const
	{
		std::vector<T> v(n);
		cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost);
		return v;
	}
};

enum { ORDERS = 5 };
static void set_order(int i)
{
	emu_set_order(i == 0 ? EMU_FORWARD : i == 1 ? EMU_BACKWARD : EMU_RANDOM, (uint64_t)i);
}

/* The results of the kernel in each order are one; NULL: they differ */
template <class F> static bool orders_agree(F run)
{
	std::vector<float> first;
	for (int i = 0; i < ORDERS; i++) {
		set_order(i);
		std::vector<float> v = run();
		if (i == 0)
			first = v;
		else if (memcmp(first.data(), v.data(), v.size() * sizeof(float)) != 0)
			return false;
	}
	return true;
}

/* ---- what is right ----------------------------------------------------------------------------------------------------------- */

/* The sum of a row by shuffles and shared memory, with or without its barrier, or with a read past the end */
template <bool BARRIER, int EXTRA> static __global__ void row_sum(float *out, const float *x, int n)
{
	SHARED(float, part, [4]);
	float s = 0;
	for (int i = (int)threadIdx.x; i < n; i += 128)
		s += x[blockIdx.x * (unsigned)n + (unsigned)i];
	s = warp_sum(s);
	if (threadIdx.x % 32 == 0)
		part[threadIdx.x / 32] = s;
	if (BARRIER)
		__syncthreads();
	float sum = 0;
	for (int i = 0; i < 4 + EXTRA; i++)
		sum += (&part[0])[i];
	out[blockIdx.x * 128 + threadIdx.x] = sum;
}

template <bool BARRIER, int EXTRA> static std::vector<float> row_sums(void)
{
	std::vector<float> x(3 * 200);
	for (size_t i = 0; i < x.size(); i++)
		x[i] = (float)i;
	device_array<float> in(x), out(3 * 128);
	LAUNCH((row_sum<BARRIER, EXTRA>), dim3(3), dim3(128), 0, 0, out.p, in.p, 200);
	return out.get();
}

TEST(a_row_is_summed_by_every_thread_in_every_order)
{
	bool same = orders_agree([] {
		std::vector<float> v = row_sums<true, 0>();
		for (int r = 0; r < 3; r++)
			for (int t = 0; t < 128; t++)
				CHECK(v[(size_t)(r * 128 + t)] == (float)(200 * (200 * r) + 199 * 100));
		return v;
	});
	CHECK(same);
}

static __global__ void warp_words(int *out)
{
	int lane = (int)threadIdx.x % 32, at = (int)threadIdx.x * 8;
	out[at] = __shfl_sync(WARP_ALL, lane * 10, 3);
	out[at + 1] = __shfl_xor_sync(WARP_ALL, lane, 5);
	out[at + 2] = __shfl_down_sync(WARP_ALL, lane, 4);
	out[at + 3] = __shfl_up_sync(WARP_ALL, lane, 4);
	out[at + 4] = (int)__ballot_sync(WARP_ALL, lane % 3 == 0);
	out[at + 5] = __shfl_xor_sync(WARP_ALL, lane, 3, 4);
	out[at + 6] = __any_sync(WARP_ALL, lane == 7) + 2 * __all_sync(WARP_ALL, lane == 7);
	unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u; /* the halves of a warp by themselves */
	out[at + 7] = lane < 16 ? __shfl_sync(half, lane, 5) : __shfl_sync(half, lane, 20);
}

TEST(shuffles_and_votes_are_as_the_manual_says)
{
	device_array<int> out(64 * 8);
	LAUNCH(warp_words, dim3(1), dim3(64), 0, 0, out.p);
	std::vector<int> v = out.get();
	for (int t = 0; t < 64; t++) {
		int lane = t % 32, *o = &v[(size_t)t * 8];
		CHECK(o[0] == 30 && o[1] == (lane ^ 5));
		CHECK(o[2] == (lane + 4 < 32 ? lane + 4 : lane) && o[3] == (lane >= 4 ? lane - 4 : lane));
		CHECK((unsigned)o[4] == 0x49249249u && o[5] == (lane ^ 3) && o[6] == 1);
		CHECK(o[7] == (lane < 16 ? 5 : 20));
	}
}

/* d = a b of one tile through shared memory, ldmatrix (b transposed from rows) and mma */
static __global__ void one_tile(float *d, const __nv_bfloat16 *a, const __nv_bfloat16 *b)
{
	SHARED(__nv_bfloat16, sa, [16][24]);
	SHARED(__nv_bfloat16, sb, [16][24]);
	int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
	cp_async16(&sa[lane / 2][lane % 2 * 8], a + lane * 8, 16);
	cp_async16(&sb[lane / 2][lane % 2 * 8], b + lane * 8, 16);
	cp_async_commit();
	cp_async_wait<0>();
	__syncwarp();
	uint32_t fa[4], fb[4];
	float low[4] = { 0, 0, 0, 0 }, high[4] = { 0, 0, 0, 0 };
	ldmatrix_x4(fa, &sa[lane % 16][lane / 16 * 8]);
	ldmatrix_x4_trans(fb, &sb[lane % 16][lane / 16 * 8]);
	mma_bf16(low, fa, fb);
	mma_bf16(high, fa, fb + 2);
	for (int e = 0; e < 4; e++) {
		d[(g + e / 2 * 8) * 16 + 2 * t + e % 2] = low[e];
		d[(g + e / 2 * 8) * 16 + 8 + 2 * t + e % 2] = high[e];
	}
}

TEST(a_tile_through_ldmatrix_and_mma_is_the_product)
{
	std::vector<__nv_bfloat16> a(256), b(256);
	for (size_t i = 0; i < 256; i++) {
		a[i] = __float2bfloat16_rn((float)((int)(i * 37 % 101) - 50) / 16);
		b[i] = __float2bfloat16_rn((float)((int)(i * 53 % 97) - 48) / 16);
	}
	device_array<__nv_bfloat16> da(a), db(b);
	for (int o = 0; o < ORDERS; o++) {
		set_order(o);
		device_array<float> d(256);
		LAUNCH(one_tile, dim3(1), dim3(32), 0, 0, d.p, da.p, db.p);
		std::vector<float> v = d.get();
		for (size_t i = 0; i < 16; i++)
			for (size_t j = 0; j < 16; j++) {
				double sum = 0;
				for (size_t k = 0; k < 16; k++)
					sum += (double)__bfloat162float(a[i * 16 + k]) *
					       (double)__bfloat162float(b[k * 16 + j]);
				CHECK(fabs((double)v[i * 16 + j] - sum) < 1e-5);
			}
	}
}

static __global__ void dynamic_turn(int *out, const int *in)
{
	DYN_SHARED(int, room);
	room[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
	int ones = __syncthreads_count(room[threadIdx.x] == 1);
	out[blockIdx.x * blockDim.x + threadIdx.x] = room[blockDim.x - 1 - threadIdx.x] * 100 + ones;
}

TEST(dynamic_shared_memory_needs_its_limit_raised_beyond_48_kib)
{
	std::vector<int> in(96);
	for (size_t i = 0; i < 96; i++)
		in[i] = (int)i % 48;
	device_array<int> din(in), out(96);
	LAUNCH(dynamic_turn, dim3(2), dim3(48), 48 * sizeof(int), 0, out.p, din.p);
	CHECK(cudaGetLastError() == cudaSuccess);
	std::vector<int> v = out.get();
	for (int i = 0; i < 96; i++)
		CHECK(v[(size_t)i] == (47 - i % 48) * 100 + 1);
	LAUNCH(dynamic_turn, dim3(2), dim3(48), 60 << 10, 0, out.p, din.p);
	CHECK(cudaGetLastError() == cudaErrorInvalidValue);
	CHECK(cudaGetLastError() == cudaSuccess);
	CHECK(cudaFuncSetAttribute(dynamic_turn, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10) == cudaSuccess);
	LAUNCH(dynamic_turn, dim3(2), dim3(48), 60 << 10, 0, out.p, din.p);
	CHECK(cudaGetLastError() == cudaSuccess);
	CHECK(cudaFuncSetAttribute(dynamic_turn, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10) !=
	      cudaSuccess);
	cudaGetLastError();
	LAUNCH(dynamic_turn, dim3(0), dim3(48), 0, 0, out.p, din.p);
	CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
}

/* ---- faults of kernels -------------------------------------------------------------------------------------------------------- */

TEST(a_missing_barrier_changes_bits_by_order)
{
	if (UNDER_TSAN)
		CHECK_STOPS("data race", [] { row_sums<false, 0>(); });
	else
		CHECK(!orders_agree(row_sums<false, 0>));
}

TEST(a_read_past_a_shared_array_is_seen)
{
#if defined(__SANITIZE_ADDRESS__)
	CHECK_STOPS("AddressSanitizer", [] { row_sums<true, 1>(); });
#else
	for (float v : row_sums<true, 1>())
		CHECK(v != v);
#endif
}

/* Lane 0 writes, the others read; shuffles between them order nothing */
template <bool BARRIER> static __global__ void by_shared(float *out)
{
	SHARED(float, room, [1]);
	float v = (float)threadIdx.x;
	if (threadIdx.x == 0)
		room[0] = v + 5;
	v = warp_sum(v);
	if (BARRIER)
		__syncwarp();
	out[threadIdx.x] = v + room[0];
}

template <bool BARRIER> static void run_by_shared(void)
{
	device_array<float> out(32);
	LAUNCH((by_shared<BARRIER>), dim3(1), dim3(32), 0, 0, out.p);
	for (float v : out.get())
		CHECK(v == 496 + 5);
}

TEST(a_missing_syncwarp_is_a_race_for_the_thread_sanitizer)
{
	run_by_shared<true>();
	if (!UNDER_TSAN)
		SKIP("no order of fibers shows it; make test-cuda SANITIZE=thread does");
	CHECK_STOPS("data race", run_by_shared<false>);
}

static __global__ void all_add(float *sum)
{
	if (threadIdx.x == 0)
		*sum += 1;
}

TEST(blocks_that_write_one_place_are_a_race_for_the_thread_sanitizer)
{
	if (!UNDER_TSAN)
		SKIP("make test-cuda SANITIZE=thread");
	CHECK_STOPS("data race", [] {
		device_array<float> sum(1);
		LAUNCH(all_add, dim3(3), dim3(32), 0, 0, sum.p);
		cudaDeviceSynchronize();
	});
}

static __global__ void add_in_any_order(float *sum, const float *x)
{
	atomicAdd(sum, x[blockIdx.x]);
}

TEST(float_atomics_over_blocks_change_bits_by_order)
{
	CHECK(!orders_agree([] {
		device_array<float> x(std::vector<float>{ 1, 1e8f, -1e8f, 3, 1e-3f, 5e7f, 0.1f }),
			sum(std::vector<float>{ 0 });
		LAUNCH(add_in_any_order, dim3(7), dim3(1), 0, 0, sum.p, x.p);
		return sum.get();
	}));
}

template <int FAULT> static __global__ void stops(float *out)
{
	float v = 1;
	if (FAULT == 0 && threadIdx.x < 40)
		__syncthreads();
	if (FAULT == 1) {
		if (threadIdx.x < 32)
			__syncthreads();
		else
			__syncthreads();
	}
	if (FAULT == 2 && threadIdx.x % 2)
		v = __shfl_sync(WARP_ALL, v, 0);
	if (FAULT == 3)
		v = __shfl_sync(1u << (threadIdx.x + 1) % 32, v, 0);
	if (FAULT == 4)
		v = __shfl_sync(0xffffu << (threadIdx.x / 16 % 2 * 16), v, 20 - (int)(threadIdx.x / 16 % 2) * 10);
	if (FAULT == 5)
		v = threadIdx.x % 2 ? __shfl_sync(WARP_ALL, v, 0) : warp_sum(v);
	if (FAULT == 6) {
		SHARED(__nv_bfloat16, room, [16][20]);
		uint32_t r[4];
		ldmatrix_x4(r, &room[threadIdx.x % 16][1]);
	}
	if (FAULT == 7)
		cp_async16(out + 1, out, 16);
	out[threadIdx.x] = v;
}

template <int FAULT> static void run_stops(void)
{
	device_array<float> out(64);
	LAUNCH((stops<FAULT>), dim3(1), dim3(64), 0, 0, out.p);
	cudaDeviceSynchronize();
}

TEST(what_would_hang_or_be_undefined_stops_with_its_place)
{
	CHECK_STOPS("a __syncthreads waits for threads that have left", run_stops<0>);
	CHECK_STOPS("threads are at different __syncthreads", run_stops<1>);
	CHECK_STOPS("a warp mask names a lane that has left", run_stops<2>);
	CHECK_STOPS("a lane is not in its own mask", run_stops<3>);
	CHECK_STOPS("a shuffle reads a lane outside its mask", run_stops<4>);
	CHECK_STOPS("lanes of one mask are at different warp operations", run_stops<5>);
	CHECK_STOPS("the row of an ldmatrix is not aligned", run_stops<6>);
	CHECK_STOPS("an address of a cp.async is not aligned", run_stops<7>);
	CHECK_STOPS("test_emulation.cpp:", run_stops<0>);
}

static __global__ void write_at(float *out, long i)
{
	out[i] = 1;
}

static void touch_after_a_kernel(void)
{
	float *p;
	cudaMalloc(&p, 100);
	LAUNCH(write_at, dim3(1), dim3(1), 0, 0, p, 24l);
	cudaDeviceSynchronize();
	p[24] = 1;
}

TEST(device_memory_is_guarded)
{
	CHECK_STOPS(HOST_TOUCHES, [] {
		float *p;
		cudaMalloc(&p, 100);
		p[0] = 1;
	});
	CHECK_STOPS(HOST_TOUCHES, touch_after_a_kernel);
	CHECK_STOPS(HOST_TOUCHES, [] {
		setenv("EMU_NO_KEYS", "1", 1);
		touch_after_a_kernel();
	});
	CHECK_STOPS(PAST_THE_END, [] {
		float *p;
		cudaMalloc(&p, 100);
		LAUNCH(write_at, dim3(1), dim3(1), 0, 0, p, 25l);
		cudaDeviceSynchronize();
	});
	CHECK_STOPS("an address of the host", [] {
		float host[4] = { 0 };
		LAUNCH(write_at, dim3(1), dim3(1), 0, 0, host, 0l);
	});
	CHECK_STOPS("a copy writes outside a block", [] {
		char *p, host[200] = { 0 };
		cudaMalloc(&p, 100);
		cudaMemcpy(p, host, sizeof(host), cudaMemcpyHostToDevice);
	});
}

/* ---- streams ----------------------------------------------------------------------------------------------------------------------- */

TEST(a_lazy_stream_runs_when_somebody_waits)
{
	cudaStream_t s, other;
	cudaEvent_t event;
	float *pinned, *p;
	cudaStreamCreate(&s);
	cudaStreamCreate(&other);
	cudaEventCreate(&event);
	cudaMallocHost(&pinned, sizeof(float));
	cudaMalloc(&p, sizeof(float));
	emu_set_streams(EMU_LAZY);
	*pinned = 7;
	LAUNCH(write_at, dim3(1), dim3(1), 0, s, p, 0l);
	cudaMemcpyAsync(pinned, p, sizeof(float), cudaMemcpyDeviceToHost, s);
	cudaEventRecord(event, s);
	CHECK(*pinned != *pinned); /* neither what was there nor what will be */
	cudaStreamWaitEvent(other, event);
	cudaStreamSynchronize(other); /* through the event */
	CHECK(*pinned == 1);
	emu_set_streams(EMU_EAGER);
	cudaFreeHost(pinned);
	cudaFree(p);
	cudaEventDestroy(event);
	cudaStreamDestroy(s);
	cudaStreamDestroy(other);
	CHECK(emu_left() == 0);
}

/* One stream copies, another reads: with no event between them, in either direction, some order shows it; with both, none. */
static bool orders_agree(bool reader_waits, bool copier_waits)
{
	bool agree = true;
	for (uint64_t seed = 0; seed < 20; seed++) {
		cudaStream_t copier, reader;
		cudaEvent_t copied, taken;
		float *pinned, *p, *out;
		emu_set_streams(EMU_DRAWN, seed);
		cudaStreamCreate(&copier);
		cudaStreamCreate(&reader);
		cudaEventCreate(&copied);
		cudaEventCreate(&taken);
		cudaMallocHost(&pinned, 16 * sizeof(float)); /* what goes there, and what comes back */
		cudaMalloc(&p, sizeof(float));
		cudaMalloc(&out, 8 * sizeof(float));
		for (int i = 0; i < 8; i++) {
			pinned[i] = (float)i;
			if (copier_waits)
				cudaStreamWaitEvent(copier, taken);
			cudaMemcpyAsync(p, pinned + i, sizeof(float), cudaMemcpyHostToDevice, copier);
			cudaEventRecord(copied, copier);
			if (reader_waits)
				cudaStreamWaitEvent(reader, copied);
			cudaMemcpyAsync(out + i, p, sizeof(float), cudaMemcpyDeviceToDevice, reader);
			cudaEventRecord(taken, reader);
		}
		cudaMemcpyAsync(pinned + 8, out, 8 * sizeof(float), cudaMemcpyDeviceToHost, reader);
		cudaDeviceSynchronize();
		for (int i = 0; i < 8; i++)
			agree = agree && pinned[8 + i] == (float)i;
		cudaFreeHost(pinned);
		cudaFree(p);
		cudaFree(out);
		cudaEventDestroy(copied);
		cudaEventDestroy(taken);
		cudaStreamDestroy(copier);
		cudaStreamDestroy(reader);
	}
	emu_set_streams(EMU_EAGER);
	return agree;
}

TEST(streams_that_do_not_wait_for_one_another_are_seen)
{
	CHECK(orders_agree(true, true));
	CHECK(!orders_agree(false, true));
	CHECK(!orders_agree(true, false));
	CHECK(emu_left() == 0);
}

TEST(a_graph_is_a_recorded_queue)
{
	cudaStream_t s;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	cudaStreamCreate(&s);
	device_array<float> out(std::vector<float>{ 0, 0 });
	cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed);
	LAUNCH(write_at, dim3(1), dim3(1), 0, s, out.p, 1l);
	CHECK(cudaStreamSynchronize(s) == cudaErrorStreamCaptureUnsupported);
	cudaStreamEndCapture(s, &graph);
	CHECK(out.get()[1] == 0);
	cudaGraphInstantiate(&exec, graph, 0);
	cudaGraphDestroy(graph);
	cudaGraphLaunch(exec, s);
	cudaStreamSynchronize(s);
	CHECK(out.get()[1] == 1);
	cudaGraphExecDestroy(exec);
	cudaStreamDestroy(s);
	cudaGetLastError();
}

TEST(an_injected_error_comes_at_its_call_and_a_sticky_one_stays)
{
	float *p = NULL;
	emu_inject("cudaMalloc", 1, cudaErrorMemoryAllocation, false);
	CHECK(cudaMalloc(&p, 4) == cudaSuccess);
	cudaFree(p);
	CHECK(cudaMalloc(&p, 4) == cudaErrorMemoryAllocation);
	CHECK(cudaMalloc(&p, 4) == cudaSuccess);
	emu_inject("launch", 0, cudaErrorIllegalAddress, true);
	LAUNCH(write_at, dim3(1), dim3(1), 0, 0, p, 0l);
	CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
	CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
	emu_inject(NULL, 0, cudaSuccess, false);
	CHECK(cudaFree(p) == cudaSuccess);
}

TEST_MAIN
