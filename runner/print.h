/* print.h: what cmd_run.c shares with the commands that also run or show a run. */
#ifndef RUNNER_PRINT_H
#define RUNNER_PRINT_H

#include "ci/ci.h"
#include "runner/runner.h"

int terminal_width(void);
void print_report(const json_t *report, FILE *f);
/* What --format, --md and --html ask for; *out NULL: the terminal's form. ERR_USAGE. */
int report_choose(const struct report_format **out, const char *name, bool markdown, bool html);
/* A report on standard output in that form. ERR_IO; ERR_USAGE: a page for a terminal. */
int report_print(const json_t *report, const json_t *pairs, const struct report_format *format);
json_t *run_json(const struct run *run, int exit_code);
/* ERR_USAGE: an option's value that makes no sense. */
int check_run_options(const struct run_options *o);
/* Runs, prints the report (or the JSON), and gives the exit code. */
int run_and_print(const struct run_options *o, struct repo *repo, struct home *home, struct event *event);

#endif
