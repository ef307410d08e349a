/* cmd.c: the table of commands, and what they share: the place they work in, and how rows are printed. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/print.h"
#include "runner/team.h"

#include <unistd.h>

const struct command commands[] = {
	{ "init", "write assay.yaml, a suite and the CI file of the forge it finds", cmd_init, false },
	{ "run", "the whole pipeline on a commit: train, evaluate, gate, record, report", cmd_run, true },
	{ "calibrate", "run one commit several times: what differs is noise", cmd_calibrate, true },
	{ "plan", "what would run, what is known already and why; runs nothing", cmd_plan, false },
	{ "status", "where this branch stands: last run, verdict, proposals, pushes nobody judged", cmd_status, false },
	{ "train", "fine-tune a model outside a run", cmd_train, true },
	{ "eval", "a suite on a model, outside a run", cmd_eval, true },
	{ "score", "log-likelihoods of requests on standard input", cmd_score, true },
	{ "generate", "continuations of prompts on standard input", cmd_generate, true },
	{ "tokenize", "text to ids and back", cmd_tokenize, false },
	{ "tokenizer", "train a byte-level BPE tokenizer", cmd_tokenizer, false },
	{ "diff", "two runs side by side", cmd_diff, false },
	{ "gate", "judge two stored runs, or two files of scores; touches no model", cmd_gate, false },
	{ "promote", "move an alias to a version", cmd_promote, false },
	{ "rollback", "move an alias back to what it was before", cmd_rollback, false },
	{ "history", "who promoted what, when and why", cmd_history, false },
	{ "models", "models, their versions and aliases", cmd_models, false },
	{ "runs", "what ran", cmd_runs, false },
	{ "show", "a run's report again", cmd_show, false },
	{ "samples", "a run's samples, one by one", cmd_samples, false },
	{ "reproduce", "make a stored run again and compare the bits", cmd_reproduce, true },
	{ "push", "give a remote the records and objects it has not got", cmd_push, false },
	{ "pull", "take over the records and objects of a remote", cmd_pull, false },
	{ "mirror", "tell an MLflow-compatible server of versions and aliases", cmd_mirror, false },
	{ "registry", "rebuild the database from the records, or check it", cmd_registry, false },
	{ "artifact", "take a stored model out, or check every object", cmd_artifact, false },
	{ "data", "data sets: versions, who used them, what they became", cmd_data, false },
	{ "hook", "install, uninstall or run the pre-push hook", cmd_hook, true },
	{ "post", "put a finished report on its pull or merge request", cmd_post, false },
	{ "doctor", "what this machine can do, and exactly what is missing", cmd_doctor, false },
	{ "version", "the version of this binary and its numerics", cmd_version, false },
	{ "completion", "completion for bash, zsh or fish", cmd_completion, false },
	{ "help", "this list", cmd_help, false },
	{ NULL, NULL, NULL, false },
};

int place_open(struct place *p)
{
	const char *env = getenv("ASSAY_HOME");
	int rc;

	memset(p, 0, sizeof(*p));
	rc = repo_open(&p->repo, ".");
	if (rc == ERR_INPUT && env && *env) { /* no repository here; one that cannot be opened is told */
		err_clear();
		rc = 0;
	}
	if (rc == 0)
		rc = home_open(&p->home, p->repo);
	if (rc == 0)
		team_on_demand(&p->home, NULL);
	if (rc == 0 && p->repo)
		rc = home_settle(&p->home, p->repo);
	if (rc)
		place_close(p);
	return rc;
}

void place_close(struct place *p)
{
	home_close(&p->home);
	repo_close(p->repo);
	p->repo = NULL;
}

int place_run(struct place *p, const char *name, char id[DIGEST_HEX])
{
	struct commit c;
	int rc = registry_find_run(p->home.registry, name, id);

	if (rc == ERR_NOTFOUND && p->repo && repo_commit(p->repo, name, &c) == 0) {
		rc = registry_find_run(p->home.registry, c.oid, id);
		commit_release(&c);
	}
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "no run is known as %s", name);
		err_hint(rc, "assay runs lists them; a commit, a branch, MODEL@v7 or MODEL@ALIAS will do too");
	}
	return rc;
}

int print_json(const json_t *value)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	json_add_pretty(&b, value);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return 0;
}

/* ---- tables ----------------------------------------------------------------------------------------------------------------- */

/* A cell as text: ids are cut to 12 digits, arrays joined. */
static void cell(struct buf *out, const json_t *v)
{
	json_t *item;
	size_t i;

	buf_clear(out);
	if (json_is_string(v)) {
		const char *s = json_string_value(v);
		size_t n = strlen(s);

		if (n >= 40 && strspn(s, "0123456789abcdef") == n)
			n = 12;
		buf_add(out, s, n);
	} else if (json_is_integer(v)) {
		buf_addf(out, "%lld", (long long)json_integer_value(v));
	} else if (json_is_real(v)) {
		buf_addf(out, "%.4g", json_real_value(v));
	} else if (json_is_boolean(v)) {
		buf_adds(out, json_is_true(v) ? "yes" : "");
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, item)
			buf_addf(out, "%s%s", i ? ", " : "", json_is_string(item) ? json_string_value(item) : "?");
	}
}

struct column {
	char key[32];
	const char *title;
	bool right;
	size_t width, room; /* room: of the last column, 0: no limit */
};

/* The first n code points of a text, in bytes. */
static size_t bytes_of(const char *text, size_t n)
{
	size_t at = 0, used;

	for (; n && text[at]; n--, at += used)
		utf8_next(text + at, strlen(text + at), &used);
	return at;
}

static void put_cell(const struct column *c, const char *text, bool last)
{
	size_t n = utf8_count(text, strlen(text)), pad = c->width > n ? c->width - n : 0;

	if (last && c->room && n > c->room) { /* the last column gives way to the terminal's width */
		log_safe(stdout, text, bytes_of(text, c->room - 1));
		fputs("…\n", stdout);
		return;
	}

	if (c->right)
		printf("%*s", (int)pad, "");
	log_safe(stdout, text, strlen(text));
	if (!c->right && !last)
		printf("%*s", (int)pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

/* All cells, one behind the other, each with its NUL; widths grow on the way. */
static void fill_table(struct buf *cells, struct column *cols, size_t n, const json_t *rows)
{
	struct buf b = BUF_INIT(1 << 20);
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) for (size_t c = 0; c < n; c++)
	{
		size_t width;

		cell(&b, json_object_get(row, cols[c].key));
		for (size_t k = 0; k < b.len; k++) /* a text with a line feed must not look like another row */
			if (strchr("\n\r\t\v\f", b.data[k]))
				b.data[k] = ' ';
		width = utf8_count(buf_str(&b), b.len);
		cols[c].width = width > cols[c].width ? width : cols[c].width;
		buf_add(cells, buf_str(&b), strlen(buf_str(&b)) + 1);
	}
	buf_release(&b);
}

void print_table(const json_t *rows, const char *const *columns, size_t n)
{
	struct column *cols = mem_array(n, sizeof(*cols));
	struct buf cells = BUF_INIT(BUF_NOLIMIT);
	const char *text;

	for (size_t c = 0; c < n; c++) {
		const char *colon = strchr(columns[c], ':');

		snprintf(cols[c].key, sizeof(cols[c].key), "%.*s", (int)(colon - columns[c]), columns[c]);
		cols[c].right = colon[1] == '>';
		cols[c].title = colon + 1 + cols[c].right;
		cols[c].width = utf8_count(cols[c].title, strlen(cols[c].title));
	}
	fill_table(&cells, cols, n, rows);
	if (isatty(STDOUT_FILENO) || getenv("COLUMNS")) {
		size_t left = 0;

		for (size_t c = 0; c + 1 < n; c++)
			left += cols[c].width + 2;
		cols[n - 1].room = (size_t)terminal_width() > left + 12 ? (size_t)terminal_width() - left : 12;
	}
	for (size_t c = 0; c < n; c++)
		put_cell(&cols[c], cols[c].title, c + 1 == n);
	text = buf_str(&cells);
	for (size_t i = 0; i < json_array_size(rows); i++)
		for (size_t c = 0; c < n; c++, text += strlen(text) + 1)
			put_cell(&cols[c], text, c + 1 == n);
	buf_release(&cells);
	free(cols);
}
