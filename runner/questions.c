/* questions.c: a suite's files, from a commit or from the machine.
 *
 * What the suite names itself stays beneath the tree's root: a relative path that does not climb. Only a folder of data
 * sets may lie outside, and only if the person or the machine says so (--datasets, ASSAY_DATASETS): it is made absolute
 * here, and an absolute path is how it is told apart. Folders are walked with links followed, to a depth and a number of
 * files, hidden ones left out. */
#include "runner/budget.h"
#include "runner/questions.h"

#define FILE_MAX ((size_t)1 << 30)

enum { DEPTH_MAX = 16, FILES_MAX = 200000 };

struct questions {
	struct tree *tree;
};
struct walk {
	const struct questions *q;
	const char *folder;
	int depth;
	size_t *n;
	int (*each)(const char *path, void *arg);
	void *arg;
};

static bool of_tree(const struct questions *q, const char *path)
{
	return q->tree && *path != '/';
}

static int questions_read(void *self, const char *path, struct buf *out)
{
	const struct questions *q = self;

	buf_clear(out);
	return of_tree(q, path) ? tree_read(q->tree, path, out) : fs_read(out, path, FILE_MAX);
}

static int walk_folder(const struct walk *w);

static int walk_one(const char *name, void *arg)
{
	const struct walk *w = arg;
	struct walk sub = *w;
	char *path;
	int rc = 0;

	if (*name == '.')
		return 0;
	if (++*w->n > FILES_MAX)
		return err_set(ERR_INPUT, "%s: more than %d files", w->folder, FILES_MAX);
	path = strcmp(w->folder, ".") == 0 ? mem_str(name) : path_join(w->folder, name);
	sub.folder = path;
	sub.depth++;
	if (!(of_tree(w->q, path) ? tree_is_dir(w->q->tree, path) : fs_is_dir(path)))
		rc = w->each(path, w->arg);
	else if (sub.depth < DEPTH_MAX)
		rc = walk_folder(&sub);
	free(path);
	return rc;
}

static int walk_folder(const struct walk *w)
{
	if (of_tree(w->q, w->folder))
		return tree_list(w->q->tree, w->folder, walk_one, (void *)(uintptr_t)w);
	return fs_is_dir(w->folder) ? fs_list(w->folder, walk_one, (void *)(uintptr_t)w) : 0;
}

static int questions_list(void *self, const char *folder, int (*each)(const char *path, void *arg), void *arg)
{
	const struct questions *q = self;
	size_t n = 0;

	if (of_tree(q, folder) && strcmp(folder, ".") != 0 && !tree_is_dir(q->tree, folder))
		return 0;
	return walk_folder(&(struct walk){ q, folder, 0, &n, each, arg });
}

static uint64_t questions_memory(void *self)
{
	struct budget b;

	(void)self;
	return budget_open(&b, NULL, "") ? 0 : b.bytes;
}

int questions_load(struct suite **out, const char *path, struct tree *tree, const json_t *named, const char *folder)
{
	struct questions q = { tree };
	json_t *datasets = named ? json_deep_copy(named) : json_object();
	struct eval_files files = { &q, questions_read, questions_list, datasets, questions_memory };
	char *full = NULL;
	int rc = 0;

	if (folder) {
		full = realpath(folder, NULL);
		if (!full || !fs_is_dir(full))
			rc = err_set(ERR_INPUT, "--datasets: there is no folder %s", folder);
		else
			json_object_set_new(datasets, "*", json_new_text(full, strlen(full)));
	}
	rc = rc ? rc : suite_load(out, path, &files);
	free(full);
	json_decref(datasets);
	return rc;
}
