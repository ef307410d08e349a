/* cuda_help.h: back ends and device arrays for the tests of the plugin's host side. The plugin is linked into the program;
 * on a card (-DON_CARD) it is the one beside it, on $TEST_DEVICE. */
#ifndef CUDA_HELP_H
#define CUDA_HELP_H

#include "cuda_test.h"

#include <functional>

/* What the plugin said last */
static std::string said, said_fix;

#ifdef ON_CARD
static inline int open_cuda(struct backend **out, int cls)
{
	static const char *const classes[] = { "/f32", "/tf32", "/bf16" };
	const char *name = getenv("TEST_DEVICE");
	std::string spec = std::string(name ? name : "cuda") + classes[cls];
	int rc = backend_open(out, spec.c_str(), 0);
	said = rc ? err_text() : "";
	return rc;
}
#else
extern "C" int assay_cuda_open(struct backend **out, const struct kernels_want *want);
extern "C" void assay_cuda_probe(kernels_tell *tell, void *arg);

static inline int hear(int code, const char *text, const char *fix)
{
	said = text;
	said_fix = fix ? fix : "";
	return code;
}

static inline int open_cuda(struct backend **out, int cls, int device = 0)
{
	struct kernels_want want = { device, cls, hear };
	said = said_fix = "";
	return assay_cuda_open(out, &want);
}
#endif

static inline struct backend *cuda_or_stop(int cls)
{
	struct backend *be = NULL;
	if (open_cuda(&be, cls)) {
		printf("Bail out! %s\n", said.c_str());
		exit(1);
	}
	return be;
}

/* An array in the memory of a back end */
struct array {
	struct backend *be;
	float *p;
	size_t n;
	array(struct backend *b, const std::vector<float> &v) : be(b), p(NULL), n(v.size())
	{
		void *q = NULL;
		if (be->alloc(be, &q, n * sizeof(float)) == 0)
			be->upload(be, q, v.data(), n * sizeof(float));
		p = (float *)q;
	}
	array(const array &) = delete;
	~array()
	{
		if (be) /* NULL: it went with its device */
			be->free(be, p);
	}
	std::vector<float> get() const
	{
		std::vector<float> v(n, NAN);
		be->download(be, v.data(), p, n * sizeof(float));
		if (be->sync(be))
			FAIL("sync: %s", said.c_str());
		return v;
	}
};

/* Values of a wide range of exponents: a changed order of sums shows in their bits */
static inline std::vector<float> wide_floats(uint64_t seed, size_t n)
{
	std::vector<float> v(n);
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
	for (float &f : v) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		double u = (double)(x >> 11) / 9007199254740992.0;
		f = (float)((u - 0.5) * exp2((double)(x & 7) - 3));
	}
	return v;
}

static inline double error_of(const std::vector<float> &got, const std::vector<float> &want)
{
	double e = 0, w = 0;
	for (size_t i = 0; i < got.size(); i++) {
		double d = (double)got[i] - (double)want[i];
		e += d * d;
		w += (double)want[i] * (double)want[i];
	}
	return e != e ? INFINITY : w > 0 ? e / w : e;
}

static inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b)
{
	return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

#endif
