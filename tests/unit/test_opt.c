/* test_opt.c: options of all kinds, their environment twins, and errors that name the fix. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

struct values {
	bool json, color;
	const char *device;
	int64_t limit;
	double ratio;
	struct opt_list set;
};

static int argc_left;
static char **argv_left;

/* Parses a line of words; what is left is in argc_left and argv_left. */
static int parse(struct values *v, const char *line, int min, int max)
{
	static char text[512], *argv[40];
	const struct opt opts[] = {
		OPT_FLAG('j', "json", &v->json, "print JSON"),
		OPT_FLAG('c', "color", &v->color, "with colours"),
		OPT_TEXT('d', "device", &v->device, "DEV", "auto, cpu or cuda[:N]"),
		OPT_INT('n', "limit", &v->limit, "N", "at most N"),
		OPT_REAL(0, "ratio", &v->ratio, "X", "a ratio"),
		OPT_LIST('s', "set", &v->set, "KEY=VALUE", "set a key"),
		{ OPT_KIND_TEXT, 0, "loosen", &v->device, "X", "loosens a gate", OPT_NO_ENV },
		OPT_END,
	};
	const struct opt_usage usage = { "test", "[FILE]", "a test", NULL, min, max };
	int n = 0;

	snprintf(text, sizeof(text), "%s", line);
	argv[n++] = (char *)(uintptr_t) "test";
	for (char *p = text, *word; (word = strsep(&p, " ")) != NULL;)
		if (*word)
			argv[n++] = word;
	argv[n] = NULL;
	argc_left = n;
	argv_left = argv;
	return opt_parse(&argc_left, &argv_left, opts, &usage);
}

static struct values defaults(void)
{
	return (struct values){ .color = true, .device = "auto", .limit = 5, .ratio = 0.5 };
}

static void test_opt_parse__all_kinds(void **state)
{
	struct values v = defaults();

	(void)state;
	assert_int_equal(
		parse(&v, "a --json --device=cpu b --limit 7 --ratio=2e-1 -s x=1 --set y=2 --no-color c", 0, -1), 0);
	assert_true(v.json);
	assert_false(v.color);
	assert_string_equal(v.device, "cpu");
	assert_int_equal(v.limit, 7);
	assert_true(v.ratio == 0.2);
	assert_int_equal(v.set.n, 2);
	assert_string_equal(v.set.items[0], "x=1");
	assert_string_equal(v.set.items[1], "y=2");
	assert_int_equal(argc_left, 3);
	assert_string_equal(argv_left[0], "a");
	assert_string_equal(argv_left[1], "b");
	assert_string_equal(argv_left[2], "c");
	assert_null(argv_left[3]);
	opt_list_release(&v.set);
}

static void test_opt_parse__letters(void **state)
{
	struct values v = defaults();

	(void)state;
	assert_int_equal(parse(&v, "-jn12 -d cuda:1 -", 0, 1), 0);
	assert_true(v.json);
	assert_int_equal(v.limit, 12);
	assert_string_equal(v.device, "cuda:1");
	assert_int_equal(argc_left, 1);
	assert_string_equal(argv_left[0], "-");
	assert_int_equal(parse(&v, "-n=3", 0, 1), 0);
	assert_int_equal(v.limit, 3);
	assert_int_equal(parse(&v, "-x", 0, 1), ERR_USAGE);
	assert_int_equal(parse(&v, "-n", 0, 1), ERR_USAGE);
}

static void test_opt_parse__dashes_end_the_options(void **state)
{
	struct values v = defaults();

	(void)state;
	assert_int_equal(parse(&v, "--json -- --device x", 0, 2), 0);
	assert_int_equal(argc_left, 2);
	assert_string_equal(argv_left[0], "--device");
	assert_string_equal(v.device, "auto");
}

static void expect_error(const char *line, const char *part)
{
	struct values v = defaults();

	assert_int_equal(parse(&v, line, 0, 1), ERR_USAGE);
	if (!strstr(err_text(), part))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), part);
	assert_non_null(strstr(err_fix(), "assay test --help"));
	opt_list_release(&v.set);
}

static void test_opt_parse__errors_name_the_fix(void **state)
{
	(void)state;
	expect_error("--devise cpu", "did you mean --device?");
	expect_error("--jsno", "did you mean --json?");
	expect_error("--no-colour", "did you mean --color?");
	expect_error("--zzzzzz", "unknown option --zzzzzz");
	expect_error("--device", "--device needs a value (DEV)");
	expect_error("--limit 3x", "not a whole number");
	expect_error("--limit=", "not a whole number");
	expect_error("--limit 99999999999999999999", "not a whole number");
	expect_error("--ratio nan", "not a number");
	expect_error("--ratio 1e999", "not a number");
	expect_error("--json=perhaps", "neither true nor false");
	expect_error("--no-json=1", "takes no value");
	expect_error("--no-device", "unknown option --no-device");
	expect_error("a b", "one operand too many: \"b\"");
}

static void test_opt_parse__operand_missing(void **state)
{
	struct values v = defaults();

	(void)state;
	assert_int_equal(parse(&v, "--json", 1, 1), ERR_USAGE);
	assert_non_null(strstr(err_text(), "[FILE]"));
}

static void test_opt_parse__environment_twins(void **state)
{
	struct values v = defaults();

	(void)state;
	setenv("ASSAY_DEVICE", "cuda", 1);
	setenv("ASSAY_JSON", "true", 1);
	setenv("ASSAY_COLOR", "0", 1);
	setenv("ASSAY_LIMIT", "", 1); /* empty is absent */
	setenv("ASSAY_SET", "k=v", 1);
	setenv("ASSAY_LOOSEN", "all", 1); /* must be typed */
	assert_int_equal(parse(&v, "", 0, 0), 0);
	assert_string_equal(v.device, "cuda");
	assert_true(v.json);
	assert_false(v.color);
	assert_int_equal(v.limit, 5);
	assert_int_equal(v.set.n, 1);
	opt_list_release(&v.set);
	/* what is typed wins */
	assert_int_equal(parse(&v, "--device cpu --no-json -s a=b", 0, 0), 0);
	assert_string_equal(v.device, "cpu");
	assert_false(v.json);
	assert_int_equal(v.set.n, 1);
	assert_string_equal(v.set.items[0], "a=b");
	opt_list_release(&v.set);
	setenv("ASSAY_LIMIT", "many", 1);
	assert_int_equal(parse(&v, "", 0, 0), ERR_USAGE);
	assert_non_null(strstr(err_text(), "ASSAY_LIMIT"));
	opt_list_release(&v.set);
	unsetenv("ASSAY_DEVICE");
	unsetenv("ASSAY_JSON");
	unsetenv("ASSAY_COLOR");
	unsetenv("ASSAY_LIMIT");
	unsetenv("ASSAY_SET");
	unsetenv("ASSAY_LOOSEN");
}

static void test_opt_parse__help_is_the_table(void **state)
{
	FILE *f = tmpfile();
	int saved = dup(STDOUT_FILENO), rc;
	struct values v = defaults();
	char text[4096];
	size_t n;

	(void)state;
	assert_non_null(f);
	fflush(stdout);
	dup2(fileno(f), STDOUT_FILENO);
	rc = parse(&v, "--help --nonsense", 0, 0);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_int_equal(rc, OPT_HELPED);
	assert_non_null(strstr(text, "usage: assay test [OPTION]"));
	assert_non_null(strstr(text, "  -j, --json                print JSON\n"));
	assert_non_null(strstr(text, "--no-color"));
	assert_non_null(strstr(text, "  -n, --limit N             at most N\n"));
	assert_non_null(strstr(text, "Not so --loosen"));
	for (char *p = text, *line; (line = strsep(&p, "\n")) != NULL;)
		assert_true(utf8_count(line, strlen(line)) <= 80);
}

static void test_opt_nearest__near_but_not_far(void **state)
{
	static const char *const known[] = { "learning_rate", "rank", "epochs", "seed", "batch_tokens" };

	(void)state;
	assert_string_equal(opt_nearest("lerning_rate", known, 5), "learning_rate");
	assert_string_equal(opt_nearest("learning-rate", known, 5), "learning_rate");
	assert_string_equal(opt_nearest("epoch", known, 5), "epochs");
	assert_string_equal(opt_nearest("sede", known, 5), "seed"); /* two letters swapped */
	assert_string_equal(opt_nearest("batch", known, 5), "batch_tokens");
	assert_null(opt_nearest("zebra", known, 5));
	assert_null(opt_nearest("", known, 5));
	assert_null(opt_nearest("x", known, 5));
	assert_null(opt_nearest("rank", known, 0));
	/* longer than is compared */
	assert_null(opt_nearest(
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", known, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opt_parse__all_kinds),
		cmocka_unit_test(test_opt_parse__letters),
		cmocka_unit_test(test_opt_parse__dashes_end_the_options),
		cmocka_unit_test(test_opt_parse__errors_name_the_fix),
		cmocka_unit_test(test_opt_parse__operand_missing),
		cmocka_unit_test(test_opt_parse__environment_twins),
		cmocka_unit_test(test_opt_parse__help_is_the_table),
		cmocka_unit_test(test_opt_nearest__near_but_not_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
