/* remote_home.h: a location for a server on 127.0.0.1, as a user writes it down, for the tests of what is asked there. */
#ifndef TESTS_UNIT_REMOTE_HOME_H
#define TESTS_UNIT_REMOTE_HOME_H

#include "loopback.h"
#include "must.h"
#include "runner/location.h"
#include "runner/remote.h"

#define SECRET "s3cret-of-the-test"

static char *home;

FIXTURE_UNUSED static int setup(void **state)
{
	(void)state;
	setenv("TEST_REMOTE_KEY", SECRET, 1);
	return fs_temp_dir(&home, "/tmp", "assay-remote-");
}

FIXTURE_UNUSED static int teardown(void **state)
{
	(void)state;
	fs_remove_tree(home);
	free(home);
	return 0;
}

FIXTURE_UNUSED static void watch_nothing(size_t n, void *arg)
{
	(void)n, (void)arg;
}
FIXTURE_UNUSED static const struct scorer_watch no_watch = { watch_nothing, NULL };

/* The location of this server, by its file, as a user has it. */
FIXTURE_UNUSED static struct location located(const struct loopback *s, const char *more)
{
	char *path = path_join(home, "config.yaml"),
	     *text = mem_printf(
		     "locations:\n  other: {url: http://x/v1, model: y}\n  here:\n    url: http://127.0.0.1:%d/v1/\n"
		     "    model: org/m\n    key: TEST_REMOTE_KEY\n%s",
		     s->port, more);
	struct location l;

	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	if (location_read(&l, home, "here"))
		fail_msg("%s", err_text());
	free(path);
	free(text);
	return l;
}

#endif
