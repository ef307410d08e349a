/* test_json.c: strict reading with places, canonical writing that digests rest on. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include <math.h>
#include <unistd.h>

#include "base/json.h"

static json_t *parsed(const char *text)
{
	json_t *v;

	if (json_parse(&v, text, strlen(text), "f"))
		fail_msg("%s", err_text());
	return v;
}

static void expect_canonical(const char *text, const char *want)
{
	struct buf b = BUF_INIT(10000);
	json_t *v = parsed(text);

	json_add(&b, v);
	assert_string_equal(buf_str(&b), want);
	json_decref(v);
	buf_release(&b);
}

static void test_json_add__is_canonical(void **state)
{
	(void)state;
	expect_canonical(" { \"b\" : [ 1 , 2.0 , \"x\" ] , \"a\" : { } , \"B\" : [ ] } ",
			 "{\"B\":[],\"a\":{},\"b\":[1,2.0,\"x\"]}");
	expect_canonical("[true,false,null]", "[true,false,null]");
	expect_canonical("\"\\u00e9\\ud83d\\ude00/\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80//\"");
	expect_canonical("\"\\u0000\\u0008\\t\\n\\f\\r\\u001f\\u007f\\\"\\\\\"",
			 "\"\\u0000\\b\\t\\n\\f\\r\\u001f\x7f\\\"\\\\\"");
	expect_canonical("-9223372036854775808", "-9223372036854775808");
	/* by bytes: capitals, then small letters, then what is beyond ASCII */
	expect_canonical("{\"\xc3\xa9\":1,\"z\":2,\"Z\":3,\"ab\":4,\"a\":5}",
			 "{\"Z\":3,\"a\":5,\"ab\":4,\"z\":2,\"\xc3\xa9\":1}");
}

static void test_json_add__reals_as_python_writes_them(void **state)
{
	/* json.dumps() of CPython */
	static const char *const same[] = { "1.0",
					    "-0.0",
					    "0.1",
					    "0.0001",
					    "1e-05",
					    "1234.5",
					    "1e+16",
					    "1.5e+300",
					    "5e-324",
					    "1e+22",
					    "100.0",
					    "0.3333333333333333",
					    "2.5e-07",
					    "-1e-05",
					    "1.7976931348623157e+308",
					    "2.2250738585072014e-308",
					    "1234567890123456.0",
					    "9007199254740993.0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same) - 1; i++)
		expect_canonical(same[i], same[i]);
	expect_canonical("9007199254740993.0", "9007199254740992.0"); /* not a double */
	expect_canonical("1E3", "1000.0");
	expect_canonical("0.30000000000000004", "0.30000000000000004");
}

static void test_json_add__reals_read_back_and_are_shortest(void **state)
{
	struct rng r;
	int tried = 0;

	(void)state;
	rng_seed(&r, 1, 0);
	while (tried < 20000) {
		struct buf b = BUF_INIT(100);
		uint64_t bits = rng_u64(&r);
		double x, y;
		size_t digits = 0;
		json_t *v;
		char shorter[40];

		memcpy(&x, &bits, sizeof(x));
		if (!isfinite(x))
			continue;
		tried++;
		v = json_real(x);
		json_add(&b, v);
		json_decref(v);
		y = strtod(buf_str(&b), NULL);
		assert_memory_equal(&x, &y, sizeof(x));
		assert_non_null(strpbrk(buf_str(&b), ".e"));
		for (const char *p = buf_str(&b); *p && *p != 'e'; p++)
			digits += *p >= '0' && *p <= '9' && (digits || *p != '0');
		if (digits > 1 && digits <= 17 && fabs(x) > 1e16) {
			snprintf(shorter, sizeof(shorter), "%.*e", (int)digits - 2, x);
			assert_true(strtod(shorter, NULL) != x);
		}
		buf_release(&b);
	}
}

static void test_json_add_pretty__keeps_the_order(void **state)
{
	struct buf b = BUF_INIT(1000);
	json_t *v = parsed("{\"b\":[1,{}],\"a\":{\"x\":[]}}");

	(void)state;
	json_add_pretty(&b, v);
	assert_string_equal(buf_str(&b), "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": {\n    \"x\": []\n  }\n}\n");
	json_decref(v);
	buf_release(&b);
}

static void expect_refused(const char *text, size_t len, const char *place)
{
	json_t *v = (json_t *)1;

	assert_int_equal(json_parse(&v, text, len, "f.json"), ERR_INPUT);
	assert_null(v);
	if (strncmp(err_text(), place, strlen(place)))
		fail_msg("\"%s\" does not begin with \"%s\"", err_text(), place);
}

#define REFUSED(text, place) expect_refused(text, sizeof(text) - 1, place)

static void test_json_parse__is_strict_and_says_where(void **state)
{
	struct buf deep = BUF_INIT(1 << 20);

	(void)state;
	REFUSED("{\"a\":1,\n \"a\":2}", "f.json:2:4: ");
	REFUSED("", "f.json:1:");
	REFUSED("{", "f.json:1:");
	REFUSED("[1,]", "f.json:1:");
	REFUSED("[1] x", "f.json:1:");
	REFUSED("{'a':1}", "f.json:1:");
	REFUSED("[NaN]", "f.json:1:");
	REFUSED("[01]", "f.json:1:");
	REFUSED("[1e999]", "f.json:1:");
	REFUSED("[99999999999999999999]", "f.json:1:");
	REFUSED("\"\xff\"", "f.json:1:");
	REFUSED("\"\\ud800\"", "f.json:1:");
	REFUSED("{\"a\\u0000b\":1}", "f.json:1:");
	REFUSED("\"a\nb\"", "f.json:1:");
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	expect_refused(buf_str(&deep), deep.len, "f.json:1:");
	buf_release(&deep);
}

static void test_json_parse__nul_in_a_value_and_bom(void **state)
{
	json_t *v = parsed("\xef\xbb\xbf\"a\\u0000b\"");

	(void)state;
	assert_int_equal(json_string_length(v), 3);
	json_decref(v);
}

static int sum_lines(json_t *value, size_t line, void *arg)
{
	int64_t *sums = arg;

	if (!json_is_integer(value))
		return err_set(ERR_CONFLICT, "stop at %zu", line);
	sums[0] += json_integer_value(value);
	sums[1] += (int64_t)line;
	return 0;
}

static void test_json_lines__counts_and_stops(void **state)
{
	int64_t sums[2] = { 0, 0 };
	const char *good = "1\n\n  \r\n20\r\n300", *bad = "1\n{\"a\":\n", *stop = "1\n[]\nnonsense";

	(void)state;
	assert_int_equal(json_lines(good, strlen(good), "f", sum_lines, sums), 0);
	assert_int_equal(sums[0], 321);
	assert_int_equal(sums[1], 1 + 4 + 5);
	assert_int_equal(json_lines(bad, strlen(bad), "d.jsonl", sum_lines, sums), ERR_INPUT);
	assert_memory_equal(err_text(), "d.jsonl:2:", 10);
	assert_int_equal(json_lines(stop, strlen(stop), "f", sum_lines, sums), ERR_CONFLICT);
	assert_string_equal(err_text(), "stop at 2");
	assert_int_equal(json_lines("", 0, "f", sum_lines, sums), 0);
}

static void test_json_read__file(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char *path = mem_printf("%s/assay-test-json-XXXXXX", tmp ? tmp : "/tmp");
	int fd = mkstemp(path);
	json_t *v;

	(void)state;
	assert_int_equal(write(fd, "{\"k\": 7}\n", 9), 9);
	close(fd);
	assert_int_equal(json_read(&v, path, 100), 0);
	assert_int_equal(json_get_int(v, "k", 0), 7);
	json_decref(v);
	assert_int_equal(json_read(&v, path, 8), ERR_INPUT);
	assert_null(v);
	unlink(path);
	assert_int_equal(json_read(&v, path, 100), ERR_NOTFOUND);
	free(path);
}

static void test_json_get__defaults_for_absent_and_mistyped(void **state)
{
	json_t *v = parsed("{\"t\":\"x\",\"i\":3,\"r\":0.5,\"f\":true,\"n\":null}");

	(void)state;
	assert_string_equal(json_get_text(v, "t", "d"), "x");
	assert_string_equal(json_get_text(v, "i", "d"), "d");
	assert_null(json_get_text(v, "none", NULL));
	assert_int_equal(json_get_int(v, "i", 9), 3);
	assert_int_equal(json_get_int(v, "r", 9), 9);
	assert_true(json_get_real(v, "r", 9) == 0.5);
	assert_true(json_get_real(v, "i", 9) == 3.0);
	assert_true(json_get_flag(v, "f", false));
	assert_true(json_get_flag(v, "n", true));
	assert_int_equal(json_get_int(NULL, "i", 9), 9);
	json_decref(v);
}

static void test_json_new_text__repairs(void **state)
{
	json_t *v = json_new_text("a\xff\xe2\x82z", 5), *w = json_new_text(NULL, 0);
	struct buf b = BUF_INIT(100);

	(void)state;
	assert_string_equal(json_string_value(v), "a\xef\xbf\xbd\xef\xbf\xbdz");
	assert_string_equal(json_string_value(w), "");
	json_add_text(&b, "\xff\"", 2);
	assert_string_equal(buf_str(&b), "\"\xef\xbf\xbd\\\"\"");
	json_decref(v);
	json_decref(w);
	buf_release(&b);
}

/* Text is looked at by eights: whatever stands wherever is read back as it was. */
static void test_json_add_text__each_byte_in_each_place(void **state)
{
	(void)state;
	for (int c = 0; c < 0x80; c++) {
		for (size_t at = 0; at < 18; at++) {
			char text[18];
			struct buf b = BUF_INIT(200);
			json_t *v = NULL;

			memset(text, 'x', sizeof(text));
			text[at] = (char)c;
			json_add_text(&b, text, sizeof(text));
			assert_int_equal(
				b.len, sizeof(text) + (c >= 0x20 && c != '"' && c != '\\'                        ? 2
						       : c == '"' || c == '\\' || (c >= 8 && c <= 13 && c != 11) ? 3
														 : 7));
			v = json_loadb(buf_str(&b), b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			assert_int_equal(json_string_length(v), sizeof(text));
			assert_memory_equal(json_string_value(v), text, sizeof(text));
			json_decref(v);
			buf_release(&b);
		}
	}
}

/* Never less than what the C library gave, where it can be asked (the sanitizers' cannot). */
static void test_json_memory__is_not_less_than_the_truth(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"a\":null}",
		"{\"question\":\"What is 2+2?\",\"choices\":[\"3\",\"4\"],\"label\":1}",
		"[1,2.5,true,[[]]]",
		"{\"a\":{\"b\":{\"c\":[{},{},{}]}},\"d\":\"\",\"e\":1,\"f\":2,\"g\":3,\"h\":4,\"i\":5,\"j\":6}",
	};
	enum { MANY = 20000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t **all = mem_array(MANY, sizeof(json_t *));
		size_t before, after, said = 0;

		before = mallinfo2().uordblks;
		for (int k = 0; k < MANY; k++)
			assert_int_equal(json_parse(&all[k], texts[i], strlen(texts[i]), "t"), 0);
		after = mallinfo2().uordblks;
		for (int k = 0; k < MANY; k++) {
			said += json_memory(all[k]);
			json_decref(all[k]);
		}
		free(all);
		if (after <= before)
			continue;
		if (said < after - before || said > 3 * (after - before))
			print_message("%s: said %zu, taken %zu\n", texts[i], said / MANY, (after - before) / MANY);
		assert_in_range(said, after - before, 3 * (after - before));
	}
}

/* What others hold is theirs: a dictionary's text in a million rows is one text. */
static void test_json_memory__what_is_shared_is_not_counted(void **state)
{
	json_t *text = json_string("a long text that stands once"), *row = json_object();
	size_t alone = json_memory(row);

	(void)state;
	json_object_set(row, "t", text);
	assert_true(json_memory(row) < alone + 150);
	assert_true(json_memory(text) == 0);
	json_decref(text);
	assert_true(json_memory(json_object_get(row, "t")) > 28);
	json_decref(row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_add__is_canonical),
		cmocka_unit_test(test_json_memory__is_not_less_than_the_truth),
		cmocka_unit_test(test_json_memory__what_is_shared_is_not_counted),
		cmocka_unit_test(test_json_add_text__each_byte_in_each_place),
		cmocka_unit_test(test_json_add__reals_as_python_writes_them),
		cmocka_unit_test(test_json_add__reals_read_back_and_are_shortest),
		cmocka_unit_test(test_json_add_pretty__keeps_the_order),
		cmocka_unit_test(test_json_parse__is_strict_and_says_where),
		cmocka_unit_test(test_json_parse__nul_in_a_value_and_bom),
		cmocka_unit_test(test_json_lines__counts_and_stops),
		cmocka_unit_test(test_json_read__file),
		cmocka_unit_test(test_json_get__defaults_for_absent_and_mistyped),
		cmocka_unit_test(test_json_new_text__repairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
