/* test_fs.c: files written whole, failures that leave nothing, trees removed without following a link. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/digest.h"

static int make_tmp(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char *dir;

	if (fs_temp_dir(&dir, tmp && *tmp ? tmp : "/tmp", "assay-test-"))
		return -1;
	*state = dir;
	return 0;
}

static int remove_tmp(void **state)
{
	int rc = fs_remove_tree(*state);

	free(*state);
	return rc;
}

static size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void expect_content(const char *path, const char *want)
{
	struct buf b = BUF_INIT(1 << 20);

	assert_int_equal(fs_read(&b, path, 1 << 20), 0);
	assert_string_equal(buf_str(&b), want);
	buf_release(&b);
}

static void test_fs_write__makes_folders_and_replaces(void **state)
{
	char *dir = path_join(*state, "a/b"), *path = path_join(dir, "file");

	assert_int_equal(fs_write(path, "one", 3), 0);
	expect_content(path, "one");
	assert_int_equal(fs_write(path, "", 0), 0);
	expect_content(path, "");
	assert_int_equal(fs_write(path, "three", 5), 0);
	expect_content(path, "three");
	assert_int_equal(count_entries(dir), 1); /* no temporary is left */
	free(dir);
	free(path);
}

/* A limit on the size of files stands in for a full disk: the write is cut short, the next one fails. */
static void test_fs_write__short_write_is_io_and_leaves_nothing(void **state)
{
	char *path = path_join(*state, "file"), *big = mem_alloc(100000);
	struct rlimit old, small;
	int rc;

	assert_int_equal(fs_write(path, "old", 3), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rc = fs_write(path, big, 100000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, ERR_IO);
	assert_non_null(strstr(err_text(), path));
	expect_content(path, "old");
	assert_int_equal(count_entries(*state), 1);
	free(path);
	free(big);
}

static void test_fs_write__onto_a_folder_fails_clean(void **state)
{
	char *path = path_join(*state, "folder"), *below;

	assert_int_equal(fs_mkdirs(path), 0);
	assert_int_equal(fs_write(path, "x", 1), ERR_IO);
	assert_int_equal(count_entries(*state), 1);
	free(path);
	/* a file in the way of a folder */
	path = path_join(*state, "file");
	below = path_join(path, "x");
	assert_int_equal(fs_write(path, "x", 1), 0);
	assert_int_equal(fs_write(below, "x", 1), ERR_IO);
	assert_int_equal(fs_mkdirs(below), ERR_IO);
	free(below);
	free(path);
}

static void test_fs_read_plain__no_link_and_no_pipe(void **state)
{
	char *plain = path_join(*state, "plain"), *link = path_join(*state, "link"), *pipe = path_join(*state, "pipe");
	struct buf b = BUF_INIT(100);

	assert_int_equal(fs_write(plain, "x", 1), 0);
	assert_int_equal(symlink(plain, link), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(fs_read_plain(&b, plain, 100), 0);
	assert_string_equal(buf_str(&b), "x");
	assert_int_equal(fs_read_plain(&b, link, 100), ERR_INPUT);
	assert_int_equal(fs_read_plain(&b, pipe, 100), ERR_INPUT); /* and does not wait for a writer */
	assert_int_equal(fs_read_plain(&b, "/dev/zero", 100), ERR_INPUT);
	assert_int_equal(fs_read_plain(&b, *state, 100), ERR_INPUT);
	assert_int_equal(fs_read_plain(&b, "/nowhere/x", 100), ERR_NOTFOUND);
	assert_int_equal(fs_read_plain(&b, plain, 0), ERR_INPUT);
	buf_release(&b);
	free(plain);
	free(link);
	free(pipe);
}

static void test_fs_read__limits_and_failures(void **state)
{
	char *path = path_join(*state, "file"), *none = path_join(*state, "none");
	struct buf b = BUF_INIT(100), tight = BUF_INIT(3);
	uint64_t size;

	assert_int_equal(fs_write(path, "12345", 5), 0);
	assert_int_equal(fs_read(&b, path, 5), 0);
	assert_int_equal(fs_read(&b, path, 4), ERR_INPUT);
	assert_int_equal(fs_read(&tight, path, 100), ERR_INPUT); /* the buffer's own ceiling */
	assert_int_equal(fs_read(&b, none, 4), ERR_NOTFOUND);
	assert_non_null(strstr(err_text(), none));
	assert_int_equal(fs_read(&b, *state, 4), ERR_INPUT);
	buf_clear(&b);
	assert_int_equal(fs_read(&b, "/dev/zero", 10), ERR_INPUT); /* endless */
	assert_int_equal(fs_size(&size, path), 0);
	assert_int_equal(size, 5);
	assert_int_equal(fs_size(&size, none), ERR_NOTFOUND);
	assert_true(fs_exists(path) && !fs_exists(none));
	assert_true(fs_is_dir(*state) && !fs_is_dir(path));
	buf_release(&b);
	buf_release(&tight);
	free(path);
	free(none);
}

/* None of these is waited for, and nothing is put in their place. */
static void test_fs__pipes_sockets_and_devices_are_no_files(void **state)
{
	char *pipe_path = path_join(*state, "pipe"), *socket_path = path_join(*state, "socket"),
	     *link = path_join(*state, "link"), *copy = path_join(*state, "copy");
	const char *const paths[] = { pipe_path, socket_path, link, "/dev/null", "/dev/zero" };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
	struct buf b = BUF_INIT(100);
	struct digest d;
	struct stat st;
	char name[32];

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", socket_path);
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(symlink(pipe_path, link), 0);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct fs_map m;

		assert_int_equal(fs_read(&b, paths[i], 10), ERR_INPUT);
		assert_non_null(strstr(err_text(), "is not a regular file"));
		assert_int_equal(fs_map_open(&m, paths[i]), ERR_INPUT);
		assert_int_equal(digest_file(&d, paths[i]), ERR_INPUT);
		assert_int_equal(fs_copy(paths[i], copy), ERR_INPUT);
		assert_int_equal(fs_check_target(paths[i]), ERR_INPUT);
		if (strncmp(paths[i], "/dev/", 5) == 0)
			continue; /* this machine's own: not even if the code is wrong */
		assert_int_equal(fs_write(paths[i], "x", 1), ERR_INPUT);
		assert_non_null(strstr(err_text(), "a file is written whole"));
		assert_int_equal(stat(paths[i], &st), 0);
		assert_false(S_ISREG(st.st_mode));
	}
	assert_int_equal(pipe(ends), 0); /* what a shell hands over is read */
	assert_int_equal(write(ends[1], "text", 4), 4);
	close(ends[1]);
	snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
	assert_int_equal(fs_read(&b, name, 10), 0);
	assert_string_equal(buf_str(&b), "text");
	close(ends[0]);
	close(fd);
	buf_release(&b);
	free(pipe_path);
	free(socket_path);
	free(link);
	free(copy);
}

static void test_fs_temp_sweep__takes_what_is_left_half_written(void **state)
{
	char *left = path_join(*state, ".assay-tmp-0123456789"), *kept = path_join(*state, "assay-tmp-mine");

	assert_int_equal(fs_write(left, "x", 1), 0);
	assert_int_equal(fs_write(kept, "x", 1), 0);
	assert_int_equal(fs_temp_sweep(*state), 0);
	assert_false(fs_exists(left));
	assert_true(fs_exists(kept));
	assert_int_equal(fs_temp_sweep(kept), ERR_NOTFOUND); /* no folder */
	assert_int_equal(fs_remove(kept), 0);
	free(left);
	free(kept);
}

static void test_fs_temp__commit_and_drop(void **state)
{
	char *path = path_join(*state, "sub/final");
	struct fs_temp t = { -1, NULL };

	fs_temp_drop(&t); /* never opened */
	assert_int_equal(fs_temp_open(&t, *state), 0);
	assert_int_equal(fs_temp_write(&t, "ab", 2), 0);
	assert_int_equal(fs_temp_write(&t, "cd", 2), 0);
	assert_false(fs_exists(path));
	assert_int_equal(fs_temp_commit(&t, path), 0);
	fs_temp_drop(&t);
	expect_content(path, "abcd");
	assert_int_equal(fs_temp_open(&t, *state), 0);
	fs_temp_drop(&t);
	fs_temp_drop(&t);
	assert_int_equal(count_entries(*state), 1);
	/* a commit that cannot be drops its temporary */
	assert_int_equal(fs_temp_open(&t, *state), 0);
	assert_int_equal(fs_temp_commit(&t, *state), ERR_IO);
	fs_temp_drop(&t);
	assert_int_equal(count_entries(*state), 1);
	free(path);
}

static void test_fs_temp_open__obeys_the_umask(void **state)
{
	char *path = path_join(*state, "file");
	mode_t old = umask(027);
	struct stat st;

	assert_int_equal(fs_write(path, "x", 1), 0);
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	free(path);
}

static void test_fs_remove_tree__follows_no_link(void **state)
{
	char *keep = path_join(*state, "keep"), *tree = path_join(*state, "tree");
	char *file = path_join(keep, "file"), *sub = path_join(tree, "sub/deep"), *to_dir = path_join(sub, "link");
	char *to_file = path_join(tree, "link"), *dangling = path_join(tree, "dangling");
	char *link = path_join(*state, "link-to-keep");

	assert_int_equal(fs_write(file, "precious", 8), 0);
	assert_int_equal(fs_mkdirs(sub), 0);
	assert_int_equal(symlink(keep, to_dir), 0);
	assert_int_equal(symlink(file, to_file), 0);
	assert_int_equal(symlink("nowhere", dangling), 0);
	assert_int_equal(fs_remove_tree(tree), 0);
	assert_false(fs_exists(tree));
	expect_content(file, "precious");
	/* a link given as the tree itself: the link goes, what it points at stays */
	assert_int_equal(symlink(keep, link), 0);
	assert_int_equal(fs_remove_tree(link), 0);
	assert_false(fs_exists(link));
	expect_content(file, "precious");
	assert_int_equal(fs_remove_tree(tree), 0); /* not there: no error */
	assert_int_equal(fs_remove_tree(file), 0); /* a file */
	assert_false(fs_exists(file));
	free(keep);
	free(tree);
	free(file);
	free(sub);
	free(to_dir);
	free(to_file);
	free(dangling);
	free(link);
}

/* Deeper than there may be open files, and than a path may be long. */
static void test_fs_remove_tree__deep_wide_and_read_only(void **state)
{
	char *tree = path_join(*state, "tree"), *wide = path_join(tree, "wide");
	int fd, deeper;

	assert_int_equal(fs_mkdirs(tree), 0);
	fd = open(tree, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		deeper = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		assert_true(deeper >= 0);
		close(fd);
		fd = deeper;
	}
	deeper = openat(fd, "leaf", O_WRONLY | O_CREAT, 0400);
	close(deeper);
	assert_int_equal(fchmod(fd, 0500), 0);
	close(fd);
	for (int i = 0; i < 300; i++) {
		char name[16];
		char *path;

		snprintf(name, sizeof(name), "f%d", i);
		path = path_join(wide, name);
		if (!i)
			assert_int_equal(fs_mkdirs(wide), 0);
		close(open(path, O_WRONLY | O_CREAT, 0600));
		free(path);
	}
	assert_int_equal(fs_remove_tree(tree), 0);
	assert_false(fs_exists(tree));
	free(tree);
	free(wide);
}

static int note_name(const char *name, void *arg)
{
	buf_adds(arg, name);
	buf_addc(arg, ' ');
	return !strcmp(name, "stop") ? ERR_CONFLICT : 0;
}

static void test_fs_list__is_sorted_and_stops(void **state)
{
	static const char *const names[] = { "b", "a", ".hidden", "c" };
	struct buf b = BUF_INIT(1000);
	char *path;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		path = path_join(*state, names[i]);
		assert_int_equal(fs_write(path, "", 0), 0);
		free(path);
	}
	assert_int_equal(fs_list(*state, note_name, &b), 0);
	assert_string_equal(buf_str(&b), ".hidden a b c ");
	path = path_join(*state, "stop");
	assert_int_equal(fs_mkdirs(path), 0);
	free(path);
	path = path_join(*state, "zzz");
	assert_int_equal(fs_write(path, "", 0), 0);
	buf_clear(&b);
	assert_int_equal(fs_list(*state, note_name, &b), ERR_CONFLICT);
	assert_string_equal(buf_str(&b), ".hidden a b c stop ");
	assert_int_equal(fs_list(path, note_name, &b), ERR_NOTFOUND);
	free(path);
	buf_release(&b);
}

static void test_fs_copy__and_rename(void **state)
{
	char *a = path_join(*state, "a"), *b = path_join(*state, "sub/b"), *c = path_join(*state, "c");
	char *big = mem_alloc(700001);
	struct buf read = BUF_INIT(1 << 20);

	for (size_t i = 0; i < 700001; i++)
		big[i] = (char)(i * 7 + i / 256);
	assert_int_equal(fs_write(a, big, 700001), 0);
	assert_int_equal(fs_copy(a, b), 0);
	assert_int_equal(fs_read(&read, b, 1 << 20), 0);
	assert_int_equal(read.len, 700001);
	assert_memory_equal(read.data, big, 700001);
	assert_int_equal(fs_copy(c, b), ERR_NOTFOUND);
	assert_int_equal(fs_rename(b, c), 0);
	assert_true(fs_exists(c) && !fs_exists(b));
	assert_int_equal(fs_rename(b, c), ERR_NOTFOUND);
	assert_int_equal(fs_remove(c), 0);
	assert_int_equal(fs_remove(c), 0);
	assert_int_equal(fs_remove(*state), ERR_IO); /* a folder */
	buf_release(&read);
	free(big);
	free(a);
	free(b);
	free(c);
}

static void test_fs_map__views_files_only(void **state)
{
	char *path = path_join(*state, "file"), *empty = path_join(*state, "empty");
	struct fs_map m;

	assert_int_equal(fs_write(path, "bytes", 5), 0);
	assert_int_equal(fs_write(empty, "", 0), 0);
	assert_int_equal(fs_map_open(&m, path), 0);
	assert_int_equal(m.len, 5);
	assert_memory_equal(m.data, "bytes", 5);
	fs_map_close(&m);
	fs_map_close(&m);
	assert_int_equal(fs_map_open(&m, empty), 0);
	assert_int_equal(m.len, 0);
	assert_non_null(m.data);
	fs_map_close(&m);
	assert_int_equal(fs_map_open(&m, *state), ERR_INPUT);
	assert_int_equal(fs_map_open(&m, "/dev/null"), ERR_INPUT);
	assert_int_equal(fs_remove(path), 0);
	assert_int_equal(fs_map_open(&m, path), ERR_NOTFOUND);
	free(path);
	free(empty);
}

/* Pages of the mapping that are in this process, of all of its length. */
static size_t resident_kib(const struct fs_map *m)
{
	struct buf text = BUF_INIT(16 << 20);
	char start[32];
	size_t kib = 0;

	snprintf(start, sizeof(start), "%llx-", (unsigned long long)(uintptr_t)m->data);
	FILE *f = fopen("/proc/self/smaps", "r");
	assert_non_null(f);
	char line[512];
	while (fgets(line, sizeof(line), f))
		buf_adds(&text, line);
	fclose(f);
	const char *at = strstr(buf_str(&text), start);
	assert_non_null(at);
	at = strstr(at, "\nRss:");
	assert_non_null(at);
	kib = strtoul(at + 5, NULL, 10);
	buf_release(&text);
	return kib;
}

static void test_fs_map_drop__pages_go_and_come_back(void **state)
{
	enum { LEN = (1 << 20) + 100 };
	char *path = path_join(*state, "large"), *bytes = mem_alloc(LEN);
	struct fs_map m;

	memset(bytes, 'x', LEN);
	bytes[LEN - 1] = 'z';
	assert_int_equal(fs_write(path, bytes, LEN), 0);
	assert_int_equal(fs_map_open(&m, path), 0);
	assert_memory_equal(m.data, bytes, LEN);
	assert_true(resident_kib(&m) >= LEN / 1024);
	fs_map_drop(&m, 10, LEN - 20);
	assert_true(resident_kib(&m) < 256);
	assert_memory_equal(m.data, bytes, LEN); /* it can still be read */
	fs_map_drop(&m, 0, LEN);
	fs_map_drop(&m, 100, 0);
	fs_map_drop(&m, LEN, 0);
	assert_memory_equal(m.data, bytes, LEN);
	fs_map_close(&m);
	free(path);
	free(bytes);
}

static void test_fs_temp_dir__is_private(void **state)
{
	char *a, *b;
	struct stat st;

	assert_int_equal(fs_temp_dir(&a, *state, "w-"), 0);
	assert_int_equal(fs_temp_dir(&b, *state, "w-"), 0);
	assert_string_not_equal(a, b);
	assert_int_equal(stat(a, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(rmdir(a), 0);
	free(b);
	assert_int_equal(fs_temp_dir(&b, a, "w-"), ERR_NOTFOUND);
	assert_null(b);
	free(a);
}

static void test_fs_temp_write__a_full_disk_says_which_how_much_and_what_to_do(void **state)
{
	struct fs_temp t = { open("/dev/full", O_WRONLY), mem_printf("%s/file", (const char *)*state) };
	char *data = mem_array(2500000, 1),
	     *want = mem_printf("the disk of %s is full: there is no room for 2.5 MB", (const char *)*state);

	assert_true(t.fd >= 0);
	assert_int_equal(fs_temp_write(&t, data, 2500000), ERR_IO);
	assert_true(fs_no_room());
	assert_non_null(strstr(err_text(), want));
	assert_non_null(strstr(err_fix(), "make room on it"));
	errno = EDQUOT;
	assert_int_equal(fs_full(*state, 0), ERR_IO);
	assert_non_null(strstr(err_text(), "the quota of the disk of"));
	errno = EACCES;
	assert_int_equal(fs_failed(ERR_IO, *state, 0, "cannot do it"), ERR_IO);
	assert_string_equal(err_text(), "cannot do it: Permission denied");
	assert_null(err_fix());
	close(t.fd);
	free(t.path);
	free(data);
	free(want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fs_temp_write__a_full_disk_says_which_how_much_and_what_to_do,
						make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_write__makes_folders_and_replaces, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_write__short_write_is_io_and_leaves_nothing, make_tmp,
						remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_write__onto_a_folder_fails_clean, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_read_plain__no_link_and_no_pipe, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_read__limits_and_failures, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_temp__commit_and_drop, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs__pipes_sockets_and_devices_are_no_files, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_temp_sweep__takes_what_is_left_half_written, make_tmp,
						remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_temp_open__obeys_the_umask, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_remove_tree__follows_no_link, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_remove_tree__deep_wide_and_read_only, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_list__is_sorted_and_stops, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_copy__and_rename, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_map__views_files_only, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_map_drop__pages_go_and_come_back, make_tmp, remove_tmp),
		cmocka_unit_test_setup_teardown(test_fs_temp_dir__is_private, make_tmp, remove_tmp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
