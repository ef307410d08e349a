/* sides.c: what `assay gate A B` and `assay diff A B` compare, from where it is to samples in memory.
 *
 * Each side is a run (id, commit, branch, MODEL@v7, MODEL@ALIAS), what `assay eval --samples` wrote, a JSONL file of
 * {"id","score"[,"weight","cluster","slice","repeat"]}, or what lm-evaluation-harness wrote: a folder, or its results_DATE.json. A
 * path has a slash or a suffix. */
#include "base/base.h"

#include <fnmatch.h>

#include "evals/evals.h"
#include "runner/cmd.h"
#include "runner/plan_overlap.h"
#include "runner/samples_store.h"
#include "runner/sides.h"

#define FILE_MAX ((size_t)4 << 30)

static bool is_path(const char *name)
{
	return strchr(name, '/') || path_has_suffix(name, ".jsonl") || path_has_suffix(name, ".json") ||
	       fs_exists(name);
}

/* ---- a folder of lm-evaluation-harness --------------------------------------------------------------------------- */

struct found {
	char *folder, *newest,
		*other; /* where to look; of the results found the newest; one of another folder, or NULL */
	size_t n;
};

/* The harness names its results by their date: the last one by name is the newest. */
static int found_results(const char *name, void *arg)
{
	struct found *f = arg;
	char *path, *slash;

	if (fnmatch("*_[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*.json", name, 0) != 0)
		return 0;
	f->n++;
	path = path_join(f->folder, name);
	slash = f->newest ? strrchr(f->newest, '/') : NULL;
	if (slash && strncmp(f->newest, path, (size_t)(slash - f->newest) + 1) != 0)
		f->other = f->other ? f->other : mem_str(f->folder);
	if (f->newest && strcmp(strrchr(f->newest, '_'), strrchr(path, '_')) > 0) {
		free(path);
		return 0;
	}
	free(f->newest);
	f->newest = path;
	return 0;
}

static int found_folder(const char *name, void *arg)
{
	struct found *f = arg;
	char *outer = f->folder;
	int rc = 0;

	f->folder = path_join(outer, name);
	if (*name != '.' && fs_is_dir(f->folder))
		rc = fs_list(f->folder, found_results, f);
	free(f->folder);
	f->folder = outer;
	return rc;
}

static int read_file(void *self, const char *path, struct buf *out)
{
	(void)self;
	return fs_read(out, path, FILE_MAX);
}

/* --output_path has a folder for each model: the results lie in path, or in the one folder beneath it that has some. */
static int load_folder(struct side *s, const char *path)
{
	const struct eval_files files = { .read = read_file };
	struct found f = { .folder = mem_str(path) };
	int rc = fs_list(path, found_results, &f);

	if (rc == 0 && !f.newest)
		rc = fs_list(path, found_folder, &f);
	if (rc == 0 && !f.newest) {
		rc = err_set(ERR_INPUT, "%s: no results of lm-evaluation-harness in this folder (results_DATE.json)",
			     path);
		err_hint(rc, "lm_eval --output_path DIR --log_samples writes them");
	}
	if (rc == 0 && f.other) {
		rc = err_set(ERR_INPUT, "%s has the results of several models", path);
		err_hint(rc, "name one of its folders, such as %s", f.other);
	}
	if (rc == 0 && f.n > 1)
		log_info("%s: the newest of %zu results is taken: %s", path, f.n, f.newest);
	if (rc == 0)
		rc = harness_results_read(&s->tasks, &s->n, &files, f.newest);
	free(f.folder);
	free(f.newest);
	free(f.other);
	return rc;
}

static bool is_results(const char *path)
{
	const char *slash = strrchr(path, '/');

	return fnmatch("results_[0-9]*.json", slash ? slash + 1 : path, 0) == 0;
}

/* ---- files and runs ---------------------------------------------------------------------------------------------- */

static int load_file(struct side *s, const char *path)
{
	const struct eval_files files = { .read = read_file };
	struct buf text = BUF_INIT(FILE_MAX);
	int rc;

	if (fs_is_dir(path))
		return load_folder(s, path);
	if (is_results(path)) {
		rc = harness_results_read(&s->tasks, &s->n, &files, path);
		return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "no file %s", path) : rc;
	}
	rc = fs_read(&text, path, FILE_MAX);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "no file %s", path);
	if (rc == 0)
		rc = task_results_read(&s->tasks, &s->n, buf_str(&text), text.len, path);
	if (rc == ERR_NOTFOUND) {
		s->tasks = mem_alloc(sizeof(*s->tasks));
		rc = task_result_read_scores(s->tasks, buf_str(&text), text.len, path);
		s->n = rc == 0;
		s->plain = rc == 0;
	}
	buf_release(&text);
	return rc;
}

static int load_run(struct side *s, struct place *place, const char *name)
{
	json_t *record = NULL, *row, *samples;
	size_t i;
	int rc = registry_find_run(place->home.registry, name, s->run);

	if (rc == ERR_NOTFOUND && place->repo) {
		struct commit c;

		if (repo_commit(place->repo, name, &c) == 0) {
			rc = registry_find_run(place->home.registry, c.oid, s->run);
			commit_release(&c);
		}
	}
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "no run is known as %s", name);
		err_hint(rc, "assay runs lists them; a file's name has a slash or a suffix");
	}
	if (rc == 0)
		rc = registry_run(place->home.registry, s->run, &record);
	samples = json_object_get(record, "samples");
	s->tasks = mem_array(json_array_size(samples) + 1, sizeof(*s->tasks));
	json_array_foreach(samples, i, row)
	{
		rc = samples_open(&s->tasks[s->n], place->home.store, json_get_text(row, "object", ""), true);
		if (rc) {
			rc = err_context(rc, "run %.12s, the samples of task %s", s->run,
					 json_get_text(row, "task", ""));
			err_hint(rc, "assay pull brings what a remote has; or run %s again",
				 json_get_text(record, "commit", "its commit"));
			break;
		}
		s->n++;
	}
	s->record = record;
	if (rc == 0 && s->n == 0)
		rc = err_set(ERR_INPUT, "run %.12s has no samples", s->run);
	return rc;
}

void side_release(struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		task_result_release(&s->tasks[i]);
	free(s->tasks);
	free(s->list);
	json_decref(s->record);
}

int sides_load(struct side *a, struct side *b, const char *name_a, const char *name_b)
{
	struct place place = { 0 };
	bool need = !is_path(name_a) || !is_path(name_b);
	int rc = need ? place_open(&place) : 0;

	if (rc == 0)
		rc = is_path(name_a) ? load_file(a, name_a) : load_run(a, &place, name_a);
	if (rc == 0)
		rc = is_path(name_b) ? load_file(b, name_b) : load_run(b, &place, name_b);
	if (need)
		place_close(&place);
	if (rc)
		return rc;
	/* two files of scores are the same questions: they pair by id alone */
	if (a->plain && b->plain) {
		free(b->tasks->task);
		b->tasks->task = mem_str(a->tasks->task);
		memcpy(b->tasks->digest, a->tasks->digest, sizeof(b->tasks->digest));
	}
	a->list = mem_array(a->n, sizeof(*a->list));
	b->list = mem_array(b->n, sizeof(*b->list));
	for (size_t i = 0; i < a->n; i++)
		a->list[i] = &a->tasks[i];
	for (size_t i = 0; i < b->n; i++)
		b->list[i] = &b->tasks[i];
	return 0;
}

int sides_decide(struct gate_result *g, const struct gate_policy *p, const struct side *a, const struct side *b)
{
	struct gate_input in = { .candidate = b->list, .n_candidate = b->n, .baseline = a->list, .n_baseline = a->n };
	const json_t *overlap = json_object_get(b->record, "overlap");
	char *missing = overlap_missing(overlap);
	int rc;

	in.n_overlap = overlap_gate_rows(overlap, &in.overlap);
	in.overlap_missing = missing;
	rc = gate_decide(g, p, &in);
	free((void *)(uintptr_t)in.overlap);
	free(missing);
	return rc;
}

json_t *sides_incomparable(const struct side *a, const struct side *b)
{
	struct gate_input in = { .candidate = b->list, .n_candidate = b->n, .baseline = a->list, .n_baseline = a->n };
	json_t *reasons = json_array();
	struct map known;

	map_init(&known);
	for (size_t i = 0; i < b->n; i++)
		for (size_t m = 0; m < b->tasks[i].n_metrics; m++) {
			char *why = gate_incomparable(&in, &b->tasks[i], &b->tasks[i].metrics[m]);

			if (why && map_put(&known, why, strlen(why), 1))
				json_array_append_new(reasons, json_new_text(why, strlen(why)));
			free(why);
		}
	map_release(&known);
	return reasons;
}
