/* test_scalar.c: the edges of what a value may be. What is within them is compared with pyarrow by test_rows.c. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rows_int.h"

static void gives(struct scalar s, const void *p, size_t len, const char *want)
{
	struct buf got = BUF_INIT(4096);
	json_t *v;

	if (scalar_json(&v, &s, p, len))
		fail_msg("%s", err_text());
	json_add(&got, v);
	assert_string_equal(buf_str(&got), want);
	json_decref(v);
	buf_release(&got);
}

static void refuses(struct scalar s, const void *p, size_t len, const char *why)
{
	json_t *v;

	assert_int_equal(scalar_json(&v, &s, p, len), ERR_INPUT);
	assert_string_equal(err_text(), why);
	assert_null(v);
}

static void test_scalar_json__dates_end_with_the_year_9999(void **state)
{
	const int32_t first = -719162, before = first - 1, last = 2932896, behind = last + 1;
	const int64_t least = INT64_MIN, most = INT64_MAX;
	const struct scalar day = { .kind = SCALAR_DATE, .width = 4 };
	const struct scalar ms = { .kind = SCALAR_TIMESTAMP, .width = 8, .unit = 3 };
	const struct scalar ns = { .kind = SCALAR_TIMESTAMP, .width = 8, .unit = 9 };
	const struct scalar hour = { .kind = SCALAR_TIME, .width = 8, .unit = 6 };

	(void)state;
	gives(day, &first, 4, "\"0001-01-01\"");
	gives(day, &last, 4, "\"9999-12-31\"");
	refuses(day, &before, 4, "a date outside the years 1 to 9999");
	refuses(day, &behind, 4, "a date outside the years 1 to 9999");
	refuses(ms, &least, 8, "a date outside the years 1 to 9999");
	refuses(ms, &most, 8, "a date outside the years 1 to 9999");
	gives(ns, &least, 8, "\"1677-09-21 00:12:43.145224192\"");
	gives(ns, &most, 8, "\"2262-04-11 23:47:16.854775807\"");
	refuses(hour, &least, 8, "a time of the day outside the day");
}

static void test_scalar_json__decimals(void **state)
{
	const uint8_t least[4] = { 0, 0, 0, 0x80 }, none[1] = { 0 };
	struct scalar s = { .kind = SCALAR_DECIMAL, .scale = 2 };

	(void)state;
	gives(s, least, 4, "\"-21474836.48\"");
	gives(s, none, 0, "\"0.00\"");
	s.big_endian = true;
	gives(s, least, 4, "\"1.28\"");
	s.scale = -3;
	gives(s, least, 4, "\"1.28E+5\"");
	s.scale = 1001;
	refuses(s, least, 4, "a decimal of 4 bytes, scale 1001");
}

static void test_scalar_json__texts_are_utf_8(void **state)
{
	const struct scalar s = { .kind = SCALAR_TEXT };

	(void)state;
	gives(s, "a\0b", 3, "\"a\\u0000b\"");
	refuses(s, "ab\xff", 3, "invalid UTF-8 at byte 2 of a text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalar_json__dates_end_with_the_year_9999),
		cmocka_unit_test(test_scalar_json__decimals),
		cmocka_unit_test(test_scalar_json__texts_are_utf_8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
