/* template_method.c: how builtins are called; the methods of lists and dicts, and the global functions.
 *
 * Rows of name, number of arguments, names of arguments, function. builtin_call() sees to the arguments (too few, too
 * many, by keyword, undefined) before any function runs, so a function finds each argument at its place or V_ABSENT. What
 * Python has and this table has not is an error that names it, not a guess. Lists of the context cannot be changed. */
#include "base/base.h"

#include "model/template_int.h"

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static int put_keywords(struct render *r, const struct node *at, const struct builtin *b, const struct value *values,
			const char *const *keys, int n, struct args *a)
{
	int rc = 0;

	if (b->flags & B_KEYWORDS) {
		struct value *dict = &a->v[TEMPLATE_MAX_ARGS];
		rc = value_dict(r, at, dict);
		for (int i = 0; i < n && !rc; i++)
			rc = value_dict_set(r, at, dict->u.dict, value_text(keys[i]), values[i]);
		return rc;
	}
	for (int i = 0; i < n; i++) {
		const char *p = b->params;
		size_t len = strlen(keys[i]);
		int place = 1;
		while (*p && (strncmp(p, keys[i], len) != 0 || (p[len] && p[len] != ','))) {
			p += strcspn(p, ",");
			p += *p == ',';
			place++;
		}
		if (!*p || a->v[place].kind != V_ABSENT)
			return render_error(r, at, "%s has no argument \"%.100s\" left", b->name, keys[i]);
		a->v[place] = values[i];
	}
	return 0;
}

static int check_undefined(struct render *r, const struct node *at, const struct builtin *b, struct args *a)
{
	if (b->flags & B_UNDEFINED)
		return 0;
	for (int i = 0; i <= TEMPLATE_MAX_ARGS; i++) {
		if (a->v[i].kind != V_UNDEFINED)
			continue;
		if (!value_lenient(r, &a->v[i]) || (i == 0 && (b->flags & B_NUMBER)))
			return value_use(r, i == 0 && at->a ? at->a : at, &a->v[i]);
		a->v[i] = value_text("");
	}
	return 0;
}

int builtin_call(struct render *r, const struct node *at, const struct builtin *b, const struct value *self,
		 const struct value *values, int n, const char *const *keys, int n_keys, struct value *out)
{
	struct args a = { .n = 1 + n - n_keys };
	int max = b->flags & B_VARIADIC ? TEMPLATE_MAX_ARGS - 1 : b->max, rc;

	a.v[0] = *self;
	if (n - n_keys > max)
		return render_error(r, at, "%s takes at most %d argument%s", b->name, max, max == 1 ? "" : "s");
	for (int i = 0; i < n - n_keys; i++)
		a.v[1 + i] = values[i];
	rc = put_keywords(r, at, b, values + (n - n_keys), keys, n_keys, &a);
	for (int i = 1; i <= b->min && !rc; i++)
		if (a.v[i].kind == V_ABSENT)
			return render_error(r, at, "%s takes at least %d argument%s", b->name, b->min,
					    b->min == 1 ? "" : "s");
	if (!rc)
		rc = check_undefined(r, at, b, &a);
	if (!rc)
		rc = render_work(r, at, 1 + a.v[0].len / 4096 * (a.v[0].kind == V_STR));
	return rc ? rc : b->fn(r, at, &a, out);
}

int builtin_int(struct render *r, const struct node *at, const struct value *v, int64_t otherwise, int64_t *out)
{
	*out = otherwise;
	if (v->kind == V_ABSENT || v->kind == V_NONE)
		return 0;
	if (v->kind != V_INT && v->kind != V_BOOL)
		return render_error(r, at, "an integer is wanted, not a %s", value_type(v));
	*out = v->kind == V_INT ? v->u.i : v->u.b;
	return 0;
}

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static int list_index(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	bool same = false;
	int rc = value_items(r, at, &a->v[0], &l);

	for (size_t i = 0; !rc && i < l->n; i++) {
		rc = value_equal(r, at, &l->items[i], &a->v[1], &same);
		if (!rc && same) {
			*out = value_int((int64_t)i);
			return 0;
		}
	}
	return rc ? rc : render_error(r, at, "index: the value is not in the list");
}

static int list_count(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	bool same = false;
	int64_t n = 0;
	int rc = value_items(r, at, &a->v[0], &l);

	for (size_t i = 0; !rc && i < l->n; i++) {
		rc = value_equal(r, at, &l->items[i], &a->v[1], &same);
		n += same;
	}
	*out = value_int(n);
	return rc;
}

static int changeable(struct render *r, const struct node *at, const struct value *v)
{
	if (v->kind == V_LIST && v->u.list->kind == LIST_LIST)
		return 0;
	return render_error(r, at, "a %s that the template did not make cannot be changed", value_type(v));
}

static int list_append(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = changeable(r, at, &a->v[0]);

	*out = value_none();
	return rc ? rc : value_append(r, at, a->v[0].u.list, a->v[1]);
}

static int list_extend(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct list *l;
	size_t n;
	int rc = changeable(r, at, &a->v[0]);

	if (!rc)
		rc = value_items(r, at, &a->v[1], &l);
	n = rc ? 0 : l->n; /* it may be the list itself */
	for (size_t i = 0; i < n && !rc; i++)
		rc = value_append(r, at, a->v[0].u.list, l->items[i]);
	*out = value_none();
	return rc;
}

static int list_pop(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t i, n;
	struct list *l;
	int rc = changeable(r, at, &a->v[0]);

	if (!rc)
		rc = builtin_int(r, at, &a->v[1], -1, &i);
	if (rc)
		return rc;
	l = a->v[0].u.list;
	n = (int64_t)l->n;
	if (i < 0)
		i += n;
	if (i < 0 || i >= n)
		return render_error(r, at, "pop: there is no such member");
	*out = l->items[i];
	memmove(l->items + i, l->items + i + 1, (size_t)(n - i - 1) * sizeof(*l->items));
	l->n--;
	return 0;
}

/* ---- dicts -------------------------------------------------------------------------------------------------------- */

static int dict_get(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	(void)r;
	(void)at;
	if (!value_dict_get(&a->v[0], &a->v[1], out))
		*out = a->v[2].kind == V_ABSENT ? value_none() : a->v[2];
	return 0;
}

/* what: keys, values or both. */
static int dict_view(struct render *r, const struct node *at, const struct value *v, enum list_kind what,
		     struct value *out)
{
	struct list *keys;
	int rc = value_items(r, at, v, &keys);

	if (!rc)
		rc = value_list(r, at, keys->n, what, out);
	for (size_t i = 0; !rc && i < keys->n; i++) {
		struct value item = value_none(), pair;
		if (v->kind == V_DICT)
			item = v->u.dict->values[i];
		else
			value_dict_get(v, &keys->items[i], &item);
		if (what == LIST_ITEMS) {
			rc = value_list(r, at, 2, LIST_TUPLE, &pair);
			if (!rc)
				rc = value_append(r, at, pair.u.list, keys->items[i]);
			if (!rc)
				rc = value_append(r, at, pair.u.list, item);
		} else {
			pair = what == LIST_KEYS ? keys->items[i] : item;
		}
		if (!rc)
			rc = value_append(r, at, out->u.list, pair);
	}
	return rc;
}

static int dict_items(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return dict_view(r, at, &a->v[0], LIST_ITEMS, out);
}

static int dict_keys(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return dict_view(r, at, &a->v[0], LIST_KEYS, out);
}

static int dict_values(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	return dict_view(r, at, &a->v[0], LIST_VALUES, out);
}

/* ---- loop --------------------------------------------------------------------------------------------------------- */

static int loop_cycle(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	if (a->n < 2)
		return render_error(r, at, "loop.cycle: values are wanted");
	*out = a->v[1 + a->v[0].u.loop->at % (size_t)(a->n - 1)];
	return 0;
}

static int loop_changed(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct loop *l = a->v[0].u.loop;
	bool same = false;
	int rc = l->has_changed ? value_equal(r, at, &l->changed, &a->v[1], &same) : 0;

	l->has_changed = true;
	l->changed = a->v[1];
	*out = value_bool(!same);
	return rc;
}

/* ---- functions ---------------------------------------------------------------------------------------------------- */

static int global_range(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int64_t start = 0, stop, step;
	struct list *l;
	int rc = builtin_int(r, at, &a->v[a->n > 2 ? 2 : 1], 0, &stop);

	if (!rc && a->n > 2)
		rc = builtin_int(r, at, &a->v[1], 0, &start);
	if (!rc)
		rc = builtin_int(r, at, &a->v[3], 1, &step);
	if (!rc && !step)
		return render_error(r, at, "range: the step is zero");
	if (!rc)
		rc = value_list(r, at, 8, LIST_RANGE, out);
	if (rc)
		return rc;
	l = out->u.list;
	l->start = start;
	l->stop = stop;
	l->step = step;
	for (int64_t i = start; !rc && (step > 0 ? i < stop : i > stop);) {
		rc = value_append(r, at, l, value_int(i));
		if (__builtin_add_overflow(i, step, &i))
			break;
	}
	return rc;
}

static int global_dict(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value *keywords = (struct value *)&a->v[TEMPLATE_MAX_ARGS], pairs;
	struct list *l;
	int rc = value_dict(r, at, out);

	if (!rc && a->v[1].kind != V_ABSENT) {
		if (!value_is_dict(&a->v[1]))
			return render_error(r, at, "dict: a dict or keywords are wanted");
		rc = dict_view(r, at, &a->v[1], LIST_ITEMS, &pairs);
		for (size_t i = 0; !rc && i < pairs.u.list->n; i++) {
			l = pairs.u.list->items[i].u.list;
			rc = value_dict_set(r, at, out->u.dict, l->items[0], l->items[1]);
		}
	}
	for (size_t i = 0; !rc && i < keywords->u.dict->n; i++)
		rc = value_dict_set(r, at, out->u.dict, keywords->u.dict->keys[i], keywords->u.dict->values[i]);
	return rc;
}

static int global_namespace(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	int rc = global_dict(r, at, a, out);

	if (!rc)
		out->u.dict->namespace = true;
	return rc;
}

static int global_raise(struct render *r, const struct node *at, const struct args *a, struct value *out)
{
	struct value text;
	int rc = value_to_str(r, at, &a->v[1], &text);

	(void)out;
	return rc ? rc : render_error(r, at, "%.*s", text.len < 400 ? (int)text.len : 400, text.u.s);
}

/* ---- tables ------------------------------------------------------------------------------------------------------- */

static const struct builtin list_methods[] = {
	{ "index", 1, 1, "value", list_index, 0 },    { "count", 1, 1, "value", list_count, 0 },
	{ "append", 1, 1, "object", list_append, 0 }, { "extend", 1, 1, "iterable", list_extend, 0 },
	{ "pop", 0, 1, "index", list_pop, 0 },        { 0 },
};

static const struct builtin dict_methods[] = {
	{ "get", 1, 2, "key,default", dict_get, B_UNDEFINED },
	{ "items", 0, 0, "", dict_items, 0 },
	{ "keys", 0, 0, "", dict_keys, 0 },
	{ "values", 0, 0, "", dict_values, 0 },
	{ 0 },
};

static const struct builtin loop_methods[] = {
	{ "cycle", 0, 0, "", loop_cycle, B_VARIADIC },
	{ "changed", 1, 1, "value", loop_changed, 0 },
	{ 0 },
};

static const struct builtin globals[] = {
	{ "range", 1, 3, "start,stop,step", global_range, 0 },
	{ "dict", 0, 1, "", global_dict, B_KEYWORDS },
	{ "namespace", 0, 1, "", global_namespace, B_KEYWORDS },
	{ "raise_exception", 1, 1, "message", global_raise, 0 }, /* the last: in chat templates only */
	{ 0 },
};

const struct builtin *builtin_row(const struct builtin *rows, const char *name, size_t len)
{
	for (; rows->name; rows++)
		if (strlen(rows->name) == len && !memcmp(rows->name, name, len))
			return rows;
	return NULL;
}

const struct builtin *builtin_method(const struct value *self, const char *name, size_t len)
{
	if (self->kind == V_STR)
		return builtin_row(text_methods, name, len);
	if (value_is(self, LIST_LIST) || value_is(self, LIST_TUPLE))
		return builtin_row(list_methods, name, len);
	if (self->kind == V_LOOP)
		return builtin_row(loop_methods, name, len);
	if (value_is_dict(self) && !(self->kind == V_DICT && self->u.dict->namespace))
		return builtin_row(dict_methods, name, len);
	return NULL;
}

const struct builtin *builtin_global(const char *name, bool chat)
{
	const struct builtin *b = builtin_row(globals, name, strlen(name));

	return b && b->fn == global_raise && !chat ? NULL : b;
}
