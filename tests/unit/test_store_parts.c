/* Tests of objects in parts, read back: store_parts.c, store_index.c, store_sealed.c, and their repair and collection. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "artifacts/depot.h"
#include "toy.h"

static void test_store_get_tree__of_parts(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	char *in = home_path(f, "work/in"), *file = home_path(f, "work/in/model.safetensors"),
	     *out = home_path(f, "work/out"), *got = home_path(f, "work/out/model.safetensors"), hex[DIGEST_HEX];
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	struct store_view v;
	struct digest d;
	struct stat st;

	nudge(&tuned, 0, 1);
	put_toy(f, &base, hex);
	must(fs_write(file, tuned.data, tuned.len));
	must(store_put_tree(f->store, in, hex, NULL));
	assert_int_equal(count(f->store, VAULT_RECIPES), 1);
	assert_true(store_has_tree(f->store, hex));
	must(store_get_tree(f->store, hex, out));
	must(fs_read(&b, got, BUF_NOLIMIT));
	assert_int_equal(b.len, tuned.len);
	assert_memory_equal(b.data, tuned.data, tuned.len);
	assert_false(stat(got, &st));
	assert_int_equal(st.st_mode & 0777, 0444);
	d = digest_bytes(tuned.data, tuned.len);
	digest_hex(hex, &d);
	must(store_view_open(&v, f->store, hex));
	assert_true(v.temporary);
	buf_clear(&b);
	must(fs_read(&b, v.path, BUF_NOLIMIT));
	assert_memory_equal(b.data, tuned.data, tuned.len);
	store_view_close(&v);
	buf_release(&b);
	free(in);
	free(file);
	free(out);
	free(got);
	free(base.data);
	free(tuned.data);
}

/* ---- damage ---- */

struct told {
	int bad, repaired;
	struct buf names;
};

static int note(const char *hex, const char *why, bool repaired, void *arg)
{
	struct told *t = arg;

	t->bad++;
	t->repaired += repaired;
	buf_addf(&t->names, "%s %s\n", hex, why);
	return 0;
}

/* One bit in each region of a file: never served, named, repaired from a copy; then all is as it was before. */
static void damage_and_repair(struct fixture *f, const struct store_source *from, const char *vault, const char *hex,
			      const char *asked, const struct toy *want)
{
	char *path = store_file(f->store, vault, hex), *whole = store_file(f->store, VAULT_OBJECTS, hex);
	struct told t = { 0, 0, BUF_INIT(1 << 20) };
	struct buf b = BUF_INIT(BUF_NOLIMIT), was = BUF_INIT(BUF_NOLIMIT);
	uint64_t checked;

	must(fs_read(&was, path, BUF_NOLIMIT));
	for (int region = 0; region < 9; region++) {
		size_t at = (was.len - 1) * (size_t)region / 8;
		int rc;

		flip(path, at, region % 8);
		store_index_drop(f->store);
		rc = region % 2 ? store_get(f->store, asked, &b, BUF_NOLIMIT)
				: 0;   /* else the repair is first to see it */
		if (region % 2 && !rc) /* a row of the index can be read around */
			assert_memory_equal(b.data, want->data, want->len);
		if (rc)
			assert_text_has(err_text(), hex);
		assert_true(rc == 0 || rc == ERR_IO);
		t.bad = t.repaired = 0;
		buf_clear(&t.names);
		must(store_repair(f->store, from, note, &t, &checked));
		if (t.bad != t.repaired || (!t.bad && strcmp(vault, VAULT_PIECES)))
			fail_msg("%s/%s, byte %zu: %d of %d: %s", vault, hex, at, t.repaired, t.bad, buf_str(&t.names));
		assert_content(f->store, asked, want->data, want->len);
		t.bad = 0;
		must(store_repair(f->store, NULL, note, &t, &checked));
		if (t.bad)
			fail_msg("%s/%s, byte %zu is not healed: %s", vault, hex, at, buf_str(&t.names));
		if (!store_there(f->store, vault, hex)) { /* it came back as a whole object */
			must(fs_write(path, was.data, was.len));
			must(fs_remove(whole));
		}
	}
	buf_release(&b);
	buf_release(&was);
	buf_release(&t.names);
	free(path);
	free(whole);
}

static void test_store_repair__a_bit_in_every_region_of_every_kind(void **state)
{
	struct fixture *f = *state;
	static const char *const vaults[] = { VAULT_RECIPES, VAULT_DELTAS, VAULT_PIECES, VAULT_OBJECTS };
	struct toy base = toy(1), tuned = toy(1), lone = toy(9);
	char *home = home_path(f, "work/other"), a[DIGEST_HEX], b[DIGEST_HEX];
	struct fixture other = { .home = home };
	struct store_source from;

	nudge(&tuned, 0, 1);
	nudge(&tuned, 3, 1);
	for (size_t i = 0; i < (size_t)ELEMENTS * 2; i++) /* one tensor like no other */
		tensor(&tuned, 5)[i] = (uint8_t)(tensor(&lone, 0)[i] * 31 + i);
	must(fs_mkdirs(home));
	must(store_open(&other.store, home));
	put_toy(&other, &base, a);
	put_toy(&other, &tuned, b);
	from = store_source_of(other.store, "the copy");
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	assert_int_equal(count(f->store, VAULT_OBJECTS), 2); /* the base and that tensor */
	for (size_t k = 0; k < ARRAY_LEN(vaults); k++) {
		struct name_list l = { NULL, 0, 0 };

		must(store_names(f->store, vaults[k], &l, NULL, NULL));
		assert_true(l.len > 0);
		for (size_t i = 0; i < l.len; i++)
			damage_and_repair(f, &from, vaults[k], l.names[i], b, &tuned);
		name_list_release(&l);
	}
	store_close(other.store);
	free(home);
	free(base.data);
	free(tuned.data);
	free(lone.data);
}

/* A remote has whole objects alone: whichever file is damaged, the objects are whole again, and nothing is asked for twice. */
static void test_store_repair__from_a_remote(void **state)
{
	struct fixture *f = *state;
	static const char *const vaults[] = { VAULT_RECIPES, VAULT_DELTAS, VAULT_OBJECTS };
	struct toy base = toy(1), tuned = toy(1), lone = toy(9);
	char *folder = home_path(f, "work/remote"), *url = mem_printf("file://%s", folder), a[DIGEST_HEX],
	     b[DIGEST_HEX];
	struct depot *d;
	struct store_source from;
	uint64_t checked;

	nudge(&tuned, 0, 1);
	for (size_t i = 0; i < (size_t)ELEMENTS * 2; i++)
		tensor(&tuned, 5)[i] = (uint8_t)(tensor(&lone, 0)[i] * 31 + i);
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	must(depot_open(&d, &(struct depot_place){ .url = url }));
	for (int i = 0; i < 2; i++) {
		const struct fs_map bytes = { i ? tuned.data : base.data, base.len };
		char path[DEPOT_PATH];

		depot_file(path, VAULT_OBJECTS, i ? b : a);
		must(d->ops->put(d, path, &bytes, i ? b : a));
	}
	from = store_source_remote(d);
	for (size_t k = 0; k < ARRAY_LEN(vaults); k++) {
		struct name_list l = { NULL, 0, 0 };

		must(store_names(f->store, vaults[k], &l, NULL, NULL));
		assert_true(l.len > 0);
		for (size_t i = 0; i < l.len; i++) {
			char *path = store_file(f->store, vaults[k], l.names[i]), *home = home_path(f, "work/fresh");
			struct told t = { 0, 0, BUF_INIT(1 << 20) };
			struct fixture fresh = { .home = home };
			uint64_t size;

			/* in a home of its own: what comes back is kept otherwise than it was */
			must(fs_mkdirs(home));
			must(store_open(&fresh.store, home));
			put_toy(&fresh, &base, a);
			put_toy(&fresh, &tuned, b);
			free(path);
			path = store_file(fresh.store, vaults[k], l.names[i]);
			must(fs_size(&size, path));
			flip(path, (size_t)size / 2, (int)(i % 8));
			store_index_drop(fresh.store);
			must(store_repair(fresh.store, &from, note, &t, &checked));
			if (!t.bad || t.bad != t.repaired)
				fail_msg("%s/%s: %d of %d: %s", vaults[k], l.names[i], t.repaired, t.bad,
					 buf_str(&t.names));
			assert_content(fresh.store, a, base.data, base.len);
			assert_content(fresh.store, b, tuned.data, tuned.len);
			t.bad = 0;
			must(store_repair(fresh.store, &from, note, &t, &checked));
			if (t.bad)
				fail_msg("%s/%s is asked for again: %s", vaults[k], l.names[i], buf_str(&t.names));
			store_close(fresh.store);
			must(fs_remove_tree(home));
			buf_release(&t.names);
			free(home);
			free(path);
		}
		name_list_release(&l);
	}
	depot_close(d);
	free(folder);
	free(url);
	free(base.data);
	free(tuned.data);
	free(lone.data);
}

static void test_store_get__a_recipe_whose_base_is_gone(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX];
	struct buf got = BUF_INIT(BUF_NOLIMIT);

	nudge(&tuned, 0, 1);
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	must(fs_remove(store_path(f->store, a)));
	store_index_drop(f->store);
	assert_err(store_get(f->store, b, &got, BUF_NOLIMIT), ERR_NOTFOUND);
	assert_text_has(err_text(), "part");
	put_toy(f, &tuned, b); /* the next writer heals it */
	assert_content(f->store, b, tuned.data, tuned.len);
	buf_release(&got);
	free(base.data);
	free(tuned.data);
}

/* ---- garbage ---- */

static int note_row(const struct gc_row *row, void *arg)
{
	json_t *rows = arg;

	json_object_set_new(rows, row->object, json_string(row->kept ? row->reason : "goes"));
	return 0;
}

static int collect(struct fixture *f, bool dry_run, json_t *rows)
{
	const struct gc_options o = { .dry_run = dry_run, .actor = "ann", .row = note_row, .arg = rows };
	struct gc_totals totals;
	int rc;

	registry_close(f->registry);
	f->registry = NULL;
	rc = registry_gc(f->store, &o, &totals);
	must(registry_open(&f->registry, f->store));
	return rc;
}

static void test_registry_gc__keeps_the_parts_of_what_stays(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1), other = toy(1), lone = toy(9);
	char a[DIGEST_HEX], b[DIGEST_HEX], c[DIGEST_HEX], id[DIGEST_HEX];
	json_t *r = run_record(f->store, NULL, '1', "main", "protected"), *rows = json_object();

	nudge(&tuned, 0, 1);
	nudge(&other, 1, 2);
	for (size_t i = 0; i < (size_t)ELEMENTS * 2; i++)
		tensor(&tuned, 5)[i] = (uint8_t)(tensor(&lone, 0)[i] * 31 + i);
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	put_toy(f, &other, c); /* nothing names it */
	json_array_append_new(json_object_get(r, "artifacts"),
			      json_pack("{s:s,s:s,s:i}", "role", "log", "object", b, "size", 10));
	must(registry_add_run(f->registry, r, id));
	must(collect(f, true, rows));
	assert_text_has(json_get_text(rows, b, ""), "named by record");
	assert_text_has(json_get_text(rows, a, ""), "holds parts of");
	assert_string_equal(json_get_text(rows, c, ""), "goes");
	assert_int_equal(count(f->store, VAULT_DELTAS), 2);
	must(collect(f, false, rows));
	assert_false(store_has(f->store, c));
	assert_int_equal(count(f->store, VAULT_DELTAS), 1);
	assert_content(f->store, b, tuned.data, tuned.len);
	/* a recipe that cannot be read may name anything */
	{
		char *path = store_file(f->store, VAULT_RECIPES, b);

		flip(path, 40, 1);
		free(path);
	}
	assert_err(collect(f, false, rows), ERR_IO);
	assert_true(store_there(f->store, VAULT_OBJECTS, a));
	json_decref(rows);
	json_decref(r);
	free(base.data);
	free(tuned.data);
	free(other.data);
	free(lone.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_get_tree__of_parts),
		TEST(test_store_repair__a_bit_in_every_region_of_every_kind),
		TEST(test_store_repair__from_a_remote),
		TEST(test_store_get__a_recipe_whose_base_is_gone),
		TEST_REGISTRY(test_registry_gc__keeps_the_parts_of_what_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
