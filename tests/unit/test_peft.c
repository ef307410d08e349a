/* test_peft.c: an adapter merged into a base is what PEFT's merge makes of them; what is not built is refused by name.
 *
 * tests/golden/make_peft.py made the adapters and the merged tensors with PEFT. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/peft/"
#define FAMILIES "tests/golden/families/"

static char *dir;

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "peft");
}

static int drop_dir(void **state)
{
	(void)state;
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

static struct model *load(const char *base, const char *adapter, bool train)
{
	struct backend *be = NULL;
	struct model *m = NULL;

	assert_int_equal(backend_open(&be, "cpu", 2), 0);
	if (model_load(&m, base, be, &(struct model_load){ .train = train, .adapter = adapter }))
		fail_msg("%s", err_text());
	return m;
}

static void drop(struct model *m)
{
	struct backend *be = m->be;

	model_free(m);
	backend_close(be);
}

static float *floats_of(const struct safetensors *in, const struct safetensors_entry *e)
{
	float *x = mem_array((size_t)e->count + 1, sizeof(*x));

	assert_int_equal(safetensors_floats(in, e, x), 0);
	return x;
}

/* PEFT sums in another order: one last place of the stored type, or of fp32 beside the largest value. */
static void check_changed(const char *name, const struct safetensors *got_in, const struct safetensors_entry *got,
			  const struct safetensors *want_in, const struct safetensors_entry *want)
{
	float *x = floats_of(got_in, got), *y = floats_of(want_in, want), top = 0;
	double step = !strcmp(want->dtype, "F32") ? 0x1p-22 : !strcmp(want->dtype, "F16") ? 0x1p-10 : 0x1p-7;
	size_t off = 0;

	assert_string_equal(got->dtype, want->dtype);
	assert_int_equal(got->count, want->count);
	for (uint64_t i = 0; i < got->count; i++)
		top = fabsf(y[i]) > top ? fabsf(y[i]) : top;
	for (uint64_t i = 0; i < got->count; i++) {
		double by = !strcmp(want->dtype, "F32") ? (double)top : fabs((double)y[i]);
		if (fabs((double)x[i] - (double)y[i]) > step * by)
			fail_msg("%s: %s[%d] is %.9g, not %.9g", name, got->name, (int)i, (double)x[i], (double)y[i]);
		off += x[i] < y[i] || x[i] > y[i];
	}
	if (strcmp(want->dtype, "F32") != 0)
		assert_true(off <= got->count / 50); /* half precision: a tie now and then */
	free(x);
	free(y);
}

static void check_merged(const char *name, const char *family, bool train)
{
	char *base = mem_printf(FAMILIES "%s", family), *adapter = mem_printf(GOLDEN "%s", name);
	char *out = mem_printf("%s/%s-%d", dir, name, train), *merged = path_join(adapter, "merged.safetensors");
	struct model *m = load(base, adapter, train);
	struct shards before, after;
	struct safetensors want = { 0 };
	size_t changed = 0;

	assert_int_equal(model_save(m, out), 0);
	drop(m);
	assert_int_equal(shards_open(&before, base), 0);
	assert_int_equal(shards_open(&after, out), 0);
	assert_int_equal(safetensors_open(&want, merged), 0);
	for (size_t i = 0; i < after.files[0].n; i++) {
		const struct safetensors_entry *e = &after.files[0].entries[i];
		const struct safetensors_entry *w = safetensors_find(&want, e->name);
		const struct safetensors *in = NULL;
		const struct safetensors_entry *b = shards_find(&before, e->name, &in);
		if (!b && !strncmp(e->name, "transformer.", 12)) /* this folder leaves the prefix out */
			b = shards_find(&before, e->name + 12, &in);
		assert_non_null(b);
		changed += w != NULL;
		if (train) { /* fp32 there, but the values of the base's type */
			float *x = floats_of(&after.files[0], e), *y = floats_of(w ? &want : in, w ? w : b);
			for (uint64_t j = 0; j < e->count; j++)
				assert_true(fabsf(x[j] - y[j]) <= 0.02f * fabsf(y[j]) + 1e-5f);
			free(x);
			free(y);
		} else if (w) {
			check_changed(name, &after.files[0], e, &want, w);
		} else {
			assert_memory_equal(e->data, b->data, (size_t)(e->end - e->begin));
		}
	}
	assert_int_equal(changed, want.n);
	safetensors_close(&want);
	shards_release(&before);
	shards_release(&after);
	free(base);
	free(adapter);
	free(out);
	free(merged);
}

static const char *const cases[][2] = {
	{ "conv1d", "gpt2" }, { "whole", "llama3" }, { "bf16", "smollm2" }, { "f16", "qwen2" }
};

static void test_model_load__merges_as_peft_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		check_merged(cases[i][0], cases[i][1], false);
		check_merged(cases[i][0], cases[i][1], true);
	}
}

/* Trained factors, saved as an adapter and merged again, are what the merged folder has. */
static void test_model_save_adapter__comes_back_as_it_was_merged(void **state)
{
	static const char *const families[] = { "gpt2", "llama3", "smollm2", "qwen3" };
	const char *const all[] = { "all-linear", NULL };
	const struct lora_options o = { .rank = 3, .alpha = 7, .targets = all };

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		char *base = mem_printf(FAMILIES "%s", families[f]),
		     *out = mem_printf("%s/%s-merged", dir, families[f]);
		char *adapter = mem_printf("%s/%s-adapter", dir, families[f]),
		     *again = mem_printf("%s/%s-again", dir, families[f]);
		struct model *m = load(base, NULL, false);
		struct safetensors a, b;
		assert_int_equal(model_add_lora(m, &o, 3), 0);
		float *x = mem_array(m->lora->n_params, sizeof(*x));
		for (size_t i = 0; i < m->lora->n_params; i++)
			x[i] = (float)((double)((i * 7919) % 1009) / 1009 - 0.5);
		m->be->upload(m->be, m->lora->params, x, m->lora->n_params * sizeof(*x));
		free(x);
		assert_int_equal(model_save(m, out), 0);
		assert_int_equal(model_save_adapter(m, adapter, families[f]), 0);
		drop(m);
		m = load(base, adapter, false);
		assert_int_equal(model_save(m, again), 0);
		drop(m);
		char *first = path_join(out, "model.safetensors"), *second = path_join(again, "model.safetensors");
		assert_int_equal(safetensors_open(&a, first), 0);
		assert_int_equal(safetensors_open(&b, second), 0);
		assert_int_equal(a.n, b.n);
		for (size_t i = 0; i < a.n; i++)
			check_changed(families[f], &a, &a.entries[i], &b, safetensors_find(&b, a.entries[i].name));
		safetensors_close(&a);
		safetensors_close(&b);
		free(first);
		free(second);
		free(base);
		free(out);
		free(adapter);
		free(again);
	}
}

/* ---- what is refused -------------------------------------------------------------------------------------------------- */

/* The adapter "bf16" with these members in its configuration, as `name` in the test's folder. */
static char *changed_config(const char *members)
{
	char *out = path_join(dir, "changed"), *config = path_join(out, "adapter_config.json");
	char *weights = path_join(out, "adapter_model.safetensors");
	json_t *o = NULL, *more = NULL;
	struct buf text = BUF_INIT(1 << 20);

	fs_remove_tree(out);
	assert_int_equal(fs_mkdirs(out), 0);
	assert_int_equal(json_read(&o, GOLDEN "bf16/adapter_config.json", 1 << 20), 0);
	assert_int_equal(json_parse(&more, members, strlen(members), "members"), 0);
	json_object_update(o, more);
	json_add_pretty(&text, o);
	assert_int_equal(fs_write(config, buf_str(&text), text.len), 0);
	assert_int_equal(fs_copy(GOLDEN "bf16/adapter_model.safetensors", weights), 0);
	json_decref(o);
	json_decref(more);
	buf_release(&text);
	free(config);
	free(weights);
	return out;
}

static void refuse_load(const char *base, const char *adapter, const char *why)
{
	struct backend *be = NULL;
	struct model *m = NULL;

	assert_int_equal(backend_open(&be, "cpu", 1), 0);
	assert_int_equal(model_load(&m, base, be, &(struct model_load){ .adapter = adapter }), ERR_INPUT);
	assert_null(m);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	backend_close(be);
}

static void test_peft_open__what_is_not_built_is_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "{\"use_dora\":true}", "use_dora" },
		{ "{\"lora_bias\":true}", "lora_bias" },
		{ "{\"layer_replication\":[[0,1]]}", "layer_replication" },
		{ "{\"target_parameters\":[\"x\"]}", "target_parameters" },
		{ "{\"trainable_token_indices\":[1]}", "trainable_token_indices" },
		{ "{\"some_key_of_next_year\":1}", "some_key_of_next_year" },
		{ "{\"init_lora_weights\":\"pissa_niter_4\"}", "init_lora_weights" },
		{ "{\"peft_type\":\"LOHA\"}", "LOHA" },
		{ "{\"r\":0}", "r: expected" },
		{ "{\"r\":\"8\"}", "r: expected" },
		{ "{\"r\":3}", "has rank 2" },
		{ "{\"rank_pattern\":{\"q_proj\":4}}", "has rank 2" },
		{ "{\"lora_alpha\":-1}", "lora_alpha: expected" },
		{ "{\"lora_alpha\":1e300}", "lora_alpha: expected" },
		{ "{\"alpha_pattern\":{\"q_(proj\":4}}", "no pattern of modules" },
		{ "{\"alpha_pattern\":{\"q_proj\":\"4\"}}", "alpha_pattern" },
		{ "{\"alpha_pattern\":[1]}", "expected an object" },
		{ "{\"use_rslora\":1}", "use_rslora: expected true or false" },
		{ "{\"alpha_pattern\":{\"(.*.*)*[!?]\":4}}", "alpha_pattern: pattern 1 takes too long on" },
		{ "{\"rank_pattern\":{\"(.*.*)*[!?]\":4}}", "rank_pattern: pattern 1 takes too long on" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *adapter = changed_config(bad[i][0]);
		refuse_load(FAMILIES "smollm2", adapter, bad[i][1]);
		free(adapter);
	}
	struct buf many = BUF_INIT(1 << 20);
	buf_adds(&many, "{\"rank_pattern\":{");
	for (int i = 0; i < 2000; i++)
		buf_addf(&many, "%s\"(?:[ab]%d(?:cd|ef){700})\":2", i ? "," : "", i);
	buf_adds(&many, "}}");
	char *huge = changed_config(buf_str(&many));
	refuse_load(FAMILIES "smollm2", huge, "rank_pattern: the patterns take more than 16 MB");
	buf_release(&many);
	free(huge);
	char *fine = changed_config("{\"layers_to_transform\":[0],\"alpha_pattern\":{\"(a*)*b\":4},\"use_dora\":null,"
				    "\"new_key\":[],\"init_lora_weights\":\"gaussian\",\"bias\":\"all\"}");
	drop(load(FAMILIES "smollm2", fine, false));
	free(fine);
}

static void test_peft_open__what_is_not_there_is_refused(void **state)
{
	char *out = path_join(dir, "empty"), *config = path_join(out, "adapter_config.json");
	char *pickle = path_join(out, "adapter_model.bin");

	(void)state;
	assert_int_equal(fs_mkdirs(out), 0);
	refuse_load(FAMILIES "smollm2", out, "no adapter_config.json");
	assert_int_equal(fs_write(config, "[]", 2), 0);
	refuse_load(FAMILIES "smollm2", out, "peft_type");
	assert_int_equal(fs_write(config, "{\"peft_type\":\"LORA\"}", 20), 0);
	refuse_load(FAMILIES "smollm2", out, "no adapter_model.safetensors");
	assert_int_equal(fs_write(pickle, "", 0), 0);
	refuse_load(FAMILIES "smollm2", out, "no adapter_model.safetensors");
	assert_non_null(strstr(err_fix(), "pickle"));
	refuse_load(FAMILIES "qwen3", GOLDEN "bf16", "does not fit"); /* other shapes */
	refuse_load(FAMILIES "qwen2", GOLDEN "whole", "which is the head, too");
	refuse_load(FAMILIES "gpt2", GOLDEN "bf16", "belongs to nothing in this model");
	free(out);
	free(config);
	free(pickle);
}

struct given {
	const char *name;
	int64_t dims[2];
};

static const void *ones(size_t i, void *arg)
{
	static float x[4096];

	(void)i;
	(void)arg;
	for (size_t j = 0; j < ARRAY_LEN(x); j++)
		x[j] = 1;
	return x;
}

static void refuse_tensors(const struct given *given, size_t n, const char *why)
{
	struct safetensors_out list[4];
	char *adapter = changed_config("{}"), *weights = path_join(adapter, "adapter_model.safetensors");

	for (size_t i = 0; i < n; i++)
		list[i] = (struct safetensors_out){
			given[i].name, given[i].dims[1] ? 2 : 1, { given[i].dims[0], given[i].dims[1] }, "F32"
		};
	assert_int_equal(safetensors_write(weights, list, n, "format", "pt", ones, NULL), 0);
	refuse_load(FAMILIES "linear", adapter, why);
	free(adapter);
	free(weights);
}

static void test_peft_merge__tensors_that_do_not_fit(void **state)
{
#define Q "base_model.model.model.layers.0.self_attn.q_proj"
#define E "base_model.model.model.embed_tokens"
	static const struct given half[] = { { Q ".lora_A.weight", { 2, 16 } } };
	static const struct given wide[] = { { Q ".lora_A.weight", { 2, 17 } }, { Q ".lora_B.weight", { 16, 2 } } };
	static const struct given ranks[] = { { Q ".lora_A.weight", { 2, 16 } }, { Q ".lora_B.weight", { 16, 3 } } };
	static const struct given none[] = { { Q ".lora_A.weight", { 0, 16 } }, { Q ".lora_B.weight", { 16, 0 } } };
	static const struct given flat[] = { { Q ".lora_A.weight", { 32, 0 } }, { Q ".lora_B.weight", { 16, 2 } } };
	static const struct given swapped[] = { { E ".lora_embedding_A", { 2, 16 } },
						{ E ".lora_embedding_B", { 48, 2 } } };
	static const struct given place[] = { { Q ".lora_embedding_A", { 2, 16 } },
					      { Q ".lora_embedding_B", { 16, 2 } } };
	static const struct given plain[] = { { Q ".weight", { 16, 15 } } };
	static const struct given twice[] = { { Q ".weight", { 16, 16 } }, { Q ".base_layer.weight", { 16, 16 } } };
	static const struct given norm[] = { { "base_model.model.model.norm.lora_A.weight", { 2, 16 } },
					     { "base_model.model.model.norm.lora_B.weight", { 1, 2 } } };
	static const struct given nobody[] = { { "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight",
						 { 2, 16 } } };
	static const struct given raw[] = { { Q ".lora_A.default.weight", { 2, 16 } } };

	(void)state;
	refuse_tensors(half, 1, "do not belong together");
	refuse_tensors(wide, 2, "does not fit");
	refuse_tensors(ranks, 2, "does not fit");
	refuse_tensors(none, 2, "does not fit");
	refuse_tensors(flat, 2, "does not fit");
	refuse_tensors(swapped, 2, "does not fit");
	refuse_tensors(place, 2, "do not belong together");
	refuse_tensors(plain, 1, "does not fit");
	refuse_tensors(twice, 2, "do not belong together");
	refuse_tensors(norm, 2, "do not belong together");
	refuse_tensors(nobody, 1, "belongs to nothing in this model");
	refuse_tensors(raw, 1, "belongs to nothing in this model");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_load__merges_as_peft_does),
		cmocka_unit_test(test_model_save_adapter__comes_back_as_it_was_merged),
		cmocka_unit_test(test_peft_open__what_is_not_built_is_refused),
		cmocka_unit_test(test_peft_open__what_is_not_there_is_refused),
		cmocka_unit_test(test_peft_merge__tensors_that_do_not_fit),
	};
	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
