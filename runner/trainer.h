/* trainer.h: what the trainers and `assay tokenizer train` share. */
#ifndef RUNNER_TRAINER_H
#define RUNNER_TRAINER_H

#include "runner/runner.h"

/* Adds the text that a tokenizer learns from: of a .jsonl file every text in every line (prompt, completion, text,
 * contents of messages), a line each; of any other file its bytes. */
int trainer_plain_text(struct tree *t, const char *path, struct buf *out);
int trainer_plain_jsonl(const char *text, size_t len, const char *name, struct buf *out);

#endif
