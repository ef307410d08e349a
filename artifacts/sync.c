/* sync.c: push and pull: the union of two sets of files that are named by their content.
 *
 * A record or an object is the same thing on both sides or is on one side only, so a union has no conflicts, in any order, from
 * any number of homes, killed at any moment: what has its name is whole. The order of a home holds here too: objects before the
 * record that names them.
 *
 * One file there that is not what it says (damaged, forged, of a newer assay) is left out and named, and keeps nothing else away: what
 * rests on it waits for it as a record at fault, and finds its place when it has come.
 *
 * Where that is not so, the number of a version and the place of an alias, claims decide: sync_claim.c.
 */
#include "artifacts/sync.h"

#include <sys/stat.h>

enum { NAMED_DEPTH = 64, RACES = 5, TOLD = 20 };

#define SQL_TO_PUSH "SELECT id FROM records WHERE fault IS NULL ORDER BY format <> 'assay-collection/1', seq, id"
#define SQL_WENT                                                                                                       \
	"SELECT EXISTS (SELECT 1 FROM collected WHERE object = ?1) AND NOT EXISTS (SELECT 1 FROM versions v"           \
	" JOIN aliases a ON a.model = v.model AND a.version = v.number WHERE v.object = ?1)"

/* Weights that went here and that an alias stands for. */
#define SQL_WANTED_AGAIN                                                                                               \
	"SELECT DISTINCT v.object FROM aliases a JOIN versions v ON v.model = a.model AND v.number = a.version"        \
	" JOIN collected c ON c.object = v.object"

/* ---- sets of names --------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

bool sync_has(const struct name_list *l, const char *hex)
{
	return l->len && bsearch(hex, l->names, l->len, sizeof(*l->names), by_name);
}

bool names_have(const struct name_list *l, const char *hex)
{
	for (size_t i = 0; i < l->len; i++)
		if (!strcmp(l->names[i], hex))
			return true;
	return false;
}

/* A share that is not mounted must not look like a memory that is empty. */
static int list_there(struct sync *y, const char *vault, struct depot_list *out)
{
	int rc = depot_list(y->d, vault, out);

	if (rc == ERR_NOTFOUND && y->o->begins) {
		err_clear();
		return 0;
	}
	return rc == ERR_NOTFOUND ? err_context(ERR_INPUT, "%s", y->d->name) : rc;
}

static int sync_open(struct sync *y, struct registry *r, struct depot *d, const struct sync_options *o,
		     struct sync_counts *n)
{
	struct depot_list there = { NULL, 0, 0 };
	int rc;

	*y = (struct sync){ .r = r, .s = r->store, .d = d, .o = o, .n = n };
	map_init(&y->sent);
	map_init(&y->unseen);
	map_init(&y->stopped);
	*n = (struct sync_counts){ 0 };
	rc = store_names(y->s, VAULT_RECORDS, &y->mine, NULL, NULL);
	rc = rc ? rc : list_there(y, VAULT_RECORDS, &there);
	for (size_t i = 0; !rc && i < there.len; i++) {
		MEM_GROW(y->theirs.names, y->theirs.len, y->theirs.cap);
		memcpy(y->theirs.names[y->theirs.len++], there.items[i].name, DIGEST_HEX);
	}
	depot_list_release(&there);
	for (size_t i = 0; !rc && i < y->theirs.len; i++)
		n->known += sync_has(&y->mine, y->theirs.names[i]);
	return rc;
}

static void sync_close(struct sync *y)
{
	name_list_release(&y->mine);
	name_list_release(&y->theirs);
	depot_list_release(&y->objects);
	map_release(&y->sent);
	map_release(&y->unseen);
	map_release(&y->stopped);
	err_forget(&y->stop);
}

/* ---- what a record names --------------------------------------------------------------------- */

struct named {
	struct sync *y;
	int (*each)(struct sync *y, const char *hex);
	struct map seen;
};

static int named_walk(struct named *w, const json_t *v, int depth)
{
	const char *key;
	json_t *sub;
	size_t i;
	int rc = 0;

	if (depth > NAMED_DEPTH)
		return 0;
	if (store_name_ok(json_string_value(v)) && map_put(&w->seen, json_string_value(v), DIGEST_HEX - 1, 0))
		return w->each(w->y, json_string_value(v));
	json_array_foreach(v, i, sub) rc = rc ? rc : named_walk(w, sub, depth + 1);
	json_object_foreach((json_t *)(uintptr_t)v, key, sub) rc = rc ? rc : named_walk(w, sub, depth + 1);
	return rc;
}

/* Every text that could be an object's name, at any depth, as gc.c marks. */
static int each_named(struct sync *y, const json_t *record, int (*each)(struct sync *y, const char *hex))
{
	struct named w = { .y = y, .each = each };
	int rc;

	map_init(&w.seen);
	rc = named_walk(&w, record, 0);
	map_release(&w.seen);
	return rc;
}

/* ---- pull ------------------------------------------------------------------------------------ */

int sync_record(json_t **out, const struct buf *text, const char *hex, const char *where)
{
	struct digest d = digest_bytes(buf_str(text), text->len);
	char found[DIGEST_HEX];
	int rc;

	*out = NULL;
	digest_hex(found, &d);
	if (strcmp(found, hex)) {
		rc = err_set(ERR_INPUT, "%s: record %.12s is not what its name says", where, hex);
		return err_hint(rc, "somebody or something has changed that file: put it right there, or remove it and "
				    "push it again from a home that has it");
	}
	rc = json_parse(out, buf_str(text), text->len, hex);
	rc = rc ? rc : record_check(*out);
	if (rc) {
		json_decref(*out);
		*out = NULL;
		rc = err_context(ERR_INPUT, "%s: record %.12s", where, hex);
		return err_hint(rc, "a newer assay may have written it");
	}
	return 0;
}

/* What is wrong there is named and stays there. Anything else ends the pull. */
static int leave_out(struct sync *y, int rc)
{
	if (rc != ERR_INPUT)
		return rc;
	if (y->n->refused++ < TOLD)
		log_warn("left out: %s%s%s", err_text(), err_fix() ? "; " : "", err_fix() ? err_fix() : "");
	err_clear();
	return 0;
}

static int left_out(const struct depot *d, const struct sync_counts *n)
{
	bool one = n->refused == 1;
	int rc;

	if (!n->refused)
		return 0;
	rc = err_set(ERR_INPUT, "%llu file%s in %s %s not what %s and stayed there; all else was taken over",
		     (unsigned long long)n->refused, one ? "" : "s", d->name, one ? "is" : "are",
		     one ? "it says" : "they say");
	return err_hint(rc,
			"each is named above: put it right there, or remove it and push it again from a home that has "
			"it; what a newer assay wrote, a newer assay reads");
}

static int fetch_object(struct sync *y, const char *hex)
{
	char path[DEPOT_PATH];
	uint64_t size = 0;

	if (store_has(y->s, hex) || (y->o->dry_run && !map_put(&y->sent, hex, DIGEST_HEX - 1, 0)))
		return 0;
	y->n->objects++;
	if (!y->o->dry_run)
		return depot_fetch_one(y->d, y->s, hex, &y->n->bytes);
	depot_file(path, VAULT_OBJECTS, hex);
	if (y->d->ops->size(y->d, path, &size))
		err_clear();
	y->n->bytes += size;
	return 0;
}

/* Weights that were collected stay away, though the remote kept them: whoever needs them fetches them, and a pull that took them
 * would undo each collection. Not so what an alias points to: it was made again.
 * What is neither here nor there is another kind of digest. */
static int fetch_named(struct sync *y, const char *hex)
{
	struct tree_files files;
	int64_t went = 0;
	int rc = 0;

	if (!store_has(y->s, hex) && !depot_list_find(&y->objects, hex))
		return 0;
	if (!store_has(y->s, hex))
		rc = sql_int(y->r, &went, SQL_WENT, "t", hex);
	if (rc || went)
		return rc;
	rc = fetch_object(y, hex);
	if (rc || !store_has(y->s, hex))
		return rc;
	rc = store_files(y->s, hex, &files);
	for (size_t i = 0; !rc && i < files.len; i++) {
		if (store_has(y->s, files.items[i].object) || depot_list_find(&y->objects, files.items[i].object))
			rc = fetch_object(y, files.items[i].object);
		else
			y->n->absent++;
	}
	tree_files_release(&files);
	return rc;
}

/* What a record names. A model's list of files that is not here says nothing to a pull that only counts. */
static int pull_named(struct sync *y, const json_t *record)
{
	const char *model = json_get_text(json_object_get(record, "version"), "object", "");
	int rc = each_named(y, record, fetch_named);

	if (!rc && y->o->dry_run && map_has(&y->sent, model) && map_put(&y->unseen, model, strlen(model), 0))
		y->n->unseen++;
	return rc;
}

/* Where a record waits: names in the order in which they come in. As in a push, what went is said first: a kill in between must
 * leave no run here whose model is nowhere and nobody says why. Then the order of the records, so that none comes in before what
 * it speaks of. */
enum { SPOOL_SEQ = 20 };
static char *spool_file(const char *spool, const json_t *record, const char *hex)
{
	bool first = record_kind(record) == RECORD_COLLECTION;

	return mem_printf("%s/%0*lld-%s", spool, SPOOL_SEQ, first ? 0LL : (long long)json_get_int(record, "seq", 0),
			  hex);
}

/* A new record, into the spool; its objects into the store. */
static int pull_one(struct sync *y, const char *hex, const char *spool, struct merge *m)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	char path[DEPOT_PATH];
	json_t *record = NULL;
	char *file = NULL;
	int rc;

	depot_file(path, VAULT_RECORDS, hex);
	rc = depot_read(y->d, path, &text);
	rc = rc ? rc : sync_record(&record, &text, hex, y->d->name);
	if (!rc && !y->o->records_only) {
		rc = pull_named(y, record);
		rc = rc ? err_context(rc, "record %.12s", hex) : 0;
	}
	if (!rc) {
		merge_note(m, record, hex);
		file = spool_file(spool, record, hex);
		rc = fs_write(file, buf_str(&text), text.len);
	}
	if (!rc) {
		y->n->records++;
		y->n->bytes += text.len;
	}
	free(file);
	json_decref(record);
	buf_release(&text);
	return rc;
}

struct taking {
	struct sync *y;
	const char *spool;
	const struct name_list *refused;
	bool shelves[256]; /* that got some */
};

/* From the spool, where it is durable, to its name; the shelf is synced at the end. */
static int take_one(const char *name, void *arg)
{
	struct taking *t = arg;
	const char *hex = name + SPOOL_SEQ + 1;
	bool aside = names_have(t->refused, hex);
	char *from = path_join(t->spool, name), *dir;
	char *to = aside ? shelves_aside(t->y->s, hex, false) : store_file(t->y->s, VAULT_RECORDS, hex);
	const char shelf[3] = { hex[0], hex[1], 0 };
	int rc;

	dir = path_dir(to);
	rc = fs_mkdirs(dir);
	if (!rc && (chmod(from, 0444) || rename(from, to)))
		rc = err_errno(ERR_IO, "cannot rename %s to %s", from, to);
	if (!aside)
		t->shelves[strtoul(shelf, NULL, 16) % ARRAY_LEN(t->shelves)] = true;
	free(from);
	free(to);
	free(dir);
	return rc;
}

static int take_spool(struct sync *y, const char *spool, const struct merge *m)
{
	struct taking t = { .y = y, .spool = spool, .refused = &m->refused };
	int rc = fs_list(spool, take_one, &t);

	for (unsigned i = 0; !rc && i < ARRAY_LEN(t.shelves); i++) {
		char *dir = mem_printf("%s/" VAULT_RECORDS "/%02x", store_home(y->s), i);

		rc = t.shelves[i] ? fs_sync_dir(dir) : 0;
		free(dir);
	}
	return rc;
}

/* What this home knew before it lost a race goes aside first; then all that is new comes in. One transaction from the look at what
 * is here to the rows of what came: a move or a run that another process makes meanwhile is either seen, or made on top of it. */
static int take_all(struct sync *y, const char *spool, struct merge *m)
{
	int rc = registry_begin(y->r);

	if (rc)
		return rc;
	rc = merge_look(m, y);
	rc = rc ? rc : merge_aside(m, y);
	rc = rc ? rc : take_spool(y, spool, m);
	rc = rc ? rc : registry_take_in(y->r);
	rc = registry_end(y->r, rc, "");
	return rc ? rc : merge_again(y);
}

/* Objects of records that were here already, from an earlier pull of records alone. */
static int pull_objects(struct sync *y)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < y->mine.len; i++) {
		json_t *record = NULL;

		if (!sync_has(&y->theirs, y->mine.names[i]))
			continue;
		rc = record_read(y->s, y->mine.names[i], &record);
		if (rc == ERR_INPUT) /* registry_check() tells */
			err_clear();
		rc = rc == ERR_INPUT ? 0 : rc ? rc : leave_out(y, pull_named(y, record));
		json_decref(record);
	}
	return rc;
}

/* What went here, and a move that came in now stands for. */
static int pull_wanted_again(struct sync *y)
{
	struct name_list names = { NULL, 0, 0 };
	int rc = sql_names(y->r, &names, SQL_WANTED_AGAIN);

	for (size_t i = 0; !rc && i < names.len; i++)
		rc = leave_out(y, fetch_named(y, names.names[i]));
	name_list_release(&names);
	return rc;
}

static int pull(struct sync *y)
{
	struct merge m = { 0 };
	char *spool = NULL;
	size_t done = 0;
	int rc = fs_temp_dir(&spool, y->s->tmp, "pull-");

	if (!rc && !y->o->records_only)
		rc = list_there(y, VAULT_OBJECTS, &y->objects);
	progress_begin("pulling", y->theirs.len - y->n->known, "records");
	for (size_t i = 0; !rc && i < y->theirs.len; i++) {
		if (sync_has(&y->mine, y->theirs.names[i]))
			continue;
		rc = leave_out(y, pull_one(y, y->theirs.names[i], spool, &m));
		progress_at(++done, NULL);
	}
	if (!rc && !y->o->records_only)
		rc = pull_objects(y);
	progress_end();
	rc = rc ? rc : rivals_refuse(&m, y);
	rc = rc ? rc : forks_refuse(&m, y);
	if (!rc && y->o->dry_run)
		rc = merge_look(&m, y);
	else if (!rc)
		rc = take_all(y, spool, &m);
	if (!rc && !y->o->dry_run && !y->o->records_only)
		rc = pull_wanted_again(y);
	y->n->records -= m.refused.len;
	if (spool) {
		struct err_saved saved = err_save();

		(void)fs_remove_tree(spool);
		err_restore(&saved);
	}
	free(spool);
	merge_release(&m);
	return rc;
}

/* ---- push: objects --------------------------------------------------------------------------- */

static int spool_put(const void *data, size_t len, void *arg)
{
	return fs_temp_write(arg, data, len);
}

/* An object's bytes, proved: in place where the store has them as one file, else written out once. */
static int object_map(struct store *s, const char *hex, struct fs_map *map, struct fs_temp *spool)
{
	int rc;

	*spool = (struct fs_temp){ -1, NULL };
	if (!fs_map_open(map, store_path(s, hex))) {
		struct digest d = digest_bytes(map->data, map->len);
		char found[DIGEST_HEX];

		digest_hex(found, &d);
		if (!strcmp(found, hex))
			return 0;
		fs_map_close(map);
	}
	err_clear();
	rc = fs_temp_open(spool, s->tmp);
	rc = rc ? rc : store_stream(s, hex, spool_put, spool); /* a damaged object is told, and moved aside, here */
	rc = rc ? rc : fs_map_open(map, spool->path);
	if (rc)
		fs_temp_drop(spool);
	return rc;
}

/* Nothing is overwritten there, so a file that was cut off must be taken away by who may. */
static int there_whole(const struct sync *y, const char *hex, uint64_t size)
{
	uint64_t ours = 0;
	int rc = store_size(y->s, hex, &ours);

	if (rc || size == DEPOT_NO_SIZE || size == ours)
		return rc;
	rc = err_set(ERR_INPUT, "%s: objects/%.2s/%s has %llu bytes there, and is of %llu", y->d->name, hex, hex + 2,
		     (unsigned long long)size, (unsigned long long)ours);
	return err_hint(rc, "a write was lost or cut off: remove that file there, then assay push sends it again");
}

static int push_file(struct sync *y, const char *hex)
{
	const struct depot_entry *listed = depot_list_find(&y->objects, hex);
	char path[DEPOT_PATH];
	struct fs_temp spool;
	struct fs_map map;
	uint64_t size;
	int rc;

	if (!map_put(&y->sent, hex, DIGEST_HEX - 1, 0))
		return 0;
	if (listed)
		return there_whole(y, hex, listed->size);
	depot_file(path, VAULT_OBJECTS, hex);
	rc = y->d->ops->size(y->d, path, &size); /* has it come meanwhile? */
	if (rc != ERR_NOTFOUND)
		return rc;
	err_clear();
	rc = object_map(y->s, hex, &map, &spool);
	if (rc)
		return rc;
	y->n->objects++;
	y->n->bytes += map.len;
	if (!y->o->dry_run)
		rc = y->d->ops->put(y->d, path, &map, hex);
	fs_map_close(&map);
	fs_temp_drop(&spool);
	return rc ? err_context(rc, "%s: object %.12s", y->d->name, hex) : 0;
}

/* A folder's files first: who finds a manifest finds its files. */
static int push_named(struct sync *y, const char *hex)
{
	struct tree_files files;
	int rc;

	if (!store_has(y->s, hex))
		return 0;
	rc = store_files(y->s, hex, &files);
	for (size_t i = 0; !rc && i < files.len; i++) {
		if (store_has(y->s, files.items[i].object))
			rc = push_file(y, files.items[i].object);
	}
	tree_files_release(&files);
	return rc ? rc : push_file(y, hex);
}

/* ---- what was lost --------------------------------------------------------------------------- */

/* Is it there, or does it go there now? What neither side has is named. */
static int mend_one(const char *object, const char *what, void *arg)
{
	struct sync *y = arg;

	if (store_has(y->s, object))
		return y->pushes ? push_file(y, object) : 0;
	if (depot_list_find(&y->objects, object))
		return 0;
	if (y->pushes)
		y->n->absent++;
	log_warn("object %s (%s) is neither here nor in %s", object, what, y->d->name);
	return 0;
}

/* Records that both sides have say nothing of whether what they name has stayed: a remote may have lost a write. */
static int mend(struct sync *y, bool pushes)
{
	y->pushes = pushes;
	return registry_needs(y->r, mend_one, y);
}

/* ---- pull, and what it leaves open ----------------------------------------------------------- */

/* All that can be had; what was left out is counted. */
static int pull_from(struct registry *r, struct depot *d, const struct sync_options *o, struct sync_counts *n)
{
	struct sync y;
	int rc = sync_open(&y, r, d, o, n);

	rc = rc ? rc : pull(&y);
	if (!rc && !o->records_only && !o->dry_run)
		rc = mend(&y, false);
	sync_close(&y);
	return rc;
}

int registry_pull(struct registry *r, struct depot *d, const struct sync_options *o, struct sync_counts *n)
{
	int rc = pull_from(r, d, o, n);

	return rc ? rc : left_out(d, n);
}

/* ---- push ------------------------------------------------------------------------------------ */

/* What is wrong with an alias's claims keeps its moves here, told once, and nothing else: no record but the next move rests on one. */
static int stop_alias(struct sync *y, const json_t *move)
{
	char *name = mem_printf("%s@%s", json_get_text(move, "model", ""), json_get_text(move, "alias", ""));

	if (map_put(&y->stopped, name, strlen(name), 0)) {
		y->n->refused++;
		if (!y->stop.text)
			y->stop = err_save();
		else
			log_warn("left out: %s%s%s", err_text(), err_fix() ? "; " : "", err_fix() ? err_fix() : "");
	}
	err_clear();
	free(name);
	return 0;
}

static int push_record(struct sync *y, const char *id)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	char path[DEPOT_PATH], name[DIGEST_HEX];
	struct fs_map bytes;
	json_t *record = NULL;
	bool stops = false;
	int rc = record_read(y->s, id, &record);

	rc = rc ? rc : each_named(y, record, push_named);
	if (!rc && !y->o->dry_run) {
		record_bytes(&text, name, record);
		bytes = (struct fs_map){ (const uint8_t *)buf_str(&text), text.len };
		rc = strcmp(name, id) ? err_set(ERR_INPUT, "record %.12s is not in its canonical form", id)
				      : sync_claim(y, record, &text, id);
		depot_file(path, VAULT_RECORDS, id);
		stops = rc == ERR_INPUT && record_kind(record) == RECORD_PROMOTION;
		if (stops)
			rc = stop_alias(y, record);
		else
			rc = rc ? rc : y->d->ops->put(y->d, path, &bytes, id);
	}
	if (!rc && !stops) {
		y->n->records++;
		y->n->bytes += text.len;
	}
	json_decref(record);
	buf_release(&text);
	return rc;
}

/* Records that only this home has, in their order; but first which weights went: a push that ends in the middle must leave no version
 * there whose files are nowhere and nobody says why. Those with a fault are told by registry_check() and stay here. */
static int push_all(struct sync *y)
{
	json_t *rows = NULL, *row;
	size_t i, done = 0, total = y->mine.len - (size_t)y->n->known;
	int rc = sql_rows(y->r, &rows, SQL_TO_PUSH, "");

	progress_begin("pushing", total, "records");
	json_array_foreach(rows, i, row)
	{
		const char *id = json_get_text(row, "id", "");

		if (rc || sync_has(&y->theirs, id) || !sync_has(&y->mine, id))
			continue;
		rc = push_record(y, id);
		progress_at(++done, NULL);
	}
	progress_end();
	json_decref(rows);
	return rc;
}

static void add_counts(struct sync_counts *sum, const struct sync_counts *n)
{
	sum->records += n->records;
	sum->objects += n->objects;
	sum->bytes += n->bytes;
	sum->known = n->known;
	sum->absent += n->absent;
	sum->refused = n->refused;
	sum->renumbered += n->renumbered;
	sum->lost += n->lost;
}

static int push_once(struct registry *r, struct depot *d, const struct sync_options *o, struct sync_counts *n,
		     struct sync_counts *pulled)
{
	const struct sync_options records = { .dry_run = o->dry_run, .records_only = true, .begins = true };
	const struct sync_options all = { .dry_run = o->dry_run, .begins = true };
	struct sync_counts now;
	struct sync y;
	int rc = pull_from(r, d, &records, &now);

	add_counts(pulled, &now);
	if (rc)
		return rc;
	rc = sync_open(&y, r, d, &all, &now);
	rc = rc ? rc : list_there(&y, VAULT_OBJECTS, &y.objects);
	rc = rc ? rc : push_all(&y);
	rc = rc ? rc : mend(&y, true);
	if (!rc && y.stop.text) {
		err_restore(&y.stop);
		rc = ERR_INPUT;
	}
	add_counts(n, &now);
	sync_close(&y);
	return rc;
}

int registry_push(struct registry *r, struct depot *d, const struct sync_options *o, struct sync_counts *n,
		  struct sync_counts *pulled)
{
	int rc = ERR_EXISTS;

	*n = *pulled = (struct sync_counts){ 0 };
	for (int i = 0; rc == ERR_EXISTS && i < RACES; i++) /* another was first: pull what it did, and try again */
		rc = push_once(r, d, o, n, pulled);
	if (rc == ERR_EXISTS) /* whose record cannot be read there will be first for ever */
		rc = pulled->refused ? left_out(d, pulled) : err_context(ERR_CONFLICT, "%s", d->name);
	if (!rc && pulled->lost && !o->dry_run) {
		rc = err_set(ERR_CONFLICT, "%llu move%s of an alias did not come true: it was moved meanwhile",
			     (unsigned long long)pulled->lost, pulled->lost == 1 ? "" : "s");
		err_hint(rc, "run the gate again: it now compares with what the alias points at");
	}
	if (!rc && n->absent) {
		rc = err_set(ERR_IO, "%llu object%s that records name %s neither here nor in %s",
			     (unsigned long long)n->absent, n->absent == 1 ? "" : "s", n->absent == 1 ? "is" : "are",
			     d->name);
		err_hint(rc,
			 "all else was pushed; push from a home that has them, or bring them here by assay artifact "
			 "repair --from HOME");
	}
	return rc ? rc : left_out(d, pulled);
}
