/* cmd_artifact.c: `assay artifact export|verify`: what the store holds, taken out and checked. */
#include "base/base.h"
#include "runner/cmd.h"

#include <sys/stat.h>

static int make_own(const char *name, void *arg)
{
	char *path = path_join(arg, name), *copy = mem_printf("%s.own", path);
	int rc = 0;

	if (fs_is_dir(path)) {
		rc = fs_list(path, make_own, path);
	} else { /* the store's file may be hard-linked here: give the user one that may be changed */
		rc = fs_copy(path, copy);
		if (rc == 0)
			rc = fs_rename(copy, path);
		if (rc == 0 && chmod(path, 0644) != 0)
			rc = err_errno(ERR_IO, "%s", path);
	}
	free(copy);
	free(path);
	return rc;
}

static int export(struct place *place, const char *name, char *out)
{
	json_t *row = NULL;
	int rc;

	if (fs_exists(out)) {
		err_set(ERR_INPUT, "%s exists already", out);
		return err_hint(ERR_INPUT, "name a folder that is to be made");
	}
	rc = home_version(&place->home, name, &row);
	if (rc == 0)
		rc = store_get_tree(place->home.store, json_get_text(row, "object", ""), out);
	if (rc == 0)
		rc = fs_list(out, make_own, out);
	if (rc == 0)
		printf("%s: %s@v%lld, a Hugging Face folder\n", out, json_get_text(row, "model", ""),
		       (long long)json_get_int(row, "number", 0));
	json_decref(row);
	return rc;
}

static int print_bad(const char *hex, const char *why, void *arg)
{
	int64_t *n = arg;

	++*n;
	printf("%s  %s\n", hex, why);
	return 0;
}

static int verify(struct place *place)
{
	uint64_t checked = 0;
	int64_t bad = 0;
	int rc = store_verify(place->home.store, print_bad, &bad, &checked);

	if (rc)
		return rc;
	if (bad)
		return err_set(ERR_IO, "%lld of %llu objects are damaged", (long long)bad, (unsigned long long)checked);
	printf("%llu objects, each as its name says\n", (unsigned long long)checked);
	return 0;
}

int cmd_artifact(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };
	const struct opt_usage usage = { "artifact",
					 "export MODEL@VERSION DIR | verify",
					 "take a stored model out, or check every object",
					 "export writes a Hugging Face folder that transformers loads as it is.\n\n"
					 "  assay artifact export dates@production out/\n  assay artifact verify",
					 1,
					 3 };
	struct place place;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = place_open(&place);
	if (rc == 0 && strcmp(argv[0], "export") == 0 && argc == 3)
		rc = export(&place, argv[1], argv[2]);
	else if (rc == 0 && strcmp(argv[0], "verify") == 0 && argc == 1)
		rc = verify(&place);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay artifact: export MODEL@VERSION DIR, or verify");
	place_close(&place);
	return rc;
}
