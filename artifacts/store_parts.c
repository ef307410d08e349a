/* store_parts.c: an object put together from its pieces.
 *
 * A recipe (recipes/ab/cdef…) names the pieces of abcdef… in their order, by digest. A piece lies
 *
 *	in objects/    as a file of its own
 *	in deltas/     as its difference from another piece, which is whole: never a difference itself
 *	in an object that is kept whole (store_index.c)
 *
 * Pieces are read a batch ahead by the other threads while this one hands out, and one takes the digest of all. So what is
 * read is proved once, by the name of the object; only if that fails is every piece looked at, to name the one at fault. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#define BATCH ((size_t)32 << 20)
#define RECIPE_MAX SEALED_MAX
enum { DELTA_HEAD = 40 };

/* ---- one piece ------------------------------------------------------------------------------- */

int parts_read(struct store *s, const char *hex, struct pieces *out)
{
	struct buf body = BUF_INIT(RECIPE_MAX);
	int rc = sealed_read(s, VAULT_RECIPES, hex, &body);

	*out = (struct pieces){ NULL, 0, 0, 0 };
	if (!rc && pieces_read(out, (const uint8_t *)buf_str(&body), body.len))
		rc = store_quarantine(s, VAULT_RECIPES, hex, "it is no row of pieces");
	buf_release(&body);
	return rc;
}

int parts_delta(struct store *s, const char *hex, struct buf *body, char base[DIGEST_HEX], uint64_t *len)
{
	int rc = sealed_read(s, VAULT_DELTAS, hex, body);
	struct digest d;

	if (!rc && body->len < DELTA_HEAD)
		rc = store_quarantine(s, VAULT_DELTAS, hex, "it is too short");
	if (rc)
		return rc;
	memcpy(d.bytes, body->data, sizeof(d.bytes));
	digest_hex(base, &d);
	*len = 0;
	for (int i = 0; i < 8; i++)
		*len |= (uint64_t)(uint8_t)body->data[32 + i] << 8 * i;
	return 0;
}

/* Where it lies in a whole object; NULL: nowhere. */
static const uint8_t *inside(struct store *s, const struct digest *d, size_t len)
{
	int64_t at = store_index_find(s, d);

	return at >= 0 && s->index->items[at].piece.len == len ? store_index_bytes(s, at) : NULL;
}

/* As a file of its own or in a whole object. */
static int fetch_whole(struct store *s, const struct digest *d, uint8_t *out, size_t len)
{
	struct buf file = BUF_INIT(len);
	const uint8_t *bytes = inside(s, d, len);
	char hex[DIGEST_HEX], *path;
	int rc = 0;

	if (bytes) {
		memcpy(out, bytes, len);
		return 0;
	}
	digest_hex(hex, d);
	path = store_file(s, VAULT_OBJECTS, hex);
	rc = fs_read(&file, path, len);
	if (rc == ERR_NOTFOUND)
		rc = store_absent(s, hex, "its part ");
	else if (rc == ERR_INPUT || (!rc && file.len != len))
		rc = err_set(ERR_IO, "its part %s has another length", path);
	if (!rc)
		memcpy(out, buf_str(&file), len);
	buf_release(&file);
	free(path);
	return rc;
}

/* proved: the base is compared with its name, so that a difference from damaged bytes is told though they cancel out. */
static int fetch_delta(struct store *s, const char *hex, uint8_t *out, size_t len, bool proved)
{
	struct buf body = BUF_INIT(SEALED_MAX);
	char base[DIGEST_HEX];
	struct digest d, found;
	uint64_t said;
	const uint8_t *from = NULL;
	uint8_t *copy = NULL;
	int rc = parts_delta(s, hex, &body, base, &said);

	if (!rc && said != len)
		rc = err_set(ERR_IO, "its part %.12s has another length", hex);
	rc = rc ? rc : digest_parse(&d, base);
	if (!rc)
		from = inside(s, &d, len);
	if (!rc && !from) {
		from = copy = mem_alloc(len);
		rc = fetch_whole(s, &d, copy, len);
	}
	if (!rc && proved) {
		found = digest_bytes(from, len);
		if (!digest_equal(&found, &d))
			rc = err_set(ERR_IO, "its part %.12s is the difference from damaged bytes", hex);
	}
	if (!rc)
		rc = delta_read(out, len, from, (const uint8_t *)body.data + DELTA_HEAD, body.len - DELTA_HEAD);
	if (rc == ERR_INPUT)
		rc = store_quarantine(s, VAULT_DELTAS, hex, "it cannot be unpacked");
	free(copy);
	buf_release(&body);
	return rc;
}

int parts_fetch(struct store *s, const struct digest *d, uint8_t *out, size_t len)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, d);
	if (!store_there(s, VAULT_OBJECTS, hex) && store_index_find(s, d) < 0 && store_there(s, VAULT_DELTAS, hex))
		return fetch_delta(s, hex, out, len, false);
	return fetch_whole(s, d, out, len);
}

static bool whole_there(struct store *s, const struct digest *d)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, d);
	return store_there(s, VAULT_OBJECTS, hex) || store_index_find(s, d) >= 0;
}

/* What a difference says its base is, the seal not looked at: who reads it will. */
static bool delta_base(const struct store *s, const char *hex, struct digest *base)
{
	char *path = store_file(s, VAULT_DELTAS, hex);
	struct fs_map map;
	bool there = store_there(s, VAULT_DELTAS, hex) && !fs_map_open(&map, path);

	if (there) {
		there = map.len >= SEALED_KIND + sizeof(base->bytes);
		if (there)
			memcpy(base->bytes, map.data + SEALED_KIND, sizeof(base->bytes));
		fs_map_close(&map);
	}
	free(path);
	return there;
}

static bool piece_there(struct store *s, const struct digest *d)
{
	char hex[DIGEST_HEX];
	struct digest base;

	digest_hex(hex, d);
	return whole_there(s, d) || (delta_base(s, hex, &base) && whole_there(s, &base));
}

enum parts_held parts_compare(struct store *s, const struct piece *x, const uint8_t *data)
{
	const uint8_t *held = inside(s, &x->digest, (size_t)x->len);
	uint8_t *copy = NULL;
	char hex[DIGEST_HEX];
	bool same;
	int rc = 0;

	digest_hex(hex, &x->digest);
	if (!held && !piece_there(s, &x->digest))
		return store_there(s, VAULT_DELTAS, hex) ? PARTS_BASELESS : PARTS_ABSENT;
	if (!held) {
		held = copy = mem_alloc((size_t)x->len + 1);
		rc = whole_there(s, &x->digest) ? fetch_whole(s, &x->digest, copy, (size_t)x->len)
						: fetch_delta(s, hex, copy, (size_t)x->len, true);
	}
	same = !rc && !memcmp(held, data, (size_t)x->len);
	free(copy);
	err_clear();
	return same ? PARTS_HELD : PARTS_DAMAGED;
}

bool parts_complete(struct store *s, const struct pieces *p)
{
	bool all = true;

	for (size_t i = 0; all && i < p->len; i++)
		all = piece_there(s, &p->items[i].digest);
	err_clear();
	return all;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct batch {
	size_t first, n;
	uint8_t *data;
	struct err_saved *why; /* one a piece */
	int *rc;
};
struct stream {
	struct store *s;
	const struct pieces *p;
	struct digest_ctx *digest;
	int (*put)(const void *data, size_t len, void *arg);
	void *arg;
};

static void batch_open(struct batch *b, const struct pieces *p, size_t at)
{
	size_t len = 0;

	*b = (struct batch){ .first = at };
	while (at + b->n < p->len && (!b->n || len + p->items[at + b->n].len <= BATCH))
		len += (size_t)p->items[at + b->n++].len;
	if (!b->n)
		return;
	b->data = mem_try_aligned(len);
	b->rc = mem_array(b->n, sizeof(*b->rc));
	b->why = mem_array(b->n, sizeof(*b->why));
}

static void batch_close(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->why[i].text);
		free(b->why[i].fix);
	}
	free(b->data);
	free(b->rc);
	free(b->why);
	*b = (struct batch){ 0, 0, NULL, NULL, NULL };
}

static void batch_fetch(const struct stream *t, struct batch *b, size_t i)
{
	const struct piece *first = &t->p->items[b->first], *x = first + i;

	b->rc[i] = parts_fetch(t->s, &x->digest, b->data + (x->at - first->at), (size_t)x->len);
	if (b->rc[i])
		b->why[i] = err_save();
}

static size_t batch_len(const struct stream *t, const struct batch *b)
{
	const struct piece *last = &t->p->items[b->first + b->n - 1];

	return (size_t)(last->at + last->len - t->p->items[b->first].at);
}

/* 0, or the first failure of its pieces with its text. */
static int batch_result(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->rc[i]) {
			err_restore(&b->why[i]);
			b->why[i] = (struct err_saved){ NULL, NULL };
			return b->rc[i];
		}
	}
	return 0;
}

/* Hands out one batch while its digest is taken and the next one is fetched. */
static int stream_batch(struct stream *t, struct batch *now, struct batch *next)
{
	int rc = 0;

#pragma omp parallel
#pragma omp master
	{
		for (size_t i = 0; i < next->n; i++) {
#pragma omp task firstprivate(i)
			batch_fetch(t, next, i);
		}
		if (now->n) {
#pragma omp task
			digest_add(t->digest, now->data, batch_len(t, now));
			rc = t->put(now->data, batch_len(t, now), t->arg);
		}
#pragma omp taskwait
	}
	return rc;
}

static int stream_all(struct stream *t)
{
	struct batch now = { 0, 0, NULL, NULL, NULL }, next;
	size_t at = 0;
	int rc = 0;

	do {
		batch_open(&next, t->p, at);
		if (next.n && !next.data)
			rc = err_set(ERR_UNAVAILABLE, "not enough memory for %zu MB", BATCH >> 20);
		rc = rc ? rc : stream_batch(t, &now, &next);
		rc = rc ? rc : batch_result(&next);
		batch_close(&now);
		now = next;
		at += next.n;
	} while (!rc && now.n);
	batch_close(&now);
	return rc;
}

int parts_stream(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg), void *arg)
{
	struct pieces p;
	struct stream t = { s, &p, NULL, put, arg };
	struct digest d;
	char found[DIGEST_HEX];
	int rc = parts_read(s, hex, &p);

	if (rc)
		return rc;
	if (!s->index)
		rc = store_index_load(s, false);
	if (!rc && !parts_complete(s, &p))
		rc = store_index_load(s, true);
	t.digest = digest_new();
	rc = rc ? rc : stream_all(&t);
	d = digest_end(t.digest);
	digest_hex(found, &d);
	if (rc)
		rc = err_context(rc, "%.12s", hex);
	else if (strcmp(found, hex))
		rc = parts_blame(s, hex);
	pieces_release(&p);
	return rc;
}

/* ---- who is at fault ------------------------------------------------------------------------- */

static int blame_whole(struct store *s, const struct digest *d)
{
	char hex[DIGEST_HEX];
	int64_t at = store_index_find(s, d);
	int rc = 0;

	digest_hex(hex, d);
	if (store_there(s, VAULT_OBJECTS, hex))
		rc = store_verify_one(s, VAULT_OBJECTS, hex, NULL);
	else if (at >= 0)
		rc = store_verify_one(s, VAULT_OBJECTS, s->index->wholes.names[s->index->items[at].whole], NULL);
	return rc;
}

/* A piece that is not what its name says: the base of a difference first, then the difference. */
int parts_blame_piece(struct store *s, const struct piece *x)
{
	struct buf body = BUF_INIT(SEALED_MAX);
	char hex[DIGEST_HEX], base[DIGEST_HEX];
	uint8_t *data = mem_alloc((size_t)x->len);
	struct digest d, from;
	uint64_t len;
	int rc = parts_fetch(s, &x->digest, data, (size_t)x->len);

	digest_hex(hex, &x->digest);
	if (!rc)
		d = digest_bytes(data, (size_t)x->len);
	if (!rc && !digest_equal(&d, &x->digest)) {
		rc = blame_whole(s, &x->digest);
		if (!rc && !parts_delta(s, hex, &body, base, &len) && !digest_parse(&from, base))
			rc = blame_whole(s, &from);
		if (!rc && store_there(s, VAULT_DELTAS, hex))
			rc = store_quarantine(s, VAULT_DELTAS, hex, "what it gives has another digest");
	}
	buf_release(&body);
	free(data);
	return rc;
}

int parts_blame(struct store *s, const char *hex)
{
	struct pieces p;
	int rc = parts_read(s, hex, &p);

	for (size_t i = 0; !rc && i < p.len; i++)
		rc = parts_blame_piece(s, &p.items[i]);
	if (!rc) /* every piece is as its name says: the recipe is not */
		rc = store_quarantine(s, VAULT_RECIPES, hex, "what it gives has another digest");
	store_index_drop(s);
	pieces_release(&p);
	return rc;
}
