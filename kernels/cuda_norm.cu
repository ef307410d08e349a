/* cuda_norm.cu: RMS norm, layer norm, RMS norm of heads, and their gradients; the gradient of a bias.
 *
 * A row is a block (a head is a warp). The block's size follows from the width alone, a thread sums the columns that are
 * its own in ascending order, lanes are added by butterfly and warps in order (block_sum): so a row's bits are the same in
 * any batch. The row is read twice, the second time from the cache: the floor is 8 C bytes a row forward.
 *
 * dw and db are sums over rows. ROWS rows are a group, and a block: its sums lie in shared memory, each column with one
 * thread, and become a row of a table; the table is added up in double by add_columns(). Both orders depend on the number of
 * rows only: a training step has the same bits whenever it is repeated. The table costs 2/ROWS of the traffic. Rows wider than
 * the device's shared memory have their sums in the table from the first (above 12544 numbers of a layer norm where a block is granted 99 KB):
 * the same sums in the same order, through the cache. */
#include "kernels/cuda_int.h"
#include "kernels/cuda_device.h"

enum { ROWS = 16, WARPS_MAX = 16, HEAD_WARPS = 4, HEADS = 64 };
enum { SUM_COLS = 32, SUM_LANES = 32, SUM_ROWS = 512 };

/* By the width alone: it decides the order of a row's sum */
static unsigned row_threads(int C)
{
	return C <= 512 ? 64 : C <= 2048 ? 128 : C <= 8192 ? 256 : 512;
}

/* ---- sums of columns -------------------------------------------------------------------------------------------------- */

/* Block (x, y): the sums of 32 columns over rows y SUM_ROWS.., in double: a thread takes every 32nd row, the 32 sums of
 * a column are added in order. to = or += them. */
static __global__ void column_sums_kernel(float *to, size_t to_stride, const float *table, size_t stride, int rows,
					  int n, bool adds)
{
	SHARED(double, part, [SUM_LANES][SUM_COLS + 1]);
	int x = (int)threadIdx.x % SUM_COLS, y = (int)threadIdx.x / SUM_COLS, col = (int)blockIdx.x * SUM_COLS + x;
	int row0 = (int)blockIdx.y * SUM_ROWS, end = min(rows, row0 + SUM_ROWS);
	double sum = 0;
	for (int r = row0 + y; col < n && r < end; r += SUM_LANES)
		sum += (double)table[(size_t)r * stride + (size_t)col];
	part[y][x] = sum;
	__syncthreads();
	if (y > 0 || col >= n)
		return;
	for (int i = 1; i < SUM_LANES; i++)
		sum += part[i][x];
	float *o = to + (size_t)blockIdx.y * to_stride + col;
	*o = (float)(adds ? (double)*o + sum : sum);
}

/* out[n] += the sum of the table's rows; `room` is of (rows / SUM_ROWS + 1) n floats, if there are more than SUM_ROWS */
static void add_columns(struct backend *be, float *out, const float *table, size_t stride, int rows, int n, float *room)
{
	unsigned parts = (unsigned)((rows + SUM_ROWS - 1) / SUM_ROWS), cols = (unsigned)((n + SUM_COLS - 1) / SUM_COLS);
	dim3 block(SUM_COLS * SUM_LANES);
	if (parts > 1) {
		CUDA_LAUNCH(be, column_sums_kernel, dim3(cols, parts), block, 0, room, (size_t)n, table, stride, rows,
			    n, false);
		add_columns(be, out, room, (size_t)n, (int)parts, n, room + (size_t)parts * (size_t)n);
		return;
	}
	CUDA_LAUNCH(be, column_sums_kernel, dim3(cols), block, 0, out, (size_t)n, table, stride, rows, n, true);
}

/* Floats that add_columns() wants as room */
static size_t add_columns_room(int rows, int n)
{
	size_t room = 0;
	while (rows > SUM_ROWS) {
		rows = (rows + SUM_ROWS - 1) / SUM_ROWS;
		room += (size_t)rows * (size_t)n;
	}
	return room;
}

void cuda_linear_db(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N)
{
	uint64_t before = cuda_launches(be);
	if (M <= 0 || N <= 0)
		return;
	float *room = (float *)cuda_scratch(be, add_columns_room(M, N) * sizeof(float) + sizeof(float));
	if (room)
		add_columns(be, db, dy, (size_t)dy_stride, M, N, room);
	cuda_keep_operands(be, before, db, (size_t)N);
}

/* Do a block's sums fit in its shared memory, beside what it declares, which is below 1 KB? By the width and the device alone. */
static bool sums_fit(const struct backend *be, size_t bytes)
{
	return bytes + 1024 <= cuda_properties(be)->sharedMemPerBlockOptin;
}

/* ---- RMS norm ------------------------------------------------------------------------------------------------------------- */

static __global__ void rmsnorm_kernel(cuda_made made, float *rstd, const float *x, const float *w, int C, float eps)
{
	SHARED(float, room, [WARPS_MAX]);
	size_t at = (size_t)blockIdx.x * (size_t)C, piece = (size_t)blockIdx.x * made.stride;
	const float *row = x + at;
	float s = 0;
	make_padding(made, piece, C);
	for (int i = (int)threadIdx.x; i < C; i += (int)blockDim.x)
		s = fmaf(row[i], row[i], s);
	s = block_sum(s, room);
	float r = 1.0f / sqrtf(s / (float)C + eps);
	if (threadIdx.x == 0)
		rstd[blockIdx.x] = r;
	for (int i = (int)threadIdx.x; i < C; i += (int)blockDim.x)
		make(made, at + i, piece + i, w[i] * (row[i] * r));
}

void cuda_rmsnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C, float eps)
{
	uint64_t before = cuda_launches(be);
	if (T <= 0)
		return;
	cuda_made made = cuda_begin_made(be, before, out, (size_t)T * (size_t)C, false);
	CUDA_LAUNCH(be, rmsnorm_kernel, dim3((unsigned)T), dim3(row_threads(C)), 0, made, rstd, x, w, C, eps);
	cuda_end_made(be, before, &made);
}

/* dx += r (w dy - x r^2 mean(w dy x)), and the group's sum of dy x r */
template <bool SUMS_FIT>
static __global__ void rmsnorm_back_kernel(float *dx, float *table, const float *dout, const float *x, const float *w,
					   const float *rstd, int T, int C)
{
	SHARED(float, room, [WARPS_MAX]);
	DYN_SHARED(float, sums); /* [C]; a column has one thread throughout */
	float *sum = SUMS_FIT ? sums : table + (size_t)blockIdx.x * (size_t)C;
	int step = (int)blockDim.x, t0 = (int)blockIdx.x * ROWS, end = min(T, t0 + ROWS);
	for (int i = (int)threadIdx.x; i < C; i += step)
		sum[i] = 0;
	for (int t = t0; t < end; t++) {
		size_t at = (size_t)t * (size_t)C;
		float r = rstd[t], k = 0;
		for (int i = (int)threadIdx.x; i < C; i += step)
			k = fmaf(w[i] * dout[at + i], x[at + i], k);
		k = r * r * (block_sum(k, room) / (float)C);
		for (int i = (int)threadIdx.x; i < C; i += step) {
			float d = dout[at + i], v = x[at + i];
			dx[at + i] += r * (w[i] * d - v * k);
			sum[i] += d * (v * r);
		}
	}
	for (int i = (int)threadIdx.x; SUMS_FIT && i < C; i += step)
		table[(size_t)blockIdx.x * (size_t)C + i] = sum[i];
}

void cuda_rmsnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
		       const float *rstd, int T, int C)
{
	if (T <= 0)
		return;
	int groups = (T + ROWS - 1) / ROWS;
	size_t n = (size_t)groups * (size_t)C, shared = (size_t)C * sizeof(float);
	float *table = (float *)cuda_scratch(be, (n + add_columns_room(groups, C)) * sizeof(float));
	if (!table)
		return;
	if (!sums_fit(be, shared))
		CUDA_LAUNCH(be, (rmsnorm_back_kernel<false>), dim3((unsigned)groups), dim3(row_threads(C)), 0, dx,
			    table, dout, x, w, rstd, T, C);
	else if (cuda_allow_shared(be, rmsnorm_back_kernel<true>, shared, "the gradient of a norm of this width"))
		CUDA_LAUNCH(be, (rmsnorm_back_kernel<true>), dim3((unsigned)groups), dim3(row_threads(C)), shared, dx,
			    table, dout, x, w, rstd, T, C);
	add_columns(be, dw, table, (size_t)C, groups, C, table + n);
}

/* ---- layer norm -------------------------------------------------------------------------------------------------------------- */

static __global__ void layernorm_kernel(cuda_made made, float *mean, float *rstd, const float *x, const float *w,
					const float *b, int C, float eps)
{
	SHARED(float, room, [WARPS_MAX]);
	int step = (int)blockDim.x;
	size_t at = (size_t)blockIdx.x * (size_t)C, piece = (size_t)blockIdx.x * made.stride;
	const float *row = x + at;
	float s = 0, v = 0;
	make_padding(made, piece, C);
	for (int i = (int)threadIdx.x; i < C; i += step)
		s += row[i];
	float m = block_sum(s, room) / (float)C;
	for (int i = (int)threadIdx.x; i < C; i += step)
		v = fmaf(row[i] - m, row[i] - m, v);
	float r = 1.0f / sqrtf(block_sum(v, room) / (float)C + eps);
	if (threadIdx.x == 0) {
		mean[blockIdx.x] = m;
		rstd[blockIdx.x] = r;
	}
	for (int i = (int)threadIdx.x; i < C; i += step)
		make(made, at + i, piece + i, fmaf(w[i], (row[i] - m) * r, b[i]));
}

void cuda_layernorm(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
		    const float *b, int T, int C, float eps)
{
	uint64_t before = cuda_launches(be);
	if (T <= 0)
		return;
	cuda_made made = cuda_begin_made(be, before, out, (size_t)T * (size_t)C, false);
	CUDA_LAUNCH(be, layernorm_kernel, dim3((unsigned)T), dim3(row_threads(C)), 0, made, mean, rstd, x, w, b, C,
		    eps);
	cuda_end_made(be, before, &made);
}

/* g = w dy, n = the normalised x: dx += r (g - mean g - n mean(g n)); the group's sums of dy n and dy, side by side */
template <bool SUMS_FIT>
static __global__ void layernorm_back_kernel(float *dx, float *table, const float *dout, const float *x, const float *w,
					     const float *mean, const float *rstd, int T, int C)
{
	SHARED(float, room, [WARPS_MAX]);
	DYN_SHARED(float, sums); /* [2 C] */
	float *sum = SUMS_FIT ? sums : table + (size_t)blockIdx.x * 2 * (size_t)C;
	int step = (int)blockDim.x, t0 = (int)blockIdx.x * ROWS, end = min(T, t0 + ROWS);
	for (int i = (int)threadIdx.x; i < C; i += step)
		sum[i] = sum[C + i] = 0;
	for (int t = t0; t < end; t++) {
		size_t at = (size_t)t * (size_t)C;
		float m = mean[t], r = rstd[t], g = 0, gn = 0;
		for (int i = (int)threadIdx.x; i < C; i += step) {
			float a = w[i] * dout[at + i];
			g += a;
			gn = fmaf(a, (x[at + i] - m) * r, gn);
		}
		g = block_sum(g, room) / (float)C;
		gn = block_sum(gn, room) / (float)C;
		for (int i = (int)threadIdx.x; i < C; i += step) {
			float d = dout[at + i], n = (x[at + i] - m) * r;
			dx[at + i] += r * (w[i] * d - g - n * gn);
			sum[i] += d * n;
			sum[C + i] += d;
		}
	}
	for (int i = (int)threadIdx.x; SUMS_FIT && i < C; i += step) {
		table[(size_t)blockIdx.x * 2 * (size_t)C + i] = sum[i];
		table[(size_t)blockIdx.x * 2 * (size_t)C + C + i] = sum[C + i];
	}
}

void cuda_layernorm_back(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			 const float *w, const float *mean, const float *rstd, int T, int C)
{
	if (T <= 0)
		return;
	int groups = (T + ROWS - 1) / ROWS;
	size_t n = 2 * (size_t)groups * (size_t)C, shared = 2 * (size_t)C * sizeof(float);
	float *table = (float *)cuda_scratch(be, (n + add_columns_room(groups, C)) * sizeof(float));
	if (!table)
		return;
	if (!sums_fit(be, shared))
		CUDA_LAUNCH(be, (layernorm_back_kernel<false>), dim3((unsigned)groups), dim3(row_threads(C)), 0, dx,
			    table, dout, x, w, mean, rstd, T, C);
	else if (cuda_allow_shared(be, layernorm_back_kernel<true>, shared, "the gradient of a norm of this width"))
		CUDA_LAUNCH(be, (layernorm_back_kernel<true>), dim3((unsigned)groups), dim3(row_threads(C)), shared, dx,
			    table, dout, x, w, mean, rstd, T, C);
	add_columns(be, dw, table, 2 * (size_t)C, groups, C, table + n);
	add_columns(be, db, table + C, 2 * (size_t)C, groups, C, table + n);
}

/* ---- norm of heads ------------------------------------------------------------------------------------------------------------ */

/* Warp i of the launch has head i % H of row i / H; out may be x */
static __global__ void headnorm_kernel(float *out, float *rstd, const float *x, const float *w, size_t stride,
				       size_t heads, int H, int D, float eps)
{
	size_t i = (size_t)blockIdx.x * HEAD_WARPS + threadIdx.x / WARP;
	int lane = (int)threadIdx.x % WARP;
	if (i >= heads)
		return;
	size_t at = i / (size_t)H * stride + i % (size_t)H * (size_t)D;
	float s = 0;
	for (int d = lane; d < D; d += WARP)
		s = fmaf(x[at + d], x[at + d], s);
	float r = 1.0f / sqrtf(warp_sum(s) / (float)D + eps);
	if (lane == 0)
		rstd[i] = r;
	for (int d = lane; d < D; d += WARP)
		out[at + d] = w[d] * (x[at + d] * r);
}

void cuda_headnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T,
		   int H, int D, float eps)
{
	size_t heads = (size_t)T * (size_t)H;
	if (out != x && stride == H * D)
		cuda_written(be, out, heads * (size_t)D * sizeof(float));
	if (heads)
		CUDA_LAUNCH(be, headnorm_kernel, dim3((unsigned)((heads + HEAD_WARPS - 1) / HEAD_WARPS)),
			    dim3(HEAD_WARPS * WARP), 0, out, rstd, x, w, (size_t)stride, heads, H, D, eps);
}

/* A block has HEADS heads, its warps every fourth of them; dx may be dout, so a lane reads before it writes */
static __global__ void headnorm_back_kernel(float *dx, float *table, const float *dout, const float *x, const float *w,
					    const float *rstd, size_t stride, size_t heads, int H, int D)
{
	DYN_SHARED(float, sums); /* [HEAD_WARPS][D] */
	int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
	float *sum = sums + warp * D;
	for (int d = lane; d < D; d += WARP)
		sum[d] = 0;
	for (int k = warp; k < HEADS; k += HEAD_WARPS) {
		size_t i = (size_t)blockIdx.x * HEADS + (size_t)k;
		if (i >= heads)
			break;
		size_t at = i / (size_t)H * stride + i % (size_t)H * (size_t)D;
		float r = rstd[i], c = 0;
		for (int d = lane; d < D; d += WARP)
			c = fmaf(w[d] * dout[at + d], x[at + d], c);
		c = r * r * (warp_sum(c) / (float)D);
		for (int d = lane; d < D; d += WARP) {
			float g = dout[at + d], v = x[at + d];
			sum[d] += g * (v * r);
			dx[at + d] = r * (w[d] * g - v * c);
		}
	}
	__syncthreads();
	for (int d = (int)threadIdx.x; d < D; d += HEAD_WARPS * WARP) {
		float s = sums[d];
		for (int k = 1; k < HEAD_WARPS; k++)
			s += sums[k * D + d];
		table[(size_t)blockIdx.x * (size_t)D + d] = s;
	}
}

void cuda_headnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
			const float *rstd, int stride, int T, int H, int D)
{
	size_t heads = (size_t)T * (size_t)H;
	int groups = (int)((heads + HEADS - 1) / HEADS);
	if (!groups)
		return;
	size_t n = (size_t)groups * (size_t)D, shared = (size_t)(HEAD_WARPS * D) * sizeof(float);
	float *table = (float *)cuda_scratch(be, (n + add_columns_room(groups, D)) * sizeof(float));
	if (!table || !cuda_allow_shared(be, headnorm_back_kernel, shared, "the gradient of a norm of this width"))
		return;
	CUDA_LAUNCH(be, headnorm_back_kernel, dim3((unsigned)groups), dim3(HEAD_WARPS * WARP), shared, dx, table, dout,
		    x, w, rstd, (size_t)stride, heads, H, D);
	add_columns(be, dw, table, (size_t)D, groups, D, table + n);
}
