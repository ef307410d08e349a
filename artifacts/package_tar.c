/* package_tar.c: a package as one archive, MODEL-vN.tar.zst, by libarchive.
 *
 * Deterministic: members in path order under one top folder MODEL-vN/, mode 0644, owner 0 without a name, time 0, GNU
 * tar format (names as bytes, any size), zstd at level 3 on one thread (with several, the frames depend on how many).
 * The bytes of the tar are the same everywhere; those of the frame are the same for one version of libzstd. */
#include "base/base.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#include "artifacts/package.h"

struct tar {
	struct archive *a;
	struct fs_temp t;
	const char *path;
	int failed; /* of a write of ours inside libarchive */
};

static int tar_error(const struct tar *t, const char *doing)
{
	const char *why = archive_error_string(t->a);

	if (t->failed)
		return t->failed; /* its text is set */
	return err_set(ERR_IO, "%s: %s: %s", t->path, doing, why ? why : "libarchive failed");
}

static la_ssize_t to_file(struct archive *a, void *arg, const void *data, size_t len)
{
	struct tar *t = arg;

	t->failed = fs_temp_write(&t->t, data, len);
	if (t->failed)
		archive_set_error(a, EIO, "cannot write");
	return t->failed ? -1 : (la_ssize_t)len;
}

static int put_data(const void *data, size_t len, void *arg)
{
	struct tar *t = arg;

	return archive_write_data(t->a, data, len) == (la_ssize_t)len ? 0 : tar_error(t, "writing");
}

static int add_member(struct tar *t, struct package *p, const struct package_member *m)
{
	struct archive_entry *e = archive_entry_new();
	char *name = mem_printf("%s-v%d/%s", p->o->model, p->o->version, m->file.path), *clean = NULL;
	uint64_t size = m->file.size;
	int rc = path_check(&clean, name); /* a record of somebody else's may name a model ../x */

	if (!rc && !e)
		rc = err_set(ERR_UNAVAILABLE, "%s: out of memory", t->path);
	if (!rc && strcmp(clean, name) != 0)
		rc = err_set(ERR_INPUT, "%s is no plain path for an archive", name);
	if (!rc && !m->text)
		rc = store_size(p->store, m->file.object, &size);
	if (!rc && size != m->file.size)
		rc = err_set(ERR_INPUT, "%s: the manifest says %llu bytes, the object has %llu", m->file.path,
			     (unsigned long long)m->file.size, (unsigned long long)size);
	if (rc)
		goto out;
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)m->file.size);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	if (archive_write_header(t->a, e) != ARCHIVE_OK)
		rc = tar_error(t, m->file.path);
	if (!rc)
		rc = m->text ? put_data(m->text, strlen(m->text), t)
			     : store_stream(p->store, m->file.object, put_data, t);
	if (!rc && archive_write_finish_entry(t->a) != ARCHIVE_OK) /* shorter than its header says */
		rc = tar_error(t, m->file.path);
out:
	archive_entry_free(e);
	free(clean);
	free(name);
	return rc;
}

/* A filter that libarchive would start a program for is none: ARCHIVE_WARN. */
static int open_tar(struct tar *t)
{
	if (!t->a)
		return err_set(ERR_UNAVAILABLE, "%s: out of memory", t->path);
	if (archive_write_set_format_gnutar(t->a) != ARCHIVE_OK || archive_write_add_filter_zstd(t->a) != ARCHIVE_OK)
		return err_set(ERR_UNAVAILABLE, "this libarchive cannot write tar.zst");
	archive_write_set_filter_option(t->a, "zstd", "compression-level", "3");
	archive_write_set_bytes_in_last_block(t->a, 1);
	if (archive_write_open(t->a, t, NULL, to_file, NULL) != ARCHIVE_OK)
		return tar_error(t, "opening");
	return 0;
}

int package_write_tar(struct package *p, const char *path)
{
	struct tar t = { .a = archive_write_new(), .t = { -1, NULL }, .path = path };
	char *dir = path_dir(path);
	struct err_saved why;
	int rc = fs_temp_open(&t.t, dir);

	rc = rc ? rc : open_tar(&t);
	for (size_t i = 0; !rc && i < p->n; i++)
		rc = add_member(&t, p, &p->members[i]);
	if (!rc && archive_write_close(t.a) != ARCHIVE_OK)
		rc = tar_error(&t, "closing");
	rc = rc ? rc : fs_temp_commit(&t.t, path);
	why = err_save();
	archive_write_free(t.a); /* not archive_write_fail(): it leaks; what is still written goes with the file */
	fs_temp_drop(&t.t);
	err_restore(&why);
	free(dir);
	return rc;
}
