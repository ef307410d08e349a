/* bench_decode.c: generation at batch 1, beside the speed at which this machine reads memory; and the prompt before it.
 *
 * bench_decode DIR [prompt=8 tokens=128 long=512 rounds=3 threads=0]. A token's time is that of a generation of 1 + tokens tokens less
 * that of one of a single token, over `tokens`: so the prompt and what happens once are not in it. Every weight is read
 * for each token, the table of positions and, where the head is not tied to it, of the tokens not counted: these are
 * read by the row. The bandwidth is that of all threads summing up an array of 1 GiB, far above any cache; the two are measured
 * in turns, and each is the best of its rounds, since what else runs only ever slows them. A prompt's time is that of `long`
 * tokens and the one generated behind them. Prints one line of JSON. Built by
 * tests/bench/run against libassay.a. */
#include "base/base.h"
#include "model/model.h"
#include "tests/bench/bench_args.h"

struct shape {
	int64_t prompt, tokens, length, rounds, threads;
};

static int read_shape(struct shape *s, int argc, char **argv)
{
	const struct bench_arg args[] = { { "prompt=", &s->prompt },
					  { "tokens=", &s->tokens },
					  { "long=", &s->length },
					  { "rounds=", &s->rounds },
					  { "threads=", &s->threads } };
	int rc = bench_args(args, ARRAY_LEN(args), argc, argv);

	if (rc)
		return rc;
	if (s->prompt < 1 || s->tokens < 1 || s->length < 1 || s->rounds < 1)
		return err_set(ERR_USAGE, "prompt, tokens, long and rounds are at least 1");
	return 0;
}

/* Bytes a second of one pass over the array; the sum keeps the reads from being left out. */
static double read_rate(const uint64_t *words, size_t n, uint64_t *sum)
{
	double began = clock_seconds();
	uint64_t total = 0;

#pragma omp parallel for simd reduction(+ : total) schedule(static)
	for (size_t i = 0; i < n; i++)
		total += words[i];
	*sum += total;
	return (double)(n * sizeof(*words)) / (clock_seconds() - began);
}

/* What one token reads: all of model.safetensors, less the tables that are read by the row. */
static int token_bytes(double *out, const struct model_config *c, const char *dir)
{
	char *path = path_join(dir, "model.safetensors");
	uint64_t size = 0, rows = 0, params = model_config_params(c);
	int rc = fs_size(&size, path);

	if (!strcmp(c->architecture, "gpt2"))
		rows += (uint64_t)c->context * (uint64_t)c->hidden_size;
	if (!c->tied)
		rows += (uint64_t)c->vocab_size * (uint64_t)c->hidden_size;
	*out = (double)(size / params) * (double)(params - rows); /* the header is far less than an element for each */
	free(path);
	return rc;
}

static int generate(double *seconds, struct model *m, const struct tokenizer *tok, const int32_t *prompt, int n,
		    int tokens)
{
	struct generate_request req = { .ids = prompt, .n = n, .max_tokens = tokens };
	struct generate_result out = { 0 };
	double began = clock_seconds();
	int rc = generate_run(m, tok, &req, 1, &out, NULL);

	*seconds = clock_seconds() - began;
	if (!rc && out.tokens != tokens)
		rc = err_set(ERR_INPUT, "%d tokens of %d: the model has ended its text; ask for fewer", out.tokens,
			     tokens);
	generate_result_release(&out);
	return rc;
}

struct seen { /* the best of all rounds */
	double token_s, prompt_s, read;
};

/* One round: the bandwidth, then the generations. */
static int one_round(struct seen *seen, const struct shape *s, struct model *m, const struct tokenizer *tok,
		     const uint64_t *words, size_t n_words)
{
	int64_t most = s->prompt > s->length ? s->prompt : s->length;
	int32_t *prompt = mem_array((size_t)most, sizeof(*prompt));
	uint64_t sum = 0;
	double few = 0, many = 0, whole = 0;

	for (int i = 0; i < 8; i++) {
		double rate = read_rate(words, n_words, &sum);
		seen->read = rate > seen->read ? rate : seen->read;
	}
	for (int64_t i = 0; i < most; i++)
		prompt[i] = (int32_t)(100 + 7 * i);
	int rc = sum == 0 ? err_set(ERR_BUG, "the array sums to nothing") : 0;
	if (!rc)
		rc = generate(&few, m, tok, prompt, (int)s->prompt, 1);
	if (!rc)
		rc = generate(&many, m, tok, prompt, (int)s->prompt, 1 + (int)s->tokens);
	if (!rc)
		rc = generate(&whole, m, tok, prompt, (int)s->length, 1);
	double each = (many - few) / (double)s->tokens;
	seen->token_s = each < seen->token_s ? each : seen->token_s;
	seen->prompt_s = whole < seen->prompt_s ? whole : seen->prompt_s;
	free(prompt);
	return rc;
}

static int bench(const char *dir, const struct shape *s)
{
	const size_t n_words = ((size_t)1 << 30) / sizeof(uint64_t);
	uint64_t *words = mem_array(n_words, sizeof(*words));
	struct seen seen = { 1e9, 1e9, 0 };
	double bytes = 0;
	struct tokenizer *tok = NULL;
	struct backend *be = NULL;
	struct model *m = NULL;
	int rc = backend_open(&be, "cpu", (int)s->threads);

#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n_words; i++)
		words[i] = i;
	if (!rc)
		rc = model_load(&m, dir, be, NULL);
	if (!rc)
		rc = tokenizer_load(&tok, dir);
	if (!rc)
		rc = token_bytes(&bytes, model_config(m), dir);
	for (int64_t r = 0; !rc && r < s->rounds; r++)
		rc = one_round(&seen, s, m, tok, words, n_words);
	if (!rc)
		printf("{\"engine\":\"assay\",\"mib_per_token\":%.1f,\"decode_tokens_per_s\":%.2f,"
		       "\"decode_gb_per_s\":%.2f,\"read_gb_per_s\":%.2f,\"share_of_bandwidth\":%.3f,"
		       "\"prompt_tokens_per_s\":%.1f}\n",
		       bytes / 1048576, 1 / seen.token_s, bytes / seen.token_s / 1e9, seen.read / 1e9,
		       bytes / seen.token_s / seen.read, (double)s->length / seen.prompt_s);
	tokenizer_free(tok);
	model_free(m);
	if (be)
		backend_close(be);
	free(words);
	return rc;
}

int main(int argc, char **argv)
{
	struct shape s = { 8, 128, 512, 3, 0 };
	int rc = read_shape(&s, argc, argv);

	if (!rc)
		rc = bench(argv[1], &s);
	if (rc)
		fprintf(stderr, "bench_decode: %s\n", err_text());
	return err_exit_code(rc);
}
