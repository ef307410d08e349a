/* export.c: a stored version in a form that others load: which one is asked for, and what it is told of the version.
 *
 * The forms themselves are artifacts/package*.c, and model/gguf.c for the one that has to know what a tensor is. */
#include "base/base.h"
#include "model/model.h"
#include "runner/export.h"

static const struct form {
	const char *name, *suffix, *what;
} forms[] = {
	{ "tar.zst", ".tar.zst", "an archive of its Hugging Face folder" },
	{ "gguf", ".gguf", "a GGUF file that llama.cpp loads" },
	{ "oci", NULL, "an OCI image layout" },
	{ "triton", NULL, "a model repository of Triton Inference Server" },
	{ "dir", "", "a Hugging Face folder" },
};

static const struct form *form_of(const char *format, const char *out)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (format ? !strcmp(forms[i].name, format) : forms[i].suffix && path_has_suffix(out, forms[i].suffix))
			return &forms[i];
	}
	return NULL;
}

/* Out of a stored version or of a folder. */
static int export_gguf(struct home *h, const char *name, const char *out, const char *type)
{
	struct model_dir dir = { 0 };
	int rc = fs_exists(out) ? err_set(ERR_EXISTS, "%s exists already", out) : model_dir_open(&dir, h, name);

	if (rc == 0)
		rc = model_export_gguf(dir.path, out, type);
	model_dir_close(&dir);
	if (rc == 0)
		printf("%s: %s\n", out, form_of("gguf", out)->what);
	return rc;
}

/* ---- statements ---------------------------------------------------------------------------------------------------------- */

static const struct statement {
	const char *name, *path;
	enum attestation what;
} statements[] = {
	{ "bom", "assay/bom.cdx.json", ATTEST_BOM },
	{ "provenance", "assay/provenance.intoto.json", ATTEST_PROVENANCE },
	{ "result", "assay/test-result.intoto.json", ATTEST_RESULT },
};

static int statement_text(struct home *h, const struct statement *s, const json_t *version, char **text)
{
	struct buf b = BUF_INIT((size_t)64 << 20);
	json_t *doc = NULL;
	int rc = attest(h->registry, s->what, json_get_text(version, "model", ""),
			(int)json_get_int(version, "number", 0), &doc);

	if (rc == 0)
		json_add_pretty(&b, doc);
	*text = rc ? NULL : buf_take(&b);
	json_decref(doc);
	buf_release(&b);
	return rc;
}

int export_statement(struct home *h, const char *what, const char *name)
{
	json_t *version = NULL;
	char *text = NULL;
	int rc = home_version(h, name, &version);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(statements); i++)
		if (strcmp(statements[i].name, what) == 0)
			rc = statement_text(h, &statements[i], version, &text);
	if (rc == 0)
		fputs(text, stdout);
	free(text);
	json_decref(version);
	return rc;
}

int export_model(struct home *h, const char *name, const char *out, const struct export_options *o)
{
	const struct form *form = form_of(o->format, out);
	struct package_text texts[ARRAY_LEN(statements)] = { { NULL, NULL } };
	char *made[ARRAY_LEN(statements)] = { NULL };
	enum package_format format;
	json_t *row = NULL;
	int rc;

	if (!form)
		return err_set(ERR_USAGE, "--format %s: dir, tar.zst, oci, gguf or triton", o->format);
	if (!strcmp(form->name, "gguf"))
		return export_gguf(h, name, out, o->type);
	rc = package_parse(&format, form->name);
	if (rc == 0)
		rc = home_version(h, name, &row);
	for (size_t i = 0; rc == 0 && o->attest && i < ARRAY_LEN(statements); i++) {
		rc = statement_text(h, &statements[i], row, &made[i]);
		texts[i] = (struct package_text){ statements[i].path, made[i] };
	}
	if (rc == 0) {
		const struct package_options package = { .object = json_get_text(row, "object", ""),
							 .model = json_get_text(row, "model", ""),
							 .version = (int)json_get_int(row, "number", 0),
							 .created = json_get_text(row, "created", NULL),
							 .commit = json_get_text(row, "commit", NULL),
							 .run = json_get_text(row, "run", NULL),
							 .texts = texts,
							 .n_texts = o->attest ? ARRAY_LEN(statements) : 0,
							 .as_links = o->link,
							 .mount = o->mount };

		(void)store_need(h->store, package.object);
		rc = home_no_weights(package_export(h->store, format, &package, out), package.object);
		if (rc == 0)
			printf("%s: %s@v%d, %s\n", out, package.model, package.version, form->what);
	}
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		free(made[i]);
	json_decref(row);
	return rc;
}
