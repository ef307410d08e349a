/* cmd_registry.c: `assay registry rebuild|check`: the database is derived, and these two prove it. */
#include "base/base.h"
#include "runner/cmd.h"

/* What mends a fault, by the words of its line (registry_check.c, chain.c); the last is of all others. */
static const struct {
	const char *words, *fix;
} cures[] = {
	{ "is damaged",
	  "assay artifact repair --from takes damaged records from another home or a remote (where there is no copy, "
	  "removing them from bad/ gives up what they said)" },
	{ "its file is gone", "assay pull brings records that are gone, from where they were pushed to" },
	{ "the history forks", "nothing unsays a promotion: assay history shows who made both" },
	{ "the chain is broken", "a chain is whole again when the promotion that is missing comes back: assay pull "
				 "brings it from a remote, and "
				 "from another home, too (assay pull file:///HOME)" },
	{ "came into the history later", "somebody wrote it by hand: move its file from records/ to aside/ in the "
					 "home, under the 64 digits of its name, and "
					 "remove it from the remote" },
	{ " is not in the store",
	  "assay pull, or assay artifact repair --from HOME, where a copy is; assay reproduce makes a "
	  "run's weights again" },
	{ " cannot be read: folder ", "no assay wrote such a folder: move the record that names it from records/ to "
				      "aside/ in the home, under the 64 "
				      "digits of its name; then assay registry rebuild" },
	{ ": no record has such a name", "remove from records/ what is no record" },
	{ "record: it speaks of ",
	  "what it speaks of comes with assay pull, once a home that has it has pushed it (assay "
	  "push); the record itself "
	  "is whole" },
	{ "record: ",
	  "a record that cannot be taken over: a newer assay reads what it wrote; else move its file from records/ to "
	  "aside/ in the home, under the 64 digits of its name, and remove it from the remote, which would bring it "
	  "again" },
	{ " says ", "a version that contradicts another: assay push from the home that made it, to a remote that knows "
		    "the other, gives it a number" },
	{ "", "assay registry rebuild makes the database again from the records" },
};

struct faults {
	int64_t all;
	bool cured_by[ARRAY_LEN(cures)];
};

static int print_fault(const char *text, void *arg)
{
	struct faults *f = arg;
	size_t i = 0;

	while (!strstr(text, cures[i].words))
		i++;
	f->all++;
	f->cured_by[i] = true;
	log_safe(stdout, text, strlen(text));
	putchar('\n');
	return 0;
}

static int check(struct place *place)
{
	struct faults faults = { 0, { false } };
	struct buf fix = BUF_INIT(1 << 12);
	int rc = registry_check(place->home.registry, print_fault, &faults);

	if (rc)
		return rc;
	if (faults.all == 0) {
		puts("the registry agrees with its records, and what they name is there");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(cures); i++)
		if (faults.cured_by[i])
			buf_addf(&fix, "%s%s", fix.len ? "; " : "", cures[i].fix);
	err_set(ERR_IO, "%lld fault%s", (long long)faults.all, faults.all == 1 ? "" : "s");
	rc = err_hint(ERR_IO, "%s", buf_str(&fix));
	buf_release(&fix);
	return rc;
}

static int rebuild(struct place *place)
{
	uint64_t records = 0;
	int rc;

	registry_close(place->home.registry);
	place->home.registry = NULL;
	rc = registry_rebuild(place->home.store, &records);
	if (rc == 0)
		printf("rebuilt registry.db from %llu records\n", (unsigned long long)records);
	registry_damaged_warn(place->home.store);
	return rc;
}

int cmd_registry(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };
	const struct opt_usage usage = {
		"registry",
		"rebuild | check",
		"the database from the records",
		"registry.db is derived from the immutable records. rebuild makes it again from them alone; check\n"
		"compares the two and looks for every object that they name.",
		1,
		1
	};
	struct place place;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = place_open(&place);
	/* a database too broken to open can still be rebuilt */
	if (rc && strcmp(argv[0], "rebuild") == 0 && repo_open(&place.repo, ".") == 0)
		rc = home_open_store(&place.home, place.repo);
	if (rc == 0 && strcmp(argv[0], "rebuild") == 0)
		rc = rebuild(&place);
	else if (rc == 0 && strcmp(argv[0], "check") == 0)
		rc = check(&place);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay registry: rebuild or check");
	place_close(&place);
	return rc;
}
