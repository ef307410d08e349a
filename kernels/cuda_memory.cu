/* cuda_memory.cu: the memory of a device: one arena, and the ways in and out of it.
 *
 * One order. Everything (copies, kernels, zeros) takes effect on the device in the order in which it was asked for, on one
 * stream, so a block that is freed can be given out again at once, and no operation waits for another but through the data.
 * What overlaps is the host, which goes on as soon as a copy is asked for, and reads what one batch has given while the device
 * computes the next (mark, wait); and the way over the bus, which is no part of that order: two streams of their own copy
 * between pinned pieces and pieces of the device, while kernels run. What the order holds is the step from a piece of the device
 * to its place, or back: some microseconds, whatever the bus takes.
 *
 *	upload		host memory -> pinned piece (the caller may go on) =up=> the device's piece -> its place
 *	download	its place -> the device's piece =down=> pinned piece; handed out when its piece is wanted again, at the
 *			latest by sync(), or by wait() for a mark behind it
 *
 * Each of these arrows waits for the one before it, by an event (done, passed), and two of them for what the piece held before:
 * the host fills a pinned piece behind the copy that read it; a copy over the bus overwrites the device's piece behind the step
 * that took from it. On the way down the host's wait for a piece covers both.
 *
 * The arena takes memory from CUDA in slabs and keeps it: cudaMalloc waits for the device and takes a millisecond. Blocks
 * are cut from slabs, the smallest gap that holds them first, and gaps that touch become one. When CUDA has no more, slabs
 * that are all gap are given back, and it is asked again. A block is 256-byte aligned and zeroed, in the order of the
 * stream. The list of spans is short (a model and a batch are some dozens), so it is searched from its beginning.
 *
 * Slabs of 0 bytes make every block a cudaMalloc of exactly its size, so that a byte beyond it is seen: so the emulation is built
 * (CUDA_SLAB_BYTES), and so it is on a card under compute-sanitizer, with ASSAY_CUDA_SLABS=0. */
#include "kernels/cuda_state_int.h"

#ifndef CUDA_SLAB_BYTES
#define CUDA_SLAB_BYTES 67108864
#endif

enum { GRAIN = 256 };

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t at_least_grain(size_t n)
{
	return n < GRAIN ? (size_t)GRAIN : n;
}

/* ---- the arena ----------------------------------------------------------------------------------------------------------- */

/* Room for two more spans, which a block may take: one of a new slab, one for what is left of a gap */
static bool room_for_spans(struct cuda_arena *a)
{
	size_t cap = a->cap ? a->cap * 2 : 64;
	if (a->n + 2 <= a->cap)
		return true;
	void *more = realloc(a->spans, cap * sizeof(*a->spans));
	if (!more)
		return false;
	a->spans = (struct cuda_span *)more;
	a->cap = cap;
	return true;
}

static void insert_span(struct cuda_arena *a, size_t at, struct cuda_span s)
{
	memmove(a->spans + at + 1, a->spans + at, (a->n - at) * sizeof(*a->spans));
	a->spans[at] = s;
	a->n++;
}

static void remove_span(struct cuda_arena *a, size_t at)
{
	a->n--;
	memmove(a->spans + at, a->spans + at + 1, (a->n - at) * sizeof(*a->spans));
}

/* The smallest gap that holds so much; n: there is none */
static size_t find_gap(const struct cuda_arena *a, size_t bytes)
{
	size_t best = a->n;
	for (size_t i = 0; i < a->n; i++)
		if (!a->spans[i].used && a->spans[i].bytes >= bytes &&
		    (best == a->n || a->spans[i].bytes < a->spans[best].bytes))
			best = i;
	return best;
}

static bool is_whole_slab(const struct cuda_arena *a, size_t i)
{
	int slab = a->spans[i].slab;
	return !a->spans[i].used && (i == 0 || a->spans[i - 1].slab != slab) &&
	       (i + 1 == a->n || a->spans[i + 1].slab != slab);
}

/* Gives slabs that hold nothing back to CUDA, which waits for the device first. False: there are none. */
static bool release_slabs(struct backend *be)
{
	struct cuda_arena *a = &cuda_state(be)->arena;
	bool any = false;
	for (size_t i = a->n; i-- > 0;)
		if (is_whole_slab(a, i)) {
			cuda_flush(be); /* it may be at work there */
			CUDA_CHECK(be, cudaFree(a->spans[i].p));
			remove_span(a, i);
			any = true;
		}
	return any;
}

/* cudaMalloc; NULL without an error on record: there is not enough */
static char *take_slab(struct backend *be, size_t bytes)
{
	void *p = NULL;
	cudaError_t rc = cudaMalloc(&p, bytes);
	if (rc == cudaErrorMemoryAllocation) {
		cudaGetLastError(); /* it is known now */
		return NULL;
	}
	return cuda_check(be, rc, "cudaMalloc", __FILE__, __LINE__) ? (char *)p : NULL;
}

static bool add_slab(struct backend *be, size_t bytes)
{
	struct cuda_arena *a = &cuda_state(be)->arena;
	size_t slab = a->slab_bytes, least = slab ? round_up(bytes, 2 << 20) : bytes,
	       size = least < slab ? slab : least;
	char *p = take_slab(be, size);
	if (!p && size > least)
		p = take_slab(be, size = least);
	if (!p && release_slabs(be))
		p = take_slab(be, size);
	if (p) {
		struct cuda_span s = { p, size, a->slabs++, false };
		insert_span(a, a->n, s);
	}
	return p != NULL;
}

/* What alloc can still give, and all there is. False: CUDA does not say, and its error is on record */
static bool count_memory(struct backend *be, size_t *free_bytes, size_t *total_bytes)
{
	const struct cuda_arena *a = &cuda_state(be)->arena;
	*free_bytes = *total_bytes = 0;
	if (!CUDA_CHECK(be, cudaMemGetInfo(free_bytes, total_bytes))) {
		*free_bytes = *total_bytes = 0;
		return false;
	}
	for (size_t i = 0; i < a->n; i++)
		if (!a->spans[i].used)
			*free_bytes += a->spans[i].bytes;
	return true;
}

/* The text of a lack of memory: how much was wanted and how much there is. False: it is none, the device fails */
static bool no_memory(struct backend *be, size_t bytes, char *text, size_t room)
{
	struct cuda_state *s = cuda_state(be);
	size_t free_bytes = 0, total = 0;
	if (!count_memory(be, &free_bytes, &total))
		return false;
	snprintf(text, room,
		 "%s: no memory for %zu MB more: %zu MB of the device's %zu MB are free, %zu MB are in use by this "
		 "process",
		 be->name, bytes / 1048576 + (bytes % 1048576 > 0), free_bytes >> 20, total >> 20,
		 s->arena.used_bytes >> 20);
	return true;
}

static const char memory_fix[] =
	"a smaller batch (--batch-tokens, finetune.micro_tokens), a shorter context, finetune."
	"gradient_checkpointing or a smaller model needs less; nvidia-smi shows who else has memory there";

/* The block, contents undefined; NULL: there is none, or an error is on record */
static void *take_block(struct backend *be, size_t bytes)
{
	struct cuda_arena *a = &cuda_state(be)->arena;
	size_t size = bytes < 1 ? 1 : bytes;
	if (size > SIZE_MAX / 2 || !room_for_spans(a))
		return NULL;
	if (a->slab_bytes)
		size = round_up(size, GRAIN);
	size_t i = a->slab_bytes ? find_gap(a, size) : a->n;
	if (i == a->n) {
		if (!add_slab(be, size))
			return NULL;
		i = a->n - 1;
	}
	struct cuda_span rest = a->spans[i];
	a->spans[i].used = true;
	a->spans[i].bytes = size;
	a->used_bytes += size;
	rest.p += size;
	rest.bytes -= size;
	void *p = a->spans[i].p;
	if (rest.bytes)
		insert_span(a, i + 1, rest);
	return p;
}

static bool joins(const struct cuda_arena *a, size_t i)
{
	return i + 1 < a->n && !a->spans[i].used && !a->spans[i + 1].used && a->spans[i].slab == a->spans[i + 1].slab;
}

void cuda_free(struct backend *be, void *p)
{
	struct cuda_arena *a = &cuda_state(be)->arena;
	size_t i = 0;
	if (!p)
		return;
	while (i < a->n && (a->spans[i].p != p || !a->spans[i].used))
		i++;
	if (i == a->n) {
		cuda_fail(be, ERR_BUG, "a block is freed that was not given out", __FILE__, __LINE__);
		return;
	}
	a->used_bytes -= a->spans[i].bytes;
	a->spans[i].used = false;
	cuda_state(be)->launches++;             /* contents of this address mean nothing from here on */
	cuda_written(be, p, a->spans[i].bytes); /* or will be, before anybody reads it */
	for (size_t k = i > 0 ? i - 1 : 0; k <= i && k < a->n;) {
		if (joins(a, k)) {
			a->spans[k].bytes += a->spans[k + 1].bytes;
			remove_span(a, k + 1);
		} else {
			k++;
		}
	}
	if (!a->slab_bytes)
		release_slabs(be);
}

int cuda_alloc(struct backend *be, void **out, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	char text[256];
	*out = NULL;
	be->no_memory = be->no_memory && s->error;
	void *p = s->lost ? NULL : take_block(be, bytes);
	if (!p && !s->error && no_memory(be, bytes, text, sizeof(text))) {
		be->no_memory = true;
		return s->fail(ERR_UNAVAILABLE, text, memory_fix);
	}
	if (!p)
		return s->fail(s->error, s->text, *s->fix ? s->fix : NULL);
	cuda_zero(be, p, bytes);
	*out = p;
	return 0;
}

int cuda_memory(struct backend *be, size_t *free_bytes, size_t *total_bytes)
{
	return count_memory(be, free_bytes, total_bytes) ? 0 : cuda_sync(be);
}

static void upload_now(struct backend *be, void *dst, const void *host_src, size_t bytes);

/* ---- memory of operations ------------------------------------------------------------------------------------------------- */

bool cuda_block_need(struct backend *be, struct cuda_block *b, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	char text[256];
	if (s->error)
		return false;
	if (b->p && b->bytes >= bytes)
		return true;
	cuda_free(be, b->p);
	b->bytes = 0;
	b->p = take_block(be, bytes);
	if (b->p) {
		b->bytes = bytes;
		return true;
	}
	if (!s->error && no_memory(be, bytes, text, sizeof(text))) {
		cuda_fail(be, ERR_UNAVAILABLE, text, __FILE__, __LINE__);
		snprintf(s->fix, sizeof(s->fix), "%s", memory_fix);
		be->no_memory = true;
	}
	return false;
}

void *cuda_scratch(struct backend *be, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	return cuda_block_need(be, &s->scratch, at_least_grain(bytes)) ? s->scratch.p : NULL;
}

/* The copy that has these contents, or else the first that nothing gathered reads, its contents void: so the same list of
 * operations finds its copies at the same places every time. NULL: all are in use. */
static struct cuda_staged *find_staged(struct cuda_state *s, const void *host, size_t bytes)
{
	struct cuda_staged *free_one = NULL;
	for (int i = 0; i < CUDA_STAGED; i++) {
		struct cuda_staged *c = &s->staged[i];
		if (c->block.p && c->bytes == bytes && (!bytes || memcmp(c->host, host, bytes) == 0))
			return c;
		if (!free_one && c->asked <= s->flushed)
			free_one = c;
	}
	if (free_one)
		free_one->bytes = SIZE_MAX;
	return free_one;
}

/* Room for the copy of an array that may be longer every time: it doubles, so that it seldom moves. Where blocks end at their
 * last byte on purpose (slabs of 0 bytes), it is exact. */
static size_t staged_room(size_t slab_bytes, size_t bytes)
{
	size_t room = GRAIN;
	while (slab_bytes && room < bytes)
		room *= 2;
	return room < bytes ? bytes : room;
}

/* Room on both sides; false: an error is on record */
static bool make_staged_room(struct backend *be, struct cuda_staged *c, size_t bytes)
{
	size_t slab_bytes = cuda_state(be)->arena.slab_bytes;
	if (!c->block.p || c->block.bytes < bytes) {
		cuda_flush(be); /* its new place may be one that what is gathered still works on */
		if (!cuda_block_need(be, &c->block, staged_room(slab_bytes, bytes)))
			return false;
	}
	if (c->host && c->host_bytes >= bytes)
		return true;
	free(c->host);
	c->host_bytes = staged_room(slab_bytes, bytes);
	c->host = malloc(c->host_bytes);
	if (!c->host)
		cuda_fail(be, ERR_UNAVAILABLE, "the host has no memory for a copy of a batch", __FILE__, __LINE__);
	return c->host != NULL;
}

const void *cuda_stage(struct backend *be, const void *host, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	if (s->error)
		return NULL;
	struct cuda_staged *c = find_staged(s, host, bytes);
	if (!c) {
		cuda_flush(be);
		c = find_staged(s, host, bytes);
	}
	bool found = c->bytes == bytes;
	if (!found && !make_staged_room(be, c, bytes))
		return NULL;
	c->asked = ++s->asked;
	if (found)
		return c->block.p;
	if (bytes)
		memcpy(c->host, host, bytes);
	upload_now(be, c->block.p, c->host, bytes);
	c->bytes = s->error ? SIZE_MAX : bytes; /* what has not arrived is not to be found again */
	return s->error ? NULL : c->block.p;
}

/* ---- pinned pieces -------------------------------------------------------------------------------------------------------- */

/* What the piece holds for the host goes to its places, when the copies into it are done. */
static bool empty_chunk(struct backend *be, struct cuda_chunk *c)
{
	bool ok = !c->busy || CUDA_CHECK(be, cudaEventSynchronize(c->done));
	for (int i = 0; ok && i < c->n; i++)
		memcpy(c->items[i].to, c->items[i].from, c->items[i].bytes);
	c->n = 0;
	c->used = 0;
	c->busy = false;
	return ok;
}

static struct cuda_chunk *chunk_of(struct cuda_ring *r, uint64_t number)
{
	return &r->chunks[number % CUDA_CHUNKS];
}

/* Room for up to so many bytes in the current piece, or in the next one; *bytes becomes what there is. */
static struct cuda_chunk *next_room(struct backend *be, struct cuda_ring *r, size_t *bytes)
{
	struct cuda_chunk *c = chunk_of(r, r->at);
	if ((c->used == CUDA_CHUNK_BYTES || c->n == CUDA_CHUNK_ITEMS) && !empty_chunk(be, c = chunk_of(r, ++r->at)))
		return NULL;
	if (*bytes > CUDA_CHUNK_BYTES - c->used)
		*bytes = CUDA_CHUNK_BYTES - c->used;
	return c;
}

static void use_chunk(struct cuda_chunk *c, size_t bytes)
{
	size_t used = round_up(c->used + bytes, 64);
	c->used = used < CUDA_CHUNK_BYTES ? used : (size_t)CUDA_CHUNK_BYTES;
	c->busy = true;
}

/* What is on `first` now, then what is put on `second` from here on */
static bool order_streams(struct backend *be, cudaStream_t first, cudaEvent_t event, cudaStream_t second)
{
	return CUDA_CHECK(be, cudaEventRecord(event, first)) && CUDA_CHECK(be, cudaStreamWaitEvent(second, event, 0));
}

/* n bytes of the piece, from where it is used up to: over the bus, then to their place */
static bool bring(struct backend *be, struct cuda_chunk *c, char *dst, size_t n)
{
	cudaStream_t up = cuda_state(be)->up.stream, kernels = cuda_state(be)->stream;
	char *there = c->there + c->used;
	if (c->used == 0 && !CUDA_CHECK(be, cudaStreamWaitEvent(up, c->passed, 0))) /* what it held last */
		return false;
	return CUDA_CHECK(be, cudaMemcpyAsync(there, c->p + c->used, n, cudaMemcpyHostToDevice, up)) &&
	       order_streams(be, up, c->done, kernels) &&
	       CUDA_CHECK(be, cudaMemcpyAsync(dst, there, n, cudaMemcpyDeviceToDevice, kernels)) &&
	       CUDA_CHECK(be, cudaEventRecord(c->passed, kernels));
}

static bool fetch(struct backend *be, struct cuda_chunk *c, const char *src, size_t n)
{
	cudaStream_t down = cuda_state(be)->down.stream, kernels = cuda_state(be)->stream;
	char *there = c->there + c->used;
	return CUDA_CHECK(be, cudaMemcpyAsync(there, src, n, cudaMemcpyDeviceToDevice, kernels)) &&
	       order_streams(be, kernels, c->passed, down) &&
	       CUDA_CHECK(be, cudaMemcpyAsync(c->p + c->used, there, n, cudaMemcpyDeviceToHost, down)) &&
	       CUDA_CHECK(be, cudaEventRecord(c->done, down));
}

/* Ahead of what the list holds */
static void upload_now(struct backend *be, void *dst, const void *host_src, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	s->launches++;
	for (size_t at = 0, n; at < bytes && !s->lost; at += n) {
		n = bytes - at;
		struct cuda_chunk *c = next_room(be, &s->up, &n);
		if (!c)
			return;
		memcpy(c->p + c->used, (const char *)host_src + at, n);
		if (!bring(be, c, (char *)dst + at, n))
			return;
		use_chunk(c, n);
	}
}

void cuda_upload(struct backend *be, void *dst, const void *host_src, size_t bytes)
{
	cuda_flush_between(be);
	cuda_written(be, dst, bytes);
	upload_now(be, dst, host_src, bytes);
}

void cuda_download(struct backend *be, void *host_dst, const void *src, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	cuda_flush_between(be);
	for (size_t at = 0, n; at < bytes && !s->lost; at += n) {
		n = bytes - at;
		struct cuda_chunk *c = next_room(be, &s->down, &n);
		if (!c)
			return;
		if (!fetch(be, c, (const char *)src + at, n))
			return;
		c->items[c->n].to = (char *)host_dst + at;
		c->items[c->n].from = c->p + c->used;
		c->items[c->n].bytes = n;
		c->n++;
		use_chunk(c, n);
	}
}

/* Hands out what lies in the pieces before number `end`, the oldest first: a place may have been written twice. */
static bool deliver_before(struct backend *be, uint64_t end)
{
	struct cuda_ring *r = &cuda_state(be)->down;
	bool ok = true;
	for (uint64_t i = r->at < CUDA_CHUNKS ? 0 : r->at - CUDA_CHUNKS + 1; i < end; i++)
		ok = empty_chunk(be, chunk_of(r, i)) && ok;
	return ok;
}

bool cuda_deliver(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	bool ok = deliver_before(be, s->down.at + 1);
	for (int i = 0; i < CUDA_CHUNKS; i++)
		ok = empty_chunk(be, &s->up.chunks[i]) && ok;
	return ok;
}

/* A mark ends a piece: later downloads go to the next one, whose event is not waited for. */
uint64_t cuda_mark(struct backend *be)
{
	struct cuda_ring *r = &cuda_state(be)->down;
	if (chunk_of(r, r->at)->n)
		empty_chunk(be, chunk_of(r, ++r->at));
	return r->at;
}

int cuda_wait(struct backend *be, uint64_t mark)
{
	deliver_before(be, mark);
	return cuda_state(be)->error ? cuda_sync(be) : 0;
}

/* ---- open and close -------------------------------------------------------------------------------------------------------- */

static bool open_ring(struct backend *be, struct cuda_ring *r)
{
	if (!CUDA_CHECK(be, cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking)) ||
	    !cuda_block_need(be, &r->there, (size_t)CUDA_CHUNKS * CUDA_CHUNK_BYTES))
		return false;
	for (int i = 0; i < CUDA_CHUNKS; i++) {
		struct cuda_chunk *c = &r->chunks[i];
		c->there = (char *)r->there.p + (size_t)i * CUDA_CHUNK_BYTES;
		if (!CUDA_CHECK(be, cudaHostAlloc((void **)&c->p, CUDA_CHUNK_BYTES, cudaHostAllocDefault)) ||
		    !CUDA_CHECK(be, cudaEventCreateWithFlags(&c->done, cudaEventDisableTiming)) ||
		    !CUDA_CHECK(be, cudaEventCreateWithFlags(&c->passed, cudaEventDisableTiming)))
			return false;
	}
	return true;
}

int cuda_memory_open(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	const char *slabs = getenv("ASSAY_CUDA_SLABS");
	s->arena.slab_bytes = slabs && strcmp(slabs, "0") == 0 ? 0 : CUDA_SLAB_BYTES;
	return open_ring(be, &s->up) && open_ring(be, &s->down) ? 0 : s->error;
}

static void close_ring(struct cuda_ring *r)
{
	for (int i = 0; i < CUDA_CHUNKS; i++) {
		if (r->chunks[i].done)
			cudaEventDestroy(r->chunks[i].done);
		if (r->chunks[i].passed)
			cudaEventDestroy(r->chunks[i].passed);
		if (r->chunks[i].p)
			cudaFreeHost(r->chunks[i].p);
	}
	if (r->stream)
		cudaStreamDestroy(r->stream);
}

/* What fails here has failed before: the device is lost, and the process' end gives everything back. */
void cuda_memory_close(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	struct cuda_arena *a = &s->arena;
	close_ring(&s->up);
	close_ring(&s->down);
	for (int i = 0; i < CUDA_STAGED; i++)
		free(s->staged[i].host);
	for (size_t i = 0; i < a->n; i++)
		if (i == 0 || a->spans[i].slab != a->spans[i - 1].slab)
			cudaFree(a->spans[i].p);
	free(a->spans);
}
