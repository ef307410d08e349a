/* data_file.h: a file of training data by its path in the commit, which may go on inside an archive. */
#ifndef RUNNER_DATA_FILE_H
#define RUNNER_DATA_FILE_H

#include "runner/repo.h"

/* The bytes of the file, of an archive the whole: rows_each() finds the member by the path. As tree_read(). */
int data_file_read(struct tree *t, const char *path, struct buf *out);
/* The name of its content, of an archive that of the whole; *member: which file of it, in path; NULL: it is no archive. As
 * tree_oid(). */
int data_file_oid(struct tree *t, const char *path, char oid[OID_HEX], const char **member);

#endif
