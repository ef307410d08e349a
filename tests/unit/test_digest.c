/* test_digest.c: SHA-256 against FIPS 180-4 examples, hex, and texts that must not run together. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/digest.h"

static void expect_hex(struct digest d, const char *want)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, &d);
	assert_string_equal(hex, want);
}

static void test_digest_bytes__known_answers(void **state)
{
	(void)state;
	expect_hex(digest_bytes("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_hex(digest_bytes("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_digest_add__pieces_are_the_whole(void **state)
{
	struct digest_ctx *c = digest_new();
	struct digest whole = digest_bytes("abc", 3), pieces;

	(void)state;
	digest_add(c, "a", 1);
	digest_add(c, "", 0);
	digest_add(c, "bc", 2);
	pieces = digest_end(c);
	assert_true(digest_equal(&whole, &pieces));
}

static struct digest of_texts(const char *a, const char *b)
{
	struct digest_ctx *c = digest_new();

	digest_text(c, a);
	digest_text(c, b);
	return digest_end(c);
}

static void test_digest_text__borders_count(void **state)
{
	struct digest d[] = { of_texts("ab", "c"), of_texts("a", "bc"),   of_texts("abc", ""),
			      of_texts("", "abc"), of_texts("abc", NULL), of_texts(NULL, "abc") };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(d); i++)
		for (size_t j = 0; j < i; j++)
			assert_false(digest_equal(&d[i], &d[j]));
	d[1] = of_texts("ab", "c");
	assert_true(digest_equal(&d[0], &d[1]));
}

static void test_digest_parse__only_64_lower_case_digits(void **state)
{
	const char *good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct digest d;

	(void)state;
	assert_int_equal(digest_parse(&d, good), 0);
	expect_hex(d, good);
	assert_int_equal(digest_parse(&d, ""), ERR_INPUT);
	assert_int_equal(digest_parse(&d, good + 1), ERR_INPUT);
	assert_int_equal(digest_parse(&d, "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
			 ERR_INPUT);
	assert_int_equal(digest_parse(&d, "ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
			 ERR_INPUT);
	assert_int_equal(digest_parse(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0"),
			 ERR_INPUT);
}

static void test_digest_file__reads_files_only(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char *path = mem_printf("%s/assay-test-digest-XXXXXX", tmp ? tmp : "/tmp");
	struct digest d;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	close(fd);
	assert_int_equal(digest_file(&d, path), 0);
	expect_hex(d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	unlink(path);
	assert_int_equal(digest_file(&d, path), ERR_NOTFOUND);
	assert_int_equal(digest_file(&d, "/"), ERR_INPUT);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest_bytes__known_answers),
		cmocka_unit_test(test_digest_add__pieces_are_the_whole),
		cmocka_unit_test(test_digest_text__borders_count),
		cmocka_unit_test(test_digest_parse__only_64_lower_case_digits),
		cmocka_unit_test(test_digest_file__reads_files_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
