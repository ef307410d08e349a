/* cmd_init.c: `assay init`: looks at the repository (survey.c), says what it found and what it leaves out, and writes a
 * configuration (scaffold.c) and the CI file of the forge. Nothing that exists is overwritten.
 *
 * A .gitlab-ci.yml that is there gets the job beside it, and the two lines that include it are printed. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/cmd.h"
#include "runner/config.h"
#include "runner/print.h"
#include "runner/scaffold.h"

#include <ctype.h>

static const char *const forges[] = { "github", "gitlab", "gitea", "forgejo" };

static char *model_name(const char *root)
{
	char *path = mem_strn(root, strlen(root)), *name;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = 0;
	name = mem_strn(path_base(path), strnlen(path_base(path), 100));
	free(path);
	for (char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			*c = '-';
	if (!isalnum((unsigned char)*name)) {
		free(name);
		name = mem_str("model");
	}
	return name;
}

/* Lines of strangers' names, indented. */
static void print_lines(const char *title, const struct buf *lines)
{
	if (!lines->len)
		return;
	puts(title);
	for (const char *at = lines->data, *end = at + lines->len; at < end;) {
		size_t n = strcspn(at, "\n");

		fputs("  ", stdout);
		log_safe(stdout, at, n);
		putchar('\n');
		at += n + 1;
	}
	putchar('\n');
}

/* ---- the CI file --------------------------------------------------------------------------------------------------------- */

/* text with every first `from` replaced by `to`, or as it is. */
static void replace(struct buf *text, const char *from, const char *to)
{
	const char *at = strstr(buf_str(text), from);
	struct buf out = BUF_INIT(1 << 20);

	if (!at)
		return;
	buf_add(&out, text->data, (size_t)(at - text->data));
	buf_adds(&out, to);
	buf_adds(&out, at + strlen(from));
	buf_release(text);
	*text = out;
}

/* A template with this repository's branch, and with what DVC tracks fetched first. */
static void fit(struct buf *text, const struct survey *s, const char *branch)
{
	static const char pull[] =
		"pip install dvc && dvc pull # what .dvc files name; its remote's credentials by the "
		"environment\n";
	static const char *const before[] = { "      - uses: ./.assay-source/ci/github\n", "      - id: assay\n" };
	bool plain = branch[strspn(branch, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/-.")] == 0;

	if (strcmp(branch, "main") && strcmp(branch, "master") && plain && *branch != '-') {
		char *list = mem_printf("branches: [%s]", branch);

		replace(text, "branches: [main, master]", list);
		free(list);
	}
	for (size_t i = 0; i < ARRAY_LEN(before) && s->dvc; i++) {
		char *with = mem_printf("      - run: %s%s", pull, before[i]);

		replace(text, before[i], with);
		free(with);
	}
	if (s->dvc) {
		char *with = mem_printf("    - code=0\n    - %s", pull);

		replace(text, "    - code=0\n", with);
		free(with);
	}
}

static bool in_tree(const struct survey *s, const char *path)
{
	char *full = path_join(repo_work_dir(s->repo), path);
	bool yes = fs_exists(full);

	free(full);
	return yes;
}

static int write_ci(const struct survey *s, const char *branch)
{
	struct buf text = BUF_INIT(1 << 20);
	const char *path = NULL, *template = s->forge ? ci_template(s->forge, &path) : NULL;
	bool beside = false;
	int rc;

	if (!template)
		return 0;
	if (strcmp(s->forge, "gitlab") == 0 && in_tree(s, path)) {
		beside = true;
		path = ".gitlab/assay.gitlab-ci.yml";
	}
	buf_adds(&text, template);
	fit(&text, s, branch);
	rc = scaffold_file(s, path, text.data, text.len, NULL);
	if (rc == 0 && beside)
		printf("           in .gitlab-ci.yml, so that its job runs:\n"
		       "             include:\n               - local: %s\n",
		       path);
	buf_release(&text);
	return rc;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------- */

static int write_all(struct survey *s, const char *branch)
{
	char *name = model_name(repo_work_dir(s->repo));
	bool fresh = !in_tree(s, CONFIG_FILE);
	int rc = 0;

	print_lines("found", &s->found);
	if (fresh)
		rc = scaffold_write(s, name, branch);
	else
		printf("  kept     %s\n", CONFIG_FILE);
	if (rc == 0)
		rc = write_ci(s, branch);
	if (rc == 0 && fresh && s->left.len) {
		putchar('\n');
		print_lines("not used", &s->left);
	} else if (rc == 0) {
		putchar('\n');
	}
	if (rc == 0 && !s->forge)
		puts("no forge is known by the remote: assay init --forge github, gitlab, gitea or forgejo adds its CI "
		     "file");
	if (rc == 0)
		puts("next: read assay.yaml; git add -A && git commit -m \"assay: first configuration\"\n"
		     "      assay plan, then assay run");
	free(name);
	return rc;
}

int cmd_init(int argc, char **argv)
{
	const char *forge = NULL;
	struct repo *repo = NULL;
	struct survey survey = { 0 };
	char *branch = NULL;
	bool known = false;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "forge", &forge, "NAME", "github, gitlab, gitea or forgejo (default: by the remote's URL)"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"init",
		"",
		"write assay.yaml, a suite and the CI file of the forge it finds",
		"What is there is used: models, adapters, data, lm-evaluation-harness tasks, a Python "
		"trainer.\n"
		"Where there is nothing, a small model learns to read the clock: it runs as it is, in some "
		"seconds.\n"
		"Nothing that exists is overwritten.",
		0,
		0
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	for (size_t i = 0; forge && i < ARRAY_LEN(forges); i++)
		if (strcmp(forge, forges[i]) == 0) {
			known = true;
			forge = forges[i];
		}
	if (forge && !known)
		return err_set(ERR_USAGE, "--forge: github, gitlab, gitea or forgejo");
	rc = repo_open(&repo, ".");
	if (rc == 0 && !repo_work_dir(repo))
		rc = err_set(ERR_INPUT, "a bare repository has no work tree to write to");
	if (rc == 0 && repo_head_branch(repo, &branch) != 0)
		branch = mem_str("main");
	if (rc == 0)
		rc = survey_make(&survey, repo, forge);
	if (rc == 0)
		rc = write_all(&survey, branch);
	survey_release(&survey);
	free(branch);
	repo_close(repo);
	return rc;
}
