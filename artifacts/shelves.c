/* shelves.c: which records have no rows, without looking at every record.
 *
 * Records lie on 256 shelves, records/00 to records/ff. Whoever opens the registry must know what has come onto them since
 * (a crash left a record without rows, another home's were copied in), and with 100,000 records a listing of all costs more
 * than most questions. A folder's time of change moves when a name comes or goes, so a shelf whose time is the one that was
 * seen when all of it had rows needs no listing: the table shelves keeps that time. 256 stats instead of 100,000 names.
 *
 * Two changes within one tick of the file system's clock leave one time. So a time is kept only if it lay some ticks back
 * when the shelf was listed; until then the shelf is listed again and again, which is right and slow. A time with a fraction
 * below a millisecond is by a clock as fine as Linux's own; any other, and that of a file system of other machines, may be by
 * one that counts seconds (FAT counts every second one). A
 * reader who finds several that it could keep (a pull, say, was the last to write) does so, unless somebody is writing. The
 * inode is kept beside it, for folders that were replaced.
 *
 * A record that leaves records/ on purpose goes to HOME/aside/ (sync_merge.c), and its rows go with it in one transaction. A kill between
 * the move and the COMMIT leaves rows of what is aside: seen on its shelf, by whoever opens next. A file that is gone from both
 * places is damage, and its rows stay for the check to tell of.
 *
 * The table is not derived from records and is no part of what a check compares. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "artifacts/artifacts_int.h"

enum { SHELVES = 256 };
/* By a clock whose ticks are 10 ms at most; and by one that counts seconds, or two. */
#define SETTLED_FINE_NS INT64_C(20000000)
#define SETTLED_NS INT64_C(2000000000)

#define SQL_SHELVES "SELECT name, mtime_ns, inode FROM shelves"
#define SQL_ROWS "SELECT id FROM records WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id"
#define SQL_KEEP "INSERT OR REPLACE INTO shelves (name, mtime_ns, inode) VALUES (?1, ?2, ?3)"

struct shelf {
	bool there, settled;
	int64_t mtime_ns, inode;
};

static void shelf_name(char *out, size_t i)
{
	static const char digits[] = "0123456789abcdef";

	out[0] = digits[i / 16 % 16];
	out[1] = digits[i % 16];
	out[2] = '\0';
}

/* What the folders look like now. From the vault's own folder: its path is walked once, not 256 times. */
static int look(const struct registry *r, struct shelf now[SHELVES])
{
	char *path = path_join(store_home(r->store), VAULT_RECORDS), name[3];
	DIR *dir = opendir(path);
	struct stat st;
	int rc = 0;

	if (!dir && errno != ENOENT)
		rc = err_errno(ERR_IO, "%s", path);
	for (size_t i = 0; dir && !rc && i < SHELVES; i++) {
		shelf_name(name, i);
		now[i].there = !fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW);
		if (!now[i].there && errno != ENOENT)
			rc = err_errno(ERR_IO, "%s/%s", path, name);
		now[i].mtime_ns = now[i].there ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
		now[i].inode = now[i].there ? (int64_t)st.st_ino : 0;
	}
	if (dir)
		closedir(dir);
	free(path);
	return rc;
}

static int compare_with_kept(struct registry *r, struct shelf now[SHELVES])
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_SHELVES, "");

	json_array_foreach(rows, i, row)
	{
		size_t at = strtoul(json_get_text(row, "name", ""), NULL, 16) % SHELVES;

		now[at].settled = now[at].mtime_ns == json_get_int(row, "mtime_ns", -1) &&
				  now[at].inode == json_get_int(row, "inode", -1);
	}
	json_decref(rows);
	return rc;
}

struct shelf_list {
	const char *shelf;
	struct name_list *names;
};

static int add_name(const char *name, void *arg)
{
	struct shelf_list *l = arg;
	char hex[DIGEST_HEX];

	if (strlen(name) != DIGEST_HEX - 3)
		return 0;
	memcpy(hex, l->shelf, 2);
	memcpy(hex + 2, name, DIGEST_HEX - 2);
	if (!store_name_ok(hex))
		return 0;
	MEM_GROW(l->names->names, l->names->len, l->names->cap);
	memcpy(l->names->names[l->names->len++], hex, sizeof(hex));
	return 0;
}

static int list_shelf(struct registry *r, const char *shelf, struct name_list *files, struct name_list *rows)
{
	char *dir = mem_printf("%s/%s/%s", store_home(r->store), VAULT_RECORDS, shelf);
	struct shelf_list l = { shelf, files };
	int rc = fs_list(dir, add_name, &l);

	free(dir);
	return rc ? rc : sql_names_of(r, rows, SQL_ROWS, "t", shelf);
}

char *shelves_aside(const struct store *s, const char *hex, bool again)
{
	return mem_printf("%s/aside/%s%s", store_home(s), hex, again ? ".again" : "");
}

bool shelves_moved(const struct registry *r, const char *id)
{
	bool moved = false;

	for (int again = 0; !moved && again < 2; again++) {
		char *path = shelves_aside(r->store, id, again);

		moved = fs_exists(path);
		free(path);
	}
	return moved;
}

bool shelves_settle(int64_t mtime_ns, int64_t now_ns, bool shared)
{
	bool fine = !shared && mtime_ns % 1000000;

	return mtime_ns < now_ns - (fine ? SETTLED_FINE_NS : SETTLED_NS);
}

int shelves_unsettled(struct registry *r, struct name_list *files, struct name_list *rows, bool keep)
{
	struct shelf now[SHELVES] = { 0 };
	int64_t now_ns = clock_unix_ns();
	bool shared = filesystem_shared(store_home(r->store)) != NULL;
	char name[3];
	bool settled;
	int rc = look(r, now);

	r->could_keep = 0;
	rc = rc ? rc : compare_with_kept(r, now);
	for (size_t i = 0; !rc && i < SHELVES; i++) {
		if (!now[i].there || now[i].settled)
			continue;
		shelf_name(name, i);
		rc = list_shelf(r, name, files, rows);
		settled = shelves_settle(now[i].mtime_ns, now_ns, shared);
		r->could_keep += settled;
		if (!rc && keep && settled)
			rc = sql_run(r, SQL_KEEP, "tii", name, now[i].mtime_ns, now[i].inode);
	}
	return rc;
}
