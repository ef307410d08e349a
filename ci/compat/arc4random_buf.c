/* arc4random_buf.c: one function of the C library that is younger than the oldest system the tarball is for.
 *
 * libarchive asks glibc 2.36 for it, and Ubuntu 22.04 has 2.35. ci/dist links this beside a static libarchive, so that the
 * binary asks for nothing younger; no other build has it. As OpenBSD's: LEN random bytes at TO, and it cannot fail.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void arc4random_buf(void *to, size_t len);

void arc4random_buf(void *to, size_t len)
{
	char *at = to;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		at += n;
		len -= (size_t)n;
	}
}
