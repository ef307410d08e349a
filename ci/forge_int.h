/* forge_int.h: one request to a forge, with patience. */
#ifndef CI_FORGE_INT_H
#define CI_FORGE_INT_H

#include "ci/ci.h"

struct http_pool;
struct forge {
	const struct forge_place *place;
	const struct forge_post *how;
	struct http_pool *pool;
};
struct forge_answer {
	long status;  /* 0: none came */
	json_t *json; /* NULL: none, or it is no JSON */
};
int forge_open(struct forge *f, const struct forge_place *p, const struct forge_post *how);
void forge_close(struct forge *f);

/* Sends "METHOD api/path" with a JSON body (NULL: none) and gives the answer, whatever its status; release out->json.
 * What may be sent twice is tried again where the forge is ill (no answer, 5xx); everything is where it asks to wait (429, or 403
 * with Retry-After). */
int forge_call(const struct forge *f, struct forge_answer *out, const char *method, const char *path,
	       const json_t *body);
/* What an answer that is no success means, as an error with the fix. doing: "write a comment". */
int forge_refusal(const struct forge *f, const struct forge_answer *a, const char *doing);
bool forge_is_ill(long status);

#endif
