/* repo.c: a repository, its revisions and references.
 *
 * libgit2 does what it is right and quick at: resolving names and reading objects. All else is git's own work (checkout,
 * fetch, ancestry, which must know the grafts of a shallow clone), and so is everything in a repository that libgit2
 * cannot open: one of SHA-256 names, or with an extension that it does not know (a sparse checkout's), or that
 * safe.directory=* allows. Then r->git is NULL and each question costs a process.
 *
 * Nothing here writes to the repository, but for the objects that a partial clone fetches (repo_object.c). */
#include "base/base.h"
#include "runner/git_library.h"
#include "runner/repo_int.h"

#include <git2.h>

/* What a hook or a linked work tree exports means the repository around it, not a submodule's. A reference beneath refs/replace/,
 * which whoever may push can push, puts no other commit in the place of the one that is named; libgit2 does not know them. */
static const char *const sub_env[] = { "GIT_TERMINAL_PROMPT=0",
				       "GIT_NO_REPLACE_OBJECTS=1",
				       "LC_ALL=C",
				       "GIT_DIR",
				       "GIT_WORK_TREE",
				       "GIT_INDEX_FILE",
				       "GIT_OBJECT_DIRECTORY",
				       "GIT_COMMON_DIR",
				       "GIT_QUARANTINE_PATH",
				       "GIT_ALTERNATE_OBJECT_DIRECTORIES",
				       NULL };
static const char *const own_env[] = { "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C", NULL };

int repo_ask(struct repo *r, struct buf *out, struct buf *err, const char *const *argv)
{
	struct buf quiet = BUF_INIT(1 << 16);
	struct proc p = { .argv = argv,
			  .env = r && r->is_sub ? sub_env : own_env,
			  .out = out ? out : &quiet,
			  .err = err ? err : &quiet };
	const char *offline[ARRAY_LEN(sub_env) + 1] = { "GIT_ALLOW_PROTOCOL=none" };
	int rc;

	if (getenv("ASSAY_OFFLINE")) {
		for (size_t i = 0; p.env[i]; i++)
			offline[i + 1] = p.env[i];
		p.env = offline;
	}
	rc = proc_run(&p);
	buf_release(&quiet);
	return rc ? rc : p.status;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

/* The n-th line, yours; NULL if there are not so many. */
static char *line_of(const struct buf *text, int n)
{
	const char *at = buf_str(text);

	for (; n > 0 && *at; n--)
		at += strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n');
	return *at ? mem_strn(at, strcspn(at, "\n")) : NULL;
}

static int git_refuses(const char *dir, const char *said)
{
	if (strstr(said, "dubious ownership") || strstr(said, "safe.directory")) {
		err_set(ERR_ENV, "the repository at %s belongs to another user", dir);
		return err_hint(ERR_ENV, "git config --global --add safe.directory \"$(cd %s && pwd)\"", dir);
	}
	if (strstr(said, "not a git repository")) {
		err_set(ERR_INPUT, "%s is not in a git repository", dir);
		return err_hint(ERR_INPUT, "run assay inside a clone, or make one: git init");
	}
	return err_set(ERR_INPUT, "cannot open the repository at %s: %.*s", dir, (int)strcspn(said, "\n"), said);
}

/* Where git finds the repository around dir, for what libgit2 cannot open. */
static int find_by_git(struct repo *r, const char *dir)
{
	struct buf text = BUF_INIT(1 << 16), said = BUF_INIT(1 << 16);
	int rc = repo_ask(NULL, &text, &said,
			  (const char *[]){ "git", "-C", dir, "rev-parse", "--path-format=absolute", "--git-dir",
					    "--git-common-dir", "--is-bare-repository", NULL });
	char *bare = NULL, *common = NULL;

	if (rc == 0) {
		r->dir = line_of(&text, 0);
		common = line_of(&text, 1);
		bare = line_of(&text, 2);
		if (!r->dir || !common || !bare)
			rc = err_set(ERR_INPUT, "git tells nothing of the repository at %s", dir);
	} else if (rc > 0) {
		rc = git_refuses(dir, buf_str(&said));
	}
	if (rc == 0 && common && bare) { /* which gcc does not see in a sanitizer build */
		r->common = mem_printf("%s/", common);
		buf_clear(&text);
		if (strcmp(bare, "true") != 0 &&
		    repo_ask(NULL, &text, NULL,
			     (const char *[]){ "git", "-C", dir, "rev-parse", "--show-toplevel", NULL }) == 0)
			r->work = line_of(&text, 0);
	}
	free(bare);
	free(common);
	buf_release(&text);
	buf_release(&said);
	return rc;
}

static void take_library(struct repo *r, git_repository *git)
{
	r->git = git;
	r->dir = mem_str(git_repository_path(git));
	r->common = mem_str(git_repository_commondir(git));
	r->work = mem_str(git_repository_workdir(git));
}

int repo_open(struct repo **out, const char *dir)
{
	git_repository *git = NULL;
	struct repo *r = mem_alloc(sizeof(*r));
	int rc;

	git_library_start();
	rc = git_repository_open_ext(&git, dir, getenv("GIT_DIR") ? GIT_REPOSITORY_OPEN_FROM_ENV : 0, NULL);
	if (rc == 0) {
		take_library(r, git);
	} else if ((rc = find_by_git(r, dir)) != 0) {
		repo_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

void repo_close(struct repo *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_subs; i++) {
		repo_close(r->subs[i].repo);
		free(r->subs[i].key);
	}
	free(r->subs);
	repo_objects_release(r);
	git_repository_free(r->git);
	free(r->dir);
	free(r->common);
	free(r->work);
	free(r);
	git_library_stop();
}

const char *repo_common_dir(const struct repo *r)
{
	return r->common;
}

const char *repo_work_dir(const struct repo *r)
{
	return r->work;
}

/* ---- submodules ---------------------------------------------------------------------------------------------------- */

int repo_submodule_lacks(const char *path)
{
	err_set(ERR_INPUT, "%s is a submodule, and what the commit names of it is not in this clone", path);
	return err_hint(ERR_INPUT,
			"git submodule update --init --recursive (GitHub: submodules: recursive at actions/checkout; "
			"GitLab: GIT_SUBMODULE_STRATEGY: recursive)");
}

/* The name under which .gitmodules has the submodule at a path; NULL: under none. */
static char *sub_name(struct repo *r, const char *root, const char *path)
{
	char *file = mem_printf("--blob=%s:.gitmodules", root), *name = NULL;
	struct buf text = BUF_INIT(1 << 20);

	if (REPO_ASK(r, &text, NULL, "config", file, "-z", "--get-regexp", "^submodule\\..*\\.path$") == 0)
		for (const char *at = buf_str(&text), *end = at + text.len; at < end; at += strlen(at) + 1) {
			const char *value = strchr(at, '\n');
			size_t key = value ? (size_t)(value - at) : 0;

			if (key > 15 && strcmp(value + 1, path) == 0) {
				free(name);
				name = mem_strn(at + 10, key - 15); /* submodule.NAME.path */
			}
		}
	free(file);
	buf_release(&text);
	return name;
}

static struct repo *open_sub(const char *dir)
{
	struct repo *r = mem_alloc(sizeof(*r));
	git_repository *git = NULL;

	git_library_start();
	r->is_sub = true;
	if (git_repository_open_ext(&git, dir, GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, NULL) == 0) {
		take_library(r, git);
	} else {
		r->dir = mem_str(dir);
		r->common = mem_printf("%s/", dir);
	}
	return r;
}

/* git keeps it beneath the work tree's own folder or the common one; a name is from the commit, so it is checked. */
static struct repo *find_sub(struct repo *r, const char *name)
{
	const char *const roots[] = { r->dir, r->common };
	char *clean = NULL, *dir;
	struct repo *sub = NULL;

	if (!name || path_check(&clean, name) != 0) {
		err_clear();
		return NULL;
	}
	for (size_t i = 0; !sub && i < ARRAY_LEN(roots); i++) {
		dir = mem_printf("%s/modules/%s", roots[i], clean);
		if (fs_is_dir(dir))
			sub = open_sub(dir);
		free(dir);
	}
	free(clean);
	return sub;
}

int repo_submodule(struct repo *r, const char *root, const char *path, struct repo **out)
{
	struct repo_sub *s = NULL;
	char *key = mem_printf("%s:%s", root, path), *name; /* another commit may keep another module there */

	for (size_t i = 0; i < r->n_subs; i++)
		if (strcmp(r->subs[i].key, key) == 0)
			s = &r->subs[i];
	if (!s) {
		name = sub_name(r, root, path);
		r->subs = mem_resize(r->subs, (r->n_subs + 1) * sizeof(*r->subs));
		s = &r->subs[r->n_subs++];
		*s = (struct repo_sub){ mem_str(key), find_sub(r, name) };
		free(name);
	}
	free(key);
	*out = s->repo;
	return s->repo ? 0 : repo_submodule_lacks(path);
}

/* ---- revisions ----------------------------------------------------------------------------------------------------- */

bool oid_is_zero(const char *oid)
{
	return strspn(oid, "0") == strlen(oid);
}

/* The commit's name that libgit2 finds for a revision. A whole object name stands for that object and nothing else: no
 * branch or tag of that name. */
static bool resolve(struct repo *r, const char *rev, char oid[OID_HEX])
{
	git_object *obj = NULL, *peeled = NULL;
	git_oid id;
	bool whole = strlen(rev) == GIT_OID_HEXSZ && strspn(rev, "0123456789abcdef") == GIT_OID_HEXSZ;
	int rc = !whole                          ? git_revparse_single(&obj, r->git, rev)
		 : git_oid_fromstr(&id, rev) < 0 ? -1
						 : git_object_lookup(&obj, r->git, &id, GIT_OBJECT_ANY);

	rc = rc < 0 ? rc : git_object_peel(&peeled, obj, GIT_OBJECT_COMMIT);
	if (rc == 0)
		git_oid_tostr(oid, OID_HEX, git_object_id(peeled));
	git_object_free(obj);
	git_object_free(peeled);
	return rc == 0;
}

/* Takes one object name out of what git printed. */
static bool take_oid(const struct buf *text, char oid[OID_HEX])
{
	size_t n = strspn(buf_str(text), "0123456789abcdef");

	if (n != 40 && n != 64)
		return false;
	memcpy(oid, text->data, n);
	oid[n] = 0;
	return true;
}

static bool resolve_by_git(struct repo *r, const char *rev, char oid[OID_HEX])
{
	char *commit = mem_printf("%s^{commit}", rev);
	struct buf text = BUF_INIT(1 << 16);
	bool found = REPO_ASK(r, &text, NULL, "rev-parse", "--verify", "--quiet", "--end-of-options", commit) == 0 &&
		     take_oid(&text, oid);

	buf_release(&text);
	free(commit);
	return found;
}

/* The value of the n-th header line of that name, or NULL; its end is the line's. */
static const char *header(const char *text, const char *name, int n)
{
	size_t len = strlen(name);

	for (const char *at = text; *at && *at != '\n'; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n'))
		if (strncmp(at, name, len) == 0 && at[len] == ' ' && n-- == 0)
			return at + len + 1;
	return NULL;
}

static void put_oid(char out[OID_HEX], const char *at)
{
	size_t n = at ? strspn(at, "0123456789abcdef") : 0;

	n = n < OID_HEX ? n : 0;
	memcpy(out, at ? at : "", n);
	out[n] = 0;
}

/* The first paragraph of the message on one line, as git shows it. */
static char *subject_of(const char *text)
{
	const char *body = strstr(text, "\n\n");
	struct buf line = BUF_INIT(1 << 16);

	body = body ? body + 2 + strspn(body + 2, "\n") : "";
	for (const char *at = body; *at && !(at[0] == '\n' && (at[1] == '\n' || !at[1])); at++)
		buf_addc(&line, *at == '\n' ? ' ' : *at);
	return buf_full(&line) || !line.len ? (buf_release(&line), mem_str("")) : buf_take(&line);
}

/* committer Name <mail> 1700000000 +0100 */
static int64_t time_of(const char *text)
{
	const char *who = header(text, "committer", 0), *end = who ? who + strcspn(who, "\n") : NULL, *at = NULL;

	for (const char *c = who; c && c < end; c++)
		if (*c == '>')
			at = c + 1;
	return at ? strtoll(at, NULL, 10) : 0;
}

int repo_commit(struct repo *r, const char *rev, struct commit *out)
{
	struct buf text = BUF_INIT((size_t)16 << 20);
	int rc;

	memset(out, 0, sizeof(*out));
	if (!(r->git ? resolve(r, rev, out->oid) : resolve_by_git(r, rev, out->oid))) {
		if (!strcmp(rev, "HEAD") && r->git && git_repository_head_unborn(r->git) == 1) {
			rc = err_set(ERR_INPUT, "this repository has no commit yet");
			return err_hint(rc, "git add -A && git commit: what is not committed is not judged");
		}
		rc = err_set(ERR_INPUT, "no commit is named %s in this repository", rev);
		return err_hint(
			rc,
			"git log --oneline --all shows what there is; a shallow clone may need: git fetch --deepen=50");
	}
	rc = repo_object(r, out->oid, "commit", rev, &text);
	if (rc == 0) {
		put_oid(out->tree, header(buf_str(&text), "tree", 0));
		out->subject = subject_of(buf_str(&text));
		out->time = time_of(buf_str(&text));
	}
	buf_release(&text);
	return rc;
}

void commit_release(struct commit *c)
{
	free(c->subject);
	memset(c, 0, sizeof(*c));
}

int repo_ref(struct repo *r, const char *ref, char oid[OID_HEX])
{
	struct buf text = BUF_INIT(1 << 16);
	git_oid id;
	bool found = false;

	if (r->git && git_reference_name_to_id(&id, r->git, ref) == 0) {
		git_oid_tostr(oid, OID_HEX, &id);
		found = true;
	} else if (!r->git) {
		found = REPO_ASK(r, &text, NULL, "show-ref", "--verify", "--hash", ref) == 0 && take_oid(&text, oid);
		buf_release(&text);
	}
	return found ? 0 : err_set(ERR_NOTFOUND, "no reference %s", ref);
}

int repo_symbolic(struct repo *r, const char *ref, char **out)
{
	struct buf text = BUF_INIT(1 << 16);
	git_reference *symbolic = NULL;
	const char *target = NULL;

	if (r->git && git_reference_lookup(&symbolic, r->git, ref) == 0)
		target = git_reference_symbolic_target(symbolic);
	else if (!r->git && REPO_ASK(r, &text, NULL, "symbolic-ref", "--quiet", ref) == 0)
		target = buf_str(&text);
	if (target)
		*out = mem_strn(target, strcspn(target, "\n"));
	git_reference_free(symbolic);
	buf_release(&text);
	return target ? 0 : err_set(ERR_NOTFOUND, "%s is no symbolic reference", ref);
}

int repo_head_branch(struct repo *r, char **out)
{
	char *ref = NULL;
	bool on = repo_symbolic(r, "HEAD", &ref) == 0 && strncmp(ref, "refs/heads/", 11) == 0;

	if (on)
		*out = mem_str(ref + 11);
	free(ref);
	return on ? 0 : err_set(ERR_NOTFOUND, "HEAD is on no branch");
}

/* git rather than libgit2, which reads the settings by a regular expression and leaks at each that does not match. */
int repo_upstream(struct repo *r, const char *branch, char **out)
{
	char *ref = mem_printf("refs/heads/%s", branch);
	struct buf text = BUF_INIT(1 << 16);
	int rc = REPO_ASK(r, &text, NULL, "for-each-ref", "--format=%(upstream)", ref);
	size_t n = strcspn(buf_str(&text), "\n");

	if (rc > 0 || (rc == 0 && n == 0))
		rc = err_set(ERR_NOTFOUND, "%s follows no remote branch", branch);
	if (rc == 0)
		*out = mem_strn(buf_str(&text), n);
	buf_release(&text);
	free(ref);
	return rc;
}

/* The next field of a line, ended by a tab or the line's end. */
static char *field(char **at)
{
	char *start = *at, *end = start + strcspn(start, "\t\n");

	*at = end + (*end != 0);
	*end = 0;
	return start;
}

/* Where a branch that follows none was pushed to, by name or by commit. remotes: "name TAB commit TAB reference" a line. */
static void add_pushed(struct buf *out, const char *branch, const char *oid, const char *remotes)
{
	for (const char *at = remotes; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		const char *commit = at + strcspn(at, "\t") + 1, *ref = commit + strcspn(commit, "\t") + 1;
		bool named = (size_t)(commit - at) == strlen(branch) + 1 && !strncmp(at, branch, strlen(branch));

		if (strncmp(at, "HEAD\t", 5) != 0 && (named || !strncmp(commit, oid, strlen(oid))))
			buf_addf(out, "%s\t%.*s\n", branch, (int)strcspn(ref, "\n"), ref);
	}
}

int repo_upstreams(struct repo *r, int max, struct buf *out)
{
	char *count = mem_printf("--count=%d", max);
	struct buf branches = BUF_INIT(1 << 20), remotes = BUF_INIT((size_t)16 << 20);
	int rc = REPO_ASK(r, &branches, NULL, "for-each-ref", "--sort=-committerdate", count,
			  "--format=%(refname:lstrip=2)%09%(objectname)%09%(upstream)", "refs/heads");

	if (rc == 0)
		rc = REPO_ASK(r, &remotes, NULL, "for-each-ref",
			      "--format=%(refname:lstrip=3)%09%(objectname)%09%(refname)", "refs/remotes");
	buf_str(&branches); /* ends it */
	for (char *at = rc == 0 && branches.len ? branches.data : NULL; at && *at;) {
		const char *branch = field(&at), *oid = field(&at), *upstream = field(&at);

		if (*upstream)
			buf_addf(out, "%s\t%s\n", branch, upstream);
		else
			add_pushed(out, branch, oid, buf_str(&remotes));
	}
	buf_release(&remotes);
	buf_release(&branches);
	free(count);
	return rc < 0 ? rc : 0;
}

bool repo_has_line(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; *list; list += strcspn(list, "\n"), list += *list == '\n')
		if (strcspn(list, "\n") == n && strncmp(list, name, n) == 0)
			return true;
	return false;
}

char *repo_followed(struct repo *r, const char *branch)
{
	char *ref = mem_printf("refs/heads/%s", branch), *name = NULL;
	struct buf text = BUF_INIT(1 << 16);

	if (REPO_ASK(r, &text, NULL, "for-each-ref", "--format=%(upstream:remotename)", ref) == 0 && text.len > 1)
		name = mem_strn(buf_str(&text), strcspn(buf_str(&text), "\n"));
	buf_release(&text);
	free(ref);
	return name;
}

int repo_remotes(struct repo *r, struct buf *out)
{
	struct buf all = BUF_INIT(1 << 20);
	char *branch = NULL, *follows = NULL;
	const char *list;
	int rc = REPO_ASK(r, &all, NULL, "remote");
	size_t n;

	buf_clear(out);
	list = buf_str(&all);
	if (rc >= 0 && repo_head_branch(r, &branch) == 0)
		follows = repo_followed(r, branch);
	err_clear();
	if (follows && repo_has_line(list, follows))
		buf_addf(out, "%s\n", follows);
	if (repo_has_line(list, "origin") && !repo_has_line(buf_str(out), "origin"))
		buf_adds(out, "origin\n");
	n = strcspn(list, "\n");
	if (n && !out->len && !list[n + (list[n] == '\n')])
		buf_addf(out, "%.*s\n", (int)n, list);
	free(branch);
	free(follows);
	buf_release(&all);
	return rc < 0 ? rc : 0;
}

/* git rather than libgit2: it knows the grafts of a shallow clone. */
bool repo_is_ancestor(struct repo *r, const char *ancestor, const char *descendant)
{
	return REPO_ASK(r, NULL, NULL, "merge-base", "--is-ancestor", ancestor, descendant) == 0;
}

bool repo_is_shallow(struct repo *r)
{
	char *path = path_join(r->common, "shallow");
	bool yes = fs_exists(path);

	free(path);
	return yes;
}

int repo_merge_base(struct repo *r, const char *a, const char *b, char oid[OID_HEX])
{
	struct buf text = BUF_INIT(1 << 16);
	int rc = REPO_ASK(r, &text, NULL, "merge-base", a, b);

	if (rc > 0 || (rc == 0 && !take_oid(&text, oid))) {
		rc = err_set(ERR_INPUT, "no common ancestor of %.12s and %.12s is in this clone", a, b);
		err_hint(rc, "a shallow clone: git fetch --deepen=50, or check out with fetch-depth: 0");
	}
	buf_release(&text);
	return rc;
}

int repo_parents(struct repo *r, const char *oid, char first[OID_HEX], char second[OID_HEX])
{
	struct buf text = BUF_INIT((size_t)16 << 20);
	int rc = repo_object(r, oid, "commit", oid, &text);

	put_oid(first, rc ? NULL : header(buf_str(&text), "parent", 0));
	put_oid(second, rc ? NULL : header(buf_str(&text), "parent", 1));
	buf_release(&text);
	return rc ? err_set(ERR_NOTFOUND, "no commit %.64s", oid) : 0;
}

int repo_ancestors(struct repo *r, const char *oid, int max, struct buf *out)
{
	char *count = mem_printf("--max-count=%d", max);
	int rc = REPO_ASK(r, out, NULL, "rev-list", count, oid, "--");

	if (rc > 0)
		rc = err_set(ERR_INPUT, "the ancestors of %.12s are not in this clone", oid);
	free(count);
	return rc;
}
