/* template_filter.c: the filters (x|upper) of Jinja that task files and chat templates use.
 *
 * Rows as in template_method.c. A filter that works on text takes any value, by its str(), as Jinja's do. Filters that
 * Jinja makes lazy (map, select, reject, reverse) give a "generator" here too: it can be walked or made a list, not
 * printed or indexed, so a template that works here works there. */
#include "base/base.h"

#include <errno.h>
#include <math.h>

#include "base/pyregex.h"
#include "model/template_int.h"

/* Calls a method of text on the str() of the input. */
int filter_by_method(struct render *r, const struct node *at, const struct args *a, const char *method,
		     struct value *out)
{
	struct args as_text = *a;
	int rc = value_to_str(r, at, &a->v[0], &as_text.v[0]);

	return rc ? rc : builtin_method(&as_text.v[0], method, strlen(method))->fn(r, at, &as_text, out);
}

static int flag(struct render *r, const struct node *at, const struct value *v, bool otherwise, bool *out)
{
	*out = otherwise;
	return v->kind == V_ABSENT ? 0 : value_truth(r, at, v, out);
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static int filter_upper(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return filter_by_method(r, at, a, "upper", out);
}

static int filter_lower(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return filter_by_method(r, at, a, "lower", out);
}

static int filter_capitalize(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return filter_by_method(r, at, a, "capitalize", out);
}

static int filter_trim(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return filter_by_method(r, at, a, "strip", out);
}

static int filter_replace(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct args texts = *a;
	int rc = value_to_str(r, at, &a->v[1], &texts.v[1]);

	if (!rc)
		rc = value_to_str(r, at, &a->v[2], &texts.v[2]);
	return rc ? rc : filter_by_method(r, at, &texts, "replace", out);
}

/* Not Jinja's: the harness has it beside those, for its task files. */
static int filter_regex_replace(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *text = &a->v[0], *pattern = &a->v[1], *with = &a->v[2];
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct pyregex *regex = NULL;
	int64_t count, tries = 0;
	int rc = builtin_int(r, at, &a->v[3], 0, &count);

	for (int i = 0; i < 3 && !rc; i++)
		if (a->v[i].kind != V_STR)
			rc = render_error(r, at, "regex_replace: a text is wanted, not a %s", value_type(&a->v[i]));
	if (!rc && memchr(pattern->u.s, 0, pattern->len))
		rc = render_error(r, at, "regex_replace: a NUL in the pattern");
	if (!rc && (rc = render_work(r, at, pattern->len + text->len)) == 0) {
		char *own = mem_strn(pattern->u.s, pattern->len);

		rc = pyregex_compile(&regex, own);
		free(own);
		rc = rc ? rc : pyregex_sub(regex, text->u.s, text->len, with->u.s, with->len, count, &b, &tries);
		pyregex_free(regex);
		if (rc) {
			char *why = mem_str(err_text());

			rc = render_error(r, at, "regex_replace: %s", why);
			free(why);
		}
		rc = rc ? rc : render_work(r, at, (size_t)tries / 16);
	}
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

static int filter_center(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct args widths = *a;

	if (widths.v[1].kind == V_ABSENT)
		widths.v[1] = value_int(80);
	return filter_by_method(r, at, &widths, "center", out);
}

static int filter_string(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return value_to_str(r, at, &a->v[0], out);
}

/* Jinja's own: a word begins behind white space or one of - ( { [ <. */
static int filter_title(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct value v;
	size_t used;
	int rc = value_to_str(r, at, &a->v[0], &v);

	if (rc)
		return rc;
	for (size_t i = 0; i < v.len;) {
		uint32_t c = utf8_next(v.u.s + i, v.len - i, &used);
		size_t first = used, end = i;
		if (utf8_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<') {
			buf_add(&b, v.u.s + i, used);
			i += used;
			continue;
		}
		while (end < v.len && !utf8_is_space(c) && c != '-' && c != '(' && c != '{' && c != '[' && c != '<') {
			end += used;
			if (end < v.len)
				c = utf8_next(v.u.s + end, v.len - end, &used);
		}
		case_upper(&b, v.u.s + i, first);
		case_lower(&b, v.u.s + i + first, end - i - first);
		i = end;
	}
	return value_from_buf(r, at, &b, out);
}

static int filter_escape(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct value v;
	int rc = value_to_str(r, at, &a->v[0], &v);

	if (rc)
		return rc;
	for (size_t i = 0; i < v.len; i++) {
		static const char from[] = "&<>'\"";
		static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
		const char *hit = v.u.s[i] ? strchr(from, v.u.s[i]) : NULL;
		if (hit)
			buf_adds(&b, to[hit - from]);
		else
			buf_addc(&b, v.u.s[i]);
	}
	return value_from_buf(r, at, &b, out);
}

static int filter_indent(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value text, by = a->v[1], list;
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	const struct value space = value_text(" "), four = value_int(4);
	struct args lines = { .n = 1 };
	bool first, blank;
	int rc = 0;

	text = a->v[0];
	if (text.kind != V_STR)
		return render_error(r, at, "indent: a text is wanted, not a %s", value_type(&text));
	if (by.kind != V_STR)
		rc = value_binary(r, at, '*', &space, by.kind == V_ABSENT ? &four : &by, &by);
	if (!rc)
		rc = flag(r, at, &a->v[2], false, &first);
	if (!rc)
		rc = flag(r, at, &a->v[3], false, &blank);
	lines.v[0] = text;
	if (!rc)
		rc = builtin_method(&text, "splitlines", 10)->fn(r, at, &lines, &list);
	if (rc)
		return rc;
	if (text.len && text.u.s[text.len - 1] == '\n') /* the line behind the last line feed counts */
		rc = value_append(r, at, list.u.list, value_text(""));
	for (size_t i = 0; i < list.u.list->n && !rc; i++) {
		const struct value *line = &list.u.list->items[i];
		if (i)
			buf_addc(&b, '\n');
		if (i ? line->len || blank : first)
			buf_add(&b, by.u.s, by.len);
		buf_add(&b, line->u.s, line->len);
	}
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

static int filter_format(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value values, format;
	int rc = value_to_str(r, at, &a->v[0], &format);

	if (!rc && a->v[TEMPLATE_MAX_ARGS].u.dict->n)
		return format_percent(r, at, &format, &a->v[TEMPLATE_MAX_ARGS], out);
	if (!rc)
		rc = value_list(r, at, 8, LIST_TUPLE, &values);
	for (int i = 1; i < a->n && !rc; i++)
		rc = value_append(r, at, values.u.list, a->v[i]);
	return rc ? rc : format_percent(r, at, &format, &values, out);
}

static int filter_tojson(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	const struct value *indent = &a->v[1];
	int rc;

	if (indent->kind != V_ABSENT && indent->kind != V_NONE &&
	    (indent->kind != V_INT || indent->u.i < 0 || indent->u.i > 64))
		return render_error(r, at, "tojson: an indent from 0 to 64 is wanted");
	rc = value_dump(r, at, &b, &a->v[0], indent->kind == V_INT ? (int)indent->u.i : -1, 0);
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

/* A text as Python's float() reads it. */
static bool read_float(const struct value *v, double *out)
{
	char text[128], *stop;
	size_t n = 0, i = 0, end = v->len;

	while (i < end && (v->u.s[i] == ' ' || (v->u.s[i] >= 9 && v->u.s[i] <= 13)))
		i++;
	while (end > i && (v->u.s[end - 1] == ' ' || (v->u.s[end - 1] >= 9 && v->u.s[end - 1] <= 13)))
		end--;
	for (; i < end; i++) {
		if (v->u.s[i] == '_' && n && text[n - 1] >= '0' && text[n - 1] <= '9' && i + 1 < end)
			continue;
		if (n == sizeof(text) - 1 || !strchr("0123456789+-.eEinfatyINFATY", v->u.s[i]) || !v->u.s[i])
			return false;
		text[n++] = v->u.s[i];
	}
	text[n] = '\0';
	*out = strtod(text, &stop);
	return n && !*stop;
}

/* A text as Python's int(text, base) reads it. */
static bool read_int(const struct value *v, int base, int64_t *out)
{
	struct buf digits = BUF_INIT(128);
	const char *s = v->u.s, *end = s + v->len;
	bool minus = false, ok;
	char *stop = NULL;

	while (s < end && (*s == ' ' || (*s >= 9 && *s <= 13)))
		s++;
	while (end > s && (end[-1] == ' ' || (end[-1] >= 9 && end[-1] <= 13)))
		end--;
	if (s < end && (*s == '-' || *s == '+'))
		minus = *s++ == '-';
	if (end - s > 2 && *s == '0' &&
	    ((base == 16 && (s[1] | 32) == 'x') || (base == 8 && (s[1] | 32) == 'o') ||
	     (base == 2 && (s[1] | 32) == 'b')))
		s += 2;
	ok = s < end && *s != '_' && end[-1] != '_';
	if (minus)
		buf_addc(&digits, '-');
	for (; s < end; s++) {
		if (*s == '_' && s[-1] != '_')
			continue;
		ok = ok && ((*s >= '0' && *s <= '9') || ((*s | 32) >= 'a' && (*s | 32) <= 'z'));
		buf_addc(&digits, *s);
	}
	errno = 0;
	*out = strtoll(buf_str(&digits), &stop, base);
	ok = ok && !buf_full(&digits) && !*stop && !errno;
	buf_release(&digits);
	return ok;
}

static int filter_int(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	int64_t i, base = a->v[2].kind == V_INT ? a->v[2].u.i : 10;
	double f = 0;

	if (base < 2 || base > 36)
		return render_error(r, at, "int: a base from 2 to 36 is wanted");
	*out = a->v[1].kind == V_ABSENT ? value_int(0) : a->v[1];
	if (v->kind == V_INT || v->kind == V_BOOL) {
		*out = value_int(v->kind == V_INT ? v->u.i : v->u.b);
		return 0;
	}
	if (v->kind == V_STR && read_int(v, (int)base, &i)) {
		*out = value_int(i);
		return 0;
	}
	if (v->kind == V_FLOAT)
		f = v->u.f;
	else if (v->kind != V_STR || !read_float(v, &f))
		return 0;
	if (f - f != 0)
		return 0;
	if (f >= 9.2e18 || f <= -9.2e18)
		return render_error(r, at, "int: the number does not fit into 64 bits");
	*out = value_int((int64_t)f);
	return 0;
}

static int filter_float(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];
	double f;

	(void)r;
	(void)at;
	*out = a->v[1].kind == V_ABSENT ? value_float(0) : a->v[1];
	if (value_is_number(v))
		*out = value_float(value_number(v));
	else if (v->kind == V_STR && read_float(v, &f))
		*out = value_float(f);
	return 0;
}

static int filter_abs(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value zero = value_int(0);

	if (!value_is_number(&a->v[0]))
		return render_error(r, at, "abs: a number is wanted, not a %s", value_type(&a->v[0]));
	*out = a->v[0].kind == V_BOOL ? value_int(a->v[0].u.b) : a->v[0];
	if (out->kind == V_FLOAT)
		out->u.f = fabs(out->u.f);
	else if (value_number(out) < 0)
		return value_binary(r, at, '-', &zero, &a->v[0], out);
	return 0;
}

static int filter_round(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t places = a->v[1].kind == V_INT ? a->v[1].u.i : 0;
	char text[512];
	double f, scale = 1;

	if (!value_is_number(&a->v[0]) || places < 0 || places > 30)
		return render_error(r, at, "round: a number and 0 to 30 places are wanted");
	if (a->v[0].kind != V_FLOAT && a->v[2].kind == V_ABSENT) {
		*out = a->v[0].kind == V_BOOL ? value_int(a->v[0].u.b) : a->v[0];
		return 0;
	}
	f = value_number(&a->v[0]);
	for (int64_t i = 0; i < places; i++)
		scale *= 10;
	if (a->v[2].kind == V_ABSENT || value_same_text(&a->v[2], "common")) {
		snprintf(text, sizeof(text), "%.*f", (int)places, f);
		*out = value_float(strtod(text, NULL));
	} else if (value_same_text(&a->v[2], "ceil")) {
		*out = value_float(ceil(f * scale) / scale);
	} else if (value_same_text(&a->v[2], "floor")) {
		*out = value_float(floor(f * scale) / scale);
	} else {
		return render_error(r, at, "round: the method is common, ceil or floor");
	}
	return 0;
}

/* ---- attributes of members ---------------------------------------------------------------------------------------- */

/* "a.b.0" of a value, as Jinja's attribute arguments go. */
static int get_path(struct render *r, const struct node *at, const struct value *v, const struct value *path,
		    struct value *out)
{
	const char *s = path->u.s, *end = s + path->len;
	int rc = 0;

	*out = *v;
	if (path->kind != V_STR)
		return value_item(r, at, v, path, out);
	while (s <= end && !rc) {
		const char *dot = s < end ? memchr(s, '.', (size_t)(end - s)) : NULL, *stop = dot ? dot : end;
		struct value key = { .kind = V_STR, .len = (uint32_t)(stop - s), .u.s = s }, from = *out;
		int64_t i;
		if (key.len && *s >= '0' && *s <= '9' && read_int(&key, 10, &i))
			key = value_int(i);
		rc = value_item(r, at, &from, &key, out);
		s = stop + 1;
	}
	return rc;
}

/* What members are compared by: an attribute, and without case. */
static int sort_key(struct render *r, const struct node *at, const struct value *v, const struct value *attribute,
		    bool cased, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int rc = 0;

	*out = *v;
	if (attribute->kind != V_ABSENT && attribute->kind != V_NONE)
		rc = get_path(r, at, v, attribute, out);
	if (rc || cased || out->kind != V_STR)
		return rc;
	case_lower(&b, out->u.s, out->len);
	return value_from_buf(r, at, &b, out);
}

/* The keys of all members, beside them. */
static int sort_keys(struct render *r, const struct node *at, const struct list *l, const struct value *attribute,
		     bool cased, struct value **keys)
{
	void *memory;
	int rc = render_alloc(r, at, &memory, l->n + 1, sizeof(**keys));

	*keys = memory;
	for (size_t i = 0; i < l->n && !rc; i++)
		rc = sort_key(r, at, &l->items[i], attribute, cased, &(*keys)[i]);
	return rc;
}

/* Merge sort of indexes: stable, and it can fail. */
static int sort_indexes(struct render *r, const struct node *at, const struct value *keys, uint32_t *index,
			uint32_t *spare, size_t n, bool reverse)
{
	size_t half = n / 2, i = 0, k = half, to = 0;
	int rc = 0, order;

	if (n < 2)
		return 0;
	rc = sort_indexes(r, at, keys, index, spare, half, reverse);
	if (!rc)
		rc = sort_indexes(r, at, keys, index + half, spare, n - half, reverse);
	while (!rc && i < half && k < n) {
		rc = value_order(r, at, &keys[index[k]], &keys[index[i]], &order);
		spare[to++] = order == (reverse ? 1 : -1) ? index[k++] : index[i++];
	}
	if (rc)
		return rc;
	memcpy(spare + to, index + i, (half - i) * sizeof(*index));
	memcpy(index, spare, (to + half - i) * sizeof(*index));
	return 0;
}

static int sorted(struct render *r, const struct node *at, const struct list *l, const struct value *attribute,
		  bool cased, bool reverse, struct value *out)
{
	struct value *keys;
	void *index = NULL, *spare = NULL;
	int rc = sort_keys(r, at, l, attribute, cased, &keys);

	if (!rc)
		rc = render_alloc(r, at, &index, l->n + 1, sizeof(uint32_t));
	if (!rc)
		rc = render_alloc(r, at, &spare, l->n + 1, sizeof(uint32_t));
	for (size_t i = 0; i < l->n && !rc; i++)
		((uint32_t *)index)[i] = (uint32_t)i;
	if (!rc)
		rc = sort_indexes(r, at, keys, index, spare, l->n, reverse);
	if (!rc)
		rc = value_list(r, at, l->n, LIST_LIST, out);
	for (size_t i = 0; i < l->n && !rc; i++)
		rc = value_append(r, at, out->u.list, l->items[((uint32_t *)index)[i]]);
	return rc;
}

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static int filter_length(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	size_t n = 0;
	int rc = value_length(r, at, &a->v[0], &n);

	*out = value_int((int64_t)n);
	return rc;
}

static int filter_list(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	int rc = value_items(r, at, &a->v[0], &l);

	if (!rc)
		rc = value_list(r, at, l->n, LIST_LIST, out);
	for (size_t i = 0; !rc && i < l->n; i++)
		rc = value_append(r, at, out->u.list, l->items[i]);
	return rc;
}

static int filter_first(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	int rc = value_items(r, at, &a->v[0], &l);

	if (rc)
		return rc;
	if (!l->n)
		return value_undefined(r, at, out, "no first item, the sequence is empty");
	*out = l->items[0];
	return 0;
}

static int filter_last(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	int rc = value_items(r, at, &a->v[0], &l);

	if (rc)
		return rc;
	if (!l->n)
		return value_undefined(r, at, out, "no last item, the sequence is empty");
	*out = l->items[l->n - 1];
	return 0;
}

static int filter_join(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct value sep = value_text(""), v;
	struct list *l;
	int rc = value_items(r, at, &a->v[0], &l);

	if (!rc && a->v[1].kind != V_ABSENT)
		rc = value_to_str(r, at, &a->v[1], &sep);
	for (size_t i = 0; !rc && i < l->n; i++) {
		if (i)
			buf_add(&b, sep.u.s, sep.len);
		v = l->items[i];
		if (a->v[2].kind != V_ABSENT && a->v[2].kind != V_NONE)
			rc = get_path(r, at, &l->items[i], &a->v[2], &v);
		if (!rc)
			rc = value_print(r, at, &b, &v);
	}
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

static int filter_reverse(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value none = { .kind = V_ABSENT }, back = value_int(-1);
	struct list *l;
	int rc;

	if (a->v[0].kind == V_STR)
		return value_slice(r, at, &a->v[0], &none, &none, &back, out);
	rc = value_items(r, at, &a->v[0], &l);
	if (!rc)
		rc = value_list(r, at, l->n, LIST_GENERATOR, out);
	for (size_t i = rc ? 0 : l->n; !rc && i-- > 0;)
		rc = value_append(r, at, out->u.list, l->items[i]);
	return rc;
}

static int filter_sort(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	bool reverse, cased;
	int rc = value_items(r, at, &a->v[0], &l);

	if (!rc)
		rc = flag(r, at, &a->v[1], false, &reverse);
	if (!rc)
		rc = flag(r, at, &a->v[2], false, &cased);
	return rc ? rc : sorted(r, at, l, &a->v[3], cased, reverse, out);
}

static int filter_unique(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value *keys, *seen;
	struct list *l;
	void *memory;
	size_t n = 0;
	bool cased, same = false;
	int rc = value_items(r, at, &a->v[0], &l);

	if (!rc)
		rc = flag(r, at, &a->v[1], false, &cased);
	if (!rc)
		rc = sort_keys(r, at, l, &a->v[2], cased, &keys);
	if (!rc)
		rc = render_alloc(r, at, &memory, l->n + 1, sizeof(*seen));
	if (!rc)
		rc = value_list(r, at, 8, LIST_GENERATOR, out);
	seen = rc ? NULL : memory;
	for (size_t i = 0; !rc && i < l->n; i++) {
		same = false;
		for (size_t k = 0; k < n && !rc && !same; k++)
			rc = value_equal(r, at, &seen[k], &keys[i], &same);
		if (!rc && !same) {
			seen[n++] = keys[i];
			rc = value_append(r, at, out->u.list, l->items[i]);
		}
	}
	return rc;
}

static int extreme(struct render *r, const struct node *at, const struct args *a, int wanted, struct value *out)
{
	struct value *keys;
	struct list *l;
	size_t best = 0;
	bool cased;
	int order, rc = value_items(r, at, &a->v[0], &l);

	if (!rc)
		rc = flag(r, at, &a->v[1], false, &cased);
	if (!rc && !l->n)
		return value_undefined(r, at, out, "no aggregated item, the sequence is empty");
	if (!rc)
		rc = sort_keys(r, at, l, &a->v[2], cased, &keys);
	for (size_t i = 1; !rc && i < l->n; i++) {
		rc = value_order(r, at, &keys[i], &keys[best], &order);
		if (!rc && order == wanted)
			best = i;
	}
	if (!rc)
		*out = l->items[best];
	return rc;
}

static int filter_min(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return extreme(r, at, a, -1, out);
}

static int filter_max(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return extreme(r, at, a, 1, out);
}

static int filter_sum(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	int rc = value_items(r, at, &a->v[0], &l);

	*out = a->v[2].kind == V_ABSENT ? value_int(0) : a->v[2];
	for (size_t i = 0; !rc && i < l->n; i++) {
		struct value v = l->items[i], sum = *out;
		if (a->v[1].kind != V_ABSENT && a->v[1].kind != V_NONE)
			rc = get_path(r, at, &l->items[i], &a->v[1], &v);
		if (!rc)
			rc = value_binary(r, at, '+', &sum, &v, out);
	}
	return rc;
}

static int filter_items(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	if (a->v[0].kind == V_UNDEFINED) /* even where undefined is strict */
		return value_list(r, at, 1, LIST_GENERATOR, out);
	if (!value_is_dict(&a->v[0]))
		return render_error(r, at, "items: a dict is wanted, not a %s", value_type(&a->v[0]));
	return builtin_method(&a->v[0], "items", 5)->fn(r, at, a, out);
}

static int filter_dictsort(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value pairs, by;
	bool cased, by_value, reverse;
	int rc = filter_items(r, at, a, &pairs);

	if (!rc)
		rc = flag(r, at, &a->v[1], false, &cased);
	if (!rc)
		rc = flag(r, at, &a->v[3], false, &reverse);
	by_value = value_same_text(&a->v[2], "value");
	by = value_int(by_value);
	if (!rc && a->v[2].kind != V_ABSENT && !by_value && !value_same_text(&a->v[2], "key"))
		return render_error(r, at, "dictsort: by is key or value");
	return rc ? rc : sorted(r, at, pairs.u.list, &by, cased, reverse, out);
}

/* The members, unless the value is false, whatever it is: map and select give nothing then. */
static int some_items(struct render *r, const struct node *at, const struct value *v, struct list **out, bool *any)
{
	int rc = value_truth(r, at, v, any);

	return !rc && *any ? value_items(r, at, v, out) : rc;
}

static int filter_map(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *keywords = &a->v[TEMPLATE_MAX_ARGS], attribute_key = value_text("attribute"),
			   default_key = value_text("default");
	struct value attribute, otherwise = { .kind = V_ABSENT };
	const struct builtin *filter = NULL;
	struct list *l;
	bool any;
	int rc = some_items(r, at, &a->v[0], &l, &any);

	if (rc || !any)
		return rc ? rc : value_list(r, at, 1, LIST_GENERATOR, out);
	value_dict_get(keywords, &default_key, &otherwise);
	if (!value_dict_get(keywords, &attribute_key, &attribute)) {
		filter = a->v[1].kind == V_STR ? builtin_filter(a->v[1].u.s, a->v[1].len) : NULL;
		if (!filter)
			return render_error(r, at, "map: the name of a filter, or attribute=, is wanted");
	}
	rc = value_list(r, at, l->n, LIST_GENERATOR, out);
	for (size_t i = 0; !rc && i < l->n; i++) {
		struct value v;
		if (filter)
			rc = builtin_call(r, at, filter, &l->items[i], a->v + 2, a->n > 2 ? a->n - 2 : 0, NULL, 0, &v);
		else
			rc = get_path(r, at, &l->items[i], &attribute, &v);
		if (!rc && v.kind == V_UNDEFINED && otherwise.kind != V_ABSENT)
			v = otherwise;
		if (!rc)
			rc = value_append(r, at, out->u.list, v);
	}
	return rc;
}

/* select and its kin: members that pass a test (given at argument `from`), of an attribute if there is one. */
static int chosen(struct render *r, const struct node *at, const struct args *a, bool attribute, bool wanted,
		  struct value *out)
{
	int from = attribute ? 2 : 1;
	const struct builtin *test = NULL;
	struct list *l;
	bool any;
	int rc = some_items(r, at, &a->v[0], &l, &any);

	if (!rc && !any)
		return value_list(r, at, 1, LIST_GENERATOR, out);
	if (!rc && attribute && a->v[1].kind == V_ABSENT)
		return render_error(r, at, "the name of an attribute is wanted");
	if (!rc && a->v[from].kind != V_ABSENT) {
		test = a->v[from].kind == V_STR ? builtin_test(a->v[from].u.s, a->v[from].len) : NULL;
		if (!test)
			return render_error(r, at, "there is no such test");
	}
	if (!rc)
		rc = value_list(r, at, 8, LIST_GENERATOR, out);
	for (size_t i = 0; !rc && i < l->n; i++) {
		struct value v = l->items[i], passed;
		bool b = false;
		if (attribute)
			rc = get_path(r, at, &l->items[i], &a->v[1], &v);
		passed = v;
		if (!rc && test)
			rc = builtin_call(r, at, test, &v, a->v + from + 1, a->n > from + 1 ? a->n - from - 1 : 0, NULL,
					  0, &passed);
		if (!rc)
			rc = value_truth(r, at, &passed, &b);
		if (!rc && b == wanted)
			rc = value_append(r, at, out->u.list, l->items[i]);
	}
	return rc;
}

static int filter_select(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return chosen(r, at, a, false, true, out);
}

static int filter_reject(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return chosen(r, at, a, false, false, out);
}

static int filter_selectattr(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return chosen(r, at, a, true, true, out);
}

static int filter_rejectattr(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return chosen(r, at, a, true, false, out);
}

static int filter_default(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	bool falsy, b = true;
	int rc = flag(r, at, &a->v[2], false, &falsy);

	if (!rc && falsy && a->v[0].kind != V_UNDEFINED)
		rc = value_truth(r, at, &a->v[0], &b);
	*out = a->v[0];
	if (a->v[0].kind == V_UNDEFINED || !b)
		*out = a->v[1].kind == V_ABSENT ? value_text("") : a->v[1];
	return rc;
}

static int filter_safe(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return value_to_str(r, at, &a->v[0], out);
}

static const struct builtin filters[] = {
	{ "abs", 0, 0, "", filter_abs, B_NUMBER },
	{ "capitalize", 0, 0, "", filter_capitalize, 0 },
	{ "center", 0, 1, "width", filter_center, 0 },
	{ "count", 0, 0, "", filter_length, 0 },
	{ "d", 0, 2, "default_value,boolean", filter_default, B_UNDEFINED },
	{ "default", 0, 2, "default_value,boolean", filter_default, B_UNDEFINED },
	{ "dictsort", 0, 3, "case_sensitive,by,reverse", filter_dictsort, 0 },
	{ "e", 0, 0, "", filter_escape, 0 },
	{ "escape", 0, 0, "", filter_escape, 0 },
	{ "first", 0, 0, "", filter_first, 0 },
	{ "float", 0, 1, "default", filter_float, B_NUMBER },
	{ "format", 0, 0, "", filter_format, B_VARIADIC | B_KEYWORDS },
	{ "indent", 0, 3, "width,first,blank", filter_indent, 0 },
	{ "int", 0, 2, "default,base", filter_int, B_NUMBER },
	{ "items", 0, 0, "", filter_items, B_UNDEFINED },
	{ "join", 0, 2, "d,attribute", filter_join, 0 },
	{ "last", 0, 0, "", filter_last, 0 },
	{ "length", 0, 0, "", filter_length, 0 },
	{ "list", 0, 0, "", filter_list, 0 },
	{ "lower", 0, 0, "", filter_lower, 0 },
	{ "map", 0, 0, "", filter_map, B_VARIADIC | B_KEYWORDS },
	{ "max", 0, 2, "case_sensitive,attribute", filter_max, 0 },
	{ "min", 0, 2, "case_sensitive,attribute", filter_min, 0 },
	{ "regex_replace", 2, 3, "pattern,repl,count", filter_regex_replace, 0 },
	{ "reject", 0, 0, "", filter_reject, B_VARIADIC },
	{ "rejectattr", 0, 0, "", filter_rejectattr, B_VARIADIC },
	{ "replace", 2, 3, "old,new,count", filter_replace, 0 },
	{ "reverse", 0, 0, "", filter_reverse, 0 },
	{ "round", 0, 2, "precision,method", filter_round, B_NUMBER },
	{ "safe", 0, 0, "", filter_safe, 0 },
	{ "select", 0, 0, "", filter_select, B_VARIADIC },
	{ "selectattr", 0, 0, "", filter_selectattr, B_VARIADIC },
	{ "sort", 0, 3, "reverse,case_sensitive,attribute", filter_sort, 0 },
	{ "string", 0, 0, "", filter_string, 0 },
	{ "sum", 0, 2, "attribute,start", filter_sum, 0 },
	{ "title", 0, 0, "", filter_title, 0 },
	{ "tojson", 0, 1, "indent", filter_tojson, B_NUMBER },
	{ "trim", 0, 1, "chars", filter_trim, 0 },
	{ "unique", 0, 2, "case_sensitive,attribute", filter_unique, 0 },
	{ "upper", 0, 0, "", filter_upper, 0 },
	{ 0 },
};

const struct builtin *builtin_filter(const char *name, size_t len)
{
	return builtin_row(filters, name, len);
}

const char *builtin_nearest_filter(const char *name)
{
	const char *names[ARRAY_LEN(filters)];

	for (size_t i = 0; i + 1 < ARRAY_LEN(filters); i++)
		names[i] = filters[i].name;
	return opt_nearest(name, names, ARRAY_LEN(filters) - 1);
}
