/* test_map.c: many keys, odd keys, absent keys. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_map_put__many_keys_are_found_again(void **state)
{
	struct map m;
	int64_t v;
	char key[32];

	(void)state;
	map_init(&m);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_true(map_put(&m, key, strlen(key), i));
	}
	assert_int_equal(m.len, 20000);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_true(map_get(&m, key, strlen(key), &v));
		assert_int_equal(v, i);
	}
	assert_false(map_has(&m, "key-20000"));
	assert_false(map_has(&m, "key-"));
	map_release(&m);
}

static void test_map_put__again_replaces(void **state)
{
	struct map m;
	int64_t v = 0;

	(void)state;
	map_init(&m);
	assert_true(map_put(&m, "a", 1, 1));
	assert_false(map_put(&m, "a", 1, -2));
	assert_true(map_get(&m, "a", 1, &v));
	assert_int_equal(v, -2);
	assert_int_equal(m.len, 1);
	map_release(&m);
}

static void test_map_get__keys_are_bytes(void **state)
{
	struct map m;
	int64_t v = 0;

	(void)state;
	map_init(&m);
	assert_false(map_get(&m, "a", 1, &v));
	map_put(&m, "", 0, 7);
	map_put(&m, "a\0b", 3, 8);
	map_put(&m, "a\0c", 3, 9);
	assert_true(map_get(&m, "", 0, &v));
	assert_int_equal(v, 7);
	assert_true(map_get(&m, "a\0b", 3, &v));
	assert_int_equal(v, 8);
	assert_false(map_has(&m, "a"));
	map_release(&m);
	assert_false(map_has(&m, "")); /* released is empty */
}

static void test_map_put__eight_byte_keys_differ(void **state)
{
	struct map m;
	int64_t v;

	(void)state;
	map_init(&m);
	for (uint64_t i = 0; i < 5000; i++) {
		uint64_t key = i << 40;

		map_put(&m, &key, sizeof(key), (int64_t)i);
	}
	for (uint64_t i = 0; i < 5000; i++) {
		uint64_t key = i << 40;

		assert_true(map_get(&m, &key, sizeof(key), &v));
		assert_int_equal(v, i);
	}
	map_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_put__many_keys_are_found_again),
		cmocka_unit_test(test_map_put__again_replaces),
		cmocka_unit_test(test_map_get__keys_are_bytes),
		cmocka_unit_test(test_map_put__eight_byte_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
