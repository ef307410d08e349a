/* template_format.c: Python's two ways to format: "%05.2f" % x and "{:05.2f}".format(x).
 *
 * A field is read into one struct spec, whichever language it is written in. Of a number snprintf prints the magnitude
 * only; sign, prefix, zeros and commas are put before it as Python does, whose rules are not C's (-0xff, 0o10, a float
 * without a type). Text is padded by code points. A width or precision beyond what a template may
 * write is an error, and so is what is not known (nested fields, attributes in braces, "*" widths). */
#include "base/base.h"

#include <math.h>

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

struct spec {      /* of one field */
	char type; /* 0: by the value */
	char sign; /* of what is not negative: '+', ' ', or 0 for none */
	bool alternate, zero, comma;
	int width, precision; /* -1: none */
	char align;           /* 0: by the value */
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

static bool is_type(const struct spec *s, const char *types)
{
	return s->type && strchr(types, s->type);
}

/* Of a magnitude: Python writes the sign apart. At least one digit, whatever the precision. */
static char *integer_digits(const struct spec *s, uint64_t n)
{
	int precision = s->precision < 1 ? 1 : s->precision;
	unsigned long long u = n;

	return s->type == 'x'   ? mem_printf("%.*llx", precision, u)
	       : s->type == 'X' ? mem_printf("%.*llX", precision, u)
	       : s->type == 'o' ? mem_printf("%.*llo", precision, u)
				: mem_printf("%.*llu", precision, u);
}

/* Without zeros at the end of its fraction; ".0" stays if point. */
static void trim_fraction(char *text, bool point)
{
	char *dot = strchr(text, '.'), *e = strchr(text, 'e'), *end = e ? e : text + strlen(text), *last = end;

	while (dot && last > dot + 1 + point && last[-1] == '0')
		last--;
	if (dot && last == dot + 1)
		last = dot;
	memmove(last, end, strlen(end) + 1);
}

/* Of a float for which no type is written: so many significant digits, an exponent where they end before the point, and
 * else a digit behind it. */
static char *general_digits(int precision, double f)
{
	int exponent;
	char *text;

	precision = precision < 1 ? 1 : precision;
	text = mem_printf("%.*e", precision - 1, f);
	if (f - f != 0)
		return text;
	exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	if (exponent < -4 || exponent >= precision - 1) {
		trim_fraction(text, false);
		return text;
	}
	free(text);
	text = mem_printf("%.*f", precision - 1 - exponent, f);
	trim_fraction(text, true);
	return text;
}

/* Of a magnitude again. */
static int float_digits(struct render *r, const struct node *at, const struct spec *s, double f, char **out)
{
	bool share = s->type == '%';
	char format[] = { '%', '#', '.', '*', share ? 'f' : s->type, share ? '%' : '\0', '%', '\0' };
	const struct value v = { .kind = V_FLOAT, .u.f = f };
	struct buf shortest = BUF_INIT(64);
	int rc = 0;

	if (s->type) {
		if (!s->alternate)
			memmove(format + 1, format + 2, sizeof(format) - 2);
		*out = mem_printf(format, s->precision < 0 ? 6 : s->precision, share ? f * 100 : f);
	} else if (s->precision >= 0) {
		*out = general_digits(s->precision, f);
	} else {
		rc = value_repr(r, at, &shortest, &v, 0);
		*out = mem_str(buf_str(&shortest));
		buf_release(&shortest);
	}
	return rc;
}

/* Sign, prefix, then the digits before the point: with zeros up to the width, if it wants them, and commas. */
static void put_number(struct buf *b, const struct spec *s, bool negative, const char *prefix, const char *text)
{
	char sign = negative ? '-' : s->sign;
	size_t digits = strspn(text, "0123456789"), used = (sign != 0) + strlen(prefix) + strlen(text + digits),
	       width = s->zero && !s->align && s->width > 0 ? (size_t)s->width : 0, n = digits;

	while (used + n + (s->comma && n ? (n - 1) / 3 : 0) < width)
		n++;
	if (sign)
		buf_addc(b, sign);
	buf_adds(b, prefix);
	for (size_t i = 0; i < n; i++) {
		if (s->comma && i && (n - i) % 3 == 0)
			buf_addc(b, ',');
		buf_addc(b, i < n - digits ? '0' : text[i - (n - digits)]);
	}
	buf_adds(b, text + digits);
}

static int format_number(struct render *r, const struct node *at, struct buf *b, const struct spec *s,
			 const struct value *v)
{
	bool whole = is_type(s, "diuxXo"), negative;
	const char *prefix = "";
	char *text = NULL;
	double f;
	int rc = 0;

	if (!value_is_number(v))
		return render_error(r, at, "a number is wanted for %%%c, not a %s", s->type, value_type(v));
	if (s->width > (int)TEMPLATE_MAX_OUTPUT || s->precision > (int)TEMPLATE_MAX_OUTPUT)
		return render_error(r, at, "a width or precision of more than %zu characters",
				    (size_t)TEMPLATE_MAX_OUTPUT);
	f = value_number(v);
	if (whole && (f - f != 0 || f >= 9.3e18 || f <= -9.3e18 || (v->kind == V_FLOAT && is_type(s, "xXo"))))
		return render_error(r, at, "an integer is wanted for %%%c", s->type);
	if (whole) {
		uint64_t n = v->kind == V_FLOAT ? (uint64_t)fabs(f) : (uint64_t)value_integer(v);

		negative = v->kind == V_FLOAT ? f <= -1 : value_integer(v) < 0;
		text = integer_digits(s, negative && v->kind != V_FLOAT ? -n : n);
		if (s->alternate)
			prefix = s->type == 'x' ? "0x" : s->type == 'X' ? "0X" : s->type == 'o' ? "0o" : "";
	} else {
		negative = signbit(f) && !isnan(f);
		rc = float_digits(r, at, s, fabs(f), &text);
	}
	if (!rc)
		put_number(b, s, negative, prefix, text);
	free(text);
	return rc;
}

/* The text of %c: of one character, or of a character's number. */
static int format_character(struct render *r, const struct node *at, struct buf *b, const struct value *v)
{
	char text[4];

	if (v->kind == V_STR && utf8_count(v->u.s, v->len) == 1) {
		buf_add(b, v->u.s, v->len);
		return 0;
	}
	if ((v->kind != V_INT && v->kind != V_BOOL) || value_integer(v) < 0 || value_integer(v) > 0x10ffff ||
	    (value_integer(v) >= 0xd800 && value_integer(v) < 0xe000))
		return render_error(r, at, "one character is wanted for %%c");
	buf_add(b, text, utf8_put(text, (uint32_t)value_integer(v)));
	return 0;
}

/* number: as one, where no type is written. */
static int format_one(struct render *r, const struct node *at, struct buf *out, const struct spec *s,
		      const struct value *v, bool number)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	struct value text, padded;
	char align = s->align;
	int rc;

	if (s->type && !strchr("diouxXeEfFgG%src", s->type))
		return render_error(r, at, "the format %%%c is not supported", s->type);
	number = number || is_type(s, "diouxXeEfFgG%");
	if (number)
		rc = format_number(r, at, &b, s, v);
	else if (s->type == 'c')
		rc = format_character(r, at, &b, v);
	else
		rc = s->type == 'r' ? value_repr(r, at, &b, v, 0) : value_print(r, at, &b, v);
	if (rc) {
		buf_release(&b);
		return rc;
	}
	rc = value_from_buf(r, at, &b, &text);
	if (!rc && s->precision >= 0 && !number && s->type != 'c') {
		const struct value none = { .kind = V_ABSENT }, stop = value_int(s->precision);
		rc = value_slice(r, at, &text, &none, &stop, &none, &text);
	}
	if (!align)
		align = number ? '>' : '<';
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
	int rc = 0;

	if (*p < end && **p == '%') {
		++*p;
		buf_addc(b, '%');
		return 0;
	}
	rc = percent_value(r, at, p, end, values, next, &v);
	for (; *p < end && **p && strchr("#0- +", **p); ++*p) {
		if (**p == '-')
			s.align = '<';
		else if (**p == '+' || (**p == ' ' && !s.sign))
			s.sign = **p;
		s.zero = s.zero || **p == '0';
		s.alternate = s.alternate || **p == '#';
	}
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
	if (!s.align && is_type(&s, "src"))
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

/* What Python refuses: a type that is not of the value's kind, and what the type has no use for. */
static int check_spec(struct render *r, const struct node *at, const struct spec *s, const struct value *v)
{
	bool whole = v->kind == V_INT || v->kind == V_BOOL, plain = s->sign || s->comma || s->alternate;

	if (v->kind == V_STR ? (s->type && s->type != 's') || plain
	    : v->kind == V_FLOAT
		    ? (s->type && !is_type(s, "eEfFgG%")) || (s->alternate && !s->type)
		    : !whole || (s->type && !is_type(s, "doxXeEfFgG%")) || (s->comma && is_type(s, "oxX")) ||
			      (s->precision >= 0 && !is_type(s, "eEfFgG%")))
		return render_error(r, at, "a format that a %s cannot have", value_type(v));
	return 0;
}

/* "[[fill]align][sign][#][0][width][,][.precision][type]" of str.format. */
static int read_spec(struct render *r, const struct node *at, const char *p, const char *end, const struct value *v,
		     struct spec *s)
{
	size_t used = 0;
	bool filled;

	*s = (struct spec){ .precision = -1, .fill = value_text(" ") };
	if (p < end)
		utf8_next(p, (size_t)(end - p), &used);
	filled = p + used < end && p[used] && strchr("<>^", p[used]);
	if (filled) {
		s->fill = (struct value){ .kind = V_STR, .len = (uint32_t)used, .u.s = p };
		p += used;
	}
	if (p < end && *p && strchr("<>^", *p))
		s->align = *p++;
	if (p < end && *p && strchr("+- ", *p)) {
		s->sign = *p == '-' ? 0 : *p;
		p++;
	}
	if (p < end && *p == '#') {
		s->alternate = true;
		p++;
	}
	if (p < end && *p == '0') {
		s->zero = true;
		if (!filled)
			s->fill = value_text("0");
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
		if (s->precision < 0)
			return render_error(r, at, "a format without the precision behind its point");
	}
	if (p < end)
		s->type = *p++;
	else if (v->kind == V_INT || v->kind == V_BOOL)
		s->type = s->precision < 0 ? 'd' : 0;
	return p < end ? render_error(r, at, "a format that is not supported") : check_spec(r, at, s, v);
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

/* "!r" and "!s": what is formatted then is a text. */
static int make_text(struct render *r, const struct node *at, struct value *v, bool repr)
{
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int rc = repr ? value_repr(r, at, &b, v, 0) : value_print(r, at, &b, v);

	if (!rc)
		return value_from_buf(r, at, &b, v);
	buf_release(&b);
	return rc;
}

static int brace_field(struct render *r, const struct node *at, const struct args *a, struct buf *b, const char *field,
		       const char *end, int *next)
{
	const char *colon = memchr(field, ':', (size_t)(end - field)), *stop = colon ? colon : end;
	bool repr = stop - field >= 2 && !memcmp(stop - 2, "!r", 2),
	     str = stop - field >= 2 && !memcmp(stop - 2, "!s", 2);
	struct value name = { .kind = V_STR, .len = (uint32_t)(stop - field - (repr || str ? 2 : 0)), .u.s = field }, v;
	struct spec s = { .width = -1, .precision = -1, .fill = value_text(" ") };
	int rc = brace_value(r, at, a, &name, next, &v);

	if (!rc && repr)
		rc = make_text(r, at, &v, true);
	else if (!rc && str)
		rc = make_text(r, at, &v, false);
	if (rc || !colon || colon + 1 == end) /* its text, also of what no other format can have */
		return rc ? rc : format_one(r, at, b, &s, &v, false);
	rc = read_spec(r, at, colon + 1, end, &v, &s);
	return rc ? rc : format_one(r, at, b, &s, &v, v.kind != V_STR);
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
