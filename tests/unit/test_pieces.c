/* Tests of the rows of pieces, of differences, and of where a file is cut: pieces.c, delta.c, split.c. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "toy.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_read__hostile_rows),
		cmocka_unit_test(test_delta__round_trips_every_width),
		cmocka_unit_test(test_split_bytes__covers_all_and_finds_tensors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
