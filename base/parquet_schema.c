/* parquet_schema.c: the columns of a Parquet file as a tree.
 *
 * The file has the tree flattened, parents before their children, each element saying how many children follow. A leaf
 * has a physical type and, on top, what it means: by the newer logical type or by the older converted type.
 *
 * Levels: an entry of a column says how deep it is defined (one step for each optional or repeated element on its way)
 * and at which depth it repeats. def and rep of a node are those at which it is there.
 *
 * A list is a group LIST around a repeated one around the element; older writers left out a layer in several ways, and
 * the rules of the format by which these are told apart stand in list_shape(). */
#include "base/base.h"

#include "base/rows_int.h"

enum { REQUIRED, OPTIONAL, REPEATED };
enum { ELEMENTS_MAX = 100000 };
enum converted {
	CONVERTED_NONE = -1,
	CONVERTED_UTF8,
	CONVERTED_MAP,
	CONVERTED_MAP_KEY_VALUE,
	CONVERTED_LIST,
	CONVERTED_ENUM,
	CONVERTED_DECIMAL,
	CONVERTED_DATE,
	CONVERTED_TIME_MS,
	CONVERTED_TIME_US,
	CONVERTED_TIMESTAMP_MS,
	CONVERTED_TIMESTAMP_US,
	CONVERTED_UINT8,
	CONVERTED_INT8 = 15,
	CONVERTED_INT64 = 18,
	CONVERTED_JSON,
};
enum logical {
	LOGICAL_NONE,
	LOGICAL_STRING,
	LOGICAL_MAP,
	LOGICAL_LIST,
	LOGICAL_ENUM,
	LOGICAL_DECIMAL,
	LOGICAL_DATE,
	LOGICAL_TIME,
	LOGICAL_TIMESTAMP,
	LOGICAL_INTEGER = 10,
	LOGICAL_UNKNOWN,
	LOGICAL_JSON,
	LOGICAL_BSON,
	LOGICAL_UUID,
	LOGICAL_FLOAT16,
};
struct element { /* as the file has it */
	int type, length, repetition, converted, logical;
	int64_t children;
	int scale, unit, bits;
	bool utc, is_signed;
	const char *name;
	size_t name_len;
};
struct schema_reader {
	struct thrift *t;
	size_t left; /* elements of the list not read yet */
	size_t leaves;
};

/* ---- elements ----------------------------------------------------------------------------------------------------- */

/* TIME and TIMESTAMP: {1: utc, 2: {1: ms | 2: µs | 3: ns}}; DECIMAL: {1: scale}; INTEGER: {1: bits, 2: signed}. */
static void logical_members(struct thrift *t, struct element *e, const struct thrift_field *of)
{
	struct thrift_field f, unit;

	thrift_enter(t, of, &f);
	while (thrift_next(t, &f)) {
		bool clock = e->logical == LOGICAL_TIME || e->logical == LOGICAL_TIMESTAMP;

		if (clock && f.id == 1) {
			e->utc = thrift_flag(t, &f);
		} else if (clock && f.id == 2) {
			thrift_enter(t, &f, &unit);
			while (thrift_next(t, &unit)) {
				e->unit = 3 * unit.id;
				thrift_skip(t, &unit);
			}
		} else if (e->logical == LOGICAL_DECIMAL && f.id == 1) {
			e->scale = (int)thrift_int(t, &f);
		} else if (e->logical == LOGICAL_INTEGER && f.id == 1) {
			e->bits = (int)thrift_int(t, &f);
		} else if (e->logical == LOGICAL_INTEGER && f.id == 2) {
			e->is_signed = thrift_flag(t, &f);
		} else {
			thrift_skip(t, &f);
		}
	}
}

static void element_read(struct thrift *t, struct element *e)
{
	struct thrift_field f, type;

	*e = (struct element){ .type = -1, .converted = CONVERTED_NONE, .name = "" };
	thrift_begin(t, &f);
	while (thrift_next(t, &f)) {
		switch (f.id) {
		case 1:
			e->type = (int)thrift_int(t, &f);
			break;
		case 2:
			e->length = (int)thrift_int(t, &f);
			break;
		case 3:
			e->repetition = (int)thrift_int(t, &f);
			break;
		case 4:
			e->name = (const char *)thrift_bytes(t, &f, &e->name_len);
			break;
		case 5:
			e->children = thrift_int(t, &f);
			break;
		case 6:
			e->converted = (int)thrift_int(t, &f);
			break;
		case 7:
			e->scale = (int)thrift_int(t, &f);
			break;
		case 10:
			thrift_enter(t, &f, &type);
			while (thrift_next(t, &type)) {
				e->logical = type.id;
				logical_members(t, e, &type);
			}
			break;
		default:
			thrift_skip(t, &f);
		}
	}
}

/* The older names in terms of the newer ones. */
static void element_modernise(struct element *e)
{
	static const int same[] = { LOGICAL_STRING, LOGICAL_MAP,       LOGICAL_MAP,      LOGICAL_LIST,
				    LOGICAL_ENUM,   LOGICAL_DECIMAL,   LOGICAL_DATE,     LOGICAL_TIME,
				    LOGICAL_TIME,   LOGICAL_TIMESTAMP, LOGICAL_TIMESTAMP };
	int c = e->converted;

	if (e->logical || c < 0)
		return;
	if (c < (int)ARRAY_LEN(same)) {
		e->logical = same[c];
		e->utc = c >= CONVERTED_TIME_MS;
		e->unit = c == CONVERTED_TIME_MS || c == CONVERTED_TIMESTAMP_MS ? 3 : 6;
	} else if (c >= CONVERTED_UINT8 && c <= CONVERTED_INT64) {
		e->logical = LOGICAL_INTEGER;
		e->is_signed = c >= CONVERTED_INT8;
		e->bits = 8 << (c - (e->is_signed ? CONVERTED_INT8 : CONVERTED_UINT8));
	} else if (c == CONVERTED_JSON) {
		e->logical = LOGICAL_JSON;
	}
}

/* ---- leaves ------------------------------------------------------------------------------------------------------- */

static int leaf_scalar(struct parquet_node *n, const struct element *e)
{
	static const int widths[] = { 1, 4, 8, 12, 4, 8, 0, 0 };
	static const enum scalar_kind plain[] = { SCALAR_BOOL,  SCALAR_INT,   SCALAR_INT,   SCALAR_INT96,
						  SCALAR_FLOAT, SCALAR_FLOAT, SCALAR_BYTES, SCALAR_BYTES };
	bool is_int, is_text = e->type == PQ_BYTES;

	if (e->type < 0 || e->type >= (int)ARRAY_LEN(widths))
		return err_set(ERR_INPUT, "a physical type %d", e->type);
	n->type = e->type;
	n->width = e->type == PQ_FIXED ? e->length : widths[e->type];
	if (e->type == PQ_FIXED && (e->length < 1 || e->length > 1 << 20))
		return err_set(ERR_INPUT, "values of %d bytes", e->length);
	is_int = n->type == PQ_INT32 || n->type == PQ_INT64;
	n->scalar = (struct scalar){ .kind = plain[n->type],
				     .width = n->width,
				     .unit = e->unit,
				     .scale = e->scale,
				     .utc = e->utc,
				     .big_endian = !is_int };
	if ((e->logical == LOGICAL_STRING || e->logical == LOGICAL_JSON) && is_text)
		n->scalar.kind = SCALAR_TEXT;
	else if (e->logical == LOGICAL_DECIMAL && (is_int || is_text || n->type == PQ_FIXED))
		n->scalar.kind = SCALAR_DECIMAL;
	else if (e->logical == LOGICAL_DATE && n->type == PQ_INT32)
		n->scalar = (struct scalar){ .kind = SCALAR_DATE, .width = 4 };
	else if (e->logical == LOGICAL_TIME && is_int)
		n->scalar.kind = SCALAR_TIME;
	else if (e->logical == LOGICAL_TIMESTAMP && n->type == PQ_INT64)
		n->scalar.kind = SCALAR_TIMESTAMP;
	else if (e->logical == LOGICAL_INTEGER && is_int && !e->is_signed)
		n->scalar.kind = SCALAR_UINT;
	else if (e->logical == LOGICAL_UUID && n->width == 16)
		n->scalar.kind = SCALAR_UUID;
	else if (e->logical == LOGICAL_FLOAT16 && n->type == PQ_FIXED && n->width == 2)
		n->scalar.kind = SCALAR_FLOAT;
	if (n->scalar.unit < 0 || n->scalar.unit > 9)
		return err_set(ERR_INPUT, "a unit of time that is not known");
	/* a number of 8 or 16 bits is stored in 32: only its low bytes count */
	if (n->scalar.kind == SCALAR_UINT && e->bits && e->bits < 8 * n->width)
		n->scalar.width = e->bits >= 8 ? e->bits / 8 : n->width;
	return 0;
}

/* ---- groups ------------------------------------------------------------------------------------------------------- */

/* Whether the repeated child of a LIST is only a shell around the element. Not so in files of older writers, where it is
 * the element itself: a plain value, a group of several, or one that has such a name. */
static bool is_shell(const struct parquet_node *list)
{
	const struct parquet_node *middle = &list->children[0];
	size_t n = strlen(list->name);

	if (middle->kind != PQ_STRUCT || middle->n != 1 || middle->children[0].repeated)
		return false;
	return strcmp(middle->name, "array") != 0 &&
	       !(strncmp(middle->name, list->name, n) == 0 && strcmp(middle->name + n, "_tuple") == 0);
}

static void group_shape(struct parquet_node *n, const struct element *e)
{
	struct parquet_node *middle = &n->children[0];

	n->kind = PQ_STRUCT;
	if (n->n != 1 || !middle->repeated || n->repeated)
		return;
	if (e->logical == LOGICAL_LIST) {
		n->kind = PQ_LIST;
		middle->wrapper = is_shell(n);
	} else if (e->logical == LOGICAL_MAP && middle->kind == PQ_STRUCT && middle->n == 2) {
		n->kind = PQ_MAP;
	}
}

static int check_names(const struct parquet_node *n)
{
	struct map seen;
	int rc = 0;

	map_init(&seen);
	for (size_t i = 0; i < n->n && !rc; i++)
		if (!map_put(&seen, n->children[i].name, strlen(n->children[i].name), 0))
			rc = err_set(ERR_INPUT, "two columns are named \"%s\"", n->children[i].name);
	map_release(&seen);
	return rc;
}

static int node_read(struct parquet_node *n, struct schema_reader *r, int def, int rep, int depth)
{
	struct element e;
	int rc = 0;

	if (!r->left)
		return err_set(ERR_INPUT, "its schema is cut off");
	r->left--;
	element_read(r->t, &e);
	if (r->t->bad)
		return err_set(ERR_INPUT, "its schema is damaged");
	if (depth > ROWS_DEPTH)
		return err_set(ERR_INPUT, "columns are nested more than %d deep", ROWS_DEPTH);
	if (e.repetition < REQUIRED || e.repetition > REPEATED || memchr(e.name, 0, e.name_len) ||
	    !utf8_valid(e.name, e.name_len, NULL))
		return err_set(ERR_INPUT, "its schema is damaged");
	element_modernise(&e);
	n->name = mem_strn(e.name, e.name_len);
	n->optional = depth && e.repetition == OPTIONAL;
	n->repeated = depth && e.repetition == REPEATED;
	n->def = def + (n->optional || n->repeated);
	n->rep = rep + n->repeated;
	n->first = r->leaves;
	if (e.type >= 0 && e.children == 0) {
		n->n_leaves = 1;
		r->leaves++;
		rc = leaf_scalar(n, &e);
		return rc ? err_context(rc, "column %s", n->name) : 0;
	}
	if (e.children < 0 || (uint64_t)e.children > r->left || (e.children == 0 && depth))
		return err_set(ERR_INPUT, "column %s: a group of %lld columns", n->name, (long long)e.children);
	n->children = mem_array((size_t)e.children + 1, sizeof(*n->children));
	while (n->n < (size_t)e.children && !rc)
		rc = node_read(&n->children[n->n++], r, n->def, n->rep, depth + 1);
	n->n_leaves = r->leaves - n->first;
	if (!rc && depth)
		group_shape(n, &e);
	else
		n->kind = PQ_STRUCT;
	return rc ? rc : check_names(n);
}

int parquet_schema_read(struct parquet_node *root, struct thrift *t, const struct thrift_field *f, const char *name)
{
	struct schema_reader r = { t, thrift_structs(t, f), 0 };
	int rc;

	parquet_schema_release(root);
	if (r.left > ELEMENTS_MAX)
		return err_set(ERR_INPUT, "%s: a schema of more than %d columns", name, ELEMENTS_MAX);
	rc = node_read(root, &r, 0, 0, 0);
	for (; r.left && !t->bad; r.left--) {
		struct element e;

		element_read(t, &e);
	}
	return rc ? err_context(rc, "%s", name) : 0;
}

void parquet_schema_release(struct parquet_node *root)
{
	for (size_t i = 0; i < root->n; i++)
		parquet_schema_release(&root->children[i]);
	free(root->children);
	free(root->name);
	memset(root, 0, sizeof(*root));
}
