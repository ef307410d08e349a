/* test_stats_vectors.c: the worked example of 1000 pairs, 45 lost and 30 won, in every number that is published of it, and of the
 * sequences beside the bets. What the gate has a function for is that function's; the rest is put together from them, so that
 * a slip in one shows in the others. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/stats_int.h"

enum { N = 1000, LOST = 45, WON = 30, BOTH = 700 };
#define Z95 1.6448536269514727149

static void near(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %.17g, want %.17g", got, want);
}

/* Errors and z of the change, as if the pairs were draws: displayed, never gated on. */
static void test_vectors__errors_of_1000_pairs(void **state)
{
	double b[N], c[N], d[N], z = 15 / sqrt(75), cc = 14 / sqrt(75);
	struct stats_ratio rb, rc, rd;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		b[i] = i < BOTH + LOST;
		c[i] = i < BOTH || (i >= BOTH + LOST && i < BOTH + LOST + WON);
		d[i] = c[i] - b[i];
	}
	stats_ratio(&rb, b, NULL, N);
	stats_ratio(&rc, c, NULL, N);
	stats_ratio(&rd, d, NULL, N);
	near(rd.ratio, -.015, 1e-15);
	near(rd.se, .008651580771734715, 1e-12);
	near(hypot(rb.se, rc.se), .019684066207530965, 1e-12); /* unpaired */
	near(pow(hypot(rb.se, rc.se) / rd.se, 2), 5.18, .005);
	near(rd.ratio / rd.se, -1.733787199791972, 1e-12);
	near(rd.ratio - Z95 * rd.se, -.029230584011251455, 1e-12);
	near(stats_normal_cdf((rd.ratio - -.03) / -rd.se), .0414779, 5e-8); /* Wald, against 3 points */
	near(z * z, 3, 1e-12);
	near(2 * stats_normal_cdf(-z), .08326451666355043, 1e-12);
	near(cc * cc, 2.6133, 5e-5);
	near(2 * stats_normal_cdf(-cc), .10596880912720232, 1e-12);
	near(2 * stats_mcnemar_mid_p(LOST, WON), .08464609267083591711, 1e-12);
}

/* The share of won that Tango's statistic supposes, out of its denominator. */
static void test_vectors__tango_of_1000_pairs(void **state)
{
	static const struct {
		double delta, q, z;
	} cells[] = { { .01, .032188455308081156, .5801537294147313 },
		      { .02, .028109206620963174, -.5742257435568467 },
		      { .03, .025109121054887763, -1.6842428748678595 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		double z = stats_tango_z(N, LOST, WON, cells[i].delta), delta = cells[i].delta;
		double q = (pow((LOST - WON - N * delta) / z, 2) / N - delta * (1 - delta)) / 2;

		near(z, cells[i].z, 1e-12);
		near(q, cells[i].q, 1e-12);
	}
}

/* 950 of 1000 asked, of the 50 that are left the baseline has 30 right; limit 3 points. */
static void test_vectors__curtailed_score_test(void **state)
{
	(void)state;
	near(stats_tango_z(N, 0 + 30, 20, .03), -2.6101910562, 1e-10); /* lost 0, won 20: even the worst end passes */
	near(stats_tango_z(N, 60, 15 + 20, .03), -.5115937400, 1e-10); /* lost 60, won 15: even the best does not */
	assert_true(stats_tango_z(N, 10 + 30, 12, .03) > -Z95);        /* lost 10, won 12: open, */
	assert_true(stats_tango_z(N, 10, 12 + 20, .03) < -Z95);        /* both ways */
}

/* The perplexity pair: the unpaired error, and the bound by t of 5 degrees beside the one by z. */
static void test_vectors__perplexity_of_six_texts(void **state)
{
	const double lb[] = { -120, -95.5, -210.25, -60, -151, -88 }, lc[] = { -119, -96, -208, -60.5, -149.5, -88.25 },
		     w[] = { 40, 30, 65, 22, 50, 27 };
	double d[6];
	struct stats_ratio b, c, r;

	(void)state;
	for (int i = 0; i < 6; i++)
		d[i] = lc[i] - lb[i];
	stats_ratio(&b, lb, w, 6);
	stats_ratio(&c, lc, w, 6);
	stats_ratio(&r, d, w, 6);
	near(b.se, .06650905214237805, 1e-12);
	near(c.se, .06443581377466077, 1e-12);
	near(hypot(b.se, c.se), .0926036074550032, 1e-12);
	near(pow(hypot(b.se, c.se) / r.se, 2), 89.44505243339368, 1e-9);
	near(exp(-r.ratio + Z95 * r.se), 1.0011489980444908, 1e-12);
	/* scipy's; 1.0047845140167584 stands beside it elsewhere, made with a quantile of ten digits */
	near(exp(-r.ratio + stats_t_quantile(.95, 5) * r.se), 1.0047845140232898, 1e-12);
}

/* The beta mixture over pairs that differ, E = 2^n B(s + 1, f + 1) P(Bin(n, 1/2) <= s), n = s + f + 1: by exact factorials. */
static void test_vectors__beta_mixture(void **state)
{
	static const struct {
		size_t won, lost;
		double e;
	} cells[] = { { 1, 0, 1.5 },
		      { 5, 0, 10.5 },
		      { 10, 2, 9.44055944055944 },
		      { 20, 8, 5.884463373818696158 },
		      { 45, 30, 1.2177140766634395563 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		size_t s = cells[i].won, f = cells[i].lost, n = s + f + 1;
		double e = pow(2, (double)n) * stats_binomial_lower(n, s, .5) / (double)n;

		for (size_t k = 1; k <= f; k++) /* B(s + 1, f + 1) = 1 / (n C(n - 1, f)) */
			e *= (double)k / (double)(s + k);
		near(e, cells[i].e, 1e-12 * cells[i].e);
	}
}

/* The empirical Bernstein sequence on the bets of the gate, cut at a half (a supposed mean of 1 cuts them there), at half the
 * level; and the two that need no data. */
static void test_vectors__closed_forms(void **state)
{
	static const int pattern[] = { 0, 0, 1, 0, 0, 0, 0, 1, 0, -1 };
	double weight = 0, centre = 0, spread = 0, r2 = (-2 * log(.05) + log1p(-2 * log(.05))) / 1000;
	struct stats_bet b;

	(void)state;
	stats_bet_init(&b, .025, 1, 0);
	for (size_t t = 1; t <= 100; t++) {
		double x = (pattern[(t - 1) % 10] + 1) / 2.0, before = (.5 + b.sum) / (double)t;

		stats_bet_add(&b, x);
		weight += b.bet;
		centre += b.bet * x;
		spread += (x - before) * (x - before) * (-log1p(-b.bet) - b.bet);
		if (t == 50) {
			near(centre / weight, .55, 1e-12);
			near((log(40) + spread) / weight, .17734843765094968, 1e-12);
		}
	}
	near(centre / weight, .5501630012338166, 1e-12);
	near((log(40) + spread) / weight, .10288777292798282, 1e-12);
	near(sqrt(300 * log(300 / (50 * .05 * .05))), 48.32149837185113, 1e-12);
	near(sqrt(r2), .08908509752892212, 1e-12);
	near(sqrt(2 * (1000 * r2 + 1) / (1000 * 1000 * r2) * log(sqrt(1000 * r2 + 1) / .05)), .09598173584209048,
	     1e-12);
	near(-stats_normal_quantile(.025) / sqrt(1000), .0619795, 5e-8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors__errors_of_1000_pairs),
		cmocka_unit_test(test_vectors__tango_of_1000_pairs),
		cmocka_unit_test(test_vectors__curtailed_score_test),
		cmocka_unit_test(test_vectors__perplexity_of_six_texts),
		cmocka_unit_test(test_vectors__beta_mixture),
		cmocka_unit_test(test_vectors__closed_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
