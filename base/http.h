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

	/* Where JSON is not what is spoken: lines "Name: value" instead of its own, NULL at the end. */
	const char *const *headers;
	bool head;      /* the headers of an answer alone */
	double stall_s; /* an answer of which so long nothing comes is given up; 0: never */
	/* The body of an answer of status 200 or 206 as it comes, which does not count for max; a non-zero result ends it. */
	int (*take)(const void *data, size_t len, void *arg);
	void *take_arg;
	/* Each line of an answer's head, the status line too, without its end; of a proxy's answer before it also. */
	void (*head_line)(const char *line, void *arg);
	void *head_arg;
	/* Amazon's signature, version 4: "aws:amz:REGION:s3", and who signs; NULL: none. */
	const char *sign, *user, *secret;
};
struct http_response {
	long status;          /* 0: no whole answer came */
	const char *why;      /* of status 0; static */
	bool timed_out;       /* of status 0: for as long as it may, nothing came */
	double retry_after_s; /* what the server asks for; 0: nothing */
	int refused;          /* what take() said when it ended it; status is 0 */
	char etag[80];        /* without its quotes; "": none */
	char location[2048];  /* where a redirection leads, which is not followed; "": nowhere */
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
