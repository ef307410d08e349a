/* git_library.c: libgit2's start, without the certificates that it never needs here.
 *
 * When it starts, a libgit2 that was built with mbed TLS reads and parses all certificate authorities that the machine trusts, for
 * connections that assay never asks it for: servers are git's or libcurl's business. That is 4 ms, a third of what a short command
 * takes, and there is no option against it. So the program has a function of the name that libgit2 calls for it, which the
 * loader finds before mbed TLS's own: while libgit2 starts it says that the file cannot be read; at any other time, to whoever
 * else in the process may call it (a libcurl over mbed TLS), it is the real one. A libgit2 over OpenSSL never calls it. */
#include "base/base.h"
#include "runner/git_library.h"

#include <dlfcn.h>
#include <git2.h>

enum { NOT_READ = -0x3E00 /* MBEDTLS_ERR_PK_FILE_IO_ERROR */ };

static _Thread_local bool starting;

int mbedtls_x509_crt_parse_file(void *chain, const char *path); /* its header is not wanted for the build */

int mbedtls_x509_crt_parse_file(void *chain, const char *path)
{
	void *found = starting ? NULL : dlsym(RTLD_NEXT, "mbedtls_x509_crt_parse_file");
	int (*real)(void *chain, const char *path) = NULL;

	memcpy(&real, &found, sizeof(found));
	return real ? real(chain, path) : NOT_READ;
}

void git_library_start(void)
{
	starting = true;
	git_libgit2_init();
	starting = false;
}

void git_library_stop(void)
{
	git_libgit2_shutdown();
}
