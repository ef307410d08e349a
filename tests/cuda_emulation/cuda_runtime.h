/* cuda_runtime.h, of the emulation: as much of the runtime's API as the plugin uses, over an emulated device.
 *
 * Device memory is an arena of its own that is closed to the host but while kernels and copies run: a host that reads a
 * device pointer faults. A kernel's pointer arguments must lie in it (or in pinned memory). Blocks have red zones, begin
 * as NaN, and copies are checked against them.
 *
 * A stream is a queue. EMU_EAGER runs what is queued at once; EMU_LAZY nothing before somebody waits for it, and then no more
 * than that: a host that reads a result (which is NaN until then), or overwrites pinned memory, without having waited shows, and
 * so does a stream that does not wait for an event of another. EMU_DRAWN lets streams run ahead as well, by a seeded draw after each call: one
 * that overwrites what another has yet to read shows. Graphs are recorded queues, or nodes that were added;
 * one that is launched runs, of the nodes whose predecessors have run, the last first: an edge that is missing shows.
 *
 * emu_inject() makes a call fail; a sticky error stays, as on a device. Signatures are those of CUDA 12 and 13. */
#ifndef CUDA_EMULATION_RUNTIME_H
#define CUDA_EMULATION_RUNTIME_H

#include "emulation.h"

#include <vector>

#define CUDART_VERSION 13000
#define CUDART_CB

enum cudaError_t {
	cudaSuccess = 0,
	cudaErrorInvalidValue = 1,
	cudaErrorMemoryAllocation = 2,
	cudaErrorInitializationError = 3,
	cudaErrorInvalidConfiguration = 9,
	cudaErrorInsufficientDriver = 35,
	cudaErrorDevicesUnavailable = 46,
	cudaErrorInvalidDeviceFunction = 98,
	cudaErrorNoDevice = 100,
	cudaErrorInvalidDevice = 101,
	cudaErrorNoKernelImageForDevice = 209,
	cudaErrorECCUncorrectable = 214,
	cudaErrorUnsupportedPtxVersion = 222,
	cudaErrorInvalidResourceHandle = 400,
	cudaErrorNotReady = 600,
	cudaErrorIllegalAddress = 700,
	cudaErrorLaunchOutOfResources = 701,
	cudaErrorLaunchFailure = 719,
	cudaErrorSystemDriverMismatch = 803,
	cudaErrorStreamCaptureUnsupported = 900,
	cudaErrorStreamCaptureInvalidated = 901,
	cudaErrorUnknown = 999,
};
enum cudaMemcpyKind {
	cudaMemcpyHostToHost,
	cudaMemcpyHostToDevice,
	cudaMemcpyDeviceToHost,
	cudaMemcpyDeviceToDevice,
	cudaMemcpyDefault
};
enum cudaFuncAttribute {
	cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
	cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaDeviceAttr {
	cudaDevAttrMaxSharedMemoryPerBlock = 8,
	cudaDevAttrMultiProcessorCount = 16,
	cudaDevAttrComputeCapabilityMajor = 75,
	cudaDevAttrComputeCapabilityMinor = 76,
	cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaStreamCaptureMode {
	cudaStreamCaptureModeGlobal,
	cudaStreamCaptureModeThreadLocal,
	cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
	cudaStreamCaptureStatusNone,
	cudaStreamCaptureStatusActive,
	cudaStreamCaptureStatusInvalidated
};
enum {
	cudaStreamDefault = 0,
	cudaStreamNonBlocking = 1,
	cudaEventDefault = 0,
	cudaEventBlockingSync = 1,
	cudaEventDisableTiming = 2,
	cudaHostAllocDefault = 0,
	cudaHostAllocPortable = 1,
	cudaHostAllocMapped = 2,
	cudaDeviceScheduleBlockingSync = 4,
};

typedef struct emu_stream *cudaStream_t;
typedef struct emu_event *cudaEvent_t;
typedef struct emu_graph *cudaGraph_t;
typedef struct emu_graph_exec *cudaGraphExec_t;
typedef struct emu_node *cudaGraphNode_t;

struct cudaKernelNodeParams {
	void *func;
	struct {
		dim3 grid, block;
	} emu; /* emulation.h makes emu.grid of the name gridDim, here too */
	unsigned sharedMemBytes;
	void **kernelParams, **extra;
};
struct cudaMemsetParams {
	void *dst;
	size_t pitch;
	unsigned value, elementSize;
	size_t width, height;
};

struct cudaUUID_t {
	char bytes[16];
};
struct cudaDeviceProp {
	char name[256];
	cudaUUID_t uuid;
	size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
	int regsPerBlock, warpSize, maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3];
	int major, minor, multiProcessorCount, l2CacheSize, memoryBusWidth, ECCEnabled;
	int integrated, canMapHostMemory, concurrentKernels, asyncEngineCount, unifiedAddressing, managedMemory;
	int maxThreadsPerMultiProcessor, pciBusID, pciDeviceID, pciDomainID;
};
struct cudaFuncAttributes {
	size_t sharedSizeBytes, localSizeBytes;
	int maxThreadsPerBlock, numRegs, binaryVersion, ptxVersion, maxDynamicSharedSizeBytes;
};

const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);

cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaSetDeviceFlags(unsigned flags);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceGetPCIBusId(char *id, int bytes, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaDeviceReset(void);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);

cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaMallocHost(void **out, size_t bytes);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream = 0);
cudaError_t cudaMemset(void *dst, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream = 0);
template <class T> static inline cudaError_t cudaMalloc(T **out, size_t bytes)
{
	return cudaMalloc((void **)out, bytes);
}
template <class T> static inline cudaError_t cudaMallocHost(T **out, size_t bytes)
{
	return cudaMallocHost((void **)out, bytes);
}

cudaError_t cudaStreamCreate(cudaStream_t *out);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t *out);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = 0);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args, size_t shared_bytes,
			     cudaStream_t stream);
cudaError_t cudaGraphCreate(cudaGraph_t *out, unsigned flags);
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				   const cudaKernelNodeParams *params);
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				     void *dst, const void *src, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				   const cudaMemsetParams *params);
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n,
				       cudaGraph_t child);
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
					     const cudaKernelNodeParams *params);
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *dst, const void *src,
					       size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
					     const cudaMemsetParams *params);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

cudaError_t emu_set_attribute(const void *function, cudaFuncAttribute attribute, int value);
cudaError_t emu_get_attributes(cudaFuncAttributes *out, const void *function);
template <class T> static inline cudaError_t cudaFuncSetAttribute(T *function, cudaFuncAttribute attribute, int value)
{
	return emu_set_attribute((const void *)function, attribute, value);
}
template <class T> static inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, T *function)
{
	return emu_get_attributes(out, (const void *)function);
}
template <class T>
static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, T function, int threads,
									size_t shared_bytes)
{
	(void)function, (void)threads, (void)shared_bytes;
	*blocks = 1;
	return cudaSuccess;
}

/* ---- for tests ----------------------------------------------------------------------------------------------------------- */

enum emu_streams { EMU_EAGER, EMU_LAZY, EMU_DRAWN };
void emu_set_streams(enum emu_streams mode, uint64_t seed = 1);
/* What the machine has; a new program has one device of 1 GiB, sm_90. Takes effect at the next call. */
struct emu_machine {
	int devices, driver, major, minor, multiprocessors;
	size_t memory_bytes, shared_optin_bytes;
};
extern struct emu_machine emu_machine;
/* The nth call (from 0) of `call`, e.g. "cudaMalloc" or "launch", or of "any", from now on gives this error; a sticky one stays for
 * good and fails every later call, as after an illegal address. NULL takes everything back, the sticky error too. Calls that only
 * tell of errors, and those that destroy graphs, cannot be made to fail. */
void emu_inject(const char *call, int nth, cudaError_t error, bool sticky);
/* The call that was made to fail; NULL: none yet, since emu_inject() was called */
const char *emu_injected(void);
/* Blocks of device and pinned memory that nobody has freed; streams, events and graphs that nobody has destroyed */
int emu_left(void);
/* For tests that open and close a device a thousand times: its memory stays open to the host from now on; and kernels are launched
 * and do nothing, where nobody reads what they give */
void emu_leave_open(void);
void emu_run_kernels(bool wanted);
/* Kernels that ran, for tests that count launches */
uint64_t emu_launches(void);
/* What every kernel that runs from now on was launched with goes there; NULL: nobody looks */
struct emu_launched {
	const void *function;
	dim3 grid, block;
	size_t shared_bytes;
};
void emu_watch(std::vector<emu_launched> *to);
/* Graphs that were launched, and nodes that were told other arguments */
uint64_t emu_graph_launches(void);
uint64_t emu_graph_changes(void);
/* How often the host has waited for something that was not done, and how often the device then had nothing left to do. Of
 * EMU_LAZY: with EMU_EAGER all is done at once. */
struct emu_waits {
	uint64_t n, idle;
};
struct emu_waits emu_waits(void);

#endif
