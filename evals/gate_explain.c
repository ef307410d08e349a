/* gate_explain.c: a verdict of target population in a sentence with numbers.
 *
 *	at most 1.4 points worse on samples like these, with 95% confidence; allowed 2.0 (4000 samples, lost 31, won 24,
 *	p = 0.0021, exact unconditional)
 *
 * What it says of bounds is the side that decided; an open one says how many samples would settle it, or why none would. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_finding_int.h"
#include "evals/stats_int.h"

struct unit {
	double scale;
	const char *name; /* " points", "%", "" */
	int decimals;
};

static void size_text(struct buf *out, double x, double beside, const struct unit *u)
{
	double shown = fabs(x) * u->scale;

	buf_addf(out, "%.*f%s", gate_decimals(shown, fabs(beside) * u->scale, u->decimals), shown, u->name);
}

/* "2.9 points worse", "0.1 points better" */
static void harm_text(struct buf *out, double harm, double limit, const struct unit *u)
{
	if (harm == 0) {
		buf_adds(out, "no change");
		return;
	}
	size_text(out, harm, limit, u);
	buf_adds(out, harm > 0 ? " worse" : " better");
}

static void change_words(struct buf *out, const struct finding *f, enum verdict v, double limit, const struct unit *u)
{
	if (v == VERDICT_PASS) {
		buf_adds(out, f->hi > 0 ? "at most " : f->hi < 0 ? "at least " : "");
		harm_text(out, f->hi, limit, u);
	} else if (v == VERDICT_FAIL) {
		buf_adds(out, f->lo > 0 ? "at least " : f->lo < 0 ? "at most " : "");
		harm_text(out, f->lo, limit, u);
	} else {
		buf_adds(out, "from ");
		harm_text(out, f->lo, limit, u);
		buf_adds(out, " to ");
		harm_text(out, f->hi, limit, u);
	}
}

static void value_words(struct buf *out, const struct finding *f, enum verdict v, bool min, double limit,
			const struct unit *u)
{
	double lo = f->lo, hi = f->hi;

	if (v == VERDICT_INCONCLUSIVE) {
		size_text(out, lo, limit, u);
		buf_adds(out, " to ");
		size_text(out, hi, limit, u);
	} else {
		bool least = min == (v == VERDICT_PASS);

		buf_adds(out, least ? "at least " : "at most ");
		size_text(out, least ? lo : hi, limit, u);
	}
}

/* A task of a group that has too few samples to show such a drop of its own: the others speak for it. */
static void thin_text(struct buf *out, const struct judge *j)
{
	const struct task_result *t = j->pair->ct;
	const struct task_member *least = t->n_members ? &t->members[0] : NULL;
	double need = j->rule->has_drop && !j->rule->drop_relative && j->kind == LIMIT_DROP
			      ? stats_least_samples(1 - j->confidence, j->rule->drop)
			      : 0;

	for (size_t i = 1; i < t->n_members; i++)
		least = t->members[i].n < least->n ? &t->members[i] : least;
	if (least && (double)least->n < need && isfinite(need))
		buf_addf(out, "; %zu of them of %s, which %.0f would be needed to vouch for", least->n, least->task,
			 need);
}

static void evidence_text(struct buf *out, const struct finding *f, const struct judge *j, enum verdict v)
{
	const struct pairing *p = j->pair;
	bool change = j->kind != LIMIT_MIN && j->kind != LIMIT_MAX;
	size_t n = change ? p->n : p->ct->n;

	buf_addf(out, " (%zu sample%s", n, n == 1 ? "" : "s");
	if (f->clusters && !f->refused && fabs(f->effective - (double)f->clusters) < 0.05)
		buf_addf(out, " in %zu clusters", f->clusters);
	else if (f->clusters && !f->refused)
		buf_addf(out, " in %zu clusters of uneven size, which count as %.1f", f->clusters, f->effective);
	if (change && p->count)
		buf_addf(out, ", lost %zu, won %zu", p->lost, p->won);
	if (f->bounds && !f->refused)
		buf_addf(out, ", %s", f->method);
	else if (!f->refused)
		buf_addf(out, ", p = %.3g, %s", v == VERDICT_FAIL ? f->p_fail : f->p_pass, f->method);
	thin_text(out, j);
	buf_adds(out, ")");
	if (f->assumes && !f->refused)
		buf_addf(out, "; assumes %s", f->assumes);
}

/* What would settle it. */
static void more_text(struct buf *out, const struct finding *f, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	bool change = j->kind != LIMIT_MIN && j->kind != LIMIT_MAX;
	double least = stats_least_samples(1 - j->confidence, limit), more = (double)p->ct->n + 1;

	if (p->ct->n < p->ct->n_total)
		buf_addf(out, "; the other %zu samples must be asked before it can pass", p->ct->n_total - p->ct->n);
	else if (change && limit == 0 && p->delta == 0)
		buf_adds(out, "; an unchanged model never passes a limit of 0 here");
	else if (change && p->count && !relative && !p->lost && limit > 0 && (double)p->n < least && least < 1e9)
		buf_addf(out,
			 "; %.0f samples are needed before an unchanged model can pass: add samples, or use target: "
			 "suite",
			 least);
	else if (isfinite(f->samples) && f->refused)
		buf_addf(out, "; from about %.0f samples on there can be a verdict", fmax(f->samples, more));
	else if (isfinite(f->samples)) /* an estimate of one test of several, or of a normal's, may fall short */
		buf_addf(out, "; about %.0f samples would decide at these rates", fmax(f->samples, more));
	else if (f->refused)
		buf_adds(out, "; no number of samples changes that");
	else
		buf_adds(out, "; it is on the limit or next to it, where no number of samples decides");
}

void finding_explain(struct gate_result_rule *row, const struct finding *f, const struct judge *j, double limit,
		     bool relative)
{
	const struct pairing *p = j->pair;
	bool change = j->kind != LIMIT_MIN && j->kind != LIMIT_MAX;
	struct unit u = { relative        ? 100
			  : p->cm->binary ? 100
					  : 1,
			  relative        ? "%"
			  : p->cm->binary ? " points"
					  : "",
			  relative || p->cm->binary ? 1 : 4 };
	struct buf out = BUF_INIT(8192);
	bool cut = p->ct->n < p->ct->n_total;

	if (cut)
		buf_addf(&out, "evaluated %zu of %zu samples: ", p->ct->n, p->ct->n_total);
	if (f->refused) {
		buf_adds(&out, f->refused);
	} else {
		if (change)
			change_words(&out, f, finding_verdict(f, 1 - j->confidence), limit, &u);
		else
			value_words(&out, f, finding_verdict(f, 1 - j->confidence), j->kind == LIMIT_MIN, limit, &u);
		buf_addf(&out, " on samples like these, with %.10g%% confidence", j->confidence * 100);
	}
	buf_adds(&out, change                 ? limit < 0 ? "; a gain of " : "; allowed "
		       : j->kind == LIMIT_MIN ? "; at least "
					      : "; at most ");
	size_text(&out, limit, f->refused ? limit : row->verdict == VERDICT_FAIL ? f->lo : f->hi, &u);
	buf_adds(&out, change && limit >= 0 ? "" : " required");
	evidence_text(&out, f, j, row->verdict);
	if (row->verdict == VERDICT_INCONCLUSIVE)
		more_text(&out, f, j, limit, relative);
	row->explanation = buf_take(&out);
}
