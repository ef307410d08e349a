/* remote.h: an OpenAI-compatible server as a scorer of suites. */
#ifndef RUNNER_REMOTE_H
#define RUNNER_REMOTE_H

#include "evals/evals.h"
#include "runner/location.h"

struct remote;
/* l is borrowed. home: where answers are kept until the suite is through; NULL: nowhere. ERR_UNAVAILABLE: no libcurl, or
 * no secret; ERR_BUSY: another process asks this location. */
int remote_open(struct remote **out, const struct location *l, const char *home);
/* The same, with answers that are kept for good, in files of their own: of judges. */
int remote_open_kept(struct remote **out, const struct location *l, const char *home);
void remote_close(struct remote *r);
struct scorer remote_scorer(struct remote *r);            /* borrows r */
void remote_prompt(struct remote *r, const char *prompt); /* the product's, in front of every context; borrowed */
void remote_forget(struct remote *r);                     /* all is scored: the kept answers go */
/* What it took, for a log line. */
struct remote_count {
	size_t asked, kept, retried; /* answers that came; that were there already; failures that were tried again */
	uint64_t tokens_read, tokens_written; /* as the server counts them, of the answers that came */
};
struct remote_count remote_count(const struct remote *r);
/* Prompts that lost their beginning to the server's context, since the last call. */
size_t remote_cut(struct remote *r);

#endif
