/* Tests of artifacts/lineage.c: versions of data sets, what they became, and where a model came from. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts_fixture.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void edge(json_t *edges, const char *from_kind, const char *from, const char *object, const char *relation)
{
	char *a = mem_printf("%s:%s", from_kind, from), *b = mem_printf("model:%s", object);

	json_array_append_new(edges, json_pack("{s:s,s:s,s:s}", "from", a, "to", b, "relation", relation));
	free(a);
	free(b);
}

/* A run that trained `weights` on a content of data/train.jsonl, from a base of other weights (NULL: none). */
static int train(struct fixture *f, const char *weights, const char *digest, const char *relation, const char *base,
		 char commit, char object[DIGEST_HEX], char id[DIGEST_HEX])
{
	json_t *r = run_record(f->store, weights, commit, "main", "protected"), *edges = json_array();
	char from[DIGEST_HEX];
	int number;

	put_text(f->store, weights, object);
	edge(edges, "data", digest, object, relation);
	if (base) {
		put_text(f->store, base, from);
		edge(edges, "model", from, object, "base of");
	}
	json_object_set_new(r, "edges", edges);
	json_object_set_new(r, "product", json_pack("{s:s,s:i}", "object", object, "seed", 7));
	json_object_set_new(r, "datasets",
			    json_pack("[{s:s,s:s,s:i,s:i,s:s,s:s,s:{s:{s:i,s:[s]}}}]", "path", "data/train.jsonl",
				      "digest", digest, "rows", 9, "bytes", 900, "role",
				      strcmp(relation, "trained") ? "validation" : "train", "license", "CC0-1.0",
				      "schema", "text", "rows", 9, "types", "text"));
	must(registry_add_run(f->registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

static json_t *data_of(struct fixture *f, const char *name)
{
	json_t *rows = NULL;

	must(registry_data(f->registry, name, &rows));
	return rows;
}

static void test_registry_data__is_numbered_by_content(void **state)
{
	struct fixture *f = *state;
	char object[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows, *row;

	train(f, "one", DIGEST_A, "trained", NULL, '1', object, id);
	train(f, "two", DIGEST_B, "trained", NULL, '2', object, id);
	train(f, "three", DIGEST_A, "trained", NULL, '3', object, id); /* back to the first */
	rows = data_of(f, "data/train.jsonl");
	assert_int_equal(json_array_size(rows), 2);
	row = json_array_get(rows, 0);
	assert_int_equal(json_get_int(row, "number", 0), 2);
	assert_string_equal(json_get_text(row, "digest", ""), DIGEST_B);
	row = json_array_get(rows, 1);
	assert_int_equal(json_get_int(row, "number", 0), 1);
	assert_int_equal(json_get_int(row, "runs", 0), 2);
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('1'));
	assert_string_equal(json_get_text(row, "license", ""), "CC0-1.0");
	assert_int_equal(json_get_int(json_object_get(json_object_get(row, "schema"), "text"), "rows", 0), 9);
	json_decref(rows);
	rows = data_of(f, "data/train.jsonl@v2");
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
	rows = data_of(f, "aaaaaa");
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
	rows = data_of(f, "data/other.jsonl");
	assert_int_equal(json_array_size(rows), 0);
	json_decref(rows);
}

static void test_registry_reached__through_bases(void **state)
{
	struct fixture *f = *state;
	char object[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL, *row;

	train(f, "one", DIGEST_A, "trained", NULL, '1', object, id);
	train(f, "two", DIGEST_B, "trained", "one", '2', object, id);
	train(f, "three", DIGEST_B, "trained", "two", '3', object, id);
	train(f, "alone", DIGEST_B, "trained", NULL, '4', object, id);
	must(promote_to(f, 2, 0));
	must(promote_to(f, 4, 2));
	must(registry_reached(f->registry, DIGEST_A, &rows));
	assert_int_equal(json_array_size(rows), 3);
	row = json_array_get(rows, 0);
	assert_int_equal(json_get_int(row, "version", 0), 3);
	assert_int_equal(json_get_int(row, "depth", 0), 2);
	row = json_array_get(rows, 1); /* was in production, and is not now */
	assert_int_equal(json_get_int(row, "version", 0), 2);
	assert_int_equal(json_array_size(json_object_get(row, "aliases")), 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "held"), 0)), "production");
	json_decref(rows);
	rows = NULL;
	must(registry_reached(f->registry, DIGEST_B, &rows));
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_array_get(rows, 0), "aliases"), 0)),
			    "production");
	json_decref(rows);
	rows = NULL;
	must(registry_reached(f->registry, "cccccc", &rows));
	assert_int_equal(json_array_size(rows), 0);
	json_decref(rows);
}

static void test_registry_reached__held_out_is_no_training(void **state)
{
	struct fixture *f = *state;
	char object[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL;

	train(f, "one", DIGEST_A, "validated", NULL, '1', object, id);
	must(registry_reached(f->registry, DIGEST_A, &rows));
	assert_string_equal(json_get_text(json_array_get(rows, 0), "role", ""), "validation");
	json_decref(rows);
}

static void test_registry_reached__a_ring_ends(void **state)
{
	struct fixture *f = *state;
	char object[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL;

	train(f, "one", DIGEST_A, "trained", "two", '1', object, id);
	train(f, "two", DIGEST_B, "trained", "one", '2', object, id);
	must(registry_reached(f->registry, DIGEST_A, &rows));
	assert_int_equal(json_array_size(rows), 2);
	json_decref(rows);
	rows = NULL;
	must(registry_origin(f->registry, object, &rows)); /* no longer than the bound */
	assert_int_equal(json_array_size(rows), 64);
	json_decref(rows);
}

static void test_registry_origin__down_to_the_first(void **state)
{
	struct fixture *f = *state;
	char object[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL, *row;

	train(f, "two", DIGEST_B, "trained", "one", '2', object, id);
	must(registry_origin(f->registry, object, &rows)); /* the run of "one" is not known */
	assert_int_equal(json_array_size(rows), 2);
	assert_null(json_object_get(json_array_get(rows, 1), "run"));
	json_decref(rows);
	rows = NULL;
	train(f, "one", DIGEST_A, "trained", NULL, '1', object, id);
	put_text(f->store, "two", object);
	must(registry_origin(f->registry, object, &rows));
	assert_int_equal(json_array_size(rows), 2);
	row = json_array_get(rows, 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "versions"), 0)), "bot@v1");
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('2'));
	assert_int_equal(json_get_int(row, "seed", 0), 7);
	assert_string_equal(json_get_text(row, "key", ""), "two");
	row = json_array_get(rows, 1);
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('1'));
	assert_string_equal(json_get_text(json_array_get(json_object_get(row, "data"), 0), "digest", ""), DIGEST_A);
	assert_true(json_is_null(json_object_get(row, "base")));
	json_decref(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registry_data__is_numbered_by_content),     TEST(test_registry_reached__through_bases),
		TEST(test_registry_reached__held_out_is_no_training), TEST(test_registry_reached__a_ring_ends),
		TEST(test_registry_origin__down_to_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
