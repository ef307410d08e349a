/* test_gate.c: verdicts. The arithmetic is checked exhaustively against integers; every named case has its test. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* names, where a policy owns its text */
static char T[] = "t", TT[] = "tt", ACC[] = "acc", NORM[] = "acc_norm", F1[] = "f1", PPL[] = "word_perplexity",
	    BITS[] = "bits_per_byte", PRODUCTION[] = "production", STRICT[] = "strict", WATCH_A[] = "t.a",
	    WATCH_B[] = "t.b,none", WATCH_GONE[] = "t.gone";

/* ---- results made by hand ---------------------------------------------------------------------------------------- */

static struct task_result task_new(const char *name, size_t n)
{
	struct task_result t = { .task = mem_str(name), .n = n, .n_total = n };

	snprintf(t.digest, sizeof(t.digest), "%s", DIGEST_A);
	t.samples = mem_array(n, sizeof(*t.samples));
	for (size_t i = 0; i < n; i++)
		t.samples[i].id = mem_printf("q%zu", i);
	return t;
}

static struct metric *metric_add(struct task_result *t, const char *name, enum aggregate a, bool higher, bool binary,
				 const double *scores, const double *weights)
{
	struct metric *m;

	t->metrics = mem_resize(t->metrics, (t->n_metrics + 1) * sizeof(*t->metrics));
	m = &t->metrics[t->n_metrics++];
	*m = (struct metric){ .name = mem_str(name),
			      .filter = mem_str("none"),
			      .aggregate = a,
			      .higher_is_better = higher,
			      .binary = binary };
	m->scores = mem_copy(scores, t->n * sizeof(double));
	m->weights = weights ? mem_copy(weights, t->n * sizeof(double)) : NULL;
	metric_close(m, t->n);
	return m;
}

/* Two runs of n samples: of both right, only the baseline, only the candidate. */
static void pair_new(struct task_result *base, struct task_result *cand, size_t n, size_t both, size_t lost, size_t won)
{
	double *b = mem_array(n, sizeof(*b)), *c = mem_array(n, sizeof(*c));

	for (size_t i = 0; i < n; i++) {
		b[i] = i < both + lost;
		c[i] = i < both || (i >= both + lost && i < both + lost + won);
	}
	*base = task_new("t", n);
	*cand = task_new("t", n);
	metric_add(base, "acc", AGGREGATE_MEAN, true, true, b, NULL);
	metric_add(cand, "acc", AGGREGATE_MEAN, true, true, c, NULL);
	free(b);
	free(c);
}

static int decide(struct gate_result *r, const struct gate_policy *p, const struct task_result *base,
		  const struct task_result *cand, bool identical)
{
	struct gate_input in = { .candidate = &cand,
				 .n_candidate = 1,
				 .baseline = base ? &base : NULL,
				 .n_baseline = base ? 1 : 0,
				 .identical = identical };

	return gate_decide(r, p, &in);
}

static struct gate_rule drop_rule(double drop)
{
	return (struct gate_rule){ .task = T, .metric = ACC, .has_drop = true, .drop = drop };
}

/* A policy of these rules; not to be released. */
static struct gate_policy policy_of(struct gate_rule *rules, size_t n)
{
	struct gate_policy p;

	gate_policy_init(&p);
	p.rules = rules;
	p.n = n;
	p.baseline = PRODUCTION;
	return p;
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* The verdict of one rule, with the checks that hold for every result. */
static enum verdict verdict_of(struct gate_rule rule, const struct task_result *base, const struct task_result *cand,
			       const char *says)
{
	struct gate_policy p = policy_of(&rule, 1);
	struct gate_result r;
	enum verdict v;

	if (decide(&r, &p, base, cand, false))
		fail_msg("%s", err_text());
	v = r.verdict;
	assert_int_equal(r.exit, v == VERDICT_PASS ? 0 : v == VERDICT_FAIL ? 1 : 2);
	assert_int_equal(r.blocks, v != VERDICT_PASS);
	assert_true(r.rules[0].gated);
	if (isfinite(r.rules[0].lo))
		assert_true(r.rules[0].lo < r.rules[0].hi);
	if (says)
		assert_says(r.rules[0].explanation, says);
	gate_result_release(&r);
	return v;
}

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

/* ---- no baseline, identity, incomparable ------------------------------------------------------------------------- */

static void expect(const struct gate_policy *p, const struct task_result *base, const struct task_result *cand,
		   bool identical, enum verdict v, int exit_code, const char *says)
{
	struct gate_result r;

	if (decide(&r, p, base, cand, identical))
		fail_msg("%s", err_text());
	if (r.verdict != v || r.exit != exit_code || r.blocks != (exit_code != 0))
		fail_msg("%s, exit %d: %s", verdict_name(r.verdict), r.exit, r.sentence);
	assert_says(r.sentence, says);
	gate_result_release(&r);
}

static void test_gate_decide__no_baseline(void **state)
{
	struct gate_rule rules[2] = { { .task = T, .metric = ACC, .has_min = true, .min = 0.5 }, drop_rule(0.02) };
	struct gate_policy both = policy_of(rules, 2), drop = policy_of(rules + 1, 1), floor = policy_of(rules, 1);
	struct task_result base, cand;

	(void)state;
	pair_new(&base, &cand, 10, 6, 0, 0);
	expect(&both, NULL, &cand, false, VERDICT_PASS, 0, "no baseline yet: floors hold (t.acc: min 0.5 is 0.6)");
	expect(&drop, NULL, &cand, false, VERDICT_NO_BASELINE, 2,
	       "there is no baseline production to compare with, and the gate");
	expect(&floor, NULL, &cand, false, VERDICT_PASS, 0, "at least 50.0 points required");
	both.no_baseline = floor.no_baseline = GATE_BLOCK;
	expect(&both, NULL, &cand, false, VERDICT_NO_BASELINE, 2, "there is no baseline production");
	expect(&floor, NULL, &cand, false, VERDICT_NO_BASELINE, 2, "there is no baseline production");
	both.no_baseline = drop.no_baseline = GATE_PASS_THROUGH;
	expect(&both, NULL, &cand, false, VERDICT_NO_BASELINE, 0, "there is no baseline production");
	expect(&drop, NULL, &cand, false, VERDICT_NO_BASELINE, 0, "there is no baseline production");
	rules[0].min = 0.7; /* a floor that fails is a failure, whatever the policy says of baselines */
	for (int a = 0; a < 3; a++) {
		both.no_baseline = (const enum gate_action[]){ GATE_FLOORS, GATE_BLOCK, GATE_PASS_THROUGH }[a];
		expect(&both, NULL, &cand, false, VERDICT_FAIL, 1, "at least 70.0 points required");
	}
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__identity(void **state)
{
	struct gate_rule rules[2] = { drop_rule(0), { .task = T, .metric = ACC, .has_min = true, .min = 0.5 } };
	struct gate_policy p = policy_of(rules, 1), both = policy_of(rules, 2);
	struct task_result base, cand;

	(void)state;
	pair_new(&base, &cand, 10, 6, 0, 0);
	expect(&p, &base, &cand, true, VERDICT_PASS, 0,
	       "same weights, tokenizer, prompt and questions as the baseline");
	expect(&both, &base, &cand, true, VERDICT_PASS, 0, "nothing to compare; 1 floor holds");
	rules[1].min = 0.61;
	expect(&both, &base, &cand, true, VERDICT_FAIL, 1, "at least 61.0 points required");
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__incomparable(void **state)
{
	struct gate_rule rules[2] = { drop_rule(0.5), { .task = T, .metric = ACC, .has_min = true, .min = 0.9 } };
	struct gate_policy p = policy_of(rules, 1), both = policy_of(rules, 2);
	struct task_result base, cand;
	const struct task_result *cands[1] = { &cand }, *bases[1] = { &base };
	struct gate_input in = { .candidate = cands,
				 .n_candidate = 1,
				 .baseline = bases,
				 .n_baseline = 1,
				 .incomparable = "another tokenizer" };
	struct gate_result r;

	(void)state;
	pair_new(&base, &cand, 6, 3, 1, 1);
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_INCOMPARABLE);
	assert_int_equal(r.exit, 2);
	assert_says(r.sentence, "another tokenizer");
	gate_result_release(&r);
	memcpy(base.digest, DIGEST_B, DIGEST_HEX);
	expect(&p, &base, &cand, false, VERDICT_INCOMPARABLE, 2, "other questions than the baseline's");
	memcpy(base.digest, DIGEST_A, DIGEST_HEX);
	base.samples[0].id[0] = 'z';
	base.samples[5].id[0] = 'y';
	expect(&p, &base, &cand, false, VERDICT_INCOMPARABLE, 2,
	       "2 samples of the candidate and 2 of the baseline have no partner: only in the candidate \"q0\", "
	       "\"q5\"; only "
	       "in the baseline \"z0\", \"y5\"");
	base.samples[0].id[0] = base.samples[5].id[0] = 'q';
	expect(&p, &base, &cand, false, VERDICT_PASS, 0, "did not change");
	base.task[0] = 'u';
	expect(&p, &base, &cand, false, VERDICT_INCOMPARABLE, 2, "the baseline has no task t");
	base.task[0] = 't';
	base.metrics[0].name[0] = 'b';
	expect(&p, &base, &cand, false, VERDICT_INCOMPARABLE, 2, "the baseline has no metric acc,none of task t");
	base.metrics[0].name[0] = 'a';
	base.n_total = 7;
	expect(&p, &base, &cand, false, VERDICT_INCOMPARABLE, 2, "the baseline was evaluated on 6 of 7 samples");
	expect(&both, &base, &cand, false, VERDICT_FAIL, 1, "at least 90.0 points required"); /* FAIL comes first */
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__samples_pair_by_id_not_by_place(void **state)
{
	struct task_result base, cand;
	char *id;
	double x;

	(void)state;
	pair_new(&base, &cand, 10, 5, 0, 0);
	for (int i = 0, k = 9; i < k; i++, k--) { /* the baseline turned round */
		id = base.samples[i].id;
		base.samples[i].id = base.samples[k].id;
		base.samples[k].id = id;
		x = base.metrics[0].scores[i];
		base.metrics[0].scores[i] = base.metrics[0].scores[k];
		base.metrics[0].scores[k] = x;
	}
	assert_int_equal(verdict_of(drop_rule(0), &base, &cand, "(lost 0, won 0)"), VERDICT_PASS);
	task_result_release(&base);
	task_result_release(&cand);
}

/* ---- runs cut short ---------------------------------------------------------------------------------------------- */

/* Keeps the first n samples of a task. */
static void limit_to(struct task_result *t, size_t n)
{
	for (size_t i = n; i < t->n; i++)
		free(t->samples[i].id);
	t->n = n;
	metric_close(&t->metrics[0], n);
}

static void test_gate_decide__a_run_cut_short_never_passes(void **state)
{
	struct gate_rule floor = { .task = T, .metric = ACC, .has_min = true, .min = 0.2 };
	struct gate_rule rule = drop_rule(0.9);
	struct gate_policy p = policy_of(&rule, 1);
	struct task_result base, cand;
	const struct task_result *cands[1] = { &cand }, *bases[1] = { &base };
	struct gate_input in = {
		.candidate = cands, .n_candidate = 1, .baseline = bases, .n_baseline = 1, .pull_request = true
	};
	struct gate_result r;

	(void)state;
	pair_new(&base, &cand, 10, 8, 0, 2);
	limit_to(&cand, 4);
	assert_int_equal(verdict_of(rule, &base, &cand, "evaluated 4 of 10 samples: "), VERDICT_INCONCLUSIVE);
	assert_int_equal(verdict_of(floor, &base, &cand, "evaluated 4 of 10 samples: "), VERDICT_INCONCLUSIVE);
	assert_int_equal(gate_decide(&r, &p, &in), 0); /* a merge request is warned by default */
	assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
	assert_false(r.blocks);
	assert_int_equal(r.exit, 0);
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__a_run_cut_short_fails_what_is_lost(void **state)
{
	struct gate_rule floor = { .task = T, .metric = ACC, .has_min = true, .min = 0.8 };
	struct task_result base, cand;

	(void)state;
	/* 20 samples: 12 lost at the start, then 5 both right, then 3 both wrong */
	for (size_t seen = 1; seen < 20; seen++) {
		double b[20], c[20];
		size_t lost = seen < 12 ? seen : 12, wrong_left = seen <= 17 ? 3 : 20 - seen;

		base = task_new("t", 20);
		cand = task_new("t", 20);
		for (int i = 0; i < 20; i++) {
			b[i] = i < 17;
			c[i] = i >= 12 && i < 17;
		}
		metric_add(&base, "acc", AGGREGATE_MEAN, true, true, b, NULL);
		metric_add(&cand, "acc", AGGREGATE_MEAN, true, true, c, NULL);
		limit_to(&cand, seen);
		/* allowed: 0.1 of 20 is 2 net losses; the rest can win back wrong_left */
		assert_int_equal(verdict_of(drop_rule(0.1), &base, &cand, NULL),
				 lost > 2 + wrong_left ? VERDICT_FAIL : VERDICT_INCONCLUSIVE);
		/* the floor needs 16 right: out of reach once more than 4 are wrong */
		assert_int_equal(verdict_of(floor, &base, &cand, NULL), lost > 4 ? VERDICT_FAIL : VERDICT_INCONCLUSIVE);
		cand.n = 20;
		for (size_t i = seen; i < 20; i++)
			cand.samples[i].id = NULL;
		task_result_release(&base);
		task_result_release(&cand);
	}
}

/* ---- combining, order, watch ------------------------------------------------------------------------------------- */

static void test_gate_decide__worst_first_and_no_gate(void **state)
{
	struct gate_rule rules[3] = { { .task = T, .metric = ACC, .has_min = true, .min = 0.1 },
				      drop_rule(0.5),
				      drop_rule(0.01) };
	struct gate_policy p = policy_of(rules, 3), none;
	struct task_result base, cand;
	struct gate_result r;

	(void)state;
	gate_policy_init(&none);
	pair_new(&base, &cand, 10, 6, 1, 0);
	assert_int_equal(decide(&r, &p, &base, &cand, false), 0);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	assert_string_equal(r.rules[0].rule, "t.acc: max_drop 0.01");
	assert_string_equal(r.rules[1].rule, "t.acc: min 0.1");
	assert_string_equal(r.rules[2].rule, "t.acc: max_drop 0.5");
	gate_result_release(&r);
	expect(&none, &base, &cand, false, VERDICT_PASS, 0, "no gate configured");
	expect(&none, NULL, &cand, false, VERDICT_PASS, 0, "no gate configured");
	rules[2].drop = 0.2;
	expect(&p, &base, &cand, false, VERDICT_PASS, 0, "all 3 rules hold");
	rules[1].drop = rules[2].drop = 0.05;
	expect(&p, &base, &cand, false, VERDICT_FAIL, 1, "2 of 3 rules fail; first t.acc: dropped by 10.0 points");
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_decide__watch_alarms_and_never_blocks(void **state)
{
	struct gate_rule rule = drop_rule(1);
	struct gate_policy p = policy_of(&rule, 1);
	char *watch[2] = { WATCH_A, WATCH_B };
	struct task_result base, cand;
	struct gate_result r;
	double right[100], some[100], few[100];

	(void)state;
	for (int i = 0; i < 100; i++) {
		right[i] = 1;
		some[i] = i >= 6; /* lost 6, won 0: mid-p 2^-7 = .0078 */
		few[i] = i >= 4;  /* lost 4: 2^-5 = .031, by Holm over two: .031 */
	}
	pair_new(&base, &cand, 100, 90, 0, 0);
	metric_add(&base, "a", AGGREGATE_MEAN, true, true, right, NULL);
	metric_add(&cand, "a", AGGREGATE_MEAN, true, true, some, NULL);
	metric_add(&base, "b", AGGREGATE_MEAN, true, true, right, NULL);
	metric_add(&cand, "b", AGGREGATE_MEAN, true, true, few, NULL);
	p.watch = watch;
	p.n_watch = 2;
	p.confidence = 0.98;
	assert_int_equal(decide(&r, &p, &base, &cand, false), 0);
	assert_int_equal(r.verdict, VERDICT_PASS);
	assert_int_equal(r.exit, 0);
	assert_int_equal(r.n, 3);
	assert_says(r.rules[1].rule, "t.a: watched");
	assert_says(r.rules[1].explanation, "alarm: dropped by 6.0 points");
	assert_says(r.rules[1].explanation,
		    "p = 0.016 (mid-p McNemar, one-sided, Holm over 2 watched)"); /* 2 × .0078 */
	assert_int_equal(r.rules[1].verdict, VERDICT_FAIL);
	assert_false(r.rules[1].gated);
	assert_int_equal(r.rules[2].verdict, VERDICT_PASS);
	assert_null(strstr(r.rules[2].explanation, "alarm"));
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void errors(const struct gate_policy *p, const struct task_result *base, const struct task_result *cand,
		   const char *says)
{
	struct gate_result r;

	assert_int_equal(decide(&r, p, base, cand, false), ERR_INPUT);
	assert_says(err_text(), says);
}

static void test_gate_decide__errors(void **state)
{
	struct gate_rule rule = drop_rule(0.1);
	struct gate_policy p = policy_of(&rule, 1);
	char *watch[1] = { WATCH_GONE };
	struct task_result base, cand;

	(void)state;
	pair_new(&base, &cand, 10, 6, 1, 0);
	rule.task = TT;
	errors(&p, &base, &cand, "the task \"tt\", which nobody measured");
	rule.task = T;
	rule.metric = NORM;
	errors(&p, &base, &cand, "acc_norm of task t, which has acc");
	rule.metric = ACC;
	rule.filter = STRICT;
	errors(&p, &base, &cand, "acc,strict of task t");
	rule.filter = NULL;
	p.watch = watch;
	p.n_watch = 1;
	errors(&p, &base, &cand, "gone of task t");
	p.n_watch = 0;
	cand.metrics[0].scores[3] = NAN;
	errors(&p, &base, &cand, "sample \"q3\": acc of the candidate is not a number");
	cand.metrics[0].scores[3] = -1e200;
	errors(&p, &base, &cand, "sample \"q3\": acc of the candidate is -1e+200: too large to calculate with");
	cand.metrics[0].scores[3] = 0.5;
	errors(&p, &base, &cand, "neither 0 nor 1");
	cand.metrics[0].scores[3] = 1;
	base.metrics[0].scores[4] = INFINITY;
	errors(&p, &base, &cand, "sample \"q4\": acc of the baseline is not a number");
	base.metrics[0].scores[4] = 1;
	cand.samples[1].id[1] = '0';
	errors(&p, &base, &cand, "has the sample \"q0\" twice");
	cand.samples[1].id[1] = '1';
	p.confidence = 0.5;
	errors(&p, &base, &cand, "between 0.5 and 1");
	p.confidence = 0.95;
	rule = (struct gate_rule){ .task = T, .metric = ACC, .has_increase = true };
	errors(&p, &base, &cand, "use max_drop, not max_increase");
	cand.metrics[0].higher_is_better = false;
	rule = drop_rule(0.1);
	errors(&p, &base, &cand, "use max_increase, not max_drop");
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate_result_json__is_the_contract(void **state)
{
	struct gate_rule rules[2] = { drop_rule(0.02), { .task = T, .metric = ACC, .has_min = true, .min = 0 } };
	struct gate_policy p = policy_of(rules, 2);
	struct buf out = BUF_INIT(1 << 16);
	struct task_result base, cand;
	struct gate_result r;
	json_t *doc, *row;

	(void)state;
	pair_new(&base, &cand, 500, 400, 12, 6);
	assert_int_equal(decide(&r, &p, NULL, &cand, false), 0);
	doc = gate_result_json(&r);
	json_add(&out, doc);
	assert_string_equal(json_string_value(json_object_get(doc, "verdict")), "PASS");
	assert_int_equal(json_integer_value(json_object_get(doc, "exit")), 0);
	assert_int_equal(json_array_size(json_object_get(doc, "rules")), 2);
	row = json_array_get(json_object_get(doc, "rules"), 0); /* NO_BASELINE is worse than PASS */
	assert_string_equal(json_string_value(json_object_get(row, "verdict")), "NO_BASELINE");
	assert_true(json_is_null(json_object_get(row, "delta")));
	assert_true(json_is_null(json_array_get(json_object_get(row, "interval"), 0)));
	json_decref(doc);
	gate_result_release(&r);
	assert_int_equal(decide(&r, &p, &base, &cand, false), 0);
	doc = gate_result_json(&r);
	row = json_array_get(json_object_get(doc, "rules"), 0);
	assert_int_equal(json_object_size(doc), 3);
	assert_int_equal(json_object_size(row), 11);
	assert_string_equal(json_string_value(json_object_get(row, "rule")), "t.acc: max_drop 0.02");
	assert_string_equal(json_string_value(json_object_get(row, "bounds")), "one-sided");
	assert_string_equal(json_string_value(json_object_get(row, "method")), "exact count");
	assert_int_equal(json_array_size(json_object_get(row, "interval")), 2);
	assert_int_equal(json_integer_value(json_object_get(row, "n")), 500);
	assert_true(json_real_value(json_object_get(row, "baseline")) == 0.824);
	assert_true(json_real_value(json_object_get(row, "confidence")) == 0.95);
	json_decref(doc);
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
	buf_release(&out);
}

static void test_verdict_parse__names(void **state)
{
	enum verdict v;

	(void)state;
	for (int i = VERDICT_ERROR; i <= VERDICT_INCOMPARABLE; i++) {
		assert_int_equal(verdict_parse(&v, verdict_name((enum verdict)i)), 0);
		assert_int_equal(v, i);
	}
	assert_int_equal(verdict_parse(&v, "pass"), ERR_INPUT);
}

/* ---- overlap with the training data ------------------------------------------------------------------------------ */

static void test_gate__overlap_is_held_against_every_task(void **state)
{
	struct task_result base, cand;
	struct gate_rule rule = { .task = T, .metric = ACC, .has_min = true, .min = 0.1 };
	struct gate_policy p = policy_of(&rule, 1);
	struct gate_overlap o = { "t", 100, 1, 2, 3 };
	const struct task_result *list = &cand;
	struct gate_input in = { .candidate = &list, .n_candidate = 1, .overlap = &o, .n_overlap = 1 };
	struct gate_result r;

	(void)state;
	pair_new(&base, &cand, 10, 10, 0, 0);
	p.has_overlap = true;
	p.max_overlap = 0.02;
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	assert_int_equal(r.exit, 1);
	assert_string_equal(r.rules[0].rule, "t.overlap: max_overlap 0.02");
	assert_string_equal(r.sentence,
			    "t.overlap: 3 of 100 documents stand in the training data (1 exact, 2 by a 13-gram); "
			    "at most 2% allowed, which is 2");
	assert_true(r.rules[0].candidate == 0.03 && isnan(r.rules[0].baseline));
	gate_result_release(&r);

	p.max_overlap = 0.03; /* exactly what is allowed */
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_PASS);
	gate_result_release(&r);

	rule.has_overlap = true; /* the task's own rule has the last word */
	rule.overlap = 0;
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	gate_result_release(&r);
	o.documents = o.exact = o.ngram = 0;
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_PASS);
	gate_result_release(&r);
	task_result_release(&base);
	task_result_release(&cand);
}

static void test_gate__overlap_that_nobody_counted_is_not_passed(void **state)
{
	struct task_result base, cand;
	struct gate_policy p = policy_of(NULL, 0);
	struct gate_overlap o = { "t", 10, 0, 0, 0 };
	const struct task_result *list = &cand;
	struct gate_input in = { .candidate = &list, .n_candidate = 1 };
	struct gate_result r;

	(void)state;
	pair_new(&base, &cand, 10, 10, 0, 0);
	p.has_overlap = true;
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
	assert_says(r.sentence, "not known");
	gate_result_release(&r);
	in.overlap = &o;
	in.n_overlap = 1;
	in.overlap_missing = "data/blob";
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
	assert_says(r.sentence, "not compared: data/blob");
	gate_result_release(&r);
	o.documents = 1; /* what was found is enough to fail */
	assert_int_equal(gate_decide(&r, &p, &in), 0);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	gate_result_release(&r);
	char *broken = gate_overlap_broken(&p, &in); /* known before there are scores */
	assert_string_equal(broken,
			    "t.overlap: 1 of 10 documents stands in the training data (0 exact, 0 by a 13-gram); at "
			    "most 0% allowed, which is 0");
	free(broken);
	p.max_overlap = 0.1;
	assert_null(gate_overlap_broken(&p, &in));
	p.max_overlap = 2;
	assert_int_equal(gate_decide(&r, &p, &in), ERR_INPUT);
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
		cmocka_unit_test(test_gate_decide__no_baseline),
		cmocka_unit_test(test_gate_decide__identity),
		cmocka_unit_test(test_gate_decide__incomparable),
		cmocka_unit_test(test_gate_decide__samples_pair_by_id_not_by_place),
		cmocka_unit_test(test_gate_decide__a_run_cut_short_never_passes),
		cmocka_unit_test(test_gate_decide__a_run_cut_short_fails_what_is_lost),
		cmocka_unit_test(test_gate_decide__worst_first_and_no_gate),
		cmocka_unit_test(test_gate_decide__watch_alarms_and_never_blocks),
		cmocka_unit_test(test_gate_decide__errors),
		cmocka_unit_test(test_gate_result_json__is_the_contract),
		cmocka_unit_test(test_verdict_parse__names),
		cmocka_unit_test(test_gate__overlap_is_held_against_every_task),
		cmocka_unit_test(test_gate__overlap_that_nobody_counted_is_not_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
