/* crew_job.c: what rank 0 wants trained, as bytes, and the work of the other ranks.
 *
 * The weights come from a folder that all ranks see; examples and options go over the socket. Both sides are the same program
 * (its bytes are compared, by their hash), so structs travel as they lie in memory, but for what points. */
#include "base/base.h"
#include "base/digest.h"
#include "runner/crew_int.h"
#include "runner/runner.h"

#define PROGRAM "/proc/self/exe"

struct head {
	struct digest program;
	struct train_options options; /* without its pointers */
	struct lora_options factors;  /* likewise */
	bool lora, validation;
	int32_t n_targets; /* -1: the engine's choice */
};

static const char *const schedules[] = { "constant", "linear", "cosine" };

/* ---- out ----------------------------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *text)
{
	buf_add(out, text ? text : "", (text ? strlen(text) : 0) + 1);
}

static void put_data(struct buf *out, const struct train_data *d)
{
	uint64_t n = d->n, sources = d->n_sources;

	buf_add(out, &n, sizeof(n));
	buf_add(out, &sources, sizeof(sources));
	buf_add(out, d->weights, d->n_sources * sizeof(*d->weights));
	for (size_t i = 0; i < d->n; i++) {
		const struct train_example *e = &d->examples[i];
		struct train_example plain = {
			.n = e->n, .source = e->source, .counts_first = e->counts_first, .pair = e->pair
		};
		buf_add(out, &plain, sizeof(plain));
		buf_add(out, e->ids, (size_t)e->n * sizeof(*e->ids));
		buf_add(out, e->counts, (size_t)e->n);
	}
}

int crew_job_put(struct buf *out, const struct crew_job *job)
{
	struct head h;
	int rc;

	memset(&h, 0, sizeof(h));
	rc = digest_file(&h.program, PROGRAM);
	h.options = *job->options;
	h.options.schedule = NULL;
	h.options.validation = NULL;
	h.validation = job->options->validation != NULL;
	h.lora = job->lora;
	if (job->lora)
		h.factors = job->factors;
	h.factors.targets = NULL;
	h.n_targets = -1;
	for (; job->lora && job->factors.targets && (h.n_targets < 0 || job->factors.targets[h.n_targets]);)
		h.n_targets++;
	buf_add(out, &h, sizeof(h));
	put_text(out, job->options->schedule);
	put_text(out, job->model);
	put_text(out, job->adapter);
	put_text(out, job->checkpoint_dir);
	for (int i = 0; i < h.n_targets; i++)
		put_text(out, job->factors.targets[i]);
	put_data(out, job->data);
	if (h.validation)
		put_data(out, job->options->validation);
	return rc;
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

struct reader {
	const char *at, *end;
	bool bad;
};

static void take(struct reader *r, void *to, size_t bytes)
{
	r->bad = r->bad || (size_t)(r->end - r->at) < bytes;
	if (r->bad) {
		memset(to, 0, bytes);
		return;
	}
	memcpy(to, r->at, bytes);
	r->at += bytes;
}

static const char *take_text(struct reader *r)
{
	const char *text = r->at, *nul = r->bad ? NULL : memchr(r->at, 0, (size_t)(r->end - r->at));

	r->bad = !nul;
	r->at = nul ? nul + 1 : r->at;
	return nul ? text : "";
}

static const char *or_none(const char *text)
{
	return *text ? text : NULL;
}

static void take_data(struct reader *r, struct train_data *d)
{
	uint64_t n, sources;

	take(r, &n, sizeof(n));
	take(r, &sources, sizeof(sources));
	if (r->bad || n > (size_t)(r->end - r->at) / sizeof(struct train_example) ||
	    sources > (size_t)(r->end - r->at) / sizeof(double)) {
		r->bad = true;
		return;
	}
	d->weights = mem_array((size_t)sources + 1, sizeof(*d->weights));
	d->n_sources = d->cap_sources = (size_t)sources;
	take(r, d->weights, (size_t)sources * sizeof(*d->weights));
	d->examples = mem_array((size_t)n + 1, sizeof(*d->examples));
	d->cap = (size_t)n;
	while (!r->bad && d->n < n) {
		struct train_example e;
		take(r, &e, sizeof(e));
		if (r->bad || e.n < 0 || (size_t)e.n > (size_t)(r->end - r->at) / (sizeof(int32_t) + 1)) {
			r->bad = true;
			return;
		}
		e.ids = mem_array((size_t)e.n + 1, sizeof(*e.ids));
		e.counts = mem_alloc((size_t)e.n + 1);
		take(r, e.ids, (size_t)e.n * sizeof(*e.ids));
		take(r, e.counts, (size_t)e.n);
		d->examples[d->n++] = e;
	}
}

/* Who is no rank 0 of ours gets no further than this. */
static int take_head(struct reader *r, struct head *h)
{
	struct digest own;
	int rc = digest_file(&own, PROGRAM);

	take(r, h, sizeof(*h));
	if (!rc && (r->bad || !digest_equal(&own, &h->program)))
		rc = err_hint(err_set(ERR_ENV, "it is another build of assay than rank 0"),
			      "all machines must have the same program");
	return rc;
}

struct work {
	struct train_data data, held;
	struct train_options options;
	struct train_hooks hooks;
	const char *model, *adapter, **targets;
	struct lora_options factors;
	bool lora;
};

static int take_job(struct work *w, const struct buf *text)
{
	struct reader r = { text->data, text->data + text->len, false };
	struct head h;
	int rc = take_head(&r, &h);

	if (rc)
		return rc;
	w->options = h.options;
	w->factors = h.factors;
	w->lora = h.lora;
	const char *schedule = take_text(&r);
	for (size_t i = 0; i < ARRAY_LEN(schedules); i++)
		if (strcmp(schedules[i], schedule) == 0)
			w->options.schedule = schedules[i];
	w->model = take_text(&r);
	w->adapter = or_none(take_text(&r));
	w->hooks.checkpoint_dir = or_none(take_text(&r));
	if (h.n_targets >= 0) {
		w->targets = mem_array((size_t)h.n_targets + 1, sizeof(*w->targets));
		w->factors.targets = w->targets;
	}
	for (int i = 0; i < h.n_targets; i++)
		w->targets[i] = take_text(&r);
	take_data(&r, &w->data);
	if (h.validation)
		take_data(&r, &w->held);
	w->options.validation = h.validation ? &w->held : NULL;
	return r.bad ? err_set(ERR_BUG, "what rank 0 wants trained cannot be read") : 0;
}

/* ---- the work ------------------------------------------------------------------------------------------------------ */

static int work_on(struct work *w, struct ranks *link, const char *device, int threads)
{
	struct backend *be = NULL;
	struct model *m = NULL;
	int rc = backend_open(&be, device, threads);

	if (!rc)
		rc = model_load(&m, w->model, be, &(struct model_load){ .train = !w->lora, .adapter = w->adapter });
	if (!rc && w->lora)
		rc = model_add_lora(m, &w->factors, w->options.seed);
	w->hooks.ranks = link;
	if (!rc)
		rc = train_run(m, &w->data, &w->options, &w->hooks, NULL);
	model_free(m);
	backend_close(be);
	return rc;
}

int crew_job_run(const struct buf *text, struct ranks *link, const char *device, int threads)
{
	struct work w = { 0 };
	int rc = take_job(&w, text);

	if (!rc)
		rc = work_on(&w, link, device, threads);
	train_data_release(&w.data);
	train_data_release(&w.held);
	free(w.targets);
	return rc;
}

int crew_work(struct ranks *link, const char *device, int threads)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc = 0;

	log_set_level(LOG_QUIET); /* what there is to say, rank 0 says */
	run_stop_on_signals();
	while (!rc && (rc = ranks_tell(link, &text)) == 0) {
		rc = crew_job_run(&text, link, device, threads);
		if (rc)
			ranks_fail(link, rc);
	}
	ranks_close(link, false);
	buf_release(&text);
	return rc == ERR_NOTFOUND ? 0 : err_exit_code(rc);
}
