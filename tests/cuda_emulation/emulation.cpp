/* emulation.cpp: the fibers of a block, and who runs next.
 *
 * For each warp in turn: run every lane that is ready to its next meeting point, release the groups of lanes whose mask has
 * met, again, until all lanes wait at the block's barrier or have left. When all warps do, the barrier opens. A switch
 * between fibers is a dozen instructions (12 to 30 ns a step; swapcontext, which asks the kernel for the signal mask,
 * costs 600), and ends in an indirect jump, since a return would be predicted wrongly every time: to where the fiber met the
 * others itself, and not into a function that returns there (a third of the time of a kernel that shuffles).
 *
 * Adjacent blocks use fibers and shared memory of their own ("parity"), so that ThreadSanitizer sees no order between
 * them: it would call reuse of the same fiber or array an order, or a race. Order from the block before the last is kept. */
#include "emulation.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMU_TSAN /* the kernels are under ThreadSanitizer, this file is not */
#include <sanitizer/tsan_interface.h>
#define RELEASE(p) __tsan_release(p)
#define ACQUIRE(p) __tsan_acquire(p)
#else
#define RELEASE(p) ((void)0)
#define ACQUIRE(p) ((void)0)
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

enum { THREADS_MAX = 1024, LANES = 32, STACK_BYTES = 64 << 10, ARRAYS_MAX = 512, COPIES_MAX = 64, OFFER_WORDS = 8 };
enum { STATIC_MAX = 48 << 10 };
enum state { READY, AT_WARP, AT_BLOCK, GONE };

struct copy {
	void *dst;
	const void *src;
	int bytes, group;
};

/* What the scheduler looks at in every step stands in the first 64 bytes: one line of the cache. */
struct alignas(64) fiber {
	struct emu_self self; /* first: emu.self points here */
	enum state state;
	unsigned mask;
	int value;
	int turn; /* of offers: which one is the next */
	emu_site site;
	uint64_t offers[2][OFFER_WORDS]; /* what it offers next, and what the others see since the warp met */
	uint64_t met;                    /* when it last met others of its warp: dev.met */
	int n_copies, group;
	char *stack;
	void *sanitizer; /* ASan's fake stack, or TSan's fiber */
	struct copy *copies;
};

struct emu_now emu;
static struct device {
	struct fiber *fibers[2]; /* of each parity, made when first wanted */
	int made[2], n;
	void *sanitizer;
	const void *stack;
	size_t stack_bytes;
	const char *kernel;
	const std::function<void()> *body;
	int any, all, count; /* of __syncthreads_or and its kin */
	const emu_shared *arrays[ARRAYS_MAX];
	int n_arrays;
	size_t dyn_bytes, shared_limit;
	enum emu_order order;
	uint64_t random, steps, met; /* met: groups of lanes that did */
	char token[2], launch;       /* addresses for TSan: a parity's blocks, the launch */
} dev;

static struct fiber *self(void)
{
	return (struct fiber *)const_cast<struct emu_self *>(emu.self);
}

static struct fiber *warp_of(struct fiber *f)
{
	return f - f->self.lane;
}

static const char *seen(const struct fiber *f)
{
	return (const char *)f->offers[1 - f->turn];
}

static bool same_place(const emu_site &a, const emu_site &b)
{
	return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

void emu_stop(const char *what, emu_site site)
{
	fprintf(stderr, "emulation: %s\n  in %s, block %u,%u,%u", what, dev.kernel ? dev.kernel : "no kernel",
		emu.block_index.x, emu.block_index.y, emu.block_index.z);
	if (emu.self)
		fprintf(stderr, ", thread %u,%u,%u", emu.self->thread.x, emu.self->thread.y, emu.self->thread.z);
	if (site.file)
		fprintf(stderr, ", at %s:%d", site.file, site.line);
	fprintf(stderr, "\n");
	abort();
}

static uint64_t draw(void)
{
	uint64_t x = dev.random ? dev.random : 88172645463325252u;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return dev.random = x;
}

void emu_set_order(enum emu_order order, uint64_t seed)
{
	dev.order = order;
	dev.random = (seed + 1) * 0x9e3779b97f4a7c15u | 1;
}

uint64_t emu_steps(void)
{
	return dev.steps;
}

/* ---- switching ------------------------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
/* The registers a call keeps are pushed, the stack is exchanged, and theirs popped. */
#define KEEP "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
#define EXCHANGE "movq %rsp,(%rdi)\n\tmovq %rsi,%rsp\n\t"
#define GO_ON "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tpopq %rcx\n\tjmp *%rcx\n"
__asm__(".text\n.p2align 4\n.globl emu_switch\n.hidden emu_switch\n.type emu_switch,@function\nemu_switch:\n\t" KEEP
		EXCHANGE GO_ON ".size emu_switch,.-emu_switch\n");

static void context_switch(void **from, void *to)
{
	emu_switch(from, to);
}

/* The same, in place: a jump of its own, which mostly leads where it led the last time, since lanes go the same way. */
static inline __attribute__((always_inline)) void context_enter(void **from, void *to)
{
	__asm__ volatile("leaq -128(%%rsp),%%rsp\n\t" /* what lies there may be in use */
			 "leaq 1f(%%rip),%%rcx\n\tpushq %%rcx\n\t"
			 "pushq %%rbp\n\tpushq %%rbx\n\tpushq %%r12\n\tpushq %%r13\n\tpushq %%r14\n\tpushq %%r15\n\t"
			 "movq %%rsp,(%%rdi)\n\tmovq %%rsi,%%rsp\n\t"
			 "popq %%r15\n\tpopq %%r14\n\tpopq %%r13\n\tpopq %%r12\n\tpopq %%rbx\n\tpopq %%rbp\n\t"
			 "popq %%rcx\n\tjmp *%%rcx\n"
			 "1:\tleaq 128(%%rsp),%%rsp"
			 : "+D"(from), "+S"(to)
			 :
			 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
			   "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
			   "memory", "cc");
}

static void context_make(void **context, char *stack, char *top, void (*entry)(void))
{
	(void)stack;
	void **sp = (void **)top;
	*--sp = NULL; /* a return address: the stack pointer is 8 off a multiple of 16 at an entry */
	*--sp = (void *)entry;
	for (int i = 0; i < 6; i++)
		*--sp = NULL;
	*context = sp;
}
#else
static void context_switch(void **from, void *to)
{
	if (!*from)
		*from = calloc(1, sizeof(ucontext_t));
	swapcontext((ucontext_t *)*from, (ucontext_t *)to);
}

static void context_enter(void **from, void *to)
{
	context_switch(from, to);
}

static void context_make(void **context, char *stack, char *top, void (*entry)(void))
{
	ucontext_t *u = (ucontext_t *)calloc(1, sizeof(*u));
	getcontext(u);
	u->uc_stack.ss_sp = stack;
	u->uc_stack.ss_size = (size_t)(top - stack);
	makecontext(u, entry, 0);
	*context = u;
}
#endif

static void to_scheduler(struct fiber *f)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(&f->sanitizer, dev.stack, dev.stack_bytes);
#endif
#ifdef EMU_TSAN
	__tsan_switch_to_fiber(dev.sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
	context_switch(&f->self.context, emu.scheduler_context);
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(f->sanitizer, NULL, NULL);
#endif
}

static inline __attribute__((always_inline)) void to_fiber(struct fiber *f)
{
	emu.self = &f->self;
	dev.steps++;
#if defined(__SANITIZE_ADDRESS__)
	void *fake;
	__sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
#endif
#ifdef EMU_TSAN
	__tsan_switch_to_fiber(f->sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
	context_enter(&emu.scheduler_context, f->self.context);
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

/* A fiber runs the kernel once a block, for ever. */
static void fiber_main(void)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(NULL, &dev.stack, &dev.stack_bytes);
#endif
	for (;;) {
		struct fiber *f = self();
		ACQUIRE(&dev.launch);
		ACQUIRE(&dev.token[emu.parity]);
		(*dev.body)();
		f = self();
		if (f->n_copies)
			emu_stop("a thread leaves with cp.async under way", emu_site{ NULL, 0 });
		RELEASE(&dev.token[emu.parity]);
		f->state = GONE;
		to_scheduler(f);
	}
}

static void fibers_make(int parity, int n)
{
	if (!dev.fibers[parity]) {
		dev.fibers[parity] = (struct fiber *)aligned_alloc(64, THREADS_MAX * sizeof(struct fiber));
		memset((void *)dev.fibers[parity], 0, THREADS_MAX * sizeof(struct fiber));
	}
	for (int &i = dev.made[parity]; i < n; i++) {
		struct fiber *f = &dev.fibers[parity][i];
		f->stack = (char *)aligned_alloc(4096, STACK_BYTES);
		f->copies = (struct copy *)calloc(COPIES_MAX, sizeof(struct copy));
		/* tops are staggered: equal ones would share their sets of the cache */
		char *top = f->stack + STACK_BYTES - 256 - (size_t)(i % 29) * 320;
		context_make(&f->self.context, f->stack, (char *)((uintptr_t)top & ~(uintptr_t)15), fiber_main);
#ifdef EMU_TSAN
		f->sanitizer = __tsan_create_fiber(0);
#endif
	}
}

/* ---- shared memory ------------------------------------------------------------------------------------------------------------------ */

enum { TAIL = 128 }; /* NaN behind an array: a plain build too notices a read past the end */

/* NaN, whatever the type. memset would be seen by ThreadSanitizer, as copy_bytes() below says. */
static void fill_nan(void *to, size_t bytes)
{
	volatile uint64_t *w = (volatile uint64_t *)to;
	for (size_t i = 0; i < bytes / 8; i++)
		w[i] = ~(uint64_t)0;
	for (size_t i = bytes / 8 * 8; i < bytes; i++)
		((volatile char *)to)[i] = (char)0xff;
}

static void *array_new(size_t bytes)
{
	size_t whole = ((bytes + 127) & ~(size_t)127) + TAIL;
	char *p = (char *)aligned_alloc(128, whole);
	fill_nan(p, whole);
#if defined(__SANITIZE_ADDRESS__)
	__asan_poison_memory_region(p + bytes, whole - bytes);
#endif
	return p;
}

static void array_free(void *p, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
	if (p)
		__asan_unpoison_memory_region(p, ((bytes + 127) & ~(size_t)127) + TAIL);
#endif
	(void)bytes;
	free(p);
}

emu_shared::emu_shared(size_t size) : bytes(size), used{ 0, 0 }
{
	if (dev.n_arrays == ARRAYS_MAX)
		emu_stop("too many shared arrays in one program", emu_site{ NULL, 0 });
	dev.arrays[dev.n_arrays++] = this;
	for (int i = 0; i < 2; i++)
		at[i] = array_new(bytes);
}

/* What the block used is NaN again for the next one of its parity */
static void arrays_clear(void)
{
	size_t bytes = dev.dyn_bytes;
	for (int i = 0; i < dev.n_arrays; i++)
		if (dev.arrays[i]->used[emu.parity]) {
			dev.arrays[i]->used[emu.parity] = 0;
			bytes += dev.arrays[i]->bytes;
			fill_nan(dev.arrays[i]->at[emu.parity], dev.arrays[i]->bytes);
		}
	if (bytes - dev.dyn_bytes > STATIC_MAX)
		emu_stop("more than 48 KiB of shared memory are declared: the rest must be dynamic",
			 emu_site{ NULL, 0 });
	if (bytes > dev.shared_limit)
		emu_stop("declared and dynamic shared memory together are more than the launch may have",
			 emu_site{ NULL, 0 });
	if (dev.dyn_bytes)
		fill_nan(emu.dyn, dev.dyn_bytes);
}

/* ---- meeting ---------------------------------------------------------------------------------------------------------------------- */

void emu_wait(void)
{
	to_scheduler(self());
}

void emu_at_block(int value, emu_site site)
{
	struct fiber *f = self();
	f->state = AT_BLOCK;
	f->value = value;
	f->site = site;
	RELEASE(&dev.any);
}

void emu_block_met(void)
{
	ACQUIRE(&dev.any);
}

int emu_block_or(void)
{
	return dev.any;
}

int emu_block_and(void)
{
	return dev.all;
}

int emu_block_count(void)
{
	return dev.count;
}

/* memcpy would be seen by ThreadSanitizer, as an access of whoever calls */
static void copy_bytes(void *to, const void *from, int n)
{
	volatile char *t = (volatile char *)to;
	const volatile char *f = (const volatile char *)from;
	if (n % 4 == 0) {
		for (int i = 0; i < n; i += 4)
			*(volatile uint32_t *)(t + i) = *(const volatile uint32_t *)(f + i);
		return;
	}
	for (int i = 0; i < n; i++)
		t[i] = f[i];
}

void emu_at_warp(unsigned mask, const void *offer, int bytes, bool orders_memory, emu_site site)
{
	struct fiber *f = self();
	if (!(mask >> f->self.lane & 1u))
		emu_stop("a lane is not in its own mask", site);
	copy_bytes(f->offers[f->turn], offer, bytes);
	f->state = AT_WARP;
	f->mask = mask;
	f->site = site;
	if (orders_memory)
		RELEASE(warp_of(f));
}

void emu_look(void *out, int lane, int offset, int bytes)
{
	copy_bytes(out, seen(&warp_of(self())[lane]) + offset, bytes);
}

void emu_look_ordered(void)
{
	ACQUIRE(warp_of(self()));
}

/* The product of a warp's fragments: whoever comes first after the warp has met sums it for all, each element in the order of k.
 * Lanes offer floats; a product of two is exact in a double. */
typedef double four __attribute__((vector_size(32)));
struct product {
	uint64_t met; /* when, by dev.met */
	four sum[16][2];
};
static struct product products[2][THREADS_MAX / LANES];

static void product_sum(struct product *p, const struct fiber *w)
{
	double x[16][16], y[16][8];
	for (int lane = 0; lane < LANES; lane++) {
		const float *from = (const float *)seen(&w[lane]);
		int g = lane / 4, t = lane % 4;
		for (int i = 0; i < 8;
		     i++) /* a: rows g and g + 8 in turn, two columns each; b: two rows each of column g */
			x[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = (double)from[i];
		for (int i = 0; i < 4; i++)
			y[2 * t + i % 2 + i / 2 * 8][g] = (double)from[8 + i];
	}
	four columns[16][2];
	memcpy(columns, y, sizeof(columns));
	for (int row = 0; row < 16; row++) {
		four left = { 0, 0, 0, 0 }, right = { 0, 0, 0, 0 };
		for (int k = 0; k < 16; k++) {
			left += x[row][k] * columns[k][0];
			right += x[row][k] * columns[k][1];
		}
		p->sum[row][0] = left;
		p->sum[row][1] = right;
	}
}

void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], const char *file, int line)
{
	uint32_t both[12];
	for (int i = 0; i < 6; i++) {
		uint32_t pair = i < 4 ? a[i] : b[i - 4];
		both[2 * i] = pair << 16;
		both[2 * i + 1] = pair & 0xffff0000u;
	}
	emu_meet_warp(0xffffffffu, both, (int)sizeof(both), false, emu_site{ file, line });
	struct fiber *f = self();
	struct product *p = &products[emu.parity][f->self.warp];
	if (p->met != f->met) {
		product_sum(p, warp_of(f));
		p->met = f->met;
	}
	int g = f->self.lane / 4, t = f->self.lane % 4;
	for (int e = 0; e < 4; e++)
		d[e] = (float)((double)d[e] + p->sum[g + e / 2 * 8][t / 2][t % 2 * 2 + e % 2]);
}

void mma_tf32(float d[4], const float a[4], const float b[2], const char *file, int line)
{
	float both[6] = { a[0], a[1], a[2], a[3], b[0], b[1] };
	emu_meet_warp(0xffffffffu, both, (int)sizeof(both), false, emu_site{ file, line });
	struct fiber *f = self(), *w = warp_of(f);
	int g = f->self.lane / 4, t = f->self.lane % 4;
	for (int k = 0; k < 8; k++) {
		const float *x = (const float *)seen(&w[g * 4 + k % 4]) + k / 4 * 2;
		const float *y = (const float *)seen(&w[8 * t + k % 4]) + 4 + k / 4;
		const float *z = (const float *)seen(&w[8 * t + 4 + k % 4]) + 4 + k / 4;
		for (int e = 0; e < 4; e++)
			d[e] = fmaf(x[e / 2], e % 2 ? *z : *y, d[e]);
	}
}

/* ---- asynchronous copies ------------------------------------------------------------------------------------------------------------ */

bool emu_copies_put(void *dst, const void *src, int bytes, emu_site site)
{
	struct fiber *f = self();
	if (((uintptr_t)dst | (bytes ? (uintptr_t)src : 0)) & 15u)
		emu_stop("an address of a cp.async is not aligned to 16 bytes", site);
	if (bytes < 0 || bytes > 16)
		emu_stop("a cp.async reads 0 to 16 bytes", site);
	/* both extremes are allowed: the copy lands at once, or not before the wait */
	if (dev.order == EMU_BACKWARD || (dev.order == EMU_RANDOM && draw() % 2))
		return false;
	if (f->n_copies == COPIES_MAX)
		emu_stop("too many cp.async under way for the emulation", site);
	f->copies[f->n_copies++] = { dst, src, bytes, f->group };
	return true;
}

void cp_async_commit(void)
{
	self()->group++;
}

bool emu_copies_next(void **dst, const void **src, int *bytes, int under_way)
{
	struct fiber *f = self();
	if (!f->n_copies || f->copies[0].group >= f->group - under_way)
		return false;
	*dst = f->copies[0].dst;
	*src = f->copies[0].src;
	*bytes = f->copies[0].bytes;
	f->n_copies--;
	for (int i = 0; i < f->n_copies; i++)
		f->copies[i] = f->copies[i + 1];
	return true;
}

/* ---- the scheduler -------------------------------------------------------------------------------------------------------------------- */

static void stop_at(struct fiber *f, const char *what)
{
	emu.self = &f->self;
	emu_stop(what, f->site);
}

static void arrange(int *v, int n)
{
	for (int i = 0; i < n; i++)
		v[i] = dev.order == EMU_BACKWARD ? n - 1 - i : i;
	if (dev.order == EMU_RANDOM)
		for (int i = n - 1; i > 0; i--) {
			int j = (int)(draw() % (uint64_t)(i + 1)), t = v[i];
			v[i] = v[j];
			v[j] = t;
		}
}

/* Whether all lanes that lane i names have met it; stops where they never can */
static bool has_met(struct fiber *w, int n, int i)
{
	bool met = true;
	for (int j = 0; j < LANES; j++) {
		if (!(w[i].mask >> j & 1u))
			continue;
		if (j >= n) {
			if (w[i].mask != 0xffffffffu) /* a full mask stands for all lanes there are */
				stop_at(&w[i], "a warp mask names a lane that the block has not");
			continue;
		}
		if (w[j].state == GONE)
			stop_at(&w[i], "a warp mask names a lane that has left");
		if (w[j].state != AT_WARP || w[j].mask != w[i].mask)
			met = false;
		else if (!same_place(w[j].site, w[i].site))
			stop_at(&w[j], "lanes of one mask are at different warp operations");
	}
	return met;
}

static bool release_groups(struct fiber *w, int n)
{
	bool any = false;
	for (int i = 0; i < n; i++) {
		if (w[i].state != AT_WARP || !has_met(w, n, i))
			continue;
		unsigned mask = w[i].mask;
		dev.met++;
		for (int j = 0; j < n; j++)
			if (mask >> j & 1u) {
				w[j].turn = 1 - w[j].turn;
				w[j].met = dev.met;
				w[j].state = READY;
			}
		any = true;
	}
	return any;
}

/* Runs the lanes of a warp until all are at the barrier or gone */
static void warp_run(struct fiber *w, int n)
{
	int order[LANES];
	do {
		arrange(order, n);
		for (int i = 0; i < n; i++)
			if (w[order[i]].state == READY)
				to_fiber(&w[order[i]]);
	} while (release_groups(w, n));
	for (int i = 0; i < n; i++)
		if (w[i].state == AT_WARP)
			stop_at(&w[i], "a warp operation waits for lanes that never come");
}

/* All warps wait: opens the barrier. false: all threads have left */
static bool barrier_open(struct fiber *f)
{
	struct fiber *first = NULL, *gone = NULL;
	dev.any = dev.count = 0;
	dev.all = 1;
	for (int i = 0; i < dev.n; i++) {
		if (f[i].state == GONE) {
			gone = &f[i];
			continue;
		}
		first = first ? first : &f[i];
		if (!same_place(f[i].site, first->site))
			stop_at(&f[i], "threads are at different __syncthreads");
		dev.any |= f[i].value;
		dev.all &= f[i].value;
		dev.count += f[i].value;
		f[i].state = READY;
	}
	if (first && gone)
		stop_at(first, "a __syncthreads waits for threads that have left");
	return first != NULL;
}

static void block_run(void)
{
	int order[THREADS_MAX / LANES], warps = (dev.n + LANES - 1) / LANES;
	struct fiber *f = dev.fibers[emu.parity];
	for (int i = 0; i < dev.n; i++) {
		f[i].state = READY;
		f[i].n_copies = f[i].group = 0;
	}
	do {
		arrange(order, warps);
		for (int i = 0; i < warps; i++) {
			int at = order[i] * LANES;
			warp_run(f + at, dev.n - at < LANES ? dev.n - at : LANES);
		}
	} while (barrier_open(f));
	arrays_clear();
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t r = a % b;
		a = b;
		b = r;
	}
	return a;
}

static void blocks_run(dim3 grid, unsigned char *const dyn[2])
{
	uint64_t n = (uint64_t)grid.x * grid.y * grid.z, step = 1;
	if (dev.order == EMU_RANDOM) /* a step that has no divisor in common with n visits every block once */
		for (step = draw() % n | 1; common_divisor(step, n) != 1; step += 2)
			;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = dev.order == EMU_BACKWARD ? n - 1 - i : i * step % n;
		emu.parity = (int)(i % 2);
		emu.dyn = dyn[i % 2];
		emu.block_index = { (unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
				    (unsigned)(at / grid.x / grid.y) };
		block_run();
	}
}

bool emu_run(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body,
	     size_t shared_limit)
{
	uint64_t n = (uint64_t)block.x * block.y * block.z;
	if (n < 1 || n > THREADS_MAX || grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu ||
	    grid.y > 65535 || grid.z > 65535 || block.z > 64)
		return false;
	unsigned char *dyn[2] = { NULL, NULL };
	dev.kernel = kernel;
	dev.body = &body;
	dev.n = (int)n;
	dev.dyn_bytes = shared_bytes;
	dev.shared_limit = shared_limit;
	emu.grid = grid;
	emu.block = block;
#ifdef EMU_TSAN
	dev.sanitizer = __tsan_get_current_fiber();
#endif
	for (int p = 0; p < 2; p++) {
		fibers_make(p, dev.n);
		dyn[p] = shared_bytes ? (unsigned char *)array_new(shared_bytes) : NULL;
		for (int i = 0; i < dev.n; i++) {
			unsigned t = (unsigned)i;
			struct emu_self *s = &dev.fibers[p][i].self;
			s->thread = { t % block.x, t / block.x % block.y, t / block.x / block.y };
			s->lane = i % LANES;
			s->warp = i / LANES;
		}
	}
	RELEASE(&dev.launch);
	blocks_run(grid, dyn);
	ACQUIRE(&dev.token[0]);
	ACQUIRE(&dev.token[1]);
	for (int p = 0; p < 2; p++)
		array_free(dyn[p], shared_bytes);
	emu.self = NULL;
	dev.kernel = NULL;
	return true;
}
