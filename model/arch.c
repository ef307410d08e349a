/* arch.c: the families of models, as a table.
 *
 * A family is a row: what its config.json is called, which of a few choices its layers make, and what its tensors are
 * named in a Hugging Face folder. The arithmetic (transformer.c) reads the choices, never the name; so a family that
 * makes the same choices under other names is one more row here, and one that needs a new choice is a row and a field.
 *
 * Names are those of the module; ".weight" and ".bias" follow. A layer's modules stand below LAYERS.N. */
#include "base/base.h"

#include "model/model_int.h"

#define LLAMA_NAMES                                                                                                    \
	[ROLE_EMBED] = "model.embed_tokens", [ROLE_NORM] = "model.norm", [ROLE_HEAD] = "lm_head",                      \
	[ROLE_NORM1] = "input_layernorm", [ROLE_Q] = "self_attn.q_proj", [ROLE_K] = "self_attn.k_proj",                \
	[ROLE_V] = "self_attn.v_proj", [ROLE_O] = "self_attn.o_proj", [ROLE_NORM2] = "post_attention_layernorm",       \
	[ROLE_GATE] = "mlp.gate_proj", [ROLE_UP] = "mlp.up_proj", [ROLE_DOWN] = "mlp.down_proj"

static const struct arch table[] = {
	{
		.model_type = "llama", /* Llama 2 and 3, SmolLM2 */
		.class_name = "LlamaForCausalLM",
		.gguf = "llama",
		.gated = true,
		.layers = "model.layers",
		.names = { LLAMA_NAMES },
	},
	{
		.model_type = "mistral",
		.class_name = "MistralForCausalLM",
		.gguf = "llama",
		.gated = true,
		.layers = "model.layers",
		.names = { LLAMA_NAMES },
	},
	{
		.model_type = "qwen2", /* Qwen 2 and 2.5 */
		.class_name = "Qwen2ForCausalLM",
		.gguf = "qwen2",
		.gated = true,
		.layers = "model.layers",
		.names = { LLAMA_NAMES },
	},
	{
		.model_type = "qwen3",
		.class_name = "Qwen3ForCausalLM",
		.gguf = "qwen3",
		.gated = true,
		.layers = "model.layers",
		.names = { LLAMA_NAMES, [ROLE_Q_NORM] = "self_attn.q_norm", [ROLE_K_NORM] = "self_attn.k_norm" },
	},
	{
		.model_type = "gpt2",
		.class_name = "GPT2LMHeadModel",
		.gguf = "gpt2",
		.layernorm = true,
		.learned_positions = true,
		.conv1d = true,
		.layers = "transformer.h",
		.prefix = "transformer.", /* the hub's gpt2 leaves it out */
		.names = {
			[ROLE_EMBED] = "transformer.wte",
			[ROLE_POSITIONS] = "transformer.wpe",
			[ROLE_NORM] = "transformer.ln_f",
			[ROLE_HEAD] = "lm_head",
			[ROLE_NORM1] = "ln_1",
			[ROLE_QKV] = "attn.c_attn",
			[ROLE_O] = "attn.c_proj",
			[ROLE_NORM2] = "ln_2",
			[ROLE_UP] = "mlp.c_fc",
			[ROLE_DOWN] = "mlp.c_proj",
		},
	},
};

const struct arch *arch_find(const char *model_type)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i].model_type, model_type))
			return &table[i];
	return NULL;
}

const char *arch_known(void)
{
	return "llama, mistral, qwen2, qwen3, gpt2"; /* tests/unit/test_families.c holds it to the table */
}

const struct arch *arch_at(size_t i)
{
	return i < ARRAY_LEN(table) ? &table[i] : NULL;
}
