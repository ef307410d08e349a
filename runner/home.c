/* home.c: opening what assay remembers, names of versions, and proposals that come true. */
#include "base/base.h"
#include "runner/event.h"
#include "runner/home.h"

#include <limits.h>
#include <pwd.h>
#include <unistd.h>

/* Absolute: commands run in other folders. */
static int home_path(char **out, const char *env)
{
	char cwd[PATH_MAX];

	if (env[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return err_errno(ERR_ENV, "the working directory");
	*out = env[0] == '/' ? mem_str(env) : path_join(cwd, env);
	return 0;
}

int home_open_store(struct home *h, struct repo *r)
{
	const char *env = getenv("ASSAY_HOME");
	char *path = NULL;
	int rc = 0;

	memset(h, 0, sizeof(*h));
	if (env && *env) {
		rc = home_path(&path, env);
		rc = rc ? rc : home_check(path, r, "HEAD");
	} else if (r) {
		path = path_join(repo_common_dir(r), "assay");
	} else {
		err_set(ERR_INPUT, "not in a git repository, and ASSAY_HOME is not set");
		return err_hint(ERR_INPUT,
				"run inside a clone, or set ASSAY_HOME to the folder that holds registry.db");
	}
	if (rc == 0)
		rc = store_open(&h->store, path);
	free(path);
	return rc;
}

int home_open(struct home *h, struct repo *r)
{
	int rc = home_open_store(h, r);

	if (rc == 0)
		rc = registry_open(&h->registry, h->store);
	if (rc)
		home_close(h);
	return rc;
}

int home_check_commit(const struct home *h, struct repo *r, const char *commit)
{
	const char *env = getenv("ASSAY_HOME");

	return env && *env ? home_check(store_home(h->store), r, commit) : 0;
}

void home_close(struct home *h)
{
	depot_close(h->depot);
	registry_close(h->registry);
	store_close(h->store);
	memset(h, 0, sizeof(*h));
}

/* ---- versions --------------------------------------------------------------------------------------------------------------- */

/* 7 of "v7"; 0 if it is no version's number, as v07 and v99999999999 are not. */
static int version_number(const char *text)
{
	char *end;
	long n;

	if (text[0] != 'v' || text[1] < '1' || text[1] > '9')
		return 0;
	n = strtol(text + 1, &end, 10);
	return *end || n > INT_MAX ? 0 : (int)n;
}

int home_version(struct home *h, const char *name, json_t **row)
{
	const char *at = strrchr(name, '@');
	char *model;
	int version, rc = 0;

	if (!at || at == name || !at[1])
		return err_set(ERR_INPUT, "%s: MODEL@v7 or MODEL@ALIAS is wanted", name);
	model = mem_strn(name, (size_t)(at - name));
	version = version_number(at + 1);
	if (version == 0)
		rc = registry_alias(h->registry, model, at + 1, &version);
	if (rc == 0)
		rc = registry_version(h->registry, model, version, row);
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "the registry has no %s", name);
		err_hint(rc, "assay models lists the models, their versions and aliases");
	}
	free(model);
	return rc;
}

int home_no_weights(int rc, const char *object)
{
	if (rc != ERR_NOTFOUND)
		return rc;
	err_context(rc, "the weights %.12s are not here", object);
	if (err_fix()) /* a part of them was found damaged: that is no wrong name */
		return ERR_IO;
	return err_hint(
		rc, "ASSAY_REMOTE, or remote in assay.yaml, names where a copy is, and they come when they are needed; "
		    "assay reproduce makes a run's weights again");
}

int model_dir_of_object(struct model_dir *d, struct home *h, const char *object)
{
	char *tmp = path_join(store_home(h->store), "tmp");
	int rc;

	memset(d, 0, sizeof(*d));
	rc = fs_temp_dir(&d->path, tmp, "model-");
	free(tmp);
	if (rc)
		return rc;
	d->temporary = true;
	(void)store_need(h->store, object);
	snprintf(d->object, sizeof(d->object), "%s", object);
	rc = store_get_tree(h->store, object, d->path);
	rc = home_no_weights(rc, object);
	if (rc)
		model_dir_close(d);
	return rc;
}

int model_dir_open(struct model_dir *d, struct home *h, const char *name)
{
	json_t *row = NULL;
	int rc;

	memset(d, 0, sizeof(*d));
	if (fs_is_dir(name)) {
		d->path = mem_str(name);
		return 0;
	}
	if (strchr(name, '/') || !strchr(name, '@')) {
		err_set(ERR_INPUT, "no model folder %s", name);
		return err_hint(ERR_INPUT, "a Hugging Face folder, MODEL@v7 or MODEL@ALIAS");
	}
	rc = home_version(h, name, &row);
	if (rc == 0)
		rc = model_dir_of_object(d, h, json_get_text(row, "object", ""));
	json_decref(row);
	return rc;
}

void model_dir_close(struct model_dir *d)
{
	struct err_saved saved = err_save();

	if (d->temporary && d->path)
		fs_remove_tree(d->path);
	free(d->path);
	memset(d, 0, sizeof(*d));
	err_restore(&saved);
}

bool home_is_passing(void)
{
	const char *home = getenv("ASSAY_HOME");

	return event_ci() && !(home && *home);
}

/* Who acts here: the forge's user in its CI, else the user of this machine; ASSAY_ACTOR says otherwise. */
const char *home_actor(void)
{
	static const char *const names[] = { "ASSAY_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME" };
	struct passwd *pw;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (getenv(names[i]) && *getenv(names[i]))
			return getenv(names[i]);
	pw = getpwuid(getuid());
	return pw ? pw->pw_name : "unknown";
}

/* ---- proposals ---------------------------------------------------------------------------------------------------------------- */

/* Has the commit reached the branch it was pushed to, as far as this clone knows? Without a remote, it is this repository's own. */
static bool reached(struct repo *r, const json_t *p)
{
	const char *ref = json_get_text(p, "ref", ""), *remote = json_get_text(p, "remote", "");
	char *tracking, oid[OID_HEX];
	bool yes;

	if (strncmp(ref, "refs/heads/", 11) != 0)
		return false;
	tracking = *remote ? mem_printf("refs/remotes/%s/%s", remote, ref + 11) : mem_str(ref);
	yes = repo_ref(r, tracking, oid) == 0 && repo_is_ancestor(r, json_get_text(p, "commit", ""), oid);
	free(tracking);
	err_clear();
	return yes;
}

static void settle_one(struct home *h, const json_t *p)
{
	const char *run = json_get_text(p, "run", "");
	const char *remote = json_get_text(p, "remote", "");
	char *reason = mem_printf("the gate passed, and %.12s has reached %s", json_get_text(p, "commit", ""),
				  *remote ? remote : json_get_text(p, "ref", ""));
	json_t *record = NULL;
	int rc = registry_run(h->registry, run, &record);
	const struct promotion promotion = { .model = json_get_text(p, "model", ""),
					     .alias = json_get_text(p, "alias", ""),
					     .version = (int)json_get_int(p, "version", 0),
					     .expect = (int)json_get_int(p, "expect", 0),
					     .run = run,
					     .rebind = true,
					     .actor = json_get_text(record, "actor", "unknown"),
					     .reason = reason };
	char id[DIGEST_HEX];

	if (rc == 0)
		rc = registry_promote(h->registry, &promotion, id);
	if (rc == 0)
		log_info("%s@%s is now v%d: %s", promotion.model, promotion.alias, promotion.version, reason);
	if (rc == ERR_CONFLICT || rc == ERR_NOTFOUND || rc == ERR_INPUT) { /* it can never come true */
		char *why = mem_str(err_text());

		log_warn("%s@v%d was proposed for %s and is not promoted: %s; judge it again with: assay run %.12s",
			 promotion.model, promotion.version, promotion.alias, why, json_get_text(p, "commit", ""));
		err_clear();
		rc = registry_drop_proposal(h->registry, run, why);
		free(why);
	}
	if (rc) /* a home that cannot be written to can still be read: no reason for every command to fail */
		log_warn("the proposal of run %.12s waits: %s", run, err_text());
	err_clear();
	json_decref(record);
	free(reason);
}

int home_settle(struct home *h, struct repo *r)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = registry_proposals(h->registry, &rows);

	json_array_foreach(rows, i, row) if (reached(r, row)) settle_one(h, row);
	json_decref(rows);
	return rc;
}
