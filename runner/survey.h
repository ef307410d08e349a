/* survey.h: what a repository holds that a configuration can name, for `assay init`. */
#ifndef RUNNER_SURVEY_H
#define RUNNER_SURVEY_H

#include "base/base.h"
#include "runner/repo.h"

enum rows_kind { ROWS_OTHER, ROWS_TEXT, ROWS_PAIRS, ROWS_CHATS, ROWS_PREFERENCES };
enum data_role { ROLE_NONE, ROLE_TRAIN, ROLE_VALIDATION, ROLE_TEST }; /* by its name */

struct survey_data { /* a file of rows that trains or asks */
	char *path;
	enum rows_kind kind;
	enum data_role role;
	size_t rows;    /* that were looked at */
	size_t longest; /* answer, of pairs */
	bool lines;     /* an answer has more than one */
};

struct survey_task { /* a suite or task file that loads */
	char *path;
	char *names; /* of its tasks, a line each */
	bool command;
};

struct survey {
	struct repo *repo; /* borrowed */
	struct tree *tree; /* its work tree */
	char **names;      /* of its files, without those that git ignores, but with those of DVC */
	bool *by_dvc;      /* one a name */
	size_t n_names, cap_names;
	const char *forge; /* "github", "gitlab", "gitea", "forgejo"; NULL: none; static */
	char *base;        /* as assay.yaml names it; NULL: none */
	bool base_chats;   /* it has a chat template */
	char *adapter;     /* a PEFT folder for that base */
	struct survey_data *data;
	size_t n_data, cap_data;
	struct survey_task *tasks;
	size_t n_tasks, cap_tasks;
	char *trainer, *output; /* a Python program that trains, and the folder that it writes */
	bool lfs, dvc;
	struct buf found, left; /* in words, a line each: what was found; what was not used, and why */
};

/* forge: as the user says, or NULL. Only an error of the machine is one. */
int survey_make(struct survey *s, struct repo *r, const char *forge);
void survey_release(struct survey *s);

/* survey_model.c: fills base, adapter, trainer and output. */
void survey_models(struct survey *s);
bool survey_has_name(const struct survey *s, const char *name);
bool survey_ends_with(const char *s, const char *end);
/* This is left out, for the reason why the last call failed. */
void survey_leave(struct survey *s, const char *path);

/* survey_data.c: adds the file, if it is one of rows that can be trained on or asked. */
void survey_add_data(struct survey *s, const char *path);
const char *rows_kind_name(enum rows_kind k);

#endif
