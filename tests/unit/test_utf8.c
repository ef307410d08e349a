/* test_utf8.c: decoding by maximal subparts; the vectors are table 3-8 of the Unicode standard and what CPython decodes. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct vector {
	const char *bytes;
	size_t len;
	const char *repaired;
};

#define V(bytes, repaired)                                                                                             \
	{                                                                                                              \
		bytes, sizeof(bytes) - 1, repaired                                                                     \
	}
#define R "\xef\xbf\xbd"

static const struct vector vectors[] = {
	V("plain", "plain"), V("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	/* table 3-8: overlong forms, one U+FFFD a byte */
	V("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"),
	/* surrogates */
	V("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"),
	/* beyond 10FFFF, and stray bytes */
	V("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"),
	/* cut short: one U+FFFD for all that could have begun a character */
	V("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"), V("\xe2\x82", R), V("\xf0\x9f\x98", R),
	V("\xf0\x9f", R), V("\xc3", R), V("a\xf8\x88\x80\x80\x80z", "a" R R R R R "z"),
	V("\xef\xbf\xbd", R), /* itself */
};

static void test_utf8_repair__maximal_subparts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct buf b = BUF_INIT(1000);

		utf8_repair(&b, vectors[i].bytes, vectors[i].len);
		assert_string_equal(buf_str(&b), vectors[i].repaired);
		assert_int_equal(utf8_count(vectors[i].bytes, vectors[i].len), utf8_count(buf_str(&b), b.len));
		assert_true(utf8_valid(buf_str(&b), b.len, NULL));
		buf_release(&b);
	}
}

static void test_utf8_valid__says_where(void **state)
{
	size_t at = 99;

	(void)state;
	assert_true(utf8_valid("a\xef\xbf\xbd", 4, &at));
	assert_int_equal(at, 99);
	assert_false(utf8_valid("ab\xc3\xa9\xff", 5, &at));
	assert_int_equal(at, 4);
	assert_true(utf8_valid("", 0, NULL));
}

static void test_utf8_put__goes_round_for_all(void **state)
{
	size_t used;
	char s[4];

	(void)state;
	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		size_t n;

		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		n = utf8_put(s, cp);
		if (utf8_next(s, n, &used) != cp || used != n)
			fail_msg("code point %x", (unsigned)cp);
	}
	assert_int_equal(utf8_put(s, 0xd800), 3);
	assert_memory_equal(s, R, 3);
	assert_int_equal(utf8_put(s, 0x110000), 3);
	assert_memory_equal(s, R, 3);
}

static void test_utf8_is_space__is_python_isspace(void **state)
{
	/* [c for c in range(0x110000) if chr(c).isspace()], Python 3.13 */
	static const uint32_t want[] = { 0x9,    0xa,    0xb,    0xc,    0xd,    0x1c,   0x1d,   0x1e,   0x1f,   0x20,
					 0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
					 0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000 };
	size_t i = 0;

	(void)state;
	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		bool space = i < ARRAY_LEN(want) && want[i] == cp;

		if (utf8_is_space(cp) != space)
			fail_msg("code point %x", (unsigned)cp);
		i += space;
	}
	assert_int_equal(i, ARRAY_LEN(want));
}

static void test_utf8_stripped__is_python_rstrip(void **state)
{
	(void)state;
	assert_int_equal(utf8_stripped("a b \n\xe3\x80\x80\x1f", 8), 3);
	assert_int_equal(utf8_stripped(" \t", 2), 0);
	assert_int_equal(utf8_stripped("\xc3\xa9 \xe2", 4), 4); /* half a character is none */
	assert_int_equal(utf8_stripped("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_repair__maximal_subparts),
		cmocka_unit_test(test_utf8_valid__says_where),
		cmocka_unit_test(test_utf8_put__goes_round_for_all),
		cmocka_unit_test(test_utf8_is_space__is_python_isspace),
		cmocka_unit_test(test_utf8_stripped__is_python_rstrip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
