/* default_branch.h: the one branch whose policy judges, and its tip, as each place knows it.
 *
 * *name is yours and set also where a function fails behind finding it; tip is "" where there is none. */
#ifndef RUNNER_DEFAULT_BRANCH_H
#define RUNNER_DEFAULT_BRANCH_H

#include "runner/repo.h"

/* In a forge's CI: the tip as the remote has it now, its commit in this clone afterwards; where the remote cannot be asked,
 * as this clone last saw it. *name: what the forge calls the default branch, NULL: the remote is asked. of: "owner/name",
 * which the remote's address must end with, or NULL.
 * ERR_INPUT: not to be had, with what to do. ERR_ENV: nobody says which it is, or forge and remote say different ones. */
int default_at_remote(struct repo *r, const char *of, char **name, char tip[OID_HEX]);

/* Is what a variable calls the default branch HEAD of the remote? 0: it is, or this clone has no remote; ERR_NOTFOUND: no remote
 * answers; ERR_ENV: HEAD is another. */
int default_check(struct repo *r, const char *name);

/* The remote of a person's clone whose default branch has the say: the one that the local branch of origin's default name follows,
 * else origin, else the only one there is ("origin" where there is none, since its references may outlive it). Not the one that the
 * branch of HEAD follows, nor the one that is pushed to: that may be a stranger's. *out is yours. ERR_NOTFOUND, with what to do:
 * there are several, and nothing tells. */
int default_remote(struct repo *r, char **out);

/* On a person's machine, nobody asked: what this clone knows of a remote (a name, or an address that it may not know).
 * ERR_NOTFOUND, with what to do: nothing. *seen (if not NULL): has it any branch of that remote? *guessed: the branch has a usual
 * name, and nothing else speaks for it. */
int default_of_clone(struct repo *r, const char *remote, char **name, char tip[OID_HEX], bool *seen, bool *guessed);

/* The branch that HEAD of a remote is, by its own word: ERR_NOTFOUND. */
int default_head(struct repo *r, const char *remote, char **name, char tip[OID_HEX]);

enum default_answer {
	DEFAULT_SILENT, /* the remote cannot be asked */
	DEFAULT_EMPTY,  /* it has no branch at all */
	DEFAULT_NONE,   /* HEAD names none that is there, or one whose tip cannot be fetched (then *name is set) */
	DEFAULT_SAID
};
/* What the remote of a person's clone says itself; the tip's commit is in this clone afterwards. */
enum default_answer default_asked(struct repo *r, const char *remote, char **name, char tip[OID_HEX]);

/* Has any branch of any remote ever come to this clone? Else all that is in it is its owner's. */
bool default_seen_any(struct repo *r);

/* In a repository that is pushed to: the branch of HEAD. tip "": it has no branch at all yet.
 * ERR_ENV: HEAD names none that is there, with what to do. */
int default_of_server(struct repo *r, char **name, char tip[OID_HEX]);

#endif
