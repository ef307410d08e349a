/* cuda_fp16.h, of the emulation: half precision, read only. */
#ifndef CUDA_EMULATION_FP16_H
#define CUDA_EMULATION_FP16_H

#include "emulation.h"

struct __half {
	uint16_t bits;
};

static inline float __half2float(__half h)
{
	int exponent = h.bits >> 10 & 31, fraction = h.bits & 1023;
	float v = exponent == 31 ? (fraction ? NAN : INFINITY)
		  : exponent     ? ldexpf((float)(fraction | 1024), exponent - 25)
				 : ldexpf((float)fraction, -24);
	return h.bits & 0x8000 ? -v : v;
}

#endif
