/* mem.h: allocation that does not fail, growth of arrays, checked products. See the memory law in base.h. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

void *mem_alloc(size_t size);               /* zeroed */
void *mem_array(size_t count, size_t size); /* zeroed; the product is checked */
void *mem_resize(void *p, size_t size);
void *mem_copy(const void *p, size_t size);
char *mem_str(const char *s);                 /* NULL gives NULL */
char *mem_strn(const char *s, size_t n);      /* always terminated */
char *mem_join(const char *a, const char *b); /* b behind a */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Zeroed memory on a 64-byte border, or NULL: for what the input sizes. Free with free(). */
void *mem_try_aligned(size_t size);
/* a * b, or SIZE_MAX if that does not fit. */
size_t mem_mul(size_t a, size_t b);

/* Room for one more element: MEM_GROW(items, n, cap); items[n++] = x; */
#define MEM_GROW(ptr, len, cap)                                                                                        \
	do {                                                                                                           \
		if ((len) >= (cap)) {                                                                                  \
			(cap) = (cap) ? (cap)*2 : 16;                                                                  \
			(ptr) = mem_resize((ptr), mem_mul((size_t)(cap), sizeof(*(ptr))));                             \
		}                                                                                                      \
	} while (0)

#endif
