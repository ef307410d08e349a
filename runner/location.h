/* location.h: named locations: what stands elsewhere, and how this machine reaches it. */
#ifndef RUNNER_LOCATION_H
#define RUNNER_LOCATION_H

#include "base/base.h"
#include "base/yaml.h"

enum location_api { API_COMPLETIONS, API_CHAT };
enum location_logprobs { LOGPROBS_ECHO, LOGPROBS_PROMPT, LOGPROBS_NONE };
struct location { /* an OpenAI-compatible server */
	char *name, *url, *model;
	char *key;       /* the variable that holds the secret; NULL: none */
	char *tokenizer; /* a folder with the model's tokenizer.json: prompts that are scored go as ids; NULL: as text */
	int context;     /* tokens of a request and its answer; 0: what the server says, if it does */
	char *bos;       /* the text of the token in front of everything; NULL: the server adds it, or has none */
	enum location_api api;
	enum location_logprobs logprobs;
	int in_flight;         /* requests at a time, at most */
	int attempts;          /* at one request */
	int retries;           /* the budget: failures in a row of many requests */
	int64_t budget_tokens; /* read and written, of one process; 0: no end */
	double timeout_s;
};
/* The location of that name in <home>/config.yaml. ERR_NOTFOUND: it is not there (nor, perhaps, the file). */
int location_read(struct location *out, const char *home, const char *name);
/* The same out of a mapping {NAME: location} of the document y, an assay.yaml. */
int location_of(struct location *out, const struct yaml *y, const json_t *all, const char *name);
/* Are all of a mapping as they should be? ERR_INPUT. */
int location_check_all(const struct yaml *y, const json_t *all);
void location_release(struct location *l);

#endif
