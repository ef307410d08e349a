/* sync_vouch.c: promotions that come from a remote, and what its claims say of them.
 *
 * A push claims a move before it puts the move's record there, so in a remote that has claims no honest move is without. One
 * that somebody wrote there by hand (beside the chain, or at its end) would move the alias in every home that pulls. So the claims
 * are asked. A move names the one before it by its digest, so the last claim vouches for all that it rests on, and one question an
 * alias is enough; where a record of that chain is damaged or gone, its own claim holds it, too.
 *
 * What nothing vouches for goes to HOME/aside/ and moves nothing. It stays named at each pull until it is removed there, or has
 * a claim. Believed as ever: a remote without claims (records copied by hand, claims that were lost as a whole), which shows at the
 * promoted version having none either; and moves of before the chain that are no later than what was claimed last. */
#include "artifacts/sync.h"

/* The moves of one alias that come. */
struct moves {
	const char *model, *alias;
	json_t *by_id; /* what the records say; taken out once vouched for */
};

static void vouched(struct moves *m, const char *id)
{
	json_object_del(m->by_id, id);
}

/* What a move says, by its name: from those that come, else of this home, else its own claim, the k-th; NULL: it is nowhere. Yours. */
static int move_said(struct sync *y, const json_t *coming, const char *what, int64_t k, const char *id, json_t **out)
{
	char found[DIGEST_HEX];
	int rc;

	*out = json_incref(json_object_get(coming, id));
	if (*out)
		return 0;
	rc = sync_has(&y->mine, id) ? record_read(y->s, id, out) : ERR_NOTFOUND;
	if (rc) { /* damaged here: told by who reads it */
		err_clear();
		rc = ERR_NOTFOUND;
	}
	if (rc && k > 0) {
		rc = sync_claimed_move(y, what, k, found, out);
		if (!rc && strcmp(found, id)) {
			json_decref(*out);
			*out = NULL;
		}
	}
	if (rc == ERR_NOTFOUND || rc == ERR_INPUT) {
		err_clear();
		rc = 0;
	}
	return rc;
}

static bool no_later(const json_t *said, const json_t *last, const char *last_id)
{
	int64_t a = json_get_int(said, "seq", 0), b = json_get_int(last, "seq", 0);

	return a != b ? a < b : strcmp(json_get_text(said, "id", ""), last_id) <= 0;
}

static void vouch_unchained(struct moves *m, const json_t *last, const char *last_id)
{
	const char *id;
	json_t *said;
	void *next;

	json_object_foreach_safe(m->by_id, next, id, said)
	{
		if (!json_object_get(said, "previous") && no_later(said, last, last_id))
			vouched(m, id);
	}
}

/* From the k-th claim back, along what each move says that it rests on. *damaged: what it says is nowhere. */
static int vouch_chain(struct sync *y, struct moves *m, const char *what, int64_t k, const char *last, json_t *said)
{
	const json_t *coming = json_copy(m->by_id);
	char at[DIGEST_HEX];
	int rc = 0;

	snprintf(at, sizeof(at), "%s", last);
	json_incref(said);
	while (!rc && said) {
		const char *before;

		vouched(m, at);
		before = json_object_size(m->by_id) ? json_get_text(said, "previous", NULL) : NULL;
		snprintf(at, sizeof(at), "%s", before ? before : "");
		json_decref(said);
		said = NULL;
		k--;
		if (*at)
			rc = move_said(y, coming, what, k, at, &said);
	}
	json_decref(said);
	json_decref((json_t *)(uintptr_t)coming);
	return rc;
}

/* Does the version that a move names have a claim there? Then claims are kept there. */
static int has_claims(struct sync *y, const struct moves *m, bool *out)
{
	const char *id;
	json_t *said;
	int rc = 0;

	*out = false;
	json_object_foreach(m->by_id, id, said)
	{
		json_t *version = json_pack("{s:s,s:O}", "model", m->model, "number", json_object_get(said, "version")),
		       *claimed = NULL;

		rc = rc || *out ? rc : sync_claimed(y, version, &claimed);
		*out = *out || claimed || rc == ERR_INPUT;
		if (rc == ERR_NOTFOUND || rc == ERR_INPUT) {
			err_clear();
			rc = 0;
		}
		json_decref(version);
		json_decref(claimed);
	}
	return rc;
}

static int vouch(struct sync *y, struct moves *m)
{
	char *what = mem_printf("%s@%s", m->model, m->alias), id[DIGEST_HEX];
	json_t *last = NULL;
	bool kept = true;
	int64_t n = 0;
	int rc = sync_claims_of_alias(y, what, &n);

	if (!rc && !n) {
		rc = has_claims(y, m, &kept);
		if (!rc && !kept)
			json_object_clear(m->by_id);
	}
	for (; !rc && n && json_object_size(m->by_id); n--) { /* the last that can be read */
		rc = sync_claimed_move(y, what, n, id, &last);
		if (!rc) {
			rc = vouch_chain(y, m, what, n, id, last);
			vouch_unchained(m, last, id);
			break;
		}
		if (rc == ERR_NOTFOUND || rc == ERR_INPUT) {
			log_warn("%s%s%s", err_text(), err_fix() ? "; " : "", err_fix() ? err_fix() : "");
			err_clear();
			rc = 0;
		}
	}
	json_decref(last);
	free(what);
	return rc;
}

static void refuse(struct merge *merge, const struct sync *y, const struct moves *m)
{
	const char *id;
	json_t *said;

	json_object_foreach(m->by_id, id, said)
	{
		MEM_GROW(merge->refused.names, merge->refused.len, merge->refused.cap);
		snprintf(merge->refused.names[merge->refused.len++], DIGEST_HEX, "%s", id);
		log_warn("%s: promotion %.12s was not taken over: it moves %s@%s to v%lld, by %.80s, and no claim "
			 "there vouches for it; it %s aside/ of this home%s. Remove records/%.2s/%s there; if it is "
			 "honest, "
			 "the home that made it pushes it again, with its claim",
			 y->d->name, id, m->model, m->alias, (long long)json_get_int(said, "version", 0),
			 json_get_text(said, "actor", "?"), y->o->dry_run ? "would go to" : "is in",
			 y->o->dry_run ? "" : " now", id, id + 2);
	}
}

int vouch_refuse(struct merge *merge, struct sync *y)
{
	json_t *aliases = json_object(), *said, *by_id;
	const char *name;
	size_t i;
	int rc = 0;

	json_array_foreach(merge->said, i, said)
	{
		char *what = mem_printf("%s@%s", json_get_text(said, "model", ""), json_get_text(said, "alias", ""));

		if (record_kind(said) == RECORD_PROMOTION) {
			if (!json_object_get(aliases, what))
				json_object_set_new(aliases, what, json_object());
			json_object_set(json_object_get(aliases, what), json_get_text(said, "id", ""), said);
		}
		free(what);
	}
	json_object_foreach(aliases, name, by_id)
	{
		const json_t *one = json_object_iter_value(json_object_iter(by_id));
		struct moves m = { json_get_text(one, "model", ""), json_get_text(one, "alias", ""), by_id };

		json_incref((json_t *)(uintptr_t)one); /* its names outlive what is taken out */
		rc = rc ? rc : vouch(y, &m);
		if (!rc)
			refuse(merge, y, &m);
		json_decref((json_t *)(uintptr_t)one);
	}
	json_decref(aliases);
	return rc;
}
