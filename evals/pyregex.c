/* pyregex.c: the regular expressions of task files: Python's re, run by PCRE2 within a bound.
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

#include "evals/evals_int.h"

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

static void walk_open(struct walk *w, const struct pyregex *r, const struct buf *text)
{
	*w = (struct walk){ .r = r, .text = buf_str(text), .len = text->len, .left = ITEMS_MAX };
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

	walk_open(&w, r, text);
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
	walk_open(&w, r, text);
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

	walk_open(&w, r, text);
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
