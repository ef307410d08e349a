/* cmd_gate.c: `assay gate A B`: a verdict on two sets of stored scores (runner/sides.h), and no model. A is the baseline,
 * B the candidate. */
#include "base/base.h"

#include <math.h>

#include "evals/evals.h"
#include "runner/cmd.h"
#include "runner/sides.h"

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

/* What is said by options instead of a file. */
struct simple {
	double max_drop, confidence; /* max_drop NaN: not given */
	const char *target;
	struct opt_list metrics;
};

/* What --max-drop can be asked of: every metric of the baseline by each of its names, "task.metric,filter" and, of the first
 * filter, "task.metric". */
struct measured {
	char **names;
	const struct metric **metrics;
	size_t n;
};

static void measured_add(struct measured *all, char *name, const struct metric *m)
{
	all->names = mem_resize(all->names, (all->n + 1) * sizeof(*all->names));
	all->metrics = mem_resize(all->metrics, (all->n + 1) * sizeof(*all->metrics));
	all->names[all->n] = name;
	all->metrics[all->n++] = m;
}

static struct measured measured_of(const struct side *a)
{
	struct measured all = { 0 };

	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->tasks[i].n_metrics; k++) {
			const struct task_result *t = &a->tasks[i];
			const struct metric *m = &t->metrics[k];

			if (task_result_metric(t, m->name, NULL) == m)
				measured_add(&all, mem_printf("%s.%s", t->task, m->name), m);
			measured_add(&all, mem_printf("%s.%s,%s", t->task, m->name, m->filter), m);
		}
	return all;
}

static void measured_release(struct measured *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->names[i]);
	free(all->names);
	free(all->metrics);
}

static int measured_find(const struct measured *all, const char *name, const struct metric **out)
{
	const char *near;
	int rc;

	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->names[i], name) == 0) {
			*out = all->metrics[i];
			return 0;
		}
	near = opt_nearest(name, (const char *const *)all->names, all->n);
	rc = err_set(ERR_INPUT, "--metric %.200s: nothing of that name was measured%s%.200s%s", name,
		     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return err_hint(rc, "TASK.METRIC or TASK.METRIC,FILTER, as assay diff A B lists them");
}

static void add_rule(struct buf *text, const char *name, const struct metric *m, double max_drop)
{
	buf_adds(text, "  ");
	json_add_text(text, name, strlen(name));
	buf_addf(text, ": {%s: %.17g}\n", m->higher_is_better ? "max_drop" : "max_increase", max_drop);
}

/* The same rule for the metrics that are asked for. */
static int add_asked(struct buf *text, const struct side *a, const struct simple *how)
{
	struct measured all = measured_of(a);
	const struct metric **found = mem_array(how->metrics.n, sizeof(const struct metric *));
	int rc = 0;

	for (size_t i = 0; i < how->metrics.n && rc == 0; i++) {
		bool again = false;

		rc = measured_find(&all, how->metrics.items[i], &found[i]);
		for (size_t k = 0; k < i && rc == 0; k++)
			again = again || found[k] == found[i];
		if (rc == 0 && !again)
			add_rule(text, how->metrics.items[i], found[i], how->max_drop);
	}
	free(found);
	measured_release(&all);
	return rc;
}

/* For every task's first one. */
static int add_first(struct buf *text, const struct side *a, const struct simple *how)
{
	size_t before = text->len;

	for (size_t i = 0; i < a->n; i++) {
		const struct metric *m = a->tasks[i].n_metrics ? &a->tasks[i].metrics[0] : NULL;
		char *name;

		if (!m)
			continue;
		name = mem_printf("%s.%s", a->tasks[i].task, m->name);
		add_rule(text, name, m, how->max_drop);
		free(name);
	}
	if (text->len > before)
		return 0;
	err_set(ERR_INPUT, "no metric is left of the baseline: there is nothing to judge");
	return err_hint(ERR_INPUT, "the warnings above say why each was left out");
}

/* Without a file. */
static int simple_policy(struct gate_policy *out, const struct side *a, const struct simple *how)
{
	struct buf text = BUF_INIT(1 << 20);
	struct yaml *y = NULL;
	int rc = 0;

	buf_addf(&text, "confidence: %.17g\ntarget: %s\nrequire:\n", how->confidence, how->target);
	rc = how->metrics.n ? add_asked(&text, a, how) : add_first(&text, a, how);
	if (rc == 0)
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

static int options_check(const char *policy_file, const struct simple *how)
{
	if (!policy_file && isnan(how->max_drop))
		return err_set(ERR_USAGE, "assay gate needs --policy FILE or --max-drop X");
	if (how->max_drop < 0)
		return err_set(ERR_INPUT, "--max-drop is %g, but must be from 0 up", how->max_drop);
	if (policy_file &&
	    (!isnan(how->max_drop) || how->confidence != 0.95 || strcmp(how->target, "suite") != 0 || how->metrics.n))
		return err_set(ERR_USAGE,
			       "--policy says it all: --max-drop, --metric, --confidence and --target go without it");
	if (strcmp(how->target, "suite") != 0 && strcmp(how->target, "population") != 0)
		return err_set(ERR_USAGE, "--target %.60s: known are suite and population", how->target);
	if (!(how->confidence > 0.5 && how->confidence < 1))
		return err_set(ERR_INPUT, "--confidence is %g, but must lie between 0.5 and 1, as 0.95",
			       how->confidence);
	return 0;
}

int cmd_gate(int argc, char **argv)
{
	const char *policy_file = NULL;
	struct simple how = { .max_drop = NAN, .confidence = 0.95, .target = "suite" };
	struct gate_policy policy;
	struct gate_result g = { 0 };
	struct side a = { 0 }, b = { 0 };
	bool json = false;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "policy", &policy_file, "FILE",
			 "an assay.yaml, or a file with the keys of its gate section"),
		{ OPT_KIND_REAL, 0, "max-drop", &how.max_drop, "X", "without a policy: how much each task may drop",
		  OPT_NO_ENV },
		{ OPT_KIND_LIST, 0, "metric", &how.metrics, "TASK.METRIC",
		  "without a policy: only this, not every task's first; may be given several times", OPT_NO_ENV },
		{ OPT_KIND_REAL, 0, "confidence", &how.confidence, "C", "of the bounds (0.95)", OPT_NO_ENV },
		{ OPT_KIND_TEXT, 0, "target", &how.target, "T",
		  "suite (did these samples drop?) or population (samples like these)", OPT_NO_ENV },
		OPT_FLAG('j', "json", &json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"gate",
		"A B",
		"judge two stored runs, or two files of scores; touches no model",
		"A is the baseline, B the candidate: a run, a file of assay eval --samples, a folder that "
		"lm-evaluation-harness wrote with --log_samples, or a JSONL file of "
		"{\"id\",\"score\"[,\"weight\",\"cluster\",\"slice\",\"repeat\"]}.\n\n"
		"  assay gate dates@v1 dates@v2 --policy assay.yaml\n"
		"  assay gate before.jsonl after.jsonl --max-drop 0.02 --json",
		2,
		2
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = options_check(policy_file, &how);
	gate_policy_init(&policy);
	if (rc == 0)
		rc = sides_load(&a, &b, argv[0], argv[1]);
	if (rc == 0)
		rc = policy_file ? read_policy(&policy, policy_file) : simple_policy(&policy, &a, &how);
	if (rc == 0)
		rc = sides_decide(&g, &policy, &a, &b);
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
	opt_list_release(&how.metrics);
	side_release(&a);
	side_release(&b);
	return rc;
}
