/* score_command.c: score: a program of the team's own says how good an answer is.
 *
 *	score:
 *	  command: [python3, score.py]    # no shell; runs in a folder that holds the inputs, and nothing else
 *	  inputs: [score.py]              # files it needs, by the names it knows them by; a part of the questions
 *	  metric: runs_ok                 # what the score is called
 *	  higher_is_better: true
 *	  timeout: 60                     # seconds for a block
 *
 * It reads a line a sample, {"id","doc","target","response"}, with "targets" where several are right and "responses" (as they
 * were written) where a text was asked for repeatedly; it prints a line a sample, {"id","score"}, in any order. Samples go in
 * blocks as they are answered, so a score must not depend on what else is in the block.
 *
 * The program is a question: its bytes come from where the task comes from, the target's tree, and are in the task's digest.
 * Where it may run, and how, is the runner's to say (struct command_host). The metric is no row of the table in metrics.c:
 * each task that has one makes its own. */
#include "base/base.h"

#include <math.h>

#include "evals/metric_int.h"

enum { WORDS_MAX = 64, INPUTS_MAX = 64, SHOWN = 10 };

#define INPUT_MAX ((size_t)64 << 20)
#define LINES_MAX ((size_t)1 << 30)   /* to the program */
#define OUTPUT_MAX ((size_t)16 << 20) /* from it, a block */

struct command_options {
	struct metric_kind kind;
	struct score_command command;
	char *name;
};

/* ---- the key score ------------------------------------------------------------------------------------------------ */

int score_command(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	(void)o;
	(void)out;
	return err_set(ERR_BUG, "score.command: a sample was scored alone");
}

bool metric_is_command(const struct task_metric *m)
{
	return m->kind->score == score_command;
}

static void options_free(void *options)
{
	struct command_options *s = options;

	for (size_t i = 0; i < s->command.n_words; i++)
		free(s->command.argv[i]);
	for (size_t i = 0; i < s->command.n_files; i++) {
		free(s->command.files[i].path);
		buf_release(&s->command.files[i].bytes);
	}
	free(s->command.argv);
	free(s->command.files);
	free(s->name);
	free(s);
}

static const struct metric_options command_options = { NULL, 0, NULL, options_free };

static int command_load(struct score_command *c, const struct source *src, json_t *at)
{
	json_t *list = NULL, *word;
	size_t i;
	int rc = yaml_get_array(src->y, at, "command", &list);

	if (rc)
		return rc;
	if (!list || !json_array_size(list) || json_array_size(list) > WORDS_MAX)
		return yaml_error(src->y, at, list ? "command" : NULL,
				  "score needs command: a program and its arguments, such as [python3, score.py]");
	c->argv = mem_array(json_array_size(list) + 1, sizeof(*c->argv));
	json_array_foreach(list, i, word)
	{
		if (!json_is_string(word) || (!i && !json_string_length(word)))
			return yaml_error(src->y, at, "command", "command: expected a list of texts");
		c->argv[c->n_words++] = mem_str(json_string_value(word));
	}
	return 0;
}

/* Reads one input; its digest goes into *digests. The folder has it by the name that the task gives it. */
static int input_load(struct score_command *c, const struct source *src, json_t *at, const char *name, json_t *digests)
{
	char *path = source_path(".", name), *used = NULL, hex[DIGEST_HEX];
	struct buf bytes;
	struct digest d;
	int rc;

	if (!path)
		return yaml_error(src->y, at, "inputs",
				  "inputs: \"%s\" would lie outside the folder of the command: name it without \"..\"",
				  name);
	rc = source_read(src->files, src->path, name, INPUT_MAX, &bytes, &used);
	if (rc) {
		free(path);
		return yaml_error(src->y, at, "inputs", "inputs: %s", err_text());
	}
	d = digest_bytes(buf_str(&bytes), bytes.len);
	digest_hex(hex, &d);
	json_object_set_new(digests, path, json_string(hex));
	c->files[c->n_files++] = (struct score_file){ path, bytes };
	free(used);
	return 0;
}

static int inputs_load(struct score_command *c, const struct source *src, json_t *at, json_t *digests)
{
	json_t *list = NULL, *name;
	size_t i;
	int rc = yaml_get_array(src->y, at, "inputs", &list);

	if (rc || !list)
		return rc;
	if (json_array_size(list) > INPUTS_MAX)
		return yaml_error(src->y, at, "inputs", "inputs: at most %d files", INPUTS_MAX);
	c->files = mem_array(json_array_size(list) + 1, sizeof(*c->files));
	json_array_foreach(list, i, name)
	{
		if (!json_is_string(name) || !json_string_length(name))
			return yaml_error(src->y, at, "inputs", "inputs: expected a list of files");
		rc = input_load(c, src, at, json_string_value(name), digests);
		if (rc)
			return rc;
	}
	return 0;
}

/* A rule is TASK.METRIC, a well-known name means what it means everywhere. */
static int name_check(const struct source *src, json_t *at, const char *name)
{
	bool binary;

	if (!name || !*name || strlen(name) > 60 ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return yaml_error(src->y, at, name ? "metric" : NULL,
				  "score needs metric: a name of up to 60 letters, digits, _ and -");
	if (metric_direction(name, &binary) != 0)
		return yaml_error(src->y, at, "metric", "metric %s is one that assay computes: choose another name",
				  name);
	return 0;
}

int score_command_load(struct task_metric *m, const struct source *src, enum output_type type)
{
	static const char *const known[] = { "command", "inputs", "timeout", "metric", "higher_is_better" };
	json_t *at = json_object_get(src->map, "score"), *digests = json_object();
	struct command_options *s = mem_alloc(sizeof(*s));
	const char *name = NULL;
	bool higher = true;
	int rc;

	*s = (struct command_options){ .command = { .timeout_s = 60 } };
	s->kind = (struct metric_kind){ .aggregation = "mean",
					.types = 1u << OUTPUT_GENERATE,
					.aggregate = AGGREGATE_MEAN,
					.score = score_command,
					.options = &command_options };
	*m = (struct task_metric){ .kind = &s->kind, .options = s };
	rc = json_is_object(at)
		     ? yaml_check_keys(src->y, at, "score", known, ARRAY_LEN(known))
		     : yaml_error(src->y, src->map, "score", "score: expected a mapping {command: […], metric: NAME}");
	if (!rc && type != OUTPUT_GENERATE)
		rc = yaml_error(src->y, src->map, "score",
				"score: a command scores what a model wrote: only generate_until has such answers");
	rc = rc ? rc : yaml_get_text(src->y, at, "metric", &name);
	rc = rc ? rc : name_check(src, at, name);
	rc = rc ? rc : yaml_get_flag(src->y, at, "higher_is_better", &higher);
	rc = rc ? rc : yaml_get_real(src->y, at, "timeout", 1, 86400, &s->command.timeout_s);
	rc = rc ? rc : command_load(&s->command, src, at);
	rc = rc ? rc : inputs_load(&s->command, src, at, digests);
	s->name = mem_str(name ? name : "");
	s->kind.name = s->name;
	s->kind.higher_is_better = higher;
	m->asked = json_pack("{s:O*,s:o,s:b}", "command", json_object_get(at, "command"), "inputs", digests,
			     "higher_is_better", higher);
	return rc;
}

/* ---- a block ------------------------------------------------------------------------------------------------------ */

static json_t *text_json(const char *s, size_t len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	json_t *v;

	utf8_repair(&text, s, len);
	v = json_new_text(buf_str(&text), text.len);
	buf_release(&text);
	return v;
}

void commanded_add(struct commanded *c, const struct task_metric *m, const struct outcome *o, const struct text *texts,
		   size_t n_texts, const struct doc *d, size_t slot, size_t metric)
{
	json_t *line = json_pack("{s:o,s:O,s:o,s:o}", "id", json_new_text(d->id, strlen(d->id)), "doc", d->value,
				 "target", text_json(o->in->targets[0], strlen(o->in->targets[0])), "response",
				 text_json(o->text, o->len));
	json_t *responses = json_array(), *targets = json_array();
	struct buf text = BUF_INIT(BUF_NOLIMIT);

	for (size_t i = 0; i < n_texts; i++)
		json_array_append_new(responses, text_json(texts[i].s, texts[i].len));
	for (size_t i = 0; i < o->in->n_targets; i++)
		json_array_append_new(targets, text_json(o->in->targets[i], strlen(o->in->targets[i])));
	if (n_texts > 1)
		json_object_set(line, "responses", responses);
	if (o->in->n_targets > 1)
		json_object_set(line, "targets", targets);
	json_add(&text, line);
	buf_addc(&text, '\n');
	MEM_GROW(c->items, c->n, c->cap);
	c->items[c->n++] = (struct commanded_item){ m, d->id, buf_take(&text), slot, metric, false };
	json_decref(responses);
	json_decref(targets);
	json_decref(line);
}

void commanded_clear(struct commanded *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->items[i].line);
	free(c->items);
	*c = (struct commanded){ 0 };
}

struct scoring { /* of the items first to first + n, of one metric and filter */
	struct commanded_item **items;
	size_t n;
	struct map ids;
	struct task_result *r;
};

static int line_read(struct scoring *s, const char *line, size_t len, size_t number)
{
	json_t *v = NULL;
	const json_t *id, *score;
	int64_t at = 0;
	int rc = json_parse_line(&v, line, len, "its output", number);

	if (rc)
		return err_hint(rc, "it prints lines {\"id\": …, \"score\": …} and nothing else; NaN is no JSON");
	id = json_object_get(v, "id");
	score = json_object_get(v, "score");
	if (!json_is_string(id))
		rc = err_set(ERR_INPUT, "its output:%zu: no \"id\" that is a text", number);
	else if (!map_get(&s->ids, json_string_value(id), json_string_length(id), &at))
		rc = err_set(ERR_INPUT, "its output:%zu: no sample \"%.60s\" was asked for", number,
			     json_string_value(id));
	else if (!json_is_number(score) || !isfinite(json_number_value(score)))
		rc = err_set(ERR_INPUT, "its output:%zu: sample %s: \"score\" is no finite number", number,
			     s->items[at]->id);
	else if (s->items[at]->scored)
		rc = err_set(ERR_INPUT, "its output:%zu: sample %s is scored twice", number, s->items[at]->id);
	if (!rc) {
		s->items[at]->scored = true;
		s->r->metrics[s->items[at]->metric].scores[s->items[at]->slot] = json_number_value(score);
	}
	json_decref(v);
	return rc;
}

static int missing_check(const struct scoring *s)
{
	struct buf ids = BUF_INIT(4096);
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!s->items[i]->scored && n++ < SHOWN)
			buf_addf(&ids, "%s%.60s", n > 1 ? ", " : "", s->items[i]->id);
	if (n)
		err_set(ERR_INPUT, "it scored %zu of %zu samples; without a score: %s%s", s->n - n, s->n, buf_str(&ids),
			n > SHOWN ? ", …" : "");
	buf_release(&ids);
	return n ? ERR_INPUT : 0;
}

static int output_read(struct scoring *s, const struct buf *out)
{
	const char *p = buf_str(out), *end = p + out->len;
	size_t number = 0;
	int rc = 0;

	if (buf_full(out))
		return err_set(ERR_INPUT, "it printed more than %zu MiB", OUTPUT_MAX >> 20);
	while (p < end && !rc) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t len = stop ? (size_t)(stop - p) : (size_t)(end - p);

		number++;
		if (len && !(len == 1 && *p == '\r'))
			rc = line_read(s, p, len, number);
		p += len + (stop != NULL);
	}
	return rc ? rc : missing_check(s);
}

/* All of one metric behind one filter. */
static int run_one(const struct commanded *c, const struct command_host *host, size_t metric, struct task_result *r)
{
	struct scoring s = { .items = mem_array(c->n, sizeof(*s.items)), .r = r };
	struct buf in = BUF_INIT(LINES_MAX), out = BUF_INIT(OUTPUT_MAX);
	const struct task_metric *m = NULL;
	int rc = 0;

	map_init(&s.ids);
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].metric == metric) {
			m = c->items[i].m;
			map_put(&s.ids, c->items[i].id, strlen(c->items[i].id), (int64_t)s.n);
			s.items[s.n++] = &c->items[i];
			buf_adds(&in, c->items[i].line);
		}
	if (m && buf_full(&in))
		rc = err_set(ERR_INPUT, "a block of samples is larger than %zu MiB", LINES_MAX >> 20);
	else if (m)
		rc = host->run(host->self, &((const struct command_options *)m->options)->command, buf_str(&in), in.len,
			       &out);
	if (m && !rc)
		rc = output_read(&s, &out);
	if (rc)
		err_context(rc, "task %s, score.command %s", r->task,
			    ((const struct command_options *)m->options)->command.argv[0]);
	map_release(&s.ids);
	buf_release(&in);
	buf_release(&out);
	free(s.items);
	return rc;
}

int commanded_flush(struct commanded *c, const struct command_host *host, struct task_result *r)
{
	int rc = 0;

	for (size_t k = 0; k < r->n_metrics && c->n && !rc; k++)
		rc = run_one(c, host, k, r);
	commanded_clear(c);
	return rc;
}

bool suite_has_command(const struct suite *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->tasks[i].n_metrics; k++)
			if (metric_is_command(&s->tasks[i].metrics[k]))
				return true;
	return false;
}

int commands_allowed(const struct suite *s, const struct command_host *host)
{
	if (!suite_has_command(s))
		return 0;
	if (!host)
		return err_set(ERR_ENV, "suite %s is scored by a command, and none is run here", s->name);
	return host->ready(host->self) ? err_context(ERR_ENV, "suite %s", s->name) : 0;
}
