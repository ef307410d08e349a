/* report_term.c: the report on a terminal.
 *
 * What a person sees behind `git push`: the verdict and why, a table of what was measured, the samples that broke, how
 * long each step took, what became of the alias, and the commands that show more. Nothing is wider than the terminal.
 *
 * Width. Columns are counted by wcwidth() of the C.UTF-8 locale, set for this thread while rendering; without such a
 * locale, by a short East-Asian table. Cells are cut by columns, never inside a character. A table too wide gives way
 * in a fixed order: short headings, names cut a little, a word instead of the requirement, no bounds, no
 * baseline.
 *
 * Colour only where asked for, and never as the only sign: each verdict has its mark and its word. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <wchar.h>

enum { SAMPLES_SHOWN = 5, ROWS_SHOWN = 24, OVERLAP_SHOWN = 12, SLICES_SHOWN = 12, WIDTH_MIN = 40, WIDTH_MAX = 160 };
#define PART_MAX ((size_t)1 << 20)

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW };

struct term {
	struct buf *out;
	int width;
	bool colour, has_locale;
};

/* ---- columns --------------------------------------------------------------------------------------------------------- */

static int point_columns(const struct term *t, uint32_t cp)
{
	if (t->has_locale) {
		int w = wcwidth((wchar_t)cp);

		return w < 0 ? 1 : w;
	}
	if (text_is_mark(cp))
		return 0;
	return (cp >= 0x1100 && cp <= 0x115F) || (cp >= 0x2E80 && cp <= 0xA4CF) || (cp >= 0xAC00 && cp <= 0xD7A3) ||
			       (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0xFE30 && cp <= 0xFE6F) ||
			       (cp >= 0xFF00 && cp <= 0xFF60) || (cp >= 0x1F300 && cp <= 0x1FAFF) ||
			       (cp >= 0x20000 && cp <= 0x3FFFD)
		       ? 2
		       : 1;
}

static int columns(const struct term *t, const char *s)
{
	size_t len = strlen(s), used;
	int n = 0;

	for (size_t at = 0; at < len; at += used)
		n += point_columns(t, utf8_next(s + at, len - at, &used));
	return n;
}

static void pad(const struct term *t, int n)
{
	for (; n > 0; n--)
		buf_addc(t->out, ' ');
}

/* Cuts a cleaned text to max columns, "…" included; from its head or its tail. Yours. */
static char *cut(const struct term *t, const char *s, int max, enum text_cut keep)
{
	size_t len = strlen(s), used, at = 0;
	int all = columns(t, s), n = 0;

	if (all <= max)
		return mem_str(s);
	if (max < 1)
		return mem_str("");
	if (keep == TEXT_HEAD) {
		for (; at < len; at += used) {
			n += point_columns(t, utf8_next(s + at, len - at, &used));
			if (n > max - 1)
				break;
		}
		return mem_printf("%.*s\xe2\x80\xa6", (int)at, s);
	}
	for (n = all; at < len && n > max - 1; at += used)
		n -= point_columns(t, utf8_next(s + at, len - at, &used));
	return mem_printf("\xe2\x80\xa6%s", s + at);
}

static void paint(const struct term *t, enum colour c, const char *s)
{
	static const char *const codes[] = {
		[PLAIN] = "", [BOLD] = "1", [DIM] = "2", [RED] = "31", [GREEN] = "32", [YELLOW] = "33",
	};
	if (t->colour && c != PLAIN)
		buf_addf(t->out, "\033[%sm%s\033[0m", codes[c], s);
	else
		buf_adds(t->out, s);
}

/* A sentence, cleaned, wrapped at spaces, each line indented. */
static void paragraph(const struct term *t, enum colour c, const char *s, int indent)
{
	struct buf clean = BUF_INIT(PART_MAX);
	char *line, *word, *rest;
	int at = 0;

	text_clean(&clean, s, 2000);
	rest = line = mem_str(buf_str(&clean));
	while ((word = strsep(&rest, " ")) != NULL) {
		char *fit = cut(t, word, t->width - indent, TEXT_HEAD);
		int w = columns(t, fit);

		if (at && at + 1 + w > t->width) {
			buf_addc(t->out, '\n');
			at = 0;
		}
		if (at)
			buf_addc(t->out, ' ');
		else
			pad(t, indent);
		paint(t, c, fit);
		at += w + (at ? 1 : indent);
		free(fit);
	}
	buf_addc(t->out, '\n');
	free(line);
	buf_release(&clean);
}

/* ---- verdict ---------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *verdict, *sign;
	enum colour colour;
} verdicts[] = {
	{ "PASS", "\xe2\x9c\x94 ", GREEN }, { "FAIL", "\xe2\x9c\x98 ", RED }, { "INCONCLUSIVE", "? ", YELLOW },
	{ "NO_BASELINE", "? ", YELLOW },    { "INCOMPARABLE", "? ", YELLOW }, { "ERROR", "! ", RED },
};

static void write_verdict(const struct term *t, const json_t *report, const struct report_rows *rows)
{
	const char *verdict = report_verdict(report), *model = report_text(report, NULL, "model");
	const char *oid = report_text(report, NULL, "commit"), *subject = report_text(report, NULL, "subject");
	struct buf word = BUF_INIT(PART_MAX), rest = BUF_INIT(PART_MAX);
	enum colour colour = RED;
	char *fit;

	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (strcmp(verdict, verdicts[i].verdict))
			continue;
		colour = verdicts[i].colour;
		buf_adds(&word, verdicts[i].sign);
	}
	for (const char *p = verdict; *p; p++)
		buf_addc(&word, *p == '_' ? ' ' : *p);
	if (report_is_diff(report)) {
		colour = BOLD;
		buf_clear(&word);
		text_clean(&word, report_text(report, "baseline", "name"), 40);
		buf_adds(&word, " \xe2\x86\x92 ");
		text_clean(&word, report_text(report, NULL, "name"), 40);
	}
	if (t->colour)
		buf_adds(t->out, "\033[1m");
	paint(t, colour, buf_str(&word));
	buf_adds(&rest, *model ? "  " : "");
	text_clean(&rest, model, 40);
	buf_adds(&rest, ": ");
	report_add_count(report, rows, &rest);
	fit = cut(t, buf_str(&rest), t->width - columns(t, buf_str(&word)), TEXT_HEAD);
	paint(t, BOLD, fit);
	buf_addc(t->out, '\n');
	free(fit);
	buf_clear(&rest);
	buf_addf(&rest, "%.7s%s", oid, *oid && *subject ? " " : "");
	text_clean(&rest, subject, 100);
	if (rest.len) {
		fit = cut(t, buf_str(&rest), t->width - 2, TEXT_HEAD);
		buf_adds(t->out, "  ");
		paint(t, DIM, fit);
		buf_addc(t->out, '\n');
		free(fit);
	}
	buf_release(&word);
	buf_release(&rest);
}

/* ---- table ------------------------------------------------------------------------------------------------------------ */

enum column { C_LABEL, C_BASELINE, C_CANDIDATE, C_DELTA, C_BOUNDS, C_VERDICT, N_COLUMNS };

struct cells {
	char *text[N_COLUMNS];
	enum colour colour;
};
struct table {
	struct cells *lines; /* the first is the heading */
	size_t n;
	int width[N_COLUMNS];
};

static char *cell_number(double v, int decimals, bool sign)
{
	struct buf b = BUF_INIT(64);

	if (sign)
		num_add_signed(&b, v, decimals);
	else
		num_add(&b, v, decimals);
	return buf_take(&b);
}

static char *cell_label(const struct report_row *r)
{
	struct buf b = BUF_INIT(PART_MAX);

	text_clean(&b, r->label, 100);
	buf_adds(&b, r->higher_is_better ? " \xe2\x86\x91" : " \xe2\x86\x93");
	return buf_take(&b);
}

static char *cell_bounds(const struct report_row *r, int level)
{
	struct buf b = BUF_INIT(128);

	if (isnan(r->lo) && isnan(r->hi))
		return mem_str("");
	if (r->bounds_value && !level)
		buf_adds(&b, "is ");
	num_add_bounds(&b, r->lo, r->hi, r->decimals, !r->bounds_value);
	return buf_take(&b);
}

/* With room the requirement stands behind the mark, else one word. */
static char *cell_verdict(const struct report_row *r, int level)
{
	static const struct {
		const char *mark, *word, *longer;
	} words[] = {
		[ROW_FAIL] = { "\xe2\x9c\x98 ", "failed", "" },
		[ROW_UNDECIDED] = { "? ", "open", "" },
		[ROW_WORSE] = { "", "worse", ", not gated" },
		[ROW_PASS] = { "\xe2\x9c\x94 ", "holds", "" },
		[ROW_BETTER] = { "", "better", "" },
		[ROW_SAME] = { "", "", "" },
	};
	struct buf b = BUF_INIT(PART_MAX);

	buf_adds(&b, words[r->mark].mark);
	if (r->mark == ROW_UNDECIDED && level == 0) {
		for (const char *p = r->verdict; (isupper((unsigned char)*p) || *p == '_') && b.len < 20; p++)
			buf_addc(&b, *p == '_' ? ' ' : (char)tolower((unsigned char)*p));
		buf_adds(&b, ": ");
	}
	if (*r->requirement && level < 3)
		text_clean(&b, r->requirement, 60);
	else
		buf_adds(&b, words[r->mark].word);
	if (level == 0)
		buf_adds(&b, words[r->mark].longer);
	return buf_take(&b);
}

static const enum colour mark_colour[] = {
	[ROW_FAIL] = RED,   [ROW_UNDECIDED] = YELLOW, [ROW_WORSE] = YELLOW,
	[ROW_PASS] = GREEN, [ROW_BETTER] = GREEN,     [ROW_SAME] = PLAIN,
};

static void table_row(struct table *tb, const struct report_row *r, int level)
{
	struct cells *c = &tb->lines[tb->n++];

	c->text[C_LABEL] = cell_label(r);
	c->text[C_BASELINE] = cell_number(r->baseline, r->decimals, false);
	c->text[C_CANDIDATE] = cell_number(r->candidate, r->decimals, false);
	c->text[C_DELTA] = cell_number(r->delta, r->decimals, true);
	c->text[C_BOUNDS] = cell_bounds(r, level);
	c->text[C_VERDICT] = cell_verdict(r, level);
	c->colour = mark_colour[r->mark];
}

static int table_width(const struct table *tb)
{
	int w = 2;

	for (int c = 0; c < N_COLUMNS; c++)
		w += tb->width[c] ? tb->width[c] + (c ? 2 : 0) : 0;
	return w;
}

static void table_make(struct table *tb, const struct term *t, const struct report_rows *rows, size_t n,
		       double confidence, int level)
{
	static const char *const longer[] = { "metric", "baseline", "candidate", "\xce\x94", NULL, "verdict" };
	static const char *const brief[] = { "metric", "base", "cand.", "\xce\x94", NULL, "verdict" };
	struct cells *head;

	*tb = (struct table){ .lines = mem_array(n + 1, sizeof(*tb->lines)), .n = 1 };
	head = &tb->lines[0];
	for (int c = 0; c < N_COLUMNS; c++)
		head->text[c] = c == C_BOUNDS ? mem_printf(level ? "[%.4g %% bounds]" : "[one-sided %.4g %% bounds]",
							   100 * confidence)
					      : mem_str(level ? brief[c] : longer[c]);
	head->colour = DIM;
	for (size_t i = 0; i < n; i++)
		table_row(tb, &rows->items[i], level);
	for (size_t i = 0; i < tb->n; i++) {
		for (int c = 0; c < N_COLUMNS; c++) {
			int w = columns(t, tb->lines[i].text[c]);

			tb->width[c] = w > tb->width[c] ? w : tb->width[c];
		}
	}
	if (level >= 4)
		tb->width[C_BOUNDS] = 0;
	if (level >= 5)
		tb->width[C_BASELINE] = 0;
	if (level >= 2 && table_width(tb) > t->width) {
		int room = t->width - (table_width(tb) - tb->width[C_LABEL]), least = level == 2   ? 22
										      : level == 3 ? 16
										      : level == 4 ? 12
												   : 4;

		tb->width[C_LABEL] = room > least ? room : least;
	}
}

static void table_release(struct table *tb)
{
	for (size_t i = 0; i < tb->n; i++)
		for (int c = 0; c < N_COLUMNS; c++)
			free(tb->lines[i].text[c]);
	free(tb->lines);
}

static void table_line(const struct term *t, const struct table *tb, const struct cells *line, bool head)
{
	int owed = 2; /* blanks not written yet: none at a line's end */

	for (int c = 0; c < N_COLUMNS; c++) {
		bool right = c >= C_BASELINE && c <= C_DELTA;
		char *fit;
		int w;

		if (!tb->width[c])
			continue;
		owed += c ? 2 : 0;
		fit = cut(t, line->text[c], tb->width[c], TEXT_HEAD);
		w = columns(t, fit);
		if (w) {
			pad(t, owed + (right ? tb->width[c] - w : 0));
			paint(t, head || c == C_VERDICT || (c == C_LABEL && line->colour == RED) ? line->colour : PLAIN,
			      fit);
			owed = right ? 0 : tb->width[c] - w;
		} else {
			owed += tb->width[c];
		}
		free(fit);
	}
	buf_addc(t->out, '\n');
}

/* The names of the metrics that did not change, as many as fit one line. */
static void write_same(const struct term *t, const struct report_rows *rows)
{
	struct buf b = BUF_INIT(PART_MAX);
	char *fit;

	report_add_same(rows, &b);
	buf_addc(&b, ':');
	for (size_t i = rows->n_main; i < rows->n && b.len < 400; i++) {
		buf_adds(&b, i == rows->n_main ? " " : ", ");
		text_clean(&b, rows->items[i].label, 60);
	}
	fit = cut(t, buf_str(&b), t->width - 2, TEXT_HEAD);
	buf_adds(t->out, "  ");
	paint(t, DIM, fit);
	buf_addc(t->out, '\n');
	free(fit);
	buf_release(&b);
}

/* Without a rule or a clear change there would be no table: then the metrics themselves are it. */
static void write_table(const struct term *t, const json_t *report, const struct report_rows *rows)
{
	size_t n = rows->n_main ? rows->n_main : rows->n, shown = n < ROWS_SHOWN ? n : ROWS_SHOWN;
	struct table tb;

	if (!n)
		return;
	for (int level = 0;; level++) {
		table_make(&tb, t, rows, shown, report_confidence(report), level);
		if (level >= 5 || table_width(&tb) <= t->width)
			break;
		table_release(&tb);
	}
	buf_addc(t->out, '\n');
	for (size_t i = 0; i < tb.n; i++)
		table_line(t, &tb, &tb.lines[i], i == 0);
	table_release(&tb);
	if (shown < n)
		buf_addf(t->out, "  \xe2\x80\xa6 and %zu more\n", n - shown);
	if (rows->n_main && rows->same)
		write_same(t, rows);
}

/* ---- what broke ---------------------------------------------------------------------------------------------------------- */

static char *shown(const struct term *t, const char *s, size_t len, int max, enum text_cut keep)
{
	struct buf b = BUF_INIT(PART_MAX);
	char *fit;

	text_show(&b, s, len, 400, keep);
	fit = cut(t, b.len ? buf_str(&b) : "(empty)", max, keep);
	buf_release(&b);
	return fit;
}

/* A member of a sample; an answer may hold NULs. */
static char *shown_member(const struct term *t, const json_t *sample, const char *key, int max, enum text_cut keep)
{
	const json_t *text = json_object_get(sample, key);

	return shown(t, json_get_text(sample, key, ""), json_string_length(text), max, keep);
}

static void write_sample(const struct term *t, const json_t *s, int id_width)
{
	int answer = t->width >= 110 ? 28 : t->width >= 76 ? 16 : 10, prompt_width;
	char *name = mem_printf("%s/%s", json_get_text(s, "task", ""), json_get_text(s, "id", ""));
	char *id = shown(t, name, strlen(name), id_width, TEXT_TAIL);
	char *before = shown_member(t, s, "before", answer, TEXT_HEAD);
	char *after = shown_member(t, s, "after", answer, TEXT_HEAD);
	char *prompt;

	prompt_width = t->width - 2 - id_width - 2 - 2 - columns(t, before) - 3 - columns(t, after);
	prompt = shown_member(t, s, "prompt", prompt_width, TEXT_TAIL);
	buf_adds(t->out, "  ");
	paint(t, DIM, id);
	pad(t, id_width - columns(t, id) + 2);
	if (prompt_width >= 8) { /* less says nothing */
		buf_adds(t->out, prompt);
		buf_adds(t->out, "  ");
	}
	paint(t, GREEN, before);
	buf_adds(t->out, " \xe2\x86\x92 ");
	paint(t, RED, after);
	buf_addc(t->out, '\n');
	free(name);
	free(id);
	free(before);
	free(after);
	free(prompt);
}

static void write_samples(const struct term *t, const json_t *report)
{
	const json_t *samples = json_object_get(report, "samples"), *broken = json_object_get(samples, "broken");
	size_t listed = json_array_size(broken), n = listed < SAMPLES_SHOWN ? listed : SAMPLES_SHOWN;
	int id_width = 0, id_max = t->width / 4;

	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		const json_t *s = json_array_get(broken, i);
		char *name = mem_printf("%s/%s", json_get_text(s, "task", ""), json_get_text(s, "id", ""));
		char *id = shown(t, name, strlen(name), id_max, TEXT_TAIL);

		id_width = columns(t, id) > id_width ? columns(t, id) : id_width;
		free(name);
		free(id);
	}
	buf_addf(t->out, "\n  %lld broke, %lld got better",
		 (long long)json_get_int(samples, "n_broken", (int64_t)listed),
		 (long long)json_get_int(samples, "n_fixed", 0));
	paint(t, DIM, t->width >= 76 ? "  (sample, prompt, before \xe2\x86\x92 after)" : "");
	buf_addc(t->out, '\n');
	for (size_t i = 0; i < n; i++)
		write_sample(t, json_array_get(broken, i), id_width);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------ */

static void write_reasons(const struct term *t, const json_t *report, const struct report_rows *rows)
{
	const json_t *notes = json_object_get(report, "notes");
	size_t n = 0;

	for (size_t i = 0; i < rows->n && n < 4; i++) {
		const struct report_row *r = &rows->items[i];
		char *line;

		if (r->mark > ROW_UNDECIDED || !*r->explanation)
			continue;
		buf_adds(t->out, n++ ? "" : "\n");
		line = mem_printf("%s: %s", r->label, r->explanation);
		paragraph(t, PLAIN, line, 2);
		free(line);
	}
	for (size_t i = 0; i < json_array_size(notes) && i < 6; i++) {
		const char *s = json_string_value(json_array_get(notes, i));
		char *line = mem_printf("note: %s", s ? s : "");

		paragraph(t, YELLOW, line, 2);
		free(line);
	}
}

/* What of the questions was trained on; a task that is concerned gets a line. */
static void write_slices(const struct term *t, const json_t *report)
{
	const json_t *rows = json_object_get(report, "slices"), *row;
	struct buf text = BUF_INIT(PART_MAX);
	size_t i, n = json_array_size(rows);

	json_array_foreach(rows, i, row)
	{
		double base = report_number(row, "baseline"), cand = report_number(row, "value");
		int decimals = num_decimals(base, cand, cand - base);
		char *label = report_slice_label(row);

		buf_clear(&text);
		buf_addf(&text, "%s of %s: ", label, json_get_text(row, "slice", ""));
		num_add(&text, cand, decimals);
		if (!isnan(base)) {
			buf_adds(&text, " (");
			num_add_signed(&text, cand - base, decimals);
			buf_addc(&text, ')');
		}
		buf_addf(&text, ", %lld samples", (long long)json_get_int(row, "n", 0));
		if (i < SLICES_SHOWN)
			paragraph(t, DIM, buf_str(&text), 4);
		free(label);
	}
	if (n > SLICES_SHOWN)
		buf_addf(t->out, "    \xe2\x80\xa6 and %zu more slices\n", n - SLICES_SHOWN);
	buf_release(&text);
}

static void write_overlap(const struct term *t, const json_t *report)
{
	const json_t *tasks = json_object_get(json_object_get(report, "overlap"), "tasks"), *row;
	struct buf text = BUF_INIT(PART_MAX);
	size_t concerned = report_add_overlap(report, &text), i, shown = 0;

	if (text.len)
		paragraph(t, concerned ? YELLOW : DIM, buf_str(&text), 2);
	json_array_foreach(tasks, i, row)
	{
		if (json_get_int(row, "documents", 0) <= 0 || shown++ >= OVERLAP_SHOWN)
			continue;
		buf_clear(&text);
		buf_addf(&text, "%s: %lld of %lld (%lld exact, %lld by a 13-gram): ", json_get_text(row, "task", ""),
			 (long long)json_get_int(row, "documents", 0), (long long)json_get_int(row, "n", 0),
			 (long long)json_get_int(row, "exact", 0), (long long)json_get_int(row, "ngram", 0));
		report_add_overlap_examples(row, &text);
		paragraph(t, PLAIN, buf_str(&text), 4);
	}
	if (shown > OVERLAP_SHOWN)
		buf_addf(t->out, "    \xe2\x80\xa6 and %zu more tasks\n", shown - OVERLAP_SHOWN);
	buf_release(&text);
}

/* "trained  full, 250 steps, 1.2 s, loss 5.5 ▇▅▂▁ 0.01, validation …" */
static void write_training(const struct term *t, const json_t *report)
{
	const json_t *tr = json_object_get(report, "training");
	double first = report_number(tr, "first_loss"), last = report_number(tr, "last_loss");
	struct buf text = BUF_INIT(PART_MAX);
	struct report_curve c;
	char time[32];

	if (!json_is_object(tr))
		return;
	report_curve_make(&c, json_object_get(tr, "curve"), t->width >= 100 ? 40 : t->width >= 70 ? 24 : 12);
	clock_duration(time, json_get_real(tr, "seconds", 0));
	buf_addf(&text, "%s %s, %lld steps, %lld tokens, %s",
		 json_get_flag(tr, "reused", false) ? "trained before:" : "trained:",
		 json_get_text(tr, "method", "full"), (long long)json_get_int(tr, "steps", 0),
		 (long long)json_get_int(tr, "tokens", 0), time);
	if (!isnan(first) && !isnan(last)) {
		buf_addf(&text, ", loss %.4g ", first);
		report_curve_spark(&c, &text);
		buf_addf(&text, "%s%.4g", c.n ? " " : "\xe2\x86\x92 ", last);
	}
	report_add_validation(tr, &text);
	paragraph(t, DIM, buf_str(&text), 2);
	buf_release(&text);
}

/* Items in a row, wrapped between them and never inside one; the rest of what does not fit is left out if lines is
 * reached. */
struct items {
	const struct term *t;
	int at, line, lines;
};

static void item(struct items *l, const char *text)
{
	char *fit = cut(l->t, text, l->t->width - 2, TEXT_HEAD);
	int w = columns(l->t, fit);

	if (l->at && l->at + 3 + w > l->t->width) {
		buf_addc(l->t->out, '\n');
		l->at = 0;
		l->line++;
	}
	if (l->line >= l->lines) {
		free(fit);
		return;
	}
	if (l->at) {
		paint(l->t, DIM, " \xc2\xb7 ");
	} else {
		pad(l->t, 2);
		l->at = 2 - 3;
	}
	paint(l->t, DIM, fit);
	l->at += 3 + w;
	free(fit);
}

static void items_end(struct items *l)
{
	if (l->at)
		buf_addc(l->t->out, '\n');
}

/* "read 2 ms · train 58 s · eval reused" */
static void write_steps(const struct term *t, const json_t *report)
{
	const json_t *steps = json_object_get(report, "steps");
	struct items line = { .t = t, .lines = 4 };
	struct buf text = BUF_INIT(PART_MAX);

	for (size_t i = 0; i < json_array_size(steps) && i < 16; i++) {
		const json_t *s = json_array_get(steps, i);
		const char *status = json_get_text(s, "status", "");
		char time[32];

		buf_clear(&text);
		text_clean(&text, json_get_text(s, "name", ""), 20);
		buf_addc(&text, ' ');
		clock_duration(time, json_get_real(s, "seconds", 0));
		if (strcmp(status, "done"))
			text_clean(&text, status, 20);
		else
			buf_adds(&text, time);
		item(&line, buf_str(&text));
	}
	items_end(&line);
	buf_release(&text);
}

static void write_promotion(const struct term *t, const json_t *report)
{
	struct buf line = BUF_INIT(PART_MAX);
	const char *state = report_text(report, "promotion", "state");

	report_add_promotion(report, &line);
	if (line.len)
		paragraph(t, !strcmp(state, "made") || !strcmp(state, "proposed") ? BOLD : PLAIN, buf_str(&line), 2);
	buf_release(&line);
}

/* A run's name: a digest is known by its beginning (registry_query.c). */
static void add_run(struct buf *out, const char *id)
{
	bool digest = strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;

	if (digest)
		buf_add(out, id, 12);
	else
		text_clean(out, id, 40);
}

/* Where to look next: only commands that make sense for this run, and only what fits one line. */
static void write_next(const struct term *t, const json_t *report)
{
	const char *base = report_text(report, "baseline", "run");
	struct items line = { .t = t, .lines = 1 };
	struct buf run = BUF_INIT(PART_MAX), text = BUF_INIT(PART_MAX);

	add_run(&run, report_text(report, NULL, "run"));
	if (!run.len)
		goto out;
	buf_addf(&text, "next: assay show %s", buf_str(&run));
	item(&line, buf_str(&text));
	if (json_array_size(json_object_get(json_object_get(report, "samples"), "broken"))) {
		buf_clear(&text);
		buf_addf(&text, "assay samples %s", buf_str(&run));
		item(&line, buf_str(&text));
	}
	if (*base) {
		buf_clear(&text);
		buf_adds(&text, "assay diff ");
		add_run(&text, base);
		buf_addf(&text, " %s", buf_str(&run));
		item(&line, buf_str(&text));
	}
	items_end(&line);
out:
	buf_release(&run);
	buf_release(&text);
}

void report_terminal(const json_t *report, struct buf *out, const struct report_term *how)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
	struct term t = { .out = out, .colour = how->colour, .has_locale = utf8 != (locale_t)0 };
	struct report_rows rows;
	size_t from = out->len;

	t.width = how->width < WIDTH_MIN ? WIDTH_MIN : how->width > WIDTH_MAX ? WIDTH_MAX : how->width;
	report_rows_make(&rows, report);
	write_verdict(&t, report, &rows);
	if (*report_text(report, NULL, "sentence"))
		paragraph(&t, PLAIN, report_text(report, NULL, "sentence"), 2);
	write_table(&t, report, &rows);
	write_reasons(&t, report, &rows);
	write_samples(&t, report);
	buf_addc(out, '\n');
	write_promotion(&t, report);
	write_slices(&t, report);
	write_overlap(&t, report);
	write_training(&t, report);
	write_steps(&t, report);
	write_next(&t, report);
	text_disarm(out, from);
	report_rows_release(&rows);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
}
