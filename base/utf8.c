/* utf8.c: text as code points, by table 3-7 of the Unicode standard (well-formed byte sequences).
 *
 * What is not well-formed is read as U+FFFD, once per maximal subpart: the longest prefix of the bad bytes that could
 * have begun a well-formed sequence, or one byte if there is none (what Python, Rust and the web do). So E2 80 41 is one
 * U+FFFD and "A"; ED A0 80 (a surrogate) is three. */
#include "base/base.h"

uint32_t utf8_next(const char *s, size_t len, size_t *used)
{
	const uint8_t *p = (const uint8_t *)s;
	uint8_t b = p[0], low = 0x80, high = 0xbf;
	uint32_t cp;
	size_t need, i;

	*used = 1;
	if (b < 0x80)
		return b;
	if (b < 0xc2 || b > 0xf4)
		return 0xfffd;
	need = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
	cp = b & (0x3fu >> need);
	/* the second byte has a narrower range after these: no overlong forms, no surrogates, nothing above 10FFFF */
	if (b == 0xe0)
		low = 0xa0;
	else if (b == 0xed)
		high = 0x9f;
	else if (b == 0xf0)
		low = 0x90;
	else if (b == 0xf4)
		high = 0x8f;
	for (i = 1; i <= need; i++) {
		if (i >= len || p[i] < low || p[i] > high) {
			*used = i;
			return 0xfffd;
		}
		cp = cp << 6 | (p[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	*used = need + 1;
	return cp;
}

/* U+FFFD may stand in the text itself, as EF BF BD. */
static bool is_bad(const char *s, size_t used, uint32_t cp)
{
	return cp == 0xfffd && !(used == 3 && !memcmp(s, "\xef\xbf\xbd", 3));
}

bool utf8_valid(const char *s, size_t len, size_t *bad_at)
{
	size_t used;

	for (size_t i = 0; i < len; i += used) {
		uint32_t cp = utf8_next(s + i, len - i, &used);

		if (is_bad(s + i, used, cp)) {
			if (bad_at)
				*bad_at = i;
			return false;
		}
	}
	return true;
}

size_t utf8_put(char out[4], uint32_t cp)
{
	if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		cp = 0xfffd;
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

size_t utf8_count(const char *s, size_t len)
{
	size_t n = 0, used;

	for (size_t i = 0; i < len; i += used, n++)
		utf8_next(s + i, len - i, &used);
	return n;
}

void utf8_repair(struct buf *b, const char *s, size_t len)
{
	size_t used, from = 0;

	for (size_t i = 0; i < len; i += used) {
		uint32_t cp;

		used = 1;
		if ((unsigned char)s[i] < 0x80)
			continue;
		cp = utf8_next(s + i, len - i, &used);
		if (!is_bad(s + i, used, cp))
			continue;
		buf_add(b, s + from, i - from);
		buf_add(b, "\xef\xbf\xbd", 3);
		from = i + used;
	}
	buf_add(b, s + from, len - from);
}

bool utf8_is_space(uint32_t cp)
{
	if (cp < 0x80)
		return cp == ' ' || (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1f);
	return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 ||
	       cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

size_t utf8_stripped(const char *s, size_t len)
{
	size_t end = 0, used;

	for (size_t at = 0; at < len; at += used)
		if (!utf8_is_space(utf8_next(s + at, len - at, &used)))
			end = at + used;
	return end;
}
