/* template.c: the tree of a template, rendered with a document's fields.
 *
 * One template serves thousands of documents: everything that depends on the text alone is done once (parsing, slots for
 * names, rows for filters), and a rendering touches its own arena and nothing shared, so any number may run at once.
 *
 * Variables live in an array by slot. Entering a scope (a loop's pass, a with block, a macro) notes the length of the
 * undo list; leaving it puts back what was overwritten since. So a look-up is one index, and Jinja's rule that an
 * assignment in a loop does not survive it holds by itself. A macro sees the variables of the outermost scope, as
 * the closure that Jinja makes of it does.
 *
 * Bounds: steps of work, depth of nodes, output, memory of values. In a task's template an undefined variable is an
 * error wherever it is used (StrictUndefined); in a chat template it prints as nothing and is false. */
#include "base/base.h"

#include <stdarg.h>

#include "model/template_int.h"

enum { RAN_BREAK = 1, RAN_CONTINUE = 2 }; /* what a statement gives besides 0 and errors */

static int run(struct render *r, const struct node *n);
static int eval(struct render *r, const struct node *n, struct value *out);

/* ---- errors and bounds -------------------------------------------------------------------------------------------- */

static int error_va(const struct template *t, size_t at, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static int error_va(const struct template *t, size_t at, const char *fmt, va_list ap)
{
	size_t line = 1, start = 0;
	char text[512];

	for (size_t i = 0; i < at && i < t->len; i++)
		if (t->source[i] == '\n') {
			line++;
			start = i + 1;
		}
	vsnprintf(text, sizeof(text), fmt, ap);
	return err_set(ERR_INPUT, "%s:%zu:%zu: %s", t->name, line, utf8_count(t->source + start, at - start) + 1, text);
}

int template_error(const struct template *t, size_t at, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = error_va(t, at, fmt, ap);
	va_end(ap);
	return rc;
}

int render_error(struct render *r, const struct node *at, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = error_va(r->t, at->at, fmt, ap);
	va_end(ap);
	return rc;
}

int render_work(struct render *r, const struct node *at, size_t steps)
{
	r->steps += steps;
	if (r->steps > TEMPLATE_MAX_STEPS)
		return render_error(r, at, "the template takes more than %d steps", TEMPLATE_MAX_STEPS);
	return 0;
}

/* ---- templates ---------------------------------------------------------------------------------------------------- */

int template_slot(struct template *t, const char *name, size_t len)
{
	int64_t slot;

	if (map_get(&t->slots, name, len, &slot))
		return (int)slot;
	MEM_GROW(t->names, t->n_names, t->cap_names);
	t->names[t->n_names] = mem_strn(name, len);
	map_put(&t->slots, name, len, t->n_names);
	return t->n_names++;
}

/* The source with \r\n and \r as \n; a chat template without the last one. */
static void take_source(struct template *t, const char *text, size_t len)
{
	t->source = mem_alloc(len + 1);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
			continue;
		t->source[t->len++] = text[i] == '\r' ? '\n' : text[i];
	}
	if (t->chat && t->len && t->source[t->len - 1] == '\n')
		t->len--;
}

static int parse(struct template **out, const char *text, size_t len, const char *name, bool chat)
{
	struct template *t = mem_alloc(sizeof(*t));
	struct lexeme *tokens = NULL;
	size_t n = 0, bad;
	int rc = 0;

	t->name = mem_str(name);
	t->chat = chat;
	t->mem.max = 64 * TEMPLATE_MAX_SOURCE;
	map_init(&t->slots);
	if (len > TEMPLATE_MAX_SOURCE)
		rc = err_set(ERR_INPUT, "%s: a template of more than %zu KiB", name, TEMPLATE_MAX_SOURCE >> 10);
	else if (!utf8_valid(text, len, &bad))
		rc = err_set(ERR_INPUT, "%s: not UTF-8 at byte %zu", name, bad);
	if (!rc) {
		take_source(t, text, len);
		rc = template_lex(t, &tokens, &n);
	}
	if (!rc)
		rc = template_tree(t, tokens, n);
	free(tokens);
	if (rc) {
		template_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

int template_parse(struct template **out, const char *text, size_t len, const char *name)
{
	return parse(out, text, len, name, false);
}

int template_parse_chat(struct template **out, const char *text, size_t len, const char *name)
{
	return parse(out, text, len, name, true);
}

void template_free(struct template *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->n_names; i++)
		free((char *)t->names[i]);
	free(t->names);
	map_release(&t->slots);
	arena_release(&t->mem);
	free(t->source);
	free(t->name);
	free(t);
}

/* ---- scopes ------------------------------------------------------------------------------------------------------- */

static void bind(struct render *r, int slot, struct value v)
{
	if (r->scopes) {
		MEM_GROW(r->undo, r->n_undo, r->cap_undo);
		r->undo[r->n_undo++] = (struct undo){ slot, r->vars[slot] };
	} else {
		r->root[slot] = v;
	}
	r->vars[slot] = v;
}

static size_t scope_begin(struct render *r)
{
	r->scopes++;
	return r->n_undo;
}

static void scope_end(struct render *r, size_t mark)
{
	r->scopes--;
	while (r->n_undo > mark) {
		r->n_undo--;
		r->vars[r->undo[r->n_undo].slot] = r->undo[r->n_undo].old;
	}
}

/* Binds a target: a name, or names to the members of a list. */
static int assign(struct render *r, const struct node *target, struct value v)
{
	struct list *l;
	int rc;

	if (target->kind == N_SLOT) {
		bind(r, target->slot, v);
		return 0;
	}
	if (target->kind == N_NSREF) {
		struct value ns = r->vars[target->slot];
		if (ns.kind != V_DICT || !ns.u.dict->namespace)
			return render_error(r, target, "'%s' is not a namespace", r->t->names[target->slot]);
		return value_dict_set(r, target, ns.u.dict, target->constant, v);
	}
	rc = value_items(r, target, &v, &l);
	if (!rc && l->n != (size_t)target->n)
		return render_error(r, target, "%zu values for %d names", l->n, target->n);
	for (int i = 0; i < target->n && !rc; i++)
		rc = assign(r, target->list[i], l->items[i]);
	return rc;
}

/* ---- expressions -------------------------------------------------------------------------------------------------- */

static int eval_truth(struct render *r, const struct node *n, bool *out)
{
	struct value v;
	int rc = eval(r, n, &v);

	return rc ? rc : value_truth(r, n, &v, out);
}

static int eval_name(struct render *r, const struct node *n, struct value *out)
{
	*out = r->vars[n->slot];
	if (out->kind != V_ABSENT)
		return 0;
	return value_undefined(r, n, out, "'%.200s' is undefined", r->t->names[n->slot]);
}

static int eval_list(struct render *r, const struct node *n, struct value *out)
{
	int rc = value_list(r, n, (size_t)n->n, n->kind == N_TUPLE ? LIST_TUPLE : LIST_LIST, out);

	for (int i = 0; i < n->n && !rc; i++) {
		struct value v;
		rc = eval(r, n->list[i], &v);
		if (!rc)
			rc = value_append(r, n, out->u.list, v);
	}
	return rc;
}

static int eval_dict(struct render *r, const struct node *n, struct value *out)
{
	int rc = value_dict(r, n, out);

	for (int i = 0; i + 1 < n->n && !rc; i += 2) {
		struct value key, v;
		rc = eval(r, n->list[i], &key);
		if (!rc)
			rc = value_use(r, n, &key);
		if (!rc)
			rc = eval(r, n->list[i + 1], &v);
		if (!rc)
			rc = value_dict_set(r, n, out->u.dict, key, v);
	}
	return rc;
}

static int eval_item(struct render *r, const struct node *n, struct value *out)
{
	struct value v, key;
	int rc = eval(r, n->a, &v);

	if (!rc)
		rc = value_use(r, n->a, &v);
	if (!rc)
		rc = eval(r, n->b, &key);
	return rc ? rc : value_item(r, n, &v, &key, out);
}

static int eval_slice(struct render *r, const struct node *n, struct value *out)
{
	struct value v, bounds[3] = { 0 };
	const struct node *nodes[3] = { n->b, n->c, n->d };
	int rc = eval(r, n->a, &v);

	for (int i = 0; i < 3 && !rc; i++)
		if (nodes[i])
			rc = eval(r, nodes[i], &bounds[i]);
	return rc ? rc : value_slice(r, n, &v, &bounds[0], &bounds[1], &bounds[2], out);
}

static int eval_arguments(struct render *r, const struct node *n, struct value values[TEMPLATE_MAX_ARGS])
{
	int rc = 0;

	for (int i = 0; i < n->n && !rc; i++)
		rc = eval(r, n->list[i], &values[i]);
	return rc;
}

/* What a body prints, as a value. */
static int capture(struct render *r, const struct node *body, struct value *out)
{
	struct buf text = BUF_INIT(TEMPLATE_MAX_OUTPUT), *saved = r->out;
	size_t start = r->out_start;
	int rc;

	r->out = &text;
	r->out_start = 0;
	rc = run(r, body);
	r->out = saved;
	r->out_start = start;
	if (rc < 0) {
		buf_release(&text);
		return rc;
	}
	return value_from_buf(r, body, &text, out);
}

static int bind_parameters(struct render *r, const struct node *n, const struct node *macro, const struct value *values)
{
	int positional = n->n - n->n_keys, rc = 0;

	if (positional > macro->n)
		return render_error(r, n, "%s takes at most %d arguments", r->t->names[macro->slot], macro->n);
	for (int i = 0; i < n->n_keys; i++) {
		int k = positional;
		while (k < macro->n && strcmp(n->keys[i], r->t->names[macro->list[k]->target->slot]) != 0)
			k++;
		if (k == macro->n)
			return render_error(r, n, "%s has no parameter \"%s\" left", r->t->names[macro->slot],
					    n->keys[i]);
	}
	for (int i = 0; i < macro->n && !rc; i++) {
		const struct node *parameter = macro->list[i];
		const char *name = r->t->names[parameter->target->slot];
		struct value v = { .kind = V_ABSENT };
		if (i < positional)
			v = values[i];
		for (int k = 0; i >= positional && k < n->n_keys; k++)
			if (!strcmp(n->keys[k], name))
				v = values[positional + k];
		if (v.kind == V_ABSENT && parameter->a)
			rc = eval(r, parameter->a, &v);
		else if (v.kind == V_ABSENT)
			rc = value_undefined(r, n, &v, "parameter '%.200s' was not provided", name);
		if (!rc)
			bind(r, parameter->target->slot, v);
	}
	return rc;
}

static int call_macro(struct render *r, const struct node *n, const struct node *macro, const struct value *values,
		      struct value *out)
{
	size_t size = (size_t)r->t->n_names * sizeof(*r->vars), mark;
	struct value *saved = r->vars;
	void *vars;
	int rc = render_alloc(r, n, &vars, (size_t)r->t->n_names, sizeof(*r->vars));

	if (!rc)
		rc = render_work(r, n, 1 + (size_t)r->t->n_names / 16);
	if (rc)
		return rc;
	r->vars = vars;
	memcpy(r->vars, r->root, size);
	mark = scope_begin(r);
	rc = bind_parameters(r, n, macro, values);
	if (!rc)
		rc = capture(r, macro->b, out);
	scope_end(r, mark);
	r->vars = saved;
	return rc;
}

static int eval_call(struct render *r, const struct node *n, struct value *out)
{
	struct value callee, values[TEMPLATE_MAX_ARGS], self = { .kind = V_ABSENT };
	const struct builtin *method = NULL;
	int rc;

	if (n->a->kind == N_ATTR) { /* a method, without making the bound one */
		rc = eval(r, n->a->a, &self);
		if (!rc)
			rc = value_use(r, n->a->a, &self);
		if (rc)
			return rc;
		method = builtin_method(&self, n->a->constant.u.s, n->a->constant.len);
		rc = method ? 0 : value_attr(r, n->a, &self, n->a->constant.u.s, n->a->constant.len, &callee);
	} else {
		rc = eval(r, n->a, &callee);
	}
	if (!rc)
		rc = eval_arguments(r, n, values);
	if (rc)
		return rc;
	if (!method && callee.kind == V_MACRO)
		return call_macro(r, n, callee.u.macro, values, out);
	if (!method && callee.kind == V_FUNC) {
		method = callee.u.func;
		self = (struct value){ .kind = V_ABSENT };
	} else if (!method && callee.kind == V_METHOD) {
		method = callee.u.bound->method;
		self = callee.u.bound->self;
	}
	if (!method) {
		rc = value_use(r, n, &callee);
		return rc ? rc : render_error(r, n, "a %s cannot be called", value_type(&callee));
	}
	return builtin_call(r, n, method, &self, values, n->n, n->keys, n->n_keys, out);
}

static int eval_builtin(struct render *r, const struct node *n, struct value *out)
{
	struct value input, values[TEMPLATE_MAX_ARGS];
	int rc = eval(r, n->a, &input);

	if (!rc)
		rc = eval_arguments(r, n, values);
	return rc ? rc : builtin_call(r, n, n->builtin, &input, values, n->n, n->keys, n->n_keys, out);
}

static int eval_sign(struct render *r, const struct node *n, struct value *out)
{
	const struct value zero = value_int(0), minus = value_float(-1);
	struct value v;
	int rc = eval(r, n->a, &v);

	if (!rc)
		rc = value_use(r, n, &v);
	if (rc)
		return rc;
	if (!value_is_number(&v))
		return render_error(r, n, "a %s has no sign", value_type(&v));
	if (v.kind == V_FLOAT && n->kind == N_NEG)
		return value_binary(r, n, '*', &v, &minus, out);
	return value_binary(r, n, n->kind == N_NEG ? '-' : '+', &zero, &v, out);
}

static int eval_logic(struct render *r, const struct node *n, struct value *out)
{
	bool b;
	int rc = eval(r, n->a, out);

	if (!rc)
		rc = value_truth(r, n->a, out, &b);
	if (!rc && b == (n->kind == N_AND))
		rc = eval(r, n->b, out);
	return rc;
}

static int eval_concat(struct render *r, const struct node *n, struct value *out)
{
	struct buf text = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	int rc = 0;

	for (int i = 0; i < n->n && !rc; i++) {
		struct value v;
		rc = eval(r, n->list[i], &v);
		if (!rc)
			rc = value_print(r, n->list[i], &text, &v);
	}
	if (!rc)
		return value_from_buf(r, n, &text, out);
	buf_release(&text);
	return rc;
}

static int compare_one(struct render *r, const struct node *n, uint8_t op, const struct value *a, const struct value *b,
		       bool *out)
{
	int order = 0, rc;

	switch (op) {
	case OP_EQ:
	case OP_NE:
		rc = value_equal(r, n, a, b, out);
		*out = *out == (op == OP_EQ);
		return rc;
	case OP_IN:
	case OP_NOT_IN:
		rc = value_contains(r, n, b, a, out);
		*out = *out == (op == OP_IN);
		return rc;
	default:
		rc = value_order(r, n, a, b, &order);
		*out = (order == -1 && (op == '<' || op == OP_LE)) || (order == 1 && (op == '>' || op == OP_GE)) ||
		       (order == 0 && (op == OP_LE || op == OP_GE));
		return rc;
	}
}

/* a < b < c as Python has it: every neighbour holds. */
static int eval_compare(struct render *r, const struct node *n, struct value *out)
{
	struct value left, right;
	bool holds = true;
	int rc = eval(r, n->a, &left);

	for (int i = 0; i < n->n && !rc && holds; i++) {
		rc = eval(r, n->list[i], &right);
		if (!rc)
			rc = compare_one(r, n, n->ops[i], &left, &right, &holds);
		left = right;
	}
	*out = value_bool(holds);
	return rc;
}

static int eval_condition(struct render *r, const struct node *n, struct value *out)
{
	bool b;
	int rc = eval_truth(r, n->a, &b);

	if (rc)
		return rc;
	if (!b && !n->c) {
		rc = value_undefined(r, n, out, "the inline if is false and has no else");
		out->len = UNDEFINED_LENIENT; /* Jinja's own default, strict or not */
		return rc;
	}
	return eval(r, b ? n->b : n->c, out);
}

static int eval_binary(struct render *r, const struct node *n, struct value *out)
{
	struct value a, b;
	int rc = eval(r, n->a, &a);

	if (!rc)
		rc = eval(r, n->b, &b);
	return rc ? rc : value_binary(r, n, n->op, &a, &b, out);
}

static int eval_inner(struct render *r, const struct node *n, struct value *out)
{
	struct value v;
	bool b = false;
	int rc;

	switch (n->kind) {
	case N_CONST:
		*out = n->constant;
		return 0;
	case N_NAME:
		return eval_name(r, n, out);
	case N_LIST:
	case N_TUPLE:
		return eval_list(r, n, out);
	case N_DICT:
		return eval_dict(r, n, out);
	case N_ATTR:
		rc = eval(r, n->a, &v);
		if (!rc)
			rc = value_use(r, n->a, &v);
		return rc ? rc : value_attr(r, n, &v, n->constant.u.s, n->constant.len, out);
	case N_ITEM:
		return eval_item(r, n, out);
	case N_SLICE:
		return eval_slice(r, n, out);
	case N_CALL:
		return eval_call(r, n, out);
	case N_FILTER:
	case N_TEST:
		return eval_builtin(r, n, out);
	case N_NOT:
		rc = eval_truth(r, n->a, &b);
		*out = value_bool(!b);
		return rc;
	case N_NEG:
	case N_POS:
		return eval_sign(r, n, out);
	case N_AND:
	case N_OR:
		return eval_logic(r, n, out);
	case N_BINARY:
		return eval_binary(r, n, out);
	case N_CONCAT:
		return eval_concat(r, n, out);
	case N_COMPARE:
		return eval_compare(r, n, out);
	case N_COND:
		return eval_condition(r, n, out);
	default:
		*out = r->captured;
		return 0;
	}
}

static int eval(struct render *r, const struct node *n, struct value *out)
{
	int rc = render_work(r, n, 1);

	*out = value_none();
	if (!rc && ++r->depth > TEMPLATE_MAX_DEPTH)
		return render_error(r, n, "more than %d expressions in each other", TEMPLATE_MAX_DEPTH);
	if (!rc)
		rc = eval_inner(r, n, out);
	r->depth--;
	return rc;
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

static int print(struct render *r, const struct node *n, const struct value *v)
{
	int rc = value_print(r, n, r->out, v);

	if (!rc && (buf_full(r->out) || r->out->len - r->out_start > TEMPLATE_MAX_OUTPUT))
		return render_error(r, n, "the template prints more than %zu MiB", TEMPLATE_MAX_OUTPUT >> 20);
	return rc;
}

static int run_body(struct render *r, const struct node *n)
{
	int rc = 0;

	for (int i = 0; i < n->n && !rc; i++)
		rc = run(r, n->list[i]);
	return rc;
}

static int run_if(struct render *r, const struct node *n)
{
	while (n && n->kind == N_IF) { /* elif is the else of the one before */
		bool b;
		int rc = eval_truth(r, n->a, &b);
		if (rc)
			return rc;
		if (b)
			return run(r, n->b);
		n = n->c;
	}
	return n ? run(r, n) : 0;
}

/* The members for which the loop's own "if" holds. */
static int loop_filter(struct render *r, const struct node *n, struct list **items)
{
	const struct list *all = *items;
	struct value kept;
	int rc = value_list(r, n, 8, LIST_LIST, &kept);

	for (size_t i = 0; i < all->n && !rc; i++) {
		size_t mark = scope_begin(r);
		bool b = false;
		rc = assign(r, n->target, all->items[i]);
		if (!rc)
			rc = eval_truth(r, n->d, &b);
		if (!rc && b)
			rc = value_append(r, n, kept.u.list, all->items[i]);
		scope_end(r, mark);
	}
	*items = kept.u.list;
	return rc;
}

static int run_for(struct render *r, const struct node *n)
{
	int slot = n->slot, rc;
	struct value v;
	struct list *items;
	struct loop *loop;
	void *memory;

	rc = eval(r, n->a, &v);
	if (!rc)
		rc = value_items(r, n->a, &v, &items);
	if (!rc && n->d)
		rc = loop_filter(r, n, &items);
	if (!rc)
		rc = render_alloc(r, n, &memory, 1, sizeof(*loop));
	if (rc)
		return rc;
	loop = memory;
	loop->items = items;
	for (; loop->at < items->n && !rc; loop->at++) {
		size_t mark = scope_begin(r);
		rc = assign(r, n->target, items->items[loop->at]);
		bind(r, slot, (struct value){ .kind = V_LOOP, .u.loop = loop });
		if (!rc)
			rc = run(r, n->b);
		scope_end(r, mark);
		if (rc == RAN_CONTINUE)
			rc = 0;
	}
	if (rc == RAN_BREAK)
		rc = 0;
	if (!rc && !items->n && n->c)
		rc = run(r, n->c);
	return rc;
}

static int run_set(struct render *r, const struct node *n)
{
	struct value v;
	int rc = eval(r, n->a, &v);

	return rc ? rc : assign(r, n->target, v);
}

/* {% set x %} and {% filter f %}: what the body prints, through the filters. */
static int run_captured(struct render *r, const struct node *n)
{
	struct value v, saved = r->captured;
	size_t mark = scope_begin(r);
	int rc = capture(r, n->b, &v);

	scope_end(r, mark);
	if (!rc && n->a) {
		r->captured = v;
		rc = eval(r, n->a, &v);
		r->captured = saved;
	}
	if (rc)
		return rc;
	return n->kind == N_SETBLOCK ? assign(r, n->target, v) : print(r, n, &v);
}

static int run_with(struct render *r, const struct node *n)
{
	struct value *values;
	void *memory;
	size_t mark;
	int rc = render_alloc(r, n, &memory, (size_t)n->n + 1, sizeof(*values));

	values = memory;
	for (int i = 0; i < n->n && !rc; i++) /* all of them see the outside */
		rc = eval(r, n->list[i]->a, &values[i]);
	if (rc)
		return rc;
	mark = scope_begin(r);
	for (int i = 0; i < n->n; i++)
		bind(r, n->list[i]->target->slot, values[i]);
	rc = run(r, n->b);
	scope_end(r, mark);
	return rc;
}

static int run_inner(struct render *r, const struct node *n)
{
	struct value v;
	int rc;

	switch (n->kind) {
	case N_BODY:
		return run_body(r, n);
	case N_TEXT:
		return print(r, n, &n->constant);
	case N_PRINT:
		rc = eval(r, n->a, &v);
		return rc ? rc : print(r, n->a, &v);
	case N_IF:
		return run_if(r, n);
	case N_FOR:
		return run_for(r, n);
	case N_SET:
		return run_set(r, n);
	case N_SETBLOCK:
	case N_FILTERBLOCK:
		return run_captured(r, n);
	case N_WITH:
		return run_with(r, n);
	case N_MACRO:
		bind(r, n->slot, (struct value){ .kind = V_MACRO, .u.macro = n });
		return 0;
	case N_BREAK:
		return RAN_BREAK;
	default:
		return RAN_CONTINUE;
	}
}

static int run(struct render *r, const struct node *n)
{
	int rc = render_work(r, n, 1);

	if (!rc && ++r->depth > TEMPLATE_MAX_DEPTH)
		return render_error(r, n, "more than %d blocks in each other", TEMPLATE_MAX_DEPTH);
	if (!rc)
		rc = run_inner(r, n);
	r->depth--;
	return rc;
}

/* What a name means before the template sets anything: a member of the context, or a function of the engine. */
static struct value outer_value(const struct template *t, const char *name, const json_t *context)
{
	const json_t *member = json_object_get(context, name);
	const struct builtin *function = member ? NULL : builtin_global(name, t->chat);

	if (member)
		return value_json(member);
	return (struct value){ .kind = function ? V_FUNC : V_ABSENT, .u.func = function };
}

/* value NULL: the whole is printed into out. Else *value: what n, an expression, is. */
static int render_all(const struct template *t, const struct node *n, const json_t *context, struct buf *out,
		      json_t **value)
{
	struct render r = { .t = t, .mem = { .max = TEMPLATE_MAX_MEMORY }, .out = out, .out_start = out->len };
	size_t names = (size_t)t->n_names;
	struct value v;
	int rc;

	r.vars = arena_alloc(&r.mem, (names + 1) * sizeof(*r.vars));
	r.root = arena_alloc(&r.mem, (names + 1) * sizeof(*r.root));
	if (!r.vars || !r.root) {
		rc = template_error(t, 0, "the template has too many names");
	} else {
		for (size_t i = 0; i < names; i++)
			r.vars[i] = r.root[i] = outer_value(t, t->names[i], context);
		rc = value ? eval(&r, n, &v) : run(&r, n);
		if (value && !rc)
			rc = value_to_json(&r, n, &v, 0, value);
	}
	if (rc < 0 && out->data) {
		out->len = r.out_start;
		out->data[out->len] = '\0';
	}
	free(r.undo);
	arena_release(&r.mem);
	return rc < 0 ? rc : 0;
}

int template_render(const struct template *t, const json_t *context, struct buf *out)
{
	return render_all(t, t->body, context, out, NULL);
}

int template_value(const struct template *t, const json_t *context, json_t **out)
{
	const struct node *only = t->body->n == 1 ? t->body->list[0] : NULL;
	struct buf text = BUF_INIT(TEMPLATE_MAX_OUTPUT);
	bool expression = only && only->kind == N_PRINT;
	int rc = render_all(t, expression ? only->a : t->body, context, &text, expression ? out : NULL);

	if (!rc && !expression)
		*out = json_new_text(buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}
