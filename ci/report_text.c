/* report_text.c: text and numbers of a report, for whatever it is rendered to.
 *
 * The one idea: everything that came from a commit, a data set or a model passes through text_next() before any
 * renderer escapes it for its own format. After that it is one line of valid UTF-8 without control bytes: a sample
 * cannot move the cursor, start a workflow command on a line of its own, or hide its end. What was removed stays
 * visible as a picture of itself (U+2400 and on, U+23CE for a line end, U+FFFD for the rest), because "the answer
 * differs by a line end" is just what a reader of broken samples must see.
 *
 * Characters that turn the reading direction (U+202A…, U+2066…) or show nothing (U+200B, U+FEFF, tags) are replaced
 * as well; the joiners U+200C and U+200D and variation selectors stay, since Hindi, Persian and emoji need them. At
 * most four combining marks pass in a row.
 *
 * Numbers: as few decimals as show a difference with two digits, the same for a whole row, so that a reader can
 * subtract. Bounds are rounded outward. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <math.h>

enum { MARKS_IN_A_ROW = 4, DECIMALS_MAX = 6 };
#define TEXT_INPUT_MAX ((size_t)1 << 16) /* bytes of one value that are looked at */

#define CP_ELLIPSIS "\xe2\x80\xa6"
#define CP_OPEN_BOX 0x2423
#define CP_RETURN 0x23CE
#define CP_BAD 0xFFFD

bool text_is_mark(uint32_t cp)
{
	static const uint32_t ranges[][2] = {
		{ 0x0300, 0x036F },   { 0x0483, 0x0489 }, { 0x0591, 0x05BD }, { 0x0610, 0x061A }, { 0x064B, 0x065F },
		{ 0x0670, 0x0670 },   { 0x06D6, 0x06DC }, { 0x06DF, 0x06E4 }, { 0x06E7, 0x06E8 }, { 0x06EA, 0x06ED },
		{ 0x0900, 0x0902 },   { 0x093C, 0x093C }, { 0x0941, 0x0948 }, { 0x094D, 0x094D }, { 0x0E31, 0x0E31 },
		{ 0x0E34, 0x0E3A },   { 0x0E47, 0x0E4E }, { 0x135D, 0x135F }, { 0x1AB0, 0x1ACE }, { 0x1DC0, 0x1DFF },
		{ 0x200C, 0x200D },   { 0x20D0, 0x20F0 }, { 0x3099, 0x309A }, { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F },
		{ 0xE0100, 0xE01EF },
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (cp >= ranges[i][0] && cp <= ranges[i][1])
			return true;
	}
	return false;
}

static bool is_hidden(uint32_t cp)
{
	return (cp >= 0x80 && cp <= 0x9F) || cp == 0xAD || cp == 0x61C || cp == 0x180E || cp == 0x200B ||
	       cp == 0x200E || cp == 0x200F || (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F) ||
	       cp == 0xFEFF || (cp >= 0xFFF9 && cp <= 0xFFFB) || (cp >= 0xE0000 && cp <= 0xE007F) ||
	       (cp & 0xFFFE) == 0xFFFE;
}

uint32_t text_next(struct text_scan *t)
{
	while (t->at < t->len) {
		size_t used = 1;
		uint32_t cp = utf8_next(t->s + t->at, t->len - t->at, &used);

		t->at += used;
		if (cp == '\r' && t->at < t->len && t->s[t->at] == '\n')
			t->at++;
		if (text_is_mark(cp)) {
			if (++t->marks > MARKS_IN_A_ROW)
				continue;
			return cp;
		}
		t->marks = 0;
		if (t->lines && (cp == '\n' || cp == '\r' || cp == '\t'))
			return cp == '\t' ? cp : '\n';
		if (cp == '\n' || cp == '\r' || cp == 0x85 || cp == 0x2028 || cp == 0x2029)
			return CP_RETURN;
		if (cp == '\t')
			return ' ';
		if (cp < 0x20)
			return 0x2400 + cp;
		if (cp == 0x7F)
			return 0x2421;
		return is_hidden(cp) ? CP_BAD : cp;
	}
	return 0;
}

static void add_point(struct buf *out, uint32_t cp)
{
	char utf8[4];

	buf_add(out, utf8, utf8_put(utf8, cp));
}

/* All points of s, cleaned; yours. */
static uint32_t *points_of(const char *s, size_t len, size_t *n)
{
	struct text_scan t = { .s = s, .len = len < TEXT_INPUT_MAX ? len : TEXT_INPUT_MAX };
	uint32_t *points = mem_array(t.len + 1, sizeof(*points));
	uint32_t cp;

	*n = 0;
	while ((cp = text_next(&t)) != 0)
		points[(*n)++] = cp;
	return points;
}

void text_show(struct buf *out, const char *s, size_t len, size_t max, enum text_cut cut)
{
	size_t n, from = 0, to;
	uint32_t *points = points_of(s, len, &n);

	for (size_t i = 0; i < n && points[i] == ' '; i++)
		points[i] = CP_OPEN_BOX;
	for (size_t i = n; i > 0 && points[i - 1] == ' '; i--)
		points[i - 1] = CP_OPEN_BOX;
	to = n;
	if (n > max && cut == TEXT_HEAD)
		to = max ? max - 1 : 0;
	if (n > max && cut == TEXT_TAIL)
		from = n - (max ? max - 1 : 0);
	if (from)
		buf_adds(out, CP_ELLIPSIS);
	for (size_t i = from; i < to; i++)
		add_point(out, points[i]);
	if (to < n)
		buf_adds(out, CP_ELLIPSIS);
	free(points);
}

void text_clean(struct buf *out, const char *s, size_t max)
{
	size_t n;
	uint32_t *points = points_of(s, s ? strlen(s) : 0, &n);
	size_t to = n > max ? (max ? max - 1 : 0) : n;

	for (size_t i = 0; i < to; i++)
		add_point(out, points[i]);
	if (to < n)
		buf_adds(out, CP_ELLIPSIS);
	free(points);
}

void text_disarm(struct buf *out, size_t from)
{
	struct buf safe = BUF_INIT(out->max);
	bool line_start = true;

	for (size_t i = from; i < out->len; i++) {
		const char *s = out->data + i; /* a NUL stands behind the last */

		if (line_start && !strncmp(s, "::", 2)) {
			buf_adds(&safe, "\xe2\x88\xb6"); /* U+2236, ratio */
		} else if (!strncmp(s, "##[", 3)) {
			buf_adds(&safe, "#\xe2\x99\xaf"); /* U+266F, sharp */
			i++;
		} else {
			buf_addc(&safe, *s);
		}
		line_start = *s == '\n' || (line_start && (*s == ' ' || *s == '\t'));
	}
	out->len = from;
	buf_add(out, buf_str(&safe), safe.len);
	buf_release(&safe);
}

/* ---- numbers -------------------------------------------------------------------------------------------------------- */

int num_decimals(double baseline, double candidate, double delta)
{
	double top = fmax(isnan(baseline) ? 0 : fabs(baseline), isnan(candidate) ? 0 : fabs(candidate));
	int d = top >= 1000 ? 0 : top >= 100 ? 1 : top >= 10 ? 2 : 3;

	/* two digits of the difference: |delta| >= 10^(1-d) */
	if (!isnan(delta) && delta != 0)
		while (d < DECIMALS_MAX && fabs(delta) * pow(10, d) < 9.5)
			d++;
	return d;
}

static bool is_huge(double v)
{
	return fabs(v) >= 1e7;
}

/* Adding 0 turns the -0 that rounding may leave into 0. */
static double rounded(double v, int decimals)
{
	double scale = pow(10, decimals);

	return is_huge(v) ? v : round(v * scale) / scale + 0.0;
}

void num_add(struct buf *out, double v, int decimals)
{
	if (isnan(v))
		buf_adds(out, "\xe2\x80\x93");
	else if (is_huge(v))
		buf_addf(out, "%.4g", v);
	else
		buf_addf(out, "%.*f", decimals, rounded(v, decimals));
}

void num_add_signed(struct buf *out, double v, int decimals)
{
	if (isnan(v))
		buf_adds(out, "\xe2\x80\x93");
	else if (is_huge(v))
		buf_addf(out, "%+.4g", v);
	else if (rounded(v, decimals) == 0)
		buf_addf(out, "%.*f", decimals, 0.0);
	else
		buf_addf(out, "%+.*f", decimals, rounded(v, decimals));
}

/* A bound such as -0.037 is stored as -0.03700000000000001: a hair of slack keeps it from becoming -0.038. */
static double outward(double v, int decimals, bool up)
{
	double scale = pow(10, decimals), x = v * scale, slack = 1e-6;

	if (isnan(v) || is_huge(v))
		return v;
	return (up ? ceil(x - slack) : floor(x + slack)) / scale + 0.0;
}

void num_add_bounds(struct buf *out, double lo, double hi, int decimals, bool sign)
{
	void (*add)(struct buf *, double, int) = sign ? num_add_signed : num_add;

	buf_addc(out, '[');
	add(out, outward(lo, decimals, false), decimals);
	buf_adds(out, ", ");
	add(out, outward(hi, decimals, true), decimals);
	buf_addc(out, ']');
}
