/* step_record.c: what happened, written down: one immutable record, and from it the registry's rows.
 *
 * Always runs. The objects that the record names are in the store already; registry_add_run writes the record and then
 * its rows in one transaction. A version is made of a model that was not the baseline's, whose samples are whole. An
 * alias moves on PASS in a protected run; a hook run proposes; any other run changes nothing but its own history.
 *
 * A version names weights, and the run that an alias was promoted by has the prompt that stands in front of them. So
 * a new prompt on the baseline's weights makes no version, and yet moves the alias, from the version to itself: what the
 * next candidate is compared with is the new prompt, and a prompt cannot get worse a margin at a time. */
#include "base/base.h"
#include "runner/early.h"
#include "runner/evaluate.h"
#include "runner/fetch.h"
#include "runner/parts.h"
#include "runner/runner.h"

#include <math.h>
#include <sys/utsname.h>

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *steps_json(const struct run *run)
{
	json_t *list = json_array();

	for (size_t i = 0; i < RUN_STEPS; i++)
		json_array_append_new(list, json_pack("{s:s,s:s,s:f}", "name", run_step_name(i), "status",
						      step_status_name(run->steps[i].status), "seconds",
						      run->steps[i].seconds));
	return list;
}

static void add_metrics(json_t *metrics, const struct run_suite *s)
{
	for (size_t t = 0; t < s->n_tasks; t++)
		for (size_t m = 0; m < s->tasks[t].n_metrics; m++) {
			const struct metric *x = &s->tasks[t].metrics[m];

			json_array_append_new(
				metrics, json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:I,s:b}", "suite", suite_name(s->suite),
						   "task", s->tasks[t].task, "metric", x->name, "filter", x->filter,
						   "value", number(x->value), "stderr", number(x->stderr_), "n",
						   (json_int_t)s->tasks[t].n, "higher_is_better", x->higher_is_better));
		}
}

/* TASK.overlap, the share of the task's documents that the training data has, and TASK.overlap_documents, their number. */
static void add_overlap(json_t *metrics, const json_t *overlap)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(overlap, "tasks"), i, row)
	{
		int64_t n = json_get_int(row, "n", 0), documents = json_get_int(row, "documents", 0);
		const char *names[] = { "overlap", "overlap_documents" };
		const double values[] = { n ? (double)documents / (double)n : 0, (double)documents };

		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			json_array_append_new(metrics, json_pack("{s:s,s:s,s:s,s:s,s:f,s:n,s:I,s:b}", "suite",
								 json_get_text(row, "suite", ""), "task",
								 json_get_text(row, "task", ""), "metric", names[k],
								 "filter", "none", "value", values[k], "stderr", "n",
								 (json_int_t)n, "higher_is_better", 0));
	}
}

static void add_samples(json_t *samples, const struct run_suite *s)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(s->stage, "tasks"), i, row)
	{
		json_t *copy = json_copy(row);

		json_object_set_new(copy, "suite", json_string(suite_name(s->suite)));
		json_array_append_new(samples, copy);
	}
}

static json_t *stage_json(const char *step, const char *name, const char *key, json_t *output)
{
	return json_pack("{s:s,s:s,s:s,s:o}", "step", step, "name", name, "key", key, "output", output);
}

json_t *run_stages(const struct run *run)
{
	json_t *list = json_array();
	char key[DIGEST_HEX];

	if (*run->object &&
	    (run->steps[RUN_TRAIN].status == STEP_DONE || run->steps[RUN_TRAIN].status == STEP_RESUMED)) {
		json_t *output = json_pack("{s:s}", "object", run->object);

		if (run->training)
			json_object_set(output, "training", run->training);
		json_array_append_new(list, stage_json("train", run->questions->model, run->train_key, output));
	}
	if (run->overlap)
		json_array_append_new(list, stage_json("overlap", run->questions->model, run->overlap_key,
						       json_incref(run->overlap)));
	for (size_t i = 0; i < run->n_suites; i++) {
		const struct run_suite *s = &run->suites[i];

		if (s->stage) {
			if (json_object_get(s->stage, "part"))
				evaluate_key_part(run, s, run->object, run->prompt_oid, key);
			else
				evaluate_key(run, s, run->object, run->prompt_oid, key);
			json_array_append_new(list, stage_json("eval", s->path, key, json_incref(s->stage)));
		}
		if (s->rescored && s->base_stage) {
			evaluate_key(run, s, run->baseline.object, run->baseline.prompt, key);
			json_array_append_new(list, stage_json("eval", s->path, key, json_incref(s->base_stage)));
		}
	}
	for (size_t i = 0; i < run->n_proposed; i++) {
		if (!run->proposed[i].stage)
			continue;
		evaluate_key(run, &run->proposed[i], run->object, run->prompt_oid, key);
		json_array_append_new(
			list, stage_json("eval", run->proposed[i].path, key, json_incref(run->proposed[i].stage)));
	}
	if (run->more_stages)
		json_array_extend(list, run->more_stages);
	return list;
}

static void add_edge(json_t *edges, const char *from, const char *to, const char *relation)
{
	json_array_append_new(edges, json_pack("{s:s,s:s,s:s}", "from", from, "to", to, "relation", relation));
}

/* Lineage: what went into the model that was judged. */
static json_t *edges_json(const struct run *run)
{
	json_t *edges = json_array();
	char *model, *node;

	if (!*run->object)
		return edges;
	model = mem_printf("model:%s", run->object);
	node = mem_printf("commit:%s", run->commit.oid);
	add_edge(edges, node, model, "defines");
	free(node);
	for (size_t i = 0; i < run->n_data; i++) {
		node = mem_printf("data:%s", run->data[i].oid);
		add_edge(edges, node, model, run->data[i].validation ? "validated" : "trained");
		free(node);
	}
	if (*run->base_object) {
		node = mem_printf("model:%s", run->base_object);
		if (strcmp(node, model) != 0)
			add_edge(edges, node, model, "base of");
		free(node);
	}
	free(model);
	return edges;
}

/* A data set as a version of its path: the digest says which. */
static json_t *dataset_json(const struct run *run, const struct run_data *d)
{
	static const char *const members[] = { "license", "owner", "source", "about" };
	const json_t *card = json_object_get(run->product->data, d->path);
	json_t *row = json_pack("{s:s,s:s,s:o,s:I,s:s}", "path", d->path, "digest", d->oid, "rows",
				d->rows < 0 ? json_null() : json_integer(d->rows), "bytes", (json_int_t)d->bytes,
				"role", d->validation ? "validation" : "train");

	if (json_object_size(d->schema))
		json_object_set(row, "schema", d->schema);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const char *text = json_get_text(card, members[i], NULL);

		if (text)
			json_object_set_new(row, members[i], json_string(text));
	}
	return row;
}

static json_t *datasets_json(const struct run *run)
{
	json_t *list = json_array();

	for (size_t i = 0; i < run->n_data; i++)
		json_array_append_new(list, dataset_json(run, &run->data[i]));
	return list;
}

/* With the samples that the gate compared with: not always those of the baseline's own run. */
static json_t *baseline_json(const struct run *run)
{
	const struct run_baseline *b = &run->baseline;
	json_t *samples, *row;

	if (!b->found)
		return json_null();
	samples = json_array();
	for (size_t i = 0; i < run->n_suites; i++) {
		size_t t;

		json_array_foreach(json_object_get(run->suites[i].base_stage, "tasks"), t, row)
			json_array_append(samples, row);
	}
	return json_pack("{s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:o}", "name", b->name, "run", b->run, "model",
			 run->questions->model, "version", b->version ? json_integer(b->version) : json_null(),
			 "commit", b->commit, "object", b->object, "prompt", b->prompt, "samples", samples);
}

/* Judged whole, from a commit that anybody can find again. */
static bool is_whole(const struct run *run)
{
	return !run->failed && run->have_gate && !run->left_to_ci && *run->object && !(run_limit(run) > 0) &&
	       !run->options->shards && early_is_whole(run) && !run->options->dirty && run->event.trust != TRUST_FORK;
}

static bool is_baseline_version(const struct run *run)
{
	return run->baseline.found && run->baseline.version && strcmp(run->baseline.object, run->object) == 0;
}

static bool may_promote(const struct run *run)
{
	return is_whole(run) && run->alias && run->gate.verdict == VERDICT_PASS;
}

/* Of the baseline's version: the alias is elsewhere (it need not be the one that the gate compares with), or stands for
 * another prompt. */
static bool alias_differs(const struct run *run)
{
	return run->alias_version != run->baseline.version || strcmp(run->alias_prompt, run->prompt_oid) != 0;
}

/* Does the run stand for a version: a model that the baseline does not have, or the baseline's where the alias shall move? */
static bool has_version(const struct run *run)
{
	return is_whole(run) && (!is_baseline_version(run) || (may_promote(run) && alias_differs(run)));
}

static void set_promotion(struct run *run, const char *state, int to, const char *why)
{
	json_decref(run->promotion);
	run->promotion = json_pack("{s:s,s:s,s:o,s:o,s:o}", "state", state, "alias", run->alias, "from",
				   run->alias_version ? json_integer(run->alias_version) : json_null(), "to",
				   to ? json_integer(to) : json_null(), "why", why ? json_string(why) : json_null());
}

/* Why the policy of this run moves no alias; NULL: it may. The default branch's may; a candidate's own where it is the first
 * that comes to the default branch, and then it may fill an alias that is not there, not move one. */
static const char *unruled(const struct run *run)
{
	if (run->event.elsewhere)
		return "the push goes to another remote than the one whose default branch judges";
	if (run->have_target_config)
		return run->event.from_default ? NULL : "the policy of this run is not the default branch's";
	if (!run->event.to_default)
		return "the default branch has no policy yet, and another branch moves no alias by its own";
	return run->alias_version ? "no policy of the target stands behind this run, and an alias that is there does "
				    "not move by the candidate's own"
				  : NULL;
}

/* What a PASS means for the alias; true if it should move (now or by a proposal). */
static bool wants_promotion(struct run *run, bool version)
{
	bool moves = run->event.trust == TRUST_PROTECTED || run->event.kind == EVENT_HOOK, older = false;
	const char *why;

	if (run->alias && run->have_gate && run->gate.verdict == VERDICT_PASS && !early_is_whole(run))
		set_promotion(run, "refused", 0, "the budget ended before every sample was asked");
	if (!may_promote(run))
		return false;
	if (!version) {
		set_promotion(run, "kept", run->alias_version, "the model is the baseline's own");
		return false;
	}
	if (run->identical && strcmp(run->baseline.verdict, "PASS") != 0 && !run->baseline.promoted) {
		set_promotion(run, "refused", 0, "the model is the baseline's own, and that has not passed a gate");
		return false;
	}
	if (moves && (why = unruled(run)) != NULL) {
		set_promotion(run, "refused", 0, why);
		return false;
	}
	if (*run->alias_commit && strcmp(run->alias_commit, run->commit.oid) != 0) {
		if (fetch_is_ancestor(run->repo, run->commit.oid, run->alias_commit, &older) != 0) {
			char *text = mem_printf("%s: %s", err_text(), err_fix());

			set_promotion(run, "refused", 0, text);
			free(text);
			err_clear();
			return false;
		}
		if (older) {
			set_promotion(run, "refused", 0, "the alias holds a version of a later commit already");
			return false;
		}
	}
	return moves;
}

/* What was judged: a shard judges nothing, so that no attempt and no baseline comes of it. */
static json_t *product_json(const struct run *run)
{
	json_t *product = json_pack("{s:s,s:s,s:s}", "key", run->product_key, "object",
				    run->options->shards ? "" : run->object, "prompt", run->prompt_oid);

	if (run->product && run->product->finetune.present && !run->product->finetune.command.n)
		json_object_set_new(product, "seed", json_integer((json_int_t)run->product->finetune.train.seed));
	return product;
}

static json_t *policy_json(const struct run *run)
{
	char *source = run->have_target_config ? mem_printf("target %s", run->target.oid) : mem_str("candidate");
	json_t *policy = json_pack("{s:s,s:s,s:f}", "source", source, "target",
				   run->questions && run->questions->gate.population ? "population" : "suite",
				   "confidence", run->questions ? run_confidence(run) : 0.95);

	if (run->questions && *run->questions->gate_digest)
		json_object_set_new(policy, "digest", json_string(run->questions->gate_digest));
	free(source);
	return policy;
}

/* What was typed that can make a gate easier: another target, a part of the samples, a profile, the work tree. */
static json_t *options_json(const struct run *run)
{
	const struct run_options *o = run->options;
	json_t *options = json_object();

	if (o->target)
		json_object_set_new(options, "target", json_new_text(o->target, strlen(o->target)));
	if (o->profile)
		json_object_set_new(options, "profile", json_new_text(o->profile, strlen(o->profile)));
	if (o->limit > 0)
		json_object_set_new(options, "limit", evaluate_limit_json(o->limit));
	if (o->dirty)
		json_object_set_new(options, "dirty", json_true());
	return options;
}

/* Where the commit and the target part: ""; of a merged result the target's tip, by which the change is told from what others did.
 * In a forge's CI, whose clone has one commit by default, it is fetched for; elsewhere it is what this clone knows. */
static void find_base(struct run *run, char oid[OID_HEX])
{
	char first[OID_HEX], second[OID_HEX];
	bool asked = run->event.kind == EVENT_PULL_REQUEST || run->event.kind == EVENT_PUSH;
	const char *target = run->target.oid, *commit = run->commit.oid;

	*oid = 0;
	if (!*target)
		return;
	if (repo_parents(run->repo, commit, first, second) == 0 && (!strcmp(first, target) || !strcmp(second, target)))
		memcpy(oid, target, OID_HEX);
	else if ((asked ? fetch_merge_base : repo_merge_base)(run->repo, target, commit, oid) != 0)
		*oid = 0;
	if (!*oid && asked && repo_is_shallow(run->repo))
		run_note(run,
			 "where this change began is not in this clone, and could not be fetched: fetch-depth: 0 at "
			 "actions/checkout, GIT_DEPTH: \"0\" on GitLab");
	err_clear();
}

/* A merge request may be tested merged; and what a change is told from is neither the commit nor the target. */
static json_t *commits_json(struct run *run)
{
	const char *head = *run->event.head ? run->event.head : run->commit.oid;
	char base[OID_HEX];

	find_base(run, base);
	return json_pack("{s:s,s:s,s:o,s:o}", "tested", run->commit.oid, "head", head, "base",
			 *base ? json_string(base) : json_null(), "target",
			 *run->target.oid ? json_string(run->target.oid) : json_null());
}

static json_t *attempt_json(const struct run *run)
{
	int64_t of = run->attempt ? run->questions->gate.attempts : 0;

	if (!run->attempt)
		return json_null();
	return json_pack("{s:I,s:o}", "number", (json_int_t)run->attempt, "of", of ? json_integer(of) : json_null());
}

static json_t *error_json(const struct run *run)
{
	if (!run->failed)
		return json_null();
	return json_pack("{s:i,s:o,s:o}", "exit", err_exit_code(run->failed), "text",
			 json_new_text(run->fail_text, strlen(run->fail_text)), "hint",
			 run->fail_hint ? json_new_text(run->fail_hint, strlen(run->fail_hint)) : json_null());
}

static void set_texts(json_t *r, struct run *run)
{
	const char *sentence = run->failed ? run->fail_text : run->have_gate ? run->gate.sentence : "";

	json_object_set_new(r, "commit", json_string(run->commit.oid));
	json_object_set_new(r, "commits", commits_json(run));
	json_object_set_new(r, "tree", json_string(run->commit.tree));
	json_object_set_new(r, "subject", json_new_text(run->commit.subject, strlen(run->commit.subject)));
	json_object_set_new(r, "branch",
			    run->event.branch ? json_new_text(run->event.branch, strlen(run->event.branch))
					      : json_null());
	json_object_set_new(r, "ref", run->event.ref ? json_string(run->event.ref) : json_null());
	json_object_set_new(r, "trust", json_string(trust_name(run->event.trust)));
	json_object_set_new(r, "actor", json_new_text(home_actor(), strlen(home_actor())));
	json_object_set_new(r, "event", json_string(event_name(run->event.kind)));
	json_object_set_new(r, "dirty", json_boolean(run->options->dirty));
	json_object_set_new(r, "profile", json_string(run->options->profile ? run->options->profile : ""));
	json_object_set_new(r, "limit", evaluate_limit_json(run->questions ? run_limit(run) : run->options->limit));
	json_object_set_new(r, "model", run->questions ? json_string(run->questions->model) : json_null());
	json_object_set_new(r, "sentence", json_new_text(sentence, strlen(sentence)));
}

static void set_verdict(json_t *r, const struct run *run)
{
	enum verdict v = run->failed || !run->have_gate ? VERDICT_ERROR : run->gate.verdict;

	json_object_set_new(r, "verdict", json_string(verdict_name(v)));
	json_object_set_new(r, "exit", json_integer(run->failed ? err_exit_code(run->failed) : run->gate.exit));
	json_object_set_new(r, "blocks", json_boolean(run->failed || run->gate.blocks));
	json_object_set_new(r, "error", error_json(run));
	json_object_set_new(r, "gate", run->have_gate && !run->failed ? rules_json(&run->gate) : json_null());
}

uint64_t run_model_bytes(const struct run *run)
{
	struct buf text = BUF_INIT(1 << 24);
	json_t *manifest = NULL, *file;
	uint64_t sum = 0;
	size_t i;

	if (store_get(run->home->store, run->object, &text, 1 << 24) == 0 &&
	    json_parse(&manifest, buf_str(&text), text.len, "manifest") == 0)
		json_array_foreach(json_object_get(manifest, "files"), i, file) sum +=
			(uint64_t)json_get_int(file, "size", 0);
	json_decref(manifest);
	buf_release(&text);
	err_clear();
	return sum;
}

/* What computed: for lineage. The numerics class alone says whether bits may be compared. */
static json_t *tool_json(const struct run *run)
{
	json_t *tool = json_pack("{s:s,s:s}", "version", ASSAY_VERSION, "numerics", run->numerics);
	struct utsname machine;

	if (uname(&machine) == 0) {
		char *text =
			mem_printf("%s, %s %s %s", machine.nodename, machine.sysname, machine.release, machine.machine);

		json_object_set_new(tool, "machine", json_new_text(text, strlen(text)));
		free(text);
	}
	return tool;
}

static json_t *shard_json(const struct run *run)
{
	uint64_t all, n;

	if (!run->options->shards || run->failed)
		return json_null();
	n = parts_of_shard(run, &all);
	return json_pack("{s:i,s:i,s:I,s:I}", "i", run->options->shard, "n", run->options->shards, "samples",
			 (json_int_t)n, "total", (json_int_t)all);
}

static json_t *run_document(struct run *run)
{
	json_t *r = json_object(), *metrics = json_array(), *samples = json_array();
	json_t *artifacts = json_array(), *proposed = json_array();

	json_object_set_new(r, "format", json_string("assay-run/1"));
	set_texts(r, run);
	set_verdict(r, run);
	for (size_t i = 0; i < run->n_suites; i++) {
		if (!run->options->shards)
			add_metrics(metrics, &run->suites[i]);
		add_samples(samples, &run->suites[i]);
	}
	add_overlap(metrics, run->overlap);
	for (size_t i = 0; i < run->n_proposed; i++)
		add_metrics(proposed, &run->proposed[i]);
	if (*run->object)
		json_array_append_new(artifacts, json_pack("{s:s,s:s,s:I}", "role", "model", "object", run->object,
							   "size", (json_int_t)run_model_bytes(run)));
	json_object_set_new(r, "seconds", json_real(clock_seconds() - run->started));
	json_object_set_new(r, "tool", tool_json(run));
	json_object_set_new(r, "baseline", baseline_json(run));
	json_object_set_new(r, "policy", policy_json(run));
	json_object_set_new(r, "options", options_json(run));
	json_object_set_new(r, "attempt", attempt_json(run));
	json_object_set_new(r, "product", product_json(run));
	json_object_set_new(r, "steps", steps_json(run));
	json_object_set_new(r, "stages", run_stages(run));
	json_object_set_new(r, "metrics", metrics);
	json_object_set_new(r, "samples", samples);
	json_object_set_new(r, "proposed", proposed);
	json_object_set_new(r, "artifacts", artifacts);
	json_object_set_new(r, "datasets", datasets_json(run));
	json_object_set_new(r, "edges", edges_json(run));
	json_object_set_new(r, "training", run->training ? json_incref(run->training) : json_null());
	json_object_set_new(r, "overlap", run->overlap ? json_incref(run->overlap) : json_null());
	json_object_set_new(r, "shard", shard_json(run));
	json_object_set_new(r, "stopped", run->stopped ? json_incref(run->stopped) : json_null());
	json_object_set_new(r, "notes", json_incref(run->notes));
	return r;
}

/* Before a push proposes anything, the remote says that it is its default branch's policy that judged: a clone that remembers
 * another would let somebody's branch judge. A remote that does not answer: nothing is proposed. */
static int confirm_policy(struct run *run, bool *moves)
{
	int rc = *moves ? event_confirm(&run->event, run->repo) : 0;

	if (rc != ERR_NOTFOUND)
		return rc;
	set_promotion(run, "refused", 0, err_text());
	err_clear();
	*moves = false;
	return 0;
}

static int promote(struct run *run, int version)
{
	const struct promotion p = { .model = run->questions->model,
				     .alias = run->alias,
				     .version = version,
				     .expect = run->alias_version,
				     .run = run->id,
				     .rebind = true,
				     .actor = home_actor(),
				     .reason = run->gate.sentence };
	char id[DIGEST_HEX];
	int rc = registry_promote(run->home->registry, &p, id);

	if (rc == ERR_CONFLICT) { /* a person was quicker; the gate's lease keeps other runs out */
		set_promotion(run, "refused", version, err_text());
		err_clear();
		return 0;
	}
	if (rc == 0)
		set_promotion(run, "made", version, NULL);
	return rc;
}

int step_record(struct run *run)
{
	bool version = has_version(run), moves;
	int made, rc;

	if (!*run->commit.oid) /* nothing that could be named happened */
		return 0;
	run->steps[RUN_RECORD].status = STEP_DONE;
	moves = wants_promotion(run, version);
	rc = confirm_policy(run, &moves);
	if (rc)
		return rc;
	run->record = run_document(run);
	json_object_set_new(run->record, "version",
			    version ? json_pack("{s:s,s:s,s:s,s:s,s:b}", "model", run->questions->model, "object",
						run->object, "key", run->train_key, "product", run->product_key,
						"again", is_baseline_version(run))
				    : json_null());
	json_object_set_new(run->record, "proposal",
			    moves && run->event.kind == EVENT_HOOK
				    ? json_pack("{s:s,s:s,s:i,s:s,s:s}", "model", run->questions->model, "alias",
						run->alias, "expect", run->alias_version, "remote", run->event.remote,
						"ref", run->event.ref)
				    : json_null());
	rc = registry_add_run(run->home->registry, run->record, run->id);
	if (rc || !moves)
		return rc;
	made = (int)json_get_int(json_object_get(run->record, "version"), "number", 0);
	if (run->event.kind != EVENT_HOOK)
		return promote(run, made);
	set_promotion(run, "proposed", made, NULL);
	return 0;
}
