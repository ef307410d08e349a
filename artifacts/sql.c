/* sql.c: SQLite with the errors of this house, arguments by a word of letters, rows as JSON.
 *
 * Statements are literals in the source and are prepared once: the cache goes by the literal's address. SQLite
 * prepares a kept statement again by itself when the schema changes (a replay drops and makes all tables). No value
 * ever becomes a part of a statement's text.
 *
 * Errors: a constraint or a type that STRICT refuses is the data's fault (ERR_INPUT); a lock that was not got within
 * the busy time is ERR_BUSY; a damaged file, and one that lacks a part of the schema, is ERR_IO with the way out as hint; a full
 * disk is ERR_IO. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/statvfs.h>

#include "artifacts/artifacts_int.h"

enum { DISK_LEAST = 256 << 10 };

struct sql_cached {
	const char *sql;
	sqlite3_stmt *st;
};

/* SQLite calls it an input or output error where a write-ahead log cannot begin. */
static bool disk_full(const struct registry *r)
{
	struct statvfs fs;

	return !statvfs(store_home(r->store), &fs) && (uint64_t)fs.f_bavail * fs.f_frsize < DISK_LEAST;
}

/* The statements are this program's, and all of them fit schema.sql: something was taken out of the database. */
static bool schema_lacks(const char *text)
{
	return !strncmp(text, "no such table: ", 15) || !strncmp(text, "no such index: ", 15) ||
	       !strncmp(text, "no such column: ", 16) || strstr(text, " has no column named ") ||
	       !strcmp(text, "no query solution"); /* an index of that name is there, and is another */
}

int sql_error(struct registry *r, const char *doing)
{
	int code = sqlite3_errcode(r->db) & 0xff;
	const char *text = sqlite3_errmsg(r->db);
	int rc;

	switch (code) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		rc = err_set(ERR_BUSY, "registry: %s: another process is writing", doing);
		err_hint(rc, "try again");
		return rc;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return err_set(ERR_INPUT, "registry: %s: %s", doing, text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		rc = err_set(ERR_IO, "registry: %s: %s", doing, text);
		err_hint(rc, "assay registry rebuild makes it again from the records");
		return rc;
	case SQLITE_NOMEM:
		return err_set(ERR_UNAVAILABLE, "registry: %s: %s", doing, text);
	case SQLITE_ERROR:
		if (schema_lacks(text)) {
			rc = err_set(ERR_IO, "registry: %s: %s", doing, text);
			return err_hint(rc, "assay registry rebuild makes it again from the records");
		}
		return err_set(ERR_BUG, "registry: %s: %s", doing, text);
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
	case SQLITE_INTERNAL:
		return err_set(ERR_BUG, "registry: %s: %s", doing, text);
	default:
		if (code == SQLITE_FULL || disk_full(r)) {
			errno = ENOSPC;
			return err_context(fs_full(store_home(r->store), 0), "registry: %s", doing);
		}
		return err_set(ERR_IO, "registry: %s: %s", doing, text);
	}
}

void sql_forget(struct registry *r)
{
	for (size_t i = 0; i < r->cached; i++)
		sqlite3_finalize(r->cache[i].st);
	free(r->cache);
	r->cache = NULL;
	r->cached = r->cache_cap = 0;
}

static int prepare(struct registry *r, sqlite3_stmt **st, const char *sql)
{
	for (size_t i = 0; i < r->cached; i++) {
		if (r->cache[i].sql == sql) {
			*st = r->cache[i].st;
			return 0;
		}
	}
	if (sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL))
		return sql_error(r, "preparing a statement");
	MEM_GROW(r->cache, r->cached, r->cache_cap);
	r->cache[r->cached++] = (struct sql_cached){ sql, *st };
	return 0;
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* Texts are bound where they stand: they outlive the call, and finish() lets go of them. */

static int bind_json(sqlite3_stmt *st, int at, const json_t *v)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	int rc;

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_NULL:
		return sqlite3_bind_null(st, at);
	case JSON_TRUE:
	case JSON_FALSE:
		return sqlite3_bind_int(st, at, json_is_true(v));
	case JSON_INTEGER:
		return sqlite3_bind_int64(st, at, json_integer_value(v));
	case JSON_REAL:
		return sqlite3_bind_double(st, at, json_real_value(v));
	case JSON_STRING:
		return sqlite3_bind_text64(st, at, json_string_value(v), json_string_length(v), SQLITE_STATIC,
					   SQLITE_UTF8);
	default:
		json_add(&text, v);
		rc = buf_full(&text)
			     ? SQLITE_TOOBIG
			     : sqlite3_bind_text64(st, at, buf_str(&text), text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
		buf_release(&text);
		return rc;
	}
}

static int bind_all(sqlite3_stmt *st, const char *types, va_list ap)
{
	int rc = SQLITE_OK;

	for (int at = 1; !rc && types[at - 1]; at++) {
		switch (types[at - 1]) {
		case 't':
			rc = sqlite3_bind_text(st, at, va_arg(ap, const char *), -1, SQLITE_STATIC);
			break;
		case 'i':
			rc = sqlite3_bind_int64(st, at, va_arg(ap, int64_t));
			break;
		case 'd':
			rc = sqlite3_bind_double(st, at, va_arg(ap, double));
			break;
		case 'j':
			rc = bind_json(st, at, va_arg(ap, const json_t *));
			break;
		default:
			rc = SQLITE_MISUSE;
		}
	}
	return rc;
}

static int bind_values(sqlite3_stmt *st, const json_t *const *values, size_t n)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; !rc && i < n; i++)
		rc = bind_json(st, (int)i + 1, values[i]);
	return rc;
}

static int start(struct registry *r, sqlite3_stmt **st, const char *sql, const char *types, va_list ap)
{
	int rc = prepare(r, st, sql);

	if (!rc && bind_all(*st, types, ap))
		rc = sql_error(r, "binding a value");
	return rc;
}

static void finish(sqlite3_stmt *st)
{
	if (!st)
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

/* ---- results --------------------------------------------------------------------------------- */

static int run_through(struct registry *r, sqlite3_stmt *st)
{
	int step;

	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		;
	return step == SQLITE_DONE ? 0 : sql_error(r, "writing");
}

int sql_run(struct registry *r, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = start(r, &st, sql, types, ap);
	va_end(ap);
	rc = rc ? rc : run_through(r, st);
	finish(st);
	return rc;
}

int sql_run_values(struct registry *r, const char *sql, const json_t *const *values, size_t n)
{
	sqlite3_stmt *st = NULL;
	int rc = prepare(r, &st, sql);

	if (!rc && bind_values(st, values, n))
		rc = sql_error(r, "binding a value");
	rc = rc ? rc : run_through(r, st);
	finish(st);
	return rc;
}

/* 0: on the first row; ERR_NOTFOUND (without a text). */
static int first_row(struct registry *r, sqlite3_stmt *st)
{
	int step = sqlite3_step(st);

	if (step == SQLITE_ROW)
		return 0;
	return step == SQLITE_DONE ? err_set(ERR_NOTFOUND, "registry: no such row") : sql_error(r, "reading");
}

int sql_int(struct registry *r, int64_t *out, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = start(r, &st, sql, types, ap);
	va_end(ap);
	rc = rc ? rc : first_row(r, st);
	if (!rc)
		*out = sqlite3_column_int64(st, 0);
	finish(st);
	return rc;
}

int sql_text(struct registry *r, char **out, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = start(r, &st, sql, types, ap);
	va_end(ap);
	rc = rc ? rc : first_row(r, st);
	if (!rc)
		*out = mem_str((const char *)sqlite3_column_text(st, 0));
	finish(st);
	return rc;
}

enum { COLUMNS_MAX = 32, COLUMN_NAME = 32 };

static json_t *column_value(sqlite3_stmt *st, int i, char mark)
{
	const char *text;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		if (mark == '?')
			return json_boolean(sqlite3_column_int(st, i));
		return json_integer(sqlite3_column_int64(st, i));
	case SQLITE_FLOAT:
		return json_real(sqlite3_column_double(st, i));
	case SQLITE_NULL:
		return json_null();
	default:
		text = (const char *)sqlite3_column_text(st, i);
		if (mark == '*')
			return json_loadb(text, (size_t)sqlite3_column_bytes(st, i), JSON_DECODE_ANY, NULL);
		return json_new_text(text, (size_t)sqlite3_column_bytes(st, i));
	}
}

/* The columns of a statement: their names without marks, and the marks ('\0': none). */
struct columns {
	int n;
	struct {
		char name[COLUMN_NAME];
		char mark;
		char head[COLUMN_NAME + 16]; /* of a member, as pretty JSON */
		size_t head_len;
	} items[COLUMNS_MAX];
};

/* depth: of the rows, as pretty JSON. */
static void columns_of(struct columns *c, sqlite3_stmt *st, int depth)
{
	c->n = sqlite3_column_count(st);
	c->n = c->n < COLUMNS_MAX ? c->n : COLUMNS_MAX;
	for (int i = 0; i < c->n; i++) {
		char name[COLUMN_NAME] = "";
		size_t n = (size_t)snprintf(name, COLUMN_NAME, "%s", sqlite3_column_name(st, i));

		c->items[i].mark = n && n < COLUMN_NAME ? name[n - 1] : '\0';
		if (c->items[i].mark == '?' || c->items[i].mark == '*')
			name[n - 1] = '\0';
		memcpy(c->items[i].name, name, COLUMN_NAME);
		c->items[i].head_len = (size_t)snprintf(c->items[i].head, sizeof(c->items[i].head),
							"\n%*s\"%s\": ", 2 * (depth + 1), "", name);
	}
}

static json_t *row_object(sqlite3_stmt *st, const struct columns *c)
{
	json_t *row = json_object();

	for (int i = 0; i < c->n; i++) {
		json_t *value = column_value(st, i, c->items[i].mark);

		json_object_set_new_nocheck(row, c->items[i].name, value ? value : json_null());
	}
	return row;
}

/* A cell as JSON text. Its value is asked for once: each sqlite3_column_ function looks the cell up and takes the mutex, of
 * which the value's own functions have no need, as the connection is one thread's. */
static void add_column(struct buf *out, sqlite3_stmt *st, int i, char mark)
{
	sqlite3_value *cell = sqlite3_column_value(st, i);
	const char *text;
	json_t *value;

	switch (mark == '*' ? SQLITE_BLOB : sqlite3_value_type(cell)) {
	case SQLITE_INTEGER:
		if (mark == '?')
			buf_adds(out, sqlite3_value_int(cell) ? "true" : "false");
		else
			json_add_integer(out, sqlite3_value_int64(cell));
		break;
	case SQLITE_FLOAT:
		value = column_value(st, i, mark); /* NULL if it is not finite */
		json_add(out, value);
		json_decref(value);
		break;
	case SQLITE_NULL:
		buf_add(out, "null", 4);
		break;
	case SQLITE_TEXT:
		text = (const char *)sqlite3_value_text(cell);
		json_add_text(out, text, (size_t)sqlite3_value_bytes(cell));
		break;
	default:
		value = column_value(st, i, mark);
		json_add_indented(out, value, 2);
		json_decref(value);
	}
}

/* A row from column `from` on, as pretty JSON. */
static void add_row(struct buf *out, sqlite3_stmt *st, const struct columns *c, int from, int depth)
{
	static const char margin[] = "\n                                ";
	size_t indent = 2 * (size_t)depth;

	indent = indent < sizeof(margin) - 2 ? indent : sizeof(margin) - 2;
	buf_add(out, margin + 1, indent);
	for (int i = from; i < c->n; i++) {
		buf_add(out, i == from ? "{" : ",", 1);
		buf_add(out, c->items[i].head, c->items[i].head_len);
		add_column(out, st, i, c->items[i].mark);
	}
	buf_add(out, margin, 1 + indent);
	buf_add(out, "}", 1);
}

/* A statement from its start to its last row, or to the first of which `each` says that it is enough. */
static int walk(struct registry *r, const char *sql, const char *types, va_list ap, int depth,
		bool (*each)(sqlite3_stmt *st, const struct columns *c, void *arg), void *arg)
{
	struct columns columns;
	sqlite3_stmt *st = NULL;
	int rc = start(r, &st, sql, types, ap), step = SQLITE_ROW;
	bool more = true;

	columns_of(&columns, rc ? NULL : st, depth);
	while (!rc && more && (step = sqlite3_step(st)) == SQLITE_ROW)
		more = each(st, &columns, arg);
	if (!rc && step != SQLITE_ROW && step != SQLITE_DONE)
		rc = sql_error(r, "reading");
	finish(st);
	return rc;
}

/* A text that is given away by and by, so that a long one stays in the processor's cache. */
struct outflow {
	struct buf text;
	bool any; /* row */
	int (*put)(const void *data, size_t len, void *arg);
	void *arg;
	int rc;
};

enum { OUTFLOW = 1 << 16 };

static bool outflow_put(struct outflow *o, size_t least)
{
	if (o->text.len < least)
		return true;
	o->rc = o->put(buf_str(&o->text), o->text.len, o->arg);
	buf_clear(&o->text);
	return !o->rc;
}

static bool row_to_text(sqlite3_stmt *st, const struct columns *c, void *arg)
{
	struct outflow *o = arg;

	buf_adds(&o->text, o->any ? ",\n" : "[\n");
	add_row(&o->text, st, c, 0, 1);
	o->any = true;
	return outflow_put(o, OUTFLOW);
}

int sql_rows_text(struct registry *r, int (*put)(const void *data, size_t len, void *arg), void *arg, const char *sql,
		  const char *types, ...)
{
	struct outflow o = { BUF_INIT(BUF_NOLIMIT), false, put, arg, 0 };
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = walk(r, sql, types, ap, 1, row_to_text, &o);
	va_end(ap);
	rc = rc ? rc : o.rc;
	if (!rc) {
		buf_adds(&o.text, o.any ? "\n]\n" : "[]\n");
		outflow_put(&o, 0);
		rc = o.rc;
	}
	buf_release(&o.text);
	return rc;
}

static bool row_to_array(sqlite3_stmt *st, const struct columns *c, void *arg)
{
	json_array_append_new(arg, row_object(st, c));
	return true;
}

int sql_rows(struct registry *r, json_t **rows, const char *sql, const char *types, ...)
{
	json_t *all = json_array();
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = walk(r, sql, types, ap, 0, row_to_array, all);
	va_end(ap);
	if (rc)
		json_decref(all);
	else
		*rows = all;
	return rc;
}

struct visit {
	int (*each)(json_t *row, void *arg);
	void *arg;
};

static bool row_to_visit(sqlite3_stmt *st, const struct columns *c, void *arg)
{
	const struct visit *v = arg;
	json_t *row = row_object(st, c);
	bool more = !v->each(row, v->arg);

	json_decref(row);
	return more;
}

int sql_each(struct registry *r, int (*each)(json_t *row, void *arg), void *arg, const char *sql, const char *types,
	     ...)
{
	struct visit v = { each, arg };
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = walk(r, sql, types, ap, 0, row_to_visit, &v);
	va_end(ap);
	return rc;
}

struct visit_text {
	int (*each)(const char *key, const char *row, size_t len, void *arg);
	void *arg;
	int depth;
	struct buf row;
};

static bool row_to_visit_text(sqlite3_stmt *st, const struct columns *c, void *arg)
{
	struct visit_text *v = arg;

	buf_clear(&v->row);
	add_row(&v->row, st, c, 1, v->depth);
	return !v->each((const char *)sqlite3_column_text(st, 0), buf_str(&v->row), v->row.len, v->arg);
}

int sql_each_text(struct registry *r, int depth, int (*each)(const char *key, const char *row, size_t len, void *arg),
		  void *arg, const char *sql, const char *types, ...)
{
	struct visit_text v = { each, arg, depth, BUF_INIT(BUF_NOLIMIT) };
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = walk(r, sql, types, ap, depth, row_to_visit_text, &v);
	va_end(ap);
	buf_release(&v.row);
	return rc;
}

int sql_row(struct registry *r, json_t **row, const char *sql, const char *types, ...)
{
	struct columns columns;
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = start(r, &st, sql, types, ap);
	va_end(ap);
	rc = rc ? rc : first_row(r, st);
	columns_of(&columns, rc ? NULL : st, 0);
	if (!rc)
		*row = row_object(st, &columns);
	finish(st);
	return rc;
}

int sql_names(struct registry *r, struct name_list *out, const char *sql)
{
	return sql_names_of(r, out, sql, "");
}

static void copy_name(char out[DIGEST_HEX], const char *text, size_t len)
{
	len = len < DIGEST_HEX - 1 ? len : DIGEST_HEX - 1;
	if (len)
		memcpy(out, text, len);
	out[len] = '\0';
}

int sql_names_of(struct registry *r, struct name_list *out, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc, step = SQLITE_DONE;

	va_start(ap, types);
	rc = start(r, &st, sql, types, ap);
	va_end(ap);
	while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
		MEM_GROW(out->names, out->len, out->cap);
		copy_name(out->names[out->len++], (const char *)sqlite3_column_text(st, 0),
			  (size_t)sqlite3_column_bytes(st, 0));
	}
	if (!rc && step != SQLITE_DONE)
		rc = sql_error(r, "reading");
	finish(st);
	return rc;
}

int sql_script(struct registry *r, const char *sql)
{
	return sqlite3_exec(r->db, sql, NULL, NULL, NULL) ? sql_error(r, "running a script") : 0;
}
