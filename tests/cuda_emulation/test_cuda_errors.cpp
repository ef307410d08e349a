/* test_cuda_errors.cpp: every call of the runtime that the plugin makes, made to fail.
 *
 * A life of a back end: it is opened, scores (with a cache, four times, so that graphs are made, told and launched), trains (one
 * step) and is closed. Its n-th call fails, n = 0, 1, … until a whole life meets no error any more; in two ways: for this one
 * time, as a lack of memory and as a refusal in turn, and for good. Each gives one error, the same words however often it is asked for, with
 * call, file and line, and code 69; or no error at all where the plugin can do without the call, and then the same numbers.
 * Nothing is left, and the next life gets farther. Two devices in turn: what is asked for once a device is asked for every time.
 *
 * Not here: calls under a capture (test_lt.cpp) and beside NCCL, and the code 78 of a driver or card that is too old (test_cuda.cpp). */
#include "cuda_help.h"

#include <malloc.h>

#include <set>

enum { T = 3, C = 8, H = 1, D = 64, W = H * D, F = 8, V = 9 };

/* ---- what was said ------------------------------------------------------------------------------------------------------------ */

struct messages {
	int n;
	bool differ;
	std::string first, fix;
};
static messages heard;

static int hear_all(int code, const char *text, const char *fix)
{
	if (!heard.n++) {
		heard.first = text;
		heard.fix = fix ? fix : "";
	}
	heard.differ = heard.differ || heard.first != text;
	return code;
}

/* ---- a life --------------------------------------------------------------------------------------------------------------------- */

/* All arrays are parts of one block, so that a life is mostly of operations; after the first error nothing more is asked for. */
enum { ROOM = 16 << 10 };
struct life {
	struct backend *be;
	int rc;
	bool closes; /* whole: nothing had failed by then */
	float *block;
	size_t used; /* floats of it */
	std::vector<float> numbers;
};

static float *part_of(life *l, size_t n)
{
	float *p = l->block + l->used;
	l->used += (n + 63) / 64 * 64;
	if (l->used > ROOM)
		FAIL("a life has no room for its arrays");
	return p;
}

/* The arrays of a small layer */
struct layer {
	float *table, *norm, *qkv, *out, *gate, *down, *turns;                   /* weights */
	float *x, *h, *wide, *att, *lse, *y, *up, *logits, *rstd, *mean, *cache; /* activations */
	float *d_qkv, *d_head, *d_att, *d_wide, *m, *v, *scale;                  /* gradients, and of an optimizer */
	float *d_rest; /* of all other weights, which nobody reads */
	double *logprob;
	int32_t *ids, *pos, *rows, *target, *best;
	struct kernels_weight head;
};

static layer make_layer(life *l)
{
	layer a = {};
	void *p = NULL;
	std::vector<float> numbers = wide_floats(1, ROOM);
	l->rc = l->be->alloc(l->be, &p, ROOM * sizeof(float));
	if (l->rc)
		return a;
	l->block = (float *)p;
	for (float &v : numbers)
		v *= 0.1f;
	a.m = part_of(l, 3 * W * C), a.v = part_of(l, 3 * W * C); /* zeros; the rest is filled */
	l->be->upload(l->be, l->block + l->used, numbers.data(), (ROOM - l->used) * sizeof(float));
	a.table = part_of(l, V * C), a.norm = part_of(l, W), a.qkv = part_of(l, 3 * W * C), a.out = part_of(l, C * W);
	a.gate = part_of(l, F * C), a.down = part_of(l, C * F), a.turns = part_of(l, 2 * T * D);
	a.x = part_of(l, T * C), a.h = part_of(l, T * C), a.wide = part_of(l, T * 3 * W), a.att = part_of(l, T * W);
	a.lse = part_of(l, T * H), a.y = part_of(l, T * F), a.up = part_of(l, T * F), a.logits = part_of(l, T * V);
	a.rstd = part_of(l, T * H), a.mean = part_of(l, T), a.cache = part_of(l, 2 * T * W);
	a.d_qkv = part_of(l, 3 * W * C), a.d_head = part_of(l, V * C), a.d_att = part_of(l, T * W);
	a.d_wide = part_of(l, T * 3 * W), a.scale = part_of(l, T), a.d_rest = part_of(l, V * C + W);
	a.logprob = (double *)(void *)part_of(l, 2 * T);
	a.ids = (int32_t *)(void *)part_of(l, 5 * T);
	a.pos = a.ids + T, a.rows = a.pos + T, a.target = a.rows + T, a.best = a.target + T;
	a.head = { part_of(l, V * C), V, C, KERNELS_BF16, 1 };
	return a;
}

static void linear(life *l, float *y, const float *x, const float *w, int n, int k)
{
	struct kernels_weight weight = { w, n, k, KERNELS_F32, 0 };
	struct kernels_linear how = { T, k, n, NULL, 0 };
	l->be->linear(l->be, y, x, &weight, &how);
}

/* Heads of 64 in training: their attention asks for the shared memory that there is */
static const struct kernels_attn attn_shape = { H, H, D, 3 * W, 3 * W, W, 0.1f, 0 },
				 small_shape = { H, H, 16, 3 * W, 3 * W, W, 0.1f, 0 };

/* A batch of ids through the layer. cached: keys of the sequence are in the cache, but for those of this batch. */
static void forward(life *l, const layer &a, int turn, bool cached)
{
	struct backend *be = l->be;
	int32_t host[4 * T];
	const int32_t starts[2] = { 0, T }, behind[2] = { 0, T + 2 };
	int32_t k_rows[T + 2] = { -1, -2 };
	for (int i = 0; i < T; i++) {
		host[i] = (i * 7 + turn) % V, host[T + i] = i, host[2 * T + i] = i;
		host[3 * T + i] = (i * 3 + turn) % V;
		k_rows[i + 2] = i;
	}
	struct kernels_seqs seqs = { 1,
				     starts,
				     cached ? behind : starts,
				     cached ? k_rows : NULL,
				     cached ? a.cache : NULL,
				     cached ? a.cache + T * W : NULL,
				     W };
	struct kernels_weight table = { a.table, V, C, KERNELS_F32, 0 };
	be->upload(be, a.ids, host, sizeof(host));
	be->embed(be, a.x, &table, a.ids, T, false);
	be->for_products(be, a.h, T, C, false);
	be->rmsnorm(be, a.h, a.rstd, a.x, a.norm, T, C, 1e-5f);
	linear(l, a.wide, a.h, a.qkv, 3 * W, C);
	be->headnorm(be, a.wide, a.rstd, a.wide, a.norm, 3 * W, T, H, D, 1e-5f);
	be->rope(be, a.wide, 3 * W, a.pos, a.turns, T, H, D, false);
	be->put_rows(be, a.cache, W, a.wide + W, 3 * W, a.rows, 2, W);
	be->put_rows(be, a.cache + T * W, W, a.wide + 2 * W, 3 * W, a.rows, 2, W);
	be->attn(be, a.att, a.lse, a.wide, a.wide + W, a.wide + 2 * W, &seqs, cached ? &small_shape : &attn_shape);
	be->zero(be, a.y + turn, 8); /* these three are told to a graph: they have other arguments every time */
	be->copy(be, a.y + turn, a.y + 8, 8);
	be->scale(be, a.y, T, (float)turn);
	struct kernels_weight out = { a.out, C, W, KERNELS_F32, 0 };
	struct kernels_linear how = { T, W, C, NULL, 0 };
	be->linear_into(be, a.h, NULL, a.x, a.att, &out, &how);
	be->layernorm(be, a.x, a.mean, a.rstd, a.h, a.norm, a.norm, T, C, 1e-5f);
	linear(l, a.y, a.x, a.gate, F, C);
	be->gelu(be, a.up, a.y, T * F);
	be->swiglu(be, a.up, a.y, a.up, T * F);
	linear(l, a.h, a.up, a.down, C, F);
	be->gather(be, a.x, a.h, a.rows, T, C);
	struct kernels_linear last = { T, C, V, NULL, 0 };
	be->linear(be, a.logits, a.x, &a.head, &last);
	be->logprob(be, a.logprob, a.best, a.logits, NULL, a.target, T, V);
	be->head_logprob(be, a.logprob, a.best, a.x, &a.head, NULL, a.target, T);
}

enum { TURNS = 4 };
static void score(life *l, const layer &a, int turns)
{
	struct backend *be = l->be;
	double got[TURNS * T] = {};
	size_t free_bytes = 0, total = 0;
	uint64_t mark = 0;
	for (int turn = 0; turn < turns; turn++) {
		forward(l, a, turn, true);
		be->download(be, got + turn * T, a.logprob, T * sizeof(double));
		if (turn && (l->rc = be->wait(be, mark)))
			return;
		mark = be->mark(be);
	}
	if ((l->rc = be->memory(be, &free_bytes, &total)) || (l->rc = be->sync(be)))
		return;
	l->numbers.assign(got, got + turns * T);
}

/* Every operation of a backward pass, not all of them where a model has them */
static void backward(life *l, const layer &a)
{
	struct backend *be = l->be;
	struct kernels_linear head = { T, C, V, NULL, 0 }, out = { T, W, C, NULL, 0 }, in = { T, C, 3 * W, NULL, 0 };
	struct kernels_weight w_out = { a.out, C, W, KERNELS_F32, 0 }, w_in = { a.qkv, 3 * W, C, KERNELS_F32, 0 };
	const int32_t starts[2] = { 0, T };
	struct kernels_seqs seqs = { 1, starts, starts, NULL, NULL, NULL, 0 };
	be->zero(be, a.d_qkv, 3 * W * C * sizeof(float));
	be->head_back(be, a.logprob, a.h, a.d_head, 0, a.x, &a.head, a.target, a.scale, T);
	be->xent_back(be, a.logits, a.target, a.scale, T, V);
	be->linear_dw(be, a.d_head, a.logits, a.x, V, C, &head);
	be->linear_dx(be, a.h, a.logits, &a.head, &head);
	be->linear_dx(be, a.d_att, a.h, &w_out, &out);
	be->attn_back(be, a.d_wide, a.d_wide + W, a.d_wide + 2 * W, a.d_att, a.att, a.lse, a.wide, a.wide + W,
		      a.wide + 2 * W, &seqs, &attn_shape);
	be->linear_dw(be, a.d_qkv, a.d_wide, a.x, 3 * W, C, &in);
	be->linear_db(be, a.d_rest, a.d_wide, 3 * W, T, W);
	be->headnorm_back(be, a.d_wide, a.d_rest, a.d_wide, a.wide, a.norm, a.rstd, 3 * W, T, H, D);
	be->linear_dx(be, a.h, a.d_wide, &w_in, &in);
	be->layernorm_back(be, a.x, a.d_rest, a.d_rest, a.h, a.h, a.norm, a.mean, a.mean, T, C);
	be->rmsnorm_back(be, a.x, a.d_rest, a.h, a.h, a.norm, a.mean, T, C);
	be->swiglu_back(be, a.y, a.up, a.up, a.y, a.up, T * F);
	be->gelu_back(be, a.y, a.up, a.y, T * F);
	be->scatter_add(be, a.x, a.h, a.rows, T, C);
	be->embed_back(be, a.d_rest, a.h, a.ids, T, C, V);
}

static void train(life *l, const layer &a)
{
	struct backend *be = l->be;
	forward(l, a, 3, false);
	backward(l, a);
	double norm = be->sumsq(be, a.d_qkv, 3 * W * C);
	if ((l->rc = be->sync(be)))
		return;
	struct kernels_adamw how = { 0.01f, 0.9f, 0.95f, 1e-8f, 0.1f, norm > 1 ? (float)(1 / sqrt(norm)) : 1, 1 };
	be->adamw(be, a.qkv, a.d_qkv, a.m, a.v, 3 * W * C, &how);
	std::vector<float> qkv(3 * W * C, NAN);
	be->download(be, qkv.data(), a.qkv, qkv.size() * sizeof(float));
	if (!(l->rc = be->sync(be)))
		l->numbers.insert(l->numbers.end(), qkv.begin(), qkv.end());
}

/* Behind an error: for good the same again, else the same work can be done once more. */
static void live_on(life *l, const uint16_t *head)
{
	const int n = heard.n;
	l->numbers.clear();
	if (l->be->sync(l->be) && l->be->sync(l->be)) {
		if (heard.n != n + 2)
			FAIL("an error without words");
		return;
	}
	life again = {};
	again.be = l->be;
	layer a = make_layer(&again);
	if (!again.rc) {
		l->be->pack(l->be, &a.head, head, 0, V);
		score(&again, a, 1);
	}
	if (again.rc)
		FAIL("an error that is not for good comes again: %s", heard.first.c_str());
	l->numbers = again.numbers;
	l->be->free(l->be, again.block);
}

static life live(int device, bool runs)
{
	struct kernels_want want = { device, KERNELS_CLASS_BF16, hear_all };
	uint16_t head[V * C];
	life l = {};
	heard = {};
	for (int i = 0; i < V * C; i++)
		head[i] = (uint16_t)(0x3c00 + i % 200);
	l.rc = assay_cuda_open(&l.be, &want);
	if (l.rc) {
		if (l.be)
			FAIL("a back end that could not be opened is given out");
		return l;
	}
	emu_run_kernels(runs);
	layer a = make_layer(&l);
	if (!l.rc) {
		l.be->pack(l.be, &a.head, head, 0, V);
		score(&l, a, TURNS);
	}
	if (!l.rc)
		train(&l, a);
	l.be->free(l.be, l.block);
	if (!l.rc)
		l.rc = l.be->sync(l.be);
	if (l.rc)
		live_on(&l, head);
	emu_run_kernels(true);
	l.closes = !emu_injected();
	l.be->close(l.be);
	return l;
}

/* ---- the sweep --------------------------------------------------------------------------------------------------------------------- */

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Calls that the plugin can do without: graphs; and what only names a version */
static bool is_spared(const char *call)
{
	return starts(call, "cudaGraph") || starts(call, "cudaRuntimeGetVersion");
}

/* Those that give something back leave it where they fail by themselves. */
static int may_be_left(const char *call, bool sticky)
{
	return !sticky && (starts(call, "cudaFree") || strstr(call, "Destroy"));
}

static const char *const all_calls[] = {
	"cudaDriverGetVersion",
	"cudaRuntimeGetVersion",
	"cudaGetDeviceCount",
	"cudaGetDeviceProperties",
	"cudaSetDevice",
	"cudaMalloc",
	"cudaFree",
	"cudaHostAlloc",
	"cudaFreeHost",
	"cudaMemGetInfo",
	"cudaMemcpyAsync",
	"cudaMemsetAsync",
	"cudaStreamCreateWithFlags",
	"cudaStreamDestroy",
	"cudaStreamSynchronize",
	"cudaStreamWaitEvent",
	"cudaEventCreateWithFlags",
	"cudaEventDestroy",
	"cudaEventRecord",
	"cudaEventSynchronize",
	"cudaFuncGetAttributes",
	"cudaFuncSetAttribute",
	"launch",
	"cudaGraphCreate",
	"cudaGraphAddKernelNode",
	"cudaGraphAddMemcpyNode1D",
	"cudaGraphAddMemsetNode",
	"cudaGraphInstantiate",
	"cudaGraphExecKernelNodeSetParams",
	"cudaGraphExecMemcpyNodeSetParams1D",
	"cudaGraphExecMemsetNodeSetParams",
	"cudaGraphLaunch",
};

struct way {
	cudaError_t error;
	bool sticky;
};

/* Before there is a device nothing has a place in the plugin; a lack of memory is a matter of numbers. */
static const char *words_of(const char *call, const way &w)
{
	if (starts(call, "cudaDriverGetVersion"))
		return "no NVIDIA driver";
	if (starts(call, "cudaGetDevice") || starts(call, "cudaRuntimeGetVersion"))
		return cudaGetErrorName(w.error);
	if (starts(call, "cudaMalloc") && w.error == cudaErrorMemoryAllocation)
		return "cuda:";
	if (starts(call, "cudaGraph") && !starts(call, "cudaGraphLaunch"))
		return "a graph cannot be";
	return strcmp(call, "launch") == 0 ? "_kernel" : call;
}

static bool has_place(const std::string &text)
{
	size_t at = text.find("kernels/cuda");
	at = at == std::string::npos ? at : text.find(':', at);
	return at != std::string::npos && text[at + 1] >= '1' && text[at + 1] <= '9';
}

static bool is_of_the_device(const char *call, const way &w)
{
	return !starts(call, "cudaDriverGetVersion") && !starts(call, "cudaRuntimeGetVersion") &&
	       !starts(call, "cudaGetDevice") && !(starts(call, "cudaMalloc") && w.error == cudaErrorMemoryAllocation);
}

static void judge(int n, const way &w, const life &l, const life &whole, int left)
{
	const char *call = emu_injected();
	if (emu_left() > left + may_be_left(call, w.sticky))
		FAIL("call %d, %s (%s): %d things are left", n, call, cudaGetErrorName(w.error), emu_left() - left);
	if (!l.rc && (heard.n || !(l.closes || is_spared(call)) || (!w.sticky && !same_bits(l.numbers, whole.numbers))))
		FAIL("call %d, %s (%s): no error, other numbers or words: %s", n, call, cudaGetErrorName(w.error),
		     heard.first.c_str());
	if (!l.rc)
		return;
	if (!l.numbers.empty() && memcmp(l.numbers.data(), whole.numbers.data(), l.numbers.size() * sizeof(float)) != 0)
		FAIL("call %d, %s (%s): what is done again has other numbers", n, call, cudaGetErrorName(w.error));
	if (l.rc != ERR_UNAVAILABLE || heard.differ || heard.fix.empty())
		FAIL("call %d, %s (%s): %d, %s (%s)%s", n, call, cudaGetErrorName(w.error), l.rc, heard.first.c_str(),
		     heard.fix.c_str(), heard.differ ? ", and something else" : "");
	if (heard.n > 2 && !w.sticky) /* by alloc, and by the next sync */
		FAIL("call %d, %s (%s): said %d times: %s", n, call, cudaGetErrorName(w.error), heard.n,
		     heard.first.c_str());
	if (heard.first.find(words_of(call, w)) == std::string::npos ||
	    (is_of_the_device(call, w) &&
	     (!has_place(heard.first) || heard.first.find(cudaGetErrorName(w.error)) == std::string::npos)))
		FAIL("call %d, %s (%s): said: %s", n, call, cudaGetErrorName(w.error), heard.first.c_str());
}

TEST(every_call_that_fails_is_one_error_and_the_next_life_goes_on)
{
	static const way for_now[2] = { { cudaErrorMemoryAllocation, false }, { cudaErrorInvalidValue, false } },
			 for_good = { cudaErrorIllegalAddress, true };
	const struct emu_machine usual = emu_machine;
	emu_machine.devices = 2;
	emu_set_streams(EMU_LAZY);
	emu_leave_open();
	mallopt(M_MMAP_THRESHOLD, 64 << 20), mallopt(M_TRIM_THRESHOLD, 256 << 20); /* pinned memory comes and goes */
	life whole = live(1, true);
	CHECK(!whole.rc && whole.numbers.size() > 3 * T && emu_left() == 0);
	for (const float &v : whole.numbers)
		if (!(fabsf(v) < 1e6f))
			return FAIL("a life gives no numbers: %g at %zu of %zu", v, (size_t)(&v - whole.numbers.data()),
				    whole.numbers.size());
	std::set<std::string> calls;
	int n = 0, turn = 0;
	for (bool met = true; met && n < 5000; n++)
		for (const way &w : { for_now[n % 2], for_good }) {
			int left = emu_left();
			emu_inject("any", n, w.error, w.sticky);
			life l = live(turn++ % 2, !w.sticky);
			met = emu_injected() != NULL;
			if (met)
				calls.insert(emu_injected());
			if (met)
				judge(n, w, l, whole, left);
			else if (l.rc || heard.n || emu_left() != left ||
				 (!w.sticky && !same_bits(l.numbers, whole.numbers)))
				FAIL("a life without an error fails: %s", heard.first.c_str());
			emu_inject(NULL, 0, cudaSuccess, false);
			if (test_failures > 20)
				return;
		}
	printf("# %d calls, each in two ways\n", n - 1);
	for (const char *name : all_calls)
		if (!calls.count(name))
			FAIL("%s was not called", name);
	CHECK(n > 200 && n < 5000 && calls.size() == ARRAY_LEN(all_calls));
	emu_machine = usual;
	emu_set_streams(EMU_EAGER);
}

TEST_MAIN
