/* test_gate_policy.c: what a policy says, and every way to say it wrong. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/gate_int.h"

static int parse(struct gate_policy *p, const char *text)
{
	struct yaml *y;
	int rc;

	if (yaml_parse(&y, text, strlen(text), "assay.yaml"))
		fail_msg("%s", err_text());
	rc = gate_policy_parse(p, y, yaml_root(y));
	yaml_free(y);
	return rc;
}

static void test_gate_policy_parse__everything(void **state)
{
	struct gate_policy p;

	(void)state;
	assert_int_equal(parse(&p,
			       "baseline: production\ntarget: population\nconfidence: 0.9\n"
			       "require:\n  intents.acc: {min: 0.80, max_drop: 0.03, cluster: ticket, min_gain: 1%}\n"
			       "  a.b.exact_match,strict: {max_drop: 5%}\n"
			       "  heldout.bits_per_byte: {max_increase: 1%, max: 1.5}\n  x.score: {min: -3, max: 80%, "
			       "no_new_failures: golden-*}\n"
			       "watch: [intents.acc_norm, 'a.acc,none']\nno_baseline: block\n"
			       "inconclusive: {pull_request: block, push: warn}\nincomparable: block\n"),
			 0);
	assert_string_equal(p.baseline, "production");
	assert_true(p.confidence == 0.9);
	assert_int_equal(p.n, 4);
	assert_string_equal(p.rules[0].task, "intents");
	assert_string_equal(p.rules[0].metric, "acc");
	assert_null(p.rules[0].filter);
	assert_true(p.rules[0].has_min && p.rules[0].min == 0.80 && p.rules[0].has_drop && p.rules[0].drop == 0.03);
	assert_false(p.rules[0].drop_relative || p.rules[0].has_max || p.rules[0].has_increase);
	assert_string_equal(p.rules[1].task, "a.b");
	assert_string_equal(p.rules[1].filter, "strict");
	assert_true(p.population && p.rules[0].has_gain && p.rules[0].gain_relative && p.rules[0].gain == 0.01);
	assert_string_equal(p.rules[0].cluster, "ticket");
	assert_string_equal(p.rules[3].no_new_failures, "golden-*");
	assert_true(p.rules[1].drop_relative && p.rules[1].drop == 0.05);
	assert_true(p.rules[2].increase_relative && p.rules[2].increase == 0.01 && p.rules[2].max == 1.5);
	assert_true(p.rules[3].min == -3 && p.rules[3].max == 0.8);
	assert_int_equal(p.n_watch, 2);
	assert_int_equal(p.no_baseline, GATE_BLOCK);
	assert_int_equal(p.inconclusive_pull_request, GATE_BLOCK);
	assert_int_equal(p.inconclusive_push, GATE_WARN);
	assert_int_equal(p.incomparable, GATE_BLOCK);
	gate_policy_release(&p);
}

static void test_gate_policy_parse__max_overlap(void **state)
{
	struct gate_policy p;

	(void)state;
	assert_int_equal(parse(&p, "max_overlap: 1%\nrequire: {a.acc: {max_overlap: 0}}\n"), 0);
	assert_true(p.has_overlap && p.max_overlap == 0.01);
	assert_true(p.rules[0].has_overlap && p.rules[0].overlap == 0);
	gate_policy_release(&p);
	assert_int_equal(parse(&p, "max_overlap: 0\n"), 0); /* a gate of its own */
	assert_int_equal(p.n, 0);
	gate_policy_release(&p);
	assert_int_equal(parse(&p, "max_overlap: 3\nrequire: {a.acc: {min: 0}}\n"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "assay.yaml:1:1: max_overlap is 3"));
	assert_int_equal(parse(&p, "require: {a.acc: {max_overlap: -0.1}}\n"), ERR_INPUT);
	assert_int_equal(parse(&p, "require: {a.acc: {max_overlap: many}}\n"), ERR_INPUT);
	assert_int_equal(parse(&p, "max_overlap: 0\nrequire: {}\n"), ERR_INPUT);
}

static void test_gate_policy_parse__defaults(void **state)
{
	struct gate_policy p;

	(void)state;
	assert_int_equal(parse(&p, "require: {a.acc: {min: 0}}"), 0);
	assert_null(p.baseline);
	assert_true(p.confidence == 0.95 && !p.population);
	assert_int_equal(p.no_baseline, GATE_FLOORS);
	assert_int_equal(p.inconclusive_push, GATE_BLOCK);
	assert_int_equal(p.inconclusive_pull_request, GATE_WARN);
	assert_int_equal(p.incomparable, GATE_RESCORE);
	gate_policy_release(&p);
	assert_int_equal(parse(&p, "require: {a.acc: {min: 0}}\ninconclusive: warn\n"), 0);
	assert_int_equal(p.inconclusive_push, GATE_WARN);
	assert_int_equal(p.inconclusive_pull_request, GATE_WARN);
	gate_policy_release(&p);
}

static void test_gate_policy_parse__mistakes_say_where(void **state)
{
#define R "require: {a.acc: {min: 0}}\n"
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "{}", "gate.require is empty" },
		{ "require: {}\n", "gate.require is empty" },
		{ "[1]", "gate must be a mapping" },
		{ R "requir: {}\n", "assay.yaml:2:1: unknown key \"requir\" in gate; did you mean \"require\"?" },
		{ R "target: sweet\n", "known: suite, population" },
		{ R "stop: soon\n", "known: early, never" },
		{ R "deadline: soon\n", "as 90s, 10m or 2h" },
		{ R "deadline: 10x\n", "as 90s, 10m or 2h" },
		{ R "deadline: 0\n", "as 90s, 10m or 2h" },
		{ R "deadline: [1]\n", "as 90s, 10m or 2h" },
		{ R "max_items: 0\n", "max_items" },
		{ R "max_items: all\n", "max_items" },
		{ R "limits: {}\n", "limits needs time, size, or cost" },
		{ R "limits: {cost: 3}\n", "give both" },
		{ R "limits: {size: 2X}\n", "a number of bytes" },
		{ R "limits: {size: 0}\n", "above 0" },
		{ R "limits: {time: -1}\n", "time" },
		{ R "limits: {tine: 1}\n", "did you mean \"time\"" },
		{ R "attempts: 0\n", "attempts" },
		{ R "incomparable: {}\n", "rescore, block or {rescore: N}" },
		{ R "incomparable: {rescore: 0}\n", "rescore" },
		{ R "confidence: 0.5\n", "must lie between 0.5 and 1" },
		{ R "confidence: 1\n", "must lie between 0.5 and 1" },
		{ R "confidence: 95\n", "confidence" },
		{ R "confidence: high\n", "confidence must be" },
		{ R "no_baseline: maybe\n", "known: floors, block, pass" },
		{ R "inconclusive: maybe\n", "known: warn, block" },
		{ R "inconclusive: {push: maybe}\n", "known: warn, block" },
		{ R "inconclusive: {tag: warn}\n", "unknown key \"tag\"" },
		{ R "incomparable: rescor\n", "known: rescore, block" },
		{ R "watch: [a.acc, b.acc, a.acc]\n", "watch: a.acc stands there twice" },
		{ R "watch: [acc]\n", "watch: expected a list of task.metric" },
		{ R "watch: a.acc\n", "watch must be" },
		{ R "baseline: ''\n", "baseline names" },
		{ "require: {acc: {min: 0}}\n", "\"acc\" is not" },
		{ "require: {a.: {min: 0}}\n", "\"a.\" is not" },
		{ "require: {.acc: {min: 0}}\n", "\".acc\" is not" },
		{ "require: {'a.acc,': {min: 0}}\n", "is not" },
		{ "require: {a.acc: 0.8}\n", "expected limits" },
		{ "require: {a.acc: {}}\n", "a rule needs min, max, max_drop" },
		{ "require:\n  a.acc: {max_dropp: 1}\n", "assay.yaml:2:11: unknown key \"max_dropp\"" },
		{ "require: {a.acc: {max_drop: 0.1, cluster: ''}}\n", "cluster names a member" },
		{ "require: {a.acc: {max_drop: 0.1, cluster: [t]}}\n", "cluster must be" },
		{ "require: {a.acc: {min_gain: -0.1}}\n", "min_gain must be from 0 up" },
		{ "require: {a.acc: {min_gain: 3}}\n", "write 0.03 for 3 points" },
		{ "require: {a.acc: {no_new_failures: false}}\n", "no_new_failures is true, or a pattern" },
		{ "require: {a.acc: {no_new_failures: ''}}\n", "no_new_failures is true, or a pattern" },
		{ "require: {a.acc: {min: 0, cluster: t}, a.em: {min: 0, cluster: u}}\n",
		  "task a is clustered by t in another rule" },
		{ "require: {a.acc: {cluster: ticket}}\n", "a rule needs" },
		{ "require: {a.acc: {slice: x}}\n", "slice in a rule comes with a later version" },
		{ "require: {a.acc: {min: 0.9, max: 0.8}}\n", "min 0.9 is above max 0.8" },
		{ "require: {a.acc: {min: 80}}\n", "acc goes from 0 to 1, and min is 80" },
		{ "require: {a.acc: {max_drop: 3}}\n", "write 0.03 for 3 points" },
		{ "require: {a.acc: {max_drop: -0.1}}\n", "max_drop must be from 0 up" },
		{ "require: {a.acc: {max_drop: 300%}}\n", "max_drop must be from 0% to 100%" },
		{ "require: {a.acc: {max_drop: 3 %}}\n", "must be a number or a percentage" },
		{ "require: {a.acc: {max_drop: 3.1.2%}}\n", "is no number" },
		{ "require: {a.acc: {max_drop: '%'}}\n", "must be a number or a percentage" },
		{ "require: {a.acc: {max_drop: true}}\n", "must be a number or a percentage" },
		{ "require: {a.acc: {max_increase: 0.1}}\n", "acc is better when higher: use max_drop" },
		{ "require: {a.bits_per_byte: {max_drop: 1%}}\n",
		  "bits_per_byte is better when lower: use max_increase" },
		{ "require: {a.score: {max_drop: 1, max_increase: 1}}\n", "exclude each other" },
	};
	struct gate_policy p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int rc = parse(&p, bad[i].text);

		if (rc != ERR_INPUT || !strstr(err_text(), bad[i].says))
			fail_msg("%s\ngave %d \"%s\", not \"%s\"", bad[i].text, rc, rc ? err_text() : "", bad[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_policy_parse__everything),
		cmocka_unit_test(test_gate_policy_parse__max_overlap),
		cmocka_unit_test(test_gate_policy_parse__defaults),
		cmocka_unit_test(test_gate_policy_parse__mistakes_say_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
