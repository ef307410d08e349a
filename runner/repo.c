/* repo.c: libgit2 for what it is right and quick at: resolving names and reading objects.
 *
 * Checkout, fetch and ancestry in shallow clones are git's own work (checkout.c, repo_is_ancestor): libgit2 skips LFS,
 * reads the dirty attributes, and knows no grafts. Nothing here writes to the repository.
 *
 * A commit is input from a stranger. A path is normalised by path_check before it is looked up; a symbolic link is
 * followed inside the tree, eight times at most; a file larger than the reader's buffer is refused before it is read; the
 * names in a folder are not trusted to be names, nor its depth and size to be sane.
 *
 * A file's or folder's name for the plan (tree_oid) is git's own, but for a folder with links in it: what they point at
 * is content too, and git's name does not cover it. */
#include "base/base.h"
#include "base/digest.h"
#include "runner/repo.h"

#include <git2.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)8 << 30)
#define LINKS_MAX 8
#define LINK_BYTES_MAX 4096
enum {
	DEPTH_MAX = 32,
	ENTRIES_MAX = 100000
}; /* of a folder that is walked: a tree that names itself grows without end */

struct repo {
	git_repository *git;
	char *common, *work;
};

/* libgit2's error as ours, with what we were doing. */
static int git_fail(int code, const char *what, const char *name)
{
	const git_error *e = git_error_last();

	return err_set(code, "%s%s%s: %s", what, name ? " " : "", name ? name : "", e ? e->message : "unknown error");
}

static int repo_open_failed(int rc, const char *dir)
{
	const git_error *e = git_error_last();

	if (rc == GIT_ENOTFOUND) {
		err_set(ERR_INPUT, "%s is not in a git repository", dir);
		return err_hint(ERR_INPUT, "run assay inside a clone, or make one: git init");
	}
	if (rc == GIT_EOWNER || (e && strstr(e->message, "safe.directory"))) {
		err_set(ERR_ENV, "the repository at %s belongs to another user", dir);
		return err_hint(ERR_ENV, "git config --global --add safe.directory \"$(cd %s && pwd)\"", dir);
	}
	if (e && strstr(e->message, "objectformat")) {
		err_set(ERR_ENV, "%s is a SHA-256 repository, which this libgit2 cannot read", dir);
		return err_hint(ERR_ENV, "support for SHA-256 repositories comes with a later version");
	}
	return git_fail(ERR_INPUT, "cannot open the repository at", dir);
}

int repo_open(struct repo **out, const char *dir)
{
	git_repository *git = NULL;
	struct repo *r;
	int rc;

	git_libgit2_init();
	rc = git_repository_open_ext(&git, dir, getenv("GIT_DIR") ? GIT_REPOSITORY_OPEN_FROM_ENV : 0, NULL);
	if (rc < 0) {
		rc = repo_open_failed(rc, dir);
		git_libgit2_shutdown();
		return rc;
	}
	r = mem_alloc(sizeof(*r));
	r->git = git;
	r->common = mem_str(git_repository_commondir(git));
	r->work = mem_str(git_repository_workdir(git));
	*out = r;
	return 0;
}

void repo_close(struct repo *r)
{
	if (!r)
		return;
	git_repository_free(r->git);
	free(r->common);
	free(r->work);
	free(r);
	git_libgit2_shutdown();
}

const char *repo_common_dir(const struct repo *r)
{
	return r->common;
}

const char *repo_work_dir(const struct repo *r)
{
	return r->work;
}

bool oid_is_zero(const char *oid)
{
	return strspn(oid, "0") == strlen(oid);
}

/* A whole object name stands for that object and nothing else: no branch or tag of that name. */
static int resolve(struct repo *r, const char *rev, git_object **out)
{
	git_oid id;

	if (strlen(rev) != GIT_OID_HEXSZ || strspn(rev, "0123456789abcdef") != GIT_OID_HEXSZ)
		return git_revparse_single(out, r->git, rev);
	return git_oid_fromstr(&id, rev) < 0 ? -1 : git_object_lookup(out, r->git, &id, GIT_OBJECT_ANY);
}

int repo_commit(struct repo *r, const char *rev, struct commit *out)
{
	git_object *obj = NULL, *peeled = NULL;
	git_commit *c;
	const char *summary;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (resolve(r, rev, &obj) < 0 || git_object_peel(&peeled, obj, GIT_OBJECT_COMMIT) < 0) {
		rc = err_set(ERR_INPUT, "no commit is named %s in this repository", rev);
		err_hint(
			rc,
			"git log --oneline --all shows what there is; a shallow clone may need: git fetch --deepen=50");
		goto out;
	}
	c = (git_commit *)peeled;
	git_oid_tostr(out->oid, sizeof(out->oid), git_commit_id(c));
	git_oid_tostr(out->tree, sizeof(out->tree), git_commit_tree_id(c));
	summary = git_commit_summary(c);
	out->subject = mem_str(summary ? summary : "");
	out->time = git_commit_time(c);
out:
	git_object_free(obj);
	git_object_free(peeled);
	return rc;
}

void commit_release(struct commit *c)
{
	free(c->subject);
	memset(c, 0, sizeof(*c));
}

int repo_ref(struct repo *r, const char *ref, char oid[OID_HEX])
{
	git_oid id;

	if (git_reference_name_to_id(&id, r->git, ref) < 0)
		return err_set(ERR_NOTFOUND, "no reference %s", ref);
	git_oid_tostr(oid, OID_HEX, &id);
	return 0;
}

int repo_head_branch(struct repo *r, char **out)
{
	git_reference *head = NULL;
	const char *target;
	int rc = 0;

	if (git_reference_lookup(&head, r->git, "HEAD") < 0)
		return err_set(ERR_NOTFOUND, "no HEAD");
	target = git_reference_symbolic_target(head);
	if (target && strncmp(target, "refs/heads/", 11) == 0)
		*out = mem_str(target + 11);
	else
		rc = err_set(ERR_NOTFOUND, "HEAD is on no branch");
	git_reference_free(head);
	return rc;
}

/* git rather than libgit2, which reads the settings by a regular expression and leaks at each that does not match. */
int repo_upstream(struct repo *r, const char *branch, char **out)
{
	char *ref = mem_printf("refs/heads/%s", branch);
	struct buf text = BUF_INIT(1 << 16), quiet = BUF_INIT(1 << 16);
	struct proc p = {
		.argv = (const char *[]){ "git", "--git-dir", git_repository_path(r->git), "for-each-ref",
					  "--format=%(upstream)", ref, NULL },
		.out = &text,
		.err = &quiet,
	};
	int rc = proc_run(&p);
	size_t n = strcspn(buf_str(&text), "\n");

	if (rc == 0 && (p.status != 0 || n == 0))
		rc = err_set(ERR_NOTFOUND, "%s follows no remote branch", branch);
	if (rc == 0)
		*out = mem_strn(buf_str(&text), n);
	buf_release(&text);
	buf_release(&quiet);
	free(ref);
	return rc;
}

/* git rather than libgit2: it knows the grafts of a shallow clone. */
bool repo_is_ancestor(struct repo *r, const char *ancestor, const char *descendant)
{
	struct buf quiet = BUF_INIT(1 << 16);
	struct proc p = {
		.argv = (const char *[]){ "git", "--git-dir", git_repository_path(r->git), "merge-base",
					  "--is-ancestor", ancestor, descendant, NULL },
		.out = &quiet,
		.err = &quiet,
	};
	bool yes = proc_run(&p) == 0 && p.status == 0;

	buf_release(&quiet);
	return yes;
}

int repo_merge_base(struct repo *r, const char *a, const char *b, char oid[OID_HEX])
{
	struct buf text = BUF_INIT(1 << 16), quiet = BUF_INIT(1 << 16);
	struct proc p = {
		.argv = (const char *[]){ "git", "--git-dir", git_repository_path(r->git), "merge-base", a, b, NULL },
		.out = &text,
		.err = &quiet,
	};
	int rc = proc_run(&p);

	if (rc == 0 && (p.status != 0 || text.len < 40)) {
		rc = err_set(ERR_INPUT, "no common ancestor of %.12s and %.12s is in this clone", a, b);
		err_hint(rc, "a shallow clone: git fetch --deepen=50, or check out with fetch-depth: 0");
	}
	if (rc == 0) {
		size_t n = strcspn(buf_str(&text), "\n");

		if (n >= OID_HEX)
			n = OID_HEX - 1;
		memcpy(oid, text.data, n);
		oid[n] = 0;
	}
	buf_release(&text);
	buf_release(&quiet);
	return rc;
}

int repo_parents(struct repo *r, const char *oid, char first[OID_HEX], char second[OID_HEX])
{
	char *const out[] = { first, second };
	git_object *o = NULL;
	int rc = git_revparse_single(&o, r->git, oid);

	*first = *second = 0;
	if (rc || git_object_type(o) != GIT_OBJECT_COMMIT) {
		git_object_free(o);
		return err_set(ERR_NOTFOUND, "no commit %.64s", oid);
	}
	for (unsigned i = 0; i < 2 && i < git_commit_parentcount((git_commit *)o); i++)
		git_oid_tostr(out[i], OID_HEX, git_commit_parent_id((git_commit *)o, i));
	git_object_free(o);
	return 0;
}

int repo_ancestors(struct repo *r, const char *oid, int max, struct buf *out)
{
	struct buf quiet = BUF_INIT(1 << 16);
	char *count = mem_printf("--max-count=%d", max);
	struct proc p = {
		.argv = (const char *[]){ "git", "--git-dir", git_repository_path(r->git), "rev-list", count, oid, "--",
					  NULL },
		.out = out,
		.err = &quiet,
	};
	int rc = proc_run(&p);

	if (rc == 0 && p.status != 0)
		rc = err_set(ERR_INPUT, "the ancestors of %.12s are not in this clone", oid);
	buf_release(&quiet);
	free(count);
	return rc;
}

/* ---- the files of a commit -------------------------------------------------------------------------------------- */

struct tree {
	struct repo *repo; /* NULL: a plain folder */
	git_tree *root;    /* NULL: files of dir */
	char *dir;
};

int tree_open(struct tree **out, struct repo *r, const struct commit *c)
{
	struct tree *t = mem_alloc(sizeof(*t));
	git_oid id;

	t->repo = r;
	if (git_oid_fromstr(&id, c->tree) < 0 || git_tree_lookup(&t->root, r->git, &id) < 0) {
		free(t);
		return git_fail(ERR_INPUT, "cannot read the tree of", c->oid);
	}
	*out = t;
	return 0;
}

int tree_open_dirty(struct tree **out, struct repo *r)
{
	if (!r->work)
		return err_set(ERR_USAGE, "--dirty needs a work tree; this repository is bare");
	*out = mem_alloc(sizeof(**out));
	(*out)->repo = r;
	(*out)->dir = mem_str(r->work);
	return 0;
}

int tree_open_dir(struct tree **out, const char *dir)
{
	if (!fs_is_dir(dir))
		return err_set(ERR_INPUT, "no folder %s", dir);
	git_libgit2_init(); /* for git_odb_hashfile; balanced in tree_close */
	*out = mem_alloc(sizeof(**out));
	(*out)->dir = mem_str(dir);
	return 0;
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	git_tree_free(t->root);
	if (!t->repo)
		git_libgit2_shutdown();
	free(t->dir);
	free(t);
}

static int outside(const char *path)
{
	err_set(ERR_INPUT, "%s leaves the tree of the commit", path);
	return err_hint(ERR_INPUT, "name a path beneath the repository's root; links may point inside it only");
}

/* The target of a link at path, as a path from the root. */
static int link_target(char **out, const char *path, const char *target)
{
	char *dir = path_dir(path), *joined = NULL, *part, *save, *copy;
	struct buf b = BUF_INIT(1 << 16);
	int rc = 0;

	if (target[0] == '/') {
		rc = outside(path);
		goto out;
	}
	joined = path_join(dir, target);
	/* ".." is legal in a link as long as it stays beneath the root: resolve it by hand */
	copy = joined;
	for (part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			if (b.len == 0) {
				rc = outside(path);
				goto out;
			}
			while (b.len > 0 && b.data[b.len - 1] != '/')
				b.data[--b.len] = 0;
			if (b.len > 0)
				b.data[--b.len] = 0;
			continue;
		}
		if (b.len)
			buf_addc(&b, '/');
		buf_adds(&b, part);
	}
	*out = mem_str(buf_str(&b));
out:
	buf_release(&b);
	free(joined);
	free(dir);
	return rc;
}

/* Where the link at a path points, as a path from the root. */
static int read_link(struct tree *t, const char *at, const git_tree_entry *e, char **out)
{
	git_blob *blob = NULL;
	char *target;
	int rc;

	if (git_blob_lookup(&blob, t->repo->git, git_tree_entry_id(e)) < 0)
		return git_fail(ERR_INPUT, "cannot read", at);
	if (git_blob_rawsize(blob) == 0 || git_blob_rawsize(blob) > LINK_BYTES_MAX) {
		rc = err_set(ERR_INPUT, "%s: a link of %lld bytes", at, (long long)git_blob_rawsize(blob));
	} else {
		target = mem_strn(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
		rc = link_target(out, at, target);
		free(target);
	}
	git_blob_free(blob);
	return rc;
}

/* The first link on the way to a path, replaced by what it points at: *next (yours). ERR_NOTFOUND if there is none. */
static int follow(struct tree *t, const char *at, char **next)
{
	size_t len = 0;

	do {
		git_tree_entry *e = NULL;
		char *part, *target = NULL;
		bool is_link;
		int rc = 0;

		len += strcspn(at + len, "/");
		part = mem_strn(at, len);
		is_link = git_tree_entry_bypath(&e, t->root, part) == 0 &&
			  git_tree_entry_filemode(e) == GIT_FILEMODE_LINK;
		if (is_link)
			rc = read_link(t, part, e, &target);
		if (is_link && rc == 0)
			*next = at[len] ? path_join(target, at + len + 1) : mem_str(target);
		git_tree_entry_free(e);
		free(target);
		free(part);
		if (is_link)
			return rc;
	} while (at[len++]);
	return ERR_NOTFOUND;
}

/* The entry at a path with links followed; *real (yours) is where it was found. */
static int tree_entry(struct tree *t, const char *path, git_tree_entry **out, char **real)
{
	char *at = NULL, *next = NULL;
	int rc = path_check(&at, path);

	for (int i = 0; rc == 0; i++) {
		git_tree_entry *e = NULL;

		if (git_tree_entry_bypath(&e, t->root, at) == 0 && git_tree_entry_filemode(e) != GIT_FILEMODE_LINK) {
			*out = e;
			*real = at;
			return 0;
		}
		git_tree_entry_free(e);
		rc = i == LINKS_MAX ? err_set(ERR_INPUT, "%s: too many links", path) : follow(t, at, &next);
		if (rc == ERR_NOTFOUND)
			err_set(rc, "the commit has no file %s", path);
		if (rc == 0) {
			free(at);
			at = next;
			next = NULL;
		}
	}
	free(at);
	return rc;
}

/* The file of a path: of a work tree, checked to lie beneath the root after links are followed; of a plain folder, which
 * only a person names on the command line, as it is. */
static int dirty_path(struct tree *t, const char *path, char **out)
{
	char *clean = NULL, *full = NULL, *real = NULL, *root = NULL;
	int rc;

	if (!t->repo) {
		*out = path_join(t->dir, path);
		return 0;
	}
	rc = path_check(&clean, path);
	if (rc)
		return rc;
	full = path_join(t->dir, clean);
	root = realpath(t->dir, NULL);
	real = realpath(full, NULL);
	if (!real || !root)
		rc = err_set(ERR_NOTFOUND, "there is no file %s", path);
	else if (strncmp(real, root, strlen(root)) != 0 || real[strlen(root)] != '/')
		rc = outside(path);
	if (rc == 0) {
		*out = real;
		real = NULL;
	}
	free(clean);
	free(full);
	free(real);
	free(root);
	return rc;
}

/* An LFS pointer is a small text with the digest and the size of what it stands for. */
static bool lfs_pointer(const struct buf *b, char hex[DIGEST_HEX])
{
	static const char head[] = "version https://git-lfs.github.com/spec/v1\n";
	const char *oid;

	if (b->len > 1024 || b->len < sizeof(head) || memcmp(b->data, head, sizeof(head) - 1) != 0)
		return false;
	oid = strstr(b->data, "\noid sha256:");
	if (!oid || strspn(oid + 12, "0123456789abcdef") != 64)
		return false;
	memcpy(hex, oid + 12, 64);
	hex[64] = 0;
	return true;
}

static int lfs_resolve(struct repo *r, const char *path, struct buf *b)
{
	char hex[DIGEST_HEX], got[DIGEST_HEX], *file;
	struct digest d;
	int rc;

	if (!r || !lfs_pointer(b, hex))
		return 0;
	file = mem_printf("%slfs/objects/%.2s/%.2s/%s", r->common, hex, hex + 2, hex);
	buf_clear(b);
	rc = fs_read(b, file, FILE_MAX);
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s is a Git LFS pointer and its object %.12s is not in this clone", path, hex);
		err_hint(rc,
			 "git lfs fetch (GitHub: lfs: true at actions/checkout; GitLab: GIT_LFS_SKIP_SMUDGE unset)");
	} else if (rc == 0) {
		d = digest_bytes(b->data, b->len);
		digest_hex(got, &d);
		if (strcmp(got, hex) != 0) {
			rc = err_set(ERR_INPUT, "%s: the LFS object %.12s is damaged", path, hex);
			err_hint(rc, "git lfs fsck");
		}
	}
	free(file);
	return rc;
}

static int is_folder(const char *path)
{
	return err_set(ERR_INPUT, "%s is a folder, a file is needed", path);
}

/* Asks for the size first: a blob is loaded whole. */
static int load_blob(struct repo *r, const git_oid *id, const char *path, struct buf *out)
{
	git_object_t type = GIT_OBJECT_ANY;
	git_blob *blob = NULL;
	git_odb *odb = NULL;
	size_t size = 0;
	int rc = 0;

	if (git_repository_odb(&odb, r->git) == 0 && git_odb_read_header(&size, &type, odb, id) == 0 &&
	    (size > FILE_MAX || size > out->max)) {
		rc = err_set(ERR_INPUT, "%s is too large: %zu bytes", path, size);
	} else if (git_blob_lookup(&blob, r->git, id) < 0) {
		rc = git_fail(ERR_INPUT, "cannot read", path);
		err_hint(rc,
			 "a partial clone lacks the content; get it with: git fetch --refetch --filter=blob:limit=1g");
	} else {
		buf_add(out, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
		if (buf_full(out))
			rc = err_set(ERR_INPUT, "%s is too large", path);
	}
	git_blob_free(blob);
	git_odb_free(odb);
	return rc;
}

static int read_blob(struct tree *t, const char *path, struct buf *out)
{
	git_tree_entry *e = NULL;
	char *real = NULL;
	int rc = tree_entry(t, path, &e, &real);

	if (rc)
		return rc;
	if (git_tree_entry_type(e) == GIT_OBJECT_COMMIT) {
		rc = err_set(ERR_INPUT, "%s is a submodule", path);
		err_hint(rc, "inputs of a run must be files of this repository");
	} else if (git_tree_entry_type(e) != GIT_OBJECT_BLOB) {
		rc = is_folder(path);
	} else {
		rc = load_blob(t->repo, git_tree_entry_id(e), path, out);
	}
	git_tree_entry_free(e);
	free(real);
	return rc;
}

/* A pipe or a device in a work tree would be waited for. */
static int read_file(struct tree *t, const char *path, struct buf *out)
{
	char *file = NULL;
	struct stat st;
	int rc = dirty_path(t, path, &file);

	if (rc)
		return rc;
	if (fs_is_dir(file))
		rc = is_folder(path);
	else if (t->repo && stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		rc = err_set(ERR_INPUT, "%s is not a regular file", path);
	else
		rc = fs_read(out, file, FILE_MAX);
	free(file);
	return rc;
}

int tree_read(struct tree *t, const char *path, struct buf *out)
{
	int rc;

	buf_clear(out);
	rc = t->root ? read_blob(t, path, out) : read_file(t, path, out);
	return rc ? rc : lfs_resolve(t->repo, path, out);
}

int repo_blob(struct repo *r, const char *oid, struct buf *out)
{
	git_oid id;
	int rc;

	buf_clear(out);
	if (strlen(oid) != GIT_OID_HEXSZ || git_oid_fromstr(&id, oid) < 0)
		return err_set(ERR_NOTFOUND, "no blob %.64s", oid);
	rc = load_blob(r, &id, oid, out);
	return rc ? rc : lfs_resolve(r, oid, out);
}

bool tree_is_dir(struct tree *t, const char *path)
{
	git_tree_entry *e = NULL;
	char *real = NULL;
	bool yes = false;

	if (!t->root) {
		if (dirty_path(t, path, &real) == 0)
			yes = fs_is_dir(real);
	} else if (tree_entry(t, path, &e, &real) == 0) {
		yes = git_tree_entry_type(e) == GIT_OBJECT_TREE;
	}
	git_tree_entry_free(e);
	free(real);
	err_clear();
	return yes;
}

static int list_tree(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	git_tree_entry *e = NULL;
	git_tree *sub = NULL, *at = t->root;
	char *real = NULL;
	int rc = 0;

	if (strcmp(path, ".") != 0) {
		rc = tree_entry(t, path, &e, &real);
		if (rc == 0 && git_tree_entry_type(e) != GIT_OBJECT_TREE)
			rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", path);
		if (rc == 0 && git_tree_lookup(&sub, t->repo->git, git_tree_entry_id(e)) < 0)
			rc = git_fail(ERR_INPUT, "cannot read", path);
		at = sub;
	}
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(at); i++)
		rc = each(git_tree_entry_name(git_tree_entry_byindex(at, i)), arg);
	git_tree_free(sub);
	git_tree_entry_free(e);
	free(real);
	return rc;
}

int tree_list(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	char *real = NULL;
	int rc;

	if (t->root)
		return list_tree(t, path, each, arg);
	if (strcmp(path, ".") == 0)
		return fs_list(t->dir, each, arg);
	rc = dirty_path(t, path, &real);
	if (rc == 0 && !fs_is_dir(real))
		rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", path);
	rc = rc ? rc : fs_list(real, each, arg);
	free(real);
	return rc;
}

/* ---- names of content ---------------------------------------------------------------------------------------------- */

/* A walk over a folder, bounded. */
struct walk {
	struct tree *tree;
	const char *path; /* of the folder in the tree */
	const char *to;   /* export: where its files go */
	struct digest_ctx *ctx;
	int depth;
	size_t *entries; /* so far, of the whole walk */
	bool *links;     /* found one */
};

static int walk_count(const struct walk *w)
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
	rc = dirty_path(w->tree, path, &file);
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

static int dirty_oid(struct tree *t, const char *path, char oid[OID_HEX])
{
	size_t entries = 0;
	struct walk w = { .tree = t, .path = path, .entries = &entries };
	struct digest d;
	char *file = NULL;
	git_oid id;
	int rc = dirty_path(t, path, &file);

	if (rc)
		return rc;
	if (fs_is_dir(file)) {
		w.ctx = digest_new();
		rc = fs_list(file, dirty_hash_one, &w);
		d = digest_end(w.ctx);
		digest_hex(oid, &d);
	} else if (git_odb_hashfile(&id, file, GIT_OBJECT_BLOB) < 0) {
		rc = git_fail(ERR_IO, "cannot read", path);
	} else {
		git_oid_tostr(oid, OID_HEX, &id);
	}
	free(file);
	return rc;
}

static int oid_at(struct tree *t, const char *path, char oid[OID_HEX], int depth, size_t *entries);

/* Feeds the links beneath a folder, each with the name of what it points at. */
static int walk_links(const struct walk *w, const git_oid *id)
{
	git_tree *sub = NULL;
	int rc = 0;

	if (git_tree_lookup(&sub, w->tree->repo->git, id) < 0)
		return git_fail(ERR_INPUT, "cannot read", w->path);
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(sub); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(sub, i);
		char *path = path_join(w->path, git_tree_entry_name(e)), oid[OID_HEX];
		struct walk next = *w;

		next.path = path;
		next.depth++;
		rc = walk_count(w);
		if (rc == 0 && git_tree_entry_type(e) == GIT_OBJECT_TREE) {
			rc = walk_links(&next, git_tree_entry_id(e));
		} else if (rc == 0 && git_tree_entry_filemode(e) == GIT_FILEMODE_LINK) {
			*w->links = true;
			rc = oid_at(w->tree, path, oid, w->depth + 1, w->entries);
			digest_text(w->ctx, path);
			digest_text(w->ctx, rc == 0 ? oid : NULL);
			rc = rc == ERR_NOTFOUND ? 0 : rc;
		}
		free(path);
	}
	git_tree_free(sub);
	return rc;
}

static int oid_at(struct tree *t, const char *path, char oid[OID_HEX], int depth, size_t *entries)
{
	git_tree_entry *e = NULL;
	char *real = NULL;
	bool links = false;
	struct digest d;
	int rc = tree_entry(t, path, &e, &real);

	if (rc)
		return rc;
	git_oid_tostr(oid, OID_HEX, git_tree_entry_id(e));
	if (git_tree_entry_type(e) == GIT_OBJECT_TREE) {
		struct walk w = { t, real, NULL, digest_new(), depth, entries, &links };

		digest_text(w.ctx, oid);
		rc = walk_links(&w, git_tree_entry_id(e));
		d = digest_end(w.ctx);
		if (links)
			digest_hex(oid, &d);
	}
	git_tree_entry_free(e);
	free(real);
	return rc;
}

int tree_oid(struct tree *t, const char *path, char oid[OID_HEX])
{
	size_t entries = 0;

	return t->root ? oid_at(t, path, oid, 0, &entries) : dirty_oid(t, path, oid);
}

/* ---- export ------------------------------------------------------------------------------------------------------- */

static int export_file(struct tree *t, const char *path, const char *to)
{
	struct buf b = BUF_INIT(FILE_MAX);
	int rc = tree_read(t, path, &b);

	if (rc == 0)
		rc = fs_write(to, b.data ? b.data : "", b.len);
	buf_release(&b);
	return rc;
}

static int export_at(const struct walk *w);

/* A name in a hostile tree may be "..", "/etc" or "a/b": none of that is a name. */
static int check_name(const struct walk *w, const char *name)
{
	char *clean = NULL;
	int rc = path_check(&clean, name);

	if (rc == 0 && (strcmp(clean, name) != 0 || strchr(name, '/')))
		rc = err_set(ERR_INPUT, "%s holds an entry that is no file name: %s", w->path, name);
	free(clean);
	return rc ? rc : walk_count(w);
}

static int export_entry(const struct walk *w, const char *name, bool is_dir)
{
	char *from = path_join(w->path, name), *to = path_join(w->to, name);
	struct walk sub = *w;
	int rc;

	sub.path = from;
	sub.to = to;
	sub.depth++;
	rc = is_dir ? export_at(&sub) : export_file(w->tree, from, to);
	free(from);
	free(to);
	return rc;
}

static int export_dirty_one(const char *name, void *arg)
{
	const struct walk *w = arg;
	int rc = check_name(w, name);
	char *from;

	if (rc)
		return rc;
	from = path_join(w->path, name);
	rc = export_entry(w, name, tree_is_dir(w->tree, from));
	free(from);
	return rc;
}

static int export_dirty(const struct walk *w)
{
	char *real = NULL;
	int rc = dirty_path(w->tree, w->path, &real);

	if (rc == 0 && !fs_is_dir(real))
		rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", w->path);
	if (rc == 0)
		rc = fs_mkdirs(w->to);
	if (rc == 0)
		rc = fs_list(real, export_dirty_one, (void *)(uintptr_t)w);
	free(real);
	return rc;
}

static int export_at(const struct walk *w)
{
	git_tree_entry *e = NULL;
	git_tree *sub = NULL;
	struct walk here = *w;
	char *real = NULL;
	int rc;

	if (!w->tree->root)
		return export_dirty(w);
	rc = tree_entry(w->tree, w->path, &e, &real);
	here.path = real;
	if (rc == 0 && git_tree_entry_type(e) != GIT_OBJECT_TREE)
		rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", w->path);
	if (rc == 0 && git_tree_lookup(&sub, w->tree->repo->git, git_tree_entry_id(e)) < 0)
		rc = git_fail(ERR_INPUT, "cannot read", w->path);
	if (rc == 0)
		rc = fs_mkdirs(w->to);
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(sub); i++) {
		const git_tree_entry *child = git_tree_entry_byindex(sub, i);

		rc = check_name(&here, git_tree_entry_name(child));
		if (rc == 0)
			rc = export_entry(&here, git_tree_entry_name(child),
					  git_tree_entry_type(child) == GIT_OBJECT_TREE);
	}
	git_tree_free(sub);
	git_tree_entry_free(e);
	free(real);
	return rc;
}

int tree_export(struct tree *t, const char *path, const char *dir)
{
	size_t entries = 0;
	const struct walk w = { .tree = t, .path = path, .to = dir, .entries = &entries };

	return export_at(&w);
}
