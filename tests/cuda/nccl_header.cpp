/* nccl_header.cpp: are the numbers of kernels/cuda_nccl_int.h those of the library's header? Compiles if they are. */
#include <nccl.h>

#include <cstddef>
#include <type_traits>

#include "kernels/cuda_nccl_int.h"

static_assert(NCCL_SUCCESS == (int)ncclSuccess && NCCL_UNHANDLED_CUDA == (int)ncclUnhandledCudaError &&
		      NCCL_SYSTEM == (int)ncclSystemError && NCCL_IN_PROGRESS == (int)ncclInProgress &&
		      sizeof(ncclResult_t) == sizeof(int),
	      "results");
static_assert(NCCL_FLOAT32 == (int)ncclFloat32 && sizeof(ncclDataType_t) == sizeof(int), "types");
static_assert(sizeof(nccl_id) == sizeof(ncclUniqueId) && alignof(nccl_id) == alignof(ncclUniqueId), "ids");
static_assert(NCCL_LEAST <= NCCL_VERSION_CODE && offsetof(nccl_config, size) == offsetof(ncclConfig_t, size) &&
		      offsetof(nccl_config, magic) == offsetof(ncclConfig_t, magic) &&
		      offsetof(nccl_config, version) == offsetof(ncclConfig_t, version) &&
		      offsetof(nccl_config, blocking) == offsetof(ncclConfig_t, blocking),
	      "a configuration");
static const ncclConfig_t published = NCCL_CONFIG_INITIALIZER;

/* Same arguments, but for enums and the handles' names */
template <class A, class B> struct alike : std::is_same<A, B> {
};
template <> struct alike<ncclResult_t, int> : std::true_type {
};
template <> struct alike<ncclDataType_t, int> : std::true_type {
};
template <> struct alike<ncclComm_t, nccl_comm_t> : std::true_type {
};
template <> struct alike<ncclComm_t *, nccl_comm_t *> : std::true_type {
};
template <> struct alike<ncclUniqueId, nccl_id> : std::true_type {
};
template <> struct alike<ncclUniqueId *, nccl_id *> : std::true_type {
};
template <> struct alike<ncclConfig_t *, nccl_config *> : std::true_type {
};
template <> struct alike<ncclResult_t *, int *> : std::true_type {
};
template <class R, class... A, class Q, class... B> constexpr bool same(R (*)(A...), Q (*)(B...))
{
	if constexpr (sizeof...(A) != sizeof...(B))
		return false;
	else
		return alike<R, Q>::value && (alike<A, B>::value && ...);
}
#define SAME(name, member) static_assert(same((decltype(&name))nullptr, decltype(nccl_library::member)(nullptr)), #name)
SAME(ncclGetVersion, version);
SAME(ncclGetUniqueId, unique_id);
SAME(ncclCommInitRankConfig, init);
SAME(ncclCommAbort, abort);
SAME(ncclCommGetAsyncError, state);
SAME(ncclGroupStart, group_start);
SAME(ncclGroupEnd, group_end);
SAME(ncclSend, send);
SAME(ncclRecv, recv);
SAME(ncclGetErrorString, text);
SAME(ncclGetLastError, last);

int main(void)
{
	return published.magic == NCCL_CONFIG_MAGIC ? 0 : 1;
}
