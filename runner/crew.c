/* crew.c: the other ranks of a training.
 *
 * On one machine rank 0 starts a process of this program for every device but its own, when there is something to train, each
 * with a socket as descriptor 3. In a Slurm step of several tasks (srun -n 8 assay …) the tasks are the ranks, and all are
 * given the same command: rank 0 does what it says, the others wait to be needed (crew_slurm.c). Either way a rank ends when
 * its socket does, and rank 0 names the one that ended first. */
#include "base/base.h"
#include "runner/crew_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 10.0 /* for a process that was sent home */

extern char **environ;

struct crew {
	struct devices devices;
	int n;
	char **names;
	pid_t *pids;        /* of those that were started here; 0: none */
	struct ranks *link; /* NULL: nobody has been called yet */
};

static char *describe(int rank, const char *device)
{
	return device ? mem_printf("rank %d (%s)", rank, device) : mem_printf("rank %d", rank);
}

/* ---- open and close ------------------------------------------------------------------------------------------------ */

static int meet_step(struct crew *c, const struct crew_step *s, const char *dir)
{
	int *fds = mem_array((size_t)c->n, sizeof(*fds)), rc = crew_slurm_meet(fds, s, dir);

	if (!rc)
		c->link = ranks_new(0, c->n, fds, (const char *const *)c->names);
	free(fds);
	return rc;
}

int crew_open(struct crew **out, const char *device, const char *dir)
{
	const struct crew_step step = crew_slurm_step();
	struct crew *c = mem_alloc(sizeof(*c));
	int rc;

	*c = (struct crew){ 0 };
	*out = c;
	rc = devices_parse(&c->devices, device);
	if (rc)
		return rc;
	if (step.n > 1) {
		char *own = devices_local(&c->devices, step.local);
		devices_release(&c->devices);
		c->devices = (struct devices){ mem_array(1, sizeof(char *)), 1 };
		c->devices.items[0] = own;
	}
	c->n = step.n > 1 ? step.n : (int)c->devices.n;
	c->names = mem_array((size_t)c->n, sizeof(*c->names));
	c->pids = mem_array((size_t)c->n, sizeof(*c->pids));
	for (int i = 0; i < c->n; i++)
		c->names[i] = describe(i, step.n > 1 ? NULL : c->devices.items[i]);
	return step.n > 1 ? meet_step(c, &step, dir) : 0;
}

const char *crew_device(const struct crew *c)
{
	return c->devices.items[0];
}

int crew_n(const struct crew *c)
{
	return c ? c->n : 1;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
}

/* Waits for a process, not for ever: a device that does not answer holds one. */
static void wait_for(pid_t pid)
{
	const double until = clock_seconds() + PATIENCE_S;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_seconds() > until) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return;
		}
		nap();
	}
}

void crew_close(struct crew *c, bool farewell)
{
	if (!c)
		return;
	ranks_close(c->link, farewell);
	for (int i = 0; c->names && i < c->n; i++) {
		if (c->pids[i])
			wait_for(c->pids[i]);
		free(c->names[i]);
	}
	free(c->names);
	free(c->pids);
	devices_release(&c->devices);
	free(c);
}

/* ---- processes of our own ------------------------------------------------------------------------------------------ */

static int start_one(struct crew *c, int rank, int end, int threads)
{
	char *number = mem_printf("%d", rank), *of = mem_printf("%d", c->n), *with = mem_printf("%d", threads);
	char self[] = "assay", command[] = "rank";
	char *const argv[] = { self, command, number, of, c->devices.items[rank], with, NULL };
	posix_spawn_file_actions_t files;
	int e;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, end, 3);
	e = posix_spawn(&c->pids[rank], "/proc/self/exe", &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	free(number);
	free(of);
	free(with);
	errno = e;
	return e ? err_errno(ERR_ENV, "%s cannot be started", c->names[rank]) : 0;
}

static int start_all(struct crew *c, int threads)
{
	int *links = mem_array((size_t)c->n, sizeof(*links)), started = 1, rc = 0;

	for (; !rc && started < c->n; started++) {
		int ends[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
			rc = err_errno(ERR_ENV, "no socket for %s", c->names[started]);
			break;
		}
		links[started] = ends[0];
		rc = start_one(c, started, ends[1], threads);
		close(ends[1]);
		if (rc)
			c->pids[started] = 0;
	}
	if (!rc)
		c->link = ranks_new(0, c->n, links, (const char *const *)c->names);
	for (int i = 1; rc && i < started; i++)
		close(links[i]);
	free(links);
	return rc;
}

/* The first of our processes that is gone; 0: none. */
static int gone(struct crew *c, int *status)
{
	for (int i = 1; i < c->n; i++)
		if (c->pids[i] && waitpid(c->pids[i], status, WNOHANG) == c->pids[i]) {
			c->pids[i] = 0;
			return i;
		}
	return 0;
}

/* A process that was killed says nothing itself; and its sockets are closed a moment before it is gone. */
static int tell_signal(struct crew *c, int rc)
{
	int status = 0, rank = 0;

	for (int looks = 0; looks < 200 && c->pids[1] && (rank = gone(c, &status)) == 0; looks++)
		nap();
	return rank && WIFSIGNALED(status)
		       ? err_context(rc, "%s was ended by signal %d", c->names[rank], WTERMSIG(status))
		       : rc;
}

/* ---- training ------------------------------------------------------------------------------------------------------ */

static int call_all(struct crew *c, const struct crew_job *job, int threads)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc = crew_job_put(&text, job);

	if (!rc && !c->link)
		rc = start_all(c, threads);
	if (!rc)
		rc = ranks_tell(c->link, &text);
	buf_release(&text);
	return rc;
}

int crew_train(struct crew *c, struct model *m, struct backend *be, const struct crew_job *job,
	       const struct train_hooks *hooks, struct train_result *result)
{
	struct train_hooks all = *hooks;
	int threads = be->threads, rc;

	if (crew_n(c) == 1)
		return train_run(m, job->data, job->options, hooks, result);
	if (crew_slurm_step().n == 1) /* ranks on one machine divide its processors */
		be->threads = threads / c->n > 1 ? threads / c->n : 1;
	rc = call_all(c, job, be->threads);
	all.ranks = c->link;
	if (!rc)
		rc = train_run(m, job->data, job->options, &all, result);
	be->threads = threads;
	return rc == ERR_UNAVAILABLE ? tell_signal(c, rc) : rc;
}

/* ---- the other side ------------------------------------------------------------------------------------------------ */

bool crew_is_hand(void)
{
	return crew_slurm_step().rank > 0;
}

int crew_serve(const char *device, int threads, const char *dir)
{
	const struct crew_step s = crew_slurm_step();
	struct devices d;
	int fd = -1, rc = devices_parse(&d, device);

	if (!rc)
		rc = crew_slurm_find(&fd, &s, dir);
	if (!rc) {
		char *own = devices_local(&d, s.local);
		rc = crew_work(ranks_new(s.rank, s.n, &fd, NULL), own, threads);
		free(own);
	}
	devices_release(&d);
	return rc;
}

/* assay rank RANK N DEVICE THREADS, with the socket to rank 0 as descriptor 3. */
int cmd_rank(int argc, char **argv)
{
	static const int socket_fd = 3;
	int rank = argc == 5 ? (int)strtol(argv[1], NULL, 10) : 0, n = argc == 5 ? (int)strtol(argv[2], NULL, 10) : 0;
	int type = 0;
	socklen_t len = sizeof(type);

	if (rank < 1 || rank >= n || getsockopt(socket_fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
		return err_set(ERR_USAGE, "assay rank is started by assay train and run, for each device of several");
	fcntl(socket_fd, F_SETFD, FD_CLOEXEC);
	return crew_work(ranks_new(rank, n, &socket_fd, NULL), argv[3], (int)strtol(argv[4], NULL, 10));
}
