/* proc.c: child processes, by fork, exec and poll.
 *
 * A child leads a process group of its own, so that a timeout ends it with all its children; on Linux it is also told when
 * we die. Both streams are read as they come, whatever their order, so no child blocks on a full pipe. Its input is given
 * whole beforehand and lies in a file without a name: nothing has to be written while reading, and no SIGPIPE can occur.
 *
 * Between fork and exec only async-signal-safe calls are made, since other threads may have held locks: the program is
 * looked up and the environment built before. A failure in the child up to exec comes back through a pipe that exec
 * closes. Descriptors of ours never leak into the child.
 *
 * Once the child has ended, what is left in its streams is still read; should some process it left behind hold them open,
 * a second of silence ends the reading. Streams that overflow their buffer are read on and thrown away. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#define LINE_MAX_BYTES ((size_t)1 << 16) /* a longer line is handed on in pieces */
#define TAIL_BYTES 2048
#define SILENCE_S 1.0
#define STOP_GRACE_S 5.0
#define SLICE_MS 100 /* how late a stop, or an end without a pidfd, may be noticed */

extern char **environ;

/* One stream of the child: where it comes from and where it goes. */
struct stream {
	int fd; /* our end; -1: not read, or at its end */
	struct buf *to;
	struct buf line;
	char tail[TAIL_BYTES]; /* the last bytes, for proc_check */
	size_t tail_len;
	bool keep_tail;
};

struct child {
	struct proc *p;
	char *program;
	char **env;
	pid_t pid;
	int pidfd;
	bool exited;
	double exited_s;
	struct stream streams[2];
};

static const char *proc_name(const struct proc *p)
{
	return p->name ? p->name : p->argv[0];
}

/* ---- before the fork ---- */

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && !memcmp(a, b, n);
}

static bool is_named(const char *const *list, const char *entry)
{
	for (size_t i = 0; list && list[i]; i++)
		if (same_name(list[i], entry))
			return true;
	return false;
}

static char **build_env(const struct proc *p)
{
	char **env = NULL;
	size_t n = 0, cap = 0;

	for (char **e = environ; e && *e; e++) {
		if ((p->env_keep && !is_named(p->env_keep, *e)) || is_named(p->env, *e))
			continue;
		MEM_GROW(env, n, cap);
		env[n++] = *e;
	}
	for (size_t i = 0; p->env && p->env[i]; i++) {
		bool later = false;

		for (size_t j = i + 1; p->env[j] && !later; j++)
			later = same_name(p->env[i], p->env[j]);
		if (later || !strchr(p->env[i], '='))
			continue;
		MEM_GROW(env, n, cap);
		env[n++] = (char *)(uintptr_t)p->env[i];
	}
	MEM_GROW(env, n, cap);
	env[n] = NULL;
	return env;
}

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* The file to be run: PATH of the child's own environment decides. */
static char *find_program(const char *name, char **env)
{
	const char *dirs = "/usr/local/bin:/usr/bin:/bin";

	if (strchr(name, '/'))
		return mem_str(name);
	for (size_t i = 0; env[i]; i++)
		if (same_name(env[i], "PATH="))
			dirs = env[i] + 5;
	for (;;) {
		size_t n = strcspn(dirs, ":");
		char *dir = n ? mem_strn(dirs, n) : mem_str(".");
		char *path = path_join(dir, name);

		free(dir);
		if (is_program(path))
			return path;
		free(path);
		if (!dirs[n])
			return NULL;
		dirs += n + 1;
	}
}

/* A file without a name that holds the child's input, at its beginning. */
static int input_file(int *out, const struct proc *p)
{
	size_t done = 0;
	int fd = -1;

	*out = -1;
	if (!p->in) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_errno(ERR_IO, "cannot open /dev/null");
		*out = fd;
		return 0;
	}
#ifdef __linux__
	fd = memfd_create("input", MFD_CLOEXEC);
#endif
	if (fd < 0) {
		FILE *f = tmpfile();

		fd = f ? fcntl(fileno(f), F_DUPFD_CLOEXEC, 3) : -1;
		if (f)
			fclose(f);
	}
	if (fd < 0)
		return err_errno(ERR_IO, "cannot make a file for the input of %s", proc_name(p));
	while (done < p->in_len) {
		ssize_t n = write(fd, p->in + done, p->in_len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close(fd);
			return err_errno(ERR_IO, "cannot write the input of %s", proc_name(p));
		}
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET)) {
		close(fd);
		return err_errno(ERR_IO, "cannot rewind the input of %s", proc_name(p));
	}
	*out = fd;
	return 0;
}

static int make_pipe(int fds[2], const char *program)
{
	if (pipe2(fds, O_CLOEXEC)) {
		fds[0] = fds[1] = -1;
		return err_errno(ERR_UNAVAILABLE, "cannot make a pipe for %s", program);
	}
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- in the child ---- */

enum { STAGE_DIR = 1, STAGE_HOOK, STAGE_EXEC, STAGE_FDS };
struct failure {
	int stage, number;
};

static _Noreturn void child_fail(int report, int stage)
{
	struct failure f = { stage, errno };
	ssize_t n = write(report, &f, sizeof(f));

	(void)n;
	_exit(126);
}

/* dup2() onto itself would leave close-on-exec set. */
static int put_fd(int from, int to)
{
	if (from == to)
		return fcntl(to, F_SETFD, 0);
	return dup2(from, to) < 0 ? -1 : 0;
}

static _Noreturn void child_main(const struct child *c, int in, int out, int err, int report, pid_t parent)
{
	static const int usual[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGXFSZ };
	const struct proc *p = c->p;
	sigset_t none;

	(void)parent;
	setpgid(0, 0);
#ifdef __linux__
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
#endif
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		signal(usual[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (put_fd(in, 0) || (out >= 0 && put_fd(out, 1)) || (err >= 0 && put_fd(err, 2)))
		child_fail(report, STAGE_FDS);
#if defined(__linux__) && defined(SYS_close_range)
	/* whatever some library opened without close-on-exec; 4 is CLOSE_RANGE_CLOEXEC */
	syscall(SYS_close_range, 3u, ~0u, 4u);
#endif
	if (p->dir && chdir(p->dir))
		child_fail(report, STAGE_DIR);
	if (p->before_exec && p->before_exec(p->before_exec_arg))
		child_fail(report, STAGE_HOOK);
	execve(c->program, (char *const *)(uintptr_t)p->argv, c->env);
	child_fail(report, STAGE_EXEC);
}

/* ---- streams ---- */

static void hand_lines(struct proc *p, struct stream *s, const char *data, size_t len)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		size_t room = LINE_MAX_BYTES - s->line.len;
		bool whole = end && n <= room;

		if (n > room)
			n = room;
		buf_add(&s->line, data, n);
		if (whole || s->line.len == LINE_MAX_BYTES) {
			p->line(buf_str(&s->line), s->line.len, p->line_arg);
			buf_clear(&s->line);
		}
		data += n + whole;
		len -= n + whole;
	}
}

static void take(struct proc *p, struct stream *s, const char *data, size_t len)
{
	if (s->to)
		buf_add(s->to, data, len);
	else if (p->line)
		hand_lines(p, s, data, len);
	if (!s->keep_tail)
		return;
	if (len >= TAIL_BYTES) {
		memcpy(s->tail, data + len - TAIL_BYTES, TAIL_BYTES);
		s->tail_len = TAIL_BYTES;
		return;
	}
	if (s->tail_len + len > TAIL_BYTES) {
		size_t drop = s->tail_len + len - TAIL_BYTES;

		memmove(s->tail, s->tail + drop, s->tail_len - drop);
		s->tail_len -= drop;
	}
	memcpy(s->tail + s->tail_len, data, len);
	s->tail_len += len;
}

/* Reads what is there once; a part of a buffer's ceiling is used to the last byte. */
static void read_stream(struct proc *p, struct stream *s)
{
	char data[1 << 16];
	ssize_t n = read(s->fd, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close_fd(&s->fd);
		if (s->line.len && p->line)
			p->line(buf_str(&s->line), s->line.len, p->line_arg);
		buf_clear(&s->line);
		return;
	}
	if (s->to && !buf_full(s->to) && (size_t)n > s->to->max - s->to->len)
		buf_add(s->to, data, s->to->max - s->to->len);
	take(p, s, data, (size_t)n);
}

/* ---- in the parent ---- */

static void kill_group(const struct child *c, int sig)
{
	if (kill(-c->pid, sig))
		kill(c->pid, sig);
}

static void reap(struct child *c, bool wait)
{
	int status;
	pid_t got;

	if (c->exited)
		return;
	do
		got = waitpid(c->pid, &status, wait ? 0 : WNOHANG);
	while (got < 0 && errno == EINTR);
	if (!got)
		return;
	c->exited = true;
	c->exited_s = clock_seconds();
	if (got < 0)
		c->p->status = 127; /* somebody else has waited for it: no status is known */
	else
		c->p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Waits for one more event, at most until the given moment (0: none). */
static void pump(struct child *c, double until_s)
{
	struct pollfd fds[3];
	struct stream *which[3] = { NULL, NULL, NULL };
	bool sliced = c->p->stop || (c->pidfd < 0 && !c->exited);
	nfds_t n = 0;
	int wait_ms = sliced ? SLICE_MS : -1;

	for (int i = 0; i < 2; i++) {
		if (c->streams[i].fd < 0)
			continue;
		which[n] = &c->streams[i];
		fds[n++] = (struct pollfd){ .fd = c->streams[i].fd, .events = POLLIN };
	}
	if (!c->exited && c->pidfd >= 0)
		fds[n++] = (struct pollfd){ .fd = c->pidfd, .events = POLLIN };
	if (until_s > 0) {
		double ms = (until_s - clock_seconds()) * 1e3 + 1;
		int cut = ms < 0 ? 0 : ms > 1e9 ? 1000000000 : (int)ms;

		if (wait_ms < 0 || cut < wait_ms)
			wait_ms = cut;
	}
	if (poll(fds, n, wait_ms) > 0)
		for (nfds_t i = 0; i < n; i++)
			if (which[i] && fds[i].revents)
				read_stream(c->p, which[i]);
	reap(c, false);
}

/* At once, with all its children. */
static void end_child(struct child *c)
{
	if (c->p->keeper) {
		kill(c->pid, SIGUSR1);
		return;
	}
	kill_group(c, SIGKILL);
	reap(c, true);
}

/* What goes beyond a limit: the reason, else 0. */
static int over_limit(const struct proc *p, bool late)
{
	char limit[32];

	if (late) {
		clock_duration(limit, p->timeout_s);
		return err_set(ERR_UNAVAILABLE, "%s took longer than %s and was ended", proc_name(p), limit);
	}
	if (p->full_ends && p->out && buf_full(p->out))
		return err_set(ERR_INPUT, "%s printed more than %zu MiB and was ended", proc_name(p),
			       p->out->max >> 20);
	return 0;
}

/* Until the child has ended and its streams too, or it has to be ended by us. */
static int follow(struct child *c)
{
	struct proc *p = c->p;
	double begun_s = clock_seconds(), deadline = p->timeout_s > 0 ? begun_s + p->timeout_s : 0;
	double stopped_s = 0;
	int rc = 0;

	for (;;) {
		bool open = c->streams[0].fd >= 0 || c->streams[1].fd >= 0;
		double now = clock_seconds(), until = deadline;

		if (c->exited && (!open || now - c->exited_s > SILENCE_S || (deadline > 0 && now >= deadline)))
			break;
		if (!rc && !c->exited && p->stop && *p->stop) {
			rc = err_set(ERR_INTERRUPTED, "%s was interrupted", proc_name(p));
			stopped_s = now;
			kill_group(c, SIGTERM);
		}
		if (stopped_s > 0 && now - stopped_s > STOP_GRACE_S && !c->exited)
			kill_group(c, SIGKILL);
		if (!rc && !c->exited && (rc = over_limit(p, deadline > 0 && now >= deadline))) {
			stopped_s = now;
			end_child(c);
			if (c->exited)
				break;
		}
		if (c->exited)
			until = c->exited_s + SILENCE_S;
		else if (rc)
			until = now + 0.1;
		pump(c, until);
		/* what still comes is no silence */
		if (c->exited && open && clock_seconds() < until)
			c->exited_s = clock_seconds();
	}
	return rc;
}

static int start_error(const struct child *c, const struct failure *f)
{
	const struct proc *p = c->p;

	errno = f->number;
	switch (f->stage) {
	case STAGE_DIR:
		return err_errno(ERR_IO, "%s: cannot enter %s", proc_name(p), p->dir);
	case STAGE_HOOK:
		return 0; /* the status says it: 126 */
	case STAGE_EXEC:
		return err_hint(err_errno(ERR_UNAVAILABLE, "cannot run %s", proc_name(p)),
				"is %s installed, executable and built for this machine?", c->program);
	default:
		return err_errno(ERR_UNAVAILABLE, "cannot start %s", proc_name(p));
	}
}

/* Forks; on return the child runs its program, or the reason why not is known. */
static int start(struct child *c, int in, int out, int err)
{
	struct failure f = { 0, 0 };
	pid_t parent = getpid();
	int report[2];
	ssize_t n;
	int rc;

	rc = make_pipe(report, c->p->argv[0]);
	if (rc)
		return rc;
	fflush(stdout);
	c->pid = fork();
	if (c->pid < 0) {
		rc = err_errno(ERR_UNAVAILABLE, "cannot fork for %s", c->p->argv[0]);
		close_fd(&report[0]);
		close_fd(&report[1]);
		return rc;
	}
	if (!c->pid)
		child_main(c, in, out, err, report[1], parent);
	setpgid(c->pid, c->pid); /* also by the child: whoever comes first */
	close_fd(&report[1]);
	do
		n = read(report[0], &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	close_fd(&report[0]);
#if defined(__linux__) && defined(SYS_pidfd_open)
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
#endif
	if (n == (ssize_t)sizeof(f)) {
		reap(c, true);
		rc = start_error(c, &f);
	}
	return rc;
}

static int run(struct child *c)
{
	struct proc *p = c->p;
	int in = -1, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	bool want_out = p->out || p->line, want_err = p->err || p->line || c->streams[1].keep_tail;
	bool joined = want_out && want_err && p->out == p->err;
	int rc;

	c->streams[0].to = p->out;
	c->streams[1].to = p->err;
	rc = input_file(&in, p);
	if (!rc && want_out && !joined)
		rc = make_pipe(out, proc_name(p));
	if (!rc && want_err)
		rc = make_pipe(err, proc_name(p));
	if (!rc)
		rc = start(c, in, joined ? err[1] : out[1], err[1]);
	close_fd(&in);
	close_fd(&out[1]);
	close_fd(&err[1]);
	c->streams[0].fd = out[0];
	c->streams[1].fd = err[0];
	if (!rc)
		rc = follow(c);
	for (int i = 0; i < 2; i++) {
		close_fd(&c->streams[i].fd);
		if (c->streams[i].line.len && p->line)
			p->line(buf_str(&c->streams[i].line), c->streams[i].line.len, p->line_arg);
		buf_release(&c->streams[i].line);
	}
	close_fd(&c->pidfd);
	return rc;
}

static struct child *child_new(struct proc *p)
{
	struct child *c = mem_alloc(sizeof(*c));

	c->p = p;
	c->pidfd = -1;
	for (int i = 0; i < 2; i++) {
		c->streams[i].fd = -1;
		buf_init(&c->streams[i].line, LINE_MAX_BYTES);
	}
	return c;
}

static void child_free(struct child *c)
{
	free(c->program);
	free(c->env);
	free(c);
}

static int child_run(struct child *c)
{
	struct proc *p = c->p;

	p->status = 0;
	c->env = build_env(p);
	c->program = find_program(p->argv[0], c->env);
	if (!c->program)
		return err_hint(err_set(ERR_UNAVAILABLE, "program %s is not found", p->argv[0]),
				"install %s, or put its folder into PATH", p->argv[0]);
	return run(c);
}

int proc_run(struct proc *p)
{
	struct child *c = child_new(p);
	int rc = child_run(c);

	child_free(c);
	return rc;
}

/* "git fetch origin", cut at some 200 bytes. */
static void add_command(struct buf *b, const struct proc *p)
{
	for (size_t i = 0; p->argv[i]; i++) {
		if (b->len > 200) {
			buf_adds(b, " …");
			return;
		}
		if (i)
			buf_addc(b, ' ');
		buf_addf(b, "%.200s", p->argv[i]);
	}
}

int proc_check(struct proc *p)
{
	struct child *c = child_new(p);
	struct buf command = BUF_INIT(4096);
	struct stream *s = &c->streams[1];
	int rc;

	s->keep_tail = true;
	rc = child_run(c);
	if (!rc && p->status) {
		add_command(&command, p);
		while (s->tail_len && (s->tail[s->tail_len - 1] == '\n' || s->tail[s->tail_len - 1] == ' '))
			s->tail_len--;
		rc = err_set(ERR_IO, "%s: exit %d%s%.*s", buf_str(&command), p->status, s->tail_len ? ": " : "",
			     (int)s->tail_len, s->tail);
	}
	buf_release(&command);
	child_free(c);
	return rc;
}
