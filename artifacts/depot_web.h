/* depot_web.h: what remotes behind HTTP share: patience, ranges, and what refusals mean. */
#ifndef ARTIFACTS_DEPOT_WEB_H
#define ARTIFACTS_DEPOT_WEB_H

#include "artifacts/depot.h"
#include "base/http.h"

struct web {
	struct http_pool *pool;
	const char *name; /* of the remote */
	double stall_s;   /* an answer of which so long nothing comes is given up */
};
int web_open(struct web *w, const char *name);
void web_close(struct web *w);
/* One request, again while the server is ill or busy; release out->body. ERR_UNAVAILABLE: it stayed so. Any other answer is 0. */
int web_ask(struct web *w, const struct http_request *r, struct http_response *out);
/* A file from a byte on: again from where it broke off. r: without headers of its own. headers: at most 8, NULL at the end. */
int web_get(struct web *w, struct http_request *r, const char *const *headers, uint64_t from, depot_put *put,
	    void *arg);
/* What an answer that is not as wished says: ERR_NOTFOUND (404), ERR_INPUT, ERR_UNAVAILABLE. what: was to be done. */
int web_refusal(const struct web *w, const struct http_response *r, const char *what);
/* As a part of a query wants it: all but letters, digits, "-._~" in percents. */
void web_escape(struct buf *out, const char *text);

#endif
