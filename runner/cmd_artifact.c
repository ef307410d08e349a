/* cmd_artifact.c: `assay artifact`: what the store holds, taken out, described and checked. */
#include "base/base.h"
#include "runner/artifact_store.h"
#include "runner/budget.h"
#include "runner/cmd.h"
#include "runner/export.h"

/* ---- gc ------------------------------------------------------------------------------------------------------------------ */

struct gc_words {
	bool dry_run, json;
	int64_t keep_runs;
	const char *keep_bytes;
};

static int print_gc_row(const struct gc_row *row, void *arg)
{
	const struct gc_words *w = arg;
	char size[16];

	if (w->json) {
		json_t *doc = json_pack("{s:s,s:I,s:b,s:s}", "object", row->object, "size", (json_int_t)row->size,
					"kept", row->kept, "reason", row->reason);
		struct buf text = BUF_INIT(1 << 16);

		json_add(&text, doc);
		puts(buf_str(&text));
		buf_release(&text);
		json_decref(doc);
		return 0;
	}
	fs_size_text(size, row->size);
	if (w->dry_run || !row->kept)
		printf("%-6s %.12s  %10s  %s\n", row->kept ? "stays" : "goes", row->object, size, row->reason);
	return 0;
}

static int gc(struct place *place, struct gc_words *w)
{
	struct gc_options o = {
		.dry_run = w->dry_run, .keep_runs = w->keep_runs, .actor = home_actor(), .row = print_gc_row, .arg = w
	};
	struct gc_totals t;
	char kept[16], gone[16];
	int rc = strcmp(w->keep_bytes, "0") ? budget_parse(&o.keep_bytes, w->keep_bytes) : 0;

	if (rc)
		return err_set(ERR_USAGE, "--keep-bytes %s: 0, or a size such as 20G", w->keep_bytes);
	if (rc == 0 && w->keep_runs < 0)
		rc = err_set(ERR_USAGE, "--keep-runs: 0 or more");
	if (rc)
		return rc;
	registry_close(place->home.registry); /* it is taken alone */
	place->home.registry = NULL;
	rc = registry_gc(place->home.store, &o, &t);
	if (rc || w->json)
		return rc;
	fs_size_text(kept, t.kept_bytes);
	fs_size_text(gone, t.gone_bytes);
	printf("%llu objects (%s) stay, %llu (%s) %s\n", (unsigned long long)t.kept, kept, (unsigned long long)t.gone,
	       gone, w->dry_run ? "would go" : "went");
	return 0;
}

/* On a full disk nobody can open the registry: then the home's reserve goes first. rc: why it was not opened. */
static int gc_make_room(struct place *place, int rc)
{
	struct err_saved why = err_save();
	bool spent = (repo_open(&place->repo, ".") == 0 || getenv("ASSAY_HOME")) &&
		     home_open_store(&place->home, place->repo) == 0 && store_spend_reserve(place->home.store);

	place_close(place);
	err_restore(&why);
	if (!spent)
		return rc;
	log_warn("the disk is full: the home's reserve of a megabyte is given up, to collect");
	err_clear();
	return place_open(place);
}

static bool is_statement(const char *word)
{
	return strcmp(word, "bom") == 0 || strcmp(word, "provenance") == 0 || strcmp(word, "result") == 0;
}

int cmd_artifact(int argc, char **argv)
{
	struct export_options o = { .type = "auto" };
	struct gc_words w = { .keep_runs = 5, .keep_bytes = "20G" };
	const char *from = NULL, *key = NULL;
	const struct opt opts[] = {
		OPT_TEXT('f', "format", &o.format, "FORM", "dir, tar.zst, oci, gguf or triton (default: by the name)"),
		OPT_TEXT(0, "type", &o.type, "TYPE", "of a GGUF file: auto (as stored), f32, f16, bf16 or q8_0"),
		OPT_TEXT(0, "mount", &o.mount, "DIR", "triton: where the server will see it (default: where it is)"),
		OPT_FLAG(0, "attest", &o.attest,
			 "with a bill of materials, provenance and the gate's result, in assay/"),
		OPT_TEXT(0, "sign", &o.sign, "KEY", "the same, and signed by a private Ed25519 key (PEM)"),
		OPT_TEXT(0, "key", &key, "KEY", "verify DIR: the public key that must have signed the folder"),
		OPT_FLAG(0, "link", &o.link, "read-only hard links into the store instead of copies"),
		OPT_FLAG(0, "dry-run", &w.dry_run, "gc: tell what would go and why, and remove nothing"),
		OPT_INT(0, "keep-runs", &w.keep_runs, "N", "gc: weights of the last N models that runs made (5)"),
		OPT_TEXT(0, "keep-bytes", &w.keep_bytes, "SIZE", "gc: and of those before, as many as fit (20G)"),
		OPT_TEXT(0, "from", &from, "WHERE", "repair: what has what is lost here: another home, or a remote"),
		OPT_FLAG('j', "json", &w.json, "gc, ls, add: one JSON object a line on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"artifact",
		"export MODEL@VERSION OUT | bom|provenance|result MODEL@VERSION | add PATH | get OBJECT OUT | ls | "
		"verify [DIR] | repair | gc",
		"take a stored model out, look after the store",
		"export writes a Hugging Face folder that transformers, vLLM and Ray Serve "
		"load as it is, an archive of it "
		"(.tar.zst),\nan OCI image layout for a registry, one GGUF file for llama.cpp "
		"(.gguf; then MODEL may be a "
		"folder, too), or a\nmodel repository for Triton Inference Server.\n\n"
		"  assay artifact export dates@production out/\n"
		"  assay artifact export dates@production dates.tar.zst\n"
		"  assay artifact export dates@production oci/ --format oci\n"
		"  assay artifact export dates@production dates.gguf --type q8_0\n"
		"  assay artifact bom dates@production    CycloneDX; provenance, result: in-toto statements\n"
		"  assay artifact add models/base         a file or a folder: prints its digest\n"
		"  assay artifact get 6d3f2a OUT          an object by its digest, or the first digits of it\n"
		"  assay artifact verify                  every object against its name\n"
		"  assay artifact verify out/ --key assay.pub   an export that was signed (export … --sign assay.key)\n"
		"  assay artifact repair --from ../other/.git/assay     another home, or a remote: its name or URL\n"
		"  assay artifact gc --dry-run            what would go, and why each object stays or goes",
		1,
		3
	};
	struct place place;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (strcmp(argv[0], "verify") == 0 && (argc == 2 || key))
		return argc == 2 && key ? export_verify(argv[1], key)
					: err_set(ERR_USAGE, "assay artifact verify DIR --key KEY: both are needed");
	rc = place_open(&place);
	if (rc == ERR_IO && strcmp(argv[0], "gc") == 0 && !w.dry_run)
		rc = gc_make_room(&place, rc);
	if (rc == 0 && strcmp(argv[0], "export") == 0 && argc == 3)
		rc = export_model(&place.home, argv[1], argv[2], &o);
	else if (rc == 0 && is_statement(argv[0]) && argc == 2)
		rc = export_statement(&place.home, argv[0], argv[1]);
	else if (rc == 0 && strcmp(argv[0], "gc") == 0 && argc == 1)
		rc = gc(&place, &w);
	else if (rc == 0 && strcmp(argv[0], "verify") == 0 && argc == 1)
		rc = artifact_verify(&place.home);
	else if (rc == 0 && strcmp(argv[0], "repair") == 0 && argc == 1)
		rc = artifact_repair(&place.home, from);
	else if (rc == 0 && strcmp(argv[0], "ls") == 0 && argc == 1)
		rc = artifact_ls(&place.home, w.json);
	else if (rc == 0 && strcmp(argv[0], "add") == 0 && argc == 2)
		rc = artifact_add(&place.home, argv[1], w.json);
	else if (rc == 0 && strcmp(argv[0], "get") == 0 && argc == 3)
		rc = artifact_get(&place.home, argv[1], argv[2], o.link);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay artifact: export MODEL@VERSION OUT, bom|provenance|result "
					"MODEL@VERSION, add PATH, get OBJECT OUT, ls, verify, repair or gc");
	place_close(&place);
	return rc;
}
