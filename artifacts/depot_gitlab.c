/* depot_gitlab.c: a remote in a project's package registry of GitLab ("generic packages").
 *
 *	gitlab+https://HOST/api/v4/projects/ID      package "assay" with a version each for records, objects and claims
 *
 * A job's own token may read and write packages, so a pipeline needs no secret of its own. The registry keeps files by their names
 * and tells size and number of each; its listings come in pages of a hundred.
 *
 * There is no conditional write, but every file gets a number that grows. So who wants a claim writes KEY.0000000N.SHA256, a name of
 * its own, and the one with the lowest number has it, for everybody, for ever. Whoever sees itself first looks again a moment later,
 * since a file that was begun earlier may be seen later. That moment is the weak spot: a server that takes longer to show a file than
 * SETTLE_MS could tell two that they were first. Even then all who read afterwards see the same one. */
#include "artifacts/depot_web.h"

#include <unistd.h>

enum { PAGE = 100, PAGES_MAX = 100000, SETTLE_MS = 700 };

static const char *const vaults[] = { VAULT_RECORDS, VAULT_OBJECTS, VAULT_CLAIMS };

struct depot_gitlab {
	struct depot depot;
	struct web web;
	char *api; /* https://HOST/api/v4/projects/ID */
	char *package;
	char *auth;                       /* "JOB-TOKEN: …" */
	json_t *there[ARRAY_LEN(vaults)]; /* {file name: its number}; of files seen, or (0) written by us */
	bool listed[ARRAY_LEN(vaults)];
};

static struct depot_gitlab *gitlab_of(struct depot *d)
{
	return (struct depot_gitlab *)d;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int ask(struct depot_gitlab *g, const char *method, const char *url, const struct fs_map *body,
	       struct http_response *out)
{
	const char *const headers[] = { g->auth, body ? "Content-Type: application/octet-stream" : NULL, NULL };
	struct http_request r = { .url = url, .method = method, .headers = headers };

	if (body) {
		r.body = (const char *)body->data;
		r.len = body->len;
	}
	return web_ask(&g->web, &r, out);
}

static int ask_json(struct depot_gitlab *g, const char *url, json_t **out)
{
	struct http_response answer;
	int rc = ask(g, NULL, url, NULL, &answer);

	*out = NULL;
	if (rc)
		return rc;
	if (answer.status != 200) {
		rc = web_refusal(&g->web, &answer, "packages are to be listed");
		rc = rc == ERR_NOTFOUND ? ERR_INPUT : rc;
	} else {
		rc = json_parse(out, buf_str(&answer.body), answer.body.len, g->depot.name);
		if (!rc && !json_is_array(*out))
			rc = err_set(ERR_INPUT, "%s: a listing is no list", g->depot.name);
	}
	buf_release(&answer.body);
	return rc;
}

/* ---- listing --------------------------------------------------------------------------------- */

static size_t vault_of(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(vaults); i++)
		if (!strncmp(path, vaults[i], strlen(vaults[i])))
			return i;
	return 0;
}

/* The number of the package that holds a vault; 0: there is none yet. */
static int package_find(struct depot_gitlab *g, size_t vault, int64_t *id)
{
	char *url = mem_printf("%s/packages?package_type=generic&package_name=%s&package_version=%s&per_page=%d",
			       g->api, g->package, vaults[vault], PAGE);
	json_t *rows = NULL, *row;
	size_t i;
	int rc = ask_json(g, url, &rows);

	*id = 0;
	json_array_foreach(rows, i, row)
	{
		if (!strcmp(json_get_text(row, "name", ""), g->package) &&
		    !strcmp(json_get_text(row, "version", ""), vaults[vault]))
			*id = json_get_int(row, "id", 0);
	}
	json_decref(rows);
	free(url);
	return rc;
}

/* Of two files of one name, the first counts. */
static void note(struct depot_gitlab *g, size_t vault, const char *name, int64_t number)
{
	int64_t had = json_get_int(g->there[vault], name, 0);

	if (!had || number < had)
		json_object_set_new(g->there[vault], name, json_integer(number));
}

static int list(struct depot_gitlab *g, size_t vault, bool again)
{
	int64_t package = 0;
	size_t n = PAGE;
	int rc = g->listed[vault] && !again ? 0 : package_find(g, vault, &package);

	for (int page = 1; !rc && package && n == PAGE && page <= PAGES_MAX; page++) {
		char *url = mem_printf("%s/packages/%lld/package_files?per_page=%d&page=%d", g->api, (long long)package,
				       PAGE, page);
		json_t *rows = NULL, *row;
		size_t i;

		rc = ask_json(g, url, &rows);
		json_array_foreach(rows, i, row)
			note(g, vault, json_get_text(row, "file_name", ""), json_get_int(row, "id", 0));
		n = json_array_size(rows);
		json_decref(rows);
		free(url);
	}
	g->listed[vault] = g->listed[vault] || !rc;
	return rc;
}

static int gitlab_list(struct depot *d, const char *vault, struct depot_list *out)
{
	struct depot_gitlab *g = gitlab_of(d);
	size_t v = vault_of(vault);
	const char *name;
	json_t *number;
	int rc = list(g, v, true);

	json_object_foreach(g->there[v], name, number) depot_list_add(out, name, DEPOT_NO_SIZE);
	return rc;
}

/* ---- claims: KEY.0000000N.SHA256 ------------------------------------------------------------- */

struct claim {
	const char *start; /* "KEY." or "KEY.0000000N." */
	int64_t number;    /* the lowest of the files; 0: none */
	int64_t last;      /* the highest N */
	char name[DEPOT_PATH + DIGEST_HEX];
};

static void look(struct claim *c, const char *name, int64_t number)
{
	char n[9];

	if (strlen(name) != 64 + 1 + 8 + 1 + 64 || strncmp(name, c->start, strlen(c->start)))
		return;
	snprintf(n, sizeof(n), "%.8s", name + 65);
	if (depot_claim_number(n) > c->last)
		c->last = depot_claim_number(n);
	if (!number || (c->number && number > c->number))
		return;
	c->number = number;
	snprintf(c->name, sizeof(c->name), "%s", name);
}

/* "claims/KEY/0000000N" to "KEY.0000000N." */
static void claim_start(char out[DEPOT_PATH], const char *path)
{
	snprintf(out, DEPOT_PATH, "%.64s.%.8s.", path + strlen(VAULT_CLAIMS "/"),
		 path + strlen(VAULT_CLAIMS "/") + 64 + 1);
}

static int claim_find(struct depot_gitlab *g, struct claim *c)
{
	size_t v = vault_of(VAULT_CLAIMS);
	const char *name;
	json_t *number;
	int rc = list(g, v, true);

	c->number = c->last = 0;
	c->name[0] = 0;
	json_object_foreach(g->there[v], name, number) look(c, name, json_integer_value(number));
	return rc;
}

static int gitlab_last(struct depot *d, const char *key, int64_t *n)
{
	char start[DEPOT_PATH];
	struct claim c = { .start = start };
	int rc;

	snprintf(start, sizeof(start), "%.64s.", key);
	rc = claim_find(gitlab_of(d), &c);
	*n = c.last;
	return rc;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The name of a file there: of a claim, that of who has it. */
static int file_name(struct depot_gitlab *g, const char *path, char out[DEPOT_PATH + DIGEST_HEX])
{
	const char *shelf = strchr(path, '/') + 1;
	char start[DEPOT_PATH];
	struct claim c = { .start = start };
	int rc;

	if (vault_of(path) != vault_of(VAULT_CLAIMS)) {
		snprintf(out, DEPOT_PATH + DIGEST_HEX, "%.2s%.62s", shelf, shelf + 3);
		return 0;
	}
	claim_start(start, path);
	rc = claim_find(g, &c);
	if (!rc && !*c.name)
		rc = err_set(ERR_NOTFOUND, "%s is not there", path);
	snprintf(out, DEPOT_PATH + DIGEST_HEX, "%s", c.name);
	return rc;
}

static char *file_url(const struct depot_gitlab *g, const char *path, const char *name)
{
	return mem_printf("%s/packages/generic/%s/%s/%s", g->api, g->package, vaults[vault_of(path)], name);
}

static int gitlab_size(struct depot *d, const char *path, uint64_t *size)
{
	struct depot_gitlab *g = gitlab_of(d);
	char name[DEPOT_PATH + DIGEST_HEX];
	int rc = list(g, vault_of(path), false);

	*size = 0; /* only a dry run shows it */
	rc = rc ? rc : file_name(g, path, name);
	if (!rc && !json_object_get(g->there[vault_of(path)], name))
		rc = err_set(ERR_NOTFOUND, "%s is not there", path);
	return rc;
}

static int gitlab_get(struct depot *d, const char *path, uint64_t from, depot_put *put, void *arg)
{
	struct depot_gitlab *g = gitlab_of(d);
	const char *const headers[] = { g->auth, NULL };
	struct http_request r = { 0 };
	char name[DEPOT_PATH + DIGEST_HEX], *url;
	int rc = file_name(g, path, name);

	if (rc)
		return rc;
	r.url = url = file_url(g, path, name);
	rc = web_get(&g->web, &r, headers, from, put, arg);
	free(url);
	return rc;
}

static int upload(struct depot_gitlab *g, const char *path, const char *name, const struct fs_map *bytes)
{
	char *url = file_url(g, path, name);
	struct http_response out;
	int rc = ask(g, "PUT", url, bytes, &out);

	free(url);
	if (rc)
		return rc;
	if (out.status != 200 && out.status != 201)
		rc = web_refusal(&g->web, &out, "a file is to be written");
	if (!rc)
		note(g, vault_of(path), name, 0);
	buf_release(&out.body);
	return rc == ERR_NOTFOUND ? err_context(ERR_INPUT, "is that the address of a project?") : rc;
}

static int gitlab_put(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex)
{
	return upload(gitlab_of(d), path, hex, bytes);
}

static int gitlab_claim(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex)
{
	struct depot_gitlab *g = gitlab_of(d);
	char start[DEPOT_PATH], name[DEPOT_PATH + DIGEST_HEX];
	struct claim c = { .start = start };
	int rc;

	claim_start(start, path);
	snprintf(name, sizeof(name), "%s%.64s", start, hex);
	rc = claim_find(g, &c);
	if (!rc && !*c.name) {
		rc = upload(g, path, name, bytes);
		usleep(SETTLE_MS * 1000);
		rc = rc ? rc : claim_find(g, &c);
	}
	if (!rc && strcmp(c.name, name))
		rc = err_set(ERR_EXISTS, "%s is there already", path);
	return rc;
}

/* ---- open ------------------------------------------------------------------------------------ */

static void gitlab_close(struct depot *d)
{
	struct depot_gitlab *g = gitlab_of(d);

	web_close(&g->web);
	for (size_t i = 0; i < ARRAY_LEN(vaults); i++)
		json_decref(g->there[i]);
	if (g->auth)
		explicit_bzero(g->auth, strlen(g->auth));
	free(g->auth);
	free(g->package);
	free(g->api);
	free(d->name);
	free(g);
}

static const struct depot_ops gitlab_ops = {
	.list = gitlab_list,
	.size = gitlab_size,
	.get = gitlab_get,
	.put = gitlab_put,
	.claim = gitlab_claim,
	.last = gitlab_last,
	.close = gitlab_close,
};

static int place_check(const struct depot_place *p, const char *package)
{
	if (strpbrk(p->url, "?#@\\") || !strstr(p->url, "/projects/"))
		return err_set(ERR_INPUT, "%.200s: gitlab+https://HOST/api/v4/projects/ID is wanted", p->url);
	if (strspn(package, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(package) ||
	    !*package || *package == '.')
		return err_set(ERR_INPUT, "%.80s: a package's name is letters, digits, '.', '_' and '-'", package);
	if (!p->user || !p->secret || !*p->secret) {
		err_set(ERR_ENV, "%.200s: there is no token", p->url);
		return err_hint(ERR_ENV,
				"in a job CI_JOB_TOKEN is there by itself; elsewhere name the variable of a token "
				"with scope api in the location's key");
	}
	return 0;
}

int depot_gitlab_open(struct depot **out, const struct depot_place *p)
{
	struct depot_gitlab *g = mem_alloc(sizeof(*g));
	size_t len;
	int rc;

	*g = (struct depot_gitlab){ .depot = { &gitlab_ops, mem_str(p->url) } };
	g->api = mem_str(p->url + strlen("gitlab+"));
	for (len = strlen(g->api); len && g->api[len - 1] == '/'; len--)
		g->api[len - 1] = 0;
	g->package = mem_str(p->package ? p->package : "assay");
	for (size_t i = 0; i < ARRAY_LEN(vaults); i++)
		g->there[i] = json_object();
	rc = place_check(p, g->package);
	if (!rc)
		g->auth = mem_printf("%s: %s", p->user, p->secret);
	rc = rc ? rc : web_open(&g->web, g->depot.name);
	if (rc) {
		gitlab_close(&g->depot);
		return rc;
	}
	*out = &g->depot;
	return 0;
}
