/* Tests of artifacts/lease.c: one holder, named in the message, gone with its process. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

static void test_lease_take__second_is_told_who_holds_it(void **state)
{
	struct fixture *f = *state;
	struct lease *one = NULL, *two = NULL, *other = NULL;
	char pid[32], *path = home_path(f, "leases/device-cpu");
	struct buf text = BUF_INIT(1000);
	json_t *owner = NULL;

	must(lease_take(&one, f->store, "device-cpu", 0));
	assert_err(lease_take(&two, f->store, "device-cpu", 0), ERR_BUSY);
	assert_null(two);
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_text_has(err_text(), pid);
	assert_text_has(err_text(), "device-cpu");
	assert_non_null(err_fix());
	must(lease_take(&other, f->store, "device-gpu", 0)); /* another name is another lease */
	must(fs_read(&text, path, 1000));
	must(json_parse(&owner, buf_str(&text), text.len, "lease"));
	assert_int_equal(json_get_int(owner, "pid", 0), getpid());
	assert_int_equal(strlen(json_get_text(owner, "boot", "")), 36);
	assert_true(json_get_int(owner, "start", 0) > 0);
	json_decref(owner);
	lease_drop(one);
	must(lease_take(&two, f->store, "device-cpu", 0));
	lease_drop(two);
	lease_drop(other);
	lease_drop(NULL);
	buf_clear(&text);
	must(fs_read(&text, path, 1000));
	assert_int_equal(text.len, 0); /* nobody's name stays behind */
	buf_release(&text);
	free(path);
}

static void test_lease_take__bad_names(void **state)
{
	static const char *const names[] = { "", "../x", "a/b", ".hidden", "a b", "\xc3\xa4" };
	struct fixture *f = *state;
	struct lease *l = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_err(lease_take(&l, f->store, names[i], 0), ERR_INPUT);
	must(lease_take(&l, f->store, "run.0123-abc_X", 0));
	lease_drop(l);
}

/* A child that takes the lease, says so through the pipe, and keeps it until it is killed. */
static pid_t holder(struct fixture *f, bool lets_go)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	assert_false(pipe(ready));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct store *s = NULL;
		struct lease *l = NULL;

		if (store_open(&s, f->home) || lease_take(&l, s, "run", 0) || write(ready[1], "r", 1) != 1)
			_exit(1);
		if (!lets_go)
			for (;;)
				pause();
		usleep(150000);
		lease_drop(l);
		store_close(s);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_lease_take__dies_with_its_process(void **state)
{
	struct fixture *f = *state;
	struct lease *l = NULL;
	pid_t pid = holder(f, false);
	char text[32];
	int status;

	assert_err(lease_take(&l, f->store, "run", 0), ERR_BUSY);
	snprintf(text, sizeof(text), "process %ld", (long)pid);
	assert_text_has(err_text(), text);
	assert_false(kill(pid, SIGKILL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	must(lease_take(&l, f->store, "run", 0));
	lease_drop(l);
}

static void test_lease_take__waits_its_turn(void **state)
{
	struct fixture *f = *state;
	struct lease *l = NULL;
	pid_t pid = holder(f, true);
	int status;

	must(lease_take(&l, f->store, "run", 30));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lease_drop(l);
}

static void test_lease_take__a_program_we_start_does_not_keep_it(void **state)
{
	struct fixture *f = *state;
	struct lease *l = NULL;
	int status;
	pid_t pid;

	must(lease_take(&l, f->store, "run", 0));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execl("/bin/sh", "sh", "-c", "! ls -l /proc/$$/fd | grep -q leases/run", (char *)NULL);
		_exit(9);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lease_drop(l);
}

static void test_lease_take__deleted_file_is_no_lease(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "leases/run");
	struct lease *one = NULL, *two = NULL;

	must(lease_take(&one, f->store, "run", 0));
	must(fs_write(path, "torn {", 6)); /* another file under this name: the lock on the old one binds nobody */
	must(lease_take(&two, f->store, "run", 0));
	assert_err(lease_take(&two, f->store, "run", 0), ERR_BUSY);
	lease_drop(one);
	assert_err(lease_take(&one, f->store, "run", 0), ERR_BUSY);
	lease_drop(two);
	free(path);
}

static void test_lock_take__many_share_or_one_holds(void **state)
{
	struct fixture *f = *state;
	struct lock a = LOCK_INIT, b = LOCK_INIT, c = LOCK_INIT;
	char *path = home_path(f, "x.lock");

	must(lock_take(&a, path, "x", true, 0));
	must(lock_take(&b, path, "x", true, 0));
	assert_err(lock_take(&c, path, "x", false, 0), ERR_BUSY);
	lock_drop(&a);
	assert_err(lock_take(&c, path, "x", false, 0), ERR_BUSY);
	lock_drop(&b);
	must(lock_take(&c, path, "x", false, 0));
	assert_err(lock_take(&a, path, "x", true, 0), ERR_BUSY);
	lock_drop(&c);
	lock_drop(&c);
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_store, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lease_take__second_is_told_who_holds_it),
		TEST(test_lease_take__bad_names),
		TEST(test_lease_take__dies_with_its_process),
		TEST(test_lease_take__waits_its_turn),
		TEST(test_lease_take__a_program_we_start_does_not_keep_it),
		TEST(test_lease_take__deleted_file_is_no_lease),
		TEST(test_lock_take__many_share_or_one_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
