/* chat.h: a model folder's chat template. */
#ifndef RUNNER_CHAT_H
#define RUNNER_CHAT_H

#include "base/base.h"
#include "base/json.h"

struct chat;
/* *out is NULL if the folder has no template. ERR_INPUT: it cannot be read. */
int chat_open(struct chat **out, const char *dir);
void chat_free(struct chat *c);
const char *chat_source(const struct chat *c); /* the template's text; NULL for no chat */

/* Adds what transformers' apply_chat_template(tokenize=False) gives: with the generation prompt; continues: without it,
 * up to where the last message ends (continue_final_message). ERR_INPUT: no messages, or the template refuses. */
int chat_render(const struct chat *c, const json_t *messages, bool continues, struct buf *out);
/* The conversation with the product's prompt as the system's message, before what the suite says there; yours. */
json_t *chat_prompted(const json_t *messages, const char *prompt);
/* Does the text begin with the BOS token? Then the tokenizer must not add another. */
bool chat_begins(const struct chat *c, const char *text);

#endif
