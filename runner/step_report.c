/* step_report.c: the report of a run: made from its record, so that `assay show` months later says the same. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/report_samples.h"
#include "runner/runner.h"
#include "runner/samples_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- samples ----------------------------------------------------------------------------------------------------------------- */

static const json_t *row_of(const json_t *samples, const char *task)
{
	json_t *row;
	size_t i;

	json_array_foreach(samples, i, row) if (strcmp(json_get_text(row, "task", ""), task) == 0) return row;
	return NULL;
}

static bool has_failed(const json_t *record, const char *task)
{
	json_t *rule;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(record, "gate"), "rules"), i,
			   rule) if (json_get_flag(rule, "gated", false) &&
				     !strcmp(json_get_text(rule, "task", ""), task) &&
				     !strcmp(json_get_text(rule, "verdict", ""), "FAIL")) return true;
	return false;
}

static int add_task(struct report_samples *r, struct home *h, const json_t *row, const json_t *base_row)
{
	const char *object = json_get_text(row, "object", ""), *base_object = json_get_text(base_row, "object", NULL);
	struct task_result base = { 0 }, cand = { 0 };
	bool same = base_object && strcmp(object, base_object) == 0;
	int rc = samples_open(&cand, h->store, object, false);

	if (rc == 0 && base_object && !same)
		rc = samples_open(&base, h->store, base_object, false);
	if (rc == 0 && r->pairs) {
		samples_times_get(&cand, h->store, row);
		samples_times_get(&base, h->store, base_row);
	}
	if (rc == 0)
		rc = report_samples_add(r, same ? &cand : base_object ? &base : NULL, &cand);
	task_result_release(&base);
	task_result_release(&cand);
	return rc;
}

static int add_samples(struct report_samples *r, struct home *h, const json_t *record)
{
	const json_t *base_samples = json_object_get(json_object_get(record, "baseline"), "samples"), *row;
	size_t i;
	int rc = 0;

	for (int pass = 0; pass < 2; pass++) /* tasks with a failed rule first */
		json_array_foreach(json_object_get(record, "samples"), i, row)
		{
			const char *task = json_get_text(row, "task", "");

			if (rc == 0 && has_failed(record, task) == (pass == 0))
				rc = add_task(r, h, row, row_of(base_samples, task));
		}
	return rc;
}

/* How long each task's samples took; what is not known is left out. */
static json_t *seconds_json(const json_t *samples)
{
	json_t *seconds = json_object(), *row;
	size_t i;

	json_array_foreach(samples, i, row) if (json_is_number(json_object_get(row, "seconds")))
		json_object_set(seconds, json_get_text(row, "task", ""), json_object_get(row, "seconds"));
	return seconds;
}

/* ---- the document --------------------------------------------------------------------------------------------------------------- */

static const json_t *find_metric(const json_t *list, const json_t *like)
{
	json_t *row;
	size_t i;

	json_array_foreach(
		list, i,
		row) if (!strcmp(json_get_text(row, "task", ""), json_get_text(like, "task", "?")) &&
			 !strcmp(json_get_text(row, "metric", ""), json_get_text(like, "metric", "?")) &&
			 !strcmp(json_get_text(row, "filter", ""), json_get_text(like, "filter", "?"))) return row;
	return NULL;
}

/* The metrics of the run, each with the baseline's value from the gate's rules. */
static json_t *metrics_json(const json_t *record, const json_t *rules)
{
	json_t *list = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(record, "metrics"), i, row)
	{
		if (strncmp(json_get_text(row, "metric", ""), "overlap", 7) == 0)
			continue; /* told in a part of its own */
		json_t *copy = json_copy(row);
		const json_t *rule = find_metric(rules, row);
		json_t *base = rule ? json_object_get(rule, "baseline") : NULL;

		json_object_set_new(copy, "baseline", base ? json_incref(base) : json_null());
		json_array_append_new(list, copy);
	}
	return list;
}

static json_t *copy_or_null(const json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key);

	return v ? json_incref(v) : json_null();
}

/* The curve of the baseline's own training, to lie behind the candidate's. NULL: unknown, or it is the same training. */
static json_t *training_before(struct home *h, const json_t *record)
{
	const char *run = json_get_text(json_object_get(record, "baseline"), "run", "");
	json_t *before = NULL, *t, *out = NULL;

	if (!*run || registry_run(h->registry, run, &before)) {
		err_clear();
		return NULL;
	}
	t = json_object_get(before, "training");
	if (json_is_object(t) &&
	    !json_equal(json_object_get(t, "curve"), json_object_get(json_object_get(record, "training"), "curve")))
		out = json_pack("{s:s,s:o,s:o}", "run", run, "curve", copy_or_null(t, "curve"), "validation",
				copy_or_null(t, "validation"));
	json_decref(before);
	return out;
}

static json_t *training_json(struct home *h, const json_t *record)
{
	json_t *t = json_object_get(record, "training"), *copy, *step, *before;
	bool reused = false;
	size_t i;

	if (!json_is_object(t))
		return json_null();
	json_array_foreach(json_object_get(record, "steps"), i,
			   step) if (strcmp(json_get_text(step, "name", ""), "train") == 0) reused =
		strcmp(json_get_text(step, "status", ""), "reused") == 0;
	copy = json_copy(t);
	json_object_set_new(copy, "reused", json_boolean(reused));
	before = training_before(h, record);
	if (before)
		json_object_set_new(copy, "before", before);
	return copy;
}

int report_of_record(json_t **report, json_t **pairs, struct home *h, const char *id, const json_t *record)
{
	static const char *const same[] = { "model",    "commit", "subject",  "branch",  "trust",   "verdict",
					    "exit",     "blocks", "sentence", "seconds", "tool",    "baseline",
					    "policy",   "steps",  "version",  "notes",   "created", "error",
					    "datasets", "edges",  "overlap",  "commits" };
	json_t *r = json_object(), *rules = json_object_get(json_object_get(record, "gate"), "rules");
	struct report_samples samples;
	int rc;

	json_object_set_new(r, "format", json_string("assay-report/1"));
	json_object_set_new(r, "run", *id ? json_string(id) : json_null());
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		json_object_set_new(r, same[i], copy_or_null(record, same[i]));
	json_object_set_new(r, "rules", rules ? json_incref(rules) : json_array());
	json_object_set_new(r, "metrics", metrics_json(record, rules));
	json_object_set_new(r, "training", training_json(h, record));
	report_samples_init(&samples, pairs != NULL);
	rc = add_samples(&samples, h, record);
	report_samples_set(&samples, r);
	json_object_set_new(json_object_get(r, "samples"), "seconds", seconds_json(json_object_get(record, "samples")));
	json_object_set_new(r, "promotion", json_null());
	if (rc == 0 && pairs)
		*pairs = json_incref(samples.pairs);
	report_samples_release(&samples);
	if (rc)
		json_decref(r);
	else
		*report = r;
	return rc;
}

/* A folder that is a link leads where somebody else chose: a commit may have one of that name. */
static int check_folder(const char *dir)
{
	size_t n = strlen(dir);
	struct stat st;
	char *path;
	int rc = 0;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	path = mem_strn(dir, n);
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		rc = err_set(ERR_INPUT, "--report-dir %s is a symbolic link: nothing is written through it", path);
		err_hint(rc, "name the folder itself");
	}
	free(path);
	return rc;
}

static int write_files(const struct run *run, const json_t *pairs)
{
	struct buf text = BUF_INIT(REPORT_BYTES_MAX);
	int rc = check_folder(run->options->report_dir);

	for (const struct report_format *f = report_formats; f->name && rc == 0; f++) {
		char *path = path_join(run->options->report_dir, f->file);

		buf_clear(&text);
		f->write(run->report, pairs, &text);
		rc = fs_write(path, buf_str(&text), text.len);
		free(path);
	}
	buf_release(&text);
	return rc;
}

/* Is that a report of ours, by how it begins? */
static bool is_report(const char *path)
{
	static const char begins[] = "{\n  \"format\": \"assay-report/";
	char head[sizeof(begins)] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? 0 : pread(fd, head, sizeof(begins) - 1, 0); /* of a pipe: fails */

	if (fd >= 0)
		close(fd);
	return n == sizeof(begins) - 1 && memcmp(head, begins, sizeof(begins) - 1) == 0;
}

int report_dir_clear(const char *dir)
{
	char *report = dir ? path_join(dir, "report.json") : NULL;
	int rc = dir ? check_folder(dir) : 0;

	if (rc == 0 && report && is_report(report)) {
		for (const struct report_format *f = report_formats; f->name && rc == 0; f++) {
			char *path = path_join(dir, f->file);

			if (strcmp(path, report) != 0)
				rc = fs_remove(path);
			free(path);
		}
		rc = rc ? rc : fs_remove(report); /* last: it is what tells that the others are ours */
		if (rc)
			err_context(rc, "the report of an earlier run");
	}
	free(report);
	return rc;
}

static void set_step(json_t *report, enum run_step which, enum step_status status, double seconds)
{
	json_t *step = json_array_get(json_object_get(report, "steps"), which);

	json_object_set_new(step, "status", json_string(step_status_name(status)));
	json_object_set_new(step, "seconds", json_real(seconds));
}

int step_report(struct run *run)
{
	double start = clock_seconds();
	json_t *pairs = NULL;
	int rc;

	if (!run->record)
		return 0;
	rc = report_of_record(&run->report, run->options->report_dir ? &pairs : NULL, run->home, run->id, run->record);
	if (rc)
		return rc;
	/* what is only known now: the end of the last two steps, and what became of the alias */
	set_step(run->report, RUN_RECORD, run->steps[RUN_RECORD].status, run->steps[RUN_RECORD].seconds);
	set_step(run->report, RUN_REPORT, STEP_DONE, clock_seconds() - start);
	if (run->promotion)
		json_object_set(run->report, "promotion", run->promotion);
	rc = run->options->report_dir ? write_files(run, pairs) : 0;
	json_decref(pairs);
	return rc;
}
