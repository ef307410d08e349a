/* remote_int.h: what remote.c and remote_api.c share: a request to a server and its answer. */
#ifndef RUNNER_REMOTE_INT_H
#define RUNNER_REMOTE_INT_H

#include "base/json.h"
#include "evals/evals.h"
#include "runner/location.h"

/* What is looked for in an answer. */
struct ask {
	const char *scored; /* log-likelihood: the whole text */
	size_t from;        /* and where in it, in characters, what is scored begins; scored NULL: a text is wanted */
};

/* The body of a request. out: canonical JSON, so that equal requests are equal bytes. */
void api_generate(struct buf *out, const struct location *l, const struct generate_until *g);
void api_loglik(struct buf *out, struct ask *ask, char **text, const struct location *l,
		const struct loglik_request *q);
const char *api_path(const struct location *l); /* behind the url */
/* {"text","tokens"} or {"logprob","tokens","greedy"} from an answer, yours. ERR_NOTFOUND: it is no answer, as one that was
 * cut short; ERR_UNAVAILABLE: this server does not give what is needed. */
int api_answer(json_t **out, const struct location *l, const struct ask *ask, const json_t *root);

#endif
