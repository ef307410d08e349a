/* yaml.c: YAML 1.2 core schema into JSON values, with the line and column of every key and value.
 *
 * libfyaml parses text into events; the tree is built here, so that limits hold while it grows and not after: 16 MiB of
 * text, 64 levels, a million nodes and 64 MiB of text once all aliases are followed (an alias counts as what it stands
 * for: "billion laughs" ends early; it is not copied, but shared). An alias within its own anchor is refused.
 *
 * Positions are kept beside the tree in one map: under (address of a value) for containers and scalars, and under
 * (address of a container, key or index) for members; the second also serves true, false and null, which jansson keeps once
 * for everybody. Addresses stay valid, since the tree holds its values until yaml_free().
 *
 * What a plain scalar is: null (null Null NULL ~ or nothing), true/false (three spellings each), integers (decimal, 0o, 0x),
 * reals; all else and all that is quoted is text. "yes" and "on" are text: they were booleans in YAML 1.1 only. What
 * stands in quotes is decoded here from its bytes (yaml_quoted.c), since libfyaml has some of it wrong in silence. Infinity
 * and NaN, which JSON has not, are refused, as are integers beyond 64 bits. Keys are text, whatever they look like.
 * Left out: merge keys ("<<"), tags beyond the core, several documents, keys that are no scalars. */
#include "base/yaml.h"
#include "base/yaml_int.h"

#include <errno.h>
#include <libfyaml.h>
#include <math.h>
#include <stdarg.h>

#define TEXT_MAX ((size_t)16 << 20)
#define DEPTH_MAX 64
#define NODES_MAX 1000000u
#define EXPANDED_MAX ((size_t)64 << 20)

struct mark {
	int line, col; /* from 1; 0: not known */
};

struct place {
	struct mark key, value;
	const char *name; /* of another document that the member came from; NULL: of this one */
};

struct yaml {
	char *name;
	json_t *root;
	struct map index; /* -> places */
	struct place *places;
	size_t n, cap;
	const struct yaml **others; /* whose values were merged into this one */
	size_t n_others, cap_others;
	bool python; /* as yaml_parse_python() says */
};

struct anchor {
	json_t *value; /* borrowed from the tree */
	size_t nodes, bytes;
	int height;
	bool done;
};

/* An open container. */
struct frame {
	json_t *value;
	char *key; /* of the member to come; NULL: a key is to come */
	struct mark key_mark, mark;
	int64_t anchor;      /* or -1 */
	size_t nodes, bytes; /* the counts when it began */
	int height;
};

struct builder {
	struct yaml *y;
	const char *text;
	size_t len;
	struct frame frames[DEPTH_MAX + 1];
	int depth;
	struct map anchor_index;
	struct anchor *anchors;
	size_t n_anchors, cap_anchors;
	size_t nodes, bytes;
	int documents;
};

/* ---- errors and places ---- */

static int fail_text(const char *name, struct mark m, const char *text)
{
	if (m.line)
		return err_set(ERR_INPUT, "%s:%d:%d: %s", name, m.line, m.col, text ? text : "?");
	return err_set(ERR_INPUT, "%s: %s", name, text ? text : "?");
}

static PRINTF_LIKE(3, 4) int fail(const struct yaml *y, struct mark m, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;
	int rc;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	rc = fail_text(y->name, m, text);
	free(text);
	return rc;
}

/* Columns count characters, as libfyaml's do; the text before at is valid. */
static struct mark mark_at(const char *text, size_t at)
{
	struct mark m = { 1, 1 };

	for (size_t i = 0; i < at; i++) {
		m.col += ((unsigned char)text[i] & 0xc0) != 0x80;
		if (text[i] == '\n')
			m = (struct mark){ m.line + 1, 1 };
	}
	return m;
}

/* The address, and the key behind it; a value of its own has a NUL there, which no key contains. */
static void place_name(struct buf *b, const json_t *at, const char *key)
{
	buf_add(b, &at, sizeof(at));
	if (key)
		buf_adds(b, key);
	else
		buf_addc(b, '\0');
}

static void put_place(struct yaml *y, const json_t *at, const char *key, struct place place)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	place_name(&b, at, key);
	MEM_GROW(y->places, y->n, y->cap);
	y->places[y->n] = place;
	map_put(&y->index, b.data, b.len, (int64_t)y->n++);
	buf_release(&b);
}

static const struct place *get_place(const struct yaml *y, const json_t *at, const char *key)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	int64_t i;
	bool found;

	place_name(&b, at, key);
	found = map_get(&y->index, b.data, b.len, &i);
	buf_release(&b);
	return found ? &y->places[i] : NULL;
}

/* In y, or in a document that was merged into it; *name: of the document. */
static const struct place *find_place(const struct yaml *y, const json_t *at, const char *key, const char **name)
{
	const struct place *p = get_place(y, at, key);

	*name = p && p->name ? p->name : y->name;
	for (size_t i = 0; !p && i < y->n_others; i++)
		p = find_place(y->others[i], at, key, name);
	return p;
}

int yaml_error(const struct yaml *y, const json_t *at, const char *key, const char *fmt, ...)
{
	const char *name = y->name;
	const struct place *p = key ? find_place(y, at, key, &name) : NULL;
	struct mark m = { 0, 0 };
	va_list args;
	char *text = NULL;
	int rc;

	if (p) {
		m = p->key;
	} else {
		p = find_place(y, at, NULL, &name);
		if (p)
			m = p->value;
	}
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	rc = fail_text(name, m, text);
	free(text);
	return rc;
}

void yaml_merge(struct yaml *y, json_t *obj, const struct yaml *from, const json_t *members, bool over)
{
	const char *key, *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)members, key, value)
	{
		const struct place *p = find_place(from, members, key, &name);
		struct place place = p ? *p : (struct place){ 0 };

		if (!over && json_object_get(obj, key))
			continue;
		place.name = name;
		json_object_set_nocheck(obj, key, value);
		put_place(y, obj, key, place);
	}
	if (from == y)
		return;
	MEM_GROW(y->others, y->n_others, y->cap_others);
	y->others[y->n_others++] = from;
}

/* ---- scalars ---- */

static size_t digits_of(const char *s, const char *set)
{
	return strspn(s, set);
}

#define DECIMAL "0123456789"

static bool is_integer(const char *s)
{
	s += *s == '-' || *s == '+';
	return *s && !s[digits_of(s, DECIMAL)];
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *s)
{
	size_t whole, part = 0;

	s += *s == '-' || *s == '+';
	whole = digits_of(s, DECIMAL);
	s += whole;
	if (*s == '.') {
		part = digits_of(s + 1, DECIMAL);
		s += 1 + part;
	}
	if (!whole && !part)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (!digits_of(s, DECIMAL))
			return false;
		s += digits_of(s, DECIMAL);
	}
	return !*s;
}

static bool is_one_of(const char *s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s, words[i]))
			return true;
	return false;
}

static int make_integer(json_t **out, const struct yaml *y, struct mark m, const char *s, int base)
{
	long long x;

	errno = 0;
	x = strtoll(base == 10 ? s : s + 2, NULL, base);
	if (errno)
		return fail(y, m, "integer %.40s does not fit 64 bits; quote it if it is text", s);
	*out = json_integer(x);
	return 0;
}

static int make_real(json_t **out, const struct yaml *y, struct mark m, const char *s)
{
	double x = strtod(s, NULL);

	if (!isfinite(x))
		return fail(y, m, "number %.40s is out of range", s);
	*out = json_real(x);
	return 0;
}

static int make_plain(json_t **out, const struct yaml *y, struct mark m, const char *s, size_t len)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const trues[] = { "true", "True", "TRUE" };
	static const char *const falses[] = { "false", "False", "FALSE" };
	static const char *const endless[] = { ".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf", "+.INF",
					       "-.inf", "-.Inf", "-.INF", ".nan",  ".NaN",  ".NAN" };

	if (is_one_of(s, nulls, ARRAY_LEN(nulls)))
		*out = json_null();
	else if (is_one_of(s, trues, ARRAY_LEN(trues)))
		*out = json_true();
	else if (is_one_of(s, falses, ARRAY_LEN(falses)))
		*out = json_false();
	else if (is_one_of(s, endless, ARRAY_LEN(endless)))
		return fail(y, m, "%s is not a number that can be used here", s);
	else if (is_integer(s))
		return make_integer(out, y, m, s, 10);
	else if (!strncmp(s, "0o", 2) && s[2] && !s[2 + digits_of(s + 2, "01234567")])
		return make_integer(out, y, m, s, 8);
	else if (!strncmp(s, "0x", 2) && s[2] && !s[2 + digits_of(s + 2, DECIMAL "abcdefABCDEF")])
		return make_integer(out, y, m, s, 16);
	else if (is_real(s))
		return make_real(out, y, m, s);
	else
		*out = json_stringn(s, len);
	return 0;
}

enum tag { TAG_NONE, TAG_STR, TAG_NULL, TAG_BOOL, TAG_INT, TAG_FLOAT, TAG_MAP, TAG_SEQ, TAG_FUNCTION, TAG_OTHER };

static enum tag tag_kind(const char *text, size_t len)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	static const struct {
		const char *name;
		enum tag tag;
	} core[] = { { "str", TAG_STR }, { "null", TAG_NULL },   { "bool", TAG_BOOL }, { "int", TAG_INT },
		     { "map", TAG_MAP }, { "float", TAG_FLOAT }, { "seq", TAG_SEQ } };
	size_t skip = sizeof(prefix) - 1;

	if (len == 1 && text[0] == '!')
		return TAG_STR; /* the non-specific tag: not to be resolved */
	if (len > skip && !memcmp(text, prefix, skip))
		for (size_t i = 0; i < ARRAY_LEN(core); i++)
			if (strlen(core[i].name) == len - skip && !memcmp(core[i].name, text + skip, len - skip))
				return core[i].tag;
	return TAG_OTHER;
}

/* The value has the type that its tag says. */
static int check_tag(const struct yaml *y, struct mark m, enum tag tag, json_t **value)
{
	bool fits = true;

	if (tag == TAG_NULL)
		fits = json_is_null(*value);
	else if (tag == TAG_BOOL)
		fits = json_is_boolean(*value);
	else if (tag == TAG_INT)
		fits = json_is_integer(*value);
	else if (tag == TAG_FLOAT)
		fits = json_is_number(*value);
	else if (tag == TAG_MAP || tag == TAG_SEQ)
		fits = false;
	if (!fits)
		return fail(y, m, "the value does not have the type of its tag");
	if (tag == TAG_FLOAT && json_is_integer(*value)) {
		double x = (double)json_integer_value(*value);

		json_decref(*value);
		*value = json_real(x);
	}
	return 0;
}

/* ---- building the tree ---- */

static struct mark mark_of(struct fy_event *e)
{
	const struct fy_mark *m = fy_event_start_mark(e);

	return m ? (struct mark){ m->line + 1, m->column + 1 } : (struct mark){ 0, 0 };
}

static bool wants_key(const struct builder *b)
{
	const struct frame *f;

	if (!b->depth)
		return false;
	f = &b->frames[b->depth - 1];
	return json_is_object(f->value) && !f->key;
}

static int count(struct builder *b, struct mark m, size_t nodes, size_t bytes)
{
	b->nodes += nodes;
	b->bytes += bytes;
	if (b->nodes > NODES_MAX)
		return fail(b->y, m, "more than %u values (aliases count as what they stand for)", NODES_MAX);
	if (b->bytes > EXPANDED_MAX)
		return fail(b->y, m, "more than %zu bytes of text (aliases count as what they stand for)",
			    EXPANDED_MAX);
	return 0;
}

/* Puts a value into the open container (or at the root); takes the reference, also on failure. */
static int place_value(struct builder *b, json_t *value, struct mark m, int height, bool shared)
{
	struct yaml *y = b->y;
	struct place place = { m, m, NULL };
	struct frame *f;
	char index[24];
	int rc = 0;

	if (!value)
		return fail(y, m, "this text is not valid UTF-8");
	/* a shared value keeps the place where it was defined */
	if (!shared && !json_is_boolean(value) && !json_is_null(value))
		put_place(y, value, NULL, place);
	if (!b->depth) {
		y->root = value;
		return 0;
	}
	f = &b->frames[b->depth - 1];
	if (height >= f->height)
		f->height = height + 1;
	if (json_is_array(f->value)) {
		snprintf(index, sizeof(index), "%zu", json_array_size(f->value));
		put_place(y, f->value, index, place);
		if (json_array_append_new(f->value, value))
			rc = err_set(ERR_UNAVAILABLE, "%s: out of memory", y->name);
		return rc;
	}
	place.key = f->key_mark;
	put_place(y, f->value, f->key, place);
	if (json_object_set_new_nocheck(f->value, f->key, value))
		rc = err_set(ERR_UNAVAILABLE, "%s: out of memory", y->name);
	free(f->key);
	f->key = NULL;
	return rc;
}

static int take_key(struct builder *b, const char *s, size_t len, struct mark m)
{
	struct frame *f = &b->frames[b->depth - 1];
	const struct place *first;

	if (memchr(s, '\0', len))
		return fail(b->y, m, "a key with a NUL byte");
	if (!utf8_valid(s, len, NULL))
		return fail(b->y, m, "this key is not valid UTF-8");
	f->key = mem_strn(s, len);
	f->key_mark = m;
	if (!json_object_get(f->value, f->key))
		return 0;
	first = get_place(b->y, f->value, f->key);
	if (b->y->python) {
		log_warn("%s:%d: the key \"%.100s\" stands here twice: the first, in line %d, has no effect",
			 b->y->name, m.line, f->key, first ? first->key.line : 0);
		return 0;
	}
	return fail(b->y, m, "key \"%.100s\" stands here twice (first in line %d)", f->key,
		    first ? first->key.line : 0);
}

/* Refuses tags that are not of the core schema, naming the key they stand at. */
static int read_tag(enum tag *out, const struct builder *b, struct fy_event *e, struct mark m)
{
	struct fy_token *t = fy_event_get_tag_token(e);
	const char *text, *suffix, *key = NULL;
	const struct fy_mark *at;
	size_t len = 0;
	int rc;

	*out = TAG_NONE;
	if (!t)
		return 0;
	text = fy_token_get_text(t, &len);
	*out = text ? tag_kind(text, len) : TAG_OTHER;
	if (*out == TAG_OTHER && b->y->python && len == 9 && memcmp(text, "!function", 9) == 0)
		*out = TAG_FUNCTION;
	if (*out != TAG_OTHER)
		return 0;
	at = fy_token_start_mark(t);
	if (at)
		m = (struct mark){ at->line + 1, at->column + 1 };
	suffix = text ? text : "";
	for (int i = b->depth; i-- > 0 && !key;)
		key = b->frames[i].key; /* in a list: the key that the list stands at */
	if (key)
		rc = fail(b->y, m, "tag %.*s at key \"%.100s\" is not supported", (int)(len < 100 ? len : 100), suffix,
			  key);
	else
		rc = fail(b->y, m, "tag %.*s is not supported", (int)(len < 100 ? len : 100), suffix);
	if (len >= 9 && !memcmp(suffix, "!function", 9))
		return err_hint(
			rc, "Python code is not run from a configuration: write a template (doc_to_text: \"{{…}}\") "
			    "instead");
	return err_hint(rc, "only !!str !!int !!float !!bool !!null !!map !!seq are known here");
}

/* Registers the anchor of an event; -1 if it has none. */
static int64_t open_anchor(struct builder *b, struct fy_event *e)
{
	struct fy_token *t = fy_event_get_anchor_token(e);
	const char *text;
	size_t len;

	if (!t)
		return -1;
	text = fy_token_get_text(t, &len);
	if (!text)
		return -1;
	MEM_GROW(b->anchors, b->n_anchors, b->cap_anchors);
	b->anchors[b->n_anchors] = (struct anchor){ NULL, 0, 0, 0, false };
	map_put(&b->anchor_index, text, len, (int64_t)b->n_anchors);
	return (int64_t)b->n_anchors++;
}

static void close_anchor(struct builder *b, int64_t i, json_t *value, size_t nodes, size_t bytes, int height)
{
	if (i >= 0)
		b->anchors[i] = (struct anchor){ value, nodes, bytes, height, true };
}

/* The text of a quoted scalar: of its bytes, since libfyaml has some of them wrong (yaml_quoted.c). */
static int read_quoted(struct buf *out, const struct builder *b, struct fy_token *t)
{
	const struct fy_mark *from = fy_token_start_mark(t), *to = fy_token_end_mark(t);
	const char *s, *why;
	size_t at;

	if (!from || !to || !from->input_pos || from->input_pos > to->input_pos || to->input_pos >= b->len ||
	    b->text[from->input_pos - 1] != b->text[to->input_pos])
		return err_set(ERR_BUG, "%s: the parser lost the place of a quoted text", b->y->name);
	s = b->text + from->input_pos;
	if (yaml_unquote(out, s, to->input_pos - from->input_pos, s[-1], b->y->python, &why, &at))
		return 0;
	return fail(b->y, mark_at(b->text, from->input_pos + at), "%s", why);
}

static int on_scalar_text(struct builder *b, struct fy_event *e, struct mark m, bool plain, const char *s, size_t len)
{
	json_t *value = NULL;
	int64_t anchor;
	enum tag tag;
	char *text;
	int rc = read_tag(&tag, b, e, m);

	if (rc)
		return rc;
	if (wants_key(b)) {
		if (fy_event_get_anchor_token(e))
			return fail(b->y, m, "an anchor at a key is not supported");
		return take_key(b, s, len, m);
	}
	if (memchr(s, '\0', len))
		return fail(b->y, m, "text with a NUL byte");
	rc = count(b, m, 1, len);
	if (rc)
		return rc;
	if (!m.line && b->depth)
		m = b->frames[b->depth - 1].key_mark; /* nothing stands behind the key */
	anchor = open_anchor(b, e);
	text = mem_strn(s, len);
	if (tag == TAG_FUNCTION)
		value = json_pack("{s:s}", YAML_FUNCTION, text);
	else if (tag == TAG_STR || (tag == TAG_NONE && !plain))
		value = json_stringn(text, len);
	else
		rc = make_plain(&value, b->y, m, text, len);
	free(text);
	if (!rc && value)
		rc = check_tag(b->y, m, tag, &value);
	if (rc) {
		json_decref(value);
		return rc;
	}
	close_anchor(b, anchor, value, 1, len, 0);
	return place_value(b, value, m, 0, false);
}

static int on_scalar(struct builder *b, struct fy_event *e)
{
	struct fy_token *t = fy_event_get_token(e);
	enum fy_scalar_style style = t ? fy_token_scalar_style(t) : FYSS_PLAIN;
	struct buf unquoted = BUF_INIT(BUF_NOLIMIT);
	struct mark m = mark_of(e);
	const char *s = NULL;
	size_t len = 0;
	int rc = 0;

	if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) {
		m.col -= m.col > 1; /* the token begins behind the quote */
		rc = read_quoted(&unquoted, b, t);
		s = buf_str(&unquoted);
		len = unquoted.len;
	} else if (t) {
		s = fy_token_get_text(t, &len);
	}
	rc = rc ? rc : on_scalar_text(b, e, m, style == FYSS_PLAIN, s ? s : "", s ? len : 0);
	buf_release(&unquoted);
	return rc;
}

static int on_alias(struct builder *b, struct fy_event *e)
{
	struct fy_token *t = fy_event_get_token(e);
	struct mark m = mark_of(e);
	const struct anchor *a;
	const char *s;
	size_t len = 0;
	int64_t i;
	int rc;

	s = t ? fy_token_get_text(t, &len) : NULL;
	m.col -= m.col > 1; /* the token begins behind the star */
	if (!s || !map_get(&b->anchor_index, s, len, &i))
		return fail(b->y, m, "alias *%.*s has no anchor above it", (int)(len < 100 ? len : 100), s ? s : "");
	a = &b->anchors[i];
	if (!a->done)
		return fail(b->y, m, "alias *%.*s stands within its own anchor", (int)(len < 100 ? len : 100), s);
	if (wants_key(b))
		return fail(b->y, m, "an alias as a key is not supported");
	if (b->depth + a->height > DEPTH_MAX)
		return fail(b->y, m, "more than %d levels", DEPTH_MAX);
	rc = count(b, m, a->nodes, a->bytes);
	return rc ? rc : place_value(b, json_incref(a->value), m, a->height, true);
}

static int on_open(struct builder *b, struct fy_event *e, bool object)
{
	struct mark m = mark_of(e);
	struct frame *f = &b->frames[b->depth];
	enum tag tag;
	int rc;

	if (wants_key(b))
		return fail(b->y, m, "a key must be a scalar, not %s", object ? "an object" : "a list");
	if (b->depth >= DEPTH_MAX)
		return fail(b->y, m, "more than %d levels", DEPTH_MAX);
	rc = read_tag(&tag, b, e, m);
	if (rc)
		return rc;
	if (tag != TAG_NONE && tag != (object ? TAG_MAP : TAG_SEQ))
		return fail(b->y, m, "the value does not have the type of its tag");
	*f = (struct frame){ .mark = m, .nodes = b->nodes, .bytes = b->bytes, .height = 1 };
	rc = count(b, m, 1, 0);
	if (rc)
		return rc;
	f->anchor = open_anchor(b, e);
	f->value = object ? json_object() : json_array();
	if (!f->value)
		return err_set(ERR_UNAVAILABLE, "%s: out of memory", b->y->name);
	b->depth++;
	return 0;
}

static int on_close(struct builder *b)
{
	struct frame *f = &b->frames[--b->depth];

	close_anchor(b, f->anchor, f->value, b->nodes - f->nodes, b->bytes - f->bytes, f->height);
	return place_value(b, f->value, f->mark, f->height, false);
}

static int on_event(struct builder *b, struct fy_event *e)
{
	switch (e->type) {
	case FYET_DOCUMENT_START:
		if (b->documents++)
			return fail(b->y, mark_of(e), "a second document begins here; one is wanted");
		return 0;
	case FYET_SCALAR:
		return on_scalar(b, e);
	case FYET_ALIAS:
		return on_alias(b, e);
	case FYET_MAPPING_START:
		return on_open(b, e, true);
	case FYET_SEQUENCE_START:
		return on_open(b, e, false);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		return on_close(b);
	default:
		return 0;
	}
}

static void builder_release(struct builder *b)
{
	for (int i = 0; i < DEPTH_MAX + 1; i++) {
		if (i < b->depth)
			json_decref(b->frames[i].value);
		if (i < b->depth)
			free(b->frames[i].key);
	}
	map_release(&b->anchor_index);
	free(b->anchors);
}

/* ---- parsing ---- */

/* The first thing that libfyaml had to say. */
static int parser_error(const struct yaml *y, struct fy_diag *diag)
{
	struct fy_diag_error *e;
	void *walk = NULL;

	e = fy_diag_errors_iterate(diag, &walk);
	if (!e || !e->msg)
		return err_set(ERR_INPUT, "%s: not YAML", y->name);
	return fail(y, (struct mark){ e->line, e->column }, "not YAML: %s", e->msg);
}

/* libfyaml 0.7.12 puts a key that it holds into its list of spare ones twice when it says this ("? a:<tab>|"), and frees it
 * twice at the end: such a parser is left as it is. */
static bool parser_is_broken(struct fy_diag *diag)
{
	const struct fy_diag_error *e;
	void *walk = NULL;

	while ((e = fy_diag_errors_iterate(diag, &walk)) != NULL)
		if (e->msg && strstr(e->msg, "cannot use tab for indentation of block entry"))
			return true;
	return false;
}

static int parse_events(struct builder *b, struct fy_parser *parser)
{
	struct fy_event *e;
	int rc = 0;

	while (!rc && (e = fy_parser_parse(parser)) != NULL) {
		bool last = e->type == FYET_STREAM_END;

		rc = on_event(b, e);
		fy_parser_event_free(parser, e);
		if (last)
			break;
	}
	return rc;
}

static int check_text(const struct yaml *y, const char *text, size_t len)
{
	size_t bad;

	if (len > TEXT_MAX)
		return err_set(ERR_INPUT, "%s is larger than %zu bytes, the most that is read here", y->name, TEXT_MAX);
	if (utf8_valid(text, len, &bad))
		return 0;
	return fail(y, mark_at(text, bad), "byte 0x%02x is not valid UTF-8", (unsigned char)text[bad]);
}

static int parse_text(struct yaml *y, const char *text, size_t len)
{
	struct fy_diag_cfg how = { .level = FYET_ERROR, .module_mask = ~0u };
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
					     FYPCF_SLOPPY_FLOW_INDENTATION | FYPCF_JSON_NONE };
	struct builder *b = mem_alloc(sizeof(*b));
	struct fy_parser *parser = NULL;
	int rc;

	b->y = y;
	b->text = text;
	b->len = len;
	map_init(&b->anchor_index);
	cfg.diag = fy_diag_create(&how);
	if (cfg.diag) {
		fy_diag_set_collect_errors(cfg.diag, true);
		parser = fy_parser_create(&cfg);
	}
	if (!parser || fy_parser_set_string(parser, text, len)) {
		rc = err_set(ERR_UNAVAILABLE, "%s: libfyaml could not be started", y->name);
		goto out;
	}
	rc = parse_events(b, parser);
	if (!rc && (fy_parser_get_stream_error(parser) || fy_diag_got_error(cfg.diag)))
		rc = parser_error(y, cfg.diag);
out:
	builder_release(b);
	free(b);
	if (parser && !parser_is_broken(cfg.diag))
		fy_parser_destroy(parser);
	if (cfg.diag)
		fy_diag_destroy(cfg.diag);
	return rc;
}

static int parse(struct yaml **out, const char *text, size_t len, const char *name, bool python)
{
	struct yaml *y = mem_alloc(sizeof(*y));
	int rc;

	*out = NULL;
	y->name = mem_str(name);
	y->python = python;
	map_init(&y->index);
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	rc = check_text(y, text, len);
	if (!rc && len)
		rc = parse_text(y, text, len);
	if (!rc && (!y->root || json_is_null(y->root))) {
		y->root = json_object();
		put_place(y, y->root, NULL, (struct place){ { 1, 1 }, { 1, 1 }, NULL });
	}
	if (rc)
		yaml_free(y);
	else
		*out = y;
	return rc;
}

int yaml_parse(struct yaml **out, const char *text, size_t len, const char *name)
{
	return parse(out, text, len, name, false);
}

int yaml_parse_python(struct yaml **out, const char *text, size_t len, const char *name)
{
	return parse(out, text, len, name, true);
}

void yaml_free(struct yaml *y)
{
	if (!y)
		return;
	json_decref(y->root);
	map_release(&y->index);
	free(y->places);
	free(y->others);
	free(y->name);
	free(y);
}

json_t *yaml_root(const struct yaml *y)
{
	return y->root;
}
