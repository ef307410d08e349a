/* test_cuda_head.cpp: the head and its loss by tiles of the vocabulary, beside the operations one by one: the reference's within a
 * tolerance, the device's own bit for bit. */
#include "kernel_test.h"

struct shape {
	int T, C, V;
};
static const shape shapes[] = { { 1, 8, 1 },    { 5, 40, 33 },  { 3, 24, 300 },
				{ 65, 16, 70 }, { 70, 72, 31 }, { 130, 33, 1003 } };

/* Several targets of a row, none of one, one that does not count */
struct wanted {
	ints first, target;
	wanted(int T, int V)
	{
		first.push_back(0);
		for (int t = 0; t < T; t++) {
			for (int i = 0; i < (t + 1) % 4; i++)
				target.push_back(i == 2 ? -1 : (t * 7919 + i * 31 + V - 1) % V);
			first.push_back((int32_t)target.size());
		}
		if (target.empty())
			target.push_back(0), first.back() = 1;
	}
};

/* Rows x[T,C] and W[V,C], so that logits are some units apart; two words are the same one, so their logits are equal */
struct data {
	shape s;
	floats x, w;
	explicit data(shape of) : s(of)
	{
		x = as_bf16(tame((size_t)(s.T * s.C), 5)), w = as_bf16(tame((size_t)(s.V * s.C), 6));
		for (float &e : x)
			e *= 4;
		if (s.V > 20)
			memcpy(&w[(size_t)((s.V - 1) * s.C)], &w[(size_t)(7 * s.C)], (size_t)s.C * sizeof(float));
	}
	struct kernels_weight weight(const float *rows) const
	{
		struct kernels_weight r = { rows, s.V, s.C, KERNELS_F32, 0 };
		return r;
	}
	struct kernels_linear how(float beta = 0) const
	{
		struct kernels_linear h = { s.T, s.C, s.V, NULL, beta };
		return h;
	}
};

static floats answer(const array<double> &logprob, const array<int32_t> &argmax)
{
	floats r = doubles(logprob.get());
	for (int32_t i : argmax.get())
		r.push_back((float)i);
	return r;
}

static floats loss(struct backend *be, const data &d, const wanted &q, bool in_one)
{
	array<float> x(be, d.x), w(be, d.w), logits(be, in_one ? 1 : (size_t)(d.s.T * d.s.V));
	array<int32_t> first(be, q.first), target(be, q.target), argmax(be, q.target.size());
	array<double> logprob(be, q.target.size());
	struct kernels_weight weight = d.weight(w);
	struct kernels_linear how = d.how();
	if (in_one) {
		CHECK(be->head_tiles(be, &weight));
		be->head_logprob(be, logprob, argmax, x, &weight, first, target, d.s.T);
	} else {
		be->linear(be, logits, x, &weight, &how);
		be->logprob(be, logprob, argmax, logits, first, target, d.s.T, d.s.V);
	}
	return answer(logprob, argmax);
}

TEST(the_loss_is_that_of_its_parts)
{
	for (shape s : shapes) {
		data d(s);
		wanted q(s.T, s.V);
		floats in_one = CHECK_OPERATION(KERNELS_CLASS_BF16, "head_logprob", 1e-11,
						[&](struct backend *be) { return loss(be, d, q, be != reference()); });
		CHECK_SAME_BITS(in_one, loss(device(KERNELS_CLASS_BF16), d, q, false), "%d x %d x %d", s.T, s.C, s.V);
	}
}

/* Of two lanes of a group, and of two groups */
TEST(the_first_of_equal_words_is_the_largest)
{
	data d({ 2, 16, 200 });
	for (int c = 0; c < 16; c++) { /* these lead */
		for (int word : { 43, 44, 150 })
			d.w[(size_t)(word * 16 + c)] = d.x[(size_t)c] > 0 ? 1.0f : -1.0f;
		d.x[(size_t)(16 + c)] = d.x[(size_t)c];
	}
	struct backend *be = device(KERNELS_CLASS_BF16);
	array<float> x(be, d.x), w(be, d.w);
	array<int32_t> target(be, ints{ 44, 150 }), argmax(be, (size_t)2);
	array<double> logprob(be, (size_t)2);
	struct kernels_weight weight = d.weight(w);
	be->head_logprob(be, logprob, argmax, x, &weight, NULL, target, 2);
	CHECK(argmax.get() == (ints{ 43, 43 }));
	CHECK(logprob.get()[0] == logprob.get()[1]);
}

/* 300 rows are several pieces here: what lies between the kernels is small in the emulation (cuda_head.cu, GROUPS_BYTES). */
TEST(a_row_has_its_bits_in_any_company)
{
	const int T = 300, C = 24, V = 700;
	data d({ T, C, V });
	wanted q(T, V);
	struct backend *be = device(KERNELS_CLASS_BF16);
	floats all = loss(be, d, q, true);
	size_t n = q.target.size();
	for (int t : { 1, 2, 63, 64, 127, 129, 255, 257, 299 })
		for (int rows : { 1, 17 }) {
			if (t + rows > T)
				continue;
			data part({ rows, C, V });
			wanted ask(1, V);
			int from = q.first[(size_t)t], to = q.first[(size_t)(t + rows)];
			part.x = slice(d.x, (size_t)(t * C), (size_t)(rows * C));
			ask.target = ints(q.target.begin() + from, q.target.begin() + to);
			ask.first.clear();
			for (int i = 0; i <= rows; i++)
				ask.first.push_back(q.first[(size_t)(t + i)] - from);
			if (ask.target.empty())
				continue;
			floats alone = loss(be, part, ask, true);
			CHECK_SAME_BITS(slice(alone, 0, 2 * ask.target.size()),
					slice(all, 2 * (size_t)from, 2 * ask.target.size()), "row %d of %d", t, rows);
			CHECK_SAME_BITS(slice(alone, 2 * ask.target.size(), ask.target.size()),
					slice(all, 2 * n + (size_t)from, ask.target.size()), "row %d of %d", t, rows);
		}
}

/* ---- the gradient -------------------------------------------------------------------------------------------------------- */

struct gradient_ask {
	ints target;
	floats scale, dw; /* dw: what was there; empty: none is wanted */
	gradient_ask(const data &d, bool wants_dw) : scale(tame((size_t)d.s.T, 9))
	{
		for (int t = 0; t < d.s.T; t++)
			target.push_back(t % 5 == 2 ? -1 : (t * 31 + d.s.V - 1) % d.s.V);
		if (wants_dw)
			dw = tame((size_t)(d.s.V * d.s.C), 10);
	}
};

/* dx, dw and the log-probabilities */
static floats gradient(struct backend *be, const data &d, const gradient_ask &q, float beta, bool in_one)
{
	int T = d.s.T, V = d.s.V, C = d.s.C;
	array<float> x(be, d.x), w(be, d.w), logits(be, in_one ? 1 : (size_t)(T * V)), scale(be, q.scale);
	array<float> dx(be, floats((size_t)(T * C), NAN)), dw(be, beta > 0 ? q.dw : floats(q.dw.size(), NAN));
	array<int32_t> target(be, q.target);
	array<double> logprob(be, (size_t)T);
	struct kernels_weight weight = d.weight(w);
	struct kernels_linear how = d.how();
	if (in_one) {
		be->head_back(be, logprob, dx, q.dw.empty() ? NULL : (float *)dw, beta, x, &weight, target, scale, T);
	} else {
		be->linear(be, logits, x, &weight, &how);
		be->logprob(be, logprob, NULL, logits, NULL, target, T, V);
		be->xent_back(be, logits, target, scale, T, V);
		be->linear_dx(be, dx, logits, &weight, &how);
		how.beta = beta;
		if (!q.dw.empty())
			be->linear_dw(be, dw, logits, x, V, C, &how);
	}
	floats r = dx.get();
	append(r, dw.get());
	append(r, doubles(logprob.get()));
	return r;
}

TEST(the_gradient_is_that_of_its_parts)
{
	for (shape s : shapes)
		for (float beta : { 0.0f, 1.0f }) {
			data d(s);
			gradient_ask q(d, true);
			floats in_one = CHECK_OPERATION(KERNELS_CLASS_BF16, "head_back", 1e-5, [&](struct backend *be) {
				return gradient(be, d, q, beta, be != reference());
			});
			CHECK_SAME_BITS(in_one, gradient(device(KERNELS_CLASS_BF16), d, q, beta, false), "%d x %d x %d",
					s.T, s.C, s.V);
		}
}

TEST(a_frozen_head_has_no_gradient_of_its_own)
{
	data d({ 20, 24, 90 });
	gradient_ask q(d, false), with(d, true);
	struct backend *be = device(KERNELS_CLASS_BF16);
	floats without = gradient(be, d, q, 0, true), all = gradient(be, d, with, 0, true);
	CHECK_SAME_BITS(slice(without, 0, 20 * 24), slice(all, 0, 20 * 24), "dx");
}

/* Tiles of 8192 words, of which dx is the sum: near the chain of the parts; all else has their bits. */
TEST(the_gradient_of_many_words)
{
	struct backend *be = device(KERNELS_CLASS_BF16);
	data d({ 3, 8, 8192 + 45 });
	gradient_ask q(d, true);
	size_t n_dx = 3 * 8;
	floats in_one = gradient(be, d, q, 1, true), parts = gradient(be, d, q, 1, false);
	CHECK(nmse(slice(in_one, 0, n_dx), slice(parts, 0, n_dx)) < 1e-12);
	CHECK_SAME_BITS(slice(in_one, n_dx, in_one.size() - n_dx), slice(parts, n_dx, parts.size() - n_dx), "dw");
}

/* Pieces of 8192 rows, of which dw is the sum; the last rows by themselves have the bits they have among all. */
TEST(the_gradient_of_many_rows)
{
	const int T = 8192 + 9, C = 8, V = 40, last = 30;
	struct backend *be = device(KERNELS_CLASS_BF16);
	data d({ T, C, V }), end({ last, C, V });
	gradient_ask q(d, true), of_end(end, true);
	size_t n_dx = (size_t)(T * C), n_dw = (size_t)(V * C), n_end = (size_t)(last * C);
	end.x = slice(d.x, n_dx - n_end, n_end);
	of_end.target = ints(q.target.end() - last, q.target.end());
	of_end.scale = slice(q.scale, (size_t)(T - last), (size_t)last);
	floats all = gradient(be, d, q, 0, true), want = gradient(reference(), d, q, 0, false);
	CHECK(nmse(slice(all, 0, n_dx + n_dw), slice(want, 0, n_dx + n_dw)) < 1e-5);
	CHECK(nmse(slice(all, n_dx, n_dw), slice(want, n_dx, n_dw)) < 1e-5);
	floats alone = gradient(be, end, of_end, 0, true);
	CHECK_SAME_BITS(slice(alone, 0, n_end), slice(all, n_dx - n_end, n_end), "dx");
	CHECK_SAME_BITS(slice(alone, n_end + n_dw, 2 * (size_t)last),
			slice(all, n_dx + n_dw + 2 * (size_t)(T - last), 2 * (size_t)last), "log-probabilities");
}

TEST(a_row_that_does_not_count_has_no_gradient_even_without_numbers)
{
	data d({ 4, 8, 50 });
	gradient_ask q(d, false);
	for (int c = 0; c < 8; c++)
		d.x[(size_t)(2 * 8 + c)] = c % 2 ? INFINITY : -INFINITY; /* target -1 */
	floats r = gradient(device(KERNELS_CLASS_BF16), d, q, 0, true);
	for (size_t i = 2 * 8; i < 3 * 8; i++)
		CHECK(r[i] == 0);
	for (float v : r)
		CHECK(v == v);
}

TEST(weights_of_every_type)
{
	data d({ 9, 40, 77 });
	wanted q(9, 77);
	struct backend *be = device(KERNELS_CLASS_BF16);
	floats as_floats = loss(be, d, q, true);
	std::vector<uint16_t> rows(d.w.size());
	for (size_t i = 0; i < rows.size(); i++) {
		uint32_t u;
		memcpy(&u, &d.w[i], sizeof(u));
		rows[i] = (uint16_t)(u >> 16);
	}
	array<float> x(be, d.x);
	array<uint16_t> packed(be, rows.size());
	array<int32_t> first(be, q.first), target(be, q.target), argmax(be, q.target.size());
	array<double> logprob(be, q.target.size());
	struct kernels_weight weight = { packed.p, 77, 40, KERNELS_BF16, 1 };
	be->pack(be, &weight, rows.data(), 0, 77);
	be->head_logprob(be, logprob, argmax, x, &weight, first, target, 9);
	CHECK_SAME_BITS(answer(logprob, argmax), as_floats, "bf16 weights");
}

TEST(other_classes_have_their_head_by_rows)
{
	struct kernels_weight w = { NULL, 100, 8, KERNELS_F32, 0 };
	CHECK(!device(KERNELS_CLASS_F32)->head_tiles(device(KERNELS_CLASS_F32), &w));
	CHECK(!device(KERNELS_CLASS_TF32)->head_tiles(device(KERNELS_CLASS_TF32), &w));
	CHECK(!reference()->head_tiles);
}

TEST_MAIN
