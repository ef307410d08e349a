/* template_arithmetic.c: + - * / // % ** on values, as Python has them.
 *
 * -7 // 2 is -4 and -7 % 2 is 1; / and negative powers make floats; + joins texts and lists, * repeats them, % on a text
 * formats it. Integers are 64 bits; what would not fit is an error, not a wrap. */
#include "base/base.h"

#include <math.h>

#include "model/template_int.h"

static int no_operator(struct render *r, const struct node *at, const char *op, const struct value *a,
		       const struct value *b)
{
	return render_error(r, at, "\"%s\" is not for a %s and a %s", op, value_type(a), value_type(b));
}

static int integer_power(int64_t a, int64_t b, int64_t *out)
{
	*out = 1;
	while (b) {
		if ((b & 1) && __builtin_mul_overflow(*out, a, out))
			return -1;
		b >>= 1;
		if (b && __builtin_mul_overflow(a, a, &a))
			return -1;
	}
	return 0;
}

static int integers(struct render *r, const struct node *at, int op, int64_t a, int64_t b, struct value *out)
{
	int64_t x = 0;
	bool over = false;

	if ((op == OP_FLOORDIV || op == '%') && b == 0)
		return render_error(r, at, "division by zero");
	if (op == '+')
		over = __builtin_add_overflow(a, b, &x);
	else if (op == '-')
		over = __builtin_sub_overflow(a, b, &x);
	else if (op == '*')
		over = __builtin_mul_overflow(a, b, &x);
	else if (op == OP_POW)
		over = integer_power(a, b, &x) != 0;
	else if (b == -1)
		over = op == OP_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &x);
	else if (op == OP_FLOORDIV)
		x = a / b - (a % b != 0 && (a < 0) != (b < 0));
	else
		x = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
	if (over)
		return render_error(r, at, "the result does not fit into 64 bits");
	*out = value_int(x);
	return 0;
}

static int floats(struct render *r, const struct node *at, int op, double a, double b, struct value *out)
{
	double x, m;

	if ((op == '/' || op == OP_FLOORDIV || op == '%') && b == 0)
		return render_error(r, at, "division by zero");
	switch (op) {
	case '+':
		x = a + b;
		break;
	case '-':
		x = a - b;
		break;
	case '*':
		x = a * b;
		break;
	case '/':
		x = a / b;
		break;
	case OP_POW:
		x = pow(a, b); /* style: allow: text of a template, not a score */
		break;
	default:
		m = fmod(a, b);
		if (m != 0 && (m < 0) != (b < 0))
			m += b;
		x = op == '%' ? m : floor((a - m) / b + 0.5);
		break;
	}
	*out = value_float(x);
	return 0;
}

static int repeat(struct render *r, const struct node *at, const struct value *v, int64_t times, struct value *out)
{
	size_t n = times > 0 ? (size_t)times : 0;
	struct buf b = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int rc;

	if (v->kind == V_STR) {
		if (v->len && n > TEMPLATE_MAX_OUTPUT / v->len)
			return render_error(r, at, "a text of more than %zu MiB", TEMPLATE_MAX_OUTPUT >> 20);
		for (size_t i = 0; i < n && v->len; i++)
			buf_add(&b, v->u.s, v->len);
		return value_from_buf(r, at, &b, out);
	}
	rc = value_list(r, at, 8, value_is(v, LIST_TUPLE) ? LIST_TUPLE : LIST_LIST, out);
	for (size_t i = 0; i < n && value_list_size(v) && !rc; i++)
		for (size_t k = 0; k < value_list_size(v) && !rc; k++)
			rc = value_append(r, at, out->u.list, value_list_at(v, k));
	return rc;
}

static int join_two(struct render *r, const struct node *at, const struct value *a, const struct value *b,
		    struct value *out)
{
	int rc;

	if (a->kind == V_STR) {
		void *text;
		rc = render_alloc(r, at, &text, (size_t)a->len + b->len + 1, 1);
		if (rc)
			return rc;
		if (a->len)
			memcpy(text, a->u.s, a->len);
		if (b->len)
			memcpy((char *)text + a->len, b->u.s, b->len);
		*out = (struct value){ .kind = V_STR, .len = a->len + b->len, .u.s = text };
		return 0;
	}
	rc = value_list(r, at, value_list_size(a) + value_list_size(b),
			value_is(a, LIST_TUPLE) ? LIST_TUPLE : LIST_LIST, out);
	for (size_t i = 0; i < value_list_size(a) && !rc; i++)
		rc = value_append(r, at, out->u.list, value_list_at(a, i));
	for (size_t i = 0; i < value_list_size(b) && !rc; i++)
		rc = value_append(r, at, out->u.list, value_list_at(b, i));
	return rc;
}

int value_binary(struct render *r, const struct node *at, int op, const struct value *a, const struct value *b,
		 struct value *out)
{
	char name[4] = { (char)op, '\0' };
	bool lists = (value_is(a, LIST_LIST) && value_is(b, LIST_LIST)) ||
		     (value_is(a, LIST_TUPLE) && value_is(b, LIST_TUPLE));
	int rc = value_use(r, at, a);

	if (!rc)
		rc = value_use(r, at, b);
	if (rc)
		return rc;
	if (value_is_number(a) && value_is_number(b)) {
		if (a->kind == V_FLOAT || b->kind == V_FLOAT || op == '/' || (op == OP_POW && value_integer(b) < 0))
			return floats(r, at, op, value_number(a), value_number(b), out);
		return integers(r, at, op, value_integer(a), value_integer(b), out);
	}
	if (op == '+' && ((a->kind == V_STR && b->kind == V_STR) || lists))
		return join_two(r, at, a, b, out);
	if (op == '*' && (a->kind == V_STR || value_is(a, LIST_LIST) || value_is(a, LIST_TUPLE)) &&
	    (b->kind == V_INT || b->kind == V_BOOL))
		return repeat(r, at, a, value_integer(b), out);
	if (op == '*' && (b->kind == V_STR || value_is(b, LIST_LIST) || value_is(b, LIST_TUPLE)) &&
	    (a->kind == V_INT || a->kind == V_BOOL))
		return repeat(r, at, b, value_integer(a), out);
	if (op == '%' && a->kind == V_STR)
		return format_percent(r, at, a, b, out);
	if (op == OP_FLOORDIV || op == OP_POW)
		snprintf(name, sizeof(name), "%s", op == OP_POW ? "**" : "//");
	return no_operator(r, at, name, a, b);
}
