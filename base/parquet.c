/* parquet.c: Apache Parquet files, row by row.
 *
 *	PAR1 | column chunks … | footer (thrift) | its length, 4 bytes | PAR1
 *
 * The footer has the schema, and row groups, each with a chunk for every leaf of the schema. Columns are put together to
 * rows as Dremel does it: each leaf is a cursor over entries (repetition level, definition level, perhaps a value), and a
 * walk over the schema takes one row's entries off all cursors (build_*): a group or a list looks at its first leaf to
 * see whether it is there and whether it goes on, and what is not there takes one entry off every leaf beneath it.
 *
 * A damaged file may have leaves that disagree. That is found where it matters: a cursor at its end, or an entry that does
 * not begin a row where one should.
 *
 * Left out, by name: brotli, LZO and the older LZ4, encryption, columns in other files. */
#include "base/base.h"

#include "base/rows_int.h"

enum { FOOTER = 8, ROW_COST = 64, CELL_COST = 64 };

struct parquet {
	struct rows *rows;
	const uint8_t *data;
	size_t len;
	struct parquet_node root;
	struct parquet_leaf *leaves;
	const struct parquet_node **leaf_nodes;
	size_t n; /* rows given out */
};

static int damaged(const struct parquet *p, const char *what)
{
	return err_set(ERR_INPUT, "%s: a damaged Parquet file: %s", p->rows->name, what);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

/* Each build_ function makes *out, which is NULL before; NULL that stays is null. What a failed one has made is the
 * caller's too. */
static int build_present(json_t **out, struct parquet *p, const struct parquet_node *n);

static int row_error(int rc, const struct parquet *p, const struct parquet_node *n)
{
	return err_context(rc, "%s:%zu: column %s", p->rows->name, p->n + 1, n->name);
}

/* The levels of the entry that comes next in a leaf, which must be there. */
static int peek_leaf(struct parquet *p, size_t leaf, uint32_t *def, uint32_t *rep)
{
	bool there;
	int rc = parquet_leaf_peek(&p->leaves[leaf], &there, def, rep);

	return rc ? rc : there ? 0 : damaged(p, "a column ends before the others");
}

/* The same beneath a node: its first leaf speaks for all. */
static int peek(struct parquet *p, const struct parquet_node *n, uint32_t *def)
{
	uint32_t rep;

	return peek_leaf(p, n->first, def, &rep);
}

/* Takes the entry of something that is not there off all leaves beneath it. */
static int pass(struct parquet *p, const struct parquet_node *n)
{
	for (size_t i = n->first; i < n->first + n->n_leaves; i++) {
		uint32_t def, rep;
		int rc = peek_leaf(p, i, &def, &rep);

		if (rc)
			return rc;
		parquet_leaf_next(&p->leaves[i]);
	}
	return 0;
}

static int build_leaf(json_t **out, struct parquet *p, const struct parquet_node *n)
{
	const struct slice *value;
	uint32_t def;
	int rc = peek(p, n, &def);

	rc = rc ? rc : rows_give(p->rows, CELL_COST);
	if (rc)
		return rc;
	value = parquet_leaf_next(&p->leaves[n->first]);
	if (!value)
		return 0;
	rc = rows_give(p->rows, value->len);
	if (rc)
		return rc;
	rc = scalar_json(out, &n->scalar, value->data, value->len);
	return rc ? row_error(rc, p, n) : rows_made(p->rows, *out);
}

/* Any node where it stands in its parent, which is there. */
static int build(json_t **out, struct parquet *p, const struct parquet_node *n);

static int build_struct(json_t **out, struct parquet *p, const struct parquet_node *n)
{
	json_t *o = json_object();
	int set, rc = rows_give(p->rows, CELL_COST);

	rc = rc ? rc : rows_made(p->rows, o);
	for (size_t i = 0; i < n->n && !rc; i++) {
		json_t *v = NULL;

		rc = build(&v, p, &n->children[i]);
		set = rows_set(p->rows, o, n->children[i].name, v);
		rc = rc ? rc : set;
	}
	*out = o;
	return rc;
}

/* A pair of a map. */
static int build_pair(json_t **out, struct parquet *p, const struct parquet_node *n)
{
	int set, rc = rows_give(p->rows, CELL_COST);

	*out = json_array();
	rc = rc ? rc : rows_made(p->rows, *out);
	for (size_t i = 0; i < n->n && !rc; i++) {
		json_t *v = NULL;

		rc = build(&v, p, &n->children[i]);
		set = rows_append(p->rows, *out, v);
		rc = rc ? rc : set;
	}
	return rc;
}

/* The elements of a repeated node. */
static int build_list(json_t **out, struct parquet *p, const struct parquet_node *n, bool pairs)
{
	bool there;
	uint32_t def, rep;
	int set, rc = peek(p, n, &def);

	rc = rc ? rc : rows_give(p->rows, CELL_COST);
	if (rc)
		return rc;
	*out = json_array();
	if (!*out)
		return rows_short(p->rows);
	if (def < (uint32_t)n->def)
		return pass(p, n);
	do {
		json_t *v = NULL;

		rc = pairs        ? build_pair(&v, p, n)
		     : n->wrapper ? build(&v, p, &n->children[0])
				  : build_present(&v, p, n);
		set = rows_append(p->rows, *out, v);
		rc = rc ? rc : set;
		rc = rc ? rc : parquet_leaf_peek(&p->leaves[n->first], &there, &def, &rep);
	} while (!rc && there && rep >= (uint32_t)n->rep);
	return rc;
}

static int build_present(json_t **out, struct parquet *p, const struct parquet_node *n)
{
	if (n->kind == PQ_LEAF)
		return build_leaf(out, p, n);
	if (n->kind == PQ_LIST || n->kind == PQ_MAP)
		return build_list(out, p, &n->children[0], n->kind == PQ_MAP);
	return build_struct(out, p, n);
}

static int build(json_t **out, struct parquet *p, const struct parquet_node *n)
{
	uint32_t def;
	int rc;

	if (n->repeated)
		return build_list(out, p, n, false);
	if (n->optional && n->kind != PQ_LEAF) {
		rc = peek(p, n, &def);
		if (rc)
			return rc;
		if (def < (uint32_t)n->def) {
			rc = rows_give(p->rows, CELL_COST);
			return rc ? rc : pass(p, n); /* *out stays NULL, which is null */
		}
	}
	return build_present(out, p, n);
}

/* All leaves stand at the beginning of a row. */
static int check_begin(struct parquet *p)
{
	for (size_t i = 0; i < p->root.n_leaves; i++) {
		uint32_t def, rep;
		int rc = peek_leaf(p, i, &def, &rep);

		if (rc)
			return rc;
		if (rep)
			return damaged(p, "a row begins within a list");
	}
	return 0;
}

static int group_rows(struct parquet *p, int64_t rows)
{
	for (int64_t i = 0; i < rows; i++) {
		json_t *row = NULL;
		int rc = check_begin(p);

		rc = rc ? rc : rows_begin(p->rows, p->n + 1, ROW_COST);
		rc = rc ? rc : build_struct(&row, p, &p->root);
		rc = rc ? rc : rows_pass(p->rows, row);
		json_decref(row);
		if (rc)
			return rc;
		p->n++;
	}
	for (size_t i = 0; i < p->root.n_leaves; i++)
		if (p->leaves[i].left > 0 || p->leaves[i].i < p->leaves[i].n)
			return damaged(p, "a column has more values than there are rows");
	return 0;
}

/* ---- the footer --------------------------------------------------------------------------------------------------------- */

struct chunk {
	int64_t type, codec, values, size, data_at, dictionary_at;
	bool elsewhere, described;
};

static void chunk_read(struct thrift *t, struct chunk *c)
{
	struct thrift_field f, m;

	*c = (struct chunk){ .type = -1 };
	thrift_begin(t, &f);
	while (thrift_next(t, &f)) {
		c->elsewhere = c->elsewhere || f.id == 1;
		if (f.id != 3) {
			thrift_skip(t, &f);
			continue;
		}
		c->described = true;
		thrift_enter(t, &f, &m);
		while (thrift_next(t, &m)) {
			int64_t *to = m.id == 1    ? &c->type
				      : m.id == 4  ? &c->codec
				      : m.id == 5  ? &c->values
				      : m.id == 7  ? &c->size
				      : m.id == 9  ? &c->data_at
				      : m.id == 11 ? &c->dictionary_at
						   : NULL;
			if (to)
				*to = thrift_int(t, &m);
			else
				thrift_skip(t, &m);
		}
	}
}

static int leaf_open(struct parquet *p, size_t i, const struct chunk *c)
{
	struct parquet_leaf *l = &p->leaves[i];
	int64_t at = c->data_at;

	if (c->elsewhere)
		return err_set(ERR_INPUT, "%s: a column in another file is not supported", p->rows->name);
	if (!c->described || c->type != (int64_t)p->leaf_nodes[i]->type)
		return damaged(p, "a column of another type than the schema says");
	*l = (struct parquet_leaf){ .node = p->leaf_nodes[i], .rows = p->rows };
	if (!c->values) /* nothing was written, and the places may say anything */
		return 0;
	if (c->dictionary_at > 0 && c->dictionary_at < at)
		at = c->dictionary_at;
	if (at < 4 || c->size < 0 || (uint64_t)at > p->len || (uint64_t)c->size > p->len - (uint64_t)at ||
	    c->values < 0 || c->codec < 0 || c->codec > INT32_MAX)
		return damaged(p, "a column outside the file");
	l->at = p->data + at;
	l->end = l->at + c->size;
	l->left = c->values;
	l->codec = (int)c->codec;
	return 0;
}

static int group_read(struct parquet *p, struct thrift *t)
{
	struct thrift_field f;
	int64_t rows = 0;
	size_t n = 0;
	int rc = 0;

	thrift_begin(t, &f);
	while (thrift_next(t, &f)) {
		if (f.id == 1) {
			n = thrift_structs(t, &f);
			for (size_t i = 0; i < n && !t->bad; i++) {
				struct chunk c;

				chunk_read(t, &c);
				if (!rc && !t->bad && i < p->root.n_leaves)
					rc = leaf_open(p, i, &c);
			}
		} else if (f.id == 3) {
			rows = thrift_int(t, &f);
		} else {
			thrift_skip(t, &f);
		}
	}
	if (t->bad)
		return damaged(p, "its footer");
	if (!rc && n != p->root.n_leaves)
		rc = damaged(p, "a row group without all columns");
	if (!rc && rows < 0)
		rc = damaged(p, "a row group of a negative number of rows");
	rc = rc ? rc : group_rows(p, rows);
	for (size_t i = 0; i < p->root.n_leaves; i++)
		if (p->leaves[i].rows)
			parquet_leaf_release(&p->leaves[i]);
	return rc;
}

static void collect_leaves(const struct parquet_node **out, const struct parquet_node *n)
{
	if (n->kind == PQ_LEAF)
		out[n->first] = n;
	for (size_t i = 0; i < n->n; i++)
		collect_leaves(out, &n->children[i]);
}

static int footer_read(struct parquet *p, struct thrift *t)
{
	struct thrift_field f;
	bool schema = false;
	int rc = 0;

	thrift_begin(t, &f);
	while (!rc && thrift_next(t, &f)) {
		if (f.id == 2 && !schema) {
			rc = parquet_schema_read(&p->root, t, &f, p->rows->name);
			schema = true;
			if (rc)
				break;
			p->leaves = mem_array(p->root.n_leaves + 1, sizeof(*p->leaves));
			p->leaf_nodes = mem_array(p->root.n_leaves + 1, sizeof(*p->leaf_nodes));
			collect_leaves(p->leaf_nodes, &p->root);
		} else if (f.id == 4 && schema) {
			size_t n = thrift_structs(t, &f);

			for (size_t i = 0; i < n && !rc && !t->bad; i++)
				rc = group_read(p, t);
		} else if (f.id == 8) {
			rc = err_set(ERR_INPUT, "%s: an encrypted Parquet file is not supported", p->rows->name);
		} else {
			thrift_skip(t, &f);
		}
	}
	return rc ? rc : t->bad || !schema ? damaged(p, "its footer") : 0;
}

int parquet_rows(struct rows *r, const uint8_t *data, size_t len)
{
	struct parquet p = { .rows = r, .data = data, .len = len };
	struct thrift t = { 0 };
	size_t footer;
	int rc;

	if (len < 4 + FOOTER || memcmp(data + len - 4, "PAR1", 4) != 0) {
		if (len >= 4 && memcmp(data + len - 4, "PARE", 4) == 0)
			return err_set(ERR_INPUT, "%s: an encrypted Parquet file is not supported", r->name);
		return err_hint(damaged(&p, "it is cut off"), "is it committed whole?");
	}
	footer = (size_t)scalar_load(data + len - FOOTER, 4);
	if (footer > len - 4 - FOOTER)
		return damaged(&p, "its footer");
	t.at = data + len - FOOTER - footer;
	t.end = data + len - FOOTER;
	rc = footer_read(&p, &t);
	free(p.leaves);
	free(p.leaf_nodes);
	parquet_schema_release(&p.root);
	return rc;
}
