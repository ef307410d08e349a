/* cmd_diff.c: `assay diff A [B]`: two runs, or two files of scores, side by side; decides nothing. Every metric that both
 * have, with the bounds that the gate would show. */
#include "base/base.h"
#include "evals/evals.h"
#include "runner/cmd.h"
#include "runner/sides.h"

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
	rc = sides_load(&a, &b, name_a, name_b);
	if (rc == 0)
		rc = sides_decide(&g, &policy, &a, &b);
	if (rc == 0)
		rc = print_diff(&g, format);
	gate_result_release(&g);
	gate_policy_release(&policy);
	side_release(&a);
	side_release(&b);
	return rc;
}
