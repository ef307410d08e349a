/* fs.c: files that are written whole or not at all.
 *
 * A new file is written under a temporary name in the folder it will live in (a rename never crosses file systems),
 * synced, renamed over its final name, and the folder is synced, so that the name survives a power cut as well as the
 * bytes. Readers see the old file or the new one. A failure on the way (disk full, quota, a limit) removes the temporary
 * and is ERR_IO with the final path in its text; after kill -9 at most a file ".assay-tmp-*" is left over.
 *
 * fs_remove_tree() walks by open folders and names relative to them and never through a link. It holds two folders open
 * however deep the tree is: folders found below the top are first moved up into it under a fresh name. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 18)

static int code_of_errno(void)
{
	return errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : ERR_IO;
}

/* ---- reading ---- */

/* What a shell hands over by <(…) or a pipe; it has a writer, who is waited for. */
static bool is_handed_over(const char *path)
{
	return strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/self/fd/", 14) == 0 ||
	       strcmp(path, "/dev/stdin") == 0;
}

static int not_regular(const char *path)
{
	return err_set(ERR_INPUT, "%s is not a regular file, but a pipe, a socket or a device", path);
}

/* Without O_NONBLOCK a pipe that nobody writes to would hold us here for ever. */
static int open_read(int *out, struct stat *st, const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags), rc = 0;

	*out = -1;
	if (fd < 0)
		return errno == ENXIO ? not_regular(path) : err_errno(code_of_errno(), "cannot open %s", path);
	if (fstat(fd, st))
		rc = err_errno(ERR_IO, "cannot stat %s", path);
	else if (S_ISDIR(st->st_mode))
		rc = err_set(ERR_INPUT, "%s is a folder, not a file", path);
	else if (!S_ISREG(st->st_mode) && !is_handed_over(path))
		rc = not_regular(path);
	else if (fcntl(fd, F_SETFL, 0))
		rc = err_errno(ERR_IO, "cannot read %s", path);
	if (rc)
		close(fd);
	else
		*out = fd;
	return rc;
}

int fs_open_read(int *out, struct stat *st, const char *path)
{
	return open_read(out, st, path, 0);
}

static int too_big(const char *path, size_t max)
{
	return err_set(ERR_INPUT, "%s is larger than %zu bytes, the most that is read here", path, max);
}

static int read_open(struct buf *out, int fd, const struct stat *st, const char *path, size_t max)
{
	char *piece = NULL;
	size_t total = 0;
	ssize_t n;
	int rc = 0;

	if (S_ISREG(st->st_mode) && (uint64_t)st->st_size > max) {
		rc = too_big(path, max);
		goto out;
	}
	piece = mem_resize(NULL, PIECE);
	while ((n = read(fd, piece, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = err_errno(ERR_IO, "cannot read %s", path);
			goto out;
		}
		total += (size_t)n;
		buf_add(out, piece, (size_t)n);
		if (total > max || buf_full(out)) {
			rc = too_big(path, total > max ? max : out->max);
			goto out;
		}
	}
out:
	free(piece);
	close(fd);
	return rc;
}

int fs_read(struct buf *out, const char *path, size_t max)
{
	struct stat st;
	int fd, rc = open_read(&fd, &st, path, 0);

	return rc ? rc : read_open(out, fd, &st, path, max);
}

int fs_read_plain(struct buf *out, const char *path, size_t max)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(ERR_INPUT, "%s is a link, a pipe or a device, and not a plain file: it is not read",
			       path);
	rc = open_read(&fd, &st, path, O_NOFOLLOW); /* it may have been replaced since */
	return rc ? rc : read_open(out, fd, &st, path, max);
}

bool fs_exists(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

int fs_check_new(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return 0; /* whatever is wrong with the way there, who makes it is told */
	if (S_ISLNK(st.st_mode) && !fs_exists(path)) {
		err_set(ERR_EXISTS, "%s is a link that leads to nothing", path);
		return err_hint(ERR_EXISTS, "remove the link, or name what is to be made: nothing is written through "
					    "it");
	}
	err_set(ERR_EXISTS, "%s exists already", path);
	return err_hint(ERR_EXISTS, "name one that is to be made");
}

bool fs_is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int fs_size(uint64_t *out, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return err_errno(code_of_errno(), "cannot stat %s", path);
	*out = (uint64_t)st.st_size;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int fs_list(const char *dir, int (*each)(const char *name, void *arg), void *arg)
{
	char **names = NULL;
	size_t n = 0, cap = 0;
	struct dirent *e;
	int rc = 0;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return err_errno(code_of_errno(), "cannot list %s", dir);
	while (errno = 0, (e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		MEM_GROW(names, n, cap);
		names[n++] = mem_str(e->d_name);
	}
	if (errno)
		rc = err_errno(ERR_IO, "cannot list %s", dir);
	closedir(d);
	if (n)
		qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = each(names[i], arg);
		free(names[i]);
	}
	free(names);
	return rc;
}

int fs_map_open(struct fs_map *m, const char *path)
{
	struct stat st;
	void *p;
	int fd, rc;

	*m = (struct fs_map){ (const uint8_t *)"", 0 };
	rc = open_read(&fd, &st, path, 0);
	if (rc)
		return rc;
	if (!S_ISREG(st.st_mode)) {
		rc = not_regular(path);
	} else if (st.st_size) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED)
			rc = err_errno(errno == ENOMEM ? ERR_UNAVAILABLE : ERR_IO, "cannot map %s", path);
		else
			*m = (struct fs_map){ p, (size_t)st.st_size };
	}
	close(fd);
	return rc;
}

void fs_map_close(struct fs_map *m)
{
	if (m->len)
		munmap((void *)(uintptr_t)m->data, m->len);
	*m = (struct fs_map){ NULL, 0 };
}

void fs_map_drop(const struct fs_map *m, size_t at, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), end = at + len;

	at = (at + page - 1) / page * page; /* whole pages only: what lies around stays */
	end = end == m->len ? end : end / page * page;
	if (at < end)
		madvise((void *)(uintptr_t)(m->data + at), end - at, MADV_DONTNEED);
}

void fs_size_text(char out[16], uint64_t bytes)
{
	if (bytes < 1000000)
		snprintf(out, 16, "%.1f kB", (double)bytes / 1e3);
	else if (bytes < 1000000000)
		snprintf(out, 16, "%.1f MB", (double)bytes / 1e6);
	else
		snprintf(out, 16, "%.1f GB", (double)bytes / 1e9);
}

/* ---- a disk that is full ---- */

bool fs_no_room(void)
{
	return errno == ENOSPC || errno == EDQUOT;
}

int fs_full(const char *path, uint64_t wanted)
{
	bool quota = errno == EDQUOT;
	char *dir = fs_is_dir(path) ? mem_str(path) : path_dir(path), room[64] = "", size[16];

	if (wanted) {
		fs_size_text(size, wanted);
		snprintf(room, sizeof(room), ": there is no room for %s", size);
	}
	err_set(ERR_IO, quota ? "the quota of the disk of %s is used up%s" : "the disk of %s is full%s", dir, room);
	free(dir);
	return err_hint(ERR_IO,
			"make room on it by something else first; where it is the home's, a megabyte will do, then "
			"assay artifact gc frees more. Or take a place on another disk (ASSAY_HOME names the home)");
}

int fs_failed(int code, const char *path, uint64_t wanted, const char *fmt, ...)
{
	int saved = errno;
	char *doing = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&doing, fmt, args) < 0)
		doing = mem_str("cannot write");
	va_end(args);
	errno = saved;
	code = fs_no_room() ? err_context(fs_full(path, wanted), "%s", doing) : err_errno(code, "%s", doing);
	free(doing);
	errno = saved;
	return code;
}

/* ---- folders ---- */

int fs_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return err_errno(code_of_errno(), "cannot open folder %s", path);
	/* some file systems cannot sync a folder and say EINVAL; there is nothing better to do there */
	if (fsync(fd) && errno != EINVAL && errno != ENOTSUP)
		rc = fs_failed(ERR_IO, path, 0, "cannot sync folder %s", path);
	close(fd);
	return rc;
}

static int sync_parent(const char *path)
{
	char *dir = path_dir(path);
	int rc = fs_sync_dir(dir);

	free(dir);
	return rc;
}

static int make_dir(const char *path)
{
	if (!mkdir(path, 0777))
		return sync_parent(path);
	if (errno == EEXIST && fs_is_dir(path))
		return 0;
	if (errno == EEXIST)
		return err_set(ERR_IO, "%s is in the way: it is not a folder", path);
	return fs_failed(ERR_IO, path, 0, "cannot make folder %s", path);
}

int fs_mkdirs(const char *path)
{
	char *part;
	int rc = 0;

	if (fs_is_dir(path))
		return 0;
	part = mem_str(path);
	for (char *p = part + strspn(part, "/"); *p && !rc;) {
		size_t n = strcspn(p, "/");
		char c = p[n];

		p[n] = '\0';
		rc = make_dir(part);
		p[n] = c;
		p += n;
		p += strspn(p, "/");
	}
	free(part);
	return rc;
}

static void random_name(char out[24], const char *prefix)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	uint8_t r[10];
	size_t n = strlen(prefix);

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r)) {
		uint64_t t = (uint64_t)clock_unix_ns() ^ ((uint64_t)getpid() << 40);

		memcpy(r, &t, sizeof(t));
		r[8] = r[9] = 0;
	}
	memcpy(out, prefix, n);
	for (size_t i = 0; i < sizeof(r); i++)
		out[n + i] = letters[r[i] & 31];
	out[n + sizeof(r)] = '\0';
}

int fs_temp_dir(char **out, const char *parent, const char *prefix)
{
	*out = NULL;
	for (int tries = 0; tries < 100; tries++) {
		char name[24];
		char *path;

		random_name(name, "");
		path = mem_printf("%s/%s%s", parent, prefix, name);
		if (!mkdir(path, 0700)) {
			*out = path;
			return 0;
		}
		free(path);
		if (errno != EEXIST)
			break;
	}
	return fs_failed(code_of_errno(), parent, 0, "cannot make a temporary folder in %s", parent);
}

/* ---- writing ---- */

#define TEMP_NAME ".assay-tmp-"

static int sweep_one(const char *name, void *dir)
{
	char *path;
	int rc;

	if (strncmp(name, TEMP_NAME, strlen(TEMP_NAME)) != 0)
		return 0;
	path = path_join(dir, name);
	rc = fs_remove(path);
	free(path);
	return rc;
}

int fs_temp_sweep(const char *dir)
{
	return fs_list(dir, sweep_one, (void *)(uintptr_t)dir);
}

int fs_temp_open(struct fs_temp *t, const char *dir)
{
	int rc;

	*t = (struct fs_temp){ -1, NULL };
	rc = fs_mkdirs(dir);
	if (rc)
		return rc;
	for (int tries = 0; tries < 100; tries++) {
		char name[24];
		char *path;
		int fd;

		random_name(name, TEMP_NAME);
		path = path_join(dir, name);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (fd >= 0) {
			*t = (struct fs_temp){ fd, path };
			return 0;
		}
		free(path);
		if (errno != EEXIST)
			break;
	}
	return fs_failed(ERR_IO, dir, 0, "cannot make a temporary file in %s", dir);
}

int fs_temp_write(struct fs_temp *t, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(t->fd, p, len < PTRDIFF_MAX ? len : PTRDIFF_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!n)
				errno = ENOSPC;
			return fs_failed(ERR_IO, t->path, len, "cannot write %s", t->path);
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void fs_temp_flush(struct fs_temp *t, uint64_t at, uint64_t len)
{
	(void)sync_file_range(t->fd, (off_t)at, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

/* A rename onto a device or a pipe would put a file in its place: /dev/null for the whole machine. */
int fs_check_target(const char *path)
{
	struct stat st;

	if (stat(path, &st) || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return 0;
	err_set(ERR_INPUT, "%s is a pipe, a socket or a device: a file is written whole, to a name of its own", path);
	return err_hint(ERR_INPUT, "name a file, and read that");
}

int fs_temp_commit(struct fs_temp *t, const char *path)
{
	char *dir = path_dir(path);
	int fd = t->fd;
	int rc;

	t->fd = -1;
	rc = fs_check_target(path);
	rc = rc ? rc : fs_mkdirs(dir);
	if (!rc && fsync(fd))
		rc = fs_failed(ERR_IO, t->path, 0, "cannot sync %s (to be %s)", t->path, path);
	/* close() is where a network file system reports what it could not write */
	if (close(fd) && !rc && errno != EINTR)
		rc = fs_failed(ERR_IO, t->path, 0, "cannot close %s (to be %s)", t->path, path);
	if (!rc && rename(t->path, path))
		rc = fs_failed(ERR_IO, path, 0, "cannot rename %s to %s", t->path, path);
	if (rc) {
		fs_temp_drop(t);
	} else {
		free(t->path);
		t->path = NULL;
		rc = fs_sync_dir(dir);
	}
	free(dir);
	return rc;
}

void fs_temp_drop(struct fs_temp *t)
{
	/* a zeroed struct that was never opened has no path, and its fd 0 is not ours */
	if (!t->path)
		return;
	if (t->fd >= 0)
		close(t->fd);
	unlink(t->path);
	free(t->path);
	*t = (struct fs_temp){ -1, NULL };
}

int fs_write(const char *path, const void *data, size_t len)
{
	char *dir = path_dir(path);
	struct fs_temp t = { -1, NULL };
	int rc = fs_check_target(path);

	if (!rc)
		rc = fs_temp_open(&t, dir);
	if (!rc)
		rc = fs_temp_write(&t, data, len);
	if (!rc)
		rc = fs_temp_commit(&t, path);
	fs_temp_drop(&t);
	free(dir);
	return rc && rc != ERR_INPUT ? err_context(rc, "%s", path) : rc;
}

int fs_copy(const char *from, const char *to)
{
	char *dir = path_dir(to), *piece = NULL;
	struct fs_temp t = { -1, NULL };
	struct stat st;
	ssize_t n;
	int fd, rc;

	rc = open_read(&fd, &st, from, 0);
	if (rc)
		goto out;
	rc = fs_temp_open(&t, dir);
	piece = mem_resize(NULL, PIECE);
	while (!rc && (n = read(fd, piece, PIECE)) != 0) {
		if (n > 0)
			rc = fs_temp_write(&t, piece, (size_t)n);
		else if (errno != EINTR)
			rc = err_errno(ERR_IO, "cannot read %s", from);
	}
	close(fd);
	if (!rc)
		rc = fs_temp_commit(&t, to);
	if (rc)
		err_context(rc, "%s", to);
out:
	fs_temp_drop(&t);
	free(piece);
	free(dir);
	return rc;
}

int fs_rename(const char *from, const char *to)
{
	if (rename(from, to))
		return fs_failed(code_of_errno(), to, 0, "cannot rename %s to %s", from, to);
	return err_first(sync_parent(to), sync_parent(from));
}

/* ---- removing ---- */

int fs_remove(const char *path)
{
	if (unlink(path) && errno != ENOENT && errno != ENOTDIR)
		return err_errno(ERR_IO, "cannot remove %s", path);
	return 0;
}

/* Removes the entry of an open folder if it is not a folder itself; 1 if it is one. */
static int remove_leaf(int dir, const char *name, const char *top)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return 0;
		return err_errno(ERR_IO, "cannot stat %s beneath %s", name, top);
	}
	if (S_ISDIR(st.st_mode))
		return 1;
	if (unlinkat(dir, name, 0) && errno != ENOENT)
		return err_errno(ERR_IO, "cannot remove %s beneath %s", name, top);
	return 0;
}

static DIR *open_dir_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return NULL;
	(void)fchmod(fd, 0700); /* a read-only folder of our own must not keep its files */
	d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

/* Empties a folder that lies in the top one: leaves are removed, folders are moved up into the top. */
static int flatten(int top_fd, const char *name, const char *top)
{
	DIR *d = open_dir_at(top_fd, name);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_errno(ERR_IO, "cannot open folder %s beneath %s", name, top);
	while (!rc && (errno = 0, (e = readdir(d)) != NULL)) {
		char fresh[24];
		int fd;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		rc = remove_leaf(dirfd(d), e->d_name, top);
		if (rc <= 0)
			continue;
		rc = 0;
		/* moving a folder rewrites its "..", so it must be writable */
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			(void)fchmod(fd, 0700);
			close(fd);
		}
		random_name(fresh, ".rm-");
		if (renameat(dirfd(d), e->d_name, top_fd, fresh) && errno != ENOENT)
			rc = err_errno(ERR_IO, "cannot remove %s beneath %s", e->d_name, top);
	}
	closedir(d);
	if (!rc && unlinkat(top_fd, name, AT_REMOVEDIR) && errno != ENOENT)
		rc = err_errno(ERR_IO, "cannot remove folder %s beneath %s", name, top);
	return rc;
}

/* One pass over the top folder; *left counts what was found. */
static int remove_pass(DIR *d, size_t *left, const char *top)
{
	struct dirent *e;
	int rc = 0;

	*left = 0;
	rewinddir(d);
	while (!rc && (errno = 0, (e = readdir(d)) != NULL)) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		++*left;
		rc = remove_leaf(dirfd(d), e->d_name, top);
		if (rc > 0)
			rc = flatten(dirfd(d), e->d_name, top);
	}
	if (!rc && errno)
		rc = err_errno(ERR_IO, "cannot list %s", top);
	return rc;
}

int fs_remove_tree(const char *path)
{
	size_t left = 1;
	int rc;
	DIR *d;

	rc = remove_leaf(AT_FDCWD, path, path);
	if (rc <= 0)
		return rc;
	d = open_dir_at(AT_FDCWD, path);
	if (!d)
		return err_errno(ERR_IO, "cannot open folder %s", path);
	for (rc = 0; !rc && left;)
		rc = remove_pass(d, &left, path);
	closedir(d);
	if (!rc && rmdir(path) && errno != ENOENT)
		rc = err_errno(ERR_IO, "cannot remove folder %s", path);
	return rc;
}
