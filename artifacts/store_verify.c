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
	int (*bad)(const char *hex, const char *why, void *arg);
	void *arg;
};

static int verify_stray(const char *path, void *arg)
{
	struct verify *v = arg;

	return v->bad(path, "no object has such a name", v->arg);
}

int store_verify(struct store *s, int (*bad)(const char *hex, const char *why, void *arg), void *arg, uint64_t *checked)
{
	struct verify v = { bad, arg };
	struct name_list all = { NULL, 0, 0 };
	int rc = store_names(s, VAULT_OBJECTS, &all, verify_stray, &v);
	uint64_t n = 0;

	for (size_t i = 0; !rc && i < all.len; i++, n++) {
		if (store_verify_one(s, VAULT_OBJECTS, all.names[i], NULL))
			rc = bad(all.names[i], err_text(), arg);
	}
	if (checked)
		*checked = n;
	name_list_release(&all);
	return rc;
}

/* ---- repair ---------------------------------------------------------------------------------- */

struct store_in {
	struct store *s;
	struct fs_temp t;
	struct digest_ctx *digest;
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
	rc = rc ? rc : store_commit(in->s, VAULT_OBJECTS, hex, &in->t);
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
	int rc = store_name_ok(hex) && r->from ? bring_back(r->s, r->from, hex) : ERR_NOTFOUND;

	if (rc && store_name_ok(hex) && r->from) {
		char *both = mem_printf("%s; %s", damage, err_text());

		free(damage);
		damage = both;
	}
	rc = r->each(hex, damage, rc == 0, r->arg);
	free(damage);
	return rc;
}

int store_repair(struct store *s, const struct store_source *from,
		 int (*each)(const char *hex, const char *why, bool repaired, void *arg), void *arg, uint64_t *checked)
{
	struct repair r = { s, from, each, arg };

	return store_verify(s, repair_one, &r, checked);
}
