/* fuzz_checkpoint.c: a whole model folder from anybody: refused, or a model that scores, generates and is saved again.
 *
 * The first byte chooses frozen or trainable; then come config.json, generation_config.json and model.safetensors
 * (fuzz_files.h). What must hold of a model that loads: whatever its weights are (NaN, too), scoring and generation give the same
 * twice, or refuse it; and what is saved loads again and gives the same. */
#include "fuzz_files.h"
#include "model/model_int.h"

static struct backend *be;
static struct tokenizer *tok; /* of two of the ids */

static const char vocabulary[] =
	"{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}";

static int load(struct model **m, const char *dir, bool train)
{
	return model_load(m, dir, be, &(struct model_load){ .train = train });
}

/* Of what is scored and generated; or of the refusal: weights that make no finite number are found out by their results. */
static uint64_t results(struct model *m)
{
	const int32_t ids[] = { 0, m->config.vocab_size - 1, 0 };
	const struct score_request reqs[] = { { ids, m->config.context >= 2 ? 3 : 2, 1 }, { ids, 2, 1 } };
	const struct generate_request texts[] = {
		{ .ids = ids, .n = 1, .max_tokens = 3 },
		{ .ids = ids, .n = 2, .max_tokens = 2, .temperature = 1, .seed = 7 }
	};
	struct score_result out[2];
	struct generate_result said[2];
	int rc = score_run(m, reqs, 2, out, NULL);
	uint64_t h = rc ? 1 : checkpoint_hash(out[0].greedy, &out[0].logprob, sizeof(double));

	h = rc ? 1 : checkpoint_hash(h + out[1].greedy, &out[1].logprob, sizeof(double));
	must(rc == 0 || rc == ERR_INPUT);
	rc = generate_run(m, tok, texts, 2, said, NULL);
	must(rc == 0 || rc == ERR_INPUT);
	for (int i = 0; !rc && i < 2; i++) {
		h = checkpoint_hash(h, said[i].text, strlen(said[i].text));
		must(said[i].tokens >= 0 && said[i].tokens <= texts[i].max_tokens);
		generate_result_release(&said[i]);
	}
	return h;
}

static void check_model(struct model *m, bool train)
{
	char *out = path_join(fuzz_dir(), "out");
	struct model *again = NULL;
	uint64_t bits = results(m);

	must(results(m) == bits);
	must(!model_save(m, out));
	must(!load(&again, out, train));
	must(results(again) == bits);
	model_free(again);
	must(!fs_remove_tree(out));
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file files[3];
	bool train = size && data[0] & 1;
	struct model *m = NULL;

	if (!be) {
		must(!backend_open(&be, "cpu", 1));
		must(!tokenizer_parse(&tok, vocabulary, strlen(vocabulary), "fuzz"));
	}
	fuzz_split(files, ARRAY_LEN(files), data, size);
	fuzz_write("config.json", &files[0]);
	fuzz_write("model.safetensors", &files[2]);
	if (files[1].len)
		fuzz_write("generation_config.json", &files[1]);
	else
		fuzz_remove("generation_config.json");
	int rc = load(&m, fuzz_dir(), train);
	must(rc == 0 || rc == ERR_INPUT);
	if (!rc)
		check_model(m, train);
	model_free(m);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, "jjs");
}
