/* test_families.c: every family of arch.c against PyTorch: logits, gradients, ten losses, and folders in and out.
 *
 * tests/golden/make_families.py made the folders with transformers. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/families/"

static const char *const families[] = { "llama3", "linear",       "yarn",  "smollm2", "mistral",
					"qwen2",  "qwen2-window", "qwen3", "gpt2" };
static const struct device {
	const char *name;
	double logit, gradient, loss; /* how far off: by itself, of the tensor's largest, of the loss */
} devices[] = {
#ifdef ON_CUDA /* the plugin beside this program: the emulated one, or the card's */
	{ "cuda/f32", 1e-4, 2e-4, 2e-3 },
	{ "cuda/bf16", 0.25, 0.2, 5e-2 },
};
enum { TRAINED = 2 }; /* so many of them train for ten steps */
#else
	{ "cpu", 1e-4, 2e-4, 2e-3 },
	{ "cpu_ref", 1e-4, 2e-4, 2e-3 },
};
enum { TRAINED = 1 };
#endif
static const struct model_load to_train = { .train = true };

struct golden {
	char *dir;
	struct safetensors file;
	const int32_t *ids, *counts, *lengths;
	int n;
};

static const void *array(const struct golden *g, const char *name, size_t *n)
{
	const struct safetensors_entry *e = safetensors_find(&g->file, name);

	assert_non_null(e);
	if (n)
		*n = (size_t)e->count;
	void *copy = malloc((size_t)(e->end - e->begin) + 1);
	assert_non_null(copy);
	memcpy(copy, e->data, (size_t)(e->end - e->begin));
	return copy;
}

static void golden_open(struct golden *g, const char *family)
{
	size_t n = 0;

	g->dir = mem_printf(GOLDEN "%s", family);
	char *path = path_join(g->dir, "golden.safetensors");
	assert_int_equal(safetensors_open(&g->file, path), 0);
	free(path);
	g->lengths = array(g, "lengths", &n);
	g->ids = array(g, "ids", NULL);
	g->counts = array(g, "counts", NULL);
	g->n = (int)n;
}

static void golden_close(struct golden *g)
{
	safetensors_close(&g->file);
	free((void *)(uintptr_t)g->ids);
	free((void *)(uintptr_t)g->counts);
	free((void *)(uintptr_t)g->lengths);
	free(g->dir);
}

/* The golden sequences as a batch; every_row: all rows are wanted, else those that count. Gives how many count. */
static int fill(struct pass *p, const struct golden *g, bool every_row)
{
	int at = 0, counted = 0;

	pass_clear(p);
	for (int s = 0; s < g->n; at += g->lengths[s++]) {
		int row = pass_add(p, g->ids + at, g->lengths[s] - 1);
		for (int i = 1; i < g->lengths[s]; i++) {
			counted += g->counts[at + i];
			if (every_row || g->counts[at + i])
				pass_want(p, row + i - 1, g->ids[at + i]);
		}
	}
	return counted;
}

struct seen {
	float *logits;
	int V;
};

static void keep_logits(struct pass *p, int first, int n, void *arg)
{
	const struct seen *s = arg;

	p->be->download(p->be, s->logits + (size_t)first * (size_t)s->V, p->logits,
			(size_t)n * (size_t)s->V * sizeof(float));
}

static void check_logits(const struct golden *g, struct model *m, double limit)
{
	const struct pass_size size = {
		.tokens = 128, .rows = 128, .seqs = 8, .positions = m->config.context, .drawn = true
	};
	struct seen s = { .V = m->config.vocab_size };
	struct pass p;
	size_t n = 0;
	const float *want = array(g, "logits", &n);

	s.logits = malloc(n * sizeof(float));
	assert_non_null(s.logits);
	assert_int_equal(pass_open(&p, m, &size), 0);
	fill(&p, g, true);
	assert_int_equal(p.n_rows * s.V, n);
	transformer_forward(&p);
	assert_int_equal(transformer_head(&p, keep_logits, &s), 0);
	assert_int_equal(p.be->sync(p.be), 0);
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)s.logits[i] - (double)want[i]) < limit))
			fail_msg("%s on %s: logit %zu is %.7g, PyTorch has %.7g", g->dir, m->be->name, i,
				 (double)s.logits[i], (double)want[i]);
	pass_close(&p);
	free(s.logits);
	free((void *)(uintptr_t)want);
}

static void test_families__logits_as_pytorch(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families) * ARRAY_LEN(devices) * 2; f++) {
		struct golden g;
		struct backend *be;
		struct model *m;
		bool train = f % 2;

		golden_open(&g, families[f / 4]);
		assert_int_equal(backend_open(&be, devices[f / 2 % 2].name, 2), 0);
		if (model_load(&m, g.dir, be, train ? &to_train : NULL))
			fail_msg("%s: %s", g.dir, err_text());
		assert_true((m->params != NULL) == train);
		check_logits(&g, m, devices[f / 2 % 2].logit);
		model_free(m);
		backend_close(be);
		golden_close(&g);
	}
}

static const char *stored_name(const struct golden *g, const struct tensor *t)
{
	char *name = mem_printf("grad.%s", t->name);
	const struct safetensors_entry *e = safetensors_find(&g->file, name);

	if (!e)
		fail_msg("%s: no %s", g->dir, name);
	free(name);
	return e->name;
}

/* Largest difference over the largest gradient of the tensor. */
static void check_gradient(const struct golden *g, const struct tensor *t, const float *got, double limit)
{
	size_t n = 0;
	const float *want = array(g, stored_name(g, t), &n);
	double worst = 0, largest = 1e-6;

	assert_int_equal(n, t->count);
	for (size_t i = 0; i < n; i++) {
		size_t r = i / (size_t)t->cols, c = i % (size_t)t->cols;
		double w = (double)want[t->transposed ? c * (size_t)t->rows + r : i];
		worst = fmax(worst, fabs((double)got[i] - w));
		largest = fmax(largest, fabs(w));
	}
	if (!(worst <= limit * largest))
		fail_msg("%s: gradient of %s is off by %.3g of %.3g", g->dir, t->name, worst, largest);
	free((void *)(uintptr_t)want);
}

static void check_gradients(const char *family, const struct device *device, bool checkpointing)
{
	struct golden g;
	struct backend *be;
	struct model *m;
	struct pass p;
	struct back b;

	golden_open(&g, family);
	assert_int_equal(backend_open(&be, device->name, 2), 0);
	assert_int_equal(model_load(&m, g.dir, be, &to_train), 0);
	const struct pass_size size = { .tokens = 128,
					.rows = 128,
					.seqs = 8,
					.positions = m->config.context,
					.keep = true,
					.checkpointing = checkpointing };
	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&b, &p), 0);
	float *grads = malloc(b.n_grads * sizeof(float));
	assert_non_null(grads);
	memset(grads, 0xff, b.n_grads * sizeof(float)); /* a fresh backward pass clears or overwrites them */
	be->upload(be, b.grads, grads, b.n_grads * sizeof(float));
	int counted = fill(&p, &g, false);
	for (int i = 0; i < p.n_rows; i++)
		p.scales[i] = 1.0f / (float)counted;
	transformer_forward(&p);
	struct pass_answer answer;
	transformer_back(&p, &b, &answer);
	assert_int_equal(pass_wait(&p, answer.mark), 0);
	be->download(be, grads, b.grads, b.n_grads * sizeof(float));
	assert_int_equal(be->sync(be), 0);
	for (size_t i = 0; i < m->n_tensors; i++)
		check_gradient(&g, &m->tensors[i], grads + m->tensors[i].at, device->gradient);
	free(grads);
	back_close(&b, be);
	pass_close(&p);
	model_free(m);
	backend_close(be);
	golden_close(&g);
}

static void test_families__gradients_as_pytorch(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		check_gradients(families[f], &devices[0], false);
		check_gradients(families[f], &devices[0], true);
		check_gradients(families[f], &devices[1], false);
	}
}

/* ---- training ------------------------------------------------------------------------------------------------------ */

static void add_examples(struct train_data *d, const struct golden *g)
{
	for (int s = 0, at = 0; s < g->n; at += g->lengths[s++]) {
		int n = g->lengths[s];
		MEM_GROW(d->examples, d->n, d->cap);
		struct train_example *e = &d->examples[d->n++];
		*e = (struct train_example){ .ids = mem_copy(g->ids + at, (size_t)n * sizeof(int32_t)),
					     .counts = mem_alloc((size_t)n),
					     .n = n };
		for (int i = 0; i < n; i++)
			e->counts[i] = (uint8_t)g->counts[at + i];
	}
}

struct losses {
	double at[10];
	int n;
};

static int on_step(const struct train_step *s, void *arg)
{
	struct losses *l = arg;

	l->at[l->n++] = s->loss;
	return 0;
}

static void test_families__ten_losses_as_pytorch(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families) * TRAINED; f++) {
		const struct device *device = &devices[f % TRAINED];
		struct golden g;
		struct backend *be;
		struct model *m;
		struct train_data data = { 0 };
		struct train_options o;
		struct losses l = { .n = 0 };
		const struct train_hooks hooks = { .step = on_step, .arg = &l };

		golden_open(&g, families[f / TRAINED]);
		assert_int_equal(backend_open(&be, device->name, 2), 0);
		assert_int_equal(model_load(&m, g.dir, be, &to_train), 0);
		add_examples(&data, &g);
		train_options_init(&o);
		o.learning_rate = 0.01;
		o.weight_decay = 0.1;
		o.schedule = "constant";
		o.warmup_steps = 0;
		o.max_steps = 10;
		o.batch_tokens = 53; /* the rows of all three: each step takes them all */
		assert_int_equal(train_run(m, &data, &o, &hooks, NULL), 0);
		const double *want = array(&g, "losses", NULL);
		for (int i = 0; i < 10; i++)
			if (!(fabs(l.at[i] - want[i]) < device->loss * want[i]))
				fail_msg("%s on %s: loss %d is %.6f, PyTorch has %.6f", g.dir, device->name, i, l.at[i],
					 want[i]);
		free((void *)(uintptr_t)want);
		train_data_release(&data);
		model_free(m);
		backend_close(be);
		golden_close(&g);
	}
}

/* ---- operands from their makers ------------------------------------------------------------------------------------- */

#ifdef ON_CUDA /* elsewhere nobody hears what is said */

/* A way through the model, in which other things are said to be for products, or for products alone */
static const struct way {
	const char *name;
	bool frozen, checkpointing;
	const char *targets[3]; /* of LoRA, last names; those a family has */
} ways[] = {
	{ "all weights", false, false, { NULL } },
	{ "checkpointing", false, true, { NULL } },
	{ "scoring", true, false, { NULL } },
	{ "LoRA beside all", true, false, { "all-linear" } },
	{ "LoRA beside attention", true, true, { "q_proj", "c_attn" } },
	{ "LoRA beside one of a gated layer", true, false, { "up_proj", "c_fc" } },
	{ "LoRA behind the activation", true, false, { "down_proj", "mlp.c_proj" } },
};
struct given {
	float *floats;
	double *doubles;
	size_t n_floats, n_doubles;
};

static bool is_lora(const struct way *w)
{
	return w->targets[0] != NULL;
}

/* Factors that are not 0 */
static void fill_factors(struct model *m)
{
	float *host = mem_array(m->lora->n_params, sizeof(*host));

	for (size_t i = 0; i < m->lora->n_params; i++)
		host[i] = (float)((int)(i * 7919 % 199) - 99) / 800;
	m->be->upload(m->be, m->lora->params, host, m->lora->n_params * sizeof(*host));
	free(host);
}

static void add_lora(struct model *m, const struct way *w, bool gpt2)
{
	const char *const targets[] = { w->targets[gpt2 && w->targets[1]], NULL };
	const struct lora_options lora = { .rank = 3, .alpha = 6, .dropout = 0.25, .targets = targets };

	if (model_add_lora(m, &lora, 1))
		fail_msg("%s: %s", w->name, err_text());
	fill_factors(m);
}

/* Scores of all golden sequences, whole and a token at a time, behind a cache as in generation */
static void give_scores(struct given *g, struct model *m, const struct golden *of)
{
	static const int tokens[] = { 0, 1, 5 };
	struct score_request reqs[8];
	struct score_result out[8];

	assert_true(of->n <= 8);
	for (int s = 0, at = 0; s < of->n; at += of->lengths[s++])
		reqs[s] = (struct score_request){ of->ids + at, of->lengths[s], of->lengths[s] - 1 };
	g->doubles = mem_array(ARRAY_LEN(tokens) * 8, sizeof(double));
	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		const struct score_options how = { .batch_tokens = tokens[i] };
		assert_int_equal(score_run(m, reqs, (size_t)of->n, out, &how), 0);
		for (int s = 0; s < of->n; s++)
			g->doubles[g->n_doubles++] = out[s].logprob;
	}
}

/* The gradient of two micro-batches, and log-probabilities of the second. chunk: rows of the head at a time, of some 50; 0: all */
static void give_gradient(struct given *g, struct model *m, const struct golden *of, bool checkpointing, int chunk)
{
	const struct pass_size size = { .tokens = 128,
					.rows = 128,
					.seqs = 8,
					.positions = m->config.context,
					.keep = true,
					.checkpointing = checkpointing };
	struct pass_answer a;
	struct pass p;
	struct back b;

	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&b, &p), 0);
	if (chunk)
		p.chunk = chunk;
	for (int turn = 0; turn < 2; turn++) {
		fill(&p, of, turn == 1);
		p.dropout_key = m->lora ? (uint64_t)turn + 1 : 0;
		transformer_forward(&p);
		transformer_back(&p, &b, &a);
		assert_int_equal(pass_wait(&p, a.mark), 0);
	}
	g->n_floats = b.n_grads;
	g->floats = mem_array(b.n_grads, sizeof(float));
	g->n_doubles = (size_t)a.n;
	g->doubles = mem_copy(a.logprob, g->n_doubles * sizeof(double));
	p.be->download(p.be, g->floats, b.grads, b.n_grads * sizeof(float));
	assert_int_equal(p.be->sync(p.be), 0);
	back_close(&b, p.be);
	pass_close(&p);
}

enum how { PLAIN, SAID, PLAIN_IN_ONE, TILED }; /* the head by few rows, or all rows in one */

static struct given give(const char *family, const struct way *w, enum how how)
{
	struct given g = { NULL, NULL, 0, 0 };
	struct golden of;
	struct backend *be;
	struct model *m;

	golden_open(&of, family);
	assert_int_equal(backend_open(&be, "cuda/bf16", 2), 0);
	assert_true(be->for_products && be->head_tiles);
	if (how == PLAIN || how == PLAIN_IN_ONE)
		be->for_products = NULL;
	if (how != TILED)
		be->head_tiles = NULL;
	assert_int_equal(model_load(&m, of.dir, be, w->frozen ? NULL : &to_train), 0);
	if (is_lora(w))
		add_lora(m, w, !strcmp(family, "gpt2"));
	if (w->frozen && !is_lora(w))
		give_scores(&g, m, &of);
	else
		give_gradient(&g, m, &of, w->checkpointing, how == PLAIN || how == SAID ? 7 : 0);
	model_free(m);
	backend_close(be);
	golden_close(&of);
	return g;
}

static void check_ways(const char *family, enum how a, enum how b)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct given want = give(family, &ways[i], a), got = give(family, &ways[i], b);
		assert_int_equal(got.n_floats, want.n_floats);
		assert_int_equal(got.n_doubles, want.n_doubles);
		if ((want.n_floats && memcmp(got.floats, want.floats, got.n_floats * sizeof(float)) != 0) ||
		    memcmp(got.doubles, want.doubles, got.n_doubles * sizeof(double)) != 0)
			fail_msg("%s, %s: other bits", family, ways[i].name);
		free(want.floats), free(want.doubles);
		free(got.floats), free(got.doubles);
	}
}

/* In the emulation what is left undefined is NaN, so that a reader is seen too. */
static void test_families__operands_from_their_makers_change_no_bit(void **state)
{
	static const char *const some[] = { "smollm2", "qwen2", "qwen3", "gpt2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(some); i++)
		check_ways(some[i], PLAIN, SAID);
}

/* All vocabularies here are below a tile of the head's gradient, whose sums are one chain then, as by rows. */
static void test_families__a_head_by_tiles_changes_no_bit(void **state)
{
	(void)state;
	check_ways("qwen3", PLAIN_IN_ONE, TILED);
	check_ways("gpt2", PLAIN_IN_ONE, TILED); /* tied */
}

/* Operands, the head's weights as bf16 and its tiles too, but for tens of kilobytes of an operation's own. The update's states are not
 * here. The head is wide, so what a plan forgot of it would be seen. */
static void test_families__a_plan_counts_what_a_device_takes(void **state)
{
	enum { T = 64, OWN = 64 << 10 };
	static const struct model_config config = { .architecture = "llama",
						    .vocab_size = 9000,
						    .hidden_size = 256,
						    .intermediate_size = 80,
						    .layers = 1,
						    .heads = 2,
						    .kv_heads = 1,
						    .head_dim = 32,
						    .context = T,
						    .norm_eps = 1e-5f,
						    .rope_theta = 10000,
						    .init_range = 0.05f,
						    .bos_id = -1,
						    .eos_id = -1 };
	const struct model_plan plan = {
		.config = &config, .stored = "F32", .train = true, .full = true, .on_device = true, .micro_tokens = T
	};
	const struct pass_size size = { .tokens = T, .rows = T, .seqs = T, .positions = T, .keep = true };
	struct model_memory planned;
	struct pass_answer a;
	struct backend *be;
	struct model *m;
	struct pass p;
	struct back b;
	size_t before, behind, total;

	(void)state;
	assert_int_equal(model_plan_memory(&planned, &plan), 0);
	assert_int_equal(backend_open(&be, "cuda/bf16", 2), 0);
	assert_int_equal(be->memory(be, &before, &total), 0);
	assert_int_equal(model_init(&m, &config, 1, be), 0);
	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&b, &p), 0);
	pass_clear(&p);
	for (int i = 0; i < T; i++) {
		int32_t id = i * 131 % 9000;
		pass_add(&p, &id, 1);
		pass_want(&p, i, id);
	}
	transformer_forward(&p);
	transformer_back(&p, &b, &a);
	assert_int_equal(pass_wait(&p, a.mark), 0);
	assert_int_equal(be->memory(be, &behind, &total), 0);
	if (before - behind > planned.total - planned.optimizer + OWN)
		fail_msg("planned %llu, used %zu", (unsigned long long)(planned.total - planned.optimizer),
			 before - behind);
	print_message("planned %llu, used %zu\n", (unsigned long long)(planned.total - planned.optimizer),
		      before - behind);
	back_close(&b, be);
	pass_close(&p);
	model_free(m);
	backend_close(be);
}
#endif

/* ---- folders --------------------------------------------------------------------------------------------------------- */

static char *read_file(const char *dir, const char *name, size_t *len)
{
	struct buf b = BUF_INIT(1 << 24);
	char *path = path_join(dir, name);

	assert_int_equal(fs_read(&b, path, 1 << 24), 0);
	free(path);
	*len = b.len;
	return buf_take(&b);
}

/* What a folder holds comes out again: frozen, in the types it is stored in; as bytes, on the second time. */
static void test_families__save_keeps_weights_and_types(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char *dir;

	(void)state;
	assert_int_equal(fs_temp_dir(&dir, tmp ? tmp : "/tmp", "families"), 0);
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		struct golden g;
		struct backend *be;
		struct model *m;
		size_t len[2];
		char *bytes[2], *first = path_join(dir, "a"), *second = path_join(dir, "b");

		golden_open(&g, families[f]);
		assert_int_equal(backend_open(&be, devices[0].name, 2), 0);
		assert_int_equal(model_load(&m, g.dir, be, NULL), 0);
		assert_int_equal(model_save(m, first), 0);
		model_free(m);
		assert_int_equal(model_load(&m, first, be, NULL), 0);
		check_logits(&g, m, devices[0].logit);
		assert_int_equal(model_save(m, second), 0);
		bytes[0] = read_file(first, "model.safetensors", &len[0]);
		bytes[1] = read_file(second, "model.safetensors", &len[1]);
		assert_int_equal(len[0], len[1]);
		assert_memory_equal(bytes[0], bytes[1], len[0]);
		if (!strcmp(families[f],
			    "smollm2")) { /* nothing but the metadata of transformers differs: the same bytes */
			free(bytes[1]);
			bytes[1] = read_file(g.dir, "model.safetensors", &len[1]);
			assert_int_equal(len[0], len[1]);
			assert_memory_equal(bytes[0], bytes[1], len[0]);
		}
		free(bytes[0]);
		free(bytes[1]);
		free(first);
		free(second);
		model_free(m);
		backend_close(be);
		golden_close(&g);
	}
	fs_remove_tree(dir);
	free(dir);
}

/* ---- the table --------------------------------------------------------------------------------------------------------- */

static void test_arch__known_names_are_the_rows(void **state)
{
	struct buf names = BUF_INIT(1024);

	(void)state;
	for (size_t i = 0; arch_at(i); i++) {
		buf_addf(&names, "%s%s", i ? ", " : "", arch_at(i)->model_type);
		assert_ptr_equal(arch_find(arch_at(i)->model_type), arch_at(i));
	}
	assert_string_equal(buf_str(&names), arch_known());
	assert_null(arch_find("bert"));
	buf_release(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families__logits_as_pytorch),
		cmocka_unit_test(test_families__gradients_as_pytorch),
		cmocka_unit_test(test_families__ten_losses_as_pytorch),
#ifdef ON_CUDA
		cmocka_unit_test(test_families__operands_from_their_makers_change_no_bit),
		cmocka_unit_test(test_families__a_head_by_tiles_changes_no_bit),
		cmocka_unit_test(test_families__a_plan_counts_what_a_device_takes),
#endif
		cmocka_unit_test(test_families__save_keeps_weights_and_types),
		cmocka_unit_test(test_arch__known_names_are_the_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
