/* test_gate_rules.c: one rule at a time. The arithmetic is checked exhaustively against integers. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"
#include "tests/unit/gate_case.h"

/* names, where a policy owns its text */
static char T[] = "t", ACC[] = "acc", F1[] = "f1", PPL[] = "word_perplexity", BITS[] = "bits_per_byte";

/* ---- max_drop ---------------------------------------------------------------------------------------------------- */

static void test_gate_decide__max_drop_is_exact_on_counts(void **state)
{
	const int mille[] = { 0, 10, 20, 50, 100, 125, 143, 200, 250, 333, 500, 1000 };

	(void)state;
	for (size_t n = 1; n <= 9; n++)
		for (size_t lost = 0; lost <= n; lost++)
			for (size_t won = 0; lost + won <= n; won++) {
				struct task_result base, cand;

				pair_new(&base, &cand, n, n - lost - won, lost, won);
				for (size_t i = 0; i < ARRAY_LEN(mille); i++) {
					/* in integers: 1000 (lost - won) <= mille n */
					bool fits = 1000 * ((int)lost - (int)won) <= mille[i] * (int)n;
					enum verdict v = verdict_of(drop_rule(mille[i] / 1000.0), &base, &cand, NULL);

					assert_int_equal(v, fits ? VERDICT_PASS : VERDICT_FAIL);
				}
				task_result_release(&base);
				task_result_release(&cand);
			}
}

static void test_gate_decide__boundary_passes_in_spite_of_rounding(void **state)
{
	struct task_result base, cand;

	(void)state;
	for (size_t n = 100; n <= 1000;
	     n += 100) { /* 0.07 × 100 is 7.000000000000001, 0.29 × 100 is 28.999999999999996 */
		pair_new(&base, &cand, n, n - n * 29 / 100, n * 29 / 100, 0);
		assert_int_equal(verdict_of(drop_rule(0.29), &base, &cand, NULL), VERDICT_PASS);
		assert_int_equal(verdict_of(drop_rule(0.2899), &base, &cand, NULL), VERDICT_FAIL);
		task_result_release(&base);
		task_result_release(&cand);
	}
}

static void test_gate_decide__explains_with_numbers(void **state)
{
	struct task_result base, cand;
	struct gate_rule rule = drop_rule(0.02);
	struct gate_policy p = policy_of(&rule, 1);
	struct gate_result r;
	double lo, hi;

	(void)state;
	pair_new(&base, &cand, 500, 400, 12, 6);
	verdict_of(rule, &base, &cand,
		   "dropped by 1.2 points on these 500 samples (lost 12, won 6); allowed 2.0 points");
	verdict_of(drop_rule(0.0119), &base, &cand,
		   "dropped by 1.20 points on these 500 samples (lost 12, won 6); allowed 1.19 points");
	rule.drop_relative = true;
	rule.drop = 0.02;
	verdict_of(rule, &base, &cand, "allowed 2% of 82.4, which is 1.6");
	rule = drop_rule(0.02);
	assert_int_equal(decide(&r, &p, &base, &cand, false), 0);
	assert_string_equal(r.rules[0].rule, "t.acc: max_drop 0.02");
	assert_string_equal(r.rules[0].method, "exact count");
	assert_true(fabs(r.rules[0].delta + 0.012) < 1e-15);
	assert_int_equal(r.rules[0].lost, 12);
	assert_int_equal(r.rules[0].won, 6);
	stats_tango_interval(500, 12, 6, 0.95, &lo, &hi);
	assert_true(r.rules[0].lo == lo && r.rules[0].hi == hi);
	assert_says(r.sentence, "t.acc: dropped by 1.2 points");
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__relative_drop_is_a_share_of_what_was_right(void **state)
{
	struct gate_rule rule = drop_rule(0.05);

	(void)state;
	rule.drop_relative = true;
	for (size_t right = 1; right <= 60; right++)
		for (size_t lost = 0; lost <= 5 && lost <= right; lost++) {
			struct task_result base, cand;

			pair_new(&base, &cand, 60, right - lost, lost, 0);
			assert_int_equal(verdict_of(rule, &base, &cand, NULL),
					 100 * lost <= 5 * right ? VERDICT_PASS : VERDICT_FAIL);
			task_result_release(&base);
			task_result_release(&cand);
		}
}

static void test_gate_decide__an_unchanged_score_has_an_interval(void **state)
{
	struct task_result base, cand;
	struct gate_rule rule = drop_rule(0);
	struct gate_policy p = policy_of(&rule, 1);
	double same[5] = { 0.25, 0.25, 0.25, 0.25, 0.25 };
	struct gate_result r;

	(void)state;
	pair_new(&base, &cand, 5, 3, 0, 0);
	metric_add(&base, "f", AGGREGATE_MEAN, true, false, same, NULL);
	metric_add(&cand, "f", AGGREGATE_MEAN, true, false, same, NULL);
	assert_int_equal(decide(&r, &p, &base, &cand, false), 0);
	assert_int_equal(r.verdict, VERDICT_PASS);
	assert_int_equal(r.n, 2); /* the rule, and the other metric, shown */
	for (size_t i = 0; i < r.n; i++)
		assert_true(r.rules[i].lo < 0 && r.rules[i].hi > 0);
	assert_false(r.rules[1].gated);
	assert_says(r.rules[1].rule, "t.f: shown");
	assert_says(r.rules[0].explanation, "did not change on these 5 samples (lost 0, won 0)");
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
}

/* ---- real scores ------------------------------------------------------------------------------------------------- */

static void test_gate_decide__real_scores(void **state)
{
	const double b[4] = { 0.5, 0.75, 0.25, 1 }, c[4] = { 0.5, 0.5, 0.25, 1 };
	struct gate_rule rule = { .task = T, .metric = F1, .has_drop = true, .drop = 0.0625 };
	struct task_result base = task_new("t", 4), cand = task_new("t", 4);

	(void)state;
	metric_add(&base, "f1", AGGREGATE_MEAN, true, false, b, NULL);
	metric_add(&cand, "f1", AGGREGATE_MEAN, true, false, c, NULL);
	assert_int_equal(verdict_of(rule, &base, &cand,
				    "dropped by 0.0625 (0.6250 to 0.5625) on these 4 samples; allowed 0.0625"),
			 VERDICT_PASS);
	rule.drop = 0.0624;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	rule.drop_relative = true; /* of 0.625: 0.0625 is 10 % */
	rule.drop = 0.1;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_PASS);
	rule.drop = 0.0999;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	task_result_release(&base);
	task_result_release(&cand);
}

/* TER of single samples says nothing of the corpus's: 1 edit in 2 words, then 1 in 10. */
static void corpus_add(struct task_result *t, const double *edits, const double *lengths)
{
	struct metric *m;

	t->metrics = mem_array(1, sizeof(*t->metrics));
	t->n_metrics = 1;
	m = t->metrics;
	*m = (struct metric){
		.name = mem_str("ter"), .filter = mem_str("none"), .aggregate = AGGREGATE_TER, .n_parts = 2
	};
	m->scores = mem_array(t->n, sizeof(double));
	m->parts = mem_array(t->n, 2 * sizeof(double));
	for (size_t i = 0; i < t->n; i++) {
		m->parts[2 * i] = edits[i];
		m->parts[2 * i + 1] = lengths[i];
		m->scores[i] = 100 * edits[i] / lengths[i];
	}
	metric_close(m, t->n);
}

static void test_gate_decide__corpus_metrics(void **state)
{
	const double lengths[] = { 2, 10, 4, 4 }, b[] = { 1, 1, 0, 2 }, c[] = { 0, 3, 0, 2 };
	char ter[] = "ter", watched[] = "t.ter", *watch[] = { watched };
	struct gate_rule rule = { .task = T, .metric = ter, .has_increase = true, .increase = 5 };
	struct task_result base = task_new("t", 4), cand = task_new("t", 4), many_b, many_c;
	double edits_b[300], edits_c[300], words[300];
	struct gate_policy p = policy_of(NULL, 0);
	struct gate_result r;

	(void)state;
	corpus_add(&base, b, lengths);
	corpus_add(&cand, c, lengths);
	assert_int_equal(verdict_of(rule, &base, &cand, "rose by 5.0000 (20.0000 to 25.0000)"), VERDICT_PASS);
	rule.increase = 4.999;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	rule.increase_relative = true;
	rule.increase = 0.25;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_PASS);
	assert_int_equal(verdict_of(rule, &base, &base, "did not change"), VERDICT_PASS); /* with an interval */
	rule = (struct gate_rule){ .task = T, .metric = ter, .has_max = true, .max = 25 };
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_PASS);
	rule.max = 24;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	cand.metrics[0].n_parts = 1; /* of other options */
	rule = (struct gate_rule){ .task = T, .metric = ter, .has_increase = true, .increase = 5 };
	assert_int_equal(verdict_of(rule, &base, &cand, "other options"), VERDICT_INCOMPARABLE);
	task_result_release(&base);
	task_result_release(&cand);

	many_b = task_new("t", 300);
	many_c = task_new("t", 300);
	for (int i = 0; i < 300; i++) {
		words[i] = 5 + i % 7;
		edits_b[i] = i % 3;
		edits_c[i] = edits_b[i] + (i % 10 == 0);
	}
	corpus_add(&many_b, edits_b, words);
	corpus_add(&many_c, edits_c, words);
	p.watch = watch;
	p.n_watch = 1;
	if (decide(&r, &p, &many_b, &many_c, false))
		fail_msg("%s", err_text());
	assert_int_equal(r.rules[0].verdict, VERDICT_FAIL); /* an alarm: 30 of 300 got worse, none better */
	assert_says(r.rules[0].explanation, "paired bootstrap");
	assert_true(r.rules[0].lo > 0 && r.rules[0].lo < r.rules[0].delta && r.rules[0].delta < r.rules[0].hi);
	assert_string_equal(r.rules[0].method, "paired bootstrap, approximate");
	gate_result_release(&r);
	if (decide(&r, &p, &many_c, &many_b, false))
		fail_msg("%s", err_text());
	assert_int_equal(r.rules[0].verdict, VERDICT_PASS);
	gate_result_release(&r);
	task_result_release(&many_b);
	task_result_release(&many_c);
}

static const double ppl_b[] = { -120, -95.5, -210.25, -60, -151, -88 },
		    ppl_c[] = { -119, -96, -208, -60.5, -149.5, -88.25 };
static const double ppl_w[] = { 40, 30, 65, 22, 50, 27 };

static void test_gate_decide__perplexity(void **state)
{
	struct task_result base = task_new("t", 6), cand = task_new("t", 6);
	struct gate_rule rule = { .task = T, .metric = PPL, .has_increase = true, .increase_relative = true };
	struct gate_policy p = policy_of(&rule, 1);
	struct stats_ratio s;
	struct gate_result r;
	double d[6], t;

	(void)state;
	for (int i = 0; i < 6; i++)
		d[i] = ppl_b[i] - ppl_c[i]; /* the worse one is the candidate here */
	metric_add(&base, "word_perplexity", AGGREGATE_PERPLEXITY, false, false, ppl_c, ppl_w);
	metric_add(&cand, "word_perplexity", AGGREGATE_PERPLEXITY, false, false, ppl_b, ppl_w);
	metric_add(&base, "bits_per_byte", AGGREGATE_BITS, false, false, ppl_c, ppl_w);
	metric_add(&cand, "bits_per_byte", AGGREGATE_BITS, false, false, ppl_b, ppl_w);
	rule.increase = expm1(.014957264957264958); /* exactly what happened */
	assert_int_equal(verdict_of(rule, &base, &cand,
				    "rose by 1.5% (21.8077 to 22.1364) on these 6 samples; allowed 1.50697%"),
			 VERDICT_PASS);
	rule.increase *= 0.9999;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	rule.increase_relative = false;
	rule.increase = 0.3287;
	assert_int_equal(verdict_of(rule, &base, &cand, "rose by 0.3286"), VERDICT_PASS);
	rule.increase = 0.3286;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	assert_int_equal(decide(&r, &p, &base, &cand, false), 0);
	stats_ratio(&s, d, ppl_w, 6);
	t = stats_t_quantile(.95, 5);
	assert_string_equal(r.rules[0].method, "ratio");
	assert_true(fabs(r.rules[0].lo - 21.80774010058221 * expm1(-s.ratio - t * s.se_loo)) < 1e-10);
	assert_true(fabs(r.rules[0].hi - 21.80774010058221 * expm1(-s.ratio + t * s.se_loo)) < 1e-10);
	assert_true(r.rules[0].lo < r.rules[0].delta && r.rules[0].delta < r.rules[0].hi);
	gate_result_release(&r);
	rule = (struct gate_rule){ .task = T, .metric = BITS, .has_increase = true, .increase = .0216 };
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_PASS);
	rule.increase = .0215;
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__overflow_is_not_a_pass(void **state)
{
	const double w[2] = { 1, 1 }, huge[2] = { -1e5, -1e5 };
	struct task_result base = task_new("t", 2), cand = task_new("t", 2);
	struct gate_rule rule = { .task = T, .metric = PPL, .has_increase = true, .increase = 1 };

	(void)state;
	metric_add(&base, "word_perplexity", AGGREGATE_PERPLEXITY, false, false, huge, w);
	metric_add(&cand, "word_perplexity", AGGREGATE_PERPLEXITY, false, false, huge, w);
	assert_int_equal(verdict_of(rule, &base, &cand, "too large to compare"), VERDICT_INCOMPARABLE);
	rule = (struct gate_rule){ .task = T, .metric = PPL, .has_max = true, .max = 50 };
	assert_int_equal(verdict_of(rule, &base, &cand, NULL), VERDICT_FAIL);
	task_result_release(&base);
	task_result_release(&cand);
}

/* ---- floors ------------------------------------------------------------------------------------------------------ */

static void test_gate_decide__floors_are_exact_on_counts(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 40; n++)
		for (size_t right = 0; right <= n; right++) {
			struct task_result base, cand;
			struct gate_rule rule = { .task = T, .metric = ACC, .has_min = true, .min = 0.85 };

			pair_new(&base, &cand, n, right, 0, 0);
			assert_int_equal(verdict_of(rule, NULL, &cand, NULL),
					 100 * right >= 85 * n ? VERDICT_PASS : VERDICT_FAIL);
			rule = (struct gate_rule){ .task = T, .metric = ACC, .has_max = true, .max = 0.35 };
			assert_int_equal(verdict_of(rule, NULL, &cand, NULL),
					 100 * right <= 35 * n ? VERDICT_PASS : VERDICT_FAIL);
			task_result_release(&base);
			task_result_release(&cand);
		}
}

static void test_gate_decide__floor_shows_bounds_of_the_value(void **state)
{
	struct task_result base, cand;
	struct gate_rule rule = { .task = T, .metric = ACC, .has_min = true, .min = 0.80 };
	struct gate_policy p = policy_of(&rule, 1);
	struct gate_result r;

	(void)state;
	pair_new(&base, &cand, 100, 85, 0, 0);
	assert_int_equal(decide(&r, &p, NULL, &cand, false), 0);
	assert_true(fabs(r.rules[0].lo - .778463091681) < 1e-12);
	assert_true(r.rules[0].hi > 0.85);
	assert_says(r.rules[0].explanation,
		    "85.0 points on these 100 samples (85 right); at least 80.0 points required");
	assert_says(r.sentence, "t.acc: 85.0 points");
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_decide__max_drop_is_exact_on_counts),
		cmocka_unit_test(test_gate_decide__boundary_passes_in_spite_of_rounding),
		cmocka_unit_test(test_gate_decide__explains_with_numbers),
		cmocka_unit_test(test_gate_decide__relative_drop_is_a_share_of_what_was_right),
		cmocka_unit_test(test_gate_decide__an_unchanged_score_has_an_interval),
		cmocka_unit_test(test_gate_decide__real_scores),
		cmocka_unit_test(test_gate_decide__corpus_metrics),
		cmocka_unit_test(test_gate_decide__perplexity),
		cmocka_unit_test(test_gate_decide__overflow_is_not_a_pass),
		cmocka_unit_test(test_gate_decide__floors_are_exact_on_counts),
		cmocka_unit_test(test_gate_decide__floor_shows_bounds_of_the_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
