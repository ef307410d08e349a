/* split.c: where a file is cut, so that what two files share is cut alike in both.
 *
 * Safetensors: the header is a piece, and each tensor is one; those below 64 KiB are joined with their neighbours, those
 * above 16 MiB cut every 16 MiB. A frozen layer is then the same piece in every fine-tune, which chunks by content would not
 * see any better (facts of ZipLLM: 8.3 % of a hub's bytes by tensors, 3.2 % by files). Every such piece has a key made of
 * names, types and shapes: what has the same key in another file is what a difference may be taken from.
 *
 * Anything else: chunks by content, with a rolling sum of a table of random numbers (gear), cut where its high bits are all
 * zero: 1 MiB on average, 256 KiB at least, 4 MiB at most. So an insertion changes the chunks that it touches, and the cuts
 * behind it are found again. Smaller chunks share little more (of a file of which the last tenth changed, 64 KiB kept 8.2 %
 * of its size, 1 MiB 10.1 %) and cost a file each.
 *
 * No law of the format: a file cut by other rules is read as well, and only shares less with what is cut by these. */
#include "base/base.h"
#include "base/json.h"

#include "artifacts/pieces.h"

#define SMALL ((size_t)64 << 10)
#define HEADER_MAX ((size_t)100 << 20)
#define CHUNK_MIN ((size_t)256 << 10)
#define CHUNK_MAX ((size_t)4 << 20)
#define CHUNK_MASK UINT64_C(0xfffff00000000000) /* 20 bits: 1 MiB behind the least */

void pieces_release(struct pieces *p)
{
	free(p->items);
	*p = (struct pieces){ NULL, 0, 0, 0 };
}

static void add(struct pieces *p, uint64_t len, uint64_t key, unsigned width)
{
	MEM_GROW(p->items, p->len, p->cap);
	p->items[p->len++] = (struct piece){ .at = p->size, .len = len, .key = key, .width = width };
	p->size += len;
}

/* ---- by content ------------------------------------------------------------------------------ */

/* splitmix64: any table will do, so long as it is always the same. */
static void gear_table(uint64_t table[256])
{
	uint64_t x = UINT64_C(0x6173736179); /* "assay" */

	for (int i = 0; i < 256; i++) {
		uint64_t z = x += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		table[i] = z ^ z >> 31;
	}
}

static size_t chunk(const uint64_t table[256], const uint8_t *data, size_t len)
{
	size_t end = len < CHUNK_MAX ? len : CHUNK_MAX, i = CHUNK_MIN;
	uint64_t sum = 0;

	if (len <= CHUNK_MIN)
		return len;
	for (; i < end; i++) {
		sum = (sum << 1) + table[data[i]];
		if (!(sum & CHUNK_MASK))
			return i + 1;
	}
	return end;
}

static void split_content(struct pieces *out, const uint8_t *data, size_t len)
{
	uint64_t table[256];

	gear_table(table);
	for (size_t at = 0; at < len;) {
		size_t n = chunk(table, data + at, len - at);

		add(out, n, 0, 1);
		at += n;
	}
}

/* ---- by tensors ------------------------------------------------------------------------------ */

struct tensor {
	uint64_t begin, end;
	const char *name;
	const json_t *about;
};

static int by_place(const void *a, const void *b)
{
	const struct tensor *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->name, y->name);
}

static unsigned width_of(const char *type)
{
	static const struct {
		const char *name;
		unsigned width;
	} types[] = { { "F64", 8 }, { "I64", 8 },  { "U64", 8 }, { "F32", 4 }, { "I32", 4 },
		      { "U32", 4 }, { "BF16", 2 }, { "F16", 2 }, { "I16", 2 }, { "U16", 2 } };

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(type, types[i].name))
			return types[i].width;
	return 1;
}

/* The tensors in the order of their places; false: this is not what a header says. */
static bool read_tensors(const json_t *header, uint64_t room, struct tensor **out, size_t *n)
{
	struct tensor *t = mem_array(json_object_size(header) + 1, sizeof(*t));
	const char *name;
	json_t *about;
	bool good = true;

	*n = 0;
	json_object_foreach((json_t *)(uintptr_t)header, name, about)
	{
		const json_t *place = json_object_get(about, "data_offsets");
		const json_t *begin = json_array_get(place, 0), *end = json_array_get(place, 1);

		if (!strcmp(name, "__metadata__"))
			continue;
		if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
		    json_integer_value(end) < json_integer_value(begin) || (uint64_t)json_integer_value(end) > room)
			good = false;
		else
			t[(*n)++] = (struct tensor){ (uint64_t)json_integer_value(begin),
						     (uint64_t)json_integer_value(end), name, about };
	}
	if (*n)
		qsort(t, *n, sizeof(*t), by_place);
	for (size_t i = 1; i < *n; i++)
		good = good && t[i].begin >= t[i - 1].end;
	*out = t;
	return good;
}

static uint64_t key_of(const struct digest *d, uint64_t part)
{
	uint64_t key;

	memcpy(&key, d->bytes, sizeof(key));
	key += part * UINT64_C(0x9e3779b97f4a7c15);
	return key ? key : 1;
}

/* A run of neighbours as pieces: t[0..n), `len` bytes in all. */
static void add_run(struct pieces *out, const struct tensor *t, size_t n, uint64_t len)
{
	struct digest_ctx *about = digest_new();
	struct buf text = BUF_INIT(1 << 20);
	unsigned width = n ? width_of(json_get_text(t[0].about, "dtype", "")) : 1;
	struct digest d;
	uint64_t part = 0;

	for (size_t i = 0; i < n; i++) {
		const char *type = json_get_text(t[i].about, "dtype", "");

		buf_clear(&text);
		if (json_is_array(json_object_get(t[i].about, "shape")))
			json_add(&text, json_object_get(t[i].about, "shape"));
		digest_text(about, t[i].name);
		digest_text(about, type);
		digest_text(about, buf_str(&text));
		if (width_of(type) != width)
			width = 1;
	}
	d = digest_end(about);
	do {
		uint64_t piece = len < PIECE_MAX ? len : PIECE_MAX;

		add(out, piece, n ? key_of(&d, part++) : 0, width);
		len -= piece;
	} while (len);
	buf_release(&text);
}

static void add_tensors(struct pieces *out, const struct tensor *t, size_t n, uint64_t room)
{
	uint64_t at = 0;

	for (size_t i = 0, k; i < n; i = k) {
		uint64_t end = t[i].end;

		if (t[i].begin > at) /* a hole that no tensor fills */
			add_run(out, NULL, 0, t[i].begin - at);
		at = t[i].begin;
		for (k = i + 1; k < n && end - at < SMALL && t[k].begin == end && t[k].end - t[k].begin < SMALL; k++)
			end = t[k].end;
		if (end > at)
			add_run(out, &t[i], k - i, end - at);
		at = end;
	}
	if (room > at)
		add_run(out, NULL, 0, room - at);
}

static bool split_tensors(struct pieces *out, const uint8_t *data, size_t len)
{
	struct tensor *t = NULL;
	json_t *header = NULL;
	uint64_t n = 0;
	size_t n_tensors = 0;
	bool good = false;

	for (int i = 0; len > 9 && i < 8; i++)
		n |= (uint64_t)data[i] << 8 * i;
	if (n < 2 || n > HEADER_MAX || n > len - 8 || data[8] != '{')
		return false;
	if (!json_parse(&header, (const char *)data + 8, (size_t)n, "header") && json_is_object(header)) {
		uint64_t room = len - 8 - n;

		good = read_tensors(header, room, &t, &n_tensors) && n_tensors;
		if (good) {
			add(out, 8 + n, 0, 1);
			add_tensors(out, t, n_tensors, room);
		}
	}
	err_clear();
	free(t);
	json_decref(header);
	return good;
}

void split_bytes(struct pieces *out, const uint8_t *data, size_t len)
{
	*out = (struct pieces){ NULL, 0, 0, 0 };
	if (!split_tensors(out, data, len))
		split_content(out, data, len);
}
