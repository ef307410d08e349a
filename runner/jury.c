/* jury.c: judges that are asked (evals/judge.c says what for): one connection a location, opened when it is first asked.
 *
 * Answers are kept in the home under the digest of their request, for good: the same text is judged once, in whatever run.
 * (What a candidate writes is kept for the run only, remote.c: there the model is what is judged.) Tokens are counted as the
 * server reports them; a location's budget_tokens ends the work before more is spent. */
#include "runner/jury.h"

#include "runner/location.h"
#include "runner/remote.h"

struct open_judge {
	struct location location;
	struct remote *remote;
};
struct judges {
	struct jury calls;
	char *home;
	const struct config *policy;
	struct open_judge **open;
	size_t n, cap;
};

static int find(struct location *out, const struct judges *j, const char *name)
{
	int rc = location_read(out, j->home, name);

	if (rc == ERR_NOTFOUND && j->policy && j->policy->locations)
		rc = location_of(out, j->policy->yaml, j->policy->locations, name);
	if (rc != ERR_NOTFOUND)
		return rc;
	rc = err_set(ERR_INPUT, "there is no location %s in %s/config.yaml", name, j->home);
	return err_hint(rc, "locations: {%s: {url: https://HOST/v1, model: NAME}}", name);
}

static int open_judge(struct remote **out, struct judges *j, const char *name)
{
	struct open_judge *o;
	int rc;

	for (size_t i = 0; i < j->n; i++)
		if (strcmp(j->open[i]->location.name, name) == 0) {
			*out = j->open[i]->remote;
			return 0;
		}
	o = mem_alloc(sizeof(*o));
	rc = find(&o->location, j, name);
	if (rc) {
		free(o);
		return rc;
	}
	rc = remote_open_kept(&o->remote, &o->location, j->home);
	if (rc) {
		location_release(&o->location);
		free(o);
		return rc;
	}
	MEM_GROW(j->open, j->n, j->cap);
	j->open[j->n++] = o;
	*out = o->remote;
	return 0;
}

static int ask(void *self, const char *location, const struct generate_until *reqs, size_t n, struct generated *out,
	       const struct scorer_watch *watch)
{
	struct remote *remote = NULL;
	struct scorer scorer;
	int rc = open_judge(&remote, self, location);

	if (rc)
		return rc;
	scorer = remote_scorer(remote);
	return scorer.generate(scorer.self, reqs, n, out, watch);
}

struct judges *judges_new(const char *home, const struct config *policy)
{
	struct judges *j = mem_alloc(sizeof(*j));

	*j = (struct judges){ .calls = { j, ask }, .home = mem_str(home), .policy = policy };
	return j;
}

const struct jury *judges_for(struct judges *j)
{
	return j ? &j->calls : NULL;
}

char *judges_cost(const struct judges *j)
{
	struct buf text = BUF_INIT(1 << 16);

	for (size_t i = 0; j && i < j->n; i++) {
		struct remote_count c = remote_count(j->open[i]->remote);

		buf_addf(&text,
			 "%sjudge %s: %zu answers, %zu of them known from before; %llu tokens read, %llu written",
			 i ? "\n" : "", j->open[i]->location.name, c.asked + c.kept, c.kept,
			 (unsigned long long)c.tokens_read, (unsigned long long)c.tokens_written);
	}
	return buf_take(&text);
}

void judges_free(struct judges *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++) {
		remote_close(j->open[i]->remote);
		location_release(&j->open[i]->location);
		free(j->open[i]);
	}
	free(j->open);
	free(j->home);
	free(j);
}
