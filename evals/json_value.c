/* json_value.c: answers that are JSON: json_valid, json_match; and what json_schema.c needs of them.
 *
 *	json_valid  the whole answer is one JSON value (RFC 8259; white space around it is let through, text is not, nor are
 *	            members that come twice, NaN and Infinity)
 *	json_match  it equals a target, which is JSON too: objects whatever their order, lists in order, numbers within a
 *	            tolerance
 *
 * Numbers a (answer) and b (target) are equal if |a - b| <= tolerance + relative_tolerance |b|; 1 and 1.0 are. With
 * subset: true objects of the answer may have members that the target's do not. A target that is no JSON is found when the
 * task is read.
 *
 * Options of json_match: tolerance (0), relative_tolerance (0), subset (false). */
#include "base/base.h"

#include <math.h>

#include "evals/json_int.h"

json_t *answer_json(const char *s, size_t len)
{
	const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_error_t why;
	json_t *v = json_loadb(s, len, flags, &why);

	if (!v && json_error_code(&why) == json_error_numeric_overflow) /* whole numbers beyond 64 bits are valid */
		v = json_loadb(s, len, flags | JSON_DECODE_INT_AS_REAL, &why);
	return v;
}

bool number_is_whole(const json_t *v)
{
	double x = json_number_value(v);

	return json_is_integer(v) || (json_is_real(v) && x == floor(x));
}

static bool same_number(const json_t *a, const json_t *b, const struct json_same *how)
{
	double x = json_number_value(a), y = json_number_value(b);

	if (json_is_integer(a) && json_is_integer(b) && json_integer_value(a) == json_integer_value(b))
		return true;
	if (json_is_integer(a) && json_is_integer(b) && !(how->absolute > 0) && !(how->relative > 0))
		return false; /* beyond 2^53 doubles would not tell them apart */
	return fabs(x - y) <= how->absolute + how->relative * fabs(y);
}

bool json_same(const json_t *a, const json_t *b, const struct json_same *how)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_number(a) && json_is_number(b))
		return same_number(a, b, how);
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_array(a)) {
		if (json_array_size(a) != json_array_size(b))
			return false;
		for (i = 0; i < json_array_size(a); i++)
			if (!json_same(json_array_get(a, i), json_array_get(b, i), how))
				return false;
		return true;
	}
	if (json_is_object(a)) {
		if (!how->subset && json_object_size(a) != json_object_size(b))
			return false;
		json_object_foreach((json_t *)(uintptr_t)b, key, member)
		{
			const json_t *other = json_object_get(a, key);

			if (!other || !json_same(other, member, how))
				return false;
		}
		return true;
	}
	return json_equal(a, b) != 0;
}

/* ---- the metrics ------------------------------------------------------------------------------------------------- */

int score_json_valid(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	json_t *v = answer_json(o->text, o->len);

	(void)m;
	out->score = v != NULL;
	json_decref(v);
	return 0;
}

int check_json_match(const struct task_metric *m, const struct instance *in)
{
	(void)m;
	for (size_t i = 0; i < in->n_targets; i++) {
		json_t *v = answer_json(in->targets[i], strlen(in->targets[i]));

		if (!v)
			return err_set(ERR_INPUT, "json_match: the target is no JSON: %.60s", in->targets[i]);
		json_decref(v);
	}
	return 0;
}

int score_json_match(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	json_t *said = answer_json(o->text, o->len), *right;

	for (size_t i = 0; said && i < o->in->n_targets; i++) {
		right = answer_json(o->in->targets[i], strlen(o->in->targets[i]));
		if (right && json_same(said, right, m->options))
			out->score = 1;
		json_decref(right);
	}
	json_decref(said);
	return 0;
}

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct json_same *how = m->options = mem_alloc(sizeof(*how));
	int rc = yaml_get_real(src->y, entry, "tolerance", 0, 1e300, &how->absolute);

	rc = rc ? rc : yaml_get_real(src->y, entry, "relative_tolerance", 0, 1, &how->relative);
	return rc ? rc : yaml_get_flag(src->y, entry, "subset", &how->subset);
}

static const char *const keys[] = { "tolerance", "relative_tolerance", "subset" };
const struct metric_options json_match_options = { keys, ARRAY_LEN(keys), options_load, free };
