/* ingest.c: one record becomes rows. The only file that inserts.
 *
 * The registry is a function of the set of records: the rows are what comes out when the records are taken in in their
 * order (seq, name), and nothing else (no clock, no environment) may enter here. So whatever a record says, taking it
 * in has one outcome:
 *
 *	- it fits: its rows
 *	- it contradicts an earlier one on a version's number (two homes were merged): its rows, without the version
 *	- it cannot be read, or speaks of what is not there: a row in records, with the fault, and no other
 *
 * records.fault says which; registry_check() reports it. A fault is not a failure, so no record can lock people out
 * of their registry. Only registry_append(), which makes new records, refuses what has a fault. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#define SQL_RECORD "INSERT INTO records (id, seq, format, created, created_ns, fault) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
#define SQL_FAULT "UPDATE records SET fault = ?2 WHERE id = ?1"
#define SQL_RUN                                                                                                        \
	"INSERT INTO runs (id, seq, commit_oid, tree_oid, branch, ref, trust, event, dirty, profile, verdict, "        \
	"exit_code,"                                                                                                   \
	" sentence, created, created_ns, seconds, tool_version, numerics, baseline_run, baseline_model,"               \
	" baseline_version, baseline_name, object, prompt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12," \
	" ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)"
#define SQL_RUN_VERSION "UPDATE runs SET model = ?2, version = ?3 WHERE n = ?1"
#define SQL_STEP "INSERT INTO steps (run, position, name, status, seconds) VALUES (?1, ?2, ?3, ?4, ?5)"
#define SQL_STAGE                                                                                                      \
	"INSERT INTO stages (run, position, step, name, key, output, object) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
#define METRIC "(?, ?, ?, ?, coalesce(?, ''), ?, ?, ?, ?)"
#define FOUR_METRICS METRIC ", " METRIC ", " METRIC ", " METRIC
#define SQL_METRIC                                                                                                     \
	"INSERT INTO metrics (run, suite, task, metric, filter, value, stderr, n, higher_is_better) VALUES " METRIC
#define SQL_SIXTEEN_METRICS                                                                                            \
	"INSERT INTO metrics (run, suite, task, metric, filter, value, stderr, n, higher_is_better) "                  \
	"VALUES " FOUR_METRICS ", " FOUR_METRICS ", " FOUR_METRICS ", " FOUR_METRICS
#define SQL_SAMPLES                                                                                                    \
	"INSERT INTO samples (run, suite, task, filter, n, object) VALUES (?1, ?2, ?3, coalesce(?4, ''), "             \
	"?5, ?6)"
#define SQL_ARTIFACT "INSERT INTO artifacts (run, position, role, object, size) VALUES (?1, ?2, ?3, ?4, ?5)"
#define SQL_DATASET                                                                                                    \
	"INSERT INTO datasets (run, position, path, digest, \"rows\", bytes, role, schema, license, owner, source, "   \
	"about) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
/* A content that stood at this path before; else the next number. Once a run, however often it names it. */
#define SQL_DATA_AGAIN                                                                                                 \
	"UPDATE data_versions SET runs = runs + 1, last_run = ?1, last_position = ?2 WHERE digest = ?4 AND path = ?3"  \
	" AND last_run < ?1"
#define SQL_DATA_NEW                                                                                                   \
	"INSERT INTO data_versions (path, number, digest, runs, first_run, last_run, last_position)"                   \
	" SELECT ?3, coalesce((SELECT max(number) FROM data_versions WHERE path = ?3), 0) + 1, ?4, 1, ?1, ?1, ?2"      \
	" WHERE NOT EXISTS (SELECT 1 FROM data_versions WHERE digest = ?4 AND path = ?3)"
#define SQL_EDGE "INSERT INTO edges (run, position, from_node, to_node, relation) VALUES (?1, ?2, ?3, ?4, ?5)"
#define SQL_POINT                                                                                                      \
	"INSERT OR IGNORE INTO curves (run, kind, step, loss, lr, grad_norm, tokens_per_s) VALUES (?1, ?2, ?3, ?4, "   \
	"?5, ?6, ?7)"
#define SQL_COLLECTED                                                                                                  \
	"INSERT INTO collected (object, size, record) VALUES (?1, ?2, ?3) ON CONFLICT (object) DO UPDATE SET"          \
	" size = excluded.size, record = excluded.record"
#define SQL_MODEL "INSERT INTO models (name, created, created_ns) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING"
#define SQL_VERSION_OF "SELECT number FROM versions WHERE model = ?1 AND object = ?2"
#define SQL_VERSION_OBJECT "SELECT object FROM versions WHERE model = ?1 AND number = ?2"
#define SQL_LAST_VERSION "SELECT coalesce(max(number), 0) FROM versions WHERE model = ?1"
#define SQL_VERSION_THERE "SELECT 1 FROM versions WHERE model = ?1 AND number = ?2"
#define SQL_VERSION                                                                                                    \
	"INSERT INTO versions (model, number, object, key, product, run, seq, created, created_ns) VALUES (?1, "       \
	"?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
#define SQL_PROPOSAL                                                                                                   \
	"INSERT INTO proposals (run, seq, model, alias, version, expect, commit_oid, remote, ref, settled, outcome)"   \
	" SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, a.promotion, iif(a.promotion IS NULL, NULL, 'overtaken')"         \
	" FROM (SELECT 1) LEFT JOIN aliases a ON a.model = ?3 AND a.alias = ?4 AND a.version >= ?5"
#define SQL_RUN_SAYS "SELECT model, version, verdict, trust = 'fork' AS \"fork?\" FROM runs WHERE id = ?1"
/* Said by a run of that version: its verdict; and that not all of them FAILed. ?4: no fork's. */
#define SQL_VERSION_SAYS                                                                                               \
	"SELECT EXISTS (SELECT 1 FROM runs WHERE model = ?1 AND version = ?2 AND iif(?3 IS NULL, verdict <> 'FAIL', "  \
	"verdict = ?3) AND NOT (?4 AND trust = 'fork'))"
#define SQL_CHAINED "SELECT 1 FROM promotions WHERE model = ?1 AND alias = ?2 AND chained LIMIT 1"
#define SQL_MOVE_BEFORE "SELECT version FROM promotions WHERE id = ?1 AND model = ?2 AND alias = ?3"
#define SQL_PROMOTION                                                                                                  \
	"INSERT INTO promotions (id, seq, model, alias, version, from_version, actor, reason, run, commit_oid, "       \
	"forced,"                                                                                                      \
	" rollback, created, created_ns, verdict, policy, previous, object, chained)"                                  \
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
#define SQL_ALIAS                                                                                                      \
	"INSERT INTO aliases (model, alias, version, promotion) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (model, alias)"    \
	" DO UPDATE SET version = excluded.version, promotion = excluded.promotion"
/* What a promotion ends: the proposal of the run it names, and those of its alias that are no longer ahead of it. */
#define SQL_SETTLE                                                                                                     \
	"UPDATE proposals SET settled = ?1, outcome = iif(run = ?2, 'promoted', 'overtaken') WHERE settled IS NULL"    \
	" AND (run = ?2 OR (model = ?3 AND alias = ?4 AND (version = ?5 OR (NOT ?6 AND version < ?5))))"
#define SQL_DROP                                                                                                       \
	"UPDATE proposals SET settled = ?1, outcome = 'dropped', reason = ?3 WHERE run = ?2 AND settled IS NULL"
#define SQL_PROPOSAL_THERE "SELECT 1 FROM proposals WHERE run = ?1"

static const json_t *get(const json_t *obj, const char *key)
{
	return json_object_get(obj, key);
}

static int64_t count(const json_t *obj, const char *key)
{
	return json_get_int(obj, key, 0);
}

/* ---- lists of a run -------------------------------------------------------------------------- */

static int insert_step(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	return sql_run(r, SQL_STEP, "iijjj", run, i, get(v, "name"), get(v, "status"), get(v, "seconds"));
}

static int insert_stage(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	const json_t *output = get(v, "output");
	struct buf text = BUF_INIT(RECORD_MAX);
	int rc;

	if (output && !json_is_null(output))
		json_add(&text, output);
	rc = sql_run(r, SQL_STAGE, "iijjjtt", run, i, get(v, "step"), get(v, "name"), get(v, "key"),
		     text.len ? buf_str(&text) : NULL, json_get_text(output, "object", NULL));
	buf_release(&text);
	return rc;
}

static const char *const metric_members[] = { "suite", "task",   "metric", "filter",
					      "value", "stderr", "n",      "higher_is_better" };
enum { METRIC_VALUES = ARRAY_LEN(metric_members) + 1, TOGETHER = 16 };

static void metric_values(const json_t **out, const json_t *run, const json_t *v)
{
	out[0] = run;
	for (size_t k = 0; k < ARRAY_LEN(metric_members); k++)
		out[k + 1] = get(v, metric_members[k]);
}

static int insert_metric(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	json_t *n = json_integer(run);
	const json_t *values[METRIC_VALUES];
	int rc;

	(void)i;
	metric_values(values, n, v);
	rc = sql_run_values(r, SQL_METRIC, values, METRIC_VALUES);
	json_decref(n);
	return rc;
}

/* Rows of metrics are most of what a run has: by sixteens, as far as that goes. The rest goes one by one, and so do those of
 * which one is at fault, for it to be named. How many went. */
static size_t insert_sixteens(struct registry *r, int64_t run, const json_t *list)
{
	const json_t *values[TOGETHER * METRIC_VALUES];
	json_t *n = json_integer(run);
	size_t i = 0;
	int rc = 0;

	for (; !rc && i + TOGETHER <= json_array_size(list); i += rc ? 0 : TOGETHER) {
		for (size_t k = 0; k < TOGETHER; k++)
			metric_values(values + k * METRIC_VALUES, n, json_array_get(list, i + k));
		rc = sql_run_values(r, SQL_SIXTEEN_METRICS, values, TOGETHER * METRIC_VALUES);
	}
	err_clear();
	json_decref(n);
	return i;
}

static int insert_samples(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	(void)i;
	return sql_run(r, SQL_SAMPLES, "ijjjjj", run, get(v, "suite"), get(v, "task"), get(v, "filter"), get(v, "n"),
		       get(v, "object"));
}

static int insert_artifact(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	return sql_run(r, SQL_ARTIFACT, "iijjj", run, i, get(v, "role"), get(v, "object"), get(v, "size"));
}

static int insert_dataset(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	const json_t *path = get(v, "path"), *digest = get(v, "digest");
	int rc = sql_run(r, SQL_DATASET, "iijjjjjjjjjj", run, i, path, digest, get(v, "rows"), get(v, "bytes"),
			 get(v, "role"), get(v, "schema"), get(v, "license"), get(v, "owner"), get(v, "source"),
			 get(v, "about"));

	rc = rc ? rc : sql_run(r, SQL_DATA_AGAIN, "iijj", run, i, path, digest);
	return rc ? rc : sql_run(r, SQL_DATA_NEW, "iijj", run, i, path, digest);
}

static int insert_edge(struct registry *r, int64_t run, int64_t i, const json_t *v)
{
	return sql_run(r, SQL_EDGE, "iijjj", run, i, get(v, "from"), get(v, "to"), get(v, "relation"));
}

static const struct {
	const char *name;
	int (*insert)(struct registry *r, int64_t run, int64_t i, const json_t *v);
} lists[] = {
	{ "steps", insert_step },      { "stages", insert_stage },       { "metrics", insert_metric },
	{ "samples", insert_samples }, { "artifacts", insert_artifact }, { "datasets", insert_dataset },
	{ "edges", insert_edge },
};

static int ingest_lists(struct registry *r, int64_t run, const json_t *record)
{
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		const json_t *list = get(record, lists[k].name);

		size_t i = lists[k].insert == insert_metric ? insert_sixteens(r, run, list) : 0;

		for (; i < json_array_size(list); i++) {
			int rc = lists[k].insert(r, run, (int64_t)i, json_array_get(list, i));

			if (rc)
				return err_context(rc, "record: %s[%zu]", lists[k].name, i);
		}
	}
	return 0;
}

/* ---- the learning curve ------------------------------------------------------------------------ */

static bool is_point(const json_t *p)
{
	if (!json_is_integer(json_array_get(p, 0)) || json_array_size(p) < 2 || json_array_size(p) > 5)
		return false;
	for (size_t i = 1; i < json_array_size(p); i++)
		if (!json_is_number(json_array_get(p, i)) && !json_is_null(json_array_get(p, i)))
			return false;
	return true;
}

/* [[step, loss, lr, grad_norm, tokens per second], …], the last three where they are known. A point of another form is
 * left out: a curve is for looking at, and no reason to refuse the run that it belongs to. */
static int ingest_curve(struct registry *r, int64_t run, const char *kind, const json_t *points)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < json_array_size(points); i++) {
		const json_t *p = json_array_get(points, i);

		if (is_point(p))
			rc = sql_run(r, SQL_POINT, "itjjjjj", run, kind, json_array_get(p, 0), json_array_get(p, 1),
				     json_array_get(p, 2), json_array_get(p, 3), json_array_get(p, 4));
	}
	return rc;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* *number: the version this run stands for, 0 if none. */
static int ingest_version(struct registry *r, const char *id, const json_t *record, int64_t *number, char **fault)
{
	const json_t *v = get(record, "version");
	const char *model = json_get_text(v, "model", ""), *object = json_get_text(v, "object", "");
	int64_t said = count(v, "number"), there;
	int rc = sql_int(r, number, SQL_VERSION_OF, "tt", model, object);

	if (rc && rc != ERR_NOTFOUND)
		return rc;
	if (!rc) {
		if (*number != said)
			*fault = mem_printf("says %s@v%lld, but its object is v%lld already", model, (long long)said,
					    (long long)*number);
		return 0;
	}
	*number = 0;
	rc = sql_int(r, &there, SQL_VERSION_THERE, "ti", model, said);
	if (rc && rc != ERR_NOTFOUND)
		return rc;
	if (!rc) {
		*fault = mem_printf("says %s@v%lld, but that is another object already", model, (long long)said);
		return 0;
	}
	rc = sql_int(r, &there, SQL_LAST_VERSION, "t", model);
	if (!rc && said - there > RECORD_VERSION_STEP) {
		*fault = mem_printf("says %s@v%lld, but the last is v%lld", model, (long long)said, (long long)there);
		return 0;
	}
	rc = rc ? rc : sql_run(r, SQL_MODEL, "tjj", model, get(record, "created"), get(record, "created_ns"));
	if (!rc)
		rc = sql_run(r, SQL_VERSION, "titjjtjjj", model, said, object, get(v, "key"), get(v, "product"), id,
			     get(record, "seq"), get(record, "created"), get(record, "created_ns"));
	if (!rc)
		*number = said;
	return rc;
}

static int ingest_run(struct registry *r, const char *id, const json_t *record, char **fault)
{
	const json_t *tool = get(record, "tool"), *base = get(record, "baseline"), *proposal = get(record, "proposal");
	const json_t *product = get(record, "product");
	const char *model = json_get_text(get(record, "version"), "model", "");
	int64_t number = 0, run = 0;
	int rc = sql_run(r, SQL_RUN, "tjjjjjjjijjjjjjjjjjjjjtt", id, get(record, "seq"), get(record, "commit"),
			 get(record, "tree"), get(record, "branch"), get(record, "ref"), get(record, "trust"),
			 get(record, "event"), (int64_t)json_get_flag(record, "dirty", false), get(record, "profile"),
			 get(record, "verdict"), get(record, "exit"), get(record, "sentence"), get(record, "created"),
			 get(record, "created_ns"), get(record, "seconds"), get(tool, "version"), get(tool, "numerics"),
			 get(base, "run"), get(base, "model"), get(base, "version"), get(base, "name"),
			 json_get_text(product, "object", NULL), json_get_text(product, "prompt", NULL));

	run = rc ? 0 : sqlite3_last_insert_rowid(r->db);
	rc = rc ? rc : ingest_lists(r, run, record);
	rc = rc ? rc : ingest_curve(r, run, "train", get(get(record, "training"), "curve"));
	rc = rc ? rc : ingest_curve(r, run, "validation", get(get(record, "training"), "validation"));
	if (!rc && json_is_object(get(record, "version")))
		rc = ingest_version(r, id, record, &number, fault);
	if (!rc && number)
		rc = sql_run(r, SQL_RUN_VERSION, "iti", run, model, number);
	if (!rc && number && json_is_object(proposal))
		rc = sql_run(r, SQL_PROPOSAL, "tjtjijjjj", id, get(record, "seq"), model, get(proposal, "alias"),
			     number, get(proposal, "expect"), get(record, "commit"), get(proposal, "remote"),
			     get(proposal, "ref"));
	return rc;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int need_row(int rc, const char *what)
{
	return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "record: it speaks of a %s that is not there", what) : rc;
}

/* A promotion says of the run that it names what that run says of itself; what promote.c refuses cannot come in as a record. */
static int promotion_run_check(struct registry *r, const json_t *record)
{
	const char *run = json_get_text(record, "run", NULL), *model = json_get_text(record, "model", "");
	const char *verdict = json_get_text(record, "verdict", NULL), *of, *its;
	json_t *row = NULL;
	int rc = run ? need_row(sql_row(r, &row, SQL_RUN_SAYS, "t", run), "run") : 0;

	if (rc || !run)
		return rc;
	of = json_get_text(row, "model", NULL);
	its = json_get_text(row, "verdict", "");
	if (of && !strcmp(of, model) && json_get_int(row, "version", 0) != count(record, "version"))
		rc = err_set(ERR_INPUT, "record: run %.12s stands for %.140s@v%lld, not for v%lld", run, of,
			     (long long)json_get_int(row, "version", 0), (long long)count(record, "version"));
	else if (verdict && strcmp(verdict, its))
		rc = err_set(ERR_INPUT, "record: it says %s of run %.12s, whose verdict is %s", verdict, run, its);
	json_decref(row);
	return rc;
}

/* Does it move the alias by itself? A person who knows better says --force. A rollback goes to what the alias stood for before. */
static int moves_alone(struct registry *r, const json_t *record, bool *alone)
{
	int64_t stood = 0;
	int rc = 0;

	if (json_get_flag(record, "rollback", false))
		rc = sql_int(r, &stood, SQL_STOOD, "jjj", get(record, "model"), get(record, "alias"),
			     get(record, "version"));
	*alone = !json_get_flag(record, "forced", false) && !stood;
	return rc;
}

static int unforced(const json_t *record, const char *what)
{
	return err_set(ERR_INPUT, "record: it %s %.140s@v%lld%s, and was not forced",
		       json_get_flag(record, "rollback", false) ? "rolls back to what its alias never stood for,"
								: "promotes",
		       json_get_text(record, "model", ""), (long long)count(record, "version"), what);
}

/* row: what the run says that the record names. */
static int named_verdict_check(const json_t *record, const json_t *row)
{
	const char *verdict = json_get_text(row, "verdict", "");
	char what[96];

	if (strcmp(verdict, "PASS"))
		snprintf(what, sizeof(what), " by run %.12s, which %s%.40s", json_get_text(record, "run", ""),
			 strcmp(verdict, "FAIL") ? "ended as " : "", strcmp(verdict, "FAIL") ? verdict : "FAILed");
	else if (json_get_flag(row, "fork", false))
		snprintf(what, sizeof(what), " by run %.12s, which is a fork's", json_get_text(record, "run", ""));
	else
		return 0;
	return unforced(record, what);
}

/* What moves an alias by itself passed its gate. That the gate was whole, on a commit and not taken back is asked when it moves
 * (promote.c): older assays asked less, and what they moved stands. Where no run of the version is named, the verdict is that of any of its runs. */
static int promotion_verdict_check(struct registry *r, const json_t *record)
{
	const json_t *said = get(record, "verdict");
	const char *verdict = json_string_value(said), *model = json_get_text(record, "model", "");
	bool alone;
	json_t *row = NULL;
	int64_t fits = 1;
	int rc = moves_alone(r, record, &alone);

	if (!rc && json_is_string(get(record, "run")))
		rc = sql_row(r, &row, SQL_RUN_SAYS, "j", get(record, "run"));
	if (!rc && row &&
	    (strcmp(json_get_text(row, "model", ""), model) ||
	     json_get_int(row, "version", 0) != count(record, "version"))) {
		json_decref(row); /* another's verdict is no verdict of this version */
		row = NULL;
		said = NULL;
		verdict = NULL;
	}
	if (!rc && row) {
		rc = alone ? named_verdict_check(record, row) : 0;
	} else if (!rc && (alone || said)) {
		rc = sql_int(r, &fits, SQL_VERSION_SAYS, "jjji", get(record, "model"), get(record, "version"), said,
			     (int64_t)alone);
		if (!rc && ((alone && verdict && strcmp(verdict, "PASS")) || (!fits && !said)))
			rc = unforced(record, verdict && strcmp(verdict, "FAIL") ? ", which did not pass its gate"
										 : ", which FAILed its gate");
		else if (!rc && !fits)
			rc = err_set(ERR_INPUT, "record: no run of %.140s@v%lld%s has the verdict that it says (%s)",
				     model, (long long)count(record, "version"), alone ? ", forks' aside," : "",
				     verdict);
	}
	json_decref(row);
	return rc;
}

/* Where the chain has begun, each move names the one before it, and where that one led to. */
static int promotion_chain_check(struct registry *r, const json_t *record)
{
	const json_t *model = get(record, "model"), *alias = get(record, "alias"), *previous = get(record, "previous");
	int64_t there = 0;
	int rc;

	if (!previous) {
		rc = sql_int(r, &there, SQL_CHAINED, "jj", model, alias);
		if (rc)
			return rc == ERR_NOTFOUND ? 0 : rc;
		return err_set(ERR_INPUT, "record: it names no move of the alias before it, and those before it do");
	}
	rc = sql_int(r, &there, SQL_MOVE_BEFORE, "jjj", previous, model, alias);
	if (rc)
		return rc == ERR_NOTFOUND ? 0 : rc; /* registry_chain() tells */
	if (there != count(record, "from"))
		return err_set(ERR_INPUT,
			       "record: it says that it came from v%lld, and the move before it led to v%lld",
			       (long long)count(record, "from"), (long long)there);
	return 0;
}

static int ingest_promotion(struct registry *r, const char *id, const json_t *record)
{
	const json_t *model = get(record, "model"), *alias = get(record, "alias"), *version = get(record, "version");
	const json_t *run = get(record, "run"), *rollback = get(record, "rollback");
	const char *said = json_get_text(record, "object", NULL);
	char *object = NULL;
	int rc = need_row(sql_text(r, &object, SQL_VERSION_OBJECT, "jj", model, version), "version");

	if (!rc && said && strcmp(said, object))
		rc = err_set(ERR_INPUT, "record: it promotes the model %.12s as %.140s@v%lld, which is %.12s here",
			     said, json_get_text(record, "model", ""), (long long)count(record, "version"), object);
	rc = rc ? rc : promotion_run_check(r, record);
	rc = rc ? rc : promotion_verdict_check(r, record);
	rc = rc ? rc : promotion_chain_check(r, record);
	if (!rc)
		rc = sql_run(r, SQL_PROMOTION, "tjjjjjjjjjjjjjjjjti", id, get(record, "seq"), model, alias, version,
			     get(record, "from"), get(record, "actor"), get(record, "reason"), run,
			     get(record, "commit"), get(record, "forced"), rollback, get(record, "created"),
			     get(record, "created_ns"), get(record, "verdict"), get(record, "policy"),
			     get(record, "previous"), object, (int64_t)(get(record, "previous") != NULL));
	rc = rc ? rc : sql_run(r, SQL_ALIAS, "jjjt", model, alias, version, id);
	free(object);
	return rc ? rc : sql_run(r, SQL_SETTLE, "tjjjjj", id, run, model, alias, version, rollback);
}

static int ingest_drop(struct registry *r, const char *id, const json_t *record)
{
	int64_t there;
	int rc = need_row(sql_int(r, &there, SQL_PROPOSAL_THERE, "j", get(record, "run")), "proposal");

	return rc ? rc : sql_run(r, SQL_DROP, "tjj", id, get(record, "run"), get(record, "reason"));
}

static int ingest_collection(struct registry *r, const char *id, const json_t *record)
{
	const json_t *list = get(record, "objects");
	int rc = 0;

	for (size_t i = 0; !rc && i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);

		rc = sql_run(r, SQL_COLLECTED, "jjt", get(row, "object"), get(row, "size"), id);
	}
	return rc;
}

int ingest_record(struct registry *r, const char *id, const json_t *record, bool checked, char **fault)
{
	int rc = checked ? 0 : record_check(record);

	*fault = NULL;
	if (!rc)
		rc = sql_run(r, SQL_RECORD, "tjjjjt", id, get(record, "seq"), get(record, "format"),
			     get(record, "created"), get(record, "created_ns"), NULL);
	if (rc)
		return rc;
	switch (record_kind(record)) {
	case RECORD_RUN:
		rc = ingest_run(r, id, record, fault);
		break;
	case RECORD_PROMOTION:
		rc = ingest_promotion(r, id, record);
		break;
	case RECORD_COLLECTION:
		rc = ingest_collection(r, id, record);
		break;
	default:
		rc = ingest_drop(r, id, record);
	}
	if (!rc && *fault)
		rc = sql_run(r, SQL_FAULT, "tt", id, *fault);
	return rc;
}

/* The row of a record that could not be taken over; one that is malformed has no place in the order. */
static int ingest_fault(struct registry *r, const char *id, const json_t *record, const char *fault)
{
	bool sound = record && !record_check(record);

	return sql_run(r, SQL_RECORD, "tittit", id, sound ? count(record, "seq") : 0,
		       json_get_text(record, "format", "?"), sound ? json_get_text(record, "created", "") : "",
		       sound ? count(record, "created_ns") : 0, fault);
}

static int ingest_saved(struct registry *r, const char *id, const json_t *record, char **fault)
{
	int rc = sql_script(r, "SAVEPOINT record");
	struct err_saved why;

	if (rc)
		return rc;
	rc = ingest_record(r, id, record, false, fault);
	if (!rc)
		return sql_script(r, "RELEASE record");
	why = err_save();
	if (sql_script(r, "ROLLBACK TO record; RELEASE record"))
		rc = ERR_IO;
	err_restore(&why);
	return rc;
}

int ingest_any(struct registry *r, const char *id, int rc, const json_t *record)
{
	char *fault = NULL;

	rc = rc ? rc : ingest_saved(r, id, record, &fault);
	if (rc == ERR_INPUT) {
		free(fault);
		fault = mem_str(err_text());
		rc = ingest_fault(r, id, record, fault);
		if (!r->quiet)
			log_warn("record %.12s was not taken over: %s", id, fault);
	} else if (!rc && fault && !r->quiet) {
		log_warn("record %.12s was taken over but for its version: it %s", id, fault);
	}
	free(fault);
	return rc;
}
