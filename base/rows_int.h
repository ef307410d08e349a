/* rows_int.h: what the readers behind rows_each() share. Private to base/.
 *
 * rows.c picks the reader; unpack.c opens archives; csv.c, parquet.c and arrow.c read a format. Parquet is read through
 * thrift.c (its header language), parquet_schema.c, parquet_page.c and parquet_values.c; codec.c opens compressed blocks
 * and scalar.c says how a value of either binary format stands in JSON. */
#ifndef BASE_ROWS_INT_H
#define BASE_ROWS_INT_H

#include "base/codec.h"
#include "base/rows.h"

/* ---- rows.c: one reading, and what it may cost ----------------------------------------------------------------------- */

struct rows {
	const char *name;
	int (*each)(json_t *value, size_t line, void *arg);
	void *arg;
	uint64_t memory; /* what the rows may take; 0: any */
	uint64_t taken;
	size_t stored; /* bytes of the file as it came */
	size_t out;    /* bytes of values given out so far */
	size_t row;    /* out, where the present row began */
	size_t line;   /* of the present row, as each() is told */
	size_t work;   /* bytes unpacked so far, and what finding nothing costs */
	size_t held;   /* bytes of memory held by the reader now */
};
enum { ROWS_DEPTH = 32 }; /* of nested columns */
/* Each adds to its sum, and is ERR_INPUT where that goes above what a file may cost. held is given back by hand. */
int rows_give(struct rows *r, size_t n);
/* A row begins: what is given from here on is one. line: as each() is told. */
int rows_begin(struct rows *r, size_t line, size_t cost);
/* Passes the row that was begun on to each(). */
int rows_pass(struct rows *r, json_t *value);
/* jansson had no memory: ERR_UNAVAILABLE with the row. A value that is not there must not look like null. */
int rows_short(const struct rows *r);
/* A new value, or rows_short(). */
int rows_made(const struct rows *r, const json_t *v);
/* Members of an object and of an array, taken in any case; NULL is null. */
int rows_set(const struct rows *r, json_t *o, const char *key, json_t *v);
int rows_append(const struct rows *r, json_t *a, json_t *v);
int rows_work(struct rows *r, size_t n);
int rows_hold(struct rows *r, size_t n);

/* ---- the formats: a whole file in memory, each row to r->each --------------------------------------------------------- */

int csv_rows(struct rows *r, const char *text, size_t len, char separator);
int parquet_rows(struct rows *r, const uint8_t *data, size_t len);
int arrow_rows(struct rows *r, const uint8_t *data, size_t len);

/* ---- unpack.c -------------------------------------------------------------------------------------------------------- */

/* The bytes of a compressed file, or of a member (NULL: the only one) of an archive. *inner: the member's name, yours, or
 * NULL where there are no names. At most max bytes. */
int unpack(struct buf *out, char **inner, const void *data, size_t len, const char *name, const char *member,
	   size_t max);

/* ---- scalar.c -------------------------------------------------------------------------------------------------------- */

enum scalar_kind {
	SCALAR_BOOL, /* a byte */
	SCALAR_INT,  /* little endian, width 1 to 8 */
	SCALAR_UINT,
	SCALAR_FLOAT, /* width 2, 4 or 8 */
	SCALAR_TEXT,
	SCALAR_BYTES,
	SCALAR_DECIMAL, /* two's complement of any width up to 32, with a scale */
	SCALAR_UUID,
	SCALAR_DATE,      /* days; or with a unit, since 1970 */
	SCALAR_TIME,      /* of the day, in units */
	SCALAR_TIMESTAMP, /* units since 1970 */
	SCALAR_INT96,     /* nanoseconds of the day, Julian day */
	SCALAR_DURATION,
};
struct scalar {
	enum scalar_kind kind;
	int width;       /* bytes; 0: any */
	int unit;        /* powers of ten a second is cut into: 0, 3, 6, 9 */
	int scale;       /* DECIMAL */
	bool utc;        /* TIMESTAMP: a moment, not what a clock on the wall shows */
	bool big_endian; /* DECIMAL */
};
/* What the value is in JSON, a new reference. len must be s->width where that is not 0. ERR_INPUT without a place. */
int scalar_json(json_t **out, const struct scalar *s, const uint8_t *p, size_t len);
uint64_t scalar_load(const uint8_t *p, int width); /* little endian */

/* ---- thrift.c -------------------------------------------------------------------------------------------------------- */

/* The compact protocol. A read beyond the end, or of nonsense, marks it as bad and gives zeros from there on. */
struct thrift {
	const uint8_t *at, *end;
	bool bad;
	int depth;
};
enum thrift_type { THRIFT_STOP, THRIFT_TRUE, THRIFT_FALSE, THRIFT_LIST = 9, THRIFT_SET, THRIFT_MAP, THRIFT_STRUCT };
struct thrift_field {
	int id; /* 0 before the first */
	int type;
};
/* Before the first field of the outermost struct, and of each struct in a list. */
void thrift_begin(struct thrift *t, struct thrift_field *first);
/* The same where the value of f must be a struct. */
void thrift_enter(struct thrift *t, const struct thrift_field *f, struct thrift_field *first);
/* The next field of a struct; false at its end. Read its value or skip it before the next call. */
bool thrift_next(struct thrift *t, struct thrift_field *f);
int64_t thrift_int(struct thrift *t, const struct thrift_field *f);
bool thrift_flag(struct thrift *t, const struct thrift_field *f);
const uint8_t *thrift_bytes(struct thrift *t, const struct thrift_field *f, size_t *len); /* borrowed */
size_t thrift_structs(struct thrift *t, const struct thrift_field *f); /* how many follow in a list */
void thrift_skip(struct thrift *t, const struct thrift_field *f);

/* ---- parquet_schema.c ------------------------------------------------------------------------------------------------- */

enum parquet_type { PQ_BOOLEAN, PQ_INT32, PQ_INT64, PQ_INT96, PQ_FLOAT, PQ_DOUBLE, PQ_BYTES, PQ_FIXED };
enum parquet_kind { PQ_LEAF, PQ_STRUCT, PQ_LIST, PQ_MAP };
struct parquet_node {
	char *name;
	enum parquet_kind kind;
	bool optional, repeated;
	int def, rep; /* levels at which it is there, and at which it repeats */
	size_t first; /* leaf beneath it */
	size_t n_leaves;
	struct parquet_node *children;
	size_t n;
	bool wrapper; /* of a repeated group in a LIST: its only child is the element */
	/* leaves */
	enum parquet_type type;
	int width; /* bytes of a value; 0: any */
	struct scalar scalar;
};
/* The tree of a schema, a list of thrift structs. name: of the file. */
int parquet_schema_read(struct parquet_node *root, struct thrift *t, const struct thrift_field *f, const char *name);
void parquet_schema_release(struct parquet_node *root);

/* ---- parquet_page.c ---------------------------------------------------------------------------------------------------- */

struct slice {
	const uint8_t *data;
	size_t len;
};
struct parquet_values { /* of a page: slices into a page or into memory of their own */
	struct slice *slices;
	size_t n;
	uint8_t *own;
	size_t held; /* of rows.held */
};
struct parquet_leaf { /* a column chunk while it is read: one page at a time */
	const struct parquet_node *node;
	struct rows *rows;
	const uint8_t *at, *end;
	int64_t left; /* values that later pages have */
	int codec;    /* as the file numbers them */
	uint8_t *dictionary_page, *page;
	size_t dictionary_held, page_held;
	struct parquet_values dictionary, values;
	uint32_t *def, *rep;
	size_t n, i, v; /* entries of the page, the next one, the next value */
};
/* The next entry's levels; false at the chunk's end. */
int parquet_leaf_peek(struct parquet_leaf *l, bool *there, uint32_t *def, uint32_t *rep);
/* Passes the entry that was peeked at; value: its bytes, or NULL where it has none. */
const struct slice *parquet_leaf_next(struct parquet_leaf *l);
void parquet_leaf_release(struct parquet_leaf *l);

/* ---- parquet_values.c -------------------------------------------------------------------------------------------------- */

/* n numbers of at most 32 bits in runs and packs; ERR_INPUT if the bytes are too few. */
int rle_read(uint32_t *out, size_t n, int bits, const uint8_t *p, size_t len);
enum parquet_encoding {
	PQ_PLAIN,
	PQ_PLAIN_DICTIONARY = 2,
	PQ_RLE,
	PQ_DELTA_INTS = 5,
	PQ_DELTA_LENGTHS,
	PQ_DELTA_BYTES,
	PQ_RLE_DICTIONARY,
	PQ_STREAM_SPLIT,
};
/* n values of a leaf; dictionary may be empty. Slices point into p, the dictionary or out->own. */
int parquet_values_read(struct parquet_values *out, struct rows *r, const struct parquet_node *leaf, int encoding,
			size_t n, const uint8_t *p, size_t len, const struct parquet_values *dictionary);
void parquet_values_release(struct parquet_values *v, struct rows *r);

#endif
