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
 * A pull asks so of each that comes, before it says of what is this home's alone that it lost to one; and so does one that only counts.
 *
 * Such a record goes to HOME/aside/ and is named. Nothing of it is lost, it has no rows, and a rebuild gives the same database.
 * What is this home's alone and contradicts a remote is another matter: there the remote was first (sync_merge.c). */
#include "base/base.h"

#include "artifacts/sync.h"

#define SQL_KNOWN_NUMBER "SELECT object, run, seq, number FROM versions WHERE model = ?1 AND number = ?2"
#define SQL_KNOWN_OBJECT "SELECT object, run, seq, number FROM versions WHERE model = ?1 AND object = ?2"
#define SQL_VERSIONS "SELECT EXISTS (SELECT 1 FROM versions)"
#define SQL_LAST_SEQ "SELECT coalesce(max(seq), 0) FROM records"

/* Where it says of which model it is. */
static const json_t *newcomer_names(const struct newcomer *c)
{
	return record_kind(c->record) == RECORD_PROMOTION ? c->record : json_object_get(c->record, "version");
}

/* A row whose record has gone, aside in a pull that was killed before its end, or is about to, is not known: it goes with the rows. */
static int known(struct registry *r, const struct newcomer *c, json_t **row, const char *sql, const json_t *what)
{
	int rc = sql_row(r, row, sql, "jj", json_object_get(newcomer_names(c), "model"), what);
	const char *run = json_get_text(*row, "run", "");

	if (!rc && ((c->gone && names_have(c->gone, run)) || !store_there(r->store, VAULT_RECORDS, run))) {
		json_decref(*row);
		*row = NULL;
	}
	return rc == ERR_NOTFOUND ? 0 : rc;
}

/* Why it may not come in; yours, NULL if it may. */
static int run_against(struct registry *r, const struct newcomer *p, char **why)
{
	const json_t *v = newcomer_names(p), *model = json_object_get(v, "model");
	const char *object = json_get_text(v, "object", "");
	json_t *of_number = NULL, *of_object = NULL;
	int rc = known(r, p, &of_number, SQL_KNOWN_NUMBER, json_object_get(v, "number"));
	int64_t seq;

	rc = rc ? rc : known(r, p, &of_object, SQL_KNOWN_OBJECT, json_object_get(v, "object"));
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

static int promotion_against(struct registry *r, const struct newcomer *p, char **why)
{
	const json_t *record = p->record, *model = json_object_get(record, "model");
	const char *object = json_get_text(record, "object", NULL);
	json_t *row = NULL;
	int rc = object ? known(r, p, &row, SQL_KNOWN_NUMBER, json_object_get(record, "version")) : 0;

	if (!rc && row && strcmp(json_get_text(row, "object", ""), object))
		*why = mem_printf("it promotes the model %.12s as %.140s@v%lld, which is %.12s here (run %.12s)",
				  object, json_string_value(model), (long long)json_get_int(record, "version", 0),
				  json_get_text(row, "object", ""), json_get_text(row, "run", ""));
	json_decref(row);
	return rc;
}

int newcomer_against(struct registry *r, struct newcomer *c, int64_t *last, char **why)
{
	int rc = 0;

	*why = NULL;
	c->far = c->seq - *last > RECORD_SEQ_STEP;
	if (c->far)
		*why = mem_printf("its seq is %lld, and the last one here is %lld", (long long)c->seq,
				  (long long)*last);
	else if (c->record && record_kind(c->record) == RECORD_PROMOTION)
		rc = promotion_against(r, c, why);
	else if (c->record && json_is_object(newcomer_names(c)))
		rc = run_against(r, c, why);
	if (!*why && c->seq > *last)
		*last = c->seq;
	return rc;
}

int newcomers_last(struct registry *r, int64_t *last)
{
	return sql_int(r, last, SQL_LAST_SEQ, "");
}

/* versions: there are some; else nothing can be taken, and a home's first records need not be read twice. */
static int against(struct registry *r, const struct pending *p, int64_t *last, bool versions, struct newcomer *c,
		   char **why)
{
	json_t *record = NULL;
	int rc;

	*c = (struct newcomer){ .id = p->id, .seq = p->seq };
	*why = NULL;
	if (!p->seq)
		return 0;
	if (versions && p->seq - *last <= RECORD_SEQ_STEP &&
	    (record_read(r->store, p->id, &record) || record_check(record))) {
		json_decref(record);
		record = NULL;
		err_clear(); /* ingest.c tells */
	}
	c->record = record;
	rc = newcomer_against(r, c, last, why);
	c->record = NULL;
	json_decref(record);
	return rc;
}

/* Another home may have given a number in good faith, and can have another. */
void newcomer_tell(const struct newcomer *c, const char *why, const char *to, bool would)
{
	log_warn("record %.12s was not taken over: %s; it %s %s%s. %s it where it came from", c->id, why,
		 would ? "would go to" : "is in", to, would ? "" : " now",
		 c->far ? "No home has made so many records: remove"
			: "If it is another home's, push it from there to a remote that knows this home's records, and "
			  "pull: it gets a number of its own. If nobody knows it, remove");
}

static int send_aside(struct registry *r, const struct newcomer *c, const char *why)
{
	char *from = store_file(r->store, VAULT_RECORDS, c->id), *to = shelves_aside(r->store, c->id, false);
	char *dir = path_dir(to);
	int rc = fs_mkdirs(dir);

	rc = rc ? rc : fs_rename(from, to);
	if (!rc)
		newcomer_tell(c, why, to, false);
	free(dir);
	free(from);
	free(to);
	return rc;
}

int newcomers_aside(struct registry *r, struct pending *p, size_t *n)
{
	int64_t last = 0, versions = 0;
	size_t kept = 0;
	int rc = *n ? newcomers_last(r, &last) : 0;

	rc = rc || !*n ? rc : sql_int(r, &versions, SQL_VERSIONS, "");
	for (size_t i = 0; !rc && i < *n; i++) {
		struct newcomer c;
		char *why = NULL;

		rc = against(r, &p[i], &last, versions, &c, &why);
		if (!rc && why)
			rc = send_aside(r, &c, why);
		else
			p[kept++] = p[i];
		free(why);
	}
	*n = rc ? *n : kept;
	return rc;
}
