/* attest.h: what is known of a version, gathered once for all that is said of it. Inside artifacts/ only. */
#ifndef ARTIFACTS_ATTEST_H
#define ARTIFACTS_ATTEST_H

#include "artifacts/artifacts_int.h"

/* What a statement says it is. */
#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define PREDICATE_PROVENANCE "https://slsa.dev/provenance/v1"
#define PREDICATE_RESULT "https://in-toto.io/attestation/test-result/v0.1"

struct facts {
	json_t *version;    /* its row */
	json_t *record;     /* of the run that made it a version, with its evaluation */
	json_t *origin;     /* registry_origin() */
	const json_t *made; /* the first row of it: the run that trained it */
	const char *object; /* manifest */
	struct tree_files files;
};
int facts_gather(struct facts *f, struct registry *r, const char *model, int number);
void facts_release(struct facts *f);
void set_text(json_t *obj, const char *key, const char *text); /* unless NULL or "" */

json_t *bom_document(const struct facts *f); /* bom.c */

#endif
