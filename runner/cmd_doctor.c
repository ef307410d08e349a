/* cmd_doctor.c: `assay doctor`: what this machine can do, and for each thing that is missing the line that mends it. */
#include "base/base.h"
#include "kernels/kernels.h"
#include "runner/cmd.h"
#include "runner/confine.h"
#include "runner/event.h"

#include <git2.h>
#include <sqlite3.h>
#include <sys/statvfs.h>
#include <unistd.h>

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

static void check_home(const char *path)
{
	struct statvfs v;
	char *detail;

	if (statvfs(path, &v) != 0 || access(path, W_OK) != 0) {
		say(false, "home", path, "set ASSAY_HOME to a folder that can be written");
		return;
	}
	detail = mem_printf("%s, %.1f GB free", path, (double)v.f_bavail * (double)v.f_frsize / 1e9);
	say(true, "home", detail, NULL);
	free(detail);
}

/* What a CI's job lacks: the token that writes the report, and memory that outlives the job. */
static void check_token(const char *ci)
{
	bool github = strcmp(ci, "GitHub Actions") == 0;
	const char *name = github ? "GITHUB_TOKEN" : "ASSAY_GITLAB_TOKEN", *token = getenv(name);
	char *detail = mem_printf("%s is %s", name, token && *token ? "set" : "not set: no comment is written");

	if (!github && strcmp(ci, "GitLab CI") != 0) {
		free(detail);
		return;
	}
	say(token && *token, "token", detail,
	    github ? "env: { GITHUB_TOKEN: '${{ github.token }}' } at the step, and in the workflow permissions: "
		     "{contents: read, pull-requests: write}"
		   : "a project access token (role Reporter, scope api) as the masked variable ASSAY_GITLAB_TOKEN; not "
		     "protected, if merge requests of other branches shall have a note");
	free(detail);
}

static void check_ci(struct place *p)
{
	const char *ci = event_ci();
	struct event e;
	char *detail;

	if (!ci)
		return;
	say(true, "ci", ci, NULL);
	if (event_detect(&e, p->repo, NULL) != 0) {
		say(false, "event", err_text(), err_fix());
		err_clear();
	} else {
		detail = mem_printf(
			"%s, trusted as %s%s%s", event_name(e.kind), trust_name(e.trust), e.note ? ": " : "",
			e.trust == TRUST_FORK ? (e.note ? e.note
							: ": its token may only read, and the comment needs a second "
							  "workflow")
			: e.note              ? e.note
					      : "");
		say(true, "event", detail, NULL);
		free(detail);
		event_release(&e);
	}
	check_token(ci);
	say(!home_is_passing(), "memory",
	    home_is_passing() ? "lies in the clone, which a fresh runner does not keep: no later job finds a baseline"
			      : "ASSAY_HOME is set: see that a cache or the runner keeps it",
	    "set ASSAY_HOME to a folder that the job's cache or the runner keeps (docs/ci.md)");
}

static int check_place(void)
{
	struct place place;
	struct buf text = BUF_INIT(1 << 16);
	int rc = place_open(&place);

	if (rc) {
		say(false, "repository", err_text(), err_fix());
		err_clear();
		return 0;
	}
	check_home(store_home(place.home.store));
	if (place.repo) {
		bool deep = !repo_is_shallow(place.repo);
		struct commit head;

		say(deep, "clone",
		    deep ? "has its whole history"
			 : "is shallow: history is fetched as far as it is needed, if git fetch works here",
		    "git fetch --unshallow (fetch-depth: 0 at actions/checkout, GIT_DEPTH: \"0\" on GitLab)");
		if (repo_commit(place.repo, "HEAD", &head) == 0) {
			struct tree *t = NULL;
			bool have = tree_open(&t, place.repo, &head) == 0 && tree_read(t, "assay.yaml", &text) == 0;

			say(have, "assay.yaml", have ? "is in HEAD" : "is not in HEAD",
			    "assay init, then commit what it writes");
			tree_close(t);
			commit_release(&head);
		}
		check_ci(&place);
	}
	err_clear();
	buf_release(&text);
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
