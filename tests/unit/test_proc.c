/* test_proc.c: child processes: streams, limits, environment, and all the ways they fail to start or to end. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define SH(script)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		"sh", "-c", script, NULL                                                                               \
	}

static void test_proc_run__streams_and_status(void **state)
{
	struct buf out = BUF_INIT(1000), err = BUF_INIT(1000);
	struct proc p = { .argv = SH("echo out; echo err >&2; exit 3"), .out = &out, .err = &err };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_int_equal(p.status, 3);
	assert_string_equal(buf_str(&out), "out\n");
	assert_string_equal(buf_str(&err), "err\n");
	buf_release(&out);
	buf_release(&err);
}

static void test_proc_run__one_buffer_keeps_the_order(void **state)
{
	struct buf both = BUF_INIT(1000);
	struct proc p = { .argv = SH("echo 1; echo 2 >&2; echo 3; echo 4 >&2"), .out = &both, .err = &both };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&both), "1\n2\n3\n4\n");
	buf_release(&both);
}

/* More than a pipe holds, in all three directions at once. */
static void test_proc_run__big_streams_do_not_block(void **state)
{
	struct buf out = BUF_INIT(1 << 22), err = BUF_INIT(1 << 22);
	size_t n = 1500000;
	char *in = mem_alloc(n);
	struct proc p = { .argv = SH("tee /dev/stderr"), .in = in, .in_len = n, .out = &out, .err = &err };

	(void)state;
	for (size_t i = 0; i < n; i++)
		in[i] = (char)('a' + i % 26);
	assert_int_equal(proc_run(&p), 0);
	assert_int_equal(p.status, 0);
	assert_int_equal(out.len, n);
	assert_memory_equal(out.data, in, n);
	assert_int_equal(err.len, n);
	buf_release(&out);
	buf_release(&err);
	free(in);
}

static void test_proc_run__ceiling_cuts_and_goes_on(void **state)
{
	struct buf out = BUF_INIT(10);
	struct proc p = { .argv = SH("seq 1 100000; exit 4"), .out = &out };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_int_equal(p.status, 4);
	assert_true(buf_full(&out));
	assert_string_equal(buf_str(&out), "1\n2\n3\n4\n5\n");
	buf_release(&out);
}

static void test_proc_run__input_unread_or_absent(void **state)
{
	struct buf out = BUF_INIT(100);
	char *in = mem_alloc(1 << 20);
	struct proc p = { .argv = SH("exit 0"), .in = in, .in_len = 1 << 20 };
	struct proc q = { .argv = SH("cat; echo end"), .out = &out };

	(void)state;
	assert_int_equal(proc_run(&p), 0); /* no SIGPIPE */
	assert_int_equal(proc_run(&q), 0); /* /dev/null */
	assert_string_equal(buf_str(&out), "end\n");
	buf_release(&out);
	free(in);
}

static void note_line(const char *line, size_t len, void *arg)
{
	buf_addf(arg, "[%.*s]", (int)len, line);
}

static void test_proc_run__lines_of_both_streams(void **state)
{
	struct buf lines = BUF_INIT(1000);
	struct proc p = { .argv = SH("echo one; echo two >&2; echo; printf three"),
			  .line = note_line,
			  .line_arg = &lines };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&lines), "[one][two][][three]");
	buf_release(&lines);
}

static void add_length(const char *line, size_t len, void *arg)
{
	(void)line;
	buf_addf(arg, "%zu ", len);
}

static void test_proc_run__endless_line_comes_in_pieces(void **state)
{
	struct buf lengths = BUF_INIT(1000);
	struct proc p = { .argv = SH("head -c 150000 /dev/zero | tr '\\0' x; echo; echo y"),
			  .line = add_length,
			  .line_arg = &lengths };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&lengths), "65536 65536 18928 1 ");
	buf_release(&lengths);
}

static void test_proc_run__signal_is_128_and_more(void **state)
{
	struct proc p = { .argv = SH("kill -TERM $$") };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_int_equal(p.status, 128 + SIGTERM);
}

static void test_proc_run__missing_program_is_unavailable(void **state)
{
	struct proc p = { .argv = (const char *const[]){ "no-such-program-here", NULL } };
	struct proc q = { .argv = (const char *const[]){ "/no/such/program", NULL } };
	struct proc r = { .argv = (const char *const[]){ "/etc/passwd", NULL } }; /* not executable */

	(void)state;
	assert_int_equal(proc_run(&p), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "no-such-program-here"));
	assert_non_null(err_fix());
	assert_int_equal(proc_run(&q), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "/no/such/program"));
	assert_int_equal(proc_run(&r), ERR_UNAVAILABLE);
}

static void test_proc_run__timeout_ends_the_whole_group(void **state)
{
	struct buf out = BUF_INIT(100);
	struct proc p = { .argv = SH("sleep 60 & echo $!; wait"), .out = &out, .timeout_s = 0.3 };
	double begun = clock_seconds();
	pid_t grandchild;
	int tries = 0;

	(void)state;
	assert_int_equal(proc_run(&p), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "longer than 300 ms"));
	assert_true(clock_seconds() - begun < 30);
	assert_int_equal(p.status, 128 + SIGKILL);
	grandchild = (pid_t)strtol(buf_str(&out), NULL, 10);
	assert_true(grandchild > 1);
	/* it is gone, or a zombie that init has not fetched yet */
	while (!kill(grandchild, 0) && tries++ < 100) {
		char path[64];
		struct buf stat = BUF_INIT(1000);
		const char *mark;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)grandchild);
		if (fs_read(&stat, path, 1000)) {
			buf_release(&stat);
			break;
		}
		mark = strrchr(buf_str(&stat), ')');
		tries = mark && mark[2] == 'Z' ? 1000 : tries;
		buf_release(&stat);
		usleep(20000);
	}
	assert_int_not_equal(tries, 101);
	buf_release(&out);
}

static void *set_soon(void *arg)
{
	usleep(200 * 1000);
	*(volatile int *)arg = 1;
	return NULL;
}

static void test_proc_run__a_full_buffer_ends_it(void **state)
{
	struct buf out = BUF_INIT(3 << 20);
	struct proc p = { .argv = SH("cat /dev/zero"), .name = "the scorer", .out = &out, .full_ends = true };

	(void)state;
	assert_int_equal(proc_run(&p), ERR_INPUT);
	assert_string_equal(err_text(), "the scorer printed more than 3 MiB and was ended");
	assert_int_equal(out.len, 3 << 20);
	buf_release(&out);
}

/* A keeper (runner/keeper.c) is asked by SIGUSR1 and waited for. */
static void test_proc_run__a_keeper_ends_in_its_own_way(void **state)
{
	struct buf out = BUF_INIT(100);
	struct proc p = { .argv = SH("trap 'echo all ended; exit' USR1; while :; do sleep 0.01; done"),
			  .out = &out,
			  .keeper = true,
			  .timeout_s = 0.3 };

	(void)state;
	assert_int_equal(proc_run(&p), ERR_UNAVAILABLE);
	assert_string_equal(buf_str(&out), "all ended\n");
	buf_release(&out);
}

static void test_proc_run__stop_is_interrupted(void **state)
{
	volatile int stop = 0;
	struct proc p = { .argv = SH("sleep 60"), .stop = &stop };
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, set_soon, (void *)(uintptr_t)&stop), 0);
	assert_int_equal(proc_run(&p), ERR_INTERRUPTED);
	pthread_join(t, NULL);
	assert_int_equal(p.status, 128 + SIGTERM);
}

static void test_proc_run__left_over_process_does_not_hold_us(void **state)
{
	struct buf out = BUF_INIT(100);
	struct proc p = { .argv = SH("(sleep 30) & echo $!"), .out = &out };
	double begun = clock_seconds();

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_true(clock_seconds() - begun < 20);
	kill((pid_t)strtol(buf_str(&out), NULL, 10), SIGKILL);
	buf_release(&out);
}

static void test_proc_run__environment(void **state)
{
	const char *script = "echo ${PROC_A-unset} ${PROC_B-unset} ${PROC_C-unset}";
	struct buf out = BUF_INIT(200);
	struct proc p = { .argv = SH(script),
			  .env = (const char *const[]){ "PROC_B=new", "PROC_A", NULL },
			  .out = &out };

	(void)state;
	setenv("PROC_A", "a", 1);
	setenv("PROC_B", "b", 1);
	setenv("PROC_C", "secret", 1);
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&out), "unset new secret\n");
	buf_clear(&out);
	p.env_keep = (const char *const[]){ "PATH", "PROC_A", NULL };
	p.env = (const char *const[]){ "PROC_B=one", "PROC_B=two", NULL };
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&out), "a two unset\n");
	buf_clear(&out);
	p.argv = (const char *const[]){ "/usr/bin/env", NULL };
	p.env_keep = (const char *const[]){ NULL };
	p.env = NULL;
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&out), ""); /* nothing at all */
	buf_release(&out);
	unsetenv("PROC_A");
	unsetenv("PROC_B");
	unsetenv("PROC_C");
}

static void test_proc_run__working_directory(void **state)
{
	struct buf out = BUF_INIT(200);
	struct proc p = { .argv = SH("pwd -P"), .dir = "/", .out = &out };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_string_equal(buf_str(&out), "/\n");
	p.dir = "/no/such/folder";
	assert_int_equal(proc_run(&p), ERR_IO);
	assert_non_null(strstr(err_text(), "/no/such/folder"));
	buf_release(&out);
}

static int say_no(void *arg)
{
	return *(int *)arg;
}

static void test_proc_run__before_exec_decides(void **state)
{
	struct buf out = BUF_INIT(100);
	int answer = 0;
	struct proc p = { .argv = SH("echo ran"), .out = &out, .before_exec = say_no, .before_exec_arg = &answer };

	(void)state;
	assert_int_equal(proc_run(&p), 0);
	assert_int_equal(p.status, 0);
	assert_string_equal(buf_str(&out), "ran\n");
	buf_clear(&out);
	answer = 1;
	assert_int_equal(proc_run(&p), 0);
	assert_int_equal(p.status, 126);
	assert_string_equal(buf_str(&out), "");
	buf_release(&out);
}

static void test_proc_run__no_descriptor_leaks(void **state)
{
	struct buf out = BUF_INIT(1000);
	int fd = dup(STDERR_FILENO); /* without close-on-exec */
	struct proc p = { .argv = SH("ls /proc/self/fd | wc -l"), .out = &out };

	(void)state;
	assert_true(fd > 2);
	if (!fs_is_dir("/proc/self/fd"))
		skip();
	assert_int_equal(proc_run(&p), 0);
	close(fd);
	assert_int_equal(strtol(buf_str(&out), NULL, 10), 4); /* 0, 1, 2 and that of ls itself */
	buf_release(&out);
}

static void test_proc_check__quotes_the_end_of_stderr(void **state)
{
	struct proc p = { .argv = SH("echo fatal: no such ref >&2; exit 128") };
	struct proc loud = { .argv = SH("seq 1 5000 >&2; echo the end >&2; exit 1") };
	struct proc good = { .argv = SH("echo warning >&2") };

	(void)state;
	assert_int_equal(proc_check(&p), ERR_IO);
	assert_non_null(strstr(err_text(), "exit 128: fatal: no such ref"));
	assert_int_equal(p.status, 128);
	assert_int_equal(proc_check(&loud), ERR_IO);
	assert_non_null(strstr(err_text(), "5000\nthe end"));
	assert_true(strlen(err_text()) < 3000);
	assert_int_equal(proc_check(&good), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proc_run__streams_and_status),
		cmocka_unit_test(test_proc_run__one_buffer_keeps_the_order),
		cmocka_unit_test(test_proc_run__big_streams_do_not_block),
		cmocka_unit_test(test_proc_run__ceiling_cuts_and_goes_on),
		cmocka_unit_test(test_proc_run__input_unread_or_absent),
		cmocka_unit_test(test_proc_run__lines_of_both_streams),
		cmocka_unit_test(test_proc_run__endless_line_comes_in_pieces),
		cmocka_unit_test(test_proc_run__signal_is_128_and_more),
		cmocka_unit_test(test_proc_run__missing_program_is_unavailable),
		cmocka_unit_test(test_proc_run__timeout_ends_the_whole_group),
		cmocka_unit_test(test_proc_run__a_full_buffer_ends_it),
		cmocka_unit_test(test_proc_run__a_keeper_ends_in_its_own_way),
		cmocka_unit_test(test_proc_run__stop_is_interrupted),
		cmocka_unit_test(test_proc_run__left_over_process_does_not_hold_us),
		cmocka_unit_test(test_proc_run__environment),
		cmocka_unit_test(test_proc_run__working_directory),
		cmocka_unit_test(test_proc_run__before_exec_decides),
		cmocka_unit_test(test_proc_run__no_descriptor_leaks),
		cmocka_unit_test(test_proc_check__quotes_the_end_of_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
