/* harness_folder.h: results in a folder, as lm-evaluation-harness writes them under --output_path. */
#ifndef RUNNER_HARNESS_FOLDER_H
#define RUNNER_HARNESS_FOLDER_H

#include "evals/evals.h"

/* Writes DIR/MODEL/results_DATE.json and its samples, dated now. Each file is there whole or not at all, the results last. */
int harness_folder_write(const char *dir, const char *model, const struct task_result *tasks, size_t n);

#endif
