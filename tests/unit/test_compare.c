/* Tests of model/compare.c: what is said of two files of tensors. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model.h"

static char *folder;

static int begin(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return fs_temp_dir(&folder, tmp ? tmp : "/tmp", "assay-test-");
}

static int end(void **state)
{
	(void)state;
	fs_remove_tree(folder);
	free(folder);
	return 0;
}

/* A file of this header and these floats. */
static char *write_file(const char *name, const char *header, const float *data, size_t n)
{
	char *path = path_join(folder, name);
	struct buf b = BUF_INIT(4096);
	uint64_t len = strlen(header);

	buf_add(&b, &len, 8);
	buf_adds(&b, header);
	buf_add(&b, data, n * sizeof(*data));
	assert_int_equal(fs_write(path, b.data, b.len), 0);
	buf_release(&b);
	return path;
}

#define TENSOR(name, shape, from, to)                                                                                  \
	"\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void expect(const char *header_a, const float *a, size_t n, const char *header_b, const float *b, size_t m,
		   const char *words)
{
	char *x = write_file("a", header_a, a, n), *y = write_file("b", header_b, b, m);
	struct buf out = BUF_INIT(4096);

	assert_int_equal(model_compare_files(&out, x, y), 0);
	assert_string_equal(buf_str(&out), words);
	buf_release(&out);
	free(x);
	free(y);
}

static void test_model_compare_files__tells_the_first(void **state)
{
	static const char two[] = "{" TENSOR("p", "[2]", "0", "8") "," TENSOR("q", "[1,2]", "8", "16") "}";
	const float a[] = { 1, 2, 3, 4 }, b[] = { 1, 2, 3.5F, 4 }, c[] = { 1, 2.25F, 5, 6 };

	(void)state;
	expect(two, a, 4, two, a, 4, "0 of 2 tensors differ");
	expect(two, a, 4, two, b, 4, "1 of 2 tensors differ, first q: 1 of 2 elements, by at most 0.5");
	expect(two, a, 4, two, c, 4, "2 of 2 tensors differ, first p: 1 of 2 elements, by at most 0.25");
}

static void test_model_compare_files__names_and_shapes(void **state)
{
	static const char two[] = "{" TENSOR("p", "[2]", "0", "8") "," TENSOR("q", "[1,2]", "8", "16") "}";
	static const char turned[] = "{" TENSOR("p", "[2]", "0", "8") "," TENSOR("q", "[2,1]", "8", "16") "}";
	static const char other[] = "{" TENSOR("p", "[2]", "0", "8") "," TENSOR("r", "[1,2]", "8", "16") "}";
	const float a[] = { 1, 2, 3, 4 };

	(void)state;
	expect(two, a, 4, turned, a, 4, "1 of 2 tensors differ, first q, in type or shape");
	expect(two, a, 4, other, a, 4, "0 of 2 tensors differ; 1 are only in the first, 1 only in the second");
}

static void test_model_compare_files__no_such_file(void **state)
{
	static const char one[] = "{" TENSOR("p", "[2]", "0", "8") "}";
	const float a[] = { 1, 2 };
	char *x = write_file("a", one, a, 2), *y = write_file("b", "{}}}", a, 1);
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_int_equal(model_compare_files(&out, x, y), ERR_INPUT);
	assert_int_equal(model_compare_files(&out, y, x), ERR_INPUT);
	buf_release(&out);
	free(x);
	free(y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_compare_files__tells_the_first),
		cmocka_unit_test(test_model_compare_files__names_and_shapes),
		cmocka_unit_test(test_model_compare_files__no_such_file),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
