/* test_lt.cpp: pins of cuBLASLt, over a library that this program stands in for: it computes on the emulated device, honestly
 * or in one of the ways in which a real one would spoil the bits. */
#include "cuda_help.h"
#include "kernels/cuda_device.h"
#include "kernels/cuda_lt_int.h"

/* ---- the library --------------------------------------------------------------------------------------------------------- */

enum fake_kind {
	HONEST,
	ROWS_DECIDE,
	PLACE_DECIDES,
	WRONG_NUMBERS,
	NO_BIAS,
	ERF,
	ROUGH_TANH,
	WRONG_AUX,
	REFUSES,
	REFUSES_LATER
};
static struct {
	enum fake_kind kind;
	int calls, objects;
	bool odd_rows; /* a number of rows that is no multiple of 128 was seen */
} fake;

struct fake_layout {
	int type, rows, cols;
	int64_t ld;
};
struct fake_desc {
	int transa, epilogue, bias_type;
	const float *bias;
	float *aux;
	int64_t aux_ld;
};

extern "C" {
size_t cublasLtGetVersion(void)
{
	return 130100;
}
int cublasLtCreate(void **handle)
{
	fake.objects++;
	*handle = &fake;
	return 0;
}
int cublasLtDestroy(void *)
{
	fake.objects--;
	return 0;
}
int cublasLtMatmulDescCreate(void **desc, int compute, int scale)
{
	fake.objects++;
	*desc = new fake_desc();
	return compute != 68 || scale != 0;
}
int cublasLtMatmulDescDestroy(void *desc)
{
	fake.objects--;
	delete (fake_desc *)desc;
	return 0;
}
int cublasLtMatmulDescSetAttribute(void *desc, int what, const void *value, size_t bytes)
{
	fake_desc *d = (fake_desc *)desc;
	if (what == 8) {
		memcpy(&d->bias, value, sizeof(d->bias));
		return bytes != sizeof(void *);
	}
	if (what == 11)
		memcpy(&d->aux, value, sizeof(d->aux));
	if (what == 12)
		memcpy(&d->aux_ld, value, sizeof(d->aux_ld));
	if (what == 11 || what == 12)
		return bytes != 8;
	int v;
	memcpy(&v, value, sizeof(v));
	(what == 3 ? d->transa : what == 7 ? d->epilogue : d->bias_type) = v;
	return bytes != 4 || (what == 4 && v != 0);
}
int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
	fake.objects++;
	*layout = new fake_layout{ type, (int)rows, (int)cols, ld };
	return ld < (int64_t)rows;
}
int cublasLtMatrixLayoutDestroy(void *layout)
{
	fake.objects--;
	delete (fake_layout *)layout;
	return 0;
}
int cublasLtMatmulAlgoInit(void *, int, int, int, int, int c, int d, int id, lt_algo *algo)
{
	memset(algo, 0, sizeof(*algo));
	algo->data[0] = (uint64_t)id;
	return fake.kind == REFUSES || c != 0 || d != 0;
}
int cublasLtMatmulAlgoConfigSetAttribute(lt_algo *algo, int what, const void *value, size_t bytes)
{
	uint32_t v = 0;
	memcpy(&v, value, bytes);
	((uint8_t *)algo->data)[8 + what] = (uint8_t)v;
	return bytes != (what >= 7 ? 2u : 4u);
}
int cublasLtMatmulAlgoConfigGetAttribute(const lt_algo *algo, int what, void *value, size_t bytes, size_t *written)
{
	uint32_t v = what == 0 ? (uint32_t)algo->data[0] : ((const uint8_t *)algo->data)[8 + what];
	memcpy(value, &v, bytes);
	*written = bytes;
	return 0;
}
int cublasLtMatmulAlgoCheck(void *, void *, void *, void *, void *, void *, const lt_algo *, lt_result *)
{
	return 0;
}
int cublasLtMatmulPreferenceCreate(void **pref)
{
	fake.objects++;
	*pref = &fake;
	return 0;
}
int cublasLtMatmulPreferenceDestroy(void *)
{
	fake.objects--;
	return 0;
}
int cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t)
{
	return 0;
}
/* One that splits k, and one that does not */
int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int wanted,
				   lt_result *results, int *found)
{
	*found = wanted < 2 ? wanted : 2;
	for (int i = 0; i < *found; i++) {
		memset(&results[i], 0, sizeof(results[i]));
		results[i].algo.data[0] = 66;
		((uint8_t *)results[i].algo.data)[8 + LT_SPLIT_K] = (uint8_t)(i == 0 ? 4 : 1);
		((uint8_t *)results[i].algo.data)[8 + LT_TILE] = 20;
	}
	return 0;
}
}

/* In double, by the C library, as nobody here computes it */
static float gelu_of(fake_kind kind, float v)
{
	double u = 0.7978845608028654 * (v + 0.044715 * v * v * v), t = tanh(u);
	if (kind == ERF)
		return (float)(0.5 * v * (1 + erf(v * 0.7071067811865476)));
	return (float)(0.5 * v * (1 + (kind == ROUGH_TANH ? t * (1 - 1.0 / 1024) : t)));
}

static __global__ void fake_kernel(fake_kind kind, float *y, int64_t ldy, const float *c, const __nv_bfloat16 *w,
				   int64_t ldw, const __nv_bfloat16 *x, int64_t ldx, const float *bias, float *aux,
				   int64_t ld_aux, bool gelu, float beta, int n, int m, int k)
{
	int row = blockIdx.x;
	bool backwards = (kind == ROWS_DECIDE && m >= 1024) || (kind == PLACE_DECIDES && row % 16 == 5);
	for (int col = (int)threadIdx.x; col < n; col += 64) {
		float sum = 0;
		for (int i = 0; i < k; i++) {
			int at = backwards ? k - 1 - i : i;
			sum = fmaf(__bfloat162float(w[col * ldw + at]), __bfloat162float(x[row * ldx + at]), sum);
		}
		sum = kind == WRONG_NUMBERS ? sum * 1.5f + 1 : sum;
		sum += beta * (beta > 0 ? c[row * ldy + col] : 0) + (bias && kind != NO_BIAS ? bias[col] : 0);
		if (aux)
			aux[row * ld_aux + col] = kind == WRONG_AUX && row == 889 ? sum + 1 : sum;
		y[row * ldy + col] = gelu ? gelu_of(kind, sum) : sum;
	}
}

extern "C" int cublasLtMatmul(void *, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
			      void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
			      const lt_algo *algo, void *, size_t workspace_bytes, cudaStream_t stream)
{
	const fake_desc *how = (const fake_desc *)desc;
	const fake_layout *la = (const fake_layout *)a_layout, *lb = (const fake_layout *)b_layout,
			  *ld = (const fake_layout *)d_layout;
	float one, old;
	memcpy(&one, alpha, 4), memcpy(&old, beta, 4);
	fake.calls++;
	fake.odd_rows = fake.odd_rows || lb->cols % 128;
	if (how->transa != 1 || one < 1 || (old == 0 && c != d) || c_layout != d_layout || workspace_bytes ||
	    la->type != 14 || ld->type != 0 || la->rows != lb->rows || la->cols != ld->rows || lb->cols != ld->cols ||
	    (how->epilogue != 1) != (how->bias != NULL) || (how->epilogue == 164) != (how->aux != NULL) ||
	    (how->aux && how->aux_ld % 8) || (how->epilogue >= 32 && how->epilogue != 36 && how->epilogue != 164) ||
	    algo->data[0] != 66 || fake.kind == REFUSES_LATER)
		return 7;
	LAUNCH(fake_kernel, lb->cols, 64, 0, stream, fake.kind, (float *)d, ld->ld, (const float *)c,
	       (const __nv_bfloat16 *)a, la->ld, (const __nv_bfloat16 *)b, lb->ld, how->bias, how->aux, how->aux_ld,
	       how->epilogue >= 32, old, la->cols, lb->cols, la->rows);
	return 0;
}

/* ---- pins ------------------------------------------------------------------------------------------------------------------ */

enum { N = 24, K = 40 };

static std::string pins_path()
{
	return "/tmp/assay-pins-" + std::to_string(getpid());
}

static void write_pins(const std::string &text)
{
	FILE *f = fopen(pins_path().c_str(), "w");
	fputs(text.c_str(), f);
	fclose(f);
	setenv("EMU_PINS", pins_path().c_str(), 1);
}

static std::string pin_line(int n, int k, int bias, int split = 1, long version = 130100, int sms = 4)
{
	char text[128];
	snprintf(text, sizeof(text), "pin 90 %d %ld %d %d %d 66 20 %d 0 0 0 35 0 2\n", sms, version, n, k, bias, split);
	return text;
}

static struct backend *open_with(fake_kind kind, const std::string &pins)
{
	fake = {};
	fake.kind = kind;
	write_pins(pins);
	return cuda_or_stop(KERNELS_CLASS_BF16);
}

static std::vector<float> product(struct backend *be, int M, bool with_bias, bool add, int y_stride)
{
	array x(be, wide_floats(1, (size_t)M * K)), w(be, wide_floats(2, (size_t)N * K)), bias(be, wide_floats(3, N));
	array y(be, wide_floats(4, (size_t)M * y_stride));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, y_stride, with_bias ? bias.p : NULL, add ? 1.0f : 0.0f };
	be->linear(be, y.p, x.p, &weight, &how);
	return y.get();
}

static bool uses_the_library(struct backend *be)
{
	return strstr(be->numerics, "/lt130100-") != NULL;
}

TEST(a_pin_that_passes_its_test_takes_the_products_of_its_shape)
{
	struct backend *own = open_with(HONEST, ""),
		       *be = open_with(HONEST, pin_line(N, K, 0) + "# a remark\n\n" + pin_line(N, K, 1));
	CHECK(uses_the_library(be) && !uses_the_library(own));
	for (int M : { 1, 5, 127, 128, 129, 300 })
		for (int i = 0; i < 4; i++) {
			int calls = fake.calls;
			std::vector<float> got = product(be, M, i & 1, i & 2, N + i),
					   want = product(own, M, i & 1, i & 2, N + i);
			if (!(error_of(got, want) < 1e-11))
				FAIL("M=%d bias %d add %d: NMSE %.3g", M, i & 1, i & 2, error_of(got, want));
			CHECK(fake.calls - calls == (M % 128 != 0) + (M >= 128));
		}
	CHECK(!fake.odd_rows);
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

TEST(rows_have_the_same_bits_among_any_number_by_the_library_too)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, 0) + pin_line(N, K, 1));
	for (int i = 0; i < 4; i++) {
		std::vector<float> all = product(be, 300, i & 1, i & 2, N);
		for (int M : { 1, 100, 128, 200, 256, 299 }) {
			std::vector<float> some = product(be, M, i & 1, i & 2, N);
			CHECK(memcmp(all.data(), some.data(), some.size() * 4) == 0);
		}
	}
	be->close(be);
}

/* act = gelu(x W^T + bias), with its input beside it or without; or from + x W^T + bias */
struct fused {
	std::vector<float> y, act;
};
static fused fused_product(struct backend *be, int M, bool kept, bool from, int y_stride = N)
{
	array x(be, wide_floats(1, (size_t)M * K)), w(be, wide_floats(2, (size_t)N * K)), bias(be, wide_floats(3, N));
	array y(be, wide_floats(4, (size_t)M * y_stride)), act(be, std::vector<float>((size_t)M * N)),
		old(be, wide_floats(5, (size_t)M * y_stride));
	struct kernels_weight weight = { w.p, N, K, KERNELS_F32, 0 };
	struct kernels_linear how = { M, K, y_stride, bias.p, 0 };
	be->linear_into(be, y.p, from ? NULL : kept ? act.p : y.p, from ? old.p : NULL, x.p, &weight, &how);
	return { y.get(), act.get() };
}

static const char *const fused_names[] = { "gelu", "gelu and its input", "from" };

TEST(what_the_library_fuses_is_what_the_own_kernel_does)
{
	struct backend *own = open_with(HONEST, ""),
		       *be = open_with(HONEST, pin_line(N, K, 1) + pin_line(N, K, 2) + pin_line(N, K, 3));
	for (int M : { 1, 127, 128, 129, 300 })
		for (int i = 0; i < 3; i++) {
			int calls = fake.calls;
			fused got = fused_product(be, M, i == 1, i == 2), want = fused_product(own, M, i == 1, i == 2);
			if (!(error_of(got.y, want.y) < 1e-11) || !(error_of(got.act, want.act) < 1e-11))
				FAIL("M=%d %s: NMSE %.3g %.3g", M, fused_names[i], error_of(got.y, want.y),
				     error_of(got.act, want.act));
			CHECK(fake.calls - calls == (M % 128 != 0) + (M >= 128));
			fused all = fused_product(be, 300, i == 1, i == 2);
			CHECK(memcmp(all.y.data(), got.y.data(), got.y.size() * 4) == 0);
			CHECK(memcmp(all.act.data(), got.act.data(), got.act.size() * 4) == 0);
		}
	fused got = fused_product(be, 200, false, true, N + 5), want = fused_product(own, 200, false, true, N + 5);
	CHECK(error_of(got.y, want.y) < 1e-11);
	CHECK(!fake.odd_rows);
	be->close(be);
	own->close(own);
	CHECK(fake.objects == 0 && emu_left() == 0);
}

/* Then the pin of the bias, and our own GELU behind it: the same bits as the two operations. */
TEST(gelu_that_is_not_the_models_is_not_fused)
{
	for (fake_kind kind : { ERF, ROUGH_TANH, WRONG_AUX, NO_BIAS })
		for (int e = 1; e <= 3; e++) {
			struct backend *be = open_with(kind, pin_line(N, K, e));
			bool good = (e == 1 && kind != NO_BIAS) || (e == 2 && kind == WRONG_AUX);
			if (uses_the_library(be) != good)
				FAIL("kind %d, epilogue %d", kind, e);
			be->close(be);
		}
	struct backend *be = open_with(ERF, pin_line(N, K, 1) + pin_line(N, K, 2) + pin_line(N, K, 3));
	std::vector<float> want = product(be, 130, true, false, N);
	int calls = fake.calls;
	fused got = fused_product(be, 130, true, false);
	CHECK(fake.calls == calls + 2 && same_bits(got.y, want));
	array act(be, want);
	be->gelu(be, act.p, act.p, want.size());
	CHECK(same_bits(got.act, act.get()) && same_bits(fused_product(be, 130, false, false).y, act.get()));
	act.be->free(be, act.p);
	act.be = NULL;
	be->close(be);
}

TEST(other_shapes_stay_with_the_own_kernel)
{
	struct backend *be = open_with(HONEST, pin_line(N, K + 8, 0) + pin_line(N, K, 1));
	int calls = fake.calls;
	CHECK(calls > 0);
	product(be, 50, false, false, N);
	CHECK(fake.calls == calls);
	product(be, 50, true, false, N);
	CHECK(fake.calls == calls + 1);
	be->close(be);
}

TEST(a_pin_that_fails_its_test_is_not_used)
{
	for (fake_kind kind : { ROWS_DECIDE, PLACE_DECIDES, WRONG_NUMBERS, REFUSES, REFUSES_LATER }) {
		struct backend *own = open_with(kind, ""), *be = open_with(kind, pin_line(N, K, 0));
		if (uses_the_library(be))
			FAIL("kind %d was not seen", kind);
		CHECK(same_bits(product(be, 40, false, true, N), product(own, 40, false, true, N)));
		be->close(be);
		own->close(own);
		CHECK(fake.objects == 0 && emu_left() == 0);
	}
}

TEST(pins_of_other_devices_versions_or_with_a_split_of_k_are_passed_over)
{
	struct backend *be = open_with(HONEST, pin_line(N, K, 0, 1, 120800) + pin_line(N, K, 0, 1, 130100, 132) +
						       pin_line(N, K, 0, 2));
	CHECK(!uses_the_library(be));
	be->close(be);
}

TEST(the_name_of_the_class_changes_with_the_pins)
{
	struct backend *a = open_with(HONEST, pin_line(N, K, 0)),
		       *b = open_with(HONEST, pin_line(N, K, 0) + pin_line(N, K, 1));
	struct backend *c = open_with(HONEST, pin_line(N, K, 0));
	CHECK(strcmp(a->numerics, b->numerics) != 0);
	CHECK(strcmp(a->numerics, c->numerics) == 0);
	CHECK(strlen(b->numerics) < 120);
	a->close(a), b->close(b), c->close(c);
}

TEST(a_damaged_file_of_pins_is_an_error_with_its_line)
{
	for (const char *bad : { "pin 90 4\n", "pin 90 4 130100 24 40 4 66 20 1 0 0 0 35 0 2\n",
				 "pin 90 4 130100 24 40 0 66 20 1 0 0 0 35 0 2 9\n", "nonsense\n" }) {
		struct backend *be = NULL;
		write_pins("# first\n" + std::string(bad));
		CHECK(open_cuda(&be, KERNELS_CLASS_BF16) == ERR_ENV && !be);
		CHECK(said.find("libassay-cuda.pins:2 is no pin") != std::string::npos);
	}
	CHECK(emu_left() == 0);
}

TEST(only_the_class_bf16_asks_the_library)
{
	write_pins(pin_line(N, K, 0));
	for (int cls : { KERNELS_CLASS_F32, KERNELS_CLASS_TF32 }) {
		struct backend *be = cuda_or_stop(cls);
		CHECK(!uses_the_library(be));
		be->close(be);
	}
}

extern "C" bool assay_cuda_tune(struct backend *be, int n, int k, int epilogue, FILE *f);

TEST(tuning_prints_a_pin_that_is_taken_afterwards)
{
	struct backend *be = open_with(HONEST, "");
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	CHECK(assay_cuda_tune(be, N, K, 1, f) && assay_cuda_tune(be, N, K, 3, f));
	fclose(f);
	be->close(be);
	CHECK(std::string(text).find(" 24 40 1 66 20 1 0 ") != std::string::npos);
	CHECK(std::string(text).find(" 24 40 3 66 20 1 0 ") != std::string::npos);
	be = open_with(HONEST, text);
	CHECK(uses_the_library(be));
	be->close(be);
	free(text);
	be = open_with(ROWS_DECIDE, "");
	CHECK(!assay_cuda_tune(be, N, K, 0, stdout));
	be->close(be);
	unlink(pins_path().c_str());
	CHECK(fake.objects == 0 && emu_left() == 0);
}

TEST_MAIN
