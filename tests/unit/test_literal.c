/* test_literal.c: Python lists, and what is none. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/evals_int.h"

static void reads(const char *text, const char *json)
{
	struct buf out = BUF_INIT(4096);
	json_t *v;

	if (literal_parse(&v, text, strlen(text)))
		fail_msg("%s: %s", text, err_text());
	json_add(&out, v);
	assert_string_equal(buf_str(&out), json);
	json_decref(v);
	buf_release(&out);
}

static void test_literal_parse__lists(void **state)
{
	(void)state;
	reads("[]", "[]");
	reads(" ['a', \"don't\", 'say \"x\"'] ", "[\"a\",\"don't\",\"say \\\"x\\\"\"]");
	reads("('a',)", "[\"a\"]");
	reads("[1, -2, 2.5, True, False, None, [1, (2, 3,)]]", "[1,-2,2.5,true,false,null,[1,[2,3]]]");
	reads("['a\\n\\t\\'\\\\ \\x41\\u00e9\\U0001F600\\q']", "[\"a\\n\\t'\\\\ A\xc3\xa9\xf0\x9f\x98\x80\\\\q\"]");
	reads("['one' \"two\"]", "[\"onetwo\"]");
	reads("['''He said \"it's\"\\nso''', \"\"\"\"\"\", '']", "[\"He said \\\"it's\\\"\\nso\",\"\",\"\"]");
	reads("['\xc3\xa9',]", "[\"\xc3\xa9\"]");
}

static void test_literal_parse__what_is_none(void **state)
{
	static const char *const bad[] = { "",
					   "a",
					   "'a'",
					   "['a'",
					   "['a' 'b',, ]",
					   "['a]",
					   "[a]",
					   "['a'] b",
					   "[1 2]",
					   "['\\x4']",
					   "['\\ud800']",
					   "{'a': 1}",
					   "[b'x']",
					   "['\\u0000']",
					   "[99999999999999999999]",
					   "[1.2.3]",
					   "[,]",
					   "['a'\n",
					   "['\\" };
	struct buf deep = BUF_INIT(1 << 20);
	json_t *v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (literal_parse(&v, bad[i], strlen(bad[i])) != ERR_INPUT)
			fail_msg("accepted: %s", bad[i]);
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	assert_int_equal(literal_parse(&v, buf_str(&deep), deep.len), ERR_INPUT);
	assert_non_null(strstr(err_text(), "too deep"));
	buf_release(&deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literal_parse__lists),
		cmocka_unit_test(test_literal_parse__what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
