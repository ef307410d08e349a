/* template_lex.c: the text of a template into tokens, by Jinja's rules.
 *
 * Outside of tags everything is text. A sign inside a tag's bracket eats white space: {%- and -%} all of it on that
 * side. In a chat template (trim_blocks, lstrip_blocks) a block or comment also eats the newline behind it, and the
 * white space before it on its line; {%+ and +%} keep it. Inside a tag brackets are counted, so that }} may end two
 * dicts. Line ends become \n before anything else, as Jinja does; the one at the very end is dropped in a chat
 * template and kept in a task's. White space is Python's. */
#include "base/base.h"

#include <errno.h>

#include "model/template_int.h"

struct lexer {
	struct template *t;
	const char *s;
	size_t len, at;
	struct lexeme *out;
	size_t n, cap;
	bool line_starting; /* the end of the tag before took a line's end with it */
	char closing[TEMPLATE_MAX_NEST];
	int open;
};

static size_t space_at(const struct lexer *l, size_t at)
{
	size_t used;

	return at < l->len && utf8_is_space(utf8_next(l->s + at, l->len - at, &used)) ? used : 0;
}

static void skip_space(struct lexer *l)
{
	size_t used;

	while ((used = space_at(l, l->at)))
		l->at += used;
}

static size_t rstrip(const char *s, size_t len)
{
	while (len) {
		size_t back = len - 1, used;
		while (back > 0 && ((uint8_t)s[back] & 0xc0) == 0x80)
			back--;
		if (!utf8_is_space(utf8_next(s + back, len - back, &used)))
			break;
		len = back;
	}
	return len;
}

static struct lexeme *emit(struct lexer *l, enum token_kind kind, size_t at)
{
	MEM_GROW(l->out, l->n, l->cap);
	l->out[l->n] = (struct lexeme){ .kind = (uint8_t)kind, .at = (uint32_t)at };
	return &l->out[l->n++];
}

/* The text before a tag, cut as the tag's sign says. tag: '{' for a print, '%' or '#'. */
static void emit_text(struct lexer *l, size_t start, size_t end, char sign, char tag)
{
	size_t len = end - start;

	if (sign == '-') {
		len = rstrip(l->s + start, len);
	} else if (sign != '+' && l->t->chat && tag != '{') {
		size_t line = len;
		while (line > 0 && l->s[start + line - 1] != '\n')
			line--;
		if ((line > 0 || l->line_starting) && rstrip(l->s + start + line, len - line) == 0)
			len = line;
	}
	if (len)
		emit(l, T_TEXT, start)->value = (struct value){ V_STR, (uint32_t)len, { .s = l->s + start } };
}

/* What stands behind a tag: sign is the character before its closing bracket. */
static void after_tag(struct lexer *l, char sign, bool block)
{
	if (sign == '-')
		skip_space(l);
	else if (sign != '+' && block && l->t->chat && l->at < l->len && l->s[l->at] == '\n')
		l->at++;
	l->line_starting = l->s[l->at - 1] == '\n';
}

static int lex_comment(struct lexer *l, size_t start)
{
	const char *end = l->len - l->at >= 2 ? memmem(l->s + l->at, l->len - l->at, "#}", 2) : NULL;
	size_t from = l->at;
	char sign = 0;

	if (!end)
		return template_error(l->t, start, "the comment that begins here has no #}");
	l->at = (size_t)(end - l->s) + 2;
	if (l->at - 2 > from)
		sign = end[-1];
	after_tag(l, sign, true);
	return 0;
}

/* Reads "WORD [-+]%}" at from; the offset behind it, or 0; sign: the character before %}. */
static size_t block_word(const struct lexer *l, size_t from, const char *word, char *sign)
{
	size_t at = from, used, n = strlen(word);

	while ((used = space_at(l, at)))
		at += used;
	if (l->len - at < n || memcmp(l->s + at, word, n) != 0)
		return 0;
	at += n;
	while ((used = space_at(l, at)))
		at += used;
	*sign = 0;
	if (at < l->len && (l->s[at] == '-' || l->s[at] == '+'))
		*sign = l->s[at++];
	if (l->len - at < 2 || memcmp(l->s + at, "%}", 2) != 0)
		return 0;
	return at + 2;
}

/* {% raw %}: text up to {% endraw %}. l->at is behind the opening tag. */
static int lex_raw(struct lexer *l, size_t start, char sign)
{
	size_t text, from;

	if (sign == '-')
		skip_space(l);
	text = from = l->at;
	for (;;) {
		const char *tag = from < l->len ? memmem(l->s + from, l->len - from, "{%", 2) : NULL;
		size_t at, end;
		char open = 0, close = 0;
		if (!tag)
			return template_error(l->t, start, "the raw block that begins here has no endraw");
		at = (size_t)(tag - l->s);
		from = at + 2;
		if (from < l->len && (l->s[from] == '-' || l->s[from] == '+'))
			open = l->s[from++];
		end = block_word(l, from, "endraw", &close);
		if (!end)
			continue;
		l->line_starting = false;
		emit_text(l, text, at, open, '%');
		l->at = end;
		after_tag(l, close, true);
		return 0;
	}
}

/* ---- inside a tag ------------------------------------------------------------------------------------------------- */

static int hex_value(const char *s, size_t n, uint32_t *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
		if (d < 0)
			return -1;
		*out = *out << 4 | (uint32_t)d;
	}
	return 0;
}

/* One escape of a Python string; s is at the backslash. Returns the bytes used, 0 for a bad one. */
static size_t unescape(struct buf *out, const char *s, size_t len)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *simple = strchr(from, s[1]);
	size_t digits = s[1] == 'x' ? 2 : s[1] == 'u' ? 4 : s[1] == 'U' ? 8 : 0, used = 1;
	uint32_t cp = 0;
	char utf8[4];

	if (s[1] == '\n')
		return 2;
	if (s[1] && simple) {
		buf_addc(out, to[simple - from]);
		return 2;
	}
	if (digits) {
		if (len < 2 + digits || hex_value(s + 2, digits, &cp) || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
			return 0;
		used = 2 + digits;
	} else if (s[1] >= '0' && s[1] <= '7') {
		while (used < 4 && used < len && s[used] >= '0' && s[used] <= '7')
			cp = cp * 8 + (uint32_t)(s[used++] - '0');
	} else if (s[1] == 'N') {
		return 0;
	} else { /* not an escape: both stay */
		buf_add(out, s, 1);
		return 1;
	}
	buf_add(out, utf8, utf8_put(utf8, cp));
	return used;
}

static int lex_string(struct lexer *l)
{
	size_t start = l->at++;
	char quote = l->s[start];
	struct buf text = BUF_INIT(TEMPLATE_MAX_SOURCE);
	char *copy;
	int rc = 0;

	while (l->at < l->len && l->s[l->at] != quote) {
		size_t used = 1;
		if (l->s[l->at] == '\\' && l->at + 1 < l->len)
			used = unescape(&text, l->s + l->at, l->len - l->at);
		else
			buf_addc(&text, l->s[l->at]);
		if (!used) {
			rc = template_error(l->t, l->at, "an escape that is not supported");
			goto out;
		}
		l->at += used;
	}
	if (l->at >= l->len) {
		rc = template_error(l->t, start, "the string that begins here has no end");
		goto out;
	}
	l->at++;
	copy = arena_alloc(&l->t->mem, text.len + 1);
	if (!copy) {
		rc = template_error(l->t, start, "the template is too large");
		goto out;
	}
	if (text.len)
		memcpy(copy, text.data, text.len);
	emit(l, T_STRING, start)->value = (struct value){ V_STR, (uint32_t)text.len, { .s = copy } };
out:
	buf_release(&text);
	return rc;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return is_digit(c) || c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z') || (unsigned char)c >= 0x80;
}

/* Digits with single underscores between them. */
static size_t digits_end(const struct lexer *l, size_t at)
{
	while (at < l->len && (is_digit(l->s[at]) || (l->s[at] == '_' && at + 1 < l->len && is_digit(l->s[at + 1]))))
		at++;
	return at;
}

static int lex_number(struct lexer *l)
{
	size_t start = l->at, end = digits_end(l, start), n = 0;
	bool real = false, after_dot = start > 0 && l->s[start - 1] == '.';
	int base = 10;
	char text[128];
	char *stop;
	struct lexeme *e;

	if (l->s[start] == '0' && start + 1 < l->len && strchr("xXoObB", l->s[start + 1]) && l->s[start + 1]) {
		char kind = (char)(l->s[start + 1] | 32);
		base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
		for (start = end = start + 2; end < l->len && is_name(l->s[end]);)
			end++;
	} else if (!after_dot) {
		if (end + 1 < l->len && l->s[end] == '.' && is_digit(l->s[end + 1])) {
			real = true;
			end = digits_end(l, end + 1);
		}
		if (end < l->len && (l->s[end] | 32) == 'e') {
			size_t exp = end + 1;
			if (exp < l->len && (l->s[exp] == '+' || l->s[exp] == '-'))
				exp++;
			if (exp < l->len && is_digit(l->s[exp])) {
				real = true;
				end = digits_end(l, exp);
			}
		}
	}
	for (size_t i = start; i < end && n < sizeof(text) - 1; i++)
		if (l->s[i] != '_')
			text[n++] = l->s[i];
	text[n] = '\0';
	e = emit(l, real ? T_FLOAT : T_INT, l->at);
	errno = 0;
	if (real)
		e->value = value_float(strtod(text, &stop));
	else
		e->value = value_int(strtoll(text, &stop, base));
	if (!n || n == sizeof(text) - 1 || *stop || (!real && errno) || (end < l->len && is_name(l->s[end])) ||
	    (!real && base == 10 && n > 1 && text[0] == '0' && strspn(text, "0") < n))
		return template_error(l->t, l->at, "not a number that fits");
	l->at = end;
	return 0;
}

static int lex_operator(struct lexer *l)
{
	static const struct {
		char text[3];
		uint8_t op;
	} pairs[] = { { "//", OP_FLOORDIV }, { "**", OP_POW }, { "==", OP_EQ },
		      { "!=", OP_NE },       { "<=", OP_LE },  { ">=", OP_GE } };
	char c = l->s[l->at];

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (l->len - l->at >= 2 && !memcmp(l->s + l->at, pairs[i].text, 2)) {
			emit(l, T_OP, l->at)->op = pairs[i].op;
			l->at += 2;
			return 0;
		}
	if (!strchr("+-/*%~[](){}<>=.:|,;", c) || !c)
		return template_error(l->t, l->at, "unexpected character \"%c\"", c >= ' ' && c < 127 ? c : '?');
	if (strchr("([{", c)) {
		if (l->open == TEMPLATE_MAX_NEST)
			return template_error(l->t, l->at, "more than %d brackets in each other", TEMPLATE_MAX_NEST);
		l->closing[l->open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
	} else if (strchr(")]}", c)) {
		if (!l->open || l->closing[l->open - 1] != c)
			return template_error(l->t, l->at, "unexpected \"%c\"", c);
		l->open--;
	}
	emit(l, T_OP, l->at++)->op = (uint8_t)c;
	return 0;
}

/* Up to and with the end of the tag that begins at start. */
static int lex_inside(struct lexer *l, size_t start, bool block)
{
	const char *end = block ? "%}" : "}}";
	int rc = 0;

	l->open = 0;
	while (!rc) {
		char sign = 0;
		size_t at;
		skip_space(l);
		at = l->at;
		if (at >= l->len)
			return template_error(l->t, start, "the tag that begins here has no %s", end);
		if (l->s[at] == '-' || (block && l->s[at] == '+'))
			sign = l->s[at++];
		if (!l->open && l->len - at >= 2 && !memcmp(l->s + at, end, 2)) {
			emit(l, block ? T_BLOCK_END : T_PRINT_END, l->at);
			l->at = at + 2;
			after_tag(l, sign, block);
			return 0;
		}
		if (l->s[l->at] == '"' || l->s[l->at] == '\'') {
			rc = lex_string(l);
		} else if (is_digit(l->s[l->at])) {
			rc = lex_number(l);
		} else if (is_name(l->s[l->at])) {
			size_t from = l->at;
			while (l->at < l->len && is_name(l->s[l->at]))
				l->at++;
			emit(l, T_NAME, from)->value =
				(struct value){ V_STR, (uint32_t)(l->at - from), { .s = l->s + from } };
		} else {
			rc = lex_operator(l);
		}
	}
	return rc;
}

static int lex_tag(struct lexer *l, size_t text)
{
	size_t start = l->at, end;
	char tag = l->s[start + 1], sign = 0, close = 0;

	l->at += 2;
	if (l->at < l->len && (l->s[l->at] == '-' || l->s[l->at] == '+'))
		sign = l->s[l->at++];
	emit_text(l, text, start, sign, tag);
	if (tag == '#')
		return lex_comment(l, start);
	if (tag == '%' && (end = block_word(l, l->at, "raw", &close)) && close != '+') {
		l->at = end;
		return lex_raw(l, start, close);
	}
	emit(l, tag == '%' ? T_BLOCK_BEGIN : T_PRINT_BEGIN, start);
	return lex_inside(l, start, tag == '%');
}

int template_lex(struct template *t, struct lexeme **out, size_t *n)
{
	struct lexer l = { .t = t, .s = t->source, .len = t->len, .line_starting = true };
	int rc = 0;

	while (l.at < l.len && !rc) {
		size_t text = l.at;
		while (l.at < l.len &&
		       !(l.s[l.at] == '{' && l.at + 1 < l.len && strchr("{%#", l.s[l.at + 1]) && l.s[l.at + 1]))
			l.at++;
		if (l.at < l.len)
			rc = lex_tag(&l, text);
		else if (l.at > text)
			emit(&l, T_TEXT, text)->value =
				(struct value){ V_STR, (uint32_t)(l.at - text), { .s = l.s + text } };
	}
	emit(&l, T_END, l.len);
	if (rc) {
		free(l.out);
		return rc;
	}
	*out = l.out;
	*n = l.n;
	return 0;
}
