/* memory.c: what a piece of work will take, known before it begins.
 *
 * Nothing here estimates: the shapes are laid out as for the work itself, without memory, and the lists that will be
 * carved (acts.c, transformer_back.c) are added up; score.c and generate.c say what they take for requests of which only
 * the longest and their sum are known. A device also keeps what its products take in a form of their own, which is bounded here as its
 * widest class has it (kernels/cuda_gemm.cu). What is not counted is small: tokens, scratch of the threads, the tokenizer. */
#include "base/base.h"

#include "model/train_int.h"

static uint64_t packed_bytes(const struct matrix *x, size_t size)
{
	return ((uint64_t)((x->w.N + 15) / 16) * 16 * (uint64_t)x->w.K * size + 63) & ~UINT64_C(63);
}

static uint64_t frozen_bytes(struct model *m, const char *stored)
{
	size_t size = stored && strcmp(stored, "F32") != 0 ? 2 : 4;
	uint64_t sum = packed_bytes(&m->embed, size) + packed_bytes(&m->positions, size);

	if (!m->config.tied)
		sum += packed_bytes(&m->head, size);
	for (int l = 0; l < m->config.layers; l++) {
		const struct layer *x = &m->layers[l];
		sum += packed_bytes(&x->qkv, size) + packed_bytes(&x->o, size) + packed_bytes(&x->gate, size) +
		       packed_bytes(&x->up, size) + packed_bytes(&x->down, size);
	}
	return sum + (uint64_t)(m->n_params - m->n_decayed) * sizeof(float);
}

static uint64_t widest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Operands of 16 bits: three of activations, and the widest of the weights, where these are not stored so. */
static uint64_t operand_bytes(const struct model *m, const struct model_plan *plan)
{
	const struct model_config *c = &m->config;
	const struct layer *x = &m->layers[0];
	const struct matrix *all[] = { &m->head, &x->qkv, &x->o, &x->gate, &x->up, &x->down };
	bool ready = plan->stored && !strcmp(plan->stored, "BF16") && (!plan->train || plan->lora.rank);
	uint64_t row = widest((uint64_t)c->hidden_size, (uint64_t)c->intermediate_size), weight = 0;

	row = widest(row, (uint64_t)(c->heads + 2 * c->kv_heads) * (uint64_t)c->head_dim);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		weight = widest(weight, (uint64_t)all[i]->w.N * (uint64_t)all[i]->w.K);
	return 3 * 2 * row * (uint64_t)plan->micro_tokens + (ready ? 0 : 2 * weight);
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

static int training(struct model_memory *out, struct model *m, const struct model_plan *plan)
{
	float trains = 0; /* its address says that all weights are trained */
	struct pass_size size = { .tokens = plan->micro_tokens,
				  .rows = plan->micro_tokens,
				  .seqs = plan->micro_tokens,
				  .keep = true,
				  .checkpointing = plan->checkpointing };
	int rc = plan->lora.rank ? lora_plan(m, &plan->lora) : 0;

	if (rc)
		return rc;
	if (!m->lora)
		m->params = &trains;
	size_t n = m->lora ? m->lora->n_params : m->n_params;
	uint64_t own = (uint64_t)n * sizeof(float);
	out->gradients = own;
	out->gradients += train_ranks_bytes(n, plan->shares, plan->ranks, plan->on_device);
	out->optimizer = (plan->keeps_best ? 3 : 2) * own;
	out->weights = m->lora ? frozen_bytes(m, plan->stored) + own : (uint64_t)n * sizeof(float);
	out->activations = pass_bytes(m, &size) + back_bytes(m, &size) - own +
			   model_rope_bytes(m, least(plan->micro_tokens, m->config.context));
	m->params = NULL;
	return 0;
}

/* Scoring and generation take turns: the larger of the two counts. */
static void asking(struct model_memory *out, const struct model *m, const struct model_plan *plan)
{
	struct model_plan p = *plan;
	uint64_t cache = 0, bytes;

	p.longest = p.longest > 0 ? least(p.longest, m->config.context) : m->config.context;
	out->activations = score_bytes(m, &p, &out->cache);
	bytes = p.generates ? generate_bytes(m, &p, &cache) : 0;
	if (bytes + cache > out->activations + out->cache) {
		out->activations = bytes;
		out->cache = cache;
	}
}

int model_plan_memory(struct model_memory *out, const struct model_plan *plan)
{
	struct model *m = model_new(plan->config, NULL);
	int rc = 0;

	m->on_device = plan->on_device;
	*out = (struct model_memory){ 0 };
	if (plan->train) {
		rc = training(out, m, plan);
	} else {
		out->weights = frozen_bytes(m, plan->stored);
		asking(out, m, plan);
	}
	if (plan->on_device)
		out->activations += operand_bytes(m, plan);
	out->total = out->weights + out->gradients + out->optimizer + out->activations + out->cache;
	model_free(m);
	return rc;
}
