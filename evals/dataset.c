/* dataset.c: the documents of a task, from the files of rows (base/rows.h) that dataset_kwargs.data_files names or hub.c
 * finds.
 *
 * As in the harness's "json" data set: a string or a list of files is the split "train"; a mapping names its splits.
 * Every row is one JSON object. A document is known by its member "id" (text or a whole number) if it has one, else
 * by its row number in the split, from 0: that name pairs it with the same document in another run, so two documents
 * of one name are refused. The "id" of a data set of the hub means what its authors meant by it: where it does not name
 * every document, rows are numbered instead.
 *
 * Paths stay beneath the root: ".." is resolved here, in the text, and may not climb out. */
#include "base/base.h"

#include "base/rows.h"
#include "evals/evals_int.h"

enum { ID_MAX = 200 };

#define DATA_FILE_MAX ((size_t)1 << 30)

/* ---- paths ------------------------------------------------------------------------------------------------------- */

/* How much of dir is above what names may reach: "/" of an absolute path, the "../" that a user began with. */
static size_t source_base(const char *dir)
{
	size_t n = 0;

	if (*dir == '/')
		return 1;
	while (strncmp(dir + n, "../", 3) == 0 || strcmp(dir + n, "..") == 0)
		n += dir[n + 2] ? 3 : 2;
	return n;
}

char *source_path(const char *dir, const char *name)
{
	size_t base = source_base(dir);
	char *joined = mem_printf("%s/%s", dir + base, name), *result = NULL, *checked = NULL;
	struct buf out = BUF_INIT(1 << 16);

	if (*name == '/')
		goto out;
	for (const char *p = joined; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			const char *slash = out.len ? strrchr(out.data, '/') : NULL;

			if (!out.len)
				goto out;
			out.len = slash ? (size_t)(slash - out.data) : 0;
			out.data[out.len] = 0;
		} else if (n && !(n == 1 && *p == '.')) {
			if (out.len)
				buf_addc(&out, '/');
			buf_add(&out, p, n);
		}
		p += n + (p[n] == '/');
	}
	if (!out.len || buf_full(&out) || path_check(&checked, buf_str(&out)))
		goto out;
	result = mem_printf("%.*s%s%s", (int)base, dir, base > 1 && dir[base - 1] != '/' ? "/" : "", checked);
out:
	free(checked);
	free(joined);
	buf_release(&out);
	return result;
}

int source_read(const struct eval_files *files, const char *src_path, const char *name, size_t max, struct buf *out,
		char **used)
{
	char *dir = path_dir(src_path);
	char *tries[2] = { source_path(dir, name), source_path(".", name) };
	int rc = ERR_NOTFOUND;

	*used = NULL;
	for (int i = 0; i < 2 && rc == ERR_NOTFOUND; i++) {
		if (!tries[i] || (i && tries[0] && strcmp(tries[0], tries[1]) == 0))
			continue;
		buf_init(out, max);
		rc = files->read(files->self, tries[i], out);
		if (!rc && buf_full(out))
			rc = err_set(ERR_INPUT, "%s: larger than %zu MiB", tries[i], max >> 20);
		if (rc)
			buf_release(out);
		else
			*used = mem_str(tries[i]);
	}
	if (!tries[0] && !tries[1]) {
		rc = err_set(ERR_INPUT, "\"%s\" is not a path beneath the root", name);
		err_hint(rc, "name a file of the same repository, by a relative path");
	} else if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "there is no file \"%s\" (looked for %s%s%s)", name,
			     tries[0] ? tries[0] : tries[1],
			     tries[0] && tries[1] && strcmp(tries[0], tries[1]) != 0 ? " and " : "",
			     tries[0] && tries[1] && strcmp(tries[0], tries[1]) != 0 ? tries[1] : "");
		err_hint(rc, "paths are relative to the file that names them, or to the root; is the file committed?");
	}
	free(tries[0]);
	free(tries[1]);
	free(dir);
	return rc;
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

int doc_error(int rc, const struct doc *d)
{
	return err_context(rc, "%s:%zu", d->file, d->line);
}

static int doc_id(struct doc *d, size_t row)
{
	const json_t *id = json_object_get(d->value, "id");

	if (!id || json_is_null(id)) {
		d->id = mem_printf("%zu", row);
		return 0;
	}
	if (json_is_integer(id)) {
		d->id = mem_printf("%lld", (long long)json_integer_value(id));
		return 0;
	}
	if (!json_is_string(id))
		return doc_error(err_set(ERR_INPUT, "\"id\" must be text or a whole number"), d);
	if (json_string_length(id) == 0 || json_string_length(id) > ID_MAX)
		return doc_error(err_set(ERR_INPUT, "\"id\" must have 1 to %d bytes", ID_MAX), d);
	for (const char *s = json_string_value(id); *s; s++)
		if ((unsigned char)*s < 32 || *s == 127)
			return doc_error(err_set(ERR_INPUT, "\"id\" has a control character"), d);
	d->id = mem_str(json_string_value(id));
	return 0;
}

struct split_reader {
	struct split *split;
	const char *file;
};

/* Prompts are C strings: a NUL in a document would cut them unseen. */
static bool has_nul(const json_t *v)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(v))
		return memchr(json_string_value(v), 0, json_string_length(v)) != NULL;
	if (json_is_array(v))
		json_array_foreach(v, i, member)
		{
			if (has_nul(member))
				return true;
		}
	if (json_is_object(v))
		json_object_foreach((json_t *)(uintptr_t)v, key, member)
		{
			if (has_nul(member))
				return true;
		}
	return false;
}

static int split_add(json_t *value, size_t line, void *arg)
{
	struct split_reader *r = arg;
	struct split *s = r->split;
	struct doc *d;

	if (!json_is_object(value)) {
		err_set(ERR_INPUT, "%s:%zu: a row must be a JSON object, and this is %s", r->file, line,
			json_is_array(value)    ? "an array"
			: json_is_string(value) ? "a text"
			: json_is_number(value) ? "a number"
			: json_is_null(value)   ? "null"
						: "true or false");
		return err_hint(ERR_INPUT,
				"a line of JSONL, or an element of a JSON array, is a row: {\"question\": …, "
				"\"answer\": …}");
	}
	if (has_nul(value))
		return err_set(ERR_INPUT, "%s:%zu: a NUL character (\\u0000) in a text", r->file, line);
	MEM_GROW(s->docs, s->n, s->cap);
	d = &s->docs[s->n++];
	*d = (struct doc){ json_incref(value), r->file, line, NULL };
	if (doc_id(d, s->n - 1) == 0)
		return 0;
	if (!s->hub)
		return ERR_INPUT;
	err_clear();
	d->id = mem_str(""); /* split_check_ids() numbers them all */
	return 0;
}

/* What the task says of its files, in the words of the hub's own readers. */
static struct rows_options split_options(const struct split *s, const struct source *src, const char *member)
{
	static const struct rows_options nothing;
	const struct rows_options *card = s->card ? s->card : &nothing;
	const json_t *kwargs = json_object_get(src->map, "dataset_kwargs");
	const char *sep = json_get_text(kwargs, "sep", json_get_text(kwargs, "delimiter", NULL));
	bool csv = strcmp(json_get_text(src->map, "dataset_path", ""), "csv") == 0;

	return (struct rows_options){ .format = csv ? ROWS_CSV : ROWS_BY_NAME,
				      .member = member ? member + 1 : NULL,
				      .field = json_get_text(kwargs, "field", card->field),
				      .separator = sep ? *sep : card->separator,
				      .memory = src->files->memory ? src->files->memory(src->files->self) / 2 : 0 };
}

/* Takes the path and the text. member: "/name" in an archive, or NULL. */
static int split_text(struct split *s, const struct source *src, char *path, struct buf *text, const char *member)
{
	struct rows_options how = split_options(s, src, member);
	struct split_reader reader = { s, member ? mem_printf("%s%s", path, member) : mem_str(path) };
	int rc;

	s->files = mem_resize(s->files, (s->n_files + 1) * sizeof(*s->files));
	s->files[s->n_files++] = (char *)(uintptr_t)reader.file;
	rc = rows_each(buf_str(text), text->len, reader.file, &how, split_add, &reader);
	buf_release(text);
	free(path);
	return rc;
}

/* A file by its path from the root, or an absolute one. */
static int split_read_path(struct split *s, const struct source *src, const char *name)
{
	const char *member = rows_member(name);
	char *path = mem_strn(name, member ? (size_t)(member - name) : strlen(name));
	struct buf text = BUF_INIT(DATA_FILE_MAX);
	int rc = src->files->read(src->files->self, path, &text);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "there is no file %s", path);
	if (!rc && buf_full(&text))
		rc = err_set(ERR_INPUT, "%s: larger than %zu MiB", path, DATA_FILE_MAX >> 20);
	if (!rc)
		return split_text(s, src, path, &text, member);
	free(path);
	buf_release(&text);
	return err_context(rc, "%s: data_files", src->path);
}

static int split_read_glob(struct split *s, const struct source *src, const char *folder, const char *pattern)
{
	char **paths = NULL;
	size_t n = 0;
	int rc = data_glob(&paths, &n, src, folder, pattern);

	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = split_read_path(s, src, paths[i]);
		free(paths[i]);
	}
	free(paths);
	return rc;
}

/* A file named in the task's file, or (folder) in the folder of a data set. */
static int split_read(struct split *s, const struct source *src, const char *folder, const char *name)
{
	const char *member = folder ? NULL : rows_member(name);
	char *path, *file = mem_strn(name, member ? (size_t)(member - name) : strlen(name));
	struct buf text;
	int rc;

	if (data_is_glob(name)) {
		free(file);
		return split_read_glob(s, src, folder, name);
	}
	if (folder) {
		free(file);
		path = source_path(folder, name);
		rc = path ? split_read_path(s, src, path)
			  : err_set(ERR_INPUT, "%s: data_files: \"%s\" is not a path in %s", src->path, name, folder);
		free(path);
		return rc;
	}
	rc = source_read(src->files, src->path, file, DATA_FILE_MAX, &text, &path);
	free(file);
	return rc ? err_context(rc, "%s: dataset_kwargs.data_files", src->path)
		  : split_text(s, src, path, &text, member);
}

/* A name as the hub's own library takes it: a path, or hf://datasets/org/name/path. */
static int split_read_named(struct split *s, const struct source *src, const char *folder, const char *name)
{
	static const char hub[] = "hf://datasets/";
	char *own = NULL, *data;
	const char *rest;
	int rc;

	if (strncmp(name, hub, sizeof(hub) - 1) != 0) {
		if (strstr(name, "://"))
			return err_set(ERR_INPUT,
				       "%s: data_files: %s is not fetched: only files that are here are read",
				       src->path, name);
		return split_read(s, src, folder, name);
	}
	name += sizeof(hub) - 1;
	rest = strchr(name, '/');
	rest = rest ? strchr(rest + 1, '/') : NULL;
	if (!rest)
		return err_set(ERR_INPUT, "%s: data_files: %s%s names no file", src->path, hub, name);
	data = mem_strn(name, (size_t)(rest - name));
	rc = hub_folder(&own, src, data);
	if (!rc)
		rc = split_read(s, src, own, rest + 1);
	free(data);
	free(own);
	return rc;
}

/* The file or files of a split: text or a list of texts. */
static int split_files(struct split *s, const struct source *src, const char *folder, const json_t *names,
		       const json_t *at, const char *key)
{
	const json_t *name;
	size_t i;
	int rc;

	if (json_is_string(names))
		return split_read_named(s, src, folder, json_string_value(names));
	if (!json_is_array(names) || json_array_size(names) == 0)
		return yaml_error(src->y, at, key, "expected a file or a list of files");
	json_array_foreach(names, i, name)
	{
		if (!json_is_string(name))
			return yaml_error(src->y, at, key, "expected a list of files");
		rc = split_read_named(s, src, folder, json_string_value(name));
		if (rc)
			return rc;
	}
	return 0;
}

/* data_files, with folder in front of each where the data set has one. */
static int split_named(struct split *s, const struct source *src, const char *folder, const char *key)
{
	json_t *kwargs = json_object_get(src->map, "dataset_kwargs"), *files = json_object_get(kwargs, "data_files");
	struct buf have = BUF_INIT(4096);
	const char *split;
	json_t *value;
	int rc;

	if (!json_is_object(files)) { /* without names there is one split */
		if (strcmp(s->name, "train") == 0)
			return split_files(s, src, folder, files, kwargs, "data_files");
		yaml_error(src->y, src->map, key, "there is no split \"%s\": files without a split are \"train\"",
			   s->name);
		return err_hint(ERR_INPUT, "write data_files: {%s: file.jsonl}, or %s: train", s->name, key);
	}
	value = json_object_get(files, s->name);
	if (value)
		return split_files(s, src, folder, value, files, s->name);
	json_object_foreach(files, split, value)
	{
		buf_addf(&have, "%s%s", have.len ? ", " : "", split);
	}
	rc = yaml_error(src->y, src->map, key, "there is no split \"%s\" in data_files (there is: %s)", s->name,
			buf_str(&have));
	buf_release(&have);
	return rc;
}

/* A data set by its name: the files that hold the split, or data_files in its folder. */
static int split_hub(struct split *s, const struct source *src, const char *name, bool named, const char *key)
{
	struct hub_card card = { 0 };
	char **files = NULL, *folder = NULL;
	size_t n = 0;
	int rc;

	s->hub = true;
	if (named) {
		rc = hub_folder(&folder, src, name);
		rc = rc ? rc : split_named(s, src, folder, key);
		free(folder);
		return rc;
	}
	rc = hub_files(&files, &n, &card, src, name, key, s->name);
	s->card = &card.rows;
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = split_read_path(s, src, files[i]);
		free(files[i]);
	}
	s->card = NULL;
	hub_card_close(&card);
	free(files);
	return rc;
}

/* Of the hub's library: these names stand for files of a kind, which are named beside it. */
static bool is_builder(const char *path)
{
	static const char *const names[] = { "json", "csv", "parquet", "arrow" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return false;
}

static int split_find(struct split *out, const struct source *src, const char *key)
{
	/* the others say how the hub's own library fetches and unpacks */
	static const char *const known[] = { "data_files", "trust_remote_code", "revision",      "token", "cache_dir",
					     "streaming",  "verification_mode", "download_mode", "field", "sep",
					     "delimiter" };
	json_t *kwargs = json_object_get(src->map, "dataset_kwargs");
	const char *path = NULL;
	bool named;
	int rc = 0;

	if (!json_is_null(json_object_get(src->map, "dataset_path")))
		rc = yaml_get_text(src->y, src->map, "dataset_path", &path);
	if (!rc && !path)
		rc = err_hint(yaml_error(src->y, src->map, NULL, "a task needs data: dataset_path"),
			      "of files of your own: dataset_path: json and dataset_kwargs: {data_files: {test: "
			      "FILE.jsonl}}");
	if (!rc && kwargs && !json_is_null(kwargs))
		rc = json_is_object(kwargs)
			     ? yaml_check_keys(src->y, kwargs, "dataset_kwargs", known, ARRAY_LEN(known))
			     : yaml_error(src->y, src->map, "dataset_kwargs", "dataset_kwargs must be a mapping");
	for (int i = 0; i < 2 && !rc; i++) {
		static const char *const keys[] = { "sep", "delimiter" };
		const json_t *sep = json_object_get(kwargs, keys[i]);

		if (sep && (json_string_length(sep) != 1 || !strchr(",;:|\t ", *json_string_value(sep))))
			rc = yaml_error(src->y, kwargs, keys[i], "%s must be one of , ; : | a tab and a space",
					keys[i]);
	}
	if (rc)
		return rc;
	named = json_object_get(kwargs, "data_files") != NULL;
	if (!is_builder(path))
		return split_hub(out, src, path, named, key);
	if (!named)
		return yaml_error(src->y, src->map, kwargs ? "dataset_kwargs" : NULL,
				  "dataset_kwargs: {data_files: …} must name the files of the task");
	return split_named(out, src, NULL, key);
}

int split_load(struct split *out, const struct source *src, const char *key, const char *name)
{
	int rc;

	*out = (struct split){ .name = mem_str(name) };
	rc = split_find(out, src, key);
	return rc || !src->process ? rc : process_docs_apply(src->process, out);
}

static void split_number(struct split *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->docs[i].id);
		s->docs[i].id = mem_printf("%zu", i);
	}
}

int split_check_ids(struct split *s)
{
	struct map seen;
	int rc = 0;

	map_init(&seen);
	for (size_t i = 0; i < s->n && !rc; i++) {
		int64_t first = 0;
		bool taken = map_get(&seen, s->docs[i].id, strlen(s->docs[i].id), &first);

		if (s->hub && (taken || !*s->docs[i].id)) {
			split_number(s);
			break;
		}
		if (taken) {
			rc = doc_error(err_set(ERR_INPUT, "the id \"%s\" is taken by %s:%zu", s->docs[i].id,
					       s->docs[first].file, s->docs[first].line),
				       &s->docs[i]);
			err_hint(rc, "ids name samples in comparisons: each must be its own (a row without one has its "
				     "row number)");
		}
		map_put(&seen, s->docs[i].id, strlen(s->docs[i].id), (int64_t)i);
	}
	map_release(&seen);
	return rc;
}

void split_release(struct split *s)
{
	for (size_t i = 0; i < s->n; i++) {
		json_decref(s->docs[i].value);
		free(s->docs[i].id);
	}
	for (size_t i = 0; i < s->n_files; i++)
		free(s->files[i]);
	free(s->files);
	free(s->docs);
	free(s->name);
	memset(s, 0, sizeof(*s));
}
