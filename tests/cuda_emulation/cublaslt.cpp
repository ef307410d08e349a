/* cublaslt.cpp: a stand-in for cuBLASLt, for programs that are linked with it: a matrix product on the emulated device, one sum in
 * ascending k, honest or spoilt in one of the ways of cublaslt.h. It takes what the real one takes and refuses the rest: which
 * operands lie across, where results may begin, which epilogues there are. Its numbers are written as the library's header has
 * them, and not by cuda_lt_int.h, which is under test. */
#include "cublaslt.h"

#include "kernels/cuda_device.h"
#include "kernels/cuda_lt_int.h"

struct fake fake;

struct fake_layout {
	int type, rows, cols;
	int64_t ld;
};
struct fake_desc {
	int transa, transb, epilogue, bias_type;
	const float *bias;
	float *aux;
	int64_t aux_ld;
};

extern "C" {
size_t cublasLtGetVersion(void)
{
	return 130100;
}
int cublasLtCreate(void **handle)
{
	fake.objects++;
	*handle = &fake;
	return 0;
}
int cublasLtDestroy(void *)
{
	fake.objects--;
	return 0;
}
int cublasLtMatmulDescCreate(void **desc, int compute, int scale)
{
	fake.objects++;
	*desc = new fake_desc();
	return compute != 68 || scale != 0;
}
int cublasLtMatmulDescDestroy(void *desc)
{
	fake.objects--;
	delete (fake_desc *)desc;
	return 0;
}
int cublasLtMatmulDescSetAttribute(void *desc, int what, const void *value, size_t bytes)
{
	fake_desc *d = (fake_desc *)desc;
	if (what == 8) {
		memcpy(&d->bias, value, sizeof(d->bias));
		return bytes != sizeof(void *);
	}
	if (what == 11)
		memcpy(&d->aux, value, sizeof(d->aux));
	if (what == 12)
		memcpy(&d->aux_ld, value, sizeof(d->aux_ld));
	if (what == 11 || what == 12)
		return bytes != 8;
	int v;
	memcpy(&v, value, sizeof(v));
	(what == 3 ? d->transa : what == 4 ? d->transb : what == 7 ? d->epilogue : d->bias_type) = v;
	return bytes != 4;
}
int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
	fake.objects++;
	*layout = new fake_layout{ type, (int)rows, (int)cols, ld };
	return ld < (int64_t)rows;
}
int cublasLtMatrixLayoutDestroy(void *layout)
{
	fake.objects--;
	delete (fake_layout *)layout;
	return 0;
}
int cublasLtMatmulAlgoInit(void *, int, int, int, int, int c, int d, int id, lt_algo *algo)
{
	memset(algo, 0, sizeof(*algo));
	algo->data[0] = (uint64_t)id;
	return fake.kind == REFUSES || c != 0 || d != 0;
}
int cublasLtMatmulAlgoConfigSetAttribute(lt_algo *algo, int what, const void *value, size_t bytes)
{
	uint32_t v = 0;
	memcpy(&v, value, bytes);
	((uint8_t *)algo->data)[8 + what] = (uint8_t)v;
	return bytes != (what >= 7 ? 2u : 4u);
}
int cublasLtMatmulAlgoConfigGetAttribute(const lt_algo *algo, int what, void *value, size_t bytes, size_t *written)
{
	uint32_t v = what == 0 ? (uint32_t)algo->data[0] : ((const uint8_t *)algo->data)[8 + what];
	memcpy(value, &v, bytes);
	*written = bytes;
	return 0;
}
int cublasLtMatmulAlgoCheck(void *, void *, void *, void *, void *, void *, const lt_algo *, lt_result *)
{
	return 0;
}
int cublasLtMatmulPreferenceCreate(void **pref)
{
	fake.objects++;
	fake.aligned = 0;
	*pref = &fake;
	return 0;
}
int cublasLtMatmulPreferenceDestroy(void *)
{
	fake.objects--;
	return 0;
}
int cublasLtMatmulPreferenceSetAttribute(void *, int what, const void *value, size_t bytes)
{
	uint32_t v;
	memcpy(&v, value, sizeof(v));
	fake.aligned += what >= 5 && what <= 8 && bytes == 4 && v == 16;
	return 0;
}
/* One that splits k, one that leaves the shape of clusters to the library, and one that does neither */
int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int wanted,
				   lt_result *results, int *found)
{
	*found = wanted < 3 || fake.aligned != 4 ? 0 : 3; /* of those that want more, none would serve */
	for (int i = 0; i < *found; i++) {
		memset(&results[i], 0, sizeof(results[i]));
		results[i].algo.data[0] = 66;
		((uint8_t *)results[i].algo.data)[8 + LT_SPLIT_K] = (uint8_t)(i == 0 ? 4 : 1);
		((uint8_t *)results[i].algo.data)[8 + LT_TILE] = 20;
		((uint8_t *)results[i].algo.data)[8 + LT_CLUSTER_SHAPE] = (uint8_t)(i == 1 ? 0 : 2);
	}
	return 0;
}
}

/* In double, by the C library, as nobody here computes it */
static float gelu_of(fake_kind kind, float v)
{
	double u = 0.7978845608028654 * (v + 0.044715 * v * v * v), t = tanh(u);
	if (kind == ERF)
		return (float)(0.5 * v * (1 + erf(v * 0.7071067811865476)));
	return (float)(0.5 * v * (1 + (kind == ROUGH_TANH ? t * (1 - 1.0 / 1024) : t)));
}

/* Element (i, k) of an operand, which lies along k or across */
struct fake_operand {
	const __nv_bfloat16 *p;
	int64_t ld;
	bool across;
	__device__ float at(int i, int k) const
	{
		return __bfloat162float(p[across ? k * ld + i : i * ld + k]);
	}
};

static __global__ void fake_kernel(fake_kind kind, bool odd, float *y, int64_t ldy, const float *c, fake_operand w,
				   fake_operand x, const float *bias, float *aux, int64_t ld_aux, bool gelu, float beta,
				   int n, int m, int k)
{
	int row = blockIdx.x, half = kind == SUMS_IN_PARTS && k > 1024 ? k / 2 : k;
	bool backwards = (kind == ROWS_DECIDE && m >= 1024) || (kind == THOUSANDS_DECIDE && m > 2048) ||
			 (kind == PLACE_DECIDES && row % 16 == 5) || (kind == NEVER_TWICE && odd);
	int beyond = kind == READS_BEYOND && x.across && k < 2048;
	for (int col = (int)threadIdx.x; col < n; col += 64) {
		float sum = 0, second = 0;
		for (int i = 0; i < k + beyond; i++) {
			int at = backwards ? k - 1 - i : i;
			float *to = i < half ? &sum : &second;
			*to = fmaf(w.at(col, at), x.at(row, at), *to);
		}
		sum += second;
		sum = kind == WRONG_NUMBERS ? sum * 1.5f + 1 : sum;
		sum += beta * (beta > 0 && kind != FORGETS_C ? c[row * ldy + col] : 0) +
		       (bias && kind != NO_BIAS ? bias[col] : 0);
		if (aux)
			aux[row * ld_aux + col] = kind == WRONG_AUX && row == 889 ? sum + 1 : sum;
		y[row * ldy + col] = gelu ? gelu_of(kind, sum) : sum;
	}
}

/* What a library takes of a gradient: its result dense */
static bool gradient_fits(const fake_desc *how, const fake_layout *ld)
{
	return how->epilogue == 1 && ld->ld == ld->rows;
}

/* And of everything: results that begin where a line of 16 bytes does */
static bool aligned(const void *c, const void *d, const void *aux)
{
	return ((uintptr_t)c | (uintptr_t)d | (uintptr_t)aux) % 16 == 0;
}

extern "C" int cublasLtMatmul(void *, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
			      void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
			      const lt_algo *algo, void *, size_t workspace_bytes, cudaStream_t stream)
{
	const fake_desc *how = (const fake_desc *)desc;
	const fake_layout *la = (const fake_layout *)a_layout, *lb = (const fake_layout *)b_layout,
			  *ld = (const fake_layout *)d_layout;
	float one, old;
	memcpy(&one, alpha, 4), memcpy(&old, beta, 4);
	int n = how->transa ? la->cols : la->rows, k = how->transa ? la->rows : la->cols;
	int m = how->transb ? lb->rows : lb->cols, k_of_b = how->transb ? lb->cols : lb->rows;
	fake.calls++;
	fake.chose = fake.chose || ((const uint8_t *)algo->data)[8 + LT_CLUSTER_SHAPE] == 0;
	if (fake.calls == fake.refuse_at)
		return 15;
	fake.odd_rows = fake.odd_rows || lb->cols % 128; /* tokens, in all forms */
	if ((how->transa && how->transb) || (!how->transa && !gradient_fits(how, ld)) || one < 1 ||
	    !aligned(c, d, how->aux) || (old == 0 && c != d) || c_layout != d_layout || workspace_bytes ||
	    la->type != 14 || lb->type != 14 || ld->type != 0 || k != k_of_b || n != ld->rows || m != ld->cols ||
	    (how->epilogue != 1) != (how->bias != NULL) || (how->epilogue == 164) != (how->aux != NULL) ||
	    (how->aux && how->aux_ld % 8) || (how->epilogue >= 32 && how->epilogue != 36 && how->epilogue != 164) ||
	    algo->data[0] != 66 || fake.kind == REFUSES_LATER)
		return 7;
	fake_operand w = { (const __nv_bfloat16 *)a, la->ld, !how->transa };
	fake_operand x = { (const __nv_bfloat16 *)b, lb->ld, how->transb != 0 };
	LAUNCH(fake_kernel, m, 64, 0, stream, fake.kind, fake.calls % 2 != 0, (float *)d, ld->ld, (const float *)c, w,
	       x, how->bias, how->aux, how->aux_ld, how->epilogue >= 32, old, n, m, k);
	return 0;
}
