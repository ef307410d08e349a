/* opt.c: command lines as data.
 *
 * One pass over argv sorts options from operands; a second one over the table reads the environment twins of the options
 * that were absent. Errors name what was typed and the nearest option there is. The table is also the help text: nothing
 * is written twice, so nothing drifts. Values are borrowed from argv or from the environment.
 *
 * A twin that is set but empty counts as absent, since CI systems pass unset variables on as empty ones. A list takes
 * one item from its twin. */
#include "base/base.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define OPTS_MAX 128
#define NEAREST_MAX 64 /* letters compared */

struct parse {
	const struct opt *opts;
	const struct opt_usage *usage;
	bool given[OPTS_MAX];
	char **argv;
	int argc, i;
};

/* ---- the nearest word ---- */

static char fold(char c)
{
	return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits between two words, two swapped neighbours being one edit; case and _ for - are free. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strnlen(a, NEAREST_MAX), m = strnlen(b, NEAREST_MAX);
	size_t row[3][NEAREST_MAX + 1];

	for (size_t j = 0; j <= m; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			bool same = fold(a[i - 1]) == fold(b[j - 1]);

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + !same);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
			    before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
	}
	return row[n % 3][m];
}

const char *opt_nearest(const char *word, const char *const *known, size_t n)
{
	size_t len = strnlen(word, NEAREST_MAX), best = SIZE_MAX;
	const char *nearest = NULL;

	if (!len)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t klen = strnlen(known[i], NEAREST_MAX);
		size_t d = distance(word, known[i]);
		/* a third of the longer word may differ; a word cut short is near from three letters on */
		size_t allowed = (len > klen ? len : klen) / 3;
		bool prefix = len >= 3 && !strncmp(word, known[i], len);

		if (!allowed)
			allowed = 1;
		if ((d <= allowed && d < klen) || prefix) {
			if (d < best) {
				best = d;
				nearest = known[i];
			}
		}
	}
	return nearest;
}

/* ---- help ---- */

static size_t help_width(void)
{
	struct winsize w;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 40)
		return w.ws_col < 100 ? w.ws_col : 100;
	return 80;
}

/* Words of text from column at on, with further lines indented to column indent. */
static void add_wrapped(struct buf *b, const char *text, size_t at, size_t indent, size_t width)
{
	bool first = true;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, " \n"), cells = utf8_count(p, n);

		if (n && !first && at + 1 + cells > width) {
			buf_addf(b, "\n%*s", (int)indent, "");
			at = indent;
			first = true;
		}
		if (n && !first) {
			buf_addc(b, ' ');
			at++;
		}
		buf_add(b, p, n);
		at += cells;
		first = first && !n;
		p += n;
		if (*p == '\n') {
			buf_addf(b, "\n%*s", (int)indent, "");
			at = indent;
			first = true;
		}
		p += *p != '\0';
	}
	buf_addc(b, '\n');
}

#define HELP_COLUMN 28

static void add_option(struct buf *b, const struct opt *o, size_t width)
{
	bool on = o->kind == OPT_KIND_FLAG && *(const bool *)o->target;
	size_t from = b->len, used;

	if (o->letter)
		buf_addf(b, "  -%c, ", o->letter);
	else
		buf_adds(b, "      ");
	buf_addf(b, "--%s%s", on ? "no-" : "", o->name);
	if (o->kind != OPT_KIND_FLAG)
		buf_addf(b, " %s", o->arg ? o->arg : "VALUE");
	used = b->len - from;
	if (used + 2 > HELP_COLUMN) {
		buf_addc(b, '\n');
		used = 0;
	}
	buf_addf(b, "%*s", (int)(HELP_COLUMN - used), "");
	add_wrapped(b, o->help ? o->help : "", HELP_COLUMN, HELP_COLUMN, width);
}

static void add_usage_line(struct buf *b, const struct opt_usage *u)
{
	buf_addf(b, "usage: assay %s [OPTION]…%s%s\n", u->command, u->operands && *u->operands ? " " : "",
		 u->operands ? u->operands : "");
}

enum { TWIN = 80 };

/* "ASSAY_REPORT_DIR" */
static void twin_name(char out[TWIN], const struct opt *o)
{
	snprintf(out, TWIN, "ASSAY_%s", o->name);
	for (char *c = out; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* By the first of the command's own options that may. */
static void add_environment(struct buf *b, const struct opt *opts, size_t width)
{
	const struct opt *o = opts;
	char twin[TWIN], text[256];

	while (o->kind != OPT_KIND_END && (o->flags & (OPT_NO_ENV | OPT_HIDDEN)))
		o++;
	if (o->kind == OPT_KIND_END)
		return;
	twin_name(twin, o);
	snprintf(text, sizeof(text), "An option may also come from the environment: --%s is %s.", o->name, twin);
	add_wrapped(b, text, 0, 0, width);
}

static int print_help(const struct opt *opts, const struct opt_usage *u)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	size_t width = help_width();

	add_usage_line(&b, u);
	if (u->summary)
		buf_addf(&b, "\n%s\n", u->summary);
	if (u->detail)
		buf_addf(&b, "\n%s%s", u->detail, path_has_suffix(u->detail, "\n") ? "" : "\n");
	buf_adds(&b, "\noptions:\n");
	for (const struct opt *o = opts; o->kind != OPT_KIND_END; o++)
		if (!(o->flags & OPT_HIDDEN))
			add_option(&b, o, width);
	buf_adds(&b, "      --help                show this\n\n");
	add_environment(&b, opts, width);
	for (const struct opt *o = opts; o->kind != OPT_KIND_END; o++)
		if ((o->flags & OPT_NO_ENV) && !(o->flags & OPT_HIDDEN))
			buf_addf(&b, "Not so --%s: it must be typed.\n", o->name);
	fwrite(b.data, 1, b.len, stdout);
	fflush(stdout);
	buf_release(&b);
	return OPT_HELPED;
}

/* ---- values ---- */

static int usage_error(const struct parse *p, int rc)
{
	return err_hint(err_context(rc, "assay %s", p->usage->command), "assay %s --help", p->usage->command);
}

static int parse_flag(bool *out, const char *v)
{
	static const char *const yes[] = { "1", "true", "yes", "on" };
	static const char *const no[] = { "0", "false", "no", "off" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcmp(v, yes[i]) || !strcmp(v, no[i])) {
			*out = !strcmp(v, yes[i]);
			return 0;
		}
	}
	return ERR_USAGE;
}

static int parse_int(int64_t *out, const char *v)
{
	char *end;
	long long x;

	errno = 0;
	x = strtoll(v, &end, 10);
	if (!*v || isspace((unsigned char)*v) || *end || errno)
		return ERR_USAGE;
	*out = x;
	return 0;
}

static int parse_real(double *out, const char *v)
{
	char *end;
	double x;

	x = strtod(v, &end);
	if (!*v || isspace((unsigned char)*v) || *end || !isfinite(x))
		return ERR_USAGE;
	*out = x;
	return 0;
}

/* Puts a value where the option wants it; source is how the user named it. */
static int take_value(const struct opt *o, const char *source, const char *v)
{
	struct opt_list *list;

	switch (o->kind) {
	case OPT_KIND_FLAG:
		if (parse_flag(o->target, v))
			return err_set(ERR_USAGE, "%s: \"%s\" is neither true nor false", source, v);
		return 0;
	case OPT_KIND_TEXT:
		*(const char **)o->target = v;
		return 0;
	case OPT_KIND_INT:
		if (parse_int(o->target, v))
			return err_set(ERR_USAGE, "%s: \"%s\" is not a whole number", source, v);
		return 0;
	case OPT_KIND_REAL:
		if (parse_real(o->target, v))
			return err_set(ERR_USAGE, "%s: \"%s\" is not a number", source, v);
		return 0;
	case OPT_KIND_LIST:
		list = o->target;
		MEM_GROW(list->items, list->n, list->cap);
		list->items[list->n++] = v;
		return 0;
	case OPT_KIND_END:
		break;
	}
	return err_set(ERR_BUG, "%s: an option of no kind", source);
}

void opt_list_release(struct opt_list *list)
{
	free(list->items);
	*list = (struct opt_list){ NULL, 0, 0 };
}

/* ---- arguments ---- */

static int unknown_option(const struct parse *p, const char *name, size_t len)
{
	const char *known[OPTS_MAX + 1];
	char *word = mem_strn(name, len);
	const char *nearest;
	size_t n = 0;
	int rc;

	for (const struct opt *o = p->opts; o->kind != OPT_KIND_END; o++)
		if (!(o->flags & OPT_HIDDEN))
			known[n++] = o->name;
	known[n++] = "help";
	nearest = opt_nearest(word, known, n);
	if (!nearest && !strncmp(word, "no-", 3))
		nearest = opt_nearest(word + 3, known, n);
	rc = nearest ? err_set(ERR_USAGE, "unknown option --%s; did you mean --%s?", word, nearest)
		     : err_set(ERR_USAGE, "unknown option --%s", word);
	free(word);
	return rc;
}

static const struct opt *find_name(const struct parse *p, const char *name, size_t len)
{
	for (const struct opt *o = p->opts; o->kind != OPT_KIND_END; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static int parse_long(struct parse *p, const char *arg)
{
	const char *name = arg + 2, *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct opt *o = find_name(p, name, len);
	bool negated = false;
	char source[80];

	if (!o && len > 3 && !memcmp(name, "no-", 3)) {
		o = find_name(p, name + 3, len - 3);
		negated = o && o->kind == OPT_KIND_FLAG;
		if (!negated)
			o = NULL;
	}
	if (!o)
		return unknown_option(p, name, len);
	p->given[o - p->opts] = true;
	snprintf(source, sizeof(source), "--%s", o->name);
	if (negated && value)
		return err_set(ERR_USAGE, "--no-%s takes no value", o->name);
	if (o->kind == OPT_KIND_FLAG && !value) {
		*(bool *)o->target = !negated;
		return 0;
	}
	if (value)
		return take_value(o, source, value + 1);
	if (p->i + 1 >= p->argc)
		return err_set(ERR_USAGE, "--%s needs a value (%s)", o->name, o->arg ? o->arg : "VALUE");
	return take_value(o, source, p->argv[++p->i]);
}

/* -j, -jq, -n5, -n 5 */
static int parse_letters(struct parse *p, const char *arg)
{
	for (const char *c = arg + 1; *c; c++) {
		const struct opt *o = p->opts;
		char source[3] = { '-', *c, '\0' };

		while (o->kind != OPT_KIND_END && o->letter != *c)
			o++;
		if (o->kind == OPT_KIND_END && *c == 'h')
			return OPT_HELPED;
		if (o->kind == OPT_KIND_END)
			return err_set(ERR_USAGE, "unknown option -%c", *c);
		p->given[o - p->opts] = true;
		if (o->kind == OPT_KIND_FLAG) {
			*(bool *)o->target = true;
			continue;
		}
		if (c[1])
			return take_value(o, source, c + 1 + (c[1] == '='));
		if (p->i + 1 >= p->argc)
			return err_set(ERR_USAGE, "-%c needs a value (%s)", *c, o->arg ? o->arg : "VALUE");
		return take_value(o, source, p->argv[++p->i]);
	}
	return 0;
}

static int parse_env(struct parse *p)
{
	for (const struct opt *o = p->opts; o->kind != OPT_KIND_END; o++) {
		char name[TWIN];
		const char *value;
		int rc;

		if (p->given[o - p->opts] || (o->flags & OPT_NO_ENV))
			continue;
		twin_name(name, o);
		value = getenv(name);
		if (!value || !*value)
			continue;
		rc = take_value(o, name, value);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_operands(const struct parse *p, int n)
{
	const struct opt_usage *u = p->usage;

	if (n < u->operands_min)
		return err_set(ERR_USAGE, "an operand is missing: %s", u->operands ? u->operands : "?");
	if (u->operands_max >= 0 && n > u->operands_max)
		return err_set(ERR_USAGE, "one operand too many: \"%s\"", p->argv[u->operands_max]);
	return 0;
}

int opt_parse(int *argc, char ***argv, const struct opt *opts, const struct opt_usage *usage)
{
	struct parse p = { .opts = opts, .usage = usage, .argv = *argv, .argc = *argc };
	int n = 0, rc = 0;
	bool ended = false;

	for (size_t k = 0; opts[k].kind != OPT_KIND_END; k++)
		if (k + 1 >= OPTS_MAX)
			return err_set(ERR_BUG, "more than %d options in a table", OPTS_MAX);
	for (p.i = 1; p.i < p.argc && !rc; p.i++) {
		char *arg = p.argv[p.i];

		if (ended || arg[0] != '-' || !arg[1])
			p.argv[n++] = arg; /* an operand: moved forward over what was read already */
		else if (!strcmp(arg, "--"))
			ended = true;
		else if (!strcmp(arg, "--help"))
			rc = OPT_HELPED;
		else if (arg[1] == '-')
			rc = parse_long(&p, arg);
		else
			rc = parse_letters(&p, arg);
	}
	if (rc == OPT_HELPED)
		return print_help(opts, usage);
	if (p.argc > n)
		p.argv[n] = NULL;
	if (!rc)
		rc = parse_env(&p);
	if (!rc)
		rc = check_operands(&p, n);
	*argc = n;
	return rc ? usage_error(&p, rc) : 0;
}
