/* remote_int.h: what the files remote*.c share: a request to a server, its answer, and what the answer says of a prompt. */
#ifndef RUNNER_REMOTE_INT_H
#define RUNNER_REMOTE_INT_H

#include "base/json.h"
#include "evals/evals.h"
#include "model/model.h"
#include "runner/location.h"

/* ---- remote_tokenizer.c: the model's tokenizer, where the location names it ---------------------------------------- */

struct remote_tokenizer {
	struct tokenizer *tok;
	struct text_ids *ids;
	bool has_prefix; /* it knows what a text without context begins with */
};
/* ERR_INPUT: the folder has no tokenizer, or this one lacks what the location calls bos. */
int remote_tokenizer_open(struct remote_tokenizer **out, const struct location *l);
void remote_tokenizer_close(struct remote_tokenizer *t); /* NULL is allowed */
/* Is this text of a server's token that id's? True where that cannot be told: other than letters and digits, servers write
 * tokens in many ways. */
bool remote_tokenizer_agrees(const struct remote_tokenizer *t, int32_t id, const char *text);
/* ids of what is scored, of which the last n_scored are asked for. ERR_INPUT: the rules have none for the continuation;
 * ERR_UNAVAILABLE: a text without context, and nothing is known that it could begin with. */
int remote_tokenizer_ids(struct tokens *out, size_t *n_scored, const struct location *l,
			 const struct remote_tokenizer *t, const struct loglik_request *q);
/* ids of a prompt that is to be continued, as the server's own tokenizer would have them. */
int remote_tokenizer_prompt(struct tokens *out, const struct remote_tokenizer *t, const char *prompt);

/* ---- remote_window.c: what of a list of ids goes in one request ----------------------------------------------------- */

struct window {
	size_t begin, end, n_scored; /* the ids from begin to end, of which the last n_scored are scored */
};
/* The next request of n ids, of which `at` and more behind it are not scored yet; at: n - n_scored, then each end; none is left
 * at n. context: the server's, 0: not known. ERR_INPUT: a continuation that it cannot hold. */
int window_next(struct window *out, size_t n, size_t at, bool rolling, const struct location *l, int context);
/* ERR_INPUT: so many tokens to be written leave no room for a prompt. */
int window_writes(int max_tokens, const struct location *l, int context);
/* Where a prompt of n ids begins that max_tokens more are to be written behind. */
size_t window_prompt(size_t n, int max_tokens, int context);

/* ---- remote_api.c: bodies ------------------------------------------------------------------------------------------ */

/* What is looked for in an answer. */
struct ask {
	bool scores;                              /* log-likelihoods; else a text is wanted … */
	int max_tokens;                           /* … of so many */
	char *text;                               /* what was sent, where that is a text … */
	size_t from;                              /* … and at which byte of it what is scored begins */
	struct tokens ids;                        /* where ids were sent: these … */
	size_t n_scored;                          /* … of which the last so many are scored */
	const struct remote_tokenizer *tokenizer; /* borrowed; NULL: a text was sent */
};
void ask_release(struct ask *ask);

/* The body of a request. out: canonical JSON, so that equal requests are equal bytes. */
void api_generate(struct buf *out, const struct location *l, const struct generate_until *g,
		  const struct tokens *ids); /* instead of the prompt's text; NULL: that */
void api_loglik(struct buf *out, struct ask *ask, const struct location *l, const struct loglik_request *q);
void api_loglik_ids(struct buf *out, struct ask *ask, const struct location *l, const struct remote_tokenizer *t,
		    const int32_t *ids, size_t n, size_t n_scored);
const char *api_path(const struct location *l); /* behind the url */
/* {"text","tokens"} or {"logprob","tokens","greedy"} from an answer, yours. ERR_NOTFOUND: it is no answer, as one that was
 * cut short; ERR_UNAVAILABLE: this server does not give what is needed. */
int api_answer(json_t **out, const struct location *l, const struct ask *ask, const json_t *root);

/* ---- remote_logprob.c: what an answer says of the prompt ----------------------------------------------------------- */

int logprob_answer(json_t **out, const struct location *l, const struct ask *ask, const json_t *root);
int logprob_no_first(const struct location *l);

/* ---- remote_spell.c: which tokens are the continuation's ----------------------------------------------------------- */

enum spelt { SPELT, SPELT_NOT, SPELT_OVER, SPELT_SHORT, SPELT_FIRST };
struct seam {
	size_t first; /* SPELT: the first token of what is scored */
	size_t at;    /* else: the token that does not fit */
};
struct scored {
	const char *text; /* the prompt */
	size_t from;      /* the byte of it at which what is scored begins */
	bool bare;        /* without a context: before that byte is nothing, or the BOS of the location */
};
/* texts: of the n tokens (at least 1) of a prompt, as the server writes them; NULL: it does not say. lead: the first has no
 * log-probability. SPELT_NOT: the texts are other ones, or tell several seams; SPELT_OVER: a token reaches over the seam; SPELT_SHORT:
 * they end before the prompt begins; SPELT_FIRST: nobody knows whether the first one is the text's. */
enum spelt spell(struct seam *out, const char *const *texts, size_t n, const struct scored *s, bool lead);

#endif
