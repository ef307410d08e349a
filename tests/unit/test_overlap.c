/* test_overlap.c: which questions stand in the training data: exact, by 13 words in a row, and what does not count. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals_fake.h"

#define LONG_DOC "One two, three four five six seven eight nine ten eleven twelve thirteen fourteen."

static int add(struct overlap *o, const char *task, const char *id, const char *question)
{
	return overlap_add(o, "s", &(struct suite_text){ task, id, question, "" });
}

static void scan_line(struct overlap *o, const char *text, size_t line)
{
	json_t *v = NULL;

	assert_int_equal(json_parse(&v, text, strlen(text), "test"), 0);
	overlap_scan_example(o, v, "train.jsonl", line);
	json_decref(v);
}

/* One document against one line of training data: "exact ngram documents". */
static char *one(const char *doc, const char *line)
{
	struct overlap *o = overlap_new();
	json_t *rows, *row;
	char *out;

	assert_int_equal(add(o, "t", "d", doc), 0);
	scan_line(o, line, 3);
	rows = overlap_json(o);
	row = json_array_get(rows, 0);
	assert_int_equal(json_get_int(row, "n", 0), 1);
	out = mem_printf("%lld %lld %lld", (long long)json_get_int(row, "exact", -1),
			 (long long)json_get_int(row, "ngram", -1), (long long)json_get_int(row, "documents", -1));
	json_decref(rows);
	overlap_free(o);
	return out;
}

static void expect(const char *doc, const char *line, const char *want)
{
	char *got = one(doc, line);

	if (strcmp(got, want))
		fail_msg("\"%s\" in %s: %s, not %s", doc, line, got, want);
	free(got);
}

static void test_overlap__whole_documents_in_every_form_of_data(void **state)
{
	(void)state;
	expect("2 March 2024\n 2024-03-02", "{\"prompt\":\"2 March 2024\\n\",\"completion\":\"2024-03-02\"}", "1 0 1");
	expect("Sky?  blue", "{\"text\":\"sky: BLUE!\"}", "1 0 1");
	expect("sky? blue",
	       "{\"messages\":[{\"role\":\"user\",\"content\":\"sky?\"},{\"role\":\"assistant\",\"content\":\"blue\"}]"
	       "}",
	       "1 0 1");
	expect("sky? blue",
	       "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\"sky?\"},"
	       "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"blue\"}]},"
	       "{\"role\":\"user\",\"content\":\"more\"},{\"role\":\"assistant\",\"content\":\"no\"}]}",
	       "1 0 1");
	expect("sky? blue", "{\"prompt\":\"sky?\",\"chosen\":\"green\",\"rejected\":\"blue\"}", "1 0 1");
	expect("sky? blue",
	       "{\"prompt\":[{\"role\":\"user\",\"content\":\"sky?\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":"
	       "\"blue\"}],"
	       "\"rejected\":[{\"role\":\"assistant\",\"content\":\"red\"}]}",
	       "1 0 1");
	expect("sky? blue", "{\"q\":\"Sky\",\"a\":{\"b\":[\"blue\",1]}}", "1 0 1");
}

static void test_overlap__what_is_not_the_whole_is_not_exact(void **state)
{
	(void)state;
	expect("1+11=12", "{\"prompt\":\"11+1=\",\"completion\":\"12\"}", "0 0 0");
	expect("1+2=3", "{\"text\":\"1+2=3, 2+2=4\"}", "0 0 0");
	expect("blue", "{\"prompt\":\"sky?\",\"completion\":\"blue\"}", "0 0 0");
	expect("???", "{\"text\":\"!\"}", "0 0 0");
	expect("", "{\"text\":\"x\"}", "0 0 0");
	expect("one two three four five six seven eight nine ten eleven twelve",
	       "{\"text\":\"zero one two three four five six seven eight nine ten eleven twelve\"}", "0 0 0");
}

static void test_overlap__no_word_crosses_from_question_to_answer(void **state)
{
	struct overlap *o = overlap_new();
	json_t *rows;

	(void)state;
	assert_int_equal(overlap_add(o, "s", &(struct suite_text){ "t", "d", "how many?", "6" }), 0);
	scan_line(o, "{\"prompt\":\"How many\",\"completion\":\"6\"}", 1);
	rows = overlap_json(o);
	assert_int_equal(json_get_int(json_array_get(rows, 0), "exact", 0), 1);
	json_decref(rows);
	overlap_free(o);
}

static void test_overlap__thirteen_words_in_a_row(void **state)
{
	(void)state;
	expect(LONG_DOC,
	       "{\"text\":\"and ONE two three -- four five six seven. eight nine ten eleven twelve thirteen or so\"}",
	       "0 1 1"); /* a word of punctuation alone is none */
	expect(LONG_DOC,
	       "{\"text\":\"and ONE two three four five six seven. eight nine ten eleven twelve thirteen or so\"}",
	       "0 1 1");
	expect(LONG_DOC, "{\"text\":\"two three four five six seven eight nine ten eleven twelve thirteen\"}", "0 0 0");
	expect(LONG_DOC, "{\"text\":\"" LONG_DOC "\"}", "1 1 1");
	expect(LONG_DOC,
	       "{\"prompt\":\"one two three four five six\",\"completion\":\"seven eight nine ten eleven twelve "
	       "thirteen\"}",
	       "0 1 1");
	expect(LONG_DOC,
	       "{\"text\":\"one\\u00a0two three\\u2003four five six\\n\\n seven eight nine ten eleven twelve "
	       "thirteen\"}",
	       "0 1 1");
}

/* Frames: what the documents of a task share is the prompt's, however often the data has it. */
static void test_overlap__the_frame_of_the_prompt_does_not_count(void **state)
{
	struct overlap *o = overlap_new();
	json_t *rows, *row;

	(void)state;
	for (int i = 0; i < 40; i++) {
		char *doc =
			mem_printf("Read the sentence and say which of the months of the year it names, please. %d", i);
		char *id = mem_printf("m%d", i);

		assert_int_equal(add(o, i < 20 ? "months" : "few", id, doc), 0);
		free(doc);
		free(id);
	}
	assert_int_equal(add(o, "few", "own", LONG_DOC), 0);
	scan_line(o,
		  "{\"prompt\":\"Read the sentence and say which of the months of the year it names, "
		  "please.\",\"completion\":\"7\"}",
		  1);
	scan_line(o, "{\"text\":\"" LONG_DOC "\"}", 2);
	rows = overlap_json(o);
	assert_int_equal(json_array_size(rows), 2);
	row = json_array_get(rows, 0);
	assert_string_equal(json_get_text(row, "task", ""), "months");
	assert_int_equal(json_get_int(row, "documents", -1),
			 1); /* with its number it is the whole of m7, and its own gram */
	assert_int_equal(json_get_int(row, "exact", -1), 1);
	row = json_array_get(rows, 1);
	assert_int_equal(json_get_int(row, "n", -1), 21);
	assert_int_equal(json_get_int(row, "documents", -1), 1);
	row = json_array_get(json_object_get(row, "examples"), 0);
	assert_string_equal(json_get_text(row, "id", ""), "own");
	assert_string_equal(json_get_text(row, "how", ""), "exact");
	assert_string_equal(json_get_text(row, "where", ""), "train.jsonl:2");
	json_decref(rows);
	overlap_free(o);
}

static void test_overlap__examples_are_bounded_and_twins_count_both(void **state)
{
	struct overlap *o = overlap_new();
	json_t *rows, *again;

	(void)state;
	for (int i = 0; i < 9; i++) {
		char *id = mem_printf("%d", i);

		assert_int_equal(add(o, "t", id, "same words"), 0);
		free(id);
	}
	scan_line(o, "{\"text\":\"Same words.\"}", 1);
	scan_line(o, "{\"text\":\"Same words.\"}", 2);
	rows = overlap_json(o);
	assert_int_equal(json_get_int(json_array_get(rows, 0), "exact", 0), 9);
	assert_int_equal(json_array_size(json_object_get(json_array_get(rows, 0), "examples")), 5);
	again = overlap_json(o);
	assert_true(json_equal(rows, again));
	json_decref(rows);
	json_decref(again);
	overlap_free(o);
}

/* Against the plain way: all n-grams of both sides as texts. */
static void test_overlap__agrees_with_comparing_everything(void **state)
{
	enum { DOCS = 60, LINES = 60, WORDS = 24, VOCABULARY = 3 };
	struct overlap *o = overlap_new();
	static char docs[DOCS][WORDS * 2 + 1], lines[LINES][WORDS * 2 + 1];
	struct rng r;
	json_t *rows;
	size_t want = 0;

	(void)state;
	rng_seed(&r, 7, 1);
	for (int i = 0; i < DOCS + LINES; i++) {
		char *p = i < DOCS ? docs[i] : lines[i - DOCS];

		if (i >= DOCS && i % 4 == 0) { /* a window of a document */
			size_t from = rng_below(&r, WORDS - 13);

			snprintf(p, WORDS * 2, "%.*s", 13 * 2 - (int)(i % 8 == 0 ? 2 : 0), docs[i - DOCS] + from * 2);
			continue;
		}
		for (int k = 0; k < WORDS; k++) {
			p[2 * k] = (char)('a' + rng_below(&r, VOCABULARY));
			p[2 * k + 1] = ' ';
		}
	}
	for (int d = 0; d < DOCS; d++) {
		char id[16];
		bool hit = false;

		snprintf(id, sizeof(id), "%d", d);
		assert_int_equal(add(o, "t", id, docs[d]), 0);
		for (int l = 0; l < LINES; l++)
			for (int at = 0; at + 13 <= WORDS; at++) {
				char gram[26];

				snprintf(gram, sizeof(gram), "%.25s", docs[d] + 2 * at);
				hit |= strstr(lines[l], gram) != NULL;
			}
		want += hit;
	}
	for (int l = 0; l < LINES; l++)
		overlap_scan_text(o, lines[l], strlen(lines[l]), "plain.txt", 0);
	rows = overlap_json(o);
	assert_true(want > 3 && want < DOCS);
	assert_int_equal(json_get_int(json_array_get(rows, 0), "ngram", 0), want);
	assert_string_equal(
		json_get_text(json_array_get(json_object_get(json_array_get(rows, 0), "examples"), 0), "where", ""),
		"plain.txt");
	json_decref(rows);
	overlap_free(o);
}

static void test_overlap__a_suite_is_question_and_right_answer(void **state)
{
	static const char task[] = "task: colours\ndataset_path: json\ndataset_kwargs: {data_files: {test: c.jsonl}}\n"
				   "test_split: test\noutput_type: multiple_choice\ndoc_to_text: \"{{q}}\\nAnswer:\"\n"
				   "doc_to_choice: choices\ndoc_to_target: label\n";
	static const char data[] = "{\"id\":\"a\",\"q\":\"sky?\",\"choices\":[\"blue\",\"green\"],\"label\":0}\n"
				   "{\"id\":\"b\",\"q\":\"grass?\",\"choices\":[\"blue\",\"green\"],\"label\":1}\n";
	struct overlap *o = overlap_new();
	struct suite *s;
	json_t *rows;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", task }, { "c.jsonl", data }), 0);
	assert_int_equal(overlap_add_suite(o, s), 0);
	scan_line(o, "{\"prompt\":\"Sky?\\nAnswer:\",\"completion\":\" blue\"}", 1);
	scan_line(o, "{\"prompt\":\"Grass?\\nAnswer:\",\"completion\":\" blue\"}", 2);
	rows = overlap_json(o);
	assert_int_equal(json_get_int(json_array_get(rows, 0), "n", 0), 2);
	assert_int_equal(json_get_int(json_array_get(rows, 0), "exact", 0), 1);
	assert_string_equal(
		json_get_text(json_array_get(json_object_get(json_array_get(rows, 0), "examples"), 0), "id", ""), "a");
	json_decref(rows);
	overlap_free(o);
	suite_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap__whole_documents_in_every_form_of_data),
		cmocka_unit_test(test_overlap__what_is_not_the_whole_is_not_exact),
		cmocka_unit_test(test_overlap__no_word_crosses_from_question_to_answer),
		cmocka_unit_test(test_overlap__thirteen_words_in_a_row),
		cmocka_unit_test(test_overlap__the_frame_of_the_prompt_does_not_count),
		cmocka_unit_test(test_overlap__examples_are_bounded_and_twins_count_both),
		cmocka_unit_test(test_overlap__agrees_with_comparing_everything),
		cmocka_unit_test(test_overlap__a_suite_is_question_and_right_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
