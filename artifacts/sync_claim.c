/* sync_claim.c: who was first, where records alone do not say it.
 *
 * Two things are said by records and are not free of conflict: which object is MODEL@v7, and where an alias points. There the
 * remote decides who was first, by claims: a file that is created if it is not there, by one of all who try.
 *
 *	claims/SHA256("version:MODEL@v7")/00000001        the record of the run whose version that is
 *	claims/SHA256("alias:MODEL@ALIAS")/0000000N       the record of the alias's N-th move
 *
 * A promotion follows the one that its home knew as the last; so to claim the next number is a compare-and-swap, and of two that
 * were decided against the same state one is refused. A claim holds the record itself: whoever loses to it can put it under its
 * name, should the winner have been killed before it did. The loser's side of it is sync_merge.c.
 *
 * A claim that is gone is made again by whoever moves the alias next: the moves name each other, so which of the records there have
 * none is known, and in which order they stood.
 *
 * Behind the record stands a line with its digest, since a claim is never named by its content: a bit that was flipped makes another
 * record, which must win nothing. Then the record itself is looked for, among the remote's, under either digest: one of the two is
 * the true one.
 *
 * A claim is found by its key, and what it holds must say that it is of that: a whole claim in the wrong place is none. And the record of
 * a move that the last one claimed rests on, which the remote has lost, needs no claim to go there again.
 *
 * A move may be claimed and yet be nothing (forged, or on something that is gone): at fault, it moves no alias, and no other can follow
 * it. Only whoever may write there can take it away, so the push of that alias's moves names it, and all else goes on. */
#include "artifacts/sync.h"

#define CLAIM_LAST INT64_C(99999999) /* eight digits */
#define CLAIM_MAX (RECORD_MAX + DIGEST_HEX + 1)

enum { NAMED_CLAIMS = 16 };

#define SQL_FAULT "SELECT fault FROM records WHERE id = ?1 AND fault IS NOT NULL"
#define SQL_BEFORE                                                                                                     \
	"SELECT p.id FROM promotions p, promotions me WHERE me.id = ?1 AND p.model = me.model AND p.alias = me.alias"  \
	" AND (p.seq, p.id) < (me.seq, me.id) ORDER BY p.seq DESC, p.id DESC LIMIT 1"

static void claim_key(char out[DIGEST_HEX], const char *name)
{
	struct digest d = digest_bytes(name, strlen(name));

	digest_hex(out, &d);
}

/* version: {"model","number"}. */
static char *version_name(const json_t *version)
{
	return mem_printf("version:%s@v%lld", json_get_text(version, "model", ""),
			  (long long)json_get_int(version, "number", 0));
}

/* What a record claims, as the claim's key is made of it. Yours; NULL: nothing. */
static char *claim_name(const json_t *record)
{
	const json_t *version = json_object_get(record, "version");

	if (record_kind(record) == RECORD_PROMOTION)
		return mem_printf("alias:%s@%s", json_get_text(record, "model", ""),
				  json_get_text(record, "alias", ""));
	return record_kind(record) == RECORD_RUN && json_is_object(version) ? version_name(version) : NULL;
}

/* Without what comes before the colon, as it is told. */
static const char *plain_name(const char *name)
{
	return strchr(name, ':') + 1;
}

/* ---- what a claim holds ---------------------------------------------------------------------- */

/* "RECORD\nDIGEST\n". */
static int claim_make(struct sync *y, const char *path, const struct buf *record, const char *id)
{
	struct buf text = BUF_INIT(CLAIM_MAX);
	char hex[DIGEST_HEX];
	struct fs_map bytes;
	struct digest d;
	int rc;

	buf_add(&text, buf_str(record), record->len);
	buf_addf(&text, "\n%s\n", id);
	bytes = (struct fs_map){ (const uint8_t *)buf_str(&text), text.len };
	d = digest_bytes(bytes.data, bytes.len);
	digest_hex(hex, &d);
	rc = y->d->ops->claim(y->d, path, &bytes, hex);
	buf_release(&text);
	return rc;
}

/* Cuts the line off; seal: what it said, "" if there was none. A record has no line feed, and what is damaged may have one of two. */
static void claim_cut(struct buf *text, char seal[DIGEST_HEX])
{
	const size_t tail = DIGEST_HEX + 1; /* "\n", the digits, "\n" */
	const char *end = buf_str(text) + text->len;

	seal[0] = '\0';
	if (text->len < tail || (end[-(ptrdiff_t)tail] != '\n' && end[-1] != '\n'))
		return;
	snprintf(seal, DIGEST_HEX, "%.64s", end - tail + 1);
	text->len -= tail;
	text->data[text->len] = '\0';
}

/* The record that a damaged claim means, if the remote has it under one of the two names. */
static int claim_record_of(struct sync *y, const char *path, const char *const names[2], struct buf *text,
			   char id[DIGEST_HEX], json_t **record)
{
	char file[DEPOT_PATH];

	for (int i = 0; i < 2; i++) {
		depot_file(file, VAULT_RECORDS, names[i]);
		if (!store_name_ok(names[i]) || !sync_has(&y->theirs, names[i]) || depot_read(y->d, file, text) ||
		    sync_record(record, text, names[i], y->d->name))
			continue;
		log_warn("%s: %s is damaged; the record that it names is whole", y->d->name, path);
		snprintf(id, DIGEST_HEX, "%s", names[i]);
		return 0;
	}
	err_set(ERR_INPUT, "%s: the claim %s is damaged, and the record that it names is not there", y->d->name, path);
	return err_hint(ERR_INPUT,
			"remove that file: the next push of a move makes it again, from the records that are there");
}

/* A claim is found by its key; what it holds says itself of what it is. Where the two differ, somebody put it there. */
static int claim_check_name(const struct sync *y, const char *path, const char *name, const json_t *record)
{
	char *of = claim_name(record);
	int rc = 0;

	if (!of || strcmp(of, name)) {
		rc = err_set(ERR_INPUT, "%s: the claim %s is none of %s: it holds another's record", y->d->name, path,
			     plain_name(name));
		err_hint(rc, "remove that file, and no record: the next push makes it again");
	}
	free(of);
	return rc;
}

/* The record that a claim of that name holds, proved. ERR_NOTFOUND; ERR_INPUT. */
static int claim_read(struct sync *y, const char *path, const char *name, struct buf *text, char id[DIGEST_HEX],
		      json_t **record)
{
	char seal[DIGEST_HEX], found[DIGEST_HEX];
	const char *const names[] = { seal, found };
	struct digest d;
	int rc = depot_read(y->d, path, text);

	*record = NULL;
	if (rc)
		return rc;
	claim_cut(text, seal);
	d = digest_bytes(buf_str(text), text->len);
	digest_hex(found, &d);
	if (strcmp(seal, found)) {
		rc = claim_record_of(y, path, names, text, id, record);
	} else {
		memcpy(id, found, DIGEST_HEX);
		rc = sync_record(record, text, id, y->d->name);
	}
	rc = rc ? rc : claim_check_name(y, path, name, *record);
	if (rc) {
		json_decref(*record);
		*record = NULL;
	}
	return rc;
}

/* The winner may have been killed between its claim and its record. */
static int claim_heal(struct sync *y, const char *id, const struct buf *text)
{
	const struct fs_map bytes = { (const uint8_t *)buf_str(text), text->len };
	char path[DEPOT_PATH];

	depot_file(path, VAULT_RECORDS, id);
	return y->d->ops->put(y->d, path, &bytes, id);
}

/* ---- of a version, of an alias --------------------------------------------------------------- */

/* ERR_EXISTS: another was first; its record is in the remote now. */
static int claim_version(struct sync *y, const json_t *record, const char *name, const struct buf *own, const char *id)
{
	const char *object = json_get_text(json_object_get(record, "version"), "object", "");
	struct buf text = BUF_INIT(CLAIM_MAX);
	char key[DIGEST_HEX], path[DEPOT_PATH], other[DIGEST_HEX];
	json_t *theirs = NULL;
	int rc;

	claim_key(key, name);
	depot_claim_path(path, key, 1);
	rc = claim_make(y, path, own, id);
	if (rc == ERR_EXISTS) {
		rc = claim_read(y, path, name, &text, other, &theirs);
		if (!rc && strcmp(json_get_text(json_object_get(theirs, "version"), "object", ""), object)) {
			rc = claim_heal(y, other, &text);
			rc = rc ? rc : err_set(ERR_EXISTS, "%s is another model there", plain_name(name));
		}
	}
	json_decref(theirs);
	buf_release(&text);
	return rc;
}

/* The move that this one was decided on, as it says itself; one of before the chain: the one that sorts before it. */
static int claim_rests_on(struct sync *y, const json_t *record, const char *id, char **before)
{
	const char *named = json_get_text(record, "previous", NULL);
	int rc = 0;

	*before = named ? mem_str(named) : NULL;
	if (!json_object_get(record, "previous"))
		rc = sql_text(y->r, before, SQL_BEFORE, "t", id);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static int claimed(struct sync *y, const char *name, int64_t n, char id[DIGEST_HEX], json_t **record)
{
	struct buf text = BUF_INIT(CLAIM_MAX);
	char key[DIGEST_HEX], path[DEPOT_PATH];
	int rc;

	claim_key(key, name);
	depot_claim_path(path, key, n);
	rc = claim_read(y, path, name, &text, id, record);
	buf_release(&text);
	return rc;
}

int sync_claimed(struct sync *y, const json_t *version, json_t **record)
{
	char *name = version_name(version), id[DIGEST_HEX];
	int rc = claimed(y, name, 1, id, record);

	free(name);
	return rc;
}

int sync_claims_of_alias(struct sync *y, const char *what, int64_t *n)
{
	char *name = mem_printf("alias:%s", what), key[DIGEST_HEX];

	claim_key(key, name);
	free(name);
	*n = 0;
	return y->d->ops->last(y->d, key, n);
}

int sync_claimed_move(struct sync *y, const char *what, int64_t n, char id[DIGEST_HEX], json_t **record)
{
	char *name = mem_printf("alias:%s", what);
	int rc = claimed(y, name, n, id, record);

	free(name);
	return rc;
}

/* From a move back to the one that was claimed last ("": to the first), by what each rests on; all of them in the remote. The
 * names of those behind it, the newest first. ERR_NOTFOUND: it does not lead there. */
static int moves_since(struct sync *y, const char *from, const char *last, struct name_list *out)
{
	char at[DIGEST_HEX];
	int rc = 0;

	snprintf(at, sizeof(at), "%s", from);
	while (!rc && strcmp(at, last)) {
		json_t *record = NULL;
		char *before = NULL;

		if (!sync_has(&y->theirs, at) || out->len > y->theirs.len)
			return ERR_NOTFOUND;
		MEM_GROW(out->names, out->len, out->cap);
		memcpy(out->names[out->len++], at, sizeof(at));
		rc = record_read(y->s, at, &record);
		rc = rc ? rc : claim_rests_on(y, record, at, &before);
		snprintf(at, sizeof(at), "%s", before ? before : "");
		json_decref(record);
		free(before);
	}
	return rc;
}

/* Does the move that was claimed last rest on this one? Then this one was claimed before it, and the remote only lost its record. */
static int is_before(struct sync *y, const char *id, const char *last, const json_t *theirs, bool *is)
{
	char at[DIGEST_HEX];
	json_t *record = json_incref((json_t *)(uintptr_t)theirs);
	int rc = 0;

	*is = false;
	snprintf(at, sizeof(at), "%s", last);
	for (size_t k = 0; !rc && !*is && record && k <= y->mine.len; k++) {
		char *before = NULL;

		rc = claim_rests_on(y, record, at, &before);
		json_decref(record);
		record = NULL;
		*is = !rc && before && !strcmp(before, id);
		snprintf(at, sizeof(at), "%s", before ? before : "");
		if (!rc && !*is && *at && store_there(y->s, VAULT_RECORDS, at))
			rc = record_read(y->s, at, &record);
		free(before);
	}
	json_decref(record);
	return rc;
}

/* Claims of moves that are in the remote, and have none: somebody removed them, or wrote a record there by hand. They are made in
 * the order of the moves, each only if nobody has made it meanwhile (ERR_EXISTS). *n: the last claim. */
static int claims_again(struct sync *y, const char *what, const char *key, const struct name_list *moves, int64_t *n)
{
	int rc = 0;

	for (size_t i = moves->len; !rc && i-- > 0;) {
		struct buf text = BUF_INIT(RECORD_MAX);
		char path[DEPOT_PATH];

		rc = store_read(y->s, VAULT_RECORDS, moves->names[i], &text, RECORD_MAX);
		depot_claim_path(path, key, ++*n);
		rc = rc ? rc : claim_make(y, path, &text, moves->names[i]);
		buf_release(&text);
	}
	if (!rc && moves->len)
		log_warn("%s: %zu of the claims of %s were gone; they are made again, from the records", y->d->name,
			 moves->len, what);
	return rc;
}

/* Why a move can have none of this home's on top of it (*why: yours): it is at fault; or it names none before it, so that no history here
 * leads to it; or each pull sets it aside. ERR_NOTFOUND: it can, or has not been pulled yet. */
static int claim_fault(struct sync *y, const char *id, const json_t *record, char **why)
{
	char *aside = shelves_aside(y->s, id, false);
	int rc = sql_text(y->r, why, SQL_FAULT, "t", id);

	if (rc == ERR_NOTFOUND && !sync_has(&y->mine, id) && fs_exists(aside))
		*why = mem_str("it was set aside here, as is told above");
	else if (rc == ERR_NOTFOUND && sync_has(&y->mine, id) && !json_object_get(record, "previous"))
		*why = mem_str("it names no move before it, and none here rests on it");
	if (rc == ERR_NOTFOUND && *why) {
		err_clear();
		rc = 0;
	}
	free(aside);
	return rc;
}

/* "claims/…/00000003, records/ab/cdef…": what was claimed last and no move can follow, the last first. */
static int faults_there(struct sync *y, const char *what, const char *key, int64_t n, struct buf *out)
{
	int rc = 0;

	for (int tries = 0; !rc && n > 0 && tries < NAMED_CLAIMS; tries++, n--) {
		char path[DEPOT_PATH], id[DIGEST_HEX];
		json_t *record = NULL;
		char *why = NULL;

		rc = sync_claimed_move(y, what, n, id, &record);
		rc = rc ? rc : claim_fault(y, id, record, &why);
		depot_claim_path(path, key, n);
		if (!rc)
			buf_addf(out, "%s%s", out->len ? ", " : "", path);
		depot_file(path, VAULT_RECORDS, id);
		if (!rc && sync_has(&y->theirs, id))
			buf_addf(out, ", %s", path);
		free(why);
		json_decref(record);
	}
	if (rc == ERR_NOTFOUND || rc == ERR_INPUT) { /* it stands before them, and is no fault of theirs */
		err_clear();
		return 0;
	}
	return rc;
}

/* Nobody can move the alias on from such a move, however often it is pulled: what is to go is named. ERR_NOTFOUND: it is none. */
static int claim_at_fault(struct sync *y, const char *what, const char *key, const char *last, const json_t *theirs,
			  int64_t n)
{
	struct buf files = BUF_INIT(RECORD_MAX);
	char *why = NULL;
	int rc = claim_fault(y, last, theirs, &why);

	rc = rc ? rc : faults_there(y, what, key, n, &files);
	if (!rc) {
		rc = err_set(ERR_INPUT,
			     "%s: %s stays where it is there: its last claimed move, %.12s to v%lld by %.80s, is at "
			     "fault: %s",
			     y->d->name, what, last, (long long)json_get_int(theirs, "version", 0),
			     json_get_text(theirs, "actor", "?"), why);
		err_hint(rc,
			 "unless you know who made it, remove from that remote %s; then assay push again. A move that "
			 "only misses what it rests on is right again when that has come back",
			 buf_str(&files));
	}
	buf_release(&files);
	free(why);
	return rc;
}

/* The alias is elsewhere than where this move left from. last: what was claimed last, text: its bytes, theirs: what they
 * say; "": nothing was. */
static int claim_behind(struct sync *y, const char *what, const char *key, const char *last, const struct buf *text,
			const json_t *theirs, const char *before, int64_t *n)
{
	struct name_list moves = { NULL, 0, 0 };
	int rc = moves_since(y, before, last, &moves);

	if (!rc) {
		rc = claims_again(y, what, key, &moves, n);
	} else if (rc == ERR_NOTFOUND && *last) {
		rc = claim_at_fault(y, what, key, last, theirs, *n);
		if (rc == ERR_NOTFOUND)
			rc = claim_heal(y, last, text);
		rc = rc ? rc : err_set(ERR_EXISTS, "%s was moved there meanwhile", what);
	} else if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s: the move %.12s of %s, on which one here rests, is not there", y->d->name,
			     before, what);
		err_hint(rc, "push it from a home that has it, or bring it here by assay artifact repair --from");
	}
	name_list_release(&moves);
	return rc;
}

static int claim_alias(struct sync *y, const json_t *record, const char *name, const struct buf *own, const char *id)
{
	char *before = NULL;
	struct buf text = BUF_INIT(CLAIM_MAX);
	char key[DIGEST_HEX], path[DEPOT_PATH], last[DIGEST_HEX] = "";
	json_t *theirs = NULL;
	bool done = false;
	int64_t n = 0;
	int rc;

	claim_key(key, name);
	rc = y->d->ops->last(y->d, key, &n);
	if (!rc && n) {
		depot_claim_path(path, key, n);
		rc = claim_read(y, path, name, &text, last, &theirs);
	}
	if (!rc && n >= CLAIM_LAST) {
		rc = err_set(ERR_INPUT, "%s: the claim %s is the last that there can be", y->d->name, path);
		err_hint(rc, "nobody has moved an alias so often: remove that file, which was made by hand");
	}
	done = !strcmp(last, id);
	if (!rc && *last && !done)
		rc = is_before(y, id, last, theirs, &done);
	if (!rc && !done) {
		rc = claim_rests_on(y, record, id, &before);
		if (!rc && strcmp(last, before ? before : ""))
			rc = claim_behind(y, plain_name(name), key, last, &text, theirs, before ? before : "", &n);
		depot_claim_path(path, key, n + 1);
		rc = rc ? rc : claim_make(y, path, own, id);
	}
	free(before);
	json_decref(theirs);
	buf_release(&text);
	return rc;
}

int sync_claim(struct sync *y, const json_t *record, const struct buf *own, const char *id)
{
	char *name = claim_name(record);
	int rc = 0;

	if (name)
		rc = record_kind(record) == RECORD_PROMOTION ? claim_alias(y, record, name, own, id)
							     : claim_version(y, record, name, own, id);
	free(name);
	return rc;
}
