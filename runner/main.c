/* main.c: finds the command and prints its error. Nothing else.
 *
 * This is the one place that prints errors: a command returns an exit code (0 and above) or a failure (enum err), whose
 * text and hint go to standard error. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/confine.h"
#include "runner/keeper.h"
#include "runner/crew.h"

#include <signal.h>
#include <unistd.h>

static const struct command *find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[64], *near;
	size_t n = 0;

	for (const struct command *c = commands; c->name && n < ARRAY_LEN(names); c++)
		names[n++] = c->name;
	near = opt_nearest(name, names, n);
	err_set(ERR_USAGE, "no command %s", name);
	if (near)
		return err_hint(ERR_USAGE, "did you mean: assay %s", near);
	return err_hint(ERR_USAGE, "assay help lists the commands");
}

/* libgomp's idle threads spin for a while before they sleep, which is fine on a quiet machine and ruinous on a shared one
 * (measured on two busy cores: a training step four times slower). It reads its environment before main() runs, so the
 * one way to ask for short spins is to start again with the variable set, which costs some ten milliseconds: only where a
 * model may compute. The hook's script sets it beforehand. A user's own setting wins. */
static void wait_asleep(char **argv)
{
	char self[4096];
	ssize_t n;

	if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
		return;
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0 || setenv("GOMP_SPINCOUNT", "1000", 0) != 0)
		return;
	self[n] = 0;
	execv(self, argv); /* where it fails we go on as we are */
}

static int dispatch(int argc, char **argv)
{
	const struct command *c;
	const char *name = argc > 1 ? argv[1] : "help";

	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "rank") == 0) /* ourselves, for another device: no command of users */
		return cmd_rank(argc - 1, argv + 1);
	if (strcmp(name, "confine") == 0) /* likewise, in front of a command that came with a commit */
		return cmd_confine(argc - 1, argv + 1);
	if (strcmp(name, "keep") == 0)
		return cmd_keep(argc - 1, argv + 1);
	c = find(name);
	if (c && c->computes)
		wait_asleep(argv);
	return c ? c->run(argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv) : unknown(name);
}

static bool returned;

/* A library that has no memory ends the program with exit(1) (libarchive and libgomp do), and to a pipeline 1 is the verdict FAIL. */
static void ended_by_a_library(void)
{
	static const char text[] = "error: a library ended assay before it was done: mostly for want of memory\n";

	if (returned)
		return;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(err_exit_code(ERR_UNAVAILABLE));
}

static int run(int argc, char **argv)
{
	int rc;

	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error of the write that meets it, not our end */
	rc = dispatch(argc, argv);

	if (fflush(stdout) != 0 && rc >= 0)
		rc = err_errno(ERR_IO, "cannot write to standard output");
	else if (ferror(stdout) && rc >= 0) /* an earlier piece, and nothing is left to flush */
		rc = err_set(ERR_IO, "cannot write to standard output");
	if (rc >= 0)
		return rc;
	log_error("%s", err_text());
	if (err_fix())
		fprintf(stderr, "  fix: %s\n", err_fix());
	return err_exit_code(rc);
}

int main(int argc, char **argv)
{
	int code;

	atexit(ended_by_a_library);
	code = run(argc, argv);
	returned = true;
	return code;
}
