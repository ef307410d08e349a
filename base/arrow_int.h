/* arrow_int.h: the parts of the Arrow reader. Private to base/arrow*.c and base/flatbuffer.c. */
#ifndef BASE_ARROW_INT_H
#define BASE_ARROW_INT_H

#include "base/rows_int.h"

/* ---- flatbuffer.c ---------------------------------------------------------------------------------------------------- */

/* A buffer of tables. Places are offsets into it, 0 is "not there"; whatever points outside marks it as bad. */
struct flatbuffer {
	const uint8_t *data;
	size_t len;
	bool bad;
};
size_t fb_root(struct flatbuffer *b);
size_t fb_table(struct flatbuffer *b, size_t table, int field);                              /* a table in a field */
int64_t fb_int(struct flatbuffer *b, size_t table, int field, int width, int64_t otherwise); /* signed */
/* The elements of a vector, width bytes each; their number in *n. */
size_t fb_vector(struct flatbuffer *b, size_t table, int field, size_t width, size_t *n);
size_t fb_element(struct flatbuffer *b, size_t vector, size_t i);                /* table i of a vector of tables */
const char *fb_text(struct flatbuffer *b, size_t table, int field, size_t *len); /* borrowed; "" if not there */
int64_t fb_load(struct flatbuffer *b, size_t at, int width);

/* ---- arrow_schema.c ---------------------------------------------------------------------------------------------------- */

enum arrow_kind {
	ARROW_NULL,
	ARROW_SCALAR, /* fixed width */
	ARROW_BOOL,
	ARROW_TEXT, /* text or bytes, by offsets */
	ARROW_VIEW, /* text or bytes, by views */
	ARROW_LIST,
	ARROW_FIXED_LIST,
	ARROW_MAP,
	ARROW_STRUCT,
};
struct arrow_field {
	char *name;
	enum arrow_kind kind;
	struct scalar scalar;
	int offset_width; /* 4 or 8: TEXT, LIST, MAP */
	int64_t size;     /* of a FIXED_LIST */
	struct arrow_field *children;
	size_t n;
	bool encoded; /* the column has indices into the dictionary of this id; the rest describes its values */
	int64_t dictionary;
	int index_width;
	bool index_signed;
};
/* The fields of a schema table, as children of root. */
int arrow_schema_read(struct arrow_field *root, struct flatbuffer *b, size_t schema, const char *name);
void arrow_schema_release(struct arrow_field *root);
const struct arrow_field *arrow_schema_dictionary(const struct arrow_field *root, int64_t id); /* NULL: none */

/* ---- arrow_batch.c ----------------------------------------------------------------------------------------------------- */

struct arrow_dictionary {
	int64_t id;
	json_t *values; /* an array */
	size_t held;    /* bytes of memory */
};
struct arrow_dictionaries {
	struct arrow_dictionary *items;
	size_t n, cap;
};
struct arrow_array { /* a field's part of a batch */
	const struct arrow_field *field;
	size_t n;
	const uint8_t *valid; /* a bit each; NULL: all are there */
	struct slice offsets, data;
	const struct slice *views; /* buffers that views point into */
	size_t n_views;
	const json_t *dictionary;
	struct arrow_array *children;
};
struct arrow_batch {
	struct rows *rows;
	size_t n; /* rows */
	struct arrow_array root;
	struct slice *buffers;
	uint8_t **own; /* of buffers that were compressed */
	size_t n_buffers, held;
};
/* A RecordBatch table and its body, for the children of root (values: for root itself, which is a dictionary's field). */
int arrow_batch_open(struct arrow_batch *out, struct rows *r, const struct arrow_field *root, bool values,
		     const struct arrow_dictionaries *d, struct flatbuffer *b, size_t table, struct slice body);
/* Value i of an array; NULL that stays is null. */
int arrow_value(json_t **out, struct rows *r, const struct arrow_array *a, size_t i);
void arrow_batch_close(struct arrow_batch *batch);

#endif
