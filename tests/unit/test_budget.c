/* test_budget.c: how much memory may be used, on machines made of files. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "runner/budget.h"

static char *root;

static void file(const char *path, const char *text)
{
	char *whole = mem_printf("%s%s", root, path);

	assert_int_equal(fs_write(whole, text, strlen(text)), 0);
	free(whole);
}

static int begin(void **state)
{
	(void)state;
	return fs_temp_dir(&root, "/tmp", "assay-budget-");
}

static int end(void **state)
{
	(void)state;
	fs_remove_tree(root);
	free(root);
	return 0;
}

static void expect(const char *option, uint64_t bytes, const char *what)
{
	struct budget b;

	assert_int_equal(budget_open(&b, option, root), 0);
	assert_int_equal(b.bytes, bytes);
	assert_string_equal(b.what, what);
}

static void test_budget_parse__sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = { { "1", 1 },
		     { "512M", (uint64_t)512 << 20 },
		     { "4G", (uint64_t)4 << 30 },
		     { "4g", (uint64_t)4 << 30 },
		     { "1.5GiB", (uint64_t)3 << 29 },
		     { "2KB", 2048 },
		     { "1T", (uint64_t)1 << 40 },
		     { "100B", 100 } };
	static const char *const bad[] = { "", "G", "-1G", "0", "4X", "4GG", "4 G", "nan", "1e30", "inf" };
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(budget_parse(&bytes, good[i].text), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(budget_parse(&bytes, bad[i]), ERR_USAGE);
}

static void test_budget_open__the_least_counts(void **state)
{
	(void)state;
	expect(NULL, 0, "what is free"); /* nothing is known */
	expect("1G", 1 << 30, "--memory");
	file("/proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    4000 kB\n");
	expect(NULL, 4096000, "what is free");
	expect("1M", 1 << 20, "--memory");
	expect("1G", 4096000, "what is free");
	file("/proc/self/cgroup", "0::/job/step\n");
	expect(NULL, 4096000, "what is free");
	file("/sys/fs/cgroup/job/step/memory.max", "max\n");
	file("/sys/fs/cgroup/job/memory.max", "3000000\n");
	file("/sys/fs/cgroup/job/memory.current", "1500000\n");
	file("/sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 500000\n");
	expect(NULL, 2000000, "the cgroup's limit");
	file("/sys/fs/cgroup/job/step/memory.max", "1000000\n");
	expect(NULL, 1000000, "the cgroup's limit");
	file("/sys/fs/cgroup/job/step/memory.current", "2000000\n"); /* over it: nothing is left, and that is known */
	expect(NULL, 1, "the cgroup's limit");
}

static void test_budget_open__a_limit_of_the_shell(void **state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	(void)state;
	file("/proc/meminfo", "MemAvailable:    4000 kB\n");
	file("/proc/self/limits",
	     "Limit  Soft Limit  Hard Limit  Units\nMax address space  unlimited  unlimited  bytes\n");
	file("/proc/self/statm", "100 90 80 1 0 2 0\n");
	expect(NULL, 4096000, "what is free");
	file("/proc/self/limits",
	     "Max file size  7 7 bytes\nMax address space         2000000              unlimited            bytes\n");
	expect(NULL, 2000000 - 100 * page, "ulimit -v");
	file("/proc/self/statm", "1000 90 80 1 0 2 0\n");
	expect(NULL, 1, "ulimit -v");
}

static void test_budget_open__older_cgroups(void **state)
{
	(void)state;
	file("/proc/meminfo", "MemAvailable:    4000 kB\n");
	file("/proc/self/cgroup", "nonsense\n12:cpu,cpuacct:/a\n5:memory:/docker/x\n1:name=systemd:/a\n0::/a\n");
	file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	expect(NULL, 4096000, "what is free");
	file("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "2000000\n");
	file("/sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "500000\n");
	file("/sys/fs/cgroup/memory/docker/x/memory.stat", "inactive_file 1\ntotal_inactive_file 400000\n");
	expect(NULL, 1900000, "the cgroup's limit");
}

static void test_budget_open__this_machine(void **state)
{
	struct budget b;
	char text[16];

	(void)state;
	assert_int_equal(budget_open(&b, NULL, ""), 0);
	assert_true(b.bytes > 1 << 20);
	assert_int_equal(budget_open(&b, "much", ""), ERR_USAGE);
	fs_size_text(text, 3200000000);
	assert_string_equal(text, "3.2 GB");
	fs_size_text(text, 1500);
	assert_string_equal(text, "1.5 kB");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_budget_parse__sizes),
		TEST(test_budget_open__the_least_counts),
		TEST(test_budget_open__a_limit_of_the_shell),
		TEST(test_budget_open__older_cgroups),
		TEST(test_budget_open__this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
