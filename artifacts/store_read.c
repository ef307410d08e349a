/* store_read.c: objects read back, every one against its name.
 *
 * store_get() gives all of it, store_stream() pieces (whose digest is known behind the last), store_view_open() a file. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { PIECE = 1 << 20 };

int store_verify_one(struct store *s, const char *vault, const char *hex, uint64_t *size)
{
	char *path = store_file(s, vault, hex);
	char found[DIGEST_HEX];
	struct digest d;
	int rc = store_name_check(hex);

	if (!rc && !store_there(s, vault, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc && size)
		rc = fs_size(size, path);
	if (!rc)
		rc = digest_file(&d, path);
	if (!rc) {
		digest_hex(found, &d);
		if (strcmp(found, hex))
			rc = store_quarantine(s, vault, hex, "its content has another digest");
	}
	free(path);
	return rc;
}

int store_read(struct store *s, const char *vault, const char *hex, struct buf *out, size_t max)
{
	char *path = store_file(s, vault, hex);
	char found[DIGEST_HEX];
	struct buf b = BUF_INIT(max);
	struct digest d;
	int rc = store_name_check(hex);

	if (!rc && !store_there(s, vault, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc)
		rc = fs_read(&b, path, max);
	if (!rc) {
		d = digest_bytes(b.data ? b.data : "", b.len);
		digest_hex(found, &d);
		if (strcmp(found, hex))
			rc = store_quarantine(s, vault, hex, "its content has another digest");
	}
	if (!rc) {
		buf_add(out, buf_str(&b), b.len);
		if (buf_full(out))
			rc = err_set(ERR_INPUT, "%s is longer than there is room for", hex);
	}
	buf_release(&b);
	free(path);
	return rc;
}

int store_get(struct store *s, const char *hex, struct buf *out, size_t max)
{
	buf_clear(out);
	return store_read(s, VAULT_OBJECTS, hex, out, max);
}

int store_stream(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg), void *arg)
{
	char *path = store_file(s, VAULT_OBJECTS, hex), *piece = NULL;
	struct digest_ctx *ctx = digest_new();
	char found[DIGEST_HEX];
	struct digest d;
	ssize_t n = 0;
	int fd = -1, rc = store_name_check(hex);

	if (!rc && !store_there(s, VAULT_OBJECTS, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) /* style: allow: reading */
		rc = err_errno(ERR_IO, "%s", path);
	piece = mem_alloc(PIECE);
	while (!rc && (n = read(fd, piece, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = err_errno(ERR_IO, "reading %s", path);
			break;
		}
		digest_add(ctx, piece, (size_t)n);
		rc = put(piece, (size_t)n, arg);
	}
	d = digest_end(ctx);
	digest_hex(found, &d);
	if (!rc && strcmp(found, hex))
		rc = store_quarantine(s, VAULT_OBJECTS, hex, "its content has another digest");
	if (fd >= 0)
		close(fd);
	free(piece);
	free(path);
	return rc;
}

int store_size(struct store *s, const char *hex, uint64_t *size)
{
	char *path = store_file(s, VAULT_OBJECTS, hex);
	int rc = store_name_check(hex);

	rc = rc ? rc : fs_size(size, path);
	free(path);
	return rc == ERR_NOTFOUND ? err_set(rc, "%s is not in the store", hex) : rc;
}

/* ---- views ----------------------------------------------------------------------------------- */

int store_view_open(struct store_view *v, struct store *s, const char *hex)
{
	int rc = store_name_check(hex);

	*v = (struct store_view){ NULL, false };
	if (!rc && !store_there(s, VAULT_OBJECTS, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc)
		v->path = store_file(s, VAULT_OBJECTS, hex);
	return rc;
}

void store_view_close(struct store_view *v)
{
	if (v->temporary && v->path)
		unlink(v->path);
	free(v->path);
	*v = (struct store_view){ NULL, false };
}
