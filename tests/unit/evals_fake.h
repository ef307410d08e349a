/* evals_fake.h: files in memory and a model that answers by a table, for the tests of evals/. */
#ifndef TESTS_EVALS_FAKE_H
#define TESTS_EVALS_FAKE_H

#include "evals/evals.h"

struct fake_file {
	const char *path, *text;
};
struct fake_files {
	const struct fake_file *files;
	size_t n;
};

static inline int fake_read(void *self, const char *path, struct buf *out)
{
	const struct fake_files *f = self;

	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->files[i].path, path) == 0) {
			buf_adds(out, f->files[i].text);
			return 0;
		}
	return err_set(ERR_NOTFOUND, "no file %s", path);
}

static inline int fake_list(void *self, const char *folder, int (*each)(const char *path, void *arg), void *arg)
{
	const struct fake_files *f = self;
	size_t n = strlen(folder);
	int rc = 0;

	for (size_t i = 0; i < f->n && !rc; i++)
		if (strcmp(folder, ".") == 0 ||
		    (strncmp(f->files[i].path, folder, n) == 0 && f->files[i].path[n] == '/'))
			rc = each(f->files[i].path, arg);
	return rc;
}

/* suite_load() of path among the files given as { path, text } pairs. */
#define FAKE_LOAD(out, suite_path, ...)                                                                                \
	suite_load(                                                                                                    \
		out, suite_path,                                                                                       \
		&(struct eval_files){ &(struct fake_files){ (const struct fake_file[]){ __VA_ARGS__ },                 \
							    ARRAY_LEN(((const struct fake_file[]){ __VA_ARGS__ })) },  \
				      fake_read, fake_list, NULL, NULL })

struct fake_answer {
	const char *continuation; /* NULL: any */
	double logprob;
	bool greedy;
};
struct fake_model {
	const struct fake_answer *answers;
	size_t n;
	const char *(*reply)(const char *prompt); /* NULL: an empty text */
	size_t reply_len;                         /* of what reply gives; 0: up to its NUL */
	struct buf log;                           /* "context|continuation\n" of every request */
	size_t calls, largest;
	int fail; /* given back instead of an answer */
};

static inline int fake_loglik(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			      const struct scorer_watch *watch)
{
	struct fake_model *m = self;

	m->calls++;
	m->largest = n > m->largest ? n : m->largest;
	for (size_t i = 0; i < n; i++) {
		const char *what = reqs[i].continuation ? reqs[i].continuation : "(rolling)";

		buf_addf(&m->log, "%s|%s\n", reqs[i].context, what);
		out[i] = (struct loglik_result){ -(double)strlen(what), 1, false, 0 };
		for (size_t k = 0; k < m->n; k++)
			if (!m->answers[k].continuation || strcmp(m->answers[k].continuation, what) == 0) {
				out[i].logprob = m->answers[k].logprob;
				out[i].greedy = m->answers[k].greedy;
				break;
			}
	}
	watch->call(n, watch->arg);
	return m->fail ? err_set(m->fail, "the model failed") : 0;
}

static inline int fake_generate(void *self, const struct generate_until *reqs, size_t n, struct generated *out,
				const struct scorer_watch *watch)
{
	struct fake_model *m = self;

	m->calls++;
	m->largest = n > m->largest ? n : m->largest;
	for (size_t i = 0; i < n; i++) {
		buf_addf(&m->log, "%s|%d|%g", reqs[i].prompt, reqs[i].max_tokens, reqs[i].temperature);
		if (reqs[i].top_k || reqs[i].top_p > 0)
			buf_addf(&m->log, " k%d p%g", reqs[i].top_k, reqs[i].top_p);
		if (reqs[i].temperature > 0)
			buf_addf(&m->log, " s%016llx", (unsigned long long)reqs[i].seed);
		for (size_t k = 0; reqs[i].until[k]; k++)
			buf_addf(&m->log, "|%s", reqs[i].until[k]);
		buf_addc(&m->log, '\n');
		const char *reply = m->reply ? m->reply(reqs[i].prompt) : "";
		out[i].len = m->reply_len ? m->reply_len : strlen(reply);
		out[i].text = mem_copy(reply, out[i].len + 1);
		out[i].tokens = 1;
	}
	watch->call(n, watch->arg);
	return m->fail ? err_set(m->fail, "the model failed") : 0;
}

/* "[system: …][user: …]" and "[assistant" where the answer begins. */
static inline int fake_chat(void *self, const json_t *messages, bool continues, struct buf *out)
{
	const json_t *m;
	size_t i;

	(void)self;
	json_array_foreach(messages, i, m)
		buf_addf(out, "[%s: %s%s", json_get_text(m, "role", "?"), json_get_text(m, "content", "?"),
			 continues && i + 1 == json_array_size(messages) ? "" : "]");
	if (!continues)
		buf_adds(out, "[assistant: ");
	return 0;
}

#define FAKE_SCORER(model)                                                                                             \
	{                                                                                                              \
		(model), fake_loglik, fake_generate, fake_chat                                                         \
	}

#endif
