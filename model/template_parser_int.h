/* template_parser_int.h: what the two halves of the template parser share: a cursor over the tokens, and lists of nodes.
 *
 * The cursor stands at the current token; the last token is T_END, which nothing passes. Functions that can fail return 0 or
 * the error that template_error() left. Nodes live in the template's arena. */
#ifndef MODEL_TEMPLATE_PARSER_INT_H
#define MODEL_TEMPLATE_PARSER_INT_H

#include "model/template_int.h"

struct parser {
	struct template *t;
	const struct lexeme *token; /* the current one */
	int nest, loops;
};

/* ---- the cursor (template_parser.c) ------------------------------------------------------------------------------- */

bool lexeme_is(const struct lexeme *t, const char *word);
bool parser_at_op(const struct parser *p, int op);
bool parser_skip_op(struct parser *p, int op);
bool parser_skip_word(struct parser *p, const char *word);
int parser_expect_op(struct parser *p, char op);
int parser_unexpected(struct parser *p, const char *wanted); /* the error of the current token */
int parser_enter(struct parser *p);                          /* one level deeper; p->nest-- leaves it */

/* The text of a name, terminated, in the template's memory ("" if that is used up: no name is). */
const char *parser_keep_name(struct parser *p, const struct value *name);

/* ---- nodes -------------------------------------------------------------------------------------------------------- */

int parser_node(struct parser *p, struct node **out, enum node_kind kind, size_t at);

/* A list of nodes that grows; copied into the arena at the end. */
struct nodes {
	struct node **items;
	const char **keys;
	uint8_t *ops;
	int n, cap, n_keys;
};
void nodes_add(struct nodes *l, struct node *n, const char *key, uint8_t op);
void nodes_release(struct nodes *l);
int nodes_end(struct parser *p, struct nodes *l, struct node *n, int rc); /* moves the list into n; always releases l */

/* ---- expressions (template_expression.c) -------------------------------------------------------------------------- */

int parse_condition(struct parser *p, struct node **out); /* an expression without commas */
int parse_or(struct parser *p, struct node **out);        /* one without "if" */
int parse_primary(struct parser *p, struct node **out);   /* a name, a constant, brackets */
int parse_filter(struct parser *p, struct node **node);   /* NAME or NAME(ARGUMENTS), applied to *node */
int parse_filters(struct parser *p, struct node **node);  /* {| filter, is test} behind *node */

/* Expressions with commas between: one is itself, more (or one with a comma) are a tuple. empty: () is allowed. */
int parse_tuple(struct parser *p, struct node **out, int (*each)(struct parser *, struct node **), const char *end_word,
		bool empty);

#endif
