/* run.c: a push becomes a verdict. Read this file first.
 *
 * The table below is the program: seven steps in order. The loop walks it, times each step and keeps its status; a
 * step that fails ends the flow, but record and report still run, so that a broken training is remembered and told.
 * A step says "nothing to do, it is known" by setting its own status to reused.
 *
 * An error of ours is never a failed gate, and never a passed one: a run with an error has the verdict ERROR and exits
 * with the error's own code. An interrupted run is not recorded: the next run of the commit resumes it. */
#include "base/base.h"
#include "model/model.h"
#include "runner/early.h"
#include "runner/jury.h"
#include "runner/crew.h"
#include "runner/runner.h"
#include "runner/served.h"

#include <signal.h>
#include <stdarg.h>

enum when { IF_OK, ALWAYS };
struct step {
	const char *name;
	int (*run)(struct run *run);
	enum when when;
};

static const struct step steps[] = {
	{ "read", step_read, IF_OK },      /* event                  -> trees, configurations  */
	{ "plan", step_plan, IF_OK },      /* trees, registry        -> keys, suites, base     */
	{ "train", step_train, IF_OK },    /* plan, store            -> model (train or load)  */
	{ "eval", step_eval, IF_OK },      /* suites, model          -> scores                 */
	{ "gate", step_gate, IF_OK },      /* scores, baseline       -> verdict                */
	{ "record", step_record, ALWAYS }, /* all that               -> run, version, alias    */
	{ "report", step_report, ALWAYS }, /* the record             -> texts                  */
};
_Static_assert(ARRAY_LEN(steps) == RUN_STEPS, "struct run keeps one status a step");

static void run_step(struct run *run, size_t i)
{
	double start = clock_seconds();
	int rc;

	run->steps[i].status = STEP_DONE;
	rc = steps[i].run(run);
	run->steps[i].seconds = clock_seconds() - start;
	log_debug("%s: %s, %.3f s", steps[i].name, rc ? "failed" : step_status_name(run->steps[i].status),
		  run->steps[i].seconds);
	if (rc == 0)
		return;
	run->steps[i].status = STEP_FAILED;
	if (run->failed) {
		log_error("%s: %s", steps[i].name, err_text());
		return;
	}
	run->failed = rc;
	run->fail_text = mem_str(err_text());
	run->fail_hint = mem_str(err_fix());
}

int run_push(struct run *run, const struct run_options *o, struct repo *repo, struct home *home,
	     const struct event *event)
{
	memset(run, 0, sizeof(*run));
	run->options = o;
	run->repo = repo;
	run->home = home;
	run->event = *event;
	run->started = clock_seconds();
	run->notes = json_array();
	buf_init(&run->prompt, 1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (!run->failed || (steps[i].when == ALWAYS && run->failed != ERR_INTERRUPTED))
			run_step(run, i);
		if (o->until && strcmp(o->until, steps[i].name) == 0)
			break;
	}
	lease_drop(run->gate_lease);
	run->gate_lease = NULL;
	if (run->failed)
		return err_exit_code(run->failed);
	return run->have_gate ? run->gate.exit : 0;
}

const char *run_step_name(size_t i)
{
	return steps[i].name;
}

const char *step_status_name(enum step_status s)
{
	static const char *const names[] = { "skipped", "done", "reused", "resumed", "failed" };

	return names[s];
}

void run_options_init(struct run_options *o)
{
	memset(o, 0, sizeof(*o));
	o->device = "auto";
	o->batch_tokens = 4096;
	o->wait_s = 3600;
	o->checkpoint_s = 30;
}

void run_note(struct run *run, const char *fmt, ...)
{
	va_list ap;
	char text[1024];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(run->notes, json_new_text(text, strlen(text)));
}

const struct config *run_policy(const struct run *run)
{
	return run->have_target_config && (run->event.from_default || run->options->target) ? &run->target_config
											    : NULL;
}

int run_shares(const struct run *run)
{
	int asked = run->product->finetune.train.shares;

	return asked ? asked : run->options->shares ? run->options->shares : crew_n(run->options->crew);
}

int run_backend(struct run *run)
{
	return run->backend ? 0 : backend_open(&run->backend, run->options->device, (int)run->options->threads);
}

static volatile int stopped;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
	train_stop();
}

const volatile int *run_stop_flag(void)
{
	return &stopped;
}

void run_stop_on_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
}

static void suite_release(struct run_suite *s)
{
	for (size_t i = 0; i < s->n_tasks; i++)
		task_result_release(&s->tasks[i]);
	for (size_t i = 0; i < s->n_base_tasks; i++)
		task_result_release(&s->base_tasks[i]);
	free(s->tasks);
	free(s->base_tasks);
	json_decref(s->stage);
	json_decref(s->base_stage);
	suite_free(s->suite);
	free(s->path);
}

void run_suites_drop(struct run *run)
{
	for (size_t i = 0; i < run->n_suites; i++)
		suite_release(&run->suites[i]);
	free(run->suites);
	run->suites = NULL;
	run->n_suites = 0;
}

void run_release(struct run *run)
{
	early_close(run);
	json_decref(run->stopped);
	evaluate_close(run);
	run_suites_drop(run);
	for (size_t i = 0; i < run->n_proposed; i++)
		suite_release(&run->proposed[i]);
	free(run->proposed);
	for (size_t i = 0; i < run->n_data; i++) {
		free(run->data[i].path);
		json_decref(run->data[i].schema);
	}
	free(run->data);
	if (run->questions_tree != run->tree)
		tree_close(run->questions_tree);
	tree_close(run->tree);
	if (run->have_config)
		config_release(&run->config);
	if (run->have_target_config)
		config_release(&run->target_config);
	if (run->have_gate)
		gate_result_release(&run->gate);
	commit_release(&run->commit);
	commit_release(&run->target);
	free(run->exhausted);
	hub_model_release(&run->hub);
	free(run->baseline.name);
	free(run->baseline.commit);
	free(run->baseline.why);
	buf_release(&run->prompt);
	json_decref(run->more_stages);
	json_decref(run->overlap);
	json_decref(run->training);
	json_decref(run->record);
	json_decref(run->promotion);
	json_decref(run->notes);
	json_decref(run->report);
	judges_free(run->judges);
	free(run->score_host);
	served_release(run);
	backend_close(run->backend);
	free(run->fail_text);
	free(run->fail_hint);
	memset(run, 0, sizeof(*run));
}
