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
	/* Where a list goes on: the forge's own word (Link, X-Next-Page), since the length of a page says nothing. */
	bool pages;       /* it said whether there is a next page */
	char next[1024];  /* the address of the next; "": not said, or there is none */
	char next_n[24];  /* its number; "": as above */
	char scopes[256]; /* what GitHub and Gitea say that the token may do; "": not said */
};
int forge_open(struct forge *f, const struct forge_place *p, const struct forge_post *how);
void forge_close(struct forge *f);

/* The words in which the forges differ. */
struct forge_words {
	const char *name;
	const char *comments; /* project, request */
	const char *request;  /* project, request */
	const char *update, *author, *login;
	const char *statuses; /* project, commit */
	const char *robot;    /* whom the job's own token writes as, which may not ask who it is; NULL: any token may */
	const char *failed, *broken; /* states of a commit beside "success" */
};
const struct forge_words *forge_words(const struct forge *f);

/* Sends "METHOD api/path" with a JSON body (NULL: none) and gives the answer, whatever its status; release out->json.
 * What may be sent twice is tried again where the forge is ill (no answer, 5xx); everything is where it asks to wait (429, or 403
 * with Retry-After). */
int forge_call(const struct forge *f, struct forge_answer *out, const char *method, const char *path,
	       const json_t *body);
/* What an answer that is no success means, as an error with the fix. doing: "write a comment". */
int forge_refusal(const struct forge *f, const struct forge_answer *a, const char *doing);
bool forge_is_ill(long status);
void forge_pause(double seconds); /* a minute at most */

/* Whose comments are ours. */
struct forge_who {
	char *login; /* NULL: not known */
	int64_t id;  /* 0: not known, and the login decides */
	bool sure;   /* false: the usual robot's, unless the forge says otherwise when it takes a comment */
};
int forge_who_ask(const struct forge *f, struct forge_who *out);
void forge_who_learn(struct forge_who *who, const struct forge *f, const json_t *comment); /* of one that we wrote */
void forge_who_release(struct forge_who *who);

/* Our comments with one marker. */
struct forge_mine {
	struct forge_own {
		int64_t id, run, attempt;
	} all[100];
	size_t n;
	char *latest; /* the text of the latest job's comment, which is latest_id's; NULL: there is none */
	int64_t latest_id;
};
/* Reads all pages. */
int forge_mine_read(const struct forge *f, struct forge_mine *out, const struct forge_who *who);
void forge_mine_release(struct forge_mine *m);
const struct forge_own *forge_mine_oldest(const struct forge_mine *m); /* NULL: there is none */
const struct forge_own *forge_mine_latest(const struct forge_mine *m); /* by its job */
bool forge_mine_has(const struct forge_mine *m, int64_t id);
void forge_mine_add(struct forge_mine *m, const struct forge_own *c);
void forge_mine_drop(struct forge_mine *m, int64_t id);
/* Writes how the marker begins: all but the job. */
void forge_marker(struct buf *out, const char *key);

#endif
