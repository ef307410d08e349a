/* depot.c: what all kinds of remote share: names, small files, and an object on its way into the store.
 *
 * An object is fetched to HOME/tmp/fetch-HEX, which a killed or broken transfer leaves behind: the next one goes on where it
 * ended. Only when the digest of the whole is the name does the store see it, by its own way of adding a file; kept whole, that
 * very file becomes the object. Bytes that are not what the name says are dropped, and nothing of them stays. Two processes that want the same object take turns by a lock
 * on that file. */
#include "artifacts/depot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLAIM_DIGITS = 8 };
#define OBJECT_MAX ((uint64_t)1 << 40)

/* ---- names ----------------------------------------------------------------------------------- */

void depot_file(char out[DEPOT_PATH], const char *vault, const char *hex)
{
	snprintf(out, DEPOT_PATH, "%.16s/%.2s/%.62s", vault, hex, hex + 2);
}

void depot_claim_path(char out[DEPOT_PATH], const char *key, int64_t n)
{
	snprintf(out, DEPOT_PATH, VAULT_CLAIMS "/%.64s/%0*lld", key, CLAIM_DIGITS, (long long)n);
}

int64_t depot_claim_number(const char *name)
{
	return strlen(name) == CLAIM_DIGITS && strspn(name, "0123456789") == CLAIM_DIGITS ? strtoll(name, NULL, 10) : 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

int depot_open(struct depot **out, const struct depot_place *p)
{
	*out = NULL;
	for (const char *c = p->url; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return err_set(ERR_INPUT, "a remote's URL has no spaces and no control bytes");
	if (!strncmp(p->url, "file://", 7))
		return depot_dir_open(out, p);
	if (!strncmp(p->url, "s3://", 5))
		return depot_s3_open(out, p);
	if (!strncmp(p->url, "gitlab+http", 11))
		return depot_gitlab_open(out, p);
	return err_set(ERR_INPUT, "%.200s is no remote: file:///FOLDER, s3://BUCKET or gitlab+https://… is", p->url);
}

void depot_close(struct depot *d)
{
	if (d)
		d->ops->close(d);
}

const char *depot_name(const struct depot *d)
{
	return d->name;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, ((const struct depot_entry *)b)->name);
}

void depot_list_add(struct depot_list *l, const char *hex, uint64_t size)
{
	if (!store_name_ok(hex))
		return;
	MEM_GROW(l->items, l->len, l->cap);
	l->items[l->len].size = size;
	memcpy(l->items[l->len++].name, hex, DIGEST_HEX);
}

const struct depot_entry *depot_list_find(const struct depot_list *l, const char *hex)
{
	return l->len ? bsearch(hex, l->items, l->len, sizeof(*l->items), by_name) : NULL;
}

void depot_list_release(struct depot_list *l)
{
	free(l->items);
	*l = (struct depot_list){ NULL, 0, 0 };
}

int depot_list(struct depot *d, const char *vault, struct depot_list *out)
{
	int rc = d->ops->list(d, vault, out);

	if (out->len) /* a name is the first member */
		qsort(out->items, out->len, sizeof(*out->items), by_name);
	return rc;
}

/* ---- small files ----------------------------------------------------------------------------- */

static int into_buf(const void *data, size_t len, void *arg)
{
	struct buf *b = arg;

	buf_add(b, data, len);
	return buf_full(b) ? err_set(ERR_INPUT, "it is longer than %zu bytes", b->max) : 0;
}

int depot_read(struct depot *d, const char *path, struct buf *out)
{
	int rc;

	buf_clear(out);
	rc = d->ops->get(d, path, 0, into_buf, out);
	return rc ? err_context(rc, "%s: %s", d->name, path) : 0;
}

/* ---- an object ------------------------------------------------------------------------------- */

struct fetch {
	struct fs_temp part;
	struct digest_ctx *digest;
	uint64_t len;
	int held; /* the same file again: a commit closes the first before it renames, and the lock is to last longer */
};

static int into_part(const void *data, size_t len, void *arg)
{
	struct fetch *f = arg;
	int rc = fs_temp_write(&f->part, data, len);

	if (rc)
		return rc;
	digest_add(f->digest, data, len);
	f->len += len;
	return f->len > OBJECT_MAX ? err_set(ERR_INPUT, "there is no end to it") : 0;
}

/* Opened and locked. Who waited may hold what has become an object meanwhile, or went: then it is another file that has the name. */
static int part_lock(struct fetch *f, const char *path)
{
	struct stat mine, there;

	for (;;) {
		f->part.fd =
			open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); /* style: allow: it is resumed */
		if (f->part.fd < 0)
			return err_errno(ERR_IO, "%s", path);
		while (flock(f->part.fd, LOCK_EX))
			if (errno != EINTR)
				return err_errno(ERR_IO, "%s", path);
		if (fstat(f->part.fd, &mine))
			return err_errno(ERR_IO, "%s", path);
		if (!lstat(path, &there) && there.st_dev == mine.st_dev && there.st_ino == mine.st_ino) {
			f->held = fcntl(f->part.fd, F_DUPFD_CLOEXEC, 0);
			return f->held < 0 ? err_errno(ERR_IO, "%s", path) : 0;
		}
		close(f->part.fd);
	}
}

/* What an earlier transfer left counts as fetched; its bytes are proved with the rest. */
static int part_open(struct fetch *f, const char *path)
{
	char *piece = NULL;
	ssize_t n = 0;
	int rc = part_lock(f, path);

	if (rc)
		return rc;
	piece = mem_alloc(1 << 20);
	while ((n = read(f->part.fd, piece, 1 << 20)) > 0) {
		digest_add(f->digest, piece, (size_t)n);
		f->len += (uint64_t)n;
	}
	free(piece);
	return n < 0 ? err_errno(ERR_IO, "reading %s", path) : 0;
}

static int wrong_bytes(const struct depot *d, const char *path)
{
	int rc = err_set(ERR_INPUT, "%s: %s is not what its name says; nothing of it was kept", d->name, path);

	return err_hint(rc, "somebody or something has changed that file: put it right there, or remove it and push it "
			    "again from a home that has it");
}

/* What came becomes the object's own file where it is kept whole: nothing is written twice. f->digest and f->part are used up. */
static int part_commit(struct depot *d, struct store *s, struct fetch *f, const char *hex, const char *path)
{
	struct digest sum = digest_end(f->digest);
	char found[DIGEST_HEX];
	int rc;

	f->digest = NULL;
	digest_hex(found, &sum);
	if (strcmp(found, hex)) {
		rc = wrong_bytes(d, path);
		fs_temp_drop(&f->part);
	} else {
		rc = store_add(s, &f->part, hex, f->len);
	}
	return rc;
}

static int fetch_file(struct depot *d, struct store *s, struct fetch *f, const char *hex, uint64_t *bytes)
{
	char path[DEPOT_PATH];
	uint64_t had;
	int rc = part_open(f, f->part.path);

	depot_file(path, VAULT_OBJECTS, hex);
	if (!rc && store_has(s, hex)) { /* another was first while we waited */
		(void)unlink(f->part.path);
		return 0;
	}
	if (rc)
		return rc;
	had = f->len;
	rc = d->ops->get(d, path, had, into_part, f);
	if (rc == ERR_NOTFOUND || rc == ERR_INPUT || rc == ERR_IO) {
		rc = err_context(rc, "%s: %s", d->name, path);
		(void)unlink(f->part.path);
	}
	if (rc)
		return rc; /* the remote cannot be reached: what came so far is worth keeping */
	rc = part_commit(d, s, f, hex, path);
	if (!rc)
		*bytes += f->len - had;
	return rc;
}

int depot_fetch_one(struct depot *d, struct store *s, const char *hex, uint64_t *bytes)
{
	struct fetch f = { .part = { .fd = -1 }, .held = -1 };
	int rc;

	if (!store_name_ok(hex))
		return err_set(ERR_INPUT, "'%.80s' is no object name", hex);
	if (store_has(s, hex))
		return 0;
	f.part.path = mem_printf("%s/fetch-%s", s->tmp, hex);
	f.digest = digest_new();
	rc = fetch_file(d, s, &f, hex, bytes);
	if (f.digest)
		(void)digest_end(f.digest);
	if (f.part.fd >= 0)
		close(f.part.fd);
	if (f.held >= 0)
		close(f.held);
	free(f.part.path);
	return rc;
}

/* Is it a folder's manifest? By its first bytes: no other object of ours begins so. */
static bool is_manifest(struct store *s, const char *hex)
{
	static const char head[] = "{\"files\":[";
	struct tree_files files;
	struct fs_map map;
	bool yes = false;

	if (!fs_map_open(&map, store_path(s, hex))) {
		yes = map.len >= sizeof(head) - 1 && !memcmp(map.data, head, sizeof(head) - 1);
		fs_map_close(&map);
	} else if (!store_tree_read(s, hex, &files)) {
		tree_files_release(&files);
		yes = true;
	}
	err_clear();
	return yes;
}

int store_files(struct store *s, const char *hex, struct tree_files *out)
{
	*out = (struct tree_files){ NULL, 0, 0 };
	return is_manifest(s, hex) ? store_tree_read(s, hex, out) : 0;
}

int depot_fetch(struct depot *d, struct store *s, const char *hex, uint64_t *bytes)
{
	struct tree_files files;
	uint64_t sum = 0;
	int rc = depot_fetch_one(d, s, hex, &sum);

	if (rc)
		return rc;
	rc = store_files(s, hex, &files);
	for (size_t i = 0; !rc && i < files.len; i++)
		rc = depot_fetch_one(d, s, files.items[i].object, &sum);
	tree_files_release(&files);
	if (bytes)
		*bytes += sum;
	return rc;
}

/* ---- on demand ------------------------------------------------------------------------------- */

bool depot_has(struct depot *d, const char *hex)
{
	char path[DEPOT_PATH];
	uint64_t size;
	bool yes;

	if (!store_name_ok(hex))
		return false;
	depot_file(path, VAULT_OBJECTS, hex);
	yes = !d->ops->size(d, path, &size);
	err_clear();
	return yes;
}

void store_on_absent(struct store *s, const struct store_elsewhere *e)
{
	s->elsewhere = *e;
}

bool store_known(struct store *s, const char *hex)
{
	return store_has(s, hex) || (s->elsewhere.has && s->elsewhere.has(hex, s->elsewhere.arg));
}

static bool all_here(struct store *s, const char *hex)
{
	struct tree_files files;
	bool all;

	if (!store_has(s, hex))
		return false;
	all = !store_files(s, hex, &files);
	for (size_t i = 0; all && i < files.len; i++)
		all = store_has(s, files.items[i].object);
	tree_files_release(&files);
	err_clear();
	return all;
}

bool store_known_tree(struct store *s, const char *hex)
{
	struct tree_files files;
	bool all;

	if (!store_name_ok(hex) || !store_has(s, hex))
		return store_need(s, hex); /* only its list says what it needs */
	all = !store_files(s, hex, &files);
	for (size_t i = 0; all && i < files.len; i++)
		all = store_known(s, files.items[i].object);
	tree_files_release(&files);
	err_clear();
	return all;
}

bool store_need(struct store *s, const char *hex)
{
	if (!store_name_ok(hex))
		return false;
	if (all_here(s, hex))
		return true;
	if (!s->elsewhere.fetch)
		return false;
	s->elsewhere.fetch(hex, s->elsewhere.arg);
	return all_here(s, hex);
}
