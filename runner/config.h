/* config.h: assay.yaml as structures. docs/reference.md lists the keys.
 *
 * One file, two owners: the product (base, prompt, finetune, data) is read from the candidate; the questions (suites, datasets,
 * gate, promote, profiles, sandbox) from the target branch. So a run reads two configurations and takes its half of each. */
#ifndef RUNNER_CONFIG_H
#define RUNNER_CONFIG_H

#include "base/base.h"
#include "base/digest.h"
#include "base/yaml.h"
#include "evals/evals.h"
#include "model/model.h"

#define CONFIG_FILE "assay.yaml"

struct texts { /* a list of strings; borrowed from the configuration's document */
	const char **items;
	size_t n, cap;
};

enum base_kind {
	BASE_INIT,    /* fresh weights */
	BASE_FOLDER,  /* a Hugging Face folder in the commit */
	BASE_VERSION, /* MODEL@ALIAS or MODEL@v7 */
	BASE_HUB,     /* hf:ORG/NAME@REVISION, of the local cache */
};

struct config_base {
	enum base_kind kind;
	const char *text;    /* as written: "models/smol", "dates@production"; NULL for init */
	char *model, *alias; /* BASE_VERSION */
	struct model_config init;
	uint64_t init_seed;
	const char *tokenizer;       /* init: a tokenizer.json in the commit, or NULL: */
	struct texts tokenizer_data; /* trained on these */
	int64_t vocab_size;
};

enum finetune_method {
	METHOD_AUTO, /* lora above a billion parameters, else full */
	METHOD_FULL,
	METHOD_LORA,
};

struct config_finetune {
	bool present;
	struct texts data;
	double *weights; /* of the data, one a file */
	struct train_options train;

	enum finetune_method method;
	int rank; /* of LoRA, with all below */
	double alpha, lora_dropout;
	struct texts targets; /* names of modules, or "all-linear"; none: the engine's choice */
	const char *adapter;  /* a PEFT folder that is merged into the base first, or NULL */
	bool export_adapter;  /* keep the adapter beside the merged weights */

	bool dpo; /* objective: preferences instead of texts */
	double beta;
	struct texts validation;
	double validation_split; /* of the data, 0: none */
	int64_t eval_every;      /* steps; 0: at the end of each epoch */
	int patience;            /* early_stop; 0: never */
	bool keep_best;
	bool checkpointing, count_first;
	int max_length; /* of an example, 0: the context */

	struct texts command, inputs, env; /* a trainer of the team's own */
	const char *output;
	double timeout_s;
};

struct config_profile {
	const char *name;
	bool train;
	int64_t limit; /* 0: none */
};

struct config_promote {
	const char *branch, *alias;
};

enum sandbox_kind { /* NONE: commands are not allowed */
		    SANDBOX_NONE,
		    SANDBOX_BUBBLEWRAP,
		    SANDBOX_LANDLOCK,
		    SANDBOX_AUTO,
		    SANDBOX_EXTERNAL,
		    SANDBOX_KINDS
};
enum sandbox_kind sandbox_kind_parse(const char *word); /* SANDBOX_KINDS: not known */

struct config {
	struct yaml *yaml;
	const char *model;
	struct config_base base;
	const char *prompt;
	const char *remote; /* a location's name; NULL: none */
	struct config_finetune finetune;
	struct texts suites;
	json_t *data;      /* {path: {"license","owner","source","about"}}: said of data files; NULL: none; borrowed */
	json_t *locations; /* {NAME: location}; NULL: none; borrowed */
	json_t *datasets;  /* {name: folder}, or {"*": folder of such folders}; NULL: none */
	struct gate_policy gate;
	bool has_gate;
	char gate_digest[DIGEST_HEX]; /* of the section, as canonical JSON; "": there is none */
	struct config_promote *promote;
	size_t n_promote;
	struct config_profile *profiles;
	size_t n_profiles;
	enum sandbox_kind sandbox;
	struct yaml **sets; /* documents of config_set() */
	size_t n_sets;
};

/* name: for errors ("assay.yaml", "assay.yaml of main"). ERR_INPUT with line, column and the nearest known key. */
int config_parse(struct config *out, const char *text, size_t len, const char *name);
void config_release(struct config *c);
const struct config_profile *config_profile(const struct config *c, const char *name); /* NULL: none */
const char *config_alias(const struct config *c, const char *branch);                  /* NULL: not promoted */
/* One override "key=value" of finetune ("learning_rate=1e-3"), for `assay train --set`. */
int config_set(struct config *c, const char *assignment);
void config_finetune_init(struct config_finetune *f); /* the defaults */
/* Are factors trained over a frozen base, which has this shape? Not where the weights are fresh. */
struct lora_options config_lora(const struct config_finetune *f); /* borrowed from f */
bool config_is_lora(const struct config *c, const struct model_config *base);

#endif
