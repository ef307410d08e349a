/* fuzz_peft.c: an adapter from anybody, on two small bases: refused, or merged into every tensor it names.
 *
 * The first byte chooses the base; then come adapter_config.json and adapter_model.safetensors (fuzz_files.h). What must hold:
 * a merge gives ERR_INPUT or numbers for all rows; after a whole merge either every tensor of the adapter was used, or the
 * adapter is refused. */
#include "fuzz_files.h"
#include "model/model_int.h"

static const char llama[] = "{\"model_type\":\"llama\",\"vocab_size\":6,\"hidden_size\":4,\"intermediate_size\":6,"
			    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
			    "\"max_position_embeddings\":8,\"attention_bias\":true}";
static const char gpt2[] = "{\"model_type\":\"gpt2\",\"vocab_size\":6,\"n_embd\":4,\"n_layer\":1,\"n_head\":2,"
			   "\"n_positions\":8,\"bos_token_id\":0,\"eos_token_id\":0}";

static struct model *base(const char *text)
{
	struct model_config c;
	json_t *config = NULL;

	must(!json_parse(&config, text, strlen(text), "base") && !model_config_parse(&c, config, "base"));
	json_decref(config);
	return model_new(&c, NULL);
}

static int merge_all(struct peft *p, const struct model *m)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		if (!peft_has(p, t))
			continue;
		float *rows = mem_array(t->count, sizeof(*rows));
		rc = peft_merge(p, m, t, rows);
		must(rc == 0 || rc == ERR_INPUT);
		free(rows);
	}
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file files[2];
	struct peft *p = NULL;
	struct model *m = base(size && data[0] & 1 ? gpt2 : llama);

	fuzz_split(files, ARRAY_LEN(files), data, size);
	fuzz_write("adapter_config.json", &files[0]);
	fuzz_write("adapter_model.safetensors", &files[1]);
	if (!peft_open(&p, fuzz_dir()) && !merge_all(p, m))
		peft_check_used(p);
	peft_free(p);
	model_free(m);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, "js");
}
