/* registry_list.c: lists from the registry, newest first. Nothing here writes.
 *
 * Rows are flat objects under the names that the records use (commit, exit, from, to), not the columns'. A list with a filter
 * and one without are two statements, since SQLite chooses one plan for a statement, whatever is bound to it: what asks
 * "?1 IS NULL OR model = ?1" reads the whole table. runs.n is the order of the records, so each index of runs gives its rows
 * in the order that is wanted. test_registry_plans.c holds all plans to this. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#define RUN_COLUMNS                                                                                                    \
	"id, seq, commit_oid AS \"commit\", tree_oid AS tree, branch, ref, trust, event, dirty AS \"dirty?\", "        \
	"profile,"                                                                                                     \
	" verdict, exit_code AS \"exit\", sentence, created, seconds, tool_version, numerics, model, version,"         \
	" baseline_run, baseline_model, baseline_version, baseline_name, object, prompt FROM runs"
#define MODEL_COLUMNS                                                                                                  \
	"name AS model, (SELECT count(*) FROM versions v WHERE v.model = m.name) AS versions,"                         \
	" (SELECT max(number) FROM versions v WHERE v.model = m.name) AS latest, created,"                             \
	" (SELECT json_group_object(alias, version) FROM (SELECT alias, version FROM aliases a"                        \
	" WHERE a.model = m.name ORDER BY alias)) AS \"aliases*\" FROM models m"
#define DATASET_COLUMNS                                                                                                \
	"d.digest, d.path, d.\"rows\" AS \"rows\", d.bytes, d.role, r.id AS run, r.commit_oid AS \"commit\","          \
	" r.model, r.version, r.created FROM runs r JOIN datasets d ON d.run = r.n"
#define EDGE_COLUMNS                                                                                                   \
	"e.from_node AS \"from\", e.to_node AS \"to\", e.relation, r.id AS run, r.created FROM runs r"                 \
	" JOIN edges e ON e.run = r.n"
#define CURVE_COLUMNS                                                                                                  \
	"r.id AS run, c.kind, c.step, c.loss, c.lr, c.grad_norm, c.tokens_per_s FROM runs r JOIN curves c ON c.run = " \
	"r.n"

static const struct list {
	const char *name, *all, *some; /* ?1 limit or -1, ?2 filter */
} lists[] = {
	{ "runs", "SELECT " RUN_COLUMNS " ORDER BY n DESC LIMIT ?1",
	  "SELECT " RUN_COLUMNS " WHERE n IN (SELECT n FROM runs WHERE model = ?2 UNION SELECT n FROM runs"
	  " WHERE baseline_model = ?2 ORDER BY n DESC LIMIT ?1) ORDER BY n DESC" },
	{ "models", "SELECT " MODEL_COLUMNS " ORDER BY created_ns DESC, name LIMIT ?1",
	  "SELECT " MODEL_COLUMNS " WHERE name = ?2 LIMIT ?1" },
	{ "versions", "SELECT " VERSION_COLUMNS " ORDER BY v.seq DESC, v.model, v.number DESC LIMIT ?1",
	  "SELECT " VERSION_COLUMNS " WHERE v.model = ?2 ORDER BY v.number DESC LIMIT ?1" },
	{ "aliases",
	  "SELECT a.model, a.alias, a.version AS number, r.commit_oid AS \"commit\" FROM aliases a JOIN versions v"
	  " ON v.model = a.model AND v.number = a.version JOIN runs r ON r.id = v.run ORDER BY a.model, a.alias LIMIT "
	  "?1",
	  "SELECT a.model, a.alias, a.version AS number, r.commit_oid AS \"commit\" FROM aliases a JOIN versions v"
	  " ON v.model = a.model AND v.number = a.version JOIN runs r ON r.id = v.run WHERE a.model = ?2"
	  " ORDER BY a.alias LIMIT ?1" },
	{ "history", "SELECT " HISTORY_COLUMNS " ORDER BY seq DESC, id DESC LIMIT ?1",
	  "SELECT " HISTORY_COLUMNS " WHERE model = ?2 ORDER BY seq DESC, id DESC LIMIT ?1" },
	{ "datasets", "SELECT " DATASET_COLUMNS " ORDER BY r.n DESC, d.position LIMIT ?1",
	  "SELECT " DATASET_COLUMNS " WHERE r.model = ?2 OR r.id = ?2 ORDER BY r.n DESC, d.position LIMIT ?1" },
	{ "edges", "SELECT " EDGE_COLUMNS " ORDER BY r.n DESC, e.position LIMIT ?1",
	  "SELECT " EDGE_COLUMNS " WHERE r.model = ?2 OR r.id = ?2 ORDER BY r.n DESC, e.position LIMIT ?1" },
	{ "curves", "SELECT " CURVE_COLUMNS " ORDER BY r.n, c.kind, c.step LIMIT ?1",
	  "SELECT " CURVE_COLUMNS " WHERE r.id = ?2 ORDER BY c.kind, c.step LIMIT ?1" },
};

#define VERSIONS_AT(of)                                                                                                \
	"WITH held AS MATERIALIZED (SELECT model, alias, version FROM (SELECT model, alias, version,"                  \
	" row_number() OVER (PARTITION BY model, alias ORDER BY seq DESC, id DESC) AS k FROM promotions"               \
	" WHERE created_ns <= ?3" of ") WHERE k = 1)"                                                                  \
	" SELECT v.model, v.number, v.object, v.key, v.product, v.run, r.commit_oid AS \"commit\","                    \
	" v.created, (SELECT json_group_array(alias) FROM (SELECT alias FROM held h"                                   \
	" WHERE h.model = v.model AND h.version = v.number ORDER BY alias)) AS \"aliases*\""                           \
	" FROM versions v JOIN runs r ON r.id = v.run WHERE v.created_ns <= ?3"

/* ?3: the time. An alias is what its last promotion until then said. */
static const struct list lists_at[] = {
	{ "versions", VERSIONS_AT("") " ORDER BY v.seq DESC, v.model, v.number DESC LIMIT ?1",
	  VERSIONS_AT(" AND model = ?2") " AND v.model = ?2 ORDER BY v.number DESC LIMIT ?1" },
	{ "history", "SELECT " HISTORY_COLUMNS " WHERE created_ns <= ?3 ORDER BY seq DESC, id DESC LIMIT ?1",
	  "SELECT " HISTORY_COLUMNS " WHERE created_ns <= ?3 AND model = ?2 ORDER BY seq DESC, id DESC LIMIT ?1" },
};

static const char *const runs_by[] = {
	[RUNS_BY_ID] = "SELECT " RUN_COLUMNS " WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY n DESC",
	[RUNS_BY_COMMIT] = "SELECT " RUN_COLUMNS " WHERE commit_oid >= ?1 AND commit_oid < ?1 || 'g' ORDER BY n DESC",
	[RUNS_BY_BRANCH] = "SELECT " RUN_COLUMNS " WHERE branch = ?1 ORDER BY n DESC",
	[RUNS_BY_MODEL] = "SELECT " RUN_COLUMNS " WHERE model = ?1 ORDER BY n DESC",
	[RUNS_BY_BASELINE] = "SELECT " RUN_COLUMNS " WHERE baseline_run = ?1 ORDER BY n DESC",
	[RUNS_BY_BASELINE_MODEL] = "SELECT " RUN_COLUMNS " WHERE baseline_model = ?1 ORDER BY n DESC",
};

/* Newest first, one probe of metrics a run: its first filter and suite, where several fit. */
#define TREND(before, filter)                                                                                          \
	"SELECT " before "r.id AS run, r.commit_oid AS \"commit\", r.created, r.verdict, m.value, m.stderr, m.n,"      \
	" m.higher_is_better AS \"higher_is_better?\", r.model, r.version"                                             \
	" FROM runs r INDEXED BY runs_by_branch CROSS JOIN metrics m ON m.run = r.n AND m.task = ?2 AND m.metric = "   \
	"?3" filter " WHERE r.branch = ?1 ORDER BY r.n DESC, m.filter, m.suite"
#define TREND_KEY "coalesce(r.commit_oid, r.id), "
#define TREND_FILTER " AND m.filter = ?4"

static int list_of(const struct list *table, size_t n, const char *what, const struct list **out)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(table[i].name, what)) {
			*out = &table[i];
			return 0;
		}
	}
	return err_set(ERR_BUG, "registry: there is no list of %s", what);
}

int registry_list(struct registry *r, const char *what, const char *filter, int64_t limit, json_t **rows)
{
	const struct list *l = NULL;
	int64_t most = limit > 0 ? limit : -1;
	int rc = list_of(lists, ARRAY_LEN(lists), what, &l);

	if (rc)
		return rc;
	return filter ? sql_rows(r, rows, l->some, "it", most, filter) : sql_rows(r, rows, l->all, "i", most);
}

int registry_list_text(struct registry *r, const char *what, const char *filter, int64_t limit,
		       int (*put)(const void *data, size_t len, void *arg), void *arg)
{
	const struct list *l = NULL;
	int64_t most = limit > 0 ? limit : -1;
	int rc = list_of(lists, ARRAY_LEN(lists), what, &l);

	if (rc)
		return rc;
	return filter ? sql_rows_text(r, put, arg, l->some, "it", most, filter)
		      : sql_rows_text(r, put, arg, l->all, "i", most);
}

int registry_list_at(struct registry *r, const char *what, const char *filter, int64_t limit, int64_t unix_ns,
		     json_t **rows)
{
	const struct list *l = NULL;
	int64_t most = limit > 0 ? limit : -1;
	int rc = list_of(lists_at, ARRAY_LEN(lists_at), what, &l);

	return rc ? rc : sql_rows(r, rows, filter ? l->some : l->all, "iti", most, filter, unix_ns);
}

int registry_runs(struct registry *r, enum runs_by by, const char *key, int (*each)(json_t *row, void *arg), void *arg)
{
	return sql_each(r, each, arg, runs_by[by], "t", key);
}

/* ---- a metric's history ---------------------------------------------------------------------- */

/* The newest run of a commit comes first, and stands for it. */
struct trend {
	struct map seen; /* commits, or runs that have none */
	int64_t limit;
	json_t *rows;
	struct buf text; /* or rows as text, and where each ends */
	size_t *ends, n, cap;
};

static int add_point(json_t *row, void *arg)
{
	struct trend *t = arg;
	const char *of = json_get_text(row, "commit", json_get_text(row, "run", ""));

	if (map_put(&t->seen, of, strlen(of), 0))
		json_array_append(t->rows, row);
	return t->limit > 0 && json_array_size(t->rows) >= (size_t)t->limit;
}

static int add_text(const char *of, const char *row, size_t len, void *arg)
{
	struct trend *t = arg;

	if (map_put(&t->seen, of, strlen(of), 0)) {
		buf_add(&t->text, row, len);
		MEM_GROW(t->ends, t->n, t->cap);
		t->ends[t->n++] = t->text.len;
	}
	return t->limit > 0 && t->n >= (size_t)t->limit;
}

int registry_trend(struct registry *r, const char *branch, const char *task, const char *metric, const char *filter,
		   int64_t limit, json_t **rows)
{
	struct trend t = { .rows = json_array(), .limit = limit };
	int rc;

	map_init(&t.seen);
	rc = filter ? sql_each(r, add_point, &t, TREND("", TREND_FILTER), "tttt", branch, task, metric, filter)
		    : sql_each(r, add_point, &t, TREND("", ""), "ttt", branch, task, metric);
	map_release(&t.seen);
	if (!rc) {
		*rows = json_array();
		for (size_t i = json_array_size(t.rows); i > 0; i--)
			json_array_append(*rows, json_array_get(t.rows, i - 1));
	}
	json_decref(t.rows);
	return rc;
}

int registry_trend_text(struct registry *r, const char *branch, const char *task, const char *metric,
			const char *filter, int64_t limit, int depth,
			int (*each)(const char *row, size_t len, void *arg), void *arg)
{
	struct trend t = { .text = BUF_INIT(BUF_NOLIMIT), .limit = limit };
	int rc;

	map_init(&t.seen);
	rc = filter ? sql_each_text(r, depth, add_text, &t, TREND(TREND_KEY, TREND_FILTER), "tttt", branch, task,
				    metric, filter)
		    : sql_each_text(r, depth, add_text, &t, TREND(TREND_KEY, ""), "ttt", branch, task, metric);
	map_release(&t.seen);
	for (size_t i = t.n; !rc && i > 0; i--) {
		size_t from = i > 1 ? t.ends[i - 2] : 0;

		rc = each(buf_str(&t.text) + from, t.ends[i - 1] - from, arg);
	}
	buf_release(&t.text);
	free(t.ends);
	return rc;
}
