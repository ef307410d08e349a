/* test_checkpoint.c: folders that are not quite a model are refused by the tensor or the field, each with a way out. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model_int.h"

#define FAMILIES "tests/golden/families/"
#define INDEX "model.safetensors.index.json"
#define MAX ((size_t)1 << 20)

static char *root, *in; /* in: a folder that is fresh for every test */
static struct backend *be;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	if (backend_open(&be, "cpu", 1) || fs_temp_dir(&root, tmp ? tmp : "/tmp", "checkpoint"))
		return -1;
	in = path_join(root, "in");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	backend_close(be);
	fs_remove_tree(root);
	free(root);
	free(in);
	return 0;
}

/* ---- folders and their damage -------------------------------------------------------------------------------------- */

static int copy_one(const char *name, void *from)
{
	char *a = path_join(from, name), *b = path_join(in, name);

	assert_int_equal(fs_copy(a, b), 0);
	free(a);
	free(b);
	return 0;
}

static void fresh(const char *family)
{
	char *from = mem_printf(FAMILIES "%s", family);

	assert_int_equal(fs_remove_tree(in), 0);
	assert_int_equal(fs_mkdirs(in), 0);
	assert_int_equal(fs_list(from, copy_one, from), 0);
	free(from);
}

static void put(const char *name, const char *text)
{
	char *path = path_join(in, name);

	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	free(path);
}

static void drop(const char *name)
{
	char *path = path_join(in, name);

	assert_int_equal(fs_remove(path), 0);
	free(path);
}

static json_t *read_json(const char *name)
{
	char *path = path_join(in, name);
	json_t *v = NULL;

	assert_int_equal(json_read(&v, path, MAX), 0);
	free(path);
	return v;
}

/* value: JSON; NULL: the member goes */
static void set_member(const char *name, const char *key, const char *value)
{
	json_t *v = read_json(name), *member = NULL;
	struct buf text = BUF_INIT(MAX);

	if (value) {
		assert_int_equal(json_parse(&member, value, strlen(value), key), 0);
		json_object_set_new(v, key, member);
	} else {
		json_object_del(v, key);
	}
	json_add(&text, v);
	put(name, buf_str(&text));
	buf_release(&text);
	json_decref(v);
}

/* Everything is refused before a byte of the weights is computed with: frozen and trainable say the same. */
static void refuse(const char *why)
{
	for (int train = 0; train < 2; train++) {
		struct model *m = NULL;
		assert_int_equal(model_load(&m, in, be, &(struct model_load){ .train = train }), ERR_INPUT);
		if (!strstr(err_text(), why))
			fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
		if (!err_fix())
			fail_msg("\"%s\" has no way out", err_text());
	}
}

static void accept(void)
{
	struct model *m = NULL;

	if (model_load(&m, in, be, NULL))
		fail_msg("%s", err_text());
	model_free(m);
}

/* ---- weights --------------------------------------------------------------------------------------------------------- */

/* The folder's single file again, with the tensor `from` under another name ("": left out) and said to be of another type;
 * behind it the same again as `more`, if that is not NULL. from has two dimensions then. */
static void rewrite(const char *from, const char *to, const char *more, const char *dtype)
{
	char *path = path_join(in, "model.safetensors");
	struct safetensors s;
	struct buf header = BUF_INIT(MAX), data = BUF_INIT(MAX), file = BUF_INIT(MAX);

	assert_int_equal(safetensors_open(&s, path), 0);
	for (size_t i = 0; i < s.n; i++) {
		const struct safetensors_entry *e = &s.entries[i];
		const char *name = from && !strcmp(e->name, from) ? to : e->name;
		size_t at = data.len;
		if (!*name)
			continue;
		buf_add(&data, e->data, (size_t)(e->end - e->begin));
		buf_addf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", header.len ? "," : "", name,
			 from && name == to && dtype ? dtype : e->dtype);
		for (int d = 0; d < e->n_dims; d++)
			buf_addf(&header, "%s%d", d ? "," : "", (int)e->dims[d]);
		buf_addf(&header, "],\"data_offsets\":[%zu,%zu]}", at, data.len);
		if (more && !strcmp(e->name, from)) {
			at = data.len;
			buf_add(&data, e->data, (size_t)(e->end - e->begin));
			buf_addf(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
				 more, e->dtype, (int)e->dims[0], (int)e->dims[1], at, data.len);
		}
	}
	for (int i = 0; i < 8; i++)
		buf_addc(&file, (char)((uint64_t)(header.len + 2) >> 8 * i));
	buf_addf(&file, "{%s}", buf_str(&header));
	buf_add(&file, data.data, data.len);
	assert_int_equal(fs_write(path, file.data, file.len), 0);
	safetensors_close(&s);
	buf_release(&header);
	buf_release(&data);
	buf_release(&file);
	free(path);
}

static void test_model_load__tensors_that_are_not_the_model_s(void **state)
{
	(void)state;
	fresh("gpt2"); /* names without the prefix */
	accept();
	rewrite("wte.weight", "", NULL, NULL);
	refuse("tensor \"transformer.wte.weight\" is missing");
	fresh("gpt2");
	rewrite("wte.weight", "transformer.wte.weight", NULL, NULL); /* mixed is odd, and clear */
	accept();
	fresh("gpt2");
	rewrite("wte.weight", "wte.weight", "transformer.wte.weight", NULL);
	refuse("is there a second time, as \"transformer.wte.weight\"");
	fresh("gpt2");
	rewrite("wte.weight", "wte.weight", "h.7.ln_1.bias", NULL);
	refuse("tensor \"h.7.ln_1.bias\" is not part of a gpt2 model of 2 layers");
	fresh("gpt2");
	rewrite("ln_f.weight", "ln_f.weight", NULL, "I32");
	refuse("tensor \"ln_f.weight\": dtype I32 is not supported");
}

static void test_model_load__index_and_files_that_differ(void **state)
{
	static const char first[] = "model-00001-of-00004.safetensors", last[] = "model-00004-of-00004.safetensors";
	char *a = path_join(in, first), *b = path_join(in, last);

	(void)state;
	fresh("llama3");
	accept();
	assert_int_equal(fs_copy(a, b), 0); /* the last file is the first one again */
	refuse("is in ");
	fresh("llama3");
	assert_int_equal(safetensors_write(b, NULL, 0, "format", "pt", NULL, NULL), 0); /* no tensor in it */
	refuse("model-00004-of-00004.safetensors: tensor \"model.layers.");
	assert_non_null(strstr(err_text(), "the index says it is there"));
	drop(last);
	refuse(last);
	fresh("llama3");
	json_t *index = read_json(INDEX);
	json_object_set_new(json_object_get(index, "weight_map"), "model.rotary_emb.inv_freq", json_string(first));
	struct buf text = BUF_INIT(MAX);
	json_add(&text, index);
	put(INDEX, buf_str(&text));
	accept(); /* nobody needs it: converters leave such lines behind */
	put(INDEX, "{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"y.safetensors\"}}");
	struct model *m = NULL;
	assert_int_equal(model_load(&m, in, be, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "uplicate"));
	buf_release(&text);
	json_decref(index);
	free(a);
	free(b);
}

static void test_model_load__pickles_are_not_opened(void **state)
{
	static const char *const pickles[] = { "pytorch_model.bin",
					       "pytorch_model-00001-of-00002.bin",
					       "pytorch_model.bin.index.json",
					       "consolidated.00.pth",
					       "model.pt",
					       "model.bin",
					       "epoch=3.ckpt" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pickles); i++) {
		fresh("smollm2");
		drop("model.safetensors");
		put("training_args.bin", ""); /* one, too, but no weights */
		refuse("no model.safetensors");
		put(pickles[i], "\x80\x02");
		refuse(pickles[i]);
		assert_non_null(strstr(err_text(), "pickle"));
		assert_non_null(strstr(err_fix(), "save_pretrained"));
	}
	fresh("smollm2");
	put("model.safetensors", "\x80\x02}q\x01(X\x05");
	refuse("pickle");
}

/* ---- configuration ----------------------------------------------------------------------------------------------------- */

static void test_model_load__folders_of_another_kind(void **state)
{
	(void)state;
	fresh("smollm2");
	drop("config.json");
	refuse("no config.json");
	put("adapter_config.json", "{}");
	refuse("no config.json");
	assert_non_null(strstr(err_fix(), "finetune.adapter"));
	fresh("smollm2");
	set_member("config.json", "num_hidden_layers", "9");
	refuse("\"model.layers.2.self_attn.q_proj.weight\" is missing");
	fresh("smollm2");
	set_member("config.json", "num_hidden_layers", "1");
	refuse("is not part of a llama model of 1 layers");
	fresh("smollm2");
	set_member("config.json", "vocab_size", "49");
	refuse("but config.json makes it [49,");
	fresh("smollm2");
	set_member("config.json", "tie_word_embeddings", "false");
	refuse("\"lm_head.weight\" is missing");
	assert_non_null(strstr(err_fix(), "tie_word_embeddings"));
}

static void test_model_load__config_that_is_too_deep_or_too_long(void **state)
{
	struct buf text = BUF_INIT((size_t)8 << 20);
	struct model *m = NULL;

	(void)state;
	fresh("smollm2");
	buf_adds(&text, "{\"a\":");
	for (int i = 0; i < 100000; i++)
		buf_addc(&text, '[');
	put("config.json", buf_str(&text));
	assert_int_equal(model_load(&m, in, be, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "config.json:1:"));
	buf_clear(&text);
	buf_addf(&text, "{\"a\":\"%*s\"}", 5 << 20, "");
	put("config.json", buf_str(&text));
	assert_int_equal(model_load(&m, in, be, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "config.json"));
	buf_release(&text);
}

static void test_model_load__ends_of_text_that_are_no_ids(void **state)
{
	static const char file[] = "generation_config.json";

	(void)state;
	fresh("smollm2");
	put(file, "[]");
	refuse("generation_config.json: expected an object");
	fresh("smollm2");
	set_member(file, "eos_token_id", "[1,48]");
	refuse("generation_config.json: eos_token_id: not an id of the vocabulary of 48");
	set_member(file, "eos_token_id", "-1");
	refuse("generation_config.json: eos_token_id");
	set_member(file, "eos_token_id", "\"</s>\"");
	refuse("generation_config.json: eos_token_id: expected a token id");
	set_member(file, "eos_token_id", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]");
	refuse("generation_config.json: eos_token_id: more than 16");
	set_member(file, "eos_token_id", NULL);
	set_member("config.json", "eos_token_id", "[1,99]"); /* the first is fine */
	refuse("config.json: eos_token_id");
	set_member("config.json", "eos_token_id", "[]");
	accept();
	drop(file);
	accept();
}

static void test_model_config_check_tokenizer__more_ids_than_rows(void **state)
{
	static const char text[] =
		"{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2},"
		"\"merges\":[]}}";
	struct model_config c = { .vocab_size = 3 };
	struct tokenizer *t = NULL;

	(void)state;
	assert_int_equal(tokenizer_parse(&t, text, strlen(text), "t"), 0);
	assert_int_equal(model_config_check_tokenizer(&c, t, "here"), 0);
	c.vocab_size = 2;
	assert_int_equal(model_config_check_tokenizer(&c, t, "here"), ERR_INPUT);
	assert_non_null(
		strstr(err_text(), "here: the tokenizer has 3 ids (the last: \"c\"), the model's vocabulary 2"));
	assert_non_null(strstr(err_fix(), "resize_token_embeddings"));
	tokenizer_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_load__tensors_that_are_not_the_model_s),
		cmocka_unit_test(test_model_load__index_and_files_that_differ),
		cmocka_unit_test(test_model_load__pickles_are_not_opened),
		cmocka_unit_test(test_model_load__folders_of_another_kind),
		cmocka_unit_test(test_model_load__config_that_is_too_deep_or_too_long),
		cmocka_unit_test(test_model_load__ends_of_text_that_are_no_ids),
		cmocka_unit_test(test_model_config_check_tokenizer__more_ids_than_rows),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
