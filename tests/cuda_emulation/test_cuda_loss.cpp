/* test_cuda_loss.cpp: log-probabilities, gradients of the cross entropy, the optimizer. */
#include "kernel_test.h"

static const int vocabularies[] = { 1, 2, 33, 1003, 4097 };

static floats logits_of(int T, int V)
{
	floats x = tame((size_t)T * (size_t)V, (uint64_t)V);
	for (size_t i = 0; i < x.size(); i++)
		x[i] = x[i] * 12 + (i % 7 == 0 ? -40.0f : 0.0f);
	for (int t = 0; t + 1 < T && V > 40; t += 2) /* the largest twice: the first counts */
		x[(size_t)(t * V + V - 1)] = x[(size_t)(t * V + 33)] = 13;
	return x;
}

/* The class bf16 sums exponentials of fp32 (cuda_best_int.h): what a float loses of its numbers is beyond its error. */
static const int classes[] = { KERNELS_CLASS_F32, KERNELS_CLASS_BF16 };
static floats numbers(const std::vector<double> &v, int cls)
{
	return cls == KERNELS_CLASS_BF16 ? floats(v.begin(), v.end()) : doubles(v, 1e6);
}

static void check_log_probabilities(int cls)
{
	const int T = 6;
	const size_t parts = cls == KERNELS_CLASS_BF16 ? 1 : 2;
	for (int V : vocabularies) {
		floats x = logits_of(T, V);
		ints target(T);
		for (int t = 0; t < T; t++)
			target[(size_t)t] = t == 4 ? -1 : (t * 7919 + V - 1) % V;
		auto run = [&](struct backend *be, const floats &rows, const ints &targets) {
			int n = (int)targets.size();
			array<float> a(be, rows);
			array<int32_t> at(be, targets), top(be, (size_t)n);
			array<double> l(be, (size_t)n);
			be->logprob(be, l, top, a, NULL, at, n, V);
			floats v = numbers(l.get(), cls);
			for (int32_t i : top.get())
				v.push_back((float)i);
			return v;
		};
		floats all =
			CHECK_OPERATION(cls, "logprob", 1e-13, [&](struct backend *be) { return run(be, x, target); });
		floats ref = run(reference(), x, target);
		for (int t = 0; t < T; t++) {
			CHECK(all[parts * T + (size_t)t] == ref[parts * T + (size_t)t]);
			floats alone =
				run(device(cls), slice(x, (size_t)(t * V), (size_t)V), ints(1, target[(size_t)t]));
			CHECK_SAME_BITS(slice(alone, 0, parts), slice(all, parts * (size_t)t, parts),
					"row %d depends on its batch", t);
		}
	}
}

TEST(log_probabilities_and_the_first_largest)
{
	for (int cls : classes)
		check_log_probabilities(cls);
}

TEST(several_targets_of_a_row_and_none)
{
	const int T = 4, V = 100;
	floats x = logits_of(T, V);
	ints first = { 0, 3, 3, 4, 9 }, target = { 5, -1, 99, 0, 1, 2, 3, 4, -1 };
	for (int cls : classes)
		CHECK_OPERATION(cls, "logprob", 1e-13, [&](struct backend *be) {
			array<float> a(be, x);
			array<int32_t> f(be, first), at(be, target);
			array<double> l(be, target.size());
			be->logprob(be, l, NULL, a, f, at, T, V);
			return numbers(l.get(), cls);
		});
}

TEST(logits_without_a_number_or_without_end)
{
	const int V = 300;
	for (int cls : classes) {
		struct backend *be = device(cls);
		floats x(4 * V, 1.0f);
		for (int i = 0; i < V; i++) {
			x[(size_t)(V + i)] = -INFINITY;
			x[(size_t)(3 * V + i)] = i == 40 ? 3 : NAN;
		}
		x[17] = NAN;
		x[V + 250] = 2;                           /* all else is impossible */
		x[2 * V + 30] = x[2 * V + 7] = -INFINITY; /* two are */
		array<float> a(be, x);
		array<int32_t> at(be, ints{ 0, 250, 0, 40 }), top(be, (size_t)4);
		array<double> l(be, (size_t)4);
		be->logprob(be, l, top, a, NULL, at, 4, V);
		std::vector<double> got = l.get();
		CHECK(got[0] != got[0] && got[3] != got[3]);
		CHECK(got[1] == 0 && top.get()[1] == 250);
		CHECK(fabs(got[2] + log(298.0)) < 1e-14);
	}
}

TEST(the_gradient_of_the_cross_entropy)
{
	const int T = 5;
	for (int V : vocabularies) {
		floats x = logits_of(T, V), scale = tame(T, 3);
		ints target(T);
		for (int t = 0; t < T; t++)
			target[(size_t)t] = t == 2 ? -1 : (t * 31) % V;
		for (int cls : classes)
			CHECK_OPERATION(cls, "xent_back", V == 1 ? 1e-9 : 1e-11, [&](struct backend *be) {
				array<float> a(be, x), s(be, scale);
				array<int32_t> at(be, target);
				be->xent_back(be, a, at, s, T, V);
				return a.get();
			});
	}
}

TEST(the_sum_of_squares)
{
	for (size_t n : { 0, 1, 255, 16384, 16385, 100001 }) {
		floats x = wide(n, n);
		CHECK_OPERATION(KERNELS_CLASS_F32, "sumsq", 1e-13, [&](struct backend *be) {
			array<float> a(be, x);
			return doubles({ be->sumsq(be, a, n) }, 1e6);
		});
	}
}

TEST(adamw_steps)
{
	for (size_t n : { 1, 5, 1024, 2003 })
		for (size_t by : { 0, 1 }) {
			floats p = tame(n + by, 1), g = wide(n + by, 2), m(n + by), v(n + by);
			CHECK_OPERATION(KERNELS_CLASS_F32, "adamw", 1e-12, [&](struct backend *be) {
				array<float> ap(be, p), ag(be, g), am(be, m), av(be, v);
				struct kernels_adamw how = { 1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.7f, 1 };
				for (; how.step <= 4; how.step++)
					be->adamw(be, ap + by, ag + by, am + by, av + by, n, &how);
				floats r = ap.get();
				append(r, am.get());
				return r;
			});
		}
}

/* Where gradients are as small as eps, eps is half of the divisor; where they are far smaller, nearly all of it. */
TEST(adamw_of_gradients_as_small_as_eps)
{
	for (float size : { 1e-7f, 1e-8f, 1e-9f, 0.0f }) {
		floats p(1000, 0), g = tame(1000, 7), m(1000),
				   v(1000); /* p 0: it becomes what the steps alone make of it */
		for (float &e : g)
			e *= size;
		CHECK_OPERATION(KERNELS_CLASS_F32, "adamw", 1e-12, [&](struct backend *be) {
			array<float> ap(be, p), ag(be, g), am(be, m), av(be, v);
			struct kernels_adamw how = { 1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 1, 1 };
			for (; how.step <= 4; how.step++)
				be->adamw(be, ap, ag, am, av, 1000, &how);
			return ap.get();
		});
	}
}

TEST_MAIN
