/* template_method.c: the methods of text, lists and dicts, and the global functions.
 *
 * Rows of name, number of arguments, names of arguments, function. builtin_call() sees to the arguments (too few, too
 * many, by keyword, undefined) before any function runs, so a function finds each argument at its place or V_ABSENT. What
 * Python has and this table has not is an error that names it, not a guess. Lists of the context cannot be changed. */
#include "base/base.h"

#include "model/template_int.h"

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static int put_keywords(struct render *r, const struct node *at, const struct builtin *b, const struct value *values,
			const char *const *keys, int n, struct args *a)
{
	int rc = 0;

	if (b->flags & B_KEYWORDS) {
		struct value *dict = &a->v[TEMPLATE_MAX_ARGS];
		rc = value_dict(r, at, dict);
		for (int i = 0; i < n && !rc; i++)
			rc = value_dict_set(r, at, dict->u.dict, value_text(keys[i]), values[i]);
		return rc;
	}
	for (int i = 0; i < n; i++) {
		const char *p = b->params;
		size_t len = strlen(keys[i]);
		int place = 1;
		while (*p && (strncmp(p, keys[i], len) != 0 || (p[len] && p[len] != ','))) {
			p += strcspn(p, ",");
			p += *p == ',';
			place++;
		}
		if (!*p || a->v[place].kind != V_ABSENT)
			return render_error(r, at, "%s has no argument \"%.100s\" left", b->name, keys[i]);
		a->v[place] = values[i];
	}
	return 0;
}

static int check_undefined(struct render *r, const struct node *at, const struct builtin *b, struct args *a)
{
	if (b->flags & B_UNDEFINED)
		return 0;
	for (int i = 0; i <= TEMPLATE_MAX_ARGS; i++) {
		if (a->v[i].kind != V_UNDEFINED)
			continue;
		if (!value_lenient(r, &a->v[i]) || (i == 0 && (b->flags & B_NUMBER)))
			return value_use(r, i == 0 && at->a ? at->a : at, &a->v[i]);
		a->v[i] = value_text("");
	}
	return 0;
}

int builtin_call(struct render *r, const struct node *at, const struct builtin *b, const struct value *self,
		 const struct value *values, int n, const char *const *keys, int n_keys, struct value *out)
{
	struct args a = { .n = 1 + n - n_keys };
	int max = b->flags & B_VARIADIC ? TEMPLATE_MAX_ARGS - 1 : b->max, rc;

	a.v[0] = *self;
	if (n - n_keys > max)
		return render_error(r, at, "%s takes at most %d argument%s", b->name, max, max == 1 ? "" : "s");
	for (int i = 0; i < n - n_keys; i++)
		a.v[1 + i] = values[i];
	rc = put_keywords(r, at, b, values + (n - n_keys), keys, n_keys, &a);
	for (int i = 1; i <= b->min && !rc; i++)
		if (a.v[i].kind == V_ABSENT)
			return render_error(r, at, "%s takes at least %d argument%s", b->name, b->min,
					    b->min == 1 ? "" : "s");
	if (!rc)
		rc = check_undefined(r, at, b, &a);
	if (!rc)
		rc = render_work(r, at, 1 + a.v[0].len / 4096 * (a.v[0].kind == V_STR));
	return rc ? rc : b->fn(r, at, &a, out);
}

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

static int int_arg(struct render *r, const struct node *at, const struct value *v, int64_t otherwise, int64_t *out)
{
	*out = otherwise;
	if (v->kind == V_ABSENT || v->kind == V_NONE)
		return 0;
	if (v->kind != V_INT && v->kind != V_BOOL)
		return render_error(r, at, "an integer is wanted, not a %s", value_type(v));
	*out = v->kind == V_INT ? v->u.i : v->u.b;
	return 0;
}

static struct value part(const struct value *v, size_t from, size_t to)
{
	return (struct value){ .kind = V_STR, .len = (uint32_t)(to - from), .u.s = v->u.s + from };
}

/* ---- text: strip -------------------------------------------------------------------------------------------------- */

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

/* ---- text: split -------------------------------------------------------------------------------------------------- */

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
		rc = int_arg(r, at, &a->v[2], -1, &most);
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
	int rc = int_arg(r, at, &a->v[2], -1, &most);

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

/* ---- text: search ------------------------------------------------------------------------------------------------- */

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
		rc = int_arg(r, at, &a->v[2], 0, &start);
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

/* ---- text: made anew ---------------------------------------------------------------------------------------------- */

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
		rc = int_arg(r, at, &a->v[3], -1, &most);
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
	int rc = int_arg(r, at, &a->v[1], 0, &width);

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
	int rc = int_arg(r, at, &a->v[1], 0, &width);

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

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static int list_index(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	bool same = false;
	int rc = value_items(r, at, &a->v[0], &l);

	for (size_t i = 0; !rc && i < l->n; i++) {
		rc = value_equal(r, at, &l->items[i], &a->v[1], &same);
		if (!rc && same) {
			*out = value_int((int64_t)i);
			return 0;
		}
	}
	return rc ? rc : render_error(r, at, "index: the value is not in the list");
}

static int list_count(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	bool same = false;
	int64_t n = 0;
	int rc = value_items(r, at, &a->v[0], &l);

	for (size_t i = 0; !rc && i < l->n; i++) {
		rc = value_equal(r, at, &l->items[i], &a->v[1], &same);
		n += same;
	}
	*out = value_int(n);
	return rc;
}

static int changeable(struct render *r, const struct node *at, const struct value *v)
{
	if (v->kind == V_LIST && v->u.list->kind == LIST_LIST)
		return 0;
	return render_error(r, at, "a %s that the template did not make cannot be changed", value_type(v));
}

static int list_append(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = changeable(r, at, &a->v[0]);

	*out = value_none();
	return rc ? rc : value_append(r, at, a->v[0].u.list, a->v[1]);
}

static int list_extend(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	size_t n;
	int rc = changeable(r, at, &a->v[0]);

	if (!rc)
		rc = value_items(r, at, &a->v[1], &l);
	n = rc ? 0 : l->n; /* it may be the list itself */
	for (size_t i = 0; i < n && !rc; i++)
		rc = value_append(r, at, a->v[0].u.list, l->items[i]);
	*out = value_none();
	return rc;
}

static int list_pop(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t i, n;
	struct list *l;
	int rc = changeable(r, at, &a->v[0]);

	if (!rc)
		rc = int_arg(r, at, &a->v[1], -1, &i);
	if (rc)
		return rc;
	l = a->v[0].u.list;
	n = (int64_t)l->n;
	if (i < 0)
		i += n;
	if (i < 0 || i >= n)
		return render_error(r, at, "pop: there is no such member");
	*out = l->items[i];
	memmove(l->items + i, l->items + i + 1, (size_t)(n - i - 1) * sizeof(*l->items));
	l->n--;
	return 0;
}

/* ---- dicts -------------------------------------------------------------------------------------------------------- */

static int dict_get(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	(void)r;
	(void)at;
	if (!value_dict_get(&a->v[0], &a->v[1], out))
		*out = a->v[2].kind == V_ABSENT ? value_none() : a->v[2];
	return 0;
}

/* what: keys, values or both. */
static int dict_view(struct render *r, const struct node *at, const struct value *v, enum list_kind what,
		     struct value *out)
{
	struct list *keys;
	int rc = value_items(r, at, v, &keys);

	if (!rc)
		rc = value_list(r, at, keys->n, what, out);
	for (size_t i = 0; !rc && i < keys->n; i++) {
		struct value item = value_none(), pair;
		if (v->kind == V_DICT)
			item = v->u.dict->values[i];
		else
			value_dict_get(v, &keys->items[i], &item);
		if (what == LIST_ITEMS) {
			rc = value_list(r, at, 2, LIST_TUPLE, &pair);
			if (!rc)
				rc = value_append(r, at, pair.u.list, keys->items[i]);
			if (!rc)
				rc = value_append(r, at, pair.u.list, item);
		} else {
			pair = what == LIST_KEYS ? keys->items[i] : item;
		}
		if (!rc)
			rc = value_append(r, at, out->u.list, pair);
	}
	return rc;
}

static int dict_items(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return dict_view(r, at, &a->v[0], LIST_ITEMS, out);
}

static int dict_keys(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return dict_view(r, at, &a->v[0], LIST_KEYS, out);
}

static int dict_values(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return dict_view(r, at, &a->v[0], LIST_VALUES, out);
}

/* ---- loop --------------------------------------------------------------------------------------------------------- */

static int loop_cycle(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	if (a->n < 2)
		return render_error(r, at, "loop.cycle: values are wanted");
	*out = a->v[1 + a->v[0].u.loop->at % (size_t)(a->n - 1)];
	return 0;
}

static int loop_changed(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct loop *l = a->v[0].u.loop;
	bool same = false;
	int rc = l->has_changed ? value_equal(r, at, &l->changed, &a->v[1], &same) : 0;

	l->has_changed = true;
	l->changed = a->v[1];
	*out = value_bool(!same);
	return rc;
}

/* ---- functions ---------------------------------------------------------------------------------------------------- */

static int global_range(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t start = 0, stop, step;
	struct list *l;
	int rc = int_arg(r, at, &a->v[a->n > 2 ? 2 : 1], 0, &stop);

	if (!rc && a->n > 2)
		rc = int_arg(r, at, &a->v[1], 0, &start);
	if (!rc)
		rc = int_arg(r, at, &a->v[3], 1, &step);
	if (!rc && !step)
		return render_error(r, at, "range: the step is zero");
	if (!rc)
		rc = value_list(r, at, 8, LIST_RANGE, out);
	if (rc)
		return rc;
	l = out->u.list;
	l->start = start;
	l->stop = stop;
	l->step = step;
	for (int64_t i = start; !rc && (step > 0 ? i < stop : i > stop);) {
		rc = value_append(r, at, l, value_int(i));
		if (__builtin_add_overflow(i, step, &i))
			break;
	}
	return rc;
}

static int global_dict(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value *keywords = (struct value *)&a->v[TEMPLATE_MAX_ARGS], pairs;
	struct list *l;
	int rc = value_dict(r, at, out);

	if (!rc && a->v[1].kind != V_ABSENT) {
		if (!value_is_dict(&a->v[1]))
			return render_error(r, at, "dict: a dict or keywords are wanted");
		rc = dict_view(r, at, &a->v[1], LIST_ITEMS, &pairs);
		for (size_t i = 0; !rc && i < pairs.u.list->n; i++) {
			l = pairs.u.list->items[i].u.list;
			rc = value_dict_set(r, at, out->u.dict, l->items[0], l->items[1]);
		}
	}
	for (size_t i = 0; !rc && i < keywords->u.dict->n; i++)
		rc = value_dict_set(r, at, out->u.dict, keywords->u.dict->keys[i], keywords->u.dict->values[i]);
	return rc;
}

static int global_namespace(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = global_dict(r, at, a, out);

	if (!rc)
		out->u.dict->namespace = true;
	return rc;
}

static int global_raise(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value text;
	int rc = value_to_str(r, at, &a->v[1], &text);

	(void)out;
	return rc ? rc : render_error(r, at, "%.*s", text.len < 400 ? (int)text.len : 400, text.u.s);
}

/* ---- tables ------------------------------------------------------------------------------------------------------- */

static const struct builtin str_methods[] = {
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

static const struct builtin list_methods[] = {
	{ "index", 1, 1, "value", list_index, 0 },    { "count", 1, 1, "value", list_count, 0 },
	{ "append", 1, 1, "object", list_append, 0 }, { "extend", 1, 1, "iterable", list_extend, 0 },
	{ "pop", 0, 1, "index", list_pop, 0 },        { 0 },
};

static const struct builtin dict_methods[] = {
	{ "get", 1, 2, "key,default", dict_get, B_UNDEFINED },
	{ "items", 0, 0, "", dict_items, 0 },
	{ "keys", 0, 0, "", dict_keys, 0 },
	{ "values", 0, 0, "", dict_values, 0 },
	{ 0 },
};

static const struct builtin loop_methods[] = {
	{ "cycle", 0, 0, "", loop_cycle, B_VARIADIC },
	{ "changed", 1, 1, "value", loop_changed, 0 },
	{ 0 },
};

static const struct builtin globals[] = {
	{ "range", 1, 3, "start,stop,step", global_range, 0 },
	{ "dict", 0, 1, "", global_dict, B_KEYWORDS },
	{ "namespace", 0, 1, "", global_namespace, B_KEYWORDS },
	{ "raise_exception", 1, 1, "message", global_raise, 0 }, /* the last: in chat templates only */
	{ 0 },
};

const struct builtin *builtin_row(const struct builtin *rows, const char *name, size_t len)
{
	for (; rows->name; rows++)
		if (strlen(rows->name) == len && !memcmp(rows->name, name, len))
			return rows;
	return NULL;
}

const struct builtin *builtin_method(const struct value *self, const char *name, size_t len)
{
	if (self->kind == V_STR)
		return builtin_row(str_methods, name, len);
	if (value_is(self, LIST_LIST) || value_is(self, LIST_TUPLE))
		return builtin_row(list_methods, name, len);
	if (self->kind == V_LOOP)
		return builtin_row(loop_methods, name, len);
	if (value_is_dict(self) && !(self->kind == V_DICT && self->u.dict->namespace))
		return builtin_row(dict_methods, name, len);
	return NULL;
}

const struct builtin *builtin_global(const char *name, bool chat)
{
	const struct builtin *b = builtin_row(globals, name, strlen(name));

	return b && b->fn == global_raise && !chat ? NULL : b;
}
