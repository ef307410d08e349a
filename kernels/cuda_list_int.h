/* cuda_list_int.h: the list of what is to be put on the stream: between cuda_list.cu, which gathers and issues it, and
 * cuda_graph.cu, which makes a graph of one that comes back. */
#ifndef KERNELS_CUDA_LIST_INT_H
#define KERNELS_CUDA_LIST_INT_H

#include "kernels/cuda_state_int.h"

enum cuda_item_kind { CUDA_ITEM_KERNEL, CUDA_ITEM_COPY, CUDA_ITEM_ZERO, CUDA_ITEM_CALL };

/* One entry. Its arguments are bytes `at` .. `at + room` of the list's, each argument from a multiple of 16 on:
 *	kernel	those of the kernel		copy	where to, where from	zero	where		call	one struct */
struct cuda_item {
	int kind; /* enum cuda_item_kind */
	const void *function;
	dim3 grid, block;
	size_t bytes; /* of dynamic shared memory; of a copy or of zeros */
	int n_args, at, room;
	const char *what, *file; /* for the error, if there is one */
	int line;
};

enum { CUDA_LIST_ITEMS = 512, CUDA_LIST_BYTES = 96 << 10, CUDA_ITEM_ARGS = 20 };
struct cuda_list {
	int n, used;
	bool issuing; /* it is being put on the stream: a call that asks for the stream gets it at once */
	struct cuda_item items[CUDA_LIST_ITEMS];
	int place[CUDA_LIST_ITEMS][CUDA_ITEM_ARGS]; /* of each argument among the bytes */
	alignas(16) unsigned char bytes[CUDA_LIST_BYTES];
};

/* The arguments of item i, as launches take them */
static inline void cuda_list_args(struct cuda_list *l, int i, void *args[CUDA_ITEM_ARGS])
{
	for (int a = 0; a < l->items[i].n_args; a++)
		args[a] = l->bytes + l->place[i][a];
}

static inline void *cuda_list_pointer(const void *arg)
{
	void *p;
	memcpy(&p, arg, sizeof(p));
	return p;
}

/* cuda_graph.cu: issues the list as a graph, if it is one that came before; false: nothing was done. */
bool cuda_graph_issue(struct backend *be, struct cuda_list *l);

#endif
