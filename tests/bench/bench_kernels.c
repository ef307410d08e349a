/* bench_kernels.c: the fast CPU back end beside what the machine can do at most: multiply-adds in registers, and memory
 * read front to back. Then the products of a linear layer, at the demo's shapes and at GPT-2's, in GFLOP/s; few rows on
 * packed weights, in GB/s of weights read; the optimizer, in GB/s. The best product is the measured sgemm peak that
 * docs/benchmarks.md states shares of. bench_kernels [THREADS] */
#include "base/base.h"
#include "kernels/kernels.h"

enum { M_MAX = 1024, WIDE = 3072, VOCAB = 50257, HIDDEN = 768 };

struct bench {
	struct backend *be;
	float *x, *y, *w, *dw; /* x and y: M_MAX rows, or 256 of VOCAB; w and dw: VOCAB x HIDDEN */
	void *packed;
	int M;
	struct kernels_weight weight;
	volatile uint32_t seen; /* so that reading is not left out */
};

typedef void work_fn(struct bench *b);

static void run_forward(struct bench *b)
{
	struct kernels_linear how = { b->M, b->weight.K, b->weight.N, NULL, 0 };
	b->be->linear(b->be, b->y, b->x, &b->weight, &how);
}

static void run_dx(struct bench *b)
{
	struct kernels_linear how = { b->M, b->weight.K, b->weight.N, NULL, 0 };
	b->be->linear_dx(b->be, b->x, b->y, &b->weight, &how);
}

static void run_dw(struct bench *b)
{
	struct kernels_linear how = { b->M, b->weight.K, b->weight.N, NULL, 0 };
	b->be->linear_dw(b->be, b->dw, b->y, b->x, b->weight.N, b->weight.K, &how);
}

static void run_adamw(struct bench *b)
{
	const struct kernels_adamw how = { 1e-4f, 0.9f, 0.99f, 1e-8f, 0.1f, 1, 3 };
	size_t n = (size_t)VOCAB * HIDDEN / 4;
	b->be->adamw(b->be, b->w, b->w + n, b->w + 2 * n, b->dw, n, &how);
}

/* Every line of w, a part a thread, four chains of integers: nothing but reading */
static void run_read(struct bench *b)
{
	typedef uint32_t v8 __attribute__((vector_size(32), aligned(4), may_alias));
	const size_t n = (size_t)VOCAB * HIDDEN / 32;
	const float *w = b->w;
	int threads = b->be->threads;
	uint32_t any = 0;
#pragma omp parallel num_threads(threads) reduction(| : any)
	{
		v8 acc[4] = { { 0 } };
#pragma omp for schedule(static)
		for (size_t i = 0; i < n; i++)
			for (size_t r = 0; r < 4; r++)
				acc[r] |= *(const v8 *)(w + i * 32 + r * 8);
		acc[0] |= acc[1] | acc[2] | acc[3];
		for (int i = 0; i < 8; i++)
			any |= acc[0][i];
	}
	b->seen = any;
}

/* Ten chains of multiply-adds a thread, 1e6 long: no memory at all */
static void run_peak(struct bench *b)
{
	typedef float v8 __attribute__((vector_size(32)));
	int threads = b->be->threads;
	volatile float sink = 0;
	(void)sink;
#pragma omp parallel num_threads(threads)
	{
		v8 acc[10] = { 0 }, x = { 1, 1, 1, 1, 1, 1, 1, 1 }, y = x * 0.5f;
		for (int i = 0; i < 1000000; i++) {
#pragma GCC unroll 10
			for (int r = 0; r < 10; r++)
#if defined(__AVX2__) && defined(__FMA__)
				acc[r] = (v8)__builtin_ia32_vfmaddps256(x, y, acc[r]);
#else
				acc[r] = x * y + acc[r];
#endif
		}
		for (int r = 0; r < 10; r++)
			sink = acc[r][0];
	}
}

/* Seconds of the fastest of many calls */
static double best(struct bench *b, work_fn *work)
{
	double fastest = 1e9, spent = 0;
	work(b); /* caches, scratch, threads */
	for (int i = 0; i < 200 && spent < 0.3; i++) {
		double start = clock_seconds(), s;
		work(b);
		s = clock_seconds() - start;
		spent += s;
		fastest = s < fastest ? s : fastest;
	}
	return fastest;
}

static void set_rows(struct bench *b, int M, int N, int K)
{
	b->M = M;
	b->weight = (struct kernels_weight){ b->w, N, K, KERNELS_F32, 0 };
}

/* Panels of any type from the bytes of w: only the speed matters, and every type reads finite numbers there */
static void set_packed(struct bench *b, int M, int N, int K, int type)
{
	b->M = M;
	b->weight = (struct kernels_weight){ b->packed, N, K, type, 1 };
	b->be->pack(b->be, &b->weight, b->w, 0, N);
}

static double print_products(struct bench *b)
{
	static const int shapes[][3] = { { 1024, 192, 192 },    { 1024, 512, 192 },          { 1024, 192, 512 },
					 { 1024, 1024, 1024 },  { 256, 3 * HIDDEN, HIDDEN }, { 256, HIDDEN, HIDDEN },
					 { 256, WIDE, HIDDEN }, { 256, HIDDEN, WIDE },       { 256, VOCAB, HIDDEN } };
	double peak = 0;
	printf("%-20s %8s %8s %8s %8s %8s %8s   GFLOP/s\n", "M x N x K", "rows", "dx", "dw", "packed", "bf16",
	       "bf16 dx");
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
		int M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
		double flop = 2e-9 * M * N * K, rate[6];
		set_rows(b, M, N, K);
		rate[0] = flop / best(b, run_forward);
		rate[1] = flop / best(b, run_dx);
		rate[2] = flop / best(b, run_dw);
		set_packed(b, M, N, K, KERNELS_F32);
		rate[3] = flop / best(b, run_forward);
		set_packed(b, M, N, K, KERNELS_BF16);
		rate[4] = flop / best(b, run_forward);
		rate[5] = flop / best(b, run_dx);
		printf("%4d x %5d x %4d  ", M, N, K);
		for (size_t i = 0; i < ARRAY_LEN(rate); i++) {
			printf(" %8.1f", rate[i]);
			peak = rate[i] > peak ? rate[i] : peak;
		}
		putchar('\n');
	}
	return peak;
}

static void print_few_rows(struct bench *b)
{
	static const int Ms[] = { 1, 2, 4, 6, 8, 12, 16, 24, 36, 48, 49, 64 };
	static const char *const names[] = { "f32", "bf16", "f16" };
	printf("%-20s", "rows M, 50257 x 768");
	for (size_t m = 0; m < ARRAY_LEN(Ms); m++)
		printf(" %8d", Ms[m]);
	printf("   GB/s of packed weights\n");
	for (int type = 0; type < 3; type++) {
		set_packed(b, 1, VOCAB, HIDDEN, type);
		printf("%-20s", names[type]);
		for (size_t m = 0; m < ARRAY_LEN(Ms); m++) {
			b->M = Ms[m];
			printf(" %8.1f", 1e-9 * VOCAB * HIDDEN * (type ? 2 : 4) / best(b, run_forward));
		}
		putchar('\n');
	}
}

static int bench_open(struct bench *b, int threads)
{
	size_t rows = (size_t)256 * VOCAB, weights = (size_t)VOCAB * HIDDEN;
	struct {
		float **to;
		size_t n;
	} parts[] = { { &b->x, rows }, { &b->y, rows }, { &b->w, weights }, { &b->dw, weights } };
	int rc = backend_open(&b->be, "cpu", threads);
	for (size_t i = 0; !rc && i < ARRAY_LEN(parts); i++) {
		void *p;
		rc = b->be->alloc(b->be, &p, parts[i].n * sizeof(float));
		if (rc)
			break;
		*parts[i].to = p;
		for (size_t k = 0; k < parts[i].n; k++) /* halves of it are finite as bf16 and as f16 too */
			(*parts[i].to)[k] = 0.5f + (float)(k % 17) / 64;
	}
	return rc ? rc : b->be->alloc(b->be, &b->packed, b->be->packed_bytes(b->be, KERNELS_F32, VOCAB, HIDDEN));
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	if (bench_open(&b, argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0)) {
		fprintf(stderr, "bench_kernels: %s\n", err_text());
		return 69;
	}
	printf("%s, %d threads, the best of many calls\n", b.be->numerics, b.be->threads);
	printf("multiply-adds in registers %.1f GFLOP/s, memory read %.1f GB/s\n",
	       1e-9 * 10 * 16 * 1e6 * b.be->threads / best(&b, run_peak),
	       1e-9 * VOCAB * HIDDEN * 4 / best(&b, run_read));
	double peak = print_products(&b);
	print_few_rows(&b);
	printf("adamw %.1f GB/s (28 bytes a parameter)\n", 1e-9 * VOCAB * HIDDEN / 4 * 28 / best(&b, run_adamw));
	printf("measured sgemm peak %.1f GFLOP/s\n", peak);
	backend_close(b.be);
	return 0;
}
