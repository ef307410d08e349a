/* flatbuffer.c: reading tables of FlatBuffers, with every offset checked.
 *
 * A table begins with the distance back to its vtable: its own size, the table's size, then for each field its distance
 * from the table's beginning, 0 where the field is left out. Vectors, texts and tables lie behind a distance of 4 bytes. A
 * failure is kept in the reader and everything reads as absent from there on. */
#include "base/base.h"

#include "base/arrow_int.h"

static bool inside(struct flatbuffer *b, size_t at, size_t n)
{
	if (b->bad || at > b->len || n > b->len - at)
		b->bad = true;
	return !b->bad;
}

int64_t fb_load(struct flatbuffer *b, size_t at, int width)
{
	int shift = 64 - 8 * width;

	if (!inside(b, at, (size_t)width))
		return 0;
	return (int64_t)(scalar_load(b->data + at, width) << shift) >> shift;
}

/* What the distance at `at` leads to; 0 for one that leads nowhere. */
static size_t follow(struct flatbuffer *b, size_t at)
{
	uint32_t distance = (uint32_t)fb_load(b, at, 4);

	return !b->bad && distance && inside(b, at + distance, 4) ? at + distance : 0;
}

size_t fb_root(struct flatbuffer *b)
{
	return follow(b, 0);
}

/* Where a field lies, 0 if it is left out. */
static size_t field_at(struct flatbuffer *b, size_t table, int field)
{
	size_t slot = 4 + 2 * (size_t)field;
	uint16_t size, at;
	int64_t vtable;

	if (!table || b->bad)
		return 0;
	vtable = (int64_t)table - fb_load(b, table, 4);
	if (vtable < 0 || !inside(b, (size_t)vtable, 4)) {
		b->bad = true;
		return 0;
	}
	size = (uint16_t)fb_load(b, (size_t)vtable, 2);
	if (slot + 2 > size)
		return 0;
	at = (uint16_t)fb_load(b, (size_t)vtable + slot, 2);
	return at && !b->bad ? table + at : 0;
}

size_t fb_table(struct flatbuffer *b, size_t table, int field)
{
	size_t at = field_at(b, table, field);

	return at ? follow(b, at) : 0;
}

int64_t fb_int(struct flatbuffer *b, size_t table, int field, int width, int64_t otherwise)
{
	size_t at = field_at(b, table, field);

	return at ? fb_load(b, at, width) : otherwise;
}

size_t fb_vector(struct flatbuffer *b, size_t table, int field, size_t width, size_t *n)
{
	size_t at = fb_table(b, table, field);

	*n = at ? (uint32_t)fb_load(b, at, 4) : 0;
	if (!at || !inside(b, at + 4, mem_mul(*n, width))) {
		*n = 0;
		return 0;
	}
	return at + 4;
}

size_t fb_element(struct flatbuffer *b, size_t vector, size_t i)
{
	return follow(b, vector + 4 * i);
}

const char *fb_text(struct flatbuffer *b, size_t table, int field, size_t *len)
{
	size_t at = fb_vector(b, table, field, 1, len);

	return at ? (const char *)b->data + at : "";
}
