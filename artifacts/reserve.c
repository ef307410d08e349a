/* reserve.c: a megabyte for the day on which the disk is full.
 *
 * To take something away, a collection must first write: the record of what goes, the rows of it, the database's log. On a disk with
 * nothing left it could free nothing. So each home has a file of a megabyte that is for this alone (HOME/reserve): a collection that
 * finds the disk full removes it first. It is made again by whoever opens the store once there is room; nothing is said where it
 * cannot be. */
#include "base/base.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { RESERVE = 1 << 20, ROOM_TO_MAKE = 64 << 20, ROOM_TO_SPEND = 1 << 20 };

static uint64_t room(const struct store *s)
{
	struct statvfs fs;

	return statvfs(s->home, &fs) ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

void reserve_make(const struct store *s)
{
	char *path = path_join(s->home, "reserve");
	struct stat st;
	int fd;

	if ((lstat(path, &st) || (S_ISREG(st.st_mode) && st.st_size < RESERVE)) && room(s) >= ROOM_TO_MAKE) {
		/* style: allow: it has no content */
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); /* style: allow */
		if (fd >= 0 && posix_fallocate(fd, 0, RESERVE))
			(void)unlink(path);
		if (fd >= 0)
			close(fd);
	}
	free(path);
}

bool store_spend_reserve(struct store *s)
{
	char *path = path_join(s->home, "reserve");
	bool spent = room(s) < ROOM_TO_SPEND && !unlink(path);

	free(path);
	return spent;
}
