/* rng.h: random numbers that are the same on every machine: xoshiro256** seeded by SplitMix64. No transcendentals here. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

struct rng {
	uint64_t state[4];
};
void rng_seed(struct rng *r, uint64_t seed, uint64_t stream);
uint64_t rng_u64(struct rng *r);
double rng_uniform(struct rng *r);                      /* [0,1), 53 bits */
uint64_t rng_below(struct rng *r, uint64_t n);          /* [0,n), unbiased; n > 0 */
void rng_shuffle(struct rng *r, uint32_t *a, size_t n); /* Fisher-Yates, from the end */

#endif
