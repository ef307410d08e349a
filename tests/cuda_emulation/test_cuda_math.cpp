/* test_cuda_math.cpp: the device's exp and log have the bits of the CPU's. */
#include "kernel_test.h"
#include "kernels/cuda_math.h"

extern "C" {
#include "kernels/vmath.h"
}

static __global__ void both_kernel(float *f, double *e, double *l, const float *x, const double *y, int n)
{
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i >= n)
		return;
	f[i] = dm_expf(x[i]);
	e[i] = dm_exp(y[i]);
	l[i] = dm_log(y[i]);
}

TEST(exp_and_log_have_the_bits_of_vmath)
{
	floats x = wide(4096, 3), spread = tame(4096, 4);
	std::vector<double> y(x.size());
	const double special[] = { 0,      -0.0,  1,     -1,   1e-310, 5e-324,   88.7,      89.5, -87.4,
				   -103.9, 709.7, 710.5, -745, -746.5, INFINITY, -INFINITY, NAN };
	for (size_t i = 0; i < x.size(); i++)
		y[i] = (double)x[i] * (i % 3 ? 1 : exp2((double)spread[i] * 300));
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		x[i] = (float)special[i];
		y[i] = special[i];
	}
	struct backend *be = device(KERNELS_CLASS_F32);
	array<float> dx(be, x), f(be, x.size());
	array<double> dy(be, y), e(be, y.size()), l(be, y.size());
	be->sync(be);
	LAUNCH(both_kernel, dim3(64), dim3(64), 0, 0, f.p, e.p, l.p, dx.p, dy.p, (int)x.size());
	cudaDeviceSynchronize();
	floats gf = f.get();
	std::vector<double> ge = e.get(), gl = l.get();
	for (size_t i = 0; i < x.size(); i++) {
		float wf = vm_expf(x[i]);
		double we = vm_exp(y[i]), wl = vm_log(y[i]);
		if (memcmp(&gf[i], &wf, 4) != 0 && !(wf != wf && gf[i] != gf[i]))
			FAIL("expf(%a) = %a, not %a", (double)x[i], (double)gf[i], (double)wf);
		if (memcmp(&ge[i], &we, 8) != 0 && !(we != we && ge[i] != ge[i]))
			FAIL("exp(%a) = %a, not %a", y[i], ge[i], we);
		if (memcmp(&gl[i], &wl, 8) != 0 && !(wl != wl && gl[i] != gl[i]))
			FAIL("log(%a) = %a, not %a", y[i], gl[i], wl);
	}
}

TEST_MAIN
