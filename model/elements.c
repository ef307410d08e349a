/* elements.c: arrays of stored elements: to floats and back, and turned.
 *
 * A checkpoint is hundreds of megabytes of these, so the loops have no branch and no call, and the compiler makes vectors
 * of them. Stored elements may lie unaligned (old files): they are copied out, never cast. On the way to half precision a
 * power of two is added whose last bit is the half's last bit, so that the adder does the rounding. */
#include "base/base.h"

#include "model/model_int.h"

/* A tile at a time, so that both sides stay in the cache; `size` is a constant where it is called. */
static inline void turn(char *out, const char *in, size_t rows, size_t cols, size_t size)
{
	enum { SIDE = 32 };

	for (size_t i0 = 0; i0 < rows; i0 += SIDE)
		for (size_t j0 = 0; j0 < cols; j0 += SIDE)
			for (size_t j = j0; j < cols && j < j0 + SIDE; j++)
				for (size_t i = i0; i < rows && i < i0 + SIDE; i++)
					memcpy(out + (j * rows + i) * size, in + (i * cols + j) * size, size);
}

void elements_transpose(void *out, const void *in, int rows, int cols, size_t size)
{
	if (size == 4)
		turn(out, in, (size_t)rows, (size_t)cols, 4);
	else if (size == 2)
		turn(out, in, (size_t)rows, (size_t)cols, 2);
	else
		turn(out, in, (size_t)rows, (size_t)cols, size);
}

static inline uint32_t bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, 4);
	return bits;
}

static inline float float_of(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, 4);
	return x;
}

/* Both are computed: a branch would keep the compiler from vectors. */
static inline uint32_t choose(bool which, uint32_t a, uint32_t b)
{
	uint32_t mask = 0u - (uint32_t)which;

	return (a & mask) | (b & ~mask);
}

static inline uint16_t load(const uint8_t *in, size_t i)
{
	uint16_t h;

	memcpy(&h, in + 2 * i, 2);
	return h;
}

/* Round to nearest, ties to even; NaN stays one. */
static inline uint16_t to_bf16(float x)
{
	uint32_t bits = bits_of(x), rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;

	return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40 : rounded);
}

/* The product overflows exactly where a half does. `top` is 2^15 above the exponent of x, or above that of the least
 * normal half; added, it leaves ten bits of x, rounded. */
static inline uint16_t to_half(float x)
{
	uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, twice = bits << 1, top = twice & 0xff000000u;
	float scaled = float_of(bits & 0x7fffffffu) * 0x1p112f * 0x1p-110f;

	top = top < 0x71000000u ? 0x71000000u : top;
	uint32_t sum = bits_of(float_of((top >> 1) + 0x07800000u) + scaled);
	uint32_t half = (sum >> 13 & 0x7c00) + (sum & 0xfff);
	return (uint16_t)(sign | choose(twice > 0xff000000u, 0x7e00u, half));
}

/* A half without its leading one gets it, and it is taken off again; sums and products of subnormals would be slow. */
static inline float of_half(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
	uint32_t tiny = bits_of(float_of(rest + 0x38800000u) - 0x1p-14f), normal = rest + 0x38000000u;

	normal |= rest >= 0x0f800000u ? 0x7f800000u : 0;
	return float_of(sign | choose(rest < 0x00800000u, tiny, normal));
}

uint16_t elements_bf16(float x)
{
	return to_bf16(x);
}

uint16_t elements_half(float x)
{
	return to_half(x);
}

void elements_widen(float *out, const void *in, const char *dtype, size_t n)
{
	const uint8_t *p = in;

	if (dtype[0] == 'B')
		for (size_t i = 0; i < n; i++)
			out[i] = float_of((uint32_t)load(p, i) << 16);
	else
		for (size_t i = 0; i < n; i++)
			out[i] = of_half(load(p, i));
}

void elements_narrow(void *out, const float *in, const char *dtype, size_t n)
{
	uint16_t *h = out;

	if (dtype[0] == 'B')
		for (size_t i = 0; i < n; i++)
			h[i] = to_bf16(in[i]);
	else
		for (size_t i = 0; i < n; i++)
			h[i] = to_half(in[i]);
}
