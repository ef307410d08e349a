/* template_parser.c: the parser's cursor over the tokens, and the nodes that it makes of them. */
#include "base/base.h"

#include "model/template_parser_int.h"

int parser_node(struct parser *p, struct node **out, enum node_kind kind, size_t at)
{
	*out = arena_alloc(&p->t->mem, sizeof(**out));
	if (!*out)
		return template_error(p->t, at, "the template is too large");
	(*out)->kind = (uint8_t)kind;
	(*out)->at = (uint32_t)at;
	return 0;
}

void nodes_add(struct nodes *l, struct node *n, const char *key, uint8_t op)
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

void nodes_release(struct nodes *l)
{
	free(l->items);
	free(l->keys);
	free(l->ops);
}

int nodes_end(struct parser *p, struct nodes *l, struct node *n, int rc)
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

bool parser_at_op(const struct parser *p, int op)
{
	return p->token->kind == T_OP && p->token->op == op;
}

bool lexeme_is(const struct lexeme *t, const char *word)
{
	return t->kind == T_NAME && value_same_text(&t->value, word);
}

bool parser_skip_op(struct parser *p, int op)
{
	if (!parser_at_op(p, op))
		return false;
	p->token++;
	return true;
}

bool parser_skip_word(struct parser *p, const char *word)
{
	if (!lexeme_is(p->token, word))
		return false;
	p->token++;
	return true;
}

int parser_unexpected(struct parser *p, const char *wanted)
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

int parser_expect_op(struct parser *p, char op)
{
	char wanted[] = "\" \"";

	wanted[1] = op;
	return parser_skip_op(p, op) ? 0 : parser_unexpected(p, wanted);
}

int parser_enter(struct parser *p)
{
	if (++p->nest > TEMPLATE_MAX_NEST)
		return template_error(p->t, p->token->at, "more than %d levels in each other", TEMPLATE_MAX_NEST);
	return 0;
}

const char *parser_keep_name(struct parser *p, const struct value *name)
{
	char *copy = arena_alloc(&p->t->mem, (size_t)name->len + 1);

	if (!copy)
		return "";
	memcpy(copy, name->u.s, name->len);
	return copy;
}
