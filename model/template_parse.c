/* template_parse.c: tokens into a tree, by recursive descent in the order of Jinja's own grammar.
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

#include "model/template_int.h"

struct parser {
	struct template *t;
	const struct lexeme *token; /* the current one */
	int nest, loops;
};

static int parse_condition(struct parser *p, struct node **out);
static int parse_unary(struct parser *p, struct node **out, bool with_filters);
static int parse_or(struct parser *p, struct node **out);
static int parse_body(struct parser *p, struct node **out, const char *const *ends);

/* ---- nodes and tokens --------------------------------------------------------------------------------------------- */

static int node_new(struct parser *p, struct node **out, enum node_kind kind, size_t at)
{
	*out = arena_alloc(&p->t->mem, sizeof(**out));
	if (!*out)
		return template_error(p->t, at, "the template is too large");
	(*out)->kind = (uint8_t)kind;
	(*out)->at = (uint32_t)at;
	return 0;
}

/* A list of nodes that grows; copied into the arena at the end. */
struct nodes {
	struct node **items;
	const char **keys;
	uint8_t *ops;
	int n, cap, n_keys;
};

static void nodes_add(struct nodes *l, struct node *n, const char *key, uint8_t op)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 8;
		l->items = mem_resize(l->items, mem_mul((size_t)l->cap, sizeof(*l->items)));
		l->keys = mem_resize(l->keys, mem_mul((size_t)l->cap, sizeof(*l->keys)));
		l->ops = mem_resize(l->ops, (size_t)l->cap);
	}
	l->items[l->n] = n;
	l->ops[l->n] = op;
	if (key)
		l->keys[l->n_keys++] = key;
	l->n++;
}

static void nodes_release(struct nodes *l)
{
	free(l->items);
	free(l->keys);
	free(l->ops);
}

/* Moves the list into n; always releases l. */
static int nodes_end(struct parser *p, struct nodes *l, struct node *n, int rc)
{
	size_t count = (size_t)l->n;

	if (!rc && count) {
		n->list = arena_alloc(&p->t->mem, count * sizeof(*n->list));
		n->keys = arena_alloc(&p->t->mem, count * sizeof(*n->keys));
		n->ops = arena_alloc(&p->t->mem, count);
		if (!n->list || !n->keys || !n->ops) {
			rc = template_error(p->t, n->at, "the template is too large");
		} else {
			memcpy(n->list, l->items, count * sizeof(*n->list));
			memcpy(n->keys, l->keys, (size_t)l->n_keys * sizeof(*n->keys));
			memcpy(n->ops, l->ops, count);
			n->n = l->n;
			n->n_keys = l->n_keys;
		}
	}
	nodes_release(l);
	return rc;
}

static bool is_op(const struct parser *p, int op)
{
	return p->token->kind == T_OP && p->token->op == op;
}

static bool is_word(const struct lexeme *t, const char *word)
{
	return t->kind == T_NAME && value_same_text(&t->value, word);
}

static bool skip_op(struct parser *p, int op)
{
	if (!is_op(p, op))
		return false;
	p->token++;
	return true;
}

static bool skip_word(struct parser *p, const char *word)
{
	if (!is_word(p->token, word))
		return false;
	p->token++;
	return true;
}

static int unexpected(struct parser *p, const char *wanted)
{
	const struct lexeme *t = p->token;

	switch (t->kind) {
	case T_NAME:
		return template_error(p->t, t->at, "unexpected \"%.*s\", %s is wanted", (int)t->value.len, t->value.u.s,
				      wanted);
	case T_OP:
		if (t->op < 128)
			return template_error(p->t, t->at, "unexpected \"%c\", %s is wanted", t->op, wanted);
		return template_error(p->t, t->at, "unexpected operator, %s is wanted", wanted);
	case T_END:
	case T_TEXT:
		return template_error(p->t, t->at, "the template ends, %s is wanted", wanted);
	case T_PRINT_END:
	case T_BLOCK_END:
		return template_error(p->t, t->at, "the tag ends, %s is wanted", wanted);
	default:
		return template_error(p->t, t->at, "%s is wanted", wanted);
	}
}

static int expect_op(struct parser *p, char op)
{
	char wanted[] = "\" \"";

	wanted[1] = op;
	return skip_op(p, op) ? 0 : unexpected(p, wanted);
}

static int enter(struct parser *p)
{
	if (++p->nest > TEMPLATE_MAX_NEST)
		return template_error(p->t, p->token->at, "more than %d levels in each other", TEMPLATE_MAX_NEST);
	return 0;
}

/* The text of a name, terminated, in the template's memory ("" if that is used up: no name is). */
static const char *keep_name(struct parser *p, const struct value *name)
{
	char *copy = arena_alloc(&p->t->mem, (size_t)name->len + 1);

	if (!copy)
		return "";
	memcpy(copy, name->u.s, name->len);
	return copy;
}

/* ---- primaries ---------------------------------------------------------------------------------------------------- */

static bool tuple_ends(const struct parser *p, const char *word)
{
	return p->token->kind == T_PRINT_END || p->token->kind == T_BLOCK_END || is_op(p, ')') || is_op(p, '=') ||
	       (word && is_word(p->token, word));
}

/* Expressions with commas between: one is itself, more (or one with a comma) are a tuple. empty: () is allowed. */
static int parse_tuple(struct parser *p, struct node **out, int (*each)(struct parser *, struct node **),
		       const char *end_word, bool empty)
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
		if (!skip_op(p, ','))
			break;
		comma = true;
	}
	if (!rc && !comma && !l.n && !empty)
		rc = unexpected(p, "an expression");
	if (!rc && l.n == 1 && !comma) {
		*out = n;
		nodes_release(&l);
		return 0;
	}
	if (!rc)
		rc = node_new(p, out, N_TUPLE, at);
	return nodes_end(p, &l, *out, rc);
}

static int parse_list(struct parser *p, struct node **out)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc = node_new(p, out, N_LIST, p->token->at);

	p->token++;
	while (!rc && !is_op(p, ']')) {
		rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
		if (!rc && !is_op(p, ']'))
			rc = expect_op(p, ',');
	}
	if (!rc)
		p->token++;
	return nodes_end(p, &l, *out, rc);
}

static int parse_dict(struct parser *p, struct node **out)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc = node_new(p, out, N_DICT, p->token->at);

	p->token++;
	while (!rc && !is_op(p, '}')) {
		rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
		if (!rc)
			rc = expect_op(p, ':');
		if (!rc)
			rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
		if (!rc && !is_op(p, '}'))
			rc = expect_op(p, ',');
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
	int rc = node_new(p, out, N_CONST, first->at);

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
		if (is_word(t, words[i].word)) {
			rc = node_new(p, out, N_CONST, t->at);
			if (!rc)
				(*out)->constant = words[i].kind == V_BOOL ? value_bool(words[i].b) : value_none();
			return rc;
		}
	rc = node_new(p, out, N_NAME, t->at);
	if (!rc)
		(*out)->slot = template_slot(p->t, t->value.u.s, t->value.len);
	return rc;
}

static int parse_primary(struct parser *p, struct node **out)
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
		rc = node_new(p, out, N_CONST, t->at);
		if (!rc)
			(*out)->constant = t->value;
		p->token++;
		return rc;
	default:
		break;
	}
	rc = enter(p);
	if (rc)
		return rc;
	if (is_op(p, '(')) {
		p->token++;
		rc = parse_tuple(p, out, parse_condition, NULL, true);
		if (!rc)
			rc = expect_op(p, ')');
	} else if (is_op(p, '[')) {
		rc = parse_list(p, out);
	} else if (is_op(p, '{')) {
		rc = parse_dict(p, out);
	} else {
		rc = unexpected(p, "an expression");
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
	int rc = enter(p);

	while (!rc && !is_op(p, ')')) {
		const char *key = NULL;
		if (is_op(p, '*') || is_op(p, OP_POW))
			rc = template_error(p->t, p->token->at, "* and ** in a call are not supported");
		if (!rc && p->token->kind == T_NAME && p->token[1].kind == T_OP && p->token[1].op == '=') {
			key = keep_name(p, &p->token->value);
			p->token += 2;
		} else if (!rc && l.n_keys) {
			rc = unexpected(p, "a keyword argument");
		}
		if (!rc)
			rc = parse_condition(p, &n);
		if (!rc)
			nodes_add(&l, n, key, 0);
		if (!rc && l.n > TEMPLATE_MAX_ARGS)
			rc = template_error(p->t, call->at, "more than %d arguments", TEMPLATE_MAX_ARGS);
		if (!rc && !is_op(p, ')'))
			rc = expect_op(p, ',');
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
	int colons = 0, rc = enter(p);

	while (!rc && !is_op(p, ']')) {
		if (skip_op(p, ':')) {
			if (++colons > 2)
				rc = unexpected(p, "\"]\"");
			continue;
		}
		if (part[colons])
			return is_op(p, ',')
				       ? template_error(p->t, p->token->at, "a tuple as an index is not supported")
				       : unexpected(p, "\"]\"");
		rc = parse_condition(p, &part[colons]);
	}
	if (rc)
		return rc;
	p->token++;
	p->nest--;
	if (!colons && !part[0])
		return template_error(p->t, at, "an index is wanted");
	rc = node_new(p, out, colons ? N_SLICE : N_ITEM, at);
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
		return unexpected(p, "a name");
	rc = node_new(p, out, t->kind == T_NAME ? N_ATTR : N_ITEM, t->at);
	if (rc)
		return rc;
	p->token++;
	(*out)->a = a;
	if (t->kind == T_NAME) {
		(*out)->constant = t->value;
		return 0;
	}
	rc = node_new(p, &(*out)->b, N_CONST, t->at);
	if (!rc)
		(*out)->b->constant = t->value;
	return rc;
}

static int parse_call(struct parser *p, struct node **out, struct node *a)
{
	int rc = node_new(p, out, N_CALL, a->at);

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
		if (skip_op(p, '.'))
			rc = parse_attribute(p, node, a);
		else if (skip_op(p, '['))
			rc = parse_subscript(p, node, a);
		else if (is_op(p, '('))
			rc = parse_call(p, node, a);
		else
			return 0;
	}
	return rc;
}

/* A filter; the token is at its name. */
static int parse_filter(struct parser *p, struct node **node)
{
	struct node *a = *node;
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind != T_NAME)
		return unexpected(p, "the name of a filter");
	rc = node_new(p, node, N_FILTER, t->at);
	if (rc)
		return rc;
	p->token++;
	(*node)->a = a;
	(*node)->builtin = builtin_filter(t->value.u.s, t->value.len);
	if (!(*node)->builtin) {
		const char *name = keep_name(p, &t->value), *near = builtin_nearest_filter(name);
		rc = template_error(p->t, t->at, "there is no filter \"%s\"", name);
		return near ? err_hint(rc, "is \"%s\" meant?", near) : rc;
	}
	return skip_op(p, '(') ? parse_arguments(p, *node) : 0;
}

static int parse_test_argument(struct parser *p, struct node *test)
{
	struct nodes l = { 0 };
	struct node *n;
	int rc;

	if (skip_op(p, '('))
		return parse_arguments(p, test);
	if (!(p->token->kind == T_NAME || p->token->kind == T_STRING || p->token->kind == T_INT ||
	      p->token->kind == T_FLOAT || is_op(p, '[') || is_op(p, '{')) ||
	    is_word(p->token, "else") || is_word(p->token, "or") || is_word(p->token, "and"))
		return 0;
	/* Jinja takes these for an argument and then fails; no test wants one by such a name. */
	if (is_word(p->token, "if") || is_word(p->token, "is") || is_word(p->token, "not") || is_word(p->token, "in"))
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
	bool negated = skip_word(p, "not");
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind != T_NAME)
		return unexpected(p, "the name of a test");
	rc = node_new(p, &test, N_TEST, t->at);
	if (rc)
		return rc;
	p->token++;
	test->a = a;
	test->builtin = builtin_test(t->value.u.s, t->value.len);
	if (!test->builtin) {
		const char *name = keep_name(p, &t->value), *near = builtin_nearest_test(name);
		rc = template_error(p->t, t->at, "there is no test \"%s\"", name);
		return near ? err_hint(rc, "is \"%s\" meant?", near) : rc;
	}
	rc = parse_test_argument(p, test);
	*node = test;
	if (rc || !negated)
		return rc;
	rc = node_new(p, node, N_NOT, t->at);
	if (!rc)
		(*node)->a = test;
	return rc;
}

static int parse_filters(struct parser *p, struct node **node)
{
	int rc = 0;

	while (!rc) {
		if (skip_op(p, '|'))
			rc = parse_filter(p, node);
		else if (skip_word(p, "is"))
			rc = parse_test(p, node);
		else if (is_op(p, '('))
			rc = parse_call(p, node, *node);
		else
			return 0;
	}
	return rc;
}

static int parse_unary(struct parser *p, struct node **out, bool with_filters)
{
	size_t at = p->token->at;
	bool minus = is_op(p, '-');
	int rc = 0;

	if (minus || is_op(p, '+')) {
		struct node *a = NULL;
		rc = enter(p);
		p->token++;
		if (!rc)
			rc = parse_unary(p, &a, false);
		p->nest--;
		if (!rc)
			rc = node_new(p, out, minus ? N_NEG : N_POS, at);
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
	int rc = node_new(p, left, N_BINARY, at);

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

	while (!rc && is_op(p, OP_POW)) {
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

	while (!rc && (is_op(p, '*') || is_op(p, '/') || is_op(p, '%') || is_op(p, OP_FLOORDIV))) {
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

	if (rc || !is_op(p, '~'))
		return rc;
	at = p->token->at;
	nodes_add(&l, *out, NULL, 0);
	while (!rc && skip_op(p, '~')) {
		rc = parse_product(p, &n);
		if (!rc)
			nodes_add(&l, n, NULL, 0);
	}
	if (!rc)
		rc = node_new(p, out, N_CONCAT, at);
	return nodes_end(p, &l, *out, rc);
}

static int parse_sum(struct parser *p, struct node **out)
{
	struct node *right = NULL;
	int rc = parse_concat(p, out);

	while (!rc && (is_op(p, '+') || is_op(p, '-'))) {
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
	if (skip_word(p, "in"))
		return OP_IN;
	if (is_word(t, "not") && is_word(t + 1, "in")) {
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
		rc = node_new(p, out, N_COMPARE, at);
	if (!rc)
		(*out)->a = a;
	return nodes_end(p, &l, *out, rc);
}

static int parse_not(struct parser *p, struct node **out)
{
	size_t at = p->token->at;
	struct node *a = NULL;
	int rc;

	if (!is_word(p->token, "not"))
		return parse_comparison(p, out);
	rc = enter(p);
	p->token++;
	if (!rc)
		rc = parse_not(p, &a);
	p->nest--;
	if (!rc)
		rc = node_new(p, out, N_NOT, at);
	if (!rc)
		(*out)->a = a;
	return rc;
}

static int parse_logic(struct parser *p, struct node **out, const char *word, enum node_kind kind,
		       int (*each)(struct parser *, struct node **))
{
	struct node *right = NULL, *left;
	int rc = each(p, out);

	while (!rc && is_word(p->token, word)) {
		size_t at = p->token++->at;
		rc = each(p, &right);
		left = *out;
		if (!rc)
			rc = node_new(p, out, kind, at);
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

static int parse_or(struct parser *p, struct node **out)
{
	return parse_logic(p, out, "or", N_OR, parse_and);
}

static int parse_condition(struct parser *p, struct node **out)
{
	int rc = enter(p);

	if (!rc)
		rc = parse_or(p, out);
	while (!rc && is_word(p->token, "if")) {
		size_t at = p->token++->at;
		struct node *then = *out, *test = NULL, *otherwise = NULL;
		rc = parse_or(p, &test);
		if (!rc && skip_word(p, "else"))
			rc = parse_condition(p, &otherwise);
		if (!rc)
			rc = node_new(p, out, N_COND, at);
		if (!rc) {
			(*out)->a = test;
			(*out)->b = then;
			(*out)->c = otherwise;
		}
	}
	p->nest--;
	return rc;
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

static int end_block(struct parser *p)
{
	if (p->token->kind != T_BLOCK_END)
		return unexpected(p, "%}");
	p->token++;
	return 0;
}

/* An expression of names: what "for" and "set" bind. */
static int to_target(struct parser *p, struct node *n)
{
	int rc = 0;

	if (n->kind == N_NAME) {
		n->kind = N_SLOT;
		return 0;
	}
	if (n->kind != N_TUPLE || !n->n)
		return template_error(p->t, n->at, "only names can be assigned to");
	n->kind = N_SLOTS;
	for (int i = 0; i < n->n && !rc; i++)
		rc = to_target(p, n->list[i]);
	return rc;
}

static int parse_if(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "elif", "else", "endif", NULL };
	struct node **next = out;
	int rc = 0;

	while (!rc) { /* each elif is the "else" of the one before */
		struct node *n;
		rc = node_new(p, next, N_IF, at);
		if (rc)
			return rc;
		n = *next;
		rc = parse_tuple(p, &n->a, parse_or, NULL, false);
		if (!rc)
			rc = end_block(p);
		if (!rc)
			rc = parse_body(p, &n->b, ends);
		if (rc)
			return rc;
		at = p->token->at;
		next = &n->c;
		if (skip_word(p, "elif"))
			continue;
		if (skip_word(p, "else")) {
			rc = end_block(p);
			if (!rc)
				rc = parse_body(p, &n->c, ends + 2);
		}
		if (!rc)
			p->token++;
		return rc ? rc : end_block(p);
	}
	return rc;
}

static int parse_for(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "else", "endfor", NULL };
	struct node *n;
	int rc = node_new(p, out, N_FOR, at);

	if (rc)
		return rc;
	n = *out;
	n->slot = template_slot(p->t, "loop", 4);
	rc = parse_tuple(p, &n->target, parse_primary, "in", false);
	if (!rc)
		rc = to_target(p, n->target);
	if (!rc && !skip_word(p, "in"))
		rc = unexpected(p, "\"in\"");
	if (!rc)
		rc = parse_tuple(p, &n->a, parse_or, "recursive", false);
	if (!rc && skip_word(p, "if"))
		rc = parse_condition(p, &n->d);
	if (!rc && is_word(p->token, "recursive"))
		rc = template_error(p->t, p->token->at, "a recursive loop is not supported");
	if (!rc)
		rc = end_block(p);
	if (rc)
		return rc;
	p->loops++;
	rc = parse_body(p, &n->b, ends);
	p->loops--;
	if (!rc && skip_word(p, "else")) {
		rc = end_block(p);
		if (!rc)
			rc = parse_body(p, &n->c, ends + 1);
	}
	if (rc)
		return rc;
	p->token++;
	return end_block(p);
}

/* "NAME.attr" or names; the token is behind "set". */
static int parse_set_target(struct parser *p, struct node **out)
{
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind == T_NAME && t[1].kind == T_OP && t[1].op == '.') {
		if (t[2].kind != T_NAME)
			return template_error(p->t, t[2].at, "the name of an attribute is wanted");
		rc = node_new(p, out, N_NSREF, t->at);
		if (rc)
			return rc;
		(*out)->slot = template_slot(p->t, t->value.u.s, t->value.len);
		(*out)->constant = t[2].value;
		p->token += 3;
		return 0;
	}
	rc = parse_tuple(p, out, parse_primary, NULL, false);
	return rc ? rc : to_target(p, *out);
}

/* A chain of filters for what a block prints; *out stays NULL without one. */
static int parse_block_filters(struct parser *p, struct node **out, bool wanted)
{
	size_t at = p->token->at;
	int rc;

	*out = NULL;
	if (!wanted && !skip_op(p, '|'))
		return 0;
	rc = node_new(p, out, N_CAPTURED, at);
	if (!rc)
		rc = parse_filter(p, out);
	return rc ? rc : parse_filters(p, out);
}

static int parse_set(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endset", NULL };
	struct node *n;
	int rc = node_new(p, out, N_SET, at);

	if (rc)
		return rc;
	n = *out;
	rc = parse_set_target(p, &n->target);
	if (rc)
		return rc;
	if (skip_op(p, '=')) {
		rc = parse_tuple(p, &n->a, parse_condition, NULL, false);
		return rc ? rc : end_block(p);
	}
	n->kind = N_SETBLOCK;
	rc = parse_block_filters(p, &n->a, false);
	if (!rc)
		rc = end_block(p);
	if (!rc)
		rc = parse_body(p, &n->b, ends);
	if (rc)
		return rc;
	p->token++;
	return end_block(p);
}

static int parse_filter_block(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endfilter", NULL };
	int rc = node_new(p, out, N_FILTERBLOCK, at);

	if (!rc)
		rc = parse_block_filters(p, &(*out)->a, true);
	if (!rc)
		rc = end_block(p);
	if (!rc)
		rc = parse_body(p, &(*out)->b, ends);
	if (rc)
		return rc;
	p->token++;
	return end_block(p);
}

/* "NAME = expr, NAME = expr" (with) or "NAME, NAME = expr" (parameters), up to the end of the tag or ")". */
static int parse_bindings(struct parser *p, struct node *n, bool parameters)
{
	struct nodes l = { 0 };
	int rc = 0;

	while (!rc && !is_op(p, ')') && p->token->kind != T_BLOCK_END) {
		const struct lexeme *t = p->token;
		struct node *set = NULL;
		if (t->kind != T_NAME)
			rc = unexpected(p, "a name");
		if (!rc)
			rc = node_new(p, &set, N_SET, t->at);
		if (!rc)
			rc = node_new(p, &set->target, N_SLOT, t->at);
		if (rc)
			break;
		set->target->slot = template_slot(p->t, t->value.u.s, t->value.len);
		p->token++;
		if (skip_op(p, '='))
			rc = parse_condition(p, &set->a);
		else if (!parameters || (l.n && l.items[l.n - 1]->a))
			rc = unexpected(p, "\"=\"");
		nodes_add(&l, set, NULL, 0);
		if (!rc && parameters && l.n > TEMPLATE_MAX_ARGS)
			rc = template_error(p->t, t->at, "more than %d parameters", TEMPLATE_MAX_ARGS);
		if (!rc && !is_op(p, ')') && p->token->kind != T_BLOCK_END)
			rc = expect_op(p, ',');
	}
	return nodes_end(p, &l, n, rc);
}

static int parse_with(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endwith", NULL };
	int rc = node_new(p, out, N_WITH, at);

	if (!rc)
		rc = parse_bindings(p, *out, false);
	if (!rc)
		rc = end_block(p);
	if (!rc)
		rc = parse_body(p, &(*out)->b, ends);
	if (rc)
		return rc;
	p->token++;
	return end_block(p);
}

static int parse_macro(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endmacro", NULL };
	const struct lexeme *t = p->token;
	int rc, loops = p->loops;

	if (t->kind != T_NAME)
		return unexpected(p, "the name of the macro");
	rc = node_new(p, out, N_MACRO, at);
	if (rc)
		return rc;
	(*out)->slot = template_slot(p->t, t->value.u.s, t->value.len);
	p->token++;
	rc = expect_op(p, '(');
	if (!rc)
		rc = parse_bindings(p, *out, true);
	if (!rc)
		rc = expect_op(p, ')');
	if (!rc)
		rc = end_block(p);
	p->loops = 0;
	if (!rc)
		rc = parse_body(p, &(*out)->b, ends);
	p->loops = loops;
	if (rc)
		return rc;
	p->token++;
	return end_block(p);
}

/* "generation" marks what an assistant said; it prints its body. */
static int parse_generation(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endgeneration", NULL };
	int rc = end_block(p);

	(void)at;
	if (!rc)
		rc = parse_body(p, out, ends);
	if (rc)
		return rc;
	p->token++;
	return end_block(p);
}

static int parse_jump(struct parser *p, struct node **out, size_t at)
{
	bool out_of = is_word(p->token - 1, "break");
	int rc;

	if (!p->loops)
		return template_error(p->t, at, "break and continue belong into a loop");
	rc = node_new(p, out, out_of ? N_BREAK : N_CONTINUE, at);
	return rc ? rc : end_block(p);
}

static const struct statement {
	const char *word;
	int (*parse)(struct parser *p, struct node **out, size_t at);
	bool chat; /* in chat templates only: extensions of transformers */
} statements[] = {
	{ "if", parse_if, false },
	{ "for", parse_for, false },
	{ "set", parse_set, false },
	{ "filter", parse_filter_block, false },
	{ "with", parse_with, false },
	{ "macro", parse_macro, false },
	{ "generation", parse_generation, true },
	{ "break", parse_jump, true },
	{ "continue", parse_jump, true },
};

static int parse_statement(struct parser *p, struct node **out)
{
	const struct lexeme *t = p->token;
	int rc;

	if (t->kind != T_NAME)
		return unexpected(p, "a statement");
	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		if (!is_word(t, statements[i].word) || (statements[i].chat && !p->t->chat))
			continue;
		p->token++;
		rc = enter(p);
		if (!rc)
			rc = statements[i].parse(p, out, t->at);
		p->nest--;
		return rc;
	}
	if (t->value.len > 3 && !memcmp(t->value.u.s, "end", 3))
		return template_error(p->t, t->at, "\"%.*s\" ends nothing here", (int)t->value.len, t->value.u.s);
	return template_error(p->t, t->at, "the statement \"%.*s\" is not supported", (int)t->value.len, t->value.u.s);
}

static bool at_end(const struct parser *p, const char *const *ends)
{
	for (; ends && *ends; ends++)
		if (is_word(p->token, *ends))
			return true;
	return false;
}

static int parse_print(struct parser *p, struct node **out)
{
	int rc = node_new(p, out, N_PRINT, p->token->at);

	p->token++;
	if (!rc)
		rc = parse_tuple(p, &(*out)->a, parse_condition, NULL, false);
	if (!rc && p->token->kind != T_PRINT_END)
		return unexpected(p, "}}");
	p->token++;
	return rc;
}

/* Statements up to a block that begins with one of the words (NULL: to the end); the token is then at that word. */
static int parse_body(struct parser *p, struct node **out, const char *const *ends)
{
	size_t at = p->token->at;
	struct nodes l = { 0 };
	struct node *n = NULL;
	int rc = 0;

	while (!rc && p->token->kind != T_END) {
		if (p->token->kind == T_TEXT) {
			rc = node_new(p, &n, N_TEXT, p->token->at);
			if (!rc)
				n->constant = p->token++->value;
		} else if (p->token->kind == T_PRINT_BEGIN) {
			rc = parse_print(p, &n);
		} else {
			p->token++;
			if (at_end(p, ends))
				break;
			rc = parse_statement(p, &n);
		}
		if (!rc)
			nodes_add(&l, n, NULL, 0);
	}
	if (!rc && ends && p->token->kind == T_END)
		rc = template_error(p->t, p->token->at, "the template ends inside a block: \"%s\" is wanted",
				    ends[0][0] == 'e' && ends[1] ? (ends[2] ? ends[2] : ends[1]) : ends[0]);
	if (!rc)
		rc = node_new(p, out, N_BODY, at);
	return nodes_end(p, &l, *out, rc);
}

int template_tree(struct template *t, const struct lexeme *tokens, size_t n)
{
	struct parser p = { .t = t, .token = tokens };

	(void)n; /* the last token is T_END, which nothing passes */
	return parse_body(&p, &t->body, NULL);
}
