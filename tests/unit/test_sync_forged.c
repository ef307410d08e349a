/* test_sync_forged.c: moves of an alias that somebody wrote there, claimed or not, and that no home can take in. */
#include "base/base.h"

#include <fcntl.h>
#include <unistd.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "team.h"

/* The last of them. */
static json_t *after_two_moves(struct team *t, char newest[DIGEST_HEX])
{
	two_moves(t);
	return newest_move(t->a, newest);
}

static void write_there(const char *path, const struct buf *text)
{
	char *dir = path_dir(path);

	must(fs_mkdirs(dir));
	must(fs_write(path, buf_str(text), text->len));
	free(dir);
}

/* The files of a move that nobody's gate made, beneath the remote; n: its claim, 0: it has none. */
struct forged {
	char id[DIGEST_HEX];
	char *record, *claim;
};

static struct forged forge(struct team *t, const json_t *record, int n)
{
	struct buf text = BUF_INIT(1 << 20);
	struct forged f = { .claim = NULL };
	char *path;

	record_bytes(&text, f.id, record);
	f.record = mem_printf("records/%.2s/%s", f.id, f.id + 2);
	path = path_join(t->folder, f.record);
	write_there(path, &text);
	free(path);
	if (n) {
		f.claim = claim_file("alias:bot@production", n);
		path = path_join(t->folder, f.claim);
		buf_addf(&text, "\n%s\n", f.id);
		write_there(path, &text);
		free(path);
	}
	buf_release(&text);
	return f;
}

static void assert_told(const struct forged *f)
{
	assert_text_has(err_fix(), f->record);
	assert_text_has(err_fix(), f->claim);
}

/* As the fix says: gone from the remote, and from records/ of a home. */
static void take_away(struct team *t, const struct forged *f)
{
	const char *const files[] = { f->record, f->claim };

	for (int i = 0; i < 2; i++) {
		char *path = files[i] ? path_join(t->folder, files[i]) : NULL;

		if (path)
			must(fs_remove(path));
		free(path);
	}
}

static void set_aside(struct fixture *f, const char *id)
{
	char *from = store_file(f->store, VAULT_RECORDS, id), *aside = home_path(f, "aside"),
	     *to = path_join(aside, id);

	must(fs_mkdirs(aside));
	must(fs_rename(from, to));
	fixture_reopen(f);
	free(from);
	free(aside);
	free(to);
}

static void forged_release(struct forged *f)
{
	free(f->record);
	free(f->claim);
}

static json_t *by_mallory(json_t *record, const char *previous)
{
	json_object_set_new(record, "actor", json_string("mallory"));
	json_object_set_new(record, "version", json_integer(3));
	json_object_set_new(record, "from", json_integer(2));
	json_object_set_new(record, "seq", json_integer(40));
	json_object_set_new(record, "run", json_null());
	json_object_del(record, "object");
	json_object_del(record, "previous");
	if (previous)
		json_object_set_new(record, "previous", json_string(previous));
	return record;
}

static void promote_staging(struct fixture *f)
{
	const struct promotion p = {
		.model = "bot", .alias = "staging", .version = 3, .expect = 0, .actor = "bob", .reason = "try"
	};
	char id[DIGEST_HEX];

	must(registry_promote(f->registry, &p, id));
}

/* What no home takes in: it says of its version what is not so, or is of a time that nobody has lived to see (both go aside), or
 * speaks of what is nowhere (a record at fault). */
static void make_wrong(json_t *record, int way, const char *some)
{
	if (way == 0)
		json_object_set_new(record, "object", json_string(some));
	else if (way == 1)
		json_object_set_new(record, "seq", json_integer(INT64_C(1) << 40));
	else
		json_object_set_new(record, "version", json_integer(9));
}

/* Two of them, one on the other. */
static void test_sync__claimed_moves_at_fault_are_named_with_what_to_remove(void **state)
{
	for (int way = 0; way < 3; way++) {
		struct team *t = *state;
		char newest[DIGEST_HEX], id[DIGEST_HEX], *path;
		json_t *record = by_mallory(after_two_moves(t, newest), newest);
		struct forged first, second;

		make_wrong(record, way, newest);
		first = forge(t, record, 3);
		json_object_set_new(record, "previous", json_string(first.id));
		json_object_set_new(record, "from", json_object_get(record, "version"));
		second = forge(t, record, 4);
		pull(t, t->b, 0);
		assert_int_equal(alias_of(t->b), 2);
		must(promote_to(t->b, 3, 2));
		promote_staging(t->b);
		add_run(t->b, "w4", '4', id);
		assert_int_equal(push(t, t->b, ERR_INPUT).refused, 1);
		assert_text_has(err_text(), "bot@production stays where it is there");
		assert_text_has(err_text(), "mallory");
		assert_told(&first);
		assert_told(&second);
		path = mem_printf("%s/records/%.2s/%s", t->folder, id, id + 2); /* all else went */
		assert_true(fs_exists(path));
		free(path);
		assert_int_equal(files_in(t, "claims"), 3 + 1 + 4 + 1); /* versions, and moves of two aliases */
		push(t, t->b, ERR_INPUT);                               /* again and again */
		assert_told(&first);
		assert_int_equal(alias_of(t->b), 3);
		take_away(t, &first);
		take_away(t, &second);
		push(t, t->b, 0);
		if (way == 2) {
			set_aside(t->b, first.id);
			set_aside(t->b, second.id);
		}
		assert_same(t);
		assert_int_equal(alias_of(t->a), 3);
		forged_release(&first);
		forged_release(&second);
		json_decref(record);
		team_end(state);
		team_start(state);
	}
}

/* A claim is made on top of the one before it: whose move rests on an earlier one was put there by hand, and moves the alias of no
 * home, one that knew it as one that knew nothing. */
static void test_sync__a_claimed_move_that_parts_from_the_line_is_none(void **state)
{
	struct team *t = *state;
	char newest[DIGEST_HEX], first[DIGEST_HEX], *path;
	json_t *record = after_two_moves(t, newest);
	struct forged f;
	struct fixture *c;
	void *s;

	snprintf(first, sizeof(first), "%s", json_get_text(record, "previous", ""));
	f = forge(t, by_mallory(record, first), 3);
	pull(t, t->b, 0);
	fixture_registry(&s);
	c = s;
	pull(t, c, 0);
	assert_int_equal(alias_of(t->b), 2);
	assert_int_equal(alias_of(c), 2);
	path = shelves_aside(c->store, f.id, false);
	assert_true(fs_exists(path));
	free(path);
	assert_clean(t->b->registry);
	assert_clean(c->registry);
	fixture_end(&s);
	must(promote_to(t->b, 3, 2));
	push(t, t->b, ERR_INPUT);
	assert_told(&f);
	take_away(t, &f);
	push(t, t->b, 0);
	assert_same(t);
	assert_int_equal(alias_of(t->a), 3);
	forged_release(&f);
	json_decref(record);
}

static char *claim_there(struct team *t, const char *what, int n)
{
	char *file = claim_file(what, n), *path = path_join(t->folder, file);

	free(file);
	return path;
}

/* A whole claim in the wrong place says nothing of the alias: it is named, and no record is to be removed. */
static void test_sync__a_claim_with_the_record_of_another(void **state)
{
	static const char *const whats[] = { "alias:bot@staging", "version:bot@v1" };

	for (size_t i = 0; i < ARRAY_LEN(whats); i++) {
		struct team *t = *state;
		char *from = claim_there(t, whats[i], 1), *to = claim_there(t, "alias:bot@production", 3),
		     id[DIGEST_HEX];
		struct fixture *c;
		void *s;

		two_moves(t);
		promote_staging(t->a);
		push(t, t->a, 0);
		must(fs_copy(from, to));
		must(promote_to(t->b, 3, 2));
		add_run(t->b, "w4", '4', id);
		push(t, t->b, ERR_INPUT);
		assert_text_has(err_text(), to + strlen(t->folder) + 1);
		assert_text_has(err_fix(), "remove that file, and no record");
		fixture_registry(&s);
		c = s;
		pull(t, c, 0);
		assert_int_equal(alias_of(c), 2);
		assert_int_equal(list_length(c->registry, "runs"), 4);
		assert_clean(c->registry);
		fixture_end(&s);
		must(fs_remove(to));
		push(t, t->b, 0);
		assert_same(t);
		assert_int_equal(alias_of(t->a), 3);
		free(from);
		free(to);
		team_end(state);
		team_start(state);
	}
}

static void test_sync__a_versions_claim_with_the_record_of_another(void **state)
{
	struct team *t = *state;
	char *from = claim_there(t, "version:bot@v1", 1), *to = claim_there(t, "version:bot@v4", 1),
	     *dir = path_dir(to), id[DIGEST_HEX];

	two_moves(t);
	must(fs_mkdirs(dir));
	must(fs_copy(from, to));
	add_run(t->b, "w4", '4', id);
	push(t, t->b, ERR_INPUT);
	assert_text_has(err_text(), "none of bot@v4");
	assert_text_has(err_fix(), "remove that file, and no record");
	must(fs_remove(to));
	push(t, t->b, 0);
	assert_same(t);
	free(from);
	free(to);
	free(dir);
}

/* A damaged claim, too, keeps its alias alone. */
static void test_sync__a_damaged_claim_keeps_no_other_alias_away(void **state)
{
	struct team *t = *state;
	char newest[DIGEST_HEX];
	json_t *record = after_two_moves(t, newest);
	struct forged f = forge(t, record, 3);
	char *path = path_join(t->folder, f.claim);

	empty(path);
	must(promote_to(t->b, 3, 2));
	promote_staging(t->b);
	push(t, t->b, ERR_INPUT);
	assert_text_has(err_text(), "is damaged");
	pull(t, t->a, 0);
	assert_int_equal(list_length(t->a->registry, "aliases"), 2);
	assert_int_equal(alias_of(t->a), 2);
	must(fs_remove(path));
	push(t, t->b, 0);
	assert_same(t);
	free(path);
	forged_release(&f);
	json_decref(record);
}

/* It names nothing before it, where all do: it goes aside, claimed or not, in a home that knew the alias as in one that did not, and no
 * check is red. One with a claim is named by a push. */
static void test_sync__a_move_that_names_none_before_it(void **state)
{
	for (int way = 0; way < 4; way++) {
		struct team *t = *state;
		char newest[DIGEST_HEX], *path;
		json_t *record = by_mallory(after_two_moves(t, newest), NULL);
		bool claimed = way & 1, early = way & 2;
		struct forged f;
		struct fixture *c;
		void *s;

		if (early)
			json_object_set_new(record, "seq", json_integer(3)); /* before the first move */
		f = forge(t, record, claimed ? 3 : 0);
		pull(t, t->b, 0);
		assert_int_equal(alias_of(t->b), 2);
		path = shelves_aside(t->b->store, f.id, false);
		assert_true(fs_exists(path));
		free(path);
		assert_clean(t->b->registry);
		must(promote_to(t->b, 3, 2));
		push(t, t->b, claimed ? ERR_INPUT : 0);
		fixture_registry(&s);
		c = s;
		pull(t, c, 0);
		assert_int_equal(alias_of(c), claimed ? 2 : 3);
		assert_clean(c->registry);
		fixture_end(&s);
		if (claimed) {
			push(t, t->b, ERR_INPUT);
			assert_told(&f);
			take_away(t, &f);
			push(t, t->b, 0);
		}
		assert_same(t);
		forged_release(&f);
		json_decref(record);
		team_end(state);
		team_start(state);
	}
}

/* What a pull that only counts says, with its counts. Yours. */
static char *dry_pull(struct team *t, struct fixture *f, struct sync_counts *n)
{
	const struct sync_options dry = { .dry_run = true };
	enum log_level level = log_level();
	char *path = home_path(f, "said");
	int err = dup(STDERR_FILENO), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct buf said = BUF_INIT(1 << 20);

	assert_true(err >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	log_set_level(LOG_WARN);
	must(registry_pull(f->registry, t->d, &dry, n));
	log_set_level(level);
	assert_true(dup2(err, STDERR_FILENO) >= 0);
	close(fd);
	close(err);
	must(fs_read(&said, path, said.max));
	must(fs_remove(path));
	free(path);
	return buf_take(&said);
}

/* What would be set aside is told before it comes, and nothing is moved: a seq that no home could reach (newcomers.c), and a move
 * that parts from the line (sync_forks.c). */
static void test_sync__a_dry_pull_tells_what_would_be_set_aside(void **state)
{
	for (int far = 0; far < 2; far++) {
		struct team *t = *state;
		char newest[DIGEST_HEX], *to, *said;
		json_t *record = after_two_moves(t, newest);
		struct sync_counts n;
		struct forged f;

		by_mallory(record, far ? newest : NULL);
		if (far)
			json_object_set_new(record, "seq", json_integer(RECORD_SEQ_STEP + 1000));
		f = forge(t, record, 0);
		to = shelves_aside(t->b->store, f.id, false);
		said = dry_pull(t, t->b, &n);
		assert_text_has(said, "was not taken over");
		assert_text_has(said, far ? "its seq is " : "names no move before it");
		assert_text_has(said, "it would go to ");
		assert_int_equal(n.records, 0);
		assert_false(fs_exists(to));
		assert_int_equal(pull(t, t->b, 0).records, 0);
		assert_true(fs_exists(to));
		free(said);
		free(to);
		forged_release(&f);
		json_decref(record);
		team_end(state);
		team_start(state);
	}
}

/* As a home knows one that an older assay took in: the check is red until it is moved away, as told. */
static void test_sync__a_move_at_fault_from_before_is_told_with_a_way_out(void **state)
{
	struct team *t = *state;
	char newest[DIGEST_HEX], *to, *from, *faults;
	json_t *record = by_mallory(after_two_moves(t, newest), NULL);
	struct forged f = forge(t, record, 3);

	from = path_join(t->folder, f.record);
	to = store_file(t->b->store, VAULT_RECORDS, f.id);
	{
		char *dir = path_dir(to);

		must(fs_mkdirs(dir));
		free(dir);
	}
	must(fs_copy(from, to));
	fixture_reopen(t->b);
	faults = check_text(t->b->registry);
	assert_text_has(faults, f.id);
	free(faults);
	must(promote_to(t->b, 3, 2));
	push(t, t->b, ERR_INPUT);
	assert_told(&f);
	take_away(t, &f);
	push(t, t->b, 0);
	set_aside(t->b, f.id);
	assert_same(t);
	free(from);
	free(to);
	forged_release(&f);
	json_decref(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEAM_TEST(test_sync__claimed_moves_at_fault_are_named_with_what_to_remove),
		TEAM_TEST(test_sync__a_claimed_move_that_parts_from_the_line_is_none),
		TEAM_TEST(test_sync__a_claim_with_the_record_of_another),
		TEAM_TEST(test_sync__a_versions_claim_with_the_record_of_another),
		TEAM_TEST(test_sync__a_damaged_claim_keeps_no_other_alias_away),
		TEAM_TEST(test_sync__a_move_that_names_none_before_it),
		TEAM_TEST(test_sync__a_dry_pull_tells_what_would_be_set_aside),
		TEAM_TEST(test_sync__a_move_at_fault_from_before_is_told_with_a_way_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
