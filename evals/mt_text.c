/* mt_text.c: sacrebleu's tokenizers, as lists of substitutions.
 *
 * Each list is applied from top to bottom, every match of a rule from left to right; then white space parts the tokens.
 * The rules are those of mteval-v13a and mteval-v14 (intl), which every published BLEU score rests on, so their oddities
 * are kept: "1,000" stays whole, "3.5km" does not come apart, zh takes all of U+2001 to U+2A6D for Chinese (sacrebleu
 * compares a code point with texts of two). Punctuation, symbols and numbers of intl are those of PCRE2's Unicode. */
#include "base/base.h"

#include <assert.h>

#include "evals/mt_int.h"

enum { RULES_MAX = 32 };

struct rule {
	const char *pattern, *with;
};
struct mt_text {
	struct regex *regexes[RULES_MAX];
	const char *with[RULES_MAX];
	size_t n;
	bool padded, stripped;
};

static const struct rule western[] = {
	{ "([{-~\\[-` -&(-+:-@/])", " $1 " },
	{ "([^0-9])([.,])", "$1 $2 " }, /* unless behind a digit */
	{ "([.,])([^0-9])", " $1 $2" }, /* unless before a digit */
	{ "([0-9])(-)", "$1 $2 " },
};
static const struct rule marks_13a[] = {
	{ "<skipped>", "" }, { "-\\n", "" },  { "\\n", " " },  { "&quot;", "\"" },
	{ "&amp;", "&" },    { "&lt;", "<" }, { "&gt;", ">" },
};
static const struct rule intl[] = {
	{ "(\\P{N})(\\p{P})", "$1 $2 " },
	{ "(\\p{P})(\\P{N})", " $1 $2" },
	{ "(\\p{S})", " $1 " },
};
static const struct rule chinese[] = {
	{ "([\\x{2001}-\\x{2a6d}\\x{2e80}-\\x{2eff}\\x{2f00}-\\x{2fdf}\\x{2ff0}-\\x{303f}\\x{3100}-\\x{312f}"
	  "\\x{31a0}-\\x{31bf}\\x{31c0}-\\x{31ef}\\x{3200}-\\x{33ff}\\x{3400}-\\x{4db5}\\x{4e00}-\\x{9fbb}"
	  "\\x{f900}-\\x{fa2d}\\x{fa30}-\\x{fa6a}\\x{fa70}-\\x{fad9}\\x{fe10}-\\x{fe1f}\\x{fe30}-\\x{fe4f}"
	  "\\x{ff00}-\\x{ffef}])",
	  " $1 " },
};
static const struct rule characters[] = { { "(?s)(.)", "$1 " } };

static const struct rule ter_western[] = {
	{ "\\n-", "" },
	{ "\\n", " " },
	{ "&quot;", "\"" },
	{ "&amp;", "&" },
	{ "&lt;", "<" },
	{ "&gt;", ">" },
	{ "(?s)\\A(.*)\\z", " $1 " },
	{ "([{-~\\[-` -&(-+:-@/])", " $1 " },
	{ "'s ", " 's " },
	{ "'s$", " 's" },
	{ "([^0-9])([.,])", "$1 $2 " },
	{ "([.,])([^0-9])", " $1 $2" },
	{ "([0-9])(-)", "$1 $2 " },
};
#define ASIAN_PUNCT "([\\x{3001}\\x{3002}\\x{3008}-\\x{3011}\\x{3014}-\\x{301f}\\x{ff61}-\\x{ff65}\\x{30fb}])"
#define WIDE_PUNCT "([\\x{ff0e}\\x{ff0c}\\x{ff1f}\\x{ff1a}\\x{ff1b}\\x{ff01}\\x{ff02}\\x{ff08}\\x{ff09}])"
static const struct rule ter_asian[] = {
	{ "([\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}])", " $1 " },
	{ "([\\x{31c0}-\\x{31ef}\\x{2e80}-\\x{2eff}])", " $1 " },
	{ "([\\x{3300}-\\x{33ff}\\x{f900}-\\x{faff}\\x{fe30}-\\x{fe4f}])", " $1 " },
	{ "([\\x{3200}-\\x{3f22}])", " $1 " },
	{ "(^|^[\\x{3040}-\\x{309f}])([\\x{3040}-\\x{309f}]+)(?=$|^[\\x{3040}-\\x{309f}])", "$1 $2 " },
	{ "(^|^[\\x{30a0}-\\x{30ff}])([\\x{30a0}-\\x{30ff}]+)(?=$|^[\\x{30a0}-\\x{30ff}])", "$1 $2 " },
	{ "(^|^[\\x{31f0}-\\x{31ff}])([\\x{31f0}-\\x{31ff}]+)(?=$|^[\\x{31f0}-\\x{31ff}])", "$1 $2 " },
	{ ASIAN_PUNCT, " $1 " },
	{ WIDE_PUNCT, " $1 " },
};
static const struct rule ter_no_punct[] = { { "[.,?:;!\"()]", "" } };
static const struct rule ter_no_asian_punct[] = { { ASIAN_PUNCT, "" }, { WIDE_PUNCT, "" } };

static void rules_add(struct mt_text *t, const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int rc = regex_new(&t->regexes[t->n], rules[i].pattern);

		assert(!rc && t->n < RULES_MAX);
		(void)rc;
		t->with[t->n++] = rules[i].with;
	}
}

static const struct tokenizer {
	const char *name;
	const struct rule *first, *then;
	size_t n_first, n_then;
	bool padded, stripped;
} tokenizers[] = {
	{ "13a", marks_13a, western, ARRAY_LEN(marks_13a), ARRAY_LEN(western), true, false },
	{ "intl", intl, NULL, ARRAY_LEN(intl), 0, false, false },
	{ "zh", chinese, western, ARRAY_LEN(chinese), ARRAY_LEN(western), false, true },
	{ "char", characters, NULL, ARRAY_LEN(characters), 0, false, false },
	{ "none", NULL, NULL, 0, 0, false, false },
};

struct mt_text *mt_text_new(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tokenizers); i++) {
		const struct tokenizer *k = &tokenizers[i];
		struct mt_text *t;

		if (strcmp(k->name, name) != 0)
			continue;
		t = mem_alloc(sizeof(*t));
		t->padded = k->padded;
		t->stripped = k->stripped;
		rules_add(t, k->first, k->n_first);
		rules_add(t, k->then, k->n_then);
		return t;
	}
	return NULL;
}

const char *mt_text_names(void)
{
	return "13a, intl, zh, char, none";
}

struct mt_text *mt_text_tercom(bool normalized, bool no_punct, bool asian_support)
{
	struct mt_text *t = mem_alloc(sizeof(*t));

	if (normalized)
		rules_add(t, ter_western, ARRAY_LEN(ter_western));
	if (normalized && asian_support)
		rules_add(t, ter_asian, ARRAY_LEN(ter_asian));
	if (no_punct)
		rules_add(t, ter_no_punct, ARRAY_LEN(ter_no_punct));
	if (no_punct && asian_support)
		rules_add(t, ter_no_asian_punct, ARRAY_LEN(ter_no_asian_punct));
	return t;
}

void mt_text_free(struct mt_text *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		regex_free(t->regexes[i]);
	free(t);
}

/* str.rstrip(), and str.lstrip() if front. */
static void strip(struct buf *s, bool front)
{
	const char *p = buf_str(s), *end = p + s->len, *from = NULL, *to = p;
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	size_t used;

	for (; p < end; p += used)
		if (!utf8_is_space(utf8_next(p, (size_t)(end - p), &used))) {
			from = from ? from : p;
			to = p + used;
		}
	if (from)
		buf_add(&out, front ? from : buf_str(s), (size_t)(to - (front ? from : buf_str(s))));
	buf_release(s);
	*s = out;
}

int mt_text_apply(const struct mt_text *t, struct buf *s)
{
	int rc = 0;

	strip(s, t->stripped);
	if (t->padded) {
		struct buf padded = BUF_INIT(BUF_NOLIMIT);

		buf_addc(&padded, ' ');
		buf_add(&padded, buf_str(s), s->len);
		buf_addc(&padded, ' ');
		buf_release(s);
		*s = padded;
	}
	for (size_t i = 0; i < t->n && !rc; i++)
		rc = regex_replace(s, t->regexes[i], t->with[i]);
	return rc;
}
