/* field.c: doc_to_text and its kin: what a task file says about where in a document a thing is.
 *
 * Text that is the name of a column (a member that some document of the evaluated split has) gives that member as it
 * is; any other text is a template; doc_to_choice and doc_to_target may also be a list or a number, doc_to_choice a
 * mapping, of which the values count. The columns are known once the data is read, so fields are loaded after it. A row
 * that lacks the member is an error that names it. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { COLUMNS_SHOWN = 200 }; /* bytes of their names */

static bool field_is_column(const struct split *columns, const char *name)
{
	for (size_t i = 0; i < columns->n; i++)
		if (json_object_get(columns->docs[i].value, name))
			return true;
	return false;
}

static json_t *map_values(json_t *map)
{
	json_t *list = json_array(), *value;
	const char *key;

	json_object_foreach(map, key, value)
	{
		json_array_append(list, value);
	}
	return list;
}

int field_load(struct field *f, const struct source *src, const char *key, const struct split *columns)
{
	json_t *value = json_object_get(src->map, key);
	bool list = strcmp(key, "doc_to_choice") == 0 || strcmp(key, "doc_to_target") == 0;
	char *name;
	int rc;

	*f = (struct field){ .kind = FIELD_NONE, .key = key };
	if (!value || json_is_null(value))
		return 0;
	if (list && (json_is_array(value) || json_is_integer(value))) {
		f->kind = FIELD_VALUE;
		f->value = json_incref(value);
		return 0;
	}
	if (json_is_object(value) && strcmp(key, "doc_to_choice") == 0) {
		f->kind = FIELD_VALUE;
		f->value = map_values(value);
		return 0;
	}
	if (!json_is_string(value))
		return yaml_error(src->y, src->map, key, "%s must be a column, a template%s", key,
				  list ? ", a list or a number" : " or text");
	f->text = mem_str(json_string_value(value));
	if (field_is_column(columns, f->text)) {
		f->kind = FIELD_COLUMN;
		return 0;
	}
	f->kind = FIELD_TEMPLATE;
	name = mem_printf("%s: %s", src->path, key);
	rc = template_parse(&f->tmpl, f->text, strlen(f->text), name);
	free(name);
	return rc;
}

void field_release(struct field *f)
{
	free(f->text);
	template_free(f->tmpl);
	json_decref(f->value);
	memset(f, 0, sizeof(*f));
}

/* For who misspelt a column. */
static void columns_hint(const struct doc *d)
{
	struct buf names = BUF_INIT(BUF_NOLIMIT);
	const char *name;
	json_t *v;

	json_object_foreach(d->value, name, v)
	{
		if (names.len < COLUMNS_SHOWN)
			buf_addf(&names, "%s%.60s", names.len ? ", " : "", name);
	}
	if (names.len && !err_fix())
		err_hint(ERR_INPUT, "the row's columns: %s%s", buf_str(&names), names.len < COLUMNS_SHOWN ? "" : ", …");
	buf_release(&names);
}

int field_eval(json_t **out, const struct field *f, const struct doc *d)
{
	struct buf text = BUF_INIT((size_t)1 << 26);
	json_t *member;
	int rc;

	*out = NULL;
	if (f->kind == FIELD_VALUE) {
		*out = json_incref(f->value);
		return 0;
	}
	if (f->kind == FIELD_COLUMN) {
		member = json_object_get(d->value, f->text);
		if (!member || json_is_null(member)) {
			doc_error(err_set(ERR_INPUT, "this row has no \"%s\", which %s needs", f->text, f->key), d);
			columns_hint(d);
			return ERR_INPUT;
		}
		*out = json_incref(member);
		return 0;
	}
	rc = f->kind == FIELD_TEMPLATE ? template_render(f->tmpl, d->value, &text) : 0;
	if (!rc && buf_full(&text))
		rc = err_set(ERR_INPUT, "%s renders to more than 64 MiB", f->key);
	if (rc) {
		doc_error(rc, d);
		if (strstr(err_text(), " is undefined"))
			columns_hint(d);
	} else {
		*out = json_new_text(buf_str(&text), text.len);
	}
	buf_release(&text);
	return rc;
}

int field_text(struct buf *out, const struct field *f, const struct doc *d)
{
	json_t *value;
	int rc;

	if (f->kind == FIELD_NONE)
		return 0;
	rc = field_eval(&value, f, d);
	if (rc)
		return rc;
	if (json_is_string(value))
		buf_adds(out, json_string_value(value));
	else
		rc = doc_error(err_set(ERR_INPUT, "\"%s\" is not text, which %s needs", f->text, f->key), d);
	json_decref(value);
	return rc;
}
