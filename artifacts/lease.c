/* lease.c: one at a time.
 *
 * A lease is a kernel lock (flock) on HOME/leases/NAME. The kernel drops it when the process ends, however it ends, so
 * there is no stale lease, no time-out and nothing to unlock by hand. The file's text, one line of JSON with pid, boot
 * id, start time of the process and of the lease, is for people only: it fills the message of whoever waits. It is
 * written after the lock is got and emptied before it is dropped; a reader may find it torn and then says less.
 *
 * The file is never deleted: between open and flock a name could otherwise come to mean two files. Should somebody
 * else delete it, the lock on the lost file is worth nothing, and the taker notices (same inode?) and starts again.
 * The lock belongs to the open file, so it is closed on exec: a child program does not keep a lease alive. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { OWNER_MAX = 512 };

struct lease {
	struct lock lock;
};

/* ---- the owner's line ------------------------------------------------------------------------ */

static void boot_id(char out[40])
{
	struct buf b = BUF_INIT(128);

	out[0] = '\0';
	if (!fs_read(&b, "/proc/sys/kernel/random/boot_id", 128))
		snprintf(out, 40, "%.36s", buf_str(&b));
	err_clear();
	buf_release(&b);
}

/* Start of this process in clock ticks since boot: with the boot id, no other process has had the same pair. */
static long long start_ticks(void)
{
	struct buf b = BUF_INIT(4096);
	long long ticks = 0;
	const char *p;

	if (!fs_read(&b, "/proc/self/stat", 4096) && (p = strrchr(buf_str(&b), ')'))) {
		/* field 2 ends at the last ')'; the start is field 22 */
		for (int field = 2; field < 22 && p; field++)
			p = strchr(p + 1, ' ');
		ticks = p ? strtoll(p + 1, NULL, 10) : 0;
	}
	err_clear();
	buf_release(&b);
	return ticks;
}

static int owner_write(int fd, const char *path)
{
	char boot[40], since[21], line[OWNER_MAX];
	int n;

	boot_id(boot);
	clock_iso(since, clock_unix_ns());
	n = snprintf(line, sizeof(line), "{\"boot\":\"%s\",\"pid\":%ld,\"since\":\"%s\",\"start\":%lld}\n", boot,
		     (long)getpid(), since, start_ticks());
	errno = ENOSPC; /* of a write that is short */
	if (ftruncate(fd, 0) || pwrite(fd, line, (size_t)n, 0) != n)
		return fs_failed(ERR_IO, path, 0, "writing a lock file");
	return 0;
}

/* "process 812, since 2026-11-24T03:38:00Z", as well as it is known. */
static void owner_read(char *out, size_t size, int fd)
{
	char line[OWNER_MAX], boot[40];
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	json_t *owner = n > 0 ? json_loadb(line, (size_t)n, JSON_DISABLE_EOF_CHECK, NULL) : NULL;

	boot_id(boot);
	if (!json_is_object(owner))
		snprintf(out, size, "another process");
	else if (strcmp(json_get_text(owner, "boot", ""), boot))
		snprintf(out, size, "process %lld of another machine, since %s",
			 (long long)json_get_int(owner, "pid", 0), json_get_text(owner, "since", "?"));
	else
		snprintf(out, size, "process %lld, since %s", (long long)json_get_int(owner, "pid", 0),
			 json_get_text(owner, "since", "?"));
	json_decref(owner);
}

/* ---- locks ----------------------------------------------------------------------------------- */

/* 0, ERR_BUSY, or ERR_CONFLICT: the file was deleted meanwhile. */
static int lock_try(int fd, const char *path, bool shared)
{
	struct stat mine, named;

	if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return errno == EWOULDBLOCK || errno == EINTR ? ERR_BUSY : err_errno(ERR_IO, "locking %s", path);
	if (fstat(fd, &mine) || stat(path, &named) || mine.st_ino != named.st_ino || mine.st_dev != named.st_dev)
		return ERR_CONFLICT;
	return 0;
}

static int lock_open(const char *path, int *fd)
{
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644); /* style: allow (a lock, no document) */
	return *fd < 0 ? fs_failed(ERR_IO, path, 0, "%s", path) : 0;
}

int lock_take(struct lock *l, const char *path, const char *what, bool shared, double wait_s)
{
	double until = clock_seconds() + wait_s, nap = 0.005;
	char owner[160];
	bool said = false;
	int fd = -1, rc;

	for (;;) {
		rc = fd < 0 ? lock_open(path, &fd) : 0;
		rc = rc ? rc : lock_try(fd, path, shared);
		if (rc != ERR_BUSY && rc != ERR_CONFLICT)
			break;
		if (rc == ERR_CONFLICT) {
			close(fd);
			fd = -1;
		} else {
			owner_read(owner, sizeof(owner), fd);
			if (clock_seconds() >= until) {
				rc = err_set(ERR_BUSY, "%s is held by %s", what, owner);
				err_hint(rc, "try again when it has ended");
				break;
			}
			if (!said && nap > 0.1)
				log_info("waiting for %s, held by %s", what, owner);
			said = said || nap > 0.1;
		}
		nanosleep(&(struct timespec){ 0, (long)(nap * 1e9) }, NULL);
		nap = nap < 0.2 ? nap * 1.5 : nap;
	}
	if (!rc && !shared)
		rc = owner_write(fd, path);
	if (rc && fd >= 0)
		close(fd);
	*l = (struct lock){ rc ? -1 : fd, shared };
	return rc;
}

void lock_drop(struct lock *l)
{
	if (l->fd < 0)
		return;
	/* no owner, no line; should this fail, the next owner writes over it */
	if (!l->shared && ftruncate(l->fd, 0))
		log_debug("a lock file keeps its line");
	(void)flock(l->fd, LOCK_UN);
	close(l->fd);
	l->fd = -1;
}

/* ---- leases ---------------------------------------------------------------------------------- */

static bool lease_name_ok(const char *name)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
	size_t n = strspn(name, good);

	return n > 0 && n <= 200 && !name[n] && name[0] != '.';
}

int lease_take(struct lease **out, const struct store *s, const char *name, double wait_s)
{
	struct lease *l;
	char *path, *what;
	int rc;

	if (!lease_name_ok(name))
		return err_set(ERR_INPUT, "'%.80s' is no name for a lease (letters, digits, '.', '-', '_')", name);
	l = mem_alloc(sizeof(*l));
	path = mem_printf("%s/leases/%s", s->home, name);
	what = mem_printf("lease %s", name);
	rc = lock_take(&l->lock, path, what, false, wait_s);
	free(path);
	free(what);
	if (rc) {
		free(l);
		return rc;
	}
	*out = l;
	return 0;
}

void lease_drop(struct lease *l)
{
	if (!l)
		return;
	lock_drop(&l->lock);
	free(l);
}
