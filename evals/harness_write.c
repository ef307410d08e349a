/* harness_write.c: results of ours in the form of lm-evaluation-harness, for the tools that read its output, and for
 * harness.c.
 *
 *	results_DATE.json          {"results","groups","group_subtasks","configs","versions","n-shot","higher_is_better",
 *	                            "n-samples","config","task_hashes",…}
 *	samples_TASK_DATE.jsonl    a row for every filter and document, the documents of one filter behind each other
 *
 * The one rule: a row has a metric only if its value can be made again from the rows. So each is written in the shape in
 * which the harness aggregates it (harness.c has the list). BLEU, chrF and TER, which are made of texts, are scored again
 * from the texts that are kept: where these give other counts (they were cut, there are several targets, or the task had
 * options), the value stands in the results alone, with a warning. The brier score is the exception in shape: a number,
 * since the probabilities are not kept.
 *
 * What is not known is not made up. "doc" and the choices' own requests are not kept: rows have neither; prompts are as
 * long as samples.c keeps them. "n-shot" and a task's own version are not stored with samples: "n-shot" is empty, a
 * version is the digest of the questions. The hashes are ours, of 16 digits. "assay" in a row has what the harness has no
 * place for: {"id"[,"slice","cluster"]}; "doc_id" is the id where all ids are whole numbers, else the row. */
#include "base/base.h"

#include <math.h>

#include "evals/metric_int.h"

#define TEXT_MAX ((size_t)4 << 30)

enum { FOLDER_MAX = 120, FILE_NAME_MAX = 255 }; /* bytes; each bad one of a folder's becomes two */

/* ---- one value of one sample ------------------------------------------------------------------------------------- */

static bool is_text_metric(const struct metric *m)
{
	return m->aggregate == AGGREGATE_BLEU || m->aggregate == AGGREGATE_CHRF || m->aggregate == AGGREGATE_TER;
}

static json_t *text_of(const char *s, size_t len)
{
	return json_new_text(s ? s : "", s ? len : 0);
}

/* What the filter made of the responses; NULL: nothing is kept. */
static json_t *answer_json(const struct sample *s, const char *filter)
{
	json_t *answer = json_object_get(s->answers, filter);

	if (answer)
		return json_incref(answer);
	return s->response ? text_of(s->response, s->response_len) : NULL;
}

static json_t *value_json(const struct metric *m, const struct sample *s, size_t i)
{
	if (is_text_metric(m))
		return json_pack("[o,o]", text_of(s->target, s->target ? strlen(s->target) : 0),
				 answer_json(s, m->filter));
	if (m->parts)
		return json_pack("[I,I]", (json_int_t)m->parts[2 * i], (json_int_t)m->parts[2 * i + 1]);
	if (m->weights)
		return json_pack("[f,f]", m->scores[i], m->weights[i]);
	return json_real(m->scores[i]);
}

/* ---- which metrics the rows can have ----------------------------------------------------------------------------- */

/* Do the texts of sample i give the parts that are stored? */
static bool text_gives(const struct metric *m, const struct task_metric *kind, struct metric *again,
		       const struct sample *s, size_t i)
{
	json_t *answer = answer_json(s, m->filter);
	struct instance in = { .targets = (char **)(uintptr_t)&s->target, .n_targets = 1 };
	struct outcome o = { .in = &in, .text = json_string_value(answer), .len = json_string_length(answer) };
	bool same = s->target && o.text && metric_score(kind, &o, again, i) == 0;

	json_decref(answer);
	return same &&
	       memcmp(again->parts + i * m->n_parts, m->parts + i * m->n_parts, m->n_parts * sizeof(double)) == 0;
}

static bool texts_give(const struct metric *m, const struct task_result *t)
{
	struct task_metric *kind = NULL;
	struct metric again = { .n_parts = m->n_parts };
	size_t n_kind = 0;
	bool all = harness_metric(&kind, &n_kind, m->name) == 0 && kind->n_parts == m->n_parts;

	again.scores = mem_array(t->n, sizeof(double));
	again.parts = mem_array(t->n, mem_mul(m->n_parts, sizeof(double)));
	for (size_t i = 0; i < t->n && all; i++)
		all = text_gives(m, kind, &again, &t->samples[i], i);
	err_clear();
	metric_release(&again);
	metrics_free(kind, n_kind);
	return all;
}

/* A row has these already. */
static bool is_member(const char *name)
{
	static const char *const members[] = { "doc_id",         "target",      "arguments", "resps",
					       "filtered_resps", "filter",      "metrics",   "doc_hash",
					       "prompt_hash",    "target_hash", "assay" };

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (strcmp(members[i], name) == 0)
			return true;
	return false;
}

/* A label that no choice has ever had is none that could be read back. */
static bool has_labels(const struct metric *m, size_t n)
{
	bool all = m->parts && m->n_parts == 2;

	for (size_t i = 0; i < n && all; i++)
		all = corpus_row_check(m->aggregate, m->parts + 2 * i, 2) == 0;
	err_clear();
	return all;
}

/* By what harness.c takes a column for, and with it whoever reads the harness's rows. */
static bool is_writable(const struct metric *m, const struct task_result *t)
{
	bool perplexity = m->aggregate == AGGREGATE_PERPLEXITY, labels = has_labels(m, t->n);

	if (is_member(m->name))
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (!isfinite(m->scores[i]) || (m->weights && !(m->weights[i] > 0)))
			return false;
	switch (m->aggregate) {
	case AGGREGATE_MEAN:
		return !m->weights && strcmp(m->name, "perplexity") != 0;
	case AGGREGATE_PERPLEXITY:
	case AGGREGATE_BITS:
		return m->weights ? (strcmp(m->name, "bits_per_byte") == 0) != perplexity
				  : perplexity && strcmp(m->name, "perplexity") == 0;
	case AGGREGATE_F1:
		return labels && strcmp(m->name, "f1") == 0;
	case AGGREGATE_MCC:
		return labels && strcmp(m->name, "mcc") == 0;
	case AGGREGATE_BLEU:
	case AGGREGATE_CHRF:
	case AGGREGATE_TER:
		return texts_give(m, t);
	default:
		return false;
	}
}

static bool *writable_metrics(const struct task_result *t)
{
	bool *writable = mem_array(t->n_metrics + 1, sizeof(*writable));

	for (size_t k = 0; k < t->n_metrics; k++) {
		writable[k] = is_writable(&t->metrics[k], t);
		if (!writable[k])
			log_warn("%s,%s of task %s stands in the results only: the harness's rows have no form for its "
				 "samples, or their texts were not kept whole",
				 t->metrics[k].name, t->metrics[k].filter, t->task);
	}
	return writable;
}

/* ---- the samples of one task ------------------------------------------------------------------------------------- */

static bool is_number(const char *id)
{
	size_t n = strspn(id, "0123456789");

	return n && n <= 18 && !id[n] && (*id != '0' || n == 1);
}

static json_t *row_assay(const struct sample *s)
{
	json_t *own = json_pack("{s:o}", "id", text_of(s->id, strlen(s->id)));

	if (s->slice)
		json_object_set_new(own, "slice", text_of(s->slice, strlen(s->slice)));
	if (s->cluster)
		json_object_set_new(own, "cluster", text_of(s->cluster, strlen(s->cluster)));
	return own;
}

/* The members that every row has; the metrics come behind them. */
static json_t *row_json(const struct sample *s, const char *filter, json_int_t doc_id)
{
	json_t *answer = answer_json(s, filter), *resps = json_array(), *filtered = json_array();

	if (s->response)
		json_array_append_new(resps, json_pack("[o]", text_of(s->response, s->response_len)));
	if (answer)
		json_array_append_new(filtered, answer);
	return json_pack("{s:I,s:o,s:{s:{s:o}},s:o,s:o,s:s,s:[],s:s,s:s,s:s,s:o}", "doc_id", doc_id, "target",
			 text_of(s->target, s->target ? strlen(s->target) : 0), "arguments", "gen_args_0", "arg_0",
			 text_of(s->prompt, s->prompt ? strlen(s->prompt) : 0), "resps", resps, "filtered_resps",
			 filtered, "filter", filter, "metrics", "doc_hash", s->doc_hash, "prompt_hash", s->prompt_hash,
			 "target_hash", s->target_hash, "assay", row_assay(s));
}

static void filter_write(const struct task_result *t, const bool *writable, const char *filter, bool numbers,
			 struct buf *out, struct digest_ctx *hashes)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct sample *s = &t->samples[i];
		json_t *row = row_json(s, filter, numbers ? strtoll(s->id, NULL, 10) : (json_int_t)i);

		for (size_t k = 0; k < t->n_metrics; k++) {
			const struct metric *m = &t->metrics[k];

			if (!writable[k] || strcmp(m->filter, filter) != 0)
				continue;
			json_array_append_new(json_object_get(row, "metrics"), text_of(m->name, strlen(m->name)));
			json_object_set_new(row, m->name, value_json(m, s, i));
		}
		json_add(out, row);
		buf_addc(out, '\n');
		digest_add(hashes, s->doc_hash, strlen(s->doc_hash));
		digest_add(hashes, s->prompt_hash, strlen(s->prompt_hash));
		digest_add(hashes, s->target_hash, strlen(s->target_hash));
		json_decref(row);
	}
}

/* hash: of all rows' hashes, one behind the other, as "task_hashes" has it. */
static void samples_write(const struct task_result *t, struct buf *out, char hash[DIGEST_HEX])
{
	struct digest_ctx *hashes = digest_new();
	bool *writable = writable_metrics(t), numbers = true;
	struct digest d;

	for (size_t i = 0; i < t->n; i++)
		numbers = numbers && is_number(t->samples[i].id);
	for (size_t k = 0; k < t->n_metrics; k++) {
		bool seen = false;

		for (size_t before = 0; before < k; before++)
			seen = seen || strcmp(t->metrics[before].filter, t->metrics[k].filter) == 0;
		if (!seen)
			filter_write(t, writable, t->metrics[k].filter, numbers, out, hashes);
	}
	d = digest_end(hashes);
	digest_hex(hash, &d);
	free(writable);
}

/* ---- the results ------------------------------------------------------------------------------------------------- */

static void set_number(json_t *o, const char *name, const char *suffix, const char *filter, double x, json_t *otherwise)
{
	char *key = mem_printf("%s%s,%s", name, suffix, filter);

	json_object_set_new(o, key, isfinite(x) ? json_real(x) : json_incref(otherwise));
	json_decref(otherwise);
	free(key);
}

static json_t *values_json(const struct task_result *t)
{
	json_t *values = json_pack("{s:s,s:s,s:I}", "name", t->task, "alias", t->task, "sample_len", (json_int_t)t->n);

	for (size_t k = 0; k < t->n_metrics; k++) {
		const struct metric *m = &t->metrics[k];

		set_number(values, m->name, "", m->filter, m->value, json_null());
		set_number(values, m->name, "_stderr", m->filter, m->stderr_, json_string("N/A"));
	}
	return values;
}

static json_t *directions_json(const struct task_result *t)
{
	json_t *o = json_object();

	for (size_t k = 0; k < t->n_metrics; k++)
		json_object_set_new(o, t->metrics[k].name, json_boolean(t->metrics[k].higher_is_better));
	return o;
}

static void set_flag(json_t *o, const struct metric *m, bool is)
{
	char *key = mem_printf("%s,%s", m->name, m->filter);

	json_object_set_new(o, key, json_boolean(is));
	free(key);
}

static void add_group(json_t *doc, const struct task_result *t)
{
	json_t *below = json_array(), *by_size = json_object();

	for (size_t i = 0; i < t->n_members; i++)
		for (size_t k = 0; k < t->members[i].times; k++)
			json_array_append_new(below, text_of(t->members[i].task, strlen(t->members[i].task)));
	for (size_t k = 0; k < t->n_metrics; k++)
		set_flag(by_size, &t->metrics[k], group_is_by_size(t, &t->metrics[k]));
	json_object_set_new(json_object_get(doc, "group_subtasks"), t->task, below);
	json_object_set_new(json_object_get(doc, "groups"), t->task, values_json(t));
	json_object_set_new(json_object_get(doc, "assay_groups"), t->task,
			    json_pack("{s:s,s:o}", "digest", t->digest, "by_size", by_size));
}

static void add_task(json_t *doc, const struct task_result *t, const char *hash)
{
	json_object_set_new(json_object_get(doc, "group_subtasks"), t->task, json_array());
	json_object_set_new(json_object_get(doc, "configs"), t->task,
			    json_pack("{s:s,s:{s:{s:s}}}", "task", t->task, "metadata", "assay", "digest", t->digest));
	json_object_set_new(json_object_get(doc, "versions"), t->task, json_sprintf("assay:%.12s", t->digest));
	json_object_set_new(json_object_get(doc, "n-samples"), t->task,
			    json_pack("{s:I,s:I}", "original", (json_int_t)t->n_total, "effective", (json_int_t)t->n));
	json_object_set_new(json_object_get(doc, "task_hashes"), t->task, json_string(hash));
}

/* A name as a part of a file's, as the harness has it: re.sub(r'["<>:/|\\?*\[\]]+', "__", name). But dots at its beginning, which
 * would hide the folder or lead out of it, are "_", and so is no name at all. Of a long one (a path, mostly) the end is kept. */
static char *sanitized(const char *name)
{
	static const char bad[] = "\"<>:/|\\?*[]";
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	size_t len = strlen(name);

	if (len > FOLDER_MAX) {
		name += len - FOLDER_MAX;
		while ((*name & 0xc0) == 0x80) /* the rest of a code point */
			name++;
	}
	if (!*name)
		buf_addc(&out, '_');
	for (; *name == '.'; name++)
		buf_addc(&out, '_');
	while (*name) {
		size_t n = strcspn(name, bad);

		buf_add(&out, name, n);
		name += n;
		if (*name)
			buf_adds(&out, "__");
		name += strspn(name, bad);
	}
	return buf_take(&out);
}

static json_t *results_json(const struct harness_target *to, const char *folder)
{
	json_t *doc = json_object();
	static const char *const parts[] = { "results",  "groups", "group_subtasks",   "configs",
					     "versions", "n-shot", "higher_is_better", "n-samples" };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		json_object_set_new(doc, parts[i], json_object());
	json_object_set_new(
		doc, "config",
		json_pack("{s:s,s:o}", "model", "assay", "model_args", text_of(to->model, strlen(to->model))));
	json_object_set_new(doc, "date", json_real((double)to->unix_ns / 1e9));
	json_object_set_new(doc, "task_hashes", json_object());
	json_object_set_new(doc, "model_source", json_string("assay"));
	json_object_set_new(doc, "model_name", text_of(to->model, strlen(to->model)));
	json_object_set_new(doc, "model_name_sanitized", text_of(folder, strlen(folder)));
	json_object_set_new(doc, "assay_groups", json_object());
	json_object_set_new(doc, "assay_version", json_string(ASSAY_VERSION));
	return doc;
}

/* datetime.isoformat() with "-" for ":". */
static char *date_of(int64_t unix_ns)
{
	char iso[21], *date;

	clock_iso(iso, unix_ns);
	date = mem_printf("%.19s.%06d", iso, (int)(unix_ns / 1000 % 1000000));
	for (char *s = date; *s; s++)
		*s = *s == ':' ? '-' : *s;
	return date;
}

/* What becomes a key of the results must be text. */
static bool names_are_text(const struct task_result *t)
{
	bool all = utf8_valid(t->task, strlen(t->task), NULL);

	for (size_t k = 0; k < t->n_metrics; k++)
		all = all && utf8_valid(t->metrics[k].name, strlen(t->metrics[k].name), NULL) &&
		      utf8_valid(t->metrics[k].filter, strlen(t->metrics[k].filter), NULL);
	return all;
}

static int tasks_check(const struct task_result *tasks, size_t n)
{
	const size_t task_max = FILE_NAME_MAX - strlen("samples__2026-01-01T00-00-00.000000.jsonl");
	struct map names;
	int rc = n ? 0 : err_set(ERR_INPUT, "there is no task to write");

	map_init(&names);
	for (size_t i = 0; i < n && !rc; i++) {
		if (!map_put(&names, tasks[i].task, strlen(tasks[i].task), 0))
			rc = err_set(ERR_INPUT, "two tasks are named %s: the harness's files have room for one",
				     tasks[i].task);
		else if (!names_are_text(&tasks[i]))
			rc = err_set(ERR_INPUT, "a name of task \"%.60s\" is not UTF-8", tasks[i].task);
		else if (!tasks[i].n_members && (strchr(tasks[i].task, '/') || strlen(tasks[i].task) > task_max))
			rc = err_set(ERR_INPUT, "a task named \"%.60s\" cannot be part of a file's name",
				     tasks[i].task);
		else if (!tasks[i].n_members && (!tasks[i].n || !tasks[i].n_metrics))
			rc = err_set(ERR_INPUT, "task %s has no %s: the harness's files have no form for that",
				     tasks[i].task, tasks[i].n ? "metrics" : "samples");
		else if (tasks[i].shard.n)
			rc = err_hint(err_set(ERR_INPUT, "task %s is a shard, no result", tasks[i].task),
				      "assay eval --merge puts shards together");
	}
	map_release(&names);
	return rc;
}

static int put(const struct harness_target *to, char *name, struct buf *text)
{
	int rc = buf_full(text) ? err_set(ERR_INPUT, "%s: more than %zu GiB", name, TEXT_MAX >> 30)
				: to->write(to->self, name, text);

	free(name);
	buf_release(text);
	return rc;
}

int harness_write(const struct harness_target *to, const struct task_result *tasks, size_t n)
{
	char *folder = sanitized(to->model), *date = date_of(to->unix_ns);
	struct buf text = BUF_INIT(TEXT_MAX);
	json_t *doc = results_json(to, folder);
	int rc = tasks_check(tasks, n);

	for (size_t i = 0; i < n && !rc; i++) {
		const struct task_result *t = &tasks[i];
		char hash[DIGEST_HEX];

		json_object_set_new(json_object_get(doc, "results"), t->task, values_json(t));
		json_object_set_new(json_object_get(doc, "higher_is_better"), t->task, directions_json(t));
		if (t->n_members) {
			add_group(doc, t);
			continue;
		}
		samples_write(t, &text, hash);
		add_task(doc, t, hash);
		rc = put(to, mem_printf("%s/samples_%s_%s.jsonl", folder, t->task, date), &text);
	}
	if (!rc) {
		json_add_pretty(&text, doc);
		rc = put(to, mem_printf("%s/results_%s.json", folder, date), &text);
	}
	buf_release(&text);
	json_decref(doc);
	free(folder);
	free(date);
	return rc;
}
