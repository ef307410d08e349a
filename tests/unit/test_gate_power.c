/* test_gate_power.c: what a gate can tell before there are scores. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/stats_int.h"
#include "evals_fake.h"

static const char choice[] = "suite: s\n"
			     "tasks:\n"
			     "  - task: t\n"
			     "    dataset_path: json\n"
			     "    dataset_kwargs: {data_files: {test: d.jsonl}}\n"
			     "    test_split: test\n"
			     "    output_type: generate_until\n"
			     "    doc_to_text: \"{{q}}\"\n"
			     "    doc_to_target: \"{{a}}\"\n"
			     "    metric_list: [{metric: exact_match}, {metric: bleu}, {metric: token_f1}]\n"
			     "  - task: r\n"
			     "    dataset_path: json\n"
			     "    dataset_kwargs: {data_files: {test: d.jsonl}}\n"
			     "    test_split: test\n"
			     "    output_type: loglikelihood_rolling\n"
			     "    doc_to_text: \"\"\n"
			     "    doc_to_target: \"{{a}}\"\n";

static char *documents(size_t n, size_t clusters)
{
	struct buf b = BUF_INIT(1 << 22);

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "{\"id\":\"d%zu\",\"q\":\"q%zu\",\"a\":\"a%zu\",\"doc\":%zu}\n", i, i, i, i % clusters);
	return buf_take(&b);
}

static struct suite *suite_of(size_t n, size_t clusters)
{
	char *data = documents(n, clusters);
	struct suite *s = NULL;

	assert_int_equal(FAKE_LOAD(&s, "s.yaml", { "s.yaml", choice }, { "d.jsonl", data }), 0);
	free(data);
	return s;
}

static void policy_of(struct gate_policy *p, const char *text)
{
	struct yaml *y = NULL;

	assert_int_equal(yaml_parse(&y, text, strlen(text), "p.yaml"), 0);
	if (gate_policy_parse(p, y, yaml_root(y)))
		fail_msg("%s", err_text());
	yaml_free(y);
}

/* Of the policy on the suite; rc as it comes. */
static int power_of(struct gate_power *out, const char *policy, const struct suite *s, const struct gate_noise *noise)
{
	struct gate_power_input in = { .suites = &s, .n_suites = 1, .noise = noise, .n_noise = noise ? 1 : 0 };
	struct gate_policy p;
	int rc;

	policy_of(&p, policy);
	rc = gate_power(out, &p, &in);
	gate_policy_release(&p);
	return rc;
}

static void near(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %.17g, want %.17g", got, want);
}

static void test_gate_power__suite_is_counted(void **state)
{
	const struct gate_noise noise = { "t", "exact_match", "none", .06, NAN, "three comparisons" };
	struct suite *s = suite_of(1000, 10);
	struct gate_power p;

	(void)state;
	assert_int_equal(power_of(&p, "require: {t.exact_match: {max_drop: 0.02}}", s, &noise), 0);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.rules[0].n, 1000);
	near(p.rules[0].flips, .06, 0);
	assert_string_equal(p.rules[0].from, "three comparisons");
	near(p.rules[0].pass, 0.9958837297090974, 1e-12);
	near(p.rules[0].detects, .021, 1e-12);
	assert_int_equal(p.rules[0].outlook, OUTLOOK_FINE);
	near(p.pass, p.rules[0].pass, 0);
	gate_power_release(&p);
	suite_free(s);
}

static void test_gate_power__population_is_the_exact_test(void **state)
{
	struct suite *s = suite_of(300, 10);
	struct gate_power p;

	(void)state;
	assert_int_equal(power_of(&p,
				  "{target: population, require: {t.exact_match: {max_drop: 0.02}}, watch: [t.bleu]}",
				  s, NULL),
			 0);
	near(p.rules[0].pass, .43, .005);
	assert_string_equal(p.rules[0].from, "assumed");
	assert_int_equal(p.rules[0].outlook, OUTLOOK_WEAK);
	assert_non_null(strstr(p.rules[0].why, "an unchanged model passes in 43 of 100 runs"));
	near(p.rules[0].detects, (1.6448536269514722 + 0.8416212335729143) * sqrt(.05 / 300), 1e-9);
	gate_power_release(&p);
	suite_free(s);
}

/* Two rules of which nothing is known but their probabilities. */
static void test_gate_power__the_whole_is_bounded_whatever_hangs_together(void **state)
{
	struct suite *s = suite_of(300, 10);
	struct gate_power p;
	double a;

	(void)state;
	assert_int_equal(power_of(&p, "{target: population, require: {t.exact_match: {max_drop: 0.02, min_gain: 0.5}}}",
				  s, NULL),
			 0);
	a = p.rules[0].pass;
	near(p.pass, a * p.rules[1].pass, 1e-12);
	near(p.pass_most, fmin(a, p.rules[1].pass), 1e-12);
	near(p.pass_least, fmax(0, a + p.rules[1].pass - 1), 1e-12);
	gate_power_release(&p);
	assert_int_equal(power_of(&p, "require: {r.bits_per_byte: {max_increase: 0.01}}", s, NULL), 0);
	assert_true(isnan(p.pass) && isnan(p.pass_least) && isnan(p.pass_most));
	gate_power_release(&p);
	suite_free(s);
}

static void outlook_is(const struct suite *s, const char *policy, enum gate_outlook want, const char *why)
{
	struct gate_power p;

	if (power_of(&p, policy, s, NULL))
		fail_msg("%s", err_text());
	if (p.rules[0].outlook != want || (why && (!p.rules[0].why || !strstr(p.rules[0].why, why))))
		fail_msg("%s: outlook %d, %s", policy, p.rules[0].outlook,
			 p.rules[0].why ? p.rules[0].why : "no reason");
	gate_power_release(&p);
}

static void test_gate_power__names_what_can_only_be_undecided(void **state)
{
	struct suite *s = suite_of(99, 19);

	(void)state;
	outlook_is(s, "{target: population, require: {r.bits_per_byte: {max_increase: 0.01}}}", OUTLOOK_NEVER,
		   "no largest loss");
	outlook_is(s, "{target: population, require: {t.bleu: {max_drop: 1}}}", OUTLOOK_NEVER, "bootstrap");
	outlook_is(s, "{target: population, require: {t.bleu: {max_drop: 1%}}}", OUTLOOK_NEVER, "relative limit");
	outlook_is(s, "{target: population, require: {t.exact_match: {max_drop: 0.2, cluster: doc}}}", OUTLOOK_NEVER,
		   "19 clusters");
	outlook_is(s, "{target: population, require: {t.exact_match: {max_drop: 0.02}}}", OUTLOOK_HOPELESS,
		   "can pass from 149 on");
	outlook_is(s, "{target: population, require: {t.exact_match: {max_drop: 0}}}", OUTLOOK_HOPELESS, "proof");
	outlook_is(s, "{target: population, require: {t.exact_match: {min: 0.5}}}", OUTLOOK_FINE, NULL);
	outlook_is(s, "require: {r.bits_per_byte: {max_increase: 0.01}}", OUTLOOK_FINE, NULL);
	outlook_is(s, "require: {t.exact_match: {max_drop: 0, cluster: doc}}", OUTLOOK_WEAK, "of 100 runs");
	suite_free(s);
}

static void test_gate_power__a_limited_run_passes_nothing(void **state)
{
	struct suite *s = suite_of(99, 30);
	struct gate_power_input in = { .suites = (const struct suite *const *)&s, .n_suites = 1, .limit = 10 };
	struct gate_policy policy;
	struct gate_power p;

	(void)state;
	policy_of(&policy, "require: {t.exact_match: {max_drop: 0.1}}");
	assert_int_equal(gate_power(&p, &policy, &in), 0);
	assert_int_equal(p.rules[0].outlook, OUTLOOK_NEVER);
	near(p.pass, 0, 0);
	gate_power_release(&p);
	gate_policy_release(&policy);
	suite_free(s);
}

/* What nobody will measure is known before anybody pays for it. */
static void test_gate_power__refuses_what_nobody_will_measure(void **state)
{
	static const char *const policies[] = { "require: {u.exact_match: {max_drop: 0.02}}",
						"require: {t.acc: {max_drop: 0.02}}",
						"require: {\"t.exact_match,other\": {max_drop: 0.02}}",
						"require: {t.exact_match: {max_drop: 0.02, cluster: nope}}",
						"{require: {t.exact_match: {min: 0.5}}, watch: [t.nope]}" };
	struct suite *s = suite_of(50, 30);
	struct gate_power p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		assert_int_equal(power_of(&p, policies[i], s, NULL), ERR_INPUT);
	suite_free(s);
}

/* A group has what any of its members has, also what is no mean. */
static void test_gate_power__a_group_has_what_any_member_has(void **state)
{
#define WRITES(name, metrics)                                                                                          \
	{                                                                                                              \
		name ".yaml", "task: " name "\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"    \
			      "test_split: test\noutput_type: generate_until\ndoc_to_text: q\ndoc_to_target: "         \
			      "a\nmetric_list: [" metrics "]\n"                                                        \
	}
	char *data = documents(40, 10);
	struct suite *s = NULL;
	struct gate_power p;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "g.yaml",
				   { "g.yaml", "group: g\ntask: [t, u]\naggregate_metric_list: [{metric: exact_match}, "
					       "{metric: bleu}, {metric: token_f1}]\n" },
				   WRITES("t", "{metric: token_f1}"),
				   WRITES("u", "{metric: token_f1}, {metric: exact_match}, {metric: bleu}"),
				   { "d.jsonl", data }),
			 0);
	if (power_of(&p, "require: {g.exact_match: {max_drop: 0.1}, g.bleu: {max_drop: 1}, g.token_f1: {max_drop: 1}}",
		     s, NULL))
		fail_msg("%s", err_text());
	assert_int_equal(p.n, 3);
	assert_int_equal(p.rules[1].n, 80);
	gate_power_release(&p);
	suite_free(s);
	free(data);
}

static void test_gate_propose_drop__is_the_least_that_mostly_passes(void **state)
{
	(void)state;
	for (size_t n = 20; n < 2000; n = n * 3 / 2) {
		double drop = gate_propose_drop(n, .05, false, .95);

		assert_true(stats_flips_within(n, .05, floor(drop * (double)n + 1e-9)) >= .95);
		if (drop > .01)
			assert_true(stats_flips_within(n, .05, floor((drop - .005) * (double)n + 1e-9)) < .95);
	}
	assert_true(stats_tango_power(500, gate_propose_drop(500, .05, true, .95), .05, .05) >= .95);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_power__suite_is_counted),
		cmocka_unit_test(test_gate_power__population_is_the_exact_test),
		cmocka_unit_test(test_gate_power__the_whole_is_bounded_whatever_hangs_together),
		cmocka_unit_test(test_gate_power__names_what_can_only_be_undecided),
		cmocka_unit_test(test_gate_power__a_limited_run_passes_nothing),
		cmocka_unit_test(test_gate_power__refuses_what_nobody_will_measure),
		cmocka_unit_test(test_gate_power__a_group_has_what_any_member_has),
		cmocka_unit_test(test_gate_propose_drop__is_the_least_that_mostly_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
