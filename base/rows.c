/* rows.c: picks the reader of a data file by its first bytes, by its name where these do not tell; reads JSON itself.
 *
 * What a row is:
 *   JSONL     a line that is not blank. A file whose first character is '[' is a JSON array: each element. With a field
 *             the file is one object, and the rows are the array in that member.
 *   CSV       csv.c
 *   Parquet, Arrow    one object, the columns as members in their order; scalar.c has the values
 *
 * A packed file is unpacked first, then looked at again, so .tar.gz, .csv.gz in a zip and the like all work (three layers
 * at most).
 *
 * What a file may cost is bounded, whatever it claims: bytes given out (a page of some hundred bytes can stand for
 * millions of rows), bytes unpacked on the way, memory held at a time, and what the rows take of whoever keeps them: a row of
 * three bytes is some hundred as a value. Whoever keeps them says how much there is; and a file of some thousand bytes does
 * not get all of a large machine: rows that are kept take at most SWELL times what is stored, or SWELL_FREE. (Text packs ten
 * times, and is ten times as large as values.) */
#include "base/base.h"

#include "base/rows_int.h"

#define OUT_MAX ((size_t)4 << 30)
#define WORK_MAX ((size_t)16 << 30)
#define HELD_MAX ((size_t)1 << 30)
#define UNPACKED_MAX ((size_t)1 << 30)
#define SWELL_FREE ((uint64_t)256 << 20)
enum { SWELL = 2000 };
enum { LINE_MAX_MIB = 32, LAYERS = 3, KEPT_BYTES = 96 }; /* beside the value: its place, its name */
#define LINE_MAX ((size_t)LINE_MAX_MIB << 20)

/* ---- costs ------------------------------------------------------------------------------------------------------- */

static int too_long(const char *name, size_t line)
{
	int rc = err_set(ERR_INPUT, "%s:%zu: a row of more than %d MiB", name, line, LINE_MAX_MIB);

	return err_hint(rc, "a row is one JSON object a line, or one of a table; is it a data file?");
}

/* What the rows may take: of what there is, and by the size of the file. */
static int memory_check(const struct rows *r, size_t line, uint64_t bytes)
{
	uint64_t swell = (uint64_t)mem_mul(r->stored, SWELL);

	if (!r->memory)
		return 0;
	if (bytes > SWELL_FREE && bytes > swell) {
		err_set(ERR_INPUT, "%s:%zu: the rows up to here take %llu MiB of memory, and the file has %zu bytes",
			r->name, line, (unsigned long long)(bytes >> 20), r->stored);
		return err_hint(ERR_INPUT, "is it damaged? If all these rows are meant, commit them unpacked");
	}
	if (bytes <= r->memory)
		return 0;
	err_set(ERR_INPUT, "%s:%zu: the rows up to here take %llu MiB of memory, and there is less for them", r->name,
		line, (unsigned long long)(bytes >> 20));
	return err_hint(ERR_INPUT, "split the file, use a machine with more memory, or make it anew if it is damaged");
}

static int cost_add(const struct rows *r, size_t *sum, size_t n, size_t max, const char *what)
{
	if (n > max - *sum) {
		int rc = err_set(ERR_INPUT, "%s: %s more than %zu GiB", r->name, what, max >> 30);

		return err_hint(rc, "split the file, or make it anew if it is damaged");
	}
	*sum += n;
	return 0;
}

int rows_give(struct rows *r, size_t n)
{
	int rc = cost_add(r, &r->out, n, OUT_MAX, "its rows are");

	if (rc || r->out - r->row <= LINE_MAX)
		return rc;
	return too_long(r->name, r->line);
}

int rows_begin(struct rows *r, size_t line, size_t cost)
{
	r->row = r->out;
	r->line = line;
	return rows_give(r, cost);
}

int rows_pass(struct rows *r, json_t *value)
{
	int rc;

	r->taken += KEPT_BYTES + json_memory(value);
	rc = memory_check(r, r->line, r->taken + r->held);
	return rc ? rc : r->each(value, r->line, r->arg);
}

int rows_short(const struct rows *r)
{
	err_set(ERR_UNAVAILABLE, "%s:%zu: out of memory (the rows up to here take %llu MiB)", r->name, r->line,
		(unsigned long long)(r->taken + r->held) >> 20);
	return err_hint(ERR_UNAVAILABLE, "give it more memory, or split the file");
}

int rows_made(const struct rows *r, const json_t *v)
{
	return v ? 0 : rows_short(r);
}

int rows_set(const struct rows *r, json_t *o, const char *key, json_t *v)
{
	return json_object_set_new_nocheck(o, key, v ? v : json_null()) ? rows_short(r) : 0;
}

int rows_append(const struct rows *r, json_t *a, json_t *v)
{
	return json_array_append_new(a, v ? v : json_null()) ? rows_short(r) : 0;
}

int rows_work(struct rows *r, size_t n)
{
	return cost_add(r, &r->work, n, WORK_MAX, "it unpacks to");
}

int rows_hold(struct rows *r, size_t n)
{
	return cost_add(r, &r->held, n, HELD_MAX, "a part of it needs");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static int lines_check(const char *text, size_t len, const char *name)
{
	size_t line = 0;

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;

		line++;
		if (n > LINE_MAX)
			return too_long(name, line);
		at += n + 1;
	}
	return 0;
}

static void skip_space(const char *text, size_t len, size_t *at, size_t *line)
{
	while (*at < len && (text[*at] == ' ' || text[*at] == '\t' || text[*at] == '\r' || text[*at] == '\n'))
		*line += text[(*at)++] == '\n';
}

/* Where the value that begins at text ends, by brackets and strings alone; its syntax is judged by the parser. */
static size_t value_end(const char *text, size_t len, size_t at)
{
	size_t depth = 0, from = at;
	bool quoted = false;

	for (; at < len; at++) {
		char c = text[at];

		if (quoted) {
			if (c == '\\')
				at++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (c == ']' || c == '}') {
			if (!depth)
				return at;
			if (!--depth)
				return at + 1;
		} else if (c == ',' && !depth) {
			return at;
		}
		if (at - from > LINE_MAX)
			return at;
	}
	return len;
}

/* The elements of an array one by one, so that a long array needs no more memory than its longest element. */
static int array_rows(struct rows *r, const char *text, size_t len, size_t at)
{
	size_t line = 1;
	int rc = 0;

	skip_space(text, len, &at, &line);
	at++; /* the bracket */
	skip_space(text, len, &at, &line);
	if (at < len && text[at] == ']') {
		at++;
	} else {
		for (;;) {
			size_t end = value_end(text, len, at), from = line;
			json_t *value;

			if (end - at > LINE_MAX)
				return too_long(r->name, line);
			rc = json_parse_line(&value, text + at, end - at, r->name, line);
			for (; at < end; at++)
				line += text[at] == '\n';
			r->line = from;
			rc = rc ? rc : rows_pass(r, value);
			json_decref(value);
			if (rc)
				return rc;
			skip_space(text, len, &at, &line);
			if (at >= len || (text[at] != ',' && text[at] != ']'))
				return err_set(ERR_INPUT, "%s:%zu: not JSON: ',' or ']' expected in an array", r->name,
					       line);
			if (text[at++] == ']')
				break;
			skip_space(text, len, &at, &line);
		}
	}
	skip_space(text, len, &at, &line);
	return at == len ? 0 : err_set(ERR_INPUT, "%s:%zu: not JSON: text behind the array", r->name, line);
}

/* What a document may take as a value, by its brackets, colons and commas: it is read whole, so that must be known before. */
static uint64_t document_memory(const char *text, size_t len)
{
	uint64_t sum = len;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			quoted = !quoted;
		else if (text[i] == '\\')
			i++;
		else if (!quoted)
			sum += text[i] == '{' ? 256 : text[i] == '[' || text[i] == ':' ? 128 : text[i] == ',' ? 64 : 0;
	}
	return sum;
}

static int field_rows(struct rows *r, const char *text, size_t len, const char *field)
{
	json_t *root, *rows, *value;
	size_t i;
	int rc = memory_check(r, 1, document_memory(text, len));

	if (rc)
		return rc;
	rc = json_parse(&root, text, len, r->name);
	if (rc)
		return rc;
	rows = json_object_get(root, field);
	if (!json_is_array(rows))
		rc = err_set(ERR_INPUT, "%s: there is no array in the field \"%s\"", r->name, field);
	json_array_foreach(rows, i, value)
	{
		r->line = i + 1;
		rc = rows_pass(r, value);
		if (rc)
			break;
	}
	json_decref(root);
	return rc;
}

static int pass_line(json_t *value, size_t line, void *arg)
{
	struct rows *r = arg;

	r->line = line;
	return rows_pass(r, value);
}

static int json_rows(struct rows *r, const char *text, size_t len, const char *field)
{
	size_t at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0, line = 1, first;
	int rc;

	if (field)
		return field_rows(r, text, len, field);
	first = at;
	skip_space(text, len, &first, &line);
	if (first < len && text[first] == '[')
		return array_rows(r, text, len, at);
	rc = lines_check(text, len, r->name);
	return rc ? rc : json_lines(text, len, r->name, pass_line, r);
}

/* ---- the choice --------------------------------------------------------------------------------------------------- */

static bool begins(const uint8_t *d, size_t len, const char *magic, size_t n)
{
	return len >= n && memcmp(d, magic, n) == 0;
}

static bool is_packed(const uint8_t *d, size_t len)
{
	return begins(d, len, "\x1f\x8b", 2) || begins(d, len, "\x28\xb5\x2f\xfd", 4) ||
	       begins(d, len,
		      "\xfd"
		      "7zXZ\0",
		      6) ||
	       begins(d, len, "BZh", 3) || begins(d, len, "PK\3\4", 4) || begins(d, len, "PK\5\6", 4) ||
	       (len >= 512 && memcmp(d + 257, "ustar", 5) == 0);
}

static bool is_parquet(const uint8_t *d, size_t len)
{
	return begins(d, len, "PAR1", 4);
}

static bool is_arrow(const uint8_t *d, size_t len)
{
	return begins(d, len, "ARROW1", 6) || begins(d, len, "\xff\xff\xff\xff", 4);
}

/* The suffix that tells what a text is, those of compression cut off; "" for none of ours. */
static const char *name_suffix(const char *name)
{
	static const char *const packed[] = { "", ".gz", ".zst", ".xz", ".bz2" };
	static const char *const texts[] = { ".jsonl", ".ndjson", ".json", ".csv", ".tsv" };
	char suffix[16];

	for (size_t i = 0; i < ARRAY_LEN(packed); i++)
		for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
			snprintf(suffix, sizeof(suffix), "%s%s", texts[k], packed[i]);
			if (path_has_suffix(name, suffix))
				return texts[k];
		}
	return "";
}

bool rows_known(const void *data, size_t len, const char *name)
{
	const char *suffix = name_suffix(name);

	return (*suffix && strcmp(suffix, ".json") != 0) || is_packed(data, len) || is_parquet(data, len) ||
	       is_arrow(data, len);
}

const char *rows_member(const char *path)
{
	static const char *const archives[] = { ".zip/",     ".tar/",    ".tgz/",    ".tar.gz/",
						".tar.zst/", ".tar.xz/", ".tar.bz2/" };
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(archives); i++) {
		const char *at = strstr(path, archives[i]);

		at = at ? at + strlen(archives[i]) - 1 : NULL;
		if (at && at[1] && (!found || at < found))
			found = at;
	}
	return found;
}

/* What may be unpacked: of a data set that is kept, no more than there is memory for. */
static size_t unpacked_max(const struct rows *r)
{
	uint64_t left = r->memory > r->taken ? r->memory - r->taken : 0;

	return r->memory && left < UNPACKED_MAX ? (size_t)left : UNPACKED_MAX;
}

/* called: the name by which the format is known; r->name is the one for errors. */
static int read_layer(struct rows *r, const void *data, size_t len, const char *called, const struct rows_options *o,
		      int layer)
{
	struct buf text = BUF_INIT(0);
	struct rows_options inside = *o;
	const char *suffix = name_suffix(called);
	char *inner = NULL;
	int rc;

	if (is_packed(data, len) || o->member) {
		if (layer == LAYERS)
			return err_set(ERR_INPUT, "%s: packed more than %d times", r->name, LAYERS);
		rc = unpack(&text, &inner, data, len, r->name, o->member, unpacked_max(r));
		inside.member = NULL;
		r->taken += text.len;
		rc = rc ? rc : read_layer(r, buf_str(&text), text.len, inner ? inner : called, &inside, layer + 1);
		free(inner);
		buf_release(&text);
		return rc;
	}
	if (is_parquet(data, len))
		return parquet_rows(r, data, len);
	if (is_arrow(data, len))
		return arrow_rows(r, data, len);
	if (strcmp(suffix, ".tsv") == 0)
		return csv_rows(r, data, len, o->separator ? o->separator : '\t');
	if (strcmp(suffix, ".csv") == 0 || (!*suffix && o->format == ROWS_CSV))
		return csv_rows(r, data, len, o->separator ? o->separator : ',');
	return json_rows(r, data, len, o->field);
}

int rows_each(const void *data, size_t len, const char *name, const struct rows_options *o,
	      int (*each)(json_t *value, size_t line, void *arg), void *arg)
{
	static const struct rows_options none;
	struct rows_options how = o ? *o : none;
	struct rows r = { .name = name, .each = each, .arg = arg, .memory = how.memory, .stored = len };
	const char *member = how.member || !is_packed(data, len) ? NULL : rows_member(name);

	if (member)
		how.member = member + 1;
	return read_layer(&r, data, len, name, &how, 0);
}
