/* bench_llmc.c: the twin of bench_train.c that times llm.c's CPU program: its functions, called as its main calls them.
 *
 * bench_llmc GPT2.bin [batch [length [steps]]]. Built by tests/bench/run with the flags of llm.c's own Makefile, where
 * LLMC=… names a checkout of it; nothing of it is kept here. */
#define TESTING /* train_gpt2.c leaves its main out */
#include "train_gpt2.c"

#include <sys/resource.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int batch = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 4,
	    length = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 64;
	int steps = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 4, rows = batch * length;
	int *inputs = malloc((size_t)rows * sizeof(int)), *targets = malloc((size_t)rows * sizeof(int));
	double *seconds = malloc((size_t)steps * sizeof(double)), *losses = malloc((size_t)steps * sizeof(double));
	unsigned x = 1;
	struct rusage usage;
	GPT2 model;

	if (argc < 2 || steps < 2)
		return 64;
	gpt2_build_from_checkpoint(&model, argv[1]);
	for (int b = 0; b < batch; b++)
		for (int i = 0; i <= length; i++) {
			x = (x * 1103515245u + 12345u) & 0x7fffffffu;
			int id = (int)((x >> 8) % (unsigned)model.config.vocab_size);
			if (i < length)
				inputs[b * length + i] = id;
			if (i > 0)
				targets[b * length + i - 1] = id;
		}
	for (int k = 0; k < steps; k++) {
		double began = now();
		gpt2_forward(&model, inputs, targets, (size_t)batch, (size_t)length);
		gpt2_zero_grad(&model);
		gpt2_backward(&model);
		gpt2_update(&model, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.0f, k + 1);
		seconds[k] = now() - began;
		losses[k] = model.mean_loss;
	}
	int n = steps - 1; /* the first one warmed up */
	qsort(seconds + 1, (size_t)n, sizeof(double), by_size);
	double step = n % 2 ? seconds[1 + n / 2] : (seconds[n / 2] + seconds[1 + n / 2]) / 2;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"engine\":\"llm.c\",\"batch\":%d,\"length\":%d,\"step_s\":%.4f,\"train_tokens_per_s\":%.1f,"
	       "\"peak_rss_mib\":%.0f,\"losses\":[",
	       batch, length, step, rows / step, (double)usage.ru_maxrss / 1024);
	for (int k = 0; k < steps; k++)
		printf("%s%.4f", k ? "," : "", losses[k]);
	printf("]}\n");
	gpt2_free(&model);
	free(inputs);
	free(targets);
	free(seconds);
	free(losses);
	return 0;
}
