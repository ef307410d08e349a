/* embed.h: files that travel inside the binary (ci/embed makes them at build time). */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

#include "base/base.h"

struct embed_entry {
	const char *path, *data;
	size_t len;
};
extern const struct embed_entry embed_entries[]; /* path NULL at the end */

/* The bytes of an embedded file, NUL-terminated; NULL if there is none. Static memory. */
const char *embed_file(const char *path, size_t *len);

#endif
