/* event.h: what asked for this run, and how far it is trusted.
 *
 * The target is the commit whose questions decide: a tip of the default branch (default_branch.h), of a push to that branch
 * itself the tip before it. The trust class comes from the event alone, never from the commit. */
#ifndef RUNNER_EVENT_H
#define RUNNER_EVENT_H

#include "artifacts/artifacts.h"
#include "base/base.h"
#include "runner/repo.h"

enum event_kind { EVENT_MANUAL, EVENT_HOOK, EVENT_PUSH, EVENT_PULL_REQUEST };

struct event {
	enum event_kind kind;
	enum trust trust;
	char *branch;         /* where the commit is, or is going: "main"; NULL: unknown */
	char *default_branch; /* whose policy judges; NULL: not known */
	char target[OID_HEX]; /* "": none, the candidate's own questions are used */
	bool from_default;    /* the target is the default branch's: its policy may move aliases */
	bool to_default;      /* what is judged stands on the default branch, or is about to */
	char head[OID_HEX];   /* of a merge request: its branch's tip, which may be tested merged; "": not said */
	bool of_head;         /* only that tip, or a merge with it as a parent, is the request */
	char commit[OID_HEX]; /* of a push: what was pushed; the run of another commit is not protected */
	bool elsewhere;       /* hook: the push goes to another remote than the one whose default branch judges */
	char *remote, *ref;   /* hook: where the push goes: "origin" ("": this repository), "refs/heads/main" */
	char *unasked;        /* the remote whose default branch the clone only remembers; NULL: it is certain */
	char *note;           /* something the report should say, or NULL */
};

const char *event_name(enum event_kind kind);
/* The CI that this process runs in, by its own word: "GitHub Actions", "GitLab CI", "a CI"; NULL: none. */
const char *event_ci(void);
/* From GitHub's or GitLab's environment, else a person's own run. target: an explicit --target, or NULL. */
int event_detect(struct event *out, struct repo *r, const char *target);
/* A line of pre-push: the remote's name, the reference there and what it points at now (all zeros: it is new); of
 * pre-receive: the remote is "". ERR_ENV: a server without a default branch. */
int event_hook(struct event *out, struct repo *r, const char *remote, const char *ref, const char *remote_oid);
/* Asks the remote, if need be, whether the branch whose policy judges is its default one. ERR_NOTFOUND: it does not answer;
 * ERR_INPUT, with what to do: it says another. */
int event_confirm(const struct event *e, struct repo *r);
void event_release(struct event *e);

#endif
