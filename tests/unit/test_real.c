/* test_real.c: the shortest digits against their definition, the loop over snprintf() and strtod(). */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

static void expect_shortest(double x)
{
	char digits[REAL_DIGITS], text[40], want[REAL_DIGITS];
	int e = 0, n = real_shortest(digits, &e, x), len = 0;

	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, x);
		if (strtod(text, NULL) == x)
			break;
	}
	for (const char *p = text; *p != 'e'; p++)
		if (*p != '.')
			want[len++] = *p;
	while (len > 1 && want[len - 1] == '0')
		len--;
	if (n != len || memcmp(digits, want, (size_t)n) || e != strtol(strchr(text, 'e') + 1, NULL, 10))
		fail_msg("%.17g (%a): %.*s of exponent %d, not %s", x, x, n, digits, e, text);
}

static void around(double x)
{
	expect_shortest(x);
	expect_shortest(nextafter(x, 0));
	expect_shortest(nextafter(x, HUGE_VAL));
}

static void test_real_shortest__of_any_bits(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 1, 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = rng_u64(&r) >> 1;
		double x;

		memcpy(&x, &bits, sizeof(x));
		if (isfinite(x))
			expect_shortest(x);
	}
}

static void test_real_shortest__of_common_sizes(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 2, 0);
	for (int i = 0; i < 60000; i++) {
		double x = (1 + rng_uniform(&r)) * pow(2, (double)rng_below(&r, 90) - 36);

		expect_shortest(x);
	}
}

static void test_real_shortest__of_ratios_and_short_decimals(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 3, 0);
	for (int i = 0; i < 40000; i++) {
		double n = (double)rng_below(&r, 100000);

		expect_shortest(n / (double)(1 + rng_below(&r, 100000)));
		expect_shortest(n / pow(10, (double)rng_below(&r, 12)));
	}
}

static void test_real_shortest__at_powers_of_two_and_ten(void **state)
{
	(void)state;
	expect_shortest(0);
	expect_shortest(5e-324);
	expect_shortest(1.7976931348623157e308);
	for (int i = -1074; i < 1023; i++)
		around(ldexp(1, i));
	for (int i = -300; i < 300; i++) {
		around(pow(10, i));
		around(9.5 * pow(10, i));
		around(9.9999999999999995 * pow(10, i));
	}
}

/* Half way between two decimals: ties go to the even one, as printf rounds. */
static void test_real_shortest__at_ties(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++)
		for (int q = 1; q < 40; q++)
			around(ldexp(900719925474099.0 + i, -q));
	around(9007199254740993.0);
	around(5e-324 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_shortest__of_any_bits),
		cmocka_unit_test(test_real_shortest__of_common_sizes),
		cmocka_unit_test(test_real_shortest__of_ratios_and_short_decimals),
		cmocka_unit_test(test_real_shortest__at_powers_of_two_and_ten),
		cmocka_unit_test(test_real_shortest__at_ties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
