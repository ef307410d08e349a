/* test_sync_claims.c: claims at a remote that are gone, damaged, or without what they stand for. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "team.h"

/* ---- claims that are gone ---- */

/* What was claimed of the alias, and how often. */
static char *alias_claims(struct team *t, int *n)
{
	char *first = claim_file("alias:bot@production", 1), *dir = path_dir(first), *path = path_join(t->folder, dir);

	*n = each_file(path, NULL);
	free(first);
	free(dir);
	return path;
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

/* The last promotion of f's, and where it would lie in the remote. */
static json_t *newest_there(struct team *t, struct fixture *f, char id[DIGEST_HEX], char **there)
{
	json_t *record = newest_move(f, id);

	*there = mem_printf("%s/records/%.2s/%s", t->folder, id, id + 2);
	return record;
}

/* Puts it there, without a claim. */
static void copy_move(struct team *t, struct fixture *f, char id[DIGEST_HEX])
{
	char *from, *to;

	json_decref(newest_there(t, f, id, &to));
	from = store_file(f->store, VAULT_RECORDS, id);
	must(fs_copy(from, to));
	free(from);
	free(to);
}

static bool lies_aside(struct fixture *f, const char *id)
{
	char *path = shelves_aside(f->store, id, false);
	bool is = fs_exists(path);

	free(path);
	return is;
}

/* A move that somebody copied there: it is believed, as whoever may write there is, and does not stop the next. */
static void test_sync__a_move_without_a_claim_gets_one(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX];
	int n;

	two_moves(t);
	must(promote_to(t->a, 3, 2));
	copy_move(t, t->a, id);
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
}

/* A move that follows what was moved on already, written there by hand: whoever pulls keeps what was claimed, one who knew it as
 * one who knew nothing; and what rests on the fork goes the same way. Without any claim it is what is known here that holds. */
static void test_sync__a_fork_that_nobody_claimed_moves_nothing(void **state)
{
	for (int claims = 0; claims < 2; claims++) {
		struct team *t = *state;
		char fork[DIGEST_HEX], on_top[DIGEST_HEX], id[DIGEST_HEX], *dir;
		struct fixture *c;
		void *s;
		int n;

		add_run(t->a, "w4", '4', id);
		two_moves(t);
		must(promote_to(t->a, 3, 2));
		push(t, t->a, 0);
		must(promote_to(t->b, 3, 2));
		copy_move(t, t->b, fork);
		must(promote_to(t->b, 4, 3)); /* later than all of a's */
		copy_move(t, t->b, on_top);
		dir = alias_claims(t, &n);
		assert_int_equal(n, 3);
		if (!claims)
			must(fs_remove_tree(dir));
		pull(t, t->a, 0);
		assert_int_equal(alias_of(t->a), 3);
		assert_true(lies_aside(t->a, fork));
		assert_true(lies_aside(t->a, on_top));
		assert_clean(t->a->registry);
		must(promote_to(t->a, 4, 3)); /* and the line goes on */
		push(t, t->a, 0);
		if (claims) {
			fixture_registry(&s);
			c = s;
			pull(t, c, 0);
			assert_int_equal(alias_of(c), 4);
			assert_true(lies_aside(c, fork));
			assert_clean(c->registry);
			fixture_end(&s);
		}
		free(dir);
		team_end(state);
		team_start(state);
	}
}

/* What is lost or damaged among the claims takes no alias back, in no home: neither the last, nor all of them, nor a number that was made
 * by hand. */
static void test_sync__lost_claims_take_no_alias_back(void **state)
{
	for (int way = 0; way < 4; way++) {
		struct team *t = *state;
		char *dir, *last, *far;
		struct fixture *c;
		void *s;
		int n;

		two_moves(t);
		dir = alias_claims(t, &n);
		last = path_join(dir, "00000002");
		far = path_join(dir, "00900000");
		if (way == 0)
			empty(last);
		else if (way == 1)
			must(fs_remove(last));
		else if (way == 2)
			must(fs_remove_tree(dir));
		else
			must(fs_copy(last, far));
		fixture_registry(&s);
		c = s;
		pull(t, c, 0);
		assert_int_equal(alias_of(c), 2);
		assert_int_equal(list_length(c->registry, "history"), 2);
		assert_clean(c->registry);
		fixture_end(&s);
		free(far);
		free(last);
		free(dir);
		team_end(state);
		team_start(state);
	}
}

/* Beside the chain, and on top of what stands beside it; a push of this home's is not told that it lost to them. */
static void test_sync__a_forged_fork_moves_nothing(void **state)
{
	struct team *t = *state;
	char *there, id[DIGEST_HEX], first[DIGEST_HEX], second[DIGEST_HEX];
	json_t *record;
	struct buf text = BUF_INIT(1 << 20);

	two_moves(t);
	record = newest_there(t, t->a, id, &there);
	free(there);
	json_object_set_new(record, "actor", json_string("mallory"));
	json_object_set_new(record, "version", json_integer(3));
	json_object_set_new(record, "seq", json_integer(40));
	json_object_del(record, "object");
	json_object_set_new(record, "run", json_null());
	record_bytes(&text, first, record);
	for (int i = 0; i < 2; i++) {
		char *path = mem_printf("%s/records/%.2s/%s", t->folder, i ? second : first, (i ? second : first) + 2);
		char *dir = path_dir(path);

		must(fs_mkdirs(dir));
		must(fs_write(path, buf_str(&text), text.len));
		buf_clear(&text);
		json_object_set_new(record, "previous", json_string(first));
		json_object_set_new(record, "from", json_integer(3));
		json_object_set_new(record, "seq", json_integer(41));
		record_bytes(&text, second, record);
		free(path);
		free(dir);
	}
	must(promote_to(t->b, 3, 2));
	push(t, t->b, 0);
	assert_int_equal(alias_of(t->b), 3);
	assert_true(lies_aside(t->b, first));
	assert_true(lies_aside(t->b, second));
	assert_same(t);
	json_decref(record);
	buf_release(&text);
}

/* Records that were copied, or a remote of before claims: there is nobody to ask, and the records are believed. */
static void test_sync__a_remote_without_claims_is_believed(void **state)
{
	struct team *t = *state;
	char *dir = path_join(t->folder, "claims"), id[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	must(promote_to(t->a, 1, 0));
	push(t, t->a, 0);
	must(fs_remove_tree(dir));
	pull(t, t->b, 0);
	assert_int_equal(alias_of(t->b), 1);
	assert_same(t);
	free(dir);
}

/* What stands before a hole in the line is believed, though claims before it are gone. */
static void test_sync__what_stands_before_a_hole_is_believed(void **state)
{
	struct team *t = *state;
	char *dir, *file, *there, id[DIGEST_HEX];
	json_t *record;
	int n;

	two_moves(t);
	record = newest_there(t, t->a, id, &there);
	must(promote_to(t->a, 3, 2));
	push(t, t->a, 0);
	dir = alias_claims(t, &n);
	file = path_join(dir, "00000001");
	must(fs_remove(file));
	empty(there);
	fixture_end((void *[]){ t->b });
	fixture_registry((void **)&t->b);
	pull(t, t->b, ERR_INPUT);
	assert_int_equal(list_length(t->b->registry, "history"), 2);
	assert_int_equal(alias_of(t->b), 3);
	json_decref(record);
	free(dir);
	free(file);
	free(there);
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
/* The remote loses the record of a move that others were made on top of, and perhaps its claim: whoever has it keeps it, and a push
 * sends it again. */
static void test_sync__a_lost_record_of_an_earlier_move_comes_back(void **state)
{
	for (int way = 0; way < 8; way++) {
		struct team *t = *state;
		char ids[2][DIGEST_HEX], *there[2], *dir;
		int which = way & 1, n;
		struct fixture *first = way & 4 ? t->a : t->b;

		two_moves(t);
		json_decref(newest_there(t, t->a, ids[1], &there[1]));
		{
			json_t *rows = NULL;

			must(registry_list(t->a->registry, "history", NULL, 2, &rows));
			snprintf(ids[0], DIGEST_HEX, "%s", json_get_text(json_array_get(rows, 1), "id", ""));
			there[0] = mem_printf("%s/records/%.2s/%s", t->folder, ids[0], ids[0] + 2);
			json_decref(rows);
		}
		must(promote_to(t->a, 3, 2));
		push(t, t->a, 0);
		pull(t, t->b, 0);
		must(fs_remove(there[which]));
		dir = alias_claims(t, &n);
		if (way & 2) {
			char *claim = mem_printf("%s/%08d", dir, which + 1);

			must(fs_remove(claim));
			free(claim);
		}
		pull(t, first, 0);
		assert_false(lies_aside(first, ids[which]));
		assert_int_equal(alias_of(first), 3);
		assert_clean(first->registry);
		push(t, first, 0);
		assert_true(fs_exists(there[which]));
		assert_same(t);
		assert_int_equal(list_length(t->a->registry, "history"), 3);
		for (int i = 0; i < 2; i++)
			free(there[i]);
		free(dir);
		team_end(state);
		team_start(state);
	}
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEAM_TEST(test_sync__claims_that_are_gone_are_made_again),
		TEAM_TEST(test_sync__the_last_claim_is_damaged_and_removed_as_told),
		TEAM_TEST(test_sync__a_move_without_a_claim_gets_one),
		TEAM_TEST(test_sync__a_fork_that_nobody_claimed_moves_nothing),
		TEAM_TEST(test_sync__lost_claims_take_no_alias_back),
		TEAM_TEST(test_sync__a_forged_fork_moves_nothing),
		TEAM_TEST(test_sync__a_remote_without_claims_is_believed),
		TEAM_TEST(test_sync__what_stands_before_a_hole_is_believed),
		TEAM_TEST(test_sync__no_claim_stands_behind_the_last_number),
		TEAM_TEST(test_sync__a_claim_with_a_flipped_bit),
		TEAM_TEST(test_sync__a_claim_without_its_record_is_healed),
		TEAM_TEST(test_sync__a_lost_record_of_an_earlier_move_comes_back),
		TEAM_TEST(test_sync__a_move_aside_that_was_killed_is_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
