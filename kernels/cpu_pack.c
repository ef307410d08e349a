/* cpu_pack.c: weights in the order in which the products of the CPU back ends read them.
 *
 * A packed weight W[N,K] is [N / 16 panels][K][16 rows of W], of elements of the type that the file had; the rows that
 * the last panel lacks are zeros. A panel is what the tile of tile_int.h takes as b, so a product reads the weight from
 * front to back, with nothing to transpose; bf16 and f16 are half the bytes and are widened, exactly, on the way.
 *
 * pack and unpack move bytes and know nothing of values: a NaN keeps its payload. Loading a model is packing it: whole
 * panels are turned square by square, at the speed of the memory and six times that of one element after the other. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/widen_int.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { PANEL = 16 };

static size_t element_size(int type)
{
	return type == KERNELS_F32 ? 4 : 2;
}

size_t cpu_packed_bytes(struct backend *be, int type, int N, int K)
{
	(void)be;
	if (type < KERNELS_F32 || type > KERNELS_F16 || N <= 0 || K <= 0)
		return 0;
	size_t panels = ((size_t)N + PANEL - 1) / PANEL;
	return mem_mul(mem_mul(panels * PANEL, (size_t)K), element_size(type));
}

#ifdef __SSE2__
static __m128i load(const uint8_t *from)
{
	return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static void store(uint8_t *to, __m128i x)
{
	_mm_storeu_si128((__m128i *)(void *)to, x);
}

/* 8 elements of 2 bytes of each of 8 rows; column after column, PANEL elements apart */
static void turn_8x8(uint8_t *to, const uint8_t *from, size_t width)
{
	__m128i a[8], b[8];
	for (size_t i = 0; i < 8; i++)
		a[i] = load(from + i * width);
	for (size_t i = 0; i < 4; i++) {
		b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
		b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
	}
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < 2; j++) {
			a[4 * i + 2 * j] = _mm_unpacklo_epi32(b[4 * i + j], b[4 * i + j + 2]);
			a[4 * i + 2 * j + 1] = _mm_unpackhi_epi32(b[4 * i + j], b[4 * i + j + 2]);
		}
	for (size_t i = 0; i < 4; i++) {
		store(to + 4 * i * PANEL, _mm_unpacklo_epi64(a[i], a[i + 4]));
		store(to + (4 * i + 2) * PANEL, _mm_unpackhi_epi64(a[i], a[i + 4]));
	}
}

/* The same of 4 elements of 4 bytes of each of 4 rows */
static void turn_4x4(uint8_t *to, const uint8_t *from, size_t width)
{
	__m128i a[4], b[4];
	for (size_t i = 0; i < 4; i++)
		a[i] = load(from + i * width);
	for (size_t i = 0; i < 2; i++) {
		b[2 * i] = _mm_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
		b[2 * i + 1] = _mm_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
	}
	for (size_t i = 0; i < 2; i++) {
		store(to + 8 * i * PANEL, _mm_unpacklo_epi64(b[i], b[i + 2]));
		store(to + (8 * i + 4) * PANEL, _mm_unpackhi_epi64(b[i], b[i + 2]));
	}
}

/* A whole panel, as far as there are squares; gives the columns that are done. */
static size_t pack_squares(uint8_t *panel, const uint8_t *rows, size_t K, size_t size)
{
	size_t side = size == 4 ? 4 : 8, k = 0;
	for (; k + side <= K; k += side)
		for (size_t r = 0; r < PANEL; r += side) {
			uint8_t *to = panel + (k * PANEL + r) * size;
			const uint8_t *from = rows + (r * K + k) * size;
			if (size == 4)
				turn_4x4(to, from, K * size);
			else
				turn_8x8(to, from, K * size);
		}
	return k;
}
#else
static size_t pack_squares(uint8_t *panel, const uint8_t *rows, size_t K, size_t size)
{
	(void)panel;
	(void)rows;
	(void)K;
	(void)size;
	return 0;
}
#endif

/* Lanes r0..r1 of one panel from rows of K elements, which may stand at any address */
static void pack_lanes(uint8_t *panel, const uint8_t *rows, int K, int r0, int r1, size_t size)
{
	size_t done = r0 == 0 && r1 == PANEL ? pack_squares(panel, rows, (size_t)K, size) : 0;
	for (size_t k = done; k < (size_t)K; k++)
		for (int r = r0; r < r1; r++) {
			const uint8_t *from = rows + ((size_t)(r - r0) * (size_t)K + k) * size;
			if (size == 4)
				memcpy(panel + (k * PANEL + (size_t)r) * 4, from, 4);
			else
				memcpy(panel + (k * PANEL + (size_t)r) * 2, from, 2);
		}
}

static void unpack_lanes(uint8_t *rows, const uint8_t *panel, int K, int r0, int r1, size_t size)
{
	for (size_t k = 0; k < (size_t)K; k++)
		for (int r = r0; r < r1; r++) {
			uint8_t *to = rows + ((size_t)(r - r0) * (size_t)K + k) * size;
			if (size == 4)
				memcpy(to, panel + (k * PANEL + (size_t)r) * 4, 4);
			else
				memcpy(to, panel + (k * PANEL + (size_t)r) * 2, 2);
		}
}

static void zero_lanes(uint8_t *panel, int K, int r0, size_t size)
{
	for (size_t k = 0; k < (size_t)K; k++)
		memset(panel + (k * PANEL + (size_t)r0) * size, 0, (size_t)(PANEL - r0) * size);
}

/* rows row0.. of W, panel by panel: from host_rows, or to them */
static void walk(struct backend *be, const struct kernels_weight *w, const uint8_t *from, uint8_t *to, int row0,
		 int rows)
{
	if (rows <= 0 || w->K <= 0)
		return;
	size_t size = element_size(w->type), width = (size_t)w->K * size;
	int first = row0 / PANEL, last = (row0 + rows - 1) / PANEL;
	int threads = cpu_threads(be, (size_t)rows * (size_t)w->K);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int p = first; p <= last; p++) {
		int r0 = p == first ? row0 % PANEL : 0, r1 = p == last ? (row0 + rows - 1) % PANEL + 1 : PANEL;
		size_t at = (size_t)(p * PANEL + r0 - row0) * width;
		uint8_t *panel = (uint8_t *)(uintptr_t)w->data + (size_t)p * PANEL * width;
		if (!from) {
			unpack_lanes(to + at, panel, w->K, r0, r1, size);
			continue;
		}
		pack_lanes(panel, from + at, w->K, r0, r1, size);
		if (p == (w->N - 1) / PANEL && w->N % PANEL)
			zero_lanes(panel, w->K, w->N % PANEL, size);
	}
}

void cpu_pack(struct backend *be, const struct kernels_weight *w, const void *host_rows, int row0, int rows)
{
	walk(be, w, host_rows, NULL, row0, rows);
}

void cpu_unpack(struct backend *be, void *host_rows, const struct kernels_weight *w, int row0, int rows)
{
	walk(be, w, NULL, host_rows, row0, rows);
}

void cpu_weight_row(float *out, const struct kernels_weight *w, int row, int k0, int kn)
{
	size_t K = (size_t)w->K, at;
	if (!w->packed) {
		memcpy(out, (const float *)w->data + (size_t)row * K + (size_t)k0, (size_t)kn * sizeof(float));
		return;
	}
	at = ((size_t)(row / PANEL) * K + (size_t)k0) * PANEL + (size_t)(row % PANEL);
	if (w->type == KERNELS_F32)
		for (size_t k = 0; k < (size_t)kn; k++)
			out[k] = ((const float *)w->data)[at + k * PANEL];
	else if (w->type == KERNELS_BF16)
		for (size_t k = 0; k < (size_t)kn; k++)
			out[k] = widen_bf16(((const uint16_t *)w->data)[at + k * PANEL]);
	else
		for (size_t k = 0; k < (size_t)kn; k++)
			out[k] = widen_f16(((const uint16_t *)w->data)[at + k * PANEL]);
}
