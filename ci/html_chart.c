/* html_chart.c: line charts as inline SVG: axes with round ticks, lines with gaps, a legend, and the numbers of every
 * point for those who point at it.
 *
 * One size in user units (720 x 280), scaled by the page; colours, widths and letter sizes are classes of page.css, so a
 * chart follows the page's theme, and its letters grow on a phone. Nothing is drawn that is not finite. Ticks are
 * multiples of 1, 2 or 5 times a power of ten. */
#include "base/base.h"
#include "ci/html_int.h"

#include <math.h>

enum { W = 720, H = 280, LEFT = 60, RIGHT = 14, TOP = 12, BOTTOM = 42, TICKS = 5 };

struct frame {
	double x0, x1, y0, y1; /* of the data */
	double width, height;
	bool whole_x;
};

static double px(const struct frame *f, double x)
{
	return LEFT + (x - f->x0) / (f->x1 - f->x0) * (f->width - LEFT - RIGHT);
}

static double py(const struct frame *f, double y)
{
	return f->height - BOTTOM - (y - f->y0) / (f->y1 - f->y0) * (f->height - BOTTOM - TOP);
}

static bool frame_of(struct frame *f, const struct chart *c)
{
	size_t n = 0;

	*f = (struct frame){ INFINITY, -INFINITY, INFINITY, -INFINITY, W, H, c->whole_x };
	for (size_t k = 0; k < c->n; k++) {
		for (size_t i = 0; i < c->lines[k].n; i++) {
			double x = c->lines[k].x[i], y = c->lines[k].y[i];

			if (!isfinite(x) || !isfinite(y))
				continue;
			f->x0 = fmin(f->x0, x);
			f->x1 = fmax(f->x1, x);
			f->y0 = fmin(f->y0, y);
			f->y1 = fmax(f->y1, y);
			n++;
		}
	}
	if (c->unit_square) {
		*f = (struct frame){ 0, 1, 0, 1, 420, 360, false };
		return n > 0;
	}
	if (n < 2 || f->x1 <= f->x0 || !isfinite(f->x1 - f->x0) || !isfinite(2 * (f->y1 - f->y0)))
		return false;
	if (f->y1 - f->y0 < 1e-12 + 1e-9 * fabs(f->y1)) { /* a flat line stands in the middle */
		double half = f->y1 != 0 ? fabs(f->y1) / 10 : 1;

		f->y0 -= half;
		f->y1 += half;
	} else {
		double air = (f->y1 - f->y0) * 0.05;

		f->y0 -= air;
		f->y1 += air;
	}
	return true;
}

static double round_step(double span, bool whole)
{
	double raw = span / TICKS, power = pow(10, floor(log10(raw))), unit = raw / power;
	double step = (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10) * power;

	return whole && step < 1 ? 1 : step;
}

static void add_tick_number(struct buf *out, double v, double step)
{
	int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);

	if (fabs(v) >= 1e6)
		buf_addf(out, "%.3g", v);
	else
		buf_addf(out, "%.*f", decimals > 6 ? 6 : decimals, fabs(v) < step / 2 ? 0.0 : v);
}

static void add_axes(struct buf *out, const struct frame *f, const struct chart *c)
{
	double sx = round_step(f->x1 - f->x0, f->whole_x), sy = round_step(f->y1 - f->y0, false);
	double base = f->height - BOTTOM, right = f->width - RIGHT;

	for (double y = ceil(f->y0 / sy - 1e-9) * sy; y <= f->y1 + 1e-9 * sy; y += sy) {
		buf_addf(out, "<path class=\"grid\" d=\"M%d %.1fH%.1f\"/><text class=\"tick end\" x=\"%d\" y=\"%.1f\">",
			 LEFT, py(f, y), right, LEFT - 8, py(f, y) + 4);
		add_tick_number(out, y, sy);
		buf_adds(out, "</text>");
	}
	for (double x = ceil(f->x0 / sx - 1e-9) * sx; x <= f->x1 + 1e-9 * sx; x += sx) {
		buf_addf(out, "<text class=\"tick mid\" x=\"%.1f\" y=\"%.1f\">", px(f, x), base + 17);
		add_tick_number(out, x, sx);
		buf_adds(out, "</text>");
	}
	buf_addf(out, "<path class=\"axis\" d=\"M%d %.1fH%.1f\"/>", LEFT, base, right);
	buf_addf(out, "<text class=\"name end\" x=\"%.1f\" y=\"%.1f\">%s</text>", right, f->height - 6, c->x_name);
	buf_addf(out, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>", LEFT + 6, TOP + 6, c->y_name);
	if (c->unit_square)
		buf_addf(out, "<path class=\"diagonal\" d=\"M%.1f %.1fL%.1f %.1f\"/>", px(f, 0), py(f, 0), px(f, 1),
			 py(f, 1));
}

static void add_line(struct buf *out, const struct frame *f, const struct chart *c, const struct chart_line *l)
{
	bool pen = false;

	buf_addf(out, "<path class=\"line %s\" d=\"", l->class);
	for (size_t i = 0; i < l->n; i++) {
		bool there = isfinite(l->y[i]) && isfinite(l->x[i]);

		if (there)
			buf_addf(out, "%c%.1f %.1f", pen ? 'L' : 'M', px(f, l->x[i]), py(f, l->y[i]));
		pen = there;
	}
	buf_adds(out, "\"/>");
	for (size_t i = 0; i < l->n; i++) {
		if (!isfinite(l->y[i]) || !isfinite(l->x[i]))
			continue;
		buf_addf(out, "<circle class=\"%s %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>",
			 l->dots ? "dot" : "touch", l->class, px(f, l->x[i]), py(f, l->y[i]), l->dots ? "3.5" : "6");
		html_text(out, l->name, 80);
		buf_addf(out, ": %s %.6g, %s %.6g</title></circle>", c->x_name, l->x[i], c->y_name, l->y[i]);
	}
}

void html_chart(struct buf *out, const struct chart *c)
{
	struct frame f;

	if (!frame_of(&f, c))
		return;
	buf_adds(out, "<figure class=\"chart\"><figcaption>");
	html_text(out, c->title, 200);
	buf_adds(out, "<span class=\"keys\">");
	for (size_t k = 0; k < c->n; k++) {
		if (!c->lines[k].n)
			continue;
		buf_addf(out, "<span class=\"key %s\">", c->lines[k].class);
		html_text(out, c->lines[k].name, 80);
		buf_adds(out, "</span>");
	}
	buf_addf(out, "</span></figcaption><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", f.width,
		 f.height);
	html_text(out, c->title, 200);
	buf_adds(out, "\">");
	add_axes(out, &f, c);
	for (size_t k = 0; k < c->n; k++)
		add_line(out, &f, c, &c->lines[k]);
	buf_adds(out, "</svg></figure>\n");
}
