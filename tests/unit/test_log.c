/* test_log.c: levels, and text from strangers that must not move a cursor or speak to a forge. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

/* What a function writes to a stream, as text. */
static char *safe(const char *s, size_t len)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	log_safe(f, s, len);
	fclose(f);
	return text;
}

static void expect_safe(const char *s, size_t len, const char *want)
{
	char *text = safe(s, len);

	assert_string_equal(text, want);
	free(text);
}

#define SAFE(s, want) expect_safe(s, sizeof(s) - 1, want)

static void test_log_safe__escapes_what_terminals_obey(void **state)
{
	(void)state;
	SAFE("plain \xc3\xa9 \xe2\x82\xac\ttab\nline", "plain \xc3\xa9 \xe2\x82\xac\ttab\nline");
	SAFE("\x1b[31mred", "\\x1b[31mred");
	SAFE("a\rb\b\x7f", "a\\x0db\\x08\\x7f");
	SAFE("a\0b", "a\\x00b");
	SAFE("\xc2\x9b"
	     "31m",
	     "\\x9b31m"); /* CSI as a C1 control */
	SAFE("\xc2\x85", "\\x85");
	SAFE("\x9b\xff", "\\x9b\\xff"); /* raw bytes */
}

static void test_log_safe__escapes_what_reorders(void **state)
{
	(void)state;
	SAFE("a\xe2\x80\xae"
	     "b",
	     "a\\u202eb");
	SAFE("\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xd8\x9c", "\\u2066\\u2069\\u200e\\u061c");
	SAFE("\xe2\x80\xa8", "\\u2028");
}

static void test_log_safe__speaks_to_no_forge(void **state)
{
	(void)state;
	SAFE("::set-env name=X::y", "\\x3a:set-env name=X::y");
	SAFE("ok\n  ::error::x", "ok\n  \\x3a:error::x");
	SAFE("a ##[error]x", "a \\x23#[error]x");
	SAFE("std::vector a::b", "std::vector a::b");
}

/* Standard error into a file for a moment. */
static char *captured(void (*speak)(void))
{
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);
	char text[4096];
	size_t n;

	assert_non_null(f);
	fflush(stderr);
	dup2(fileno(f), STDERR_FILENO);
	speak();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	return mem_strn(text, n);
}

static void speak_all(void)
{
	log_error("e %d", 1);
	log_warn("w\x1b");
	log_info("i");
	log_debug("d");
}

static void test_log__levels_choose(void **state)
{
	static const struct {
		enum log_level level;
		const char *want;
	} cases[] = { { LOG_QUIET, "error: e 1\n" },
		      { LOG_WARN, "error: e 1\nwarning: w\\x1b\n" },
		      { LOG_INFO, "error: e 1\nwarning: w\\x1b\ni\n" },
		      { LOG_DEBUG, "error: e 1\nwarning: w\\x1b\ni\ndebug: d\n" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text;

		log_set_level(cases[i].level);
		assert_int_equal(log_level(), cases[i].level);
		text = captured(speak_all);
		assert_string_equal(text, cases[i].want); /* a file is no terminal: no colours */
		free(text);
	}
	log_set_level(LOG_INFO);
}

static bool coloured;

static void ask_colour(void)
{
	coloured = log_has_colour() || log_is_terminal();
}

static void test_log_has_colour__not_in_a_file(void **state)
{
	(void)state;
	coloured = true;
	free(captured(ask_colour));
	assert_false(coloured);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_safe__escapes_what_terminals_obey),
		cmocka_unit_test(test_log_safe__escapes_what_reorders),
		cmocka_unit_test(test_log_safe__speaks_to_no_forge),
		cmocka_unit_test(test_log__levels_choose),
		cmocka_unit_test(test_log_has_colour__not_in_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
