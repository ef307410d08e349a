/* yaml_quoted.c: the text of a quoted YAML scalar, from its bytes between the marks.
 *
 * libfyaml finds where a scalar begins and ends, but its 0.7.12 gives another text for some, without a word: it counts the
 * bytes of two quotes doubled in a row ('''') and of an escaped line break behind an escape (\\\) wrongly, and loses as many
 * at the end. The rules are few, so they stand here, as PyYAML has them:
 *
 * - A line break with the blanks around it is a space; of several in a row the first is none, the others a line feed each.
 * - In '…' two quotes are one. In "…" a backslash begins an escape; before a line break it takes the break away, and the
 *   blanks after it, but not those before. Blanks beside no line break stay.
 * - YAML 1.1, and so Python, knows three line breaks more: NEL is one like any, LS and PS fold but stay what they are. For
 *   YAML 1.2 they are letters.
 * - JSON writes characters beyond U+FFFF as two surrogates; they are joined. A surrogate alone is no character. */
#include "base/base.h"

#include "base/yaml_int.h"

struct quoted {
	struct buf *out;
	const char *s, *end;
	bool python;
	const char *why; /* what is wrong at s */
};

static bool fail(struct quoted *q, const char *why)
{
	q->why = why;
	return false;
}

/* ---- blanks and line breaks ---- */

static bool starts(const struct quoted *q, const char *with)
{
	size_t len = strlen(with);

	return (size_t)(q->end - q->s) >= len && memcmp(q->s, with, len) == 0;
}

/* Takes the line break at s, if one is there: *text is what it is when it is not folded. */
static bool take_break(struct quoted *q, const char **text)
{
	static const struct {
		const char *bytes, *text;
		bool python;
	} breaks[] = { { "\r\n", "\n", false },
		       { "\n", "\n", false },
		       { "\r", "\n", false },
		       { "\xc2\x85", "\n", true },
		       { "\xe2\x80\xa8", "\xe2\x80\xa8", true },
		       { "\xe2\x80\xa9", "\xe2\x80\xa9", true } };

	for (size_t i = 0; i < ARRAY_LEN(breaks); i++)
		if ((q->python || !breaks[i].python) && starts(q, breaks[i].bytes)) {
			q->s += strlen(breaks[i].bytes);
			*text = breaks[i].text;
			return true;
		}
	return false;
}

static void skip_blanks(struct quoted *q)
{
	while (q->s < q->end && (*q->s == ' ' || *q->s == '\t'))
		q->s++;
}

/* The empty lines behind a line break, and the blanks before what follows. Gives whether there were any. */
static bool add_empty_lines(struct quoted *q)
{
	const char *text;
	bool any = false;

	for (skip_blanks(q); take_break(q, &text); skip_blanks(q)) {
		buf_adds(q->out, text);
		any = true;
	}
	return any;
}

/* Blanks and line breaks at s, if any. */
static void add_space(struct quoted *q)
{
	const char *from = q->s, *text;

	skip_blanks(q);
	if (!take_break(q, &text)) {
		buf_add(q->out, from, (size_t)(q->s - from));
		return;
	}
	if (*text != '\n')
		buf_adds(q->out, text);
	if (!add_empty_lines(q) && *text == '\n')
		buf_addc(q->out, ' ');
}

/* ---- escapes ---- */

static bool hex(uint32_t *out, const struct quoted *q, size_t at, size_t digits)
{
	static const char set[] = "0123456789abcdef";

	*out = 0;
	if ((size_t)(q->end - q->s) < at + digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		char c = q->s[at + i];
		const char *p = memchr(set, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c, 16);

		if (!p)
			return false;
		*out = *out << 4 | (uint32_t)(p - set);
	}
	return true;
}

/* \xXX, \uXXXX, \UXXXXXXXX */
static bool add_number(struct quoted *q, size_t digits)
{
	uint32_t cp, low;
	size_t used = 2 + digits;
	char utf8[4];

	if (!hex(&cp, q, 2, digits))
		return fail(q, "the escape needs more digits from 0 to f");
	if (digits == 4 && cp >= 0xd800 && cp < 0xdc00 && (size_t)(q->end - q->s) >= 12 && q->s[6] == '\\' &&
	    q->s[7] == 'u' && hex(&low, q, 8, 4) && low >= 0xdc00 && low < 0xe000) {
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
		used = 12;
	}
	if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return fail(q, "the escape is no character of Unicode");
	buf_add(q->out, utf8, utf8_put(utf8, cp));
	q->s += used;
	return true;
}

/* The escape at s. */
static bool add_escape(struct quoted *q)
{
	static const struct {
		char name;
		uint32_t cp;
	} known[] = { { '0', 0 },   { 'a', 7 },     { 'b', 8 },    { 't', 9 },    { '\t', 9 },     { 'n', 10 },
		      { 'v', 11 },  { 'f', 12 },    { 'r', 13 },   { 'e', 27 },   { ' ', ' ' },    { '"', '"' },
		      { '/', '/' }, { '\\', '\\' }, { 'N', 0x85 }, { '_', 0xa0 }, { 'L', 0x2028 }, { 'P', 0x2029 } };
	struct quoted after = *q;
	const char *text;
	char c, utf8[4];

	after.s++;
	if (take_break(&after, &text)) {
		q->s = after.s;
		add_empty_lines(q);
		return true;
	}
	c = after.s < q->end ? *after.s : '\0';
	if (c == 'x' || c == 'u' || c == 'U')
		return add_number(q, c == 'x' ? 2 : c == 'u' ? 4 : 8);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].name == c) {
			buf_add(q->out, utf8, utf8_put(utf8, known[i].cp));
			q->s += 2;
			return true;
		}
	return fail(q, "there is no such escape; a backslash itself is written twice");
}

bool yaml_unquote(struct buf *out, const char *s, size_t len, char mark, bool python, const char **why, size_t *at)
{
	struct quoted q = { out, s, s + len, python, NULL };

	while (q.s < q.end && !q.why) {
		const char *from = q.s;

		add_space(&q);
		if (q.s > from)
			continue;
		if (mark == '"' && *q.s == '\\') {
			add_escape(&q);
			continue;
		}
		/* of two quotes the second stays */
		q.s += mark == '\'' && starts(&q, "''");
		buf_addc(out, *q.s++);
	}
	*why = q.why;
	*at = (size_t)(q.s - s);
	return !q.why;
}
