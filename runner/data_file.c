/* data_file.c: where a path of training data ends and the inside of an archive begins: "data/all.zip/train.jsonl" is the file
 * train.jsonl of data/all.zip, unless the commit has a folder of that name. Nothing is unpacked to disk. */
#include "base/base.h"

#include "base/rows.h"
#include "runner/data_file.h"

/* The file of the commit; yours. *member: what is behind it, without the slash; NULL: nothing. */
static char *split(struct tree *t, const char *path, const char **member)
{
	const char *rest = rows_member(path);
	char *file = mem_strn(path, rest ? (size_t)(rest - path) : strlen(path));

	*member = rest && !tree_is_dir(t, file) ? rest + 1 : NULL;
	if (rest && !*member) {
		free(file);
		file = mem_str(path);
	}
	return file;
}

int data_file_read(struct tree *t, const char *path, struct buf *out)
{
	const char *member;
	char *file = split(t, path, &member);
	int rc = tree_read(t, file, out);

	free(file);
	return rc;
}

int data_file_oid(struct tree *t, const char *path, char oid[OID_HEX], const char **member)
{
	char *file = split(t, path, member);
	int rc = tree_oid(t, file, oid);

	free(file);
	return rc;
}
