/* mirror.c: versions and aliases, told to a server that speaks MLflow's language, for those whose eyes are there.
 *
 *	mlflow+https://HOST[/PATH]      PATH/api/2.0/mlflow/registered-models/…, model-versions/…; GitLab: …/projects/ID/ml/mlflow
 *
 * One way, and never the truth: nothing is read from there but what was told before. A version is known there by its tag
 * assay.object, the digest, since the server gives its own numbers, in the order in which versions come; so the oldest is told first,
 * and a registry that only assay writes to has the same numbers. An alias is set where it points elsewhere. What is there already is
 * left alone, so telling again costs some questions and changes nothing; a version whose answer got lost may stand there twice, and
 * the lower number counts. No file of a model moves: the source "assay://MODEL/vN" says whom to ask. */
#include "artifacts/depot_web.h"

enum { PAGE = 1000, PAGES_MAX = 10000 };
#define ANSWER_MAX ((size_t)64 << 20)

struct mirror {
	struct web web;
	char *api; /* …/api/2.0/mlflow/ */
	const char *token;
	bool gitlab;
	struct mirror_counts *n;
	long status;              /* of the last answer */
	struct err_saved refusal; /* the first name of an alias that the server does not take */
	bool refused;
	/* of the model that is told now */
	const char *model;
	json_t *versions; /* {object: {"there": number there, "number": of the tag assay.version}} */
	json_t *aliases;  /* {alias: number there} */
};

/* ---- requests -------------------------------------------------------------------------------- */

/* what NULL: 404 is an answer, too, and *out NULL then. body: taken; NULL: GET. */
static int call(struct mirror *m, const char *path, json_t *body, const char *what, json_t **out)
{
	char *url = mem_printf("%s%s", m->api, path);
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct http_request r = { .url = url, .bearer = m->token, .max = ANSWER_MAX };
	struct http_response answer;
	json_t *doc = NULL;
	int rc;

	if (body) {
		json_add(&text, body);
		r.body = buf_str(&text);
		r.len = text.len;
	}
	rc = web_ask(&m->web, &r, &answer);
	m->status = rc ? 0 : answer.status;
	if (!rc) {
		bool json = !json_parse(&doc, buf_str(&answer.body), answer.body.len, m->web.name);

		err_clear();
		if (answer.status == 404 && !what) {
			json_decref(doc);
			doc = NULL;
		} else if (answer.status != 200 || !json) {
			rc = err_set(ERR_UNAVAILABLE, "%s: %s, and it answers %ld %.300s", m->web.name,
				     what ? what : "a model is asked for", answer.status,
				     json ? json_get_text(doc, "message", "") : "with what is no JSON");
			if (answer.status == 401 || answer.status == 403)
				err_hint(rc, "look at the token, and at whether it may write models");
		}
		buf_release(&answer.body);
	}
	if (out && !rc)
		*out = json_incref(doc);
	json_decref(doc);
	json_decref(body);
	buf_release(&text);
	free(url);
	return rc;
}

static json_t *tag(const char *key, const char *value)
{
	return json_pack("{s:s,s:s}", "key", key, "value", value);
}

static const char *tag_value(const json_t *tags, const char *key)
{
	const json_t *one;
	size_t i;

	json_array_foreach(tags, i,
			   one) if (!strcmp(json_get_text(one, "key", ""), key)) return json_get_text(one, "value", "");
	return "";
}

/* ---- what was told before -------------------------------------------------------------------- */

static void note(struct mirror *m, const json_t *version)
{
	const json_t *tags = json_object_get(version, "tags");
	const char *object = tag_value(tags, "assay.object");
	int64_t there = strtoll(json_get_text(version, "version", "0"), NULL, 10);
	const json_t *had = json_object_get(m->versions, object);

	if (*object && there > 0 && (!had || there < json_get_int(had, "there", 0)))
		json_object_set_new(
			m->versions, object,
			json_pack("{s:I,s:s}", "there", (json_int_t)there, "number", tag_value(tags, "assay.version")));
}

static int search(struct mirror *m)
{
	const char quote = strchr(m->model, '\'') ? '"' : '\'';
	char *filter = mem_printf("name=%c%s%c", quote, m->model, quote);
	json_t *page = NULL;
	int rc = 0;

	for (int i = 0; !rc && i < PAGES_MAX; i++) {
		struct buf path = BUF_INIT(1 << 20);
		const json_t *list, *one;
		const char *next = json_get_text(page, "next_page_token", "");
		size_t k;

		buf_addf(&path, "model-versions/search?max_results=%d&filter=", PAGE);
		web_escape(&path, filter);
		if (*next) {
			buf_adds(&path, "&page_token=");
			web_escape(&path, next);
		}
		json_decref(page);
		page = NULL;
		rc = call(m, buf_str(&path), NULL, "versions are asked for", &page);
		list = json_object_get(page, "model_versions");
		json_array_foreach(list, k, one) note(m, one);
		buf_release(&path);
		if (!*json_get_text(page, "next_page_token", ""))
			break;
	}
	json_decref(page);
	free(filter);
	return rc;
}

static int model_find(struct mirror *m)
{
	struct buf path = BUF_INIT(1 << 12);
	json_t *answer = NULL;
	const json_t *list, *one;
	size_t i;
	int rc;

	buf_adds(&path, "registered-models/get?name=");
	web_escape(&path, m->model);
	rc = call(m, buf_str(&path), NULL, NULL, &answer);
	if (!rc && !answer) {
		rc = call(m, "registered-models/create", json_pack("{s:s}", "name", m->model), "a model is to be made",
			  NULL);
		m->n->models += !rc;
	} else if (!rc) {
		list = json_object_get(json_object_get(answer, "registered_model"), "aliases");
		json_array_foreach(list, i, one)
			json_object_set_new(m->aliases, json_get_text(one, "alias", ""),
					    json_integer(strtoll(json_get_text(one, "version", "0"), NULL, 10)));
		rc = search(m);
	}
	json_decref(answer);
	buf_release(&path);
	return rc;
}

/* ---- telling --------------------------------------------------------------------------------- */

static int tell_version(struct mirror *m, const json_t *row, int64_t *there)
{
	const char *object = json_get_text(row, "object", "");
	char *number = mem_printf("%lld", (long long)json_get_int(row, "number", 0));
	char *source = mem_printf("assay://%s/v%s", m->model, number);
	const json_t *had = json_object_get(m->versions, object);
	json_t *answer = NULL, *tags;
	int rc = 0;

	*there = json_get_int(had, "there", 0);
	if (!had) {
		tags = json_pack("[o,o,o,o]", tag("assay.version", number), tag("assay.object", object),
				 tag("assay.run", json_get_text(row, "run", "")),
				 tag("assay.commit", json_get_text(row, "commit", "")));
		if (m->gitlab) { /* which has no numbers but these */
			char *semantic = mem_printf("%s.0.0", number);

			json_array_append_new(tags, tag("gitlab.version", semantic));
			free(semantic);
		}
		rc = call(m, "model-versions/create",
			  json_pack("{s:s,s:s,s:o}", "name", m->model, "source", source, "tags", tags),
			  "a version is to be made", &answer);
		*there = strtoll(json_get_text(json_object_get(answer, "model_version"), "version", "0"), NULL, 10);
		m->n->versions += !rc;
	} else if (strcmp(json_get_text(had, "number", ""),
			  number)) { /* two homes met, and it has another number now */
		char *text = mem_printf("%lld", (long long)*there);

		rc = call(m, "model-versions/set-tag",
			  json_pack("{s:s,s:s,s:s,s:s}", "name", m->model, "version", text, "key", "assay.version",
				    "value", number),
			  "a version's number is to be put right", NULL);
		free(text);
	}
	json_decref(answer);
	free(number);
	free(source);
	return rc;
}

/* Names that the server keeps for itself (latest) are no reason to leave out the others. */
static int tell_alias(struct mirror *m, const char *alias, int64_t there)
{
	char *version;
	int rc;

	if (json_get_int(m->aliases, alias, 0) == there)
		return 0;
	version = mem_printf("%lld", (long long)there);
	rc = call(m, "registered-models/alias",
		  json_pack("{s:s,s:s,s:s}", "name", m->model, "alias", alias, "version", version),
		  "an alias is to be set", NULL);
	m->n->aliases += !rc;
	if (rc && m->status == 400) {
		if (!m->refused)
			m->refusal = err_save();
		m->refused = true;
		err_clear();
		rc = 0;
	}
	free(version);
	return rc;
}

/* rows of one model, newest first, from `first` to before `end`. */
static int tell_model(struct mirror *m, const json_t *rows, size_t first, size_t end)
{
	int rc;

	m->model = json_get_text(json_array_get(rows, first), "model", "");
	m->versions = json_object();
	m->aliases = json_object();
	rc = model_find(m);
	for (size_t i = end; !rc && i-- > first;) {
		const json_t *row = json_array_get(rows, i), *aliases = json_object_get(row, "aliases"), *alias;
		int64_t there = 0;
		size_t k;

		rc = tell_version(m, row, &there);
		json_array_foreach(aliases, k, alias) rc = rc ? rc : tell_alias(m, json_string_value(alias), there);
	}
	json_decref(m->versions);
	json_decref(m->aliases);
	return rc;
}

static int by_model(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int order = strcmp(json_get_text(x, "model", ""), json_get_text(y, "model", ""));
	int64_t n = json_get_int(x, "number", 0), o = json_get_int(y, "number", 0);

	return order ? order : n < o ? 1 : n > o ? -1 : 0;
}

/* The list of versions, one model behind the other, its newest first. */
static int versions_of(struct registry *r, json_t **out)
{
	json_t *rows = NULL, **items, *row;
	size_t i, n;
	int rc = registry_aliases_check(r, NULL);

	rc = rc ? rc : registry_list(r, "versions", NULL, 0, &rows);
	*out = json_array();
	n = json_array_size(rows);
	items = mem_array(n + 1, sizeof(json_t *));
	json_array_foreach(rows, i, row) items[i] = row;
	if (n)
		qsort(items, n, sizeof(json_t *), by_model);
	for (i = 0; i < n; i++)
		json_array_append(*out, items[i]);
	free(items);
	json_decref(rows);
	return rc;
}

int registry_mirror(struct registry *r, const struct depot_place *p, struct mirror_counts *n)
{
	struct mirror m = { .token = p->secret, .n = n };
	size_t len = strlen(p->url);
	json_t *rows = NULL;
	int rc;

	*n = (struct mirror_counts){ 0 };
	if (strncmp(p->url, MIRROR_SCHEME "http", strlen(MIRROR_SCHEME "http")))
		return err_hint(err_set(ERR_INPUT, "%.200s is no mirror", p->url),
				"mlflow+https://HOST is; at GitLab: mlflow+https://HOST/api/v4/projects/ID/ml/mlflow");
	while (len && p->url[len - 1] == '/')
		len--;
	m.api = mem_printf("%.*s/api/2.0/mlflow/", (int)(len - strlen(MIRROR_SCHEME)), p->url + strlen(MIRROR_SCHEME));
	m.gitlab = strstr(m.api, "/ml/mlflow/") != NULL;
	rc = web_open(&m.web, p->url);
	if (!rc) {
		rc = versions_of(r, &rows);
		for (size_t i = 0, end; !rc && i < json_array_size(rows); i = end) {
			for (end = i + 1; end < json_array_size(rows) &&
					  !strcmp(json_get_text(json_array_get(rows, end), "model", ""),
						  json_get_text(json_array_get(rows, i), "model", ""));
			     end++)
				;
			rc = tell_model(&m, rows, i, end);
		}
		web_close(&m.web);
	}
	if (!rc && m.refused) {
		err_restore(&m.refusal);
		rc = ERR_UNAVAILABLE;
	} else if (m.refused) {
		err_forget(&m.refusal);
	}
	json_decref(rows);
	free(m.api);
	return rc;
}
