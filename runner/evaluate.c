/* evaluate.c: suites on a stored model, from the registry where they are known, by running where not.
 *
 * The key of an evaluation is everything that can change a score: the model's object (weights and tokenizer), the
 * product's prompt, the questions, the numerics class and the limit. Scores do not depend on the batch (model.h), so the
 * batch is no part of it. The model stays loaded between the suites of one run.
 *
 * An evaluation that is not whole has a key of its own, so it never passes for a whole one. Whoever needs the whole one finds
 * it there, too, and asks only what is missing (parts.c). */
#include "base/base.h"
#include "model/model.h"
#include "runner/eval_keep.h"
#include "runner/evaluate.h"
#include "runner/jury.h"
#include "runner/parts.h"
#include "runner/plan_memory.h"
#include "runner/runner.h"
#include "runner/remote.h"
#include "runner/samples_store.h"
#include "runner/served.h"

#include <math.h>

#define SAMPLES_MAX ((size_t)1 << 32)

/* ---- the local engine as a scorer ------------------------------------------------------------------------------------------ */

int engine_open(struct engine *e, const char *dir, struct backend *be, int batch_tokens, const char *prompt)
{
	struct model_config config;
	int rc;

	memset(e, 0, sizeof(*e));
	e->batch_tokens = batch_tokens;
	e->prompt = prompt ? prompt : "";
	rc = tokenizer_load(&e->tokenizer, dir);
	if (rc == 0)
		rc = chat_open(&e->chat, dir);
	if (rc == 0)
		rc = model_folder_config(&config, dir);
	if (rc == 0)
		rc = model_config_check_tokenizer(&config, e->tokenizer, dir);
	if (rc == 0)
		rc = model_load(&e->model, dir, be, NULL);
	if (rc)
		engine_close(e);
	return rc;
}

void engine_close(struct engine *e)
{
	model_free(e->model);
	tokenizer_free(e->tokenizer);
	chat_free(e->chat);
	memset(e, 0, sizeof(*e));
}

struct score_options engine_options(const struct engine *e)
{
	return (struct score_options){ .batch_tokens = e->batch_tokens, .memory_bytes = e->memory_bytes };
}

/* The product's prompt stands in front of every context; a rolling text is scored as it is. */
static int engine_loglik(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			 const struct scorer_watch *watch)
{
	struct engine *e = self;
	struct text_request *texts = mem_array(n, sizeof(*texts));
	struct text_result *results = mem_array(n, sizeof(*results));
	struct score_options how = engine_options(e);
	char **made = mem_array(n, sizeof(*made));
	int rc;

	how.done = watch->call;
	how.arg = watch->arg;
	for (size_t i = 0; i < n; i++) {
		if (*e->prompt && reqs[i].continuation && !reqs[i].chat)
			made[i] = mem_printf("%s%s", e->prompt, reqs[i].context);
		texts[i] = (struct text_request){ made[i] ? made[i] : reqs[i].context, reqs[i].continuation };
	}
	rc = score_texts(e->model, e->tokenizer, texts, n, results, &how);
	for (size_t i = 0; i < n; i++) {
		if (rc == 0) {
			out[i] = (struct loglik_result){ results[i].logprob, results[i].tokens, results[i].greedy,
							 results[i].seconds };
			e->n_cut += results[i].cut > 0;
		}
		free(made[i]);
	}
	free(made);
	free(texts);
	free(results);
	return rc;
}

int engine_encode(const struct engine *e, const char *text, size_t len, struct tokens *ids)
{
	return tokenizer_encode(e->tokenizer, ids, text, len, !e->chat || !chat_begins(e->chat, text));
}

/* A template that takes no system's message is asked without (so does the harness), unless that would drop the product's
 * prompt. */
static int engine_chat(void *self, const json_t *messages, bool continues, struct buf *out)
{
	struct engine *e = self;
	json_t *all = chat_prompted(messages, e->prompt);
	bool system = strcmp(json_get_text(json_array_get(messages, 0), "role", ""), "system") == 0;
	size_t before = out->len;
	int rc;

	rc = chat_render(e->chat, all, continues, out);
	if (rc == ERR_INPUT && system && !*e->prompt) {
		struct err_saved saved = err_save();

		json_array_remove(all, 0);
		out->len = before;
		if (chat_render(e->chat, all, continues, out) == 0) {
			if (!e->warned)
				log_warn("the chat template takes no system message: it is left out (%s)", saved.text);
			e->warned = true;
			rc = 0;
		}
		err_restore(&saved);
		if (rc == 0)
			err_clear();
	}
	if (rc == ERR_INPUT && *e->prompt)
		err_hint(rc, "the product's prompt is the system's message of a conversation");
	json_decref(all);
	return rc;
}

static int encode_prompt(const struct engine *e, const char *prompt, bool chat, int max_tokens, struct tokens *ids,
			 size_t *skip)
{
	int context = model_config(e->model)->context;
	char *text = mem_printf("%s%s", chat ? "" : e->prompt, prompt);
	int rc = engine_encode(e, text, strlen(text), ids);

	free(text);
	if (rc)
		return rc;
	if (max_tokens >= context)
		return err_hint(err_set(ERR_INPUT, "%d tokens are to be generated and the context holds %d", max_tokens,
					context),
				"lower max_gen_toks of the task, or --max-tokens: the prompt needs some room, too");
	*skip = ids->n > (size_t)(context - max_tokens) ? ids->n - (size_t)(context - max_tokens)
							: 0; /* from the left */
	return 0;
}

static int engine_generate(void *self, const struct generate_until *reqs, size_t n, struct generated *out,
			   const struct scorer_watch *watch)
{
	struct engine *e = self;
	struct generate_request *g = mem_array(n, sizeof(*g));
	struct generate_result *results = mem_array(n, sizeof(*results));
	struct score_options how = engine_options(e);
	struct tokens *ids = mem_array(n, sizeof(*ids));
	int rc = 0;

	how.done = watch->call;
	how.arg = watch->arg;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t skip = 0;

		rc = encode_prompt(e, reqs[i].prompt, reqs[i].chat, reqs[i].max_tokens, &ids[i], &skip);
		g[i] = (struct generate_request){ .ids = ids[i].ids + skip,
						  .n = (int)(ids[i].n - skip),
						  .max_tokens = reqs[i].max_tokens,
						  .stops = reqs[i].until,
						  .temperature = reqs[i].temperature,
						  .top_k = reqs[i].top_k,
						  .top_p = reqs[i].top_p,
						  .seed = reqs[i].seed };
		e->n_cut += skip > 0;
	}
	if (rc == 0)
		rc = generate_run(e->model, e->tokenizer, g, n, results, &how);
	for (size_t i = 0; i < n; i++) {
		if (rc == 0) {
			out[i] = (struct generated){ results[i].text, results[i].len, results[i].tokens,
						     results[i].seconds };
			results[i].text = NULL;
		}
		generate_result_release(&results[i]);
		tokens_release(&ids[i]);
	}
	free(ids);
	free(results);
	free(g);
	return rc;
}

struct scorer engine_scorer(struct engine *e)
{
	return (struct scorer){ e, engine_loglik, engine_generate, e->chat ? engine_chat : NULL };
}

/* ---- one suite on one stored model ------------------------------------------------------------------------------------------ */

/* The numerics class of an object's scores: this run's own, of a server, or of the back end here. */
static void object_numerics(struct buf *out, const struct run *run, const char *object)
{
	char *model = NULL;

	if (strcmp(object, run->object) == 0 && *run->object)
		buf_adds(out, run->numerics);
	else if (served_is(run->home->store, object, &model))
		buf_addf(out, "served:%.100s", model);
	else if (!run->location)
		buf_adds(out, run->numerics);
	else if (run->backend) /* opened for a baseline that is here (rescore.c) */
		buf_adds(out, run->backend->numerics);
	free(model);
}

uint64_t evaluate_seed(const struct run *run)
{
	return 1234 + (uint64_t)run->options->replicate;
}

static void key_of(const char *kind, const struct run *run, const struct run_suite *s, const char *object,
		   const char *prompt_oid, char key[DIGEST_HEX])
{
	struct digest_ctx *ctx = digest_new();
	struct digest d;
	struct buf numerics = BUF_INIT(256);
	char limit[96];

	object_numerics(&numerics, run, object);
	snprintf(limit, sizeof(limit), "%.17g", run_limit(run));
	if (run->options->replicate) /* other random numbers, other answers of a task that samples */
		snprintf(limit, sizeof(limit), "%.17g replicate %lld", run_limit(run),
			 (long long)run->options->replicate);
	digest_text(ctx, kind);
	digest_text(ctx, object);
	digest_text(ctx, prompt_oid);
	digest_text(ctx, s->questions);
	digest_text(ctx, buf_str(&numerics));
	digest_text(ctx, limit);
	buf_release(&numerics);
	d = digest_end(ctx);
	digest_hex(key, &d);
}

void evaluate_key(const struct run *run, const struct run_suite *s, const char *object, const char *prompt_oid,
		  char key[DIGEST_HEX])
{
	key_of("eval-1", run, s, object, prompt_oid, key);
}

void evaluate_key_part(const struct run *run, const struct run_suite *s, const char *object, const char *prompt_oid,
		       char key[DIGEST_HEX])
{
	key_of("eval-part-1", run, s, object, prompt_oid, key);
}

double run_limit(const struct run *run)
{
	return run->options->limit > 0 ? run->options->limit : run->profile ? (double)run->profile->limit : 0;
}

int evaluate_limit_check(double limit)
{
	if (limit >= 0 && limit <= 1e15 && (limit < 1 || limit == floor(limit)))
		return 0;
	return err_set(ERR_USAGE, "--limit: a whole number of samples a task (0: all), or a share of them below 1");
}

void evaluate_limit_ask(struct suite_options *how, double limit)
{
	how->share = limit < 1 ? limit : 0;
	how->limit = limit < 1 ? 0 : (int64_t)limit;
}

char *evaluate_limit_text(double limit)
{
	return limit < 1 ? mem_printf("%.6g of each task's samples", limit)
			 : mem_printf("at most %.0f samples a task", limit);
}

json_t *evaluate_limit_json(double limit)
{
	return limit > 0 && limit < 1 ? json_real(limit) : json_integer((json_int_t)limit);
}

int evaluate_read(struct run *run, const json_t *stage, struct task_result **tasks, size_t *n)
{
	json_t *list = json_object_get(stage, "tasks"), *row;
	size_t i;

	*tasks = mem_array(json_array_size(list) + 1, sizeof(**tasks));
	*n = 0;
	json_array_foreach(list, i, row)
	{
		int rc = samples_open(&(*tasks)[*n], run->home->store, json_get_text(row, "object", ""), true);

		if (rc)
			return rc;
		++*n;
	}
	return 0;
}

int evaluate_store(struct run *run, const struct suite_result *result, size_t cut, json_t **stage)
{
	json_t *list = json_array();
	bool whole = true;

	for (size_t i = 0; i < result->n; i++) {
		struct buf text = BUF_INIT(SAMPLES_MAX);
		char hex[DIGEST_HEX];
		json_t *row;
		int rc;

		if (!result->tasks[i].n || (run->options->shards && result->tasks[i].n_members))
			continue; /* not in this part; a group is made of the whole */
		task_result_pack(&result->tasks[i], &text);
		rc = buf_full(&text) ? err_set(ERR_INPUT, "task %s: too many samples", result->tasks[i].task)
				     : store_put(run->home->store, buf_str(&text), text.len, hex);
		buf_release(&text);
		row = json_pack("{s:s,s:s,s:I,s:s}", "task", result->tasks[i].task, "filter", "none", "n",
				(json_int_t)result->tasks[i].n, "object", rc ? "" : hex);
		json_array_append_new(list, row);
		rc = rc ? rc : samples_times_put(row, &result->tasks[i], run->home->store);
		if (rc) {
			json_decref(list);
			return rc;
		}
		if (*result->tasks[i].order) /* n of n_total: to be completed */
			json_object_set_new(row, "n_total", json_integer((json_int_t)result->tasks[i].n_total));
		whole = whole && !*result->tasks[i].order;
	}
	*stage = json_pack("{s:o}", "tasks", list);
	if (!whole)
		json_object_set_new(*stage, "part", json_true());
	if (cut)
		json_object_set_new(*stage, "cut", json_integer((json_int_t)cut));
	return 0;
}

/* The model that is loaded, kept between the suites of a run. */
struct loaded {
	char object[DIGEST_HEX];
	struct model_dir dir;
	struct engine engine;
	struct remote *remote; /* of a model that is served; then there is no engine */
};

static int load(struct run *run, const char *object, const char *prompt)
{
	struct loaded *l = run->loaded;
	int rc;

	if (l && strcmp(l->object, object) == 0) {
		l->engine.prompt = prompt; /* the baseline may be the same weights behind another prompt */
		if (l->remote)
			remote_prompt(l->remote, prompt);
		return 0;
	}
	evaluate_close(run);
	l = run->loaded = mem_alloc(sizeof(*l));
	if (run->location && strcmp(object, run->object) == 0) {
		rc = remote_open(&l->remote, run->location, store_home(run->home->store));
		if (rc == 0) {
			remote_prompt(l->remote, prompt);
			snprintf(l->object, sizeof(l->object), "%s", object);
		}
		return rc;
	}
	rc = model_dir_of_object(&l->dir, run->home, object);
	if (rc == 0)
		rc = run_backend(run);
	if (rc == 0)
		rc = engine_open(&l->engine, l->dir.path, run->backend,
				 run->batch_tokens ? run->batch_tokens : (int)run->options->batch_tokens, prompt);
	l->engine.memory_bytes = plan_memory_left(run);
	if (rc == 0)
		snprintf(l->object, sizeof(l->object), "%s", object);
	return rc;
}

int evaluate_load(struct run *run, const char *object, const char *prompt, struct scorer *scorer)
{
	int rc = load(run, object, prompt);

	if (rc)
		return rc;
	run->loaded->engine.n_cut = 0;
	*scorer = run->loaded->remote ? remote_scorer(run->loaded->remote) : engine_scorer(&run->loaded->engine);
	return 0;
}

void evaluate_answered(struct run *run)
{
	if (run->loaded && run->loaded->remote)
		remote_forget(run->loaded->remote);
}

size_t evaluate_cut(struct run *run)
{
	struct loaded *l = run->loaded;
	size_t n = !l ? 0 : l->remote ? remote_cut(l->remote) : (size_t)l->engine.n_cut;

	if (l)
		l->engine.n_cut = 0;
	return n;
}

void evaluate_close(struct run *run)
{
	if (!run->loaded)
		return;
	remote_close(run->loaded->remote);
	engine_close(&run->loaded->engine);
	model_dir_close(&run->loaded->dir);
	free(run->loaded);
	run->loaded = NULL;
}

/* Samples on their way are kept beside the work of trainings: an own file for each key, shard and trust class. */
int evaluate_keep(struct keep **out, const struct run *run, const struct run_suite *s, const char *object,
		  const char *prompt_oid)
{
	char key[DIGEST_HEX], shard[32] = "", *path;
	int rc;

	evaluate_key(run, s, object, prompt_oid, key);
	if (run->options->shards)
		snprintf(shard, sizeof(shard), "-%d-%d", run->options->shard, run->options->shards);
	path = mem_printf("%s/work/%s-eval-%s%s", store_home(run->home->store),
			  run->options->fresh ? "reproduce" : trust_name(run->event.trust), key, shard);
	rc = keep_open(out, path, key);
	free(path);
	return rc;
}

void evaluate_forget(struct task_result **tasks, size_t *n)
{
	for (size_t i = 0; *tasks && i < *n; i++)
		task_result_release(&(*tasks)[i]);
	free(*tasks);
	*tasks = NULL;
	*n = 0;
}

int evaluate_known(struct run *run, struct run_suite *s, const char *object, const char *prompt_oid,
		   struct task_result **tasks, size_t *n, json_t **stage)
{
	char key[DIGEST_HEX];
	json_t *row = NULL;
	int rc = ERR_NOTFOUND;

	evaluate_key(run, s, object, prompt_oid, key);
	if (!run->options->fresh)
		rc = registry_stage(run->home->registry, "eval", key, run->event.trust, &row);
	if (rc == 0) {
		*stage = json_incref(json_object_get(row, "output"));
		rc = evaluate_read(run, *stage, tasks, n);
	}
	if (rc == ERR_IO || (rc == ERR_NOTFOUND && *stage)) { /* lost or damaged samples are made again */
		if (strcmp(s->lost, key) != 0)                /* it is asked for more than once */
			log_warn("suite %s: %s", suite_name(s->suite), err_text());
		snprintf(s->lost, sizeof(s->lost), "%s", key);
		evaluate_forget(tasks, n);
		json_decref(*stage);
		*stage = NULL;
		rc = ERR_NOTFOUND;
	}
	json_decref(row);
	return rc;
}

/* From the first sample on, or from where a killed process stopped. */
static int run_suite(struct run *run, struct run_suite *s, const struct parts_model *m, json_t **stage)
{
	struct suite_options how = { .seed = evaluate_seed(run),
				     .judge = judges_for(run->judges),
				     .commands = run->commands };
	struct suite_result *result = NULL;
	struct keep *keep = NULL;
	struct scorer scorer;
	int rc = evaluate_load(run, m->object, m->prompt, &scorer);

	rc = rc ? rc : evaluate_keep(&keep, run, s, m->object, m->prompt_oid);
	if (rc)
		return rc;
	how.keep = keep_for(keep);
	evaluate_limit_ask(&how, run_limit(run));
	rc = suite_run(&result, s->suite, &scorer, &how);
	s->resumed = keep_restored(keep) > 0;
	if (rc == 0)
		rc = evaluate_store(run, result, evaluate_cut(run), stage);
	keep_close(keep, rc == 0);
	if (rc == 0)
		evaluate_answered(run);
	suite_result_free(result);
	return rc;
}

int evaluate_object(struct run *run, struct run_suite *s, const char *object, const char *prompt_oid,
		    const char *prompt, struct task_result **tasks, size_t *n, json_t **stage, bool *reused,
		    bool may_run)
{
	const struct parts_model m = { object, prompt_oid, prompt };
	int rc = evaluate_known(run, s, object, prompt_oid, tasks, n, stage);

	*reused = rc == 0;
	if (rc != ERR_NOTFOUND || !may_run)
		return rc;
	err_clear();
	rc = parts_join(run, s, &m, stage);
	if (rc == 0 && !*stage)
		rc = run_suite(run, s, &m, stage);
	if (rc == 0)
		rc = evaluate_read(run, *stage, tasks, n); /* what the gate sees is what is stored */
	return rc;
}
