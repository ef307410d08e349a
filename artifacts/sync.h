/* sync.h: what sync*.c share. */
#ifndef ARTIFACTS_SYNC_H
#define ARTIFACTS_SYNC_H

#include "artifacts/depot.h"

struct sync {
	struct registry *r;
	struct store *s;
	struct depot *d;
	const struct sync_options *o;
	struct sync_counts *n;
	struct name_list mine, theirs; /* records, sorted */
	struct depot_list objects;     /* there; of a push, and of a pull that wants them */
	struct map sent;               /* objects that this push, or a pull that only counts, has seen to */
	struct map unseen;             /* those of them that are models, of such a pull */
	bool pushes;
	struct map stopped;    /* aliases (MODEL@ALIAS) whose moves wait for somebody to mend the remote */
	struct err_saved stop; /* why, of the first */
};
bool names_have(const struct name_list *l, const char *hex); /* a short one, in no order */
bool sync_has(const struct name_list *l, const char *hex);
/* The bytes of a record, compared with its name, and parsed; where: for messages. ERR_INPUT. */
int sync_record(json_t **out, const struct buf *text, const char *hex, const char *where);
/* What a record says first of a version or an alias, said in the remote: ERR_EXISTS if another was first, whose record is there
 * then. own: the record's bytes. */
int sync_claim(struct sync *y, const json_t *record, const struct buf *own, const char *id);

/* The record that a version ({"model","number"}) was claimed by: ERR_NOTFOUND; ERR_INPUT: it is damaged. Yours. */
int sync_claimed(struct sync *y, const json_t *version, json_t **record);

/* The moves of an alias (MODEL@ALIAS) that were claimed: how many, and the record of the n-th: ERR_NOTFOUND; ERR_INPUT. Yours. */
int sync_claims_of_alias(struct sync *y, const char *what, int64_t *n);
int sync_claimed_move(struct sync *y, const char *what, int64_t n, char id[DIGEST_HEX], json_t **record);

/* A record that would come in. gone: of those here, what gives way to others that come (or NULL). record: NULL if it cannot be read;
 * of a pull, what merge_note() keeps of it. */
struct newcomer {
	const char *id;
	int64_t seq;
	const json_t *record;
	const struct name_list *gone;
	bool far; /* out: it is its seq that keeps it away */
};
/* Why it may not come in: yours, NULL if it may. *last: the last seq that there is, of here and of those before it in their order. */
int newcomer_against(struct registry *r, struct newcomer *c, int64_t *last, char **why);
int newcomers_last(struct registry *r, int64_t *last);
/* would: nothing is moved. */
void newcomer_tell(const struct newcomer *c, const char *why, const char *to, bool would);

/* Records made here that contradict those to come. */
struct merge {
	json_t *said;           /* what those say of versions and aliases */
	struct name_list aside; /* of those made here, what gives way: all of it */
	struct name_list again; /* and what of it can be made again: runs that get a number, promotions of these */
	struct name_list holds; /* moves of aliases that do not give way */
	struct name_list
		refused; /* of those that come, what the claims there contradict (sync_rivals.c, sync_forks.c) */
};
void merge_release(struct merge *m);
/* A record that comes from there. */
void merge_note(struct merge *m, const json_t *theirs, const char *id);
/* One of them that is not to be taken over. */
void merge_refuse(struct merge *m, const char *id);
/* Of records that come and contradict each other on a version, those that did not get it. */
int rivals_refuse(struct merge *m, struct sync *y);
/* Of moves of aliases that come, those that part from the way the claims went. */
int forks_refuse(struct merge *m, struct sync *y);
/* What of this home's own gives way. While it may write, another process may make more: so within registry_begin() and _end(). */
int merge_look(struct merge *m, const struct sync *y);
/* Takes that out of records/, into HOME/aside/, and derives the rest again; in the same transaction. */
int merge_aside(const struct merge *m, struct sync *y);
/* Makes again what waits in HOME/aside/ for it, from whatever pull that was killed. */
int merge_again(struct sync *y);

#endif
