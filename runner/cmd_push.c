/* cmd_push.c: `assay push` and `assay pull`: the union of this home's records and objects with a remote's; and `assay mirror`. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/team.h"

static json_t *counts_json(const struct sync_counts *n)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "records", (json_int_t)n->records, "objects",
			 (json_int_t)n->objects, "bytes", (json_int_t)n->bytes, "known", (json_int_t)n->known, "absent",
			 (json_int_t)n->absent, "refused", (json_int_t)n->refused, "renumbered",
			 (json_int_t)n->renumbered, "lost", (json_int_t)n->lost, "unseen", (json_int_t)n->unseen);
}

static void say(const char *did, const struct sync_counts *n, const struct depot *d, bool dry_run)
{
	char text[96];

	team_counts(text, n);
	printf("%s%s %s %s\n", dry_run ? "would have " : "", did, text, depot_name(d));
}

/* did: the word for it, and the member of the document. */
static void tell(const char *did, const struct sync_counts *n, const struct depot *d, bool dry_run, bool json)
{
	json_t *v;

	if (!json) {
		say(did, n, d, dry_run);
		if (n->unseen)
			printf("not looked into: the files of %llu model%s whose list is not here\n",
			       (unsigned long long)n->unseen, n->unseen == 1 ? "" : "s");
		return;
	}
	v = json_pack("{s:s,s:b,s:o}", "remote", depot_name(d), "dry_run", dry_run, did, counts_json(n));
	print_json(v);
	json_decref(v);
}

/* Behind a push: what others see is told what is new. That it cannot be told changes nothing of what was pushed. */
static void mirror_behind(const struct home *h, bool json)
{
	struct mirror_counts n;
	char *where = NULL;
	int rc = team_mirror(&where, h, NULL, &n);

	if (rc && rc != ERR_NOTFOUND)
		log_warn("the mirror was not told: %s", err_text());
	else if (!rc && !json && (n.models || n.versions || n.aliases))
		printf("mirrored %llu version%s and %llu alias%s %s\n", (unsigned long long)n.versions,
		       n.versions == 1 ? "" : "s", (unsigned long long)n.aliases, n.aliases == 1 ? "" : "es", where);
	err_clear();
	free(where);
}

/* What a command of a remote is called with; each takes its own options out of the table. */
struct transfer {
	struct sync_options o;
	bool json;
	const char *where; /* NULL: as configured */
	struct place place;
	struct depot *d;
};

static int push(struct transfer *t)
{
	struct sync_counts n, pulled;
	int rc = team_open_at(&t->d, &t->place, t->where);

	if (rc)
		return rc;
	rc = registry_push(t->place.home.registry, t->d, &t->o, &n, &pulled);
	if (!t->json && (pulled.records || pulled.lost || pulled.renumbered))
		say("pulled", &pulled, t->d, t->o.dry_run);
	if (!rc || rc == ERR_CONFLICT || n.absent || n.refused || pulled.refused)
		tell("pushed", &n, t->d, t->o.dry_run, t->json);
	if (!rc && !t->o.dry_run)
		mirror_behind(&t->place.home, t->json);
	return rc;
}

static int pull(struct transfer *t)
{
	struct sync_counts n;
	int rc = team_open_at(&t->d, &t->place, t->where);

	if (rc)
		return rc;
	rc = registry_pull(t->place.home.registry, t->d, &t->o, &n);
	if (!rc || n.refused)
		tell("pulled", &n, t->d, t->o.dry_run, t->json);
	if (!rc && !n.records && !n.known && !n.refused)
		log_info("nothing has been pushed to %s yet: the first assay push does", depot_name(t->d));
	return rc;
}

static int mirror(struct transfer *t)
{
	struct mirror_counts n;
	char *where = NULL;
	int rc = team_mirror(&where, &t->place.home, t->where, &n);

	if (!rc && t->json) {
		json_t *v = json_pack("{s:s,s:I,s:I,s:I}", "mirror", where, "models", (json_int_t)n.models, "versions",
				      (json_int_t)n.versions, "aliases", (json_int_t)n.aliases);

		print_json(v);
		json_decref(v);
	} else if (!rc) {
		printf("mirrored %llu new versions and %llu moved aliases %s\n", (unsigned long long)n.versions,
		       (unsigned long long)n.aliases, where);
	}
	free(where);
	return rc;
}

/* One of the three, from its words to its exit; opts point into *t. */
static int run(struct transfer *t, int argc, char **argv, const struct opt *opts, const struct opt_usage *usage,
	       int (*command)(struct transfer *t))
{
	int rc = opt_parse(&argc, &argv, opts, usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	t->where = argc ? argv[0] : NULL;
	rc = place_open(&t->place);
	rc = rc ? rc : command(t);
	depot_close(t->d);
	place_close(&t->place);
	return rc == ERR_NOTFOUND ? ERR_USAGE : rc;
}

#define OPT_JSON(to) OPT_FLAG(0, "json", to, "print one JSON document on standard output")

int cmd_push(int argc, char **argv)
{
	struct transfer t = { .json = false };
	const struct opt opts[] = {
		OPT_FLAG('n', "dry-run", &t.o.dry_run, "count what would go, send nothing"),
		OPT_JSON(&t.json),
		OPT_END,
	};
	const struct opt_usage usage = {
		"push",
		"[REMOTE]",
		"give a remote the records and objects it has not got",
		"  assay push                     to $ASSAY_REMOTE, or remote: of the home's config.yaml\n"
		"  assay push file:///srv/assay\n"
		"The remote's new records are pulled first. Nothing is overwritten there; a push that was killed is\n"
		"gone on with by the next. An alias that was moved there meanwhile is not moved back: exit 75.",
		0,
		1
	};

	return run(&t, argc, argv, opts, &usage, push);
}

int cmd_pull(int argc, char **argv)
{
	struct transfer t = { .json = false };
	const struct opt opts[] = {
		OPT_FLAG(0, "records", &t.o.records_only, "records alone; a run fetches the objects it needs"),
		OPT_FLAG('n', "dry-run", &t.o.dry_run, "count what would come, keep nothing"),
		OPT_JSON(&t.json),
		OPT_END,
	};
	const struct opt_usage usage = {
		"pull",
		"[REMOTE]",
		"take over the records and objects of a remote",
		"  assay pull --records           enough to judge by: what a run needs comes by itself\n"
		"  assay pull file:///srv/assay\n"
		"All that comes is compared with its name before it is seen. Where the remote contradicts what only\n"
		"this home says, the remote was first: a version made here gets the next number.",
		0,
		1
	};

	return run(&t, argc, argv, opts, &usage, pull);
}

int cmd_mirror(int argc, char **argv)
{
	struct transfer t = { .json = false };
	const struct opt opts[] = { OPT_JSON(&t.json), OPT_END };
	const struct opt_usage usage = {
		"mirror",
		"[WHERE]",
		"tell an MLflow-compatible server of versions and aliases",
		"  assay mirror                   to $ASSAY_MIRROR, or mirror: of the home's config.yaml\n"
		"  assay mirror mlflow+https://mlflow.example.org\n"
		"One way: what is there already is left alone, an alias is set where it points elsewhere. assay push "
		"does\n"
		"the same behind a push, if a mirror is configured; there a failure is a warning.",
		0,
		1
	};

	return run(&t, argc, argv, opts, &usage, mirror);
}
