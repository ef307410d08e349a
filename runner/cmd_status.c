/* cmd_status.c: `assay status`: where this branch stands.
 *
 * Opening the place settles what hook runs proposed (home.c), so an alias moves here at the latest. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/skip.h"

enum { BRANCHES_MAX = 200, OTHERS_MAX = 10, RUNS_MAX = 50 };

/* A branch's name is a stranger's text. */
static void put_text(const char *text)
{
	log_safe(stdout, text, strlen(text));
}

/* What became of a commit, by its runs: nobody judged it (no run, an error, a push that mends a broken policy), it was checked
 * and the verdict left to a CI or to who joins the shards, or it was judged. */
enum standing { UNJUDGED, CHECKED, JUDGED };

static bool step_is(const json_t *record, const char *name, const char *status)
{
	const json_t *step;
	size_t i;

	json_array_foreach(json_object_get(record, "steps"), i, step)
	{
		if (!strcmp(json_get_text(step, "name", ""), name))
			return !strcmp(json_get_text(step, "status", ""), status);
	}
	return false;
}

static enum standing standing_of_run(const json_t *record)
{
	if (!strcmp(json_get_text(record, "verdict", ""), "FAIL") || step_is(record, "gate", "done"))
		return JUDGED;
	return step_is(record, "gate", "skipped") && step_is(record, "plan", "done") &&
			       !json_is_object(json_object_get(record, "error"))
		       ? CHECKED
		       : UNJUDGED;
}

struct ids {
	char id[RUNS_MAX][DIGEST_HEX];
	size_t n;
};

static int add_id(json_t *row, void *arg)
{
	struct ids *list = arg;

	if (!json_get_flag(row, "dirty", false) && strcmp(json_get_text(row, "profile", ""), "calibrate") != 0)
		snprintf(list->id[list->n++], DIGEST_HEX, "%s", json_get_text(row, "id", ""));
	return list->n == RUNS_MAX;
}

/* A verdict stands whatever erred later: the newest of the latest runs that judged, else that checked, else the newest of all.
 * *run (if not NULL): its record, yours; NULL: there is none. *later: what erred since, as *run. */
static enum standing standing_of(struct place *p, const char *commit, char id[DIGEST_HEX], json_t **run, json_t **later)
{
	struct ids list = { .n = 0 };
	json_t *best = NULL, *newest = NULL, *record = NULL;
	enum standing now = UNJUDGED;

	if (registry_find_run(p->home.registry, commit, id) == 0 && registry_run(p->home.registry, id, &newest) == 0) {
		best = json_incref(newest);
		now = standing_of_run(newest);
		if (now != JUDGED)
			(void)registry_runs(p->home.registry, RUNS_BY_COMMIT, commit, add_id, &list);
	}
	for (size_t i = 0; i < list.n && now != JUDGED; i++, json_decref(record), record = NULL) {
		if (registry_run(p->home.registry, list.id[i], &record) != 0 || standing_of_run(record) <= now)
			continue;
		now = standing_of_run(record);
		memcpy(id, list.id[i], DIGEST_HEX);
		json_decref(best);
		best = json_incref(record);
	}
	if (later && best != newest && json_is_object(json_object_get(newest, "error")))
		*later = json_incref(newest);
	if (run)
		*run = json_incref(best);
	json_decref(best);
	json_decref(newest);
	err_clear();
	return now;
}

static void print_branch(struct place *p, const char *branch)
{
	struct commit head;
	char id[DIGEST_HEX];
	json_t *record = NULL, *later = NULL;
	enum standing now;

	if (repo_commit(p->repo, "HEAD", &head) != 0) {
		puts("no commit yet");
		err_clear();
		return;
	}
	put_text(branch);
	printf(" at %.12s  ", head.oid);
	put_text(head.subject);
	putchar('\n');
	now = standing_of(p, head.oid, id, &record, &later);
	if (record) {
		printf("  %s: %s  ", now == JUDGED ? "judged" : "not judged", json_get_text(record, "verdict", "?"));
		log_safe(stdout, json_get_text(record, "sentence", ""), strlen(json_get_text(record, "sentence", "")));
		printf("\n  run %.12s, %s\n", id, json_get_text(record, "created", ""));
		if (later) {
			fputs("  a later run erred: ", stdout);
			put_text(json_get_text(later, "sentence", ""));
			putchar('\n');
		}
	} else {
		puts("  not judged yet: assay run");
	}
	json_decref(record);
	json_decref(later);
	err_clear();
	commit_release(&head);
}

/* said: the commits whose note has been shown. */
static void print_skip(const json_t *skip, json_t *said)
{
	const char *actor = json_get_text(skip, "actor", "?"), *reason = json_get_text(skip, "reason", "");

	fputs("    sent past the gate by ", stdout);
	log_safe(stdout, actor, strlen(actor));
	printf(", %s: ", json_get_text(skip, "time", "?"));
	log_safe(stdout, reason, strlen(reason));
	putchar('\n');
	json_object_set_new(said, json_get_text(skip, "commit", ""), json_true());
}

/* The remote branch's tip, if it got there without a run (ASSAY_SKIP, git push --no-verify, or another clone). */
static void print_upstream(struct place *p, const char *branch, json_t *said)
{
	char *upstream = NULL, oid[OID_HEX], id[DIGEST_HEX];
	json_t *skip = NULL;

	if (repo_upstream(p->repo, branch, &upstream) == 0 && repo_ref(p->repo, upstream, oid) == 0) {
		fputs("  ", stdout);
		put_text(upstream);
		switch (standing_of(p, oid, id, NULL, NULL)) {
		case UNJUDGED:
			printf(" is at %.12s, which nobody judged here: assay run %.12s\n", oid, oid);
			break;
		case CHECKED:
			printf(" is at %.12s, checked here; its verdict is left to CI\n", oid);
			break;
		case JUDGED:
			printf(" is at %.12s, judged\n", oid);
			break;
		}
		if (skip_find(&skip, &p->home, oid) == 0)
			print_skip(skip, said);
	}
	json_decref(skip);
	free(upstream);
	err_clear();
}

/* What got to the remote unjudged on the other branches of this clone, and on what this one was pushed to without following it: of
 * the latest, and a line for some of them. */
static void print_other_upstreams(struct place *p, const char *branch, json_t *said)
{
	struct buf list = BUF_INIT(1 << 20), seen = BUF_INIT(1 << 20);
	char *own = NULL, *save = NULL, oid[OID_HEX], id[DIGEST_HEX];
	int shown = 0, more = 0;

	if (repo_upstream(p->repo, branch, &own) != 0)
		own = NULL;
	if (repo_upstreams(p->repo, BRANCHES_MAX, &list) == 0)
		buf_str(&list); /* ends it */
	for (char *line = list.len ? strtok_r(list.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *upstream = strchr(line, '\t'), *name;
		json_t *skip = NULL;

		if (!upstream || !*++upstream || (own && strcmp(upstream, own) == 0))
			continue;
		name = mem_printf("\n%s\n", upstream); /* two branches may follow one */
		if (!strstr(buf_str(&seen), name) && repo_ref(p->repo, upstream, oid) == 0 &&
		    standing_of(p, oid, id, NULL, NULL) == UNJUDGED && ++shown <= OTHERS_MAX) {
			put_text(upstream);
			printf(" is at %.12s, which nobody judged here: assay run %.12s\n", oid, oid);
			if (skip_find(&skip, &p->home, oid) == 0)
				print_skip(skip, said);
		}
		buf_adds(&seen, name);
		json_decref(skip);
		free(name);
	}
	more = shown - OTHERS_MAX;
	if (more > 0)
		printf("and %d more branches of remotes that nobody judged here\n", more);
	buf_release(&list);
	buf_release(&seen);
	free(own);
	err_clear();
}

/* What went past the gate and no branch above stands for: a branch that follows none, or one that has moved on since. */
static void print_skips(struct place *p, json_t *said)
{
	json_t *skips = NULL, *skip;
	char id[DIGEST_HEX];
	size_t i;

	if (skip_list(&skips, &p->home, OTHERS_MAX) == 0)
		json_array_foreach(skips, i, skip)
		{
			const char *commit = json_get_text(skip, "commit", "");

			if (json_object_get(said, commit) || standing_of(p, commit, id, NULL, NULL) != UNJUDGED)
				continue;
			printf("%.12s went to ", commit);
			put_text(json_get_text(skip, "remote", "?"));
			putchar(' ');
			put_text(json_get_text(skip, "ref", "?"));
			puts(", which nobody judged here");
			print_skip(skip, said);
		}
	json_decref(skips);
	err_clear();
}

static int print_aliases(struct place *p)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = registry_list(p->home.registry, "aliases", NULL, 0, &rows);

	if (rc)
		return rc;
	json_array_foreach(rows, i, row) printf(
		"%s@%s is v%lld, of commit %.12s\n", json_get_text(row, "model", "?"), json_get_text(row, "alias", "?"),
		(long long)json_get_int(row, "number", 0), json_get_text(row, "commit", ""));
	if (json_array_size(rows) == 0)
		puts("no alias points at a version yet");
	json_decref(rows);
	return 0;
}

/* A push that was tried several times proposed several times. */
static bool is_said_before(const json_t *rows, size_t i)
{
	static const char *const names[] = { "model", "alias", "version", "commit", "remote", "ref" };
	const json_t *row = json_array_get(rows, i);

	for (size_t k = 0; k < i; k++) {
		size_t same = 0;

		while (same < ARRAY_LEN(names) && json_equal(json_object_get(json_array_get(rows, k), names[same]),
							     json_object_get(row, names[same])))
			same++;
		if (same == ARRAY_LEN(names))
			return true;
	}
	return false;
}

static int print_proposals(struct place *p)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = registry_proposals(p->home.registry, &rows);

	if (rc)
		return rc;
	json_array_foreach(rows, i, row) if (!is_said_before(rows, i))
	{
		printf("proposed: %s@%s to v%lld, when %.12s has reached ", json_get_text(row, "model", "?"),
		       json_get_text(row, "alias", "?"), (long long)json_get_int(row, "version", 0),
		       json_get_text(row, "commit", ""));
		put_text(json_get_text(row, "remote", "?"));
		putchar(' ');
		put_text(json_get_text(row, "ref", "?"));
		putchar('\n');
	}
	json_decref(rows);
	return 0;
}

int cmd_status(int argc, char **argv)
{
	const struct opt opts[] = { OPT_END };
	const struct opt_usage usage = { "status", "", "where this branch stands", NULL, 0, 0 };
	struct place place;
	json_t *said = json_object();
	char *branch = NULL;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc) {
		json_decref(said);
		return rc == OPT_HELPED ? 0 : rc;
	}
	rc = place_open(&place);
	if (rc == 0 && place.repo) {
		if (repo_head_branch(place.repo, &branch) != 0)
			branch = mem_str("HEAD");
		err_clear();
		print_branch(&place, branch);
		print_upstream(&place, branch, said);
		print_other_upstreams(&place, branch, said);
		print_skips(&place, said);
	}
	if (rc == 0)
		rc = print_aliases(&place);
	if (rc == 0)
		rc = print_proposals(&place);
	free(branch);
	json_decref(said);
	place_close(&place);
	return rc;
}
