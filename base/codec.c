/* codec.c: one compressed block into memory of its known size, each codec by its library. Nothing is guessed: a block
 * that gives fewer or more bytes than it says is damaged. What is written here is zstd. */
#include "base/codec.h"

#define ZLIB_CONST
#include <lz4.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

/* gzip or zlib; several members may follow each other. */
static bool gzip_unpack(const uint8_t *in, size_t len, uint8_t *out, size_t out_len)
{
	z_stream z = { .next_in = in, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)out_len };
	int rc;

	if (len > UINT32_MAX || out_len > UINT32_MAX || inflateInit2(&z, 15 + 32) != Z_OK)
		return false;
	do {
		rc = inflate(&z, Z_FINISH);
	} while (rc == Z_STREAM_END && z.avail_in && z.avail_out && inflateReset(&z) == Z_OK);
	inflateEnd(&z);
	return rc == Z_STREAM_END && !z.avail_out;
}

static bool lz4_frame_unpack(const uint8_t *in, size_t len, uint8_t *out, size_t out_len)
{
	LZ4F_dctx *ctx = NULL;
	size_t got = 0, used = 0, hint = 1;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
		return false;
	while (hint && used < len) {
		size_t n_out = out_len - got, n_in = len - used;

		hint = LZ4F_decompress(ctx, out + got, &n_out, in + used, &n_in, NULL);
		if (LZ4F_isError(hint) || (!n_in && !n_out))
			break;
		got += n_out;
		used += n_in;
	}
	LZ4F_freeDecompressionContext(ctx);
	return hint == 0 && got == out_len;
}

int codec_unpack(enum codec c, const uint8_t *in, size_t len, uint8_t *out, size_t out_len)
{
	size_t n = out_len;
	bool ok = false;

	switch (c) {
	case CODEC_NONE:
		ok = len == out_len;
		if (ok && len)
			memcpy(out, in, len);
		break;
	case CODEC_SNAPPY:
		ok = snappy_uncompressed_length((const char *)in, len, &n) == SNAPPY_OK && n == out_len &&
		     snappy_uncompress((const char *)in, len, (char *)out, &n) == SNAPPY_OK;
		break;
	case CODEC_GZIP:
		ok = gzip_unpack(in, len, out, out_len);
		break;
	case CODEC_ZSTD:
		ok = ZSTD_decompress(out, out_len, in, len) == out_len;
		break;
	case CODEC_LZ4_BLOCK:
		ok = len <= INT32_MAX && out_len <= INT32_MAX &&
		     LZ4_decompress_safe((const char *)in, (char *)out, (int)len, (int)out_len) == (int)out_len;
		break;
	case CODEC_LZ4_FRAME:
		ok = lz4_frame_unpack(in, len, out, out_len);
		break;
	}
	return ok ? 0 : err_set(ERR_INPUT, "a compressed block is damaged");
}

static size_t pack(struct buf *out, const void *data, size_t len, int level)
{
	size_t room = ZSTD_compressBound(len), n;
	char *packed = mem_alloc(room);
	ZSTD_CCtx *ctx = ZSTD_createCCtx();

	ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
	n = ZSTD_compress2(ctx, packed, room, data, len);
	ZSTD_freeCCtx(ctx);
	if (ZSTD_isError(n)) /* there is room: only memory can be short, as in base/mem.c */
		abort();
	buf_add(out, packed, n);
	free(packed);
	return n;
}

size_t codec_pack(struct buf *out, const void *data, size_t len)
{
	return pack(out, data, len, ZSTD_CLEVEL_DEFAULT);
}

size_t codec_pack_fast(struct buf *out, const void *data, size_t len)
{
	return pack(out, data, len, 1);
}
