/* sample_ids.c: the names of samples: each once in a task, and who is whose partner in another run.
 *
 * Both questions are asked of ten million names at a time. Whether one comes twice is seen from their hashes, sorted by
 * radix: only where two hashes are equal, which they hardly ever are, is a map of the names themselves made. Partners mostly
 * stand in the same order on both sides: as long as they do, no map is made either. */
#include "base/base.h"

#include "evals/evals_int.h"

static uint64_t name_hash(const char *s)
{
	uint64_t h = 0x9e3779b97f4a7c15u, word;
	size_t len = strlen(s);

	for (; len >= 8; s += 8, len -= 8) {
		memcpy(&word, s, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	word = len;
	for (size_t i = 0; i < len; i++)
		word = word << 8 | (uint8_t)s[i];
	h = (h ^ word) * 0xc4ceb9fe1a85ec53u;
	return h ^ h >> 29;
}

/* Sorts n keys; other has room for as many. */
static void radix_sort(uint64_t *keys, uint64_t *other, size_t n)
{
	enum { BITS = 11, PASSES = 6 }; /* 66 bits: an even number of passes ends in keys */
	size_t counts[1 << BITS];

	for (unsigned pass = 0; pass < PASSES; pass++) {
		unsigned shift = pass * BITS;
		size_t at = 0;
		uint64_t *swap = keys;

		memset(counts, 0, sizeof(counts));
		for (size_t i = 0; i < n; i++)
			counts[keys[i] >> shift & ((1u << BITS) - 1)]++;
		for (size_t b = 0; b < ARRAY_LEN(counts); b++) {
			size_t here = counts[b];

			counts[b] = at;
			at += here;
		}
		for (size_t i = 0; i < n; i++)
			other[counts[keys[i] >> shift & ((1u << BITS) - 1)]++] = keys[i];
		keys = other;
		other = swap;
	}
}

static bool hashes_differ(const struct sample *samples, size_t n)
{
	uint64_t *keys = mem_array(n, sizeof(*keys)), *other = mem_array(n, sizeof(*other));
	bool differ = true;

	for (size_t i = 0; i < n; i++)
		keys[i] = name_hash(samples[i].id);
	radix_sort(keys, other, n);
	for (size_t i = 1; i < n; i++)
		differ = differ && keys[i] != keys[i - 1];
	free(keys);
	free(other);
	return differ;
}

size_t sample_ids_twice(const struct sample *samples, size_t n)
{
	struct map names;
	size_t at = SIZE_MAX;

	if (hashes_differ(samples, n))
		return SIZE_MAX;
	map_init(&names);
	for (size_t i = 0; i < n && at == SIZE_MAX; i++)
		if (!map_put(&names, samples[i].id, strlen(samples[i].id), (int64_t)i))
			at = i;
	map_release(&names);
	return at;
}

void sample_ids_match(size_t *partner, const struct sample *of, size_t n, const struct sample *in, size_t n_in)
{
	struct map names;
	size_t same = 0;
	int64_t row;

	for (; same < n && same < n_in && strcmp(of[same].id, in[same].id) == 0; same++)
		partner[same] = same;
	if (same == n)
		return;
	map_init(&names);
	for (size_t i = same; i < n_in; i++)
		map_put(&names, in[i].id, strlen(in[i].id), (int64_t)i);
	for (size_t i = same; i < n; i++)
		partner[i] = map_get(&names, of[i].id, strlen(of[i].id), &row) ? (size_t)row : SIZE_MAX;
	map_release(&names);
}
