/* test_sync.c: two homes and a folder between them: the union, kills, and a remote that lost something or lies. */
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

#include "team.h"

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
	assert_int_equal(n.unseen, 1);
	assert_int_equal(list_length(t->b->registry, "runs"), 0);
	add_run(t->a, "w2", '2', id); /* with the samples of the first: fetched once, counted once */
	push(t, t->a, 0);
	must(registry_pull(t->b->registry, t->d, &dry, &n));
	assert_int_equal(n.objects, 3);
	assert_int_equal(n.unseen, 2);
	n = pull(t, t->b, 0);
	assert_int_equal(n.objects, 3);
	assert_int_equal(n.unseen, 0);
	must(registry_pull(t->b->registry, t->d, &dry, &n));
	assert_int_equal(n.unseen, 0);
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

static void lies(struct team *t, const char *vault, int (*how)(const char *path))
{
	char *dir = path_join(t->folder, vault), id[DIGEST_HEX], *text;

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	assert_true(each_file(dir, how) > 0);
	assert_int_equal(pull(t, t->b, ERR_INPUT).refused, 1);
	assert_text_has(err_text(), "not what it says and stayed there");
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
		assert_text_has(err_text(), "1 file in file:///");
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
	assert_int_equal(pull(t, t->b, ERR_INPUT).refused, 1);
	must(fs_remove(path));
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(pull(t, t->b, ERR_INPUT).refused, 1);
	must(fs_remove(path));
	must(fs_write(file, "x", 1)); /* a name that is none */
	pull(t, t->b, 0);
	free(path);
	free(file);
	free(shelf);
}

static char *record_there(struct team *t, const char *id)
{
	char path[DEPOT_PATH];

	depot_file(path, VAULT_RECORDS, id);
	return path_join(t->folder, path);
}

/* What is wrong in a remote keeps nothing else away, and the other direction neither. */
static void test_sync__what_is_wrong_there_keeps_nothing_else_away(void **state)
{
	struct team *t = *state;
	char ids[3][DIGEST_HEX], id[DIGEST_HEX], *record, *object = file_there(t, "w3");
	struct sync_counts n, pulled;

	for (int i = 0; i < 3; i++) {
		const char w[] = { 'w', (char)('1' + i), '\0' };

		add_run(t->a, w, (char)('1' + i), ids[i]);
	}
	must(promote_to(t->a, 1, 0));
	must(promote_to(t->a, 2, 1));
	push(t, t->a, 0);
	record = record_there(t, ids[1]); /* of the second run, and the third run's weights */
	flip(record);
	flip(object);
	n = pull(t, t->b, ERR_INPUT);
	assert_int_equal(n.refused, 2);
	assert_int_equal(n.records, 3);
	assert_int_equal(list_length(t->b->registry, "runs"), 1);
	assert_int_equal(alias_of(t->b), 1); /* the move to v2 waits for its run */
	assert_err(registry_pull(t->b->registry, t->d, &(struct sync_options){ .records_only = true }, &n), ERR_INPUT);
	assert_int_equal(n.refused, 1);
	add_run(t->b, "w4", '4', id);
	assert_err(registry_push(t->b->registry, t->d, &all, &n, &pulled), ERR_INPUT);
	assert_int_equal(n.records, 1);
	must(fs_remove(record));
	must(fs_remove(object));
	push(t, t->a, 0); /* as the fix says */
	assert_same(t);
	assert_int_equal(alias_of(t->b), 2);
	assert_int_equal(list_length(t->a->registry, "runs"), 4);
	free(record);
	free(object);
}

/* A number that is another's there, whose record cannot be read: the error is the damage, not a race. */
static void test_sync__who_was_first_is_damaged(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *record;

	add_run(t->a, "w1", '1', id);
	push(t, t->a, 0);
	record = record_there(t, id);
	flip(record);
	add_run(t->b, "w2", '2', id);
	push(t, t->b, ERR_INPUT);
	assert_text_has(err_text(), "stayed there");
	must(fs_remove(record));
	push(t, t->a, 0);
	push(t, t->b, 0);
	assert_same(t);
	assert_int_equal(list_length(t->a->registry, "versions"), 2);
	free(record);
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

/* A push that breaks off leaves no version there whose weights are nowhere and nobody says why. */
static void test_sync__what_went_is_said_first(void **state)
{
	struct team *t = *state;
	const struct gc_options none = { .keep_runs = 0, .actor = "ann" };
	struct gc_totals totals;
	struct name_list names = { NULL, 0, 0 };
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
	must(store_names(t->a->store, VAULT_RECORDS, &names, NULL, NULL));
	assert_int_equal(names.len, 2);
	n = push(t, t->a, ERR_IO);
	assert_int_equal(n.records, memcmp(names.names[0], names.names[1], 2) != 0); /* one in 256 lie on one shelf */
	must(fs_remove(shelf));
	push(t, t->a, 0);
	assert_same(t);
	name_list_release(&names);
	free(shelf);
	free(records);
}

/* Weights that went here come with the move that stands for them, in the same pull. */
static void test_sync__a_move_brings_its_weights_back(void **state)
{
	struct team *t = *state;
	const struct gc_options none = { .keep_runs = 0, .actor = "ann" };
	struct gc_totals totals;
	char id[DIGEST_HEX], object[DIGEST_HEX];

	add_run(t->a, "w1", '1', id);
	add_run(t->a, "w2", '2', id);
	push(t, t->a, 0);
	pull(t, t->b, 0);
	registry_close(t->a->registry);
	t->a->registry = NULL;
	must(registry_gc(t->a->store, &none, &totals));
	assert_int_equal(totals.gone, 2);
	must(registry_open(&t->a->registry, t->a->store));
	put_text(t->b->store, "w2", object);
	pull(t, t->a, 0);
	assert_false(store_has(t->a->store, object)); /* they stay away */
	must(promote_to(t->b, 2, 0));
	push(t, t->b, 0);
	pull(t, t->a, 0);
	assert_true(store_has(t->a->store, object));
	put_text(t->b->store, "w1", object);
	assert_false(store_has(t->a->store, object));
	assert_clean(t->a->registry);
}

/* The shelf of a record in b's home is on another file system: it cannot be renamed to its place. */
static char *shelf_elsewhere(struct team *t, const char *id, char **elsewhere)
{
	char *records = home_path(t->b, VAULT_RECORDS), *shelf = mem_printf("%s/%.2s", records, id);

	must(fs_temp_dir(elsewhere, strncmp(t->b->home, "/dev/shm", 8) ? "/dev/shm" : "/tmp", "assay-test-"));
	must(fs_mkdirs(records));
	assert_int_equal(symlink(*elsewhere, shelf), 0);
	free(records);
	return shelf;
}

static size_t count_records(const struct fixture *f)
{
	struct name_list names = { NULL, 0, 0 };
	size_t n;

	must(store_names(f->store, VAULT_RECORDS, &names, NULL, NULL));
	n = names.len;
	name_list_release(&names);
	return n;
}

/* A pull that breaks off while it takes records over has none that speaks of what is not there. */
static void test_sync__records_come_in_their_order(void **state)
{
	struct team *t = *state;
	char id[DIGEST_HEX], *shelf, *elsewhere;

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
	shelf = shelf_elsewhere(t, id, &elsewhere); /* the run's */
	pull(t, t->b, ERR_IO);
	must(fs_remove(shelf));
	assert_int_equal(count_records(t->b), 0);
	assert_same(t);
	must(fs_remove_tree(elsewhere));
	free(shelf);
	free(elsewhere);
}

/* And none whose weights went, before the record that says so: it would be a run whose model is nowhere. */
static void test_sync__what_went_comes_first(void **state)
{
	struct team *t = *state;
	const struct gc_options none = { .keep_runs = 0, .actor = "ann" };
	struct name_list names = { NULL, 0, 0 };
	struct sync_counts n;
	struct gc_totals totals;
	char id[DIGEST_HEX], *shelf, *elsewhere;

	add_run(t->a, "w1", '1', id);
	registry_close(t->a->registry);
	t->a->registry = NULL;
	must(registry_gc(t->a->store, &none, &totals));
	must(registry_open(&t->a->registry, t->a->store));
	push(t, t->a, 0);
	must(store_names(t->a->store, VAULT_RECORDS, &names, NULL, NULL));
	assert_int_equal(names.len, 2);
	shelf = shelf_elsewhere(t, names.names[!strcmp(names.names[0], id)], &elsewhere); /* the collection's */
	assert_err(registry_pull(t->b->registry, t->d, &(struct sync_options){ .records_only = true }, &n), ERR_IO);
	must(fs_remove(shelf));
	assert_int_equal(count_records(t->b), 0);
	fixture_reopen(t->b);
	assert_clean(t->b->registry);
	assert_same(t);
	name_list_release(&names);
	must(fs_remove_tree(elsewhere));
	free(shelf);
	free(elsewhere);
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
	const struct CMUnitTest tests[] = {
		TEAM_TEST(test_sync__union_is_the_same_on_both_sides),
		TEAM_TEST(test_sync__records_alone_and_objects_on_demand),
		TEAM_TEST(test_sync__folders_come_whole),
		TEAM_TEST(test_sync__dry_run_changes_nothing),
		TEAM_TEST(test_sync__a_record_that_takes_a_claimed_number_stays_out),
		TEAM_TEST(test_sync__killed_at_any_time_both_sides_are_whole),
		TEAM_TEST(test_sync__records_with_a_flipped_bit),
		TEAM_TEST(test_sync__records_that_are_empty),
		TEAM_TEST(test_sync__objects_with_a_flipped_bit),
		TEAM_TEST(test_sync__objects_that_are_empty),
		TEAM_TEST(test_sync__a_record_that_is_none),
		TEAM_TEST(test_sync__a_pipe_or_a_link_is_no_record),
		TEAM_TEST(test_sync__what_is_wrong_there_keeps_nothing_else_away),
		TEAM_TEST(test_sync__who_was_first_is_damaged),
		TEAM_TEST(test_sync__a_claim_that_lies),
		TEAM_TEST(test_sync__what_the_remote_lost_is_sent_again),
		TEAM_TEST(test_sync__what_was_cut_off_there_is_named),
		TEAM_TEST(test_sync__what_neither_side_has_is_told),
		TEAM_TEST(test_sync__what_went_is_said_first),
		TEAM_TEST(test_sync__a_move_brings_its_weights_back),
		TEAM_TEST(test_sync__records_come_in_their_order),
		TEAM_TEST(test_sync__what_went_comes_first),
		TEAM_TEST(test_sync__a_broken_transfer_goes_on),
		cmocka_unit_test(test_depot_open__what_is_no_remote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
