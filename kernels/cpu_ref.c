/* cpu_ref.c: what every operation means, in plain loops. The specification of the other tables.
 *
 * Slow on purpose: one thread, sums in double in ascending order, every output element by itself from its formula, no
 * tiles and no order that a reader would have to think about. Other back ends are compared with this one (NMSE), and the
 * backward operations of this one with finite differences of its forward ones. It is a working device too ("cpu_ref"):
 * the place to go when a number is doubted. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/vmath.h"

/* ---- weights ------------------------------------------------------------------------------------------------------------ */

/* The float of a bf16 or f16 number, from the meaning of its bits */
static double ref_widen(int type, uint16_t h)
{
	int bits = type == KERNELS_BF16 ? 7 : 10, top = type == KERNELS_BF16 ? 255 : 31;
	int exponent = (h & 0x7fff) >> bits, fraction = h & ((1 << bits) - 1), bias = top / 2;
	double v = (double)fraction / (1 << bits);
	if (exponent == top)
		v = fraction ? (double)__builtin_nanf("") : (double)__builtin_inff();
	else if (exponent == 0)
		v = v * __builtin_ldexp(1.0, 1 - bias);
	else
		v = (1 + v) * __builtin_ldexp(1.0, exponent - bias);
	return h & 0x8000 ? -v : v;
}

/* W[n, k] */
static double ref_weight(const struct kernels_weight *w, size_t n, size_t k)
{
	size_t at = w->packed ? (n / 16 * (size_t)w->K + k) * 16 + n % 16 : n * (size_t)w->K + k;
	if (!w->packed || w->type == KERNELS_F32)
		return (double)((const float *)w->data)[at];
	return ref_widen(w->type, ((const uint16_t *)w->data)[at]);
}

/* ---- linear layers ------------------------------------------------------------------------------------------------------ */

static void ref_store(float *c, double sum, float beta)
{
	*c = (float)(beta != 0 ? sum + (double)beta * (double)*c : sum);
}

static void ref_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		       const struct kernels_linear *how)
{
	(void)be;
	for (size_t i = 0; i < (size_t)how->M; i++)
		for (size_t n = 0; n < (size_t)w->N; n++) {
			double sum = how->bias ? (double)how->bias[n] : 0;
			for (size_t k = 0; k < (size_t)w->K; k++)
				sum += (double)x[i * (size_t)how->x_stride + k] * ref_weight(w, n, k);
			ref_store(&y[i * (size_t)how->y_stride + n], sum, how->beta);
		}
}

static void ref_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
			  const struct kernels_linear *how)
{
	(void)be;
	for (size_t i = 0; i < (size_t)how->M; i++)
		for (size_t k = 0; k < (size_t)w->K; k++) {
			double sum = 0;
			for (size_t n = 0; n < (size_t)w->N; n++)
				sum += (double)dy[i * (size_t)how->y_stride + n] * ref_weight(w, n, k);
			ref_store(&dx[i * (size_t)how->x_stride + k], sum, how->beta);
		}
}

static void ref_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
			  const struct kernels_linear *how)
{
	(void)be;
	for (size_t n = 0; n < (size_t)N; n++)
		for (size_t k = 0; k < (size_t)K; k++) {
			double sum = 0;
			for (size_t i = 0; i < (size_t)how->M; i++)
				sum += (double)dy[i * (size_t)how->y_stride + n] *
				       (double)x[i * (size_t)how->x_stride + k];
			ref_store(&dw[n * (size_t)K + k], sum, how->beta);
		}
}

static void ref_linear_db(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N)
{
	(void)be;
	for (size_t n = 0; n < (size_t)N; n++) {
		double sum = (double)db[n];
		for (size_t i = 0; i < (size_t)M; i++)
			sum += (double)dy[i * (size_t)dy_stride + n];
		db[n] = (float)sum;
	}
}

/* ---- embedding, norm, position --------------------------------------------------------------------------------------- */

static void ref_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T,
		      bool add)
{
	(void)be;
	for (size_t t = 0; t < (size_t)T; t++)
		for (size_t i = 0; i < (size_t)table->K; i++) {
			float *o = &out[t * (size_t)table->K + i];
			double e = ref_weight(table, (size_t)ids[t], i);
			*o = (float)(add ? e + (double)*o : e); /* a stored -0 stays -0 */
		}
}

static void ref_embed_back(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C,
			   int V)
{
	(void)be;
	(void)V;
	for (size_t t = 0; t < (size_t)T; t++)
		for (size_t i = 0; i < (size_t)C; i++)
			dtable[(size_t)ids[t] * (size_t)C + i] += dout[t * (size_t)C + i];
}

static void ref_rmsnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C,
			float eps)
{
	(void)be;
	for (int t = 0; t < T; t++, x += C, out += C) {
		double sum = 0;
		for (int i = 0; i < C; i++)
			sum += (double)x[i] * (double)x[i];
		double r = 1 / __builtin_sqrt(sum / C + (double)eps);
		rstd[t] = (float)r;
		for (int i = 0; i < C; i++)
			out[i] = (float)((double)w[i] * ((double)x[i] * r));
	}
}

/* y_i = w_i x_i r, r = (mean x^2 + eps)^-1/2:  dx_i = r (w_i dy_i - x_i r^2 mean(w dy x));  dw_i = dy_i x_i r */
static void ref_norm_dx(float *dx, const float *dout, const float *x, const float *w, double r, int C)
{
	double mean = 0;
	for (int i = 0; i < C; i++)
		mean += (double)w[i] * (double)dout[i] * (double)x[i];
	mean /= C;
	for (int i = 0; i < C; i++) {
		double d = r * ((double)w[i] * (double)dout[i] - (double)x[i] * r * r * mean);
		dx[i] = (float)((double)dx[i] + d);
	}
}

static void ref_rmsnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			     const float *w, const float *rstd, int T, int C)
{
	(void)be;
	for (int i = 0; i < C; i++) {
		double sum = 0;
		for (size_t t = 0; t < (size_t)T; t++)
			sum += (double)dout[t * (size_t)C + (size_t)i] * (double)x[t * (size_t)C + (size_t)i] *
			       (double)rstd[t];
		dw[i] = (float)((double)dw[i] + sum);
	}
	for (int t = 0; t < T; t++, x += C, dout += C, dx += C)
		ref_norm_dx(dx, dout, x, w, (double)rstd[t], C);
}

static void ref_layernorm(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
			  const float *b, int T, int C, float eps)
{
	(void)be;
	for (int t = 0; t < T; t++, x += C, out += C) {
		double sum = 0, squares = 0;
		for (int i = 0; i < C; i++)
			sum += (double)x[i];
		double m = sum / C;
		for (int i = 0; i < C; i++)
			squares += ((double)x[i] - m) * ((double)x[i] - m);
		double r = 1 / __builtin_sqrt(squares / C + (double)eps);
		mean[t] = (float)m;
		rstd[t] = (float)r;
		for (int i = 0; i < C; i++)
			out[i] = (float)((double)w[i] * (((double)x[i] - m) * r) + (double)b[i]);
	}
}

/* n_i = (x_i - mean) r, g_i = w_i dy_i:  dx_i = r (g_i - mean(g) - n_i mean(g n));  dw_i = dy_i n_i;  db_i = dy_i */
static void ref_layernorm_back(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			       const float *w, const float *mean, const float *rstd, int T, int C)
{
	(void)be;
	for (size_t i = 0; i < (size_t)C; i++) {
		double sum_w = (double)dw[i], sum_b = (double)db[i];
		for (size_t t = 0; t < (size_t)T; t++) {
			double d = (double)dout[t * (size_t)C + i];
			sum_w += d * ((double)x[t * (size_t)C + i] - (double)mean[t]) * (double)rstd[t];
			sum_b += d;
		}
		dw[i] = (float)sum_w;
		db[i] = (float)sum_b;
	}
	for (int t = 0; t < T; t++, x += C, dout += C, dx += C) {
		double m = (double)mean[t], r = (double)rstd[t], mean_g = 0, mean_gn = 0;
		for (int i = 0; i < C; i++) {
			double g = (double)w[i] * (double)dout[i];
			mean_g += g / C;
			mean_gn += g * ((double)x[i] - m) * r / C;
		}
		for (int i = 0; i < C; i++) {
			double g = (double)w[i] * (double)dout[i], n = ((double)x[i] - m) * r;
			dx[i] = (float)((double)dx[i] + r * (g - mean_g - n * mean_gn));
		}
	}
}

static void ref_headnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T,
			 int H, int D, float eps)
{
	for (size_t t = 0; t < (size_t)T; t++)
		for (size_t h = 0; h < (size_t)H; h++) {
			size_t at = t * (size_t)stride + h * (size_t)D;
			ref_rmsnorm(be, out + at, rstd + t * (size_t)H + h, x + at, w, 1, D, eps);
		}
}

static void ref_headnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			      const float *w, const float *rstd, int stride, int T, int H, int D)
{
	float *one = mem_array((size_t)D, sizeof(*one));
	double *sum = mem_array((size_t)D, sizeof(*sum));
	for (size_t t = 0; t < (size_t)T; t++)
		for (size_t h = 0; h < (size_t)H; h++) {
			size_t at = t * (size_t)stride + h * (size_t)D;
			double r = (double)rstd[t * (size_t)H + h];
			for (int i = 0; i < D; i++)
				sum[i] += (double)dout[at + (size_t)i] * (double)x[at + (size_t)i] * r;
			memset(one, 0, (size_t)D * sizeof(*one));
			ref_norm_dx(one, dout + at, x + at, w, r, D);
			memcpy(dx + at, one, (size_t)D * sizeof(*one));
		}
	for (int i = 0; i < D; i++)
		dw[i] = (float)((double)dw[i] + sum[i]);
	free(one);
	free(sum);
	(void)be;
}

static void ref_rope(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H,
		     int D, bool back)
{
	(void)be;
	for (size_t t = 0; t < (size_t)T; t++)
		for (size_t h = 0; h < (size_t)H; h++)
			for (size_t i = 0; i < (size_t)D / 2; i++) {
				float *p = x + t * (size_t)stride + h * (size_t)D + i;
				const float *turn = cos_sin + (size_t)pos[t] * (size_t)D;
				double c = (double)turn[i], s = (double)turn[i + (size_t)D / 2];
				double u = (double)p[0], v = (double)p[D / 2];
				s = back ? -s : s;
				p[0] = (float)(u * c - v * s);
				p[D / 2] = (float)(v * c + u * s);
			}
}

/* ---- attention --------------------------------------------------------------------------------------------------------- */

static double ref_dot(const float *a, const float *b, int n)
{
	double sum = 0;
	for (int i = 0; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

/* One query: w[n] holds the scores of its keys, and becomes their softmax; gives log sum exp */
static double ref_softmax(double *w, int n)
{
	double top = w[0], sum = 0;
	for (int j = 1; j < n; j++)
		top = w[j] > top ? w[j] : top;
	for (int j = 0; j < n; j++)
		sum += vm_exp(w[j] - top);
	for (int j = 0; j < n; j++)
		w[j] = vm_exp(w[j] - top) / sum;
	return top + vm_log(sum);
}

/* Key j of sequence s, and its value, for key head h */
static void ref_key(const float **key, const float **value, const float *k, const float *v,
		    const struct kernels_seqs *seqs, const struct kernels_attn *a, int s, int j, int h)
{
	int32_t r = seqs->k_start[s] + j;
	size_t head = (size_t)h * (size_t)a->head_dim;
	if (seqs->k_rows)
		r = seqs->k_rows[r];
	size_t at = r >= 0 ? (size_t)r * (size_t)a->kv_stride : (size_t)(-1 - r) * (size_t)seqs->cache_stride;
	*key = (r >= 0 ? k : seqs->cache_k) + at + head;
	*value = (r >= 0 ? v : seqs->cache_v) + at + head;
}

/* The first key that the query at a position sees */
static int ref_first(const struct kernels_attn *a, int position)
{
	return a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
}

/* Query row t of sequence s, at a position; w has room for a weight a key */
static void ref_attn_row(float *out, float *lse, const float *q, const float *k, const float *v,
			 const struct kernels_seqs *seqs, const struct kernels_attn *a, int s, int position, int head,
			 double *w)
{
	int first = ref_first(a, position), kv_head = head / (a->heads / a->kv_heads);
	const float *key, *value;
	for (int j = first; j <= position; j++) {
		ref_key(&key, &value, k, v, seqs, a, s, j, kv_head);
		w[j - first] = (double)a->scale * ref_dot(q, key, a->head_dim);
	}
	double l = ref_softmax(w, position + 1 - first);
	if (lse)
		*lse = (float)l;
	for (int d = 0; d < a->head_dim; d++) {
		double sum = 0;
		for (int j = first; j <= position; j++) {
			ref_key(&key, &value, k, v, seqs, a, s, j, kv_head);
			sum += w[j - first] * (double)value[d];
		}
		out[d] = (float)sum;
	}
}

static void ref_attn(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
		     const struct kernels_seqs *seqs, const struct kernels_attn *a)
{
	(void)be;
	for (int s = 0; s < seqs->n; s++) {
		int n_keys = seqs->k_start[s + 1] - seqs->k_start[s];
		double *w = mem_array((size_t)n_keys + 1, sizeof(*w));
		for (int t = seqs->q_start[s]; t < seqs->q_start[s + 1]; t++)
			for (int h = 0; h < a->heads; h++) {
				size_t head = (size_t)(h * a->head_dim);
				int position = n_keys - (seqs->q_start[s + 1] - t); /* the last query sees every key */
				ref_attn_row(out + (size_t)t * (size_t)a->o_stride + head,
					     lse ? lse + (size_t)t * (size_t)a->heads + (size_t)h : NULL,
					     q + (size_t)t * (size_t)a->q_stride + head, k, v, seqs, a, s, position, h,
					     w);
			}
		free(w);
	}
}

/* p = softmax of the scores, from lse; ds = p (dp - sum dout out), the gradient of a scaled score. Both [n, n] of one
 * sequence and one query head; 0 where the query does not see the key. */
static void ref_attn_scores(double *p, double *ds, int first, int n, int h, const float *dout, const float *out,
			    const float *lse, const float *q, const float *k, const float *v,
			    const struct kernels_attn *a)
{
	size_t kv = (size_t)(h / (a->heads / a->kv_heads) * a->head_dim);
	for (int i = 0; i < n; i++) {
		size_t t = (size_t)(first + i), at = t * (size_t)a->o_stride + (size_t)(h * a->head_dim);
		double delta = ref_dot(dout + at, out + at, a->head_dim);
		for (int j = 0; j < n; j++) {
			size_t e = (size_t)i * (size_t)n + (size_t)j,
			       key = (size_t)(first + j) * (size_t)a->kv_stride + kv;
			p[e] = ds[e] = 0;
			if (j > i || j < ref_first(a, i))
				continue;
			double score =
				ref_dot(q + t * (size_t)a->q_stride + (size_t)(h * a->head_dim), k + key, a->head_dim);
			p[e] = vm_exp((double)a->scale * score - (double)lse[t * (size_t)a->heads + (size_t)h]);
			ds[e] = p[e] * (ref_dot(dout + at, v + key, a->head_dim) - delta);
		}
	}
}

static void ref_attn_back(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
			  const float *lse, const float *q, const float *k, const float *v,
			  const struct kernels_seqs *seqs, const struct kernels_attn *a)
{
	(void)be;
	size_t qs = (size_t)a->q_stride, ks = (size_t)a->kv_stride, os = (size_t)a->o_stride, D = (size_t)a->head_dim;
	size_t group = (size_t)(a->heads / a->kv_heads);
	for (int s = 0; s < seqs->n; s++) {
		size_t t0 = (size_t)seqs->q_start[s], n = (size_t)seqs->q_start[s + 1] - t0;
		double *p = mem_array(n * n + 1, sizeof(*p)), *ds = mem_array(n * n + 1, sizeof(*ds));
		double *sum_k = mem_array(n * D + 1, sizeof(*sum_k)), *sum_v = mem_array(n * D + 1, sizeof(*sum_v));
		for (size_t h = 0; h < (size_t)a->heads; h++) {
			size_t kv = h / group * D;
			ref_attn_scores(p, ds, (int)t0, (int)n, (int)h, dout, out, lse, q, k, v, a);
			if (h % group == 0)
				for (size_t e = 0; e < n * D; e++)
					sum_k[e] = sum_v[e] = 0;
			for (size_t i = 0; i < n; i++)
				for (size_t d = 0; d < D; d++) {
					double sum_q = 0;
					for (size_t j = 0; j <= i; j++) {
						double g = (double)a->scale * ds[i * n + j];
						sum_q += g * (double)k[(t0 + j) * ks + kv + d];
						sum_k[j * D + d] += g * (double)q[(t0 + i) * qs + h * D + d];
						sum_v[j * D + d] +=
							p[i * n + j] * (double)dout[(t0 + i) * os + h * D + d];
					}
					dq[(t0 + i) * qs + h * D + d] = (float)sum_q;
				}
			for (size_t j = 0; j < n; j++)
				for (size_t d = 0; d < D; d++) {
					dk[(t0 + j) * ks + kv + d] = (float)sum_k[j * D + d];
					dv[(t0 + j) * ks + kv + d] = (float)sum_v[j * D + d];
				}
		}
		free(p);
		free(ds);
		free(sum_k);
		free(sum_v);
	}
}

/* ---- elementwise -------------------------------------------------------------------------------------------------------- */

static void ref_swiglu(struct backend *be, float *out, const float *gate, const float *up, size_t n)
{
	(void)be;
	for (size_t i = 0; i < n; i++)
		out[i] = (float)((double)gate[i] / (1 + vm_exp(-(double)gate[i])) * (double)up[i]);
}

static void ref_swiglu_back(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
			    const float *up, size_t n)
{
	(void)be;
	for (size_t i = 0; i < n; i++) {
		double g = (double)gate[i], u = (double)up[i], d = (double)dout[i], sig = 1 / (1 + vm_exp(-g));
		dgate[i] = (float)(d * u * sig * (1 + g * (1 - sig)));
		dup[i] = (float)(d * g * sig);
	}
}

/* tanh(u) = 1 - 2 / (e^2u + 1), so x/2 (1 + tanh u) = x / (1 + e^-2u) */
static double ref_gelu_gate(double x)
{
	return 1 / (1 + vm_exp(-2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

static void ref_gelu(struct backend *be, float *out, const float *x, size_t n)
{
	(void)be;
	for (size_t i = 0; i < n; i++)
		out[i] = (float)((double)x[i] * ref_gelu_gate((double)x[i]));
}

static void ref_gelu_back(struct backend *be, float *dx, const float *dout, const float *x, size_t n)
{
	(void)be;
	for (size_t i = 0; i < n; i++) {
		double u = (double)x[i], s = ref_gelu_gate(u);
		double slope = 2 * 0.79788456080286535588 * (1 + 3 * 0.044715 * u * u);
		dx[i] = (float)((double)dout[i] * (s + u * s * (1 - s) * slope));
	}
}

static void ref_dropout(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p)
{
	(void)be;
	for (size_t i = 0; i < n; i++) {
		uint64_t z = key + (i + 1) * 0x9e3779b97f4a7c15u; /* SplitMix64 adds before it mixes */
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		out[i] = (double)(z >> 40) < (double)p * 16777216.0 ? 0.0f : (float)((double)x[i] / (1 - (double)p));
	}
}

static void ref_scale(struct backend *be, float *x, size_t n, float s)
{
	(void)be;
	for (size_t i = 0; i < n; i++)
		x[i] *= s;
}

static void ref_add(struct backend *be, float *x, const float *y, size_t n)
{
	(void)be;
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

static void ref_gather(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C)
{
	(void)be;
	for (size_t i = 0; i < (size_t)n; i++)
		for (size_t c = 0; c < (size_t)C; c++)
			out[i * (size_t)C + c] = src[(size_t)rows[i] * (size_t)C + c];
}

static void ref_scatter_add(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C)
{
	(void)be;
	for (size_t i = 0; i < (size_t)n; i++)
		for (size_t c = 0; c < (size_t)C; c++)
			dsrc[(size_t)rows[i] * (size_t)C + c] += dout[i * (size_t)C + c];
}

static void ref_put_rows(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride,
			 const int32_t *rows, int n, int width)
{
	(void)be;
	for (size_t i = 0; i < (size_t)n; i++)
		for (size_t c = 0; rows[i] >= 0 && c < (size_t)width; c++)
			dst[(size_t)rows[i] * (size_t)dst_stride + c] = src[i * (size_t)src_stride + c];
}

/* ---- loss --------------------------------------------------------------------------------------------------------------- */

static double ref_log_sum_exp(const float *x, int V, int *first_largest)
{
	int top = 0;
	for (int i = 1; i < V; i++)
		top = x[i] > x[top] ? i : top;
	double sum = 0;
	for (int i = 0; i < V; i++)
		sum += vm_exp((double)x[i] - (double)x[top]);
	*first_largest = top;
	return (double)x[top] + vm_log(sum);
}

static void ref_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
			const int32_t *target, int T, int V)
{
	(void)be;
	for (int t = 0; t < T; t++, logits += V) {
		int top;
		double l = ref_log_sum_exp(logits, V, &top);
		for (int i = first ? first[t] : t; i < (first ? first[t + 1] : t + 1); i++) {
			logprob[i] = target[i] < 0 ? 0 : (double)logits[target[i]] - l;
			if (argmax)
				argmax[i] = top;
		}
	}
}

static void ref_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V)
{
	(void)be;
	for (int t = 0; t < T; t++, logits += V) {
		int top;
		double l = ref_log_sum_exp(logits, V, &top);
		for (int i = 0; i < V; i++) {
			double p = vm_exp((double)logits[i] - l);
			logits[i] = target[t] < 0 ? 0 : (float)((double)scale[t] * (p - (i == target[t])));
		}
	}
}

/* ---- optimizer ------------------------------------------------------------------------------------------------------------ */

static double ref_sumsq(struct backend *be, const float *x, size_t n)
{
	(void)be;
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	return sum;
}

static void ref_adamw(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
		      const struct kernels_adamw *how)
{
	(void)be;
	double b1 = (double)how->beta1, b2 = (double)how->beta2, lr = (double)how->lr;
	double unbias1 = 1 - vm_pow(b1, (double)how->step), unbias2 = 1 - vm_pow(b2, (double)how->step);
	for (size_t i = 0; i < n; i++) {
		double g = (double)grad[i] * (double)how->grad_scale;
		double mi = b1 * (double)m[i] + (1 - b1) * g, vi = b2 * (double)v[i] + (1 - b2) * g * g;
		double step = mi / unbias1 / (__builtin_sqrt(vi / unbias2) + (double)how->eps);
		p[i] = (float)((double)p[i] - lr * (step + (double)how->decay * (double)p[i]));
		m[i] = (float)mi;
		v[i] = (float)vi;
	}
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

static const struct backend ref_table = {
	.name = "cpu_ref",
	.numerics = "cpu_ref-2/f32/ieee754",
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
	.linear = ref_linear,
	.linear_dx = ref_linear_dx,
	.linear_dw = ref_linear_dw,
	.linear_db = ref_linear_db,
	.embed = ref_embed,
	.embed_back = ref_embed_back,
	.rmsnorm = ref_rmsnorm,
	.rmsnorm_back = ref_rmsnorm_back,
	.layernorm = ref_layernorm,
	.layernorm_back = ref_layernorm_back,
	.headnorm = ref_headnorm,
	.headnorm_back = ref_headnorm_back,
	.rope = ref_rope,
	.attn = ref_attn,
	.attn_back = ref_attn_back,
	.swiglu = ref_swiglu,
	.swiglu_back = ref_swiglu_back,
	.gelu = ref_gelu,
	.gelu_back = ref_gelu_back,
	.dropout = ref_dropout,
	.scale = ref_scale,
	.add = ref_add,
	.gather = ref_gather,
	.scatter_add = ref_scatter_add,
	.put_rows = ref_put_rows,
	.logprob = ref_logprob,
	.xent_back = ref_xent_back,
	.sumsq = ref_sumsq,
	.adamw = ref_adamw,
	.close = cpu_close,
};

int cpu_ref_open(struct backend **out, int threads)
{
	(void)threads; /* one is the specification */
	struct backend *be = mem_copy(&ref_table, sizeof(ref_table));
	be->threads = 1;
	cpu_state_new(be);
	*out = be;
	return 0;
}
