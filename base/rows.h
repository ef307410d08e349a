/* rows.h: the rows of a data file, whatever its format, as JSON objects. Needs libjansson, libarchive and the codecs.
 *
 * JSONL, a JSON array, CSV and TSV, Parquet, Arrow IPC (file and stream), each as it is, compressed (gzip, zstd, xz,
 * bzip2) or in a tar or zip file. What a row of each becomes is said in rows.c. */
#ifndef BASE_ROWS_H
#define BASE_ROWS_H

#include "base/json.h"

enum rows_format { ROWS_BY_NAME, ROWS_JSON, ROWS_CSV }; /* of a text; the others tell themselves by their first bytes */
struct rows_options {
	enum rows_format format; /* where the name has no suffix that says it; BY_NAME: then JSON */
	const char *member; /* of the archive that the bytes are; NULL: the one that the name says, else its only one */
	const char *field;  /* of a JSON document: the member that has the rows; NULL: it is the rows */
	char separator;     /* of CSV; 0: a tab in .tsv, else a comma */
	uint64_t memory;    /* who keeps the rows has so many bytes for them; 0: they are not kept */
};
/* Calls each(value, line, arg) for every row: an object, but for JSON texts, where it is whatever stands there. value is
 * borrowed. line: the line in a text, the number of the row elsewhere, both from 1. o may be NULL. Stops at the first
 * failure. ERR_INPUT with name and line for what is broken, too large (a bomb, a row above 32 MiB, rows that take more than
 * o->memory) or not supported. */
int rows_each(const void *data, size_t len, const char *name, const struct rows_options *o,
	      int (*each)(json_t *value, size_t line, void *arg), void *arg);
/* Is this a file of rows, by its name (.jsonl, .ndjson, .csv, .tsv, also compressed) or by bytes that only such files and
 * archives begin with? A text of another name may be anything. */
bool rows_known(const void *data, size_t len, const char *name);
/* Where a path goes on inside of an archive: at "/a.jsonl" of "data/x.zip/a.jsonl"; NULL if it does not. */
const char *rows_member(const char *path);

#endif
