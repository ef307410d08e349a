/* test_stats_sequence.c: curtailment and betting against worked sequences. */
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

/* Order 0..19, the baseline right on 0..15, the candidate the same but for 0, 3 and 6. */
static size_t certain_after(double allowed, enum stats_decision want)
{
	struct stats_counts c = { 0, 0, 16, 4 };

	for (size_t i = 0; i < 20; i++) {
		c.right_left -= i < 16;
		c.wrong_left -= i >= 16;
		c.lost += i == 0 || i == 3 || i == 6;
		if (stats_curtail(&c, allowed) != STATS_OPEN) {
			assert_int_equal(stats_curtail(&c, allowed), want);
			return i + 1;
		}
	}
	return 0;
}

static void test_stats_curtail__counts_items_consumed(void **state)
{
	(void)state;
	assert_int_equal(certain_after(3, STATS_PASS), 16);
	assert_int_equal(certain_after(4, STATS_PASS), 15);
	assert_int_equal(certain_after(1, STATS_FAIL), 19);
	near(stats_allowed(.07, 100), 7, 0);
	near(stats_allowed(.29, 100), 29, 0);
	near(stats_allowed(.2899, 100), 28, 0);
}

/* Whatever the rest turns out to be, a decision that was certain is the decision at the end. */
static void test_stats_curtail__is_never_taken_back(void **state)
{
	(void)state;
	for (unsigned base = 0; base < 64; base++)
		for (unsigned cand = 0; cand < 64; cand++)
			for (int allowed = 0; allowed <= 3; allowed++) {
				enum stats_decision first = STATS_OPEN, d = STATS_OPEN;
				struct stats_counts c = { 0 };

				for (int i = 0; i < 6; i++)
					*(base >> i & 1 ? &c.right_left : &c.wrong_left) += 1;
				for (int i = 0; i < 6; i++) {
					bool b = base >> i & 1, k = cand >> i & 1;

					*(b ? &c.right_left : &c.wrong_left) -= 1;
					c.lost += b && !k;
					c.won += k && !b;
					d = stats_curtail(&c, allowed);
					first = first == STATS_OPEN ? d : first;
				}
				assert_int_not_equal(d, STATS_OPEN); /* all in: decided */
				assert_int_equal(first, d);
			}
}

/* Bets on a pattern of differences, again and again; the step at which the wealth first reaches 20, or 0. */
struct played {
	size_t above_at, below_at;
	double above[101], below[101];
};
static void play(struct played *out, const int *d, size_t n_d, double delta, size_t n_total, size_t steps)
{
	struct stats_bet b;

	*out = (struct played){ 0 };
	stats_bet_init(&b, .05, (1 - delta) / 2, n_total);
	for (size_t t = 1; t <= steps; t++) {
		stats_bet_add(&b, stats_bet_drop(d[(t - 1) % n_d], 1, delta));
		if (t <= 100) {
			out->above[t] = exp(b.log_above);
			out->below[t] = exp(b.log_below);
		}
		if (!out->above_at && stats_bet_p_above(&b) <= .05)
			out->above_at = t;
		if (!out->below_at && stats_bet_p_below(&b) <= .05)
			out->below_at = t;
	}
}

static const int wins[] = { 0, 0, 1, 0, 0, 0, 0, 1, 0, -1 }, losses[] = { 0, 0, -1, 0, 0, 0, -1, 1, 0, -1 },
		 same[] = { 0 };

static void test_stats_bet__worked_sequences(void **state)
{
	const double above[] = { 1.010204082, 1.020512287, 1.551595211, 1.240949825, 3.576143003, 11.005039666 };
	const size_t at[] = { 1, 2, 3, 10, 50, 100 };
	struct played p;

	(void)state;
	play(&p, wins, 10, .02, 0, 200);
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		near(p.above[at[i]], above[i], 1e-9);
	assert_int_equal(p.above_at, 128);
	play(&p, losses, 10, 0, 0, 100);
	near(p.below[1], 1, 1e-12);
	near(p.below[3], 1.5, 1e-12);
	near(p.below[10], 1.6875, 1e-12);
	near(p.below[50], 12.49338469592145, 1e-11);
	assert_int_equal(p.below_at, 57);
	assert_int_equal(p.above_at, 0);
}

static void test_stats_bet__sizes_its_bets_by_what_came_before(void **state)
{
	const double want[] = { 5.880087139, 4.670617114, 4.15784949, 3.087090532 };
	double sum = 0, squares = 0;

	(void)state;
	for (int t = 1; t <= 4; t++) { /* the bet before it is capped, from the definition */
		double x = (wins[t - 1] + 1) / 2.0, off;

		near(sqrt(2 * log(20) / ((.25 + squares) / t * t * log(1 + t))), want[t - 1], 1e-9);
		sum += x;
		off = x - (.5 + sum) / (t + 1);
		squares += off * off;
	}
}

static void test_stats_bet__without_replacement(void **state)
{
	const size_t totals[] = { 500, 1000, 2000 }, stop[] = { 98, 108, 118 };
	struct played p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
		play(&p, wins, 10, .02, totals[i], 200);
		assert_int_equal(p.above_at, stop[i]);
	}
	play(&p, same, 1, .02, 1000, 400);
	assert_int_equal(p.above_at, 256);
}

static void test_stats_bet__an_unchanged_model_needs(void **state)
{
	const double deltas[] = { .01, .02, .03, .05 };
	const size_t stop[] = { 595, 296, 196, 116 };
	struct played p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
		play(&p, same, 1, deltas[i], 0, 700);
		assert_int_equal(p.above_at, stop[i]);
	}
}

/* Who expects no change bets on it: sure sooner where samples flip, and as often wrong (make check-statistics). */
static void test_stats_bet__expecting_no_change_is_sooner(void **state)
{
	struct stats_bet plain, hopes;
	size_t plain_at = 0, hopes_at = 0;

	(void)state;
	stats_bet_init(&plain, .05, .49, 0);
	hopes = plain;
	hopes.expected = .5;
	for (size_t t = 1; t <= 4000; t++) { /* one in twenty lost, one won */
		int d = t % 20 == 7 ? -1 : t % 20 == 14 ? 1 : 0;

		stats_bet_add(&plain, stats_bet_drop(d, 1, .02));
		stats_bet_add(&hopes, stats_bet_drop(d, 1, .02));
		plain_at = plain_at ? plain_at : stats_bet_p_above(&plain) <= .05 ? t : 0;
		hopes_at = hopes_at ? hopes_at : stats_bet_p_above(&hopes) <= .05 ? t : 0;
	}
	assert_true(hopes_at > 1000 && hopes_at < 1700);
	assert_true(plain_at > 1.5 * (double)hopes_at);
}

/* It cannot go below 0, whatever comes: what Ville's inequality rests on. */
static void test_stats_bet__wealth_stays_above_zero(void **state)
{
	(void)state;
	for (int expects = 0; expects < 2; expects++)
		for (unsigned pattern = 0; pattern < 729; pattern++) { /* 3^6 */
			struct stats_bet b;
			unsigned p = pattern;

			stats_bet_init(&b, .05, .45, expects ? 0 : 6);
			b.expected = expects ? .5 : 0;
			for (int i = 0; i < 6; i++, p /= 3) {
				stats_bet_add(&b, (double)(p % 3) / 2);
				assert_true(isfinite(b.log_above) && isfinite(b.log_below));
			}
		}
}

static void test_stats_bet__clusters(void **state)
{
	const double s[] = { -1, 0, 1, -1 }, x[] = { .3625, .5, .6, .3625 };
	const double iid[] = { .9027777777777778, .9529320987654322, 1.1117541152263375, 1.0036669095793325 };
	const double wor[] = { .9027777777777778, .922403381642512, 1.0515398550724635, 1.0904857756307027 };
	const size_t n[] = { 3, 4, 2, 3 };
	struct stats_bet a, b;

	(void)state;
	stats_bet_init(&a, .05, .45, 0);
	stats_bet_init(&b, .05, .45, 4);
	for (int g = 0; g < 4; g++) {
		near(stats_bet_drop(s[g] / 4, (double)n[g] / 4, .1), x[g], 1e-15);
		stats_bet_add(&a, stats_bet_drop(s[g] / 4, (double)n[g] / 4, .1));
		stats_bet_add(&b, stats_bet_drop(s[g] / 4, (double)n[g] / 4, .1));
		near(exp(a.log_above), iid[g], 1e-12);
		near(exp(b.log_above), wor[g], 1e-12);
	}
}

/* All samples in: where the mean lies beyond m0, betting without replacement knows it for certain by then. */
static void test_stats_bet__is_certain_at_the_end(void **state)
{
	struct stats_bet b;

	(void)state;
	stats_bet_init(&b, .05, .5, 10);
	for (int i = 0; i < 6; i++)
		stats_bet_add(&b, 1);
	assert_true(stats_bet_p_above(&b) == 0); /* 6 of 10: above one half whatever comes */
	assert_true(stats_bet_p_below(&b) > .05);
	stats_bet_init(&b, .05, .5, 10);
	for (int i = 0; i < 6; i++)
		stats_bet_add(&b, 0);
	assert_true(stats_bet_p_below(&b) == 0);
	stats_bet_init(&b, .05, .5, 10);
	for (int i = 0; i < 10; i++) { /* exactly on the limit: neither is ever certain */
		stats_bet_add(&b, i % 2);
		assert_true(isfinite(b.most_above) && isfinite(b.most_below));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats_curtail__counts_items_consumed),
		cmocka_unit_test(test_stats_curtail__is_never_taken_back),
		cmocka_unit_test(test_stats_bet__worked_sequences),
		cmocka_unit_test(test_stats_bet__sizes_its_bets_by_what_came_before),
		cmocka_unit_test(test_stats_bet__without_replacement),
		cmocka_unit_test(test_stats_bet__an_unchanged_model_needs),
		cmocka_unit_test(test_stats_bet__expecting_no_change_is_sooner),
		cmocka_unit_test(test_stats_bet__wealth_stays_above_zero),
		cmocka_unit_test(test_stats_bet__clusters),
		cmocka_unit_test(test_stats_bet__is_certain_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
