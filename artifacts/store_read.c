/* store_read.c: objects read back, every one against its name.
 *
 * store_get() gives all of it, store_stream() pieces (whose digest is known behind the last), store_view_open() a file. */
#include "base/base.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { PIECE = 1 << 20 };

/* A folder or a pipe under the name is damage like any other. */
static int not_there(struct store *s, const char *vault, const char *hex, const char *path)
{
	struct stat st;

	return lstat(path, &st) ? store_absent(s, hex, "") : store_quarantine(s, vault, hex, "it is no file");
}

int store_verify_one(struct store *s, const char *vault, const char *hex, uint64_t *size)
{
	char *path = store_file(s, vault, hex);
	char found[DIGEST_HEX];
	struct digest d;
	int rc = store_name_check(hex);

	if (!rc && !store_there(s, vault, hex))
		rc = not_there(s, vault, hex, path);
	if (!rc && size)
		rc = fs_size(size, path);
	if (!rc)
		rc = digest_file(&d, path);
	if (!rc) {
		digest_hex(found, &d);
		if (strcmp(found, hex)) {
			rc = store_quarantine(s, vault, hex, "its content has another digest");
			store_index_drop(s); /* it may have places in it */
		}
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
		rc = not_there(s, vault, hex, path);
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

static int get_part(const void *data, size_t len, void *out)
{
	buf_add(out, data, len);
	return buf_full(out) ? err_set(ERR_INPUT, "the object is longer than there is room for") : 0;
}

int store_get(struct store *s, const char *hex, struct buf *out, size_t max)
{
	struct buf b = BUF_INIT(max);
	int rc;

	buf_clear(out);
	if (store_there(s, VAULT_OBJECTS, hex) || !store_has(s, hex))
		return store_read(s, VAULT_OBJECTS, hex, out, max);
	rc = store_stream(s, hex, get_part, &b);
	if (!rc)
		buf_add(out, buf_str(&b), b.len);
	buf_release(&b);
	return rc;
}

static int wrong_digest(struct store *s, const char *hex)
{
	int rc = store_quarantine(s, VAULT_OBJECTS, hex, "its content has another digest");

	store_index_drop(s); /* it may have places in it */
	return rc;
}

/* A whole object: mapped, the digest taken by another thread than the one that hands out. */
static int stream_whole(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg),
			void *arg)
{
	char *path = store_file(s, VAULT_OBJECTS, hex), found[DIGEST_HEX];
	int fd = open(path, O_RDONLY | O_CLOEXEC); /* style: allow: reading */
	struct digester digester;
	struct digest d;
	struct fs_map map;
	int rc = fs_map_open(&map, path);

	if (!rc && fd < 0)
		rc = err_errno(ERR_IO, "%s", path);
	digester_open(&digester, fd);
	if (!rc)
		digester_ready(&digester, map.len);
	for (size_t at = 0; !rc && at < map.len; at += PIECE)
		rc = put(map.data + at, map.len - at < PIECE ? map.len - at : PIECE, arg);
	if (rc)
		digester_drop(&digester);
	else
		rc = digester_close(&digester, &d);
	if (!rc) {
		digest_hex(found, &d);
		rc = strcmp(found, hex) ? wrong_digest(s, hex) : 0;
	}
	fs_map_close(&map);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

int store_copy_out(struct store *s, const char *hex, struct fs_temp *t, uint64_t *size)
{
	char *path = store_file(s, VAULT_OBJECTS, hex), found[DIGEST_HEX];
	int fd = open(path, O_RDONLY | O_CLOEXEC); /* style: allow: reading */
	struct digest d;
	int rc = fd < 0 ? err_errno(ERR_IO, "%s", path) : store_copy(fd, t, &d, size);

	if (!rc) {
		digest_hex(found, &d);
		rc = strcmp(found, hex) ? wrong_digest(s, hex) : 0;
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

/* A piece: a difference, or a part of a whole object. */
static int stream_piece(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg),
			void *arg)
{
	struct buf body = BUF_INIT(SEALED_MAX);
	char base[DIGEST_HEX];
	struct digest d, found;
	uint64_t len = 0;
	uint8_t *data = NULL;
	int64_t at;
	int rc = digest_parse(&d, hex);

	if (!rc && store_there(s, VAULT_DELTAS, hex))
		rc = parts_delta(s, hex, &body, base, &len);
	rc = rc || s->index ? rc : store_index_load(s, false);
	at = rc ? -1 : store_index_find(s, &d);
	if (at >= 0)
		len = s->index->items[at].piece.len;
	else if (!rc && !store_there(s, VAULT_DELTAS, hex))
		rc = store_absent(s, hex, "");
	if (!rc && len > PIECE_BOUND)
		rc = store_quarantine(s, VAULT_DELTAS, hex, "it says an impossible length");
	if (!rc) {
		data = mem_alloc((size_t)len + 1);
		rc = parts_fetch(s, &d, data, (size_t)len);
	}
	if (!rc)
		found = digest_bytes(data, (size_t)len);
	if (!rc && !digest_equal(&found, &d)) {
		const struct piece x = { .len = len, .digest = d };

		rc = parts_blame_piece(s, &x);
		rc = rc ? rc : err_set(ERR_IO, "%s is damaged", hex);
		store_index_drop(s);
	}
	rc = rc ? rc : put(data, (size_t)len, arg);
	free(data);
	buf_release(&body);
	return rc;
}

int store_stream(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg), void *arg)
{
	int rc = store_name_check(hex);

	if (rc)
		return rc;
	if (store_there(s, VAULT_OBJECTS, hex))
		return stream_whole(s, hex, put, arg);
	return store_there(s, VAULT_RECIPES, hex) ? parts_stream(s, hex, put, arg) : stream_piece(s, hex, put, arg);
}

int store_size(struct store *s, const char *hex, uint64_t *size)
{
	char *path = store_file(s, VAULT_OBJECTS, hex), base[DIGEST_HEX];
	struct buf body = BUF_INIT(SEALED_MAX);
	struct pieces p;
	int rc = store_name_check(hex);

	if (!rc && store_there(s, VAULT_OBJECTS, hex)) {
		rc = fs_size(size, path);
	} else if (!rc && store_there(s, VAULT_RECIPES, hex)) {
		rc = parts_read(s, hex, &p);
		*size = p.size;
		pieces_release(&p);
	} else if (!rc) {
		rc = parts_delta(s, hex, &body, base, size);
		rc = rc == ERR_NOTFOUND ? store_absent(s, hex, "") : rc;
	}
	buf_release(&body);
	free(path);
	return rc;
}

/* ---- views ----------------------------------------------------------------------------------- */

static int view_put(const void *data, size_t len, void *t)
{
	return fs_temp_write(t, data, len);
}

int store_view_open(struct store_view *v, struct store *s, const char *hex)
{
	struct fs_temp t;
	int rc = store_name_check(hex);

	*v = (struct store_view){ NULL, false };
	if (!rc && store_there(s, VAULT_OBJECTS, hex)) {
		v->path = store_file(s, VAULT_OBJECTS, hex);
		return 0;
	}
	rc = rc ? rc : fs_temp_open(&t, s->tmp);
	if (rc)
		return rc;
	rc = store_stream(s, hex, view_put, &t);
	if (rc) {
		fs_temp_drop(&t);
		return rc;
	}
	close(t.fd); /* its name is the view's now */
	*v = (struct store_view){ t.path, true };
	return 0;
}

void store_view_close(struct store_view *v)
{
	if (v->temporary && v->path)
		unlink(v->path);
	free(v->path);
	*v = (struct store_view){ NULL, false };
}
