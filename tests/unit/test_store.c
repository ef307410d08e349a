/* Tests of artifacts/store.c and store_tree.c: names, damage, folders, failures on the way. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

/* printf abc | sha256sum */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABSENT "00000000000000000000000000000000000000000000000000000000000000ff"

static int count_name(const char *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int entries(const struct fixture *f, const char *folder)
{
	char *path = home_path(f, folder);
	int n = 0;

	must(fs_list(path, count_name, &n));
	free(path);
	return n;
}

static void overwrite(struct store *s, const char *hex, const char *text)
{
	must(fs_remove(store_path(s, hex)));
	must(fs_write(store_path(s, hex), text, strlen(text)));
}

static void test_store_put__is_named_by_its_digest(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct buf b = BUF_INIT(100);
	struct stat st;

	must(store_put(f->store, "abc", 3, hex));
	assert_string_equal(hex, ABC);
	assert_true(store_has(f->store, hex));
	must(store_get(f->store, hex, &b, 100));
	assert_string_equal(buf_str(&b), "abc");
	assert_false(stat(store_path(f->store, hex), &st));
	assert_int_equal(st.st_mode & 07777, 0444);
	buf_release(&b);
}

static void test_store_put__twice_is_one_blob(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX];
	struct stat a, b;

	must(store_put(f->store, "abc", 3, one));
	assert_false(stat(store_path(f->store, one), &a));
	must(store_put(f->store, "abc", 3, two));
	assert_false(stat(store_path(f->store, one), &b));
	assert_string_equal(one, two);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(entries(f, "objects"), 1);
	assert_int_equal(entries(f, "tmp"), 0);
}

static void test_store_put__empty(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct buf b = BUF_INIT(10);

	must(store_put(f->store, NULL, 0, hex));
	must(store_get(f->store, hex, &b, 10));
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

static void test_store_get__what_is_no_file_goes_aside(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct buf b = BUF_INIT(100);

	must(store_put(f->store, "text", 4, hex));
	must(fs_remove(store_path(f->store, hex)));
	must(fs_mkdirs(store_path(f->store, hex)));
	assert_err(store_get(f->store, hex, &b, 100), ERR_IO);
	assert_text_has(err_text(), "it is no file");
	must(store_put(f->store, "text", 4, hex)); /* the name is free again */
	must(store_get(f->store, hex, &b, 100));
	buf_release(&b);
}

static void test_store_get__absent_and_no_name(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT(100);

	assert_err(store_get(f->store, ABSENT, &b, 100), ERR_NOTFOUND);
	assert_err(store_get(f->store, "../../../../etc/passwd", &b, 100), ERR_INPUT);
	assert_err(store_get(f->store, "", &b, 100), ERR_INPUT);
	assert_false(store_has(f->store, "../registry.db"));
	buf_release(&b);
}

static void test_store_get__longer_than_allowed(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct buf b = BUF_INIT(100);

	must(store_put(f->store, "abc", 3, hex));
	assert_err(store_get(f->store, hex, &b, 2), ERR_INPUT);
	must(store_get(f->store, hex, &b, 3));
	buf_release(&b);
}

static void test_store_get__flipped_byte_goes_to_bad(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct buf b = BUF_INIT(100);

	must(store_put(f->store, "abc", 3, hex));
	overwrite(f->store, hex, "abd");
	assert_err(store_get(f->store, hex, &b, 100), ERR_IO);
	assert_text_has(err_text(), "bad/");
	assert_non_null(err_fix());
	assert_int_equal(b.len, 0);
	assert_false(store_has(f->store, hex));
	assert_int_equal(entries(f, "bad"), 1);
	assert_err(store_get(f->store, hex, &b, 100), ERR_NOTFOUND);
	assert_text_has(err_text(), "it was found damaged, and lies in ");
	assert_text_has(err_fix(), "artifact repair --from");
	/* the next writer heals it, and a second damage does not overwrite the first finding */
	must(store_put(f->store, "abc", 3, hex));
	must(store_get(f->store, hex, &b, 100));
	overwrite(f->store, hex, "xyz");
	assert_err(store_get(f->store, hex, &b, 100), ERR_IO);
	assert_int_equal(entries(f, "bad"), 2);
	buf_release(&b);
}

static void test_store_put__truncated_object_gives_way(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct buf b = BUF_INIT(100);

	must(store_put(f->store, "abc", 3, hex));
	overwrite(f->store, hex, "a");
	must(store_put(f->store, "abc", 3, hex));
	must(store_get(f->store, hex, &b, 100));
	assert_string_equal(buf_str(&b), "abc");
	assert_int_equal(entries(f, "bad"), 1);
	buf_release(&b);
}

static void test_store_put_file__same_name_as_put(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "work/x"), big[DIGEST_HEX], hex[DIGEST_HEX];
	size_t len = (3 << 20) + 17;
	uint8_t *data = mem_alloc(len);
	uint64_t size = 0;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 4099);
	must(fs_write(path, data, len));
	must(store_put_file(f->store, path, hex, &size));
	must(store_put(f->store, data, len, big));
	assert_string_equal(hex, big);
	assert_int_equal(size, len);
	assert_int_equal(entries(f, "tmp"), 0);
	assert_err(store_put_file(f->store, f->home, hex, &size), ERR_INPUT);
	assert_err(store_put_file(f->store, "/nowhere/at/all", hex, &size), ERR_NOTFOUND);
	free(data);
	free(path);
}

static void write_tree(const struct fixture *f, const char *dir)
{
	static const char *const names[] = { "b/c.txt", "b.txt", "a", "b/d/e" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *rel = mem_printf("%s/%s", dir, names[i]), *path = home_path(f, rel);

		must(fs_write(path, names[i], strlen(names[i])));
		free(rel);
		free(path);
	}
}

static void test_store_put_tree__round_trip(void **state)
{
	struct fixture *f = *state;
	char *in = home_path(f, "work/in"), *again = home_path(f, "work/again"), *out = home_path(f, "work/out");
	char hex[DIGEST_HEX], other[DIGEST_HEX], *leaf = home_path(f, "work/out/b/d/e");
	struct buf b = BUF_INIT(10000);
	uint64_t size = 0;
	struct stat st;

	write_tree(f, "work/in");
	write_tree(f, "work/again");
	must(store_put_tree(f->store, in, hex, &size));
	must(store_put_tree(f->store, again, other, NULL));
	assert_string_equal(hex, other); /* the place does not matter */
	assert_int_equal(size, strlen("b/c.txt") + strlen("b.txt") + strlen("a") + strlen("b/d/e"));
	must(store_get(f->store, hex, &b, 10000));
	assert_true(strstr(buf_str(&b), "\"a\"") < strstr(buf_str(&b), "\"b.txt\""));
	assert_true(strstr(buf_str(&b), "\"b.txt\"") < strstr(buf_str(&b), "\"b/c.txt\""));
	must(store_get_tree(f->store, hex, out));
	must(store_put_tree(f->store, out, other, NULL));
	assert_string_equal(hex, other);
	assert_false(stat(leaf, &st));
	assert_int_equal(st.st_mode & 0222, 0); /* a reader cannot write into the store by accident */
	assert_err(store_get_tree(f->store, hex, out), ERR_EXISTS);
	buf_release(&b);
	free(in);
	free(again);
	free(out);
	free(leaf);
}

static void test_store_put_tree__link_is_refused(void **state)
{
	struct fixture *f = *state;
	char *dir = home_path(f, "work/in"), *link = home_path(f, "work/in/link"), hex[DIGEST_HEX];

	write_tree(f, "work/in");
	assert_false(symlink("/etc/passwd", link));
	assert_err(store_put_tree(f->store, dir, hex, NULL), ERR_INPUT);
	assert_text_has(err_text(), "work/in/link");
	assert_err(store_put_tree(f->store, "/nowhere/at/all", hex, NULL), ERR_NOTFOUND);
	free(dir);
	free(link);
}

static void try_manifest(struct fixture *f, const char *text, int code)
{
	char hex[DIGEST_HEX], *out = home_path(f, "work/hostile"), *escaped = home_path(f, "work/escaped");

	must(store_put(f->store, "abc", 3, hex));
	put_text(f->store, text, hex);
	assert_err(store_get_tree(f->store, hex, out), code);
	assert_false(fs_exists(escaped));
	must(fs_remove_tree(out));
	free(out);
	free(escaped);
}

static void test_store_get_tree__hostile_manifest(void **state)
{
	struct fixture *f = *state;

#define FILE_LINE(path) "{\"object\":\"" ABC "\",\"path\":\"" path "\",\"size\":3}"
	try_manifest(f, "{\"files\":[" FILE_LINE("fine") "]}", 0);
	try_manifest(f, "{\"files\":[" FILE_LINE("../escaped") "]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[" FILE_LINE("a/../../escaped") "]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[" FILE_LINE("/tmp/escaped") "]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[" FILE_LINE("a") "," FILE_LINE("a") "]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[" FILE_LINE("a") "," FILE_LINE("./a") "]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[{\"object\":\"" ABC "\",\"path\":\"a\",\"size\":4}]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[{\"object\":\"" ABSENT "\",\"path\":\"a\",\"size\":3}]}", ERR_NOTFOUND);
	try_manifest(f, "{\"files\":[{\"object\":\"../../x\",\"path\":\"a\",\"size\":3}]}", ERR_INPUT);
	try_manifest(f, "{\"files\":[1]}", ERR_INPUT);
	try_manifest(f, "{\"files\":3}", ERR_INPUT);
	try_manifest(f, "[]", ERR_INPUT);
	try_manifest(f, "not json", ERR_INPUT);
}

static void test_store_get_tree__damaged_file(void **state)
{
	struct fixture *f = *state;
	char *in = home_path(f, "work/in"), *out = home_path(f, "work/out"), hex[DIGEST_HEX], leaf[DIGEST_HEX];

	write_tree(f, "work/in");
	must(store_put_tree(f->store, in, hex, NULL));
	put_text(f->store, "b/c.txt", leaf);
	overwrite(f->store, leaf, "b/C.txt");
	assert_err(store_get_tree(f->store, hex, out), ERR_IO);
	assert_false(store_has(f->store, leaf));
	free(in);
	free(out);
}

static void test_store_has_tree__all_or_not(void **state)
{
	struct fixture *f = *state;
	char *in = home_path(f, "work/in"), hex[DIGEST_HEX], leaf[DIGEST_HEX], text[DIGEST_HEX];

	write_tree(f, "work/in");
	must(store_put_tree(f->store, in, hex, NULL));
	assert_true(store_has_tree(f->store, hex));
	put_text(f->store, "b/c.txt", leaf);
	must(fs_remove(store_path(f->store, leaf)));
	assert_false(store_has_tree(f->store, hex));
	assert_false(store_has_tree(f->store, ABSENT));
	put_text(f->store, "no manifest", text);
	assert_false(store_has_tree(f->store, text));
	free(in);
}

static int note_bad(const char *hex, const char *why, void *arg)
{
	assert_non_null(why);
	buf_addf(arg, "%s\n", hex);
	return 0;
}

static void test_store_verify__finds_all_damage(void **state)
{
	struct fixture *f = *state;
	char hex[5][DIGEST_HEX], *stray = home_path(f, "objects/ab/notes.txt");
	struct buf b = BUF_INIT(4096);
	uint64_t checked = 0;

	for (int i = 0; i < 5; i++) {
		char text[24];

		snprintf(text, sizeof(text), "text %d", i);
		put_text(f->store, text, hex[i]);
	}
	must(store_verify(f->store, note_bad, &b, &checked));
	assert_int_equal(checked, 5);
	assert_int_equal(b.len, 0);
	overwrite(f->store, hex[2], "text x");
	overwrite(f->store, hex[4], "");
	must(fs_write(stray, "?", 1));
	must(store_verify(f->store, note_bad, &b, &checked));
	assert_int_equal(checked, 5);
	assert_text_has(buf_str(&b), hex[2]);
	assert_text_has(buf_str(&b), hex[4]);
	assert_text_has(buf_str(&b), "notes.txt");
	assert_false(store_has(f->store, hex[2]));
	assert_true(store_has(f->store, hex[1]));
	buf_clear(&b);
	must(fs_remove(stray));
	must(store_verify(f->store, note_bad, &b, &checked));
	assert_int_equal(checked, 3);
	assert_int_equal(b.len, 0);
	buf_release(&b);
	free(stray);
}

/* ---- repair ---- */

struct told {
	int bad, repaired;
};

static int note_repair(const char *hex, const char *why, bool repaired, void *arg)
{
	struct told *t = arg;

	assert_true(*hex && *why);
	t->bad++;
	t->repaired += repaired;
	return 0;
}

static void test_store_in__must_be_what_it_says(void **state)
{
	struct fixture *f = *state;
	struct store_in *in;

	must(store_in_open(&in, f->store));
	must(store_in_add("ab", 2, in));
	must(store_in_add("c", 1, in));
	assert_err(store_in_end(in, ABSENT), ERR_IO);
	must(store_in_open(&in, f->store));
	must(store_in_add("abc", 3, in));
	store_in_drop(in);
	assert_int_equal(entries(f, "objects"), 0);
	must(store_in_open(&in, f->store));
	must(store_in_add("abc", 3, in));
	must(store_in_end(in, ABC));
	assert_true(store_has(f->store, ABC));
	assert_int_equal(entries(f, "tmp"), 0);
}

static void test_store_repair__takes_from_another_store(void **state)
{
	struct fixture *f = *state;
	char *home = home_path(f, "work/other"), hex[DIGEST_HEX], lone[DIGEST_HEX];
	struct store *other;
	struct store_source from;
	struct told t = { 0, 0 };
	struct store_view v;
	uint64_t checked, size;

	must(store_open(&other, home));
	from = store_source_of(other, "other");
	must(store_put(f->store, "abc", 3, hex));
	must(store_put(f->store, "only here", 9, lone));
	must(store_put(other, "abc", 3, hex));
	overwrite(f->store, hex, "abd");
	overwrite(f->store, lone, "only Here");
	must(store_repair(f->store, &from, note_repair, &t, &checked));
	assert_int_equal(t.bad, 2);
	assert_int_equal(t.repaired, 1);
	must(store_size(f->store, hex, &size));
	assert_int_equal(size, 3);
	must(store_view_open(&v, f->store, hex));
	must(fs_size(&size, v.path));
	store_view_close(&v);
	assert_err(store_view_open(&v, f->store, lone), ERR_NOTFOUND);
	assert_err(store_size(f->store, lone, &size), ERR_NOTFOUND);
	/* a source that lies is not believed; what was lost before is asked for again */
	overwrite(f->store, hex, "abd");
	overwrite(other, hex, "abe");
	t = (struct told){ 0, 0 };
	must(store_repair(f->store, &from, note_repair, &t, &checked));
	assert_int_equal(t.bad, 2);
	assert_int_equal(t.repaired, 0);
	assert_false(store_has(f->store, hex));
	store_close(other);
	free(home);
}

/* A record that is damaged is named as one, and comes back from another home. */
static void test_store_repair__records_too(void **state)
{
	struct fixture *f = *state;
	char *home = home_path(f, "work/other"), *path, hex[DIGEST_HEX];
	const char text[] = "{\"format\":\"x\"}";
	struct digest d = digest_bytes(text, strlen(text));
	struct buf named = BUF_INIT(4096), b = BUF_INIT(64);
	struct store *other;
	struct store_source from;
	struct told t = { 0, 0 };
	uint64_t checked;

	digest_hex(hex, &d);
	must(store_open(&other, home));
	from = store_source_of(other, "other");
	must(store_write(f->store, VAULT_RECORDS, hex, text, strlen(text)));
	must(store_write(other, VAULT_RECORDS, hex, text, strlen(text)));
	path = store_file(f->store, VAULT_RECORDS, hex);
	must(fs_remove(path));
	must(fs_write(path, "{\"format\":\"y\"}", strlen(text)));
	must(store_verify(f->store, note_bad, &named, &checked));
	assert_text_has(buf_str(&named), "records/");
	assert_text_has(buf_str(&named), hex);
	must(store_repair(f->store, NULL, note_repair, &t, &checked));
	assert_int_equal(t.bad, 0); /* it went aside; nobody has been asked for it */
	must(store_repair(f->store, &from, note_repair, &t, &checked));
	assert_int_equal(t.bad, 1);
	assert_int_equal(t.repaired, 1);
	must(store_read(f->store, VAULT_RECORDS, hex, &b, 64));
	assert_string_equal(buf_str(&b), text);
	buf_release(&named);
	buf_release(&b);
	store_close(other);
	free(path);
	free(home);
}

/* A limit on file size stands in for a full disk: the write fails half-way. */
static void test_store_put__full_disk_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct rlimit was, now;
	char hex[DIGEST_HEX], *path = home_path(f, "work/x"), *data = mem_alloc(100000);
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	int put, put_file;

	must(fs_write(path, data, 100000));
	assert_false(getrlimit(RLIMIT_FSIZE, &was));
	now = was;
	now.rlim_cur = 50000;
	assert_false(setrlimit(RLIMIT_FSIZE, &now));
	put = store_put(f->store, data, 100000, hex);
	put_file = store_put_file(f->store, path, hex, NULL);
	assert_false(setrlimit(RLIMIT_FSIZE, &was));
	signal(SIGXFSZ, handler);
	assert_int_equal(put, ERR_IO);
	assert_int_equal(put_file, ERR_IO);
	assert_int_equal(entries(f, "objects"), 0);
	assert_int_equal(entries(f, "tmp"), 0);
	must(store_put(f->store, data, 100000, hex));
	free(path);
	free(data);
}

static void test_store_open__sweeps_old_leftovers_only(void **state)
{
	struct fixture *f = *state;
	char *old = home_path(f, "tmp/old"), *young = home_path(f, "tmp/young");
	struct timespec times[2] = { { time(NULL) - 7 * 86400, 0 }, { time(NULL) - 7 * 86400, 0 } };

	must(fs_write(old, "x", 1));
	must(fs_write(young, "x", 1));
	assert_false(utimensat(AT_FDCWD, old, times, 0));
	store_close(f->store);
	must(store_open(&f->store, f->home));
	assert_false(fs_exists(old));
	assert_true(fs_exists(young));
	free(old);
	free(young);
}

static void test_store_open__home_is_a_file(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "work/file");
	struct store *s = NULL;

	must(fs_write(path, "x", 1));
	assert_err(store_open(&s, path), ERR_IO);
	assert_null(s);
	assert_non_null(err_fix());
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_store, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_put__is_named_by_its_digest),
		TEST(test_store_put__twice_is_one_blob),
		TEST(test_store_put__empty),
		TEST(test_store_get__what_is_no_file_goes_aside),
		TEST(test_store_get__absent_and_no_name),
		TEST(test_store_get__longer_than_allowed),
		TEST(test_store_get__flipped_byte_goes_to_bad),
		TEST(test_store_put__truncated_object_gives_way),
		TEST(test_store_put_file__same_name_as_put),
		TEST(test_store_put_tree__round_trip),
		TEST(test_store_put_tree__link_is_refused),
		TEST(test_store_get_tree__hostile_manifest),
		TEST(test_store_get_tree__damaged_file),
		TEST(test_store_has_tree__all_or_not),
		TEST(test_store_verify__finds_all_damage),
		TEST(test_store_in__must_be_what_it_says),
		TEST(test_store_repair__takes_from_another_store),
		TEST(test_store_repair__records_too),
		TEST(test_store_put__full_disk_leaves_nothing),
		TEST(test_store_open__sweeps_old_leftovers_only),
		TEST(test_store_open__home_is_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
