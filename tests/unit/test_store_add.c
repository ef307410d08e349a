/* Tests of adding a large file: what is shared, and that nothing rests on damage. store_add.c. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "toy.h"

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

static int count_one(const char *vault, const char *hex, void *arg)
{
	(void)vault;
	(void)hex;
	++*(int *)arg;
	return 0;
}

static int ignore_bad(const char *hex, const char *why, void *arg)
{
	(void)hex;
	(void)why;
	(void)arg;
	return 0;
}

static int damaged(const struct fixture *f)
{
	int n = 0;

	must(store_damaged(f->store, count_one, &n));
	return n;
}

/* An object that lost a part and is added again is whole, and nobody misses the part any more. */
static void test_store_add__a_part_that_is_replaced_is_not_missed(void **state)
{
	struct fixture *f = *state;
	struct toy base = toy(1), tuned = toy(1);
	struct name_list deltas = { NULL, 0, 0 };
	char a[DIGEST_HEX], b[DIGEST_HEX], *path;
	uint64_t checked = 0;

	nudge(&tuned, 2, 7);
	put_toy(f, &base, a);
	put_toy(f, &tuned, b);
	must(store_names(f->store, VAULT_DELTAS, &deltas, NULL, NULL));
	assert_int_equal(deltas.len, 1);
	path = store_file(f->store, VAULT_DELTAS, deltas.names[0]);
	flip(path, 200, 3);
	must(store_verify(f->store, ignore_bad, NULL, &checked));
	assert_true(damaged(f) > 0);
	put_toy(f, &tuned, b);
	store_index_drop(f->store);
	assert_content(f->store, b, tuned.data, tuned.len);
	assert_int_equal(damaged(f), 0);
	name_list_release(&deltas);
	free(path);
	free(base.data);
	free(tuned.data);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_add__equal_tensors_are_stored_once),
		TEST(test_store_add__a_fine_tune_is_a_difference),
		TEST(test_store_add__a_stranger_stays_whole),
		TEST(test_store_add__of_relatives_the_nearest_is_the_base),
		TEST(test_store_add__chunks_survive_an_insertion),
		TEST(test_store_add__finds_its_way_in_an_old_store),
		TEST(test_store_add__no_difference_from_damaged_bytes),
		TEST(test_store_add__no_equal_tensor_in_damaged_bytes),
		TEST(test_store_add__no_row_of_pieces_from_damaged_bytes),
		TEST(test_store_add__a_base_comes_back_whole),
		TEST(test_store_add__a_difference_without_its_base_is_not_known),
		TEST(test_store_add__a_difference_that_damage_made_is_not_built_on),
		TEST(test_store_add__a_part_that_is_replaced_is_not_missed),
		TEST(test_store_put__over_damage_of_the_same_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
