/* trainer.c: fine-tuning by our own engine, from a configuration to a Hugging Face folder.
 *
 * The folder holds config.json, model.safetensors, generation_config.json, tokenizer.json and tokenizer_config.json, so
 * that transformers loads what assay trained. The learning curve goes into run->training (trainer_curve.c). */
#include "base/base.h"
#include "model/model.h"
#include "runner/chat.h"
#include "runner/crew.h"
#include "runner/data_file.h"
#include "runner/runner.h"
#include "runner/trainer.h"

#include <math.h>

#define DATA_MAX ((size_t)4 << 30)
#define END_OF_TEXT "<|endoftext|>"

/* ---- options ---------------------------------------------------------------------------------------------------------------- */

/* The configuration's words as the engine's options. */
static struct train_options train_options_of(const struct run *run)
{
	const struct config_finetune *f = &run->product->finetune;
	struct train_options o = f->train;

	o.shares = run_shares(run);
	o.checkpointing = f->checkpointing;
	o.dpo = f->dpo;
	o.dpo_beta = f->beta;
	o.count_first = f->count_first;
	o.eval_every = f->eval_every;
	o.patience = f->patience;
	o.keep_last = !f->keep_best;
	return o;
}

/* What a training begins with, and where its other ranks find that. */
struct trainer_start {
	struct model *model;
	struct tokenizer *tok;
	char *dir, *adapter; /* adapter: NULL without one */
};

/* ---- the start: fresh or loaded ---------------------------------------------------------------------------------------------- */

static int train_tokenizer(struct run *run, const char *out)
{
	const struct config_base *b = &run->product->base;
	const char *special[] = { END_OF_TEXT, NULL };
	const struct tokenizer_train how = { (int)b->vocab_size, special };
	size_t n = b->tokenizer_data.n;
	struct buf *texts = mem_array(n, sizeof(*texts)), json = BUF_INIT((size_t)256 << 20);
	const char **data = mem_array(n, sizeof(*data));
	size_t *lens = mem_array(n, sizeof(*lens));
	char *path = path_join(out, "tokenizer.json");
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		buf_init(&texts[i], DATA_MAX);
		rc = trainer_plain_text(run->tree, b->tokenizer_data.items[i], &texts[i]);
		data[i] = buf_str(&texts[i]);
		lens[i] = texts[i].len;
	}
	if (rc == 0)
		rc = tokenizer_train(&json, data, lens, n, &how);
	if (rc == 0)
		rc = fs_write(path, json.data, json.len);
	for (size_t i = 0; i < n; i++)
		buf_release(&texts[i]);
	buf_release(&json);
	free(texts);
	free(data);
	free(lens);
	free(path);
	return rc;
}

/* AutoTokenizer needs to be told to take tokenizer.json as it is (facts of transformers 4 and 5). */
static int write_tokenizer_config(const char *out)
{
	static const char text[] = "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
				   "  \"bos_token\": null,\n  \"eos_token\": \"" END_OF_TEXT "\",\n"
				   "  \"clean_up_tokenization_spaces\": false\n}\n";
	char *path = path_join(out, "tokenizer_config.json");
	int rc = fs_write(path, text, sizeof(text) - 1);

	free(path);
	return rc;
}

static int copy_tokenizer(struct run *run, const char *out)
{
	struct buf text = BUF_INIT((size_t)256 << 20);
	char *path = path_join(out, "tokenizer.json");
	int rc = tree_read(run->tree, run->product->base.tokenizer, &text);

	if (rc == 0)
		rc = fs_write(path, buf_str(&text), text.len);
	buf_release(&text);
	free(path);
	return rc;
}

static int start_fresh(struct run *run, const char *out, struct trainer_start *start)
{
	struct tokenizer **tok = &start->tok;
	const struct config_base *b = &run->product->base;
	struct model_config config = b->init;
	int rc = b->tokenizer ? copy_tokenizer(run, out) : train_tokenizer(run, out);

	if (rc == 0)
		rc = write_tokenizer_config(out);
	if (rc == 0)
		rc = tokenizer_load(tok, out);
	if (rc)
		return rc;
	config.vocab_size = tokenizer_size(*tok);
	config.eos_id = tokenizer_id(*tok, END_OF_TEXT);
	if (config.eos_id < 0)
		return err_set(ERR_INPUT, "the tokenizer has no token " END_OF_TEXT ", which ends a text");
	rc = model_init(&start->model, &config, b->init_seed, run->backend);
	return rc || crew_n(run->options->crew) == 1 ? rc : model_save(start->model, start->dir);
}

/* Files of the base that are not weights travel on unchanged. */
static int copy_side_file(const char *name, void *arg)
{
	const char **dirs = arg;
	char *from, *to;
	int rc = 0;

	if (strncmp(name, "tokenizer", 9) != 0 && strcmp(name, "special_tokens_map.json") != 0 &&
	    !path_has_suffix(name, ".jinja") && strcmp(name, "vocab.json") != 0 && strcmp(name, "merges.txt") != 0)
		return 0;
	from = path_join(dirs[0], name);
	to = path_join(dirs[1], name);
	if (!fs_is_dir(from))
		rc = fs_copy(from, to);
	free(from);
	free(to);
	return rc;
}

/* The adapter's folder, out of the commit; *out is NULL if there is none to merge. */
static int export_adapter(struct run *run, const char *work, char **out)
{
	const char *path = run->product->finetune.adapter;

	*out = NULL;
	if (!path)
		return 0;
	*out = path_join(work, "adapter");
	int rc = fs_remove_tree(*out);
	return rc ? rc : tree_export(run->tree, path, *out);
}

static int load_base(struct run *run, const char *base, const char *work, struct trainer_start *start)
{
	struct model_config config;
	int rc = export_adapter(run, work, &start->adapter);

	if (rc == 0)
		rc = model_folder_config(&config, base);
	if (rc == 0)
		rc = model_config_check_tokenizer(&config, start->tok, base);
	if (rc == 0)
		rc = model_load(&start->model, base, run->backend,
				&(struct model_load){ .train = !config_is_lora(run->product, &config),
						      .adapter = start->adapter,
						      .adapter_name = run->product->finetune.adapter });
	return rc;
}

static int start_loaded(struct run *run, const char *work, const char *out, struct trainer_start *start)
{
	const char *base = start->dir, *dirs[] = { base, out };
	int rc = run->base_dir ? 0 : fs_remove_tree(base);

	if (*run->base_object)
		(void)store_need(run->home->store, run->base_object);
	if (rc == 0 && !run->base_dir)
		rc = *run->base_object ? home_no_weights(store_get_tree(run->home->store, run->base_object, base),
							 run->base_object)
		     : run->hub.name   ? hub_model_export(&run->hub, base)
				       : tree_export(run->tree, run->product->base.text, base);
	if (rc == 0)
		rc = tokenizer_load(&start->tok, base);
	if (rc == 0)
		rc = load_base(run, base, work, start);
	if (rc == 0)
		rc = fs_list(base, copy_side_file, dirs);
	return rc;
}

/* ---- training ------------------------------------------------------------------------------------------------------------- */

/* Held-out files go to `held`, the others to `data`, each a source with its weight. */
static int load_file(struct run *run, const struct run_data *file, struct train_data *to, const struct tokenizer *tok,
		     const struct chat *chat, int eos_id, int longest, size_t *cut)
{
	struct buf text = BUF_INIT(DATA_MAX);
	int rc = data_file_read(run->tree, file->path, &text);

	train_data_source(to, file->validation || !(file->weight > 0) ? 1 : file->weight);
	if (rc == 0)
		rc = train_data_add(to, tok, chat_source(chat), eos_id, buf_str(&text), text.len, file->path, longest,
				    cut);
	buf_release(&text);
	return rc;
}

/* Preferences are trained by preferences, texts as texts: a pair among texts would teach the rejected answer too. */
static int check_objective(const struct run *run, const struct train_data *data)
{
	bool dpo = run->product->finetune.dpo;
	size_t pairs = 0;

	for (size_t i = 0; i < data->n; i++)
		pairs += data->examples[i].pair;
	if (!dpo && pairs)
		return err_hint(err_set(ERR_INPUT,
					"%zu lines of the training data are {\"prompt\",\"chosen\",\"rejected\"}",
					pairs),
				"objective: dpo learns from preferences");
	if (dpo && pairs * 2 != data->n)
		return err_hint(
			err_set(ERR_INPUT, "%zu examples of the training data are no preferences", data->n - pairs * 2),
			"objective: dpo wants {\"prompt\",\"chosen\",\"rejected\"} lines");
	return 0;
}

static int load_data(struct run *run, const struct model *model, const struct tokenizer *tok, const char *dir,
		     struct train_data *data, struct train_data *held)
{
	struct chat *chat = NULL;
	const struct config_finetune *f = &run->product->finetune;
	int context = model_config(model)->context, longest = f->max_length ? f->max_length : context;
	size_t cut = 0;
	int rc = chat_open(&chat, dir); /* for {"messages"} data */

	if (rc == 0 && longest > context)
		rc = err_hint(
			err_set(ERR_INPUT, "finetune.max_length is %d, and the model's context %d", longest, context),
			"max_position_embeddings (GPT-2: n_positions) in config.json is the context; lower max_length");
	for (size_t i = 0; rc == 0 && i < run->n_data; i++)
		rc = load_file(run, &run->data[i], run->data[i].validation ? held : data, tok, chat,
			       model_config(model)->eos_id, longest, &cut);
	if (rc == 0)
		rc = check_objective(run, data);
	if (rc == 0 && f->validation_split > 0)
		train_data_split(data, held, f->validation_split, f->train.seed);
	chat_free(chat);
	if (cut)
		run_note(run, "%zu training examples are longer than %s of %d tokens and were cut", cut,
			 f->max_length ? "max_length" : "the context", longest);
	return rc;
}

static void tell(struct run *run, const struct train_result *r, const struct trainer_curve *c, bool lora)
{
	int shares = run_shares(run);

	run->training =
		json_pack("{s:s,s:I,s:I,s:f,s:f,s:f,s:b,s:O}", "method", lora ? "lora" : "full", "steps",
			  (json_int_t)r->steps, "tokens", (json_int_t)r->tokens, "first_loss", r->first_loss,
			  "last_loss", r->last_loss, "seconds", r->seconds, "resumed", r->resumed, "curve", c->points);
	if (shares > 1)
		json_object_set_new(run->training, "data_parallel", json_integer(shares));
	if (!r->best_step)
		return;
	json_object_set(run->training, "validation", c->validation);
	json_object_set_new(run->training, "best_step", json_integer(r->best_step));
	json_object_set_new(run->training, "best_validation", trainer_curve_number(r->best_validation));
	json_object_set_new(run->training, "stopped_early", json_boolean(r->stopped_early));
}

static int train(struct run *run, const struct trainer_start *start, const struct train_options *how,
		 const struct lora_options *factors, const char *work, const char *out)
{
	struct train_data data = { 0 }, held = { 0 };
	struct train_options o = *how;
	struct train_result result;
	struct trainer_curve curve;
	char *checkpoints = path_join(work, "checkpoints");
	const struct train_hooks hooks = { .step = trainer_curve_step,
					   .arg = &curve,
					   .checkpoint_dir = checkpoints,
					   .checkpoint_every_s = run->options->checkpoint_s,
					   .saving = trainer_curve_save };
	trainer_curve_open(&curve, work);
	const struct crew_job job = { .model = start->dir,
				      .adapter = start->adapter,
				      .lora = factors != NULL,
				      .factors = factors ? *factors : (struct lora_options){ 0 },
				      .data = &data,
				      .options = &o,
				      .checkpoint_dir = checkpoints };
	int rc = load_data(run, start->model, start->tok, out, &data, &held);

	o.validation = held.n ? &held : NULL;
	if (rc == 0)
		rc = fs_mkdirs(checkpoints);
	if (rc == 0)
		rc = crew_train(run->options->crew, start->model, run->backend, &job, &hooks, &result);
	progress_end();
	trainer_curve_finish(&curve);
	if (rc == 0)
		tell(run, &result, &curve, factors != NULL);
	trainer_curve_close(&curve);
	train_data_release(&data);
	train_data_release(&held);
	free(checkpoints);
	return rc;
}

/* The factors of LoRA beside the merged weights, in a folder that transformers does not look into. */
static int save_adapter(struct run *run, const struct model *model, const char *out)
{
	char *dir = path_join(out, "adapter");
	int rc = model_save_adapter(model, dir, run->product->base.text);

	free(dir);
	return rc;
}

static int finetune(struct run *run, const struct trainer_start *start, const char *work, const char *out)
{
	const struct config_finetune *f = &run->product->finetune;
	bool lora = config_is_lora(run->product, model_config(start->model));
	struct train_options o = train_options_of(run);
	struct lora_options factors = config_lora(f);
	int rc = lora ? model_add_lora(start->model, &factors, o.seed) : 0;

	if (rc == 0)
		rc = train(run, start, &o, lora ? &factors : NULL, work, out);
	if (rc == 0 && lora && f->export_adapter)
		rc = save_adapter(run, start->model, out);
	return rc;
}

int trainer_own(struct run *run, const char *work, const char *out)
{
	struct trainer_start start = { .dir = run->base_dir ? mem_str(run->base_dir) : path_join(work, "base") };
	int rc = run_backend(run);

	if (rc == 0)
		rc = run->product->base.kind == BASE_INIT ? start_fresh(run, out, &start)
							  : start_loaded(run, work, out, &start);
	if (rc == 0 && run->product->finetune.present)
		rc = finetune(run, &start, work, out);
	if (rc == 0)
		rc = model_save(start.model, out);
	model_free(start.model);
	tokenizer_free(start.tok);
	free(start.dir);
	free(start.adapter);
	return rc;
}
