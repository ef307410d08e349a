/* test_train.c: ten steps as PyTorch makes them; the order of steps; stop and resume; numbers that go wrong. */
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
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "train");
}

static int tear_down(void **state)
{
	(void)state;
	backend_close(be);
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

/* ---- golden ------------------------------------------------------------------------------------------------------ */

static void add_example(struct train_data *d, const int32_t *ids, const uint8_t *counts, int n)
{
	MEM_GROW(d->examples, d->n, d->cap);
	d->examples[d->n++] = (struct train_example){ .ids = mem_copy(ids, (size_t)n * 4),
						      .counts = mem_copy(counts, (size_t)n),
						      .n = n };
}

static void golden_data(const json_t *g, struct train_data *d)
{
	const json_t *seqs = json_object_get(g, "seqs"), *counts = json_object_get(g, "counts");

	for (size_t s = 0; s < json_array_size(seqs); s++) {
		int32_t ids[64];
		uint8_t mask[64];
		size_t n = json_array_size(json_array_get(seqs, s));
		for (size_t i = 0; i < n; i++) {
			ids[i] = (int32_t)json_integer_value(json_array_get(json_array_get(seqs, s), i));
			mask[i] = (uint8_t)json_integer_value(json_array_get(json_array_get(counts, s), i));
		}
		add_example(d, ids, mask, (int)n);
	}
}

struct curve {
	struct train_step steps[128];
	int n, stop_at, end_at;
};

static int keep_step(const struct train_step *s, void *arg)
{
	struct curve *c = arg;

	c->steps[c->n++ % 128] = *s;
	if (s->step == c->stop_at)
		train_stop();
	return s->step == c->end_at ? ERR_BUSY : 0;
}

static void golden_steps(const char *spec, int micro_tokens)
{
	struct curve curve = { .n = 0 };
	struct train_hooks hooks = { keep_step, &curve, NULL, 0, NULL, NULL };
	struct train_data data = { 0 };
	struct train_options o;
	struct train_result result;
	struct backend *b;
	struct model *m;
	json_t *g;

	assert_int_equal(backend_open(&b, spec, 2), 0);
	assert_int_equal(json_read(&g, GOLDEN "/golden.json", 1 << 20), 0);
	assert_int_equal(model_load(&m, GOLDEN, b, &(struct model_load){ .train = true }), 0);
	golden_data(g, &data);
	const json_t *t = json_object_get(g, "train");
	train_options_init(&o);
	o.learning_rate = json_get_real(t, "learning_rate", 0);
	o.weight_decay = json_get_real(t, "weight_decay", 0);
	o.beta2 = json_get_real(t, "beta2", 0);
	o.clip = json_get_real(t, "clip", 0);
	o.warmup_steps = json_get_int(t, "warmup_steps", 0);
	o.epochs = 10;
	o.batch_tokens = 12 + 4 + 20; /* all examples, so one epoch a step, in whatever order */
	o.micro_tokens = micro_tokens;
	assert_int_equal(train_run(m, &data, &o, &hooks, &result), 0);
	assert_int_equal(result.steps, 10);
	assert_int_equal(result.tokens, 360);
	assert_int_equal(curve.n, 10);
	for (size_t i = 0; i < 10; i++) {
		const struct train_step *s = &curve.steps[i];
		double loss = json_number_value(json_array_get(json_object_get(t, "losses"), i));
		double norm = json_number_value(json_array_get(json_object_get(t, "grad_norms"), i));
		double lr = json_number_value(json_array_get(json_object_get(t, "lrs"), i));
		if (!(fabs(s->loss - loss) <= 2e-5 * loss))
			fail_msg("%s, micro %d: loss %g of step %zu, PyTorch %g", spec, micro_tokens, s->loss, i + 1,
				 loss);
		assert_true(fabs(s->grad_norm - norm) <= 1e-4 * norm);
		assert_true(fabs(s->lr - lr) <= 1e-12);
	}
	model_free(m);
	train_data_release(&data);
	json_decref(g);
	backend_close(b);
}

static void test_train_run__ten_losses_as_pytorch(void **state)
{
	(void)state;
	golden_steps("cpu_ref", 0);
	golden_steps("cpu_ref", 20); /* two micro-batches a step */
	golden_steps("cpu", 0);
}

/* ---- a small task ------------------------------------------------------------------------------------------------ */

static struct model *fresh(struct backend *b)
{
	struct model_config c = { .architecture = "llama",
				  .vocab_size = 12,
				  .hidden_size = 16,
				  .intermediate_size = 24,
				  .layers = 2,
				  .heads = 2,
				  .kv_heads = 1,
				  .head_dim = 8,
				  .context = 16,
				  .norm_eps = 1e-5f,
				  .rope_theta = 100,
				  .init_range = 0.1f,
				  .tied = true,
				  .bos_id = -1,
				  .eos_id = 0 };
	struct model *m;

	assert_int_equal(model_init(&m, &c, 1, b), 0);
	return m;
}

/* Count up from a digit: 5 6 7 8, then the end. */
static void counting(struct train_data *d)
{
	for (int32_t i = 1; i < 8; i++) {
		int32_t ids[5] = { i, i + 1, i + 2, i + 3, 0 };
		uint8_t counts[5] = { 1, 1, 1, 1, 1 };
		add_example(d, ids, counts, 5 - i % 2);
	}
}

static void counting_options(struct train_options *o)
{
	train_options_init(o);
	o->learning_rate = 0.02;
	o->batch_tokens = 9;
	o->micro_tokens = 5;
	o->epochs = 8;
}

static void test_train_run__learns(void **state)
{
	struct train_data data = { 0 };
	struct train_options o;
	struct train_result r;
	struct model *m = fresh(be);
	double before, after;
	int64_t n;

	(void)state;
	counting(&data);
	counting_options(&o);
	o.epochs = 40;
	assert_int_equal(train_loss(m, &data, 0, &before, &n), 0);
	assert_int_equal(n, 3 * 4 + 4 * 3);
	assert_int_equal(train_run(m, &data, &o, NULL, &r), 0);
	assert_int_equal(train_loss(m, &data, 7, &after, NULL), 0);
	assert_true(before > 2.2 && before < 2.8);
	assert_true(after < 0.5);
	assert_true(r.last_loss < r.first_loss);
	model_free(m);
	train_data_release(&data);
}

static char *trained_bytes(struct backend *b, const struct train_options *o, const struct train_hooks *hooks, int want)
{
	struct train_data data = { 0 };
	struct train_result r;
	struct model *m = fresh(b);
	char *bytes = NULL;

	counting(&data);
	assert_int_equal(train_run(m, &data, o, hooks, &r), want);
	if (!want) {
		bytes = mem_alloc(m->n_params * sizeof(float));
		b->download(b, bytes, m->params, m->n_params * sizeof(float));
	}
	model_free(m);
	train_data_release(&data);
	return bytes;
}

static size_t bytes_of_model(void)
{
	struct model *m = fresh(be);
	size_t n = m->n_params * sizeof(float);

	model_free(m);
	return n;
}

static void test_train_run__same_bytes_twice_and_on_any_threads(void **state)
{
	struct train_options o;
	struct backend *one, *two;

	(void)state;
	counting_options(&o);
	assert_int_equal(backend_open(&one, "cpu", 1), 0);
	assert_int_equal(backend_open(&two, "cpu", 2), 0);
	char *a = trained_bytes(one, &o, NULL, 0), *b = trained_bytes(one, &o, NULL, 0),
	     *c = trained_bytes(two, &o, NULL, 0);
	assert_memory_equal(a, b, bytes_of_model());
	assert_memory_equal(a, c, bytes_of_model());
	o.seed++;
	free(b);
	b = trained_bytes(one, &o, NULL, 0);
	assert_memory_not_equal(a, b, bytes_of_model());
	free(a);
	free(b);
	free(c);
	backend_close(one);
	backend_close(two);
}

struct newest {
	char name[256];
	int n;
};

static int keep_newest(const char *name, void *arg)
{
	struct newest *l = arg;

	snprintf(l->name, sizeof(l->name), "%s", name); /* sorted by name, so by step */
	l->n++;
	return 0;
}

/* Turns one bit in the middle of the newest checkpoint. */
static void damage_newest(const char *in)
{
	struct newest l = { .n = 0 };
	struct buf b = BUF_INIT(1 << 20);

	assert_int_equal(fs_list(in, keep_newest, &l), 0);
	assert_int_equal(l.n, 2); /* two are kept */
	char *path = path_join(in, l.name);
	assert_int_equal(fs_read(&b, path, 1 << 20), 0);
	b.data[b.len / 2] ^= 1;
	assert_int_equal(fs_write(path, b.data, b.len), 0);
	buf_release(&b);
	free(path);
}

/* Stopped twice, the newest checkpoint damaged once: the same bytes as in one go. */
static void test_train_run__resumed_ends_with_the_same_bytes(void **state)
{
	struct train_options o;
	char *ckpt = path_join(dir, "ckpt");
	struct curve curve = { .stop_at = 3 };
	struct train_hooks hooks = { keep_step, &curve, ckpt, 1e-9, NULL, NULL }; /* after every step */

	(void)state;
	counting_options(&o);
	char *whole = trained_bytes(be, &o, NULL, 0);
	assert_null(trained_bytes(be, &o, &hooks, ERR_INTERRUPTED));
	assert_int_equal(curve.n, 3);
	assert_non_null(err_fix());
	curve.stop_at = 9;
	assert_null(trained_bytes(be, &o, &hooks, ERR_INTERRUPTED));
	assert_int_equal(curve.n, 9); /* steps 4 to 9: none was done twice */
	assert_int_equal(curve.steps[3].step, 4);
	curve.stop_at = 0;
	enum log_level level = log_level();
	log_set_level(LOG_QUIET);
	damage_newest(ckpt); /* the one before it serves */
	char *resumed = trained_bytes(be, &o, &hooks, 0);
	log_set_level(level);
	assert_int_equal(curve.steps[9].step, 9);
	assert_memory_equal(whole, resumed, bytes_of_model());
	free(whole);
	free(resumed);
	free(ckpt);
}

/* The checkpoint of other options is none of ours. */
static void test_train_run__resumes_its_own_training_only(void **state)
{
	struct train_options o;
	char *ckpt = path_join(dir, "own");
	struct curve curve = { .stop_at = 3 };
	struct train_hooks hooks = { keep_step, &curve, ckpt, 0, NULL, NULL };

	(void)state;
	counting_options(&o);
	assert_null(trained_bytes(be, &o, &hooks, ERR_INTERRUPTED));
	curve.stop_at = 0;
	o.learning_rate *= 0.5;
	char *plain = trained_bytes(be, &o, NULL, 0), *beside = trained_bytes(be, &o, &hooks, 0);
	assert_int_equal(curve.steps[3].step, 1);
	assert_memory_equal(plain, beside, bytes_of_model());
	free(plain);
	free(beside);
	free(ckpt);
}

static void test_train_run__hook_ends_it(void **state)
{
	struct train_options o;
	struct curve curve = { .end_at = 2 };
	struct train_hooks hooks = { keep_step, &curve, NULL, 0, NULL, NULL };

	(void)state;
	counting_options(&o);
	assert_null(trained_bytes(be, &o, &hooks, ERR_BUSY));
	assert_int_equal(curve.n, 2);
}

static void test_train_run__max_steps_and_schedules(void **state)
{
	struct train_options o;
	struct curve curve = { .n = 0 };
	struct train_hooks hooks = { keep_step, &curve, NULL, 0, NULL, NULL };

	(void)state;
	counting_options(&o);
	o.max_steps = 6;
	o.warmup_steps = 2;
	o.schedule = "linear";
	o.min_lr_ratio = 0.1;
	free(trained_bytes(be, &o, &hooks, 0));
	assert_int_equal(curve.n, 6);
	/* k = 0..5: 0, 1/2, then (6 - k)/4 down to the floor of a tenth */
	static const double linear[] = { 0, 0.5, 1, 0.75, 0.5, 0.25 };
	for (int i = 0; i < 6; i++) {
		double want = i < 2 ? linear[i] : linear[i] * 0.9 + 0.1;
		assert_true(fabs(curve.steps[i].lr - 0.02 * want) < 1e-12);
		assert_int_equal(curve.steps[i].steps, 6);
		assert_true(curve.steps[i].tokens <= 9);
	}
	o.schedule = "constant";
	curve.n = 0;
	free(trained_bytes(be, &o, &hooks, 0));
	assert_true(fabs(curve.steps[5].lr - 0.02) < 1e-12);
}

/* ---- validation ---------------------------------------------------------------------------------------------------- */

/* Counts down: what is learned from counting up makes it worse and worse. */
static void counting_down(struct train_data *d)
{
	for (int32_t i = 4; i < 8; i++) {
		int32_t ids[4] = { i, i - 1, i - 2, i - 3 };
		uint8_t counts[4] = { 0, 1, 1, 1 };
		add_example(d, ids, counts, 4);
	}
}

struct validated {
	struct curve curve;
	struct train_result result;
	double loss; /* of the model that it ends with, on the held-out data */
};

static void validated_training(struct validated *v, const struct train_options *how)
{
	struct train_data data = { 0 }, held = { 0 };
	struct train_options o = *how;
	struct train_hooks hooks = { keep_step, &v->curve, NULL, 0, NULL, NULL };
	struct model *m = fresh(be);

	*v = (struct validated){ .curve = { .n = 0 } };
	counting(&data);
	counting_down(&held);
	o.validation = &held;
	assert_int_equal(train_run(m, &data, &o, &hooks, &v->result), 0);
	assert_int_equal(train_loss(m, &held, 0, &v->loss, NULL), 0);
	model_free(m);
	train_data_release(&data);
	train_data_release(&held);
}

static bool same(double a, double b)
{
	return !(a < b) && !(a > b);
}

static void test_train_run__ends_with_the_best_weights(void **state)
{
	struct train_options o;
	struct validated best, last;
	double least = 1e9;
	int64_t at = 0;

	(void)state;
	counting_options(&o);
	o.eval_every = 2;
	validated_training(&best, &o);
	for (int i = 0; i < best.curve.n; i++) {
		const struct train_step *s = &best.curve.steps[i];
		assert_int_equal(!isnan(s->validation), s->step % 2 == 0 || s->step == s->steps);
		if (s->validation < least) {
			least = s->validation;
			at = s->step;
		}
	}
	assert_true(at >= 2 && at < best.result.steps);
	assert_int_equal(best.result.best_step, at);
	assert_true(same(best.result.best_validation, least));
	assert_true(same(best.loss, least));
	o.keep_last = true;
	validated_training(&last, &o);
	assert_int_equal(last.result.best_step, at);
	assert_true(same(last.loss, last.curve.steps[last.curve.n - 1].validation));
	assert_true(last.loss > least);
}

static void test_train_run__stops_out_of_patience(void **state)
{
	struct train_options o;
	struct validated v;

	(void)state;
	counting_options(&o);
	o.eval_every = 2;
	o.patience = 3;
	validated_training(&v, &o);
	assert_true(v.result.stopped_early);
	assert_int_equal(v.result.steps, v.result.best_step + 2 * 3);
	assert_true(same(v.loss, v.result.best_validation));
}

/* Seven examples, 24 tokens that count behind the first ones: the same sum, divided by 31. */
static void test_train_run__count_first_divides_as_transformers_does(void **state)
{
	struct train_options o;
	struct curve ours = { .n = 0 }, theirs = { .n = 0 };
	struct train_hooks hooks = { keep_step, &ours, NULL, 0, NULL, NULL };
	struct train_data data = { 0 };

	(void)state;
	counting(&data);
	for (size_t i = 0; i < data.n; i++)
		data.examples[i].counts_first = true;
	counting_options(&o);
	o.batch_tokens = 24;
	o.max_steps = 1;
	for (int i = 0; i < 2; i++) {
		struct model *m = fresh(be);
		o.count_first = i;
		hooks.arg = i ? &theirs : &ours;
		assert_int_equal(train_run(m, &data, &o, &hooks, NULL), 0);
		model_free(m);
	}
	assert_true(fabs(theirs.steps[0].loss * 31 / 24 - ours.steps[0].loss) < 1e-6);
	assert_true(fabs(theirs.steps[0].grad_norm * 31 / 24 - ours.steps[0].grad_norm) < 1e-5);
	train_data_release(&data);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void refuse(const struct train_options *o, const struct train_data *data, const char *why)
{
	struct model *m = fresh(be);
	struct train_result r;

	assert_int_equal(train_run(m, data, o, NULL, &r), ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	model_free(m);
}

static void test_train_run__loss_that_is_not_finite(void **state)
{
	struct train_data data = { 0 };
	struct train_options o;
	struct model *m = fresh(be);

	(void)state;
	counting(&data);
	counting_options(&o);
	m->params[m->n_params - 1] = (float)NAN;
	assert_int_equal(train_run(m, &data, &o, NULL, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "loss of step 1"));
	assert_non_null(strstr(err_fix(), "learning_rate"));
	double loss;
	assert_int_equal(train_loss(m, &data, 0, &loss, NULL), ERR_INPUT);
	model_free(m);

	/* a rate that throws it out of the range of floats on its own */
	m = fresh(be);
	o.learning_rate = 10;
	o.weight_decay = 10;
	o.clip = 0;
	o.epochs = 400;
	o.schedule = "constant";
	o.warmup_steps = 0;
	assert_int_equal(train_run(m, &data, &o, NULL, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "is not a finite number"));
	assert_non_null(strstr(err_fix(), "clip"));
	model_free(m);
	train_data_release(&data);
}

static void test_train_run__refuses_options_and_examples(void **state)
{
	struct train_data data = { 0 }, none = { 0 }, wide = { 0 }, foreign = { 0 }, silent = { 0 };
	int32_t ids[20] = { 1, 2, 3 };
	uint8_t counts[20] = { 0, 1, 1 };
	struct train_options good, o;

	(void)state;
	counting(&data);
	counting_options(&good);
	o = good, o.learning_rate = 0;
	refuse(&o, &data, "learning_rate");
	o = good, o.learning_rate = (double)NAN;
	refuse(&o, &data, "learning_rate");
	o = good, o.min_lr_ratio = 1.5;
	refuse(&o, &data, "min_lr_ratio");
	o = good, o.weight_decay = -1;
	refuse(&o, &data, "weight_decay");
	o = good, o.beta1 = -0.1;
	refuse(&o, &data, "beta1");
	o = good, o.beta2 = 1;
	refuse(&o, &data, "beta2");
	o = good, o.eps = 0;
	refuse(&o, &data, "eps");
	o = good, o.clip = (double)NAN;
	refuse(&o, &data, "clip");
	o = good, o.warmup_ratio = 2;
	refuse(&o, &data, "warmup_ratio");
	o = good, o.epochs = 0;
	refuse(&o, &data, "epochs");
	o = good, o.epochs = 1e12;
	refuse(&o, &data, "epochs");
	o = good, o.max_steps = -1;
	refuse(&o, &data, "max_steps");
	o = good, o.batch_tokens = 0;
	refuse(&o, &data, "batch_tokens");
	o = good, o.micro_tokens = -1;
	refuse(&o, &data, "micro_tokens");
	o = good, o.eval_every = -1;
	refuse(&o, &data, "eval_every");
	o = good, o.patience = -1;
	refuse(&o, &data, "early_stop");
	o = good, o.patience = 2;
	refuse(&o, &data, "early_stop: there is no validation data");
	o = good, o.dpo = true, o.dpo_beta = 0;
	refuse(&o, &data, "beta");
	o = good, o.dpo = true;
	refuse(&o, &data, "training example 1 is no preference");
	o = good, o.validation = &wide;
	refuse(&o, &data, "no validation example");
	o = good, o.schedule = "cosin";
	refuse(&o, &data, "\"cosin\"");
	o = good, o.batch_tokens = 3;
	refuse(&o, &data, "a step at most 3");
	refuse(&good, &none, "no training example");
	add_example(&wide, ids, counts, 18);
	refuse(&good, &wide, "the model takes 17");
	o = good, o.validation = &wide;
	refuse(&o, &data, "validation example 1 has 18 tokens");
	wide.examples[0].pair = true;
	refuse(&good, &wide, "training example 1 is a preference");
	ids[1] = 12;
	add_example(&foreign, ids, counts, 3);
	refuse(&good, &foreign, "token id 12 is outside");
	counts[1] = counts[2] = 0;
	add_example(&silent, ids, counts, 3);
	refuse(&good, &silent, "no training example has a token to learn");
	train_data_release(&data);
	train_data_release(&wide);
	train_data_release(&foreign);
	train_data_release(&silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_train_run__ten_losses_as_pytorch),
		cmocka_unit_test(test_train_run__learns),
		cmocka_unit_test(test_train_run__same_bytes_twice_and_on_any_threads),
		cmocka_unit_test(test_train_run__resumed_ends_with_the_same_bytes),
		cmocka_unit_test(test_train_run__resumes_its_own_training_only),
		cmocka_unit_test(test_train_run__hook_ends_it),
		cmocka_unit_test(test_train_run__max_steps_and_schedules),
		cmocka_unit_test(test_train_run__ends_with_the_best_weights),
		cmocka_unit_test(test_train_run__stops_out_of_patience),
		cmocka_unit_test(test_train_run__count_first_divides_as_transformers_does),
		cmocka_unit_test(test_train_run__loss_that_is_not_finite),
		cmocka_unit_test(test_train_run__refuses_options_and_examples),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
