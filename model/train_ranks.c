/* train_ranks.c: the shares of a step, and the devices that compute them.
 *
 * With shares, the gradient of a step is g0 + g1 + g2 …, added in this order, where each share's gradient is what one device
 * computes of its units alone, from the first micro-batch to the last. Who computes which share does not matter to that
 * sum: share s is rank s mod n's, and every element is added up by one rank, in the order of shares, whatever way the numbers
 * take between the devices. So n devices give the bits of one, for every n up to the number of shares; the number of shares is
 * what bits depend on, and a part of the key. With one share nothing here is done.
 *
 * A round is a share of each rank. Gradients go by pieces, so that little memory is wanted: a piece is cut into n slices, every
 * rank gets its slice of all gradients of the round, adds them to what it has of the rounds before, and behind the last round
 * gives the sum to all. All of that is 2 (n - 1) / n of the gradient's size to and from each device, as in a ring, and for each
 * further round half of it. The update is computed by all ranks alike, and needs no word. */
#include "base/base.h"

#include "model/train_int.h"

#define PIECE_BY_DEVICE ((size_t)32 << 20) /* floats */
#define PIECE_BY_HOST ((size_t)1 << 16)
#define ALIGN 16 /* floats */

/* ---- memory -------------------------------------------------------------------------------------------------------- */

static size_t slice_of(size_t floats, int n)
{
	return (floats / (size_t)n + ALIGN) / ALIGN * ALIGN; /* n of them are no less than floats */
}

static size_t piece_of(size_t n_trained, bool by_device)
{
	size_t most = by_device ? PIECE_BY_DEVICE : PIECE_BY_HOST;

	return n_trained < most ? n_trained : most;
}

/* Floats of what is added up over rounds, and of what comes in. */
static void sizes_of(size_t *sum, size_t *inbox, size_t n_trained, int shares, int n, size_t piece)
{
	size_t pieces = piece ? (n_trained + piece - 1) / piece : 0;

	*sum = shares <= n ? 0 : n == 1 ? n_trained : pieces * slice_of(piece, n);
	*inbox = n == 1 ? 0 : (size_t)n * slice_of(piece, n);
}

uint64_t train_ranks_bytes(size_t n_trained, int shares, int ranks, bool by_device)
{
	size_t sum, inbox;
	int n = ranks > 1 ? ranks : 1;

	sizes_of(&sum, &inbox, n_trained, shares > 1 ? shares : 1, n, piece_of(n_trained, by_device));
	return ((uint64_t)sum + inbox) * sizeof(float);
}

struct kind {
	char numerics[128];
};

/* Before the devices meet: those of two kinds have no way in common, and would wait for one another in different calls. */
static int check_kinds(struct training *t)
{
	struct ranks *link = t->ranks.link;
	struct kind mine = { "" }, *all = mem_array((size_t)t->ranks.n, sizeof(*all));

	snprintf(mine.numerics, sizeof(mine.numerics), "%s", t->m->be->numerics);
	int rc = ranks_gather(link, all, &mine, sizeof(mine));
	for (int i = 1; !rc && i < t->ranks.n; i++)
		if (strncmp(all[i].numerics, all[0].numerics, sizeof(mine.numerics)) != 0)
			rc = err_hint(
				err_set(ERR_UNAVAILABLE,
					"the devices are not of one kind: rank 0 computes by %.127s, rank %d by %.127s",
					all[0].numerics, i, all[i].numerics),
				"their bits differ: name devices of one model");
	free(all);
	return rc;
}

int train_ranks_open(struct training *t, bool (*stopped)(void))
{
	struct train_ranks *r = &t->ranks;
	size_t sum, inbox;
	int rc = r->link ? check_kinds(t) : 0;

	if (!rc && r->link)
		rc = ranks_join(r->link, t->m->be, stopped);
	if (rc)
		return rc;
	r->losses = mem_array((size_t)t->shares, sizeof(*r->losses));
	r->piece = piece_of(t->n_trained, t->m->be->trade != NULL);
	sizes_of(&sum, &inbox, t->n_trained, t->shares, r->n, r->piece);
	const struct pass_part parts[] = { { &r->sum, sum }, { &r->inbox, inbox } };
	if (!sum && !inbox)
		return 0;
	return pass_carve(t->m->be, &r->floats, parts, ARRAY_LEN(parts), "memory for the gradients of other devices");
}

void train_ranks_close(struct training *t)
{
	if (t->ranks.floats)
		t->m->be->free(t->m->be, t->ranks.floats);
	free(t->ranks.losses);
}

/* ---- the same beginning -------------------------------------------------------------------------------------------- */

struct beginning {
	uint64_t fingerprint;
	int64_t step;
};

int train_ranks_check(struct training *t)
{
	struct ranks *link = t->ranks.link;
	struct beginning mine = { t->state.fingerprint, t->state.cursor.step };
	int rc = 0;

	if (!link)
		return 0;
	struct beginning *all = mem_array((size_t)t->ranks.n, sizeof(*all));
	rc = ranks_gather(link, all, &mine, sizeof(mine));
	for (int i = 1; !rc && i < t->ranks.n; i++)
		if (all[i].fingerprint != all[0].fingerprint || all[i].step != all[0].step)
			rc = err_hint(
				err_set(ERR_UNAVAILABLE, "rank %d does not begin with what rank 0 begins with", i),
				"all ranks read the same folders: on several machines they must be shared");
	free(all);
	return rc;
}

/* ---- adding up ----------------------------------------------------------------------------------------------------- */

static bool is_empty(const struct training *t, int share)
{
	return share >= t->shares || t->ends[share] == (share ? t->ends[share - 1] : 0);
}

/* One device, its shares one after the other. Share 0, which has the longest unit, is never empty. */
static void add_alone(struct training *t, int share)
{
	struct backend *be = t->m->be;
	float *grads = t->back.grads;

	if (share == 0)
		be->copy(be, t->ranks.sum, grads, t->n_trained * sizeof(float));
	else if (!is_empty(t, share))
		be->add(be, t->ranks.sum, grads, t->n_trained);
	if (share == t->shares - 1)
		be->copy(be, grads, t->ranks.sum, t->n_trained * sizeof(float));
}

struct cut { /* of a piece, into slices */
	size_t at, end, each;
};

static struct kernels_part slice(float *base, const struct cut *c, int rank)
{
	size_t from = c->at + (size_t)rank * c->each, to = from + c->each < c->end ? from + c->each : c->end;

	return (struct kernels_part){ base + from, from < to ? (to - from) * sizeof(float) : 0 };
}

/* Every rank gets its slice of what the others have computed in this round. */
static int collect(struct training *t, const struct cut *c, int first, struct kernels_part *parts)
{
	struct train_ranks *r = &t->ranks;
	const struct kernels_part none = { NULL, 0 };
	struct kernels_part *give = parts + r->n;
	size_t bytes = slice(t->back.grads, c, r->rank).bytes;

	for (int i = 0; i < r->n; i++) {
		give[i] = is_empty(t, first + r->rank) || i == r->rank ? none : slice(t->back.grads, c, i);
		parts[i] = is_empty(t, first + i) ? none
			   : i == r->rank         ? slice(t->back.grads, c, i)
						  : (struct kernels_part){ r->inbox + (size_t)i * c->each, bytes };
	}
	struct kernels_part own = parts[r->rank];
	parts[r->rank] = none;
	int rc = ranks_trade(r->link, t->m->be, give, parts);
	parts[r->rank] = own;
	return rc;
}

/* The piece that is number k: gradients of the round's shares, added to those before. */
static int add_piece(struct training *t, const struct cut *c, int first, size_t k)
{
	struct train_ranks *r = &t->ranks;
	struct backend *be = t->m->be;
	struct kernels_part *parts = mem_array(2 * (size_t)r->n, sizeof(*parts)),
			    mine = slice(t->back.grads, c, r->rank);
	float *sum = r->sum ? r->sum + k * slice_of(r->piece, r->n) : r->inbox + (size_t)r->rank * c->each;
	int rc = collect(t, c, first, parts);

	for (int i = 0; !rc && i < r->n; i++) {
		if (!parts[i].bytes)
			continue;
		if (first + i == 0)
			be->copy(be, sum, parts[i].p, parts[i].bytes);
		else
			be->add(be, sum, parts[i].p, parts[i].bytes / sizeof(float));
	}
	if (!rc && first + r->n >= t->shares) { /* the last round: all get all */
		for (int i = 0; i < r->n; i++) {
			parts[i] = slice(t->back.grads, c, i);
			parts[r->n + i] = (struct kernels_part){ sum, mine.bytes };
		}
		be->copy(be, mine.p, sum, mine.bytes);
		parts[r->rank].bytes = parts[r->n + r->rank].bytes = 0;
		rc = ranks_trade(r->link, be, parts + r->n, parts);
	}
	free(parts);
	return rc;
}

int train_ranks_add(struct training *t, int first)
{
	const struct train_ranks *r = &t->ranks;
	int rc = 0;

	if (t->shares == 1)
		return 0;
	if (r->n == 1)
		add_alone(t, first);
	for (size_t at = 0, k = 0; !rc && r->n > 1 && at < t->n_trained; at += r->piece, k++) {
		size_t end = at + r->piece < t->n_trained ? at + r->piece : t->n_trained;
		const struct cut c = { at, end, slice_of(end - at, r->n) };
		rc = add_piece(t, &c, first, k);
	}
	return rc;
}

/* ---- what is said behind a step ------------------------------------------------------------------------------------- */

int train_ranks_tell(struct training *t, bool stop, double *loss)
{
	struct train_ranks *r = &t->ranks;
	int rounds = (t->shares + r->n - 1) / r->n, width = rounds + 1, rc = 0;
	double *mine = mem_array((size_t)width, sizeof(double)), *all = mine;

	for (int i = 0; i < rounds; i++)
		mine[i] = i * r->n + r->rank < t->shares ? r->losses[i * r->n + r->rank] : 0;
	mine[rounds] = stop;
	if (r->link) {
		all = mem_array((size_t)r->n * (size_t)width, sizeof(double));
		rc = ranks_gather(r->link, all, mine, (size_t)width * sizeof(double));
	}
	for (int s = 0; !rc && s < t->shares; s++)
		*loss += all[s % r->n * width + s / r->n];
	r->stop = false;
	for (int i = 0; !rc && i < r->n; i++)
		r->stop = r->stop || all[i * width + rounds] != 0;
	if (all != mine)
		free(all);
	free(mine);
	return rc;
}
