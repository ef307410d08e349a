/* unpack.c: the bytes of a compressed file or of one member of an archive, by libarchive.
 *
 * libarchive tells the packings by their first bytes, in any nesting that it knows (.tar.gz at once). Only filters that
 * live in the library are allowed: others would start programs of the machine. A compressed file without an archive is
 * its "raw" format: one nameless member.
 *
 * A small file may unpack to any size, so what is read is counted: the wanted member against the caller's maximum, all others
 * against a few times as much.
 *
 * Nothing is written anywhere, so a name cannot lead out of a folder. What no honest archive has is refused all the same, for
 * other programs would read something else there than we: a wanted name that is absolute or climbs, a wanted link, device or
 * pipe, two members of the wanted name. */
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

static int too_large(const struct archive_walk *w, size_t max)
{
	int rc = err_set(ERR_INPUT, "%s: unpacks to more than %zu MiB", w->name, max >> 20);

	return err_hint(rc, "split the data into more files, or give it more memory: half of what is free is the most");
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
				return too_large(w, mem_mul(w->max, PASSED));
			continue;
		}
		if (offset < 0 || (uint64_t)offset + n > w->max || (uint64_t)offset < out->len)
			return too_large(w, w->max);
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

static bool is_file(struct archive_entry *e)
{
	return archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e);
}

static bool is_link(struct archive_entry *e)
{
	return archive_entry_hardlink(e) || archive_entry_symlink(e);
}

static bool leads_out(const char *name)
{
	size_t n;

	if (*name == '/')
		return true;
	for (; *name; name += n + (name[n] == '/')) {
		n = strcspn(name, "/");
		if (n == 2 && name[0] == '.' && name[1] == '.')
			return true;
	}
	return false;
}

static int doubtful(const struct archive_walk *w, const char *name, const char *why)
{
	int rc = err_set(ERR_INPUT, "%s: \"%.200s\" in it %s", w->name, name, why);

	return err_hint(rc, "pack the data anew: plain files, each once");
}

/* Is this entry the one that is read? n: how many files were met, with this one. */
static int is_wanted(bool *wanted, const struct archive_walk *w, struct archive_entry *e, const char *member, size_t n,
		     bool found)
{
	const char *name = member_name(e);

	*wanted = member ? strcmp(name, member) == 0 : n == 1;
	if (!*wanted)
		return 0;
	if (is_link(e))
		return doubtful(w, name, "is a link, and links are not followed");
	if (!is_file(e))
		return doubtful(w, name, "is a device or a pipe, and no file");
	if (leads_out(name))
		return doubtful(w, name, "leads out of the archive");
	return found ? doubtful(w, name, "is there twice") : 0;
}

/* One entry: read if it is wanted, else passed over. *n counts the files. */
static int walk_entry(struct archive_walk *w, struct archive_entry *e, struct buf *out, char **inner,
		      const char *member, size_t *n, struct buf *names)
{
	const char *name = member_name(e);
	bool wanted = true;
	int rc;

	if (archive_format(w->a) == ARCHIVE_FORMAT_RAW) {
		++*n;
		return member ? err_set(ERR_INPUT, "%s: no archive: it has no member \"%s\"", w->name, member)
			      : member_read(w, out);
	}
	if (!name || is_litter(name) || !(is_file(e) || (member && archive_entry_filetype(e) != AE_IFDIR)))
		return 0;
	if (is_file(e) && ++*n > MEMBERS_MAX)
		return err_set(ERR_INPUT, "%s: more than %d files in an archive", w->name, MEMBERS_MAX);
	rc = is_wanted(&wanted, w, e, member, *n, *inner != NULL);
	if (rc)
		return rc;
	if (is_file(e) && *n <= SHOWN)
		buf_addf(names, "%s%s", *n > 1 ? ", " : "", name);
	if (wanted)
		*inner = mem_str(name);
	return member_read(w, wanted ? out : NULL);
}

/* Reads the wanted member (NULL: the only one), and passes over all others. */
static int walk(struct archive_walk *w, struct buf *out, char **inner, const char *member)
{
	struct buf names = BUF_INIT(4096);
	struct archive_entry *e;
	size_t n = 0;
	int rc = 0, step = ARCHIVE_OK;

	while (rc == 0 && ((step = archive_read_next_header(w->a, &e)) == ARCHIVE_OK || step == ARCHIVE_WARN))
		rc = walk_entry(w, e, out, inner, member, &n, &names);
	if (rc == 0 && step != ARCHIVE_EOF)
		rc = broken(w);
	else if (rc == 0 && archive_format(w->a) != ARCHIVE_FORMAT_EMPTY && (member ? !*inner : n != 1))
		rc = no_member(w, member, n, &names);
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
	if (!w.a)
		return err_set(ERR_UNAVAILABLE, "%s: out of memory", name);
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
		rc = too_large(&w, max);
	archive_read_free(w.a);
	if (rc) {
		free(*inner);
		*inner = NULL;
		buf_release(out);
	}
	return rc;
}
