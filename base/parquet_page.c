/* parquet_page.c: a column chunk, page by page.
 *
 * A chunk is a row of pages: perhaps a dictionary, then data. A data page holds entries: repetition levels, definition
 * levels, and the values of those entries that are defined to the end. Version 1 compresses all three together, version 2
 * the values alone. Some writers leave the dictionary in the middle of a chunk and go on in plain pages.
 *
 * Only one page of each column is in memory, however large the chunk is. */
#include "base/base.h"

#include "base/rows_int.h"

enum page_type { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_2 };
enum { PAGE_VALUES_MAX = 1 << 24, PAGE_COST = 256 };
enum { LEVELS_RLE = 3 };

struct page_header {
	int type, encoding, def_encoding, rep_encoding;
	int64_t size, packed, n, def_len, rep_len; /* bytes unpacked and as stored, values, bytes of levels */
	bool compressed;
};

/* ---- header ---------------------------------------------------------------------------------------------------------- */

/* The header of one kind of page: 5 data, 7 dictionary, 8 data of version 2. */
static void kind_header(struct thrift *t, struct page_header *h, const struct thrift_field *of)
{
	bool first = of->id == 5, second = of->id == 8;
	struct thrift_field f;

	thrift_enter(t, of, &f);
	while (thrift_next(t, &f)) {
		if (f.id == 1)
			h->n = thrift_int(t, &f);
		else if (f.id == (second ? 4 : 2))
			h->encoding = (int)thrift_int(t, &f);
		else if (second && f.id == 5)
			h->def_len = thrift_int(t, &f);
		else if (second && f.id == 6)
			h->rep_len = thrift_int(t, &f);
		else if (second && f.id == 7)
			h->compressed = thrift_flag(t, &f);
		else if (first && f.id == 3)
			h->def_encoding = (int)thrift_int(t, &f);
		else if (first && f.id == 4)
			h->rep_encoding = (int)thrift_int(t, &f);
		else
			thrift_skip(t, &f);
	}
}

static int header_read(struct page_header *h, struct parquet_leaf *l)
{
	struct thrift t = { .at = l->at, .end = l->end };
	struct thrift_field f;

	*h = (struct page_header){
		.type = -1, .compressed = true, .def_encoding = LEVELS_RLE, .rep_encoding = LEVELS_RLE
	};
	thrift_begin(&t, &f);
	while (thrift_next(&t, &f)) {
		if (f.id == 1)
			h->type = (int)thrift_int(&t, &f);
		else if (f.id == 2)
			h->size = thrift_int(&t, &f);
		else if (f.id == 3)
			h->packed = thrift_int(&t, &f);
		else if (f.id == 5 || f.id == 7 || f.id == 8)
			kind_header(&t, h, &f);
		else
			thrift_skip(&t, &f);
	}
	if (t.bad)
		return err_set(ERR_INPUT, "the header of a page is damaged");
	l->at = t.at;
	if (h->size < 0 || h->packed < 0 || h->packed > l->end - l->at)
		return err_set(ERR_INPUT, "a page goes beyond its column");
	if (h->n < 0 || h->n > PAGE_VALUES_MAX)
		return err_set(ERR_INPUT, "a page of %lld values (at most %d)", (long long)h->n, PAGE_VALUES_MAX);
	return 0;
}

/* ---- bytes ----------------------------------------------------------------------------------------------------------- */

static int unpack_into(const struct parquet_leaf *l, uint8_t *out, size_t out_len, const uint8_t *in, size_t len)
{
	static const enum codec codecs[] = {
		[0] = CODEC_NONE, [1] = CODEC_SNAPPY, [2] = CODEC_GZIP, [6] = CODEC_ZSTD, [7] = CODEC_LZ4_BLOCK
	};
	static const char *const refused[] = { [3] = "LZO", [4] = "brotli", [5] = "the older LZ4" };
	int rc;

	if (l->codec >= 3 && l->codec <= 5) {
		rc = err_set(ERR_INPUT, "compressed by %s, which is not supported", refused[l->codec]);
		return err_hint(rc, "write the file with compression zstd or snappy");
	}
	if (l->codec < 0 || l->codec >= (int)ARRAY_LEN(codecs))
		return err_set(ERR_INPUT, "compressed by a codec %d, which is not known", l->codec);
	return codec_unpack(codecs[l->codec], in, len, out, out_len);
}

/* The page's bytes, unpacked; those of levels in front, `plain` of them, are never compressed. */
static int page_bytes(const uint8_t **data, uint8_t **own, size_t *held, struct parquet_leaf *l,
		      const struct page_header *h, size_t plain)
{
	const uint8_t *in = l->at;
	size_t size = (size_t)h->size, packed = (size_t)h->packed;
	int rc;

	l->at += packed;
	rc = rows_work(l->rows, size);
	if (rc)
		return rc;
	if (l->codec == 0 || !h->compressed) {
		if (size != packed)
			return err_set(ERR_INPUT, "a page of %zu bytes says it has %zu", packed, size);
		*data = in;
		return 0;
	}
	if (plain > size || plain > packed)
		return err_set(ERR_INPUT, "the levels of a page go beyond it");
	rc = rows_hold(l->rows, size);
	if (rc)
		return rc;
	*held = size;
	*own = mem_try_aligned(size ? size : 1);
	if (!*own)
		return err_set(ERR_UNAVAILABLE, "out of memory (a page of %zu bytes)", size);
	if (plain)
		memcpy(*own, in, plain);
	*data = *own;
	if (size == plain && packed == plain) /* no values: nothing was compressed */
		return 0;
	return unpack_into(l, *own + plain, size - plain, in + plain, packed - plain);
}

/* ---- levels ---------------------------------------------------------------------------------------------------------- */

static int bits_for(int max)
{
	int bits = 0;

	while (max >> bits)
		bits++;
	return bits;
}

/* len: of version 2; negative: the bytes say it themselves. *p moves behind the levels. */
static int levels_read(uint32_t *out, size_t n, int max, int encoding, int64_t len, const uint8_t **p,
		       const uint8_t *end)
{
	int rc;

	if (!max) { /* nothing is stored */
		if (len > 0)
			*p += len;
		return 0;
	}
	if (encoding != LEVELS_RLE)
		return err_set(ERR_INPUT, "levels in the encoding %d, which is not supported", encoding);
	if (len < 0) {
		if (end - *p < 4)
			return err_set(ERR_INPUT, "a page ends within its levels");
		len = (int64_t)scalar_load(*p, 4);
		*p += 4;
	}
	if (len > end - *p)
		return err_set(ERR_INPUT, "a page ends within its levels");
	rc = rle_read(out, n, bits_for(max), *p, (size_t)len);
	for (size_t i = 0; i < n && !rc; i++)
		if (out[i] > (uint32_t)max)
			rc = err_set(ERR_INPUT, "a level of %u where %d is the highest", out[i], max);
	*p += len;
	return rc;
}

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

static void page_drop(struct parquet_leaf *l)
{
	parquet_values_release(&l->values, l->rows);
	l->rows->held -= l->page_held;
	free(l->page);
	free(l->def);
	free(l->rep);
	l->page = NULL;
	l->def = l->rep = NULL;
	l->page_held = 0;
	l->n = l->i = l->v = 0;
}

static int dictionary_load(struct parquet_leaf *l, const struct page_header *h)
{
	const uint8_t *data;
	int rc;

	if (l->dictionary.slices)
		return err_set(ERR_INPUT, "a column with two dictionaries");
	rc = page_bytes(&data, &l->dictionary_page, &l->dictionary_held, l, h, 0);
	if (rc)
		return rc;
	if (h->encoding != PQ_PLAIN && h->encoding != PQ_PLAIN_DICTIONARY)
		return err_set(ERR_INPUT, "a dictionary in the encoding %d, which is not supported", h->encoding);
	return parquet_values_read(&l->dictionary, l->rows, l->node, PQ_PLAIN, (size_t)h->n, data, (size_t)h->size,
				   NULL);
}

static int data_load(struct parquet_leaf *l, const struct page_header *h)
{
	bool second = h->type == PAGE_DATA_2;
	size_t n = (size_t)h->n, there = n, held = 0, levels = mem_mul(n, 2 * sizeof(uint32_t));
	const uint8_t *p, *end;
	int rc;

	if (h->n > l->left)
		return err_set(ERR_INPUT, "a column with more values than it says");
	if (second && (h->def_len < 0 || h->rep_len < 0 || h->def_len + h->rep_len > h->size))
		return err_set(ERR_INPUT, "the levels of a page go beyond it");
	page_drop(l);
	l->left -= h->n;
	rc = page_bytes(&p, &l->page, &held, l, h, second ? (size_t)(h->def_len + h->rep_len) : 0);
	l->page_held = held;
	rc = rc ? rc : rows_work(l->rows, levels);
	rc = rc ? rc : rows_hold(l->rows, levels);
	if (rc)
		return rc;
	l->page_held += levels;
	end = p + h->size;
	l->def = mem_array(n + 1, sizeof(*l->def));
	l->rep = mem_array(n + 1, sizeof(*l->rep));
	rc = levels_read(l->rep, n, l->node->rep, h->rep_encoding, second ? h->rep_len : -1, &p, end);
	rc = rc ? rc : levels_read(l->def, n, l->node->def, h->def_encoding, second ? h->def_len : -1, &p, end);
	for (size_t i = 0; i < n && !rc; i++)
		there -= l->def[i] < (uint32_t)l->node->def;
	rc = rc ? rc
		: parquet_values_read(&l->values, l->rows, l->node, h->encoding, there, p, (size_t)(end - p),
				      &l->dictionary);
	l->n = rc ? 0 : n;
	return rc;
}

int parquet_leaf_peek(struct parquet_leaf *l, bool *there, uint32_t *def, uint32_t *rep)
{
	while (l->i == l->n && l->left > 0) {
		struct page_header h;
		int rc = header_read(&h, l);

		rc = rc ? rc
			: rows_work(l->rows, PAGE_COST); /* one without values, too: groups may name it over and over */
		if (!rc && h.type == PAGE_DICTIONARY)
			rc = dictionary_load(l, &h);
		else if (!rc && (h.type == PAGE_DATA || h.type == PAGE_DATA_2))
			rc = data_load(l, &h);
		else if (!rc)
			l->at += h.packed;
		if (rc)
			return err_context(rc, "%s: column %s", l->rows->name, l->node->name);
	}
	*there = l->i < l->n;
	*def = *there ? l->def[l->i] : 0;
	*rep = *there ? l->rep[l->i] : 0;
	return 0;
}

const struct slice *parquet_leaf_next(struct parquet_leaf *l)
{
	bool has = l->def[l->i++] == (uint32_t)l->node->def;

	return has ? &l->values.slices[l->v++] : NULL;
}

void parquet_leaf_release(struct parquet_leaf *l)
{
	page_drop(l);
	parquet_values_release(&l->dictionary, l->rows);
	l->rows->held -= l->dictionary_held;
	free(l->dictionary_page);
	l->dictionary_page = NULL;
	l->dictionary_held = 0;
	l->left = 0;
}
