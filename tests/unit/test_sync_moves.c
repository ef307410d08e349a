/* test_sync_moves.c: two homes that give one number to two models, or move one alias in two ways: who was first has it. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>

#include "team.h"

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
			       .forced = true,
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
