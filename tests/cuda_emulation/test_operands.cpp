/* test_operands.cpp: operands of products that are written by what makes them (kernels.h, for_products): the bits of those that are
 * converted, and never one that is stale. In the emulation, what is left undefined is NaN. */
#include "kernel_test.h"
#include "kernels/cuda_int.h"

enum said { NOTHING, SAID, SAID_ALONE };

static struct backend *bf16(void)
{
	return device(KERNELS_CLASS_BF16);
}

/* ---- one operation, and all products of what it makes --------------------------------------------------------------------------- */

/* x[rows,cols] on either side of the three products; their arrays are there before x is made, since memory that is given is zeroed */
struct products {
	enum { N = 24, K = 16 };
	struct backend *be;
	int rows, cols;
	array<float> w, back, other, y, dx, dw, dv;
	products(struct backend *b, int r, int c)
	    : be(b), rows(r), cols(c), w(b, wide((size_t)(N * c), 51)), back(b, wide((size_t)(c * K), 52)),
	      other(b, wide((size_t)(r * K), 53)), y(b, (size_t)(r * N)), dx(b, (size_t)(r * K)),
	      dw(b, (size_t)(c * K)), dv(b, (size_t)(c * K))
	{
	}
	void of(const float *x)
	{
		struct kernels_weight to = { w.p, N, cols, KERNELS_F32, 0 }, from = { back.p, cols, K, KERNELS_F32, 0 };
		struct kernels_linear of_y = { rows, cols, N, NULL, 0 }, of_x = { rows, K, cols, NULL, 0 },
				      as_x = { rows, cols, K, NULL, 0 };
		be->linear(be, y, x, &to, &of_y);
		be->linear_dx(be, dx, x, &from, &of_x);
		be->linear_dw(be, dw, x, other, cols, K, &of_x);
		be->linear_dw(be, dv, other, x, K, cols, &as_x);
	}
	floats get(void) const
	{
		floats all = y.get();
		append(all, dx.get()), append(all, dw.get()), append(all, dv.get());
		return all;
	}
};

struct around { /* the operation */
	std::function<void(void)> before, behind;
};

/* What is made of T rows of C, in up to two arrays of that size, the first being also an input of those that work in place */
typedef std::function<void(struct backend *be, float *const made[2], int T, int C, const around &a)> maker;

struct made_by {
	const char *name;
	int arrays;
	bool any_width; /* C need not be a multiple of 8 */
	maker make;
};

static const made_by makers[] = {
	{ "rmsnorm", 1, true,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> x(be, wide((size_t)(T * C), 1)), w(be, tame((size_t)C, 2)), r(be, (size_t)T);
		  a.before();
		  be->rmsnorm(be, made[0], r, x, w, T, C, 1e-5f);
		  a.behind();
	  } },
	{ "layernorm", 1, true,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> x(be, wide((size_t)(T * C), 1)), w(be, tame((size_t)C, 2)), b(be, tame((size_t)C, 3)),
			  m(be, (size_t)T), r(be, (size_t)T);
		  a.before();
		  be->layernorm(be, made[0], m, r, x, w, b, T, C, 1e-5f);
		  a.behind();
	  } },
	{ "xent_back", 1, true,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  ints at((size_t)T);
		  for (int t = 0; t < T; t++)
			  at[(size_t)t] = t == 2 ? -1 : t * 31 % C;
		  array<int32_t> target(be, at);
		  array<float> scale(be, tame((size_t)T, 4));
		  a.before();
		  be->xent_back(be, made[0], target, scale, T, C);
		  a.behind();
	  } },
	{ "swiglu", 1, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> gate(be, tame((size_t)(T * C), 1));
		  a.before();
		  be->swiglu(be, made[0], gate, made[0], (size_t)(T * C));
		  a.behind();
	  } },
	{ "swiglu_back", 2, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> gate(be, tame((size_t)(T * C), 1)), up(be, wide((size_t)(T * C), 2));
		  a.before();
		  be->swiglu_back(be, made[1], made[0], made[0], gate, up, (size_t)(T * C));
		  a.behind();
	  } },
	{ "gelu", 1, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  a.before();
		  be->gelu(be, made[0], made[0], (size_t)(T * C));
		  a.behind();
	  } },
	{ "gelu_back", 1, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> x(be, tame((size_t)(T * C), 1));
		  a.before();
		  be->gelu_back(be, made[0], made[0], x, (size_t)(T * C));
		  a.behind();
	  } },
	{ "linear_into, gelu kept beside", 1, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> x(be, tame((size_t)(T * 40), 1)), w(be, wide((size_t)(C * 40), 2)),
			  b(be, tame((size_t)C, 3)), y(be, (size_t)(T * C));
		  struct kernels_weight weight = { w.p, C, 40, KERNELS_F32, 0 };
		  struct kernels_linear how = { T, 40, C, b.p, 0 };
		  a.before();
		  be->linear_into(be, y, made[0], NULL, x, &weight, &how);
		  a.behind();
	  } },
	{ "linear_into, gelu alone", 1, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  array<float> x(be, tame((size_t)(T * 40), 1)), w(be, wide((size_t)(C * 40), 2));
		  struct kernels_weight weight = { w.p, C, 40, KERNELS_F32, 0 };
		  struct kernels_linear how = { T, 40, C, NULL, 0 };
		  a.before();
		  be->linear_into(be, made[0], made[0], made[0], x, &weight, &how);
		  a.behind();
	  } },
	{ "attn", 1, false,
	  [](struct backend *be, float *const made[2], int T, int C, const around &a) {
		  int heads = C % 2 ? 1 : 2, D = C / heads;
		  array<float> q(be, tame((size_t)(T * C), 1)), k(be, tame((size_t)(T * D), 2)),
			  v(be, wide((size_t)(T * D), 3));
		  const int32_t start[3] = { 0, T / 3, T };
		  struct kernels_seqs seqs = { 2, start, start, NULL, NULL, NULL, 0 };
		  struct kernels_attn shape = { heads, 1, D, C, D, C, 0.3f, 0 };
		  a.before();
		  be->attn(be, made[0], NULL, q, k, v, &seqs, &shape);
		  a.behind();
	  } },
};

struct result {
	floats products, made[2];
	uint64_t launches;
};

static struct result run(const made_by &m, enum said how, int rows, int cols)
{
	struct backend *be = bf16();
	array<float> a(be, tame((size_t)(rows * cols), 8)), b(be, tame((size_t)(rows * cols), 9));
	products of_a(be, rows, cols), of_b(be, rows, cols);
	float *const made[2] = { a.p, b.p };
	struct result r;
	uint64_t first = 0;
	m.make(be, made, rows, cols,
	       { [&] {
			first = cuda_launches(be);
			for (int i = 0; i < m.arrays && how != NOTHING; i++)
				be->for_products(be, made[i], rows, cols, how == SAID_ALONE);
		},
		 [&] {
			 of_a.of(a.p);
			 if (m.arrays > 1)
				 of_b.of(b.p);
			 r.launches = cuda_launches(be) - first;
		 } });
	r.products = of_a.get();
	append(r.products, of_b.get());
	r.made[0] = a.get(), r.made[1] = b.get();
	return r;
}

static bool all_nan(const floats &v)
{
	for (float e : v)
		if (e == e)
			return false;
	return true;
}

/* Two arrays are two operands of three: that of a product's other side is the third. */
TEST(an_operand_from_its_maker_gives_the_bits_of_a_conversion)
{
	static const int shapes[][2] = { { 20, 72 }, { 1, 8 }, { 3, 37 } };
	for (int i = 0; i < 8; i++)
		run(makers[0], NOTHING, 20,
		    72); /* all operands' blocks grow, since what they give back counts as a launch */
	for (const made_by &m : makers)
		for (const auto &s : shapes) {
			run(m, NOTHING, s[0], s[1]),
				run(m, SAID, s[0], s[1]); /* and so do others, and copies are staged */
			struct result want = run(m, NOTHING, s[0], s[1]), also = run(m, SAID, s[0], s[1]);
			bool taken = m.any_width || s[1] % 8 == 0;
			if (!same_bits(also.products, want.products) || !same_bits(also.made[0], want.made[0]) ||
			    !same_bits(also.made[1], want.made[1]))
				FAIL("%s %dx%d: other bits", m.name, s[0], s[1]);
			if (also.launches + (taken ? (uint64_t)m.arrays : 0) != want.launches)
				FAIL("%s %dx%d: %d launches, %d without", m.name, s[0], s[1], (int)also.launches,
				     (int)want.launches);
			for (int i = 0; i < ORDERS; i++) {
				set_order(i);
				struct result alone = run(m, SAID_ALONE, s[0], s[1]);
				if (!same_bits(alone.products, want.products))
					FAIL("%s %dx%d: other bits, alone", m.name, s[0], s[1]);
				if (taken && !(all_nan(alone.made[0]) && (m.arrays < 2 || all_nan(alone.made[1]))))
					FAIL("%s %dx%d: what nobody reads is there", m.name, s[0], s[1]);
				if (!taken && !same_bits(alone.made[0], want.made[0]))
					FAIL("%s %dx%d: what is converted is not there", m.name, s[0], s[1]);
			}
			set_order(0);
		}
}

TEST(other_classes_convert_nothing_and_leave_nothing_out)
{
	for (int cls : { KERNELS_CLASS_F32, KERNELS_CLASS_TF32 }) {
		struct backend *be = device(cls);
		array<float> x(be, tame(8 * 16, 1)), w(be, tame(16, 2)), r(be, 8), out(be, 8 * 16), said(be, 8 * 16);
		be->rmsnorm(be, out, r, x, w, 8, 16, 1e-5f);
		be->for_products(be, said, 8, 16, true);
		be->rmsnorm(be, said, r, x, w, 8, 16, 1e-5f);
		CHECK(same_bits(out.get(), said.get()));
	}
}

/* ---- the gradient of a gated layer: three operands at once ------------------------------------------------------------------------ */

enum { T = 21, C = 24, F = 40 };

static floats gated(enum said how)
{
	struct backend *be = bf16();
	array<float> x(be, wide(T * C, 1)), w(be, tame(C, 2)), r(be, T), h(be, T * C), gate(be, tame(T * F, 3)),
		up(be, tame(T * F, 4)), dup(be, wide(T * F, 5)), dgate(be, T * F);
	array<float> wg(be, wide(F * C, 6)), wu(be, wide(F * C, 7)), dh(be, T * C), dwg(be, F * C), dwu(be, F * C),
		db(be, F), other(be, wide(T * F, 8));
	struct kernels_weight g = { wg.p, F, C, KERNELS_F32, 0 }, u = { wu.p, F, C, KERNELS_F32, 0 };
	struct kernels_linear dx = { T, C, F, NULL, 0 };
	auto say = [&](const float *p, int cols) {
		if (how != NOTHING)
			be->for_products(be, p, T, cols, how == SAID_ALONE);
	};
	be->linear_dw(be, dwg, other, x, F, C, &dx); /* two are good already, as behind the layer's last product */
	say(dup, F), say(dgate, F);
	be->swiglu_back(be, dgate, dup, dup, gate, up, T * F);
	say(h, C);
	be->rmsnorm(be, h, r, x, w, T, C, 1e-5f);
	be->linear_dx(be, dh, dup, &u, &dx);
	be->linear_dw(be, dwu, dup, h, F, C, &dx);
	be->linear_db(be, db, other, F, T, F); /* no product, and it hinders none */
	dx.beta = 1;
	be->linear_dx(be, dh, dgate, &g, &dx);
	dx.beta = 0;
	be->linear_dw(be, dwg, dgate, h, F, C, &dx);
	floats all = dh.get();
	append(all, dwu.get()), append(all, dwg.get()), append(all, db.get());
	return all;
}

TEST(the_gradient_of_a_gated_layer_keeps_three_operands)
{
	floats want = gated(NOTHING);
	CHECK_SAME_BITS(gated(SAID), want, "other bits");
	CHECK_SAME_BITS(gated(SAID_ALONE), want, "other bits, alone");
}

/* ---- staleness ------------------------------------------------------------------------------------------------------------------------ */

/* What is at hand; memory that is asked for in between would be a launch of its own */
struct things {
	const float *other, *square, *norm; /* [T,C] [C,C] [C] */
	float *room;                        /* [T,C] */
	const int32_t *rows;                /* [T], all of `other` */
};
/* h = norm(x), of which it is said that products take it; then something else happens to h; then a product takes it. */
typedef std::function<void(struct backend *be, float *h, const things &a)> event;

static floats after(const event &happens, enum said how)
{
	struct backend *be = bf16();
	array<float> x(be, wide(T * C, 1)), w(be, tame(C, 2)), r(be, T), both(be, 2 * T * C), other(be, wide(T * C, 3)),
		weight(be, wide(F * C, 4)), y(be, T * F), room(be, T * C), square(be, wide(C * C, 6));
	ints order(T);
	for (int t = 0; t < T; t++)
		order[(size_t)t] = T - 1 - t;
	array<int32_t> rows(be, order);
	float *h = both;
	struct kernels_weight k = { weight.p, F, C, KERNELS_F32, 0 };
	struct kernels_linear l = { T, C, F, NULL, 0 };
	be->zero(be, both, 2 * T * C * sizeof(float));
	be->linear(be, y, other, &k, &l); /* the first operand: what is made later takes its place, and not that of h */
	if (how != NOTHING)
		be->for_products(be, h, T, C, how == SAID_ALONE);
	be->rmsnorm(be, h, r, x, w, T, C, 1e-5f);
	happens(be, h, { other, square, w, room, rows });
	be->linear(be, y, h, &k, &l);
	return y.get();
}

/* An operation that was said to make something for products leaves other operands alone, but not those that it writes over */
static void norm_of(struct backend *be, float *out, const things &a, int rows, bool says)
{
	if (says)
		be->for_products(be, out, rows, C, false);
	be->rmsnorm(be, out, a.room, a.other, a.norm, rows, C, 1e-5f);
}

/* y = x W^T of some rows, y += or gelu of it */
static void product_of(struct backend *be, float *y, const float *x, const things &a, int rows, float beta)
{
	struct kernels_weight k = { a.square, C, C, KERNELS_F32, 0 };
	struct kernels_linear l = { rows, C, C, NULL, beta };
	be->linear(be, y, x, &k, &l);
}

TEST(what_happens_to_the_source_happens_to_the_operand)
{
	static const struct {
		const char *name;
		event happens;
	} events[] = {
		{ "nothing", [](struct backend *, float *, const things &) {} },
		{ "add", [](struct backend *be, float *h, const things &a) { be->add(be, h, a.other, T * C); } },
		{ "scale", [](struct backend *be, float *h, const things &) { be->scale(be, h, T * C, 3); } },
		{ "copy", [](struct backend *be, float *h, const things &a) { be->copy(be, h, a.other, T * C * 4); } },
		{ "zero", [](struct backend *be, float *h, const things &) { be->zero(be, h, T * C * 4); } },
		{ "dropout",
		  [](struct backend *be, float *h, const things &) { be->dropout(be, h, h, T * C, 7, 0.5f); } },
		{ "a norm, said", [](struct backend *be, float *h, const things &a) { norm_of(be, h, a, T, true); } },
		{ "a norm, not said",
		  [](struct backend *be, float *h, const things &a) { norm_of(be, h, a, T, false); } },
		{ "a norm of its last rows, said",
		  [](struct backend *be, float *h, const things &a) { norm_of(be, h + C, a, T, true); } },
		{ "a norm of its first row, said",
		  [](struct backend *be, float *h, const things &a) { norm_of(be, h, a, 1, true); } },
		{ "gelu in place, said",
		  [](struct backend *be, float *h, const things &) {
			  be->for_products(be, h, T, C, false);
			  be->gelu(be, h, h, T * C);
		  } },
		{ "a product",
		  [](struct backend *be, float *h, const things &a) { product_of(be, h, a.other, a, T, 1); } },
		{ "a product of few rows",
		  [](struct backend *be, float *h, const things &a) { product_of(be, h + 3 * C, a.other, a, 2, 0); } },
		{ "a product of it, and gelu in place of it",
		  [](struct backend *be, float *h, const things &a) {
			  struct kernels_weight k = { a.square, C, C, KERNELS_F32, 0 };
			  struct kernels_linear l = { T, C, C, NULL, 0 };
			  be->linear_into(be, a.room, h, NULL, h, &k, &l);
		  } },
		{ "a gradient of weights that stands there",
		  [](struct backend *be, float *h, const things &a) {
			  struct kernels_linear l = { T, C, C, NULL, 0 };
			  be->linear_dw(be, h, a.other, a.other, C - 4, C, &l);
		  } },
		{ "sums for a bias that stands there",
		  [](struct backend *be, float *h, const things &a) { be->linear_db(be, h + C, a.other, C, T, C); } },
		{ "an upload",
		  [](struct backend *be, float *h, const things &) {
			  floats v = wide(T * C, 9);
			  be->upload(be, h, v.data(), v.size() * sizeof(float));
		  } },
	};
	for (const auto &e : events)
		if (!same_bits(after(e.happens, SAID), after(e.happens, NOTHING)))
			FAIL("%s: a stale operand", e.name);
}

/* Said alone, and made anew by somebody of whom nothing was said: what is there now is taken. */
TEST(what_was_alone_once_may_be_an_array_again)
{
	const event again = [](struct backend *be, float *h, const things &a) {
		be->scale(be, a.room, T, 2);
		norm_of(be, h, a, T, false);
	};
	CHECK_SAME_BITS(after(again, SAID_ALONE), after(again, NOTHING), "other bits");
}

/* Said alone, and written over by whoever knows nothing of operands: all of it is an array again, and nothing less is. */
TEST(what_was_alone_and_is_written_over_is_an_array_again)
{
	static const struct {
		const char *name;
		event happens;
	} events[] = {
		{ "copy", [](struct backend *be, float *h, const things &a) { be->copy(be, h, a.other, T * C * 4); } },
		{ "copies of its rows",
		  [](struct backend *be, float *h, const things &a) {
			  for (int t = 0; t < T; t++)
				  be->copy(be, h + t * C, a.other + t * C, C * 4);
		  } },
		{ "zero", [](struct backend *be, float *h, const things &) { be->zero(be, h, T * C * 4); } },
		{ "zero beyond its end",
		  [](struct backend *be, float *h, const things &) { be->zero(be, h, T * C * 8); } },
		{ "upload",
		  [](struct backend *be, float *h, const things &) {
			  floats v = wide(T * C, 9);
			  be->upload(be, h, v.data(), v.size() * sizeof(float));
		  } },
		{ "dropout",
		  [](struct backend *be, float *h, const things &a) { be->dropout(be, h, a.other, T * C, 7, 0.5f); } },
		{ "gather",
		  [](struct backend *be, float *h, const things &a) { be->gather(be, h, a.other, a.rows, T, C); } },
		{ "embed",
		  [](struct backend *be, float *h, const things &a) {
			  struct kernels_weight table = { a.other, T, C, KERNELS_F32, 0 };
			  be->embed(be, h, &table, a.rows, T, false);
		  } },
		{ "a norm of heads",
		  [](struct backend *be, float *h, const things &a) {
			  be->headnorm(be, h, a.room, a.other, a.norm, C, T, 2, C / 2, 1e-5f);
		  } },
		{ "a norm, not said",
		  [](struct backend *be, float *h, const things &a) { norm_of(be, h, a, T, false); } },
		{ "a product",
		  [](struct backend *be, float *h, const things &a) { product_of(be, h, a.other, a, T, 0); } },
	};
	for (const auto &e : events) {
		floats want = after(e.happens, NOTHING), got = after(e.happens, SAID_ALONE);
		if (!same_bits(got, want))
			FAIL("%s: other bits", e.name);
	}
}

/* It is for the next operation, and for an array of that size. */
TEST(what_was_said_too_early_or_of_another_size_is_not_heard)
{
	struct backend *be = bf16();
	array<float> x(be, wide(T * C, 1)), w(be, tame(C, 2)), r(be, T), want(be, T * C), got(be, T * C);
	be->rmsnorm(be, want, r, x, w, T, C, 1e-5f);
	be->for_products(be, got, T, C, true);
	be->scale(be, r, T, 1);
	be->rmsnorm(be, got, r, x, w, T, C, 1e-5f);
	CHECK(same_bits(got.get(), want.get()));
	be->for_products(be, got, T - 1, C, true);
	be->rmsnorm(be, got, r, x, w, T, C, 1e-5f);
	CHECK(same_bits(got.get(), want.get()));
	be->for_products(be, got + C, T, C, true);
	be->rmsnorm(be, got, r, x, w, T, C, 1e-5f);
	CHECK(same_bits(got.get(), want.get()));
}

/* The contract broken: an error, and never numbers that were not there. */
TEST(a_product_of_what_is_not_there_any_more_is_an_error)
{
	struct backend *be = bf16();
	array<float> x(be, wide(T * C, 1)), w(be, tame(C, 2)), r(be, T), both(be, 2 * T * C), y(be, T * F),
		weight(be, wide(F * C, 4));
	float *h = both;
	struct kernels_weight k = { weight.p, F, C, KERNELS_F32, 0 };
	struct kernels_linear l = { T, C, F, NULL, 0 };
	const std::function<void(void)> events[] = {
		[&] { be->scale(be, r, T, 1); },
		[&] { be->scale(be, h, T * C, 2); },
		[&] { be->add(be, h, x, T * C); },
		[&] { be->copy(be, h, x, (T * C - 1) * sizeof(float)); },
		[&] { be->zero(be, h + 1, (T * C - 1) * sizeof(float)); },
		[&] { be->zero(be, h + C, C * sizeof(float)); },
		[&] { /* as many operands as there are room for, and one more */
		      for (int rows = 1; rows < 6; rows++) {
			      struct kernels_linear few = { rows, C, F, NULL, 0 };
			      be->linear(be, y, x, &k, &few);
		      }
		},
		[&] {
			h = both + T * C / 2; /* which begins within it */
		},
	};
	for (const auto &happens : events) {
		h = both;
		be->for_products(be, h, T, C, true);
		be->rmsnorm(be, h, r, x, w, T, C, 1e-5f);
		happens();
		be->linear(be, y, h, &k, &l);
		if (be->sync(be) != ERR_BUG)
			FAIL("event %d: no error", (int)(&happens - events));
		CHECK(be->sync(be) == 0);
	}
}

/* What nobody remembers to be undefined is written. */
TEST(no_more_is_left_undefined_than_is_remembered)
{
	enum { MANY = 40, ROWS = 2 };
	struct backend *be = bf16();
	array<float> x(be, wide(ROWS * C, 1)), w(be, tame(C, 2)), r(be, ROWS), all(be, MANY * ROWS * C),
		y(be, ROWS * F), weight(be, wide(F * C, 4));
	struct kernels_weight k = { weight.p, F, C, KERNELS_F32, 0 };
	struct kernels_linear l = { ROWS, C, F, NULL, 0 };
	int errors = 0, there = 0;
	for (int i = 0; i < MANY; i++) {
		be->for_products(be, all + i * ROWS * C, ROWS, C, true);
		be->rmsnorm(be, all + i * ROWS * C, r, x, w, ROWS, C, 1e-5f);
	}
	be->scale(be, r, ROWS, 1);
	floats made = all.get();
	for (int i = 0; i < MANY; i++) {
		bool is_nan = all_nan(slice(made, (size_t)(i * ROWS * C), ROWS * C));
		be->linear(be, y, all + i * ROWS * C, &k, &l);
		bool refused = be->sync(be) == ERR_BUG;
		if (is_nan != refused)
			FAIL("array %d: undefined %d, refused %d", i, is_nan, refused);
		errors += refused, there += !refused;
	}
	CHECK(errors > 0 && there > 0);
}

/* Each time the end of what was undefined before stays so. It is one with what comes before it, and does not fill the list. */
TEST(an_array_of_ever_fewer_rows_is_left_undefined_each_time)
{
	enum { MOST = 40 };
	struct backend *be = bf16();
	array<float> x(be, wide(MOST * C, 1)), w(be, tame(C, 2)), r(be, MOST), h(be, MOST * C);
	for (int rows = MOST; rows > 0; rows--) {
		be->for_products(be, h, rows, C, true);
		be->rmsnorm(be, h, r, x, w, rows, C, 1e-5f);
		if (!all_nan(slice(h.get(), 0, (size_t)(rows * C))))
			FAIL("%d rows of %d are written", rows, MOST);
	}
}

/* An operation of which something was said leaves other operands as they are: the good ones good, and the old ones old. */
TEST(a_said_operation_does_not_raise_what_is_old)
{
	const event other = [](struct backend *be, float *h, const things &a) {
		be->scale(be, h, T * C, 3);
		norm_of(be, h + T * C, a, T, true);
	};
	CHECK_SAME_BITS(after(other, SAID), after(other, NOTHING), "a stale operand");
}

/* The same rows and columns, further apart, are another operand. */
TEST(what_a_stride_tells_apart)
{
	struct backend *be = bf16();
	floats got[2];
	for (int turn = 0; turn < 2; turn++) {
		array<float> x(be, wide(2 * T * C, 1)), y(be, T * F), z(be, T * F), weight(be, wide(F * C, 4));
		struct kernels_weight k = { weight.p, F, C, KERNELS_F32, 0 };
		struct kernels_linear near = { T, C, F, NULL, 0 }, far = { T, 2 * C, F, NULL, 0 };
		if (!turn)
			be->linear(be, z, x, &k, &near);
		be->linear(be, y, x, &k, &far);
		got[turn] = y.get();
	}
	CHECK(same_bits(got[0], got[1]));
}

/* Memory that was given back, and is somebody else's */
TEST(an_operand_goes_with_its_memory)
{
	struct backend *be = bf16();
	floats got[2];
	array<float> x(be, wide(T * C, 1)), w(be, tame(C, 2)), r(be, T), y(be, T * F), weight(be, wide(F * C, 4));
	struct kernels_weight k = { weight.p, F, C, KERNELS_F32, 0 };
	struct kernels_linear l = { T, C, F, NULL, 0 };
	for (int turn = 0; turn < 2; turn++) {
		if (turn) {
			array<float> h(be, T * C);
			be->for_products(be, h, T, C, true);
			be->rmsnorm(be, h, r, x, w, T, C, 1e-5f);
			be->linear(be, y, h, &k, &l);
		}
		array<float> h(be, wide(T * C, 7));
		be->linear(be, y, h, &k, &l);
		got[turn] = y.get();
	}
	CHECK(same_bits(got[0], got[1]));
}

/* ---- graphs -------------------------------------------------------------------------------------------------------------------------- */

/* Steps whose operands are written by their makers, in arrays that trade places: every address of an operand is another one. */
static floats steps(struct backend *be, enum said how)
{
	array<float> x(be, wide(T * C, 1)), w(be, tame(C, 2)), r(be, T), a(be, T * C), b(be, T * C),
		weight(be, tame(C * C, 4));
	struct kernels_weight k = { weight.p, C, C, KERNELS_F32, 0 };
	struct kernels_linear l = { T, C, C, NULL, 0 };
	for (int step = 0; step < 7; step++)
		for (int i = 0; i < 1 + step % 2; i++) {
			float *h = (step + i) % 2 ? a : b;
			if (how != NOTHING)
				be->for_products(be, h, T, C, how == SAID_ALONE);
			be->rmsnorm(be, h, r, x, w, T, C, 1e-5f);
			be->linear(be, x, h, &k, &l);
			if (how != NOTHING)
				be->for_products(be, h, T, C, false);
			be->gelu(be, h, x, T * C);
			be->linear_dx(be, x, h, &k, &l);
			if (i == step % 2 && be->sync(be))
				FAIL("step %d", step);
		}
	return x.get();
}

TEST(graphs_of_such_steps_have_the_bits_of_single_launches)
{
	static const char *const graphs[] = { "0", "1" };
	floats want = steps(bf16(), NOTHING);
	for (const char *on : graphs)
		for (int how = SAID; how <= SAID_ALONE; how++) {
			struct backend *be;
			const struct kernels_want what = { 0, KERNELS_CLASS_BF16, test_backend_failed };
			setenv("ASSAY_CUDA_GRAPHS", on, 1);
			if (assay_cuda_open(&be, &what))
				exit(1);
			unsetenv("ASSAY_CUDA_GRAPHS");
			uint64_t launched = emu_graph_launches();
			CHECK_SAME_BITS(steps(be, (enum said)how), want, "graphs %s: other bits", on);
			CHECK((emu_graph_launches() > launched) == (*on == '1'));
			be->close(be);
		}
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------- */

/* Memory is short when a kernel is loaded: the caller goes on with less, by the same kernel. */
TEST(a_product_whose_kernel_found_no_memory_is_tried_again)
{
	enum { ROWS = 700 }; /* by the largest tile, which nothing else here takes */
	const struct kernels_want want = { 0, KERNELS_CLASS_BF16, test_backend_failed };
	struct backend *be;
	CHECK(assay_cuda_open(&be, &want) == 0);
	{
		array<float> x(be, wide(ROWS * C, 1)), y(be, ROWS * F), weight(be, wide(F * C, 4));
		struct kernels_weight k = { weight.p, F, C, KERNELS_F32, 0 };
		struct kernels_linear l = { ROWS, C, F, NULL, 0 };
		CHECK(be->sync(be) == 0);
		emu_inject("cudaFuncSetAttribute", 0, cudaErrorMemoryAllocation, false);
		be->linear(be, y, x, &k, &l);
		CHECK(be->sync(be) != 0 && be->no_memory);
		emu_inject(NULL, 0, cudaSuccess, false);
		be->no_memory = false;
		be->linear(be, y, x, &k, &l);
		CHECK(be->sync(be) == 0);
	}
	be->close(be);
}

TEST_MAIN
