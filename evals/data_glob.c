/* data_glob.c: the files that a pattern in data_files stands for, as the hub's library reads it: * and ? and [a-z] stay within
 * a folder, ** goes through folders; in the order of their names. Where the pattern begins, before its first such sign, is
 * looked for as any file is: beside the file that names it, then from the root; or in the folder of the data set. */
#include "base/base.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "evals/evals_int.h"

enum { MATCHES_MAX = 100000 };

bool data_is_glob(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

struct matching {
	const char *pattern; /* of what is behind the base */
	size_t base;         /* bytes of a path that are its base, with the slash */
	char **paths;
	size_t n, cap;
};

static int match(const char *path, void *arg)
{
	struct matching *m = arg;

	if (strlen(path) <= m->base || fnmatch(m->pattern, path + m->base, strstr(m->pattern, "**") ? 0 : FNM_PATHNAME))
		return 0;
	if (m->n == MATCHES_MAX)
		return err_set(ERR_INPUT, "the pattern %s stands for more than %d files", m->pattern, MATCHES_MAX);
	MEM_GROW(m->paths, m->n, m->cap);
	m->paths[m->n++] = mem_str(path);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All beneath dir. */
static int match_in(struct matching *m, const struct source *src, const char *dir, const char *pattern)
{
	size_t wild = strcspn(pattern, "*?["), cut = wild;
	char *prefix, *base;
	int rc;

	while (cut && pattern[cut - 1] != '/')
		cut--;
	prefix = mem_strn(pattern, cut ? cut - 1 : 0);
	base = *prefix ? source_path(dir, prefix) : mem_str(dir);
	m->pattern = pattern + cut;
	m->base = base && strcmp(base, ".") != 0 ? strlen(base) + 1 : 0;
	rc = base ? src->files->list(src->files->self, base, match, m)
		  : err_set(ERR_INPUT, "\"%s\" is not a path beneath the root", pattern);
	free(prefix);
	free(base);
	return rc;
}

int data_glob(char ***out, size_t *n, const struct source *src, const char *folder, const char *pattern)
{
	char *own = path_dir(src->path);
	const char *dirs[2] = { folder ? folder : own, folder ? NULL : "." };
	struct matching m = { 0 };
	int rc = src->files->list ? 0 : err_set(ERR_INPUT, "patterns need files that can be listed");

	for (int i = 0; i < 2 && dirs[i] && !rc && !m.n; i++)
		rc = match_in(&m, src, dirs[i], pattern);
	free(own);
	if (!rc && !m.n) {
		rc = err_set(ERR_INPUT, "no file matches \"%s\"", pattern);
		err_hint(rc, "* stays within a folder, ** goes through folders; are the files committed?");
	}
	if (m.n)
		qsort(m.paths, m.n, sizeof(*m.paths), by_name);
	*out = m.paths;
	*n = m.n;
	return rc ? err_context(rc, "%s: dataset_kwargs.data_files", src->path) : 0;
}
