/* artifacts_int.h: what the files of this room share. Nobody else includes it.
 *
 *	lease     -> nothing          locks
 *	digester  -> nothing          a file's digest by a thread of its own
 *	pieces    -> nothing          content cut, and differences (pieces.h): split, delta
 *	store     -> pieces           files named by their SHA-256, objects/ and records/ alike; store_* are its parts
 *	package   -> store            a folder taken out (package.h)
 *	filesystem -> nothing         is a folder on this machine's disk
 *	record    -> store            what a record file must look like
 *	sql       -> nothing          SQLite with our errors, rows as JSON
 *	ingest    -> sql, record      one record becomes rows
 *	newcomers -> sql, record      which of them may not come in
 *	shelves   -> sql, store       which records may have no rows yet
 *	registry  -> all above        open, migrate, replay, append
 *	promote, registry_query, registry_list, lineage, registry_check -> registry
 *	gc       -> registry      what may go
 *	depot    -> store         a place elsewhere (depot.h); depot_* are its kinds
 *	sync     -> depot, registry   records and objects go between the two; sync_claim: who was first; sync_merge: where they contradict
 *	attest, bom -> lineage    what is said of a version outside (attest.h); signed by envelope, and signed.c checks a folder */
#ifndef ARTIFACTS_INT_H
#define ARTIFACTS_INT_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "artifacts/artifacts.h"
#include "artifacts/pieces.h"

/* ---- filesystem ------------------------------------------------------------------------------ */

/* The name of the network file system that a folder lies on ("nfs"), or that it cannot be told ("fuse"); NULL: a local one. */
const char *filesystem_shared(const char *dir);
const char *filesystem_shared_name(long magic); /* by statfs' f_type */

/* ---- lease ----------------------------------------------------------------------------------- */

struct lock {
	int fd; /* -1: none */
	bool shared;
};
#define LOCK_INIT                                                                                                      \
	{                                                                                                              \
		-1, false                                                                                              \
	}
/* A kernel lock on path (made). what: for the messages. ERR_BUSY after wait_s. */
int lock_take(struct lock *l, const char *path, const char *what, bool shared, double wait_s);
void lock_drop(struct lock *l);

/* ---- digester -------------------------------------------------------------------------------- */

struct digester {
	int fd; /* open for reading; borrowed */
	struct digest_ctx *ctx;
	pthread_t thread;
	pthread_mutex_t lock; /* of ready and end */
	pthread_cond_t more;
	bool running, end;
	atomic_bool given_up;
	uint64_t ready, done;
	int rc;
	struct err_saved why;
};
void digester_open(struct digester *d, int fd);
void digester_ready(struct digester *d, uint64_t upto);     /* so many bytes of the file stand fast */
int digester_close(struct digester *d, struct digest *out); /* waits until all of them are in; frees */
void digester_drop(struct digester *d);                     /* nobody wants it; frees */

/* ---- store ----------------------------------------------------------------------------------- */

#define VAULT_OBJECTS "objects"
#define VAULT_RECORDS "records"
#define VAULT_RECIPES "recipes" /* what objects are put together from */
#define VAULT_DELTAS "deltas"   /* pieces as differences */
#define VAULT_PIECES "pieces"   /* how whole objects can be cut: an index, which can be made again */

#define VAULT_STAT "stat" /* digests of files outside */

/* Files above this length are looked at for what they share (store_add.c). */
#define SPLIT_MIN ((uint64_t)1 << 20)

struct store {
	char *home, *tmp, *bad;
	char *path;                       /* of store_path() */
	struct store_elsewhere elsewhere; /* store_on_absent() */
	struct store_index *index;
};

/* Names of a vault, sorted. */
struct name_list {
	char (*names)[DIGEST_HEX];
	size_t len, cap;
};
void name_list_release(struct name_list *l);

char *store_file(const struct store *s, const char *vault, const char *hex); /* yours */
bool store_name_ok(const char *hex);
int store_write(struct store *s, const char *vault, const char hex[DIGEST_HEX], const void *data, size_t len);
int store_read(struct store *s, const char *vault, const char *hex, struct buf *out, size_t max); /* verified */
#define MANIFEST_MAX ((size_t)64 << 20) /* bytes of a folder's manifest */
/* Hashes the file of a name that is there; a wrong one is moved to bad/ and is ERR_IO. */
int store_verify_one(struct store *s, const char *vault, const char *hex, uint64_t *size);
int store_name_check(const char *hex); /* ERR_INPUT */
/* ERR_NOTFOUND: what is not there, and whether it lies in bad/. as: "", or what it is, with a space behind it. */
int store_absent(const struct store *s, const char *hex, const char *as);
/* Is there as a file of its own in that vault. */
bool store_there(const struct store *s, const char *vault, const char *hex);
/* Moves a damaged file out of the way, and says so as ERR_IO. */
int store_quarantine(struct store *s, const char *vault, const char *hex, const char *why);
/* Of the parts of an object that is whole now, those that are nowhere: what of them lies in bad/ is asked for no more. */
int store_retire_parts(struct store *s, const struct pieces *p);
/* A commit of a finished temporary file to its name. */
int store_commit(struct store *s, const char *vault, const char hex[DIGEST_HEX], struct fs_temp *t);
/* What fd has, into an empty t, by the kernel where it can; d: of the copy. The disk has begun with it, too. */
int store_copy(int fd, struct fs_temp *t, struct digest *d, uint64_t *size);
/* A whole object (a file of its own in objects/) into an empty t, compared with its name. */
int store_copy_out(struct store *s, const char *hex, struct fs_temp *t, uint64_t *size);

void reserve_make(const struct store *s); /* reserve.c */

/* ---- sealed files (store_sealed.c): a kind, a body, the SHA-256 of both ---- */

#define SEALED_MAX ((size_t)1 << 30)
enum { SEALED_KIND = 16 }; /* where the body begins */
int sealed_write(struct store *s, const char *vault, const char *hex, const struct buf *body);
/* The body, verified; ERR_NOTFOUND; a damaged one is moved to bad/ and is ERR_IO. */
int sealed_read(struct store *s, const char *vault, const char *hex, struct buf *body);
int sealed_open(const char *kind, const uint8_t *data, size_t len, const uint8_t **body, size_t *body_len);

/* ---- where pieces lie (store_index.c) ---- */

struct located {
	size_t whole; /* of index.wholes */
	struct piece piece;
	int64_t next_digest, next_key; /* others with the same; -1: none */
};
struct store_index {
	struct name_list wholes;
	struct fs_map *maps; /* of the wholes, opened when they are needed */
	bool *gone;
	struct located *items;
	size_t len, cap;
	struct map digests, keys;
};
/* Reads what is known of whole objects; with `make`, cuts those of which nothing is known yet. */
int store_index_load(struct store *s, bool make);
void store_index_drop(struct store *s);
/* A place that holds these bytes, or -1. */
int64_t store_index_find(const struct store *s, const struct digest *d);
/* The first piece with this key, or -1; the next are items[i].next_key. */
int64_t store_index_alike(const struct store *s, uint64_t key);
/* Its bytes, not verified; borrowed until the index is dropped. NULL: the object is gone. Threads may ask at once. */
const uint8_t *store_index_bytes(struct store *s, int64_t item);
int store_pieces_digest(struct pieces *p, const uint8_t *data); /* by all threads */
/* Writes down how a whole object can be cut. */
int store_index_add(struct store *s, const char *hex, const struct pieces *p);

/* ---- objects in parts (store_parts.c) ---- */

int parts_read(struct store *s, const char *hex, struct pieces *out); /* a recipe; ERR_NOTFOUND: there is none */
/* The content of a recipe, by put() in order, compared with its name at the end. */
int parts_stream(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg), void *arg);
/* One piece into room for `len`: as a file, a difference, or a part of a whole object; not compared with its name. */
int parts_fetch(struct store *s, const struct digest *d, uint8_t *out, size_t len);
bool parts_complete(struct store *s, const struct pieces *p); /* every one can be had somewhere */
/* Does the store give these bytes for x, a piece with that digest? All of them are read. BASELESS: there is a difference whose base
 * is gone. Threads may ask at once; err_text() is cleared. */
enum parts_held { PARTS_ABSENT, PARTS_BASELESS, PARTS_HELD, PARTS_DAMAGED };
enum parts_held parts_compare(struct store *s, const struct piece *x, const uint8_t *data);
/* The base of a difference, and the difference itself. */
int parts_delta(struct store *s, const char *hex, struct buf *body, char base[DIGEST_HEX], uint64_t *len);
/* Which file is at fault for a piece that is not what its name says: moved to bad/, ERR_IO; 0: none. */
int parts_blame_piece(struct store *s, const struct piece *x);
/* Every file of an object, one by one, to say which is at fault: ERR_IO of the first. */
int parts_blame(struct store *s, const char *hex);

/* ---- adding a large file (store_add.c) ---- */

/* t: a finished temporary file of `size` bytes and that digest. Kept whole or in parts, as pays; t is used up. */
int store_add(struct store *s, struct fs_temp *t, const char *hex, uint64_t size);
/* Is there with that size, whole or in parts that are all there; not what they say. Clears err_text(). */
bool store_holds(struct store *s, const char *hex, uint64_t size);

/* ---- what is known of files outside (store_stat.c) ---- */

struct stat;
/* The digest that a file with this state had; false: not known, or not sure. */
bool stat_known(const struct store *s, const struct stat *st, char hex[DIGEST_HEX]);
/* started_ns: the clock before the first byte was read. */
void stat_note(const struct store *s, int fd, const struct stat *st, int64_t started_ns, const char *hex);

int stat_sweep(const struct store *s); /* notes of a month ago */

/* The files of a manifest, their paths checked, each once, in order. */
struct tree_file {
	char *path, object[DIGEST_HEX];
	uint64_t size;
};
struct tree_files {
	struct tree_file *items;
	size_t len, cap;
};
int store_tree_read(struct store *s, const char *hex, struct tree_files *out);
void tree_files_release(struct tree_files *t);
/* One of them to its path in dir, verified: a copy that may be changed, or a read-only link into the store. */
int store_file_out(struct store *s, const struct tree_file *f, const char *dir, bool as_link);

/* stray: what is there under no proper name; may be NULL. */
int store_names(const struct store *s, const char *vault, struct name_list *out,
		int (*stray)(const char *path, void *arg), void *arg);

/* ---- record ---------------------------------------------------------------------------------- */

#define RECORD_MAX ((size_t)64 << 20)
#define RECORD_SEQ_MAX ((INT64_C(1) << 53) - 1) /* what a real holds, as other readers of JSON have it */
#define RECORD_VERSION_MAX INT64_C(1000000000)
/* Further ahead of those before it than this is no record and no version that anybody made. */
#define RECORD_SEQ_STEP (INT64_C(1) << 32)
#define RECORD_VERSION_STEP INT64_C(1000000)

enum record_kind { RECORD_RUN, RECORD_PROMOTION, RECORD_DROP, RECORD_COLLECTION, RECORD_UNKNOWN };
enum record_kind record_kind(const json_t *record);
/* Types of all members that become rows: ERR_INPUT naming the member. Unknown members are ignored. */
int record_check(const json_t *record);
/* Canonical bytes and their name. */
void record_bytes(struct buf *out, char id[DIGEST_HEX], const json_t *record);
int record_read(struct store *s, const char *id, json_t **out); /* verified; not checked */
/* Its "seq" by a look at the canonical bytes, a twentieth of the cost of reading them as JSON; 0: none. */
int64_t record_seq(const char *text, size_t len);
/* "MODEL@v7" into its number, or 0 if text is no such thing ("v7"). */
int record_version_number(const char *text);

/* ---- registry -------------------------------------------------------------------------------- */

#define REGISTRY_VERSION 8 /* user_version of schema.sql */

struct registry {
	struct store *store;
	sqlite3 *db;
	struct lock lock;  /* shared while open: a rebuild waits for all */
	size_t could_keep; /* shelves that were listed, and need not be again (shelves.c) */
	bool quiet;        /* says nothing of records at fault: a check does that itself */
	struct sql_cached *cache;
	size_t cached, cache_cap;
};

/* SQL. types: one letter an argument: t const char * (NULL is NULL), i int64_t, d double, j const json_t * (NULL and
 * null are NULL; an object or array its canonical text). sql is a literal: statements are kept by its address. */
int sql_run(struct registry *r, const char *sql, const char *types, ...);
int sql_run_values(struct registry *r, const char *sql, const json_t *const *values, size_t n); /* all of letter j */
int sql_int(struct registry *r, int64_t *out, const char *sql, const char *types, ...); /* ERR_NOTFOUND: no row */
int sql_text(struct registry *r, char **out, const char *sql, const char *types, ...);  /* yours; ERR_NOTFOUND */
/* All rows as objects. A column named "x?" is a boolean x, "x*" is JSON text. */
int sql_rows(struct registry *r, json_t **rows, const char *sql, const char *types, ...);
/* The same as pretty JSON text, given away piece by piece; put() ends it by a failure, which is then the result. */
int sql_rows_text(struct registry *r, int (*put)(const void *data, size_t len, void *arg), void *arg, const char *sql,
		  const char *types, ...);
/* As above, row by row (borrowed); each() ends it by a result that is not 0. */
int sql_each(struct registry *r, int (*each)(json_t *row, void *arg), void *arg, const char *sql, const char *types,
	     ...);
/* As pretty JSON text that begins `depth` levels deep, without the first column: the text in it goes beside the row. */
int sql_each_text(struct registry *r, int depth, int (*each)(const char *key, const char *row, size_t len, void *arg),
		  void *arg, const char *sql, const char *types, ...);
int sql_row(struct registry *r, json_t **row, const char *sql, const char *types, ...); /* the first; ERR_NOTFOUND */
int sql_names(struct registry *r, struct name_list *out, const char *sql);
int sql_names_of(struct registry *r, struct name_list *out, const char *sql, const char *types, ...); /* appended */
int sql_script(struct registry *r, const char *sql);                                                  /* not kept */
int sql_error(struct registry *r, const char *doing);
void sql_forget(struct registry *r); /* drops the kept statements */

/* Rows of one record. ERR_INPUT: the record is at fault, rows of it may have been written (the caller has a savepoint).
 * checked: record_check() had nothing against it.
 * *fault (yours): set if the rows are whole but for one thing that could not be taken over. */
int ingest_record(struct registry *r, const char *id, const json_t *record, bool checked, char **fault);
/* As above within a savepoint; a record at fault gets its row in records and nothing else. rc: what record_read() said of it,
 * in the same thread's err_text(). */
int ingest_any(struct registry *r, const char *id, int rc, const json_t *record);

/* A record file that has no rows yet. */
struct pending {
	char id[DIGEST_HEX];
	int64_t seq; /* 0: malformed, no place in the order */
	size_t len;
};
/* Of those (in their order), which would take from what has rows: they go to HOME/aside/, named by log_warn. Within a write
 * transaction. */
int newcomers_aside(struct registry *r, struct pending *p, size_t *n);

/* The names of record files on shelves that may hold new ones, and of the rows there; both sorted. keep, within a write
 * transaction that takes in what is missing: remembers the shelves, so that they need not be listed again. */
int shelves_unsettled(struct registry *r, struct name_list *files, struct name_list *rows, bool keep);
/* Can no later change leave this time on a shelf? shared: on a file system of several machines. */
bool shelves_settle(int64_t mtime_ns, int64_t now_ns, bool shared);
/* HOME/aside/HEX, where records are that gave way to others'; again: HEX.again, of one that waits to be made again. Yours. */
char *shelves_aside(const struct store *s, const char *hex, bool again);
bool shelves_moved(const struct registry *r, const char *id); /* has that record gone there? */

/* Of a row u of records: a promotion that is at fault for its gate alone, by the last words of what ingest.c says of it. */
#define UNFORCED_MOVE "u.format = 'assay-promotion/1' AND u.fault LIKE '% and was not forced'"

/* Did an alias (?1, ?2) ever stand for a version (?3)? What a rollback goes back to. */
#define SQL_STOOD "SELECT EXISTS (SELECT 1 FROM promotions WHERE model = ?1 AND alias = ?2 AND version = ?3)"

/* What is shown of a version, and of a promotion. */
#define VERSION_COLUMNS                                                                                                \
	"v.model, v.number, v.object, v.key, v.product, v.run, r.commit_oid AS \"commit\", v.created,"                 \
	" (SELECT json_group_array(alias) FROM (SELECT alias FROM aliases a WHERE a.model = v.model"                   \
	" AND a.version = v.number ORDER BY alias)) AS \"aliases*\" FROM versions v JOIN runs r ON r.id = v.run"
#define HISTORY_COLUMNS                                                                                                \
	"id, model, alias, version, from_version, actor, reason, run, commit_oid AS \"commit\", created,"              \
	" forced AS \"forced?\", rollback AS \"rollback?\", verdict, policy, previous, object FROM promotions"

#define REGISTRY_INIT(s)                                                                                               \
	{                                                                                                              \
		.store = (s), .lock = LOCK_INIT                                                                        \
	}
int registry_open_db(struct registry *r, const char *path); /* opens and sets up; no migration, no records */
void registry_close_db(struct registry *r);
int registry_version_check(struct registry *r, int64_t *version); /* ERR_ENV: newer than this program */
int registry_make(struct registry *r);                            /* schema and all records into an empty database */
int registry_begin(struct registry *r);   /* BEGIN IMMEDIATE, then takes in records that are not in it */
int registry_take_in(struct registry *r); /* the records that have no rows; between begin and end */
/* Stamps seq and time, derives the rows, writes the file. Between begin and end. checked: all but stamps and numbers was, by
 * record_check(). */
int registry_append(struct registry *r, json_t *record, bool checked, char id[DIGEST_HEX]);
int registry_lock(struct registry *r, bool shared, double wait_s);
char *registry_path(const struct store *s); /* yours */
int registry_replay(struct registry *r); /* all tables again, from the records that there are; between begin and end */
/* Commits if rc is 0, else rolls back and removes the file of id (if not ""). Returns the first failure. */
int registry_end(struct registry *r, int rc, const char *id);

#endif
