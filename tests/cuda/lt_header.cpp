/* lt_header.cpp: are the numbers of kernels/cuda_lt_int.h those of the library's header? Compiles if they are. */
#include <cublasLt.h>

#include "kernels/cuda_lt_int.h"

static_assert(LT_R_32F == (int)CUDA_R_32F && LT_R_16BF == (int)CUDA_R_16BF, "types");
static_assert(LT_COMPUTE_32F == (int)CUBLAS_COMPUTE_32F && LT_OP_N == (int)CUBLAS_OP_N && LT_OP_T == (int)CUBLAS_OP_T,
	      "operations");
static_assert(LT_DESC_TRANSA == (int)CUBLASLT_MATMUL_DESC_TRANSA &&
		      LT_DESC_TRANSB == (int)CUBLASLT_MATMUL_DESC_TRANSB &&
		      LT_DESC_EPILOGUE == (int)CUBLASLT_MATMUL_DESC_EPILOGUE &&
		      LT_DESC_BIAS_POINTER == (int)CUBLASLT_MATMUL_DESC_BIAS_POINTER &&
		      LT_DESC_AUX_POINTER == (int)CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER &&
		      LT_DESC_AUX_LD == (int)CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD &&
		      LT_DESC_BIAS_TYPE == (int)CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
	      "attributes of a product");
static_assert(LT_EPILOGUE_NONE == (int)CUBLASLT_EPILOGUE_DEFAULT && LT_EPILOGUE_BIAS == (int)CUBLASLT_EPILOGUE_BIAS &&
		      LT_EPILOGUE_GELU_BIAS == (int)CUBLASLT_EPILOGUE_GELU_BIAS &&
		      LT_EPILOGUE_GELU_AUX_BIAS == (int)CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
	      "epilogues");
static_assert(LT_PREF_WORKSPACE == (int)CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES &&
		      LT_PREF_REDUCTION == (int)CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK &&
		      LT_PREF_ALIGNMENT_A == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
		      LT_PREF_ALIGNMENT_A + 1 == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES &&
		      LT_PREF_ALIGNMENT_A + 2 == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES &&
		      LT_PREF_ALIGNMENT_D == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
	      "preferences");
static_assert(LT_ID == (int)CUBLASLT_ALGO_CONFIG_ID && LT_TILE == (int)CUBLASLT_ALGO_CONFIG_TILE_ID &&
		      LT_SPLIT_K == (int)CUBLASLT_ALGO_CONFIG_SPLITK_NUM &&
		      LT_REDUCTION == (int)CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME &&
		      LT_SWIZZLE == (int)CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING &&
		      LT_CUSTOM == (int)CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION &&
		      LT_STAGES == (int)CUBLASLT_ALGO_CONFIG_STAGES_ID &&
		      LT_INNER_SHAPE == (int)CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID &&
		      LT_CLUSTER_SHAPE == (int)CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID &&
		      CUBLASLT_REDUCTION_SCHEME_NONE == 0,
	      "fields of an algorithm");
static_assert(sizeof(lt_algo) == sizeof(cublasLtMatmulAlgo_t) &&
		      sizeof(lt_result) == sizeof(cublasLtMatmulHeuristicResult_t) &&
		      offsetof(lt_result, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) &&
		      offsetof(lt_result, state) == offsetof(cublasLtMatmulHeuristicResult_t, state),
	      "structs");
