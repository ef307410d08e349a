/* test_elements.c: halves and bfloat16s to floats and back, as the compiler's own conversions have them. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

static uint32_t bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, 4);
	return bits;
}

static float float_of(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, 4);
	return x;
}

static void test_elements_widen__every_half(void **state)
{
	uint16_t *in = mem_array(65537, sizeof(*in));
	float *out = mem_array(65536, sizeof(*out));
	uint8_t *odd = (uint8_t *)in + 1; /* stored elements may lie anywhere */

	(void)state;
	for (uint32_t i = 0; i < 65536; i++) {
		uint16_t h = (uint16_t)i;
		memcpy(odd + 2 * i, &h, 2);
	}
	elements_widen(out, odd, "F16", 65536);
	for (uint32_t i = 0; i < 65536; i++) {
		uint16_t h = (uint16_t)i;
		_Float16 want;
		memcpy(&want, &h, 2);
		if (isnan((float)want))
			assert_true(isnan(out[i]));
		else
			assert_int_equal(bits_of(out[i]), bits_of((float)want));
	}
	elements_widen(out, odd, "BF16", 65536);
	for (uint32_t i = 0; i < 65536; i++)
		assert_int_equal(bits_of(out[i]), i << 16);
	free(in);
	free(out);
}

/* Every 4093rd float, and both sides of every tie of the last place: the whole of them was compared once. */
static void test_elements_half__rounds_as_the_compiler(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < UINT64_C(1) << 32; i += 4093) {
		float x = float_of((uint32_t)i);
		_Float16 h = (_Float16)x;
		uint16_t want, got = elements_half(x);
		memcpy(&want, &h, 2);
		if (isnan(x))
			assert_true((got & 0x7c00) == 0x7c00 && (got & 0x3ff) && got >> 15 == (uint32_t)(i >> 31));
		else
			assert_int_equal(got, want);
	}
	for (uint32_t i = 0; i < 0x7c00; i++) {
		float low, high, tie;
		uint16_t h[2] = { (uint16_t)i, (uint16_t)(i + 1) };
		elements_widen(&low, &h[0], "F16", 1);
		elements_widen(&high, &h[1], "F16", 1);
		tie = i == 0x7bff ? 65520.0f : (float)(((double)low + (double)high) / 2);
		assert_int_equal(elements_half(tie), i + (i & 1));
		assert_int_equal(elements_half(-tie), 0x8000 | (i + (i & 1)));
		assert_int_equal(elements_half(nextafterf(tie, 0)), i);
		assert_int_equal(elements_half(nextafterf(tie, 1e9f)), i + 1);
	}
}

static void test_elements_narrow__bf16_rounds_to_even(void **state)
{
	static const uint32_t in[] = { 0x3f800000, 0x3f808000, 0x3f808001, 0x3f818000, 0x3f817fff, 0x7f7fffff,
				       0x7f800000, 0xff800000, 0x7f800001, 0xffffffff, 0x00000001, 0x80000000 };
	static const uint16_t want[] = { 0x3f80, 0x3f80, 0x3f81, 0x3f82, 0x3f81, 0x7f80,
					 0x7f80, 0xff80, 0x7fc0, 0xffff, 0x0000, 0x8000 };
	float x[ARRAY_LEN(in)];
	uint16_t out[ARRAY_LEN(in)];

	(void)state;
	memcpy(x, in, sizeof(in));
	elements_narrow(out, x, "BF16", ARRAY_LEN(in));
	assert_memory_equal(out, want, sizeof(want));
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		assert_int_equal(elements_bf16(x[i]), want[i]);
}

static void test_elements_transpose__any_shape_and_size(void **state)
{
	static const int shapes[][2] = { { 1, 1 }, { 1, 70 }, { 70, 1 }, { 32, 32 }, { 33, 65 }, { 7, 100 } };
	static const size_t sizes[] = { 2, 4, 8 };

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
		for (size_t z = 0; z < ARRAY_LEN(sizes); z++) {
			size_t rows = (size_t)shapes[s][0], cols = (size_t)shapes[s][1], size = sizes[z];
			uint8_t *in = mem_array(rows * cols, size), *out = mem_array(rows * cols, size);
			for (size_t i = 0; i < rows * cols * size; i++)
				in[i] = (uint8_t)(i * 131 >> 3);
			elements_transpose(out, in, (int)rows, (int)cols, size);
			for (size_t i = 0; i < rows; i++)
				for (size_t j = 0; j < cols; j++)
					assert_memory_equal(out + (j * rows + i) * size, in + (i * cols + j) * size,
							    size);
			free(in);
			free(out);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elements_widen__every_half),
		cmocka_unit_test(test_elements_half__rounds_as_the_compiler),
		cmocka_unit_test(test_elements_narrow__bf16_rounds_to_even),
		cmocka_unit_test(test_elements_transpose__any_shape_and_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
