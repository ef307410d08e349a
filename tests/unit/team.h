/* team.h: two homes and a folder between them, for the tests of push and pull. */
#ifndef TESTS_UNIT_TEAM_H
#define TESTS_UNIT_TEAM_H

#include <sys/stat.h>

#include "artifacts/artifacts.h"
#include "artifacts/depot.h"
#include "artifacts_fixture.h"

#define TEAM_TEST(t) cmocka_unit_test_setup_teardown(t, team_start, team_end)

struct team {
	struct fixture *a, *b;
	char *folder, *url;
	struct depot *d;
};

FIXTURE_UNUSED static int team_start(void **state)
{
	struct team *t = mem_alloc(sizeof(*t));
	void *s;

	fixture_registry(&s);
	t->a = s;
	fixture_registry(&s);
	t->b = s;
	must(fs_temp_dir(&t->folder, getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", "assay-test-"));
	t->url = mem_printf("file://%s", t->folder);
	must(depot_open(&t->d, &(struct depot_place){ .url = t->url }));
	*state = t;
	return 0;
}

FIXTURE_UNUSED static int team_end(void **state)
{
	struct team *t = *state;
	void *s = t->a;

	depot_close(t->d);
	fixture_end(&s);
	s = t->b;
	fixture_end(&s);
	must(fs_remove_tree(t->folder));
	free(t->folder);
	free(t->url);
	free(t);
	return 0;
}

FIXTURE_UNUSED static const struct sync_options all = { 0 };

FIXTURE_UNUSED static struct sync_counts push(struct team *t, struct fixture *f, int want)
{
	struct sync_counts n, pulled;

	assert_err(registry_push(f->registry, t->d, &all, &n, &pulled), want);
	return n;
}

FIXTURE_UNUSED static struct sync_counts pull(struct team *t, struct fixture *f, int want)
{
	struct sync_counts n;

	assert_err(registry_pull(f->registry, t->d, &all, &n), want);
	return n;
}

FIXTURE_UNUSED static void rows_same(struct team *t)
{
	char *a = dump(t->a), *b = dump(t->b);

	assert_string_equal(a, b);
	assert_clean(t->a->registry);
	assert_clean(t->b->registry);
	free(a);
	free(b);
}

/* Names of records, and all that follows from them, are the same on both sides, once each has fetched what it needs. */
FIXTURE_UNUSED static void assert_same(struct team *t)
{
	pull(t, t->a, 0);
	pull(t, t->b, 0);
	rows_same(t);
}

struct walk {
	const char *dir;
	int (*each)(const char *path);
	int n;
};

FIXTURE_UNUSED static int walk_entry(const char *name, void *arg)
{
	struct walk *w = arg, deeper = { NULL, w->each, 0 };
	char *path = path_join(w->dir, name);

	if (fs_is_dir(path)) {
		deeper.dir = path;
		must(fs_list(path, walk_entry, &deeper));
		w->n += deeper.n;
	} else {
		w->n += w->each ? w->each(path) : 1;
	}
	free(path);
	return 0;
}

/* Calls each(path) for every file beneath dir and adds what it says; without it, counts them. */
FIXTURE_UNUSED static int each_file(const char *dir, int (*each)(const char *path))
{
	struct walk w = { dir, each, 0 };

	if (fs_is_dir(dir))
		must(fs_list(dir, walk_entry, &w));
	return w.n;
}

FIXTURE_UNUSED static int files_in(struct team *t, const char *what)
{
	char *dir = path_join(t->folder, what);
	int n = each_file(dir, NULL);

	free(dir);
	return n;
}

FIXTURE_UNUSED static int alias_of(struct fixture *f)
{
	int version = 0;

	must(registry_alias(f->registry, "bot", "production", &version));
	return version;
}

/* Three versions, of which two were production, on both sides. */
FIXTURE_UNUSED static void two_moves(struct team *t)
{
	char id[DIGEST_HEX];

	for (int i = 0; i < 3; i++)
		add_run(t->a, (const char *[]){ "w1", "w2", "w3" }[i], (char)('1' + i), id);
	must(promote_to(t->a, 1, 0));
	must(promote_to(t->a, 2, 1));
	push(t, t->a, 0);
	pull(t, t->b, 0);
}

/* The record of f's last move. Yours. */
FIXTURE_UNUSED static json_t *newest_move(struct fixture *f, char id[DIGEST_HEX])
{
	json_t *rows = NULL, *record = NULL;

	must(registry_list(f->registry, "history", NULL, 1, &rows));
	snprintf(id, DIGEST_HEX, "%s", json_get_text(json_array_get(rows, 0), "id", ""));
	json_decref(rows);
	must(record_read(f->store, id, &record));
	return record;
}

/* Where the n-th claim of something lies ("alias:bot@production"), beneath the remote. Yours. */
FIXTURE_UNUSED static char *claim_file(const char *what, int n)
{
	struct digest key = digest_bytes(what, strlen(what));
	char hex[DIGEST_HEX];

	digest_hex(hex, &key);
	return mem_printf("claims/%s/%08d", hex, n);
}

FIXTURE_UNUSED static int empty(const char *path)
{
	chmod(path, 0644);
	must(fs_write(path, "", 0));
	return 1;
}

#endif
