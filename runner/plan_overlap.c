/* plan_overlap.c: how much of the questions stands in the training data of this commit: counted while planning, so that
 * it is known before hours of training, and read off the registry where the same data met the same questions before.
 *
 * A stage of its own, "overlap": its key is the digest of the questions and of the data, by content, and of the form of
 * its output; nothing of the model. So a run whose training or scores are reused has its overlap all the same.
 *
 * The data are the files of finetune.data, and the inputs of a trainer's command: its files of rows row by row, other
 * texts whole, folders file by file, weights (safetensors, GGUF) not at all. An input that is not a text (it has a NUL
 * byte), a packed data set, cannot be compared. What was not compared is named, and a max_overlap rule does not pass on it. What the base was
 * trained on is nobody's to say here. */
#include "base/base.h"
#include "base/rows.h"
#include "runner/plan_overlap.h"

#define TEXT_MAX ((size_t)4 << 30)
#define FORM "overlap-1"

static void plan_key(const struct run *run, char key[DIGEST_HEX])
{
	struct digest_ctx *ctx = digest_new();
	struct digest d;

	digest_text(ctx, FORM);
	for (size_t i = 0; i < run->n_suites; i++)
		digest_text(ctx, run->suites[i].questions);
	digest_text(ctx, run->product->finetune.command.n ? "inputs" : "data");
	for (size_t i = 0; i < run->n_data; i++) {
		if (run->data[i].validation) /* nothing is learned from it */
			continue;
		digest_text(ctx, run->data[i].path); /* examples name it */
		digest_text(ctx, run->data[i].oid);
	}
	d = digest_end(ctx);
	digest_hex(key, &d);
}

static bool is_known(struct run *run)
{
	json_t *row = NULL, *output;
	int rc = registry_stage(run->home->registry, "overlap", run->overlap_key, run->event.trust, &row);

	output = json_object_get(row, "output");
	if (rc == 0 && json_is_array(json_object_get(output, "tasks")))
		run->overlap = json_incref(output);
	json_decref(row);
	err_clear();
	return run->overlap != NULL;
}

/* Without training data there is nothing to report; a rule wants its zero all the same. */
static bool is_asked(const struct gate_policy *p)
{
	bool asked = p->has_overlap;

	for (size_t i = 0; i < p->n; i++)
		asked = asked || p->rules[i].has_overlap;
	return asked;
}

int plan_overlap_open(struct run *run, struct overlap **out)
{
	int rc = 0;

	*out = NULL;
	if (!run->n_data && !is_asked(&run->questions->gate))
		return 0;
	plan_key(run, run->overlap_key);
	if (is_known(run))
		return 0;
	*out = overlap_new();
	for (size_t i = 0; rc == 0 && i < run->n_suites; i++)
		rc = overlap_add_suite(*out, run->suites[i].suite);
	return rc;
}

/* ---- the inputs of a command ------------------------------------------------------------------------------------------- */

struct inputs {
	struct overlap *overlap;
	json_t *missing;
	const char *dir, *name; /* of the folder in hand: in the file system, in the commit */
	int rc;
};

struct line {
	struct overlap *overlap;
	const char *file;
};

static int scan_line(json_t *value, size_t line, void *arg)
{
	const struct line *l = arg;

	overlap_scan_example(l->overlap, value, l->file, line);
	return 0;
}

static void scan_text(struct inputs *in, const struct buf *text, const char *name)
{
	struct line l = { in->overlap, name };

	if (path_has_suffix(name, ".safetensors") || path_has_suffix(name, ".gguf")) /* weights: no data */
		return;
	if (rows_known(buf_str(text), text->len, name) &&
	    rows_each(buf_str(text), text->len, name, NULL, scan_line, &l) == 0)
		return;
	err_clear(); /* no rows: its lines are scanned as a text, a second time for those that were */
	if (text->len && memchr(text->data, 0, text->len)) {
		json_array_append_new(in->missing, json_new_text(name, strlen(name)));
		return;
	}
	overlap_scan_text(in->overlap, buf_str(text), text->len, name, 0);
}

static int scan_entry(const char *entry, void *arg)
{
	struct inputs *in = arg, inner = *in;
	char *path = path_join(in->dir, entry), *name = mem_printf("%s/%s", in->name, entry);
	struct buf text = BUF_INIT(TEXT_MAX);
	int rc;

	inner.dir = path;
	inner.name = name;
	if (fs_is_dir(path)) {
		rc = fs_list(path, scan_entry, &inner);
	} else {
		rc = fs_read(&text, path, TEXT_MAX);
		if (rc == 0)
			scan_text(in, &text, name);
	}
	buf_release(&text);
	free(path);
	free(name);
	return rc;
}

static int scan_folder(struct run *run, struct inputs *in, const char *path)
{
	char *tmp = path_join(store_home(run->home->store), "tmp"), *dir = NULL;
	struct err_saved saved;
	int rc = fs_mkdirs(tmp);

	if (rc == 0)
		rc = fs_temp_dir(&dir, tmp, "overlap-");
	if (rc == 0)
		rc = tree_export(run->tree, path, dir);
	in->dir = dir;
	in->name = path;
	if (rc == 0)
		rc = fs_list(dir, scan_entry, in);
	saved = err_save();
	if (dir)
		fs_remove_tree(dir);
	err_restore(&saved);
	free(dir);
	free(tmp);
	return rc;
}

static int scan_inputs(struct run *run, struct inputs *in)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < run->n_data; i++) {
		struct buf text = BUF_INIT(TEXT_MAX);

		if (tree_is_dir(run->tree, run->data[i].path))
			rc = scan_folder(run, in, run->data[i].path);
		else if ((rc = tree_read(run->tree, run->data[i].path, &text)) == 0)
			scan_text(in, &text, run->data[i].path);
		buf_release(&text);
	}
	return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------- */

int plan_overlap_close(struct run *run, struct overlap *o)
{
	struct inputs in = { .overlap = o, .missing = json_array() };
	int rc = run->product->finetune.command.n ? scan_inputs(run, &in) : 0;

	if (rc == 0)
		run->overlap = json_pack("{s:o,s:O}", "tasks", overlap_json(o), "missing", in.missing);
	json_decref(in.missing);
	overlap_free(o);
	return rc;
}

size_t overlap_gate_rows(const json_t *overlap, const struct gate_overlap **out)
{
	json_t *tasks = json_object_get(overlap, "tasks"), *row;
	struct gate_overlap *list = mem_array(json_array_size(tasks) + 1, sizeof(*list));
	size_t i;

	json_array_foreach(tasks, i, row) list[i] =
		(struct gate_overlap){ json_get_text(row, "task", ""), (size_t)json_get_int(row, "n", 0),
				       (size_t)json_get_int(row, "exact", 0), (size_t)json_get_int(row, "ngram", 0),
				       (size_t)json_get_int(row, "documents", 0) };
	*out = list;
	return json_array_size(tasks);
}

char *overlap_missing(const json_t *overlap)
{
	json_t *missing = json_object_get(overlap, "missing"), *name;
	struct buf text = BUF_INIT(2048);
	size_t i;

	if (!json_array_size(missing))
		return NULL;
	json_array_foreach(missing, i, name)
	{
		if (i == 3) {
			buf_addf(&text, " and %zu more", json_array_size(missing) - i);
			break;
		}
		buf_addf(&text, "%s%.200s", i ? ", " : "", json_string_value(name));
	}
	return buf_take(&text);
}

char *overlap_broken(const struct run *run)
{
	struct gate_input in = { 0 };
	char *why;

	in.n_overlap = overlap_gate_rows(run->overlap, &in.overlap);
	why = gate_overlap_broken(&run->questions->gate, &in);
	free((void *)(uintptr_t)in.overlap);
	return why;
}
