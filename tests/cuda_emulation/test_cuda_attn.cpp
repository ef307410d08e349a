/* test_cuda_attn.cpp: attention, forward: against cpu_ref at odd shapes, and the same bits in any company.
 *
 * The inputs are bf16 numbers, so that what the class bf16 differs by is the rounding of weights and products. */
#include "kernel_test.h"

struct shape {
	int heads, kv_heads, D, window;
	float scale;
};

static struct kernels_attn shape_of(const shape &s, int gap)
{
	struct kernels_attn a = {
		s.heads, s.kv_heads, s.D, s.heads * s.D + gap, s.kv_heads * s.D + gap, s.heads * s.D + gap,
		s.scale, s.window
	};
	return a;
}

/* A batch: each sequence has `keys` keys, of which the last `queries` are asked; keys are rows of k in order */
struct batch {
	ints q_start, k_start;
	explicit batch(const std::vector<std::pair<int, int>> &queries_keys) : q_start(1, 0), k_start(1, 0)
	{
		for (auto &e : queries_keys) {
			q_start.push_back(q_start.back() + e.first);
			k_start.push_back(k_start.back() + e.second);
		}
	}
	struct kernels_seqs seqs() const
	{
		struct kernels_seqs s = {};
		s.n = (int)q_start.size() - 1;
		s.q_start = q_start.data();
		s.k_start = k_start.data();
		return s;
	}
};

static double tolerance(int cls)
{
	return cls == KERNELS_CLASS_BF16 ? 2e-5 : 1e-11;
}

static floats check_batch(int cls, const batch &b, const shape &s, const char *what)
{
	struct kernels_attn a = shape_of(s, 5);
	size_t T = (size_t)b.q_start.back(), K = (size_t)b.k_start.back();
	floats q = as_bf16(tame(T * (size_t)a.q_stride, 1)), k = as_bf16(tame(K * (size_t)a.kv_stride, 2)),
	       v = as_bf16(tame(K * (size_t)a.kv_stride, 3));
	for (float &e : q)
		e *= 4;
	return CHECK_OPERATION(cls, what, tolerance(cls), [&](struct backend *be) {
		struct kernels_seqs seqs = b.seqs();
		array<float> aq(be, q), ak(be, k), av(be, v), out(be, T * (size_t)a.o_stride),
			lse(be, T * (size_t)s.heads);
		be->attn(be, out, lse, aq, ak, av, &seqs, &a);
		floats r = out.get();
		append(r, lse.get());
		return r;
	});
}

static const int classes[] = { KERNELS_CLASS_F32, KERNELS_CLASS_BF16 };

TEST(packed_sequences_of_odd_lengths)
{
	for (int cls : classes) {
		check_batch(cls, batch({ { 1, 1 }, { 31, 31 }, { 65, 65 }, { 2, 2 } }), { 4, 2, 16, 0, 0.25f },
			    "16 wide");
		check_batch(cls, batch({ { 70, 70 }, { 0, 0 }, { 3, 3 } }), { 3, 1, 40, 0, 0.15f }, "40 wide, 3 to 1");
		check_batch(cls, batch({ { 66, 66 } }), { 2, 2, 128, 0, 0.1f }, "128 wide");
		check_batch(cls, batch({ { 35, 35 } }), { 2, 1, 200, 0, 0.07f }, "200 wide");
		check_batch(cls, batch({ { 33, 33 } }), { 1, 1, 7, 0, 0.4f }, "7 wide");
	}
}

TEST(continuations_see_what_went_before)
{
	for (int cls : classes) {
		check_batch(cls, batch({ { 1, 150 }, { 5, 64 }, { 1, 65 }, { 64, 128 } }), { 4, 2, 32, 0, 0.2f },
			    "continued");
		check_batch(cls, batch({ { 1, 130 }, { 2, 9 } }), { 7, 1, 32, 0, 0.2f }, "seven heads to one");
	}
}

TEST(windows_end_in_any_tile)
{
	for (int cls : classes)
		for (int window : { 1, 5, 63, 64, 65, 100 })
			check_batch(cls, batch({ { 140, 140 }, { 3, 130 } }), { 2, 1, 16, window, 0.25f }, "a window");
}

TEST(more_heads_to_a_key_head_than_rows_of_a_block)
{
	for (int cls : classes)
		check_batch(cls, batch({ { 2, 3 }, { 1, 66 } }), { 71, 1, 8, 0, 0.3f }, "71 heads to one");
}

TEST(wide_heads_on_a_card_of_99_kB_have_the_bits_they_have_elsewhere)
{
	const batch b({ { 66, 66 }, { 1, 40 }, { 3, 34 } });
	for (int cls : { KERNELS_CLASS_F32, KERNELS_CLASS_TF32, KERNELS_CLASS_BF16 })
		for (const shape &s : { shape{ 2, 1, 256, 0, 0.07f }, shape{ 1, 1, 129, 33, 0.1f } }) {
			floats elsewhere = check_batch(cls, b, s, "a large card");
			const small_card card;
			CHECK_SAME_BITS(check_batch(cls, b, s, "a card of 99 KB"), elsewhere, "class %d, %d wide", cls,
					s.D);
		}
}

TEST(a_head_too_wide_is_an_error_and_not_a_number)
{
	struct backend *be = device(KERNELS_CLASS_BF16);
	batch b({ { 1, 1 } });
	struct kernels_seqs seqs = b.seqs();
	struct kernels_attn a = shape_of({ 1, 1, 260, 0, 1 }, 0);
	array<float> x(be, (size_t)260);
	be->attn(be, x, NULL, x, x, x, &seqs, &a);
	CHECK(be->sync(be) == ERR_INPUT);
	CHECK(be->sync(be) == 0);
}

/* ---- the same bits in any company ------------------------------------------------------------------------------------- */

/* Sequences of one model, whole: row t of sequence s has its q, k and v, wherever it is computed. */
struct whole {
	shape s;
	floats q, k, v;
	int n;
	whole(const shape &sh, int length, uint64_t seed) : s(sh), n(length)
	{
		struct kernels_attn a = shape_of(s, 0);
		q = wide((size_t)n * (size_t)a.q_stride, seed);
		k = tame((size_t)n * (size_t)a.kv_stride, seed + 1);
		v = wide((size_t)n * (size_t)a.kv_stride, seed + 2);
		for (float &e : q)
			e *= 0.01f;
	}
	floats rows(const floats &x, int from, int to) const
	{
		size_t width = x.size() / (size_t)n;
		return slice(x, (size_t)from * width, (size_t)(to - from) * width);
	}
};

/* A batch whose rows are parts of whole sequences: part p asks positions from .. to, whose keys are in the batch from
 * `cached` on, and in the cache before. All sequences share the first `trunk` positions of the first one, as they are cached. */
struct part {
	const whole *w;
	int from, to;
};

static std::vector<floats> run_parts(int cls, const std::vector<part> &parts)
{
	struct backend *be = device(cls);
	const shape &s = parts[0].w->s;
	struct kernels_attn a = shape_of(s, 0);
	ints q_start(1, 0), k_start(1, 0), rows;
	floats q, k, v, cache_k, cache_v;
	int cached = 0, at = 0;
	size_t width = (size_t)a.kv_stride;
	for (const part &p : parts) {
		append(q, p.w->rows(p.w->q, p.from, p.to));
		append(k, p.w->rows(p.w->k, p.from, p.to));
		append(v, p.w->rows(p.w->v, p.from, p.to));
		for (int j = p.from - 1; j >= 0; j--) { /* the cache in an order of its own */
			append(cache_k, p.w->rows(p.w->k, j, j + 1));
			append(cache_v, p.w->rows(p.w->v, j, j + 1));
		}
		for (int j = 0; j < p.from; j++)
			rows.push_back(-1 - (cached + p.from - 1 - j));
		for (int j = p.from; j < p.to; j++)
			rows.push_back(at++);
		cached += p.from;
		q_start.push_back(q_start.back() + p.to - p.from);
		k_start.push_back((int32_t)rows.size());
	}
	struct kernels_seqs seqs = {};
	array<float> aq(be, q), ak(be, k), av(be, v), ck(be, cache_k), cv(be, cache_v), out(be, q.size()),
		lse(be, (size_t)(q_start.back() * s.heads));
	seqs.n = (int)parts.size(), seqs.q_start = q_start.data(), seqs.k_start = k_start.data();
	seqs.k_rows = rows.data(), seqs.cache_k = ck, seqs.cache_v = cv, seqs.cache_stride = (int)width;
	be->attn(be, out, lse, aq, ak, av, &seqs, &a);
	floats o = out.get(), l = lse.get();
	std::vector<floats> results;
	for (size_t i = 0; i < parts.size(); i++) {
		size_t from = (size_t)q_start[i], n = (size_t)(q_start[i + 1] - q_start[i]);
		floats r = slice(o, from * (size_t)a.o_stride, n * (size_t)a.o_stride);
		append(r, slice(l, from * (size_t)s.heads, n * (size_t)s.heads));
		results.push_back(r);
	}
	return results;
}

/* Rows from .. to of what a whole run gave */
static floats rows_of(const floats &r, const whole &w, int from, int to)
{
	size_t width = (size_t)(w.s.heads * w.s.D), heads = (size_t)w.s.heads, n = (size_t)w.n;
	floats v = slice(r, (size_t)from * width, (size_t)(to - from) * width);
	append(v, slice(r, n * width + (size_t)from * heads, (size_t)(to - from) * heads));
	return v;
}

static void check_company(int cls, const shape &s)
{
	whole a(s, 140, 1), b(s, 67, 50), c(s, 1, 90);
	floats alone = run_parts(cls, { { &a, 0, 140 } })[0];
	std::vector<floats> packed = run_parts(cls, { { &c, 0, 1 }, { &b, 0, 67 }, { &a, 0, 140 } });
	CHECK_SAME_BITS(packed[2], alone, "class %d, %d wide: the company changes bits", cls, s.D);
	CHECK_SAME_BITS(packed[1], run_parts(cls, { { &b, 0, 67 } })[0], "class %d, %d wide: packed", cls, s.D);
	for (int cut : { 1, 31, 63, 64, 65, 127, 128, 129, 139 }) { /* about every border of a tile */
		std::vector<floats> two =
			run_parts(cls, { { &a, 0, cut }, { &b, 0, 5 }, { &a, cut, 140 }, { &a, cut, cut + 1 } });
		CHECK_SAME_BITS(two[0], rows_of(alone, a, 0, cut), "%d: head of %d", cls, cut);
		CHECK_SAME_BITS(two[2], rows_of(alone, a, cut, 140), "%d: tail from %d", cls, cut);
		CHECK_SAME_BITS(two[3], rows_of(alone, a, cut, cut + 1), "%d: position %d alone", cls, cut);
	}
}

TEST(a_row_has_the_same_bits_alone_packed_and_behind_a_cache)
{
	for (int cls : classes)
		for (const shape &s :
		     { shape{ 6, 2, 24, 0, 0.2f }, shape{ 2, 2, 130, 0, 0.1f }, shape{ 3, 1, 64, 50, 0.12f } })
			check_company(cls, s);
}

TEST(a_wide_head_has_the_same_bits_in_any_company_on_a_card_of_99_kB)
{
	const small_card card;
	check_company(KERNELS_CLASS_F32, { 2, 1, 256, 0, 0.06f });
	check_company(KERNELS_CLASS_F32, { 1, 1, 160, 50, 0.08f });
}

TEST(a_shared_trunk_in_the_same_batch_changes_no_bit)
{
	const int trunk = 70, tail = 9;
	for (int cls : classes) {
		shape s = { 4, 2, 32, 0, 0.2f };
		whole a(s, trunk + tail, 1), b(s, trunk + tail, 50);
		size_t width = (size_t)(s.kv_heads * s.D), q_width = (size_t)(s.heads * s.D);
		for (int t = 0; t < trunk; t++) /* b begins as a does */
			for (size_t i = 0; i < q_width; i++) {
				b.q[(size_t)t * q_width + i] = a.q[(size_t)t * q_width + i];
				if (i < width) {
					b.k[(size_t)t * width + i] = a.k[(size_t)t * width + i];
					b.v[(size_t)t * width + i] = a.v[(size_t)t * width + i];
				}
			}
		floats whole_a = run_parts(cls, { { &a, 0, a.n } })[0], whole_b = run_parts(cls, { { &b, 0, b.n } })[0];
		/* one batch: the trunk, the tail of a, the tail of b; the tails' first keys are the trunk's rows */
		struct backend *be = device(cls);
		floats q = a.rows(a.q, 0, a.n), k = a.rows(a.k, 0, a.n), v = a.rows(a.v, 0, a.n);
		append(q, b.rows(b.q, trunk, b.n));
		append(k, b.rows(b.k, trunk, b.n));
		append(v, b.rows(b.v, trunk, b.n));
		ints q_start = { 0, trunk, trunk + tail, trunk + 2 * tail },
		     k_start = { 0, trunk, 2 * trunk + tail, 3 * trunk + 2 * tail };
		ints rows;
		for (int j = 0; j < trunk; j++)
			rows.push_back(j);
		for (int j = 0; j < trunk + tail; j++)
			rows.push_back(j);
		for (int j = 0; j < trunk + tail; j++)
			rows.push_back(j < trunk ? j : j + tail);
		struct kernels_seqs seqs = {};
		struct kernels_attn sh = shape_of(s, 0);
		array<float> aq(be, q), ak(be, k), av(be, v), out(be, q.size());
		seqs.n = 3, seqs.q_start = q_start.data(), seqs.k_start = k_start.data(), seqs.k_rows = rows.data();
		be->attn(be, out, NULL, aq, ak, av, &seqs, &sh);
		floats o = out.get();
		CHECK_SAME_BITS(slice(o, 0, (size_t)(trunk + tail) * q_width), slice(whole_a, 0, (size_t)a.n * q_width),
				"a");
		CHECK_SAME_BITS(slice(o, (size_t)(trunk + tail) * q_width, (size_t)tail * q_width),
				slice(whole_b, (size_t)trunk * q_width, (size_t)tail * q_width),
				"b behind the trunk of a");
	}
}

TEST_MAIN
