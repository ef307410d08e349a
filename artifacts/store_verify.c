/* store_verify.c: all of the store at once: what is there, whether it is whole, and how it becomes whole again. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

struct walk {
	const char *root, *shelf;
	struct name_list *out;
	int (*stray)(const char *path, void *arg);
	void *arg;
};

void name_list_release(struct name_list *l)
{
	free(l->names);
	*l = (struct name_list){ NULL, 0, 0 };
}

static int walk_stray(struct walk *w, const char *name)
{
	char *path;
	int rc;

	if (!w->stray)
		return 0;
	path = w->shelf ? mem_printf("%s/%s/%s", w->root, w->shelf, name) : mem_printf("%s/%s", w->root, name);
	rc = w->stray(path, w->arg);
	free(path);
	return rc;
}

static int walk_file(const char *name, void *arg)
{
	struct walk *w = arg;
	char hex[DIGEST_HEX];

	if (strlen(name) != DIGEST_HEX - 3)
		return walk_stray(w, name);
	snprintf(hex, sizeof(hex), "%.2s%.62s", w->shelf, name);
	if (!store_name_ok(hex))
		return walk_stray(w, name);
	MEM_GROW(w->out->names, w->out->len, w->out->cap);
	memcpy(w->out->names[w->out->len++], hex, sizeof(hex));
	return 0;
}

static int walk_shelf(const char *name, void *arg)
{
	struct walk *w = arg;
	char *dir;
	int rc;

	if (strlen(name) != 2 || strspn(name, "0123456789abcdef") != 2)
		return walk_stray(w, name);
	dir = mem_printf("%s/%s", w->root, name);
	w->shelf = name;
	rc = fs_is_dir(dir) ? fs_list(dir, walk_file, w) : walk_stray(w, "");
	w->shelf = NULL;
	free(dir);
	return rc;
}

int store_names(const struct store *s, const char *vault, struct name_list *out,
		int (*stray)(const char *path, void *arg), void *arg)
{
	char *root = path_join(s->home, vault);
	struct walk w = { root, NULL, out, stray, arg };
	int rc = fs_list(root, walk_shelf, &w);

	free(root);
	return rc;
}

struct verify {
	struct store *s;
	int (*bad)(const char *hex, const char *why, void *arg);
	void *arg;
	struct map covered; /* differences that were read as parts of an object */
	uint64_t checked;
};

static int verify_stray(const char *path, void *arg)
{
	struct verify *v = arg;

	return v->bad(path, "no object has such a name", v->arg);
}

static int put_nowhere(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	(void)arg;
	return 0;
}

static int verify_whole(struct verify *v, const char *hex)
{
	v->checked++;
	return store_verify_one(v->s, VAULT_OBJECTS, hex, NULL);
}

/* A recipe is proved by what it gives, and its parts with it. */
static int verify_recipe(struct verify *v, const char *hex)
{
	struct pieces p = { NULL, 0, 0, 0 };
	int rc = parts_stream(v->s, hex, put_nowhere, NULL);

	v->checked++;
	if (!rc && !parts_read(v->s, hex, &p))
		for (size_t i = 0; i < p.len; i++)
			map_put(&v->covered, p.items[i].digest.bytes, sizeof(p.items[i].digest.bytes), 1);
	pieces_release(&p);
	return rc;
}

static int verify_delta(struct verify *v, const char *hex)
{
	struct digest d;
	int64_t seen;
	int rc = digest_parse(&d, hex);

	if (!rc && map_get(&v->covered, d.bytes, sizeof(d.bytes), &seen))
		return 0;
	v->checked++;
	return rc ? rc : store_stream(v->s, hex, put_nowhere, NULL);
}

/* A row of pieces that is damaged is made again from its object. */
static int verify_row(struct verify *v, const char *hex)
{
	struct buf body = BUF_INIT(SEALED_MAX);
	struct pieces p = { NULL, 0, 0, 0 };
	int rc = sealed_read(v->s, VAULT_PIECES, hex, &body);

	if (!rc && pieces_read(&p, (const uint8_t *)buf_str(&body), body.len))
		rc = store_quarantine(v->s, VAULT_PIECES, hex, "it is no row of pieces");
	pieces_release(&p);
	buf_release(&body);
	return rc;
}

static const struct {
	const char *vault, *prefix; /* how its files are named to others */
	int (*check)(struct verify *v, const char *hex);
} checks[] = {
	{ VAULT_OBJECTS, "", verify_whole },
	{ VAULT_RECIPES, "", verify_recipe },
	{ VAULT_DELTAS, "", verify_delta },
	{ VAULT_PIECES, VAULT_PIECES "/", verify_row },
};

static int verify_vault(struct verify *v, size_t k)
{
	struct name_list all = { NULL, 0, 0 };
	int rc = store_names(v->s, checks[k].vault, &all, verify_stray, v);

	for (size_t i = 0; !rc && i < all.len; i++) {
		/* it may have gone aside meanwhile, as the part of another that was blamed for it */
		if (!store_there(v->s, checks[k].vault, all.names[i]) || !checks[k].check(v, all.names[i]))
			continue;
		char *name = mem_printf("%s%s", checks[k].prefix, all.names[i]);

		rc = v->bad(name, err_text(), v->arg);
		free(name);
	}
	name_list_release(&all);
	return rc;
}

int store_verify(struct store *s, int (*bad)(const char *hex, const char *why, void *arg), void *arg, uint64_t *checked)
{
	struct verify v = { .s = s, .bad = bad, .arg = arg };
	int rc = 0;

	store_index_drop(s); /* what is checked is what is on the disk */
	map_init(&v.covered);
	for (size_t k = 0; !rc && k < ARRAY_LEN(checks); k++)
		rc = verify_vault(&v, k);
	if (checked)
		*checked = v.checked;
	map_release(&v.covered);
	return rc;
}

/* ---- repair ---------------------------------------------------------------------------------- */

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

static int fetch_other(const char *hex, int (*put)(const void *data, size_t len, void *to), void *to, void *arg)
{
	return store_stream(arg, hex, put, to);
}

struct store_source store_source_of(struct store *other, const char *name)
{
	return (struct store_source){ name, fetch_other, other };
}

/* The content of one object from the source. */
static int bring_back(struct store *s, const struct store_source *from, const char *hex)
{
	struct store_in *in = NULL;
	int rc = store_in_open(&in, s);

	if (rc)
		return rc;
	rc = from->fetch(hex, store_in_add, in, from->arg);
	if (!rc)
		return store_in_end(in, hex);
	store_in_drop(in);
	return err_context(rc, "from %s", from->name);
}

/* A recipe is healed by the parts that it lacks; if the source has not all of them, by the whole object. */
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

static int heal(struct store *s, const struct store_source *from, const char *hex)
{
	if (!store_there(s, VAULT_OBJECTS, hex) && store_there(s, VAULT_RECIPES, hex) &&
	    !bring_back_parts(s, from, hex))
		return 0;
	return bring_back(s, from, hex);
}

struct repair {
	struct store *s;
	const struct store_source *from;
	int (*each)(const char *hex, const char *why, bool repaired, void *arg);
	void *arg;
};

static int repair_one(const char *hex, const char *why, void *arg)
{
	struct repair *r = arg;
	char *damage = mem_str(why);
	bool row = !strncmp(hex, VAULT_PIECES "/", strlen(VAULT_PIECES "/")), ask = store_name_ok(hex) && r->from;
	int rc = row ? store_index_load(r->s, true) : ask ? heal(r->s, r->from, hex) : ERR_NOTFOUND;

	store_index_drop(r->s); /* objects came back, with pieces in them */
	if (rc && (row || ask)) {
		char *both = mem_printf("%s; %s", damage, err_text());

		free(damage);
		damage = both;
	}
	rc = r->each(hex, damage, rc == 0, r->arg);
	free(damage);
	return rc;
}

/* "objects.abcdef…" or "objects.abcdef….1" of bad/: what went aside before and has not come back. */
static int repair_aside(const char *name, void *arg)
{
	static const char *const vaults[] = { VAULT_OBJECTS, VAULT_RECIPES, VAULT_DELTAS };
	struct repair *r = arg;
	char hex[DIGEST_HEX];

	for (size_t i = 0; i < ARRAY_LEN(vaults); i++) {
		size_t n = strlen(vaults[i]);

		if (strncmp(name, vaults[i], n) || name[n] != '.')
			continue;
		snprintf(hex, sizeof(hex), "%.64s", name + n + 1);
		if (store_name_ok(hex) && !store_has(r->s, hex))
			return repair_one(hex, "it was moved to bad/ before", r);
	}
	return 0;
}

int store_repair(struct store *s, const struct store_source *from,
		 int (*each)(const char *hex, const char *why, bool repaired, void *arg), void *arg, uint64_t *checked)
{
	struct repair r = { s, from, each, arg };
	int rc = from ? fs_list(s->bad, repair_aside, &r) : 0;

	return rc ? rc : store_verify(s, repair_one, &r, checked);
}
