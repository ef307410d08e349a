/* record.c: what happened, for good.
 *
 * A record is one JSON object in canonical form (compact, sorted keys), stored under the SHA-256 of its bytes. It is
 * never changed; the registry is derived from the set of them. Three formats:
 *
 *	{"format":"assay-run/1", …}            a run of the pipeline: the table run_members below is its description
 *	{"format":"assay-promotion/1", …}      an alias was moved
 *	{"format":"assay-proposal-drop/1", …}  a proposed promotion came to nothing
 *
 * All carry "seq" (one more than the last record committed in this home), "created" and "created_ns"; the order of
 * records is (seq, name), since clocks go back and two homes may be merged.
 *
 * The checks below hold what the rows need: types, object names, the words of a closed set. They are not stricter than
 * that, on purpose: a run is recorded at its very end, and hours of training must not be lost to a new role name.
 * Members not named here are kept in the file and ignored, so that a later version can say more. */
#include "base/base.h"

#include <math.h>

#include "artifacts/artifacts_int.h"

enum kind {
	K_TEXT,
	K_NAME, /* of a model */
	K_ALIAS,
	K_OBJECT,  /* 64 digits */
	K_COMMIT,  /* 40 or 64 digits */
	K_COUNT,   /* integer, not negative */
	K_PLACE,   /* in the order of records: from 1 to RECORD_SEQ_MAX */
	K_VERSION, /* from 1 to RECORD_VERSION_MAX */
	K_NUMBER,
	K_FLAG,
	K_TRUST,
	K_VERDICT,
	K_ANY,
	K_GROUP, /* an object, whose members are in sub */
	K_LIST,  /* an array of such objects */
};

enum { NAME_MAX_BYTES = 100, STORED_NAME_MAX = 200 };
enum { REQUIRED = 1, NULLABLE = 2 }; /* 0: may be absent; never null unless it may be absent or NULLABLE */

struct member {
	const char *name;
	enum kind kind;
	int flags;
	const struct member *sub;
};

static const char *const verdicts[] = { "PASS", "FAIL", "INCONCLUSIVE", "NO_BASELINE", "INCOMPARABLE", "ERROR", NULL };
static const char *const trusts[] = { "fork", "branch", "protected", NULL };

static const struct member tool_members[] = { { "version", K_TEXT, 0, NULL }, { "numerics", K_TEXT, 0, NULL }, { 0 } };
static const struct member baseline_members[] = {
	{ "run", K_TEXT, 0, NULL },
	{ "model", K_TEXT, 0, NULL },
	{ "version", K_COUNT, 0, NULL },
	{ "name", K_TEXT, 0, NULL },
	{ 0 },
};
static const struct member step_members[] = {
	{ "name", K_TEXT, REQUIRED, NULL },
	{ "status", K_TEXT, REQUIRED, NULL },
	{ "seconds", K_NUMBER, 0, NULL },
	{ 0 },
};
static const struct member stage_members[] = {
	{ "step", K_TEXT, REQUIRED, NULL },
	{ "name", K_TEXT, REQUIRED, NULL },
	{ "key", K_TEXT, REQUIRED, NULL },
	{ "output", K_ANY, 0, NULL },
	{ 0 },
};
static const struct member metric_members[] = {
	{ "suite", K_TEXT, REQUIRED, NULL },
	{ "task", K_TEXT, REQUIRED, NULL },
	{ "metric", K_TEXT, REQUIRED, NULL },
	{ "filter", K_TEXT, 0, NULL },
	{ "value", K_NUMBER, REQUIRED | NULLABLE, NULL }, /* null: not finite */
	{ "stderr", K_NUMBER, 0, NULL },
	{ "n", K_COUNT, REQUIRED, NULL },
	{ "higher_is_better", K_FLAG, REQUIRED, NULL },
	{ 0 },
};
static const struct member sample_members[] = {
	{ "suite", K_TEXT, REQUIRED, NULL }, { "task", K_TEXT, REQUIRED, NULL },     { "filter", K_TEXT, 0, NULL },
	{ "n", K_COUNT, REQUIRED, NULL },    { "object", K_OBJECT, REQUIRED, NULL }, { 0 },
};
static const struct member artifact_members[] = {
	{ "role", K_TEXT, REQUIRED, NULL },
	{ "object", K_OBJECT, REQUIRED, NULL },
	{ "size", K_COUNT, REQUIRED, NULL },
	{ 0 },
};
static const struct member dataset_members[] = {
	{ "path", K_TEXT, REQUIRED, NULL },
	{ "digest", K_TEXT, REQUIRED, NULL },
	{ "rows", K_COUNT, 0, NULL },
	{ "bytes", K_COUNT, REQUIRED, NULL },
	{ "role", K_TEXT, REQUIRED, NULL },
	{ "schema", K_ANY, 0, NULL },
	{ "license", K_TEXT, 0, NULL },
	{ "owner", K_TEXT, 0, NULL },
	{ "source", K_TEXT, 0, NULL },
	{ "about", K_TEXT, 0, NULL },
	{ 0 },
};
static const struct member edge_members[] = {
	{ "from", K_TEXT, REQUIRED, NULL },
	{ "to", K_TEXT, REQUIRED, NULL },
	{ "relation", K_TEXT, REQUIRED, NULL },
	{ 0 },
};
static const struct member version_members[] = {
	{ "model", K_NAME, REQUIRED, NULL },
	{ "object", K_OBJECT, REQUIRED, NULL },
	{ "number", K_VERSION, REQUIRED, NULL }, /* given by registry_add_run() */
	{ "key", K_TEXT, 0, NULL },
	{ "product", K_TEXT, 0, NULL },
	{ 0 },
};
static const struct member proposal_members[] = {
	{ "model", K_NAME, REQUIRED, NULL },
	{ "alias", K_ALIAS, REQUIRED, NULL },
	{ "expect", K_COUNT, REQUIRED, NULL }, /* 0: the alias must not exist */
	{ "remote", K_TEXT, 0, NULL },
	{ "ref", K_TEXT, 0, NULL },
	{ 0 },
};

#define STAMPS                                                                                                         \
	{ "format", K_TEXT, REQUIRED, NULL }, { "seq", K_PLACE, REQUIRED, NULL },                                      \
		{ "created", K_TEXT, REQUIRED, NULL },                                                                 \
	{                                                                                                              \
		"created_ns", K_COUNT, REQUIRED, NULL                                                                  \
	}

static const struct member run_members[] = {
	STAMPS,
	{ "commit", K_COMMIT, REQUIRED | NULLABLE, NULL }, /* null: the revision could not be read */
	{ "tree", K_TEXT, 0, NULL },
	{ "commits", K_ANY, 0, NULL }, /* {"tested","head","base","target"} */
	{ "branch", K_TEXT, 0, NULL },
	{ "ref", K_TEXT, 0, NULL },
	{ "trust", K_TRUST, REQUIRED, NULL },
	{ "event", K_TEXT, 0, NULL },
	{ "dirty", K_FLAG, 0, NULL },
	{ "profile", K_TEXT, 0, NULL },
	{ "verdict", K_VERDICT, REQUIRED, NULL },
	{ "exit", K_COUNT, REQUIRED, NULL },
	{ "sentence", K_TEXT, 0, NULL },
	{ "seconds", K_NUMBER, 0, NULL },
	{ "tool", K_GROUP, 0, tool_members },
	{ "baseline", K_GROUP, 0, baseline_members },
	{ "steps", K_LIST, 0, step_members },
	{ "stages", K_LIST, 0, stage_members },
	{ "metrics", K_LIST, 0, metric_members },
	{ "samples", K_LIST, 0, sample_members },
	{ "artifacts", K_LIST, 0, artifact_members },
	{ "datasets", K_LIST, 0, dataset_members },
	{ "edges", K_LIST, 0, edge_members },
	{ "version", K_GROUP, 0, version_members },
	{ "proposal", K_GROUP, 0, proposal_members },
	{ "gate", K_ANY, 0, NULL },
	{ 0 },
};
static const struct member promotion_members[] = {
	STAMPS,
	{ "model", K_NAME, REQUIRED, NULL },
	{ "alias", K_ALIAS, REQUIRED, NULL },
	{ "version", K_VERSION, REQUIRED, NULL },
	{ "object", K_OBJECT, 0, NULL }, /* the version's; records of before have none */
	{ "from", K_VERSION, 0, NULL },
	{ "actor", K_TEXT, REQUIRED, NULL },
	{ "reason", K_TEXT, REQUIRED, NULL },
	{ "run", K_OBJECT, 0, NULL },
	{ "commit", K_COMMIT, 0, NULL },
	{ "forced", K_FLAG, REQUIRED, NULL },
	{ "rollback", K_FLAG, REQUIRED, NULL },
	{ "verdict", K_VERDICT, 0, NULL },
	{ "policy", K_TEXT, 0, NULL },
	{ "previous", K_OBJECT, 0, NULL },
	{ 0 },
};
static const struct member drop_members[] = {
	STAMPS,
	{ "run", K_OBJECT, REQUIRED, NULL },
	{ "reason", K_TEXT, REQUIRED, NULL },
	{ 0 },
};

static const struct member collected_members[] = {
	{ "object", K_OBJECT, REQUIRED, NULL },
	{ "size", K_COUNT, REQUIRED, NULL },
	{ 0 },
};
static const struct member collection_members[] = {
	STAMPS,
	{ "actor", K_TEXT, REQUIRED, NULL },
	{ "objects", K_LIST, REQUIRED, collected_members },
	{ 0 },
};

static const struct format {
	const char *name;
	const struct member *members;
} formats[] = {
	[RECORD_RUN] = { "assay-run/1", run_members },
	[RECORD_PROMOTION] = { "assay-promotion/1", promotion_members },
	[RECORD_DROP] = { "assay-proposal-drop/1", drop_members },
	[RECORD_COLLECTION] = { "assay-collection/1", collection_members },
};

/* ---- names ----------------------------------------------------------------------------------- */

const char *trust_name(enum trust t)
{
	return trusts[t];
}

int trust_parse(enum trust *out, const char *name)
{
	for (int i = 0; trusts[i]; i++) {
		if (!strcmp(trusts[i], name)) {
			*out = (enum trust)i;
			return 0;
		}
	}
	return err_set(ERR_INPUT, "'%.40s' is no trust class (fork, branch, protected)", name);
}

int record_version_number(const char *text)
{
	char *end;
	long n;

	if (text[0] != 'v' || text[1] < '1' || text[1] > '9')
		return 0;
	n = strtol(text + 1, &end, 10);
	return *end || n > INT32_MAX ? 0 : (int)n;
}

/* What can stand on either side of the '@' in MODEL@ALIAS, and in file names, references and reports. */
static int name_check(const char *what, const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (n && n <= NAME_MAX_BYTES && !name[n] && name[0] != '.' && name[0] != '-')
		return 0;
	return err_set(ERR_INPUT,
		       "'%.140s' is no name for %s: up to %d letters, digits, '.', '_' and '-', not beginning with '.' "
		       "or '-'",
		       name, what, NAME_MAX_BYTES);
}

int record_check_model(const char *name)
{
	return name_check("a model", name);
}

int record_check_alias(const char *name)
{
	const char *digits = name + (name[0] == 'v');
	int rc = name_check("an alias", name);

	if (!rc && *digits && !digits[strspn(digits, "0123456789")])
		rc = err_set(ERR_INPUT, "'%s' is no name for an alias: it would read as a version's number", name);
	return rc;
}

/* What records say already, and always could: any text of some length without '@', that reads as nothing else. A rule for new names
 * must not unmake what stands under an old one. */
static bool stored_name(const char *name, bool alias)
{
	size_t n = 0;

	while (name[n] && name[n] != '@' && (unsigned char)name[n] >= ' ' && name[n] != 0x7f)
		n++;
	return n && n <= STORED_NAME_MAX && !name[n] && name[0] != ' ' && name[n - 1] != ' ' &&
	       utf8_valid(name, n, NULL) && !(alias && (record_version_number(name) || name[0] == '{'));
}

/* ---- types ----------------------------------------------------------------------------------- */

static const char *const kind_words[] = {
	[K_TEXT] = "text",
	[K_NAME] = "the name of a model",
	[K_ALIAS] = "the name of an alias",
	[K_OBJECT] = "an object name (64 hexadecimal digits)",
	[K_COMMIT] = "a commit (40 or 64 hexadecimal digits)",
	[K_COUNT] = "a whole number, not negative",
	[K_PLACE] = "a whole number from 1 to 2^53 - 1",
	[K_VERSION] = "a whole number from 1 to 1000000000",
	[K_NUMBER] = "a number",
	[K_FLAG] = "true or false",
	[K_TRUST] = "fork, branch or protected",
	[K_VERDICT] = "PASS, FAIL, INCONCLUSIVE, NO_BASELINE, INCOMPARABLE or ERROR",
	[K_ANY] = "anything",
	[K_GROUP] = "an object",
	[K_LIST] = "a list of objects",
};

static bool one_of(const char *text, const char *const *words)
{
	for (; text && *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static bool is_commit(const char *text)
{
	size_t n = text ? strspn(text, "0123456789abcdef") : 0;

	return (n == 40 || n == 64) && !text[n];
}

static bool kind_fits(enum kind kind, const json_t *v)
{
	const char *text = json_string_value(v);

	switch (kind) {
	case K_TEXT:
		return text != NULL;
	case K_NAME:
		return text && stored_name(text, false);
	case K_ALIAS:
		return text && stored_name(text, true);
	case K_OBJECT:
		return store_name_ok(text);
	case K_COMMIT:
		return is_commit(text);
	case K_COUNT:
		return json_is_integer(v) && json_integer_value(v) >= 0;
	case K_PLACE:
		return json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= RECORD_SEQ_MAX;
	case K_VERSION:
		return json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= RECORD_VERSION_MAX;
	case K_NUMBER:
		return json_is_number(v) && isfinite(json_number_value(v));
	case K_FLAG:
		return json_is_boolean(v);
	case K_TRUST:
		return one_of(text, trusts);
	case K_VERDICT:
		return one_of(text, verdicts);
	case K_ANY:
		return true;
	case K_GROUP:
		return json_is_object(v);
	case K_LIST:
		return json_is_array(v);
	}
	return false;
}

static int members_check(const json_t *obj, const struct member *members);

static int list_check(const json_t *list, const struct member *m)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		int rc = json_is_object(item) ? members_check(item, m->sub) : err_set(ERR_INPUT, "must be an object");

		if (rc)
			return err_context(rc, "%s[%zu]", m->name, i);
	}
	return 0;
}

static int member_check(const json_t *obj, const struct member *m)
{
	const json_t *v = json_object_get(obj, m->name);
	int rc = 0;

	if (!v || json_is_null(v)) {
		if (!(m->flags & REQUIRED) || (v && m->flags & NULLABLE))
			return 0;
		return err_set(ERR_INPUT, "%s: %s", m->name, v ? "must not be null" : "is missing");
	}
	if (json_is_string(v) && m->kind != K_ANY && strlen(json_string_value(v)) != json_string_length(v))
		return err_set(ERR_INPUT, "%s: holds a zero byte: the record is damaged or forged", m->name);
	if (!kind_fits(m->kind, v))
		return err_set(ERR_INPUT, "%s: must be %s", m->name, kind_words[m->kind]);
	if (m->kind == K_GROUP) {
		rc = members_check(v, m->sub);
		return rc ? err_context(rc, "%s", m->name) : 0;
	}
	return m->kind == K_LIST ? list_check(v, m) : 0;
}

static int members_check(const json_t *obj, const struct member *members)
{
	int rc = 0;

	for (; !rc && members->name; members++)
		rc = member_check(obj, members);
	return rc;
}

/* A proposal is about the version in the same record. */
static int proposal_check(const json_t *record)
{
	const json_t *proposal = json_object_get(record, "proposal");
	const json_t *version = json_object_get(record, "version");

	if (!json_is_object(proposal))
		return 0;
	if (!json_is_object(version))
		return err_set(ERR_INPUT, "proposal: the run has no version to propose");
	if (strcmp(json_get_text(proposal, "model", ""), json_get_text(version, "model", "")))
		return err_set(ERR_INPUT, "proposal.model: is not the model of the run's version");
	return 0;
}

enum record_kind record_kind(const json_t *record)
{
	const char *name = json_get_text(record, "format", "");

	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (!strcmp(formats[i].name, name))
			return (enum record_kind)i;
	return RECORD_UNKNOWN;
}

int record_check(const json_t *record)
{
	enum record_kind kind = record_kind(record);
	int rc;

	if (!json_is_object(record))
		return err_set(ERR_INPUT, "record: must be an object");
	if (kind == RECORD_UNKNOWN)
		return err_set(ERR_INPUT, "record: format: '%.40s' is not known to this version of assay",
			       json_get_text(record, "format", ""));
	rc = members_check(record, formats[kind].members);
	if (!rc && kind == RECORD_RUN)
		rc = proposal_check(record);
	return rc ? err_context(rc, "record") : 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

void record_bytes(struct buf *out, char id[DIGEST_HEX], const json_t *record)
{
	struct digest d;

	json_add(out, record);
	d = digest_bytes(buf_str(out), out->len);
	digest_hex(id, &d);
}

int record_read(struct store *s, const char *id, json_t **out)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	int rc = store_read(s, VAULT_RECORDS, id, &text, RECORD_MAX);
	char *name;

	if (!rc) {
		name = mem_printf("record %.12s", id);
		rc = json_parse(out, buf_str(&text), text.len, name);
		free(name);
	}
	buf_release(&text);
	return rc;
}

/* Behind a value at `at`: of text, an object or an array, its end; of anything else the next ',' or '}'. */
static size_t skip_value(const char *s, size_t len, size_t at)
{
	int depth = 0;

	for (; at < len; at++) {
		if (s[at] == '"') {
			for (at++; at < len && s[at] != '"'; at++)
				at += s[at] == '\\';
		} else if (s[at] == '{' || s[at] == '[') {
			depth++;
		} else if (depth && (s[at] == '}' || s[at] == ']')) {
			depth--;
		} else if (!depth && (s[at] == ',' || s[at] == '}')) {
			break;
		}
	}
	return at;
}

int64_t record_seq(const char *text, size_t len)
{
	static const char key[] = "\"seq\":";
	size_t n = sizeof(key) - 1;

	for (size_t at = 1; at < len && text[0] == '{'; at = skip_value(text, len, at) + 1) {
		int64_t seq = 0;

		if (len - at <= n || memcmp(text + at, key, n))
			continue;
		for (at += n; at < len && text[at] >= '0' && text[at] <= '9' && seq < INT64_MAX / 20; at++)
			seq = 10 * seq + (text[at] - '0');
		return at < len && (text[at] == ',' || text[at] == '}') ? seq : 0;
	}
	return 0;
}
