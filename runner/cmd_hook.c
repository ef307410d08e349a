/* cmd_hook.c: `assay hook install|uninstall|run`: the verdict before a push, here or on the server.
 *
 * git gives a pre-push hook the remote's name and URL as arguments and one line a reference on standard input:
 * "<local ref> <local oid> <remote ref> <remote oid>"; a server's pre-receive hook gets "<old oid> <new oid> <ref>"
 * (githooks(5)), and sees the new objects in a quarantine that git's variables name. Deletions and tags are not judged (that of the
 * default branch is refused on a server);
 * several references at one commit are judged once; the worst exit code blocks the push. A pass proposes a promotion; on
 * the server the post-receive hook makes it, for then the commit is on its branch.
 *
 * ASSAY_SKIP=why lets a push through unjudged and is noted (skip.c). The server's hook does not listen to it. The environment that git sets for its
 * own use is removed first: it would point our children at another repository. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/cmd.h"
#include "runner/print.h"
#include "runner/runner.h"
#include "runner/skip.h"

#include <unistd.h>

enum { SYMBOLIC_MAX = 5 }; /* as many names behind each other as git follows */

static int hooks_dir(struct repo *repo, char **out)
{
	struct buf text = BUF_INIT(1 << 16);
	const char *work = repo_work_dir(repo);
	struct proc p = {
		.argv = (const char *[]){ "git", "-C", work ? work : repo_common_dir(repo), "rev-parse", "--git-path",
					  "hooks", NULL },
		.out = &text,
	};
	int rc = proc_check(&p);

	if (rc == 0) {
		char *path = mem_strn(buf_str(&text), strcspn(buf_str(&text), "\n"));

		*out = path_join(work ? work : repo_common_dir(repo), path);
		free(path);
	}
	buf_release(&text);
	return rc;
}

/* A work tree's owner pushes; a bare repository is pushed to. */
static const char *const *hook_names(struct repo *repo)
{
	static const char *const here[] = { "pre-push", NULL }, *const server[] = { "pre-receive", "post-receive",
										    NULL };

	return repo_work_dir(repo) ? here : server;
}

/* A folder of hooks that the user's own git configuration names serves each of his repositories: a gate there would stop the pushes
 * of all that know nothing of assay. */
static int check_folder(struct repo *repo, const char *dir)
{
	struct buf text = BUF_INIT(1 << 16);
	const char *work = repo_work_dir(repo), *common = repo_common_dir(repo);
	struct proc p = {
		.argv = (const char *[]){ "git", "-C", work ? work : common, "config", "--show-scope", "--get",
					  "core.hooksPath", NULL },
		.out = &text,
	};
	char *own = path_join(common, "hooks");
	int rc = 0;

	if (proc_check(&p) == 0 &&
	    (!strncmp(buf_str(&text), "global\t", 7) || !strncmp(buf_str(&text), "system\t", 7))) {
		rc = err_set(ERR_INPUT,
			     "core.hooksPath of your own or this machine's git configuration makes %s the hooks of "
			     "every repository: nothing is installed",
			     dir);
		err_hint(rc,
			 "give this one a folder of its own, then install again: git config --local core.hooksPath "
			 "%s",
			 own);
	}
	if (rc == 0)
		err_clear();
	free(own);
	buf_release(&text);
	return rc;
}

static int install(struct repo *repo)
{
	char self[4096], *dir = NULL;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *const *name = hook_names(repo);
	int rc;

	if (n <= 0)
		return err_errno(ERR_ENV, "/proc/self/exe");
	self[n] = 0;
	rc = hooks_dir(repo, &dir);
	rc = rc ? rc : check_folder(repo, dir);
	for (; rc == 0 && *name; name++) {
		bool chained = false;

		rc = hook_install(dir, *name, self, &chained);
		if (rc == 0)
			printf("installed %s/%s%s\n", dir, *name,
			       chained ? " (the hook that was there runs behind it)" : "");
	}
	if (rc == 0)
		puts(repo_work_dir(repo) ? "it judges every commit that is pushed; git push --no-verify goes round it"
					 : "they judge every commit that is pushed to this repository, and move "
					   "aliases when it is there");
	free(dir);
	return rc;
}

static int uninstall(struct repo *repo)
{
	char *dir = NULL;
	int rc = hooks_dir(repo, &dir);

	for (const char *const *name = hook_names(repo); rc == 0 && *name; name++) {
		bool restored = false;

		rc = hook_uninstall(dir, *name, &restored);
		if (rc == 0)
			printf("removed %s/%s%s\n", dir, *name,
			       restored ? " and put the hook back that was there" : "");
	}
	free(dir);
	return rc;
}

/* ---- what is pushed ---------------------------------------------------------------------------------------------------------- */

struct update {
	char *local_ref, *local_oid, *remote_ref, *remote_oid;
};

/* n_words: 4 of pre-push, 3 of pre-receive */
static int parse_updates(char *text, size_t n_words, struct update **out, size_t *n)
{
	size_t cap = 0;
	char *save = NULL, *line, *word;

	*out = NULL;
	*n = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *inner = NULL, *w[4] = { NULL };
		size_t i = 0;

		for (word = strtok_r(line, " ", &inner); word && i < n_words; word = strtok_r(NULL, " ", &inner))
			w[i++] = word;
		if (i != n_words || word)
			return err_set(ERR_INPUT, "hook: a line of %zu words is wanted on standard input", n_words);
		MEM_GROW(*out, *n, cap);
		(*out)[(*n)++] = n_words == 4 ? (struct update){ w[0], w[1], w[2], w[3] }
					      : (struct update){ w[2], w[1], w[2], w[0] };
	}
	return 0;
}

static int read_stdin(struct buf *b)
{
	char chunk[65536];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buf_add(b, chunk, n);
	return ferror(stdin) || buf_full(b) ? err_set(ERR_IO, "cannot read standard input") : 0;
}

/* A branch beside the default one may be of something else, such as pages: there is nothing to judge, and no alias moves. From the
 * default branch nobody takes the policy away so. */
static bool has_nothing_to_judge(struct repo *r, const struct event *event, const char *oid)
{
	struct commit c;
	struct tree *t = NULL;
	struct buf text = BUF_INIT((size_t)1 << 20);
	bool nothing = false;

	if (event->default_branch && !event->to_default && repo_commit(r, oid, &c) == 0) {
		nothing = tree_open(&t, r, &c) == 0 && tree_read(t, CONFIG_FILE, &text) == ERR_NOTFOUND;
		tree_close(t);
		commit_release(&c);
	}
	buf_release(&text);
	err_clear();
	return nothing;
}

/* remote "": this repository. */
static int judge(struct place *place, const char *remote, const struct update *u, const struct run_options *defaults)
{
	struct run_options o = *defaults;
	struct event event;
	int rc;

	o.rev = u->local_oid;
	o.profile = *remote ? "pre-push" : "pre-receive";
	rc = event_hook(&event, place->repo, remote, u->remote_ref, u->remote_oid);
	if (rc)
		return rc;
	if (has_nothing_to_judge(place->repo, &event, u->local_oid)) {
		log_info("assay: %.12s for %s%s%s has no %s: there is nothing to judge, and no alias moves",
			 u->local_oid, remote, *remote ? " " : "", u->remote_ref, CONFIG_FILE);
	} else {
		log_info("assay: judging %.12s for %s%s%s", u->local_oid, remote, *remote ? " " : "", u->remote_ref);
		rc = run_and_print(&o, place->repo, &place->home, &event);
	}
	event_release(&event);
	return rc;
}

static bool seen_before(const struct update *u, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(u[k].local_oid, u[i].local_oid) == 0 && strcmp(u[k].remote_ref, u[i].remote_ref) == 0)
			return true;
	return false;
}

static int judge_or_skip(struct place *place, const char *remote, const struct update *u, const struct run_options *o)
{
	const char *why = *remote ? getenv("ASSAY_SKIP") : NULL;
	int rc;

	if (!why || !*why)
		return judge(place, remote, u, o);
	rc = skip_note(&place->home, u->local_oid, remote, u->remote_ref, why);
	if (rc == 0)
		log_warn("%.12s goes to %s %s unjudged, and that is noted: ASSAY_SKIP is set", u->local_oid, remote,
			 u->remote_ref);
	return rc;
}

/* The reference that one stands for in the end, yours: git deletes what a symbolic one names. */
static char *resolved(struct repo *r, const char *ref)
{
	char *at = mem_str(ref), *next = NULL;

	for (int i = 0; i < SYMBOLIC_MAX && repo_symbolic(r, at, &next) == 0; i++) {
		free(at);
		at = next;
		next = NULL;
	}
	return at;
}

/* Whoever could take the default branch away could write its first policy anew. git itself refuses it, unless it is told
 * not to (receive.denyDeleteCurrent), or the branch goes by another name. */
static int check_deletion(struct place *place, const char *remote, const struct update *u)
{
	char *head = *remote ? NULL : resolved(place->repo, "HEAD");
	char *ref = *remote ? NULL : resolved(place->repo, u->remote_ref);
	char *name = NULL;
	int rc = 0;

	if (!*remote &&
	    (!strcmp(ref, head) || (repo_head_branch(place->repo, &name) == 0 &&
				    !strncmp(u->remote_ref, "refs/heads/", 11) && !strcmp(u->remote_ref + 11, name)))) {
		rc = err_set(ERR_INPUT, "%s is the default branch, whose policy judges: it is not deleted by a push",
			     u->remote_ref);
		err_hint(rc, "on the server, name another first: git symbolic-ref HEAD refs/heads/OTHER");
	}
	if (rc == 0)
		err_clear();
	free(name);
	free(ref);
	free(head);
	return rc;
}

static int judge_pushed(struct place *place, const char *remote, const struct run_options *o)
{
	struct buf text = BUF_INIT(1 << 24);
	struct update *u = NULL;
	size_t n = 0;
	int worst = 0, code, rc = read_stdin(&text);

	if (rc == 0 && text.len)
		rc = parse_updates(text.data, *remote ? 4 : 3, &u, &n);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (oid_is_zero(u[i].local_oid))
			rc = check_deletion(place, remote, &u[i]);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (oid_is_zero(u[i].local_oid) || strncmp(u[i].remote_ref, "refs/heads/", 11) != 0 ||
		    seen_before(u, i))
			continue;
		code = judge_or_skip(place, remote, &u[i], o);
		if (code < 0)
			rc = code;
		else if (code > worst)
			worst = code;
	}
	free(u);
	buf_release(&text);
	return rc ? rc : worst;
}

/* By now the proposals of what has arrived are settled: opening the place did it. */
static int run_hook(struct place *place, int argc, char **argv, const struct run_options *o)
{
	if (argc >= 3 && strcmp(argv[1], "pre-push") == 0 && *argv[2])
		return judge_pushed(place, argv[2], o);
	if (argc == 2 && strcmp(argv[1], "pre-receive") == 0)
		return judge_pushed(place, "", o);
	if (argc == 2 && strcmp(argv[1], "post-receive") == 0)
		return 0;
	return err_set(ERR_USAGE, "assay hook run: pre-push REMOTE URL, pre-receive, or post-receive");
}

/* What git exports to a hook is about this repository only; children must find their own. */
static void clean_environment(void)
{
	static const char *const local[] = { "GIT_DIR",
					     "GIT_WORK_TREE",
					     "GIT_INDEX_FILE",
					     "GIT_PREFIX",
					     "GIT_COMMON_DIR",
					     "GIT_NAMESPACE",
					     "GIT_CONFIG",
					     "GIT_CONFIG_PARAMETERS",
					     "GIT_CONFIG_COUNT",
					     "GIT_GRAFT_FILE",
					     "GIT_SHALLOW_FILE",
					     "GIT_INTERNAL_SUPER_PREFIX",
					     "GIT_NO_REPLACE_OBJECTS",
					     "GIT_REPLACE_REF_BASE" };

	for (size_t i = 0; i < ARRAY_LEN(local); i++)
		unsetenv(local[i]);
}

int cmd_hook(int argc, char **argv)
{
	struct run_options o;
	struct place place;
	int rc;

	run_options_init(&o);
	const struct opt opts[] = {
		OPT_TEXT(0, "device", &o.device, "DEV", "run: auto, cpu or cuda[:N][/CLASS]"),
		OPT_TEXT(0, "report-dir", &o.report_dir, "DIR", "run: write the report there"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"hook",
		"install | uninstall | run NAME [REMOTE URL]",
		"the verdict before a push",
		"The installed hook judges each pushed commit under the profile pre-push. Without such a profile in "
		"the\n"
		"policy it trains nothing: it answers from what is stored, or checks the plan and leaves the rest to "
		"CI.\n"
		"A pass proposes a promotion; it takes effect when the commit has reached the remote.\n"
		"In a bare repository, pre-receive and post-receive are installed: the server judges (profile\n"
		"pre-receive) and moves the alias when the commit is there.\n\n"
		"  assay hook install\n  git push                      now judged\n"
		"  ASSAY_SKIP=hotfix git push    not judged, and noted\n  git push --no-verify          not judged",
		1,
		4
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (strcmp(argv[0], "run") == 0 && (rc = report_dir_clear(o.report_dir)) != 0)
		return rc;
	/* a linked work tree's hook gets GIT_DIR: open by it, then forget it */
	rc = place_open(&place);
	clean_environment();
	if (rc == 0 && !place.repo)
		rc = err_set(ERR_INPUT, "assay hook needs a git repository");
	if (rc == 0 && strcmp(argv[0], "install") == 0 && argc == 1)
		rc = install(place.repo);
	else if (rc == 0 && strcmp(argv[0], "uninstall") == 0 && argc == 1)
		rc = uninstall(place.repo);
	else if (rc == 0 && strcmp(argv[0], "run") == 0)
		rc = (rc = registry_make_haste(place.home.registry)) ? rc : run_hook(&place, argc, argv, &o);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay hook: install, uninstall, or run NAME");
	place_close(&place);
	return rc;
}
