/* Tests of objects in parts: store_add.c, store_parts.c, store_index.c, store_sealed.c, store_stat.c. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "artifacts/depot.h"
#include "artifacts_fixture.h"

/* ---- models ---- */

enum { TENSORS = 6, ELEMENTS = 200000 }; /* of bf16: 400 kB each, 2.4 MB in all */

struct toy {
	uint8_t *data;
	size_t len;
	size_t body; /* where the tensors begin */
};

/* Weights of a seed: bf16 numbers near 1, random below the exponent. */
static struct toy toy(uint64_t seed)
{
	struct buf head = BUF_INIT(1 << 16);
	struct rng rng;
	struct toy t;

	buf_addc(&head, '{');
	for (size_t i = 0; i < TENSORS; i++)
		buf_addf(&head, "%s\"layer.%zu\":{\"dtype\":\"BF16\",\"shape\":[%d],\"data_offsets\":[%zu,%zu]}",
			 i ? "," : "", i, ELEMENTS, i * ELEMENTS * 2, (i + 1) * ELEMENTS * 2);
	buf_addc(&head, '}');
	t.body = 8 + head.len;
	t.len = t.body + (size_t)TENSORS * ELEMENTS * 2;
	t.data = mem_alloc(t.len);
	t.data[0] = (uint8_t)head.len;
	t.data[1] = (uint8_t)(head.len >> 8);
	memcpy(t.data + 8, head.data, head.len);
	rng_seed(&rng, seed, 0);
	for (size_t i = 0; i < (size_t)TENSORS * ELEMENTS; i++) {
		uint64_t r = rng_u64(&rng);

		t.data[t.body + 2 * i] = (uint8_t)r;
		t.data[t.body + 2 * i + 1] = (uint8_t)(0x3c + (r >> 8 & 3));
	}
	buf_release(&head);
	return t;
}

static uint8_t *tensor(const struct toy *t, int i)
{
	return t->data + t->body + (size_t)i * ELEMENTS * 2;
}

/* A training step's trace: the lowest bits of one number in four. */
static void nudge(const struct toy *t, int i, uint64_t seed)
{
	struct rng rng;
	uint8_t *p = tensor(t, i);

	rng_seed(&rng, seed, (uint64_t)i);
	for (size_t k = 0; k < ELEMENTS; k++) {
		uint64_t r = rng_u64(&rng);

		if (!(r & 3))
			p[2 * k] ^= (uint8_t)(r >> 8 & 3);
	}
}

static void put(struct fixture *f, const void *data, size_t len, char hex[DIGEST_HEX])
{
	char *path = home_path(f, "work/file");

	must(fs_write(path, data, len));
	must(store_put_file(f->store, path, hex, NULL));
	must(fs_remove(path));
	free(path);
}

static void put_toy(struct fixture *f, const struct toy *t, char hex[DIGEST_HEX])
{
	char want[DIGEST_HEX];
	struct digest d = digest_bytes(t->data, t->len);

	put(f, t->data, t->len, hex);
	digest_hex(want, &d);
	assert_string_equal(hex, want);
}

static void assert_content(struct store *s, const char *hex, const void *data, size_t len)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	uint64_t size;

	must(store_get(s, hex, &b, BUF_NOLIMIT));
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data, data, len);
	must(store_size(s, hex, &size));
	assert_int_equal(size, len);
	buf_release(&b);
}

static size_t count(const struct store *s, const char *vault)
{
	struct name_list l = { NULL, 0, 0 };
	size_t n;

	must(store_names(s, vault, &l, NULL, NULL));
	n = l.len;
	name_list_release(&l);
	return n;
}

static uint64_t bytes_in(const struct store *s, const char *vault)
{
	struct name_list l = { NULL, 0, 0 };
	uint64_t sum = 0, size;

	must(store_names(s, vault, &l, NULL, NULL));
	for (size_t i = 0; i < l.len; i++) {
		char *path = store_file(s, vault, l.names[i]);

		must(fs_size(&size, path));
		sum += size;
		free(path);
	}
	name_list_release(&l);
	return sum;
}

/* ---- what is shared ---- */

static void test_store_add__equal_tensors_are_stored_once(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX];

	memcpy(tensor(&tuned, 5), tensor(&tuned, 4), ELEMENTS); /* half of the last is another */
	put_toy(f, &base, a);
	assert_int_equal(count(f->store, VAULT_OBJECTS), 1); /* the first stays whole */
	put_toy(f, &tuned, b);
	assert_true(store_there(f->store, VAULT_RECIPES, b));
	assert_false(store_there(f->store, VAULT_OBJECTS, b));
	assert_true(store_has(f->store, b));
	assert_true(bytes_in(f->store, VAULT_OBJECTS) + bytes_in(f->store, VAULT_DELTAS) <
		    base.len + (size_t)ELEMENTS * 2 + 1000);
	assert_content(f->store, b, tuned.data, tuned.len);
	assert_content(f->store, a, base.data, base.len);
	free(base.data);
	free(tuned.data);
}

static void test_store_add__a_fine_tune_is_a_difference(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1), again;
	char a[DIGEST_HEX], b[DIGEST_HEX], c[DIGEST_HEX];
	uint64_t before;

	for (int i = 0; i < TENSORS; i++)
		nudge(&tuned, i, 7);
	put_toy(f, &base, a);
	before = bytes_in(f->store, VAULT_OBJECTS);
	put_toy(f, &tuned, b);
	assert_int_equal(count(f->store, VAULT_DELTAS), TENSORS);
	assert_true(bytes_in(f->store, VAULT_OBJECTS) == before); /* the header is equal, too */
	assert_true(bytes_in(f->store, VAULT_DELTAS) < tuned.len / 4);
	assert_content(f->store, b, tuned.data, tuned.len);
	/* a fine-tune of the fine-tune differs from the whole one: no difference is made of a difference */
	again = toy(1);
	memcpy(again.data, tuned.data, tuned.len);
	nudge(&again, 0, 8);
	put_toy(f, &again, c);
	assert_int_equal(count(f->store, VAULT_DELTAS), TENSORS + 1); /* five tensors are those of b */
	assert_content(f->store, c, again.data, again.len);
	free(base.data);
	free(tuned.data);
	free(again.data);
}

static void test_store_add__a_stranger_stays_whole(void **state)
{
	struct fixture *f = *state;
	struct toy one = toy(1), other = toy(2);
	char a[DIGEST_HEX], b[DIGEST_HEX];

	for (size_t i = other.body; i < other.len; i++) /* no exponent in common */
		other.data[i] = (uint8_t)(other.data[i] * 31 + i);
	put_toy(f, &one, a);
	put_toy(f, &other, b);
	assert_true(store_there(f->store, VAULT_OBJECTS, b));
	assert_int_equal(count(f->store, VAULT_RECIPES), 0);
	free(one.data);
	free(other.data);
}

static void test_store_add__of_relatives_the_nearest_is_the_base(void **state)
{
	struct fixture *f = *state;
	struct toy one = toy(1), two = toy(2), tuned = toy(2);
	char a[DIGEST_HEX], b[DIGEST_HEX], c[DIGEST_HEX], base[DIGEST_HEX];
	struct buf body = BUF_INIT(SEALED_MAX);
	struct pieces p;
	struct digest want;
	uint64_t len;

	for (size_t i = two.body; i < two.len; i++) {
		two.data[i] = (uint8_t)(two.data[i] * 31 + i);
		tuned.data[i] = two.data[i];
	}
	nudge(&tuned, 2, 3);
	nudge(&tuned, 0, 3);
	put_toy(f, &one, a);
	put_toy(f, &two, b);
	put_toy(f, &tuned, c);
	must(parts_read(f->store, c, &p));
	digest_hex(base, &p.items[3].digest);
	must(parts_delta(f->store, base, &body, base, &len));
	want = digest_bytes(tensor(&two, 2), ELEMENTS * 2);
	digest_hex(a, &want);
	assert_string_equal(base, a);
	pieces_release(&p);
	buf_release(&body);
	free(one.data);
	free(two.data);
	free(tuned.data);
}

static void test_store_add__chunks_survive_an_insertion(void **state)
{
	struct fixture *f = *state;
	size_t len = 12 << 20;
	uint8_t *data = mem_alloc(len + 100);
	char a[DIGEST_HEX], b[DIGEST_HEX];
	struct rng rng;
	uint64_t before;

	rng_seed(&rng, 5, 0);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)rng_u64(&rng);
	put(f, data, len, a);
	before = bytes_in(f->store, VAULT_OBJECTS);
	memmove(data + 3000100, data + 3000000, len - 3000000);
	memset(data + 3000000, 'x', 100);
	put(f, data, len + 100, b);
	assert_true(store_there(f->store, VAULT_RECIPES, b));
	assert_true(bytes_in(f->store, VAULT_OBJECTS) - before < len / 2);
	assert_content(f->store, b, data, len + 100);
	free(data);
}

/* A store as it was before: whole objects, and none of the new folders' content. */
static void test_store_add__finds_its_way_in_an_old_store(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX], *rows = home_path(f, VAULT_PIECES);

	nudge(&tuned, 0, 1);
	put_toy(f, &base, a);
	must(fs_remove_tree(rows));
	store_close(f->store);
	must(store_open(&f->store, f->home));
	put_toy(f, &tuned, b);
	assert_true(store_there(f->store, VAULT_RECIPES, b));
	/* and where the index is lost, reading makes it again */
	must(fs_remove_tree(rows));
	store_close(f->store);
	must(store_open(&f->store, f->home));
	assert_content(f->store, b, tuned.data, tuned.len);
	free(rows);
	free(base.data);
	free(tuned.data);
}

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

static void flip(const char *path, size_t at, int bit)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	must(fs_read(&b, path, BUF_NOLIMIT));
	b.data[at] = (char)(b.data[at] ^ 1 << bit);
	must(fs_remove(path));
	must(fs_write(path, b.data, b.len));
	buf_release(&b);
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

/* ---- nothing rests on damage ---- */

/* Bit rot that nobody has noticed, in the base, where `tuned` is stored next: it must be whole, now and after the base is. */
static void add_over_damage(struct fixture *f, const struct toy *base, const struct toy *tuned, size_t at, bool no_rows)
{
	char a[DIGEST_HEX], b[DIGEST_HEX], *rows = home_path(f, VAULT_PIECES), *path;

	put_toy(f, base, a);
	must(store_index_load(f->store, true));
	if (no_rows) {
		must(fs_remove_tree(rows));
		store_close(f->store);
		must(store_open(&f->store, f->home));
	}
	path = mem_str(store_path(f->store, a));
	flip(path, at, 3);
	put_toy(f, tuned, b);
	assert_false(store_has(f->store, a)); /* it went aside */
	store_index_drop(f->store);
	assert_content(f->store, b, tuned->data, tuned->len);
	put_toy(f, base, a);
	store_index_drop(f->store);
	assert_content(f->store, a, base->data, base->len);
	assert_content(f->store, b, tuned->data, tuned->len);
	free(path);
	free(rows);
}

static void test_store_add__no_difference_from_damaged_bytes(void **state)
{
	struct toy base = toy(1), tuned = toy(1);

	nudge(&tuned, 2, 7);
	add_over_damage(*state, &base, &tuned, base.body + (size_t)2 * ELEMENTS * 2 + 5000, false);
	free(base.data);
	free(tuned.data);
}

static void test_store_add__no_equal_tensor_in_damaged_bytes(void **state)
{
	struct toy base = toy(1), tuned = toy(1);

	nudge(&tuned, 2, 7);
	add_over_damage(*state, &base, &tuned, base.body + (size_t)4 * ELEMENTS * 2 + 5000, false);
	free(base.data);
	free(tuned.data);
}

static void test_store_add__no_row_of_pieces_from_damaged_bytes(void **state)
{
	struct toy base = toy(1), tuned = toy(1);

	nudge(&tuned, 2, 7);
	add_over_damage(*state, &base, &tuned, base.body + (size_t)2 * ELEMENTS * 2 + 5000, true);
	free(base.data);
	free(tuned.data);
}

/* What comes back is a base again, though it could be kept as a difference itself by now. */
static void test_store_add__a_base_comes_back_whole(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1), more = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX], c[DIGEST_HEX], *path;

	nudge(&tuned, 2, 7);
	nudge(&more, 3, 8);
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	path = mem_str(store_path(f->store, a));
	flip(path, base.body + (size_t)3 * ELEMENTS * 2 + 5000, 3);
	store_index_drop(f->store);
	put_toy(f, &more, c);
	assert_true(store_there(f->store, VAULT_OBJECTS, c));
	assert_int_equal(count(f->store, VAULT_DELTAS), 1); /* nothing is left over from the attempt */
	put_toy(f, &base, a);
	store_index_drop(f->store);
	assert_content(f->store, a, base.data, base.len);
	assert_content(f->store, b, tuned.data, tuned.len);
	assert_content(f->store, c, more.data, more.len);
	free(path);
	free(base.data);
	free(tuned.data);
	free(more.data);
}

static void test_store_add__a_difference_without_its_base_is_not_known(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1), more = toy(1), other = toy(2);
	char a[DIGEST_HEX], b[DIGEST_HEX], c[DIGEST_HEX];

	for (size_t i = other.body; i < other.len; i++)
		other.data[i] = (uint8_t)(other.data[i] * 31 + i);
	for (int i = 0; i < TENSORS; i++)
		nudge(&tuned, i, 7);
	memcpy(more.data, tuned.data, tuned.len);
	nudge(&more, 0, 8);
	put_toy(f, &base, a);
	put_toy(f, &other, b);
	put_toy(f, &tuned, c);
	assert_int_equal(count(f->store, VAULT_DELTAS), TENSORS);
	must(fs_remove(store_path(f->store, a)));
	put_toy(f, &more, c);
	store_index_drop(f->store);
	assert_content(f->store, c, more.data, more.len);
	free(base.data);
	free(tuned.data);
	free(more.data);
	free(other.data);
}

static void test_store_add__a_difference_that_damage_made_is_not_built_on(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1), more = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX], c[DIGEST_HEX], *path;

	nudge(&tuned, 2, 7);
	memcpy(more.data, tuned.data, tuned.len);
	nudge(&more, 0, 8);
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	path = mem_str(store_path(f->store, a));
	flip(path, base.body + (size_t)2 * ELEMENTS * 2 + 5000, 3);
	put_toy(f, &tuned, b); /* another file of that content: what is there is read, and does not give it */
	store_index_drop(f->store);
	assert_content(f->store, b, tuned.data, tuned.len);
	assert_false(store_has(f->store, a));
	put_toy(f, &more, c);
	store_index_drop(f->store);
	assert_content(f->store, c, more.data, more.len);
	free(path);
	free(base.data);
	free(tuned.data);
	free(more.data);
}

static void test_store_put__over_damage_of_the_same_length(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX], *path;

	put_toy(f, &base, a);
	path = mem_str(store_path(f->store, a));
	flip(path, base.len / 2, 3);
	put_toy(f, &base, a);
	assert_content(f->store, a, base.data, base.len);
	must(store_put(f->store, "some text", 9, b));
	flip(store_path(f->store, b), 4, 1);
	must(store_put(f->store, "some text", 9, b));
	assert_content(f->store, b, "some text", 9);
	free(path);
	free(base.data);
}

static void wait_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

/* A file that has not changed is read again where what it was stored on is gone. */
static void test_store_put_file__a_note_does_not_stand_for_parts_that_are_gone(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	char a[DIGEST_HEX], b[DIGEST_HEX], *path = home_path(f, "work/kept");

	nudge(&tuned, 2, 7);
	put_toy(f, &base, a);
	must(fs_write(path, tuned.data, tuned.len));
	wait_ms(60);
	must(store_put_file(f->store, path, b, NULL));
	assert_true(store_there(f->store, VAULT_RECIPES, b));
	must(fs_remove(store_path(f->store, a)));
	must(store_put_file(f->store, path, b, NULL));
	store_index_drop(f->store);
	assert_content(f->store, b, tuned.data, tuned.len);
	free(path);
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

/* ---- the rows ---- */

static void test_pieces_read__hostile_rows(void **state)
{
	struct piece items[2] = { { .at = 0, .len = 5, .width = 1 }, { .at = 5, .len = 7, .width = 2, .key = 9 } };
	struct pieces p = { items, 2, 2, 12 }, got;
	struct buf b = BUF_INIT(1 << 16);

	(void)state;
	pieces_write(&b, &p);
	must(pieces_read(&got, (uint8_t *)b.data, b.len));
	assert_int_equal(got.len, 2);
	assert_int_equal(got.items[1].at, 5);
	assert_int_equal(got.items[1].key, 9);
	pieces_release(&got);
	for (size_t n = 0; n < b.len; n++)
		assert_err(pieces_read(&got, (uint8_t *)b.data, n), ERR_INPUT);
	b.data[0]++; /* the size of all */
	assert_err(pieces_read(&got, (uint8_t *)b.data, b.len), ERR_INPUT);
	b.data[0]--;
	b.data[15] = 1; /* very many pieces */
	assert_err(pieces_read(&got, (uint8_t *)b.data, b.len), ERR_INPUT);
	b.data[15] = 0;
	b.data[16 + 32 + 7] = (char)0x80; /* a very long one */
	assert_err(pieces_read(&got, (uint8_t *)b.data, b.len), ERR_INPUT);
	buf_release(&b);
}

static void test_delta__round_trips_every_width(void **state)
{
	uint8_t a[1001], b[1001], out[1001];
	struct rng rng;

	(void)state;
	rng_seed(&rng, 3, 0);
	for (size_t i = 0; i < sizeof(a); i++) {
		a[i] = (uint8_t)rng_u64(&rng);
		b[i] = i % 5 ? a[i] : (uint8_t)rng_u64(&rng);
	}
	for (unsigned width = 1; width <= 8; width++) {
		for (size_t len = 0; len <= sizeof(a); len += len < 20 ? 1 : 327) {
			struct buf d = BUF_INIT(1 << 16);

			delta_write(&d, a, b, len, width);
			must(delta_read(out, len, b, (uint8_t *)d.data, d.len));
			assert_memory_equal(out, a, len);
			for (size_t n = 0; n < d.len; n++)
				assert_err(delta_read(out, len, b, (uint8_t *)d.data, n), ERR_INPUT);
			buf_release(&d);
		}
	}
}

static void test_split_bytes__covers_all_and_finds_tensors(void **state)
{
	struct toy t = toy(1);
	struct pieces p;
	uint64_t at = 0;

	(void)state;
	split_bytes(&p, t.data, t.len);
	assert_int_equal(p.len, TENSORS + 1);
	for (size_t i = 0; i < p.len; i++) {
		assert_int_equal(p.items[i].at, at);
		assert_int_equal(p.items[i].key != 0, i > 0);
		assert_int_equal(p.items[i].width, i ? 2 : 1);
		at += p.items[i].len;
	}
	assert_int_equal(at, t.len);
	pieces_release(&p);
	memcpy(t.data + 8, "{\"x\":[", 6); /* no longer a header: cut by content */
	split_bytes(&p, t.data, t.len);
	at = 0;
	for (size_t i = 0; i < p.len; i++)
		at += p.items[i].len;
	assert_int_equal(at, t.len);
	assert_int_equal(p.items[0].key, 0);
	pieces_release(&p);
	free(t.data);
}

/* ---- what was read last ---- */

static void test_stat_known__only_what_cannot_have_changed(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "work/file"), *data = mem_alloc(100000), a[DIGEST_HEX], b[DIGEST_HEX];
	struct stat st;
	int fd;

	must(fs_write(path, data, 100000));
	must(store_put_file(f->store, path, a, NULL)); /* written just now: nothing is noted */
	assert_false(stat(path, &st));
	if (count(f->store, VAULT_STAT)) /* the machine was slow */
		print_message("the file was old enough\n");
	wait_ms(60);
	must(store_put_file(f->store, path, a, NULL));
	if (!count(f->store, VAULT_STAT)) {
		print_message("no times of this machine on this file system\n");
		free(path);
		free(data);
		skip();
	}
	assert_true(stat_known(f->store, &st, b));
	assert_string_equal(a, b);
	/* the same size and the same mtime, set back: the time of change tells */
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 500), 1);
	assert_false(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }));
	close(fd);
	assert_false(stat(path, &st));
	assert_false(stat_known(f->store, &st, b));
	must(store_put_file(f->store, path, b, NULL));
	assert_string_not_equal(a, b);
	/* an object that is gone is added again, whatever the note says */
	wait_ms(60);
	must(store_put_file(f->store, path, b, NULL));
	must(fs_remove(store_path(f->store, b)));
	must(store_put_file(f->store, path, b, NULL));
	assert_true(store_has(f->store, b));
	free(path);
	free(data);
}

static void test_stat_known__a_torn_note_is_none(void **state)
{
	struct fixture *f = *state;
	char *path = home_path(f, "work/file"), *data = mem_alloc(100000), a[DIGEST_HEX];
	struct name_list l = { NULL, 0, 0 };
	struct stat st;

	must(fs_write(path, data, 100000));
	wait_ms(60);
	must(store_put_file(f->store, path, a, NULL));
	must(store_names(f->store, VAULT_STAT, &l, NULL, NULL));
	assert_false(stat(path, &st));
	for (size_t i = 0; i < l.len; i++) {
		char *file = store_file(f->store, VAULT_STAT, l.names[i]);
		struct buf text = BUF_INIT(1000);

		must(fs_read(&text, file, 1000));
		for (size_t k = 0; k < text.len; k++) {
			struct buf bad = BUF_INIT(1000);

			buf_add(&bad, text.data, text.len);
			bad.data[k] ^= 1;
			must(fs_write(file, bad.data, bad.len));
			assert_false(stat_known(f->store, &st, a));
			must(fs_write(file, text.data, k));
			assert_false(stat_known(f->store, &st, a));
			buf_release(&bad);
		}
		buf_release(&text);
		free(file);
	}
	name_list_release(&l);
	free(path);
	free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_store, fixture_end)
#define TEST_REGISTRY(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_add__equal_tensors_are_stored_once),
		TEST(test_store_add__a_fine_tune_is_a_difference),
		TEST(test_store_add__a_stranger_stays_whole),
		TEST(test_store_add__of_relatives_the_nearest_is_the_base),
		TEST(test_store_add__chunks_survive_an_insertion),
		TEST(test_store_add__finds_its_way_in_an_old_store),
		TEST(test_store_get_tree__of_parts),
		TEST(test_store_repair__a_bit_in_every_region_of_every_kind),
		TEST(test_store_repair__from_a_remote),
		TEST(test_store_get__a_recipe_whose_base_is_gone),
		TEST(test_store_add__no_difference_from_damaged_bytes),
		TEST(test_store_add__no_equal_tensor_in_damaged_bytes),
		TEST(test_store_add__no_row_of_pieces_from_damaged_bytes),
		TEST(test_store_add__a_base_comes_back_whole),
		TEST(test_store_add__a_difference_without_its_base_is_not_known),
		TEST(test_store_add__a_difference_that_damage_made_is_not_built_on),
		TEST(test_store_put__over_damage_of_the_same_length),
		TEST(test_store_put_file__a_note_does_not_stand_for_parts_that_are_gone),
		TEST_REGISTRY(test_registry_gc__keeps_the_parts_of_what_stays),
		cmocka_unit_test(test_pieces_read__hostile_rows),
		cmocka_unit_test(test_delta__round_trips_every_width),
		cmocka_unit_test(test_split_bytes__covers_all_and_finds_tensors),
		TEST(test_stat_known__only_what_cannot_have_changed),
		TEST(test_stat_known__a_torn_note_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
