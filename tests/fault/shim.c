/* shim.c: calls of the C library that fail when they are told to, for the program as it is built for users.
 *
 *	LD_PRELOAD=shim.so ASSAY_FAULT=KIND:N[:full] ASSAY_FAULT_MARK=FILE assay …
 *
 * The N-th call of KIND fails once: with EIO, or with ENOSPC and every one after it where ":full" is said (a disk that is full stays
 * so). FILE is made when it does, so that a sweep knows when there is nothing left to fail. KIND: write (write, pwrite, writev), sync
 * (fsync, fdatasync), rename (link, too), open (for writing), malloc (malloc, calloc, realloc by the program itself or by SQLite;
 * ENOMEM), sql (a step of a statement: SQLITE_IOERR, SQLITE_FULL where ":full" is said). statfs:0xMAGIC makes every file system one of
 * that kind. Only in a program named assay: its children are others' work. Descriptors 0 to 2 are left alone. With
 * ASSAY_FAULT_COUNT=FILE the number of calls of KIND is written there at the end; N may be 0, then none fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum kind { NONE, WRITE, SYNC, RENAME, OPEN, MALLOC, SQL, STATFS };
static enum kind kind;
static long at, magic;
static int full;
static atomic_long calls;
static const char *mark;

/* Where the code of the program and of SQLite lies. */
static struct {
	uintptr_t from, to;
	int own; /* the program's, not SQLite's */
} code[8];
static size_t n_code;

static int add_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	if (*info->dlpi_name && !strstr(info->dlpi_name, "libsqlite3"))
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum && n_code < 8; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
			continue;
		code[n_code].from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		code[n_code].to = code[n_code].from + info->dlpi_phdr[i].p_memsz;
		code[n_code].own = !*info->dlpi_name;
		n_code++;
	}
	return 0;
}

/* 0: not. 2: of the program itself. */
static int is_ours(const void *caller)
{
	for (size_t i = 0; i < n_code; i++)
		if ((uintptr_t)caller >= code[i].from && (uintptr_t)caller < code[i].to)
			return 1 + code[i].own;
	return 0;
}

__attribute__((constructor)) static void begin(void)
{
	static const char *const names[] = { "", "write", "sync", "rename", "open", "malloc", "sql", "statfs" };
	const char *fault = getenv("ASSAY_FAULT"), *colon = fault ? strchr(fault, ':') : NULL;

	mark = getenv("ASSAY_FAULT_MARK");
	if (!colon || strcmp(program_invocation_short_name, "assay") != 0)
		return;
	dl_iterate_phdr(add_code, NULL);
	at = strtol(colon + 1, NULL, 0);
	magic = at;
	full = strstr(colon, ":full") != NULL;
	for (size_t i = 1; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(fault, names[i], (size_t)(colon - fault)) && !names[i][colon - fault])
			kind = (enum kind)i;
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("ASSAY_FAULT_COUNT");
	char text[24];
	int fd, n = 0;
	long c = atomic_load(&calls);

	if (!path || kind == NONE)
		return;
	for (long left = c; left || !n; left /= 10)
		text[n++] = (char)('0' + left % 10);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0666);
	while (fd >= 0 && n)
		syscall(SYS_write, fd, &text[--n], 1);
	syscall(SYS_close, fd);
}

static int fails(enum kind k)
{
	long n;
	int fd;

	if (kind != k)
		return 0;
	n = atomic_fetch_add(&calls, 1) + 1;
	if (n != at && !(full && n > at))
		return 0;
	if (mark && n == at) {
		fd = (int)syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
		if (fd >= 0)
			syscall(SYS_close, fd);
	}
	errno = k == MALLOC ? ENOMEM : full ? ENOSPC : EIO;
	return 1;
}

/* The next one of that name, found at its first call. */
#define REAL(result, name, ...)                                                                                        \
	static result (*real)(__VA_ARGS__);                                                                            \
	if (!real)                                                                                                     \
	*(void **)&real = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *p, size_t n)
{
	REAL(ssize_t, write, int, const void *, size_t);
	return fd > 2 && fails(WRITE) ? -1 : real(fd, p, n);
}
ssize_t writev(int fd, const struct iovec *v, int n)
{
	REAL(ssize_t, writev, int, const struct iovec *, int);
	return fd > 2 && fails(WRITE) ? -1 : real(fd, v, n);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t to)
{
	REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
	return fails(WRITE) ? -1 : real(fd, p, n, to);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t to)
{
	REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
	return fails(WRITE) ? -1 : real(fd, p, n, to);
}
int fsync(int fd)
{
	REAL(int, fsync, int);
	return fails(SYNC) ? -1 : real(fd);
}
int fdatasync(int fd)
{
	REAL(int, fdatasync, int);
	return fails(SYNC) ? -1 : real(fd);
}
int rename(const char *from, const char *to)
{
	REAL(int, rename, const char *, const char *);
	return fails(RENAME) ? -1 : real(from, to);
}
int link(const char *from, const char *to)
{
	REAL(int, link, const char *, const char *);
	return fails(RENAME) ? -1 : real(from, to);
}

/* The program's own steps and scripts, not what SQLite does on its way: sqlite3_exec() does not look at what its own step says. */
enum { SQL_IOERR = 10, SQL_FULL = 13 }; /* of sqlite3.h */
struct sqlite3;
struct sqlite3_stmt;
int sqlite3_step(struct sqlite3_stmt *st)
{
	REAL(int, sqlite3_step, struct sqlite3_stmt *);
	return is_ours(__builtin_return_address(0)) == 2 && fails(SQL) ? full ? SQL_FULL : SQL_IOERR : real(st);
}
int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg, char **why)
{
	REAL(int, sqlite3_exec, struct sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *,
	     char **);
	return fails(SQL) ? full ? SQL_FULL : SQL_IOERR : real(db, sql, each, arg, why);
}

static int opens(const char *path, int flags, mode_t mode)
{
	if ((flags & O_ACCMODE) != O_RDONLY && fails(OPEN))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
#define MODE_OF(flags, mode)                                                                                           \
	va_list ap;                                                                                                    \
	va_start(ap, flags);                                                                                           \
	mode = (flags) & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;                                             \
	va_end(ap)
int open(const char *path, int flags, ...)
{
	mode_t mode;
	MODE_OF(flags, mode);
	return opens(path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
	mode_t mode;
	MODE_OF(flags, mode);
	return opens(path, flags | O_LARGEFILE, mode);
}

/* The C library's own names for what is behind malloc: dlsym itself allocates. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n)
{
	return is_ours(__builtin_return_address(0)) && fails(MALLOC) ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
	return is_ours(__builtin_return_address(0)) && fails(MALLOC) ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
	return is_ours(__builtin_return_address(0)) && fails(MALLOC) ? NULL : __libc_realloc(p, n);
}

int statfs(const char *path, struct statfs *st)
{
	REAL(int, statfs, const char *, struct statfs *);
	int rc = real(path, st);

	if (!rc && kind == STATFS)
		st->f_type = magic;
	return rc;
}
