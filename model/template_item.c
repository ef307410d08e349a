/* template_item.c: what is in a value: v[i], v.name, v[a:b:c].
 *
 * As Python and Jinja have it: a string is indexed by code points, a negative index counts from the end, a slice clamps; an
 * element that is not there is undefined, which is an error only where it is used. */
#include "base/base.h"

#include "model/template_int.h"

static int repr_text(struct render *r, const struct node *at, const struct value *v, char out[128])
{
	struct buf b = BUF_INIT(1 << 16);
	int rc = value_repr(r, at, &b, v, 0);

	snprintf(out, 128, "%s", buf_str(&b));
	buf_release(&b);
	return rc;
}

/* Byte offset of the i-th code point; len if there are fewer. */
static size_t text_offset(const struct value *v, size_t i)
{
	size_t at = 0, used;

	while (i-- && at < v->len) {
		utf8_next(v->u.s + at, v->len - at, &used);
		at += used;
	}
	return at;
}

static int index_item(struct render *r, const struct node *at, const struct value *v, int64_t i, struct value *out)
{
	size_t n, from, used;
	int rc = value_length(r, at, v, &n);

	if (rc)
		return rc;
	if (i < 0)
		i += (int64_t)n;
	if (i < 0 || (size_t)i >= n)
		return value_undefined(r, at, out, "a %s of %zu has no element %lld", value_type(v), n, (long long)i);
	if (v->kind != V_STR) {
		*out = value_list_at(v, (size_t)i);
		return 0;
	}
	from = text_offset(v, (size_t)i);
	utf8_next(v->u.s + from, v->len - from, &used);
	*out = (struct value){ .kind = V_STR, .len = (uint32_t)used, .u.s = v->u.s + from };
	return 0;
}

/* v[key]: an element, a member, or (as Jinja does for a name) an attribute. */
int value_item(struct render *r, const struct node *at, const struct value *v, const struct value *key,
	       struct value *out)
{
	char text[128];
	int rc = value_use(r, at, v);

	if (!rc)
		rc = value_use(r, at, key);
	if (rc)
		return rc;
	if (value_is_dict(v) && !(v->kind == V_DICT && v->u.dict->namespace) && value_dict_get(v, key, out))
		return 0;
	if ((v->kind == V_STR || (value_is_list(v) && !value_is(v, LIST_GENERATOR))) &&
	    (key->kind == V_INT || key->kind == V_BOOL))
		return index_item(r, at, v, value_integer(key), out);
	if (key->kind == V_STR) {
		const struct builtin *method = builtin_method(v, key->u.s, key->len);
		if (method || !value_is_dict(v) || v->kind == V_DICT)
			return value_attr(r, at, v, key->u.s, key->len, out);
		return value_undefined(r, at, out, "'%s object' has no attribute '%.*s'", value_type(v),
				       key->len < 100 ? (int)key->len : 100, key->u.s);
	}
	rc = repr_text(r, at, key, text);
	return rc ? rc : value_undefined(r, at, out, "%s object has no element %s", value_type(v), text);
}

static int loop_attr(struct render *r, const struct node *at, const struct loop *l, const char *name, struct value *out)
{
	int64_t i = (int64_t)l->at, n = (int64_t)l->items->n;

	if (!strcmp(name, "index"))
		*out = value_int(i + 1);
	else if (!strcmp(name, "index0"))
		*out = value_int(i);
	else if (!strcmp(name, "revindex"))
		*out = value_int(n - i);
	else if (!strcmp(name, "revindex0"))
		*out = value_int(n - i - 1);
	else if (!strcmp(name, "first"))
		*out = value_bool(i == 0);
	else if (!strcmp(name, "last"))
		*out = value_bool(i == n - 1);
	else if (!strcmp(name, "length"))
		*out = value_int(n);
	else if (!strcmp(name, "depth") || !strcmp(name, "depth0")) /* counts recursive loops only */
		*out = value_int(name[5] ? 0 : 1);
	else if (!strcmp(name, "previtem") && i > 0)
		*out = l->items->items[i - 1];
	else if (!strcmp(name, "nextitem") && i < n - 1)
		*out = l->items->items[i + 1];
	else
		return value_undefined(r, at, out, "there is no loop.%s here", name);
	return 0;
}

int value_attr(struct render *r, const struct node *at, const struct value *v, const char *name, size_t len,
	       struct value *out)
{
	const struct value key = { .kind = V_STR, .len = (uint32_t)len, .u.s = name };
	const struct builtin *method;
	int rc = value_use(r, at, v), show = len < 100 ? (int)len : 100;
	void *bound;

	if (rc)
		return rc;
	method = builtin_method(v, name, len);
	if (method) {
		rc = render_alloc(r, at, &bound, 1, sizeof(struct bound));
		if (rc)
			return rc;
		*out = (struct value){ .kind = V_METHOD, .u.bound = bound };
		*out->u.bound = (struct bound){ *v, method };
		return 0;
	}
	if (value_is_dict(v) && value_dict_get(v, &key, out))
		return 0;
	if (v->kind == V_LOOP) {
		char text[32];
		snprintf(text, sizeof(text), "%.*s", show, name);
		return loop_attr(r, at, v->u.loop, text, out);
	}
	return value_undefined(r, at, out, "'%s object' has no attribute '%.*s'", value_type(v), show, name);
}

static int slice_bound(struct render *r, const struct node *at, const struct value *v, int64_t n, int64_t low,
		       int64_t high, int64_t *out)
{
	if (v->kind == V_ABSENT || v->kind == V_NONE)
		return 0;
	if (v->kind != V_INT && v->kind != V_BOOL) {
		int rc = value_use(r, at, v);
		return rc ? rc : render_error(r, at, "the bounds of a slice are integers, not a %s", value_type(v));
	}
	*out = value_integer(v);
	if (*out < 0)
		*out = *out < -n ? low : *out + n;
	*out = *out < low ? low : *out > high ? high : *out;
	return 0;
}

int value_slice(struct render *r, const struct node *at, const struct value *v, const struct value *start,
		const struct value *stop, const struct value *step, struct value *out)
{
	int64_t by = 1, n, from, to;
	size_t size;
	struct list *l;
	struct buf text = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int rc = value_use(r, at, v);

	if (!rc && v->kind != V_STR && (!value_is_list(v) || value_is(v, LIST_GENERATOR)))
		return render_error(r, at, "a %s cannot be sliced", value_type(v));
	if (!rc)
		rc = value_length(r, at, v, &size);
	if (rc)
		return rc;
	n = (int64_t)size;
	rc = slice_bound(r, at, step, 0, INT64_MIN / 2, INT64_MAX / 2, &by);
	if (step->kind == V_INT)
		by = step->u.i < -n - 1 ? -n - 1 : step->u.i > n + 1 ? n + 1 : step->u.i;
	if (!rc && !by)
		return render_error(r, at, "the step of a slice is zero");
	from = by > 0 ? 0 : n - 1;
	to = by > 0 ? n : -1;
	if (!rc)
		rc = slice_bound(r, at, start, n, by > 0 ? 0 : -1, by > 0 ? n : n - 1, &from);
	if (!rc)
		rc = slice_bound(r, at, stop, n, by > 0 ? 0 : -1, by > 0 ? n : n - 1, &to);
	if (rc)
		return rc;
	if (v->kind == V_STR && by == 1) {
		size_t a = text_offset(v, (size_t)from), b = to > from ? text_offset(v, (size_t)to) : a;
		*out = (struct value){ .kind = V_STR, .len = (uint32_t)(b - a), .u.s = v->u.s + a };
		return 0;
	}
	rc = value_items(r, at, v, &l);
	if (!rc && v->kind != V_STR)
		rc = value_list(r, at, 8, value_is(v, LIST_TUPLE) ? LIST_TUPLE : LIST_LIST, out);
	for (; !rc && (by > 0 ? from < to : from > to); from += by) {
		if (v->kind == V_STR)
			buf_add(&text, l->items[from].u.s, l->items[from].len);
		else
			rc = value_append(r, at, out->u.list, l->items[from]);
	}
	if (!rc && v->kind == V_STR)
		return value_from_buf(r, at, &text, out);
	buf_release(&text);
	return rc;
}
