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

enum { TREE_DEPTH_MAX = 32, TREE_FILES_MAX = 100000, FLUSH_STEP = 8 << 20 };

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

/* ---- reading a manifest ---------------------------------------------------------------------- */

void tree_files_release(struct tree_files *t)
{
	for (size_t i = 0; i < t->len; i++)
		free(t->items[i].path);
	free(t->items);
	*t = (struct tree_files){ NULL, 0, 0 };
}

static int add_file(struct tree_files *t, const json_t *file)
{
	const json_t *path = json_object_get(file, "path");
	const char *name = json_get_text(file, "path", "");
	const char *hex = json_get_text(file, "object", "");
	int64_t size = json_get_int(file, "size", -1);
	char *clean = NULL;
	int rc = path_check(&clean, name);

	if (!rc && json_string_length(path) != strlen(name))
		rc = err_set(ERR_INPUT, "path %s of a manifest goes on behind a zero byte: it is damaged or forged",
			     clean);
	if (!rc && strcmp(clean, name))
		rc = err_set(ERR_INPUT, "path %s of a manifest is not in its plain form", clean);
	if (!rc && t->len && strcmp(t->items[t->len - 1].path, name) >= 0)
		rc = err_set(ERR_INPUT, "path %s of a manifest stands there twice, or out of order", clean);
	if (!rc && (!store_name_ok(hex) || size < 0))
		rc = err_set(ERR_INPUT, "%s: the manifest has no object and size for it", clean);
	if (rc) {
		free(clean);
		return rc;
	}
	MEM_GROW(t->items, t->len, t->cap);
	t->items[t->len] = (struct tree_file){ .path = clean, .size = (uint64_t)size };
	memcpy(t->items[t->len++].object, hex, DIGEST_HEX);
	return 0;
}

int store_tree_read(struct store *s, const char *hex, struct tree_files *out)
{
	struct buf text = BUF_INIT(MANIFEST_MAX);
	json_t *manifest = NULL, *files;
	int rc = store_get(s, hex, &text, MANIFEST_MAX);

	*out = (struct tree_files){ NULL, 0, 0 };
	rc = rc ? rc : json_parse(&manifest, buf_str(&text), text.len, hex);
	files = json_object_get(manifest, "files");
	if (!rc && !json_is_array(files))
		rc = err_set(ERR_INPUT, "object %s is no folder: it has no list of files", hex);
	for (size_t i = 0; !rc && i < json_array_size(files); i++)
		rc = add_file(out, json_array_get(files, i));
	json_decref(manifest);
	buf_release(&text);
	if (rc == ERR_INPUT) {
		rc = err_context(rc, "folder %s", hex);
		err_hint(rc,
			 "no assay wrote such a folder. Move the record that names it (grep -l %.12s in records/) to "
			 "aside/, under the 64 digits of its name, and say assay registry rebuild; in a remote, "
			 "remove that record",
			 hex);
	}
	if (rc)
		tree_files_release(out);
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

struct sink {
	struct fs_temp t;
	uint64_t size, flushed;
};

static int sink_put(const void *data, size_t len, void *arg)
{
	struct sink *k = arg;
	int rc = fs_temp_write(&k->t, data, len);

	k->size += len;
	if (k->size - k->flushed >= FLUSH_STEP) { /* so that the disk does not begin at the end */
		fs_temp_flush(&k->t, k->flushed, k->size - k->flushed);
		k->flushed = k->size;
	}
	return rc;
}

static int wrong_size(const struct tree_file *f, uint64_t size)
{
	return err_set(ERR_INPUT, "%s: the manifest says %llu bytes, the object has %llu", f->path,
		       (unsigned long long)f->size, (unsigned long long)size);
}

/* The object into k: whole ones by the kernel. */
static int sink_fill(struct store *s, const char *hex, struct sink *k)
{
	return store_there(s, VAULT_OBJECTS, hex) ? store_copy_out(s, hex, &k->t, &k->size)
						  : store_stream(s, hex, sink_put, k);
}

int store_get_file(struct store *s, const char *hex, const char *to, uint64_t *size)
{
	struct sink k = { .t = { -1, NULL } };
	char *dir = path_dir(to);
	int rc = fs_temp_open(&k.t, dir);

	rc = rc ? rc : sink_fill(s, hex, &k);
	if (!rc && fchmod(k.t.fd, 0644))
		rc = err_errno(ERR_IO, "%s", to);
	rc = rc ? rc : fs_temp_commit(&k.t, to);
	fs_temp_drop(&k.t);
	if (size)
		*size = k.size;
	free(dir);
	return rc;
}

/* A copy of its own, proved while it is made: the object is read once. */
static int copy_out(struct store *s, const struct tree_file *f, const char *to, mode_t mode)
{
	struct sink k = { .t = { -1, NULL } };
	char *dir = path_dir(to);
	int rc = fs_exists(to) ? err_set(ERR_INPUT, "%s: a manifest names it twice", to) : fs_temp_open(&k.t, dir);

	rc = rc ? rc : sink_fill(s, f->object, &k);
	if (!rc && k.size != f->size)
		rc = wrong_size(f, k.size);
	if (!rc && fchmod(k.t.fd, mode))
		rc = err_errno(ERR_IO, "%s", to);
	rc = rc ? rc : fs_temp_commit(&k.t, to);
	fs_temp_drop(&k.t);
	free(dir);
	return rc;
}

/* The store's own file under a second name, read-only; a copy where that cannot be. */
static int link_out(struct store *s, const struct tree_file *f, const char *to)
{
	char *from = store_file(s, VAULT_OBJECTS, f->object);
	uint64_t size = 0;
	int rc;

	if (!store_there(s, VAULT_OBJECTS, f->object)) { /* in parts: there is no file to link to */
		free(from);
		return copy_out(s, f, to, 0444);
	}
	rc = store_verify_one(s, VAULT_OBJECTS, f->object, &size);
	if (!rc && size != f->size)
		rc = wrong_size(f, size);
	if (!rc && link(from, to)) {
		if (errno == EEXIST || errno == ENOTDIR)
			rc = err_set(ERR_INPUT, "%s: a manifest names it twice", to);
		else if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == ENOTSUP || errno == EACCES)
			rc = copy_out(s, f, to, 0444);
		else
			rc = err_errno(ERR_IO, "%s", to);
	}
	free(from);
	return rc;
}

int store_file_out(struct store *s, const struct tree_file *f, const char *dir, bool as_link)
{
	char *to = path_join(dir, f->path), *parent = path_dir(to);
	int rc = fs_mkdirs(parent);

	if (!rc)
		rc = as_link ? link_out(s, f, to) : copy_out(s, f, to, 0644);
	free(to);
	free(parent);
	return rc;
}

int store_get_tree(struct store *s, const char *hex, const char *dir)
{
	struct tree_files files;
	int rc = store_tree_read(s, hex, &files);

	if (!rc) {
		rc = folder_make_empty(dir);
		for (size_t i = 0; !rc && i < files.len; i++)
			rc = store_file_out(s, &files.items[i], dir, true);
		tree_files_release(&files);
	}
	return rc && rc != ERR_NOTFOUND ? err_context(rc, "folder %.12s", hex) : rc;
}

bool store_has_tree(struct store *s, const char *hex)
{
	struct tree_files files;
	bool all = store_has(s, hex) && !store_tree_read(s, hex, &files);

	if (!all) {
		err_clear();
		return false;
	}
	for (size_t i = 0; all && i < files.len; i++)
		all = store_has(s, files.items[i].object);
	tree_files_release(&files);
	return all;
}
