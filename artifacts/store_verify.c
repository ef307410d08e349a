/* store_verify.c: all of the store at once: what is there, and whether it is whole. How it becomes whole again: store_repair.c. */
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

/* A record, by its name alone: what it says is the registry's business. */
static int verify_record(struct verify *v, const char *hex)
{
	v->checked++;
	return store_verify_one(v->s, VAULT_RECORDS, hex, NULL);
}

static const struct {
	const char *vault, *prefix; /* how its files are named to others */
	int (*check)(struct verify *v, const char *hex);
} checks[] = {
	{ VAULT_OBJECTS, "", verify_whole },
	{ VAULT_RECIPES, "", verify_recipe },
	{ VAULT_DELTAS, "", verify_delta },
	{ VAULT_PIECES, VAULT_PIECES "/", verify_row },
	{ VAULT_RECORDS, VAULT_RECORDS "/", verify_record },
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
