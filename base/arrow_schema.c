/* arrow_schema.c: the columns of an Arrow stream: a tree of fields, each with a type that says how its buffers lie.
 *
 * A field with a dictionary has the type of the dictionary's values; what stands in the batches are indices. */
#include "base/base.h"

#include "base/arrow_int.h"

enum { FIELDS_MAX = 100000 };
enum arrow_type {
	TYPE_NULL = 1,
	TYPE_INT,
	TYPE_FLOAT,
	TYPE_BINARY,
	TYPE_UTF8,
	TYPE_BOOL,
	TYPE_DECIMAL,
	TYPE_DATE,
	TYPE_TIME,
	TYPE_TIMESTAMP,
	TYPE_INTERVAL,
	TYPE_LIST,
	TYPE_STRUCT,
	TYPE_UNION,
	TYPE_FIXED_BINARY,
	TYPE_FIXED_LIST,
	TYPE_MAP,
	TYPE_DURATION,
	TYPE_LARGE_BINARY,
	TYPE_LARGE_UTF8,
	TYPE_LARGE_LIST,
	TYPE_RUN_END,
	TYPE_BINARY_VIEW,
	TYPE_UTF8_VIEW,
};
struct schema_reader {
	struct flatbuffer *b;
	size_t fields;
};

/* ---- types ----------------------------------------------------------------------------------------------------------- */

/* Bits of a number as bytes; 0 if that cannot be. */
static int bytes_of(int64_t bits)
{
	return bits == 8 || bits == 16 || bits == 32 || bits == 64 ? (int)(bits / 8) : 0;
}

static void scalar_set(struct arrow_field *f, enum scalar_kind kind, int64_t width, int64_t unit)
{
	f->kind = ARROW_SCALAR;
	f->scalar = (struct scalar){ .kind = kind, .width = (int)width, .unit = (int)unit };
}

static void number_read(struct arrow_field *f, struct flatbuffer *b, size_t t, int type)
{
	static const int floats[] = { 2, 4, 8 };
	int64_t precision;

	if (type == TYPE_INT) {
		scalar_set(f, fb_int(b, t, 1, 1, 0) ? SCALAR_INT : SCALAR_UINT, bytes_of(fb_int(b, t, 0, 4, 0)), 0);
	} else if (type == TYPE_FLOAT) {
		precision = fb_int(b, t, 0, 2, 0);
		scalar_set(f, SCALAR_FLOAT, precision >= 0 && precision < 3 ? floats[precision] : 0, 0);
	} else {
		int64_t bits = fb_int(b, t, 2, 4, 128), scale = fb_int(b, t, 1, 4, 0);

		scalar_set(f, SCALAR_DECIMAL, bits == 32 || bits == 64 || bits == 128 || bits == 256 ? bits / 8 : 0, 0);
		f->scalar.scale = (int)scale;
	}
}

static void time_read(struct arrow_field *f, struct flatbuffer *b, size_t t, int type)
{
	size_t zone;

	switch (type) {
	case TYPE_DATE: /* days, or milliseconds */
		if (fb_int(b, t, 0, 2, 1))
			scalar_set(f, SCALAR_DATE, 8, 3);
		else
			scalar_set(f, SCALAR_DATE, 4, 0);
		break;
	case TYPE_TIME:
		scalar_set(f, SCALAR_TIME, bytes_of(fb_int(b, t, 1, 4, 32)), 3 * fb_int(b, t, 0, 2, 1));
		break;
	case TYPE_DURATION:
		scalar_set(f, SCALAR_DURATION, 8, 3 * fb_int(b, t, 0, 2, 1));
		break;
	default:
		scalar_set(f, SCALAR_TIMESTAMP, 8, 3 * fb_int(b, t, 0, 2, 0));
		fb_text(b, t, 1, &zone);
		f->scalar.utc = zone > 0;
	}
	if (f->scalar.unit < 0 || f->scalar.unit > 9)
		b->bad = true;
}

/* false: a type that is not supported. */
static bool type_read(struct arrow_field *f, struct flatbuffer *b, size_t t, int type)
{
	bool text = type == TYPE_UTF8 || type == TYPE_LARGE_UTF8 || type == TYPE_UTF8_VIEW;

	f->offset_width = type == TYPE_LARGE_BINARY || type == TYPE_LARGE_UTF8 || type == TYPE_LARGE_LIST ? 8 : 4;
	switch (type) {
	case TYPE_NULL:
		f->kind = ARROW_NULL;
		return true;
	case TYPE_INT:
	case TYPE_FLOAT:
	case TYPE_DECIMAL:
		number_read(f, b, t, type);
		return f->scalar.width > 0;
	case TYPE_BOOL:
		f->kind = ARROW_BOOL;
		f->scalar = (struct scalar){ .kind = SCALAR_BOOL, .width = 1 };
		return true;
	case TYPE_DATE:
	case TYPE_TIME:
	case TYPE_TIMESTAMP:
	case TYPE_DURATION:
		time_read(f, b, t, type);
		return f->scalar.width > 0;
	case TYPE_BINARY:
	case TYPE_LARGE_BINARY:
	case TYPE_BINARY_VIEW:
	case TYPE_UTF8:
	case TYPE_LARGE_UTF8:
	case TYPE_UTF8_VIEW:
		f->kind = type == TYPE_BINARY_VIEW || type == TYPE_UTF8_VIEW ? ARROW_VIEW : ARROW_TEXT;
		f->scalar = (struct scalar){ .kind = text ? SCALAR_TEXT : SCALAR_BYTES };
		return true;
	case TYPE_FIXED_BINARY:
		scalar_set(f, SCALAR_BYTES, fb_int(b, t, 0, 4, 0), 0);
		return f->scalar.width >= 0 && f->scalar.width <= 1 << 20;
	case TYPE_FIXED_LIST:
		f->kind = ARROW_FIXED_LIST;
		f->size = fb_int(b, t, 0, 4, 0);
		return f->size >= 0 && f->n == 1;
	case TYPE_LIST:
	case TYPE_LARGE_LIST:
		f->kind = ARROW_LIST;
		return f->n == 1;
	case TYPE_MAP:
		f->kind = ARROW_MAP;
		return f->n == 1 && f->children[0].kind == ARROW_STRUCT && f->children[0].n == 2;
	case TYPE_STRUCT:
		f->kind = ARROW_STRUCT;
		return true;
	default:
		return false;
	}
}

/* ---- fields ---------------------------------------------------------------------------------------------------------- */

static int fields_read(struct arrow_field *of, struct schema_reader *r, size_t table, int field, int depth);

static int field_read(struct arrow_field *f, struct schema_reader *r, size_t table, int depth)
{
	struct flatbuffer *b = r->b;
	size_t len, dictionary = fb_table(b, table, 4), index = fb_table(b, dictionary, 1);
	const char *name = fb_text(b, table, 0, &len);
	int type = (int)fb_int(b, table, 2, 1, 0), rc;

	if (memchr(name, 0, len) || !utf8_valid(name, len, NULL))
		return err_set(ERR_INPUT, "its schema is damaged");
	f->name = mem_strn(name, len);
	if (dictionary) {
		f->encoded = true;
		f->dictionary = fb_int(b, dictionary, 0, 8, 0);
		f->index_width = index ? bytes_of(fb_int(b, index, 0, 4, 0)) : 4;
		f->index_signed = index ? fb_int(b, index, 1, 1, 0) != 0 : true;
		if (!f->index_width)
			return err_set(ERR_INPUT, "column %s: its dictionary has indices of no known width", f->name);
	}
	rc = fields_read(f, r, table, 5, depth + 1);
	if (rc)
		return rc;
	if (!type_read(f, b, fb_table(b, table, 3), type) && !b->bad)
		return err_set(ERR_INPUT, "column %s: the Arrow type %d is not supported", f->name, type);
	return 0;
}

static int fields_read(struct arrow_field *of, struct schema_reader *r, size_t table, int field, int depth)
{
	size_t n, vector = fb_vector(r->b, table, field, 4, &n);
	struct map seen;
	int rc = 0;

	if (n > FIELDS_MAX - r->fields)
		return err_set(ERR_INPUT, "a schema of more than %d columns", FIELDS_MAX);
	if (depth > ROWS_DEPTH)
		return err_set(ERR_INPUT, "columns are nested more than %d deep", ROWS_DEPTH);
	r->fields += n;
	of->children = mem_array(n + 1, sizeof(*of->children));
	map_init(&seen);
	while (of->n < n && !rc && !r->b->bad) {
		struct arrow_field *f = &of->children[of->n++];

		rc = field_read(f, r, fb_element(r->b, vector, of->n - 1), depth);
		if (!rc && !map_put(&seen, f->name, strlen(f->name), 0))
			rc = err_set(ERR_INPUT, "two columns are named \"%s\"", f->name);
	}
	map_release(&seen);
	return rc;
}

int arrow_schema_read(struct arrow_field *root, struct flatbuffer *b, size_t schema, const char *name)
{
	struct schema_reader r = { b, 0 };
	int rc;

	arrow_schema_release(root);
	root->kind = ARROW_STRUCT;
	root->name = mem_str("");
	if (fb_int(b, schema, 0, 2, 0))
		return err_set(ERR_INPUT, "%s: an Arrow file of a big endian machine is not supported", name);
	rc = fields_read(root, &r, schema, 1, 0);
	if (!rc && b->bad)
		rc = err_set(ERR_INPUT, "its schema is damaged");
	return rc ? err_context(rc, "%s", name) : 0;
}

void arrow_schema_release(struct arrow_field *root)
{
	for (size_t i = 0; i < root->n; i++)
		arrow_schema_release(&root->children[i]);
	free(root->children);
	free(root->name);
	memset(root, 0, sizeof(*root));
}

const struct arrow_field *arrow_schema_dictionary(const struct arrow_field *root, int64_t id)
{
	const struct arrow_field *found = root->encoded && root->dictionary == id ? root : NULL;

	for (size_t i = 0; i < root->n && !found; i++)
		found = arrow_schema_dictionary(&root->children[i], id);
	return found;
}
