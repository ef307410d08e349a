/* report_slices.c: metrics by slice (a language, say) of a stored run, beside the baseline's, from the samples of both.
 *
 * Slices stand with the samples (evals/slice.c), so the report of months later has them too. A task without slices has no
 * rows; of very many slices the first are shown. */
#include "base/base.h"
#include "runner/report_slices.h"
#include "runner/samples_store.h"

enum { ROWS_MAX = 1000 };

static json_t *value_of(const json_t *slices, const char *name)
{
	json_t *v = json_object_get(json_object_get(slices, name), "value");

	return v ? json_incref(v) : json_null();
}

static void add_metric(json_t *rows, const struct task_result *cand, const struct task_result *base,
		       const struct metric *m)
{
	const struct metric *before = base->n ? task_result_metric(base, m->name, m->filter) : NULL;
	json_t *mine = slices_json(cand, m), *theirs = before ? slices_json(base, before) : NULL, *slice;
	const char *name;

	json_object_foreach(mine, name, slice)
	{
		if (json_array_size(rows) >= ROWS_MAX)
			break;
		json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:s,s:I,s:O,s:O,s:o,s:b}", "task", cand->task,
						      "metric", m->name, "filter", m->filter, "slice", name, "n",
						      (json_int_t)json_get_int(slice, "n", 0), "value",
						      json_object_get(slice, "value"), "stderr",
						      json_object_get(slice, "stderr"), "baseline",
						      value_of(theirs, name), "higher_is_better", m->higher_is_better));
	}
	json_decref(mine);
	json_decref(theirs);
}

static const char *object_of(const json_t *samples, const char *task)
{
	json_t *row;
	size_t i;

	json_array_foreach(samples, i, row)
	{
		if (strcmp(json_get_text(row, "task", ""), task) == 0)
			return json_get_text(row, "object", NULL);
	}
	return NULL;
}

static bool has_slices(const struct task_result *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->samples[i].slice)
			return true;
	return false;
}

int report_slices(json_t **out, struct home *h, const json_t *record)
{
	const json_t *before = json_object_get(json_object_get(record, "baseline"), "samples");
	json_t *row;
	size_t i;
	int rc = 0;

	*out = json_array();
	json_array_foreach(json_object_get(record, "samples"), i, row)
	{
		const char *object = object_of(before, json_get_text(row, "task", ""));
		struct task_result cand = { 0 }, base = { 0 };

		rc = samples_open(&cand, h->store, json_get_text(row, "object", ""), false);
		if (rc == 0 && has_slices(&cand)) {
			if (object)
				rc = samples_open(&base, h->store, object, false);
			for (size_t k = 0; k < cand.n_metrics && rc == 0; k++)
				add_metric(*out, &cand, &base, &cand.metrics[k]);
		}
		task_result_release(&base);
		task_result_release(&cand);
		if (rc)
			break;
	}
	return rc;
}
