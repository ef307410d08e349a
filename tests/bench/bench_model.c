/* bench_model.c: tokens a second of training and scoring on one shape of model; bench_torch.py is its twin.
 *
 * bench_model [name=value …]: hidden=192 layers=6 heads=6 kv_heads=6 ff=512 vocab=1024 length=40 batch=4096 steps=12
 * threads=0 backend=cpu. Sequences have length/2 .. 3/2 length tokens from a small generator that the twin repeats, so
 * both see the same batches. Prints one line of JSON. Built by tests/bench/run against libassay.a. */
#include "base/base.h"
#include "model/model.h"

struct shape {
	int64_t hidden, layers, heads, kv_heads, ff, vocab, length, batch, steps, threads;
	const char *backend;
};

static int read_shape(struct shape *s, int argc, char **argv)
{
	const struct {
		const char *name;
		int64_t *to;
	} keys[] = { { "hidden", &s->hidden },     { "layers", &s->layers }, { "heads", &s->heads },
		     { "kv_heads", &s->kv_heads }, { "ff", &s->ff },         { "vocab", &s->vocab },
		     { "length", &s->length },     { "batch", &s->batch },   { "steps", &s->steps },
		     { "threads", &s->threads } };

	for (int i = 1; i < argc; i++) {
		const char *eq = strchr(argv[i], '=');
		size_t k = 0;
		if (eq && !strncmp(argv[i], "backend=", 8)) {
			s->backend = eq + 1;
			continue;
		}
		while (eq && k < ARRAY_LEN(keys) &&
		       (strlen(keys[k].name) != (size_t)(eq - argv[i]) ||
			strncmp(argv[i], keys[k].name, (size_t)(eq - argv[i]))))
			k++;
		if (!eq || k == ARRAY_LEN(keys))
			return err_set(ERR_USAGE, "what is %s?", argv[i]);
		*keys[k].to = strtoll(eq + 1, NULL, 10);
	}
	return 0;
}

/* The generator of the twin: a linear one, 31 bits, upper bits used. */
static uint32_t next(uint32_t *x, uint32_t n)
{
	*x = (*x * 1103515245u + 12345u) & 0x7fffffffu;
	return (*x >> 8) % n;
}

/* Enough examples for all steps; the first token does not count. */
static void make_data(struct train_data *d, const struct shape *s)
{
	uint32_t x = 1;
	int64_t rows = 0;

	while (rows < s->batch * s->steps) {
		int n = (int)(s->length / 2) + (int)next(&x, (uint32_t)s->length + 1);
		n = n < 2 ? 2 : n;
		struct train_example e = { .ids = mem_array((size_t)n, sizeof(int32_t)),
					   .counts = mem_array((size_t)n, 1),
					   .n = n };
		for (int i = 0; i < n; i++) {
			e.ids[i] = (int32_t)next(&x, (uint32_t)s->vocab);
			e.counts[i] = i > 0;
		}
		MEM_GROW(d->examples, d->n, d->cap);
		d->examples[d->n++] = e;
		rows += n - 1;
	}
}

struct rate {
	int64_t tokens;
	double seconds;
};

static int warm(const struct train_step *s, void *arg)
{
	struct rate *r = arg;

	if (s->step > 2) { /* two steps to warm up */
		r->tokens += s->tokens;
		r->seconds += s->seconds;
	}
	return 0;
}

static int bench(const struct shape *s)
{
	struct model_config c = { .architecture = "llama",
				  .vocab_size = (int)s->vocab,
				  .hidden_size = (int)s->hidden,
				  .intermediate_size = (int)s->ff,
				  .layers = (int)s->layers,
				  .heads = (int)s->heads,
				  .kv_heads = (int)s->kv_heads,
				  .head_dim = (int)(s->hidden / s->heads),
				  .context = (int)(2 * s->length),
				  .norm_eps = 1e-5f,
				  .rope_theta = 10000,
				  .init_range = 0.02f,
				  .tied = true,
				  .bos_id = -1,
				  .eos_id = 0 };
	struct train_data data = { 0 };
	struct train_options o;
	struct train_result result;
	struct rate rate = { 0, 0 };
	struct train_hooks hooks = { .step = warm, .arg = &rate };
	struct backend *be = NULL;
	struct model *m = NULL;
	double loss = 0, began;
	int64_t tokens = 0;
	int rc = backend_open(&be, s->backend, (int)s->threads);

	if (!rc)
		rc = model_init(&m, &c, 1, be);
	make_data(&data, s);
	train_options_init(&o);
	o.batch_tokens = (int)s->batch;
	o.max_steps = s->steps;
	if (!rc)
		rc = train_run(m, &data, &o, &hooks, &result);
	struct score_request *reqs = mem_array(data.n, sizeof(*reqs));
	struct score_result *scores = mem_array(data.n, sizeof(*scores));
	for (size_t i = 0; i < data.n; i++) {
		reqs[i] =
			(struct score_request){ data.examples[i].ids, data.examples[i].n, data.examples[i].n / 4 + 1 };
		reqs[i].n_scored = reqs[i].n_scored < reqs[i].n ? reqs[i].n_scored : reqs[i].n - 1;
		tokens += reqs[i].n - 1;
	}
	began = clock_seconds();
	if (!rc)
		rc = score_run(m, reqs, data.n, scores, &(struct score_options){ .batch_tokens = (int)s->batch });
	double seconds = clock_seconds() - began;
	for (size_t i = 0; i < data.n; i++)
		loss += scores[i].logprob;
	if (!rc)
		printf("{\"engine\":\"assay\",\"params\":%llu,\"train_tokens_per_s\":%.0f,\"score_tokens_per_s\":%.0f,"
		       "\"score_items_per_s\":%.0f,\"last_loss\":%.4f,\"logprob\":%.3f}\n",
		       (unsigned long long)model_config_params(&c), (double)rate.tokens / rate.seconds,
		       (double)tokens / seconds, (double)data.n / seconds, result.last_loss, loss);
	free(reqs);
	free(scores);
	train_data_release(&data);
	model_free(m);
	if (be)
		backend_close(be);
	return rc;
}

int main(int argc, char **argv)
{
	struct shape s = { 192, 6, 6, 6, 512, 1024, 40, 4096, 12, 0, "cpu" };
	int rc = read_shape(&s, argc, argv);

	if (!rc)
		rc = bench(&s);
	if (rc)
		fprintf(stderr, "bench_model: %s\n", err_text());
	return err_exit_code(rc);
}
