/* survey_model.c: base models, adapters over them, and Python programs that train, in the files of a work tree.
 *
 * A base is a folder that we can compute; where there is none, one that an adapter or a trainer names and this machine's cache of
 * the hub has, pinned to its commit. What names a base that is not here is left out, with the line that gets it. */
#include "base/base.h"
#include "base/json.h"
#include "model/model.h"
#include "runner/hub_cache.h"
#include "runner/survey.h"

#define TEXT_MAX ((size_t)1 << 20)

/* ---- models and adapters ----------------------------------------------------------------------------------------------- */

static int read_json(struct survey *s, const char *path, json_t **out)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	int rc = tree_read(s->tree, path, &text);

	if (rc == 0)
		rc = json_parse(out, buf_str(&text), text.len, path);
	buf_release(&text);
	return rc;
}

static bool folder_has(const struct survey *s, const char *folder, const char *file)
{
	char *path = path_join(folder, file);
	bool yes = survey_has_name(s, path);

	free(path);
	return yes;
}

static bool folder_has_weights(const struct survey *s, const char *folder)
{
	size_t n = strlen(folder);

	for (size_t i = 0; i < s->n_names; i++)
		if (strncmp(s->names[i], folder, n) == 0 && s->names[i][n] == '/' &&
		    !strchr(s->names[i] + n + 1, '/') && survey_ends_with(s->names[i], ".safetensors"))
			return true;
	return false;
}

static bool template_in_config(struct survey *s, const char *folder)
{
	char *path = path_join(folder, "tokenizer_config.json");
	json_t *config = NULL;
	bool yes = read_json(s, path, &config) == 0 && json_object_get(config, "chat_template");

	err_clear();
	json_decref(config);
	free(path);
	return yes;
}

/* A folder with a config.json: a model that we can compute, or why not. The first in the order of names is the base. */
static void try_model(struct survey *s, const char *path)
{
	char *folder = path_dir(path);
	struct model_config config;
	json_t *json = NULL;

	if (!strchr(path, '/') || read_json(s, path, &json) != 0 || !json_object_get(json, "model_type")) {
		err_clear(); /* some other program's */
	} else if (model_config_parse(&config, json, path) != 0) {
		survey_leave(s, folder);
	} else if (!folder_has(s, folder, "tokenizer.json") || !folder_has_weights(s, folder)) {
		buf_addf(&s->left, "%s: a model needs tokenizer.json and model.safetensors beside config.json\n",
			 folder);
	} else if (s->base) {
		buf_addf(&s->left, "%s: a model, too; base may name it instead of %s\n", folder, s->base);
	} else {
		s->base = mem_str(folder);
		s->base_chats = folder_has(s, folder, "chat_template.jinja") || template_in_config(s, folder);
		buf_addf(&s->found, "base      %s: %s, %.3g million weights\n", folder, config.architecture,
			 (double)model_config_params(&config) / 1e6);
	}
	json_decref(json);
	free(folder);
}

/* "org/name" as this machine's cache has it, pinned to the commit: yours; NULL: it has not. */
static char *hub_base(struct survey *s, const char *name, const char *whose)
{
	struct hub_model hub;
	char *base = NULL;

	if (hub_model_find(&hub, name) == 0) {
		base = mem_printf("hf:%s@%s", hub.name, hub.commit);
		for (size_t i = 0; i < hub.n_files; i++)
			s->base_chats = s->base_chats || !strcmp(hub.files[i], "chat_template.jinja");
		buf_addf(&s->found, "base      %s, in this machine's cache, named by %s\n", name, whose);
	} else {
		survey_leave(s, whose);
	}
	hub_model_release(&hub);
	return base;
}

static bool is_hub_name(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && slash != name && slash[1] && !strchr(slash + 1, '/') && name[0] != '.' && name[0] != '/';
}

static void try_adapter(struct survey *s, const char *path)
{
	char *folder = path_dir(path);
	const char *base, *kind;
	json_t *json = NULL;

	if (read_json(s, path, &json) != 0) {
		survey_leave(s, path);
		free(folder);
		return;
	}
	base = json_get_text(json, "base_model_name_or_path", "");
	kind = json_get_text(json, "peft_type", "");
	if (strcmp(kind, "LORA") != 0) {
		buf_addf(&s->left, "%s: an adapter of type %.40s; LORA is what is read\n", folder, *kind ? kind : "?");
	} else if (s->adapter) {
		buf_addf(&s->left, "%s: an adapter, too; finetune.adapter may name it instead of %s\n", folder,
			 s->adapter);
	} else {
		if (!s->base && is_hub_name(base))
			s->base = hub_base(s, base, path);
		if (s->base) {
			s->adapter = mem_str(folder);
			buf_addf(&s->found, "adapter   %s: LoRA over %.200s\n", folder,
				 *base ? base : "a base it does not name");
		} else {
			buf_addf(&s->left, "%s: an adapter over %.200s, which is not here\n", folder,
				 *base ? base : "?");
		}
	}
	json_decref(json);
	free(folder);
}

/* ---- a trainer --------------------------------------------------------------------------------------------------------- */

/* The text between quotes behind a word, as far as it is on the same line: "out" of save_pretrained("out"). Yours, or NULL. */
static char *quoted_behind(const char *text, const char *word)
{
	for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) {
		const char *from = at + strlen(word), *line = from + strcspn(from, "\n");

		if (from[-1] != '(' && (*from == '"' || *from == '\'')) /* "--output_dir": its own closing quote */
			from++;
		from += strcspn(from, "\"'\n");
		if (from < line) {
			size_t n = strcspn(from + 1, "\"'\n");

			if (n && from[1 + n] == *from)
				return mem_strn(from + 1, n);
		}
	}
	return NULL;
}

/* Where it says that it writes, if that is a folder beneath the root; else out/. */
static char *output_of(const char *text)
{
	static const char *const words[] = { "output_dir", "save_pretrained(" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		char *said = quoted_behind(text, words[i]), *path = NULL;

		if (said && *said != '-' && !strpbrk(said, "{} \t") && path_check(&path, said) == 0 &&
		    strcmp(path, ".")) {
			free(said);
			return path;
		}
		free(path);
		free(said);
	}
	err_clear();
	return mem_str("out");
}

static void try_trainer(struct survey *s, const char *path)
{
	static const char *const words[] = { "save_pretrained",   "Trainer(", "import torch",
					     "from transformers", "from trl", "from peft" };
	struct buf b = BUF_INIT(TEXT_MAX);
	char *hub = NULL;
	size_t known = 0;

	if (tree_read(s->tree, path, &b) == 0)
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			known += strstr(buf_str(&b), words[i]) != NULL;
	if (known < 2) {
		err_clear();
	} else if (s->trainer) {
		buf_addf(&s->left, "%s: trains, too, it seems; finetune.command may name it instead of %s\n", path,
			 s->trainer);
	} else {
		hub = quoted_behind(buf_str(&b), "from_pretrained(");
		if (!s->base && hub && is_hub_name(hub))
			s->base = hub_base(s, hub, path);
		if (s->base || !hub || !is_hub_name(hub)) {
			s->trainer = mem_str(path);
			s->output = output_of(buf_str(&b));
			buf_addf(&s->found, "trainer   %s, which writes %s\n", path, s->output);
		}
	}
	free(hub);
	buf_release(&b);
}

static bool is_trainer_name(const char *path)
{
	const char *base = path_base(path);

	return survey_ends_with(base, ".py") && strncmp(base, "test", 4) != 0 &&
	       (strstr(base, "train") || strstr(base, "finetune") || strstr(base, "fine_tune") || strstr(base, "sft") ||
		strstr(base, "dpo"));
}

/* ---- all of them ------------------------------------------------------------------------------------------------------- */

static void each_named(struct survey *s, const char *base, void (*try)(struct survey *s, const char *path))
{
	for (size_t i = 0; i < s->n_names; i++)
		if (strcmp(path_base(s->names[i]), base) == 0)
			try(s, s->names[i]);
}

void survey_models(struct survey *s)
{
	each_named(s, "config.json", try_model);
	each_named(s, "adapter_config.json", try_adapter);
	for (size_t i = 0; i < s->n_names; i++)
		if (is_trainer_name(s->names[i]))
			try_trainer(s, s->names[i]);
}
