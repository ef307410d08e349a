/* cmd_registry.c: `assay registry rebuild|check`: the database is derived, and these two prove it. */
#include "base/base.h"
#include "runner/cmd.h"

struct faults {
	int64_t all, absent; /* absent: objects that are named and not there */
};

static int print_fault(const char *text, void *arg)
{
	struct faults *f = arg;

	f->all++;
	f->absent += strncmp(text, "object ", 7) == 0;
	log_safe(stdout, text, strlen(text));
	putchar('\n');
	return 0;
}

static int check(struct place *place)
{
	struct faults faults = { 0, 0 };
	int rc = registry_check(place->home.registry, print_fault, &faults);

	if (rc)
		return rc;
	if (faults.all == 0) {
		puts("the registry agrees with its records, and what they name is there");
		return 0;
	}
	err_set(ERR_IO, "%lld fault%s", (long long)faults.all, faults.all == 1 ? "" : "s");
	if (faults.all == faults.absent)
		return err_hint(ERR_IO, "assay pull, or assay artifact repair --from HOME, where a copy is; assay "
					"reproduce makes a run's weights again");
	return err_hint(ERR_IO, "assay registry rebuild makes the database again from the records");
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
	if (rc && strcmp(argv[0], "rebuild") == 0 && repo_open(&place.repo, ".") == 0) {
		const char *env = getenv("ASSAY_HOME");
		char *path = env && *env ? mem_str(env) : path_join(repo_common_dir(place.repo), "assay");

		rc = store_open(&place.home.store, path);
		free(path);
	}
	if (rc == 0 && strcmp(argv[0], "rebuild") == 0)
		rc = rebuild(&place);
	else if (rc == 0 && strcmp(argv[0], "check") == 0)
		rc = check(&place);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay registry: rebuild or check");
	place_close(&place);
	return rc;
}
