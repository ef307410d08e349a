/* export.c: a stored version in a form that others load: which one is asked for, and what it is told of the version.
 *
 * The forms themselves are artifacts/package*.c, and model/gguf.c for the one that has to know what a tensor is. */
#include "base/base.h"
#include "model/model.h"
#include "runner/export.h"

#define MANIFEST_MAX ((size_t)64 << 20)

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
	static const char *const others[] = { ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip", ".zst" };

	for (size_t i = 0; !format && !path_has_suffix(out, ".tar.zst") && i < ARRAY_LEN(others); i++)
		if (path_has_suffix(out, others[i]))
			return NULL; /* a folder of that name is not what was meant */
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
	int rc = fs_check_new(out);

	rc = rc ? rc : model_dir_open(&dir, h, name);
	if (rc == 0)
		rc = model_export_gguf(dir.path, out, type);
	model_dir_close(&dir);
	if (rc == 0)
		printf("%s: %s\n", out, form_of("gguf", out)->what);
	return rc;
}

/* ---- statements ---------------------------------------------------------------------------------------------------------- */

static const struct statement {
	const char *name, *path, *envelope, *type;
	enum attestation what;
} statements[] = {
	{ "bom", "assay/bom.cdx.json", "assay/bom.dsse.json", ENVELOPE_BOM, ATTEST_BOM },
	{ "provenance", "assay/provenance.intoto.json", "assay/provenance.dsse.json", ENVELOPE_STATEMENT,
	  ATTEST_PROVENANCE },
	{ "result", "assay/test-result.intoto.json", "assay/test-result.dsse.json", ENVELOPE_STATEMENT, ATTEST_RESULT },
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

/* All of them, as they are and, where there is a key, signed; path and text are the caller's to free. */
struct saying {
	struct package_text items[2 * ARRAY_LEN(statements)];
	size_t n;
};

static void say(struct saying *s, const char *path, char *text)
{
	s->items[s->n++] = (struct package_text){ path, text };
}

static int say_signed(struct saying *s, const struct statement *st, const char *text, const struct signing_key *k)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	json_t *envelope = NULL;
	int rc = envelope_sign(&envelope, k, st->type, text, strlen(text));

	if (rc == 0) {
		json_add_pretty(&b, envelope);
		say(s, st->envelope, buf_take(&b));
	}
	json_decref(envelope);
	buf_release(&b);
	return rc;
}

static int say_all(struct saying *s, struct home *h, const json_t *version, const char *key)
{
	struct signing_key *k = NULL;
	int rc = key ? signing_key_private(&k, key) : 0;

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "--sign: %s", err_text());
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(statements); i++) {
		char *text = NULL;

		rc = statement_text(h, &statements[i], version, &text);
		if (rc == 0)
			say(s, statements[i].path, text);
		if (rc == 0 && k)
			rc = say_signed(s, &statements[i], text, k);
	}
	signing_key_free(k);
	return rc;
}

/* Signed by that key; *n files, *result of the gate (yours), key's id. */
static int signed_by(const char *dir, const char *key, size_t *n, char **result, char id[DIGEST_HEX])
{
	struct signing_key *k = NULL;
	int rc = signing_key_public(&k, key);

	*result = NULL;
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "the key: %s", err_text());
	if (rc == 0)
		rc = signed_folder_check(dir, k, n, result);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s", err_text());
	if (rc == 0)
		snprintf(id, DIGEST_HEX, "%s", signing_key_id(k));
	signing_key_free(k);
	return rc;
}

int export_verify(const char *dir, const char *key)
{
	char *result = NULL, id[DIGEST_HEX];
	size_t n = 0;
	int rc = signed_by(dir, key, &n, &result, id);

	if (rc == 0)
		printf("%s: %zu files as the key %.12s signed them; the gate's result: %s\n", dir, n, id, result);
	if (rc == 0 && strcmp(result, "PASSED") != 0)
		rc = strcmp(result, "FAILED") == 0 ? 1 : 2;
	free(result);
	return rc;
}

/* Every file of the stored folder is in dir, and dir has no more. n: what was signed there. */
static int same_files(struct home *h, const char *object, const char *dir, size_t n)
{
	struct buf text = BUF_INIT(MANIFEST_MAX);
	json_t *manifest = NULL, *file;
	size_t i;
	int rc = store_get(h->store, object, &text, text.max);

	rc = rc ? rc : json_parse(&manifest, buf_str(&text), text.len, object);
	if (rc == 0 && json_array_size(json_object_get(manifest, "files")) != n)
		rc = err_set(ERR_INPUT, "%s: has other files than the version", dir);
	json_array_foreach(json_object_get(manifest, "files"), i, file)
	{
		char *path = path_join(dir, json_get_text(file, "path", ""));
		char hex[DIGEST_HEX] = "";
		struct digest d;

		if (rc == 0 && digest_file(&d, path) == 0)
			digest_hex(hex, &d);
		if (rc == 0 && strcmp(hex, json_get_text(file, "object", "?")) != 0)
			rc = err_set(ERR_INPUT, "%s is not that file of the version", path);
		free(path);
	}
	json_decref(manifest);
	buf_release(&text);
	return rc;
}

int export_proves(struct home *h, const char *object, const char *dir, const char *key, bool failed_too)
{
	char *result = NULL, id[DIGEST_HEX];
	size_t n = 0;
	int rc = signed_by(dir, key, &n, &result, id);

	if (rc == 0 && !failed_too && strcmp(result, "PASSED") != 0)
		rc = err_set(ERR_INPUT, "%s: the gate's result that was signed is %s", dir, result);
	rc = rc ? rc : same_files(h, object, dir, n);
	free(result);
	return rc;
}

int export_model(struct home *h, const char *name, const char *out, const struct export_options *o)
{
	const struct form *form = form_of(o->format, out);
	struct saying said = { .n = 0 };
	enum package_format format;
	json_t *row = NULL;
	int rc;

	if (!form)
		return o->format ? err_set(ERR_USAGE, "--format %s: dir, tar.zst, oci, gguf or triton", o->format)
				 : err_hint(err_set(ERR_USAGE, "%s: an archive is written as .tar.zst", out),
					    "name it so, or say --format dir for a folder of that name");
	if (!strcmp(form->name, "gguf") && o->sign)
		return err_set(ERR_USAGE,
			       "--sign: a GGUF file has no room for statements; sign an export of another form");
	if (!strcmp(form->name, "gguf"))
		return export_gguf(h, name, out, o->type);
	rc = package_parse(&format, form->name);
	if (rc == 0)
		rc = home_version(h, name, &row);
	if (rc == 0 && (o->attest || o->sign))
		rc = say_all(&said, h, row, o->sign);
	if (rc == 0) {
		const struct package_options package = { .object = json_get_text(row, "object", ""),
							 .model = json_get_text(row, "model", ""),
							 .version = (int)json_get_int(row, "number", 0),
							 .created = json_get_text(row, "created", NULL),
							 .commit = json_get_text(row, "commit", NULL),
							 .run = json_get_text(row, "run", NULL),
							 .texts = said.items,
							 .n_texts = said.n,
							 .as_links = o->link,
							 .mount = o->mount };

		(void)store_need(h->store, package.object);
		rc = home_no_weights(package_export(h->store, format, &package, out), package.object);
		if (rc == 0)
			printf("%s: %s@v%d, %s\n", out, package.model, package.version, form->what);
	}
	for (size_t i = 0; i < said.n; i++)
		free((char *)(uintptr_t)said.items[i].text);
	json_decref(row);
	return rc;
}
