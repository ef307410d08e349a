/* codec.h: compressed blocks of known size. Not a part of base.h: needs the codecs' libraries. */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/base.h"

enum codec { CODEC_NONE, CODEC_SNAPPY, CODEC_GZIP, CODEC_ZSTD, CODEC_LZ4_BLOCK, CODEC_LZ4_FRAME };
/* Unpacks exactly out_len bytes. ERR_INPUT without a place. */
int codec_unpack(enum codec c, const uint8_t *in, size_t len, uint8_t *out, size_t out_len);
/* Adds a zstd frame with a checksum of its content, which unpacking verifies; gives its length. The same bytes for the same
 * bytes, of one version of the library. */
size_t codec_pack(struct buf *out, const void *data, size_t len);
size_t codec_pack_fast(struct buf *out, const void *data, size_t len); /* level 1: for the bytes of numbers */

#endif
