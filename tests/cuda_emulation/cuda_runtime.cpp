/* cuda_runtime.cpp: the emulated device's memory and streams. cuda_runtime.h says what they are; fibers are emulation.cpp.
 * Like that file, compiled without ThreadSanitizer. */
#include "cuda_runtime.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_ignore_object(p) ((void)(p))
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

typedef std::function<void()> operation;

struct emu_node {
	int kind; /* of the call that made it */
	const void *function;
	operation run;
	std::vector<size_t> before; /* nodes of its graph */
};
struct emu_graph {
	std::vector<emu_node *> nodes;
	~emu_graph()
	{
		for (emu_node *n : nodes)
			delete n;
	}
};
struct emu_graph_exec {
	std::vector<emu_node *> from; /* whose places these are */
	std::vector<emu_node> nodes;
};
struct emu_stream {
	std::deque<operation> queue;
	uint64_t queued, done;
	emu_graph *capture;
};
struct emu_event {
	emu_stream *stream;
	uint64_t at; /* how many operations its stream must have done */
	double time_ms;
};

struct emu_machine emu_machine = { 1, 13000, 9, 0, 4, (size_t)1 << 30, 227 << 10 };

enum { GRAIN = 256, ZONE = 256 };            /* alignment of a block, and what stands behind it */
static const size_t ARENA = (size_t)8 << 30; /* of addresses */

struct pending {
	int nth;
	cudaError_t error;
	bool sticky;
};
static struct {
	char *arena;
	size_t used;                   /* the part of the arena that was ever given out */
	std::map<char *, size_t> live; /* device blocks and their sizes */
	std::map<char *, size_t> idle; /* gaps between them, with their zones */
	std::map<char *, size_t> pinned;
	size_t live_bytes;
	int open; /* depth of "the device runs" */
	int key;  /* of the pages that were given out; < 0: the processor has none */
	std::vector<emu_stream *> streams;
	emu_stream *standard;
	int objects; /* events and graphs */
	enum emu_streams mode;
	uint64_t draw, slow; /* EMU_DRAWN: its state, and a bit for each stream that only runs when it is waited for */
	cudaError_t last, sticky;
	std::map<std::string, pending> injected;
	const char *met; /* the call that was made to fail */
	std::map<const void *, int> dynamic_limit;
	std::map<const void *, emu_bind *> kernels;
	int device;
	uint64_t launches, graph_launches, graph_changes;
	std::vector<emu_launched> *watched;
	bool idle_kernels; /* they are launched, and do nothing */
	struct emu_waits waits;
} rt;

/* ---- errors -------------------------------------------------------------------------------------------------------------- */

static const struct {
	cudaError_t error;
	const char *name, *text;
} errors[] = {
	{ cudaSuccess, "cudaSuccess", "no error" },
	{ cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument" },
	{ cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory" },
	{ cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error" },
	{ cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument" },
	{ cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
	  "CUDA driver version is insufficient for CUDA runtime version" },
	{ cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
	  "CUDA-capable device(s) is/are busy or unavailable" },
	{ cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
	{ cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal" },
	{ cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
	  "no kernel image is available for execution on the device" },
	{ cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered" },
	{ cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle" },
	{ cudaErrorNotReady, "cudaErrorNotReady", "device not ready" },
	{ cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered" },
	{ cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch" },
	{ cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure" },
	{ cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
	  "operation not permitted when stream is capturing" },
};

const char *cudaGetErrorName(cudaError_t error)
{
	for (const auto &e : errors)
		if (e.error == error)
			return e.name;
	return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t error)
{
	for (const auto &e : errors)
		if (e.error == error)
			return e.text;
	return "unknown error";
}

static cudaError_t fail(cudaError_t error)
{
	rt.last = error;
	return error;
}

/* Whether a test asked for an error of this call, by its name or as any */
static bool is_due(const char *name, pending *p)
{
	auto i = rt.injected.find(name);
	if (i == rt.injected.end() || i->second.nth-- > 0)
		return false;
	*p = i->second;
	rt.injected.erase(i);
	return true;
}

/* At the head of every call: what a test asked for, and what is broken for good */
static cudaError_t enter(const char *call)
{
	pending p;
	if (is_due(call, &p) || is_due("any", &p)) {
		rt.met = call;
		if (p.sticky)
			rt.sticky = p.error;
		return fail(p.error);
	}
	return rt.sticky ? fail(rt.sticky) : cudaSuccess;
}
#define ENTER()                                                                                                        \
	do {                                                                                                           \
		cudaError_t e_ = enter(__func__);                                                                      \
		if (e_)                                                                                                \
			return e_;                                                                                     \
	} while (0)

/* Of the calls that give something back: on a lost device they fail too, but the host's part is gone, and what was queued is
 * dropped. */
#define ENTER_RELEASE(p)                                                                                               \
	cudaError_t lost = enter(__func__);                                                                            \
	if (lost && !rt.sticky) {                                                                                      \
		__lsan_ignore_object(p); /* it is not the caller's fault */                                            \
		return lost;                                                                                           \
	}

void emu_inject(const char *call, int nth, cudaError_t error, bool sticky)
{
	rt.met = NULL;
	if (call) {
		rt.injected[call] = { nth, error, sticky };
		return;
	}
	rt.injected.clear();
	rt.sticky = rt.last = cudaSuccess;
}

const char *emu_injected(void)
{
	return rt.met;
}

cudaError_t cudaGetLastError(void)
{
	cudaError_t e = rt.last;
	rt.last = rt.sticky;
	return e;
}

cudaError_t cudaPeekAtLastError(void)
{
	return rt.last;
}

/* ---- device memory --------------------------------------------------------------------------------------------------------- */

static void stop(const char *what)
{
	emu_stop(what, emu_site{ NULL, 0 });
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(EMU_TSAN)
static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	char *p = (char *)info->si_addr;
	if (p >= rt.arena && p < rt.arena + ARENA && !rt.open)
		fprintf(stderr, "emulation: the host reads or writes device memory\n");
	else if (p >= rt.arena && p < rt.arena + ARENA)
		fprintf(stderr, "emulation: a kernel is outside all device memory\n");
	::signal(signal, SIG_DFL);
	raise(signal);
}
#endif

static void arena_init(void)
{
	if (rt.arena)
		return;
	void *p = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		stop("no address space for the emulated device");
	rt.arena = (char *)p;
#if defined(__x86_64__)
	rt.key = getenv("EMU_NO_KEYS") ? -1 : pkey_alloc(0, rt.open ? 0 : PKEY_DISABLE_ACCESS);
#else
	rt.key = -1;
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(EMU_TSAN)
	struct sigaction action = {};
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGSEGV, &action, NULL);
#endif
}

/* The device runs: its memory is open. The host's faults are found in plain builds and under ASan alike. Where the processor has
 * protection keys, a register opens and closes the pages, for the thread that asks (EMU_NO_KEYS: not so); else the kernel
 * goes through all of them, at every launch. */
static void set_open(bool open)
{
	if (!rt.arena)
		return;
#if defined(__x86_64__)
	if (rt.key >= 0) {
		pkey_set(rt.key, open ? 0 : PKEY_DISABLE_ACCESS);
		return;
	}
#endif
	if (rt.used)
		mprotect(rt.arena, rt.used, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static void device_open(void)
{
	if (rt.open++ == 0)
		set_open(true);
}

static void device_close(void)
{
	if (--rt.open == 0)
		set_open(false);
}

/* The arena's part that is given out has grown by bytes from p on: pages that can be read and written, and have the key. */
static void pages_new(char *p, size_t bytes)
{
	mprotect(p, bytes, PROT_READ | PROT_WRITE);
#if defined(__x86_64__)
	if (rt.key >= 0)
		pkey_mprotect(p, bytes, PROT_READ | PROT_WRITE, rt.key);
#endif
}

void emu_leave_open(void)
{
	device_open();
}

static size_t whole(size_t bytes)
{
	return (bytes + GRAIN - 1) / GRAIN * GRAIN + ZONE;
}

/* The block that holds all of p .. p + bytes, or NULL */
static char *block_of(const std::map<char *, size_t> &blocks, const void *p, size_t bytes)
{
	auto i = blocks.upper_bound((char *)p);
	if (i == blocks.begin())
		return NULL;
	--i;
	return (const char *)p + bytes <= i->first + i->second ? i->first : NULL;
}

static bool on_device(const void *p)
{
	return rt.arena && (const char *)p >= rt.arena && (const char *)p < rt.arena + ARENA;
}

static void check_zone(char *p, size_t bytes)
{
#if !defined(__SANITIZE_ADDRESS__)
	for (char *z = p + bytes; z < p + whole(bytes); z++)
		if (*(unsigned char *)z != 0xff)
			stop("a kernel wrote past the end of a block of device memory");
#endif
	(void)p, (void)bytes;
}

static void check_zones(void)
{
	device_open();
	for (auto &b : rt.live)
		check_zone(b.first, b.second);
	device_close();
}

static char *block_new(size_t bytes)
{
	size_t n = whole(bytes), grown = 0;
	char *p = NULL;
	for (auto &gap : rt.idle)
		if (gap.second >= n) {
			p = gap.first;
			size_t left = gap.second - n;
			rt.idle.erase(p);
			if (left)
				rt.idle[p + n] = left;
			break;
		}
	if (!p) {
		arena_init();
		if (rt.used + n > ARENA)
			stop("the emulated device's address space is used up");
		p = rt.arena + rt.used;
		rt.used = (rt.used + n + 4095) / 4096 * 4096;
		grown = (size_t)(rt.arena + rt.used - p);
		if (p + n < rt.arena + rt.used)
			rt.idle[p + n] = (size_t)(rt.arena + rt.used - p) - n;
	}
	device_open();
	if (grown)
		pages_new(p, grown);
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	memset(p, 0xff, n);
	ASAN_POISON_MEMORY_REGION(p + bytes, n - bytes);
	device_close();
	rt.live[p] = bytes;
	rt.live_bytes += bytes;
	return p;
}

/* Pages of memory that is free go back, of a device that has much: without keys every launch opens and closes, page by page, all that
 * there are. */
static void drop_pages(char *p, size_t bytes)
{
	enum { MUCH = 32 << 20 };
	if (rt.used <= MUCH)
		return;
	uintptr_t from = ((uintptr_t)p + 4095) / 4096 * 4096, to = ((uintptr_t)p + bytes) / 4096 * 4096;
	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

static void block_free(void *p)
{
	auto i = rt.live.find((char *)p);
	if (i == rt.live.end())
		stop("an address is freed that is no block of device memory");
	device_open();
	check_zone(i->first, i->second);
	device_close();
	size_t n = whole(i->second);
	char *at = i->first;
	rt.live_bytes -= i->second;
	rt.live.erase(i);
	drop_pages(at, n);
	ASAN_POISON_MEMORY_REGION(at, n);
	auto next = rt.idle.lower_bound(at);
	if (next != rt.idle.end() && next->first == at + n) {
		n += next->second;
		next = rt.idle.erase(next);
	}
	if (next != rt.idle.begin()) {
		--next;
		if (next->first + next->second == at) {
			next->second += n;
			return;
		}
	}
	rt.idle[at] = n;
}

void emu_check_argument(const char *kernel, int argument, const void *p)
{
	if (!p || block_of(rt.live, p, 0) || block_of(rt.pinned, p, 0))
		return;
	fprintf(stderr, "emulation: argument %d of %s points to no device memory\n", argument + 1, kernel);
	stop("a kernel is given an address of the host, or a freed one");
}

/* ---- streams ------------------------------------------------------------------------------------------------------------------ */

void emu_set_streams(enum emu_streams mode, uint64_t seed)
{
	rt.mode = mode;
	rt.draw = rt.slow = seed;
}

static emu_stream *standard_stream(void)
{
	if (!rt.standard)
		rt.standard = new emu_stream();
	return rt.standard;
}

static void stream_run(emu_stream *s, uint64_t until)
{
	if (s->done >= until || s->queue.empty())
		return;
	device_open();
	while (s->done < until && !s->queue.empty()) {
		operation o = std::move(s->queue.front());
		s->queue.pop_front();
		o();
		s->done++;
	}
	device_close();
}

static void streams_run(void)
{
	for (size_t i = 0; i < rt.streams.size(); i++)
		stream_run(rt.streams[i], rt.streams[i]->queued);
	stream_run(standard_stream(), standard_stream()->queued);
}

static unsigned drawn(unsigned below)
{
	rt.draw += 0x9e3779b97f4a7c15u;
	uint64_t z = (rt.draw ^ rt.draw >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ z >> 31) % below);
}

/* One stream, or none, does some of what it has; what it waits for on another one is done there first. The seed's bits say which
 * streams do nothing by themselves, so that others come far ahead of them: seeds 0 to 7 are all ways to be slow of three. */
static void some_run(void)
{
	size_t n = rt.streams.size(), at = drawn((unsigned)n + 2);
	if (at < n && !(at < 3 && rt.slow >> at & 1))
		stream_run(rt.streams[at], rt.streams[at]->done + (drawn(2) ? drawn(3) : drawn(64)));
}

static bool is_idle(void)
{
	for (emu_stream *s : rt.streams)
		if (s->done < s->queued)
			return false;
	return standard_stream()->done == standard_stream()->queued;
}

/* The host waits until a stream has done so many operations: */
static void host_waits(emu_stream *s, uint64_t until)
{
	bool waits = s->done < until;
	stream_run(s, until);
	rt.waits.n += waits;
	rt.waits.idle += waits && is_idle();
}

struct emu_waits emu_waits(void)
{
	return rt.waits;
}

static void queue(emu_stream *stream, operation o)
{
	emu_stream *s = stream ? stream : standard_stream();
	if (s->capture) {
		size_t n = s->capture->nodes.size();
		std::vector<size_t> before;
		if (n)
			before.push_back(n - 1);
		s->capture->nodes.push_back(new emu_node{ 0, NULL, std::move(o), before });
		return;
	}
	if (!stream)
		streams_run();
	s->queue.push_back(std::move(o));
	s->queued++;
	if (rt.mode == EMU_EAGER || !stream)
		stream_run(s, s->queued);
	else if (rt.mode == EMU_DRAWN)
		some_run();
}

static bool capturing(void)
{
	for (emu_stream *s : rt.streams)
		if (s->capture)
			return true;
	return false;
}

static cudaError_t wait_all(void)
{
	if (capturing())
		return fail(cudaErrorStreamCaptureUnsupported);
	bool waits = !is_idle();
	streams_run();
	rt.waits.n += waits;
	rt.waits.idle += waits;
	check_zones();
	return rt.sticky ? fail(rt.sticky) : cudaSuccess;
}

/* What a launch would do; an error: the device refuses it, which is found now and not when it runs */
static cudaError_t check_launch(const void *function, dim3 grid, dim3 block, size_t bytes)
{
	auto limit = rt.dynamic_limit.find(function);
	if (bytes > (limit == rt.dynamic_limit.end() ? (size_t)48 << 10 : (size_t)limit->second))
		return fail(cudaErrorInvalidValue);
	if ((uint64_t)block.x * block.y * block.z < 1 || (uint64_t)block.x * block.y * block.z > 1024 || !grid.x ||
	    !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
		return fail(cudaErrorInvalidConfiguration);
	return cudaSuccess;
}

/* Of what the kernel declares and of what it is given together; which is known when it has run */
static size_t shared_limit(const void *function)
{
	return rt.dynamic_limit.count(function) ? emu_machine.shared_optin_bytes : (size_t)48 << 10;
}

static operation kernel_run(const char *kernel, const void *function, dim3 grid, dim3 block, size_t bytes,
			    operation body)
{
	return [=] {
		rt.launches++;
		if (rt.watched)
			rt.watched->push_back({ function, grid, block, bytes });
		if (!rt.idle_kernels)
			emu_run(kernel, grid, block, bytes, body, shared_limit(function));
	};
}

void emu_launch(const char *kernel, const void *function, dim3 grid, dim3 block, size_t bytes, emu_stream *stream,
		operation body)
{
	if (!enter("launch") && !check_launch(function, grid, block, bytes))
		queue(stream, kernel_run(kernel, function, grid, block, bytes, body));
}

const void *emu_register(const void *kernel, emu_bind *bind)
{
	rt.kernels[kernel] = bind;
	return kernel;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args, size_t bytes,
			     cudaStream_t stream)
{
	cudaError_t e = enter("launch");
	if (!e)
		e = rt.kernels.count(function) ? check_launch(function, grid, block, bytes)
					       : fail(cudaErrorInvalidDeviceFunction);
	if (!e)
		queue(stream,
		      kernel_run("a kernel", function, grid, block, bytes, rt.kernels[function](function, args)));
	return e;
}

uint64_t emu_launches(void)
{
	return rt.launches;
}

void emu_run_kernels(bool wanted)
{
	rt.idle_kernels = !wanted;
}

void emu_watch(std::vector<emu_launched> *to)
{
	rt.watched = to;
}

cudaError_t emu_set_attribute(const void *function, cudaFuncAttribute attribute, int value)
{
	cudaError_t e = enter("cudaFuncSetAttribute");
	if (e)
		return e;
	if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
		return cudaSuccess;
	if (value < 0 || (size_t)value > emu_machine.shared_optin_bytes)
		return fail(cudaErrorInvalidValue);
	rt.dynamic_limit[function] = value;
	return cudaSuccess;
}

cudaError_t emu_get_attributes(cudaFuncAttributes *out, const void *function)
{
	cudaError_t e = enter("cudaFuncGetAttributes");
	if (e)
		return e;
	auto limit = rt.dynamic_limit.find(function);
	*out = {};
	out->maxThreadsPerBlock = 1024;
	out->maxDynamicSharedSizeBytes = limit == rt.dynamic_limit.end() ? 48 << 10 : limit->second;
	out->binaryVersion = out->ptxVersion = emu_machine.major * 10 + emu_machine.minor;
	return cudaSuccess;
}

/* ---- the device ----------------------------------------------------------------------------------------------------------------- */

cudaError_t cudaDriverGetVersion(int *version)
{
	ENTER();
	*version = emu_machine.driver;
	return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
	ENTER();
	*version = CUDART_VERSION;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
	ENTER();
	*count = 0;
	if (emu_machine.driver < 12000)
		return fail(cudaErrorInsufficientDriver);
	if (emu_machine.devices == 0)
		return fail(cudaErrorNoDevice);
	*count = emu_machine.devices;
	return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
	ENTER();
	*device = rt.device;
	return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
	ENTER();
	if (device < 0 || device >= emu_machine.devices)
		return fail(cudaErrorInvalidDevice);
	rt.device = device;
	return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
	(void)flags;
	ENTER();
	return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device)
{
	ENTER();
	if (device < 0 || device >= emu_machine.devices)
		return fail(cudaErrorInvalidDevice);
	*prop = {};
	snprintf(prop->name, sizeof(prop->name), "emulation");
	prop->major = emu_machine.major;
	prop->minor = emu_machine.minor;
	prop->multiProcessorCount = emu_machine.multiprocessors;
	prop->totalGlobalMem = emu_machine.memory_bytes;
	prop->sharedMemPerBlock = 48 << 10;
	prop->sharedMemPerBlockOptin = emu_machine.shared_optin_bytes;
	prop->sharedMemPerMultiprocessor = emu_machine.shared_optin_bytes + 1024;
	prop->warpSize = 32;
	prop->regsPerBlock = 65536;
	prop->maxThreadsPerBlock = 1024;
	prop->maxThreadsPerMultiProcessor = 2048;
	prop->l2CacheSize = 50 << 20;
	prop->unifiedAddressing = prop->canMapHostMemory = 1;
	return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
	ENTER();
	if (device < 0 || device >= emu_machine.devices)
		return fail(cudaErrorInvalidDevice);
	switch (attribute) {
	case cudaDevAttrMaxSharedMemoryPerBlock:
		*value = 48 << 10;
		break;
	case cudaDevAttrMultiProcessorCount:
		*value = emu_machine.multiprocessors;
		break;
	case cudaDevAttrComputeCapabilityMajor:
		*value = emu_machine.major;
		break;
	case cudaDevAttrComputeCapabilityMinor:
		*value = emu_machine.minor;
		break;
	case cudaDevAttrMaxSharedMemoryPerBlockOptin:
		*value = (int)emu_machine.shared_optin_bytes;
		break;
	default:
		return fail(cudaErrorInvalidValue);
	}
	return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int bytes, int device)
{
	ENTER();
	snprintf(id, (size_t)bytes, "0000:%02x:00.0", device);
	return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
	ENTER();
	return wait_all();
}

cudaError_t cudaDeviceReset(void)
{
	return cudaDeviceSynchronize();
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
	ENTER();
	*total_bytes = emu_machine.memory_bytes;
	*free_bytes = emu_machine.memory_bytes > rt.live_bytes ? emu_machine.memory_bytes - rt.live_bytes : 0;
	return cudaSuccess;
}

/* ---- memory --------------------------------------------------------------------------------------------------------------------- */

static cudaError_t device_alloc(void **out, size_t bytes)
{
	*out = NULL;
	if (bytes == 0)
		return cudaSuccess;
	if (bytes > emu_machine.memory_bytes || rt.live_bytes > emu_machine.memory_bytes - bytes)
		return fail(cudaErrorMemoryAllocation);
	*out = block_new(bytes);
	return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
	ENTER();
	return device_alloc(out, bytes);
}

cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t stream)
{
	(void)stream;
	ENTER();
	return device_alloc(out, bytes);
}

cudaError_t cudaFree(void *p)
{
	ENTER_RELEASE(p);
	if (!p)
		return cudaSuccess;
	cudaError_t e = lost ? lost : wait_all();
	block_free(p);
	return e;
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
	ENTER();
	if (p)
		queue(stream, [p] { block_free(p); });
	return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
	(void)flags;
	*out = NULL;
	ENTER();
	*out = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096 + (bytes ? 0 : 4096));
	if (!*out)
		return fail(cudaErrorMemoryAllocation);
	memset(*out, 0xff, bytes);
	rt.pinned[(char *)*out] = bytes;
	return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
	cudaError_t e = enter("cudaMallocHost");
	return e ? e : cudaHostAlloc(out, bytes, 0);
}

cudaError_t cudaFreeHost(void *p)
{
	ENTER_RELEASE(p);
	if (!p)
		return cudaSuccess;
	if (!rt.pinned.count((char *)p))
		stop("an address is freed that is no pinned memory");
	cudaError_t e = lost ? lost : wait_all();
	rt.pinned.erase((char *)p);
	free(p);
	return e;
}

static void check_copy(const void *p, size_t bytes, bool device, const char *what)
{
	if (device && !block_of(rt.live, p, bytes))
		stop(what);
	if (!device && on_device(p))
		stop("a copy names device memory as the host's");
}

/* Kinds are checked: a wrong one is an error on a device, but only at run time. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
	ENTER();
	if (bytes == 0)
		return cudaSuccess;
	if (kind == cudaMemcpyDefault)
		kind = on_device(dst) ? (on_device(src) ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
				      : (on_device(src) ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
	bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
	bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
	check_copy(dst, bytes, to_device, "a copy writes outside a block of device memory");
	check_copy(src, bytes, from_device, "a copy reads outside a block of device memory");
	if (kind == cudaMemcpyHostToDevice && !block_of(rt.pinned, src, bytes)) { /* pageable: staged at once */
		std::vector<char> copy((const char *)src, (const char *)src + bytes);
		queue(stream, [=] { memcpy(dst, copy.data(), bytes); });
		return cudaSuccess;
	}
	if (!to_device)
		memset(dst, 0xff, bytes); /* until it is done, nobody knows what stands there */
	queue(stream, [=] { memmove(dst, src, bytes); });
	if (!to_device && !block_of(rt.pinned, dst, bytes)) { /* to pageable memory: waits */
		emu_stream *s = stream ? stream : standard_stream();
		if (s->capture)
			return fail(cudaErrorStreamCaptureUnsupported);
		host_waits(s, s->queued);
	}
	return cudaSuccess;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind)
{
	ENTER();
	cudaError_t e = cudaMemcpyAsync(dst, src, bytes, kind, NULL);
	return e ? e : wait_all();
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream)
{
	ENTER();
	if (bytes == 0)
		return cudaSuccess;
	check_copy(dst, bytes, true, "a memset writes outside a block of device memory");
	queue(stream, [=] { memset(dst, value, bytes); });
	return cudaSuccess;
}

cudaError_t cudaMemset(void *dst, int value, size_t bytes)
{
	ENTER();
	return cudaMemsetAsync(dst, value, bytes, NULL);
}

/* ---- streams, events, graphs ------------------------------------------------------------------------------------------------------ */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
	(void)flags;
	ENTER();
	*out = new emu_stream();
	rt.streams.push_back(*out);
	return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *out)
{
	ENTER();
	return cudaStreamCreateWithFlags(out, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
	ENTER_RELEASE(stream);
	if (!lost)
		stream_run(stream, stream->queued);
	for (size_t i = 0; i < rt.streams.size(); i++)
		if (rt.streams[i] == stream) {
			rt.streams.erase(rt.streams.begin() + (ptrdiff_t)i);
			delete stream;
			return lost;
		}
	return fail(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
	ENTER();
	emu_stream *s = stream ? stream : standard_stream();
	if (s->capture)
		return fail(cudaErrorStreamCaptureUnsupported);
	host_waits(s, s->queued);
	check_zones();
	return rt.sticky ? fail(rt.sticky) : cudaSuccess;
}

/* A look runs one operation, so that a loop that polls ends. */
cudaError_t cudaStreamQuery(cudaStream_t stream)
{
	ENTER();
	emu_stream *s = stream ? stream : standard_stream();
	if (s->done == s->queued)
		return cudaSuccess;
	stream_run(s, s->done + 1);
	return cudaErrorNotReady;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
	(void)flags;
	ENTER();
	*out = new emu_event();
	rt.objects++;
	return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
	ENTER();
	return cudaEventCreateWithFlags(out, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	ENTER_RELEASE(event);
	if (!lost && event->stream)
		stream_run(event->stream, event->at);
	delete event;
	rt.objects--;
	return lost;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	ENTER();
	emu_stream *s = stream ? stream : standard_stream();
	if (s->capture)
		return cudaSuccess;
	event->stream = s;
	event->at = s->queued + 1;
	queue(stream, [event] {
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t);
		event->time_ms = (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
	});
	return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	ENTER();
	if (event->stream)
		host_waits(event->stream, event->at);
	return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
	ENTER();
	if (!event->stream || event->stream->done >= event->at)
		return cudaSuccess;
	stream_run(event->stream, event->stream->done + 1);
	return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
	ENTER();
	if (!from->stream || !to->stream)
		return fail(cudaErrorInvalidResourceHandle);
	if (from->stream->done < from->at || to->stream->done < to->at)
		return fail(cudaErrorNotReady);
	*ms = (float)(to->time_ms - from->time_ms);
	return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
	(void)flags;
	ENTER();
	emu_stream *on = event->stream;
	uint64_t at = event->at;
	if (on)
		queue(stream, [on, at] { stream_run(on, at); });
	return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
	(void)mode;
	ENTER();
	if (!stream || stream->capture)
		return fail(cudaErrorStreamCaptureUnsupported);
	stream->capture = new emu_graph();
	rt.objects++;
	return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
	ENTER();
	if (!stream || !stream->capture)
		return fail(cudaErrorInvalidValue);
	*out = stream->capture;
	stream->capture = NULL;
	return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
	*status = stream && stream->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
	return cudaSuccess;
}

/* ---- graphs ----------------------------------------------------------------------------------------------------------------------- */

enum { NODE_KERNEL = 1, NODE_COPY, NODE_ZERO, NODE_CHILD };

static operation copy_run(void *dst, const void *src, size_t bytes)
{
	check_copy(dst, bytes, true, "a node writes outside a block of device memory");
	check_copy(src, bytes, true, "a node reads outside a block of device memory");
	return [=] { memmove(dst, src, bytes); };
}

static operation zero_run(const cudaMemsetParams *p)
{
	void *dst = p->dst;
	size_t bytes = p->width;
	int value = (int)p->value;
	check_copy(dst, bytes, true, "a node sets memory outside a block of the device's");
	return [=] { memset(dst, value, bytes); };
}

static cudaError_t node_kernel(emu_node *node, const cudaKernelNodeParams *p)
{
	if (!rt.kernels.count(p->func) || p->extra)
		return fail(cudaErrorInvalidDeviceFunction);
	cudaError_t e = check_launch(p->func, p->gridDim, p->blockDim, p->sharedMemBytes);
	if (!e)
		node->run = kernel_run("a node", p->func, p->gridDim, p->blockDim, p->sharedMemBytes,
				       rt.kernels[p->func](p->func, p->kernelParams));
	node->function = p->func;
	return e;
}

static cudaError_t add(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n, int kind,
		       operation run)
{
	emu_node *node = new emu_node{ kind, NULL, std::move(run), {} };
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < graph->nodes.size(); k++)
			if (graph->nodes[k] == before[i])
				node->before.push_back(k);
	bool known = node->before.size() == n;
	graph->nodes.push_back(node);
	*out = node;
	return known ? cudaSuccess : fail(cudaErrorInvalidValue);
}

/* Of the nodes whose predecessors have run, the last first */
static void nodes_run(const std::vector<emu_node> &nodes)
{
	std::vector<bool> ran(nodes.size());
	for (size_t left = nodes.size(); left > 0; left--)
		for (size_t i = nodes.size(); i-- > 0;) {
			bool ready = !ran[i];
			for (size_t b : nodes[i].before)
				ready = ready && ran[b];
			if (!ready)
				continue;
			ran[i] = true;
			nodes[i].run();
			break;
		}
}

static std::vector<emu_node> nodes_of(cudaGraph_t graph)
{
	std::vector<emu_node> nodes;
	for (const emu_node *n : graph->nodes)
		nodes.push_back(*n);
	return nodes;
}

cudaError_t cudaGraphCreate(cudaGraph_t *out, unsigned flags)
{
	ENTER();
	*out = new emu_graph();
	rt.objects++;
	return flags ? fail(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				   const cudaKernelNodeParams *params)
{
	ENTER();
	cudaError_t e = add(out, graph, before, n, NODE_KERNEL, NULL);
	return e ? e : node_kernel(*out, params);
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				     void *dst, const void *src, size_t bytes, cudaMemcpyKind kind)
{
	ENTER();
	if (kind != cudaMemcpyDeviceToDevice)
		return fail(cudaErrorInvalidValue);
	return add(out, graph, before, n, NODE_COPY, copy_run(dst, src, bytes));
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				   const cudaMemsetParams *params)
{
	ENTER();
	if (params->elementSize != 1 || params->height != 1)
		return fail(cudaErrorInvalidValue);
	return add(out, graph, before, n, NODE_ZERO, zero_run(params));
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				       cudaGraph_t child)
{
	ENTER();
	std::vector<emu_node> nodes = nodes_of(child);
	return add(out, graph, before, n, NODE_CHILD, [nodes] { nodes_run(nodes); });
}

/* The node of the executable graph that was made of this one */
static emu_node *node_in(cudaGraphExec_t exec, cudaGraphNode_t node, int kind)
{
	for (size_t i = 0; i < exec->from.size(); i++)
		if (exec->from[i] == node && exec->nodes[i].kind == kind) {
			rt.graph_changes++;
			return &exec->nodes[i];
		}
	return NULL;
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
					     const cudaKernelNodeParams *params)
{
	ENTER();
	emu_node *n = node_in(exec, node, NODE_KERNEL);
	if (!n || n->function != params->func)
		return fail(cudaErrorInvalidValue);
	return node_kernel(n, params);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *dst, const void *src,
					       size_t bytes, cudaMemcpyKind kind)
{
	ENTER();
	emu_node *n = node_in(exec, node, NODE_COPY);
	if (!n || kind != cudaMemcpyDeviceToDevice)
		return fail(cudaErrorInvalidValue);
	n->run = copy_run(dst, src, bytes);
	return cudaSuccess;
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemsetParams *params)
{
	ENTER();
	emu_node *n = node_in(exec, node, NODE_ZERO);
	if (!n || params->elementSize != 1 || params->height != 1)
		return fail(cudaErrorInvalidValue);
	n->run = zero_run(params);
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
	(void)flags;
	ENTER();
	*out = new emu_graph_exec{ graph->nodes, nodes_of(graph) };
	rt.objects++;
	return cudaSuccess;
}

/* What it will run is fixed now: later changes of the graph are for later launches. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
	ENTER();
	std::vector<emu_node> nodes = exec->nodes;
	queue(stream, [nodes] { nodes_run(nodes); });
	rt.graph_launches++;
	return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	delete graph;
	rt.objects--;
	return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
	delete exec;
	rt.objects--;
	return cudaSuccess;
}

uint64_t emu_graph_launches(void)
{
	return rt.graph_launches;
}

uint64_t emu_graph_changes(void)
{
	return rt.graph_changes;
}

int emu_left(void)
{
	return (int)(rt.live.size() + rt.pinned.size() + rt.streams.size()) + rt.objects;
}
