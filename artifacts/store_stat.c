/* store_stat.c: the digest a file had when it was last read, so that adding it again costs no reading.
 *
 *	HOME/stat/ab/cdef…   "assay-stat/1 DEV INO SIZE MTIME_NS CTIME_NS SHA256 CHECK\n", named by the SHA-256 of "DEV INO"
 *
 * A file is taken for unchanged if device, inode, size, both times to the nanosecond are those of the note. The time of change
 * (ctime) is the kernel's: nobody sets it back with touch. What could still fool us is a change within the clock's step, after
 * we read and before the time moved on. So (as git does for its index) nothing is noted of a file that changed less than a step
 * before its first byte was read: any change since then has another time. The step is 20 ms on file systems of this machine; of
 * others (NFS, FUSE, whose times are another machine's) nothing is noted at all. Not seen: a program that writes through a
 * mapping which was open and dirty before, until the kernel writes the page back; so `verify` never looks here.
 *
 * A note is a file of its own, renamed into place without a sync: eight runs at once need no lock, and a lost or torn note
 * (CHECK) costs a reading. */
#include "base/base.h"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { NOTE_MAX = 512, STEP_NS = 20 * 1000 * 1000, CHECK_DIGITS = 16, KEEP_S = 30 * 24 * 3600 };

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static char *note_path(const struct store *s, const struct stat *st)
{
	char *name = mem_printf("%llu %llu", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino), *path;
	struct digest d = digest_bytes(name, strlen(name));
	char hex[DIGEST_HEX];

	digest_hex(hex, &d);
	path = store_file(s, VAULT_STAT, hex);
	free(name);
	return path;
}

static char *note_text(const struct stat *st, const char *hex)
{
	char *head = mem_printf("assay-stat/1 %llu %llu %llu %lld %lld %s", (unsigned long long)st->st_dev,
				(unsigned long long)st->st_ino, (unsigned long long)st->st_size,
				(long long)ns_of(st->st_mtim), (long long)ns_of(st->st_ctim), hex),
	     *text;
	struct digest d = digest_bytes(head, strlen(head));
	char check[DIGEST_HEX];

	digest_hex(check, &d);
	text = mem_printf("%s %.*s\n", head, CHECK_DIGITS, check);
	free(head);
	return text;
}

bool stat_known(const struct store *s, const struct stat *st, char hex[DIGEST_HEX])
{
	char *path = note_path(s, st), *want = NULL;
	struct buf text = BUF_INIT(NOTE_MAX);
	size_t tail = DIGEST_HEX + CHECK_DIGITS + 1; /* "SHA256 CHECK\n" */
	bool known = false;

	if (!fs_read(&text, path, NOTE_MAX) && text.len > tail) {
		snprintf(hex, DIGEST_HEX, "%.64s", text.data + text.len - tail);
		want = note_text(st, hex);
		known = store_name_ok(hex) && !strcmp(want, text.data);
	}
	err_clear();
	buf_release(&text);
	free(want);
	free(path);
	return known;
}

/* Are the file's times of this machine's clock? */
static bool is_local(int fd)
{
	static const long kinds[] = { 0xef53 /* ext */,
				      0x58465342 /* xfs */,
				      0x9123683e /* btrfs */,
				      0x01021994 /* tmpfs */,
				      0xf2f52010 /* f2fs */,
				      0x2fc12fc1 /* zfs */,
				      0xca451a4e /* bcachefs */ };
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (fs.f_type == kinds[i])
			return true;
	return false;
}

static int write_note(const struct store *s, const char *path, const char *text)
{
	struct fs_temp t;
	char *dir = path_dir(path);
	int rc = fs_temp_open(&t, s->tmp);

	rc = rc ? rc : fs_mkdirs(dir);
	rc = rc ? rc : fs_temp_write(&t, text, strlen(text));
	if (!rc && !rename(t.path, path)) {
		free(t.path);
		t.path = NULL;
		close(t.fd);
	}
	fs_temp_drop(&t);
	free(dir);
	return rc;
}

void stat_note(const struct store *s, int fd, const struct stat *st, int64_t started_ns, const char *hex)
{
	struct err_saved saved = err_save();
	struct stat now;
	char *path, *text;

	if (!fstat(fd, &now) && ns_of(now.st_ctim) == ns_of(st->st_ctim) && ns_of(now.st_mtim) == ns_of(st->st_mtim) &&
	    now.st_size == st->st_size && ns_of(st->st_ctim) + STEP_NS < started_ns && is_local(fd)) {
		path = note_path(s, st);
		text = note_text(st, hex);
		(void)write_note(s, path, text); /* not noted: read again the next time */
		free(path);
		free(text);
	}
	err_restore(&saved);
}

int stat_sweep(const struct store *s)
{
	struct name_list all = { NULL, 0, 0 };
	int rc = store_names(s, VAULT_STAT, &all, NULL, NULL);

	for (size_t i = 0; !rc && i < all.len; i++) {
		char *path = store_file(s, VAULT_STAT, all.names[i]);
		struct stat st;

		if (!lstat(path, &st) && time(NULL) - st.st_mtime > KEEP_S)
			rc = fs_remove(path);
		free(path);
	}
	name_list_release(&all);
	return rc;
}
