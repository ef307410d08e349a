/* samples.c: results of a task as bytes, one line a sample, and back.
 *
 *	{"digest":…,"format":"assay-samples/1","metrics":[{"aggregate","binary","filter","higher_is_better",
 *	 "name",["parts":how many,]"stderr","value","weighted"}],"n":…,"n_total":…,"task":…
 *	 [,"members":[{"task","n"[,"times"]}]]}
 *	{["answers":{filter: text},]"doc_hash","id",["parts":[one list a metric, or null],]"prompt","prompt_hash","response",
 *	 "scores":[one a metric],["seconds",]["cluster","slice",]"target"[,"tokens"][,"weights":[one a metric]]}
 *
 * Canonical JSON, so equal results give equal bytes. A reader trusts nothing: counts must agree, ids be unique, scores
 * finite, 0/1 where the header says so, and each value is computed again from the scores and must be the one stated. */
#include "base/base.h"

#include <math.h>

#include "evals/evals_int.h"
#include "evals/stats_int.h"

enum { TEXT_MAX = 4096, METRICS_MAX = 64, SAMPLES_MAX = 50000000 };

/* ---- one sample -------------------------------------------------------------------------------------------------- */

/* At most TEXT_MAX bytes of s, cut between code points; the head, or (tail) the end, where a prompt has its question.
 * *kept (may be NULL): the bytes of what is given back. */
static char *cut_text(const char *s, size_t s_len, bool tail, size_t *kept)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT), whole = BUF_INIT(BUF_NOLIMIT);
	size_t len, at = 0, n;

	utf8_repair(&whole, s, s_len);
	len = n = whole.len;
	if (len > TEXT_MAX) {
		n = TEXT_MAX;
		at = tail ? len - TEXT_MAX : 0;
		while (at && at < len && ((unsigned char)whole.data[at] & 0xc0) == 0x80) {
			at++;
			n--;
		}
		while (!tail && n && ((unsigned char)whole.data[n] & 0xc0) == 0x80)
			n--;
		if (tail)
			buf_addf(&out, "[%zu bytes] ", at);
	}
	buf_add(&out, whole.len ? whole.data + at : "", n);
	if (len > TEXT_MAX && !tail)
		buf_addf(&out, " [%zu bytes more]", len - n);
	buf_release(&whole);
	if (kept)
		*kept = out.len;
	return buf_take(&out);
}

static void short_hash(char out[17], struct digest d)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, &d);
	memcpy(out, hex, 16);
	out[16] = 0;
}

void sample_fill(struct sample *s, const struct doc *d, const struct instance *in, const char *target,
		 const char *response, size_t response_len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	struct digest_ctx *c = digest_new();

	s->id = mem_str(d->id);
	s->prompt = cut_text(in->prompts[0].text, strlen(in->prompts[0].text), true, NULL);
	s->target = cut_text(target, strlen(target), false, NULL);
	s->response = cut_text(response, response_len, false, &s->response_len);
	json_add(&text, d->value);
	short_hash(s->doc_hash, digest_bytes(buf_str(&text), text.len));
	short_hash(s->target_hash, digest_bytes(target, strlen(target)));
	for (size_t i = 0; i < in->n_prompts; i++)
		digest_text(c, in->prompts[i].text);
	for (size_t i = 0; i < in->n_choices; i++)
		digest_text(c, in->continuations[i]);
	short_hash(s->prompt_hash, digest_end(c));
	buf_release(&text);
}

void sample_answer(struct sample *s, const char *filter, const struct buf *answer)
{
	size_t len;
	char *text = cut_text(buf_str(answer), answer->len, false, &len);

	if (!s->answers)
		s->answers = json_object();
	json_object_set_new(s->answers, filter, json_new_text(text, len));
	free(text);
}

void task_result_release(struct task_result *t)
{
	for (size_t i = 0; t->samples && i < t->n; i++) {
		free(t->samples[i].id);
		free(t->samples[i].prompt);
		free(t->samples[i].target);
		free(t->samples[i].response);
		free(t->samples[i].slice);
		free(t->samples[i].cluster);
		json_decref(t->samples[i].answers);
	}
	for (size_t i = 0; t->metrics && i < t->n_metrics; i++)
		metric_release(&t->metrics[i]);
	for (size_t i = 0; t->members && i < t->n_members; i++)
		free(t->members[i].task);
	free(t->members);
	samples_pack_close(t->pack);
	free(t->asked);
	free(t->samples);
	free(t->metrics);
	free(t->task);
	*t = (struct task_result){ 0 };
}

const struct metric *task_result_metric(const struct task_result *t, const char *name, const char *filter)
{
	for (size_t i = 0; i < t->n_metrics; i++)
		if (strcmp(t->metrics[i].name, name) == 0 && (!filter || strcmp(t->metrics[i].filter, filter) == 0))
			return &t->metrics[i];
	return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static json_t *real_or_null(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *members_json(const struct task_result *t)
{
	json_t *members = json_array();

	for (size_t i = 0; i < t->n_members; i++) {
		const struct task_member *m = &t->members[i];
		json_t *member =
			json_pack("{s:o, s:I}", "task", json_new_text(m->task, strlen(m->task)), "n", (json_int_t)m->n);

		if (m->times > 1)
			json_object_set_new(member, "times", json_integer((json_int_t)m->times));
		json_array_append_new(members, member);
	}
	return members;
}

/* Counts as whole numbers: shorter, and exact. */
static json_t *count_json(double x)
{
	return x == floor(x) && fabs(x) < 0x1p53 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *parts_json(const struct metric *m, size_t i)
{
	json_t *row = m->parts ? json_array() : json_null();

	for (size_t k = 0; m->parts && k < m->n_parts; k++)
		json_array_append_new(row, count_json(m->parts[i * m->n_parts + k]));
	return row;
}

json_t *samples_header(const struct task_result *t, const char *format)
{
	json_t *metrics = json_array(), *header;
	char below[17];

	for (size_t i = 0; i < t->n_metrics; i++) {
		const struct metric *m = &t->metrics[i];

		json_array_append_new(metrics,
				      json_pack("{s:o, s:o, s:s, s:b, s:b, s:o, s:o, s:b}", "name",
						json_new_text(m->name, strlen(m->name)), "filter",
						json_new_text(m->filter, strlen(m->filter)), "aggregate",
						aggregate_name(m->aggregate), "higher_is_better", m->higher_is_better,
						"binary", m->binary, "value", real_or_null(m->value), "stderr",
						real_or_null(m->stderr_), "weighted", m->weights != NULL));
		if (m->parts)
			json_object_set_new(json_array_get(metrics, i), "parts", json_integer((json_int_t)m->n_parts));
	}
	header = json_pack("{s:s, s:o, s:s, s:I, s:I, s:o}", "format", format, "task",
			   json_new_text(t->task, strlen(t->task)), "digest", t->digest, "n", (json_int_t)t->n,
			   "n_total", (json_int_t)t->n_total, "metrics", metrics);
	if (t->n_members)
		json_object_set_new(header, "members", members_json(t));
	if (*t->order) {
		snprintf(below, sizeof(below), "%016llx", (unsigned long long)t->asked_below);
		json_object_set_new(header, "asked_below", json_string(below));
		json_object_set_new(header, "order", json_string(t->order));
	}
	if (t->shard.n)
		json_object_set_new(header, "shard",
				    json_pack("{s:i, s:i, s:I, s:s}", "i", t->shard.i, "n", t->shard.n, "asked",
					      (json_int_t)t->shard.asked, "by", t->shard.by));
	return header;
}

json_t *sample_texts(const struct sample *s)
{
	json_t *line = json_object();
	const char *const names[] = { "prompt", "target" };
	const char *const texts[] = { s->prompt, s->target };

	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		if (texts[k])
			json_object_set_new(line, names[k], json_new_text(texts[k], strlen(texts[k])));
	if (s->response)
		json_object_set_new(line, "response", json_new_text(s->response, s->response_len));
	if (s->answers)
		json_object_set(line, "answers", s->answers);
	if (*s->doc_hash)
		json_object_set_new(line, "doc_hash", json_string(s->doc_hash));
	if (*s->prompt_hash)
		json_object_set_new(line, "prompt_hash", json_string(s->prompt_hash));
	if (*s->target_hash)
		json_object_set_new(line, "target_hash", json_string(s->target_hash));
	if (s->tokens)
		json_object_set_new(line, "tokens", json_integer(s->tokens));
	return line;
}

json_t *sample_json(const struct task_result *t, size_t i)
{
	const struct sample *s = &t->samples[i];
	json_t *line = sample_texts(s), *scores = json_array(), *weights = json_array(), *parts = json_array();
	const char *const names[] = { "id", "slice", "cluster" };
	const char *const texts[] = { s->id, s->slice, s->cluster };
	bool weighted = false, corpus = false;

	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		if (texts[k])
			json_object_set_new(line, names[k], json_new_text(texts[k], strlen(texts[k])));
	for (size_t k = 0; k < t->n_metrics; k++) {
		json_array_append_new(scores, real_or_null(t->metrics[k].scores[i]));
		json_array_append_new(weights,
				      t->metrics[k].weights ? json_real(t->metrics[k].weights[i]) : json_null());
		json_array_append_new(parts, parts_json(&t->metrics[k], i));
		weighted |= t->metrics[k].weights != NULL;
		corpus |= t->metrics[k].parts != NULL;
	}
	json_object_set_new(line, "scores", scores);
	if (t->timed)
		json_object_set_new(line, "seconds", json_real(s->seconds));
	if (weighted)
		json_object_set(line, "weights", weights);
	if (corpus)
		json_object_set(line, "parts", parts);
	json_decref(weights);
	json_decref(parts);
	return line;
}

void task_sample_write(const struct task_result *t, size_t i, struct buf *out)
{
	json_t *line = sample_json(t, i);

	json_add(out, line);
	buf_addc(out, '\n');
	json_decref(line);
}

void task_result_write(const struct task_result *t, struct buf *out)
{
	json_t *line = samples_header(t, "assay-samples/1");

	json_add(out, line);
	buf_addc(out, '\n');
	json_decref(line);
	for (size_t i = 0; i < t->n; i++)
		task_sample_write(t, i, out);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct samples_reader {
	struct task_result *t;
	const char *name;
	struct map ids;
	size_t rows; /* read */
	bool header;
};

static int reader_id(struct samples_reader *r, const json_t *id, size_t line, char **out)
{
	char number[32];
	const char *s = json_string_value(id);

	if (json_is_integer(id)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(id));
		s = number;
	}
	if (!s || !*s || strlen(s) > 1000)
		return err_set(ERR_INPUT, "%s:%zu: \"id\" must be text (1 to 1000 bytes) or a whole number", r->name,
			       line);
	if (!map_put(&r->ids, s, strlen(s), (int64_t)r->rows))
		return err_set(ERR_INPUT, "%s:%zu: the id \"%s\" is there twice", r->name, line, s);
	*out = mem_str(s);
	return 0;
}

static int header_metric(struct metric *m, const json_t *v, size_t n)
{
	const char *aggregate = json_get_text(v, "aggregate", NULL);

	m->name = mem_str(json_get_text(v, "name", NULL));
	m->filter = mem_str(json_get_text(v, "filter", NULL));
	if (!m->name || !m->filter || !aggregate || aggregate_parse(&m->aggregate, aggregate))
		return err_set(ERR_INPUT, "a metric needs name, filter and aggregate");
	if (!json_is_boolean(json_object_get(v, "higher_is_better")) || !json_is_boolean(json_object_get(v, "binary")))
		return err_set(ERR_INPUT, "metric %s: higher_is_better and binary must be given", m->name);
	m->higher_is_better = json_get_flag(v, "higher_is_better", true);
	m->binary = json_get_flag(v, "binary", false);
	m->value = json_get_real(v, "value", NAN);
	m->scores = mem_array(n, sizeof(double));
	if (json_get_flag(v, "weighted", false))
		m->weights = mem_array(n, sizeof(double));
	if (aggregate_is_corpus(m->aggregate)) {
		int64_t parts = json_get_int(v, "parts", 0);

		if (corpus_parts_check(m->aggregate, parts < 0 ? 0 : (size_t)parts))
			return err_context(ERR_INPUT, "metric %s", m->name);
		m->n_parts = (size_t)parts;
		m->parts = mem_array(n, mem_mul(m->n_parts, sizeof(double)));
	}
	return 0;
}

/* Of a group: which samples are whose. */
static int members_read(struct task_result *t, const json_t *members)
{
	const json_t *member;
	size_t i, sum = 0;

	if (!members)
		return 0;
	if (!json_is_array(members) || json_array_size(members) == 0 || json_array_size(members) > t->n)
		return err_set(ERR_INPUT, "members: a list of {task, n}");
	t->members = mem_array(json_array_size(members), sizeof(*t->members));
	json_array_foreach(members, i, member)
	{
		const char *task = json_get_text(member, "task", NULL);
		int64_t n = json_get_int(member, "n", 0), times = json_get_int(member, "times", 1);

		if (!task || n < 1 || (uint64_t)n > t->n - sum || times < 1 || times > SAMPLES_MAX)
			return err_set(ERR_INPUT, "members: entry %zu is not {task, n}, or they are too many", i + 1);
		t->members[t->n_members++] = (struct task_member){ mem_str(task), (size_t)n, (size_t)times };
		sum += (size_t)n;
	}
	return sum == t->n ? 0 : err_set(ERR_INPUT, "members: %zu of %zu samples are somebody's", sum, t->n);
}

static int order_read(struct task_result *t, const json_t *v)
{
	const char *order = json_get_text(v, "order", ""), *below = json_get_text(v, "asked_below", "");
	struct digest check;

	if (!*order && !*below)
		return 0;
	t->asked_below = strtoull(below, NULL, 16);
	if (digest_parse(&check, order) || strlen(below) != 16 || strspn(below, "0123456789abcdef") != 16)
		return err_set(ERR_INPUT, "order and asked_below are 64 and 16 hexadecimal digits");
	snprintf(t->order, sizeof(t->order), "%s", order);
	return 0;
}

static int shard_read(struct task_result *t, const json_t *v)
{
	int64_t i = json_get_int(v, "i", 0), n = json_get_int(v, "n", 0), asked = json_get_int(v, "asked", -1);

	if (!v)
		return 0;
	if (n < 1 || n > SHARDS_MAX || i < 1 || i > n || asked < 0 || (uint64_t)asked > t->n_total ||
	    (asked >= i ? (size_t)((asked - i) / n + 1) : 0) != t->n)
		return err_set(ERR_INPUT, "shard: {i, n, asked} is not what gives %zu samples", t->n);
	t->shard = (struct task_shard){ .i = (int)i, .n = (int)n, .asked = (size_t)asked };
	snprintf(t->shard.by, sizeof(t->shard.by), "%s", json_get_text(v, "by", ""));
	return 0;
}

int samples_header_read(struct task_result *t, const json_t *v, const char *format, size_t most)
{
	const char *digest = json_get_text(v, "digest", NULL), *task = json_get_text(v, "task", NULL);
	const json_t *metrics = json_object_get(v, "metrics"), *metric;
	int64_t n = json_get_int(v, "n", -1), total = json_get_int(v, "n_total", -1);
	const json_t *shard = json_object_get(v, "shard");
	struct digest check;
	size_t i;

	if (strcmp(json_get_text(v, "format", ""), format) != 0)
		return err_set(ERR_INPUT, "the first line is not the header of %s", format);
	if (!task || !*task || !digest || (*digest && digest_parse(&check, digest)))
		return err_set(ERR_INPUT, "the header needs task and digest");
	if (n < (shard ? 0 : 1) || n > SAMPLES_MAX || total < n || (uint64_t)n > most)
		return err_set(ERR_INPUT, "the header says %lld of %lld samples; the file has %zu", (long long)n,
			       (long long)total, most);
	if (!json_is_array(metrics) || json_array_size(metrics) == 0 || json_array_size(metrics) > METRICS_MAX)
		return err_set(ERR_INPUT, "the header needs 1 to %d metrics", METRICS_MAX);
	t->task = mem_str(task);
	snprintf(t->digest, sizeof(t->digest), "%s", digest);
	t->n_total = (size_t)total;
	t->samples = mem_array((size_t)n, sizeof(*t->samples));
	t->n = (size_t)n;
	t->metrics = mem_array(json_array_size(metrics), sizeof(*t->metrics));
	json_array_foreach(metrics, i, metric)
	{
		t->n_metrics++;
		if (header_metric(&t->metrics[i], metric, (size_t)n))
			return ERR_INPUT;
	}
	return shard_read(t, shard) || order_read(t, v) ? ERR_INPUT : members_read(t, json_object_get(v, "members"));
}

/* of_group: 0 is the weight of a sample whose task has no such metric. */
static int score_read(struct metric *m, size_t row, const json_t *score, const json_t *weight, bool of_group)
{
	double x = json_number_value(score), w = json_number_value(weight);

	if (!json_is_number(score) || !isfinite(x))
		return err_set(ERR_INPUT, "the score of %s is not a number", m->name);
	if (m->binary && x != 0 && x != 1)
		return err_set(ERR_INPUT, "the score of %s is neither 0 nor 1", m->name);
	m->scores[row] = x;
	if (!m->weights)
		return 0;
	if (!json_is_number(weight) || !isfinite(w) || w < 0 || (w == 0 && !of_group))
		return err_set(ERR_INPUT, "the weight of %s is not a positive number", m->name);
	m->weights[row] = w;
	return 0;
}

static int parts_read(struct metric *m, size_t row, const json_t *parts)
{
	double *at = m->parts + row * m->n_parts;

	if (!json_is_array(parts) || json_array_size(parts) != m->n_parts)
		return err_set(ERR_INPUT, "%s needs %zu parts", m->name, m->n_parts);
	for (size_t k = 0; k < m->n_parts; k++) {
		if (!json_is_number(json_array_get(parts, k)))
			return err_set(ERR_INPUT, "a part of %s is not a number", m->name);
		at[k] = json_number_value(json_array_get(parts, k));
	}
	return corpus_row_check(m->aggregate, at, m->n_parts);
}

void sample_texts_read(struct sample *s, const json_t *v)
{
	const json_t *response = json_object_get(v, "response"), *answers = json_object_get(v, "answers");
	int64_t tokens = json_get_int(v, "tokens", 0);

	s->prompt = mem_str(json_get_text(v, "prompt", NULL));
	s->target = mem_str(json_get_text(v, "target", NULL));
	s->response_len = json_string_length(response);
	s->response = json_is_string(response) ? mem_strn(json_string_value(response), s->response_len) : NULL;
	s->answers = json_is_object(answers) ? json_incref((json_t *)(uintptr_t)answers) : NULL;
	snprintf(s->doc_hash, sizeof(s->doc_hash), "%s", json_get_text(v, "doc_hash", ""));
	snprintf(s->prompt_hash, sizeof(s->prompt_hash), "%s", json_get_text(v, "prompt_hash", ""));
	snprintf(s->target_hash, sizeof(s->target_hash), "%s", json_get_text(v, "target_hash", ""));
	s->tokens = tokens > 0 ? tokens : 0;
}

int sample_scores_read(struct task_result *t, size_t slot, const json_t *v)
{
	const json_t *scores = json_object_get(v, "scores"), *weights = json_object_get(v, "weights");
	const json_t *parts = json_object_get(v, "parts");

	if (!json_is_array(scores) || json_array_size(scores) != t->n_metrics)
		return err_set(ERR_INPUT, "\"scores\" must have one number for each of %zu metrics", t->n_metrics);
	for (size_t k = 0; k < t->n_metrics; k++)
		if (score_read(&t->metrics[k], slot, json_array_get(scores, k), json_array_get(weights, k),
			       t->n_members > 0) ||
		    (t->metrics[k].parts && parts_read(&t->metrics[k], slot, json_array_get(parts, k))))
			return ERR_INPUT;
	return 0;
}

static int sample_read(struct samples_reader *r, const json_t *v, size_t line)
{
	struct task_result *t = r->t;
	struct sample *s;

	if (r->rows == t->n)
		return err_set(ERR_INPUT, "%s:%zu: more samples than the header says (%zu)", r->name, line, t->n);
	s = &t->samples[r->rows];
	if (reader_id(r, json_object_get(v, "id"), line, &s->id))
		return ERR_INPUT;
	sample_texts_read(s, v);
	s->slice = mem_str(json_get_text(v, "slice", NULL));
	s->cluster = mem_str(json_get_text(v, "cluster", NULL));
	if (sample_scores_read(t, r->rows, v))
		return err_context(ERR_INPUT, "%s:%zu", r->name, line);
	r->rows++;
	return 0;
}

int samples_close(struct task_result *t, const char *name, bool claimed)
{

	for (size_t k = 0; k < t->n_metrics; k++) {
		struct metric *m = &t->metrics[k];
		double said = m->value;

		metric_close(m, t->n);
		if (claimed && isfinite(m->value) && !(fabs(said - m->value) <= 1e-9 * (1 + fabs(m->value))))
			return err_set(ERR_INPUT, "%s: the header gives %s as %.12g, but the samples make it %.12g",
				       name, m->name, said, m->value);
	}
	if (t->n_members)
		group_close(t);
	return 0;
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 0;

	for (const char *p = text, *end = text + len; p < end; n++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		p = nl ? nl + 1 : end;
	}
	return n;
}

struct header_arg {
	struct samples_reader *reader;
	size_t lines;
};

static int result_line(json_t *v, size_t line, void *arg)
{
	struct header_arg *h = arg;
	struct samples_reader *r = h->reader;

	if (!json_is_object(v))
		return err_set(ERR_INPUT, "%s:%zu: expected a JSON object", r->name, line);
	if (r->header)
		return sample_read(r, v, line);
	r->header = true;
	return samples_header_read(r->t, v, "assay-samples/1", h->lines)
		       ? err_context(ERR_INPUT, "%s:%zu", r->name, line)
		       : 0;
}

int task_result_read(struct task_result *out, const char *text, size_t len, const char *name)
{
	struct task_result t = { 0 };
	struct samples_reader r = { .t = &t, .name = name };
	struct header_arg h = { &r, count_lines(text, len) };
	int rc;

	map_init(&r.ids);
	rc = json_lines(text, len, name, result_line, &h);
	if (!rc && !r.header)
		rc = err_set(ERR_INPUT, "%s: empty: no header of assay-samples/1", name);
	if (!rc && r.rows != t.n)
		rc = err_set(ERR_INPUT, "%s: cut short: %zu of %zu samples", name, r.rows, t.n);
	rc = rc ? rc : samples_close(&t, name, true);
	map_release(&r.ids);
	if (rc)
		task_result_release(&t);
	else
		*out = t;
	return rc;
}

/* A line that begins a task: as header_json() writes it, its keys in order. No sample begins so. */
static bool begins_task(const char *line, size_t len)
{
	static const char first[] = "{\"digest\":\"", format[] = "\"format\":\"assay-samples/1\"";

	return len > sizeof(first) && memcmp(line, first, sizeof(first) - 1) == 0 &&
	       memmem(line, len < 256 ? len : 256, format, sizeof(format) - 1);
}

int task_results_read(struct task_result **out, size_t *n, const char *text, size_t len, const char *name)
{
	const char *end = text + len, *from = text, *line = text;
	size_t cap = 0;
	int rc = 0;

	*out = NULL;
	*n = 0;
	if (!begins_task(text, len))
		return err_set(ERR_NOTFOUND, "%s: the first line is no header of assay-samples/1", name);
	while (from < end && !rc) {
		do {
			const char *nl = memchr(line, '\n', (size_t)(end - line));

			line = nl ? nl + 1 : end;
		} while (line < end && !begins_task(line, (size_t)(end - line)));
		MEM_GROW(*out, *n, cap);
		rc = task_result_read(&(*out)[*n], from, (size_t)(line - from), name);
		*n += rc == 0;
		from = line;
	}
	return rc;
}
