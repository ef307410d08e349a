/* literal.c: Python list literals, as doc_to_choice and doc_to_target templates print them.
 *
 * Templates render lists by Python's repr: ['it', "don't", 3, True, None]. The harness reads that back with
 * ast.literal_eval; this is the part of it that such texts need: lists and tuples of strings, numbers, True, False and
 * None, nested a little. Adjacent strings join. Not here: dicts, sets, bytes, f-strings, arithmetic. Depth is bounded,
 * the text is read once from left to right. */
#include "base/base.h"

#include <errno.h>

#include "evals/evals_int.h"

enum { LITERAL_DEPTH = 8 };

struct literal {
	const char *s, *end, *start;
};

static int literal_error(const struct literal *l, const char *what)
{
	return err_set(ERR_INPUT, "not a Python list: %s at character %zu of \"%.*s\"", what,
		       (size_t)(l->s - l->start) + 1, (int)(l->end - l->start > 60 ? 60 : l->end - l->start), l->start);
}

static void literal_space(struct literal *l)
{
	while (l->s < l->end && strchr(" \t\r\n", *l->s) && *l->s)
		l->s++;
}

static int literal_hex(struct literal *l, int digits, uint32_t *cp)
{
	*cp = 0;
	for (int i = 0; i < digits; i++) {
		const char *hex = "0123456789abcdef", *at;
		int c = l->s < l->end ? (unsigned char)*l->s : 0;

		at = c ? strchr(hex, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
		if (!at)
			return literal_error(l, "a bad escape");
		*cp = *cp * 16 + (uint32_t)(at - hex);
		l->s++;
	}
	if (*cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff) || !*cp)
		return literal_error(l, "a code point that is no character");
	return 0;
}

static int literal_escape(struct literal *l, struct buf *out)
{
	static const char plain[] = "\\'\"abfnrtv", value[] = "\\'\"\a\b\f\n\r\t\v";
	char c = *l->s++;
	const char *at = c ? strchr(plain, c) : NULL;
	char utf8[4];
	uint32_t cp;

	if (c == '\n')
		return 0;
	if (at) {
		buf_addc(out, value[at - plain]);
		return 0;
	}
	if (c == 'x' || c == 'u' || c == 'U') {
		int rc = literal_hex(l, c == 'x' ? 2 : c == 'u' ? 4 : 8, &cp);

		if (!rc)
			buf_add(out, utf8, utf8_put(utf8, cp));
		return rc;
	}
	buf_addc(out, '\\'); /* as Python: an unknown escape stays */
	buf_addc(out, c);
	return 0;
}

/* Of three quotes too: then lines and single quotes may stand in it. */
static int literal_string(struct literal *l, struct buf *out)
{
	char quote = *l->s, triple[3] = { quote, quote, quote };
	size_t n = l->end - l->s >= 3 && memcmp(l->s, triple, 3) == 0 ? 3 : 1;

	l->s += n;
	while (l->s < l->end && ((size_t)(l->end - l->s) < n || memcmp(l->s, triple, n) != 0)) {
		if ((*l->s == '\n' && n == 1) || !*l->s)
			break;
		if (*l->s != '\\') {
			buf_addc(out, *l->s++);
			continue;
		}
		if (++l->s == l->end)
			break;
		if (literal_escape(l, out))
			return ERR_INPUT;
	}
	if (l->s == l->end || (size_t)(l->end - l->s) < n || memcmp(l->s, triple, n) != 0)
		return literal_error(l, "a string without its end");
	l->s += n;
	return 0;
}

static int literal_text(struct literal *l, json_t **out)
{
	struct buf text = BUF_INIT((size_t)1 << 26);
	int rc = 0;

	while (!rc && l->s < l->end && (*l->s == '\'' || *l->s == '"')) {
		rc = literal_string(l, &text);
		literal_space(l);
	}
	if (!rc)
		*out = json_new_text(buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}

static int literal_number(struct literal *l, json_t **out)
{
	char digits[64], *stop;
	size_t n = 0;

	while (l->s + n < l->end && n + 1 < sizeof(digits) && l->s[n] && strchr("+-.0123456789eE_", l->s[n])) {
		digits[n] = l->s[n];
		n++;
	}
	digits[n] = 0;
	errno = 0;
	if (n && !strpbrk(digits, ".eE_")) {
		long long whole = strtoll(digits, &stop, 10);

		*out = *stop || errno ? NULL : json_integer(whole);
	} else {
		double real = strtod(digits, &stop);

		*out = !n || *stop || errno ? NULL : json_real(real);
	}
	if (!*out)
		return literal_error(l, "neither text nor a number");
	l->s += n;
	return 0;
}

static bool literal_word(struct literal *l, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(l->end - l->s) < n || memcmp(l->s, word, n) != 0)
		return false;
	l->s += n;
	return true;
}

static int literal_value(struct literal *l, json_t **out, int depth);

static int literal_list(struct literal *l, json_t **out, int depth)
{
	char close = *l->s++ == '[' ? ']' : ')';
	json_t *list = json_array();
	int rc = 0;

	for (;;) {
		json_t *item = NULL;

		literal_space(l);
		if (l->s < l->end && *l->s == close) {
			l->s++;
			*out = list;
			return 0;
		}
		rc = literal_value(l, &item, depth + 1);
		if (rc)
			break;
		json_array_append_new(list, item);
		literal_space(l);
		if (l->s < l->end && *l->s == ',')
			l->s++;
		else if (l->s == l->end || *l->s != close) {
			rc = literal_error(l, "a list without its end");
			break;
		}
	}
	json_decref(list);
	return rc;
}

static int literal_value(struct literal *l, json_t **out, int depth)
{
	literal_space(l);
	if (l->s == l->end)
		return literal_error(l, "nothing");
	if (depth > LITERAL_DEPTH)
		return literal_error(l, "too deep a list");
	if (*l->s == '[' || *l->s == '(')
		return literal_list(l, out, depth);
	if (*l->s == '\'' || *l->s == '"')
		return literal_text(l, out);
	if (literal_word(l, "True"))
		*out = json_true();
	else if (literal_word(l, "False"))
		*out = json_false();
	else if (literal_word(l, "None"))
		*out = json_null();
	else
		return literal_number(l, out);
	return 0;
}

int literal_parse(json_t **out, const char *text, size_t len)
{
	struct literal l = { text, text + len, text };
	json_t *value = NULL;
	int rc;

	literal_space(&l);
	if (l.s == l.end || (*l.s != '[' && *l.s != '('))
		return literal_error(&l, "no '['");
	rc = literal_value(&l, &value, 0);
	if (rc)
		return rc;
	literal_space(&l);
	if (l.s != l.end) {
		json_decref(value);
		return literal_error(&l, "something behind the list");
	}
	*out = value;
	return 0;
}
