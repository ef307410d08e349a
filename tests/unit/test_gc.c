/* Tests of artifacts/gc.c: what stays and why, what goes, and that nothing goes where anything is in doubt. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts_fixture.h"

/* A folder of two files, one of which every folder has. */
static void folder(struct fixture *f, const char *name, char hex[DIGEST_HEX])
{
	char *dir = home_path(f, "work/in"), *own = home_path(f, "work/in/weights"),
	     *shared = home_path(f, "work/in/tok");

	must(fs_remove_tree(dir));
	must(fs_write(own, name, strlen(name)));
	must(fs_write(shared, "shared", 6));
	must(store_put_tree(f->store, dir, hex, NULL));
	must(fs_remove_tree(dir));
	free(dir);
	free(own);
	free(shared);
}

/* A run that made a folder of this name, from a base (NULL: none). */
static int made(struct fixture *f, const char *name, const char *base, char hex[DIGEST_HEX])
{
	json_t *r = run_record(f->store, NULL, '1', "main", "protected"), *edges = json_array();
	char id[DIGEST_HEX], from[DIGEST_HEX];
	int number;

	folder(f, name, hex);
	json_object_set_new(r, "artifacts", json_pack("[{s:s,s:s,s:i}]", "role", "model", "object", hex, "size", 1000));
	json_object_set_new(r, "version", json_pack("{s:s,s:s}", "model", "bot", "object", hex));
	json_object_set_new(r, "product", json_pack("{s:s}", "object", hex));
	if (base) {
		char *a, *b;

		folder(f, base, from);
		a = mem_printf("model:%s", from);
		b = mem_printf("model:%s", hex);
		json_array_append_new(edges, json_pack("{s:s,s:s,s:s}", "from", a, "to", b, "relation", "base of"));
		free(a);
		free(b);
	}
	json_object_set_new(r, "edges", edges);
	must(registry_add_run(f->registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

struct told {
	json_t *rows; /* {object: reason, "-" in front of what goes} */
	int stop;
};

static int tell(const struct gc_row *row, void *arg)
{
	struct told *t = arg;
	char *text = mem_printf("%s%s", row->kept ? "" : "-", row->reason);

	json_object_set_new(t->rows, row->object, json_string(text));
	free(text);
	return t->stop;
}

static int collect(struct fixture *f, struct told *t, bool dry_run, int64_t runs, uint64_t bytes,
		   struct gc_totals *totals)
{
	const struct gc_options o = {
		.dry_run = dry_run, .keep_runs = runs, .keep_bytes = bytes, .actor = "ann", .row = tell, .arg = t
	};
	int rc;

	json_decref(t->rows);
	t->rows = json_object();
	registry_close(f->registry);
	f->registry = NULL;
	rc = registry_gc(f->store, &o, totals);
	{
		struct err_saved why = err_save();

		must(registry_open(&f->registry, f->store));
		err_restore(&why);
	}
	return rc;
}

static void reason_has(const struct told *t, const char *hex, const char *text)
{
	assert_text_has(json_get_text(t->rows, hex, "not told"), text);
}

static void test_registry_gc__weights_by_policy_the_rest_for_good(void **state)
{
	struct fixture *f = *state;
	char hex[5][DIGEST_HEX], orphan[DIGEST_HEX], samples[DIGEST_HEX], shared[DIGEST_HEX], own[DIGEST_HEX];
	struct told t = { NULL, 0 };
	struct gc_totals totals;

	made(f, "one", NULL, hex[0]);
	made(f, "two", NULL, hex[1]);
	made(f, "three", "one", hex[2]);
	made(f, "four", NULL, hex[3]);
	made(f, "five", NULL, hex[4]);
	must(promote_to(f, 2, 0)); /* was in production */
	must(promote_to(f, 3, 2)); /* is; its base is one */
	put_text(f->store, "nobody's", orphan);
	put_text(f->store, "{\"id\":1}\n", samples);
	put_text(f->store, "shared", shared);
	put_text(f->store, "four", own);

	must(collect(f, &t, true, 1, 0, &totals));
	reason_has(&t, hex[0], "base of ");
	reason_has(&t, hex[1], "bot@v2, which production was");
	reason_has(&t, hex[2], "bot@v3, which production is");
	reason_has(&t, hex[3], "-weights that no alias held");
	reason_has(&t, hex[4], "weights of the last 1 models");
	reason_has(&t, orphan, "-nothing that stays names it");
	reason_has(&t, samples, "named by record ");
	reason_has(&t, shared, "file of ");
	reason_has(&t, own, "-nothing that stays names it");
	assert_true(store_has_tree(f->store, hex[3])); /* a dry run */
	assert_true(store_has(f->store, orphan));
	must(collect(f, &t, true, 1, 2000, &totals));
	reason_has(&t, hex[3], "weights that the cap has room for");

	must(collect(f, &t, false, 1, 0, &totals));
	assert_int_equal(totals.gone, 3); /* the manifest of four, its file, the orphan */
	assert_false(store_has(f->store, hex[3]));
	assert_false(store_has(f->store, own));
	assert_false(store_has(f->store, orphan));
	for (int i = 0; i < 5; i++)
		assert_int_equal(store_has_tree(f->store, hex[i]), i != 3);
	assert_clean(f->registry); /* recorded: no fault */
	must(collect(f, &t, false, 1, 0, &totals));
	assert_int_equal(totals.gone, 0);
	json_decref(t.rows);
}

static void test_registry_gc__survives_a_rebuild(void **state)
{
	struct fixture *f = *state;
	char hex[2][DIGEST_HEX];
	struct told t = { NULL, 0 };
	struct gc_totals totals;
	uint64_t records;

	made(f, "one", NULL, hex[0]);
	made(f, "two", NULL, hex[1]);
	must(collect(f, &t, false, 0, 0, &totals));
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, &records));
	assert_int_equal(records, 3);
	must(registry_open(&f->registry, f->store));
	assert_clean(f->registry);
	json_decref(t.rows);
}

static void test_registry_gc__waits_for_nobody(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX];
	struct gc_options o = { .keep_runs = 0 };
	struct gc_totals totals;

	made(f, "one", NULL, hex);
	assert_err(registry_gc(f->store, &o, &totals), ERR_BUSY); /* the fixture has it open, as a run would */
	assert_true(store_has_tree(f->store, hex));
	o.dry_run = true;
	must(registry_gc(f->store, &o, &totals));
	assert_int_equal(totals.gone, 3);
	assert_true(store_has_tree(f->store, hex));
}

static void test_registry_gc__doubt_ends_it(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], id[DIGEST_HEX], orphan[DIGEST_HEX], *path;
	struct told t = { NULL, 7 };
	struct gc_totals totals;

	put_text(f->store, "nobody's", orphan);
	add_run(f, NULL, '1', id);
	assert_int_equal(collect(f, &t, false, 0, 0, &totals), 7); /* the caller said no */
	assert_true(store_has(f->store, orphan));
	t.stop = 0;
	made(f, "one", NULL, hex);
	must(promote_to(f, 1, 0));
	must(fs_remove(store_path(f->store, hex)));
	must(fs_write(store_path(f->store, hex), "{\"files\":[1]}", 13));
	assert_err(collect(f, &t, false, 0, 0, &totals), ERR_IO); /* a manifest that stays is damaged */
	assert_true(store_has(f->store, orphan));
	folder(f, "one", hex); /* and is there again */
	path = mem_printf("%s/records/%.2s/%s", f->home, id, id + 2);
	must(fs_remove(path));
	must(fs_write(path, "{}", 2));
	assert_err(collect(f, &t, false, 0, 0, &totals), ERR_IO); /* a record is damaged */
	assert_true(store_has(f->store, orphan));
	free(path);
	json_decref(t.rows);
}

/* The one byte of a manifest by which it is known; and what is moved to bad/ is asked for until it is back, or given up. */
static void test_registry_gc__what_lies_in_bad_could_name_anything(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], weights[DIGEST_HEX], *bad, *file;
	struct told t = { NULL, 0 };
	struct gc_totals totals;
	struct buf whole = BUF_INIT(1 << 20);

	made(f, "one", NULL, hex);
	put_text(f->store, "one", weights);
	must(promote_to(f, 1, 0));
	must(fs_read(&whole, store_path(f->store, hex), 1 << 20));
	whole.data[3] ^= 1;
	must(fs_remove(store_path(f->store, hex)));
	must(fs_write(store_path(f->store, hex), whole.data, whole.len));
	for (int k = 0; k < 3; k++) { /* it is found damaged; then it lies in bad/ */
		assert_err(collect(f, &t, false, 0, 0, &totals), ERR_IO);
		assert_non_null(strstr(err_text(), hex));
		assert_true(store_has(f->store, weights));
	}
	bad = mem_printf("%s/bad/objects.%s", f->home, hex);
	assert_true(fs_exists(bad));
	folder(f, "one", hex); /* made again: nothing is in doubt */
	must(collect(f, &t, false, 0, 0, &totals));
	assert_true(store_has(f->store, weights));
	file = mem_printf("%s/bad/recipes.%s", f->home,
			  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	must(fs_write(file, "x", 1));
	assert_err(collect(f, &t, false, 0, 0, &totals), ERR_IO);
	must(fs_remove(file)); /* given up */
	must(collect(f, &t, false, 0, 0, &totals));
	buf_release(&whole);
	free(bad);
	free(file);
	json_decref(t.rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registry_gc__weights_by_policy_the_rest_for_good),
		TEST(test_registry_gc__survives_a_rebuild),
		TEST(test_registry_gc__waits_for_nobody),
		TEST(test_registry_gc__doubt_ends_it),
		TEST(test_registry_gc__what_lies_in_bad_could_name_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
