/* cmd_model.c: `assay score`, `generate` and `tokenize`: one model, lines in, lines out.
 *
 * Contracts for scripts (docs/reference.md): one JSON object a line in, one a line out, in the same order, whatever the
 * batch. MODEL is a folder, MODEL@v7 or MODEL@ALIAS. */
#include "base/base.h"
#include "model/model.h"
#include "runner/cmd.h"
#include "runner/evaluate.h"
#include "runner/plan_memory.h"

#include <unistd.h>

#define INPUT_MAX ((size_t)4 << 30)

static int read_input(struct buf *b)
{
	char chunk[65536];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buf_add(b, chunk, n);
	if (ferror(stdin))
		return err_errno(ERR_IO, "standard input");
	return buf_full(b) ? err_set(ERR_INPUT, "standard input is too large") : 0;
}

/* The folder of a model named on the command line; a registry is opened only if the name asks for one. */
struct source {
	struct place place;
	struct model_dir dir;
	bool have_place;
};

static int source_open(struct source *s, const char *name)
{
	int rc = 0;

	memset(s, 0, sizeof(*s));
	if (!fs_is_dir(name)) {
		rc = place_open(&s->place);
		s->have_place = rc == 0;
	}
	return rc ? rc : model_dir_open(&s->dir, &s->place.home, name);
}

static void source_close(struct source *s)
{
	model_dir_close(&s->dir);
	if (s->have_place)
		place_close(&s->place);
}

struct lines {
	json_t **items;
	size_t n, cap;
};

static int keep_line(json_t *value, size_t line, void *arg)
{
	struct lines *l = arg;

	if (!json_is_object(value))
		return err_set(ERR_INPUT, "standard input:%zu: an object is wanted", line);
	MEM_GROW(l->items, l->n, l->cap);
	l->items[l->n++] = json_incref(value);
	return 0;
}

static int read_lines(struct lines *l)
{
	struct buf text = BUF_INIT(INPUT_MAX);
	int rc = read_input(&text);

	memset(l, 0, sizeof(*l));
	if (rc == 0)
		rc = json_lines(buf_str(&text), text.len, "standard input", keep_line, l);
	buf_release(&text);
	return rc;
}

static void lines_release(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		json_decref(l->items[i]);
	free(l->items);
}

static void print_line(json_t *value)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	json_add(&b, value);
	buf_addc(&b, '\n');
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	json_decref(value);
}

static json_t *with_id(const json_t *request, json_t *answer)
{
	json_t *id = json_object_get(request, "id");

	json_object_set_new(answer, "id", id ? json_incref(id) : json_null());
	return answer;
}

static void show(size_t n_done, void *arg)
{
	(void)arg;
	progress_at(n_done, NULL);
}

/* ---- score ------------------------------------------------------------------------------------------------------------------------ */

static int score_request(const json_t *line, size_t number, struct text_request *out)
{
	const char *text = json_get_text(line, "text", NULL);

	out->context = json_get_text(line, "context", text);
	out->continuation = json_get_text(line, "continuation", NULL);
	if (text && !out->continuation)
		return 0;
	if (!out->context || !out->continuation || text)
		return err_set(ERR_INPUT,
			       "standard input:%zu: {\"id\",\"context\",\"continuation\"} or {\"id\",\"text\"}",
			       number);
	return 0;
}

static int score_lines(struct engine *e, const struct lines *l)
{
	struct text_request *reqs = mem_array(l->n + 1, sizeof(*reqs));
	struct text_result *results = mem_array(l->n + 1, sizeof(*results));
	struct score_options options = engine_options(e);
	size_t n_cut = 0;
	int rc = 0;

	options.done = show;
	progress_begin("score", l->n, "requests");

	for (size_t i = 0; rc == 0 && i < l->n; i++)
		rc = score_request(l->items[i], i + 1, &reqs[i]);
	if (rc == 0)
		rc = score_texts(e->model, e->tokenizer, reqs, l->n, results, &options);
	progress_end();
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		json_t *a = json_pack("{s:f,s:i}", "logprob", results[i].logprob, "tokens", results[i].tokens);

		if (reqs[i].continuation)
			json_object_set_new(a, "greedy", json_boolean(results[i].greedy));
		if (results[i].cut)
			json_object_set_new(a, "cut", json_integer(results[i].cut));
		n_cut += results[i].cut > 0;
		print_line(with_id(l->items[i], a));
	}
	if (n_cut)
		log_warn("%zu of %zu contexts are longer than the %d tokens that the model takes: their first tokens "
			 "were "
			 "left out (\"cut\" says how many)",
			 n_cut, l->n, model_config(e->model)->context);
	free(reqs);
	free(results);
	return rc;
}

/* ---- generate --------------------------------------------------------------------------------------------------------------------- */

struct generation {
	int64_t max_tokens, seed, top_k;
	double temperature, top_p;
	struct opt_list stops;
};

/* {"prompt"} as it is; {"messages"} through the model's chat template. */
static int encode_line(const struct engine *e, const json_t *line, size_t number, struct tokens *ids)
{
	const char *prompt = json_get_text(line, "prompt", NULL);
	size_t prompt_len = json_string_length(json_object_get(line, "prompt"));
	const json_t *messages = json_object_get(line, "messages");
	struct buf text = BUF_INIT((size_t)1 << 26);
	int rc = 0;

	if (!prompt == !messages)
		rc = err_set(ERR_INPUT, "{\"id\",\"prompt\"} or {\"id\",\"messages\"} is wanted");
	else if (messages && !e->chat)
		rc = err_hint(err_set(ERR_INPUT, "the model has no chat template for messages"),
			      "add chat_template.jinja to its folder");
	else if (messages)
		rc = chat_render(e->chat, messages, false, &text);
	if (rc == 0 && buf_full(&text))
		rc = err_set(ERR_INPUT, "the chat template writes more than %zu MiB", text.max >> 20);
	if (rc == 0)
		rc = prompt ? engine_encode(e, prompt, prompt_len, ids)
			    : engine_encode(e, buf_str(&text), text.len, ids);
	buf_release(&text);
	return rc ? err_context(rc, "standard input:%zu", number) : 0;
}

/* A prompt keeps at least half of the context. */
static int new_tokens_default(const struct engine *e)
{
	int half = model_config(e->model)->context / 2;

	return half < 128 ? half : 128;
}

static int generate_lines(struct engine *e, const struct lines *l, const struct generation *how)
{
	struct generate_request *reqs = mem_array(l->n + 1, sizeof(*reqs));
	struct generate_result *results = mem_array(l->n + 1, sizeof(*results));
	struct tokens *ids = mem_array(l->n + 1, sizeof(*ids));
	const char **stops = mem_array(how->stops.n + 1, sizeof(*stops));
	struct score_options options = engine_options(e);
	int rc = 0, max_tokens = how->max_tokens ? (int)how->max_tokens : new_tokens_default(e);

	options.done = show;
	progress_begin("generate", l->n, "prompts");

	for (size_t i = 0; i < how->stops.n; i++)
		stops[i] = how->stops.items[i];
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		rc = encode_line(e, l->items[i], i + 1, &ids[i]);
		reqs[i] = (struct generate_request){ .ids = ids[i].ids,
						     .n = (int)ids[i].n,
						     .max_tokens = max_tokens,
						     .stops = stops,
						     .temperature = how->temperature,
						     .top_k = (int)how->top_k,
						     .top_p = how->top_p,
						     .seed = (uint64_t)how->seed + i };
	}
	if (rc == 0)
		rc = generate_run(e->model, e->tokenizer, reqs, l->n, results, &options);
	progress_end();
	for (size_t i = 0; i < l->n; i++) {
		if (rc == 0)
			print_line(
				with_id(l->items[i], json_pack("{s:o,s:i,s:s}", "text",
							       json_new_text(results[i].text, results[i].len), "tokens",
							       results[i].tokens, "finish", results[i].finish)));
		generate_result_release(&results[i]);
		tokens_release(&ids[i]);
	}
	free(stops);
	free(ids);
	free(results);
	free(reqs);
	return rc;
}

/* ---- the commands ------------------------------------------------------------------------------------------------------------------ */

static int on_model(const char *name, const char *device, int64_t threads, int64_t batch_tokens, const char *memory,
		    const struct generation *generation)
{
	struct backend *be = NULL;
	struct engine engine = { 0 };
	struct source source;
	struct lines lines = { 0 };
	uint64_t left = 0;
	int rc, batch = 0;

	if (batch_tokens < 1 || batch_tokens > 1 << 24)
		return err_set(ERR_USAGE, "--batch-tokens: 1 to 16777216");
	rc = source_open(&source, name);
	if (rc == 0)
		rc = backend_open(&be, device, (int)threads);
	if (rc == 0)
		rc = plan_batch(&batch, &left, source.dir.path, (int)batch_tokens, memory, be);
	if (rc == 0)
		rc = engine_open(&engine, source.dir.path, be, batch, NULL);
	engine.memory_bytes = left;
	if (rc == 0)
		rc = read_lines(&lines);
	if (rc == 0)
		rc = generation ? generate_lines(&engine, &lines, generation) : score_lines(&engine, &lines);
	lines_release(&lines);
	engine_close(&engine);
	backend_close(be);
	source_close(&source);
	return rc;
}

int cmd_score(int argc, char **argv)
{
	const char *device = "auto";
	const char *memory = NULL;
	int64_t threads = 0, batch_tokens = 4096;
	const struct opt opts[] = {
		OPT_INT(0, "batch-tokens", &batch_tokens, "N", "tokens scored at a time; changes no result"),
		OPT_TEXT(0, "device", &device, "DEV", "auto, cpu or cuda[:N][/CLASS]"),
		OPT_INT(0, "threads", &threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"score",
		"MODEL < requests.jsonl",
		"log-likelihoods of requests on standard input",
		"A line {\"id\",\"context\",\"continuation\"} gives {\"id\",\"logprob\",\"tokens\",\"greedy\"};\n"
		"a line {\"id\",\"text\"} gives the rolling log-likelihood of the text. \"cut\" counts the tokens at\n"
		"the beginning of a context that the model has no room for.\n\n"
		"  echo '{\"id\":1,\"context\":\"2 March 2024\",\"continuation\":\"2024-03-02\"}' | assay score "
		"dates@production",
		1,
		1
	};
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	return on_model(argv[0], device, threads, batch_tokens, memory, NULL);
}

int cmd_generate(int argc, char **argv)
{
	const char *device = "auto";
	const char *memory = NULL;
	int64_t threads = 0, batch_tokens = 4096;
	struct generation how = { .seed = 1234 };
	const struct opt opts[] = {
		OPT_INT(0, "max-tokens", &how.max_tokens, "N",
			"at most N new tokens a prompt (128, or half of the context)"),
		OPT_LIST(0, "stop", &how.stops, "TEXT", "cut before this text; may be given several times"),
		OPT_REAL(0, "temperature", &how.temperature, "T", "0: greedy (the default)"),
		OPT_INT(0, "top-k", &how.top_k, "N", "sample from the N likeliest tokens only"),
		OPT_REAL(0, "top-p", &how.top_p, "P", "sample from the likeliest tokens that sum up to P"),
		OPT_INT(0, "seed", &how.seed, "N", "of sampling"),
		OPT_INT(0, "batch-tokens", &batch_tokens, "N", "tokens at a time; changes no result"),
		OPT_TEXT(0, "device", &device, "DEV", "auto, cpu or cuda[:N][/CLASS]"),
		OPT_INT(0, "threads", &threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"generate",
		"MODEL < prompts.jsonl",
		"continuations of prompts on standard input",
		"A line {\"id\",\"prompt\"} or {\"id\",\"messages\"} gives {\"id\",\"text\",\"tokens\",\"finish\"}; "
		"finish is\nstop, eos or length.\n\n"
		"  echo '{\"id\":1,\"prompt\":\"2 March 2024\\n\"}' | assay generate dates@production --max-tokens 16",
		1,
		1
	};
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc == 0 && (how.max_tokens < 0 || how.max_tokens > 1 << 20))
		rc = err_set(ERR_USAGE, "--max-tokens: 0 (the default) to 1048576");
	if (rc == 0 && how.temperature < 0)
		rc = err_set(ERR_USAGE, "--temperature: 0 or more");
	if (rc == 0 && (how.top_k < 0 || how.top_k > 1 << 20))
		rc = err_set(ERR_USAGE, "--top-k: 0 (all) to 1048576");
	if (rc == 0 && !(how.top_p >= 0 && how.top_p <= 1))
		rc = err_set(ERR_USAGE, "--top-p: 0 (all) to 1");
	if (rc == 0)
		rc = on_model(argv[0], device, threads, batch_tokens, memory, &how);
	opt_list_release(&how.stops);
	return rc == OPT_HELPED ? 0 : rc;
}

/* ---- tokenize --------------------------------------------------------------------------------------------------------------------- */

/* One input, or one line of it (line from 1; 0: all of it). Nothing is printed of one that fails. */
typedef int tokenize_fn(const struct tokenizer *t, const char *text, size_t len, bool special, size_t line);

static int tokenize_encode(const struct tokenizer *t, const char *text, size_t len, bool special, size_t line)
{
	struct tokens ids = { 0 };
	int rc = tokenizer_encode(t, &ids, text, len, special);

	if (rc == 0) {
		putchar_unlocked('[');
		for (size_t i = 0; i < ids.n; i++) {
			char digits[12];
			int n = 0;

			if (i > 0)
				putchar_unlocked(',');
			for (int32_t id = ids.ids[i]; id || !n; id /= 10)
				digits[n++] = (char)('0' + id % 10);
			while (n > 0)
				putchar_unlocked(digits[--n]);
		}
		puts("]");
	} else if (line) {
		rc = err_context(rc, "standard input:%zu", line);
	}
	tokens_release(&ids);
	return rc;
}

static int tokenize_ids(struct tokens *ids, const json_t *list, const char *where)
{
	if (!json_is_array(list))
		return err_set(ERR_INPUT, "%s: an array of ids is wanted", where);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		json_int_t id = json_integer_value(v);

		if (!json_is_integer(v) || id < 0 || id > INT32_MAX)
			return err_set(ERR_INPUT, "%s: item %zu is not an id", where, i + 1);
		tokens_add(ids, (int32_t)id);
	}
	return 0;
}

static int tokenize_decode(const struct tokenizer *t, const char *text, size_t len, bool special, size_t line)
{
	char *where = line ? mem_printf("standard input:%zu", line) : mem_str("standard input");
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	struct tokens ids = { 0 };
	json_t *list = NULL;
	int rc = line ? json_parse_line(&list, text, len, "standard input", line)
		      : json_parse(&list, text, len, "standard input");

	if (rc == 0)
		rc = tokenize_ids(&ids, list, where);
	if (rc == 0) {
		tokenizer_decode(t, &out, ids.ids, ids.n, !special);
		fwrite(buf_str(&out), 1, out.len, stdout);
		if (line)
			putchar('\n');
	}
	json_decref(list);
	tokens_release(&ids);
	buf_release(&out);
	free(where);
	return rc;
}

static int tokenize_lines(const struct buf *text, tokenize_fn *each, const struct tokenizer *t, bool special)
{
	size_t at = 0, line = 0;
	int rc = 0;

	while (rc == 0 && at < text->len) {
		const char *nl = memchr(text->data + at, '\n', text->len - at);
		size_t n = nl ? (size_t)(nl - (text->data + at)) : text->len - at;

		rc = each(t, text->data + at, n, special, ++line);
		at += n + 1;
	}
	return rc;
}

int cmd_tokenize(int argc, char **argv)
{
	bool no_special = false, lines = false, decode = false, strict = false;
	struct buf text = BUF_INIT(INPUT_MAX);
	struct tokenizer *t = NULL;
	struct source source = { 0 };
	size_t bad = 0;
	int rc;
	const struct opt opts[] = {
		OPT_FLAG(0, "no-special", &no_special,
			 "without what the post-processor adds; --decode: with special tokens shown"),
		OPT_FLAG(0, "lines", &lines, "one array a line of input, the line feed dropped"),
		OPT_FLAG(0, "decode", &decode, "arrays of ids to text"),
		OPT_FLAG(0, "strict", &strict, "refuse invalid UTF-8 with its offset, instead of reading it as U+FFFD"),
		OPT_END,
	};
	const struct opt_usage usage = { "tokenize",
					 "MODEL < text",
					 "text to ids and back",
					 "  printf 'hello' | assay tokenize models/smol\n"
					 "  echo '[1,2,3]' | assay tokenize models/smol --decode",
					 1,
					 1 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (path_has_suffix(argv[0], ".json"))
		rc = tokenizer_load(&t, argv[0]);
	else if ((rc = source_open(&source, argv[0])) == 0)
		rc = tokenizer_load(&t, source.dir.path);
	if (rc == 0)
		rc = read_input(&text);
	if (rc == 0 && strict && !utf8_valid(buf_str(&text), text.len, &bad))
		rc = err_set(ERR_INPUT, "standard input: invalid UTF-8 at byte %zu", bad);
	if (rc == 0) {
		tokenize_fn *each = decode ? tokenize_decode : tokenize_encode;
		bool special = decode ? no_special : !no_special; /* --decode --no-special shows them */

		rc = lines ? tokenize_lines(&text, each, t, special) : each(t, buf_str(&text), text.len, special, 0);
	}
	tokenizer_free(t);
	buf_release(&text);
	source_close(&source);
	return rc;
}
