/* Tests of runner/config.c: every section of assay.yaml, good and bad; each mistake says where it stands. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "runner/config.h"

/* A whole file: the two keys that stand in line 1 and 2, then what a test adds, then suites. */
static int parse(struct config *c, const char *base, const char *more)
{
	char *text = mem_printf("model: bot\nbase: %s\n%s%s", base, more,
				strstr(more, "suites:") ? "" : "suites: [evals/a.yaml]\n");
	int rc = config_parse(c, text, strlen(text), "assay.yaml");

	free(text);
	return rc;
}

static void good(struct config *c, const char *base, const char *more)
{
	if (parse(c, base, more) != 0)
		fail_msg("%s%s: %s", base, more, err_text());
}

/* Refused as ERR_INPUT, and the text begins with the place and has the words. */
static void bad(const char *base, const char *more, const char *place, const char *words)
{
	char *at = mem_printf("assay.yaml:%s: ", place);
	struct config c;
	int rc = parse(&c, base, more);

	if (rc != ERR_INPUT)
		fail_msg("%s%s gave %d", base, more, rc);
	if (strncmp(err_text(), at, strlen(at)) != 0 || !strstr(err_text(), words))
		fail_msg("%s%s: '%s' is not '%s…%s'", base, more, err_text(), at, words);
	assert_null(c.yaml); /* released */
	free(at);
}

struct wrong {
	const char *text, *place, *words;
};

static void all_bad(const struct wrong *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bad("models/smol", w[i].text, w[i].place, w[i].words);
}

/* ---- the whole ---- */

static void test_config_parse__a_whole_file(void **state)
{
	struct config c;

	(void)state;
	good(&c, "models/smol",
	     "prompt: prompts/answer.txt\n"
	     "finetune: {data: [a.jsonl, b.jsonl], method: full, epochs: 2.5, max_steps: 9, batch_tokens: 512,\n"
	     "  micro_tokens: 128, learning_rate: 2e-4, min_lr_ratio: 0.1, weight_decay: 0.2, beta1: 0.8, beta2: 0.9,\n"
	     "  clip: 0, schedule: linear, warmup_ratio: 0.5, warmup_steps: 3, seed: 77,\n"
	     "  data_parallel: 8}\n"
	     "suites: [evals/a.yaml, evals/b.yaml]\n"
	     "gate: {baseline: production, require: {a.acc: {max_drop: 0.02}}}\n"
	     "promote: {main: production, release/2: stable}\n"
	     "profiles: {pre-push: {train: false, limit: 200}, deep: {}}\n"
	     "sandbox: bubblewrap\n");
	assert_string_equal(c.model, "bot");
	assert_int_equal(c.base.kind, BASE_FOLDER);
	assert_string_equal(c.base.text, "models/smol");
	assert_string_equal(c.prompt, "prompts/answer.txt");
	assert_true(c.finetune.present);
	assert_int_equal(c.finetune.data.n, 2);
	assert_string_equal(c.finetune.data.items[1], "b.jsonl");
	assert_true(c.finetune.train.epochs == 2.5 && c.finetune.train.learning_rate == 2e-4);
	assert_true(c.finetune.train.min_lr_ratio == 0.1 && c.finetune.train.weight_decay == 0.2);
	assert_true(c.finetune.train.beta1 == 0.8 && c.finetune.train.beta2 == 0.9 && c.finetune.train.clip == 0);
	assert_int_equal(c.finetune.train.max_steps, 9);
	assert_int_equal(c.finetune.train.batch_tokens, 512);
	assert_int_equal(c.finetune.train.micro_tokens, 128);
	assert_int_equal(c.finetune.train.shares, 8);
	assert_string_equal(c.finetune.train.schedule, "linear");
	assert_true(c.finetune.train.warmup_ratio == 0.5);
	assert_int_equal(c.finetune.train.warmup_steps, 3);
	assert_int_equal(c.finetune.train.seed, 77);
	assert_int_equal(c.suites.n, 2);
	assert_true(c.has_gate);
	assert_string_equal(c.gate.baseline, "production");
	assert_string_equal(config_alias(&c, "main"), "production");
	assert_string_equal(config_alias(&c, "release/2"), "stable");
	assert_null(config_alias(&c, "mai"));
	assert_null(config_alias(&c, NULL));
	assert_false(config_profile(&c, "pre-push")->train);
	assert_int_equal(config_profile(&c, "pre-push")->limit, 200);
	assert_true(config_profile(&c, "deep")->train);
	assert_int_equal(config_profile(&c, "deep")->limit, 0);
	assert_null(config_profile(&c, "shallow"));
	assert_int_equal(c.sandbox, SANDBOX_BUBBLEWRAP);
	config_release(&c);
	config_release(&c); /* once more does nothing */
}

static void test_config_parse__what_is_absent_has_defaults(void **state)
{
	struct train_options defaults;
	struct config c;

	(void)state;
	train_options_init(&defaults);
	good(&c, "bot@production", "");
	assert_false(c.finetune.present);
	assert_false(c.has_gate);
	assert_int_equal(c.gate.n, 0);
	assert_null(c.prompt);
	assert_int_equal(c.sandbox, SANDBOX_NONE);
	assert_null(config_alias(&c, "main"));
	assert_null(config_profile(&c, "pre-push"));
	config_release(&c);
	good(&c, "bot@production", "finetune: {data: a.jsonl}\n");
	assert_int_equal(c.finetune.data.n, 1);
	assert_true(c.finetune.train.learning_rate == defaults.learning_rate);
	assert_int_equal(c.finetune.train.seed, defaults.seed);
	config_release(&c);
}

static void test_config_parse__not_a_mapping(void **state)
{
	static const char *const texts[] = { "- a\n- b\n", "just text\n", "17\n" };
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(config_parse(&c, texts[i], strlen(texts[i]), "assay.yaml"), ERR_INPUT);
		assert_non_null(strstr(err_text(), "assay.yaml: a mapping is wanted"));
		assert_null(c.yaml);
	}
	assert_int_equal(config_parse(&c, "model: [\n", 9, "assay.yaml"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "assay.yaml:"));
	assert_int_equal(config_parse(&c, "", 0, "assay.yaml"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "needs model"));
}

static void test_config_parse__unknown_key_names_the_nearest(void **state)
{
	static const struct wrong w[] = {
		{ "promts: x\n", "3:1", "unknown key \"promts\" in assay.yaml; did you mean \"prompt\"?" },
		{ "remote: s3://else/where\n", "3:1", "remote is the name of a location" },
		{ "prompt: 7\n", "3:1", "prompt must be text, not an integer" },
		{ "datasets: [a]\n", "3:1", "datasets: a folder, or {org/name: folder}" },
		{ "datasets: ../a\n", "3:1", "not a path beneath the root" },
		{ "datasets: {org/a: /data}\n", "3:12", "not a path beneath the root" },
		{ "datasets: {org/a: 3}\n", "3:12", "must be a text" },
		{ "suites: []\n", "1:1", "needs suites" },
		{ "suites: {a: b}\n", "3:1", "suites is a text or a list of texts" },
		{ "suites: [a.yaml, 7]\n", "3:1", "suites: item 2 is not a text" },
		{ "sandbox: docker\n", "3:1", "sandbox docker is not known" },
		{ "sandbox: true\n", "3:1", "sandbox must be text, not true or false" },
	};

	(void)state;
	all_bad(w, ARRAY_LEN(w));
}

static void test_config_parse__sandbox(void **state)
{
	struct config c;

	(void)state;
	good(&c, "models/smol", "sandbox: external\n");
	assert_int_equal(c.sandbox, SANDBOX_EXTERNAL);
	config_release(&c);
}

static void test_config_parse__model_is_a_name(void **state)
{
	static const char *const names[] = { "\"\"", "a b", "a/b", ".hidden", "-x", "a@b", "ünï" };
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *text = mem_printf("base: x\nmodel: %s\nsuites: [a]\n", names[i]);

		assert_int_equal(config_parse(&c, text, strlen(text), "assay.yaml"), ERR_INPUT);
		assert_non_null(strstr(err_text(), "assay.yaml:2:1: '"));
		free(text);
	}
}

/* ---- base ---- */

static void test_config_parse__base_of_a_version(void **state)
{
	struct config c;

	(void)state;
	good(&c, "dates@v7", "");
	assert_int_equal(c.base.kind, BASE_VERSION);
	assert_string_equal(c.base.text, "dates@v7");
	config_release(&c);
	bad("\"@v7\"", "", "2:1", "MODEL@ALIAS or MODEL@v7");
	bad("dates@", "", "2:1", "MODEL@ALIAS or MODEL@v7");
	bad("\"hf:\"", "", "2:1", "hf:ORG/NAME@REVISION is wanted");
	bad("[a, b]", "", "2:1", "assay.yaml needs base");
	bad("7", "", "2:1", "assay.yaml needs base");
	bad("{inti: {}}", "", "2:8", "unknown key \"inti\" in base; did you mean \"init\"?");
	bad("{init: llama}", "", "2:1", "base is a folder, MODEL@ALIAS, or {init");
}

static void test_config_parse__base_is_missing(void **state)
{
	static const char text[] = "model: bot\nsuites: [a]\n";
	struct config c;

	(void)state;
	assert_int_equal(config_parse(&c, text, sizeof(text) - 1, "assay.yaml"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "assay.yaml:1:1: assay.yaml needs base"));
}

static void test_config_parse__base_init(void **state)
{
	struct config c;

	(void)state;
	good(&c,
	     "{init: {architecture: llama, hidden_size: 64, layers: 2, heads: 4, kv_heads: 2, head_dim: 32,\n"
	     "  intermediate_size: 128, context: 256, tied: false, rope_theta: 5e5, rms_eps: 1e-6, init_range: 0.1,\n"
	     "  seed: 3, tokenizer: {train: [a.jsonl, b.txt], vocab_size: 300}}}",
	     "");
	assert_int_equal(c.base.kind, BASE_INIT);
	assert_null(c.base.text);
	assert_string_equal(c.base.init.architecture, "llama");
	assert_int_equal(c.base.init.hidden_size, 64);
	assert_int_equal(c.base.init.layers, 2);
	assert_int_equal(c.base.init.heads, 4);
	assert_int_equal(c.base.init.kv_heads, 2);
	assert_int_equal(c.base.init.head_dim, 32);
	assert_int_equal(c.base.init.intermediate_size, 128);
	assert_int_equal(c.base.init.context, 256);
	assert_false(c.base.init.tied);
	assert_true(c.base.init.rope_theta == 5e5f && c.base.init.norm_eps == 1e-6f && c.base.init.init_range == 0.1f);
	assert_int_equal(c.base.init_seed, 3);
	assert_null(c.base.tokenizer);
	assert_int_equal(c.base.tokenizer_data.n, 2);
	assert_int_equal(c.base.vocab_size, 300);
	config_release(&c);
	good(&c, "{init: {hidden_size: 96, heads: 3, tokenizer: tok/tokenizer.json}}", "");
	assert_string_equal(c.base.tokenizer, "tok/tokenizer.json");
	assert_int_equal(c.base.init.kv_heads, 3);
	assert_int_equal(c.base.init.head_dim, 32);
	assert_int_equal(c.base.init.intermediate_size, 256);
	assert_true(c.base.init.tied);
	config_release(&c);
}

static void test_config_parse__base_init_is_checked(void **state)
{
	static const struct wrong w[] = {
		{ "{init: {hidden: 8, tokenizer: t}}", "2:15", "unknown key \"hidden\" in base.init" },
		{ "{init: {architecture: gpt2, tokenizer: t}}", "2:15",
		  "architecture gpt2 is not known; known: llama" },
		{ "{init: {hidden_size: big, tokenizer: t}}", "2:15", "hidden_size must be an integer, not text" },
		{ "{init: {hidden_size: 7, tokenizer: t}}", "2:15", "hidden_size is 7, but must be from 8 to 65536" },
		{ "{init: {layers: 0, tokenizer: t}}", "2:15", "layers is 0" },
		{ "{init: {heads: 0, tokenizer: t}}", "2:15", "heads is 0" },
		{ "{init: {heads: 4, kv_heads: 3, tokenizer: t}}", "2:15",
		  "heads (4) must be a multiple of kv_heads (3)" },
		{ "{init: {heads: 4, kv_heads: 8, tokenizer: t}}", "2:15",
		  "heads (4) must be a multiple of kv_heads (8)" },
		{ "{init: {hidden_size: 12, heads: 4, tokenizer: t}}", "2:32", "the head size (3) must be even" },
		{ "{init: {hidden_size: 8, heads: 16, tokenizer: t}}", "2:31",
		  "the head size (0) must be even and not 0" },
		{ "{init: {head_dim: 5, tokenizer: t}}", "2:15", "the head size (5) must be even" },
		{ "{init: {intermediate_size: 1, tokenizer: t}}", "2:15", "intermediate_size is 1" },
		{ "{init: {context: 2, tokenizer: t}}", "2:15", "context is 2" },
		{ "{init: {tied: 1, tokenizer: t}}", "2:15", "tied must be true or false, not an integer" },
		{ "{init: {rope_theta: 0, tokenizer: t}}", "2:15", "rope_theta is 0" },
		{ "{init: {rms_eps: 0, tokenizer: t}}", "2:15", "rms_eps is 0" },
		{ "{init: {init_range: -1, tokenizer: t}}", "2:15", "init_range is -1" },
		{ "{init: {seed: -1, tokenizer: t}}", "2:15", "seed is -1" },
		{ "{init: {layers: 2}}", "2:14", "base.init needs tokenizer" },
		{ "{init: {tokenizer: 7}}", "2:15", "base.init needs tokenizer" },
		{ "{init: {tokenizer: {vocab_size: 300}}}", "2:26", "needs train" },
		{ "{init: {tokenizer: {train: []}}}", "2:26", "needs train" },
		{ "{init: {tokenizer: {train: a, vocab_size: 257}}}", "2:37", "vocab_size is 257" },
		{ "{init: {tokenizer: {train: a, size: 300}}}", "2:37", "unknown key \"size\" in base.init.tokenizer" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		bad(w[i].text, "", w[i].place, w[i].words);
}

/* ---- finetune ---- */

static void test_config_parse__finetune_is_checked(void **state)
{
	static const struct wrong w[] = {
		{ "finetune: full\n", "3:1", "finetune must be an object" },
		{ "finetune: {}\n", "3:11", "finetune needs data" },
		{ "finetune: {data: []}\n", "3:12", "finetune needs data" },
		{ "finetune:\n  data: 7\n", "4:3", "data is a path, {path: …, weight: …}, or a list" },
		{ "finetune:\n  data: a\n  epoch: 1\n", "5:3", "did you mean \"epochs\"?" },
		{ "finetune:\n  data: a\n  method: dpo\n", "5:3", "method dpo is not known; known: auto, full, lora" },
		{ "finetune:\n  data: a\n  rank: 0\n", "5:3", "rank" },
		{ "finetune:\n  data: a\n  method: full\n  rank: 8\n", "6:3", "rank is a key of method: lora" },
		{ "finetune:\n  data: a\n  method: full\n  export: {adapter: true}\n", "6:3",
		  "export is a key of method: lora" },
		{ "finetune:\n  data: a\n  method: lora\n  export: {gguf: true}\n", "6:12", "unknown key \"gguf\"" },
		{ "finetune:\n  data: a\n  alpha: 0\n", "5:3", "alpha" },
		{ "finetune:\n  data: a\n  lora_dropout: 1\n", "5:3", "lora_dropout" },
		{ "finetune:\n  data: a\n  target_modules: []\n", "5:3", "nothing would be trained" },
		{ "finetune:\n  data: a\n  target_modules: [Q*]\n", "5:3", "is no name of a module" },
		{ "finetune:\n  data: a\n  target_modules: [all-linear, q_proj]\n", "5:3", "all-linear stands alone" },
		{ "finetune:\n  data: a\n  objective: ppo\n", "5:3", "objective ppo is not known; known: sft, dpo" },
		{ "finetune:\n  data: a\n  beta: 0.1\n", "5:3", "beta is a key of objective: dpo" },
		{ "finetune:\n  data: a\n  objective: dpo\n  beta: 0\n", "6:3", "beta" },
		{ "finetune:\n  data: a\n  count: all\n", "5:3", "count all is not known; known: assay, hf" },
		{ "finetune:\n  data: a\n  validation_split: 0.6\n", "5:3", "validation_split" },
		{ "finetune:\n  data: a\n  validation: v\n  validation_split: 0.1\n", "6:3", "exclude each other" },
		{ "finetune:\n  data: a\n  early_stop: 3\n", "5:3", "early_stop needs validation data" },
		{ "finetune:\n  data: a\n  eval_every: 3\n", "5:3", "eval_every needs validation data" },
		{ "finetune:\n  data: a\n  validation: v\n  early_stop: 0\n", "6:3", "early_stop" },
		{ "finetune:\n  data: a\n  max_length: 1\n", "5:3", "max_length" },
		{ "finetune:\n  data: [{weight: 2}]\n", "4:10", "finetune.data needs the key path" },
		{ "finetune:\n  data: [{path: a, weight: 0}]\n", "4:20", "weight" },
		{ "finetune:\n  data: [{path: a, share: 1}]\n", "4:20", "unknown key \"share\"" },
		{ "finetune:\n  data: [3]\n", "4:3", "data is a path, {path" },
		{ "finetune:\n  data: a\n  epochs: -1\n", "5:3", "epochs is -1" },
		{ "finetune:\n  data: a\n  epochs: many\n", "5:3", "epochs must be a number, not text" },
		{ "finetune:\n  data: a\n  max_steps: 0\n", "5:3", "max_steps is 0, but must be at least 1" },
		{ "finetune:\n  data: a\n  max_steps: 1.5\n", "5:3", "max_steps must be an integer, not a number" },
		{ "finetune:\n  data: a\n  batch_tokens: 15\n", "5:3", "batch_tokens is 15" },
		{ "finetune:\n  data: a\n  batch_tokens: 99999999999\n", "5:3", "batch_tokens is 99999999999" },
		{ "finetune:\n  data: a\n  data_parallel: 0\n", "5:3", "data_parallel is 0" },
		{ "finetune:\n  data: a\n  micro_tokens: 1\n", "5:3", "micro_tokens is 1" },
		{ "finetune:\n  data: a\n  learning_rate: 11\n", "5:3", "learning_rate is 11" },
		{ "finetune:\n  data: a\n  min_lr_ratio: 2\n", "5:3", "min_lr_ratio is 2" },
		{ "finetune:\n  data: a\n  weight_decay: -0.1\n", "5:3", "weight_decay is -0.1" },
		{ "finetune:\n  data: a\n  beta1: 1\n", "5:3", "beta1 is 1" },
		{ "finetune:\n  data: a\n  beta2: 1\n", "5:3", "beta2 is 1" },
		{ "finetune:\n  data: a\n  clip: -1\n", "5:3", "clip is -1" },
		{ "finetune:\n  data: a\n  schedule: step\n", "5:3", "schedule step is not known" },
		{ "finetune:\n  data: a\n  schedule: 1\n", "5:3", "schedule must be text" },
		{ "finetune:\n  data: a\n  warmup_ratio: 1.5\n", "5:3", "warmup_ratio is 1.5" },
		{ "finetune:\n  data: a\n  warmup_steps: -1\n", "5:3", "warmup_steps is -1" },
		{ "finetune:\n  data: a\n  seed: -5\n", "5:3", "seed is -5" },
	};

	(void)state;
	all_bad(w, ARRAY_LEN(w));
}

static void test_config_parse__finetune_of_every_kind(void **state)
{
	struct config c;
	struct config_finetune *f = &c.finetune;

	(void)state;
	good(&c, "models/smol",
	     "finetune:\n  data: [{path: a.jsonl, weight: 2.5}, b.jsonl, {path: c.jsonl}]\n  method: lora\n  rank: 8\n"
	     "  alpha: 32\n  lora_dropout: 0.1\n  target_modules: [q_proj, v_proj]\n  adapter: models/sums-lora\n"
	     "  export: {adapter: false}\n  validation: [v.jsonl, w.jsonl]\n"
	     "  eval_every: 10\n  early_stop: 3\n  keep_best: false\n  gradient_checkpointing: true\n  max_length: "
	     "100\n"
	     "  count: hf\n");
	assert_int_equal(f->data.n, 3);
	assert_string_equal(f->data.items[2], "c.jsonl");
	assert_true(f->weights[0] == 2.5 && f->weights[1] == 1 && f->weights[2] == 1);
	assert_int_equal(f->method, METHOD_LORA);
	assert_int_equal(f->rank, 8);
	assert_true(f->alpha == 32 && f->lora_dropout == 0.1);
	assert_int_equal(f->targets.n, 2);
	assert_null(f->targets.items[2]); /* the engine reads up to it */
	assert_string_equal(f->adapter, "models/sums-lora");
	assert_false(f->export_adapter);
	assert_int_equal(f->validation.n, 2);
	assert_int_equal(f->eval_every, 10);
	assert_int_equal(f->patience, 3);
	assert_false(f->keep_best);
	assert_true(f->checkpointing && f->count_first);
	assert_int_equal(f->max_length, 100);
	config_release(&c);

	good(&c, "models/smol",
	     "finetune: {data: a.jsonl, rank: 4, target_modules: all-linear, validation_split: 0.05}\n");
	assert_int_equal(f->method, METHOD_LORA); /* who says a rank has said it */
	assert_string_equal(f->targets.items[0], "all-linear");
	assert_true(f->validation_split == 0.05 && f->keep_best && f->export_adapter);
	config_release(&c);
	good(&c, "models/smol", "finetune: {data: a.jsonl, objective: dpo, beta: 0.2}\n");
	assert_true(f->dpo && f->beta == 0.2);
	config_release(&c);
	good(&c, "models/smol", "finetune: {data: a, objective: dpo, validation: v}\n");
	assert_true(f->dpo && f->validation.n == 1);
	config_release(&c);
	bad("{init: {tokenizer: t.json}}", "finetune: {data: a, method: lora}\n", "3:11",
	    "with base.init there is none");
	bad("{init: {tokenizer: t.json}}", "finetune: {data: a, adapter: x}\n", "3:21", "with base.init there is none");
}

static void test_config_is_lora__above_a_billion_by_default(void **state)
{
	struct model_config small = { .architecture = "llama",
				      .vocab_size = 32000,
				      .hidden_size = 512,
				      .intermediate_size = 1024,
				      .layers = 4,
				      .heads = 8,
				      .kv_heads = 8,
				      .head_dim = 64,
				      .context = 512 };
	struct model_config large = small;
	struct config c = { .base.kind = BASE_FOLDER };

	(void)state;
	large.hidden_size = 4096;
	large.intermediate_size = 11008;
	large.layers = 32;
	large.heads = large.kv_heads = 32;
	large.head_dim = 128;
	config_finetune_init(&c.finetune);
	assert_false(config_is_lora(&c, &small));
	assert_true(config_is_lora(&c, &large));
	c.finetune.method = METHOD_FULL;
	assert_false(config_is_lora(&c, &large));
	c.finetune.method = METHOD_LORA;
	assert_true(config_is_lora(&c, &small));
	c.base.kind = BASE_INIT; /* nothing to freeze */
	c.finetune.method = METHOD_AUTO;
	assert_false(config_is_lora(&c, &large));
}

static void test_config_parse__finetune_by_a_command(void **state)
{
	static const struct wrong w[] = {
		{ "finetune:\n  command: []\n  inputs: a\n  output: o\n", "4:3", "command is empty" },
		{ "finetune:\n  command: [x]\n  output: o\n", "4:3", "command needs inputs" },
		{ "finetune:\n  command: [x]\n  inputs: [a]\n", "4:3", "needs the key output" },
		{ "finetune:\n  command: [x, 7]\n  inputs: [a]\n  output: o\n", "4:3",
		  "command: item 2 is not a text" },
		{ "finetune:\n  command: [x]\n  inputs: [a]\n  output: [o]\n", "6:3",
		  "output must be text, not a list" },
		{ "finetune:\n  command: [x]\n  inputs: [a]\n  output: o\n  timeout: 0\n", "7:3", "timeout is 0" },
		{ "finetune:\n  command: [x]\n  inputs: [a]\n  output: o\n  env: 7\n", "7:3",
		  "env is a text or a list" },
		{ "finetune:\n  command: [x]\n  inputs: [a]\n  output: o\n  epochs: 2\n", "7:3",
		  "unknown key \"epochs\" in finetune with a command" },
	};
	struct config c;

	(void)state;
	all_bad(w, ARRAY_LEN(w));
	good(&c, "models/smol",
	     "finetune: {command: [python, train.py], inputs: [train.py, data], output: out/, env: CUDA_HOME, timeout: "
	     "60}\n");
	assert_int_equal(c.finetune.command.n, 2);
	assert_int_equal(c.finetune.inputs.n, 2);
	assert_int_equal(c.finetune.env.n, 1);
	assert_string_equal(c.finetune.output, "out/");
	assert_true(c.finetune.timeout_s == 60);
	config_release(&c);
}

static void test_config_set__overrides_one_key(void **state)
{
	struct config c;

	(void)state;
	good(&c, "models/smol", "finetune: {data: a.jsonl, epochs: 3}\n");
	assert_int_equal(config_set(&c, "learning_rate=1e-3"), 0);
	assert_int_equal(config_set(&c, "schedule=constant"), 0);
	assert_true(c.finetune.train.learning_rate == 1e-3 && c.finetune.train.epochs == 3);
	assert_string_equal(c.finetune.train.schedule, "constant");
	assert_int_equal(config_set(&c, "epochs"), ERR_USAGE);
	assert_int_equal(config_set(&c, "=3"), ERR_INPUT);
	assert_int_equal(config_set(&c, "epochs=-2"), ERR_INPUT);
	assert_int_equal(config_set(&c, "data=b.jsonl"), ERR_INPUT);
	assert_int_equal(config_set(&c, "learningrate=1"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "did you mean \"learning_rate\"?"));
	assert_true(c.finetune.train.epochs == 3);
	config_release(&c);
}

/* ---- gate, promote, profiles ---- */

static void test_config_parse__gate_is_checked(void **state)
{
	static const struct wrong w[] = {
		{ "gate: strict\n", "3:1", "gate must be an object" },
		{ "gate:\n  baseline: x\n  require: {}\n", "5:3", "gate.require is empty" },
		{ "gate:\n  requires: {a.acc: {min: 0}}\n", "4:3", "did you mean \"require\"?" },
		{ "gate:\n  require:\n    a.acc: {max_dorp: 0.1}\n", "5:13", "did you mean \"max_drop\"?" },
		{ "gate:\n  require:\n    a.acc: {max_drop: 3}\n", "5:13", "acc goes from 0 to 1, and max_drop is 3" },
		{ "gate:\n  confidence: 2\n  require: {a.acc: {min: 0}}\n", "4:3", "confidence is 2" },
		{ "gate:\n  no_baseline: maybe\n  require: {a.acc: {min: 0}}\n", "4:3", "known: floors, block, pass" },
	};

	(void)state;
	all_bad(w, ARRAY_LEN(w));
}

static void test_config_parse__promote_is_checked(void **state)
{
	static const struct wrong w[] = {
		{ "promote: production\n", "3:1", "promote must be an object" },
		{ "promote:\n  main: [production]\n", "4:3", "promote.main: the name of an alias is wanted" },
		{ "promote:\n  main: \"\"\n", "4:3", "is no name for an alias: up to 100 letters" },
		{ "promote:\n  main: a@b\n", "4:3", "is no name for an alias: up to 100 letters" },
		{ "promote:\n  main: a/b\n", "4:3", "is no name for an alias: up to 100 letters" },
		{ "promote:\n  main: 'a,b'\n", "4:3", "is no name for an alias" },
		{ "promote:\n  main: '7'\n", "4:3", "would read as a version's number" },
		{ "promote:\n  dev: x\n  main: v7\n", "5:3", "would read as a version's number" },
	};
	struct config c;

	(void)state;
	all_bad(w, ARRAY_LEN(w));
	good(&c, "models/smol", "promote: {main: v, dev: v7a, test: version-7}\n");
	assert_string_equal(config_alias(&c, "main"), "v");
	config_release(&c);
}

static void test_config_parse__profiles_are_checked(void **state)
{
	static const struct wrong w[] = {
		{ "profiles: fast\n", "3:1", "profiles must be an object" },
		{ "profiles:\n  fast: 7\n", "4:3", "profiles.fast: a mapping is wanted" },
		{ "profiles:\n  fast: {limits: 7}\n", "4:10", "did you mean \"limit\"?" },
		{ "profiles:\n  fast: {limit: 0}\n", "4:10", "limit is 0, but must be at least 1" },
		{ "profiles:\n  fast: {train: no way}\n", "4:10", "train must be true or false, not text" },
	};

	(void)state;
	all_bad(w, ARRAY_LEN(w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_parse__a_whole_file),
		cmocka_unit_test(test_config_parse__what_is_absent_has_defaults),
		cmocka_unit_test(test_config_parse__not_a_mapping),
		cmocka_unit_test(test_config_parse__unknown_key_names_the_nearest),
		cmocka_unit_test(test_config_parse__sandbox),
		cmocka_unit_test(test_config_parse__model_is_a_name),
		cmocka_unit_test(test_config_parse__base_of_a_version),
		cmocka_unit_test(test_config_parse__base_is_missing),
		cmocka_unit_test(test_config_parse__base_init),
		cmocka_unit_test(test_config_parse__base_init_is_checked),
		cmocka_unit_test(test_config_parse__finetune_is_checked),
		cmocka_unit_test(test_config_parse__finetune_of_every_kind),
		cmocka_unit_test(test_config_is_lora__above_a_billion_by_default),
		cmocka_unit_test(test_config_parse__finetune_by_a_command),
		cmocka_unit_test(test_config_set__overrides_one_key),
		cmocka_unit_test(test_config_parse__gate_is_checked),
		cmocka_unit_test(test_config_parse__promote_is_checked),
		cmocka_unit_test(test_config_parse__profiles_are_checked),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
