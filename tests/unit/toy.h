/* toy.h: small models in a store, for the tests of objects in parts. */
#ifndef TESTS_UNIT_TOY_H
#define TESTS_UNIT_TOY_H

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

enum { TENSORS = 6, ELEMENTS = 200000 }; /* of bf16: 400 kB each, 2.4 MB in all */

struct toy {
	uint8_t *data;
	size_t len;
	size_t body; /* where the tensors begin */
};

/* Weights of a seed: bf16 numbers near 1, random below the exponent. */
FIXTURE_UNUSED static struct toy toy(uint64_t seed)
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

FIXTURE_UNUSED static uint8_t *tensor(const struct toy *t, int i)
{
	return t->data + t->body + (size_t)i * ELEMENTS * 2;
}

/* A training step's trace: the lowest bits of one number in four. */
FIXTURE_UNUSED static void nudge(const struct toy *t, int i, uint64_t seed)
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

FIXTURE_UNUSED static void put(struct fixture *f, const void *data, size_t len, char hex[DIGEST_HEX])
{
	char *path = home_path(f, "work/file");

	must(fs_write(path, data, len));
	must(store_put_file(f->store, path, hex, NULL));
	must(fs_remove(path));
	free(path);
}

FIXTURE_UNUSED static void put_toy(struct fixture *f, const struct toy *t, char hex[DIGEST_HEX])
{
	char want[DIGEST_HEX];
	struct digest d = digest_bytes(t->data, t->len);

	put(f, t->data, t->len, hex);
	digest_hex(want, &d);
	assert_string_equal(hex, want);
}

FIXTURE_UNUSED static void assert_content(struct store *s, const char *hex, const void *data, size_t len)
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

FIXTURE_UNUSED static size_t count(const struct store *s, const char *vault)
{
	struct name_list l = { NULL, 0, 0 };
	size_t n;

	must(store_names(s, vault, &l, NULL, NULL));
	n = l.len;
	name_list_release(&l);
	return n;
}

FIXTURE_UNUSED static uint64_t bytes_in(const struct store *s, const char *vault)
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

FIXTURE_UNUSED static void flip(const char *path, size_t at, int bit)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	must(fs_read(&b, path, BUF_NOLIMIT));
	b.data[at] = (char)(b.data[at] ^ 1 << bit);
	must(fs_remove(path));
	must(fs_write(path, b.data, b.len));
	buf_release(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_store, fixture_end)
#define TEST_REGISTRY(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

#endif
