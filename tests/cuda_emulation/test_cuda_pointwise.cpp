/* test_cuda_pointwise.cpp: elements, rows, positions, embeddings, against cpu_ref. */
#include "kernel_test.h"

static const size_t sizes[] = { 1, 3, 4, 255, 1024, 4099 };
static const double CLOSE = 1e-13; /* rounding of fp32, squared */

/* All arrays a float off a multiple of 16 bytes, or on it */
struct shifted {
	array<float> a;
	float *p;
	size_t n;
	shifted(struct backend *be, const floats &v, size_t by) : a(be, v.size() + by), p(a.p + by), n(v.size())
	{
		if (n)
			be->upload(be, p, v.data(), n * sizeof(float));
	}
	floats get(size_t by) const
	{
		return slice(a.get(), by, n);
	}
};

TEST(activations_and_their_gradients)
{
	for (size_t n : sizes)
		for (size_t by = 0; by < 2; by++) {
			floats x = tame(n, n), y = tame(n, n + 1), z = tame(n, n + 2);
			for (float &e : x)
				e *= 20;
			CHECK_OPERATION(KERNELS_CLASS_F32, "swiglu", CLOSE, [&](struct backend *be) {
				shifted g(be, x, by), u(be, y, by);
				be->swiglu(be, u.p, g.p, u.p, n);
				return u.get(by);
			});
			CHECK_OPERATION(KERNELS_CLASS_F32, "swiglu_back", CLOSE, [&](struct backend *be) {
				shifted g(be, x, by), u(be, y, by), d(be, z, by), dg(be, floats(n), by);
				be->swiglu_back(be, dg.p, d.p, d.p, g.p, u.p, n);
				floats r = dg.get(by);
				append(r, d.get(by));
				return r;
			});
			CHECK_OPERATION(KERNELS_CLASS_F32, "gelu", CLOSE, [&](struct backend *be) {
				shifted g(be, x, by);
				be->gelu(be, g.p, g.p, n);
				return g.get(by);
			});
			CHECK_OPERATION(KERNELS_CLASS_F32, "gelu_back", 1e-12, [&](struct backend *be) {
				shifted g(be, x, by), d(be, z, by);
				be->gelu_back(be, d.p, d.p, g.p, n);
				return d.get(by);
			});
		}
}

TEST(sums_scales_and_dropout)
{
	for (size_t n : sizes)
		for (size_t by = 0; by < 2; by++) {
			floats x = wide(n, n), y = wide(n, n + 1);
			CHECK_OPERATION(KERNELS_CLASS_F32, "add", 0, [&](struct backend *be) {
				shifted a(be, x, by), b(be, y, by);
				be->add(be, a.p, b.p, n);
				return a.get(by);
			});
			CHECK_OPERATION(KERNELS_CLASS_F32, "scale", 0, [&](struct backend *be) {
				shifted a(be, x, by);
				be->scale(be, a.p, n, 0.37f);
				return a.get(by);
			});
			floats kept = CHECK_OPERATION(KERNELS_CLASS_F32, "dropout", CLOSE, [&](struct backend *be) {
				shifted a(be, x, by);
				be->dropout(be, a.p, a.p, n, 12345, 0.3f);
				return a.get(by);
			});
			size_t zero = 0;
			for (float e : kept)
				zero += e == 0;
			CHECK(n < 1000 || (zero > n / 4 && zero < n * 35 / 100));
		}
}

TEST(rope_turns_there_and_back)
{
	const int T = 7, H = 3, stride = 53;
	for (int D : { 2, 6, 16 }) {
		floats x = wide((size_t)(T * stride), 5), turn = tame((size_t)(40 * D), 6);
		ints pos = { 0, 39, 3, 3, 17, 1, 38 };
		for (int back = 0; back < 2; back++)
			CHECK_OPERATION(KERNELS_CLASS_F32, "rope", CLOSE, [&](struct backend *be) {
				array<float> a(be, x), t(be, turn);
				array<int32_t> p(be, pos);
				be->rope(be, a + 2, stride, p, t, T, H, D, back != 0);
				return a.get();
			});
	}
}

TEST(rows_are_picked_put_and_added)
{
	for (int C : { 1, 4, 7, 64, 300 }) {
		floats src = wide((size_t)(9 * C), 7), dst = wide((size_t)(9 * C), 8);
		ints rows = { 8, 0, 3, 5, 4 }, some = { 2, -1, 7, -1, 0 };
		CHECK_OPERATION(KERNELS_CLASS_F32, "gather", 0, [&](struct backend *be) {
			array<float> s(be, src), o(be, (size_t)(5 * C));
			array<int32_t> r(be, rows);
			be->gather(be, o, s, r, 5, C);
			return o.get();
		});
		CHECK_OPERATION(KERNELS_CLASS_F32, "scatter_add", 0, [&](struct backend *be) {
			array<float> s(be, src), o(be, dst);
			array<int32_t> r(be, rows);
			be->scatter_add(be, o, s, r, 5, C);
			return o.get();
		});
		CHECK_OPERATION(KERNELS_CLASS_F32, "put_rows", 0, [&](struct backend *be) {
			array<float> s(be, src), o(be, dst);
			array<int32_t> r(be, some);
			be->put_rows(be, o, C, s, C, r, 5, C > 4 ? C - 3 : C);
			return o.get();
		});
		CHECK_OPERATION(KERNELS_CLASS_F32, "gather of nothing", 0, [&](struct backend *be) {
			array<float> s(be, src), o(be, dst);
			array<int32_t> r(be, rows);
			be->gather(be, o, s, r, 0, C);
			be->put_rows(be, o, C, s, C, r, 0, C);
			return o.get();
		});
	}
}

static uint16_t half_bits(int type, size_t i)
{
	uint16_t u = (uint16_t)(i * 40503u >> 1);
	int top = type == KERNELS_BF16 ? 0x7f80 : 0x7c00; /* no infinity, no NaN; subnormals are among them */
	return (u & top) == top ? (uint16_t)(u & ~0x4000) : u;
}

TEST(embeddings_of_every_stored_type)
{
	const int V = 19, C = 37;
	ints ids = { 3, 18, 0, 3, 3, 7 };
	for (int packed = 0; packed < 2; packed++)
		for (int type = KERNELS_F32; type <= KERNELS_F16; type++)
			for (int add = 0; add < 2; add++) {
				floats f = wide((size_t)(V * C), 9);
				std::vector<uint16_t> h((size_t)(V * C));
				for (size_t i = 0; i < h.size(); i++)
					h[i] = half_bits(type, i);
				if (!packed && type != KERNELS_F32)
					continue;
				const void *host = type == KERNELS_F32 ? (const void *)f.data() : h.data();
				CHECK_OPERATION(KERNELS_CLASS_BF16, "embed", 0, [&](struct backend *be) {
					size_t bytes =
						packed ? be->packed_bytes(be, type, V, C) : f.size() * sizeof(float);
					array<char> data(be, bytes);
					struct kernels_weight w = { data.p, V, C, type, packed };
					if (packed)
						be->pack(be, &w, host, 0, V);
					else
						be->upload(be, data.p, host, bytes);
					array<int32_t> i(be, ids);
					array<float> o(be, wide(ids.size() * (size_t)C, 10));
					be->embed(be, o, &w, i, (int)ids.size(), add != 0);
					return o.get();
				});
			}
}

TEST(the_gradient_of_an_embedding_adds_in_the_order_of_rows)
{
	const int V = 11, C = 70, T = 600;
	ints ids(T);
	for (int t = 0; t < T; t++)
		ids[(size_t)t] = t % 3 ? 4 : t * 7 % V; /* one id has most rows, over several pieces */
	floats d = wide((size_t)(T * C), 11), table = wide((size_t)(V * C), 12);
	CHECK_OPERATION(KERNELS_CLASS_F32, "embed_back", 0, [&](struct backend *be) {
		array<float> t(be, table), o(be, d);
		array<int32_t> i(be, ids);
		be->embed_back(be, t, o, i, T, C, V);
		return t.get();
	});
}

TEST_MAIN
