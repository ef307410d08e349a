/* nccl.cpp: stands in for libnccl.so.2 among processes that each have an emulated device: ncclSend and ncclRecv over abstract unix
 * sockets, one for each pair of ranks, with the library's manners: calls return before anything has moved, work moves when the
 * state is asked for, and a peer that is gone is never noticed.
 *
 *	EMU_NCCL	"missing": there is none; "fail N": the Nth group (from 0) of rank 1 ends with an error of the system;
 *			"die N": rank 1 is killed there; "alone": nobody ever meets; "slow": sends and receives say that they are
 *			under way, as the calls of a communicator that does not block may, and the state tells of the end three looks late
 *	EMU_NCCL_LOG	a file to which each rank adds "rank R of N: G groups" at its end */
#include "cuda_runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "kernels/cuda_nccl_int.h"

struct transfer {
	bool sends;
	int peer;
	char *device;
	std::vector<char> host;
	size_t done;
	cudaStream_t stream;
};
struct nccl_comm {
	int rank, n, at, groups;
	std::string name;
	std::vector<int> fds;
	std::vector<transfer> transfers; /* of the group that is under way */
	bool joined;
	int state, late;
};

static std::vector<transfer> group;
static nccl_comm *group_comm;

static socklen_t address(struct sockaddr_un *a, const std::string &name, int rank)
{
	std::string path = name + "." + std::to_string(rank);
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path + 1, path.data(), path.size()); /* abstract: it leaves no file */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + path.size());
}

/* One more peer, if one is there: those below are called, those above call. */
static void join(nccl_comm *c)
{
	struct sockaddr_un a;
	const char *how = getenv("EMU_NCCL");
	bool all = true;
	if (how && strcmp(how, "alone") == 0)
		return;
	for (int i = 0; i < c->rank; i++) {
		if (c->fds[(size_t)i] >= 0)
			continue;
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&a, address(&a, c->name, i)) == 0 &&
		    send(fd, &c->rank, sizeof(int), MSG_NOSIGNAL) == sizeof(int))
			c->fds[(size_t)i] = fd;
		else
			close(fd);
	}
	int fd = accept4(c->at, NULL, NULL, SOCK_CLOEXEC), rank;
	if (fd >= 0 && recv(fd, &rank, sizeof(rank), MSG_WAITALL) == sizeof(rank))
		c->fds[(size_t)rank] = fd;
	for (int i = 0; i < c->n; i++)
		all = all && (i == c->rank || c->fds[(size_t)i] >= 0);
	c->joined = all;
	c->state = all ? NCCL_SUCCESS : NCCL_IN_PROGRESS;
}

static bool move_bytes(nccl_comm *c, transfer *t)
{
	int fd = c->fds[(size_t)t->peer];
	char *p = t->host.data() + t->done;
	size_t left = t->host.size() - t->done;
	ssize_t n = t->sends ? send(fd, p, left, MSG_DONTWAIT | MSG_NOSIGNAL) : recv(fd, p, left, MSG_DONTWAIT);
	if (n > 0)
		t->done += (size_t)n;
	return t->done == t->host.size();
}

static void progress(nccl_comm *c)
{
	bool all = true;
	for (transfer &t : c->transfers)
		if (t.done < t.host.size())
			all = move_bytes(c, &t) && all;
	if (!all)
		return;
	for (transfer &t : c->transfers)
		if (!t.sends) {
			cudaMemcpyAsync(t.device, t.host.data(), t.host.size(), cudaMemcpyHostToDevice, t.stream);
			cudaStreamSynchronize(t.stream);
		}
	c->transfers.clear();
	c->state = NCCL_SUCCESS;
}

static bool is_slow(void)
{
	const char *how = getenv("EMU_NCCL");
	return how && strcmp(how, "slow") == 0;
}

static bool fails_now(const nccl_comm *c)
{
	const char *how = getenv("EMU_NCCL");
	char what[8];
	int nth;
	if (!how || c->rank != 1 || sscanf(how, "%7s %d", what, &nth) != 2 || c->groups != nth)
		return false;
	if (strcmp(what, "die") == 0)
		raise(SIGKILL);
	return strcmp(what, "fail") == 0;
}

static int add(bool sends, void *p, size_t count, int type, int peer, nccl_comm_t c, cudaStream_t stream)
{
	if (type != NCCL_FLOAT32 || peer < 0 || peer >= c->n || peer == c->rank || !c->joined || !c->transfers.empty())
		return 4; /* ncclInvalidArgument */
	group.push_back(transfer{ sends, peer, (char *)p, std::vector<char>(count * sizeof(float)), 0, stream });
	group_comm = c;
	return is_slow() ? NCCL_IN_PROGRESS : NCCL_SUCCESS;
}

extern "C" {
#define API __attribute__((visibility("default")))
API int ncclGetVersion(int *version)
{
	*version = 22809; /* 2.28.9 */
	return NCCL_SUCCESS;
}

API int ncclGetUniqueId(nccl_id *id)
{
	memset(id, 0, sizeof(*id));
	snprintf(id->internal, sizeof(id->internal), "assay-emulated-nccl-%d-%p", (int)getpid(), (void *)id);
	return NCCL_SUCCESS;
}

API int ncclCommInitRankConfig(nccl_comm_t *out, int n, nccl_id id, int rank, nccl_config *config)
{
	struct sockaddr_un a;
	if (config->size != sizeof(*config) || config->magic != NCCL_CONFIG_MAGIC || config->blocking || rank >= n)
		return 4;
	nccl_comm *c = new nccl_comm();
	c->rank = rank;
	c->n = n;
	c->name = id.internal;
	c->fds.assign((size_t)n, -1);
	c->at = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(c->at, (struct sockaddr *)&a, address(&a, c->name, rank)) || listen(c->at, n))
		return NCCL_SYSTEM;
	c->state = NCCL_IN_PROGRESS;
	*out = c;
	return NCCL_IN_PROGRESS;
}

API int ncclCommGetAsyncError(nccl_comm_t c, int *state)
{
	if (!c->joined)
		join(c);
	else if (!c->transfers.empty() && c->state == NCCL_IN_PROGRESS)
		progress(c);
	*state = c->state;
	if (is_slow() && c->state == NCCL_SUCCESS && c->late++ < 3)
		*state = NCCL_IN_PROGRESS;
	return NCCL_SUCCESS;
}

API int ncclCommAbort(nccl_comm_t c)
{
	const char *log = getenv("EMU_NCCL_LOG");
	FILE *f = log ? fopen(log, "a") : NULL;
	if (f) {
		fprintf(f, "rank %d of %d: %d groups\n", c->rank, c->n, c->groups);
		fclose(f);
	}
	for (int fd : c->fds)
		if (fd >= 0)
			close(fd);
	close(c->at);
	delete c;
	return NCCL_SUCCESS;
}

API int ncclGroupStart(void)
{
	group.clear();
	group_comm = NULL;
	return NCCL_SUCCESS;
}

API int ncclGroupEnd(void)
{
	nccl_comm *c = group_comm;
	if (!c) /* an empty one */
		return NCCL_SUCCESS;
	if (fails_now(c)) {
		c->groups++;
		return NCCL_SYSTEM;
	}
	c->groups++;
	for (transfer &t : group)
		if (t.sends) {
			if (cudaMemcpyAsync(t.host.data(), t.device, t.host.size(), cudaMemcpyDeviceToHost, t.stream) ||
			    cudaStreamSynchronize(t.stream))
				return NCCL_UNHANDLED_CUDA;
		}
	c->transfers.swap(group);
	c->state = NCCL_IN_PROGRESS;
	c->late = 0;
	return NCCL_IN_PROGRESS;
}

API int ncclSend(const void *p, size_t count, int type, int peer, nccl_comm_t comm, cudaStream_t stream)
{
	return add(true, (void *)p, count, type, peer, comm, stream);
}

API int ncclRecv(void *p, size_t count, int type, int peer, nccl_comm_t comm, cudaStream_t stream)
{
	return add(false, p, count, type, peer, comm, stream);
}

API const char *ncclGetErrorString(int result)
{
	return result == NCCL_SYSTEM ? "unhandled system error" : "an error";
}

API const char *ncclGetLastError(nccl_comm_t comm)
{
	(void)comm;
	return "";
}
}
