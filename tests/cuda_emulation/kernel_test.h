/* kernel_test.h: an operation of the CUDA table beside the reference's, in every order of fibers.
 *
 * A test is a function of a back end that gives numbers. check_operation() runs it on cpu_ref and on the device: the numbers
 * must agree within a tolerance (NMSE; 0: bit for bit), and the device's with themselves in all orders. Data for bit
 * comparisons have wide exponents: tame ones sum exactly and hide a changed order. */
#ifndef KERNEL_TEST_H
#define KERNEL_TEST_H

#include "cuda_test.h"

#include <functional>

#ifdef __SANITIZE_THREAD__
enum { ORDERS = 1 }; /* a race is a race in any order */
#elif defined(ON_CARD)
enum { ORDERS = 2 }; /* the card's own, twice */
#else
enum { ORDERS = 5 };
#endif

#ifdef ON_CARD
static inline void set_order(int i)
{
	(void)i;
}
#else
extern "C" int assay_cuda_open(struct backend **out, const struct kernels_want *want);
static inline void set_order(int i)
{
	i = ORDERS == 1 ? 1 : i; /* backwards, copies land at once: the extreme that races */
	emu_set_order(i == 0 ? EMU_FORWARD : i == 1 ? EMU_BACKWARD : EMU_RANDOM, (uint64_t)i);
	emu_set_streams(i % 2 ? EMU_LAZY : EMU_EAGER);
}
#endif

static inline int test_backend_failed(int code, const char *text, const char *fix)
{
	printf("# %s%s%s\n", text, fix ? "; " : "", fix ? fix : "");
	return code;
}

/* While there is one: the emulated device grants a block 99 KB of shared memory, as cards of graphics do. A card is what it is. */
static int cards_are_small;
struct small_card {
#ifndef ON_CARD
	size_t before;
	small_card() : before(emu_machine.shared_optin_bytes)
	{
		emu_machine.shared_optin_bytes = 101376;
		cards_are_small++;
	}
	~small_card()
	{
		emu_machine.shared_optin_bytes = before;
		cards_are_small--;
	}
#else
	small_card()
	{
	}
#endif
	small_card(const small_card &) = delete;
};

/* The device in a class of numerics, opened once, small or not */
static inline struct backend *device(int cls)
{
	static struct backend *opened[2][3];
	struct backend **open = opened[cards_are_small > 0];
	if (!open[cls]) {
#ifdef ON_CARD
		static const char *const classes[] = { "/f32", "/tf32", "/bf16" };
		const char *name = getenv("TEST_DEVICE");
		std::string spec = std::string(name ? name : "cuda") + classes[cls];
		int rc = backend_open(&open[cls], spec.c_str(), 0);
#else
		const struct kernels_want want = { 0, cls, test_backend_failed };
		int rc = assay_cuda_open(&open[cls], &want);
#endif
		if (rc) {
			printf("Bail out! no device: %s\n", err_text());
			exit(1);
		}
	}
	return open[cls];
}

static inline struct backend *reference(void)
{
	static struct backend *open;
	if (!open && backend_open(&open, "cpu_ref", 1) != 0)
		exit(1);
	return open;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

typedef std::vector<float> floats;
typedef std::vector<int32_t> ints;

/* n numbers in (-1, 1) … */
static inline floats tame(size_t n, uint64_t seed)
{
	struct rng r;
	floats v(n);
	rng_seed(&r, seed, 1);
	for (float &e : v)
		e = (float)(2 * rng_uniform(&r) - 1);
	return v;
}

/* … times powers of two from 2^-12 to 2^12 */
static inline floats wide(size_t n, uint64_t seed)
{
	floats v = tame(n, seed), e = tame(n, seed + 1000);
	for (size_t i = 0; i < n; i++)
		v[i] *= exp2f(12 * e[i]);
	return v;
}

/* Rounded to bf16 (towards zero will do), so that a class's own rounding is no difference */
static inline floats as_bf16(floats v)
{
	for (float &e : v) {
		uint32_t u;
		memcpy(&u, &e, sizeof(u));
		u &= 0xffff0000u;
		memcpy(&e, &u, sizeof(u));
	}
	return v;
}

/* Doubles as two floats: the number, and so many times what it lost */
static inline floats doubles(const std::vector<double> &v, double times = 1)
{
	floats r;
	for (double d : v) {
		r.push_back((float)d);
		r.push_back((float)((d - (double)(float)d) * times));
	}
	return r;
}

/* Memory of a back end, exactly so long */
template <class T> struct array {
	struct backend *be;
	T *p;
	size_t n;
	array(struct backend *b, size_t count) : be(b), p(NULL), n(count)
	{
		void *q = NULL;
		if (be->alloc(be, &q, (n ? n : 1) * sizeof(T)) != 0)
			FAIL("no memory");
		p = (T *)q;
	}
	array(struct backend *b, const std::vector<T> &v) : array(b, v.size())
	{
		if (n)
			be->upload(be, p, v.data(), n * sizeof(T));
	}
	array(const array &) = delete;
	~array()
	{
		be->free(be, p);
	}
	std::vector<T> get() const
	{
		std::vector<T> v(n);
		if (n)
			be->download(be, v.data(), p, n * sizeof(T));
		if (be->sync(be) != 0)
			FAIL("sync: %s", err_text());
		return v;
	}
	operator T *() const
	{
		return p;
	}
};

static inline void append(floats &to, const floats &v)
{
	to.insert(to.end(), v.begin(), v.end());
}

static inline double nmse(const floats &got, const floats &want)
{
	double e = 0, w = 0;
	for (size_t i = 0; i < want.size(); i++) {
		double d = (double)got[i] - (double)want[i];
		e += d * d;
		w += (double)want[i] * (double)want[i];
	}
	return e != e || w != w ? INFINITY : w > 0 ? e / w : e;
}

static inline bool same_bits(const floats &a, const floats &b)
{
	return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

typedef std::function<floats(struct backend *)> operation;

/* Gives the device's numbers. */
static inline floats check_operation(const char *file, int line, int cls, const char *what, double tolerance,
				     const operation &run)
{
	floats want = run(reference()), first;
	for (int i = 0; i < ORDERS; i++) {
		set_order(i);
		floats got = run(device(cls));
		if (i == 0)
			first = got;
		else if (!same_bits(got, first))
			test_fail(file, line, "%s: the order of fibers changes bits", what);
	}
	double e = first.size() == want.size() ? nmse(first, want) : INFINITY;
	if (!(e <= tolerance))
		test_fail(file, line, "%s: NMSE %.3g, at most %.3g wanted", what, e, tolerance);
	set_order(0);
	return first;
}
#define CHECK_OPERATION(cls, what, tolerance, ...)                                                                     \
	check_operation(__FILE__, __LINE__, cls, what, tolerance, __VA_ARGS__)

#define CHECK_SAME_BITS(a, b, ...)                                                                                     \
	do {                                                                                                           \
		if (!same_bits(a, b))                                                                                  \
			FAIL(__VA_ARGS__);                                                                             \
	} while (0)

static inline floats slice(const floats &v, size_t from, size_t n)
{
	return floats(v.begin() + (ptrdiff_t)from, v.begin() + (ptrdiff_t)(from + n));
}

#endif
