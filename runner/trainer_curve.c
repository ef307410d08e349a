/* trainer_curve.c: the learning curve of a training, at most MOST points, and progress on the terminal.
 *
 * It is kept beside every checkpoint, with the sums since its last point, so that a training that was interrupted tells of
 * all its steps. What belongs to steps behind the checkpoint is dropped: they come again. A curve that cannot be read is
 * no reason to fail: it begins where the training goes on. */
#include "base/base.h"
#include "base/json.h"
#include "runner/trainer.h"

#include <math.h>

#define MOST 200
#define FILE_MAX ((size_t)64 << 20)

json_t *trainer_curve_number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

void trainer_curve_open(struct trainer_curve *c, const char *work)
{
	*c = (struct trainer_curve){ .points = json_array(),
				     .validation = json_array(),
				     .path = path_join(work, "curve.json") };
}

void trainer_curve_close(struct trainer_curve *c)
{
	json_decref(c->points);
	json_decref(c->validation);
	free(c->path);
}

/* ---- kept and found again ------------------------------------------------------------------------------------------ */

int trainer_curve_save(void *curve)
{
	const struct trainer_curve *c = curve;
	struct buf text = BUF_INIT(FILE_MAX);
	json_t *o = json_pack("{s:I,s:I,s:I,s:f,s:f,s:O,s:O}", "step", (json_int_t)c->last.step, "n", (json_int_t)c->n,
			      "tokens", (json_int_t)c->tokens, "sum", c->sum, "seconds", c->seconds, "points",
			      c->points, "validation", c->validation);
	int rc;

	json_add(&text, o);
	rc = fs_write(c->path, buf_str(&text), text.len);
	buf_release(&text);
	json_decref(o);
	return rc;
}

/* The points before this step. */
static void take_points(json_t *to, const json_t *from, int64_t before)
{
	const json_t *point;
	size_t i;

	json_array_foreach((json_t *)from, i, point)
	{
		const json_t *step = json_array_get(point, 0);
		if (json_is_integer(step) && json_integer_value(step) < before)
			json_array_append(to, (json_t *)point);
	}
}

static void go_on(struct trainer_curve *c, int64_t step)
{
	json_t *o = NULL;

	if (json_read(&o, c->path, FILE_MAX)) {
		err_clear();
		return;
	}
	take_points(c->points, json_object_get(o, "points"), step);
	take_points(c->validation, json_object_get(o, "validation"), step);
	if (json_get_int(o, "step", 0) == step - 1) { /* the sums are of the steps up to here */
		c->n = json_get_int(o, "n", 0);
		c->tokens = json_get_int(o, "tokens", 0);
		c->sum = json_get_real(o, "sum", 0);
		c->seconds = json_get_real(o, "seconds", 0);
	}
	json_decref(o);
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

void trainer_curve_finish(struct trainer_curve *c)
{
	const struct train_step *s = &c->last;

	if (!c->n)
		return;
	json_array_append_new(c->points,
			      json_pack("[I,o,o,o,o]", (json_int_t)s->step, trainer_curve_number(c->sum / (double)c->n),
					trainer_curve_number(s->lr), trainer_curve_number(s->grad_norm),
					trainer_curve_number(c->seconds > 0 ? (double)c->tokens / c->seconds : 0)));
	c->sum = c->seconds = 0;
	c->n = c->tokens = 0;
}

static void begin(struct trainer_curve *c, const struct train_step *s)
{
	c->every = (s->steps + MOST - 1) / MOST;
	progress_begin("train", (uint64_t)s->steps, "step");
	if (s->step > 1)
		go_on(c, s->step);
}

/* Rate and norm of a point are those of its last step. */
int trainer_curve_step(const struct train_step *s, void *curve)
{
	struct trainer_curve *c = curve;

	if (!c->every)
		begin(c, s);
	c->last = *s;
	c->sum += s->loss;
	c->tokens += s->tokens;
	c->seconds += s->seconds;
	c->n++;
	if (c->n >= c->every || s->step == s->steps)
		trainer_curve_finish(c);
	if (isfinite(s->validation))
		json_array_append_new(c->validation,
				      json_pack("[I,o]", (json_int_t)s->step, trainer_curve_number(s->validation)));
	progress_at((uint64_t)s->step, "loss %.3f  %.0f tokens/s", s->loss,
		    s->seconds > 0 ? (double)s->tokens / s->seconds : 0);
	return 0;
}
