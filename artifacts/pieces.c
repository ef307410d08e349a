/* pieces.c: a row of pieces written down, little-endian:
 *
 *	u64 size of all    u64 number of pieces
 *	each:  32 bytes SHA-256 of the piece    u64 its length    u64 its key    u64 its width
 *
 * Who reads it believes nothing: the lengths must be above 0 and add up, and the bytes end behind the last. */
#include "base/base.h"

#include "artifacts/pieces.h"

enum { HEAD = 16, ROW = 32 + 24 };

static void put(struct buf *out, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	buf_add(out, b, sizeof(b));
}

static uint64_t get(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

void pieces_write(struct buf *out, const struct pieces *p)
{
	put(out, p->size);
	put(out, p->len);
	for (size_t i = 0; i < p->len; i++) {
		buf_add(out, p->items[i].digest.bytes, sizeof(p->items[i].digest.bytes));
		put(out, p->items[i].len);
		put(out, p->items[i].key);
		put(out, p->items[i].width);
	}
}

int pieces_read(struct pieces *out, const uint8_t *data, size_t len)
{
	uint64_t n = len >= HEAD ? get(data + 8) : 0;
	int rc = 0;

	*out = (struct pieces){ NULL, 0, 0, 0 };
	if (len < HEAD || n > (len - HEAD) / ROW || n * ROW != len - HEAD)
		return err_set(ERR_INPUT, "a row of pieces is cut off or too long");
	out->items = mem_array((size_t)n + 1, sizeof(*out->items));
	for (const uint8_t *p = data + HEAD; !rc && out->len < n; p += ROW) {
		struct piece *x = &out->items[out->len++];

		memcpy(x->digest.bytes, p, sizeof(x->digest.bytes));
		x->at = out->size;
		x->len = get(p + 32);
		x->key = get(p + 40);
		x->width = (unsigned)get(p + 48);
		if (!x->len || x->len > PIECE_BOUND || !x->width || get(p + 48) > 8)
			rc = err_set(ERR_INPUT, "piece %zu of a row has an impossible length or width", out->len - 1);
		else
			out->size += x->len;
	}
	if (!rc && out->size != get(data))
		rc = err_set(ERR_INPUT, "the pieces of a row are not as long as all of it");
	if (rc)
		pieces_release(out);
	return rc;
}
