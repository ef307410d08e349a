/* parquet_values.c: the values of a Parquet page, in the encodings of the format, as slices of bytes.
 *
 * Whatever can stay where it is (plain numbers and texts, dictionary entries) is a slice into the page or the dictionary;
 * what must be computed (deltas, split streams, booleans, shared prefixes) gets memory of its own, counted as held. All
 * numbers end up little endian, as they are in the plain encoding. */
#include "base/base.h"

#include "base/rows_int.h"

enum { PREFIXED_MAX = 256 << 20, MINIBLOCKS_MAX = 512 };

static int short_page(void)
{
	return err_set(ERR_INPUT, "a page ends before its values do");
}

/* ---- runs and packs of small numbers ------------------------------------------------------------------------------- */

/* A varint of at most 64 bits; false at the end. */
static bool varint(uint64_t *out, const uint8_t **p, const uint8_t *end)
{
	*out = 0;
	for (int shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		*out |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

/* Number i of those packed from p on, bits each, the lowest first. len: of p; what is beyond it reads as 0. */
static uint64_t unpack_bits(const uint8_t *p, size_t len, size_t i, int bits)
{
	uint64_t v = 0;
	size_t at = i * (size_t)bits;

	for (int got = 0; got < bits;) {
		size_t byte = at >> 3;
		int shift = (int)(at & 7), take = 8 - shift < bits - got ? 8 - shift : bits - got;

		if (byte < len)
			v |= (uint64_t)(p[byte] >> shift & ((1 << take) - 1)) << got;
		got += take;
		at += (size_t)take;
	}
	return v;
}

int rle_read(uint32_t *out, size_t n, int bits, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;
	size_t got = 0;

	if (bits < 0 || bits > 32)
		return err_set(ERR_INPUT, "numbers of %d bits", bits);
	while (got < n) {
		uint64_t head, count;

		if (!varint(&head, &p, end) || !(head >> 1))
			return short_page();
		count = head >> 1;
		if (head & 1) { /* packs of eight */
			size_t bytes;

			count = count > (n - got + 7) / 8 ? n - got : 8 * count;
			count = count < n - got ? count : n - got;
			bytes = ((size_t)count * (size_t)bits + 7) / 8;
			if (bytes > (size_t)(end - p))
				return short_page();
			for (size_t i = 0; i < count; i++)
				out[got++] = (uint32_t)unpack_bits(p, bytes, i, bits);
			bytes = (size_t)(head >> 1) * (size_t)bits; /* whole packs, but the last may be cut */
			p += bytes < (size_t)(end - p) ? bytes : (size_t)(end - p);
		} else {
			int width = (bits + 7) / 8;
			uint32_t v;

			if (width > end - p)
				return short_page();
			v = (uint32_t)scalar_load(p, width);
			p += width;
			for (count = count < n - got ? count : n - got; count; count--)
				out[got++] = v;
		}
	}
	return 0;
}

/* ---- deltas ---------------------------------------------------------------------------------------------------------- */

static int64_t zigzag(uint64_t v)
{
	return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

/* DELTA_BINARY_PACKED: n whole numbers, no more; *p ends behind them. Sums wrap, as the format says. */
static int deltas_read(int64_t *out, size_t n, const uint8_t **p, const uint8_t *end)
{
	uint64_t block, minis, total, first, at, per;
	size_t got = 0;

	if (!n) /* some writers leave out the header too */
		return 0;
	if (!varint(&block, p, end) || !varint(&minis, p, end) || !varint(&total, p, end) || !varint(&first, p, end))
		return short_page();
	if (!minis || minis > MINIBLOCKS_MAX || !block || block > 1 << 24 || block % minis || block / minis % 8)
		return err_set(ERR_INPUT, "a block of %llu deltas in %llu parts", (unsigned long long)block,
			       (unsigned long long)minis);
	if (total != n)
		return err_set(ERR_INPUT, "%llu deltas for %zu values", (unsigned long long)total, n);
	at = (uint64_t)zigzag(first);
	per = block / minis;
	out[got++] = (int64_t)at;
	while (got < n) {
		const uint8_t *widths;
		uint64_t least;

		if (!varint(&least, p, end) || minis > (uint64_t)(end - *p))
			return short_page();
		least = (uint64_t)zigzag(least);
		widths = *p;
		*p += minis;
		for (uint64_t m = 0; m < minis && got < n; m++) {
			size_t bytes = (size_t)(per / 8) * widths[m], have = (size_t)(end - *p);

			if (widths[m] > 64)
				return err_set(ERR_INPUT, "deltas of %d bits", widths[m]);
			if (bytes > have && (size_t)((n - got) * widths[m] + 7) / 8 > have)
				return short_page();
			for (uint64_t i = 0; i < per && got < n; i++) {
				at += least + unpack_bits(*p, have, (size_t)i, widths[m]);
				out[got++] = (int64_t)at;
			}
			*p += bytes < have ? bytes : have;
		}
	}
	return 0;
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static int own_bytes(struct parquet_values *v, struct rows *r, size_t n)
{
	int rc = rows_hold(r, n);

	if (rc)
		return rc;
	v->held += n;
	v->own = mem_alloc(n ? n : 1);
	return 0;
}

static int own_slices(struct parquet_values *v, struct rows *r, size_t n)
{
	size_t bytes = mem_mul(n, sizeof(*v->slices));
	int rc = rows_work(r, bytes); /* values may be stored in no bytes */

	rc = rc ? rc : rows_hold(r, bytes);
	if (rc)
		return rc;
	v->held += bytes;
	v->slices = mem_array(n + 1, sizeof(*v->slices));
	v->n = n;
	return 0;
}

void parquet_values_release(struct parquet_values *v, struct rows *r)
{
	r->held -= v->held;
	free(v->own);
	free(v->slices);
	memset(v, 0, sizeof(*v));
}

/* ---- encodings ------------------------------------------------------------------------------------------------------- */

static int plain_read(struct parquet_values *v, struct rows *r, const struct parquet_node *leaf, const uint8_t *p,
		      size_t len)
{
	size_t at = 0, n = v->n;
	int rc;

	if (leaf->type == PQ_BOOLEAN) {
		if ((n + 7) / 8 > len)
			return short_page();
		rc = own_bytes(v, r, n);
		for (size_t i = 0; i < n && !rc; i++) {
			v->own[i] = p[i >> 3] >> (i & 7) & 1;
			v->slices[i] = (struct slice){ &v->own[i], 1 };
		}
		return rc;
	}
	for (size_t i = 0; i < n; i++) {
		size_t size = (size_t)leaf->width;

		if (leaf->type == PQ_BYTES) {
			if (len - at < 4)
				return short_page();
			size = (size_t)scalar_load(p + at, 4);
			at += 4;
		}
		if (size > len - at)
			return short_page();
		v->slices[i] = (struct slice){ p + at, size };
		at += size;
	}
	return 0;
}

static int dictionary_read(struct parquet_values *v, struct rows *r, const uint8_t *p, size_t len,
			   const struct parquet_values *dictionary)
{
	size_t bytes = mem_mul(v->n, sizeof(uint32_t));
	uint32_t *index;
	int rc = 0;

	if (!v->n)
		return 0;
	if (!len)
		return short_page();
	rc = rows_hold(r, bytes);
	if (rc)
		return rc;
	index = mem_array(v->n, sizeof(*index));
	rc = rle_read(index, v->n, p[0], p + 1, len - 1);
	for (size_t i = 0; i < v->n && !rc; i++) {
		if (index[i] >= dictionary->n)
			rc = err_set(ERR_INPUT, "entry %u of a dictionary of %zu", index[i], dictionary->n);
		else
			v->slices[i] = dictionary->slices[index[i]];
	}
	free(index);
	r->held -= bytes;
	return rc;
}

static int booleans_read(struct parquet_values *v, struct rows *r, const uint8_t *p, size_t len)
{
	size_t n = len < 4 ? 0 : (size_t)scalar_load(p, 4);
	uint32_t *bits;
	int rc;

	if (len < 4 || n > len - 4)
		return short_page();
	rc = own_bytes(v, r, mem_mul(v->n, sizeof(*bits)));
	if (rc)
		return rc;
	bits = (uint32_t *)(void *)v->own;
	rc = rle_read(bits, v->n, 1, p + 4, n);
	for (size_t i = 0; i < v->n && !rc; i++) {
		v->own[i] = (uint8_t)bits[i]; /* i is never ahead of the bits that are still to be read */
		v->slices[i] = (struct slice){ &v->own[i], 1 };
	}
	return rc;
}

/* Numbers of a delta encoding, in memory of their own; *p ends behind them. */
static int lengths_read(int64_t **out, struct rows *r, size_t n, const uint8_t **p, const uint8_t *end)
{
	size_t bytes = mem_mul(n, sizeof(**out));
	int rc = rows_hold(r, bytes);

	*out = NULL;
	if (rc)
		return rc;
	*out = mem_array(n + 1, sizeof(**out));
	return deltas_read(*out, n, p, end);
}

static void lengths_free(int64_t *lengths, struct rows *r, size_t n)
{
	if (lengths)
		r->held -= n * sizeof(*lengths);
	free(lengths);
}

static int delta_ints_read(struct parquet_values *v, struct rows *r, const struct parquet_node *leaf, const uint8_t *p,
			   size_t len)
{
	int64_t *n;
	int rc = lengths_read(&n, r, v->n, &p, p + len);

	rc = rc ? rc : own_bytes(v, r, mem_mul(v->n, (size_t)leaf->width));
	for (size_t i = 0; i < v->n && !rc; i++) {
		uint8_t *to = v->own + i * (size_t)leaf->width;

		for (int k = 0; k < leaf->width; k++)
			to[k] = (uint8_t)((uint64_t)n[i] >> 8 * k);
		v->slices[i] = (struct slice){ to, (size_t)leaf->width };
	}
	lengths_free(n, r, v->n);
	return rc;
}

static int delta_lengths_read(struct parquet_values *v, struct rows *r, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;
	int64_t *n;
	int rc = lengths_read(&n, r, v->n, &p, end);

	for (size_t i = 0; i < v->n && !rc; i++) {
		if (n[i] < 0 || n[i] > end - p)
			rc = short_page();
		else
			v->slices[i] = (struct slice){ p, (size_t)n[i] };
		p += rc ? 0 : n[i];
	}
	lengths_free(n, r, v->n);
	return rc;
}

/* Each text is the beginning of the one before it, and a rest. */
static int delta_bytes_read(struct parquet_values *v, struct rows *r, const uint8_t *p, size_t len)
{
	struct parquet_values rest = { 0 };
	const uint8_t *end = p + len;
	size_t total = 0, before = 0, at = 0;
	int64_t *same;
	int rc = lengths_read(&same, r, v->n, &p, end);

	rc = rc ? rc : own_slices(&rest, r, v->n);
	rc = rc ? rc : delta_lengths_read(&rest, r, p, (size_t)(end - p));
	for (size_t i = 0; i < v->n && !rc; i++) {
		if (same[i] < 0 || (uint64_t)same[i] > before)
			rc = err_set(ERR_INPUT, "a text shares more with the one before it than that has");
		else
			before = (size_t)same[i] + rest.slices[i].len;
		total += before;
		if (!rc && total > PREFIXED_MAX)
			rc = err_set(ERR_INPUT, "a page of texts of more than %d MiB", PREFIXED_MAX >> 20);
	}
	rc = rc ? rc : own_bytes(v, r, total);
	for (size_t i = 0; i < v->n && !rc; i++) {
		size_t keep = (size_t)same[i];

		if (keep)
			memcpy(v->own + at, v->slices[i - 1].data, keep);
		if (rest.slices[i].len)
			memcpy(v->own + at + keep, rest.slices[i].data, rest.slices[i].len);
		v->slices[i] = (struct slice){ v->own + at, keep + rest.slices[i].len };
		at += v->slices[i].len;
	}
	lengths_free(same, r, v->n);
	parquet_values_release(&rest, r);
	return rc;
}

/* BYTE_STREAM_SPLIT: first bytes of all values, then all second bytes … */
static int split_read(struct parquet_values *v, struct rows *r, const struct parquet_node *leaf, const uint8_t *p,
		      size_t len)
{
	size_t w = (size_t)leaf->width, bytes = mem_mul(v->n, w);
	int rc;

	if (bytes > len)
		return short_page();
	rc = own_bytes(v, r, bytes);
	for (size_t i = 0; i < v->n && !rc; i++) {
		for (size_t k = 0; k < w; k++)
			v->own[i * w + k] = p[k * v->n + i];
		v->slices[i] = (struct slice){ v->own + i * w, w };
	}
	return rc;
}

static int check_widths(const struct parquet_values *v, const struct parquet_node *leaf)
{
	for (size_t i = 0; i < v->n; i++)
		if (leaf->width && v->slices[i].len != (size_t)leaf->width)
			return err_set(ERR_INPUT, "a value of %zu bytes instead of %d", v->slices[i].len, leaf->width);
	return 0;
}

int parquet_values_read(struct parquet_values *out, struct rows *r, const struct parquet_node *leaf, int encoding,
			size_t n, const uint8_t *p, size_t len, const struct parquet_values *dictionary)
{
	bool is_int = leaf->type == PQ_INT32 || leaf->type == PQ_INT64;
	bool is_bytes = leaf->type == PQ_BYTES || leaf->type == PQ_FIXED;
	int rc = own_slices(out, r, n);

	if (rc)
		return rc;
	if (encoding == PQ_PLAIN)
		return plain_read(out, r, leaf, p, len);
	if (encoding == PQ_PLAIN_DICTIONARY || encoding == PQ_RLE_DICTIONARY)
		return dictionary_read(out, r, p, len, dictionary);
	if (encoding == PQ_RLE && leaf->type == PQ_BOOLEAN)
		return booleans_read(out, r, p, len);
	if (encoding == PQ_DELTA_INTS && is_int)
		return delta_ints_read(out, r, leaf, p, len);
	if (encoding == PQ_DELTA_LENGTHS && leaf->type == PQ_BYTES)
		return delta_lengths_read(out, r, p, len);
	if (encoding == PQ_DELTA_BYTES && is_bytes) {
		rc = delta_bytes_read(out, r, p, len);
		return rc ? rc : check_widths(out, leaf);
	}
	if (encoding == PQ_STREAM_SPLIT && leaf->width && leaf->type != PQ_BOOLEAN)
		return split_read(out, r, leaf, p, len);
	return err_set(ERR_INPUT, "the encoding %d of a page is not supported for its type", encoding);
}
