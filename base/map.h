/* map.h: byte strings to integers (an index into the caller's array, usually). Keys are copied. Not ordered. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

struct map {
	struct map_slot *slots;
	size_t len, cap;
	char *keys; /* all keys, one after the other */
	size_t keys_len, keys_cap;
	uint64_t seed[2]; /* of the hash, chosen by map_init */
};

void map_init(struct map *m);
void map_release(struct map *m);
/* Sets the value of a key; returns true if the key is new. */
bool map_put(struct map *m, const void *key, size_t len, int64_t value);
bool map_get(const struct map *m, const void *key, size_t len, int64_t *value);
bool map_has(const struct map *m, const char *key);

#endif
