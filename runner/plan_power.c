/* plan_power.c: power before money: the gate held against the suites while nothing has been trained or asked yet.
 *
 * Every plan checks what no number could mend (names, directions, sizes below which there is no sound test). The
 * probabilities cost some tests and some reading, so only `assay plan` has them. How much two equally good models differ
 * was measured by `assay calibrate`, or is read off the last comparisons of this model that passed: their stored samples are paired again, and their lost and
 * won counted together. Comparisons that failed do not count: they are no unchanged models.
 *
 * strict_power refuses a rule where it can still be mended: in the policy that the candidate brings, or in the target's as
 * long as the candidate leaves it as it is. A change that mends it must not be stopped by it. */
#include "base/base.h"
#include "runner/calibration.h"
#include "runner/cmd.h"
#include "runner/evaluate.h"
#include "runner/plan_power.h"
#include "runner/samples_store.h"
#include "runner/samples_store.h"

#include <math.h>

enum { COMPARISONS = 5 };

/* ---- what no number mends ------------------------------------------------------------------------------------------ */

/* The suites of the run; with_proposed: and those that the candidate brings. Free the list. */
static const struct suite **suites_of(const struct run *run, bool with_proposed, size_t *n)
{
	const struct suite **list = mem_array(run->n_suites + run->n_proposed + 1, sizeof(*list));

	*n = 0;
	for (size_t i = 0; i < run->n_suites; i++)
		list[(*n)++] = run->suites[i].suite;
	for (size_t i = 0; with_proposed && i < run->n_proposed; i++)
		list[(*n)++] = run->proposed[i].suite;
	return list;
}

static int check_rules(struct run *run, const struct gate_power *power, bool refuse, const char *whose)
{
	for (size_t i = 0; i < power->n; i++) {
		const struct gate_power_rule *r = &power->rules[i];

		if (r->outlook != OUTLOOK_NEVER && r->outlook != OUTLOOK_HOPELESS)
			continue;
		if (r->outlook == OUTLOOK_NEVER && refuse) {
			err_set(ERR_INPUT, "%s%s can only end INCONCLUSIVE: %s", whose, r->rule, r->why);
			return err_hint(ERR_INPUT, "strict_power refuses such a rule: add samples, or take "
						   "strict_power out of the gate");
		}
		run_note(run, "%s%s %s: %s", whose, r->rule,
			 r->outlook == OUTLOOK_NEVER ? "can only end INCONCLUSIVE" : "will hardly pass", r->why);
	}
	return 0;
}

static int check_policy(struct run *run, const struct gate_policy *policy, bool proposed, bool refuse)
{
	struct gate_power_input in = { .structure = true };
	struct gate_power power;
	const struct suite **suites = suites_of(run, proposed, &in.n_suites);
	int rc;

	in.suites = suites;
	rc = gate_power(&power, policy, &in);
	free(suites);
	if (rc)
		return proposed ? err_context(rc, "the gate that the candidate brings") : rc;
	rc = check_rules(run, &power, refuse && policy->strict_power,
			 proposed ? "the gate that the candidate brings: " : "");
	gate_power_release(&power);
	return rc;
}

static bool brings_gate(const struct run *run)
{
	return run->have_target_config && !json_equal(json_object_get(yaml_root(run->config.yaml), "gate"),
						      json_object_get(yaml_root(run->target_config.yaml), "gate"));
}

/* A limit beneath the measured noise is refused on the same terms. */
static int check_noise(struct run *run, const struct gate_policy *policy, bool refuse, const char *whose)
{
	int rc = run->options->calibrates ? 0 : calibration_check(run, policy, whose);

	if (rc != ERR_INPUT || refuse)
		return rc;
	run_note(run, "%s", err_text());
	err_clear();
	return 0;
}

int plan_power_check(struct run *run)
{
	bool brings = brings_gate(run);
	int rc = 0;

	if (run->questions->has_gate)
		rc = check_policy(run, &run->questions->gate, false, !brings);
	if (rc == 0 && run->questions->has_gate)
		rc = check_noise(run, &run->questions->gate, !brings, "");
	if (rc == 0 && brings && run->config.has_gate)
		rc = check_policy(run, &run->config.gate, true, true);
	if (rc == 0 && brings && run->config.has_gate)
		rc = check_noise(run, &run->config.gate, true, "the gate that the candidate brings: ");
	return rc;
}

/* ---- how much equally good models differ ---------------------------------------------------------------------------- */

struct evidence { /* of all metrics; the texts are its own */
	struct gate_noise *items;
	double *pairs, *runs; /* samples, and comparisons, that each rests on */
	size_t n, cap;
	char from[64];
};

static struct gate_noise *evidence_of(struct evidence *e, const struct gate_result_rule *row, size_t *at)
{
	for (*at = 0; *at < e->n; ++*at)
		if (!strcmp(e->items[*at].task, row->task) && !strcmp(e->items[*at].metric, row->metric) &&
		    !strcmp(e->items[*at].filter, row->filter))
			return &e->items[*at];
	if (e->n == e->cap) {
		e->cap = e->cap ? 2 * e->cap : 16;
		e->items = mem_resize(e->items, e->cap * sizeof(*e->items));
		e->pairs = mem_resize(e->pairs, e->cap * sizeof(*e->pairs));
		e->runs = mem_resize(e->runs, e->cap * sizeof(*e->runs));
	}
	e->items[e->n] =
		(struct gate_noise){ mem_str(row->task), mem_str(row->metric), mem_str(row->filter), 0, 0, e->from };
	e->pairs[e->n] = e->runs[e->n] = 0;
	return &e->items[e->n++];
}

/* flips and spread gather sums until evidence_close(): of discordant pairs, and of variances. */
static void evidence_add(struct evidence *e, const struct gate_result *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct gate_result_rule *r = &g->rules[i];
		struct gate_noise *noise;
		size_t at;

		if (!isfinite(r->hi - r->lo) || !r->n)
			continue;
		noise = evidence_of(e, r, &at);
		noise->flips += (double)(r->lost + r->won);
		noise->spread += gate_row_variance(r, g->confidence);
		e->pairs[at] += (double)r->n;
		e->runs[at]++;
	}
}

static void evidence_close(struct evidence *e)
{
	for (size_t i = 0; i < e->n; i++) {
		e->items[i].flips /= e->pairs[i];
		e->items[i].spread = sqrt(e->items[i].spread / e->runs[i]);
	}
}

static void evidence_release(struct evidence *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free((void *)(uintptr_t)e->items[i].task);
		free((void *)(uintptr_t)e->items[i].metric);
		free((void *)(uintptr_t)e->items[i].filter);
	}
	free(e->items);
	free(e->pairs);
	free(e->runs);
}

/* ---- stored comparisons --------------------------------------------------------------------------------------------- */

struct sides {
	struct task_result *tasks;
	const struct task_result **list;
	size_t n;
};

static int sides_read(struct sides *s, struct run *run, const json_t *rows)
{
	json_t *row;
	size_t i;
	int rc = 0;

	s->tasks = mem_array(json_array_size(rows) + 1, sizeof(*s->tasks));
	s->list = mem_array(json_array_size(rows) + 1, sizeof(*s->list));
	json_array_foreach(rows, i, row)
	{
		rc = samples_open(&s->tasks[s->n], run->home->store, json_get_text(row, "object", ""), true);
		if (rc)
			break;
		s->list[s->n] = &s->tasks[s->n];
		s->n++;
	}
	return rc;
}

static void sides_release(struct sides *s)
{
	for (size_t i = 0; i < s->n; i++)
		task_result_release(&s->tasks[i]);
	free(s->tasks);
	free(s->list);
}

/* False: its samples are gone or do not pair; there may be others. */
static bool compare_stored(struct evidence *e, struct run *run, const char *id)
{
	struct gate_policy none;
	struct gate_result g;
	struct sides a = { 0 }, b = { 0 };
	json_t *record = NULL;
	int rc = registry_run(run->home->registry, id, &record);
	const json_t *base = json_object_get(record, "baseline"), *product = json_object_get(record, "product");

	if (rc == 0 && !strcmp(json_get_text(base, "object", "a"), json_get_text(product, "object", "b")) &&
	    !strcmp(json_get_text(base, "prompt", "a"), json_get_text(product, "prompt", "b")))
		rc = ERR_NOTFOUND; /* one and the same: it says nothing of noise */
	rc = rc ? rc : sides_read(&a, run, json_object_get(base, "samples"));
	rc = rc ? rc : sides_read(&b, run, json_object_get(record, "samples"));
	gate_policy_init(&none);
	if (rc == 0 && a.n && b.n) {
		const struct gate_input in = {
			.candidate = b.list, .n_candidate = b.n, .baseline = a.list, .n_baseline = a.n
		};

		rc = gate_decide(&g, &none, &in);
		if (rc == 0) {
			evidence_add(e, &g);
			gate_result_release(&g);
		}
	}
	gate_policy_release(&none);
	sides_release(&a);
	sides_release(&b);
	json_decref(record);
	err_clear();
	return rc == 0 && a.n && b.n;
}

/* What a calibration measured on these questions. */
static int gather_calibrated(struct evidence *e, struct run *run)
{
	json_t *calibration, *row;
	size_t i;
	int rc = calibration_find(run, &calibration);

	snprintf(e->from, sizeof(e->from), "a calibration, %lld runs", (long long)json_get_int(calibration, "runs", 0));
	json_array_foreach(json_object_get(calibration, "metrics"), i, row)
	{
		struct gate_result_rule as = { .task = (char *)(uintptr_t)json_get_text(row, "task", ""),
					       .metric = (char *)(uintptr_t)json_get_text(row, "metric", ""),
					       .filter = (char *)(uintptr_t)json_get_text(row, "filter", "") };
		struct gate_noise *noise;
		size_t at;

		if (!calibration_metric(calibration, run, as.task, as.metric, as.filter))
			continue;
		noise = evidence_of(e, &as, &at);
		noise->flips = json_get_real(row, "flips", 0);
		noise->spread = json_get_real(row, "spread", 0);
	}
	json_decref(calibration);
	return rc;
}

struct comparisons {
	struct evidence *e;
	struct run *run;
	size_t n;
};

static int add_comparison(json_t *row, void *arg)
{
	struct comparisons *c = arg;
	enum trust trust;

	if (trust_parse(&trust, json_get_text(row, "trust", "")) == 0 && trust >= c->run->event.trust &&
	    json_get_text(row, "baseline_run", NULL) && !strcmp(json_get_text(row, "verdict", ""), "PASS"))
		c->n += compare_stored(c->e, c->run, json_get_text(row, "id", ""));
	return c->n == COMPARISONS;
}

static int gather_compared(struct evidence *e, struct run *run)
{
	struct comparisons c = { e, run, 0 };
	int rc = registry_runs(run->home->registry, RUNS_BY_BASELINE_MODEL, run->questions->model, add_comparison, &c);

	snprintf(e->from, sizeof(e->from), c.n == 1 ? "the last comparison" : "the last %zu comparisons", c.n);
	evidence_close(e);
	return rc;
}

/* ---- of assay plan -------------------------------------------------------------------------------------------------- */

/* The baseline's scores on these questions, where they are stored: for what min and max require. */
static int load_baseline(struct run *run, const struct task_result ***out, size_t *n)
{
	size_t total = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && run->baseline.found && i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];
		bool reused;

		rc = evaluate_object(run, s, run->baseline.object, run->baseline.prompt, "", &s->base_tasks,
				     &s->n_base_tasks, &s->base_stage, &reused, false);
		if (rc == ERR_NOTFOUND) {
			err_clear();
			rc = 0;
		}
		total += s->n_base_tasks;
	}
	*out = mem_array(total + 1, sizeof(**out));
	*n = 0;
	for (size_t i = 0; i < run->n_suites; i++)
		for (size_t t = 0; t < run->suites[i].n_base_tasks; t++)
			(*out)[(*n)++] = &run->suites[i].base_tasks[t];
	return rc;
}

int plan_power_json(struct run *run, json_t **out)
{
	struct gate_power_input in = { .limit = run_limit(run) >= 1 ? (int64_t)run_limit(run) : 0,
				       .share = run_limit(run) < 1 ? run_limit(run) : 0 };
	struct evidence e = { 0 };
	struct gate_power power;
	const struct suite **suites;
	const struct task_result **base = NULL;
	int rc;

	*out = NULL;
	if (!run->questions->has_gate)
		return 0;
	suites = suites_of(run, false, &in.n_suites);
	in.suites = suites;
	rc = load_baseline(run, &base, &in.n_baseline);
	in.baseline = base;
	rc = rc ? rc : gather_calibrated(&e, run);
	if (rc == 0 && !e.n)
		rc = gather_compared(&e, run);
	in.noise = e.items;
	in.n_noise = e.n;
	rc = rc ? rc : gate_power(&power, &run->questions->gate, &in);
	if (rc == 0) {
		*out = gate_power_json(&power);
		json_object_set_new(*out, "target",
				    json_string(run->questions->gate.population ? "population" : "suite"));
		json_object_set_new(*out, "confidence", json_real(run->questions->gate.confidence));
		gate_power_release(&power);
	}
	evidence_release(&e);
	free(suites);
	free(base);
	return rc;
}

/* ---- printed -------------------------------------------------------------------------------------------------------- */

static void set_share(json_t *row, const char *key, const json_t *value, const char *none)
{
	double x = json_number_value(value);
	char text[32];

	snprintf(text, sizeof(text), x >= 0.9995 || x < 0.0005 || (x >= 0.1 && x < 0.995) ? "%.0f %%" : "%.1f %%",
		 100 * x);
	json_object_set_new(row, key, json_string(json_is_number(value) ? text : none));
}

static void print_whole(const json_t *power)
{
	const json_t *least = json_object_get(power, "pass_least"), *most = json_object_get(power, "pass_most");

	if (!json_array_size(json_object_get(power, "rules")))
		return;
	if (!json_is_number(least))
		puts("\nHow likely an unchanged model passes all rules is not known before there is a comparison of "
		     "two "
		     "models.");
	else
		printf("\nAn unchanged model passes the whole gate in about %.0f of 100 runs (%.0f to %.0f, however "
		       "the "
		       "rules hang\ntogether); one that is the baseline itself, always.\n",
		       100 * json_number_value(json_object_get(power, "pass")), 100 * json_number_value(least),
		       100 * json_number_value(most));
}

void plan_power_print(const json_t *power)
{
	static const char *const columns[] = { "rule:rule", "n:>samples",       "clusters:>clusters",    "flips:>flips",
					       "from:by",   "detects:>detects", "pass:>unchanged passes" };
	static const char *const plain[] = { "rule:rule", "n:>samples",       "flips:>flips",
					     "from:by",   "detects:>detects", "pass:>unchanged passes" };
	json_t *rows = json_array(), *row;
	bool clusters = false;
	size_t i;

	json_array_foreach(json_object_get(power, "rules"), i, row)
	{
		json_t *copy = json_copy(row);
		const json_t *detects = json_object_get(row, "detects");

		clusters |= json_is_integer(json_object_get(row, "clusters"));
		set_share(copy, "flips", json_object_get(row, "flips"), "");
		set_share(copy, "pass", json_object_get(row, "pass"), "not known");
		if (json_is_number(detects) && json_is_number(json_object_get(row, "flips"))) {
			char *text = mem_printf("%.1f points", 100 * json_number_value(detects));

			json_object_set_new(copy, "detects", json_string(text));
			free(text);
		}
		json_array_append_new(rows, copy);
	}
	printf("\ngate      target %s, confidence %g\n\n", json_get_text(power, "target", ""),
	       json_get_real(power, "confidence", 0));
	if (clusters)
		print_table(rows, columns, ARRAY_LEN(columns));
	else
		print_table(rows, plain, ARRAY_LEN(plain));
	print_whole(power);
	json_array_foreach(rows, i, row) if (strcmp(json_get_text(row, "outlook", ""), "weak") == 0)
	{ /* the others are notes of the plan already */
		fputs("warning: ", stdout);
		log_safe(stdout, json_get_text(row, "rule", ""), strlen(json_get_text(row, "rule", "")));
		fputs(": ", stdout);
		log_safe(stdout, json_get_text(row, "why", ""), strlen(json_get_text(row, "why", "")));
		putchar('\n');
	}
	json_decref(rows);
}
