/* metrics_case.h: one case of tests/golden/make_metrics.py, scored.
 *
 *	{"metric", "options":{…}, "samples":[{"said", "targets":[…]} | {"ll":[…], "alone":[…], "gold"}]}
 */
#ifndef TESTS_METRICS_CASE_H
#define TESTS_METRICS_CASE_H

#include "evals/evals_int.h"

static inline int case_sample(const struct task_metric *m, const json_t *s, struct metric *into, size_t at)
{
	enum { MOST = 64 };
	const json_t *ll = json_object_get(s, "ll"), *alone = json_object_get(s, "alone");
	const json_t *targets = json_object_get(s, "targets"), *said = json_object_get(s, "said");
	struct loglik_result lls[MOST] = { 0 }, alones[MOST] = { 0 };
	char *texts[MOST];
	int gold = (int)json_get_int(s, "gold", -1), rc;
	struct instance in = { .targets = texts, .n_targets = json_array_size(targets) };
	struct outcome o = { .in = &in };

	if (ll) {
		in = (struct instance){
			.choices = texts, .n_choices = json_array_size(ll), .gold = &gold, .n_gold = 1
		};
		o.ll = lls;
		o.ll_alone = alone ? alones : NULL;
	}
	for (size_t i = 0; i < MOST && i < in.n_choices; i++) {
		texts[i] = mem_printf("choice %zu", i);
		lls[i].logprob = json_number_value(json_array_get(ll, i));
		alones[i].logprob = json_number_value(json_array_get(alone, i));
	}
	for (size_t i = 0; i < MOST && i < in.n_targets; i++)
		texts[i] = mem_str(json_string_value(json_array_get(targets, i)));
	o.text = said ? json_string_value(said) : NULL;
	o.len = said ? json_string_length(said) : 0;
	rc = metric_score(m, &o, into, at);
	for (size_t i = 0; i < (ll ? in.n_choices : in.n_targets); i++)
		free(texts[i]);
	return rc;
}

/* The metric of a case, closed; the caller's to release. */
static inline int case_run(const json_t *c, struct metric *out, size_t *n)
{
	const json_t *samples = json_object_get(c, "samples"), *sample;
	json_t *entry = json_deep_copy(json_object_get(c, "options")), *map;
	struct buf text = BUF_INIT(1 << 20);
	struct source src = { .path = "case" };
	struct task_metric *m = NULL;
	struct yaml *y = NULL;
	size_t i, n_metrics = 0;
	int rc;

	entry = entry ? entry : json_object();
	json_object_set(entry, "metric", json_object_get(c, "metric"));
	map = json_pack("{s:[o]}", "metric_list", entry);
	json_add(&text, map);
	json_decref(map);
	*n = json_array_size(samples);
	*out = (struct metric){ 0 };
	rc = yaml_parse(&y, buf_str(&text), text.len, "case");
	if (!rc) {
		src.y = y;
		src.map = yaml_root(y);
		rc = metrics_load(&m, &n_metrics, &src,
				  json_object_get(json_array_get(samples, 0), "ll") ? OUTPUT_CHOICE : OUTPUT_GENERATE);
	}
	if (!rc) {
		metric_init(out, m, "none", *n);
		json_array_foreach(samples, i, sample) rc = rc ? rc : case_sample(m, sample, out, i);
		if (!rc)
			metric_close(out, *n);
	}
	metrics_free(m, n_metrics);
	yaml_free(y);
	buf_release(&text);
	return rc;
}

#endif
