/* model.h: a language model as files, numbers and text.
 *
 * The one public header of model/. Three parts: text (tokenizer, template), numbers (the transformer: load, train,
 * score, generate) and files (Hugging Face folders in and out). Nothing here knows of git, suites or the registry. */
#ifndef ASSAY_MODEL_H
#define ASSAY_MODEL_H

#include "base/base.h"
#include "base/json.h"
#include "kernels/kernels.h"

/* ---- tokenizer: text <-> ids, as tokenizer.json says ------------------------------------------------------------ */

struct tokenizer;
struct tokens { /* a list of ids that grows */
	int32_t *ids;
	size_t n, cap;
};
void tokens_add(struct tokens *t, int32_t id);
void tokens_release(struct tokens *t);

/* dir_or_file: a model folder or a tokenizer.json. ERR_INPUT names the field that is not supported. */
int tokenizer_load(struct tokenizer **out, const char *dir_or_file);
int tokenizer_parse(struct tokenizer **out, const char *text, size_t len, const char *name);
void tokenizer_free(struct tokenizer *t);
/* Adds the ids of text to out; special: what the post-processor adds. Invalid UTF-8 is read as U+FFFD. */
int tokenizer_encode(const struct tokenizer *t, struct tokens *out, const char *text, size_t len, bool special);
/* Adds the text to out; skip_special drops special tokens. Ids out of range are dropped, as the library does. */
void tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n, bool skip_special);
/* The same, id by id: text comes as soon as no later id can change it, never half a character; finish gives the rest,
 * and the stream may begin anew. All that is given is what tokenizer_decode gives. t must outlive the stream. */
struct tokenizer_stream;
struct tokenizer_stream *tokenizer_stream_new(const struct tokenizer *t, bool skip_special);
void tokenizer_stream_add(struct tokenizer_stream *s, struct buf *out, int32_t id);
void tokenizer_stream_finish(struct tokenizer_stream *s, struct buf *out);
void tokenizer_stream_free(struct tokenizer_stream *s);
int32_t tokenizer_size(const struct tokenizer *t);                    /* largest id + 1 */
int32_t tokenizer_id(const struct tokenizer *t, const char *content); /* -1: none */
/* What a text without context begins with by the folder's tokenizer_config.json: BOS, else EOS; -1: it says neither */
int32_t tokenizer_prefix(const struct tokenizer *t);
const char *tokenizer_text(const struct tokenizer *t, int32_t id); /* NULL: none; borrowed */

struct tokenizer_train {
	int vocab_size;             /* bytes, special tokens and merges together */
	const char *const *special; /* special tokens, first ids; NULL at the end */
};
/* Adds the bytes that a byte-level token ("Ġthe") stands for; false (and nothing added) if a character is not of that alphabet. */
bool byte_alphabet_read(struct buf *out, const char *token, size_t len);

/* Trains a byte-level BPE (GPT-2 split pattern) on texts; deterministic; writes tokenizer.json into json. Equal to the
 * tokenizers library's BpeTrainer (min_frequency 0, its default) on the same texts: ties go to the smaller pair of ids;
 * fewer tokens than asked for if the texts have no pair left. */
int tokenizer_train(struct buf *json, const char *const *texts, const size_t *lens, size_t n,
		    const struct tokenizer_train *how);

/* ---- template: the Jinja subset of task files and chat templates ------------------------------------------------- */

struct template;
/* name is for errors ("evals/intents.yaml: doc_to_text"), which say line and column. ERR_INPUT. */
int template_parse(struct template **out, const char *text, size_t len, const char *name);
/* As transformers sets up a chat template: blocks take their line's white space, the last newline is dropped, what is
 * undefined prints as nothing, raise_exception, break and continue, tojson without escapes. */
int template_parse_chat(struct template **out, const char *text, size_t len, const char *name);
/* Renders with the members of context (a JSON object) as variables; strict: an undefined one is ERR_INPUT. */
int template_render(const struct template *t, const json_t *context, struct buf *out);
/* Of a template that is one {{ expression }}: its value, a list or a number too; of any other: its text. Yours. */
int template_value(const struct template *t, const json_t *context, json_t **out);
void template_free(struct template *t);

/* ---- model ------------------------------------------------------------------------------------------------------ */

enum model_rope_kind { MODEL_ROPE_DEFAULT, MODEL_ROPE_LINEAR, MODEL_ROPE_LLAMA3, MODEL_ROPE_YARN };
struct model_rope { /* rope_scaling: how the frequencies of rope_theta are changed */
	enum model_rope_kind kind;
	float factor, low_freq_factor, high_freq_factor, beta_fast, beta_slow, attention_factor;
	int original; /* original_max_position_embeddings */
	bool truncate;
};

struct model_config {          /* the members of config.json that the arithmetic needs */
	char architecture[32]; /* model_type: "llama", "mistral", "qwen2", "qwen3", "gpt2" */
	int vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, context;
	float norm_eps, rope_theta, init_range;
	struct model_rope rope;
	int window;      /* sliding window of keys, 0: none … */
	int window_from; /* … from this layer on */
	bool tied, qkv_bias, o_bias, mlp_bias;
	int bos_id, eos_id; /* -1: none */
};
/* ERR_INPUT names the key that is wrong or that asks for arithmetic which is not built. */
int model_config_parse(struct model_config *out, const json_t *config, const char *name);
uint64_t model_config_params(const struct model_config *c);
int model_folder_config(struct model_config *out, const char *dir); /* its config.json, parsed */
/* ERR_INPUT if the tokenizer has ids that the vocabulary has not: it belongs to another model. name is for the error. */
int model_config_check_tokenizer(const struct model_config *c, const struct tokenizer *tok, const char *name);

struct model;
struct model_load {
	bool train;          /* fp32 rows that can be trained; else frozen: packed, in the type they are stored in */
	const char *adapter; /* a PEFT folder that is merged into the weights while they are read; NULL: none */
	const char *adapter_name; /* for errors; NULL: adapter */
};
/* Loads a Hugging Face folder (config.json, model.safetensors or its shards in F32, F16 or BF16); be must outlive the
 * model. how may be NULL: frozen. */
int model_load(struct model **out, const char *dir, struct backend *be, const struct model_load *how);
/* Fresh weights, trainable: normal with init_range, norms 1, biases 0; by seed alone. */
int model_init(struct model **out, const struct model_config *config, uint64_t seed, struct backend *be);
/* Writes config.json, model.safetensors (or shards of at most 5 GB) and generation_config.json into dir (made if needed);
 * same bytes for the same weights. Trained weights are F32, frozen ones keep their type, an adapter is merged into them.
 * Tokenizer files are the caller's to copy. */
int model_save(const struct model *m, const char *dir);
void model_free(struct model *m);
const struct model_config *model_config(const struct model *m);

/* LoRA: a frozen model gets trainable factors, y += alpha / rank B (A x). */
struct lora_options {
	int rank;
	double alpha, dropout;
	const char *const
		*targets; /* names of modules ("q_proj"), NULL at the end; or one "all-linear"; NULL: q and v */
};
/* A is uniform by seed, B is 0. The model must be frozen. */
int model_add_lora(struct model *m, const struct lora_options *o, uint64_t seed);
/* The factors alone, as PEFT reads them: adapter_config.json and adapter_model.safetensors. base: what is written as
 * base_model_name_or_path. */
int model_save_adapter(const struct model *m, const char *dir, const char *base);
/* What differs between two safetensors files, in words: how many tensors, the first of them, by how much. ERR_INPUT: one of
 * them is no such file. */
int model_compare_files(struct buf *out, const char *a, const char *b);
/* One GGUF file for llama.cpp from a Hugging Face folder: type "f32", "f16", "bf16", "q8_0" or "auto" (as stored). */
int model_export_gguf(const char *dir, const char *path, const char *type);

/* What a piece of work needs, before any of it is begun; bytes of device memory, from the same sums as the work itself. */
struct model_plan {
	const struct model_config *config;
	const char *stored; /* "F32", "BF16", "F16" */
	bool train;         /* else scoring and generation */
	bool generates;     /* not train: texts are written, too */
	bool full, checkpointing, dpo;
	bool keeps_best;          /* weights put aside by validation */
	bool on_device;           /* in memory of a device of its own */
	struct lora_options lora; /* rank 0: none */
	int micro_tokens;
	int shares, ranks; /* train: of a step; devices that compute them. 0: 1 */
	int longest; /* not train: tokens of the longest request, with what is written; 0: as many as the model takes */
	uint64_t rows; /* not train: tokens of all requests together; 0: any number */
};
struct model_memory { /* cache: keys and values that outlive a batch */
	uint64_t weights, gradients, optimizer, activations, cache, total;
};
/* What the work takes at most. Requests turn out shorter, or share more, than was planned: then it takes less. */
int model_plan_memory(struct model_memory *out, const struct model_plan *plan);

/* - several devices ---------------------------------------------------------------------------------------------- */

/* One of n processes that work on one thing, a device each; rank 0 is linked with every other one, by a stream socket, and
 * keeps what comes of it (ranks.c). Takes the sockets: of rank 0 links[1 .. n - 1], of others links[0]. names (of rank 0, else
 * NULL) say in errors which rank it is: "rank 1 (cuda:1)". */
struct ranks;
struct ranks *ranks_new(int rank, int n, const int *links, const char *const *names);
int ranks_rank(const struct ranks *r);
int ranks_n(const struct ranks *r);
/* Bytes from rank 0 to all: it gives them, the others get them. ERR_NOTFOUND: rank 0 has nothing more to say, and bids
 * farewell. ERR_UNAVAILABLE: a rank has ended, or failed: the text says which and why. */
int ranks_tell(struct ranks *r, struct buf *text);
/* What each has to say, as many bytes from each, in the order of ranks, on all of them. Errors as above. */
int ranks_gather(struct ranks *r, void *all, const void *mine, size_t bytes);
/* To rank 0: this one has failed, and why (the thread's error). Of rank 0: nothing; closing says it. */
void ranks_fail(struct ranks *r, int code);
void ranks_close(struct ranks *r, bool farewell); /* NULL is allowed */

/* - training ------------------------------------------------------------------------------------------------------ */

/* One example: tokens, and for each whether predicting it counts in the loss. */
struct train_example {
	int32_t *ids;
	uint8_t *counts;
	int n;
	int source;        /* which of the data's sources it came from */
	bool counts_first; /* its first token is a part of what is learned, though nothing predicts it */
	bool pair;         /* the chosen answer of a preference; the example behind it is the rejected one */
};
struct train_data {
	struct train_example *examples;
	size_t n, cap;
	double *weights; /* of the sources: an epoch takes each example of a source so many times, on average */
	size_t n_sources, cap_sources;
};
/* What is added from now on is a source of its own. Without a call there is one source of weight 1. */
void train_data_source(struct train_data *d, double weight);
/* Adds the examples of a file of rows (base/rows.h): {"text"} | {"prompt","completion"} | {"messages":[…]} (with chat_template, may be
 * NULL) | {"prompt","chosen","rejected"} (two examples, a pair). The end-of-text token is appended and trained on (to messages only if the template has not written it). Errors
 * are "name:line: …". Longer examples than max_len (0: any length) are cut at the end, and counted in *cut if that is
 * not NULL. */
int train_data_add(struct train_data *d, const struct tokenizer *tok, const char *chat_template, int eos_id,
		   const char *text, size_t len, const char *name, int max_len, size_t *cut);
/* Moves a share of the units (examples, or pairs) of each source to `held`, by seed; at least one of two. */
void train_data_split(struct train_data *d, struct train_data *held, double share, uint64_t seed);
void train_data_release(struct train_data *d);

enum { TRAIN_SHARES_MAX = 1024 };
struct train_options {
	double learning_rate, min_lr_ratio, weight_decay, beta1, beta2, eps, clip;
	const char *schedule; /* "constant", "linear", "cosine" */
	double warmup_ratio;
	int64_t warmup_steps; /* < 0: by the ratio */
	double epochs;
	int64_t max_steps; /* > 0: instead of epochs */
	int batch_tokens;  /* at most so many tokens a step, all micro-batches together */
	int micro_tokens;  /* at most so many tokens in one forward; 0: batch_tokens, or a share of them */
	int shares; /* parts of a step, whose gradients are added in order: what as many devices can do at a time.
			    * Bits depend on it, and not on how many devices there are. 0: 1 */
	uint64_t seed;
	bool checkpointing; /* keep one array a layer and compute the rest twice */
	bool dpo;           /* examples are pairs (struct train_example.pair) */
	double dpo_beta;
	bool count_first;   /* divide the loss as transformers' Trainer does: the first token of a text counts as one */
	int64_t eval_every; /* steps between losses of the validation data; 0: at the end of each epoch */
	int patience;       /* evaluations without a new best before it ends early; 0: never */
	bool keep_last;     /* with validation data: end with the last weights, not the best */
	const struct train_data *validation; /* NULL: none; borrowed */
};
/* learning_rate 3e-4, min_lr_ratio 0, weight_decay 0.01 (matrices only), betas 0.9 and 0.95, eps 1e-8, clip 1 (0:
 * none), cosine, warmup_ratio 0.03, epochs 1, batch_tokens 4096, seed 1234, dpo_beta 0.1. What is
 * trained is the model's to say: its factors of LoRA where it has them, else all of it. Of n tokens of an example n - 1 are rows of a batch: these are what batch_tokens, micro_tokens
 * and struct train_step count. */
void train_options_init(struct train_options *o);

/* Tokens of one forward by these options. */
int train_micro_tokens(const struct train_options *o);

struct train_step { /* what the caller sees after each step */
	int64_t step, steps;
	double loss, lr, grad_norm; /* loss: mean over the counted tokens of the step */
	double validation;          /* mean loss of the validation data behind this step; NaN: not measured */
	int64_t tokens, tokens_total;
	double seconds; /* of this step */
};
struct train_hooks {
	int (*step)(const struct train_step *s, void *arg); /* non-zero ends the training with that result */
	void *arg;
	/* NULL: none. If it holds a checkpoint of the same training, it is resumed. Removing the folder, once the
	 * model is safe, is the caller's. */
	const char *checkpoint_dir;
	double checkpoint_every_s;
	int (*saving)(void *arg); /* before a checkpoint is written: to keep what belongs to it; may be NULL */
	/* The devices that compute the shares, one a process, all with the same model, data and options; NULL: this one alone.
	 * Rank 0 calls the hooks and writes checkpoints; all read them. A rank that fails ends the others. */
	struct ranks *ranks;
};
struct train_result {
	int64_t steps, tokens;
	double first_loss, last_loss, seconds;
	double best_validation; /* NaN: there was none */
	int64_t best_step;      /* whose weights the model has, with validation data */
	bool resumed, stopped_early;
};
/* Trains in place. A loss or a gradient that is not finite is ERR_INPUT with the step and what to lower. A checkpoint that
 * cannot be written is a warning. SIGTERM (see train_stop) writes one and gives ERR_INTERRUPTED; ERR_IO if it cannot. */
int train_run(struct model *m, const struct train_data *data, const struct train_options *o,
	      const struct train_hooks *hooks, struct train_result *out);
void train_stop(void); /* async-signal-safe: end after the current step */

/* Mean loss (nats per counted token) of data, without training. */
int train_loss(struct model *m, const struct train_data *data, int micro_tokens, double *loss, int64_t *tokens);

/* - scoring and generation ---------------------------------------------------------------------------------------- */

struct score_request { /* ids: context then continuation; the last n_scored of them are scored */
	const int32_t *ids;
	int n, n_scored;
};
struct score_result {
	double logprob; /* sum over the scored tokens, nats */
	bool greedy;    /* every scored token was the argmax */
	double seconds; /* its share of its batches' time, by the rows that it was the first to need */
};
/* How requests are worked through. No result depends on any of it. */
struct score_options {
	int batch_tokens;      /* at most, in one forward; 0: 4096 */
	uint64_t memory_bytes; /* at most, beside the weights; the batch is made to fit. 0: no bound */
	bool alone;            /* compute every request from its first token on, even where others begin alike */
	void (*done)(size_t n_done, void *arg); /* after each forward: so many requests are through; may be NULL */
	void *arg;
};
/* What requests have in common at their beginning is computed once. A request needs 1 <= n_scored < n <= context + 1.
 * how may be NULL. ERR_UNAVAILABLE says how much memory is needed at least. */
int score_run(struct model *m, const struct score_request *reqs, size_t n, struct score_result *out,
	      const struct score_options *how);

struct generate_request {
	const int32_t *ids;
	int n, max_tokens;        /* a prompt longer than context - max_tokens is cut on the left */
	const char *const *stops; /* NULL at the end; may be NULL. The end-of-text token always stops */
	double temperature;       /* 0: greedy */
	uint64_t seed;
	int top_k;    /* draw from the so many likeliest only; 0: from all */
	double top_p; /* draw from the likeliest whose probabilities sum up to this; 0 or 1: from all */
};
struct generate_result {
	char *text;         /* yours: behind the prompt, cut before the first stop; a NUL stands behind it … */
	size_t len;         /* … but it may hold NULs of its own: these are its bytes */
	int tokens;         /* generated, the end-of-text token not counted */
	const char *finish; /* "stop", "eos", "length"; static */
	double seconds;     /* its share of its batches' time, by rows */
};
/* Prompts that begin alike share what they have in common. */
int generate_run(struct model *m, const struct tokenizer *tok, const struct generate_request *reqs, size_t n,
		 struct generate_result *out, const struct score_options *how);
void generate_result_release(struct generate_result *r);

/* The text rules of lm-evaluation-harness (loglikelihood, loglikelihood_rolling) on top of score_run. A continuation
 * without a token of its own, or longer than the context, is ERR_INPUT. A context that is too long loses its first
 * tokens, as in the harness; how many, the result says. */
struct text_request {
	const char *context;      /* may be "" */
	const char *continuation; /* NULL: rolling over context */
};
struct text_result {
	double logprob;
	int tokens; /* scored */
	bool greedy;
	int cut; /* tokens at the beginning of the context that the model did not see; 0: rolling, windows are no cut */
	double seconds; /* as of a score_result */
};
int score_texts(struct model *m, const struct tokenizer *tok, const struct text_request *reqs, size_t n,
		struct text_result *out, const struct score_options *how);
/* The ids that these rules make of a request, for who scores elsewhere. prefix: what a text without context begins with. tok
 * is borrowed. text_ids_add() appends to out the context's ids, then the *n_scored of the continuation; the last context is
 * remembered, for the choices of a question. Rolling: the prefix, and all behind it is scored, in no windows. */
struct text_ids;
struct text_ids *text_ids_new(const struct tokenizer *tok, int32_t prefix);
void text_ids_free(struct text_ids *t); /* NULL is allowed */
int text_ids_add(struct text_ids *t, const struct text_request *r, struct tokens *out, size_t *n_scored);
/* A rolling text of n tokens, of which the first is the prefix and the others are predicted, `most` at a time, the last ones with
 * all context that fits: the window that predicts from `at` on, its beginning and its end. at: 1, then each end. */
size_t text_window(size_t n, size_t most, size_t at, size_t *begin);

#endif
