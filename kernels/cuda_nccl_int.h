/* cuda_nccl_int.h: as much of NCCL's interface as is called, after its nccl.h (2.14 and later; `make cuda-report` compares the
 * numbers where a header is installed): so that nothing is needed to build. */
#ifndef KERNELS_CUDA_NCCL_INT_H
#define KERNELS_CUDA_NCCL_INT_H

#include <cuda_runtime.h>

enum nccl_result { NCCL_SUCCESS = 0, NCCL_UNHANDLED_CUDA = 1, NCCL_SYSTEM = 2, NCCL_IN_PROGRESS = 7 };
enum nccl_type { NCCL_FLOAT32 = 7 };
typedef struct nccl_comm *nccl_comm_t;
struct nccl_id {
	char internal[128];
};
/* The first form of it, of 2.14, which later versions complete with their defaults by size and version. */
struct nccl_config {
	size_t size;
	unsigned magic, version;
	int blocking;
};
enum { NCCL_LEAST = 21400 };
#define NCCL_CONFIG_MAGIC 0xcafebeefu

struct nccl_library {
	void *file;
	int (*version)(int *version);
	int (*unique_id)(nccl_id *id);
	int (*init)(nccl_comm_t *comm, int n, nccl_id id, int rank, nccl_config *config);
	int (*abort)(nccl_comm_t comm);
	int (*state)(nccl_comm_t comm, int *state);
	int (*group_start)(void);
	int (*group_end)(void);
	int (*send)(const void *p, size_t count, int type, int peer, nccl_comm_t comm, cudaStream_t stream);
	int (*recv)(void *p, size_t count, int type, int peer, nccl_comm_t comm, cudaStream_t stream);
	const char *(*text)(int result);
	const char *(*last)(nccl_comm_t comm);
};

#endif
