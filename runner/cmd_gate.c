/* cmd_gate.c: `assay gate A B` and `assay diff [A] [B]`: two sets of stored scores, and no model.
 *
 * A is the baseline, B the candidate; each is a run (id, commit, branch, MODEL@v7, MODEL@ALIAS), what `assay eval --samples`
 * wrote, or a JSONL file of {"id","score"[,"weight","cluster","slice"]}. A path has a slash or a suffix. `gate` decides by a policy; `diff` shows every metric that
 * both have, beside each other, with the same bounds. */
#include "base/base.h"
#include "evals/evals.h"
#include "runner/cmd.h"
#include "runner/plan_overlap.h"
#include "runner/config.h"

#define FILE_MAX ((size_t)4 << 30)

struct side {
	struct task_result *tasks;
	const struct task_result **list;
	size_t n;
	char run[DIGEST_HEX];
	json_t *overlap; /* as the run counted it; NULL: not known */
	bool plain;      /* scores without questions */
};

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
		struct buf text = BUF_INIT(FILE_MAX);
		const char *object = json_get_text(row, "object", "");

		rc = store_get(place->home.store, object, &text, FILE_MAX);
		if (rc == 0)
			rc = task_result_read(&s->tasks[s->n], buf_str(&text), text.len, object);
		buf_release(&text);
		if (rc)
			break;
		s->n++;
	}
	s->overlap = json_incref(json_object_get(record, "overlap"));
	json_decref(record);
	if (rc == 0 && s->n == 0)
		rc = err_set(ERR_INPUT, "run %.12s has no samples", s->run);
	return rc;
}

static void side_release(struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		task_result_release(&s->tasks[i]);
	free(s->tasks);
	free(s->list);
	json_decref(s->overlap);
}

/* Opens the registry only if one of the two is not a file. */
static int load_sides(struct side *a, struct side *b, const char *name_a, const char *name_b)
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

/* ---- policies ----------------------------------------------------------------------------------------------------------------- */

/* The gate section of a file: an assay.yaml, or a file with nothing but the section's keys. */
static int read_policy(struct gate_policy *out, const char *path)
{
	struct buf text = BUF_INIT(1 << 20);
	struct yaml *y = NULL;
	json_t *gate;
	int rc = fs_read(&text, path, 1 << 20);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "no file %s", path);
	if (rc == 0)
		rc = yaml_parse(&y, buf_str(&text), text.len, path);
	if (rc == 0) {
		gate = json_object_get(yaml_root(y), "gate");
		rc = gate_policy_parse(out, y, gate ? gate : yaml_root(y));
	}
	yaml_free(y);
	buf_release(&text);
	return rc;
}

/* Without a file: the same rule for every task's first metric. */
static int simple_policy(struct gate_policy *out, const struct side *a, double max_drop, double confidence,
			 const char *target)
{
	struct buf text = BUF_INIT(1 << 20);
	struct yaml *y = NULL;
	int rc;

	buf_addf(&text, "confidence: %.17g\ntarget: %s\nrequire:\n", confidence, target);
	for (size_t i = 0; i < a->n; i++) {
		const struct metric *m = a->tasks[i].n_metrics ? &a->tasks[i].metrics[0] : NULL;
		struct buf key = BUF_INIT(1 << 16);

		if (!m)
			continue;
		buf_adds(&text, "  ");
		buf_addf(&key, "%s.%s", a->tasks[i].task, m->name);
		json_add_text(&text, buf_str(&key), key.len);
		buf_addf(&text, ": {%s: %.17g}\n", m->higher_is_better ? "max_drop" : "max_increase", max_drop);
		buf_release(&key);
	}
	rc = yaml_parse(&y, buf_str(&text), text.len, "--max-drop");
	if (rc == 0)
		rc = gate_policy_parse(out, y, yaml_root(y));
	yaml_free(y);
	buf_release(&text);
	return rc;
}

static void print_gate(const struct gate_result *g)
{
	json_t *doc = gate_result_json(g), *rules = json_object_get(doc, "rules"), *row;
	static const char *const columns[] = { "rule:rule",    "baseline:>baseline", "candidate:>candidate",
					       "delta:>delta", "verdict:verdict",    "explanation:why" };
	size_t i;

	printf("%s  ", verdict_name(g->verdict));
	log_safe(stdout, g->sentence, strlen(g->sentence));
	puts("\n");
	json_array_foreach(rules, i, row) if (!json_object_get(row, "rule"))
		json_object_set_new(row, "rule", json_string(""));
	print_table(rules, columns, ARRAY_LEN(columns));
	json_decref(doc);
}

static int decide(struct gate_result *g, const struct gate_policy *p, const struct side *a, const struct side *b)
{
	struct gate_input in = { .candidate = b->list, .n_candidate = b->n, .baseline = a->list, .n_baseline = a->n };
	char *missing = overlap_missing(b->overlap);
	int rc;

	in.n_overlap = overlap_gate_rows(b->overlap, &in.overlap);
	in.overlap_missing = missing;
	rc = gate_decide(g, p, &in);
	free((void *)(uintptr_t)in.overlap);
	free(missing);
	return rc;
}

int cmd_gate(int argc, char **argv)
{
	const char *policy_file = NULL, *target = "suite";
	double max_drop = -1, confidence = 0.95;
	struct gate_policy policy;
	struct gate_result g = { 0 };
	struct side a = { 0 }, b = { 0 };
	bool json = false;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "policy", &policy_file, "FILE",
			 "an assay.yaml, or a file with the keys of its gate section"),
		{ OPT_KIND_REAL, 0, "max-drop", &max_drop, "X", "without a policy: how much each task may drop",
		  OPT_NO_ENV },
		{ OPT_KIND_REAL, 0, "confidence", &confidence, "C", "of the bounds (0.95)", OPT_NO_ENV },
		{ OPT_KIND_TEXT, 0, "target", &target, "T",
		  "suite (did these samples drop?) or population (samples like these)", OPT_NO_ENV },
		OPT_FLAG('j', "json", &json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"gate",
		"A B",
		"judge two stored runs, or two files of scores; touches no model",
		"A is the baseline, B the candidate: a run, a file of assay eval --samples, or a JSONL file of "
		"{\"id\",\"score\"[,\"weight\",\"cluster\",\"slice\"]}.\n\n"
		"  assay gate dates@v1 dates@v2 --policy assay.yaml\n"
		"  assay gate before.jsonl after.jsonl --max-drop 0.02 --json",
		2,
		2
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (!policy_file && max_drop < 0)
		return err_set(ERR_USAGE, "assay gate needs --policy FILE or --max-drop X");
	if (policy_file && (max_drop >= 0 || confidence != 0.95 || strcmp(target, "suite") != 0))
		return err_set(ERR_USAGE, "--policy says it all: --max-drop, --confidence and --target go without it");
	if (strcmp(target, "suite") != 0 && strcmp(target, "population") != 0)
		return err_set(ERR_USAGE, "--target %.60s: known are suite and population", target);
	gate_policy_init(&policy);
	rc = load_sides(&a, &b, argv[0], argv[1]);
	if (rc == 0)
		rc = policy_file ? read_policy(&policy, policy_file)
				 : simple_policy(&policy, &a, max_drop, confidence, target);
	if (rc == 0)
		rc = decide(&g, &policy, &a, &b);
	if (rc == 0 && json) {
		json_t *doc = gate_result_json(&g);

		print_json(doc);
		json_decref(doc);
	} else if (rc == 0) {
		print_gate(&g);
	}
	if (rc == 0)
		rc = g.exit;
	gate_result_release(&g);
	gate_policy_release(&policy);
	side_release(&a);
	side_release(&b);
	return rc;
}

/* ---- diff ------------------------------------------------------------------------------------------------------------------------ */

static int print_diff(const struct gate_result *g, const char *format)
{
	static const char *const columns[] = { "task:task",    "metric:metric", "baseline:>A", "candidate:>B",
					       "delta:>delta", "lo:>lower",     "hi:>upper",   "n:>n" };
	json_t *rows = json_array();

	for (size_t i = 0; i < g->n; i++) {
		const struct gate_result_rule *r = &g->rules[i];

		json_array_append_new(
			rows, json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:I,s:b}", "task", r->task, "metric", r->metric,
					"baseline", json_real(r->baseline), "candidate", json_real(r->candidate),
					"delta", json_real(r->delta), "lo", json_real(r->lo), "hi", json_real(r->hi),
					"n", (json_int_t)r->n, "higher_is_better", r->higher_is_better));
	}
	if (strcmp(format, "json") == 0) {
		print_json(rows);
	} else if (strcmp(format, "md") == 0) {
		json_t *row;
		size_t i;

		puts("| task | metric | A | B | Δ [one-sided 95 % bounds] | n |\n|---|---|--:|--:|---|--:|");
		json_array_foreach(rows, i, row) printf(
			"| %s | %s | %.4g | %.4g | %+.4g [%+.4g, %+.4g] | %lld |\n", json_get_text(row, "task", ""),
			json_get_text(row, "metric", ""), json_get_real(row, "baseline", 0),
			json_get_real(row, "candidate", 0), json_get_real(row, "delta", 0), json_get_real(row, "lo", 0),
			json_get_real(row, "hi", 0), (long long)json_get_int(row, "n", 0));
	} else {
		print_table(rows, columns, ARRAY_LEN(columns));
		puts("\nlower and upper: each a one-sided 95 % bound of the difference");
	}
	json_decref(rows);
	return 0;
}

int cmd_diff(int argc, char **argv)
{
	const char *format = "term", *name_a, *name_b;
	struct gate_policy policy;
	struct gate_result g = { 0 };
	struct side a = { 0 }, b = { 0 };
	int rc;
	const struct opt opts[] = {
		OPT_TEXT('f', "format", &format, "FORMAT", "term, md or json"),
		OPT_END,
	};
	const struct opt_usage usage = { "diff",
					 "A [B]",
					 "two runs side by side",
					 "A and B as for assay gate; without B, the latest run.\n\n"
					 "the latest run's model is not guessed: name it.\n\n"
					 "  assay diff dates@v1 dates@v2\n  assay diff dates@production HEAD -f md",
					 1,
					 2 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (strcmp(format, "term") && strcmp(format, "md") && strcmp(format, "json"))
		return err_set(ERR_USAGE, "--format: term, md or json");
	name_a = argv[0];
	name_b = argc > 1 ? argv[1] : "latest";
	gate_policy_init(&policy);
	rc = load_sides(&a, &b, name_a, name_b);
	if (rc == 0)
		rc = decide(&g, &policy, &a, &b);
	if (rc == 0)
		rc = print_diff(&g, format);
	gate_result_release(&g);
	gate_policy_release(&policy);
	side_release(&a);
	side_release(&b);
	return rc;
}
