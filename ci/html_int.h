/* html_int.h: what the parts of the web page share (report_html.c puts them together). */
#ifndef ASSAY_CI_HTML_INT_H
#define ASSAY_CI_HTML_INT_H

#include "ci/ci_int.h"

/* ---- escaping (html_text.c): the only way for a text of a stranger into the page ------------------------------------- */

void html_text(struct buf *out, const char *s,
	       size_t max); /* one line, cleaned: content, or a value in double quotes */
void html_name(struct buf *out, const char *s, size_t max); /* the same; a line may end behind a dot or the like */
void html_code(struct buf *out, const json_t *text, size_t max, enum text_cut cut); /* in <code>; says "empty" of "" */
void html_commit(struct buf *out, const char *oid);                                 /* its first digits, in <code> */
/* Opens a cell of a table with a number in it, by which the table is sorted; label: ours. NaN: there is none. */
void html_number(struct buf *out, const char *label, double v, int decimals, bool sign);
void html_json(struct buf *out, const json_t *value); /* for a block of data: no '<' in it; line ends stay in texts */

/* ---- line charts (html_chart.c) --------------------------------------------------------------------------------------- */

struct chart_line {
	const double *x, *y; /* n points, x ascending; a y that is NaN is a gap */
	size_t n;
	const char *name, *class; /* of the legend, cleaned by the chart; of page.css: "a" baseline, "b" candidate, … */
	bool dots;
};
struct chart {
	const char *title, *x_name, *y_name; /* ours */
	const struct chart_line *lines;
	size_t n;
	bool unit_square; /* both axes from 0 to 1, with the diagonal */
	bool whole_x;     /* x counts things */
};
void html_chart(struct buf *out, const struct chart *c); /* nothing if there are no two points */

/* ---- parts, each a <section> or nothing --------------------------------------------------------------------------------- */

void html_metrics(struct buf *out, const json_t *report, const struct report_rows *rows); /* html_metrics.c */
void html_curves(struct buf *out, const json_t *report);                                  /* html_curves.c */
void html_calibration(struct buf *out, const json_t *report);
void html_slices(struct buf *out, const json_t *report);                       /* html_slices.c */
void html_samples(struct buf *out, const json_t *report, const json_t *pairs); /* html_samples.c */
void html_steps(struct buf *out, const json_t *report);                        /* html_steps.c */
void html_overlap(struct buf *out, const json_t *report);
void html_lineage(struct buf *out, const json_t *report); /* html_lineage.c */

/* ---- the page around them (html_page.c) ----------------------------------------------------------------------------------- */

/* Everything up to <main>; samples: with the script of the list. */
void html_page_begin(struct buf *out, const char *title, bool samples);
void html_page_end(struct buf *out, bool samples);

#endif
