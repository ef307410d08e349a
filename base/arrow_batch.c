/* arrow_batch.c: a batch of rows of an Arrow stream, and the value at any place in it.
 *
 * A batch has a node for each field in depth-first order (how many values, how many nulls) and the buffers of all fields
 * in the same order: validity bits; offsets of texts and lists; data. Sizes of buffers are checked when it is opened,
 * offsets when a value is asked for. Where a whole batch is compressed, each buffer is so by itself, behind its length.
 *
 * An array of indices gives the dictionary's values, which are shared, not copied. */
#include "base/base.h"

#include "base/arrow_int.h"

enum { BUFFER = 16, NODE = 16, CELL_COST = 64, LZ4 = 0, ZSTD = 1, VIEW = 16, VIEW_INLINE = 12 };

struct batch_reader {
	struct arrow_batch *batch;
	const struct arrow_dictionaries *dictionaries;
	struct flatbuffer *b;
	size_t nodes, n_nodes, node; /* vector, its length, the next one */
	size_t views, n_views, view; /* the same for numbers of buffers of views */
	size_t buffer;               /* the next one */
};

static int damaged(const char *what)
{
	return err_set(ERR_INPUT, "a damaged Arrow batch: %s", what);
}

/* ---- buffers --------------------------------------------------------------------------------------------------------- */

static int buffer_unpack(struct arrow_batch *batch, size_t i, int64_t codec)
{
	struct slice *s = &batch->buffers[i];
	int64_t size = s->len >= 8 ? (int64_t)scalar_load(s->data, 8) : 0;
	int rc;

	if (s->len == 0)
		return 0;
	if (s->len < 8 || size < -1)
		return damaged("a compressed buffer without its length");
	s->data += 8;
	s->len -= 8;
	if (size == -1) /* it was not worth it */
		return 0;
	rc = rows_work(batch->rows, (size_t)size);
	rc = rc ? rc : rows_hold(batch->rows, (size_t)size);
	if (rc)
		return rc;
	batch->held += (size_t)size;
	batch->own[i] = mem_try_aligned(size ? (size_t)size : 1);
	if (!batch->own[i])
		return err_set(ERR_UNAVAILABLE, "out of memory (a buffer of %lld bytes)", (long long)size);
	rc = codec_unpack(codec == ZSTD ? CODEC_ZSTD : CODEC_LZ4_FRAME, s->data, s->len, batch->own[i], (size_t)size);
	*s = (struct slice){ batch->own[i], (size_t)size };
	return rc;
}

static int buffers_open(struct arrow_batch *batch, struct flatbuffer *b, size_t table, struct slice body)
{
	size_t vector = fb_vector(b, table, 2, BUFFER, &batch->n_buffers), compression = fb_table(b, table, 3);
	int64_t codec = compression ? fb_int(b, compression, 0, 1, LZ4) : -1;
	int rc = rows_hold(batch->rows, mem_mul(batch->n_buffers, sizeof(struct slice) + sizeof(uint8_t *)));

	if (rc) {
		batch->n_buffers = 0;
		return rc;
	}
	batch->held += batch->n_buffers * (sizeof(struct slice) + sizeof(uint8_t *));
	batch->buffers = mem_array(batch->n_buffers + 1, sizeof(*batch->buffers));
	batch->own = mem_array(batch->n_buffers + 1, sizeof(*batch->own));
	if (compression && codec != LZ4 && codec != ZSTD)
		return err_set(ERR_INPUT, "Arrow buffers compressed by a codec %lld, which is not known",
			       (long long)codec);
	for (size_t i = 0; i < batch->n_buffers && !rc; i++) {
		int64_t at = fb_load(b, vector + i * BUFFER, 8), len = fb_load(b, vector + i * BUFFER + 8, 8);

		if (at < 0 || len < 0 || (uint64_t)at > body.len || (uint64_t)len > body.len - (uint64_t)at)
			return damaged("a buffer outside its body");
		batch->buffers[i] = (struct slice){ body.data + at, (size_t)len };
		if (compression)
			rc = buffer_unpack(batch, i, codec);
	}
	return rc;
}

/* The next buffer, which must hold at least n units of so many bits. */
static int buffer_next(struct slice *out, struct batch_reader *r, size_t n, size_t bits)
{
	if (r->buffer >= r->batch->n_buffers)
		return damaged("a buffer is missing");
	*out = r->batch->buffers[r->buffer++];
	if (mem_mul(n, bits) > mem_mul(out->len, 8))
		return damaged("a buffer is too short");
	return 0;
}

/* ---- arrays ---------------------------------------------------------------------------------------------------------- */

static int dictionary_find(struct arrow_array *a, const struct arrow_dictionaries *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].id == a->field->dictionary)
			a->dictionary = d->items[i].values;
	return a->dictionary ? 0 : damaged("a dictionary is missing");
}

static int views_open(struct arrow_array *a, struct batch_reader *r)
{
	int64_t n = r->view < r->n_views ? fb_load(r->b, r->views + 8 * r->view, 8) : -1;

	r->view++;
	if (n < 0 || (uint64_t)n > r->batch->n_buffers - r->buffer)
		return damaged("the buffers of a view are missing");
	a->views = r->batch->buffers + r->buffer;
	a->n_views = (size_t)n;
	r->buffer += (size_t)n;
	return 0;
}

static int array_buffers(struct arrow_array *a, struct batch_reader *r, bool indices)
{
	const struct arrow_field *f = a->field;
	size_t width = 8 * (size_t)f->offset_width;
	int rc;

	if (indices)
		return buffer_next(&a->data, r, a->n, 8 * (size_t)f->index_width);
	switch (f->kind) {
	case ARROW_SCALAR:
		return buffer_next(&a->data, r, a->n, 8 * (size_t)f->scalar.width);
	case ARROW_BOOL:
		return buffer_next(&a->data, r, a->n, 1);
	case ARROW_TEXT:
		rc = buffer_next(&a->offsets, r, a->n ? a->n + 1 : 0, width);
		return rc ? rc : buffer_next(&a->data, r, 0, 0);
	case ARROW_LIST:
	case ARROW_MAP:
		return buffer_next(&a->offsets, r, a->n ? a->n + 1 : 0, width);
	case ARROW_VIEW:
		rc = buffer_next(&a->data, r, a->n, 8 * VIEW);
		return rc ? rc : views_open(a, r);
	default:
		return 0;
	}
}

/* values: of a dictionary's field, not its indices. */
static int array_open(struct arrow_array *a, struct batch_reader *r, const struct arrow_field *f, bool values)
{
	size_t node = r->nodes + r->node * NODE;
	int64_t n, nulls;
	struct slice valid = { NULL, 0 };
	int rc = 0;

	if (r->node++ >= r->n_nodes)
		return damaged("a column is missing");
	n = fb_load(r->b, node, 8);
	nulls = fb_load(r->b, node + 8, 8);
	if (n < 0 || nulls < 0 || nulls > n || (uint64_t)n > SIZE_MAX / 256)
		return damaged("a column of no length");
	a->field = f;
	a->n = (size_t)n;
	if (f->kind == ARROW_NULL && !(f->encoded && !values))
		return 0;
	rc = buffer_next(&valid, r, nulls ? a->n : 0, 1);
	a->valid = !rc && nulls ? valid.data : NULL;
	rc = rc ? rc : array_buffers(a, r, f->encoded && !values);
	if (!rc && f->encoded && !values)
		return dictionary_find(a, r->dictionaries);
	a->children = mem_array(f->n + 1, sizeof(*a->children));
	for (size_t i = 0; i < f->n && !rc; i++) {
		rc = array_open(&a->children[i], r, &f->children[i], false);
		if (!rc && f->kind == ARROW_STRUCT && a->children[i].n < a->n)
			rc = damaged("a column is shorter than its struct");
		if (!rc && f->kind == ARROW_FIXED_LIST && a->children[i].n < mem_mul(a->n, (size_t)f->size))
			rc = damaged("a column is shorter than its lists");
	}
	return rc;
}

static void array_close(struct arrow_array *a)
{
	for (size_t i = 0; a->children && i < a->field->n; i++)
		array_close(&a->children[i]);
	free(a->children);
	a->children = NULL;
}

int arrow_batch_open(struct arrow_batch *out, struct rows *r, const struct arrow_field *root, bool values,
		     const struct arrow_dictionaries *d, struct flatbuffer *b, size_t table, struct slice body)
{
	struct batch_reader reader = { .batch = out, .dictionaries = d, .b = b };
	int64_t n = fb_int(b, table, 0, 8, 0);
	int rc;

	*out = (struct arrow_batch){ .rows = r };
	reader.nodes = fb_vector(b, table, 1, NODE, &reader.n_nodes);
	reader.views = fb_vector(b, table, 4, 8, &reader.n_views);
	rc = buffers_open(out, b, table, body);
	if (!rc && n < 0)
		rc = damaged("a negative number of rows");
	out->n = (size_t)n;
	if (!rc && values) {
		rc = array_open(&out->root, &reader, root, true);
		if (!rc && out->root.n < out->n)
			rc = damaged("a dictionary is shorter than it says");
	} else if (!rc) {
		out->root = (struct arrow_array){ .field = root, .n = out->n };
		out->root.children = mem_array(root->n + 1, sizeof(*out->root.children));
		for (size_t i = 0; i < root->n && !rc; i++) {
			rc = array_open(&out->root.children[i], &reader, &root->children[i], false);
			if (!rc && out->root.children[i].n < out->n)
				rc = damaged("a column is shorter than its batch");
		}
	}
	if (!rc && b->bad)
		rc = damaged("its description");
	if (rc)
		arrow_batch_close(out);
	return rc;
}

void arrow_batch_close(struct arrow_batch *batch)
{
	array_close(&batch->root);
	for (size_t i = 0; batch->own && i < batch->n_buffers; i++)
		free(batch->own[i]);
	free(batch->own);
	free(batch->buffers);
	batch->rows->held -= batch->held;
	*batch = (struct arrow_batch){ .rows = batch->rows };
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static int scalar_value(json_t **out, struct rows *r, const struct scalar *s, const uint8_t *p, size_t len)
{
	int rc = rows_give(r, len);

	rc = rc ? rc : scalar_json(out, s, p, len);
	return rc ? rc : rows_made(r, *out);
}

/* Where the text or list i lies, within `limit`. */
static int range_get(const struct arrow_array *a, size_t i, size_t limit, size_t *from, size_t *to)
{
	size_t w = (size_t)a->field->offset_width;

	*from = (size_t)scalar_load(a->offsets.data + i * w, (int)w);
	*to = (size_t)scalar_load(a->offsets.data + (i + 1) * w, (int)w);
	return *from <= *to && *to <= limit ? 0 : damaged("an offset outside its column");
}

static int view_value(json_t **out, struct rows *r, const struct arrow_array *a, size_t i)
{
	const uint8_t *v = a->data.data + i * VIEW;
	size_t len = (size_t)scalar_load(v, 4), buffer = (size_t)scalar_load(v + 8, 4),
	       at = (size_t)scalar_load(v + 12, 4);

	if (len <= VIEW_INLINE)
		return scalar_value(out, r, &a->field->scalar, v + 4, len);
	if (buffer >= a->n_views || at > a->views[buffer].len || len > a->views[buffer].len - at)
		return damaged("a view outside its buffers");
	return scalar_value(out, r, &a->field->scalar, a->views[buffer].data + at, len);
}

static int index_value(json_t **out, const struct arrow_array *a, size_t i)
{
	int w = a->field->index_width;
	uint64_t index = scalar_load(a->data.data + i * (size_t)w, w);

	if (index >= json_array_size(a->dictionary)) /* a negative one too */
		return damaged("an index outside its dictionary");
	*out = json_incref(json_array_get(a->dictionary, (size_t)index));
	return 0;
}

static int struct_value(json_t **out, struct rows *r, const struct arrow_array *a, size_t i)
{
	int set, rc;

	*out = json_object();
	rc = rows_made(r, *out);
	for (size_t k = 0; k < a->field->n && !rc; k++) {
		json_t *v = NULL;

		rc = arrow_value(&v, r, &a->children[k], i);
		rc = rc && a->children[k].field->n == 0 ? err_context(rc, "column %s", a->field->children[k].name) : rc;
		set = rows_set(r, *out, a->field->children[k].name, v);
		rc = rc ? rc : set;
	}
	return rc;
}

/* A pair of a map. */
static int pair_value(json_t **out, struct rows *r, const struct arrow_array *a, size_t i)
{
	int set, rc;

	*out = json_array();
	rc = rows_made(r, *out);
	for (size_t k = 0; k < a->field->n && !rc; k++) {
		json_t *v = NULL;

		rc = arrow_value(&v, r, &a->children[k], i);
		set = rows_append(r, *out, v);
		rc = rc ? rc : set;
	}
	return rc;
}

static int list_value(json_t **out, struct rows *r, const struct arrow_array *a, size_t from, size_t to)
{
	const struct arrow_array *inner = &a->children[0];
	int set, rc;

	*out = json_array();
	rc = rows_made(r, *out);
	for (size_t i = from; i < to && !rc; i++) {
		json_t *v = NULL;

		rc = rows_give(r, CELL_COST);
		if (!rc)
			rc = a->field->kind == ARROW_MAP ? pair_value(&v, r, inner, i) : arrow_value(&v, r, inner, i);
		set = rows_append(r, *out, v);
		rc = rc ? rc : set;
	}
	return rc;
}

int arrow_value(json_t **out, struct rows *r, const struct arrow_array *a, size_t i)
{
	const struct arrow_field *f = a->field;
	size_t from = 0, to = 0, size = (size_t)f->scalar.width;
	uint8_t bit;
	int rc = rows_give(r, CELL_COST);

	if (rc || (a->valid && !(a->valid[i >> 3] >> (i & 7) & 1)))
		return rc;
	if (a->dictionary)
		return index_value(out, a, i);
	switch (f->kind) {
	case ARROW_NULL:
		return 0;
	case ARROW_SCALAR:
		return scalar_value(out, r, &f->scalar, a->data.data + i * size, size);
	case ARROW_BOOL:
		bit = a->data.data[i >> 3] >> (i & 7) & 1;
		return scalar_value(out, r, &f->scalar, &bit, 1);
	case ARROW_TEXT:
		rc = range_get(a, i, a->data.len, &from, &to);
		return rc ? rc : scalar_value(out, r, &f->scalar, a->data.data + from, to - from);
	case ARROW_VIEW:
		return view_value(out, r, a, i);
	case ARROW_LIST:
	case ARROW_MAP:
		rc = range_get(a, i, a->children[0].n, &from, &to);
		return rc ? rc : list_value(out, r, a, from, to);
	case ARROW_FIXED_LIST:
		return list_value(out, r, a, i * (size_t)f->size, (i + 1) * (size_t)f->size);
	case ARROW_STRUCT:
		return struct_value(out, r, a, i);
	}
	return err_set(ERR_BUG, "an Arrow field of kind %d", (int)f->kind);
}
