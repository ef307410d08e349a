/* test_sync.c: two homes and a folder between them. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "artifacts/artifacts.h"
#include "artifacts/depot.h"
#include "artifacts_fixture.h"

struct team {
	struct fixture *a, *b;
	char *folder, *url;
	struct depot *d;
};

static int team_start(void **state)
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

static int team_end(void **state)
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

static const struct sync_options all = { 0 };

static struct sync_counts push(struct team *t, struct fixture *f, int want)
{
	struct sync_counts n, pulled;

	assert_err(registry_push(f->registry, t->d, &all, &n, &pulled), want);
	return n;
}

static struct sync_counts pull(struct team *t, struct fixture *f, int want)
{
	struct sync_counts n;

	assert_err(registry_pull(f->registry, t->d, &all, &n), want);
	return n;
}

static void rows_same(struct team *t)
{
	char *a = dump(t->a), *b = dump(t->b);

	assert_string_equal(a, b);
	assert_clean(t->a->registry);
	assert_clean(t->b->registry);
	free(a);
	free(b);
}

/* Names of records, and all that follows from them, are the same on both sides, once each has fetched what it needs. */
static void assert_same(struct team *t)
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

static int walk_entry(const char *name, void *arg)
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
static int each_file(const char *dir, int (*each)(const char *path))
{
	struct walk w = { dir, each, 0 };

	if (fs_is_dir(dir))
		must(fs_list(dir, walk_entry, &w));
	return w.n;
}

static int files_in(struct team *t, const char *what)
{
	char *dir = path_join(t->folder, what);
	int n = each_file(dir, NULL);

	free(dir);
	return n;
}

/* ---- the union ---- */

static void test_sync__union_is_the_same_on_both_sides(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	must(promote_to(t->a, 1, 0));
	assert_int_equal(push(t, t->a, 0).records, 2);
	assert_int_equal(pull(t, t->b, 0).records, 2);
	assert_same(t);
	add_run(t->b, "w2", '2', id);
	must(promote_to(t->b, 2, 1));
	push(t, t->b, 0);
	pull(t, t->a, 0);
	assert_same(t);
	assert_int_equal(push(t, t->a, 0).records, 0);
	assert_int_equal(pull(t, t->a, 0).records, 0);
	assert_int_equal(files_in(t, "claims"), 4);
}

static void test_sync__records_alone_and_objects_on_demand(void **state)
{
	struct team *t = *state;
	struct sync_counts n;
	char id[DIGEST_HEX], w[DIGEST_HEX];
	uint64_t bytes = 0;

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	must(registry_pull(t->b->registry, t->d, &(struct sync_options){ .records_only = true }, &n));
	assert_int_equal(n.records, 1);
	assert_int_equal(n.objects, 0);
	must(store_put(t->a->store, "w1", 2, w));
	assert_false(store_has(t->b->store, w));
	assert_true(depot_has(t->d, w));
	must(depot_fetch(t->d, t->b->store, w, &bytes));
	assert_int_equal(bytes, 2);
	assert_true(store_has(t->b->store, w));
	n = pull(t, t->b, 0);
	assert_int_equal(n.records, 0);
	assert_int_equal(n.objects, 1); /* the samples */
	assert_same(t);
	memset(w, '0', 64);
	assert_err(depot_fetch(t->d, t->b->store, w, &bytes), ERR_NOTFOUND);
	assert_err(depot_fetch(t->d, t->b->store, "../../etc/passwd", &bytes), ERR_INPUT);
}

static void test_sync__folders_come_whole(void **state)
{
	struct team *t = *state;
	char *dir = home_path(t->a, "work/model"), *file = path_join(dir, "deep/config.json"), hex[DIGEST_HEX],
	     id[DIGEST_HEX];
	json_t *r = run_record(t->a->store, NULL, '1', "main", "branch");

	must(fs_write(file, "{}", 2));
	must(store_put_tree(t->a->store, dir, hex, NULL));
	json_array_append_new(json_object_get(r, "artifacts"),
			      json_pack("{s:s,s:s,s:i}", "role", "model", "object", hex, "size", 2));
	must(registry_add_run(t->a->registry, r, id));
	push(t, t->a, 0);
	pull(t, t->b, 0);
	assert_true(store_has_tree(t->b->store, hex));
	assert_same(t);
	json_decref(r);
	free(file);
	free(dir);
}

/* ---- a remote that lost what it had ---- */

static char *file_there(struct team *t, const char *text)
{
	struct digest d = digest_bytes(text, strlen(text));
	char hex[DIGEST_HEX], path[DEPOT_PATH];

	digest_hex(hex, &d);
	depot_file(path, VAULT_OBJECTS, hex);
	return path_join(t->folder, path);
}

static void test_sync__what_the_remote_lost_is_sent_again(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *path = file_there(t, "w1");
	struct sync_counts n;

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	must(fs_remove(path));
	n = push(t, t->a, 0);
	assert_int_equal(n.objects, 1);
	assert_true(fs_exists(path));
	n = push(t, t->a, 0);
	assert_int_equal(n.objects, 0);
	pull(t, t->b, 0);
	assert_same(t);
	free(path);
}

static void test_sync__what_was_cut_off_there_is_named(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *path = file_there(t, "w1");

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	must(fs_remove(path));
	must(fs_write(path, "w", 1));
	push(t, t->a, ERR_INPUT);
	assert_text_has(err_text(), "has 1 bytes there");
	assert_text_has(err_fix(), "remove that file");
	must(fs_remove(path));
	push(t, t->a, 0); /* as the fix says */
	pull(t, t->b, 0);
	assert_same(t);
	free(path);
}

static void test_sync__what_neither_side_has_is_told(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *path = file_there(t, "w1");
	struct sync_counts n;

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	must(fs_remove(path));
	pull(t, t->b, 0);
	n = push(t, t->b, ERR_IO);
	assert_int_equal(n.absent, 1);
	assert_text_has(err_text(), "1 object that records name is neither here nor in");
	push(t, t->a, 0); /* it has it */
	pull(t, t->b, 0);
	push(t, t->b, 0);
	assert_same(t);
	free(path);
}

static void test_sync__dry_run_changes_nothing(void **state)
{
	struct team *t = *state;
	const struct sync_options dry = { .dry_run = true };
	struct sync_counts n, pulled;
	char id[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	must(registry_push(t->a->registry, t->d, &dry, &n, &pulled));
	assert_int_equal(n.records, 1);
	assert_int_equal(n.objects, 2);
	assert_int_equal(each_file(t->folder, NULL), 0);
	push(t, t->a, 0);
	must(registry_pull(t->b->registry, t->d, &dry, &n));
	assert_int_equal(n.records, 1);
	assert_int_equal(n.objects, 2);
	assert_int_equal(list_length(t->b->registry, "runs"), 0);
}

/* ---- who was first ---- */

static void test_sync__two_promotions_cannot_both_win(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX];
	int version = 0;

	add_run(t->a, "w1", '1', id);
	add_run(t->a, "w2", '2', id);
	add_run(t->a, "w3", '3', id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	pull(t, t->b, 0);
	must(promote_to(t->a, 2, 1));
	must(promote_to(t->b, 3, 1));
	push(t, t->a, 0);
	push(t, t->b, ERR_CONFLICT);
	must(registry_alias(t->b->registry, "bot", "production", &version));
	assert_int_equal(version, 2);
	assert_same(t);
	must(promote_to(t->b, 3, 2)); /* decided anew */
	push(t, t->b, 0);
	pull(t, t->a, 0);
	must(registry_alias(t->a->registry, "bot", "production", &version));
	assert_int_equal(version, 3);
	assert_same(t);
}

/* Racing processes: each has the same right to move the alias, and one does. */
static void test_sync__of_eight_racing_pushes_one_moves_the_alias(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *homes[8];
	int won = 0, version = 0;
	pid_t pids[8];

	for (int i = 0; i < 8; i++) {
		char w[4] = { 'w', (char)('1' + i), 0 };

		add_run(t->a, w, (char)('1' + i), id);
	}
	push(t, t->a, 0);
	for (int i = 0; i < 8; i++) {
		struct fixture *f;
		void *s;

		fixture_registry(&s);
		f = s;
		pull(t, f, 0);
		must(promote_to(f, i + 1, 0));
		homes[i] = mem_str(f->home);
		registry_close(f->registry);
		store_close(f->store);
		free(f->home);
		free(f);
	}
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			struct sync_counts n, pulled;
			struct registry *r;
			struct store *s;
			int rc;

			must(store_open(&s, homes[i]));
			must(registry_open(&r, s));
			rc = registry_push(r, t->d, &all, &n, &pulled);
			_exit(rc == 0 ? 0 : rc == ERR_CONFLICT ? 1 : 2);
		}
	}
	for (int i = 0; i < 8; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		won += WEXITSTATUS(status) == 0;
		must(fs_remove_tree(homes[i]));
		free(homes[i]);
	}
	assert_int_equal(won, 1);
	pull(t, t->a, 0);
	pull(t, t->b, 0);
	must(registry_alias(t->b->registry, "bot", "production", &version));
	assert_int_equal(list_length(t->b->registry, "history"), 1);
	assert_same(t);
}

static void test_sync__two_models_never_share_a_number(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], object[DIGEST_HEX];
	json_t *row = NULL;

	assert_int_equal(add_run(t->a, "ann's", '1', id), 1);
	assert_int_equal(add_run(t->b, "bob's", '2', id), 1);
	must(promote_to(t->b, 1, 0));
	push(t, t->a, 0);
	push(t, t->b, 0); /* his alias was moved by nobody else: it moves under the new number */
	pull(t, t->a, 0);
	assert_same(t);
	put_text(t->b->store, "bob's", object);
	must(registry_version(t->a->registry, "bot", 2, &row));
	assert_string_equal(json_get_text(row, "object", ""), object);
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "aliases"), 0)), "production");
	json_decref(row);
}

static void test_sync__the_same_weights_are_one_version(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX];

	add_run(t->a, "same", '1', id);
	add_run(t->b, "else", '2', id);
	add_run(t->b, "same", '3', id); /* v2 there, v1 in the remote */
	push(t, t->a, 0);
	push(t, t->b, 0);
	pull(t, t->a, 0);
	assert_int_equal(list_length(t->a->registry, "versions"), 2);
	assert_same(t);
}

/* ---- what is made while a pull is under way ---- */

/* A remote beneath another's table: when the first object is fetched, something happens here. */
static struct {
	struct depot_ops ops;
	const struct depot_ops *real;
	void (*happens)(struct team *t);
	struct team *team;
} meanwhile;

static int get_meanwhile(struct depot *d, const char *path, uint64_t from, depot_put *put, void *arg)
{
	void (*happens)(struct team * t) = meanwhile.happens;

	if (happens && !strncmp(path, VAULT_OBJECTS, strlen(VAULT_OBJECTS))) {
		meanwhile.happens = NULL;
		happens(meanwhile.team);
	}
	return meanwhile.real->get(d, path, from, put, arg);
}

/* An object of a run that both know is missing here, so it is fetched behind all records. */
static void pull_meanwhile(struct team *t, struct fixture *f, void (*happens)(struct team *t))
{
	char hex[DIGEST_HEX];

	put_text(f->store, "w1", hex);
	must(fs_remove(store_path(f->store, hex)));
	meanwhile.real = t->d->ops;
	meanwhile.ops = *t->d->ops;
	meanwhile.ops.get = get_meanwhile;
	meanwhile.happens = happens;
	meanwhile.team = t;
	t->d->ops = &meanwhile.ops;
	pull(t, f, 0);
	assert_null(meanwhile.happens);
	t->d->ops = meanwhile.real;
}

static int alias_of(struct fixture *f)
{
	int version = 0;

	must(registry_alias(f->registry, "bot", "production", &version));
	return version;
}

static void bob_moves_on(struct team *t)
{
	must(promote_to(t->b, 4, 3));
}

static void test_sync__a_move_that_is_made_during_a_pull_rests_on_what_the_pull_brought(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX];

	for (int i = 0; i < 4; i++)
		add_run(t->a, (const char *[]){ "w1", "w2", "w3", "w4" }[i], (char)('1' + i), id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	pull(t, t->b, 0);
	must(promote_to(t->a, 2, 1));
	push(t, t->a, 0);
	must(promote_to(t->b, 3, 1));
	pull_meanwhile(t, t->b, bob_moves_on); /* the second was decided on the first, which did not come true */
	assert_int_equal(alias_of(t->b), 2);
	push(t, t->b, 0);
	assert_same(t);
	assert_int_equal(alias_of(t->a), 2);
}

/* The same, had it slipped through: the claim is compared with what the move itself rests on. */
static void test_sync__a_move_that_rests_on_one_that_went_does_not_come_true(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *from, *to, *aside = home_path(t->b, "aside");
	json_t *rows = NULL;

	for (int i = 0; i < 4; i++)
		add_run(t->a, (const char *[]){ "w1", "w2", "w3", "w4" }[i], (char)('1' + i), id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	pull(t, t->b, 0);
	must(promote_to(t->b, 3, 1));
	must(promote_to(t->b, 4, 3));
	must(registry_list(t->b->registry, "history", NULL, 0, &rows));
	snprintf(id, sizeof(id), "%s", json_get_text(json_array_get(rows, 1), "id", ""));
	json_decref(rows);
	from = store_file(t->b->store, VAULT_RECORDS, id);
	to = path_join(aside, id);
	must(fs_mkdirs(aside));
	must(fs_rename(from, to));
	fixture_reopen(t->b);
	push(t, t->b, ERR_CONFLICT);
	assert_int_equal(alias_of(t->b), 1);
	push(t, t->b, 0);
	assert_same(t);
	free(from);
	free(to);
	free(aside);
}

static void bob_runs(struct team *t)
{
	char id[DIGEST_HEX];

	assert_int_equal(add_run(t->b, "bob's", '3', id), 2);
	must(promote_to(t->b, 2, 1));
}

static void test_sync__a_run_that_is_made_during_a_pull_gets_the_next_number(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], object[DIGEST_HEX];
	json_t *row = NULL;

	add_run(t->a, "w1", '1', id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	pull(t, t->b, 0);
	add_run(t->a, "ann's", '2', id);
	push(t, t->a, 0);
	pull_meanwhile(t, t->b, bob_runs);
	push(t, t->b, 0);
	assert_same(t);
	put_text(t->b->store, "bob's", object);
	must(registry_version(t->a->registry, "bot", 3, &row));
	assert_string_equal(json_get_text(row, "object", ""), object);
	assert_int_equal(alias_of(t->a), 3);
	json_decref(row);
}

/* Two moves rest on each other and on a version that is renumbered: both are made again, in their order. */
static void test_sync__moves_are_made_again_in_their_order(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX];
	struct promotion p = { .model = "bot",
			       .alias = "production",
			       .version = 2,
			       .expect = 4,
			       .actor = "bob",
			       .reason = "back",
			       .rollback = true };

	for (int i = 0; i < 3; i++)
		add_run(t->a, (const char *[]){ "w1", "w2", "w3" }[i], (char)('1' + i), id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	pull(t, t->b, 0);
	assert_int_equal(add_run(t->b, "bob's", '8', id), 4);
	must(promote_to(t->b, 4, 1));
	must(registry_promote(t->b->registry, &p, id));
	assert_int_equal(add_run(t->a, "ann's", '9', id), 4);
	push(t, t->a, 0);
	push(t, t->b, 0);
	assert_same(t);
	assert_int_equal(alias_of(t->a), 2);
	assert_int_equal(list_length(t->a->registry, "history"), 3);
	assert_int_equal(list_length(t->a->registry, "versions"), 5);
}

/* What waits to be made again is compared with its name; what does not fit is told, kept, and in nobody's way. */
static void test_sync__what_waits_aside_is_compared_with_its_name(void **state)
{
	static const char *const texts[] = { "not json", "{\"format\":\"assay-run/1\"}" };
	struct team *t = *state;
	char *aside = home_path(t->a, "aside"), *bad = home_path(t->a, "bad"), id[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *file = mem_printf("%s/%064zu.again", aside, i);

		must(fs_write(file, texts[i], strlen(texts[i])));
		free(file);
	}
	pull(t, t->a, 0);
	assert_int_equal(each_file(aside, NULL), 0);
	assert_int_equal(each_file(bad, NULL), 2);
	assert_int_equal(list_length(t->a->registry, "runs"), 1);
	assert_same(t);
	free(aside);
	free(bad);
}

/* A pull that was killed when the loser was aside, and the winner not yet here: the number is not given a second time. */
static void test_sync__a_run_that_waits_is_renumbered_once(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *from, *to, *aside = home_path(t->b, "aside");

	add_run(t->a, "ann's", '1', id);
	push(t, t->a, 0);
	add_run(t->b, "bob's", '2', id);
	from = store_file(t->b->store, VAULT_RECORDS, id);
	to = mem_printf("%s/%s.again", aside, id);
	must(fs_mkdirs(aside));
	must(fs_rename(from, to));
	fixture_reopen(t->b);
	assert_int_equal(pull(t, t->b, 0).renumbered, 1);
	assert_int_equal(list_length(t->b->registry, "runs"), 2);
	assert_int_equal(each_file(aside, NULL), 1);
	push(t, t->b, 0);
	assert_same(t);
	free(from);
	free(to);
	free(aside);
}

static int print_fault(const char *text, void *arg)
{
	(void)arg;
	fail_msg("%s", text);
	return 0;
}

/* A run and its promotion give way. Wherever that ends, at the one or at the other, what is left agrees with itself: no promotion
 * stands without its version. */
static void test_sync__what_gives_way_halfway_is_whole(void **state)
{
	struct team *t = *state;
	char ids[2][DIGEST_HEX], *dir = home_path(t->b, "aside");
	struct sync_counts n;
	const struct promotion p = {
		.model = "bot", .alias = "production", .version = 1, .actor = "bob", .reason = "x", .forced = true
	};

	add_run(t->a, "ann's", '1', ids[0]);
	push(t, t->a, 0);
	add_run(t->b, "bob's", '2', ids[0]);
	must(registry_promote(t->b->registry, &p, ids[1]));
	for (size_t i = ARRAY_LEN(ids); i > 0; i--) {
		char *in_its_way = mem_printf("%s/%s.again", dir, ids[i - 1]);

		must(fs_mkdirs(in_its_way));
		assert_err(registry_pull(t->b->registry, t->d, &all, &n), ERR_IO);
		fixture_reopen(t->b);
		must(registry_check(t->b->registry, print_fault, NULL));
		must(fs_remove_tree(in_its_way));
		free(in_its_way);
	}
	assert_int_equal(pull(t, t->b, 0).renumbered, 1);
	push(t, t->b, 0);
	assert_same(t);
	assert_int_equal(alias_of(t->b), 2);
	free(dir);
}

/* A pull that was killed when the loser was aside and the winner's record here, but not its row: the winner stays. */
static void test_sync__what_a_killed_pull_brought_is_no_newcomer(void **state)
{
	struct team *t = *state;
	char theirs[DIGEST_HEX], ours[DIGEST_HEX], object[DIGEST_HEX];
	char *aside = home_path(t->b, "aside"), *from, *to, *shelf;
	struct buf text = BUF_INIT(1 << 20);
	json_t *row = NULL;

	add_run(t->a, "ann's", '1', theirs);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	add_run(t->b, "bob's", '2', ours);
	from = store_file(t->b->store, VAULT_RECORDS, ours);
	to = mem_printf("%s/%s.again", aside, ours);
	must(fs_mkdirs(aside));
	must(fs_rename(from, to));
	free(from);
	free(to);
	from = store_file(t->a->store, VAULT_RECORDS, theirs);
	to = store_file(t->b->store, VAULT_RECORDS, theirs);
	shelf = mem_strn(to, (size_t)(strrchr(to, '/') - to));
	must(fs_read(&text, from, 1 << 20));
	must(fs_mkdirs(shelf));
	must(fs_write(to, text.data, text.len));
	put_text(t->b->store, "ann's", object);
	fixture_reopen(t->b);
	must(registry_check(t->b->registry, print_fault, NULL));
	must(registry_version(t->b->registry, "bot", 1, &row));
	assert_string_equal(json_get_text(row, "run", ""), theirs);
	assert_int_equal(pull(t, t->b, 0).renumbered, 1);
	push(t, t->b, 0);
	assert_same(t);
	assert_int_equal(alias_of(t->b), 1);
	json_decref(row);
	buf_release(&text);
	free(from);
	free(to);
	free(shelf);
	free(aside);
}

/* ---- kills ---- */

static void kill_while(struct team *t, struct fixture *f, bool is_push, unsigned us)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct sync_counts n, pulled;
		struct registry *r;

		must(registry_open(&r, f->store));
		_exit(is_push ? registry_push(r, t->d, &all, &n, &pulled) : registry_pull(r, t->d, &all, &n));
	}
	usleep(us);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static int is_its_name(const char *path)
{
	char found[DIGEST_HEX], name[DIGEST_HEX];
	struct digest d;

	must(digest_file(&d, path));
	digest_hex(found, &d);
	snprintf(name, sizeof(name), "%.2s%.62s", path + strlen(path) - 65, path + strlen(path) - 62);
	return strcmp(found, name) != 0;
}

static void test_sync__killed_at_any_time_both_sides_are_whole(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], w[16];
	unsigned us = 500;

	for (int i = 0; i < 6; i++) {
		snprintf(w, sizeof(w), "a%d", i);
		add_run(t->a, w, '1', id);
		snprintf(w, sizeof(w), "b%d", i);
		add_run(t->b, w, '2', id);
	}
	must(promote_to(t->a, 2, 0));
	for (int i = 0; i < 24; i++, us = us * 5 / 4 % 60000) {
		struct fixture *f = i % 2 ? t->a : t->b;
		char *dir = path_join(t->folder, "records");

		registry_close(f->registry);
		f->registry = NULL;
		kill_while(t, f, i % 4 < 2, us);
		must(registry_open(&f->registry, f->store));
		assert_int_equal(each_file(dir, is_its_name), 0);
		free(dir);
	}
	push(t, t->a, 0);
	push(t, t->b, 0);
	pull(t, t->a, 0);
	assert_int_equal(list_length(t->a->registry, "versions"), 12);
	assert_same(t);
}

/* ---- a remote that lies ---- */

static int flip(const char *path)
{
	struct buf text = BUF_INIT(1 << 20);

	must(fs_read(&text, path, 1 << 20));
	text.data[text.len / 2] ^= 1;
	chmod(path, 0644);
	must(fs_write(path, text.data, text.len));
	buf_release(&text);
	return 1;
}

static int empty(const char *path)
{
	chmod(path, 0644);
	must(fs_write(path, "", 0));
	return 1;
}

static void lies(struct team *t, const char *vault, int (*how)(const char *path))
{
	char *dir = path_join(t->folder, vault), id[DIGEST_HEX], *text;

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	assert_true(each_file(dir, how) > 0);
	pull(t, t->b, ERR_INPUT);
	assert_text_has(err_text(), "is not what its name says");
	assert_non_null(err_fix());
	assert_int_equal(list_length(t->b->registry, "runs"), 0);
	text = home_path(t->b, "records");
	assert_int_equal(each_file(text, NULL), 0);
	free(text);
	text = home_path(t->b, "objects");
	assert_int_equal(each_file(text, NULL), 0);
	free(text);
	text = home_path(t->b, "tmp");
	assert_int_equal(each_file(text, NULL), 0);
	free(text);
	free(dir);
}

static void test_sync__records_with_a_flipped_bit(void **state)
{
	lies(*state, "records", flip);
}

static void test_sync__records_that_are_empty(void **state)
{
	lies(*state, "records", empty);
}

static void test_sync__objects_with_a_flipped_bit(void **state)
{
	lies(*state, "objects", flip);
}

static void test_sync__objects_that_are_empty(void **state)
{
	lies(*state, "objects", empty);
}

static void put_foreign(struct team *t, const char *text)
{
	struct digest d = digest_bytes(text, strlen(text));
	char hex[DIGEST_HEX], *path;

	digest_hex(hex, &d);
	path = mem_printf("%s/records/%.2s/%s", t->folder, hex, hex + 2);
	must(fs_write(path, text, strlen(text)));
	free(path);
}

static void test_sync__a_record_that_is_none(void **state)
{
	static const char *const texts[] = { "not json", "{}", "[]", "{\"format\":\"assay-run/9\"}",
					     "{\"format\":\"assay-run/1\",\"seq\":-1}" };
	struct team *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		put_foreign(t, texts[i]);
		pull(t, t->b, ERR_INPUT);
		assert_text_has(err_text(), "record");
		assert_non_null(err_fix());
		assert_int_equal(list_length(t->b->registry, "runs"), 0);
		must(fs_remove_tree(t->folder));
	}
}

static void test_sync__a_pipe_or_a_link_is_no_record(void **state)
{
	struct team *t = *state;
	char *shelf = path_join(t->folder, "records/ab"), *file = path_join(shelf, "00"), *path;

	must(fs_mkdirs(shelf));
	path = mem_printf("%s/%062d", shelf, 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	pull(t, t->b, ERR_INPUT);
	assert_text_has(err_text(), "no regular file");
	must(fs_remove(path));
	assert_int_equal(symlink("/etc/passwd", path), 0);
	pull(t, t->b, ERR_IO);
	must(fs_remove(path));
	must(fs_write(file, "x", 1)); /* a name that is none */
	pull(t, t->b, 0);
	free(path);
	free(file);
	free(shelf);
}

static void test_sync__a_claim_that_lies(void **state)
{
	struct team *t = *state;
	char *dir = path_join(t->folder, "claims"), *records, id[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	add_run(t->b, "w2", '2', id);
	push(t, t->a, 0);
	assert_int_equal(each_file(dir, empty), 1);
	records = path_join(t->folder, "records");
	must(fs_remove_tree(records));
	push(t, t->b, ERR_INPUT);
	free(records);
	free(dir);
}

/* Somebody wrote a run into the remote and asked nobody: its number is another model's, and it sorts first. */
static void test_sync__a_record_that_takes_a_claimed_number_stays_out(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], evil[DIGEST_HEX], object[DIGEST_HEX], *path;
	struct buf text = BUF_INIT(1 << 20);
	json_t *r, *row = NULL;

	add_run(t->a, "w1", '1', id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	r = run_record(t->a->store, "evil", '2', "main", "fork");
	json_object_set_new(json_object_get(r, "version"), "number", json_integer(1));
	json_object_set_new(r, "seq", json_integer(1));
	json_object_set_new(r, "created", json_string("2026-11-24T03:38:00Z"));
	for (int i = 0; !text.len || strcmp(evil, id) > 0; i++) {
		buf_clear(&text);
		json_object_set_new(r, "created_ns", json_integer(i));
		record_bytes(&text, evil, r);
	}
	put_foreign(t, buf_str(&text));
	for (int i = 0; i < 2; i++) { /* one who knows nothing yet; and one who knows the version */
		struct fixture *f = i ? t->a : t->b;

		pull(t, f, 0);
		put_text(f->store, "w1", object);
		must(registry_version(f->registry, "bot", 1, &row));
		assert_string_equal(json_get_text(row, "object", ""), object);
		json_decref(row);
		assert_int_equal(alias_of(f), 1);
		assert_clean(f->registry);
		path = shelves_aside(f->store, evil, false);
		assert_true(fs_exists(path));
		free(path);
	}
	assert_same(t);
	json_decref(r);
	buf_release(&text);
}

/* ---- claims that are gone ---- */

/* What was claimed of the alias, and how often. */
static char *alias_claims(struct team *t, int *n)
{
	const char what[] = "alias:bot@production";
	struct digest d = digest_bytes(what, strlen(what));
	char hex[DIGEST_HEX], *dir;

	digest_hex(hex, &d);
	dir = mem_printf("%s/claims/%s", t->folder, hex);
	*n = each_file(dir, NULL);
	return dir;
}

/* Three versions, of which two were production, on both sides. */
static void two_moves(struct team *t)
{
	char id[DIGEST_HEX];

	for (int i = 0; i < 3; i++)
		add_run(t->a, (const char *[]){ "w1", "w2", "w3" }[i], (char)('1' + i), id);
	must(promote_to(t->a, 1, 0));
	must(promote_to(t->a, 2, 1));
	push(t, t->a, 0);
	pull(t, t->b, 0);
}

static void assert_claims_go_on(struct team *t)
{
	struct promotion back = { .model = "bot",
				  .alias = "production",
				  .version = 1,
				  .expect = 3,
				  .actor = "ann",
				  .reason = "back",
				  .rollback = true };
	char id[DIGEST_HEX];
	int n;

	must(promote_to(t->b, 3, 2));
	push(t, t->b, 0);
	free(alias_claims(t, &n));
	assert_int_equal(n, 3);
	pull(t, t->a, 0);
	must(registry_promote(t->a->registry, &back, id));
	push(t, t->a, 0);
	free(alias_claims(t, &n));
	assert_int_equal(n, 4);
	assert_same(t);
}

static void test_sync__claims_that_are_gone_are_made_again(void **state)
{
	struct team *t = *state;
	char *dir;
	int n;

	two_moves(t);
	dir = alias_claims(t, &n);
	assert_int_equal(n, 2);
	must(fs_remove_tree(dir));
	assert_claims_go_on(t);
	free(dir);
}

static void test_sync__the_last_claim_is_damaged_and_removed_as_told(void **state)
{
	struct team *t = *state;
	char *dir, *file;
	int n;

	two_moves(t);
	dir = alias_claims(t, &n);
	file = path_join(dir, "00000002");
	empty(file);
	must(promote_to(t->b, 3, 2));
	push(t, t->b, ERR_INPUT);
	assert_text_has(err_text(), "is damaged");
	assert_text_has(err_fix(), "remove that file");
	must(fs_remove(file));
	push(t, t->b, 0);
	assert_same(t);
	free(file);
	free(dir);
}

/* A move that somebody copied there: it is believed, as whoever may write there is, and does not stop the next. */
static void test_sync__a_move_without_a_claim_gets_one(void **state)
{
	struct team *t = *state;
	char *from, *to;
	json_t *rows = NULL;
	const char *id;
	int n;

	two_moves(t);
	must(promote_to(t->a, 3, 2));
	must(registry_list(t->a->registry, "history", NULL, 1, &rows));
	id = json_get_text(json_array_get(rows, 0), "id", "");
	from = store_file(t->a->store, VAULT_RECORDS, id);
	to = mem_printf("%s/records/%.2s/%s", t->folder, id, id + 2);
	must(fs_copy(from, to));
	pull(t, t->b, 0);
	assert_int_equal(alias_of(t->b), 3);
	{
		struct promotion back = { .model = "bot",
					  .alias = "production",
					  .version = 1,
					  .expect = 3,
					  .actor = "bob",
					  .reason = "back",
					  .rollback = true };
		char made[DIGEST_HEX];

		must(registry_promote(t->b->registry, &back, made));
	}
	push(t, t->b, 0);
	free(alias_claims(t, &n));
	assert_int_equal(n, 4);
	assert_same(t);
	json_decref(rows);
	free(from);
	free(to);
}

static void test_sync__no_claim_stands_behind_the_last_number(void **state)
{
	struct team *t = *state;
	char *dir, *from, *to;
	int n;

	two_moves(t);
	dir = alias_claims(t, &n);
	from = path_join(dir, "00000002");
	to = path_join(dir, "99999999");
	must(fs_copy(from, to));
	must(promote_to(t->b, 3, 2));
	push(t, t->b, ERR_INPUT);
	assert_text_has(err_fix(), "remove that file");
	must(fs_remove(to));
	push(t, t->b, 0);
	assert_same(t);
	free(from);
	free(to);
	free(dir);
}

static double flip_at; /* of a file's length */

static int flip_there(const char *path)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	must(fs_read(&b, path, BUF_NOLIMIT));
	b.data[(size_t)(flip_at * (double)(b.len - 1))] ^= 2;
	must(fs_remove(path));
	must(fs_write(path, b.data, b.len));
	buf_release(&b);
	return 1;
}

/* A bit that is flipped in a claim wins nothing: the record that it stands for decides, and no other comes to be. */
static void test_sync__a_claim_with_a_flipped_bit(void **state)
{
	static const double places[] = { 0, 0.3, 0.6, 0.9, 0.95, 0.99, 1 };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct team *t = *state;
		char *dir = path_join(t->folder, "claims"), *records = path_join(t->folder, "records"), id[DIGEST_HEX];

		add_run(t->a, "w1", '1', id);
		must(promote_to(t->a, 1, 0));
		push(t, t->a, 0);
		pull(t, t->b, 0);
		must(promote_to(t->a, 1, 1));
		add_run(t->b, "w2", '2', id);
		must(promote_to(t->b, 2, 1));
		flip_at = places[i];
		assert_int_equal(each_file(dir, flip_there), 2);
		push(t, t->b, 0);
		assert_int_equal(each_file(records, NULL), 4);
		pull(t, t->a, 0);
		assert_same(t);
		free(dir);
		free(records);
		team_end(state);
		team_start(state);
	}
}

/* The winner was killed between its claim and its record. */
static void test_sync__a_claim_without_its_record_is_healed(void **state)
{
	struct team *t = *state;
	char *dir = path_join(t->folder, "records"), id[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	add_run(t->b, "w2", '2', id);
	push(t, t->a, 0);
	must(fs_remove_tree(dir));
	push(t, t->b, 0);
	pull(t, t->a, 0);
	assert_same(t);
	assert_int_equal(list_length(t->a->registry, "versions"), 2);
	free(dir);
}

/* Killed between the move of a record to aside/ and the COMMIT that takes its rows: whoever opens next takes them. */
static void test_sync__a_move_aside_that_was_killed_is_finished(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *from, *aside = home_path(t->a, "aside"), *to, *faults;
	json_t *rows = NULL;

	add_run(t->a, "w1", '1', id);
	must(promote_to(t->a, 1, 0));
	must(registry_list(t->a->registry, "history", NULL, 0, &rows));
	snprintf(id, sizeof(id), "%s", json_get_text(json_array_get(rows, 0), "id", ""));
	json_decref(rows);
	from = store_file(t->a->store, VAULT_RECORDS, id);
	to = path_join(aside, id);
	must(fs_mkdirs(aside));
	must(fs_rename(from, to));
	fixture_reopen(t->a);
	assert_int_equal(list_length(t->a->registry, "history"), 0);
	assert_clean(t->a->registry);
	/* one that is nowhere is damage, and no reason to forget what it said */
	must(fs_rename(to, from));
	fixture_reopen(t->a);
	must(fs_remove(from));
	fixture_reopen(t->a);
	assert_int_equal(list_length(t->a->registry, "history"), 1);
	faults = check_text(t->a->registry);
	assert_text_has(faults, "but its file is gone");
	free(faults);
	free(from);
	free(to);
	free(aside);
}

/* A push that breaks off leaves no version there whose weights are nowhere and nobody says why. */
static void test_sync__what_went_is_said_first(void **state)
{
	struct team *t = *state;
	const struct gc_options none = { .keep_runs = 0, .actor = "ann" };
	struct gc_totals totals;
	char id[DIGEST_HEX], *records = path_join(t->folder, VAULT_RECORDS), *shelf;
	struct sync_counts n;

	add_run(t->a, "w1", '1', id);
	registry_close(t->a->registry);
	t->a->registry = NULL;
	must(registry_gc(t->a->store, &none, &totals));
	assert_int_equal(totals.gone, 1);
	must(registry_open(&t->a->registry, t->a->store));
	must(fs_mkdirs(records));
	shelf = mem_printf("%s/%.2s", records, id);
	must(fs_write(shelf, "x", 1)); /* the run's record cannot be put there */
	n = push(t, t->a, ERR_IO);
	assert_int_equal(n.records, 1);
	must(fs_remove(shelf));
	push(t, t->a, 0);
	assert_same(t);
	free(shelf);
	free(records);
}

/* A pull that breaks off while it takes records over has none that speaks of what is not there. */
static void test_sync__records_come_in_their_order(void **state)
{
	struct team *t = *state;
	struct name_list names = { NULL, 0, 0 };
	char id[DIGEST_HEX], *shelf, *elsewhere, *records = home_path(t->b, VAULT_RECORDS);

	add_run(t->a, "w1", '1', id);
	for (int i = 0; i < 4; i++) {
		const struct promotion p = { .model = "bot",
					     .alias = &"dcba"[i],
					     .version = 1,
					     .expect = 0,
					     .actor = "ann",
					     .reason = "it passed" };
		char promotion[DIGEST_HEX];

		must(registry_promote(t->a->registry, &p, promotion));
	}
	push(t, t->a, 0);
	shelf = mem_printf("%s/%s/%.2s", t->b->home, VAULT_RECORDS, id);
	must(fs_temp_dir(&elsewhere, strncmp(t->b->home, "/dev/shm", 8) ? "/dev/shm" : "/tmp", "assay-test-"));
	must(fs_mkdirs(records));
	assert_int_equal(symlink(elsewhere, shelf), 0); /* the run's record cannot be renamed to another file system */
	pull(t, t->b, ERR_IO);
	must(fs_remove(shelf));
	must(store_names(t->b->store, VAULT_RECORDS, &names, NULL, NULL));
	assert_int_equal(names.len, 0);
	assert_same(t);
	name_list_release(&names);
	must(fs_remove_tree(elsewhere));
	free(shelf);
	free(elsewhere);
	free(records);
}

static void test_sync__a_broken_transfer_goes_on(void **state)
{
	struct team *t = *state;
	char w[DIGEST_HEX], *part;
	struct stat was, now;
	uint64_t bytes = 0;
	char id[DIGEST_HEX];

	add_run(t->a, "a model of some length", '1', id);
	push(t, t->a, 0);
	put_text(t->a->store, "a model of some length", w);
	part = mem_printf("%s/tmp/fetch-%s", t->b->home, w);
	must(fs_write(part, "a model of", 10));
	assert_int_equal(stat(part, &was), 0);
	must(depot_fetch(t->d, t->b->store, w, &bytes));
	assert_int_equal(bytes, 12);
	assert_false(fs_exists(part));
	/* what was fetched is the object's file: written once */
	assert_int_equal(stat(store_path(t->b->store, w), &now), 0);
	assert_true(was.st_ino == now.st_ino && (now.st_mode & 0777) == 0444);
	free(part);
}

static void test_depot_open__what_is_no_remote(void **state)
{
	static const char *const urls[] = { "file://relative", "ftp://host/x", "", "file:///a\n" };
	struct depot *d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		assert_err(depot_open(&d, &(struct depot_place){ .url = urls[i] }), ERR_INPUT);
}

int main(void)
{
#define TEAM_TEST(t) cmocka_unit_test_setup_teardown(t, team_start, team_end)
	const struct CMUnitTest tests[] = {
		TEAM_TEST(test_sync__union_is_the_same_on_both_sides),
		TEAM_TEST(test_sync__records_alone_and_objects_on_demand),
		TEAM_TEST(test_sync__folders_come_whole),
		TEAM_TEST(test_sync__dry_run_changes_nothing),
		TEAM_TEST(test_sync__two_promotions_cannot_both_win),
		TEAM_TEST(test_sync__of_eight_racing_pushes_one_moves_the_alias),
		TEAM_TEST(test_sync__two_models_never_share_a_number),
		TEAM_TEST(test_sync__the_same_weights_are_one_version),
		TEAM_TEST(test_sync__a_move_that_is_made_during_a_pull_rests_on_what_the_pull_brought),
		TEAM_TEST(test_sync__a_move_that_rests_on_one_that_went_does_not_come_true),
		TEAM_TEST(test_sync__a_run_that_is_made_during_a_pull_gets_the_next_number),
		TEAM_TEST(test_sync__moves_are_made_again_in_their_order),
		TEAM_TEST(test_sync__what_gives_way_halfway_is_whole),
		TEAM_TEST(test_sync__what_a_killed_pull_brought_is_no_newcomer),
		TEAM_TEST(test_sync__what_waits_aside_is_compared_with_its_name),
		TEAM_TEST(test_sync__a_run_that_waits_is_renumbered_once),
		TEAM_TEST(test_sync__a_record_that_takes_a_claimed_number_stays_out),
		TEAM_TEST(test_sync__claims_that_are_gone_are_made_again),
		TEAM_TEST(test_sync__the_last_claim_is_damaged_and_removed_as_told),
		TEAM_TEST(test_sync__a_move_without_a_claim_gets_one),
		TEAM_TEST(test_sync__no_claim_stands_behind_the_last_number),
		TEAM_TEST(test_sync__killed_at_any_time_both_sides_are_whole),
		TEAM_TEST(test_sync__records_with_a_flipped_bit),
		TEAM_TEST(test_sync__records_that_are_empty),
		TEAM_TEST(test_sync__objects_with_a_flipped_bit),
		TEAM_TEST(test_sync__objects_that_are_empty),
		TEAM_TEST(test_sync__a_record_that_is_none),
		TEAM_TEST(test_sync__a_pipe_or_a_link_is_no_record),
		TEAM_TEST(test_sync__a_claim_that_lies),
		TEAM_TEST(test_sync__a_claim_with_a_flipped_bit),
		TEAM_TEST(test_sync__a_claim_without_its_record_is_healed),
		TEAM_TEST(test_sync__a_move_aside_that_was_killed_is_finished),
		TEAM_TEST(test_sync__what_the_remote_lost_is_sent_again),
		TEAM_TEST(test_sync__what_was_cut_off_there_is_named),
		TEAM_TEST(test_sync__what_neither_side_has_is_told),
		TEAM_TEST(test_sync__what_went_is_said_first),
		TEAM_TEST(test_sync__records_come_in_their_order),
		TEAM_TEST(test_sync__a_broken_transfer_goes_on),
		cmocka_unit_test(test_depot_open__what_is_no_remote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
