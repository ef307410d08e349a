/* tree.c: the files of a commit, read straight from the object store; or of a work tree, or a plain folder.
 *
 * A commit is input from a stranger. A path is normalised by path_check before it is looked up; a symbolic link is
 * followed inside the tree, eight times at most; a file larger than the reader's buffer is refused before it is read; the
 * bytes of a tree are not trusted to be well formed.
 *
 * A submodule is a folder: the walk goes on in its own repository, in the tree of the commit that the outer tree names.
 * Files are read as git stores them: no line end is turned and no filter runs (checkout.c does both), but for LFS pointers,
 * which stand for a file and never are one. */
#include "base/base.h"
#include "base/digest.h"
#include "runner/dvc.h"
#include "runner/git_library.h"
#include "runner/tree_int.h"

#include <git2.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)8 << 30)
#define TREE_MAX ((size_t)256 << 20)
#define LINKS_MAX 8
#define LINK_BYTES_MAX 4096
enum { MODE_SUBMODULE = 0160000, MODE_TYPE = 0170000 };

int tree_open(struct tree **out, struct repo *r, const struct commit *c)
{
	struct tree *t = mem_alloc(sizeof(*t));
	struct buf root = BUF_INIT(TREE_MAX);
	int rc = repo_object(r, c->tree, "tree", "the commit's tree", &root);

	buf_release(&root);
	if (rc) {
		free(t);
		return rc;
	}
	t->repo = r;
	memcpy(t->root, c->tree, sizeof(t->root));
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
	git_library_start(); /* for git_odb_hashfile; balanced in tree_close */
	*out = mem_alloc(sizeof(**out));
	(*out)->dir = mem_str(dir);
	return 0;
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	if (!t->repo)
		git_library_stop();
	free(t->dir);
	free(t);
}

/* ---- the objects of trees ------------------------------------------------------------------------------------------ */

/* MODE SP NAME NUL BYTES, as often as there are entries; the length of BYTES is that of the tree's own name. */
bool tree_next(struct tree_iter *it, struct tree_entry *e)
{
	const char *at = it->at, *name = memchr(at, ' ', (size_t)(it->end - at));
	const char *nul = name ? memchr(name, 0, (size_t)(it->end - name)) : NULL;
	char *rest;

	if (!nul || (size_t)(it->end - nul) <= it->raw || name - at > 6)
		return false;
	e->repo = it->repo;
	e->mode = (unsigned)strtoul(at, &rest, 8) & MODE_TYPE;
	e->name = name + 1;
	for (size_t i = 0; i < it->raw; i++)
		snprintf(e->oid + 2 * i, 3, "%02x", (unsigned char)nul[1 + i]);
	it->at = nul + 1 + it->raw;
	return true;
}

int tree_entries(struct tree_iter *it, struct repo *r, const char *oid, const char *what, struct buf *bytes)
{
	int rc = repo_object(r, oid, "tree", what, bytes);

	*it = (struct tree_iter){ r, bytes->data, bytes->data + bytes->len, strlen(oid) / 2 };
	return rc;
}

static int entry_in(struct repo *r, const char *oid, const char *name, size_t len, struct tree_entry *out)
{
	struct buf bytes = BUF_INIT(TREE_MAX);
	struct tree_iter it;
	int rc = tree_entries(&it, r, oid, "a tree", &bytes);
	bool found = false;

	while (rc == 0 && !found && tree_next(&it, out))
		found = strlen(out->name) == len && memcmp(out->name, name, len) == 0;
	out->name = NULL; /* of bytes that go */
	buf_release(&bytes);
	return rc ? rc : found ? 0 : ERR_NOTFOUND;
}

/* From a submodule's entry to the folder that it stands for; root and path: of the repository that has the entry. */
int tree_enter(struct tree_entry *e, const char *root, const char *path)
{
	struct repo *sub = NULL;
	struct commit c;
	int rc;

	if (e->mode != MODE_SUBMODULE)
		return 0;
	rc = repo_submodule(e->repo, root, path, &sub);
	if (rc == 0 && repo_commit(sub, e->oid, &c) != 0)
		rc = repo_submodule_lacks(path);
	if (rc)
		return rc;
	*e = (struct tree_entry){ .repo = sub, .mode = S_IFDIR };
	memcpy(e->oid, c.tree, sizeof(e->oid));
	commit_release(&c);
	return 0;
}

/* The entry at a clean path, no link followed; ERR_NOTFOUND without a text if there is none. */
static int find(struct tree *t, const char *path, struct tree_entry *out)
{
	struct tree_entry e = { .repo = t->repo, .mode = S_IFDIR };
	const char *at = path, *base = path; /* where the repository's own paths begin */
	char root[OID_HEX];
	int rc = 0;

	memcpy(e.oid, t->root, sizeof(e.oid));
	memcpy(root, t->root, sizeof(root));
	while (rc == 0 && *at) {
		size_t len = strcspn(at, "/");
		bool crosses;
		char *inner;

		if (!S_ISDIR(e.mode))
			return ERR_NOTFOUND;
		rc = entry_in(e.repo, e.oid, at, len, &e);
		if (rc)
			return rc;
		at += len;
		inner = mem_strn(base, (size_t)(at - base));
		crosses = e.mode == MODE_SUBMODULE;
		rc = tree_enter(&e, root, inner);
		free(inner);
		at += *at == '/';
		if (crosses && rc == 0) {
			base = at;
			memcpy(root, e.oid, sizeof(root));
		}
	}
	*out = e;
	return rc;
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
static int read_link(const char *at, const struct tree_entry *e, char **out)
{
	struct buf target = BUF_INIT(LINK_BYTES_MAX);
	int rc = repo_object(e->repo, e->oid, "blob", at, &target);

	if (rc == 0 && (target.len == 0 || strlen(buf_str(&target)) != target.len))
		rc = err_set(ERR_INPUT, "%s: a link to nothing that could be a path", at);
	if (rc == 0 && strstr(buf_str(&target), ".git/annex/objects/")) {
		rc = err_set(ERR_INPUT, "%s is kept by git-annex, which assay does not read", at);
		err_hint(rc, "keep a run's inputs in git itself, by Git LFS, or by DVC");
	}
	if (rc == 0)
		rc = link_target(out, at, buf_str(&target));
	buf_release(&target);
	return rc;
}

/* The first link on the way to a path, replaced by what it points at: *next (yours). ERR_NOTFOUND if there is none. */
static int follow(struct tree *t, const char *at, char **next)
{
	size_t len = 0;

	do {
		struct tree_entry e;
		char *part, *target = NULL;
		int rc;

		len += strcspn(at + len, "/");
		part = mem_strn(at, len);
		rc = find(t, part, &e);
		if (rc == 0 && S_ISLNK(e.mode)) {
			rc = read_link(part, &e, &target);
			if (rc == 0)
				*next = at[len] ? path_join(target, at + len + 1) : mem_str(target);
			free(target);
			free(part);
			return rc;
		}
		free(part);
		if (rc)
			return rc;
	} while (at[len++]);
	return ERR_NOTFOUND;
}

int tree_find(struct tree *t, const char *path, struct tree_entry *out, char **real)
{
	char *at = NULL, *next = NULL;
	int rc = path_check(&at, path);

	for (int i = 0; rc == 0; i++) {
		rc = find(t, at, out);
		if (rc == 0 && !S_ISLNK(out->mode)) {
			*real = at;
			return 0;
		}
		if (rc == 0 || rc == ERR_NOTFOUND)
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
int tree_file(struct tree *t, const char *path, char **out)
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

static int is_folder(const char *path)
{
	return err_set(ERR_INPUT, "%s is a folder, a file is needed", path);
}

/* Content that a filter of the user's would turn into what is meant is not taken for it. */
static int check_stored(const char *path, const struct buf *b)
{
	static const char crypt[] = "\0GITCRYPT"; /* and a NUL */

	if (b->len < sizeof(crypt) || memcmp(b->data, crypt, sizeof(crypt)) != 0)
		return 0;
	err_set(ERR_INPUT, "%s is encrypted by git-crypt, and assay reads what git stores", path);
	return err_hint(ERR_INPUT,
			"keep a run's inputs unencrypted, or let a command: of finetune read them, whose checkout "
			"runs the filters of an unlocked clone");
}

static int read_blob(struct tree *t, const char *path, struct buf *out)
{
	struct tree_entry e;
	char *real = NULL;
	size_t max = out->max;
	int rc = tree_find(t, path, &e, &real);

	if (rc)
		return rc;
	out->max = max < FILE_MAX ? max : FILE_MAX;
	rc = S_ISREG(e.mode) ? repo_object(e.repo, e.oid, "blob", path, out) : is_folder(path);
	rc = rc ? rc : lfs_resolve(e.repo, path, out);
	rc = rc ? rc : check_stored(path, out);
	out->max = max;
	free(real);
	return rc;
}

/* A pipe or a device in a work tree would be waited for. */
static int read_file(struct tree *t, const char *path, struct buf *out)
{
	char *file = NULL;
	struct stat st;
	int rc = tree_file(t, path, &file);

	if (rc)
		return rc;
	if (fs_is_dir(file))
		rc = is_folder(path);
	else if (t->repo && stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		rc = err_set(ERR_INPUT, "%s is not a regular file", path);
	else
		rc = fs_read(out, file, FILE_MAX);
	free(file);
	return rc ? rc : lfs_resolve(t->repo, path, out);
}

int tree_read_stored(struct tree *t, const char *path, struct buf *out)
{
	buf_clear(out);
	return t->dir ? read_file(t, path, out) : read_blob(t, path, out);
}

int tree_else_dvc(int dvc, struct err_saved *saved)
{
	if (dvc == ERR_NOTFOUND)
		err_restore(saved);
	else
		err_forget(saved);
	return dvc;
}

int tree_read(struct tree *t, const char *path, struct buf *out)
{
	int rc = tree_read_stored(t, path, out);
	struct err_saved saved;

	if (rc != ERR_NOTFOUND || !t->repo)
		return rc;
	saved = err_save();
	return tree_else_dvc(dvc_read(t, path, out), &saved);
}

int repo_blob(struct repo *r, const char *oid, struct buf *out)
{
	size_t n = strspn(oid, "0123456789abcdef");
	int rc;

	buf_clear(out);
	if (oid[n] || (n != 40 && n != 64))
		return err_set(ERR_NOTFOUND, "no blob %.64s", oid);
	rc = repo_object(r, oid, "blob", oid, out);
	return rc ? rc : lfs_resolve(r, oid, out);
}

bool tree_is_dir(struct tree *t, const char *path)
{
	struct tree_entry e;
	char *real = NULL;
	bool yes = false;

	if (t->dir) {
		if (tree_file(t, path, &real) == 0)
			yes = fs_is_dir(real);
	} else if (tree_find(t, path, &e, &real) == 0) {
		yes = S_ISDIR(e.mode);
	}
	yes = yes || (!real && t->repo && dvc_is_dir(t, path));
	free(real);
	err_clear();
	return yes;
}

static int list_tree(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	struct tree_entry e = { .repo = t->repo, .mode = S_IFDIR };
	struct buf bytes = BUF_INIT(TREE_MAX);
	struct tree_iter it;
	char *real = NULL;
	int rc = 0;

	memcpy(e.oid, t->root, sizeof(e.oid));
	if (strcmp(path, ".") != 0)
		rc = tree_find(t, path, &e, &real);
	if (rc == 0 && !S_ISDIR(e.mode))
		rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", path);
	if (rc == 0)
		rc = tree_entries(&it, e.repo, e.oid, path, &bytes);
	while (rc == 0 && tree_next(&it, &e))
		rc = each(e.name, arg);
	buf_release(&bytes);
	free(real);
	return rc;
}

static int list_files(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	char *real = NULL;
	int rc;

	if (strcmp(path, ".") == 0)
		return fs_list(t->dir, each, arg);
	rc = tree_file(t, path, &real);
	if (rc == 0 && !fs_is_dir(real))
		rc = err_set(ERR_INPUT, "%s is a file, a folder is needed", path);
	rc = rc ? rc : fs_list(real, each, arg);
	free(real);
	return rc;
}

/* The names of a folder, gathered, so that a pointer x.dvc can stand for x where there is no x. */
struct names {
	struct map seen;
	char **items;
	size_t n, cap;
};

static int add_name(const char *name, void *arg)
{
	struct names *names = arg;

	MEM_GROW(names->items, names->n, names->cap);
	names->items[names->n++] = mem_str(name);
	map_put(&names->seen, name, strlen(name), 1);
	return 0;
}

static void add_tracked(struct names *names)
{
	for (size_t i = 0, n = names->n; i < n; i++) {
		char *tracked = dvc_tracked(names->items[i]);

		if (tracked && !map_has(&names->seen, tracked))
			add_name(tracked, names);
		free(tracked);
	}
}

int tree_list(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	struct names names = { 0 };
	struct err_saved saved;
	int rc;

	map_init(&names.seen);
	rc = t->dir ? list_files(t, path, add_name, &names) : list_tree(t, path, add_name, &names);
	if (rc == ERR_NOTFOUND && t->repo) {
		saved = err_save();
		rc = tree_else_dvc(dvc_list(t, path, add_name, &names), &saved);
	}
	if (rc == 0 && t->repo)
		add_tracked(&names);
	for (size_t i = 0; i < names.n; i++) {
		rc = rc ? rc : each(names.items[i], arg);
		free(names.items[i]);
	}
	free(names.items);
	map_release(&names.seen);
	return rc;
}
