/* samples_pack.c: the stored form of a result, assay-samples/2: what a gate needs is read at once, the texts when asked for.
 *
 *	"assay-samples/2\n"
 *	text blocks     up to 256 samples each: of every sample a line of JSON with prompt, target, response, answers, hashes
 *	                and tokens, as samples.c writes them
 *	columns         one value of every sample, in order: id, slice, cluster (each ends with a NUL; an empty one: none); of
 *	                each metric scores (binary: a byte, else a double), weights, parts (doubles, little endian)
 *	index           the header of samples.c, with "blocks":[[samples, packed bytes, bytes], …] and "columns":[[packed
 *	                bytes, bytes], …]; they lie behind each other in this order
 *	place of the index, its packed bytes, its bytes (8 bytes each, little endian), "assayEND"
 *
 * Blocks, columns and index are zstd frames with a checksum of their own, so that what is damaged has a name, and what is
 * not can still be read. Opening reads index and columns and trusts nothing in them: as in samples.c counts must agree, ids
 * be unique, scores sound, and the values the stated ones. Texts are read by the block, once. */
#include "base/base.h"

#include <math.h>

#include "base/codec.h"
#include "evals/evals_int.h"

enum { MAGIC = 16, TAIL = 32, BLOCK_SAMPLES = 256, COLUMNS_MAX = 3 + 3 * 64 };
#define TEXTS_MAX ((uint64_t)256 << 20) /* bytes of a block */
#define COLUMN_MAX ((uint64_t)1 << 32)
#define INDEX_MAX ((uint64_t)256 << 20)

static const char magic[] = "assay-samples/2\n", family[] = "assay-samples/", tail_end[] = "assayEND";

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "columns are written as they lie in memory");

struct pack_block {
	size_t first, n;
	uint64_t at, packed, size;
	bool read, bad;
};
struct samples_pack {
	struct samples_bytes bytes;
	char *name;
	struct pack_block *blocks;
	size_t n;
};

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_u64(struct buf *out, uint64_t x)
{
	buf_add(out, &x, sizeof(x));
}

static json_t *pack_blocks(const struct task_result *t, struct buf *out)
{
	struct buf lines = BUF_INIT(BUF_NOLIMIT);
	json_t *blocks = json_array();

	for (size_t at = 0, n; at < t->n; at += n) {
		size_t packed;

		n = t->n - at < BLOCK_SAMPLES ? t->n - at : BLOCK_SAMPLES;
		buf_clear(&lines);
		for (size_t i = 0; i < n; i++) {
			json_t *line = sample_texts(&t->samples[at + i]);

			json_add(&lines, line);
			buf_addc(&lines, '\n');
			json_decref(line);
		}
		packed = codec_pack(out, buf_str(&lines), lines.len);
		json_array_append_new(blocks,
				      json_pack("[I,I,I]", (json_int_t)n, (json_int_t)packed, (json_int_t)lines.len));
	}
	buf_release(&lines);
	return blocks;
}

static void pack_column(json_t *columns, struct buf *out, const void *data, size_t len)
{
	size_t packed = codec_pack(out, data ? data : "", len);

	json_array_append_new(columns, json_pack("[I,I]", (json_int_t)packed, (json_int_t)len));
}

static void pack_names(json_t *columns, struct buf *out, const struct task_result *t, size_t offset)
{
	struct buf names = BUF_INIT(BUF_NOLIMIT);

	for (size_t i = 0; i < t->n; i++) {
		const char *name = *(char *const *)((const char *)&t->samples[i] + offset);

		buf_add(&names, name ? name : "", name ? strlen(name) + 1 : 1);
	}
	pack_column(columns, out, names.data, names.len);
	buf_release(&names);
}

static void pack_metric(json_t *columns, struct buf *out, const struct metric *m, size_t n)
{
	uint8_t *bits = m->binary ? mem_alloc(n + 1) : NULL;

	for (size_t i = 0; bits && i < n; i++)
		bits[i] = m->scores[i] == 1;
	pack_column(columns, out, bits ? (const void *)bits : m->scores, bits ? n : n * sizeof(double));
	free(bits);
	if (m->weights)
		pack_column(columns, out, m->weights, n * sizeof(double));
	if (m->parts)
		pack_column(columns, out, m->parts, n * m->n_parts * sizeof(double));
}

static const size_t name_columns[] = { offsetof(struct sample, id), offsetof(struct sample, slice),
				       offsetof(struct sample, cluster) };

void task_result_pack(const struct task_result *t, struct buf *out)
{
	json_t *index = samples_header(t, "assay-samples/2"), *columns = json_array();
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	size_t start = out->len, at, packed;

	buf_adds(out, magic);
	json_object_set_new(index, "blocks", pack_blocks(t, out));
	for (size_t i = 0; i < ARRAY_LEN(name_columns); i++)
		pack_names(columns, out, t, name_columns[i]);
	for (size_t k = 0; k < t->n_metrics; k++)
		pack_metric(columns, out, &t->metrics[k], t->n);
	json_object_set_new(index, "columns", columns);
	json_add(&text, index);
	at = out->len - start;
	packed = codec_pack(out, text.data, text.len);
	put_u64(out, at);
	put_u64(out, packed);
	put_u64(out, text.len);
	buf_adds(out, tail_end);
	json_decref(index);
	buf_release(&text);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct opening {
	struct task_result t;
	struct samples_pack *pack;
	uint64_t at; /* where the next frame begins */
	uint64_t end;
	json_t *index;
};

static int damaged(const struct samples_pack *p, const char *what, uint64_t at, uint64_t packed)
{
	return err_set(ERR_IO, "%s: %s is damaged (bytes %llu to %llu)", p->name, what, (unsigned long long)at,
		       (unsigned long long)(at + packed));
}

/* The frame that begins at `at`. */
static int unpack_frame(const struct samples_pack *p, const char *what, uint64_t at, uint64_t packed, void *to,
			uint64_t size)
{
	if (codec_unpack(CODEC_ZSTD, p->bytes.data + at, packed, to, size))
		return damaged(p, what, at, packed);
	return 0;
}

static int open_index(struct opening *o)
{
	struct samples_pack *p = o->pack;
	uint64_t tail[3];
	char *text;
	int rc;

	if (p->bytes.len < MAGIC + TAIL ||
	    memcmp(p->bytes.data + p->bytes.len - sizeof(tail_end) + 1, tail_end, sizeof(tail_end) - 1) != 0)
		return err_set(ERR_IO, "%s: cut short: the end of assay-samples/2 is missing", p->name);
	memcpy(tail, p->bytes.data + p->bytes.len - TAIL, sizeof(tail));
	o->end = p->bytes.len - TAIL;
	if (tail[0] < MAGIC || tail[0] > o->end || tail[1] != o->end - tail[0] || tail[2] > INDEX_MAX)
		return err_set(ERR_IO, "%s: the place of its index is damaged", p->name);
	o->end = tail[0];
	text = mem_alloc(tail[2] + 1);
	rc = unpack_frame(p, "the index", tail[0], tail[1], text, tail[2]);
	rc = rc ? rc : json_parse(&o->index, text, tail[2], p->name);
	free(text);
	return rc;
}

/* A row of the index: the next frame. */
static int next_frame(struct opening *o, const json_t *row, size_t members, const char *what, uint64_t *packed,
		      uint64_t *size, uint64_t most)
{
	json_int_t a = json_integer_value(json_array_get(row, members - 2));
	json_int_t b = json_integer_value(json_array_get(row, members - 1));

	if (json_array_size(row) != members || a < 1 || (uint64_t)a > o->end - o->at || b < 0 || (uint64_t)b > most)
		return err_set(ERR_INPUT, "%s: the index says of %s what cannot be", o->pack->name, what);
	*packed = (uint64_t)a;
	*size = (uint64_t)b;
	o->at += *packed;
	return 0;
}

static int open_blocks(struct opening *o)
{
	const json_t *rows = json_object_get(o->index, "blocks"), *row;
	struct samples_pack *p = o->pack;
	size_t i, first = 0;

	p->blocks = mem_array(json_array_size(rows) + 1, sizeof(*p->blocks));
	json_array_foreach(rows, i, row)
	{
		json_int_t n = json_integer_value(json_array_get(row, 0));
		struct pack_block *b = &p->blocks[p->n++];

		b->at = o->at;
		if (next_frame(o, row, 3, "a block", &b->packed, &b->size, TEXTS_MAX))
			return ERR_INPUT;
		if (n < 1 || (uint64_t)n > o->t.n - first)
			return err_set(ERR_INPUT, "%s: the blocks are not those of %zu samples", p->name, o->t.n);
		b->first = first;
		b->n = (size_t)n;
		first += b->n;
	}
	return first == o->t.n ? 0 : err_set(ERR_INPUT, "%s: the blocks are not those of %zu samples", p->name, o->t.n);
}

/* The next column, which the index must give, of `size` bytes if that is not 0; yours. */
static int open_column(struct opening *o, size_t *number, const char *what, uint64_t want, void **out, uint64_t *size)
{
	const json_t *row = json_array_get(json_object_get(o->index, "columns"), *number);
	uint64_t at = o->at, packed = 0;
	char name[128];

	*out = NULL;
	++*number;
	snprintf(name, sizeof(name), "the column of %s", what);
	if (next_frame(o, row, 2, name, &packed, size, COLUMN_MAX))
		return ERR_INPUT;
	if (want && *size != want)
		return err_set(ERR_INPUT, "%s: %s has %llu bytes, and needs %llu", o->pack->name, name,
			       (unsigned long long)*size, (unsigned long long)want);
	*out = mem_alloc(*size + 1);
	return unpack_frame(o->pack, name, at, packed, *out, *size);
}

static int open_names(struct opening *o, size_t *number, size_t offset, const char *what, bool needed)
{
	struct map seen;
	uint64_t size;
	void *data;
	int rc = open_column(o, number, what, 0, &data, &size);
	const char *s = data, *end = s ? s + size : NULL;

	map_init(&seen);
	for (size_t i = 0; i < o->t.n && !rc; i++) {
		const char *nul = s < end ? memchr(s, 0, (size_t)(end - s)) : NULL;
		char **to = (char **)((char *)&o->t.samples[i] + offset);

		if (!nul || nul - s > 1000 || (needed && nul == s))
			rc = err_set(ERR_INPUT, "%s: sample %zu has no %s, or too long a one", o->pack->name, i, what);
		else if (needed && !map_put(&seen, s, (size_t)(nul - s), (int64_t)i))
			rc = err_set(ERR_INPUT, "%s: the id \"%s\" is there twice", o->pack->name, s);
		else if (nul > s)
			*to = mem_strn(s, (size_t)(nul - s));
		s = nul ? nul + 1 : end;
	}
	if (!rc && s != end)
		rc = err_set(ERR_INPUT, "%s: the column of %s has more than %zu samples", o->pack->name, what, o->t.n);
	map_release(&seen);
	free(data);
	return rc;
}

static int open_reals(struct opening *o, size_t *number, const struct metric *m, double *to, size_t n)
{
	uint64_t size;
	void *data;
	int rc = open_column(o, number, m->name, mem_mul(n, sizeof(double)), &data, &size);

	if (!rc && n)
		memcpy(to, data, n * sizeof(double));
	for (size_t i = 0; i < n && !rc; i++)
		if (!isfinite(to[i]))
			rc = err_set(ERR_INPUT, "%s: a number of %s is not finite", o->pack->name, m->name);
	free(data);
	return rc;
}

static int open_bits(struct opening *o, size_t *number, const struct metric *m)
{
	const uint8_t *bits;
	uint64_t size;
	void *data;
	int rc = open_column(o, number, m->name, o->t.n, &data, &size);

	bits = data;
	for (size_t i = 0; i < o->t.n && !rc; i++) {
		m->scores[i] = bits[i];
		if (bits[i] > 1)
			rc = err_set(ERR_INPUT, "%s: the score of %s is neither 0 nor 1", o->pack->name, m->name);
	}
	free(data);
	return rc;
}

static int open_metric(struct opening *o, size_t *number, struct metric *m)
{
	size_t n = o->t.n;
	int rc = m->binary ? open_bits(o, number, m) : open_reals(o, number, m, m->scores, n);

	if (!rc && m->weights)
		rc = open_reals(o, number, m, m->weights, n);
	for (size_t i = 0; i < n && m->weights && !rc; i++)
		if (m->weights[i] < 0 ||
		    (!o->t.n_members && m->weights[i] == 0)) /* 0: a group's member has no such metric */
			rc = err_set(ERR_INPUT, "%s: a weight of %s is not positive", o->pack->name, m->name);
	if (!rc && m->parts)
		rc = open_reals(o, number, m, m->parts, mem_mul(n, m->n_parts));
	for (size_t i = 0; i < n && m->parts && !rc; i++)
		if (corpus_row_check(m->aggregate, m->parts + i * m->n_parts, m->n_parts))
			rc = err_context(ERR_INPUT, "%s: metric %s", o->pack->name, m->name);
	return rc;
}

static int open_columns(struct opening *o)
{
	static const char *const names[] = { "id", "slice", "cluster" };
	size_t number = 0;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(names) && !rc; i++)
		rc = open_names(o, &number, name_columns[i], names[i], i == 0);
	for (size_t k = 0; k < o->t.n_metrics && !rc; k++)
		rc = open_metric(o, &number, &o->t.metrics[k]);
	if (!rc && (number != json_array_size(json_object_get(o->index, "columns")) || o->at != o->end))
		rc = err_set(ERR_INPUT, "%s: there is more in it than its metrics say", o->pack->name);
	return rc;
}

static int open_packed(struct task_result *out, struct samples_bytes bytes, const char *name)
{
	struct opening o = { .at = MAGIC };
	int rc;

	o.t.pack = o.pack = mem_alloc(sizeof(*o.pack));
	*o.pack = (struct samples_pack){ .bytes = bytes, .name = mem_str(name) };
	rc = open_index(&o);
	if (!rc && samples_header_read(&o.t, o.index, "assay-samples/2", bytes.len * 256))
		rc = err_context(ERR_INPUT, "%s", name);
	rc = rc ? rc : open_blocks(&o);
	rc = rc ? rc : open_columns(&o);
	rc = rc ? rc : samples_close(&o.t, name, true);
	json_decref(o.index);
	if (rc)
		task_result_release(&o.t);
	else
		*out = o.t;
	return rc;
}

void samples_pack_close(struct samples_pack *p)
{
	if (!p)
		return;
	if (p->bytes.release)
		p->bytes.release(p->bytes.self);
	free(p->blocks);
	free(p->name);
	free(p);
}

int task_result_open(struct task_result *out, struct samples_bytes bytes, const char *name)
{
	const char *text = (const char *)bytes.data;
	int rc;

	*out = (struct task_result){ 0 };
	if (bytes.len >= MAGIC && memcmp(text, magic, MAGIC) == 0)
		return open_packed(out, bytes, name);
	if (bytes.len >= MAGIC && memcmp(text, family, sizeof(family) - 1) == 0) {
		rc = err_set(ERR_INPUT, "%s: samples of the form %.*s, which this assay does not know", name,
			     (int)strcspn(text, "\n") < 40 ? (int)strcspn(text, "\n") : 40, text);
		err_hint(rc, "a newer assay wrote them: install that one");
	} else {
		rc = task_result_read(out, text, bytes.len, name);
	}
	if (bytes.release)
		bytes.release(bytes.self);
	return rc;
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

struct texts {
	struct task_result *t;
	struct pack_block *b;
	size_t n;
};

static int text_line(json_t *v, size_t line, void *arg)
{
	struct texts *x = arg;

	(void)line;
	if (!json_is_object(v) || x->n == x->b->n)
		return err_set(ERR_INPUT, "a line of texts too many, or one that is no JSON object");
	sample_texts_read(&x->t->samples[x->b->first + x->n++], v);
	return 0;
}

static int read_block(struct task_result *t, struct pack_block *b)
{
	const struct samples_pack *p = t->pack;
	struct texts x = { t, b, 0 };
	char what[100], *text;
	int rc;

	snprintf(what, sizeof(what), "block %zu with the texts of samples %zu to %zu", (size_t)(b - p->blocks),
		 b->first, b->first + b->n - 1);
	if (b->read)
		return b->bad ? damaged(p, what, b->at, b->packed) : 0;
	b->read = true;
	text = mem_alloc(b->size + 1);
	rc = unpack_frame(p, what, b->at, b->packed, text, b->size);
	rc = rc ? rc : json_lines(text, b->size, p->name, text_line, &x);
	if (!rc && x.n != b->n)
		rc = err_set(ERR_INPUT, "%s: %s has %zu of them", p->name, what, x.n);
	b->bad = rc != 0;
	free(text);
	return rc;
}

int task_result_text(struct task_result *t, size_t i)
{
	size_t lo = 0, hi = t->pack ? t->pack->n : 0;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->pack->blocks[mid].first <= i)
			lo = mid;
		else
			hi = mid;
	}
	return hi ? read_block(t, &t->pack->blocks[lo]) : 0;
}

int task_result_texts(struct task_result *t)
{
	int rc = 0;

	for (size_t i = 0; t->pack && i < t->pack->n && !rc; i++)
		rc = read_block(t, &t->pack->blocks[i]);
	return rc;
}
