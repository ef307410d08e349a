/* test_json_schema.c: schemas that are refused, values that are held against them. What satisfies what is compared with
 * Python's jsonschema in test_metrics.c (golden) and in tests/reference/check_metrics.py. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/json_int.h"

static json_t *json(const char *text)
{
	json_t *v = answer_json(text, strlen(text));

	if (!v)
		fail_msg("no JSON: %s", text);
	return v;
}

/* 1, 0, or -1: the schema is refused. */
static int holds(const char *schema, const char *value)
{
	json_t *root = json(schema), *v = json(value);
	struct schema *s;
	bool ok = false;
	int rc = schema_new(&s, root);

	if (!rc)
		rc = schema_holds(&ok, s, v);
	schema_free(s);
	json_decref(root);
	json_decref(v);
	return rc ? -1 : ok;
}

static void test_schema_holds__a_tool_call(void **state)
{
	const char *schema =
		"{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"book\"},\"arguments\":{\"type\":\"object\","
		"\"properties\":{\"date\":{\"type\":\"string\",\"pattern\":\"^\\\\d{4}-\\\\d\\\\d-\\\\d\\\\d$\"},"
		"\"seats\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},\"required\":[\"date\",\"seats\"],"
		"\"additionalProperties\":false}},\"required\":[\"name\",\"arguments\"]}";

	(void)state;
	assert_int_equal(holds(schema, "{\"name\":\"book\",\"arguments\":{\"date\":\"2026-01-31\",\"seats\":2}}"), 1);
	assert_int_equal(holds(schema, "{\"name\":\"book\",\"arguments\":{\"date\":\"2026-01-31\",\"seats\":2.0}}"), 1);
	assert_int_equal(holds(schema, "{\"name\":\"book\",\"arguments\":{\"date\":\"31.1.\",\"seats\":2}}"), 0);
	assert_int_equal(holds(schema, "{\"name\":\"book\",\"arguments\":{\"date\":\"2026-01-31\",\"seats\":10}}"), 0);
	assert_int_equal(holds(schema, "{\"name\":\"book\",\"arguments\":{\"date\":\"2026-01-31\"}}"), 0);
	assert_int_equal(
		holds(schema, "{\"name\":\"book\",\"arguments\":{\"date\":\"2026-01-31\",\"seats\":1,\"x\":0}}"), 0);
	assert_int_equal(holds(schema, "[]"), 0);
}

static void test_schema_new__refuses_what_it_does_not_know(void **state)
{
	static const struct {
		const char *schema, *says;
	} bad[] = {
		{ "[]", "at #: a schema is an object" },
		{ "{\"type\":\"text\"}", "at #/type: the value is not of the kind" },
		{ "{\"properties\":{\"a\":{\"contains\":1}}}",
		  "at #/properties/a/contains: this word is not supported" },
		{ "{\"anyOf\":[]}", "at #/anyOf" },
		{ "{\"anyOf\":[true,{\"minLength\":-1}]}", "at #/anyOf/1/minLength" },
		{ "{\"maxItems\":1.5}", "at #/maxItems" },
		{ "{\"multipleOf\":0}", "at #/multipleOf" },
		{ "{\"required\":[1]}", "at #/required" },
		{ "{\"dependentRequired\":{\"a\":1}}", "at #/dependentRequired" },
		{ "{\"uniqueItems\":1}", "at #/uniqueItems" },
		{ "{\"pattern\":\"(\"}", "at #/pattern: pattern: \"(\"" },
		{ "{\"patternProperties\":{\"[\":true}}", "at #/patternProperties: pattern: \"[\"" },
		{ "{\"$ref\":\"http://example.org/x\"}", "there is no http://example.org/x" },
		{ "{\"$ref\":\"#/$defs/gone\"}", "there is no #/$defs/gone" },
		{ "{\"$ref\":\"#/properties\",\"properties\":{}}", "points to what is no schema" },
		{ "{\"$ref\":\"#\"}", "goes round in a circle" },
		{ "{\"items\":{\"allOf\":[{\"$ref\":\"#/$defs/a\"}]},\"$defs\":{\"a\":{\"not\":{\"$ref\":\"#/$defs/"
		  "b\"}},"
		  "\"b\":{\"anyOf\":[true,{\"$ref\":\"#/$defs/a\"}]}}}",
		  "goes round in a circle" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (holds(bad[i].schema, "1") != -1 || !strstr(err_text(), bad[i].says))
			fail_msg("%zu: \"%s\", not \"%s\"", i, err_text(), bad[i].says);
}

static void test_schema_holds__references_into_itself(void **state)
{
	const char *tree =
		"{\"type\":\"object\",\"properties\":{\"left\":{\"$ref\":\"#\"},\"n\":{\"$ref\":\"#/$defs/a~1b~0c\"}},"
		"\"additionalProperties\":false,\"$defs\":{\"a/b~c\":{\"type\":\"number\"}}}";

	(void)state;
	assert_int_equal(holds(tree, "{\"left\":{\"left\":{\"n\":1}}}"), 1);
	assert_int_equal(holds(tree, "{\"left\":{\"left\":{\"n\":\"1\"}}}"), 0);
	assert_int_equal(holds(tree, "{\"left\":{\"right\":{}}}"), 0);
}

/* Deep values, wide values, and schemas that look at every value twice at every level. */
static void test_schema_holds__hostile_input_ends(void **state)
{
	struct buf deep = BUF_INIT(1 << 20), wide = BUF_INIT(1 << 20);
	const char *twice = "{\"anyOf\":[{\"items\":{\"$ref\":\"#\"},\"minItems\":1},{\"items\":{\"$ref\":\"#\"},"
			    "\"maxItems\":0}]}";

	(void)state;
	for (int i = 0; i < 2000; i++)
		buf_addc(&deep, '[');
	for (int i = 0; i < 2000; i++)
		buf_addc(&deep, ']');
	assert_int_equal(holds("{\"items\":{\"$ref\":\"#\"}}", buf_str(&deep)), 0); /* too many levels */
	assert_int_equal(holds("{\"items\":{\"$ref\":\"#\"}}", "[[[[]]]]"), 1);
	buf_clear(&deep);
	buf_adds(&deep, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"d20000\":true");
	for (int i = 0; i < 20000; i++)
		buf_addf(&deep, ",\"d%d\":{\"$ref\":\"#/$defs/d%d\"}", i, i + 1);
	buf_adds(&deep, "}}");
	assert_int_equal(holds(buf_str(&deep), "1"), -1);
	assert_non_null(strstr(err_text(), "a chain of more than 1000 references"));
	buf_clear(&deep);
	buf_adds(&deep, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	assert_true(holds(twice, buf_str(&deep)) >= 0);
	buf_addc(&wide, '[');
	for (int i = 0; i < 5000; i++)
		buf_addf(&wide, "%s%d", i ? "," : "", i);
	buf_addc(&wide, ']');
	assert_int_equal(holds("{\"uniqueItems\":true}", buf_str(&wide)), 0); /* too many steps */
	assert_int_equal(holds("{\"not\":{\"uniqueItems\":true}}", buf_str(&wide)), 0);
	assert_int_equal(holds("{\"uniqueItems\":true}", "[1,2,[1],1.5]"), 1);
	assert_int_equal(holds("{\"uniqueItems\":true}", "[1,2,1.0]"), 0);
	buf_release(&deep);
	buf_release(&wide);
}

static void test_answer_json__what_is_json(void **state)
{
	static const char *const good[] = { "1", " {\"a\":[1e5,-0.5]}\n", "\"\\u00e9\"",
					    "123456789012345678901234567890" };
	static const char *const bad[] = {
		"",     "{\"a\":1,\"a\":2}", "NaN",        "[1,]", "{'a':1}", "1 2",
		"\xff", "\"\xc3\"",          "```\n{}```", "[1",   "01",      "\"\\ud800\""
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		json_decref(json(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(answer_json(bad[i], strlen(bad[i])));
}

static void test_json_same__numbers_within_a_tolerance(void **state)
{
	static const struct {
		const char *a, *b;
		struct json_same how;
		bool same;
	} pairs[] = {
		{ "1", "1.0", { 0, 0, false }, true },
		{ "9007199254740993", "9007199254740992", { 0, 0, false }, false },
		{ "1.05", "1", { 0.1, 0, false }, true },
		{ "1.15", "1", { 0.1, 0, false }, false },
		{ "110", "100", { 0, 0.1, false }, true },
		{ "true", "1", { 1, 1, false }, false },
		{ "{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}", { 0, 0, false }, true },
		{ "{\"a\":1,\"b\":2}", "{\"a\":1}", { 0, 0, false }, false },
		{ "{\"a\":1,\"b\":2}", "{\"a\":1}", { 0, 0, true }, true },
		{ "{\"a\":1}", "{\"a\":1,\"b\":2}", { 0, 0, true }, false },
		{ "[1,2]", "[2,1]", { 0, 0, false }, false },
		{ "[1]", "[1,2]", { 0, 0, true }, false },
		{ "null", "0", { 1, 1, true }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		json_t *a = json(pairs[i].a), *b = json(pairs[i].b);

		if (json_same(a, b, &pairs[i].how) != pairs[i].same)
			fail_msg("%zu: %s and %s", i, pairs[i].a, pairs[i].b);
		json_decref(a);
		json_decref(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema_holds__a_tool_call),
		cmocka_unit_test(test_schema_new__refuses_what_it_does_not_know),
		cmocka_unit_test(test_schema_holds__references_into_itself),
		cmocka_unit_test(test_schema_holds__hostile_input_ends),
		cmocka_unit_test(test_answer_json__what_is_json),
		cmocka_unit_test(test_json_same__numbers_within_a_tolerance),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
