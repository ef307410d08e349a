/* scalar.c: how a value of a binary format stands in JSON: as Python's datasets library would show it in a template.
 *
 * Whole numbers, reals, texts and booleans are themselves. What JSON has no form for is the text that Python prints:
 * a date 2024-02-29, a time 12:30:00.250000, a moment 2024-02-29 12:30:00+00:00 (always in UTC), a decimal 12.50, bytes
 * b'\x00a', a whole number above 2^63, nan and inf. So {{column}} gives the same characters in both tools. */
#include "base/base.h"

#include <inttypes.h>
#include <math.h>

#include "base/rows_int.h"

enum { DECIMAL_BYTES = 32, DECIMAL_DIGITS = 80, SCALE_MAX = 1000 };

uint64_t scalar_load(const uint8_t *p, int width)
{
	uint64_t v = 0;

	for (int i = width; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static int64_t load_signed(const uint8_t *p, int width)
{
	int shift = 64 - 8 * width;

	return (int64_t)(scalar_load(p, width) << shift) >> shift;
}

static int make_text(json_t **out, struct buf *b)
{
	*out = json_new_text(buf_str(b), b->len);
	buf_release(b);
	return 0;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static double half(uint16_t h)
{
	int e = h >> 10 & 31, m = h & 1023;
	double x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);

	return h >> 15 ? -x : x;
}

static json_t *real(double x)
{
	if (isfinite(x))
		return json_real(x);
	return json_string(isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static int real_json(json_t **out, const uint8_t *p, int width)
{
	uint64_t bits = scalar_load(p, width);
	uint32_t small = (uint32_t)bits;
	double x;
	float f;

	memcpy(&x, &bits, sizeof(x));
	memcpy(&f, &small, sizeof(f));
	*out = real(width == 8 ? x : width == 4 ? (double)f : half((uint16_t)bits));
	return 0;
}

static int uint_json(json_t **out, uint64_t v)
{
	struct buf b = BUF_INIT(32);

	if (v <= INT64_MAX) {
		*out = json_integer((json_int_t)v);
		return 0;
	}
	buf_addf(&b, "%" PRIu64, v);
	return make_text(out, &b);
}

/* The digits of a two's complement number, little endian, most significant digit first; returns how many. */
static int decimal_digits(char digits[DECIMAL_DIGITS], bool *negative, const uint8_t *p, size_t len)
{
	uint8_t n[DECIMAL_BYTES];
	unsigned carry = 1;
	int count = 0;

	memcpy(n, p, len);
	*negative = len && n[len - 1] >> 7;
	for (size_t i = 0; *negative && i < len; i++) {
		carry += (uint8_t)~n[i];
		n[i] = (uint8_t)carry;
		carry >>= 8;
	}
	for (bool more = true; more;) {
		unsigned rest = 0;

		more = false;
		for (size_t i = len; i-- > 0;) {
			rest = rest << 8 | n[i];
			n[i] = (uint8_t)(rest / 10);
			more = more || n[i];
			rest %= 10;
		}
		digits[count++] = (char)('0' + rest);
	}
	for (int i = 0; i < count / 2; i++) {
		char c = digits[i];

		digits[i] = digits[count - 1 - i];
		digits[count - 1 - i] = c;
	}
	return count;
}

/* As Python prints Decimal: plain down to 1E-7, and no digit that is not there. */
static int decimal_json(json_t **out, const struct scalar *s, const uint8_t *p, size_t len)
{
	struct buf b = BUF_INIT(2 * SCALE_MAX);
	char digits[DECIMAL_DIGITS];
	uint8_t turned[DECIMAL_BYTES];
	bool negative;
	int n, point;

	if (len > DECIMAL_BYTES || s->scale > SCALE_MAX || s->scale < -SCALE_MAX)
		return err_set(ERR_INPUT, "a decimal of %zu bytes, scale %d", len, s->scale);
	for (size_t i = 0; i < len; i++)
		turned[i] = p[s->big_endian ? len - 1 - i : i];
	n = decimal_digits(digits, &negative, turned, len);
	point = n - s->scale; /* digits before the point */
	if (negative)
		buf_addc(&b, '-');
	if (s->scale < 0 || point - 1 < -6) {
		buf_addc(&b, digits[0]);
		if (n > 1)
			buf_addf(&b, ".%.*s", n - 1, digits + 1);
		buf_addf(&b, "E%+d", point - 1);
	} else if (point <= 0) {
		buf_adds(&b, "0.");
		for (int i = point; i < 0; i++)
			buf_addc(&b, '0');
		buf_add(&b, digits, (size_t)n);
	} else {
		buf_add(&b, digits, (size_t)point);
		if (s->scale)
			buf_addf(&b, ".%.*s", s->scale, digits + point);
	}
	return make_text(out, &b);
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

static int text_json(json_t **out, const uint8_t *p, size_t len)
{
	size_t bad;

	if (!utf8_valid((const char *)p, len, &bad))
		return err_set(ERR_INPUT, "invalid UTF-8 at byte %zu of a text", bad);
	*out = json_stringn_nocheck((const char *)p, len);
	return 0;
}

static int bytes_json(json_t **out, const uint8_t *p, size_t len)
{
	bool single = len && memchr(p, '\'', len), twice = len && memchr(p, '"', len);
	char quote = single && !twice ? '"' : '\'';
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	buf_addf(&b, "b%c", quote);
	for (size_t i = 0; i < len; i++) {
		static const char names[] = "tn\0\0r"; /* 9 to 13 */
		uint8_t c = p[i];

		if (c == '\\' || c == (uint8_t)quote)
			buf_addf(&b, "\\%c", c);
		else if (c >= 9 && c <= 13 && names[c - 9])
			buf_addf(&b, "\\%c", names[c - 9]);
		else if (c < 32 || c > 126)
			buf_addf(&b, "\\x%02x", c);
		else
			buf_addc(&b, (char)c);
	}
	buf_addc(&b, quote);
	return make_text(out, &b);
}

static int uuid_json(json_t **out, const uint8_t *p)
{
	struct buf b = BUF_INIT(64);

	for (int i = 0; i < 16; i++)
		buf_addf(&b, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", p[i]);
	return make_text(out, &b);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

enum { DAY = 86400 };

static int64_t power_of_ten(int n)
{
	int64_t v = 1;

	while (n-- > 0)
		v *= 10;
	return v;
}

/* Quotient rounded down; *rest is not negative. */
static int64_t divide(int64_t a, int64_t b, int64_t *rest)
{
	*rest = a % b + (a % b < 0 ? b : 0);
	return a / b - (a % b < 0);
}

/* Days since 1970 as a date of the proleptic Gregorian calendar. A year begins in March here, so that the leap day is
 * its last; 146097 days are 400 years. */
static int add_date(struct buf *b, int64_t days)
{
	int64_t era, day, year, month;

	if (days < -719162 || days > 2932896)
		return err_set(ERR_INPUT, "a date outside the years 1 to 9999");
	era = divide(days + 719468, 146097, &day);
	year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	day -= (153 * month + 2) / 5;
	year += 400 * era + (month >= 10);
	buf_addf(b, "%04d-%02d-%02d", (int)year, (int)(month < 10 ? month + 3 : month - 9), (int)day + 1);
	return 0;
}

/* What is below a second: nothing, six digits, or nine where the last three say something. */
static void add_fraction(struct buf *b, int64_t part, int unit)
{
	int64_t nano = part * power_of_ten(9 - unit);

	if (nano % 1000)
		buf_addf(b, ".%09d", (int)nano);
	else if (nano)
		buf_addf(b, ".%06d", (int)(nano / 1000));
}

static void add_clock(struct buf *b, int64_t second, const char *hour_format)
{
	buf_addf(b, hour_format[0] == '2' ? "%02d:%02d:%02d" : "%d:%02d:%02d", (int)(second / 3600),
		 (int)(second / 60 % 60), (int)(second % 60));
}

static int moment_json(json_t **out, const struct scalar *s, int64_t days, int64_t second, int64_t part)
{
	struct buf b = BUF_INIT(64);
	int rc = add_date(&b, days);

	if (rc) {
		buf_release(&b);
		return rc;
	}
	if (s->kind != SCALAR_DATE) {
		buf_addc(&b, ' ');
		add_clock(&b, second, "2");
		add_fraction(&b, part, s->unit);
		if (s->utc)
			buf_adds(&b, "+00:00");
	}
	return make_text(out, &b);
}

static int duration_json(json_t **out, const struct scalar *s, int64_t days, int64_t second, int64_t part)
{
	struct buf b = BUF_INIT(64);

	if (s->unit == 9) /* what pandas prints */
		buf_addf(&b, "%" PRId64 " days %s", days, days < 0 ? "+" : "");
	else if (days)
		buf_addf(&b, "%" PRId64 " day%s, ", days, days == 1 || days == -1 ? "" : "s");
	add_clock(&b, second, s->unit == 9 ? "2" : "1");
	add_fraction(&b, part, s->unit);
	return make_text(out, &b);
}

static int time_json(json_t **out, const struct scalar *s, const uint8_t *p)
{
	int64_t part, second, days, v = load_signed(p, s->width);
	struct buf b = BUF_INIT(64);

	if (s->kind == SCALAR_DATE && !s->unit)
		return moment_json(out, s, v, 0, 0);
	days = divide(divide(v, power_of_ten(s->unit), &part), DAY, &second);
	if (s->kind == SCALAR_DURATION)
		return duration_json(out, s, days, second, part);
	if (s->kind != SCALAR_TIME)
		return moment_json(out, s, days, second, part);
	if (days)
		return err_set(ERR_INPUT, "a time of the day outside the day");
	add_clock(&b, second, "2");
	add_fraction(&b, part, s->unit);
	return make_text(out, &b);
}

static int int96_json(json_t **out, const uint8_t *p)
{
	const struct scalar s = { .kind = SCALAR_TIMESTAMP, .unit = 9 };
	int64_t part, second, days = divide(divide((int64_t)scalar_load(p, 8), 1000000000, &part), DAY, &second);

	return moment_json(out, &s, days + (int64_t)scalar_load(p + 8, 4) - 2440588, second, part);
}

int scalar_json(json_t **out, const struct scalar *s, const uint8_t *p, size_t len)
{
	*out = NULL;
	switch (s->kind) {
	case SCALAR_BOOL:
		*out = json_boolean(*p);
		return 0;
	case SCALAR_INT:
		*out = json_integer(load_signed(p, s->width));
		return 0;
	case SCALAR_UINT:
		return uint_json(out, scalar_load(p, s->width));
	case SCALAR_FLOAT:
		return real_json(out, p, s->width);
	case SCALAR_TEXT:
		return text_json(out, p, len);
	case SCALAR_BYTES:
		return bytes_json(out, p, len);
	case SCALAR_DECIMAL:
		return decimal_json(out, s, p, len);
	case SCALAR_UUID:
		return uuid_json(out, p);
	case SCALAR_INT96:
		return int96_json(out, p);
	case SCALAR_DATE:
	case SCALAR_TIME:
	case SCALAR_TIMESTAMP:
	case SCALAR_DURATION:
		return time_json(out, s, p);
	}
	return err_set(ERR_BUG, "a scalar of kind %d", (int)s->kind);
}
