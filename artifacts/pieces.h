/* pieces.h: a file's content as a row of pieces: how it is cut (split.c), how the row is written down (pieces.c), and a
 * piece as its difference from another (delta.c). Bytes in memory alone; the store is in store_*.c. */
#ifndef ARTIFACTS_PIECES_H
#define ARTIFACTS_PIECES_H

#include "base/base.h"
#include "base/digest.h"

#define PIECE_MAX ((size_t)16 << 20)    /* of what we cut, but for a header of safetensors, which is one piece */
#define PIECE_BOUND ((size_t)128 << 20) /* of what is read */

struct piece {
	uint64_t at, len;
	uint64_t
		key; /* of what it is (a tensor's name, type and shape), 0: nothing said; equal keys may be near each other */
	unsigned width; /* bytes of a number in it */
	struct digest digest;
};
struct pieces {
	struct piece *items;
	size_t len, cap;
	uint64_t size; /* of all: they follow each other from 0 on */
};
void pieces_release(struct pieces *p);

/* Cuts content into pieces, whose digests are left open. */
void split_bytes(struct pieces *out, const uint8_t *data, size_t len);

/* The row as bytes, and back: ERR_INPUT without a place. */
void pieces_write(struct buf *out, const struct pieces *p);
int pieces_read(struct pieces *out, const uint8_t *data, size_t len);

/* What must be known beside base, of the same length, to have data. */
void delta_write(struct buf *out, const uint8_t *data, const uint8_t *base, size_t len, unsigned width);
int delta_read(uint8_t *out, size_t len, const uint8_t *base, const uint8_t *delta, size_t delta_len); /* ERR_INPUT */

#endif
