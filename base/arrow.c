/* arrow.c: Apache Arrow's IPC format, file or stream, row by row: what a cache of Hugging Face data sets holds.
 *
 *	stream: message …         message: FFFFFFFF | size | FlatBuffer, padded to 8 | body
 *	file:   ARROW1 00 00 | stream | footer | its size | ARROW1
 *
 * The first message is the schema, then come dictionaries and record batches, each in a body of buffers (arrow_batch.c). A
 * message of size 0 ends the stream; so does the end of the bytes. The footer of a file only repeats where the messages
 * lie, and is not needed to read them in order. Before version 0.15 the four bytes FF were not there.
 *
 * Left out, by name: big endian files, unions, intervals, run-end encoding, list views. */
#include "base/base.h"

#include "base/arrow_int.h"

enum { MESSAGE_SCHEMA = 1, MESSAGE_DICTIONARY, MESSAGE_BATCH, ROW_COST = 64, ENTRY_COST = 16, MAGIC = 8 };

struct arrow {
	struct rows *rows;
	struct arrow_field root;
	struct arrow_dictionaries dictionaries;
	bool has_schema;
	size_t n; /* rows given out */
};

static int damaged(const struct arrow *a, const char *what)
{
	return err_set(ERR_INPUT, "%s: a damaged Arrow file: %s", a->rows->name, what);
}

/* ---- messages ----------------------------------------------------------------------------------------------------------- */

static int batch_rows(struct arrow *a, struct flatbuffer *b, size_t table, struct slice body)
{
	struct arrow_batch batch;
	int rc = arrow_batch_open(&batch, a->rows, &a->root, false, &a->dictionaries, b, table, body);

	if (rc)
		return err_context(rc, "%s", a->rows->name);
	for (size_t i = 0; i < batch.n && !rc; i++) {
		json_t *row = NULL;

		rc = rows_begin(a->rows, a->n + 1, ROW_COST);
		rc = rc ? rc : arrow_value(&row, a->rows, &batch.root, i);
		if (rc == ERR_INPUT)
			rc = err_context(rc, "%s:%zu", a->rows->name, a->n + 1);
		rc = rc ? rc : rows_pass(a->rows, row);
		a->n += !rc;
		json_decref(row);
	}
	arrow_batch_close(&batch);
	return rc;
}

static struct arrow_dictionary *dictionary_of(struct arrow *a, int64_t id)
{
	struct arrow_dictionaries *d = &a->dictionaries;

	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].id == id)
			return &d->items[i];
	MEM_GROW(d->items, d->n, d->cap);
	d->items[d->n] = (struct arrow_dictionary){ .id = id, .values = json_array() };
	return &d->items[d->n++];
}

static void dictionary_drop(struct arrow *a, struct arrow_dictionary *d)
{
	a->rows->held -= d->held;
	d->held = 0;
}

/* A later dictionary of the same id stands for the earlier one, or goes on with it. */
static int dictionary_add(struct arrow *a, struct flatbuffer *b, size_t table, struct slice body)
{
	int64_t id = fb_int(b, table, 0, 8, 0);
	bool more = fb_int(b, table, 2, 1, 0) != 0;
	const struct arrow_field *f = arrow_schema_dictionary(&a->root, id);
	struct arrow_batch batch;
	struct arrow_dictionary *d;
	json_t *all;
	int rc, set;

	if (!f)
		return damaged(a, "a dictionary of no column");
	rc = arrow_batch_open(&batch, a->rows, f, true, &a->dictionaries, b, fb_table(b, table, 1), body);
	if (rc)
		return err_context(rc, "%s", a->rows->name);
	d = dictionary_of(a, id);
	if (!more) {
		a->rows->taken += d->held; /* rows may keep what it was */
		dictionary_drop(a, d);
	}
	all = more ? json_incref(d->values) : json_array();
	for (size_t i = 0; i < batch.n && !rc; i++) {
		json_t *v = NULL;
		size_t size;

		rc = rows_begin(a->rows, a->n + 1,
				0); /* an entry is bounded as a row is, and all of them as what is held */
		rc = rc ? rc : arrow_value(&v, a->rows, &batch.root, i);
		size = ENTRY_COST + json_memory(v);
		rc = rc ? rc : rows_hold(a->rows, size);
		d->held += rc ? 0 : size;
		set = rows_append(a->rows, all, v);
		rc = rc ? rc : set;
	}
	json_decref(d->values);
	d->values = all;
	arrow_batch_close(&batch);
	return rc == ERR_INPUT ? err_context(rc, "%s: column %s", a->rows->name, f->name) : rc;
}

static int message_read(struct arrow *a, struct flatbuffer *b, size_t message, struct slice body)
{
	size_t header = fb_table(b, message, 2);
	int type = (int)fb_int(b, message, 1, 1, 0);
	int rc;

	if (b->bad || !header)
		return damaged(a, "a message");
	if (type == MESSAGE_SCHEMA && !a->has_schema) {
		a->has_schema = true;
		return arrow_schema_read(&a->root, b, header, a->rows->name);
	}
	if (!a->has_schema || (type != MESSAGE_DICTIONARY && type != MESSAGE_BATCH))
		return damaged(a, "a message out of its place");
	rc = type == MESSAGE_BATCH ? batch_rows(a, b, header, body) : dictionary_add(a, b, header, body);
	return rc ? rc : b->bad ? damaged(a, "a message") : 0;
}

/* One message from *p on; *last: there are no more. */
static int message_next(struct arrow *a, const uint8_t **p, const uint8_t *end, bool *last)
{
	struct flatbuffer b = { 0 };
	size_t size, message;
	int64_t body;

	*last = end - *p < 4;
	if (*last)
		return 0;
	size = (size_t)scalar_load(*p, 4);
	*p += 4;
	if (size == UINT32_MAX) {
		if (end - *p < 4)
			return damaged(a, "it is cut off");
		size = (size_t)scalar_load(*p, 4);
		*p += 4;
	}
	*last = size == 0;
	if (*last)
		return 0;
	if (size > (size_t)(end - *p))
		return damaged(a, "it is cut off");
	b = (struct flatbuffer){ *p, size, false };
	*p += size;
	message = fb_root(&b);
	body = fb_int(&b, message, 3, 8, 0);
	if (b.bad || body < 0 || body > end - *p)
		return damaged(a, b.bad ? "a message" : "it is cut off");
	*p += body;
	return message_read(a, &b, message, (struct slice){ *p - body, (size_t)body });
}

int arrow_rows(struct rows *r, const uint8_t *data, size_t len)
{
	struct arrow a = { .rows = r };
	const uint8_t *p = data, *end = data + len;
	bool last = false;
	int rc = 0;

	if (len >= MAGIC && memcmp(data, "ARROW1", 6) == 0)
		p += MAGIC;
	while (!rc && !last)
		rc = message_next(&a, &p, end, &last);
	if (!rc && !a.has_schema)
		rc = damaged(&a, "no schema");
	for (size_t i = 0; i < a.dictionaries.n; i++) {
		dictionary_drop(&a, &a.dictionaries.items[i]);
		json_decref(a.dictionaries.items[i].values);
	}
	free(a.dictionaries.items);
	arrow_schema_release(&a.root);
	return rc;
}
