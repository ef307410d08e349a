/* thrift.c: Thrift's compact protocol, as far as Parquet's headers need it.
 *
 * A struct is a row of fields, each a byte (how much the id grew, the type) and a value; whole numbers are zigzag
 * varints. Unknown fields are skipped, since newer writers add some. A failure is kept in the reader and ends every loop:
 * callers look at it once, at the end. */
#include "base/base.h"

#include "base/rows_int.h"

enum { I8 = 3, I64 = 6, DOUBLE = 7, BINARY = 8, DEPTH_MAX = 32 };

static uint8_t next_byte(struct thrift *t)
{
	if (t->at < t->end && !t->bad)
		return *t->at++;
	t->bad = true;
	return 0;
}

static uint64_t varint(struct thrift *t)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 64; shift += 7) {
		uint8_t b = next_byte(t);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	t->bad = true;
	return 0;
}

static int64_t zigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

bool thrift_next(struct thrift *t, struct thrift_field *f)
{
	uint8_t b = next_byte(t);
	int64_t id;

	if (t->bad || b == THRIFT_STOP) {
		t->depth--;
		return false;
	}
	id = b >> 4 ? f->id + (b >> 4) : zigzag(varint(t));
	if (id <= 0 || id > INT16_MAX)
		t->bad = true;
	f->id = (int)id;
	f->type = b & 15;
	return !t->bad;
}

void thrift_begin(struct thrift *t, struct thrift_field *first)
{
	*first = (struct thrift_field){ 0, 0 };
	if (++t->depth > DEPTH_MAX)
		t->bad = true;
}

void thrift_enter(struct thrift *t, const struct thrift_field *f, struct thrift_field *first)
{
	if (f->type != THRIFT_STRUCT)
		t->bad = true;
	thrift_begin(t, first);
}

int64_t thrift_int(struct thrift *t, const struct thrift_field *f)
{
	if (f->type == I8)
		return (int8_t)next_byte(t);
	if (f->type > I8 && f->type <= I64)
		return zigzag(varint(t));
	t->bad = true;
	return 0;
}

bool thrift_flag(struct thrift *t, const struct thrift_field *f)
{
	if (f->type != THRIFT_TRUE && f->type != THRIFT_FALSE)
		t->bad = true;
	return f->type == THRIFT_TRUE;
}

const uint8_t *thrift_bytes(struct thrift *t, const struct thrift_field *f, size_t *len)
{
	uint64_t n = f->type == BINARY ? varint(t) : UINT64_MAX;
	const uint8_t *p = t->at;

	*len = 0;
	if (t->bad || n > (uint64_t)(t->end - t->at)) {
		t->bad = true;
		return (const uint8_t *)"";
	}
	t->at += n;
	*len = (size_t)n;
	return p;
}

/* Size and element type of a list; the elements take a byte each at least. */
static size_t list_begin(struct thrift *t, int *type)
{
	uint8_t b = next_byte(t);
	uint64_t n = b >> 4 == 15 ? varint(t) : b >> 4;

	*type = b & 15;
	if (n > (uint64_t)(t->end - t->at))
		t->bad = true;
	return t->bad ? 0 : (size_t)n;
}

size_t thrift_structs(struct thrift *t, const struct thrift_field *f)
{
	int type;
	size_t n = f->type == THRIFT_LIST ? list_begin(t, &type) : 0;

	if (f->type != THRIFT_LIST || (n && type != THRIFT_STRUCT))
		t->bad = true;
	return t->bad ? 0 : n;
}

static void skip_map(struct thrift *t)
{
	uint64_t n = varint(t);
	uint8_t types = n ? next_byte(t) : 0;
	struct thrift_field key = { 0, types >> 4 }, value = { 0, types & 15 };

	for (uint64_t i = 0; i < n && !t->bad; i++) {
		if (key.type <= THRIFT_FALSE)
			next_byte(t);
		else
			thrift_skip(t, &key);
		if (value.type <= THRIFT_FALSE)
			next_byte(t);
		else
			thrift_skip(t, &value);
	}
}

void thrift_skip(struct thrift *t, const struct thrift_field *f)
{
	struct thrift_field inner = { 0, 0 };
	size_t n;

	if (t->bad)
		return;
	switch (f->type) {
	case THRIFT_TRUE:
	case THRIFT_FALSE: /* the type is the value */
		return;
	case DOUBLE:
		for (int i = 0; i < 8; i++)
			next_byte(t);
		return;
	case BINARY:
		thrift_bytes(t, f, &n);
		return;
	case THRIFT_LIST:
	case THRIFT_SET:
		n = list_begin(t, &inner.type);
		if (++t->depth > DEPTH_MAX)
			t->bad = true;
		for (size_t i = 0; i < n && !t->bad; i++) {
			if (inner.type <= THRIFT_FALSE) /* in a list they take a byte */
				next_byte(t);
			else
				thrift_skip(t, &inner);
		}
		t->depth--;
		return;
	case THRIFT_MAP:
		if (++t->depth > DEPTH_MAX)
			t->bad = true;
		skip_map(t);
		t->depth--;
		return;
	case THRIFT_STRUCT:
		thrift_enter(t, f, &inner);
		while (thrift_next(t, &inner))
			thrift_skip(t, &inner);
		return;
	default:
		thrift_int(t, f);
	}
}
