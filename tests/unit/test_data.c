/* test_data.c: the three forms of a training line, what counts in each, and the errors a line can have. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model_int.h"

static struct tokenizer *tok;
static int eos;

static int set_up(void **state)
{
	(void)state;
	if (tokenizer_load(&tok, "tests/golden/llama"))
		return -1;
	eos = tokenizer_id(tok, "<|end|>");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tokenizer_free(tok);
	return 0;
}

static int add(struct train_data *d, const char *template, const char *text)
{
	return train_data_add(d, tok, template, eos, text, strlen(text), "train.jsonl", 0, NULL);
}

/* The text of the tokens that count (or do not). */
static char *text_where(const struct train_example *e, bool counts)
{
	struct buf b = BUF_INIT(1 << 16);

	for (int i = 0; i < e->n; i++)
		if (e->counts[i] == counts)
			tokenizer_decode(tok, &b, &e->ids[i], 1, false);
	return b.data ? buf_take(&b) : mem_str("");
}

static void expect(const struct train_example *e, const char *plain, const char *counted)
{
	char *a = text_where(e, false), *b = text_where(e, true);

	assert_string_equal(a, plain);
	assert_string_equal(b, counted);
	free(a);
	free(b);
}

static void test_train_data_add__text_counts_but_the_first(void **state)
{
	struct train_data d = { 0 };

	(void)state;
	assert_int_equal(add(&d, NULL, "{\"text\":\"the cat sat\"}\n\n{\"text\":\"the dog\",\"id\":7}"), 0);
	assert_int_equal(d.n, 2);
	expect(&d.examples[0], "the", " cat sat<|end|>");
	expect(&d.examples[1], "the", " dog<|end|>");
	train_data_release(&d);
	assert_int_equal(d.n, 0);
}

static void test_train_data_add__pair_counts_the_completion(void **state)
{
	struct train_data d = { 0 };

	(void)state;
	/* apart, "the c" + "at" are other tokens than "the cat" in one piece; the border is where the prompt ends */
	assert_int_equal(
		add(&d, NULL,
		    "{\"prompt\":\"the c\",\"completion\":\"at\"}\n{\"prompt\":\"\",\"completion\":\"the cat\"}"),
		0);
	expect(&d.examples[0], "the c", "at<|end|>");
	expect(&d.examples[1], "the", " cat<|end|>");
	train_data_release(&d);
	assert_int_equal(train_data_add(&d, tok, NULL, -1, "{\"prompt\":\"x\",\"completion\":\"y\"}", 31, "n", 0, NULL),
			 0);
	expect(&d.examples[0], "x", "y");
	train_data_release(&d);
}

#define CHAT                                                                                                           \
	"{% for m in messages %}<{{ m.role }}>{{ m.content }}"                                                         \
	"{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"                               \
	"{% if add_generation_prompt %}<assistant>{% endif %}"

static void test_train_data_add__messages_count_the_answers(void **state)
{
	struct train_data d = { 0 };

	(void)state;
	int rc = add(&d, CHAT,
		     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"the "
		     "cat\"},"
		     "{\"role\":\"user\",\"content\":\"more\"},{\"role\":\"assistant\",\"content\":\"the dog\"}]}");
	if (rc)
		fail_msg("%s", err_text());
	expect(&d.examples[0], "<user>hi\n<assistant><user>more\n<assistant>", "the cat<|end|>\nthe dog<|end|>\n");
	train_data_release(&d);
}

static void test_train_data_add__cuts_long_examples(void **state)
{
	struct train_data d = { 0 };
	size_t cut = 0;
	const char *text = "{\"text\":\"the cat sat on the mat\"}\n{\"text\":\"the\"}";

	(void)state;
	assert_int_equal(train_data_add(&d, tok, NULL, eos, text, strlen(text), "n", 3, &cut), 0);
	assert_int_equal(cut, 1);
	assert_int_equal(d.examples[0].n, 3);
	assert_int_equal(d.examples[1].n, 2);
	train_data_release(&d);
}

/* Two examples with one prompt; only the first one is marked. */
static void test_train_data_add__preferences_are_two_examples(void **state)
{
	struct train_data d = { 0 };

	(void)state;
	assert_int_equal(add(&d, NULL,
			     "{\"prompt\":\"1+2=\",\"chosen\":\"3\",\"rejected\":\"44\"}\n"
			     "{\"prompt\":\"2+2=\",\"chosen\":\"4\",\"rejected\":\"5\",\"why\":1}"),
			 0);
	assert_int_equal(d.n, 4);
	expect(&d.examples[0], "1+2=", "3<|end|>");
	expect(&d.examples[1], "1+2=", "44<|end|>");
	expect(&d.examples[2], "2+2=", "4<|end|>");
	expect(&d.examples[3], "2+2=", "5<|end|>");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(d.examples[i].pair, i % 2 == 0);
	train_data_release(&d);
}

/* Units are moved whole, from every source, by seed; what is left keeps its order and its source. */
static void test_train_data_split__moves_whole_units(void **state)
{
	struct train_data d = { 0 }, held = { 0 }, again = { 0 }, held_again = { 0 };
	struct train_data *const both[2][2] = { { &d, &held }, { &again, &held_again } };
	struct buf text = BUF_INIT(1 << 16);

	(void)state;
	for (int i = 0; i < 20; i++)
		buf_addf(&text, "{\"prompt\":\"%d \",\"chosen\":\"%d\",\"rejected\":\"no\"}\n", i, i);
	for (int i = 0; i < 2; i++) {
		train_data_source(both[i][0], 1);
		assert_int_equal(add(both[i][0], NULL, buf_str(&text)), 0);
		train_data_source(both[i][0], 2);
		assert_int_equal(add(both[i][0], NULL, buf_str(&text)), 0);
		train_data_split(both[i][0], both[i][1], 0.25, 7);
	}
	assert_int_equal(d.n, 60);
	assert_int_equal(held.n, 20);
	for (size_t i = 0; i < d.n; i++) {
		assert_int_equal(d.examples[i].pair, i % 2 == 0);
		assert_true(!i || d.examples[i].source >= d.examples[i - 1].source);
	}
	for (size_t i = 0; i < held.n; i++) {
		assert_int_equal(held.examples[i].pair, i % 2 == 0);
		assert_int_equal(held.examples[i].n, held_again.examples[i].n);
		assert_memory_equal(held.examples[i].ids, held_again.examples[i].ids,
				    (size_t)held.examples[i].n * sizeof(int32_t));
	}
	buf_release(&text);
	for (int i = 0; i < 2; i++) {
		train_data_release(both[i][0]);
		train_data_release(both[i][1]);
	}
}

static void refuse(const char *template, const char *text, const char *why)
{
	struct train_data d = { 0 };

	assert_int_equal(add(&d, template, text), ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	train_data_release(&d);
}

static void test_train_data_add__errors_name_the_line(void **state)
{
	(void)state;
	refuse(NULL, "", "no training example");
	refuse(NULL, "\n \n", "no training example");
	refuse(NULL, "{\"text\":\"a\"}\n{\"text\":\"b\"", "train.jsonl:2");
	refuse(NULL, "{\"text\":\"a\"}\n[1]", "train.jsonl:2: expected an object");
	refuse(NULL, "{\"prompt\":\"a\"}", "train.jsonl:1: \"prompt\" without \"completion\"");
	refuse(NULL, "{\"completion\":\"a\"}", "\"completion\" without \"prompt\"");
	refuse(NULL, "{\"prompt\":\"a\",\"chosen\":\"b\"}", "\"prompt\" without \"rejected\"");
	refuse(NULL, "{\"prompt\":\"a\",\"rejected\":\"b\"}", "\"prompt\" without \"chosen\"");
	refuse(NULL, "{\"chosen\":\"a\",\"rejected\":\"b\"}", "\"chosen\" without \"prompt\"");
	refuse(NULL, "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"\"}", "is empty");
	refuse(NULL, "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"b\"}", "are the same");
	refuse(NULL, "{\"prompt\":\"a\",\"chosen\":[],\"rejected\":\"b\"}", "must be strings");
	refuse(NULL, "{\"prompt\":\"a\",\"completion\":\"c\",\"chosen\":\"b\",\"rejected\":\"d\"}",
	       "more than one form");
	refuse(NULL, "{\"input\":\"a\"}", "none of the keys");
	refuse(NULL, "{\"text\":7}", "must be a string");
	refuse(NULL, "{\"text\":\"\"}", "is empty");
	refuse(NULL, "{\"prompt\":\"a\",\"completion\":\"\"}", "\"completion\" is empty");
	refuse(NULL, "{\"text\":\"a\",\"prompt\":\"a\",\"completion\":\"b\"}", "more than one form");
	refuse(NULL, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "chat template");
	assert_non_null(err_fix());
	refuse(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "nothing to learn");
	refuse(CHAT, "{\"messages\":[]}", "at least one");
	refuse(CHAT, "{\"messages\":[{\"role\":\"assistant\"}]}", "message 1");
	refuse("{{ raise_exception('not so') }}", "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
	       "not so");
	refuse("{% if", "{\"text\":\"a\"}", "chat template");
	refuse("{{ messages[-1].content }}",
	       "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
	       "{\"role\":\"user\",\"content\":\"c\"}]}",
	       "differently");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_train_data_add__text_counts_but_the_first),
		cmocka_unit_test(test_train_data_add__pair_counts_the_completion),
		cmocka_unit_test(test_train_data_add__messages_count_the_answers),
		cmocka_unit_test(test_train_data_add__cuts_long_examples),
		cmocka_unit_test(test_train_data_add__preferences_are_two_examples),
		cmocka_unit_test(test_train_data_split__moves_whole_units),
		cmocka_unit_test(test_train_data_add__errors_name_the_line),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
