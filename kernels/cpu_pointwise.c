/* cpu_pointwise.c: operations without a sum: embedding, rotary positions, SwiGLU, GELU, dropout, additions,
 * picking and putting of rows.
 *
 * Each element depends on its own inputs, so any division among threads gives the same bits. The one exception is
 * embed_back, where rows of the batch meet in one row of the table: there threads divide the columns, and every thread
 * walks the rows in order. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/vmath_int.h"

enum { CHUNK = 4096 }; /* floats a thread takes at a time */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void add_row(float *to, const float *from, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		to[i] += from[i];
}

void cpu_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T, bool add)
{
	size_t width = (size_t)table->K;
	int threads = cpu_threads(be, (size_t)T * width);
#pragma omp parallel num_threads(threads) if (threads > 1)
	{
		float *row = add ? cpu_scratch(be, width) : NULL;
#pragma omp for schedule(static) nowait
		for (int t = 0; t < T; t++) {
			float *to = out + (size_t)t * width;
			cpu_weight_row(add ? row : to, table, ids[t], 0, table->K);
			if (add)
				add_row(to, row, width);
		}
	}
}

void cpu_embed_back(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C, int V)
{
	(void)V;
	size_t width = (size_t)C, part = 16; /* columns: a cache line */
	int parts = (int)((width + part - 1) / part), threads = cpu_threads(be, (size_t)T * width / 4);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int p = 0; p < parts; p++) {
		size_t c0 = (size_t)p * part, c1 = min_size(width, c0 + part);
		for (size_t t = 0; t < (size_t)T; t++)
			for (size_t c = c0; c < c1; c++)
				dtable[(size_t)ids[t] * width + c] += dout[t * width + c];
	}
}

void cpu_rope(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H, int D,
	      bool back)
{
	int half = D / 2, threads = cpu_threads(be, (size_t)T * (size_t)H * (size_t)D / 4);
	float turn = back ? -1.0f : 1.0f;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int t = 0; t < T; t++) {
		const float *c = cos_sin + (size_t)pos[t] * (size_t)D, *s = c + half;
		for (int h = 0; h < H; h++) {
			float *u = x + (size_t)t * (size_t)stride + (size_t)h * (size_t)D, *v = u + half;
#pragma omp simd
			for (int i = 0; i < half; i++) {
				float a = u[i], b = v[i], sin = s[i] * turn;
				u[i] = a * c[i] - b * sin;
				v[i] = b * c[i] + a * sin;
			}
		}
	}
}

VEC_INLINE v8f silu_times(v8f gate, v8f up)
{
	return gate / (v8f_all(1) + v8f_exp(-gate)) * up;
}

VEC_INLINE void silu_times_back(v8f *dgate, v8f *dup, v8f dout, v8f gate, v8f up)
{
	const v8f one = v8f_all(1);
	v8f sig = one / (one + v8f_exp(-gate));
	*dgate = dout * up * (sig * (one + gate * (one - sig)));
	*dup = dout * (gate * sig);
}

void cpu_swiglu(struct backend *be, float *out, const float *gate, const float *up, size_t n)
{
	int threads = cpu_threads(be, n);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t i = at, end = min_size(n, at + CHUNK);
		for (; i + 8 <= end; i += 8)
			v8f_store(out + i, silu_times(v8f_load(gate + i), v8f_load(up + i)));
		int left = (int)(end - i);
		v8f_store_part(out + i, left,
			       silu_times(v8f_load_part(gate + i, left, 0), v8f_load_part(up + i, left, 0)));
	}
}

void cpu_swiglu_back(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
		     const float *up, size_t n)
{
	int threads = cpu_threads(be, n * 2);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t i = at, end = min_size(n, at + CHUNK);
		v8f dg, du;
		for (; i + 8 <= end; i += 8) {
			silu_times_back(&dg, &du, v8f_load(dout + i), v8f_load(gate + i), v8f_load(up + i));
			v8f_store(dgate + i, dg);
			v8f_store(dup + i, du);
		}
		int left = (int)(end - i);
		silu_times_back(&dg, &du, v8f_load_part(dout + i, left, 0), v8f_load_part(gate + i, left, 0),
				v8f_load_part(up + i, left, 0));
		v8f_store_part(dgate + i, left, dg);
		v8f_store_part(dup + i, left, du);
	}
}

/* ---- GELU: x/2 (1 + tanh u) = x / (1 + e^-2u) ------------------------------------------------------------------------- */

#define GELU_2C 1.5957691216057308f /* 2 sqrt(2 / pi) */

/* 1 / (1 + e^-2u) */
VEC_INLINE v8f gelu_gate(v8f x)
{
	v8f u = v8f_all(GELU_2C) * v8f_fma(v8f_all(0.044715f) * x * x, x, x);
	return v8f_all(1) / (v8f_all(1) + v8f_exp(-u));
}

VEC_INLINE v8f gelu_back(v8f dout, v8f x)
{
	const v8f one = v8f_all(1), far = v8f_all(100.0f);
	v8f s = gelu_gate(x);
	x = v8f_pick(x > far, far, v8f_pick(x < -far, -far, x)); /* there s (1 - s) is 0, and x^2 must be finite */
	v8f slope = v8f_all(GELU_2C) * v8f_fma(v8f_all(0.134145f) * x, x, one);
	return dout * v8f_fma(x * s * (one - s), slope, s);
}

void cpu_gelu(struct backend *be, float *out, const float *x, size_t n)
{
	int threads = cpu_threads(be, n);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t i = at, end = min_size(n, at + CHUNK);
		for (; i + 8 <= end; i += 8) {
			v8f v = v8f_load(x + i);
			v8f_store(out + i, v * gelu_gate(v));
		}
		int left = (int)(end - i);
		v8f v = v8f_load_part(x + i, left, 0);
		v8f_store_part(out + i, left, v * gelu_gate(v));
	}
}

void cpu_gelu_back(struct backend *be, float *dx, const float *dout, const float *x, size_t n)
{
	int threads = cpu_threads(be, n * 2);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t i = at, end = min_size(n, at + CHUNK);
		for (; i + 8 <= end; i += 8)
			v8f_store(dx + i, gelu_back(v8f_load(dout + i), v8f_load(x + i)));
		int left = (int)(end - i);
		v8f_store_part(dx + i, left,
			       gelu_back(v8f_load_part(dout + i, left, 0), v8f_load_part(x + i, left, 0)));
	}
}

/* ---- dropout: number i of SplitMix64 seeded by the key ------------------------------------------------------------------- */

void cpu_dropout(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p)
{
	/* the 24 bits are whole numbers: below p 2^24 is below its ceiling */
	double limit = __builtin_ceil((double)p * 16777216.0);
	uint64_t below = limit > 0 ? (uint64_t)limit : 0;
	float keep = (float)(1 / (1 - (double)p));
	int threads = cpu_threads(be, n * 2);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t end = min_size(n, at + CHUNK);
		for (size_t i = at; i < end; i++) {
			uint64_t z = key + (i + 1) * 0x9e3779b97f4a7c15u;
			z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
			z = (z ^ z >> 27) * 0x94d049bb133111ebu;
			z ^= z >> 31;
			out[i] = z >> 40 < below ? 0.0f : x[i] * keep;
		}
	}
}

/* ---- additions and rows -------------------------------------------------------------------------------------------------- */

void cpu_scale(struct backend *be, float *x, size_t n, float s)
{
	int threads = cpu_threads(be, n / 4);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t end = min_size(n, at + CHUNK);
#pragma omp simd
		for (size_t i = at; i < end; i++)
			x[i] *= s;
	}
}

void cpu_add(struct backend *be, float *x, const float *y, size_t n)
{
	int threads = cpu_threads(be, n / 4);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t at = 0; at < n; at += CHUNK) {
		size_t end = min_size(n, at + CHUNK);
#pragma omp simd
		for (size_t i = at; i < end; i++)
			x[i] += y[i];
	}
}

void cpu_gather(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C)
{
	size_t width = (size_t)C;
	int threads = cpu_threads(be, (size_t)n * width / 8);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int i = 0; i < n; i++)
		memcpy(out + (size_t)i * width, src + (size_t)rows[i] * width, width * sizeof(float));
}

void cpu_scatter_add(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C)
{
	size_t width = (size_t)C;
	int threads = cpu_threads(be, (size_t)n * width / 4);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int i = 0; i < n; i++) {
		float *to = dsrc + (size_t)rows[i] * width;
		const float *from = dout + (size_t)i * width;
		add_row(to, from, width);
	}
}

void cpu_put_rows(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride, const int32_t *rows,
		  int n, int width)
{
	int threads = cpu_threads(be, (size_t)n * (size_t)width / 8);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int i = 0; i < n; i++)
		if (rows[i] >= 0)
			memcpy(dst + (size_t)rows[i] * (size_t)dst_stride, src + (size_t)i * (size_t)src_stride,
			       (size_t)width * sizeof(float));
}
