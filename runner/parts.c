/* parts.c: an evaluation in parts.
 *
 * An evaluation that was stopped (early.c), and one shard of several (assay run --shard I/N), are stored under a key of their
 * own, so that neither passes for a whole one. All parts of one evaluation have the same key: the answer to a document depends
 * on nothing but the document, so it does not matter who asked it, nor how many shards there were. Whoever needs the whole takes
 * what the parts have, asks what none of them has, and stores the same bytes as if it had asked everything.
 *
 * Shard I of N has the documents I, I+N, I+2N … of each task. It stores what it asked itself, so parts of shards share no
 * sample; what another part has already is not asked again. */
#include "base/base.h"
#include "runner/parts.h"

#include "runner/eval_keep.h"
#include "runner/evaluate.h"
#include "runner/jury.h"
#include "runner/samples_store.h"

static bool is_of_shard(const struct run_options *o, size_t doc)
{
	return !o->shards || doc % (size_t)o->shards == (size_t)o->shard - 1;
}

int parse_shard(const char *text, int *shard, int *shards)
{
	char *end = NULL;
	long i = strtol(text, &end, 10), n = *end == '/' ? strtol(end + 1, &end, 10) : 0;

	if (end == text || *end || i < 1 || n < i || n > SHARDS_MAX)
		return err_set(ERR_USAGE, "--shard %s: i/n with 1 <= i <= n <= %d, such as 2/4", text, SHARDS_MAX);
	*shard = (int)i;
	*shards = (int)n;
	return 0;
}

uint64_t parts_of_shard(const struct run *run, uint64_t *all)
{
	uint64_t n = 0;

	*all = 0;
	for (size_t i = 0; i < run->n_suites; i++)
		for (size_t t = 0; t < suite_tasks(run->suites[i].suite); t++) {
			size_t docs = suite_task_docs(run->suites[i].suite, t);

			*all += docs;
			for (size_t d = 0; d < docs; d++)
				n += is_of_shard(run->options, d);
		}
	return n;
}

/* ---- what is stored ------------------------------------------------------------------------------------------------- */

static int take_tasks(struct run *run, const json_t *stage, struct suite_visit *v)
{
	const json_t *rows = json_object_get(stage, "tasks");
	struct task_result *tasks = NULL;
	size_t n = 0;
	int rc = evaluate_read(run, stage, &tasks, &n);

	for (size_t i = 0; i < n && rc == 0; i++) {
		samples_times_get(&tasks[i], run->home->store, json_array_get(rows, i));
		rc = task_result_texts(&tasks[i]);
		if (rc == 0)
			suite_visit_take(v, &tasks[i]);
	}
	evaluate_forget(&tasks, &n);
	return rc;
}

int parts_take(struct run *run, struct run_suite *s, const char *object, const char *prompt_oid, struct suite_visit *v,
	       uint64_t *known, size_t *cut)
{
	uint64_t before = suite_visit_known(v);
	char key[DIGEST_HEX];
	json_t *rows = NULL, *row;
	size_t i;
	int rc = 0;

	*known = 0;
	*cut = 0;
	if (run_limit(run) > 0 || run->options->fresh)
		return 0;
	evaluate_key_part(run, s, object, prompt_oid, key);
	rc = registry_stages(run->home->registry, "eval", key, run->event.trust, &rows);
	json_array_foreach(rows, i, row)
	{
		const json_t *stage = json_object_get(row, "output");
		uint64_t had = suite_visit_known(v);

		if (rc == 0)
			rc = take_tasks(run, stage, v);
		if (rc == ERR_IO || rc == ERR_NOTFOUND) { /* lost or damaged samples are made again */
			log_warn("suite %s: %s", suite_name(s->suite), err_text());
			err_clear();
			rc = 0;
		}
		if (suite_visit_known(v) > had) /* one that others contain told of these prompts already */
			*cut += (size_t)json_get_int(stage, "cut", 0);
	}
	json_decref(rows);
	*known = suite_visit_known(v) - before;
	return rc;
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

/* The documents of this run's shard that are neither in v nor in `elsewhere` (NULL: nowhere). */
static size_t list_missing(const struct run *run, const struct suite_visit *v, const struct suite_visit *elsewhere,
			   size_t task, size_t *docs)
{
	size_t n = 0;

	for (size_t d = 0; d < suite_task_docs(suite_visit_suite(v), task); d++)
		if (is_of_shard(run->options, d) && !suite_visit_has(v, task, d) &&
		    !(elsewhere && suite_visit_has(elsewhere, task, d)))
			docs[n++] = d;
	return n;
}

/* Asks them; scorer NULL: only counts them. */
static int ask_missing(const struct run *run, struct suite_visit *v, const struct suite_visit *elsewhere,
		       const struct scorer *scorer, uint64_t *n_missing)
{
	const struct suite *suite = suite_visit_suite(v);
	uint64_t done = 0;
	int rc = 0;

	*n_missing = 0;
	for (size_t t = 0; t < suite_tasks(suite) && !rc; t++) {
		size_t *docs = mem_array(suite_task_docs(suite, t) + 1, sizeof(*docs));
		size_t n = list_missing(run, v, elsewhere, t, docs);

		*n_missing += n;
		if (n && scorer)
			rc = suite_visit_ask(v, scorer, t, docs, n, &done);
		free(docs);
	}
	return rc;
}

static uint64_t count_missing(const struct run *run, struct suite_visit *v, const struct suite_visit *elsewhere)
{
	uint64_t n;

	ask_missing(run, v, elsewhere, NULL, &n);
	return n;
}

static int ask(struct run *run, struct run_suite *s, const struct parts_model *m, struct suite_visit *v,
	       const struct suite_visit *elsewhere, struct keep **keep)
{
	struct scorer scorer;
	uint64_t n;
	int rc = evaluate_load(run, m->object, m->prompt, &scorer);

	rc = rc ? rc : evaluate_keep(keep, run, s, m->object, m->prompt_oid);
	rc = rc ? rc : suite_visit_keep(v, keep_for(*keep));
	rc = rc ? rc : suite_visit_judge(v, judges_for(run->judges), run->commands);
	s->resumed = keep_restored(*keep) > 0;
	if (rc)
		return rc;
	progress_begin(suite_name(s->suite), count_missing(run, v, elsewhere), "samples");
	rc = ask_missing(run, v, elsewhere, &scorer, &n);
	progress_end();
	return rc;
}

/* What is missing, if anything is: only then the model is needed. The visit becomes a stage. */
static int ask_and_store(struct run *run, struct run_suite *s, const struct parts_model *m, struct suite_visit *v,
			 const struct suite_visit *elsewhere, size_t cut, json_t **stage)
{
	struct keep *keep = NULL;
	int rc = count_missing(run, v, elsewhere) ? ask(run, s, m, v, elsewhere, &keep) : 0;

	if (rc == 0) {
		struct suite_result *result = suite_visit_result(v, false);

		rc = evaluate_store(run, result, cut + evaluate_cut(run), stage);
		suite_result_free(result);
	}
	keep_close(keep, rc == 0);
	if (rc == 0)
		evaluate_answered(run);
	return rc;
}

int parts_join(struct run *run, struct run_suite *s, const struct parts_model *m, json_t **stage)
{
	struct suite_visit *v = NULL;
	uint64_t known;
	size_t cut;
	int rc;

	suite_visit_open(&v, s->suite, ANY_ORDER, evaluate_seed(run));
	rc = parts_take(run, s, m->object, m->prompt_oid, v, &known, &cut);
	if (rc == 0 && known) {
		run_note(run, "suite %s: %llu of %llu samples were known from stored parts of this evaluation",
			 suite_name(s->suite), (unsigned long long)known,
			 (unsigned long long)(known + count_missing(run, v, NULL)));
		rc = ask_and_store(run, s, m, v, NULL, cut, stage);
	}
	suite_visit_free(v);
	return rc;
}

int parts_shard(struct run *run, struct run_suite *s)
{
	const struct parts_model m = { run->object, run->prompt_oid, buf_str(&run->prompt) };
	struct suite_visit *v = NULL, *stored = NULL;
	uint64_t known;
	size_t cut;
	int rc;

	suite_visit_open(&stored, s->suite, ANY_ORDER, evaluate_seed(run));
	suite_visit_open(&v, s->suite, ANY_ORDER, evaluate_seed(run));
	rc = parts_take(run, s, m.object, m.prompt_oid, stored, &known, &cut);
	s->reused = rc == 0 && !count_missing(run, v, stored);
	if (rc == 0 && !s->reused)
		rc = ask_and_store(run, s, &m, v, stored, 0, &s->stage);
	suite_visit_free(stored);
	suite_visit_free(v);
	return rc;
}
