/* must.h: calls of the house's own functions in tests: one that must succeed, one that must fail with a code. Both tell
 * the error's text, without which a failed test says little. */
#ifndef TESTS_MUST_H
#define TESTS_MUST_H

#include <string.h>

#include "base/base.h"

/* A fixture's functions stand in headers, and no test uses them all. */
#define FIXTURE_UNUSED __attribute__((unused))

FIXTURE_UNUSED static void must(int rc)
{
	if (rc)
		fail_msg("%d: %s", rc, err_text());
}

#define assert_err(call, code)                                                                                         \
	do {                                                                                                           \
		int assert_rc = (call);                                                                                \
		if (assert_rc != (code))                                                                               \
			fail_msg("%s gave %d: %s", #call, assert_rc, err_text());                                      \
	} while (0)

FIXTURE_UNUSED static void assert_text_has(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("'%s' does not contain '%s'", text ? text : "(null)", part);
}

#endif
