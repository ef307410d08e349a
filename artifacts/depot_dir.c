/* depot_dir.c: a remote that is a folder, on this machine or on a share of the network.
 *
 * Written as a home is: to a temporary name in the folder's tmp/, synced, renamed; so no lock is needed and a reader sees whole
 * files alone. A claim is a hard link from the finished temporary to its name: link() is the one call that fails if there is
 * something already, whole and in one step, on NFS too (where the answer to a link that was made can get lost: then the link
 * count of the temporary says that it was). Files of others are opened without following links at their end and without waiting
 * for pipes. */
#include "artifacts/depot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, TMP_KEEP_S = 2 * 24 * 3600 };

struct depot_dir {
	struct depot depot;
	char *root, *tmp;
};

static struct depot_dir *dir_of(struct depot *d)
{
	return (struct depot_dir *)d;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int open_file(struct depot *d, const char *path, int *fd, uint64_t *size)
{
	char *full = path_join(dir_of(d)->root, path);
	struct stat st;
	int rc = 0;

	/* style: allow: open() for reading */
	*fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* style: allow */
	if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		rc = err_set(ERR_NOTFOUND, "%s is not there", full);
	else if (*fd < 0 && errno == ELOOP)
		rc = err_set(ERR_INPUT, "%s is a link, and no regular file", full);
	else if (*fd < 0 || fstat(*fd, &st))
		rc = err_errno(ERR_IO, "%s", full);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(ERR_INPUT, "%s is no regular file", full);
	else
		*size = (uint64_t)st.st_size;
	if (rc && *fd >= 0)
		close(*fd);
	free(full);
	return rc;
}

static int dir_size(struct depot *d, const char *path, uint64_t *size)
{
	int fd, rc = open_file(d, path, &fd, size);

	if (!rc)
		close(fd);
	return rc;
}

static int dir_get(struct depot *d, const char *path, uint64_t from, depot_put *put, void *arg)
{
	char *piece = NULL;
	uint64_t size;
	ssize_t n = 0;
	int fd, rc = open_file(d, path, &fd, &size);

	if (rc)
		return rc;
	piece = mem_alloc(PIECE);
	if (from <= size && lseek(fd, (off_t)from, SEEK_SET) < 0)
		rc = err_errno(ERR_IO, "reading %s", path);
	while (!rc && from <= size && (n = read(fd, piece, PIECE)) != 0) {
		if (n > 0)
			rc = put(piece, (size_t)n, arg);
		else if (errno != EINTR)
			rc = err_errno(ERR_UNAVAILABLE, "reading %s", path);
	}
	free(piece);
	close(fd);
	return rc;
}

struct walk {
	const char *root, *shelf;
	struct depot_list *out;
};

static int walk_file(const char *name, void *arg)
{
	struct walk *w = arg;
	char hex[DIGEST_HEX], *path;
	uint64_t size = DEPOT_NO_SIZE;

	if (strlen(name) != DIGEST_HEX - 3)
		return 0;
	snprintf(hex, sizeof(hex), "%.2s%.62s", w->shelf, name);
	path = mem_printf("%s/%s/%s", w->root, w->shelf, name);
	if (fs_size(&size, path))
		err_clear();
	depot_list_add(w->out, hex, size);
	free(path);
	return 0;
}

static int walk_shelf(const char *name, void *arg)
{
	struct walk *w = arg;
	char *dir = path_join(w->root, name);
	int rc = 0;

	w->shelf = name;
	if (strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2 && fs_is_dir(dir))
		rc = fs_list(dir, walk_file, w);
	free(dir);
	return rc;
}

static int dir_list(struct depot *d, const char *vault, struct depot_list *out)
{
	const char *folder = dir_of(d)->root;
	char *root = path_join(folder, vault);
	struct walk w = { root, NULL, out };
	int rc = 0;

	if (fs_is_dir(root))
		rc = fs_list(root, walk_shelf, &w);
	else if (!fs_is_dir(folder))
		rc = err_hint(err_set(ERR_NOTFOUND, "there is no folder %s", folder),
			      "is the share mounted? A new remote is made by mkdir, or by the first assay push");
	free(root);
	return rc;
}

static int last_claim(const char *name, void *arg)
{
	int64_t n = depot_claim_number(name), *last = arg;

	*last = n > *last ? n : *last;
	return 0;
}

static int dir_last(struct depot *d, const char *key, int64_t *n)
{
	char *dir = mem_printf("%s/" VAULT_CLAIMS "/%s", dir_of(d)->root, key);
	int rc;

	*n = 0;
	rc = fs_is_dir(dir) ? fs_list(dir, last_claim, n) : 0;
	free(dir);
	return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int temp_write(struct depot *d, struct fs_temp *t, const struct fs_map *bytes)
{
	int rc = fs_mkdirs(dir_of(d)->tmp);

	rc = rc ? rc : fs_temp_open(t, dir_of(d)->tmp);
	if (rc)
		return rc;
	rc = fs_temp_write(t, bytes->data, bytes->len);
	if (!rc && fchmod(t->fd, 0444))
		rc = err_errno(ERR_IO, "%s", t->path);
	if (rc)
		fs_temp_drop(t);
	return rc;
}

static int shelf_make(const char *full)
{
	char *shelf = path_dir(full);
	int rc = fs_mkdirs(shelf);

	free(shelf);
	return rc;
}

static int dir_put(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex)
{
	char *full = path_join(dir_of(d)->root, path);
	struct fs_temp t;
	uint64_t size;
	int rc;

	(void)hex;
	if (!dir_size(d, path, &size) && size == bytes->len) {
		free(full);
		return 0;
	}
	err_clear();
	rc = temp_write(d, &t, bytes);
	if (!rc) {
		rc = shelf_make(full);
		rc = rc ? rc : fs_temp_commit(&t, full);
		fs_temp_drop(&t);
	}
	free(full);
	return rc;
}

static int link_claim(const struct fs_temp *t, const char *full)
{
	struct stat st;
	int rc;

	if (fsync(t->fd))
		return err_errno(ERR_IO, "%s", t->path);
	if (!link(t->path, full) || (!fstat(t->fd, &st) && st.st_nlink > 1))
		return 0;
	if (errno == EEXIST)
		return err_set(ERR_EXISTS, "%s is there already", full);
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return err_errno(ERR_IO, "%s", full);
	rc = err_errno(ERR_ENV, "%s", full);
	return err_hint(rc, "a remote needs a file system with hard links: they decide who was first");
}

static int dir_claim(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex)
{
	char *full = path_join(dir_of(d)->root, path), *shelf = path_dir(full);
	struct fs_temp t;
	int rc = temp_write(d, &t, bytes);

	(void)hex;
	if (!rc) {
		rc = shelf_make(full);
		rc = rc ? rc : link_claim(&t, full);
		rc = rc ? rc : fs_sync_dir(shelf);
		fs_temp_drop(&t);
	}
	free(shelf);
	free(full);
	return rc;
}

/* ---- open ------------------------------------------------------------------------------------ */

static void dir_close(struct depot *d)
{
	struct depot_dir *self = dir_of(d);

	free(self->root);
	free(self->tmp);
	free(d->name);
	free(self);
}

/* What a writer that was killed left behind, on whatever machine. */
static int tmp_sweep(const char *name, void *arg)
{
	const struct depot_dir *self = arg;
	char *path = path_join(self->tmp, name);
	struct stat st;

	if (!lstat(path, &st) && S_ISREG(st.st_mode) && time(NULL) - st.st_mtime > TMP_KEEP_S)
		(void)fs_remove(path);
	free(path);
	return 0;
}

static const struct depot_ops dir_ops = {
	.list = dir_list,
	.size = dir_size,
	.get = dir_get,
	.put = dir_put,
	.claim = dir_claim,
	.last = dir_last,
	.close = dir_close,
};

int depot_dir_open(struct depot **out, const struct depot_place *p)
{
	struct depot_dir *self = mem_alloc(sizeof(*self));
	int rc = 0;

	*self = (struct depot_dir){
		.depot = { &dir_ops, mem_str(p->url) },
		.root = mem_str(p->url + strlen("file://")),
	};
	self->tmp = path_join(self->root, "tmp");
	if (self->root[0] != '/')
		rc = err_set(ERR_INPUT, "%s: a folder is named by file:// and an absolute path", p->url);
	if (rc) {
		dir_close(&self->depot);
		return rc;
	}
	(void)fs_list(self->tmp, tmp_sweep, self); /* it may not be there yet */
	err_clear();
	*out = &self->depot;
	return 0;
}
