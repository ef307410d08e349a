/* sync.h: what sync.c and sync_merge.c share. */
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
	struct name_list objects;      /* there; of a pull that wants them */
};
bool sync_has(const struct name_list *l, const char *hex);

/* Records made here that contradict those to come. */
struct merge {
	struct name_list aside; /* all of them */
	struct name_list again; /* those of them that can be made again: runs that get a number, promotions of these */
};
void merge_release(struct merge *m);
/* What a record from there says against what only this home says. */
int merge_look(struct merge *m, const struct sync *y, const json_t *theirs);
/* Takes the losers out of records/, into HOME/aside/, and derives the rest again. */
int merge_aside(const struct merge *m, struct sync *y);
/* Makes again what waits in HOME/aside/ for it, from whatever pull that was killed. */
int merge_again(struct sync *y);

#endif
