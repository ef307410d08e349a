/* survey_data.c: which files of rows can be trained on or asked, by their names and by the rows that stand in them.
 *
 * The name says what a file is for (train, valid, test and their kin), the members of its first rows what it holds. Rows of
 * other members than the ones we read are told, with the line that turns them into such: most data sets differ in names
 * only. A file above 64 MB is judged by its first megabyte, if its lines are rows. */
#include "base/base.h"
#include "base/rows.h"
#include "runner/dvc.h"
#include "runner/survey.h"

#include <ctype.h>
#include <strings.h>

enum { LOOKED_AT = 2000 };
#define WHOLE_MAX ((size_t)64 << 20)
#define BEGIN_MAX ((size_t)1 << 20)

const char *rows_kind_name(enum rows_kind k)
{
	static const char *const names[] = { "other rows", "text", "prompt and completion", "messages",
					     "prompt, chosen and rejected" };

	return names[k];
}

static bool is_rows_name(const char *path)
{
	static const char *const ends[] = { ".jsonl", ".ndjson",   ".csv",       ".tsv",   ".parquet",
					    ".arrow", ".jsonl.gz", ".jsonl.zst", ".csv.gz" };
	size_t n = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (n > strlen(ends[i]) && strcmp(path + n - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

/* Is the word in the path, with no letter beside it? */
static bool has_word(const char *path, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = path; *at; at++)
		if (strncasecmp(at, word, n) == 0 && (at == path || !isalpha((unsigned char)at[-1])) &&
		    !isalpha((unsigned char)at[n]))
			return true;
	return false;
}

static enum data_role role_of(const char *path)
{
	static const struct {
		const char *word;
		enum data_role role;
	} words[] = { { "train", ROLE_TRAIN },      { "training", ROLE_TRAIN },
		      { "valid", ROLE_VALIDATION }, { "validation", ROLE_VALIDATION },
		      { "val", ROLE_VALIDATION },   { "dev", ROLE_VALIDATION },
		      { "test", ROLE_TEST },        { "tests", ROLE_TEST },
		      { "eval", ROLE_TEST },        { "evals", ROLE_TEST },
		      { "heldout", ROLE_TEST },     { "golden", ROLE_TEST },
		      { "benchmark", ROLE_TEST } };
	const char *base = path_base(path);

	for (size_t i = 0; i < ARRAY_LEN(words); i++) /* the file's own name has the first word */
		if (has_word(base, words[i].word))
			return words[i].role;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (has_word(path, words[i].word))
			return words[i].role;
	return ROLE_NONE;
}

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

static enum rows_kind kind_of(const json_t *row)
{
	if (json_is_array(json_object_get(row, "messages")))
		return ROWS_CHATS;
	if (text_of(row, "prompt") && text_of(row, "chosen") && text_of(row, "rejected"))
		return ROWS_PREFERENCES;
	if (text_of(row, "prompt") && text_of(row, "completion"))
		return ROWS_PAIRS;
	return text_of(row, "text") ? ROWS_TEXT : ROWS_OTHER;
}

struct look {
	struct survey_data d;
	char *keys; /* of the first row, where it is none of ours */
	const char *question, *answer;
	bool mixed;
};

/* Other names for a prompt and its completion. */
static void name_pair(struct look *l, const json_t *row)
{
	static const char *const pairs[][2] = { { "instruction", "output" }, { "question", "answer" },
						{ "input", "output" },       { "inputs", "targets" },
						{ "prompt", "response" },    { "source", "target" },
						{ "query", "response" },     { "text", "label" } };

	for (size_t i = 0; i < ARRAY_LEN(pairs) && !l->question; i++)
		if (text_of(row, pairs[i][0]) && text_of(row, pairs[i][1])) {
			l->question = pairs[i][0];
			l->answer = pairs[i][1];
		}
}

static int look_at(json_t *value, size_t line, void *arg)
{
	struct look *l = arg;
	enum rows_kind kind = kind_of(value);
	const char *answer = text_of(value, "completion"), *key;
	json_t *member;
	struct buf keys = BUF_INIT(400);

	(void)line;
	if (l->d.rows == 0) {
		l->d.kind = kind;
		if (kind == ROWS_OTHER) {
			name_pair(l, value);
			json_object_foreach(value, key, member) buf_addf(&keys, "%s%s", keys.len ? ", " : "", key);
			l->keys = buf_take(&keys);
		}
	}
	l->mixed = l->mixed || kind != l->d.kind;
	if (answer && strlen(answer) > l->d.longest)
		l->d.longest = strlen(answer);
	l->d.lines = l->d.lines || (answer && strchr(answer, '\n'));
	buf_release(&keys);
	return ++l->d.rows >= LOOKED_AT ? ERR_EXISTS : 0; /* enough */
}

static bool is_by_dvc(const struct survey *s, const char *path)
{
	for (size_t i = 0; i < s->n_names; i++)
		if (s->by_dvc[i] && strcmp(s->names[i], path) == 0)
			return true;
	return false;
}

/* The bytes as a commit would have them: what DVC tracks comes out of its cache, wherever a copy lies in the work tree. */
static int read_begin(struct survey *s, const char *path, struct buf *b)
{
	char *file;
	uint64_t size = 0;
	int rc = is_by_dvc(s, path) ? dvc_read(s->tree, path, b) : 0;

	if (rc || b->len)
		return rc;
	file = path_join(repo_work_dir(s->repo), path);
	if (fs_size(&size, file) == 0 && size > WHOLE_MAX) {
		FILE *f = fopen(file, "re");

		if (f && strstr(path, ".jsonl")) {
			char chunk[65536];
			size_t n;

			while (b->len < BEGIN_MAX && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
				buf_add(b, chunk, n);
			while (b->len && b->data[b->len - 1] != '\n')
				b->len--;
		}
		if (f)
			fclose(f);
		rc = b->len ? 0 : err_set(ERR_INPUT, "more than %zu MB: not looked into", WHOLE_MAX >> 20);
	} else {
		err_clear();
		rc = tree_read(s->tree, path, b);
	}
	free(file);
	return rc;
}

static void tell_other(struct survey *s, const struct look *l)
{
	if (l->question)
		buf_addf(&s->left,
			 "%s: rows of %s; as {\"prompt\",\"completion\"} they train: jq -c '{prompt: .%s, completion: "
			 ".%s}'\n",
			 l->d.path, l->keys, l->question, l->answer);
	else if (l->d.role != ROLE_TEST) /* tasks ask rows of any kind */
		buf_addf(&s->left,
			 "%s: rows of %s; training reads {\"text\"}, {\"prompt\",\"completion\"} or {\"messages\"}\n",
			 l->d.path, l->keys && *l->keys ? l->keys : "no members");
}

void survey_add_data(struct survey *s, const char *path)
{
	struct buf b = BUF_INIT((size_t)1 << 30);
	struct look l = { .d = { .path = mem_str(path), .role = role_of(path) } };
	int rc = is_rows_name(path) && path[0] != '.' ? read_begin(s, path, &b) : ERR_NOTFOUND;

	if (rc == 0) {
		rc = rows_each(buf_str(&b), b.len, path, NULL, look_at, &l);
		rc = rc == ERR_EXISTS ? 0 : rc;
	}
	if (rc && rc != ERR_NOTFOUND) {
		buf_addf(&s->left, "%s: %s%s%s\n", path, err_text(), err_fix() ? "; " : "", err_fix() ? err_fix() : "");
	} else if (rc == 0 && l.d.rows && l.mixed) {
		buf_addf(&s->left, "%s: rows of several kinds\n", path);
	} else if (rc == 0 && l.d.rows && l.d.kind == ROWS_OTHER) {
		tell_other(s, &l);
	} else if (rc == 0 && l.d.rows) {
		MEM_GROW(s->data, s->n_data, s->cap_data);
		s->data[s->n_data++] = l.d;
		buf_addf(&s->found, "data      %s: %s%zu rows of %s\n", path, l.d.rows >= LOOKED_AT ? "more than " : "",
			 l.d.rows, rows_kind_name(l.d.kind));
		l.d.path = NULL;
	}
	err_clear();
	free(l.d.path);
	free(l.keys);
	buf_release(&b);
}
