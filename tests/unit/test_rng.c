/* test_rng.c: known answers of the published generators, and the properties that shuffles and draws rest on. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_rng_u64__is_xoshiro256starstar(void **state)
{
	/* the generator's first outputs from the state 1, 2, 3, 4, as its authors' C code gives them */
	static const uint64_t want[] = { 11520u,
					 0u,
					 1509978240u,
					 1215971899390074240u,
					 1216172134540287360u,
					 607988272756665600u,
					 16172922978634559625u,
					 8476171486693032832u,
					 10595114339597558777u,
					 2904607092377533576u };
	struct rng r = { { 1, 2, 3, 4 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_true(rng_u64(&r) == want[i]);
}

static void test_rng_seed__is_splitmix64_for_stream_0(void **state)
{
	static const uint64_t want[] = { 6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
					 4593380528125082431u };
	struct rng r;

	(void)state;
	rng_seed(&r, 1234567, 0);
	for (size_t i = 0; i < 4; i++)
		assert_true(r.state[i] == want[i]);
	rng_seed(&r, 0, 0);
	assert_true(r.state[0] == 0xe220a8397b1dcdafu);
}

static void test_rng_seed__streams_and_seeds_differ(void **state)
{
	uint64_t seen[64];
	size_t n = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 8; seed++)
		for (uint64_t stream = 0; stream < 8; stream++) {
			struct rng r;

			rng_seed(&r, seed, stream);
			seen[n] = rng_u64(&r);
			for (size_t i = 0; i < n; i++)
				assert_true(seen[i] != seen[n]);
			n++;
		}
}

static void test_rng_uniform__is_in_range_and_centred(void **state)
{
	struct rng r;
	double sum = 0;

	(void)state;
	rng_seed(&r, 1, 2);
	for (int i = 0; i < 100000; i++) {
		double x = rng_uniform(&r);

		assert_true(x >= 0 && x < 1);
		sum += x;
	}
	/* sd of the mean is 0.0009 */
	assert_true(sum / 100000 > 0.495 && sum / 100000 < 0.505);
}

static void test_rng_below__is_in_range_and_even(void **state)
{
	int counts[7] = { 0 };
	struct rng r;

	(void)state;
	rng_seed(&r, 3, 0);
	for (int i = 0; i < 70000; i++)
		counts[rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_true(counts[i] > 9600 && counts[i] < 10400); /* sd 93 */
	for (int i = 0; i < 100; i++)
		assert_int_equal(rng_below(&r, 1), 0);
	/* two thirds of the range: a biased draw would fall below half of it too rarely or too often */
	counts[0] = 0;
	for (int i = 0; i < 10000; i++)
		counts[0] += rng_below(&r, 0xaaaaaaaaaaaaaaaau) < 0x5555555555555555u;
	assert_true(counts[0] > 4700 && counts[0] < 5300);
}

static void test_rng_shuffle__is_a_permutation_and_repeats(void **state)
{
	uint32_t a[100], b[100];
	bool seen[100] = { false };
	struct rng r;
	int fixed = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		a[i] = b[i] = i;
	rng_seed(&r, 42, 7);
	rng_shuffle(&r, a, 100);
	rng_seed(&r, 42, 7);
	rng_shuffle(&r, b, 100);
	assert_memory_equal(a, b, sizeof(a));
	for (uint32_t i = 0; i < 100; i++) {
		assert_false(seen[a[i]]);
		seen[a[i]] = true;
		fixed += a[i] == i;
	}
	assert_true(fixed < 10);
	rng_shuffle(&r, a, 0);
	rng_shuffle(&r, a, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rng_u64__is_xoshiro256starstar),
		cmocka_unit_test(test_rng_seed__is_splitmix64_for_stream_0),
		cmocka_unit_test(test_rng_seed__streams_and_seeds_differ),
		cmocka_unit_test(test_rng_uniform__is_in_range_and_centred),
		cmocka_unit_test(test_rng_below__is_in_range_and_even),
		cmocka_unit_test(test_rng_shuffle__is_a_permutation_and_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
