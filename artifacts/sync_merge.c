/* sync_merge.c: what this home says of a version or an alias, and the remote said first.
 *
 * Two homes that did not know of each other can give one number to two models, or move one alias in two ways. What is in the
 * remote was claimed there (sync_claim.c), so the records that nobody has but this home give way:
 *
 *	a version    the run is recorded again, and its model gets the next number; what was promoted by that run is promoted
 *	             again, under the new number
 *	an alias     the promotion did not come true: what it rested on had changed. The gate is to be run again
 *
 * A record is never changed, so the old one leaves the set: its file moves from records/ to HOME/aside/, where it stays; the
 * tables are derived again from those that are left, here or, after a kill, by whoever opens them next (shelves.c).
 * aside/HEX.again waits to be made again, so that a kill in between loses nothing: the next pull finds it. The rest of that run
 * (metrics, samples, stages) says the same under its new name. */
#include "artifacts/sync.h"

#include <limits.h>

#define SQL_OF_NUMBER                                                                                                  \
	"SELECT r.id FROM runs r JOIN versions v ON v.model = r.model AND v.number = r.version"                        \
	" WHERE v.model = ?1 AND v.number = ?2 AND v.object <> ?3"
#define SQL_OF_OBJECT                                                                                                  \
	"SELECT r.id FROM runs r JOIN versions v ON v.model = r.model AND v.number = r.version"                        \
	" WHERE v.model = ?1 AND v.object = ?3 AND v.number <> ?2"
#define SQL_PROMOTED                                                                                                   \
	"SELECT p.id FROM promotions p JOIN versions v ON v.model = p.model AND v.number = p.version"                  \
	" WHERE p.model = ?1 AND ((v.number = ?2 AND v.object <> ?3) OR (v.object = ?3 AND v.number <> ?2))"
#define SQL_MOVES "SELECT id FROM promotions WHERE model = ?1 AND alias = ?2"
#define SQL_VERSION_NOW "SELECT number FROM versions WHERE model = ?1 AND object = ?2"
#define SQL_RUN_OF                                                                                                     \
	"SELECT id FROM runs WHERE model = ?1 AND version = ?2 AND commit_oid IS ?3 ORDER BY seq DESC LIMIT 1"

static void add_name(struct name_list *l, const char *hex)
{
	MEM_GROW(l->names, l->len, l->cap);
	snprintf(l->names[l->len++], DIGEST_HEX, "%s", hex);
}

static bool listed(const struct name_list *l, const char *hex)
{
	for (size_t i = 0; i < l->len; i++)
		if (!strcmp(l->names[i], hex))
			return true;
	return false;
}

void merge_release(struct merge *m)
{
	name_list_release(&m->aside);
	name_list_release(&m->again);
}

static bool ours_alone(const struct sync *y, const char *id)
{
	return !sync_has(&y->theirs, id);
}

/* ---- looking --------------------------------------------------------------------------------- */

static int look_version(struct merge *m, const struct sync *y, const char *sql, const char *model, int64_t number,
			const char *object)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(y->r, &rows, sql, "tit", model, number, object);

	json_array_foreach(rows, i, row)
	{
		const char *id = json_get_text(row, "id", "");

		if (!ours_alone(y, id) || listed(&m->aside, id))
			continue;
		add_name(&m->aside, id);
		add_name(&m->again, id);
	}
	json_decref(rows);
	return rc;
}

/* A promotion that is aside already for its version's sake does not come true either. */
static int look_alias(struct merge *m, const struct sync *y, const json_t *theirs)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(y->r, &rows, SQL_MOVES, "tt", json_get_text(theirs, "model", ""),
			  json_get_text(theirs, "alias", ""));

	json_array_foreach(rows, i, row)
	{
		const char *id = json_get_text(row, "id", "");

		if (!ours_alone(y, id))
			continue;
		if (!listed(&m->aside, id))
			add_name(&m->aside, id);
		for (size_t k = 0; k < m->again.len; k++)
			if (!strcmp(m->again.names[k], id))
				memmove(m->again.names[k], m->again.names[--m->again.len], DIGEST_HEX);
		log_warn("%s@%s was moved to v%lld meanwhile, by %s (%s): what this home made of it did not come true; "
			 "run the gate again",
			 json_get_text(theirs, "model", ""), json_get_text(theirs, "alias", ""),
			 (long long)json_get_int(theirs, "version", 0), json_get_text(theirs, "actor", "?"),
			 json_get_text(theirs, "created", "?"));
		y->n->lost++;
	}
	json_decref(rows);
	return rc;
}

int merge_look(struct merge *m, const struct sync *y, const json_t *theirs)
{
	const json_t *v = json_object_get(theirs, "version");
	const char *model = json_get_text(v, "model", ""), *object = json_get_text(v, "object", "");
	int64_t number = json_get_int(v, "number", 0);
	int rc = 0;

	if (record_kind(theirs) == RECORD_PROMOTION)
		return look_alias(m, y, theirs);
	if (record_kind(theirs) != RECORD_RUN || !json_is_object(v))
		return 0;
	rc = look_version(m, y, SQL_OF_NUMBER, model, number, object);
	rc = rc ? rc : look_version(m, y, SQL_OF_OBJECT, model, number, object);
	return rc ? rc : look_version(m, y, SQL_PROMOTED, model, number, object);
}

/* ---- aside ----------------------------------------------------------------------------------- */

static int move_aside(const struct merge *m, struct sync *y)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < m->aside.len; i++) {
		char *from = store_file(y->s, VAULT_RECORDS, m->aside.names[i]);
		char *to = shelves_aside(y->s, m->aside.names[i], listed(&m->again, m->aside.names[i]));

		rc = fs_rename(from, to);
		free(from);
		free(to);
	}
	return rc;
}

int merge_aside(const struct merge *m, struct sync *y)
{
	char *dir = path_join(store_home(y->s), "aside");
	int rc = m->aside.len ? fs_mkdirs(dir) : 0;

	free(dir);
	if (rc || !m->aside.len)
		return rc;
	rc = registry_begin(y->r);
	if (rc)
		return rc;
	rc = move_aside(m, y);
	rc = rc ? rc : registry_replay(y->r);
	return registry_end(y->r, rc, "");
}

/* ---- again ----------------------------------------------------------------------------------- */

struct again {
	struct sync *y;
	bool promotions; /* they come behind the runs */
	int rc;
};

/* As registry_add_run() takes it: without the number. */
static void reopen(json_t *record, const char *id)
{
	json_t *version = json_object_get(record, "version"), *edge;
	const char *model = json_get_text(version, "model", "");
	char *node = mem_printf("version:%s@v%lld", model, (long long)json_get_int(version, "number", 0));
	char *open_node = mem_printf("version:%s", model);
	size_t i;

	json_array_foreach(json_object_get(record, "edges"), i, edge)
	{
		if (!strcmp(json_get_text(edge, "from", ""), node))
			json_object_set_new(edge, "from", json_string(open_node));
		if (!strcmp(json_get_text(edge, "to", ""), node))
			json_object_set_new(edge, "to", json_string(open_node));
	}
	json_object_set_new(record, "again_of", json_string(id));
	free(node);
	free(open_node);
}

static int run_again(struct sync *y, json_t *record, const char *id)
{
	const json_t *v = json_object_get(record, "version");
	int64_t was = json_get_int(v, "number", 0);
	char now[DIGEST_HEX];
	int rc;

	reopen(record, id);
	rc = registry_add_run(y->r, record, now);
	if (rc)
		return rc;
	log_warn("%s@v%lld was another model's already: this home's is v%lld now (run %.12s, that was %.12s)",
		 json_get_text(v, "model", ""), (long long)was, (long long)json_get_int(v, "number", 0), now, id);
	y->n->renumbered++;
	return 0;
}

/* Under the number that its version has now. object: the version's; from the run that made it, which is aside as well. */
static int promote_again(struct sync *y, const json_t *record, const char *object)
{
	const char *model = json_get_text(record, "model", "");
	struct promotion p = { .model = model,
			       .alias = json_get_text(record, "alias", ""),
			       .expect = (int)json_get_int(record, "from", 0),
			       .actor = json_get_text(record, "actor", "?"),
			       .reason = json_get_text(record, "reason", ""),
			       .forced = json_get_flag(record, "forced", false),
			       .rollback = json_get_flag(record, "rollback", false) };
	char *run = NULL, id[DIGEST_HEX];
	int64_t number = 0;
	int rc = sql_int(y->r, &number, SQL_VERSION_NOW, "tt", model, object);

	p.version = (int)number;
	if (!rc && json_is_string(json_object_get(record, "run")))
		rc = sql_text(y->r, &run, SQL_RUN_OF, "tij", model, number, json_object_get(record, "commit"));
	p.run = run;
	rc = rc ? rc : registry_promote(y->r, &p, id);
	free(run);
	return rc;
}

/* The object of a version that a record aside made. */
static int aside_object(const struct store *s, const char *model, int64_t number, char object[DIGEST_HEX]);

static int again_one(const char *name, void *arg)
{
	struct again *a = arg;
	struct store *s = a->y->s;
	char hex[DIGEST_HEX], object[DIGEST_HEX], *from = NULL, *to = NULL;
	json_t *record = NULL;
	bool promotion;
	int rc;

	if (strlen(name) != DIGEST_HEX - 1 + strlen(".again") || !path_has_suffix(name, ".again"))
		return 0;
	snprintf(hex, sizeof(hex), "%.64s", name);
	from = shelves_aside(s, hex, true);
	to = shelves_aside(s, hex, false);
	rc = json_read(&record, from, RECORD_MAX);
	promotion = record_kind(record) == RECORD_PROMOTION;
	if (rc || promotion != a->promotions)
		goto out;
	if (promotion) {
		rc = aside_object(s, json_get_text(record, "model", ""), json_get_int(record, "version", 0), object);
		rc = rc ? rc : promote_again(a->y, record, object);
	} else {
		rc = run_again(a->y, record, hex);
	}
	if (rc && promotion) { /* what it rested on is gone */
		log_warn("the move of %s@%s to v%lld did not come true: %s; run the gate again",
			 json_get_text(record, "model", ""), json_get_text(record, "alias", ""),
			 (long long)json_get_int(record, "version", 0), err_text());
		a->y->n->lost++;
		err_clear();
		rc = 0;
	}
	rc = rc ? rc : fs_rename(from, to);
out:
	json_decref(record);
	free(from);
	free(to);
	return rc;
}

struct object_of {
	const struct store *s;
	const char *model;
	int64_t number;
	char *object;
};

static int object_in(const char *name, void *arg)
{
	struct object_of *o = arg;
	char *dir = path_join(store_home(o->s), "aside"), *path = path_join(dir, name);
	json_t *record = NULL, *v;

	if (!json_read(&record, path, RECORD_MAX) && record_kind(record) == RECORD_RUN) {
		v = json_object_get(record, "version");
		if (!strcmp(json_get_text(v, "model", ""), o->model) && json_get_int(v, "number", 0) == o->number)
			snprintf(o->object, DIGEST_HEX, "%s", json_get_text(v, "object", ""));
	}
	err_clear();
	json_decref(record);
	free(dir);
	free(path);
	return 0;
}

static int aside_object(const struct store *s, const char *model, int64_t number, char object[DIGEST_HEX])
{
	struct object_of o = { s, model, number, object };
	char *dir = path_join(store_home(s), "aside");
	int rc;

	object[0] = '\0';
	rc = fs_list(dir, object_in, &o);
	free(dir);
	if (!rc && !*object)
		rc = err_set(ERR_NOTFOUND, "the model of %s@v%lld is not known any more", model, (long long)number);
	return rc;
}

int merge_again(struct sync *y)
{
	char *dir = path_join(store_home(y->s), "aside");
	struct again a = { .y = y };
	int rc = 0;

	if (fs_is_dir(dir)) {
		rc = fs_list(dir, again_one, &a);
		a.promotions = true;
		rc = rc ? rc : fs_list(dir, again_one, &a);
	}
	free(dir);
	return rc;
}
