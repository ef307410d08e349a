/* harness_form.c: is it the form in which lm-evaluation-harness writes its results? Said for every member that harness.c reads,
 * since a member of another type would be taken for one that is not there, and a comparison would rest on it.
 *
 * Taken as the harness's own: NaN and Infinity, which Python's json writes and JSON has not, anywhere, mostly in a sample's
 * "doc" (they become texts: a value that is no number); "N/A" for a standard error; null for a direction that is not known. And
 * from harness_write.c: null for a value that is no number, no n-shot, hashes that are not known.
 *
 * Versions before 0.4.3 wrote no hashes: their samples cannot be told to be the same documents, and are refused. */
#include "base/base.h"

#include "evals/evals_int.h"

/* ---- Python's numbers ---------------------------------------------------------------------------------------------- */

static const char *const words[] = { "NaN", "Infinity", "-Infinity" };

static size_t word_at(const char *s, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (len >= strlen(words[i]) && memcmp(s, words[i], strlen(words[i])) == 0)
			return strlen(words[i]);
	return 0;
}

void harness_form_plain(struct buf *text)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	const char *s = buf_str(text);
	size_t len = text->len, from = 0, n;
	bool quoted = false;

	if (!memmem(s, len, "NaN", 3) && !memmem(s, len, "Infinity", 8))
		return;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') /* a text has none: what is broken stays in its line */
			quoted = false;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (quoted && s[i] == '\\' && i + 1 < len && s[i + 1] != '\n')
			i++;
		else if (!quoted && (n = word_at(s + i, len - i)) > 0) {
			buf_add(&out, s + from, i - from);
			buf_addf(&out, "\"%.*s\"", (int)n, s + i);
			from = i + n;
			i = from - 1;
		}
	}
	buf_add(&out, s + from, len - from);
	buf_release(text);
	*text = out;
}

bool harness_form_infinite(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && word_at(s, strlen(s)) && word_at(s, strlen(s)) == strlen(s);
}

/* ---- results --------------------------------------------------------------------------------------------------------- */

static int wrong(const char *path, const char *part, const char *task, const char *key, const json_t *v,
		 const char *want)
{
	char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	int rc = err_set(ERR_INPUT, "%s: \"%s\".\"%s\"%s%s%s %s%.60s: %s is wanted", path, part, task,
			 *key ? ".\"" : "", key, *key ? "\"" : "", v ? "is " : "is not there", text ? text : "", want);

	free(text);
	return err_hint(
		rc, "lm_eval writes it so: take the file as it was written, or run lm_eval again with --log_samples");
}

bool harness_form_is_value(const char *key)
{
	const char *comma = strrchr(key, ',');

	return comma && !memmem(key, (size_t)(comma - key), "_stderr", 7);
}

static bool is_error(const json_t *v)
{
	return json_is_number(v) || harness_form_infinite(v) ||
	       strcmp(json_is_string(v) ? json_string_value(v) : "", "N/A") == 0;
}

int harness_form_values(const json_t *doc, const char *path, const char *part, const char *task)
{
	const json_t *values = json_object_get(json_object_get(doc, part), task), *v;
	bool ours = json_object_get(doc, "assay_version") != NULL;
	const char *key;

	if (!json_is_object(values))
		return wrong(path, part, task, "", values, "the object of its values");
	json_object_foreach((json_t *)(uintptr_t)values, key, v)
	{
		if (harness_form_is_value(key)) {
			if (!json_is_number(v) && !json_is_boolean(v) && !harness_form_infinite(v) &&
			    !(ours && json_is_null(v)))
				return wrong(path, part, task, key, v, "a number");
		} else if (strchr(key, ',') && !is_error(v)) {
			return wrong(path, part, task, key, v, "a number or \"N/A\"");
		}
	}
	return 0;
}

static int directions_check(const json_t *doc, const char *path, const char *task)
{
	const json_t *all = json_object_get(doc, "higher_is_better"), *of = json_object_get(all, task), *v;
	const char *key;

	if (of && !json_is_object(of))
		return wrong(path, "higher_is_better", task, "", of, "an object");
	json_object_foreach((json_t *)(uintptr_t)of, key, v)
	{
		if (!json_is_boolean(v) && !json_is_null(v))
			return wrong(path, "higher_is_better", task, key, v, "true, false or null");
	}
	return 0;
}

int harness_form_task(const json_t *doc, const char *path, const char *task, bool ours)
{
	const json_t *shots = json_object_get(json_object_get(doc, "n-shot"), task);
	const json_t *samples = json_object_get(json_object_get(doc, "n-samples"), task);
	const json_t *all = json_object_get(samples, "original"),
		     *version = json_object_get(json_object_get(doc, "versions"), task);
	int rc = harness_form_values(doc, path, "results", task);

	rc = rc ? rc : directions_check(doc, path, task);
	if (rc)
		return rc;
	if (!(ours && !shots) && !(json_is_integer(shots) && json_integer_value(shots) >= 0))
		return wrong(path, "n-shot", task, "", shots, "a whole number");
	if (!json_is_integer(all) || json_integer_value(all) < 0)
		return wrong(path, "n-samples", task, "original", all, "a whole number");
	if (version && !json_is_number(version) && !json_is_string(version) && !json_is_null(version))
		return wrong(path, "versions", task, "", version, "a number or a text");
	return 0;
}

/* ---- samples --------------------------------------------------------------------------------------------------------- */

int harness_form_row(const json_t *row)
{
	static const char *const hashes[] = { "doc_hash", "prompt_hash", "target_hash" };
	const json_t *own = json_object_get(row, "assay"), *filter = json_object_get(row, "filter"),
		     *metrics = json_object_get(row, "metrics"), *name;
	size_t i;

	if (!json_is_integer(json_object_get(row, "doc_id")))
		return err_set(ERR_INPUT, "a row of the harness's samples has a whole number \"doc_id\"");
	if (own && !json_is_object(own))
		return err_set(ERR_INPUT, "\"assay\" is no object");
	if (filter && !json_is_string(filter))
		return err_set(ERR_INPUT, "\"filter\" is no text");
	for (i = 0; i < ARRAY_LEN(hashes); i++) {
		const json_t *hash = json_object_get(row, hashes[i]);

		if (json_is_string(hash) && (own || json_string_length(hash)))
			continue;
		err_set(ERR_INPUT, "a row of the harness's samples has a text \"%s\"%s", hashes[i],
			hash ? "" : ", and this has none");
		return err_hint(ERR_INPUT, "lm_eval writes it since 0.4.3: run it again with --log_samples");
	}
	if (!json_is_array(metrics))
		return err_set(ERR_INPUT, "a row of the harness's samples names its \"metrics\"");
	json_array_foreach(metrics, i, name)
	{
		if (!json_is_string(name))
			return err_set(ERR_INPUT, "\"metrics\" is a list of texts");
	}
	return 0;
}
