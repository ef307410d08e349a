/* test_clock.c: dates against known ones, durations as text. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_iso(int64_t seconds, const char *want)
{
	char out[21];

	clock_iso(out, seconds * 1000000000);
	assert_string_equal(out, want);
}

static void test_clock_iso__known_dates(void **state)
{
	char out[21];

	(void)state;
	expect_iso(0, "1970-01-01T00:00:00Z");
	expect_iso(951782400, "2000-02-29T00:00:00Z");
	expect_iso(1709251199, "2024-02-29T23:59:59Z");
	expect_iso(1763955480, "2025-11-24T03:38:00Z");
	expect_iso(4107542400, "2100-03-01T00:00:00Z"); /* 2100 is no leap year */
	expect_iso(-1, "1969-12-31T23:59:59Z");
	clock_iso(out, -1); /* a nanosecond before */
	assert_string_equal(out, "1969-12-31T23:59:59Z");
	clock_iso(out, INT64_MAX);
	assert_string_equal(out, "2262-04-11T23:47:16Z");
	clock_iso(out, INT64_MIN);
	assert_string_equal(out, "1677-09-21T00:12:43Z");
}

static void test_clock_duration__unit_fits_the_size(void **state)
{
	static const struct {
		double s;
		const char *text;
	} cases[] = { { 0.42, "420 ms" },   { 3.24, "3.2 s" },    { 59.97, "1 m 00 s" }, { 192, "3 m 12 s" },
		      { 0.9999, "1.0 s" },  { 0, "0 ms" },        { -3, "0 ms" },        { 3599.7, "1 h 00 m" },
		      { 7500, "2 h 05 m" }, { 90000, "1 d 01 h" } };
	char out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_duration(out, cases[i].s);
		assert_string_equal(out, cases[i].text);
	}
}

static void test_clock_seconds__never_goes_back(void **state)
{
	double last = clock_seconds();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		double now = clock_seconds();

		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_unix_ns() > 1700000000LL * 1000000000);
}

static void test_clock_until__is_the_end_of_what_is_named(void **state)
{
	static const struct {
		const char *text;
		int64_t s; /* the second after; 0: refused */
	} cases[] = {
		{ "2026-05-01", 1777680000 },
		{ "2026-05-01T00:00", 1777593660 },
		{ "2026-05-01T12:30Z", 1777638660 },
		{ "2026-05-01T12:30:05Z", 1777638606 },
		{ "2024-02-29", 1709251200 },
		{ "2026-02-29", 0 },
		{ "2026-13-01", 0 },
		{ "2026-05-01T24:30", 0 },
		{ "May 2026", 0 },
		{ "2026-05-01 ", 0 },
		{ "2026-05-01+02:00", 0 },
		{ "", 0 },
		{ "1026-05-01", 0 },
		{ "2026-04-31", 0 },
	};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(clock_until(cases[i].text, &ns), cases[i].s != 0);
		if (cases[i].s)
			assert_int_equal(ns, cases[i].s * 1000000000 - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_iso__known_dates),
		cmocka_unit_test(test_clock_duration__unit_fits_the_size),
		cmocka_unit_test(test_clock_until__is_the_end_of_what_is_named),
		cmocka_unit_test(test_clock_seconds__never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
