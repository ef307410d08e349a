/* gate_policy.c: the mapping under "gate:" becomes a policy, or one error with its place.
 *
 * A policy that is read wrong passes models that it should stop, so nothing is guessed: an unknown key, a limit that no
 * metric can mean (max_drop 3 on a share), limits that contradict each other, a key that the gate does not judge yet:
 * all are refused with line and column. An empty require is refused too; whoever wants no gate leaves the section out. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"

enum { RULES_MAX = 1000 };

void gate_policy_init(struct gate_policy *p)
{
	*p = (struct gate_policy){ .confidence = 0.95,
				   .stop_early = true,
				   .no_baseline = GATE_FLOORS,
				   .inconclusive_push = GATE_BLOCK,
				   .inconclusive_pull_request = GATE_WARN,
				   .incomparable = GATE_RESCORE };
}

void gate_policy_release(struct gate_policy *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->rules[i].task);
		free(p->rules[i].metric);
		free(p->rules[i].filter);
		free(p->rules[i].no_new_failures);
		free(p->rules[i].cluster);
	}
	for (size_t i = 0; i < p->n_watch; i++)
		free(p->watch[i]);
	free(p->rules);
	free(p->watch);
	free(p->baseline);
	*p = (struct gate_policy){ 0 };
}

bool gate_name_split(const char *name, char **task, char **metric, char **filter)
{
	size_t len = strcspn(name, ","), dot = len;

	while (dot && name[dot - 1] != '.')
		dot--;
	if (dot < 2 || dot == len || (name[len] && !name[len + 1]))
		return false;
	*task = mem_strn(name, dot - 1);
	*metric = mem_strn(name + dot, len - dot);
	*filter = name[len] ? mem_str(name + len + 1) : NULL;
	return true;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

struct word {
	const char *name;
	enum gate_action action;
};

static int policy_word(const struct yaml *y, const json_t *map, const char *key, const struct word *words, size_t n,
		       enum gate_action *out)
{
	const char *text = NULL;
	struct buf known = BUF_INIT(256);
	int rc = yaml_get_text(y, map, key, &text);

	if (rc || !text)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i].name, text) == 0) {
			*out = words[i].action;
			buf_release(&known);
			return 0;
		}
		buf_addf(&known, "%s%s", i ? ", " : "", words[i].name);
	}
	rc = yaml_error(y, map, key, "%s is \"%.60s\"; known: %s", key, text, buf_str(&known));
	buf_release(&known);
	return rc;
}

static int policy_inconclusive(struct gate_policy *p, const struct yaml *y, json_t *gate)
{
	static const struct word words[] = { { "warn", GATE_WARN }, { "block", GATE_BLOCK } };
	static const char *const keys[] = { "pull_request", "push" };
	json_t *v = json_object_get(gate, "inconclusive");
	int rc;

	if (json_is_object(v)) {
		rc = yaml_check_keys(y, v, "inconclusive", keys, ARRAY_LEN(keys));
		rc = rc ? rc : policy_word(y, v, "pull_request", words, 2, &p->inconclusive_pull_request);
		return rc ? rc : policy_word(y, v, "push", words, 2, &p->inconclusive_push);
	}
	rc = policy_word(y, gate, "inconclusive", words, 2, &p->inconclusive_push);
	if (!rc && v)
		p->inconclusive_pull_request = p->inconclusive_push;
	return rc;
}

/* rescore, block, or {rescore: N}: at most so many samples. */
static int policy_incomparable(struct gate_policy *p, const struct yaml *y, json_t *gate)
{
	static const struct word words[] = { { "rescore", GATE_RESCORE }, { "block", GATE_BLOCK } };
	static const char *const keys[] = { "rescore" };
	json_t *v = json_object_get(gate, "incomparable");
	int rc;

	if (!json_is_object(v))
		return policy_word(y, gate, "incomparable", words, ARRAY_LEN(words), &p->incomparable);
	rc = yaml_check_keys(y, v, "incomparable", keys, ARRAY_LEN(keys));
	if (rc == 0 && !json_object_get(v, "rescore"))
		rc = yaml_error(y, gate, "incomparable", "incomparable is rescore, block or {rescore: N}");
	return rc ? rc : yaml_get_int(y, v, "rescore", 1, INT32_MAX, &p->rescore);
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

/* A number, or text "3%" as 0.03 with *percent. */
static int rule_number(const struct yaml *y, const json_t *map, const char *key, bool *has, double *out, bool *percent)
{
	const json_t *v = json_object_get(map, key);
	const char *text = json_string_value(v);
	char *end;

	*percent = false;
	if (!v)
		return 0;
	if (json_is_number(v)) {
		*out = json_number_value(v);
	} else if (text && strspn(text, "0123456789.") && text[strspn(text, "0123456789.")] == '%' &&
		   !text[strspn(text, "0123456789.") + 1]) {
		*out = strtod(text, &end) / 100;
		if (*end != '%')
			return yaml_error(y, map, key, "%s is \"%.60s\", which is no number", key, text);
		*percent = true;
	} else {
		return yaml_error(y, map, key, "%s must be a number or a percentage like 3%%", key);
	}
	if (!isfinite(*out))
		return yaml_error(y, map, key, "%s must be a finite number", key);
	*has = true;
	return 0;
}

/* What can be said of the limits without having measured anything. */
static int rule_check(const struct gate_rule *r, const struct yaml *y, const json_t *map)
{
	bool binary;
	int direction = metric_direction(r->metric, &binary);

	if (!r->has_min && !r->has_max && !r->has_drop && !r->has_increase && !r->has_gain && !r->has_overlap &&
	    !r->no_new_failures)
		return yaml_error(y, map, NULL,
				  "a rule needs min, max, max_drop, max_increase, min_gain, "
				  "no_new_failures or max_overlap");
	if (r->has_min && r->has_max && r->min > r->max)
		return yaml_error(y, map, "min", "min %g is above max %g: no model can hold both", r->min, r->max);
	if (r->has_drop && r->has_increase)
		return yaml_error(y, map, "max_increase",
				  "max_drop and max_increase exclude each other: a metric is better "
				  "when higher or when lower");
	if (r->has_drop && direction < 0)
		return yaml_error(y, map, "max_drop", "%s is better when lower: use max_increase", r->metric);
	if (r->has_increase && direction > 0)
		return yaml_error(y, map, "max_increase", "%s is better when higher: use max_drop", r->metric);
	if (r->has_drop && (r->drop < 0 || (r->drop_relative && r->drop > 1)))
		return yaml_error(y, map, "max_drop", "max_drop must be from 0%s",
				  r->drop_relative ? "% to 100%" : " up");
	if (r->has_increase && r->increase < 0)
		return yaml_error(y, map, "max_increase", "max_increase must be from 0 up");
	if (r->has_gain && r->gain < 0)
		return yaml_error(y, map, "min_gain", "min_gain must be from 0 up; max_drop allows a drop");
	if (binary && r->has_gain && !r->gain_relative && r->gain > 1)
		return yaml_error(y, map, "min_gain", "%s goes from 0 to 1, and min_gain is %g: write %g for %g points",
				  r->metric, r->gain, r->gain / 100, r->gain);
	if (binary && r->has_drop && !r->drop_relative && r->drop > 1)
		return yaml_error(y, map, "max_drop", "%s goes from 0 to 1, and max_drop is %g: write %g for %g points",
				  r->metric, r->drop, r->drop / 100, r->drop);
	if (binary && r->has_min && (r->min < 0 || r->min > 1))
		return yaml_error(y, map, "min", "%s goes from 0 to 1, and min is %g", r->metric, r->min);
	if (binary && r->has_max && (r->max < 0 || r->max > 1))
		return yaml_error(y, map, "max", "%s goes from 0 to 1, and max is %g", r->metric, r->max);
	return 0;
}

/* A share of documents: 0.01 or 1%. */
static int overlap_number(const struct yaml *y, const json_t *map, bool *has, double *out)
{
	bool percent;
	int rc = rule_number(y, map, "max_overlap", has, out, &percent);

	if (!rc && *has && !(*out >= 0 && *out <= 1))
		rc = yaml_error(y, map, "max_overlap",
				"max_overlap is %g, but it is a share of the documents, from 0 to 1 (or 0%% to 100%%)",
				*out);
	return rc;
}

/* true: all samples; text: those whose id or slice matches. */
static int new_failures(struct gate_rule *r, const struct yaml *y, const json_t *map)
{
	const json_t *v = json_object_get(map, "no_new_failures");
	const char *pattern = json_is_true(v) ? "*" : json_string_value(v);

	if (v && (!pattern || !*pattern || strlen(pattern) > 200))
		return yaml_error(y, map, "no_new_failures",
				  "no_new_failures is true, or a pattern of ids or slices, as in \"golden-*\"");
	r->no_new_failures = mem_str(pattern);
	return 0;
}

/* spread (the default) or whole: are losses spread over the clusters, or may they come as whole clusters? */
static int rule_losses(struct gate_rule *r, const struct yaml *y, const json_t *map)
{
	const char *losses = "spread";
	int rc = yaml_get_text(y, map, "cluster_losses", &losses);

	r->whole_clusters = !rc && strcmp(losses, "whole") == 0;
	if (!rc && !r->whole_clusters && strcmp(losses, "spread") != 0)
		rc = yaml_error(y, map, "cluster_losses", "cluster_losses is \"%.60s\"; known: spread, whole", losses);
	return rc;
}

/* [1, 5]: what the scores of a judge may be. */
static int rule_range(struct gate_rule *r, const struct yaml *y, const json_t *map)
{
	const json_t *v = json_object_get(map, "range");

	if (!v)
		return 0;
	if (!json_is_array(v) || json_array_size(v) != 2 || !json_is_number(json_array_get(v, 0)) ||
	    !json_is_number(json_array_get(v, 1)))
		return yaml_error(y, map, "range", "range is the least and the largest score, as in [1, 5]");
	r->has_range = true;
	r->least = json_number_value(json_array_get(v, 0));
	r->most = json_number_value(json_array_get(v, 1));
	if (!isfinite(r->least) || !isfinite(r->most) || !(r->least < r->most))
		return yaml_error(y, map, "range", "range [%g, %g]: the first must be below the second", r->least,
				  r->most);
	return 0;
}

static int rule_parse(struct gate_rule *r, const struct yaml *y, json_t *require, const char *name, json_t *map)
{
	static const char *const known[] = { "min",
					     "max",
					     "max_drop",
					     "max_increase",
					     "min_gain",
					     "max_overlap",
					     "no_new_failures",
					     "cluster",
					     "cluster_losses",
					     "range" };
	static const char *const later[] = { "weights", "weight", "target", "slice" };
	const char *cluster = NULL;
	bool percent;
	int rc;

	if (!gate_name_split(name, &r->task, &r->metric, &r->filter))
		return yaml_error(y, require, name,
				  "a rule is named task.metric or task.metric,filter; \"%.100s\" is not", name);
	if (!json_is_object(map))
		return yaml_error(y, require, name, "expected limits, as in %.100s: {min: 0.8, max_drop: 0.02}", name);
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (json_object_get(map, later[i]))
			return yaml_error(y, map, later[i], "%s in a rule comes with a later version", later[i]);
	rc = yaml_check_keys(y, map, "a gate rule", known, ARRAY_LEN(known));
	rc = rc ? rc : rule_number(y, map, "min", &r->has_min, &r->min, &percent);
	rc = rc ? rc : rule_number(y, map, "max", &r->has_max, &r->max, &percent);
	rc = rc ? rc : rule_number(y, map, "max_drop", &r->has_drop, &r->drop, &r->drop_relative);
	rc = rc ? rc : rule_number(y, map, "max_increase", &r->has_increase, &r->increase, &r->increase_relative);
	rc = rc ? rc : rule_number(y, map, "min_gain", &r->has_gain, &r->gain, &r->gain_relative);
	rc = rc ? rc : overlap_number(y, map, &r->has_overlap, &r->overlap);
	rc = rc ? rc : new_failures(r, y, map);
	rc = rc ? rc : yaml_get_text(y, map, "cluster", &cluster);
	if (!rc && cluster && !*cluster)
		rc = yaml_error(y, map, "cluster", "cluster names a member of the documents");
	r->cluster = mem_str(cluster);
	rc = rc ? rc : rule_losses(r, y, map);
	rc = rc ? rc : rule_range(r, y, map);
	return rc ? rc : rule_check(r, y, map);
}

/* Samples are in one cluster each, whatever the metric. */
static int one_cluster(const struct gate_policy *p, const struct yaml *y, const json_t *map)
{
	const struct gate_rule *last = &p->rules[p->n - 1];

	for (size_t i = 0; last->cluster && i + 1 < p->n; i++)
		if (p->rules[i].cluster && strcmp(p->rules[i].task, last->task) == 0 &&
		    strcmp(p->rules[i].cluster, last->cluster) != 0)
			return yaml_error(y, map, "cluster", "task %s is clustered by %s in another rule", last->task,
					  p->rules[i].cluster);
	return 0;
}

static int policy_rules(struct gate_policy *p, const struct yaml *y, json_t *gate)
{
	json_t *require = NULL, *map;
	const char *name;
	int rc = yaml_get_object(y, gate, "require", &require);

	if (rc || (!require && p->has_overlap)) /* a rule for every task is a gate, too */
		return rc;
	if (!require || json_object_size(require) == 0) {
		yaml_error(y, gate, require ? "require" : NULL,
			   "gate.require is empty: the gate would pass every model");
		return err_hint(ERR_INPUT, "name at least one rule, as in require: {my_task.acc: {max_drop: 0.02}}, "
					   "or leave the gate out");
	}
	if (json_object_size(require) > RULES_MAX)
		return yaml_error(y, gate, "require", "more than %d rules", RULES_MAX);
	p->rules = mem_array(json_object_size(require), sizeof(*p->rules));
	json_object_foreach(require, name, map)
	{
		rc = rule_parse(&p->rules[p->n++], y, require, name, map);
		rc = rc ? rc : one_cluster(p, y, map);
		if (rc)
			return rc;
	}
	return 0;
}

static int policy_watch(struct gate_policy *p, const struct yaml *y, json_t *gate)
{
	json_t *list = NULL, *item;
	char *task, *metric, *filter;
	size_t i;
	int rc = yaml_get_array(y, gate, "watch", &list);

	if (rc || !list)
		return rc;
	if (json_array_size(list) > RULES_MAX)
		return yaml_error(y, gate, "watch", "more than %d metrics", RULES_MAX);
	p->watch = mem_array(json_array_size(list) + 1, sizeof(*p->watch));
	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(item);

		if (!name || !gate_name_split(name, &task, &metric, &filter))
			return yaml_error(y, gate, "watch",
					  "watch: expected a list of task.metric or task.metric,filter");
		free(task);
		free(metric);
		free(filter);
		for (size_t k = 0; k < p->n_watch; k++)
			if (strcmp(p->watch[k], name) == 0)
				return yaml_error(y, gate, "watch", "watch: %.100s stands there twice", name);
		p->watch[p->n_watch++] = mem_str(name);
	}
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int policy_target(struct gate_policy *p, const struct yaml *y, json_t *gate)
{
	const char *target = "suite", *baseline = NULL;
	int rc = yaml_get_text(y, gate, "target", &target);

	rc = rc ? rc : yaml_get_text(y, gate, "baseline", &baseline);
	if (rc)
		return rc;
	p->population = strcmp(target, "population") == 0;
	if (!p->population && strcmp(target, "suite") != 0)
		return yaml_error(y, gate, "target", "target is \"%.60s\"; known: suite, population", target);
	if (baseline && (!*baseline || strlen(baseline) > 500))
		return yaml_error(y, gate, "baseline", "baseline names an alias, a branch, a run or merge-base");
	p->baseline = mem_str(baseline);
	return 0;
}

/* Seconds, or a number with s, m or h behind it. */
static int policy_deadline(struct gate_policy *p, const struct yaml *y, const json_t *gate)
{
	const json_t *v = json_object_get(gate, "deadline");
	const char *text = json_string_value(v);
	double unit = 1;
	char *end;

	if (!v)
		return 0;
	if (json_is_number(v)) {
		p->deadline_s = json_number_value(v);
	} else if (text) {
		p->deadline_s = strtod(text, &end);
		unit = strcmp(end, "h") == 0 ? 3600 : strcmp(end, "m") == 0 ? 60 : strcmp(end, "s") == 0 ? 1 : NAN;
		p->deadline_s *= end == text ? NAN : unit;
	}
	if (!(p->deadline_s > 0 && p->deadline_s < 1e9))
		return yaml_error(y, gate, "deadline",
				  "deadline is how long the evaluation may take, as 90s, 10m or 2h");
	return 0;
}

/* When the model may stop before all samples are asked. */
static int policy_stop(struct gate_policy *p, const struct yaml *y, const json_t *gate)
{
	const char *stop = "early";
	int64_t most = 0;
	int rc = yaml_get_text(y, gate, "stop", &stop);

	if (!rc && strcmp(stop, "early") != 0 && strcmp(stop, "never") != 0)
		rc = yaml_error(y, gate, "stop", "stop is \"%.60s\"; known: early, never", stop);
	p->stop_early = !rc && strcmp(stop, "early") == 0;
	rc = rc ? rc : policy_deadline(p, y, gate);
	rc = rc ? rc : yaml_get_int(y, gate, "max_items", 1, (int64_t)1 << 40, &most);
	p->max_items = (size_t)most;
	return rc;
}

static int policy_parse(struct gate_policy *p, const struct yaml *y, json_t *gate)
{
	static const char *const known[] = { "baseline",    "target",       "confidence",   "require",
					     "watch",       "no_baseline",  "inconclusive", "incomparable",
					     "max_overlap", "strict_power", "stop",         "deadline",
					     "max_items",   "attempts",     "limits" };
	static const char *const later[] = { "cluster" };
	static const struct word no_baseline[] = { { "floors", GATE_FLOORS },
						   { "block", GATE_BLOCK },
						   { "pass", GATE_PASS_THROUGH } };
	int rc = 0;

	if (!json_is_object(gate))
		return yaml_error(y, gate, NULL, "gate must be a mapping: {baseline: …, require: {…}}");
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (json_object_get(gate, later[i]))
			return yaml_error(y, gate, later[i], "gate.%s comes with a later version", later[i]);
	rc = yaml_check_keys(y, gate, "gate", known, ARRAY_LEN(known));
	rc = rc ? rc : policy_target(p, y, gate);
	rc = rc ? rc : yaml_get_real(y, gate, "confidence", 0, 1, &p->confidence);
	if (!rc && !(p->confidence > 0.5 && p->confidence < 1))
		rc = yaml_error(y, gate, "confidence", "confidence is %g, but must lie between 0.5 and 1, as 0.95",
				p->confidence);
	rc = rc ? rc : policy_word(y, gate, "no_baseline", no_baseline, ARRAY_LEN(no_baseline), &p->no_baseline);
	rc = rc ? rc : policy_inconclusive(p, y, gate);
	rc = rc ? rc : policy_incomparable(p, y, gate);
	rc = rc ? rc : yaml_get_int(y, gate, "attempts", 1, 1000, &p->attempts);
	rc = rc ? rc : yaml_get_flag(y, gate, "strict_power", &p->strict_power);
	rc = rc ? rc : policy_stop(p, y, gate);
	rc = rc ? rc : overlap_number(y, gate, &p->has_overlap, &p->max_overlap);
	rc = rc ? rc : gate_limits_parse(&p->limits, y, gate);
	rc = rc ? rc : policy_rules(p, y, gate);
	return rc ? rc : policy_watch(p, y, gate);
}

int gate_policy_parse(struct gate_policy *out, const struct yaml *y, const json_t *gate)
{
	struct gate_policy p;
	int rc;

	gate_policy_init(&p);
	rc = policy_parse(&p, y, (json_t *)(uintptr_t)gate);
	if (rc)
		gate_policy_release(&p);
	else
		*out = p;
	return rc;
}
