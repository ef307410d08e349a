/* fuzz_config.c: a config.json from anybody: refused, or numbers that the arithmetic can be done with.
 *
 * What must hold of one that is accepted: every size is in its bounds and they fit each other, the parameters counted and
 * laid out are as many, all frequencies are finite, and the plan of memory adds up without overflow. */
#include "fuzz_files.h"
#include "model/model_int.h"

#include <math.h>

static void check_sizes(const struct model_config *c)
{
	must(arch_find(c->architecture) != NULL);
	must(c->vocab_size >= 1 && c->hidden_size >= 1 && c->intermediate_size >= 1 && c->context >= 1);
	must(c->layers >= 1 && c->heads >= 1 && c->kv_heads >= 1 && c->heads % c->kv_heads == 0);
	must(c->head_dim >= 2 && c->head_dim <= 1024 && c->head_dim % 2 == 0);
	must(c->window >= 0 && c->window <= c->context && c->window_from >= 0);
	must(c->bos_id >= -1 && c->bos_id < c->vocab_size && c->eos_id >= -1 && c->eos_id < c->vocab_size);
	must(c->norm_eps >= 0 && c->norm_eps <= 1 && c->init_range >= 0 && c->init_range <= 100);
}

static void check_rope(const struct model_config *c)
{
	float *by = mem_array((size_t)c->head_dim, sizeof(*by));

	must(isfinite(c->rope_theta) && isfinite(c->rope.attention_factor));
	transformer_rope_divisors(c, by);
	for (int i = 0; i < c->head_dim / 2; i++)
		must(isfinite(by[i]) && by[i] > 0);
	free(by);
}

static void check_memory(const struct model_config *c)
{
	struct model_plan plan = { .config = c, .stored = "BF16", .micro_tokens = 4096 };
	struct model_memory need;
	const char *const all[] = { "all-linear", NULL };

	for (int how = 0; how < 3; how++) {
		plan.train = how > 0;
		plan.lora = (struct lora_options){ .rank = how == 2 ? 8 : 0, .alpha = 8, .targets = all };
		if (model_plan_memory(&need, &plan))
			continue;
		must(need.total >= need.weights && need.total >= need.activations && need.total >= need.optimizer);
		must(need.total < UINT64_C(1) << 56 && need.weights >= model_config_params(c));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_config c;
	json_t *config = NULL;

	if (size && !json_parse(&config, (const char *)data + 1, size - 1, "fuzz") &&
	    !model_config_parse(&c, config, "fuzz")) {
		struct model *m = model_new(&c, NULL);
		must(m->n_params == model_config_params(&c));
		model_free(m);
		check_sizes(&c);
		check_rope(&c);
		check_memory(&c);
	}
	json_decref(config);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, "j");
}
