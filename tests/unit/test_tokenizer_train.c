/* test_tokenizer_train.c: the trainer against the tokenizers library's BpeTrainer (tests/golden/make_tokenizer.py). */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "model/model.h"

#define GOLDEN "tests/golden/tokenizer/"

static const char *const special[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL };

/* The lines of a text, each with its end. */
struct lines {
	struct buf text;
	const char **at;
	size_t *len;
	size_t n;
};

static void read_lines(struct lines *l)
{
	size_t cap = 0, cap_len = 0, n = 0;

	memset(l, 0, sizeof(*l));
	buf_init(&l->text, 1 << 20);
	assert_int_equal(fs_read(&l->text, GOLDEN "corpus.txt", 1 << 20), 0);
	for (size_t i = 0; i < l->text.len;) {
		const char *end = memchr(l->text.data + i, '\n', l->text.len - i);
		size_t len = end ? (size_t)(end - l->text.data) + 1 - i : l->text.len - i;
		MEM_GROW(l->at, l->n, cap);
		MEM_GROW(l->len, n, cap_len);
		l->at[l->n++] = l->text.data + i;
		l->len[n++] = len;
		i += len;
	}
}

static void release_lines(struct lines *l)
{
	free(l->at);
	free(l->len);
	buf_release(&l->text);
}

static void test_tokenizer_train__vocabulary_and_merges_of_the_library(void **state)
{
	(void)state;
	const struct tokenizer_train how = { .vocab_size = 700, .special = special };
	struct lines l;
	struct buf out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	json_t *got = NULL, *want = NULL;

	read_lines(&l);
	assert_true(l.n > 20);
	assert_int_equal(tokenizer_train(&out, l.at, l.len, l.n, &how), 0);
	assert_int_equal(tokenizer_train(&again, l.at, l.len, l.n, &how), 0);
	assert_string_equal(buf_str(&out), buf_str(&again));
	assert_int_equal(json_parse(&got, buf_str(&out), out.len, "trained"), 0);
	assert_int_equal(json_read(&want, GOLDEN "trained.json", 1 << 20), 0);
	assert_true(json_equal(json_object_get(json_object_get(got, "model"), "vocab"),
			       json_object_get(json_object_get(want, "model"), "vocab")));
	assert_true(json_equal(json_object_get(json_object_get(got, "model"), "merges"),
			       json_object_get(json_object_get(want, "model"), "merges")));
	assert_true(json_equal(json_object_get(got, "pre_tokenizer"), json_object_get(want, "pre_tokenizer")));
	assert_true(json_equal(got, want)); /* and the rest of the file, added tokens and decoder with it */
	json_decref(got);
	json_decref(want);
	buf_release(&out);
	buf_release(&again);
	release_lines(&l);
}

static void test_tokenizer_train__what_it_writes_can_be_used(void **state)
{
	(void)state;
	const struct tokenizer_train how = { .vocab_size = 400, .special = special };
	struct lines l;
	struct buf out = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
	struct tokenizer *t = NULL;
	struct tokens ids = { 0 };

	read_lines(&l);
	assert_int_equal(tokenizer_train(&out, l.at, l.len, l.n, &how), 0);
	assert_int_equal(tokenizer_parse(&t, buf_str(&out), out.len, "trained"), 0);
	assert_int_equal(tokenizer_size(t), 400);
	assert_int_equal(tokenizer_id(t, "<|im_end|>"), 2);
	assert_int_equal(tokenizer_encode(t, &ids, l.text.data, l.text.len, true), 0);
	assert_true(ids.n < l.text.len * 3 / 4);
	tokenizer_decode(t, &back, ids.ids, ids.n, false);
	assert_string_equal(buf_str(&back), buf_str(&l.text));
	tokens_release(&ids);
	tokenizer_free(t);
	buf_release(&out);
	buf_release(&back);
	release_lines(&l);
}

static int32_t trained_size(const char *text, size_t len, int size, int *merges)
{
	const struct tokenizer_train how = { .vocab_size = size };
	struct buf out = BUF_INIT(1 << 20);
	json_t *root = NULL, *model;
	int32_t n;

	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &how), 0);
	assert_int_equal(json_parse(&root, buf_str(&out), out.len, "trained"), 0);
	model = json_object_get(root, "model");
	n = (int32_t)json_object_size(json_object_get(model, "vocab"));
	*merges = (int)json_array_size(json_object_get(model, "merges"));
	json_decref(root);
	buf_release(&out);
	return n;
}

static void test_tokenizer_train__ends_when_no_pair_is_left(void **state)
{
	(void)state;
	int merges;

	assert_int_equal(trained_size("", 0, 300, &merges), 256);
	assert_int_equal(merges, 0);
	assert_int_equal(trained_size("a b c", 5, 300, &merges), 258); /* " b" and " c", each seen once */
	assert_int_equal(merges, 2);
	assert_int_equal(trained_size("abcabc", 6, 257, &merges), 257);
	assert_int_equal(merges, 1);
	/* "aaaa": overlapping pairs are counted as the library counts them */
	assert_int_equal(trained_size("aaaa", 4, 300, &merges), 258);
}

static void test_tokenizer_train__bytes_that_are_not_utf8(void **state)
{
	(void)state;
	int merges;

	assert_int_equal(trained_size("\xff\xff\xff\xff", 4, 300, &merges) > 256, 1);
}

static void test_tokenizer_train__bad_sizes_and_tokens(void **state)
{
	(void)state;
	static const char *const twice[] = { "<a>", "<a>", NULL }, *const empty[] = { "", NULL },
				 *const broken[] = { "\xff", NULL };
	const char *text = "x";
	size_t len = 1;
	struct buf out = BUF_INIT(1 << 20);

	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &(struct tokenizer_train){ .vocab_size = 255 }),
			 ERR_INPUT);
	assert_non_null(strstr(err_text(), "256"));
	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &(struct tokenizer_train){ 258, special }), ERR_INPUT);
	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &(struct tokenizer_train){ 1 << 30, NULL }), ERR_INPUT);
	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &(struct tokenizer_train){ 300, twice }), ERR_INPUT);
	assert_non_null(strstr(err_text(), "twice"));
	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &(struct tokenizer_train){ 300, empty }), ERR_INPUT);
	assert_int_equal(tokenizer_train(&out, &text, &len, 1, &(struct tokenizer_train){ 300, broken }), ERR_INPUT);
	assert_int_equal(out.len, 0);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokenizer_train__vocabulary_and_merges_of_the_library),
		cmocka_unit_test(test_tokenizer_train__what_it_writes_can_be_used),
		cmocka_unit_test(test_tokenizer_train__ends_when_no_pair_is_left),
		cmocka_unit_test(test_tokenizer_train__bytes_that_are_not_utf8),
		cmocka_unit_test(test_tokenizer_train__bad_sizes_and_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
