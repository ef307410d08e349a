/* hub_cache.c: models--ORG--NAME/ in the cache of the Hugging Face hub:
 *
 *	refs/main                  the commit that a branch or tag stood for when it was fetched
 *	snapshots/COMMIT/FILE      a link to ../../blobs/ETAG (a copy where the file system has no links)
 *	blobs/ETAG                 the bytes; ETAG is their SHA-256 (LFS) or git's SHA-1 of a blob
 *
 * The cache is where the hub's own clients look: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub,
 * XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub. A link that does not lead to that model's blobs is refused, so
 * that a cache somebody else can write to hands out no other file; the bytes are checked against their names when they are
 * copied. Pickles are left where they are. A name comes from a commit: it is letters, digits, "-", "_" and ".". */
#include "base/base.h"
#include "runner/git_library.h"
#include "runner/hub_cache.h"

#include <git2.h>
#include <sys/stat.h>

#define REF_MAX 256

/* ---- where ---- */

static char *cache_dir(void)
{
	const char *at;

	if ((at = getenv("HF_HUB_CACHE")) && *at)
		return mem_str(at);
	if ((at = getenv("HUGGINGFACE_HUB_CACHE")) && *at)
		return mem_str(at);
	if ((at = getenv("HF_HOME")) && *at)
		return mem_printf("%s/hub", at);
	if ((at = getenv("XDG_CACHE_HOME")) && *at)
		return mem_printf("%s/huggingface/hub", at);
	at = getenv("HOME");
	return mem_printf("%s/.cache/huggingface/hub", at ? at : "");
}

static bool name_is_good(const char *name)
{
	const char *slash = strchr(name, '/');
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./");

	return *name && !name[n] && strlen(name) < 200 && !strstr(name, "..") && !strstr(name, "--") && *name != '.' &&
	       *name != '/' && !(slash && (strchr(slash + 1, '/') || !slash[1] || slash[1] == '.'));
}

static bool is_commit(const char *s)
{
	return strspn(s, "0123456789abcdef") == 40 && !s[40];
}

static int not_here(const char *name, const char *rev, const char *cache)
{
	err_set(ERR_INPUT, "hf:%s@%s is not in the cache %s", name, rev, cache);
	return err_hint(ERR_INPUT, "nothing is fetched by a run; get it with: hf download %s --revision %s", name, rev);
}

/* The commit that a revision stands for here; *out yours, NULL if it is not known. */
static int find_commit(char **out, const char *model, const char *rev)
{
	struct buf text = BUF_INIT(REF_MAX);
	char *clean = NULL, *path;
	int rc;

	*out = NULL;
	if (is_commit(rev)) {
		*out = mem_str(rev);
		return 0;
	}
	rc = path_check(&clean, rev);
	if (rc)
		return err_context(rc, "hf: revision");
	path = mem_printf("%s/refs/%s", model, clean);
	if (fs_read(&text, path, REF_MAX) == 0) {
		*out = mem_strn(buf_str(&text), strcspn(buf_str(&text), " \r\n"));
		if (!is_commit(*out))
			rc = err_set(ERR_INPUT, "%s does not hold a commit", path);
	}
	if (rc == 0)
		err_clear(); /* a branch that was never fetched */
	buf_release(&text);
	free(path);
	free(clean);
	return rc;
}

/* ---- files ---- */

static bool is_pickle(const char *name)
{
	static const char *const ends[] = { ".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".onnx" };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (path_has_suffix(name, ends[i]))
			return true;
	return false;
}

static int add_file(const char *name, void *arg)
{
	struct hub_model *m = arg;
	char *path = path_join(m->dir, name);

	if (!fs_is_dir(path) && !is_pickle(name)) {
		m->files = mem_resize(m->files, (m->n_files + 1) * sizeof(*m->files));
		m->files[m->n_files++] = mem_str(name);
	}
	free(path);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The file that a name of the snapshot stands for (yours), and its blob's name within it: NULL for a plain copy. */
static int file_of(const struct hub_model *m, const char *name, char **file, const char **blob)
{
	char *path = path_join(m->dir, name), *real = realpath(path, NULL), *root = realpath(m->blobs, NULL);
	size_t n = root ? strlen(root) : 0;
	struct stat st;
	int rc = 0;

	*file = NULL;
	*blob = NULL;
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode)) {
		*file = mem_str(path);
	} else if (!real) {
		rc = err_set(ERR_INPUT, "hf:%s: the cache has no bytes for %s", m->name, name);
		err_hint(rc, "the download did not end: hf download %s --revision %s", m->name, m->commit);
	} else if (!root || strncmp(real, root, n) != 0 || real[n] != '/' || strchr(real + n + 1, '/') ||
		   stat(real, &st) < 0 || !S_ISREG(st.st_mode)) {
		rc = err_set(ERR_INPUT, "hf:%s: %s is a link that leaves the model's own cache", m->name, name);
	} else {
		*file = mem_str(real);
		*blob = *file + n + 1;
	}
	free(path);
	free(real);
	free(root);
	return rc;
}

int hub_model_find(struct hub_model *out, const char *text)
{
	const char *at = strchr(text, '@'), *rev = at ? at + 1 : "main";
	char *cache = cache_dir(), *folder, *model, *slash;
	int rc;

	memset(out, 0, sizeof(*out));
	out->name = at ? mem_strn(text, (size_t)(at - text)) : mem_str(text);
	if (!name_is_good(out->name)) {
		rc = err_set(ERR_INPUT, "hf:%s is no name of a model", text);
		free(cache);
		hub_model_release(out);
		return err_hint(rc, "hf:ORG/NAME@REVISION");
	}
	slash = strchr(out->name, '/');
	folder = slash ? mem_printf("models--%.*s--%s", (int)(slash - out->name), out->name, slash + 1)
		       : mem_printf("models--%s", out->name);
	model = path_join(cache, folder);
	rc = find_commit(&out->commit, model, rev);
	if (rc == 0 && out->commit) {
		out->dir = mem_printf("%s/snapshots/%s", model, out->commit);
		out->blobs = path_join(model, "blobs");
	}
	if (rc == 0 && (!out->dir || !fs_is_dir(out->dir)))
		rc = not_here(out->name, rev, cache);
	rc = rc ? rc : fs_list(out->dir, add_file, out);
	if (rc == 0 && out->n_files)
		qsort(out->files, out->n_files, sizeof(*out->files), by_name);
	if (rc)
		hub_model_release(out);
	free(cache);
	free(folder);
	free(model);
	return rc;
}

void hub_model_release(struct hub_model *m)
{
	for (size_t i = 0; i < m->n_files; i++)
		free(m->files[i]);
	free(m->files);
	free(m->name);
	free(m->commit);
	free(m->dir);
	free(m->blobs);
	memset(m, 0, sizeof(*m));
}

/* A plain copy has no name that is a digest: it is read. */
int hub_model_key(const struct hub_model *m, struct digest_ctx *ctx)
{
	int rc = 0;

	digest_text(ctx, m->commit);
	for (size_t i = 0; rc == 0 && i < m->n_files; i++) {
		char *file = NULL, hex[DIGEST_HEX];
		const char *blob;
		struct digest d;

		rc = file_of(m, m->files[i], &file, &blob);
		if (rc == 0 && !blob && (rc = digest_file(&d, file)) == 0) {
			digest_hex(hex, &d);
			blob = hex;
		}
		digest_text(ctx, m->files[i]);
		digest_text(ctx, blob);
		free(file);
	}
	return rc;
}

/* ---- taking it ---- */

/* Do the bytes of a copy have the name that the cache gave them? */
static int check_copy(const struct hub_model *m, const char *name, const char *copy, const char *blob)
{
	char hex[DIGEST_HEX] = "";
	struct digest d;
	git_oid id;
	int rc = 0;

	if (strlen(blob) == 64) {
		rc = digest_file(&d, copy);
		if (rc == 0)
			digest_hex(hex, &d);
	} else if (is_commit(blob) && git_odb_hashfile(&id, copy, GIT_OBJECT_BLOB) == 0) {
		git_oid_tostr(hex, sizeof(hex), &id);
	} else {
		return 0; /* a server of another kind, whose names say nothing of the bytes */
	}
	if (rc == 0 && strcmp(hex, blob) != 0) {
		rc = err_set(ERR_INPUT, "hf:%s: the cached bytes of %s are damaged", m->name, name);
		err_hint(rc, "hf cache rm model/%s, then hf download %s --revision %s", m->name, m->name, m->commit);
	}
	return rc;
}

int hub_model_export(const struct hub_model *m, const char *dir)
{
	int rc = fs_mkdirs(dir);

	git_library_start();
	for (size_t i = 0; rc == 0 && i < m->n_files; i++) {
		char *to = path_join(dir, m->files[i]), *file = NULL;
		const char *blob;

		rc = file_of(m, m->files[i], &file, &blob);
		rc = rc ? rc : fs_copy(file, to);
		if (rc == 0 && blob)
			rc = check_copy(m, m->files[i], to, blob);
		free(file);
		free(to);
	}
	git_library_stop();
	return rc;
}
