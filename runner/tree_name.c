/* tree_name.c: names of content, from which the plan makes its keys.
 *
 * A file's or folder's name is git's own, so that what is tracked is never hashed; a submodule's that of the tree of its
 * commit. But a folder with links in it has a name of ours: what they point at is content too, and git's name does not
 * cover it. */
#include "base/base.h"
#include "base/digest.h"
#include "runner/dvc.h"
#include "runner/tree_int.h"

#include <git2.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)8 << 30)
#define TREE_MAX ((size_t)256 << 20)

int walk_count(const struct walk *w)
{
	if (w->depth > DEPTH_MAX)
		return err_set(ERR_INPUT, "%s: folders and links deeper than %d", w->path, DEPTH_MAX);
	if (++*w->entries > ENTRIES_MAX)
		return err_set(ERR_INPUT, "%s: more than %d files", w->path, ENTRIES_MAX);
	return 0;
}

/* A dirty folder's name: the digest over its files' names and contents. */
static int dirty_hash_one(const char *name, void *arg)
{
	const struct walk *w = arg;
	char *path, *file = NULL, hex[DIGEST_HEX];
	struct digest d;
	int rc = walk_count(w);

	if (rc || strcmp(name, ".git") == 0)
		return rc;
	path = path_join(w->path, name);
	rc = tree_file(w->tree, path, &file);
	digest_text(w->ctx, name);
	if (rc == ERR_NOTFOUND) { /* a link to nothing */
		digest_text(w->ctx, NULL);
		rc = 0;
	} else if (rc == 0 && fs_is_dir(file)) {
		struct walk sub = *w;

		sub.path = path;
		sub.depth++;
		digest_text(w->ctx, "/");
		rc = fs_list(file, dirty_hash_one, &sub);
		digest_text(w->ctx, "//"); /* no file has that name: the folder ends here */
	} else if (rc == 0) {
		rc = digest_file(&d, file);
		if (rc == 0) {
			digest_hex(hex, &d);
			digest_text(w->ctx, hex);
		}
	}
	free(file);
	free(path);
	return rc;
}

/* git's name of a file that may not be an object yet: SHA-1, or SHA-256 where the repository's names are. */
static int blob_name(struct tree *t, const char *file, const char *path, char oid[OID_HEX])
{
	struct buf bytes = BUF_INIT(FILE_MAX);
	struct digest_ctx *ctx;
	struct digest d;
	char *head;
	git_oid id;
	int rc;

	if (!t->repo || t->repo->git) {
		if (git_odb_hashfile(&id, file, GIT_OBJECT_BLOB) < 0)
			return err_set(ERR_IO, "cannot read %s: %s", path, git_error_last()->message);
		git_oid_tostr(oid, OID_HEX, &id);
		return 0;
	}
	rc = fs_read(&bytes, file, FILE_MAX);
	if (rc == 0) {
		head = mem_printf("blob %zu", bytes.len);
		ctx = digest_new();
		digest_add(ctx, head, strlen(head) + 1);
		digest_add(ctx, bytes.data, bytes.len);
		d = digest_end(ctx);
		digest_hex(oid, &d);
		free(head);
	}
	buf_release(&bytes);
	return rc;
}

static int dirty_oid(struct tree *t, const char *path, char oid[OID_HEX])
{
	size_t entries = 0;
	struct walk w = { .tree = t, .path = path, .entries = &entries };
	struct digest d;
	char *file = NULL;
	int rc = tree_file(t, path, &file);

	if (rc)
		return rc;
	if (fs_is_dir(file)) {
		w.ctx = digest_new();
		rc = fs_list(file, dirty_hash_one, &w);
		d = digest_end(w.ctx);
		digest_hex(oid, &d);
	} else {
		rc = blob_name(t, file, path, oid);
	}
	free(file);
	return rc;
}

static int oid_at(struct tree *t, const char *path, char oid[OID_HEX], int depth, size_t *entries);

static int oid_at(struct tree *t, const char *path, char oid[OID_HEX], int depth, size_t *entries);

/* Feeds the links beneath a folder, each with the name of what it points at. */
static int walk_links(const struct walk *w, const struct tree_entry *folder)
{
	struct buf bytes = BUF_INIT(TREE_MAX);
	struct tree_iter it;
	struct tree_entry e;
	int rc = tree_entries(&it, folder->repo, folder->oid, w->path, &bytes);

	while (rc == 0 && tree_next(&it, &e)) {
		char *path = path_join(w->path, e.name), *real = NULL, oid[OID_HEX];
		struct walk next = *w;

		next.path = path;
		next.depth++;
		rc = walk_count(w);
		if (rc == 0 && !S_ISDIR(e.mode) && !S_ISREG(e.mode) && !S_ISLNK(e.mode)) /* a submodule */
			rc = tree_find(w->tree, path, &e, &real);
		if (rc == 0 && S_ISDIR(e.mode)) {
			rc = walk_links(&next, &e);
		} else if (rc == 0 && S_ISLNK(e.mode)) {
			*w->links = true;
			rc = oid_at(w->tree, path, oid, w->depth + 1, w->entries);
			digest_text(w->ctx, path);
			digest_text(w->ctx, rc == 0 ? oid : NULL);
			rc = rc == ERR_NOTFOUND ? 0 : rc;
		}
		free(real);
		free(path);
	}
	buf_release(&bytes);
	return rc;
}

static int oid_at(struct tree *t, const char *path, char oid[OID_HEX], int depth, size_t *entries)
{
	struct tree_entry e;
	char *real = NULL;
	bool links = false;
	struct digest d;
	int rc = tree_find(t, path, &e, &real);

	if (rc)
		return rc;
	memcpy(oid, e.oid, sizeof(e.oid));
	if (S_ISDIR(e.mode)) {
		struct walk w = { t, real, NULL, digest_new(), depth, entries, &links };

		digest_text(w.ctx, oid);
		rc = walk_links(&w, &e);
		d = digest_end(w.ctx);
		if (links)
			digest_hex(oid, &d);
	}
	free(real);
	return rc;
}

int tree_oid(struct tree *t, const char *path, char oid[OID_HEX])
{
	size_t entries = 0;
	int rc = t->dir ? dirty_oid(t, path, oid) : oid_at(t, path, oid, 0, &entries);
	struct err_saved saved;

	if (rc != ERR_NOTFOUND || !t->repo)
		return rc;
	saved = err_save();
	return tree_else_dvc(dvc_name(t, path, oid), &saved);
}
