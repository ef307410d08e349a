/* cuda_test.h: what the tests of the CUDA files share: cases in TAP, numbers, comparisons, orders.
 *
 * Tests of kernels speak to the table of kernels.h alone, so that the same source runs on a card (-DON_CARD: it opens the plugin
 * beside it, on $TEST_DEVICE), where there is one order: the card's own. The bundle of docs/gpu.md has them. */
#ifndef CUDA_TEST_H
#define CUDA_TEST_H

#include "kernels/kernels.h"

#include <math.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#ifndef ON_CARD
#include "cuda_runtime.h"
#endif

/* ---- cases: TEST(sentence) { ... CHECK(...) } in files that end with TEST_MAIN --------------------------------------------- */

struct test_case {
	const char *name;
	void (*run)(void);
};
static std::vector<test_case> test_cases;
static int test_failures; /* of the case that runs */
static const char *test_skipped;

struct test_registration {
	test_registration(const char *name, void (*run)(void))
	{
		test_cases.push_back({ name, run });
	}
};
#define TEST(name)                                                                                                     \
	static void name(void);                                                                                        \
	static const test_registration register_##name(#name, name);                                                   \
	static void name(void)

__attribute__((format(printf, 3, 4))) static inline void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	printf("# %s:%d: ", file, line);
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	test_failures++;
}
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                                                                                                    \
	do {                                                                                                           \
		if (!(cond))                                                                                           \
			FAIL("not true: %s", #cond);                                                                   \
	} while (0)
#define SKIP(why)                                                                                                      \
	do {                                                                                                           \
		test_skipped = (why);                                                                                  \
		return;                                                                                                \
	} while (0)

/* A fault runs in a program of its own (a sanitizer does not live through a fork): this one again, with the case's name and
 * "fault=LINE", where the other faults of the case are passed over. It must end badly and have said `words`. */
static int test_fault_line;
static const char *test_current;

static inline void check_stops(const char *file, int line, const char *words, void (*run)(void))
{
	int fd[2], status = 0;
	if (test_fault_line) {
		if (test_fault_line != line)
			return;
		run();
		_exit(0);
	}
	fflush(stdout);
	if (pipe(fd) != 0)
		return test_fail(file, line, "no pipe");
	pid_t child = fork();
	if (child == 0) {
		char where[32];
		snprintf(where, sizeof(where), "fault=%d", line);
		dup2(fd[1], 1);
		dup2(fd[1], 2);
		execl("/proc/self/exe", "fault", test_current, where, (char *)NULL);
		_exit(0);
	}
	close(fd[1]);
	std::string said;
	char text[4096];
	for (ssize_t n; (n = read(fd[0], text, sizeof(text))) > 0;)
		said.append(text, (size_t)n);
	close(fd[0]);
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		test_fail(file, line, "the fault was not seen; said: %.400s", said.c_str());
	else if (said.find(words) == std::string::npos)
		test_fail(file, line, "not said: %s; but: %.400s", words, said.c_str());
}
#define CHECK_STOPS(words, ...) check_stops(__FILE__, __LINE__, words, __VA_ARGS__)

/* Without arguments all cases, else those whose name holds one of them */
static inline int test_main(int argc, char **argv)
{
	int bad = 0, n = 0;
	if (argc == 3 && strncmp(argv[2], "fault=", 6) == 0) {
		test_fault_line = (int)strtol(argv[2] + 6, NULL, 10);
		argc--;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const test_case &c : test_cases) {
		bool wanted = argc < 2;
		for (int i = 1; i < argc; i++)
			wanted = wanted || strstr(c.name, argv[i]);
		if (!wanted)
			continue;
		test_failures = 0;
		test_skipped = NULL;
		test_current = c.name;
		c.run();
		bad += test_failures > 0;
		printf("%sok %d - %s", test_failures ? "not " : "", ++n, c.name);
		printf(test_skipped ? " # SKIP %s\n" : "\n", test_skipped);
	}
	printf("1..%d\n", n);
	return bad != 0;
}
#define TEST_MAIN                                                                                                      \
	int main(int argc, char **argv)                                                                                \
	{                                                                                                              \
		return test_main(argc, argv);                                                                          \
	}

#endif
