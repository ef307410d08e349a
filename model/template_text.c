/* template_text.c: the methods of text, as Python's str has them, by code points. template_method.c says how they are called. */
#include "base/base.h"

#include "model/template_int.h"

/* An argument that must be text; absent or None: NULL for otherwise. */
static int text_arg(struct render *r, const struct node *at, const struct value *v, const char *otherwise,
		    struct value *out)
{
	*out = v->kind == V_STR ? *v : value_text(otherwise ? otherwise : "");
	if (v->kind == V_STR || ((v->kind == V_ABSENT || v->kind == V_NONE) && otherwise))
		return 0;
	return render_error(r, at, "a text is wanted, not a %s",
			    v->kind == V_ABSENT ? "missing argument" : value_type(v));
}

static struct value part(const struct value *v, size_t from, size_t to)
{
	return (struct value){ .kind = V_STR, .len = (uint32_t)(to - from), .u.s = v->u.s + from };
}

/* ---- strip -------------------------------------------------------------------------------------------------- */

/* Whether the character c is one of chars; without chars: white space. */
static bool strips(const struct value *chars, uint32_t c)
{
	size_t used;

	if (chars->kind != V_STR)
		return utf8_is_space(c);
	for (size_t i = 0; i < chars->len; i += used)
		if (utf8_next(chars->u.s + i, chars->len - i, &used) == c)
			return true;
	return false;
}

static int strip(struct render *r, const struct node *at, const struct args *a, bool left, bool right,
		 struct value *out)
{
	const struct value *v = &a->v[0], *chars = &a->v[1];
	size_t from = 0, to = v->len, used;

	if (chars->kind != V_STR && chars->kind != V_ABSENT && chars->kind != V_NONE)
		return render_error(r, at, "a text is wanted, not a %s", value_type(chars));
	while (left && from < to && strips(chars, utf8_next(v->u.s + from, to - from, &used)))
		from += used;
	while (right && to > from) {
		size_t back = to - 1;
		while (back > from && ((uint8_t)v->u.s[back] & 0xc0) == 0x80)
			back--;
		if (!strips(chars, utf8_next(v->u.s + back, to - back, &used)))
			break;
		to = back;
	}
	*out = part(v, from, to);
	return 0;
}

static int str_strip(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return strip(r, at, a, true, true, out);
}

static int str_lstrip(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return strip(r, at, a, true, false, out);
}

static int str_rstrip(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return strip(r, at, a, false, true, out);
}

/* ---- split -------------------------------------------------------------------------------------------------- */

static int split_space(struct render *r, const struct node *at, const struct value *v, int64_t most, struct list *l)
{
	size_t i = 0, used;
	int rc = 0;

	while (!rc) {
		size_t from;
		while (i < v->len && utf8_is_space(utf8_next(v->u.s + i, v->len - i, &used)))
			i += used;
		if (i == v->len)
			break;
		from = i;
		if (most >= 0 && (int64_t)l->n == most) /* the rest as it is */
			return value_append(r, at, l, part(v, from, v->len));
		while (i < v->len && !utf8_is_space(utf8_next(v->u.s + i, v->len - i, &used)))
			i += used;
		rc = value_append(r, at, l, part(v, from, i));
	}
	return rc;
}

static int str_split(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	struct value sep;
	int64_t most;
	size_t from = 0;
	int rc = value_list(r, at, 8, LIST_LIST, out);

	if (!rc)
		rc = builtin_int(r, at, &a->v[2], -1, &most);
	if (rc)
		return rc;
	if (a->v[1].kind == V_ABSENT || a->v[1].kind == V_NONE)
		return split_space(r, at, v, most, out->u.list);
	rc = text_arg(r, at, &a->v[1], NULL, &sep);
	if (!rc && !sep.len)
		return render_error(r, at, "split: the separator is empty");
	while (!rc) {
		bool more = most < 0 || (int64_t)out->u.list->n < most;
		const char *hit = more ? memmem(v->u.s + from, v->len - from, sep.u.s, sep.len) : NULL;
		size_t to = hit ? (size_t)(hit - v->u.s) : v->len;
		rc = value_append(r, at, out->u.list, part(v, from, to));
		if (!hit)
			break;
		from = to + sep.len;
	}
	return rc;
}

/* The last place of needle before end; NULL for none. */
static const char *find_last(const struct value *v, size_t end, const struct value *needle)
{
	if (needle->len > end)
		return NULL;
	for (size_t i = end - needle->len + 1; i-- > 0;)
		if (!needle->len || !memcmp(v->u.s + i, needle->u.s, needle->len))
			return v->u.s + i;
	return NULL;
}

static int str_rsplit(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	struct value sep;
	struct list *l;
	int64_t most;
	size_t to = v->len;
	int rc = builtin_int(r, at, &a->v[2], -1, &most);

	if (!rc && most < 0)
		return str_split(r, at, a, out);
	if (!rc)
		rc = text_arg(r, at, &a->v[1], NULL, &sep);
	if (!rc && !sep.len)
		return render_error(r, at, "rsplit: the separator is empty");
	if (!rc)
		rc = value_list(r, at, 8, LIST_LIST, out);
	while (!rc) {
		const char *hit = (int64_t)out->u.list->n < most ? find_last(v, to, &sep) : NULL;
		size_t from = hit ? (size_t)(hit - v->u.s) + sep.len : 0;
		rc = value_append(r, at, out->u.list, part(v, from, to));
		if (!hit)
			break;
		to = from - sep.len;
	}
	if (rc)
		return rc;
	l = out->u.list;
	for (size_t i = 0; i < l->n / 2; i++) {
		struct value swap = l->items[i];
		l->items[i] = l->items[l->n - 1 - i];
		l->items[l->n - 1 - i] = swap;
	}
	return 0;
}

static bool ends_line(uint32_t c)
{
	return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static int str_splitlines(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	size_t from = 0, used;
	bool keep = false;
	int rc = value_list(r, at, 8, LIST_LIST, out);

	if (!rc && a->v[1].kind != V_ABSENT)
		rc = value_truth(r, at, &a->v[1], &keep);
	for (size_t i = 0; i < v->len && !rc;) {
		uint32_t c = utf8_next(v->u.s + i, v->len - i, &used);
		size_t end = i;
		i += used;
		if (!ends_line(c))
			continue;
		if (c == '\r' && i < v->len && v->u.s[i] == '\n')
			i++;
		rc = value_append(r, at, out->u.list, part(v, from, keep ? i : end));
		from = i;
	}
	if (!rc && from < v->len)
		rc = value_append(r, at, out->u.list, part(v, from, v->len));
	return rc;
}

/* (before, separator, after); from the end: the last one. */
static int partition(struct render *r, const struct node *at, const struct args *a, bool last, struct value *out)
{
	const struct value *v = &a->v[0];
	struct value sep, none = value_text(""), parts[3];
	const char *hit;
	size_t from;
	int rc = text_arg(r, at, &a->v[1], NULL, &sep);

	if (!rc && !sep.len)
		return render_error(r, at, "partition: the separator is empty");
	if (!rc)
		rc = value_list(r, at, 3, LIST_TUPLE, out);
	if (rc)
		return rc;
	hit = last ? find_last(v, v->len, &sep) : memmem(v->u.s, v->len, sep.u.s, sep.len);
	from = hit ? (size_t)(hit - v->u.s) : 0;
	parts[0] = hit ? part(v, 0, from) : last ? none : *v;
	parts[1] = hit ? sep : none;
	parts[2] = hit ? part(v, from + sep.len, v->len) : last ? *v : none;
	for (int i = 0; i < 3 && !rc; i++)
		rc = value_append(r, at, out->u.list, parts[i]);
	return rc;
}

static int str_partition(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return partition(r, at, a, false, out);
}

static int str_rpartition(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return partition(r, at, a, true, out);
}

/* ---- search ------------------------------------------------------------------------------------------------- */

/* Code points to the needle in v[start:end]; -1 for none. */
static int search(struct render *r, const struct node *at, const struct args *a, bool last, int64_t *out)
{
	const struct value absent = { .kind = V_ABSENT };
	struct value needle, in;
	const char *hit;
	int64_t start;
	size_t size;
	int rc = text_arg(r, at, &a->v[1], NULL, &needle);

	if (!rc)
		rc = builtin_int(r, at, &a->v[2], 0, &start);
	if (!rc)
		rc = value_length(r, at, &a->v[0], &size);
	if (!rc)
		rc = value_slice(r, at, &a->v[0], &a->v[2], &a->v[3], &absent, &in);
	if (rc)
		return rc;
	*out = -1;
	if (start > (int64_t)size)
		return 0;
	hit = last         ? find_last(&in, in.len, &needle)
	      : needle.len ? memmem(in.u.s, in.len, needle.u.s, needle.len)
			   : in.u.s;
	if (hit)
		*out = (int64_t)utf8_count(in.u.s, (size_t)(hit - in.u.s)) + (start >= 0 ? start
									      : start + (int64_t)size > 0
										      ? start + (int64_t)size
										      : 0);
	return 0;
}

static int str_find(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t i = -1;
	int rc = search(r, at, a, false, &i);

	*out = value_int(i);
	return rc;
}

static int str_rfind(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t i = -1;
	int rc = search(r, at, a, true, &i);

	*out = value_int(i);
	return rc;
}

static int str_index(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = str_find(r, at, a, out);

	return !rc && out->u.i < 0 ? render_error(r, at, "index: the text is not there") : rc;
}

static int str_rindex(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = str_rfind(r, at, a, out);

	return !rc && out->u.i < 0 ? render_error(r, at, "rindex: the text is not there") : rc;
}

static int str_count(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	struct value needle;
	int64_t n = 0;
	int rc = text_arg(r, at, &a->v[1], NULL, &needle);

	if (rc)
		return rc;
	if (!needle.len)
		n = (int64_t)utf8_count(v->u.s, v->len) + 1;
	for (size_t i = 0; needle.len && i < v->len;) {
		const char *hit = memmem(v->u.s + i, v->len - i, needle.u.s, needle.len);
		if (!hit)
			break;
		n++;
		i = (size_t)(hit - v->u.s) + needle.len;
	}
	*out = value_int(n);
	return 0;
}

static bool fits(const struct value *v, const struct value *affix, bool end)
{
	if (affix->kind != V_STR || affix->len > v->len)
		return false;
	return !affix->len || !memcmp(v->u.s + (end ? v->len - affix->len : 0), affix->u.s, affix->len);
}

static int affix(struct render *r, const struct node *at, const struct args *a, bool end, struct value *out)
{
	const struct value *x = &a->v[1];
	bool any = fits(&a->v[0], x, end);

	if (value_is(x, LIST_TUPLE)) {
		for (size_t i = 0; i < x->u.list->n && !any; i++)
			any = fits(&a->v[0], &x->u.list->items[i], end);
	} else if (x->kind != V_STR) {
		return render_error(r, at, "a text or a tuple of texts is wanted, not a %s", value_type(x));
	}
	*out = value_bool(any);
	return 0;
}

static int str_startswith(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return affix(r, at, a, false, out);
}

static int str_endswith(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return affix(r, at, a, true, out);
}

static int remove_affix(struct render *r, const struct node *at, const struct args *a, bool end, struct value *out)
{
	struct value x;
	int rc = text_arg(r, at, &a->v[1], NULL, &x);

	if (rc)
		return rc;
	*out = a->v[0];
	if (fits(&a->v[0], &x, end))
		*out = end ? part(out, 0, out->len - x.len) : part(out, x.len, out->len);
	return 0;
}

static int str_removeprefix(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return remove_affix(r, at, a, false, out);
}

static int str_removesuffix(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return remove_affix(r, at, a, true, out);
}

/* ---- made anew ---------------------------------------------------------------------------------------------- */

static int str_replace(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct value from, to;
	int64_t most;
	size_t i = 0, used;
	int rc = text_arg(r, at, &a->v[1], NULL, &from);

	if (!rc)
		rc = text_arg(r, at, &a->v[2], NULL, &to);
	if (!rc)
		rc = builtin_int(r, at, &a->v[3], -1, &most);
	if (rc)
		return rc;
	while (from.len && most != 0 && i < v->len) {
		const char *hit = memmem(v->u.s + i, v->len - i, from.u.s, from.len);
		size_t end = hit ? (size_t)(hit - v->u.s) : v->len;
		if (!hit)
			break;
		buf_add(&b, v->u.s + i, end - i);
		buf_add(&b, to.u.s, to.len);
		i = end + from.len;
		most--;
	}
	while (!from.len && most != 0) { /* between all characters */
		buf_add(&b, to.u.s, to.len);
		most--;
		if (i == v->len)
			break;
		utf8_next(v->u.s + i, v->len - i, &used);
		buf_add(&b, v->u.s + i, used);
		i += used;
	}
	buf_add(&b, v->u.s + i, v->len - i);
	return value_from_buf(r, at, &b, out);
}

static int recase(struct render *r, const struct node *at, const struct args *a, struct value *out,
		  void (*to)(struct buf *, const char *, size_t))
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);

	to(&b, a->v[0].u.s, a->v[0].len);
	return value_from_buf(r, at, &b, out);
}

static int str_upper(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return recase(r, at, a, out, case_upper);
}

static int str_lower(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return recase(r, at, a, out, case_lower);
}

static int str_title(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return recase(r, at, a, out, case_title);
}

static int str_capitalize(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return recase(r, at, a, out, case_capital);
}

static int str_join(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct list *l;
	int rc = value_items(r, at, &a->v[1], &l);

	for (size_t i = 0; !rc && i < l->n; i++) {
		rc = value_use(r, at, &l->items[i]);
		if (!rc && l->items[i].kind != V_STR)
			rc = render_error(r, at, "join: member %zu is a %s, not a text", i, value_type(&l->items[i]));
		if (rc)
			break;
		if (i)
			buf_add(&b, a->v[0].u.s, a->v[0].len);
		buf_add(&b, l->items[i].u.s, l->items[i].len);
	}
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

static int pad_args(struct render *r, const struct node *at, const struct args *a, char side, struct value *out)
{
	struct value fill;
	int64_t width;
	int rc = builtin_int(r, at, &a->v[1], 0, &width);

	if (!rc)
		rc = text_arg(r, at, &a->v[2], " ", &fill);
	return rc ? rc : text_pad(r, at, &a->v[0], width, side, &fill, out);
}

static int str_ljust(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return pad_args(r, at, a, '<', out);
}

static int str_rjust(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return pad_args(r, at, a, '>', out);
}

static int str_center(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return pad_args(r, at, a, 'c', out);
}

static int str_zfill(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value zero = value_text("0"), *v = &a->v[0];
	bool sign = v->len && (v->u.s[0] == '-' || v->u.s[0] == '+');
	struct value digits = part(v, sign, v->len), head = part(v, 0, sign);
	int64_t width;
	int rc = builtin_int(r, at, &a->v[1], 0, &width);

	if (!rc)
		rc = text_pad(r, at, &digits, width - sign, '>', &zero, &digits);
	return rc ? rc : value_binary(r, at, '+', &head, &digits, out);
}

static int str_isspace(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value rest;
	int rc = strip(r, at, &(struct args){ .v = { a->v[0] }, .n = 1 }, true, false, &rest);

	*out = value_bool(a->v[0].len && !rest.len);
	return rc;
}

static int str_isupper(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	(void)r;
	(void)at;
	*out = value_bool(case_is(a->v[0].u.s, a->v[0].len, true));
	return 0;
}

static int str_islower(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	(void)r;
	(void)at;
	*out = value_bool(case_is(a->v[0].u.s, a->v[0].len, false));
	return 0;
}

/* ---- table -------------------------------------------------------------------------------------------------------- */

const struct builtin text_methods[] = {
	{ "strip", 0, 1, "chars", str_strip, 0 },
	{ "lstrip", 0, 1, "chars", str_lstrip, 0 },
	{ "rstrip", 0, 1, "chars", str_rstrip, 0 },
	{ "split", 0, 2, "sep,maxsplit", str_split, 0 },
	{ "rsplit", 0, 2, "sep,maxsplit", str_rsplit, 0 },
	{ "splitlines", 0, 1, "keepends", str_splitlines, 0 },
	{ "partition", 1, 1, "sep", str_partition, 0 },
	{ "rpartition", 1, 1, "sep", str_rpartition, 0 },
	{ "find", 1, 3, "sub,start,end", str_find, 0 },
	{ "rfind", 1, 3, "sub,start,end", str_rfind, 0 },
	{ "index", 1, 3, "sub,start,end", str_index, 0 },
	{ "rindex", 1, 3, "sub,start,end", str_rindex, 0 },
	{ "count", 1, 1, "sub", str_count, 0 },
	{ "startswith", 1, 1, "prefix", str_startswith, 0 },
	{ "endswith", 1, 1, "suffix", str_endswith, 0 },
	{ "removeprefix", 1, 1, "prefix", str_removeprefix, 0 },
	{ "removesuffix", 1, 1, "suffix", str_removesuffix, 0 },
	{ "replace", 2, 3, "old,new,count", str_replace, 0 },
	{ "upper", 0, 0, "", str_upper, 0 },
	{ "lower", 0, 0, "", str_lower, 0 },
	{ "title", 0, 0, "", str_title, 0 },
	{ "capitalize", 0, 0, "", str_capitalize, 0 },
	{ "join", 1, 1, "iterable", str_join, 0 },
	{ "ljust", 1, 2, "width,fillchar", str_ljust, 0 },
	{ "rjust", 1, 2, "width,fillchar", str_rjust, 0 },
	{ "center", 1, 2, "width,fillchar", str_center, 0 },
	{ "zfill", 1, 1, "width", str_zfill, 0 },
	{ "isspace", 0, 0, "", str_isspace, 0 },
	{ "isupper", 0, 0, "", str_isupper, 0 },
	{ "islower", 0, 0, "", str_islower, 0 },
	{ "format", 0, 0, "", str_format, B_VARIADIC | B_KEYWORDS },
	{ 0 },
};
