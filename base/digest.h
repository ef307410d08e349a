/* digest.h: SHA-256 by OpenSSL. Not a part of base.h: needs libcrypto. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/base.h"

struct digest {
	uint8_t bytes[32];
};
#define DIGEST_HEX 65 /* 64 digits and a NUL */

struct digest digest_bytes(const void *data, size_t len);
int digest_file(struct digest *out, const char *path);
void digest_hex(char out[DIGEST_HEX], const struct digest *d);
/* As a web page's Content-Security-Policy names it: 44 characters of base64 and a NUL. */
void digest_base64(char out[45], const struct digest *d);
int digest_parse(struct digest *out, const char *hex); /* exactly 64 lower-case digits; else ERR_INPUT */
bool digest_equal(const struct digest *a, const struct digest *b);

/* In pieces. digest_text() feeds a length and the bytes, so that ("ab","c") and ("a","bc") differ. */
struct digest_ctx;
struct digest_ctx *digest_new(void);
void digest_add(struct digest_ctx *c, const void *data, size_t len);
void digest_text(struct digest_ctx *c, const char *s); /* NULL is a value of its own */
struct digest digest_end(struct digest_ctx *c);        /* and frees it */

#endif
