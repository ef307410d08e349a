/* template_parse.c: tokens into a tree: the statements of a template (template_expression.c: what stands in them). */
#include "base/base.h"

#include "model/template_parser_int.h"

static int parse_body(struct parser *p, struct node **out, const char *const *ends);

static int end_block(struct parser *p)
{
	if (p->token->kind != T_BLOCK_END)
		return parser_unexpected(p, "%}");
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
		rc = parser_node(p, next, N_IF, at);
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
		if (parser_skip_word(p, "elif"))
			continue;
		if (parser_skip_word(p, "else")) {
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
	int rc = parser_node(p, out, N_FOR, at);

	if (rc)
		return rc;
	n = *out;
	n->slot = template_slot(p->t, "loop", 4);
	rc = parse_tuple(p, &n->target, parse_primary, "in", false);
	if (!rc)
		rc = to_target(p, n->target);
	if (!rc && !parser_skip_word(p, "in"))
		rc = parser_unexpected(p, "\"in\"");
	if (!rc)
		rc = parse_tuple(p, &n->a, parse_or, "recursive", false);
	if (!rc && parser_skip_word(p, "if"))
		rc = parse_condition(p, &n->d);
	if (!rc && lexeme_is(p->token, "recursive"))
		rc = template_error(p->t, p->token->at, "a recursive loop is not supported");
	if (!rc)
		rc = end_block(p);
	if (rc)
		return rc;
	p->loops++;
	rc = parse_body(p, &n->b, ends);
	p->loops--;
	if (!rc && parser_skip_word(p, "else")) {
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
		rc = parser_node(p, out, N_NSREF, t->at);
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
	if (!wanted && !parser_skip_op(p, '|'))
		return 0;
	rc = parser_node(p, out, N_CAPTURED, at);
	if (!rc)
		rc = parse_filter(p, out);
	return rc ? rc : parse_filters(p, out);
}

static int parse_set(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endset", NULL };
	struct node *n;
	int rc = parser_node(p, out, N_SET, at);

	if (rc)
		return rc;
	n = *out;
	rc = parse_set_target(p, &n->target);
	if (rc)
		return rc;
	if (parser_skip_op(p, '=')) {
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
	int rc = parser_node(p, out, N_FILTERBLOCK, at);

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

	while (!rc && !parser_at_op(p, ')') && p->token->kind != T_BLOCK_END) {
		const struct lexeme *t = p->token;
		struct node *set = NULL;
		if (t->kind != T_NAME)
			rc = parser_unexpected(p, "a name");
		if (!rc)
			rc = parser_node(p, &set, N_SET, t->at);
		if (!rc)
			rc = parser_node(p, &set->target, N_SLOT, t->at);
		if (rc)
			break;
		set->target->slot = template_slot(p->t, t->value.u.s, t->value.len);
		p->token++;
		if (parser_skip_op(p, '='))
			rc = parse_condition(p, &set->a);
		else if (!parameters || (l.n && l.items[l.n - 1]->a))
			rc = parser_unexpected(p, "\"=\"");
		nodes_add(&l, set, NULL, 0);
		if (!rc && parameters && l.n > TEMPLATE_MAX_ARGS)
			rc = template_error(p->t, t->at, "more than %d parameters", TEMPLATE_MAX_ARGS);
		if (!rc && !parser_at_op(p, ')') && p->token->kind != T_BLOCK_END)
			rc = parser_expect_op(p, ',');
	}
	return nodes_end(p, &l, n, rc);
}

static int parse_with(struct parser *p, struct node **out, size_t at)
{
	static const char *const ends[] = { "endwith", NULL };
	int rc = parser_node(p, out, N_WITH, at);

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
		return parser_unexpected(p, "the name of the macro");
	rc = parser_node(p, out, N_MACRO, at);
	if (rc)
		return rc;
	(*out)->slot = template_slot(p->t, t->value.u.s, t->value.len);
	p->token++;
	rc = parser_expect_op(p, '(');
	if (!rc)
		rc = parse_bindings(p, *out, true);
	if (!rc)
		rc = parser_expect_op(p, ')');
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
	bool out_of = lexeme_is(p->token - 1, "break");
	int rc;

	if (!p->loops)
		return template_error(p->t, at, "break and continue belong into a loop");
	rc = parser_node(p, out, out_of ? N_BREAK : N_CONTINUE, at);
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
		return parser_unexpected(p, "a statement");
	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		if (!lexeme_is(t, statements[i].word) || (statements[i].chat && !p->t->chat))
			continue;
		p->token++;
		rc = parser_enter(p);
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
		if (lexeme_is(p->token, *ends))
			return true;
	return false;
}

static int parse_print(struct parser *p, struct node **out)
{
	int rc = parser_node(p, out, N_PRINT, p->token->at);

	p->token++;
	if (!rc)
		rc = parse_tuple(p, &(*out)->a, parse_condition, NULL, false);
	if (!rc && p->token->kind != T_PRINT_END)
		return parser_unexpected(p, "}}");
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
			rc = parser_node(p, &n, N_TEXT, p->token->at);
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
		rc = parser_node(p, out, N_BODY, at);
	return nodes_end(p, &l, *out, rc);
}

int template_tree(struct template *t, const struct lexeme *tokens, size_t n)
{
	struct parser p = { .t = t, .token = tokens };

	(void)n; /* the last token is T_END, which nothing passes */
	return parse_body(&p, &t->body, NULL);
}
