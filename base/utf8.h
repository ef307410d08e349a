/* utf8.h: text as code points. Invalid input is U+FFFD per maximal bad part (Unicode 16, 3.9, table 3-8). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/* Decodes one code point at s (len > 0), sets *used (1..4). Invalid: U+FFFD, *used = length of the maximal bad part. */
uint32_t utf8_next(const char *s, size_t len, size_t *used);
bool utf8_valid(const char *s, size_t len, size_t *bad_at); /* bad_at may be NULL */
size_t utf8_put(char out[4], uint32_t cp);
size_t utf8_count(const char *s, size_t len); /* code points */
/* Adds s to b with invalid parts replaced. */
void utf8_repair(struct buf *b, const char *s, size_t len);
/* Python's str.isspace(): the rule that lm-evaluation-harness strips by. */
bool utf8_is_space(uint32_t cp);
/* Length of s without the white space at its end, as Python's rstrip() sees it. */
size_t utf8_stripped(const char *s, size_t len);

#endif
