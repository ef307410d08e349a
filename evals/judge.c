/* judge.c: judge: another model says how good an answer is.
 *
 *	metric_list:
 *	  - metric: judge
 *	    location: team-judge            # a named location; a commit cannot say where that is
 *	    prompt: |
 *	      Question: {{ question }}
 *	      Right answer: {{ target }}
 *	      Answer: {{ response }}
 *	      How good is the answer? End with "Score: N", N from 1 (useless) to 5 (perfect).
 *	    pattern: "Score: ([0-9.]+)"     # of Python's re; the last match counts, of several groups the first that has text
 *	    range: [1, 5]                   # what the number may be; a sample's score is its place in it, from 0 to 1
 *	    max_tokens: 256
 *	    fallback: 1                     # the number for an answer that has none in the range; absent: an error
 *
 * The template sees the document's columns, and `response` (behind the filter), `target` and `prompt` (what was asked) instead
 * of columns of these names. The judge is asked greedily. It costs money, so it is off unless the one who starts the
 * evaluation turns it on; the runner keeps its answers by their content (runner/jury.c). Texts of one block go together. */
#include "base/base.h"

#include <math.h>
#include <stdlib.h>

#include "evals/metric_int.h"

struct judge_options {
	char *location;
	struct template *prompt;
	struct pyregex *pattern;
	double low, high, fallback; /* fallback NaN: none */
	int max_tokens;
};

/* ---- options ------------------------------------------------------------------------------------------------------ */

static int range_load(struct judge_options *j, const struct source *src, json_t *entry)
{
	json_t *range = json_object_get(entry, "range");
	const json_t *lo = json_array_get(range, 0), *hi = json_array_get(range, 1);

	j->low = 0;
	j->high = 1;
	if (!range)
		return 0;
	if (json_array_size(range) != 2 || !json_is_number(lo) || !json_is_number(hi) ||
	    !(json_number_value(lo) < json_number_value(hi)))
		return yaml_error(src->y, entry, "range", "range: two numbers, [lowest, highest]");
	j->low = json_number_value(lo);
	j->high = json_number_value(hi);
	return 0;
}

static int fallback_load(struct judge_options *j, const struct source *src, json_t *entry)
{
	int rc = 0;

	j->fallback = NAN;
	if (json_object_get(entry, "fallback"))
		rc = yaml_get_real(src->y, entry, "fallback", j->low, j->high, &j->fallback);
	return rc;
}

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct judge_options *j = m->options = mem_alloc(sizeof(*j));
	const char *location = NULL, *prompt = NULL, *pattern = NULL;
	int64_t max_tokens = 256;
	int rc = yaml_get_text(src->y, entry, "location", &location);

	rc = rc ? rc : yaml_get_text(src->y, entry, "prompt", &prompt);
	rc = rc ? rc : yaml_get_text(src->y, entry, "pattern", &pattern);
	rc = rc ? rc : yaml_get_int(src->y, entry, "max_tokens", 1, 1 << 20, &max_tokens);
	rc = rc ? rc : range_load(j, src, entry);
	rc = rc ? rc : fallback_load(j, src, entry);
	if (rc)
		return rc;
	if (!location || !*location || !prompt || !*prompt || !pattern || !*pattern)
		return yaml_error(
			src->y, entry, NULL,
			"judge needs location (who judges), prompt (a template) and pattern (where the number "
			"stands in what the judge says)");
	if (template_parse(&j->prompt, prompt, strlen(prompt), "prompt"))
		return yaml_error(src->y, entry, "prompt", "%s", err_text());
	if (pyregex_compile(&j->pattern, pattern))
		return yaml_error(src->y, entry, "pattern", "%s", err_text());
	j->location = mem_str(location);
	j->max_tokens = (int)max_tokens;
	return 0;
}

static void options_free(void *options)
{
	struct judge_options *j = options;

	template_free(j->prompt);
	pyregex_free(j->pattern);
	free(j->location);
	free(j);
}

static const char *const keys[] = { "location", "prompt", "pattern", "range", "max_tokens", "fallback" };
const struct metric_options judge_options = { keys, ARRAY_LEN(keys), options_load, options_free };

/* ---- a block ------------------------------------------------------------------------------------------------------ */

int score_judge(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	(void)o;
	(void)out;
	return err_set(ERR_BUG, "judge: a sample was scored alone");
}

bool metric_is_judge(const struct task_metric *m)
{
	return m->kind->score == score_judge;
}

int judge_add(struct judged *j, const struct task_metric *m, const struct outcome *o, const struct doc *d, size_t slot,
	      size_t metric)
{
	const struct judge_options *options = m->options;
	json_t *context = json_copy(d->value);
	struct buf text = BUF_INIT((size_t)64 << 20), response = BUF_INIT(BUF_NOLIMIT);
	const char *asked = o->in->n_prompts && o->in->prompts[0].text ? o->in->prompts[0].text : "";
	int rc;

	utf8_repair(&response, o->text, o->len);
	json_object_set_new(context, "response", json_new_text(buf_str(&response), response.len));
	json_object_set_new(context, "target", json_new_text(o->in->targets[0], strlen(o->in->targets[0])));
	json_object_set_new(context, "prompt", json_new_text(asked, strlen(asked)));
	rc = template_render(options->prompt, context, &text);
	if (rc)
		err_context(rc, "judge: prompt");
	MEM_GROW(j->items, j->n, j->cap);
	j->items[j->n++] = (struct judged_item){ m, d->id, buf_take(&text), slot, metric };
	json_decref(context);
	buf_release(&response);
	return rc;
}

/* The number in what the judge said. */
static int read_number(double *out, const struct judge_options *j, const struct generated *said)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT), number = BUF_INIT(BUF_NOLIMIT);
	enum pyregex_found found;
	char *end = NULL;
	int rc;

	utf8_repair(&text, said->text, said->len);
	rc = pyregex_find(j->pattern, &text, -1, &number, &found);
	*out = !rc && found == PYREGEX_TEXT ? strtod(buf_str(&number), &end) : NAN;
	if (!rc && (!end || end == buf_str(&number) || *end || !(*out >= j->low && *out <= j->high))) {
		*out = j->fallback;
		if (isnan(j->fallback))
			rc = err_set(ERR_INPUT,
				     "location %s gives no number from %g to %g where the pattern looks: \"%.*s\"",
				     j->location, j->low, j->high, (int)(text.len < 200 ? text.len : 200),
				     buf_str(&text));
		if (rc)
			err_hint(rc,
				 "mend prompt or pattern of the metric; or give it a fallback: the number of such an "
				 "answer");
	}
	buf_release(&text);
	buf_release(&number);
	return rc;
}

static void watch_nothing(size_t n_done, void *arg)
{
	(void)n_done, (void)arg;
}

/* All of one metric. */
static int ask_one(const struct judged *j, const struct jury *judge, const struct task_metric *m, struct task_result *r)
{
	static const char *const none[] = { NULL };
	const struct scorer_watch watch = { watch_nothing, NULL };
	const struct judge_options *options = m->options;
	struct generate_until *reqs = mem_array(j->n, sizeof(*reqs));
	struct generated *said = mem_array(j->n, sizeof(*said));
	const struct judged_item **of = mem_array(j->n, sizeof(const struct judged_item *));
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < j->n; i++)
		if (j->items[i].m == m) {
			of[n] = &j->items[i];
			reqs[n++] = (struct generate_until){ .prompt = j->items[i].prompt,
							     .until = none,
							     .max_tokens = options->max_tokens };
		}
	rc = judge->ask(judge->self, options->location, reqs, n, said, &watch);
	if (rc)
		err_context(rc, "task %s, judge", r->task);
	for (size_t i = 0; i < n; i++) {
		double number = 0;

		if (!rc && read_number(&number, options, &said[i]))
			rc = err_context(ERR_INPUT, "task %s, sample %s, judge", r->task, of[i]->id);
		if (!rc)
			r->metrics[of[i]->metric].scores[of[i]->slot] =
				(number - options->low) / (options->high - options->low);
		free(said[i].text);
	}
	free(reqs);
	free(said);
	free(of);
	return rc;
}

int judge_flush(struct judged *j, const struct jury *judge, const struct task *t, struct task_result *r)
{
	int rc = 0;

	for (size_t k = 0; k < t->n_metrics && j->n && !rc; k++)
		if (metric_is_judge(&t->metrics[k]))
			rc = ask_one(j, judge, &t->metrics[k], r);
	judge_clear(j);
	return rc;
}

void judge_clear(struct judged *j)
{
	for (size_t i = 0; i < j->n; i++)
		free(j->items[i].prompt);
	free(j->items);
	*j = (struct judged){ 0 };
}

int judge_allowed(const struct suite *s, const struct jury *judge)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->tasks[i].n_metrics; k++)
			if (!judge && metric_is_judge(&s->tasks[i].metrics[k])) {
				const struct judge_options *j = s->tasks[i].metrics[k].options;

				err_set(ERR_ENV, "task %s is scored by a judge (location %s), and judges are off",
					s->tasks[i].name, j->location);
				return err_hint(ERR_ENV,
						"--judge turns them on: they are asked over the network, and may "
						"cost money");
			}
	return 0;
}
