/* simulate.c: how often the gate's rules are wrong, and how often they can decide (make check-statistics).
 *
 * The worst case of every test is simulated, or enumerated where that is possible: models whose true drop is just what the
 * limit forbids. RUNS pushes a setting (20000), seeded: the same figures every time. Each row is checked against the
 * rate that the gate states, plus three standard errors of the simulation; a row that breaks it ends in "TOO HIGH" and
 * the program in 1. Rows with a "~" are those whose assumption the setting breaks on purpose: they are shown, not
 * checked. docs/gate.md has the summary.
 *
 * usage: simulate [counts|bounded|groups|likelihoods|clusters|early|population|gate|same]… (none: all) */
#include "base/base.h"

#include <assert.h>
#include <math.h>

#include "evals/gate_int.h"

#define ALPHA 0.05
static size_t runs = 20000;
static bool broken;

static const char *share(double x)
{
	static char text[16][16];
	static int at;

	at = (at + 1) % 16;
	snprintf(text[at], sizeof(text[at]), "%.2f%%", 100 * x);
	return text[at];
}

/* The last column. */
static const char *check(double rate, bool assumed)
{
	double error = sqrt(ALPHA * (1 - ALPHA) / (double)runs);

	if (!assumed)
		return "~";
	if (rate <= ALPHA + 3 * error)
		return "ok";
	broken = true;
	return "TOO HIGH";
}

static double normal(struct rng *r)
{
	return sqrt(-2 * log(1 - rng_uniform(r))) * cos(2 * M_PI * rng_uniform(r));
}

/* ---- 0/1 scores: enumerated -------------------------------------------------------------------------------------- */

enum rule { EXACT, TANGO, WALD, TWO_SIDED, UNPAIRED, POINT, RULES };

/* p of the exact test falls with Z alone: what is known of some outcomes decides others. */
struct known {
	double pass, fail;
};

static bool rule_passes(enum rule rule, struct known *known, size_t n, size_t lost, size_t won, double delta)
{
	double d = ((double)lost - (double)won) / (double)n, size = (double)n, z;
	double se = sqrt(((double)(lost + won) - d * d * size) / (size * (size - 1)));

	switch (rule) {
	case EXACT:
		z = stats_tango_z(n, lost, won, delta);
		if (z <= known->pass || z >= known->fail)
			return z <= known->pass;
		if (stats_tango_exact(n, lost, won, delta) > ALPHA)
			return (known->fail = z, false);
		return (known->pass = z, true);
	case TANGO:
		return stats_tango_z(n, lost, won, delta) < -1.6448536269514727;
	case WALD:
		return d + 1.6448536269514727 * se < delta;
	case TWO_SIDED: /* a two-sided 95 % interval against the limit */
		return d + 1.9599639845400542 * se <= delta;
	case UNPAIRED: /* two shares of 80 % as if they were of other samples */
		return d + 1.6448536269514727 * sqrt(2 * .8 * .2 / size) <= delta;
	case POINT:
		return d <= delta;
	default:
		return false;
	}
}

static double log_choose(double n, double k)
{
	return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

/* P(PASS) where the candidate loses a share pb and wins pc. Every rule passes less with more lost. */
static double pass_rate(enum rule rule, struct known *known, size_t n, double delta, double pb, double pc)
{
	double mean = (double)n * pc, reach = 7 * sqrt(mean) + 12, total = 0, mean_b = (double)n * pb;
	size_t from = (size_t)fmax(0, mean - reach), to = (size_t)fmin((double)n, mean + reach);
	double most = fmin((double)n, mean_b + 7 * sqrt(mean_b) + 12);

	for (size_t won = from; won <= to; won++) {
		double weight = pc > 0 ? exp(log_choose((double)n, (double)won) + (double)won * log(pc) +
					     (double)(n - won) * log1p(-pc))
				       : won == 0;
		size_t lo = 0, hi = (size_t)fmin(most, (double)(n - won)) + 1; /* passes below lo, not from hi on */

		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (rule_passes(rule, known, n, mid, won, delta))
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo)
			total += weight * stats_binomial_lower(n - won, lo - 1, pb / (1 - pc));
	}
	return total;
}

static void counts(void)
{
	const size_t sizes[] = { 30, 100, 300, 1000 };
	const double deltas[] = { .01, .02, .05 }, flips[] = { .01, .03, .06, .10, .20 };

	puts("\n0/1 scores, enumerated. `flips`: samples that differ. False PASS where the true drop is the limit; "
	     "then PASS\n"
	     "of a model that is as good (both of the same flips).\n");
	puts("| n | limit | flips | exact | Tango | Wald | point | | as good: exact | two-sided 95 % | unpaired | "
	     "point | |\n"
	     "|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|---|");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < ARRAY_LEN(deltas); k++) {
			struct known known = { -INFINITY, INFINITY };

			for (size_t f = 0; f < ARRAY_LEN(flips); f++) {
				double d = deltas[k], null[RULES], same[RULES];
				size_t n = sizes[i];

				if (flips[f] < d)
					continue;
				for (int r = EXACT; r < RULES; r++) {
					null[r] = pass_rate((enum rule)r, &known, n, d, (flips[f] + d) / 2,
							    (flips[f] - d) / 2);
					same[r] = pass_rate((enum rule)r, &known, n, d, flips[f] / 2, flips[f] / 2);
				}
				printf("| %zu | %g | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", n, 100 * d,
				       share(flips[f]), share(null[EXACT]), share(null[TANGO]), share(null[WALD]),
				       share(null[POINT]), null[EXACT] <= ALPHA ? "ok" : "TOO HIGH", share(same[EXACT]),
				       share(same[TWO_SIDED]), share(same[UNPAIRED]), share(same[POINT]));
				broken |= null[EXACT] > ALPHA;
			}
		}
}

/* ---- bounded scores ---------------------------------------------------------------------------------------------- */

/* A difference in scores whose mean is -delta. */
static double bounded_draw(struct rng *r, int model, double delta)
{
	switch (model) {
	case 0: /* a share of samples lost whole */
		return rng_uniform(r) < delta ? -1 : 0;
	case 1: /* the same, beside small noise */
		return (rng_uniform(r) < delta ? -1 : 0) + (rng_uniform(r) - .5) * .02;
	case 2: /* everything a little */
		return fmax(-1, fmin(1, -delta + .15 * normal(r)));
	default: /* half lost, on twice as many */
		return rng_uniform(r) < 2 * delta ? -.5 : 0;
	}
}

static void bounded(void)
{
	static const char *const models[] = { "lost whole, rarely", "the same and small noise", "all a little, sd 0.15",
					      "half lost, rarely" };
	const size_t sizes[] = { 100, 300, 1000 };
	const double deltas[] = { .01, .02, .05 };
	double *d = mem_array(1000, sizeof(*d));

	printf("\nScores from 0 to 1: false PASS of the floored t, and of t without the floor. %zu runs.\n\n", runs);
	puts("| losses | n | limit | floored t | t | |\n|---|--:|--:|--:|--:|---|");
	for (int m = 0; m < 4; m++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			for (size_t k = 0; k < ARRAY_LEN(deltas); k++) {
				size_t n = sizes[i], wrong = 0, plain = 0;
				struct rng rng;

				rng_seed(&rng, 100, (uint64_t)m * 16 + i * 4 + k);
				for (size_t run = 0; run < runs; run++) {
					double floor_se = sqrt(stats_drop_floor(deltas[k], 1) / (double)n),
					       df = (double)n - 1;
					struct stats_ratio r;

					for (size_t s = 0; s < n; s++)
						d[s] = bounded_draw(&rng, m, deltas[k]);
					stats_ratio(&r, d, NULL, n);
					r.se_loo = fmax(r.se_loo, 1e-9);
					wrong += stats_t_floored(r.ratio + deltas[k], r.se_loo, floor_se, df) <= ALPHA;
					plain += stats_t_floored(r.ratio + deltas[k], r.se_loo, 0, df) <= ALPHA;
				}
				printf("| %s | %zu | %g | %s | %s | %s |\n", models[m], n, deltas[k],
				       share((double)wrong / (double)runs), share((double)plain / (double)runs),
				       check((double)wrong / (double)runs, true));
			}
	free(d);
}

/* ---- groups ------------------------------------------------------------------------------------------------------- */

/* Two tasks that count alike; the whole drop in the one, in the other, or in both, and a gain of one that another loses. */
static void groups(void)
{
	static const char *const losses[] = { "in both", "in the small one", "in the large one" };
	static const size_t sizes[][2] = { { 30, 470 }, { 100, 400 }, { 250, 250 } };
	const double deltas[] = { .02, .05 };
	double x[500], w[500];

	printf("\nGroups of two tasks that count alike, whole losses: false PASS by strata, and as one task. %zu "
	       "runs.\n\n",
	       runs);
	puts("| losses | sizes | limit | apart | strata | one task | |\n|---|--:|--:|--:|--:|--:|---|");
	for (int where = 0; where < 3; where++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			for (size_t k = 0; k < 2 * ARRAY_LEN(deltas); k++) {
				double delta = deltas[k / 2], apart = k % 2 ? .2 : 0;
				size_t wrong = 0, one = 0;
				struct rng rng;

				rng_seed(&rng, 105, (uint64_t)where * 64 + i * 8 + k);
				for (size_t run = 0; run < runs; run++) {
					struct stats_ratio r;
					double df;

					for (size_t s = 0; s < 500; s++) {
						bool large = s >= sizes[i][0];
						double share = where == 0 ? 1 : (where == 2) == large ? 2 : 0;

						w[s] = 1 / (double)sizes[i][large];
						x[s] = w[s] * ((rng_uniform(&rng) < share * delta ? -.8 : 0) +
							       (large ? -apart : apart) - .2 * share * delta);
					}
					stats_ratio(&r, x, w, 500);
					one += stats_t_floored(
						       r.ratio + delta, fmax(r.se_loo, 1e-9),
						       sqrt(stats_drop_floor(delta, 1) *
							    (1 / (double)sizes[i][0] + 1 / (double)sizes[i][1]) / 4),
						       499) <= ALPHA;
					df = stats_ratio_strata(&r, x, w, sizes[i], 2, stats_drop_floor(delta, 1));
					wrong += stats_t_floored(r.ratio + delta, r.se_loo, 0, df) <= ALPHA;
				}
				printf("| %s | %zu + %zu | %g | %g | %s | %s | %s |\n", losses[where], sizes[i][0],
				       sizes[i][1], delta, apart, share((double)wrong / (double)runs),
				       share((double)one / (double)runs), check((double)wrong / (double)runs, true));
			}
}

/* ---- log-likelihoods --------------------------------------------------------------------------------------------- */

/* Loss a unit of text, mean 0, of about unit spread. */
static double loss_draw(struct rng *r, int model)
{
	switch (model) {
	case 0:
		return normal(r);
	case 1: { /* Student's t with 3 degrees of freedom */
		double a = normal(r), b = normal(r), c = normal(r);

		return normal(r) / sqrt((a * a + b * b + c * c) / 3);
	}
	case 2:
		return exp(normal(r)) - exp(.5);
	case 3:
		return exp(1.5 * normal(r)) - exp(1.125);
	case 4: /* 5 % of documents lose */
		return (rng_uniform(r) < .05 ? 20 : 0) - 1 + normal(r) * .5;
	default:
		return (rng_uniform(r) < .01 ? 100 : 0) - 1 + normal(r) * .5;
	}
}

static void likelihoods(void)
{
	static const char *const models[] = {
		"normal", "t, 3 df", "lognormal(1) losses", "lognormal(1.5) losses", "5 % lose 20 sd", "1 % lose 100 sd"
	};
	const size_t sizes[] = { 100, 200, 1000 };
	double *x = mem_array(1000, sizeof(*x)), *w = mem_array(1000, sizeof(*w));

	printf("\nLog-likelihoods, true ratio at the limit (1 %%): false PASS of t with Johnson's t' and the rule of "
	       "the heaviest\n"
	       "document; of t alone; share without a verdict for that rule. %zu runs.\n\n",
	       runs);
	puts("| losses | n | gate | t | refused | |\n|---|--:|--:|--:|--:|---|");
	for (int m = 0; m < 6; m++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			size_t n = sizes[i], wrong = 0, plain = 0, refused = 0;
			struct rng rng;

			rng_seed(&rng, 200, (uint64_t)m * 16 + i);
			for (size_t run = 0; run < runs; run++) {
				struct stats_ratio r;
				double margin;
				bool heavy;

				for (size_t s = 0; s < n; s++) {
					w[s] = 20 + (double)rng_below(&rng, 60);
					x[s] = -w[s] * (log(1.01) + .05 * loss_draw(&rng, m));
				}
				stats_ratio(&r, x, w, n);
				margin = log(1.01) + r.ratio;
				heavy = r.heaviest_share > .2;
				refused += heavy;
				plain += stats_t_floored(margin, r.se_loo, 0, (double)n - 1) <= ALPHA;
				wrong += !heavy && stats_t_skewed(margin, r.se_loo, r.skew, n, (double)n - 1) <= ALPHA;
			}
			printf("| %s | %zu | %s | %s | %s | %s |\n", models[m], n, share((double)wrong / (double)runs),
			       share((double)plain / (double)runs), share((double)refused / (double)runs),
			       check((double)wrong / (double)runs, m < 5));
		}
	free(x);
	free(w);
}

/* ---- clusters ---------------------------------------------------------------------------------------------------- */

enum { G_MAX = 160, SIZE = 20 };

/* Lost and won of a cluster of n samples; the mean drop is delta. */
static void cluster_draw(struct rng *r, int model, size_t n, double delta, size_t *lost, size_t *won)
{
	double flips = .06, pb = (flips + delta) / 2, pc = (flips - delta) / 2;

	*lost = *won = 0;
	if (model == 1) /* a fifth of the clusters bears four fifths of the losses */
		pb *= rng_uniform(r) < .2 ? 4 : .25;
	if (model == 2) { /* whole clusters are lost */
		*lost = rng_uniform(r) < delta ? n : 0;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		double u = rng_uniform(r);

		*lost += u < pb;
		*won += u >= pb && u < pb + pc;
	}
}

static void clusters(void)
{
	static const char *const models[] = { "losses spread evenly", "a fifth of clusters bears 4/5 of them",
					      "whole clusters lost" };
	const size_t groups[] = { 20, 40, 80, 160 };
	const double delta = .02;

	printf("\nClusters of %d 0/1 scores, limit 2 points: false PASS of cluster t and Tango together (the exact "
	       "test is stricter\n"
	       "than Tango), and of Tango alone as if samples were independent. %zu runs.\n\n",
	       SIZE, runs);
	puts("| model | clusters | gate | samples alone | |\n|---|--:|--:|--:|---|");
	for (int m = 0; m < 3; m++)
		for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
			size_t g = groups[i], wrong = 0, alone = 0;
			double x[G_MAX], w[G_MAX];
			struct rng rng;

			rng_seed(&rng, 300, (uint64_t)m * 16 + i);
			for (size_t run = 0; run < runs; run++) {
				size_t lost = 0, won = 0;
				struct stats_ratio r;
				double floor_se = sqrt(stats_drop_floor(delta, 1) / (double)(g * SIZE));
				bool tango;

				for (size_t k = 0; k < g; k++) {
					size_t b, c;

					cluster_draw(&rng, m, SIZE, delta, &b, &c);
					lost += b;
					won += c;
					x[k] = (double)c - (double)b;
					w[k] = SIZE;
				}
				stats_ratio(&r, x, w, g);
				tango = stats_normal_cdf(stats_tango_z(g * SIZE, lost, won, delta)) <= ALPHA;
				alone += tango;
				wrong += tango && stats_t_floored(r.ratio + delta, r.se_loo, floor_se,
								  r.n_effective - 1) <= ALPHA;
			}
			printf("| %s | %zu | %s | %s | %s |\n", models[m], g, share((double)wrong / (double)runs),
			       share((double)alone / (double)runs), check((double)wrong / (double)runs, m == 0));
		}
}

/* ---- stopping early, target suite -------------------------------------------------------------------------------- */

struct stopped {
	enum stats_decision how;
	size_t after, looked; /* at the decision; at the end of the block that it fell in */
};

/* The blocks of the runner (early.c). */
static size_t next_look(size_t asked)
{
	size_t more = asked / 8 > 32 ? asked / 8 : 32;

	return asked ? asked + more : 64;
}

/* A suite with so many lost and won, in random order; the baseline is right on half of the rest. */
static struct stopped stop_early(struct rng *rng, int8_t *d, size_t n, size_t lost, size_t won, double delta)
{
	size_t same = n - lost - won, look = 0;
	struct sequence_limit l = { .n = n,
				    .weight = (double)n,
				    .heaviest = 1,
				    .least = -1,
				    .most = 1,
				    .required = -delta,
				    .required_sum = -stats_allowed(delta, n),
				    .worst = -(double)(lost + same / 2),
				    .best = (double)(n - lost - same / 2),
				    .alpha = ALPHA };
	struct sequence s;

	for (size_t i = 0; i < n; i++)
		d[i] = i < lost ? -1 : i < lost + won ? 1 : i < lost + won + same / 2 ? 0 : 2;
	sequence_open(&s, &l);
	for (size_t i = 0; i < n && s.decision == STATS_OPEN; i++) {
		size_t k = i + rng_below(rng, n - i);
		int8_t at = d[k];
		bool right = at == -1 || at == 0;

		d[k] = d[i];
		look = i < look ? look : next_look(look);
		sequence_add(&s, at == 2 ? 0 : at, 1, right ? -1 : 0, right ? 0 : 1);
	}
	assert(s.decision != STATS_OPEN); /* all samples are in */
	return (struct stopped){ s.decision, s.after, look < n ? look : n };
}

static int by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

static void early_at(size_t n, double delta, double win)
{
	size_t won = (size_t)(win * (double)n), lost = won + (size_t)stats_allowed(delta, n) + 1, wrong = 0;
	size_t *after = mem_array(runs, sizeof(*after));
	int8_t *d = mem_array(n, 1);
	struct rng rng;

	rng_seed(&rng, 400, n * 10000 + (size_t)(delta * 1000) * 100 + (size_t)(win * 100));
	for (size_t run = 0; run < runs; run++) {
		struct stopped s = stop_early(&rng, d, n, lost, won, delta);

		wrong += s.how == STATS_PASS;
		after[run] = s.looked;
	}
	qsort(after, runs, sizeof(*after), by_size);
	printf("| %zu | %g | %s | %s | %s | %s |\n", n, 100 * delta, share(win), share((double)wrong / (double)runs),
	       share((double)after[runs / 2] / (double)n), check((double)wrong / (double)runs, true));
	free(d);
	free(after);
}

/* Three rules on suites of 1000, limit 2 points, each stopped on its own. */
static void early_gate(int8_t *d)
{
	static const struct {
		const char *what;
		size_t lost, won; /* of the first rule's suite; the others': 15 and 15 */
		bool good;
	} models[] = { { "one rule one item beyond its limit", 36, 15, false }, { "as good", 15, 15, true } };

	printf("\nA gate of three such rules, N = 1000.\n\n");
	puts("| model | PASS | FAIL | |\n|---|--:|--:|---|");
	for (size_t m = 0; m < ARRAY_LEN(models); m++) {
		size_t passes = 0;
		struct rng rng;

		rng_seed(&rng, 550, m);
		for (size_t run = 0; run < runs; run++) {
			bool pass = true;

			for (int k = 0; k < 3; k++)
				pass &= stop_early(&rng, d, 1000, k ? 15 : models[m].lost, k ? 15 : models[m].won, .02)
						.how == STATS_PASS;
			passes += pass;
		}
		printf("| %s | %s | %s | %s |\n", models[m].what, share((double)passes / (double)runs),
		       share((double)(runs - passes) / (double)runs),
		       check((double)(models[m].good ? 0 : passes) / (double)runs, true));
	}
}

static void early(void)
{
	const size_t sizes[] = { 200, 1000, 5000 };
	const double deltas[] = { .01, .02, .05 }, wins[] = { 0, .02, .05, .15 };
	static const struct {
		const char *what;
		double lost, won;
		double most; /* the share of items that the median may take */
	} saved[] = { { "no flips", 0, 0, .035 },
		      { "2 % lost, 2 % won", .02, .02, .08 },
		      { "5 % lost, 5 % won", .05, .05, .20 },
		      { "a drop of 8 points (9 % lost, 1 % won)", .09, .01, .03 } };
	int8_t *d = mem_array(10000, 1);
	size_t *after = mem_array(runs, sizeof(*after)), *looked = mem_array(runs, sizeof(*looked));

	printf("\nEarly stop (suite): one item more lost than allowed; false PASS, looked at after every item. %zu "
	       "runs.\n\n",
	       runs);
	puts("| N | limit | won | false PASS | median items | |\n|--:|--:|--:|--:|--:|---|");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < ARRAY_LEN(deltas); k++)
			for (size_t c = 0; c < ARRAY_LEN(wins); c++)
				early_at(sizes[i], deltas[k], wins[c]);
	printf("\nItems asked until the verdict, N = 10000, limit 2 points; in the runner's blocks.\n\n");
	puts("| model | median | p90 | median, a look an item | PASS | wrong | |\n|---|--:|--:|--:|--:|--:|---|");
	for (size_t i = 0; i < ARRAY_LEN(saved); i++) {
		size_t n = 10000, lost = (size_t)(saved[i].lost * 1e4), won = (size_t)(saved[i].won * 1e4), pass = 0;
		bool good = (double)lost - (double)won <= stats_allowed(.02, n);
		struct rng rng;
		double median;

		rng_seed(&rng, 500, i);
		for (size_t run = 0; run < runs; run++) {
			struct stopped s = stop_early(&rng, d, n, lost, won, .02);

			pass += s.how == STATS_PASS;
			after[run] = s.after;
			looked[run] = s.looked;
		}
		qsort(after, runs, sizeof(*after), by_size);
		qsort(looked, runs, sizeof(*looked), by_size);
		median = (double)looked[runs / 2] / (double)n;
		printf("| %s | %s | %s | %s | %s | %s | %s |\n", saved[i].what, share(median),
		       share((double)looked[runs * 9 / 10] / (double)n), share((double)after[runs / 2] / (double)n),
		       share((double)pass / (double)runs), share((double)(good ? runs - pass : pass) / (double)runs),
		       median <= saved[i].most ? "ok" : "TOO HIGH");
		broken |= median > saved[i].most;
	}
	early_gate(d);
	free(d);
	free(after);
	free(looked);
}

/* ---- stopping early, target population ---------------------------------------------------------------------------- */

/* Does the final test pass at this level? p falls with Z alone. */
static bool final_passes(struct known *known, size_t n, size_t lost, size_t won, double delta, double level)
{
	const struct gate_count c = { n, lost, won, 0 };
	double z = stats_tango_z(n, lost, won, delta);

	if (z <= known->pass || z >= known->fail)
		return z <= known->pass;
	if (gate_count_p_pass(&c, delta, false, ALPHA) > level)
		return (known->fail = z, false);
	return (known->pass = z, true);
}

/* Draws until a bet decides, or all are in and the final test has what the bets left of the level. */
static void population_at(size_t n, double delta, double flips, double drop, bool null)
{
	const double bets = GATE_BETS_SHARE * ALPHA, pb = (flips + drop) / 2, pc = (flips - drop) / 2;
	struct known known = { -INFINITY, INFINITY };
	struct sequence_limit l = { .n = n,
				    .weight = (double)n,
				    .heaviest = 1,
				    .least = -1,
				    .most = 1,
				    .required = -delta,
				    .alpha = bets,
				    .population = true };
	size_t passes = 0, by_bets = 0, fails = 0, *after = mem_array(runs, sizeof(*after));
	struct rng rng;

	rng_seed(&rng, 700, n * 1000 + (size_t)(delta * 100) * 100 + (size_t)(flips * 100) + null * 7777777);
	for (size_t run = 0; run < runs; run++) {
		size_t lost = 0, won = 0, i = 0, look = 0;
		struct sequence s;

		sequence_open(&s, &l);
		for (; i < n && s.decision == STATS_OPEN; i++) {
			double u = rng_uniform(&rng);

			lost += u < pb;
			won += u >= pb && u < pb + pc;
			look = i < look ? look : next_look(look);
			sequence_add(&s, u < pb ? -1 : u < pb + pc ? 1 : 0, 1, -1, 1);
		}
		by_bets += s.decision != STATS_OPEN;
		after[run] = s.decision == STATS_OPEN || look > n ? n : look;
		fails += s.decision == STATS_FAIL;
		passes += s.decision == STATS_PASS ||
			  (s.decision == STATS_OPEN && final_passes(&known, n, lost, won, delta, ALPHA - bets));
	}
	qsort(after, runs, sizeof(*after), by_size);
	printf("| %zu | %g | %s | %s | %s | %s | %s | %s |\n", n, 100 * delta, share(flips),
	       null ? "on the limit" : "as good", share((double)passes / (double)runs),
	       share((double)by_bets / (double)runs), share((double)after[runs / 2] / (double)n),
	       null ? check((double)passes / (double)runs, true) : check((double)fails / (double)runs, true));
	free(after);
}

static void population(void)
{
	const size_t sizes[] = { 1001, 3000 };
	const double deltas[] = { .02, .05 }, flips[] = { .06, .10, .20 };

	printf("\nEarly stop (population): bets at a fifth of the level after every sample, then the final test at the "
	       "rest. %zu runs.\n\n",
	       runs);
	puts("| n | limit | flips | model | PASS | decided by bets | median samples | |\n"
	     "|--:|--:|--:|---|--:|--:|--:|---|");
	for (int null = 1; null >= 0; null--)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			for (size_t k = 0; k < ARRAY_LEN(deltas); k++)
				for (size_t f = 0; f < ARRAY_LEN(flips); f++)
					population_at(sizes[i], deltas[k], flips[f], null ? deltas[k] : 0, null);
}

/* ---- whole gates, as gate_decide() judges them ---------------------------------------------------------------------- */

enum { CELLS = 128, GATE_N = 500, PUSH_N = 400 };
static char T[] = "t", ACC[] = "acc", F1[] = "token_f1";

/* n samples of one metric, for gate_decide(). */
struct made {
	struct task_result t;
	struct metric m;
};

static void made_init(struct made *out, char *metric, size_t n)
{
	static char none[] = "none";

	*out = (struct made){ .m = { .name = metric,
				     .filter = none,
				     .aggregate = AGGREGATE_MEAN,
				     .higher_is_better = true,
				     .binary = metric == ACC,
				     .scores = mem_array(n, sizeof(double)) } };
	out->t = (struct task_result){ .task = T, .n = n, .n_total = n, .metrics = &out->m, .n_metrics = 1 };
	out->t.samples = mem_array(n, sizeof(struct sample));
	for (size_t i = 0; i < n; i++)
		out->t.samples[i].id = mem_printf("q%zu", i);
}

static void made_release(struct made *m)
{
	for (size_t i = 0; i < m->t.n; i++)
		free(m->t.samples[i].id);
	free(m->t.samples);
	free(m->m.scores);
}

struct verdicts {
	enum verdict verdict;
	bool alarm;
};

/* One rule, and the metric watched. */
static struct verdicts judge(struct made *base, struct made *cand, double limit)
{
	const struct task_result *b = &base->t, *c = &cand->t;
	char *watched = mem_printf("%s.%s", T, cand->m.name);
	struct gate_rule rule = { .task = T, .metric = cand->m.name, .has_drop = true, .drop = limit };
	struct gate_policy policy;
	struct gate_input in = { .candidate = &c, .n_candidate = 1, .baseline = &b, .n_baseline = 1 };
	struct gate_result r;
	struct verdicts v;
	int rc;

	gate_policy_init(&policy);
	policy.population = true;
	policy.confidence = 1 - ALPHA;
	policy.rules = &rule;
	policy.n = 1;
	policy.watch = &watched;
	policy.n_watch = 1;
	metric_close(&base->m, base->t.n);
	metric_close(&cand->m, cand->t.n);
	rc = gate_decide(&r, &policy, &in);
	assert(rc == 0);
	v = (struct verdicts){ r.verdict, r.rules[policy.n].verdict == VERDICT_FAIL };
	gate_result_release(&r);
	free(watched);
	return v;
}

/* What is judged of n 0/1 scores, by lost and won: made when first asked for, since the exact test's bounds take their time. */
struct cells {
	size_t n;
	double delta;
	bool known[CELLS][CELLS];
	struct verdicts of[CELLS][CELLS];
};

static struct verdicts cell_judge(struct cells *c, size_t lost, size_t won)
{
	assert(lost < CELLS && won < CELLS && 2 * CELLS <= c->n);
	if (!c->known[lost][won]) {
		struct made base, cand;

		made_init(&base, ACC, c->n);
		made_init(&cand, ACC, c->n);
		for (size_t i = 0; i < c->n; i++) {
			base.m.scores[i] = i < lost || i >= 2 * CELLS;
			cand.m.scores[i] = i >= 2 * CELLS || (i >= CELLS && i < CELLS + won);
		}
		c->of[lost][won] = judge(&base, &cand, c->delta);
		c->known[lost][won] = true;
		made_release(&base);
		made_release(&cand);
	}
	return c->of[lost][won];
}

static void draw_counts(struct rng *r, size_t n, double pb, double pc, size_t *lost, size_t *won)
{
	*lost = *won = 0;
	for (size_t i = 0; i < n; i++) {
		double u = rng_uniform(r);

		*lost += u < pb;
		*won += u >= pb && u < pb + pc;
	}
}

static enum verdict worse_of(enum verdict a, enum verdict b)
{
	return a == VERDICT_FAIL || b == VERDICT_FAIL                   ? VERDICT_FAIL
	       : a == VERDICT_INCONCLUSIVE || b == VERDICT_INCONCLUSIVE ? VERDICT_INCONCLUSIVE
									: VERDICT_PASS;
}

static void gate(void)
{
	static const struct {
		const char *what;
		double pb,
			pc; /* of the rule that may be on its limit; the others' are as good as the baseline, 3 % flips */
	} models[] = { { "as good as the baseline (another seed)", .015, .015 },
		       { "one rule exactly on its limit", .03, .01 } };
	static struct cells cells;

	cells = (struct cells){ .n = GATE_N, .delta = .02 };
	printf("\nA gate of three rules (500 samples each, limit 2 points) and four watched metrics, target "
	       "population. %zu runs.\n\n",
	       runs);
	puts("| model | PASS | FAIL | INCONCLUSIVE | any alarm | |\n|---|--:|--:|--:|--:|---|");
	for (size_t m = 0; m < ARRAY_LEN(models); m++) {
		size_t of[8] = { 0 }, alarms = 0;
		struct rng rng;

		rng_seed(&rng, 600, m);
		for (size_t run = 0; run < runs; run++) {
			enum verdict worst = VERDICT_PASS;
			double p[4], adjusted[4], least = 1;
			size_t lost, won;

			for (int k = 0; k < 3; k++) {
				draw_counts(&rng, GATE_N, k ? .015 : models[m].pb, k ? .015 : models[m].pc, &lost,
					    &won);
				worst = worse_of(worst, cell_judge(&cells, lost, won).verdict);
			}
			for (int k = 0; k < 4; k++) {
				draw_counts(&rng, GATE_N, .015, .015, &lost, &won);
				p[k] = lost > won ? stats_mcnemar_mid_p(lost, won) : 1;
			}
			stats_holm(p, 4, adjusted);
			for (int k = 0; k < 4; k++)
				least = fmin(least, adjusted[k]);
			alarms += least <= ALPHA;
			of[worst]++;
		}
		printf("| %s | %s | %s | %s | %s | %s |\n", models[m].what,
		       share((double)of[VERDICT_PASS] / (double)runs), share((double)of[VERDICT_FAIL] / (double)runs),
		       share((double)of[VERDICT_INCONCLUSIVE] / (double)runs), share((double)alarms / (double)runs),
		       check(fmax((double)of[m ? VERDICT_PASS : VERDICT_FAIL] / (double)runs,
				  (double)alarms / (double)runs),
			     true));
	}
}

/* Pushes of a model that did not change: trained again with another seed, or its answers drawn again. */
static void same(void)
{
	static const struct {
		const char *what;
		int answers; /* drawn of a sample, and averaged; 0: greedy */
		bool spread; /* samples differ in how sure the model is */
	} models[] = { { "trained again, greedy: 0/1 scores", 0, true },
		       { "one answer drawn: 0/1 scores", 1, true },
		       { "four answers drawn, averaged", 4, true },
		       { "four answers drawn, all samples alike", 4, false } };
	static struct cells cells;

	cells = (struct cells){ .n = PUSH_N, .delta = .02 };
	printf("\nPushes of an unchanged model, %d samples, limit 2 points, target population; the same metric "
	       "watched. "
	       "%zu runs.\n\n",
	       PUSH_N, runs);
	puts("| push | PASS | FAIL | INCONCLUSIVE | alarm | |\n|---|--:|--:|--:|--:|---|");
	for (size_t m = 0; m < ARRAY_LEN(models); m++) {
		bool binary = models[m].answers < 2;
		size_t of[8] = { 0 }, alarms = 0;
		struct made base, cand;
		struct rng rng;

		made_init(&base, binary ? ACC : F1, PUSH_N);
		made_init(&cand, binary ? ACC : F1, PUSH_N);
		rng_seed(&rng, 800, m);
		for (size_t run = 0; run < runs; run++) {
			size_t lost = 0, won = 0;
			struct verdicts v;

			for (size_t i = 0; i < PUSH_N; i++) {
				/* how likely it is right: most samples are all but sure */
				double u = rng_uniform(&rng), sure = models[m].spread ? u * u * (3 - 2 * u) : .8;
				int draws = models[m].answers ? models[m].answers : 1, b = 0, c = 0;

				if (!models[m].answers) /* greedy: near the border a seed decides */
					sure = sure < .45 ? 0 : sure > .55 ? 1 : (sure - .45) * 10;
				for (int k = 0; k < draws; k++) {
					b += rng_uniform(&rng) < sure;
					c += rng_uniform(&rng) < sure;
				}
				base.m.scores[i] = (double)b / draws;
				cand.m.scores[i] = (double)c / draws;
				lost += b > c;
				won += c > b;
			}
			v = binary ? cell_judge(&cells, lost, won) : judge(&base, &cand, cells.delta);
			of[v.verdict]++;
			alarms += v.alarm;
		}
		printf("| %s | %s | %s | %s | %s | %s |\n", models[m].what,
		       share((double)of[VERDICT_PASS] / (double)runs), share((double)of[VERDICT_FAIL] / (double)runs),
		       share((double)of[VERDICT_INCONCLUSIVE] / (double)runs), share((double)alarms / (double)runs),
		       check(fmax((double)of[VERDICT_FAIL] / (double)runs, (double)alarms / (double)runs), true));
		made_release(&base);
		made_release(&cand);
	}
	for (size_t n = 10; n <= 20; n += 10) { /* ten samples without a change prove nothing */
		struct made base, cand;
		enum verdict v;

		made_init(&base, ACC, n);
		made_init(&cand, ACC, n);
		v = judge(&base, &cand, .05).verdict;
		printf("\nTwo equal files of %zu samples, limit 5 points: %s.\n", n, verdict_name(v));
		broken |= v != VERDICT_INCONCLUSIVE;
		made_release(&base);
		made_release(&cand);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = { { "counts", counts },           { "bounded", bounded },   { "groups", groups },
		      { "likelihoods", likelihoods }, { "clusters", clusters }, { "early", early },
		      { "population", population },   { "gate", gate },         { "same", same } };
	const char *asked = getenv("RUNS");

	if (asked && strtoul(asked, NULL, 10) >= 100)
		runs = strtoul(asked, NULL, 10);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		bool wanted = argc < 2;

		for (int k = 1; k < argc; k++)
			wanted |= strcmp(argv[k], parts[i].name) == 0;
		if (wanted)
			parts[i].run();
		fflush(stdout);
	}
	return broken;
}
