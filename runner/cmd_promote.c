/* cmd_promote.c: `assay promote` and `assay rollback`: a person moves an alias. Actor and reason are kept for good. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/export.h"

#include <limits.h>

/* A version whose own run did not pass moves only with --force, and that is written down. */
static int check_passed(struct home *h, const json_t *row, const char *name, bool force)
{
	json_t *record = NULL;
	const char *verdict;
	int rc = registry_run(h->registry, json_get_text(row, "run", ""), &record);

	if (rc)
		return rc;
	verdict = json_get_text(record, "verdict", "ERROR");
	if (strcmp(verdict, "PASS") != 0 && !force) {
		rc = err_set(ERR_INPUT, "%s did not pass its gate (%s: %s)", name, verdict,
			     json_get_text(record, "sentence", ""));
		err_hint(rc, "promote it all the same with --force --reason \"why\"; that is recorded");
	}
	json_decref(record);
	return rc;
}

/* An alias is what others load: it does not go to weights that nobody has. */
static int check_weights(struct home *h, const char *model, int version)
{
	json_t *row = NULL;
	int rc = registry_version(h->registry, model, version, &row);
	const char *object = json_get_text(row, "object", "");

	if (rc == ERR_NOTFOUND) /* told by the promotion itself */
		rc = 0;
	else if (rc == 0 && !store_known_tree(h->store, object)) {
		rc = err_set(ERR_INPUT, "the weights of %s@v%d (%.12s) are neither here nor in a remote", model,
			     version, object);
		err_hint(rc, "ASSAY_REMOTE, or remote in assay.yaml, names where a copy is, and they come when they "
			     "are needed; "
			     "what was lost, and not collected, comes by assay artifact repair --from HOME, too; assay "
			     "reproduce "
			     "makes a run's weights again");
	}
	json_decref(row);
	return rc;
}

/* from: where the alias was when that was decided, 0: nowhere. */
static int move(struct home *h, struct promotion p, int from)
{
	const char *model = p.model, *alias = p.alias;
	int version = p.version, rc;
	char id[DIGEST_HEX];

	p.expect = from;
	p.actor = home_actor();
	if (from == version && !p.rebind) {
		printf("%s@%s is v%d already\n", model, alias, version);
		return 0;
	}
	rc = check_weights(h, model, version);
	rc = rc ? rc : registry_promote(h->registry, &p, id);
	if (rc)
		return rc;
	if (from == version)
		printf("%s@%s: v%d, with the prompt of run %.12s\n", model, alias, version, p.run);
	else if (from)
		printf("%s@%s: v%d -> v%d\n", model, alias, from, version);
	else
		printf("%s@%s: v%d\n", model, alias, version);
	return 0;
}

static int alias_from(struct home *h, const char *model, const char *alias, int *from)
{
	int rc = registry_alias(h->registry, model, alias, from);

	if (rc != ERR_NOTFOUND)
		return rc;
	err_clear();
	*from = 0;
	return 0;
}

int cmd_promote(int argc, char **argv)
{
	const char *reason = NULL, *key = NULL, *folder = NULL;
	bool force = false;
	struct place place;
	json_t *row = NULL;
	int from = 0, rc;
	const struct opt opts[] = {
		OPT_TEXT('m', "reason", &reason, "TEXT", "why; kept in the history"),
		OPT_TEXT(0, "require-signature", &key, "KEY", "only what this public key has signed: see --signed"),
		OPT_TEXT(0, "signed", &folder, "DIR", "the version as artifact export --sign wrote it"),
		{ OPT_KIND_FLAG, 0, "force", &force, NULL, "although its gate did not pass; needs --reason",
		  OPT_NO_ENV },
		OPT_END,
	};
	const struct opt_usage usage = {
		"promote",
		"MODEL@VERSION ALIAS",
		"move an alias to a version",
		"  assay promote dates@v3 production --reason \"approved in review 12\"\n"
		"An older version than the alias holds is not promoted: that is assay rollback.",
		2,
		2
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (force && !reason)
		return err_set(ERR_USAGE, "--force needs --reason \"why\"");
	if (!key != !folder)
		return err_hint(err_set(ERR_USAGE, "--require-signature KEY and --signed DIR go together"),
				"DIR is what assay artifact export MODEL@VERSION DIR --sign wrote");
	rc = place_open(&place);
	if (rc == 0)
		rc = home_version(&place.home, argv[0], &row);
	if (rc == 0)
		rc = check_passed(&place.home, row, argv[0], force);
	if (rc == 0 && key)
		rc = export_proves(&place.home, json_get_text(row, "object", ""), folder, key, force);
	if (rc == 0)
		rc = alias_from(&place.home, json_get_text(row, "model", ""), argv[1], &from);
	if (rc == 0)
		rc = move(&place.home,
			  (struct promotion){ .model = json_get_text(row, "model", ""),
					      .alias = argv[1],
					      .version = (int)json_get_int(row, "number", 0),
					      .reason = reason ? reason : "by hand",
					      .forced = force },
			  from);
	json_decref(row);
	place_close(&place);
	return rc;
}

#define TO_UNSET INT64_MIN

/* What it goes back to, where no version is named. The alias is read first: what is promoted meanwhile is no part of this decision. */
static int before(struct home *h, const char *name, struct promotion *p, int *from, char run[DIGEST_HEX])
{
	int rc = registry_alias(h->registry, p->model, p->alias, from);

	if (rc == ERR_NOTFOUND)
		return err_hint(err_set(ERR_INPUT, "there is no %s", name), "assay models lists models and aliases");
	if (rc || p->version)
		return rc;
	rc = registry_before(h->registry, p->model, p->alias, &p->version, run);
	if (rc == ERR_NOTFOUND)
		return err_hint(err_set(ERR_INPUT, "%s has no version to go back to", name),
				"assay history %s shows what it stood for", p->model);
	p->run = *run ? run : NULL;
	p->rebind = *run != 0;
	return rc;
}

int cmd_rollback(int argc, char **argv)
{
	const char *reason = NULL, *at;
	char *model = NULL, run[DIGEST_HEX] = "";
	int64_t to = TO_UNSET;
	int from = 0, rc;
	bool force = false;
	struct promotion p = { .rollback = true };
	struct place place;
	const struct opt opts[] = {
		OPT_TEXT('m', "reason", &reason, "TEXT", "why; kept in the history"),
		{ OPT_KIND_INT, 0, "to", &to, "N", "version N, which it stood for, instead of the one before",
		  OPT_NO_ENV },
		{ OPT_KIND_FLAG, 0, "force", &force, NULL,
		  "with --to: an older version that it never stood for; needs --reason", OPT_NO_ENV },
		OPT_END,
	};
	const struct opt_usage usage = {
		"rollback",
		"MODEL@ALIAS",
		"move an alias back to what it was before",
		"  assay rollback dates@production --reason \"wrong dates in Finnish\"\n"
		"A second rollback goes further back. A prompt-only change is gone back on, too.",
		1,
		1
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	at = strrchr(argv[0], '@');
	if (!at || at == argv[0] || !at[1])
		return err_hint(err_set(ERR_USAGE, "%s: no MODEL@ALIAS", argv[0]), "assay rollback MODEL@ALIAS");
	if (to != TO_UNSET && (to < 1 || to > INT_MAX))
		return err_hint(err_set(ERR_USAGE, "--to %lld: versions have numbers from 1 on", (long long)to),
				"assay history shows what an alias stood for");
	if (force && (!reason || to == TO_UNSET))
		return err_set(ERR_USAGE, "--force needs --to N and --reason \"why\"");
	model = mem_strn(argv[0], (size_t)(at - argv[0]));
	p.model = model;
	p.alias = at + 1;
	p.version = to == TO_UNSET ? 0 : (int)to;
	p.reason = reason ? reason : "rolled back by hand";
	p.forced = force;
	rc = place_open(&place);
	if (rc == 0)
		rc = before(&place.home, argv[0], &p, &from, run);
	if (rc == 0)
		rc = move(&place.home, p, from);
	free(model);
	place_close(&place);
	return rc;
}
