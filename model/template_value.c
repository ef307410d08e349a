/* template_value.c: values as Python has them, since templates are written against Python.
 *
 * True is 1, 1 == 1.0, {{ [1, "a"] }} prints [1, 'a'], a float prints by its shortest form that reads back. Lists and
 * objects of the context are not copied: a V_JSON_LIST or V_JSON_DICT points into it.
 *
 * Memory of a rendering comes from its arena, whose ceiling is the bound on what a template can build. How values
 * print is in template_print.c, what is in them in template_item.c, reckoning in template_arithmetic.c. */
#include "base/base.h"

#include <stdarg.h>

#include "model/template_int.h"

/* ---- arena -------------------------------------------------------------------------------------------------------- */

enum { ARENA_FIRST = 960, ARENA_MOST = 16384 }; /* bytes of a block */
struct arena_block {
	struct arena_block *next;
	max_align_t data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	size_t want = (size + 15) & ~(size_t)15;
	void *p;

	if (size > a->max || want > a->max - a->total)
		return NULL;
	a->total += want;
	if (want > a->cap - a->used || !a->blocks) {
		/* most renderings need some hundred bytes: blocks begin small and grow */
		size_t grown = a->cap ? 4 * a->cap : ARENA_FIRST, least = grown < ARENA_MOST ? grown : ARENA_MOST;
		size_t cap = want > least ? want : least;
		struct arena_block *block = mem_alloc(sizeof(*block) + cap);
		block->next = a->blocks;
		a->blocks = block;
		a->cap = cap;
		a->used = 0;
	}
	p = (char *)a->blocks->data + a->used;
	a->used += want;
	return p;
}

void arena_release(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
	a->used = a->cap = a->total = 0;
}

int render_alloc(struct render *r, const struct node *at, void **out, size_t count, size_t size)
{
	*out = arena_alloc(&r->mem, mem_mul(count, size));
	if (!*out)
		return render_error(r, at, "the template uses more than %zu MiB", TEMPLATE_MAX_MEMORY >> 20);
	return 0;
}

/* ---- making ------------------------------------------------------------------------------------------------------- */

struct value value_none(void)
{
	return (struct value){ .kind = V_NONE };
}

struct value value_bool(bool b)
{
	return (struct value){ .kind = V_BOOL, .u.b = b };
}

struct value value_int(int64_t i)
{
	return (struct value){ .kind = V_INT, .u.i = i };
}

struct value value_float(double f)
{
	return (struct value){ .kind = V_FLOAT, .u.f = f };
}

struct value value_text(const char *s)
{
	return (struct value){ .kind = V_STR, .len = (uint32_t)strlen(s), .u.s = s };
}

struct value value_json(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return (struct value){ .kind = V_JSON_DICT, .u.json = json };
	case JSON_ARRAY:
		return (struct value){ .kind = V_JSON_LIST, .u.json = json };
	case JSON_STRING:
		return (struct value){ .kind = V_STR,
				       .len = (uint32_t)json_string_length(json),
				       .u.s = json_string_value(json) };
	case JSON_INTEGER:
		return value_int(json_integer_value(json));
	case JSON_REAL:
		return value_float(json_real_value(json));
	case JSON_TRUE:
		return value_bool(true);
	case JSON_FALSE:
		return value_bool(false);
	default:
		return value_none();
	}
}

int value_str(struct render *r, const struct node *at, const char *s, size_t len, struct value *out)
{
	void *copy;
	int rc = render_alloc(r, at, &copy, len + 1, 1);

	if (rc)
		return rc;
	if (len)
		memcpy(copy, s, len);
	*out = (struct value){ .kind = V_STR, .len = (uint32_t)len, .u.s = copy };
	return 0;
}

int value_from_buf(struct render *r, const struct node *at, struct buf *b, struct value *out)
{
	int rc = buf_full(b) ? render_error(r, at, "a text of more than %zu MiB", b->max >> 20)
			     : value_str(r, at, buf_str(b), b->len, out);

	buf_release(b);
	return rc;
}

int value_list(struct render *r, const struct node *at, size_t cap, enum list_kind kind, struct value *out)
{
	void *list, *items;
	int rc = render_alloc(r, at, &list, 1, sizeof(struct list));

	if (!rc)
		rc = render_alloc(r, at, &items, cap ? cap : 1, sizeof(struct value));
	if (rc)
		return rc;
	*out = (struct value){ .kind = V_LIST, .u.list = list };
	out->u.list->items = items;
	out->u.list->cap = cap ? cap : 1;
	out->u.list->kind = kind;
	return 0;
}

int value_append(struct render *r, const struct node *at, struct list *l, struct value item)
{
	if (l->n == l->cap) {
		void *items;
		int rc = render_alloc(r, at, &items, 2 * l->cap, sizeof(*l->items));
		if (rc)
			return rc;
		memcpy(items, l->items, l->n * sizeof(*l->items));
		l->items = items;
		l->cap *= 2;
	}
	l->items[l->n++] = item;
	return render_work(r, at, 1);
}

int value_dict(struct render *r, const struct node *at, struct value *out)
{
	void *dict;
	int rc = render_alloc(r, at, &dict, 1, sizeof(struct dict));

	if (!rc)
		*out = (struct value){ .kind = V_DICT, .u.dict = dict };
	return rc;
}

int value_dict_set(struct render *r, const struct node *at, struct dict *d, struct value key, struct value item)
{
	bool same = false;
	int rc = render_work(r, at, 1 + d->n / 16);

	if (!rc && (value_is_list(&key) || value_is_dict(&key)) && !value_is(&key, LIST_TUPLE))
		return render_error(r, at, "a %s cannot be the key of a dict", value_type(&key));
	for (size_t i = 0; i < d->n && !rc; i++) {
		rc = value_equal(r, at, &d->keys[i], &key, &same);
		if (!rc && same) {
			d->values[i] = item;
			return 0;
		}
	}
	if (!rc && d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 8;
		void *keys, *values;
		rc = render_alloc(r, at, &keys, cap, sizeof(*d->keys));
		if (!rc)
			rc = render_alloc(r, at, &values, cap, sizeof(*d->values));
		if (rc)
			return rc;
		if (d->n) {
			memcpy(keys, d->keys, d->n * sizeof(*d->keys));
			memcpy(values, d->values, d->n * sizeof(*d->values));
		}
		d->keys = keys;
		d->values = values;
		d->cap = cap;
	}
	if (rc)
		return rc;
	d->keys[d->n] = key;
	d->values[d->n++] = item;
	return 0;
}

int value_undefined(struct render *r, const struct node *at, struct value *out, const char *fmt, ...)
{
	char text[256];
	struct value copy;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rc = value_str(r, at, text, strlen(text), &copy);
	if (!rc)
		*out = (struct value){ .kind = V_UNDEFINED, .u.why = copy.u.s };
	return rc;
}

bool value_lenient(const struct render *r, const struct value *v)
{
	return r->t->chat || v->len == UNDEFINED_LENIENT;
}

int value_use(struct render *r, const struct node *at, const struct value *v)
{
	return v->kind == V_UNDEFINED ? render_error(r, at, "%s", v->u.why) : 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

const char *value_type(const struct value *v)
{
	static const char *const lists[] = { "list",       "tuple",     "range",      "generator",
					     "dict_items", "dict_keys", "dict_values" };

	switch (v->kind) {
	case V_NONE:
		return "NoneType";
	case V_BOOL:
		return "bool";
	case V_INT:
		return "int";
	case V_FLOAT:
		return "float";
	case V_STR:
		return "str";
	case V_LIST:
		return lists[v->u.list->kind];
	case V_JSON_LIST:
		return "list";
	case V_DICT:
		return v->u.dict->namespace ? "Namespace" : "dict";
	case V_JSON_DICT:
		return "dict";
	case V_LOOP:
		return "LoopContext";
	case V_MACRO:
		return "Macro";
	case V_FUNC:
	case V_METHOD:
		return "function";
	default:
		return "Undefined";
	}
}

bool value_is_list(const struct value *v)
{
	return v->kind == V_LIST || v->kind == V_JSON_LIST;
}

bool value_is(const struct value *v, enum list_kind kind)
{
	return v->kind == V_LIST ? v->u.list->kind == kind : v->kind == V_JSON_LIST && kind == LIST_LIST;
}

bool value_is_dict(const struct value *v)
{
	return v->kind == V_DICT || v->kind == V_JSON_DICT;
}

bool value_is_number(const struct value *v)
{
	return v->kind == V_BOOL || v->kind == V_INT || v->kind == V_FLOAT;
}

double value_number(const struct value *v)
{
	return v->kind == V_FLOAT ? v->u.f : v->kind == V_BOOL ? v->u.b : (double)v->u.i;
}

int64_t value_integer(const struct value *v)
{
	return v->kind == V_BOOL ? v->u.b : v->u.i;
}

bool value_same_text(const struct value *v, const char *s)
{
	return v->kind == V_STR && strlen(s) == v->len && !memcmp(v->u.s, s, v->len);
}

size_t value_list_size(const struct value *v)
{
	return v->kind == V_LIST ? v->u.list->n : json_array_size(v->u.json);
}

struct value value_list_at(const struct value *v, size_t i)
{
	return v->kind == V_LIST ? v->u.list->items[i] : value_json(json_array_get(v->u.json, i));
}

size_t value_dict_size(const struct value *v)
{
	return v->kind == V_DICT ? v->u.dict->n : json_object_size(v->u.json);
}

int value_truth(struct render *r, const struct node *at, const struct value *v, bool *out)
{
	switch (v->kind) {
	case V_UNDEFINED:
		*out = false;
		return value_lenient(r, v) ? 0 : value_use(r, at, v);
	case V_NONE:
		*out = false;
		return 0;
	case V_BOOL:
		*out = v->u.b;
		return 0;
	case V_INT:
		*out = v->u.i != 0;
		return 0;
	case V_FLOAT:
		*out = v->u.f != 0;
		return 0;
	case V_STR:
		*out = v->len > 0;
		return 0;
	case V_LIST:
	case V_JSON_LIST:
		*out = value_list_size(v) > 0 || value_is(v, LIST_GENERATOR);
		return 0;
	case V_DICT:
	case V_JSON_DICT:
		*out = value_dict_size(v) > 0 || (v->kind == V_DICT && v->u.dict->namespace);
		return 0;
	default:
		*out = true;
		return 0;
	}
}

static int equal_depth(struct render *r, const struct node *at, const struct value *a, const struct value *b, bool *out,
		       int depth);

static int equal_lists(struct render *r, const struct node *at, const struct value *a, const struct value *b, bool *out,
		       int depth)
{
	size_t n = value_list_size(a);
	bool tuples = value_is(a, LIST_TUPLE);
	int rc = 0;

	*out = tuples == value_is(b, LIST_TUPLE) && n == value_list_size(b);
	for (size_t i = 0; i < n && *out && !rc; i++) {
		struct value x = value_list_at(a, i), y = value_list_at(b, i);
		rc = equal_depth(r, at, &x, &y, out, depth + 1);
	}
	return rc;
}

static int equal_dicts(struct render *r, const struct node *at, const struct value *a, const struct value *b, bool *out,
		       int depth)
{
	struct list *keys;
	int rc;

	*out = value_dict_size(a) == value_dict_size(b);
	if (!*out)
		return 0;
	rc = value_items(r, at, a, &keys);
	for (size_t i = 0; !rc && i < keys->n && *out; i++) {
		struct value x, y;
		*out = value_dict_get(a, &keys->items[i], &x) && value_dict_get(b, &keys->items[i], &y);
		if (*out)
			rc = equal_depth(r, at, &x, &y, out, depth + 1);
	}
	return rc;
}

static int equal_depth(struct render *r, const struct node *at, const struct value *a, const struct value *b, bool *out,
		       int depth)
{
	int rc = render_work(r, at, 1);

	*out = false;
	if (rc)
		return rc;
	if (depth > TEMPLATE_MAX_NEST)
		return render_error(r, at, "values nested more than %d deep are compared", TEMPLATE_MAX_NEST);
	if (a->kind == V_UNDEFINED || b->kind == V_UNDEFINED) {
		const struct value *strict = a->kind == V_UNDEFINED && !value_lenient(r, a) ? a : b;
		*out = a->kind == b->kind;
		return strict->kind == V_UNDEFINED && !value_lenient(r, strict) ? value_use(r, at, strict) : 0;
	}
	if (value_is_number(a) && value_is_number(b)) {
		if (a->kind != V_FLOAT && b->kind != V_FLOAT)
			*out = value_integer(a) == value_integer(b);
		else
			*out = value_number(a) == value_number(b);
		return 0;
	}
	if (value_is_list(a) && value_is_list(b))
		return equal_lists(r, at, a, b, out, depth);
	if (value_is_dict(a) && value_is_dict(b))
		return equal_dicts(r, at, a, b, out, depth);
	if (a->kind != b->kind)
		return 0;
	if (a->kind == V_NONE)
		*out = true;
	else if (a->kind == V_STR)
		*out = a->len == b->len && (!a->len || !memcmp(a->u.s, b->u.s, a->len));
	else
		*out = a->u.func == b->u.func;
	return 0;
}

int value_equal(struct render *r, const struct node *at, const struct value *a, const struct value *b, bool *out)
{
	return equal_depth(r, at, a, b, out, 0);
}

/* -1, 0, 1 as a < b, a == b, a > b. Bytes of UTF-8 sort as code points do. */
int value_order(struct render *r, const struct node *at, const struct value *a, const struct value *b, int *out)
{
	int rc = value_use(r, at, a);

	if (!rc)
		rc = value_use(r, at, b);
	if (!rc)
		rc = render_work(r, at, 1);
	if (rc)
		return rc;
	if (value_is_number(a) && value_is_number(b)) {
		double x = value_number(a), y = value_number(b);
		*out = x < y ? -1 : x > y ? 1 : 0;
		if (a->kind != V_FLOAT && b->kind != V_FLOAT)
			*out = value_integer(a) < value_integer(b) ? -1 : value_integer(a) > value_integer(b);
		if (x != x || y != y)
			*out = 2; /* not a number: every comparison is false */
		return 0;
	}
	if (a->kind == V_STR && b->kind == V_STR) {
		uint32_t n = a->len < b->len ? a->len : b->len;
		int c = n ? memcmp(a->u.s, b->u.s, n) : 0;
		*out = c ? (c < 0 ? -1 : 1) : a->len < b->len ? -1 : a->len > b->len;
		return 0;
	}
	if (value_is_list(a) && value_is_list(b) && value_is(a, LIST_TUPLE) == value_is(b, LIST_TUPLE)) {
		size_t n = value_list_size(a), m = value_list_size(b);
		for (size_t i = 0; i < n && i < m; i++) {
			struct value x = value_list_at(a, i), y = value_list_at(b, i);
			bool same;
			rc = value_equal(r, at, &x, &y, &same);
			if (rc)
				return rc;
			if (!same) {
				if (value_is_list(&x)) /* deeper nesting has no use and no bound */
					break;
				return value_order(r, at, &x, &y, out);
			}
		}
		*out = n < m ? -1 : n > m;
		return 0;
	}
	return render_error(r, at, "a %s and a %s have no order", value_type(a), value_type(b));
}

int value_length(struct render *r, const struct node *at, const struct value *v, size_t *out)
{
	int rc = 0;

	if (v->kind == V_UNDEFINED && value_lenient(r, v))
		*out = 0;
	else if (v->kind == V_STR)
		*out = utf8_count(v->u.s, v->len);
	else if (value_is_list(v) && !value_is(v, LIST_GENERATOR))
		*out = value_list_size(v);
	else if (value_is_dict(v))
		*out = value_dict_size(v);
	else if (v->kind == V_LOOP)
		*out = v->u.loop->items->n;
	else if (!(rc = value_use(r, at, v)))
		rc = render_error(r, at, "a %s has no length", value_type(v));
	return rc;
}

static int string_items(struct render *r, const struct node *at, const struct value *v, struct list *l)
{
	size_t used;
	int rc = 0;

	for (size_t i = 0; i < v->len && !rc; i += used) {
		utf8_next(v->u.s + i, v->len - i, &used);
		rc = value_append(r, at, l, (struct value){ .kind = V_STR, .len = (uint32_t)used, .u.s = v->u.s + i });
	}
	return rc;
}

int value_items(struct render *r, const struct node *at, const struct value *v, struct list **out)
{
	struct value list;
	int rc;

	if (v->kind == V_LIST) {
		*out = v->u.list;
		return 0;
	}
	if (v->kind == V_UNDEFINED && !value_lenient(r, v))
		return value_use(r, at, v);
	rc = value_list(r, at, v->kind == V_JSON_LIST ? value_list_size(v) : 8, LIST_LIST, &list);
	if (rc)
		return rc;
	*out = list.u.list;
	if (v->kind == V_UNDEFINED)
		return 0;
	if (v->kind == V_STR)
		return string_items(r, at, v, *out);
	if (v->kind == V_JSON_LIST) {
		for (size_t i = 0; i < value_list_size(v) && !rc; i++)
			rc = value_append(r, at, *out, value_list_at(v, i));
		return rc;
	}
	if (v->kind == V_JSON_DICT) {
		const char *key;
		json_t *member;
		json_object_foreach((json_t *)v->u.json, key, member)
		{
			rc = value_append(r, at, *out, value_text(key));
			if (rc)
				break;
		}
		return rc;
	}
	if (v->kind == V_DICT && !v->u.dict->namespace) {
		for (size_t i = 0; i < v->u.dict->n && !rc; i++)
			rc = value_append(r, at, *out, v->u.dict->keys[i]);
		return rc;
	}
	return render_error(r, at, "a %s cannot be walked through", value_type(v));
}

/* A member by a key that is not terminated. */
static const json_t *object_get(const json_t *object, const struct value *key)
{
	char near[128], *text = key->len < sizeof(near) ? near : mem_alloc((size_t)key->len + 1);
	const json_t *member;

	memcpy(text, key->u.s, key->len);
	text[key->len] = '\0';
	member = strlen(text) == key->len ? json_object_get(object, text) : NULL;
	if (text != near)
		free(text);
	return member;
}

bool value_dict_get(const struct value *v, const struct value *key, struct value *out)
{
	if (v->kind == V_JSON_DICT) {
		const json_t *member = key->kind == V_STR ? object_get(v->u.json, key) : NULL;
		if (!member)
			return false;
		*out = value_json(member);
		return true;
	}
	for (size_t i = 0; i < v->u.dict->n; i++) {
		const struct value *k = &v->u.dict->keys[i];
		bool same = k->kind == V_STR && key->kind == V_STR && k->len == key->len &&
			    (!k->len || !memcmp(k->u.s, key->u.s, k->len));
		if (value_is_number(k) && value_is_number(key))
			same = value_number(k) == value_number(key);
		if (same || (k->kind == V_NONE && key->kind == V_NONE)) {
			*out = v->u.dict->values[i];
			return true;
		}
	}
	return false;
}

int value_contains(struct render *r, const struct node *at, const struct value *in, const struct value *v, bool *out)
{
	struct list *l;
	int rc;

	*out = false;
	if (in->kind == V_UNDEFINED)
		return value_lenient(r, in) ? 0 : value_use(r, at, in);
	if (in->kind == V_STR) {
		rc = value_use(r, at, v);
		if (rc)
			return rc;
		if (v->kind != V_STR)
			return render_error(r, at, "\"in\" a text wants a text, not a %s", value_type(v));
		*out = !v->len || memmem(in->u.s, in->len, v->u.s, v->len) != NULL;
		return 0;
	}
	if (value_is_dict(in)) {
		struct value ignored;
		rc = value_use(r, at, v);
		if (!rc && (value_is_dict(v) || (value_is_list(v) && !value_is(v, LIST_TUPLE))))
			return render_error(r, at, "a %s cannot be the key of a dict", value_type(v));
		if (!rc)
			*out = value_dict_get(in, v, &ignored);
		return rc;
	}
	rc = value_items(r, at, in, &l);
	for (size_t i = 0; !rc && i < l->n && !*out; i++)
		rc = value_equal(r, at, &l->items[i], v, out);
	return rc;
}
