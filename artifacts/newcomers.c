/* newcomers.c: records that come into a home and would take from what it knows.
 *
 * The rows are a function of the set of records and their order (ingest.c), and where a record sorts is up to whoever made it. So
 * a record that is copied in, or pulled, could sort before those that are here and take a version's number from them: every
 * alias that names the number would then stand for weights that nobody promoted. What is known therefore decides which records come
 * into the set at all:
 *
 *	a run           that gives a number to another model than the one that has it here, or would sort before the run of a
 *	                model that is here, and give it another number
 *	a promotion     of a number that is another model here
 *	a seq           further ahead than records could have been made: all that follow would have to stand behind it
 *
 * Such a record goes to HOME/aside/ and is named. Nothing of it is lost, it has no rows, and a rebuild gives the same database.
 * What is this home's alone and contradicts a remote is another matter: there the remote was first (sync_merge.c). */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#define SQL_KNOWN_NUMBER "SELECT object, run, seq, number FROM versions WHERE model = ?1 AND number = ?2"
#define SQL_KNOWN_OBJECT "SELECT object, run, seq, number FROM versions WHERE model = ?1 AND object = ?2"
#define SQL_VERSIONS "SELECT EXISTS (SELECT 1 FROM versions)"
#define SQL_LAST_SEQ "SELECT coalesce(max(seq), 0) FROM records"

/* A row whose record has gone, aside in a pull that was killed before its end, is not known: it goes with the rows. */
static int known(struct registry *r, json_t **row, const char *sql, const json_t *model, const json_t *what)
{
	int rc = sql_row(r, row, sql, "jj", model, what);

	if (!rc && !store_there(r->store, VAULT_RECORDS, json_get_text(*row, "run", ""))) {
		json_decref(*row);
		*row = NULL;
	}
	return rc == ERR_NOTFOUND ? 0 : rc;
}

/* Why it may not come in; yours, NULL if it may. */
static int run_against(struct registry *r, const struct pending *p, const json_t *v, char **why)
{
	const json_t *model = json_object_get(v, "model");
	const char *object = json_get_text(v, "object", "");
	json_t *of_number = NULL, *of_object = NULL;
	int rc = known(r, &of_number, SQL_KNOWN_NUMBER, model, json_object_get(v, "number"));
	int64_t seq;

	rc = rc ? rc : known(r, &of_object, SQL_KNOWN_OBJECT, model, json_object_get(v, "object"));
	seq = json_get_int(of_object, "seq", 0);
	if (!rc && of_number && strcmp(json_get_text(of_number, "object", ""), object))
		*why = mem_printf("it says that %.140s@v%lld is the model %.12s, which is %.12s here (run %.12s)",
				  json_string_value(model), (long long)json_get_int(v, "number", 0), object,
				  json_get_text(of_number, "object", ""), json_get_text(of_number, "run", ""));
	else if (!rc && of_object && json_get_int(of_object, "number", 0) != json_get_int(v, "number", 0) &&
		 (p->seq < seq || (p->seq == seq && strcmp(p->id, json_get_text(of_object, "run", "")) < 0)))
		*why = mem_printf("it says that the model %.12s is %.140s@v%lld, which is v%lld here (run %.12s)",
				  object, json_string_value(model), (long long)json_get_int(v, "number", 0),
				  (long long)json_get_int(of_object, "number", 0), json_get_text(of_object, "run", ""));
	json_decref(of_number);
	json_decref(of_object);
	return rc;
}

static int promotion_against(struct registry *r, const json_t *record, char **why)
{
	const json_t *model = json_object_get(record, "model");
	const char *object = json_get_text(record, "object", NULL);
	json_t *row = NULL;
	int rc = object ? known(r, &row, SQL_KNOWN_NUMBER, model, json_object_get(record, "version")) : 0;

	if (!rc && row && strcmp(json_get_text(row, "object", ""), object))
		*why = mem_printf("it promotes the model %.12s as %.140s@v%lld, which is %.12s here (run %.12s)",
				  object, json_string_value(model), (long long)json_get_int(record, "version", 0),
				  json_get_text(row, "object", ""), json_get_text(row, "run", ""));
	json_decref(row);
	return rc;
}

/* versions: there are some; else nothing can be taken, and a home's first records need not be read twice. */
static int against(struct registry *r, const struct pending *p, int64_t last, bool versions, char **why)
{
	json_t *record = NULL;
	int rc = 0;

	*why = NULL;
	if (!p->seq)
		return 0;
	if (p->seq - last > RECORD_SEQ_STEP) {
		*why = mem_printf("its seq is %lld, and the last one here is %lld", (long long)p->seq, (long long)last);
		return 0;
	}
	if (!versions)
		return 0;
	if (record_read(r->store, p->id, &record) || record_check(record)) {
		json_decref(record);
		err_clear(); /* ingest.c tells */
		return 0;
	}
	if (record_kind(record) == RECORD_PROMOTION)
		rc = promotion_against(r, record, why);
	else if (json_is_object(json_object_get(record, "version")))
		rc = run_against(r, p, json_object_get(record, "version"), why);
	json_decref(record);
	return rc;
}

/* numbers: another home may have given the number in good faith, and can have another. */
static int send_aside(struct registry *r, const char *id, const char *why, bool numbers)
{
	char *from = store_file(r->store, VAULT_RECORDS, id), *to = shelves_aside(r->store, id, false);
	char *dir = path_dir(to);
	int rc = fs_mkdirs(dir);

	rc = rc ? rc : fs_rename(from, to);
	if (!rc)
		log_warn("record %.12s was not taken over: %s; it is in %s now. %s it where it came from", id, why, to,
			 numbers ? "If it is another home's, push it from there to a remote that knows this home's "
				   "records, and "
				   "pull: it gets a number of its own. If nobody knows it, remove"
				 : "No home has made so many records: remove");
	free(dir);
	free(from);
	free(to);
	return rc;
}

int newcomers_aside(struct registry *r, struct pending *p, size_t *n)
{
	int64_t last = 0, versions = 0;
	size_t kept = 0;
	int rc = *n ? sql_int(r, &last, SQL_LAST_SEQ, "") : 0;

	rc = rc || !*n ? rc : sql_int(r, &versions, SQL_VERSIONS, "");
	for (size_t i = 0; !rc && i < *n; i++) {
		char *why = NULL;

		rc = against(r, &p[i], last, versions, &why);
		if (!rc && why) {
			rc = send_aside(r, p[i].id, why, p[i].seq - last <= RECORD_SEQ_STEP);
		} else {
			last = p[i].seq > last ? p[i].seq : last;
			p[kept++] = p[i];
		}
		free(why);
	}
	*n = rc ? *n : kept;
	return rc;
}
