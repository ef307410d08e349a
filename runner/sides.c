/* sides.c: what `assay gate A B` and `assay diff A B` compare, from where it is to samples in memory.
 *
 * Each side is a run (id, commit, branch, MODEL@v7, MODEL@ALIAS), what `assay eval --samples` wrote, or a JSONL file of
 * {"id","score"[,"weight","cluster","slice"]}. A path has a slash or a suffix. */
#include "base/base.h"
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

static int load_file(struct side *s, const char *path)
{
	struct buf text = BUF_INIT(FILE_MAX);
	int rc;

	if (fs_is_dir(path)) {
		err_set(ERR_INPUT, "%s is a folder: reading lm-evaluation-harness output is not built yet", path);
		return err_hint(ERR_INPUT, "give a JSONL file of {\"id\",\"score\"} lines");
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
		if (rc)
			break;
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
