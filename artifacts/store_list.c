/* store_list.c: what there is, and how each object is kept. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

struct listing {
	struct store *s;
	int (*each)(const struct store_row *row, void *arg);
	void *arg;
};

static void count_parts(struct store *s, const char *hex, struct store_row *row)
{
	struct pieces p;

	if (parts_read(s, hex, &p))
		return;
	row->parts = (int64_t)p.len;
	for (size_t i = 0; i < p.len; i++) {
		char part[DIGEST_HEX];

		digest_hex(part, &p.items[i].digest);
		if (store_index_find(s, &p.items[i].digest) >= 0)
			row->inside++;
		else if (store_there(s, VAULT_OBJECTS, part))
			row->whole++;
		else if (store_there(s, VAULT_DELTAS, part))
			row->differences++;
	}
	pieces_release(&p);
}

static int list_one(struct listing *l, const char *vault, const char *form, const char *hex)
{
	struct store_row row = { .object = hex, .form = form };
	char *path = store_file(l->s, vault, hex);
	int rc = fs_size(&row.stored, path);

	free(path);
	rc = rc ? rc : store_size(l->s, hex, &row.size);
	if (rc == ERR_NOTFOUND) /* collected meanwhile */
		return 0;
	if (!rc && !strcmp(vault, VAULT_RECIPES))
		count_parts(l->s, hex, &row);
	return rc ? rc : l->each(&row, l->arg);
}

int store_each(struct store *s, int (*each)(const struct store_row *row, void *arg), void *arg)
{
	static const struct {
		const char *vault, *form;
	} kinds[] = { { VAULT_OBJECTS, "whole" }, { VAULT_RECIPES, "parts" }, { VAULT_DELTAS, "difference" } };
	struct listing l = { s, each, arg };
	int rc = store_index_load(s, false);

	for (size_t k = 0; !rc && k < ARRAY_LEN(kinds); k++) {
		struct name_list all = { NULL, 0, 0 };

		rc = store_names(s, kinds[k].vault, &all, NULL, NULL);
		for (size_t i = 0; !rc && i < all.len; i++)
			rc = list_one(&l, kinds[k].vault, kinds[k].form, all.names[i]);
		name_list_release(&all);
	}
	return rc;
}
