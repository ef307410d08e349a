/* digest.c: SHA-256 by OpenSSL's EVP, which uses the CPU's own instructions where there are some.
 *
 * Keys of stages are digests of several texts in a row. Text is fed with its length in front (8 bytes, little endian;
 * all ones for NULL), so that no two different rows of texts give the same bytes. A failure of EVP itself (no provider
 * for SHA-256) is a broken installation: nothing of ours can go on without digests, so it ends the process. */
#include "base/base.h"
#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

struct digest_ctx {
	EVP_MD_CTX *evp;
};

static void must(int ok)
{
	if (ok == 1)
		return;
	fprintf(stderr, "error: OpenSSL offers no SHA-256 (FIPS or provider settings?)\n");
	_exit(69);
}

struct digest_ctx *digest_new(void)
{
	struct digest_ctx *c = mem_alloc(sizeof(*c));

	c->evp = EVP_MD_CTX_new();
	must(c->evp != NULL);
	must(EVP_DigestInit_ex(c->evp, EVP_sha256(), NULL));
	return c;
}

void digest_add(struct digest_ctx *c, const void *data, size_t len)
{
	must(EVP_DigestUpdate(c->evp, data, len));
}

void digest_text(struct digest_ctx *c, const char *s)
{
	uint64_t len = s ? strlen(s) : UINT64_MAX;
	uint8_t head[8];

	for (int i = 0; i < 8; i++)
		head[i] = (uint8_t)(len >> 8 * i);
	digest_add(c, head, sizeof(head));
	if (s)
		digest_add(c, s, (size_t)len);
}

struct digest digest_end(struct digest_ctx *c)
{
	struct digest d;

	must(EVP_DigestFinal_ex(c->evp, d.bytes, NULL));
	EVP_MD_CTX_free(c->evp);
	free(c);
	return d;
}

struct digest digest_bytes(const void *data, size_t len)
{
	struct digest d;

	must(EVP_Digest(data, len, d.bytes, NULL, EVP_sha256(), NULL));
	return d;
}

int digest_file(struct digest *out, const char *path)
{
	struct digest_ctx *c;
	const size_t piece = 1 << 20;
	uint8_t *data;
	ssize_t n;
	int fd, saved, rc;
	struct stat st;

	rc = fs_open_read(&fd, &st, path);
	if (rc)
		return rc;
	c = digest_new();
	data = mem_alloc(piece);
	while ((n = read(fd, data, piece)) != 0) {
		if (n > 0)
			digest_add(c, data, (size_t)n);
		else if (errno != EINTR)
			break;
	}
	saved = errno;
	*out = digest_end(c);
	free(data);
	close(fd);
	errno = saved;
	return n < 0 ? err_errno(ERR_IO, "cannot read %s", path) : 0;
}

void digest_hex(char out[DIGEST_HEX], const struct digest *d)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(d->bytes); i++) {
		out[2 * i] = digits[d->bytes[i] >> 4];
		out[2 * i + 1] = digits[d->bytes[i] & 15];
	}
	out[DIGEST_HEX - 1] = '\0';
}

void digest_base64(char out[45], const struct digest *d)
{
	EVP_EncodeBlock((unsigned char *)out, d->bytes, sizeof(d->bytes));
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int digest_parse(struct digest *out, const char *hex)
{
	if (strnlen(hex, DIGEST_HEX) != DIGEST_HEX - 1)
		return err_set(ERR_INPUT, "\"%.80s\" is no digest: 64 lower-case hex digits are wanted", hex);
	for (size_t i = 0; i < sizeof(out->bytes); i++) {
		int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return err_set(ERR_INPUT, "\"%.80s\" is no digest: 64 lower-case hex digits are wanted", hex);
		out->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}
