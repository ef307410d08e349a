/* pyregex.c: the regular expressions of task files and their templates: Python's re, run by PCRE2 within a bound.
 *
 * A pattern is translated first, so that it means what it means in Python: \s and \w are Unicode's white space and
 * letters, digits and "_" as str has them; \Z, \u, \v, {,n} and "[" inside a class are rewritten; what Python has not
 * (verbs, recursion, \h, \K …) is refused. Left as they are: \b, and \S and \W inside a class, where the two libraries
 * agree but for a few rare characters.
 *
 * Patterns come with a pushed commit and texts from a model, so time is counted: PCRE2 calls back at every item it tries,
 * and a search over one text may try ITEMS_MAX of them. That bounds a whole findall(), which a match limit, being one of
 * each place in the text, does not. Memory for backtracking is bounded too. The count depends on pattern and text only. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/base.h"

#include <pcre2.h>

#include "base/pyregex.h"

enum { PATTERN_MAX = 1 << 16, ITEMS_MAX = 5000000, HEAP_KIB = 65536 };

struct pyregex {
	pcre2_code *code;
	char *pattern; /* as written, for errors */
	uint32_t groups;
};

/* ---- Python's syntax as PCRE2's ---------------------------------------------------------------------------------- */

#define SPACES "\\t-\\r\\x1c-\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define WORD "\\p{L}\\p{N}_"

static int pattern_error(const char *pattern, size_t at, const char *what)
{
	return err_set(ERR_INPUT, "regular expression \"%.200s\": %s at byte %zu", pattern, what, at + 1);
}

static size_t hex_digits(const char *s)
{
	return strspn(s, "0123456789abcdefABCDEF");
}

/* s stands behind a backslash. Gives how much of s it took; 0: Python has no such escape. */
static size_t escape_add(struct buf *out, const char *s, bool in_class)
{
	static const struct {
		char letter;
		const char *class, *alone;
	} sets[] = { { 's', SPACES, "[" SPACES "]" },
		     { 'S', "\\S", "[^" SPACES "]" },
		     { 'w', WORD, "[" WORD "]" },
		     { 'W', "\\W", "[^" WORD "]" } };
	size_t digits = *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 0;
	size_t used;

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		if (*s == sets[i].letter) {
			buf_adds(out, in_class ? sets[i].class : sets[i].alone);
			return 1;
		}
	if (digits) {
		if (hex_digits(s + 1) < digits)
			return 0;
		buf_addf(out, "\\x{%.*s}", (int)digits, s + 1);
		return 1 + digits;
	}
	if (*s == 'v' || (*s == 'Z' && !in_class)) {
		buf_adds(out, *s == 'v' ? "\\x0b" : "\\z");
		return 1;
	}
	if (!*s || (((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')) &&
		    !strchr(in_class ? "abdDfnrt" : "AabBdDfnrt", *s)))
		return 0;
	utf8_next(s, strlen(s), &used);
	buf_addc(out, '\\');
	buf_add(out, s, used);
	return used;
}

/* s stands behind "(?": is it one of Python's groups? */
static bool group_known(const char *s)
{
	size_t flags = strspn(s, "imsx-");

	if (strchr(":=!>#(", *s) && *s)
		return true;
	if (*s == '<' || *s == 'P')
		return s[1] && strchr(*s == '<' ? "=!" : "<=", s[1]);
	return flags && s[flags] && strchr(":)", s[flags]);
}

/* s stands behind "[": the class up to its "]". Gives how much of s it took; 0: a mistake at *bad. */
static size_t class_add(struct buf *out, const char *s, size_t *bad)
{
	size_t at = 0;

	buf_addc(out, '[');
	if (s[at] == '^')
		buf_addc(out, s[at++]);
	if (s[at] == ']') {
		buf_adds(out, "\\]");
		at++;
	}
	while (s[at] && s[at] != ']')
		if (s[at] == '\\') {
			size_t used = escape_add(out, s + at + 1, true);

			*bad = at;
			if (!used)
				return 0;
			at += 1 + used;
		} else {
			if (s[at] == '[')
				buf_addc(out, '\\');
			buf_addc(out, s[at++]);
		}
	*bad = at;
	buf_addc(out, ']');
	return s[at] ? at + 1 : 0;
}

static int translate(struct buf *out, const char *pattern)
{
	size_t bad = 0, used, i = 0;

	while (pattern[i]) {
		const char *s = pattern + i;

		used = 1;
		if (*s == '\\') {
			used = escape_add(out, s + 1, false);
			if (!used)
				return pattern_error(pattern, i, "Python has no such escape");
			used++;
		} else if (*s == '[') {
			used = class_add(out, s + 1, &bad);
			if (!used)
				return pattern_error(pattern, i + 1 + bad, "a mistake in the set");
			used++;
		} else if (*s == '(' && (s[1] == '*' || (s[1] == '?' && !group_known(s + 2)))) {
			return pattern_error(pattern, i, "Python has no such group");
		} else if (*s == '{' && s[1] == ',' && s[2] >= '0' && s[2] <= '9') {
			buf_adds(out, "{0");
		} else {
			buf_addc(out, *s);
		}
		i += used;
	}
	return 0;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int tries_left(pcre2_callout_block *block, void *left)
{
	(void)block;
	return --*(int64_t *)left > 0 ? 0 : PCRE2_ERROR_CALLOUT;
}

static int compile(struct pyregex **out, const char *text, size_t len, const char *pattern)
{
	pcre2_compile_context *how = pcre2_compile_context_create(NULL);
	struct pyregex *r = mem_alloc(sizeof(*r));
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	int code;

	pcre2_set_newline(how, PCRE2_NEWLINE_LF);
	r->code = pcre2_compile((PCRE2_SPTR)text, len,
				PCRE2_UTF | PCRE2_UCP | PCRE2_ALT_CIRCUMFLEX | PCRE2_AUTO_CALLOUT |
					PCRE2_NEVER_BACKSLASH_C,
				&code, &at, how);
	pcre2_compile_context_free(how);
	if (!r->code) {
		free(r);
		pcre2_get_error_message(code, why, sizeof(why));
		return err_set(ERR_INPUT, "regular expression \"%.200s\": %s", pattern, (char *)why);
	}
	pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &r->groups);
	r->pattern = mem_str(pattern);
	*out = r;
	return 0;
}

int pyregex_compile(struct pyregex **out, const char *pattern)
{
	struct buf text = BUF_INIT(PATTERN_MAX);
	int rc = translate(&text, pattern);

	*out = NULL;
	if (!rc && buf_full(&text))
		rc = err_set(ERR_INPUT, "a regular expression of more than %d bytes", PATTERN_MAX);
	rc = rc ? rc : compile(out, buf_str(&text), text.len, pattern);
	buf_release(&text);
	return rc;
}

int pyregex_punctuation(struct pyregex **out)
{
	return compile(out, "\\p{P}", 5, "punctuation");
}

void pyregex_free(struct pyregex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	free(r->pattern);
	free(r);
}

/* ---- searching --------------------------------------------------------------------------------------------------- */

/* A walk over the matches of a text, as re.finditer() has them. */
struct walk {
	const struct pyregex *r;
	const char *text;
	size_t len, at;
	int64_t left; /* of ITEMS_MAX */
	bool empty;   /* the last match was: the next one here must not be */
	pcre2_match_data *data;
	pcre2_match_context *how;
};

static void walk_open(struct walk *w, const struct pyregex *r, const char *text, size_t len)
{
	*w = (struct walk){ .r = r, .text = text, .len = len, .left = ITEMS_MAX };
	w->data = pcre2_match_data_create_from_pattern(r->code, NULL);
	w->how = pcre2_match_context_create(NULL);
	pcre2_set_heap_limit(w->how, HEAP_KIB);
}

static void walk_close(struct walk *w)
{
	pcre2_match_data_free(w->data);
	pcre2_match_context_free(w->how);
}

/* *found: the match is in w->data. ERR_INPUT: it gave up. */
static int walk_next(struct walk *w, bool *found)
{
	const size_t *pair;
	int n;

	pcre2_set_callout(w->how, tries_left, &w->left);
	n = pcre2_match(w->r->code, (PCRE2_SPTR)w->text, w->len, w->at,
			PCRE2_NO_UTF_CHECK | (w->empty ? PCRE2_NOTEMPTY_ATSTART : 0), w->data, w->how);
	*found = n >= 0;
	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0) {
		err_set(ERR_INPUT,
			"the regular expression \"%.200s\" gave up on a text of %zu bytes: it backtracks too much",
			w->r->pattern, w->len);
		return err_hint(ERR_INPUT, "write it without a repeat inside a repeat, such as (a+)+");
	}
	pair = pcre2_get_ovector_pointer(w->data);
	w->at = pair[1];
	w->empty = pair[0] == pair[1];
	return 0;
}

/* Adds the text of a match as re.findall() gives it. false: several groups, and all of them are empty. */
static bool walk_text(const struct walk *w, struct buf *out)
{
	const size_t *pairs = pcre2_get_ovector_pointer(w->data);
	uint32_t n = pcre2_get_ovector_count(w->data), i = w->r->groups == 0 ? 0 : 1;

	while (w->r->groups > 1 && i < n && (pairs[2 * i] == PCRE2_UNSET || pairs[2 * i] == pairs[2 * i + 1]))
		i++;
	if (i == n)
		return false;
	if (pairs[2 * i] != PCRE2_UNSET)
		buf_add(out, w->text + pairs[2 * i], pairs[2 * i + 1] - pairs[2 * i]);
	return true;
}

static int count_matches(const struct pyregex *r, const struct buf *text, int64_t *n)
{
	struct walk w;
	bool found;
	int rc;

	walk_open(&w, r, buf_str(text), text->len);
	for (*n = -1, found = true, rc = 0; found && !rc; ++*n)
		rc = walk_next(&w, &found);
	walk_close(&w);
	return rc;
}

int pyregex_find(const struct pyregex *r, const struct buf *text, int select, struct buf *out,
		 enum pyregex_found *found)
{
	int64_t want = select, n = 0;
	struct walk w;
	bool more = true;
	int rc = select < 0 ? count_matches(r, text, &n) : 0;

	*found = PYREGEX_NOTHING;
	if (select < 0)
		want += n;
	if (rc || want < 0)
		return rc;
	walk_open(&w, r, buf_str(text), text->len);
	for (int64_t i = 0; i <= want && more && !rc; i++)
		rc = walk_next(&w, &more);
	if (!rc && more)
		*found = walk_text(&w, out) ? PYREGEX_TEXT : PYREGEX_EMPTY;
	walk_close(&w);
	return rc;
}

int pyregex_remove(const struct pyregex *r, struct buf *text)
{
	struct buf out = BUF_INIT(text->max);
	struct walk w;
	size_t from = 0;
	bool found = true;
	int rc = 0;

	walk_open(&w, r, buf_str(text), text->len);
	while (found && !rc) {
		const size_t *pair = pcre2_get_ovector_pointer(w.data);

		rc = walk_next(&w, &found);
		if (rc || !found)
			break;
		buf_add(&out, w.text + from, pair[0] - from);
		from = pair[1];
	}
	buf_add(&out, w.text + from, w.len - from);
	walk_close(&w);
	if (rc) {
		buf_release(&out);
		return rc;
	}
	buf_release(text);
	*text = out;
	return 0;
}

/* ---- substituting --------------------------------------------------------------------------------------------------- */

/* A group by its number in the match at hand; one that took no part is empty. */
static int add_group(const struct walk *w, size_t i, struct buf *out)
{
	const size_t *pairs = pcre2_get_ovector_pointer(w->data);

	if (i > w->r->groups)
		return err_set(ERR_INPUT, "regular expression \"%.200s\": there is no group %zu to put in",
			       w->r->pattern, i);
	if (pairs[2 * i] != PCRE2_UNSET)
		buf_add(out, w->text + pairs[2 * i], pairs[2 * i + 1] - pairs[2 * i]);
	return 0;
}

static bool is_digit(const char *s, const char *end, char most)
{
	return s < end && *s >= '0' && *s <= most;
}

/* s stands behind "\\g"; *used: with the brackets. */
static int add_named(const struct walk *w, const char *s, const char *end, struct buf *out, size_t *used)
{
	const char *close = s < end && *s == '<' ? memchr(s, '>', (size_t)(end - s)) : NULL;
	size_t len = close ? (size_t)(close - s) - 1 : 0, digits = 0, number = 0;
	char name[64];
	int at;

	if (len < 1 || len >= sizeof(name))
		return err_set(ERR_INPUT, "the text to put in has \\g without a <group>");
	memcpy(name, s + 1, len);
	name[len] = 0;
	*used = len + 2;
	for (; digits < len && is_digit(name + digits, name + len, '9'); digits++)
		number = number * 10 + (size_t)(name[digits] - '0');
	if (digits == len && len < 10)
		return add_group(w, number, out);
	at = pcre2_substring_number_from_name(w->r->code, (PCRE2_SPTR)name);
	if (at < 0)
		return err_set(ERR_INPUT, "regular expression \"%.200s\": there is no group <%s> to put in",
			       w->r->pattern, name);
	return add_group(w, (size_t)at, out);
}

/* s stands at a digit behind a backslash: \\0, \\012 and \\123 are octal, others groups of one or two digits. */
static int add_number(const struct walk *w, const char *s, const char *end, struct buf *out, size_t *used)
{
	size_t octal = *s == '0'                                                                         ? 1
		       : is_digit(s, end, '7') && is_digit(s + 1, end, '7') && is_digit(s + 2, end, '7') ? 3
													 : 0;
	unsigned code = 0;
	char bytes[4];

	while (*s == '0' && octal < 3 && is_digit(s + octal, end, '7'))
		octal++;
	*used = octal ? octal : is_digit(s + 1, end, '9') ? 2 : 1;
	for (size_t i = 0; i < octal; i++)
		code = code * 8 + (unsigned)(s[i] - '0');
	if (code > 0377)
		return err_set(ERR_INPUT, "the text to put in has an octal number above \\377");
	if (!octal)
		return add_group(w, *used == 2 ? (size_t)(s[0] - '0') * 10 + (size_t)(s[1] - '0') : (size_t)(*s - '0'),
				 out);
	buf_add(out, bytes, utf8_put(bytes, code));
	return 0;
}

/* What Python's template makes of the match at hand. */
static int add_template(const struct walk *w, const char *s, size_t len, struct buf *out)
{
	static const char letters[] = "abfnrtv\\", are[] = "\a\b\f\n\r\t\v\\";
	const char *end = s + len, *hit;
	int rc = 0;

	while (s < end && !rc) {
		size_t used = 1;

		if (*s != '\\') {
			buf_addc(out, *s++);
			continue;
		}
		if (++s == end)
			return err_set(ERR_INPUT, "the text to put in ends with a backslash");
		hit = *s ? strchr(letters, *s) : NULL;
		if (*s == 'g') {
			rc = add_named(w, s + 1, end, out, &used);
			used++;
		} else if (is_digit(s, end, '9')) {
			rc = add_number(w, s, end, out, &used);
		} else if (hit) {
			buf_addc(out, are[hit - letters]);
		} else if ((*s | 32) >= 'a' && (*s | 32) <= 'z') {
			rc = err_set(ERR_INPUT, "the text to put in has \\%c, which Python has not", *s);
		} else {
			buf_addc(out, '\\');
			buf_addc(out, *s);
		}
		s += used;
	}
	return rc;
}

/* Python reads the template before it looks for a match: what is wrong in it is told without one, too. */
static int check_template(struct walk *w, const char *s, size_t len)
{
	struct buf nothing = BUF_INIT(BUF_NOLIMIT);
	size_t *pairs = pcre2_get_ovector_pointer(w->data);
	int rc;

	for (size_t i = 0; i < 2 * ((size_t)w->r->groups + 1); i++)
		pairs[i] = PCRE2_UNSET;
	rc = add_template(w, s, len, &nothing);
	buf_release(&nothing);
	return rc;
}

int pyregex_sub(const struct pyregex *r, const char *text, size_t len, const char *with, size_t with_len, int64_t count,
		struct buf *out, int64_t *tries)
{
	struct walk w;
	size_t from = 0;
	bool found = true;
	int rc;

	walk_open(&w, r, text, len);
	rc = check_template(&w, with, with_len);
	for (int64_t n = 0; !rc && count >= 0 && (!count || n < count) && !buf_full(out); n++) {
		const size_t *pair = pcre2_get_ovector_pointer(w.data);

		rc = walk_next(&w, &found);
		if (rc || !found)
			break;
		buf_add(out, text + from, pair[0] - from);
		from = pair[1];
		rc = add_template(&w, with, with_len, out);
	}
	if (!rc)
		buf_add(out, text + from, len - from);
	*tries = ITEMS_MAX - w.left;
	walk_close(&w);
	return rc;
}
