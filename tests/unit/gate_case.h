/* gate_case.h: results made by hand, and the verdict on them, for the tests of the gate.
 *
 * A task is called "t", its metric "acc", its samples q0, q1, ...; both sides carry the same digest of their questions.
 */
#ifndef TESTS_GATE_CASE_H
#define TESTS_GATE_CASE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/gate_int.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static inline struct task_result task_new(const char *name, size_t n)
{
	struct task_result t = { .task = mem_str(name), .n = n, .n_total = n };

	snprintf(t.digest, sizeof(t.digest), "%s", DIGEST_A);
	t.samples = mem_array(n, sizeof(*t.samples));
	for (size_t i = 0; i < n; i++)
		t.samples[i].id = mem_printf("q%zu", i);
	return t;
}

static inline struct metric *metric_add(struct task_result *t, const char *name, enum aggregate a, bool higher,
					bool binary, const double *scores, const double *weights)
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
static inline void pair_new(struct task_result *base, struct task_result *cand, size_t n, size_t both, size_t lost,
			    size_t won)
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

static inline int decide(struct gate_result *r, const struct gate_policy *p, const struct task_result *base,
			 const struct task_result *cand, bool identical)
{
	struct gate_input in = { .candidate = &cand,
				 .n_candidate = 1,
				 .baseline = base ? &base : NULL,
				 .n_baseline = base ? 1 : 0,
				 .identical = identical };

	return gate_decide(r, p, &in);
}

static inline struct gate_rule drop_rule(double drop)
{
	static char task[] = "t", metric[] = "acc";

	return (struct gate_rule){ .task = task, .metric = metric, .has_drop = true, .drop = drop };
}

/* A policy of these rules; not to be released. */
static inline struct gate_policy policy_of(struct gate_rule *rules, size_t n)
{
	static char production[] = "production";
	struct gate_policy p;

	gate_policy_init(&p);
	p.rules = rules;
	p.n = n;
	p.baseline = production;
	return p;
}

static inline void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* The verdict of one rule, with the checks that hold for every result. */
static inline enum verdict verdict_of(struct gate_rule rule, const struct task_result *base,
				      const struct task_result *cand, const char *says)
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

#endif
