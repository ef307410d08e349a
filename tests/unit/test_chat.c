/* test_chat.c: chat templates of model folders, against what transformers renders (tests/golden/make_chat.py). */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "runner/chat.h"

static char *folder;

static void write_file(const char *name, const char *text)
{
	char *path = path_join(folder, name);

	assert_int_equal(text ? fs_write(path, text, strlen(text)) : fs_remove(path), 0);
	free(path);
}

static int begin(void **state)
{
	(void)state;
	return fs_temp_dir(&folder, "/tmp", "assay-chat-");
}

static int end(void **state)
{
	(void)state;
	fs_remove_tree(folder);
	free(folder);
	return 0;
}

/* The one-message conversation that most tests render. */
static char *hello(const struct chat *c)
{
	json_t *messages = json_loads("[{\"role\":\"user\",\"content\":\"Hello?\"}]", 0, NULL);
	struct buf out = BUF_INIT(1 << 20);

	if (chat_render(c, messages, false, &out))
		fail_msg("%s", err_text());
	json_decref(messages);
	return buf_take(&out);
}

static void check_case(const struct chat *c, const json_t *want, const char *name)
{
	const char *text = json_get_text(want, "text", NULL);
	struct buf out = BUF_INIT(1 << 20);
	int rc = chat_render(c, json_object_get(want, "messages"), json_get_flag(want, "continues", false), &out);

	if (!text)
		assert_int_equal(rc, ERR_INPUT);
	else if (rc)
		fail_msg("%s: %s", name, err_text());
	else
		assert_string_equal(buf_str(&out), text);
	buf_release(&out);
}

static void test_chat_render__as_transformers_does(void **state)
{
	json_t *doc = NULL, *set, *one;
	size_t i, k;

	(void)state;
	if (json_read(&doc, "tests/golden/chat.json", 1 << 20))
		fail_msg("%s", err_text());
	assert_true(json_array_size(json_object_get(doc, "render")) == 8);
	json_array_foreach(json_object_get(doc, "render"), i, set)
	{
		struct buf text = BUF_INIT(1 << 20);
		struct chat *c;

		json_add(&text, set); /* it has the keys of a tokenizer_config.json */
		write_file("tokenizer_config.json", buf_str(&text));
		if (chat_open(&c, folder))
			fail_msg("%s", err_text());
		assert_non_null(c);
		json_array_foreach(json_object_get(set, "cases"), k, one)
			check_case(c, one, json_get_text(set, "name", ""));
		chat_free(c);
		buf_release(&text);
	}
	json_decref(doc);
}

static void test_chat_open__the_jinja_file_has_the_first_word(void **state)
{
	struct chat *c;
	char *text;

	(void)state;
	write_file("tokenizer_config.json", "{\"chat_template\":\"old\",\"bos_token\":{\"content\":\"<b>\"}}");
	write_file("special_tokens_map.json", "{\"bos_token\":\"<no>\",\"eos_token\":\"<e>\"}");
	write_file("chat_template.jinja", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}");
	assert_int_equal(chat_open(&c, folder), 0);
	text = hello(c);
	assert_string_equal(text, "<b>Hello?<e>");
	assert_true(chat_begins(c, text));
	assert_false(chat_begins(c, "Hello?<b>"));
	assert_string_equal(chat_source(c), "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}");
	free(text);
	chat_free(c);
	write_file("chat_template.jinja", NULL);
	assert_int_equal(chat_open(&c, folder), 0);
	text = hello(c);
	assert_string_equal(text, "old");
	free(text);
	chat_free(c);
}

static void test_chat_open__none_and_nonsense(void **state)
{
	static const struct {
		const char *config, *says;
	} bad[] = {
		{ "{\"chat_template\":3}", "neither a text nor a list" },
		{ "{\"chat_template\":[{\"name\":\"a\",\"template\":\"x\"},{\"name\":\"b\",\"template\":\"y\"}]}",
		  "none is named default (there is: a, b)" },
		{ "{\"chat_template\":[3,{}]}", "none is named default" },
		{ "{\"chat_template\":\"{% for\"}", "chat template" },
		{ "{", "tokenizer_config.json" },
	};
	struct chat *c;
	char *text;

	(void)state;
	assert_int_equal(chat_open(&c, folder), 0);
	assert_null(c);
	assert_null(chat_source(c));
	write_file("tokenizer_config.json", "{\"bos_token\":null}");
	assert_int_equal(chat_open(&c, folder), 0);
	assert_null(c);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_file("tokenizer_config.json", bad[i].config);
		assert_int_equal(chat_open(&c, folder), ERR_INPUT);
		if (!strstr(err_text(), bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err_text(), bad[i].says);
	}
	write_file("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"only\",\"template\":\"x\"}]}");
	assert_int_equal(chat_open(&c, folder), 0);
	text = hello(c);
	assert_string_equal(text, "x");
	free(text);
	chat_free(c);
}

static void test_chat_render__messages_that_are_none(void **state)
{
	static const char *const bad[] = {
		"[]", "{}", "[3]", "[{\"role\":\"user\"}]", "[{\"content\":\"x\"}]", "[{\"role\":1,\"content\":\"x\"}]"
	};
	struct buf out = BUF_INIT(1 << 20);
	struct chat *c;

	(void)state;
	write_file("tokenizer_config.json", "{\"chat_template\":\"{{ messages[0].role }}\"}");
	assert_int_equal(chat_open(&c, folder), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *messages = json_loads(bad[i], 0, NULL);

		assert_int_equal(chat_render(c, messages, false, &out), ERR_INPUT);
		json_decref(messages);
	}
	json_t *messages = json_loads("[{\"role\":\"user\",\"content\":\"x\"}]", 0, NULL);
	assert_int_equal(chat_render(c, messages, true, &out),
			 ERR_INPUT); /* it does not write what is to be continued */
	assert_non_null(strstr(err_text(), "does not write the last message"));
	json_decref(messages);
	buf_release(&out);
	chat_free(c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_chat_render__as_transformers_does),
		TEST(test_chat_open__the_jinja_file_has_the_first_word),
		TEST(test_chat_open__none_and_nonsense),
		TEST(test_chat_render__messages_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
