/* survey.c: looks through the files of a work tree for what a configuration can name: the forge, base models and adapters,
 * lm-evaluation-harness tasks, data, what DVC tracks, a Python trainer.
 *
 * The one idea: a name makes a thing a candidate, and only reading it makes it a finding. A task is loaded with its data, a
 * model's config.json is parsed, rows are looked into; what does not stand that is told with the reason and not used, so that
 * what is written from the findings passes `assay plan`. git says which files there are (those that it ignores are none of
 * ours), and the files' names are strangers' text. Left out: Python is not run, and no server is asked. */
#include "base/base.h"
#include "runner/dvc.h"
#include "runner/questions.h"
#include "runner/survey.h"

enum { NAMES_MAX = 200000, TASKS_TRIED = 60, TASKS_MAX = 20 };
#define TEXT_MAX ((size_t)1 << 20)

bool survey_ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

void survey_leave(struct survey *s, const char *path)
{
	buf_addf(&s->left, "%s: %s%s%s\n", path, err_text(), err_fix() ? "; " : "", err_fix() ? err_fix() : "");
	err_clear();
}

/* ---- names ----------------------------------------------------------------------------------------------------------- */

bool survey_has_name(const struct survey *s, const char *name)
{
	for (size_t i = 0; i < s->n_names; i++)
		if (strcmp(s->names[i], name) == 0)
			return true;
	return false;
}

static void add_name(struct survey *s, const char *name, bool by_dvc)
{
	size_t cap = s->cap_names;

	if (s->n_names >= NAMES_MAX)
		return;
	MEM_GROW(s->names, s->n_names, s->cap_names);
	if (s->cap_names != cap)
		s->by_dvc = mem_resize(s->by_dvc, mem_mul(s->cap_names, sizeof(*s->by_dvc)));
	s->names[s->n_names] = mem_str(name);
	s->by_dvc[s->n_names++] = by_dvc;
}

struct in_folder {
	struct survey *s;
	const char *folder;
};

static int add_tracked(const char *name, void *arg)
{
	const struct in_folder *f = arg;
	char *path = path_join(f->folder, name);

	add_name(f->s, path, true);
	free(path);
	return 0;
}

/* What x.dvc tracks stands in .gitignore: its name comes from the pointer, a folder's from the folder. */
static void add_dvc(struct survey *s)
{
	size_t n = s->n_names;

	for (size_t i = 0; i < n; i++) {
		char *path = dvc_tracked(s->names[i]);
		struct in_folder f = { s, path };

		if (!path || strncmp(path, ".dvc/", 5) == 0 || survey_has_name(s, path)) {
			free(path);
			continue;
		}
		s->dvc = true;
		if (!tree_is_dir(s->tree, path))
			add_name(s, path, true);
		else if (tree_list(s->tree, path, add_tracked, &f) != 0)
			survey_leave(s, path);
		buf_addf(&s->found, "dvc       %s, by %s\n", path, s->names[i]);
		free(path);
	}
}

static int list_names(struct survey *s)
{
	struct buf text = BUF_INIT((size_t)64 << 20);
	struct proc p = { .argv = (const char *[]){ "git", "-C", repo_work_dir(s->repo), "ls-files", "-z", "--cached",
						    "--others", "--exclude-standard", "--deduplicate", NULL },
			  .out = &text };
	int rc = proc_check(&p);

	for (size_t at = 0; rc == 0 && at < text.len; at += strlen(text.data + at) + 1)
		add_name(s, text.data + at, false);
	buf_release(&text);
	if (rc == 0)
		add_dvc(s);
	return rc;
}

/* ---- the forge ------------------------------------------------------------------------------------------------------- */

static const char *forge_of_url(const char *text)
{
	static const char *const words[][2] = { { "gitlab", "gitlab" },
						{ "github", "github" },
						{ "forgejo", "forgejo" },
						{ "codeberg.org", "forgejo" },
						{ "gitea", "gitea" } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strstr(text, words[i][0]))
			return words[i][1];
	return NULL;
}

/* The remote's URL says it; where that says nothing (a server of one's own), the CI files that are there do. */
static void find_forge(struct survey *s, const char *asked)
{
	static const char *const files[][2] = { { ".gitlab-ci.yml", "gitlab" },
						{ ".forgejo/", "forgejo" },
						{ ".gitea/", "gitea" },
						{ ".github/", "github" } };
	struct buf text = BUF_INIT(1 << 16);
	struct proc p = { .argv = (const char *[]){ "git", "-C", repo_work_dir(s->repo), "remote", "-v", NULL },
			  .out = &text,
			  .err = &text };
	const char *why = asked ? "as you say" : "by the remote's URL";

	s->forge = asked;
	if (!asked && proc_run(&p) == 0)
		s->forge = forge_of_url(buf_str(&text));
	for (size_t i = 0; i < ARRAY_LEN(files) && !s->forge; i++)
		for (size_t k = 0; k < s->n_names && !s->forge; k++)
			if (strncmp(s->names[k], files[i][0], strlen(files[i][0])) == 0) {
				s->forge = files[i][1];
				why = s->names[k];
			}
	if (s->forge)
		buf_addf(&s->found, "forge     %s, %s\n", s->forge, why);
	buf_release(&text);
	err_clear();
}

/* ---- tasks ------------------------------------------------------------------------------------------------------------- */

/* Has the text a line that begins with this key? */
static bool has_key(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = text; (at = strstr(at, key)); at += n)
		if ((at == text || at[-1] == '\n') && at[n] == ':')
			return true;
	return false;
}

enum task_file { FILE_OTHER, FILE_SUITE, FILE_GROUP, FILE_TASK };

/* By what a task file cannot do without: a playbook of something else has a key "task", too. */
static enum task_file task_file_kind(struct survey *s, const char *path)
{
	struct buf b = BUF_INIT(TEXT_MAX);
	enum task_file kind = FILE_OTHER;
	const char *t;

	if (tree_read(s->tree, path, &b) == 0) {
		t = buf_str(&b);
		if (has_key(t, "suite") && has_key(t, "tasks"))
			kind = FILE_SUITE;
		else if (has_key(t, "group") && has_key(t, "task"))
			kind = FILE_GROUP;
		else if (has_key(t, "task") && (has_key(t, "dataset_path") || has_key(t, "doc_to_text") ||
						has_key(t, "output_type") || has_key(t, "include")))
			kind = FILE_TASK;
	}
	err_clear();
	buf_release(&b);
	return kind;
}

static const char *asked_already(const struct survey *s, const struct suite *suite)
{
	for (size_t i = 0; i < suite_tasks(suite); i++) {
		char *line = mem_printf("%s\n", suite_task_name(suite, i));

		for (size_t k = 0; k < s->n_tasks; k++) {
			const char *at = strstr(s->tasks[k].names, line);

			if (at && (at == s->tasks[k].names || at[-1] == '\n')) {
				free(line);
				return s->tasks[k].path;
			}
		}
		free(line);
	}
	return NULL;
}

static void try_task(struct survey *s, const char *path)
{
	struct buf names = BUF_INIT(TEXT_MAX);
	struct suite *suite = NULL;
	const char *other;
	size_t docs = 0;

	if (questions_load(&suite, path, s->tree, NULL, NULL) != 0) {
		survey_leave(s, path);
		return;
	}
	other = asked_already(s, suite);
	if (other) {
		if (suite_tasks(suite) > 1)
			buf_addf(&s->left, "%s: has a task that %s asks\n", path, other);
	} else if (s->n_tasks == TASKS_MAX) {
		buf_addf(&s->left, "%s: loads; suites has %d already\n", path, TASKS_MAX);
	} else {
		MEM_GROW(s->tasks, s->n_tasks, s->cap_tasks);
		for (size_t i = 0; i < suite_tasks(suite); i++) {
			buf_addf(&names, "%s\n", suite_task_name(suite, i));
			docs += suite_task_docs(suite, i);
		}
		buf_addf(&s->found, "tasks     %s: %zu, of %zu samples\n", path, suite_tasks(suite), docs);
		s->tasks[s->n_tasks++] =
			(struct survey_task){ mem_str(path), buf_take(&names), suite_has_command(suite) };
	}
	buf_release(&names);
	suite_free(suite);
}

/* Suites first, then groups: a task that one of them asks is not asked again by itself. */
static void find_tasks(struct survey *s)
{
	size_t tried = 0;

	for (enum task_file kind = FILE_SUITE; kind <= FILE_TASK; kind++)
		for (size_t i = 0; i < s->n_names; i++) {
			const char *name = s->names[i];

			if ((!survey_ends_with(name, ".yaml") && !survey_ends_with(name, ".yml")) || name[0] == '.' ||
			    strcmp(name, "assay.yaml") == 0 || task_file_kind(s, name) != kind)
				continue;
			if (++tried > TASKS_TRIED) {
				buf_addf(&s->left, "%s and what follows: not tried, there were %d before\n", name,
					 TASKS_TRIED);
				return;
			}
			try_task(s, name);
		}
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

static void find_lfs(struct survey *s)
{
	struct buf b = BUF_INIT(TEXT_MAX);

	s->lfs = tree_read(s->tree, ".gitattributes", &b) == 0 && strstr(buf_str(&b), "filter=lfs");
	if (s->lfs)
		buf_adds(&s->found, "git-lfs   by .gitattributes\n");
	err_clear();
	buf_release(&b);
}

int survey_make(struct survey *s, struct repo *r, const char *forge)
{
	int rc;

	*s = (struct survey){ .repo = r, .found = BUF_INIT(1 << 20), .left = BUF_INIT(1 << 20) };
	rc = tree_open_dirty(&s->tree, r);
	if (rc == 0)
		rc = list_names(s);
	if (rc)
		return rc;
	find_forge(s, forge);
	find_lfs(s);
	survey_models(s);
	for (size_t i = 0; i < s->n_names; i++)
		survey_add_data(s, s->names[i]);
	find_tasks(s);
	return 0;
}

void survey_release(struct survey *s)
{
	for (size_t i = 0; i < s->n_names; i++)
		free(s->names[i]);
	for (size_t i = 0; i < s->n_data; i++)
		free(s->data[i].path);
	for (size_t i = 0; i < s->n_tasks; i++) {
		free(s->tasks[i].path);
		free(s->tasks[i].names);
	}
	tree_close(s->tree);
	free(s->names);
	free(s->by_dvc);
	free(s->data);
	free(s->tasks);
	free(s->base);
	free(s->adapter);
	free(s->trainer);
	free(s->output);
	buf_release(&s->found);
	buf_release(&s->left);
}
