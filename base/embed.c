/* embed.c: finds a file among those that travel inside the binary. The table itself is made at build time by ci/embed
 * from the list in the Makefile; it is short, so it is searched from its beginning. */
#include "base/embed.h"

const char *embed_file(const char *path, size_t *len)
{
	for (const struct embed_entry *e = embed_entries; e->path; e++) {
		if (strcmp(e->path, path))
			continue;
		if (len)
			*len = e->len;
		return e->data;
	}
	return NULL;
}
