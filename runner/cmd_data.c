/* cmd_data.c: `assay data ls|show|lineage`: data sets as versions, who used them, and what they became. */
#include "base/base.h"
#include "runner/cmd.h"

#include <stdarg.h>

/* A file of this machine by its content: the name that git would give it. */
static int digest_of_file(const char *path, char oid[OID_HEX])
{
	struct buf text = BUF_INIT(4096), quiet = BUF_INIT(4096);
	struct proc p = { .argv = (const char *[]){ "git", "hash-object", "--", path, NULL },
			  .out = &text,
			  .err = &quiet };
	int rc = proc_check(&p);

	if (rc == 0)
		snprintf(oid, OID_HEX, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	buf_release(&text);
	buf_release(&quiet);
	return rc;
}

/* The versions that a name stands for; a file that no run read under this path is looked for by its content. */
static int find_data(struct place *place, const char *name, json_t **rows)
{
	char oid[OID_HEX];
	int rc = registry_data(place->home.registry, name, rows);

	if (rc || json_array_size(*rows))
		return rc;
	if (fs_exists(name) && !fs_is_dir(name)) {
		json_decref(*rows);
		*rows = NULL;
		rc = digest_of_file(name, oid);
		rc = rc ? rc : registry_data(place->home.registry, oid, rows);
		if (rc || json_array_size(*rows))
			return rc;
	}
	err_set(ERR_INPUT, "no run that is known here read %s as data", name);
	return err_hint(ERR_INPUT, "assay data ls lists what was read to train or to validate (questions of a suite "
				   "are none): a path, PATH@v2, "
				   "a digest, or a file of the same bytes");
}

/* ---- ls, show ------------------------------------------------------------------------------------------------------------ */

static int list(struct place *place, const char *path, bool json)
{
	static const char *const columns[] = { "path:data",     "number:>version", "digest:digest", "rows:>rows",
					       "bytes:>bytes",  "license:license", "owner:owner",   "runs:>runs",
					       "created:since", "commit:commit" };
	json_t *rows = NULL;
	int rc = registry_data(place->home.registry, path, &rows);

	if (rc == 0 && json)
		print_json(rows);
	else if (rc == 0 && json_array_size(rows) == 0)
		puts("nothing yet: no run has read training data");
	else if (rc == 0)
		print_table(rows, columns, ARRAY_LEN(columns));
	json_decref(rows);
	return rc;
}

static void line(const char *label, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(const char *label, const char *fmt, ...)
{
	struct buf text = BUF_INIT(8192);
	char piece[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	buf_addf(&text, "  %-10s%s\n", label, piece);
	log_safe(stdout, buf_str(&text), text.len);
	buf_release(&text);
}

static void print_schema(const json_t *schema)
{
	const char *name;
	json_t *member, *type;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)schema, name, member)
	{
		struct buf types = BUF_INIT(256);

		json_array_foreach(json_object_get(member, "types"), i, type)
			buf_addf(&types, "%s%s", i ? " or " : "", json_string_value(type));
		line("", "%s: %s, in %lld rows", name, buf_str(&types), (long long)json_get_int(member, "rows", 0));
		buf_release(&types);
	}
}

static void print_data(const json_t *d)
{
	static const char *const said[] = { "license", "owner", "source", "about" };

	line("data", "%s@v%lld", json_get_text(d, "path", ""), (long long)json_get_int(d, "number", 0));
	line("digest", "%s", json_get_text(d, "digest", ""));
	if (json_is_integer(json_object_get(d, "rows")))
		line("size", "%lld rows, %lld bytes", (long long)json_get_int(d, "rows", 0),
		     (long long)json_get_int(d, "bytes", 0));
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (json_get_text(d, said[i], NULL))
			line(said[i], "%s", json_get_text(d, said[i], ""));
	line("first", "%s, commit %.12s, run %.12s", json_get_text(d, "created", ""), json_get_text(d, "commit", ""),
	     json_get_text(d, "run", ""));
	line("read by", "%lld runs, for %s", (long long)json_get_int(d, "runs", 0), json_get_text(d, "role", ""));
	if (json_object_size(json_object_get(d, "schema")))
		line("members", "%s", "");
	print_schema(json_object_get(d, "schema"));
}

static int show(struct place *place, const char *name, bool json)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = find_data(place, name, &rows);

	if (rc == 0 && json)
		print_json(rows);
	json_array_foreach(rows, i, row) if (rc == 0 && !json)
	{
		if (i)
			putchar('\n');
		print_data(row);
	}
	json_decref(rows);
	return rc;
}

/* ---- lineage --------------------------------------------------------------------------------------------------------------- */

static bool has_text(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) if (strcmp(json_string_value(item), text) == 0) return true;
	return false;
}

/* Forward: what a content became. */
static int became(struct place *place, const json_t *data, const char *alias, json_t *out)
{
	json_t *rows = NULL, *row, *kept = json_array();
	size_t i;
	int rc = registry_reached(place->home.registry, json_get_text(data, "digest", ""), &rows);

	json_array_foreach(rows, i, row) if (!alias || has_text(json_object_get(row, "held"), alias))
		json_array_append(kept, row);
	json_array_append_new(out, json_pack("{s:O,s:O,s:O,s:o}", "path", json_object_get(data, "path"), "number",
					     json_object_get(data, "number"), "digest", json_object_get(data, "digest"),
					     "models", kept));
	json_decref(rows);
	return rc;
}

static void print_became(const json_t *doc)
{
	static const char *const columns[] = { "model:model", "version:>version", "aliases:is now", "held:was ever",
					       "how:how",     "commit:commit",    "created:created" };
	json_t *row, *models = json_object_get(doc, "models");
	size_t i;

	printf("%s@v%lld (%.12s)\n", json_get_text(doc, "path", ""), (long long)json_get_int(doc, "number", 0),
	       json_get_text(doc, "digest", ""));
	json_array_foreach(models, i, row)
	{
		int64_t depth = json_get_int(row, "depth", 0);
		bool held = strcmp(json_get_text(row, "role", ""), "validation") == 0;
		char *how = depth ? mem_printf("through %lld base%s", (long long)depth, depth > 1 ? "s" : "")
				  : mem_str(held ? "held out" : "trained on it");

		json_object_set_new(row, "how", json_string(how));
		free(how);
	}
	if (json_array_size(models))
		print_table(models, columns, ARRAY_LEN(columns));
	else
		puts("  no version came of it");
}

/* Backward: where a version came from. */
static void print_origin(const json_t *row, bool first)
{
	const json_t *tool = json_object_get(row, "tool");
	json_t *item;
	size_t i;

	printf("%s", first ? "" : "from its base ");
	json_array_foreach(json_object_get(row, "versions"), i, item) printf("%s ", json_string_value(item));
	printf("(%.12s)\n", json_get_text(row, "object", ""));
	if (!json_get_text(row, "run", NULL)) {
		line("run", "%s", "the record of the run that made it is not here");
		return;
	}
	line("run", "%.12s, %s, by %s", json_get_text(row, "run", ""), json_get_text(row, "created", ""),
	     json_get_text(row, "actor", "unknown"));
	line("commit", "%s%s%s", json_get_text(row, "commit", ""), json_get_text(row, "branch", NULL) ? " on " : "",
	     json_get_text(row, "branch", ""));
	json_array_foreach(json_object_get(row, "data"), i, item)
		line(strcmp(json_get_text(item, "role", ""), "train") == 0 ? "data" : "held out",
		     "%s (%.12s), %lld rows%s%s", json_get_text(item, "path", ""), json_get_text(item, "digest", ""),
		     (long long)json_get_int(item, "rows", 0), json_get_text(item, "license", NULL) ? ", " : "",
		     json_get_text(item, "license", ""));
	if (json_object_get(row, "seed"))
		line("seed", "%lld", (long long)json_get_int(row, "seed", 0));
	line("tool", "assay %s, %s", json_get_text(tool, "version", "?"), json_get_text(tool, "numerics", "?"));
	if (json_get_text(tool, "machine", NULL))
		line("machine", "%s", json_get_text(tool, "machine", ""));
}

static int lineage_of_version(struct place *place, const char *name, bool json)
{
	json_t *version = NULL, *rows = NULL, *row;
	size_t i;
	int rc = home_version(&place->home, name, &version);

	rc = rc ? rc : registry_origin(place->home.registry, json_get_text(version, "object", ""), &rows);
	if (rc == 0 && json)
		print_json(rows);
	json_array_foreach(rows, i, row) if (rc == 0 && !json) print_origin(row, i == 0);
	json_decref(version);
	json_decref(rows);
	return rc;
}

static int lineage(struct place *place, const char *name, const char *alias, bool json)
{
	json_t *data = NULL, *docs = json_array(), *row;
	const char *at = strrchr(name, '@');
	size_t i;
	int rc = registry_data(place->home.registry, name, &data);
	bool is_data = rc == 0 && (json_array_size(data) || fs_exists(name) || !at);

	json_decref(data);
	data = NULL;
	if (rc == 0 && !is_data) {
		json_decref(docs);
		return alias ? err_set(ERR_USAGE, "--alias: of a data set's lineage")
			     : lineage_of_version(place, name, json);
	}
	rc = rc ? rc : find_data(place, name, &data);
	json_array_foreach(data, i, row) rc = rc ? rc : became(place, row, alias, docs);
	if (rc == 0 && json)
		print_json(docs);
	json_array_foreach(docs, i, row) if (rc == 0 && !json) print_became(row);
	json_decref(data);
	json_decref(docs);
	return rc;
}

int cmd_data(int argc, char **argv)
{
	const char *alias = NULL;
	bool json = false;
	const struct opt opts[] = {
		OPT_TEXT(0, "alias", &alias, "ALIAS", "lineage: only versions that this alias points at, or ever did"),
		OPT_FLAG('j', "json", &json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"data",
		"ls [PATH] | show DATA | lineage DATA|MODEL@VERSION",
		"data sets: versions, who used them, what they became",
		"DATA is a path, PATH@v2, a digest, or a file of this machine, which is known by its bytes.\n\n"
		"  assay data ls\n"
		"  assay data show data/train.jsonl@v2\n"
		"  assay data lineage leaked.jsonl --alias production    which production models saw this file?\n"
		"  assay data lineage dates@production                   where a version came from",
		1,
		2
	};
	struct place place;
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = place_open(&place);
	if (rc == 0 && strcmp(argv[0], "ls") == 0)
		rc = list(&place, argc > 1 ? argv[1] : NULL, json);
	else if (rc == 0 && strcmp(argv[0], "show") == 0 && argc == 2)
		rc = show(&place, argv[1], json);
	else if (rc == 0 && strcmp(argv[0], "lineage") == 0 && argc == 2)
		rc = lineage(&place, argv[1], alias, json);
	else if (rc == 0)
		rc = err_set(ERR_USAGE, "assay data: ls [PATH], show DATA, or lineage DATA|MODEL@VERSION");
	place_close(&place);
	return rc;
}
