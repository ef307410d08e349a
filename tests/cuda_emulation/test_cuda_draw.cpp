/* test_cuda_draw.cpp: tokens drawn on the device, against a sorted list in double, and in any company. */
#include "kernel_test.h"

#include <algorithm>

typedef std::vector<struct kernels_draw> draws;

static struct kernels_draw how(double temperature, int top_k, double top_p, double u)
{
	return { u, (float)temperature, (float)top_p, top_k, 0 };
}

static ints draw(const floats &x, const draws &d, int V)
{
	struct backend *be = device(KERNELS_CLASS_F32);
	array<float> logits(be, x);
	array<int32_t> ids(be, ints(d.size(), -5));
	be->draw(be, ids, logits, d.data(), (int)d.size(), V);
	return ids.get();
}

/* Probabilities of what may be drawn, by sorting. */
static std::vector<double> expected(const float *x, int V, double temperature, int top_k, double top_p)
{
	std::vector<float> sorted(x, x + V);
	std::vector<double> p((size_t)V);
	double sum = 0, before = 0, kept = 0;
	float last = -INFINITY;
	std::sort(sorted.rbegin(), sorted.rend());
	float least = top_k > 0 && top_k < V ? sorted[(size_t)top_k - 1] : sorted[(size_t)V - 1];
	for (float v : sorted)
		sum += v >= least ? exp(((double)v - (double)sorted[0]) / temperature) : 0;
	for (size_t i = 0; top_p > 0 && top_p < 1 && i < sorted.size() && sorted[i] >= least && before < top_p * sum;
	     i++) {
		last = sorted[i];
		before += exp(((double)sorted[i] - (double)sorted[0]) / temperature);
	}
	least = std::max(least, last);
	for (int i = 0; i < V; i++)
		kept += p[(size_t)i] = x[i] >= least ? exp(((double)x[i] - (double)sorted[0]) / temperature) : 0.0;
	for (double &e : p)
		e /= kept;
	return p;
}

/* Numbers u that lie evenly: every token comes as often as it is probable, to within one. */
static void check_shares(const floats &x, int V, double temperature, int top_k, double top_p)
{
	enum { N = 100 };
	floats rows;
	draws d;
	for (int i = 0; i < N; i++) {
		append(rows, x);
		d.push_back(how(temperature, top_k, top_p, (i + 0.5) / N));
	}
	std::vector<double> want = expected(x.data(), V, temperature, top_k, top_p);
	std::vector<int> count((size_t)V);
	int32_t last = 0;
	for (int32_t id : draw(rows, d, V)) {
		if (id < last || id >= V)
			return FAIL("V %d: token %d behind %d", V, id, last);
		count[(size_t)id]++;
		last = id;
	}
	for (int i = 0; i < V; i++)
		if (fabs(count[(size_t)i] - N * want[(size_t)i]) > 1.01 || (want[(size_t)i] == 0 && count[(size_t)i]))
			FAIL("V %d, temperature %g, k %d, p %g: token %d came %d times, not %g", V, temperature, top_k,
			     top_p, i, count[(size_t)i], N * want[(size_t)i]);
}

TEST(tokens_come_as_often_as_they_are_probable)
{
	for (int V : { 1, 2, 33, 200 }) {
		floats x = tame((size_t)V, (uint64_t)V);
		for (float &e : x)
			e *= 6;
		check_shares(x, V, 1, 0, 0);
		check_shares(x, V, 0.5, 0, 1);
		check_shares(x, V, 2, 1, 0);
		check_shares(x, V, 2, 7, 0);
		check_shares(x, V, 1.5, 0, 0.8);
		check_shares(x, V, 1.5, 0, 1e-6);
		check_shares(x, V, 3, 20, 0.7);
		check_shares(x, V, 3, V, 0.99);
	}
}

TEST(equal_logits_stay_or_go_together)
{
	floats x = { 1, 3, 2, 3, -INFINITY, 2, 0, -0.0f };
	check_shares(x, 8, 1, 1, 0);
	check_shares(x, 8, 1, 3, 0);
	check_shares(x, 8, 1, 6, 0);
	check_shares(x, 8, 1, 0, 0.5);
	check_shares(x, 8, 1, 3, 0.9);
	check_shares(x, 8, 1, 0, 0);
}

TEST(a_token_does_not_depend_on_its_batch_or_on_the_order_of_threads)
{
	const int V = 4501, T = 3; /* a block of another size */
	floats x = tame((size_t)(T * V), 5);
	draws d = { how(0.7, 40, 0.9, 0.3), how(0, 3, 0.5, 0.9), how(1.3, 0, 0.95, 0.999) };
	ints first;
	for (int i = 0; i < ORDERS; i++) {
		set_order(i);
		ints got = draw(x, d, V);
		CHECK(got[1] == -5); /* without a temperature nothing is drawn */
		first = i == 0 ? got : first;
		CHECK(got == first);
	}
	set_order(0);
	for (int t = 0; t < T; t++)
		CHECK(draw(slice(x, (size_t)(t * V), V), draws(1, d[(size_t)t]), V)[0] == first[(size_t)t]);
	std::vector<double> p = expected(x.data() + 2 * V, V, 1.3, 0, 0.95);
	double at = 0;
	for (int i = 0; i < first[2]; i++)
		at += p[(size_t)i];
	CHECK(at < 0.9991 && at + p[(size_t)first[2]] > 0.9989);
}

TEST(a_row_without_a_number_gives_an_id)
{
	floats x(300, 1.0f), low(300, -INFINITY);
	x[7] = NAN;
	append(x, low);
	append(x, floats(300, INFINITY));
	for (int32_t id : draw(x, draws(3, how(1, 5, 0.5, 0.4)), 300))
		CHECK(id >= 0 && id < 300);
}

TEST_MAIN
