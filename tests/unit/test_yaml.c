/* test_yaml.c: the core schema, places in errors, and texts that want too much. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/yaml.h"
#include "base/yaml_int.h"

static struct yaml *parsed(const char *text)
{
	struct yaml *y;

	if (yaml_parse(&y, text, strlen(text), "f.yaml"))
		fail_msg("%s", err_text());
	return y;
}

static void expect_json(const char *text, const char *want)
{
	struct buf b = BUF_INIT(10000);
	struct yaml *y = parsed(text);

	json_add(&b, yaml_root(y));
	assert_string_equal(buf_str(&b), want);
	buf_release(&b);
	yaml_free(y);
}

static void expect_refused(const char *text, const char *part)
{
	struct yaml *y = (struct yaml *)1;

	assert_int_equal(yaml_parse(&y, text, strlen(text), "f.yaml"), ERR_INPUT);
	assert_null(y);
	if (!strstr(err_text(), part))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), part);
}

static void test_yaml_parse__core_schema(void **state)
{
	(void)state;
	expect_json("a: 1\nb: -2\nc: +3\nd: 0x1F\ne: 0o17\nf: 012\n",
		    "{\"a\":1,\"b\":-2,\"c\":3,\"d\":31,\"e\":15,\"f\":12}");
	expect_json("[1.5, .5, 2e-4, 1., -1E+3, 1e3]", "[1.5,0.5,0.0002,1.0,-1000.0,1000.0]");
	expect_json("[true, True, TRUE, false, null, ~, Null, ]", "[true,true,true,false,null,null,null]");
	expect_json("[yes, on, 1%, 1_000, 0x, 0o9, 1e, ., +, +-1, tRUE, 12:30, 2024-01-02, e5, '', \"\"]",
		    "[\"yes\",\"on\",\"1%\",\"1_000\",\"0x\",\"0o9\",\"1e\",\".\",\"+\",\"+-1\",\"tRUE\",\"12:30\","
		    "\"2024-01-02\",\"e5\",\"\",\"\"]");
	expect_json("['1', \"true\", 'null']", "[\"1\",\"true\",\"null\"]");
	expect_json("a: |\n  x\n  y\nb: >-\n  x\n  y\nc:\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\",\"c\":null}");
	expect_json("a: !!str 1\nb: !!int '3'\nc: !!float 2\nd: ! 5\ne: !!map {}\n",
		    "{\"a\":\"1\",\"b\":3,\"c\":2.0,\"d\":\"5\",\"e\":{}}");
	expect_json("1: a\ntrue: b\nnull: c\n", "{\"1\":\"a\",\"null\":\"c\",\"true\":\"b\"}");
	expect_json("a: {x: [1,\n2]\n}\n", "{\"a\":{\"x\":[1,2]}}");
	expect_json("- - a\n  - b\n- c: d\n  e: f\n", "[[\"a\",\"b\"],{\"c\":\"d\",\"e\":\"f\"}]");
}

static void test_yaml_parse__empty_is_an_empty_object(void **state)
{
	(void)state;
	expect_json("", "{}");
	expect_json("# only a comment\n", "{}");
	expect_json("---\n", "{}");
	expect_json("\xef\xbb\xbf"
		    "a: 1",
		    "{\"a\":1}");
	expect_json("---\na: 1\n...\n", "{\"a\":1}");
}

static void test_yaml_parse__aliases(void **state)
{
	(void)state;
	expect_json("a: &x {k: [1]}\nb: *x\nc: [*x, *x]\n",
		    "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":[{\"k\":[1]},{\"k\":[1]}]}");
	expect_json("a: &x one\nb: &x two\nc: *x\n", "{\"a\":\"one\",\"b\":\"two\",\"c\":\"two\"}");
	expect_refused("a: *x\n", "f.yaml:1:4: alias *x has no anchor");
	expect_refused("a: &x [*x]\n", "within its own anchor");
	expect_refused("a: &x k\n*x : 1\n", "alias as a key");
}

static void test_yaml_parse__refuses_with_places(void **state)
{
	(void)state;
	expect_refused("a: 1\nb:\n  c: 2\n  c: 3\n", "f.yaml:4:3: key \"c\" stands here twice (first in line 3)");
	expect_refused("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document");
	expect_refused("a: .inf\n", "f.yaml:1:4: .inf");
	expect_refused("a: .NaN\n", ".NaN");
	expect_refused("a: 99999999999999999999\n", "f.yaml:1:4: integer 99999999999999999999");
	expect_refused("a: 1e999\n", "out of range");
	expect_refused("a: \"x\\0y\"\n", "f.yaml:1:4: text with a NUL");
	expect_refused("\"x\\0y\": 1\n", "key with a NUL");
	expect_refused("ok: 1\nb\xff: 2\n", "f.yaml:2:2: byte 0xff");
	expect_refused("? [1]\n: 2\n", "f.yaml:1:3: a key must be a scalar");
	expect_refused("a: !!int x\n", "type of its tag");
	expect_refused("a: !!map [1]\n", "type of its tag");
}

/* The parser's own words reach the text, and nothing is printed. */
static void test_yaml_parse__syntax_errors_are_captured(void **state)
{
	static const char *const bad[] = { "a: [1, 2\nb: }\n", "a: b: c\n",    "\ta: 1\n",          "a: 'x\n", "a: [\n",
					   "- a\nb: 1\n",      "a: \"\\q\"\n", "%YAML 9.9\n---\na", "@x" };
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);
	long printed;

	(void)state;
	assert_non_null(f);
	fflush(stderr);
	dup2(fileno(f), STDERR_FILENO);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect_refused(bad[i], "f.yaml:");
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	fseek(f, 0, SEEK_END);
	printed = ftell(f);
	fclose(f);
	assert_int_equal(printed, 0);
	expect_refused("ok: 1\na: [1, 2\nb: }\n", "f.yaml:3:4: not YAML: ");
}

static void test_yaml_parse_python__functions_and_the_last_of_two_keys(void **state)
{
	const char *text = "a: !function u.f\nl: [!function u.g]\na: 2\n";
	struct buf b = BUF_INIT(1000);
	struct yaml *y;

	(void)state;
	log_set_level(LOG_QUIET);
	assert_int_equal(yaml_parse_python(&y, text, strlen(text), "f.yaml"), 0);
	json_add(&b, yaml_root(y));
	assert_string_equal(buf_str(&b), "{\"a\":2,\"l\":[{\"!function\":\"u.g\"}]}");
	yaml_error(y, yaml_root(y), "a", "here");
	assert_string_equal(err_text(), "f.yaml:3:1: here");
	yaml_free(y);
	buf_release(&b);
	assert_int_equal(yaml_parse_python(&y, "a: !other x\n", 12, "f.yaml"), ERR_INPUT);
	assert_int_equal(yaml_parse_python(&y, "a: !functions x\n", 16, "f.yaml"), ERR_INPUT);
	assert_int_equal(yaml_parse_python(&y, "a: !function [x]\n", 17, "f.yaml"), ERR_INPUT);
}

/* As a value, as a key, and between others: the same text. */
static void check_quoted(const json_t *one, bool python)
{
	static const char *const around[][2] = {
		{ "a: ", "\n" }, { "[", ", x]" }, { "- {a: ", "}\n" }, { "? ", "\n: 1\n" }
	};
	const char *text = json_get_text(one, "text", NULL), *want = json_get_text(one, "value", NULL), *key, *got;
	json_t *value;

	assert_non_null(text);
	assert_non_null(want);
	for (size_t i = 0; i < ARRAY_LEN(around); i++) {
		char *all = mem_printf("%s%s%s", around[i][0], text, around[i][1]);
		struct yaml *y;

		if ((python ? yaml_parse_python : yaml_parse)(&y, all, strlen(all), "f.yaml"))
			fail_msg("%s: %s", all, err_text());
		value = yaml_root(y);
		if (json_is_array(value))
			value = json_array_get(value, 0);
		got = json_string_value(json_is_object(value) ? json_object_get(value, "a") : value);
		if (i == 3)
			json_object_foreach(value, key, value) got = key;
		if (!got || strcmp(got, want) != 0)
			fail_msg("%s\ngives \"%s\", not \"%s\"", all, got ? got : "nothing", want);
		yaml_free(y);
		free(all);
	}
}

static void test_yaml_parse__quoted_text_is_what_python_reads(void **state)
{
	json_t *doc = NULL, *one;
	size_t i;

	(void)state;
	if (json_read(&doc, "tests/golden/yaml.json", 1 << 20))
		fail_msg("%s", err_text());
	assert_true(json_array_size(json_object_get(doc, "both")) > 40);
	assert_true(json_array_size(json_object_get(doc, "python")) > 5);
	json_array_foreach(json_object_get(doc, "both"), i, one)
	{
		check_quoted(one, false);
		check_quoted(one, true);
	}
	json_array_foreach(json_object_get(doc, "python"), i, one) check_quoted(one, true);
	json_decref(doc);
	/* no line break for YAML 1.2; JSON's way beyond U+FFFF */
	expect_json("a: 'x\xe2\x80\xa8 y'", "{\"a\":\"x\xe2\x80\xa8 y\"}");
	expect_json("{\"a\": \"\\ud83d\\uDE00\"}", "{\"a\":\"\xf0\x9f\x98\x80\"}");
}

static void expect_place(const char *text, char mark, size_t want, const char *says)
{
	struct buf b = BUF_INIT(1000);
	const char *why;
	size_t at;

	if (yaml_unquote(&b, text, strlen(text), mark, false, &why, &at))
		fail_msg("%s: nothing wrong was found", text);
	assert_int_equal(at, want);
	assert_non_null(strstr(why, says));
	buf_release(&b);
}

/* The parser looks at escapes first, so that its words are heard; ours stand behind them. */
static void test_yaml_unquote__bad_escapes(void **state)
{
	static const char *const bad[] = { "\"\\q\"",         "\"\\'\"",         "\"\\x4\"",    "\"\\xg0\"",
					   "\"\\u00e\"",      "\"\\ud83d\"",     "\"\\udc00\"", "\"\\ud83d\\ud83d\"",
					   "\"\\U00110000\"", "\"\\Uffffffff\"", "\"\\" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *text = mem_printf("ok: 1\na:\n  %s\n", bad[i]);

		expect_refused(text, "f.yaml:");
		free(text);
	}
	expect_refused("ok: 1\na: \"\xc3\xa9\\q\"\n", "f.yaml:2:6: not YAML: invalid escape 'q'");
	expect_place("ab\\q", '"', 2, "no such escape");
	expect_place("\\", '"', 0, "no such escape");
	expect_place("a \\x4", '"', 2, "more digits");
	expect_place("\\x-1", '"', 0, "more digits");
	expect_place("\\u00e", '"', 0, "more digits");
	expect_place("\n\\U00110000", '"', 1, "no character");
	expect_place("\\ud83d", '"', 0, "no character");
	expect_place("\\ud83d\\u0041", '"', 0, "no character");
	expect_place("\\ud83d\\ude0", '"', 0, "no character");
	expect_place("\\udE00", '"', 0, "no character");
}

static void test_yaml_parse__hostile_quotes(void **state)
{
	static const char *const open[] = { "'",        "\"",        "a: '",    "a: \"x\\",     "a: 'x''",
					    "a: \"\\x", "a: \"\\\n", "['a', '", "a: 'x\n---\n'" };
	size_t len = (size_t)4 << 20;
	char *big = mem_alloc(len + 1);
	struct yaml *y;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		expect_refused(open[i], "f.yaml:");
	/* libfyaml frees something twice when it is closed after these */
	expect_refused("? b:\t:", "not YAML: cannot use tab");
	expect_refused("? b:\t|\n  x\n", "not YAML: cannot use tab");
	assert_int_equal(yaml_parse(&y, "a: 'x\0y'\n", 10, "f.yaml"), ERR_INPUT);
	assert_int_equal(yaml_parse(&y, "a: \"x\0", 7, "f.yaml"), ERR_INPUT);
	expect_refused("a: 'x\xff'\n", "f.yaml:1:6: byte 0xff");
	expect_refused("a: '\xe2\x80'\n", "byte 0xe2");
	expect_refused("a: \"x\\0y\"\n", "text with a NUL");
	memset(big, '\'', len); /* nothing but quotes */
	assert_int_equal(yaml_parse(&y, big, len, "f.yaml"), 0);
	assert_int_equal(json_string_length(yaml_root(y)), len / 2 - 1);
	yaml_free(y);
	assert_int_equal(yaml_parse(&y, big, len - 1, "f.yaml"), ERR_INPUT);
	memset(big, '\n', len); /* nothing but line breaks */
	big[0] = big[len - 1] = '"';
	assert_int_equal(yaml_parse(&y, big, len, "f.yaml"), 0);
	assert_int_equal(json_string_length(yaml_root(y)), len - 3);
	yaml_free(y);
	free(big);
}

static void test_yaml_merge__members_keep_their_places(void **state)
{
	struct yaml *a, *b, *c;
	struct buf out = BUF_INIT(1000);

	(void)state;
	assert_int_equal(yaml_parse(&a, "x: 1\n", 5, "a.yaml"), 0);
	assert_int_equal(yaml_parse(&b, "\nx: 2\ny: [3, {z: 4}]\n", 22, "b.yaml"), 0);
	assert_int_equal(yaml_parse(&c, "\n\n\nx: 5\n", 8, "c.yaml"), 0);
	yaml_merge(b, yaml_root(b), c, yaml_root(c), false);
	yaml_merge(a, yaml_root(a), b, yaml_root(b), false);
	json_add(&out, yaml_root(a));
	assert_string_equal(buf_str(&out), "{\"x\":1,\"y\":[3,{\"z\":4}]}");
	yaml_error(a, yaml_root(a), "x", "own");
	assert_string_equal(err_text(), "a.yaml:1:1: own");
	yaml_error(a, yaml_root(a), "y", "theirs");
	assert_string_equal(err_text(), "b.yaml:3:1: theirs");
	yaml_error(a, json_array_get(json_object_get(yaml_root(a), "y"), 1), "z", "deep");
	assert_string_equal(err_text(), "b.yaml:3:9: deep");
	yaml_merge(a, yaml_root(a), c, yaml_root(c), true);
	assert_int_equal(json_integer_value(json_object_get(yaml_root(a), "x")), 5);
	yaml_error(a, yaml_root(a), "x", "over");
	assert_string_equal(err_text(), "c.yaml:4:1: over");
	yaml_free(a);
	yaml_free(b);
	yaml_free(c);
	buf_release(&out);
}

static void test_yaml_parse__function_tag_names_the_key(void **state)
{
	(void)state;
	expect_refused("task: x\nprocess_docs: !function utils.process_docs\n",
		       "f.yaml:2:15: tag !function at key \"process_docs\"");
	assert_non_null(strstr(err_fix(), "Python"));
	expect_refused("filters:\n  - !foo bar\n", "f.yaml:2:5: tag !foo at key \"filters\"");
	expect_refused("!!python/object:os.system x", "not supported");
	expect_refused("%TAG !! tag:evil,1:\n---\na: !!str 1\n", "not supported");
	expect_refused("!foo a: 1\n", "not supported");
}

static void test_yaml_parse__depth_is_bounded(void **state)
{
	struct buf b = BUF_INIT(10000);

	(void)state;
	for (int i = 0; i < 60; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < 60; i++)
		buf_addc(&b, ']');
	yaml_free(parsed(buf_str(&b)));
	buf_clear(&b);
	for (int i = 0; i < 200; i++)
		buf_addf(&b, "%*sk:\n", i, "");
	expect_refused(buf_str(&b), "f.yaml:");
	buf_clear(&b);
	for (int i = 0; i < 3000; i++)
		buf_addc(&b, '[');
	expect_refused(buf_str(&b), "f.yaml:1:");
	/* depth behind aliases: 40 levels in 40 levels */
	buf_clear(&b);
	buf_adds(&b, "a: &x ");
	for (int i = 0; i < 40; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < 40; i++)
		buf_addc(&b, ']');
	buf_adds(&b, "\nb: ");
	for (int i = 0; i < 40; i++)
		buf_addc(&b, '[');
	buf_adds(&b, "*x");
	for (int i = 0; i < 40; i++)
		buf_addc(&b, ']');
	expect_refused(buf_str(&b), "f.yaml:2:44: more than 64 levels");
	buf_release(&b);
}

static void test_yaml_parse__billion_laughs_end_early(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	buf_adds(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 12; i++) {
		buf_addf(&b, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			buf_addf(&b, "%s*a%d", j ? ", " : "", i - 1);
		buf_adds(&b, "]\n");
	}
	expect_refused(buf_str(&b), "more than 1000000 values");
	/* few values, but long ones */
	buf_clear(&b);
	buf_adds(&b, "a: &a ");
	for (int i = 0; i < 100000; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\nb: [*a");
	for (int i = 0; i < 1000; i++)
		buf_adds(&b, ", *a");
	buf_adds(&b, "]\n");
	expect_refused(buf_str(&b), "bytes of text");
	buf_release(&b);
}

static void test_yaml_parse__size_is_bounded(void **state)
{
	size_t len = ((size_t)16 << 20) + 1;
	char *big = mem_alloc(len);
	struct yaml *y;

	(void)state;
	memset(big, '#', len);
	assert_int_equal(yaml_parse(&y, big, len, "f.yaml"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "larger than"));
	free(big);
}

static void test_yaml_error__knows_the_places(void **state)
{
	struct yaml *y = parsed("a: 1\nlist:\n  - x\n  - {k: true}\nflag:   false\n");
	json_t *root = yaml_root(y), *list = json_object_get(root, "list");

	(void)state;
	assert_int_equal(yaml_error(y, root, "flag", "no %d", 7), ERR_INPUT);
	assert_string_equal(err_text(), "f.yaml:5:1: no 7");
	yaml_error(y, json_array_get(list, 1), "k", "x");
	assert_string_equal(err_text(), "f.yaml:4:6: x");
	yaml_error(y, json_array_get(list, 0), NULL, "x"); /* a scalar */
	assert_string_equal(err_text(), "f.yaml:3:5: x");
	yaml_error(y, list, "1", "x"); /* an item of a list */
	assert_string_equal(err_text(), "f.yaml:4:5: x");
	yaml_error(y, list, NULL, "x");
	assert_string_equal(err_text(), "f.yaml:3:3: x");
	yaml_error(y, root, "absent", "x"); /* the object that lacks it */
	assert_string_equal(err_text(), "f.yaml:1:1: x");
	yaml_error(y, NULL, NULL, "x");
	assert_string_equal(err_text(), "f.yaml: x");
	yaml_free(y);
}

static void test_yaml_check_keys__names_the_nearest(void **state)
{
	static const char *const known[] = { "rank", "epochs", "learning_rate" };
	struct yaml *y = parsed("rank: 1\nlerning_rate: 2\n"), *z = parsed("rank: 1\nzebra: 2\n"), *l = parsed("[1]");

	(void)state;
	assert_int_equal(yaml_check_keys(y, yaml_root(y), "finetune", known, 3), ERR_INPUT);
	assert_string_equal(err_text(),
			    "f.yaml:2:1: unknown key \"lerning_rate\" in finetune; did you mean \"learning_rate\"?");
	assert_int_equal(yaml_check_keys(z, yaml_root(z), "finetune", known, 3), ERR_INPUT);
	assert_string_equal(err_text(), "f.yaml:2:1: unknown key \"zebra\" in finetune");
	assert_string_equal(err_fix(), "known here: rank, epochs, learning_rate");
	assert_int_equal(yaml_check_keys(z, yaml_root(z), "finetune", (const char *const[]){ "rank", "zebra" }, 2), 0);
	assert_int_equal(yaml_check_keys(l, yaml_root(l), "finetune", known, 3), ERR_INPUT);
	yaml_free(y);
	yaml_free(z);
	yaml_free(l);
}

static void test_yaml_get__types_and_ranges(void **state)
{
	struct yaml *y = parsed("t: x\ni: 3\nr: 0.5\nf: true\no: {a: 1}\nl: [1]\nn:\n");
	const char *t = "default";
	json_t *root = yaml_root(y), *o = NULL, *l = NULL;
	int64_t i = 9;
	double r = 9;
	bool f = false;

	(void)state;
	assert_int_equal(yaml_get_text(y, root, "absent", &t), 0);
	assert_string_equal(t, "default");
	assert_int_equal(yaml_get_text(y, root, "t", &t), 0);
	assert_string_equal(t, "x");
	assert_int_equal(yaml_get_text(y, root, "i", &t), ERR_INPUT);
	assert_string_equal(err_text(), "f.yaml:2:1: i must be text, not an integer");
	assert_non_null(strstr(err_fix(), "quote"));
	assert_int_equal(yaml_get_int(y, root, "i", 0, 3, &i), 0);
	assert_int_equal(i, 3);
	assert_int_equal(yaml_get_int(y, root, "i", 4, INT64_MAX, &i), ERR_INPUT);
	assert_string_equal(err_text(), "f.yaml:2:1: i is 3, but must be at least 4");
	assert_int_equal(yaml_get_int(y, root, "i", 0, 2, &i), ERR_INPUT);
	assert_int_equal(yaml_get_int(y, root, "r", 0, 2, &i), ERR_INPUT);
	assert_int_equal(yaml_get_int(y, root, "n", 0, 2, &i), ERR_INPUT);
	assert_string_equal(err_text(), "f.yaml:7:1: n must be an integer, not empty");
	assert_int_equal(yaml_get_real(y, root, "r", 0, 1, &r), 0);
	assert_true(r == 0.5);
	assert_int_equal(yaml_get_real(y, root, "i", 0, 10, &r), 0);
	assert_true(r == 3.0);
	assert_int_equal(yaml_get_real(y, root, "i", 0, 1, &r), ERR_INPUT);
	assert_int_equal(yaml_get_real(y, root, "t", 0, 1, &r), ERR_INPUT);
	assert_int_equal(yaml_get_flag(y, root, "f", &f), 0);
	assert_true(f);
	assert_int_equal(yaml_get_flag(y, root, "t", &f), ERR_INPUT);
	assert_int_equal(yaml_get_object(y, root, "o", &o), 0);
	assert_true(json_is_object(o));
	assert_int_equal(yaml_get_object(y, root, "l", &o), ERR_INPUT);
	assert_int_equal(yaml_get_array(y, root, "l", &l), 0);
	assert_true(json_is_array(l));
	assert_int_equal(yaml_get_array(y, root, "o", &l), ERR_INPUT);
	yaml_free(y);
}

/* Cut and changed texts: whatever they are, an answer comes and nothing is lost (the sanitizers watch). */
static void test_yaml_parse__survives_mutation(void **state)
{
	static const char text[] = "a: &x {k: [1, 2.5, 'q'], \"m\": ~}\ns: [ , \"\\x41\\\n  \\\\\\\n \\n\"]\nb: *x\nc: "
				   "|\n  text\n  more\n? d\n: - e\n  - !!str f\n";
	static const char noise[] = "\n \t:{}[]&*!|>'\"%#-?,\\\0\xff~x1";
	struct rng r;
	int good = 0;

	(void)state;
	rng_seed(&r, 5, 0);
	for (int i = 0; i < 3000; i++) {
		size_t len = 1 + (size_t)rng_below(&r, sizeof(text) - 1);
		char *copy = mem_copy(text, sizeof(text));
		struct yaml *y;
		int rc;

		for (uint64_t n = rng_below(&r, 4); n; n--)
			copy[rng_below(&r, len)] = noise[rng_below(&r, sizeof(noise) - 1)];
		rc = yaml_parse(&y, copy, len, "f.yaml");
		assert_true(rc == 0 || rc == ERR_INPUT);
		assert_true((y != NULL) == (rc == 0));
		good += !rc;
		yaml_free(y);
		free(copy);
	}
	assert_true(good > 100 && good < 2900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_parse__core_schema),
		cmocka_unit_test(test_yaml_parse__empty_is_an_empty_object),
		cmocka_unit_test(test_yaml_parse__aliases),
		cmocka_unit_test(test_yaml_parse__refuses_with_places),
		cmocka_unit_test(test_yaml_parse__syntax_errors_are_captured),
		cmocka_unit_test(test_yaml_parse_python__functions_and_the_last_of_two_keys),
		cmocka_unit_test(test_yaml_parse__quoted_text_is_what_python_reads),
		cmocka_unit_test(test_yaml_unquote__bad_escapes),
		cmocka_unit_test(test_yaml_parse__hostile_quotes),
		cmocka_unit_test(test_yaml_merge__members_keep_their_places),
		cmocka_unit_test(test_yaml_parse__function_tag_names_the_key),
		cmocka_unit_test(test_yaml_parse__depth_is_bounded),
		cmocka_unit_test(test_yaml_parse__billion_laughs_end_early),
		cmocka_unit_test(test_yaml_parse__size_is_bounded),
		cmocka_unit_test(test_yaml_error__knows_the_places),
		cmocka_unit_test(test_yaml_check_keys__names_the_nearest),
		cmocka_unit_test(test_yaml_get__types_and_ranges),
		cmocka_unit_test(test_yaml_parse__survives_mutation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
