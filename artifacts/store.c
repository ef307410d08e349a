/* store.c: files named by the SHA-256 of their bytes.
 *
 *	HOME/objects/ab/cdef…   what was made: any bytes, mode 0444
 *	HOME/records/ab/cdef…   what happened: canonical JSON (record.c), the same law
 *	HOME/tmp/               files being written; leftovers of a crash go after two days
 *	HOME/bad/               what was found damaged, under its name; never deleted by us
 *
 * The one idea: a name is a promise about content, so a file is written once and checked on every read. Writing: to
 * tmp/ with the digest taken on the way (nothing is read twice), mode 0444, sync, rename to its name, sync of the
 * folder. A crash leaves the whole file or a leftover in tmp/. Writing what is there already costs the write and
 * changes nothing; a file that is there with another size is damaged and gives way.
 *
 * A damaged file is neither served nor deleted: it is moved to bad/ and the reader gets ERR_IO, so that the next writer
 * of the same content heals the store. store_path() is the only way past the check. `sha256sum` of a file is its name:
 * the store can be proved without us. Folders are in store_tree.c. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { COPY_CHUNK = 1 << 20, TMP_KEEP_S = 2 * 24 * 3600 };

/* ---- names ----------------------------------------------------------------------------------- */

bool store_name_ok(const char *hex)
{
	size_t n = hex ? strspn(hex, "0123456789abcdef") : 0;

	return n == DIGEST_HEX - 1 && !hex[n];
}

char *store_file(const struct store *s, const char *vault, const char *hex)
{
	if (!store_name_ok(hex))
		return mem_printf("%s/%s/none", s->home, vault);
	return mem_printf("%s/%s/%.2s/%s", s->home, vault, hex, hex + 2);
}

static int name_check(const char *hex)
{
	if (store_name_ok(hex))
		return 0;
	return err_set(ERR_INPUT, "'%.80s' is no object name (64 lower-case hexadecimal digits)", hex ? hex : "");
}

/* ---- open ------------------------------------------------------------------------------------ */

static int tmp_sweep(const char *name, void *arg)
{
	const struct store *s = arg;
	char *path = path_join(s->tmp, name);
	struct stat st;

	if (!lstat(path, &st) && time(NULL) - st.st_mtime > TMP_KEEP_S)
		(void)fs_remove_tree(path);
	free(path);
	return 0;
}

int store_open(struct store **out, const char *home)
{
	static const char *const folders[] = { VAULT_OBJECTS, VAULT_RECORDS, "leases", "work", "tmp", "bad" };
	struct store *s = mem_alloc(sizeof(*s));
	int rc = fs_mkdirs(home);

	if (!rc && !(s->home = realpath(home, NULL)))
		rc = err_errno(ERR_IO, "%s", home);
	for (size_t i = 0; !rc && i < ARRAY_LEN(folders); i++) {
		char *dir = path_join(s->home, folders[i]);

		rc = fs_mkdirs(dir);
		free(dir);
	}
	if (rc) {
		err_hint(rc, "set ASSAY_HOME to a folder that can be written");
		store_close(s);
		return rc;
	}
	s->tmp = path_join(s->home, "tmp");
	s->bad = path_join(s->home, "bad");
	(void)fs_list(s->tmp, tmp_sweep, s);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	free(s->home);
	free(s->tmp);
	free(s->bad);
	free(s->path);
	free(s);
}

const char *store_home(const struct store *s)
{
	return s->home;
}

const char *store_path(struct store *s, const char *hex)
{
	free(s->path);
	s->path = store_file(s, VAULT_OBJECTS, hex);
	return s->path;
}

static bool vault_has(const struct store *s, const char *vault, const char *hex)
{
	char *path = store_file(s, vault, hex);
	struct stat st;
	bool has = !lstat(path, &st) && S_ISREG(st.st_mode);

	free(path);
	return has;
}

bool store_has(const struct store *s, const char *hex)
{
	return vault_has(s, VAULT_OBJECTS, hex);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Moves a damaged file out of the way, and says so as ERR_IO. */
static int quarantine(struct store *s, const char *vault, const char *hex, const char *why)
{
	char *from = store_file(s, vault, hex);
	char *to = mem_printf("%s/%s.%s", s->bad, vault, hex);
	int rc;

	for (int n = 1; fs_exists(to) && n < 1000; n++) {
		free(to);
		to = mem_printf("%s/%s.%s.%d", s->bad, vault, hex, n);
	}
	rc = fs_rename(from, to);
	if (rc)
		rc = err_context(ERR_IO, "%s is damaged (%s) and cannot be moved aside", from, why);
	else
		rc = err_set(ERR_IO, "%s is damaged (%s); moved to %s", from, why, to);
	err_hint(rc, "make it again (assay run), or fetch it from a remote (assay pull); then look at the disk");
	free(from);
	free(to);
	return rc;
}

int store_verify_one(struct store *s, const char *vault, const char *hex, uint64_t *size)
{
	char *path = store_file(s, vault, hex);
	char found[DIGEST_HEX];
	struct digest d;
	int rc = name_check(hex);

	if (!rc && !vault_has(s, vault, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc && size)
		rc = fs_size(size, path);
	if (!rc)
		rc = digest_file(&d, path);
	if (!rc) {
		digest_hex(found, &d);
		if (strcmp(found, hex))
			rc = quarantine(s, vault, hex, "its content has another digest");
	}
	free(path);
	return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A file that another process has just renamed may not have its name on disk yet: ours must, before we say so. */
static int shelf_sync(const char *path)
{
	char *shelf = path_dir(path);
	int rc = fs_sync_dir(shelf);

	free(shelf);
	return rc;
}

int store_commit(struct store *s, const char *vault, const char hex[DIGEST_HEX], struct fs_temp *t)
{
	char *path = store_file(s, vault, hex);
	struct stat have, now;
	int rc = 0;

	if (fstat(t->fd, &now) || fchmod(t->fd, 0444)) {
		rc = err_errno(ERR_IO, "%s", t->path);
	} else if (!lstat(path, &have) && S_ISREG(have.st_mode) && have.st_size == now.st_size) {
		rc = shelf_sync(path);
		goto out;
	} else if (!lstat(path, &have)) {
		rc = quarantine(s, vault, hex, "its length is wrong");
		log_warn("%s", err_text());
		rc = fs_exists(path) ? rc : 0;
	}
	rc = rc ? rc : fs_temp_commit(t, path);
out:
	fs_temp_drop(t);
	free(path);
	return rc;
}

int store_write(struct store *s, const char *vault, const char hex[DIGEST_HEX], const void *data, size_t len)
{
	struct fs_temp t;
	int rc = fs_temp_open(&t, s->tmp);

	if (rc)
		return rc;
	rc = fs_temp_write(&t, data, len);
	if (rc)
		fs_temp_drop(&t);
	else
		rc = store_commit(s, vault, hex, &t);
	return rc ? err_context(rc, "storing %.12s", hex) : 0;
}

/* Is there with the right length: then nothing need be written. Only a reader proves the content. */
static bool there_already(const struct store *s, const char *hex, size_t len)
{
	char *path = store_file(s, VAULT_OBJECTS, hex);
	struct stat st;
	bool there = !lstat(path, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size == len && !shelf_sync(path);

	free(path);
	return there;
}

int store_put(struct store *s, const void *data, size_t len, char hex[DIGEST_HEX])
{
	struct digest d = digest_bytes(data, len);

	digest_hex(hex, &d);
	return there_already(s, hex, len) ? 0 : store_write(s, VAULT_OBJECTS, hex, data, len);
}

/* Copies fd into t and takes the digest on the way. */
static int copy_digest(int fd, struct fs_temp *t, const char *path, struct digest *d, uint64_t *size)
{
	struct digest_ctx *ctx = digest_new();
	char *chunk = mem_alloc(COPY_CHUNK);
	ssize_t n = 0;
	int rc = 0;

	*size = 0;
	while (!rc) {
		n = read(fd, chunk, COPY_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		digest_add(ctx, chunk, (size_t)n);
		rc = fs_temp_write(t, chunk, (size_t)n);
		*size += (uint64_t)n;
	}
	if (!rc && n < 0)
		rc = err_errno(ERR_IO, "reading %s", path);
	*d = digest_end(ctx);
	free(chunk);
	return rc;
}

int store_put_file(struct store *s, const char *path, char hex[DIGEST_HEX], uint64_t *size)
{
	struct fs_temp t = { -1, NULL };
	struct digest d;
	struct stat st;
	uint64_t len = 0;
	int rc;
	/* style: allow: open() for reading; the write side is an fs_temp. O_NONBLOCK: a pipe must not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* style: allow */

	if (fd < 0)
		return err_errno(errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "%s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = err_set(ERR_INPUT, "%s: not a regular file", path);
	else
		rc = fs_temp_open(&t, s->tmp);
	if (!rc) {
		rc = copy_digest(fd, &t, path, &d, &len);
		if (rc) {
			fs_temp_drop(&t);
		} else {
			digest_hex(hex, &d);
			rc = store_commit(s, VAULT_OBJECTS, hex, &t);
		}
	}
	close(fd);
	if (rc)
		return err_context(rc, "storing %s", path);
	if (size)
		*size = len;
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int store_read(struct store *s, const char *vault, const char *hex, struct buf *out, size_t max)
{
	char *path = store_file(s, vault, hex);
	char found[DIGEST_HEX];
	struct buf b = BUF_INIT(max);
	struct digest d;
	int rc = name_check(hex);

	if (!rc && !vault_has(s, vault, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc)
		rc = fs_read(&b, path, max);
	if (!rc) {
		d = digest_bytes(b.data ? b.data : "", b.len);
		digest_hex(found, &d);
		if (strcmp(found, hex))
			rc = quarantine(s, vault, hex, "its content has another digest");
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
	int fd = -1, rc = name_check(hex);

	if (!rc && !vault_has(s, VAULT_OBJECTS, hex))
		rc = err_set(ERR_NOTFOUND, "%s is not in the store", hex);
	if (!rc && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) /* style: allow: reading */
		rc = err_errno(ERR_IO, "%s", path);
	piece = mem_alloc(COPY_CHUNK);
	while (!rc && (n = read(fd, piece, COPY_CHUNK)) != 0) {
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
		rc = quarantine(s, VAULT_OBJECTS, hex, "its content has another digest");
	if (fd >= 0)
		close(fd);
	free(piece);
	free(path);
	return rc;
}

/* ---- all of it ------------------------------------------------------------------------------- */

struct walk {
	const char *root, *shelf;
	struct name_list *out;
	int (*stray)(const char *path, void *arg);
	void *arg;
};

void name_list_release(struct name_list *l)
{
	free(l->names);
	*l = (struct name_list){ NULL, 0, 0 };
}

static int walk_stray(struct walk *w, const char *name)
{
	char *path;
	int rc;

	if (!w->stray)
		return 0;
	path = w->shelf ? mem_printf("%s/%s/%s", w->root, w->shelf, name) : mem_printf("%s/%s", w->root, name);
	rc = w->stray(path, w->arg);
	free(path);
	return rc;
}

static int walk_file(const char *name, void *arg)
{
	struct walk *w = arg;
	char hex[DIGEST_HEX];

	if (strlen(name) != DIGEST_HEX - 3)
		return walk_stray(w, name);
	snprintf(hex, sizeof(hex), "%.2s%.62s", w->shelf, name);
	if (!store_name_ok(hex))
		return walk_stray(w, name);
	MEM_GROW(w->out->names, w->out->len, w->out->cap);
	memcpy(w->out->names[w->out->len++], hex, sizeof(hex));
	return 0;
}

static int walk_shelf(const char *name, void *arg)
{
	struct walk *w = arg;
	char *dir;
	int rc;

	if (strlen(name) != 2 || strspn(name, "0123456789abcdef") != 2)
		return walk_stray(w, name);
	dir = mem_printf("%s/%s", w->root, name);
	w->shelf = name;
	rc = fs_is_dir(dir) ? fs_list(dir, walk_file, w) : walk_stray(w, "");
	w->shelf = NULL;
	free(dir);
	return rc;
}

int store_names(const struct store *s, const char *vault, struct name_list *out,
		int (*stray)(const char *path, void *arg), void *arg)
{
	char *root = path_join(s->home, vault);
	struct walk w = { root, NULL, out, stray, arg };
	int rc = fs_list(root, walk_shelf, &w);

	free(root);
	return rc;
}

struct verify {
	int (*bad)(const char *hex, const char *why, void *arg);
	void *arg;
};

static int verify_stray(const char *path, void *arg)
{
	struct verify *v = arg;

	return v->bad(path, "no object has such a name", v->arg);
}

int store_verify(struct store *s, int (*bad)(const char *hex, const char *why, void *arg), void *arg, uint64_t *checked)
{
	struct verify v = { bad, arg };
	struct name_list all = { NULL, 0, 0 };
	int rc = store_names(s, VAULT_OBJECTS, &all, verify_stray, &v);
	uint64_t n = 0;

	for (size_t i = 0; !rc && i < all.len; i++, n++) {
		if (store_verify_one(s, VAULT_OBJECTS, all.names[i], NULL))
			rc = bad(all.names[i], err_text(), arg);
	}
	if (checked)
		*checked = n;
	name_list_release(&all);
	return rc;
}
