/* process_docs.c: documents chosen and completed before anything is asked, without Python.
 *
 *	process_docs:
 *	  where: "label >= 0 and text | length > 0"        an expression; a document for which it is false is left out
 *	  set:
 *	    query: "{{ title }}: {{ text | trim }}"        a template gives text
 *	    choices: "{{ [ending0, ending1] }}"            of one expression: its value, a list or a number too
 *
 * In place of the harness's process_docs: !function, which is Python; the harness refuses this mapping, so it stands in
 * files of one's own. Columns are set in order, and each sees those before it. A document keeps its name (id or row). */
#include "base/base.h"

#include "evals/evals_int.h"

enum { SET_MAX = 100 };

struct process_set {
	char *column;
	struct template *value;
};

/* An expression as the template that prints it. */
static int where_parse(struct template **out, const struct source *src, const char *text)
{
	char *name = mem_printf("%s: process_docs.where", src->path), *wrapped = NULL;
	int rc;

	if (!strstr(text, "{{"))
		wrapped = mem_printf("{{ %s }}", text);
	rc = template_parse(out, wrapped ? wrapped : text, strlen(wrapped ? wrapped : text), name);
	free(wrapped);
	free(name);
	return rc;
}

static int set_parse(struct process_docs *p, const struct source *src, json_t *set)
{
	const char *column;
	json_t *value;
	int rc = 0;

	if (json_object_size(set) > SET_MAX)
		return yaml_error(src->y, set, NULL, "process_docs.set: more than %d columns", SET_MAX);
	p->set = mem_array(json_object_size(set), sizeof(*p->set));
	json_object_foreach(set, column, value)
	{
		char *name = mem_printf("%s: process_docs.set.%s", src->path, column);

		if (!json_is_string(value))
			rc = yaml_error(src->y, set, column, "process_docs.set: %s must be a template", column);
		else
			rc = template_parse(&p->set[p->n].value, json_string_value(value), json_string_length(value),
					    name);
		free(name);
		if (rc)
			return rc;
		p->set[p->n++].column = mem_str(column);
	}
	return 0;
}

int process_docs_load(struct process_docs *p, const struct source *src)
{
	static const char *const known[] = { "where", "set" };
	json_t *map = json_object_get(src->map, "process_docs"), *set = NULL;
	const char *where = NULL;
	int rc;

	*p = (struct process_docs){ 0 };
	if (!map || json_is_null(map))
		return 0;
	if (!json_is_object(map))
		return yaml_error(src->y, src->map, "process_docs",
				  "process_docs must be {where: \"an expression\", set: {column: \"a template\"}}");
	rc = yaml_check_keys(src->y, map, "process_docs", known, ARRAY_LEN(known));
	rc = rc ? rc : yaml_get_text(src->y, map, "where", &where);
	rc = rc ? rc : yaml_get_object(src->y, map, "set", &set);
	if (!rc && where)
		rc = where_parse(&p->where, src, where);
	if (!rc && set)
		rc = set_parse(p, src, set);
	if (rc)
		process_docs_release(p);
	return rc;
}

static bool is_true(const json_t *v)
{
	if (json_is_string(v))
		return json_string_length(v) > 0;
	if (json_is_array(v) || json_is_object(v))
		return json_array_size(v) + json_object_size(v) > 0;
	return json_is_number(v) ? json_number_value(v) != 0 : json_is_true(v);
}

static int doc_process(const struct process_docs *p, struct doc *d, bool *keep)
{
	json_t *wanted = NULL, *value, *changed;
	int rc = 0;

	*keep = true;
	if (p->where) {
		rc = template_value(p->where, d->value, &wanted);
		*keep = !rc && is_true(wanted);
		json_decref(wanted);
	}
	if (rc || !*keep || !p->n)
		return rc;
	changed = json_copy(d->value);
	json_decref(d->value);
	d->value = changed;
	for (size_t i = 0; i < p->n && !rc; i++) {
		rc = template_value(p->set[i].value, changed, &value);
		if (!rc)
			json_object_set_new(changed, p->set[i].column, value);
	}
	return rc;
}

int process_docs_apply(const struct process_docs *p, struct split *s)
{
	size_t kept = 0;
	int rc = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct doc *d = &s->docs[i];
		bool keep = true;

		if (!rc && (rc = doc_process(p, d, &keep)) != 0)
			doc_error(rc, d);
		if (rc || keep) {
			s->docs[kept++] = *d;
			continue;
		}
		json_decref(d->value);
		free(d->id);
	}
	s->n = kept;
	return rc;
}

void process_docs_release(struct process_docs *p)
{
	template_free(p->where);
	for (size_t i = 0; i < p->n; i++) {
		template_free(p->set[i].value);
		free(p->set[i].column);
	}
	free(p->set);
	*p = (struct process_docs){ 0 };
}
