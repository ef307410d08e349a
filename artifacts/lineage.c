/* lineage.c: what became of a data set, and what a model came from.
 *
 * Both are walks over the edges that runs recorded: data:DIGEST trained model:OBJECT, model:OBJECT base of model:OBJECT.
 * Forward, from a content, the walk is one recursive query, however many models lie between: "which production models
 * saw this file?" Backward, from an object, it goes from record to record, since a record has what no table has: actor,
 * seed, machine. Objects are named by their bytes, so two runs that made the same model are one node; the run that is
 * shown is the one that trained it.
 *
 * A data set's version is the N-th content of a path, in the order of the runs (ingest.c). */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

enum { CHAIN_MAX = 64, PREFIX_MIN = 6 };

#define DATA_COLUMNS                                                                                                   \
	"SELECT v.path, v.number, v.digest, d.\"rows\" AS \"rows\", d.bytes, d.role, d.schema AS \"schema*\", "        \
	"d.license, d.owner, d.source, d.about, v.runs, r.created, r.commit_oid AS \"commit\", r.id AS run"            \
	" FROM data_versions v CROSS JOIN datasets d ON d.run = v.last_run AND d.position = v.last_position"           \
	" CROSS JOIN runs r ON r.n = v.first_run"
#define SQL_DATA DATA_COLUMNS " ORDER BY v.first_run DESC, v.path, v.number DESC"
#define SQL_DATA_OF DATA_COLUMNS " WHERE v.path = ?1 AND (?2 = 0 OR v.number = ?2) ORDER BY v.number DESC"
#define SQL_DATA_LIKE                                                                                                  \
	DATA_COLUMNS " WHERE v.digest >= ?1 AND v.digest < ?1 || 'g' ORDER BY v.first_run DESC, v.path, v.number DESC"

#define SQL_REACHED                                                                                                    \
	"WITH RECURSIVE reach(node, role, depth) AS ("                                                                 \
	" SELECT to_node, iif(relation = 'validated', 'validation', 'train'), 0 FROM edges"                            \
	" WHERE from_node = 'data:' || ?1 AND relation IN ('trained', 'validated')"                                    \
	" UNION SELECT e.to_node, reach.role, reach.depth + 1 FROM reach JOIN edges e ON e.from_node = reach.node"     \
	" WHERE e.relation = 'base of' AND reach.depth < 64)"                                                          \
	"SELECT v.model, v.number AS version, min(reach.role) AS role, min(reach.depth) AS depth,"                     \
	" (SELECT json_group_array(alias) FROM (SELECT alias FROM aliases a WHERE a.model = v.model"                   \
	" AND a.version = v.number ORDER BY alias)) AS \"aliases*\","                                                  \
	" (SELECT json_group_array(alias) FROM (SELECT DISTINCT alias FROM promotions p WHERE p.model = v.model"       \
	" AND p.version = v.number ORDER BY alias)) AS \"held*\","                                                     \
	" v.object, v.run, r.commit_oid AS \"commit\", v.created"                                                      \
	" FROM reach JOIN versions v ON v.object = substr(reach.node, 7) AND reach.node LIKE 'model:%'"                \
	" JOIN runs r ON r.id = v.run"                                                                                 \
	" GROUP BY v.model, v.number ORDER BY v.seq DESC, v.model, v.number DESC"

#define SQL_VERSIONS_OF "SELECT model || '@v' || number AS name FROM versions WHERE object = ?1 ORDER BY model, number"

/* ---- data sets ------------------------------------------------------------------------------- */

static bool is_prefix(const char *name)
{
	size_t n = strspn(name, "0123456789abcdef");

	return n >= PREFIX_MIN && n < DIGEST_HEX && !name[n];
}

int registry_data(struct registry *r, const char *name, json_t **rows)
{
	const char *at = name ? strrchr(name, '@') : NULL;
	int number = at ? record_version_number(at + 1) : 0;
	char *path = number ? mem_strn(name, (size_t)(at - name)) : mem_str(name);
	int rc = path ? sql_rows(r, rows, SQL_DATA_OF, "ti", path, (int64_t)number) : sql_rows(r, rows, SQL_DATA, "");

	if (!rc && !json_array_size(*rows) && name && is_prefix(name)) {
		json_decref(*rows);
		*rows = NULL;
		rc = sql_rows(r, rows, SQL_DATA_LIKE, "t", name);
	}
	free(path);
	return rc;
}

int registry_reached(struct registry *r, const char *digest, json_t **rows)
{
	return sql_rows(r, rows, SQL_REACHED, "t", digest);
}

/* ---- models ---------------------------------------------------------------------------------- */

const char *record_base(const json_t *record)
{
	json_t *edge;
	size_t i;

	json_array_foreach(json_object_get(record, "edges"), i, edge)
	{
		const char *from = json_get_text(edge, "from", "");

		if (!strcmp(json_get_text(edge, "relation", ""), "base of") && !strncmp(from, "model:", 6))
			return from + 6;
	}
	return NULL;
}

static int versions_of(struct registry *r, const char *object, json_t **names)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = sql_rows(r, &rows, SQL_VERSIONS_OF, "t", object);

	*names = json_array();
	json_array_foreach(rows, i, row) json_array_append(*names, json_object_get(row, "name"));
	json_decref(rows);
	return rc;
}

static void copy_members(json_t *row, const json_t *record)
{
	static const char *const members[] = { "commit", "branch", "created", "actor", "tool", "trust" };
	const json_t *product = json_object_get(record, "product");
	json_t *stage;
	size_t i;

	for (i = 0; i < ARRAY_LEN(members); i++)
		if (json_object_get(record, members[i]))
			json_object_set(row, members[i], json_object_get(record, members[i]));
	if (json_object_get(product, "seed"))
		json_object_set(row, "seed", json_object_get(product, "seed"));
	json_array_foreach(json_object_get(record, "stages"), i, stage)
	{
		if (!strcmp(json_get_text(stage, "step", ""), "train"))
			json_object_set(row, "key", json_object_get(stage, "key"));
	}
	if (json_is_array(json_object_get(record, "datasets")))
		json_object_set(row, "data", json_object_get(record, "datasets"));
}

int registry_origin(struct registry *r, const char *object, json_t **rows)
{
	char node[DIGEST_HEX], id[DIGEST_HEX];
	json_t *out = json_array();
	int rc = 0;

	snprintf(node, sizeof(node), "%s", object);
	for (int depth = 0; !rc && *node && depth < CHAIN_MAX; depth++) {
		json_t *row = json_pack("{s:s}", "object", node), *names = NULL, *record = NULL;
		const char *base = NULL;

		json_array_append_new(out, row);
		rc = versions_of(r, node, &names);
		json_object_set_new(row, "versions", names);
		rc = rc ? rc : registry_maker(r, node, id);
		rc = rc ? rc : registry_run(r, id, &record);
		if (!rc) {
			json_object_set_new(row, "run", json_string(id));
			copy_members(row, record);
			base = record_base(record);
			json_object_set_new(row, "base", base ? json_string(base) : json_null());
		} else if (rc == ERR_NOTFOUND) { /* the trail ends here */
			err_clear();
			rc = 0;
		}
		snprintf(node, sizeof(node), "%s", base ? base : "");
		json_decref(record);
	}
	if (rc) {
		json_decref(out);
		return rc;
	}
	*rows = out;
	return 0;
}
