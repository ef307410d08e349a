/* artifact_store.c: files and folders into the store and out of it by their digests, what is there, and whether it is whole. */
#include "base/base.h"
#include "runner/artifact_store.h"
#include "runner/budget.h"
#include "runner/team.h"

static void print_line(json_t *doc)
{
	struct buf text = BUF_INIT(1 << 20);

	json_add(&text, doc);
	puts(buf_str(&text));
	buf_release(&text);
	json_decref(doc);
}

int artifact_add(struct home *h, const char *path, bool json)
{
	bool folder = fs_is_dir(path);
	char hex[DIGEST_HEX];
	uint64_t size = 0;
	int rc = folder ? store_put_tree(h->store, path, hex, &size) : store_put_file(h->store, path, hex, &size);

	if (rc)
		return rc;
	if (json)
		print_line(json_pack("{s:s,s:s,s:I,s:b}", "path", path, "object", hex, "size", (json_int_t)size,
				     "folder", folder));
	else
		printf("%s  %s\n", hex, path);
	return 0;
}

/* ---- get ----------------------------------------------------------------------------------------------------------------- */

static bool is_folder(struct store *s, const char *object)
{
	static const char head[] = "{\"files\":[";
	struct buf text = BUF_INIT((size_t)64 << 20);
	uint64_t size = 0;
	bool is = store_size(s, object, &size) == 0 && size < (64 << 20) &&
		  store_get(s, object, &text, text.max) == 0 && strncmp(buf_str(&text), head, strlen(head)) == 0;

	err_clear();
	buf_release(&text);
	return is;
}

/* A prefix of 6 or more digits, or all 64. */
struct search {
	const char *prefix;
	char found[DIGEST_HEX];
	int n;
};

static int match(const struct store_row *row, void *arg)
{
	struct search *q = arg;

	if (strncmp(row->object, q->prefix, strlen(q->prefix)) == 0 && strcmp(row->object, q->found) != 0) {
		snprintf(q->found, sizeof(q->found), "%s", row->object);
		q->n++;
	}
	return 0;
}

static int find_object(struct home *h, const char *name, char hex[DIGEST_HEX])
{
	struct search q = { .prefix = name };
	size_t n = strlen(name);
	int rc;

	if (n < 6 || n >= DIGEST_HEX || strspn(name, "0123456789abcdef") != n)
		return err_set(ERR_USAGE, "%s: the digest of an object, or its first 6 digits or more", name);
	snprintf(hex, DIGEST_HEX, "%s", name);
	if (n == DIGEST_HEX - 1)
		return 0;
	rc = store_each(h->store, match, &q);
	if (rc == 0 && q.n == 0)
		rc = err_hint(err_set(ERR_INPUT, "the store has no object %s", name), "assay artifact ls lists them");
	if (rc == 0 && q.n > 1)
		rc = err_set(ERR_INPUT, "%s are the first digits of %d objects: give more", name, q.n);
	snprintf(hex, DIGEST_HEX, "%s", q.found);
	return rc;
}

int artifact_get(struct home *h, const char *object, const char *out, bool link)
{
	char hex[DIGEST_HEX];
	const struct package_options folder = { .object = hex, .as_links = link };
	uint64_t size;
	int rc = find_object(h, object, hex);

	rc = rc ? rc : fs_check_new(out);
	rc = rc ? rc : store_size(h->store, hex, &size);
	if (rc == ERR_NOTFOUND && err_fix()) /* it was found damaged */
		rc = ERR_IO;
	else if (rc == ERR_NOTFOUND)
		rc = err_hint(err_set(ERR_INPUT, "the store has no object %s", hex), "assay artifact ls lists them");
	else if (rc == 0 && is_folder(h->store, hex))
		rc = home_no_weights(package_export(h->store, PACKAGE_DIR, &folder, out), hex);
	else if (rc == 0)
		rc = store_get_file(h->store, hex, out, NULL);
	if (rc == 0)
		printf("%s  %s\n", hex, out);
	return rc;
}

/* ---- ls ------------------------------------------------------------------------------------------------------------------ */

struct ls {
	bool json;
	uint64_t n, size, stored;
};

static int print_row(const struct store_row *row, void *arg)
{
	struct ls *l = arg;
	char size[16], stored[16];

	l->n++;
	l->stored += row->stored;
	if (strcmp(row->form, "difference") != 0) /* a part of another: counted there */
		l->size += row->size;
	if (l->json) {
		print_line(json_pack("{s:s,s:s,s:I,s:I,s:{s:I,s:I,s:I,s:I}}", "object", row->object, "form", row->form,
				     "size", (json_int_t)row->size, "stored", (json_int_t)row->stored, "parts", "all",
				     (json_int_t)row->parts, "inside", (json_int_t)row->inside, "differences",
				     (json_int_t)row->differences, "files", (json_int_t)row->whole));
		return 0;
	}
	fs_size_text(size, row->size);
	fs_size_text(stored, row->stored);
	printf("%.12s  %10s  %10s  %s", row->object, size, stored, row->form);
	if (row->parts)
		printf(": %lld inside others, %lld differences, %lld files", (long long)row->inside,
		       (long long)row->differences, (long long)row->whole);
	putchar('\n');
	return 0;
}

int artifact_ls(struct home *h, bool json)
{
	struct ls l = { .json = json };
	char size[16], stored[16];
	int rc;

	if (!json)
		printf("%-12s  %10s  %10s  %s\n", "object", "size", "stored", "form");
	rc = store_each(h->store, print_row, &l);
	if (rc || json)
		return rc;
	fs_size_text(size, l.size);
	fs_size_text(stored, l.stored);
	printf("%llu objects, %s of content in %s\n", (unsigned long long)l.n, size, stored);
	return 0;
}

/* ---- verify and repair --------------------------------------------------------------------------------------------------- */

static int print_bad(const char *hex, const char *why, void *arg)
{
	int64_t *n = arg;

	++*n;
	printf("%s  %s\n", hex, why);
	return 0;
}

/* What an earlier look moved away is still missing. */
static int print_aside(const char *vault, const char *hex, void *arg)
{
	int64_t *n = arg;

	++*n;
	printf("%s  it was found damaged before, and lies in bad/%s.%s\n", hex, vault, hex);
	return 0;
}

static int print_break(const char *text, void *arg)
{
	int64_t *n = arg;

	++*n;
	log_safe(stdout, text, strlen(text));
	putchar('\n');
	return 0;
}

/* The promotions: each is whole by its name, but are they one chain, and do aliases point where it ends? */
static int verify_history(struct home *h)
{
	int64_t breaks = 0;
	int rc = registry_chain(h->registry, NULL, print_break, &breaks);

	if (!rc && breaks) {
		err_set(ERR_IO, "the history of promotions is no single chain: %lld place%s", (long long)breaks,
			breaks == 1 ? "" : "s");
		return err_hint(ERR_IO, "assay history shows who promoted what; assay promote says where the alias is "
					"to point, assay pull brings records that are missing here, and assay registry "
					"check says what to do with one that somebody wrote by hand");
	}
	return rc ? rc : registry_aliases_check(h->registry, NULL);
}

int artifact_verify(struct home *h)
{
	uint64_t checked = 0;
	int64_t bad = 0, aside = 0;
	int rc = store_damaged(h->store, print_aside, &aside);

	rc = rc ? rc : store_verify(h->store, print_bad, &bad, &checked);
	if (rc)
		return rc;
	if (bad) {
		err_set(ERR_IO, "%lld of %llu objects and records are damaged", (long long)bad,
			(unsigned long long)checked);
		return err_hint(ERR_IO, "assay artifact repair --from takes them from another home or a remote");
	}
	if (aside) {
		err_set(ERR_IO, "%lld that were found damaged before lie in bad/, and no copy has taken their place",
			(long long)aside);
		return err_hint(ERR_IO, "assay artifact repair --from takes them from another home or a remote; where "
					"there is no copy, removing a file from bad/ gives it up");
	}
	rc = verify_history(h);
	if (rc)
		return rc;
	printf("%llu objects and records, each as its name says\n", (unsigned long long)checked);
	return 0;
}

struct repairs {
	int64_t bad, repaired;
};

static int print_repair(const char *hex, const char *why, bool repaired, void *arg)
{
	struct repairs *r = arg;

	r->bad++;
	r->repaired += repaired;
	printf("%s  %s: %s\n", hex, repaired ? "repaired" : "still bad", why);
	return 0;
}

/* Where copies are: a home's folder, or a remote by its URL or name. */
static int source_open(struct home *h, const char *from, struct store **other, struct depot **remote)
{
	char *objects = path_join(from, "objects");
	int rc;

	if (fs_is_dir(objects))
		rc = store_open(other, from);
	else if (fs_exists(from) && !strstr(from, "://"))
		rc = err_hint(err_set(ERR_INPUT, "%s is no home of assay: it has no objects", from),
			      "the folder that holds registry.db, in a clone .git/assay");
	else
		rc = team_open(remote, h, from, NULL);
	free(objects);
	return rc;
}

/* What records name and nothing has: not damaged, but gone. A folder that comes back says which files it has, so there is another round. */
struct bringing {
	struct home *h;
	const struct store_source *from;
	struct repairs *r;
	bool some, last; /* one came in this round; what is missing still is told */
};

static int bring_one(const char *object, const char *what, void *arg)
{
	struct bringing *b = arg;
	int rc;

	if (store_known(b->h->store, object))
		return 0;
	rc = store_bring(b->h->store, b->from, object);
	b->some = b->some || !rc;
	if (!rc || b->last)
		(void)print_repair(object, rc ? err_text() : what, rc == 0, b->r);
	err_clear();
	return 0;
}

static int bring_missing(struct home *h, const struct store_source *from, struct repairs *r)
{
	struct bringing b = { .h = h, .from = from, .r = r };
	int rc;

	do {
		b.some = false;
		rc = registry_needs(h->registry, bring_one, &b);
	} while (!rc && b.some);
	b.last = true;
	return rc ? rc : registry_needs(h->registry, bring_one, &b);
}

int artifact_repair(struct home *h, const char *from)
{
	struct store *other = NULL;
	struct depot *remote = NULL;
	struct store_source source;
	struct repairs r = { 0, 0 };
	uint64_t checked = 0;
	int rc = from ? source_open(h, from, &other, &remote) : 0;

	if (!rc && from)
		source = remote ? store_source_remote(remote) : store_source_of(other, from);
	rc = rc ? rc : store_repair(h->store, from ? &source : NULL, print_repair, &r, &checked);
	if (!rc && from)
		rc = bring_missing(h, &source, &r);
	depot_close(remote);
	store_close(other);
	if (rc)
		return rc;
	printf("%llu objects and records, %lld were bad, %lld are repaired\n", (unsigned long long)checked,
	       (long long)r.bad, (long long)r.repaired);
	if (r.bad > r.repaired)
		return err_set(ERR_IO, "%lld objects are lost here%s%s", (long long)(r.bad - r.repaired),
			       from ? " and in " : "; name a copy: --from HOME or a remote", from ? from : "");
	return 0;
}
