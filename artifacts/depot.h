/* depot.h: a place elsewhere that keeps records and objects for many homes: what users call a remote.
 *
 *	records/ab/cdef…        objects/ab/cdef…      the very bytes that a home has under these names
 *	claims/KEY/00000001…    who was first (sync_claim.c): each is written once, by one
 *
 * One table a kind. Nothing is ever changed or removed here, so two homes can only add, in any order, and a killed one leaves
 * whole files. Names are made from digests by us, never taken from the other side: it has no say in where a file goes.
 * What comes back is hostile until its digest is compared (sync.c, depot.c). */
#ifndef ARTIFACTS_DEPOT_H
#define ARTIFACTS_DEPOT_H

#include "artifacts/artifacts_int.h"

#define VAULT_CLAIMS "claims"
enum { DEPOT_PATH = 128 }; /* "claims/" + 64 digits + "/00000001" and room */

/* What a place lists. */
struct depot_list {
	struct depot_entry {
		char name[DIGEST_HEX];
		uint64_t size; /* DEPOT_NO_SIZE: its listing does not say */
	} * items;
	size_t len, cap;
};
#define DEPOT_NO_SIZE UINT64_MAX

typedef int depot_put(const void *data, size_t len, void *arg); /* takes bytes; a non-zero result ends it */

struct depot_ops {
	/* Records or objects, in any order, by depot_list_add(); ERR_NOTFOUND: no such place. */
	int (*list)(struct depot *d, const char *vault, struct depot_list *out);
	int (*size)(struct depot *d, const char *path, uint64_t *size); /* ERR_NOTFOUND */
	/* From a byte on, as far as it goes; ERR_NOTFOUND. */
	int (*get)(struct depot *d, const char *path, uint64_t from, depot_put *put, void *arg);
	/* Whole and durable, or not at all. hex: the SHA-256 of the bytes. Being there already is no error. */
	int (*put)(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex);
	/* The same, of few bytes, if and only if nothing has that name: else ERR_EXISTS. */
	int (*claim)(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex);
	int (*last)(struct depot *d, const char *key, int64_t *n); /* the highest claim of a key; 0: none */
	void (*close)(struct depot *d);
};
struct depot {
	const struct depot_ops *ops;
	char *name; /* for messages: no secret is in it */
};

int depot_dir_open(struct depot **out, const struct depot_place *p);
int depot_s3_open(struct depot **out, const struct depot_place *p);
int depot_gitlab_open(struct depot **out, const struct depot_place *p);

void depot_list_add(struct depot_list *l, const char *hex, uint64_t size); /* what is no name of ours is left out */
const struct depot_entry *depot_list_find(const struct depot_list *l, const char *hex); /* of a sorted one; NULL */
void depot_list_release(struct depot_list *l);
int depot_list(struct depot *d, const char *vault, struct depot_list *out); /* sorted */
void depot_file(char out[DEPOT_PATH], const char *vault, const char *hex);
void depot_claim_path(char out[DEPOT_PATH], const char *key, int64_t n);
int64_t depot_claim_number(const char *name); /* of "00000001"; 0: it is none */
/* A small file into memory: ERR_NOTFOUND, ERR_INPUT if it is longer than max. */
int depot_read(struct depot *d, const char *path, struct buf *out);
/* One object, from there into the store, verified; bytes grows by what came. ERR_NOTFOUND: it is not there. */
int depot_fetch_one(struct depot *d, struct store *s, const char *hex, uint64_t *bytes);

/* The files of an object that is a folder; none of any other. */
int store_files(struct store *s, const char *hex, struct tree_files *out);

#endif
