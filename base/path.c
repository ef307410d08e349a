/* path.c: names of files, as text only: nothing here looks at the disk.
 *
 * path_check() is the gate for every path that a commit, an archive or a configuration names. What passes is relative,
 * normalised and stays beneath its root as text; that no link leads out of the root is checked where files are opened
 * (a commit's tree is read from git objects, where links are not followed at all). */
#include "base/base.h"

#include <strings.h>

char *path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);

	if (name[0] == '/' || !n)
		return mem_str(name);
	return mem_printf("%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

char *path_dir(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n && path[n - 1] != '/')
		n--;
	if (!n)
		return mem_str(".");
	while (n > 1 && path[n - 1] == '/')
		n--;
	return mem_strn(path, n);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool path_has_suffix(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n >= k && !memcmp(path + n - k, suffix, k);
}

static int check_part(const char *path, const char *part, size_t len)
{
	if (len == 2 && part[0] == '.' && part[1] == '.')
		return err_set(ERR_INPUT, "path \"%s\" leaves its root by \"..\"", path);
	/* some file systems fold case: .GIT is .git there */
	if (len == 4 && !strncasecmp(part, ".git", 4))
		return err_set(ERR_INPUT, "path \"%s\" reaches into \".git\"", path);
	return 0;
}

int path_check(char **out, const char *path)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	int rc = 0;

	*out = NULL;
	if (path[0] == '/')
		return err_set(ERR_INPUT, "path \"%s\" is absolute; it must be relative to its root", path);
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(ERR_INPUT, "path \"%s\" has the control byte 0x%02x", path, (unsigned char)*p);
	for (const char *p = path; *p && !rc;) {
		size_t len = strcspn(p, "/");

		rc = check_part(path, p, len);
		if (len && !(len == 1 && *p == '.')) {
			if (b.len)
				buf_addc(&b, '/');
			buf_add(&b, p, len);
		}
		p += len;
		p += *p == '/';
	}
	if (!rc && !b.len)
		rc = err_set(ERR_INPUT, "path \"%s\" names nothing", path);
	if (!rc)
		*out = buf_take(&b);
	buf_release(&b);
	return rc;
}
