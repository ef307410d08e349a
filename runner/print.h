/* print.h: what cmd_run.c shares with the commands that also run or show a run. */
#ifndef RUNNER_PRINT_H
#define RUNNER_PRINT_H

#include "runner/runner.h"

int terminal_width(void);
void print_report(const json_t *report, FILE *f);
json_t *run_json(const struct run *run, int exit_code);
/* ERR_USAGE: an option's value that makes no sense. */
int check_run_options(const struct run_options *o);
/* Runs, prints the report (or the JSON), and gives the exit code. */
int run_and_print(const struct run_options *o, struct repo *repo, struct home *home, struct event *event);

#endif
