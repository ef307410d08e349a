/* forge_probe.c: what a token may do, found out by requests that change nothing.
 *
 * GitHub looks at a token's permissions before it looks at what is sent, so a comment without a text is answered with 403 where
 * the permission is missing and with 422 where it is there; nothing is written either way. GitLab and Gitea look at what is sent
 * first, so there the token's own description is asked: its scopes. One try each, and not a long one: this is a doctor's question,
 * and a machine without a network is no fault of the token's. */
#include "base/base.h"
#include "ci/ci_int.h"
#include "ci/forge_int.h"

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || strchr(", ", p[-1])) && (!p[n] || strchr(", ", p[n])))
			return true;
	return false;
}

static int missing_scope(const struct forge *f, const char *scopes)
{
	int rc = err_set(ERR_UNAVAILABLE, "its scopes (%s) let it write no comment", *scopes ? scopes : "none");

	if (f->place->kind == FORGE_GITLAB)
		return err_hint(
			rc, "make a project access token with the role Reporter and the scope api, and keep it in the "
			    "masked variable ASSAY_GITLAB_TOKEN");
	return err_hint(rc,
			"make a token with the scope repo (Gitea: write:issue and read:repository), in the secret that "
			"GITHUB_TOKEN is set from");
}

/* GitHub, in a job of a request. */
static int try_comment(const struct forge *f, char **says)
{
	char *path = mem_printf(forge_words(f)->comments, f->place->project, (long long)f->place->number);
	json_t *nothing = json_object();
	struct forge_answer a;
	int rc = forge_call(f, &a, "POST", path, nothing);

	if (rc == 0 && a.status == 422)
		*says = mem_printf("may comment on request %lld", (long long)f->place->number);
	else if (rc == 0 && !forge_is_ill(a.status) && a.status != 429)
		rc = forge_refusal(f, &a, "write a comment");
	json_decref(nothing);
	json_decref(a.json);
	free(path);
	return rc;
}

static int ask_scopes(const struct forge *f, char **says)
{
	bool gitlab = f->place->kind == FORGE_GITLAB;
	char *path = gitlab ? mem_str("/personal_access_tokens/self") : mem_printf("/repos/%s", f->place->project);
	struct buf scopes = BUF_INIT(1 << 12);
	struct forge_answer a;
	const json_t *s;
	size_t i;
	int rc = forge_call(f, &a, "GET", path, NULL);

	json_array_foreach(gitlab ? json_object_get(a.json, "scopes") : NULL, i, s) if (json_is_string(s))
		buf_addf(&scopes, "%s%.40s", scopes.len ? ", " : "", json_string_value(s));
	if (!gitlab)
		buf_adds(&scopes, a.scopes);
	if (rc == 0 && a.status == 200) {
		const char *list = buf_str(&scopes);
		bool enough = gitlab ? has_word(list, "api")
				     : !*list || has_word(list, "repo") || has_word(list, "public_repo") ||
					       has_word(list, "write:issue") || has_word(list, "all");

		if (!enough)
			rc = missing_scope(f, list);
		else
			*says = mem_printf("is accepted%s%s%s", *list ? " (" : "", list, *list ? ")" : "");
	} else if (rc == 0 && !forge_is_ill(a.status) && a.status != 429) {
		rc = forge_refusal(f, &a, gitlab ? "say what it may do" : "read the repository");
	}
	json_decref(a.json);
	buf_release(&scopes);
	free(path);
	return rc;
}

int forge_probe(char **says, const struct forge_place *p, const struct forge_post *how)
{
	struct forge_post once = *how;
	struct forge f;
	int rc;

	*says = NULL;
	once.timeout_s = how->timeout_s > 0 ? how->timeout_s : 5;
	rc = forge_open(&f, p, &once);
	if (rc == 0)
		rc = p->kind == FORGE_GITHUB && p->number ? try_comment(&f, says) : ask_scopes(&f, says);
	forge_close(&f);
	return rc;
}
