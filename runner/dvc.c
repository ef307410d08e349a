/* dvc.c: files that DVC tracks: a commit has a pointer with an MD5, and the bytes lie in DVC's cache on this machine.
 *
 *	data/train.jsonl.dvc   outs: [{md5: 32 digits, path: train.jsonl}]
 *	data.dvc               outs: [{md5: 32 digits and .dir, path: data}]; that object lists [{"md5","relpath"}]
 *	dvc.lock               stages: {NAME: {outs: [{path, md5}]}}, paths relative to its folder
 *	CACHE/files/md5/ab/cdef…   the bytes (DVC 3); CACHE/ab/cdef… (DVC 2, where the pointer does not say hash: md5)
 *
 * A path that a commit does not have is looked for in the pointers on the way to it. Read are only the pointer, the list of
 * a folder, and the bytes that are asked for, each checked against its MD5; nothing is fetched, and dvc itself is not needed.
 * The cache is where .dvc/config.local, .dvc/config, or the user's own configuration says (cache.dir), else .dvc/cache. A
 * pointer is from a stranger, so it names digests and never a place. The name of the content, for the plan, is made of the
 * MD5, as DVC's own is. */
#include "base/base.h"
#include "base/digest.h"
#include "base/yaml.h"
#include "runner/dvc.h"

#include <openssl/evp.h>

#define POINTER_MAX ((size_t)16 << 20)
#define LISTING_MAX ((size_t)512 << 20)
#define FILE_MAX ((size_t)8 << 30)

void dvc_release(struct dvc_entry *e)
{
	json_decref(e->files);
	free(e->inside);
	free(e->pointer);
	memset(e, 0, sizeof(*e));
}

/* ---- the cache ----------------------------------------------------------------------------------------------------- */

/* dir of [cache] in an INI file of DVC's (whose other sections git's reader would not take); yours, or NULL. */
static char *config_cache(const char *folder, const char *name)
{
	struct buf text = BUF_INIT(1 << 20);
	char *path = path_join(folder, name), *save = NULL, *out = NULL;
	bool ours = false;

	if (fs_read(&text, path, 1 << 20) == 0)
		for (char *line = strtok_r(text.data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
			line += strspn(line, " \t");
			if (*line == '[') {
				ours = strncmp(line, "[cache]", 7) == 0 || strncmp(line, "['cache']", 9) == 0;
			} else if (ours && strncmp(line, "dir", 3) == 0 && line[3 + strspn(line + 3, " \t")] == '=') {
				char *value = strchr(line, '=') + 1;

				value += strspn(value, " \t");
				free(out);
				out = path_join(folder, value); /* an absolute one wins */
			}
		}
	err_clear();
	buf_release(&text);
	free(path);
	return out;
}

static char *user_cache(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *folder = xdg && *xdg ? path_join(xdg, "dvc") : mem_printf("%s/.config/dvc", home ? home : "");
	char *out = config_cache(folder, "config");

	free(folder);
	return out;
}

/* The cache of a repository (yours). A bare one, or a work tree without .dvc, may have the common one's. */
static char *cache_of(struct repo *r)
{
	const char *work = repo_work_dir(r);
	char *folder = path_join(work ? work : repo_common_dir(r), ".dvc"), *out = NULL;

	if (work && !fs_is_dir(folder)) { /* a linked work tree: the main one's */
		free(folder);
		folder = path_join(repo_common_dir(r), "../.dvc");
	}
	out = config_cache(folder, "config.local");
	out = out ? out : config_cache(folder, "config");
	out = out ? out : user_cache();
	out = out ? out : path_join(folder, "cache");
	free(folder);
	return out;
}

static int check_md5(const struct buf *b, const char *md5, const char *path)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char hex[33] = "";
	unsigned n = 0;
	int rc = 0;

	if (EVP_Digest(b->data ? b->data : "", b->len, sum, &n, EVP_md5(), NULL) == 1)
		for (unsigned i = 0; i < 16; i++)
			snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	if (strncmp(hex, md5, 32) != 0) {
		rc = err_set(ERR_INPUT, "%s: the object %.12s in DVC's cache is damaged", path, md5);
		err_hint(rc, "dvc fetch --force, or remove that file and run dvc pull");
	}
	return rc;
}

/* An object by its MD5, which may end in .dir. */
static int read_object(struct repo *r, const struct dvc_entry *e, const char *md5, const char *path, size_t max,
		       struct buf *out)
{
	char *cache = cache_of(r);
	char *file = mem_printf(e->old ? "%s/%.2s/%s" : "%s/files/md5/%.2s/%s", cache, md5, md5 + 2);
	int rc = fs_read(out, file, max);

	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s is tracked by DVC (%s), and its object %.12s is not in the cache %s", path,
			     e->pointer, md5, cache);
		err_hint(rc, "dvc fetch %s", e->pointer);
	} else if (rc == 0) {
		rc = check_md5(out, md5, path);
	}
	free(file);
	free(cache);
	return rc;
}

/* ---- pointers ------------------------------------------------------------------------------------------------------ */

static bool is_md5(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return n == 32 && (!s[32] || strcmp(s + 32, ".dir") == 0);
}

/* An entry of outs for that path. ERR_NOTFOUND: it is for another. */
static int take_out(struct dvc_entry *e, const json_t *out, const char *dir, const char *path, const char *pointer)
{
	char *full = path_join(dir, json_get_text(out, "path", "")), *clean = NULL;
	const char *md5 = json_get_text(out, "md5", NULL);
	int rc = path_check(&clean, full);

	if (rc || strcmp(clean, path) != 0) {
		err_clear();
		rc = ERR_NOTFOUND;
	} else if (!md5 || !is_md5(md5)) {
		rc = err_set(ERR_INPUT, "%s: %s has no md5 there", pointer, path);
		err_hint(rc, "dvc commit; what a cloud keeps by versions (etag) is not read");
	} else {
		snprintf(e->md5, sizeof(e->md5), "%s", md5);
		e->is_dir = md5[32] != 0;
		e->old = strcmp(json_get_text(out, "hash", ""), "md5") != 0;
		e->pointer = mem_str(pointer);
	}
	free(full);
	free(clean);
	return rc;
}

static int search_outs(struct dvc_entry *e, const json_t *outs, const char *dir, const char *path, const char *pointer)
{
	const json_t *out;
	size_t i;
	int rc = ERR_NOTFOUND;

	json_array_foreach(outs, i, out)
	{
		if (rc == ERR_NOTFOUND && json_is_object(out))
			rc = take_out(e, out, dir, path, pointer);
	}
	return rc;
}

/* One file of pointers: NAME.dvc, or dvc.lock. */
static int search_file(struct dvc_entry *e, struct tree *t, const char *dir, const char *pointer, const char *path)
{
	struct buf text = BUF_INIT(POINTER_MAX);
	const char *name;
	json_t *stages, *stage;
	struct yaml *y = NULL;
	int rc = tree_read_stored(t, pointer, &text);

	if (rc == 0)
		rc = yaml_parse(&y, buf_str(&text), text.len, pointer);
	if (rc == 0) {
		rc = search_outs(e, json_object_get(yaml_root(y), "outs"), dir, path, pointer);
		stages = json_object_get(yaml_root(y), "stages");
		json_object_foreach(stages, name, stage)
		{
			if (rc == ERR_NOTFOUND)
				rc = search_outs(e, json_object_get(stage, "outs"), dir, path, pointer);
		}
	}
	yaml_free(y);
	buf_release(&text);
	return rc;
}

/* The pointer of exactly that path: beside it, or in a dvc.lock of a folder above it. */
static int search_path(struct dvc_entry *e, struct tree *t, const char *path)
{
	char *dir = path_dir(path), *pointer = mem_printf("%s.dvc", path), *lock, *up;
	int rc = search_file(e, t, dir, pointer, path);

	while (rc == ERR_NOTFOUND) {
		lock = strcmp(dir, ".") ? path_join(dir, "dvc.lock") : mem_str("dvc.lock");
		rc = search_file(e, t, dir, lock, path);
		free(lock);
		if (strcmp(dir, ".") == 0)
			break;
		up = path_dir(dir);
		free(dir);
		dir = up;
	}
	free(dir);
	free(pointer);
	return rc;
}

/* Does a file of a folder's list lie at inside, or beneath it? *rest: what of its path is left. */
static bool lies_in(const char *relpath, const char *inside, const char **rest)
{
	size_t n = strlen(inside);

	if (strncmp(relpath, inside, n) != 0 || (n && relpath[n] && relpath[n] != '/'))
		return false;
	*rest = relpath + n + (n && relpath[n] == '/');
	return true;
}

/* Reads a folder's list, and goes on in it to `inside`, which may be a file. */
static int enter_dir(struct dvc_entry *e, struct tree *t, const char *path)
{
	struct buf text = BUF_INIT(LISTING_MAX);
	const char *rest;
	json_t *file;
	size_t i, n = 0;
	int rc = read_object(t->repo, e, e->md5, path, LISTING_MAX, &text);

	rc = rc ? rc : json_parse(&e->files, buf_str(&text), text.len, e->pointer);
	if (rc == 0 && !json_is_array(e->files))
		rc = err_set(ERR_INPUT, "%s: the list of its folder is none", e->pointer);
	json_array_foreach(e->files, i, file)
	{
		const char *relpath = json_get_text(file, "relpath", ""), *md5 = json_get_text(file, "md5", "");
		char *clean = NULL;

		if (rc == 0 && (path_check(&clean, relpath) != 0 || strcmp(clean, relpath) != 0 || !is_md5(md5)))
			rc = err_set(ERR_INPUT, "%s: the list of its folder holds what is no file", e->pointer);
		free(clean);
		if (rc || !lies_in(relpath, e->inside, &rest))
			continue;
		n++;
		if (*e->inside && !*rest) {
			snprintf(e->md5, sizeof(e->md5), "%s", md5);
			e->is_dir = false;
		}
	}
	buf_release(&text);
	return rc ? rc : n ? 0 : ERR_NOTFOUND;
}

int dvc_find(struct dvc_entry *e, struct tree *t, const char *path)
{
	char *clean = NULL, *at;
	size_t len;
	int rc;

	memset(e, 0, sizeof(*e));
	if (!t->repo || path_check(&clean, path) != 0) {
		err_clear();
		return ERR_NOTFOUND;
	}
	rc = ERR_NOTFOUND;
	for (len = strlen(clean); rc == ERR_NOTFOUND && len > 0;) {
		at = mem_strn(clean, len);
		rc = search_path(e, t, at);
		free(at);
		if (rc == 0) {
			e->inside = mem_str(clean[len] ? clean + len + 1 : "");
			if (e->is_dir)
				rc = enter_dir(e, t, path);
			else if (*e->inside)
				rc = ERR_NOTFOUND; /* beneath a file */
			break;
		}
		while (len > 0 && clean[len - 1] != '/')
			len--;
		len -= len > 0;
	}
	if (rc)
		dvc_release(e);
	free(clean);
	return rc;
}

/* ---- what a tree asks ---------------------------------------------------------------------------------------------- */

int dvc_read(struct tree *t, const char *path, struct buf *out)
{
	struct dvc_entry e;
	size_t max = out->max < FILE_MAX ? out->max : FILE_MAX;
	int rc = dvc_find(&e, t, path);

	if (rc)
		return rc;
	buf_clear(out);
	rc = e.is_dir ? err_set(ERR_INPUT, "%s is a folder, a file is needed", path)
		      : read_object(t->repo, &e, e.md5, path, max, out);
	dvc_release(&e);
	return rc;
}

int dvc_name(struct tree *t, const char *path, char oid[OID_HEX])
{
	struct digest_ctx *ctx;
	struct dvc_entry e;
	const char *rest;
	struct digest d;
	json_t *file;
	size_t i;
	int rc = dvc_find(&e, t, path);

	if (rc)
		return rc;
	ctx = digest_new();
	digest_text(ctx, "dvc");
	if (!e.is_dir)
		digest_text(ctx, e.md5);
	else
		json_array_foreach(e.files, i, file)
		{
			if (!lies_in(json_get_text(file, "relpath", ""), e.inside, &rest))
				continue;
			digest_text(ctx, rest);
			digest_text(ctx, json_get_text(file, "md5", ""));
		}
	d = digest_end(ctx);
	digest_hex(oid, &d);
	dvc_release(&e);
	return 0;
}

bool dvc_is_dir(struct tree *t, const char *path)
{
	struct dvc_entry e;
	bool yes = dvc_find(&e, t, path) == 0 && e.is_dir;

	dvc_release(&e);
	err_clear();
	return yes;
}

int dvc_list(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	struct dvc_entry e;
	struct map seen;
	const char *rest;
	json_t *file;
	size_t i;
	int rc = dvc_find(&e, t, path);

	if (rc)
		return rc;
	map_init(&seen);
	if (!e.is_dir)
		rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", path);
	json_array_foreach(e.files, i, file)
	{
		char *name;

		if (rc || !lies_in(json_get_text(file, "relpath", ""), e.inside, &rest))
			continue;
		name = mem_strn(rest, strcspn(rest, "/"));
		if (map_put(&seen, name, strlen(name), 1))
			rc = each(name, arg);
		free(name);
	}
	map_release(&seen);
	dvc_release(&e);
	return rc;
}

char *dvc_tracked(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, ".dvc") == 0 ? mem_strn(name, n - 4) : NULL;
}
