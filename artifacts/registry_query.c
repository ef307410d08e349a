/* registry_query.c: one row of the registry by its name. Lists: registry_list.c. Nothing here writes.
 *
 * Names of runs, in the order in which they are tried: "latest"; MODEL@v7 and MODEL@ALIAS; the id or a prefix of it; a
 * commit or a prefix of it; a branch. Where several runs fit one commit, branch or version, the newest stands for
 * them. For a version it must be of at least the trust of the run that made it: a fork's run that happens upon the
 * same weights does not come to speak for them.
 */
#include "base/base.h"

#include <ctype.h>

#include "artifacts/artifacts_int.h"

enum { ID_PREFIX_MIN = 6, COMMIT_PREFIX_MIN = 4 };

#define RANK(run) "(CASE " run ".trust WHEN 'protected' THEN 2 WHEN 'branch' THEN 1 ELSE 0 END)"

#define SQL_LATEST "SELECT id FROM runs ORDER BY n DESC LIMIT 1"
#define SQL_BY_ID "SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"
/* What only measured noise (profile calibrate) stands for nothing that was judged: it comes last. */
#define SQL_BY_COMMIT                                                                                                  \
	"SELECT commit_oid, id FROM runs WHERE commit_oid >= ?1 AND commit_oid < ?1 || 'g'"                            \
	" ORDER BY profile IS 'calibrate', n DESC"
#define SQL_BY_BRANCH "SELECT id FROM runs WHERE branch = ?1 AND profile IS NOT 'calibrate' ORDER BY n DESC LIMIT 1"
#define SQL_BY_BRANCH_ANY "SELECT id FROM runs WHERE branch = ?1 ORDER BY n DESC LIMIT 1"
#define SQL_BY_VERSION                                                                                                 \
	"SELECT r.id FROM versions v JOIN runs m ON m.id = v.run JOIN runs r ON r.model = v.model AND r.version = "    \
	"v.number"                                                                                                     \
	" WHERE v.model = ?1 AND v.number = ?2 AND " RANK("r") " >= " RANK("m") " ORDER BY r.n DESC LIMIT 1"
#define SQL_RUN_THERE "SELECT id FROM runs WHERE id = ?1"
#define SQL_STAGE                                                                                                      \
	"SELECT r.id AS run, s.step, s.name, s.key, s.output AS \"output*\" FROM stages s CROSS JOIN runs r"           \
	" ON r.n = s.run"                                                                                              \
	" WHERE s.step = ?1 AND s.key = ?2 AND " RANK("r") " >= ?3 ORDER BY s.run DESC, s.position DESC LIMIT 1"
#define SQL_STAGES                                                                                                     \
	"SELECT r.id AS run, s.step, s.name, s.key, s.output AS \"output*\" FROM stages s CROSS JOIN runs r"           \
	" ON r.n = s.run"                                                                                              \
	" WHERE s.step = ?1 AND s.key = ?2 AND " RANK("r") " >= ?3 GROUP BY s.output ORDER BY max(s.run) DESC"
#define SQL_MAKER                                                                                                      \
	"SELECT r.id FROM stages s CROSS JOIN runs r ON r.n = s.run WHERE s.object = ?1 AND s.step = 'train'"          \
	" ORDER BY s.run DESC LIMIT 1"
#define SQL_VERSION "SELECT " VERSION_COLUMNS " WHERE v.model = ?1 AND v.number = ?2"
#define SQL_TRUST "SELECT max(" RANK("r") ") FROM runs r WHERE r.model = ?1 AND r.version = ?2"
#define SQL_PROMOTION                                                                                                  \
	"SELECT " HISTORY_COLUMNS " WHERE model = ?1 AND alias = ?2 AND version = ?3 AND (?4 = 0 OR run IS NOT NULL)"  \
	" ORDER BY seq DESC, id DESC LIMIT 1"
#define SQL_EVER_PROMOTED "SELECT 1 FROM promotions WHERE model = ?1 AND version = ?2 LIMIT 1"

/* ---- names of runs --------------------------------------------------------------------------- */

static int copy_id(int rc, char *found, char id[DIGEST_HEX])
{
	if (!rc)
		snprintf(id, DIGEST_HEX, "%s", found);
	free(found);
	return rc;
}

static int find_version(struct registry *r, const char *name, const char *at, char id[DIGEST_HEX])
{
	char *model = mem_strn(name, (size_t)(at - name)), *found = NULL;
	int version = record_version_number(at + 1);
	int rc = version ? 0 : registry_alias(r, model, at + 1, &version);

	if (!rc) {
		rc = sql_text(r, &found, SQL_BY_VERSION, "ti", model, (int64_t)version);
		if (rc == ERR_NOTFOUND)
			rc = err_set(ERR_NOTFOUND, "there is no %.140s@v%d", model, version);
	}
	free(model);
	return copy_id(rc, found, id);
}

static int find_id(struct registry *r, const char *prefix, char id[DIGEST_HEX])
{
	json_t *rows = NULL;
	int rc = sql_rows(r, &rows, SQL_BY_ID, "t", prefix);

	if (rc)
		return rc;
	if (json_array_size(rows) > 1) {
		rc = err_set(ERR_INPUT, "several runs begin with %s", prefix);
		err_hint(rc, "give more digits (assay runs lists them)");
	} else if (!json_array_size(rows)) {
		rc = ERR_NOTFOUND;
	} else {
		snprintf(id, DIGEST_HEX, "%s", json_get_text(json_array_get(rows, 0), "id", ""));
	}
	json_decref(rows);
	return rc;
}

static int find_commit(struct registry *r, const char *prefix, char id[DIGEST_HEX])
{
	json_t *rows = NULL, *row;
	const char *first = NULL;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_BY_COMMIT, "t", prefix);

	if (rc)
		return rc;
	json_array_foreach(rows, i, row)
	{
		const char *oid = json_get_text(row, "commit_oid", "");

		if (!first) {
			first = oid;
			snprintf(id, DIGEST_HEX, "%s", json_get_text(row, "id", ""));
		} else if (strcmp(first, oid)) {
			rc = err_set(ERR_INPUT, "runs of several commits begin with %s", prefix);
			err_hint(rc, "give more digits");
			break;
		}
	}
	if (!rc && !first)
		rc = ERR_NOTFOUND;
	json_decref(rows);
	return rc;
}

static int find_branch(struct registry *r, const char *name, char id[DIGEST_HEX])
{
	char *found = NULL;
	int rc = sql_text(r, &found, SQL_BY_BRANCH, "t", name);

	if (rc == ERR_NOTFOUND)
		rc = sql_text(r, &found, SQL_BY_BRANCH_ANY, "t", name);
	return copy_id(rc, found, id);
}

static int not_found(const char *name)
{
	int rc = err_set(ERR_NOTFOUND, "no run is named '%.140s'", name);

	return err_hint(rc, "a run is named by its id, a commit, a branch, MODEL@v7, MODEL@ALIAS or latest");
}

int registry_find_run(struct registry *r, const char *name, char id[DIGEST_HEX])
{
	const char *at = strrchr(name, '@');
	char *found = NULL, hex[DIGEST_HEX];
	size_t n = strlen(name);
	int rc = ERR_NOTFOUND;

	if (!strcmp(name, "latest")) {
		rc = sql_text(r, &found, SQL_LATEST, "");
		rc = copy_id(rc, found, id);
		return rc == ERR_NOTFOUND ? err_set(rc, "there are no runs yet") : rc;
	}
	if (at && at > name && at[1] && at[1] != '{') {
		struct err_saved why;

		rc = find_version(r, name, at, id);
		if (rc != ERR_NOTFOUND)
			return rc;
		why = err_save(); /* a branch may have such a name too */
		rc = find_branch(r, name, id);
		err_restore(&why);
		return rc;
	}
	if (n && n < sizeof(hex) && strspn(name, "0123456789abcdefABCDEF") == n) {
		for (size_t i = 0; i <= n; i++)
			hex[i] = (char)tolower((unsigned char)name[i]);
		if (n >= ID_PREFIX_MIN)
			rc = find_id(r, hex, id);
		if (rc == ERR_NOTFOUND && n >= COMMIT_PREFIX_MIN)
			rc = find_commit(r, hex, id);
	}
	if (rc == ERR_NOTFOUND)
		rc = find_branch(r, name, id);
	return rc == ERR_NOTFOUND ? not_found(name) : rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

int registry_run(struct registry *r, const char *id, json_t **record)
{
	char *found = NULL;
	int rc = sql_text(r, &found, SQL_RUN_THERE, "t", id);

	free(found);
	if (rc == ERR_NOTFOUND)
		return err_set(ERR_NOTFOUND, "there is no run %.64s", id);
	return rc ? rc : record_read(r->store, id, record);
}

int registry_version(struct registry *r, const char *model, int number, json_t **out)
{
	int rc = sql_row(r, out, SQL_VERSION, "ti", model, (int64_t)number);

	return rc == ERR_NOTFOUND ? err_set(rc, "there is no %.140s@v%d", model, number) : rc;
}

int registry_stage(struct registry *r, const char *step, const char *key, enum trust trust, json_t **out)
{
	int rc = sql_row(r, out, SQL_STAGE, "tti", step, key, (int64_t)trust);

	return rc == ERR_NOTFOUND ? err_set(rc, "no %.40s of key %.64s is stored", step, key) : rc;
}

int registry_stages(struct registry *r, const char *step, const char *key, enum trust trust, json_t **rows)
{
	return sql_rows(r, rows, SQL_STAGES, "tti", step, key, (int64_t)trust);
}

int registry_maker(struct registry *r, const char *object, char id[DIGEST_HEX])
{
	char *found = NULL;
	int rc = sql_text(r, &found, SQL_MAKER, "t", object);

	rc = copy_id(rc, found, id);
	return rc == ERR_NOTFOUND ? err_set(rc, "no run that is known here made %.64s", object) : rc;
}

int registry_version_trust(struct registry *r, const char *model, int number, enum trust *out)
{
	int64_t rank = 0;
	int rc = sql_int(r, &rank, SQL_EVER_PROMOTED, "ti", model, (int64_t)number);

	if (!rc)
		rank = TRUST_PROTECTED;
	else if (rc == ERR_NOTFOUND)
		rc = sql_int(r, &rank, SQL_TRUST, "ti", model, (int64_t)number);
	*out = (enum trust)rank;
	return rc;
}

int registry_promotion(struct registry *r, const char *model, const char *alias, int version, bool by_run, json_t **out)
{
	return sql_row(r, out, SQL_PROMOTION, "ttii", model, alias, (int64_t)version, (int64_t)by_run);
}
