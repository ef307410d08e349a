/* test_generate.c: greedy texts as PyTorch's, stops, ends, sampling; the same text in any company. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/llama"
#define MOST 64

static json_t *golden;
static struct tokenizer *tok;

struct asks {
	struct generate_request reqs[MOST];
	struct tokens ids[MOST];
	const char *stops[MOST][4];
	size_t n;
};
static struct asks asks;

static int set_up(void **state)
{
	(void)state;
	if (json_read(&golden, GOLDEN "/golden.json", 1 << 20) || tokenizer_load(&tok, GOLDEN))
		return -1;
	const json_t *list = json_object_get(golden, "generate");
	asks.n = json_array_size(list);
	for (size_t i = 0; i < asks.n; i++) {
		const json_t *a = json_array_get(list, i), *stops = json_object_get(a, "stops");
		const char *prompt = json_get_text(a, "prompt", "");
		if (tokenizer_encode(tok, &asks.ids[i], prompt, strlen(prompt), true))
			return -1;
		for (size_t s = 0; s < json_array_size(stops); s++)
			asks.stops[i][s] = json_string_value(json_array_get(stops, s));
		asks.reqs[i] = (struct generate_request){ .ids = asks.ids[i].ids,
							  .n = (int)asks.ids[i].n,
							  .max_tokens = (int)json_get_int(a, "max_tokens", 0),
							  .stops = asks.stops[i],
							  .seed = 1 };
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < asks.n; i++)
		tokens_release(&asks.ids[i]);
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

static void check_golden(const char *spec, int batch_tokens)
{
	struct generate_result got[MOST];
	struct backend *be;
	struct model *m = open_model(&be, spec, 2);
	double start = clock_seconds(), wall, shares = 0;

	assert_int_equal(
		generate_run(m, tok, asks.reqs, asks.n, got, &(struct score_options){ .batch_tokens = batch_tokens }),
		0);
	wall = clock_seconds() - start;
	for (size_t i = 0; i < asks.n; i++)
		shares += got[i].seconds;
	assert_true(shares > 0 && shares <= wall); /* time is shared out, not counted twice */
	for (size_t i = 0; i < asks.n; i++) {
		const json_t *want = json_array_get(json_object_get(golden, "generate"), i);
		assert_string_equal(got[i].text, json_get_text(want, "text", NULL));
		assert_int_equal(got[i].tokens, json_get_int(want, "tokens", -1));
		assert_string_equal(got[i].finish, json_get_text(want, "finish", NULL));
		generate_result_release(&got[i]);
	}
	model_free(m);
	backend_close(be);
}

static void test_generate_run__greedy_as_pytorch(void **state)
{
	(void)state;
	check_golden("cpu_ref", 0);
	check_golden("cpu_ref", 1); /* one slot */
	check_golden("cpu", 64);
	check_golden("cpu", 4096);
}

/* Sampled texts show every bit of the logits sooner or later. */
static void test_generate_run__same_text_in_any_company(void **state)
{
	static const int sizes[] = { 4096, 1, 20, 64, 300 };
	struct generate_request reqs[MOST];
	struct generate_result first[MOST], got[MOST];

	(void)state;
	for (size_t i = 0; i < asks.n; i++) {
		reqs[i] = asks.reqs[i];
		reqs[i].stops = NULL;
		reqs[i].temperature = i % 3 ? 1.5 : 0;
		reqs[i].seed = i;
	}
	for (int threads = 1; threads <= 2; threads++) {
		struct backend *be;
		struct model *m = open_model(&be, "cpu", threads);
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			assert_int_equal(generate_run(m, tok, reqs, asks.n, got,
						      &(struct score_options){ .batch_tokens = sizes[s] }),
					 0);
			for (size_t i = 0; i < asks.n; i++) {
				if (threads == 1 && !s) {
					first[i] = got[i];
					continue;
				}
				assert_string_equal(first[i].text, got[i].text);
				assert_int_equal(first[i].tokens, got[i].tokens);
				generate_result_release(&got[i]);
			}
		}
		model_free(m);
		backend_close(be);
	}
	assert_string_not_equal(first[1].text, first[0].text);
	for (size_t i = 0; i < asks.n; i++)
		generate_result_release(&first[i]);
}

/* Prompts that begin alike, longer than a batch, equal, or parts of one another: each answers as it does alone. */
#define CROWD 48

static void test_generate_run__shared_prompts_answer_as_alone(void **state)
{
	static const struct model_config config = {
		.architecture = "llama",
		.vocab_size = 272,
		.hidden_size = 32,
		.intermediate_size = 48,
		.layers = 2,
		.heads = 4,
		.kv_heads = 2,
		.head_dim = 8,
		.context = 160,
		.norm_eps = 1e-5f,
		.rope_theta = 10000,
		.init_range = 0.5f,
		.window = 40,
		.bos_id = -1,
		.eos_id = -1,
	};
	static const int sizes[] = { 4096, 1, 2, 50, 64, 100 };
	static int32_t ids[CROWD][140];
	struct generate_request reqs[CROWD];
	struct generate_result want[CROWD], got[CROWD];
	struct rng r;

	(void)state;
	rng_seed(&r, 4, 0);
	for (int i = 0; i < CROWD; i++) {
		int n = i % 8 == 7 ? 5 : 120 + i % 12, shared = i % 8 == 6 ? 0 : i % 4 == 3 ? 64 : 118;
		for (int t = 0; t < n; t++)
			ids[i][t] = i && t < shared ? ids[0][t] : (int32_t)rng_below(&r, 272);
		if (i % 16 == 9)
			memcpy(ids[i], ids[i - 1], sizeof(ids[i]));
		reqs[i] = (struct generate_request){ .ids = ids[i],
						     .n = n,
						     .max_tokens = i % 7 * 3,
						     .temperature = i % 3 ? 1.2 : 0,
						     .seed = (uint64_t)i };
	}
	for (int threads = 1; threads <= 3; threads++) {
		struct backend *be;
		struct model *m;
		assert_int_equal(backend_open(&be, "cpu", threads), 0);
		assert_int_equal(model_init(&m, &config, 11, be), 0);
		for (int i = 0; threads == 1 && i < CROWD; i++)
			assert_int_equal(generate_run(m, tok, &reqs[i], 1, &want[i], NULL), 0);
		for (size_t s = 0; s < ARRAY_LEN(sizes) * 2; s++) {
			const struct score_options how = { .batch_tokens = sizes[s / 2], .alone = s % 2 };
			assert_int_equal(generate_run(m, tok, reqs, CROWD, got, &how), 0);
			for (int i = 0; i < CROWD; i++) {
				assert_string_equal(want[i].text, got[i].text);
				assert_int_equal(want[i].tokens, i % 7 * 3);
				assert_int_equal(got[i].tokens, i % 7 * 3);
				generate_result_release(&got[i]);
			}
		}
		model_free(m);
		backend_close(be);
	}
	assert_string_not_equal(want[1].text, want[2].text);
	for (int i = 0; i < CROWD; i++)
		generate_result_release(&want[i]);
}

static void test_generate_run__fits_the_memory(void **state)
{
	struct generate_result want[MOST], got[MOST];
	struct backend *be;
	struct model *m = open_model(&be, "cpu", 1);
	int refused = 0, done = 0;

	(void)state;
	assert_int_equal(generate_run(m, tok, asks.reqs, asks.n, want, NULL), 0);
	for (uint64_t bytes = 2000; bytes < (uint64_t)1 << 24; bytes += bytes / 2) {
		const struct score_options how = { .memory_bytes = bytes };
		int rc = generate_run(m, tok, asks.reqs, asks.n, got, &how);
		if (rc) {
			assert_int_equal(rc, ERR_UNAVAILABLE);
			assert_non_null(strstr(err_text(), "tokens needs"));
			assert_int_equal(done, 0);
			refused++;
			continue;
		}
		done++;
		for (size_t i = 0; i < asks.n; i++) {
			assert_string_equal(want[i].text, got[i].text);
			generate_result_release(&got[i]);
		}
	}
	assert_true(refused > 1 && done > 1);
	for (size_t i = 0; i < asks.n; i++)
		generate_result_release(&want[i]);
	model_free(m);
	backend_close(be);
}

/* Through the cache token by token, or the whole at once: the same bits. */
static void test_generate_run__cache_changes_no_bit(void **state)
{
	static const int32_t ids[] = { 3, 141, 59, 26, 53, 58, 97, 93, 23, 84, 62, 64, 33, 83, 27, 95, 2, 88 };
	int n = (int)ARRAY_LEN(ids);
	double whole[20], cached[20];
	int32_t rows[20], keys[20];

	(void)state;
	for (int fast = 0; fast < 2; fast++) {
		struct backend *be;
		struct model *m = open_model(&be, fast ? "cpu" : "cpu_ref", 2);
		struct kvcache cache;
		struct pass p;
		struct pass_size size = { .tokens = 24, .rows = 24, .seqs = 3, .positions = 24 };
		assert_int_equal(pass_open(&p, m, &size), 0);
		pass_clear(&p);
		pass_add(&p, ids, n - 1);
		for (int i = 0; i < n - 1; i++)
			pass_want(&p, i, ids[i + 1]);
		transformer_forward(&p);
		assert_int_equal(transformer_head(&p, NULL, NULL), 0);
		memcpy(whole, p.logprob, sizeof(double) * (size_t)(n - 1));
		pass_close(&p);

		assert_int_equal(kvcache_open(&cache, m, 24), 0);
		kvcache_take(&cache, rows, 3); /* places are not positions */
		assert_true(kvcache_take(&cache, rows, n));
		for (int i = 0; i < n; i++)
			keys[i] = -1 - rows[i];
		size.cache = &cache;
		size.keys = 64;
		assert_int_equal(pass_open(&p, m, &size), 0);
		for (int at = 0, step; at < n - 1; at += step) {
			step = at == 0 ? 5 : at == 5 ? 3 : 1; /* a prompt, a piece, then one by one */
			step = step < n - 1 - at ? step : n - 1 - at;
			pass_clear(&p);
			pass_add(&p, ids + 1, 2); /* company */
			int row = pass_add_behind(&p, ids + at, step, keys, at, rows + at);
			for (int i = 0; i < step; i++)
				pass_want(&p, row + i, ids[at + i + 1]);
			transformer_forward(&p);
			assert_int_equal(transformer_head(&p, NULL, NULL), 0);
			memcpy(cached + at, p.logprob, sizeof(double) * (size_t)step);
		}
		assert_memory_equal(whole, cached, sizeof(double) * (size_t)(n - 1));
		pass_close(&p);
		kvcache_close(&cache);
		model_free(m);
		backend_close(be);
	}
}

static void test_generate_run__ends(void **state)
{
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct generate_result free_run, got[3];
	struct generate_request r = asks.reqs[0];

	(void)state;
	r.stops = NULL;
	assert_int_equal(generate_run(m, tok, &r, 1, &free_run, NULL), 0);
	/* the second token of the free text becomes an end-of-text token */
	struct tokens ids = { NULL, 0, 0 };
	assert_int_equal(tokenizer_encode(tok, &ids, free_run.text, strlen(free_run.text), false), 0);
	m->eos[m->n_eos++] = ids.ids[1];
	assert_int_equal(generate_run(m, tok, &r, 1, got, NULL), 0);
	assert_string_equal(got[0].finish, "eos");
	assert_int_equal(got[0].tokens, 1);
	assert_int_equal(strlen(got[0].text), 1);
	generate_result_release(&got[0]);
	/* none asked for, between two that are */
	struct generate_request three[3] = { r, r, r };
	three[1].max_tokens = 0;
	assert_int_equal(generate_run(m, tok, three, 3, got, &(struct score_options){ .batch_tokens = 1 }), 0);
	assert_string_equal(got[1].text, "");
	assert_string_equal(got[1].finish, "length");
	assert_string_equal(got[0].text, got[2].text);
	for (int i = 0; i < 3; i++)
		generate_result_release(&got[i]);
	generate_result_release(&free_run);
	tokens_release(&ids);
	model_free(m);
	backend_close(be);
}

/* A tokenizer in which `id` is a NUL byte, and the NUL's own id what `id` was. */
static struct tokenizer *tokenizer_with_nul(int32_t id)
{
	json_t *file, *vocab;
	struct buf text = BUF_INIT(1 << 20);
	struct tokenizer *t;

	assert_int_equal(json_read(&file, GOLDEN "/tokenizer.json", 1 << 20), 0);
	vocab = json_object_get(json_object_get(file, "model"), "vocab");
	json_object_set_new(vocab, tokenizer_text(tok, id), json_integer(tokenizer_id(tok, "\xc4\x80")));
	json_object_set_new(vocab, "\xc4\x80", json_integer(id)); /* U+0100 stands for the byte 0 */
	json_add(&text, file);
	assert_int_equal(tokenizer_parse(&t, buf_str(&text), text.len, "nul"), 0);
	buf_release(&text);
	json_decref(file);
	return t;
}

static void test_generate_run__a_nul_ends_nothing(void **state)
{
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct generate_request r = asks.reqs[0];
	const char *stops[2] = { NULL, NULL };
	struct generate_result plain, got;
	struct tokens ids = { NULL, 0, 0 };

	(void)state;
	r.stops = stops;
	assert_int_equal(generate_run(m, tok, &r, 1, &plain, NULL), 0);
	assert_int_equal(plain.len, strlen(plain.text));
	assert_int_equal(tokenizer_encode(tok, &ids, plain.text, plain.len, false), 0);
	struct tokenizer *nul = tokenizer_with_nul(ids.ids[1]);
	assert_int_equal(generate_run(m, nul, &r, 1, &got, NULL), 0);
	assert_int_equal(got.len, plain.len);
	const char *zero = memchr(got.text, 0, got.len);
	assert_non_null(zero);
	for (size_t i = 0; i < got.len; i++)
		assert_true(got.text[i] == plain.text[i] || !got.text[i]);
	assert_int_equal(got.text[got.len], 0);
	/* a stop behind it is found, and the text is cut there */
	size_t at = (size_t)(zero - got.text) + 1;
	while (!got.text[at])
		at++;
	char stop[2] = { got.text[at], 0 };
	while (memchr(got.text, stop[0], got.len) < (void *)(got.text + at))
		stop[0] = got.text[++at];
	generate_result_release(&got);
	stops[0] = stop;
	assert_int_equal(generate_run(m, nul, &r, 1, &got, NULL), 0);
	assert_string_equal(got.finish, "stop");
	assert_int_equal(got.len, at);
	assert_memory_equal(got.text + 1, "", 1);
	generate_result_release(&got);
	generate_result_release(&plain);
	tokenizer_free(nul);
	tokens_release(&ids);
	model_free(m);
	backend_close(be);
}

static void test_generate_run__refuses(void **state)
{
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct generate_result got[2];
	struct generate_request two[2] = { asks.reqs[0], asks.reqs[0] };

	(void)state;
	assert_int_equal(generate_run(m, tok, NULL, 0, NULL, NULL), 0);
	two[1].n = 0;
	assert_int_equal(generate_run(m, tok, two, 2, got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "prompt 1"));
	assert_null(got[0].text);
	two[1] = two[0], two[1].max_tokens = 24;
	assert_int_equal(generate_run(m, tok, two, 2, got, NULL), ERR_INPUT);
	two[1] = two[0], two[1].temperature = (double)NAN;
	assert_int_equal(generate_run(m, tok, two, 2, got, NULL), ERR_INPUT);
	two[1] = two[0], two[1].top_p = 1.5;
	assert_int_equal(generate_run(m, tok, two, 2, got, NULL), ERR_INPUT);
	two[1] = two[0], two[1].top_k = -1;
	assert_int_equal(generate_run(m, tok, two, 2, got, NULL), ERR_INPUT);
	int32_t bad = 999;
	two[1] = two[0], two[1].ids = &bad, two[1].n = 1;
	assert_int_equal(generate_run(m, tok, two, 2, got, NULL), ERR_INPUT);
	m->params[m->norm] = (float)NAN;
	assert_int_equal(generate_run(m, tok, two, 1, got, NULL), ERR_INPUT);
	assert_null(got[0].text);
	model_free(m);
	backend_close(be);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generate_run__greedy_as_pytorch),
		cmocka_unit_test(test_generate_run__same_text_in_any_company),
		cmocka_unit_test(test_generate_run__shared_prompts_answer_as_alone),
		cmocka_unit_test(test_generate_run__fits_the_memory),
		cmocka_unit_test(test_generate_run__cache_changes_no_bit),
		cmocka_unit_test(test_generate_run__ends),
		cmocka_unit_test(test_generate_run__a_nul_ends_nothing),
		cmocka_unit_test(test_generate_run__refuses),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
