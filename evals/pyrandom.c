/* pyrandom.c: the random numbers of Python's random.Random(seed), so that shots drawn by lm-evaluation-harness are drawn
 * here too: the Mersenne Twister MT19937 with CPython's way to seed it, and random.sample().
 *
 * A seed below 2^32 is, for CPython, a key of one word for the generator's initialisation by an array. A number below n
 * is as many bits as n has, drawn again until it fits. sample() takes from a shrinking copy of the population where that
 * is small beside k, and else draws places until they are new: which of the two decides how many numbers are consumed,
 * so the threshold is CPython's. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { N = PYRANDOM_WORDS, M = 397 };

void pyrandom_seed(struct pyrandom *r, uint32_t seed)
{
	uint32_t *mt = r->word;
	size_t i = 1;

	mt[0] = 19650218u;
	for (size_t k = 1; k < N; k++)
		mt[k] = 1812433253u * (mt[k - 1] ^ mt[k - 1] >> 30) + (uint32_t)k;
	for (size_t k = 0; k < N; k++) { /* the key has one word, its index is always 0 */
		mt[i] = (mt[i] ^ (mt[i - 1] ^ mt[i - 1] >> 30) * 1664525u) + seed;
		if (++i == N) {
			mt[0] = mt[N - 1];
			i = 1;
		}
	}
	for (size_t k = 1; k < N; k++) {
		mt[i] = (mt[i] ^ (mt[i - 1] ^ mt[i - 1] >> 30) * 1566083941u) - (uint32_t)i;
		if (++i == N) {
			mt[0] = mt[N - 1];
			i = 1;
		}
	}
	mt[0] = 0x80000000u;
	r->at = N;
}

static void refill(uint32_t *mt)
{
	for (size_t k = 0; k < N; k++) {
		uint32_t y = (mt[k] & 0x80000000u) | (mt[(k + 1) % N] & 0x7fffffffu);

		mt[k] = mt[(k + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
	}
}

uint32_t pyrandom_word(struct pyrandom *r)
{
	uint32_t y;

	if (r->at == N) {
		refill(r->word);
		r->at = 0;
	}
	y = r->word[r->at++];
	y ^= y >> 11;
	y ^= y << 7 & 0x9d2c5680u;
	y ^= y << 15 & 0xefc60000u;
	return y ^ y >> 18;
}

uint32_t pyrandom_below(struct pyrandom *r, uint32_t n)
{
	int bits = 32 - __builtin_clz(n);
	uint32_t x;

	do
		x = pyrandom_word(r) >> (32 - bits);
	while (x >= n);
	return x;
}

double pyrandom_real(struct pyrandom *r)
{
	uint32_t a = pyrandom_word(r) >> 5, b = pyrandom_word(r) >> 6;

	return ((double)a * 67108864.0 + (double)b) / 9007199254740992.0;
}

/* Up to how large a population CPython copies for a sample of k. */
static size_t copied_up_to(size_t k)
{
	size_t size = 21, table = 1;

	while (k > 5 && table < 3 * k)
		table *= 4;
	return k > 5 ? size + table : size;
}

void pyrandom_sample(struct pyrandom *r, uint32_t n, uint32_t *out, size_t k)
{
	uint32_t *pool;

	if (n <= copied_up_to(k)) {
		pool = mem_array(n, sizeof(*pool));
		for (uint32_t i = 0; i < n; i++)
			pool[i] = i;
		for (size_t i = 0; i < k; i++) {
			uint32_t left = n - (uint32_t)i, j = pyrandom_below(r, left);

			out[i] = pool[j];
			pool[j] = pool[left - 1];
		}
		free(pool);
		return;
	}
	for (size_t i = 0, seen; i < k; i++)
		do {
			out[i] = pyrandom_below(r, n);
			for (seen = 0; seen < i && out[seen] != out[i]; seen++)
				;
		} while (seen < i);
}
