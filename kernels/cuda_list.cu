/* cuda_list.cu: what operations ask for, gathered before it is put on the stream.
 *
 * The one idea: an operation of the table launches nothing by itself. Kernels, copies on the device and zeros are entries of a
 * list, with a copy of their arguments, and the list goes to the stream as a whole when somebody needs it there: an upload, a
 * download, a wait, memory that goes back to CUDA, or whoever asks for the stream (cuda_stream()); and when it is full. By then
 * all of it is known, so a list that came before can be replayed as a CUDA graph (cuda_graph.cu) without a word from the
 * code above about what changes from step to step: every argument of every entry has been put down anew and is compared.
 *
 * The order on the stream is the order of the calls, always. Only cuda_stage() puts something ahead of what is gathered, into
 * blocks that nothing gathered reads.
 *
 * Behind an error nothing computes until sync() has given it (cuda_int.h): what a kernel would read may never have been written, and
 * be the number of a row. Copies and zeros still go: a block that was given out is used when the error was asked for.
 *
 * An entry costs a copy of some hundred bytes; the device waits for the first one at most as long as 512 take. */
#include "kernels/cuda_list_int.h"

static int round_up(size_t n)
{
	return (int)((n + 15) / 16 * 16);
}

/* A new entry at the end; NULL: the device is lost, and nothing is launched any more */
static struct cuda_item *new_item(struct backend *be, int kind, const char *what, const char *file, int line,
				  size_t room)
{
	struct cuda_state *s = cuda_state(be);
	struct cuda_list *l = s->list;
	s->launches++;
	if (s->lost)
		return NULL;
	if (l->n == CUDA_LIST_ITEMS || l->used + (int)room > CUDA_LIST_BYTES)
		cuda_flush(be);
	struct cuda_item *item = &l->items[l->n++];
	*item = cuda_item();
	item->kind = kind;
	item->what = what;
	item->file = file;
	item->line = line;
	item->at = l->used;
	return item;
}

static void add_arg(struct cuda_list *l, struct cuda_item *item, const void *value, size_t bytes)
{
	l->place[l->n - 1][item->n_args++] = l->used;
	memcpy(l->bytes + l->used, value, bytes);
	memset(l->bytes + l->used + bytes, 0, (size_t)round_up(bytes) - bytes);
	l->used += round_up(bytes);
	item->room = l->used - item->at;
}

void cuda_put_kernel(struct backend *be, const char *what, const char *file, int line, const struct cuda_kernel *k)
{
	size_t room = 0;
	for (int i = 0; i < k->n_args; i++)
		room += (size_t)round_up(k->sizes[i]);
	struct cuda_item *item = new_item(be, CUDA_ITEM_KERNEL, what, file, line, room);
	if (!item)
		return;
	item->function = k->function;
	item->grid = k->grid;
	item->block = k->block;
	item->bytes = k->shared_bytes;
	for (int i = 0; i < k->n_args; i++)
		add_arg(cuda_state(be)->list, item, k->args[i], k->sizes[i]);
}

void cuda_put_call(struct backend *be, cuda_call *call, const void *args, size_t bytes)
{
	struct cuda_item *item = new_item(be, CUDA_ITEM_CALL, "a library's call", __FILE__, __LINE__, bytes + 16);
	if (!item)
		return;
	item->function = (const void *)call;
	add_arg(cuda_state(be)->list, item, args, bytes);
}

void cuda_copy(struct backend *be, void *dst, const void *src, size_t bytes)
{
	struct cuda_item *item =
		bytes && dst != src ? new_item(be, CUDA_ITEM_COPY, "cudaMemcpyAsync", __FILE__, __LINE__, 32) : NULL;
	if (!item)
		return;
	cuda_written(be, dst, bytes);
	item->bytes = bytes;
	add_arg(cuda_state(be)->list, item, &dst, sizeof(dst));
	add_arg(cuda_state(be)->list, item, &src, sizeof(src));
}

void cuda_zero(struct backend *be, void *dst, size_t bytes)
{
	struct cuda_item *item = bytes ? new_item(be, CUDA_ITEM_ZERO, "cudaMemsetAsync", __FILE__, __LINE__, 16) : NULL;
	if (!item)
		return;
	cuda_written(be, dst, bytes);
	item->bytes = bytes;
	add_arg(cuda_state(be)->list, item, &dst, sizeof(dst));
}

/* ---- to the stream --------------------------------------------------------------------------------------------------------- */

static void issue(struct backend *be, struct cuda_list *l, int i)
{
	struct cuda_item *item = &l->items[i];
	cudaStream_t stream = cuda_state(be)->stream;
	void *args[CUDA_ITEM_ARGS];
	cudaError_t rc = cudaSuccess;
	cuda_list_args(l, i, args);
	switch (item->kind) {
	case CUDA_ITEM_KERNEL:
		rc = cudaLaunchKernel(item->function, item->grid, item->block, args, item->bytes, stream);
		break;
	case CUDA_ITEM_COPY:
		rc = cudaMemcpyAsync(cuda_list_pointer(args[0]), cuda_list_pointer(args[1]), item->bytes,
				     cudaMemcpyDeviceToDevice, stream);
		break;
	case CUDA_ITEM_ZERO:
		rc = cudaMemsetAsync(cuda_list_pointer(args[0]), 0, item->bytes, stream);
		break;
	default:
		reinterpret_cast<cuda_call *>(const_cast<void *>(item->function))(be, args[0]);
	}
	cuda_check(be, rc, item->what, item->file, item->line);
}

static bool computes(const struct cuda_item *item)
{
	return item->kind == CUDA_ITEM_KERNEL || item->kind == CUDA_ITEM_CALL;
}

void cuda_flush(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	struct cuda_list *l = s->list;
	if (l->issuing || !l->n)
		return;
	l->issuing = true;
	if (s->error || !cuda_graph_issue(be, l))
		for (int i = 0; i < l->n && !s->lost; i++)
			if (!s->error || !computes(&l->items[i]))
				issue(be, l, i);
	l->issuing = false;
	l->n = l->used = 0;
	/* it may be in the middle of an operation, which still will launch what reads its last copies */
	uint64_t done = s->asked > CUDA_STAGED_ONE ? s->asked - CUDA_STAGED_ONE : 0;
	s->flushed = s->flushed > done ? s->flushed : done;
}

void cuda_flush_between(struct backend *be)
{
	cuda_flush(be);
	cuda_state(be)->flushed = cuda_state(be)->asked;
}

cudaStream_t cuda_stream(struct backend *be)
{
	cuda_flush(be);
	return cuda_state(be)->stream;
}

int cuda_list_open(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	s->list = (struct cuda_list *)calloc(1, sizeof(*s->list));
	if (s->list)
		return 0;
	cuda_fail(be, ERR_UNAVAILABLE, "the host has no memory", __FILE__, __LINE__);
	return s->error;
}

void cuda_list_close(struct backend *be)
{
	free(cuda_state(be)->list);
	cuda_state(be)->list = NULL;
}
