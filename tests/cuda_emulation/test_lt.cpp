/* test_lt.cpp: pins of cuBLASLt, over a library that cublaslt.cpp stands in for: it computes on the emulated device, honestly
 * or in one of the ways in which a real one would spoil the bits. */
#include "cublaslt.h"
#include "cuda_help.h"

/* ---- pins ------------------------------------------------------------------------------------------------------------------ */

enum { N = 24, K = 40 };

static std::string pins_path()
{
	return "/tmp/assay-pins-" + std::to_string(getpid());
}

static void write_pins(const std::string &text)
{
	FILE *f = fopen(pins_path().c_str(), "w");
	fputs(text.c_str(), f);
	fclose(f);
	setenv("EMU_PINS", pins_path().c_str(), 1);
}

static std::string pin_line(int n, int k, int form, int split = 1, long version = 130100, int sms = 4)
{
	char text[128];
	snprintf(text, sizeof(text), "pin 90 %d %ld %d %d %d 66 20 %d 0 0 0 35 0 2\n", sms, version, n, k, form, split);
	return text;
}

static struct backend *open_with(fake_kind kind, const std::string &pins)
{
	fake = {};
	fake.kind = kind;
	write_pins(pins);
	return cuda_or_stop(KERNELS_CLASS_BF16);
}

static std::vector<float> product(struct backend *be, int M, bool with_bias, bool add, int y_stride)
{
	array x(be, wide_floats(1, (size_t)M * K)), w(be, wide_floats(2, (size_t)N * K)), bias(be, wide_floats(3, N));
	array y(be, wide_floats(4, (size_t)M * y_stride));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, y_stride, with_bias ? bias.p : NULL, add ? 1.0f : 0.0f };
	be->linear(be, y.p, x.p, &weight, &how);
	return y.get();
}

static bool uses_the_library(struct backend *be)
{
	return strstr(be->numerics, "/lt130100-") != NULL;
}

TEST(a_pin_that_passes_its_test_takes_the_products_of_its_shape)
{
	struct backend *own = open_with(HONEST, ""),
		       *be = open_with(HONEST, pin_line(N, K, 0) + "# a remark\n\n" + pin_line(N, K, 1));
	CHECK(uses_the_library(be) && !uses_the_library(own));
	for (int M : { 1, 5, 127, 128, 129, 300 })
		for (int i = 0; i < 4; i++) {
			int calls = fake.calls;
			std::vector<float> got = product(be, M, i & 1, i & 2, N + i),
					   want = product(own, M, i & 1, i & 2, N + i);
			if (!(error_of(got, want) < 1e-11))
				FAIL("M=%d bias %d add %d: NMSE %.3g", M, i & 1, i & 2, error_of(got, want));
			CHECK(fake.calls - calls == (M % 128 != 0) + (M >= 128));
		}
	CHECK(!fake.odd_rows);
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

TEST(rows_have_the_same_bits_among_any_number_by_the_library_too)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, 0) + pin_line(N, K, 1));
	for (int i = 0; i < 4; i++) {
		std::vector<float> all = product(be, 300, i & 1, i & 2, N);
		for (int M : { 1, 100, 128, 200, 256, 299 }) {
			std::vector<float> some = product(be, M, i & 1, i & 2, N);
			CHECK(memcmp(all.data(), some.data(), some.size() * 4) == 0);
		}
	}
	be->close(be);
}

/* The test of a pin ends at 2048 rows: so does a call. */
TEST(more_rows_than_were_tested_are_several_calls)
{
	struct backend *be = open_with(THOUSANDS_DECIDE, pin_line(N, K, 0));
	CHECK(uses_the_library(be));
	std::vector<float> all = product(be, 4300, false, false, N), some = product(be, 128, false, false, N);
	CHECK(memcmp(all.data(), some.data(), some.size() * 4) == 0);
	be->close(be);
}

/* How much memory a test takes is decided by the shape, before any is taken */
TEST(the_test_of_a_pin_has_a_bound_of_memory)
{
	struct backend *be = open_with(HONEST, pin_line(1 << 20, 1 << 20, 0) + pin_line(N, K, 0));
	CHECK(uses_the_library(be));
	be->close(be);
	write_pins(pin_line(151936, 64, 0));
	struct emu_machine before = emu_machine;
	emu_machine.memory_bytes = 100 << 20;
	CHECK(open_cuda(&be, KERNELS_CLASS_BF16) == ERR_UNAVAILABLE);
	CHECK(said.find("no memory for the test of the pin of a weight of 151936 x 64: 463 MB") != std::string::npos);
	CHECK(said_fix.find("libassay-cuda.pins") != std::string::npos);
	emu_machine = before;
	CHECK(emu_left() == 0);
}

TEST(a_pin_that_leaves_a_choice_to_the_library_is_not_used)
{
	for (const char *fields : { "66 20 2 0 0 0 35 0 2", "66 20 1 1 0 0 35 0 2", "66 20 1 0 0 0 35 0 0" }) {
		struct backend *be = open_with(HONEST, "pin 90 4 130100 24 40 0 " + std::string(fields) + "\n");
		if (uses_the_library(be))
			FAIL("%s is in force", fields);
		be->close(be);
	}
}

/* A graph that cannot be made is no error: the same calls go one by one. */
TEST(what_is_refused_while_a_graph_is_made_is_asked_again)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, 0));
	{
		array x(be, wide_floats(1, (size_t)256 * K)), w(be, wide_floats(2, (size_t)N * K)),
			y(be, wide_floats(4, (size_t)256 * N));
		struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
		struct kernels_linear how = { 256, K, N, NULL, 0 };
		be->sync(be);
		for (int turn = 0; turn < 4; turn++) {
			int calls = fake.calls;
			fake.refuse_at = turn == 1 ? calls + 1 : 0; /* the second time a graph is made */
			for (int i = 0; i < 12; i++)
				be->linear(be, y.p, x.p, &weight, &how);
			if (be->sync(be))
				FAIL("turn %d: %s", turn, said.c_str());
			CHECK(turn != 1 || fake.calls - calls == 13);
		}
	}
	be->close(be);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

/* act = gelu(x W^T + bias), with its input beside it or without; or from + x W^T + bias */
struct fused {
	std::vector<float> y, act;
};
static fused fused_product(struct backend *be, int M, bool kept, bool from, int y_stride = N)
{
	array x(be, wide_floats(1, (size_t)M * K)), w(be, wide_floats(2, (size_t)N * K)), bias(be, wide_floats(3, N));
	array y(be, wide_floats(4, (size_t)M * y_stride)), act(be, std::vector<float>((size_t)M * N)),
		old(be, wide_floats(5, (size_t)M * y_stride));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, y_stride, bias.p, 0 };
	be->linear_into(be, y.p, from ? NULL : kept ? act.p : y.p, from ? old.p : NULL, x.p, &weight, &how);
	return { y.get(), act.get() };
}

/* One float on, or two, of an array, and four; i: plain, added to another array, a bias, gelu, gelu with its input kept */
static std::vector<float> moved_product(struct backend *be, int M, int by, int i)
{
	const size_t n = (size_t)M * N + 8;
	array x(be, wide_floats(1, (size_t)M * K)), w(be, wide_floats(2, (size_t)N * K)), bias(be, wide_floats(3, N));
	array y(be, wide_floats(4, n)), act(be, std::vector<float>(n)), old(be, wide_floats(5, n));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, N, i >= 2 ? bias.p : NULL, 0 };
	float *at = y.p + (i == 1 ? 0 : by), *from = i == 1 ? old.p + by : NULL;
	be->linear_into(be, at, i < 3 ? NULL : i == 3 ? at : act.p, from, x.p, &weight, &how);
	std::vector<float> got = y.get(), more = act.get();
	got.insert(got.end(), more.begin(), more.end());
	return got;
}

/* A library that would refuse is not asked: that is decided by the place alone, for any number of rows. */
TEST(results_that_begin_between_lines_of_16_bytes_stay_with_the_own_kernel)
{
	struct backend *own = open_with(HONEST, ""),
		       *be = open_with(HONEST,
				       pin_line(N, K, 0) + pin_line(N, K, 1) + pin_line(N, K, 2) + pin_line(N, K, 3));
	for (int M : { 1, 128, 140 })
		for (int by : { 1, 2, 4 })
			for (int i = 0; i < 5; i++) {
				int calls = fake.calls;
				std::vector<float> got = moved_product(be, M, by, i),
						   want = moved_product(own, M, by, i);
				if (by == 4 ? fake.calls == calls || !(error_of(got, want) < 1e-11)
					    : fake.calls > calls || !same_bits(got, want))
					FAIL("M=%d, %d floats on, %d: %d calls", M, by, i, fake.calls - calls);
			}
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

static const char *const fused_names[] = { "gelu", "gelu and its input", "from" };

TEST(what_the_library_fuses_is_what_the_own_kernel_does)
{
	struct backend *own = open_with(HONEST, ""),
		       *be = open_with(HONEST, pin_line(N, K, 1) + pin_line(N, K, 2) + pin_line(N, K, 3));
	for (int M : { 1, 127, 128, 129, 300 })
		for (int i = 0; i < 3; i++) {
			int calls = fake.calls;
			fused got = fused_product(be, M, i == 1, i == 2), want = fused_product(own, M, i == 1, i == 2);
			if (!(error_of(got.y, want.y) < 1e-11) || !(error_of(got.act, want.act) < 1e-11))
				FAIL("M=%d %s: NMSE %.3g %.3g", M, fused_names[i], error_of(got.y, want.y),
				     error_of(got.act, want.act));
			CHECK(fake.calls - calls == (M % 128 != 0) + (M >= 128));
			fused all = fused_product(be, 300, i == 1, i == 2);
			CHECK(memcmp(all.y.data(), got.y.data(), got.y.size() * 4) == 0);
			CHECK(memcmp(all.act.data(), got.act.data(), got.act.size() * 4) == 0);
		}
	fused got = fused_product(be, 200, false, true, N + 5), want = fused_product(own, 200, false, true, N + 5);
	CHECK(error_of(got.y, want.y) < 1e-11);
	CHECK(!fake.odd_rows);
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

/* Then the pin of the bias, and our own GELU behind it: the same bits as the two operations. */
TEST(gelu_that_is_not_the_models_is_not_fused)
{
	for (fake_kind kind : { ERF, ROUGH_TANH, WRONG_AUX, NO_BIAS })
		for (int e = 1; e <= 3; e++) {
			struct backend *be = open_with(kind, pin_line(N, K, e));
			bool good = (e == 1 && kind != NO_BIAS) || (e == 2 && kind == WRONG_AUX);
			if (uses_the_library(be) != good)
				FAIL("kind %d, epilogue %d", kind, e);
			be->close(be);
		}
	struct backend *be = open_with(ERF, pin_line(N, K, 1) + pin_line(N, K, 2) + pin_line(N, K, 3));
	std::vector<float> want = product(be, 130, true, false, N);
	int calls = fake.calls;
	fused got = fused_product(be, 130, true, false);
	CHECK(fake.calls == calls + 2 && same_bits(got.y, want));
	array act(be, want);
	be->gelu(be, act.p, act.p, want.size());
	CHECK(same_bits(got.act, act.get()) && same_bits(fused_product(be, 130, false, false).y, act.get()));
	act.be->free(be, act.p);
	act.be = NULL;
	be->close(be);
}

TEST(other_shapes_stay_with_the_own_kernel)
{
	struct backend *be = open_with(HONEST, pin_line(N, K + 8, 0) + pin_line(N, K, 1));
	int calls = fake.calls;
	CHECK(calls > 0);
	product(be, 50, false, false, N);
	CHECK(fake.calls == calls);
	product(be, 50, true, false, N);
	CHECK(fake.calls == calls + 1);
	be->close(be);
}

/* ---- gradients --------------------------------------------------------------------------------------------------------------- */

enum { DX = 4, DW = 5 };

struct gradient_places { /* extra: floats between rows of dx, or before dW */
	int M, form, extra;
	bool add;
};
static std::vector<float> gradient(struct backend *be, const gradient_places &g)
{
	size_t n = g.form == DX ? (size_t)g.M * (K + g.extra) : (size_t)N * K + g.extra;
	array x(be, wide_floats(1, (size_t)g.M * K)), w(be, wide_floats(2, (size_t)N * K)),
		dy(be, wide_floats(3, (size_t)g.M * N)), out(be, wide_floats(4, n));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { g.M, g.form == DX ? K + g.extra : K, N, NULL, g.add ? 1.0f : 0.0f };
	if (g.form == DX)
		be->linear_dx(be, out.p, dy.p, &weight, &how);
	else
		be->linear_dw(be, out.p + g.extra, dy.p, x.p, N, K, &how);
	return out.get();
}

/* More tokens come before fewer: what they have left in the operands' blocks is not summed. */
TEST(pins_of_gradients_take_them_for_any_number_of_tokens)
{
	struct backend *own = open_with(HONEST, ""), *be = open_with(HONEST, pin_line(N, K, DX) + pin_line(N, K, DW));
	for (int M : { 300, 1, 5, 127, 128, 129 })
		for (int form = DX; form <= DW; form++)
			for (int add = 0; add < 2; add++) {
				gradient_places g = { M, form, 0, add != 0 };
				int calls = fake.calls;
				std::vector<float> got = gradient(be, g), want = gradient(own, g);
				CHECK(fake.calls - calls == (form == DW ? 1 : (M % 128 != 0) + (M >= 128)));
				if (!(error_of(got, want) < 1e-11))
					FAIL("M=%d form %d add %d: NMSE %.3g", M, form, add, error_of(got, want));
				for (int turn = 0; turn < 2; turn++) /* as a graph, too */
					CHECK(same_bits(got, gradient(be, g)));
			}
	int calls = fake.calls;
	product(be, 130, false, false, N);
	CHECK(fake.calls == calls && !fake.odd_rows);
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

/* What M tokens give where dy, x and a gelu are made as operands, or are not: the gradient of the weights, by which sums over tokens
 * go, and a product of what the library's own gelu has written over a source. */
static std::vector<float> from_makers(struct backend *be, int M, bool said, bool anew)
{
	array x(be, wide_floats(1, (size_t)M * K)), w(be, wide_floats(2, (size_t)N * K)),
		dy(be, wide_floats(3, (size_t)M * N)), out(be, wide_floats(4, (size_t)N * K)),
		bias(be, wide_floats(5, N)), y(be, wide_floats(6, (size_t)M * N)), z(be, wide_floats(7, (size_t)M * K));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, N, bias.p, 0 };
	auto say = [&](const float *p, int cols) {
		if (said)
			be->for_products(be, p, M, cols, false);
	};
	say(x.p, K);
	be->gelu(be, x.p, x.p, (size_t)M * K);
	say(dy.p, N);
	be->gelu(be, dy.p, dy.p, (size_t)M * N);
	be->linear_dw(be, out.p, dy.p, x.p, N, K, &how);
	be->linear_dx(be, z.p, dy.p, &weight, &how);
	say(dy.p, N);
	be->linear_into(be, y.p, dy.p, NULL, x.p, &weight, &how);
	how.beta = 1;
	if (anew) /* all is old, and is converted again */
		be->scale(be, w.p, 1, 1);
	be->linear_dx(be, z.p, dy.p, &weight, &how);
	std::vector<float> all = out.get(), more = z.get();
	all.insert(all.end(), more.begin(), more.end());
	return all;
}

TEST(operands_from_their_makers_are_the_librarys_too)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, DX) + pin_line(N, K, DW) +
						       pin_line(N, K, 3 /* gelu, its input kept */));
	CHECK(uses_the_library(be));
	for (int M :
	     { 300, 5, 129, 128, 1 }) { /* first those that are made: a conversion leaves zeros behind its rows */
		std::vector<float> got = from_makers(be, M, true, false);
		if (!same_bits(got, from_makers(be, M, false, true)))
			FAIL("M=%d: other bits", M);
	}
	be->close(be);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

/* A head of N words: dx, dW and log-probabilities. What an earlier one has left behind its tokens, in memory that it shares, is no number. */
static std::vector<float> tiled_head(struct backend *be, int M, bool numbers = true)
{
	std::vector<float> rows = wide_floats(1, (size_t)M * K), scales = wide_floats(3, (size_t)M), losses((size_t)M);
	std::vector<int32_t> targets((size_t)M);
	if (!numbers)
		rows.assign(rows.size(), NAN);
	array x(be, rows), w(be, wide_floats(2, (size_t)N * K)), scale(be, scales), dx(be, rows),
		dw(be, wide_floats(4, (size_t)N * K)), target(be, losses), logprob(be, wide_floats(5, 2 * (size_t)M));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	for (int t = 0; t < M; t++)
		targets[(size_t)t] = t % 4 == 3 ? -1 : t % N;
	be->upload(be, target.p, targets.data(), targets.size() * sizeof(int32_t));
	CHECK(be->head_tiles(be, &weight));
	int32_t *at = (int32_t *)(void *)target.p;
	double *into = (double *)(void *)logprob.p;
	if (numbers)
		be->head_back(be, into, dx.p, dw.p, 1, x.p, &weight, at, scale.p, M);
	else
		be->head_logprob(be, into, NULL, x.p, &weight, NULL, at, M);
	std::vector<float> all = dx.get(), more = dw.get(), last = logprob.get();
	all.insert(all.end(), more.begin(), more.end());
	all.insert(all.end(), last.begin(), last.end());
	return all;
}

TEST(a_head_by_tiles_has_its_gradients_from_the_library)
{
	struct backend *own = open_with(HONEST, ""), *be = open_with(HONEST, pin_line(N, K, DX) + pin_line(N, K, DW));
	CHECK(uses_the_library(be));
	for (int M : { 300, 1, 5, 127, 128, 129 }) {
		std::vector<float> want = tiled_head(own, M);
		for (int turn = 0; turn < 3; turn++) { /* as a graph, too */
			tiled_head(be, 300, false);
			int calls = fake.calls;
			std::vector<float> got = tiled_head(be, M);
			CHECK(turn || fake.calls - calls == 1 + (M % 128 != 0) + (M >= 128));
			size_t n = (size_t)M * K + (size_t)N * K;
			if (!(error_of(std::vector<float>(got.begin(), got.begin() + (ptrdiff_t)n),
				       std::vector<float>(want.begin(), want.begin() + (ptrdiff_t)n)) < 1e-11))
				FAIL("M=%d, turn %d", M, turn);
			CHECK(memcmp(got.data() + n, want.data() + n, (got.size() - n) * sizeof(float)) == 0);
		}
	}
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

TEST(a_head_whose_product_is_pinned_goes_by_rows)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, 0 /* plain */));
	struct kernels_weight head = { NULL, N, K, KERNELS_F32, 0 }, other = { NULL, N + 1, K, KERNELS_F32, 0 };
	CHECK(uses_the_library(be) && !be->head_tiles(be, &head) && be->head_tiles(be, &other));
	be->close(be);
}

TEST(a_pin_of_one_gradient_is_none_of_the_other_nor_of_other_weights)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, DX) + pin_line(K, N, DW));
	int calls = fake.calls;
	gradient(be, { 140, DW, 0, true });
	product(be, 140, true, false, N);
	CHECK(fake.calls == calls);
	gradient(be, { 140, DX, 0, true });
	CHECK(fake.calls == calls + 2);
	be->close(be);
}

/* Where the library would refuse: then it is not asked. */
TEST(gradients_of_other_strides_or_places_stay_with_the_own_kernel)
{
	struct backend *own = open_with(HONEST, ""), *be = open_with(HONEST, pin_line(N, K, DX) + pin_line(N, K, DW));
	int calls = fake.calls;
	for (int form = DX; form <= DW; form++)
		for (int extra : { 1, 3 })
			CHECK(same_bits(gradient(be, { 50, form, extra, true }),
					gradient(own, { 50, form, extra, true })));
	gradient(be, { 0, DW, 0, false });
	CHECK(fake.calls == calls);
	be->close(be);
	own->close(own);
}

TEST(a_pin_of_a_gradient_that_fails_its_test_is_not_used)
{
	static const struct {
		fake_kind kind;
		bool dx, dw;
	} bad[] = {
		{ WRONG_NUMBERS, true, true },  { NEVER_TWICE, true, true },    { FORGETS_C, true, true },
		{ REFUSES, true, true },        { REFUSES_LATER, true, true },  { ROWS_DECIDE, true, false },
		{ PLACE_DECIDES, true, false }, { SUMS_IN_PARTS, false, true }, { READS_BEYOND, false, true },
	};
	for (const auto &b : bad)
		for (int form = b.dx ? DX : DW; form <= (b.dw ? DW : DX); form++) {
			struct backend *own = open_with(b.kind, ""), *be = open_with(b.kind, pin_line(N, K, form));
			if (uses_the_library(be))
				FAIL("kind %d was not seen, form %d", b.kind, form);
			CHECK(same_bits(gradient(be, { 140, form, 0, true }), gradient(own, { 140, form, 0, true })));
			be->close(be);
			own->close(own);
			CHECK(fake.objects == 0 && emu_left() == 0);
		}
}

/* A product that the own kernel would finish with other bits */
TEST(a_refusal_in_the_middle_of_a_run_is_an_error_that_says_which_product)
{
	for (int form : { 0, (int)DX, (int)DW }) {
		struct backend *be = open_with(HONEST, pin_line(N, K, form));
		CHECK(uses_the_library(be));
		fake.kind = REFUSES_LATER;
		{
			array x(be, wide_floats(1, 30 * K)), w(be, wide_floats(2, N * K)),
				dy(be, wide_floats(3, 30 * N)), dw(be, wide_floats(4, N * K));
			struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
			struct kernels_linear how = { 30, K, N, NULL, 0 };
			if (form == 0)
				be->linear(be, dy.p, x.p, &weight, &how);
			else if (form == DX)
				be->linear_dx(be, x.p, dy.p, &weight, &how);
			else
				be->linear_dw(be, dw.p, dy.p, x.p, N, K, &how);
			CHECK(be->sync(be) == ERR_UNAVAILABLE);
			const char *which = form == 0    ? "status 7 for a product of 128 x 24 x 40"
					    : form == DX ? "status 7 for a product of 128 x 40 x 24"
							 : "status 7 for a product of 24 x 40 x 128";
			if (said.find(which) == std::string::npos)
				FAIL("form %d: %s", form, said.c_str());
		}
		be->close(be);
		CHECK(fake.objects == 0 && emu_left() == 0);
	}
}

TEST(a_pin_that_fails_its_test_is_not_used)
{
	for (fake_kind kind :
	     { ROWS_DECIDE, PLACE_DECIDES, WRONG_NUMBERS, NEVER_TWICE, FORGETS_C, REFUSES, REFUSES_LATER }) {
		struct backend *own = open_with(kind, ""), *be = open_with(kind, pin_line(N, K, 0));
		if (uses_the_library(be))
			FAIL("kind %d was not seen", kind);
		CHECK(same_bits(product(be, 40, false, true, N), product(own, 40, false, true, N)));
		be->close(be);
		own->close(own);
		CHECK(fake.objects == 0 && emu_left() == 0);
	}
}

TEST(pins_of_other_devices_versions_or_with_a_split_of_k_are_passed_over)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, 0, 1, 120800) + pin_line(N, K, 0, 1, 130100, 132) +
						       pin_line(N, K, 0, 2));
	CHECK(!uses_the_library(be));
	be->close(be);
}

TEST(the_name_of_the_class_changes_with_the_pins)
{
	struct backend *a = open_with(HONEST, pin_line(N, K, 0)),
		       *b = open_with(HONEST, pin_line(N, K, 0) + pin_line(N, K, 1));
	struct backend *c = open_with(HONEST, pin_line(N, K, 0)),
		       *d = open_with(HONEST, pin_line(N, K, 0) + pin_line(N, K, DW));
	CHECK(strcmp(a->numerics, b->numerics) != 0);
	CHECK(strcmp(a->numerics, d->numerics) != 0 && strcmp(b->numerics, d->numerics) != 0);
	CHECK(strcmp(a->numerics, c->numerics) == 0);
	CHECK(strlen(b->numerics) < 120);
	a->close(a), b->close(b), c->close(c), d->close(d);
}

TEST(a_damaged_file_of_pins_is_an_error_with_its_line)
{
	for (const char *bad :
	     { "pin 90 4\n", "pin 90 4 130100 24 40 6 66 20 1 0 0 0 35 0 2\n",
	       "pin 90 4 130100 24 40 0 66 20 1 0 0 0 35 0 2 9\n", "nonsense\n",
	       "pin 90 4 130100 24 40 0 66 20 4294967297 0 0 0 35 0 2\n",
	       "pin 90 4 130100 24 40 0 66 -7 1 0 0 0 35 0 2\n", "pin 90 4 130100 24 40 0 66 20 1 0 0 0 35 0 70000\n",
	       "pin 90 4 130100 2147483647 40 0 66 20 1 0 0 0 35 0 2\n" }) {
		struct backend *be = NULL;
		write_pins("# " + std::string(600, 'x') + " pin\n" + std::string(bad));
		CHECK(open_cuda(&be, KERNELS_CLASS_BF16) == ERR_ENV && !be);
		CHECK(said.find(pins_path() + ":2 is no pin") == 0);
		CHECK(said_fix.find("take the file away") != std::string::npos);
	}
	struct backend *be = NULL;
	setenv("EMU_PINS", "/", 1);
	CHECK(open_cuda(&be, KERNELS_CLASS_BF16) == ERR_ENV && !be);
	CHECK(said.find("/ cannot be read") == 0);
	CHECK(emu_left() == 0);
}

/* Of other devices there may be any number. */
TEST(more_pins_than_there_is_room_for_are_an_error_with_the_line)
{
	struct backend *be = NULL;
	std::string others, pins;
	for (int i = 0; i < 300; i++)
		others += pin_line(N, K, 0, 1, 130100, 132);
	for (int i = 0; i < 256; i++)
		pins += pin_line(N + i, K, 0, 1,
				 120800); /* of another version: they are judged later, and pass no test here */
	write_pins(others + pins);
	CHECK(open_cuda(&be, KERNELS_CLASS_BF16) == 0 && !uses_the_library(be));
	be->close(be);
	be = NULL;
	write_pins(others + pins + "# a remark\n" + pin_line(N, K, 0));
	CHECK(open_cuda(&be, KERNELS_CLASS_BF16) == ERR_ENV && !be);
	CHECK(said.find(pins_path() + ":558 is one pin more than the 256 that a device may have") == 0);
	CHECK(said_fix.find("take the file away") != std::string::npos);
	CHECK(emu_left() == 0);
}

TEST(only_the_class_bf16_asks_the_library)
{
	write_pins(pin_line(N, K, 0));
	for (int cls : { KERNELS_CLASS_F32, KERNELS_CLASS_TF32 }) {
		struct backend *be = cuda_or_stop(cls);
		CHECK(!uses_the_library(be));
		be->close(be);
	}
}

extern "C" bool assay_cuda_tune(struct backend *be, int n, int k, int epilogue, FILE *f);

TEST(tuning_prints_a_pin_that_is_taken_afterwards)
{
	struct backend *be = open_with(HONEST, "");
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	for (int form : { 3, (int)DX, (int)DW })
		CHECK(assay_cuda_tune(be, N, K, form, f));
	fclose(f);
	be->close(be);
	for (const char *line : { " 24 40 3 66 20 1 0 ", " 24 40 4 66 20 1 0 ", " 24 40 5 66 20 1 0 " })
		CHECK(std::string(text).find(line) != std::string::npos);
	be = open_with(HONEST, text);
	CHECK(uses_the_library(be));
	int calls = fake.calls;
	gradient(be, { 128, DX, 0, true }), gradient(be, { 128, DW, 0, true });
	CHECK(fake.calls == calls + 2);
	be->close(be);
	free(text);
	be = open_with(ROWS_DECIDE, "");
	CHECK(!assay_cuda_tune(be, N, K, 0, stdout));
	be->close(be);
	be = open_with(SUMS_IN_PARTS, "");
	CHECK(!assay_cuda_tune(be, N, K, DW, stdout));
	be->close(be);
	unlink(pins_path().c_str());
	CHECK(fake.objects == 0 && emu_left() == 0);
}

/* On a device that has clusters; on one that has none the number says nothing. */
TEST(tuning_does_not_try_what_leaves_the_shape_of_clusters_to_the_library)
{
	const int major = emu_machine.major;
	for (int now : { 9, 8 }) {
		emu_machine.major = now;
		struct backend *be = open_with(HONEST, "");
		char *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);
		for (int form : { 0, (int)DX, (int)DW })
			CHECK(assay_cuda_tune(be, N, K, form, f));
		fclose(f);
		CHECK(fake.chose == (now < 9));
		CHECK(now < 9 || std::string(text).find(" 0 0\n") == std::string::npos);
		be->close(be);
		free(text);
	}
	emu_machine.major = major;
	unlink(pins_path().c_str());
	CHECK(fake.objects == 0 && emu_left() == 0);
}

TEST_MAIN
