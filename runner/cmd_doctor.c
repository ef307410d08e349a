/* cmd_doctor.c: `assay doctor`: what this machine can do, and for each thing that is missing the line that mends it. */
#include "base/base.h"
#include "ci/ci.h"
#include "kernels/kernels.h"
#include "runner/budget.h"
#include "runner/cmd.h"
#include "runner/confine.h"
#include "runner/event.h"
#include "runner/runner.h"

#include <git2.h>
#include <sqlite3.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DISK_MIN ((uint64_t)1 << 30) /* below it, not even a small model's checkpoints are safe */

static void say(bool ok, const char *what, const char *detail, const char *fix)
{
	printf("%s  %-12s %s\n", ok ? "ok     " : "missing", what, detail);
	if (!ok && fix)
		printf("         fix: %s\n", fix);
}

static void say_device(void *arg, bool ok, const char *what, const char *detail, const char *fix)
{
	(void)arg;
	say(ok, what, detail, fix);
}

static bool program(const char *const *argv, char out[128])
{
	struct buf text = BUF_INIT(1 << 16);
	struct proc p = { .argv = argv, .out = &text, .err = &text, .timeout_s = 10 };
	bool ok = proc_run(&p) == 0 && p.status == 0;

	snprintf(out, 128, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	buf_release(&text);
	err_clear();
	return ok;
}

static void check_programs(void)
{
	char text[128];
	bool works;

	say(program((const char *[]){ "git", "--version", NULL }, text), "git", text, "apt-get install git");
	works = program((const char *[]){ "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL }, text);
	if (works)
		say(true, "sandbox", "bubblewrap, for commands of a commit", NULL);
	else if (confine_version())
		say(true, "sandbox", "Landlock and seccomp (sandbox: auto); bubblewrap does not work here", NULL);
	else
		say(false, "sandbox", *text ? text : "neither bubblewrap nor Landlock",
		    "apt-get install bubblewrap, and allow user namespaces; needed only for commands of a commit");
	say(program((const char *[]){ "git", "lfs", "version", NULL }, text), "git-lfs", text,
	    "apt-get install git-lfs; needed only where the repository keeps files there");
}

/* What the configured model needs, by the plan of HEAD; 0: not known. */
struct need {
	uint64_t memory, disk;
};

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A plan runs nothing. What is wrong with it is shown, and mended, here as well as by assay plan. */
static void check_plan(struct need *out, struct place *p, struct event *e)
{
	struct run_options o;
	struct run run;

	run_options_init(&o);
	o.until = "plan";
	run_push(&run, &o, p->repo, &p->home, e);
	say(!run.failed, "plan", run.failed ? run.fail_text : "of HEAD: it fits", run.fail_hint);
	out->memory = most(run.memory_train.total, run.memory_eval.total);
	/* two checkpoints, and the version */
	out->disk = 2 * (run.memory_train.weights + run.memory_train.optimizer) +
		    most(run.memory_train.weights, run.memory_eval.weights);
	run_release(&run);
	err_clear();
}

static void check_memory(const struct need *need)
{
	uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char have[16], total[16], wants[16];
	struct budget b;
	char *detail;

	if (budget_open(&b, NULL, "") != 0 || !b.bytes) {
		err_clear();
		return;
	}
	fs_size_text(have, b.bytes);
	fs_size_text(total, all);
	fs_size_text(wants, need->memory);
	detail = mem_printf("%s of %s (%s)%s%s", have, total, b.what, need->memory ? "; the model of HEAD takes " : "",
			    need->memory ? wants : "");
	say(need->memory <= b.bytes, "ram", detail,
	    "a smaller finetune.micro_tokens, or a larger machine; assay plan has the sums");
	free(detail);
}

static void check_home(const char *path, const struct need *need)
{
	uint64_t wants = most(need->disk, DISK_MIN);
	char text[16];
	struct statvfs v;
	char *detail, *fix;

	if (statvfs(path, &v) != 0 || access(path, W_OK) != 0) {
		say(false, "home", path, "set ASSAY_HOME to a folder that can be written");
		return;
	}
	detail = mem_printf("%s, %.1f GB free", path, (double)v.f_bavail * (double)v.f_frsize / 1e9);
	fs_size_text(text, wants);
	fix = mem_printf(
		"%s are wanted for checkpoints and a version: assay artifact gc, or ASSAY_HOME on a larger disk", text);
	say((uint64_t)v.f_bavail * v.f_frsize >= wants, "home", detail, fix);
	free(detail);
	free(fix);
}

/* Does the forge let the token do what it is for? Asked once and briefly; without an answer the token is only said to be set. */
static void try_token(const char *name, const char *token, const char *forge)
{
	struct forge_post how = { .token = token, .key = "default", .timeout_s = 5 };
	struct forge_place place;
	char *says = NULL, *detail;
	int rc = getenv("ASSAY_OFFLINE") ? ERR_ENV : forge_place_read(&place, forge);

	if (rc == 0)
		rc = forge_probe(&says, &place, &how);
	else
		rc = 0;
	detail = rc ? mem_printf("%s: %s", name, err_text())
		    : mem_printf("%s is set%s%s", name, says ? ", and " : "; not tried", says ? says : "");
	say(rc == 0, "token", detail, rc ? err_fix() : NULL);
	if (!getenv("ASSAY_OFFLINE"))
		forge_place_release(&place);
	err_clear();
	free(detail);
	free(says);
}

/* What a CI's job lacks: the token that writes the report, and memory that outlives the job. */
static void check_token(const char *ci)
{
	bool github = strcmp(ci, "GitHub Actions") == 0;
	const char *name = github ? "GITHUB_TOKEN" : "ASSAY_GITLAB_TOKEN", *token = getenv(name);
	char *detail;

	if (!github && strcmp(ci, "GitLab CI") != 0)
		return;
	if (token && *token) {
		try_token(name, token, github ? getenv("GITEA_ACTIONS") ? "gitea" : "github" : "gitlab");
		return;
	}
	detail = mem_printf("%s is not set: no comment is written%s", name,
			    !github && getenv("CI_JOB_TOKEN") ? " (the job's own token may only read them)" : "");
	say(false, "token", detail,
	    github ? "env: { GITHUB_TOKEN: '${{ github.token }}' } at the step, and in the workflow permissions: "
		     "{contents: read, pull-requests: write}"
		   : "a project access token (role Reporter, scope api) as the masked variable ASSAY_GITLAB_TOKEN; not "
		     "protected, if merge requests of other branches shall have a note");
	free(detail);
}

static void check_ci(const struct event *e)
{
	const char *ci = event_ci();
	char *detail;

	if (!ci)
		return;
	say(true, "ci", ci, NULL);
	if (e) {
		detail = mem_printf(
			"%s, trusted as %s%s%s", event_name(e->kind), trust_name(e->trust), e->note ? ": " : "",
			e->trust == TRUST_FORK ? (e->note ? e->note
							  : ": its token may only read, and the comment needs a second "
							    "workflow")
			: e->note              ? e->note
					       : "");
		say(true, "event", detail, NULL);
		free(detail);
	}
	check_token(ci);
	say(!home_is_passing(), "memory",
	    home_is_passing() ? "lies in the clone, which a fresh runner does not keep: no later job finds a baseline"
			      : "ASSAY_HOME is set: see that a cache or the runner keeps it",
	    "set ASSAY_HOME to a folder that the job's cache or the runner keeps (docs/ci.md)");
}

/* Is there a configuration to plan with? A clone that is not whole might have to be fetched for it, which a doctor does not do. */
static bool check_clone(struct place *p)
{
	struct buf text = BUF_INIT(1 << 16);
	bool deep = !repo_is_shallow(p->repo), have = false;
	struct commit head;

	say(deep, "clone",
	    deep ? "has its whole history"
		 : "is shallow: history is fetched as far as it is needed, if git fetch works here",
	    "git fetch --unshallow (fetch-depth: 0 at actions/checkout, GIT_DEPTH: \"0\" on GitLab)");
	if (repo_commit(p->repo, "HEAD", &head) == 0) {
		struct tree *t = NULL;

		have = tree_open(&t, p->repo, &head) == 0 && tree_read(t, "assay.yaml", &text) == 0;
		say(have, "assay.yaml", have ? "is in HEAD" : "is not in HEAD",
		    "assay init, then commit what it writes");
		tree_close(t);
		commit_release(&head);
	}
	err_clear();
	buf_release(&text);
	return have && deep;
}

static int check_place(void)
{
	struct need need = { 0 };
	struct place place;
	struct event e;
	int rc = place_open(&place);

	if (rc) {
		say(false, "repository", err_text(), err_fix());
		err_clear();
		check_memory(&need);
		return 0;
	}
	if (place.repo) {
		bool whole = check_clone(&place), known = event_detect(&e, place.repo, NULL) == 0;

		if (!known && event_ci())
			say(false, "event", err_text(), err_fix());
		err_clear();
		if (whole && known)
			check_plan(&need, &place, &e);
		check_ci(known ? &e : NULL);
		if (known)
			event_release(&e);
	}
	check_memory(&need);
	check_home(store_home(place.home.store), &need);
	place_close(&place);
	return 0;
}

int cmd_doctor(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };
	const struct opt_usage usage = { "doctor", "", "what this machine can do, and exactly what is missing",
					 NULL,     0,  0 };
	int major, minor, patch, rc = opt_parse(&argc, &argv, opts, &usage);
	char *libraries;

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	git_libgit2_version(&major, &minor, &patch);
	libraries = mem_printf("libgit2 %d.%d.%d, SQLite %s", major, minor, patch, sqlite3_libversion());
	say(true, "assay", ASSAY_VERSION, NULL);
	say(true, "libraries", libraries, NULL);
	free(libraries);
	backend_probe(say_device, NULL);
	check_programs();
	return check_place();
}
