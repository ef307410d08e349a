/* Tests of what is known of files outside: store_stat.c. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "toy.h"

static void wait_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

/* Where a file's times are by this machine's clock, a note must be there; elsewhere there may be none, and nothing to look at. */
static void skip_without_notes(const struct fixture *f, char *path, char *data)
{
	enum { EXT = 0xef53, TMPFS = 0x01021994 };
	struct statfs fs;

	assert_false(statfs(f->home, &fs));
	if (fs.f_type == EXT || fs.f_type == TMPFS || count(f->store, VAULT_STAT))
		return;
	print_message("no times of this machine on this file system\n");
	free(path);
	free(data);
	skip();
}

static int64_t age_ms(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - st->st_ctim.tv_sec) * 1000 + (now.tv_nsec - st->st_ctim.tv_nsec) / 1000000;
}

/* A file that has not changed is read again where what it was stored on is gone. */
static void test_store_put_file__a_note_does_not_stand_for_parts_that_are_gone(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX], *path = home_path(f, "work/kept");

	nudge(&tuned, 2, 7);
	put_toy(f, &base, a);
	must(fs_write(path, tuned.data, tuned.len));
	wait_ms(60);
	must(store_put_file(f->store, path, b, NULL));
	assert_true(store_there(f->store, VAULT_RECIPES, b));
	must(fs_remove(store_path(f->store, a)));
	must(store_put_file(f->store, path, b, NULL));
	store_index_drop(f->store);
	assert_content(f->store, b, tuned.data, tuned.len);
	free(path);
	free(base.data);
	free(tuned.data);
}

static void test_stat_known__only_what_cannot_have_changed(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "work/file"), *data = mem_alloc(100000), a[DIGEST_HEX], b[DIGEST_HEX];
	struct stat st;
	int fd;

	must(fs_write(path, data, 100000));
	assert_false(stat(path, &st));
	must(store_put_file(f->store, path, a, NULL));
	assert_true(!count(f->store, VAULT_STAT) || age_ms(&st) >= 20); /* written just now: nothing is noted */
	wait_ms(60);
	must(store_put_file(f->store, path, a, NULL));
	skip_without_notes(f, path, data);
	assert_true(stat_known(f->store, &st, b));
	assert_string_equal(a, b);
	/* the same size and the same mtime, set back: the time of change tells */
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 500), 1);
	assert_false(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }));
	close(fd);
	assert_false(stat(path, &st));
	assert_false(stat_known(f->store, &st, b));
	must(store_put_file(f->store, path, b, NULL));
	assert_string_not_equal(a, b);
	/* an object that is gone is added again, whatever the note says */
	wait_ms(60);
	must(store_put_file(f->store, path, b, NULL));
	must(fs_remove(store_path(f->store, b)));
	must(store_put_file(f->store, path, b, NULL));
	assert_true(store_has(f->store, b));
	free(path);
	free(data);
}

static void test_stat_known__a_torn_note_is_none(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "work/file"), *data = mem_alloc(100000), a[DIGEST_HEX];
	struct name_list l = { NULL, 0, 0 };
	struct stat st;

	must(fs_write(path, data, 100000));
	wait_ms(60);
	must(store_put_file(f->store, path, a, NULL));
	skip_without_notes(f, path, data);
	must(store_names(f->store, VAULT_STAT, &l, NULL, NULL));
	assert_int_equal(l.len, 1);
	assert_false(stat(path, &st));
	assert_true(stat_known(f->store, &st, a));
	for (size_t i = 0; i < l.len; i++) {
		char *file = store_file(f->store, VAULT_STAT, l.names[i]);
		struct buf text = BUF_INIT(1000);

		must(fs_read(&text, file, 1000));
		for (size_t k = 0; k < text.len; k++) {
			struct buf bad = BUF_INIT(1000);

			buf_add(&bad, text.data, text.len);
			bad.data[k] ^= 1;
			must(fs_write(file, bad.data, bad.len));
			assert_false(stat_known(f->store, &st, a));
			must(fs_write(file, text.data, k));
			assert_false(stat_known(f->store, &st, a));
			buf_release(&bad);
		}
		buf_release(&text);
		free(file);
	}
	name_list_release(&l);
	free(path);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_put_file__a_note_does_not_stand_for_parts_that_are_gone),
		TEST(test_stat_known__only_what_cannot_have_changed),
		TEST(test_stat_known__a_torn_note_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
