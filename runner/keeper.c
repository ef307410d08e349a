/* keeper.c: a command with a process in front of it that ends all its descendants: those that outlive it, and those that left
 * its process group with setsid(), which a signal to the group does not reach.
 *
 * The one idea: who loses its parent becomes the keeper's child (PR_SET_CHILD_SUBREAPER), so killing children until none is
 * left reaches everybody. That happens when the command has ended, however it did; at once on SIGUSR1 (proc.h's timeout); and
 * on SIGTERM, which also comes when assay itself dies, after the command had some seconds to end in peace.
 *
 * bubblewrap needs none of this: its process namespace ends with its first process. What the keeper cannot do is outrun a
 * program that forks and leaves faster than /proc can be read: it tries for some seconds. */
#include "base/base.h"
#include "runner/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PEACE_S 4.0           /* between SIGTERM and SIGKILL; less than proc.c waits */
#define HUNT_S 4.0            /* for descendants that do not end */
#define UNKNOWN "cannot run " /* a program that is not there */

struct kept {
	pid_t pid; /* of the command */
	bool ended;
	int status;
};

/* ---- the end --------------------------------------------------------------------------------------------------------- */

/* The fourth word of /proc/PID/stat; the second may hold spaces and parentheses. */
static pid_t parent_of(const char *pid)
{
	char *path = mem_printf("/proc/%s/stat", pid), text[1024], *end;
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	free(path);
	text[n] = 0;
	end = strrchr(text, ')');
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : -1;
}

static void kill_children(const struct kept *k)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	if (!k->ended)
		kill(k->pid, SIGKILL);
	while (d && (e = readdir(d)))
		if (*e->d_name >= '1' && *e->d_name <= '9' && parent_of(e->d_name) == getpid())
			kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
	if (d)
		closedir(d);
}

/* Takes in whoever has ended; false: there is no child any more. */
static bool reap(struct kept *k)
{
	int status;
	pid_t got;

	while ((got = waitpid(-1, &status, WNOHANG)) > 0)
		if (got == k->pid) {
			k->ended = true;
			k->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
	return got == 0 || errno == EINTR;
}

static void end_all(struct kept *k)
{
	const struct timespec some = { 0, 2000000 };
	double begun_s = clock_seconds();

	while (reap(k) && clock_seconds() - begun_s < HUNT_S) {
		kill_children(k);
		nanosleep(&some, NULL);
	}
}

/* ---- the wait -------------------------------------------------------------------------------------------------------- */

static _Noreturn void keep(struct kept *k, const sigset_t *signals)
{
	const struct timespec slice = { 0, 100000000 };
	double end_s = 0;
	int sig = 0;

	while (!k->ended && sig != SIGUSR1 && !(end_s > 0 && clock_seconds() > end_s)) {
		sig = sigtimedwait(signals, NULL, &slice);
		if ((sig == SIGTERM || sig == SIGINT || sig == SIGHUP) && !(end_s > 0)) {
			kill(-k->pid, SIGTERM);
			end_s = clock_seconds() + PEACE_S;
		}
		reap(k);
	}
	end_all(k);
	_exit(k->ended ? k->status : 128 + SIGKILL);
}

int keeper_fork(void)
{
	static const int all[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	struct kept k = { 0 };
	sigset_t signals, before;
	pid_t keeper = getpid();

	sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		sigaddset(&signals, all[i]);
	if (sigprocmask(SIG_BLOCK, &signals, &before) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return err_errno(ERR_ENV, "a keeper of the command");
	k.pid = fork();
	if (k.pid < 0)
		return err_errno(ERR_UNAVAILABLE, "cannot fork for the command");
	if (k.pid) {
		setpgid(k.pid, k.pid); /* also by the child: whoever comes first */
		keep(&k, &signals);
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(128 + SIGKILL);
	return sigprocmask(SIG_SETMASK, &before, NULL) == 0 ? 0 : err_errno(ERR_ENV, "sigprocmask");
}

int keeper_exec(char **argv)
{
	execvp(argv[0], argv);
	return err_errno(errno == ENOENT || errno == EACCES || errno == ENOTDIR ? ERR_UNAVAILABLE : ERR_IO,
			 UNKNOWN "%s", argv[0]);
}

bool keeper_lacks(int status, const char *line)
{
	return (status == err_exit_code(ERR_UNAVAILABLE) && strstr(line, UNKNOWN)) ||
	       (status == 1 && strncmp(line, "bwrap: execvp ", 14) == 0);
}

int cmd_keep(int argc, char **argv)
{
	int rc;

	if (argc < 2)
		return err_set(ERR_USAGE, "keep is for assay itself");
	rc = keeper_fork();
	return rc ? rc : keeper_exec(argv + 1);
}
