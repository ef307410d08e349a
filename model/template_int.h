/* template_int.h: what the files of the template engine share. Stays inside model/.
 *
 *	template_lex.c      text -> tokens (white space control lives here)
 *	template_parse.c    tokens -> tree: statements; template_expression.c: expressions; template_parser.c: the cursor
 *	template.c          the tree, rendered: statements, expressions, scopes
 *	template_value.c    values with Python's rules: made, compared, gone through
 *	template_item.c     what is in them: elements, attributes, slices; template_arithmetic.c: + - * / // % **
 *	template_print.c    values as text: str(), repr(), JSON
 *	template_format.c   "%s" % x, "{}".format(x)
 *	template_method.c   how builtins are called; methods of lists and dicts, global functions; template_text.c: of text
 *	template_filter.c   filters; template_test.c: tests */
#ifndef MODEL_TEMPLATE_INT_H
#define MODEL_TEMPLATE_INT_H

#include "base/base.h"
#include "base/json.h"
#include "base/lettercase.h"
#include "model/model.h"

#define TEMPLATE_MAX_SOURCE ((size_t)1 << 20)
#define TEMPLATE_MAX_OUTPUT ((size_t)16 << 20)
#define TEMPLATE_MAX_MEMORY ((size_t)64 << 20) /* values of one rendering */
#define TEMPLATE_MAX_STEPS 1000000
#define TEMPLATE_MAX_NEST 64    /* brackets and blocks in each other */
#define TEMPLATE_MAX_DEPTH 1000 /* nodes in each other: long chains of operators, macros that call themselves */
#define TEMPLATE_MAX_ARGS 8

/* ---- memory that goes at once ------------------------------------------------------------------------------------- */

struct arena {
	struct arena_block *blocks;
	size_t used, cap, total, max;
};
void *arena_alloc(struct arena *a, size_t size); /* zeroed; NULL over max */
void arena_release(struct arena *a);

/* ---- values ------------------------------------------------------------------------------------------------------- */

enum value_kind {
	V_ABSENT, /* no argument, no binding */
	V_UNDEFINED,
	V_NONE,
	V_BOOL,
	V_INT,
	V_FLOAT,
	V_STR,
	V_LIST,      /* list, tuple, range, generator: struct list */
	V_DICT,      /* and namespace: struct dict */
	V_JSON_LIST, /* of the context, read only */
	V_JSON_DICT,
	V_LOOP,
	V_FUNC,   /* a global function: const struct builtin */
	V_METHOD, /* bound: struct bound */
	V_MACRO,
};
enum list_kind { LIST_LIST, LIST_TUPLE, LIST_RANGE, LIST_GENERATOR, LIST_ITEMS, LIST_KEYS, LIST_VALUES };

enum { UNDEFINED_LENIENT = 1 }; /* prints as nothing even in a task's template */

struct value {
	uint8_t kind;
	uint32_t len; /* of a string, bytes; of V_UNDEFINED: UNDEFINED_LENIENT or 0 */
	union {
		bool b;
		int64_t i;
		double f;
		const char *s; /* not terminated */
		struct list *list;
		struct dict *dict;
		const json_t *json;
		struct loop *loop;
		const struct builtin *func;
		struct bound *bound;
		const struct node *macro;
		const char *why; /* V_UNDEFINED: what is undefined */
	} u;
};
struct list {
	struct value *items;
	size_t n, cap;
	enum list_kind kind;
	int64_t start, stop, step; /* LIST_RANGE */
};
struct dict {
	struct value *keys, *values;
	size_t n, cap;
	bool namespace;
};
struct loop {
	const struct list *items;
	size_t at;
	bool has_changed;
	struct value changed;
};
struct bound {
	struct value self;
	const struct builtin *method;
};

/* ---- the tree ----------------------------------------------------------------------------------------------------- */

enum node_kind {
	/* statements */
	N_BODY,        /* list */
	N_TEXT,        /* constant */
	N_PRINT,       /* a */
	N_IF,          /* a: test, b: then, c: else or NULL */
	N_FOR,         /* target, slot: of "loop", a: iterable, d: test or NULL, b: body, c: else or NULL */
	N_SET,         /* target, a */
	N_SETBLOCK,    /* target, b: body, a: chain of filters on N_CAPTURED, or NULL */
	N_FILTERBLOCK, /* b: body, a: chain of filters on N_CAPTURED */
	N_WITH,        /* list: N_SET, b: body */
	N_MACRO,       /* slot, list: parameters (N_SET without or with default a), b: body */
	N_BREAK,
	N_CONTINUE,
	/* targets */
	N_SLOT,  /* slot */
	N_SLOTS, /* list of targets */
	N_NSREF, /* slot, constant: attribute */
	/* expressions */
	N_CONST,
	N_NAME,
	N_LIST,
	N_TUPLE,
	N_DICT,   /* list: key, value, key, value */
	N_ATTR,   /* a, constant: name */
	N_ITEM,   /* a, b */
	N_SLICE,  /* a; b, c, d: start, stop, step or NULL */
	N_CALL,   /* a; list: arguments, the last n_keys by keyword */
	N_FILTER, /* a: input; builtin, list */
	N_TEST,
	N_NOT,
	N_NEG,
	N_POS,
	N_AND,
	N_OR,
	N_BINARY,   /* op, a, b */
	N_CONCAT,   /* list */
	N_COMPARE,  /* a; list: operands; ops: one op each */
	N_COND,     /* a: test, b: then, c: else or NULL */
	N_CAPTURED, /* what a block printed */
};

struct node {
	uint8_t kind, op;
	int slot;    /* index of a name */
	uint32_t at; /* offset in the source */
	struct node *a, *b, *c, *d, *target;
	struct node **list;
	const char **keys; /* names of keyword arguments */
	uint8_t *ops;
	int n, n_keys;
	struct value constant;
	const struct builtin *builtin;
};

struct template
{
	char *name;
	char *source; /* with line ends as \n */
	size_t len;
	bool chat; /* as transformers sets it up; else as lm-evaluation-harness does */
	struct arena mem;
	struct node *body;
	const char **names; /* of the slots */
	int n_names, cap_names;
	struct map slots;
};

/* "name:line:col: ..." as ERR_INPUT */
int template_error(const struct template *t, size_t at, const char *fmt, ...) PRINTF_LIKE(3, 4);
int template_slot(struct template *t, const char *name, size_t len);

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

enum token_kind {
	T_END,
	T_TEXT,
	T_PRINT_BEGIN,
	T_PRINT_END,
	T_BLOCK_BEGIN,
	T_BLOCK_END,
	T_NAME,
	T_STRING,
	T_INT,
	T_FLOAT,
	T_OP
};
enum op { /* one character operators are themselves */
	  OP_FLOORDIV = 128,
	  OP_POW,
	  OP_EQ,
	  OP_NE,
	  OP_LE,
	  OP_GE,
	  OP_IN,
	  OP_NOT_IN
};
struct lexeme {
	uint8_t kind, op;
	uint32_t at;
	struct value value; /* text, name, string, number */
};
/* Tokens of t->source; strings live in t->mem. */
int template_lex(struct template *t, struct lexeme **out, size_t *n);
int template_tree(struct template *t, const struct lexeme *tokens, size_t n);

/* ---- rendering ---------------------------------------------------------------------------------------------------- */

struct undo {
	int slot;
	struct value old;
};
struct render {
	const struct template *t;
	struct arena mem;
	struct buf *out;
	size_t out_start;
	struct value *vars; /* by slot */
	struct value *root; /* by slot: as the outermost scope has them; what a macro sees */
	struct undo *undo;
	size_t n_undo, cap_undo;
	int scopes, depth;
	size_t steps;
	struct value captured;
};

/* An error at a node, or at what a builtin was called by. */
int render_error(struct render *r, const struct node *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
int render_alloc(struct render *r, const struct node *at, void **out, size_t count, size_t size);
int render_work(struct render *r, const struct node *at,
		size_t steps); /* counts steps of work; ERR_INPUT over the limit */

/* Filters, tests, methods and functions: a[0] is the input or self (for functions too: absent). Absent arguments are
 * V_ABSENT up to max. */
enum {
	B_UNDEFINED = 1, /* takes undefined values */
	B_VARIADIC = 2,  /* any number of arguments; n is theirs */
	B_KEYWORDS = 4,  /* takes keywords as a dict in the last argument */
	B_NUMBER = 8
}; /* an undefined input is an error even where it prints as nothing */
struct args {
	struct value v[TEMPLATE_MAX_ARGS + 1];
	int n; /* with v[0] */
};
typedef int builtin_fn(struct render *r, const struct node *at, const struct args *a, struct value *out);
struct builtin {
	const char *name;
	int min, max;       /* without the input */
	const char *params; /* their names, "a,b" */
	builtin_fn *fn;
	int flags;
};
const struct builtin *builtin_filter(const char *name, size_t len);
const struct builtin *builtin_test(const char *name, size_t len);
const struct builtin *builtin_method(const struct value *self, const char *name, size_t len);
const struct builtin *builtin_global(const char *name, bool chat);
const char *builtin_nearest_filter(const char *name); /* for errors */
const char *builtin_nearest_test(const char *name);
extern const struct builtin text_methods[];
const struct builtin *builtin_row(const struct builtin *rows, const char *name, size_t len); /* rows end with { 0 } */
/* Checks the arguments of a call and makes it. keys: names of the last n_keys of values. */
int builtin_call(struct render *r, const struct node *at, const struct builtin *b, const struct value *self,
		 const struct value *values, int n, const char *const *keys, int n_keys, struct value *out);
/* An argument that must be an integer; absent or None: otherwise. */
int builtin_int(struct render *r, const struct node *at, const struct value *v, int64_t otherwise, int64_t *out);
/* As str.ljust ('<'), str.rjust ('>'), str.center ('c'); '^' as a format has it. fill: one character. */
int text_pad(struct render *r, const struct node *at, const struct value *v, int64_t width, char side,
	     const struct value *fill, struct value *out);
int str_format(struct render *r, const struct node *at, const struct args *a, struct value *out); /* the method */
/* Calls a method of text on the str() of the input, for filters and tests. */
int filter_by_method(struct render *r, const struct node *at, const struct args *a, const char *method,
		     struct value *out);
/* Python's "%" on a string. */
int format_percent(struct render *r, const struct node *at, const struct value *format, const struct value *values,
		   struct value *out);

/* Values. None of these takes V_ABSENT. */
struct value value_none(void);
struct value value_bool(bool b);
struct value value_int(int64_t i);
struct value value_float(double f);
struct value value_text(const char *s);
struct value value_json(const json_t *json);
int value_str(struct render *r, const struct node *at, const char *s, size_t len, struct value *out); /* copies */
int value_list(struct render *r, const struct node *at, size_t cap, enum list_kind kind, struct value *out);
int value_append(struct render *r, const struct node *at, struct list *l, struct value item);
int value_dict(struct render *r, const struct node *at, struct value *out);
int value_dict_set(struct render *r, const struct node *at, struct dict *d, struct value key, struct value item);
int value_undefined(struct render *r, const struct node *at, struct value *out, const char *fmt, ...) PRINTF_LIKE(4, 5);
bool value_lenient(const struct render *r, const struct value *v); /* of an undefined one: nothing, not an error */
int value_use(struct render *r, const struct node *at, const struct value *v); /* an error if v is undefined */

const char *value_type(const struct value *v); /* Python's name of the type */
bool value_is(const struct value *v, enum list_kind kind);
bool value_is_list(const struct value *v); /* list or tuple or alike */
bool value_is_dict(const struct value *v);
size_t value_list_size(const struct value *v);
struct value value_list_at(const struct value *v, size_t i);
bool value_is_number(const struct value *v); /* bool too */
double value_number(const struct value *v);
int64_t value_integer(const struct value *v); /* of an integer or a bool */
bool value_same_text(const struct value *v, const char *s);
int value_truth(struct render *r, const struct node *at, const struct value *v, bool *out);
int value_equal(struct render *r, const struct node *at, const struct value *a, const struct value *b, bool *out);
int value_order(struct render *r, const struct node *at, const struct value *a, const struct value *b, int *out);
int value_length(struct render *r, const struct node *at, const struct value *v, size_t *out);
/* The members, as iteration gives them. */
int value_items(struct render *r, const struct node *at, const struct value *v, struct list **out);
bool value_dict_get(const struct value *v, const struct value *key, struct value *out);
size_t value_dict_size(const struct value *v);
int value_contains(struct render *r, const struct node *at, const struct value *in, const struct value *v, bool *out);
int value_item(struct render *r, const struct node *at, const struct value *v, const struct value *key,
	       struct value *out);
int value_attr(struct render *r, const struct node *at, const struct value *v, const char *name, size_t len,
	       struct value *out);
int value_slice(struct render *r, const struct node *at, const struct value *v, const struct value *start,
		const struct value *stop, const struct value *step, struct value *out);
int value_binary(struct render *r, const struct node *at, int op, const struct value *a, const struct value *b,
		 struct value *out);
/* str() and repr() of Python, into b. */
int value_print(struct render *r, const struct node *at, struct buf *b, const struct value *v);
int value_repr(struct render *r, const struct node *at, struct buf *b, const struct value *v, int depth);
int value_to_str(struct render *r, const struct node *at, const struct value *v, struct value *out);
int value_from_buf(struct render *r, const struct node *at, struct buf *b, struct value *out); /* releases b */
/* As a value that outlives the rendering: lists of any kind become arrays. */
int value_to_json(struct render *r, const struct node *at, const struct value *v, int depth, json_t **out);
/* json.dumps as the template's kind has it; indent < 0: on one line. */
int value_dump(struct render *r, const struct node *at, struct buf *b, const struct value *v, int indent, int level);

#endif
