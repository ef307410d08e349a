/* test_train_golden.c: LoRA against PEFT, preferences (DPO) against PyTorch: gradients, ten losses, ten norms.
 *
 * tests/golden/make_train.py made the values, on folders of make_families.py. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/"
#define STEPS 10

/* ---- files of values --------------------------------------------------------------------------------------------- */

static void *array(const struct safetensors *f, const char *name, size_t *n)
{
	const struct safetensors_entry *e = safetensors_find(f, name);

	if (!e)
		fail_msg("%s has no %s", f->path, name);
	if (n)
		*n = (size_t)e->count;
	return mem_copy(e->data, (size_t)(e->end - e->begin));
}

static void open_values(struct safetensors *f, const char *kind, const char *family)
{
	char *path = mem_printf(GOLDEN "train/%s-%s.safetensors", kind, family);

	assert_int_equal(safetensors_open(f, path), 0);
	free(path);
}

static struct model *load(struct backend *be, const char *family, bool train)
{
	char *dir = mem_printf(GOLDEN "families/%s", family);
	const struct model_load how = { .train = train };
	struct model *m;

	assert_int_equal(model_load(&m, dir, be, &how), 0);
	free(dir);
	return m;
}

/* The sequences of a file as examples; pairs: each second one is a rejected answer. */
static void add_examples(struct train_data *d, const struct safetensors *f, bool pairs)
{
	size_t n = 0;
	int32_t *lengths = array(f, "lengths", &n), *ids = array(f, "ids", NULL), *counts = array(f, "counts", NULL);

	for (size_t s = 0, at = 0; s < n; at += (size_t)lengths[s++]) {
		size_t len = (size_t)lengths[s];
		MEM_GROW(d->examples, d->n, d->cap);
		struct train_example *e = &d->examples[d->n++];
		*e = (struct train_example){ .ids = mem_copy(ids + at, len * sizeof(*ids)),
					     .counts = mem_alloc(len),
					     .n = lengths[s],
					     .pair = pairs && s % 2 == 0 };
		for (size_t i = 0; i < len; i++)
			e->counts[i] = (uint8_t)counts[at + i];
	}
	free(lengths);
	free(ids);
	free(counts);
}

/* ---- factors ----------------------------------------------------------------------------------------------------- */

/* Name of a factor of part i as PEFT writes it. */
static char *factor_name(const struct model *m, size_t i, const char *before, char which)
{
	const struct lora_part *p = &m->lora->parts[i];
	const struct tensor *t = m->tensors;

	while (t->role != p->role || t->layer != p->layer || t->bias)
		t++;
	return mem_printf("%sbase_model.model.%.*s.lora_%c.weight", before, (int)(strlen(t->name) - strlen(".weight")),
			  t->name, which);
}

/* Calls each(m, name's values, place among the factors, how many). */
static void each_factor(struct model *m, const struct safetensors *f, const char *before,
			void (*each)(struct model *m, const char *name, const float *values, size_t at, size_t n,
				     void *arg),
			void *arg)
{
	for (size_t i = 0; i < 2 * m->lora->n; i++) {
		const struct lora_part *p = &m->lora->parts[i / 2];
		char *name = factor_name(m, i / 2, before, i % 2 ? 'B' : 'A');
		size_t n = 0;
		float *values = array(f, name, &n);
		assert_int_equal(n, m->lora->rank * (i % 2 ? p->N : p->K));
		each(m, name, values, i % 2 ? p->b : p->a, n, arg);
		free(values);
		free(name);
	}
}

static void put_factor(struct model *m, const char *name, const float *values, size_t at, size_t n, void *arg)
{
	(void)name;
	(void)arg;
	m->be->upload(m->be, m->lora->params + at, values, n * sizeof(float));
}

static struct model *load_lora(struct backend *be, const char *family, const struct safetensors *f)
{
	static const char *const all[] = { "all-linear", NULL };
	const struct lora_options o = { .rank = 3, .alpha = 6, .targets = all };
	struct model *m = load(be, family, false);

	assert_int_equal(model_add_lora(m, &o, 1), 0);
	each_factor(m, f, "", put_factor, NULL);
	return m;
}

/* ---- gradients of the factors ------------------------------------------------------------------------------------ */

static void check_factor(struct model *m, const char *name, const float *want, size_t at, size_t n, void *arg)
{
	const struct back *b = arg;
	float *got = mem_array(n, sizeof(*got));

	m->be->download(m->be, got, b->grads + at, n * sizeof(float));
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)got[i] - (double)want[i]) < 2e-5 + 1e-4 * fabs((double)want[i])))
			fail_msg("%s on %s: %zu is %.7g, PEFT has %.7g", name, m->be->name, i, (double)got[i],
				 (double)want[i]);
	free(got);
}

static void check_gradients(const char *spec, const char *family, bool checkpointing)
{
	char *path = mem_printf(GOLDEN "families/%s/golden.safetensors", family);
	struct safetensors values, seqs;
	struct train_data data = { 0 };
	struct backend *be;
	struct pass p;
	struct back b;

	assert_int_equal(backend_open(&be, spec, 2), 0);
	open_values(&values, "lora", family);
	assert_int_equal(safetensors_open(&seqs, path), 0);
	struct model *m = load_lora(be, family, &values);
	const struct pass_size size = { .tokens = 64,
					.rows = 64,
					.seqs = 8,
					.positions = m->config.context,
					.keep = true,
					.checkpointing = checkpointing };
	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&b, &p), 0);
	add_examples(&data, &seqs, false);
	pass_clear(&p);
	for (size_t e = 0; e < data.n; e++) {
		int row = pass_add(&p, data.examples[e].ids, data.examples[e].n - 1);
		for (int i = 1; i < data.examples[e].n; i++)
			if (data.examples[e].counts[i])
				pass_want(&p, row + i - 1, data.examples[e].ids[i]);
	}
	for (int i = 0; i < p.n_rows; i++)
		p.scales[i] = 1.0f / (float)p.n_rows;
	transformer_forward(&p);
	struct pass_answer answer;
	transformer_back(&p, &b, &answer);
	assert_int_equal(pass_wait(&p, answer.mark), 0);
	each_factor(m, &values, "grad.", check_factor, &b);
	train_data_release(&data);
	back_close(&b, be);
	pass_close(&p);
	model_free(m);
	backend_close(be);
	safetensors_close(&values);
	safetensors_close(&seqs);
	free(path);
}

static const char *const adapted[] = { "llama3", "smollm2", "gpt2" }; /* f32, bf16, f32 stored the other way round */

static void test_lora__gradients_as_peft(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(adapted); f++) {
		check_gradients("cpu_ref", adapted[f], false);
		check_gradients("cpu", adapted[f], false);
		check_gradients("cpu", adapted[f], true);
	}
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

static double loss_now(struct pass *p)
{
	double loss = 0;

	transformer_forward(p);
	assert_int_equal(transformer_head(p, NULL, NULL), 0);
	for (int i = 0; i < p->n_rows; i++)
		loss -= p->logprob[i] / p->n_rows;
	return loss;
}

/* Moves all factors by `by` times the direction. */
static void move(struct model *m, const float *from, const float *direction, float by)
{
	float *to = mem_array(m->lora->n_params, sizeof(*to));

	for (size_t i = 0; i < m->lora->n_params; i++)
		to[i] = from[i] + by * direction[i];
	m->be->upload(m->be, m->lora->params, to, m->lora->n_params * sizeof(float));
	free(to);
}

/* With the masks of one key, the gradient is the slope: along itself, by differences, and the masks do something. */
static void check_dropout(const char *spec, const char *family)
{
	struct safetensors values;
	struct backend *be;
	struct pass p;
	struct back b;
	struct rng r;

	assert_int_equal(backend_open(&be, spec, 2), 0);
	open_values(&values, "lora", family);
	struct model *m = load_lora(be, family, &values);
	size_t n = m->lora->n_params;
	const struct pass_size size = { .tokens = 30, .rows = 30, .seqs = 2, .positions = 30, .keep = true };
	float *at = mem_array(n, sizeof(*at)), *slope = mem_array(n, sizeof(*slope));
	m->lora->dropout = 0.3f;
	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&b, &p), 0);
	rng_seed(&r, 3, 0);
	int32_t ids[31];
	for (int i = 0; i < 31; i++)
		ids[i] = (int32_t)rng_below(&r, 48);
	pass_clear(&p);
	pass_add(&p, ids, 30);
	for (int i = 0; i < 30; i++)
		p.scales[pass_want(&p, i, ids[i + 1])] = 1.0f / 30;
	double plain = loss_now(&p);
	p.dropout_key = 12345;
	transformer_forward(&p);
	struct pass_answer answer;
	transformer_back(&p, &b, &answer);
	assert_int_equal(pass_wait(&p, answer.mark), 0);
	double loss = loss_now(&p), norm = sqrt(be->sumsq(be, b.grads, n));
	assert_true(fabs(loss - plain) > 1e-3);
	be->download(be, at, m->lora->params, n * sizeof(float));
	be->download(be, slope, b.grads, n * sizeof(float));
	float step = (float)(0.004 / norm);
	move(m, at, slope, step);
	double above = loss_now(&p);
	move(m, at, slope, -step);
	double below = loss_now(&p);
	double want = norm * norm * 2 * (double)step;
	if (!(fabs(above - below - want) < 0.01 * want))
		fail_msg("%s on %s: the slope is %g, the gradient says %g", family, spec, above - below, want);
	p.dropout_key = 54321;
	move(m, at, slope, 0);
	assert_true(fabs(loss_now(&p) - loss) > 1e-4); /* other masks */
	free(at);
	free(slope);
	back_close(&b, be);
	pass_close(&p);
	model_free(m);
	backend_close(be);
	safetensors_close(&values);
}

static void test_lora__gradient_with_dropout_is_the_slope(void **state)
{
	(void)state;
	check_dropout("cpu_ref", "llama3");
	check_dropout("cpu", "smollm2");
	check_dropout("cpu", "gpt2");
}

/* ---- ten steps --------------------------------------------------------------------------------------------------- */

struct steps {
	double losses[STEPS], norms[STEPS];
	int n;
};

static int on_step(const struct train_step *s, void *arg)
{
	struct steps *l = arg;

	l->losses[l->n] = s->loss;
	l->norms[l->n++] = s->grad_norm;
	return 0;
}

static void check_steps(struct model *m, const struct train_data *data, bool dpo, int micro_tokens,
			const struct safetensors *f, const char *before)
{
	struct train_options o;
	struct steps l = { .n = 0 };
	const struct train_hooks hooks = { .step = on_step, .arg = &l };
	char *names[2] = { mem_printf("%slosses", before), mem_printf("%snorms", before) };
	double *losses = array(f, names[0], NULL), *norms = array(f, names[1], NULL);

	train_options_init(&o);
	o.learning_rate = 0.01;
	o.weight_decay = 0.1;
	o.schedule = "constant";
	o.warmup_steps = 0;
	o.max_steps = STEPS;
	o.dpo = dpo;
	o.dpo_beta = 0.5;
	o.micro_tokens = micro_tokens;
	o.batch_tokens = 0;
	for (size_t i = 0; i < data->n; i++)
		o.batch_tokens += data->examples[i].n - 1; /* each step takes them all */
	assert_int_equal(train_run(m, data, &o, &hooks, NULL), 0);
	for (int i = 0; i < STEPS; i++) {
		if (!(fabs(l.losses[i] - losses[i]) < 1e-5 + 1e-3 * losses[i]))
			fail_msg("%s on %s: loss %d is %.7f, PyTorch has %.7f", f->path, m->be->name, i, l.losses[i],
				 losses[i]);
		if (!(fabs(l.norms[i] - norms[i]) < 1e-5 + 5e-3 * norms[i]))
			fail_msg("%s on %s: norm %d is %.7f, PyTorch has %.7f", f->path, m->be->name, i, l.norms[i],
				 norms[i]);
	}
	for (int i = 0; i < 2; i++)
		free(names[i]);
	free(losses);
	free(norms);
}

static void test_train_run__lora_as_peft(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(adapted) * 2; i++) {
		const char *family = adapted[i / 2];
		char *path = mem_printf(GOLDEN "families/%s/golden.safetensors", family);
		struct safetensors values, seqs;
		struct train_data data = { 0 };
		struct backend *be;

		assert_int_equal(backend_open(&be, "cpu", 2), 0);
		open_values(&values, "lora", family);
		assert_int_equal(safetensors_open(&seqs, path), 0);
		struct model *m = load_lora(be, family, &values);
		add_examples(&data, &seqs, false);
		check_steps(m, &data, false, i % 2 ? 40 : 0, &values, "");
		train_data_release(&data);
		model_free(m);
		backend_close(be);
		safetensors_close(&values);
		safetensors_close(&seqs);
		free(path);
	}
}

static void check_dpo(const char *family, bool lora, int micro_tokens)
{
	struct safetensors values;
	struct train_data data = { 0 };
	struct backend *be;

	assert_int_equal(backend_open(&be, "cpu", 2), 0);
	open_values(&values, "dpo", family);
	struct model *m = lora ? load_lora(be, family, &values) : load(be, family, true);
	add_examples(&data, &values, true);
	check_steps(m, &data, true, micro_tokens, &values, lora ? "lora." : "full.");
	train_data_release(&data);
	model_free(m);
	backend_close(be);
	safetensors_close(&values);
}

static void test_train_run__preferences_as_pytorch(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		check_dpo(i % 2 ? "smollm2" : "llama3", i & 2, i & 4 ? 1 : 0); /* 1: one pair at a time */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lora__gradients_as_peft),
		cmocka_unit_test(test_lora__gradient_with_dropout_is_the_slope),
		cmocka_unit_test(test_train_run__lora_as_peft),
		cmocka_unit_test(test_train_run__preferences_as_pytorch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
