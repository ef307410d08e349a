/* export.h: a stored version in a form that others load. */
#ifndef RUNNER_EXPORT_H
#define RUNNER_EXPORT_H

#include "runner/home.h"

struct export_options {
	const char *format; /* "dir", "tar.zst", "oci", "triton", "gguf"; NULL: by the name of what is written */
	const char *type;   /* of a GGUF file: "auto", "f32", "f16", "bf16", "q8_0" */
	const char *mount;  /* of a Triton repository; NULL: where it is written */
	bool attest;      /* bill of materials, provenance and the gate's result beside the model's files, in assay/ */
	const char *sign; /* the file of a private key: the three are there signed, too; NULL: not */
	bool link;        /* read-only links into the store instead of copies */
};
/* name: MODEL@VERSION; for a GGUF file a folder, too. Says on standard output what it made. */
int export_statement(struct home *h, const char *what, const char *name); /* "bom", "provenance", "result": printed */
/* Is the folder what the key (a file) has signed, and did its gate pass? Says the result; exit code 1 where it failed, 2 where it was
 * neither; ERR_INPUT names what is not as signed. */
int export_verify(const char *dir, const char *key);
/* Is it, and are these the files of the version whose folder this object is, and did its gate pass (failed_too: or not)? ERR_INPUT
 * names what is not so. */
int export_proves(struct home *h, const char *object, const char *dir, const char *key, bool failed_too);
int export_model(struct home *h, const char *name, const char *out, const struct export_options *o);

#endif
