/* http.h: requests to a server, many in flight at a time, by libcurl. Not a part of base.h: only those who speak to the
 * world need it. */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/base.h"

struct http_request {
	const char *url;    /* http: or https: */
	const char *method; /* NULL: GET, or with a body POST */
	const char *body;   /* JSON, borrowed until the answer; NULL: none */
	size_t len;
	const char *bearer; /* a secret for this server; NULL: none */
	double timeout_s;   /* for the whole of it */
	size_t max;         /* bytes of an answer */
};
struct http_response {
	long status;          /* 0: no whole answer came */
	const char *why;      /* of status 0; static */
	double retry_after_s; /* what the server asks for; 0: nothing */
	struct buf body;
};

struct http_pool;
/* ERR_UNAVAILABLE: there is no libcurl. */
int http_pool_open(struct http_pool **out);
void http_pool_close(struct http_pool *p); /* what is in flight is dropped */
/* Starts a request. tag: given back with its answer. */
int http_pool_send(struct http_pool *p, const struct http_request *r, void *tag);
/* The next answer, for which it waits at most so long; release out->body. *tag NULL: none came. */
int http_pool_wait(struct http_pool *p, double wait_s, struct http_response *out, void **tag);
size_t http_pool_in_flight(const struct http_pool *p);

#endif
