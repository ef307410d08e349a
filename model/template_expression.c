/* template_expression.c: the expressions of a template, by recursive descent in the order of Jinja's own grammar.
 *
 *	condition  or [if or [else condition]]      sum      concat {+ - concat}
 *	or         and {or and}                     concat   product {~ product}
 *	and        not {and not}                    product  power {* / // % power}
 *	not        not not | comparison             power    unary {** unary}
 *	comparison sum {== != < <= > >= in, not in} unary    - + unary | primary {postfix} {filter, test, call}
 *
 * Names become slots (indexes) here, filters and tests become pointers to their row, so that rendering looks nothing up
 * by name; an unknown filter is an error of the template, not of a document. Nesting is bounded. */
#include "base/base.h"

#include "model/template_parser_int.h"

static int parse_unary(struct parser *p, struct node **out, bool with_filters);

/* ---- primaries ---------------------------------------------------------------------------------------------------- */

static bool tuple_ends(const struct parser *p, const char *word)
{
	return p->token->kind == T_PRINT_END || p->token->kind == T_BLOCK_END || parser_at_op(p, ')') ||
	       parser_at_op(p, '=') || (word && lexeme_is(p->token, word));
}

int parse_tuple(struct parser *p, struct node **out, int (*each)(struct parser *, struct node **), const char *end_word,
		bool empty)
{
	size_t at = p->token->at;
	struct nodes l = { 0 };
	struct node *n = NULL;
	bool comma = false;
	int rc = 0;

	*out = NULL;
	while (!rc && !tuple_ends(p, end_word)) {
		rc = each(p, &n);
		if (rc)
			break;
		nodes_add(&l, n, NULL, 0);
		if (!parser_skip_op(p, ','))
			break;
		comma = true;
	}
	if (!rc && !comma && !l.n && !empty)
		rc = parser_unexpected(p, "an expression");
	if (!rc && l.n == 1 && !comma) {
		*out = n;
		nodes_release(&l);
		return 0;
	}
	if (!rc)
		rc = parser_node(p, out, N_TUPLE, at);
	return nodes_end(p, &l, *out, rc);
}

static int parse_list(struct parser *p, struct node **out)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc = parser_node(p, out, N_LIST, p->token->at);

	p->token++;
	while (!rc && !parser_at_op(p, ']')) {
		rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
		if (!rc && !parser_at_op(p, ']'))
			rc = parser_expect_op(p, ',');
	}
	if (!rc)
		p->token++;
	return nodes_end(p, &l, *out, rc);
}

static int parse_dict(struct parser *p, struct node **out)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc = parser_node(p, out, N_DICT, p->token->at);

	p->token++;
	while (!rc && !parser_at_op(p, '}')) {
		rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
		if (!rc)
			rc = parser_expect_op(p, ':');
		if (!rc)
			rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
		if (!rc && !parser_at_op(p, '}'))
			rc = parser_expect_op(p, ',');
	}
	if (!rc)
		p->token++;
	return nodes_end(p, &l, *out, rc);
}

static int parse_strings(struct parser *p, struct node **out)
{
	const struct lexeme *first = p->token;
	size_t len = 0;
	char *text;
	int rc = parser_node(p, out, N_CONST, first->at);

	if (rc)
		return rc;
	(*out)->constant = first->value;
	while (p->token->kind == T_STRING)
		len += p->token++->value.len;
	if (p->token - first == 1)
		return 0;
	text = arena_alloc(&p->t->mem, len + 1);
	if (!text)
		return template_error(p->t, first->at, "the template is too large");
	(*out)->constant = (struct value){ V_STR, (uint32_t)len, { .s = text } };
	for (; first < p->token; text += first->value.len, first++)
		if (first->value.len)
			memcpy(text, first->value.u.s, first->value.len);
	return 0;
}

static int parse_name(struct parser *p, struct node **out)
{
	static const struct {
		const char *word;
		uint8_t kind;
		bool b;
	} words[] = { { "true", V_BOOL, true },   { "True", V_BOOL, true },  { "false", V_BOOL, false },
		      { "False", V_BOOL, false }, { "none", V_NONE, false }, { "None", V_NONE, false } };
	const struct lexeme *t = p->token++;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (lexeme_is(t, words[i].word)) {
			rc = parser_node(p, out, N_CONST, t->at);
			if (!rc)
				(*out)->constant = words[i].kind == V_BOOL ? value_bool(words[i].b) : value_none();
			return rc;
		}
	rc = parser_node(p, out, N_NAME, t->at);
	if (!rc)
		(*out)->slot = template_slot(p->t, t->value.u.s, t->value.len);
	return rc;
}

int parse_primary(struct parser *p, struct node **out)
{
	const struct lexeme *t = p->token;
	int rc;

	switch (t->kind) {
	case T_NAME:
		return parse_name(p, out);
	case T_STRING:
		return parse_strings(p, out);
	case T_INT:
	case T_FLOAT:
		rc = parser_node(p, out, N_CONST, t->at);
		if (!rc)
			(*out)->constant = t->value;
		p->token++;
		return rc;
	default:
		break;
	}
	rc = parser_enter(p);
	if (rc)
		return rc;
	if (parser_at_op(p, '(')) {
		p->token++;
		rc = parse_tuple(p, out, parse_condition, NULL, true);
		if (!rc)
			rc = parser_expect_op(p, ')');
	} else if (parser_at_op(p, '[')) {
		rc = parse_list(p, out);
	} else if (parser_at_op(p, '{')) {
		rc = parse_dict(p, out);
	} else {
		rc = parser_unexpected(p, "an expression");
	}
	p->nest--;
	return rc;
}

/* ---- what follows a primary --------------------------------------------------------------------------------------- */

/* Arguments up to ")"; the token is behind "(". Keywords come last. */
static int parse_arguments(struct parser *p, struct node *call)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc = parser_enter(p);

	while (!rc && !parser_at_op(p, ')')) {
		const char *key = NULL;
		if (parser_at_op(p, '*') || parser_at_op(p, OP_POW))
			rc = template_error(p->t, p->token->at, "* and ** in a call are not supported");
		if (!rc && p->token->kind == T_NAME && p->token[1].kind == T_OP && p->token[1].op == '=') {
			key = parser_keep_name(p, &p->token->value);
			p->token += 2;
		} else if (!rc && l.n_keys) {
			rc = parser_unexpected(p, "a keyword argument");
		}
		if (!rc)
			rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, key, 0);
		if (!rc && l.n > TEMPLATE_MAX_ARGS)
			rc = template_error(p->t, call->at, "more than %d arguments", TEMPLATE_MAX_ARGS);
		if (!rc && !parser_at_op(p, ')'))
			rc = parser_expect_op(p, ',');
	}
	if (!rc)
		p->token++;
	p->nest--;
	return nodes_end(p, &l, call, rc);
}

static int parse_subscript(struct parser *p, struct node **out, struct node *a)
{
	struct node *part[3] = { NULL, NULL, NULL };
	size_t at = p->token->at;
	int colons = 0, rc = parser_enter(p);

	while (!rc && !parser_at_op(p, ']')) {
		if (parser_skip_op(p, ':')) {
			if (++colons > 2)
				rc = parser_unexpected(p, "\"]\"");
			continue;
		}
		if (part[colons])
			return parser_at_op(p, ',')
				       ? template_error(p->t, p->token->at, "a tuple as an index is not supported")
				       : parser_unexpected(p, "\"]\"");
		rc = parse_condition(p, &part[colons]);
	}
	if (rc)
		return rc;
	p->token++;
	p->nest--;
	if (!colons && !part[0])
		return template_error(p->t, at, "an index is wanted");
	rc = parser_node(p, out, colons ? N_SLICE : N_ITEM, at);
	if (rc)
		return rc;
	(*out)->a = a;
	(*out)->b = part[0];
	(*out)->c = part[1];
	(*out)->d = part[2];
	return 0;
}

static int parse_attribute(struct parser *p, struct node **out, struct node *a)
{
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind != T_NAME && t->kind != T_INT)
		return parser_unexpected(p, "a name");
	rc = parser_node(p, out, t->kind == T_NAME ? N_ATTR : N_ITEM, t->at);
	if (rc)
		return rc;
	p->token++;
	(*out)->a = a;
	if (t->kind == T_NAME) {
		(*out)->constant = t->value;
		return 0;
	}
	rc = parser_node(p, &(*out)->b, N_CONST, t->at);
	if (!rc)
		(*out)->b->constant = t->value;
	return rc;
}

static int parse_call(struct parser *p, struct node **out, struct node *a)
{
	int rc = parser_node(p, out, N_CALL, a->at);

	if (rc)
		return rc;
	(*out)->a = a;
	p->token++;
	return parse_arguments(p, *out);
}

static int parse_postfix(struct parser *p, struct node **node)
{
	int rc = 0;

	while (!rc) {
		struct node *a = *node;
		if (parser_skip_op(p, '.'))
			rc = parse_attribute(p, node, a);
		else if (parser_skip_op(p, '['))
			rc = parse_subscript(p, node, a);
		else if (parser_at_op(p, '('))
			rc = parse_call(p, node, a);
		else
			return 0;
	}
	return rc;
}

/* A filter; the token is at its name. */
int parse_filter(struct parser *p, struct node **node)
{
	struct node *a = *node;
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind != T_NAME)
		return parser_unexpected(p, "the name of a filter");
	rc = parser_node(p, node, N_FILTER, t->at);
	if (rc)
		return rc;
	p->token++;
	(*node)->a = a;
	(*node)->builtin = builtin_filter(t->value.u.s, t->value.len);
	if (!(*node)->builtin) {
		const char *name = parser_keep_name(p, &t->value), *near = builtin_nearest_filter(name);
		rc = template_error(p->t, t->at, "there is no filter \"%s\"", name);
		return near ? err_hint(rc, "is \"%s\" meant?", near) : rc;
	}
	return parser_skip_op(p, '(') ? parse_arguments(p, *node) : 0;
}

static int parse_test_argument(struct parser *p, struct node *test)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc;

	if (parser_skip_op(p, '('))
		return parse_arguments(p, test);
	if (!(p->token->kind == T_NAME || p->token->kind == T_STRING || p->token->kind == T_INT ||
	      p->token->kind == T_FLOAT || parser_at_op(p, '[') || parser_at_op(p, '{')) ||
	    lexeme_is(p->token, "else") || lexeme_is(p->token, "or") || lexeme_is(p->token, "and"))
		return 0;
	/* Jinja takes these for an argument and then fails; no test wants one by such a name. */
	if (lexeme_is(p->token, "if") || lexeme_is(p->token, "is") || lexeme_is(p->token, "not") ||
	    lexeme_is(p->token, "in"))
		return 0;
	rc = parse_primary(p, &n);
	if (!rc)
		rc = parse_postfix(p, &n);
	if (!rc)
		nodes_add(&l, n, NULL, 0);
	return nodes_end(p, &l, test, rc);
}

/* "is [not] NAME [argument]"; the token is behind "is". */
static int parse_test(struct parser *p, struct node **node)
{
	struct node *a = *node, *test;
	bool negated = parser_skip_word(p, "not");
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind != T_NAME)
		return parser_unexpected(p, "the name of a test");
	rc = parser_node(p, &test, N_TEST, t->at);
	if (rc)
		return rc;
	p->token++;
	test->a = a;
	test->builtin = builtin_test(t->value.u.s, t->value.len);
	if (!test->builtin) {
		const char *name = parser_keep_name(p, &t->value), *near = builtin_nearest_test(name);
		rc = template_error(p->t, t->at, "there is no test \"%s\"", name);
		return near ? err_hint(rc, "is \"%s\" meant?", near) : rc;
	}
	rc = parse_test_argument(p, test);
	*node = test;
	if (rc || !negated)
		return rc;
	rc = parser_node(p, node, N_NOT, t->at);
	if (!rc)
		(*node)->a = test;
	return rc;
}

int parse_filters(struct parser *p, struct node **node)
{
	int rc = 0;

	while (!rc) {
		if (parser_skip_op(p, '|'))
			rc = parse_filter(p, node);
		else if (parser_skip_word(p, "is"))
			rc = parse_test(p, node);
		else if (parser_at_op(p, '('))
			rc = parse_call(p, node, *node);
		else
			return 0;
	}
	return rc;
}

static int parse_unary(struct parser *p, struct node **out, bool with_filters)
{
	size_t at = p->token->at;
	bool minus = parser_at_op(p, '-');
	int rc = 0;

	if (minus || parser_at_op(p, '+')) {
		struct node *a = NULL;
		rc = parser_enter(p);
		p->token++;
		if (!rc)
			rc = parse_unary(p, &a, false);
		p->nest--;
		if (!rc)
			rc = parser_node(p, out, minus ? N_NEG : N_POS, at);
		if (!rc)
			(*out)->a = a;
	} else {
		rc = parse_primary(p, out);
	}
	if (!rc)
		rc = parse_postfix(p, out);
	if (!rc && with_filters)
		rc = parse_filters(p, out);
	return rc;
}

/* ---- operators ---------------------------------------------------------------------------------------------------- */

static int binary(struct parser *p, struct node **left, int op, size_t at, struct node *right)
{
	struct node *a = *left;
	int rc = parser_node(p, left, N_BINARY, at);

	if (rc)
		return rc;
	(*left)->op = (uint8_t)op;
	(*left)->a = a;
	(*left)->b = right;
	return 0;
}

static int parse_power(struct parser *p, struct node **out)
{
	struct node *right = NULL;
	int rc = parse_unary(p, out, true);

	while (!rc && parser_at_op(p, OP_POW)) {
		size_t at = p->token++->at;
		rc = parse_unary(p, &right, true);
		if (!rc)
			rc = binary(p, out, OP_POW, at, right);
	}
	return rc;
}

static int parse_product(struct parser *p, struct node **out)
{
	struct node *right = NULL;
	int rc = parse_power(p, out);

	while (!rc &&
	       (parser_at_op(p, '*') || parser_at_op(p, '/') || parser_at_op(p, '%') || parser_at_op(p, OP_FLOORDIV))) {
		const struct lexeme *t = p->token++;
		rc = parse_power(p, &right);
		if (!rc)
			rc = binary(p, out, t->op, t->at, right);
	}
	return rc;
}

static int parse_concat(struct parser *p, struct node **out)
{
	struct nodes l = { 0 };
	struct node *n = NULL;
	size_t at;
	int rc = parse_product(p, out);

	if (rc || !parser_at_op(p, '~'))
		return rc;
	at = p->token->at;
	nodes_add(&l, *out, NULL, 0);
	while (!rc && parser_skip_op(p, '~')) {
		rc = parse_product(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
	}
	if (!rc)
		rc = parser_node(p, out, N_CONCAT, at);
	return nodes_end(p, &l, *out, rc);
}

static int parse_sum(struct parser *p, struct node **out)
{
	struct node *right = NULL;
	int rc = parse_concat(p, out);

	while (!rc && (parser_at_op(p, '+') || parser_at_op(p, '-'))) {
		const struct lexeme *t = p->token++;
		rc = parse_concat(p, &right);
		if (!rc)
			rc = binary(p, out, t->op, t->at, right);
	}
	return rc;
}

/* The comparison at the current token, skipped; 0 for none. */
static uint8_t comparison(struct parser *p)
{
	const struct lexeme *t = p->token;

	if (t->kind == T_OP &&
	    (t->op == OP_EQ || t->op == OP_NE || t->op == OP_LE || t->op == OP_GE || t->op == '<' || t->op == '>')) {
		p->token++;
		return t->op;
	}
	if (parser_skip_word(p, "in"))
		return OP_IN;
	if (lexeme_is(t, "not") && lexeme_is(t + 1, "in")) {
		p->token += 2;
		return OP_NOT_IN;
	}
	return 0;
}

static int parse_comparison(struct parser *p, struct node **out)
{
	struct nodes l = { 0 };
	struct node *a, *n = NULL;
	size_t at;
	uint8_t op;
	int rc = parse_sum(p, out);

	at = p->token->at;
	if (rc || !(op = comparison(p)))
		return rc;
	a = *out;
	do {
		rc = parse_sum(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, op);
	} while (!rc && (op = comparison(p)));
	if (!rc)
		rc = parser_node(p, out, N_COMPARE, at);
	if (!rc)
		(*out)->a = a;
	return nodes_end(p, &l, *out, rc);
}

static int parse_not(struct parser *p, struct node **out)
{
	size_t at = p->token->at;
	struct node *a = NULL;
	int rc;

	if (!lexeme_is(p->token, "not"))
		return parse_comparison(p, out);
	rc = parser_enter(p);
	p->token++;
	if (!rc)
		rc = parse_not(p, &a);
	p->nest--;
	if (!rc)
		rc = parser_node(p, out, N_NOT, at);
	if (!rc)
		(*out)->a = a;
	return rc;
}

static int parse_logic(struct parser *p, struct node **out, const char *word, enum node_kind kind,
		       int (*each)(struct parser *, struct node **))
{
	struct node *right = NULL, *left;
	int rc = each(p, out);

	while (!rc && lexeme_is(p->token, word)) {
		size_t at = p->token++->at;
		rc = each(p, &right);
		left = *out;
		if (!rc)
			rc = parser_node(p, out, kind, at);
		if (!rc) {
			(*out)->a = left;
			(*out)->b = right;
		}
	}
	return rc;
}

static int parse_and(struct parser *p, struct node **out)
{
	return parse_logic(p, out, "and", N_AND, parse_not);
}

int parse_or(struct parser *p, struct node **out)
{
	return parse_logic(p, out, "or", N_OR, parse_and);
}

int parse_condition(struct parser *p, struct node **out)
{
	int rc = parser_enter(p);

	if (!rc)
		rc = parse_or(p, out);
	while (!rc && lexeme_is(p->token, "if")) {
		size_t at = p->token++->at;
		struct node *then = *out, *test = NULL, *otherwise = NULL;
		rc = parse_or(p, &test);
		if (!rc && parser_skip_word(p, "else"))
			rc = parse_condition(p, &otherwise);
		if (!rc)
			rc = parser_node(p, out, N_COND, at);
		if (!rc) {
			(*out)->a = test;
			(*out)->b = then;
			(*out)->c = otherwise;
		}
	}
	p->nest--;
	return rc;
}
