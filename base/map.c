/* map.c: byte strings to integers, by open addressing with linear probing, at most 3/4 full.
 *
 * All keys lie one after the other in one block; a slot keeps the offset, so that the block may move. Keys come from
 * input (vocabularies, configuration), so the hash is SipHash-1-3 under a random key per map: nobody outside can choose
 * keys that all land in one slot. Nothing depends on the order of slots: the map cannot be walked. */
#include "base/base.h"

#include <sys/random.h>

struct map_slot {
	uint64_t hash; /* 0: free */
	size_t at, len;
	int64_t value;
};

static inline uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static uint64_t hash_key(const struct map *m, const uint8_t *p, size_t len)
{
	uint64_t v[4] = { m->seed[0] ^ 0x736f6d6570736575u, m->seed[1] ^ 0x646f72616e646f6du,
			  m->seed[0] ^ 0x6c7967656e657261u, m->seed[1] ^ 0x7465646279746573u };
	uint64_t word, last = (uint64_t)len << 56;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t shift = 0; i < len; i++, shift += 8)
		last |= (uint64_t)p[i] << shift;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (i = 0; i < 3; i++)
		sip_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	return word ? word : 1;
}

void map_init(struct map *m)
{
	memset(m, 0, sizeof(*m));
	/* should the system have no randomness yet, a fixed key still maps correctly */
	if (getrandom(m->seed, sizeof(m->seed), GRND_NONBLOCK) != (ssize_t)sizeof(m->seed))
		m->seed[0] = (uint64_t)clock_unix_ns();
}

void map_release(struct map *m)
{
	free(m->slots);
	free(m->keys);
	memset(m, 0, sizeof(*m));
}

/* The slot of a key, or the free one where it belongs. */
static struct map_slot *find(const struct map *m, const void *key, size_t len, uint64_t hash)
{
	size_t i = (size_t)hash & (m->cap - 1);

	for (;; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (!s->hash)
			return s;
		if (s->hash == hash && s->len == len && (!len || !memcmp(m->keys + s->at, key, len)))
			return s;
	}
}

static void grow(struct map *m)
{
	struct map_slot *old = m->slots;
	size_t cap = m->cap;

	m->cap = cap ? mem_mul(cap, 2) : 16;
	m->slots = mem_array(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < cap; i++) {
		size_t to;

		if (!old[i].hash)
			continue;
		to = (size_t)old[i].hash & (m->cap - 1);
		while (m->slots[to].hash)
			to = (to + 1) & (m->cap - 1);
		m->slots[to] = old[i];
	}
	free(old);
}

/* Copies a key to the end of the block; gives its offset. */
static size_t keep_key(struct map *m, const void *key, size_t len)
{
	size_t at = m->keys_len;

	if (len > m->keys_cap - m->keys_len) {
		size_t cap = m->keys_cap ? m->keys_cap : 256;

		while (cap - m->keys_len < len)
			cap = mem_mul(cap, 2);
		m->keys = mem_resize(m->keys, cap);
		m->keys_cap = cap;
	}
	if (len)
		memcpy(m->keys + at, key, len);
	m->keys_len += len;
	return at;
}

bool map_put(struct map *m, const void *key, size_t len, int64_t value)
{
	uint64_t hash = hash_key(m, key, len);
	struct map_slot *s;

	if (m->len + 1 > m->cap / 4 * 3)
		grow(m);
	s = find(m, key, len, hash);
	if (s->hash) {
		s->value = value;
		return false;
	}
	*s = (struct map_slot){ hash, keep_key(m, key, len), len, value };
	m->len++;
	return true;
}

bool map_get(const struct map *m, const void *key, size_t len, int64_t *value)
{
	const struct map_slot *s;

	if (!m->len)
		return false;
	s = find(m, key, len, hash_key(m, key, len));
	if (!s->hash)
		return false;
	if (value)
		*value = s->value;
	return true;
}

bool map_has(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key), NULL);
}
