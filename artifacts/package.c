/* package.c: a stored folder taken out in a form that others load.
 *
 * The one idea: a package is a list of members in the order of their paths, each an object of the store or a short text
 * of ours, and a format is a function that writes such a list. So what a format adds (a manifest, a server's
 * configuration) is made of the version's record and nothing else: no clock, no user, no host. The same version gives
 * the same bytes on every machine, for the archive as far as libzstd is the same (the tar inside always is).
 *
 *	dir       the folder as it is: what transformers, vLLM and Ray Serve load
 *	tar.zst   one archive of it (package_tar.c)
 *	oci       an OCI image layout, a layer a file (package_oci.c)
 *	triton    a model repository of Triton's vLLM back end around it (package_triton.c)
 *
 * Every object is verified while it is copied. What is written appears under its name whole or not at all: it is made
 * beside its place and renamed. */
#include "base/base.h"

#include <sys/stat.h>
#include <unistd.h>

#include "artifacts/package.h"

static const char *const names[] = {
	[PACKAGE_DIR] = "dir", [PACKAGE_TAR] = "tar.zst", [PACKAGE_OCI] = "oci", [PACKAGE_TRITON] = "triton"
};

int package_parse(enum package_format *out, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(names[i], name)) {
			*out = (enum package_format)i;
			return 0;
		}
	}
	return ERR_NOTFOUND;
}

/* ---- members --------------------------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
	const struct package_member *x = a, *y = b;

	return strcmp(x->file.path, y->file.path);
}

void package_sort(struct package *p)
{
	if (p->n)
		qsort(p->members, p->n, sizeof(*p->members), by_path);
}

static struct package_member *add(struct package *p)
{
	MEM_GROW(p->members, p->n, p->cap);
	return &p->members[p->n++];
}

void package_add_text(struct package *p, char *path, char *text)
{
	struct package_member *m = add(p);
	struct digest d = digest_bytes(text, strlen(text));

	*m = (struct package_member){ .file = { .path = path, .size = strlen(text) }, .text = text };
	digest_hex(m->file.object, &d);
}

static int fill(struct package *p)
{
	struct tree_files files;
	int rc = store_tree_read(p->store, p->o->object, &files);

	if (rc)
		return rc;
	for (size_t i = 0; i < files.len; i++) { /* paths move over */
		*add(p) = (struct package_member){ .file = files.items[i] };
		files.items[i].path = NULL;
	}
	tree_files_release(&files);
	for (size_t i = 0; i < p->o->n_texts; i++)
		package_add_text(p, mem_str(p->o->texts[i].path), mem_str(p->o->texts[i].text));
	package_sort(p);
	for (size_t i = 1; i < p->n; i++)
		if (!strcmp(p->members[i - 1].file.path, p->members[i].file.path))
			return err_set(ERR_INPUT, "the model has a file %s, whose place is taken in a package",
				       p->members[i].file.path);
	return 0;
}

static void package_release(struct package *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->members[i].file.path);
		free(p->members[i].text);
	}
	free(p->members);
}

int package_write_files(struct package *p, const char *dir)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < p->n; i++) {
		const struct package_member *m = &p->members[i];
		char *to = path_join(dir, m->file.path);

		rc = m->text ? fs_write(to, m->text, strlen(m->text))
			     : store_file_out(p->store, &m->file, dir, p->o->as_links);
		free(to);
	}
	return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_folder(struct package *p, enum package_format format, const char *dir, const char *final)
{
	int rc = fs_mkdirs(dir);

	if (rc)
		return rc;
	if (format == PACKAGE_OCI)
		return package_write_oci(p, dir);
	return format == PACKAGE_TRITON ? package_write_triton(p, dir, final) : package_write_files(p, dir);
}

/* Made in a folder beside its place, whose mode is private; inside it, modes are as the user has them. */
static int write_beside(struct package *p, enum package_format format, const char *out)
{
	char *parent = path_dir(out), *tmp = NULL, *made = NULL;
	struct err_saved why;
	int rc = fs_mkdirs(parent);

	rc = rc ? rc : fs_temp_dir(&tmp, parent, ".assay-");
	if (rc == ERR_NOTFOUND) /* else it would read as if the model were not there */
		rc = ERR_IO;
	if (!rc) {
		made = path_join(tmp, "package");
		rc = format == PACKAGE_TAR ? package_write_tar(p, made) : write_folder(p, format, made, out);
	}
	rc = rc ? rc : fs_check_new(out);
	if (!rc) {
		rc = fs_rename(made, out);
		rc = rc == ERR_NOTFOUND ? ERR_IO : rc;
	}
	why = err_save();
	if (tmp)
		(void)fs_remove_tree(tmp);
	err_restore(&why);
	free(made);
	free(tmp);
	free(parent);
	return rc;
}

int package_export(struct store *s, enum package_format format, const struct package_options *o, const char *out)
{
	struct package p = { .store = s, .o = o };
	char *plain = mem_str(out);
	size_t n = strlen(plain);
	int rc;

	while (n > 1 && plain[n - 1] == '/')
		plain[--n] = '\0';
	rc = fs_check_new(plain);
	rc = rc ? rc : fill(&p);
	rc = rc ? rc : write_beside(&p, format, plain);
	package_release(&p);
	free(plain);
	return rc;
}
