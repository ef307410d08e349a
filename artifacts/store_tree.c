/* store_tree.c: a folder as one object.
 *
 * The object is a manifest, canonical JSON: {"files":[{"object","path","size"}…]} in the byte order of the paths; each
 * file is an object of its own. So a folder's name depends on its paths and bytes alone, and a file that two models
 * share is stored once. Empty folders, modes and times are not kept: a model is its files.
 *
 * A manifest read back is hostile: every path is checked to stay beneath its root, the folder it goes to must be new or
 * empty (so that no link in it can lead a path elsewhere), and each file is verified before it is handed out. Files
 * are handed out as hard links, read-only, so that a checkout of a model costs no space; where links cannot be made
 * (another file system, a link limit), as read-only copies. */
#include "base/base.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

enum { TREE_DEPTH_MAX = 32, TREE_FILES_MAX = 100000 };
#define MANIFEST_MAX ((size_t)64 << 20)

/* ---- putting --------------------------------------------------------------------------------- */

struct tree {
	const char *root;
	const char *prefix; /* path beneath root of the folder being listed; "" at the top */
	int depth;
	char **paths;
	size_t len, cap;
};

static void tree_release(struct tree *t)
{
	for (size_t i = 0; i < t->len; i++)
		free(t->paths[i]);
	free(t->paths);
}

static int tree_entry(const char *name, void *arg);

static int tree_folder(struct tree *t, const char *prefix, const char *dir)
{
	const char *outer = t->prefix;
	int rc;

	if (++t->depth > TREE_DEPTH_MAX)
		return err_set(ERR_INPUT, "%s: folders deeper than %d", dir, TREE_DEPTH_MAX);
	t->prefix = prefix;
	rc = fs_list(dir, tree_entry, t);
	t->prefix = outer;
	t->depth--;
	return rc;
}

static int tree_entry(const char *name, void *arg)
{
	struct tree *t = arg;
	char *rel = *t->prefix ? mem_printf("%s/%s", t->prefix, name) : mem_str(name);
	char *full = path_join(t->root, rel), *clean = NULL;
	struct stat st;
	int rc = path_check(&clean, rel);

	if (rc) {
		/* said by path_check */
	} else if (!utf8_valid(rel, strlen(rel), NULL)) {
		rc = err_set(ERR_INPUT, "%s: the name is not UTF-8", t->root);
	} else if (lstat(full, &st)) {
		rc = err_errno(ERR_IO, "%s", full);
	} else if (S_ISDIR(st.st_mode)) {
		rc = tree_folder(t, rel, full);
	} else if (!S_ISREG(st.st_mode)) {
		rc = err_set(ERR_INPUT, "%s: not a regular file", full);
		err_hint(rc, "replace the link or device by the file it stands for");
	} else if (t->len >= TREE_FILES_MAX) {
		rc = err_set(ERR_INPUT, "%s: more than %d files", t->root, TREE_FILES_MAX);
	} else {
		MEM_GROW(t->paths, t->len, t->cap);
		t->paths[t->len++] = rel;
		rel = NULL;
	}
	free(clean);
	free(full);
	free(rel);
	return rc;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int put_files(struct store *s, struct tree *t, json_t *files, uint64_t *total)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < t->len; i++) {
		char *full = path_join(t->root, t->paths[i]);
		char hex[DIGEST_HEX];
		uint64_t size = 0;

		rc = store_put_file(s, full, hex, &size);
		if (!rc)
			json_array_append_new(files, json_pack("{s:s,s:s,s:I}", "path", t->paths[i], "object", hex,
							       "size", (json_int_t)size));
		*total += size;
		free(full);
	}
	return rc;
}

int store_put_tree(struct store *s, const char *dir, char hex[DIGEST_HEX], uint64_t *size)
{
	struct tree t = { .root = dir, .prefix = "" };
	struct buf text = BUF_INIT(MANIFEST_MAX);
	json_t *manifest = json_object(), *files = json_array();
	uint64_t total = 0;
	int rc;

	json_object_set_new(manifest, "files", files);
	rc = fs_is_dir(dir) ? tree_folder(&t, "", dir) : err_set(ERR_NOTFOUND, "%s: no such folder", dir);
	if (!rc) {
		if (t.len)
			qsort(t.paths, t.len, sizeof(*t.paths), by_path);
		rc = put_files(s, &t, files, &total);
	}
	if (!rc) {
		json_add(&text, manifest);
		rc = buf_full(&text) ? err_set(ERR_INPUT, "%s: too many files", dir)
				     : store_put(s, buf_str(&text), text.len, hex);
	}
	if (!rc && size)
		*size = total;
	tree_release(&t);
	buf_release(&text);
	json_decref(manifest);
	return rc;
}

/* ---- getting --------------------------------------------------------------------------------- */

static int any_entry(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return 1;
}

static int folder_make_empty(const char *dir)
{
	int rc = fs_mkdirs(dir);

	if (rc)
		return rc;
	rc = fs_list(dir, any_entry, NULL);
	return rc > 0 ? err_set(ERR_EXISTS, "%s is not empty", dir) : rc;
}

static int hand_out(const char *from, const char *to)
{
	int rc;

	if (!link(from, to))
		return 0;
	if (errno == EEXIST || errno == ENOTDIR)
		return err_set(ERR_INPUT, "%s: a manifest names it twice", to);
	if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != ENOTSUP && errno != EACCES)
		return err_errno(ERR_IO, "%s", to);
	rc = fs_copy(from, to);
	if (!rc && chmod(to, 0444))
		rc = err_errno(ERR_IO, "%s", to);
	return rc;
}

static int get_file(struct store *s, const json_t *file, const char *dir)
{
	const char *name = json_get_text(file, "path", "");
	const char *hex = json_get_text(file, "object", "");
	char *clean = NULL, *to = NULL, *parent = NULL, *from = NULL;
	int64_t want = json_get_int(file, "size", -1);
	uint64_t size = 0;
	int rc = path_check(&clean, name);

	if (rc)
		goto out;
	if (strcmp(clean, name)) {
		rc = err_set(ERR_INPUT, "path %s of a manifest is not in its plain form", clean);
		goto out;
	}
	rc = store_verify_one(s, VAULT_OBJECTS, hex, &size);
	if (!rc && (want < 0 || (uint64_t)want != size))
		rc = err_set(ERR_INPUT, "%s: the manifest says %lld bytes, the object has %llu", name, (long long)want,
			     (unsigned long long)size);
	if (rc)
		goto out;
	to = path_join(dir, clean);
	parent = path_dir(to);
	from = store_file(s, VAULT_OBJECTS, hex);
	rc = fs_mkdirs(parent);
	rc = rc ? rc : hand_out(from, to);
out:
	free(clean);
	free(to);
	free(parent);
	free(from);
	return rc;
}

int store_get_tree(struct store *s, const char *hex, const char *dir)
{
	struct buf text = BUF_INIT(MANIFEST_MAX);
	json_t *manifest = NULL, *files;
	int rc = store_get(s, hex, &text, MANIFEST_MAX);

	rc = rc ? rc : json_parse(&manifest, buf_str(&text), text.len, hex);
	if (rc)
		goto out;
	files = json_object_get(manifest, "files");
	if (!json_is_array(files)) {
		rc = err_set(ERR_INPUT, "object %s is no folder: it has no list of files", hex);
		goto out;
	}
	rc = folder_make_empty(dir);
	for (size_t i = 0; !rc && i < json_array_size(files); i++)
		rc = get_file(s, json_array_get(files, i), dir);
out:
	json_decref(manifest);
	buf_release(&text);
	return rc ? err_context(rc, "folder %.12s", hex) : 0;
}
