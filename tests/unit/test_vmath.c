/* test_vmath.c: our elementary functions against the C library (whose long double results serve as the truth), their
 * special values, and that a lane of a vector has the bits of the single call. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "kernels/vmath.h"
#include "kernels/vmath_int.h"

static double ulp_of(long double truth, int digits, int min_exp)
{
	int e;
	frexpl(truth, &e);
	return ldexp(1.0, (e > min_exp ? e : min_exp) - digits);
}

static double error_ulp(double got, long double truth)
{
	return fabs((double)(got - truth)) / ulp_of(truth, 53, -1021);
}

static double uniform(struct rng *r, double lo, double hi)
{
	return lo + (hi - lo) * rng_uniform(r);
}

static bool same(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static void test_vm_expf__below_one_ulp(void **state)
{
	(void)state;
	double worst = 0;
	for (uint32_t u = 0; u < 0x42b20000u; u += 4099) /* 0 .. 89, each sign */
		for (uint32_t sign = 0; sign < 2; sign++) {
			uint32_t v = u | sign << 31;
			float x;
			memcpy(&x, &v, sizeof(x));
			double truth = exp((double)x), got = vm_expf(x);
			if (truth >= 0x1.ffffffp127) {
				assert_true(isinf(got));
				continue;
			}
			double e = fabs(got - truth) / ulp_of(truth, 24, -125);
			worst = e > worst ? e : worst;
		}
	print_message("expf: %.3f ulp\n", worst);
	assert_true(worst < 1.0);
}

static void test_vm_expf__special_values(void **state)
{
	(void)state;
	assert_true(vm_expf(0.0f) == 1.0f && vm_expf(-0.0f) == 1.0f);
	assert_true(vm_expf(-INFINITY) == 0.0f && !signbit(vm_expf(-INFINITY)));
	assert_true(isinf(vm_expf(INFINITY)) && isinf(vm_expf(88.73f)) && isinf(vm_expf(3e38f)));
	assert_true(!isinf(vm_expf(88.72f)));
	assert_true(isnan(vm_expf(NAN)));
	assert_true(vm_expf(-103.9f) == 0x1p-149f && vm_expf(-104.0f) == 0.0f && vm_expf(-3e38f) == 0.0f);
	assert_true(vm_expf(1e-42f) == 1.0f);
}

static void test_vm_expf__vector_gives_the_same_bits(void **state)
{
	(void)state;
	enum { N = 4096 };
	static float x[N], y[N];
	for (int i = 0; i < N; i++)
		x[i] = (float)(i - 2048) * 0.06f;
	x[5] = NAN, x[77] = INFINITY, x[78] = -INFINITY;
	for (int i = 0; i < N; i += 8)
		v8f_store(y + i, v8f_exp(v8f_load(x + i)));
	for (int i = 0; i < N; i++) {
		volatile float alone = x[i];
		float e = vm_expf(alone);
		assert_memory_equal(&e, &y[i], sizeof(e));
	}
}

static void test_vm_exp__below_two_ulp(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 1, 0);
	double worst = 0;
	for (int i = 0; i < 400000; i++) {
		double x = i % 4 == 0   ? uniform(&r, -745, 709.78)
			   : i % 4 == 1 ? uniform(&r, -1, 1)
			   : i % 4 == 2 ? uniform(&r, -30, 0)
					: uniform(&r, -745, -700);
		double e = error_ulp(vm_exp(x), expl((long double)x));
		worst = e > worst ? e : worst;
	}
	print_message("exp: %.3f ulp\n", worst);
	assert_true(worst < 1.25);
	assert_true(vm_exp(0) == 1 && vm_exp(-INFINITY) == 0 && isinf(vm_exp(INFINITY)) && isnan(vm_exp(NAN)));
	assert_true(isinf(vm_exp(709.79)) && vm_exp(-745.2) == 0 && vm_exp(-745.0) == 0x1p-1074 &&
		    isinf(vm_exp(1e308)));
}

static void test_vm_log__below_one_ulp(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 2, 0);
	double worst = 0;
	for (int i = 0; i < 400000; i++) {
		double x = i % 3 == 0   ? uniform(&r, 0.5, 2)
			   : i % 3 == 1 ? exp(uniform(&r, -744, 709))
					: 1 + uniform(&r, -1e-3, 1e-3);
		if (x == 1)
			continue;
		double e = error_ulp(vm_log(x), logl((long double)x));
		worst = e > worst ? e : worst;
	}
	print_message("log: %.3f ulp\n", worst);
	assert_true(worst < 1.0);
	assert_true(same(vm_log(1), 0.0) && vm_log(0) == -INFINITY && vm_log(-0.0) == -INFINITY);
	assert_true(isnan(vm_log(-1)) && isnan(vm_log(NAN)) && vm_log(INFINITY) == INFINITY);
	assert_true(error_ulp(vm_log(0x1p-1074), logl(0x1p-1074L)) < 1);
	assert_true(error_ulp(vm_log(0x1.fffffffffffffp1023), logl(0x1.fffffffffffffp1023L)) < 1);
}

static void test_vm_sincos__below_one_ulp(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 3, 0);
	double worst = 0, top = 0x1p20;
	for (int i = 0; i < 400000; i++) {
		double x;
		if (i % 4 == 0)
			x = uniform(&r, -1, 1);
		else if (i % 4 == 1)
			x = uniform(&r, -top, top);
		else if (i % 4 == 2) /* beside a multiple of pi/2, where the reduction cancels */
			x = (double)rng_below(&r, 600000) * M_PI_2 *
			    (1 + (double)((int)rng_below(&r, 3) - 1) * 0x1p-52);
		else
			x = (double)rng_below(&r, 1 << 20);
		double s, c;
		vm_sincos(x, &s, &c);
		double e = fmax(x == 0 ? 0 : error_ulp(s, sinl((long double)x)), error_ulp(c, cosl((long double)x)));
		worst = e > worst ? e : worst;
	}
	print_message("sincos: %.3f ulp\n", worst);
	assert_true(worst < 1.0);
}

static void test_vm_sincos__special_values(void **state)
{
	(void)state;
	double s, c;
	vm_sincos(0, &s, &c);
	assert_true(same(s, 0) && c == 1);
	vm_sincos(-0.0, &s, &c);
	assert_true(same(s, -0.0) && c == 1);
	vm_sincos(1e-300, &s, &c);
	assert_true(s == 1e-300 && c == 1);
	double bad[] = { INFINITY, -INFINITY, NAN, 0x1p20, -0x1p30 };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		vm_sincos(bad[i], &s, &c);
		assert_true(isnan(s) && isnan(c));
	}
}

static void test_vm_pow__below_two_ulp(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 4, 0);
	double worst = 0;
	for (int i = 0; i < 400000; i++) {
		double b = i % 2 ? exp(uniform(&r, -700, 700)) : uniform(&r, 0.5, 20000);
		double e = i % 2 ? uniform(&r, -708, 709) / log(b) : uniform(&r, -1, 1);
		long double truth = powl((long double)b, (long double)e);
		if (truth > 0x1.fffffffffffffp1023L || truth < 0x1p-1022L)
			continue;
		double u = error_ulp(vm_pow(b, e), truth);
		worst = u > worst ? u : worst;
	}
	print_message("pow: %.3f ulp\n", worst);
	assert_true(worst < 1.5);
}

static void test_vm_pow__special_values(void **state)
{
	(void)state;
	assert_true(vm_pow(1, INFINITY) == 1 && vm_pow(7, 0) == 1 && vm_pow(1, NAN) == 1);
	assert_true(vm_pow(2, 10) == 1024 && vm_pow(2, -1074) == 0x1p-1074 && vm_pow(0x1p-1074, -0.5) == 0x1p537);
	assert_true(vm_pow(2, 1024) == INFINITY && vm_pow(2, -1100) == 0 && vm_pow(1e300, 1e300) == INFINITY);
	assert_true(vm_pow(0, 2) == 0 && vm_pow(0, -2) == INFINITY);
	assert_true(vm_pow(INFINITY, 2) == INFINITY && vm_pow(INFINITY, -2) == 0);
	assert_true(vm_pow(0.5, INFINITY) == 0 && vm_pow(0.5, -INFINITY) == INFINITY &&
		    vm_pow(2, INFINITY) == INFINITY);
	assert_true(isnan(vm_pow(-2, 2)) && isnan(vm_pow(NAN, 2)) && isnan(vm_pow(2, NAN)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vm_expf__below_one_ulp),
		cmocka_unit_test(test_vm_expf__special_values),
		cmocka_unit_test(test_vm_expf__vector_gives_the_same_bits),
		cmocka_unit_test(test_vm_exp__below_two_ulp),
		cmocka_unit_test(test_vm_log__below_one_ulp),
		cmocka_unit_test(test_vm_sincos__below_one_ulp),
		cmocka_unit_test(test_vm_sincos__special_values),
		cmocka_unit_test(test_vm_pow__below_two_ulp),
		cmocka_unit_test(test_vm_pow__special_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
