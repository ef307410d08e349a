/* score_host.c: a command that scores answers (evals/score_command.c says which, and what it reads and prints) at work.
 *
 * It runs in a new folder that holds its declared inputs and nothing else of the commit, so what it forgot to declare it
 * cannot depend on; without the environment of this process but PATH and LANG; in the sandbox (sandbox.c). The folder goes
 * with the block. */
#include "base/base.h"
#include "runner/default_branch.h"
#include "runner/score_host.h"

#include <sys/stat.h>

enum { BLOCK_LOG = 16 << 10, RUN_LOG = 256 << 10 }; /* bytes of its standard error that go to the log */

/* Is the commit surely of the user of this machine? By hand, or before a push; in no CI and on no server; on a branch, in a
 * repository where no branch of a remote has ever come. */
static bool is_own(const struct run *run)
{
	const struct event *e = &run->event;
	char *branch = NULL;
	bool own = !event_ci() && (e->kind == EVENT_MANUAL || (e->kind == EVENT_HOOK && *e->remote)) &&
		   repo_work_dir(run->repo) && repo_head_branch(run->repo, &branch) == 0 &&
		   !default_seen_any(run->repo);

	err_clear();
	free(branch);
	return own;
}

bool run_is_vouched(const struct run *run)
{
	return run->have_target_config ? run_policy(run) != NULL : is_own(run);
}

/* `external` takes the only wall away, so no commit says it that nobody vouches for, nor a branch that only this clone takes for
 * the default one: there it counts as `auto`. */
static enum sandbox_kind sandbox_kind(const struct run *run)
{
	bool sure;

	if (run->questions->sandbox != SANDBOX_EXTERNAL)
		return run->questions->sandbox;
	sure = run_is_vouched(run) && (!run->have_target_config || event_confirm(&run->event, run->repo) == 0);
	err_clear();
	return sure ? SANDBOX_EXTERNAL : SANDBOX_AUTO;
}

struct sandbox run_sandbox(const struct run *run)
{
	return (struct sandbox){ .kind = sandbox_kind(run),
				 .repo = run->repo,
				 .home = store_home(run->home->store),
				 .policy = "the target's policy",
				 .fix = "put sandbox: auto into " CONFIG_FILE " of the target branch" };
}

static int ready(void *self)
{
	const struct score_host *h = self;

	return sandbox_check(&h->sandbox, "score.command is a program of the questions");
}

static int write_files(const struct score_command *c, const char *dir)
{
	int rc = 0;

	for (size_t i = 0; i < c->n_files && !rc; i++) {
		char *path = path_join(dir, c->files[i].path);

		rc = fs_write(path, buf_str(&c->files[i].bytes), c->files[i].bytes.len);
		if (!rc && chmod(path, 0700)) /* it may be the program itself */
			rc = err_errno(ERR_IO, "%s", path);
		free(path);
	}
	return rc;
}

static int run_in(struct score_host *h, const struct score_command *c, const char *dir, const char *in, size_t len,
		  struct buf *out)
{
	static const char *const env[] = { "HOME=/tmp", NULL }, *const keep[] = { "PATH", "LANG", NULL };
	struct tail tail = { .limit = h->room < BLOCK_LOG ? h->room + 1 : BLOCK_LOG };
	struct words argv = { 0 };
	struct proc p = { .dir = dir,
			  .in = in,
			  .in_len = len,
			  .name = c->argv[0],
			  .out = out,
			  .full_ends = true,
			  .line = tail_line,
			  .line_arg = &tail,
			  .env = env,
			  .env_keep = keep,
			  .timeout_s = c->timeout_s,
			  .stop = run_stop_flag() };
	size_t prefix;
	int rc;

	p.keeper = sandbox_wrap(&h->sandbox, &argv, dir);
	prefix = argv.n;
	for (size_t i = 0; i < c->n_words; i++)
		argv_add(&argv, c->argv[i]);
	argv_add(&argv, NULL);
	p.argv = argv.items;
	rc = proc_run(&p);
	if (h->room)
		tail_end(&tail);
	h->room -= tail.shown < h->room ? tail.shown : h->room;
	if (rc == ERR_UNAVAILABLE && !err_fix())
		err_hint(rc, "it has %g s for the answers of a block: score.timeout, which is no part of the question",
			 c->timeout_s);
	if (!rc && p.status) {
		p.argv = argv.items + prefix;
		rc = command_failed(&tail, &p, "");
		if (rc == ERR_INPUT)
			err_hint(rc,
				 "the last lines of its standard error are above; it finds its inputs, and no other "
				 "file of the commit");
	}
	tail_release(&tail);
	argv_release(&argv);
	return rc;
}

static int run(void *self, const struct score_command *c, const char *in, size_t len, struct buf *out)
{
	const char *parent = getenv("TMPDIR");
	char *dir = NULL;
	int rc = fs_temp_dir(&dir, parent && *parent ? parent : "/tmp", "assay-score-");

	rc = rc ? rc : write_files(c, dir);
	rc = rc ? rc : run_in(self, c, dir, in, len, out);
	if (dir)
		fs_remove_tree(dir);
	free(dir);
	return rc;
}

const struct command_host *score_host(struct score_host *h, const struct sandbox *s)
{
	*h = (struct score_host){ { h, ready, run }, *s, RUN_LOG };
	return &h->calls;
}
