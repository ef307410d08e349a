/* report_md.c: the report as Markdown: a forge's comment, the job's summary, report.md.
 *
 * GitHub-flavoured Markdown that GitLab, Gitea and a mail reader show as well: the verdict in the first line, the
 * sentence, the table (worst first), what broke, the learning curve, and a footer that says what was compared and how
 * to do it again. The last line is a hidden marker by which a later run finds its own comment and scripts find the
 * verdict: <!-- assay:report v1 model=… commit=… run=… verdict=… exit=… -->
 *
 * Escaping. Text of a stranger is cleaned (report_text.c: one line, no control bytes) and then written in one of two
 * ways. In <code>, for samples and names: every character that means something to Markdown or HTML is a numeric
 * entity, so nothing in it can close the element, the table cell, a comment or <details>, and forges do not look for
 * @names and #numbers there. As running text, for sentences: the same characters escaped, and a zero-width space
 * behind a sigil, because forges look for names in the rendered text, where entities are already undone. The first
 * character of a paragraph is an entity unless it is a letter: no list, no heading, no quick action ("/close").
 *
 * Budget. Parts are made first and put together afterwards. Over max_bytes they go in this order: chart, samples,
 * unchanged rows, overlap, explanations, then rows of the table from the bottom. Never: the verdict, the sentence, footer and
 * marker; their parts are bounded: some 2 KB, 20 KB in the most hostile case. A line says what was left out. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <ctype.h>
#include <math.h>

enum {
	SAMPLES_SHOWN = 10,
	CELL_POINTS = 80,
	NAME_POINTS = 80,
	SENTENCE_POINTS = 600,
	NOTES_SHOWN = 8,
	OVERLAP_SHOWN = 20,
	SLICES_SHOWN = 60
};
#define PART_MAX ((size_t)4 << 20)
#define ZERO_WIDTH_SPACE "&#8203;"

/* ---- escaping ------------------------------------------------------------------------------------------------------ */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (c & 0x80);
}

static void add_entity(struct buf *out, char c)
{
	buf_addf(out, "&#%d;", c);
}

/* The dot of a bare "www.", of which forges make links. */
static bool is_www(const char *start, const char *p)
{
	return *p == '.' && p - start >= 3 && !strncasecmp(p - 3, "www", 3);
}

/* Sigils that forges turn into references: user, issue, merge request, milestone, label, epic, alert, snippet. An @ in
 * a word is none: model@v7; behind a letter that is not ASCII's it may be one, and so may it behind an arrow. */
static bool is_sigil(const char *start, const char *p)
{
	return strchr("@#!%~&^$", *p) && (is_word(p[1]) || strchr("\"[_-/", p[1])) &&
	       !(*p == '@' && p > start && isalnum((unsigned char)p[-1]));
}

static void escape_code(struct buf *out, const char *s)
{
	for (const char *start = s; *s; s++) {
		if (strchr("&<>`*_[]~\\|#@$:", *s) || is_www(start, s) || is_sigil(start, s))
			add_entity(out, *s);
		else
			buf_addc(out, *s);
	}
}

static void escape_text(struct buf *out, const char *s, bool paragraph)
{
	for (const char *p = s; *p; p++) {
		bool inside_word = p > s && is_word(p[-1]) && is_word(p[1]);

		if ((paragraph && p == s && !is_word(*p)) || (paragraph && p == s && isdigit((unsigned char)*p)))
			add_entity(out, *p);
		else if (strchr("&<>`*[]~\\|$", *p) || (*p == '_' && !inside_word) || (*p == ':' && p[1] == '/') ||
			 is_www(s, p))
			add_entity(out, *p);
		else
			buf_addc(out, *p);
		if (is_sigil(s, p))
			buf_adds(out, ZERO_WIDTH_SPACE);
	}
}

static void add_text(struct buf *out, const char *s, size_t max)
{
	struct buf clean = BUF_INIT(PART_MAX);

	text_clean(&clean, s, max);
	escape_text(out, buf_str(&clean), false);
	buf_release(&clean);
}

static void add_paragraph(struct buf *out, const char *s, size_t max)
{
	struct buf clean = BUF_INIT(PART_MAX);

	text_clean(&clean, s, max);
	escape_text(out, buf_str(&clean), true);
	buf_adds(out, "\n\n");
	buf_release(&clean);
}

static void add_code_bytes(struct buf *out, const char *s, size_t len, size_t max, enum text_cut cut)
{
	struct buf shown = BUF_INIT(PART_MAX);

	text_show(&shown, s, len, max, cut);
	if (!shown.len) {
		buf_adds(out, "<em>empty</em>");
	} else {
		buf_adds(out, "<code>");
		escape_code(out, buf_str(&shown));
		buf_adds(out, "</code>");
	}
	buf_release(&shown);
}

static void add_code(struct buf *out, const char *s, size_t max, enum text_cut cut)
{
	add_code_bytes(out, s, strlen(s), max, cut);
}

/* A cell of a sample; an answer may hold NULs. */
static void add_cell(struct buf *out, const json_t *sample, const char *key, enum text_cut cut)
{
	const json_t *text = json_object_get(sample, key);

	add_code_bytes(out, json_get_text(sample, key, ""), json_string_length(text), CELL_POINTS, cut);
}

static void add_oid(struct buf *out, const char *oid)
{
	add_code(out, oid, strlen(oid) > 12 ? 8 : 12, TEXT_HEAD);
}

/* A commit in short: its first seven digits; anything else as it is. */
static void add_commit(struct buf *out, const char *oid)
{
	char brief[8];

	if (strlen(oid) >= 40 && strspn(oid, "0123456789abcdef") == strlen(oid)) {
		snprintf(brief, sizeof(brief), "%.7s", oid);
		add_code(out, brief, 7, TEXT_HEAD);
	} else {
		add_oid(out, oid);
	}
}

/* ---- parts --------------------------------------------------------------------------------------------------------- */

static const char *verdict_glyph(const char *verdict)
{
	static const struct {
		const char *verdict, *glyph;
	} table[] = {
		{ "PASS", "\xe2\x9c\x85" },         /* white heavy check mark */
		{ "FAIL", "\xe2\x9d\x8c" },         /* cross mark */
		{ "INCONCLUSIVE", "\xe2\x9a\xaa" }, /* white circle */
		{ "NO_BASELINE", "\xe2\x9a\xaa" },  { "INCOMPARABLE", "\xe2\x9a\xaa" },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!strcmp(verdict, table[i].verdict))
			return table[i].glyph;
	}
	return "\xf0\x9f\x92\xa5"; /* ERROR: collision */
}

static void add_words(struct buf *out, const char *verdict)
{
	for (const char *p = verdict; *p; p++)
		buf_addc(out, *p == '_' ? ' ' : *p);
}

static void part_head(struct buf *out, const json_t *report, const struct report_rows *rows)
{
	const char *verdict = report_verdict(report), *model = report_text(report, NULL, "model");
	struct buf line = BUF_INIT(PART_MAX);

	if (report_is_diff(report)) {
		buf_adds(out, "### ");
		add_text(out, report_text(report, "baseline", "name"), NAME_POINTS);
		buf_adds(out, " \xe2\x86\x92 ");
		add_text(out, report_text(report, NULL, "name"), NAME_POINTS);
	} else {
		buf_addf(out, "### %s ", verdict_glyph(verdict));
		add_words(out, verdict);
	}
	if (*model) {
		buf_adds(out, " \xc2\xb7 ");
		add_text(out, model, NAME_POINTS);
	}
	buf_adds(out, ": ");
	report_add_count(report, rows, out);
	if (report_is_own(report))
		buf_adds(out, " (by the candidate's own rules: the target branch has none yet)");
	buf_adds(out, "\n\n");
	if (*report_text(report, NULL, "sentence"))
		add_paragraph(out, report_text(report, NULL, "sentence"), SENTENCE_POINTS);
	report_add_promotion(report, &line);
	if (line.len)
		add_paragraph(out, buf_str(&line), SENTENCE_POINTS);
	buf_release(&line);
}

static void add_percent(struct buf *out, double confidence)
{
	buf_addf(out, "%.4g %%", 100 * confidence);
}

static void add_baseline_name(struct buf *out, const json_t *report)
{
	const char *name = report_text(report, "baseline", "name"), *oid = report_text(report, "baseline", "commit");

	if (*name) {
		buf_addc(out, ' ');
		add_code(out, name, 40, TEXT_HEAD);
	} else if (*oid) {
		buf_addc(out, ' ');
		add_commit(out, oid);
	}
}

static void part_table_head(struct buf *out, const json_t *report)
{
	const char *oid = report_text(report, NULL, "commit");

	buf_adds(out, "| metric | baseline");
	add_baseline_name(out, report);
	buf_adds(out, " | candidate");
	if (*oid) {
		buf_addc(out, ' ');
		add_commit(out, oid);
	}
	buf_adds(out, " | \xce\x94 [one-sided ");
	add_percent(out, report_confidence(report));
	buf_adds(out, " bounds] | n | verdict |\n|---|--:|--:|--:|--:|---|\n");
}

static void add_verdict_cell(struct buf *out, const struct report_row *r)
{
	static const char *const glyphs[] = {
		[ROW_FAIL] = "\xe2\x9d\x8c ",
		[ROW_UNDECIDED] = "\xe2\x9a\xaa ",
		[ROW_PASS] = "\xe2\x9c\x85 ",
	};
	if (r->mark == ROW_WORSE)
		buf_adds(out, "worse (not gated)");
	else if (r->mark == ROW_BETTER)
		buf_adds(out, "better");
	else if (r->mark == ROW_SAME)
		buf_adds(out, isnan(r->delta) ? "not gated" : r->delta == 0 ? "unchanged" : "no clear change");
	if (!r->gated)
		return;
	buf_adds(out, glyphs[r->mark]);
	if (r->mark == ROW_UNDECIDED && *r->verdict) {
		struct buf words = BUF_INIT(64);

		for (const char *p = r->verdict; *p; p++)
			buf_addc(&words, *p == '_' ? ' ' : (char)tolower((unsigned char)*p));
		add_text(out, buf_str(&words), 20);
		buf_adds(out, ": ");
		buf_release(&words);
	}
	add_text(out, r->requirement, NAME_POINTS);
}

static void add_row(struct buf *out, const struct report_row *r)
{
	bool loud = r->mark <= ROW_UNDECIDED, bounded = !isnan(r->lo) || !isnan(r->hi);

	buf_adds(out, loud ? "| <b>" : "| ");
	add_text(out, r->label, NAME_POINTS);
	buf_addf(out, "%s %s | ", loud ? "</b>" : "", r->higher_is_better ? "\xe2\x86\x91" : "\xe2\x86\x93");
	num_add(out, r->baseline, r->decimals);
	buf_adds(out, " | ");
	num_add(out, r->candidate, r->decimals);
	if (bounded && r->bounds_value) {
		buf_addc(out, ' ');
		num_add_bounds(out, r->lo, r->hi, r->decimals, false);
	}
	buf_adds(out, " | ");
	if (loud && !isnan(r->delta))
		buf_adds(out, "<b>");
	num_add_signed(out, r->delta, r->decimals);
	if (loud && !isnan(r->delta))
		buf_adds(out, "</b>");
	if (bounded && !r->bounds_value) {
		buf_addc(out, ' ');
		num_add_bounds(out, r->lo, r->hi, r->decimals, true);
	}
	buf_addf(out, " | %lld", (long long)r->n);
	if (r->lost || r->won)
		buf_addf(out, " (\xe2\x88\x92%lld +%lld)", (long long)r->lost, (long long)r->won);
	buf_adds(out, " | ");
	add_verdict_cell(out, r);
	buf_adds(out, " |\n");
}

/* What the table's signs mean: once, and only those that are there. */
static void part_legend(struct buf *out, const json_t *report, const struct report_rows *rows)
{
	bool flips = false, floors = false;

	for (size_t i = 0; i < rows->n; i++) {
		flips |= rows->items[i].lost || rows->items[i].won;
		floors |= rows->items[i].bounds_value && !isnan(rows->items[i].lo);
	}
	buf_adds(out, "\n<sub>\xe2\x86\x91 \xe2\x86\x93 which way is better");
	if (floors)
		buf_adds(out, " \xc2\xb7 bounds behind a value are of the value");
	if (flips)
		buf_adds(out, " \xc2\xb7 \xe2\x88\x92 + samples only the baseline, only the candidate got right");
	if (!strcmp(report_text(report, "policy", "target"), "population"))
		buf_adds(out, " \xc2\xb7 asked about samples like these (target population)");
	else if (rows->gated)
		buf_adds(out, " \xc2\xb7 decided on exactly these samples (target suite); the bounds speak of samples "
			      "like these");
	buf_adds(out, "</sub>\n\n");
}

/* The reasons of the rules that did not hold, and the run's notes. */
static void part_reasons(struct buf *out, const json_t *report, const struct report_rows *rows)
{
	const json_t *notes = json_object_get(report, "notes");
	size_t start = out->len, shown = 0;

	for (size_t i = 0; i < rows->n && shown < NOTES_SHOWN; i++) {
		const struct report_row *r = &rows->items[i];

		if (r->mark > ROW_UNDECIDED || !*r->explanation)
			continue;
		buf_adds(out, "- <b>");
		add_text(out, r->label, NAME_POINTS);
		buf_adds(out, "</b>: ");
		add_text(out, r->explanation, 400);
		buf_addc(out, '\n');
		shown++;
	}
	for (size_t i = 0; i < json_array_size(notes) && i < NOTES_SHOWN; i++) {
		const char *s = json_string_value(json_array_get(notes, i));

		buf_adds(out, "- note: ");
		add_text(out, s ? s : "", 400);
		buf_addc(out, '\n');
	}
	if (out->len > start)
		buf_addc(out, '\n');
}

/* A blank line must stand behind <summary>, or the table in it is not read as one. */
static void part_same(struct buf *out, const json_t *report, const struct report_rows *rows)
{
	if (rows->n_main == rows->n)
		return;
	buf_addf(out, "<details%s><summary>", rows->n_main ? "" : " open");
	report_add_same(rows, out);
	buf_adds(out, "</summary>\n\n");
	part_table_head(out, report);
	for (size_t i = rows->n_main; i < rows->n; i++)
		add_row(out, &rows->items[i]);
	buf_adds(out, "\n</details>\n\n");
}

static void part_samples(struct buf *out, const json_t *report)
{
	const json_t *samples = json_object_get(report, "samples"), *broken = json_object_get(samples, "broken");
	size_t listed = json_array_size(broken), shown = listed < SAMPLES_SHOWN ? listed : SAMPLES_SHOWN;
	int64_t n_broken = json_get_int(samples, "n_broken", (int64_t)listed),
		n_fixed = json_get_int(samples, "n_fixed", 0);

	if (!shown)
		return;
	buf_adds(out, "<details open><summary>");
	if ((int64_t)shown < n_broken)
		buf_addf(out, "%zu of %lld samples that broke", shown, (long long)n_broken);
	else
		buf_addf(out, "%zu sample%s broke", shown, shown == 1 ? "" : "s");
	buf_addf(out, " (%lld got better)</summary>\n\n", (long long)n_fixed);
	buf_adds(out, "| sample | prompt | expected | before \xe2\x86\x92 after |\n|---|---|---|---|\n");
	for (size_t i = 0; i < shown; i++) {
		const json_t *s = json_array_get(broken, i);
		struct buf name = BUF_INIT(PART_MAX);

		buf_addf(&name, "%s/%s", json_get_text(s, "task", ""), json_get_text(s, "id", ""));
		buf_adds(out, "| ");
		add_code(out, buf_str(&name), 60, TEXT_TAIL);
		buf_adds(out, " | ");
		add_cell(out, s, "prompt", TEXT_TAIL);
		buf_adds(out, " | ");
		add_cell(out, s, "target", TEXT_HEAD);
		buf_adds(out, " | ");
		add_cell(out, s, "before", TEXT_HEAD);
		buf_adds(out, " \xe2\x86\x92 ");
		add_cell(out, s, "after", TEXT_HEAD);
		buf_adds(out, " |\n");
		buf_release(&name);
	}
	buf_adds(out, "\n</details>\n\n");
}

/* Metrics by slice, folded: they explain a drop and decide nothing. */
static void part_slices(struct buf *out, const json_t *report)
{
	const json_t *rows = json_object_get(report, "slices"), *row;
	size_t i, n = json_array_size(rows);

	if (!n)
		return;
	buf_adds(
		out,
		"<details><summary>By slice</summary>\n\n| metric | slice | samples | baseline | candidate | change |\n"
		"|---|---|--:|--:|--:|--:|\n");
	json_array_foreach(rows, i, row)
	{
		double base = report_number(row, "baseline"), cand = report_number(row, "value");
		int decimals = num_decimals(base, cand, cand - base);
		char *label = report_slice_label(row);

		if (i < SLICES_SHOWN) {
			buf_adds(out, "| ");
			add_text(out, label, NAME_POINTS);
			buf_adds(out, " | ");
			add_text(out, json_get_text(row, "slice", ""), NAME_POINTS);
			buf_addf(out, " | %lld | ", (long long)json_get_int(row, "n", 0));
			num_add(out, base, decimals);
			buf_adds(out, " | ");
			num_add(out, cand, decimals);
			buf_adds(out, " | ");
			num_add_signed(out, cand - base, decimals);
			buf_adds(out, " |\n");
		}
		free(label);
	}
	if (n > SLICES_SHOWN)
		buf_addf(out, "\n\xe2\x80\xa6 and %zu more\n", n - SLICES_SHOWN);
	buf_adds(out, "\n</details>\n\n");
}

static void part_overlap(struct buf *out, const json_t *report)
{
	const json_t *tasks = json_object_get(json_object_get(report, "overlap"), "tasks"), *row;
	struct buf text = BUF_INIT(PART_MAX);
	size_t concerned = report_add_overlap(report, &text), i, shown = 0;

	if (text.len)
		add_paragraph(out, buf_str(&text), SENTENCE_POINTS);
	if (concerned)
		buf_adds(out, "| task | documents | exact | 13-gram | for example |\n|---|--:|--:|--:|---|\n");
	json_array_foreach(tasks, i, row)
	{
		if (json_get_int(row, "documents", 0) <= 0 || shown++ >= OVERLAP_SHOWN)
			continue;
		buf_clear(&text);
		report_add_overlap_examples(row, &text);
		buf_adds(out, "| ");
		add_text(out, json_get_text(row, "task", ""), NAME_POINTS);
		buf_addf(out, " | %lld of %lld | %lld | %lld | ", (long long)json_get_int(row, "documents", 0),
			 (long long)json_get_int(row, "n", 0), (long long)json_get_int(row, "exact", 0),
			 (long long)json_get_int(row, "ngram", 0));
		add_code(out, buf_str(&text), 3 * CELL_POINTS, TEXT_HEAD);
		buf_adds(out, " |\n");
	}
	if (shown > OVERLAP_SHOWN)
		buf_addf(out, "\n\xe2\x80\xa6 and %zu more tasks\n", shown - OVERLAP_SHOWN);
	if (concerned)
		buf_addc(out, '\n');
	buf_release(&text);
}

/* ---- the learning curve -------------------------------------------------------------------------------------------- */

static void part_chart(struct buf *out, const json_t *report)
{
	struct report_curve c;
	double lo, hi;

	report_curve_make(&c, json_object_get(json_object_get(report, "training"), "curve"), REPORT_CURVE_MAX);
	if (c.n < 2)
		return;
	lo = hi = c.loss[0];
	for (size_t i = 1; i < c.n; i++) {
		lo = fmin(lo, c.loss[i]);
		hi = fmax(hi, c.loss[i]);
	}
	if (hi - lo < 1e-6)
		hi = lo + 1;
	/* xychart-beta, not xychart: GitLab's mermaid (10.7) knows only the first. No legend, no missing points. */
	buf_adds(out, "<details><summary>Learning curve</summary>\n\n```mermaid\nxychart-beta\n");
	buf_addf(out, "  x-axis \"step\" %.0f --> %.0f\n", c.first, c.last);
	buf_addf(out, "  y-axis \"training loss\" %.4g --> %.4g\n  line [", lo, hi);
	for (size_t i = 0; i < c.n; i++)
		buf_addf(out, "%s%.4g", i ? ", " : "", c.loss[i]);
	buf_adds(out, "]\n```\n\n</details>\n\n");
}

static void part_training(struct buf *out, const json_t *report)
{
	const json_t *t = json_object_get(report, "training");

	if (!json_is_object(t))
		return;
	report_add_training(t, add_text, out);
	buf_adds(out, "\n\n");
}

/* ---- footer -------------------------------------------------------------------------------------------------------- */

static void add_footer_baseline(struct buf *out, const json_t *report)
{
	const json_t *b = json_object_get(report, "baseline"), *v = json_object_get(b, "version");
	const char *oid = json_get_text(b, "commit", "");

	if (!json_is_object(b)) {
		buf_adds(out, " \xc2\xb7 no baseline");
		return;
	}
	buf_adds(out, " \xc2\xb7 baseline");
	add_baseline_name(out, report);
	if (json_is_integer(v)) {
		buf_addf(out, " = v%lld", (long long)json_integer_value(v));
	} else if (json_is_string(v)) {
		buf_adds(out, " = ");
		add_code(out, json_string_value(v), 40, TEXT_HEAD);
	}
	if (*oid) {
		buf_adds(out, " of ");
		add_commit(out, oid);
	}
}

/* "target <oid>": the policy's commit in short. */
static void add_footer_policy(struct buf *out, const json_t *report)
{
	const char *source = report_text(report, "policy", "source");

	if (!*source)
		return;
	buf_adds(out, " \xc2\xb7 rules of ");
	if (!strncmp(source, "target ", 7)) {
		buf_adds(out, "the target ");
		add_commit(out, source + 7);
	} else {
		buf_adds(out, "the ");
		add_text(out, source, 60);
	}
}

static void add_steps(struct buf *out, const json_t *report)
{
	const json_t *steps = json_object_get(report, "steps");

	for (size_t i = 0; i < json_array_size(steps) && i < 16; i++) {
		const json_t *s = json_array_get(steps, i);
		const char *status = json_get_text(s, "status", "");
		char time[32];

		buf_adds(out, i ? ", " : "");
		add_text(out, json_get_text(s, "name", ""), 20);
		buf_addc(out, ' ');
		if (strcmp(status, "done")) {
			add_text(out, status, 20);
			continue;
		}
		clock_duration(time, json_get_real(s, "seconds", 0));
		buf_adds(out, time);
	}
}

/* A merged result says of what, since people know their own commit only. */
static void add_merged(struct buf *out, const json_t *report)
{
	const char *head = report_text(report, "commits", "head"), *base = report_text(report, "commits", "base");

	if (!*head || !strcmp(head, report_text(report, NULL, "commit")))
		return;
	buf_adds(out, " = ");
	add_commit(out, head);
	if (*base) {
		buf_adds(out, " into ");
		add_commit(out, base);
	}
}

static void part_footer(struct buf *out, const json_t *report)
{
	const char *oid = report_text(report, NULL, "commit"), *branch = report_text(report, NULL, "branch");
	const char *subject = report_text(report, NULL, "subject"), *numerics = report_text(report, "tool", "numerics");
	char time[32];

	buf_adds(out, "<sub>");
	if (*oid) {
		buf_adds(out, "commit ");
		add_commit(out, oid);
		add_merged(out, report);
	} else {
		buf_adds(out, report_is_diff(report) ? "side by side" : "no commit");
	}
	if (*subject) {
		buf_adds(out, " \xe2\x80\x9c");
		add_text(out, subject, 72);
		buf_adds(out, "\xe2\x80\x9d");
	}
	if (*branch) {
		buf_adds(out, " on ");
		add_code(out, branch, 60, TEXT_HEAD);
	}
	add_footer_baseline(out, report);
	add_footer_policy(out, report);
	clock_duration(time, json_get_real(report, "seconds", 0));
	if (json_array_size(json_object_get(report, "steps"))) {
		buf_addf(out, " \xc2\xb7 %s (", time);
		add_steps(out, report);
		buf_addc(out, ')');
	}
	buf_adds(out, " \xc2\xb7 assay ");
	add_text(out, report_text(report, "tool", "version"), 20);
	if (*numerics) {
		buf_adds(out, ", ");
		add_code(out, numerics, 60, TEXT_HEAD);
	}
	if (strlen(oid) >= 40 && strspn(oid, "0123456789abcdef") == strlen(oid))
		buf_addf(out, " \xc2\xb7 again on your machine: <code>assay run %.12s</code>", oid);
	buf_adds(out, "</sub>\n");
}

/* A value of the marker: no space, nothing that could end the comment. */
static void add_marker_value(struct buf *out, const char *key, const char *value)
{
	size_t n = 0;

	buf_addf(out, " %s=", key);
	for (const char *p = value; *p && n < 80; p++, n++)
		buf_addc(out,
			 isalnum((unsigned char)*p) || strchr("._/+", *p) || (*p == '-' && p[1] != '-') ? *p : '_');
	if (!n)
		buf_adds(out, "none");
}

static void part_marker(struct buf *out, const json_t *report)
{
	if (report_is_diff(report)) /* no comment is kept up to date by one */
		return;
	buf_adds(out, "<!-- assay:report v1");
	add_marker_value(out, "model", report_text(report, NULL, "model"));
	add_marker_value(out, "commit", report_text(report, NULL, "commit"));
	add_marker_value(out, "run", report_text(report, NULL, "run"));
	add_marker_value(out, "verdict", report_verdict(report));
	buf_addf(out, " exit=%lld -->\n", (long long)json_get_int(report, "exit", 70));
}

/* ---- putting together ------------------------------------------------------------------------------------------------ */

enum part {
	HEAD,
	TABLE_HEAD,
	TABLE_LEGEND,
	REASONS,
	SAMPLES,
	SAME,
	SLICES,
	OVERLAP,
	TRAINING,
	CHART,
	FOOTER,
	MARKER,
	PARTS
};

struct layout {
	struct buf parts[PARTS];
	struct buf rows; /* the main rows, and where each ends */
	size_t *row_end, n_rows;
	bool dropped[PARTS];
	size_t rows_kept;
};

static void layout_make(struct layout *l, const json_t *report, const struct report_rows *rows)
{
	for (int i = 0; i < PARTS; i++)
		buf_init(&l->parts[i], PART_MAX);
	buf_init(&l->rows, PART_MAX);
	l->row_end = mem_array(rows->n_main + 1, sizeof(*l->row_end));
	l->n_rows = l->rows_kept = rows->n_main;
	part_head(&l->parts[HEAD], report, rows);
	if (rows->n_main) {
		part_table_head(&l->parts[TABLE_HEAD], report);
		part_legend(&l->parts[TABLE_LEGEND], report, rows);
	}
	for (size_t i = 0; i < rows->n_main; i++) {
		add_row(&l->rows, &rows->items[i]);
		l->row_end[i] = l->rows.len;
	}
	part_reasons(&l->parts[REASONS], report, rows);
	part_samples(&l->parts[SAMPLES], report);
	part_same(&l->parts[SAME], report, rows);
	part_slices(&l->parts[SLICES], report);
	part_overlap(&l->parts[OVERLAP], report);
	part_training(&l->parts[TRAINING], report);
	part_chart(&l->parts[CHART], report);
	part_footer(&l->parts[FOOTER], report);
	part_marker(&l->parts[MARKER], report);
}

static void layout_release(struct layout *l)
{
	for (int i = 0; i < PARTS; i++)
		buf_release(&l->parts[i]);
	buf_release(&l->rows);
	free(l->row_end);
}

static size_t rows_size(const struct layout *l)
{
	return l->rows_kept ? l->row_end[l->rows_kept - 1] : 0;
}

static void add_left_out(struct buf *out, const struct layout *l)
{
	const char *comma = "";

	if (l->rows_kept == l->n_rows && !l->dropped[CHART] && !l->dropped[SAMPLES] && !l->dropped[SAME] &&
	    !l->dropped[REASONS] && !l->dropped[OVERLAP] && !l->dropped[SLICES])
		return;
	buf_adds(out, "<sub>Left out for length: ");
	if (l->rows_kept < l->n_rows) {
		buf_addf(out, "%zu rows of the table", l->n_rows - l->rows_kept);
		comma = ", ";
	}
	static const struct {
		enum part part;
		const char *name;
	} names[] = { { REASONS, "explanations" }, { SAME, "unchanged metrics" }, { SAMPLES, "samples" },
		      { SLICES, "slices" },        { OVERLAP, "overlap" },        { CHART, "learning curve" } };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (l->dropped[names[i].part]) {
			buf_addf(out, "%s%s", comma, names[i].name);
			comma = ", ";
		}
	}
	buf_adds(out, "; the whole is in report.json.</sub>\n\n");
}

static void layout_write(const struct layout *l, struct buf *out)
{
	for (int i = 0; i < PARTS; i++) {
		if (i == TABLE_LEGEND)
			buf_add(out, buf_str(&l->rows), rows_size(l));
		if (i == FOOTER)
			add_left_out(out, l);
		if (!l->dropped[i])
			buf_add(out, buf_str(&l->parts[i]), l->parts[i].len);
	}
}

static size_t layout_size(const struct layout *l)
{
	struct buf note = BUF_INIT(PART_MAX);
	size_t size = rows_size(l);

	for (int i = 0; i < PARTS; i++)
		size += l->dropped[i] ? 0 : l->parts[i].len;
	add_left_out(&note, l);
	size += note.len;
	buf_release(&note);
	return size;
}

static void layout_fit(struct layout *l, size_t max_bytes)
{
	static const enum part order[] = { CHART, SAMPLES, SAME, SLICES, OVERLAP, REASONS };

	for (size_t i = 0; i < ARRAY_LEN(order) && layout_size(l) > max_bytes; i++)
		l->dropped[order[i]] = l->parts[order[i]].len > 0;
	while (l->rows_kept && layout_size(l) > max_bytes)
		l->rows_kept--;
	if (!l->rows_kept)
		l->dropped[TABLE_HEAD] = l->dropped[TABLE_LEGEND] = true;
}

void report_markdown(const json_t *report, struct buf *out, size_t max_bytes)
{
	struct layout l = { 0 };
	struct report_rows rows;

	report_rows_make(&rows, report);
	layout_make(&l, report, &rows);
	layout_fit(&l, max_bytes ? max_bytes : BUF_NOLIMIT);
	layout_write(&l, out);
	layout_release(&l);
	report_rows_release(&rows);
}
