/* test_cuda_norm.cpp: norms and their gradients, the gradient of a bias; a row alone has the bits it has in a batch. */
#include "kernel_test.h"

static const double CLOSE = 1e-12;
static const int widths[] = { 1, 31, 64, 130, 576, 2100, 9000 };

TEST(rms_norm_and_its_gradient)
{
	for (int C : widths) {
		int T = C > 1000 ? 5 : 35;
		size_t n = (size_t)T * (size_t)C;
		floats x = wide(n, 1), w = tame((size_t)C, 2), d = tame(n, 3), dx = tame(n, 4), dw = tame((size_t)C, 5),
		       all;
		auto forward = [&](struct backend *be) {
			array<float> o(be, n), r(be, (size_t)T), ax(be, x), aw(be, w);
			be->rmsnorm(be, o, r, ax, aw, T, C, 1e-5f);
			floats v = o.get();
			append(v, r.get());
			return v;
		};
		all = CHECK_OPERATION(KERNELS_CLASS_F32, "rmsnorm", CLOSE, forward);
		floats whole = x;
		for (int t = 0; t < T; t += 4) { /* a row alone */
			struct backend *be = device(KERNELS_CLASS_F32);
			size_t at = (size_t)t * (size_t)C;
			array<float> o(be, (size_t)C), r(be, 1), ax(be, slice(whole, at, (size_t)C)), aw(be, w);
			be->rmsnorm(be, o, r, ax, aw, 1, C, 1e-5f);
			CHECK_SAME_BITS(o.get(), slice(all, at, (size_t)C), "row %d of width %d depends on its batch",
					t, C);
			CHECK_SAME_BITS(r.get(), slice(all, n + (size_t)t, 1), "rstd %d of width %d", t, C);
		}
		floats rstd = slice(forward(reference()), n, (size_t)T);
		CHECK_OPERATION(KERNELS_CLASS_F32, "rmsnorm_back", CLOSE, [&](struct backend *be) {
			array<float> ax(be, x), aw(be, w), ad(be, d), adx(be, dx), adw(be, dw), r(be, rstd);
			be->rmsnorm_back(be, adx, adw, ad, ax, aw, r, T, C);
			floats v = adx.get();
			append(v, adw.get());
			return v;
		});
	}
}

TEST(layer_norm_and_its_gradient)
{
	for (int C : widths) {
		int T = C > 1000 ? 5 : 35;
		size_t n = (size_t)T * (size_t)C, c = (size_t)C;
		floats x = tame(n, 1), w = tame(c, 2), b = tame(c, 6), d = tame(n, 3), dx = tame(n, 4), dw = tame(c, 5),
		       all;
		for (size_t i = 0; i < n; i++)
			x[i] = 3 * x[i] + 5;
		auto forward = [&](struct backend *be) {
			array<float> o(be, n), m(be, (size_t)T), r(be, (size_t)T), ax(be, x), aw(be, w), ab(be, b);
			be->layernorm(be, o, m, r, ax, aw, ab, T, C, 1e-5f);
			floats v = o.get();
			append(v, m.get());
			append(v, r.get());
			return v;
		};
		all = CHECK_OPERATION(KERNELS_CLASS_F32, "layernorm", C == 1 ? 1e-9 : CLOSE, forward);
		struct backend *be = device(KERNELS_CLASS_F32);
		array<float> o(be, c), m(be, 1), r(be, 1), ax(be, slice(x, 2 * c, c)), aw(be, w), ab(be, b);
		be->layernorm(be, o, m, r, ax, aw, ab, 1, C, 1e-5f);
		CHECK_SAME_BITS(o.get(), slice(all, 2 * c, c), "a row of width %d depends on its batch", C);
		floats stats = forward(reference()), mean = slice(stats, n, (size_t)T),
		       rstd = slice(stats, n + (size_t)T, (size_t)T);
		CHECK_OPERATION(KERNELS_CLASS_F32, "layernorm_back", 1e-11, [&](struct backend *on) {
			array<float> bx(on, x), bw(on, w), bd(on, d), bdx(on, dx), bdw(on, dw), bdb(on, dw),
				bm(on, mean), br(on, rstd);
			on->layernorm_back(on, bdx, bdw, bdb, bd, bx, bw, bm, br, T, C);
			floats v = bdx.get();
			append(v, bdw.get());
			append(v, bdb.get());
			return v;
		});
	}
}

TEST(norm_of_heads_in_place_and_its_gradient)
{
	const int T = 13;
	for (int D : { 1, 16, 33, 128 })
		for (int H : { 1, 5 }) {
			int stride = H * D + 3;
			size_t n = (size_t)(T * stride), heads = (size_t)(T * H);
			floats x = wide(n, 1), w = tame((size_t)D, 2), d = tame(n, 3), dw = tame((size_t)D, 5);
			auto forward = [&](struct backend *be) {
				array<float> r(be, heads), ax(be, x), aw(be, w);
				be->headnorm(be, ax, r, ax, aw, stride, T, H, D, 1e-6f);
				floats v = ax.get();
				append(v, r.get());
				return v;
			};
			CHECK_OPERATION(KERNELS_CLASS_F32, "headnorm", CLOSE, forward);
			floats rstd = slice(forward(reference()), n, heads);
			CHECK_OPERATION(KERNELS_CLASS_F32, "headnorm_back", CLOSE, [&](struct backend *be) {
				array<float> ax(be, x), aw(be, w), ad(be, d), adw(be, dw), r(be, rstd);
				be->headnorm_back(be, ad, adw, ad, ax, aw, r, stride, T, H, D);
				floats v = ad.get();
				append(v, adw.get());
				return v;
			});
		}
}

/* Launches are gathered: the limit of shared memory that the second asks for holds for the first as well. */
TEST(a_wide_row_and_then_a_less_wide_one_beyond_48_kB)
{
	struct backend *be = device(KERNELS_CLASS_F32);
	const int C[] = { 16000, 13000 };
	floats x = tame(16000, 1), w = tame(16000, 2), d = tame(16000, 3), zeros(16000);
	array<float> ax(be, x), aw(be, w), ad(be, d), r(be, floats{ 1.5f }), dx(be, zeros), dw(be, zeros),
		dy(be, zeros), dv(be, zeros), alone(be, zeros), rest(be, zeros);
	be->rmsnorm_back(be, alone, rest, ad, ax, aw, r, 1, C[0]);
	CHECK(be->sync(be) == 0);
	be->rmsnorm_back(be, dx, dw, ad, ax, aw, r, 1, C[0]);
	be->rmsnorm_back(be, dy, dv, ad, ax, aw, r, 1, C[1]);
	CHECK(be->sync(be) == 0);
	CHECK_SAME_BITS(dx.get(), alone.get(), "the wide row");
	CHECK_SAME_BITS(dw.get(), rest.get(), "the wide row's sums");
	CHECK(dv.get()[(size_t)C[1] - 1] != 0);
}

/* The gradients of T rows of C numbers: dx and dw of the RMS norm, dx, dw and db of the layer norm */
static floats wide_gradients(int C)
{
	const int T = 17; /* a block has 16 */
	size_t n = (size_t)T * (size_t)C, c = (size_t)C;
	floats x = tame(n, 1), w = tame(c, 2), d = wide(n, 3), dw = tame(c, 4), mean = tame(T, 5), rstd = tame(T, 6);
	floats all = CHECK_OPERATION(KERNELS_CLASS_F32, "rmsnorm_back of wide rows", 1e-11, [&](struct backend *be) {
		array<float> ax(be, x), aw(be, w), ad(be, d), adx(be, x), adw(be, dw), ar(be, rstd);
		be->rmsnorm_back(be, adx, adw, ad, ax, aw, ar, T, C);
		floats v = adx.get();
		append(v, adw.get());
		return v;
	});
	append(all, CHECK_OPERATION(KERNELS_CLASS_F32, "layernorm_back of wide rows", 1e-11, [&](struct backend *be) {
		       array<float> ax(be, x), aw(be, w), ad(be, d), adx(be, x), adw(be, dw), adb(be, dw), am(be, mean),
			       ar(be, rstd);
		       be->layernorm_back(be, adx, adw, adb, ad, ax, aw, am, ar, T, C);
		       floats v = adx.get();
		       append(v, adw.get());
		       append(v, adb.get());
		       return v;
	       }));
	return all;
}

/* Where the sums of a block do not fit in shared memory: above 12544 and 25088 numbers on a card of 99 KB */
TEST(rows_wider_than_shared_memory_have_the_same_bits)
{
	for (int C : { 12544, 12545, 25089 }) {
		floats elsewhere = wide_gradients(C);
		const small_card card;
		CHECK_SAME_BITS(wide_gradients(C), elsewhere, "%d wide", C);
	}
	wide_gradients(59000); /* and on any */
}

/* What a block declares counts, too: 48 KB are for both together. */
TEST(the_widest_rows_that_seem_to_need_no_more_than_48_kB)
{
	struct backend *be = device(KERNELS_CLASS_F32);
	void *p = NULL;
	const int C = 12288;
	CHECK(be->alloc(be, &p, (size_t)C * 8 * sizeof(float)) == 0);
	float *x = (float *)p;
	be->layernorm_back(be, x, x + C, x + 2 * C, x + 3 * C, x + 4 * C, x + 5 * C, x + 6 * C, x + 7 * C, 1, C / 2);
	be->rmsnorm_back(be, x, x + C, x + 2 * C, x + 3 * C, x + 4 * C, x + 5 * C, 1, C);
	CHECK(be->sync(be) == 0);
	be->free(be, p);
}

TEST(the_gradient_of_a_bias)
{
	for (int M : { 1, 33, 512, 513, 1700 })
		for (int N : { 1, 40 }) {
			floats dy = wide((size_t)(M * (N + 2)), 1), db = wide((size_t)N, 2);
			CHECK_OPERATION(KERNELS_CLASS_F32, "linear_db", CLOSE, [&](struct backend *be) {
				array<float> a(be, dy), b(be, db);
				be->linear_db(be, b, a, N + 2, M, N);
				return b.get();
			});
		}
}

TEST(no_rows_are_no_launch)
{
	struct backend *be = device(KERNELS_CLASS_F32);
	array<float> a(be, floats(64, 1.0f)), b(be, floats(64, 2.0f));
	be->rmsnorm(be, a, b, a, b, 0, 64, 1e-5f);
	be->rmsnorm_back(be, a, b, a, a, b, b, 0, 64);
	be->layernorm(be, a, b, b, a, b, b, 0, 64, 1e-5f);
	be->layernorm_back(be, a, b, b, a, a, b, b, b, 0, 64);
	be->headnorm(be, a, b, a, b, 64, 0, 4, 16, 1e-5f);
	be->headnorm_back(be, a, b, a, a, b, b, 64, 0, 4, 16);
	be->linear_db(be, a, b, 64, 0, 64);
	CHECK(a.get() == floats(64, 1.0f) && b.get() == floats(64, 2.0f));
}

TEST_MAIN
