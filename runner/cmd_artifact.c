/* cmd_artifact.c: `assay artifact export|verify`: what the store holds, taken out and checked. */
#include "base/base.h"
#include "model/model.h"
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

/* One GGUF file, out of a stored version or of a folder. */
static int export_gguf(struct place *place, const char *name, const char *out, const char *type)
{
	struct model_dir dir = { 0 };
	int rc = fs_exists(out) ? err_set(ERR_INPUT, "%s exists already", out) : 0;

	if (rc == 0)
		rc = model_dir_open(&dir, &place->home, name);
	if (rc == 0)
		rc = model_export_gguf(dir.path, out, type);
	if (rc == 0)
		printf("%s: a GGUF file that llama.cpp loads\n", out);
	model_dir_close(&dir);
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
	const char *type = "auto";
	const struct opt opts[] = {
		OPT_TEXT(0, "type", &type, "TYPE", "of a GGUF file: auto (as stored), f32, f16, bf16 or q8_0"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"artifact",
		"export MODEL@VERSION DIR|FILE.gguf | verify",
		"take a stored model out, or check every object",
		"export writes a Hugging Face folder that transformers loads as it is, or one GGUF "
		"file for llama.cpp (then MODEL may be a folder, too).\n\n"
		"  assay artifact export dates@production out/\n"
		"  assay artifact export dates@production dates.gguf --type q8_0\n"
		"  assay artifact verify",
		1,
		3
	};
	struct place place;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = place_open(&place);
	if (rc == 0 && strcmp(argv[0], "export") == 0 && argc == 3 && path_has_suffix(argv[2], ".gguf"))
		rc = export_gguf(&place, argv[1], argv[2], type);
	else if (rc == 0 && strcmp(argv[0], "export") == 0 && argc == 3)
		rc = export(&place, argv[1], argv[2]);
	else if (rc == 0 && strcmp(argv[0], "verify") == 0 && argc == 1)
		rc = verify(&place);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay artifact: export MODEL@VERSION DIR, export MODEL FILE.gguf, or verify");
	place_close(&place);
	return rc;
}
