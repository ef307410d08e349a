/* cmd_help.c: `assay help`, `version`, `completion`: generated from the table of commands, so they cannot drift. */
#include "base/base.h"
#include "kernels/kernels.h"
#include "runner/cmd.h"

int cmd_help(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--help") != 0 &&
	    strcmp(argv[1], "-h") != 0) { /* assay help run = assay run --help */
		char *args[] = { argv[1], (char *)(uintptr_t) "--help", NULL };

		for (const struct command *c = commands; c->name; c++)
			if (strcmp(c->name, argv[1]) == 0)
				return c->run(2, args);
		return err_set(ERR_USAGE, "no command %s", argv[1]);
	}
	puts("assay turns a git push into a gated model version.\n\nusage: assay COMMAND [OPTIONS] [OPERANDS]\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-11s %s\n", c->name, c->summary);
	puts("\nassay COMMAND --help tells more, with examples. Every flag has an environment twin\n"
	     "(--report-dir: ASSAY_REPORT_DIR), but for those that loosen a gate.\n\n"
	     "a first try:\n"
	     "  assay init      in a repository\n"
	     "  assay plan      what would run\n"
	     "  assay run       train, evaluate, gate, report\n"
	     "  assay hook install\n\n"
	     "exit codes: 0 passed, 1 gate failed, 2 undecided and blocked, 64 usage, 65 bad input,\n"
	     "69 unavailable, 70 a bug, 74 input/output, 75 interrupted: try again, 78 environment");
	return 0;
}

int cmd_version(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };
	const struct opt_usage usage = { "version", "", "the version of this binary and its numerics", NULL, 0, 0 };
	struct backend *be = NULL;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = backend_open(&be, "cpu", 0);
	if (rc == 0)
		printf("assay %s  %s\n", ASSAY_VERSION, be->numerics);
	backend_close(be);
	return rc;
}

static void words(const char *separator)
{
	for (const struct command *c = commands; c->name; c++)
		printf("%s%s", c == commands ? "" : separator, c->name);
}

int cmd_completion(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };
	const struct opt_usage usage = {
		"completion", "bash | zsh | fish", "completion for a shell", "  source <(assay completion bash)", 1, 1
	};
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (strcmp(argv[0], "bash") == 0) {
		printf("_assay() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
		       "\t\tCOMPREPLY=($(compgen -W '");
		words(" ");
		printf("' -- \"$cur\"))\n\telif [ \"${cur#-}\" != \"$cur\" ]; then\n"
		       "\t\tCOMPREPLY=($(compgen -W \"$(assay \"${COMP_WORDS[1]}\" --help 2>/dev/null | "
		       "grep -o -- '--[a-z-]*' | sort -u)\" -- \"$cur\"))\n\telse\n"
		       "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\tfi\n}\ncomplete -F _assay assay\n");
	} else if (strcmp(argv[0], "zsh") == 0) {
		printf("#compdef assay\n_arguments '1:command:(");
		words(" ");
		printf(")' '*:file:_files'\n");
	} else if (strcmp(argv[0], "fish") == 0) {
		for (const struct command *c = commands; c->name; c++)
			printf("complete -c assay -n __fish_use_subcommand -a %s -d '%s'\n", c->name, c->summary);
	} else {
		return err_set(ERR_USAGE, "assay completion: bash, zsh or fish");
	}
	return 0;
}
