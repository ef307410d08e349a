/* bench_ask.c: what a Hugging Face folder answers on a device: log-likelihoods of many requests, or one text.
 *
 * bench_ask DIR [name=value …]: score=0 decode=0 length=64 rounds=3 backend=cpu.
 *	score=N		N requests of length/2 .. length tokens from the small generator that bench_torch_score.py repeats, of which
 *			the last quarter is scored
 *	decode=N	N tokens behind a prompt of 8; the time of a token is that of N + 1 tokens less that of one, over N
 * The best of the rounds. Prints one line of JSON. A part of the bundle (ci/gpu-bundle). */
#include <math.h>

#include "base/base.h"
#include "model/model.h"
#include "tests/bench/bench_args.h"

struct shape {
	int64_t score, decode, length, rounds;
	const char *backend;
};

static int read_shape(struct shape *s, int argc, char **argv)
{
	const struct bench_arg args[] = {
		{ "score=", &s->score }, { "decode=", &s->decode }, { "length=", &s->length }, { "rounds=", &s->rounds }
	};

	s->backend = bench_word("backend=", "cpu", &argc, argv);
	int rc = bench_args(args, ARRAY_LEN(args), argc, argv);
	if (!rc && ((s->score < 1) == (s->decode < 1) || s->length < 8 || s->rounds < 1))
		rc = err_set(ERR_USAGE, "one of score and decode is at least 1, length at least 8, rounds at least 1");
	return rc;
}

static uint32_t next(uint32_t *x, uint32_t n)
{
	*x = (*x * 1103515245u + 12345u) & 0x7fffffffu;
	return (*x >> 8) % n;
}

/* Ids of one request behind another; *tokens: how many rows they are for a model. */
static int32_t *make_requests(struct score_request *reqs, const struct shape *s, int vocab, int64_t *tokens)
{
	int32_t *ids = mem_array((size_t)(s->score * s->length), sizeof(*ids)), *at = ids;
	uint32_t x = 1;

	*tokens = 0;
	for (int64_t i = 0; i < s->score; i++) {
		int n = (int)s->length / 2 + (int)next(&x, (uint32_t)(s->length - s->length / 2 + 1));
		for (int k = 0; k < n; k++)
			at[k] = (int32_t)next(&x, (uint32_t)vocab);
		reqs[i] = (struct score_request){ at, n, n / 4 };
		at += n;
		*tokens += n - 1;
	}
	return ids;
}

static int bench_score(struct model *m, const struct shape *s)
{
	struct score_request *reqs = mem_array((size_t)s->score, sizeof(*reqs));
	struct score_result *out = mem_array((size_t)s->score, sizeof(*out));
	double best = INFINITY, sum = 0;
	int64_t tokens;
	int32_t *ids = make_requests(reqs, s, model_config(m)->vocab_size, &tokens);
	int rc = 0;

	for (int64_t r = 0; !rc && r < s->rounds; r++) {
		double began = clock_seconds();
		rc = score_run(m, reqs, (size_t)s->score, out, &(struct score_options){ .batch_tokens = 16384 });
		double spent = clock_seconds() - began;
		best = spent < best ? spent : best;
	}
	for (int64_t i = 0; i < s->score; i++)
		sum += out[i].logprob;
	if (!rc)
		printf("{\"engine\":\"assay\",\"requests\":%lld,\"score_tokens_per_s\":%.0f,\"requests_per_s\":%.1f,"
		       "\"logprob\":%.3f}\n",
		       (long long)s->score, (double)tokens / best, (double)s->score / best, sum);
	free(ids);
	free(reqs);
	free(out);
	return rc;
}

static int generate(double *seconds, struct model *m, const struct tokenizer *tok, int tokens)
{
	static const int32_t prompt[8] = { 10, 20, 30, 40, 50, 60, 70, 80 };
	struct generate_request req = { .ids = prompt, .n = 8, .max_tokens = tokens };
	struct generate_result out = { 0 };
	double began = clock_seconds();
	int rc = generate_run(m, tok, &req, 1, &out, NULL);
	double spent = clock_seconds() - began;

	*seconds = spent < *seconds ? spent : *seconds;
	if (!rc && out.tokens != tokens)
		rc = err_set(ERR_INPUT, "%d tokens of %d: the model has ended its text; ask for fewer", out.tokens,
			     tokens);
	generate_result_release(&out);
	return rc;
}

static int bench_decode(struct model *m, const char *dir, const struct shape *s)
{
	struct tokenizer *tok = NULL;
	double one = INFINITY, many = INFINITY;
	int rc = tokenizer_load(&tok, dir);

	for (int64_t r = 0; !rc && r < s->rounds; r++) {
		rc = generate(&one, m, tok, 1);
		if (!rc)
			rc = generate(&many, m, tok, 1 + (int)s->decode);
	}
	if (!rc)
		printf("{\"engine\":\"assay\",\"decode_tokens_per_s\":%.1f}\n", (double)s->decode / (many - one));
	tokenizer_free(tok);
	return rc;
}

int main(int argc, char **argv)
{
	struct shape s = { 0, 0, 64, 3, "cpu" };
	struct backend *be = NULL;
	struct model *m = NULL;
	int rc = read_shape(&s, argc, argv);

	if (!rc)
		rc = backend_open(&be, s.backend, 0);
	if (!rc)
		rc = model_load(&m, argv[1], be, NULL);
	if (!rc)
		rc = s.score ? bench_score(m, &s) : bench_decode(m, argv[1], &s);
	if (rc)
		fprintf(stderr, "bench_ask: %s\n", err_text());
	model_free(m);
	if (be)
		backend_close(be);
	return err_exit_code(rc);
}
