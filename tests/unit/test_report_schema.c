/* test_report_schema.c: docs/report.schema.json, which other tools hold a report against, and report_check(), which we do,
 * say the same: of a whole report, and of that report with each of its values replaced in turn by one of every type, or
 * taken away. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci_int.h"
#include "evals/json_int.h"
#include "unit/report_fixture.h"

static struct schema *schema;
static size_t tried, refused;

static json_t *whole_report(void)
{
	json_t *r = fixture(3);

	json_object_update_new(r, json_pack("{s:s,s:s,s:n,s:[{s:s,s:s,s:n,s:s,s:i,s:f,s:f,s:n,s:b}],s:[{s:s,s:[[f,f,i]]"
					    ",s:[[f,f,i]]}],s:[{s:"
					    "s,s:s,s:i,s:n,s:s}],s:[{s:s,s:s,s:s}]}",
					    "created", "2026-11-24T03:38:00Z", "kind", "run", "name", "slices", "task",
					    "de", "metric", "acc", "filter", "slice", "north", "n", 40, "value", 0.5,
					    "stderr", 0.02, "baseline", "higher_is_better", 1, "calibration", "task",
					    "de", "bins", 0.3, 0.25, 10, "baseline", 0.8, 0.6, 30, "datasets", "path",
					    "data/train.jsonl", "digest", "ab12", "rows", 7, "bytes", "role", "train",
					    "edges", "from", "data:ab12", "to", "model:m1", "relation", "trained"));
	json_object_set_new(json_object_get(r, "training"), "validation", json_pack("[[i,f],[i,n]]", 1, 0.5, 2));
	json_object_set_new(json_object_get(r, "training"), "before",
			    json_pack("{s:s,s:[[i,f]],s:n}", "run", "r0", "curve", 1, 2.5, "validation"));
	return r;
}

static void agree(const json_t *r, const char *where, const char *what)
{
	bool holds = false;
	int rc = report_check(r);

	tried++;
	refused += rc != 0;
	if (schema_holds(&holds, schema, r))
		fail_msg("%s", err_text());
	if (holds != (rc == 0))
		fail_msg("%s = %s: the schema says %d, report_check %d (%s)", where, what, holds, rc == 0,
			 rc ? err_text() : "");
}

static const char *const values[] = { "null", "true", "3", "-7", "1.5", "\"x\"", "[]", "{}", "[1]", "[{}]", "[[1,2]]" };

static void mutate(json_t *root, json_t *v, const char *where)
{
	const char *key;
	json_t *copy = json_deep_copy(v), *item;
	size_t i;

	json_object_foreach(copy, key, item)
	{
		char *at = mem_printf("%s.%s", where, key);

		for (i = 0; i < ARRAY_LEN(values); i++) {
			json_object_set_new(v, key, json_loads(values[i], JSON_DECODE_ANY, NULL));
			agree(root, at, values[i]);
		}
		json_object_del(v, key);
		agree(root, at, "nothing");
		json_object_set(v, key, item);
		mutate(root, item, at);
		free(at);
	}
	json_array_foreach(copy, i, item)
	{
		char *at = mem_printf("%s[%zu]", where, i);

		for (size_t k = 0; k < ARRAY_LEN(values); k++) {
			json_array_set_new(v, i, json_loads(values[k], JSON_DECODE_ANY, NULL));
			agree(root, at, values[k]);
		}
		json_array_set(v, i, item);
		mutate(root, item, at);
		free(at);
	}
	json_decref(copy);
}

static void test_report_schema__says_what_report_check_says(void **state)
{
	json_t *doc = NULL, *r = whole_report();

	(void)state;
	if (json_read(&doc, "docs/report.schema.json", 1 << 20) || schema_new(&schema, doc))
		fail_msg("%s", err_text());
	agree(r, "the report", "as it is");
	assert_int_equal(refused, 0);
	mutate(r, r, "");
	assert_true(tried > 1500);
	assert_true(refused > 1000);
	json_object_set_new(r, "kind", json_string("diff"));
	agree(r, "kind", "diff, with a verdict");
	json_object_set_new(r, "verdict", json_null());
	agree(r, "kind", "diff, with exit 1");
	json_object_set_new(r, "exit", json_integer(0));
	agree(r, "kind", "diff");
	assert_int_equal(report_check(r), 0);
	schema_free(schema);
	json_decref(doc);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_report_schema__says_what_report_check_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
