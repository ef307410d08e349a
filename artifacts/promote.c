/* promote.c: aliases move, proposals wait.
 *
 * A promotion is a compare-and-swap: within one write transaction the alias is read, compared with what the caller's
 * decision rested on (expect), and moved by a record that stays for good. Of two that race, one wins and the other is
 * told what changed (ERR_CONFLICT), so that it can judge again. An alias only goes forward: an older version is refused
 * unless the promotion says that it is a rollback. Moving an alias to where it is already succeeds and makes no record,
 * unless it is to stand for another run of the same weights: a version names weights, and the prompt in front of them is
 * that of the run which was promoted.
 *
 * Promotions are a chain: each names the one before it of its alias, and is named by its own digest, so none can be changed or
 * taken out of the middle without the check seeing it. Each names the model by its object as well as by the version's number, so no
 * number that is given anew (records that were copied together, or forged) hands an alias over to other weights. Each says what the gate said and by which policy.
 *
 * What moves an alias passed its gate: whole, on a commit, and not in a fork's run; and no later run of the same product FAILed.
 * Whoever knows better says forced, and that is written down. A rollback asks no gate, so it goes to what the alias stood for
 * before and nowhere else; forced, to any older version.
 *
 * Going back is going down a pile: a promotion lays a state on it, a rollback takes the uppermost off. So a second rollback
 * goes further back, and not forward again to what the first one left. A state is a version and a run, since a
 * prompt may be gone back on as weights are.
 *
 * A proposal is a promotion that a hook's run would make, were it allowed to. It is open until a promotion names its
 * run, or takes the alias to its version or past it, or until it is dropped. ingest.c settles it when the record comes
 * in; here it is only listed and dropped. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#define SQL_ALIAS_NOW                                                                                                  \
	"SELECT a.version, a.promotion, p.actor, p.created FROM aliases a JOIN promotions p ON p.id = a.promotion"     \
	" WHERE a.model = ?1 AND a.alias = ?2"
#define SQL_VERSION_COMMIT                                                                                             \
	"SELECT r.commit_oid FROM versions v JOIN runs r ON r.id = v.run WHERE v.model = ?1 AND v.number = ?2"
#define SQL_VERSION_OBJECT "SELECT object FROM versions WHERE model = ?1 AND number = ?2"
#define SQL_VERSION_RUN "SELECT run FROM versions WHERE model = ?1 AND number = ?2"
/* Of what a run judged (weights and prompt), a later run that FAILed, and none that PASSed after that. */
#define SQL_LATER_FAIL                                                                                                 \
	"SELECT f.id FROM runs d JOIN runs f ON f.model = ?2 AND f.version = ?3 AND f.prompt IS d.prompt"              \
	" WHERE d.id = ?1 AND f.verdict = 'FAIL' AND f.trust <> 'fork' AND NOT f.dirty"                                \
	" AND (f.seq, f.id) > (d.seq, d.id) AND NOT EXISTS (SELECT 1 FROM runs p WHERE p.model = ?2"                   \
	" AND p.version = ?3 AND p.prompt IS d.prompt AND p.verdict = 'PASS' AND p.trust <> 'fork'"                    \
	" AND NOT p.dirty AND (p.seq, p.id) > (f.seq, f.id)) ORDER BY f.seq DESC, f.id DESC LIMIT 1"
#define SQL_STATES                                                                                                     \
	"SELECT version, run, rollback AS \"rollback?\" FROM promotions WHERE model = ?1 AND alias = ?2 ORDER BY "     \
	"seq, id"
#define SQL_RUN_FACTS "SELECT commit_oid, model, version FROM runs WHERE id = ?1"
#define SQL_OPEN                                                                                                       \
	"SELECT run, model, alias, version, expect, commit_oid AS \"commit\", remote, ref FROM proposals"              \
	" WHERE settled IS NULL ORDER BY seq, run"
#define SQL_ALIAS_THERE "SELECT EXISTS (SELECT 1 FROM aliases WHERE model = ?1 AND alias = ?2)"
#define SQL_IS_OPEN "SELECT settled IS NULL FROM proposals WHERE run = ?1"

/* A new alias by the rule for new names; one that is there stays what it is called. */
static int alias_check(struct registry *r, const struct promotion *p)
{
	int64_t there = 0;
	int rc = sql_int(r, &there, SQL_ALIAS_THERE, "tt", p->model, p->alias);

	return rc || there ? rc : record_check_alias(p->alias);
}

static int promotion_check(struct registry *r, const struct promotion *p)
{
	int rc;

	if (!p->model || !p->alias || !p->actor || !*p->actor)
		return err_set(ERR_INPUT, "a promotion needs a model, an alias and an actor");
	rc = alias_check(r, p);
	if (!rc && p->version < 1)
		rc = err_set(ERR_INPUT, "%s has no version %d", p->model, p->version);
	if (!rc && p->expect < PROMOTE_ANY)
		rc = err_set(ERR_INPUT, "%s@%s cannot be expected at version %d", p->model, p->alias, p->expect);
	return rc;
}

/* The commit that stands behind a promotion: of the run that is named, else of the one that made the version. */
static int promotion_commit(struct registry *r, const struct promotion *p, json_t **commit)
{
	char *oid = NULL;
	json_t *row = NULL;
	const char *model;
	int rc = sql_text(r, &oid, SQL_VERSION_COMMIT, "ti", p->model, (int64_t)p->version);

	if (rc == ERR_NOTFOUND)
		return err_set(ERR_NOTFOUND, "there is no %s@v%d", p->model, p->version);
	*commit = !rc && oid ? json_string(oid) : json_null();
	free(oid);
	if (rc || !p->run)
		return rc;
	rc = sql_row(r, &row, SQL_RUN_FACTS, "t", p->run);
	if (rc == ERR_NOTFOUND)
		return err_set(ERR_NOTFOUND, "there is no run %.64s", p->run);
	if (rc)
		return rc;
	model = json_get_text(row, "model", NULL);
	if (model && !strcmp(model, p->model) && json_get_int(row, "version", 0) != p->version) {
		rc = err_set(ERR_INPUT, "run %.12s stands for %s@v%lld, not for v%d", p->run, model,
			     (long long)json_get_int(row, "version", 0), p->version);
	} else if (json_is_string(json_object_get(row, "commit_oid"))) {
		json_decref(*commit);
		*commit = json_incref(json_object_get(row, "commit_oid"));
	}
	json_decref(row);
	return rc;
}

/* The condition. now: the alias' row, NULL if there is none. */
static int promotion_allowed(const struct promotion *p, const json_t *now)
{
	int at = (int)json_get_int(now, "version", 0), rc;
	char where[96] = "does not exist", want[48];

	if (at)
		snprintf(where, sizeof(where), "points at v%d since %.40s", at, json_get_text(now, "created", "?"));
	if (p->expect != PROMOTE_ANY && p->expect != at) {
		snprintf(want, sizeof(want), p->expect ? "v%d" : "none", p->expect);
		rc = err_set(ERR_CONFLICT, "%s@%s %s; this decision rests on %s", p->model, p->alias, where, want);
		return err_hint(rc, "judge again against what it points at now");
	}
	if (p->version == at)
		return p->rebind ? 0 : ERR_EXISTS; /* never leaves this file */
	if (p->version < at && !p->rollback) {
		rc = err_set(ERR_CONFLICT, "%s@%s %s; v%d is older", p->model, p->alias, where, p->version);
		return err_hint(rc, "assay rollback goes back on purpose");
	}
	return 0;
}

/* A rollback asks no gate. */
static int rollback_allowed(struct registry *r, const struct promotion *p, int at)
{
	int64_t stood = 0;
	int rc = p->rollback ? sql_int(r, &stood, SQL_STOOD, "tti", p->model, p->alias, (int64_t)p->version) : 0;

	if (rc || !p->rollback || stood || (p->forced && p->version < at))
		return rc;
	rc = err_set(ERR_INPUT, "%s@%s never stood for v%d, and a rollback goes to what it stood for", p->model,
		     p->alias, p->version);
	if (p->version > at)
		return err_hint(rc, "assay promote %s@v%d %s", p->model, p->version, p->alias);
	return err_hint(rc, "go back to it all the same with --force --reason \"why\"; that is recorded");
}

/* Is that the verdict of a gate which an alias follows? run: its record. */
static int passed_check(const json_t *run, const char *id)
{
	const char *verdict = json_get_text(run, "verdict", "ERROR");

	if (strcmp(verdict, "PASS"))
		return err_set(ERR_INPUT, "run %.12s did not pass its gate (%.40s)", id, verdict);
	if (!strcmp(json_get_text(run, "trust", ""), "fork"))
		return err_set(ERR_INPUT, "run %.12s is a fork's: what it passed moves no alias", id);
	if (json_get_flag(run, "dirty", false))
		return err_set(ERR_INPUT, "run %.12s is of a work tree and no commit: what it passed moves no alias",
			       id);
	if (json_number_value(json_object_get(run, "limit")) > 0)
		return err_set(ERR_INPUT, "run %.12s asked a part of its samples: what it passed moves no alias", id);
	return 0;
}

static int later_fail_check(struct registry *r, const struct promotion *p, const char *id)
{
	char *fail = NULL;
	int rc = sql_text(r, &fail, SQL_LATER_FAIL, "tti", id, p->model, (int64_t)p->version);

	if (!rc)
		rc = err_set(ERR_INPUT, "%s@v%d passed its gate in run %.12s, and FAILed it later, in run %.12s",
			     p->model, p->version, id, fail);
	free(fail);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static int decision_check(struct registry *r, const struct promotion *p, const json_t *run, const char *id)
{
	int rc;

	if (p->forced || p->rollback)
		return 0;
	rc = passed_check(run, id);
	rc = rc ? rc : later_fail_check(r, p, id);
	return rc == ERR_INPUT ? err_hint(rc, "promote it all the same with --force --reason \"why\"; that is recorded")
			       : rc;
}

static json_t *promotion_record(const struct promotion *p, const json_t *now, json_t *commit, const char *object)
{
	json_t *record = json_object();

	json_object_set_new(record, "format", json_string("assay-promotion/1"));
	json_object_set_new(record, "model", json_string(p->model));
	json_object_set_new(record, "alias", json_string(p->alias));
	json_object_set_new(record, "version", json_integer(p->version));
	json_object_set_new(record, "object", json_string(object));
	json_object_set_new(record, "from", now ? json_incref(json_object_get(now, "version")) : json_null());
	json_object_set_new(record, "actor", json_new_text(p->actor, strlen(p->actor)));
	json_object_set_new(record, "reason",
			    json_new_text(p->reason ? p->reason : "", p->reason ? strlen(p->reason) : 0));
	json_object_set_new(record, "run", p->run ? json_string(p->run) : json_null());
	json_object_set_new(record, "commit", json_incref(commit));
	json_object_set_new(record, "forced", json_boolean(p->forced));
	json_object_set_new(record, "rollback", json_boolean(p->rollback));
	json_object_set_new(record, "previous", now ? json_incref(json_object_get(now, "promotion")) : json_null());
	return record;
}

/* What was decided, and by which rules: of the run that is named, else of the one that made the version. */
static int add_decision(struct registry *r, const struct promotion *p, json_t *record)
{
	char *id = p->run ? mem_str(p->run) : NULL;
	json_t *run = NULL;
	int rc = id ? 0 : sql_text(r, &id, SQL_VERSION_RUN, "ti", p->model, (int64_t)p->version);

	rc = rc ? rc : record_read(r->store, id, &run);
	rc = rc ? rc : decision_check(r, p, run, id);
	if (!rc) {
		const char *policy = json_get_text(json_object_get(run, "policy"), "digest", NULL);

		json_object_set_new(record, "verdict", json_string(json_get_text(run, "verdict", "ERROR")));
		json_object_set_new(record, "policy", policy ? json_new_text(policy, strlen(policy)) : json_null());
	}
	json_decref(run);
	free(id);
	return rc;
}

int registry_promote(struct registry *r, const struct promotion *p, char id[DIGEST_HEX])
{
	json_t *now = NULL, *commit = NULL, *record = NULL;
	char *object = NULL;
	char name[DIGEST_HEX] = "";
	bool stands;
	int at = 0, rc = promotion_check(r, p);

	rc = rc ? rc : registry_begin(r);
	if (rc)
		return rc;
	registry_damaged_warn(r->store);                 /* the last move may be among them */
	rc = registry_alias(r, p->model, p->alias, &at); /* as its record says */
	rc = rc ? rc : sql_row(r, &now, SQL_ALIAS_NOW, "tt", p->model, p->alias);
	rc = rc == ERR_NOTFOUND ? 0 : rc;
	rc = rc ? rc : promotion_commit(r, p, &commit);
	rc = rc ? rc : sql_text(r, &object, SQL_VERSION_OBJECT, "ti", p->model, (int64_t)p->version);
	rc = rc ? rc : promotion_allowed(p, now);
	stands = rc == ERR_EXISTS;
	rc = rc ? rc : rollback_allowed(r, p, at);
	if (stands) {
		rc = 0;
	} else if (!rc) {
		record = promotion_record(p, now, commit, object);
		rc = add_decision(r, p, record);
		rc = rc ? rc : registry_append(r, record, false, name);
	}
	rc = registry_end(r, rc, name);
	if (!rc)
		snprintf(id, DIGEST_HEX, "%s", stands ? json_get_text(now, "promotion", "") : name);
	json_decref(now);
	json_decref(commit);
	json_decref(record);
	free(object);
	return rc;
}

/* ---- going back ------------------------------------------------------------------------------ */

/* What an alias stood for: a version, and the run whose prompt comes before it (NULL: a person's decision). */
struct state {
	int version;
	const char *run;
};

static bool same_state(const struct state *s, int version, const char *run)
{
	return s->version == version && !strcmp(s->run ? s->run : "", run ? run : "");
}

/* Promotions pile states up, a rollback takes down what lies above the state that it goes back to. */
static size_t replay_states(const json_t *rows, struct state *pile)
{
	size_t n = 0, i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		int version = (int)json_get_int(row, "version", 0);
		const char *run = json_get_text(row, "run", NULL);
		bool back = json_get_flag(row, "rollback", false);
		size_t to = n;

		while (to && !same_state(&pile[to - 1], version, back && !run ? pile[to - 1].run : run))
			to--;
		if (!back || !to)
			pile[to == n && n ? n - 1 : n++] = (struct state){ version, run };
		else
			n = to;
	}
	return n;
}

int registry_before(struct registry *r, const char *model, const char *alias, int *version, char run[DIGEST_HEX])
{
	json_t *rows = NULL;
	struct state *pile;
	size_t n;
	int rc = sql_rows(r, &rows, SQL_STATES, "tt", model, alias);

	if (rc)
		return rc;
	pile = mem_array(json_array_size(rows) + 1, sizeof(*pile));
	n = replay_states(rows, pile);
	if (n > 1) {
		*version = pile[n - 2].version;
		snprintf(run, DIGEST_HEX, "%s", pile[n - 2].run ? pile[n - 2].run : "");
	} else {
		rc = err_set(ERR_NOTFOUND, "%.140s@%.140s has no version to go back to", model, alias);
	}
	free(pile);
	json_decref(rows);
	return rc;
}

/* ---- proposals ------------------------------------------------------------------------------- */

int registry_proposals(struct registry *r, json_t **rows)
{
	return sql_rows(r, rows, SQL_OPEN, "");
}

int registry_drop_proposal(struct registry *r, const char *run, const char *reason)
{
	char name[DIGEST_HEX] = "";
	json_t *record = NULL;
	int64_t is_open = 0;
	int rc = registry_begin(r);

	if (rc)
		return rc;
	rc = sql_int(r, &is_open, SQL_IS_OPEN, "t", run);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_NOTFOUND, "run %.64s has proposed nothing", run);
	if (!rc && is_open) {
		record = json_pack("{s:s,s:s,s:o}", "format", "assay-proposal-drop/1", "run", run, "reason",
				   json_new_text(reason ? reason : "", reason ? strlen(reason) : 0));
		rc = registry_append(r, record, false, name);
	}
	rc = registry_end(r, rc, name);
	json_decref(record);
	return rc;
}
