/* sync_rivals.c: two records of one pull that want one version.
 *
 * What is here already stays as it is (newcomers.c), and what is this home's alone gives way (sync_merge.c). But a home that knows
 * nothing yet may meet both a run and another that gives its number to another model, put there by somebody who wrote a
 * file and asked nobody. The order of records would decide, and that is up to whoever wrote it. So the claims are asked, which
 * only one can have got: whoever is contradicted by one goes to HOME/aside/ and has no rows. Without any claim (it was lost),
 * the order decides after all, and the promotions, which name models and not numbers alone, see to it that no alias is handed over.
 *
 * Only records that contradict each other cost a question. */
#include "artifacts/sync.h"

enum claimed { OF_NOBODY, OF_ANOTHER, OF_ITSELF };

static const json_t *version_of(const json_t *said)
{
	return record_kind(said) == RECORD_RUN ? json_object_get(said, "version") : NULL;
}

static bool contradict(const json_t *a, const json_t *b)
{
	bool number = json_get_int(a, "number", 0) == json_get_int(b, "number", 0);
	bool object = !strcmp(json_get_text(a, "object", ""), json_get_text(b, "object", ""));

	return number != object && !strcmp(json_get_text(a, "model", ""), json_get_text(b, "model", ""));
}

/* The first that said something else of the same number, or of the same model: by these two names. */
static bool note_name(json_t *first, char *name, const json_t *said, json_t *rivals)
{
	json_t *other = json_object_get(first, name);
	bool rival = other && contradict(version_of(other), version_of(said));

	if (!other)
		json_object_set(first, name, (json_t *)(uintptr_t)said);
	if (rival)
		json_object_set_new(rivals, json_get_text(other, "id", ""), json_incref(other));
	free(name);
	return rival;
}

/* By id, all that contradict another. */
static json_t *rivals_of(const struct merge *m)
{
	json_t *rivals = json_object(), *first = json_object(), *said;
	size_t i;

	json_array_foreach(m->said, i, said)
	{
		const json_t *v = version_of(said);
		const char *model = json_get_text(v, "model", "");
		bool rival;

		if (!v)
			continue;
		rival = note_name(first, mem_printf("%s@v%lld", model, (long long)json_get_int(v, "number", 0)), said,
				  rivals);
		rival = note_name(first, mem_printf("%s@%s", model, json_get_text(v, "object", "")), said, rivals) ||
			rival;
		if (rival)
			json_object_set(rivals, json_get_text(said, "id", ""), said);
	}
	json_decref(first);
	return rivals;
}

static int whose(struct sync *y, const json_t *said, enum claimed *out)
{
	const json_t *v = version_of(said);
	json_t *theirs = NULL;
	int rc = sync_claimed(y, v, &theirs);

	*out = OF_NOBODY;
	if (rc == ERR_NOTFOUND || rc == ERR_INPUT) { /* there is none, or it is damaged */
		err_clear();
		return 0;
	}
	if (!rc)
		*out = strcmp(json_get_text(json_object_get(theirs, "version"), "object", ""),
			      json_get_text(v, "object", ""))
			       ? OF_ANOTHER
			       : OF_ITSELF;
	json_decref(theirs);
	return rc;
}

static void refuse(struct merge *m, const struct sync *y, const json_t *said)
{
	const json_t *v = version_of(said);
	const char *id = json_get_text(said, "id", "");

	merge_refuse(m, id);
	log_warn("%s: record %.12s was not taken over: it says that %s@v%lld is the model %.12s, and that version was "
		 "claimed "
		 "there for another; it is in aside/ of this home now. Remove records/%.2s/%s there, unless you know "
		 "whose it "
		 "is: that home can push it again, and it gets a number of its own",
		 y->d->name, id, json_get_text(v, "model", ""), (long long)json_get_int(v, "number", 0),
		 json_get_text(v, "object", ""), id, id + 2);
}

int rivals_refuse(struct merge *m, struct sync *y)
{
	json_t *rivals = rivals_of(m), *said, *other;
	const char *id, *its;
	int rc = 0;

	json_object_foreach(rivals, id, said)
	{
		enum claimed of = OF_NOBODY;

		rc = rc ? rc : whose(y, said, &of);
		json_object_set_new(said, "claimed", json_integer(of));
	}
	json_object_foreach(rivals, id, said)
	{
		int64_t of = json_get_int(said, "claimed", OF_NOBODY);
		bool beaten = of == OF_ANOTHER;

		json_object_foreach(rivals, its, other) beaten =
			beaten || (of == OF_NOBODY && json_get_int(other, "claimed", 0) == OF_ITSELF &&
				   contradict(version_of(said), version_of(other)));
		if (!rc && beaten)
			refuse(m, y, said);
	}
	json_decref(rivals);
	return rc;
}
