/* test_stats.c: distributions against 50-digit arithmetic, tests and intervals against published and enumerated
 * values. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/stats_int.h"
#include "golden/stats_golden.h"

static void close_to(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * (fabs(want) > 1e-3 ? fabs(want) : 1e-3)))
		fail_msg("got %.17g, want %.17g", got, want);
}

static void test_stats_sum__keeps_small_terms(void **state)
{
	const double x[] = { 1e16, 1, 1, -1e16 };

	(void)state;
	assert_true(stats_sum(x, 4) == 2);
	assert_true(stats_sum(x, 0) == 0);
}

static void test_stats_quantiles__match_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(golden_t); i++) {
		double digits = golden_t[i].df < 1e5 ? 1e-12 : 1e-11;

		close_to(stats_t_quantile(golden_t[i].p, golden_t[i].df), golden_t[i].t, digits);
		close_to(stats_t_quantile(1 - golden_t[i].p, golden_t[i].df), -golden_t[i].t, 1e-11);
		close_to(1 - stats_t_upper(golden_t[i].t, golden_t[i].df), golden_t[i].p, digits);
	}
	for (size_t i = 0; i < ARRAY_LEN(golden_beta); i++)
		close_to(stats_beta_cdf(golden_beta[i].x, golden_beta[i].a, golden_beta[i].b), golden_beta[i].p, 1e-12);
	for (size_t i = 0; i < ARRAY_LEN(golden_normal); i++) {
		double z = stats_normal_quantile(golden_normal[i].p);

		assert_true(fabs(z - golden_normal[i].z) <= 1e-9 * (1e-3 + fabs(golden_normal[i].z)));
		close_to(stats_normal_cdf(golden_normal[i].z), golden_normal[i].p, 1e-12);
	}
	close_to(stats_normal_quantile(0.95), 1.6448536269514727149, 1e-14);
	assert_true(stats_t_quantile(0.5, 7) < 1e-12);
}

static void test_stats_beta_quantile__inverts_the_cdf(void **state)
{
	(void)state;
	for (double p = 0.01; p < 1; p += 0.07)
		close_to(stats_beta_cdf(stats_beta_quantile(p, 12, 30.5), 12, 30.5), p, 1e-12);
}

/* The counts of statistics in rational arithmetic: 45 lost, 30 won. */
static void test_stats_mcnemar__matches_rational_arithmetic(void **state)
{
	(void)state;
	close_to(stats_mcnemar_exact(45, 30), .05267113443730243885, 1e-13);
	close_to(2 * stats_mcnemar_exact(45, 30), .10534226887460487770, 1e-13);
	close_to(stats_mcnemar_mid_p(45, 30), .04232304633541795856, 1e-13);
	close_to(stats_mcnemar_exact(0, 0), 1, 1e-15);
	close_to(stats_mcnemar_exact(0, 9), 1, 1e-15);
	close_to(stats_mcnemar_exact(9, 0), pow(0.5, 9), 1e-14);
	close_to(stats_mcnemar_exact(5000, 5000), 0.5 + 0.5 * 0.0079786461393821, 1e-11); /* C(10000,5000) / 2^10000 */
}

static void test_stats_tango_z__matches_published_cells(void **state)
{
	static const struct {
		size_t n, lost, won;
		double delta, z, p;
	} cells[] = {
		{ 20, 0, 0, .1, -1.490711985000, .068018564057 },
		{ 58, 0, 0, .05, -1.747178176073, .040303218057 },
		{ 59, 0, 0, .05, -1.762175688714, .039019809153 },
		{ 133, 0, 0, .02, -1.647508942096, .049726739874 },
		{ 149, 0, 0, .02, -1.743793659391, .040597538258 },
		{ 100, 1, 3, .03, -2.010710786685, .022178007007 },
		{ 300, 5, 6, .02, -1.885329592424, .029692676625 },
		{ 1000, 45, 30, .03, -1.684242874868, .046067370181 },
		{ 1000, 45, 30, .02, -.574225743557, .282907525415 },
		{ 1000, 22, 20, .02, -2.580964882091, .004926230182 },
		{ 1000, 0, 0, .01, -3.178208630819, .000740940387 },
		{ 120, 0, 1, .02, -1.862629258629, .031257222460 },
		{ 1000, 30, 45, 0, -1.732050807569, .041632258332 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		double z = stats_tango_z(cells[i].n, cells[i].lost, cells[i].won, cells[i].delta);

		assert_true(fabs(z - cells[i].z) < 1e-12);
		assert_true(fabs(stats_normal_cdf(z) - cells[i].p) < 1e-12);
	}
	close_to(stats_tango_z(1000, 45, 30, .01), .5801537294147313, 1e-12);
	close_to(stats_normal_cdf(stats_tango_z(1000, 45, 30, .02)), .28290752541512772, 1e-12);
	close_to(stats_normal_cdf(stats_tango_z(1000, 45, 30, .03)), .046067370181124445, 1e-12);
	assert_true(stats_tango_z(50, 0, 0, 0) == 0); /* 0/0 by definition */
}

/* Z rises in lost, falls in won and in the supposed drop: what bisection and the gate rest on. */
static void test_stats_tango_z__is_monotone(void **state)
{
	const double deltas[] = { -.5, -.02, 0, .01, .05, .2, .9 };

	(void)state;
	for (size_t n = 2; n <= 24; n += 2)
		for (size_t b = 0; b <= n; b++)
			for (size_t c = 0; b + c <= n; c++)
				for (size_t d = 0; d < ARRAY_LEN(deltas); d++) {
					double z = stats_tango_z(n, b, c, deltas[d]);

					if (b + c < n) {
						assert_true(stats_tango_z(n, b + 1, c, deltas[d]) >= z - 1e-12);
						assert_true(stats_tango_z(n, b, c + 1, deltas[d]) <= z + 1e-12);
					}
					if (d)
						assert_true(z <= stats_tango_z(n, b, c, deltas[d - 1]) + 1e-12);
				}
}

static void test_stats_tango_interval__matches_direct_maximisation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(golden_tango); i++) {
		double lo, hi;

		stats_tango_interval((size_t)golden_tango[i].n, (size_t)golden_tango[i].lost,
				     (size_t)golden_tango[i].won, golden_tango[i].confidence, &lo, &hi);
		close_to(lo, golden_tango[i].lo, 1e-11);
		close_to(hi, golden_tango[i].hi, 1e-11);
	}
}

static void test_stats_tango_interval__never_has_zero_width(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 16; n++)
		for (size_t b = 0; b <= n; b++)
			for (size_t c = 0; b + c <= n; c++) {
				double lo, hi, delta = ((double)c - (double)b) / (double)n;

				stats_tango_interval(n, b, c, 0.95, &lo, &hi);
				assert_true(lo < hi && lo >= -1 && hi <= 1);
				assert_true(lo <= delta + 1e-12 && hi >= delta - 1e-12);
			}
}

static void test_stats_clopper_pearson__matches_published_bounds(void **state)
{
	static const struct {
		size_t k, n;
		double lo;
	} cells[] = { { 85, 100, .778463091681 },
		      { 164, 200, .769332882616 },
		      { 870, 1000, .851195318999 },
		      { 100, 100, .970486950393 } };
	double lo, hi;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		stats_clopper_pearson(cells[i].k, cells[i].n, 0.95, &lo, &hi);
		assert_true(fabs(lo - cells[i].lo) < 1e-12);
		assert_true(hi > lo);
		stats_clopper_pearson(cells[i].n - cells[i].k, cells[i].n, 0.95, &lo, &hi); /* mirrored */
		assert_true(fabs(1 - hi - cells[i].lo) < 1e-12);
	}
	/* the exact binomial p of "at least .80" at those counts */
	close_to(stats_beta_cdf(.80, 85, 16), .128505514839, 1e-11);
	close_to(stats_beta_cdf(.80, 164, 37), .271737251364, 1e-11);
}

static void test_stats_ratio__mean_and_its_error(void **state)
{
	const double a[] = { 1, 0, 1, 1, 0 }, b[] = { 1, 1, 0, 1, 1, 1, 0, 1 };
	struct stats_ratio r;

	(void)state;
	stats_ratio(&r, a, NULL, 5);
	close_to(r.ratio, 0.6, 1e-14);
	close_to(r.se, .24494897427831783, 1e-12);
	close_to(r.se_loo, r.se, 1e-12); /* equal weights: the same */
	stats_ratio(&r, b, NULL, 8);
	close_to(r.se, .16366341767699427, 1e-12);
	stats_ratio(&r, a, NULL, 1);
	assert_true(isnan(r.se) && isnan(r.se_loo));
}

static void test_stats_ratio__paired_perplexity(void **state)
{
	const double b[] = { -120, -95.5, -210.25, -60, -151, -88 }, c[] = { -119, -96, -208, -60.5, -149.5, -88.25 };
	const double w[] = { 40, 30, 65, 22, 50, 27 };
	double d[6], z = stats_normal_quantile(.95), t = stats_t_quantile(.95, 5);
	struct stats_ratio r, rb, rc;

	(void)state;
	for (int i = 0; i < 6; i++)
		d[i] = c[i] - b[i];
	stats_ratio(&r, d, w, 6);
	stats_ratio(&rb, b, w, 6);
	stats_ratio(&rc, c, w, 6);
	close_to(exp(-rb.ratio), 22.136375866662508, 1e-12);
	close_to(exp(-rc.ratio), 21.80774010058221, 1e-12);
	close_to(r.ratio, .014957264957264958, 1e-12);
	close_to(r.se, .009791511624381627, 1e-12);
	close_to(rb.se, .06650905214237805, 1e-12);
	close_to(hypot(rb.se, rc.se), .0926036074550032, 1e-12);
	close_to(exp(-r.ratio), .9851540393034602, 1e-12);
	close_to(exp(-r.ratio + z * r.se), 1.0011489980444908, 1e-12);
	close_to(exp(-r.ratio + t * r.se), 1.0047845140232897921, 1e-12); /* with t_5 to 20 digits */
	assert_true(r.se_loo > r.se);
}

static void test_stats_holm__matches_vector(void **state)
{
	const double p[] = { .010, .040, .030, .005 }, want[] = { .03, .06, .06, .02 };
	double got[4];

	(void)state;
	stats_holm(p, 4, got);
	for (int i = 0; i < 4; i++)
		close_to(got[i], want[i], 1e-12);
	stats_holm(p, 0, got);
	stats_holm((const double[]){ .9, .8 }, 2, got);
	close_to(got[0], 1, 1e-15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats_sum__keeps_small_terms),
		cmocka_unit_test(test_stats_quantiles__match_golden),
		cmocka_unit_test(test_stats_beta_quantile__inverts_the_cdf),
		cmocka_unit_test(test_stats_mcnemar__matches_rational_arithmetic),
		cmocka_unit_test(test_stats_tango_z__matches_published_cells),
		cmocka_unit_test(test_stats_tango_z__is_monotone),
		cmocka_unit_test(test_stats_tango_interval__matches_direct_maximisation),
		cmocka_unit_test(test_stats_tango_interval__never_has_zero_width),
		cmocka_unit_test(test_stats_clopper_pearson__matches_published_bounds),
		cmocka_unit_test(test_stats_ratio__mean_and_its_error),
		cmocka_unit_test(test_stats_ratio__paired_perplexity),
		cmocka_unit_test(test_stats_holm__matches_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
