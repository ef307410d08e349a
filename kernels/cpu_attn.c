/* cpu_attn.c: causal attention over packed sequences, forward and backward, without a table of scores in memory.
 *
 * The one idea: a query row walks the keys in tiles of 64, aligned to the key's position in its sequence, and its sequence
 * of operations depends on its own position only:
 *
 *	for each tile up to its own position:                        m, l, acc: largest score, sum, weighted values so far
 *		s_j = (scale q) . k_j             a chain of multiply-adds over D
 *		m' = max(m, s);  p_j = e^(s_j - m')
 *		l = l e^(m - m') + sum p          eight lanes, one fixed tree
 *		acc = acc e^(m - m') + p v        a chain of multiply-adds over the keys it may see, ascending
 *	out = acc / l,  lse = m + log l
 *
 * Which rows share a task, and where the keys come from (this batch or a cache), changes none of it; keys beyond a row's
 * own position are never multiplied in, not even by 0. So a token's bits are the same alone behind a cache and in a full
 * sequence.
 *
 * A task is a sequence, a key head and about 60 rows: some positions, times the query heads that read this key head, so
 * that a packed tile of keys serves them all. Rows are ordered by position; the tile of tile_int.h takes six or twelve at
 * a time, by the level of instructions this file is compiled for (cpu_attn_v4.c compiles it a second time).
 * Short sequences behind a common prefix (choices of a question, texts that go on behind one prompt) share a task: a tile
 * whose keys are the same rows is packed once for all of them.
 *
 * Backward is one task a sequence and key head: tiles of 64 keys, for each the tiles of 64 queries at and after it. Sums
 * run in that order: over key tiles for dq, over query heads and query tiles for dk and dv. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/tile_int.h"
#include "kernels/vmath.h"
#include "kernels/vmath_int.h"

enum { KEYS = 64, ROWS = 60 }; /* KEYS is a part of the numerics */

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

/* Head sizes are padded to whole panels of 16 columns in scratch */
static size_t padded(int head_dim)
{
	return ((size_t)head_dim + TILE_COLS - 1) / TILE_COLS * TILE_COLS;
}

/* out[panel of 16 keys][D][16] = the keys, transposed; row j of the tile stands at rows[j] */
static void pack_key_rows(float *out, const float *const *rows, int n, int D)
{
	for (int j = 0; j < n; j += TILE_COLS, out += (size_t)D * TILE_COLS)
		pack_pointers(out, rows + j, min_int(TILE_COLS, n - j), D);
}

/* out[panel of 16 keys][D][16] = the keys, transposed */
static void pack_keys(float *out, const float *k, size_t stride, int n, int D)
{
	for (int j = 0; j < n; j += TILE_COLS, out += (size_t)D * TILE_COLS)
		pack_transposed(out, k + (size_t)j * stride, stride, min_int(TILE_COLS, n - j), D);
}

/* ---- forward ------------------------------------------------------------------------------------------------------------- */

struct attn {
	float *out, *lse;
	const float *q, *k, *v;
	const struct kernels_seqs *seqs;
	const struct kernels_attn *shape;
	int group;     /* query heads of a key head */
	int positions; /* of a task */
	int company;   /* of a task of several sequences, at most */
};

struct attn_block {        /* a task, but for its key head */
	int seq, first, n; /* positions first .. first + n of the sequence's queries … */
	int seqs;          /* … or all queries, n together, of so many sequences from seq on */
};

struct attn_part { /* of one sequence in a task */
	int seq, row, rows;
	int first, end; /* position of its first query; keys that its last query sees */
};

struct attn_rows { /* scratch of a task; row r is position r / group, query head r % group */
	float *keys, *values, *q, *scores, *acc, *top, *sum;
	size_t D, Dp;
	int n;
};

static size_t rows_init(struct attn_rows *w, float *scratch, int n, int D)
{
	float *p = scratch;
	w->D = (size_t)D;
	w->Dp = padded(D);
	w->n = n;
	w->keys = p, p += KEYS * w->Dp;
	w->values = p, p += KEYS * w->Dp;
	w->q = p, p += (size_t)n * w->Dp;
	w->scores = p, p += (size_t)n * KEYS;
	w->acc = p, p += (size_t)n * w->Dp;
	w->top = p, p += n;
	w->sum = p, p += n;
	return (size_t)(p - scratch);
}

static size_t rows_floats(int n, int D)
{
	return (size_t)KEYS * 2 * padded(D) + (size_t)n * (2 * padded(D) + KEYS + 2);
}

/* One row meets keys from..n of a tile: scores become weights, what was gathered is scaled to the new maximum */
static void softmax_step(float *s, int from, int n, float *top, float *sum, float *acc, size_t Dp)
{
	const float none = -__builtin_inff();
	int whole = (n + 7) / 8 * 8;
	for (int j = 0; j < from; j++)
		s[j] = none;
	for (int j = n; j < whole; j++)
		s[j] = none;
	v8f m = v8f_all(none);
	for (int j = 0; j < whole; j += 8)
		m = v8f_max(m, v8f_load(s + j));
	float now = v8f_top(m);
	now = *top > now ? *top : now;
	const v8f shift = v8f_all(now);
	v8f l = v8f_all(0);
	for (int j = 0; j < whole; j += 8) {
		v8f p = v8f_exp(v8f_load(s + j) - shift);
		v8f_store(s + j, p);
		l += p;
	}
	float keep = v8f_exp(v8f_all(*top) - shift)[0];
	*sum = *sum * keep + v8f_sum(l);
	*top = now;
	if (keep != 1.0f)
		for (size_t d = 0; d < Dp; d += 8)
			v8f_store(acc + d, v8f_load(acc + d) * v8f_all(keep));
}

/* Weighted values of one row: keys from..to, ascending, as one chain */
static void add_values(struct attn_rows *w, const float *s, float *acc, int from, int to)
{
	for (size_t d = 0; from < to && d < w->Dp; d += TILE_COLS)
		tile(1, s + from, KEYS, 1, w->values + (size_t)from * w->Dp + d, w->Dp, acc + d, w->Dp, TILE_COLS,
		     to - from, TILE_CHAIN);
}

/* Rows r..r+rows of the task meet the packed tile of keys; row i sees keys from[i] .. seen[i], both ascending with i */
static void rows_step(struct attn_rows *w, int r, int rows, const int *from, const int *seen)
{
	float *s = w->scores + (size_t)r * KEYS, *acc = w->acc + (size_t)r * w->Dp;
	for (int j = from[0] / TILE_COLS * TILE_COLS; j < seen[rows - 1]; j += TILE_COLS)
		tile(rows, w->q + (size_t)r * w->D, w->D, 1, w->keys + (size_t)j * w->D, TILE_COLS, s + j, KEYS,
		     TILE_COLS, (int)w->D, TILE_SET);
	for (int i = 0; i < rows; i++)
		if (from[i] < seen[i])
			softmax_step(s + i * KEYS, from[i], seen[i], &w->top[r + i], &w->sum[r + i],
				     acc + (size_t)i * w->Dp, w->Dp);
	if (from[rows - 1] > 0) { /* a window ends in this tile */
		for (int i = 0; i < rows; i++)
			add_values(w, s + i * KEYS, acc + (size_t)i * w->Dp, from[i], seen[i]);
		return;
	}
	for (size_t d = 0; d < w->Dp; d += TILE_COLS) {
		int all = seen[0]; /* what all rows see goes together, the rest row by row: the same chain */
		tile(rows, s, KEYS, 1, w->values + d, w->Dp, acc + d, w->Dp, TILE_COLS, all, TILE_CHAIN);
		for (int i = 1; i < rows; i++)
			if (seen[i] > all)
				tile(1, s + i * KEYS + all, KEYS, 1, w->values + (size_t)all * w->Dp + d, w->Dp,
				     acc + (size_t)i * w->Dp + d, w->Dp, TILE_COLS, seen[i] - all, TILE_CHAIN);
	}
}

static void rows_begin(const struct attn *a, struct attn_rows *w, size_t row, int kv_head)
{
	const struct kernels_attn *shape = a->shape;
	for (int r = 0; r < w->n; r++) {
		size_t t = row + (size_t)(r / a->group), h = (size_t)(kv_head * a->group + r % a->group);
		pack_rows(w->q + (size_t)r * w->D, w->D, a->q + t * (size_t)shape->q_stride + h * w->D, 0, 1, (int)w->D,
			  shape->scale);
		w->top[r] = -__builtin_inff();
		w->sum[r] = 0;
	}
	memset(w->acc, 0, (size_t)w->n * w->Dp * sizeof(float));
}

static void rows_end(const struct attn *a, struct attn_rows *w, size_t row, int kv_head)
{
	const struct kernels_attn *shape = a->shape;
	for (int r = 0; r < w->n; r++) {
		size_t t = row + (size_t)(r / a->group), h = (size_t)(kv_head * a->group + r % a->group);
		pack_rows(a->out + t * (size_t)shape->o_stride + h * w->D, w->D, w->acc + (size_t)r * w->Dp, 0, 1,
			  (int)w->D, 1.0f / w->sum[r]);
		if (a->lse)
			a->lse[t * (size_t)shape->heads + h] = (float)((double)w->top[r] + vm_log((double)w->sum[r]));
	}
}

static int seq_keys(const struct kernels_seqs *seqs, int s)
{
	return seqs->k_start[s + 1] - seqs->k_start[s];
}

/* Where keys j.. of a sequence, and their values, stand: in this batch, or in the cache */
static void find_keys(const struct attn *a, int seq, int j, int n, size_t head, const float **keys,
		      const float **values)
{
	const struct kernels_seqs *seqs = a->seqs;
	const struct kernels_attn *shape = a->shape;
	for (int i = 0; i < n; i++) {
		int at = seqs->k_start[seq] + j + i, row = seqs->k_rows ? seqs->k_rows[at] : at;
		bool cached = row < 0;
		size_t off = cached ? (size_t)(-1 - row) * (size_t)seqs->cache_stride
				    : (size_t)row * (size_t)shape->kv_stride;
		keys[i] = (cached ? seqs->cache_k : a->k) + off + head;
		values[i] = (cached ? seqs->cache_v : a->v) + off + head;
	}
}

static void load_tile(const struct attn *a, struct attn_rows *w, int seq, int j, int n, int kv_head)
{
	const float *keys[KEYS], *values[KEYS];
	find_keys(a, seq, j, n, (size_t)kv_head * w->D, keys, values);
	pack_key_rows(w->keys, keys, n, (int)w->D);
	for (int i = 0; i < n; i++)
		pack_rows(w->values + (size_t)i * w->Dp, w->Dp, values[i], 0, 1, (int)w->D, 1.0f);
}

/* The first key that position p sees */
static int window_start(const struct kernels_attn *shape, int p)
{
	return shape->window > 0 ? max_int(0, p + 1 - shape->window) : 0;
}

static int seq_queries(const struct kernels_seqs *seqs, int s)
{
	return seqs->q_start[s + 1] - seqs->q_start[s];
}

/* Position of a sequence's first query */
static int seq_first(const struct kernels_seqs *seqs, int s)
{
	return seq_keys(seqs, s) - seq_queries(seqs, s);
}

/* Whether all queries of both sequences see all of the tile at j, and its keys are the same rows */
static bool same_tile(const struct attn *a, int s, int other, int j)
{
	const struct kernels_seqs *seqs = a->seqs;
	const int32_t *rows = seqs->k_rows;
	return rows && !a->shape->window && j + KEYS <= seq_first(seqs, s) + 1 &&
	       j + KEYS <= seq_first(seqs, other) + 1 &&
	       !memcmp(rows + seqs->k_start[s] + j, rows + seqs->k_start[other] + j, KEYS * sizeof(*rows));
}

/* The tile at j meets the rows of one sequence */
static void part_step(const struct attn *a, struct attn_rows *w, const struct attn_part *p, int j, int kv_head)
{
	int n = min_int(KEYS, p->end - j);
	if (n <= 0 || j + KEYS <= window_start(a->shape, p->first))
		return;
	load_tile(a, w, p->seq, j, n, kv_head);
	/* rows whose position lies before this tile are done */
	int r = max_int(0, j - p->first) * a->group;
	for (int rows; r < p->rows; r += rows) {
		int seen[TILE_ROWS], from[TILE_ROWS];
		rows = min_int(TILE_ROWS, p->rows - r);
		for (int i = 0; i < rows; i++) {
			int pos = p->first + (r + i) / a->group;
			seen[i] = min_int(n, pos + 1 - j);
			from[i] = min_int(seen[i], max_int(0, window_start(a->shape, pos) - j));
		}
		rows_step(w, p->row + r, rows, from, seen);
	}
}

/* The tile at j meets the rows of n sequences, which all see the whole of it */
static void parts_step(const struct attn *a, struct attn_rows *w, const struct attn_part *p, int n, int j, int kv_head)
{
	static const int from[TILE_ROWS];
	int seen[TILE_ROWS], end = p[n - 1].row + p[n - 1].rows;
	for (int i = 0; i < TILE_ROWS; i++)
		seen[i] = KEYS;
	load_tile(a, w, p->seq, j, KEYS, kv_head);
	for (int r = p->row, rows; r < end; r += rows) {
		rows = min_int(TILE_ROWS, end - r);
		rows_step(w, r, rows, from, seen);
	}
}

static int block_parts(const struct attn *a, const struct attn_block *b, struct attn_part *parts)
{
	int row = 0;
	for (int i = 0; i < b->seqs; i++) {
		int s = b->seq + i, queries = b->seqs > 1 ? seq_queries(a->seqs, s) : b->n;
		int first = seq_first(a->seqs, s) + b->first;
		parts[i] = (struct attn_part){ s, row, queries * a->group, first, first + queries };
		row += queries * a->group;
	}
	return b->seqs;
}

static void attn_task(const struct attn *a, const struct attn_block *b, int kv_head, float *scratch)
{
	struct attn_part parts[ROWS];
	struct attn_rows w;
	int n = block_parts(a, b, parts), begin = INT32_MAX, end = 0;
	size_t row = (size_t)(a->seqs->q_start[b->seq] + b->first);
	for (int i = 0; i < n; i++) {
		begin = min_int(begin, parts[i].first);
		end = max_int(end, parts[i].end);
	}
	rows_init(&w, scratch, b->n * a->group, a->shape->head_dim);
	rows_begin(a, &w, row, kv_head);
	for (int j = window_start(a->shape, begin) / KEYS * KEYS; j < end; j += KEYS)
		for (int i = 0, run; i < n; i += run) {
			for (run = 1; i + run < n && same_tile(a, parts[i].seq, parts[i + run].seq, j);)
				run++;
			if (run > 1)
				parts_step(a, &w, parts + i, run, j, kv_head);
			else
				part_step(a, &w, parts + i, j, kv_head);
		}
	rows_end(a, &w, row, kv_head);
}

/* Whether sequence s goes into the block of the sequences before it: there is room, and they begin alike */
static bool joins(const struct attn *a, const struct attn_block *b, int s)
{
	int queries = seq_queries(a->seqs, b->seq);
	return b->first == 0 && b->seq + b->seqs == s && (b->seqs > 1 || b->n == queries) &&
	       b->n + seq_queries(a->seqs, s) <= a->company && same_tile(a, s - 1, s, 0);
}

/* The tasks of a batch, but for the key heads; long walks first, so that threads end together */
static struct attn_block *attn_blocks(const struct attn *a, int *n_blocks, size_t *work)
{
	const struct kernels_seqs *seqs = a->seqs;
	size_t n = 0, cap = 0;
	struct attn_block *blocks = NULL;
	*work = 0;
	for (int s = 0; s < seqs->n; s++) {
		int queries = seq_queries(seqs, s);
		int parts = (queries + a->positions - 1) / a->positions;
		*work += (size_t)queries * (size_t)seq_keys(seqs, s);
		if (n && joins(a, &blocks[n - 1], s)) {
			blocks[n - 1].seqs++;
			blocks[n - 1].n += queries;
			continue;
		}
		for (int p = parts - 1; p >= 0; p--) {
			MEM_GROW(blocks, n, cap);
			int first = p * a->positions;
			blocks[n++] = (struct attn_block){ s, first, min_int(a->positions, queries - first), 1 };
		}
	}
	*n_blocks = (int)n;
	return blocks;
}

void AT_LEVEL(cpu_attn)(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
			const struct kernels_seqs *seqs, const struct kernels_attn *shape)
{
	struct attn a = { out, lse, q, k, v, seqs, shape, shape->heads / shape->kv_heads, 0, 0 };
	a.positions = max_int(1, ROWS / a.group);
	/* not so many that threads have nothing to do */
	a.company = min_int(a.positions, (int)((int64_t)seqs->q_start[seqs->n] * shape->kv_heads / (be->threads * 4)));
	int n_blocks;
	size_t work;
	struct attn_block *blocks = attn_blocks(&a, &n_blocks, &work);
	int threads = cpu_threads(be, work * (size_t)shape->heads * (size_t)shape->head_dim / 16);
#pragma omp parallel num_threads(threads) if (threads > 1)
	{
		float *scratch = cpu_scratch(be, rows_floats(a.positions * a.group, shape->head_dim));
#pragma omp for schedule(dynamic) nowait
		for (int t = 0; t < n_blocks * shape->kv_heads; t++)
			attn_task(&a, &blocks[t / shape->kv_heads], t % shape->kv_heads, scratch);
	}
	free(blocks);
}

/* ---- backward -------------------------------------------------------------------------------------------------------------- */

struct attn_back {
	float *dq, *dk, *dv;
	const float *dout, *out, *lse, *q, *k, *v;
	const struct kernels_seqs *seqs;
	const struct kernels_attn *shape;
	int group;
};

struct back_tiles {               /* scratch of a task */
	float *keys_t, *values_t; /* [panel][D][16]: for scores, for dp */
	float *keys;              /* [64][Dp], scaled: for dq */
	float *q, *dout;          /* [64][Dp], q scaled */
	float *p, *ds;            /* [64 queries][64 keys] */
	float *dk, *dv;           /* [64][Dp] */
	float *delta;             /* [group][T]: sum over D of dout out */
	size_t D, Dp;
};

static size_t back_floats(int D, int group, int T)
{
	return 7 * KEYS * padded(D) + 2 * KEYS * KEYS + (size_t)group * (size_t)T;
}

static void back_init(struct back_tiles *w, float *p, int D)
{
	w->D = (size_t)D;
	w->Dp = padded(D);
	float **parts[] = { &w->keys_t, &w->values_t, &w->keys, &w->q, &w->dout, &w->dk, &w->dv };
	for (size_t i = 0; i < ARRAY_LEN(parts); i++, p += KEYS * w->Dp)
		*parts[i] = p;
	w->p = p, p += KEYS * KEYS;
	w->ds = p, p += KEYS * KEYS;
	w->delta = p;
}

static float dot(const float *a, const float *b, int n)
{
	v8f s = v8f_all(0);
	int i = 0;
	for (; i + 8 <= n; i += 8)
		s = v8f_fma(v8f_load(a + i), v8f_load(b + i), s);
	s = v8f_fma(v8f_load_part(a + i, n - i, 0), v8f_load_part(b + i, n - i, 0), s);
	return v8f_sum(s);
}

/* p = e^(s - lse) and ds = p (dp - delta) of one query row, of which keys from..seen count. ds holds dp. */
static void back_row(float *p, float *ds, int n, int from, int seen, float lse, float delta)
{
	const v8f l = v8f_all(lse), e = v8f_all(delta);
	int j = 0;
	for (; j < from; j++)
		p[j] = ds[j] = 0;
	for (j = from / 8 * 8; j < seen; j += 8) {
		v8f w = v8f_exp(v8f_load(p + j) - l);
		v8f_store(p + j, w);
		v8f_store(ds + j, w * (v8f_load(ds + j) - e));
	}
	for (j = from / 8 * 8; j < from; j++)
		p[j] = ds[j] = 0;
	for (j = seen; j < n; j++)
		p[j] = ds[j] = 0;
}

/* p and ds of a tile of queries and a tile of keys; on the diagonal, query i sees keys 0..i; beyond it, keys from
 * hidden + i on, where a window ends in this tile (hidden <= -64: it does not) */
static void back_scores(struct back_tiles *w, int n_queries, int n_keys, bool diagonal, int hidden, const float *lse,
			size_t lse_stride, const float *delta)
{
	int width = (n_keys + TILE_COLS - 1) / TILE_COLS * TILE_COLS;
	for (int i = 0; i < n_queries; i += TILE_ROWS) {
		int rows = min_int(TILE_ROWS, n_queries - i), seen = diagonal ? min_int(n_keys, i + rows) : n_keys;
		size_t at = (size_t)i * w->Dp, to = (size_t)i * KEYS;
		for (int j = 0; j < seen; j += TILE_COLS) {
			size_t panel = (size_t)j * w->D;
			tile(rows, w->q + at, w->Dp, 1, w->keys_t + panel, TILE_COLS, w->p + to + j, KEYS, TILE_COLS,
			     (int)w->D, TILE_SET);
			tile(rows, w->dout + at, w->Dp, 1, w->values_t + panel, TILE_COLS, w->ds + to + j, KEYS,
			     TILE_COLS, (int)w->D, TILE_SET);
		}
		for (int r = 0; r < rows; r++)
			back_row(w->p + to + r * KEYS, w->ds + to + r * KEYS, width,
				 min_int(n_keys, max_int(0, hidden + i + r)),
				 diagonal ? min_int(n_keys, i + r + 1) : n_keys, lse[(size_t)(i + r) * lse_stride],
				 delta[i + r]);
	}
}

/* dk += ds^T q, dv += p^T dout for the key tile; dq += ds k for the query tile, in place */
static void back_products(struct back_tiles *w, int n_queries, int n_keys, bool diagonal, float *dq, size_t dq_stride)
{
	for (int d = 0; d < (int)w->D; d += TILE_COLS) {
		for (int j = 0; j < n_keys; j += TILE_ROWS) {
			int rows = min_int(TILE_ROWS, n_keys - j),
			    i = diagonal ? j : 0; /* queries before j see none of these */
			size_t to = (size_t)j * w->Dp + (size_t)d, from = (size_t)i * w->Dp + (size_t)d;
			size_t at = (size_t)i * KEYS + (size_t)j;
			tile(rows, w->ds + at, 1, KEYS, w->q + from, w->Dp, w->dk + to, w->Dp, TILE_COLS, n_queries - i,
			     TILE_CHAIN);
			tile(rows, w->p + at, 1, KEYS, w->dout + from, w->Dp, w->dv + to, w->Dp, TILE_COLS,
			     n_queries - i, TILE_CHAIN);
		}
		for (int i = 0; i < n_queries; i += TILE_ROWS) {
			int rows = min_int(TILE_ROWS, n_queries - i),
			    seen = diagonal ? min_int(n_keys, i + rows) : n_keys;
			tile(rows, w->ds + (size_t)i * KEYS, KEYS, 1, w->keys + d, w->Dp,
			     dq + (size_t)i * dq_stride + (size_t)d, dq_stride, min_int(TILE_COLS, (int)w->D - d), seen,
			     TILE_CHAIN);
		}
	}
}

/* One tile of keys of a sequence (rows t0.. of the batch, n of them) against all queries that see it */
static void back_keys(const struct attn_back *a, struct back_tiles *w, size_t t0, int n, int kv_head, int j)
{
	const struct kernels_attn *shape = a->shape;
	int D = shape->head_dim, n_keys = min_int(KEYS, n - j);
	size_t qs = (size_t)shape->q_stride, ks = (size_t)shape->kv_stride, os = (size_t)shape->o_stride;
	size_t at = (t0 + (size_t)j) * ks + (size_t)kv_head * w->D;
	pack_keys(w->keys_t, a->k + at, ks, n_keys, D);
	pack_keys(w->values_t, a->v + at, ks, n_keys, D);
	pack_rows(w->keys, w->Dp, a->k + at, ks, n_keys, D, shape->scale);
	memset(w->dk, 0, KEYS * w->Dp * sizeof(float));
	memset(w->dv, 0, KEYS * w->Dp * sizeof(float));
	for (int g = 0; g < a->group; g++) {
		size_t h = (size_t)(kv_head * a->group + g);
		for (int i = j; i < n; i += KEYS) {
			int n_queries = min_int(KEYS, n - i);
			size_t t = t0 + (size_t)i;
			/* query i + r sees keys from i + r + 1 - window on */
			int hidden = shape->window > 0 ? i + 1 - shape->window - j : -KEYS;
			if (hidden >= n_keys)
				break;
			pack_rows(w->q, w->Dp, a->q + t * qs + h * w->D, qs, n_queries, D, shape->scale);
			pack_rows(w->dout, w->Dp, a->dout + t * os + h * w->D, os, n_queries, D, 1.0f);
			back_scores(w, n_queries, n_keys, i == j, hidden, a->lse + t * (size_t)shape->heads + h,
				    (size_t)shape->heads, w->delta + (size_t)g * (size_t)n + (size_t)i);
			back_products(w, n_queries, n_keys, i == j, a->dq + t * qs + h * w->D, qs);
		}
	}
	for (int i = 0; i < n_keys; i++) {
		memcpy(a->dk + at + (size_t)i * ks, w->dk + (size_t)i * w->Dp, w->D * sizeof(float));
		memcpy(a->dv + at + (size_t)i * ks, w->dv + (size_t)i * w->Dp, w->D * sizeof(float));
	}
}

static void back_task(const struct attn_back *a, int seq, int kv_head, float *scratch)
{
	const struct kernels_attn *shape = a->shape;
	size_t t0 = (size_t)a->seqs->q_start[seq], qs = (size_t)shape->q_stride, os = (size_t)shape->o_stride;
	int n = a->seqs->q_start[seq + 1] - a->seqs->q_start[seq];
	struct back_tiles w;
	back_init(&w, scratch, shape->head_dim);
	for (int g = 0; g < a->group; g++) {
		size_t head = (size_t)(kv_head * a->group + g) * w.D;
		for (size_t i = 0; i < (size_t)n; i++) {
			size_t o = (t0 + i) * os + head;
			w.delta[(size_t)g * (size_t)n + i] = dot(a->dout + o, a->out + o, shape->head_dim);
			memset(a->dq + (t0 + i) * qs + head, 0, w.D * sizeof(float));
		}
	}
	for (int j = 0; j < n; j += KEYS)
		back_keys(a, &w, t0, n, kv_head, j);
}

void AT_LEVEL(cpu_attn_back)(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
			     const float *lse, const float *q, const float *k, const float *v,
			     const struct kernels_seqs *seqs, const struct kernels_attn *shape)
{
	struct attn_back a = { dq, dk, dv, dout, out, lse, q, k, v, seqs, shape, shape->heads / shape->kv_heads };
	int longest = 0;
	size_t work = 0;
	for (int s = 0; s < seqs->n; s++) {
		int n = seqs->q_start[s + 1] - seqs->q_start[s];
		longest = max_int(longest, n);
		work += (size_t)n * (size_t)n;
	}
	int threads = cpu_threads(be, work * (size_t)shape->heads * (size_t)shape->head_dim / 12);
#pragma omp parallel num_threads(threads) if (threads > 1)
	{
		float *scratch = cpu_scratch(be, back_floats(shape->head_dim, a.group, longest));
#pragma omp for schedule(dynamic) nowait
		for (int t = 0; t < seqs->n * shape->kv_heads; t++)
			back_task(&a, t / shape->kv_heads, t % shape->kv_heads, scratch);
	}
}
