/* test_envelope.c: signed texts and folders, against signatures of another implementation.
 *
 * Key: RFC 8032, 7.1, test 1. Signatures over DSSE's encoding by Python's cryptography 50 (Ed25519PrivateKey.sign), the first
 * text is that of the DSSE specification. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "artifacts/artifacts.h"

#define PRIVATE                                                                                                        \
	"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"              \
	"-----END PRIVATE KEY-----\n"
#define PUBLIC                                                                                                         \
	"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"                   \
	"-----END PUBLIC KEY-----\n"
#define OTHER /* test 2 of the RFC */                                                                                  \
	"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"                   \
	"-----END PUBLIC KEY-----\n"
#define KEY_ID "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"

struct keys {
	char *dir;
	struct signing_key *mine, *public, *other;
};

static char *put(const char *dir, const char *name, const char *text)
{
	char *path = path_join(dir, name);

	assert_int_equal(0, fs_write(path, text, strlen(text)));
	return path;
}

static int setup(void **state)
{
	struct keys *k = mem_alloc(sizeof(*k));
	char *path;

	assert_int_equal(0, fs_temp_dir(&k->dir, "/tmp", "assay-test-"));
	path = put(k->dir, "key", PRIVATE);
	assert_int_equal(0, signing_key_private(&k->mine, path));
	free(path);
	path = put(k->dir, "pub", PUBLIC);
	assert_int_equal(0, signing_key_public(&k->public, path));
	free(path);
	path = put(k->dir, "other", OTHER);
	assert_int_equal(0, signing_key_public(&k->other, path));
	free(path);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct keys *k = *state;

	fs_remove_tree(k->dir);
	signing_key_free(k->mine);
	signing_key_free(k->public);
	signing_key_free(k->other);
	free(k->dir);
	free(k);
	return 0;
}

static const struct known {
	const char *type, *body, *payload, *sig;
} known[] = {
	{ "http://example.com/HelloWorld", "hello world", "aGVsbG8gd29ybGQ=",
	  "4DHX3Zn4qpBKvEj7maE8O9u9bjXEnPLLnyXVUJ2PXJR8DSLcL3QDpFvfJOj3pB/SPHsl6Jg4boxsMb6KvuYABw==" },
	{ "application/vnd.in-toto+json", "", "",
	  "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==" },
	{ "application/vnd.in-toto+json", "{\"na\xc3\xafve\":1}\n", "eyJuYcOvdmUiOjF9Cg==",
	  "0wa++xky8vBb4dtMiu0yTl4bfPY0kYhxvFwJfY2apjZ4yMaMoEPhQj2Sk5bun3/6DRz4YHI86UoC5FYtroYLAQ==" },
};

static void test_envelope_sign__as_another_implementation_signs(void **state)
{
	struct keys *k = *state;

	assert_string_equal(KEY_ID, signing_key_id(k->mine));
	assert_string_equal(KEY_ID, signing_key_id(k->public));
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct buf body = BUF_INIT(1000);
		json_t *e = NULL;

		assert_int_equal(0, envelope_sign(&e, k->mine, known[i].type, known[i].body, strlen(known[i].body)));
		assert_string_equal(known[i].payload, json_get_text(e, "payload", "?"));
		assert_string_equal(known[i].type, json_get_text(e, "payloadType", "?"));
		assert_string_equal(known[i].sig,
				    json_get_text(json_array_get(json_object_get(e, "signatures"), 0), "sig", "?"));
		assert_int_equal(0, envelope_open(&body, e, k->public, known[i].type, "e"));
		assert_string_equal(known[i].body, buf_str(&body));
		buf_release(&body);
		json_decref(e);
	}
}

static json_t *signed_text(struct keys *k)
{
	json_t *e = NULL;

	assert_int_equal(0, envelope_sign(&e, k->mine, ENVELOPE_STATEMENT, "{\"a\":1}", 7));
	return e;
}

static void refuses(struct keys *k, const json_t *e, const char *type, const char *why)
{
	struct buf body = BUF_INIT(1000);

	assert_int_equal(ERR_INPUT, envelope_open(&body, e, k->public, type, "e"));
	assert_non_null(strstr(err_text(), why));
	assert_int_equal(0, body.len);
	buf_release(&body);
}

static void test_envelope_open__what_is_not_as_signed(void **state)
{
	static const char *const no_base64[] = { "", "=", "====", "e30", "e30=\n", "e3 0", "e30*", "e=30", "e30=e30=" };
	struct keys *k = *state;
	struct buf body = BUF_INIT(1000);
	json_t *e = signed_text(k), *sig = json_array_get(json_object_get(e, "signatures"), 0);
	const char *good = json_string_value(json_object_get(sig, "sig"));
	char *text = mem_str(good);

	assert_int_equal(ERR_INPUT, envelope_open(&body, e, k->other, ENVELOPE_STATEMENT, "e"));
	assert_non_null(strstr(err_text(), "not signed by the key"));
	buf_release(&body);
	refuses(k, e, ENVELOPE_BOM, "of the type");
	json_object_set_new(e, "payloadType", json_string(ENVELOPE_BOM)); /* another kind of text, the same bytes */
	refuses(k, e, ENVELOPE_BOM, "not signed");
	json_object_set_new(e, "payloadType", json_string(ENVELOPE_STATEMENT));
	json_object_set_new(e, "payload", json_string("eyJhIjoyfQ=="));
	refuses(k, e, ENVELOPE_STATEMENT, "not signed");
	for (size_t i = 1; i < ARRAY_LEN(no_base64); i++) {
		json_object_set_new(e, "payload", json_string(no_base64[i]));
		refuses(k, e, ENVELOPE_STATEMENT, "e: ");
	}
	json_object_del(e, "payload");
	refuses(k, e, ENVELOPE_STATEMENT, "no base64");
	json_decref(e);

	e = signed_text(k);
	sig = json_array_get(json_object_get(e, "signatures"), 0);
	for (size_t i = 0; i + 2 < strlen(text); i += 7) { /* each byte of a signature counts */
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		json_object_set_new(sig, "sig", json_string(text));
		refuses(k, e, ENVELOPE_STATEMENT, "not signed");
		text[i] = was;
	}
	json_object_set_new(sig, "sig", json_string("AAAA"));
	refuses(k, e, ENVELOPE_STATEMENT, "not signed");
	json_object_set_new(e, "signatures", json_array());
	refuses(k, e, ENVELOPE_STATEMENT, "not signed");
	json_object_set_new(e, "signatures", json_string("none"));
	refuses(k, e, ENVELOPE_STATEMENT, "not signed");
	json_decref(e);
	free(text);
}

static void test_signing_key__what_is_no_key(void **state)
{
	static const char *const not_one[] = { "", "hello\n", PUBLIC, "-----BEGIN PRIVATE KEY-----\nMC4C\n" };
	struct keys *k = *state;

	for (size_t i = 0; i < ARRAY_LEN(not_one); i++) {
		char *path = put(k->dir, "bad", not_one[i]);
		struct signing_key *key = NULL;

		assert_int_equal(ERR_INPUT, signing_key_private(&key, path));
		assert_non_null(strstr(err_text(), "no private Ed25519 key"));
		free(path);
	}
}

/* ---- folders --------------------------------------------------------------------------------- */

static void sign_into(struct keys *k, const char *dir, const char *plain, const char *envelope, const char *type,
		      const char *text)
{
	struct buf b = BUF_INIT(100000);
	json_t *e = NULL;

	free(put(dir, plain, text));
	assert_int_equal(0, envelope_sign(&e, k->mine, type, text, strlen(text)));
	json_add_pretty(&b, e);
	free(put(dir, envelope, buf_str(&b)));
	buf_release(&b);
	json_decref(e);
}

#define STATED "\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":"
#define RESULT_STATED STATED "\"https://in-toto.io/attestation/test-result/v0.1\""
/* A bill of materials of the model with that digest. sha256sum of {"files":[{"object":…,"path":"config.json","size":4},…]}: OBJECT */
#define BOM_OF(object)                                                                                                 \
	"{\"bomFormat\":\"CycloneDX\",\"metadata\":{\"component\":{\"hashes\":[{\"alg\":\"SHA-256\",\"content\":"      \
	"\"" object "\"}]}}}"
#define OBJECT "06ac0d74d46316e7fbfedae38872d02205e43576dea19134360d9a986c80976a"

/* A folder with two files, as an export signs it; name: of the second in the statement. */
static char *folder(struct keys *k, const char *name)
{
	char *dir = path_join(k->dir, "out");
	/* sha256sum of "one\n" and "two\n" */
	char *subjects = mem_printf(
		"\"subject\":[{\"name\":\"config.json\",\"digest\":{\"sha256\":"
		"\"2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806\"}},{\"name\":\"%s\",\"digest\":{"
		"\"sha256\":\"27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a\"}}]",
		name);
	char *provenance = mem_printf("{" STATED "\"https://slsa.dev/provenance/v1\",%s}", subjects);
	char *result = mem_printf("{" RESULT_STATED ",%s,\"predicate\":{\"result\":\"PASSED\"}}", subjects);

	fs_remove_tree(dir);
	free(put(dir, "config.json", "one\n"));
	free(put(dir, "sub/model.bin", "two\n"));
	sign_into(k, dir, "assay/provenance.intoto.json", "assay/provenance.dsse.json", ENVELOPE_STATEMENT, provenance);
	sign_into(k, dir, "assay/test-result.intoto.json", "assay/test-result.dsse.json", ENVELOPE_STATEMENT, result);
	sign_into(k, dir, "assay/bom.cdx.json", "assay/bom.dsse.json", ENVELOPE_BOM, BOM_OF(OBJECT));
	free(subjects);
	free(provenance);
	free(result);
	return dir;
}

static void folder_refused(struct keys *k, char *dir, const char *why)
{
	char *result = NULL;
	size_t n = 0;

	assert_int_equal(ERR_INPUT, signed_folder_check(dir, k->public, &n, &result));
	assert_non_null(strstr(err_text(), why));
	assert_null(result);
	free(dir);
}

/* One envelope under the name of the other, without the readable ones. */
static void folder_stands_in(struct keys *k, const char *one, const char *other)
{
	char *dir = folder(k, "sub/model.bin"), *from = mem_printf("%s/%s.dsse.json", dir, one),
	     *to = mem_printf("%s/%s.dsse.json", dir, other), *plain = mem_printf("%s/%s.intoto.json", dir, other);
	struct buf b = BUF_INIT(100000);

	assert_int_equal(0, fs_read(&b, from, b.max));
	assert_int_equal(0, fs_write(to, buf_str(&b), b.len));
	assert_int_equal(0, fs_remove(plain));
	folder_refused(k, dir, "what is signed there is no predicateType");
	buf_release(&b);
	free(from);
	free(to);
	free(plain);
}

static void test_signed_folder__is_what_was_signed_and_no_more(void **state)
{
	struct keys *k = *state;
	char *result = NULL, *dir = folder(k, "sub/model.bin"), *path;
	size_t n = 0;

	assert_int_equal(0, signed_folder_check(dir, k->public, &n, &result));
	assert_int_equal(2, n);
	assert_string_equal("PASSED", result);
	free(result);
	free(put(dir, "sub/model.bin", "twO\n"));
	folder_refused(k, dir, "its content is not the signed one");

	dir = folder(k, "sub/model.bin");
	free(put(dir, "sub/evil.py", "import os\n"));
	folder_refused(k, dir, "nobody has signed it");

	dir = folder(k, "sub/model.bin");
	free(put(dir, "assay/more.json", "{}"));
	folder_refused(k, dir, "nobody has signed it");

	dir = folder(k, "sub/model.bin");
	path = path_join(dir, "sub/model.bin");
	assert_int_equal(0, fs_remove(path));
	folder_refused(k, dir, "it is signed, and not there");
	dir = folder(k, "sub/model.bin");
	assert_int_equal(0, fs_remove(path));
	assert_int_equal(0, symlink("../config.json", path));
	folder_refused(k, dir, "no plain file");
	free(path);

	dir = folder(k, "sub/model.bin");
	free(put(dir, "assay/test-result.intoto.json", "{\"predicate\":{\"result\":\"FAILED\"}}"));
	folder_refused(k, dir, "something else than the signed one");

	folder_refused(k, folder(k, "../out/sub/model.bin"), "..");
	folder_refused(k, folder(k, "sub//model.bin"), "no plain path");

	dir = folder(k, "sub/model.bin"); /* a passed result of other files */
	sign_into(k, dir, "assay/test-result.intoto.json", "assay/test-result.dsse.json", ENVELOPE_STATEMENT,
		  "{" RESULT_STATED ",\"subject\":[],\"predicate\":{\"result\":\"PASSED\"}}");
	folder_refused(k, dir, "about other files");

	dir = folder(k, "sub/model.bin"); /* the bill of another model */
	sign_into(k, dir, "assay/bom.cdx.json", "assay/bom.dsse.json", ENVELOPE_BOM,
		  BOM_OF("2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"));
	folder_refused(k, dir, "of another model");
	folder_stands_in(k, "assay/provenance", "assay/test-result"); /* hides a failed gate */
	folder_stands_in(k, "assay/test-result", "assay/provenance");

	dir = folder(k, "sub/model.bin");
	path = path_join(dir, "assay/provenance.dsse.json");
	assert_int_equal(0, fs_remove(path));
	free(path);
	folder_refused(k, dir, "not there");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_envelope_sign__as_another_implementation_signs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_envelope_open__what_is_not_as_signed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signing_key__what_is_no_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signed_folder__is_what_was_signed_and_no_more, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
