/* cuda_state_int.h: the state behind cuda_int.h: what cuda.cu, cuda_memory.cu, cuda_gemm.cu and the files of cuBLASLt's products
 * (cuda_lt.cu, cuda_pins.cu, cuda_trial.cu) share, and no kernel file needs. */
#ifndef KERNELS_CUDA_STATE_INT_H
#define KERNELS_CUDA_STATE_INT_H

#include "kernels/cuda_int.h"

#include <dlfcn.h>

/* Part of one cudaMalloc, in use or free. Neighbours in the list are neighbours in memory, if of the same slab. */
struct cuda_span {
	char *p;
	size_t bytes;
	int slab; /* which cudaMalloc: spans of different ones never become one */
	bool used;
};
struct cuda_arena {
	struct cuda_span *spans;
	size_t n, cap;
	int slabs;         /* numbers given so far */
	size_t slab_bytes; /* 0: every block is one of CUDA's own */
	size_t used_bytes;
};

/* A block that grows to the largest size asked for and stays. */
struct cuda_block {
	void *p;
	size_t bytes;
};

/* Between the host's memory and the device's: a ring of pieces, each of them pinned memory and as much of the device's, and the
 * stream that copies from one to the other. What waits for its copy to the host is a list. */
enum { CUDA_CHUNKS = 4, CUDA_CHUNK_BYTES = 1 << 20, CUDA_CHUNK_ITEMS = 64 };
struct cuda_chunk {
	char *p, *there; /* pinned; on the device */
	size_t used;
	cudaEvent_t done;   /* on the ring's stream: the last copy between p and there */
	cudaEvent_t passed; /* on the stream of the kernels: the last copy between `there` and its place */
	bool busy;
	int n; /* to be handed out when it is done */
	struct {
		void *to;
		const char *from;
		size_t bytes;
	} items[CUDA_CHUNK_ITEMS];
};
struct cuda_ring {
	struct cuda_chunk chunks[CUDA_CHUNKS];
	struct cuda_block there;
	cudaStream_t stream;
	uint64_t at; /* pieces that were filled so far; the current one is chunks[at % CUDA_CHUNKS] */
};

/* Copies of host arrays that operations have asked for, to be found again by their contents. */
enum { CUDA_STAGED = 24, CUDA_STAGED_ONE = 8 /* of one operation, at most */ };
struct cuda_staged {
	struct cuda_block block;
	void *host; /* the contents */
	size_t bytes, host_bytes;
	uint64_t asked; /* when, to find the oldest */
};

/* An operand of a product as the tensor cores take it: which activations were converted last, and where to. */
struct cuda_operand {
	struct cuda_block block;
	const float *from; /* NULL: nothing is there */
	int rows, cols, stride;
	uint64_t launches; /* at the end of the operation that made or used it */
	uint64_t used;     /* the how manieth use of any */
};

/* x[n] was left undefined, since products take it as an operand alone: until it is written over. Who finds no place in their list writes x. */
enum { CUDA_ABSENT = 16 };
struct cuda_absent {
	const float *x; /* NULL: a free place */
	size_t n;
	const float *array; /* what began there was left undefined; x may be a later part of it */
};

/* What for_products() said last. A gated layer makes two at once. */
enum {
	CUDA_OPERANDS = 3 /* of a gated layer's gradient: both of them, and what they are multiplied with */,
	CUDA_SAID = 2
};
struct cuda_said {
	const float *x;
	int rows, cols;
	bool alone;
	uint64_t launches; /* by then: it is for the next operation */
};

struct cuda_pins;
struct cuda_list;
struct cuda_graphs;
struct cuda_nccl;

struct cuda_state {
	int device;
	enum cuda_math math;
	struct cudaDeviceProp properties;
	cudaStream_t stream; /* of all kernels; copies to and from the host have their own */
	char numerics[120];

	int (*fail)(int code, const char *text, const char *fix);
	int error; /* the first since the last sync; enum err */
	char text[512], fix[256];
	bool lost; /* a sticky one: the device does nothing more for this process */

	struct cuda_arena arena;
	struct cuda_ring up, down;
	struct cuda_block scratch;
	struct cuda_staged staged[CUDA_STAGED];
	uint64_t asked, flushed;    /* copies asked for, and up to which of them nothing that is gathered reads any */
	struct cuda_list *list;     /* cuda_list.cu: what is not on the stream yet */
	struct cuda_graphs *graphs; /* cuda_graph.cu; NULL: none are made */
	bool capturing;             /* a library's call: what it refuses now is asked of it again without a graph */
	uint64_t launches;          /* of everything: who remembers contents compares it */

	struct cuda_operand operands[CUDA_OPERANDS]; /* cuda_gemm.cu: activations on either side */
	uint64_t uses;                               /* of them */
	struct cuda_absent absent[CUDA_ABSENT];
	struct cuda_said said[CUDA_SAID]; /* cuda_gemm.cu; the older one is written over */
	struct cuda_block weight;         /* cuda_gemm.cu: a weight that is not stored as it is multiplied */
	struct cuda_pins
		*pins; /* cuda_pins.cu, with their library; NULL: there is no file of them, or it is of no use here */
	struct cuda_nccl *nccl; /* cuda_nccl.cu; NULL: nobody has asked for it */
};

/* A function of a library that is looked for at run time, and done without. */
struct cuda_symbol {
	void **to;
	const char *name;
};
static inline bool cuda_find_symbols(void *file, const struct cuda_symbol *symbols, size_t n)
{
	bool all = true;
	for (size_t i = 0; i < n; i++) {
		*symbols[i].to = dlsym(file, symbols[i].name);
		all = all && *symbols[i].to;
	}
	return all;
}

static inline struct cuda_state *cuda_state(const struct backend *be)
{
	return (struct cuda_state *)be->state;
}

/* cuda_memory.cu */
int cuda_memory_open(struct backend *be);
void cuda_memory_close(struct backend *be);
int cuda_memory(struct backend *be, size_t *free_bytes, size_t *total_bytes);
bool cuda_block_need(struct backend *be, struct cuda_block *b, size_t bytes);

/* cuda_list.cu, cuda_graph.cu */
int cuda_list_open(struct backend *be);
void cuda_list_close(struct backend *be);
/* cuda_flush(), from where no operation is under way: none of its copies is read by what comes. */
void cuda_flush_between(struct backend *be);
/* Work of a library, which launches by itself: done on the stream, now or into a capture. 0, or the library's status, which it
 * has recorded where that matters. */
typedef int cuda_call(struct backend *be, const void *args);
void cuda_put_call(struct backend *be, cuda_call *call, const void *args, size_t bytes);
int cuda_graphs_open(struct backend *be);
void cuda_graphs_close(struct backend *be);
void cuda_graphs_probe(struct backend *be, kernels_tell *tell, void *arg);

/* cuda_gemm.cu: nothing that lies there is an operand any more. */
void cuda_forget_operands(struct backend *be, const void *p, size_t bytes);

/* cuda_lt.cu: y[m,n] = x w^T (+ bias) (+ from), and act = gelu(y), by cuBLASLt, where a pin for this form and shape of weights has passed
 * its test; false: not for us, nothing was done. Operands are bf16 rows of k elements, a multiple of 8 apart; one that lies across
 * is k rows of as many elements as it has rows otherwise: w of dx = dy W, both of dW = dy^T x (x is dy there, and w is x). Rows of tokens
 * have room for cuda_lt_rows() of them, of which those beyond the tokens are zeros. y, act and from are fp32, of one stride; as in
 * kernels.h, linear_into. */
struct cuda_lt_product {
	float *y, *act;
	const float *from;
	const void *x, *w;
	const float *bias;
	int m, n, k;
	int x_stride, w_stride, y_stride;
	int x_across, w_across; /* 0 or 1 */
};
/* cuda_gemm.cu: the same product by our own kernel */
void cuda_gemm_own(struct backend *be, const struct cuda_lt_product *p);
int cuda_lt_rows(const struct backend *be, int m);
bool cuda_lt_take(struct backend *be, const struct cuda_lt_product *p);

/* cuda_pins.cu: which products those are. Opening reads the file of pins, loads the library if it is wanted, and tests it. */
int cuda_pins_open(struct backend *be);
void cuda_pins_close(struct backend *be);
/* "own", or the version of the library and a hash of the pins in force: a part of the numerics class */
void cuda_pins_name(const struct cuda_pins *pins, char *out, size_t room);
void cuda_pins_probe(const struct cuda_pins *pins, kernels_tell *tell, void *arg);

/* cuda_nccl.cu: the table's ranks_id and ranks_join; close leaves */
int cuda_ranks_id(struct backend *be, uint8_t id[KERNELS_RANKS_ID]);
int cuda_ranks_join(struct backend *be, const uint8_t id[KERNELS_RANKS_ID], int rank, int n, bool (*broken)(void *arg),
		    void *arg);
void cuda_nccl_close(struct backend *be);
void cuda_nccl_probe(kernels_tell *tell, void *arg);

#endif
