/* test_gate_early.c: verdicts on a part of the samples. What is called certain is held against every way that the rest could
 * come out; the order is held against SHA-256 computed elsewhere. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/gate_int.h"

#define SEED "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char T[] = "t", ACC[] = "acc", F1[] = "token_f1", BITS[] = "bits_per_byte", GOLD[] = "q1*", WATCH[] = "t.acc";

/* ---- results made by hand ---------------------------------------------------------------------------------------- */

/* Samples named by their number in the order of the visit: asked[i], of score[i]. */
struct made {
	struct task_result t;
	struct metric m;
};

static struct visit *order_of(size_t n)
{
	struct visit *v = mem_array(n, sizeof(*v));

	for (size_t i = 0; i < n; i++) {
		char id[32];

		snprintf(id, sizeof(id), "q%zu", i);
		v[i] = (struct visit){ visit_place(SEED, "t", id), i };
	}
	visits_sort(v, n);
	return v;
}

/* score[k] is of the k-th sample in the order of the visit; those of the first `asked` are there. */
static void made_new(struct made *out, const char *metric, const double *score, size_t n, size_t asked)
{
	struct visit *v = order_of(n);

	*out = (struct made){ .m = { .name = mem_str(metric),
				     .filter = mem_str("none"),
				     .higher_is_better = strcmp(metric, "bits_per_byte") != 0,
				     .binary = strcmp(metric, "acc") == 0,
				     .aggregate = strcmp(metric, "bits_per_byte") ? AGGREGATE_MEAN : AGGREGATE_BITS,
				     .scores = mem_array(n, sizeof(double)) } };
	out->t = (struct task_result){ .task = mem_str("t"), .n_total = n, .metrics = &out->m, .n_metrics = 1 };
	out->t.samples = mem_array(n, sizeof(struct sample));
	for (size_t i = 0; i < n; i++) { /* in document order */
		size_t k = 0;

		while (v[k].index != i)
			k++;
		if (k >= asked)
			continue;
		out->t.samples[out->t.n].id = mem_printf("q%zu", i);
		out->m.scores[out->t.n++] = score[k];
	}
	if (asked < n) {
		memcpy(out->t.order, SEED, sizeof(SEED));
		out->t.asked_below = v[asked].place;
	}
	metric_close(&out->m, out->t.n);
	free(v);
}

static void made_free(struct made *m)
{
	m->t.metrics = NULL;
	m->t.n_metrics = 0;
	metric_release(&m->m);
	task_result_release(&m->t);
}

struct question {
	const char *metric;
	const double *base, *cand;
	size_t n, asked;
	struct gate_rule rule;
	bool population;
	const char *watch;
};

static struct gate_result decided;

static int decide(const struct question *q, struct gate_look *look)
{
	struct made base, cand;
	const struct task_result *b = &base.t, *c = &cand.t;
	struct gate_rule rule = q->rule;
	char *watch = (char *)(uintptr_t)q->watch;
	struct gate_policy policy;
	struct gate_input in = {
		.candidate = &c, .n_candidate = 1, .baseline = &b, .n_baseline = 1, .order = q->population ? SEED : NULL
	};
	int rc;

	gate_policy_init(&policy);
	rule.task = T;
	policy.rules = &rule;
	policy.n = rule.metric ? 1 : 0;
	policy.population = q->population;
	policy.watch = &watch;
	policy.n_watch = watch ? 1 : 0;
	made_new(&base, q->metric, q->base, q->n, q->n);
	made_new(&cand, q->metric, q->cand, q->n, q->asked);
	gate_result_release(&decided);
	rc = gate_decide(&decided, &policy, &in);
	if (rc == 0 && look)
		assert_int_equal(gate_look(look, &policy, &in), 0);
	made_free(&base);
	made_free(&cand);
	return rc;
}

static struct gate_rule drop(char *metric, double limit)
{
	return (struct gate_rule){ .metric = metric, .has_drop = true, .drop = limit };
}

/* ---- the order ----------------------------------------------------------------------------------------------------- */

static void test_visit_place__is_sha256_of_seed_and_name(void **state)
{
	struct visit *v = order_of(400);
	size_t inversions = 0;

	(void)state;
	assert_true(visit_place(SEED, "t", "q0") == 0xcd40d98436b75cd5ull);
	assert_true(visit_place(SEED, "t", "q1") == 0xbc91fd1c0e54cf70ull);
	for (size_t i = 0; i < 400; i++)
		for (size_t k = i + 1; k < 400; k++)
			inversions += v[i].index > v[k].index;
	assert_in_range(inversions, 36000, 44000); /* 39900 +- 3 x 1330 of a random order */
	free(v);
}

static void test_visit_place__of_a_group_is_its_members(void **state)
{
	struct sample s = { .id = mem_str("m/q7") };
	struct task_member member = { T, 1, 1 };
	struct task_result group = { .task = T, .n = 1, .samples = &s, .members = &member, .n_members = 1 };

	(void)state;
	assert_true(result_place(&group, SEED, 0) == visit_place(SEED, "m", "q7"));
	free(s.id);
}

/* A candidate that left out what its order puts first, or came in another order, is no evidence. */
static void test_gate__an_order_with_gaps_is_an_error(void **state)
{
	double s[20] = { 0 };
	struct made base, cand;
	const struct task_result *b = &base.t, *c = &cand.t;
	struct gate_rule rule = drop(ACC, .1);
	struct gate_policy policy;
	struct gate_input in = { .candidate = &c, .n_candidate = 1, .baseline = &b, .n_baseline = 1 };

	(void)state;
	gate_policy_init(&policy);
	rule.task = T;
	policy.rules = &rule;
	policy.n = 1;
	made_new(&base, "acc", s, 20, 20);
	made_new(&cand, "acc", s, 20, 10);
	cand.t.asked_below += (uint64_t)1 << 62; /* it says that it came further */
	assert_int_equal(gate_decide(&decided, &policy, &in), ERR_INPUT);
	assert_non_null(strstr(err_text(), "10 of the"));
	in.order = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	assert_int_equal(gate_decide(&decided, &policy, &in), ERR_INPUT);
	err_clear();
	made_free(&base);
	made_free(&cand);
}

/* ---- certainty ------------------------------------------------------------------------------------------------------ */

/* Five samples, every pair of answers, every part that was asked: what is certain is what comes out at the end. */
static void test_gate_early__what_is_certain_comes_true(void **state)
{
	size_t certain = 0;

	(void)state;
	for (unsigned base = 0; base < 32; base++)
		for (unsigned cand = 0; cand < 32; cand++)
			for (size_t asked = 1; asked < 5; asked++)
				for (int limit = 0; limit < 3; limit++) {
					double b[5], c[5];
					struct question q = {
						"acc", b, c, 5, asked, drop(ACC, limit / 5.0), false, NULL
					};
					enum verdict early;

					for (int i = 0; i < 5; i++) {
						b[i] = base >> i & 1;
						c[i] = cand >> i & 1;
					}
					assert_int_equal(decide(&q, NULL), 0);
					if (strcmp(decided.rules[0].method, "exact count") != 0 ||
					    decided.verdict == VERDICT_INCONCLUSIVE)
						continue;
					early = decided.verdict;
					certain++;
					q.asked = 5;
					assert_int_equal(decide(&q, NULL), 0);
					assert_int_equal(decided.verdict, early);
				}
	assert_true(certain > 4000);
}

/* facts: the baseline right on 16 of 20, the candidate the same but for three. */
static void test_sequence__is_certain_after(void **state)
{
	const int allowed[] = { 3, 4, 1 };
	const size_t after[] = { 16, 15, 19 };
	const enum stats_decision want[] = { STATS_PASS, STATS_PASS, STATS_FAIL };

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct sequence s;
		struct sequence_limit l = { .n = 20,
					    .weight = 20,
					    .heaviest = 1,
					    .least = -1,
					    .most = 1,
					    .worst = -16,
					    .best = 4,
					    .required = -allowed[k] / 20.0,
					    .required_sum = -allowed[k] };

		sequence_open(&s, &l);
		for (int i = 0; i < 20; i++)
			sequence_add(&s, i == 0 || i == 3 || i == 6 ? -1 : 0, 1, i < 16 ? -1 : 0, i < 16 ? 0 : 1);
		assert_int_equal(s.decision, want[k]);
		assert_int_equal(s.after, after[k]);
		assert_true(s.certain);
	}
}

/* ---- bets ------------------------------------------------------------------------------------------------------------ */

static void test_gate_early__an_unchanged_model_passes_by_bets(void **state)
{
	enum { N = 1000 };
	double s[N];
	struct question q = { "acc", s, s, N, 240, drop(ACC, .02), false, NULL };
	struct gate_look look;

	(void)state;
	for (int i = 0; i < N; i++)
		s[i] = i % 4 != 0;
	assert_int_equal(decide(&q, &look), 0);
	assert_int_equal(decided.verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(look.open, 1);
	assert_int_equal(look.wants[0], GATE_WANTS_ALL);
	gate_look_release(&look);
	q.asked = 320;
	assert_int_equal(decide(&q, &look), 0);
	assert_int_equal(decided.verdict, VERDICT_PASS);
	assert_string_equal(decided.rules[0].method, "betting");
	assert_non_null(strstr(decided.rules[0].explanation, "holds for all 1000, wrong at most 5 times in 100"));
	assert_true(decided.rules[0].lo >= -.021 && decided.rules[0].lo < 0 && decided.rules[0].hi > 0);
	assert_int_equal(look.open, 0);
	assert_int_equal(look.wants[0], GATE_WANTS_NONE);
	gate_look_release(&look);
}

static void test_gate_early__a_broken_model_fails(void **state)
{
	enum { N = 1000 };
	double b[N], c[N];
	struct question q = { "acc", b, c, N, 128, drop(ACC, .02), false, NULL };
	struct gate_look look;

	(void)state;
	for (int i = 0; i < N; i++) {
		b[i] = 1;
		c[i] = i % 5 != 0;
	}
	assert_int_equal(decide(&q, &look), 0);
	assert_int_equal(decided.verdict, VERDICT_FAIL);
	assert_true(look.failed);
	gate_look_release(&look);
	q.rule = (struct gate_rule){ .metric = ACC, .has_min = true, .min = .9 };
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_FAIL);
	q.rule.min = .6;
	q.asked = 200;
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_PASS);
}

/* Weights of a group by members: the weighted drop, not the counted one. */
static void test_sequence__weights_are_the_clusters_of_the_facts(void **state)
{
	const double sum[] = { -1, 0, 1, -1 }, n[] = { 3, 4, 2, 3 };
	const double iid[] = { .9027777777777778, .9529320987654322, 1.1117541152263375, 1.0036669095793325 };
	struct sequence s;
	struct sequence_limit l = { .n = 4,
				    .weight = 12,
				    .heaviest = 4,
				    .least = -1,
				    .most = 1,
				    .alpha = .05,
				    .required = -.1,
				    .expected = NAN,
				    .population = true };

	(void)state;
	sequence_open(&s, &l);
	for (int i = 0; i < 4; i++) {
		sequence_add(&s, sum[i], n[i], -n[i], n[i]);
		assert_true(fabs(exp(s.bet.log_above) - iid[i]) < 1e-12);
	}
}

/* ---- population ------------------------------------------------------------------------------------------------------- */

/* n = 1000, limit 3 points, 50 left of which the baseline has 30: lost and won so far. */
static void population_at(size_t lost, size_t won, enum verdict want, bool open)
{
	enum { N = 1000 };
	double b[N], c[N];
	struct question q = { "acc", b, c, N, 950, drop(ACC, .03), true, NULL };
	struct gate_look look;

	for (size_t i = 0; i < N; i++) {
		b[i] = i < 950 ? i >= won && i < 700 : i < 980;
		c[i] = i < won ? 1 : b[i];
	}
	for (size_t i = 0; i < lost; i++)
		c[600 + i] = 0;
	assert_int_equal(decide(&q, &look), 0);
	assert_int_equal(decided.verdict, want);
	assert_int_equal(look.open, open);
	gate_look_release(&look);
}

static void test_gate_early__curtails_the_final_test(void **state)
{
	(void)state;
	population_at(0, 20, VERDICT_PASS, false);
	population_at(10, 12, VERDICT_INCONCLUSIVE, true);
	population_at(60, 15, VERDICT_INCONCLUSIVE, true);
	population_at(90, 0, VERDICT_FAIL, false);
}

/* In suites of thousands bets have a fifth of the level, and the final test the rest. */
static void test_gate_early__bets_in_a_large_population(void **state)
{
	enum { N = 4000 };
	double s[N];
	struct question q = { "acc", s, s, N, 800, drop(ACC, .02), true, NULL };

	(void)state;
	for (int i = 0; i < N; i++)
		s[i] = i % 3 != 0;
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_PASS);
	assert_string_equal(decided.rules[0].method, "betting");
	assert_non_null(strstr(decided.rules[0].explanation, "99% confidence"));
	q.asked = N; /* the same order, all in: the same verdict */
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_PASS);
}

/* ---- what is not stopped ---------------------------------------------------------------------------------------------- */

static void test_gate_early__unbounded_scores_are_asked_whole(void **state)
{
	double s[200];
	struct question q = {
		"bits_per_byte", s, s, 200, 100, { .metric = BITS, .has_increase = true, .increase = 1 }, false, NULL
	};
	struct gate_look look;

	(void)state;
	for (int i = 0; i < 200; i++)
		s[i] = -1 - i % 7;
	assert_int_equal(decide(&q, &look), 0);
	assert_int_equal(decided.verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(look.open, 1);
	assert_non_null(strstr(look.whole, "t.bits_per_byte is asked whole"));
	gate_look_release(&look);
}

static void test_gate_early__golden_samples_alone(void **state)
{
	double s[200];
	struct question q = { "acc", s, s, 200, 100, { .metric = ACC, .no_new_failures = GOLD }, false, NULL };
	struct gate_look look;
	struct gate_policy policy;
	struct gate_rule rule = q.rule;

	(void)state;
	for (int i = 0; i < 200; i++)
		s[i] = 1;
	assert_int_equal(decide(&q, &look), 0);
	assert_int_equal(decided.verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(look.wants[0], GATE_WANTS_GOLDEN);
	gate_look_release(&look);
	gate_policy_init(&policy);
	rule.task = T;
	policy.rules = &rule;
	policy.n = 1;
	assert_true(gate_is_golden(&policy, "t", "q17", NULL));
	assert_false(gate_is_golden(&policy, "t", "q2", NULL));
	assert_true(gate_is_golden(&policy, "t", "q2", "q1-slice"));
	assert_false(gate_is_golden(&policy, "other", "q17", NULL));
}

/* Real scores: certain at the very end of the range only, by bets before. */
static void test_gate_early__means_of_real_scores(void **state)
{
	enum { N = 1000 };
	double b[N], c[N];
	struct question q = { "token_f1", b, c, N, 400, drop(F1, .02), false, NULL };

	(void)state;
	for (int i = 0; i < N; i++) {
		b[i] = (i % 10) / 10.0;
		c[i] = fmin(1, fmax(0, b[i] + (i % 2 ? .01 : -.01)));
	}
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_PASS);
	for (int i = 0; i < N; i++)
		c[i] = b[i] / 2;
	q.asked = 128;
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_FAIL);
}

static void test_gate_early__alarms_on_a_part_are_bets(void **state)
{
	enum { N = 1000 };
	double b[N], c[N];
	struct question q = { .metric = "acc", .base = b, .cand = c, .n = N, .asked = 300, .watch = WATCH };

	(void)state;
	for (int i = 0; i < N; i++) {
		b[i] = 1;
		c[i] = i % 10 != 0;
	}
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.verdict, VERDICT_PASS);
	assert_int_equal(decided.rules[0].verdict, VERDICT_FAIL);
	assert_non_null(strstr(decided.rules[0].explanation, "betting"));
	for (int i = 0; i < N; i++)
		c[i] = 1;
	assert_int_equal(decide(&q, NULL), 0);
	assert_int_equal(decided.rules[0].verdict, VERDICT_PASS);
}

static int done(void **state)
{
	(void)state;
	gate_result_release(&decided);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_visit_place__is_sha256_of_seed_and_name),
		cmocka_unit_test(test_visit_place__of_a_group_is_its_members),
		cmocka_unit_test(test_gate__an_order_with_gaps_is_an_error),
		cmocka_unit_test(test_gate_early__what_is_certain_comes_true),
		cmocka_unit_test(test_sequence__is_certain_after),
		cmocka_unit_test(test_gate_early__an_unchanged_model_passes_by_bets),
		cmocka_unit_test(test_gate_early__a_broken_model_fails),
		cmocka_unit_test(test_sequence__weights_are_the_clusters_of_the_facts),
		cmocka_unit_test(test_gate_early__curtails_the_final_test),
		cmocka_unit_test(test_gate_early__bets_in_a_large_population),
		cmocka_unit_test(test_gate_early__unbounded_scores_are_asked_whole),
		cmocka_unit_test(test_gate_early__golden_samples_alone),
		cmocka_unit_test(test_gate_early__means_of_real_scores),
		cmocka_unit_test(test_gate_early__alarms_on_a_part_are_bets),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
