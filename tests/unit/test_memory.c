/* test_memory.c: what a plan states against what the back end was asked for at most, of every kind of work: never less, and
 * not much more. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model_int.h"

#define BATCH 128
#define CONTEXT 32
#define REQUESTS 150

static const struct model_config config = {
	.architecture = "llama",
	.vocab_size = 272, /* of the golden tokenizer */
	.hidden_size = 128,
	.intermediate_size = 384,
	.layers = 3,
	.heads = 4,
	.kv_heads = 2,
	.head_dim = 32,
	.context = CONTEXT,
	.norm_eps = 1e-5f,
	.rope_theta = 10000,
	.init_range = 0.05f,
	.bos_id = -1,
	.eos_id = -1,
};

/* ---- a back end that counts -------------------------------------------------------------------------------------- */

static struct backend *be;
static char *dir, *folder;
static int (*real_alloc)(struct backend *b, void **out, size_t bytes);
static void (*real_free)(struct backend *b, void *p);
static struct block {
	void *p;
	size_t bytes;
} blocks[256];
static uint64_t used, peak;

static struct block *block_of(const void *p)
{
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		if (blocks[i].p == p)
			return &blocks[i];
	return NULL;
}

static int counting_alloc(struct backend *b, void **out, size_t bytes)
{
	int rc = real_alloc(b, out, bytes);

	if (rc)
		return rc;
	struct block *at = block_of(NULL);
	assert_non_null(at);
	*at = (struct block){ *out, bytes };
	used += bytes;
	peak = used > peak ? used : peak;
	return 0;
}

static void counting_free(struct backend *b, void *p)
{
	struct block *at = p ? block_of(p) : NULL;

	if (at) {
		used -= at->bytes;
		*at = (struct block){ 0 };
	}
	real_free(b, p);
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct model *m;

	(void)state;
	if (backend_open(&be, "cpu", 1) || fs_temp_dir(&dir, tmp ? tmp : "/tmp", "memory"))
		return -1;
	folder = path_join(dir, "model");
	if (model_init(&m, &config, 1, be) || model_save(m, folder))
		return -1;
	model_free(m);
	real_alloc = be->alloc;
	real_free = be->free;
	be->alloc = counting_alloc;
	be->free = counting_free;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	backend_close(be);
	fs_remove_tree(dir);
	free(dir);
	free(folder);
	return 0;
}

static struct model *load(bool train)
{
	struct model *m;

	used = peak = 0;
	assert_int_equal(model_load(&m, folder, be, &(struct model_load){ .train = train }), 0);
	return m;
}

static struct model_memory planned(struct model_plan plan)
{
	struct model_memory memory;

	plan.config = &config;
	plan.stored = "F32";
	plan.micro_tokens = plan.micro_tokens ? plan.micro_tokens : BATCH;
	assert_int_equal(model_plan_memory(&memory, &plan), 0);
	assert_int_equal(memory.total,
			 memory.weights + memory.gradients + memory.optimizer + memory.activations + memory.cache);
	return memory;
}

static void check(const char *what, const struct model_memory *plan)
{
	print_message("%s: planned %llu, used %llu, %.3f\n", what, (unsigned long long)plan->total,
		      (unsigned long long)peak, (double)plan->total / (double)peak);
	if (plan->total < peak || (double)plan->total > 1.15 * (double)peak)
		fail_msg("%s: planned %llu, used %llu", what, (unsigned long long)plan->total,
			 (unsigned long long)peak);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static int32_t ids[REQUESTS][CONTEXT + 1];

static void fill_ids(void)
{
	struct rng r;

	rng_seed(&r, 1, 0);
	for (int i = 0; i < REQUESTS; i++)
		for (int t = 0; t <= CONTEXT; t++)
			ids[i][t] = (int32_t)rng_below(&r, 272);
}

static void score(struct model *m, int n, int tokens, uint64_t memory)
{
	struct score_request reqs[REQUESTS] = { 0 };
	struct score_result got[REQUESTS];
	const struct score_options how = { .batch_tokens = BATCH, .memory_bytes = memory };

	for (int i = 0; i < n; i++)
		reqs[i] = (struct score_request){ ids[i], tokens + 1, tokens };
	assert_int_equal(score_run(m, reqs, (size_t)n, got, &how), 0);
}

static void generate(struct model *m, const struct tokenizer *tok, int n, int tokens, uint64_t memory)
{
	struct generate_request reqs[REQUESTS] = { 0 };
	struct generate_result got[REQUESTS];
	const struct score_options how = { .batch_tokens = BATCH, .memory_bytes = memory };

	for (int i = 0; i < n; i++)
		reqs[i] = (struct generate_request){ .ids = ids[i], .n = tokens - 4, .max_tokens = 4 };
	assert_int_equal(generate_run(m, tok, reqs, (size_t)n, got, &how), 0);
	for (int i = 0; i < n; i++)
		generate_result_release(&got[i]);
}

static void test_model_plan_memory__scoring(void **state)
{
	struct model_memory plan = planned((struct model_plan){ 0 }), whole, some;
	struct model *m = load(false);

	(void)state;
	fill_ids();
	score(m, 40, CONTEXT, 0);
	check("scoring in batches", &plan);
	assert_true(plan.cache > 0);
	model_free(m);
	/* all in one batch: nothing outlives it; the rows say so */
	whole = planned((struct model_plan){ .rows = BATCH });
	assert_int_equal(whole.cache, 0);
	m = load(false);
	score(m, BATCH / CONTEXT, CONTEXT, 0);
	check("scoring at once", &whole);
	model_free(m);
	some = planned((struct model_plan){ .longest = 20, .rows = 60 });
	m = load(false);
	score(m, 3, 20, 0);
	check("scoring little", &some);
	model_free(m);
}

static void test_model_plan_memory__generation(void **state)
{
	struct model_memory plan = planned((struct model_plan){ .generates = true }), some;
	struct model *m = load(false);
	struct tokenizer *tok;

	(void)state;
	fill_ids();
	assert_int_equal(tokenizer_load(&tok, "tests/golden/llama"), 0);
	generate(m, tok, REQUESTS, CONTEXT, 0);
	check("generation", &plan);
	model_free(m);
	some = planned((struct model_plan){ .generates = true, .longest = 20, .rows = 40 });
	m = load(false);
	generate(m, tok, 2, 20, 0);
	assert_true(some.total >= peak && some.total < plan.total);
	model_free(m);
	tokenizer_free(tok);
}

/* The engine keeps within what the budget leaves beside the weights, whatever the batch that is asked for. */
static void test_score_run__keeps_within_the_budget(void **state)
{
	struct model_memory plan = planned((struct model_plan){ .generates = true });
	uint64_t beside = plan.total - plan.weights;
	struct tokenizer *tok;

	(void)state;
	fill_ids();
	assert_int_equal(tokenizer_load(&tok, "tests/golden/llama"), 0);
	for (int part = 1; part <= 8; part *= 2)
		for (int writes = 0; writes < 2; writes++) {
			struct model *m = load(false);
			uint64_t budget = beside / (uint64_t)part;
			if (writes)
				generate(m, tok, 60, CONTEXT, budget);
			else
				score(m, 40, CONTEXT, budget);
			assert_true(peak <= plan.weights + budget);
			assert_true(peak > plan.weights + budget / 4); /* and makes use of it */
			model_free(m);
		}
	tokenizer_free(tok);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static void train(struct model *m, const struct train_options *o, bool pairs)
{
	struct train_data data = { 0 };

	for (int i = 0; i < 16; i++) {
		MEM_GROW(data.examples, data.n, data.cap);
		struct train_example *e = &data.examples[data.n++];
		*e = (struct train_example){ .ids = mem_copy(ids[i], CONTEXT * sizeof(int32_t)),
					     .counts = mem_alloc(CONTEXT),
					     .n = CONTEXT,
					     .pair = pairs && i % 2 == 0 };
		memset(e->counts + 1, 1, CONTEXT - 1);
	}
	assert_int_equal(train_run(m, &data, o, NULL, NULL), 0);
	train_data_release(&data);
}

static void test_model_plan_memory__training(void **state)
{
	static const char *const all[] = { "all-linear", NULL };
	const struct lora_options lora = { .rank = 4, .alpha = 8, .dropout = 0.1, .targets = all };
	static const struct {
		const char *name;
		bool lora, checkpointing, dpo;
		int shares;
	} kinds[] = {
		{ "full training", false, false, false, 0 },
		{ "of all it keeps little", false, true, false, 0 },
		{ "LoRA training", true, false, false, 0 },
		{ "of factors it keeps little", true, true, false, 0 },
		{ "full, from preferences", false, false, true, 0 },
		{ "in two shares", false, false, false, 2 },
	};

	(void)state;
	fill_ids();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct model_plan plan = { .train = true, .full = !kinds[k].lora };
		struct train_options o;
		struct model_memory memory;
		struct model *m;

		plan.checkpointing = kinds[k].checkpointing;
		plan.dpo = kinds[k].dpo;
		plan.shares = kinds[k].shares;
		if (kinds[k].lora)
			plan.lora = lora;
		train_options_init(&o);
		o.batch_tokens = BATCH;
		o.max_steps = 2;
		o.checkpointing = kinds[k].checkpointing;
		o.dpo = kinds[k].dpo;
		o.shares = kinds[k].shares;
		plan.micro_tokens = train_micro_tokens(&o);
		memory = planned(plan);
		m = load(!kinds[k].lora);
		if (kinds[k].lora)
			assert_int_equal(model_add_lora(m, &lora, 7), 0);
		train(m, &o, kinds[k].dpo);
		check(kinds[k].name, &memory);
		model_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_plan_memory__scoring),
		cmocka_unit_test(test_model_plan_memory__generation),
		cmocka_unit_test(test_score_run__keeps_within_the_budget),
		cmocka_unit_test(test_model_plan_memory__training),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
