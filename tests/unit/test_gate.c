/* test_gate.c: the verdict of a whole gate: every named case, the order of rules, what a policy combines. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/gate_int.h"
#include "tests/unit/gate_case.h"

#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* names, where a policy owns its text */
static char T[] = "t", TT[] = "tt", ACC[] = "acc", NORM[] = "acc_norm", STRICT[] = "strict", WATCH_A[] = "t.a",
	    WATCH_B[] = "t.b,none", WATCH_GONE[] = "t.gone";

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
