/* store_index.c: which whole object holds a piece.
 *
 * A recipe names its pieces, and does not say where they are. They may be files of their own, or lie in an object that is
 * kept whole, as a base model's tensors do. For each whole object of some size, pieces/ has the row into which it can be cut;
 * all rows together are the index: from a piece's digest, and from its key, to places. It is derived: what is lost of it is
 * made again from the objects, and what it says is believed only as far as the digest of what is then read. An object's row is
 * made when a second large one comes (nothing can be shared before), which is also how a store of older versions gets its. */
#include "base/base.h"

#include <sys/stat.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

#define ROWS_MAX SEALED_MAX

/* ---- life ------------------------------------------------------------------------------------ */

void store_index_drop(struct store *s)
{
	struct store_index *x = s->index;

	if (!x)
		return;
	for (size_t i = 0; i < x->wholes.len; i++)
		fs_map_close(&x->maps[i]);
	free(x->maps);
	free(x->gone);
	free(x->items);
	map_release(&x->digests);
	map_release(&x->keys);
	name_list_release(&x->wholes);
	free(x);
	s->index = NULL;
}

static int64_t first(const struct map *m, const void *key, size_t len)
{
	int64_t i;

	return map_get(m, key, len, &i) ? i : -1;
}

static void add_rows(struct store_index *x, size_t whole, const struct pieces *p)
{
	for (size_t i = 0; i < p->len; i++) {
		const struct piece *piece = &p->items[i];
		struct located *l;

		MEM_GROW(x->items, x->len, x->cap);
		l = &x->items[x->len];
		*l = (struct located){ whole, *piece,
				       first(&x->digests, piece->digest.bytes, sizeof(piece->digest.bytes)),
				       first(&x->keys, &piece->key, sizeof(piece->key)) };
		map_put(&x->digests, piece->digest.bytes, sizeof(piece->digest.bytes), (int64_t)x->len);
		map_put(&x->keys, &piece->key, sizeof(piece->key), (int64_t)x->len);
		x->len++;
	}
}

/* ---- making ---------------------------------------------------------------------------------- */

int store_pieces_digest(struct pieces *p, const uint8_t *data)
{
	int64_t n = (int64_t)p->len;

#pragma omp parallel for schedule(dynamic)
	for (int64_t i = 0; i < n; i++)
		p->items[i].digest = digest_bytes(data + p->items[i].at, (size_t)p->items[i].len);
	return 0;
}

int store_index_add(struct store *s, const char *hex, const struct pieces *p)
{
	struct buf body = BUF_INIT(ROWS_MAX);
	int rc;

	pieces_write(&body, p);
	rc = sealed_write(s, VAULT_PIECES, hex, &body);
	buf_release(&body);
	return rc;
}

/* A row is true of the object's name: of damaged bytes there is none, and they are moved aside. */
static int make_rows(struct store *s, const char *hex)
{
	struct fs_map map = { NULL, 0 };
	struct pieces p = { NULL, 0, 0, 0 };
	char *path = store_file(s, VAULT_OBJECTS, hex), found[DIGEST_HEX];
	struct digest d;
	int rc = fs_map_open(&map, path);

	if (!rc) {
		split_bytes(&p, map.data, map.len);
#pragma omp parallel
#pragma omp single
		{
#pragma omp task
			d = digest_bytes(map.data, map.len);
			for (size_t i = 0; i < p.len; i++) {
#pragma omp task firstprivate(i)
				p.items[i].digest = digest_bytes(map.data + p.items[i].at, (size_t)p.items[i].len);
			}
		}
		fs_map_close(&map);
		digest_hex(found, &d);
		if (strcmp(found, hex)) {
			(void)store_quarantine(s, VAULT_OBJECTS, hex, "its content has another digest");
			log_warn("%s; assay artifact repair --from brings it back", err_text());
			err_clear();
			goto out;
		}
	}
	rc = rc ? rc : store_index_add(s, hex, &p);
out:
	pieces_release(&p);
	free(path);
	return rc;
}

/* A row for every large object that has none. */
static int make_missing(struct store *s)
{
	struct name_list all = { NULL, 0, 0 };
	int rc = store_names(s, VAULT_OBJECTS, &all, NULL, NULL);

	for (size_t i = 0; !rc && i < all.len; i++) {
		char *path = store_file(s, VAULT_OBJECTS, all.names[i]);
		uint64_t size = 0;

		if (!fs_size(&size, path) && size >= SPLIT_MIN && !store_there(s, VAULT_PIECES, all.names[i]))
			rc = make_rows(s, all.names[i]);
		free(path);
	}
	name_list_release(&all);
	return rc;
}

/* ---- loading --------------------------------------------------------------------------------- */

static int load_one(struct store *s, struct store_index *x, const char *hex)
{
	struct buf body = BUF_INIT(ROWS_MAX);
	struct pieces p;
	int rc = sealed_read(s, VAULT_PIECES, hex, &body);

	if (!rc && pieces_read(&p, (const uint8_t *)buf_str(&body), body.len)) {
		rc = store_quarantine(s, VAULT_PIECES, hex, "it is no row of pieces");
	} else if (!rc) {
		MEM_GROW(x->wholes.names, x->wholes.len, x->wholes.cap);
		memcpy(x->wholes.names[x->wholes.len++], hex, DIGEST_HEX);
		add_rows(x, x->wholes.len - 1, &p);
		pieces_release(&p);
	}
	buf_release(&body);
	if (rc) { /* it can be made again, and is in the next round */
		log_warn("%s", err_text());
		err_clear();
	}
	return 0;
}

int store_index_load(struct store *s, bool make)
{
	struct store_index *x;
	struct name_list rows = { NULL, 0, 0 };
	int rc = make ? make_missing(s) : 0;

	store_index_drop(s);
	rc = rc ? rc : store_names(s, VAULT_PIECES, &rows, NULL, NULL);
	x = mem_alloc(sizeof(*x));
	map_init(&x->digests);
	map_init(&x->keys);
	for (size_t i = 0; !rc && i < rows.len; i++)
		if (store_there(s, VAULT_OBJECTS, rows.names[i]))
			rc = load_one(s, x, rows.names[i]);
	x->maps = mem_array(x->wholes.len + 1, sizeof(*x->maps));
	x->gone = mem_array(x->wholes.len + 1, sizeof(*x->gone));
	s->index = x;
	name_list_release(&rows);
	return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

int64_t store_index_alike(const struct store *s, uint64_t key)
{
	return s->index && key ? first(&s->index->keys, &key, sizeof(key)) : -1;
}

static bool open_whole(struct store *s, size_t i)
{
	struct store_index *x = s->index;
	bool there;

#pragma omp critical(store_index_maps)
	{
		if (!x->maps[i].data && !x->gone[i]) {
			char *path = store_file(s, VAULT_OBJECTS, x->wholes.names[i]);

			x->gone[i] = fs_map_open(&x->maps[i], path) != 0;
			if (x->gone[i]) {
				x->maps[i] = (struct fs_map){ NULL, 0 };
				err_clear();
			}
			free(path);
		}
		there = !x->gone[i];
	}
	return there;
}

const uint8_t *store_index_bytes(struct store *s, int64_t item)
{
	const struct located *l = &s->index->items[item];
	const struct fs_map *map = &s->index->maps[l->whole];

	if (!open_whole(s, l->whole) || map->len < l->piece.len || l->piece.at > map->len - l->piece.len)
		return NULL;
	return map->data + l->piece.at;
}

int64_t store_index_find(const struct store *s, const struct digest *d)
{
	int64_t i = s->index ? first(&s->index->digests, d->bytes, sizeof(d->bytes)) : -1;

	while (i >= 0 && !store_there(s, VAULT_OBJECTS, s->index->wholes.names[s->index->items[i].whole]))
		i = s->index->items[i].next_digest;
	return i;
}
