/* registry.c: the records as a database: opening, the one way to add to it, making it again.
 *
 * The idea: the record files are the truth, the database is a view of them that can be asked. So:
 *
 *	append     in one BEGIN IMMEDIATE: take in what is missing, check conditions, give seq and numbers, insert the
 *	           rows, write the record file durably, COMMIT. A record is on disk before its rows are.
 *	crash      between file and COMMIT: the file has no rows; the next writer or opener takes it in. A failure that
 *	           is not a crash removes the file again: what was reported as failed has not happened.
 *	late       a record that sorts before the last one (a crash was overtaken, another home was merged): all tables
 *	           are dropped and filled again from all records, in the same transaction. So the rows never depend on
 *	           the order of arrival.
 *	aside      a record that gave way to another home's (sync_merge.c) takes its rows along: the same, now or at the next
 *	           open.
 *	migration  the same, after a copy of the old database to registry.db.vN.bak: no ALTER scripts to get wrong.
 *	rebuild    the same, into a new file, with everybody else kept out.
 *
 * Everyone who has the registry open holds a shared lock on HOME/registry.lock; rebuild takes it alone, because a file
 * must not be renamed over a database that is in use. WAL with synchronous=FULL: COMMIT is durable. Readers never wait.
 * The hook's verdict spares itself that (NORMAL, and no checkpoint at close): the log keeps its order, so a power cut takes
 * the last rows and never the ones before, and their records are found without rows. Three syncs instead of eight.
 * On a network file system there is no memory that two machines share, so no WAL: a journal that is truncated, and readers
 * wait for writers.
 *
 * Finding what is missing costs a look at each shelf of records/ at open and in each write (shelves.c), not at each record. */
#include "base/base.h"

#include <pthread.h>

#include "artifacts/artifacts_int.h"
#include "base/embed.h"

enum { BUSY_MS = 30000, SEVERAL = 8 };

#define SQL_USER_VERSION "PRAGMA user_version"
#define SQL_ANY_TABLE "SELECT count(*) FROM sqlite_schema"
#define SQL_TABLES                                                                                                     \
	"SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' "           \
	"ORDER BY type = 'table', rowid DESC"
#define SQL_LAST "SELECT seq, id FROM records ORDER BY seq DESC, id DESC LIMIT 1"
#define SQL_NEXT_SEQ "SELECT coalesce(max(seq), 0) + 1 FROM records"
#define SQL_NUMBER_OF "SELECT number FROM versions WHERE model = ?1 AND object = ?2"
#define SQL_NEXT_NUMBER "SELECT coalesce(max(number), 0) + 1 FROM versions WHERE model = ?1"

/* ---- opening --------------------------------------------------------------------------------- */

char *registry_path(const struct store *s)
{
	return path_join(store_home(s), "registry.db");
}

int registry_lock(struct registry *r, bool shared, double wait_s)
{
	char *path = path_join(store_home(r->store), "registry.lock");
	int rc = lock_take(&r->lock, path, shared ? "the registry (it is being rebuilt)" : "the registry", shared,
			   wait_s);

	free(path);
	return rc == ERR_IO ? err_hint(rc, "a home is written to even by who only reads: ASSAY_HOME names another")
			    : rc;
}

/* Who finds another giving a new database this mode does not wait for it by SQLite's busy handler, but is told BUSY at once. */
static int set_wal(struct registry *r, char **mode)
{
	int rc = sql_text(r, mode, "PRAGMA journal_mode = WAL", "");

	for (int ms = 0; rc == ERR_BUSY && ms < BUSY_MS; ms += sqlite3_sleep(10)) {
		err_clear();
		rc = sql_text(r, mode, "PRAGMA journal_mode = WAL", "");
	}
	return rc;
}

int registry_open_db(struct registry *r, const char *path)
{
	static const char pragmas[] = "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA synchronous = "
				      "FULL; PRAGMA cache_size = -16384";
	char *mode = NULL;
	bool file = strcmp(path, ":memory:") != 0;
	const char *shared = file ? filesystem_shared(store_home(r->store)) : NULL;
	int rc;

	/* a registry is one thread's at a time: no lock at each cell that is read */
	if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL))
		return err_set(!r->db || sqlite3_errcode(r->db) == SQLITE_NOMEM ? ERR_UNAVAILABLE : ERR_IO, "%s: %s",
			       path, r->db ? sqlite3_errmsg(r->db) : "out of memory");
	sqlite3_busy_timeout(r->db, BUSY_MS);
	sqlite3_extended_result_codes(r->db, 1);
	rc = sql_script(r, pragmas);
	if (!rc && shared) {
		/* what a log in shared memory says is not seen by another machine: a plain journal, and locks by the server */
		rc = sql_text(r, &mode, "PRAGMA journal_mode = TRUNCATE", "");
		if (!rc && strcmp(mode, "truncate"))
			rc = err_set(ERR_BUSY,
				     "%s is on a network file drive (%s) and in use in the mode of a local disk", path,
				     shared);
	} else if (!rc && file) {
		rc = set_wal(r, &mode);
		if (!rc && strcmp(mode, "wal"))
			rc = err_set(ERR_ENV, "%s: the file system has no shared memory for a write-ahead log", path);
		if (rc == ERR_ENV)
			err_hint(rc, "set ASSAY_HOME to a folder on a local disk");
	}
	free(mode);
	return rc;
}

void registry_close_db(struct registry *r)
{
	sql_forget(r);
	if (r->db)
		sqlite3_close(r->db);
	r->db = NULL;
}

int registry_version_check(struct registry *r, int64_t *version)
{
	int rc = sql_int(r, version, SQL_USER_VERSION, "");

	if (rc || *version <= REGISTRY_VERSION)
		return rc;
	rc = err_set(ERR_ENV, "the registry in %s is of version %lld; this assay (%s) knows versions up to %d",
		     store_home(r->store), (long long)*version, ASSAY_VERSION, REGISTRY_VERSION);
	return err_hint(rc, "use the newer assay, or another ASSAY_HOME");
}

/* ---- records in order ------------------------------------------------------------------------ */

static int pending_order(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return strcmp(x->id, y->id);
}

/* Where a record stands: said by its bytes; else it is not in canonical form, and is read as JSON. */
static int64_t place_of(const struct buf *text)
{
	int64_t seq = record_seq(buf_str(text), text->len);
	json_t *record = NULL;

	if (!seq && !json_parse(&record, buf_str(text), text->len, "record") && !record_check(record))
		seq = json_get_int(record, "seq", 0);
	json_decref(record);
	err_clear();
	return seq;
}

/* Reads where a record stands. A damaged one is moved aside by the store and left out (*keep false). */
static int pending_read(struct registry *r, struct pending *p, bool *keep)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	int rc = store_read(r->store, VAULT_RECORDS, p->id, &text, RECORD_MAX);

	*keep = true;
	p->len = text.len;
	p->seq = rc ? 0 : place_of(&text);
	buf_release(&text);
	if (!rc || rc == ERR_INPUT)
		return 0;
	if (rc == ERR_IO || rc == ERR_NOTFOUND) {
		char *path = store_file(r->store, VAULT_RECORDS, p->id);

		*keep = fs_exists(path);
		free(path);
		if (!*keep && !r->quiet)
			log_warn("%s", err_text());
	}
	return *keep ? rc : 0;
}

/* Names in files that are not in rows (both sorted), with their place, in order. *moved: a row's file was set aside. */
static int pending_list(struct registry *r, const struct name_list *files, const struct name_list *rows,
			struct pending **out, size_t *n, bool *moved)
{
	struct pending *p = NULL;
	size_t len = 0, cap = 0, k = 0;
	bool keep;
	int rc = 0;

	*moved = false;
	for (size_t i = 0; !rc && i <= files->len; i++) {
		for (; k < rows->len && (i == files->len || strcmp(rows->names[k], files->names[i]) < 0); k++)
			*moved = *moved || shelves_moved(r, rows->names[k]);
		if (i == files->len)
			break;
		if (k < rows->len && !strcmp(rows->names[k], files->names[i])) {
			k++;
			continue;
		}
		MEM_GROW(p, len, cap);
		memcpy(p[len].id, files->names[i], DIGEST_HEX);
		rc = pending_read(r, &p[len], &keep);
		len += keep;
	}
	if (len)
		qsort(p, len, sizeof(*p), pending_order);
	*out = p;
	*n = len;
	return rc;
}

/* ---- filling --------------------------------------------------------------------------------- */

enum { BATCH = 64 };
#define BATCH_BYTES ((size_t)4 << 20)

/* Some records, read ahead: to read them as JSON is as much work as to make rows of them, and another thread's. */
struct batch {
	size_t from, n;
	struct {
		json_t *record;
		int rc;
		struct err_saved why;
	} items[BATCH];
};

static void batch_read(struct store *s, struct batch *b, const struct pending *p, size_t n, size_t from)
{
	size_t bytes = 0;

	b->from = from;
	for (b->n = 0; from + b->n < n && b->n < BATCH && bytes < BATCH_BYTES; b->n++) {
		const struct pending *x = &p[from + b->n];

		b->items[b->n].record = NULL;
		b->items[b->n].rc = record_read(s, x->id, &b->items[b->n].record);
		b->items[b->n].why = err_save();
		bytes += x->len;
	}
}

static int batch_ingest(struct registry *r, struct batch *b, const struct pending *p)
{
	int rc = 0;

	for (size_t i = 0; i < b->n; i++) {
		err_restore(&b->items[i].why);
		if (!rc)
			rc = ingest_any(r, p[b->from + i].id, b->items[i].rc, b->items[i].record);
		json_decref(b->items[i].record);
	}
	return rc;
}

/* A batch that another thread reads. Not OpenMP's: its threads spin while they wait, and here one always waits for the other
 * (measured: a fourth of the processor's time). */
struct ahead {
	struct store *s;
	struct batch *b;
	const struct pending *p;
	size_t n, from;
	pthread_t thread;
	bool running;
};

static void *ahead_read(void *arg)
{
	struct ahead *a = arg;

	batch_read(a->s, a->b, a->p, a->n, a->from);
	return NULL;
}

static void ahead_start(struct ahead *a)
{
	a->running = a->from < a->n && !pthread_create(&a->thread, NULL, ahead_read, a);
	if (!a->running)
		ahead_read(a);
}

/* Rows of all of them, in their order. */
static int ingest_all(struct registry *r, const struct pending *p, size_t n)
{
	struct batch *two = mem_array(2, sizeof(*two));
	struct store *s = r->store;
	int rc = 0;

	batch_read(s, &two[0], p, n, 0);
	for (int k = 0; !rc && two[k].n; k = !k) {
		struct batch *next = &two[!k], *now = &two[k];
		struct ahead a = { .s = s, .b = next, .p = p, .n = n, .from = now->from + now->n };

		ahead_start(&a);
		rc = batch_ingest(r, now, p);
		if (a.running)
			pthread_join(a.thread, NULL);
		if (rc)
			for (size_t i = 0; i < next->n; i++) {
				err_forget(&next->items[i].why);
				json_decref(next->items[i].record);
			}
	}
	free(two);
	return rc;
}

int registry_make(struct registry *r)
{
	const char *schema = embed_file("artifacts/schema.sql", NULL);
	char *version = mem_printf("PRAGMA user_version = %d", REGISTRY_VERSION);
	struct name_list files = { NULL, 0, 0 }, none = { NULL, 0, 0 };
	struct pending *p = NULL;
	bool moved;
	size_t n = 0;
	int rc = schema ? sql_script(r, schema) : err_set(ERR_BUG, "artifacts/schema.sql is not in this binary");

	rc = rc ? rc : sql_script(r, version);
	rc = rc ? rc : shelves_unsettled(r, &files, &none, true);
	rc = rc ? rc : pending_list(r, &files, &none, &p, &n, &moved);
	rc = rc ? rc : ingest_all(r, p, n);
	free(p);
	free(version);
	name_list_release(&files);
	return rc;
}

/* Drops whatever tables there are: those that refer to others go first, being made last. */
static int drop_all(struct registry *r)
{
	json_t *tables = NULL, *row;
	size_t i;
	int rc = sql_script(r, "PRAGMA defer_foreign_keys = ON");

	rc = rc ? rc : sql_rows(r, &tables, SQL_TABLES, "");
	json_array_foreach(tables, i, row)
	{
		char *sql = sqlite3_mprintf("DROP %s \"%w\"", json_get_text(row, "type", ""),
					    json_get_text(row, "name", ""));

		rc = rc ? rc : sql_script(r, sql);
		sqlite3_free(sql);
	}
	json_decref(tables);
	return rc;
}

int registry_replay(struct registry *r)
{
	int rc = drop_all(r);

	return rc ? rc : registry_make(r);
}

/* True if p sorts before the last record that has rows. */
static int is_late(struct registry *r, const struct pending *p, bool *late)
{
	struct pending last;
	json_t *row = NULL;
	int rc = sql_row(r, &row, SQL_LAST, "");

	*late = false;
	if (rc)
		return rc == ERR_NOTFOUND ? 0 : rc;
	last.seq = json_get_int(row, "seq", 0);
	snprintf(last.id, sizeof(last.id), "%s", json_get_text(row, "id", ""));
	*late = p->seq && pending_order(p, &last) < 0;
	json_decref(row);
	return 0;
}

/* The record files that have no rows, in order; and whether there are rows of records that were set aside. */
static int find_missing(struct registry *r, struct pending **p, size_t *n, bool *moved, bool keep)
{
	struct name_list files = { NULL, 0, 0 }, rows = { NULL, 0, 0 };
	int rc = shelves_unsettled(r, &files, &rows, keep);

	rc = rc ? rc : pending_list(r, &files, &rows, p, n, moved);
	name_list_release(&files);
	name_list_release(&rows);
	return rc;
}

int registry_take_in(struct registry *r)
{
	struct pending *p = NULL;
	bool late = false; /* or rows too many: all of it again, then */
	size_t n = 0;
	int rc = find_missing(r, &p, &n, &late, true);

	rc = rc ? rc : newcomers_aside(r, p, &n);
	/* they are in order: if the first is not late, none is */
	for (size_t i = 0; !rc && i < n && !late && (!i || !p[i - 1].seq); i++)
		rc = is_late(r, &p[i], &late);
	if (!rc && (n || late))
		rc = late ? registry_replay(r) : ingest_all(r, p, n);
	free(p);
	return rc;
}

/* ---- transactions ---------------------------------------------------------------------------- */

int registry_begin(struct registry *r)
{
	int64_t version = 0;
	int rc = sql_script(r, "BEGIN IMMEDIATE");

	if (rc)
		return rc;
	/* a newer assay may have migrated it since we opened it */
	rc = registry_version_check(r, &version);
	rc = rc ? rc : registry_take_in(r);
	return rc ? registry_end(r, rc, "") : 0;
}

int registry_end(struct registry *r, int rc, const char *id)
{
	struct err_saved why;
	char *path;

	if (!rc)
		rc = sql_script(r, "COMMIT");
	if (!rc)
		return 0;
	why = err_save();
	if (!sqlite3_get_autocommit(r->db))
		(void)sql_script(r, "ROLLBACK");
	if (*id) {
		path = store_file(r->store, VAULT_RECORDS, id);
		(void)fs_remove(path);
		free(path);
	}
	err_restore(&why);
	return rc;
}

static void stamp(json_t *record, int64_t seq)
{
	int64_t now = clock_unix_ns();
	char iso[21];

	clock_iso(iso, now);
	json_object_set_new(record, "seq", json_integer(seq));
	json_object_set_new(record, "created", json_string(iso));
	json_object_set_new(record, "created_ns", json_integer(now > 0 ? now : 0));
}

/* A record file under a temporary name; the disk begins with it while rows are made. */
static int record_prepare(struct store *s, struct fs_temp *t, const struct buf *text)
{
	int rc = fs_temp_open(t, s->tmp);

	rc = rc ? rc : fs_temp_write(t, buf_str(text), text->len);
	if (!rc)
		fs_temp_flush(t, 0, text->len);
	return rc;
}

/* Only a record that was forged stands there. */
static int numbers_end(struct registry *r)
{
	char *last = NULL;
	int rc = sql_text(r, &last, "SELECT id FROM records ORDER BY seq DESC, id DESC LIMIT 1", "");

	if (!rc) {
		rc = err_set(ERR_INPUT, "record %.12s stands at the end of all numbers: none can follow it", last);
		err_hint(rc, "move its file from records/ to aside/ in the home, under the 64 digits of its name");
	}
	free(last);
	return rc;
}

int registry_append(struct registry *r, json_t *record, bool checked, char id[DIGEST_HEX])
{
	struct buf text = BUF_INIT(RECORD_MAX);
	struct fs_temp t = { -1, NULL };
	char name[DIGEST_HEX], *fault = NULL;
	int64_t seq = 0;
	int rc = sql_int(r, &seq, SQL_NEXT_SEQ, "");

	id[0] = '\0';
	if (!rc && seq > RECORD_SEQ_MAX)
		rc = numbers_end(r);
	if (rc)
		goto out;
	stamp(record, seq);
	record_bytes(&text, name, record);
	if (buf_full(&text)) {
		rc = err_set(ERR_INPUT, "record: longer than %zu bytes", RECORD_MAX);
		goto out;
	}
	rc = record_prepare(r->store, &t, &text);
	rc = rc ? rc : ingest_record(r, name, record, checked, &fault);
	if (!rc && fault)
		rc = err_set(ERR_BUG, "record: %s", fault);
	if (!rc) {
		memcpy(id, name, DIGEST_HEX); /* from here on there may be a file to remove */
		rc = store_commit(r->store, VAULT_RECORDS, name, &t);
		rc = rc ? err_context(rc, "storing %.12s", name) : 0;
	}
out:
	fs_temp_drop(&t);
	free(fault);
	buf_release(&text);
	return rc;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* registry.db.vN.bak: made beside it first, so that a name that is there is a whole copy. */
static int backup(struct registry *r, int64_t version)
{
	char *to = mem_printf("%s/registry.db.v%lld.bak", store_home(r->store), (long long)version);
	char *dir = NULL, *copy = NULL, *sql = NULL;
	int rc = fs_temp_dir(&dir, r->store->tmp, "backup-");

	if (!rc) {
		copy = path_join(dir, "registry.db");
		sql = sqlite3_mprintf("VACUUM INTO %Q", copy);
		rc = sql_script(r, sql);
	}
	rc = rc ? rc : fs_copy(copy, to);
	if (dir && fs_remove_tree(dir))
		log_warn("%s", err_text());
	sqlite3_free(sql);
	free(copy);
	free(dir);
	free(to);
	return rc ? err_context(rc, "copying the registry before its migration") : 0;
}

static int migrate(struct registry *r)
{
	int64_t version = 0, tables = 0;
	int rc = registry_version_check(r, &version);

	if (rc || version == REGISTRY_VERSION)
		return rc;
	rc = sql_int(r, &tables, SQL_ANY_TABLE, "");
	if (!rc && tables)
		rc = backup(r, version);
	rc = rc ? rc : sql_script(r, "BEGIN IMMEDIATE");
	if (rc)
		return rc;
	rc = registry_version_check(r, &version); /* two may have come this far; the second finds it done */
	if (!rc && version < REGISTRY_VERSION)
		rc = registry_replay(r);
	return registry_end(r, rc, "");
}

static int catch_up(struct registry *r)
{
	struct pending *p = NULL;
	bool moved = false;
	size_t n = 0;
	int rc = find_missing(r, &p, &n, &moved, false);

	free(p);
	if (rc || (!n && !moved && r->could_keep < SEVERAL))
		return rc;
	if (!n && !moved)
		sqlite3_busy_timeout(r->db, 0); /* it can wait */
	rc = registry_begin(r);
	rc = rc ? rc : registry_end(r, 0, "");
	sqlite3_busy_timeout(r->db, BUSY_MS);
	if (n || moved)
		return rc;
	err_clear(); /* somebody is writing, or nobody may: it was for speed alone */
	return 0;
}

int registry_open(struct registry **out, struct store *store)
{
	struct registry *r = mem_copy(&(struct registry)REGISTRY_INIT(store), sizeof(*r));
	char *path = registry_path(store);
	int64_t version = 0;
	int rc = registry_lock(r, true, BUSY_MS / 1000.0);

	rc = rc ? rc : registry_open_db(r, path);
	rc = rc ? rc : registry_version_check(r, &version);
	rc = rc ? rc : migrate(r);
	rc = rc ? rc : catch_up(r);
	free(path);
	if (rc) {
		registry_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	registry_close_db(r);
	lock_drop(&r->lock);
	free(r);
}

int registry_make_haste(struct registry *r)
{
	if (filesystem_shared(store_home(r->store)))
		return 0; /* no write-ahead log there: synchronous=NORMAL would risk the database itself */
	if (sqlite3_db_config(r->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL))
		return sql_error(r, "leaving the log");
	return sql_script(r, "PRAGMA synchronous = NORMAL");
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* What a record names is durable before it: refuse one that names what is not there. */
static int objects_check(const struct store *s, const json_t *record)
{
	static const char *const lists[] = { "artifacts", "samples" };
	const json_t *version = json_object_get(record, "version");

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		const json_t *list = json_object_get(record, lists[k]);

		for (size_t i = 0; i < json_array_size(list); i++) {
			const char *hex = json_get_text(json_array_get(list, i), "object", "");

			if (!store_has(s, hex))
				return err_set(ERR_INPUT, "record: %s[%zu].object: %s is not in the store", lists[k], i,
					       hex);
		}
	}
	if (json_is_object(version) && !store_has(s, json_get_text(version, "object", "")))
		return err_set(ERR_INPUT, "record: version.object: %s is not in the store",
			       json_get_text(version, "object", ""));
	return 0;
}

/* The caller cannot know the number: an edge to "version:MODEL" becomes one to "version:MODEL@vN", and where no edge
 * leads to the version, one from its object does. */
static void edges_complete(json_t *record, const char *model, const char *object, int64_t number)
{
	static const char *const ends[] = { "from", "to" };
	json_t *edges = json_object_get(record, "edges"), *edge;
	char *open_node = mem_printf("version:%s", model);
	char *node = mem_printf("version:%s@v%lld", model, (long long)number);
	bool named = false;
	size_t i;

	if (!json_is_array(edges)) {
		edges = json_array();
		json_object_set_new(record, "edges", edges);
	}
	json_array_foreach(edges, i, edge)
	{
		for (size_t k = 0; k < ARRAY_LEN(ends); k++) {
			if (!strcmp(json_get_text(edge, ends[k], ""), open_node))
				json_object_set_new(edge, ends[k], json_string(node));
			named = named || !strcmp(json_get_text(edge, ends[k], ""), node);
		}
	}
	if (!named) {
		char *from = mem_printf("model:%s", object);

		json_array_append_new(edges, json_pack("{s:s,s:s,s:s}", "from", from, "to", node, "relation", "is"));
		free(from);
	}
	free(open_node);
	free(node);
}

static int version_number(struct registry *r, json_t *record)
{
	json_t *version = json_object_get(record, "version");
	const char *model = json_get_text(version, "model", ""), *object = json_get_text(version, "object", "");
	int64_t number = 0;
	int rc;

	if (!json_is_object(version))
		return 0;
	rc = sql_int(r, &number, SQL_NUMBER_OF, "tt", model, object);
	if (rc == ERR_NOTFOUND)
		rc = sql_int(r, &number, SQL_NEXT_NUMBER, "t", model);
	if (!rc && number > RECORD_VERSION_MAX) {
		rc = err_set(ERR_INPUT, "%.140s has a v%lld: no version can follow it", model, (long long)number - 1);
		err_hint(rc, "assay show %.140s@v%lld names its record: move that from records/ to aside/ in the home",
			 model, (long long)number - 1);
	}
	if (rc)
		return rc;
	json_object_set_new(version, "number", json_integer(number));
	edges_complete(record, model, object, number);
	return 0;
}

int registry_add_run(struct registry *r, json_t *record, char id[DIGEST_HEX])
{
	json_t *version = json_object_get(record, "version");
	char name[DIGEST_HEX] = "";
	int rc;

	/* stamps that will be replaced, so that all else is checked before anything is locked */
	stamp(record, 1);
	if (json_is_object(version))
		json_object_set_new(version, "number", json_integer(1));
	rc = record_check(record);
	if (!rc && record_kind(record) != RECORD_RUN)
		rc = err_set(ERR_INPUT, "record: format: must be assay-run/1");
	rc = rc ? rc : objects_check(r->store, record);
	rc = rc ? rc : registry_begin(r);
	if (rc)
		return rc;
	rc = version_number(r, record);
	rc = rc ? rc : registry_append(r, record, true, name);
	rc = registry_end(r, rc, name);
	if (!rc)
		memcpy(id, name, DIGEST_HEX);
	return rc;
}
