/* gc.c: what nothing needs goes, and every object has its reason.
 *
 * The law: whatever a record names, at any depth, stays for good, but for weights. So samples, configurations and whatever
 * later versions will store are safe without being known here; a file that a kept folder names stays with it. Weights are
 * large and can be made again (assay reproduce), so they stay only if
 *
 *	an alias points at their version, or ever did; or a proposal waits for it
 *	they are of the last keep_runs models that runs made, or the newest of those before fit into keep_bytes
 *	they are the base of weights that stay
 *
 * An object in parts (store_parts.c) keeps its parts: the pieces and differences that it names, the base of a difference, and
 * the whole object in which a piece lies. A part that two objects share stays while one of them does.
 *
 * What goes is recorded first (assay-collection/1), so that a version without files is no fault; then the manifests are
 * removed, then recipes, differences and the files: who finds a manifest finds its files, and who finds a recipe its parts. Writers are kept out by the registry's exclusive lock, as
 * in a rebuild: everyone who puts an object has the registry open. So no grace period is needed, and no object that a
 * run is about to name can go. A record or a manifest that cannot be read ends it before anything is removed, and so does what
 * was found damaged earlier and lies in bad/: it, too, could name anything, and may be repaired. */
#include "base/base.h"

#include <sys/stat.h>

#include "artifacts/artifacts_int.h"

enum { WAIT_S = 1, RECORD_DEPTH = 64 };

#define SQL_WEIGHTS                                                                                                    \
	"SELECT object FROM artifacts WHERE role = 'model' UNION SELECT object FROM versions"                          \
	" UNION SELECT substr(from_node, 7) FROM edges WHERE relation = 'base of'"
#define SQL_PROMOTED                                                                                                   \
	"SELECT v.object, v.model || '@v' || v.number || ', which ' || group_concat(DISTINCT p.alias)"                 \
	" || iif(count(a.alias) > 0, ' is', ' was') AS reason"                                                         \
	" FROM promotions p JOIN versions v ON v.model = p.model AND v.number = p.version"                             \
	" LEFT JOIN aliases a ON a.model = p.model AND a.alias = p.alias AND a.version = p.version"                    \
	" GROUP BY v.model, v.number"
#define SQL_PROPOSED                                                                                                   \
	"SELECT v.object, v.model || '@v' || v.number || ', proposed for ' || p.alias AS reason FROM proposals p"      \
	" JOIN versions v ON v.model = p.model AND v.number = p.version WHERE p.settled IS NULL AND p.outcome IS NULL"
#define SQL_RECENT                                                                                                     \
	"SELECT object, max(size) AS size FROM artifacts WHERE role = 'model' GROUP BY object"                         \
	" ORDER BY max(run) DESC, object"
#define SQL_BASES                                                                                                      \
	"SELECT DISTINCT substr(from_node, 7) AS object FROM edges WHERE relation = 'base of'"                         \
	" AND to_node = 'model:' || ?1"

struct item {
	char *reason; /* NULL: nothing keeps it */
	uint64_t size;
	bool weights, manifest;
};
struct gc {
	struct registry *r;
	const struct gc_options *o;
	struct name_list names;
	struct item *items; /* one a name */
	size_t cap;
	struct map index;
};

/* ---- what there is --------------------------------------------------------------------------- */

static struct item *find(struct gc *g, const char *hex)
{
	int64_t i;

	return hex && map_get(&g->index, hex, strlen(hex), &i) ? &g->items[i] : NULL;
}

static const char *const vaults[] = { VAULT_OBJECTS, VAULT_RECIPES, VAULT_DELTAS };

/* What lies there becomes items; one that has two forms is one item. */
static int list_vault(struct gc *g, const char *vault)
{
	struct name_list names = { NULL, 0, 0 };
	int rc = store_names(g->r->store, vault, &names, NULL, NULL);

	for (size_t i = 0; !rc && i < names.len; i++) {
		char *path = store_file(g->r->store, vault, names.names[i]);
		struct item *item = find(g, names.names[i]);
		uint64_t size = 0;

		if (!item) {
			if (g->names.len >= g->cap) {
				g->cap = g->cap ? 2 * g->cap : 64;
				g->items = mem_resize(g->items, mem_mul(g->cap, sizeof(*g->items)));
			}
			item = &g->items[g->names.len];
			*item = (struct item){ NULL, 0, false, false };
			map_put(&g->index, names.names[i], DIGEST_HEX - 1, (int64_t)g->names.len);
			MEM_GROW(g->names.names, g->names.len, g->names.cap);
			memcpy(g->names.names[g->names.len++], names.names[i], DIGEST_HEX);
		}
		rc = fs_size(&size, path);
		item->size += size;
		free(path);
	}
	name_list_release(&names);
	return rc;
}

static int list_objects(struct gc *g)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(vaults); i++)
		rc = list_vault(g, vaults[i]);
	return rc;
}

/* The first reason stays: callers begin with the strongest. */
static void keep(struct item *item, const char *reason)
{
	if (item && !item->reason)
		item->reason = mem_str(reason);
}

/* ---- what is not there ------------------------------------------------------------------------ */

static int refuse_damaged(const char *vault, const char *hex, void *arg)
{
	int rc =
		err_set(ERR_IO, "nothing is removed: %s/%s was found damaged and lies in bad/, and could name anything",
			vault, hex);

	(void)arg;
	err_hint(rc,
		 "assay artifact repair --from brings it back, from another home or a remote; where there is no copy, "
		 "removing it from bad/ gives it up");
	return rc;
}

/* ---- marking --------------------------------------------------------------------------------- */

static int mark_rows(struct gc *g, const char *sql)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(g->r, &rows, sql, "");

	json_array_foreach(rows, i, row)
		keep(find(g, json_get_text(row, "object", NULL)), json_get_text(row, "reason", ""));
	json_decref(rows);
	return rc;
}

static int mark_recent(struct gc *g)
{
	json_t *rows = NULL, *row;
	uint64_t sum = 0;
	char text[64];
	size_t i;
	int rc = sql_rows(g->r, &rows, SQL_RECENT, "");

	snprintf(text, sizeof(text), "weights of the last %lld models", (long long)g->o->keep_runs);
	json_array_foreach(rows, i, row)
	{
		struct item *item = find(g, json_get_text(row, "object", NULL));

		if (!item)
			continue;
		sum += (uint64_t)json_get_int(row, "size", 0);
		if ((int64_t)i < g->o->keep_runs)
			keep(item, text);
		else if (sum <= g->o->keep_bytes)
			keep(item, "weights that the cap has room for");
	}
	json_decref(rows);
	return rc;
}

static int mark_bases(struct gc *g)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < g->names.len; i++) {
		json_t *rows = NULL, *row;
		size_t k;

		if (!g->items[i].weights || !g->items[i].reason || !strncmp(g->items[i].reason, "base of", 7))
			continue;
		rc = sql_rows(g->r, &rows, SQL_BASES, "t", g->names.names[i]);
		json_array_foreach(rows, k, row)
		{
			char reason[40];

			snprintf(reason, sizeof(reason), "base of %.12s", g->names.names[i]);
			keep(find(g, json_get_text(row, "object", NULL)), reason);
		}
		json_decref(rows);
	}
	return rc;
}

static int mark_weights(struct gc *g)
{
	struct name_list weights = { NULL, 0, 0 };
	int rc = sql_names(g->r, &weights, SQL_WEIGHTS);

	for (size_t i = 0; i < weights.len; i++) {
		struct item *item = find(g, weights.names[i]);

		if (item)
			item->weights = true;
	}
	name_list_release(&weights);
	rc = rc ? rc : mark_rows(g, SQL_PROMOTED);
	rc = rc ? rc : mark_rows(g, SQL_PROPOSED);
	rc = rc ? rc : mark_recent(g);
	return rc ? rc : mark_bases(g);
}

/* Every text of a record that could be an object's name, at any depth. */
static void mark_named(struct gc *g, const json_t *v, const char *reason, int depth)
{
	struct item *item;
	const char *key;
	json_t *sub;
	size_t i;

	if (depth > RECORD_DEPTH)
		return;
	if (json_is_string(v) && json_string_length(v) == DIGEST_HEX - 1) {
		item = find(g, json_string_value(v));
		if (item && !item->weights)
			keep(item, reason);
	}
	json_array_foreach(v, i, sub) mark_named(g, sub, reason, depth + 1);
	json_object_foreach((json_t *)(uintptr_t)v, key, sub) mark_named(g, sub, reason, depth + 1);
}

static int mark_records(struct gc *g)
{
	struct name_list files = { NULL, 0, 0 };
	int rc = store_names(g->r->store, VAULT_RECORDS, &files, NULL, NULL);

	for (size_t i = 0; !rc && i < files.len; i++) {
		json_t *record = NULL;
		char reason[40];

		snprintf(reason, sizeof(reason), "named by record %.12s", files.names[i]);
		rc = record_read(g->r->store, files.names[i], &record);
		if (rc)
			rc = err_context(ERR_IO, "nothing is removed, since a record may name anything");
		mark_named(g, record, reason, 0);
		if (record_kind(record) == RECORD_PROMOTION) /* its model, even if it has no rows */
			keep(find(g, json_get_text(record, "object", "")), reason);
		json_decref(record);
	}
	name_list_release(&files);
	return rc;
}

/* Is it a folder's manifest? By its first bytes: no other object of ours begins so. What is kept and does not, but is no
 * larger than a manifest, is compared with its name: its first bytes may be what is damaged. */
static int find_manifest(struct gc *g, size_t i)
{
	static const char head[] = "{\"files\":[";
	char *path = store_file(g->r->store, VAULT_OBJECTS, g->names.names[i]), first[sizeof(head)] = "";
	FILE *f = fopen(path, "rb"); /* style: allow: reading */
	size_t n = f ? fread(first, 1, sizeof(head) - 1, f) : 0;
	uint64_t size = 0;
	int rc = 0;

	g->items[i].manifest = n == sizeof(head) - 1 && !memcmp(first, head, n);
	if (f && g->items[i].reason && !g->items[i].manifest) {
		rc = fs_size(&size, path);
		if (!rc && size <= MANIFEST_MAX)
			rc = store_verify_one(g->r->store, VAULT_OBJECTS, g->names.names[i], &size);
	}
	if (f)
		fclose(f);
	free(path);
	return rc ? err_context(rc, "nothing is removed, since what is %s", g->items[i].reason) : 0;
}

static int mark_files(struct gc *g)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < g->names.len; i++) {
		struct tree_files files;
		char *reason;

		rc = find_manifest(g, i);
		if (rc)
			return rc;
		if (!g->items[i].reason || !g->items[i].manifest)
			continue;
		rc = store_tree_read(g->r->store, g->names.names[i], &files);
		if (rc)
			return err_context(rc, "nothing is removed, since what is %s", g->items[i].reason);
		reason = mem_printf("file of %.12s, %s", g->names.names[i], g->items[i].reason);
		for (size_t k = 0; k < files.len; k++)
			keep(find(g, files.items[k].object), reason);
		tree_files_release(&files);
		free(reason);
	}
	return rc;
}

/* ---- parts of what stays ---- */

/* Where a piece lies: its own file, or the whole object that holds it. */
static int mark_place(struct gc *g, const char *hex, const char *of, const char *reason)
{
	struct item *item = find(g, hex);
	char *text = NULL;
	struct digest d;
	int64_t at;
	int rc = digest_parse(&d, hex);

	at = rc ? -1 : store_index_find(g->r->store, &d);
	if (item) {
		text = mem_printf("part of %.12s, %s", of, reason);
		keep(item, text);
	} else if (at >= 0) {
		struct store_index *x = g->r->store->index;

		text = mem_printf("holds parts of %.12s, %s", of, reason);
		keep(find(g, x->wholes.names[x->items[at].whole]), text);
	}
	free(text);
	return rc;
}

/* What a piece needs: its place and, if it is a difference, that of its base, which is none: a difference from a difference was
 * made by no assay, and may be one from itself. */
static int mark_piece(struct gc *g, const char *hex, const char *of, const char *reason)
{
	struct store *s = g->r->store;
	struct buf body = BUF_INIT(SEALED_MAX);
	char base[DIGEST_HEX];
	uint64_t len;
	int rc = mark_place(g, hex, of, reason);

	if (!rc && find(g, hex) && !store_there(s, VAULT_OBJECTS, hex) && store_there(s, VAULT_DELTAS, hex)) {
		rc = parts_delta(s, hex, &body, base, &len);
		rc = rc ? rc : mark_place(g, base, of, reason);
	}
	buf_release(&body);
	return rc;
}

static int mark_recipe(struct gc *g, size_t i)
{
	char *reason = mem_str(g->items[i].reason);
	struct pieces p;
	int rc = parts_read(g->r->store, g->names.names[i], &p);

	for (size_t k = 0; !rc && k < p.len; k++) {
		char hex[DIGEST_HEX];

		digest_hex(hex, &p.items[k].digest);
		rc = mark_piece(g, hex, g->names.names[i], reason);
	}
	pieces_release(&p);
	free(reason);
	return rc ? err_context(rc, "nothing is removed") : 0;
}

static int mark_parts(struct gc *g)
{
	int rc = store_index_load(g->r->store, true);

	for (size_t i = 0; !rc && i < g->names.len; i++)
		if (g->items[i].reason && store_there(g->r->store, VAULT_RECIPES, g->names.names[i]))
			rc = mark_recipe(g, i);
	store_index_drop(g->r->store); /* what it has mapped may go */
	return rc;
}

/* ---- telling and removing -------------------------------------------------------------------- */

static int tell(struct gc *g, struct gc_totals *t)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < g->names.len; i++) {
		const struct item *item = &g->items[i];
		const struct gc_row row = {
			.object = g->names.names[i],
			.size = item->size,
			.kept = item->reason != NULL,
			.reason = item->reason    ? item->reason
				  : item->weights ? "weights that no alias held, neither recent nor within the cap"
						  : "nothing that stays names it"
		};

		if (row.kept) {
			t->kept++;
			t->kept_bytes += item->size;
		} else {
			t->gone++;
			t->gone_bytes += item->size;
		}
		rc = g->o->row ? g->o->row(&row, g->o->arg) : 0;
	}
	return rc;
}

static json_t *collection(const struct gc *g)
{
	json_t *objects = json_array();

	for (size_t i = 0; i < g->names.len; i++) {
		if (g->items[i].weights && !g->items[i].reason)
			json_array_append_new(objects, json_pack("{s:s,s:I}", "object", g->names.names[i], "size",
								 (json_int_t)g->items[i].size));
	}
	return json_pack("{s:s,s:s,s:o}", "format", "assay-collection/1", "actor",
			 g->o->actor ? g->o->actor : "unknown", "objects", objects);
}

static int sweep_item(struct gc *g, size_t i, const char *vault)
{
	char *path = store_file(g->r->store, vault, g->names.names[i]);
	int rc = fs_remove(path);

	free(path);
	return rc;
}

/* Manifests first, then what names parts, then files. */
static int sweep(struct gc *g)
{
	static const char *const order[] = { VAULT_OBJECTS, VAULT_RECIPES, VAULT_DELTAS, VAULT_OBJECTS, VAULT_PIECES };
	int rc = 0;

	for (size_t pass = 0; pass < ARRAY_LEN(order); pass++)
		for (size_t i = 0; !rc && i < g->names.len; i++)
			if (!g->items[i].reason && (pass || g->items[i].manifest))
				rc = sweep_item(g, i, order[pass]);
	return rc ? rc : stat_sweep(g->r->store);
}

/* The record of what goes is durable before anything does. */
static int record_then_sweep(struct gc *g)
{
	json_t *record = collection(g);
	char id[DIGEST_HEX] = "";
	int rc = 0;

	if (json_array_size(json_object_get(record, "objects")))
		rc = registry_append(g->r, record, false, id);
	rc = registry_end(g->r, rc, id);
	json_decref(record);
	return rc ? rc : sweep(g);
}

static int mark_all(struct gc *g)
{
	int rc = store_damaged(g->r->store, refuse_damaged, NULL);

	rc = rc ? rc : list_objects(g);
	rc = rc ? rc : mark_weights(g);
	rc = rc ? rc : mark_records(g);
	rc = rc ? rc : mark_files(g);
	return rc ? rc : mark_parts(g);
}

static void gc_release(struct gc *g)
{
	for (size_t i = 0; g->items && i < g->names.len; i++)
		free(g->items[i].reason);
	free(g->items);
	map_release(&g->index);
	name_list_release(&g->names);
}

int registry_gc(struct store *store, const struct gc_options *o, struct gc_totals *totals)
{
	struct registry r = REGISTRY_INIT(store);
	struct gc g = { .r = &r, .o = o };
	char *path = registry_path(store);
	int64_t version = 0;
	int rc = registry_lock(&r, o->dry_run, WAIT_S);

	memset(totals, 0, sizeof(*totals));
	map_init(&g.index);
	if (rc == ERR_BUSY)
		err_hint(rc, "wait until no other assay uses this home; --dry-run does not need to");
	if (!rc && !o->dry_run)
		(void)store_spend_reserve(store);
	rc = rc ? rc : registry_open_db(&r, path);
	rc = rc ? rc : registry_version_check(&r, &version);
	if (!rc && version != REGISTRY_VERSION)
		rc = err_set(ERR_ENV, "the registry is of version %lld: open it once with this assay",
			     (long long)version);
	rc = rc ? rc : registry_begin(&r);
	if (!rc) {
		rc = mark_all(&g);
		rc = rc ? rc : tell(&g, totals);
		if (!rc && !o->dry_run)
			rc = record_then_sweep(&g);
		else
			rc = registry_end(&r, rc, "");
	}
	registry_close_db(&r);
	lock_drop(&r.lock);
	gc_release(&g);
	free(path);
	return rc;
}
