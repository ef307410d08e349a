/* store_add.c: whether a large file is kept whole or in parts.
 *
 * Whole is better to read: it can be linked, mapped, and copied by the kernel. So the first of its kind stays whole, and what
 * comes later is kept in parts where that saves an eighth of it or more:
 *
 *	a piece that is in the store already (as a file, or in a whole object)    costs 56 bytes of a recipe
 *	a tensor of the name, type and shape of one in a whole object             its difference, if that is 3/4 of it or less
 *	any other piece                                                           an object of its own
 *
 * Of several wholes with such tensors, the one whose differences are smallest in a sample is the base of all: a fine-tune
 * differs least from what it was made of. A difference is only ever taken from a piece that is whole, so a chain has depth 1.
 * Files below SPLIT_MIN stay whole: adapters, tokenizers, samples.
 *
 * Order: pieces are durable before the recipe that names them, and every difference has been read back and compared before it
 * is written. A crash leaves pieces that nothing names, which the next collection takes away. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

enum { SAMPLES = 6, RELATIVES = 4, WORTH = 8 /* one part in so many must be saved */ };

struct adding {
	struct store *s;
	const uint8_t *data;
	struct pieces p;
	int64_t *base; /* the index's item that each piece is near to; KNOWN: it is here already; NONE */
	int rc;
	struct err_saved why;
};
enum { NONE = -1, KNOWN = -2 };

/* ---- what is known --------------------------------------------------------------------------- */

static bool is_known(struct store *s, const struct piece *x)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, &x->digest);
	return store_index_find(s, &x->digest) >= 0 || store_there(s, VAULT_OBJECTS, hex) ||
	       store_there(s, VAULT_DELTAS, hex);
}

static uint64_t mark_known(struct adding *a)
{
	uint64_t known = 0;

	for (size_t i = 0; i < a->p.len; i++) {
		a->base[i] = is_known(a->s, &a->p.items[i]) ? KNOWN : NONE;
		if (a->base[i] == KNOWN)
			known += a->p.items[i].len;
	}
	return known;
}

/* The piece of that whole object which is of the same kind and length; -1. */
static int64_t alike_in(const struct store *s, const struct piece *x, size_t whole)
{
	int64_t i = store_index_alike(s, x->key);

	while (i >= 0 && (s->index->items[i].whole != whole || s->index->items[i].piece.len != x->len))
		i = s->index->items[i].next_key;
	return i;
}

/* ---- the base -------------------------------------------------------------------------------- */

/* Bytes of unknown pieces of which each whole object has one alike. */
static void count_alike(const struct adding *a, uint64_t *bytes)
{
	const struct store_index *x = a->s->index;

	for (size_t i = 0; i < a->p.len; i++) {
		int64_t k = a->base[i] == KNOWN ? -1 : store_index_alike(a->s, a->p.items[i].key);

		for (; k >= 0; k = x->items[k].next_key)
			if (x->items[k].piece.len == a->p.items[i].len)
				bytes[x->items[k].whole] += a->p.items[i].len;
	}
}

static size_t delta_size(struct adding *a, size_t i, int64_t base)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	const uint8_t *from = store_index_bytes(a->s, base);
	const struct piece *x = &a->p.items[i];
	size_t n = (size_t)x->len;

	if (from) {
		delta_write(&out, a->data + x->at, from, (size_t)x->len, x->width);
		n = out.len;
	}
	buf_release(&out);
	return n;
}

/* What is left of every byte, from a few pieces spread over the file; 1 if nothing is saved. */
static double sample(struct adding *a, size_t whole)
{
	size_t step = a->p.len / SAMPLES + 1;
	uint64_t in = 0, out = 0;

	for (size_t i = 0; i < a->p.len; i++) {
		int64_t k = a->base[i] == KNOWN ? -1 : alike_in(a->s, &a->p.items[i], whole);

		if (k < 0)
			continue;
		in += a->p.items[i].len;
		out += delta_size(a, i, k);
		i += step - 1;
	}
	return in ? (double)out / (double)in : 1;
}

/* Sets the bases of the best relative; gives the bytes that it is expected to save. */
static uint64_t choose_base(struct adding *a)
{
	size_t n = a->s->index->wholes.len, best = n;
	uint64_t *bytes = mem_array(n + 1, sizeof(*bytes)), saved = 0;

	count_alike(a, bytes);
	for (int tries = 0; tries < RELATIVES; tries++) {
		size_t most = n;
		double saving;

		for (size_t i = 0; i < n; i++) /* of equals the newest name is as good as any */
			if (bytes[i] && (most == n || bytes[i] > bytes[most]))
				most = i;
		if (most == n)
			break;
		saving = (double)bytes[most] * (1 - sample(a, most));
		if (saving > 0 && (uint64_t)saving > saved) {
			saved = (uint64_t)saving;
			best = most;
		}
		bytes[most] = 0;
	}
	for (size_t i = 0; best < n && i < a->p.len; i++)
		if (a->base[i] == NONE)
			a->base[i] = alike_in(a->s, &a->p.items[i], best);
	free(bytes);
	return saved;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int check_delta(const uint8_t *data, const uint8_t *from, const struct buf *body, size_t head, size_t len)
{
	uint8_t *again = mem_alloc(len);
	int rc = delta_read(again, len, from, (const uint8_t *)body->data + head, body->len - head);

	if (!rc && memcmp(again, data, len))
		rc = err_set(ERR_BUG, "a difference does not give back what it was made of");
	free(again);
	return rc;
}

/* As a difference, if that pays; *done says so. */
static int write_delta(struct adding *a, size_t i, const char *hex, bool *done)
{
	const struct piece *x = &a->p.items[i];
	const uint8_t *data = a->data + x->at, *from = store_index_bytes(a->s, a->base[i]);
	struct buf body = BUF_INIT(BUF_NOLIMIT);
	int rc = 0;

	if (!from)
		return 0;
	buf_add(&body, a->s->index->items[a->base[i]].piece.digest.bytes, 32);
	for (int k = 0; k < 8; k++)
		buf_addc(&body, (char)(x->len >> 8 * k));
	delta_write(&body, data, from, (size_t)x->len, x->width);
	*done = body.len / 3 < x->len / 4;
	if (*done)
		rc = check_delta(data, from, &body, 40, (size_t)x->len);
	if (*done && !rc)
		rc = sealed_write(a->s, VAULT_DELTAS, hex, &body);
	buf_release(&body);
	return rc;
}

static void write_piece(struct adding *a, size_t i)
{
	const struct piece *x = &a->p.items[i];
	char hex[DIGEST_HEX];
	bool done = a->base[i] == KNOWN;
	int rc = 0;

	digest_hex(hex, &x->digest);
	if (!done && a->base[i] >= 0)
		rc = write_delta(a, i, hex, &done);
	if (!rc && !done)
		rc = store_write(a->s, VAULT_OBJECTS, hex, a->data + x->at, (size_t)x->len);
	if (!rc)
		return;
#pragma omp critical(store_add_failure)
	if (!a->rc) {
		a->rc = rc;
		a->why = err_save();
	}
}

static int write_parts(struct adding *a, const char *hex)
{
	struct buf body = BUF_INIT(SEALED_MAX);
	int64_t n = (int64_t)a->p.len;
	int rc;

#pragma omp parallel for schedule(dynamic)
	for (int64_t i = 0; i < n; i++)
		write_piece(a, (size_t)i);
	rc = a->rc;
	if (rc)
		err_restore(&a->why);
	pieces_write(&body, &a->p);
	rc = rc ? rc : sealed_write(a->s, VAULT_RECIPES, hex, &body);
	buf_release(&body);
	return rc;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static int add_cut(struct store *s, struct fs_temp *t, const char *hex, const struct fs_map *map)
{
	struct adding a = { .s = s, .data = map->data };
	uint64_t saved;
	int rc;

	split_bytes(&a.p, map->data, map->len);
	(void)store_pieces_digest(&a.p, map->data);
	a.base = mem_array(a.p.len + 1, sizeof(*a.base));
	saved = mark_known(&a);
	saved += choose_base(&a);
	if (saved / map->len || saved > map->len / WORTH) {
		rc = write_parts(&a, hex);
	} else {
		rc = store_commit(s, VAULT_OBJECTS, hex, t);
		rc = rc ? rc : store_index_add(s, hex, &a.p);
		store_index_drop(s); /* it is to have this one */
	}
	free(a.base);
	pieces_release(&a.p);
	return rc;
}

static bool in_parts_already(struct store *s, const char *hex, uint64_t size)
{
	struct pieces p = { NULL, 0, 0, 0 };
	bool there = store_there(s, VAULT_RECIPES, hex) && !parts_read(s, hex, &p) && p.size == size &&
		     (s->index || !store_index_load(s, false)) && parts_complete(s, &p);

	err_clear();
	pieces_release(&p);
	return there;
}

static int remove_recipe(struct store *s, const char *hex)
{
	char *path = store_file(s, VAULT_RECIPES, hex);
	int rc = fs_remove(path);

	free(path);
	return rc;
}

int store_add(struct store *s, struct fs_temp *t, const char *hex, uint64_t size)
{
	struct fs_map map = { NULL, 0 };
	int rc = 0;

	if (size < SPLIT_MIN || store_there(s, VAULT_OBJECTS, hex)) {
		rc = store_commit(s, VAULT_OBJECTS, hex, t);
	} else if (!in_parts_already(s, hex, size)) {
		/* a recipe whose parts are gone is no promise: then it is kept whole */
		bool broken = store_there(s, VAULT_RECIPES, hex);

		rc = broken ? 0 : store_index_load(s, true);
		rc = rc ? rc : fs_map_open(&map, t->path);
		if (!rc && !broken && s->index->wholes.len)
			rc = add_cut(s, t, hex, &map);
		else if (!rc)
			rc = store_commit(s, VAULT_OBJECTS, hex, t);
		if (!rc && broken)
			rc = remove_recipe(s, hex);
		fs_map_close(&map);
	}
	fs_temp_drop(t);
	return rc;
}
