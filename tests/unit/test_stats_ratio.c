/* test_stats_ratio.c: clusters, floors and skew against worked values. */
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

static void test_stats_ratio__clusters_of_a_worked_example(void **state)
{
	const double d[] = { 0, -1, 0, 1, 0, 0, -1, 0, 1, -1, 0, 0 };
	const size_t g[] = { 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3 };
	double x[4], w[4];
	struct stats_ratio items, clusters;

	(void)state;
	stats_clusters_sum(d, g, 12, x, 4);
	stats_clusters_sum(NULL, g, 12, w, 4);
	stats_ratio(&items, d, NULL, 12);
	stats_ratio(&clusters, x, w, 4);
	near(items.ratio, -1.0 / 12, 1e-15);
	near(clusters.ratio, -1.0 / 12, 1e-15);
	near(items.se, .19299604852813632, 1e-12);
	near(clusters.se, .15507531689300205, 1e-12);
	near(clusters.se / sqrt(4.0 / 3), .1342991639292619, 1e-12);
	near(items.n_effective, 12, 1e-12);
	near(clusters.n_effective, 144.0 / (9 + 16 + 4 + 9), 1e-12);
}

/* Leave-one-out is the jackknife: the mean without each cluster in turn, done the long way. */
static void test_stats_ratio__leave_one_out_is_the_jackknife(void **state)
{
	const double x[] = { 3, -1, 4, 1.5, -2 }, w[] = { 2, 5, 1, 7, 3 };
	double sum = 6 - .5, weight = 18, square = 0;
	struct stats_ratio r;

	(void)state;
	stats_ratio(&r, x, w, 5);
	for (int i = 0; i < 5; i++)
		square += pow((sum - x[i]) / (weight - w[i]) - sum / weight, 2);
	near(r.se_loo, sqrt(4.0 / 5 * square), 1e-14);
}

/* Two tasks of the published group, weighted by size and each alike: their own errors, put together. */
static void test_stats_ratio_strata__is_the_error_of_a_group(void **state)
{
	const double x[] = { 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1 };
	const size_t sizes[] = { 5, 8 };
	double w[13], y[13], v5 = .24494897427831783 * .24494897427831783, v8 = .16366341767699427 * .16366341767699427;
	struct stats_ratio r;

	(void)state;
	stats_ratio(&r, x, NULL, 13);
	near(stats_ratio_strata(&r, x, NULL, sizes, 2, 0),
	     pow(25 * v5 + 64 * v8, 2) / (pow(25 * v5, 2) / 4 + pow(64 * v8, 2) / 7), 1e-12); /* Satterthwaite */
	near(r.se, .13791099338473772, 1e-12);
	for (size_t i = 0; i < 13; i++) {
		w[i] = 1 / (double)sizes[i >= 5];
		y[i] = w[i] * x[i];
	}
	stats_ratio(&r, y, w, 13);
	near(r.ratio, .675, 1e-14);
	stats_ratio_strata(&r, y, w, sizes, 2, 0);
	near(r.se, .14729707590929486, 1e-12);
	/* a floor under each: of .3 under variances of .3 and .2143 */
	stats_ratio_strata(&r, y, w, sizes, 2, .3);
	near(r.se, sqrt(.3 / 5 + .3 / 8) / 2, 1e-12);
	/* what differs between them is no noise */
	for (size_t i = 0; i < 13; i++)
		y[i] = i >= 5;
	stats_ratio(&r, y, NULL, 13);
	assert_true(r.se > .1);
	stats_ratio_strata(&r, y, NULL, sizes, 2, 0);
	assert_true(r.se == 0);
	assert_true(isnan(stats_ratio_strata(&r, y, NULL, (size_t[]){ 12, 1 }, 2, 0)));
	assert_false(isnan(stats_ratio_strata(&r, y, NULL, (size_t[]){ 12, 1 }, 2, .1)));
}

static void test_stats_ratio__skew_and_the_heaviest_sample(void **state)
{
	const double x[] = { 0, 0, 0, 0, -5 };
	struct stats_ratio r;

	(void)state;
	stats_ratio(&r, x, NULL, 5);
	near(r.skew, -1.5, 1e-12); /* of a single one among five: -(1 - 2p) / sqrt(p (1 - p)), p = 1/5 */
	assert_int_equal(r.heaviest, 4);
	near(r.heaviest_share, .8, 1e-12);
}

static void test_stats_johnson_t__is_monotone_and_corrects_by_hand(void **state)
{
	(void)state;
	near(stats_johnson_t(2, .6, 100), 2 + .01 + .08, 1e-12);
	near(stats_johnson_t(2, -.6, 100), 2 - .01 - .08, 1e-12);
	near(stats_johnson_t(2, 0, 100), 2, 0);
	for (double skew = -3; skew <= 3; skew += 1.5)
		for (double t = -60; t < 60; t += .5)
			assert_true(stats_johnson_t(t + .5, skew, 100) >= stats_johnson_t(t, skew, 100));
}

static void test_stats_t_floored__a_rare_loss_is_not_ruled_out_by_not_meeting_it(void **state)
{
	double floor_se = sqrt(stats_drop_floor(.02, 1) / 120), enough = sqrt(stats_drop_floor(.02, 1) / 200);

	(void)state;
	near(stats_drop_floor(.02, 1), .0196, 1e-15);
	near(stats_drop_floor(.02, 2), .0396, 1e-15);
	near(stats_drop_floor(0, 1), 0, 0);
	near(stats_drop_floor(1.5, 1), 0, 0);
	near(stats_t_floored(.02, 0, floor_se, 119), stats_t_upper(.02 / floor_se, 119), 0);
	assert_true(stats_t_floored(.02, 1e-9, floor_se, 119) > .05);
	assert_true(stats_t_floored(.02, 1e-9, enough, 199) < .05);
	assert_true(stats_t_floored(.02, .5, enough, 199) > .4); /* the larger of the two */
	assert_true(stats_t_floored(.02, 0, 0, 199) == 1);       /* nothing varies: no evidence */
	assert_true(stats_t_skewed(.02, 0, 0, 200, 199) == 1);
	assert_true(stats_t_skewed(.2, .1, -2, 200, 199) > stats_t_upper(2, 199));
	assert_true(stats_t_skewed(.2, .1, 2, 200, 199) == stats_t_upper(2, 199));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats_ratio__clusters_of_a_worked_example),
		cmocka_unit_test(test_stats_ratio__leave_one_out_is_the_jackknife),
		cmocka_unit_test(test_stats_ratio_strata__is_the_error_of_a_group),
		cmocka_unit_test(test_stats_ratio__skew_and_the_heaviest_sample),
		cmocka_unit_test(test_stats_johnson_t__is_monotone_and_corrects_by_hand),
		cmocka_unit_test(test_stats_t_floored__a_rare_loss_is_not_ruled_out_by_not_meeting_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
