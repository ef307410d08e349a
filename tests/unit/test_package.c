/* Tests of artifacts/package*.c: what is written, that it is the same twice, and what a damaged store gives. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "artifacts_fixture.h"

static const char *const paths[] = { "README.md", "config.json", "model.safetensors", "sub/é.txt", "tokenizer.json" };

/* A folder with a file a path, each holding its own name; README.md and tokenizer.json are equal bytes. */
static void make_folder(struct fixture *f, char hex[DIGEST_HEX])
{
	char *dir = home_path(f, "work/in");

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char *path = path_join(dir, paths[i]);
		const char *text = i == 4 ? paths[0] : paths[i];

		must(fs_write(path, text, strlen(text)));
		free(path);
	}
	must(store_put_tree(f->store, dir, hex, NULL));
	free(dir);
}

static struct package_options options_of(const char *hex)
{
	return (struct package_options){
		.object = hex, .model = "bot", .version = 7, .created = "2026-11-24T03:38:00Z", .commit = commit_of('a')
	};
}

static char *read_text(const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	struct buf b = BUF_INIT(1 << 20);

	must(fs_read(&b, path, 1 << 20));
	free(path);
	return b.data ? buf_take(&b) : mem_str("");
}

static int count_name(const char *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int entries(const char *dir)
{
	int n = 0;

	must(fs_list(dir, count_name, &n));
	return n;
}

static void test_package_export__dir_is_the_folder(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], again[DIGEST_HEX], *out = home_path(f, "work/x/out/"),
						 *file = home_path(f, "work/x/out/config.json");
	char *place = home_path(f, "work/x");
	struct package_options o;
	struct stat st;

	make_folder(f, hex);
	o = options_of(hex);
	must(package_export(f->store, PACKAGE_DIR, &o, out));
	must(store_put_tree(f->store, out, again, NULL));
	assert_string_equal(hex, again);
	assert_false(stat(file, &st));
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(st.st_nlink, 1); /* the user may change it */
	assert_int_equal(entries(place), 1);
	assert_err(package_export(f->store, PACKAGE_DIR, &o, out), ERR_EXISTS);
	free(out);
	free(file);
	free(place);
}

static void test_package_export__links_are_read_only(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], *out = home_path(f, "work/out"), *file = home_path(f, "work/out/config.json");
	struct package_options o;
	struct stat st;

	make_folder(f, hex);
	o = options_of(hex);
	o.as_links = true;
	must(package_export(f->store, PACKAGE_DIR, &o, out));
	assert_false(stat(file, &st));
	assert_int_equal(st.st_mode & 0777, 0444);
	assert_true(st.st_nlink > 1);
	free(out);
	free(file);
}

static void test_package_export__texts_stand_beside(void **state)
{
	struct fixture *f = *state;
	const struct package_text texts[] = { { "assay/bom.json", "{}" } }, taken[] = { { "config.json", "{}" } };
	char hex[DIGEST_HEX], *out = home_path(f, "work/out"), *text;
	struct package_options o;

	make_folder(f, hex);
	o = options_of(hex);
	o.texts = taken;
	o.n_texts = 1;
	assert_err(package_export(f->store, PACKAGE_DIR, &o, out), ERR_INPUT);
	assert_text_has(err_text(), "config.json");
	assert_false(fs_exists(out));
	o.texts = texts;
	must(package_export(f->store, PACKAGE_DIR, &o, out));
	text = read_text(out, "assay/bom.json");
	assert_string_equal(text, "{}");
	free(text);
	free(out);
}

/* Names, bytes and headers of an archive as text; yours. */
static char *list_tar(const char *path)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct buf b = BUF_INIT(1 << 20);
	char piece[256];

	archive_read_support_filter_zstd(a);
	archive_read_support_format_tar(a);
	assert_int_equal(archive_read_open_filename(a, path, 4096), ARCHIVE_OK);
	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		la_ssize_t n = archive_read_data(a, piece, sizeof(piece));

		assert_true(n >= 0);
		buf_addf(&b, "%s %o %d %d %d %.*s\n", archive_entry_pathname(e), (unsigned)archive_entry_perm(e),
			 (int)archive_entry_uid(e), (int)archive_entry_gid(e), (int)archive_entry_mtime(e), (int)n,
			 piece);
	}
	archive_read_free(a);
	return buf_take(&b);
}

static void test_package_export__archive_is_the_same_twice(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], *one = home_path(f, "work/1.tar.zst"), *two = home_path(f, "work/2.tar.zst"), *text;
	struct package_options o;
	struct digest a, b;

	make_folder(f, hex);
	o = options_of(hex);
	must(package_export(f->store, PACKAGE_TAR, &o, one));
	o.created = "2027-01-01T00:00:00Z"; /* of the record, not of the files */
	must(package_export(f->store, PACKAGE_TAR, &o, two));
	must(digest_file(&a, one));
	must(digest_file(&b, two));
	assert_true(digest_equal(&a, &b));
	text = list_tar(one);
	assert_string_equal(text, "bot-v7/README.md 644 0 0 0 README.md\n"
				  "bot-v7/config.json 644 0 0 0 config.json\n"
				  "bot-v7/model.safetensors 644 0 0 0 model.safetensors\n"
				  "bot-v7/sub/é.txt 644 0 0 0 sub/é.txt\n"
				  "bot-v7/tokenizer.json 644 0 0 0 README.md\n");
	free(text);
	free(one);
	free(two);
}

static void check_blob(const char *dir, const json_t *descriptor)
{
	const char *digest = json_get_text(descriptor, "digest", "");
	char *path = mem_printf("%s/blobs/sha256/%s", dir, digest + 7), found[DIGEST_HEX];
	struct digest d;
	uint64_t size = 0;

	assert_int_equal(strncmp(digest, "sha256:", 7), 0);
	must(digest_file(&d, path));
	digest_hex(found, &d);
	assert_string_equal(found, digest + 7);
	must(fs_size(&size, path));
	assert_int_equal(size, json_get_int(descriptor, "size", -1));
	free(path);
}

static json_t *blob_json(const char *dir, const json_t *descriptor)
{
	char *path = mem_printf("%s/blobs/sha256/%s", dir, json_get_text(descriptor, "digest", "") + 7);
	json_t *doc = NULL;

	must(json_read(&doc, path, 1 << 20));
	free(path);
	return doc;
}

static void test_package_export__oci_layout(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], *out = home_path(f, "work/oci"), *path = home_path(f, "work/oci/index.json");
	char *blobs = home_path(f, "work/oci/blobs/sha256"), *text;
	json_t *index = NULL, *manifest, *config, *layers, *layer;
	struct package_options o;
	size_t i;

	make_folder(f, hex);
	o = options_of(hex);
	must(package_export(f->store, PACKAGE_OCI, &o, out));
	text = read_text(out, "oci-layout");
	assert_string_equal(text, "{\"imageLayoutVersion\":\"1.0.0\"}");
	must(json_read(&index, path, 1 << 20));
	check_blob(out, json_array_get(json_object_get(index, "manifests"), 0));
	manifest = blob_json(out, json_array_get(json_object_get(index, "manifests"), 0));
	assert_string_equal(json_get_text(manifest, "artifactType", ""), "application/vnd.cncf.model.manifest.v1+json");
	check_blob(out, json_object_get(manifest, "config"));
	layers = json_object_get(manifest, "layers");
	assert_int_equal(json_array_size(layers), ARRAY_LEN(paths));
	json_array_foreach(layers, i, layer)
	{
		check_blob(out, layer);
		assert_string_equal(json_get_text(json_object_get(layer, "annotations"), "org.cncf.model.filepath", ""),
				    paths[i]);
	}
	assert_string_equal(json_get_text(json_array_get(layers, 2), "mediaType", ""),
			    "application/vnd.cncf.model.weight.v1.raw");
	/* four contents, a configuration and a manifest: equal bytes are one blob */
	assert_int_equal(entries(blobs), 6);
	config = blob_json(out, json_object_get(manifest, "config"));
	assert_string_equal(json_get_text(json_object_get(config, "descriptor"), "version", ""), "v7");
	assert_int_equal(json_array_size(json_object_get(json_object_get(config, "modelfs"), "diffIds")), 5);
	json_decref(index);
	json_decref(manifest);
	json_decref(config);
	free(text);
	free(out);
	free(path);
	free(blobs);
}

static void test_package_export__triton_repository(void **state)
{
	struct fixture *f = *state;
	char hex[DIGEST_HEX], *out = home_path(f, "work/models"), *text, *want;
	struct package_options o;

	make_folder(f, hex);
	o = options_of(hex);
	must(package_export(f->store, PACKAGE_TRITON, &o, out));
	text = read_text(out, "bot/7/weights/sub/é.txt");
	assert_string_equal(text, "sub/é.txt");
	free(text);
	text = read_text(out, "bot/config.pbtxt");
	assert_text_has(text, "name: \"bot\"\nbackend: \"vllm\"\n");
	free(text);
	text = read_text(out, "bot/7/model.json");
	want = mem_printf("\"model\": \"%s/bot/7/weights\"", out);
	assert_text_has(text, want);
	free(text);
	free(want);
	must(fs_remove_tree(out));
	o.mount = "/models";
	must(package_export(f->store, PACKAGE_TRITON, &o, out));
	text = read_text(out, "bot/7/model.json");
	assert_text_has(text, "\"model\": \"/models/bot/7/weights\"");
	free(text);
	must(fs_remove_tree(out));
	o.mount = "models";
	assert_err(package_export(f->store, PACKAGE_TRITON, &o, out), ERR_USAGE);
	o.mount = NULL;
	o.model = "bot\" } backend: \"python";
	assert_err(package_export(f->store, PACKAGE_TRITON, &o, out), ERR_INPUT);
	o.model = "..";
	assert_err(package_export(f->store, PACKAGE_TRITON, &o, out), ERR_INPUT);
	assert_false(fs_exists(out));
	free(out);
}

static void test_package_export__damage_leaves_nothing(void **state)
{
	static const enum package_format formats[] = { PACKAGE_DIR, PACKAGE_TAR, PACKAGE_OCI, PACKAGE_TRITON };
	struct fixture *f = *state;
	char hex[DIGEST_HEX], leaf[DIGEST_HEX], *out = home_path(f, "work/x/out"), *place = home_path(f, "work/x");
	struct package_options o;

	make_folder(f, hex);
	o = options_of(hex);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		put_text(f->store, "model.safetensors", leaf); /* heals it */
		must(fs_remove(store_path(f->store, leaf)));
		must(fs_write(store_path(f->store, leaf), "model.safetensorS", 17));
		assert_err(package_export(f->store, formats[i], &o, out), ERR_IO);
		assert_text_has(err_text(), leaf);
		assert_false(store_has(f->store, leaf));
		assert_int_equal(entries(place), 0);
	}
	free(out);
	free(place);
}

/* Of records and manifests that others wrote. */
static void test_package_export__an_archive_of_hostile_names_and_sizes(void **state)
{
	static const char *const models[] = { "../evil", "/tmp/evil", "a/../../evil", "a//b" };
	struct fixture *f = *state;
	char hex[DIGEST_HEX], leaf[DIGEST_HEX], *out = home_path(f, "work/x/out"), *text;
	struct package_options o;

	make_folder(f, hex);
	o = options_of(hex);
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		o.model = models[i];
		assert_err(package_export(f->store, PACKAGE_TAR, &o, out), ERR_INPUT);
		assert_false(fs_exists(out));
	}
	put_text(f->store, "hello", leaf);
	text = mem_printf("{\"files\":[{\"object\":\"%s\",\"path\":\"config.json\",\"size\":500}]}", leaf);
	put_text(f->store, text, hex);
	o = options_of(hex);
	assert_err(package_export(f->store, PACKAGE_TAR, &o, out), ERR_INPUT);
	assert_text_has(err_text(), "the manifest says 500 bytes, the object has 5");
	free(text);
	free(out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_store, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_package_export__dir_is_the_folder),
		TEST(test_package_export__links_are_read_only),
		TEST(test_package_export__texts_stand_beside),
		TEST(test_package_export__archive_is_the_same_twice),
		TEST(test_package_export__oci_layout),
		TEST(test_package_export__triton_repository),
		TEST(test_package_export__damage_leaves_nothing),
		TEST(test_package_export__an_archive_of_hostile_names_and_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
