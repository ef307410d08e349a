/* cmd_lists.c: `assay models`, `runs` and `history`: the registry's lists, as tables or JSON. */
#include "base/base.h"
#include "runner/cmd.h"

struct list {
	const char *command, *what, *summary;
	const char *const *columns;
	size_t n;
	bool at;                                              /* has a past: --as-of */
	int (*behind)(struct registry *r, const char *model); /* what is to be said beside it; NULL: nothing */
};

static int put_out(const void *data, size_t len, void *arg)
{
	(void)arg;
	return fwrite(data, 1, len, stdout) == len ? 0 : err_errno(ERR_IO, "cannot write to standard output");
}

/* A list of a model that nobody knows is a slip of the pen. */
static int know_model(struct registry *r, const char *model)
{
	json_t *rows = NULL;
	int rc = registry_list(r, "versions", model, 1, &rows);

	if (!rc && json_array_size(rows) == 0) {
		json_decref(rows);
		rows = NULL;
		rc = registry_list(r, "runs", model, 1, &rows);
	}
	if (!rc && json_array_size(rows) == 0)
		rc = err_hint(err_set(ERR_INPUT, "the registry has no model %s", model), "assay models lists them");
	json_decref(rows);
	return rc;
}

static int print_list(const struct list *l, int argc, char **argv)
{
	bool json = false;
	int64_t limit = 30, until = 0;
	const char *as_of = NULL;
	json_t *rows = NULL;
	struct place place;
	int rc;
	struct opt opts[] = {
		OPT_FLAG('j', "json", &json, "print one JSON document on standard output"),
		OPT_INT('n', "limit", &limit, "N", "at most N rows, newest first (0: all)"),
		OPT_END,
		OPT_END,
	};
	const struct opt_usage usage = { l->command, "[MODEL]", l->summary, NULL, 0, 1 };

	if (l->at)
		opts[2] = (struct opt)OPT_TEXT(0, "as-of", &as_of, "DATE",
					       "as it stood then: 2026-05-01 (the whole day, UTC) or 2026-05-01T12:30");
	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (as_of && !clock_until(as_of, &until))
		return err_hint(err_set(ERR_USAGE, "--as-of %.100s: no such date", as_of),
				"as in 2026-05-01 or 2026-05-01T12:30");
	if (limit < 0)
		return err_hint(err_set(ERR_USAGE, "--limit %lld: less than none", (long long)limit), "0 is all");
	rc = place_open(&place);
	if (rc == 0 && argc)
		rc = know_model(place.home.registry, argv[0]);
	if (rc == 0 && strcmp(l->what, "versions") == 0 && !as_of) /* beside each stands which aliases it has */
		rc = registry_aliases_check(place.home.registry, argc ? argv[0] : NULL);
	if (rc == 0 && as_of)
		rc = registry_list_at(place.home.registry, l->what, argc ? argv[0] : NULL, limit, until, &rows);
	else if (rc == 0 && json)
		rc = registry_list_text(place.home.registry, l->what, argc ? argv[0] : NULL, limit, put_out, NULL);
	else if (rc == 0)
		rc = registry_list(place.home.registry, l->what, argc ? argv[0] : NULL, limit, &rows);
	if (rc == 0 && json && as_of)
		print_json(rows);
	else if (rc == 0 && json)
		; /* it stands there */
	else if (rc == 0 && json_array_size(rows) == 0 && as_of)
		puts("nothing yet, then");
	else if (rc == 0 && json_array_size(rows) == 0)
		puts("nothing yet: assay run makes the first");
	else if (rc == 0)
		print_table(rows, l->columns, l->n);
	if (rc == 0 && l->behind)
		rc = l->behind(place.home.registry, argc ? argv[0] : NULL);
	place_close(&place); /* before the rows: a large free among so many small ones has malloc join them all */
	json_decref(rows);
	return rc;
}

int cmd_models(int argc, char **argv)
{
	static const char *const columns[] = { "model:model", "number:>version", "aliases:aliases", "object:object",
					       "run:run",     "commit:commit",   "created:created" };
	const struct list l = { "models", "versions", "models, their versions and aliases", columns, ARRAY_LEN(columns),
				true,     NULL };

	return print_list(&l, argc, argv);
}

int cmd_runs(int argc, char **argv)
{
	static const char *const columns[] = { "id:run",      "commit:commit",   "branch:branch",   "event:event",
					       "trust:trust", "verdict:verdict", "created:created", "sentence:why" };
	const struct list l = { "runs", "runs", "what ran", columns, ARRAY_LEN(columns), false, NULL };

	return print_list(&l, argc, argv);
}

static int warn(const char *text, void *arg)
{
	(void)arg;
	log_warn("%s", text);
	return 0;
}

static int warn_of_chain(struct registry *r, const char *model)
{
	return registry_chain(r, model, warn, NULL);
}

int cmd_history(int argc, char **argv)
{
	static const char *const columns[] = { "created:when",       "model:model",   "alias:alias",
					       "from_version:>from", "version:>to",   "actor:who",
					       "commit:commit",      "forced:forced", "reason:why" };
	const struct list l = { "history", "history",    "who promoted what, when and why", columns, ARRAY_LEN(columns),
				true,      warn_of_chain };

	return print_list(&l, argc, argv);
}
