/* chat.c: conversations as a model wants to read them: its folder's chat template, found as transformers finds it.
 *
 * chat_template.jinja has the first word; else the key chat_template of tokenizer_config.json: a text, or a list of
 * {"name","template"}, of which "default" is taken. The template sees messages, add_generation_prompt, tools and
 * documents (none), and the special tokens by their names (bos_token, eos_token, …), from tokenizer_config.json or, in
 * older folders, special_tokens_map.json: a text, or an object with "content".
 *
 * Where the answer is begun already (continues), the place is found with a mark behind the last message, as
 * transformers does: whether the template trims a message or not, the text ends where the message does. */
#include "base/base.h"
#include "model/model.h"
#include "runner/chat.h"

#define FILE_MAX ((size_t)1 << 24)
#define MARK "CONTINUE_FINAL_MESSAGE_TAG"

struct chat {
	char *source;
	struct template *tmpl;
	json_t *tokens; /* {"bos_token": "<s>", …} */
};

/* ---- finding it -------------------------------------------------------------------------------------------------------- */

static int read_json(json_t **out, const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	int rc = fs_exists(path) ? json_read(out, path, FILE_MAX) : 0;

	free(path);
	return rc;
}

/* Of several templates the one named default; a single one is it, whatever its name. */
static int named_template(const json_t *list, const char **out)
{
	struct buf names = BUF_INIT(1024);
	json_t *item;
	size_t i;
	int rc = 0;

	json_array_foreach(list, i, item)
	{
		const char *name = json_get_text(item, "name", "");

		if (strcmp(name, "default") == 0 || json_array_size(list) == 1)
			*out = json_get_text(item, "template", NULL);
		buf_addf(&names, "%s%.60s", i ? ", " : "", name);
	}
	if (!*out)
		rc = err_set(ERR_INPUT, "tokenizer_config.json: chat_template: none is named default (there is: %s)",
			     buf_str(&names));
	buf_release(&names);
	return rc;
}

static int find_source(struct chat *c, const char *dir, const json_t *config)
{
	char *path = path_join(dir, "chat_template.jinja");
	const json_t *v = json_object_get(config, "chat_template");
	struct buf text = BUF_INIT(FILE_MAX);
	const char *source = json_string_value(v);
	int rc = fs_read(&text, path, FILE_MAX);

	if (rc == 0) {
		source = buf_str(&text);
	} else if (rc == ERR_NOTFOUND) {
		err_clear();
		rc = json_is_array(v) ? named_template(v, &source) : 0;
		if (rc == 0 && v && !json_is_null(v) && !source)
			rc = err_set(ERR_INPUT, "tokenizer_config.json: chat_template is neither a text nor a list of "
						"{\"name\",\"template\"}");
	}
	if (rc == 0)
		c->source = mem_str(source);
	buf_release(&text);
	free(path);
	return rc;
}

static void find_tokens(struct chat *c, const json_t *from)
{
	static const char *const names[] = { "bos_token", "eos_token", "unk_token", "sep_token",
					     "pad_token", "cls_token", "mask_token" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *v = json_object_get(from, names[i]);

		v = json_is_object(v) ? json_object_get(v, "content") : v;
		if (json_is_string(v) && !json_object_get(c->tokens, names[i]))
			json_object_set(c->tokens, names[i], v);
	}
}

int chat_open(struct chat **out, const char *dir)
{
	struct chat *c = mem_alloc(sizeof(*c));
	json_t *config = NULL, *map = NULL;
	int rc = read_json(&config, dir, "tokenizer_config.json");

	*out = NULL;
	c->tokens = json_object();
	if (rc == 0)
		rc = read_json(&map, dir, "special_tokens_map.json");
	if (rc == 0)
		rc = find_source(c, dir, config);
	find_tokens(c, config);
	find_tokens(c, map);
	if (rc == 0 && c->source)
		rc = template_parse_chat(&c->tmpl, c->source, strlen(c->source), "chat template");
	json_decref(config);
	json_decref(map);
	if (rc || !c->source)
		chat_free(c);
	else
		*out = c;
	return rc;
}

void chat_free(struct chat *c)
{
	if (!c)
		return;
	template_free(c->tmpl);
	json_decref(c->tokens);
	free(c->source);
	free(c);
}

const char *chat_source(const struct chat *c)
{
	return c ? c->source : NULL;
}

bool chat_begins(const struct chat *c, const char *text)
{
	const char *bos = json_get_text(c->tokens, "bos_token", "");

	return *bos && strncmp(text, bos, strlen(bos)) == 0;
}

/* ---- rendering ----------------------------------------------------------------------------------------------------------- */

static int check_messages(const json_t *messages)
{
	const json_t *m;
	size_t i;

	if (!json_is_array(messages) || !json_array_size(messages))
		return err_set(ERR_INPUT, "messages must be a list with at least one message");
	json_array_foreach(messages, i, m)
	{
		if (!json_is_object(m) || !json_is_string(json_object_get(m, "role")))
			return err_set(ERR_INPUT, "message %zu needs a \"role\" and a \"content\"", i + 1);
		if (!json_object_get(m, "content") && !json_object_get(m, "tool_calls"))
			return err_set(ERR_INPUT, "message %zu has no \"content\"", i + 1);
	}
	return 0;
}

static int render(const struct chat *c, const json_t *messages, bool generation, struct buf *out)
{
	json_t *context = json_copy(c->tokens);
	int rc;

	json_object_set(context, "messages", (json_t *)(uintptr_t)messages);
	json_object_set_new(context, "add_generation_prompt", json_boolean(generation));
	json_object_set_new(context, "tools", json_null());
	json_object_set_new(context, "documents", json_null());
	rc = template_render(c->tmpl, context, out);
	json_decref(context);
	return rc;
}

static char *last_of(char *text, const char *what)
{
	char *last = NULL;

	for (char *at = text; at && (at = strstr(at, what)) != NULL; at++)
		last = at;
	return last;
}

/* The length of text without white space at its end. */
static size_t trimmed(const char *text, size_t len)
{
	size_t end = 0, used;

	for (size_t at = 0; at < len; at += used)
		if (!utf8_is_space(utf8_next(text + at, len - at, &used)))
			end = at + used;
	return end;
}

static int render_continued(const struct chat *c, const json_t *messages, struct buf *out)
{
	json_t *copy = json_deep_copy(messages), *m = json_array_get(copy, json_array_size(copy) - 1);
	const char *content = json_get_text(m, "content", NULL);
	struct buf text = BUF_INIT(out->max);
	char *mark, *marked;
	int rc;

	if (!content) {
		json_decref(copy);
		return err_set(ERR_INPUT, "the last message, which is to be continued, has no text");
	}
	marked = mem_printf("%s" MARK " ", content);
	json_object_set_new(m, "content", json_string(marked));
	rc = render(c, copy, false, &text);
	mark = rc ? NULL : last_of(text.data, MARK);
	if (rc == 0 && !mark)
		rc = err_set(ERR_INPUT, "the chat template does not write the last message, which is to be continued");
	if (rc == 0) {
		size_t len = (size_t)(mark - text.data);

		buf_add(out, text.data, mark[strlen(MARK)] == ' ' ? len : trimmed(text.data, len));
	}
	buf_release(&text);
	free(marked);
	json_decref(copy);
	return rc;
}

int chat_render(const struct chat *c, const json_t *messages, bool continues, struct buf *out)
{
	int rc = check_messages(messages);

	if (rc)
		return rc;
	return continues ? render_continued(c, messages, out) : render(c, messages, true, out);
}

json_t *chat_prompted(const json_t *messages, const char *prompt)
{
	json_t *all = json_copy((json_t *)(uintptr_t)messages), *first = json_array_get(all, 0);
	bool system = strcmp(json_get_text(first, "role", ""), "system") == 0;
	size_t n = strlen(prompt);
	char *text;

	if (!n)
		return all;
	text = mem_printf("%s%s%s", prompt, system && prompt[n - 1] != '\n' ? "\n\n" : "",
			  system ? json_get_text(first, "content", "") : "");
	if (system)
		json_array_remove(all, 0);
	json_array_insert_new(all, 0,
			      json_pack("{s:s,s:o}", "role", "system", "content", json_new_text(text, strlen(text))));
	free(text);
	return all;
}
