/* porter.c: Porter's stemmer (1980) with the changes of NLTK, which rouge_score stems by.
 *
 * A word is a row of consonants and vowels, where y is a vowel behind a consonant; its measure m is how often a vowel is
 * followed by a consonant. Five steps take off endings, each if what is left has a large enough measure. In a list of
 * endings the first that fits decides, even if its condition then fails. NLTK's changes: words it knows by heart, words of
 * four letters in -ies and -ied, y to i behind consonants only, -alli before the other endings, -fulli, -logi, and a
 * vowel and a consonant as a whole word count as short. Words of ASCII letters and digits, in lower case. */
#include "base/base.h"

#include "evals/mt_int.h"

struct word {
	char *s;
	size_t len;
};

static bool is_vowel(char c)
{
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/* What a beginning of a word is like. */
struct shape {
	size_t measure;
	bool vowel;      /* there is one */
	bool consonant;  /* at the end */
	bool double_end; /* two equal consonants at the end */
	bool short_end;  /* consonant, vowel, consonant other than w, x, y; or a vowel and a consonant alone */
};

static struct shape shape_of(const char *s, size_t len)
{
	struct shape f = { 0 };
	bool before = false, last = false, now = false; /* consonants: the two letters before, and this one */

	for (size_t i = 0; i < len; i++) {
		before = last;
		last = now;
		now = s[i] == 'y' ? i == 0 || !last : !is_vowel(s[i]);
		f.vowel |= !now;
		f.measure += i && !last && now;
	}
	f.consonant = len && now;
	f.double_end = len >= 2 && now && s[len - 1] == s[len - 2];
	f.short_end = len >= 3 ? before && !last && now && !strchr("wxy", s[len - 1]) : len == 2 && !last && now;
	return f;
}

static bool ends(const struct word *w, const char *ending)
{
	size_t n = strlen(ending);

	return w->len >= n && memcmp(w->s + w->len - n, ending, n) == 0;
}

/* The ending, n letters long, replaced. */
static void become(struct word *w, size_t n, const char *with)
{
	size_t more = strlen(with);

	memcpy(w->s + w->len - n, with, more); /* there is room: stem_word() */
	w->len = w->len - n + more;
}

struct ending {
	const char *from, *to;
};

/* The first ending that fits, if more than `least` is the measure of what is left. */
static void take_off(struct word *w, const struct ending *list, size_t n, size_t least)
{
	for (size_t i = 0; i < n; i++)
		if (ends(w, list[i].from)) {
			size_t len = strlen(list[i].from), stem = w->len - len;

			if (strcmp(list[i].from, "logi") == 0)
				stem++; /* geo-l: short stems count as long ones do */
			if (shape_of(w->s, stem).measure > least &&
			    (strcmp(list[i].from, "ion") != 0 || w->s[stem - 1] == 's' || w->s[stem - 1] == 't'))
				become(w, len, list[i].to);
			return;
		}
}

static void plurals(struct word *w)
{
	if (ends(w, "ies"))
		become(w, 3, w->len == 4 ? "ie" : "i");
	else if (ends(w, "sses"))
		become(w, 2, "");
	else if (!ends(w, "ss") && ends(w, "s"))
		become(w, 1, "");
}

static void past(struct word *w)
{
	struct shape f;
	size_t n = ends(w, "ed") ? 2 : 3;

	if (ends(w, "ied")) {
		become(w, 3, w->len == 4 ? "ie" : "i");
		return;
	}
	if (ends(w, "eed")) {
		if (shape_of(w->s, w->len - 3).measure > 0)
			become(w, 1, "");
		return;
	}
	if ((!ends(w, "ed") && !ends(w, "ing")) || !shape_of(w->s, w->len - n).vowel)
		return;
	become(w, n, "");
	f = shape_of(w->s, w->len);
	if (ends(w, "at") || ends(w, "bl") || ends(w, "iz"))
		become(w, 0, "e");
	else if (f.double_end && !strchr("lsz", w->s[w->len - 1]))
		become(w, 1, "");
	else if (!f.double_end && f.measure == 1 && f.short_end)
		become(w, 0, "e");
}

static void last_y(struct word *w)
{
	if (ends(w, "y") && w->len > 2 && shape_of(w->s, w->len - 1).consonant)
		become(w, 1, "i");
}

static void last_e(struct word *w)
{
	struct shape f;

	if (ends(w, "e")) {
		f = shape_of(w->s, w->len - 1);
		if (f.measure > 1 || (f.measure == 1 && !f.short_end))
			become(w, 1, "");
	}
	if (ends(w, "ll") && shape_of(w->s, w->len - 1).measure > 1)
		become(w, 1, "");
}

static const struct ending second[] = {
	{ "ational", "ate" }, { "tional", "tion" }, { "enci", "ence" }, { "anci", "ance" }, { "izer", "ize" },
	{ "bli", "ble" },     { "alli", "al" },     { "entli", "ent" }, { "eli", "e" },     { "ousli", "ous" },
	{ "ization", "ize" }, { "ation", "ate" },   { "ator", "ate" },  { "alism", "al" },  { "iveness", "ive" },
	{ "fulness", "ful" }, { "ousness", "ous" }, { "aliti", "al" },  { "iviti", "ive" }, { "biliti", "ble" },
	{ "fulli", "ful" },   { "logi", "log" },
};
static const struct ending third[] = { { "icate", "ic" }, { "ative", "" }, { "alize", "al" }, { "iciti", "ic" },
				       { "ical", "ic" },  { "ful", "" },   { "ness", "" } };
static const struct ending fourth[] = {
	{ "al", "" },  { "ance", "" },  { "ence", "" }, { "er", "" },  { "ic", "" },  { "able", "" }, { "ible", "" },
	{ "ant", "" }, { "ement", "" }, { "ment", "" }, { "ent", "" }, { "ion", "" }, { "ou", "" },   { "ism", "" },
	{ "ate", "" }, { "iti", "" },   { "ous", "" },  { "ive", "" }, { "ize", "" },
};
static const struct ending known[] = {
	{ "sky", "sky" },        { "skies", "sky" },       { "dying", "die" },        { "lying", "lie" },
	{ "tying", "tie" },      { "news", "news" },       { "innings", "inning" },   { "inning", "inning" },
	{ "outings", "outing" }, { "outing", "outing" },   { "cannings", "canning" }, { "canning", "canning" },
	{ "howe", "howe" },      { "proceed", "proceed" }, { "exceed", "exceed" },    { "succeed", "succeed" },
};

char *stem_word(const char *s, size_t len)
{
	struct word w = { mem_alloc(len + 4), len }; /* no step adds more than two letters to what was taken off */

	memcpy(w.s, s, len);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].from, w.s) == 0) {
			free(w.s);
			return mem_str(known[i].to);
		}
	if (len > 2) {
		plurals(&w);
		past(&w);
		last_y(&w);
		while (ends(&w, "alli") && shape_of(w.s, w.len - 4).measure > 0)
			become(&w, 2, "");
		take_off(&w, second, ARRAY_LEN(second), 0);
		take_off(&w, third, ARRAY_LEN(third), 0);
		take_off(&w, fourth, ARRAY_LEN(fourth), 1);
		last_e(&w);
	}
	w.s[w.len] = 0;
	return w.s;
}
