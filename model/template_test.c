/* template_test.c: the tests (x is none) of Jinja that task files and chat templates use.
 *
 * Most ask for a kind and take what is undefined too; those that compare treat it as the operators do. */
#include "base/base.h"

#include "model/template_int.h"

static int test_defined(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind != V_UNDEFINED);
	return 0;
}

static int test_undefined(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_UNDEFINED);
	return 0;
}

static int test_none(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_NONE);
	return 0;
}

static int test_string(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_STR);
	return 0;
}

static int test_number(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(value_is_number(v));
	return 0;
}

static int test_integer(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_INT);
	return 0;
}

static int test_float(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_FLOAT);
	return 0;
}

static int test_boolean(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_BOOL);
	return 0;
}

static int test_true(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_BOOL && v->u.b);
	return 0;
}

static int test_false(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_BOOL && !v->u.b);
	return 0;
}

static int test_mapping(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(value_is_dict(v) && !(v->kind == V_DICT && v->u.dict->namespace));
	return 0;
}

static int test_callable(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)r;
	(void)at;
	*out = value_bool(v->kind == V_FUNC || v->kind == V_METHOD || v->kind == V_MACRO);
	return 0;
}

static int test_sequence(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *v = &a->v[0];

	(void)at;
	*out = value_bool(v->kind == V_STR || value_is(v, LIST_LIST) || value_is(v, LIST_TUPLE) ||
			  value_is(v, LIST_RANGE) ||
			  (value_is_dict(v) && !(v->kind == V_DICT && v->u.dict->namespace)) ||
			  (v->kind == V_UNDEFINED && value_lenient(r, v)));
	return 0;
}

static int test_iterable(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = value_lenient(r, &a->v[0]) ? 0 : value_use(r, at, &a->v[0]);

	*out = value_bool(a->v[0].kind == V_STR || value_is_list(&a->v[0]) || a->v[0].kind == V_UNDEFINED ||
			  (value_is_dict(&a->v[0]) && !(a->v[0].kind == V_DICT && a->v[0].u.dict->namespace)));
	return rc;
}

static int relation(struct render *r, const struct node *at, const struct args *a, int low, int high, struct value *out)
{
	int order = 0, rc = value_order(r, at, &a->v[0], &a->v[1], &order);

	*out = value_bool(order >= low && order <= high);
	return rc;
}

static int test_lt(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return relation(r, at, a, -1, -1, out);
}

static int test_le(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return relation(r, at, a, -1, 0, out);
}

static int test_gt(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return relation(r, at, a, 1, 1, out);
}

static int test_ge(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return relation(r, at, a, 0, 1, out);
}

static int test_eq(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	bool same = false;
	int rc = value_equal(r, at, &a->v[0], &a->v[1], &same);

	*out = value_bool(same);
	return rc;
}

static int test_ne(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = test_eq(r, at, a, out);

	out->u.b = !out->u.b;
	return rc;
}

static int test_sameas(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value *x = &a->v[0], *y = &a->v[1];

	if (x->kind != y->kind) {
		*out = value_bool(false);
		return 0;
	}
	if (x->kind >= V_LIST) {
		*out = value_bool(x->u.json == y->u.json);
		return 0;
	}
	return test_eq(r, at, a, out);
}

static int test_in(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	bool in = false;
	int rc = value_contains(r, at, &a->v[1], &a->v[0], &in);

	*out = value_bool(in);
	return rc;
}

/* v % by == rest */
static int remainder_is(struct render *r, const struct node *at, const struct value *v, const struct value *by,
			int64_t rest, struct value *out)
{
	const struct value wanted = value_int(rest);
	struct value left;
	bool same = false;
	int rc = value_binary(r, at, '%', v, by, &left);

	if (!rc)
		rc = value_equal(r, at, &left, &wanted, &same);
	*out = value_bool(same);
	return rc;
}

static int test_even(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value two = value_int(2);

	return remainder_is(r, at, &a->v[0], &two, 0, out);
}

static int test_odd(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	const struct value two = value_int(2);

	return remainder_is(r, at, &a->v[0], &two, 1, out);
}

static int test_divisibleby(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return remainder_is(r, at, &a->v[0], &a->v[1], 0, out);
}

static int test_lower(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return filter_by_method(r, at, a, "islower", out);
}

static int test_upper(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return filter_by_method(r, at, a, "isupper", out);
}

static const struct builtin tests[] = {
	{ "defined", 0, 0, "", test_defined, B_UNDEFINED },
	{ "undefined", 0, 0, "", test_undefined, B_UNDEFINED },
	{ "none", 0, 0, "", test_none, B_UNDEFINED },
	{ "string", 0, 0, "", test_string, B_UNDEFINED },
	{ "number", 0, 0, "", test_number, B_UNDEFINED },
	{ "integer", 0, 0, "", test_integer, B_UNDEFINED },
	{ "float", 0, 0, "", test_float, B_UNDEFINED },
	{ "boolean", 0, 0, "", test_boolean, B_UNDEFINED },
	{ "true", 0, 0, "", test_true, B_UNDEFINED },
	{ "false", 0, 0, "", test_false, B_UNDEFINED },
	{ "mapping", 0, 0, "", test_mapping, B_UNDEFINED },
	{ "sequence", 0, 0, "", test_sequence, B_UNDEFINED },
	{ "iterable", 0, 0, "", test_iterable, B_UNDEFINED },
	{ "callable", 0, 0, "", test_callable, B_UNDEFINED },
	{ "sameas", 1, 1, "other", test_sameas, B_UNDEFINED },
	{ "in", 1, 1, "seq", test_in, B_UNDEFINED },
	{ "eq", 1, 1, "other", test_eq, B_UNDEFINED },
	{ "equalto", 1, 1, "other", test_eq, B_UNDEFINED },
	{ "==", 1, 1, "other", test_eq, B_UNDEFINED },
	{ "ne", 1, 1, "other", test_ne, B_UNDEFINED },
	{ "!=", 1, 1, "other", test_ne, B_UNDEFINED },
	{ "lt", 1, 1, "other", test_lt, B_UNDEFINED },
	{ "lessthan", 1, 1, "other", test_lt, B_UNDEFINED },
	{ "<", 1, 1, "other", test_lt, B_UNDEFINED },
	{ "le", 1, 1, "other", test_le, B_UNDEFINED },
	{ "<=", 1, 1, "other", test_le, B_UNDEFINED },
	{ "gt", 1, 1, "other", test_gt, B_UNDEFINED },
	{ "greaterthan", 1, 1, "other", test_gt, B_UNDEFINED },
	{ ">", 1, 1, "other", test_gt, B_UNDEFINED },
	{ "ge", 1, 1, "other", test_ge, B_UNDEFINED },
	{ ">=", 1, 1, "other", test_ge, B_UNDEFINED },
	{ "even", 0, 0, "", test_even, B_NUMBER },
	{ "odd", 0, 0, "", test_odd, B_NUMBER },
	{ "divisibleby", 1, 1, "num", test_divisibleby, B_NUMBER },
	{ "lower", 0, 0, "", test_lower, 0 },
	{ "upper", 0, 0, "", test_upper, 0 },
	{ 0 },
};

const struct builtin *builtin_test(const char *name, size_t len)
{
	return builtin_row(tests, name, len);
}

const char *builtin_nearest_test(const char *name)
{
	const char *names[ARRAY_LEN(tests)];

	for (size_t i = 0; i + 1 < ARRAY_LEN(tests); i++)
		names[i] = tests[i].name;
	return opt_nearest(name, names, ARRAY_LEN(tests) - 1);
}
