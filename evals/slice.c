/* slice.c: what a sample is a part of: its slice (a language, say), on which metrics are shown apart, and its cluster (the
 * passage that several questions are about), whose samples do not stand for themselves.
 *
 * Both are columns of the documents. A harness task file has one place that the harness does not look into:
 *
 *	metadata:
 *	  assay: {by: language, cluster: ticket_id}
 *
 * Every document must have the columns, with text, a whole number or a truth value. They are kept with each sample, and
 * change no question: no digest covers them, so two runs compare whatever they are sliced by. A task with more than
 * SLICES_MAX slices is not shown by slice. */
#include "base/base.h"

#include <math.h>

#include "evals/evals_int.h"

enum { COLUMN_VALUE_MAX = 200, SLICES_MAX = 1000 };

int slice_load(struct slice_columns *c, const struct source *src)
{
	static const char *const keys[] = { "by", "cluster" };
	json_t *metadata = json_object_get(src->map, "metadata"), *ours = NULL;
	const char *by = NULL, *cluster = NULL;
	int rc;

	if (!json_is_object(metadata) || !json_object_get(metadata, "assay"))
		return 0;
	rc = yaml_get_object(src->y, metadata, "assay", &ours);
	rc = rc ? rc : yaml_check_keys(src->y, ours, "metadata.assay", keys, ARRAY_LEN(keys));
	rc = rc ? rc : yaml_get_text(src->y, ours, "by", &by);
	rc = rc ? rc : yaml_get_text(src->y, ours, "cluster", &cluster);
	c->by = mem_str(by);
	c->cluster = mem_str(cluster);
	return rc;
}

void slice_release(struct slice_columns *c)
{
	free(c->by);
	free(c->cluster);
	*c = (struct slice_columns){ 0 };
}

/* A column's value as text; yours. NULL: it is missing, or no name of anything. */
static char *column_text(const char *column, const struct doc *d)
{
	const json_t *v = column ? json_object_get(d->value, column) : NULL;

	if (json_is_integer(v))
		return mem_printf("%lld", (long long)json_integer_value(v));
	if (json_is_boolean(v))
		return mem_str(json_is_true(v) ? "true" : "false");
	if (!json_is_string(v) || json_string_length(v) > COLUMN_VALUE_MAX || !*json_string_value(v))
		return NULL;
	return mem_str(json_string_value(v));
}

int slice_check(const struct slice_columns *c, const struct doc *d)
{
	const char *const columns[] = { c->by, c->cluster };

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		char *text = column_text(columns[i], d);

		if (columns[i] && !text)
			return doc_error(err_set(ERR_INPUT,
						 "metadata.assay names the column \"%.60s\", which must be text (1 to "
						 "%d bytes), a whole number or a truth value here",
						 columns[i], COLUMN_VALUE_MAX),
					 d);
		free(text);
	}
	return 0;
}

void slice_fill(struct sample *s, const struct slice_columns *c, const struct doc *d)
{
	s->slice = column_text(c->by, d);
	s->cluster = column_text(c->cluster, d);
}

/* The metric on those samples that have the number `which` among their slices. */
static json_t *slice_json(const struct task_result *t, const struct metric *m, const int64_t *of, int64_t which)
{
	struct metric part = *m;
	json_t *value, *error;
	size_t n = 0;

	part.scores = mem_array(t->n, sizeof(double));
	part.weights = m->weights ? mem_array(t->n, sizeof(double)) : NULL;
	part.parts = m->parts ? mem_array(t->n, mem_mul(m->n_parts, sizeof(double))) : NULL;
	for (size_t i = 0; i < t->n; i++) {
		if (of[i] != which)
			continue;
		part.scores[n] = m->scores[i];
		if (m->weights)
			part.weights[n] = m->weights[i];
		if (m->parts)
			memcpy(part.parts + n * m->n_parts, m->parts + i * m->n_parts, m->n_parts * sizeof(double));
		n++;
	}
	metric_close(&part, n);
	free(part.scores);
	free(part.weights);
	free(part.parts);
	value = json_real(part.value); /* NULL: not finite */
	error = json_real(part.stderr_);
	return json_pack("{s:o, s:o, s:I}", "value", value ? value : json_null(), "stderr", error ? error : json_null(),
			 "n", (json_int_t)n);
}

json_t *slices_json(const struct task_result *t, const struct metric *m)
{
	int64_t *of = mem_array(t->n, sizeof(*of)), n = 0;
	json_t *all = json_object();
	const char **names = mem_array(SLICES_MAX, sizeof(*names));
	struct map numbers;

	map_init(&numbers);
	for (size_t i = 0; i < t->n && n <= SLICES_MAX; i++) {
		const char *name = t->samples[i].slice;

		of[i] = -1;
		if (!name || map_get(&numbers, name, strlen(name), &of[i]))
			continue;
		if (n < SLICES_MAX)
			names[n] = name;
		map_put(&numbers, name, strlen(name), n);
		of[i] = n++;
	}
	for (int64_t k = 0; k < n && n <= SLICES_MAX; k++)
		json_object_set_new(all, names[k], slice_json(t, m, of, k));
	map_release(&numbers);
	free(names);
	free(of);
	if (json_object_size(all))
		return all;
	json_decref(all);
	return NULL;
}
