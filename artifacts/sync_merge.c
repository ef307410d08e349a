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
#define SQL_MOVES "SELECT id, seq, model, alias, version, actor, created, previous FROM promotions ORDER BY seq, id"
#define SQL_AT_FAULT "SELECT id FROM records WHERE fault IS NOT NULL AND format = 'assay-run/1' ORDER BY seq, id"
#define SQL_VERSION_NOW "SELECT number FROM versions WHERE model = ?1 AND object = ?2"
#define SQL_OBJECT_OF "SELECT object FROM versions WHERE model = ?1 AND number = ?2"
#define SQL_RUN_OF                                                                                                     \
	"SELECT id FROM runs WHERE model = ?1 AND version = ?2 AND commit_oid IS ?3 ORDER BY seq DESC LIMIT 1"

static void add_name(struct name_list *l, const char *hex)
{
	MEM_GROW(l->names, l->len, l->cap);
	snprintf(l->names[l->len++], DIGEST_HEX, "%s", hex);
}

void merge_release(struct merge *m)
{
	name_list_release(&m->aside);
	name_list_release(&m->again);
	name_list_release(&m->holds);
	name_list_release(&m->refused);
	json_decref(m->said);
}

void merge_refuse(struct merge *m, const char *id)
{
	add_name(&m->refused, id);
}

static bool ours_alone(const struct sync *y, const char *id)
{
	return !sync_has(&y->theirs, id);
}

/* ---- what was said there --------------------------------------------------------------------- */

/* Of a record that says something of a version or an alias, what is needed of it: thousands of them may come at once. */
void merge_note(struct merge *m, const json_t *theirs, const char *id)
{
	static const char *const members[] = { "format",  "seq",   "model",    "alias", "version",
					       "created", "actor", "previous", "object" };
	json_t *said, *v = json_object_get(theirs, "version");

	if (record_kind(theirs) != RECORD_PROMOTION && (record_kind(theirs) != RECORD_RUN || !json_is_object(v)))
		return;
	said = json_object();
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_object_get(theirs, members[i]))
			json_object_set(said, members[i], json_object_get(theirs, members[i]));
	json_object_set_new(said, "id", json_string(id));
	if (!m->said)
		m->said = json_array();
	json_array_append_new(m->said, said);
}

/* ---- versions -------------------------------------------------------------------------------- */

static void drop_name(struct name_list *l, const char *hex)
{
	for (size_t i = 0; i < l->len; i++)
		if (!strcmp(l->names[i], hex)) {
			memmove(l->names[i], l->names[l->len - 1], DIGEST_HEX);
			l->len--;
		}
}

static void goes_again(struct merge *m, const char *id)
{
	if (names_have(&m->aside, id))
		return;
	add_name(&m->aside, id);
	add_name(&m->again, id);
}

static int look_version(struct merge *m, const struct sync *y, const char *sql, const char *model, int64_t number,
			const char *object)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(y->r, &rows, sql, "tit", model, number, object);

	json_array_foreach(rows, i, row)
	{
		const char *id = json_get_text(row, "id", "");

		if (ours_alone(y, id))
			goes_again(m, id);
	}
	json_decref(rows);
	return rc;
}

/* What a run there says of a version, against what runs and promotions say that nobody has but this home. */
static int look_run(struct merge *m, const struct sync *y, const json_t *theirs)
{
	const json_t *v = json_object_get(theirs, "version");
	const char *model = json_get_text(v, "model", ""), *object = json_get_text(v, "object", "");
	int64_t number = json_get_int(v, "number", 0);
	int rc = look_version(m, y, SQL_OF_NUMBER, model, number, object);

	rc = rc ? rc : look_version(m, y, SQL_OF_OBJECT, model, number, object);
	return rc ? rc : look_version(m, y, SQL_PROMOTED, model, number, object);
}

/* Records of a version that has no row, since another was first: theirs has its number nevertheless, ours gets the next. */
static int look_at_fault(struct merge *m, const struct sync *y)
{
	json_t *rows = NULL, *row, *record;
	int64_t there;
	size_t i;
	int rc = sql_rows(y->r, &rows, SQL_AT_FAULT, "");

	json_array_foreach(rows, i, row)
	{
		const char *id = json_get_text(row, "id", "");
		const json_t *v;

		if (rc)
			break;
		record = NULL;
		if (record_read(y->s, id, &record) || record_check(record)) {
			err_clear();
			json_decref(record);
			continue;
		}
		v = json_object_get(record, "version");
		if (json_is_object(v) && !ours_alone(y, id)) {
			rc = look_run(m, y, record);
		} else if (json_is_object(v)) {
			rc = sql_int(y->r, &there, SQL_VERSION_NOW, "jj", json_object_get(v, "model"),
				     json_object_get(v, "object"));
			if (rc == ERR_NOTFOUND) {
				rc = 0;
				goes_again(m, id);
			}
		}
		json_decref(record);
	}
	json_decref(rows);
	return rc;
}

/* ---- aliases --------------------------------------------------------------------------------- */

static bool is_later(const json_t *a, const json_t *b)
{
	int64_t x = json_get_int(a, "seq", 0), y = json_get_int(b, "seq", 0);

	return x != y ? x > y : strcmp(json_get_text(a, "id", ""), json_get_text(b, "id", "")) > 0;
}

/* last: the last move of each alias that is in the remote, by MODEL@ALIAS. */
static void note_last(json_t *last, json_t *row)
{
	char *name = mem_printf("%s@%s", json_get_text(row, "model", ""), json_get_text(row, "alias", ""));
	const json_t *now = json_object_get(last, name);

	if (!now || is_later(row, now))
		json_object_set(last, name, row);
	free(name);
}

/* What a move that is this home's alone rests on. *known false: it is of before the chain, and on whatever was there. */
static int rests_on(const struct sync *y, const json_t *row, char previous[DIGEST_HEX], bool *known)
{
	const char *named = json_get_text(row, "previous", NULL);
	json_t *record = NULL;
	int rc = 0;

	snprintf(previous, DIGEST_HEX, "%s", named ? named : "");
	*known = named != NULL;
	if (named)
		return 0;
	rc = record_read(y->s, json_get_text(row, "id", ""), &record);
	*known = !rc && json_object_get(record, "previous");
	json_decref(record);
	return rc;
}

static void lose(struct merge *m, const struct sync *y, const json_t *row, const json_t *theirs)
{
	const char *id = json_get_text(row, "id", "");

	if (!names_have(&m->aside, id))
		add_name(&m->aside, id);
	drop_name(&m->again, id);
	log_warn("%s@%s was moved to v%lld meanwhile, by %s (%s): the move to v%lld by %s, which is not there, did not "
		 "come true; run the gate again",
		 json_get_text(row, "model", ""), json_get_text(row, "alias", ""),
		 (long long)json_get_int(theirs, "version", 0), json_get_text(theirs, "actor", "?"),
		 json_get_text(theirs, "created", "?"), (long long)json_get_int(row, "version", 0),
		 json_get_text(row, "actor", "?"));
	y->n->lost++;
}

/* Of each alias, all on which its last move in the remote rests: {id: anything}. */
static json_t *lines_of(const struct merge *m, const json_t *rows, const json_t *last)
{
	json_t *previous = json_object(), *line = json_object(), *row;
	const char *name;
	size_t i;

	json_array_foreach(m->said, i, row)
		json_object_set(previous, json_get_text(row, "id", ""), json_object_get(row, "previous"));
	json_array_foreach(rows, i, row)
		json_object_set(previous, json_get_text(row, "id", ""), json_object_get(row, "previous"));
	json_object_foreach((json_t *)(uintptr_t)last, name, row)
	{
		const json_t *at = json_object_get(row, "previous");

		while (json_is_string(at) && !json_object_get(line, json_string_value(at))) {
			json_object_set_new(line, json_string_value(at), json_true());
			at = json_object_get(previous, json_string_value(at));
		}
	}
	json_decref(previous);
	return line;
}

/* A move of this home's alone holds if it follows the last one in the remote, or another that holds; or if that one rests on it, and
 * the remote has only lost its record. One that follows a move
 * which is made again is made again, too. */
static int look_move(struct merge *m, const struct sync *y, const json_t *last, const json_t *line, const json_t *row,
		     const char *before)
{
	char *name = mem_printf("%s@%s", json_get_text(row, "model", ""), json_get_text(row, "alias", ""));
	const json_t *theirs = json_object_get(last, name);
	char previous[DIGEST_HEX];
	bool known = false;
	int rc = rests_on(y, row, previous, &known);

	free(name);
	if (rc)
		return rc;
	if (!known)
		snprintf(previous, DIGEST_HEX, "%s", before);
	if (json_object_get(line, json_get_text(row, "id", "")))
		return 0;
	if (names_have(&m->again, previous)) {
		goes_again(m, json_get_text(row, "id", ""));
		return 0;
	}
	if (names_have(&m->aside, previous) ||
	    (theirs && strcmp(previous, json_get_text(theirs, "id", "")) && !names_have(&m->holds, previous)))
		lose(m, y, row, theirs);
	else
		add_name(&m->holds, json_get_text(row, "id", ""));
	return 0;
}

/* Of each alias, in order, the moves that nobody has but this home. */
static int look_moves(struct merge *m, const struct sync *y)
{
	json_t *rows = NULL, *row, *last = json_object(), *before = json_object(), *line;
	size_t i;
	int rc = sql_rows(y->r, &rows, SQL_MOVES, "");

	json_array_foreach(m->said, i, row)
	{
		if (record_kind(row) == RECORD_PROMOTION && !names_have(&m->refused, json_get_text(row, "id", "")))
			note_last(last, row);
	}
	json_array_foreach(rows, i, row)
	{
		if (!ours_alone(y, json_get_text(row, "id", "")))
			note_last(last, row);
	}
	line = lines_of(m, rows, last);
	json_array_foreach(rows, i, row)
	{
		char *name = mem_printf("%s@%s", json_get_text(row, "model", ""), json_get_text(row, "alias", ""));

		if (!rc && ours_alone(y, json_get_text(row, "id", "")))
			rc = look_move(m, y, last, line, row, json_get_text(json_object_get(before, name), "id", ""));
		json_object_set(before, name, row);
		free(name);
	}
	json_decref(last);
	json_decref(line);
	json_decref(before);
	json_decref(rows);
	return rc;
}

static int said_order(const void *a, const void *b)
{
	return is_later(*(json_t *const *)a, *(json_t *const *)b) ? 1 : -1;
}

/* What comes and would be set aside as soon as it is here (newcomers.c) wins nothing: it is refused before moves are compared. */
static int look_newcomers(struct merge *m, const struct sync *y)
{
	size_t n = json_array_size(m->said);
	json_t **said = mem_array(n + 1, sizeof(*said));
	int64_t last = 0;
	int rc = newcomers_last(y->r, &last);

	for (size_t i = 0; i < n; i++)
		said[i] = json_array_get(m->said, i);
	qsort(said, n, sizeof(*said), said_order);
	for (size_t i = 0; !rc && i < n; i++) {
		struct newcomer c = { .id = json_get_text(said[i], "id", ""),
				      .seq = json_get_int(said[i], "seq", 0),
				      .record = said[i],
				      .gone = &m->aside };
		char *why = NULL, *to = shelves_aside(y->s, c.id, false);

		rc = names_have(&m->refused, c.id) ? 0 : newcomer_against(y->r, &c, &last, &why);
		if (!rc && why) {
			merge_refuse(m, c.id);
			newcomer_tell(&c, why, to, y->o->dry_run);
		}
		free(why);
		free(to);
	}
	free(said);
	return rc;
}

int merge_look(struct merge *m, const struct sync *y)
{
	json_t *said;
	size_t i;
	int rc = look_at_fault(m, y);

	json_array_foreach(m->said, i, said)
	{
		if (!rc && record_kind(said) == RECORD_RUN && !names_have(&m->refused, json_get_text(said, "id", "")))
			rc = look_run(m, y, said);
	}
	rc = rc ? rc : look_newcomers(m, y);
	return rc ? rc : look_moves(m, y);
}

/* ---- aside ----------------------------------------------------------------------------------- */

/* The last first: a kill in between leaves no move whose version, or whose predecessor, has gone before it. */
int merge_aside(const struct merge *m, struct sync *y)
{
	char *dir = path_join(store_home(y->s), "aside");
	int rc = m->aside.len ? fs_mkdirs(dir) : 0;

	for (size_t i = m->aside.len; !rc && i > 0; i--) {
		const char *id = m->aside.names[i - 1];
		char *from = store_file(y->s, VAULT_RECORDS, id);
		char *to = shelves_aside(y->s, id, names_have(&m->again, id));

		rc = fs_rename(from, to);
		free(from);
		free(to);
	}
	if (!rc && m->aside.len)
		rc = registry_replay(y->r);
	free(dir);
	return rc;
}

/* ---- again ----------------------------------------------------------------------------------- */

/* A record that lies in HOME/aside/, compared with its name. One that is damaged goes to bad/, so that it is told once and is in
 * nobody's way: ERR_IO. */
static int aside_read(const struct store *s, const char *name, json_t **out)
{
	char *dir = path_join(store_home(s), "aside"), *from = path_join(dir, name), *to = NULL;
	struct buf text = BUF_INIT(RECORD_MAX);
	char found[DIGEST_HEX];
	struct digest d;
	int rc = fs_read(&text, from, RECORD_MAX);

	*out = NULL;
	if (!rc) {
		d = digest_bytes(buf_str(&text), text.len);
		digest_hex(found, &d);
		rc = strncmp(found, name, DIGEST_HEX - 1) ? ERR_INPUT : json_parse(out, buf_str(&text), text.len, name);
		rc = rc ? rc : record_check(*out);
		if (rc) {
			json_decref(*out);
			*out = NULL;
			to = mem_printf("%s/aside.%s", s->bad, name);
			rc = fs_rename(from, to);
			rc = rc ? rc : err_set(ERR_IO, "%s is not what its name says; moved to %s", from, to);
		}
	}
	free(dir);
	free(from);
	free(to);
	buf_release(&text);
	return rc;
}

struct again {
	struct sync *y;
	json_t *records; /* {"id","record"}: what waits */
	json_t *made;    /* promotions that were made again: the version, by the name that they had */
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

/* Under the number that its version has now. object: the version's; made: what of the moves before it was made again. */
static int promote_again(struct sync *y, json_t *made, const json_t *record, const char *object)
{
	const char *model = json_get_text(record, "model", ""), *previous = json_get_text(record, "previous", "");
	struct promotion p = { .model = model,
			       .alias = json_get_text(record, "alias", ""),
			       .expect = (int)json_get_int(made, previous, json_get_int(record, "from", 0)),
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

struct object_of {
	const struct store *s;
	const char *model;
	int64_t number;
	char *object;
};

static int object_in(const char *name, void *arg)
{
	struct object_of *o = arg;
	json_t *record = NULL, *v;

	if (!aside_read(o->s, name, &record) && record_kind(record) == RECORD_RUN) {
		v = json_object_get(record, "version");
		if (!strcmp(json_get_text(v, "model", ""), o->model) && json_get_int(v, "number", 0) == o->number)
			snprintf(o->object, DIGEST_HEX, "%s", json_get_text(v, "object", ""));
	}
	err_clear();
	json_decref(record);
	return 0;
}

/* The object of a version that a promotion of before they named it speaks of: that of a record aside, else the one that there is. */
static int old_object(struct sync *y, const char *model, int64_t number, char object[DIGEST_HEX])
{
	struct object_of o = { y->s, model, number, object };
	char *dir = path_join(store_home(y->s), "aside"), *known = NULL;
	int rc;

	object[0] = '\0';
	rc = fs_list(dir, object_in, &o);
	free(dir);
	if (rc || *object)
		return rc;
	rc = sql_text(y->r, &known, SQL_OBJECT_OF, "ti", model, number);
	if (!rc)
		snprintf(object, DIGEST_HEX, "%s", known);
	free(known);
	return rc == ERR_NOTFOUND ? err_set(rc, "the model of %s@v%lld is not known any more", model, (long long)number)
				  : rc;
}

static int move_again(struct again *a, const json_t *record, const char *id)
{
	const char *model = json_get_text(record, "model", ""), *named = json_get_text(record, "object", NULL);
	int64_t version = json_get_int(record, "version", 0);
	char object[DIGEST_HEX];
	int rc = 0;

	if (named)
		snprintf(object, sizeof(object), "%s", named);
	else
		rc = old_object(a->y, model, version, object);
	rc = rc ? rc : promote_again(a->y, a->made, record, object);
	if (!rc) {
		rc = sql_int(a->y->r, &version, SQL_VERSION_NOW, "tt", model, object);
		json_object_set_new(a->made, id, json_integer(version));
		return rc;
	}
	/* what it rested on is gone */
	log_warn("the move of %s@%s to v%lld did not come true: %s; run the gate again", model,
		 json_get_text(record, "alias", ""), (long long)version, err_text());
	a->y->n->lost++;
	err_clear();
	return 0;
}

static int again_read(const char *name, void *arg)
{
	struct again *a = arg;
	json_t *record = NULL;
	int rc;

	if (strlen(name) != DIGEST_HEX - 1 + strlen(".again") || !path_has_suffix(name, ".again"))
		return 0;
	rc = aside_read(a->y->s, name, &record);
	if (rc == ERR_IO) {
		log_warn("%s: what it said is not recorded again", err_text());
		err_clear();
		return 0;
	}
	if (!rc)
		json_array_append_new(a->records,
				      json_pack("{s:s%,s:o}", "id", name, (size_t)DIGEST_HEX - 1, "record", record));
	return rc;
}

static int again_order(const void *a, const void *b)
{
	const json_t *x = json_object_get(*(json_t *const *)a, "record"),
		     *y = json_object_get(*(json_t *const *)b, "record");
	bool p = record_kind(x) == RECORD_PROMOTION, q = record_kind(y) == RECORD_PROMOTION;

	if (p != q)
		return p ? 1 : -1;
	return is_later(x, y) ? 1 : -1;
}

static int again_one(struct again *a, json_t *item)
{
	const char *id = json_get_text(item, "id", "");
	json_t *record = json_object_get(item, "record");
	char *from = shelves_aside(a->y->s, id, true), *to = shelves_aside(a->y->s, id, false);
	int rc = record_kind(record) == RECORD_PROMOTION ? move_again(a, record, id) : run_again(a->y, record, id);

	rc = rc ? rc : fs_rename(from, to);
	free(from);
	free(to);
	return rc;
}

/* Runs before what promoted them, all in the order in which they were made. */
int merge_again(struct sync *y)
{
	char *dir = path_join(store_home(y->s), "aside");
	struct again a = { y, json_array(), json_object() };
	int rc = fs_is_dir(dir) ? fs_list(dir, again_read, &a) : 0;
	size_t n = json_array_size(a.records);
	json_t **items = mem_array(n + 1, sizeof(*items));

	for (size_t i = 0; i < n; i++)
		items[i] = json_array_get(a.records, i);
	qsort(items, n, sizeof(*items), again_order);
	for (size_t i = 0; !rc && i < n; i++)
		rc = again_one(&a, items[i]);
	free(items);
	json_decref(a.records);
	json_decref(a.made);
	free(dir);
	return rc;
}
