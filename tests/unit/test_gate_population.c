/* test_gate_population.c: verdicts about samples like these: every kind of score, and where there is none to be had. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

static char T[] = "t", M[] = "m", ALL[] = "*", GOLD[] = "gold*", TICKET[] = "ticket";

/* ---- two runs made by hand --------------------------------------------------------------------------------------- */

enum { N_MAX = 2000 };
struct side {
	struct task_result t;
	struct metric m;
	struct sample samples[N_MAX];
	double scores[N_MAX], weights[N_MAX];
};
static struct side base, cand;
static char ids[N_MAX][24], clusters[N_MAX][24];

static void side_init(struct side *s, size_t n, enum aggregate a, bool higher, bool binary)
{
	static char none[] = "none";

	*s = (struct side){ 0 };
	for (size_t i = 0; i < n; i++) {
		snprintf(ids[i], sizeof(ids[i]), "q%zu", i);
		s->samples[i].id = ids[i];
		s->weights[i] = 10 + (double)(i % 7);
	}
	s->m = (struct metric){ .name = M,
				.filter = none,
				.aggregate = a,
				.higher_is_better = higher,
				.binary = binary,
				.scores = s->scores,
				.weights = a == AGGREGATE_MEAN ? NULL : s->weights };
	s->t = (struct task_result){
		.task = T, .n = n, .n_total = n, .samples = s->samples, .metrics = &s->m, .n_metrics = 1
	};
}

static void sides_init(size_t n, enum aggregate a, bool higher, bool binary)
{
	side_init(&base, n, a, higher, binary);
	side_init(&cand, n, a, higher, binary);
}

/* n samples of 0 and 1: lost first, then won, then both right. */
static void sides_count(size_t n, size_t lost, size_t won)
{
	sides_init(n, AGGREGATE_MEAN, true, true);
	for (size_t i = 0; i < n; i++) {
		base.scores[i] = i < lost || i >= lost + won;
		cand.scores[i] = i >= lost;
	}
}

static void sides_cluster(size_t size)
{
	for (size_t i = 0; i < cand.t.n; i++) {
		snprintf(clusters[i], sizeof(clusters[i]), "c%zu", i / size);
		cand.samples[i].cluster = clusters[i];
	}
}

static const char *exhausted; /* of the next judge() */

static int try_judge(struct gate_result *r, struct gate_rule rule, bool identical)
{
	const struct task_result *b = &base.t, *c = &cand.t;
	struct gate_input in = { .candidate = &c,
				 .n_candidate = 1,
				 .baseline = &b,
				 .n_baseline = 1,
				 .identical = identical,
				 .exhausted = exhausted };
	struct gate_policy p;

	rule.task = T;
	rule.metric = M;
	gate_policy_init(&p);
	p.population = true;
	p.rules = &rule;
	p.n = 1;
	metric_close(&base.m, base.t.n);
	metric_close(&cand.m, cand.t.n);
	return gate_decide(r, &p, &in);
}

static void judge(struct gate_result *r, struct gate_rule rule, bool identical)
{
	if (try_judge(r, rule, identical))
		fail_msg("%s", err_text());
	assert_true(r->population);
}

/* What is open says how many samples would close it, and it is more than there are; or that none would, and why. */
static void assert_says_what_would_close_it(const char *text)
{
	static const char *const behind[] = { " samples would decide at these rates",
					      " samples on there can be a verdict", " samples are needed before" },
				 *const none[] = { "no number of samples",
						   "an unchanged model never passes a limit of 0",
						   "samples must be asked before it can pass" };

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (strstr(text, none[i]))
			return;
	for (size_t i = 0; i < ARRAY_LEN(behind); i++) {
		const char *at = strstr(text, behind[i]);

		if (!at)
			continue;
		while (at > text && strchr("0123456789", at[-1]))
			at--;
		if (!(strtod(at, NULL) > (double)cand.t.n))
			fail_msg("not more than the %zu there are: \"%s\"", cand.t.n, text);
		return;
	}
	fail_msg("it does not say what would close it: \"%s\"", text);
}

/* The verdict, with what holds for every row; says: part of the sentence. */
static enum verdict verdict_of(struct gate_rule rule, const char *says)
{
	struct gate_result r;
	enum verdict v;

	judge(&r, rule, false);
	v = r.verdict;
	if (says && !strstr(r.rules[0].explanation, says))
		fail_msg("\"%s\" does not say \"%s\"", r.rules[0].explanation, says);
	if (isfinite(r.rules[0].lo))
		assert_true(r.rules[0].lo < r.rules[0].hi);
	else
		assert_int_equal(v, VERDICT_INCONCLUSIVE);
	if (v == VERDICT_INCONCLUSIVE) {
		assert_int_equal(r.exit, 2);
		assert_says_what_would_close_it(r.rules[0].explanation);
	}
	gate_result_release(&r);
	return v;
}

static struct gate_rule drop(double limit)
{
	return (struct gate_rule){ .has_drop = true, .drop = limit };
}

/* ---- 0/1 scores -------------------------------------------------------------------------------------------------- */

static void test_population__counts_by_the_exact_test(void **state)
{
	(void)state;
	sides_count(59, 0, 0);
	assert_int_equal(verdict_of(drop(.05),
				    "at most 4.97 points worse on samples like these, with 95% confidence; "
				    "allowed 5.00 points (59 samples, lost 0, won 0, p = 0.0485, exact test)"),
			 VERDICT_PASS);
	sides_count(58, 0, 0);
	assert_int_equal(verdict_of(drop(.05), "59 samples are needed before an unchanged model can pass"),
			 VERDICT_INCONCLUSIVE);
	sides_count(1000, 45, 30);
	assert_int_equal(verdict_of(drop(.03), "(1000 samples, lost 45, won 30, p = 0.0471, exact test); assumes "
					       "independent samples"),
			 VERDICT_PASS);
	assert_int_equal(verdict_of(drop(.02), "samples would decide at these rates"), VERDICT_INCONCLUSIVE);
	assert_int_equal(verdict_of(drop(.015), "no number of samples decides"), VERDICT_INCONCLUSIVE);
	sides_count(1000, 80, 10);
	assert_int_equal(verdict_of(drop(.02), "at least 5."), VERDICT_FAIL);
	sides_count(10, 0, 0); /* equal files of 10 samples */
	assert_int_equal(verdict_of(drop(.02), NULL), VERDICT_INCONCLUSIVE);
	sides_count(1000, 0, 0);
	assert_int_equal(verdict_of(drop(0), "an unchanged model never passes a limit of 0 here"),
			 VERDICT_INCONCLUSIVE);
	assert_int_equal(verdict_of(drop(1), NULL), VERDICT_PASS);
}

/* Where plain Tango says yes and its level is broken, the gate says no: 133 unchanged samples, 2 points. */
static void test_population__the_critical_value_is_the_exact_one(void **state)
{
	(void)state;
	assert_true(stats_normal_cdf(stats_tango_z(133, 0, 0, .02)) < .05);
	sides_count(133, 0, 0);
	assert_int_equal(verdict_of(drop(.02), NULL), VERDICT_INCONCLUSIVE);
}

static void test_population__bounds_are_the_ones_that_decide(void **state)
{
	const double limits[] = { 0, .01, .05, .1, .2, .4 };

	(void)state;
	for (size_t lost = 0; lost <= 40; lost += 4)
		for (size_t won = 0; won <= 12; won += 3)
			for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
				struct gate_result r;

				sides_count(80, lost, won);
				judge(&r, drop(limits[i]), false);
				assert_int_equal(r.verdict == VERDICT_PASS, -r.rules[0].lo <= limits[i]);
				assert_int_equal(r.verdict == VERDICT_FAIL, -r.rules[0].hi >= limits[i]);
				assert_int_equal(r.verdict == VERDICT_PASS, r.rules[0].p <= .05);
				gate_result_release(&r);
			}
}

static void test_population__a_relative_drop_is_tested_too(void **state)
{
	struct gate_rule rule = drop(.05);

	(void)state;
	rule.drop_relative = true;
	sides_count(1000, 20, 18); /* about 2 of 980: far from 5 % */
	assert_int_equal(verdict_of(rule, "% worse on samples like these, with 95% confidence; allowed 5.0%"),
			 VERDICT_PASS);
	sides_count(100, 2, 2); /* by the point estimate it passes as well */
	assert_int_equal(verdict_of(rule, NULL), VERDICT_INCONCLUSIVE);
	sides_count(1000, 150, 0);
	assert_int_equal(verdict_of(rule, "% worse"), VERDICT_FAIL);
	sides_count(20, 0, 20); /* the baseline is right nowhere */
	assert_int_equal(verdict_of(rule, "the baseline's value is 0"), VERDICT_INCONCLUSIVE);
}

static void test_population__a_gain_must_be_shown(void **state)
{
	struct gate_rule rule = { .has_gain = true, .gain = .02 };
	struct gate_result r;

	(void)state;
	sides_count(1000, 10, 60);
	assert_int_equal(verdict_of(rule, "at least 3."), VERDICT_PASS);
	sides_count(1000, 10, 35); /* 2.5 points, not shown to be 2 */
	assert_int_equal(verdict_of(rule, "a gain of 2.0 points required"), VERDICT_INCONCLUSIVE);
	sides_count(1000, 10, 10);
	assert_int_equal(verdict_of(rule, "at most"), VERDICT_FAIL);
	judge(&r, rule, true); /* identity is no gain */
	assert_int_equal(r.verdict, VERDICT_FAIL);
	gate_result_release(&r);
	judge(&r, drop(.01), true);
	assert_int_equal(r.verdict, VERDICT_PASS);
	gate_result_release(&r);
}

/* ---- bounded scores ---------------------------------------------------------------------------------------------- */

static void test_population__bounded_scores_have_a_floor_under_their_error(void **state)
{
	(void)state;
	for (size_t n = 100; n <= 200; n += 100) {
		sides_init(n, AGGREGATE_MEAN, true, false);
		for (size_t i = 0; i < n; i++)
			base.scores[i] = cand.scores[i] = (double)(i % 4) / 4;
		cand.scores[0] += .01; /* the plain t would be sure at 100 */
		assert_int_equal(verdict_of(drop(.02), n == 100 ? "samples would decide" : "floored t"),
				 n == 100 ? VERDICT_INCONCLUSIVE : VERDICT_PASS);
	}
	for (size_t i = 0; i < 200; i++)
		cand.scores[i] = fmax(0, base.scores[i] - .5);
	assert_int_equal(verdict_of(drop(.02), "at least 0."), VERDICT_FAIL);
}

/* ---- log-likelihoods --------------------------------------------------------------------------------------------- */

/* Differences of about 0 with a spread of 0.02 a unit. */
static void sides_ppl(size_t n, double shift)
{
	struct rng rng;

	rng_seed(&rng, 7, 1);
	sides_init(n, AGGREGATE_PERPLEXITY, false, false);
	for (size_t i = 0; i < n; i++) {
		double noise = rng_uniform(&rng) + rng_uniform(&rng) + rng_uniform(&rng) - 1.5;

		base.scores[i] = -3 * base.weights[i];
		cand.scores[i] = base.scores[i] + base.weights[i] * (.04 * noise - shift);
	}
}

static void test_population__perplexities(void **state)
{
	struct gate_rule rule = { .has_increase = true, .increase = .01, .increase_relative = true };

	(void)state;
	sides_ppl(99, 0);
	assert_int_equal(verdict_of(rule, "no test holds its level on fewer than 100"), VERDICT_INCONCLUSIVE);
	sides_ppl(400, 0);
	assert_int_equal(verdict_of(rule, "% worse on samples like these"), VERDICT_PASS);
	assert_int_equal(verdict_of(rule, "losses without far outliers; approximate"), VERDICT_PASS);
	sides_ppl(400, .0095);
	assert_int_equal(verdict_of(rule, "about"), VERDICT_INCONCLUSIVE);
	sides_ppl(400, .05);
	assert_int_equal(verdict_of(rule, "at least 4."), VERDICT_FAIL);
	rule.increase_relative = false;
	rule.increase = .2; /* of exp(3) = 20.1: 1 % */
	assert_int_equal(verdict_of(rule, NULL), VERDICT_FAIL);
	sides_ppl(400, 0);
	assert_int_equal(verdict_of(rule, "allowed 0.2000"), VERDICT_PASS);
	base.m.aggregate = cand.m.aggregate = AGGREGATE_BITS;
	rule.increase = .02;
	assert_int_equal(verdict_of(rule, NULL), VERDICT_PASS);
	rule.increase_relative = true;
	assert_int_equal(verdict_of(rule, "allowed 2.0%"), VERDICT_PASS);
	rule.increase = .0001;
	assert_int_equal(verdict_of(rule, NULL), VERDICT_INCONCLUSIVE);
	base.m.aggregate = cand.m.aggregate = AGGREGATE_PERPLEXITY;
	rule.increase = .01;
	cand.scores[17] -= 50; /* one document */
	assert_int_equal(verdict_of(rule, "sample \"q17\" alone makes"), VERDICT_INCONCLUSIVE);
	sides_ppl(400, -.05); /* a large gain is not refused for its skew */
	assert_int_equal(verdict_of(rule, "better"), VERDICT_PASS);
}

/* ---- clusters ---------------------------------------------------------------------------------------------------- */

static void test_population__clusters_are_what_counts(void **state)
{
	(void)state;
	sides_count(1000, 20, 20);
	assert_int_equal(verdict_of(drop(.02), NULL), VERDICT_PASS);
	sides_cluster(100);
	assert_int_equal(verdict_of(drop(.02), "too few clusters: 10"), VERDICT_INCONCLUSIVE);
	sides_cluster(
		5); /* the lost ones fill four clusters and the won ones four: they vary more than single samples */
	assert_int_equal(verdict_of(drop(.02), "exact test and cluster t"), VERDICT_INCONCLUSIVE);
	sides_count(1000, 2, 2);
	sides_cluster(2);
	assert_int_equal(verdict_of(drop(.02), "independent clusters"), VERDICT_PASS);
	sides_init(200, AGGREGATE_MEAN, true, false);
	for (size_t i = 0; i < 200; i++)
		base.scores[i] = cand.scores[i] = .5;
	sides_cluster(4);
	assert_int_equal(verdict_of(drop(.05), "cluster"), VERDICT_PASS);
}

/* Every kind of score near its limit, on suites of many sizes: none is left open without a word on what would close it. */
static void test_population__every_open_verdict_says_what_would_close_it(void **state)
{
	static const size_t sizes[] = { 1, 2, 5, 30, 99, 100, 150, 400 };
	uint32_t seed = 1;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
		for (int kind = 0; kind < 6; kind++)
			for (int draw = 0; draw < 12; draw++) {
				const size_t n = sizes[k];
				const double limits[] = { 0, .005, .02, .1 }, limit = limits[draw % 4];
				struct gate_rule rules[] = {
					drop(limit),
					drop(limit),
					{ .has_gain = true, .gain = limit },
					{ .has_min = true, .min = .5 },
					{ .has_max = true, .max = .7 },
					{ .has_drop = true, .drop = limit, .whole_clusters = true }
				};

				rules[1].drop_relative = true;
				sides_init(n, kind == 5 ? AGGREGATE_PERPLEXITY : AGGREGATE_MEAN, kind != 5, kind < 2);
				for (size_t i = 0; i < n; i++) {
					double unit =
						(double)((seed = seed * 1664525u + 1013904223u) >> 8) / 16777216.0;

					base.scores[i] = kind < 2    ? unit < .7
							 : kind == 4 ? 5 * unit
							 : kind == 5 ? -30 * unit
								     : unit;
					cand.scores[i] = (seed >> 3) % 16 ? base.scores[i]
							 : kind < 2       ? unit < .4
									  : base.scores[i] * .7;
				}
				if (kind == 1 || kind == 3)
					sides_cluster(1 + (size_t)draw % 3);
				for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
					struct gate_rule rule = rules[i];

					if (kind == 5 && rule.has_drop) {
						rule.has_increase = true;
						rule.increase = rule.drop;
						rule.increase_relative = rule.drop_relative;
						rule.has_drop = rule.drop_relative = false;
					}
					verdict_of(rule, NULL);
				}
			}
	sides_count(50, 0, 0);
	memset(base.scores, 0, sizeof(base.scores));
	memset(cand.scores, 0, sizeof(cand.scores));
	assert_int_equal(verdict_of((struct gate_rule){ .has_drop = true, .drop = .1, .drop_relative = true },
				    "of which there are no parts; allowed 10.0% (50 samples, lost 0, won 0); no number "
				    "of samples changes that"),
			 VERDICT_INCONCLUSIVE);
	sides_init(300, AGGREGATE_PERPLEXITY, false, false);
	sides_cluster(1);
	assert_int_equal(verdict_of((struct gate_rule){ .has_increase = true, .increase = .1, .whole_clusters = true },
				    "no number of samples changes that"),
			 VERDICT_INCONCLUSIVE);
}

/* One task of a group gains what another loses, sample by sample alike: no noise, and 400 samples show it. As one task the
 * difference between the two would be the error. */
static void test_population__tasks_of_a_group_are_strata(void **state)
{
	static char small[] = "small", large[] = "large";
	struct task_member members[] = { { small, 100, 1 }, { large, 300, 1 } };

	(void)state;
	sides_init(400, AGGREGATE_MEAN, true, false);
	for (size_t i = 0; i < 400; i++) {
		base.weights[i] = cand.weights[i] = i < 100 ? 2 : 2.0 / 3;
		base.scores[i] = .5;
		cand.scores[i] = i < 100 ? .1 : .9;
	}
	base.m.weights = base.weights;
	cand.m.weights = cand.weights;
	assert_int_equal(verdict_of(drop(.03), "about"), VERDICT_INCONCLUSIVE);
	base.t.members = cand.t.members = members;
	base.t.n_members = cand.t.n_members = 2;
	assert_int_equal(verdict_of(drop(.03), "independent samples of each task"), VERDICT_PASS);
	assert_int_equal(verdict_of(drop(.02), "100 of them of small, which 149 would be needed to vouch for"),
			 VERDICT_PASS);
	for (size_t i = 0; i < 400; i++)
		cand.scores[i] = i < 100 ? .1 : .5;
	assert_int_equal(verdict_of(drop(.05), "at least 0."), VERDICT_FAIL); /* 20 points over both */
	base.t.members = cand.t.members = NULL;
}

static void test_population__a_rule_by_clusters_needs_them(void **state)
{
	const struct task_result *b = &base.t, *c = &cand.t;
	struct gate_input in = { .candidate = &c, .n_candidate = 1, .baseline = &b, .n_baseline = 1 };
	struct gate_rule rule = { .task = T, .metric = M, .has_drop = true, .drop = .1, .cluster = TICKET };
	struct gate_policy p;
	struct gate_result r;

	(void)state;
	sides_count(30, 0, 0);
	gate_policy_init(&p);
	p.rules = &rule;
	p.n = 1;
	assert_int_equal(gate_decide(&r, &p, &in), ERR_INPUT);
	assert_non_null(strstr(err_text(), "clusters by ticket, which is not known of every sample"));
}

/* ---- min and max ------------------------------------------------------------------------------------------------- */

static void test_population__floors_are_tested(void **state)
{
	struct gate_rule min = { .has_min = true, .min = .8 }, max = { .has_max = true, .max = .8 };

	(void)state;
	sides_count(100, 15, 0); /* 85 right */
	assert_int_equal(verdict_of(min,
				    "77.8 points to 90.5 points on samples like these, with 95% confidence; at least "
				    "80.0 points required (100 samples, p = 0.129, exact binomial)"),
			 VERDICT_INCONCLUSIVE);
	sides_count(1000, 130, 0);
	assert_int_equal(verdict_of(min, "at least 85.1 points"), VERDICT_PASS);
	assert_int_equal(verdict_of(max, "at least 85.1 points"), VERDICT_FAIL);
	sides_count(100, 60, 0);
	assert_int_equal(verdict_of(min, "at most"), VERDICT_FAIL);
	assert_int_equal(verdict_of(max, "at most"), VERDICT_PASS);
	min.min = 0; /* what no score can break */
	assert_int_equal(verdict_of(min, NULL), VERDICT_PASS);
	min.min = 1; /* what nobody can show */
	sides_count(1000, 0, 0);
	assert_int_equal(verdict_of(min, NULL), VERDICT_INCONCLUSIVE);
	sides_count(1000, 1, 0);
	assert_int_equal(verdict_of(min, NULL), VERDICT_FAIL);
}

static void test_population__floors_of_real_scores_by_betting(void **state)
{
	struct gate_rule min = { .has_min = true, .min = .6 };

	(void)state;
	for (size_t n = 20; n <= 400; n += 380) {
		sides_init(n, AGGREGATE_MEAN, true, false);
		for (size_t i = 0; i < n; i++)
			base.scores[i] = cand.scores[i] = i % 3 ? .75 : .6;
		assert_int_equal(verdict_of(min, "betting"), n == 20 ? VERDICT_INCONCLUSIVE : VERDICT_PASS);
	}
	min.min = .9;
	assert_int_equal(verdict_of(min, "at most 0.7"), VERDICT_FAIL);
	sides_ppl(400, 0);
	min = (struct gate_rule){ .has_max = true, .max = 20.3 };
	assert_int_equal(verdict_of(min, "at most 20."), VERDICT_PASS);
	min.max = 19;
	assert_int_equal(verdict_of(min, "at least 20."), VERDICT_FAIL);
	min = (struct gate_rule){ .has_min = true, .min = 19 };
	assert_int_equal(verdict_of(min, "at least 20."), VERDICT_PASS);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void test_population__a_run_cut_short_never_passes(void **state)
{
	(void)state;
	sides_count(1000, 0, 0);
	cand.t.n_total = base.t.n_total = 1200;
	assert_int_equal(verdict_of(drop(.02), "evaluated 1000 of 1200 samples"), VERDICT_INCONCLUSIVE);
	sides_count(1000, 100, 0);
	cand.t.n_total = base.t.n_total = 1200;
	assert_int_equal(verdict_of(drop(.02), NULL), VERDICT_FAIL);
}

static void test_gate_decide__golden_samples_stay_right(void **state)
{
	struct gate_rule rule = { .no_new_failures = ALL };
	struct gate_result r;

	(void)state;
	sides_count(100, 1, 50);
	judge(&r, rule, false);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	assert_non_null(strstr(r.rules[0].explanation, "1 of 100 samples that match \"*\" fails newly: \"q0\""));
	assert_string_equal(r.rules[0].rule, "t.m: no_new_failures *");
	gate_result_release(&r);
	rule.no_new_failures = GOLD;
	assert_int_equal(try_judge(&r, rule, false), ERR_INPUT); /* nothing of that name protects nothing */
	assert_non_null(strstr(err_text(), "matches no id and no slice of its 100 samples"));
	cand.samples[7].slice = GOLD;
	judge(&r, rule, false);
	assert_int_equal(r.verdict, VERDICT_PASS);
	gate_result_release(&r);
	cand.samples[0].slice = GOLD;
	judge(&r, rule, false);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	gate_result_release(&r);
	sides_count(100, 0, 0);
	cand.t.n_total = base.t.n_total = 101;
	judge(&r, (struct gate_rule){ .no_new_failures = ALL }, false);
	assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
	gate_result_release(&r);
}

static void test_gate_decide__suite_gain_is_arithmetic(void **state)
{
	const struct task_result *b = &base.t, *c = &cand.t;
	struct gate_input in = { .candidate = &c, .n_candidate = 1, .baseline = &b, .n_baseline = 1 };
	struct gate_rule rule = { .task = T, .metric = M, .has_gain = true, .gain = .07 };
	struct gate_policy p;
	struct gate_result r;

	(void)state;
	gate_policy_init(&p);
	p.rules = &rule;
	p.n = 1;
	for (size_t won = 10; won <= 13; won++) { /* 7 points of 100 are 7 more won than lost */
		sides_count(100, 5, won);
		metric_close(&base.m, 100);
		metric_close(&cand.m, 100);
		assert_int_equal(gate_decide(&r, &p, &in), 0);
		assert_int_equal(r.verdict, won >= 12 ? VERDICT_PASS : VERDICT_FAIL);
		assert_non_null(strstr(r.rules[0].explanation, "a gain of at least 7.0 points required"));
		assert_true(isnan(r.rules[0].p));
		gate_result_release(&r);
	}
}

/* The last of the allowed attempts is used up: a test that would pass does not, what fails still fails. */
static void test_population__attempts_end(void **state)
{
	struct gate_result r;

	(void)state;
	sides_count(1000, 10, 10);
	assert_int_equal(verdict_of(drop(.03), NULL), VERDICT_PASS);
	exhausted = "three are enough";
	judge(&r, drop(.03), false);
	assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
	assert_int_equal(r.exit, 2);
	assert_string_equal(r.sentence, "three are enough");
	gate_result_release(&r);
	judge(&r, drop(.03), true);
	assert_int_equal(r.verdict, VERDICT_PASS); /* the baseline itself rests on no test */
	gate_result_release(&r);
	sides_count(1000, 100, 10);
	judge(&r, drop(.03), false);
	assert_int_equal(r.verdict, VERDICT_FAIL);
	gate_result_release(&r);
	exhausted = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_population__counts_by_the_exact_test),
		cmocka_unit_test(test_population__the_critical_value_is_the_exact_one),
		cmocka_unit_test(test_population__bounds_are_the_ones_that_decide),
		cmocka_unit_test(test_population__a_relative_drop_is_tested_too),
		cmocka_unit_test(test_population__a_gain_must_be_shown),
		cmocka_unit_test(test_population__bounded_scores_have_a_floor_under_their_error),
		cmocka_unit_test(test_population__perplexities),
		cmocka_unit_test(test_population__clusters_are_what_counts),
		cmocka_unit_test(test_population__every_open_verdict_says_what_would_close_it),
		cmocka_unit_test(test_population__tasks_of_a_group_are_strata),
		cmocka_unit_test(test_population__a_rule_by_clusters_needs_them),
		cmocka_unit_test(test_population__floors_are_tested),
		cmocka_unit_test(test_population__floors_of_real_scores_by_betting),
		cmocka_unit_test(test_population__a_run_cut_short_never_passes),
		cmocka_unit_test(test_gate_decide__golden_samples_stay_right),
		cmocka_unit_test(test_gate_decide__suite_gain_is_arithmetic),
		cmocka_unit_test(test_population__attempts_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
