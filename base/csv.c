/* csv.c: CSV and TSV as RFC 4180 has them, with a header line, and with pandas' reading of what a cell is.
 *
 * A cell may be quoted and then hold separators, line ends and doubled quotes. Text behind a closing quote is added to it;
 * a quote within a plain cell is itself. Lines end by LF, CRLF or CR; empty lines are passed over. A short line's missing
 * cells are null, a long line is an error, and so are two columns of one name.
 *
 * Python's datasets library reads CSV with pandas, so tasks expect its types: a column is whole numbers, reals, booleans
 * or text, whichever first fits all of its cells. The usual signs of nothing (an empty cell, NA, null …) are null, and
 * make whole numbers reals, as they do there. The type of a column is known only at its end, hence two passes over the
 * text: one judges, one gives out. (pandas judges 10,000 lines at a time, and may round the last bit of a real.) */
#include "base/base.h"

#include <errno.h>
#include <math.h>

#include "base/rows_int.h"

enum { CELL_MAX = 32 << 20, COLUMNS_MAX = 100000, CELL_COST = 64 };

struct csv {
	const char *text;
	size_t len, at, line;
	char separator;
	struct buf cell;
	const char *name;
	char **columns;
	struct column_type *types;
	size_t n, cap, shortest; /* columns; cells that every line has */
};
struct column_type {
	bool no_int, no_uint, no_real, no_flag, has_null;
};

/* ---- cells ------------------------------------------------------------------------------------------------------------ */

static bool at_line_end(const struct csv *c)
{
	return c->at == c->len || c->text[c->at] == '\n' || c->text[c->at] == '\r';
}

static void pass_line_end(struct csv *c)
{
	if (c->at < c->len && c->text[c->at] == '\r')
		c->at++;
	if (c->at < c->len && c->text[c->at] == '\n')
		c->at++;
	c->line++;
}

static int quoted_part(struct csv *c)
{
	size_t from = c->line;

	for (c->at++; c->at < c->len; c->at++) {
		if (c->text[c->at] == '"') {
			if (c->at + 1 < c->len && c->text[c->at + 1] == '"')
				c->at++;
			else
				break;
		}
		c->line += c->text[c->at] == '\n';
		buf_addc(&c->cell, c->text[c->at]);
	}
	if (c->at++ < c->len)
		return 0;
	return err_set(ERR_INPUT, "%s:%zu: a quoted cell without an end", c->name, from);
}

/* One cell into c->cell; *last: the line ends behind it. */
static int cell_read(struct csv *c, bool *last)
{
	size_t from;
	int rc;

	buf_clear(&c->cell);
	if (c->at < c->len && c->text[c->at] == '"') {
		rc = quoted_part(c);
		if (rc)
			return rc;
	}
	for (from = c->at; !at_line_end(c) && c->text[c->at] != c->separator; c->at++)
		;
	buf_add(&c->cell, c->text + from, c->at - from);
	if (buf_full(&c->cell))
		return err_set(ERR_INPUT, "%s:%zu: a cell of more than %d MiB", c->name, c->line, CELL_MAX >> 20);
	if (!utf8_valid(buf_str(&c->cell), c->cell.len, NULL))
		return err_set(ERR_INPUT, "%s:%zu: invalid UTF-8", c->name, c->line);
	*last = at_line_end(c);
	if (*last)
		pass_line_end(c);
	else
		c->at++;
	return 0;
}

/* Goes to the next line that has something; false at the end. */
static bool next_line(struct csv *c)
{
	while (c->at < c->len) {
		size_t at = c->at;

		while (at < c->len && (c->text[at] == ' ' || c->text[at] == '\t') && c->text[at] != c->separator)
			at++;
		if (at < c->len && c->text[at] != '\n' && c->text[at] != '\r')
			return true;
		c->at = at;
		pass_line_end(c);
	}
	return false;
}

static void rewind_text(struct csv *c)
{
	c->at = c->len >= 3 && memcmp(c->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	c->line = 1;
}

/* ---- types -------------------------------------------------------------------------------------------------------------- */

static bool is_null(const char *s, size_t len)
{
	static const char *const signs[] = { "",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
					     "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
					     "NaN",  "None",   "n/a",      "nan",  "null" };

	for (size_t i = 0; i < ARRAY_LEN(signs) && len <= 9; i++)
		if (strlen(signs[i]) == len && memcmp(s, signs[i], len) == 0)
			return true;
	return false;
}

/* Without white space around it; false if that is empty or holds a NUL. */
static bool trim(const char **s, size_t *len)
{
	while (*len && strchr(" \t\n\v\f\r", **s) && **s)
		++*s, --*len;
	while (*len && strchr(" \t\n\v\f\r", (*s)[*len - 1]) && (*s)[*len - 1])
		--*len;
	return *len && !memchr(*s, 0, *len);
}

static bool parse_int(json_int_t *out, const char *s, size_t len)
{
	char *end;

	if (!trim(&s, &len) || len > 40)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((s[i] < '0' || s[i] > '9') && !(i == 0 && len > 1 && (*s == '-' || *s == '+')))
			return false;
	errno = 0;
	*out = strtoll(s, &end, 10);
	return !errno && end == s + len;
}

/* Above the range of the others, it stays the text it is: JSON has no larger whole numbers. */
static bool is_uint(const char *s, size_t len)
{
	char *end;

	if (!trim(&s, &len) || len > 20)
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	errno = 0;
	strtoull(s, &end, 10);
	return !errno;
}

static bool parse_real(double *out, const char *s, size_t len)
{
	static const char *const infinite[] = { "inf", "infinity" };
	size_t sign;
	char *end;

	if (!trim(&s, &len) || len > 400)
		return false;
	sign = *s == '-' || *s == '+';
	for (size_t i = 0; i < ARRAY_LEN(infinite); i++)
		if (len - sign == strlen(infinite[i]) && strncasecmp(s + sign, infinite[i], len - sign) == 0) {
			*out = *s == '-' ? -INFINITY : INFINITY;
			return true;
		}
	for (size_t i = 0; i < len; i++)
		if (!strchr("0123456789+-.eE", s[i]))
			return false;
	*out = strtod(s, &end);
	return end == s + len;
}

static bool parse_flag(bool *out, const char *s)
{
	*out = strcmp(s, "True") == 0 || strcmp(s, "TRUE") == 0 || strcmp(s, "true") == 0;
	return *out || strcmp(s, "False") == 0 || strcmp(s, "FALSE") == 0 || strcmp(s, "false") == 0;
}

static void type_judge(struct column_type *t, const struct buf *cell)
{
	const char *s = buf_str(cell);
	json_int_t i;
	double x;
	bool flag;

	if (is_null(s, cell->len)) {
		t->has_null = true;
		return;
	}
	t->no_int = t->no_int || !parse_int(&i, s, cell->len);
	t->no_uint = t->no_uint || !is_uint(s, cell->len);
	t->no_real = t->no_real || !parse_real(&x, s, cell->len);
	t->no_flag = t->no_flag || !parse_flag(&flag, s);
}

static json_t *cell_value(const struct column_type *t, const struct buf *cell)
{
	const char *s = buf_str(cell);
	json_int_t i;
	double x;
	bool flag;

	if (is_null(s, cell->len))
		return json_null();
	if ((!t->no_int || !t->no_uint) && !t->has_null) {
		if (parse_int(&i, s, cell->len))
			return json_integer(i);
	} else if (!t->no_real && parse_real(&x, s, cell->len)) {
		return isfinite(x) ? json_real(x) : json_string(x > 0 ? "inf" : "-inf");
	}
	if (!t->no_flag && parse_flag(&flag, s))
		return json_boolean(flag);
	return json_stringn_nocheck(s, cell->len);
}

/* ---- lines --------------------------------------------------------------------------------------------------------------- */

static int header_read(struct csv *c)
{
	bool last = !next_line(c);
	struct map seen;
	int rc = 0;

	map_init(&seen);
	while (!last && !rc) {
		size_t cap = c->cap;
		char *name;

		rc = cell_read(c, &last);
		if (rc)
			break;
		if (c->n == COLUMNS_MAX || memchr(buf_str(&c->cell), 0, c->cell.len)) {
			rc = err_set(ERR_INPUT, "%s:1: a header of more than %d columns, or with a NUL", c->name,
				     COLUMNS_MAX);
			break;
		}
		name = c->cell.len ? mem_str(buf_str(&c->cell)) : mem_printf("Unnamed: %zu", c->n);
		if (!map_put(&seen, name, strlen(name), 0))
			rc = err_set(ERR_INPUT, "%s:1: two columns are named \"%s\"", c->name, name);
		MEM_GROW(c->columns, c->n, c->cap);
		if (c->cap != cap)
			c->types = mem_resize(c->types, c->cap * sizeof(*c->types));
		c->types[c->n] = (struct column_type){ 0 };
		c->columns[c->n++] = name;
	}
	map_release(&seen);
	return rc;
}

static int too_many(const struct csv *c, size_t line)
{
	int rc = err_set(ERR_INPUT, "%s:%zu: more cells than the header's %zu", c->name, line, c->n);

	return err_hint(rc, "quote a cell that holds a separator");
}

static int line_judge(struct csv *c)
{
	size_t line = c->line, i = 0;
	bool last = false;
	int rc = 0;

	for (; !last; i++) {
		rc = cell_read(c, &last);
		if (rc)
			return rc;
		if (i >= c->n)
			return too_many(c, line);
		type_judge(&c->types[i], &c->cell);
	}
	c->shortest = i < c->shortest ? i : c->shortest;
	return 0;
}

static int line_give(struct csv *c, struct rows *r)
{
	size_t line = c->line, given = c->n * CELL_COST;
	json_t *row = json_object(), *v;
	bool last = false;
	int rc = 0;

	r->line = line;
	for (size_t i = 0; i < c->n && !rc; i++) {
		if (last) {
			rc = rows_set(r, row, c->columns[i], NULL);
			continue;
		}
		rc = cell_read(c, &last);
		if (rc)
			break;
		given += c->cell.len;
		v = cell_value(&c->types[i], &c->cell);
		rc = v ? rows_set(r, row, c->columns[i], v) : rows_short(r);
	}
	rc = rc ? rc : rows_begin(r, line, given);
	rc = rc ? rc : rows_pass(r, row);
	json_decref(row);
	return rc;
}

int csv_rows(struct rows *r, const char *text, size_t len, char separator)
{
	struct csv c = { .text = text, .len = len, .separator = separator, .name = r->name };
	size_t body, line;
	int rc;

	buf_init(&c.cell, CELL_MAX);
	rewind_text(&c);
	rc = header_read(&c);
	c.shortest = c.n;
	body = c.at;
	line = c.line;
	while (!rc && next_line(&c))
		rc = line_judge(&c);
	for (size_t i = c.shortest; i < c.n; i++)
		c.types[i].has_null = true;
	c.at = body;
	c.line = line;
	while (!rc && next_line(&c))
		rc = line_give(&c, r);
	for (size_t i = 0; i < c.n; i++)
		free(c.columns[i]);
	free(c.columns);
	free(c.types);
	buf_release(&c.cell);
	return rc;
}
