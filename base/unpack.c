/* unpack.c: the bytes of a compressed file or of one member of an archive, by libarchive.
 *
 * libarchive tells the packings by their first bytes, in any nesting that it knows (.tar.gz at once). Only filters that
 * live in the library are allowed: others would start programs of the machine. A compressed file without an archive is
 * its "raw" format: one nameless member.
 *
 * A small file may unpack to any size, so what is read is counted: the wanted member against the caller's maximum, those
 * before it against a few times as much. */
#include "base/base.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/rows_int.h"

enum { MEMBERS_MAX = 100000, SHOWN = 5, PASSED = 8 /* times max */ };

struct archive_walk {
	struct archive *a;
	const char *name;
	size_t max, passed;
};

static int broken(const struct archive_walk *w)
{
	const char *why = archive_error_string(w->a);

	return err_set(ERR_INPUT, "%s: cannot unpack it: %s", w->name, why ? why : "damaged");
}

static int too_large(const struct archive_walk *w)
{
	int rc = err_set(ERR_INPUT, "%s: unpacks to more than %zu MiB", w->name, w->max >> 20);

	return err_hint(rc, "split the data into more files");
}

/* The data of the member at hand; out NULL: passes over it. */
static int member_read(struct archive_walk *w, struct buf *out)
{
	const void *block;
	size_t n;
	int64_t offset;
	int rc;

	while ((rc = archive_read_data_block(w->a, &block, &n, &offset)) == ARCHIVE_OK) {
		if (!out) {
			w->passed += n;
			if (w->passed / PASSED > w->max)
				return too_large(w);
			continue;
		}
		if (offset < 0 || (uint64_t)offset + n > w->max || (uint64_t)offset < out->len)
			return too_large(w);
		while (out->len < (size_t)offset) /* a hole of a sparse file */
			buf_addc(out, 0);
		buf_add(out, block, n);
	}
	return rc == ARCHIVE_EOF ? 0 : broken(w);
}

static const char *member_name(struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);

	name = name ? name : archive_entry_pathname(e);
	if (name && strncmp(name, "./", 2) == 0)
		name += 2;
	return name;
}

/* What macOS adds beside each file. */
static bool is_litter(const char *name)
{
	return strncmp(name, "__MACOSX/", 9) == 0 || strncmp(path_base(name), "._", 2) == 0 ||
	       strcmp(path_base(name), ".DS_Store") == 0;
}

static int no_member(const struct archive_walk *w, const char *member, size_t n, const struct buf *names)
{
	int rc;

	if (n == 0)
		return err_set(ERR_INPUT, "%s: an archive without files", w->name);
	if (member)
		rc = err_set(ERR_INPUT, "%s: there is no file \"%s\" in it (there is: %s%s)", w->name, member,
			     buf_str(names), n > SHOWN ? ", …" : "");
	else
		rc = err_set(ERR_INPUT, "%s: an archive of %zu files: %s%s", w->name, n, buf_str(names),
			     n > SHOWN ? ", …" : "");
	return err_hint(rc, "name one of them behind the archive: ARCHIVE/MEMBER");
}

/* Reads the wanted member, or the first one; n counts all files that were met. */
static int walk(struct archive_walk *w, struct buf *out, char **inner, const char *member)
{
	struct buf names = BUF_INIT(4096);
	struct archive_entry *e;
	size_t n = 0;
	int rc = 0, step;

	while ((step = archive_read_next_header(w->a, &e)) == ARCHIVE_OK || step == ARCHIVE_WARN) {
		const char *name = member_name(e);
		bool raw = archive_format(w->a) == ARCHIVE_FORMAT_RAW;
		bool wanted;

		if (raw && member) {
			rc = err_set(ERR_INPUT, "%s: no archive: it has no member \"%s\"", w->name, member);
			goto out;
		}
		if (!raw && (archive_entry_filetype(e) != AE_IFREG || !name || is_litter(name)))
			continue;
		if (++n > MEMBERS_MAX) {
			rc = err_set(ERR_INPUT, "%s: more than %d files in an archive", w->name, MEMBERS_MAX);
			goto out;
		}
		wanted = member ? strcmp(name, member) == 0 : n == 1;
		if (!raw && n <= SHOWN)
			buf_addf(&names, "%s%s", n > 1 ? ", " : "", name);
		if (wanted && !raw)
			*inner = mem_str(name);
		rc = member_read(w, wanted ? out : NULL);
		if (rc || (wanted && member))
			goto out;
	}
	if (step != ARCHIVE_EOF)
		rc = broken(w);
	else if (archive_format(w->a) != ARCHIVE_FORMAT_EMPTY && (member || n != 1))
		rc = no_member(w, member, n, &names);
out:
	buf_release(&names);
	return rc;
}

int unpack(struct buf *out, char **inner, const void *data, size_t len, const char *name, const char *member,
	   size_t max)
{
	struct archive_walk w = { archive_read_new(), name, max, 0 };
	int rc;

	*inner = NULL;
	buf_init(out, max);
	archive_read_support_filter_gzip(w.a);
	archive_read_support_filter_bzip2(w.a);
	archive_read_support_filter_xz(w.a);
	archive_read_support_filter_zstd(w.a);
	archive_read_support_format_tar(w.a);
	archive_read_support_format_zip(w.a);
	archive_read_support_format_raw(w.a);
	archive_read_support_format_empty(w.a);
	rc = archive_read_open_memory(w.a, data, len) == ARCHIVE_OK ? walk(&w, out, inner, member) : broken(&w);
	if (!rc && buf_full(out))
		rc = too_large(&w);
	archive_read_free(w.a);
	if (rc) {
		free(*inner);
		*inner = NULL;
		buf_release(out);
	}
	return rc;
}
