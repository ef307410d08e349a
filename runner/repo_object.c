/* repo_object.c: the bytes of commits, trees and blobs, by their names.
 *
 * libgit2 reads them where it can: at once, and in the same process. What it does not find or cannot read, git itself is
 * asked for: the objects of SHA-256 repositories, of formats that libgit2 does not know, and those that a partial clone
 * (--filter=blob:none, tree:0) has left with its remote, which git fetches on the way. A file that a commit does not have
 * is never asked for in this way, since trees say so.
 *
 * ASSAY_OFFLINE forbids git every transport, so a partial clone then has what it has. */
#include "base/base.h"
#include "runner/repo_int.h"

#include <git2.h>

#define FILE_MAX ((size_t)8 << 30)
enum { TREES_MAX = 4096 }; /* kept */

static int too_large(const char *what, size_t size)
{
	return err_set(ERR_INPUT, "%s is too large: %zu bytes", what, size);
}

/* By libgit2; ERR_NOTFOUND: ask git. The size comes first: an object is loaded whole. */
static int by_library(struct repo *r, const char *oid, const char *type, const char *what, struct buf *out)
{
	git_object_t want = git_object_string2type(type), is = GIT_OBJECT_ANY;
	git_odb_object *object = NULL;
	git_odb *odb = NULL;
	size_t size = 0;
	git_oid id;
	int rc = ERR_NOTFOUND;

	if (!r->git || strlen(oid) != GIT_OID_HEXSZ || git_oid_fromstr(&id, oid) < 0 ||
	    git_repository_odb(&odb, r->git) < 0)
		return ERR_NOTFOUND;
	if (git_odb_read_header(&size, &is, odb, &id) < 0)
		goto out;
	if (is != want)
		rc = err_set(ERR_INPUT, "%s: %.12s is a %s, not a %s", what, oid, git_object_type2string(is), type);
	else if (size > FILE_MAX || size > out->max - out->len)
		rc = too_large(what, size);
	else if (git_odb_read(&object, odb, &id) == 0) {
		buf_add(out, git_odb_object_data(object), git_odb_object_size(object));
		rc = buf_full(out) ? too_large(what, size) : 0;
	}
	git_odb_object_free(object);
out:
	git_odb_free(odb);
	return rc;
}

static int by_git(struct repo *r, const char *oid, const char *type, const char *what, struct buf *out)
{
	struct buf said = BUF_INIT(1 << 16);
	int rc = REPO_ASK(r, out, &said, "cat-file", type, oid);

	if (rc == 0 && buf_full(out)) {
		rc = too_large(what, out->max);
	} else if (rc > 0) {
		rc = err_set(ERR_INPUT, "cannot read %s: %.*s", what, (int)strcspn(buf_str(&said), "\n"),
			     buf_str(&said));
		err_hint(rc, "git fsck checks the clone; what a partial clone lacks comes from its remote%s",
			 getenv("ASSAY_OFFLINE") ? ", which ASSAY_OFFLINE forbids" : ": see that git fetch works here");
	}
	buf_release(&said);
	return rc;
}

static bool kept_tree(const struct repo *r, const char *oid, struct buf *out)
{
	int64_t at;

	if (!r->trees.n || !map_get(&r->trees.at, oid, strlen(oid), &at))
		return false;
	buf_add(out, r->trees.bytes[at].data, r->trees.bytes[at].len);
	return true;
}

static void keep_tree(struct repo *r, const char *oid, const struct buf *bytes)
{
	struct repo_trees *t = &r->trees;

	if (t->n == TREES_MAX)
		return;
	if (!t->bytes) {
		t->bytes = mem_array(TREES_MAX, sizeof(*t->bytes));
		map_init(&t->at);
	}
	buf_init(&t->bytes[t->n], BUF_NOLIMIT);
	buf_add(&t->bytes[t->n], bytes->data, bytes->len);
	map_put(&t->at, oid, strlen(oid), (int64_t)t->n++);
}

int repo_object(struct repo *r, const char *oid, const char *type, const char *what, struct buf *out)
{
	bool is_tree = strcmp(type, "tree") == 0;
	int rc;

	buf_clear(out);
	if (is_tree && kept_tree(r, oid, out))
		return 0;
	rc = by_library(r, oid, type, what, out);
	if (rc != ERR_NOTFOUND)
		return rc;
	rc = by_git(r, oid, type, what, out);
	if (rc == 0 && is_tree)
		keep_tree(r, oid, out);
	return rc;
}

void repo_objects_release(struct repo *r)
{
	for (size_t i = 0; i < r->trees.n; i++)
		buf_release(&r->trees.bytes[i]);
	if (r->trees.bytes)
		map_release(&r->trees.at);
	free(r->trees.bytes);
}
