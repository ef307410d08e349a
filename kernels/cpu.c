/* cpu.c: the fast CPU back end: its memory, its threads, its table.
 *
 * The operations stand in cpu_gemm.c, cpu_pack.c, cpu_attn.c, cpu_norm.c, cpu_pointwise.c, cpu_loss.c and cpu_optim.c; cpu_ref.c says
 * what each must give. Laws for all of them:
 *   - Threads divide rows, columns or blocks of a size that is fixed; they never divide a sum, unless its parts are
 *     fixed blocks that are added in order. So the number of threads changes no bit.
 *   - Small work stays on the calling thread: waking the others costs some microseconds.
 *   - Contraction is off and every fused multiply-add is written, so the bits are the program's, not the compiler's.
 *
 * Device memory is the host's. The back end refuses what the machine (or the container) cannot hold, instead of letting
 * the kernel of the machine overcommit and end the process later. */
#include "base/base.h"
#include "kernels/gemm_int.h"
#include "kernels/kernels_int.h"

#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__AVX2__) && defined(__FMA__)
#define CPU_ISA "x86-64-v3"
#define LINEAR(form) cpu_##form
#elif defined(__x86_64__)
#define CPU_ISA "x86-64-blis"
#define LINEAR(form) cpu_blis_##form
#elif defined(__aarch64__)
#define CPU_ISA "armv8-blis"
#define LINEAR(form) cpu_blis_##form
#else
#define CPU_ISA "generic-blis"
#define LINEAR(form) cpu_blis_##form
#endif

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

enum { HEADER = 64 }; /* in front of each block: its size; keeps the border of 64 */

/* Large blocks come from the system itself: it gives zeros already, on the first touch, so that the threads that fill a block
 * take its pages as well; and in huge pages where it can, which are one fault instead of 512. */
#define PAGES_FROM ((size_t)4 << 20)

static void *take_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
#ifdef MADV_HUGEPAGE
	madvise(p, size, MADV_HUGEPAGE); /* a wish */
#endif
	return p;
}

/* What the machine has, or the container may have (cgroup v2). */
static size_t memory_limit(void)
{
	struct buf text = BUF_INIT(64);
	struct err_saved saved = err_save();
	unsigned long long cg = 0;
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	size_t limit = pages > 0 && page > 0 ? mem_mul((size_t)pages, (size_t)page) : (size_t)1 << 40;
	if (fs_read(&text, "/sys/fs/cgroup/memory.max", 63) == 0 && sscanf(buf_str(&text), "%llu", &cg) == 1 &&
	    cg < limit)
		limit = (size_t)cg;
	buf_release(&text);
	err_restore(&saved);
	return limit;
}

int cpu_alloc(struct backend *be, void **out, size_t bytes)
{
	struct cpu_state *s = be->state;
	*out = NULL;
	uint8_t *p = NULL;
	if (bytes < s->limit_bytes && s->used_bytes <= s->limit_bytes - bytes)
		p = bytes < PAGES_FROM ? mem_try_aligned(bytes + HEADER) : take_pages(bytes + HEADER);
	if (!p) {
		err_set(ERR_UNAVAILABLE, "%s: no memory for %zu MB more (%zu MB in use, the machine has %zu MB)",
			be->name, bytes >> 20, s->used_bytes >> 20, s->limit_bytes >> 20);
		return err_hint(ERR_UNAVAILABLE, "a smaller batch, a shorter context or a smaller model needs less");
	}
	memcpy(p, &bytes, sizeof(bytes));
	s->used_bytes += bytes;
	*out = p + HEADER;
	return 0;
}

void cpu_free(struct backend *be, void *p)
{
	struct cpu_state *s = be->state;
	if (!p)
		return;
	uint8_t *block = (uint8_t *)p - HEADER;
	size_t bytes;
	memcpy(&bytes, block, sizeof(bytes));
	s->used_bytes -= bytes;
	if (bytes < PAGES_FROM)
		free(block);
	else
		munmap(block, bytes + HEADER);
}

void cpu_copy(struct backend *be, void *dst, const void *src, size_t bytes)
{
	(void)be;
	if (bytes)
		memmove(dst, src, bytes);
}

void cpu_zero(struct backend *be, void *dst, size_t bytes)
{
	(void)be;
	if (bytes)
		memset(dst, 0, bytes);
}

int cpu_sync(struct backend *be)
{
	(void)be; /* every operation is done when it returns */
	return 0;
}

/* ---- threads and their scratch -------------------------------------------------------------------------------------------- */

float *cpu_scratch(struct backend *be, size_t n)
{
	struct cpu_state *s = be->state;
	struct cpu_scratch *mine = &s->scratch[omp_get_thread_num()];
	if (mine->n < n) {
		free(mine->p);
		mine->p = mem_try_aligned(mem_mul(n, sizeof(float)));
		if (!mine->p)
			mem_alloc(SIZE_MAX); /* the memory law: one line, and the end */
		mine->n = n;
	}
	return mine->p;
}

int cpu_threads(const struct backend *be, size_t work)
{
	const size_t share = 15000; /* 15 us: several times what waking a thread costs */
	size_t n = work / share;
	return n <= 1 ? 1 : n < (size_t)be->threads ? (int)n : be->threads;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

void cpu_state_new(struct backend *be)
{
	struct cpu_state *s = mem_alloc(sizeof(*s));
	s->limit_bytes = memory_limit();
	s->n_scratch = be->threads;
	s->scratch = mem_array((size_t)be->threads, sizeof(*s->scratch));
	be->state = s;
}

void cpu_close(struct backend *be)
{
	struct cpu_state *s = be->state;
	for (int i = 0; i < s->n_scratch; i++)
		free(s->scratch[i].p);
	free(s->scratch);
	free(s);
	free(be);
}

static const struct backend cpu_table = {
	.name = "cpu",
	.numerics = "cpu-3/f32/" CPU_ISA,
	.alloc = cpu_alloc,
	.free = cpu_free,
	.upload = cpu_copy,
	.download = cpu_copy,
	.copy = cpu_copy,
	.zero = cpu_zero,
	.sync = cpu_sync,
	.packed_bytes = cpu_packed_bytes,
	.pack = cpu_pack,
	.unpack = cpu_unpack,
	.linear = LINEAR(linear),
	.linear_dx = LINEAR(linear_dx),
	.linear_dw = LINEAR(linear_dw),
	.linear_db = cpu_linear_db,
	.embed = cpu_embed,
	.embed_back = cpu_embed_back,
	.rmsnorm = cpu_rmsnorm,
	.rmsnorm_back = cpu_rmsnorm_back,
	.layernorm = cpu_layernorm,
	.layernorm_back = cpu_layernorm_back,
	.headnorm = cpu_headnorm,
	.headnorm_back = cpu_headnorm_back,
	.rope = cpu_rope,
	.attn = cpu_attn,
	.attn_back = cpu_attn_back,
	.swiglu = cpu_swiglu,
	.swiglu_back = cpu_swiglu_back,
	.gelu = cpu_gelu,
	.gelu_back = cpu_gelu_back,
	.dropout = cpu_dropout,
	.scale = cpu_scale,
	.add = cpu_add,
	.gather = cpu_gather,
	.scatter_add = cpu_scatter_add,
	.put_rows = cpu_put_rows,
	.logprob = cpu_logprob,
	.xent_back = cpu_xent_back,
	.sumsq = cpu_sumsq,
	.adamw = cpu_adamw,
	.close = cpu_close,
};

int cpu_choose_level(struct backend *be, int at_most)
{
	bool wide = false;
#if defined(__x86_64__)
	wide = at_most >= 4 && cpu_level_v4.tile && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
	((struct cpu_state *)be->state)->level = wide ? &cpu_level_v4 : &cpu_level;
	be->attn = wide ? cpu_attn_v4 : cpu_attn;
	be->attn_back = wide ? cpu_attn_back_v4 : cpu_attn_back;
	return wide ? 4 : 3;
}

int cpu_open(struct backend **out, int threads)
{
#if defined(__x86_64__) && defined(__AVX2__)
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
		return err_set(ERR_ENV, "cpu: this build needs a processor of level x86-64-v3 (AVX2, FMA and F16C)");
#endif
	struct backend *be = mem_copy(&cpu_table, sizeof(cpu_table));
	be->threads = threads;
	cpu_state_new(be);
	cpu_choose_level(be, 4);
	*out = be;
	return 0;
}
