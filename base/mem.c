/* mem.c: allocation that does not fail.
 *
 * The one idea: what a program of ours allocates in small pieces is not worth an error path at every call. When such
 * an allocation fails, one line goes to standard error and the process ends with 69 (something needed is not there).
 * That is safe at any instruction, because files are replaced whole and the registry commits in transactions.
 *
 * What the input sizes (tensors, arenas) goes through mem_try_aligned(), which gives NULL and is handled. Products of
 * sizes go through mem_mul(), which saturates: a saturated size is refused by every allocator here. */
#include "base/base.h"

#include <stdarg.h>
#include <unistd.h>

static _Noreturn void out_of_memory(size_t size)
{
	fprintf(stderr, "error: out of memory (%zu bytes asked for)\n", size);
	_exit(69);
}

/* malloc(0) may give NULL, and nothing above half the address space is a size. */
static void check_size(size_t size)
{
	if (size > PTRDIFF_MAX)
		out_of_memory(size);
}

void *mem_alloc(size_t size)
{
	void *p;

	check_size(size);
	p = calloc(1, size ? size : 1);
	if (!p)
		out_of_memory(size);
	return p;
}

void *mem_array(size_t count, size_t size)
{
	return mem_alloc(mem_mul(count, size));
}

void *mem_resize(void *p, size_t size)
{
	void *q;

	check_size(size);
	q = realloc(p, size ? size : 1);
	if (!q)
		out_of_memory(size);
	return q;
}

void *mem_copy(const void *p, size_t size)
{
	void *q;

	check_size(size);
	q = malloc(size ? size : 1);
	if (!q)
		out_of_memory(size);
	if (size)
		memcpy(q, p, size);
	return q;
}

char *mem_str(const char *s)
{
	return s ? mem_copy(s, strlen(s) + 1) : NULL;
}

char *mem_strn(const char *s, size_t n)
{
	char *p;

	check_size(n);
	p = mem_alloc(n + 1);
	if (n)
		memcpy(p, s, n);
	return p;
}

char *mem_join(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	char *joined = mem_alloc(n + m + 1);

	memcpy(joined, a, n);
	memcpy(joined + n, b, m + 1);
	return joined;
}

char *mem_printf(const char *fmt, ...)
{
	va_list args;
	char *p = NULL;
	int n;

	va_start(args, fmt);
	n = vasprintf(&p, fmt, args);
	va_end(args);
	if (n < 0)
		out_of_memory(0);
	return p;
}

void *mem_try_aligned(size_t size)
{
	void *p = NULL;

	if (size > PTRDIFF_MAX - 64)
		return NULL;
	/* whole lines of 64 bytes, so that a kernel may read the last one in full */
	size = (size + 63) & ~(size_t)63;
	if (posix_memalign(&p, 64, size ? size : 64))
		return NULL;
	memset(p, 0, size ? size : 64);
	return p;
}

size_t mem_mul(size_t a, size_t b)
{
	size_t product;

	return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}
