/* crew_slurm.c: the tasks of a Slurm step find one another.
 *
 * srun sets SLURM_PROCID, SLURM_STEP_NUM_TASKS and SLURM_LOCALID for each of its tasks (in a batch script outside srun there is no
 * step, and none of this happens). Rank 0 listens on a port and writes where into a file of the folder that all tasks see,
 *
 *	.assay-ranks-JOB.STEP.RESTART	{"host","port","token"}, readable by its owner alone
 *
 * and the others come there and say the token and their number. This is the one place where assay listens, and it does so only
 * in such a step. Who has not come in time ends the run. A file that a killed attempt has left names a port where nobody
 * answers; it is read again until there is a new one. */
#include "base/base.h"
#include "base/json.h"
#include "runner/crew_int.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 300.0
#define HELLO_MS 5000
#define FILE_MAX 4096

enum { TOKEN = 32, RANKS_MAX = 1024 };
struct hello {
	char token[TOKEN];
	int32_t rank;
};

/* ---- the step ------------------------------------------------------------------------------------------------------ */

static int number(const char *name, int otherwise)
{
	const char *text = getenv(name);
	char *end;
	long n = text && *text ? strtol(text, &end, 10) : -1;

	return n >= 0 && n <= RANKS_MAX && !*end ? (int)n : otherwise;
}

struct crew_step crew_slurm_step(void)
{
	struct crew_step s = { number("SLURM_PROCID", -1), number("SLURM_STEP_NUM_TASKS", 1),
			       number("SLURM_LOCALID", 0) };

	if (s.n < 2 || s.rank < 0 || s.rank >= s.n)
		return (struct crew_step){ 0, 1, 0 };
	return s;
}

static const char *or_zero(const char *name)
{
	const char *text = getenv(name);

	return text && *text && strspn(text, "0123456789") == strlen(text) ? text : "0";
}

static char *meeting_path(const char *dir)
{
	char *name = mem_printf(".assay-ranks-%s.%s.%s", or_zero("SLURM_JOB_ID"), or_zero("SLURM_STEP_ID"),
				or_zero("SLURM_RESTART_COUNT"));
	char *path = path_join(dir, name);

	free(name);
	return path;
}

/* ---- sockets ------------------------------------------------------------------------------------------------------- */

static void sleep_ms(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* So that a machine that vanishes is noticed, and small words are not held back. */
static void settle(int fd)
{
	const int on = 1, idle_s = 60, every_s = 20, times = 3;
	const struct timeval for_ever = { 0, 0 };

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
#ifdef TCP_KEEPIDLE
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
#endif
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
}

static int listen_anywhere(int *port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any };
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	const int off = 0;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a))) { /* without IPv6 */
		if (fd >= 0)
			close(fd);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && bind(fd, (struct sockaddr *)&a4, sizeof(a4))) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0 || listen(fd, RANKS_MAX) || getsockname(fd, (struct sockaddr *)&bound, &len)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						  : ((struct sockaddr_in *)&bound)->sin_port);
	return fd;
}

/* ---- rank 0 -------------------------------------------------------------------------------------------------------- */

static int write_meeting(const char *path, int port, const char token[TOKEN])
{
	char host[256] = "";
	struct buf text = BUF_INIT(FILE_MAX);

	if (gethostname(host, sizeof(host) - 1))
		return err_errno(ERR_ENV, "the name of this machine");
	json_t *o = json_pack("{s:s,s:i,s:s#}", "host", host, "port", port, "token", token, (int)TOKEN);
	json_add(&text, o);
	json_decref(o);
	const mode_t mask = umask(077);
	int rc = fs_write(path, text.data, text.len);
	umask(mask);
	buf_release(&text);
	return rc ? err_context(rc, "where the tasks of this Slurm step find one another") : 0;
}

/* Differences are found in the same time wherever they are. */
static bool same_token(const char a[TOKEN], const char b[TOKEN])
{
	unsigned char d = 0;

	for (int i = 0; i < TOKEN; i++)
		d |= (unsigned char)(a[i] ^ b[i]);
	return d == 0;
}

/* Who does not say the right words is sent away; -1: so it was. */
static int admit(int fd, const char token[TOKEN], const int *fds, int n)
{
	const struct timeval patience = { HELLO_MS / 1000, 0 };
	struct hello h;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (recv(fd, &h, sizeof(h), MSG_WAITALL) != (ssize_t)sizeof(h) || !same_token(h.token, token) || h.rank < 1 ||
	    h.rank >= n || fds[h.rank] >= 0)
		return -1;
	settle(fd);
	return h.rank;
}

static int wait_for_all(int at, const char token[TOKEN], int *fds, int n)
{
	const double until = clock_seconds() + WAIT_S;
	int here = 1;

	while (here < n && clock_seconds() < until) {
		struct pollfd p = { .fd = at, .events = POLLIN };
		int fd = poll(&p, 1, 1000) > 0 ? accept4(at, NULL, NULL, SOCK_CLOEXEC) : -1;
		int rank = fd < 0 ? -1 : admit(fd, token, fds, n);
		if (fd >= 0 && rank < 0)
			close(fd);
		if (rank > 0) {
			fds[rank] = fd;
			here++;
		}
	}
	for (int i = 1; i < n; i++)
		if (fds[i] < 0)
			return err_hint(
				err_set(ERR_UNAVAILABLE, "task %d of the %d of this Slurm step has not come", i, n),
				"all tasks run the same command, and see the same folder; start one task with "
				"srun -n 1 where several are not wanted");
	return 0;
}

int crew_slurm_meet(int *fds, const struct crew_step *s, const char *dir)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char random[TOKEN];
	char token[TOKEN], *path = meeting_path(dir);
	int port = 0, rc = 0, at = -1;

	for (int i = 0; i < s->n; i++)
		fds[i] = -1;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random) || (at = listen_anywhere(&port)) < 0)
		rc = err_errno(ERR_ENV, "no socket for the tasks of this Slurm step");
	for (int i = 0; i < TOKEN; i++)
		token[i] = digits[random[i] & 15];
	if (!rc)
		rc = write_meeting(path, port, token);
	if (!rc)
		rc = wait_for_all(at, token, fds, s->n);
	struct err_saved saved = err_save();
	fs_remove(path);
	err_restore(&saved);
	for (int i = 1; rc && i < s->n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (at >= 0)
		close(at);
	free(path);
	return rc;
}

/* ---- the others ---------------------------------------------------------------------------------------------------- */

static int reach(const char *host, int port)
{
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[16];
	int fd = -1;

	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &want, &list))
		return -1;
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* -1: not yet, or not any more. */
static int try_once(const char *path, int rank)
{
	json_t *o = NULL;
	struct hello h = { .rank = rank };
	int fd = -1;

	if (json_read(&o, path, FILE_MAX)) {
		err_clear();
		return -1;
	}
	const char *token = json_get_text(o, "token", "");
	if (strlen(token) == TOKEN) {
		memcpy(h.token, token, TOKEN);
		fd = reach(json_get_text(o, "host", ""), (int)json_get_int(o, "port", 0));
	}
	json_decref(o);
	if (fd >= 0 && send(fd, &h, sizeof(h), MSG_NOSIGNAL) != (ssize_t)sizeof(h)) {
		close(fd);
		fd = -1;
	}
	if (fd >= 0)
		settle(fd);
	return fd;
}

int crew_slurm_find(int *fd, const struct crew_step *s, const char *dir)
{
	const double until = clock_seconds() + WAIT_S;
	char *path = meeting_path(dir);
	int rc = 0;

	while ((*fd = try_once(path, s->rank)) < 0 && clock_seconds() < until)
		sleep_ms(100);
	if (*fd < 0)
		rc = err_hint(err_set(ERR_UNAVAILABLE, "task 0 of this Slurm step is not found (%s)", path),
			      "look for its error; the folder must be one that all machines share");
	free(path);
	return rc;
}
