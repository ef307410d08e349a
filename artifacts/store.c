/* store.c: files named by the SHA-256 of their bytes.
 *
 *	HOME/objects/ab/cdef…   what was made: any bytes, mode 0444
 *	HOME/records/ab/cdef…   what happened: canonical JSON (record.c), the same law
 *	HOME/recipes/ deltas/   objects in parts (store_sealed.c, store_parts.c), where that pays (store_add.c)
 *	HOME/pieces/ stat/      what can be made again: where pieces lie, what was read last
 *	HOME/tmp/               files being written; leftovers of a crash go after two days
 *	HOME/bad/               what was found damaged, under its name; never deleted by us
 *	HOME/reserve            room for a collection on a full disk (reserve.c)
 *
 * The one idea: a name is a promise about content, so a file is written once and checked on every read. Writing: to
 * tmp/ with the digest taken on the way (a file is copied by the kernel, and the digest is of the copy, which nobody else
 * changes, by a second thread behind it: digester.c), mode 0444, sync, rename to its name, sync of the folder. A crash leaves the whole file or a leftover in tmp/. Writing what is there already costs the write and
 * changes nothing; a file that is there with other bytes is damaged and gives way.
 *
 * A damaged file is neither served nor deleted: it is moved to bad/ and the reader gets ERR_IO, so that the next writer
 * of the same content heals the store. store_path() is the only way past the check. `sha256sum` of a file is its name:
 * the store can be proved without us. Reading is in store_read.c, folders in store_tree.c, all objects at once in
 * store_verify.c. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { COPY_CHUNK = 1 << 20, COPY_STEP = 32 << 20, TMP_KEEP_S = 2 * 24 * 3600 };
#define STAT_MIN ((uint64_t)64 << 10) /* reading less is as fast as a note */

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

int store_name_check(const char *hex)
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
	static const char *const folders[] = { VAULT_OBJECTS, VAULT_RECORDS, VAULT_RECIPES, VAULT_DELTAS, VAULT_PIECES,
					       VAULT_STAT,    "leases",      "work",        "tmp",        "bad" };
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
	reserve_make(s);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_index_drop(s);
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

bool store_there(const struct store *s, const char *vault, const char *hex)
{
	char *path = store_file(s, vault, hex);
	struct stat st;
	bool has = !lstat(path, &st) && S_ISREG(st.st_mode);

	free(path);
	return has;
}

bool store_has(const struct store *s, const char *hex)
{
	return store_there(s, VAULT_OBJECTS, hex) || store_there(s, VAULT_RECIPES, hex) ||
	       store_there(s, VAULT_DELTAS, hex);
}

/* ---- damage ---------------------------------------------------------------------------------- */

int store_quarantine(struct store *s, const char *vault, const char *hex, const char *why)
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

int store_absent(const struct store *s, const char *hex, const char *as)
{
	static const char *const vaults[] = { VAULT_OBJECTS, VAULT_RECIPES, VAULT_DELTAS };
	int rc = err_set(ERR_NOTFOUND, "%s%s is not in the store", as, hex);

	for (size_t i = 0; i < ARRAY_LEN(vaults); i++) {
		char *path = mem_printf("%s/%s.%s", s->bad, vaults[i], hex);

		if (fs_exists(path)) {
			rc = err_set(ERR_NOTFOUND, "%s%s is not in the store: it was found damaged, and lies in %s", as,
				     hex, path);
			err_hint(rc,
				 "assay artifact repair --from brings it back, from another home or a remote; or assay "
				 "reproduce makes a run's weights again");
		}
		free(path);
	}
	return rc;
}

struct damaged {
	const struct store *s;
	int (*each)(const char *vault, const char *hex, void *arg);
	void *arg;
	char last[sizeof(VAULT_OBJECTS) + DIGEST_HEX]; /* "objects.HEX", then "objects.HEX.1": sorted, told once */
};

static int damaged_one(const char *name, void *arg)
{
	static const char *const vaults[] = { VAULT_OBJECTS, VAULT_RECIPES, VAULT_DELTAS, VAULT_RECORDS };
	struct damaged *d = arg;
	char hex[DIGEST_HEX];

	for (size_t i = 0; i < ARRAY_LEN(vaults); i++) {
		size_t n = strlen(vaults[i]);

		if (strncmp(name, vaults[i], n) || name[n] != '.')
			continue;
		snprintf(hex, sizeof(hex), "%.64s", name + n + 1);
		if (!store_name_ok(hex) || !strncmp(name, d->last, n + DIGEST_HEX))
			return 0;
		snprintf(d->last, sizeof(d->last), "%.*s", (int)(n + DIGEST_HEX), name);
		if (strcmp(vaults[i], VAULT_RECORDS) ? store_has(d->s, hex) : store_there(d->s, VAULT_RECORDS, hex))
			return 0;
		return d->each(vaults[i], hex, d->arg);
	}
	return 0;
}

int store_damaged(const struct store *s, int (*each)(const char *vault, const char *hex, void *arg), void *arg)
{
	struct damaged d = { s, each, arg, "" };

	return fs_is_dir(s->bad) ? fs_list(s->bad, damaged_one, &d) : 0;
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

/* Has that file the content of the other? One that cannot be read has not. */
static bool same_content(const char *path, const char *other)
{
	struct fs_map a = { NULL, 0 }, b = { NULL, 0 };
	bool same = !fs_map_open(&a, path) && !fs_map_open(&b, other) && a.len == b.len &&
		    (!a.len || !memcmp(a.data, b.data, a.len));

	fs_map_close(&a);
	fs_map_close(&b);
	err_clear();
	return same;
}

int store_commit(struct store *s, const char *vault, const char hex[DIGEST_HEX], struct fs_temp *t)
{
	char *path = store_file(s, vault, hex);
	struct stat have, now;
	int rc = 0;

	if (fstat(t->fd, &now) || fchmod(t->fd, 0444)) {
		rc = err_errno(ERR_IO, "%s", t->path);
	} else if (!lstat(path, &have) && S_ISREG(have.st_mode) && have.st_size == now.st_size &&
		   same_content(path, t->path)) {
		rc = shelf_sync(path);
		goto out;
	} else if (!lstat(path, &have)) {
		rc = store_quarantine(s, vault, hex,
				      have.st_size == now.st_size ? "its content is another" : "its length is wrong");
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

/* Is there with these bytes: then nothing need be written. */
static bool there_already(const struct store *s, const char *hex, const void *data, size_t len)
{
	char *path = store_file(s, VAULT_OBJECTS, hex);
	struct fs_map map = { NULL, 0 };
	bool there = store_there(s, VAULT_OBJECTS, hex) && !fs_map_open(&map, path) && map.len == len &&
		     (!len || !memcmp(map.data, data, len)) && !shelf_sync(path);

	fs_map_close(&map);
	err_clear();
	free(path);
	return there;
}

int store_put(struct store *s, const void *data, size_t len, char hex[DIGEST_HEX])
{
	struct digest d = digest_bytes(data, len);

	digest_hex(hex, &d);
	return there_already(s, hex, data, len) ? 0 : store_write(s, VAULT_OBJECTS, hex, data, len);
}

/* All of the file is wanted, whichever piece did not fit. */
static int copy_full(int fd, const struct fs_temp *t)
{
	struct stat st;
	int saved = errno;
	uint64_t size = fstat(fd, &st) ? 0 : (uint64_t)st.st_size;

	errno = saved;
	return fs_full(t->path, size);
}

/* Into t: by the kernel, which shares the blocks where the file system can; else through us. */
static int copy_step(int fd, struct fs_temp *t, char *piece, size_t *n)
{
	ssize_t got = copy_file_range(fd, NULL, t->fd, NULL, COPY_STEP, 0);

	if (got < 0 &&
	    (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EBADF)) {
		got = read(fd, piece, COPY_CHUNK);
		if (got > 0 && fs_temp_write(t, piece, (size_t)got))
			return fs_no_room() ? copy_full(fd, t) : ERR_IO;
	}
	if (got < 0 && fs_no_room())
		return copy_full(fd, t);
	if (got < 0 && errno != EINTR)
		return err_errno(ERR_IO, "copying to %s", t->path);
	*n = got > 0 ? (size_t)got : 0;
	return got < 0 ? ERR_INTERRUPTED : 0;
}

int store_copy(int fd, struct fs_temp *t, struct digest *d, uint64_t *size)
{
	int in = open(t->path, O_RDONLY | O_CLOEXEC); /* style: allow: reading */
	char *piece = mem_alloc(COPY_CHUNK);
	struct digester digester;
	int rc = in < 0 ? err_errno(ERR_IO, "%s", t->path) : 0;
	size_t n = 1;

	digester_open(&digester, in);
	*size = 0;
	while (!rc && n) {
		do
			rc = copy_step(fd, t, piece, &n);
		while (rc == ERR_INTERRUPTED);
		if (!rc && n >= COPY_STEP / 2)
			fs_temp_flush(t, *size, n);
		*size += n;
		if (!rc && n)
			digester_ready(&digester, *size);
	}
	if (rc)
		digester_drop(&digester);
	else
		rc = digester_close(&digester, d);
	if (in >= 0)
		close(in);
	free(piece);
	return rc;
}

/* Known by its state alone, and here with all its parts. */
static bool put_already(struct store *s, const struct stat *st, char hex[DIGEST_HEX])
{
	return (uint64_t)st->st_size >= STAT_MIN && stat_known(s, st, hex) &&
	       store_holds(s, hex, (uint64_t)st->st_size);
}

static int put_opened(struct store *s, int fd, const struct stat *st, char hex[DIGEST_HEX], uint64_t *size)
{
	int64_t started = clock_unix_ns();
	struct fs_temp t;
	struct digest d;
	int rc = fs_temp_open(&t, s->tmp);

	if (rc)
		return rc;
	rc = store_copy(fd, &t, &d, size);
	if (rc) {
		fs_temp_drop(&t);
		return rc;
	}
	digest_hex(hex, &d);
	rc = store_add(s, &t, hex, *size);
	if (!rc && *size >= STAT_MIN)
		stat_note(s, fd, st, started, hex);
	return rc;
}

int store_put_file(struct store *s, const char *path, char hex[DIGEST_HEX], uint64_t *size)
{
	struct stat st;
	uint64_t len = 0;
	int rc = 0;
	/* style: allow: open() for reading; the write side is an fs_temp. O_NONBLOCK: a pipe must not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* style: allow */

	if (fd < 0)
		return err_errno(errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "%s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = err_set(ERR_INPUT, "%s: not a regular file", path);
	else if (put_already(s, &st, hex))
		len = (uint64_t)st.st_size;
	else
		rc = put_opened(s, fd, &st, hex, &len);
	close(fd);
	if (rc)
		return err_context(rc, "storing %s", path);
	if (size)
		*size = len;
	return 0;
}
