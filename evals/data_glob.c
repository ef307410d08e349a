/* data_glob.c: the files that a pattern in data_files stands for, as the hub's library reads it: * and ? and [a-z] stay within
 * a name, ** as a whole part is any folders, none among them (at the end: all beneath); in the order of their names. What is
 * hidden (.x, and folders __x) is found only where the pattern says so; files that describe a data set are no data. Where the pattern begins, before its first such sign, is
 * looked for as any file is: beside the file that names it, then from the root; or in the folder of the data set. */
#include "base/base.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "evals/evals_int.h"

enum { MATCHES_MAX = 100000, PARTS_MAX = 64 };

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

/* The parts of a path between its slashes, in place. */
static size_t cut_parts(char *path, char **parts)
{
	size_t n = 0;

	for (char *next = path; next && n <= PARTS_MAX; n++) {
		parts[n] = next;
		next = strchr(next, '/');
		if (next)
			*next++ = 0;
	}
	return n;
}

/* May ** or a sign at the beginning of a pattern's part stand for it? */
static bool is_open(const char *part, bool folder)
{
	return *part != '.' && !(folder && strncmp(part, "__", 2) == 0);
}

static bool part_matches(const char *pattern, const char *part, bool folder)
{
	if (!is_open(part, folder) && *part == '_' && strncmp(pattern, "__", 2) != 0)
		return false;
	return fnmatch(pattern, part, FNM_PERIOD | FNM_NOESCAPE) == 0;
}

/* After each part of the pattern, how many parts of the path may have been matched: no way is tried twice. */
static bool parts_match(char *const *pattern, size_t m, char *const *path, size_t n)
{
	bool now[PARTS_MAX + 1] = { true }, next[PARTS_MAX + 1];

	for (size_t i = 0; i < m; i++) {
		bool any = strcmp(pattern[i], "**") == 0;

		memset(next, 0, sizeof(next));
		for (size_t j = 0; j <= n; j++) {
			if (any && now[j])
				next[j] = next[j] || i + 1 < m;
			if (any && j && (next[j - 1] || now[j - 1]) && is_open(path[j - 1], j < n))
				next[j] = true;
			if (!any && j && now[j - 1] && part_matches(pattern[i], path[j - 1], j < n))
				next[j] = true;
		}
		memcpy(now, next, sizeof(now));
	}
	return now[n];
}

int data_glob_check(const char *pattern)
{
	for (const char *at = pattern; (at = strstr(at, "**")); at += 2)
		if ((at > pattern && at[-1] != '/') || (at[2] && at[2] != '/')) {
			err_set(ERR_INPUT, "\"%s\": ** stands for whole folders, and not for a piece of a name",
				pattern);
			return err_hint(ERR_INPUT, "write **/*.jsonl for such files in all folders");
		}
	return 0;
}

bool data_glob_matches(const char *pattern, const char *path)
{
	static const char *const no_data[] = { "README.md",          "config.json",    "dataset_info.json",
					       "dataset_infos.json", "dummy_data.zip", "dataset_dict.json" };
	char *own = mem_str(pattern), *other = mem_str(path), *parts[PARTS_MAX + 1], *names[PARTS_MAX + 1];
	size_t m = cut_parts(own, parts), n = cut_parts(other, names);
	bool fits = m <= PARTS_MAX && n <= PARTS_MAX && parts_match(parts, m, names, n);

	for (size_t i = 0; i < ARRAY_LEN(no_data) && fits; i++)
		fits = strcmp(names[n - 1], no_data[i]) != 0 || strcmp(parts[m - 1], no_data[i]) == 0;
	free(own);
	free(other);
	return fits;
}

static int match(const char *path, void *arg)
{
	struct matching *m = arg;

	if (strlen(path) <= m->base || !data_glob_matches(m->pattern, path + m->base))
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
	int rc = src->files->list ? data_glob_check(pattern)
				  : err_set(ERR_INPUT, "patterns need files that can be listed");

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
