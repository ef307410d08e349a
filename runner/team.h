/* team.h: the remote: where this home's records and objects meet those of others. */
#ifndef RUNNER_TEAM_H
#define RUNNER_TEAM_H

#include "artifacts/artifacts.h"
#include "base/base.h"
#include "runner/cmd.h"

/* The remote of that name: a location of HOME/config.yaml or a URL; NULL: $ASSAY_REMOTE, else remote: of config.yaml, else
 * `otherwise` (the policy's, a location's name; may be NULL). ERR_NOTFOUND: none is configured. */
int team_open(struct depot **out, const struct home *h, const char *name, const char *otherwise);
/* The same for a place: `otherwise` is what assay.yaml of HEAD names. */
int team_open_at(struct depot **out, const struct place *p, const char *name);
/* Tells the mirror of that name (as above: a location, a URL; NULL: $ASSAY_MIRROR, else mirror: of config.yaml) of versions and
 * aliases. where (yours): its URL. ERR_NOTFOUND: none is configured. */
int team_mirror(char **where, const struct home *h, const char *name, struct mirror_counts *n);
/* Objects that are not here are fetched from the remote that home_open() found, from now on, when somebody needs one; said by
 * log_info. `otherwise`: as above, borrowed as long as h. A remote that cannot be reached is warned of once, and the objects
 * count as absent. */
void team_on_demand(struct home *h, const char *otherwise);
/* "12 records and 3 objects (4.1 MB)"; out[96]. */
void team_counts(char out[96], const struct sync_counts *n);

#endif
