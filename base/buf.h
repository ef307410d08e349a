/* buf.h: bytes that grow, with a ceiling given at birth, so that no input grows memory without end.
 *
 * A buffer is always terminated by a NUL that is not counted. Adding beyond the ceiling does nothing but mark the
 * buffer as full: check buf_full() once at the end instead of every call. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

struct buf {
	char *data;
	size_t len, cap, max;
	bool full;
};

#define BUF_NOLIMIT ((size_t)1 << 40)
/* clang-format off */
#define BUF_INIT(limit) { NULL, 0, 0, (limit), false }
/* clang-format on */

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
void buf_clear(struct buf *b); /* length 0, memory kept */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
char *buf_space(struct buf *b, size_t len); /* len bytes more, yours to fill at once; NULL: the buffer is full */
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool buf_full(const struct buf *b);
const char *buf_str(const struct buf *b); /* "" for an empty one; borrowed */
char *buf_take(struct buf *b);            /* yours; the buffer is empty afterwards */

#endif
