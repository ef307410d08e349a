/* location.c: the machine's own config.yaml, beside the registry: what a commit may call by name only.
 *
 *	locations:
 *	  team-vllm:
 *	    url: https://gpu.example.org/v1     # up to /completions or /chat/completions
 *	    model: org/name                     # as the server calls it
 *	    api: completions                    # completions | chat
 *	    key: VLLM_API_KEY                   # the variable that holds the secret
 *	    logprobs: echo                      # echo | prompt_logprobs | none
 *	    tokenizer: /models/name             # a folder with its tokenizer.json; prompts that are scored go as ids
 *	    context: 4096                       # tokens that the model takes; what is longer goes in windows, or is cut
 *	    bos: "<s>"                          # text in front of what has no context
 *	    in_flight: 16
 *	    timeout: 300
 *	    attempts: 6
 *	    retries: 100
 *	    budget_tokens: 2000000
 *
 * The file belongs to the machine, never to a commit: so no commit can send a secret elsewhere. The same mapping may stand in
 * assay.yaml, where the target branch has the word (served.c). The secret itself stands in
 * the environment; what looks like one in the file is refused. */
#include "runner/location.h"
#include "base/yaml.h"

enum { CONFIG_MAX = 1 << 20 };

static const char *const keys[] = { "url", "model",     "api",     "key",      "logprobs", "tokenizer",    "context",
				    "bos", "in_flight", "timeout", "attempts", "retries",  "budget_tokens" };

/* https://host/v1, without the slash at its end. */
static int read_url(char **out, const struct yaml *y, const json_t *map)
{
	const char *url = NULL, *host;
	size_t len;
	int rc = yaml_get_text(y, map, "url", &url);

	if (rc)
		return rc;
	host = url ? strstr(url, "://") : NULL;
	if (!host || (strncmp(url, "https:", 6) != 0 && strncmp(url, "http:", 5) != 0) || !host[3])
		return yaml_error(y, map, url ? "url" : NULL, "a location needs url: https://HOST/v1 (or http:)");
	if (strchr(url, '@') || strpbrk(url, " ?#\t\n"))
		return yaml_error(y, map, "url",
				  "a url has no user, secret, query or fragment; name the secret's variable "
				  "under key");
	len = strlen(url);
	while (url[len - 1] == '/')
		len--;
	*out = mem_strn(url, len);
	return 0;
}

static int read_key(char **out, const struct yaml *y, const json_t *map)
{
	const char *key = NULL;
	int rc = yaml_get_text(y, map, "key", &key);

	if (rc || !key)
		return rc;
	if (!*key || strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(key) ||
	    (*key >= '0' && *key <= '9'))
		return yaml_error(y, map, "key",
				  "key is the name of the variable that holds the secret (A-Z, 0-9, _), not "
				  "the secret");
	*out = mem_str(key);
	return 0;
}

static int read_word(int *out, const struct yaml *y, const json_t *map, const char *key, const char *const *words,
		     size_t n)
{
	const char *word = words[0];
	int rc = yaml_get_text(y, map, key, &word);

	for (size_t i = 0; i < n && !rc; i++)
		if (strcmp(word, words[i]) == 0) {
			*out = (int)i;
			return 0;
		}
	return rc ? rc
		  : yaml_error(y, map, key, "%s: %s is not known (known: %s, %s%s%s)", key, word, words[0], words[1],
			       n > 2 ? ", " : "", n > 2 ? words[2] : "");
}

/* A folder of this machine; dir: the file's own, where it begins. NULL: a commit's file, which names none. */
static int read_tokenizer(char **out, const struct yaml *y, const json_t *map, const char *dir)
{
	const char *folder = NULL;
	int rc = yaml_get_text(y, map, "tokenizer", &folder);

	if (rc || !folder)
		return rc;
	if (!dir)
		return yaml_error(y, map, "tokenizer",
				  "tokenizer names a folder of this machine, which a commit cannot know: write the "
				  "location into config.yaml of the home");
	if (!*folder)
		return yaml_error(y, map, "tokenizer", "tokenizer: a folder with the model's tokenizer.json");
	*out = path_join(dir, folder);
	return 0;
}

/* Tokens are counted by a tokenizer: without one nobody here could tell what is too long. */
static int read_context(int *out, const struct yaml *y, const json_t *map)
{
	int64_t context = 0;
	int rc = yaml_get_int(y, map, "context", 8, 1 << 24, &context);

	*out = (int)context;
	return rc || !context || json_object_get(map, "tokenizer")
		       ? rc
		       : yaml_error(y, map, "context", "context counts tokens: it needs tokenizer: FOLDER beside it");
}

static int read_location(struct location *l, const struct yaml *y, const json_t *map, const char *dir)
{
	static const char *const apis[] = { "completions", "chat" };
	static const char *const logprobs[] = { "echo", "prompt_logprobs", "none" };
	const char *model = NULL, *bos = NULL;
	int64_t in_flight = 16, attempts = 6, retries = 100;
	int word, rc = yaml_check_keys(y, map, "a location", keys, ARRAY_LEN(keys));

	l->timeout_s = 300;
	rc = rc ? rc : read_url(&l->url, y, map);
	rc = rc ? rc : read_key(&l->key, y, map);
	rc = rc ? rc : yaml_get_text(y, map, "model", &model);
	if (!rc && (!model || !*model))
		rc = yaml_error(y, map, model ? "model" : NULL, "a location needs model: its name on the server");
	rc = rc ? rc : read_word(&word, y, map, "api", apis, ARRAY_LEN(apis));
	l->api = rc ? 0 : (enum location_api)word;
	rc = rc ? rc : read_word(&word, y, map, "logprobs", logprobs, ARRAY_LEN(logprobs));
	l->logprobs = rc ? 0 : (enum location_logprobs)word;
	rc = rc ? rc : read_tokenizer(&l->tokenizer, y, map, dir);
	rc = rc ? rc : read_context(&l->context, y, map);
	rc = rc ? rc : yaml_get_text(y, map, "bos", &bos);
	rc = rc ? rc : yaml_get_int(y, map, "in_flight", 1, 1024, &in_flight);
	rc = rc ? rc : yaml_get_int(y, map, "attempts", 1, 100, &attempts);
	rc = rc ? rc : yaml_get_int(y, map, "retries", 0, 1000000, &retries);
	rc = rc ? rc : yaml_get_int(y, map, "budget_tokens", 1, INT64_MAX, &l->budget_tokens);
	rc = rc ? rc : yaml_get_real(y, map, "timeout", 0.01, 86400, &l->timeout_s);
	l->model = mem_str(model);
	l->bos = bos && *bos ? mem_str(bos) : NULL;
	l->in_flight = (int)in_flight;
	l->attempts = (int)attempts;
	l->retries = (int)retries;
	return rc;
}

static int one_of(struct location *out, const struct yaml *y, const json_t *all, const char *name, const char *dir)
{
	json_t *map = json_object_get(all, name);
	int rc;

	*out = (struct location){ 0 };
	if (!map)
		return err_set(ERR_NOTFOUND, "there is no location \"%s\"", name);
	if (!json_is_object(map))
		return yaml_error(y, all, name, "location %s: expected {url: …, model: …}", name);
	out->name = mem_str(name);
	rc = read_location(out, y, map, dir);
	if (rc)
		location_release(out);
	return rc;
}

static int find_location(struct location *out, const struct yaml *y, const char *name, const char *dir)
{
	static const char *const top[] = { "locations", "remote" };
	json_t *root = yaml_root(y), *all = NULL;
	int rc = json_is_object(root) ? yaml_check_keys(y, root, "config.yaml", top, ARRAY_LEN(top))
				      : yaml_error(y, root, NULL, "expected locations: {NAME: {url: …}}");

	rc = rc ? rc : yaml_get_object(y, root, "locations", &all);
	return rc ? rc : one_of(out, y, all, name, dir);
}

int location_of(struct location *out, const struct yaml *y, const json_t *all, const char *name)
{
	return one_of(out, y, all, name, NULL);
}

int location_check_all(const struct yaml *y, const json_t *all)
{
	const char *name;
	json_t *map;

	json_object_foreach((json_t *)(uintptr_t)all, name, map)
	{
		struct location l;
		int rc = location_of(&l, y, all, name);

		if (rc)
			return rc;
		location_release(&l);
	}
	return 0;
}

int location_read(struct location *out, const char *home, const char *name)
{
	char *path = path_join(home, "config.yaml");
	struct buf text = BUF_INIT(CONFIG_MAX);
	struct yaml *y = NULL;
	int rc = fs_read(&text, path, CONFIG_MAX);

	*out = (struct location){ 0 };
	rc = rc ? rc : yaml_parse(&y, buf_str(&text), text.len, path);
	rc = rc ? rc : find_location(out, y, name, home);
	if (rc)
		location_release(out);
	yaml_free(y);
	buf_release(&text);
	free(path);
	return rc;
}

void location_release(struct location *l)
{
	free(l->name);
	free(l->url);
	free(l->model);
	free(l->key);
	free(l->tokenizer);
	free(l->bos);
	*l = (struct location){ 0 };
}
