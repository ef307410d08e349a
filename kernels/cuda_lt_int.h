/* cuda_lt_int.h: the part of cuBLASLt's interface that cuda_lt.cu and the pins of cuda_pins.cu use, by its published numbers, which are
 * the same in the libraries of CUDA 12 and 13. Declared here, and not taken from cublasLt.h, so that the plugin is built where only the
 * compiler and the runtime are installed, and loads where the library is not. tests/cuda/lt_header.cpp compares them
 * with the library's own header, where there is one (make cuda-report). */
#ifndef KERNELS_CUDA_LT_INT_H
#define KERNELS_CUDA_LT_INT_H

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

enum { LT_R_32F = 0, LT_R_16BF = 14, LT_COMPUTE_32F = 68, LT_OP_N = 0, LT_OP_T = 1 };
enum {
	LT_DESC_TRANSA = 3,
	LT_DESC_TRANSB = 4,
	LT_DESC_EPILOGUE = 7,
	LT_DESC_BIAS_POINTER = 8,
	LT_DESC_AUX_POINTER = 11,
	LT_DESC_AUX_LD = 12,
	LT_DESC_BIAS_TYPE = 26
};
enum { LT_EPILOGUE_NONE = 1, LT_EPILOGUE_BIAS = 4, LT_EPILOGUE_GELU_BIAS = 36, LT_EPILOGUE_GELU_AUX_BIAS = 164 };
enum { LT_PREF_WORKSPACE = 1, LT_PREF_REDUCTION = 3, LT_PREF_ALIGNMENT_A = 5, LT_PREF_ALIGNMENT_D = 8 };
enum lt_config { /* of an algorithm, in the order of the numbers in a pin */
		 LT_ID = 0,
		 LT_TILE = 1,
		 LT_SPLIT_K = 2,
		 LT_REDUCTION = 3,
		 LT_SWIZZLE = 4,
		 LT_CUSTOM = 5,
		 LT_STAGES = 6,
		 LT_INNER_SHAPE = 7,   /* 16 bits, */
		 LT_CLUSTER_SHAPE = 8, /* as this one */
};
struct lt_algo {
	uint64_t data[8];
};
struct lt_result {
	lt_algo algo;
	size_t workspace;
	int state;
	float waves;
	int reserved[4];
};

/* The functions, as found in the library. Handles and descriptors are its own affair. */
struct lt_library {
	void *file;
	size_t (*version)(void);
	int (*create)(void **handle);
	int (*destroy)(void *handle);
	int (*desc_create)(void **desc, int compute, int scale_type);
	int (*desc_destroy)(void *desc);
	int (*desc_set)(void *desc, int what, const void *value, size_t bytes);
	int (*layout_create)(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld);
	int (*layout_destroy)(void *layout);
	int (*algo_init)(void *handle, int compute, int scale, int a, int b, int c, int d, int id, lt_algo *algo);
	int (*algo_set)(lt_algo *algo, int what, const void *value, size_t bytes);
	int (*algo_get)(const lt_algo *algo, int what, void *value, size_t bytes, size_t *written);
	int (*algo_check)(void *handle, void *desc, void *a, void *b, void *c, void *d, const lt_algo *algo,
			  lt_result *result);
	int (*matmul)(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
		      void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
		      const lt_algo *algo, void *workspace, size_t workspace_bytes, cudaStream_t stream);
	int (*pref_create)(void **pref);
	int (*pref_destroy)(void *pref);
	int (*pref_set)(void *pref, int what, const void *value, size_t bytes);
	int (*heuristic)(void *handle, void *desc, void *a, void *b, void *c, void *d, void *pref, int wanted,
			 lt_result *results, int *found);
};

#endif
