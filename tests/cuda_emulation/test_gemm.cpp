/* test_gemm.cpp: the matrix products of the CUDA back end, in its three classes: against cpu_ref over operands that are
 * rounded as the class says; f32 to the bit against the CPU; and the law that a row's bits depend on nothing around it.
 *
 * On a card (-DON_CARD) what counts launches is left out, and a card's own number of processors is the only one. */
#include "cuda_help.h"

static const char *const class_names[] = { "f32", "tf32", "bf16" };

/* ---- rounding, in plain words ------------------------------------------------------------------------------------------- */

static float round_to(float x, int bits_dropped, bool to_even)
{
	uint32_t u, half = 1u << (bits_dropped - 1), odd;
	memcpy(&u, &x, 4);
	odd = u >> bits_dropped & 1;
	u += to_even ? half - 1 + odd : half;
	u &= ~((1u << bits_dropped) - 1);
	memcpy(&x, &u, 4);
	return x;
}

static float rounded(float x, int cls)
{
	return cls == KERNELS_CLASS_BF16   ? round_to(x, 16, true)
	       : cls == KERNELS_CLASS_TF32 ? round_to(x, 13, false)
					   : x;
}

static std::vector<float> rounded(std::vector<float> v, int cls)
{
	for (float &x : v)
		x = rounded(x, cls);
	return v;
}

static uint16_t to_bf16(float x)
{
	uint32_t u;
	x = round_to(x, 16, true);
	memcpy(&u, &x, 4);
	return (uint16_t)(u >> 16);
}

static float from_f16(uint16_t h)
{
	int exponent = h >> 10 & 31, fraction = h & 1023; /* 31: no number, and not asked for */
	float v = exponent ? ldexpf((float)(fraction + 1024), exponent - 25) : ldexpf((float)fraction, -24);
	return h >> 15 ? -v : v;
}

/* The nearest number of 16 bits, of two the even one. A place is 2^-24, or 2^-10 of the leading bit where that is more. */
static uint16_t to_f16(float x)
{
	float v = fabsf(x);
	int exponent = v < 0x1p-14f ? -14 : ilogbf(v);
	uint16_t places = (uint16_t)rintf(ldexpf(v, 10 - exponent)); /* exact but for the rounding */
	return (uint16_t)((signbit(x) ? 0x8000 : 0) + (exponent + 14) * 1024 + places);
}

/* A weight's numbers as they are stored */
static std::vector<float> as_stored(std::vector<float> rows, int type)
{
	for (float &x : rows)
		x = type == KERNELS_BF16 ? round_to(x, 16, true) : type == KERNELS_F16 ? from_f16(to_f16(x)) : x;
	return rows;
}

/* ---- one product ---------------------------------------------------------------------------------------------------------- */

enum form { LINEAR, DX, DW };
static const char *const form_names[] = { "linear", "linear_dx", "linear_dw" };

struct shape {
	int M, N, K;
};
struct call {
	enum form form;
	shape s;
	int x_stride, y_stride;
	bool bias, add;
	int packed_type; /* -1: rows of fp32 */
};

static size_t result_size(const call &c)
{
	return c.form == LINEAR ? (size_t)c.s.M * c.y_stride
	       : c.form == DX   ? (size_t)c.s.M * c.x_stride
				: (size_t)c.s.N * c.s.K;
}

static void pack(struct backend *be, const struct kernels_weight *w, const std::vector<float> &rows)
{
	std::vector<uint16_t> small(rows.size());
	for (size_t i = 0; i < rows.size(); i++)
		small[i] = w->type == KERNELS_BF16 ? to_bf16(rows[i]) : to_f16(rows[i]);
	be->pack(be, w, w->type == KERNELS_F32 ? (const void *)rows.data() : small.data(), 0, w->N);
}

/* The operands are what the class makes of them already where the reference computes. */
static std::vector<float> run(struct backend *be, const call &c, int cls)
{
	int M = c.s.M, N = c.s.N, K = c.s.K;
	array x(be, rounded(wide_floats(1, (size_t)M * c.x_stride), cls)), out(be, wide_floats(5, result_size(c)));
	array dy(be, rounded(wide_floats(2, (size_t)M * c.y_stride), cls)), bias(be, wide_floats(3, N));
	std::vector<float> rows = rounded(as_stored(wide_floats(4, (size_t)N * K), c.packed_type), cls);
	struct kernels_linear how = { M, c.x_stride, c.y_stride, c.bias ? bias.p : NULL, c.add ? 1.0f : 0.0f };
	struct kernels_weight w = { NULL, N, K, KERNELS_F32, 0 };
	void *p = NULL;
	if (c.packed_type < 0) {
		be->alloc(be, &p, rows.size() * 4);
		be->upload(be, p, rows.data(), rows.size() * 4);
		w.data = p;
	} else {
		w.type = c.packed_type;
		w.packed = 1;
		be->alloc(be, &p, be->packed_bytes(be, w.type, N, K));
		w.data = p;
		pack(be, &w, rows);
	}
	if (c.form == LINEAR)
		be->linear(be, out.p, x.p, &w, &how);
	else if (c.form == DX)
		be->linear_dx(be, out.p, dy.p, &w, &how);
	else
		be->linear_dw(be, out.p, dy.p, x.p, N, K, &how);
	std::vector<float> got = out.get();
	be->free(be, p);
	return got;
}

static const shape odd_shapes[] = { { 1, 1, 1 },     { 1, 33, 64 },    { 5, 16, 7 },  { 17, 17, 33 },  { 16, 130, 40 },
				    { 70, 65, 100 }, { 129, 131, 72 }, { 3, 5, 513 }, { 300, 20, 16 }, { 2, 72, 8 } };

/* A tensor core cuts off what it adds below the last place of the largest: of K = 513 some 2^-18 of a sum, and so 2^-36 of its
 * square. One wrong element of the largest result here is 1e-5. */
#ifdef ON_CARD
static const double LIMIT = 1e-9;
#else
static const double LIMIT = 1e-11;
#endif

static void compare(struct backend *be, struct backend *ref, int cls, const call &c)
{
	double e = error_of(run(be, c, KERNELS_CLASS_F32), run(ref, c, cls));
	if (!(e < LIMIT))
		FAIL("%s %s M=%d N=%d K=%d strides %d %d bias %d add %d packed %d: NMSE %.3g", class_names[cls],
		     form_names[c.form], c.s.M, c.s.N, c.s.K, c.x_stride, c.y_stride, c.bias, c.add, c.packed_type, e);
}

TEST(products_agree_with_the_reference_over_rounded_operands)
{
	struct backend *ref = NULL;
	CHECK(backend_open(&ref, "cpu_ref", 1) == 0);
	for (int cls = 0; cls < 3; cls++) {
		struct backend *be = cuda_or_stop(cls);
		for (const shape &s : odd_shapes)
			for (int i = 0; i < 6; i++) {
				int extra = i % 3 == 1 ? 4 : i % 3 == 2 ? 3 : 0;
				compare(be, ref, cls,
					{ (enum form)(i % 3), s, s.K + extra, s.N + extra, i % 3 == 0 && i, i > 2,
					  -1 });
			}
		for (int type = KERNELS_F32; type <= KERNELS_F16; type++)
			for (const shape &s : odd_shapes)
				for (int f = LINEAR; f <= DX; f++)
					compare(be, ref, cls,
						{ (enum form)f, s, s.K, s.N, f == LINEAR, f == DX, type });
		backend_close(be);
	}
	backend_close(ref);
}

/* W by ones: y, or dx, is W itself, as the class takes it */
static std::vector<float> as_multiplied(struct backend *be, enum form form, const std::vector<float> &all)
{
	const int wide = (int)all.size() / 2, N = form == LINEAR ? wide : 2, K = form == LINEAR ? 2 : wide;
	array ones(be, { 1, 0, 0, 1 }), out(be, std::vector<float>(all.size(), NAN));
	struct kernels_weight w = { NULL, N, K, KERNELS_F16, 1 };
	struct kernels_linear how = { 2, K, N, NULL, 0 };
	void *p = NULL;
	be->alloc(be, &p, be->packed_bytes(be, w.type, N, K));
	w.data = p;
	pack(be, &w, all);
	if (form == LINEAR)
		be->linear(be, out.p, ones.p, &w, &how);
	else
		be->linear_dx(be, out.p, ones.p, &w, &how);
	std::vector<float> got = out.get();
	be->free(be, p);
	return got;
}

/* Those below 2^-14, which have fewer bits, too; bf16 has fewer bits of fraction, and rounds to nearest even. */
TEST(every_number_of_f16_is_taken_as_the_class_says)
{
	std::vector<float> all;
	for (uint32_t h = 0; h < 0x10000; h++)
		if ((h >> 10 & 31) != 31)
			all.push_back(from_f16((uint16_t)h));
	for (int cls = 0; cls < 3; cls++) {
		struct backend *be = cuda_or_stop(cls);
		for (int f = LINEAR; f <= DX; f++) {
			std::vector<float> got = as_multiplied(be, (enum form)f, all);
			for (size_t i = 0; i < all.size(); i++) {
				float want = cls == KERNELS_CLASS_BF16 ? round_to(all[i], 16, true) : all[i];
				float at = f == LINEAR ? got[i % 2 * (all.size() / 2) + i / 2] : got[i];
				if (at != want)
					return FAIL("%s %s: %a is taken as %a, not %a", class_names[cls], form_names[f],
						    all[i], at, want);
			}
		}
		backend_close(be);
	}
}

/* No tensor cores in f32, and the chains of cpu_gemm.c: so the CPU's bits */
TEST(f32_gives_the_bits_of_the_cpu)
{
	struct backend *cpu = NULL, *be = cuda_or_stop(KERNELS_CLASS_F32);
	CHECK(backend_open(&cpu, "cpu", 1) == 0);
	for (const shape &s : odd_shapes)
		for (int i = 0; i < 12; i++) {
			call c = { (enum form)(i % 3),      s, s.K, s.N, i >= 6 && i % 3 == 0, i % 6 > 2,
				   i < 6 ? -1 : KERNELS_F16 };
			if (!same_bits(run(be, c, 0), run(cpu, c, 0)))
				FAIL("%s M=%d N=%d K=%d bias %d add %d packed %d: bits differ", form_names[c.form], s.M,
				     s.N, s.K, c.bias, c.add, c.packed_type);
		}
	backend_close(be);
	backend_close(cpu);
}

/* ---- what is fused --------------------------------------------------------------------------------------------------------- */

/* A device with so many processors; a card has its own */
static struct backend *cuda_of(int processors, int cls)
{
#ifdef ON_CARD
	(void)processors;
	return cuda_or_stop(cls);
#else
	int own = emu_machine.multiprocessors;
	emu_machine.multiprocessors = processors;
	struct backend *be = cuda_or_stop(cls);
	emu_machine.multiprocessors = own;
	return be;
#endif
}

/* y, and act (0: none is wanted; 1: it takes y's place; 2: beside it), in one operation or in three */
static std::vector<float> into(struct backend *be, const shape &s, int act, int from, bool bias, bool at_once)
{
	int stride = s.N + (act ? 0 : 3);
	size_t n = (size_t)s.M * stride;
	array x(be, wide_floats(1, (size_t)s.M * s.K)), w(be, wide_floats(2, (size_t)s.N * s.K)),
		b(be, wide_floats(3, s.N));
	array y(be, wide_floats(4, n)), a(be, std::vector<float>(n)), old(be, wide_floats(5, n));
	struct kernels_weight weight = { w.p, s.N, s.K, KERNELS_F32, 0 };
	struct kernels_linear how = { s.M, s.K, stride, bias ? b.p : NULL, 0 };
	float *to = act == 1 ? y.p : act == 2 ? a.p : NULL, *begin = from == 1 ? y.p : from == 2 ? old.p : NULL;
	if (at_once) {
		be->linear_into(be, y.p, to, begin, x.p, &weight, &how);
	} else {
		for (int row = 0; from == 2 && row < s.M; row++) /* what lies between rows stays */
			be->copy(be, y.p + (size_t)row * stride, old.p + (size_t)row * stride, (size_t)s.N * 4);
		how.beta = from ? 1.0f : 0.0f;
		be->linear(be, y.p, x.p, &weight, &how);
		if (act)
			be->gelu(be, to, y.p, n);
	}
	std::vector<float> got = y.get(), more = a.get();
	got.insert(got.end(), more.begin(), more.end());
	return got;
}

/* Of every class and tile: bit for bit what the operations by themselves give, which are compared with the reference elsewhere. */
TEST(what_is_fused_gives_the_bits_of_the_operations_by_themselves)
{
	static const shape shapes[] = {
		{ 1, 40, 48 }, { 5, 16, 7 }, { 17, 17, 33 }, { 70, 65, 100 }, { 200, 131, 72 }
	};
	for (int cls = 0; cls < 3; cls++)
		for (int processors : { 1, 1000 }) {
			struct backend *be = cuda_of(processors, cls);
			for (const shape &s : shapes)
				for (int i = 0; i < 18; i++)
					if (!same_bits(into(be, s, i % 3, i / 3 % 3, i >= 9, true),
						       into(be, s, i % 3, i / 3 % 3, i >= 9, false)))
						FAIL("%s M=%d N=%d K=%d: act %d from %d bias %d", class_names[cls], s.M,
						     s.N, s.K, i % 3, i / 3 % 3, i >= 9);
			backend_close(be);
		}
}

/* A result that is an operand's source: the next product reads what is there now. */
TEST(what_gelu_has_overwritten_is_converted_again)
{
	std::vector<float> got[2];
	for (int turn = 0; turn < 2; turn++) {
		struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16);
		{
			array x(be, wide_floats(1, 20 * 24)), w(be, wide_floats(2, 24 * 24)),
				h(be, wide_floats(3, 20 * 24)), y(be, std::vector<float>(20 * 24)),
				z(be, std::vector<float>(20 * 24));
			struct kernels_weight weight = { w.p, 24, 24, KERNELS_F32, 0 };
			struct kernels_linear how = { 20, 24, 24, NULL, 0 };
			if (!turn) /* h is an operand, and then it is written over */
				be->linear(be, z.p, h.p, &weight, &how);
			be->linear_into(be, y.p, h.p, NULL, x.p, &weight, &how);
			be->linear(be, z.p, h.p, &weight, &how);
			got[turn] = z.get();
		}
		backend_close(be);
	}
	CHECK(same_bits(got[0], got[1]));
}

/* ---- the same bits ----------------------------------------------------------------------------------------------------------- */

/* Rows first .. first + M of a product with all rows */
static std::vector<float> some_rows(struct backend *be, enum form form, int N, int K, int first, int M)
{
	int wide = form == LINEAR ? K : N, out_wide = form == LINEAR ? N : K;
	std::vector<float> all = wide_floats(9, (size_t)400 * wide);
	std::vector<float> part(all.begin() + (size_t)first * wide, all.begin() + (size_t)(first + M) * wide);
	array in(be, part), w(be, wide_floats(8, (size_t)N * K)),
		out(be, std::vector<float>((size_t)M * out_wide, NAN));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, N, NULL, 0 };
	if (form == LINEAR)
		be->linear(be, out.p, in.p, &weight, &how);
	else
		be->linear_dx(be, out.p, in.p, &weight, &how);
	return out.get();
}

/* With few processors large tiles are taken early, with many never: every tile meets every other. */
TEST(a_row_does_not_depend_on_how_many_there_are_nor_on_its_place)
{
	static const int Ms[] = { 1, 2, 8, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 200 };
	static const shape NKs[] = { { 0, 96, 200 }, { 0, 130, 72 }, { 0, 17, 513 }, { 0, 64, 48 } };
	for (int cls = 0; cls < 3; cls++)
		for (const shape &s : NKs)
			for (int f = LINEAR; f <= DX; f++) {
				struct backend *few = cuda_of(1, cls), *many = cuda_of(1000, cls);
				size_t out_wide = f == LINEAR ? (size_t)s.N : (size_t)s.K;
				std::vector<float> all = some_rows(few, (enum form)f, s.N, s.K, 0, 260);
				for (int M : Ms)
					for (int turn = 0; turn < 2; turn++) {
						int first = M % 7 * 5;
						std::vector<float> want(all.begin() + (size_t)first * out_wide,
									all.begin() + (size_t)(first + M) * out_wide);
						if (!same_bits(some_rows(turn ? few : many, (enum form)f, s.N, s.K,
									 first, M),
							       want))
							FAIL("%s %s N=%d K=%d: rows %d.. of M=%d differ",
							     class_names[cls], form_names[f], s.N, s.K, first, M);
					}
				backend_close(few);
				backend_close(many);
			}
}

static void set_order(int order)
{
#ifdef ON_CARD
	(void)order; /* the card's own, five times */
#else
	emu_set_order(order == 0 ? EMU_FORWARD : order == 1 ? EMU_BACKWARD : EMU_RANDOM, (uint64_t)order);
#endif
}

TEST(the_order_of_threads_and_the_landing_of_copies_change_no_bit)
{
	for (int cls = 0; cls < 3; cls++) {
		std::vector<float> first[3];
		for (int order = 0; order < 5; order++) {
			set_order(order);
			struct backend *be = cuda_or_stop(cls);
			for (int f = LINEAR; f <= DW; f++) {
				shape s = { 70, 40, 150 };
				std::vector<float> got = run(be, { (enum form)f, s, s.K, s.N, false, true, -1 }, 0);
				if (order == 0)
					first[f] = got;
				else if (!same_bits(first[f], got))
					FAIL("%s %s: order %d gives other bits", class_names[cls], form_names[f],
					     order);
			}
			backend_close(be);
		}
	}
	set_order(0);
}

/* ---- what is kept between products -------------------------------------------------------------------------------------------- */

struct gated { /* two weights that read the same x */
	struct backend *be;
	array x, gate, up, y, z;
	struct kernels_weight wg, wu;
	struct kernels_linear how;
	explicit gated(struct backend *b)
	    : be(b), x(b, wide_floats(1, 20 * 24)), gate(b, wide_floats(2, 16 * 24)), up(b, wide_floats(3, 16 * 24)),
	      y(b, std::vector<float>(20 * 24)), z(b, std::vector<float>(20 * 16)),
	      wg{ gate.p, 16, 24, KERNELS_F32, 0 }, wu{ up.p, 16, 24, KERNELS_F32, 0 }, how{ 20, 24, 16, NULL, 0 }
	{
	}
};

#ifndef ON_CARD
TEST(activations_are_converted_once_for_products_that_follow_each_other)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16);
	{
		gated g(be);
		be->sync(be);
		uint64_t before = emu_launches();
		be->linear(be, g.y.p, g.x.p, &g.wg, &g.how);
		be->sync(be);
		CHECK(emu_launches() - before == 3); /* x, the weight, the product */
		before = emu_launches();
		be->linear(be, g.y.p, g.x.p, &g.wg, &g.how);
		be->linear(be, g.z.p, g.x.p, &g.wu, &g.how);
		be->sync(be);
		CHECK(emu_launches() - before == 5);
	}
	backend_close(be);
}
#endif

/* Whatever may have changed x in between, the next product reads what is there now. */
TEST(activations_that_have_changed_are_converted_again)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16), *fresh = cuda_or_stop(KERNELS_CLASS_BF16);
	static const char *const ways[] = { "upload", "copy", "zero", "a product's result",
					    "freed and given out again" };
	std::vector<float> other = wide_floats(7, 20 * 24);
	for (int way = 0; way < 5; way++) {
		std::vector<float> got, want;
		for (int turn = 0; turn < 2; turn++) {
			struct backend *b = turn ? fresh : be;
			gated g(b);
			array o(b, other), back(b, wide_floats(6, 24 * 24));
			void *again = NULL;
			float *x = g.x.p;
			if (!turn) /* the one that remembers */
				b->linear(b, g.y.p, g.x.p, &g.wg, &g.how);
			if (way == 0)
				b->upload(b, g.x.p, other.data(), other.size() * 4);
			else if (way == 1)
				b->copy(b, g.x.p, o.p, other.size() * 4);
			else if (way == 2)
				b->zero(b, g.x.p, 64);
			else if (way == 3) {
				struct kernels_weight w = { back.p, 24, 24, KERNELS_F32, 0 };
				struct kernels_linear how = { 20, 24, 24, NULL, 0 };
				b->linear(b, g.x.p, o.p, &w, &how);
			} else {
				b->free(b, g.x.p);
				b->alloc(b, &again, 20 * 24 * 4);
				x = g.x.p = (float *)again;
			}
			b->linear(b, g.z.p, x, &g.wu, &g.how);
			(turn ? want : got) = g.z.get();
		}
		if (!same_bits(got, want))
			FAIL("x was changed by %s, and the old one was used", ways[way]);
	}
	backend_close(be);
	backend_close(fresh);
}

TEST(packed_weights_come_back_bit_for_bit)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16);
	for (int type = KERNELS_F32; type <= KERNELS_F16; type++) {
		const int N = 37, K = 19;
		size_t size = type == KERNELS_F32 ? 4 : 2, row = K * size;
		std::vector<uint8_t> in(N * row + 1), out(N * row);
		for (size_t i = 0; i < in.size(); i++)
			in[i] = (uint8_t)(i * 37 + i / 256);
		struct kernels_weight w = { NULL, N, K, type, 1 };
		void *p = NULL;
		CHECK(be->alloc(be, &p, be->packed_bytes(be, type, N, K)) == 0);
		w.data = p;
		be->pack(be, &w, in.data() + 1, 0, 20);
		be->pack(be, &w, in.data() + 1 + 20 * row, 20, N - 20);
		be->unpack(be, out.data(), &w, 0, N);
		CHECK(be->sync(be) == 0);
		CHECK(memcmp(out.data(), in.data() + 1, out.size()) == 0);
		be->unpack(be, out.data(), &w, 5, 3);
		CHECK(be->sync(be) == 0);
		CHECK(memcmp(out.data(), in.data() + 1 + 5 * row, 3 * row) == 0);
		be->free(be, p);
	}
	CHECK(be->packed_bytes(be, 7, 4, 4) == 0);
	backend_close(be);
}

TEST_MAIN
