/* test_lt_train.c: whole models trained on the emulated device with every product by the library, which cublaslt.cpp stands in for.
 *
 * A training on the plugin's own products says which products a model asks for; pins of exactly these are written down, and
 * the same training runs again with them. Then no product is left to the own kernel, and losses are compared with the
 * own products (the same operands, other sums), with cpu_ref (what the class of bf16 grants), and with themselves, on a device
 * opened anew and with graphs, bit for bit. Without the pin of the head's product the head goes by tiles, whose gradients
 * are the library's. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "cublaslt.h"
#include "model/model.h"

enum { PLAIN, BIAS, GELU, GELU_AUX, DX, DW }; /* forms, as pins say them */
enum { STEPS = 2, SHAPES_MAX = 128, WORDS = 48 };
static const double class_grants = 5e-2; /* of a loss: as test_families.c has it for cuda/bf16 */
static const double sums_grant = 2e-4;   /* of a loss: fp32 sums in another order, through STEPS steps of AdamW */

static const struct way {
	const char *family;
	const char *lora[3]; /* targets; none: all weights are trained */
} ways[] = {
	{ "llama3", { NULL } },
	{ "gpt2", { NULL } },
	{ "llama3", { "v_proj", "down_proj" } },
	{ "gpt2", { "c_attn", "mlp.c_proj" } },
};

int assay_cuda_open(struct backend **out, const struct kernels_want *want);

static int say(int code, const char *text, const char *fix)
{
	(void)fix;
	return err_set(code, "%s", text);
}

/* ---- which products there are: a back end whose products are counted on their way ------------------------------------------------- */

static struct backend table; /* the functions that are called behind the counting */
static struct product {
	int n, k, form;
} shapes[SHAPES_MAX];
static int n_shapes,
	n_calls, /* of the library, if it takes all: the whole 128s of rows, and the rest; sums over tokens at once */
	n_tiled; /* heads that went by tiles */

static void note(int n, int k, int form, int rows)
{
	n_calls += form == DW ? 1 : (rows >= 128) + (rows % 128 != 0);
	for (int i = 0; i < n_shapes; i++)
		if (shapes[i].n == n && shapes[i].k == k && shapes[i].form == form)
			return;
	assert_true(n_shapes < SHAPES_MAX);
	shapes[n_shapes++] = (struct product){ n, k, form };
}

static void count_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
			 const struct kernels_linear *how)
{
	note(w->N, w->K, how->bias ? BIAS : PLAIN, how->M);
	table.linear(be, y, x, w, how);
}

static void count_into(struct backend *be, float *y, float *act, const float *from, const float *x,
		       const struct kernels_weight *w, const struct kernels_linear *how)
{
	note(w->N, w->K, act ? act == y ? GELU : GELU_AUX : how->bias ? BIAS : PLAIN, how->M);
	table.linear_into(be, y, act, from, x, w, how);
}

static void count_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
		     const struct kernels_linear *how)
{
	note(w->N, w->K, DX, how->M);
	table.linear_dx(be, dx, dy, w, how);
}

static void count_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
		     const struct kernels_linear *how)
{
	note(N, K, DW, how->M);
	table.linear_dw(be, dw, dy, x, N, K, how);
}

static void count_head_back(struct backend *be, double *logprob, float *dx, float *dw, float beta, const float *x,
			    const struct kernels_weight *head, const int32_t *target, const float *scale, int T)
{
	n_tiled++;
	table.head_back(be, logprob, dx, dw, beta, x, head, target, scale, T);
}

/* pins: NULL: none, and the head by rows, so that its product is seen. Without graphs every product is a call of the library, with them those of the first two times. */
static struct backend *open_device(const char *pins, bool graphs)
{
	const struct kernels_want want = { .device = 0, .cls = KERNELS_CLASS_BF16, .fail = say };
	struct backend *be;

	if (pins)
		setenv("EMU_PINS", pins, 1);
	else
		unsetenv("EMU_PINS");
	setenv("ASSAY_CUDA_GRAPHS", graphs ? "1" : "0", 1);
	if (assay_cuda_open(&be, &want))
		fail_msg("%s", err_text());
	table = *be;
	be->linear = count_linear;
	be->linear_into = count_into;
	be->linear_dx = count_dx;
	be->linear_dw = count_dw;
	be->head_back = count_head_back;
	if (!pins)
		be->head_tiles = NULL;
	return be;
}

static char *write_pins(bool head)
{
	char *path = mem_printf("/tmp/assay-train-pins-%d", (int)getpid());
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (int i = 0; i < n_shapes; i++)
		if (head || shapes[i].n != WORDS || shapes[i].form != PLAIN)
			fprintf(f, "pin 90 4 130100 %d %d %d 66 20 1 0 0 0 35 0 2\n", shapes[i].n, shapes[i].k,
				shapes[i].form);
	assert_int_equal(fclose(f), 0);
	return path;
}

/* ---- a training -------------------------------------------------------------------------------------------------------------------- */

struct seen {
	double loss[STEPS], norm[STEPS], last;
	int n;
};

static int on_step(const struct train_step *s, void *arg)
{
	struct seen *seen = arg;

	seen->loss[seen->n] = s->loss;
	seen->norm[seen->n++] = s->grad_norm;
	return 0;
}

/* Texts of lengths that no tile divides; in all more tokens than the 128 that the library gets at a time */
static void fill_data(struct train_data *d)
{
	static const int lengths[] = { 37, 5, 40, 23, 31, 14, 2, 29 };

	for (size_t s = 0; s < ARRAY_LEN(lengths); s++) {
		MEM_GROW(d->examples, d->n, d->cap);
		struct train_example *e = &d->examples[d->n++];
		*e = (struct train_example){ .ids = mem_array((size_t)lengths[s], sizeof(int32_t)),
					     .counts = mem_alloc((size_t)lengths[s]),
					     .n = lengths[s] };
		for (int i = 0; i < lengths[s]; i++) {
			e->ids[i] = (int32_t)((s * 11 + (size_t)i * 7 + (size_t)(i * i) % 5) % WORDS);
			e->counts[i] = i % 6 != 1;
		}
	}
}

static struct seen train(struct backend *be, const struct way *w)
{
	const struct lora_options lora = { .rank = 4, .alpha = 8, .dropout = 0.25, .targets = w->lora };
	const struct model_load how = { .train = !w->lora[0] };
	struct seen seen = { .n = 0 };
	const struct train_hooks hooks = { .step = on_step, .arg = &seen };
	struct train_data data = { 0 };
	struct train_options o;
	struct model *m;
	int64_t tokens;
	char *dir = mem_printf("tests/golden/families/%s", w->family);

	if (model_load(&m, dir, be, &how) || (w->lora[0] && model_add_lora(m, &lora, 1)))
		fail_msg("%s: %s", dir, err_text());
	fill_data(&data);
	train_options_init(&o);
	o.learning_rate = 0.01;
	o.schedule = "constant";
	o.warmup_steps = 0;
	o.max_steps = STEPS;
	o.batch_tokens = 400; /* every step takes all */
	o.micro_tokens = 150; /* in two micro-batches: gradients are added to the ones before */
	if (train_run(m, &data, &o, &hooks, NULL) || train_loss(m, &data, 150, &seen.last, &tokens))
		fail_msg("%s on %s: %s", dir, be->name, err_text());
	assert_int_equal(seen.n, STEPS);
	train_data_release(&data);
	model_free(m);
	free(dir);
	return seen;
}

/* ---- the cases ----------------------------------------------------------------------------------------------------------------------- */

static void check_losses(const struct way *w, const char *what, const struct seen *got, const struct seen *want,
			 double limit)
{
	for (int i = 0; i <= STEPS; i++) {
		double g = i < STEPS ? got->loss[i] : got->last, x = i < STEPS ? want->loss[i] : want->last;
		if (!(fabs(g - x) <= limit * x))
			fail_msg("%s%s: loss %d is %.9g, of %s %.9g", w->family, w->lora[0] ? " with LoRA" : "", i, g,
				 what, x);
	}
}

static void check_tiled_head(const struct seen *own)
{
	char *pins = write_pins(false);
	struct backend *be = open_device(pins, false);

	for (size_t i = 0; i < 3; i++) { /* the last one with a frozen head */
		fake.calls = n_calls = n_tiled = 0;
		struct seen got = train(be, &ways[i]);
		assert_true(n_tiled > 0);
		assert_true(fake.calls > n_calls); /* those that nobody asked the table for are the head's */
		check_losses(&ways[i], "own products, by tiles", &got, &own[i], sums_grant);
	}
	be->close(be);
	free(pins);
}

static void test_lt_train__whole_models_by_the_library(void **state)
{
	struct seen own[ARRAY_LEN(ways)], got[ARRAY_LEN(ways)];
	struct backend *be = open_device(NULL, true), *ref;

	(void)state;
	assert_non_null(strstr(be->numerics, "/own"));
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		own[i] = train(be, &ways[i]);
	be->close(be);
	assert_int_equal(fake.calls, 0);

	char *pins = write_pins(true);
	be = open_device(pins, false);
	assert_non_null(strstr(be->numerics, "/lt130100-"));
	assert_int_equal(backend_open(&ref, "cpu_ref", 2), 0);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		fake.calls = n_calls = 0;
		got[i] = train(be, &ways[i]);
		assert_int_equal(fake.calls, n_calls);
		struct seen cpu = train(ref, &ways[i]);
		check_losses(&ways[i], "own products", &got[i], &own[i], sums_grant);
		check_losses(&ways[i], "cpu_ref", &got[i], &cpu, class_grants);
		assert_true(got[i].last < got[i].loss[0]);
	}
	backend_close(ref);
	be->close(be);

	be = open_device(pins, true);
	for (size_t i = 1; i <= 2; i++) { /* each family, and each kind */
		struct seen again = train(be, &ways[i]);
		assert_memory_equal(&again, &got[i], sizeof(again));
	}
	be->close(be);
	assert_int_equal(n_tiled, 0);
	check_tiled_head(own);
	assert_int_equal(fake.objects, 0);
	assert_false(fake.odd_rows);
	unlink(pins);
	free(pins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lt_train__whole_models_by_the_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
