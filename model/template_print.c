/* template_print.c: values as text: str() and repr() of Python, and JSON.
 *
 * A list prints with its members' repr(), a float by its shortest form that reads back, a string in the quotes that
 * need the fewest escapes. A character that Unicode has not assigned is shown as it is (Python escapes those that its
 * own version of Unicode lacks). JSON comes in two kinds: a task's template has Jinja's own tojson (sorted keys, all but
 * ASCII escaped, and what HTML minds), a chat template transformers' (insertion order, UTF-8). */
#include "base/base.h"

#include "model/template_int.h"

/* The shortest digits that read back, in Python's form: an exponent below 1e-4 and from 1e16 on, else ".0" at least. */
static void print_float(struct buf *b, double f)
{
	char text[40], digits[20];
	int n = 0, exponent, places = 0;

	if (f != f || f - f != 0) {
		buf_adds(b, f != f ? "nan" : f > 0 ? "inf" : "-inf");
		return;
	}
	do
		snprintf(text, sizeof(text), "%.*e", places, f);
	while (strtod(text, NULL) != f && ++places < 17);
	if (text[0] == '-')
		buf_addc(b, '-');
	for (const char *p = text; *p && *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (exponent < -4 || exponent >= 16) {
		buf_addc(b, digits[0]);
		if (n > 1)
			buf_addc(b, '.');
		buf_add(b, digits + 1, (size_t)n - 1);
		buf_addf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	if (exponent < 0)
		buf_adds(b, "0.");
	for (int i = exponent + 1; i < 0; i++)
		buf_addc(b, '0');
	for (int i = 0; i < n || i <= exponent; i++) {
		if (i == exponent + 1 && exponent >= 0)
			buf_addc(b, '.');
		buf_addc(b, i < n ? digits[i] : '0');
	}
	if (exponent >= n - 1)
		buf_adds(b, ".0");
}

/* What repr() shows as an escape: control and format characters, separators other than the space, private use. */
static bool printable(uint32_t c)
{
	static const uint32_t hidden[][2] = {
		{ 0, 0x1f },          { 0x7f, 0xa0 },        { 0xad, 0xad },       { 0x600, 0x605 },
		{ 0x61c, 0x61c },     { 0x6dd, 0x6dd },      { 0x70f, 0x70f },     { 0x890, 0x891 },
		{ 0x8e2, 0x8e2 },     { 0x1680, 0x1680 },    { 0x180e, 0x180e },   { 0x2000, 0x200f },
		{ 0x2028, 0x202f },   { 0x205f, 0x206f },    { 0x3000, 0x3000 },   { 0xd800, 0xf8ff },
		{ 0xfeff, 0xfeff },   { 0xfff0, 0xfffb },    { 0xfffe, 0xffff },   { 0x110bd, 0x110bd },
		{ 0x110cd, 0x110cd }, { 0x13430, 0x1343f },  { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
		{ 0xe0000, 0xe00ff }, { 0xe01f0, 0x10ffff },
	};

	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (c >= hidden[i][0] && c <= hidden[i][1])
			return false;
	return true;
}

static void repr_string(struct buf *b, const struct value *v)
{
	char quote = v->len && memchr(v->u.s, '\'', v->len) && !memchr(v->u.s, '"', v->len) ? '"' : '\'';
	size_t used;

	buf_addc(b, quote);
	for (size_t i = 0; i < v->len; i += used) {
		uint32_t c = utf8_next(v->u.s + i, v->len - i, &used);
		if (c == (uint32_t)quote || c == '\\')
			buf_addf(b, "\\%c", (char)c);
		else if (c == '\n' || c == '\r' || c == '\t')
			buf_addf(b, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else if ((c >= ' ' && c < 0x7f) || printable(c))
			buf_add(b, v->u.s + i, used);
		else if (c < 0x100)
			buf_addf(b, "\\x%02x", c);
		else if (c < 0x10000)
			buf_addf(b, "\\u%04x", c);
		else
			buf_addf(b, "\\U%08x", c);
	}
	buf_addc(b, quote);
}

static int repr_list(struct render *r, const struct node *at, struct buf *b, const struct value *v, int depth)
{
	static const char *const around[][2] = { { "[", "]" },
						 { "(", ")" },
						 { "", "" },
						 { "", "" },
						 { "dict_items([", "])" },
						 { "dict_keys([", "])" },
						 { "dict_values([", "])" } };
	enum list_kind kind = v->kind == V_LIST ? v->u.list->kind : LIST_LIST;
	size_t n = value_list_size(v);
	int rc = 0;

	if (kind == LIST_GENERATOR)
		return err_hint(render_error(r, at, "what a filter gives one by one cannot be printed"),
				"put |list behind it");
	if (kind == LIST_RANGE) {
		buf_addf(b, v->u.list->step == 1 ? "range(%lld, %lld" : "range(%lld, %lld, %lld",
			 (long long)v->u.list->start, (long long)v->u.list->stop, (long long)v->u.list->step);
		buf_addc(b, ')');
		return 0;
	}
	buf_adds(b, around[kind][0]);
	for (size_t i = 0; i < n && !rc; i++) {
		struct value item = value_list_at(v, i);
		if (i)
			buf_adds(b, ", ");
		rc = value_repr(r, at, b, &item, depth + 1);
	}
	if (n == 1 && kind == LIST_TUPLE)
		buf_addc(b, ',');
	buf_adds(b, around[kind][1]);
	return rc;
}

static int repr_dict(struct render *r, const struct node *at, struct buf *b, const struct value *v, int depth)
{
	struct list *keys;
	struct value copy = *v;
	int rc;

	if (v->kind == V_DICT && v->u.dict->namespace)
		return render_error(r, at, "a namespace cannot be printed");
	rc = value_items(r, at, &copy, &keys);
	buf_addc(b, '{');
	for (size_t i = 0; !rc && i < keys->n; i++) {
		struct value item = value_none();
		if (i)
			buf_adds(b, ", ");
		rc = value_repr(r, at, b, &keys->items[i], depth + 1);
		buf_adds(b, ": ");
		if (v->kind == V_DICT)
			item = v->u.dict->values[i];
		else
			value_dict_get(v, &keys->items[i], &item);
		if (!rc)
			rc = value_repr(r, at, b, &item, depth + 1);
	}
	buf_addc(b, '}');
	return rc;
}

int value_repr(struct render *r, const struct node *at, struct buf *b, const struct value *v, int depth)
{
	int rc = render_work(r, at, 1);

	if (rc)
		return rc;
	if (depth > TEMPLATE_MAX_NEST)
		return render_error(r, at, "a value nested more than %d deep is printed", TEMPLATE_MAX_NEST);
	switch (v->kind) {
	case V_NONE:
		buf_adds(b, "None");
		return 0;
	case V_BOOL:
		buf_adds(b, v->u.b ? "True" : "False");
		return 0;
	case V_INT:
		buf_addf(b, "%lld", (long long)v->u.i);
		return 0;
	case V_FLOAT:
		print_float(b, v->u.f);
		return 0;
	case V_STR:
		repr_string(b, v);
		return 0;
	case V_LIST:
	case V_JSON_LIST:
		return repr_list(r, at, b, v, depth);
	case V_DICT:
	case V_JSON_DICT:
		return repr_dict(r, at, b, v, depth);
	case V_UNDEFINED:
		return value_use(r, at, v);
	default:
		return render_error(r, at, "a %s cannot be printed", value_type(v));
	}
}

int value_print(struct render *r, const struct node *at, struct buf *b, const struct value *v)
{
	if (v->kind == V_STR) {
		buf_add(b, v->u.s, v->len);
		return 0;
	}
	if (v->kind == V_UNDEFINED && value_lenient(r, v))
		return 0;
	return value_repr(r, at, b, v, 0);
}

int value_to_str(struct render *r, const struct node *at, const struct value *v, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int rc;

	if (v->kind == V_STR) {
		*out = *v;
		return 0;
	}
	rc = value_print(r, at, &b, v);
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

/* A chat template keeps UTF-8; Jinja's own tojson escapes all but ASCII, and what HTML minds. */
static void dump_string(struct buf *b, const struct value *v, bool chat)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	size_t used;

	buf_addc(b, '"');
	for (size_t i = 0; i < v->len; i += used) {
		uint32_t c = utf8_next(v->u.s + i, v->len - i, &used);
		const char *simple = c && c < 0x80 ? strchr(from, (int)c) : NULL;
		if (simple)
			buf_addf(b, "\\%c", to[simple - from]);
		else if (c < ' ' || (!chat && (c > 0x7e ? c < 0x10000 : strchr("<>&'", (int)c) != NULL)))
			buf_addf(b, "\\u%04x", c);
		else if (!chat && c >= 0x10000)
			buf_addf(b, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
		else
			buf_add(b, v->u.s + i, used);
	}
	buf_addc(b, '"');
}

static void dump_break(struct buf *b, int indent, int level)
{
	buf_addc(b, '\n');
	for (int i = 0; i < indent * level && !buf_full(b); i++)
		buf_addc(b, ' ');
}

static int compare_keys(const void *a, const void *b)
{
	const struct value *x = a, *y = b;
	uint32_t n = x->len < y->len ? x->len : y->len;
	int c = n ? memcmp(x->u.s, y->u.s, n) : 0;

	return c ? c : x->len < y->len ? -1 : x->len > y->len;
}

static int dump_dict(struct render *r, const struct node *at, struct buf *b, const struct value *v, int indent,
		     int level)
{
	struct list *keys;
	struct value sorted;
	int rc = value_items(r, at, v, &keys);

	if (!rc)
		rc = value_list(r, at, keys->n, LIST_LIST, &sorted);
	for (size_t i = 0; !rc && i < keys->n; i++) {
		if (keys->items[i].kind != V_STR)
			return render_error(r, at, "tojson: a key that is a %s is not supported",
					    value_type(&keys->items[i]));
		rc = value_append(r, at, sorted.u.list, keys->items[i]);
	}
	if (rc)
		return rc;
	if (!r->t->chat)
		qsort(sorted.u.list->items, sorted.u.list->n, sizeof(struct value), compare_keys);
	buf_addc(b, '{');
	for (size_t i = 0; !rc && i < sorted.u.list->n; i++) {
		struct value item = value_none();
		if (i)
			buf_adds(b, indent < 0 ? ", " : ",");
		if (indent >= 0)
			dump_break(b, indent, level + 1);
		dump_string(b, &sorted.u.list->items[i], r->t->chat);
		buf_adds(b, ": ");
		value_dict_get(v, &sorted.u.list->items[i], &item);
		rc = value_dump(r, at, b, &item, indent, level + 1);
	}
	if (indent >= 0 && sorted.u.list->n)
		dump_break(b, indent, level);
	buf_addc(b, '}');
	return rc;
}

int value_dump(struct render *r, const struct node *at, struct buf *b, const struct value *v, int indent, int level)
{
	int rc = render_work(r, at, 1);

	if (rc)
		return rc;
	if (level > TEMPLATE_MAX_NEST)
		return render_error(r, at, "a value nested more than %d deep is printed", TEMPLATE_MAX_NEST);
	if (v->kind == V_STR) {
		dump_string(b, v, r->t->chat);
	} else if (v->kind == V_NONE) {
		buf_adds(b, "null");
	} else if (v->kind == V_BOOL) {
		buf_adds(b, v->u.b ? "true" : "false");
	} else if (v->kind == V_INT || v->kind == V_FLOAT) {
		if (v->kind == V_FLOAT && v->u.f - v->u.f != 0)
			buf_adds(b, v->u.f != v->u.f ? "NaN" : v->u.f > 0 ? "Infinity" : "-Infinity");
		else
			return value_repr(r, at, b, v, 0);
	} else if (value_is(v, LIST_LIST) || value_is(v, LIST_TUPLE)) {
		buf_addc(b, '[');
		for (size_t i = 0; i < value_list_size(v) && !rc; i++) {
			struct value item = value_list_at(v, i);
			if (i)
				buf_adds(b, indent < 0 ? ", " : ",");
			if (indent >= 0)
				dump_break(b, indent, level + 1);
			rc = value_dump(r, at, b, &item, indent, level + 1);
		}
		if (indent >= 0 && value_list_size(v))
			dump_break(b, indent, level);
		buf_addc(b, ']');
	} else if (value_is_dict(v) && !(v->kind == V_DICT && v->u.dict->namespace)) {
		rc = dump_dict(r, at, b, v, indent, level);
	} else if (!(rc = value_use(r, at, v))) {
		rc = render_error(r, at, "tojson: a %s cannot be written as JSON", value_type(v));
	}
	return rc;
}

static int members_to_json(struct render *r, const struct node *at, const struct value *v, int depth, json_t *out)
{
	struct list *items;
	int rc = value_items(r, at, v, &items);

	for (size_t i = 0; !rc && i < items->n; i++) {
		struct value item = items->items[i], key = item;
		json_t *member = NULL;

		if (value_is_dict(v)) {
			if (key.kind != V_STR)
				return render_error(r, at, "a dict whose keys are not texts cannot leave the template");
			value_dict_get(v, &key, &item);
		}
		rc = value_to_json(r, at, &item, depth + 1, &member);
		if (!rc && json_is_array(out)) {
			json_array_append_new(out, member);
		} else if (!rc) {
			char *name = mem_strn(key.u.s, key.len);

			json_object_set_new(out, name, member);
			free(name);
		}
	}
	return rc;
}

int value_to_json(struct render *r, const struct node *at, const struct value *v, int depth, json_t **out)
{
	int rc = render_work(r, at, 1);

	*out = NULL;
	if (rc)
		return rc;
	if (depth > TEMPLATE_MAX_NEST)
		return render_error(r, at, "a value nested more than %d deep", TEMPLATE_MAX_NEST);
	if (v->kind == V_STR)
		*out = json_new_text(v->u.s, v->len);
	else if (v->kind == V_NONE)
		*out = json_null();
	else if (v->kind == V_BOOL)
		*out = json_boolean(v->u.b);
	else if (v->kind == V_INT)
		*out = json_integer(v->u.i);
	else if (v->kind == V_FLOAT)
		*out = json_real(v->u.f);
	else if (value_is_list(v) || value_is_dict(v))
		*out = value_is_list(v) ? json_array() : json_object();
	else if ((rc = value_use(r, at, v)) != 0)
		return rc;
	if (!*out)
		return render_error(r, at, "a %s cannot leave the template", value_type(v));
	if (json_is_array(*out) || json_is_object(*out))
		rc = members_to_json(r, at, v, depth, *out);
	if (rc) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}
