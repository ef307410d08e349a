/* remote.c: a server at a named location answers a suite: many requests in flight, none lost, none counted twice.
 *
 * The window is how many requests are in flight: it begins at the location's in_flight, is halved when the server says that
 * it has too much (429, 503), at most once for what was sent before that, and grows by one with every windowful of answers.
 * Retry-After stops all sending for so long. A request that failed in a way that may pass (no answer, 408, 429, 5xx, JSON that
 * ends early) is sent again after a growing pause. Two bounds end that: attempts at one request, and a budget of retries for
 * all, which every answer fills a little; so a server that fails now and then is survived, and one that is down is told
 * within minutes.
 *
 * Equal requests of one call are sent once. Each answer is appended to a file of the home as it comes, under the digest of
 * its request, and is not asked for again: a suite that was interrupted goes on where it was. The file goes when the suite
 * is through, or is a day old: the model behind a server may be another one tomorrow. A torn last line is dropped. */
#include "runner/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/http.h"
#include "runner/chat.h"
#include "runner/remote_int.h"
#include "runner/runner.h"

enum { CONTEXT_LEAST = 8, CONTEXT_MOST = 1 << 24, CONTEXT_WAIT_S = 10 };
enum { ANSWER_MAX = 32 << 20, KEPT_MAX = 1 << 30, KEPT_SECONDS = 86400, MESSAGE_MAX = 300 };
#define PAUSE_FIRST_S 0.5
#define PAUSE_MAX_S 30.0
#define PAUSE_ASKED_MAX_S 600.0
#define REFILL 0.1 /* of a retry, by every answer */

struct remote {
	const struct location *l;
	char *url, *secret;                 /* secret NULL: none is sent */
	const char *prompt;                 /* the product's; "": none */
	struct remote_tokenizer *tokenizer; /* NULL: what is scored goes as text */
	bool for_good;                      /* answers are kept */
	struct http_pool *pool;
	int kept_fd; /* -1: nothing is kept */
	char *kept_path;
	json_t *kept; /* digest of a request -> its answer */
	double window, budget, pause_until, cut_at;
	int context;        /* tokens that the server takes; 0: not known */
	bool asked_context; /* whatever came of it */
	size_t n_cut;       /* since remote_cut() */
	struct rng rng;
	struct remote_count count;
};

enum job_state { JOB_WAITS, JOB_FLIES, JOB_DONE };
struct job {
	struct ask ask;
	char *body;
	size_t len;
	char digest[DIGEST_HEX];
	int64_t same; /* an earlier job with the same request; -1: none */
	enum job_state state;
	int attempts;
	double not_before, sent_at;
	json_t *answer;
};
struct jobs {
	struct job *items;
	size_t n, cap, done, fresh; /* fresh: the first that was never sent */
	size_t asked;               /* what they are for: n_done of so many is told */
	const struct scorer_watch *watch;
};

/* ---- kept answers ------------------------------------------------------------------------------------------------ */

static int kept_line(json_t *v, size_t line, void *arg)
{
	struct remote *r = arg;
	const char *digest = json_get_text(v, "request", NULL);

	(void)line;
	if (digest && json_is_object(json_object_get(v, "answer")))
		json_object_set(r->kept, digest, json_object_get(v, "answer"));
	return 0;
}

/* What is whole in the file; the rest of it is cut off, so that what is appended stands on lines of its own. */
static int kept_read(struct remote *r)
{
	struct buf text = BUF_INIT(KEPT_MAX);
	int rc = fs_read(&text, r->kept_path, KEPT_MAX);
	const char *end;
	size_t len;

	if (rc)
		return rc;
	end = text.len ? memrchr(text.data, '\n', text.len) : NULL;
	len = end ? (size_t)(end - text.data) + 1 : 0;
	if (json_lines(buf_str(&text), len, r->kept_path, kept_line, r)) { /* not ours: begin anew */
		err_clear();
		json_object_clear(r->kept);
		len = 0;
	}
	buf_release(&text);
	return ftruncate(r->kept_fd, (off_t)len) ? err_errno(ERR_IO, "%s", r->kept_path) : 0;
}

static int kept_open(struct remote *r, const char *home)
{
	struct digest_ctx *c = digest_new();
	struct digest d;
	char hex[DIGEST_HEX], *dir = path_join(home, r->for_good ? "judged" : "work"), name[64];
	struct stat st;
	int rc = fs_mkdirs(dir);

	digest_text(c, r->url);
	digest_text(c, r->l->model);
	d = digest_end(c);
	digest_hex(hex, &d);
	snprintf(name, sizeof(name), "remote-%.16s.jsonl", hex);
	r->kept_path = path_join(dir, name);
	free(dir);
	if (rc)
		return rc;
	r->kept_fd = open(r->kept_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (r->kept_fd < 0)
		return err_errno(ERR_IO, "%s", r->kept_path);
	if (flock(r->kept_fd, LOCK_EX | LOCK_NB))
		return err_set(ERR_BUSY, "another process is asking location %s", r->l->name);
	if (!r->for_good && fstat(r->kept_fd, &st) == 0 && time(NULL) - st.st_mtime > KEPT_SECONDS)
		return ftruncate(r->kept_fd, 0) ? err_errno(ERR_IO, "%s", r->kept_path) : 0;
	return kept_read(r);
}

static int kept_add(struct remote *r, const struct job *job)
{
	struct buf line = BUF_INIT(BUF_NOLIMIT);
	json_t *v;
	ssize_t n;

	if (r->kept_fd < 0)
		return 0;
	v = json_pack("{s:s,s:O}", "request", job->digest, "answer", job->answer);
	json_add(&line, v);
	buf_addc(&line, '\n');
	json_decref(v);
	n = write(r->kept_fd, line.data, line.len);
	if (n >= 0 && (size_t)n < line.len)
		errno = ENOSPC;
	n = n >= 0 && (size_t)n == line.len ? 0 : -1;
	buf_release(&line);
	return n ? fs_failed(ERR_IO, r->kept_path, 0, "%s", r->kept_path) : 0;
}

void remote_forget(struct remote *r)
{
	if (r->kept_fd >= 0)
		fs_remove(r->kept_path);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int open_remote(struct remote **out, const struct location *l, const char *home, bool for_good)
{
	struct remote *r = mem_alloc(sizeof(*r));
	const char *secret = l->key ? getenv(l->key) : NULL;
	int rc = 0;

	*out = NULL;
	*r = (struct remote){ .l = l,
			      .prompt = "",
			      .for_good = for_good,
			      .kept_fd = -1,
			      .kept = json_object(),
			      .context = l->context,
			      .window = l->in_flight,
			      .budget = l->retries };
	r->url = mem_printf("%s%s", l->url, api_path(l));
	rng_seed(&r->rng, 1, 0);
	if (getenv("ASSAY_OFFLINE"))
		rc = err_set(ERR_UNAVAILABLE, "location %s is asked over the network, and ASSAY_OFFLINE is set",
			     l->name);
	else if (l->key && (!secret || !*secret))
		rc = err_set(ERR_UNAVAILABLE, "location %s: the variable %s, which holds its secret, is not set",
			     l->name, l->key);
	else if (secret && strpbrk(secret, "\r\n"))
		rc = err_set(ERR_UNAVAILABLE, "location %s: the secret in %s has more than one line", l->name, l->key);
	r->secret = mem_str(secret);
	if (!rc && l->tokenizer)
		rc = remote_tokenizer_open(&r->tokenizer, l);
	rc = rc ? rc : http_pool_open(&r->pool);
	rc = rc || !home ? rc : kept_open(r, home);
	if (rc)
		remote_close(r);
	else
		*out = r;
	return rc;
}

int remote_open(struct remote **out, const struct location *l, const char *home)
{
	return open_remote(out, l, home, false);
}

int remote_open_kept(struct remote **out, const struct location *l, const char *home)
{
	return open_remote(out, l, home, true);
}

void remote_close(struct remote *r)
{
	if (!r)
		return;
	http_pool_close(r->pool);
	if (r->kept_fd >= 0)
		close(r->kept_fd);
	if (r->secret)
		explicit_bzero(r->secret, strlen(r->secret));
	free(r->secret);
	remote_tokenizer_close(r->tokenizer);
	free(r->url);
	free(r->kept_path);
	json_decref(r->kept);
	free(r);
}

struct remote_count remote_count(const struct remote *r)
{
	return r->count;
}

size_t remote_cut(struct remote *r)
{
	size_t n = r->n_cut;

	r->n_cut = 0;
	return n;
}

/* ---- the server's context ---------------------------------------------------------------------------------------- */

/* vLLM's list of models says how many tokens each takes: max_model_len. */
static int context_said(const struct remote *r, const struct http_response *got)
{
	json_t *root = NULL, *model;
	int64_t said = 0;
	size_t i;

	if (got->status == 200)
		(void)json_parse(&root, buf_str(&got->body), got->body.len, "the list of models");
	json_array_foreach(json_object_get(root, "data"), i, model)
	{
		if (!strcmp(json_get_text(model, "id", ""), r->l->model))
			said = json_get_int(model, "max_model_len", 0);
	}
	json_decref(root);
	err_clear();
	return said >= CONTEXT_LEAST && said <= CONTEXT_MOST ? (int)said : 0;
}

/* Asks once, where it matters and the location does not say. A server that does not know is no failure: what is too long it refuses
 * itself. */
static int find_context(struct remote *r)
{
	const struct http_request q = {
		.method = "GET", .bearer = r->secret, .timeout_s = CONTEXT_WAIT_S, .max = ANSWER_MAX
	};
	struct http_request own = q;
	struct http_response got;
	void *tag = NULL;
	char *url;
	int rc;

	if (!r->tokenizer || r->context || r->asked_context)
		return 0;
	r->asked_context = true;
	url = mem_printf("%s/models", r->l->url);
	own.url = url;
	rc = http_pool_send(r->pool, &own, r);
	while (rc == 0 && !tag && !*run_stop_flag())
		rc = http_pool_wait(r->pool, 1, &got, &tag);
	if (rc == 0 && tag) {
		r->context = context_said(r, &got);
		buf_release(&got.body);
	}
	free(url);
	return rc ? rc : tag ? 0 : err_set(ERR_INTERRUPTED, "stopped");
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

/* What the server says of itself, for an error: one short line without the secret. Yours. */
static char *server_message(const struct remote *r, const struct http_response *got)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	json_t *root = NULL, *error;
	const char *text = buf_str(&got->body);

	if (json_parse(&root, text, got->body.len, "answer") == 0) {
		error = json_object_get(root, "error");
		text = json_get_text(json_is_object(error) ? error : root, "message",
				     json_is_string(error) ? json_string_value(error) : text);
	}
	err_clear();
	for (size_t i = 0; text[i] && out.len < MESSAGE_MAX;)
		if (r->secret && strncmp(text + i, r->secret, strlen(r->secret)) == 0) {
			buf_adds(&out, "***");
			i += strlen(r->secret);
		} else {
			buf_addc(&out, (unsigned char)text[i] < ' ' || text[i] == 127 ? ' ' : text[i]);
			i++;
		}
	json_decref(root);
	return buf_take(&out);
}

/* A failure that trying again does not mend. */
static int refused(const struct remote *r, const struct job *job, const struct http_response *got)
{
	char *said = server_message(r, got);
	int rc;

	if (got->status == 401 || got->status == 403) {
		rc = err_set(ERR_UNAVAILABLE, "location %s refuses us (%ld): %s", r->l->name, got->status, said);
		err_hint(rc,
			 r->l->key ? "is the secret in %s the right one?" : "write key: VARIABLE into the location%s",
			 r->l->key ? r->l->key : "");
	} else {
		rc = err_set(got->status >= 400 && got->status != 404 ? ERR_INPUT : ERR_UNAVAILABLE,
			     "location %s answers %ld to a request: %s", r->l->name, got->status, said);
		if (job->ask.scores && !r->context)
			err_hint(rc,
				 "a text that is longer than the model's context goes in windows where the location "
				 "has tokenizer: FOLDER and context: TOKENS");
		else if (!job->ask.scores && (got->status == 400 || got->status == 413 || got->status == 422))
			err_hint(rc,
				 "max_gen_toks asks for %d tokens behind the prompt: where that is more than the "
				 "server's "
				 "context holds, lower it in the task's generation_kwargs, or num_fewshot",
				 job->ask.max_tokens);
	}
	free(said);
	return rc;
}

/* The pause before the next attempt: doubled each time, and not the same for all. */
static double pause_of(struct remote *r, int attempts)
{
	double pause = PAUSE_FIRST_S;

	for (int i = 1; i < attempts && pause < PAUSE_MAX_S; i++)
		pause *= 2;
	return (pause < PAUSE_MAX_S ? pause : PAUSE_MAX_S) * (0.5 + 0.5 * rng_uniform(&r->rng));
}

static int try_again(struct remote *r, struct job *job, const char *why)
{
	job->state = JOB_WAITS;
	r->count.retried++;
	r->budget -= 1;
	if (job->attempts >= r->l->attempts || r->budget < 0) {
		err_set(ERR_UNAVAILABLE,
			job->attempts >= r->l->attempts ? "location %s: no answer in %d attempts: %s"
							: "location %s: too many failures (%d attempts "
							  "at this request): %s",
			r->l->name, job->attempts, why);
		return err_hint(ERR_UNAVAILABLE, "answers that came are kept: run it again to go on");
	}
	job->not_before = clock_seconds() + pause_of(r, job->attempts);
	return 0;
}

/* The server has too much. */
static void slow_down(struct remote *r, const struct job *job, const struct http_response *got)
{
	double now = clock_seconds(), asked = got->retry_after_s;

	if (job->sent_at >= r->cut_at) {
		r->window = r->window / 2 > 1 ? r->window / 2 : 1;
		r->cut_at = now;
	}
	asked = asked > PAUSE_ASKED_MAX_S ? PAUSE_ASKED_MAX_S : asked;
	if (now + asked > r->pause_until)
		r->pause_until = now + asked;
}

/* ---- the exchange ------------------------------------------------------------------------------------------------ */

/* A budget can only be kept where the server says what was used. */
static int count_tokens(struct remote *r, const json_t *root)
{
	const json_t *usage = json_object_get(root, "usage");
	int64_t in = json_get_int(usage, "prompt_tokens", -1), out = json_get_int(usage, "completion_tokens", 0);

	if (in < 0 && r->l->budget_tokens)
		return err_set(ERR_UNAVAILABLE,
			       "location %s has budget_tokens, and its answers do not say what they took "
			       "(usage.prompt_tokens)",
			       r->l->name);
	r->count.tokens_read += in > 0 ? (uint64_t)in : 0;
	r->count.tokens_written += out > 0 ? (uint64_t)out : 0;
	return 0;
}

static bool is_spent(const struct remote *r)
{
	return r->l->budget_tokens && r->count.tokens_read + r->count.tokens_written >= (uint64_t)r->l->budget_tokens;
}

static int landed_well(struct remote *r, struct jobs *jobs, struct job *job, const struct http_response *got)
{
	json_t *root = NULL;
	int rc = json_parse(&root, buf_str(&got->body), got->body.len, "the answer");

	rc = rc ? ERR_NOTFOUND : api_answer(&job->answer, r->l, &job->ask, root);
	rc = rc ? rc : count_tokens(r, root);
	json_decref(root);
	if (rc == ERR_NOTFOUND) {
		char *why = mem_str(err_text());

		rc = try_again(r, job, why);
		free(why);
		return rc;
	}
	if (rc)
		return rc;
	json_object_set_new(job->answer, "seconds", json_real(clock_seconds() - job->sent_at));
	job->state = JOB_DONE;
	jobs->done++;
	r->count.asked++;
	r->window += r->window < r->l->in_flight ? 1 / r->window : 0;
	r->budget += r->budget < r->l->retries ? REFILL : 0;
	if (r->for_good)
		json_object_set(r->kept, job->digest, job->answer);
	return kept_add(r, job);
}

static int landed(struct remote *r, struct jobs *jobs, struct job *job, const struct http_response *got)
{
	char why[100];

	if (got->status == 200)
		return landed_well(r, jobs, job, got);
	if (got->status == 429 || got->status == 503)
		slow_down(r, job, got);
	else if (got->status && got->status != 408 && got->status < 500)
		return refused(r, job, got);
	snprintf(why, sizeof(why), got->status ? "status %ld" : "%.0ld%s", got->status, got->status ? "" : got->why);
	return try_again(r, job, why);
}

/* The next that may be sent; *wait: else how long until one may be. */
static struct job *next_job(const struct remote *r, struct jobs *jobs, double *wait)
{
	double now = clock_seconds();

	*wait = 1;
	if (r->pause_until > now) {
		*wait = r->pause_until - now < 1 ? r->pause_until - now : 1;
		return NULL;
	}
	for (size_t i = 0; i < jobs->fresh; i++) { /* what failed, before what was never sent */
		struct job *job = &jobs->items[i];

		if (job->state != JOB_WAITS)
			continue;
		if (job->not_before <= now)
			return job;
		*wait = job->not_before - now < *wait ? job->not_before - now : *wait;
	}
	while (jobs->fresh < jobs->n) {
		struct job *job = &jobs->items[jobs->fresh++];

		if (job->state == JOB_WAITS)
			return job;
	}
	return NULL;
}

static int send_jobs(struct remote *r, struct jobs *jobs, double *wait)
{
	*wait = 1;
	while (!is_spent(r) && (double)http_pool_in_flight(r->pool) + 1 <= r->window) {
		struct job *job = next_job(r, jobs, wait);
		const struct http_request q = { .url = r->url,
						.body = job ? job->body : NULL,
						.len = job ? job->len : 0,
						.bearer = r->secret,
						.timeout_s = r->l->timeout_s,
						.max = ANSWER_MAX };
		int rc;

		if (!job)
			return 0;
		job->state = JOB_FLIES;
		job->attempts++;
		job->sent_at = clock_seconds();
		rc = http_pool_send(r->pool, &q, job);
		if (rc)
			return rc;
	}
	return 0;
}

/* Until every job has an answer. */
static int exchange(struct remote *r, struct jobs *jobs)
{
	struct http_response got;
	double wait;
	void *tag;
	int rc = 0;

	while (jobs->done < jobs->n && !rc) {
		if (*run_stop_flag())
			return err_set(ERR_INTERRUPTED, "stopped; the answers that came are kept");
		if (is_spent(r) && http_pool_in_flight(r->pool) == 0)
			return err_hint(
				err_set(ERR_UNAVAILABLE,
					"location %s: its budget of %lld tokens is spent (%llu read, %llu written)",
					r->l->name, (long long)r->l->budget_tokens,
					(unsigned long long)r->count.tokens_read,
					(unsigned long long)r->count.tokens_written),
				"answers that came are kept: raise budget_tokens, or run it again to go on");
		rc = send_jobs(r, jobs, &wait);
		rc = rc ? rc : http_pool_wait(r->pool, wait, &got, &tag);
		if (rc || !tag)
			continue;
		rc = landed(r, jobs, tag, &got);
		buf_release(&got.body);
		jobs->watch->call(jobs->done * jobs->asked / jobs->n, jobs->watch->arg);
	}
	return rc;
}

/* One text with two seams is one body and two questions: what is scored of it tells them apart. */
static void job_digest(struct job *job)
{
	struct digest_ctx *c = digest_new();
	char scored[64];
	struct digest d;

	digest_add(c, job->body, job->len);
	if (job->ask.scores) {
		snprintf(scored, sizeof(scored), "%zu %zu", job->ask.from, job->ask.n_scored);
		digest_text(c, scored);
	}
	d = digest_end(c);
	digest_hex(job->digest, &d);
}

/* Digests, equal requests, and answers that are there already. */
static void jobs_begin(struct remote *r, struct jobs *jobs)
{
	struct map seen;

	map_init(&seen);
	for (size_t i = 0; i < jobs->n; i++) {
		struct job *job = &jobs->items[i];
		json_t *kept;

		job_digest(job);
		kept = json_object_get(r->kept, job->digest);
		job->same = -1;
		if (!map_get(&seen, job->digest, DIGEST_HEX, &job->same))
			map_put(&seen, job->digest, DIGEST_HEX, (int64_t)i);
		if (kept && job->same < 0)
			job->answer = json_incref(kept);
		r->count.kept += kept && job->same < 0;
		if (kept || job->same >= 0) {
			job->state = JOB_DONE;
			jobs->done++;
		}
	}
	map_release(&seen);
}

static int jobs_run(struct remote *r, struct jobs *jobs)
{
	int rc;

	jobs_begin(r, jobs);
	rc = exchange(r, jobs);
	if (rc) { /* what is in flight borrows the bodies */
		struct err_saved saved = err_save();

		http_pool_close(r->pool);
		r->pool = NULL;
		http_pool_open(&r->pool);
		err_restore(&saved);
	}
	return rc;
}

static const json_t *job_answer(const struct jobs *jobs, size_t i)
{
	const struct job *job = &jobs->items[i];

	return job->same >= 0 ? jobs->items[job->same].answer : job->answer;
}

static void jobs_release(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->n; i++) {
		free(jobs->items[i].body);
		ask_release(&jobs->items[i].ask);
		json_decref(jobs->items[i].answer);
	}
	free(jobs->items);
}

/* ---- the scorer -------------------------------------------------------------------------------------------------- */

void remote_prompt(struct remote *r, const char *prompt)
{
	r->prompt = prompt ? prompt : "";
}

/* The product's prompt and a context; yours. NULL: the context is as it is asked. */
static char *behind_prompt(const struct remote *r, const char *context, bool chat)
{
	return *r->prompt && !chat ? mem_printf("%s%s", r->prompt, context) : NULL;
}

/* body is emptied. */
static void jobs_add(struct jobs *jobs, struct buf *body, const struct ask *ask)
{
	MEM_GROW(jobs->items, jobs->n, jobs->cap);
	jobs->items[jobs->n] = (struct job){ .ask = *ask, .len = body->len };
	jobs->items[jobs->n++].body = buf_take(body);
}

/* The jobs of one request: a rolling text has one a window. */
static int add_loglik(struct remote *r, struct jobs *jobs, const struct loglik_request *q)
{
	struct tokens ids = { NULL, 0, 0 };
	size_t n_scored = 0;
	int rc;

	if (!r->tokenizer) {
		struct buf body = BUF_INIT(BUF_NOLIMIT);
		struct ask ask = { 0 };

		api_loglik(&body, &ask, r->l, q);
		jobs_add(jobs, &body, &ask);
		return 0;
	}
	rc = remote_tokenizer_ids(&ids, &n_scored, r->l, r->tokenizer, q);
	for (size_t at = ids.n - n_scored; !rc && at < ids.n;) {
		struct buf body = BUF_INIT(BUF_NOLIMIT);
		struct ask ask = { 0 };
		struct window w;

		rc = window_next(&w, ids.n, at, !q->continuation, r->l, r->context);
		at = w.end;
		r->n_cut += q->continuation && w.begin;
		if (rc)
			break;
		api_loglik_ids(&body, &ask, r->l, r->tokenizer, ids.ids + w.begin, w.end - w.begin, w.n_scored);
		jobs_add(jobs, &body, &ask);
	}
	tokens_release(&ids);
	return rc;
}

static struct loglik_result add_up(const struct jobs *jobs, size_t from, size_t to)
{
	struct loglik_result out = { 0, 0, true, 0 };

	for (size_t i = from; i < to; i++) {
		const json_t *a = job_answer(jobs, i);

		out.logprob += json_get_real(a, "logprob", 0);
		out.tokens += (int)json_get_int(a, "tokens", 0);
		out.greedy &= json_get_flag(a, "greedy", false);
		out.seconds += json_get_real(a, "seconds", 0);
	}
	return out;
}

static int remote_loglik(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			 const struct scorer_watch *watch)
{
	struct remote *r = self;
	struct jobs jobs = { .asked = n, .watch = watch };
	size_t *first = mem_array(n + 1, sizeof(*first)); /* job of each request; one more at the end */
	int rc = find_context(r);

	for (size_t i = 0; i < n && !rc; i++) {
		struct loglik_request q = reqs[i];
		char *made = q.continuation ? behind_prompt(r, q.context, q.chat) : NULL;

		q.context = made ? made : q.context;
		rc = add_loglik(r, &jobs, &q);
		rc = rc ? err_context(rc, "request %zu", i) : 0;
		free(made);
		first[i + 1] = jobs.n;
	}
	rc = rc ? rc : jobs_run(r, &jobs);
	for (size_t i = 0; i < n && !rc; i++)
		out[i] = add_up(&jobs, first[i], first[i + 1]);
	jobs_release(&jobs);
	free(first);
	return rc;
}

/* As text, for the server to encode; but what would be too long for it, in ids without its beginning. */
static int add_generate(struct remote *r, struct jobs *jobs, const struct generate_until *g)
{
	struct buf body = BUF_INIT(BUF_NOLIMIT);
	struct tokens ids = { NULL, 0, 0 };
	struct ask ask = { .max_tokens = g->max_tokens };
	size_t skip = 0;
	int rc = window_writes(g->max_tokens, r->l, r->context);

	if (!rc && r->tokenizer && r->context && r->l->api == API_COMPLETIONS) {
		rc = remote_tokenizer_prompt(&ids, r->tokenizer, g->prompt);
		skip = window_prompt(ids.n, g->max_tokens, r->context);
		r->n_cut += skip > 0;
	}
	if (!rc) {
		const struct tokens rest = { ids.ids + skip, ids.n - skip, 0 };

		api_generate(&body, r->l, g, skip ? &rest : NULL);
		jobs_add(jobs, &body, &ask);
	}
	tokens_release(&ids);
	return rc;
}

static int remote_generate(void *self, const struct generate_until *reqs, size_t n, struct generated *out,
			   const struct scorer_watch *watch)
{
	struct remote *r = self;
	struct jobs jobs = { .asked = n, .watch = watch };
	int rc = find_context(r);

	for (size_t i = 0; i < n && !rc; i++) {
		struct generate_until g = reqs[i];
		char *made = behind_prompt(r, g.prompt, g.chat);

		g.prompt = made ? made : g.prompt;
		rc = add_generate(r, &jobs, &g);
		rc = rc ? err_context(rc, "request %zu", i) : 0;
		free(made);
	}
	rc = rc ? rc : jobs_run(r, &jobs);
	for (size_t i = 0; i < n && !rc; i++) {
		const json_t *a = job_answer(&jobs, i), *text = json_object_get(a, "text");

		out[i] = (struct generated){ .text = mem_strn(json_string_value(text), json_string_length(text)),
					     .len = json_string_length(text),
					     .tokens = (int)json_get_int(a, "tokens", 0),
					     .seconds = json_get_real(a, "seconds", 0) };
	}
	jobs_release(&jobs);
	return rc;
}

/* The server lays the messages out: they travel as they are. */
static int remote_chat(void *self, const json_t *messages, bool continues, struct buf *out)
{
	struct remote *r = self;
	json_t *chat, *all;

	if (r->l->api != API_CHAT) {
		err_set(ERR_INPUT,
			"location %s takes text (api: completions), and the suite asks through a chat template",
			r->l->name);
		return err_hint(ERR_INPUT, "write api: chat into the location, or drop apply_chat_template");
	}
	all = chat_prompted(messages, r->prompt);
	chat = json_pack("{s:o,s:b}", "messages", all, "continues", continues);
	json_add(out, chat);
	json_decref(chat);
	return 0;
}

/* A conversation's answer cannot be scored: the interface has no place for it. */
static int remote_no_loglik(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			    const struct scorer_watch *watch)
{
	struct remote *r = self;

	(void)reqs, (void)n, (void)out, (void)watch;
	err_set(ERR_UNAVAILABLE, "location %s gives no log-likelihoods (%s)", r->l->name,
		r->l->api == API_CHAT ? "api: chat" : "logprobs: none");
	return err_hint(ERR_UNAVAILABLE,
			"multiple_choice and loglikelihood tasks need api: completions with logprobs: echo or "
			"prompt_logprobs");
}

struct scorer remote_scorer(struct remote *r)
{
	bool scores = r->l->api == API_COMPLETIONS && r->l->logprobs != LOGPROBS_NONE;

	return (struct scorer){ r, scores ? remote_loglik : remote_no_loglik, remote_generate, remote_chat };
}
