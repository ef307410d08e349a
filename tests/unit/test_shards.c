/* test_shards.c: weights in one file or in many are the same weights; a set that is not whole, or says something twice, is
 * refused. The expected splits are those of huggingface_hub 2.4 (split_torch_state_dict_into_shards). */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model_int.h"

static char *dir;

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "shards");
}

static int drop_dir(void **state)
{
	(void)state;
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

static void put(const char *name, const char *text)
{
	char *path = path_join(dir, name);

	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	free(path);
}

static bool is_there(const char *name)
{
	char *path = path_join(dir, name);
	bool there = fs_exists(path);

	free(path);
	return there;
}

/* Tensor i is bytes of value i. */
static const void *fill(size_t i, void *arg)
{
	static uint8_t bytes[64];

	(void)arg;
	memset(bytes, (int)i, sizeof(bytes));
	return bytes;
}

static const void *fill_or_fail(size_t i, void *arg)
{
	(void)arg;
	if (i == 3)
		err_set(ERR_IO, "the disk of tensor 3 is gone");
	return i == 3 ? NULL : fill(i, NULL);
}

enum { MOST = 8 };

static void make_list(struct safetensors_out *list, char names[][24], const int64_t *sizes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "t%zu", i);
		list[i] = (struct safetensors_out){ names[i], 1, { sizes[i], 0 }, "U8" };
	}
}

static void write_sizes(const int64_t *sizes, size_t n, uint64_t limit)
{
	struct safetensors_out list[MOST];
	char names[MOST][24];

	make_list(list, names, sizes, n);
	assert_int_equal(shards_write(dir, list, n, limit, fill, NULL), 0);
}

/* Each tensor is found with its bytes, in the file whose number (from 1) is expected. */
static void check_places(const int64_t *sizes, const char *where, size_t n, size_t files)
{
	struct shards s;

	assert_int_equal(shards_open(&s, dir), 0);
	assert_int_equal(s.n, files);
	for (size_t i = 0; i < n; i++) {
		char name[24], end[64];
		const struct safetensors *in = NULL;
		snprintf(name, sizeof(name), "t%zu", i);
		const struct safetensors_entry *e = shards_find(&s, name, &in);
		assert_non_null(e);
		assert_int_equal(e->count, sizes[i]);
		for (int64_t j = 0; j < sizes[i]; j++)
			assert_int_equal(e->data[j], i);
		snprintf(end, sizeof(end), "/model-0000%c-of-%05zu.safetensors", where[i], files);
		assert_true(path_has_suffix(in->path, files == 1 ? "/model.safetensors" : end));
	}
	const struct safetensors *in = NULL;
	assert_null(shards_find(&s, "nobody", &in));
	shards_release(&s);
	shards_release(&s); /* twice is harmless */
}

static void test_shards_write__cuts_where_the_reference_cuts(void **state)
{
	static const struct {
		int64_t sizes[MOST];
		size_t n, files;
		const char *where;
	} cases[] = {
		{ { 6, 6, 2, 6, 2, 2 }, 6, 3, "122333" },
		{ { 1, 11, 1, 12, 9, 1, 1 }, 7, 5, "3132445" }, /* the large ones are numbered first */
		{ { 5, 5, 5, 5, 1 }, 5, 3, "11223" },           /* exactly full */
		{ { 11, 1 }, 2, 2, "12" },
		{ { 11 }, 1, 1, "1" },
		{ { 3 }, 1, 1, "1" },
		{ { 0, 0 }, 2, 1, "11" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) { /* into the same folder, again and again */
		write_sizes(cases[i].sizes, cases[i].n, 10);
		check_places(cases[i].sizes, cases[i].where, cases[i].n, cases[i].files);
	}
}

static void test_shards_write__index_is_the_reference_s(void **state)
{
	static const int64_t sizes[] = { 1, 11, 1 };
	struct buf b = BUF_INIT(1 << 16);
	char *path = path_join(dir, "model.safetensors.index.json");

	(void)state;
	write_sizes(sizes, 3, 10);
	assert_int_equal(fs_read(&b, path, 1 << 16), 0);
	assert_string_equal(buf_str(&b), "{\n"
					 "  \"metadata\": {\n"
					 "    \"total_parameters\": 13,\n"
					 "    \"total_size\": 13\n"
					 "  },\n"
					 "  \"weight_map\": {\n"
					 "    \"t0\": \"model-00002-of-00002.safetensors\",\n"
					 "    \"t1\": \"model-00001-of-00002.safetensors\",\n"
					 "    \"t2\": \"model-00002-of-00002.safetensors\"\n"
					 "  }\n"
					 "}\n");
	buf_release(&b);
	free(path);
}

static void test_shards_write__old_files_of_another_shape_go(void **state)
{
	static const int64_t many[] = { 9, 9, 9 }, one[] = { 9 };

	(void)state;
	put("model-00001-of-00002.safetensors.bak", "mine");
	put("model-1-of-2.txt", "mine");
	put(".assay-tmp-0123456789", "half"); /* of a process that was killed */
	write_sizes(one, 1, 10);
	assert_false(is_there(".assay-tmp-0123456789"));
	write_sizes(many, 3, 10);
	assert_false(is_there("model.safetensors")); /* it would win over the index */
	write_sizes(many, 2, 10);
	assert_false(is_there("model-00001-of-00003.safetensors"));
	assert_true(is_there("model-00002-of-00002.safetensors"));
	write_sizes(one, 1, 10);
	assert_false(is_there("model.safetensors.index.json"));
	assert_false(is_there("model-00002-of-00002.safetensors"));
	assert_true(is_there("model-00001-of-00002.safetensors.bak"));
	assert_true(is_there("model-1-of-2.txt"));
}

static void test_shards_write__failure_leaves_the_old_model(void **state)
{
	static const int64_t one[] = { 9 }, many[] = { 9, 9, 9, 9, 9 };
	struct safetensors_out list[MOST];
	char names[MOST][24];

	(void)state;
	write_sizes(one, 1, 10);
	make_list(list, names, many, 5);
	assert_int_equal(shards_write(dir, list, 5, 10, fill_or_fail, NULL), ERR_IO);
	assert_non_null(strstr(err_text(), "tensor 3"));
	check_places(one, "1", 1, 1);
}

static void refuse(const char *why)
{
	struct shards s;

	assert_int_equal(shards_open(&s, dir), ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	shards_release(&s);
}

static void index_of(const char *weight_map)
{
	char *text = mem_printf("{\"weight_map\":%s}", weight_map);

	put("model.safetensors.index.json", text);
	free(text);
}

static void test_shards_open__what_is_not_whole_is_refused(void **state)
{
	static const int64_t sizes[] = { 9, 9 };
	char *a = path_join(dir, "model-00001-of-00002.safetensors"), *b = path_join(dir, "copy.safetensors");

	(void)state;
	fs_remove_tree(dir);
	assert_int_equal(fs_mkdirs(dir), 0);
	refuse("no model.safetensors");
	put("pytorch_model.bin", "");
	refuse("pickle");
	write_sizes(sizes, 2, 10);
	assert_int_equal(fs_copy(a, b), 0);
	index_of("{\"t0\":\"model-00001-of-00002.safetensors\",\"t1\":\"copy.safetensors\"}");
	refuse("\"t0\" is in ");
	index_of("{\"t0\":\"model-00002-of-00002.safetensors\",\"t1\":\"model-00001-of-00002.safetensors\"}");
	refuse("the index says that it is in model-0000");
	index_of("{\"t1\":\"model-00002-of-00002.safetensors\",\"x\":\"model-00001-of-00002.safetensors\"}");
	refuse("tensor \"t0\" is there, and the index does not name it");
	index_of("{\"t0\":\"../model-00001-of-00002.safetensors\"}");
	refuse("no safetensors file beside it");
	index_of("{\"t0\":\"/etc/x.safetensors\"}");
	refuse("no safetensors file beside it");
	index_of("{\"t0\":\"model.bin\"}");
	refuse("no safetensors file beside it");
	index_of("{\"t0\":\"gone.safetensors\"}");
	refuse("gone.safetensors, which is not there");
	index_of("{\"t0\":7}");
	refuse("\"t0\" names no file");
	index_of("{}");
	refuse("weight_map is missing or empty");
	index_of("[\"model.safetensors\"]");
	refuse("weight_map is missing or empty");
	put("model.safetensors.index.json", "{\"weight_map\":");
	refuse("not JSON");
	free(a);
	free(b);
}

static const void *give(size_t i, void *arg)
{
	return ((const void **)arg)[i];
}

static void test_shards_write__many_files_hold_what_one_did(void **state)
{
	struct shards one, many;
	struct safetensors_out list[64];
	const void *data[64];

	(void)state;
	assert_int_equal(shards_open(&one, "tests/golden/families/gpt2"), 0);
	const struct safetensors *f = &one.files[0];
	assert_true(f->n < 64);
	for (size_t i = 0; i < f->n; i++) {
		const struct safetensors_entry *e = &f->entries[i];
		list[i] = (struct safetensors_out){
			e->name, e->n_dims, { (int64_t)e->dims[0], (int64_t)e->dims[1] }, e->dtype
		};
		data[i] = e->data;
	}
	fs_remove_tree(dir);
	assert_int_equal(fs_mkdirs(dir), 0);
	assert_int_equal(shards_write(dir, list, f->n, 4096, give, data), 0);
	assert_int_equal(shards_open(&many, dir), 0);
	assert_true(many.n > 3);
	for (size_t i = 0; i < f->n; i++) {
		const struct safetensors *in;
		const struct safetensors_entry *e = shards_find(&many, f->entries[i].name, &in);
		assert_non_null(e);
		assert_int_equal(e->end - e->begin, f->entries[i].end - f->entries[i].begin);
		assert_memory_equal(e->data, f->entries[i].data, (size_t)(e->end - e->begin));
	}
	shards_release(&one);
	shards_release(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shards_write__cuts_where_the_reference_cuts),
		cmocka_unit_test(test_shards_write__index_is_the_reference_s),
		cmocka_unit_test(test_shards_write__old_files_of_another_shape_go),
		cmocka_unit_test(test_shards_write__failure_leaves_the_old_model),
		cmocka_unit_test(test_shards_open__what_is_not_whole_is_refused),
		cmocka_unit_test(test_shards_write__many_files_hold_what_one_did),
	};
	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
