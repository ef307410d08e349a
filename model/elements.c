/* elements.c: arrays of stored elements: to floats and back, and turned. */
#include "base/base.h"

#include "model/model_int.h"

/* out[cols,rows] = in[rows,cols], elements of `size` bytes */
void elements_transpose(void *out, const void *in, int rows, int cols, size_t size)
{
	enum { SIDE = 32 };

	for (int i0 = 0; i0 < rows; i0 += SIDE)
		for (int j0 = 0; j0 < cols; j0 += SIDE)
			for (int i = i0; i < rows && i < i0 + SIDE; i++)
				for (int j = j0; j < cols && j < j0 + SIDE; j++)
					memcpy((char *)out + ((size_t)j * (size_t)rows + (size_t)i) * size,
					       (const char *)in + ((size_t)i * (size_t)cols + (size_t)j) * size, size);
}

/* Round to nearest, ties to even; NaN stays one. */
uint16_t elements_bf16(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, 4);
	if ((bits & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

uint16_t elements_half(float x)
{
	_Float16 h = (_Float16)x;
	uint16_t bits;

	memcpy(&bits, &h, 2);
	return bits;
}

static float half_to_float(uint16_t bits)
{
	_Float16 h;

	memcpy(&h, &bits, 2);
	return (float)h;
}

void elements_widen(float *out, const void *in, const char *dtype, size_t n)
{
	const uint16_t *h = in;

	for (size_t i = 0; i < n; i++) {
		uint32_t bits = (uint32_t)h[i] << 16;
		if (dtype[0] == 'B')
			memcpy(&out[i], &bits, 4);
		else
			out[i] = half_to_float(h[i]);
	}
}

void elements_narrow(void *out, const float *in, const char *dtype, size_t n)
{
	uint16_t *h = out;

	for (size_t i = 0; i < n; i++)
		h[i] = dtype[0] == 'B' ? elements_bf16(in[i]) : elements_half(in[i]);
}
