/* signed.c: is a folder what a key has signed?
 *
 * Its provenance statement (assay/provenance.dsse.json) is opened by a key that the caller names, never by one that lies beside
 * it. Its subjects then say all that may be there: each file by name and SHA-256, neither less nor more, so that no two files
 * can be swapped and none added; no links, no path that leaves the folder. Beside them only assay/, whose readable statements
 * must be what the signed ones say.
 *
 * All three envelopes must be there, each with a text of its own kind, so that none can stand in another's place; and all are about
 * these files: provenance and the gate's result by their subjects, the bill of materials by the digest of the folder, which the
 * files give. */
#include "base/base.h"

#include <sys/stat.h>

#include "artifacts/attest.h"

#define STATEMENT_MAX ((size_t)64 << 20)

enum { PROVENANCE, RESULT, BOM };
static const struct signed_text {
	const char *plain, *envelope, *type;
	const char *kind, *value; /* the member that says what it is */
} texts[] = {
	[PROVENANCE] = { "assay/provenance.intoto.json", "assay/provenance.dsse.json", ENVELOPE_STATEMENT,
			 "predicateType", PREDICATE_PROVENANCE },
	[RESULT] = { "assay/test-result.intoto.json", "assay/test-result.dsse.json", ENVELOPE_STATEMENT,
		     "predicateType", PREDICATE_RESULT },
	[BOM] = { "assay/bom.cdx.json", "assay/bom.dsse.json", ENVELOPE_BOM, "bomFormat", "CycloneDX" },
};

struct check {
	const char *dir;
	struct map names; /* of subjects, and of what may stand in assay/ */
	char *at;         /* the folder that is listed, relative; "" the top */
	int depth;
};

/* Regular, not through a link. */
static int plain_file(const char *dir, const char *name, char **path)
{
	struct stat st;

	*path = path_join(dir, name);
	if (lstat(*path, &st))
		return err_set(ERR_INPUT, "%s: it is signed, and not there", *path);
	return S_ISREG(st.st_mode) ? 0 : err_set(ERR_INPUT, "%s: no plain file", *path);
}

static int check_subject(struct check *c, const json_t *subject)
{
	const char *name = json_get_text(subject, "name", "");
	const char *want = json_get_text(json_object_get(subject, "digest"), "sha256", "");
	char *clean = NULL, *path = NULL, have[DIGEST_HEX];
	struct digest d;
	int rc = path_check(&clean, name);

	if (!rc && strcmp(clean, name) != 0)
		rc = err_set(ERR_INPUT, "the signed name \"%.100s\" is no plain path", name);
	rc = rc ? rc : plain_file(c->dir, name, &path);
	rc = rc ? rc : digest_file(&d, path);
	if (!rc) {
		digest_hex(have, &d);
		if (strcmp(have, want) != 0)
			rc = err_set(ERR_INPUT, "%s: its content is not the signed one", path);
	}
	if (!rc)
		map_put(&c->names, name, strlen(name), 1);
	free(clean);
	free(path);
	return rc;
}

static int no_strangers(const char *name, void *arg)
{
	struct check *c = arg;
	char *inner = *c->at ? mem_printf("%s/%s", c->at, name) : mem_str(name), *path = path_join(c->dir, inner);
	struct stat st;
	int rc = 0;

	if (lstat(path, &st)) {
		rc = err_errno(ERR_IO, "%s", path);
	} else if (S_ISDIR(st.st_mode) && c->depth < 32) {
		char *outer = c->at;

		c->at = inner;
		c->depth++;
		rc = fs_list(path, no_strangers, c);
		c->depth--;
		c->at = outer;
	} else if (!map_has(&c->names, inner)) {
		rc = err_set(ERR_INPUT, "%s: nobody has signed it", path);
	}
	free(inner);
	free(path);
	return rc;
}

/* The text that is signed; the readable one beside it says the same. */
static int open_text(struct check *c, const struct signed_text *t, const struct signing_key *k, json_t **out)
{
	struct buf body = BUF_INIT(STATEMENT_MAX), plain = BUF_INIT(STATEMENT_MAX);
	char *path = NULL, *beside = path_join(c->dir, t->plain);
	json_t *envelope = NULL;
	int rc = plain_file(c->dir, t->envelope, &path);

	rc = rc ? rc : json_read(&envelope, path, STATEMENT_MAX * 2);
	rc = rc ? rc : envelope_open(&body, envelope, k, t->type, path);
	rc = rc ? rc : json_parse(out, buf_str(&body), body.len, path);
	if (!rc &&
	    (strcmp(json_get_text(*out, t->kind, ""), t->value) != 0 ||
	     (!strcmp(t->type, ENVELOPE_STATEMENT) && strcmp(json_get_text(*out, "_type", ""), STATEMENT_TYPE) != 0))) {
		rc = err_set(ERR_INPUT, "%s: what is signed there is no %s %s", path, t->kind, t->value);
		err_hint(rc, "another statement stands in its place: take the folder as it was exported");
	}
	if (!rc && fs_exists(beside)) {
		rc = fs_read(&plain, beside, STATEMENT_MAX);
		if (!rc && (plain.len != body.len || memcmp(buf_str(&plain), buf_str(&body), body.len) != 0))
			rc = err_set(ERR_INPUT, "%s: it says something else than the signed one", beside);
	}
	if (!rc) {
		map_put(&c->names, t->plain, strlen(t->plain), 1);
		map_put(&c->names, t->envelope, strlen(t->envelope), 1);
	}
	json_decref(envelope);
	buf_release(&body);
	buf_release(&plain);
	free(beside);
	free(path);
	return rc;
}

/* The digest of the folder that the files are, as a store names it (store_tree.c). */
static int folder_digest(const struct check *c, const json_t *subjects, char hex[DIGEST_HEX])
{
	json_t *files = json_array(), *manifest = json_pack("{s:o}", "files", files), *subject;
	struct buf text = BUF_INIT(STATEMENT_MAX);
	struct digest d;
	size_t i;
	int rc = 0;

	json_array_foreach(subjects, i, subject)
	{
		const char *name = json_get_text(subject, "name", "");
		char *path = path_join(c->dir, name);
		uint64_t size = 0;

		rc = rc ? rc : fs_size(&size, path);
		json_array_append_new(files, json_pack("{s:s,s:s,s:I}", "path", name, "object",
						       json_get_text(json_object_get(subject, "digest"), "sha256", ""),
						       "size", (json_int_t)size));
		free(path);
	}
	json_add(&text, manifest);
	d = digest_bytes(buf_str(&text), text.len);
	digest_hex(hex, &d);
	json_decref(manifest);
	buf_release(&text);
	return rc;
}

static int check_bom(const struct check *c, const json_t *bom, const json_t *subjects)
{
	const json_t *hashes =
		json_object_get(json_object_get(json_object_get(bom, "metadata"), "component"), "hashes");
	char hex[DIGEST_HEX];
	json_t *hash;
	size_t i;
	int rc = folder_digest(c, subjects, hex);

	if (rc)
		return rc;
	json_array_foreach(hashes, i, hash) if (!strcmp(json_get_text(hash, "alg", ""), "SHA-256") &&
						!strcmp(json_get_text(hash, "content", ""), hex)) return 0;
	rc = err_set(ERR_INPUT, "%s/%s: the bill of materials is of another model", c->dir, texts[BOM].envelope);
	return err_hint(rc, "take the folder as it was exported");
}

static bool is_result(const char *word)
{
	return !strcmp(word, "PASSED") || !strcmp(word, "WARNED") || !strcmp(word, "FAILED");
}

int signed_folder_check(const char *dir, const struct signing_key *k, size_t *n_files, char **result)
{
	struct check c = { .dir = dir, .at = (char[]){ "" } };
	json_t *says[ARRAY_LEN(texts)] = { NULL }, *subject;
	const json_t *subjects;
	const char *word;
	size_t i;
	int rc = 0;

	map_init(&c.names);
	for (i = 0; i < ARRAY_LEN(texts) && !rc; i++)
		rc = open_text(&c, &texts[i], k, &says[i]);
	subjects = json_object_get(says[PROVENANCE], "subject");
	if (!rc && !json_array_size(subjects))
		rc = err_set(ERR_INPUT, "%s: the signed statement is about no file", dir);
	if (!rc && !json_equal(subjects, json_object_get(says[RESULT], "subject")))
		rc = err_set(ERR_INPUT, "%s: provenance and test result are about other files", dir);
	if (!rc)
		json_array_foreach(subjects, i, subject) if ((rc = check_subject(&c, subject))) break;
	rc = rc ? rc : fs_list(dir, no_strangers, &c);
	rc = rc ? rc : check_bom(&c, says[BOM], subjects);
	word = json_get_text(json_object_get(says[RESULT], "predicate"), "result", "");
	if (!rc && !is_result(word))
		rc = err_set(ERR_INPUT, "%s: the signed result of the gate is none: \"%.40s\"", dir, word);
	if (!rc) {
		*n_files = json_array_size(subjects);
		*result = mem_str(word);
	}
	for (i = 0; i < ARRAY_LEN(texts); i++)
		json_decref(says[i]);
	map_release(&c.names);
	return rc;
}
