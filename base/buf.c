/* buf.c: bytes that grow up to a ceiling.
 *
 * Invariants: data is NULL or has room for cap bytes and one NUL more; data[len] is that NUL; len <= max always. What
 * does not fit is not added at all (no half pieces), and the buffer is full from then on: later pieces are refused
 * too, even if they would fit, so that a text never has a hole in its middle. buf_clear() makes it usable again. */
#include "base/base.h"

#include <stdarg.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

void buf_release(struct buf *b)
{
	size_t max = b->max;

	free(b->data);
	buf_init(b, max);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->full = false;
	if (b->data)
		b->data[0] = '\0';
}

/* Makes room for len bytes more; false if the ceiling is in the way. */
static bool buf_room(struct buf *b, size_t len)
{
	size_t cap;

	if (b->full || len > b->max || b->len > b->max - len) {
		b->full = true;
		return false;
	}
	if (b->data && len <= b->cap - b->len)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap - b->len < len)
		cap *= 2;
	b->data = mem_resize(b->data, cap + 1);
	b->cap = cap;
	return true;
}

char *buf_space(struct buf *b, size_t len)
{
	char *space;

	if (!buf_room(b, len))
		return NULL;
	space = b->data + b->len;
	space[len] = '\0';
	b->len += len;
	return space;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	char *space = buf_space(b, len);

	if (space && len)
		memcpy(space, data, len);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (n < 0) {
		b->full = true;
		return;
	}
	if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
		return;
	}
	text = mem_alloc((size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, args);
	va_end(args);
	buf_add(b, text, (size_t)n);
	free(text);
}

bool buf_full(const struct buf *b)
{
	return b->full;
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
	char *data = b->data ? b->data : mem_strn("", 0);
	size_t max = b->max;

	buf_init(b, max);
	return data;
}
