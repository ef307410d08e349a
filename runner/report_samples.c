/* report_samples.c: the samples of a run beside those of its baseline, as reports show them.
 *
 * A task is looked at once: its samples pair by id, and what differs in the task's key metric, the first 0/1 metric that both
 * sides have, else the first that both have, is what broke or got better. The web page has every sample, within a bound:
 * of those that changed (in score or in text) and of those that did not, each at most PAIRS_MAX and PAIRS_BYTES, so that a
 * suite of ten million makes no page of gigabytes; it says how many it left out. */
#include "base/base.h"
#include "runner/report_samples.h"

#include <math.h>

enum { BROKEN_MAX = 50, SLICES_MAX = 10000, PAIRS_MAX = 60000, BINS = 10, PROMPT_MAX = 2000, ANSWER_MAX = 3000 };
#define PAIRS_BYTES ((size_t)24 << 20)

void report_samples_init(struct report_samples *r, bool pairs)
{
	*r = (struct report_samples){ .broken = json_array(), .slices = json_array(), .calibration = json_array() };
	if (pairs)
		r->pairs = json_pack("{s:[],s:i,s:i}", "tasks", "total", 0, "shown", 0);
}

void report_samples_release(struct report_samples *r)
{
	json_decref(r->broken);
	json_decref(r->slices);
	json_decref(r->calibration);
	json_decref(r->pairs);
	*r = (struct report_samples){ 0 };
}

/* ---- one task -------------------------------------------------------------------------------------------------------------- */

struct task_pair {
	struct task_result *base, *cand;     /* base NULL: none */
	const struct metric *key, *base_key; /* NULL: no metric of both */
	size_t key_at;                       /* its place among the candidate's */
	int64_t *match;                      /* for each of the candidate's samples the baseline's, or -1 */
	bool *met;                           /* for each of the baseline's, whether it has a partner */
};

static void find_key(struct task_pair *p)
{
	for (int pass = 0; pass < 2 && !p->key; pass++) /* 0/1 scores first */
		for (size_t m = 0; m < p->cand->n_metrics && !p->key; m++) {
			const struct metric *c = &p->cand->metrics[m], *b = NULL;

			if (pass == 0 && !c->binary)
				continue;
			if (p->base && !(b = task_result_metric(p->base, c->name, c->filter)))
				continue;
			p->key = c;
			p->base_key = b;
			p->key_at = m;
		}
}

static void pair_open(struct task_pair *p, struct task_result *base, struct task_result *cand)
{
	struct map ids;

	*p = (struct task_pair){ base, cand, NULL, NULL, 0, mem_array(cand->n + 1, sizeof(*p->match)), NULL };
	find_key(p);
	map_init(&ids);
	if (base) {
		p->met = mem_array(base->n + 1, sizeof(*p->met));
		for (size_t i = 0; i < base->n; i++)
			map_put(&ids, base->samples[i].id, strlen(base->samples[i].id), (int64_t)i);
	}
	for (size_t i = 0; i < cand->n; i++) {
		p->match[i] = -1;
		if (base && map_get(&ids, cand->samples[i].id, strlen(cand->samples[i].id), &p->match[i]))
			p->met[p->match[i]] = true;
	}
	map_release(&ids);
}

static void pair_close(struct task_pair *p)
{
	free(p->match);
	free(p->met);
}

/* At most max bytes, cut at the border of a code point; the end of a prompt has its question. */
static json_t *text_json(const char *s, size_t len, size_t max, bool tail)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	size_t at = 0, n = len;
	json_t *text;

	if (!s)
		return json_null();
	if (len > max) {
		n = max;
		at = tail ? len - max : 0;
		while (tail && at < len && ((unsigned char)s[at] & 0xc0) == 0x80) {
			at++;
			n--;
		}
		while (!tail && n && ((unsigned char)s[n] & 0xc0) == 0x80)
			n--;
	}
	if (at)
		buf_adds(&out, "\xe2\x80\xa6");
	buf_add(&out, s + at, n);
	if (at + n < len)
		buf_adds(&out, "\xe2\x80\xa6");
	text = json_new_text(buf_str(&out), out.len);
	buf_release(&out);
	return text;
}

static json_t *whole(const char *s)
{
	return s ? json_new_text(s, strlen(s)) : json_null();
}

/* ---- what broke ---------------------------------------------------------------------------------------------------------------- */

static int read_texts(const struct task_pair *p, int64_t b_at, int64_t c_at)
{
	int rc = b_at < 0 ? 0 : task_result_text(p->base, (size_t)b_at);

	return rc || c_at < 0 ? rc : task_result_text(p->cand, (size_t)c_at);
}

/* What it answered; of a file of scores, which has no texts, the score. */
static json_t *response(const struct sample *s, double score)
{
	char text[32];

	if (s->prompt || s->response)
		return json_new_text(s->response ? s->response : "", s->response ? s->response_len : 0);
	snprintf(text, sizeof(text), "%g", score);
	return json_string(text);
}

static int add_broken(struct report_samples *r, const struct task_pair *p)
{
	int rc = 0;

	if (!p->key || !p->base_key || !p->key->binary)
		return 0;
	for (size_t i = 0; i < p->cand->n && rc == 0; i++) {
		const struct sample *s = &p->cand->samples[i], *b;
		double before, after = p->key->scores[i];

		if (p->match[i] < 0)
			continue;
		before = p->base_key->scores[p->match[i]];
		b = &p->base->samples[p->match[i]];
		r->n_fixed += after > before;
		r->n_broken += after < before;
		if (after >= before || json_array_size(r->broken) >= BROKEN_MAX)
			continue;
		rc = read_texts(p, p->match[i], (int64_t)i);
		if (rc == 0)
			json_array_append_new(r->broken,
					      json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "task", p->cand->task, "id", s->id,
							"prompt", whole(s->prompt), "target", whole(s->target),
							"before", response(b, before), "after", response(s, after)));
	}
	return rc;
}

/* ---- slices and calibration ------------------------------------------------------------------------------------------------------ */

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static void add_slices(struct report_samples *r, const struct task_pair *p, const struct metric *m)
{
	const struct metric *b = p->base ? task_result_metric(p->base, m->name, m->filter) : NULL;
	json_t *now = slices_json(p->cand, m), *was = b ? slices_json(p->base, b) : NULL, *row;
	const char *slice;

	json_object_foreach(now, slice, row)
	{
		const json_t *before = json_object_get(was, slice);

		if (json_array_size(r->slices) >= SLICES_MAX)
			break;
		json_array_append_new(r->slices,
				      json_pack("{s:s,s:s,s:s,s:s,s:O,s:O,s:O,s:o,s:b}", "task", p->cand->task,
						"metric", m->name, "filter", m->filter, "slice", slice, "n",
						json_object_get(row, "n"), "value", json_object_get(row, "value"),
						"stderr", json_object_get(row, "stderr"), "baseline",
						real_or_null(json_get_real(before, "value", NAN)), "higher_is_better",
						m->higher_is_better));
	}
	json_decref(now);
	json_decref(was);
}

/* How sure the model was of its choice against how often it was right; NULL: not known. */
static json_t *bins_json(const struct task_result *t)
{
	const struct metric *sure = t ? task_result_metric(t, "confidence", NULL) : NULL;
	const struct metric *right = t ? task_result_metric(t, "acc", NULL) : NULL;
	double confidence[BINS] = { 0 }, correct[BINS] = { 0 };
	int64_t n[BINS] = { 0 };
	json_t *bins;

	if (!sure || !right || !right->binary)
		return NULL;
	for (size_t i = 0; i < t->n; i++) {
		int k = (int)(sure->scores[i] * BINS);

		k = k < 0 ? 0 : k >= BINS ? BINS - 1 : k;
		confidence[k] += sure->scores[i];
		correct[k] += right->scores[i];
		n[k]++;
	}
	bins = json_array();
	for (int k = 0; k < BINS; k++)
		if (n[k])
			json_array_append_new(bins, json_pack("[f,f,I]", confidence[k] / (double)n[k],
							      correct[k] / (double)n[k], (json_int_t)n[k]));
	return bins;
}

static void add_calibration(struct report_samples *r, const struct task_pair *p)
{
	json_t *bins = bins_json(p->cand), *base = bins_json(p->base);

	if (bins)
		json_array_append_new(r->calibration, json_pack("{s:s,s:o,s:o}", "task", p->cand->task, "bins", bins,
								"baseline", base ? base : json_null()));
	else
		json_decref(base);
}

/* ---- all of them, for the page ---------------------------------------------------------------------------------------------------- */

static json_t *scores_json(const struct task_pair *p, const struct task_result *of, size_t i)
{
	json_t *scores = json_array();

	for (size_t m = 0; m < p->cand->n_metrics; m++) {
		const struct metric *c = &p->cand->metrics[m];
		const struct metric *of_this = of == p->cand ? c : task_result_metric(of, c->name, c->filter);

		json_array_append_new(scores, of_this ? real_or_null(of_this->scores[i]) : json_null());
	}
	return scores;
}

static json_t *answer_json(const struct sample *s)
{
	if (!s)
		return json_null();
	return text_json(s->response ? s->response : "", s->response ? s->response_len : 0, ANSWER_MAX, false);
}

/* b, c: the sample of either side, with its place; NULL where a side does not have it. */
static json_t *row_json(const struct task_pair *p, const struct sample *b, size_t b_at, const struct sample *c,
			size_t c_at)
{
	const struct sample *s = c ? c : b;
	const char *prompt = s->prompt, *target = s->target;

	return json_pack("[o,o,o,o,o,o,o,o,[I,f]]", whole(s->id), whole(s->slice),
			 text_json(prompt, prompt ? strlen(prompt) : 0, PROMPT_MAX, true),
			 text_json(target, target ? strlen(target) : 0, ANSWER_MAX, false), answer_json(b),
			 answer_json(c), b ? scores_json(p, p->base, b_at) : json_null(),
			 c ? scores_json(p, p->cand, c_at) : json_null(), (json_int_t)s->tokens, s->seconds);
}

static size_t text_bytes(const struct sample *s)
{
	return s ? strlen(s->id) + (s->prompt ? strlen(s->prompt) : 0) + (s->target ? strlen(s->target) : 0) +
			       s->response_len
		 : 0;
}

static bool is_full(const struct report_samples *r, bool changed)
{
	return r->kept[changed].n >= PAIRS_MAX || r->kept[changed].bytes >= PAIRS_BYTES;
}

static int add_row(struct report_samples *r, json_t *rows, const struct task_pair *p, int64_t b_at, int64_t c_at)
{
	const struct sample *b = b_at < 0 ? NULL : &p->base->samples[b_at];
	const struct sample *c = c_at < 0 ? NULL : &p->cand->samples[c_at];
	size_t bytes;
	bool changed;
	int rc;

	json_object_set_new(r->pairs, "total", json_integer(json_get_int(r->pairs, "total", 0) + 1));
	if (is_full(r, false) && is_full(r, true))
		return 0;
	rc = read_texts(p, b_at, c_at);
	if (rc)
		return rc;
	bytes = text_bytes(b) + text_bytes(c);
	changed = b && c &&
		  ((p->base_key && p->base_key->scores[b_at] != p->key->scores[c_at]) ||
		   b->response_len != c->response_len ||
		   (b->response_len && memcmp(b->response, c->response, b->response_len) != 0));
	if (is_full(r, changed))
		return 0;
	r->kept[changed].n++;
	r->kept[changed].bytes += bytes;
	json_object_set_new(r->pairs, "shown", json_integer(r->kept[0].n + r->kept[1].n));
	json_array_append_new(rows, row_json(p, b, b ? (size_t)b_at : 0, c, c ? (size_t)c_at : 0));
	return 0;
}

/* Of perplexities and bits a sample's score is its log-likelihood: more is better, whichever way the metric runs. */
static bool score_up(const struct metric *m)
{
	return m->higher_is_better || m->aggregate == AGGREGATE_PERPLEXITY || m->aggregate == AGGREGATE_BITS;
}

static int add_pairs(struct report_samples *r, const struct task_pair *p)
{
	int rc = 0;
	json_t *rows = json_array(), *names = json_array(), *up = json_array();

	for (size_t m = 0; m < p->cand->n_metrics; m++) {
		const struct metric *c = &p->cand->metrics[m];
		bool plain = !strcmp(c->filter, "none");

		json_array_append_new(names, json_sprintf("%s%s%s", c->name, plain ? "" : ",", plain ? "" : c->filter));
		json_array_append_new(up, json_boolean(score_up(c)));
	}
	for (size_t i = 0; i < p->cand->n && rc == 0; i++)
		rc = add_row(r, rows, p, p->match[i], (int64_t)i);
	for (size_t i = 0; p->base && i < p->base->n && rc == 0; i++)
		if (!p->met[i])
			rc = add_row(r, rows, p, (int64_t)i, -1);
	json_array_append_new(json_object_get(r->pairs, "tasks"),
			      json_pack("{s:s,s:o,s:o,s:I,s:b,s:o}", "task", p->cand->task, "metrics", names, "up", up,
					"key", (json_int_t)p->key_at, "binary", p->key && p->key->binary, "rows",
					rows));
	return rc;
}

int report_samples_add(struct report_samples *r, struct task_result *base, struct task_result *cand)
{
	struct task_pair p;
	int rc;

	if (cand->n_members || !cand->n_metrics)
		return 0;
	pair_open(&p, base, cand);
	rc = add_broken(r, &p);
	for (size_t m = 0; m < cand->n_metrics; m++)
		add_slices(r, &p, &cand->metrics[m]);
	add_calibration(r, &p);
	if (rc == 0 && r->pairs)
		rc = add_pairs(r, &p);
	pair_close(&p);
	return rc;
}

void report_samples_set(const struct report_samples *r, json_t *report)
{
	json_object_set_new(report, "samples",
			    json_pack("{s:O,s:I,s:I}", "broken", r->broken, "n_broken", (json_int_t)r->n_broken,
				      "n_fixed", (json_int_t)r->n_fixed));
	json_object_set(report, "slices", r->slices);
	json_object_set(report, "calibration", r->calibration);
}
