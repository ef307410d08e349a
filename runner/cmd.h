/* cmd.h: the commands. Each lives in a file of its own, has one option table, and gives an exit code. */
#ifndef RUNNER_CMD_H
#define RUNNER_CMD_H

#include "base/base.h"
#include "base/json.h"
#include "runner/home.h"
#include "runner/repo.h"

struct command {
	const char *name;                  /* "run"; two words for a family: "hook install" */
	const char *summary;               /* one line of `assay help` */
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; gives an exit code or an enum err */
	bool computes;                     /* a model may be asked or trained in this process: see main.c */
};
extern const struct command commands[]; /* name NULL at the end */

/* What most commands begin with: the repository around the working directory (NULL outside one, if $ASSAY_HOME is
 * set), the home, and proposals settled. */
struct place {
	struct repo *repo;
	struct home home;
};
int place_open(struct place *p);
void place_close(struct place *p);
/* The run a name stands for: registry_find_run()'s names, then whatever git resolves to a commit. ERR_INPUT. */
int place_run(struct place *p, const char *name, char id[DIGEST_HEX]);

/* Prints a document on standard output, and a table of rows (flat objects): columns "key:Title" in order; a title that
 * begins with '>' is aligned to the right. */
int print_json(const json_t *value);
void print_table(const json_t *rows, const char *const *columns, size_t n);

int cmd_init(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_calibrate(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_tokenizer(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_gate(int argc, char **argv);
int cmd_promote(int argc, char **argv);
int cmd_rollback(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_models(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_samples(int argc, char **argv);
int cmd_reproduce(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_mirror(int argc, char **argv);
int cmd_registry(int argc, char **argv);
int cmd_artifact(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_hook(int argc, char **argv);
int cmd_post(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_completion(int argc, char **argv);

#endif
