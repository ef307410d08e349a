/* samples_keep.c: samples on their way: the lines of samples.c with the number of the sample, in whatever order they came.
 *
 *	{"slot":41,"id":"t-17","prompt":…,"scores":[1,0.25],…}
 *
 * Reals are written so that they read back to the same bits: a result that was restored in part is the result. A line that
 * does not fit the task (another id in this place, another number of metrics) means that the file is of other questions. */
#include "base/base.h"

#include "evals/evals_int.h"

void task_samples_write(const struct task_result *t, const size_t *slots, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		json_t *line = sample_json(t, slots[i]);

		if (t->samples[slots[i]].seconds > 0)
			json_object_set_new(line, "seconds", json_real(t->samples[slots[i]].seconds));
		json_object_set_new(line, "slot", json_integer((json_int_t)slots[i]));
		json_add(out, line);
		buf_addc(out, '\n');
		json_decref(line);
	}
}

struct restoring {
	struct task_result *t;
	bool *have;
	const char *name;
};

static int restore_line(json_t *v, size_t line, void *arg)
{
	struct restoring *r = arg;
	int64_t slot = json_get_int(v, "slot", -1);
	const char *id = json_get_text(v, "id", NULL);
	double seconds = json_get_real(v, "seconds", 0);
	struct sample *s;

	if (slot < 0 || (uint64_t)slot >= r->t->n || !id)
		return err_set(ERR_INPUT, "%s:%zu: no sample of this task", r->name, line);
	if (r->have[slot]) /* the first that came stands */
		return 0;
	if (sample_scores_read(r->t, (size_t)slot, v))
		return err_context(ERR_INPUT, "%s:%zu", r->name, line);
	s = &r->t->samples[slot];
	s->id = mem_str(id);
	sample_texts_read(s, v);
	s->seconds = seconds > 0 ? seconds : 0;
	r->have[slot] = true;
	return 0;
}

int task_samples_restore(struct task_result *t, bool *have, const char *text, size_t len, const char *name)
{
	struct restoring r = { t, have, name };

	return json_lines(text, len, name, restore_line, &r);
}
