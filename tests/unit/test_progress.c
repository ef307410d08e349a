/* test_progress.c: silence in a log for quick work, a bar on a terminal that makes way for lines. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Runs work with standard error at fd and gives it back. */
static void with_stderr(int fd, void (*work)(void))
{
	int saved = dup(STDERR_FILENO);

	fflush(stderr);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	work();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static void quick_work(void)
{
	progress_begin("reading", 1000, "samples");
	for (uint64_t i = 0; i <= 1000; i++)
		progress_at(i, NULL);
	progress_end();
}

static void test_progress__quick_work_says_nothing_in_a_log(void **state)
{
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	with_stderr(fileno(f), quick_work);
	fseek(f, 0, SEEK_END);
	assert_int_equal(ftell(f), 0);
	fclose(f);
}

static void slow_work(void)
{
	progress_begin("reading", 10, "samples");
	usleep(120 * 1000);
	progress_at(4, "loss %.2f \x1b[31m", 1.5);
	log_info("a line");
	usleep(120 * 1000);
	progress_at(5, NULL);
	progress_end();
}

/* Work on a pseudo terminal of 60 columns; what it was sent, as text. */
static size_t on_terminal(char *out, size_t size, void (*work)(void))
{
	struct winsize w = { .ws_row = 24, .ws_col = 60 };
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	size_t len = 0;
	ssize_t n;

	if (master < 0 || grantpt(master) || unlockpt(master)) {
		if (master >= 0)
			close(master);
		return 0;
	}
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	ioctl(slave, TIOCSWINSZ, &w);
	with_stderr(slave, work);
	fcntl(master, F_SETFL, O_NONBLOCK);
	while ((n = read(master, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	close(slave);
	close(master);
	out[len] = '\0';
	return len;
}

static void test_progress__bar_on_a_terminal(void **state)
{
	char text[4096];
	char *bar, *line;

	(void)state;
	setenv("TERM", "xterm", 1);
	setenv("LC_ALL", "C", 1);
	if (!on_terminal(text, sizeof(text), slow_work)) {
		print_message("SKIP: no pseudo terminals here\n");
		skip();
	}
	bar = strstr(text, "reading [#########---------------]  40% 4 / 10 samples");
	assert_non_null(bar);
	line = strstr(text, "a line");
	assert_true(line > bar);
	/* the bar is taken away before the line is written, and at the end */
	assert_memory_equal(line - 4, "\r\033[K", 4);
	assert_non_null(strstr(line, " 50% 5 / 10"));
	assert_string_equal(text + strlen(text) - 4, "\r\033[K");
	assert_null(strstr(text, "\033[31m")); /* a note is only text */
	unsetenv("LC_ALL");
}

static void test_progress__never_ends_what_never_began(void **state)
{
	(void)state;
	progress_end();
	progress_at(3, "x");
	progress_begin("x", 0, NULL);
	progress_at(3, NULL);
	progress_end();
	progress_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_progress__quick_work_says_nothing_in_a_log),
		cmocka_unit_test(test_progress__bar_on_a_terminal),
		cmocka_unit_test(test_progress__never_ends_what_never_began),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
