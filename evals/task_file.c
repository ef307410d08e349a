/* task_file.c: a task file with what it includes, as one mapping.
 *
 *	include: base.yaml          or a list; looked for beside the file that says so
 *	num_fewshot: 5              a key of the file wins over an included one, a later include over an earlier one
 *
 * So a file of two lines changes a task without touching it. A mistake is told with the file that holds the key.
 *
 * "!function utils.f" names Python, which is not run. A file may replace the key that names it (null is enough), as in
 * the harness, so functions are read as marks and refused when the mapping is whole. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { TASK_FILE_MAX = 16 << 20, INCLUDE_DEPTH = 16 };

static int include_into(struct task_file *f, struct yaml *y, json_t *map, const char *path, int depth);

/* src_path NULL: name is the path. */
static int file_parse(struct yaml **out, struct task_file *f, const char *src_path, const char *name, char **used)
{
	struct buf text = BUF_INIT(TASK_FILE_MAX);
	int rc;

	*out = NULL;
	if (src_path) {
		rc = source_read(f->files, src_path, name, TASK_FILE_MAX, &text, used);
	} else {
		*used = mem_str(name);
		rc = f->files->read(f->files->self, name, &text);
		if (!rc && buf_full(&text))
			rc = err_set(ERR_INPUT, "%s: larger than %d MiB", name, TASK_FILE_MAX >> 20);
	}
	if (rc) {
		buf_release(&text);
		return rc;
	}
	rc = yaml_parse_python(out, buf_str(&text), text.len, *used);
	buf_release(&text);
	if (!rc && f->n == ARRAY_LEN(f->docs)) {
		rc = err_set(ERR_INPUT, "%s: more than %zu files include each other", *used, ARRAY_LEN(f->docs));
		yaml_free(*out);
	} else if (!rc) {
		f->docs[f->n++] = *out;
		if (!json_is_object(yaml_root(*out)))
			rc = err_set(ERR_INPUT, "%s: a task file must be a mapping", *used);
	}
	return rc;
}

static int include_one(struct task_file *f, struct yaml *y, json_t *map, const char *path, const char *name, int depth)
{
	struct yaml *base = NULL;
	char *used = NULL;
	int rc;

	if (depth == INCLUDE_DEPTH)
		return yaml_error(y, map, "include", "includes go more than %d deep: does one include itself?",
				  INCLUDE_DEPTH);
	rc = file_parse(&base, f, path, name, &used);
	if (!rc)
		rc = include_into(f, base, yaml_root(base), used, depth + 1);
	else
		rc = err_context(rc, "%s: include", path);
	if (!rc)
		yaml_merge(y, map, base, yaml_root(base), false);
	free(used);
	return rc;
}

/* Backwards: what is there already stays, so a later include wins. */
static int include_into(struct task_file *f, struct yaml *y, json_t *map, const char *path, int depth)
{
	const json_t *names = json_object_get(map, "include"), *name;
	size_t n = json_is_array(names) ? json_array_size(names) : names && !json_is_null(names);
	int rc = 0;

	for (size_t i = n; i-- > 0 && !rc;) {
		name = json_is_array(names) ? json_array_get(names, i) : names;
		if (!json_is_string(name))
			return yaml_error(y, map, "include", "include must be a file or a list of files");
		rc = include_one(f, y, map, path, json_string_value(name), depth);
	}
	json_object_del(map, "include");
	json_object_del(map, "task_list"); /* of the file that was included: the harness drops it too */
	return rc;
}

int task_file_open(struct task_file *f, const struct eval_files *files, const char *src_path, const char *name)
{
	int rc;

	*f = (struct task_file){ .files = files };
	rc = file_parse(&f->y, f, src_path, name, &f->path);
	if (!rc)
		rc = include_into(f, f->y, yaml_root(f->y), f->path, 0);
	if (rc)
		task_file_close(f);
	else
		f->map = yaml_root(f->y);
	return rc;
}

int task_file_read(struct task_file *f, const struct eval_files *files, const char *path)
{
	return task_file_open(f, files, NULL, path);
}

int task_file_include(struct task_file *f, const struct eval_files *files, struct yaml *y, json_t *map,
		      const char *path)
{
	int rc;

	*f = (struct task_file){ .files = files };
	rc = include_into(f, y, map, path, 0);
	if (rc)
		task_file_close(f);
	return rc;
}

void task_file_close(struct task_file *f)
{
	for (size_t i = 0; i < f->n; i++)
		yaml_free(f->docs[i]);
	free(f->path);
	*f = (struct task_file){ 0 };
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

/* The name of the first function in a value, or NULL. */
static const char *function_in(const json_t *v)
{
	const char *found = NULL, *key;
	const json_t *member;
	size_t i;

	if (json_is_array(v))
		json_array_foreach(v, i, member)
		{
			if (!found)
				found = function_in(member);
		}
	if (json_is_object(v)) {
		if (json_is_string(json_object_get(v, YAML_FUNCTION)))
			return json_string_value(json_object_get(v, YAML_FUNCTION));
		json_object_foreach((json_t *)(uintptr_t)v, key, member)
		{
			if (!found)
				found = function_in(member);
		}
	}
	return found;
}

int task_file_functions(const struct source *src)
{
	const char *key, *name, *first = NULL, *first_name = NULL;
	bool only_docs = true;
	json_t *value;

	json_object_foreach(src->map, key, value)
	{
		name = function_in(value);
		if (!name)
			continue;
		only_docs = only_docs && strcmp(key, "process_docs") == 0;
		if (!first || strcmp(first, "process_docs") == 0) {
			first = key;
			first_name = name;
		}
	}
	if (!first)
		return 0;
	yaml_error(src->y, src->map, first, "%s: the Python function %s is not run here", first, first_name);
	if (only_docs)
		return err_hint(ERR_INPUT,
				"say what it does in a file of your own: include: this file, and process_docs: {where: "
				"\"an expression\", set: {column: \"{{ a template }}\"}}");
	return err_hint(
		ERR_INPUT,
		"write a template in its place, in a file of your own that includes this one: %s replaces the key",
		strcmp(first, "metric_list") == 0   ? "metric_list: [{metric: …}]"
		: strcmp(first, "filter_list") == 0 ? "filter_list: [{name: …, filter: […]}]"
						    : "doc_to_text: \"{{ … }}\", for instance,");
}
