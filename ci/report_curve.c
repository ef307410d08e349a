/* report_curve.c: what a report says of a training: its learning curve, thinned out for a chart or for one line of text,
 * and the sentence of it.
 *
 * Points are [step, loss, …] in the order of the steps; a loss that is no number is a hole. A line has equally spaced
 * places: each is the mean of the losses nearest to it, and an empty one lies between its neighbours. A curve that
 * does not begin and end with a loss, or does not go forward, is none. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <math.h>

static double step_at(const json_t *points, size_t i)
{
	return (double)json_integer_value(json_array_get(json_array_get(points, i), 0));
}

static double loss_at(const json_t *points, size_t i)
{
	const json_t *v = json_array_get(json_array_get(points, i), 1);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

void report_curve_make(struct report_curve *c, const json_t *points, size_t max)
{
	double sum[REPORT_CURVE_MAX] = { 0 };
	size_t count[REPORT_CURVE_MAX] = { 0 }, n = json_array_size(points);

	*c = (struct report_curve){ 0 };
	max = max > REPORT_CURVE_MAX ? REPORT_CURVE_MAX : max;
	if (n < 2 || max < 2 || step_at(points, n - 1) <= step_at(points, 0))
		return;
	c->first = step_at(points, 0);
	c->last = step_at(points, n - 1);
	c->n = n < max ? n : max;
	for (size_t i = 0; i < n; i++) {
		double at = (step_at(points, i) - c->first) / (c->last - c->first), loss = loss_at(points, i);

		if (isnan(loss) || at < 0 || at > 1)
			continue;
		sum[(size_t)lround(at * (double)(c->n - 1))] += loss;
		count[(size_t)lround(at * (double)(c->n - 1))]++;
	}
	if (!count[0] || !count[c->n - 1]) {
		c->n = 0;
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		size_t next = i;

		while (!count[next])
			next++;
		c->loss[i] = next == i ? sum[i] / (double)count[i]
				       : c->loss[i - 1] + (sum[next] / (double)count[next] - c->loss[i - 1]) /
								  (double)(next - i + 1);
	}
}

/* U+2581 to U+2588: one eighth to a full block. */
void report_curve_spark(const struct report_curve *c, struct buf *out)
{
	double lo = INFINITY, hi = -INFINITY;

	for (size_t i = 0; i < c->n; i++) {
		lo = fmin(lo, c->loss[i]);
		hi = fmax(hi, c->loss[i]);
	}
	for (size_t i = 0; i < c->n; i++) {
		double level = hi > lo ? (c->loss[i] - lo) / (hi - lo) * 7 : 0;

		buf_addf(out, "\xe2\x96%c", (char)(0x81 + (int)lround(level)));
	}
}

void report_add_validation(const json_t *training, struct buf *out)
{
	const json_t *points = json_object_get(training, "validation");
	size_t n = json_array_size(points), best = n;

	for (size_t i = 0; i < n; i++)
		if (!isnan(loss_at(points, i)) && (best == n || loss_at(points, i) < loss_at(points, best)))
			best = i;
	if (best == n)
		return;
	buf_addf(out, ", validation %.4g at step %.0f", loss_at(points, best), step_at(points, best));
	if (best + 1 < n && !isnan(loss_at(points, n - 1)))
		buf_addf(out, " (%.4g at the last)", loss_at(points, n - 1));
}

void report_add_training(const json_t *training, void (*text)(struct buf *, const char *, size_t), struct buf *out)
{
	double first = report_number(training, "first_loss"), last = report_number(training, "last_loss");
	char time[32];

	buf_adds(out, json_get_flag(training, "reused", false) ? "Trained before, reused: " : "Trained: ");
	text(out, json_get_text(training, "method", "full"), 40);
	buf_addf(out, ", %lld steps, %lld tokens", (long long)json_get_int(training, "steps", 0),
		 (long long)json_get_int(training, "tokens", 0));
	if (!isnan(first) && !isnan(last))
		buf_addf(out, ", loss %.4g \xe2\x86\x92 %.4g", first, last);
	report_add_validation(training, out);
	clock_duration(time, json_get_real(training, "seconds", 0));
	buf_addf(out, ", %s.", time);
}
