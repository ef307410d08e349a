/* cpu_attn_v4.c: cpu_attn.c once more, for AVX-512: the Makefile compiles it, like cpu_level_v4.c, for x86-64-v4. */
#include "kernels/kernels_int.h"

#ifdef __AVX512F__
#include "kernels/cpu_attn.c"
#else
void cpu_attn_v4(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
		 const struct kernels_seqs *seqs, const struct kernels_attn *shape)
{
	cpu_attn(be, out, lse, q, k, v, seqs, shape);
}

void cpu_attn_back_v4(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
		      const float *lse, const float *q, const float *k, const float *v, const struct kernels_seqs *seqs,
		      const struct kernels_attn *shape)
{
	cpu_attn_back(be, dq, dk, dv, dout, out, lse, q, k, v, seqs, shape);
}
#endif
