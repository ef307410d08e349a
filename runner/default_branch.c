/* default_branch.c: the policy is the default branch's, whatever branch is pushed.
 *
 * Whoever may push to a branch writes what stands on it. If a branch's old tip were the policy of its next push, the first
 * push would write the rules that the second is judged by. So there is one branch that judges all, the one that the forge
 * (or HEAD, on a server) calls the default, and a candidate has a say in which that is nowhere.
 *
 * In a CI the remote is asked, since a clone of depth 1 has nothing of the default branch, and one that is kept has it as it
 * was at some earlier job. The forge's name for it must be the remote's, too: variables can be overridden by who starts a
 * pipeline, and HEAD of the remote cannot. A person's clone remembers what HEAD of the remote was, which a rename makes
 * untrue; before anything moves by it, the remote is asked. What is guessed by a usual name could be somebody's branch: it
 * moves nothing. */
#include "base/base.h"
#include "runner/default_branch.h"
#include "runner/fetch.h"
#include "runner/repo_int.h"

#include <strings.h>

/* ---- in a CI ------------------------------------------------------------------------------------------------------- */

/* Of what `git ls-remote --symref` printed: the branch of HEAD ("": not said), and a reference's commit ("": none). The
 * names are compared whole: the pattern refs/heads/main also finds a branch called refs/heads/main. */
static void read_answer(const char *text, const char *ref, char **head, char oid[OID_HEX])
{
	*oid = 0;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		size_t line = strcspn(text, "\n"), word = strcspn(text, "\t\n");
		const char *name = text + word + (word < line);
		size_t n = line - (size_t)(name - text);

		if (strncmp(text, "ref: refs/heads/", 16) == 0 && n == 4 && !strncmp(name, "HEAD", 4)) {
			free(*head);
			*head = mem_strn(text + 16, word - 16);
		} else if (ref && n == strlen(ref) && !strncmp(name, ref, n) && word < OID_HEX) {
			memcpy(oid, text, word);
			oid[word] = 0;
		}
	}
}

static int other_said(const char *name, const char *remote, const char *head)
{
	err_set(ERR_ENV, "the CI's variables call %.80s the default branch, and HEAD of %s is %.80s", name, remote,
		head);
	return err_hint(ERR_ENV,
			"after a rename, start a job by a new push or request (one that is run again has the old "
			"event); no pipeline may override CI_DEFAULT_BRANCH; of a mirror, set its HEAD");
}

/* One question to a remote; false: no answer. */
static bool ask(struct repo *r, const char *remote, const char *ref, char **head, char oid[OID_HEX])
{
	struct buf text = BUF_INIT(1 << 20);
	bool answered = REPO_ASK(r, &text, NULL, "ls-remote", "--symref", remote, "HEAD", ref) == 0;

	if (answered)
		read_answer(buf_str(&text), ref, head, oid);
	buf_release(&text);
	return answered;
}

int default_check(struct repo *r, const char *name)
{
	struct buf remotes = BUF_INIT(1 << 20);
	char *save = NULL, tip[OID_HEX];
	int rc = repo_remotes(r, &remotes);
	bool any = remotes.len != 0;

	rc = rc || any ? ERR_NOTFOUND : 0; /* a clone without a remote is where it came from */
	for (char *remote = any ? strtok_r(remotes.data, "\n", &save) : NULL; remote && rc == ERR_NOTFOUND;
	     remote = strtok_r(NULL, "\n", &save)) {
		char *head = NULL;

		if (ask(r, remote, NULL, &head, tip) && head)
			rc = strcmp(head, name) ? other_said(name, remote, head) : 0;
		free(head);
	}
	buf_release(&remotes);
	return rc;
}

/* Is the remote's address that of owner/name? */
static bool is_repository(struct repo *r, const char *remote, const char *of)
{
	struct buf text = BUF_INIT(1 << 16);
	bool is = false;

	if (REPO_ASK(r, &text, NULL, "ls-remote", "--get-url", remote) == 0) {
		const char *url = buf_str(&text);
		size_t n = strcspn(url, "\n"), len = strlen(of);

		while (n && url[n - 1] == '/')
			n--;
		if (n > 4 && !strncmp(url + n - 4, ".git", 4))
			n -= 4;
		is = n > len && strchr("/:", url[n - len - 1]) && !strncasecmp(url + n - len, of, len);
	}
	buf_release(&text);
	return is;
}

/* The remote's tip, or, where it does not answer, what the clone last saw of it: ERR_NOTFOUND if that is nothing. */
static int tip_at(struct repo *r, const char *remote, char **name, char tip[OID_HEX])
{
	char *ref = *name ? mem_printf("refs/heads/%s", *name) : NULL, *head = NULL, *seen;
	bool answered = ask(r, remote, ref, &head, tip);
	int rc = 0;

	if (answered && head && *name && strcmp(head, *name) != 0) {
		rc = other_said(*name, remote, head);
	} else if (answered && head && !*name) { /* the name first, then its tip */
		*name = head;
		free(ref);
		return tip_at(r, remote, name, tip);
	} else if (answered && *name && !*tip) {
		rc = err_set(ERR_INPUT, "%s has no branch %.80s, and that is the default one, whose policy judges",
			     remote, *name);
		err_hint(rc, "push the default branch first");
	} else if (answered && *name && fetch_commit(r, tip) != 0) {
		rc = err_set(ERR_INPUT,
			     "the tip %.12s of the default branch %.80s, whose policy judges, is not in "
			     "this clone",
			     tip, *name);
		err_hint(rc, "fetch more history: fetch-depth: 0 at actions/checkout, GIT_DEPTH: \"0\" on GitLab");
	} else if (!answered || !*name) {
		rc = ERR_NOTFOUND;
	}
	free(head);
	free(ref);
	if (rc != ERR_NOTFOUND || !*name)
		return rc;
	seen = mem_printf("refs/remotes/%s/%s", remote, *name);
	rc = repo_ref(r, seen, tip);
	free(seen);
	return rc;
}

/* A clone without a remote is where it came from. */
static int tip_here(struct repo *r, const char *name, char tip[OID_HEX])
{
	char *ref = mem_printf("refs/heads/%s", name);
	int rc = repo_ref(r, ref, tip);

	free(ref);
	return rc;
}

static int not_had(const char *of, const char *name)
{
	int rc;

	if (!name) {
		rc = err_set(ERR_ENV, "nobody says which branch is the default one, whose policy judges");
		return err_hint(rc, "let the job ask the remote, or pass CI_DEFAULT_BRANCH (GitLab), the event's "
				    "repository.default_branch (GitHub) through");
	}
	rc = err_set(ERR_INPUT,
		     "the policy is that of the default branch %.80s, which is not in this clone, and no remote%s%s "
		     "could be asked for it",
		     name, of ? " of " : "", of ? of : "");
	if (of) /* what this clone has of a branch of that name may be the fork's */
		return err_hint(rc, "git remote set-url origin URL, an address of %.200s that ends in that name", of);
	return err_hint(rc,
			"fetch it: fetch-depth: 0 at actions/checkout, GIT_DEPTH: \"0\" on GitLab, or git fetch "
			"origin %.80s:refs/remotes/origin/%.80s",
			name, name);
}

int default_at_remote(struct repo *r, const char *of, char **name, char tip[OID_HEX])
{
	struct buf remotes = BUF_INIT(1 << 20);
	char *save = NULL;
	int rc = repo_remotes(r, &remotes);
	bool any = remotes.len != 0;

	*tip = 0;
	rc = rc ? rc : ERR_NOTFOUND;
	for (char *remote = any ? strtok_r(remotes.data, "\n", &save) : NULL; remote && rc == ERR_NOTFOUND;
	     remote = strtok_r(NULL, "\n", &save))
		if (!of || is_repository(r, remote, of))
			rc = tip_at(r, remote, name, tip);
	if (rc == ERR_NOTFOUND && !any && !of && *name)
		rc = tip_here(r, *name, tip);
	buf_release(&remotes);
	if (rc)
		*tip = 0;
	return rc == ERR_NOTFOUND ? not_had(of, *name) : rc;
}

/* ---- on a person's machine ------------------------------------------------------------------------------------------ */

static bool is_seen(struct repo *r, const char *remote, const char *branch, char tip[OID_HEX])
{
	char *ref = mem_printf("refs/remotes/%s/%s", remote, branch);
	bool is = repo_ref(r, ref, tip) == 0;

	free(ref);
	return is;
}

static bool has_branches(struct repo *r, const char *under)
{
	struct buf text = BUF_INIT(1 << 16);
	bool any = REPO_ASK(r, &text, NULL, "for-each-ref", "--count=1", "--format=%(refname)", under) != 0 || text.len;

	buf_release(&text);
	return any;
}

bool default_seen_any(struct repo *r)
{
	return has_branches(r, "refs/remotes/");
}

/* What refs/remotes/REMOTE/HEAD says, or some other CI, or else the one branch that is there of the usual names, which is a
 * guess. */
static int look(struct repo *r, const char *remote, char **name, char tip[OID_HEX], bool *guessed)
{
	static const char *const variables[] = { "CI_DEFAULT_BRANCH", "CI_REPO_DEFAULT_BRANCH", "DRONE_REPO_BRANCH",
						 "BUILDKITE_PIPELINE_DEFAULT_BRANCH" };
	char *prefix = mem_printf("refs/remotes/%s/", remote), *head = mem_printf("%sHEAD", prefix), *ref = NULL;
	struct buf text = BUF_INIT(1 << 16);
	const char *usual[] = { "", "main", "master" }, *found = NULL;
	char *mine = NULL, oid[OID_HEX];
	int n = 0;

	if (repo_symbolic(r, head, &ref) == 0 && !strncmp(ref, prefix, strlen(prefix)) && repo_ref(r, ref, tip) == 0)
		*name = mem_str(ref + strlen(prefix));
	for (size_t i = 0; !*name && i < ARRAY_LEN(variables); i++)
		if (getenv(variables[i]) && *getenv(variables[i]) && is_seen(r, remote, getenv(variables[i]), tip))
			*name = mem_str(getenv(variables[i]));
	if (!*name && REPO_ASK(r, &text, NULL, "config", "--get", "init.defaultBranch") == 0)
		usual[0] = mine = mem_strn(buf_str(&text), strcspn(buf_str(&text), "\n"));
	for (size_t i = 0; !*name && i < ARRAY_LEN(usual); i++)
		if (*usual[i] && (i == 0 || strcmp(usual[i], usual[0]) != 0) && is_seen(r, remote, usual[i], oid)) {
			found = usual[i];
			memcpy(tip, oid, sizeof(oid));
			n++;
		}
	*guessed = !*name && n == 1;
	if (*guessed)
		*name = mem_str(found);
	free(mine);
	buf_release(&text);
	free(ref);
	free(head);
	free(prefix);
	err_clear();
	return *name ? 0 : ERR_NOTFOUND;
}

/* Of several remotes, one called origin: a contributor's origin is his fork, and his main follows the team's. */
static char *of_origin(struct repo *r, const char *list)
{
	char *name = NULL, *remote = NULL, tip[OID_HEX];
	bool guessed;

	if (look(r, "origin", &name, tip, &guessed) == 0)
		remote = repo_followed(r, name);
	if (remote && !repo_has_line(list, remote)) {
		free(remote);
		remote = NULL;
	}
	free(name);
	return remote ? remote : mem_str("origin");
}

int default_remote(struct repo *r, char **out)
{
	struct buf list = BUF_INIT(1 << 20);
	int rc = REPO_ASK(r, &list, NULL, "remote");
	const char *text = buf_str(&list);
	size_t n = strcspn(text, "\n");

	*out = NULL;
	if (rc < 0)
		;
	else if (!n)
		*out = mem_str("origin");
	else if (!text[n] || !text[n + 1])
		*out = mem_strn(text, n);
	else if (repo_has_line(text, "origin"))
		*out = of_origin(r, text);
	buf_release(&list);
	if (*out)
		return 0;
	if (rc >= 0)
		err_set(ERR_NOTFOUND,
			"of the remotes of this clone, none is called origin, and nobody knows whose policy judges");
	return rc < 0 ? rc : err_hint(ERR_NOTFOUND, "git remote rename NAME origin, the one that your team pushes to");
}

int default_of_clone(struct repo *r, const char *remote, char **name, char tip[OID_HEX], bool *seen, bool *guessed)
{
	char *under = mem_printf("refs/remotes/%s/", remote);
	int rc;

	*name = NULL;
	rc = look(r, remote, name, tip, guessed);
	if (seen)
		*seen = rc == 0 || has_branches(r, under);
	free(under);
	if (rc == 0)
		return 0;
	*tip = 0;
	err_set(ERR_NOTFOUND, "this clone does not know which branch of %.120s is the default one", remote);
	/* set-head alone fails where only one branch is fetched */
	return err_hint(ERR_NOTFOUND,
			"git fetch %.120s '+refs/heads/*:refs/remotes/%.120s/*' && git remote set-head %.120s --auto",
			remote, remote, remote);
}

int default_head(struct repo *r, const char *remote, char **name, char tip[OID_HEX])
{
	*name = NULL;
	return ask(r, remote, NULL, name, tip) && *name ? 0 : ERR_NOTFOUND;
}

enum default_answer default_asked(struct repo *r, const char *remote, char **name, char tip[OID_HEX])
{
	struct buf text = BUF_INIT(1 << 24);
	enum default_answer answer = DEFAULT_SILENT;
	int rc;

	*name = NULL;
	*tip = 0;
	rc = REPO_ASK(r, &text, NULL, "ls-remote", "--symref", remote, "HEAD", "refs/heads/*");
	if (rc == 0) {
		answer = text.len ? DEFAULT_NONE : DEFAULT_EMPTY;
		read_answer(buf_str(&text), "HEAD", name, tip);
		if (*name)
			answer = *tip && fetch_commit(r, tip) == 0 ? DEFAULT_SAID : DEFAULT_NONE;
		err_clear();
	}
	buf_release(&text);
	return answer;
}

/* ---- on a server ---------------------------------------------------------------------------------------------------- */

int default_of_server(struct repo *r, char **name, char tip[OID_HEX])
{
	int rc = repo_head_branch(r, name);

	*tip = 0;
	if (rc == 0 && (tip_here(r, *name, tip) == 0 || !has_branches(r, "refs/heads/"))) {
		err_clear();
		return 0;
	}
	err_set(ERR_ENV,
		"the policy is that of this repository's default branch, and its HEAD %s%.80s%s: nothing can be judged",
		rc ? "is on no branch" : "names ", rc ? "" : *name, rc ? "" : ", which does not exist");
	return err_hint(ERR_ENV, "on the server, in the repository: git symbolic-ref HEAD refs/heads/main, or what its "
				 "default branch is called");
}
