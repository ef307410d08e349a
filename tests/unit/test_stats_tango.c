/* test_stats_tango.c: the exact test of paired 0/1 scores: against values found otherwise, against sums over all
 * outcomes, and its size. */
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

/* From another implementation of the same sum (numpy, other grids). */
static void test_stats_tango_exact__matches_published_cells(void **state)
{
	static const struct {
		size_t n, lost, won;
		double delta, p;
	} cells[] = {
		{ 20, 0, 0, .1, .121576654591 },      { 58, 0, 0, .05, .051046868684 },
		{ 59, 0, 0, .05, .048494525249 },     { 133, 0, 0, .02, .068087606424 },
		{ 149, 0, 0, .02, .049281654330 },    { 100, 1, 3, .03, .024615428933 },
		{ 300, 5, 6, .02, .030473513352 },    { 1000, 45, 30, .03, .047120176746 },
		{ 1000, 45, 30, .02, .305792783358 }, { 1000, 22, 20, .02, .005203982426 },
		{ 1000, 0, 0, .01, .000756403203 },   { 120, 0, 1, .02, .038143249968 },
		{ 1000, 30, 45, 0, .048676212579 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		near(stats_tango_exact(cells[i].n, cells[i].lost, cells[i].won, cells[i].delta), cells[i].p, 2e-12);
	near(stats_tango_exact(20, 0, 0, .1), pow(.9, 20), 1e-12); /* nobody lost, and q = 0 is the worst */
}

/* P(lost = b, won = c) of n samples. */
static double trinomial(size_t n, size_t b, size_t c, double pb, double pc)
{
	double p0 = 1 - pb - pc, rest = (double)(n - b - c);
	double log_p = lgamma((double)n + 1) - lgamma((double)b + 1) - lgamma((double)c + 1) - lgamma(rest + 1);

	if ((b && pb <= 0) || (c && pc <= 0) || (rest > 0 && p0 <= 0))
		return 0;
	return exp(log_p + (b ? (double)b * log(pb) : 0) + (c ? (double)c * log(pc) : 0) +
		   (rest > 0 ? rest * log(p0) : 0));
}

/* The supremum over q by brute force: every outcome, a fine even grid. */
static double exact_by_force(size_t n, size_t lost, size_t won, double delta)
{
	double z = stats_tango_z(n, lost, won, delta) + 1e-9, worst = 0;
	double from = delta < 0 ? -delta : 0, to = (1 - delta) / 2;

	for (int i = 0; i <= 2000; i++) {
		double q = from + (to - from) * i / 2000, p = 0;

		for (size_t b = 0; b <= n; b++)
			for (size_t c = 0; b + c <= n; c++)
				if (stats_tango_z(n, b, c, delta) <= z)
					p += trinomial(n, b, c, q + delta < 1e-15 ? 0 : q + delta, q);
		worst = fmax(worst, p);
	}
	return worst;
}

static void test_stats_tango_exact__is_the_sum_over_all_outcomes(void **state)
{
	static const struct {
		size_t n, lost, won;
		double delta;
	} cells[] = { { 1, 0, 0, .1 },  { 7, 1, 2, .05 }, { 12, 0, 3, 0 },    { 12, 3, 3, .3 },  { 15, 0, 1, .9 },
		      { 9, 0, 4, -.1 }, { 9, 1, 1, -.3 }, { 12, 12, 0, .02 }, { 10, 0, 10, .02 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		double got = stats_tango_exact(cells[i].n, cells[i].lost, cells[i].won, cells[i].delta);
		double want = exact_by_force(cells[i].n, cells[i].lost, cells[i].won, cells[i].delta);

		if (!(got >= want - 1e-12 && got <= want + 1e-5)) /* the even grid may miss the top by a little */
			fail_msg("cell %zu: got %.17g, by force %.17g", i, got, want);
	}
	near(stats_tango_exact(10, 10, 0, 1), 1, 0);
	near(stats_tango_exact(10, 9, 0, 1), 0, 0);
}

/* The claim: whatever the shares of lost and won, with a drop of delta the test passes at most 5 times in 100. The plain
 * score test does not hold that; the cell is among those tested. */
static void test_stats_tango_exact__has_its_level_everywhere(void **state)
{
	static const struct {
		size_t n;
		double delta;
	} cells[] = { { 19, .01 }, { 30, .05 }, { 40, .1 }, { 40, 0 }, { 30, -.05 } };
	double worst_plain = 0;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cells); k++) {
		size_t n = cells[k].n;
		double delta = cells[k].delta, from = delta < 0 ? -delta : 0, to = (1 - delta) / 2;
		static double p[41][41];

		for (size_t b = 0; b <= n; b++)
			for (size_t c = 0; b + c <= n; c++)
				p[b][c] = stats_tango_exact(n, b, c, delta);
		for (int i = 0; i <= 60; i++) {
			double q = from + (to - from) * i / 60, exact = 0, plain = 0;

			for (size_t b = 0; b <= n; b++)
				for (size_t c = 0; b + c <= n; c++) {
					double at = trinomial(n, b, c, fmax(q + delta, 0), q);

					exact += p[b][c] <= .05 ? at : 0;
					plain += stats_normal_cdf(stats_tango_z(n, b, c, delta)) <= .05 ? at : 0;
				}
			assert_true(exact <= .05 + 1e-9);
			worst_plain = fmax(worst_plain, plain);
		}
	}
	assert_true(worst_plain > .06);
}

/* Millions of samples: it agrees with the normal approximation there, and is quick. */
static void test_stats_tango_exact__large_suites(void **state)
{
	double p = stats_tango_exact(1000000, 50300, 40000, .01), z = stats_tango_z(1000000, 50300, 40000, .01);

	(void)state;
	near(p, stats_normal_cdf(z), .002);
	assert_true(stats_tango_exact(200000, 0, 0, .001) < 1e-15);
	assert_true(stats_tango_exact(100000, 2000, 0, .001) > .999);
}

/* Against sums of scipy's binomials; lost and won trinomial, each with half of the flips. */
static void test_stats_flips_within__matches_the_trinomial(void **state)
{
	const struct {
		size_t n;
		double flips, allowed, want;
	} cells[] = { { 60, .05, 1, 0.8171923113704513 },
		      { 133, .05, 2, 0.8381332283655902 },
		      { 100, .1, 3, 0.8680683578946524 },
		      { 50, .04, -1, 0.34731722649026453 },
		      { 10, .3, 0, 0.615956835207226 },
		      { 1000, .06, 20, 0.9958837297090974 },
		      { 240, .042, 7, 0.9906135864161849 },
		      { 10, .3, 10, 1 },
		      { 10, 0, 0, 1 },
		      { 10, 0, -1, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		near(stats_flips_within(cells[i].n, cells[i].flips, cells[i].allowed), cells[i].want, 1e-12);
}

/* The published power of the exact test, to its two digits; and by adding up all outcomes that pass. */
static void test_stats_tango_power__matches_published_cells_and_the_sum(void **state)
{
	const size_t n = 60;
	double sum = 0;

	(void)state;
	near(stats_tango_power(300, .02, .05, .05), .43, .005);
	near(stats_tango_power(1000, .02, .05, .05), .87, .005);
	near(stats_tango_power(1000, .01, .05, .05), .40, .005);
	near(stats_tango_power(3000, .01, .05, .05), .78, .005);
	near(stats_tango_power(133, .02, .05, .02), .25, .005);
	for (size_t b = 0; b <= n; b++)
		for (size_t c = 0; b + c <= n; c++)
			if (trinomial(n, b, c, .03, .03) > 1e-12 && stats_tango_exact(n, b, c, .08) <= .05)
				sum += trinomial(n, b, c, .03, .03);
	near(stats_tango_power(n, .08, .05, .06), sum, 1e-9);
	near(stats_tango_power(20000, .02, .05, .05), 1, 1e-6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats_tango_exact__matches_published_cells),
		cmocka_unit_test(test_stats_tango_exact__is_the_sum_over_all_outcomes),
		cmocka_unit_test(test_stats_tango_exact__has_its_level_everywhere),
		cmocka_unit_test(test_stats_tango_exact__large_suites),
		cmocka_unit_test(test_stats_flips_within__matches_the_trinomial),
		cmocka_unit_test(test_stats_tango_power__matches_published_cells_and_the_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
