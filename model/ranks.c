/* ranks.c: processes that work on one thing, a device each, and what they say to one another.
 *
 * A star of stream sockets with rank 0 in its middle. What is said comes in frames:
 *
 *	uint32 kind, int32 code, uint64 bytes, then so many bytes
 *	DATA		what the other side waits for
 *	FAILED		the sender has ended with this code: "text\0fix"
 *	FAREWELL	of rank 0: there is nothing more to do
 *
 * All ranks go through the same calls in the same order, so a frame needs no name. A socket that ends without a farewell is a
 * process that was killed; rank 0, which all others see, then ends too, and so do they. Nobody waits for the dead: where the
 * devices talk among themselves (the back end's own way, trade()), the sockets are looked at meanwhile: at what was said last,
 * and at whether the other side has hung up behind words that nobody has read yet.
 *
 * Parts of device memory go over the sockets by the host where a back end has no way of its own: slower, the same bytes. The
 * other side is trusted as the same program, started by the same user; a length that cannot be is refused all the same. */
#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model/model_int.h"

enum frame_kind { FRAME_DATA = 1, FRAME_FAILED, FRAME_FAREWELL };
struct frame {
	uint32_t kind;
	int32_t code;
	uint64_t bytes;
};
#define SAID_MAX ((uint64_t)16 << 30)
#define WHY_MAX 8192

struct ranks {
	int rank, n;
	int *links;   /* by rank; of others than 0 only links[0]; -1: none */
	char **names; /* of rank 0 */
	bool broken;  /* somebody has ended: nothing is said any more */
	int code;     /* why, where it has said so */
};

struct ranks *ranks_new(int rank, int n, const int *links, const char *const *names)
{
	struct ranks *r = mem_alloc(sizeof(*r));

	*r = (struct ranks){ .rank = rank,
			     .n = n,
			     .links = mem_array((size_t)n, sizeof(int)),
			     .names = mem_array((size_t)n, sizeof(char *)) };
	for (int i = 0; i < n; i++) {
		r->links[i] = (rank == 0) != (i == 0) ? links[i] : -1;
		r->names[i] = rank == 0 && names && names[i] ? mem_str(names[i]) : mem_printf("rank %d", i);
	}
	return r;
}

int ranks_rank(const struct ranks *r)
{
	return r->rank;
}

int ranks_n(const struct ranks *r)
{
	return r->n;
}

/* ---- frames -------------------------------------------------------------------------------------------------------- */

static int has_ended(struct ranks *r, int from)
{
	r->broken = true;
	err_set(ERR_UNAVAILABLE, "%s has ended", r->names[from]);
	return err_hint(ERR_UNAVAILABLE,
			"it was killed, or its machine or device is gone (dmesg says more); run the same command "
			"again: it goes on from the last checkpoint");
}

static int read_all(struct ranks *r, int from, void *to, size_t bytes)
{
	for (char *p = to; bytes;) {
		ssize_t got = recv(r->links[from], p, bytes, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return has_ended(r, from);
		p += got;
		bytes -= (size_t)got;
	}
	return 0;
}

/* Why it has ended, where it could still say so. */
static int take_failure(struct ranks *r, int from, const struct frame *f)
{
	char why[WHY_MAX + 2] = "";
	size_t n = f->bytes < WHY_MAX ? (size_t)f->bytes : WHY_MAX;
	int code = f->code <= ERR_USAGE && f->code >= ERR_ENV ? f->code : ERR_UNAVAILABLE;

	r->broken = true;
	if (read_all(r, from, why, n))
		return ERR_UNAVAILABLE;
	why[n] = why[n + 1] = 0;
	const char *fix = why + strlen(why) + 1;
	r->code = code;
	err_set(code, "%s: %s", r->names[from], why);
	return fix < why + n && *fix ? err_hint(code, "%s", fix) : code;
}

static int read_frame(struct ranks *r, int from, struct frame *f)
{
	int rc = r->broken ? has_ended(r, from) : read_all(r, from, f, sizeof(*f));

	if (rc)
		return rc;
	if (f->kind == FRAME_FAILED)
		return take_failure(r, from, f);
	if (f->kind == FRAME_FAREWELL) {
		r->broken = true;
		return err_set(ERR_NOTFOUND, "%s has nothing more to do", r->names[from]);
	}
	if (f->kind != FRAME_DATA || f->bytes > SAID_MAX)
		return err_set(ERR_BUG, "%s says what nobody understands", r->names[from]);
	return 0;
}

/* So many bytes, and no others. */
static int receive(struct ranks *r, int from, void *to, size_t bytes)
{
	struct frame f;
	int rc = read_frame(r, from, &f);

	if (!rc && f.bytes != bytes)
		rc = err_set(ERR_BUG, "%s says %llu bytes, not %zu", r->names[from], (unsigned long long)f.bytes,
			     bytes);
	return rc ? rc : read_all(r, from, to, bytes);
}

static bool write_all(int fd, const void *from, size_t bytes)
{
	for (const char *p = from; bytes;) {
		ssize_t put = send(fd, p, bytes, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		p += put;
		bytes -= (size_t)put;
	}
	return true;
}

/* Who cannot be told anything has ended; it may have said why. */
static int say(struct ranks *r, int to, const void *from, size_t bytes)
{
	struct frame f = { FRAME_DATA, 0, bytes };

	if (r->broken)
		return has_ended(r, to);
	if (write_all(r->links[to], &f, sizeof(f)) && write_all(r->links[to], from, bytes))
		return 0;
	int rc = read_frame(r, to, &f);
	return rc ? rc : has_ended(r, to);
}

void ranks_fail(struct ranks *r, int code)
{
	struct buf why = BUF_INIT(WHY_MAX);

	if (r->rank == 0 || r->broken)
		return;
	buf_adds(&why, err_text());
	buf_add(&why, "", 1);
	buf_adds(&why, err_fix() ? err_fix() : "");
	struct frame f = { FRAME_FAILED, code, why.len };
	if (write_all(r->links[0], &f, sizeof(f)))
		write_all(r->links[0], why.data, why.len);
	buf_release(&why);
	r->broken = true;
}

void ranks_close(struct ranks *r, bool farewell)
{
	const struct frame f = { FRAME_FAREWELL, 0, 0 };

	if (!r)
		return;
	for (int i = 0; i < r->n; i++) {
		if (r->links[i] >= 0 && farewell && r->rank == 0)
			write_all(r->links[i], &f, sizeof(f));
		if (r->links[i] >= 0)
			close(r->links[i]);
		free(r->names[i]);
	}
	free(r->links);
	free(r->names);
	free(r);
}

static bool has_hung_up(const struct ranks *r, int from)
{
	struct pollfd p = { .fd = r->links[from], .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Of one that has hung up: nobody wants its data any more, and behind it may stand why it has ended. */
static void read_last_words(struct ranks *r, int from)
{
	char skipped[4096];
	struct frame f;

	while (read_frame(r, from, &f) == 0)
		for (size_t n; f.bytes; f.bytes -= n) {
			n = f.bytes < sizeof(skipped) ? (size_t)f.bytes : sizeof(skipped);
			if (read_all(r, from, skipped, n))
				return;
		}
	r->broken = true;
}

/* Everyone is in the same call, and what is said in it is answered: who hangs up meanwhile is dead, whatever it said before. */
bool ranks_broken(void *ranks)
{
	struct ranks *r = ranks;
	struct frame f;

	for (int i = 0; i < r->n && !r->broken; i++) {
		if (r->links[i] < 0)
			continue;
		bool gone = has_hung_up(r, i); /* asked first: then what it has said is all here */
		ssize_t n = recv(r->links[i], &f, sizeof(f), MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n > 0 && gone) {
			read_last_words(r, i);
			continue;
		}
		if (n == (ssize_t)sizeof(f) && f.kind == FRAME_DATA) /* it is ahead of us */
			continue;
		if (n > 0 && n < (ssize_t)sizeof(f)) /* the rest is on its way */
			continue;
		if (n <= 0)
			has_ended(r, i);
		else
			read_frame(r, i, &f);
	}
	return r->broken;
}

/* ---- together ------------------------------------------------------------------------------------------------------ */

int ranks_tell(struct ranks *r, struct buf *text)
{
	struct frame f;
	int rc = 0;

	for (int i = 1; !rc && r->rank == 0 && i < r->n; i++)
		rc = say(r, i, text->data, text->len);
	if (r->rank == 0)
		return rc;
	rc = read_frame(r, 0, &f);
	if (rc)
		return rc;
	char *p = mem_try_aligned((size_t)f.bytes + 1);
	if (!p)
		return err_set(ERR_UNAVAILABLE, "no memory for %llu bytes from rank 0", (unsigned long long)f.bytes);
	rc = read_all(r, 0, p, (size_t)f.bytes);
	buf_clear(text);
	if (!rc)
		buf_add(text, p, (size_t)f.bytes);
	free(p);
	return rc;
}

int ranks_gather(struct ranks *r, void *all, const void *mine, size_t bytes)
{
	char *to = all;
	int rc = 0;

	memcpy(to + (size_t)r->rank * bytes, mine, bytes);
	if (r->rank) {
		rc = say(r, 0, mine, bytes);
		return rc ? rc : receive(r, 0, all, (size_t)r->n * bytes);
	}
	for (int i = 1; !rc && i < r->n; i++)
		rc = receive(r, i, to + (size_t)i * bytes, bytes);
	for (int i = 1; !rc && i < r->n; i++)
		rc = say(r, i, all, (size_t)r->n * bytes);
	return rc;
}

/* ---- parts of device memory, by the host ---------------------------------------------------------------------------- */

/* What one rank has for the others, in their order, behind the sizes. */
struct parcel {
	uint64_t *sizes;
	char *bytes;
	size_t total;
};

static void parcel_release(struct parcel *p)
{
	free(p->sizes);
	free(p->bytes);
}

static int parcel_room(struct parcel *p, int n)
{
	p->total = 0;
	for (int i = 0; i < n; i++)
		p->total += (size_t)p->sizes[i];
	p->bytes = p->total > SAID_MAX ? NULL : mem_try_aligned(p->total + 1);
	return p->bytes ? 0 : err_set(ERR_UNAVAILABLE, "no memory for %zu MB between devices", p->total >> 20);
}

static int parcel_pack(struct parcel *p, struct ranks *r, struct backend *be, const struct kernels_part *parts)
{
	size_t at = 0;

	p->sizes = mem_array((size_t)r->n, sizeof(*p->sizes));
	for (int i = 0; i < r->n; i++)
		p->sizes[i] = i == r->rank ? 0 : parts[i].bytes;
	int rc = parcel_room(p, r->n);
	for (int i = 0; !rc && i < r->n; at += p->sizes[i++])
		if (p->sizes[i])
			be->download(be, p->bytes + at, parts[i].p, p->sizes[i]);
	return rc ? rc : be->sync(be);
}

static int parcel_receive(struct parcel *p, struct ranks *r, int from)
{
	p->sizes = mem_array((size_t)r->n, sizeof(*p->sizes));
	int rc = receive(r, from, p->sizes, (size_t)r->n * sizeof(*p->sizes));

	if (!rc)
		rc = parcel_room(p, r->n);
	return rc ? rc : receive(r, from, p->bytes, p->total);
}

/* What all of them have for one, in their order. */
static int collect(char *to, size_t room, const struct parcel *parcels, int n, int rank)
{
	for (int i = 0; i < n; i++) {
		size_t at = 0, bytes = (size_t)parcels[i].sizes[rank];
		for (int k = 0; k < rank; k++)
			at += (size_t)parcels[i].sizes[k];
		if (bytes > room)
			return err_set(ERR_BUG, "rank %d has more for rank %d than it wants", i, rank);
		memcpy(to, parcels[i].bytes + at, bytes);
		to += bytes;
		room -= bytes;
	}
	return room ? err_set(ERR_BUG, "rank %d is given less than it wants", rank) : 0;
}

static size_t wanted(const struct kernels_part *parts, int n, int but)
{
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += i == but ? 0 : parts[i].bytes;
	return bytes;
}

/* Rank 0 takes the parcels of all, and hands out to each what is its own. */
static int hand_out(struct ranks *r, struct parcel *parcels, char *mine, size_t bytes)
{
	int rc = 0;

	for (int i = 1; !rc && i < r->n; i++)
		rc = parcel_receive(&parcels[i], r, i);
	for (int i = 1; !rc && i < r->n; i++) {
		size_t n = 0;
		for (int k = 0; k < r->n; k++)
			n += (size_t)parcels[k].sizes[i];
		char *p = mem_try_aligned(n + 1);
		rc = p ? collect(p, n, parcels, r->n, i) : err_set(ERR_UNAVAILABLE, "no memory for %zu bytes", n);
		rc = rc ? rc : say(r, i, p, n);
		free(p);
	}
	return rc ? rc : collect(mine, bytes, parcels, r->n, 0);
}

static int trade_by_host(struct ranks *r, struct backend *be, const struct kernels_part *give,
			 const struct kernels_part *take)
{
	struct parcel *parcels = mem_array((size_t)r->n, sizeof(*parcels)), *own = &parcels[r->rank];
	size_t bytes = wanted(take, r->n, r->rank), at = 0;
	char *mine = mem_try_aligned(bytes + 1);
	int rc = mine ? parcel_pack(own, r, be, give) : err_set(ERR_UNAVAILABLE, "no memory for %zu bytes", bytes);

	if (!rc && r->rank == 0)
		rc = hand_out(r, parcels, mine, bytes);
	else if (!rc && (rc = say(r, 0, own->sizes, (size_t)r->n * sizeof(*own->sizes))) == 0 &&
		 (rc = say(r, 0, own->bytes, own->total)) == 0)
		rc = receive(r, 0, mine, bytes);
	for (int i = 0; !rc && i < r->n; i++) {
		if (i == r->rank || !take[i].bytes)
			continue;
		be->upload(be, take[i].p, mine + at, take[i].bytes);
		at += take[i].bytes;
	}
	for (int i = 0; i < r->n; i++)
		parcel_release(&parcels[i]);
	free(parcels);
	free(mine);
	return rc;
}

/* What the sockets say is the reason; a device's own way only notices that something is wrong. */
static int because(struct ranks *r, int rc)
{
	if (!rc || !(r->broken || ranks_broken(r)))
		return rc;
	return r->code ? r->code : ERR_UNAVAILABLE;
}

/* Cards can take long to find one another, and until then no step asks whether we are to stop. */
struct joining {
	struct ranks *r;
	bool (*stopped)(void);
	bool stops;
};

static bool join_ends(void *arg)
{
	struct joining *j = arg;

	j->stops = j->stops || j->stopped();
	return j->stops || ranks_broken(j->r);
}

static int join(struct ranks *r, struct backend *be, const struct buf *id, bool (*stopped)(void))
{
	struct joining j = { r, stopped, false };
	int rc = be->ranks_join(be, (const uint8_t *)id->data, r->rank, r->n, join_ends, &j);

	if (rc && j.stops)
		return err_hint(err_set(ERR_INTERRUPTED, "training was stopped while the devices met"),
				"start it again: it goes on from its last checkpoint, if it has one");
	return because(r, rc);
}

int ranks_join(struct ranks *r, struct backend *be, bool (*stopped)(void))
{
	uint8_t made[KERNELS_RANKS_ID];
	struct buf id = BUF_INIT(KERNELS_RANKS_ID);
	int rc;

	if (!be->ranks_join || be->trade)
		return 0;
	if (r->rank == 0 && be->ranks_id(be, made) == 0) {
		buf_add(&id, made, sizeof(made));
	} else if (r->rank == 0) {
		log_warn("gradients go from device to device by the host, which is slow: %s%s%s", err_text(),
			 err_fix() ? "; " : "", err_fix() ? err_fix() : "");
		err_clear();
	}
	rc = ranks_tell(r, &id); /* nothing: by the host */
	if (!rc && id.len)
		rc = id.len == KERNELS_RANKS_ID ? join(r, be, &id, stopped)
						: err_set(ERR_BUG, "an id of %zu bytes", id.len);
	buf_release(&id);
	return rc;
}

int ranks_trade(struct ranks *r, struct backend *be, const struct kernels_part *give, const struct kernels_part *take)
{
	if (!be->trade)
		return trade_by_host(r, be, give, take);
	return because(r, be->trade(be, give, take, ranks_broken, r));
}
