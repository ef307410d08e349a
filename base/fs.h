/* fs.h: files. What is written is written whole: to a temporary name in the same file system, synced, renamed, and
 * the folder synced; so a reader sees the old file or the new one, and a crash leaves at most a temporary. */
#ifndef BASE_FS_H
#define BASE_FS_H

/* ERR_NOTFOUND, ERR_IO; ERR_INPUT above max, and for what is no regular file: it would be waited for. Pipes that a shell hands
 * over (/dev/stdin, /dev/fd/N) are read. */
int fs_read(struct buf *out, const char *path, size_t max);
struct stat;
int fs_open_read(int *fd, struct stat *st, const char *path); /* the same, opened; yours to close */
/* A stranger's: ERR_INPUT where the name is a link, a pipe or a device, which is neither followed nor waited for. */
int fs_read_plain(struct buf *out, const char *path, size_t max);
/* Atomic, durable; parent folders are made. ERR_INPUT: a pipe, a socket or a device is there. */
int fs_write(const char *path, const void *data, size_t len);
int fs_check_target(const char *path); /* that alone, before the work whose result goes there */
/* Is the name free, for what is to be made? ERR_EXISTS; a link that leads nowhere is there, too, and nothing is written through it. */
int fs_check_new(const char *path);
bool fs_exists(const char *path);
bool fs_is_dir(const char *path);
int fs_size(uint64_t *out, const char *path);
void fs_size_text(char out[16], uint64_t bytes); /* "3.2 GB" */
int fs_mkdirs(const char *path);
int fs_remove(const char *path);                 /* a file; not being there is no error */
int fs_remove_tree(const char *path);            /* follows no link; not being there is no error */
int fs_rename(const char *from, const char *to); /* and syncs both folders */
int fs_sync_dir(const char *path);
int fs_copy(const char *from, const char *to);                       /* atomic, as fs_write */
int fs_temp_dir(char **out, const char *parent, const char *prefix); /* yours; mode 0700 */
/* Calls each(name, arg) for every entry but . and .., sorted by name; stops at the first non-zero result. */
int fs_list(const char *dir, int (*each)(const char *name, void *arg), void *arg);

/* errno of a failed write: ENOSPC or EDQUOT? Then fs_full() is its error, said in one way everywhere: ERR_IO, with the folder of path and
 * what to do. wanted: bytes that did not fit, 0 if that is not known. The caller may put in front what it was doing. */
bool fs_no_room(void);
int fs_full(const char *path, uint64_t wanted);
/* As err_errno(), of a write of any kind beneath path; of a full disk it says that. */
int fs_failed(int code, const char *path, uint64_t wanted, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A file written in pieces under a temporary name in dir; committed to its final path, or dropped. */
struct fs_temp {
	int fd;
	char *path;
};
int fs_temp_open(struct fs_temp *t, const char *dir);
int fs_temp_write(struct fs_temp *t, const void *data, size_t len);
void fs_temp_flush(struct fs_temp *t, uint64_t at, uint64_t len); /* starts the disk on it; waits for nothing */
int fs_temp_commit(struct fs_temp *t, const char *path);          /* sync, rename, sync the folder */
void fs_temp_drop(struct fs_temp *t);                             /* no-op after a commit */
int fs_temp_sweep(const char *dir); /* removes what processes that were killed left there; nobody else may be writing */

/* A read-only view of a file. An empty file gives data "" and len 0. */
struct fs_map {
	const uint8_t *data;
	size_t len;
};
int fs_map_open(struct fs_map *m, const char *path);
void fs_map_close(struct fs_map *m);
/* These bytes are not needed for now: their pages leave the process's memory. They can still be read. */
void fs_map_drop(const struct fs_map *m, size_t at, size_t len);

#endif
