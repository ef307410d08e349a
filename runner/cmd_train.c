/* cmd_train.c: `assay train` and `tokenizer train`: single stages, outside a run; nothing is recorded. */
#include "base/base.h"

#include <unistd.h>

#include "base/rows.h"
#include "model/model.h"
#include "runner/cmd.h"
#include "runner/crew.h"
#include "runner/evaluate.h"
#include "runner/plan_memory.h"
#include "runner/runner.h"
#include "runner/data_file.h"
#include "runner/trainer.h"

#define FILE_MAX ((size_t)4 << 30)

static int read_config_file(struct config *out, const char *path)
{
	struct buf text = BUF_INIT(1 << 20);
	int rc = fs_read(&text, path, 1 << 20);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "no file %s", path);
	if (rc == 0)
		rc = config_parse(out, buf_str(&text), text.len, path);
	buf_release(&text);
	return rc;
}

/* Files of --data, else of the configuration; both are named from the working directory. */
static int set_data(struct run *run, const struct opt_list *files)
{
	const struct texts *own = &run->config.finetune.data;
	size_t n = files->n ? files->n : own->n;
	int rc = tree_open_dir(&run->tree, ".");

	if (n == 0)
		return err_set(ERR_USAGE, "assay train needs --data FILE");
	run->data = mem_array(n + run->config.finetune.validation.n, sizeof(*run->data));
	for (size_t i = 0; rc == 0 && i < n; i++)
		run->data[run->n_data++] =
			(struct run_data){ .path = mem_str(files->n ? files->items[i] : own->items[i]),
					   .weight = files->n ? 1 : run->config.finetune.weights[i] };
	for (size_t i = 0; rc == 0 && i < run->config.finetune.validation.n; i++)
		run->data[run->n_data++] = (struct run_data){ .path = mem_str(run->config.finetune.validation.items[i]),
							      .weight = 1,
							      .validation = true };
	return rc;
}

/* Work stands beside the result, where the same command finds the checkpoint of one that was interrupted or killed. */
static int train_into(struct run *run, const char *out)
{
	bool ours = !fs_exists(out);
	char *work = path_join(out, ".assay-train");
	int rc = fs_mkdirs(work);

	if (rc == 0)
		rc = trainer_own(run, work, out);
	if (rc != ERR_INTERRUPTED) {
		struct err_saved saved = err_save();

		fs_remove_tree(work);
		if (rc && ours)
			rmdir(out); /* unless something is in it */
		err_restore(&saved);
	}
	free(work);
	if (rc == 0 && run->training)
		printf("%s: %lld steps, loss %.4f -> %.4f, %.1f s\n", out,
		       (long long)json_get_int(run->training, "steps", 0),
		       json_get_real(run->training, "first_loss", 0), json_get_real(run->training, "last_loss", 0),
		       json_get_real(run->training, "seconds", 0));
	return rc;
}

/* MODEL: its weights are the start. CONFIG (an assay.yaml): its base and its finetune section. */
static int open_base(struct run *run, const char *name, struct model_dir *dir, struct place *place)
{
	if (path_has_suffix(name, ".yaml") || path_has_suffix(name, ".yml")) {
		int rc = read_config_file(&run->config, name);

		run->have_config = rc == 0;
		if (rc || run->config.base.kind == BASE_INIT)
			return rc;
		name = run->config.base.text;
	}
	if (!run->have_config) {
		config_finetune_init(&run->config.finetune);
		run->have_config = true; /* to be released */
		run->config.base.kind = BASE_FOLDER;
	}
	if (!fs_is_dir(name)) {
		int rc = place_open(place);

		if (rc)
			return rc;
	}
	int rc = model_dir_open(dir, &place->home, name);

	run->base_dir = dir->path;
	return rc;
}

int cmd_train(int argc, char **argv)
{
	const char *out = NULL, *device = "auto", *memory = NULL;
	double checkpoint_s = 30;
	struct opt_list data = { 0 }, set = { 0 };
	int64_t threads = 0;
	struct run_options o;
	struct place place = { 0 };
	struct model_dir dir = { 0 };
	struct run run = { 0 };
	int rc;
	const struct opt opts[] = {
		OPT_LIST('d', "data", &data, "FILE", "training data, JSONL; may be given several times"),
		OPT_TEXT('o', "out", &out, "DIR", "the folder that is written: a Hugging Face folder"),
		OPT_LIST(0, "set", &set, "KEY=VALUE", "a key of the finetune section, such as learning_rate=1e-3"),
		OPT_TEXT(0, "device", &device, "DEV",
			 "auto, cpu or cuda[:N][/CLASS]; to train on several: cuda:0,1 or cuda:all"),
		OPT_INT(0, "threads", &threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_REAL(0, "checkpoint-every", &checkpoint_s, "SECONDS", "how often a checkpoint is written (30)"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"train",
		"MODEL|CONFIG",
		"fine-tune a model outside a run",
		"MODEL is a folder, MODEL@v7 or MODEL@ALIAS; CONFIG is an assay.yaml, whose base and finetune are "
		"used.\n\n"
		"  assay train models/smol --data data/train.jsonl --out out --set epochs=2 --set learning_rate=1e-4",
		1,
		1
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (!out)
		return err_set(ERR_USAGE, "assay train needs --out DIR");
	if (!(checkpoint_s >= 0))
		return err_set(ERR_USAGE, "--checkpoint-every: 0 (never) or more");
	if (crew_is_hand())
		return crew_serve(device, (int)threads, out);
	run_options_init(&o);
	rc = crew_open(&o.crew, device, out); /* the folder in which the tasks of a Slurm step meet */
	o.device = rc == 0 ? crew_device(o.crew) : device;
	o.threads = threads;
	o.memory = memory;
	o.checkpoint_s = checkpoint_s;
	run.options = &o;
	run.home = &place.home;
	run.notes = json_array();
	run.product = &run.config;
	run_stop_on_signals();
	if (rc == 0)
		rc = open_base(&run, argv[0], &dir, &place);
	run.config.finetune.present = true;
	for (size_t i = 0; rc == 0 && i < set.n; i++)
		rc = config_set(&run.config, set.items[i]);
	if (rc == 0)
		rc = plan_memory_train(&run);
	if (rc == 0)
		rc = set_data(&run, &data);
	if (rc == 0)
		rc = train_into(&run, out);
	run_release(&run);
	crew_close(o.crew, true);
	model_dir_close(&dir);
	place_close(&place);
	opt_list_release(&data);
	opt_list_release(&set);
	return rc;
}

/* ---- tokenizer train --------------------------------------------------------------------------------------------------------------- */

/* The text of a file, or of a file in an archive. */
static int learn_from(struct buf *out, struct tree *t, const char *path)
{
	struct buf raw = BUF_INIT(FILE_MAX);
	int rc = data_file_read(t, path, &raw);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "no file %s", path);
	else if (rc == 0 && rows_known(buf_str(&raw), raw.len, path))
		rc = trainer_plain_rows(buf_str(&raw), raw.len, path, out);
	else if (rc == 0)
		buf_add(out, buf_str(&raw), raw.len);
	buf_release(&raw);
	return rc;
}

int cmd_tokenizer(int argc, char **argv)
{
	const char *out = "tokenizer.json", *special[] = { "<|endoftext|>", NULL };
	int64_t vocab = 8192;
	struct tokenizer_train how;
	struct buf *texts = NULL, json = BUF_INIT((size_t)256 << 20);
	struct tree *tree = NULL;
	const char **data = NULL;
	size_t *lens = NULL, n = 0;
	int rc;
	const struct opt opts[] = {
		OPT_INT(0, "vocab-size", &vocab, "N", "ids in all: bytes, special tokens and merges (8192)"),
		OPT_TEXT('o', "out", &out, "FILE", "the tokenizer.json that is written"),
		OPT_END,
	};
	const struct opt_usage usage = { "tokenizer",
					 "train FILE…",
					 "train a byte-level BPE tokenizer",
					 "Of a file of rows (.jsonl, .csv, Parquet …), the texts in it are learned "
					 "from; of any other, its bytes.\n\n"
					 "  assay tokenizer train data/*.jsonl --vocab-size 1024 --out tokenizer.json",
					 2,
					 -1 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (strcmp(argv[0], "train") != 0)
		return err_set(ERR_USAGE, "assay tokenizer train FILE…");
	if (vocab < 258 || vocab > 1 << 20)
		return err_set(ERR_USAGE, "--vocab-size: 258 to 1048576");
	how = (struct tokenizer_train){ (int)vocab, special };
	n = (size_t)argc - 1;
	texts = mem_array(n, sizeof(*texts));
	data = mem_array(n, sizeof(*data));
	lens = mem_array(n, sizeof(*lens));
	rc = tree_open_dir(&tree, ".");
	for (size_t i = 0; rc == 0 && i < n; i++) {
		buf_init(&texts[i], FILE_MAX);
		rc = learn_from(&texts[i], tree, argv[i + 1]);
		data[i] = buf_str(&texts[i]);
		lens[i] = texts[i].len;
	}
	if (rc == 0)
		rc = tokenizer_train(&json, data, lens, n, &how);
	if (rc == 0)
		rc = fs_write(out, json.data, json.len);
	for (size_t i = 0; i < n; i++)
		buf_release(&texts[i]);
	buf_release(&json);
	tree_close(tree);
	free(texts);
	free(data);
	free(lens);
	return rc;
}
