/* test_stats_power.c: how many samples are enough, and by chance alone. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/stats_int.h"

static void near(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %.17g, want %.17g", got, want);
}

static void test_stats_least_samples__match_published_sizes(void **state)
{
	const double deltas[] = { .005, .01, .02, .03, .05, .10 }, want[] = { 598, 299, 149, 99, 59, 29 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
		size_t n = (size_t)stats_least_samples(.05, deltas[i]);

		near((double)n, want[i], 0);
		assert_true(stats_tango_exact(n, 0, 0, deltas[i]) <= .05);    /* an unchanged model passes, */
		assert_true(stats_tango_exact(n - 1, 0, 0, deltas[i]) > .05); /* and not with one sample less */
	}
	assert_true(isinf(stats_least_samples(.05, 0)));
}

static void test_stats_samples_for__matches_worked_values(void **state)
{
	double two_sided = stats_normal_quantile(.975) + stats_normal_quantile(.8);
	double one_sided = stats_normal_quantile(.95) + stats_normal_quantile(.8);

	(void)state;
	near(stats_samples_for(two_sided, 1.0 / 9, .03), 968.9974980678, 1e-9);
	near(stats_samples_for(two_sided, 1.0 / 9 + 2 * (1.0 / 6) / 10, .03), 1259.6967474881, 1e-9);
	near(stats_samples_for(two_sided, 1.0 / 9 + 2 * (1.0 / 6), .03), 3875.9899922712, 1e-9);
	near(stats_detectable(one_sided, .075, 1000), .0215335040, 1e-10);
	near(stats_samples_for(one_sided, .075, .01), 4636.9179, 1e-4);
	near(stats_samples_for(one_sided, .02, .01), 1236.5114, 1e-4);
}

static void test_stats_tango_samples__would_decide(void **state)
{
	static const struct {
		size_t n, lost, won;
		double drop;
	} cells[] = {
		{ 100, 3, 2, .02 }, { 200, 10, 9, .03 }, { 50, 0, 0, .02 }, { 300, 12, 4, .02 }, { 10, 0, 0, .02 }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		double need = stats_tango_samples(cells[i].n, cells[i].lost, cells[i].won, cells[i].drop, .05);
		double share = need / (double)cells[i].n;
		size_t lost = (size_t)round(share * (double)cells[i].lost),
		       won = (size_t)round(share * (double)cells[i].won);
		double pass = stats_tango_exact((size_t)need, lost, won, cells[i].drop);
		double fail = stats_tango_exact((size_t)need, won, lost, -cells[i].drop);

		assert_true(need > (double)cells[i].n && need < 1e6);
		assert_true(fmin(pass, fail) < .06); /* an estimate: within a hundredth of the level */
	}
	assert_true(stats_tango_samples(50, 0, 0, .02, .05) == 149);
	assert_true(isinf(stats_tango_samples(100, 2, 0, .02, .05)));
	near(stats_t_samples(100, .01, .01, 99, .05), ceil(100 * pow(stats_t_quantile(.95, 99), 2)), 0);
	assert_true(isinf(stats_t_samples(100, 0, .01, 99, .05)));
}

/* The number that is named decides at the same rate, and is not much more than is needed. */
static void test_stats_binomial_samples__would_decide(void **state)
{
	static const struct {
		size_t n, right;
		double share;
	} cells[] = { { 20, 17, .8 }, { 20, 17, .9 }, { 100, 82, .8 }, { 2, 0, .7 }, { 100, 100, .99 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		double rate = (double)cells[i].right / (double)cells[i].n,
		       need = stats_binomial_samples(cells[i].n, cells[i].right, cells[i].share, .05);
		size_t n = (size_t)need, half = (size_t)(need / 2), k = (size_t)round(rate * need),
		       k_half = (size_t)round(rate * (double)half);

		assert_true(need > (double)cells[i].n && need < 1e5);
		if (rate > cells[i].share) {
			assert_true(stats_binomial_upper(n, k, cells[i].share) <= .05);
			assert_true(stats_binomial_upper(half, k_half, cells[i].share) > .05);
		} else {
			assert_true(stats_binomial_lower(n, k, cells[i].share) <= .05);
			assert_true(stats_binomial_lower(half, k_half, cells[i].share) > .05);
		}
	}
	assert_true(stats_binomial_samples(100, 100, .99, .05) == 299); /* .99^n <= .05 */
	assert_true(isinf(stats_binomial_samples(100, 80, .8, .05)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats_least_samples__match_published_sizes),
		cmocka_unit_test(test_stats_samples_for__matches_worked_values),
		cmocka_unit_test(test_stats_tango_samples__would_decide),
		cmocka_unit_test(test_stats_binomial_samples__would_decide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
