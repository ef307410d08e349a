/* sync_forks.c: moves of an alias that part from the way the remote's claims went.
 *
 * Each move names the one before it, and the claims say which was the last: so the claimed move and those before it are one line.
 * A move that comes with a pull and follows any of them but the last is a fork: it was decided against a state that another had
 * already moved on from, got no claim, and was put there by somebody who wrote a file and asked nobody. The order of
 * records would let it win, and that is up to whoever wrote it. So it goes to HOME/aside/, with whatever was moved on top of it.
 *
 * So does one that names no move before it, where the line's have begun to: whoever takes it in calls it a fault.
 *
 * A claim whose move does not rest on that of the claim before it is none: the swap would not have let it in.
 *
 * A move behind the last claim is believed without one of its own, and told: it takes from nobody, and claims that were lost, or a bit
 * that was flipped in one, must not take an alias back where it was. Where there is no claim at all, the line is the one that this
 * home knows already. */
#include "artifacts/sync.h"

enum { TRIES = 8 }; /* claims, the last first */

#define SQL_BEFORE_KNOWN "SELECT coalesce(previous, '') FROM promotions WHERE id = ?1 AND chained"
#define SQL_SEQ_KNOWN "SELECT seq FROM promotions WHERE id = ?1"
#define SQL_LAST_KNOWN "SELECT id FROM promotions WHERE model = ?1 AND alias = ?2 ORDER BY seq DESC, id DESC"

/* The moves of one alias. */
struct line {
	struct merge *m;
	struct sync *y;
	const char *model, *alias;
	json_t *came;          /* by id: what those that come say */
	char last[DIGEST_HEX]; /* of the line; "": there is none */
	json_t *claimed;       /* the record of it, or NULL */
	struct map before;     /* it, and all on which it rests */
	json_t *old;           /* {"id","seq"}: the move of before the chain on which it rests, or NULL */
	bool intact;           /* the last claim could be read */
	bool whole; /* back to the first: a pull may have seen the claim of a move whose predecessors came after its listing */
};

/* The move on which one rests: "" if it was the first. ERR_NOTFOUND (without a text): it is not known. */
static int rests_on(struct line *l, const char *id, char out[DIGEST_HEX])
{
	const json_t *said = json_object_get(l->came, id);
	char *known = NULL;
	int rc;

	if (!said && l->claimed && !strcmp(id, l->last))
		said = l->claimed;
	if (said) {
		snprintf(out, DIGEST_HEX, "%s", json_get_text(said, "previous", ""));
		return json_object_get(said, "previous") ? 0 : ERR_NOTFOUND;
	}
	rc = sql_text(l->y->r, &known, SQL_BEFORE_KNOWN, "t", id);
	if (!rc)
		snprintf(out, DIGEST_HEX, "%s", known);
	free(known);
	return rc;
}

/* Claims are made one on top of the other: one whose move does not rest on that of the claim before it was put there by hand. */
static int is_line(struct line *l, const char *what, int64_t n, const json_t *record, bool *is)
{
	json_t *before = NULL;
	char id[DIGEST_HEX];
	int rc = n > 1 && json_object_get(record, "previous") ? sync_claimed_move(l->y, what, n - 1, id, &before)
							      : ERR_NOTFOUND;

	*is = rc || !strcmp(json_get_text(record, "previous", ""), id);
	json_decref(before);
	if (rc != ERR_NOTFOUND && rc != ERR_INPUT)
		return rc;
	err_clear(); /* there is none, or it says nothing */
	return 0;
}

/* The last claim that can be read: one that is damaged or gone is named, and those behind the last readable are believed. But where
 * moves name the one before them, a later one that does not is none. */
static int last_claimed(struct line *l)
{
	char *what = mem_printf("%s@%s", l->model, l->alias);
	int64_t n = 0;
	int rc = sync_claims_of_alias(l->y, what, &n);

	for (int tries = 0; !rc && n > 0 && tries < TRIES; tries++, n--) {
		json_t *record = NULL;
		char id[DIGEST_HEX];
		bool line = true;

		rc = sync_claimed_move(l->y, what, n, id, &record);
		l->intact = l->intact || (!rc && !tries);
		rc = rc ? rc : is_line(l, what, n, record, &line);
		if (!rc && !line) {
			json_decref(record);
			continue;
		}
		if (!rc && (!l->claimed || json_object_get(record, "previous"))) {
			json_decref(l->claimed);
			l->claimed = json_incref(record);
			memcpy(l->last, id, sizeof(id));
		}
		json_decref(record);
		if (!rc && json_object_get(l->claimed, "previous"))
			break;
		if (rc == ERR_INPUT)
			log_warn("%s%s%s", err_text(), err_fix() ? ": " : "", err_fix() ? err_fix() : "");
		if (rc == ERR_NOTFOUND || rc == ERR_INPUT) {
			err_clear();
			rc = 0;
		}
	}
	if (!l->claimed)
		l->last[0] = '\0';
	free(what);
	return rc;
}

static int last_known(struct line *l)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(l->y->r, &rows, SQL_LAST_KNOWN, "tt", l->model, l->alias);

	json_array_foreach(rows, i, row)
	{
		if (!*l->last && sync_has(&l->y->theirs, json_get_text(row, "id", "")))
			snprintf(l->last, sizeof(l->last), "%s", json_get_text(row, "id", ""));
	}
	json_decref(rows);
	return rc;
}

/* The line ends at a move that names none: is that one known, and where did it stand? */
static int began(struct line *l, const char *id)
{
	const json_t *said = json_object_get(l->came, id);
	int64_t seq = json_get_int(said, "seq", 0);
	int rc = said ? 0 : sql_int(l->y->r, &seq, SQL_SEQ_KNOWN, "t", id);

	if (!rc)
		l->old = json_pack("{s:s,s:I}", "id", id, "seq", (json_int_t)seq);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static int walk_back(struct line *l)
{
	char at[DIGEST_HEX], next[DIGEST_HEX];
	int rc = 0;

	memcpy(at, l->last, sizeof(at));
	while (!rc && *at) {
		map_put(&l->before, at, strlen(at), 0);
		rc = rests_on(l, at, next);
		if (!rc)
			memcpy(at, next, sizeof(at));
	}
	l->whole = !rc;
	return rc == ERR_NOTFOUND && strcmp(at, l->last) ? began(l, at) : rc == ERR_NOTFOUND ? 0 : rc;
}

/* A move that names none before it, though the line's had begun to: nobody's assay made it. One of before the line's beginning is
 * older than what that rests on. */
static bool is_unchained(const struct line *l, const char *id, const json_t *said)
{
	int64_t seq = json_get_int(said, "seq", 0), first = json_get_int(l->old, "seq", 0);

	if (json_object_get(said, "previous") || map_has(&l->before, id))
		return false;
	return l->whole || (l->old && (seq != first ? seq > first : strcmp(id, json_get_text(l->old, "id", "")) > 0));
}

/* Does a move lead to the line, but not to its end? *behind: it leads to the end. */
static int is_fork(struct line *l, const char *id, bool *fork, bool *behind)
{
	char at[DIGEST_HEX], next[DIGEST_HEX];
	int rc = 0;

	*fork = *behind = false;
	snprintf(at, sizeof(at), "%s", id);
	while (!map_has(&l->before, at)) {
		rc = rests_on(l, at, next);
		*behind = !rc && !strcmp(next, l->last);
		if (rc || *behind)
			return rc == ERR_NOTFOUND ? 0 : rc;
		*fork = *next ? map_has(&l->before, next) : l->whole;
		if (*fork)
			return 0;
		memcpy(at, next, sizeof(at));
	}
	return 0;
}

static void refuse(struct line *l, const char *id, const json_t *said, bool fork)
{
	const struct sync *y = l->y;
	char *from = fork ? mem_printf("from where %.12s had moved it on already", l->last)
			  : mem_str("and names no move before it, as all of that alias do");

	merge_refuse(l->m, id);
	log_warn("%s: promotion %.12s was not taken over: it moves %s@%s to v%lld, by %.80s, %s; it %s aside/ of this "
		 "home%s. Ask who that is: if it is to be so, the gate is run again, and records/%.2s/%s removed there",
		 y->d->name, id, l->model, l->alias, (long long)json_get_int(said, "version", 0),
		 json_get_text(said, "actor", "?"), from, y->o->dry_run ? "would go to" : "is in",
		 y->o->dry_run ? "" : " now", id, id + 2);
	free(from);
}

static void tell_unclaimed(const struct line *l, const char *id, const json_t *said)
{
	log_warn("%s: promotion %.12s moves %s@%s to v%lld, by %.80s, and has no claim there: it was written by hand, "
		 "or its "
		 "claim is lost. It is believed, as whoever may write there is",
		 l->y->d->name, id, l->model, l->alias, (long long)json_get_int(said, "version", 0),
		 json_get_text(said, "actor", "?"));
}

/* A remote that lost the record of the last move, and not its claim; one that came after the listing is there by now. */
static void tell_lost(const struct line *l)
{
	char path[DEPOT_PATH];
	uint64_t size;

	if (!l->claimed || json_object_get(l->came, l->last) || sync_has(&l->y->mine, l->last))
		return;
	depot_file(path, VAULT_RECORDS, l->last);
	if (l->y->d->ops->size(l->y->d, path, &size) == ERR_NOTFOUND)
		log_warn("%s: the record %.12s is gone, which moved %s@%s to v%lld, by %.80s; its claim is there. A "
			 "push of the "
			 "next move puts it back",
			 l->y->d->name, l->last, l->model, l->alias, (long long)json_get_int(l->claimed, "version", 0),
			 json_get_text(l->claimed, "actor", "?"));
	err_clear();
}

static int look_at_line(struct line *l)
{
	const char *id;
	json_t *said;
	int rc = last_claimed(l);

	if (!rc && !*l->last)
		rc = last_known(l);
	if (rc || !*l->last)
		return rc;
	tell_lost(l);
	rc = walk_back(l);
	json_object_foreach(l->came, id, said)
	{
		bool fork = false, behind = false;

		rc = rc ? rc : is_fork(l, id, &fork, &behind);
		if (!rc && (fork || is_unchained(l, id, said)))
			refuse(l, id, said, fork);
		else if (!rc && behind && l->intact)
			tell_unclaimed(l, id, said);
	}
	return rc;
}

/* {"MODEL@ALIAS": {id: said}} of the moves that come. */
static json_t *moves_of(const struct merge *m)
{
	json_t *all = json_object(), *said, *of;
	size_t i;

	json_array_foreach(m->said, i, said)
	{
		char *name;

		if (record_kind(said) != RECORD_PROMOTION)
			continue;
		name = mem_printf("%s@%s", json_get_text(said, "model", ""), json_get_text(said, "alias", ""));
		of = json_object_get(all, name);
		if (!of)
			json_object_set_new(all, name, of = json_object());
		json_object_set(of, json_get_text(said, "id", ""), said);
		free(name);
	}
	return all;
}

int forks_refuse(struct merge *m, struct sync *y)
{
	json_t *all = moves_of(m), *came;
	const char *name;
	int rc = 0;

	json_object_foreach(all, name, came)
	{
		const json_t *any = json_object_iter_value(json_object_iter(came));
		struct line l = { .m = m,
				  .y = y,
				  .model = json_get_text(any, "model", ""),
				  .alias = json_get_text(any, "alias", ""),
				  .came = came };

		map_init(&l.before);
		rc = rc ? rc : look_at_line(&l);
		map_release(&l.before);
		json_decref(l.claimed);
		json_decref(l.old);
	}
	json_decref(all);
	return rc;
}
