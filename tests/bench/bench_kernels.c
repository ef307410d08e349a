/* bench_kernels.c: the fast CPU back end's products, in GFLOP/s, at the demo's shapes and at large ones; the best of all
 * is the measured sgemm peak that docs/benchmarks.md states shares of. bench_kernels [THREADS] */
#include "base/base.h"
#include "kernels/kernels.h"

struct product {
	const char *name;
	void (*run)(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta);
};

/* nt: y = x W^T     nn: dx = dy W     tn: dW = dy^T x; each as a product c[M,N] over K */
static void run_nt(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	const struct kernels_weight w = { b, N, K, KERNELS_F32, 0 };

	be->linear(be, c, a, &w, &(struct kernels_linear){ M, K, N, NULL, beta });
}

static void run_nn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	const struct kernels_weight w = { b, K, N, KERNELS_F32, 0 };

	be->linear_dx(be, c, a, &w, &(struct kernels_linear){ M, N, K, NULL, beta });
}

static void run_tn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	be->linear_dw(be, c, a, b, M, N, &(struct kernels_linear){ K, N, M, NULL, beta });
}

static double best_rate(struct backend *be, const struct product *p, float *c, const float *a, const float *b, int M,
			int N, int K)
{
	double best = 0, spent = 0, flop = 2.0 * M * N * K;

	for (int i = 0; i < 200 && spent < 0.4; i++) {
		double start = clock_seconds(), s;

		p->run(be, c, a, b, M, N, K, 0);
		s = clock_seconds() - start;
		spent += s;
		if (i > 0 && flop / s > best)
			best = flop / s;
	}
	return best / 1e9;
}

int main(int argc, char **argv)
{
	static const int shapes[][3] = { { 1024, 192, 192 }, { 1024, 512, 192 },   { 1024, 192, 512 },
					 { 1024, 384, 192 }, { 1024, 1024, 1024 }, { 1024, 3072, 768 } };
	const size_t floats = 1024 * 3072 * 4;
	struct backend *be = NULL;
	void *a = NULL, *b = NULL, *c = NULL;
	double peak = 0;

	if (backend_open(&be, "cpu", argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0) || be->alloc(be, &a, floats * 4) ||
	    be->alloc(be, &b, floats * 4) || be->alloc(be, &c, floats * 4)) {
		fprintf(stderr, "bench_kernels: %s\n", err_text());
		return 69;
	}
	const struct product products[] = { { "nt", run_nt }, { "nn", run_nn }, { "tn", run_tn } };
	for (size_t i = 0; i < floats; i++)
		((float *)a)[i] = ((float *)b)[i] = (float)(i % 17) / 17.0f - 0.5f;
	printf("%-18s %8s %8s %8s   GFLOP/s, best of many calls, %d threads\n", "M x N x K", "nt", "nn", "tn",
	       be->threads);
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
		printf("%4d x %4d x %4d ", shapes[s][0], shapes[s][1], shapes[s][2]);
		for (size_t p = 0; p < ARRAY_LEN(products); p++) {
			double r = best_rate(be, &products[p], c, a, b, shapes[s][0], shapes[s][1], shapes[s][2]);

			printf(" %8.1f", r);
			peak = r > peak ? r : peak;
		}
		putchar('\n');
	}
	printf("measured sgemm peak %.1f GFLOP/s\n", peak);
	be->free(be, a);
	be->free(be, b);
	be->free(be, c);
	backend_close(be);
	return 0;
}
