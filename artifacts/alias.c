/* alias.c: where an alias points, held against the record that says so.
 *
 * Rows can be changed by hand, records cannot without their name telling it, and an alias decides what is served. So an alias is
 * not read from its row alone: the row must be of the newest promotion of its alias, and that promotion's record must say the
 * same model, alias and version. What differs is refused by name; the database is then made again from the records. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

/* Each alias that has a row or a promotion: what the row says, and which promotion is the newest. */
#define SQL_ALIASES                                                                                                    \
	"SELECT n.model, n.alias, a.version, a.promotion, (SELECT v.object FROM versions v WHERE v.model = n.model"    \
	" AND v.number = a.version) AS object, (SELECT p.id FROM promotions p WHERE p.model = n.model"                 \
	" AND p.alias = n.alias ORDER BY p.seq DESC, p.id DESC LIMIT 1) AS newest FROM"
#define SQL_ONE                                                                                                        \
	SQL_ALIASES " (SELECT ?1 AS model, ?2 AS alias) n LEFT JOIN aliases a ON a.model = n.model AND a.alias = "     \
		    "n.alias"
#define SQL_ALL                                                                                                        \
	SQL_ALIASES " (SELECT model, alias FROM aliases UNION SELECT model, alias FROM promotions) n"                  \
		    " LEFT JOIN aliases a ON a.model = n.model AND a.alias = n.alias ORDER BY n.model, n.alias"
#define SQL_MODEL                                                                                                      \
	SQL_ALIASES " (SELECT model, alias FROM aliases WHERE model = ?1 UNION SELECT model, alias FROM promotions"    \
		    " WHERE model = ?1) n LEFT JOIN aliases a ON a.model = n.model AND a.alias = n.alias ORDER BY "    \
		    "n.alias"

static int differs(const json_t *row, const char *what)
{
	int rc = err_set(ERR_IO, "registry: the row of %.140s@%.140s (v%lld) %s", json_get_text(row, "model", "?"),
			 json_get_text(row, "alias", "?"), (long long)json_get_int(row, "version", 0), what);

	return err_hint(rc, "assay registry rebuild makes the database again from the records");
}

static int against_record(struct registry *r, const json_t *row, const char *id)
{
	const char *model = json_get_text(row, "model", ""), *alias = json_get_text(row, "alias", "");
	const char *object;
	json_t *record = NULL;
	int rc = record_read(r->store, id, &record);

	if (rc == ERR_NOTFOUND) {
		bool told = err_fix() != NULL; /* it lies in bad/ */
		char *why = mem_str(err_text());

		rc = told ? ERR_IO : err_set(ERR_IO, "%s", why);
		free(why);
		if (!told)
			err_hint(rc, "assay pull brings a record that is gone, from where it was pushed to; without "
				     "one, assay "
				     "registry rebuild gives it up");
	}
	if (rc)
		return err_context(rc, "the promotion that %.140s@%.140s rests on", model, alias);
	if (record_kind(record) != RECORD_PROMOTION || strcmp(json_get_text(record, "model", ""), model) ||
	    strcmp(json_get_text(record, "alias", ""), alias) ||
	    json_get_int(record, "version", 0) != json_get_int(row, "version", 0))
		rc = differs(row, "is not what its promotion's record says");
	object = json_get_text(record, "object", NULL);
	if (!rc && object && strcmp(object, json_get_text(row, "object", "")))
		rc = differs(row, "is of another model than its promotion's record names");
	json_decref(record);
	return rc;
}

static int row_check(struct registry *r, const json_t *row)
{
	const char *promotion = json_get_text(row, "promotion", NULL), *newest = json_get_text(row, "newest", NULL);

	if (!promotion && !newest)
		return 0;
	if (!promotion)
		return differs(row, "is gone, though it was promoted");
	if (!newest || strcmp(promotion, newest))
		return differs(row, "is not of its newest promotion");
	return against_record(r, row, promotion);
}

int registry_alias(struct registry *r, const char *model, const char *alias, int *version)
{
	json_t *row = NULL;
	int rc = sql_row(r, &row, SQL_ONE, "tt", model, alias);

	rc = rc ? rc : row_check(r, row);
	if (!rc && json_is_null(json_object_get(row, "version")))
		rc = err_set(ERR_NOTFOUND, "%.140s has no alias %.140s", model, alias);
	else if (!rc)
		*version = (int)json_get_int(row, "version", 0);
	json_decref(row);
	return rc;
}

int registry_aliases_check(struct registry *r, const char *model)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = model ? sql_rows(r, &rows, SQL_MODEL, "t", model) : sql_rows(r, &rows, SQL_ALL, "");

	json_array_foreach(rows, i, row) rc = rc ? rc : row_check(r, row);
	json_decref(rows);
	return rc;
}
