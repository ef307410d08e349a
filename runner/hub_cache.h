/* hub_cache.h: a model of the Hugging Face hub as its clients have left it on this machine. The network is never asked. */
#ifndef RUNNER_HUB_CACHE_H
#define RUNNER_HUB_CACHE_H

#include "base/base.h"
#include "base/digest.h"

struct hub_model {
	char *name;   /* "org/name" */
	char *commit; /* of the snapshot: 40 digits */
	char *dir;    /* models--org--name/snapshots/COMMIT */
	char *blobs;  /* models--org--name/blobs */
	char **files; /* of the snapshot, sorted; no folders, no pickles */
	size_t n_files;
};

/* "org/name@rev" (a commit, or a branch or tag that was fetched; without: main). ERR_INPUT, with the line that gets it. */
int hub_model_find(struct hub_model *out, const char *text);
void hub_model_release(struct hub_model *m);
/* Feeds what names the content: the names of the files, and of the blobs behind them, which are digests. */
int hub_model_key(const struct hub_model *m, struct digest_ctx *ctx);
/* Copies the files into dir (made) and checks each against the digest that its blob is named by. */
int hub_model_export(const struct hub_model *m, const char *dir);

#endif
