/* rng.c: xoshiro256** 1.0 (Blackman and Vigna, 2018; public domain), its state filled by SplitMix64.
 *
 * Same seed, same numbers, on every machine: integers only, and a double made of the upper 53 bits. A stream is an
 * independent sequence of the same seed (one per epoch, per worker, per purpose): its number, well mixed, is folded into
 * the seed; stream 0 is the textbook sequence of the seed. */
#include "base/base.h"

#define GOLDEN 0x9e3779b97f4a7c15u /* 2^64 / phi, odd */

static uint64_t mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *r, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed ^ mix64(stream * GOLDEN); /* mix64(0) is 0 */

	for (int i = 0; i < 4; i++) {
		x += GOLDEN;
		r->state[i] = mix64(x);
	}
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t *s = r->state;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

double rng_uniform(struct rng *r)
{
	return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

/* The upper half of a 128-bit product is uniform once the few low halves that are too frequent are thrown away
 * (Lemire, 2019). */
uint64_t rng_below(struct rng *r, uint64_t n)
{
	unsigned __int128 m = (unsigned __int128)rng_u64(r) * n;
	uint64_t low = (uint64_t)m;

	if (low < n) {
		uint64_t least = (0 - n) % n;

		while (low < least) {
			m = (unsigned __int128)rng_u64(r) * n;
			low = (uint64_t)m;
		}
	}
	return (uint64_t)(m >> 64);
}

void rng_shuffle(struct rng *r, uint32_t *a, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)rng_below(r, i);
		uint32_t t = a[i - 1];

		a[i - 1] = a[j];
		a[j] = t;
	}
}
