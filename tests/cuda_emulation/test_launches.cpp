/* test_launches.cpp: the rule of launches (cuda_int.h) for all that a score is made of: which kernels an operation launches, and with
 * what block and how much shared memory, depends on weights, head size, device and a sequence's own length, never on how many rows
 * share the call. The grid may grow with the rows.
 *
 * Not here: the tile of a product, which does follow the number of rows; no bit depends on it, and test_gemm.cpp compares those.
 * Here a product's last kernel is passed over, and what converts its operands is not. Of drawing and gradients no score is made. */
#include "kernel_test.h"

static const int row_counts[] = { 1, 40, 300, 3000 };

typedef std::function<void(struct backend *be, int T)> batch;

static std::vector<emu_launched> launches_of(int cls, int T, const batch &run)
{
	std::vector<emu_launched> seen;
	struct backend *be = device(cls);
	be->sync(be);
	emu_watch(&seen);
	run(be, T);
	if (be->sync(be))
		FAIL("sync: %s", err_text());
	emu_watch(NULL);
	return seen;
}

static bool same_shape(const emu_launched &a, const emu_launched &b)
{
	return a.function == b.function && a.block.x == b.block.x && a.block.y == b.block.y && a.block.z == b.block.z &&
	       a.shared_bytes == b.shared_bytes;
}

/* tiles: of the last so many kernels, which multiply, nothing is asked */
static void check_launches(int line, const char *what, int cls, size_t tiles, const batch &run)
{
	std::vector<emu_launched> first = launches_of(cls, row_counts[0], run);
	if (first.size() <= tiles)
		test_fail(__FILE__, line, "%s, class %d: %zu kernels", what, cls, first.size());
	for (int T : row_counts) {
		std::vector<emu_launched> seen = launches_of(cls, T, run);
		if (seen.size() != first.size())
			return test_fail(__FILE__, line, "%s, class %d: %zu kernels for %d rows, %zu for one", what,
					 cls, seen.size(), T, first.size());
		for (size_t i = 0; i + tiles < seen.size(); i++)
			if (!same_shape(seen[i], first[i]))
				test_fail(__FILE__, line,
					  "%s, class %d, kernel %zu: blocks of %u and %zu bytes for %d rows, of %u and "
					  "%zu for one%s",
					  what, cls, i + 1, seen[i].block.x, seen[i].shared_bytes, T, first[i].block.x,
					  first[i].shared_bytes,
					  seen[i].function == first[i].function ? "" : ": another kernel");
	}
}
#define CHECK_LAUNCHES(what, cls, tiles, ...) check_launches(__LINE__, what, cls, tiles, __VA_ARGS__)

static size_t times(int T, int n)
{
	return (size_t)T * (size_t)n;
}

static ints counted(int n, int below)
{
	ints v((size_t)n);
	for (int i = 0; i < n; i++)
		v[(size_t)i] = i % below;
	return v;
}

/* Narrow rows and such as take more threads; products take what is made, or do not */
TEST(norms_of_rows)
{
	for (int C : { 24, 520 })
		for (bool wanted : { false, true }) {
			CHECK_LAUNCHES("rmsnorm", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
				array<float> x(be, tame(times(T, C), 1)), w(be, tame((size_t)C, 2)),
					out(be, times(T, C)), rstd(be, (size_t)T);
				if (wanted)
					be->for_products(be, out, T, C, false);
				be->rmsnorm(be, out, rstd, x, w, T, C, 1e-5f);
			});
			CHECK_LAUNCHES("layernorm", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
				array<float> x(be, tame(times(T, C), 1)), w(be, tame((size_t)C, 2)),
					out(be, times(T, C)), mean(be, (size_t)T), rstd(be, (size_t)T);
				if (wanted)
					be->for_products(be, out, T, C, false);
				be->layernorm(be, out, mean, rstd, x, w, w, T, C, 1e-5f);
			});
		}
}

TEST(norms_and_positions_of_heads)
{
	for (int D : { 8, 40 }) {
		const int H = 3;
		CHECK_LAUNCHES("headnorm", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
			array<float> x(be, tame(times(T, H * D), 1)), w(be, tame((size_t)D, 2)), rstd(be, times(T, H));
			be->headnorm(be, x, rstd, x, w, H * D, T, H, D, 1e-5f);
		});
		CHECK_LAUNCHES("rope", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
			array<float> x(be, tame(times(T, H * D), 1)), turns(be, tame(times(64, D), 2));
			array<int32_t> pos(be, counted(T, 64));
			be->rope(be, x, H * D, pos, turns, T, H, D, false);
		});
	}
}

TEST(activations)
{
	for (bool wanted : { false, true }) {
		CHECK_LAUNCHES("swiglu", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
			array<float> gate(be, tame(times(T, 48), 1)), up(be, tame(times(T, 48), 2));
			if (wanted)
				be->for_products(be, up, T, 48, false);
			be->swiglu(be, up, gate, up, times(T, 48));
		});
		CHECK_LAUNCHES("gelu", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
			array<float> x(be, tame(times(T, 48), 1));
			if (wanted)
				be->for_products(be, x, T, 48, false);
			be->gelu(be, x, x, times(T, 48));
		});
	}
	CHECK_LAUNCHES("add", KERNELS_CLASS_BF16, 0, [](struct backend *be, int T) {
		array<float> x(be, tame(times(T, 24), 1)), y(be, tame(times(T, 24), 2));
		be->add(be, x, y, times(T, 24));
	});
}

TEST(rows_that_are_looked_up_kept_and_picked)
{
	const int V = 11, C = 24;
	for (int type = KERNELS_F32; type <= KERNELS_F16; type++)
		for (bool adds : { false, true })
			CHECK_LAUNCHES("embed", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
				array<float> table(be, times(V, C)), out(be, times(T, C));
				array<int32_t> ids(be, counted(T, V));
				struct kernels_weight w = { table.p, V, C, type, 1 };
				be->embed(be, out, &w, ids, T, adds);
			});
	CHECK_LAUNCHES("gather", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
		array<float> src(be, tame(times(T, C), 1)), out(be, times(T, C));
		array<int32_t> rows(be, counted(T, T));
		be->gather(be, out, src, rows, T, C);
	});
	CHECK_LAUNCHES("put_rows", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
		array<float> src(be, tame(times(T, C), 1)), cache(be, times(T, C));
		array<int32_t> rows(be, counted(T, T));
		be->put_rows(be, cache, C, src, C, rows, T, C);
	});
}

TEST(log_probabilities)
{
	for (int V : { 40, 520 })
		for (bool several : { false, true })
			CHECK_LAUNCHES("logprob", KERNELS_CLASS_BF16, 0, [=](struct backend *be, int T) {
				array<float> logits(be, tame(times(T, V), 1));
				array<double> out(be, (size_t)T);
				array<int32_t> best(be, (size_t)T), target(be, counted(T, V)),
					first(be, counted(T + 1, T + 1));
				be->logprob(be, out, best, logits, several ? first.p : NULL, target, T, V);
			});
}

/* The product's tile follows the rows, and they go in pieces; what joins the groups of a row is asked alone, which comes last. */
TEST(a_head_in_one_with_its_loss)
{
	const int C = 24;
	for (int V : { 40, 520 }) {
		const batch run = [=](struct backend *be, int T) {
			array<float> x(be, tame(times(T, C), 1)), w(be, tame(times(V, C), 2));
			array<double> out(be, (size_t)T);
			array<int32_t> target(be, counted(T, V));
			struct kernels_weight head = { w.p, V, C, KERNELS_F32, 0 };
			be->head_logprob(be, out, NULL, x, &head, NULL, target, T);
		};
		emu_launched one = launches_of(KERNELS_CLASS_BF16, 1, run).back();
		for (int T : row_counts)
			CHECK(same_shape(launches_of(KERNELS_CLASS_BF16, T, run).back(), one));
	}
}

/* One sequence of so many rows, or many of 40; all keys of this batch, or those of a continuation behind a cache */
static void attend(struct backend *be, int T, int D, int each, int cached)
{
	const int H = 2, KV = 1, n = (T + each - 1) / each;
	ints q_start, k_start, k_rows;
	for (int s = 0; s <= n; s++) {
		int32_t end = s * each < T ? s * each : T;
		q_start.push_back(end);
		k_start.push_back(end + s * cached);
	}
	for (int s = 0; s < n && cached; s++) {
		for (int j = 0; j < cached; j++)
			k_rows.push_back(-1 - j);
		for (int32_t r = q_start[(size_t)s]; r < q_start[(size_t)s + 1]; r++)
			k_rows.push_back(r);
	}
	array<float> q(be, tame(times(T, H * D), 1)), k(be, tame(times(T, KV * D), 2)),
		v(be, tame(times(T, KV * D), 3)), out(be, times(T, H * D)), cache(be, tame(times(cached, KV * D), 4));
	struct kernels_seqs seqs = {};
	seqs.n = n, seqs.q_start = q_start.data(), seqs.k_start = k_start.data();
	seqs.k_rows = cached ? k_rows.data() : NULL;
	seqs.cache_k = seqs.cache_v = cached ? cache.p : NULL;
	seqs.cache_stride = KV * D;
	struct kernels_attn shape = { H, KV, D, H * D, KV * D, H * D, 0.3f, 0 };
	be->attn(be, out, NULL, q, k, v, &seqs, &shape);
}

TEST(attention)
{
	for (int cls : { KERNELS_CLASS_F32 /* tf32 has its kernels */, KERNELS_CLASS_BF16 })
		for (int D : { 8, 40 })
			for (int cached : { 0, 5 })
				CHECK_LAUNCHES("attn", cls, 0, [=](struct backend *be, int T) {
					attend(be, T, D, T > 300 ? 40 : 300, cached);
				});
}

/* What is multiplied is converted row by row; the product itself has its tile by what there is to do. f32 and tf32 convert nothing,
 * and launch the product alone. */
TEST(what_products_take)
{
	const int N = 8, K = 24;
	for (int type : { -1, (int)KERNELS_F16 })
		for (bool fused : { false, true })
			CHECK_LAUNCHES("linear", KERNELS_CLASS_BF16, 1, [=](struct backend *be, int T) {
				array<float> x(be, tame(times(T, K), 1)), w(be, times(N, K)), y(be, times(T, N)),
					bias(be, tame((size_t)N, 2));
				struct kernels_weight weight = { w.p, N, K, type < 0 ? (int32_t)KERNELS_F32 : type,
								 type >= 0 };
				struct kernels_linear how = { T, K, N, fused ? bias.p : NULL, 0 };
				if (fused)
					be->linear_into(be, y, y, NULL, x, &weight, &how);
				else
					be->linear(be, y, x, &weight, &how);
			});
}

TEST_MAIN
