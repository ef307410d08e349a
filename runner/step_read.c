/* step_read.c: the commit, the target, and the two configurations.
 *
 * The product is the candidate's, the questions are the target's (config.h), a commit of the default branch (event.h). One
 * that has no assay.yaml yet (a first push) leaves the candidate's own in force, and the report says so. */
#include "base/base.h"
#include "runner/runner.h"
#include "runner/team.h"

#define CONFIG_MAX ((size_t)1 << 20)

static int read_config(struct config *out, struct tree *t, const char *name)
{
	struct buf text = BUF_INIT(CONFIG_MAX);
	int rc = tree_read(t, CONFIG_FILE, &text);

	if (rc == 0)
		rc = config_parse(out, buf_str(&text), text.len, name);
	buf_release(&text);
	return rc;
}

static int read_candidate(struct run *run)
{
	const char *rev = run->options->rev ? run->options->rev : "HEAD";
	int rc = repo_commit(run->repo, rev, &run->commit);

	if (rc == 0)
		rc = home_check_commit(run->home, run->repo, run->commit.oid);
	if (rc)
		return rc;
	rc = run->options->dirty ? tree_open_dirty(&run->tree, run->repo)
				 : tree_open(&run->tree, run->repo, &run->commit);
	if (rc == 0)
		rc = read_config(&run->config, run->tree, CONFIG_FILE);
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "commit %.12s has no %s", run->commit.oid, CONFIG_FILE);
		err_hint(rc, "assay init writes one; commit it");
	}
	run->have_config = rc == 0;
	run->config.finetune.train.seed += (uint64_t)run->options->replicate;
	run->config.base.init_seed += (uint64_t)run->options->replicate;
	return rc;
}

/* The default branch's policy, or a suite that it names, cannot be read, so nothing can be judged by it. A push to that branch of
 * one that can is the way out: it is let through, nothing runs, and no alias moves (step_gate.c). Anything else waits for it. */
int run_repair(struct run *run, int rc)
{
	if (!run->event.from_default || run->options->target)
		return rc;
	if (!run->event.to_default || run->event.kind == EVENT_PULL_REQUEST)
		return err_fix() ? rc
				 : err_hint(rc,
					    "mend it on the default branch first: a push to %.80s whose %s and suites "
					    "are sound "
					    "is let through as a repair",
					    run->event.default_branch ? run->event.default_branch : "it", CONFIG_FILE);
	run_note(run, "the policy of the default branch was broken before this push: %s", err_text());
	err_clear();
	if (run->have_target_config)
		config_release(&run->target_config);
	run->have_target_config = false;
	tree_close(run->questions_tree);
	run->questions_tree = run->tree;
	run->questions = &run->config;
	run->repair = true;
	return 0;
}

static int read_target(struct run *run)
{
	char *name;
	int rc = repo_commit(run->repo, run->event.target, &run->target);

	if (rc)
		return rc;
	if (run->options->target)
		run_note(run, "--target %s: these questions were chosen by hand", run->options->target);
	rc = tree_open(&run->questions_tree, run->repo, &run->target);
	if (rc)
		return rc;
	name = mem_printf("%s of target %.12s", CONFIG_FILE, run->target.oid);
	rc = read_config(&run->target_config, run->questions_tree, name);
	free(name);
	run->have_target_config = rc == 0;
	if (rc == ERR_INPUT)
		return run_repair(run, rc);
	if (rc != ERR_NOTFOUND)
		return rc;
	err_clear();
	tree_close(run->questions_tree);
	run->questions_tree = NULL;
	run_note(run, "the target %.12s has no %s yet: the candidate's own questions are used", run->target.oid,
		 CONFIG_FILE);
	return 0;
}

/* The forge vouches for the commit that was pushed, not for another that somebody names on the command line. */
static void check_pushed(struct run *run)
{
	if (run->event.trust != TRUST_PROTECTED)
		return;
	if (!run->options->dirty && strcmp(run->event.commit, run->commit.oid) == 0)
		return;
	run->event.trust = TRUST_BRANCH;
	run_note(run, "%s is not what was pushed: no alias moves in this run",
		 run->options->dirty ? "the work tree" : run->commit.oid);
}

/* Under pull_request_target, actions/checkout takes the target's commit: its verdict would be posted as the request's. */
static int check_head(const struct run *run)
{
	const char *head = run->event.head, *oid = run->commit.oid;
	char first[OID_HEX] = "", second[OID_HEX] = "";
	int rc;

	if (!run->event.of_head || strcmp(oid, head) == 0)
		return 0;
	rc = repo_parents(run->repo, oid, first, second);
	if (rc || !strcmp(first, head) || !strcmp(second, head))
		return rc;
	rc = err_set(ERR_INPUT, "commit %.12s is neither the pull request's %.12s nor a merge of it", oid, head);
	return err_hint(rc, "run on: pull_request; or at actions/checkout: with: { ref: "
			    "'${{ github.event.pull_request.head.sha }}' }");
}

int step_read(struct run *run)
{
	int rc = read_candidate(run);

	if (rc == 0)
		check_pushed(run);
	rc = rc ? rc : check_head(run);
	if (rc == 0 && *run->event.target)
		rc = read_target(run);
	if (rc)
		return rc;
	run->product = &run->config;
	run->questions = run->have_target_config ? &run->target_config : &run->config;
	team_on_demand(run->home, run->questions->remote);
	if (!run->questions_tree)
		run->questions_tree = run->tree;
	if (!*run->event.target)
		run_note(run, "%s: the candidate's own questions are used",
			 run->event.to_default ? "nothing is on the default branch before this push that could judge it"
					       : "no target branch is known");
	if (run->event.note)
		run_note(run, "%s", run->event.note);
	if (strcmp(run->product->model, run->questions->model) != 0)
		run_note(run, "the candidate renames the model %s to %s: that takes effect once it is merged",
			 run->questions->model, run->product->model);
	return 0;
}
