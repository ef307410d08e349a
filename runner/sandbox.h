/* sandbox.h: how a command that came with a commit is run: its words, what it may touch, its last lines. */
#ifndef RUNNER_SANDBOX_H
#define RUNNER_SANDBOX_H

#include "base/base.h"
#include "runner/config.h"
#include "runner/repo.h"

struct words { /* an argument vector in the making */
	const char **items;
	char **owned; /* those that are ours to free */
	size_t n, cap, n_owned, cap_owned;
};
void argv_add(struct words *w, const char *word); /* borrowed */
void argv_release(struct words *w);

enum { TAIL_LINES = 20, TAIL_ENDS = 5, TAIL_SHOWN = 1024 };
struct tail { /* the last lines of a command's output, for the error; each cut to TAIL_SHOWN bytes */
	char *lines[TAIL_LINES];
	size_t n;
	size_t limit, shown;             /* bytes for the log; limit 0: none */
	size_t left_out, left_out_bytes; /* lines that went beyond it */
};
void tail_line(const char *line, size_t len, void *tail); /* struct proc's line; shown with -v */
void tail_end(struct tail *t);                            /* says how much was left out, and shows the last of it */
void tail_release(struct tail *t);
/* ERR_INPUT: the command's exit code and last lines. ERR_UNAVAILABLE: these say that the program is not there. what: whose
 * command, or "". */
int command_failed(const struct tail *t, const struct proc *p, const char *what);

#define SANDBOX_TREE "/tmp/work" /* where bubblewrap shows the tree, */
#define SANDBOX_BASE "/tmp/base" /* and the base */
struct sandbox {
	enum sandbox_kind kind;   /* as the policy says; AUTO is bubblewrap where it works, else Landlock */
	const struct repo *repo;  /* hidden from the command; may be NULL */
	const char *home;         /* likewise */
	const char *base;         /* a folder in there that may be read, as SANDBOX_BASE; NULL: none */
	const char *policy, *fix; /* who did not allow it, and where to, for errors */
};
/* ERR_ENV: it may not run, or cannot run safely. what: "… is a program of the commit". */
int sandbox_check(const struct sandbox *s, const char *what);
/* Does the command see its tree and its base as SANDBOX_TREE and SANDBOX_BASE, not under their own names? */
bool sandbox_renames(const struct sandbox *s);
/* Folders of PATH's interpreters that lie in a home (a virtual environment, say), and stay readable. */
void sandbox_interpreters(struct words *w);
/* Words in front of the command. Everything may be read but what assay and git remember (a CI's token stands in .git/config)
 * and what users keep at home; only the tree may be written. True: they are a keeper (struct proc). */
bool sandbox_wrap(const struct sandbox *s, struct words *w, const char *tree);

#endif
