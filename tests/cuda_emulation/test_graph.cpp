/* test_graph.cpp: lists of launches that come again are graphs, and nobody can tell from the bits. A back end with graphs and
 * one without do the same steps; what changes from step to step are numbers in the arguments, arrays, contents of the batch. */
#include "cuda_help.h"

static struct backend *with_graphs(bool wanted, int cls)
{
	if (!wanted)
		setenv("ASSAY_CUDA_GRAPHS", "0", 1);
	struct backend *be = cuda_or_stop(cls);
	unsetenv("ASSAY_CUDA_GRAPHS");
	return be;
}

/* What a sequence of steps leaves, on a device of its own */
typedef std::function<std::vector<float>(struct backend *)> steps;

struct count {
	uint64_t launched, told;
};

/* The same bits with graphs and without, in streams that run at once and late; counts what the graphs did. */
static struct count check_steps(int line, int cls, const steps &run)
{
	struct count c = { 0, 0 };
	for (int lazy = 0; lazy < 2; lazy++) {
		emu_set_streams(lazy ? EMU_LAZY : EMU_EAGER);
		struct backend *plain = with_graphs(false, cls);
		uint64_t launched = emu_graph_launches(), told = emu_graph_changes();
		std::vector<float> want = run(plain);
		plain->close(plain);
		if (emu_graph_launches() != launched)
			test_fail(__FILE__, line, "graphs were made that nobody wanted");
		struct backend *be = with_graphs(true, cls);
		std::vector<float> got = run(be);
		be->close(be);
		c = { emu_graph_launches() - launched, emu_graph_changes() - told };
		if (!same_bits(got, want))
			test_fail(__FILE__, line, "graphs change bits");
	}
	emu_set_streams(EMU_EAGER);
	if (emu_left() != 0)
		test_fail(__FILE__, line, "%d objects are left", emu_left());
	return c;
}

/* ---- a list with changing arguments ------------------------------------------------------------------------------------------ */

enum { N = 96, K = 48, ROWS = 5 };

/* Steps of an optimizer over products: learning rate, bias correction and dropout's key are other arguments every time. */
static std::vector<float> optimizer_steps(struct backend *be)
{
	array x(be, wide_floats(1, ROWS * K)), w(be, wide_floats(2, N * K)), g(be, std::vector<float>(N * K));
	array m(be, std::vector<float>(N * K)), v(be, std::vector<float>(N * K)), y(be, wide_floats(3, ROWS * N));
	array kept(be, std::vector<float>(ROWS * N));
	for (int step = 1; step <= 6; step++) {
		struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
		struct kernels_linear how = { ROWS, K, N, NULL, 0 };
		be->dropout(be, kept.p, y.p, ROWS * N, 77u + (uint64_t)step, 0.25f);
		be->linear(be, y.p, x.p, &weight, &how);
		be->copy(be, kept.p + N, y.p, N * sizeof(float));
		be->zero(be, y.p, (N + 3) * sizeof(float));
		be->add(be, y.p, kept.p, ROWS * N);
		be->gelu(be, y.p, y.p, ROWS * N);
		be->linear_dw(be, g.p, y.p, x.p, N, K, &how);
		for (int twice = 0; twice < 2; twice++)
			be->scale(be, g.p, N * K, 0.5f);
		struct kernels_adamw a = { 0.01f / (float)step, 0.9f, 0.95f, 1e-8f, 0.1f, 1, step };
		be->adamw(be, w.p, g.p, m.p, v.p, N * K, &a);
		if (be->sync(be))
			FAIL("step %d: %s", step, said.c_str());
	}
	return w.get();
}

TEST(steps_whose_arguments_change_have_the_bits_of_single_launches)
{
	struct count c = check_steps(__LINE__, KERNELS_CLASS_BF16, optimizer_steps);
	CHECK(c.launched == 5); /* the first step is not one */
	CHECK(c.told == 2 * 4); /* dropout and adamw, but for the step that made the graph */
	c = check_steps(__LINE__, KERNELS_CLASS_F32, optimizer_steps);
	CHECK(c.launched == 5 && c.told == 2 * 4);
}

/* Arrays that trade places: every pointer of the list is another one. */
TEST(steps_whose_arrays_change_have_the_bits_of_single_launches)
{
	struct count c = check_steps(__LINE__, KERNELS_CLASS_F32, [](struct backend *be) {
		array a(be, wide_floats(5, 640)), b(be, wide_floats(6, 640));
		for (int step = 0; step < 5; step++) {
			float *to = step % 2 ? a.p : b.p, *from = step % 2 ? b.p : a.p;
			for (int i = 0; i < 4; i++) {
				be->copy(be, to + 64 * i, from + 64 * (i + 1), 256);
				be->zero(be, from + 64 * (i + 2), 128);
				be->add(be, to + 32, from, 100);
			}
			be->sync(be);
		}
		std::vector<float> all = a.get(), more = b.get();
		all.insert(all.end(), more.begin(), more.end());
		return all;
	});
	CHECK(c.launched == 4 && c.told == 3 * 12);
}

/* ---- decoding -------------------------------------------------------------------------------------------------------------------- */

/* Two sequences grow by a token a step: attention's plan, the rows of the cache and the positions are other contents, at the
 * same places. `fillers` launches stand before each step, to move the border between two lists. */
static std::vector<float> decoding(struct backend *be, int tokens, int fillers)
{
	enum { D = 8, CACHE = 64 };
	array q(be, wide_floats(7, 2 * D)), k(be, wide_floats(8, 2 * D)), v(be, wide_floats(9, 2 * D));
	array cache(be, std::vector<float>(CACHE * 2 * D)), out(be, std::vector<float>(2 * D));
	array rows(be, std::vector<float>(2));
	std::vector<float> all;
	for (int t = 0; t < tokens; t++) {
		const int32_t kept[2] = { 2 * t, 2 * t + 1 }, q_start[3] = { 0, 1, 2 },
			      k_start[3] = { 0, t + 1, 2 * t + 2 };
		std::vector<int32_t> k_rows;
		for (int s = 0; s < 2; s++) {
			for (int i = 0; i < t; i++)
				k_rows.push_back(-1 - (2 * i + s));
			k_rows.push_back(s);
		}
		struct kernels_seqs seqs = { 2, q_start, k_start, k_rows.data(), cache.p, cache.p + D, 2 * D };
		struct kernels_seqs second = {
			1, q_start + 1, k_start + 1, k_rows.data(), cache.p, cache.p + D, 2 * D
		};
		struct kernels_attn shape = { 1, 1, D, D, D, D, 0.01f, 0 }; /* small: every key counts */
		be->upload(be, rows.p, kept, sizeof(kept));
		for (int i = 0; i < fillers; i++)
			be->scale(be, q.p, 2 * D, i % 2 ? 2.0f : 0.5f);
		for (int layer = 0; layer < 3; layer++) {
			be->put_rows(be, cache.p, 2 * D, k.p, D, (const int32_t *)rows.p, 2, D);
			be->put_rows(be, cache.p + D, 2 * D, v.p, D, (const int32_t *)rows.p, 2, D);
			be->attn(be, out.p, NULL, q.p, k.p, v.p, &seqs, &shape);
			be->add(be, k.p, out.p, 2 * D);
			be->scale(be, k.p, 2 * D, 0.75f);
			be->attn(be, out.p, NULL, q.p, k.p, v.p, &second, &shape);
			be->add(be, q.p, out.p, 2 * D);
		}
		std::vector<float> got = out.get();
		all.insert(all.end(), got.begin(), got.end());
	}
	return all;
}

TEST(a_sequence_that_grows_tells_a_graph_nothing)
{
	const int classes[] = { KERNELS_CLASS_F32, KERNELS_CLASS_BF16 };
	for (int cls : classes) {
		struct count c = check_steps(__LINE__, cls, [](struct backend *be) { return decoding(be, 12, 0); });
		CHECK(c.launched ==
		      10); /* the first step makes room for its copies, the second is the first that is one list */
		CHECK(c.told == 0);
	}
}

/* Lists end where they are full, also between an operation's copies and its launch: those stay what they are. */
TEST(a_list_that_is_full_in_the_middle_of_an_operation_loses_no_copy)
{
	struct backend *plain =
		with_graphs(false, KERNELS_CLASS_BF16); /* and without a border: fillers undo one another */
	const std::vector<float> want[2] = { decoding(plain, 3, 0), decoding(plain, 3, 1) };
	plain->close(plain);
#ifdef __SANITIZE_THREAD__ /* its launches take a hundred times as long; and what is looked for here is no race */
	const int each = 9;
#else
	const int each = 1;
#endif
	for (int fillers = 485; fillers < 512; fillers += each)
		check_steps(__LINE__, KERNELS_CLASS_BF16, [&](struct backend *be) {
			std::vector<float> got = decoding(be, 3, fillers);
			if (!same_bits(got, want[fillers % 2]))
				test_fail(__FILE__, __LINE__, "%d launches before change bits", fillers);
			return got;
		});
}

TEST(more_copies_than_there_are_places_for_are_all_right)
{
	check_steps(__LINE__, KERNELS_CLASS_F32, [](struct backend *be) {
		enum { D = 8, LONGEST = 40 };
		array q(be, wide_floats(1, LONGEST * D)), k(be, wide_floats(2, LONGEST * D)),
			v(be, wide_floats(3, LONGEST * D)), out(be, std::vector<float>(LONGEST * LONGEST * D));
		for (int step = 0; step < 3; step++) {
			for (int32_t n = 1; n <= LONGEST; n++) {
				const int32_t start[3] = { 0, n / 2, n };
				struct kernels_seqs seqs = { 2, start, start, NULL, NULL, NULL, 0 };
				struct kernels_attn shape = { 1, 1, D, D, D, D, 0.3f, 0 };
				be->attn(be, out.p + (n - 1) * LONGEST * D, NULL, q.p, k.p, v.p, &seqs, &shape);
			}
			be->add(be, q.p, out.p + 30 * LONGEST * D, 20 * D);
		}
		return out.get();
	});
}

/* ---- what goes wrong ---------------------------------------------------------------------------------------------------------------- */

struct told {
	bool ok;
	std::string graphs;
};
static void tell(void *arg, bool ok, const char *what, const char *detail, const char *fix)
{
	struct told *t = (struct told *)arg;
	(void)fix;
	if (strcmp(what, "graphs") == 0) {
		t->ok = ok;
		t->graphs = detail;
	}
}

TEST(a_graph_that_cannot_be_made_changed_or_launched_is_no_error)
{
	static const char *const calls[] = { "cudaGraphCreate", "cudaGraphAddKernelNode", "cudaGraphInstantiate",
					     "cudaGraphExecKernelNodeSetParams", "cudaGraphLaunch" };
	struct backend *plain = with_graphs(false, KERNELS_CLASS_F32);
	std::vector<float> want = optimizer_steps(plain);
	plain->close(plain);
	for (const char *call : calls) {
		struct backend *be = with_graphs(true, KERNELS_CLASS_F32);
		uint64_t before = emu_graph_launches();
		emu_inject(call, 0, cudaErrorMemoryAllocation, false);
		std::vector<float> got = optimizer_steps(be);
		if (!same_bits(got, want))
			FAIL("%s: other bits", call);
		CHECK(emu_graph_launches() - before <= 1);
		be->close(be);
		CHECK(emu_left() == 0);
		emu_inject(NULL, 0, cudaSuccess, false);
	}
}

TEST(the_doctor_says_whether_graphs_work)
{
	struct told t = {};
	assay_cuda_probe(tell, &t);
	CHECK(t.ok && t.graphs.find("as one") != std::string::npos);
	emu_inject("cudaGraphInstantiate", 0, cudaErrorStreamCaptureUnsupported, false);
	assay_cuda_probe(tell, &t);
	CHECK(!t.ok && t.graphs.find("one by one") != std::string::npos);
	emu_inject(NULL, 0, cudaSuccess, false);
	setenv("ASSAY_CUDA_GRAPHS", "0", 1);
	assay_cuda_probe(tell, &t);
	unsetenv("ASSAY_CUDA_GRAPHS");
	CHECK(t.ok && t.graphs.find("ASSAY_CUDA_GRAPHS is 0") != std::string::npos);
}

TEST(a_device_that_is_lost_in_a_graph_is_an_error_for_good)
{
	struct backend *be = with_graphs(true, KERNELS_CLASS_F32);
	array x(be, wide_floats(1, 64));
	emu_inject("cudaGraphLaunch", 1, cudaErrorIllegalAddress, true);
	for (int step = 0, rc = 0; step < 5 && !rc; step++) {
		for (int i = 0; i < 10; i++)
			be->scale(be, x.p, 64, 1.5f);
		rc = be->sync(be);
		CHECK(rc == (step < 2 ? 0 : ERR_UNAVAILABLE));
	}
	CHECK(said.find("cudaGraphLaunch") != std::string::npos &&
	      said.find("illegal memory access") != std::string::npos);
	be->free(be, x.p);
	x.be = NULL;
	be->close(be);
	emu_inject(NULL, 0, cudaSuccess, false);
}

TEST_MAIN
