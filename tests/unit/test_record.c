/* Tests of artifacts/record.c and ingest.c: what a record must look like, and what becomes of one that lies. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

/* Puts a record file beside the registry's back, as a pull would; gives its name. */
static void plant(struct fixture *f, json_t *record, char id[DIGEST_HEX])
{
	struct buf text = BUF_INIT(1 << 20);

	record_bytes(&text, id, record);
	must(store_write(f->store, VAULT_RECORDS, id, buf_str(&text), text.len));
	buf_release(&text);
}

static void stamp_as(json_t *record, int seq)
{
	json_object_set_new(record, "seq", json_integer(seq));
	json_object_set_new(record, "created", json_string("2026-11-24T03:38:00Z"));
	json_object_set_new(record, "created_ns", json_integer(1000 + seq));
}

static void test_record_file__is_canonical_and_named_by_its_digest(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], found[DIGEST_HEX];
	struct buf file = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	json_t *record = NULL;
	struct digest d;
	char *path;

	assert_int_equal(add_run(f, "w1", '1', id), 1);
	path = store_file(f->store, VAULT_RECORDS, id);
	must(fs_read(&file, path, 1 << 20));
	d = digest_bytes(file.data, file.len);
	digest_hex(found, &d);
	assert_string_equal(found, id);
	must(registry_run(f->registry, id, &record));
	json_add(&again, record);
	assert_string_equal(buf_str(&file), buf_str(&again));
	/* what we do not know is kept */
	assert_int_equal(json_array_size(json_object_get(record, "a_later_member")), 1);
	assert_int_equal(json_get_int(record, "seq", 0), 1);
	assert_true(json_get_int(record, "created_ns", 0) > 0);
	assert_int_equal(strlen(json_get_text(record, "created", "")), 20);
	json_decref(record);
	buf_release(&file);
	buf_release(&again);
	free(path);
}

struct wrong {
	const char *at, *value; /* a/b: member b of a; a/0/b: of its first element */
	const char *says;
};

static json_t *member_of(json_t *v, const char *part)
{
	return part[0] >= '0' && part[0] <= '9' && !part[1] ? json_array_get(v, (size_t)(part[0] - '0'))
							    : json_object_get(v, part);
}

static void set_at(json_t *record, const char *at, const char *value)
{
	char *path = mem_str(at), *save = NULL, *part = strtok_r(path, "/", &save), *next;
	json_t *v = record;

	while ((next = strtok_r(NULL, "/", &save))) {
		v = member_of(v, part);
		part = next;
	}
	assert_non_null(v);
	if (!value)
		json_object_del(v, part);
	else
		assert_int_equal(
			json_object_set_new(v, part, json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)), 0);
	free(path);
}

static int none_such(const char *name, void *arg)
{
	(void)arg;
	return err_set(ERR_BUG, "records/%s was made", name);
}

static void test_record_check__names_the_wrong_member(void **state)
{
	static const struct wrong wrong[] = {
		{ "format", "\"assay-run/9\"", "format" },
		{ "format", "7", "format" },
		{ "commit", NULL, "commit: is missing" },
		{ "commit", "\"HEAD\"", "commit: must be a commit" },
		{ "commit", "12", "commit: must be a commit" },
		{ "trust", "\"root\"", "trust: must be fork, branch or protected" },
		{ "trust", "null", "trust: must not be null" },
		{ "verdict", "\"pass\"", "verdict: must be PASS" },
		{ "verdict", NULL, "verdict: is missing" },
		{ "exit", "-1", "exit: must be a whole number" },
		{ "exit", "0.5", "exit: must be a whole number" },
		{ "dirty", "1", "dirty: must be true or false" },
		{ "branch", "[]", "branch: must be text" },
		{ "steps", "{}", "steps: must be a list" },
		{ "steps/1/status", "3", "steps[1]: status: must be text" },
		{ "stages/0/key", NULL, "stages[0]: key: is missing" },
		{ "metrics", "[3]", "metrics[0]: must be an object" },
		{ "metrics/0/value", "\"0.9\"", "metrics[0]: value: must be a number" },
		{ "metrics/1/n", "-3", "metrics[1]: n: must be a whole number" },
		{ "metrics/0/higher_is_better", "null", "metrics[0]: higher_is_better: must not be null" },
		{ "samples/0/object", "\"abc\"", "samples[0]: object: must be an object name" },
		{ "artifacts/0/size", "\"big\"", "artifacts[0]: size: must be a whole number" },
		{ "datasets/1/bytes", NULL, "datasets[1]: bytes: is missing" },
		{ "edges/0/relation", "null", "edges[0]: relation: must not be null" },
		{ "version", "3", "version: must be an object" },
		{ "version/model", "\"a@b\"", "version: model: must be the name of a model" },
		{ "version/model", "\"\"", "version: model: must be the name of a model" },
		{ "version/model", "\"a@x\"", "version: model: must be the name of a model" },
		{ "datasets/0/path", "\"data\\u0000evil\"", "datasets[0]: path: holds a zero byte" },
		{ "branch", "\"main\\u0000\"", "branch: holds a zero byte" },
		{ "version/object", NULL, "version: object: is missing" },
		{ "proposal", "{\"model\":\"bot\",\"alias\":\"v3\",\"expect\":0}",
		  "proposal: alias: must be the name" },
		{ "proposal", "{\"model\":\"bot\",\"alias\":\"x\",\"expect\":-1}",
		  "proposal: expect: must be a whole" },
		{ "proposal", "{\"model\":\"cat\",\"alias\":\"x\",\"expect\":0}", "proposal.model" },
		{ "metrics",
		  "[{\"suite\":\"s\",\"task\":\"t\",\"metric\":\"m\",\"value\":1,\"n\":1,\"higher_is_better\":true},"
		  "{\"suite\":\"s\",\"task\":\"t\",\"metric\":\"m\",\"value\":2,\"n\":1,\"higher_is_better\":true}]",
		  "metrics[1]" }, /* twice */
	};
	struct fixture *f = *state;
	char *before = dump(f), *after, id[DIGEST_HEX];
	char *records = home_path(f, "records");

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		json_t *r = run_record(f->store, "w1", '1', "main", "branch");
		int rc;

		set_at(r, wrong[i].at, wrong[i].value);
		rc = registry_add_run(f->registry, r, id);
		if (rc != ERR_INPUT)
			fail_msg("%s = %s gave %d", wrong[i].at, wrong[i].value, rc);
		assert_text_has(err_text(), wrong[i].says);
		json_decref(r);
	}
	after = dump(f);
	assert_string_equal(before, after);
	must(fs_list(records, none_such, NULL));
	free(records);
	free(before);
	free(after);
}

static void test_record_check__null_and_absent_where_nothing_is_known(void **state)
{
	static const char *const free_members[] = { "tree",    "branch",    "ref",      "event", "profile", "sentence",
						    "seconds", "tool",      "baseline", "steps", "stages",  "metrics",
						    "samples", "artifacts", "datasets", "edges", "gate",    "dirty" };
	struct fixture *f = *state;
	char id[DIGEST_HEX];

	for (size_t i = 0; i < 2 * ARRAY_LEN(free_members); i++) {
		json_t *r = run_record(f->store, NULL, '1', "main", "fork");

		set_at(r, free_members[i / 2], i % 2 ? NULL : "null");
		must(registry_add_run(f->registry, r, id));
		json_decref(r);
	}
	json_t *r = run_record(f->store, NULL, '1', "main", "fork");
	set_at(r, "commit", "null");          /* the revision could not be read */
	set_at(r, "metrics/0/value", "null"); /* not finite */
	must(registry_add_run(f->registry, r, id));
	json_decref(r);
	assert_clean(f->registry);
}

static void test_record__that_names_an_absent_object_is_refused(void **state)
{
	static const char *const members[] = { "samples/0/object", "artifacts/0/object", "version/object" };
	struct fixture *f = *state;
	char id[DIGEST_HEX];

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *r = run_record(f->store, "w1", '1', "main", "branch");

		set_at(r, members[i], "\"00000000000000000000000000000000000000000000000000000000000000ff\"");
		assert_err(registry_add_run(f->registry, r, id), ERR_INPUT);
		assert_text_has(err_text(), "not in the store");
		json_decref(r);
	}
	assert_int_equal(list_length(f->registry, "runs"), 0);
}

/* A record from elsewhere with a lie in it: taken in as far as it goes, reported, and the same after a rebuild. */
static void test_record__planted_lies(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], taken[DIGEST_HEX], malformed[DIGEST_HEX], later[DIGEST_HEX], ghost[DIGEST_HEX];
	json_t *r, *row = NULL;
	char *text, *before, *after, *path;
	uint64_t n = 0;

	assert_int_equal(add_run(f, "w1", '1', id), 1);

	r = run_record(f->store, "w2", '2', "main", "protected"); /* a number that is another object's */
	stamp_as(r, 5);
	set_at(r, "version/number", "1");
	plant(f, r, taken);
	json_decref(r);
	r = run_record(f->store, NULL, '3', "main", "protected"); /* a verdict that there is not */
	stamp_as(r, 6);
	set_at(r, "verdict", "\"FINE\"");
	plant(f, r, malformed);
	json_decref(r);
	r = json_pack("{s:s,s:[i]}", "format", "assay-later/1", "x", 1); /* from a newer assay */
	plant(f, r, later);
	json_decref(r);
	r = json_pack("{s:s,s:s,s:s,s:i,s:n,s:s,s:s,s:n,s:n,s:b,s:b}", "format", "assay-promotion/1", "model", "bot",
		      "alias", "production", "version", 9, "from", "actor", "eve", "reason", "", "run", "commit",
		      "forced", 0, "rollback", 0);
	stamp_as(r, 7); /* of a version that there is not */
	plant(f, r, ghost);
	json_decref(r);

	fixture_reopen(f);
	text = check_text(f->registry);
	assert_text_has(text, malformed);
	assert_text_has(text, "verdict");
	assert_text_has(text, later);
	assert_text_has(text, ghost);
	assert_null(strstr(text, id));
	assert_null(strstr(text, "table ")); /* database and records agree all the same */
	/* the first did not come in at all; the version is still the first one's */
	assert_null(strstr(text, taken));
	assert_err(registry_run(f->registry, taken, &row), ERR_NOTFOUND);
	path = mem_printf("%s/aside/%s", f->home, taken);
	assert_true(fs_exists(path));
	free(path);
	free(text);
	must(registry_version(f->registry, "bot", 1, &row));
	assert_string_equal(json_get_text(row, "run", ""), id);
	json_decref(row);
	assert_err(registry_run(f->registry, malformed, &row), ERR_NOTFOUND);
	assert_int_equal(list_length(f->registry, "runs"), 1);
	assert_int_equal(list_length(f->registry, "history"), 0);
	assert_int_equal(list_length(f->registry, "versions"), 1);

	before = dump(f);
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, &n));
	assert_int_equal(n, 4);
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	must(registry_open(&f->registry, f->store));
	assert_int_equal(add_run(f, "w3", '4', id), 2);
}

static void test_record__damaged_file_is_moved_aside(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX];
	json_t *record = NULL;
	char *path, *bad, *text;

	add_run(f, "w1", '1', one);
	add_run(f, "w2", '2', two);
	path = store_file(f->store, VAULT_RECORDS, two);
	bad = mem_printf("%s/bad/records.%s", f->home, two);
	must(fs_remove(path));
	must(fs_write(path, "{}", 2));
	assert_err(registry_run(f->registry, two, &record), ERR_IO);
	assert_false(fs_exists(path));
	assert_true(fs_exists(bad));
	text = check_text(f->registry);
	assert_text_has(text, two);
	assert_text_has(text, "its file is gone");
	free(text);
	must(registry_run(f->registry, one, &record));
	json_decref(record);
	/* a rebuild knows what is left, and says so by what it gives */
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, NULL));
	must(registry_open(&f->registry, f->store));
	assert_int_equal(list_length(f->registry, "runs"), 1);
	text = check_text(f->registry);
	assert_text_has(text, two);
	assert_text_has(text, "is damaged and lies in bad/");
	free(text);
	must(fs_remove(bad)); /* given up */
	assert_clean(f->registry);
	free(path);
	free(bad);
}

static void test_record__file_that_does_not_match_its_name(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *path, *from;
	json_t *r = run_record(f->store, NULL, '1', "main", "branch");

	stamp_as(r, 1);
	plant(f, r, id);
	json_decref(r);
	from = store_file(f->store, VAULT_RECORDS, id);
	id[63] = id[63] == '0' ? '1' : '0';
	path = store_file(f->store, VAULT_RECORDS, id);
	must(fs_rename(from, path));
	fixture_reopen(f);
	assert_int_equal(list_length(f->registry, "runs"), 0);
	assert_false(fs_exists(path));
	free(from);
	from = check_text(f->registry);
	assert_text_has(from, id);
	free(path);
	free(from);
}

static void test_trust__names(void **state)
{
	enum trust t = TRUST_FORK;

	(void)state;
	for (int i = TRUST_FORK; i <= TRUST_PROTECTED; i++) {
		must(trust_parse(&t, trust_name((enum trust)i)));
		assert_int_equal(t, i);
	}
	assert_err(trust_parse(&t, "admin"), ERR_INPUT);
	assert_err(trust_parse(&t, ""), ERR_INPUT);
}

static void test_record_version_number__only_versions(void **state)
{
	(void)state;
	assert_int_equal(record_version_number("v7"), 7);
	assert_int_equal(record_version_number("v120"), 120);
	assert_int_equal(record_version_number("v0"), 0);
	assert_int_equal(record_version_number("v07"), 0);
	assert_int_equal(record_version_number("v"), 0);
	assert_int_equal(record_version_number("v7a"), 0);
	assert_int_equal(record_version_number("7"), 0);
	assert_int_equal(record_version_number("v-1"), 0);
	assert_int_equal(record_version_number("v99999999999999999999"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_record_file__is_canonical_and_named_by_its_digest),
		TEST(test_record_check__names_the_wrong_member),
		TEST(test_record_check__null_and_absent_where_nothing_is_known),
		TEST(test_record__that_names_an_absent_object_is_refused),
		TEST(test_record__planted_lies),
		TEST(test_record__damaged_file_is_moved_aside),
		TEST(test_record__file_that_does_not_match_its_name),
		cmocka_unit_test(test_trust__names),
		cmocka_unit_test(test_record_version_number__only_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
