/* registry_query.c: asking the registry. Nothing here writes.
 *
 * Names of runs, in the order in which they are tried: "latest"; MODEL@v7 and MODEL@ALIAS; the id or a prefix of it; a
 * commit or a prefix of it; a branch. Where several runs fit one commit, branch or version, the newest by seq stands
 * for them. For a version it must be of at least the trust of the run that made it: a fork's run that happens upon the
 * same weights does not come to speak for them.
 *
 * Lists give rows as flat objects under the names that the records use (commit, exit, from, to), not the columns'. */
#include "base/base.h"

#include <ctype.h>

#include "artifacts/artifacts_int.h"

enum { ID_PREFIX_MIN = 6, COMMIT_PREFIX_MIN = 4 };

#define RANK(run) "(CASE " run ".trust WHEN 'protected' THEN 2 WHEN 'branch' THEN 1 ELSE 0 END)"

#define JUDGED "(profile IS 'calibrate')" /* what only measured noise stands for nothing that was judged */
#define SQL_LATEST "SELECT id FROM runs ORDER BY seq DESC, id DESC LIMIT 1"
#define SQL_BY_ID "SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"
#define SQL_BY_COMMIT                                                                                                  \
	"SELECT commit_oid, id FROM runs WHERE commit_oid >= ?1 AND commit_oid < ?1 || 'g' ORDER BY " JUDGED           \
	", seq DESC, id DESC"
#define SQL_BY_BRANCH "SELECT id FROM runs WHERE branch = ?1 ORDER BY " JUDGED ", seq DESC, id DESC LIMIT 1"
#define SQL_BY_VERSION                                                                                                 \
	"SELECT r.id FROM versions v JOIN runs m ON m.id = v.run JOIN runs r ON r.model = v.model AND r.version = "    \
	"v.number"                                                                                                     \
	" WHERE v.model = ?1 AND v.number = ?2 AND " RANK("r") " >= " RANK(                                            \
		"m") " ORDER BY r.seq DESC, r.id DESC LIMIT 1"
#define SQL_RUN_THERE "SELECT id FROM runs WHERE id = ?1"
#define SQL_STAGE                                                                                                      \
	"SELECT s.run, s.step, s.name, s.key, s.output AS \"output*\" FROM stages s JOIN runs r ON r.id = s.run"       \
	" WHERE s.step = ?1 AND s.key = ?2 AND " RANK(                                                                 \
		"r") " >= ?3 ORDER BY r.seq DESC, r.id DESC, s.position DESC LIMIT 1"
#define SQL_STAGES                                                                                                     \
	"SELECT s.run, s.step, s.name, s.key, s.output AS \"output*\" FROM stages s JOIN runs r ON r.id = s.run"       \
	" WHERE s.step = ?1 AND s.key = ?2 AND " RANK(                                                                 \
		"r") " >= ?3 GROUP BY s.output ORDER BY max(r.seq) DESC, r.id DESC, s.position DESC"
/* Newest first, one probe of metrics a run: its first filter and suite, where several fit. */
#define SQL_TREND                                                                                                      \
	"SELECT r.id AS run, r.commit_oid AS \"commit\", r.created, r.verdict, m.value, m.stderr, m.n,"                \
	" m.higher_is_better AS \"higher_is_better?\", r.model, r.version"                                             \
	" FROM runs r INDEXED BY runs_by_branch CROSS JOIN metrics m ON m.run = r.id AND m.task = ?2 AND m.metric = "  \
	"?3 AND (?4 IS NULL OR m.filter = ?4) WHERE r.branch = ?1 ORDER BY r.seq DESC, r.id DESC, m.filter, m.suite"
#define SQL_MAKER                                                                                                      \
	"SELECT s.run FROM stages s JOIN runs r ON r.id = s.run"                                                       \
	" WHERE s.step = 'train' AND s.object = ?1"                                                                    \
	" ORDER BY r.seq DESC, r.id DESC LIMIT 1"

#define VERSION_COLUMNS                                                                                                \
	"v.model, v.number, v.object, v.key, v.product, v.run, r.commit_oid AS \"commit\", v.created,"                 \
	" (SELECT json_group_array(alias) FROM (SELECT alias FROM aliases a WHERE a.model = v.model"                   \
	" AND a.version = v.number ORDER BY alias)) AS \"aliases*\" FROM versions v JOIN runs r ON r.id = v.run"
#define SQL_VERSION "SELECT " VERSION_COLUMNS " WHERE v.model = ?1 AND v.number = ?2"

#define HISTORY_COLUMNS                                                                                                \
	"id, model, alias, version, from_version, actor, reason, run, commit_oid AS \"commit\", created,"              \
	" forced AS \"forced?\", rollback AS \"rollback?\", verdict, policy, previous FROM promotions"

static const struct list {
	const char *name, *sql; /* ?1 filter or NULL, ?2 limit or -1 */
} lists[] = {
	{ "runs",
	  "SELECT id, commit_oid AS \"commit\", tree_oid AS tree, branch, ref, trust, event, dirty AS \"dirty?\","
	  " profile, verdict, exit_code AS \"exit\", sentence, created, seconds, tool_version, numerics, model,"
	  " version, baseline_run, baseline_model, baseline_version, baseline_name FROM runs"
	  " WHERE ?1 IS NULL OR model = ?1 OR baseline_model = ?1 ORDER BY seq DESC, id DESC LIMIT ?2" },
	{ "models", "SELECT name AS model, (SELECT count(*) FROM versions v WHERE v.model = m.name) AS versions,"
		    " (SELECT max(number) FROM versions v WHERE v.model = m.name) AS latest, created,"
		    " (SELECT json_group_object(alias, version) FROM (SELECT alias, version FROM aliases a"
		    " WHERE a.model = m.name ORDER BY alias)) AS \"aliases*\" FROM models m"
		    " WHERE ?1 IS NULL OR name = ?1 ORDER BY created_ns DESC, name LIMIT ?2" },
	{ "versions", "SELECT " VERSION_COLUMNS
		      " WHERE ?1 IS NULL OR v.model = ?1 ORDER BY v.seq DESC, v.model, v.number DESC LIMIT ?2" },
	{ "history", "SELECT " HISTORY_COLUMNS " WHERE ?1 IS NULL OR model = ?1 ORDER BY seq DESC, id DESC LIMIT ?2" },
	{ "datasets",
	  "SELECT d.digest, d.path, d.\"rows\" AS \"rows\", d.bytes, d.role, d.run, r.commit_oid AS \"commit\","
	  " r.model, r.version, r.created FROM datasets d JOIN runs r ON r.id = d.run"
	  " WHERE ?1 IS NULL OR r.model = ?1 OR r.id = ?1 ORDER BY r.seq DESC, r.id DESC, d.position LIMIT ?2" },
	{ "edges",
	  "SELECT e.from_node AS \"from\", e.to_node AS \"to\", e.relation, e.run, r.created FROM edges e"
	  " JOIN runs r ON r.id = e.run"
	  " WHERE ?1 IS NULL OR r.model = ?1 OR r.id = ?1 ORDER BY r.seq DESC, r.id DESC, e.position LIMIT ?2" },
	{ "curves", "SELECT run, kind, step, loss, lr, grad_norm, tokens_per_s FROM curves"
		    " WHERE ?1 IS NULL OR run = ?1 ORDER BY run, kind, step LIMIT ?2" },
};

/* ?3: the time. An alias is what its last promotion until then said. */
static const struct list lists_at[] = {
	{ "versions", "WITH held AS MATERIALIZED (SELECT model, alias, version FROM (SELECT model, alias, version,"
		      " row_number() OVER (PARTITION BY model, alias ORDER BY seq DESC, id DESC) AS k FROM promotions"
		      " WHERE created_ns <= ?3 AND (?1 IS NULL OR model = ?1)) WHERE k = 1)"
		      " SELECT v.model, v.number, v.object, v.key, v.product, v.run, r.commit_oid AS \"commit\","
		      " v.created, (SELECT json_group_array(alias) FROM (SELECT alias FROM held h"
		      " WHERE h.model = v.model AND h.version = v.number ORDER BY alias)) AS \"aliases*\""
		      " FROM versions v JOIN runs r ON r.id = v.run WHERE v.created_ns <= ?3"
		      " AND (?1 IS NULL OR v.model = ?1) ORDER BY v.seq DESC, v.model, v.number DESC LIMIT ?2" },
	{ "history", "SELECT " HISTORY_COLUMNS " WHERE created_ns <= ?3 AND (?1 IS NULL OR model = ?1)"
		     " ORDER BY seq DESC, id DESC LIMIT ?2" },
};

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

int registry_list(struct registry *r, const char *what, const char *filter, int64_t limit, json_t **rows)
{
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (!strcmp(lists[i].name, what))
			return sql_rows(r, rows, lists[i].sql, "ti", filter, limit > 0 ? limit : (int64_t)-1);
	return err_set(ERR_BUG, "registry: there is no list of %s", what);
}

int registry_list_at(struct registry *r, const char *what, const char *filter, int64_t limit, int64_t unix_ns,
		     json_t **rows)
{
	for (size_t i = 0; i < ARRAY_LEN(lists_at); i++)
		if (!strcmp(lists_at[i].name, what))
			return sql_rows(r, rows, lists_at[i].sql, "tii", filter, limit > 0 ? limit : (int64_t)-1,
					unix_ns);
	return err_set(ERR_BUG, "registry: there is no list of %s at a time", what);
}

struct trend {
	json_t *rows;
	struct map seen; /* commits, or runs that have none */
	int64_t limit;
};

/* The newest run of a commit comes first, and stands for it. */
static int add_point(json_t *row, void *arg)
{
	struct trend *t = arg;
	const char *of = json_get_text(row, "commit", json_get_text(row, "run", ""));

	if (map_put(&t->seen, of, strlen(of), 0))
		json_array_append(t->rows, row);
	return t->limit > 0 && json_array_size(t->rows) >= (size_t)t->limit;
}

int registry_trend(struct registry *r, const char *branch, const char *task, const char *metric, const char *filter,
		   int64_t limit, json_t **rows)
{
	struct trend t = { .rows = json_array(), .limit = limit };
	int rc;

	map_init(&t.seen);
	rc = sql_each(r, add_point, &t, SQL_TREND, "tttt", branch, task, metric, filter);
	map_release(&t.seen);
	if (!rc) {
		*rows = json_array();
		for (size_t i = json_array_size(t.rows); i > 0; i--)
			json_array_append(*rows, json_array_get(t.rows, i - 1));
	}
	json_decref(t.rows);
	return rc;
}
