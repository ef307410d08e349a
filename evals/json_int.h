/* json_int.h: answers that are JSON, compared and held against schemas. Private to evals/. */
#ifndef EVALS_JSON_INT_H
#define EVALS_JSON_INT_H

#include "evals/metric_int.h"

/* ---- json_value.c ------------------------------------------------------------------------------------------------ */

/* A text as JSON; yours. NULL: it is none. */
json_t *answer_json(const char *s, size_t len);
bool number_is_whole(const json_t *v);
struct json_same { /* how equal two values must be; all zero: equal */
	double absolute, relative;
	bool subset; /* objects of a may have more members */
};
bool json_same(const json_t *a, const json_t *b, const struct json_same *how);

int score_json_valid(const struct task_metric *m, const struct outcome *o, struct scored *out);
int score_json_match(const struct task_metric *m, const struct outcome *o, struct scored *out);
int check_json_match(const struct task_metric *m, const struct instance *in);
extern const struct metric_options json_match_options;

/* ---- json_schema.c ----------------------------------------------------------------------------------------------- */

struct schema;
/* ERR_INPUT names the keyword that is wrong or not supported, and where it stands. */
int schema_new(struct schema **out, const json_t *root);
void schema_free(struct schema *s);
/* Does the value satisfy the schema? ERR_INPUT: the schema goes on for too long (it refers to itself, say). */
int schema_holds(bool *out, const struct schema *s, const json_t *v);

int score_json_schema(const struct task_metric *m, const struct outcome *o, struct scored *out);
int check_json_schema(const struct task_metric *m, const struct instance *in);
extern const struct metric_options json_schema_options;

#endif
