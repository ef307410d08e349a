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
 * Nothing rests on bytes that were not looked at in this call: a known piece is compared with the file's own bytes, the base of a
 * difference with its digest. Where one is damaged, it is named and moved aside, and the new file is kept whole: it must not be
 * lost with the old one, nor by the old one's repair.
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
	int64_t *base; /* the index's item that each piece is near to; or what is said of it below */
	int rc;
	struct err_saved why;
	int64_t bad_base;  /* an item whose bytes are not what the index says; NONE */
	int64_t bad_piece; /* a known piece whose bytes are not these; NONE */
};
enum { NONE = -1, KNOWN = -2 /* it is here already */, ALONE = -3 /* a difference that is of no use has its name */ };

/* ---- what is known --------------------------------------------------------------------------- */

static uint64_t mark_known(struct adding *a)
{
	int64_t n = (int64_t)a->p.len;
	uint64_t known = 0;

#pragma omp parallel for schedule(dynamic) reduction(+ : known)
	for (int64_t i = 0; i < n; i++) {
		const struct piece *x = &a->p.items[i];
		enum parts_held held = parts_compare(a->s, x, a->data + x->at);

		a->base[i] = held == PARTS_HELD ? KNOWN : held == PARTS_BASELESS ? ALONE : NONE;
		if (held == PARTS_HELD)
			known += x->len;
		if (held == PARTS_DAMAGED) {
#pragma omp critical(store_add_failure)
			a->bad_piece = i;
		}
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
		int64_t k = a->base[i] != NONE ? -1 : store_index_alike(a->s, a->p.items[i].key);

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
		int64_t k = a->base[i] != NONE ? -1 : alike_in(a->s, &a->p.items[i], whole);

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

/* Before the first difference is written: a part that is left over from a file given up would rest on what is moved aside. */
static void prove_bases(struct adding *a)
{
	int64_t n = (int64_t)a->p.len;

#pragma omp parallel for schedule(dynamic)
	for (int64_t i = 0; i < n; i++) {
		const uint8_t *from = a->base[i] >= 0 ? store_index_bytes(a->s, a->base[i]) : NULL;
		struct digest found;

		if (!from)
			continue;
		found = digest_bytes(from, (size_t)a->p.items[i].len);
		if (!digest_equal(&found, &a->s->index->items[a->base[i]].piece.digest)) {
#pragma omp critical(store_add_failure)
			a->bad_base = a->base[i];
		}
	}
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
	const struct digest *base = &a->s->index->items[a->base[i]].piece.digest;
	int rc = 0;

	if (!from)
		return 0;
	buf_add(&body, base->bytes, sizeof(base->bytes));
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

/* ---- damage ---------------------------------------------------------------------------------- */

/* What was to be built on is moved aside and named; the index is dropped with it. */
static void name_damage(struct adding *a)
{
	struct store *s = a->s;
	int rc;

	if (a->bad_piece != NONE) {
		rc = parts_blame_piece(s, &a->p.items[a->bad_piece]);
	} else {
		char whole[DIGEST_HEX];

		memcpy(whole, s->index->wholes.names[s->index->items[a->bad_base].whole], sizeof(whole));
		rc = store_verify_one(s, VAULT_OBJECTS, whole, NULL);
		if (!rc) /* its bytes are right: then the row of its pieces is not */
			rc = store_quarantine(s, VAULT_PIECES, whole, "it says other digests than the object has");
	}
	log_warn("%s; what is added is kept whole, and assay artifact repair --from brings the other back",
		 rc ? err_text() : "a part that is in the store cannot be read");
	err_clear();
	store_index_drop(s);
}

static int keep_whole(struct adding *a, struct fs_temp *t, const char *hex)
{
	int rc = store_commit(a->s, VAULT_OBJECTS, hex, t);

	rc = rc ? rc : store_index_add(a->s, hex, &a->p);
	store_index_drop(a->s); /* it is to have this one */
	return rc;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static int add_cut(struct store *s, struct fs_temp *t, const char *hex, const struct fs_map *map)
{
	struct adding a = { .s = s, .data = map->data, .bad_base = NONE, .bad_piece = NONE };
	uint64_t saved;
	bool pays, sound;
	int rc;

	split_bytes(&a.p, map->data, map->len);
	(void)store_pieces_digest(&a.p, map->data);
	a.base = mem_array(a.p.len + 1, sizeof(*a.base));
	saved = mark_known(&a);
	if (a.bad_piece == NONE)
		saved += choose_base(&a);
	pays = saved / map->len || saved > map->len / WORTH;
	if (pays && a.bad_piece == NONE)
		prove_bases(&a);
	sound = a.bad_piece == NONE && a.bad_base == NONE;
	if (!sound)
		name_damage(&a);
	rc = pays && sound ? write_parts(&a, hex) : keep_whole(&a, t, hex);
	free(a.base);
	pieces_release(&a.p);
	return rc;
}

bool store_holds(struct store *s, const char *hex, uint64_t size)
{
	struct pieces p = { NULL, 0, 0, 0 };
	uint64_t have = 0;
	bool there;

	if (store_there(s, VAULT_OBJECTS, hex))
		there = !store_size(s, hex, &have) && have == size;
	else
		there = store_there(s, VAULT_RECIPES, hex) && !parts_read(s, hex, &p) && p.size == size &&
			(s->index || !store_index_load(s, false)) && parts_complete(s, &p);
	err_clear();
	pieces_release(&p);
	return there;
}

/* It is there in parts that give the bytes of t. What is damaged is named and moved aside. */
static bool in_parts_already(struct store *s, const struct fs_temp *t, const char *hex, uint64_t size)
{
	struct fs_map map = { NULL, 0 };
	struct pieces p = { NULL, 0, 0, 0 };
	int64_t wrong = NONE, n;

	store_index_drop(s); /* what is on the disk now */
	if (!store_holds(s, hex, size) || parts_read(s, hex, &p) || fs_map_open(&map, t->path) || map.len != size)
		wrong = 0;
	n = wrong == NONE ? (int64_t)p.len : 0;
#pragma omp parallel for schedule(dynamic)
	for (int64_t i = 0; i < n; i++) {
		if (parts_compare(s, &p.items[i], map.data + p.items[i].at) != PARTS_HELD) {
#pragma omp critical(store_add_failure)
			wrong = i;
		}
	}
	if (n && wrong != NONE && parts_blame_piece(s, &p.items[wrong]))
		log_warn("%s; assay artifact repair --from brings it back", err_text());
	if (n && wrong != NONE)
		store_index_drop(s);
	err_clear();
	fs_map_close(&map);
	pieces_release(&p);
	return wrong == NONE;
}

/* Of an object that is whole now. */
static int remove_recipe(struct store *s, const char *hex)
{
	char *path = store_file(s, VAULT_RECIPES, hex);
	struct pieces p = { NULL, 0, 0, 0 };
	int rc = 0;

	if (parts_read(s, hex, &p))
		err_clear(); /* damaged: it does not say what its parts were */
	else
		rc = store_retire_parts(s, &p);
	if (!rc && fs_exists(path))
		rc = fs_remove(path);
	pieces_release(&p);
	free(path);
	return rc;
}

/* It was whole here, and differences may be from its pieces, which must lie in something whole. */
static bool was_whole(const struct store *s, const char *hex)
{
	char *bad = mem_printf("%s/%s.%s", s->bad, VAULT_OBJECTS, hex);
	bool was = store_there(s, VAULT_PIECES, hex) || fs_exists(bad);

	free(bad);
	return was;
}

int store_add(struct store *s, struct fs_temp *t, const char *hex, uint64_t size)
{
	struct fs_map map = { NULL, 0 };
	int rc = 0;

	if (size < SPLIT_MIN || store_there(s, VAULT_OBJECTS, hex)) {
		rc = store_commit(s, VAULT_OBJECTS, hex, t);
	} else if (!in_parts_already(s, t, hex, size)) {
		/* a recipe whose parts are gone is no promise: then it is kept whole */
		bool broken = store_there(s, VAULT_RECIPES, hex), whole = broken || was_whole(s, hex);

		rc = whole ? 0 : store_index_load(s, true);
		rc = rc ? rc : fs_map_open(&map, t->path);
		if (!rc && !whole && s->index->wholes.len)
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
