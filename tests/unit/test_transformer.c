/* test_transformer.c: the arithmetic against PyTorch and against finite differences; folders in and out.
 *
 * tests/golden/make_llama.py made the golden files; the finite differences need nothing but the forward pass. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/llama"

static char *dir;
static struct backend *be;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	if (backend_open(&be, "cpu_ref", 1))
		return -1;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "transformer");
}

static int tear_down(void **state)
{
	(void)state;
	backend_close(be);
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

static struct model_config tiny(bool tied)
{
	struct model_config c = { .architecture = "llama",
				  .vocab_size = 19,
				  .hidden_size = 8,
				  .intermediate_size = 12,
				  .layers = 2,
				  .heads = 4,
				  .kv_heads = 2,
				  .head_dim = 4,
				  .context = 16,
				  .norm_eps = 1e-5f,
				  .rope_theta = 100,
				  .init_range = 0.3f,
				  .tied = tied,
				  .bos_id = -1,
				  .eos_id = 0 };
	return c;
}

/* ---- golden ------------------------------------------------------------------------------------------------------ */

struct golden {
	json_t *json;
	struct safetensors tensors;
};

static void golden_open(struct golden *g)
{
	assert_int_equal(json_read(&g->json, GOLDEN "/golden.json", 1 << 20), 0);
	assert_int_equal(safetensors_open(&g->tensors, GOLDEN "/golden.safetensors"), 0);
}

static void golden_close(struct golden *g)
{
	json_decref(g->json);
	safetensors_close(&g->tensors);
}

/* Fills the pass with the golden sequences; returns how many tokens count. */
static int golden_batch(const struct golden *g, struct pass *p, bool every_row)
{
	const json_t *seqs = json_object_get(g->json, "seqs"), *counts = json_object_get(g->json, "counts");

	pass_clear(p);
	for (size_t s = 0; s < json_array_size(seqs); s++) {
		const json_t *ids = json_array_get(seqs, s), *mask = json_array_get(counts, s);
		int n = (int)json_array_size(ids);
		int32_t x[64];
		for (int i = 0; i < n; i++)
			x[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
		int row = pass_add(p, x, n - 1);
		for (int i = 1; i < n; i++)
			if (every_row || json_integer_value(json_array_get(mask, (size_t)i)))
				pass_want(p, row + i - 1, x[i]);
	}
	return p->n_rows;
}

static double worst(const float *a, const float *b, size_t n)
{
	double max = 0;

	for (size_t i = 0; i < n; i++)
		max = fmax(max, fabs((double)a[i] - (double)b[i]));
	return max;
}

static void keep_logits(struct pass *p, int first, int n, void *arg)
{
	size_t V = (size_t)p->m->config.vocab_size;

	p->be->download(p->be, (float *)arg + (size_t)first * V, p->logits, (size_t)n * V * sizeof(float));
}

static void check_logits(const char *spec)
{
	struct backend *b;
	struct golden g;
	struct model *m;
	struct pass p;
	const struct pass_size size = { .tokens = 64, .rows = 64, .seqs = 4, .positions = 24, .drawn = true };

	assert_int_equal(backend_open(&b, spec, 2), 0);
	golden_open(&g);
	assert_int_equal(model_load(&m, GOLDEN, b, &(struct model_load){ .train = true }), 0);
	assert_int_equal(pass_open(&p, m, &size), 0);
	int rows = golden_batch(&g, &p, true);
	const struct safetensors_entry *e = safetensors_find(&g.tensors, "logits");
	assert_int_equal(e->dims[0], rows);
	float *want = mem_array(e->count, sizeof(float)), *got = mem_array(e->count, sizeof(float));
	assert_int_equal(safetensors_floats(&g.tensors, e, want), 0);
	transformer_forward(&p);
	assert_int_equal(transformer_head(&p, keep_logits, got), 0);
	double error = worst(got, want, e->count);
	if (!(error <= 1e-4))
		fail_msg("%s: logits differ by %g", spec, error);
	free(want);
	free(got);
	pass_close(&p);
	model_free(m);
	golden_close(&g);
	backend_close(b);
}

static void test_transformer_forward__logits_as_pytorch(void **state)
{
	(void)state;
	check_logits("cpu_ref");
	check_logits("cpu");
}

static void check_gradients(const char *spec)
{
	struct backend *b;
	struct golden g;
	struct model *m;
	struct pass p;
	struct back back;
	const struct pass_size size = { .tokens = 64, .rows = 64, .seqs = 4, .positions = 24, .keep = true };
	double nll = 0;

	assert_int_equal(backend_open(&b, spec, 2), 0);
	golden_open(&g);
	assert_int_equal(model_load(&m, GOLDEN, b, &(struct model_load){ .train = true }), 0);
	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&back, &p), 0);
	int n = golden_batch(&g, &p, false);
	assert_int_equal(n, json_get_int(g.json, "counted", -1));
	for (int i = 0; i < p.n_rows; i++)
		p.scales[i] = 1.0f / (float)p.n_rows;
	transformer_forward(&p);
	struct pass_answer answer;
	transformer_back(&p, &back, &answer);
	assert_int_equal(pass_wait(&p, answer.mark), 0);
	for (int i = 0; i < n; i++)
		nll -= p.logprob[i];
	assert_true(fabs(nll / n - json_get_real(g.json, "loss", -1)) < 1e-6);
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		char *name = mem_printf("grad.%s", t->name);
		const struct safetensors_entry *e = safetensors_find(&g.tensors, name);
		assert_non_null(e);
		assert_int_equal(e->count, t->count);
		float *want = mem_array(t->count, sizeof(float)), *got = mem_array(t->count, sizeof(float));
		assert_int_equal(safetensors_floats(&g.tensors, e, want), 0);
		b->download(b, got, back.grads + t->at, t->count * sizeof(float));
		float *zero = mem_array(t->count, sizeof(float));
		double error = worst(got, want, t->count), largest = worst(want, zero, t->count);
		free(zero);
		if (!(error <= 1e-6 + 1e-5 * largest))
			fail_msg("%s: %s differs by %g", spec, name, error);
		free(want);
		free(got);
		free(name);
	}
	assert_true(fabs(sqrt(b->sumsq(b, back.grads, m->n_params)) - json_get_real(g.json, "grad_norm", -1)) < 1e-5);
	back_close(&back, b);
	pass_close(&p);
	model_free(m);
	golden_close(&g);
	backend_close(b);
}

static void test_transformer_back__gradients_as_pytorch(void **state)
{
	(void)state;
	check_gradients("cpu_ref");
	check_gradients("cpu");
}

/* ---- finite differences ------------------------------------------------------------------------------------------ */

static void fill_batch(struct pass *p)
{
	static const int32_t a[] = { 3, 14, 15, 9, 2, 6, 5 }, b[] = { 18, 1 }, c[] = { 7, 7, 7, 11, 0 };

	pass_clear(p);
	int row = pass_add(p, a, 6);
	for (int i = 1; i < 7; i++)
		if (i != 3)
			pass_want(p, row + i - 1, a[i]);
	row = pass_add(p, b, 1);
	pass_want(p, row, b[1]);
	row = pass_add(p, c, 4);
	pass_want(p, row + 3, c[4]);
}

static double loss_of(struct pass *p)
{
	double nll = 0;

	fill_batch(p);
	transformer_forward(p);
	assert_int_equal(transformer_head(p, NULL, NULL), 0);
	for (int i = 0; i < p->n_rows; i++)
		nll -= p->logprob[i];
	return nll / p->n_rows;
}

/* Along a random direction in each tensor: (loss(w + h d) - loss(w - h d)) / 2h against the gradient times d. One
 * element at a time would drown in the rounding of the loss; a direction has the whole tensor's gradient in it. */
static void check_differences(bool tied)
{
	const struct model_config c = tiny(tied);
	const struct pass_size size = { .tokens = 16, .rows = 16, .seqs = 4, .positions = 16, .keep = true };
	struct model *m;
	struct pass p;
	struct back back;
	struct rng r;

	assert_int_equal(model_init(&m, &c, 5, be), 0);
	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&back, &p), 0);
	fill_batch(&p);
	for (int i = 0; i < p.n_rows; i++)
		p.scales[i] = 1.0f / (float)p.n_rows;
	transformer_forward(&p);
	struct pass_answer answer;
	transformer_back(&p, &back, &answer);
	assert_int_equal(pass_wait(&p, answer.mark), 0);
	rng_seed(&r, 1, 0);
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		float *w = m->params + t->at, *keep = mem_copy(w, t->count * sizeof(float));
		const float h = 2e-3f;
		double slope = 0, up, down;
		float *d = mem_array(t->count, sizeof(float));
		for (size_t j = 0; j < t->count; j++) {
			d[j] = rng_uniform(&r) < 0.5 ? -1.0f : 1.0f;
			slope += (double)d[j] * (double)back.grads[t->at + j];
		}
		for (size_t j = 0; j < t->count; j++)
			w[j] = keep[j] + h * d[j];
		up = loss_of(&p);
		for (size_t j = 0; j < t->count; j++)
			w[j] = keep[j] - h * d[j];
		down = loss_of(&p);
		memcpy(w, keep, t->count * sizeof(float));
		double measured = (up - down) / (2 * (double)h);
		if (!(fabs(measured - slope) <= 2e-3 + 0.01 * fabs(slope)))
			fail_msg("%s: slope %g, measured %g", t->name, slope, measured);
		free(keep);
		free(d);
	}
	back_close(&back, be);
	pass_close(&p);
	model_free(m);
}

static void test_transformer_back__finite_differences(void **state)
{
	(void)state;
	check_differences(false);
	check_differences(true);
}

/* A row's result must not depend on what stands beside it. */
static void test_transformer_forward__packing_changes_no_bit(void **state)
{
	static const int32_t a[] = { 3, 14, 15, 9, 2, 6 };
	const struct model_config c = tiny(true);
	const struct pass_size size = { .tokens = 64, .rows = 64, .seqs = 8, .positions = 16 };
	double alone[5];

	(void)state;
	for (int fast = 0; fast < 2; fast++) {
		struct backend *b;
		struct model *m;
		struct pass p;
		assert_int_equal(backend_open(&b, fast ? "cpu" : "cpu_ref", 2), 0);
		assert_int_equal(model_init(&m, &c, 5, b), 0);
		assert_int_equal(pass_open(&p, m, &size), 0);
		for (int company = 0; company < 5; company++) {
			pass_clear(&p);
			for (int i = 0; i < company; i++)
				pass_add(&p, a, 1 + i);
			int row = pass_add(&p, a, 5);
			for (int i = 0; i < 5; i++)
				pass_want(&p, row + i, a[i + 1]);
			if (company > 2)
				pass_add(&p, a + 1, 4);
			transformer_forward(&p);
			assert_int_equal(transformer_head(&p, NULL, NULL), 0);
			if (!company)
				memcpy(alone, p.logprob, sizeof(alone));
			else
				assert_memory_equal(alone, p.logprob, sizeof(alone));
		}
		pass_close(&p);
		model_free(m);
		backend_close(b);
	}
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static void test_model_init__by_seed_alone(void **state)
{
	struct model_config c = tiny(false), deep = tiny(false);
	struct model *a, *b, *d, *e;
	double sum = 0, sq = 0;

	(void)state;
	deep.layers = 3;
	assert_int_equal(model_init(&a, &c, 1, be), 0);
	assert_int_equal(model_init(&b, &c, 1, be), 0);
	assert_int_equal(model_init(&d, &c, 2, be), 0);
	assert_int_equal(model_init(&e, &deep, 1, be), 0);
	assert_memory_equal(a->params, b->params, a->n_params * sizeof(float));
	assert_memory_not_equal(a->params, d->params, a->n_params * sizeof(float));
	/* another layer behind it does not change a tensor */
	assert_memory_equal(a->params + a->layers[1].o.at, e->params + e->layers[1].o.at, 16 * 8 * sizeof(float));
	for (size_t i = 0; i < a->n_decayed; i++) {
		sum += (double)a->params[i];
		sq += (double)a->params[i] * (double)a->params[i];
	}
	double n = (double)a->n_decayed;
	assert_true(fabs(sum / n) < 4 * 0.3 / sqrt(n));
	assert_true(fabs(sq / n / 0.09 - 1) < 4 * sqrt(2 / n));
	for (size_t i = a->n_decayed; i < a->n_params; i++)
		assert_true(a->params[i] > 0.999f && a->params[i] < 1.001f);
	assert_int_equal(model_config_params(&c), a->n_params);
	assert_int_equal(model_config(a)->vocab_size, 19);
	model_free(a);
	model_free(b);
	model_free(d);
	model_free(e);
}

static void read_both(const char *a, const char *b, const char *name, bool same)
{
	char *x = path_join(a, name), *y = path_join(b, name);
	struct buf p = BUF_INIT(1 << 20), q = BUF_INIT(1 << 20);

	assert_int_equal(fs_read(&p, x, 1 << 20), 0);
	assert_int_equal(fs_read(&q, y, 1 << 20), 0);
	assert_true((p.len == q.len && !memcmp(p.data, q.data, p.len)) == same);
	free(x);
	free(y);
	buf_release(&p);
	buf_release(&q);
}

static void test_model_save__same_bytes_and_loads_again(void **state)
{
	char *a = path_join(dir, "a"), *b = path_join(dir, "b");
	struct model *m, *again;

	(void)state;
	for (int tied = 0; tied < 2; tied++) {
		struct model_config c = tiny(tied);
		assert_int_equal(model_init(&m, &c, 3, be), 0);
		assert_int_equal(model_save(m, a), 0);
		assert_int_equal(model_load(&again, a, be, &(struct model_load){ .train = true }), 0);
		assert_int_equal(again->config.tied, tied);
		assert_memory_equal(again->params, m->params, m->n_params * sizeof(float));
		assert_int_equal(model_save(again, b), 0);
		read_both(a, b, "model.safetensors", true);
		read_both(a, b, "config.json", true);
		read_both(a, b, "generation_config.json", true);
		model_free(m);
		model_free(again);
	}
	/* the reference writer's own file comes out again, byte for byte */
	assert_int_equal(model_load(&m, GOLDEN, be, &(struct model_load){ .train = true }), 0);
	assert_int_equal(model_save(m, a), 0);
	read_both(a, GOLDEN, "model.safetensors", true);
	model_free(m);
	free(a);
	free(b);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static int parse(const char *text, struct model_config *c)
{
	json_t *j;

	assert_int_equal(json_parse(&j, text, strlen(text), "config.json"), 0);
	int rc = model_config_parse(c, j, "config.json");
	json_decref(j);
	return rc;
}

#define OK                                                                                                             \
	"\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":8,\"intermediate_size\":8,\"num_hidden_layers\":"  \
	"1,\"num_attention_heads\":2"

static void refuse_config(const char *text, const char *why)
{
	struct model_config c;

	assert_int_equal(parse(text, &c), ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	assert_non_null(err_fix());
}

static void test_model_config_parse__defaults_and_ropes(void **state)
{
	struct model_config c;

	(void)state;
	assert_int_equal(parse("{" OK "}", &c), 0);
	assert_int_equal(c.kv_heads, 2);
	assert_int_equal(c.head_dim, 4);
	assert_int_equal(c.context, 2048);
	assert_int_equal(c.bos_id, 1);
	assert_int_equal(c.eos_id, 2);
	assert_false(c.tied);
	assert_true(c.rope_theta > 9999 && c.rope_theta < 10001);
	assert_int_equal(parse("{" OK ",\"rope_theta\":500,\"rope_scaling\":null,\"head_dim\":6,\"eos_token_id\":[7,9],"
			       "\"bos_token_id\":null,\"unknown\":1}",
			       &c),
			 0);
	assert_true(c.rope_theta > 499 && c.rope_theta < 501);
	assert_int_equal(c.head_dim, 6);
	assert_int_equal(c.eos_id, 7);
	assert_int_equal(c.bos_id, -1);
	assert_int_equal(parse("{" OK
			       ",\"rope_theta\":5,\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":700}}",
			       &c),
			 0);
	assert_true(c.rope_theta > 699 && c.rope_theta < 701);
	assert_int_equal(parse("{" OK ",\"rope_scaling\":{\"type\":\"default\"},\"rope_theta\":20,\"rope_parameters\":{"
			       "\"rope_theta\":7}}",
			       &c),
			 0);
	assert_true(c.rope_theta > 19 && c.rope_theta < 21);
}

static void test_model_config_parse__refuses_by_name(void **state)
{
	(void)state;
	refuse_config("[]", "expected an object");
	refuse_config("{\"vocab_size\":3}", "model_type is missing");
	refuse_config("{\"model_type\":\"gpt_neox\"}", "\"gpt_neox\" is not supported");
	refuse_config("{" OK ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"factor\":4}}", "\"longrope\"");
	refuse_config("{" OK ",\"rope_parameters\":{\"rope_type\":\"dynamic\"}}",
		      "rope_parameters: rope_type \"dynamic\"");
	refuse_config("{" OK ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"low_freq_factor\":4}}", "high_freq_factor");
	refuse_config("{" OK ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":0}}", "factor must be above 0");
	refuse_config("{" OK ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}}",
		      "per layer type");
	refuse_config("{" OK ",\"sliding_window\":4096}", "sliding_window is not supported");
	refuse_config("{" OK ",\"attention_bias\":1}", "attention_bias");
	refuse_config("{" OK ",\"mlp_bias\":\"no\"}", "mlp_bias");
	refuse_config("{\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"num_hidden_layers\":2,\"layer_types\":["
		      "\"sliding_attention\",\"full_attention\"]}",
		      "layer_types[1]");
	refuse_config("{\"model_type\":\"gpt2\",\"activation_function\":\"relu\"}", "activation_function: \"relu\"");
	refuse_config("{\"model_type\":\"gpt2\",\"scale_attn_by_inverse_layer_idx\":true}", "inverse_layer_idx");
	refuse_config("{" OK ",\"hidden_act\":\"gelu\"}", "hidden_act: \"gelu\"");
	refuse_config("{" OK ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor");
	refuse_config("{" OK ",\"quantization_config\":{\"bits\":4}}", "quantization_config");
	refuse_config("{" OK ",\"num_key_value_heads\":3}", "not a multiple");
	refuse_config("{" OK ",\"head_dim\":3}", "odd");
	refuse_config("{\"model_type\":\"llama\",\"num_hidden_layers\":\"two\"}", "whole number");
	refuse_config("{\"model_type\":\"llama\",\"vocab_size\":0}", "vocab_size: 0");
	refuse_config("{\"model_type\":\"llama\",\"hidden_size\":100000000}", "hidden_size");
	refuse_config("{\"model_type\":\"llama\",\"vocab_size\":16777216,\"hidden_size\":65536,\"head_dim\":64}",
		      "2^40");
	refuse_config("{" OK ",\"rms_norm_eps\":\"x\"}", "rms_norm_eps");
	refuse_config("{" OK ",\"rope_theta\":0}", "rope_theta");
	refuse_config("{" OK ",\"rope_scaling\":{\"rope_type\":7,\"factor\":4}}", "rope_type: expected a name");
	refuse_config("{" OK ",\"rope_scaling\":{\"type\":null,\"factor\":4}}", "rope_type: expected a name");
	refuse_config("{" OK ",\"rope_theta\":0.5}", "rope_theta: 0.5 is below 1");
	refuse_config("{" OK ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":1e-41}}", "is no finite number");
	refuse_config("{" OK ",\"rope_theta\":1,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}}",
		      "rope_scaling: with rope_theta 1, frequency 0 of 2 is no finite number");
	refuse_config("{" OK ",\"rope_parameters\":{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":0}}",
		      "rope_parameters: with rope_theta 10000");
	refuse_config("{\"model_type\":\"gpt2\",\"n_embd\":4096,\"n_head\":2}", "make heads of 2048");
	refuse_config("{\"model_type\":\"gpt2\",\"n_embd\":1,\"n_head\":2}", "make heads of 0");
	refuse_config("{" OK ",\"max_position_embeddings\":1152921504606846976}",
		      "max_position_embeddings: 1152921504606846976");
	refuse_config("{" OK ",\"num_key_value_heads\":-1}", "num_key_value_heads: -1");
	refuse_config("{" OK ",\"eos_token_id\":32}", "outside the vocabulary");
	refuse_config("{" OK ",\"max_position_embeddings\":null}", "max_position_embeddings: expected a whole number");
	refuse_config("{" OK ",\"architectures\":[\"LlamaForSequenceClassification\"]}",
		      "architectures: LlamaForSequenceClassification is not a causal language model");
	refuse_config("{" OK ",\"tie_word_embeddings\":1}", "tie_word_embeddings");
}

static void put(const char *in, const char *name, const char *text)
{
	char *path = path_join(in, name);

	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	free(path);
}

static void refuse_folder(const char *in, const char *why)
{
	struct model *m = NULL;

	assert_int_equal(model_load(&m, in, be, &(struct model_load){ .train = true }), ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
}

static const void *zeros(size_t i, void *arg)
{
	(void)i;
	return arg;
}

/* The folder of a tiny model with one tensor dropped, renamed or misshapen. */
static void write_folder(const char *in, const char *drop, const char *add, bool misshape)
{
	struct model_config c = tiny(true);
	struct safetensors_out list[64];
	static float zero[1024];
	struct model *m;
	size_t n = 0;

	assert_int_equal(model_init(&m, &c, 3, be), 0);
	assert_int_equal(model_save(m, in), 0);
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		if (drop && !strcmp(drop, t->name))
			continue;
		list[n++] = (struct safetensors_out){ t->name, t->n_dims, { t->dims[0], t->dims[1] }, NULL };
	}
	if (misshape) {
		list[0].dims[0] = c.hidden_size;
		list[0].dims[1] = c.vocab_size;
	}
	if (add)
		list[n++] = (struct safetensors_out){ add, 2, { c.vocab_size, c.hidden_size }, NULL };
	char *path = path_join(in, "model.safetensors");
	assert_int_equal(safetensors_write(path, list, n, "format", "pt", zeros, zero), 0);
	free(path);
	model_free(m);
}

static void test_model_load__refuses_folders(void **state)
{
	char *in = path_join(dir, "bad");
	struct model *m;

	(void)state;
	assert_int_equal(fs_mkdirs(in), 0);
	refuse_folder(in, "no config.json");
	put(in, "config.json", "{" OK "}");
	refuse_folder(in, "no model.safetensors");
	put(in, "pytorch_model.bin", "\x80\x02");
	refuse_folder(in, "pickle");
	assert_non_null(strstr(err_fix(), "save_pretrained"));
	put(in, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../x.safetensors\"}}");
	refuse_folder(in, "no safetensors file beside it");
	put(in, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"b.safetensors\"}}");
	refuse_folder(in, "b.safetensors, which is not there");
	put(in, "model.safetensors.index.json", "{}");
	refuse_folder(in, "weight_map");

	write_folder(in, "model.layers.1.mlp.up_proj.weight", NULL, false);
	refuse_folder(in, "\"model.layers.1.mlp.up_proj.weight\" is missing");
	write_folder(in, NULL, "model.layers.2.mlp.up_proj.weight", false);
	refuse_folder(in, "is not part of a llama model");
	write_folder(in, NULL, NULL, true);
	refuse_folder(in, "has shape [8,19], but config.json makes it [19,8]");
	write_folder(in, NULL, "lm_head.weight", false); /* tied, and the same zeros: fine */
	assert_int_equal(model_load(&m, in, be, &(struct model_load){ .train = true }), 0);
	model_free(m);
	write_folder(in, NULL, "model.rotary_emb.inv_freq", false); /* a buffer: computed anew */
	assert_int_equal(model_load(&m, in, be, &(struct model_load){ .train = true }), 0);
	model_free(m);
	/* a config that claims a terabyte is refused by what the file has, before memory is asked for */
	put(in, "config.json",
	    "{\"model_type\":\"llama\",\"vocab_size\":16000000,\"hidden_size\":16384,"
	    "\"num_hidden_layers\":2,\"num_attention_heads\":64}");
	refuse_folder(in, "but config.json makes it [16000000,16384]");
	put(in, "config.json", "{");
	refuse_folder(in, "config.json");
	free(in);
}

/* Two shards and their index give what the single file gives. */
static void test_model_load__shards(void **state)
{
	struct safetensors one;
	char *in = path_join(dir, "shards"), *path;
	struct safetensors_out list[64];
	static float x[8192];
	json_t *index = json_pack("{s{}}", "weight_map"), *map = json_object_get(index, "weight_map");
	struct buf text = BUF_INIT(1 << 20);
	struct model *a, *b;

	(void)state;
	assert_int_equal(fs_mkdirs(in), 0);
	path = path_join(in, "config.json");
	assert_int_equal(fs_copy(GOLDEN "/config.json", path), 0);
	free(path);
	assert_int_equal(safetensors_open(&one, GOLDEN "/model.safetensors"), 0);
	for (int half = 0; half < 2; half++) {
		const char *name = half ? "model-00002-of-00002.safetensors" : "model-00001-of-00002.safetensors";
		size_t n = 0;
		/* one tensor a file would be enough to show it; halves are what writers make */
		for (size_t i = 0; i < one.n; i++) {
			if ((i >= one.n / 2) != half)
				continue;
			const struct safetensors_entry *e = &one.entries[i];
			list[n++] = (struct safetensors_out){ e->name,
							      e->n_dims,
							      { (int64_t)e->dims[0],
								e->n_dims > 1 ? (int64_t)e->dims[1] : 0 },
							      NULL };
			json_object_set_new(map, e->name, json_string(name));
		}
		path = path_join(in, name);
		assert_int_equal(safetensors_write(path, list, n, "format", "pt", zeros, x), 0);
		/* the data, put behind the header as it was */
		struct buf file = BUF_INIT(1 << 20);
		assert_int_equal(fs_read(&file, path, 1 << 20), 0);
		const struct safetensors_entry *first = &one.entries[half ? one.n / 2 : 0];
		const struct safetensors_entry *last = &one.entries[half ? one.n - 1 : one.n / 2 - 1];
		size_t bytes = (size_t)(last->end - first->begin);
		memcpy(file.data + file.len - bytes, first->data, bytes);
		assert_int_equal(fs_write(path, file.data, file.len), 0);
		buf_release(&file);
		free(path);
	}
	json_add(&text, index);
	put(in, "model.safetensors.index.json", buf_str(&text));
	assert_int_equal(model_load(&a, GOLDEN, be, &(struct model_load){ .train = true }), 0);
	assert_int_equal(model_load(&b, in, be, &(struct model_load){ .train = true }), 0);
	assert_memory_equal(a->params, b->params, a->n_params * sizeof(float));
	model_free(a);
	model_free(b);
	buf_release(&text);
	json_decref(index);
	safetensors_close(&one);
	free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transformer_forward__logits_as_pytorch),
		cmocka_unit_test(test_transformer_back__gradients_as_pytorch),
		cmocka_unit_test(test_transformer_back__finite_differences),
		cmocka_unit_test(test_transformer_forward__packing_changes_no_bit),
		cmocka_unit_test(test_model_init__by_seed_alone),
		cmocka_unit_test(test_model_save__same_bytes_and_loads_again),
		cmocka_unit_test(test_model_config_parse__defaults_and_ropes),
		cmocka_unit_test(test_model_config_parse__refuses_by_name),
		cmocka_unit_test(test_model_load__refuses_folders),
		cmocka_unit_test(test_model_load__shards),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
