/* real.c: the shortest decimal that reads back to the same double.
 *
 * The definition is a loop: of 1, 2, … 17 digits the first that strtod() gives the double for. It is kept for what is rare, at
 * 5 to 10 us a number; records are thousands of numbers, and a record of 1,000 metrics spent more time there than on the disk.
 *
 * The one idea: every decimal of 15 digits is the only one of its length for its double, so what has 15 digits or fewer is found
 * by rounding to 15 and dropping zeros; else 16 digits are tried, and 17 are always enough. And for numbers of common sizes the
 * rounding is exact in whole numbers of 128 bits: with x = m / 2^q,
 *
 *	D = round(x 10^k) = round(m 5^k / 2^(q-k))                    ties to even, as printf rounds
 *	D / 10^k reads back to x  <=>  |D 2^(q-k) - m 5^k| < 5^k / 2    half the distance to the next double; = if m is even
 *
 * m < 2^53 and k <= 27 (5^27 < 2^63), so all of it is below 2^117. Not so where the doubles below x lie closer than those above
 * it (m = 2^52), where q < k, and below 10^-10. */
#include "base/base.h"

#include <math.h>

enum { DIGITS_MAX = 17, K_MAX = 27, MANTISSA = 53 };

static int loop(char digits[REAL_DIGITS], int *exponent, double x)
{
	char text[40];
	int n = 0;

	for (int precision = 0; precision < DIGITS_MAX; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, x);
		if (strtod(text, NULL) == x)
			break;
	}
	for (const char *p = text; *p != 'e'; p++)
		if (*p >= '0' && *p <= '9') /* not the point, which a locale may have changed */
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	*exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	return n;
}

struct parts {
	uint64_t m;   /* x = m / 2^q */
	int q, least; /* the power of ten of the first digit, or one less */
};

/* x to n digits: their number, and the power of ten of the first; 0: not by this way. */
static uint64_t rounded(const struct parts *x, int n, int *exponent, bool *reads_back)
{
	uint64_t limit = 1, five = 1, digits;

	for (int i = 0; i < n; i++)
		limit *= 10;
	for (int e = x->least;; e++) {
		int k = n - 1 - e, shift = x->q - k;
		unsigned __int128 all, rest, half;

		if (k < 0 || k > K_MAX || shift < 1 || shift > 120)
			return 0;
		five = 1;
		for (int i = 0; i < k; i++)
			five *= 5;
		all = (unsigned __int128)x->m * five;
		half = (unsigned __int128)1 << (shift - 1);
		digits = (uint64_t)(all >> shift);
		rest = all - ((unsigned __int128)digits << shift);
		if (rest > half || (rest == half && digits & 1)) {
			digits++;
			rest = (half << 1) - rest;
		}
		if (digits >= limit) /* the first digit is one place higher */
			continue;
		*reads_back = 2 * rest < five || (2 * rest == five && !(x->m & 1));
		*exponent = e;
		return digits;
	}
}

static int write_digits(char out[REAL_DIGITS], uint64_t d)
{
	int n = 0;

	while (d % 10 == 0)
		d /= 10;
	for (uint64_t rest = d; rest; rest /= 10)
		n++;
	for (int i = n; i > 0; d /= 10)
		out[--i] = (char)('0' + d % 10);
	return n;
}

int real_shortest(char digits[REAL_DIGITS], int *exponent, double x)
{
	struct parts p;
	bool reads_back = false;
	uint64_t d = 0;
	int e;
	double m = frexp(x, &e); /* [1/2, 1) */

	if (x < 1e-10 || x > 1e15 || m == 0.5)
		return loop(digits, exponent, x);
	p.m = (uint64_t)ldexp(m, MANTISSA);
	p.q = MANTISSA - e;
	p.least = (int)floor((e - 1) * 0.30102999566398120); /* log10 of the power of two below x */
	for (int n = 15; n <= DIGITS_MAX && !reads_back; n++) {
		d = rounded(&p, n, exponent, &reads_back);
		if (!d)
			return loop(digits, exponent, x);
	}
	return write_digits(digits, d);
}
