/* test_score.c: log-probabilities against PyTorch, by the rules of lm-evaluation-harness; the same bits in any batch. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/llama"

static json_t *golden;
static struct tokenizer *tok;

static int set_up(void **state)
{
	(void)state;
	if (json_read(&golden, GOLDEN "/golden.json", 1 << 20))
		return -1;
	return tokenizer_load(&tok, GOLDEN);
}

static int tear_down(void **state)
{
	(void)state;
	json_decref(golden);
	tokenizer_free(tok);
	return 0;
}

static struct model *open_model(struct backend **be, const char *spec, int threads)
{
	struct model *m;

	assert_int_equal(backend_open(be, spec, threads), 0);
	assert_int_equal(model_load(&m, GOLDEN, *be, &(struct model_load){ .train = true }), 0);
	return m;
}

static size_t golden_requests(struct text_request *reqs, json_t **want)
{
	const json_t *pairs = json_object_get(golden, "pairs"), *rolling = json_object_get(golden, "rolling");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(pairs); i++, n++) {
		want[n] = json_array_get(pairs, i);
		reqs[n].context = json_get_text(want[n], "context", NULL);
		reqs[n].continuation = json_get_text(want[n], "continuation", NULL);
	}
	for (size_t i = 0; i < json_array_size(rolling); i++, n++) {
		want[n] = json_array_get(rolling, i);
		reqs[n].context = json_get_text(want[n], "text", NULL);
		reqs[n].continuation = NULL;
	}
	return n;
}

struct progress_seen {
	size_t last, calls;
	bool back;
};

static void see(size_t n_done, void *arg)
{
	struct progress_seen *s = arg;

	s->back |= n_done < s->last;
	s->last = n_done;
	s->calls++;
}

static void check_texts(const char *spec)
{
	struct text_request reqs[32];
	struct text_result got[32];
	struct progress_seen seen = { 0 };
	json_t *want[32];
	struct backend *be;
	struct model *m = open_model(&be, spec, 2);
	size_t n = golden_requests(reqs, want);

	assert_int_equal(score_texts(m, tok, reqs, n, got,
				     &(struct score_options){ .batch_tokens = 64, .done = see, .arg = &seen }),
			 0);
	for (size_t i = 0; i < n; i++) {
		double ll = json_get_real(want[i], "logprob", 1);
		if (!(fabs(got[i].logprob - ll) <= 1e-4 + 1e-6 * fabs(ll)))
			fail_msg("%s: request %zu: %.9g, PyTorch %.9g", spec, i, got[i].logprob, ll);
		assert_int_equal(got[i].tokens, json_get_int(want[i], "tokens", -1));
		if (reqs[i].continuation)
			assert_int_equal(got[i].greedy, json_get_flag(want[i], "greedy", false));
	}
	assert_int_equal(seen.last, n);
	assert_false(seen.back);
	assert_true(seen.calls > 1);
	model_free(m);
	backend_close(be);
}

static void test_score_texts__as_the_harness(void **state)
{
	(void)state;
	check_texts("cpu_ref");
	check_texts("cpu");
}

static void check_batches(const char *spec)
{
	static const int sizes[] = { 1, 30, 64, 200, 4096, 0 };
	struct text_request reqs[32], reversed[32];
	struct text_result first[32], got[32];
	json_t *want[32];
	size_t n = golden_requests(reqs, want);

	for (size_t i = 0; i < n; i++)
		reversed[n - 1 - i] = reqs[i];
	for (int threads = 1; threads <= 2; threads++) {
		struct backend *be;
		struct model *m = open_model(&be, spec, threads);
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			assert_int_equal(
				score_texts(m, tok, reqs, n, got, &(struct score_options){ .batch_tokens = sizes[s] }),
				0);
			if (!s && threads == 1)
				memcpy(first, got, sizeof(first));
			for (size_t i = 0; i < n; i++)
				assert_memory_equal(&first[i].logprob, &got[i].logprob, sizeof(double));
			assert_int_equal(score_texts(m, tok, reversed, n, got,
						     &(struct score_options){ .batch_tokens = sizes[s] }),
					 0);
			for (size_t i = 0; i < n; i++)
				assert_memory_equal(&first[i].logprob, &got[n - 1 - i].logprob, sizeof(double));
		}
		model_free(m);
		backend_close(be);
	}
}

static void test_score_texts__same_bits_in_any_batch(void **state)
{
	(void)state;
	check_batches("cpu_ref");
	check_batches("cpu");
}

/* ---- the same bits, alone, packed, and behind a shared trunk ------------------------------------------------------ */

#define CONTEXT 200
#define ASKS 80

static const struct model_config wide = {
	.architecture = "llama",
	.vocab_size = 211,
	.hidden_size = 48,
	.intermediate_size = 80,
	.layers = 2,
	.heads = 4,
	.kv_heads = 2,
	.head_dim = 16,
	.context = CONTEXT,
	.norm_eps = 1e-5f,
	.rope_theta = 10000,
	.init_range = 0.3f,
	.bos_id = 1,
	.eos_id = 2,
};

struct company { /* requests that share much, of lengths around every border of a tile */
	int32_t trunk[CONTEXT + 1], ids[ASKS][CONTEXT + 1];
	struct score_request reqs[ASKS];
	struct score_result alone[ASKS], got[ASKS];
	size_t n;
};

/* The first `shared` ids of the trunk, then others. */
static void ask(struct company *c, struct rng *r, int shared, int more, int scored)
{
	int32_t *ids = c->ids[c->n];

	memcpy(ids, c->trunk, (size_t)shared * sizeof(*ids));
	for (int i = 0; i < more; i++)
		ids[shared + i] = (int32_t)rng_below(r, 211);
	c->reqs[c->n++] = (struct score_request){ ids, shared + more, scored };
}

static void gather_company(struct company *c)
{
	static const int lengths[] = { 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 190 };
	struct rng r;

	rng_seed(&r, 3, 0);
	c->n = 0;
	for (int i = 0; i <= CONTEXT; i++)
		c->trunk[i] = (int32_t)rng_below(&r, 211);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		int n = lengths[i];
		ask(c, &r, n, 1, 1); /* choices of one token, and of several; */
		ask(c, &r, n, 1, 1);
		ask(c, &r, n, 5, 5);
		ask(c, &r, n + 1, 0, n); /* the trunk itself, all of it scored */
	}
	ask(c, &r, 129, 5, 5);
	memcpy(c->ids[c->n - 1] + 129, c->ids[c->n - 2] + 129, sizeof(int32_t) * 3); /* parts late */
	ask(c, &r, 0, 130, 129); /* nothing in common with anybody */
	ask(c, &r, CONTEXT + 1, 0, CONTEXT);
	c->reqs[c->n] = c->reqs[2]; /* once more */
	c->n++;
	c->reqs[c->n] = (struct score_request){ c->reqs[2].ids, c->reqs[2].n, c->reqs[2].n - 1 };
	c->n++;
}

/* Frozen: matrices packed, of numbers that bf16 holds too. */
static struct model *frozen_model(const struct model_config *config, struct backend *be, const char *dtype)
{
	struct model *m = model_new(config, be);
	size_t largest = 0;

	for (size_t i = 0; i < m->n_tensors; i++) {
		m->tensors[i].dtype = dtype;
		largest = m->tensors[i].count > largest ? m->tensors[i].count : largest;
	}
	assert_int_equal(model_alloc_frozen(m), 0);
	float *rows = mem_array(largest, sizeof(*rows));
	uint16_t *half = mem_array(largest, sizeof(*half));
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		struct rng r;
		int row0;
		struct matrix *w = model_matrix(m, t, &row0);
		rng_seed(&r, 9, i);
		for (size_t j = 0; j < t->count; j++) {
			uint32_t bits;
			rows[j] = w ? (float)(rng_uniform(&r) - 0.5) : 1.0f;
			memcpy(&bits, &rows[j], sizeof(bits));
			half[j] = (uint16_t)(bits >> 16);
			bits &= 0xffff0000u;
			memcpy(&rows[j], &bits, sizeof(bits));
		}
		if (w)
			be->pack(be, &w->w, w->w.type == KERNELS_BF16 ? (void *)half : (void *)rows, row0, t->rows);
		else
			be->upload(be, m->vectors + (t->at - m->n_decayed), rows, t->count * sizeof(float));
	}
	free(rows);
	free(half);
	return m;
}

static struct model *make_model(const char *kind, int window, struct backend *be)
{
	struct model_config config = wide;
	struct model *m = NULL;

	config.window = window;
	if (!strcmp(kind, "gpt2")) { /* learned positions, norms with a mean, biases */
		snprintf(config.architecture, sizeof(config.architecture), "gpt2");
		config.kv_heads = config.heads;
		config.qkv_bias = config.o_bias = config.mlp_bias = config.tied = true;
		return frozen_model(&config, be, "F32");
	}
	if (strcmp(kind, "trained"))
		return frozen_model(&config, be, kind);
	assert_int_equal(model_init(&m, &config, 5, be), 0);
	return m;
}

static void score_alone(struct model *m, struct company *c)
{
	const struct score_options how = { .alone = true };

	for (size_t i = 0; i < c->n; i++)
		assert_int_equal(score_run(m, &c->reqs[i], 1, &c->alone[i], &how), 0);
}

/* n requests at a time, from the first or from the last. */
static void check_company(struct model *m, struct company *c, size_t n, bool back, const struct score_options *how)
{
	struct score_request reqs[ASKS];
	double start = clock_seconds(), wall, shares = 0;

	for (size_t i = 0; i < c->n; i++)
		reqs[i] = c->reqs[back ? c->n - 1 - i : i];
	for (size_t i = 0; i < c->n; i += n)
		assert_int_equal(score_run(m, reqs + i, c->n - i < n ? c->n - i : n, c->got + i, how), 0);
	wall = clock_seconds() - start;
	for (size_t i = 0; i < c->n; i++)
		shares += c->got[i].seconds;
	assert_true(shares > 0 && shares <= wall); /* time is shared out, not counted twice */
	for (size_t i = 0; i < c->n; i++) {
		const struct score_result *want = &c->alone[back ? c->n - 1 - i : i];
		if (memcmp(&want->logprob, &c->got[i].logprob, sizeof(double)) || want->greedy != c->got[i].greedy)
			fail_msg("request %zu of %zu at a time, %d tokens: %.17g, alone %.17g", i, n, how->batch_tokens,
				 c->got[i].logprob, want->logprob);
	}
}

static void check_bits(const char *spec, const char *kind, int window, bool all)
{
	static const int sizes[] = { 1, 7, 64, 100, 333, 4096, 129 };
	static const size_t at_a_time[] = { 1, 7, 32, ASKS };
	struct company *c = mem_alloc(sizeof(*c));

	gather_company(c);
	for (int threads = 1; threads <= (all ? 4 : 1); threads++) {
		struct backend *be;
		assert_int_equal(backend_open(&be, spec, threads), 0);
		struct model *m = make_model(kind, window, be);
		if (threads == 1)
			score_alone(m, c);
		for (size_t i = all ? 0 : 3; i < ARRAY_LEN(sizes) - (all ? 0 : 2); i++)
			for (size_t k = all ? 0 : 3; k < ARRAY_LEN(at_a_time); k++) {
				struct score_options how = { .batch_tokens = sizes[i] };
				if ((sizes[i] < 64 && k != 2) || (threads > 1 && (i + k) % 4 != (size_t)threads % 4))
					continue;
				check_company(m, c, at_a_time[k], false, &how);
				check_company(m, c, at_a_time[k], true, &how);
				how.alone = true;
				if (k == 2)
					check_company(m, c, at_a_time[k], false, &how);
			}
		model_free(m);
		backend_close(be);
	}
	free(c);
}

static void test_score_run__same_bits_alone_packed_and_shared(void **state)
{
	(void)state;
	check_bits("cpu", "trained", 0, true);
	check_bits("cpu", "trained", 50, true);
	check_bits("cpu", "F32", 0, false);
	check_bits("cpu", "BF16", 50, true);
	check_bits("cpu", "gpt2", 0, false);
	check_bits("cpu_ref", "BF16", 50, false);
}

static void test_score_run__fits_the_memory(void **state)
{
	struct company *c = mem_alloc(sizeof(*c));
	struct backend *be;
	int refused = 0, done = 0;

	(void)state;
	gather_company(c);
	assert_int_equal(backend_open(&be, "cpu", 2), 0);
	struct model *m = make_model("trained", 0, be);
	score_alone(m, c);
	for (uint64_t bytes = 10000; bytes < (uint64_t)1 << 26; bytes += bytes / 2) {
		const struct score_options how = { .memory_bytes = bytes };
		int rc = score_run(m, c->reqs, c->n, c->got, &how);
		if (rc) {
			assert_int_equal(rc, ERR_UNAVAILABLE);
			assert_non_null(strstr(err_text(), "scoring 200 tokens needs"));
			assert_non_null(err_fix());
			assert_int_equal(done, 0);
			refused++;
			continue;
		}
		done++;
		check_company(m, c, c->n, false, &how);
	}
	assert_true(refused > 1 && done > 1);
	model_free(m);
	backend_close(be);
	free(c);
}

/* The harness, of tokens 0 to 9 behind a prefix and windows of 4: (prefix; 0 1 2 3) (3; 4 5 6 7) (5 6 7; 8 9). */
static void test_text_window__as_the_harness(void **state)
{
	static const size_t want[][3] = { { 1, 0, 5 },
					  { 5, 4, 9 },
					  { 9, 6, 11 } }; /* at, begin, end; token t is at t + 1 */
	size_t at = 1, begin, end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++, at = end) {
		end = text_window(11, 4, at, &begin);
		assert_true(at == want[i][0] && begin == want[i][1] && end == want[i][2]);
	}
	assert_int_equal(at, 11);
	assert_int_equal(text_window(4, 4, 1, &begin), 4); /* one that is not full */
	assert_int_equal(begin, 0);
}

static void test_score_texts__odd_texts(void **state)
{
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct text_result got, rest;
	struct text_request r = { "", NULL };

	(void)state;
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), 0); /* nothing to predict */
	assert_int_equal(got.tokens, 0);
	assert_true(got.greedy && !(got.logprob < 0) && !got.cut);
	r = (struct text_request){ " \n", "the cat" }; /* nothing but white space is no context */
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), 0);
	assert_true(got.tokens >= 2);
	r = (struct text_request){ "the c", "at" }; /* " cat" is one token: the whole is no longer than the context */
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "request 0"));
	r = (struct text_request){ "the", "" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	r = (struct text_request){ "", "" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	r = (struct text_request){ "", "<|end|>" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	r = (struct text_request){ "x", "abcdefghijklmnopqrstuvwxyz" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "the model takes 24"));
	r = (struct text_request){ "abcdefghijklmnopqrstuvwxyz", "x" }; /* as if only what is left had been there */
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), 0);
	assert_in_range(got.cut, 1, 3);
	r.context += got.cut;
	assert_int_equal(score_texts(m, tok, &r, 1, &rest, NULL), 0);
	assert_true(!rest.cut && rest.logprob >= got.logprob && rest.logprob <= got.logprob);
	assert_int_equal(score_texts(m, tok, NULL, 0, NULL, NULL), 0);
	m->config.bos_id = m->config.eos_id = -1;
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	model_free(m);
	backend_close(be);
}

static void test_score_run__refuses(void **state)
{
	int32_t ids[30] = { 1, 2, 3 };
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct score_result got;

	(void)state;
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 3 }, 1, &got, NULL), ERR_INPUT);
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 0 }, 1, &got, NULL), ERR_INPUT);
	assert_int_equal(score_run(m, &(struct score_request){ ids, 26, 1 }, 1, &got, NULL), ERR_INPUT);
	assert_int_equal(score_run(m, &(struct score_request){ ids, 25, 1 }, 1, &got, NULL), 0);
	ids[1] = 272;
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 1 }, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "272"));
	assert_non_null(err_fix());
	ids[1] = 2;
	m->params[m->norm] = (float)NAN;
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 1 }, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "not a finite number"));
	model_free(m);
	backend_close(be);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_score_texts__as_the_harness),
		cmocka_unit_test(test_score_texts__same_bits_in_any_batch),
		cmocka_unit_test(test_score_run__same_bits_alone_packed_and_shared),
		cmocka_unit_test(test_score_run__fits_the_memory),
		cmocka_unit_test(test_text_window__as_the_harness),
		cmocka_unit_test(test_score_texts__odd_texts),
		cmocka_unit_test(test_score_run__refuses),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
