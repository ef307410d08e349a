/* ter.c: corpus TER (translation edit rate) as sacrebleu computes it, after Tercom.
 *
 * A sample gives two numbers: the edits that turn the answer into a reference, of the reference that needs fewest, and the
 * mean length of its references. The value is 100 × sum of edits / sum of lengths.
 *
 * An edit is an inserted, deleted or changed word, or a shift: a run of words of the answer that stands in the reference
 * too is moved to where it belongs. The fewest edits with shifts are hard to find, so Tercom is greedy: align answer and
 * reference by edit distance, try to move every run that is wrong where it is to where it is missing, keep the move that
 * saves most (the longer, then the earlier run, then the earlier place), and begin again until no move saves anything. The
 * score is what this search finds, so its bounds are a part of its meaning: runs of up to 10 words, moved by up to 50, an
 * alignment within 25 words of the diagonal, and an end after 1000 moves tried for a sample. They also bound the time, at
 * some 1000 × 50 steps a word.
 *
 * Each candidate shares its beginning with the text that it was made of, so only the rows of the edit distance behind that
 * are computed. Words are numbers (ngram.c).
 *
 * Options (all false): normalized, no_punct, asian_support, case_sensitive. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

#include "base/lettercase.h"
#include "evals/mt_int.h"

enum { SHIFT_WORDS_MAX = 10, SHIFT_DISTANCE_MAX = 50, BEAM = 25, TRIES_MAX = 1000, WORDS_MAX = 100000 };
enum { FAR = 1 << 29 };
enum { EDITS, LENGTH };

struct ter {
	struct mt_text *text;
	bool case_sensitive;
};

/* ---- edit distance near the diagonal ----------------------------------------------------------------------------- */

enum op { OP_NONE, OP_SAME, OP_CHANGE, OP_INSERT, OP_DELETE }; /* of the answer, on its way to the reference */

struct band {
	const uint32_t *ref;
	size_t n_hyp, n_ref;
	size_t *lo, *hi; /* of row i: the columns that are computed */
	size_t *at;      /* where row i begins in cost and op */
	int32_t *cost;   /* rows of the text that is being improved */
	uint8_t *op;
	int32_t *scratch[2]; /* rows of a candidate, by column */
};

static void band_init(struct band *b, size_t n_hyp, const struct row *ref)
{
	double ratio = n_hyp ? (double)ref->n / (double)n_hyp : 1;
	size_t beam = BEAM < ratio / 2 ? (size_t)ceil(ratio / 2 + BEAM) : BEAM;

	*b = (struct band){ .ref = ref->ids, .n_hyp = n_hyp, .n_ref = ref->n };
	b->lo = mem_array(n_hyp + 2, sizeof(*b->lo));
	b->hi = mem_array(n_hyp + 2, sizeof(*b->hi));
	b->at = mem_array(n_hyp + 2, sizeof(*b->at));
	b->hi[0] = ref->n + 1;
	b->at[1] = ref->n + 1;
	for (size_t i = 1; i <= n_hyp; i++) {
		size_t diagonal = (size_t)floor((double)i * ratio);

		b->lo[i] = diagonal > beam ? diagonal - beam : 0;
		b->hi[i] = diagonal + beam < ref->n + 1 && i < n_hyp ? diagonal + beam : ref->n + 1;
		b->at[i + 1] = b->at[i] + b->hi[i] - b->lo[i];
	}
	b->cost = mem_array(b->at[n_hyp + 1], sizeof(*b->cost));
	b->op = mem_array(b->at[n_hyp + 1], sizeof(*b->op));
	b->scratch[0] = mem_array(ref->n + 1, sizeof(*b->scratch[0]));
	b->scratch[1] = mem_array(ref->n + 1, sizeof(*b->scratch[1]));
	for (size_t j = 0; j <= ref->n; j++) {
		b->cost[j] = (int32_t)j;
		b->op[j] = OP_INSERT;
	}
}

static void band_release(struct band *b)
{
	free(b->lo);
	free(b->hi);
	free(b->at);
	free(b->cost);
	free(b->op);
	free(b->scratch[0]);
	free(b->scratch[1]);
}

/* Row i from row i - 1; both as pointers to their column 0 (which may lie before the band). op may be NULL. */
static void band_row(const struct band *b, size_t i, uint32_t word, const int32_t *above, int32_t *row, uint8_t *op)
{
	size_t lo = b->lo[i], hi = b->hi[i], from = b->lo[i - 1], to = b->hi[i - 1];
	int32_t left = FAR;

	for (size_t j = lo; j < hi; j++) {
		int32_t best = FAR, over = j >= from && j < to ? above[j] : FAR;
		uint8_t how = OP_NONE;

		if (j == 0) {
			best = over + 1;
			how = OP_DELETE;
		} else {
			bool same = word == b->ref[j - 1];
			int32_t corner = j > from && j <= to ? above[j - 1] : FAR;

			/* of equals the first: same or changed, deleted, inserted */
			if (best > corner + !same) {
				best = corner + !same;
				how = same ? OP_SAME : OP_CHANGE;
			}
			if (best > over + 1) {
				best = over + 1;
				how = OP_DELETE;
			}
			if (best > left + 1) {
				best = left + 1;
				how = OP_INSERT;
			}
		}
		row[j] = left = best;
		if (op)
			op[j] = how;
	}
}

/* Computes all rows of a text; its distance. */
static int32_t band_fill(struct band *b, const uint32_t *hyp)
{
	for (size_t i = 1; i <= b->n_hyp; i++)
		band_row(b, i, hyp[i - 1], b->cost + b->at[i - 1] - b->lo[i - 1], b->cost + b->at[i] - b->lo[i],
			 b->op + b->at[i] - b->lo[i]);
	return b->cost[b->at[b->n_hyp + 1] - 1];
}

/* The distance of a text that shares its first n words with the one that the band is filled with. */
static int32_t band_try(struct band *b, const uint32_t *hyp, size_t n)
{
	const int32_t *above = b->cost + b->at[n] - b->lo[n];

	if (n == b->n_hyp)
		return b->cost[b->at[n + 1] - 1];
	for (size_t i = n + 1; i <= b->n_hyp; i++) {
		band_row(b, i, hyp[i - 1], above, b->scratch[i % 2], NULL);
		above = b->scratch[i % 2];
	}
	return above[b->n_ref];
}

/* ---- shifts ------------------------------------------------------------------------------------------------------ */

struct search {
	struct band band;
	uint32_t *hyp, *moved, *best; /* the answer as it is now, with a move, with the best move */
	const struct row *ref;
	size_t n;    /* words of the answer */
	long *align; /* the last word of the answer in front of or at a word of the reference; -1: none */
	size_t *hyp_wrong, *ref_wrong; /* how many words before this one are wrong */
	size_t tries;
};

static void align(struct search *s)
{
	const struct band *b = &s->band;
	size_t i = s->n, j = s->ref->n;

	while (i || j) {
		enum op op = b->op[b->at[i] + j - b->lo[i]];

		assert(op != OP_NONE);
		if (op == OP_INSERT) {
			s->ref_wrong[j] = 1;
			s->align[--j] = (long)i - 1;
		} else if (op == OP_DELETE) {
			s->hyp_wrong[i--] = 1;
		} else {
			s->hyp_wrong[i] = s->ref_wrong[j] = op == OP_CHANGE;
			s->align[--j] = (long)--i;
		}
	}
	for (i = 1; i <= s->n; i++)
		s->hyp_wrong[i] += s->hyp_wrong[i - 1];
	for (j = 1; j <= s->ref->n; j++)
		s->ref_wrong[j] += s->ref_wrong[j - 1];
}

static uint32_t *copy(uint32_t *to, const uint32_t *words, size_t from, size_t end)
{
	if (end <= from)
		return to;
	memcpy(to, words + from, (end - from) * sizeof(*to));
	return to + (end - from);
}

/* Words start … start + len stand before what was word `target`; inside the run itself they move by as much. */
static void move(struct search *s, size_t start, size_t len, size_t target)
{
	size_t end = start + len, first, last;
	uint32_t *to = s->moved;

	if (target < start) {
		to = copy(to, s->hyp, 0, target);
		to = copy(to, s->hyp, start, end);
		to = copy(to, s->hyp, target, start);
		copy(to, s->hyp, end, s->n);
		return;
	}
	first = end;
	last = target > end ? target : len + target;
	last = last < s->n ? last : s->n;
	to = copy(to, s->hyp, 0, start);
	to = copy(to, s->hyp, first, last);
	to = copy(to, s->hyp, start, end);
	copy(to, s->hyp, last, s->n);
}

static size_t shared_words(const struct search *s, size_t from)
{
	while (from < s->n && s->hyp[from] == s->moved[from])
		from++;
	return from;
}

struct move {
	long gain;
	size_t len, start, target;
};

static bool better(const struct move *a, const struct move *b)
{
	if (a->gain != b->gain)
		return a->gain > b->gain;
	if (a->len != b->len)
		return a->len > b->len;
	return a->start != b->start ? a->start < b->start : a->target < b->target;
}

/* Every place for one run. found: there is a best already. */
static bool try_places(struct search *s, size_t start, size_t start_ref, size_t len, int32_t distance,
		       struct move *best, bool found)
{
	long last = -1;

	for (size_t k = 0; k <= len; k++) {
		long target = start_ref + k ? s->align[start_ref + k - 1] + 1 : 0;
		struct move m = { 0, len, start, (size_t)target };

		if (target == last)
			continue;
		last = target;
		move(s, start, len, m.target);
		m.gain = (long)distance -
			 band_try(&s->band, s->moved, shared_words(s, m.target < start ? m.target : start));
		s->tries++;
		if (!found || better(&m, best)) {
			*best = m;
			memcpy(s->best, s->moved, s->n * sizeof(*s->best));
			found = true;
		}
	}
	return found;
}

/* Is the run wrong where it is and missing where it would go? */
static bool worth_moving(const struct search *s, size_t start, size_t start_ref, size_t len)
{
	long there = s->align[start_ref];

	return s->hyp_wrong[start + len] > s->hyp_wrong[start] &&
	       s->ref_wrong[start_ref + len] > s->ref_wrong[start_ref] &&
	       !(there >= (long)start && there < (long)(start + len));
}

/* The gain of the best single move, which is then in s->best. */
static long best_move(struct search *s, int32_t distance)
{
	struct move best = { 0 };
	bool found = false;

	align(s);
	for (size_t i = 0; i < s->n; i++) {
		size_t j = i > SHIFT_DISTANCE_MAX ? i - SHIFT_DISTANCE_MAX : 0;

		for (; j < s->ref->n && j <= i + SHIFT_DISTANCE_MAX; j++)
			for (size_t len = 1; len <= SHIFT_WORDS_MAX && i + len <= s->n && j + len <= s->ref->n &&
					     s->hyp[i + len - 1] == s->ref->ids[j + len - 1];
			     len++) {
				if (!worth_moving(s, i, j, len))
					continue;
				found = try_places(s, i, j, len, distance, &best, found);
				if (s->tries >= TRIES_MAX)
					return found ? best.gain : 0;
			}
	}
	return found ? best.gain : 0;
}

static size_t edits(const struct row *hyp, const struct row *ref)
{
	size_t n = hyp->n, shifts = 0;
	struct search s = { .n = n, .ref = ref };
	int32_t distance;

	if (!ref->n)
		return n;
	band_init(&s.band, n, ref);
	s.hyp = mem_array(n + 1, sizeof(*s.hyp));
	s.moved = mem_array(n + 1, sizeof(*s.moved));
	s.best = mem_array(n + 1, sizeof(*s.best));
	s.align = mem_array(ref->n + 1, sizeof(*s.align));
	s.hyp_wrong = mem_array(n + 1, sizeof(*s.hyp_wrong));
	s.ref_wrong = mem_array(ref->n + 1, sizeof(*s.ref_wrong));
	copy(s.hyp, hyp->ids, 0, n);
	for (;;) {
		long gain;

		distance = band_fill(&s.band, s.hyp);
		memset(s.hyp_wrong, 0, (n + 1) * sizeof(*s.hyp_wrong));
		memset(s.ref_wrong, 0, (ref->n + 1) * sizeof(*s.ref_wrong));
		gain = best_move(&s, distance);
		if (s.tries >= TRIES_MAX || gain <= 0)
			break;
		shifts++;
		copy(s.hyp, s.best, 0, n);
	}
	band_release(&s.band);
	free(s.hyp);
	free(s.moved);
	free(s.best);
	free(s.align);
	free(s.hyp_wrong);
	free(s.ref_wrong);
	return shifts + (size_t)distance;
}

/* ---- one sample -------------------------------------------------------------------------------------------------- */

/* The text as its tokens with a space between them. */
static int tokenize(struct buf *text, const struct ter *t)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	const char *p, *end, *word;
	int rc = mt_text_apply(t->text, text);
	size_t n;

	p = buf_str(text);
	end = p + text->len;
	while (!rc && next_word(&p, end, &word, &n)) {
		if (out.len)
			buf_addc(&out, ' ');
		buf_add(&out, word, n);
	}
	buf_release(text);
	*text = out;
	return rc;
}

/* passes: sacrebleu tokenizes references twice, which matters where the first pass leaves a space behind "'s". */
static int read_words(struct row *out, struct words *w, const struct ter *t, const char *s, size_t len, int passes)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc = 0;

	if (t->case_sensitive)
		utf8_repair(&text, s, len);
	else
		case_lower(&text, s, len);
	for (int i = 0; i < passes && !rc; i++)
		rc = tokenize(&text, t);
	if (!rc)
		row_add_words(out, w, buf_str(&text), text.len);
	if (!rc && out->n > WORDS_MAX)
		rc = err_set(ERR_INPUT, "a text of more than %d words", WORDS_MAX);
	buf_release(&text);
	return rc;
}

double ter_value(const double *sums)
{
	if (sums[LENGTH] > 0)
		return 100 * (sums[EDITS] / sums[LENGTH]);
	return sums[EDITS] > 0 ? 100 : 0;
}

int score_ter(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	struct row hyp = { 0 };
	struct words w;
	size_t length = 0;
	int rc;

	words_init(&w);
	rc = read_words(&hyp, &w, m->options, o->text, o->len, 1);
	for (size_t i = 0; i < o->in->n_targets && !rc; i++) {
		struct row ref = { 0 };
		double n;

		rc = read_words(&ref, &w, m->options, o->in->targets[i], strlen(o->in->targets[i]), 2);
		n = rc ? 0 : (double)edits(&hyp, &ref);
		if (!i || n < out->parts[EDITS])
			out->parts[EDITS] = n;
		length += ref.n;
		row_release(&ref);
	}
	out->parts[LENGTH] = (double)length / (double)o->in->n_targets;
	out->score = ter_value(out->parts);
	row_release(&hyp);
	words_release(&w);
	return rc ? err_context(rc, "ter") : 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct ter *t = m->options = mem_alloc(sizeof(*t));
	bool normalized = false, no_punct = false, asian = false;
	int rc = yaml_get_flag(src->y, entry, "normalized", &normalized);

	rc = rc ? rc : yaml_get_flag(src->y, entry, "no_punct", &no_punct);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "asian_support", &asian);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "case_sensitive", &t->case_sensitive);
	t->text = mt_text_tercom(normalized, no_punct, asian);
	return rc;
}

static void options_free(void *options)
{
	struct ter *t = options;

	mt_text_free(t->text);
	free(t);
}

static const char *const keys[] = { "normalized", "no_punct", "asian_support", "case_sensitive" };
const struct metric_options ter_options = { keys, ARRAY_LEN(keys), options_load, options_free };
