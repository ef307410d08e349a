/* label.c: labels that a model writes, as numbers: f1 and accuracy of the evaluate library, one answer at a time.
 *
 * The harness hands the library each answer alone, as a corpus of one, and takes the mean. Of one pair of labels accuracy is 1
 * if they are equal and else 0, and so is F1 with average: micro, macro or weighted. Without average it is the F1 of label 1,
 * which makes a right 0 wrong, and of a third label an error: refused.
 *
 * A label is an integer as Python's int() reads it, of 32 bits, which is the type the library gives it. An answer that is none
 * is wrong (the harness ends there); a filter, mostly map, makes them. */
#include "base/base.h"

#include <errno.h>

#include "evals/metric_int.h"

/* Without underscores between the digits, which int() takes too. */
static bool label_parse(long *out, const char *s, size_t len)
{
	char text[16], *end;
	size_t used, n = 0;
	const char *from = s, *to;

	while (len && utf8_is_space(utf8_next(from, len, &used))) {
		from += used;
		len -= used;
	}
	to = from;
	while (len && n + 1 < sizeof(text) && (unsigned char)*to > ' ' && (unsigned char)*to < 0x80) {
		text[n++] = *to++;
		len--;
	}
	text[n] = 0;
	while (len && utf8_is_space(utf8_next(to, len, &used))) {
		to += used;
		len -= used;
	}
	errno = 0;
	*out = strtol(text, &end, 10);
	return n && !len && !*end && !errno && *out >= INT32_MIN && *out <= INT32_MAX;
}

int score_label(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	long said, right;

	(void)m;
	for (size_t i = 0; i < o->in->n_targets; i++)
		if (label_parse(&said, o->text, o->len) &&
		    label_parse(&right, o->in->targets[i], strlen(o->in->targets[i])) && said == right)
			out->score = 1;
	return 0;
}

int check_label(const struct task_metric *m, const struct instance *in)
{
	long label;

	for (size_t i = 0; i < in->n_targets; i++)
		if (!label_parse(&label, in->targets[i], strlen(in->targets[i])))
			return err_set(ERR_INPUT, "%s: the target is no integer: %.100s", m->kind->name,
				       in->targets[i]);
	return 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int label_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	bool hf = false, f1 = strcmp(m->kind->name, "f1") == 0;
	const char *average = NULL;
	int rc = yaml_get_flag(src->y, entry, "hf_evaluate", &hf);

	rc = rc ? rc : yaml_get_text(src->y, entry, "average", &average);
	if (rc)
		return rc;
	if (!hf)
		return yaml_error(src->y, entry, NULL, "%s of a written text needs hf_evaluate: true", m->kind->name);
	if (!f1 && average)
		return yaml_error(src->y, entry, "average", "accuracy has no average");
	if (f1 && !(average && (strcmp(average, "micro") == 0 || strcmp(average, "macro") == 0 ||
				strcmp(average, "weighted") == 0)))
		return yaml_error(src->y, entry, average ? "average" : NULL,
				  "f1 of a written text needs average: micro, macro or weighted");
	return 0;
}

static const char *const keys[] = { "average" };
const struct metric_options label_options = { keys, ARRAY_LEN(keys), label_load, NULL };
