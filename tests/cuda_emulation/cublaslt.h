/* cublaslt.h: how the stand-in for cuBLASLt (cublaslt.cpp) behaves, and what it has seen. In C, too. */
#ifndef CUBLASLT_H
#define CUBLASLT_H

#include <stdbool.h>

enum fake_kind {
	HONEST,
	ROWS_DECIDE,
	THOUSANDS_DECIDE,
	PLACE_DECIDES,
	WRONG_NUMBERS,
	NO_BIAS,
	ERF,
	ROUGH_TANH,
	WRONG_AUX,
	NEVER_TWICE,
	SUMS_IN_PARTS,
	READS_BEYOND,
	FORGETS_C,
	REFUSES,
	REFUSES_LATER
};
struct fake {
	enum fake_kind kind;
	int calls, objects, aligned;
	int refuse_at; /* this call; 0: none */
	bool odd_rows; /* a number of tokens that is no multiple of 128 was seen */
	bool chose;    /* was asked for a product with a cluster shape of its own choice */
};

#ifdef __cplusplus
extern "C"
#else
extern
#endif
	struct fake fake;

#endif
