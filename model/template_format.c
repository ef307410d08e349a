/* template_format.c: Python's two ways to format: "%05.2f" % x and "{:05.2f}".format(x).
 *
 * A field is read into one struct spec, whichever language it is written in; numbers are then printed by snprintf from a
 * format made of checked parts (flags, type), text is padded by code points. A width or precision beyond what a template may
 * write is an error, and so is what is not known (nested fields, attributes in braces, "*" widths). */
#include "base/base.h"

#include "model/template_int.h"

/* side: '<' text first, '>' fill first, '^' both, 'c' both as str.center() has it. */
int text_pad(struct render *r, const struct node *at, const struct value *v, int64_t width, char side,
	     const struct value *fill, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int64_t missing = width - (int64_t)utf8_count(v->u.s, v->len), left;

	if (fill->len == 0 || utf8_count(fill->u.s, fill->len) != 1)
		return render_error(r, at, "one character to fill with is wanted");
	if (width > (int64_t)TEMPLATE_MAX_OUTPUT)
		return render_error(r, at, "a width of more than %zu characters", (size_t)TEMPLATE_MAX_OUTPUT);
	if (missing < 0)
		missing = 0;
	left = side == '>' ? missing : side == '<' ? 0 : missing / 2 + (side == 'c' ? missing & width & 1 : 0);
	for (int64_t i = 0; i < left; i++)
		buf_add(&b, fill->u.s, fill->len);
	buf_add(&b, v->u.s, v->len);
	for (int64_t i = left; i < missing; i++)
		buf_add(&b, fill->u.s, fill->len);
	return value_from_buf(r, at, &b, out);
}

enum { SPEC_MAX = 100000000 }; /* beyond what may be written */

struct spec { /* of one field, in printf's terms */
	char flags[8], type;
	int width, precision; /* -1: none */
	char align;           /* 0: by the type */
	bool comma;
	struct value fill;
};

/* Digits of a width or precision; -1 if there are none. What is too large stays so. */
static int spec_number(const char **p, const char *end)
{
	int n = -1;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
		n = (n < 0 ? 0 : n) * 10 + (**p - '0');
		n = n > SPEC_MAX ? SPEC_MAX : n;
	}
	return n;
}

/* A comma between each three of the digits before the point. */
static void add_commas(struct buf *b, const char *text)
{
	size_t sign = strspn(text, "+- "), digits = strspn(text + sign, "0123456789");

	buf_add(b, text, sign);
	for (size_t i = 0; i < digits; i++) {
		if (i && (digits - i) % 3 == 0)
			buf_addc(b, ',');
		buf_addc(b, text[sign + i]);
	}
	buf_adds(b, text + sign + digits);
}

static int format_number(struct render *r, const struct node *at, struct buf *b, const struct spec *s,
			 const struct value *v)
{
	char format[48], *text;
	bool whole = strchr("diuxXoc", s->type) != NULL;
	int precision = s->precision, width = s->width;
	const char *length = whole ? "ll" : "", *percent = s->type == '%' ? "f" : NULL;
	char type[2] = { s->type, '\0' };
	double f;

	if (!value_is_number(v))
		return render_error(r, at, "a number is wanted for %%%c, not a %s", s->type, value_type(v));
	if (width > (int)TEMPLATE_MAX_OUTPUT || precision > (int)TEMPLATE_MAX_OUTPUT)
		return render_error(r, at, "a width or precision of more than %zu characters",
				    (size_t)TEMPLATE_MAX_OUTPUT);
	f = value_number(v);
	if (whole && (f - f != 0 || f >= 9.3e18 || f <= -9.3e18))
		return render_error(r, at, "an integer is wanted for %%%c", s->type);
	if (precision >= 0)
		snprintf(format, sizeof(format), "%%%s*.%d%s%s", s->flags, precision, length, percent ? percent : type);
	else
		snprintf(format, sizeof(format), "%%%s*%s%s", s->flags, length, percent ? percent : type);
	if (s->align || width < 0)
		width = 0;
	if (whole)
		text = mem_printf(format, width,
				  v->kind == V_FLOAT ? (long long)f
				  : v->kind == V_INT ? (long long)v->u.i
						     : (long long)v->u.b);
	else
		text = mem_printf(format, width, percent ? f * 100 : f);
	if (s->comma)
		add_commas(b, text);
	else
		buf_adds(b, text);
	if (percent)
		buf_addc(b, '%');
	free(text);
	return 0;
}

static int format_one(struct render *r, const struct node *at, struct buf *out, const struct spec *s,
		      const struct value *v, bool repr)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct value text, padded;
	char align = s->align;
	int rc;

	if (s->type && !strchr("diouxXeEfFgG%src", s->type))
		return render_error(r, at, "the format %%%c is not supported", s->type);
	if (s->type && strchr("diouxXeEfFgG%", s->type)) {
		rc = format_number(r, at, &b, s, v);
	} else {
		rc = repr || s->type == 'r' ? value_repr(r, at, &b, v, 0) : value_print(r, at, &b, v);
	}
	if (rc) {
		buf_release(&b);
		return rc;
	}
	rc = value_from_buf(r, at, &b, &text);
	if (!rc && s->precision >= 0 && (!s->type || strchr("src", s->type))) {
		const struct value none = { .kind = V_ABSENT }, stop = value_int(s->precision);
		rc = value_slice(r, at, &text, &none, &stop, &none, &text);
	}
	if (!align)
		align = s->type && !strchr("src", s->type) ? '>' : '<';
	if (!rc)
		rc = text_pad(r, at, &text, s->width < 0 ? 0 : s->width, align, &s->fill, &padded);
	if (!rc)
		buf_add(out, padded.u.s, padded.len);
	return rc;
}

/* The value for the next field of a "%" format. */
static int percent_value(struct render *r, const struct node *at, const char **p, const char *end,
			 const struct value *values, size_t *next, struct value *out)
{
	const char *close;
	struct value key;

	if (*p < end && **p == '(') {
		close = memchr(*p, ')', (size_t)(end - *p));
		key = (struct value){ .kind = V_STR, .len = close ? (uint32_t)(close - *p - 1) : 0, .u.s = *p + 1 };
		if (!close || !value_is_dict(values) || !value_dict_get(values, &key, out))
			return render_error(r, at, "the format asks for a member that is not there");
		*p = close + 1;
		return 0;
	}
	if (value_is(values, LIST_TUPLE) ? *next >= values->u.list->n : *next >= 1)
		return render_error(r, at, "too few values for the format");
	*out = value_is(values, LIST_TUPLE) ? values->u.list->items[*next] : *values;
	++*next;
	return 0;
}

static int percent_field(struct render *r, const struct node *at, struct buf *b, const char **p, const char *end,
			 const struct value *values, size_t *next)
{
	struct spec s = { .precision = -1, .fill = value_text(" ") };
	struct value v = value_none();
	size_t flags = 0;
	int rc = 0;

	if (*p < end && **p == '%') {
		++*p;
		buf_addc(b, '%');
		return 0;
	}
	rc = percent_value(r, at, p, end, values, next, &v);
	while (*p < end && strchr("#0- +", **p) && flags < sizeof(s.flags) - 1)
		s.flags[flags++] = *(*p)++;
	s.width = spec_number(p, end);
	if (*p < end && **p == '.') {
		++*p;
		s.precision = spec_number(p, end);
		if (s.precision < 0)
			s.precision = 0;
	}
	if (*p == end)
		return rc ? rc : render_error(r, at, "the format ends inside a field");
	s.type = *(*p)++;
	if (s.type == '%')
		return render_error(r, at, "the format %%%% takes no width");
	if (strchr(s.flags, '-'))
		s.align = '<';
	else if (strchr("src", s.type))
		s.align = '>';
	return rc ? rc : format_one(r, at, b, &s, &v, false);
}

int format_percent(struct render *r, const struct node *at, const struct value *format, const struct value *values,
		   struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	const char *p = format->u.s, *end = p + format->len;
	size_t next = 0;
	int rc = 0;

	while (p < end && !rc) {
		if (*p++ == '%')
			rc = percent_field(r, at, &b, &p, end, values, &next);
		else
			buf_addc(&b, p[-1]);
	}
	if (!rc && !value_is_dict(values) && !value_is(values, LIST_LIST) &&
	    next < (value_is(values, LIST_TUPLE) ? values->u.list->n : 1))
		rc = render_error(r, at, "more values than the format has fields");
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}

/* "[[fill]align][sign][0][width][,][.precision][type]" of str.format. */
static int read_spec(struct render *r, const struct node *at, const char *p, const char *end, const struct value *v,
		     struct spec *s)
{
	size_t used = 0, flags = 0;

	*s = (struct spec){ .precision = -1, .fill = value_text(" ") };
	if (p < end)
		utf8_next(p, (size_t)(end - p), &used);
	if (p + used < end && strchr("<>^", p[used])) {
		s->fill = (struct value){ .kind = V_STR, .len = (uint32_t)used, .u.s = p };
		p += used;
	}
	if (p < end && strchr("<>^", *p))
		s->align = *p++;
	while (p < end && strchr("+- 0", *p) && flags < sizeof(s->flags) - 1) {
		if (*p != '-')
			s->flags[flags++] = *p;
		p++;
	}
	s->width = spec_number(&p, end);
	if (p < end && *p == ',') {
		s->comma = true;
		p++;
	}
	if (p < end && *p == '.') {
		p++;
		s->precision = spec_number(&p, end);
	}
	if (p < end)
		s->type = *p++;
	else if (s->comma || (strchr(s->flags, '0') && v->kind == V_INT) || (strchr(s->flags, '+') && v->kind == V_INT))
		s->type = v->kind == V_FLOAT ? 'f' : 'd';
	if (!s->type && !s->align && value_is_number(v))
		s->align = '>';
	return p < end ? render_error(r, at, "a format that is not supported") : 0;
}

static int brace_value(struct render *r, const struct node *at, const struct args *a, const struct value *name,
		       int *next, struct value *out)
{
	const char *p = name->u.s;
	int i = name->len ? spec_number(&p, name->u.s + name->len) : (*next)++;

	if (p == name->u.s + name->len) {
		if (i < 0 || i + 1 >= a->n)
			return render_error(r, at, "format: there is no argument %d", i);
		*out = a->v[i + 1];
		return 0;
	}
	if (!value_dict_get(&a->v[TEMPLATE_MAX_ARGS], name, out))
		return render_error(r, at, "format: there is no argument \"%.*s\"",
				    name->len < 100 ? (int)name->len : 100, name->u.s);
	return 0;
}

static int brace_field(struct render *r, const struct node *at, const struct args *a, struct buf *b, const char *field,
		       const char *end, int *next)
{
	const char *colon = memchr(field, ':', (size_t)(end - field)), *stop = colon ? colon : end;
	bool repr = stop - field >= 2 && !memcmp(stop - 2, "!r", 2),
	     str = stop - field >= 2 && !memcmp(stop - 2, "!s", 2);
	struct value name = { .kind = V_STR, .len = (uint32_t)(stop - field - (repr || str ? 2 : 0)), .u.s = field }, v;
	struct spec s;
	int rc = brace_value(r, at, a, &name, next, &v);

	if (!rc)
		rc = read_spec(r, at, colon ? colon + 1 : end, end, &v, &s);
	return rc ? rc : format_one(r, at, b, &s, &v, repr);
}

int str_format(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	const char *p = a->v[0].u.s, *end = p + a->v[0].len, *close;
	int next = 0, rc = 0;

	while (p < end && !rc) {
		char c = *p++;
		if ((c == '{' || c == '}') && p < end && *p == c) {
			buf_addc(&b, c);
			p++;
			continue;
		}
		if (c != '{') {
			if (c == '}')
				rc = render_error(r, at, "format: a single }");
			buf_addc(&b, c);
			continue;
		}
		close = memchr(p, '}', (size_t)(end - p));
		rc = close ? brace_field(r, at, a, &b, p, close, &next) : render_error(r, at, "format: a { without }");
		p = close ? close + 1 : end;
	}
	if (!rc)
		return value_from_buf(r, at, &b, out);
	buf_release(&b);
	return rc;
}
