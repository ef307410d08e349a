/* test_cuda_attn_back.cpp: the gradients of attention against cpu_ref's, which are checked by finite differences. */
#include "kernel_test.h"

static floats check_gradients(int cls, const ints &lengths, int heads, int kv_heads, int D, int window,
			      const char *what)
{
	ints start(1, 0);
	for (int n : lengths)
		start.push_back(start.back() + n);
	size_t T = (size_t)start.back();
	struct kernels_attn a = {
		heads, kv_heads, D, heads * D + 3, kv_heads * D + 2, heads * D + 1, 0.5f / sqrtf((float)D), window
	};
	struct kernels_seqs seqs = {};
	seqs.n = (int)lengths.size(), seqs.q_start = seqs.k_start = start.data();
	floats q = as_bf16(tame(T * (size_t)a.q_stride, 1)), k = as_bf16(tame(T * (size_t)a.kv_stride, 2)),
	       v = as_bf16(tame(T * (size_t)a.kv_stride, 3)), dout = as_bf16(tame(T * (size_t)a.o_stride, 4)), out, lse;
	for (float &e : q)
		e *= 4;
	{ /* out and lse are the reference's for both */
		struct backend *be = reference();
		array<float> aq(be, q), ak(be, k), av(be, v), o(be, T * (size_t)a.o_stride), l(be, T * (size_t)heads);
		be->attn(be, o, l, aq, ak, av, &seqs, &a);
		out = o.get();
		lse = l.get();
	}
	size_t nq = T * (size_t)a.q_stride, nk = T * (size_t)a.kv_stride;
	auto run = [&](struct backend *be) {
		array<float> aq(be, q), ak(be, k), av(be, v), ad(be, dout), ao(be, out), al(be, lse);
		array<float> dq(be, floats(nq)), dk(be, floats(nk)), dv(be, floats(nk));
		be->attn_back(be, dq, dk, dv, ad, ao, al, aq, ak, av, &seqs, &a);
		floats r = dq.get();
		append(r, dk.get());
		append(r, dv.get());
		return r;
	};
	double limit = cls == KERNELS_CLASS_BF16 ? 1e-4 : 1e-10;
	floats got = CHECK_OPERATION(cls, what, limit, run), want = run(reference());
	const struct {
		const char *name;
		size_t from, n;
	} parts[] = { { "dq", 0, nq }, { "dk", nq, nk }, { "dv", nq + nk, nk } };
	for (auto &p : parts) {
		double e = nmse(slice(got, p.from, p.n), slice(want, p.from, p.n));
		if (!(e <= limit))
			FAIL("%s: %s has NMSE %.3g", what, p.name, e);
	}
	return got;
}

static const int classes[] = { KERNELS_CLASS_F32, KERNELS_CLASS_BF16 };

TEST(gradients_of_packed_sequences)
{
	for (int cls : classes) {
		check_gradients(cls, { 1, 33, 0, 70, 2 }, 4, 2, 16, 0, "16 wide");
		check_gradients(cls, { 67 }, 3, 1, 40, 0, "40 wide, 3 to 1");
		check_gradients(cls, { 65 }, 2, 2, 128, 0, "128 wide");
		check_gradients(cls, { 34 }, 2, 1, 200, 0, "200 wide");
		check_gradients(cls, { 5, 32 }, 1, 1, 7, 0, "7 wide");
	}
}

TEST(gradients_within_a_window)
{
	for (int cls : classes)
		for (int window :
		     { 1, 2, 7, 34, 64, 66, 90 }) /* 2 mod 32: the last query of a tile sees its first key */
			check_gradients(cls, { 130, 3 }, 2, 1, 16, window, "a window");
}

TEST(wide_heads_on_a_card_of_99_kB_have_the_bits_they_have_elsewhere)
{
	const struct {
		int cls, D, window; /* 2 and 9: the last query of 32, or of 8, sees the first key of a tile */
	} all[] = { { KERNELS_CLASS_F32, 256, 0 },
		    { KERNELS_CLASS_F32, 129, 2 },
		    { KERNELS_CLASS_F32, 200, 9 },
		    { KERNELS_CLASS_TF32, 129, 35 },
		    { KERNELS_CLASS_BF16, 256, 0 } };
	for (auto &e : all) {
		const ints lengths = { 43, 1, 18 };
		floats elsewhere = check_gradients(e.cls, lengths, 2, 1, e.D, e.window, "a large card");
		const small_card card;
		CHECK_SAME_BITS(check_gradients(e.cls, lengths, 2, 1, e.D, e.window, "a card of 99 KB"), elsewhere,
				"class %d, %d wide, window %d", e.cls, e.D, e.window);
	}
}

/* A sequence by itself has the gradients that it has between others. */
TEST(wide_heads_have_the_same_gradients_in_any_company)
{
	const small_card card;
	const int heads = 2, D = 200, n[] = { 13, 45, 30 }, T = 88;
	const size_t width = (size_t)heads * D;
	struct kernels_attn a = { heads, heads, D, (int)width, (int)width, (int)width, 0.07f, 20 };
	floats in[5];
	for (int i = 0; i < 5; i++)
		in[i] = wide((size_t)T * width, (uint64_t)i + 1);
	floats lse = tame((size_t)(T * heads), 9);
	for (float &e : lse) /* of scores that may be large: no weight is infinite */
		e += 5;
	for (float &e : in[0])
		e *= 0.00001f;
	auto run = [&](int from, const ints &start) {
		struct backend *be = device(KERNELS_CLASS_F32);
		struct kernels_seqs seqs = {};
		seqs.n = (int)start.size() - 1, seqs.q_start = seqs.k_start = start.data();
		size_t at = (size_t)from * width, rows = (size_t)start.back(), count = rows * width;
		array<float> q(be, slice(in[0], at, count)), k(be, slice(in[1], at, count)),
			v(be, slice(in[2], at, count)), d(be, slice(in[3], at, count)), o(be, slice(in[4], at, count)),
			l(be, slice(lse, (size_t)(from * heads), rows * heads)), dq(be, count), dk(be, count),
			dv(be, count);
		be->attn_back(be, dq, dk, dv, d, o, l, q, k, v, &seqs, &a);
		return std::vector<floats>{ dq.get(), dk.get(), dv.get() };
	};
	std::vector<floats> all = run(0, { 0, n[0], n[0] + n[1], T }), one = run(n[0], { 0, n[1] });
	for (size_t i = 0; i < all.size(); i++) {
		double squares = 0;
		for (float e : one[i])
			squares += (double)e * (double)e;
		CHECK(std::isfinite(squares) && squares > 0);
		CHECK_SAME_BITS(slice(all[i], (size_t)n[0] * width, (size_t)n[1] * width), one[i], "gradient %zu", i);
	}
}

TEST_MAIN
