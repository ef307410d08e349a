/* cuda_nccl.cu: parts of device memory from card to card, by NCCL.
 *
 * The library is looked for when a training has several devices (libnccl.so.2: of the distribution, or of the nvidia-nccl package
 * that PyTorch brings), and done without: then the host carries the parts (model/ranks.c). It moves bytes and adds nothing: sends
 * and receives in one group, so that no sum depends on its algorithm, its protocol or how the cards are wired; what is added is
 * added by cuda_add(), in order.
 *
 * Communicators do not block. NCCL itself notices a peer on the same machine that is gone only by waiting for ever; so all
 * waiting is done here, and asks in between whether somebody has ended (broken). Then the communicator is aborted, which
 * takes its kernels off the device, and the training ends. */
#include "kernels/cuda_nccl_int.h"
#include "kernels/cuda_state_int.h"

#include <time.h>

struct cuda_nccl {
	nccl_library lib;
	nccl_comm_t comm;
	int version, rank, n;
	char missing[160]; /* why it is not used; "": it is */
};

/* ---- the library ---------------------------------------------------------------------------------------------------------------- */

static bool find_functions(nccl_library *l)
{
	const cuda_symbol functions[] = {
		{ (void **)&l->version, "ncclGetVersion" },
		{ (void **)&l->unique_id, "ncclGetUniqueId" },
		{ (void **)&l->init, "ncclCommInitRankConfig" },
		{ (void **)&l->abort, "ncclCommAbort" },
		{ (void **)&l->state, "ncclCommGetAsyncError" },
		{ (void **)&l->group_start, "ncclGroupStart" },
		{ (void **)&l->group_end, "ncclGroupEnd" },
		{ (void **)&l->send, "ncclSend" },
		{ (void **)&l->recv, "ncclRecv" },
		{ (void **)&l->text, "ncclGetErrorString" },
		{ (void **)&l->last, "ncclGetLastError" },
	};
	return cuda_find_symbols(l->file, functions, ARRAY_LEN(functions));
}

/* Under the emulation what stands in for it is a part of the plugin, or of the test's program. */
static void *open_file(void)
{
#ifdef ASSAY_CUDA_EMULATION
	Dl_info self;
	const char *how = getenv("EMU_NCCL");
	if (how && strcmp(how, "missing") == 0)
		return NULL;
	void *file = dladdr((void *)open_file, &self) ? dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD) : NULL;
	return file ? file : dlopen(NULL, RTLD_NOW);
#else
	return dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
#endif
}

static void load(cuda_nccl *c)
{
	c->lib.file = open_file();
	if (!c->lib.file || !find_functions(&c->lib))
		snprintf(c->missing, sizeof(c->missing), "libnccl.so.2 is not found%s",
			 c->lib.file ? " whole: version 2.14 or later is needed" : "");
	else if (c->lib.version(&c->version) || c->version < NCCL_LEAST)
		snprintf(c->missing, sizeof(c->missing), "libnccl.so.2 is of version %d, 2.14 or later is needed",
			 c->version);
}

static cuda_nccl *nccl_of(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	if (!s->nccl) {
		s->nccl = (cuda_nccl *)calloc(1, sizeof(*s->nccl));
		if (s->nccl)
			load(s->nccl);
	}
	return s->nccl;
}

void cuda_nccl_close(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	if (s->nccl && s->nccl->comm)
		s->nccl->lib.abort(s->nccl->comm); /* nothing is under way: trade() waits */
	free(s->nccl);                             /* the library stays, as the driver does */
	s->nccl = NULL;
}

void cuda_nccl_probe(kernels_tell *tell, void *arg)
{
	cuda_nccl c = {};
	char detail[64];
	load(&c);
	snprintf(detail, sizeof(detail), "NCCL %d.%d.%d", c.version / 10000, c.version / 100 % 100, c.version % 100);
	tell(arg, !c.missing[0], "nccl", c.missing[0] ? c.missing : detail,
	     c.missing[0] ? "install libnccl2, or have the library of pip's nvidia-nccl-cu12 in LD_LIBRARY_PATH; "
			    "without it the "
			    "gradients of several cards go by the host, which is slow"
			  : NULL);
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------------- */

/* Whom all waiting asks: is another rank gone? It then has said so as the thread's error. */
struct peers {
	bool (*broken)(void *arg);
	void *arg;
};

static void rest(int looks)
{
	const struct timespec nap = { 0, looks < 2000 ? 20000 : 1000000 };
	if (looks > 200) /* at first none: parts take microseconds */
		nanosleep(&nap, NULL);
}

static void leave(cuda_nccl *c)
{
	if (c->comm)
		c->lib.abort(c->comm);
	c->comm = NULL;
}

/* A peer that ends shows as an error of the connection too, and sometimes earlier: its end is the better reason. */
static int failed(struct backend *be, const peers *p, int rc, const char *call, int line)
{
	struct cuda_state *s = cuda_state(be);
	cuda_nccl *c = s->nccl;
	const char *more = c->comm ? c->lib.last(c->comm) : NULL;
	char text[512];
	snprintf(text, sizeof(text), "%s: NCCL: %s%s%.200s at %s, %s:%d", be->name, c->lib.text(rc),
		 more && *more ? ": " : "", more ? more : "", call, __FILE__, line);
	for (int looks = 0; p && looks < 2200; looks++) {
		if (p->broken(p->arg)) {
			leave(c);
			return ERR_UNAVAILABLE;
		}
		rest(looks);
	}
	leave(c);
	return s->fail(
		ERR_UNAVAILABLE, text,
		"run the same command again: it goes on from the last checkpoint; NCCL_DEBUG=WARN in the environment "
		"tells more");
}
#define NCCL_FAILED(be, p, rc, call) failed(be, p, rc, call, __LINE__)

static int ended(struct backend *be)
{
	leave(cuda_state(be)->nccl);
	return ERR_UNAVAILABLE;
}

/* Any call of a communicator that does not block may be done, or still under way: settle() waits for it. */
static bool taken(int rc)
{
	return rc == NCCL_SUCCESS || rc == NCCL_IN_PROGRESS;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------------------- */

/* Until the communicator has taken in what it was told. */
static int settle(struct backend *be, const peers *p, const char *call)
{
	cuda_nccl *c = cuda_state(be)->nccl;
	int state = NCCL_IN_PROGRESS;
	for (int looks = 0;; looks++) {
		int rc = c->lib.state(c->comm, &state);
		if (rc || !taken(state))
			return NCCL_FAILED(be, p, rc ? rc : state, call);
		if (state == NCCL_SUCCESS)
			return 0;
		if (p->broken(p->arg))
			return ended(be);
		rest(looks);
	}
}

/* Until the device has done it. */
static int wait_for_stream(struct backend *be, const peers *p)
{
	cuda_nccl *c = cuda_state(be)->nccl;
	cudaStream_t stream = cuda_stream(be);
	for (int looks = 0;; looks++) {
		int state = NCCL_SUCCESS;
		cudaError_t rc = cudaStreamQuery(stream);
		if (rc == cudaSuccess)
			return 0;
		if (rc != cudaErrorNotReady) {
			cuda_check(be, rc, "cudaStreamQuery", __FILE__, __LINE__);
			leave(c);
			return cuda_sync(be);
		}
		cudaGetLastError();
		if (p->broken(p->arg))
			return ended(be);
		int asked = c->lib.state(c->comm, &state);
		if (asked || !taken(state))
			return NCCL_FAILED(be, p, asked ? asked : state, "ncclCommGetAsyncError");
		rest(looks);
	}
}

/* ---- the table's three ------------------------------------------------------------------------------------------------------------ */

static int unavailable(struct backend *be, const char *why)
{
	return cuda_state(be)->fail(ERR_UNAVAILABLE, why, "install libnccl2, or pip's nvidia-nccl-cu12");
}

int cuda_ranks_id(struct backend *be, uint8_t id[KERNELS_RANKS_ID])
{
	cuda_nccl *c = nccl_of(be);
	nccl_id made = {};
	static_assert(sizeof(made) == KERNELS_RANKS_ID, "an id of NCCL");
	if (!c || c->missing[0])
		return unavailable(be, c ? c->missing : "the host has no memory");
	int rc = c->lib.unique_id(&made);
	memcpy(id, &made, sizeof(made));
	return rc ? NCCL_FAILED(be, NULL, rc, "ncclGetUniqueId") : 0;
}

static int cuda_trade(struct backend *be, const struct kernels_part *give, const struct kernels_part *take,
		      bool (*broken)(void *arg), void *arg)
{
	struct cuda_state *s = cuda_state(be);
	cuda_nccl *c = s->nccl;
	const peers p = { broken, arg };
	if (!c->comm)
		return s->fail(ERR_BUG, "parts for other devices, behind an error", NULL);
	cudaStream_t stream = cuda_stream(be); /* what is gathered is on it now */
	if (s->error)                          /* the others are told by the caller */
		return cuda_sync(be);
	int rc = c->lib.group_start();
	for (int i = 0; taken(rc) && i < c->n; i++) {
		if (give[i].bytes)
			rc = c->lib.send(give[i].p, give[i].bytes / sizeof(float), NCCL_FLOAT32, i, c->comm, stream);
		if (taken(rc) && take[i].bytes)
			rc = c->lib.recv(take[i].p, take[i].bytes / sizeof(float), NCCL_FLOAT32, i, c->comm, stream);
	}
	int end = c->lib.group_end();
	s->launches++; /* memory has changed: nobody may rely on a copy of it */
	if (taken(rc))
		rc = end;
	if (!taken(rc))
		return NCCL_FAILED(be, &p, rc, "ncclGroupEnd");
	rc = settle(be, &p, "ncclGroupEnd");
	return rc ? rc : wait_for_stream(be, &p);
}

int cuda_ranks_join(struct backend *be, const uint8_t id[KERNELS_RANKS_ID], int rank, int n, bool (*broken)(void *arg),
		    void *arg)
{
	cuda_nccl *c = nccl_of(be);
	const peers p = { broken, arg };
	nccl_config config = { sizeof(config), NCCL_CONFIG_MAGIC, NCCL_LEAST, 0 };
	nccl_id met;
	if (!c || c->missing[0])
		return unavailable(be, c ? c->missing : "the host has no memory");
	memcpy(&met, id, sizeof(met));
	c->rank = rank;
	c->n = n;
	int rc = c->lib.init(&c->comm, n, met, rank, &config);
	if (!taken(rc))
		return NCCL_FAILED(be, &p, rc, "ncclCommInitRankConfig");
	rc = settle(be, &p, "ncclCommInitRankConfig");
	if (!rc)
		be->trade = cuda_trade;
	return rc;
}
