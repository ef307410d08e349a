/* chain.c: is the history of an alias one chain, from its first promotion to its last?
 *
 * Each promotion names the one before it of its alias, by its digest. So two things show: one that is named and not there (something
 * was taken out), and two that follow the same one (a fork: two homes promoted without a remote between them and were copied together,
 * or somebody wrote the history a second time). Records of before the chain name none; of those that could have named one, only one
 * is an alias's first. And since that one names the last of before, or none, a move without a chain between the two was not there
 * when it was made.
 *
 * A move that a gate did not allow and nobody forced is no part of it (ingest.c), and an older assay took such moves in. What was
 * decided on top of one stands: it names a record that is there. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#define SQL_BROKEN                                                                                                     \
	"SELECT p.id, p.model || '@' || p.alias AS name, p.previous FROM promotions p"                                 \
	" LEFT JOIN promotions b ON b.id = p.previous AND b.model = p.model AND b.alias = p.alias"                     \
	" AND (b.seq, b.id) < (p.seq, p.id)"                                                                           \
	" WHERE p.previous IS NOT NULL AND b.id IS NULL AND (?1 IS NULL OR p.model = ?1)"                              \
	" AND NOT EXISTS (SELECT 1 FROM records u WHERE u.id = p.previous AND " UNFORCED_MOVE ") ORDER BY p.seq, p.id"
#define SQL_FORKS                                                                                                      \
	"SELECT p.id, p.model || '@' || p.alias AS name, p.previous, p.actor, p.version FROM promotions p JOIN"        \
	" (SELECT model, alias, previous FROM promotions WHERE ?1 IS NULL OR model = ?1"                               \
	" GROUP BY model, alias, previous HAVING count(*) > 1) f"                                                      \
	" ON p.model = f.model AND p.alias = f.alias AND p.previous IS f.previous"                                     \
	" ORDER BY p.model, p.alias, p.previous, p.seq, p.id"

/* c: the first of the chain of an alias. */
#define SQL_SLIPPED_IN                                                                                                 \
	"SELECT u.id, u.model || '@' || u.alias AS name, u.version, u.actor, c.id AS first FROM promotions c"          \
	" LEFT JOIN promotions p ON p.id = c.previous JOIN promotions u ON u.model = c.model AND u.alias = c.alias"    \
	" WHERE c.chained AND (?1 IS NULL OR c.model = ?1) AND (c.previous IS NULL OR p.id IS NOT NULL)"               \
	" AND NOT EXISTS (SELECT 1 FROM promotions b WHERE b.model = c.model AND b.alias = c.alias AND b.chained"      \
	" AND (b.seq, b.id) < (c.seq, c.id))"                                                                          \
	" AND NOT u.chained AND (u.seq, u.id) < (c.seq, c.id)"                                                         \
	" AND (p.id IS NULL OR (u.seq, u.id) > (p.seq, p.id)) ORDER BY u.seq, u.id"

/* Could it have named one before it? */
static bool is_chained(struct registry *r, const json_t *row)
{
	json_t *record = NULL;
	bool yes;

	if (json_is_string(json_object_get(row, "previous")))
		return true;
	yes = !record_read(r->store, json_get_text(row, "id", ""), &record) && json_object_get(record, "previous");
	err_clear();
	json_decref(record);
	return yes;
}

static int broken(struct registry *r, const char *model, int (*each)(const char *text, void *arg), void *arg)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_BROKEN, "t", model);

	json_array_foreach(rows, i, row)
	{
		char *text = mem_printf(
			"promotion %.12s of %.140s follows %.12s, which is not in its history: the chain is broken",
			json_get_text(row, "id", ""), json_get_text(row, "name", "?"),
			json_get_text(row, "previous", ""));

		rc = rc ? rc : each(text, arg);
		free(text);
	}
	json_decref(rows);
	return rc;
}

/* Rows that follow the same one stand behind each other; each but the first is a fork of that. */
static int forks(struct registry *r, const char *model, int (*each)(const char *text, void *arg), void *arg)
{
	json_t *rows = NULL, *row, *first = NULL;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_FORKS, "t", model);

	json_array_foreach(rows, i, row)
	{
		const char *previous = json_get_text(row, "previous", "");
		char *text;

		if (!is_chained(r, row))
			continue;
		if (!first || strcmp(json_get_text(first, "name", ""), json_get_text(row, "name", "")) ||
		    strcmp(json_get_text(first, "previous", ""), previous)) {
			first = row;
			continue;
		}
		text = mem_printf(
			"promotions %.12s (to v%lld, by %.80s) and %.12s (to v%lld, by %.80s) of %.140s %s%.12s: the "
			"history forks",
			json_get_text(first, "id", ""), (long long)json_get_int(first, "version", 0),
			json_get_text(first, "actor", "?"), json_get_text(row, "id", ""),
			(long long)json_get_int(row, "version", 0), json_get_text(row, "actor", "?"),
			json_get_text(row, "name", "?"), *previous ? "both follow " : "are both the first", previous);
		rc = rc ? rc : each(text, arg);
		free(text);
	}
	json_decref(rows);
	return rc;
}

static int slipped_in(struct registry *r, const char *model, int (*each)(const char *text, void *arg), void *arg)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_SLIPPED_IN, "t", model);

	json_array_foreach(rows, i, row)
	{
		char *text =
			mem_printf("promotion %.12s (to v%lld, by %.80s) of %.140s names nothing before it, and %.12s "
				   "behind it did not know of it: it came into the history later",
				   json_get_text(row, "id", ""), (long long)json_get_int(row, "version", 0),
				   json_get_text(row, "actor", "?"), json_get_text(row, "name", "?"),
				   json_get_text(row, "first", ""));

		rc = rc ? rc : each(text, arg);
		free(text);
	}
	json_decref(rows);
	return rc;
}

int registry_chain(struct registry *r, const char *model, int (*each)(const char *text, void *arg), void *arg)
{
	int rc = broken(r, model, each, arg);

	rc = rc ? rc : forks(r, model, each, arg);
	return rc ? rc : slipped_in(r, model, each, arg);
}
