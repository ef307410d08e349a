/* bench_registry: a registry of many runs, and what questions to it cost.
 *
 *	bench_registry [DIR] [RUNS] [METRICS] [BRANCHES]
 *
 * Default: a temporary folder, 100000 runs of 100 metric rows, in turns on 4 branches (1: all on main).
 *
 * The records are written as files, without syncs, and taken in by the first open, as after a rebuild; that is timed, too. Then each
 * question is asked ROUNDS times on the open registry and once by a registry that was opened for it, and the median is printed.
 * The durable write is a whole run with 1,000 metric rows: record file and transaction, both synced; beside it a plain loop of the same
 * system calls (a file of that size written, synced, renamed, its folder synced; a file appended and synced, for the log).
 * Prints one JSON object a line: {"what","ms","cpu_ms","rows"}: by the clock, and what the processor worked (on a busy machine the
 * clock says what the neighbours did). */
#include "base/base.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { ROUNDS = 9, MODELS = 20, VERSION_EVERY = 20 };

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "bench_registry: %s\n", err_text());
	exit(1);
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct times {
	double wall[ROUNDS], cpu[ROUNDS], from[2];
	int n;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void begin(struct times *t)
{
	t->from[0] = clock_seconds();
	t->from[1] = cpu_seconds();
}

static void end(struct times *t)
{
	t->wall[t->n] = clock_seconds() - t->from[0];
	t->cpu[t->n++] = cpu_seconds() - t->from[1];
}

static void print(const char *what, struct times *t, size_t rows)
{
	qsort(t->wall, (size_t)t->n, sizeof(*t->wall), order);
	qsort(t->cpu, (size_t)t->n, sizeof(*t->cpu), order);
	printf("{\"what\":\"%s\",\"ms\":%.3f,\"cpu_ms\":%.3f,\"rows\":%zu}\n", what, t->wall[t->n / 2] * 1e3,
	       t->cpu[t->n / 2] * 1e3, rows);
	fflush(stdout);
	t->n = 0;
}

/* ---- the records ----------------------------------------------------------------------------- */

static json_t *metrics_of(int64_t run, int64_t n)
{
	json_t *list = json_array();

	for (int64_t i = 0; i < n; i++) {
		char task[32];

		snprintf(task, sizeof(task), "task%03lld", (long long)(i / 2));
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:I,s:b}", "suite", "suite", "task",
						      task, "metric", i % 2 ? "acc" : "exact_match", "filter", "none",
						      "value", (double)((run * 7919 + i * 104729) % 10007) / 10007,
						      "stderr", 0.01, "n", (json_int_t)500, "higher_is_better", 1));
	}
	return list;
}

/* What every run has: its steps, two data sets, what it evaluated and judged, and against what. */
static void add_common(json_t *r, int64_t i)
{
	static const char *const names[] = { "read", "plan", "train", "eval", "gate", "record", "report" };
	json_t *steps = json_array();
	char key[40], data[24];

	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		json_array_append_new(steps, json_pack("{s:s,s:s,s:f}", "name", names[k], "status", "done", "seconds",
						       0.25 * (double)k));
	snprintf(key, sizeof(key), "suite%lld", (long long)(i / 7));
	snprintf(data, sizeof(data), "%012llx", (unsigned long long)(i / 500));
	json_object_set_new(r, "steps", steps);
	json_object_set_new(r, "datasets",
			    json_pack("[{s:s,s:s,s:i,s:i,s:s},{s:s,s:s,s:i,s:i,s:s}]", "path", "data/train.jsonl",
				      "digest", data, "rows", 9, "bytes", 900, "role", "train", "path",
				      "evals/suite.jsonl", "digest", "5eed", "rows", 9, "bytes", 900, "role", "eval"));
	json_object_set_new(r, "stages",
			    json_pack("[{s:s,s:s,s:s,s:{s:s}}]", "step", "eval", "name", "suite", "key", key, "output",
				      "object", "0"));
	json_object_set_new(r, "product", json_pack("{s:s,s:s}", "object", key, "prompt", "p"));
	snprintf(key, sizeof(key), "baseline%lld", (long long)(i / 40));
	json_object_set_new(r, "baseline", json_pack("{s:s,s:s}", "run", key, "model", "model7"));
}

static int64_t branches = 4;

static json_t *run_of(int64_t i, int64_t n_metrics, const char *object)
{
	char commit[41], branch[24], model[24], iso[21];
	int64_t at = (INT64_C(1767225600) + i * 60) * 1000000000; /* 2026-01-01, a run a minute */
	json_t *r;

	snprintf(commit, sizeof(commit), "%040llx", (unsigned long long)i * 2654435761u);
	snprintf(branch, sizeof(branch), i % branches ? "topic%lld" : "main", (long long)(i % branches));
	snprintf(model, sizeof(model), "model%lld", (long long)(i / VERSION_EVERY % MODELS));
	clock_iso(iso, at);
	r = json_pack("{s:s,s:I,s:s,s:I,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:o}", "format", "assay-run/1", "seq",
		      (json_int_t)(2 * i + 1), "created", iso, "created_ns", (json_int_t)at, "commit", commit, "branch",
		      branch, "trust", "protected", "event", "push", "verdict", i % 3 ? "PASS" : "FAIL", "exit",
		      i % 3 ? 0 : 1, "sentence", "No worse: 0.91 against 0.90.", "metrics", metrics_of(i, n_metrics));
	add_common(r, i);
	if (i % VERSION_EVERY == 0) {
		char data[48], node[DIGEST_HEX + 8];

		json_object_set_new(r, "version",
				    json_pack("{s:s,s:s,s:I}", "model", model, "object", object, "number",
					      (json_int_t)(i / VERSION_EVERY / MODELS + 1)));
		snprintf(data, sizeof(data), "data:%lld", (long long)(i % 1000));
		snprintf(node, sizeof(node), "model:%s", object);
		json_object_set_new(r, "edges",
				    json_pack("[{s:s,s:s,s:s}]", "from", data, "to", node, "relation", "trained"));
		json_array_append_new(json_object_get(r, "stages"),
				      json_pack("{s:s,s:s,s:s,s:{s:s}}", "step", "train", "name", model, "key", commit,
						"output", "object", object));
	}
	return r;
}

static json_t *promotion_of(int64_t i)
{
	char model[24], iso[21];
	int64_t at = (INT64_C(1767225600) + i * 60) * 1000000000 + 1, number = i / VERSION_EVERY / MODELS + 1;

	snprintf(model, sizeof(model), "model%lld", (long long)(i / VERSION_EVERY % MODELS));
	clock_iso(iso, at);
	return json_pack("{s:s,s:I,s:s,s:I,s:s,s:s,s:I,s:o,s:s,s:s,s:b,s:b}", "format", "assay-promotion/1", "seq",
			 (json_int_t)(2 * i + 2), "created", iso, "created_ns", (json_int_t)at, "model", model, "alias",
			 "production", "version", (json_int_t)number, "from",
			 number > 1 ? json_integer(number - 1) : json_null(), "actor", "ann", "reason", "passed",
			 "forced", 0, "rollback", 0);
}

static void write_record(struct store *s, json_t *record)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	char id[DIGEST_HEX], *path;
	FILE *f;

	record_bytes(&text, id, record);
	path = store_file(s, VAULT_RECORDS, id);
	path[strlen(path) - (DIGEST_HEX - 3) - 1] = 0;
	(void)mkdir(path, 0777);
	path[strlen(path)] = '/';
	f = fopen(path, "w");
	if (!f || fwrite(buf_str(&text), 1, text.len, f) != text.len || fclose(f))
		must(err_errno(ERR_IO, "%s", path));
	free(path);
	buf_release(&text);
	json_decref(record);
}

static void fill(struct store *s, int64_t runs, int64_t metrics)
{
	for (int64_t i = 0; i < runs; i++) {
		struct digest d = digest_bytes(&i, sizeof(i));
		char object[DIGEST_HEX];

		digest_hex(object, &d);
		write_record(s, run_of(i, metrics, object));
		if (i % VERSION_EVERY == 0 && i % 3)
			write_record(s, promotion_of(i));
	}
}

/* ---- questions ------------------------------------------------------------------------------- */

struct question {
	const char *what, *list, *filter;
	int64_t limit;
};

static int64_t middle_ns;

static int take_row(json_t *row, void *rows)
{
	json_array_append(rows, row);
	return 0;
}

/* Two whole records, by the names of two versions: what a comparison begins with. */
static void two_records(struct registry *r, json_t **rows)
{
	static const char *const names[] = { "model7@v1", "model7@v2" };
	char id[DIGEST_HEX];

	*rows = json_array();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *record = NULL;

		must(registry_find_run(r, names[i], id));
		must(registry_run(r, id, &record));
		json_array_append_new(*rows, record);
	}
}

static int count_point(const char *row, size_t len, void *arg)
{
	(void)row;
	*(size_t *)arg += len;
	return 0;
}

/* What `assay show --trend task004.acc BRANCH -n 0 --json` asks: here it is only counted. */
static json_t *all_as_text(struct registry *r, const char *branch)
{
	size_t bytes = 0;

	must(registry_trend_text(r, branch, "task004", "acc", NULL, 0, 2, count_point, &bytes));
	return json_integer((json_int_t)bytes);
}

static void ask(struct registry *r, const struct question *q, json_t **rows)
{
	if (!strcmp(q->list, "text"))
		*rows = all_as_text(r, q->filter);
	else if (!strcmp(q->list, "trend"))
		must(registry_trend(r, q->filter, "task004", "acc", NULL, q->limit, rows));
	else if (!strcmp(q->list, "reached"))
		must(registry_reached(r, q->filter, rows));
	else if (!strcmp(q->list, "data"))
		must(registry_data(r, q->filter, rows));
	else if (!strcmp(q->list, "attempts"))
		must(registry_runs(r, RUNS_BY_BASELINE, q->filter, take_row, *rows = json_array()));
	else if (!strcmp(q->list, "stage"))
		must(registry_stage(r, "eval", q->filter, TRUST_FORK, rows));
	else if (!strcmp(q->list, "two"))
		two_records(r, rows);
	else if (q->limit < 0) /* as of the middle of the time */
		must(registry_list_at(r, q->list, q->filter, 30, middle_ns, rows));
	else
		must(registry_list(r, q->list, q->filter, q->limit, rows));
}

static void questions(struct store *s)
{
	static const struct question all[] = {
		{ "runs, the newest 30", "runs", NULL, 30 },
		{ "runs of a model, the newest 30", "runs", "model7", 30 },
		{ "runs of a model that is not there", "runs", "none", 30 },
		{ "list 30,000 runs, as JSON values", "runs", NULL, 30000 },
		{ "models and aliases", "models", NULL, 0 },
		{ "versions, the newest 30", "versions", NULL, 30 },
		{ "versions as of a day, the newest 30", "versions", NULL, -1 },
		{ "history, the newest 30", "history", NULL, 30 },
		{ "history of a model as of a day", "history", "model7", -1 },
		{ "compare two versions: their records", "two", NULL, 0 },
		{ "attempts against a baseline", "attempts", "baseline3", 0 },
		{ "an evaluation by its key", "stage", "suite7", 0 },
		{ "trend of a metric, 100 runs", "trend", "main", 100 },
		{ "trend of a metric, 1,000 runs", "trend", "main", 1000 },
		{ "a metric of all runs of a branch", "trend", "main", 0 },
		{ "the same as text", "text", "main", 0 },
		{ "lineage: what a data set became", "reached", "40", 0 },
		{ "data sets, all versions", "data", NULL, 0 },
		{ "data sets, the versions of one", "data", "evals/suite.jsonl", 0 },
	};
	struct times t = { .n = 0 };
	struct registry *r = NULL;
	json_t *rows = NULL;
	size_t n = 0;

	for (int k = 0; k < ROUNDS; k++) {
		begin(&t);
		must(registry_open(&r, s));
		end(&t);
		registry_close(r);
	}
	print("open", &t, 0);
	must(registry_open(&r, s));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		for (int k = 0; k < ROUNDS; k++) {
			begin(&t);
			ask(r, &all[i], &rows);
			end(&t);
			n = json_is_array(rows) ? json_array_size(rows) : 1;
			json_decref(rows);
			rows = NULL;
		}
		print(all[i].what, &t, n);
	}
	registry_close(r);
}

/* ---- a durable write ------------------------------------------------------------------------- */

static void sync_file(int fd, const char *text, size_t len)
{
	if (write(fd, text, len) != (ssize_t)len || fdatasync(fd))
		must(err_errno(ERR_IO, "writing"));
}

/* The system calls of one durable run, and nothing else. */
static void plain(struct store *s, const char *text, size_t len, int log, int k)
{
	char *tmp = mem_printf("%s/plain.tmp", store_home(s)), *to = mem_printf("%s/plain-%d", store_home(s), k);
	int fd = open(tmp, O_CREAT | O_TRUNC | O_WRONLY, 0666), dir = open(store_home(s), O_RDONLY);

	sync_file(fd, text, len);
	if (rename(tmp, to) || fsync(dir))
		must(err_errno(ERR_IO, "%s", to));
	sync_file(log, text, len);
	close(fd);
	close(dir);
	(void)unlink(to);
	free(tmp);
	free(to);
}

static void durable(struct store *s, int64_t i)
{
	struct times ours = { .n = 0 }, theirs = { .n = 0 };
	char id[DIGEST_HEX], *path = path_join(store_home(s), "plain.log");
	struct registry *r = NULL;
	int log = open(path, O_CREAT | O_WRONLY | O_APPEND, 0666);

	must(registry_open(&r, s));
	for (int k = 0; k < ROUNDS; k++) {
		json_t *record = run_of(++i * VERSION_EVERY + 1, 1000, "");
		struct buf text = BUF_INIT(RECORD_MAX);

		begin(&ours);
		must(registry_add_run(r, record, id));
		end(&ours);
		record_bytes(&text, id, record);
		begin(&theirs);
		plain(s, buf_str(&text), text.len, log, k);
		end(&theirs);
		buf_release(&text);
		json_decref(record);
	}
	close(log);
	(void)unlink(path);
	free(path);
	registry_close(r);
	print("a run of 1,000 metric rows, durable", &ours, 1000);
	print("the same system calls alone", &theirs, 0);
}

int main(int argc, char **argv)
{
	int64_t runs = argc > 2 ? atoll(argv[2]) : 100000, metrics = argc > 3 ? atoll(argv[3]) : 100;
	char *home = NULL, *db;
	struct registry *r = NULL;
	struct store *s = NULL;
	struct times once = { .n = 0 };
	struct stat st;
	bool given = argc > 1 && *argv[1];

	branches = argc > 4 && atoll(argv[4]) > 0 ? atoll(argv[4]) : branches;
	if (given)
		home = mem_str(argv[1]);
	else
		must(fs_temp_dir(&home, getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", "bench-registry-"));
	must(store_open(&s, home));
	db = path_join(home, "registry.db");
	if (!fs_exists(db)) {
		fill(s, runs, metrics);
		sleep(3); /* so that the shelves are settled */
		begin(&once);
		must(registry_open(&r, s));
		end(&once);
		registry_close(r);
		print("take in all records", &once, (size_t)(runs * metrics));
	}
	if (!stat(db, &st))
		printf("{\"what\":\"registry.db, MiB\",\"ms\":%.0f,\"rows\":%lld}\n", (double)st.st_size / (1 << 20),
		       (long long)(runs * metrics));
	middle_ns = (INT64_C(1767225600) + runs / 2 * 60) * 1000000000;
	questions(s);
	durable(s, runs);
	store_close(s);
	if (!given)
		must(fs_remove_tree(home));
	free(db);
	free(home);
	return 0;
}
