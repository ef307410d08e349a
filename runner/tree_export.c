/* tree_export.c: a folder of a tree as plain files, for what reads models by path. */
#include "base/base.h"
#include "base/digest.h"
#include "runner/tree_int.h"

#define FILE_MAX ((size_t)8 << 30)

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

static int export_one(const char *name, void *arg)
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

static int export_at(const struct walk *w)
{
	int rc = fs_mkdirs(w->to);

	return rc ? rc : tree_list(w->tree, w->path, export_one, (void *)(uintptr_t)w);
}

int tree_export(struct tree *t, const char *path, const char *dir)
{
	size_t entries = 0;
	const struct walk w = { .tree = t, .path = path, .to = dir, .entries = &entries };

	return export_at(&w);
}
