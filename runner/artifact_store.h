/* artifact_store.h: the store's own commands, asked for by cmd_artifact.c. */
#ifndef RUNNER_ARTIFACT_STORE_H
#define RUNNER_ARTIFACT_STORE_H

#include "runner/home.h"

int artifact_add(struct home *h, const char *path, bool json); /* a file or a folder; prints its name */
int artifact_get(struct home *h, const char *object, const char *out, bool link);
int artifact_ls(struct home *h, bool json);
int artifact_verify(struct home *h);
int artifact_repair(struct home *h, const char *from); /* another home; NULL: only what can be made again */

#endif
