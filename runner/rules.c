/* rules.c: the gate's result as a record keeps it: every rule and every metric that was compared, with all that a report
 * shows. (gate_result_json is the shorter document of `assay gate --json`: the rules alone.) */
#include "base/base.h"
#include "runner/runner.h"

#include <math.h>

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *rule_json(const struct gate_result_rule *r, double confidence)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:b,s:b}", "task", r->task, "metric", r->metric, "filter",
			      r->filter ? r->filter : "none", "verdict", verdict_name(r->verdict), "higher_is_better",
			      r->higher_is_better, "gated", r->gated);

	json_object_set_new(o, "rule", json_new_text(r->rule ? r->rule : "", r->rule ? strlen(r->rule) : 0));
	json_object_set_new(o, "baseline", number(r->baseline));
	json_object_set_new(o, "candidate", number(r->candidate));
	json_object_set_new(o, "delta", number(r->delta));
	json_object_set_new(o, "interval", json_pack("[o,o]", number(r->lo), number(r->hi)));
	json_object_set_new(o, "bounds", json_string("one-sided"));
	json_object_set_new(o, "n", json_integer((json_int_t)r->n));
	if (r->clusters)
		json_object_set_new(o, "clusters", json_integer((json_int_t)r->clusters));
	json_object_set_new(o, "lost", json_integer((json_int_t)r->lost));
	json_object_set_new(o, "won", json_integer((json_int_t)r->won));
	json_object_set_new(o, "method", json_string(r->method ? r->method : ""));
	json_object_set_new(o, "confidence", json_real(confidence));
	json_object_set_new(
		o, "explanation",
		json_new_text(r->explanation ? r->explanation : "", r->explanation ? strlen(r->explanation) : 0));
	return o;
}

json_t *rules_json(const struct gate_result *g)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < g->n; i++)
		json_array_append_new(rules, rule_json(&g->rules[i], g->confidence));
	return json_pack("{s:s,s:i,s:o}", "verdict", verdict_name(g->verdict), "exit", g->exit, "rules", rules);
}
