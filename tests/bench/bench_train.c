/* bench_train.c: the time of a training step of a Hugging Face folder; bench_torch_train.py and bench_llmc.c are its twins.
 *
 * bench_train DIR [name=value …]: batch=4 length=64 steps=6 threads=0 lora=0 backend=cpu. lora: the rank of factors beside all
 * linear layers, which are trained in place of the weights. Every step sees the same `batch` sequences of
 * length + 1 tokens from the small generator that the twins repeat, with their settings of AdamW: so the losses of the
 * three must agree, and who does less work than the others is found out. The first step warms up and is not counted. Prints
 * one line of JSON. Built by tests/bench/run against libassay.a. */
#include <sys/resource.h>

#include "base/base.h"
#include "model/model.h"
#include "tests/bench/bench_args.h"

struct shape {
	int64_t batch, length, steps, threads, lora;
	const char *backend;
};

struct seen { /* what the hook collects */
	double *seconds, *losses;
	int64_t n, tokens, uneven;
};

static int read_shape(struct shape *s, int argc, char **argv)
{
	const struct bench_arg args[] = { { "batch=", &s->batch },
					  { "length=", &s->length },
					  { "steps=", &s->steps },
					  { "threads=", &s->threads },
					  { "lora=", &s->lora } };
	s->backend = bench_word("backend=", "cpu", &argc, argv);
	int rc = bench_args(args, ARRAY_LEN(args), argc, argv);

	if (rc)
		return rc;
	if (s->batch < 1 || s->length < 1 || s->steps < 2)
		return err_set(ERR_USAGE, "batch and length are at least 1, steps at least 2");
	return 0;
}

/* The generator of the twins: a linear one, 31 bits, upper bits used. */
static void make_data(struct train_data *d, const struct shape *s, int vocab)
{
	uint32_t x = 1;

	for (int64_t b = 0; b < s->batch; b++) {
		int n = (int)s->length + 1;
		struct train_example e = { .ids = mem_array((size_t)n, sizeof(int32_t)),
					   .counts = mem_array((size_t)n, 1),
					   .n = n };
		for (int i = 0; i < n; i++) {
			x = (x * 1103515245u + 12345u) & 0x7fffffffu;
			e.ids[i] = (int32_t)((x >> 8) % (uint32_t)vocab);
			e.counts[i] = i > 0;
		}
		MEM_GROW(d->examples, d->n, d->cap);
		d->examples[d->n++] = e;
	}
}

static int note(const struct train_step *step, void *arg)
{
	struct seen *seen = arg;

	seen->seconds[seen->n] = step->seconds;
	seen->losses[seen->n++] = step->loss;
	seen->uneven += step->tokens != seen->tokens;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int64_t n)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void print(const struct shape *s, const struct model *m, struct seen *seen)
{
	struct rusage usage;
	double step = median(seen->seconds + 1, seen->n - 1); /* the first one warmed up */

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"engine\":\"assay\",\"params\":%llu,\"batch\":%lld,\"length\":%lld,\"step_s\":%.4f,"
	       "\"train_tokens_per_s\":%.1f,\"peak_rss_mib\":%.0f,\"losses\":[",
	       (unsigned long long)model_config_params(model_config(m)), (long long)s->batch, (long long)s->length,
	       step, (double)seen->tokens / step, (double)usage.ru_maxrss / 1024);
	for (int64_t i = 0; i < seen->n; i++)
		printf("%s%.4f", i ? "," : "", seen->losses[i]);
	printf("]}\n");
}

static const char *const all_linear[] = { "all-linear", NULL };

static int bench(const char *dir, const struct shape *s)
{
	struct seen seen = { mem_array((size_t)s->steps, sizeof(double)), mem_array((size_t)s->steps, sizeof(double)),
			     0, s->batch * s->length, 0 };
	struct train_data data = { 0 };
	struct train_hooks hooks = { .step = note, .arg = &seen };
	struct train_result result;
	struct train_options o;
	struct backend *be = NULL;
	struct model *m = NULL;
	int rc = backend_open(&be, s->backend, (int)s->threads);

	if (!rc)
		rc = model_load(&m, dir, be, &(struct model_load){ .train = s->lora == 0 });
	if (!rc && s->lora)
		rc = model_add_lora(m, &(struct lora_options){ (int)s->lora, 2.0 * (double)s->lora, 0, all_linear }, 1);
	if (rc)
		goto out;
	make_data(&data, s, model_config(m)->vocab_size);
	train_options_init(&o);
	o.learning_rate = 1e-4, o.beta1 = 0.9, o.beta2 = 0.999, o.eps = 1e-8, o.weight_decay = 0, o.clip = 0;
	o.schedule = "constant", o.warmup_steps = 0;
	o.batch_tokens = (int)seen.tokens;
	o.max_steps = s->steps;
	rc = train_run(m, &data, &o, &hooks, &result);
	if (!rc && seen.uneven)
		rc = err_set(ERR_BUG, "%lld steps were not of %lld tokens", (long long)seen.uneven,
			     (long long)seen.tokens);
	if (!rc)
		print(s, m, &seen);
out:
	train_data_release(&data);
	model_free(m);
	if (be)
		backend_close(be);
	free(seen.seconds);
	free(seen.losses);
	return rc;
}

int main(int argc, char **argv)
{
	struct shape s = { 4, 64, 6, 0, 0, "cpu" };
	int rc = read_shape(&s, argc, argv);

	if (!rc)
		rc = bench(argv[1], &s);
	if (rc)
		fprintf(stderr, "bench_train: %s\n", err_text());
	return err_exit_code(rc);
}
