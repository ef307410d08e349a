/* test_hub_card.c: which files of a data set its README.md gives. What the datasets library says of many more:
 * tests/reference/check_datasets.py. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/evals_int.h"
#include "tests/unit/evals_fake.h"

#define ROW(id) "{\"id\":" #id ",\"q\":\"x\",\"a\":\"y\"}\n"

/* "1,2,": the ids of what the task asks; else the error, in front of it a '!'. */
static char *asked(const char *card, const char *task)
{
	char *own = mem_printf(
		"task: t\ndataset_path: org/set\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n%s",
		task);
	struct buf ids = BUF_INIT(1000);
	struct suite *s = NULL;
	int rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", own }, { "org/set/README.md", card },
			   { "org/set/easy/test-00001-of-00002.jsonl", ROW(2) },
			   { "org/set/easy/test-00000-of-00002.jsonl", ROW(1) }, { "org/set/hard/test.jsonl", ROW(3) },
			   { "org/set/hard/deep/train.jsonl", ROW(4) }, { "org/set/all.csv", "id;q;a\n5;x;y\n" },
			   { "org/set/one.json", "{\"rows\":[{\"id\":6,\"q\":\"x\",\"a\":\"y\"}]}" });

	if (rc)
		buf_addf(&ids, "!%s", err_text());
	for (size_t i = 0; !rc && i < suite_task(s, 0)->eval.n; i++)
		buf_addf(&ids, "%s,", suite_task(s, 0)->eval.docs[i].id);
	suite_free(s);
	free(own);
	return buf_take(&ids);
}

static void gives(const char *card, const char *task, const char *want)
{
	char *got = asked(card, task);

	if (*want == '!' ? !strstr(got, want + 1) : strcmp(got, want) != 0)
		fail_msg("%s\n%s: \"%s\" instead of \"%s\"", card, task, got, want);
	free(got);
}

#define TEST_SPLIT "test_split: test\n"
#define EASY "dataset_name: easy\ntest_split: test\n"
#define HARD "dataset_name: hard\ntest_split: test\n"

static void test_hub_card__files_of_a_configuration(void **state)
{
	static const char card[] = "---\nlicense: mit\nconfigs:\n- config_name: easy\n  data_files:\n  - split: test\n "
				   "   path: easy/test-*\n"
				   "- config_name: hard\n  default: true\n  data_files:\n  - {split: test, path: "
				   "[hard/test.jsonl, easy/*]}\n"
				   "  - {split: train, path: 'hard/**'}\n"
				   "- config_name: plain\n  data_files: ['**/deep/*.jsonl']\n---\n# A data set\n";

	(void)state;
	gives(card, EASY, "1,2,");
	gives(card, HARD, "3,1,2,"); /* in the order of the list */
	gives(card, TEST_SPLIT, "3,1,2,");
	gives(card, "dataset_name: hard\ntest_split: train\n", "4,3,");
	gives(card, "dataset_name: plain\ntest_split: train\n", "4,");
	gives(card, "dataset_name: plain\ntest_split: test\n",
	      "!t.yaml:7:1: there is no split \"test\" in org/set/README.md "
	      "(there is: train)");
	gives(card, "dataset_name: hard\ntest_split: dev\n", "!(there is: test, train)");
	gives(card, "dataset_name: soft\ntest_split: test\n",
	      "!t.yaml:6:1: the data set has no configuration \"soft\" (there is: easy, hard, plain)");
}

static void test_hub_card__how_rows_are_read(void **state)
{
	(void)state;
	gives("---\nconfigs:\n- {config_name: easy, sep: ';', data_files: [{split: test, path: all.csv}]}\n---\n", EASY,
	      "5,");
	gives("---\nconfigs:\n- {config_name: easy, delimiter: ';', data_files: [{split: test, path: all.csv}]}\n---\n",
	      EASY, "5,");
	gives("---\nconfigs:\n- {config_name: easy, field: rows, data_files: [{split: test, path: one.json}]}\n---\n",
	      EASY, "6,");
	/* the splits of a folder, by their names */
	gives("---\nconfigs:\n- {config_name: x, data_dir: hard}\n---\n", TEST_SPLIT, "3,");
	gives("---\nconfigs:\n- {config_name: x, data_dir: hard, data_files: [{split: test, path: '*'}]}\n---\n",
	      TEST_SPLIT, "3,");
}

/* No list: the files tell by their names, as without a card. */
static void test_hub_card__others_decide_nothing(void **state)
{
	static const char *const cards[] = {
		"",    "# A data set\n",   "---\nlicense: mit\n---\n",  "---\nconfigs:\n---\n",
		"---", "--- \nconfigs: [", "---\nno end\nconfigs: 1\n", "---\n---\n"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cards); i++) {
		gives(cards[i], EASY, "1,2,");
		gives(cards[i], HARD, "3,");
	}
}

static void test_hub_card__refuses(void **state)
{
	static const struct {
		const char *configs, *why;
	} cases[] = {
		{ "{a: 1}", "org/set/README.md:2:1" },
		{ "[easy]", "README.md:2:1: entry 1 has no config_name" },
		{ "[{data_files: x}]", "entry 1 has no config_name" },
		{ "[{config_name: a}, {config_name: b}]", "of which dataset_name must name one: a, b" },
		{ "[{config_name: default}, {config_name: b, default: true}]",
		  "two configurations are the default: default and b" },
		{ "[{config_name: a, skiprows: 1, data_files: x}]", "skiprows" },
		{ "[{config_name: a, sep: ';;', data_files: x}]", "the separator must be one of" },
		{ "[{config_name: a, data_files: 7}]", "a path, a list of paths, or a list of {split, path}" },
		{ "[{config_name: a, data_files: [{split: test, path: 7}]}]", "a path, a list of paths" },
		{ "[{config_name: a, data_files: [{split: test}]}]", "entry 1 is not {split, path}" },
		{ "[{config_name: a, data_files: [{split: test, path: x.jsonl}]}]",
		  "there is no file org/set/x.jsonl" },
		{ "[{config_name: a, data_files: [{split: test, path: ../../t.yaml}]}]", "there is no file" },
		{ "[{config_name: a, data_files: [{split: test, path: x*}]}]",
		  "no file is what the split \"test\" names" },
		{ "[{config_name: a, data_files: [{split: test, path: '**.jsonl'}]}]", "** stands for whole folders" },
		{ "[{config_name: a, data_files: [{split: test, path: '**'}]}]", "a split of two formats" },
		{ "[{config_name: a, data_files: [{split: test, path: all.csv}, {split: test, path: all.csv}]}]",
		  "the split \"test\" is there twice" },
		{ "[{config_name: a, data_dir: ../x, data_files: [{split: test, path: y}]}]", "there is no file" },
		{ "[{config_name: a, data_dir: ../../x}]", "" },
		{ "[", "README.md" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *card = mem_printf("---\nconfigs: %s\n---\n", cases[i].configs),
		     *why = mem_printf("!%s", cases[i].why);

		gives(card, TEST_SPLIT, why);
		free(card);
		free(why);
	}
}

static void test_hub_card__patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool fits;
	} cases[] = {
		{ "*", "a", true },
		{ "*", "a/b", false },
		{ "**", "a/b", true },
		{ "**", "a", true },
		{ "**/a", "a", true },
		{ "**/a", "x/y/a", true },
		{ "**/a", "x/a/y", false },
		{ "x/**", "x/a", true },
		{ "x/**", "x", false },
		{ "x/**/a", "x/a", true },
		{ "x/**/a", "x/y/z/a", true },
		{ "x/*/a", "x/a", false },
		{ "a?", "ab", true },
		{ "a[0-9]", "a7", true },
		{ "a[!0-9]", "a7", false },
		{ "*", ".a", false },
		{ ".*", ".a", true },
		{ "**", ".x/a", false },
		{ ".x/*", ".x/a", true },
		{ "*/a", "__x/a", false },
		{ "__*/a", "__x/a", true },
		{ "**/a", "__x/a", false },
		{ "*", "__a", true },
		{ "*", "README.md", false },
		{ "README.md", "README.md", true },
		{ "**/**/**/**/**/a", "a/a/a/a/a/a/a/b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (data_glob_matches(cases[i].pattern, cases[i].path) != cases[i].fits)
			fail_msg("%s, %s", cases[i].pattern, cases[i].path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hub_card__files_of_a_configuration),
		cmocka_unit_test(test_hub_card__how_rows_are_read),
		cmocka_unit_test(test_hub_card__others_decide_nothing),
		cmocka_unit_test(test_hub_card__refuses),
		cmocka_unit_test(test_hub_card__patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
