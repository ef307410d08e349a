/* budget.h: how much memory there is, and how much of it one may use. */
#ifndef RUNNER_BUDGET_H
#define RUNNER_BUDGET_H

#include "base/base.h"

#define BUDGET_OPTION "--memory"

struct budget {
	uint64_t bytes;   /* 0: not known */
	const char *what; /* "what is free", "the cgroup's limit", BUDGET_OPTION; static */
};
/* "4G", "512M", "1.5GiB": powers of 1024. ERR_USAGE. */
int budget_parse(uint64_t *out, const char *text);
/* The least of --memory (option; NULL: none), of what the machine has free and of what the cgroups leave. root: "", or a
 * folder that stands for /. */
int budget_open(struct budget *out, const char *option, const char *root);
/* The same of a device's own memory, of which so many bytes are free. A tenth of it stays for what operations put there. */
int budget_device(struct budget *out, const char *option, uint64_t free_bytes);

#endif
