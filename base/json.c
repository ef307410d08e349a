/* json.c: JSON by jansson, strict in and canonical out.
 *
 * Canonical form, which digests are made of: no spaces; keys sorted by their bytes; text as UTF-8, with only the quote,
 * the backslash and the control bytes escaped (\b \f \n \r \t, else \u00xx in lower case); integers as they are; a real
 * always has a '.' or an exponent, so that it stays a real, and is the shortest decimal that reads back to the same
 * double, laid out as Python's repr() does (1.0, 0.0001, 1e-05, 1e+16). jansson's own output differs in the digits of
 * reals (a fixed precision) and in escapes, hence the writer here. */
#include "base/json.h"

#include <limits.h>
#include <math.h>

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)

/* ---- reading ---- */

/* jansson gives no reason where it had no memory. */
static int not_json(const json_error_t *e, size_t len, const char *name, size_t line)
{
	int column = e->column > 0 ? e->column : 1;

	if (*e->text)
		return err_set(ERR_INPUT, "%s:%zu:%d: not JSON: %s", name, line, column, e->text);
	err_set(ERR_UNAVAILABLE, "%s:%zu: out of memory (%zu bytes of JSON are being read)", name, line, len);
	return err_hint(ERR_UNAVAILABLE, "give it more memory, or split the file");
}

int json_parse(json_t **out, const char *text, size_t len, const char *name)
{
	bool bom = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3);
	json_error_t e;

	*out = json_loadb(text + (bom ? 3 : 0), len - (bom ? 3 : 0), FLAGS, &e);
	if (*out)
		return 0;
	return not_json(&e, len, name, e.line > 0 ? (size_t)e.line : 1);
}

int json_read(json_t **out, const char *path, size_t max)
{
	struct buf b = BUF_INIT(max);
	int rc;

	*out = NULL;
	rc = fs_read(&b, path, max);
	if (!rc)
		rc = json_parse(out, buf_str(&b), b.len, path);
	buf_release(&b);
	return rc;
}

int json_parse_line(json_t **out, const char *text, size_t len, const char *name, size_t line)
{
	json_error_t e;

	*out = json_loadb(text, len, FLAGS, &e);
	if (*out)
		return 0;
	return not_json(&e, len, name, line);
}

static bool is_blank(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
			return false;
	return true;
}

int json_lines(const char *text, size_t len, const char *name, int (*each)(json_t *value, size_t line, void *arg),
	       void *arg)
{
	size_t line = 0, at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
	int rc = 0;

	while (at < len && !rc) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		json_t *value;

		line++;
		if (!is_blank(text + at, n)) {
			rc = json_parse_line(&value, text + at, n, name, line);
			if (!rc)
				rc = each(value, line, arg);
			json_decref(value);
		}
		at += n + 1;
	}
	return rc;
}

/* ---- writing ---- */

/* Eight bytes at once: is each of them ASCII that stands in JSON as it is? A carry between bytes can only say no in vain, and
 * only above a byte that is none. */
static bool plain_eight(const char *s)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t x, quote, slash;

	memcpy(&x, s, sizeof(x));
	quote = x ^ ones * '"';
	slash = x ^ ones * '\\';
	return !((x | (x - ones * 0x20) | (quote - ones) | (slash - ones)) & ones * 0x80);
}

/* How many characters at s are ASCII that stands in JSON as it is. */
static size_t plain_run(const char *s, size_t len)
{
	size_t n = 0;

	while (len - n >= 8 && plain_eight(s + n))
		n += 8;
	while (n < len && (unsigned char)s[n] >= 0x20 && (unsigned char)s[n] < 0x80 && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

void json_add_text(struct buf *out, const char *s, size_t len)
{
	static const char escapes[] = "btn\0fr"; /* 8 to 13 */
	size_t used = plain_run(s, len);
	char *space = used == len ? buf_space(out, len + 2) : NULL;

	if (space) {
		space[0] = space[len + 1] = '"';
		if (len)
			memcpy(space + 1, s, len);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < len; i += used) {
		uint32_t cp;

		used = plain_run(s + i, len - i);
		buf_add(out, s + i, used);
		i += used;
		if (i == len)
			break;
		cp = utf8_next(s + i, len - i, &used);
		if (cp == '"' || cp == '\\')
			buf_addf(out, "\\%c", (char)cp);
		else if (cp >= 8 && cp <= 13 && escapes[cp - 8])
			buf_addf(out, "\\%c", escapes[cp - 8]);
		else if (cp < 0x20)
			buf_addf(out, "\\u%04x", (unsigned)cp);
		else if (cp == 0xfffd)
			buf_add(out, "\xef\xbf\xbd", 3);
		else
			buf_add(out, s + i, used);
	}
	buf_addc(out, '"');
}

void json_add_real(struct buf *out, double x)
{
	char digits[REAL_DIGITS];
	int e, n;

	if (signbit(x))
		buf_addc(out, '-');
	n = real_shortest(digits, &e, fabs(x));
	if (e < -4 || e >= 16) {
		buf_addc(out, digits[0]);
		if (n > 1) {
			buf_addc(out, '.');
			buf_add(out, digits + 1, (size_t)n - 1);
		}
		buf_addf(out, "e%c%02d", e < 0 ? '-' : '+', e < 0 ? -e : e);
		return;
	}
	if (e < 0) {
		buf_adds(out, "0.");
		for (int i = -1; i > e; i--)
			buf_addc(out, '0');
		buf_add(out, digits, (size_t)n);
		return;
	}
	for (int i = 0; i <= e; i++)
		buf_addc(out, i < n ? digits[i] : '0');
	buf_addc(out, '.');
	if (n > e + 1)
		buf_add(out, digits + e + 1, (size_t)(n - e - 1));
	else
		buf_addc(out, '0');
}

void json_add_integer(struct buf *out, int64_t v)
{
	char text[24], *p = text + sizeof(text);
	uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (v < 0)
		*--p = '-';
	buf_add(out, p, (size_t)(text + sizeof(text) - p));
}

static void add_scalar(struct buf *out, const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		json_add_text(out, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		json_add_integer(out, json_integer_value(v));
		break;
	case JSON_REAL:
		json_add_real(out, json_real_value(v));
		break;
	case JSON_TRUE:
		buf_adds(out, "true");
		break;
	case JSON_FALSE:
		buf_adds(out, "false");
		break;
	default:
		buf_adds(out, "null");
	}
}

struct pair {
	const char *key;
	const json_t *value;
};

/* By bytes; the first mostly tells. */
static int key_order(const char *a, const char *b)
{
	return *a != *b ? (unsigned char)*a - (unsigned char)*b : strcmp(a, b);
}

static int compare_keys(const void *a, const void *b)
{
	return key_order(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

enum { FEW = 16 }; /* members that need no memory of their own */

/* A handful, which mostly stands in its order: each goes back to its place. */
static void sort_pairs(struct pair *pairs, size_t n)
{
	if (n > FEW) {
		qsort(pairs, n, sizeof(*pairs), compare_keys);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct pair p = pairs[i];
		size_t at = i;

		for (; at > 0 && key_order(pairs[at - 1].key, p.key) > 0; at--)
			pairs[at] = pairs[at - 1];
		pairs[at] = p;
	}
}

/* indent < 0: canonical; else pretty at that depth. */
static void add_value(struct buf *out, const json_t *v, int indent);

static void add_break(struct buf *out, int indent)
{
	if (indent >= 0)
		buf_addf(out, "\n%*s", 2 * indent, "");
}

/* What stands before a member's value. Keys are plain nearly always, and then one piece. */
static void add_key(struct buf *out, char before, const char *key, int indent)
{
	size_t len = strlen(key);
	char *space = indent < 0 && plain_run(key, len) == len ? buf_space(out, len + 4) : NULL;

	if (space) {
		space[0] = before;
		space[1] = space[len + 2] = '"';
		memcpy(space + 2, key, len);
		space[len + 3] = ':';
		return;
	}
	buf_addc(out, before);
	add_break(out, indent);
	json_add_text(out, key, len);
	buf_adds(out, indent < 0 ? ":" : ": ");
}

static void add_object(struct buf *out, const json_t *v, int indent)
{
	json_t *obj = (json_t *)(uintptr_t)v;
	int below = indent < 0 ? indent : indent + 1;
	size_t n = json_object_size(v), i = 0;
	struct pair few[FEW], *pairs = n > FEW ? mem_array(n, sizeof(*pairs)) : few;
	const char *key;
	json_t *member;

	if (!n) {
		buf_adds(out, "{}");
		return;
	}
	json_object_foreach(obj, key, member) pairs[i++] = (struct pair){ key, member };
	if (indent < 0)
		sort_pairs(pairs, n);
	for (i = 0; i < n; i++) {
		add_key(out, i ? ',' : '{', pairs[i].key, below);
		add_value(out, pairs[i].value, below);
	}
	add_break(out, indent);
	buf_addc(out, '}');
	if (pairs != few)
		free(pairs);
}

static void add_array(struct buf *out, const json_t *v, int indent)
{
	int below = indent < 0 ? indent : indent + 1;
	size_t n = json_array_size(v);

	for (size_t i = 0; i < n; i++) {
		buf_addc(out, i ? ',' : '[');
		add_break(out, below);
		add_value(out, json_array_get(v, i), below);
	}
	if (n)
		add_break(out, indent);
	buf_adds(out, n ? "]" : "[]");
}

static void add_value(struct buf *out, const json_t *v, int indent)
{
	if (json_is_object(v))
		add_object(out, v, indent);
	else if (json_is_array(v))
		add_array(out, v, indent);
	else if (v)
		add_scalar(out, v);
	else
		buf_adds(out, "null");
}

void json_add(struct buf *out, const json_t *value)
{
	add_value(out, value, -1);
}

void json_add_pretty(struct buf *out, const json_t *value)
{
	add_value(out, value, 0);
	buf_addc(out, '\n');
}

void json_add_indented(struct buf *out, const json_t *value, int depth)
{
	add_value(out, value, depth);
}

/* ---- memory ---- */

/* By what jansson 2.14 and glibc take for each; numbers above the truth do no harm, numbers below it would. */
enum { OBJECT_BYTES = 224, PAIR_BYTES = 88, ARRAY_BYTES = 128, TEXT_BYTES = 64, NUMBER_BYTES = 32, BUCKET_BYTES = 32 };

size_t json_memory(const json_t *v)
{
	size_t sum = 0, i;
	const char *key;
	json_t *member;

	if (!v || v->refcount > 1) /* others hold it; true, false and null are nobody's */
		return 0;
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		json_object_foreach((json_t *)(uintptr_t)v, key, member) sum +=
			PAIR_BYTES + BUCKET_BYTES + strlen(key) + json_memory(member);
		return sum + OBJECT_BYTES;
	case JSON_ARRAY:
		json_array_foreach(v, i, member) sum += 2 * sizeof(member) + json_memory(member);
		return sum + ARRAY_BYTES;
	case JSON_STRING:
		return TEXT_BYTES + json_string_length(v);
	case JSON_INTEGER:
	case JSON_REAL:
		return NUMBER_BYTES;
	default:
		return 0;
	}
}

/* ---- members ---- */

const char *json_get_text(const json_t *obj, const char *key, const char *otherwise)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : otherwise;
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

double json_get_real(const json_t *obj, const char *key, double otherwise)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_number(v) ? json_number_value(v) : otherwise;
}

bool json_get_flag(const json_t *obj, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

json_t *json_new_text(const char *s, size_t len)
{
	json_t *v = s ? json_stringn(s, len) : json_string("");

	if (!v) {
		struct buf b = BUF_INIT(BUF_NOLIMIT);

		utf8_repair(&b, s, len);
		v = json_stringn_nocheck(buf_str(&b), b.len);
		buf_release(&b);
	}
	if (!v) {
		fprintf(stderr, "error: out of memory (a text of %zu bytes)\n", len);
		_Exit(69);
	}
	return v;
}
