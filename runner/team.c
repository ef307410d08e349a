/* team.c: which remote, and what this machine knows of it.
 *
 *	$ASSAY_HOME/config.yaml
 *	    remote: team                        # the one that push, pull and run take where none is named
 *	    locations:
 *	      team:
 *	        url: s3://bucket/prefix         # or file:///srv/assay, gitlab+https://HOST/api/v4/projects/ID
 *	        endpoint: https://s3.example.org
 *	        region: eu-central-1
 *	        access_key: AWS_ACCESS_KEY_ID   # names of variables, never what is in them
 *	        secret_key: AWS_SECRET_ACCESS_KEY
 *
 * A commit may name a location (remote: of assay.yaml) and no more: what a location is, stands in the machine's own file or in
 * the environment ($ASSAY_REMOTE, a name or a URL), so that no commit can send records or a secret elsewhere. */
#include "runner/team.h"
#include "base/yaml.h"
#include "runner/config.h"
#include "runner/repo.h"

enum { CONFIG_MAX = 1 << 20 };

struct setting { /* of a remote; borrowed from the document, or the environment */
	const char *url, *endpoint, *region, *access_key, *secret_key, *session_token, *key, *package;
	int64_t part_mib;
};

static int read_variable(const char **out, const struct yaml *y, const json_t *map, const char *key)
{
	int rc = yaml_get_text(y, map, key, out);

	if (rc || !*out)
		return rc;
	if (!**out || strspn(*out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(*out) ||
	    (**out >= '0' && **out <= '9'))
		return yaml_error(y, map, key,
				  "%s is the name of the variable that holds the secret (A-Z, 0-9, _), not the "
				  "secret",
				  key);
	return 0;
}

static int read_setting(struct setting *out, const struct yaml *y, const json_t *map)
{
	static const char *const keys[] = { "url",           "endpoint", "region",  "access_key", "secret_key",
					    "session_token", "key",      "package", "part_mib" };
	int rc = yaml_check_keys(y, map, "a remote", keys, ARRAY_LEN(keys));

	rc = rc ? rc : yaml_get_text(y, map, "url", &out->url);
	rc = rc ? rc : yaml_get_text(y, map, "endpoint", &out->endpoint);
	rc = rc ? rc : yaml_get_text(y, map, "region", &out->region);
	rc = rc ? rc : yaml_get_text(y, map, "package", &out->package);
	rc = rc ? rc : read_variable(&out->access_key, y, map, "access_key");
	rc = rc ? rc : read_variable(&out->secret_key, y, map, "secret_key");
	rc = rc ? rc : read_variable(&out->session_token, y, map, "session_token");
	rc = rc ? rc : read_variable(&out->key, y, map, "key");
	rc = rc ? rc : yaml_get_int(y, map, "part_mib", 5, 5120, &out->part_mib);
	if (!rc && !out->url)
		rc = yaml_error(y, map, NULL,
				"a remote needs url: file:///FOLDER, s3://BUCKET/PREFIX or gitlab+https://…");
	return rc;
}

/* ---- from a setting to a place -------------------------------------------------------------- */

static const char *variable(const char *named, const char *usual, const char *else_usual)
{
	const char *v = getenv(named ? named : usual);

	if (!named && else_usual && (!v || !*v))
		v = getenv(else_usual);
	return v && *v ? v : NULL;
}

static void place_s3(struct depot_place *p, const struct setting *s)
{
	p->endpoint = s->endpoint ? s->endpoint : variable(NULL, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
	p->region = s->region ? s->region : variable(NULL, "AWS_REGION", "AWS_DEFAULT_REGION");
	p->user = variable(s->access_key, "AWS_ACCESS_KEY_ID", NULL);
	p->secret = variable(s->secret_key, "AWS_SECRET_ACCESS_KEY", NULL);
	if (s->session_token || !s->access_key) /* that of the usual key fits no other */
		p->token = variable(s->session_token, "AWS_SESSION_TOKEN", NULL);
	p->part_bytes = (uint64_t)s->part_mib << 20;
}

/* A job's own token is for the server that runs the job, and for no other that a URL might name. */
static void place_gitlab(struct depot_place *p, const struct setting *s)
{
	const char *api = getenv("CI_API_V4_URL"), *at = p->url + strlen("gitlab+");
	size_t n = api ? strlen(api) : 0;

	p->package = s->package;
	if (s->key) {
		p->user = "PRIVATE-TOKEN";
		p->secret = variable(s->key, "", NULL);
	} else if (n && !strncmp(at, api, n) && at[n] == '/') {
		p->user = "JOB-TOKEN";
		p->secret = variable(NULL, "CI_JOB_TOKEN", NULL);
	}
}

/* "gitlab://job": the package registry of the project whose job this is. *made (yours): the URL. */
static int job_url(char **made)
{
	const char *api = getenv("CI_API_V4_URL"), *project = getenv("CI_PROJECT_ID");

	if (!api || !project) {
		err_set(ERR_ENV, "gitlab://job is the project of a GitLab job, and this is none");
		return err_hint(ERR_ENV, "elsewhere say gitlab+https://HOST/api/v4/projects/ID");
	}
	*made = mem_printf("gitlab+%s/projects/%s", api, project);
	return 0;
}

static int place_open_depot(struct depot **out, const struct setting *s)
{
	struct depot_place p = { .url = s->url };
	char *made = NULL;
	int rc = strcmp(s->url, "gitlab://job") ? 0 : job_url(&made);

	if (made)
		p.url = made;
	if (!strncmp(p.url, "s3://", 5))
		place_s3(&p, s);
	else if (!strncmp(p.url, "gitlab+", 7))
		place_gitlab(&p, s);
	rc = rc ? rc : depot_open(out, &p);
	free(made);
	return rc;
}

static int config_read(struct yaml **out, const struct home *h)
{
	char *path = path_join(store_home(h->store), "config.yaml");
	struct buf text = BUF_INIT(CONFIG_MAX);
	int rc = fs_read(&text, path, CONFIG_MAX);

	*out = NULL;
	if (rc == ERR_NOTFOUND) {
		err_clear();
		rc = 0;
	} else if (!rc) {
		rc = yaml_parse(out, buf_str(&text), text.len, path);
	}
	buf_release(&text);
	free(path);
	return rc;
}

static int find_setting(struct setting *out, const struct yaml *y, const struct home *h, const char *name)
{
	json_t *all = NULL, *map = NULL;
	int rc = y ? yaml_get_object(y, yaml_root(y), "locations", &all) : 0;

	map = json_object_get(all, name);
	if (!rc && !json_is_object(map)) {
		rc = err_set(ERR_INPUT, "no location is called %.80s", name);
		err_hint(rc, "%s/config.yaml says what it is, under locations: %.80s: {url: …}", store_home(h->store),
			 name);
	}
	return rc ? rc : read_setting(out, y, map);
}

/* key: of config.yaml, where neither a name nor the variable says it */
static const char *chosen(const struct yaml *y, const char *name, const char *variable, const char *key,
			  const char *otherwise)
{
	const char *env = getenv(variable), *text = NULL;

	if (name)
		return name;
	if (env && *env)
		return env;
	if (y && !yaml_get_text(y, yaml_root(y), key, &text) && text)
		return text;
	err_clear();
	return otherwise;
}

int team_open(struct depot **out, const struct home *h, const char *name, const char *otherwise)
{
	struct setting s = { 0 };
	struct yaml *y = NULL;
	int rc = config_read(&y, h);

	*out = NULL;
	name = rc ? NULL : chosen(y, name, "ASSAY_REMOTE", "remote", otherwise);
	if (!rc && !name) {
		rc = err_set(ERR_NOTFOUND, "no remote is configured");
		err_hint(rc,
			 "name one: assay push file:///srv/assay; or set ASSAY_REMOTE, or remote: in %s/config.yaml",
			 store_home(h->store));
	}
	if (!rc && strstr(name, "://"))
		s.url = name;
	else if (!rc)
		rc = find_setting(&s, y, h, name);
	rc = rc ? rc : place_open_depot(out, &s);
	yaml_free(y);
	return rc;
}

/* What a commit names is a location, never a URL. */
static char *named_by_head(const struct place *p)
{
	struct buf text = BUF_INIT(CONFIG_MAX);
	struct commit c = { 0 };
	struct tree *t = NULL;
	struct yaml *y = NULL;
	const char *name = NULL;
	char *out = NULL;

	if (p->repo && !repo_commit(p->repo, "HEAD", &c) && !tree_open(&t, p->repo, &c) &&
	    !tree_read(t, CONFIG_FILE, &text) && !yaml_parse(&y, buf_str(&text), text.len, CONFIG_FILE) &&
	    !yaml_get_text(y, yaml_root(y), "remote", &name) && name && !strstr(name, "://"))
		out = mem_str(name);
	err_clear();
	yaml_free(y);
	tree_close(t);
	commit_release(&c);
	buf_release(&text);
	return out;
}

int team_open_at(struct depot **out, const struct place *p, const char *name)
{
	char *otherwise = name ? NULL : named_by_head(p);
	int rc = team_open(out, &p->home, name, otherwise);

	free(otherwise);
	return rc;
}

/* ---- the mirror ------------------------------------------------------------------------------ */

/* MLflow's own variable holds a secret for the server that its other variable names, and for no other. */
static const char *mirror_token(const struct setting *s)
{
	const char *uri = getenv("MLFLOW_TRACKING_URI"), *at = s->url + strlen(MIRROR_SCHEME);

	if (s->key)
		return variable(s->key, "", NULL);
	return uri && !strcmp(uri, at) ? variable(NULL, "MLFLOW_TRACKING_TOKEN", NULL) : NULL;
}

int team_mirror(char **where, const struct home *h, const char *name, struct mirror_counts *n)
{
	struct setting s = { 0 };
	struct depot_place p = { 0 };
	struct yaml *y = NULL;
	int rc = config_read(&y, h);

	*where = NULL;
	name = rc ? NULL : chosen(y, name, "ASSAY_MIRROR", "mirror", NULL);
	if (!rc && !name) {
		rc = err_set(ERR_NOTFOUND, "no mirror is configured");
		err_hint(
			rc,
			"name one: assay mirror mlflow+https://HOST; or set ASSAY_MIRROR, or mirror: in %s/config.yaml",
			store_home(h->store));
	} else if (!rc && strstr(name, "://")) {
		s.url = name;
	} else if (!rc) {
		rc = find_setting(&s, y, h, name);
	}
	if (!rc) {
		p.url = *where = mem_str(s.url);
		if (!strncmp(s.url, MIRROR_SCHEME, strlen(MIRROR_SCHEME)))
			p.secret = mirror_token(&s);
		rc = registry_mirror(h->registry, &p, n);
	}
	yaml_free(y);
	return rc;
}

/* ---- on demand ------------------------------------------------------------------------------- */

/* Opened by the first who needs something; NULL: there is none, or it could not be. */
static struct depot *depot_of(struct home *h)
{
	int rc = 0;

	if (h->depot_failed)
		return NULL;
	if (!h->depot)
		rc = team_open(&h->depot, h, NULL, h->remote);
	h->depot_failed = rc != 0;
	if (rc && rc != ERR_NOTFOUND)
		log_warn("%s", err_text());
	err_clear();
	return h->depot;
}

static void fetch(const char *hex, void *arg)
{
	struct home *h = arg;
	struct depot *d = depot_of(h);
	uint64_t bytes = 0;
	int rc = d ? depot_fetch(d, h->store, hex, &bytes) : 0;

	if (bytes)
		log_info("fetched %.12s from %s", hex, depot_name(d));
	if (rc && rc != ERR_NOTFOUND) {
		log_warn("%s", err_text());
		h->depot_failed = rc == ERR_UNAVAILABLE;
	}
	err_clear();
}

static bool has(const char *hex, void *arg)
{
	struct depot *d = depot_of(arg);

	return d && depot_has(d, hex);
}

void team_on_demand(struct home *h, const char *otherwise)
{
	h->remote = otherwise;
	store_on_absent(h->store, &(struct store_elsewhere){ fetch, has, h });
}

void team_counts(char out[96], const struct sync_counts *n)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double size = (double)n->bytes;
	size_t u = 0;

	for (; size >= 1000 && u + 1 < ARRAY_LEN(units); u++)
		size /= 1000;
	snprintf(out, 96, "%llu record%s and %llu object%s (%.*f %s)", (unsigned long long)n->records,
		 n->records == 1 ? "" : "s", (unsigned long long)n->objects, n->objects == 1 ? "" : "s",
		 u && size < 100 ? 1 : 0, size, units[u]);
}
