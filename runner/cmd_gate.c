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

int cmd_gate(int argc, char **argv)
{
	const char *policy_file = NULL, *target = "suite";
	double max_drop = NAN, confidence = 0.95;
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
	if (!policy_file && isnan(max_drop))
		return err_set(ERR_USAGE, "assay gate needs --policy FILE or --max-drop X");
	if (max_drop < 0)
		return err_set(ERR_INPUT, "--max-drop is %g, but must be from 0 up", max_drop);
	if (policy_file && (!isnan(max_drop) || confidence != 0.95 || strcmp(target, "suite") != 0))
		return err_set(ERR_USAGE, "--policy says it all: --max-drop, --confidence and --target go without it");
	if (strcmp(target, "suite") != 0 && strcmp(target, "population") != 0)
		return err_set(ERR_USAGE, "--target %.60s: known are suite and population", target);
	if (!(confidence > 0.5 && confidence < 1))
		return err_set(ERR_INPUT, "--confidence is %g, but must lie between 0.5 and 1, as 0.95", confidence);
	gate_policy_init(&policy);
	rc = sides_load(&a, &b, argv[0], argv[1]);
	if (rc == 0)
		rc = policy_file ? read_policy(&policy, policy_file)
				 : simple_policy(&policy, &a, max_drop, confidence, target);
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
	side_release(&a);
	side_release(&b);
	return rc;
}
