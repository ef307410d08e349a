/* store_repair.c: what is damaged or was moved aside comes back from where there is a copy: another home, or a remote.
 *
 * Nothing that a source says is believed but by the digest: content comes in pieces into a temporary file, and the store sees it
 * when the whole has the name that was asked for. An object in parts is healed by the parts that it lacks, else (a remote
 * has no parts) by the whole of it.
 * Records come back the same way; the registry takes in what it has no rows of when it is opened next. */
#include "base/base.h"

#include "artifacts/depot.h"

struct store_in {
	struct store *s;
	struct fs_temp t;
	struct digest_ctx *digest;
	uint64_t size;
};

int store_in_open(struct store_in **out, struct store *s)
{
	struct store_in *in = mem_alloc(sizeof(*in));
	int rc = fs_temp_open(&in->t, s->tmp);

	in->s = s;
	in->digest = digest_new();
	*out = in;
	if (rc) {
		store_in_drop(in);
		*out = NULL;
	}
	return rc;
}

int store_in_add(const void *data, size_t len, void *arg)
{
	struct store_in *in = arg;

	digest_add(in->digest, data, len);
	in->size += len;
	return fs_temp_write(&in->t, data, len);
}

int store_in_end(struct store_in *in, const char *hex)
{
	struct digest d = digest_end(in->digest);
	char found[DIGEST_HEX];
	int rc = store_name_check(hex);

	in->digest = NULL;
	digest_hex(found, &d);
	if (!rc && strcmp(found, hex))
		rc = err_set(ERR_IO, "what came for %.12s has the digest %.12s", hex, found);
	rc = rc ? rc : store_add(in->s, &in->t, hex, in->size);
	store_in_drop(in);
	return rc;
}

void store_in_drop(struct store_in *in)
{
	if (!in)
		return;
	if (in->digest)
		(void)digest_end(in->digest);
	fs_temp_drop(&in->t);
	free(in);
}

/* ---- sources --------------------------------------------------------------------------------- */

static int fetch_other(const char *vault, const char *hex, int (*put)(const void *data, size_t len, void *to), void *to,
		       void *arg)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	int rc;

	if (strcmp(vault, VAULT_RECORDS))
		return store_stream(arg, hex, put, to);
	rc = store_read(arg, vault, hex, &text, RECORD_MAX);
	rc = rc ? rc : put(buf_str(&text), text.len, to);
	buf_release(&text);
	return rc;
}

struct store_source store_source_of(struct store *other, const char *name)
{
	return (struct store_source){ name, fetch_other, other };
}

static int fetch_depot(const char *vault, const char *hex, int (*put)(const void *data, size_t len, void *to), void *to,
		       void *arg)
{
	struct depot *d = arg;
	char path[DEPOT_PATH];

	depot_file(path, vault, hex);
	return d->ops->get(d, path, 0, put, to);
}

struct store_source store_source_remote(struct depot *d)
{
	return (struct store_source){ d->name, fetch_depot, d };
}

/* ---- bringing back --------------------------------------------------------------------------- */

static int put_nowhere(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	(void)arg;
	return 0;
}

/* The content of one object from the source. */
static int bring_back(struct store *s, const struct store_source *from, const char *hex)
{
	struct store_in *in = NULL;
	int rc = store_in_open(&in, s);

	if (rc)
		return rc;
	rc = from->fetch(VAULT_OBJECTS, hex, store_in_add, in, from->arg);
	if (rc)
		store_in_drop(in);
	else
		rc = store_in_end(in, hex);
	return rc ? err_context(rc, "from %s", from->name) : 0;
}

static int into_buf(const void *data, size_t len, void *arg)
{
	buf_add(arg, data, len);
	return buf_full(arg) ? err_set(ERR_INPUT, "it is longer than any record") : 0;
}

static int bring_back_record(struct store *s, const struct store_source *from, const char *hex)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	char found[DIGEST_HEX];
	struct digest d;
	int rc = from->fetch(VAULT_RECORDS, hex, into_buf, &text, from->arg);

	if (!rc) {
		d = digest_bytes(buf_str(&text), text.len);
		digest_hex(found, &d);
		if (strcmp(found, hex))
			rc = err_set(ERR_IO, "what came for record %.12s has the digest %.12s", hex, found);
	}
	rc = rc ? err_context(rc, "from %s", from->name) : store_write(s, VAULT_RECORDS, hex, buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}

/* A recipe is healed by the parts that it lacks. */
static int bring_back_parts(struct store *s, const struct store_source *from, const char *hex)
{
	struct pieces p;
	int rc = parts_read(s, hex, &p);

	for (size_t i = 0; !rc && i < p.len; i++) {
		const struct pieces one = { &p.items[i], 1, 1, p.items[i].len };
		char part[DIGEST_HEX];

		digest_hex(part, &p.items[i].digest);
		rc = s->index ? 0 : store_index_load(s, false);
		if (!rc && !parts_complete(s, &one))
			rc = bring_back(s, from, part);
	}
	pieces_release(&p);
	store_index_drop(s);
	return rc ? rc : parts_stream(s, hex, put_nowhere, NULL);
}

/* A part that nothing consists of any more stays in bad/, under a name that asks for nothing. */
static int retire(struct store *s, const char *hex)
{
	static const char *const vaults[] = { VAULT_OBJECTS, VAULT_DELTAS };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(vaults); i++) {
		char *from = mem_printf("%s/%s.%s", s->bad, vaults[i], hex);
		char *to = mem_printf("%s/part.%s.%s", s->bad, vaults[i], hex);

		if (!rc && fs_exists(from))
			rc = fs_rename(from, to);
		free(from);
		free(to);
	}
	return rc;
}

int store_retire_parts(struct store *s, const struct pieces *p)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < p->len; i++) {
		char part[DIGEST_HEX];

		digest_hex(part, &p->items[i].digest);
		rc = store_has(s, part) ? 0 : retire(s, part);
	}
	return rc;
}

/* A remote knows whole objects alone: one of which a part is lost comes from there as a whole, and is kept so. */
static int bring_back_whole(struct store *s, const struct store_source *from, const char *hex)
{
	struct pieces p = { NULL, 0, 0, 0 };
	int rc;

	if (store_there(s, VAULT_RECIPES, hex) && parts_read(s, hex, &p))
		err_clear(); /* then it does not say what its parts were */
	rc = bring_back(s, from, hex);
	rc = rc ? rc : store_retire_parts(s, &p);
	pieces_release(&p);
	return rc;
}

/* The objects in parts that cannot be read without this part come back as wholes. ERR_NOTFOUND: there are none. */
static int bring_back_around(struct store *s, const struct store_source *from, const struct digest *part)
{
	struct name_list all = { NULL, 0, 0 };
	bool any = false;
	int rc = store_names(s, VAULT_RECIPES, &all, NULL, NULL);

	for (size_t i = 0; !rc && i < all.len; i++) {
		struct pieces p = { NULL, 0, 0, 0 };
		bool has = false;

		if (!parts_read(s, all.names[i], &p))
			for (size_t k = 0; !has && k < p.len; k++)
				has = !memcmp(p.items[k].digest.bytes, part->bytes, sizeof(part->bytes));
		pieces_release(&p);
		if (has)
			rc = bring_back_whole(s, from, all.names[i]);
		any = any || has;
	}
	name_list_release(&all);
	return rc || any ? rc : ERR_NOTFOUND;
}

static int heal(struct store *s, const struct store_source *from, const char *hex)
{
	bool in_parts = !store_there(s, VAULT_OBJECTS, hex) && store_there(s, VAULT_RECIPES, hex);
	struct err_saved why;
	struct digest d;
	int rc;

	if (in_parts && !bring_back_parts(s, from, hex))
		return 0;
	rc = bring_back_whole(s, from, hex);
	if (rc && !in_parts && !digest_parse(&d, hex)) {
		why = err_save();
		if (!bring_back_around(s, from, &d)) {
			err_forget(&why);
			return 0;
		}
		err_restore(&why);
	}
	return rc;
}

int store_bring(struct store *s, const struct store_source *from, const char *hex)
{
	int rc = store_name_check(hex);

	rc = rc ? rc : heal(s, from, hex);
	store_index_drop(s);
	return rc;
}

/* ---- repair ---------------------------------------------------------------------------------- */

struct repair {
	struct store *s;
	const struct store_source *from;
	int (*each)(const char *hex, const char *why, bool repaired, void *arg);
	void *arg;
};

static int heal_any(struct repair *r, const char *name)
{
	static const char rows[] = VAULT_PIECES "/", records[] = VAULT_RECORDS "/";

	if (!strncmp(name, rows, sizeof(rows) - 1))
		return store_index_load(r->s, true); /* made again from what is here */
	if (!r->from)
		return ERR_NOTFOUND;
	if (!strncmp(name, records, sizeof(records) - 1) && store_name_ok(name + sizeof(records) - 1))
		return bring_back_record(r->s, r->from, name + sizeof(records) - 1);
	return store_name_ok(name) ? heal(r->s, r->from, name) : ERR_NOTFOUND;
}

static int repair_one(const char *name, const char *why, void *arg)
{
	struct repair *r = arg;
	char *damage = mem_str(why);
	int rc;

	err_clear();
	rc = heal_any(r, name);
	store_index_drop(r->s); /* objects came back, with pieces in them */
	if (rc && *err_text()) {
		char *both = mem_printf("%s; %s", damage, err_text());

		free(damage);
		damage = both;
	}
	rc = r->each(name, damage, rc == 0, r->arg);
	free(damage);
	return rc;
}

static int repair_aside(const char *vault, const char *hex, void *arg)
{
	char path[sizeof(VAULT_RECORDS) + DIGEST_HEX];

	snprintf(path, sizeof(path), VAULT_RECORDS "/%s", hex);
	return repair_one(strcmp(vault, VAULT_RECORDS) ? hex : path, "it was moved to bad/ before", arg);
}

int store_repair(struct store *s, const struct store_source *from,
		 int (*each)(const char *hex, const char *why, bool repaired, void *arg), void *arg, uint64_t *checked)
{
	struct repair r = { s, from, each, arg };
	int rc = from ? store_damaged(s, repair_aside, &r) : 0;

	return rc ? rc : store_verify(s, repair_one, &r, checked);
}
