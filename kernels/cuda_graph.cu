/* cuda_graph.cu: a list of launches that came before is launched as one CUDA graph.
 *
 * A launch costs the host and the device some microseconds, and a step of a small model, or of one row, is hundreds of kernels
 * that take less. As a graph, hundreds of kernels are one launch. Which launches these are is read off the list that
 * cuda_list.cu has gathered; nobody above says what a step is, so decoding, scoring, and the forward, backward and update of a
 * training take this path alike.
 *
 *	key	what every entry is: its kernel, grid, block, shared memory; of copies and zeros the size; all of a library's call.
 *		It is compared in full, the hash only finds it.
 *	first	a list with a new key is launched entry by entry, and its key remembered
 *	again	a graph is made of it: a chain, since a list is an order
 *	later	entries whose arguments differ from those the graph has (a learning rate, a seed, another array) are told to it, one
 *		call each; then it is launched
 *
 * So no graph can run with arguments of an earlier step: those of this step are there, all of them, and are compared byte by
 * byte. What changes with every token (ids, positions, lengths, rows of the cache, the plan of attention) lies in device
 * memory, at the same places as long as sizes stay (pass.c, cuda_stage()), so in the steady state nothing is told. Bits
 * are the same either way: the same kernels with the same arguments in the same order.
 *
 * A graph that cannot be made or told (memory; a driver that refuses) is no error: the list is launched entry by entry, no
 * graph is made any more, and `assay doctor` says why. A lost device is one, as everywhere. ASSAY_CUDA_GRAPHS=0 makes none: for
 * profilers that show kernels one by one, and to measure what graphs bring. */
#include "kernels/cuda_list_int.h"

enum {
	LEAST = 8,      /* launches that are worth a graph */
	GRAPHS = 16,    /* kept; the one that rested longest goes */
	REMEMBERED = 64 /* keys seen once */
};

struct cuda_graph {
	uint64_t hash, used;
	int n;
	size_t bytes;
	struct cuda_item *items;
	unsigned char *args; /* as the graph has them */
	cudaGraphNode_t *nodes;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
};
struct cuda_graphs {
	struct cuda_graph of[GRAPHS];
	uint64_t seen[REMEMBERED];
	uint64_t clock, made, launched, told;
	int next_seen;
	char failed[160]; /* why none is made any more; "": they are */
};

/* ---- keys -------------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static uint64_t key_of(const struct cuda_list *l)
{
	uint64_t h = (uint64_t)l->n;
	for (int i = 0; i < l->n; i++) {
		const struct cuda_item *t = &l->items[i];
		h = mix(h, (uint64_t)(uintptr_t)t->function + (uint64_t)t->kind);
		h = mix(h, (uint64_t)t->grid.x << 32 | t->block.x);
		h = mix(h, (uint64_t)t->grid.y << 32 | t->grid.z);
		h = mix(h, t->bytes);
	}
	return h;
}

static bool same_item(const struct cuda_item *a, const struct cuda_item *b)
{
	return a->kind == b->kind && a->function == b->function && a->grid.x == b->grid.x && a->grid.y == b->grid.y &&
	       a->grid.z == b->grid.z && a->block.x == b->block.x && a->block.y == b->block.y &&
	       a->block.z == b->block.z && a->bytes == b->bytes && a->at == b->at && a->room == b->room;
}

static bool same_args(const struct cuda_graph *g, const struct cuda_list *l, int i)
{
	const struct cuda_item *t = &l->items[i];
	return memcmp(g->args + t->at, l->bytes + t->at, (size_t)t->room) == 0;
}

static bool is_key_of(const struct cuda_graph *g, const struct cuda_list *l)
{
	bool same = g->exec && g->n == l->n;
	for (int i = 0; same && i < l->n; i++)
		same = same_item(&g->items[i], &l->items[i]) &&
		       (l->items[i].kind != CUDA_ITEM_CALL || same_args(g, l, i));
	return same;
}

static bool was_seen(struct cuda_graphs *gs, uint64_t hash)
{
	for (int i = 0; i < REMEMBERED; i++)
		if (gs->seen[i] == hash)
			return true;
	gs->seen[gs->next_seen] = hash;
	gs->next_seen = (gs->next_seen + 1) % REMEMBERED;
	return false;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static cudaKernelNodeParams kernel_params(const struct cuda_item *t, void **args)
{
	cudaKernelNodeParams p = {};
	p.func = const_cast<void *>(t->function);
	p.gridDim = t->grid;
	p.blockDim = t->block;
	p.sharedMemBytes = (unsigned)t->bytes;
	p.kernelParams = args;
	return p;
}

static cudaMemsetParams zero_params(const struct cuda_item *t, void *dst)
{
	cudaMemsetParams p = {};
	p.dst = dst;
	p.elementSize = 1;
	p.width = t->bytes;
	p.height = 1;
	return p;
}

/* What a library launches becomes a graph in the graph. */
static cudaError_t add_call(struct backend *be, cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before,
			    size_t n_before, const struct cuda_item *t, const void *args)
{
	cudaStream_t stream = cuda_state(be)->stream;
	cudaGraph_t child = NULL;
	cudaError_t rc = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
	if (rc)
		return rc;
	cuda_state(be)->capturing = true;
	int status = reinterpret_cast<cuda_call *>(const_cast<void *>(t->function))(be, args);
	cuda_state(be)->capturing = false;
	rc = cudaStreamEndCapture(stream, &child);
	if (!rc && status)
		rc = cudaErrorStreamCaptureUnsupported;
	if (!rc)
		rc = cudaGraphAddChildGraphNode(node, graph, before, n_before, child);
	if (child)
		cudaGraphDestroy(child);
	return rc;
}

static cudaError_t add_node(struct backend *be, struct cuda_graph *g, struct cuda_list *l, int i)
{
	const struct cuda_item *t = &l->items[i];
	const cudaGraphNode_t *before = i ? &g->nodes[i - 1] : NULL;
	size_t n_before = i ? 1 : 0;
	void *args[CUDA_ITEM_ARGS];
	cuda_list_args(l, i, args);
	if (t->kind == CUDA_ITEM_KERNEL) {
		cudaKernelNodeParams p = kernel_params(t, args);
		return cudaGraphAddKernelNode(&g->nodes[i], g->graph, before, n_before, &p);
	}
	if (t->kind == CUDA_ITEM_COPY)
		return cudaGraphAddMemcpyNode1D(&g->nodes[i], g->graph, before, n_before, cuda_list_pointer(args[0]),
						cuda_list_pointer(args[1]), t->bytes, cudaMemcpyDeviceToDevice);
	if (t->kind == CUDA_ITEM_ZERO) {
		cudaMemsetParams p = zero_params(t, cuda_list_pointer(args[0]));
		return cudaGraphAddMemsetNode(&g->nodes[i], g->graph, before, n_before, &p);
	}
	return add_call(be, &g->nodes[i], g->graph, before, n_before, t, args[0]);
}

static cudaError_t tell_node(const struct cuda_graph *g, struct cuda_list *l, int i)
{
	const struct cuda_item *t = &l->items[i];
	void *args[CUDA_ITEM_ARGS];
	cuda_list_args(l, i, args);
	if (t->kind == CUDA_ITEM_KERNEL) {
		cudaKernelNodeParams p = kernel_params(t, args);
		return cudaGraphExecKernelNodeSetParams(g->exec, g->nodes[i], &p);
	}
	if (t->kind == CUDA_ITEM_COPY)
		return cudaGraphExecMemcpyNodeSetParams1D(g->exec, g->nodes[i], cuda_list_pointer(args[0]),
							  cuda_list_pointer(args[1]), t->bytes,
							  cudaMemcpyDeviceToDevice);
	cudaMemsetParams p = zero_params(t, cuda_list_pointer(args[0]));
	return cudaGraphExecMemsetNodeSetParams(g->exec, g->nodes[i], &p);
}

/* ---- graphs -------------------------------------------------------------------------------------------------------------- */

static void drop(struct cuda_graph *g)
{
	if (g->exec)
		cudaGraphExecDestroy(g->exec);
	if (g->graph)
		cudaGraphDestroy(g->graph);
	free(g->items);
	free(g->args);
	free(g->nodes);
	memset(g, 0, sizeof(*g));
}

/* Gives up graphs, and says why in the doctor; what is for good is an error of its own. */
static void give_up(struct backend *be, cudaError_t rc, const char *call)
{
	struct cuda_state *s = cuda_state(be);
	struct cuda_graphs *gs = s->graphs;
	snprintf(gs->failed, sizeof(gs->failed), "%s: %s (%s)", call, cudaGetErrorString(rc), cudaGetErrorName(rc));
	cudaGetLastError();
	if (cudaPeekAtLastError() != cudaSuccess)
		cuda_check(be, rc, call, __FILE__, __LINE__);
}

static struct cuda_graph *find(struct cuda_graphs *gs, const struct cuda_list *l, uint64_t hash)
{
	for (int i = 0; i < GRAPHS; i++)
		if (gs->of[i].hash == hash && is_key_of(&gs->of[i], l))
			return &gs->of[i];
	return NULL;
}

/* The place of a new one: a free one, or that of the one that rested longest */
static struct cuda_graph *room_for_one(struct cuda_graphs *gs)
{
	struct cuda_graph *oldest = &gs->of[0];
	for (int i = 1; i < GRAPHS; i++)
		if (gs->of[i].used < oldest->used)
			oldest = &gs->of[i];
	drop(oldest);
	return oldest;
}

static struct cuda_graph *make(struct backend *be, struct cuda_list *l, uint64_t hash)
{
	struct cuda_graphs *gs = cuda_state(be)->graphs;
	struct cuda_graph *g = room_for_one(gs);
	g->items = (struct cuda_item *)malloc((size_t)l->n * sizeof(*g->items));
	g->args = (unsigned char *)malloc((size_t)l->used + 1);
	g->nodes = (cudaGraphNode_t *)calloc((size_t)l->n, sizeof(*g->nodes));
	cudaError_t rc = g->items && g->args && g->nodes ? cudaGraphCreate(&g->graph, 0) : cudaErrorMemoryAllocation;
	for (int i = 0; !rc && i < l->n; i++)
		rc = add_node(be, g, l, i);
	if (!rc)
		rc = cudaGraphInstantiate(&g->exec, g->graph, 0);
	if (rc) {
		drop(g);
		give_up(be, rc, "a graph cannot be made");
		return NULL;
	}
	memcpy(g->items, l->items, (size_t)l->n * sizeof(*g->items));
	memcpy(g->args, l->bytes, (size_t)l->used);
	g->n = l->n;
	g->hash = hash;
	gs->made++;
	return g;
}

/* What differs goes to the graph. False: it cannot be told, and is gone. */
static bool tell(struct backend *be, struct cuda_graph *g, struct cuda_list *l)
{
	struct cuda_graphs *gs = cuda_state(be)->graphs;
	for (int i = 0; i < l->n; i++) {
		if (same_args(g, l, i))
			continue;
		cudaError_t rc = tell_node(g, l, i);
		if (rc) {
			drop(g);
			give_up(be, rc, "a graph cannot be changed");
			return false;
		}
		memcpy(g->args + l->items[i].at, l->bytes + l->items[i].at, (size_t)l->items[i].room);
		gs->told++;
	}
	return true;
}

bool cuda_graph_issue(struct backend *be, struct cuda_list *l)
{
	struct cuda_graphs *gs = cuda_state(be)->graphs;
	if (!gs || *gs->failed || l->n < LEAST)
		return false;
	uint64_t hash = key_of(l);
	struct cuda_graph *g = find(gs, l, hash);
	if (!g && was_seen(gs, hash))
		g = make(be, l, hash);
	if (!g || !tell(be, g, l))
		return cuda_state(be)->lost;
	g->used = ++gs->clock;
	gs->launched++;
	cudaError_t rc = cudaGraphLaunch(g->exec, cuda_state(be)->stream);
	if (rc == cudaErrorMemoryAllocation) { /* its upload: nothing has run */
		drop(g);
		give_up(be, rc, "a graph cannot be launched");
		return cuda_state(be)->lost;
	}
	cuda_check(be, rc, "cudaGraphLaunch", __FILE__, __LINE__);
	return true;
}

/* ---- open, probe, close -------------------------------------------------------------------------------------------------------- */

int cuda_graphs_open(struct backend *be)
{
	const char *wanted = getenv("ASSAY_CUDA_GRAPHS");
	if (wanted && strcmp(wanted, "0") == 0)
		return 0;
	cuda_state(be)->graphs = (struct cuda_graphs *)calloc(1, sizeof(struct cuda_graphs));
	return 0; /* without memory for it there are none */
}

void cuda_graphs_close(struct backend *be)
{
	struct cuda_graphs *gs = cuda_state(be)->graphs;
	for (int i = 0; gs && i < GRAPHS; i++)
		drop(&gs->of[i]);
	free(gs);
	cuda_state(be)->graphs = NULL;
}

/* Ten kernels, launched three times, the third time from other places */
static __global__ void step_kernel(int *to, const int *from)
{
	*to = *from * 2 + 1;
}

static bool try_graph(struct backend *be)
{
	int out[3] = { 0, 0, 0 };
	void *p = NULL;
	if (cuda_alloc(be, &p, 3 * 16 * sizeof(int)))
		return false;
	for (int turn = 0; turn < 3; turn++) {
		int *at = static_cast<int *>(p) + turn * 16;
		for (int i = 0; i < 10; i++)
			CUDA_LAUNCH(be, step_kernel, 1, 1, 0, at + i + 1, at + i);
		cuda_download(be, &out[turn], at + 10, sizeof(int));
	}
	cuda_free(be, p);
	return cuda_sync(be) == 0 && out[0] == 1023 && out[1] == 1023 && out[2] == 1023;
}

void cuda_graphs_probe(struct backend *be, kernels_tell *say, void *arg)
{
	struct cuda_graphs *gs = cuda_state(be)->graphs;
	char text[256];
	if (!gs) {
		say(arg, true, "graphs", "none: ASSAY_CUDA_GRAPHS is 0", NULL);
		return;
	}
	bool right = try_graph(be);
	if (right && !*gs->failed && gs->launched) {
		say(arg, true, "graphs", "launches that come again go to the device as one", NULL);
		return;
	}
	snprintf(text, sizeof(text), "%s; kernels are launched one by one: the same bits, small models are slower",
		 *gs->failed ? gs->failed : "a graph computes wrongly");
	say(arg, false, "graphs", text, "update the driver; ASSAY_CUDA_GRAPHS=0 makes none");
}
