/* package.h: what the formats of a package share. Inside artifacts/ only. */
#ifndef ARTIFACTS_PACKAGE_H
#define ARTIFACTS_PACKAGE_H

#include "artifacts/artifacts_int.h"

/* A file of the package: an object of the store, or a text of ours. */
struct package_member {
	struct tree_file file;
	char *text; /* NULL: an object */
};
struct package {
	struct store *store;
	const struct package_options *o;
	struct package_member *members; /* in the order of their paths */
	size_t n, cap;
};
/* path and text become the package's. */
void package_add_text(struct package *p, char *path, char *text);
void package_sort(struct package *p); /* after additions and renames */
/* All members into a folder that is there. */
int package_write_files(struct package *p, const char *dir);

int package_write_tar(struct package *p, const char *path);                      /* a new file */
int package_write_oci(struct package *p, const char *dir);                       /* into a folder that is there */
int package_write_triton(struct package *p, const char *dir, const char *final); /* final: where dir will be */

#endif
