/* attest.c: what is known of a version, as statements that others' tools read.
 *
 * Two in-toto statements (in-toto.io/Statement/v1) about the same subjects, the files of the model by their SHA-256:
 *
 *	provenance    slsa.dev/provenance/v1: which commit, data, base, seed and numerics made it, when, by which tool
 *	test result   in-toto.io/attestation/test-result/v0.1: the gate's verdict and each of its rules
 *
 * Both come from the records alone, so the same version gives the same bytes. Training facts are those of the run that
 * trained the weights, which may be an older one than the run that made them a version. Data sets are named by git's
 * digests. Nothing is said that was not recorded: a member without a value is left out. */
#include "base/base.h"

#include "artifacts/attest.h"

#define BUILD_TYPE "urn:x-assay:run:1"
#define BUILDER "urn:x-assay:assay"

/* ---- facts ----------------------------------------------------------------------------------- */

void facts_release(struct facts *f)
{
	json_decref(f->version);
	json_decref(f->record);
	json_decref(f->origin);
	tree_files_release(&f->files);
	memset(f, 0, sizeof(*f));
}

int facts_gather(struct facts *f, struct registry *r, const char *model, int number)
{
	int rc;

	memset(f, 0, sizeof(*f));
	rc = registry_version(r, model, number, &f->version);
	if (!rc) {
		f->object = json_get_text(f->version, "object", "");
		rc = registry_run(r, json_get_text(f->version, "run", ""), &f->record);
	}
	rc = rc ? rc : registry_origin(r, f->object, &f->origin);
	rc = rc ? rc : store_tree_read(r->store, f->object, &f->files);
	if (rc) {
		facts_release(f);
		return rc;
	}
	f->made = json_array_get(f->origin, 0);
	return 0;
}

void set_text(json_t *obj, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(obj, key, json_string(text));
}

/* ---- statements ------------------------------------------------------------------------------ */

static json_t *subjects(const struct facts *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->files.len; i++)
		json_array_append_new(list, json_pack("{s:s,s:{s:s}}", "name", f->files.items[i].path, "digest",
						      "sha256", f->files.items[i].object));
	return list;
}

static json_t *statement(const struct facts *f, const char *type, json_t *predicate)
{
	return json_pack("{s:s,s:o,s:s,s:o}", "_type", STATEMENT_TYPE, "subject", subjects(f), "predicateType", type,
			 "predicate", predicate);
}

/* Who needs a name gives one; a digest without a value is no dependency. */
static json_t *dependency(json_t *list, const char *name, const char *algorithm, const char *digest)
{
	json_t *d;

	if (!digest || !*digest)
		return NULL;
	d = json_pack("{s:s,s:{s:s}}", "name", name, "digest", algorithm, digest);
	json_array_append_new(list, d);
	return d;
}

static const char *questions_of(const json_t *record)
{
	const char *source = json_get_text(json_object_get(record, "policy"), "source", "");

	return strncmp(source, "target ", 7) ? NULL : source + 7;
}

static json_t *dependencies(const struct facts *f)
{
	json_t *list = json_array(), *data, *row;
	size_t i;

	dependency(list, "commit", "gitCommit", json_get_text(f->made, "commit", NULL));
	dependency(list, "questions", "gitCommit", questions_of(f->record));
	json_array_foreach(json_object_get(f->made, "data"), i, data)
	{
		json_t *notes = json_object();

		row = dependency(list, json_get_text(data, "path", ""), "gitBlob", json_get_text(data, "digest", NULL));
		set_text(notes, "role", json_get_text(data, "role", NULL));
		set_text(notes, "license", json_get_text(data, "license", NULL));
		set_text(notes, "owner", json_get_text(data, "owner", NULL));
		set_text(notes, "source", json_get_text(data, "source", NULL));
		if (row)
			json_object_set(row, "annotations", notes);
		json_decref(notes);
	}
	dependency(list, "base", "sha256", json_get_text(f->made, "base", NULL));
	return list;
}

static json_t *parameters(const struct facts *f, bool internal)
{
	const json_t *tool = json_object_get(f->made, "tool");
	json_t *p = json_object();

	if (internal) {
		set_text(p, "key", json_get_text(f->made, "key", NULL));
		set_text(p, "numerics", json_get_text(tool, "numerics", NULL));
		if (json_object_get(f->made, "seed"))
			json_object_set(p, "seed", json_object_get(f->made, "seed"));
		return p;
	}
	set_text(p, "commit", json_get_text(f->made, "commit", NULL));
	set_text(p, "branch", json_get_text(f->made, "branch", NULL));
	set_text(p, "model", json_get_text(f->version, "model", NULL));
	set_text(p, "trust", json_get_text(f->made, "trust", NULL));
	return p;
}

static json_t *byproducts(const struct facts *f)
{
	json_t *list = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(f->record, "samples"), i, row)
	{
		char *name =
			mem_printf("samples of %s/%s", json_get_text(row, "suite", ""), json_get_text(row, "task", ""));

		dependency(list, name, "sha256", json_get_text(row, "object", NULL));
		free(name);
	}
	return list;
}

static json_t *run_details(const struct facts *f)
{
	const json_t *tool = json_object_get(f->made, "tool");
	json_t *metadata = json_object(), *builder = json_pack("{s:s}", "id", BUILDER);

	set_text(metadata, "invocationId", json_get_text(f->made, "run", NULL));
	set_text(metadata, "finishedOn", json_get_text(f->made, "created", NULL));
	if (json_get_text(tool, "version", NULL))
		json_object_set_new(builder, "version",
				    json_pack("{s:s}", "assay", json_get_text(tool, "version", "")));
	return json_pack("{s:o,s:o,s:o}", "builder", builder, "metadata", metadata, "byproducts", byproducts(f));
}

static json_t *provenance(const struct facts *f)
{
	json_t *build =
		json_pack("{s:s,s:o,s:o,s:o}", "buildType", BUILD_TYPE, "externalParameters", parameters(f, false),
			  "internalParameters", parameters(f, true), "resolvedDependencies", dependencies(f));

	return statement(f, PREDICATE_PROVENANCE,
			 json_pack("{s:o,s:o}", "buildDefinition", build, "runDetails", run_details(f)));
}

/* PASSED and FAILED are the predicate's words; what is neither is a warning. */
static const char *result_word(const char *verdict)
{
	return !strcmp(verdict, "PASS") ? "PASSED" : !strcmp(verdict, "FAIL") ? "FAILED" : "WARNED";
}

static json_t *test_result(const struct facts *f)
{
	json_t *passed = json_array(), *failed = json_array(), *warned = json_array(), *rule;
	json_t *configuration = json_array(), *predicate;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(f->record, "gate"), "rules"), i, rule)
	{
		const char *word = result_word(json_get_text(rule, "verdict", "ERROR"));

		json_array_append(*word == 'P'   ? passed
				  : *word == 'F' ? failed
						 : warned,
				  json_object_get(rule, "rule"));
	}
	dependency(configuration, "questions", "gitCommit",
		   questions_of(f->record) ? questions_of(f->record) : json_get_text(f->record, "commit", NULL));
	predicate = json_pack("{s:s,s:o,s:o,s:o,s:o}", "result",
			      result_word(json_get_text(f->record, "verdict", "ERROR")), "configuration", configuration,
			      "passedTests", passed, "warnedTests", warned, "failedTests", failed);
	return statement(f, PREDICATE_RESULT, predicate);
}

/* ---- asking for one -------------------------------------------------------------------------- */

int attest(struct registry *r, enum attestation what, const char *model, int number, json_t **out)
{
	struct facts f;
	int rc = facts_gather(&f, r, model, number);

	if (rc)
		return rc;
	*out = what == ATTEST_BOM ? bom_document(&f) : what == ATTEST_PROVENANCE ? provenance(&f) : test_result(&f);
	facts_release(&f);
	return *out ? 0 : err_set(ERR_BUG, "an attestation could not be written");
}
