/* ci_int.h: what the renderers of a report share: hostile text made harmless, numbers, and the rows of its table. */
#ifndef ASSAY_CI_INT_H
#define ASSAY_CI_INT_H

#include "ci/ci.h"

/* ---- text (report_text.c) ------------------------------------------------------------------------------------------ */

/* The next code point of a hostile text, one line and visible: line ends become U+23CE, control bytes their pictures
 * (U+2400…), characters that reorder or hide text U+FFFD. 0 at the end. */
struct text_scan {
	const char *s;
	size_t len, at;
	int marks;  /* combining marks in a row so far: no more than a few pass */
	bool lines; /* line ends and tabs stay what they are */
};
uint32_t text_next(struct text_scan *t);
bool text_is_mark(uint32_t cp); /* takes no column of its own (the common ranges) */

enum text_cut { TEXT_HEAD, TEXT_TAIL }; /* which part stays when it is too long */
/* Adds s cleaned and cut to max code points ("…" stands for what went). Spaces at either end are shown as U+2423. */
void text_show(struct buf *out, const char *s, size_t len, size_t max, enum text_cut cut);
/* As text_show, for a text that ends at its first NUL; spaces stay as they are: for sentences. */
void text_clean(struct buf *out, const char *s, size_t max);
/* For a log that a forge's runner reads: no line from `from` on begins with "::", and none has "##[", which GitHub's takes for
 * commands wherever a text was wrapped; a look-alike of the same width stands there. */
void text_disarm(struct buf *out, size_t from);

/* Decimals that show a pair and its difference with two digits or more. NaN: not there. */
int num_decimals(double baseline, double candidate, double delta);
void num_add(struct buf *out, double v, int decimals);        /* "0.712"; NaN gives "–" */
void num_add_signed(struct buf *out, double v, int decimals); /* "+0.012" */
/* "[-0.037, -0.011]": rounded outward, so that a bound shown is never tighter than the bound that decided. */
void num_add_bounds(struct buf *out, double lo, double hi, int decimals, bool sign);

/* ---- the document (report.c) ------------------------------------------------------------------------------------------ */

double report_number(const json_t *obj, const char *key);                           /* NaN where there is none */
const char *report_text(const json_t *report, const char *object, const char *key); /* "" where there is none */

/* How a row stands, worst first: the order of the table. */
enum row_mark { ROW_FAIL, ROW_UNDECIDED, ROW_WORSE, ROW_PASS, ROW_BETTER, ROW_SAME };
struct report_row {
	const json_t *rule; /* borrowed; a member of "rules", or of "metrics" for a metric that no rule speaks of */
	char *label;        /* "intents.acc", "answers.exact_match,strict" */
	const char *requirement; /* "max_drop 0.03"; "" for a row that is only shown */
	const char *explanation; /* "" if there is none, or if the report's sentence says it already */
	enum row_mark mark;
	const char *verdict; /* the rule's verdict in capitals, "" if none */
	bool gated, higher_is_better;
	bool bounds_value; /* lo and hi bound the candidate's value (min, max), not the difference */
	double baseline, candidate, delta, lo, hi;
	double limit; /* of the change, better upwards (-0.03: may drop so much); of the value if bounds_value. NaN: none */
	int64_t n, lost, won;
	int decimals;
	size_t place; /* in the document */
};
struct report_rows {
	struct report_row *items;
	size_t n;
	size_t n_main;                         /* items before the unchanged ones */
	size_t failed, gated;                  /* gated rules that failed; gated rules */
	size_t worse, better, same, undecided; /* worse, better, same: rows that no rule decides */
};
void report_rows_make(struct report_rows *out, const json_t *report);
void report_rows_release(struct report_rows *rows);

bool report_is_diff(const json_t *report); /* two sides beside each other; no verdict */
bool report_known_verdict(const char *s);
const char *report_verdict(const json_t *report); /* one of the known names, else "ERROR" */
bool report_is_own(const json_t *report);         /* judged by the candidate's own rules? */
/* "2 of 4 rules failed", "4 rules hold", … in a few words; the sentence says why. */
void report_add_count(const json_t *report, const struct report_rows *rows, struct buf *out);
/* The version made and what became of the alias, as plain sentences (hostile names in them are not escaped).
 * Nothing if neither is there. */
void report_add_promotion(const json_t *report, struct buf *out);
/* What of the questions stands in the training data: one plain sentence (hostile names in it are not escaped), and how
 * many tasks it concerns. Nothing if it was not counted. */
size_t report_add_overlap(const json_t *report, struct buf *out);
/* "intents.acc" of a row of slices; yours. */
char *report_slice_label(const json_t *row);
/* "17 at data/train.jsonl:203, …": the examples of a row of overlap.tasks. */
void report_add_overlap_examples(const json_t *row, struct buf *out);
/* "3 metrics without a clear change", or "3 other metrics" where none has a baseline. */
void report_add_same(const struct report_rows *rows, struct buf *out);
double report_confidence(const json_t *report); /* 0.95 where none is given */

/* ---- the learning curve (report_curve.c) ------------------------------------------------------------------------------ */

enum { REPORT_CURVE_MAX = 40 };
struct report_curve {
	double first, last; /* steps */
	size_t n;           /* places, at equal distances; 0: there is no curve */
	double loss[REPORT_CURVE_MAX];
};
void report_curve_make(struct report_curve *c, const json_t *points, size_t max); /* at most max places */
void report_curve_spark(const struct report_curve *c, struct buf *out);           /* a line of block characters */
/* ", validation 0.45 at step 200 (0.47 at the last)": the lowest; nothing if there is none. */
void report_add_validation(const json_t *training, struct buf *out);
/* "Trained: lora, 200 steps, 81920 tokens, loss 2.1 → 0.4, 12 s.": text escapes for where it goes, to at most so long. */
void report_add_training(const json_t *training, void (*text)(struct buf *, const char *, size_t), struct buf *out);

#endif
