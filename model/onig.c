/* onig.c: patterns written for Oniguruma, run by PCRE2.
 *
 * tokenizer.json holds regular expressions that the tokenizers library hands to Oniguruma (its own syntax, UTF-8). A
 * piece cut at another place is another token, so a pattern is not given to PCRE2 as it stands: it is read here, token
 * by token, against a list of constructs that are known to mean the same in both, and written anew for PCRE2 with UTF
 * and UCP. Whatever is not on the list is refused by name, never guessed. What differs and is put right:
 *
 *	\s \S       Oniguruma: Unicode White_Space. PCRE2 with UCP also takes U+180E: written out as a class.
 *	\p{..}      Oniguruma 6.9.10 knows Unicode 16, PCRE2 10.42 Unicode 14: what came in between is added by the
 *	            table below (nothing was taken away in between). With a newer PCRE2 the additions do no harm.
 *	{n,m}+      not possessive in Oniguruma's syntax: refused. ?+ *+ ++ are possessive in both.
 *	{,n}        means {0,n}: written so.
 *	^ $ . \b \w \d  differ in what a line, a word or a digit is: refused until somebody needs them.
 *	(?i:...)    folds by Unicode in both, but Oniguruma also folds one character to many (ss and ß, ff and ﬀ): a
 *	            group with such a pair of letters is refused; classes inside it too.
 *
 * A pattern that can match the empty string is refused. Searching is bounded by PCRE2's match, depth and heap limits;
 * the JIT is used where the system lets it, with the same results. */
#include "base/base.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "model/tokenizer_int.h"

#define ONIG_MAX_PATTERN 8192
#define ONIG_MATCH_LIMIT 100000000u /* about a second: no pattern in use comes near it */
#define ONIG_HEAP_KIB (256u << 10)

struct onig {
	pcre2_code *code;
	pcre2_match_context *limits;
	char *where;
};

struct onig_scratch {
	pcre2_match_data *data;
};

/* Characters that Unicode 15, 15.1 and 16 brought, by category; found by asking both engines about each. */
static const struct unicode_added {
	uint32_t from, to;
	char category[4];
} unicode_added[] = {
	{ 0x897, 0x897, "M" },      { 0xcf3, 0xcf3, "M" },      { 0xece, 0xece, "M" },      { 0x1b4e, 0x1b4f, "P" },
	{ 0x1b7f, 0x1b7f, "P" },    { 0x1c89, 0x1c89, "Lu" },   { 0x1c8a, 0x1c8a, "Ll" },   { 0x2427, 0x2429, "S" },
	{ 0x2ffc, 0x2fff, "S" },    { 0x31e4, 0x31e5, "S" },    { 0x31ef, 0x31ef, "S" },    { 0xa7cb, 0xa7cc, "Lu" },
	{ 0xa7cd, 0xa7cd, "Ll" },   { 0xa7da, 0xa7da, "Lu" },   { 0xa7db, 0xa7db, "Ll" },   { 0xa7dc, 0xa7dc, "Lu" },
	{ 0x105c0, 0x105f3, "Lo" }, { 0x10d40, 0x10d49, "Nd" }, { 0x10d4a, 0x10d4d, "Lo" }, { 0x10d4e, 0x10d4e, "Lm" },
	{ 0x10d4f, 0x10d4f, "Lo" }, { 0x10d50, 0x10d65, "Lu" }, { 0x10d69, 0x10d6d, "M" },  { 0x10d6e, 0x10d6e, "P" },
	{ 0x10d6f, 0x10d6f, "Lm" }, { 0x10d70, 0x10d85, "Ll" }, { 0x10d8e, 0x10d8f, "S" },  { 0x10ec2, 0x10ec4, "Lo" },
	{ 0x10efc, 0x10eff, "M" },  { 0x1123f, 0x11240, "Lo" }, { 0x11241, 0x11241, "M" },  { 0x11380, 0x11389, "Lo" },
	{ 0x1138b, 0x1138b, "Lo" }, { 0x1138e, 0x1138e, "Lo" }, { 0x11390, 0x113b5, "Lo" }, { 0x113b7, 0x113b7, "Lo" },
	{ 0x113b8, 0x113c0, "M" },  { 0x113c2, 0x113c2, "M" },  { 0x113c5, 0x113c5, "M" },  { 0x113c7, 0x113ca, "M" },
	{ 0x113cc, 0x113d0, "M" },  { 0x113d1, 0x113d1, "Lo" }, { 0x113d2, 0x113d2, "M" },  { 0x113d3, 0x113d3, "Lo" },
	{ 0x113d4, 0x113d5, "P" },  { 0x113d7, 0x113d8, "P" },  { 0x113e1, 0x113e2, "M" },  { 0x116d0, 0x116e3, "Nd" },
	{ 0x11b00, 0x11b09, "P" },  { 0x11bc0, 0x11be0, "Lo" }, { 0x11be1, 0x11be1, "P" },  { 0x11bf0, 0x11bf9, "Nd" },
	{ 0x11f00, 0x11f01, "M" },  { 0x11f02, 0x11f02, "Lo" }, { 0x11f03, 0x11f03, "M" },  { 0x11f04, 0x11f10, "Lo" },
	{ 0x11f12, 0x11f33, "Lo" }, { 0x11f34, 0x11f3a, "M" },  { 0x11f3e, 0x11f42, "M" },  { 0x11f43, 0x11f4f, "P" },
	{ 0x11f50, 0x11f59, "Nd" }, { 0x11f5a, 0x11f5a, "M" },  { 0x1342f, 0x1342f, "Lo" }, { 0x13440, 0x13440, "M" },
	{ 0x13441, 0x13446, "Lo" }, { 0x13447, 0x13455, "M" },  { 0x13460, 0x143fa, "Lo" }, { 0x16100, 0x1611d, "Lo" },
	{ 0x1611e, 0x1612f, "M" },  { 0x16130, 0x16139, "Nd" }, { 0x16d40, 0x16d42, "Lm" }, { 0x16d43, 0x16d6a, "Lo" },
	{ 0x16d6b, 0x16d6c, "Lm" }, { 0x16d6d, 0x16d6f, "P" },  { 0x16d70, 0x16d79, "Nd" }, { 0x18cff, 0x18cff, "Lo" },
	{ 0x1b132, 0x1b132, "Lo" }, { 0x1b155, 0x1b155, "Lo" }, { 0x1cc00, 0x1ccef, "S" },  { 0x1ccf0, 0x1ccf9, "Nd" },
	{ 0x1cd00, 0x1ceb3, "S" },  { 0x1d2c0, 0x1d2d3, "No" }, { 0x1df25, 0x1df2a, "Ll" }, { 0x1e030, 0x1e06d, "Lm" },
	{ 0x1e08f, 0x1e08f, "M" },  { 0x1e4d0, 0x1e4ea, "Lo" }, { 0x1e4eb, 0x1e4eb, "Lm" }, { 0x1e4ec, 0x1e4ef, "M" },
	{ 0x1e4f0, 0x1e4f9, "Nd" }, { 0x1e5d0, 0x1e5ed, "Lo" }, { 0x1e5ee, 0x1e5ef, "M" },  { 0x1e5f0, 0x1e5f0, "Lo" },
	{ 0x1e5f1, 0x1e5fa, "Nd" }, { 0x1e5ff, 0x1e5ff, "P" },  { 0x1f6dc, 0x1f6dc, "S" },  { 0x1f774, 0x1f776, "S" },
	{ 0x1f77b, 0x1f77f, "S" },  { 0x1f7d9, 0x1f7d9, "S" },  { 0x1f8b2, 0x1f8bb, "S" },  { 0x1f8c0, 0x1f8c1, "S" },
	{ 0x1fa75, 0x1fa77, "S" },  { 0x1fa87, 0x1fa89, "S" },  { 0x1fa8f, 0x1fa8f, "S" },  { 0x1faad, 0x1faaf, "S" },
	{ 0x1fabb, 0x1fabf, "S" },  { 0x1fac6, 0x1fac6, "S" },  { 0x1face, 0x1facf, "S" },  { 0x1fada, 0x1fadc, "S" },
	{ 0x1fadf, 0x1fadf, "S" },  { 0x1fae8, 0x1fae9, "S" },  { 0x1faf7, 0x1faf8, "S" },  { 0x1fbcb, 0x1fbef, "S" },
	{ 0x2b739, 0x2b739, "Lo" }, { 0x2ebf0, 0x2ee5d, "Lo" }, { 0x31350, 0x323af, "Lo" },
};

/* Categories whose additions the table knows. */
static const char *const categories[] = { "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N",
					  "Nd", "Nl", "No", "P",  "Pc", "S",  "Z", "Zs" };

struct translate {
	const char *p, *end;
	struct buf out;
	const char *where;
	bool in_class;
	int depth;
	int fold_depth; /* of the group (?i: that we are in; 0: none */
	char last;      /* the literal before, inside (?i: */
};

static int refuse(const struct translate *t, const char *what, size_t len)
{
	int rc = err_set(ERR_INPUT, "%s: the pattern uses \"%.*s\", which is not supported", t->where, (int)len, what);

	return err_hint(rc, "patterns of GPT-2, Llama 3, Qwen 2 and 3, o200k, Mistral and DeepSeek are");
}

static void add_category(struct translate *t, const char *category, size_t len)
{
	buf_addf(&t->out, "\\p{%.*s}", (int)len, category);
	for (size_t i = 0; i < ARRAY_LEN(unicode_added); i++) {
		const struct unicode_added *u = &unicode_added[i];
		if (!strncmp(u->category, category, len) && (len == 1 || !u->category[len]))
			buf_addf(&t->out, "\\x{%x}-\\x{%x}", u->from, u->to);
	}
}

/* \p{..} and \P{..}; p is behind the letter. */
static int translate_property(struct translate *t, bool negated)
{
	const char *start = t->p, *close;
	size_t len;

	if (t->p == t->end || *t->p != '{')
		return refuse(t, start - 2, 2);
	close = memchr(t->p, '}', (size_t)(t->end - t->p));
	if (!close)
		return refuse(t, start - 2, 3);
	len = (size_t)(close - start - 1);
	t->p = close + 1;
	if (negated && t->in_class)
		return refuse(t, start - 2, len + 4);
	for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
		if (strlen(categories[i]) != len || memcmp(categories[i], start + 1, len) != 0)
			continue;
		if (!t->in_class)
			buf_adds(&t->out, negated ? "[^" : "[");
		add_category(t, start + 1, len);
		if (!t->in_class)
			buf_addc(&t->out, ']');
		return 0;
	}
	return refuse(t, start - 2, len + 4);
}

#define WHITE_SPACE "\\t-\\r\\x{85}\\p{Z}"

static int translate_escape(struct translate *t)
{
	const char *start = t->p - 1;
	char c;

	if (t->p == t->end)
		return refuse(t, start, 1);
	c = *t->p++;
	if (t->fold_depth)
		return refuse(t, start, 2);
	switch (c) {
	case 'p':
	case 'P':
		return translate_property(t, c == 'P');
	case 's':
		buf_adds(&t->out, t->in_class ? WHITE_SPACE : "[" WHITE_SPACE "]");
		return 0;
	case 'S':
		if (t->in_class)
			return refuse(t, start, 2);
		buf_adds(&t->out, "[^" WHITE_SPACE "]");
		return 0;
	case 'r':
	case 'n':
	case 't':
		buf_add(&t->out, start, 2);
		return 0;
	default: /* punctuation stands for itself in both */
		if ((unsigned char)c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
		    c < ' ')
			return refuse(t, start, 2);
		buf_add(&t->out, start, 2);
		return 0;
	}
}

static int translate_class(struct translate *t)
{
	int rc;
	bool range_ok = false; /* the member before may begin a range */

	if (t->fold_depth)
		return refuse(t, t->p - 1, 1);
	t->in_class = true;
	buf_addc(&t->out, '[');
	if (t->p < t->end && *t->p == '^')
		buf_addc(&t->out, *t->p++);
	if (t->p < t->end && *t->p == ']')
		return refuse(t, t->p - 1, 2);
	while (t->p < t->end && *t->p != ']') {
		char c = *t->p++;
		if (c == '[' || (c == '&' && t->p < t->end && *t->p == '&'))
			return refuse(t, t->p - 1, 1);
		if (c == '-' && !range_ok && t->p < t->end && *t->p != ']')
			return refuse(t, t->p - 1, 1);
		if (c == '\\') {
			bool set = t->p < t->end && strchr("pPsS", *t->p);
			rc = translate_escape(t);
			if (rc)
				return rc;
			range_ok = !set;
			continue;
		}
		range_ok = true;
		buf_addc(&t->out, c);
	}
	if (t->p == t->end)
		return refuse(t, "[", 1);
	t->p++;
	t->in_class = false;
	buf_addc(&t->out, ']');
	return 0;
}

/* "(" and its kind; p is behind the bracket. */
static int translate_group(struct translate *t)
{
	static const char *const kinds[] = { "?:", "?i:", "?=", "?!", "?<=", "?<!", "?>" };

	if (++t->depth > 32)
		return refuse(t, "(((...", 6);
	buf_addc(&t->out, '(');
	if (t->p == t->end || *t->p != '?') {
		buf_adds(&t->out, "?:"); /* what it captures is not asked for */
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i]);
		if ((size_t)(t->end - t->p) < n || memcmp(t->p, kinds[i], n) != 0)
			continue;
		if (i == 1 && !t->fold_depth) {
			t->fold_depth = t->depth;
			t->last = 0;
		}
		buf_add(&t->out, kinds[i], n);
		t->p += n;
		return 0;
	}
	return refuse(t, t->p - 1, t->end - t->p < 3 ? 1 : 4);
}

/* "{n}", "{n,}", "{,m}", "{n,m}"; p is behind the bracket. */
static int translate_count(struct translate *t)
{
	const char *start = t->p - 1, *close = memchr(t->p, '}', (size_t)(t->end - t->p));
	size_t len = close ? (size_t)(close - t->p) : 0;

	if (!len || len > 8 || strspn(t->p, "0123456789,") < len || (close[-1] == ',' && len == 1))
		return refuse(t, start, len + 1);
	buf_addc(&t->out, '{');
	if (*t->p == ',')
		buf_addc(&t->out, '0');
	buf_add(&t->out, t->p, len + 1);
	t->p = close + 1;
	if (t->p < t->end && strchr("?+*{", *t->p))
		return refuse(t, start, len + 3);
	return 0;
}

/* Inside (?i: only letters that fold to one letter each; see the head of the file. */
static int translate_fold(struct translate *t, char c)
{
	static const char *const many[] = {
		"ss", "st", "ff", "fi", "fl", "ij", "hx", "jx", "tx", "wx", "yx", "ax", "nj"
	};
	char low = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);

	if ((unsigned char)c >= 0x80)
		return refuse(t, "(?i:", 4);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		if (t->last == many[i][0] && low == many[i][1])
			return refuse(t, "(?i:", 4);
	t->last = low;
	return 0;
}

static int translate_one(struct translate *t)
{
	char c = *t->p++;

	switch (c) {
	case '\\':
		return translate_escape(t);
	case '[':
		return translate_class(t);
	case '(':
		return translate_group(t);
	case '{':
		return translate_count(t);
	case ')':
		if (t->fold_depth == t->depth)
			t->fold_depth = 0;
		t->depth--;
		break;
	case '^':
	case '$':
	case '.':
		return refuse(t, &c, 1);
	case '?':
	case '*':
	case '+':
	case '|':
		t->last = 0;
		break;
	default:
		if (t->fold_depth) {
			int rc = translate_fold(t, c);
			if (rc)
				return rc;
		}
		break;
	}
	buf_addc(&t->out, c);
	return 0;
}

static int compile(struct onig *o, const char *pattern, size_t len, uint32_t options, const char *where)
{
	int code = 0;
	size_t at = 0;
	uint32_t empty = 0;

	o->code = pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | options, &code, &at, NULL);
	if (!o->code) {
		char text[256] = "";
		pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
		return err_set(ERR_INPUT, "%s: bad pattern: %s", where, text);
	}
	pcre2_pattern_info(o->code, PCRE2_INFO_MATCHEMPTY, &empty);
	if (empty)
		return err_set(ERR_INPUT, "%s: a pattern that matches the empty text is not supported", where);
	pcre2_jit_compile(o->code, PCRE2_JIT_COMPLETE); /* without it: slower, the same */
	o->limits = pcre2_match_context_create(NULL);
	if (!o->limits)
		return err_set(ERR_UNAVAILABLE, "%s: no memory for the pattern", where);
	pcre2_set_match_limit(o->limits, ONIG_MATCH_LIMIT);
	pcre2_set_heap_limit(o->limits, ONIG_HEAP_KIB);
	return 0;
}

int onig_new(struct onig **out, const char *pattern, size_t len, bool literal, const char *where)
{
	struct translate t = { .p = pattern, .end = pattern + len, .where = where };
	struct onig *o = mem_alloc(sizeof(*o));
	int rc = 0;

	buf_init(&t.out, 1 << 20);
	if (!len || len > ONIG_MAX_PATTERN)
		rc = err_set(ERR_INPUT, "%s: a pattern has 1 to %d bytes", where, ONIG_MAX_PATTERN);
	while (!rc && !literal && t.p < t.end)
		rc = translate_one(&t);
	if (rc)
		goto out;
	if (literal)
		buf_add(&t.out, pattern, len);
	o->where = mem_str(where);
	rc = compile(o, t.out.data, t.out.len, literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, where);
out:
	buf_release(&t.out);
	if (rc) {
		onig_free(o);
		return rc;
	}
	*out = o;
	return 0;
}

void onig_free(struct onig *o)
{
	if (!o)
		return;
	pcre2_code_free(o->code);
	pcre2_match_context_free(o->limits);
	free(o->where);
	free(o);
}

struct onig_scratch *onig_scratch_new(void)
{
	struct onig_scratch *s = mem_alloc(sizeof(*s));

	s->data = pcre2_match_data_create(1, NULL);
	return s;
}

void onig_scratch_free(struct onig_scratch *s)
{
	if (!s)
		return;
	pcre2_match_data_free(s->data);
	free(s);
}

int onig_find(const struct onig *o, struct onig_scratch *s, const char *text, size_t len, size_t at, size_t *start,
	      size_t *end)
{
	size_t *borders;
	int rc;

	if (!s->data)
		return err_set(ERR_UNAVAILABLE, "%s: no memory for the search", o->where);
	rc = pcre2_match(o->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, s->data, o->limits);
	if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
		rc = pcre2_match(o->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->data,
				 o->limits);
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc < 0)
		return err_set(ERR_INPUT, "%s: the search for the pattern was ended at its limit (PCRE2 error %d)",
			       o->where, rc);
	borders = pcre2_get_ovector_pointer(s->data);
	*start = borders[0];
	*end = borders[1];
	return 1;
}
