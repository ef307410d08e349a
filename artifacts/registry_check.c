/* registry_check.c: does the database say what the records say? And if not: make it again.
 *
 * The check does not look for known kinds of damage; it derives the whole database once more, in memory, and compares
 * all rows of all tables. Whatever differs is a fault, however it came about. Before that: SQLite's own integrity and
 * foreign keys, the schema (what is without a table or an index of it cannot be asked, so that ends the check), the digest of each record file, records at fault, and whether the objects that rows name are there
 * (their content is store_verify()'s business). Writers wait meanwhile.
 *
 * The rebuild makes registry.db.new under the exclusive lock, moves the old database aside, removes its log, and gives
 * the new one the name. A crash between any two of these leaves no registry.db or a whole one; without one, the next
 * open makes it from the records. The old log must be gone before the new file has its name, else SQLite would replay
 * it into the wrong database. */
#include "base/base.h"

#include <ctype.h>
#include <stdarg.h>

#include "artifacts/depot.h"
#include "base/embed.h"

enum { REBUILD_WAIT_S = 1 };

#define SQL_SCHEMA                                                                                                     \
	"SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND sql IS NOT NULL ORDER BY name"
#define SQL_OBJECTS                                                                                                    \
	"SELECT o.what, o.object, r.id AS run FROM (SELECT 'samples' AS what, object, min(run) AS n FROM samples"      \
	" GROUP BY object UNION ALL SELECT role, object, min(run) FROM artifacts GROUP BY object) o"                   \
	" JOIN runs r USING (n)"                                                                                       \
	" UNION ALL SELECT 'version ' || model || '@v' || number, object, run FROM versions"
#define SQL_NEEDED "SELECT * FROM (" SQL_OBJECTS ") WHERE object NOT IN (SELECT object FROM collected)"
#define SQL_RECORDS "SELECT id FROM records ORDER BY id"
#define SQL_COUNT "SELECT count(*) FROM records"
/* But for moves that no gate allowed and that were moved on from: they decide nothing, and no later move can be without them. */
#define SQL_FAULTS                                                                                                     \
	"SELECT id, fault FROM records u WHERE fault IS NOT NULL AND NOT (" UNFORCED_MOVE                              \
	" AND EXISTS (SELECT 1 FROM promotions p WHERE p.previous = u.id)) ORDER BY seq, id"
#define SQL_TABLES                                                                                                     \
	"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'shelves' "      \
	"ORDER BY rowid"

struct check {
	struct registry *r;
	int (*fault)(const char *text, void *arg);
	void *arg;
};

static int say(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int say(struct check *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return c->fault(text, c->arg);
}

/* ---- SQLite's own ---------------------------------------------------------------------------- */

static int check_sqlite(struct check *c)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(c->r, &rows, "PRAGMA integrity_check", "");

	json_array_foreach(rows, i, row)
	{
		const char *text = json_get_text(row, "integrity_check", "");

		if (!rc && strcmp(text, "ok"))
			rc = say(c, "database: %s", text);
	}
	json_decref(rows);
	rows = NULL;
	rc = rc ? rc : sql_rows(c->r, &rows, "PRAGMA foreign_key_check", "");
	json_array_foreach(rows, i, row) rc =
		rc ? rc
		   : say(c, "table %s: a row refers to a row of %s that is not there", json_get_text(row, "table", "?"),
			 json_get_text(row, "parent", "?"));
	json_decref(rows);
	return rc;
}

/* ---- the schema ------------------------------------------------------------------------------ */

/* A statement without its comments, with one blank wherever there are some: an assay that explains it otherwise means the same. */
static char *plain_sql(const char *sql)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	bool blank = false;

	while (*sql) {
		size_t skip = !strncmp(sql, "--", 2) ? strcspn(sql, "\n") : isspace((unsigned char)*sql) ? 1 : 0;
		const char *end = *sql == '\'' ? strchr(sql + 1, '\'') : NULL;
		size_t n = end ? (size_t)(end - sql) + 1 : 1;

		if (!skip) {
			if (blank)
				buf_addc(&out, ' ');
			buf_add(&out, sql, n);
		}
		blank = skip > 0;
		sql += skip ? skip : n;
	}
	return buf_take(&out);
}

static const json_t *schema_of(const json_t *rows, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) if (!strcmp(json_get_text(row, "name", ""), name)) return row;
	return NULL;
}

static bool same_schema(const json_t *a, const json_t *b)
{
	char *x = plain_sql(json_get_text(a, "sql", "")), *y = plain_sql(json_get_text(b, "sql", ""));
	bool same = !strcmp(json_get_text(a, "type", ""), json_get_text(b, "type", "")) && !strcmp(x, y);

	free(x);
	free(y);
	return same;
}

/* *whole: nothing differs. */
static int compare_schema(struct check *c, const json_t *ours, const json_t *truth, bool *whole)
{
	json_t *row;
	size_t i;
	int rc = 0;

	json_array_foreach(truth, i, row)
	{
		const char *type = json_get_text(row, "type", ""), *name = json_get_text(row, "name", "");
		const json_t *there = schema_of(ours, name);

		if (rc || (there && same_schema(there, row)))
			continue;
		*whole = false;
		rc = say(c, "schema: the %s %s is %s", type, name, there ? "not as this assay makes it" : "not there");
	}
	json_array_foreach(ours, i, row)
	{
		const char *name = json_get_text(row, "name", "");

		if (rc || schema_of(truth, name))
			continue;
		*whole = false;
		rc = say(c, "schema: the %s %s is none of assay's", json_get_text(row, "type", ""), name);
	}
	return rc;
}

static int check_schema(struct check *c, bool *whole)
{
	const char *schema = embed_file("artifacts/schema.sql", NULL);
	struct registry truth = REGISTRY_INIT(c->r->store);
	json_t *ours = NULL, *theirs = NULL;
	int rc = registry_open_db(&truth, ":memory:");

	rc = rc ? rc : sql_script(&truth, schema ? schema : "");
	rc = rc ? rc : sql_rows(&truth, &theirs, SQL_SCHEMA, "");
	rc = rc ? rc : sql_rows(c->r, &ours, SQL_SCHEMA, "");
	*whole = true;
	rc = rc ? rc : compare_schema(c, ours, theirs, whole);
	json_decref(ours);
	json_decref(theirs);
	registry_close_db(&truth);
	return rc;
}

/* ---- record files ---------------------------------------------------------------------------- */

static int stray_record(const char *path, void *arg)
{
	return say(arg, "%s: no record has such a name", path);
}

static int name_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool has_name(const struct name_list *l, const char *name)
{
	return l->len && bsearch(name, l->names, l->len, sizeof(*l->names), name_order);
}

static int check_records(struct check *c)
{
	struct name_list files = { NULL, 0, 0 }, rows = { NULL, 0, 0 };
	json_t *faults = NULL, *row;
	size_t i;
	int rc = store_names(c->r->store, VAULT_RECORDS, &files, stray_record, c);

	rc = rc ? rc : sql_names(c->r, &rows, SQL_RECORDS);
	for (i = 0; !rc && i < files.len; i++) {
		if (store_verify_one(c->r->store, VAULT_RECORDS, files.names[i], NULL))
			rc = say(c, "record %s", err_text());
		else if (!has_name(&rows, files.names[i]))
			rc = say(c, "record %s is not in the database", files.names[i]);
	}
	for (i = 0; !rc && i < rows.len; i++)
		if (!has_name(&files, rows.names[i]))
			rc = say(c, "record %s is in the database, but its file is gone", rows.names[i]);
	rc = rc ? rc : sql_rows(c->r, &faults, SQL_FAULTS, "");
	json_array_foreach(faults, i, row) rc =
		rc ? rc : say(c, "record %s: %s", json_get_text(row, "id", ""), json_get_text(row, "fault", ""));
	json_decref(faults);
	name_list_release(&files);
	name_list_release(&rows);
	return rc;
}

/* ---- records in bad/ -------------------------------------------------------------------------- */

struct damaged {
	int (*each)(const char *id, void *arg);
	void *arg;
};

static int damaged_record(const char *vault, const char *hex, void *arg)
{
	const struct damaged *d = arg;

	return strcmp(vault, VAULT_RECORDS) ? 0 : d->each(hex, d->arg);
}

int registry_damaged(const struct store *store, int (*each)(const char *id, void *arg), void *arg)
{
	struct damaged d = { each, arg };

	return store_damaged(store, damaged_record, &d);
}

static int warn_damaged(const char *id, void *arg)
{
	(void)arg;
	log_warn("record %.12s is damaged and lies in bad/: what it said is not known here. assay artifact repair "
		 "--from takes it "
		 "from another home or a remote; where there is no copy, removing it from bad/ gives it up",
		 id);
	return 0;
}

void registry_damaged_warn(const struct store *store)
{
	struct err_saved saved = err_save();

	if (registry_damaged(store, warn_damaged, NULL))
		log_warn("%s", err_text());
	err_restore(&saved);
}

static int say_damaged(const char *id, void *arg)
{
	return say(arg, "record %s is damaged and lies in bad/", id);
}

struct needs {
	struct registry *r;
	int (*each)(const char *object, const char *what, void *arg);
	void *arg;
	struct map seen;
};

/* Once each, however many name it. */
static int need_one(struct needs *n, const char *object, const char *what)
{
	return map_put(&n->seen, object, strlen(object), 0) ? n->each(object, what, n->arg) : 0;
}

/* A folder's files before the folder. One that cannot be read is told by whoever reads it. */
static int need_files(struct needs *n, const char *object, const char *what)
{
	struct tree_files files = { NULL, 0, 0 };
	int rc = 0;

	if (store_has(n->r->store, object) && store_files(n->r->store, object, &files))
		err_clear();
	for (size_t i = 0; !rc && i < files.len; i++) {
		char *file = mem_printf("%s of %s", files.items[i].path, what);

		rc = need_one(n, files.items[i].object, file);
		free(file);
	}
	tree_files_release(&files);
	return rc;
}

int registry_needs(struct registry *r, int (*each)(const char *object, const char *what, void *arg), void *arg)
{
	struct needs n = { .r = r, .each = each, .arg = arg };
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_NEEDED, "");

	map_init(&n.seen);
	json_array_foreach(rows, i, row)
	{
		const char *object = json_get_text(row, "object", ""), *what = json_get_text(row, "what", "?");
		char *whole = mem_printf("%s of run %.12s", what, json_get_text(row, "run", "?"));

		if (!rc && strcmp(what, "samples"))
			rc = need_files(&n, object, whole);
		rc = rc ? rc : need_one(&n, object, whole);
		free(whole);
	}
	map_release(&n.seen);
	json_decref(rows);
	return rc;
}

static int check_object(const char *object, const char *what, void *arg)
{
	struct check *c = arg;
	struct tree_files files = { NULL, 0, 0 };
	int rc = 0;

	if (!store_known(c->r->store, object))
		return say(c, "object %s (%s) is not in the store", object, what);
	if (store_has(c->r->store, object) && store_files(c->r->store, object, &files)) {
		rc = say(c, "folder %s (%s) cannot be read: %s", object, what, err_text());
		err_clear();
	}
	tree_files_release(&files);
	return rc;
}

/* ---- rows against records -------------------------------------------------------------------- */

static bool same_value(sqlite3_stmt *a, sqlite3_stmt *b, int i)
{
	int type = sqlite3_column_type(a, i), n;

	if (type != sqlite3_column_type(b, i))
		return false;
	if (type == SQLITE_INTEGER)
		return sqlite3_column_int64(a, i) == sqlite3_column_int64(b, i);
	if (type == SQLITE_NULL)
		return true;
	/* reals by their text: both were made from the same digits */
	n = (sqlite3_column_text(a, i), sqlite3_column_bytes(a, i));
	return n == (sqlite3_column_text(b, i), sqlite3_column_bytes(b, i)) &&
	       !memcmp(sqlite3_column_text(a, i), sqlite3_column_text(b, i), (size_t)n);
}

/* "a1b2c3…, 4, train": the first columns of a row. */
static void row_text(struct buf *out, sqlite3_stmt *st)
{
	for (int i = 0; i < sqlite3_column_count(st) && i < 5; i++) {
		const char *text = (const char *)sqlite3_column_text(st, i);

		buf_addf(out, "%s%.40s", i ? ", " : "", text ? text : "NULL");
	}
}

static int compare_rows(struct check *c, const char *table, sqlite3_stmt *db, sqlite3_stmt *truth)
{
	for (;;) {
		int a = sqlite3_step(db), b = sqlite3_step(truth);
		bool same = a == b;

		if ((a != SQLITE_ROW && a != SQLITE_DONE) || (b != SQLITE_ROW && b != SQLITE_DONE))
			return say(c, "table %s cannot be read: %s", table, sqlite3_errmsg(c->r->db));
		if (same && a == SQLITE_DONE)
			return 0;
		same = same && sqlite3_column_count(db) == sqlite3_column_count(truth);
		for (int i = 0; same && i < sqlite3_column_count(db); i++)
			same = same_value(db, truth, i);
		if (!same) {
			struct buf text = BUF_INIT(900);
			int rc;

			if (a == SQLITE_ROW)
				row_text(&text, db);
			buf_adds(&text, a == SQLITE_ROW && b == SQLITE_ROW ? " | " : "");
			if (b == SQLITE_ROW)
				row_text(&text, truth);
			rc = say(c, "table %s: %s: %s", table,
				 a == b            ? "database and records differ"
				 : a == SQLITE_ROW ? "a row that no record gives"
						   : "a row is missing",
				 buf_str(&text));
			buf_release(&text);
			return rc;
		}
	}
}

static int compare_table(struct check *c, struct registry *truth, const char *table)
{
	sqlite3_stmt *a = NULL, *b = NULL;
	struct buf sql = BUF_INIT(4096);
	int64_t columns = 0;
	char *from;
	int rc = sql_int(truth, &columns, "SELECT count(*) FROM pragma_table_info(?1)", "t", table);

	if (rc)
		return rc;
	from = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY 1", table);
	buf_adds(&sql, from);
	sqlite3_free(from);
	for (int64_t i = 2; i <= columns; i++)
		buf_addf(&sql, ", %lld", (long long)i);
	if (sqlite3_prepare_v2(truth->db, buf_str(&sql), -1, &b, NULL))
		rc = sql_error(truth, "comparing");
	else if (sqlite3_prepare_v2(c->r->db, buf_str(&sql), -1, &a, NULL))
		rc = say(c, "table %s: %s", table, sqlite3_errmsg(c->r->db));
	else
		rc = compare_rows(c, table, a, b);
	sqlite3_finalize(a);
	sqlite3_finalize(b);
	buf_release(&sql);
	return rc;
}

static int check_rows(struct check *c)
{
	struct registry truth = REGISTRY_INIT(c->r->store);
	json_t *tables = NULL, *row;
	size_t i;
	int rc;

	truth.quiet = true;
	rc = registry_open_db(&truth, ":memory:");
	rc = rc ? rc : registry_make(&truth);
	rc = rc ? rc : sql_rows(&truth, &tables, SQL_TABLES, "");
	json_array_foreach(tables, i, row) rc = rc ? rc : compare_table(c, &truth, json_get_text(row, "name", ""));
	json_decref(tables);
	registry_close_db(&truth);
	return rc;
}

int registry_check(struct registry *r, int (*fault)(const char *text, void *arg), void *arg)
{
	struct check c = { r, fault, arg };
	bool whole = true;
	int rc = sql_script(r, "BEGIN IMMEDIATE"); /* so that no record comes between file and row */

	if (rc)
		return rc;
	rc = check_sqlite(&c);
	rc = rc ? rc : check_schema(&c, &whole);
	if (!rc && whole) {
		rc = check_records(&c);
		rc = rc ? rc : registry_damaged(r->store, say_damaged, &c);
		rc = rc ? rc : registry_chain(r, NULL, fault, arg);
		rc = rc ? rc : registry_needs(r, check_object, &c);
		rc = rc ? rc : check_rows(&c);
	}
	if (!sqlite3_get_autocommit(r->db)) {
		struct err_saved why = err_save();

		(void)sql_script(r, "ROLLBACK");
		err_restore(&why);
	}
	return rc;
}

/* ---- rebuild --------------------------------------------------------------------------------- */

static int remove_database(const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char *name = mem_printf("%s%s", path, suffixes[i]);

		rc = rc ? rc : fs_remove(name);
		free(name);
	}
	return rc;
}

/* A newer database is not ours to replace; one that cannot be read is. */
static int old_version_check(struct store *s, const char *path)
{
	struct registry old = REGISTRY_INIT(s);
	int64_t version = 0;
	int rc = 0;

	if (fs_exists(path)) {
		rc = registry_open_db(&old, path);
		rc = rc ? rc : registry_version_check(&old, &version);
	}
	registry_close_db(&old);
	return rc == ERR_ENV && version > REGISTRY_VERSION ? rc : 0;
}

static int make_new(struct store *s, const char *path, uint64_t *records)
{
	struct registry r = REGISTRY_INIT(s);
	int64_t n = 0;
	int rc = remove_database(path);

	rc = rc ? rc : registry_open_db(&r, path);
	rc = rc ? rc : sql_script(&r, "BEGIN IMMEDIATE");
	if (!rc)
		rc = registry_end(&r, registry_make(&r), "");
	rc = rc ? rc : sql_int(&r, &n, SQL_COUNT, "");
	rc = rc ? rc : sql_script(&r, "PRAGMA wal_checkpoint(TRUNCATE)");
	registry_close_db(&r);
	if (!rc && records)
		*records = (uint64_t)n;
	return rc;
}

static int swap(const char *path, const char *fresh)
{
	char *old = mem_printf("%s.old", path), *wal = mem_printf("%s-wal", path), *shm = mem_printf("%s-shm", path);
	int rc = fs_exists(path) ? fs_rename(path, old) : 0;

	rc = rc ? rc : fs_remove(wal);
	rc = rc ? rc : fs_remove(shm);
	rc = rc ? rc : fs_rename(fresh, path);
	if (!rc && fs_is_dir(old))
		log_warn("%s was a folder: it is %s now, and nothing of assay's", path, old);
	else
		rc = rc ? rc : remove_database(old);
	free(old);
	free(wal);
	free(shm);
	return rc;
}

int registry_rebuild(struct store *store, uint64_t *records)
{
	struct registry gate = REGISTRY_INIT(store);
	char *path = registry_path(store), *fresh = mem_printf("%s.new", path);
	int rc = registry_lock(&gate, false, REBUILD_WAIT_S);

	if (rc == ERR_BUSY)
		err_hint(rc, "wait until no other assay uses this home");
	rc = rc ? rc : old_version_check(store, path);
	rc = rc ? rc : make_new(store, fresh, records);
	rc = rc ? rc : swap(path, fresh);
	if (rc) {
		struct err_saved why = err_save();

		(void)remove_database(fresh);
		err_restore(&why);
	}
	lock_drop(&gate.lock);
	free(path);
	free(fresh);
	return rc;
}
