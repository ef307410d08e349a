/* stats_tango.c: paired 0/1 scores: by how much may the candidate be worse?
 *
 * n samples, on B = lost only the baseline was right, on C = won only the candidate. The statistic is Tango's score
 * (Statistics in Medicine 17, 1998) and not the textbook standard error: with no discordant pair the latter is 0, and an
 * interval of zero width would claim certainty from ten samples. For a supposed drop d, the likelihood's share q of "only
 * the candidate right" is the root of
 *	2n q^2 + (-(B+C) + (2n-B+C) d) q - C d (1-d) = 0
 * and Z = (B - C - n d) / sqrt(n (2q + d (1-d))). Z falls in d, so both ends of the interval are found by bisection.
 *
 * The normal tail of Z is not used as a level: where few pairs are discordant, and those are the cells that a gate lives
 * in, its size at 5 % reaches 7.7 %. The level is exact instead. Z only puts the possible outcomes in order; the p-value
 * is the probability of all outcomes at least as good as the seen one, at the worst of the parameters that the hypothesis
 * allows:
 *	p = max over q of  sum over C of Bin(C; n, q) BinCDF(b(C); n - C, (q + d) / (1 - q))
 * with q from max(0, -d) to (1 - d) / 2, and b(C) the largest B with Z(B, C) <= Z seen. Z rises in B and falls in C, so
 * the worst case lies on the boundary "the drop is d" (Barnard's convexity) and b(C) never falls. The assumption that is
 * left: the samples are independent draws. d < 0 asks for a gain of -d.
 *
 * For one q the sum walks along C. BinCDF moves with it by additions alone, F(b; m-1) = F(b; m) + p f(b; m-1) and
 * F(b+1; m) = F(b; m) + f(b+1; m), so nothing cancels, and only the ten standard deviations about the mean are walked:
 * time grows with sqrt(n), after one table of b(C) that takes n. */
#include "base/base.h"

#include <math.h>

#include "evals/stats_int.h"

double stats_tango_z(size_t n, size_t lost, size_t won, double delta)
{
	double a = 2.0 * (double)n, b, c, root, q, variance, gap;

	if (delta < 0) /* the same question with the two models changed over */
		return -stats_tango_z(n, won, lost, -delta);
	b = -((double)lost + (double)won) + (a - (double)lost + (double)won) * delta;
	c = -(double)won * delta * (1 - delta);
	root = sqrt(b * b - 4 * a * c);
	q = b > 0 ? -2 * c / (b + root) : (root - b) / (2 * a); /* without cancellation */
	variance = (double)n * (2 * q + delta * (1 - delta));
	gap = (double)lost - (double)won - (double)n * delta;
	if (variance <= 0)
		return gap > 0 ? INFINITY : gap < 0 ? -INFINITY : 0;
	return gap / sqrt(variance);
}

struct tango_at {
	size_t n, lost, won;
};

static double tango_z_at(double delta, const void *arg)
{
	const struct tango_at *t = arg;

	return stats_tango_z(t->n, t->lost, t->won, delta);
}

void stats_tango_interval(size_t n, size_t lost, size_t won, double confidence, double *lo, double *hi)
{
	struct tango_at t = { n, lost, won };
	double z = stats_normal_quantile(confidence);
	double drop = ((double)lost - (double)won) / (double)n;

	/* the largest and the smallest drop that the data do not refute */
	*lo = lost == n ? -1 : -stats_bisect(tango_z_at, &t, drop, 1, -z, false);
	*hi = won == n ? 1 : -stats_bisect(tango_z_at, &t, -1, drop, z, false);
}

/* ---- the exact test ---------------------------------------------------------------------------------------------- */

/* The outcomes that are at least as good as the seen one: for C won, those with at most limit[C] lost; -1: none. */
struct region {
	size_t n;
	double delta;
	int32_t *limit;
};

static void region_fill(struct region *r, double z)
{
	int64_t b = -1;

	for (size_t won = 0; won <= r->n; won++) {
		int64_t most = (int64_t)(r->n - won);

		b = b < most ? b : most;
		while (b < most && stats_tango_z(r->n, (size_t)(b + 1), won, r->delta) <= z + 1e-9)
			b++;
		r->limit[won] = (int32_t)b;
	}
}

/* log Bin(k; n, p), 0 < p < 1 */
static long double log_binomial(int64_t n, int64_t k, long double p, long double q)
{
	return lgammal((long double)n + 1) - lgammal((long double)k + 1) - lgammal((long double)(n - k) + 1) +
	       (long double)k * logl(p) + (long double)(n - k) * logl(q);
}

/* Bin(.; m, p) at b, and up to b. */
struct walk {
	int64_t m, b;
	long double p, q; /* q = 1 - p */
	long double at, upto;
};

/* From the start: the shorter of the two tails is summed, away from the mean. */
static void walk_start(struct walk *w)
{
	long double mean = w->p * (long double)w->m, far = 40 * sqrtl(mean * w->q) + 60, sum = 0, term;
	bool below = (long double)w->b <= mean;

	w->at = w->q <= 0 && w->b == w->m;
	w->upto = w->b >= 0 && (w->q <= 0 ? w->b == w->m : !below);
	if (w->b < 0 || w->q <= 0 || fabsl((long double)w->b - mean) > far) /* 0 or 1, but for less than 1e-300 */
		return;
	term = w->at = expl(log_binomial(w->m, w->b, w->p, w->q));
	if (below) {
		for (int64_t k = w->b; term > 1e-25L * sum; k--) {
			sum += term;
			term *= (long double)k * w->q / ((long double)(w->m - k + 1) * w->p);
		}
		w->upto = sum;
	} else {
		for (int64_t k = w->b; k < w->m && term > 1e-25L; k++) {
			term *= (long double)(w->m - k) * w->p / ((long double)(k + 1) * w->q);
			sum += term;
		}
		w->upto = 1 - sum;
	}
}

/* One trial fewer, then b to its new limit: up, or down with the number of trials. */
static void walk_next(struct walk *w, int64_t b)
{
	if (w->b == w->m && b == w->m - 1) { /* all outcomes before, and now */
		w->at /= w->p;
		w->upto = 1;
		w->m--;
		w->b--;
		return;
	}
	if (w->b < 0 || w->b == w->m || w->at < 1e-4000L) {
		w->m--;
		w->b = b;
		walk_start(w);
		return;
	}
	w->at *= (long double)(w->m - w->b) / ((long double)w->m * w->q);
	w->upto += w->p * w->at;
	w->m--;
	for (; w->b < b; w->b++) {
		w->at *= (long double)(w->m - w->b) * w->p / ((long double)(w->b + 1) * w->q);
		w->upto += w->at;
	}
}

/* The probability of the region where the candidate alone is right with probability q, the baseline alone q + drop. */
static double region_at(const struct region *r, double q, double drop)
{
	double mean = (double)r->n * q, reach = 10 * sqrt(mean * (1 - q)) + 40;
	int64_t from = (int64_t)fmax(0, mean - reach), to = (int64_t)fmin((double)r->n, mean + reach);
	long double share = q, lost = (share + (long double)drop) / (1 - share), sum = 0, weight;
	struct walk w = { (int64_t)r->n - from, r->limit[from], lost, 1 - lost, 0, 0 };

	if (q <= 0)
		from = to = 0;
	weight = q <= 0 ? 1 : expl(log_binomial((int64_t)r->n, from, share, 1 - share));
	if (lost <= 0) /* nothing is ever lost: b = 0 where the region has anything */
		w.p = 0, w.q = 1;
	if (w.q < 1e-17L)
		w.q = 0;
	for (int64_t won = from; won <= to; won++) {
		if (won > from && w.p > 0)
			walk_next(&w, r->limit[won]);
		else if (w.p > 0)
			walk_start(&w);
		else
			w.upto = r->limit[won] >= 0;
		sum += weight * w.upto;
		weight *= (long double)((int64_t)r->n - won) * share / ((long double)(won + 1) * (1 - share));
	}
	return (double)(sum < 1 ? sum : 1);
}

static double region_probability(double q, const void *arg)
{
	const struct region *r = arg;

	return region_at(r, q, r->delta);
}

/* The largest value between lo and hi, by golden section: there is one hill between neighbours of the grid. */
static double highest(const struct region *r, double lo, double hi)
{
	const double golden = 0.61803398874989484820;
	double x1 = hi - golden * (hi - lo), x2 = lo + golden * (hi - lo);
	double y1 = region_probability(x1, r), y2 = region_probability(x2, r), best = fmax(y1, y2);

	for (int i = 0; i < 60 && hi - lo > 1e-9 * hi; i++) {
		if (y1 > y2) {
			hi = x2;
			x2 = x1;
			y2 = y1;
			x1 = hi - golden * (hi - lo);
			y1 = region_probability(x1, r);
		} else {
			lo = x1;
			x1 = x2;
			y1 = y2;
			x2 = lo + golden * (hi - lo);
			y2 = region_probability(x2, r);
		}
		best = fmax(best, fmax(y1, y2));
	}
	return best;
}

enum { GRID = 200, REFINED = 6 };

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Hills are narrow near the low end, where few pairs are discordant: the grid is dense there. */
static double region_worst(const struct region *r)
{
	double lo = r->delta < 0 ? -r->delta : 0, hi = (1 - r->delta) / 2, best = 0;
	double q[2 * GRID], y[2 * GRID];
	bool used[2 * GRID] = { false };

	for (int i = 0; i < GRID; i++) {
		double u = (double)i / (GRID - 1);

		q[2 * i] = lo + (hi - lo) * u * u;
		q[2 * i + 1] = lo + (hi - lo) * u * u * u * u;
	}
	qsort(q, 2 * GRID, sizeof(*q), by_value);
	for (int i = 0; i < 2 * GRID; i++) {
		y[i] = region_probability(q[i], r);
		best = fmax(best, y[i]);
	}
	for (int k = 0; k < REFINED; k++) {
		int top = -1;

		for (int i = 0; i < 2 * GRID; i++)
			if (!used[i] && (top < 0 || y[i] > y[top]))
				top = i;
		used[top] = true;
		best = fmax(best, highest(r, q[top ? top - 1 : 0], q[top < 2 * GRID - 1 ? top + 1 : top]));
	}
	return best;
}

double stats_tango_exact(size_t n, size_t lost, size_t won, double delta)
{
	struct region r = { .n = n, .delta = delta };
	double p;

	if (delta >= 1) /* the drop of 1 is that every sample is lost */
		return lost == n ? 1 : 0;
	if (delta <= -1)
		return 1;
	r.limit = mem_array(n + 1, sizeof(*r.limit));
	region_fill(&r, stats_tango_z(n, lost, won, delta));
	p = region_worst(&r);
	free(r.limit);
	return p;
}

double stats_tango_bound(size_t n, size_t lost, size_t won, double alpha)
{
	double lo, hi, most, step, seen;

	stats_tango_interval(n, lost, won, 1 - alpha, &lo, &most);
	hi = -lo;
	if (n >= 50000 || lost == n)
		return hi;
	seen = ((double)lost - (double)won) / (double)n;
	step = fmax((hi - seen) / 8, 1e-4 / (double)n); /* near a level of a half there is no distance to speak of */
	if (stats_tango_exact(n, lost, won, hi) <= alpha) {
		for (lo = hi - step; stats_tango_exact(n, lost, won, lo) <= alpha; lo -= step *= 2)
			hi = lo;
	} else {
		for (lo = hi, hi += step; hi < 1 && stats_tango_exact(n, lost, won, hi) > alpha; hi += step *= 2)
			lo = hi;
		hi = fmin(hi, 1);
	}
	for (int i = 0; i < 4 || (i < 40 && hi - lo > fabs(hi - seen) / 256); i++) {
		double mid = (lo + hi) / 2;

		if (stats_tango_exact(n, lost, won, mid) <= alpha)
			hi = mid;
		else
			lo = mid;
	}
	return hi;
}

/* ---- beforehand --------------------------------------------------------------------------------------------------- */

enum { EXACT_MAX = 5000 };

/* The largest statistic that still passes: the worst case of its region grows with it. To a thousandth, on the safe side. */
static double critical_z(struct region *r, double alpha)
{
	double most = stats_normal_quantile(alpha), lo = most - 1, hi = most + 0.1;

	if (r->n > EXACT_MAX) /* the worst that 2000 and 3000 samples have: on the safe side */
		return most - 0.012;
	while (lo > -60) { /* with few samples and a small drop no region is small enough */
		region_fill(r, lo);
		if (region_worst(r) <= alpha)
			break;
		lo = lo * 2;
	}
	for (int i = 0; i < 12 && hi - lo > 1e-3; i++) {
		double mid = (lo + hi) / 2;

		region_fill(r, mid);
		if (region_worst(r) <= alpha)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

double stats_tango_power(size_t n, double delta, double alpha, double flips)
{
	struct region r = { .n = n, .delta = delta };
	double power;

	if (delta >= 1)
		return 1;
	r.limit = mem_array(n + 1, sizeof(*r.limit));
	region_fill(&r, critical_z(&r, alpha));
	power = region_at(&r, flips / 2, 0);
	free(r.limit);
	return power;
}

double stats_flips_within(size_t n, double flips, double allowed)
{
	struct region r = { .n = n };
	double p;

	r.limit = mem_array(n + 1, sizeof(*r.limit));
	for (size_t won = 0; won <= n; won++) {
		double most = fmin(floor(allowed + 1e-9) + (double)won, (double)(n - won));

		r.limit[won] = most < 0 ? -1 : (int32_t)most;
	}
	p = region_at(&r, flips / 2, 0);
	free(r.limit);
	return p;
}
