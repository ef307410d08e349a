/* html_curves.c: what the model learned, and how well it knows what it knows: learning curves, and calibration.
 *
 * A training curve has a point a step and is noisy: it is thinned to 240 places, each the mean of its steps. Validation
 * losses are few and are drawn as they are. Where the baseline's curve is known it lies behind, so that two trainings can
 * be told apart at one look. Calibration: in each bin of confidence, how sure the model was against how often it was
 * right; on the diagonal it is as often right as it believes. */
#include "base/base.h"
#include "ci/html_int.h"

#include <math.h>

enum { PLACES = 240 };

struct series {
	double *x, *y;
	size_t n;
};

static double value_at(const json_t *point, size_t k)
{
	const json_t *v = json_array_get(point, k);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

/* At most `places` points, each the mean of its neighbours; yours. */
static struct series series_of(const json_t *points, size_t places)
{
	size_t n = json_array_size(points), m = n < places ? n : places;
	struct series s = { mem_array(m + 1, sizeof(double)), mem_array(m + 1, sizeof(double)), m };

	for (size_t k = 0; k < m; k++) {
		size_t from = k * n / m, to = (k + 1) * n / m, count = 0;
		double x = 0, y = 0;

		for (size_t i = from; i < to; i++) {
			const json_t *p = json_array_get(points, i);

			x += value_at(p, 0) / (double)(to - from);
			if (isfinite(value_at(p, 1))) {
				y += value_at(p, 1);
				count++;
			}
		}
		s.x[k] = x;
		s.y[k] = count ? y / (double)count : NAN;
	}
	return s;
}

static void series_release(struct series *s)
{
	free(s->x);
	free(s->y);
}

void html_curves(struct buf *out, const json_t *report)
{
	const json_t *t = json_object_get(report, "training"), *b = json_object_get(t, "before");
	struct series s[] = { series_of(json_object_get(b, "curve"), PLACES),
			      series_of(json_object_get(b, "validation"), PLACES),
			      series_of(json_object_get(t, "curve"), PLACES),
			      series_of(json_object_get(t, "validation"), PLACES) };
	const struct chart_line lines[] = {
		{ s[0].x, s[0].y, s[0].n, "baseline, training", "a", false },
		{ s[1].x, s[1].y, s[1].n, "baseline, validation", "a2", true },
		{ s[2].x, s[2].y, s[2].n, "candidate, training", "b", false },
		{ s[3].x, s[3].y, s[3].n, "candidate, validation", "b2", true },
	};
	const struct chart c = { .title = "Loss by step",
				 .x_name = "step",
				 .y_name = "loss",
				 .lines = lines,
				 .n = ARRAY_LEN(lines),
				 .whole_x = true };

	if (json_is_object(t)) {
		buf_adds(out, "<section id=\"training\"><h2>Training</h2>\n<p>");
		report_add_training(t, html_text, out);
		buf_adds(out, "</p>\n");
		html_chart(out, &c);
		buf_adds(out, "</section>\n");
	}
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		series_release(&s[i]);
}

/* ---- calibration ----------------------------------------------------------------------------------------------------------- */

/* Expected calibration error: the mean distance from the diagonal, weighted by samples. */
static double error_of(const json_t *bins)
{
	double sum = 0, n = 0;

	for (size_t i = 0; i < json_array_size(bins); i++) {
		const json_t *b = json_array_get(bins, i);

		sum += value_at(b, 2) * fabs(value_at(b, 0) - value_at(b, 1));
		n += value_at(b, 2);
	}
	return n > 0 ? sum / n : NAN;
}

static void add_calibration(struct buf *out, const json_t *row)
{
	const json_t *bins = json_object_get(row, "bins"), *base = json_object_get(row, "baseline");
	struct series b = series_of(bins, PLACES), a = series_of(base, PLACES);
	char *name_a = mem_printf("baseline, error %.3f", error_of(base));
	char *name_b = mem_printf("candidate, error %.3f", error_of(bins));
	const struct chart_line lines[] = { { a.x, a.y, a.n, name_a, "a2", true },
					    { b.x, b.y, b.n, name_b, "b2", true } };
	const struct chart c = { .title = json_get_text(row, "task", ""),
				 .x_name = "confidence",
				 .y_name = "share right",
				 .lines = lines,
				 .n = ARRAY_LEN(lines),
				 .unit_square = true };

	html_chart(out, &c);
	free(name_a);
	free(name_b);
	series_release(&a);
	series_release(&b);
}

void html_calibration(struct buf *out, const json_t *report)
{
	const json_t *list = json_object_get(report, "calibration"), *row;
	size_t i;

	if (!json_array_size(list))
		return;
	buf_adds(out,
		 "<section id=\"calibration\"><h2>Calibration</h2>\n<p class=\"legend\">How sure the model was of its "
		 "choice against how often that was right, in bins of confidence. On the diagonal it knows what it "
		 "knows; below it, it is too sure. The error is the mean distance from the diagonal.</p>\n"
		 "<div class=\"charts\">");
	json_array_foreach(list, i, row) add_calibration(out, row);
	buf_adds(out, "</div></section>\n");
}
