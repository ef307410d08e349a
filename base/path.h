/* path.h: names of files. A path from a commit is hostile: path_check() before any use. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

char *path_join(const char *dir, const char *name); /* yours; an absolute name wins */
char *path_dir(const char *path);                   /* yours; "." if there is none */
const char *path_base(const char *path);            /* borrowed: behind the last slash */
bool path_has_suffix(const char *path, const char *suffix);
/* A relative path beneath its root, normalised ("a/./b//c" -> "a/b/c"), into *out (yours). ERR_INPUT for an absolute
 * path, a ".." part, a NUL or control byte, a part named ".git", an empty path. */
int path_check(char **out, const char *path);

#endif
