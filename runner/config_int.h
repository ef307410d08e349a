/* config_int.h: what config.c and config_finetune.c share. */
#ifndef RUNNER_CONFIG_INT_H
#define RUNNER_CONFIG_INT_H

#include "runner/config.h"

/* A text, or a list of texts, added to a list. */
int config_texts(const struct yaml *y, const json_t *obj, const char *key, struct texts *out);
int config_small(const struct yaml *y, const json_t *obj, const char *key, int64_t min, int64_t max, int *out);

int config_parse_finetune(struct config_finetune *f, const struct yaml *y, json_t *root);
void config_finetune_release(struct config_finetune *f);

#endif
