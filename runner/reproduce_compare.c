/* reproduce_compare.c: what a run made, beside what it makes now, and what differed first.
 *
 * Digests decide. Where one differs, the row's note says where in the file: the first tensor, the first sample, the first
 * step of the learning curve. That needs the recorded bytes; where only their digest is known here (a clone that has
 * the records but not the objects) the note says so. */
#include "base/base.h"
#include "model/model.h"
#include "runner/reproduce.h"
#include "runner/samples_store.h"

#define MANIFEST_MAX ((size_t)64 << 20)
#define SAMPLES_MAX ((size_t)1 << 32)

static json_t *add_row(json_t *rows, const char *what, const char *name, const char *recorded, const char *found)
{
	json_t *row = json_pack("{s:s,s:o,s:o,s:o,s:b}", "what", what, "name", json_new_text(name, strlen(name)),
				"recorded", recorded ? json_string(recorded) : json_null(), "found",
				found ? json_string(found) : json_null(), "equal",
				recorded && found && strcmp(recorded, found) == 0);

	json_array_append_new(rows, row);
	return row;
}

static void set_note(json_t *row, const char *text)
{
	json_object_set_new(row, "note", json_new_text(text, strlen(text)));
}

/* ---- inputs ------------------------------------------------------------------------------------------------------------ */

void compare_data(json_t *rows, const json_t *made, const struct run *again)
{
	json_t *list = json_object_get(made, "datasets"), *d;
	size_t i;

	json_array_foreach(list, i, d)
		add_row(rows, "data", json_get_text(d, "path", ""), json_get_text(d, "digest", ""),
			i < again->n_data ? again->data[i].oid : NULL);
}

static const char *recorded_key(const json_t *made)
{
	json_t *stage;
	size_t i;

	json_array_foreach(json_object_get(made, "stages"), i, stage)
	{
		if (strcmp(json_get_text(stage, "step", ""), "train") == 0)
			return json_get_text(stage, "key", NULL);
	}
	return NULL;
}

/* 0 and 0.0 are one; null is no number. */
static bool same_number(const json_t *a, const json_t *b)
{
	return json_is_number(a) == json_is_number(b) && json_number_value(a) == json_number_value(b);
}

/* The first point at which two curves part: step, loss, rate and norm; not the speed. NULL: they do not. */
static char *curves_part(const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a) < json_array_size(b) ? json_array_size(a) : json_array_size(b);

	for (size_t i = 0; i < n; i++) {
		const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);

		for (size_t k = 0; k < 4; k++) {
			if (!same_number(json_array_get(x, k), json_array_get(y, k)))
				return mem_printf("the learning curves part at step %lld: loss %.9g was recorded, %.9g "
						  "is found",
						  (long long)json_integer_value(json_array_get(x, 0)),
						  json_number_value(json_array_get(x, 1)),
						  json_number_value(json_array_get(y, 1)));
		}
	}
	return json_array_size(a) == json_array_size(b)
		       ? NULL
		       : mem_printf("%zu points of the curve were recorded, %zu are found", json_array_size(a),
				    json_array_size(b));
}

void compare_training(json_t *rows, const json_t *made, const struct run *again)
{
	const char *key = recorded_key(made);
	json_t *was = json_object_get(json_object_get(made, "training"), "curve");
	char *parted = curves_part(was, json_object_get(again->training, "curve"));
	json_t *row;

	if (key)
		add_row(rows, "key", "of all that can change the model", key, again->train_key);
	if (json_array_size(was)) {
		row = add_row(rows, "curve", "learning curve", "as recorded", parted ? "another" : "as recorded");
		if (parted)
			set_note(row, parted);
	}
	free(parted);
}

/* ---- the model --------------------------------------------------------------------------------------------------------- */

static json_t *files_of(struct store *s, const char *object)
{
	struct buf text = BUF_INIT(MANIFEST_MAX);
	json_t *manifest = NULL, *files = NULL;

	if (store_get(s, object, &text, MANIFEST_MAX) == 0 &&
	    json_parse(&manifest, buf_str(&text), text.len, object) == 0)
		files = json_incref(json_object_get(manifest, "files"));
	err_clear();
	json_decref(manifest);
	buf_release(&text);
	return files;
}

static const char *object_of(const json_t *files, const char *path)
{
	json_t *file;
	size_t i;

	json_array_foreach(files, i, file) if (strcmp(json_get_text(file, "path", ""), path) ==
					       0) return json_get_text(file, "object", NULL);
	return NULL;
}

/* Where two files part. */
static void files_part(struct buf *text, const char *path, const char *first, const char *second)
{
	struct fs_map x = { 0 }, y = { 0 };
	size_t at = 0;

	if (path_has_suffix(path, ".safetensors") && model_compare_files(text, first, second) == 0)
		return;
	err_clear();
	buf_clear(text);
	if (fs_map_open(&x, first) == 0 && fs_map_open(&y, second) == 0) {
		while (at < x.len && at < y.len && x.data[at] == y.data[at])
			at++;
		buf_addf(text, "from byte %zu on (%zu bytes were recorded, %zu are found)", at, x.len, y.len);
	}
	err_clear();
	fs_map_close(&x);
	fs_map_close(&y);
}

static void note_file(json_t *row, struct store *s, const char *path, const char *a, const char *b)
{
	struct store_view first = { 0 }, second = { 0 };
	struct buf text = BUF_INIT(4096);

	if (store_view_open(&first, s, a) == 0 && store_view_open(&second, s, b) == 0)
		files_part(&text, path, first.path, second.path);
	err_clear();
	store_view_close(&first);
	store_view_close(&second);
	if (text.len)
		set_note(row, buf_str(&text));
	buf_release(&text);
}

/* Every file of either folder; the manifests alone where the recorded one is not here. */
void compare_model(json_t *rows, struct store *s, const char *recorded, const char *found)
{
	json_t *was = strcmp(recorded, found) ? files_of(s, recorded) : NULL, *is = files_of(s, found), *file, *row;
	size_t i;

	row = add_row(rows, "model", "the folder", recorded, found);
	if (strcmp(recorded, found) && !was)
		set_note(row, "the recorded files are not in this store: which of them differs cannot be told here");
	json_array_foreach(was, i, file)
	{
		const char *path = json_get_text(file, "path", ""), *a = json_get_text(file, "object", ""),
			   *b = object_of(is, path);

		row = add_row(rows, "model", path, a, b);
		if (!b)
			set_note(row, "is not made any more");
		else if (strcmp(a, b) && store_has(s, a) && store_has(s, b))
			note_file(row, s, path, a, b);
	}
	json_array_foreach(is, i, file) if (was && !object_of(was, json_get_text(file, "path", ""))) set_note(
		add_row(rows, "model", json_get_text(file, "path", ""), NULL, json_get_text(file, "object", "")),
		"was not made then");
	json_decref(was);
	json_decref(is);
}

/* ---- samples ----------------------------------------------------------------------------------------------------------- */

/* The results of a stored object as text, whatever form they are stored in. */
static int samples_text(struct store *s, const char *object, struct buf *out)
{
	struct task_result t;
	int rc = samples_open(&t, s, object, true);

	if (rc)
		return rc;
	rc = task_result_texts(&t);
	if (rc == 0)
		task_result_write(&t, out);
	task_result_release(&t);
	return rc;
}

/* Where two results part: the id of the sample, or the header. NULL: they do not. */
static char *samples_part(const struct buf *x, const struct buf *y)
{
	size_t start = 0, at = 0, end;
	json_t *sample = NULL;
	char *text = NULL;

	for (; at < x->len && at < y->len && x->data[at] == y->data[at]; at++)
		if (x->data[at] == '\n')
			start = at + 1;
	if (at == x->len && at == y->len)
		return NULL;
	for (end = start; end < x->len && x->data[end] != '\n';)
		end++;
	if (start && end > start && json_parse(&sample, x->data + start, end - start, "sample") == 0 &&
	    json_is_string(json_object_get(sample, "id")))
		text = mem_printf("the first sample that differs is %s", json_get_text(sample, "id", ""));
	json_decref(sample);
	return text ? text : mem_str("their numbers or values differ");
}

/* Equal results may have other bytes: of another version of zstd, or of an older form. */
static void compare_results(json_t *row, struct store *s, const char *a, const char *b)
{
	struct buf x = BUF_INIT(SAMPLES_MAX), y = BUF_INIT(SAMPLES_MAX);

	if (samples_text(s, a, &x)) {
		set_note(row, "the recorded samples are not in this store, or are no samples");
	} else if (samples_text(s, b, &y) == 0) {
		char *text = samples_part(&x, &y);

		if (!text)
			json_object_set_new(row, "equal", json_true());
		set_note(row, text ? text : "the same samples, stored in another form");
		free(text);
	}
	err_clear();
	buf_release(&x);
	buf_release(&y);
}

static const char *found_samples(const struct run *again, const json_t *sample)
{
	for (size_t i = 0; i < again->n_suites; i++) {
		const struct run_suite *s = &again->suites[i];
		json_t *task;
		size_t k;

		if (strcmp(suite_name(s->suite), json_get_text(sample, "suite", "")) != 0)
			continue;
		json_array_foreach(json_object_get(s->stage, "tasks"), k, task)
		{
			if (strcmp(json_get_text(task, "task", ""), json_get_text(sample, "task", "")) == 0 &&
			    strcmp(json_get_text(task, "filter", ""), json_get_text(sample, "filter", "")) == 0)
				return json_get_text(task, "object", NULL);
		}
	}
	return NULL;
}

void compare_samples(json_t *rows, struct store *s, const json_t *record, const struct run *again)
{
	json_t *sample, *row;
	size_t i;

	json_array_foreach(json_object_get(record, "samples"), i, sample)
	{
		const char *a = json_get_text(sample, "object", ""), *b = found_samples(again, sample);
		char *name = mem_printf("%s/%s", json_get_text(sample, "suite", ""), json_get_text(sample, "task", ""));

		row = add_row(rows, "samples", name, a, b);
		if (b && strcmp(a, b))
			compare_results(row, s, a, b);
		free(name);
	}
}
