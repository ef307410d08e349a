/* pretokenize.c: a text into the pieces that are tokenized on their own.
 *
 * A pre-tokenizer is a list of steps; each cuts every piece of the one before. Sequence, Split, Digits and ByteLevel
 * all become the same step here: a pattern, what happens to its matches (the library's five behaviours), and whether a
 * space is put in front. A piece that is empty is dropped. Each piece is searched as a text of its own: a look-ahead
 * does not see past its end, as in the tokenizers library.
 *
 * Metaspace is a step that changes its piece as well: spaces become U+2581 and one may be put in front.
 *
 * ByteLevel must be the last step: what follows (tokenizer_bpe.c) then reads bytes. Its spelling of bytes as printable
 * characters is never made; the piece stays the bytes it is. To add a pre-tokenizer: a row in kinds[]. */
#include "base/base.h"

#include "model/tokenizer_int.h"

struct pre_kind {
	const char *type;
	int (*parse)(struct pre *p, const json_t *node, const char *field, const char *name);
};

static int parse_node(struct pre *p, const json_t *node, const char *field, const char *name, int depth);

static int add_step(struct pre *p, struct pre_step **out, const char *field, const char *name)
{
	if (p->byte_level)
		return tokenizer_refuse(name, field, "a step behind ByteLevel");
	if (p->n == TOKENIZER_MAX_STEPS)
		return err_set(ERR_INPUT, "%s: %s: more than %d steps", name, field, TOKENIZER_MAX_STEPS);
	*out = &p->steps[p->n++];
	**out = (struct pre_step){ .behavior = SPLIT_ISOLATED };
	return 0;
}

static int add_pattern(struct pre_step *s, const char *pattern, bool literal, const char *field, const char *name)
{
	char *where = mem_printf("%s: %s", name, field);
	int rc = onig_new(&s->pattern, pattern, strlen(pattern), literal, where);

	free(where);
	return rc;
}

static int parse_byte_level(struct pre *p, const json_t *node, const char *field, const char *name)
{
	struct pre_step *s = NULL;
	int rc = add_step(p, &s, field, name);

	if (rc)
		return rc;
	p->byte_level = true;
	s->prefix_space = json_get_flag(node, "add_prefix_space", true);
	if (!json_get_flag(node, "use_regex", true))
		return 0;
	return add_pattern(s, ONIG_GPT2, false, field, name);
}

static int parse_split(struct pre *p, const json_t *node, const char *field, const char *name)
{
	static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
					     "Contiguous" };
	const json_t *pattern = json_object_get(node, "pattern");
	const char *behavior = json_get_text(node, "behavior", ""), *regex = json_get_text(pattern, "Regex", NULL);
	const char *literal = json_get_text(pattern, "String", NULL);
	struct pre_step *s = NULL;
	size_t i = 0;
	int rc = add_step(p, &s, field, name);

	if (rc)
		return rc;
	while (i < ARRAY_LEN(names) && strcmp(behavior, names[i]) != 0)
		i++;
	if (i == ARRAY_LEN(names))
		return err_set(ERR_INPUT, "%s: %s.behavior: \"%s\" is not known", name, field, behavior);
	s->behavior = (enum split_behavior)i;
	s->invert = json_get_flag(node, "invert", false);
	if (!regex && !literal)
		return err_set(ERR_INPUT, "%s: %s.pattern: {\"Regex\": …} or {\"String\": …} is wanted", name, field);
	return add_pattern(s, regex ? regex : literal, !regex, field, name);
}

/* Rust's char::is_numeric, as the library is built: Unicode 17, so Tolong Siki's digits and the numerals of 16FF4 too. */
#define NUMERIC "[\\p{N}\U00011de0-\U00011de9\U00016ff4-\U00016ff6]"

static int parse_digits(struct pre *p, const json_t *node, const char *field, const char *name)
{
	struct pre_step *s = NULL;
	int rc = add_step(p, &s, field, name);

	if (rc)
		return rc;
	return add_pattern(s, json_get_flag(node, "individual_digits", false) ? NUMERIC : NUMERIC "+", false, field,
			   name);
}

int metaspace_parse(uint32_t *cp, enum metaspace_prepend *prepend, const json_t *node, const char *field,
		    const char *name)
{
	static const char *const names[] = { "always", "first", "never" };
	const char *text = json_get_text(node, "replacement", "\u2581"), *scheme;
	size_t used = 0, len = strlen(text), i = 0;

	/* add_prefix_space is the older key; false means never */
	scheme = json_get_text(node, "prepend_scheme",
			       json_get_flag(node, "add_prefix_space", true) ? "always" : "never");
	if (json_is_false(json_object_get(node, "add_prefix_space")) && strcmp(scheme, "never") != 0)
		return err_set(ERR_INPUT, "%s: %s: add_prefix_space false contradicts prepend_scheme \"%s\"", name,
			       field, scheme);
	*cp = len ? utf8_next(text, len, &used) : 0;
	while (i < ARRAY_LEN(names) && strcmp(scheme, names[i]) != 0)
		i++;
	if (!len || used != len || i == ARRAY_LEN(names))
		return err_set(ERR_INPUT,
			       "%s: %s: Metaspace wants a replacement of one character, and prepend_scheme always, "
			       "first or never",
			       name, field);
	*prepend = (enum metaspace_prepend)i;
	return 0;
}

static int parse_metaspace(struct pre *p, const json_t *node, const char *field, const char *name)
{
	struct pre_step *s = NULL;
	char space[5] = "";
	int rc = add_step(p, &s, field, name);

	if (!rc)
		rc = metaspace_parse(&s->space, &s->prepend, node, field, name);
	if (rc || !json_get_flag(node, "split", true))
		return rc;
	utf8_put(space, s->space);
	s->behavior = SPLIT_NEXT;
	return add_pattern(s, space, true, field, name);
}

/* \w+|[^\w\s]+ of the regex crate; what lies between is dropped. */
static int parse_whitespace(struct pre *p, const json_t *node, const char *field, const char *name)
{
	struct pre_step *s = NULL;
	int rc = add_step(p, &s, field, name);

	(void)node;
	if (rc)
		return rc;
	s->behavior = SPLIT_REMOVED;
	s->invert = true;
	return add_pattern(s, ONIG_WORD "+|[^\\s" ONIG_WORD_SET "]+", false, field, name);
}

static int parse_whitespace_split(struct pre *p, const json_t *node, const char *field, const char *name)
{
	struct pre_step *s = NULL;
	int rc = add_step(p, &s, field, name);

	(void)node;
	if (rc)
		return rc;
	s->behavior = SPLIT_REMOVED;
	return add_pattern(s, "\\s", false, field, name);
}

static const struct pre_kind kinds[] = {
	{ "ByteLevel", parse_byte_level },  { "Split", parse_split },
	{ "Digits", parse_digits },         { "Metaspace", parse_metaspace },
	{ "Whitespace", parse_whitespace }, { "WhitespaceSplit", parse_whitespace_split },
};

static int parse_sequence(struct pre *p, const json_t *node, const char *field, const char *name, int depth)
{
	const json_t *list = json_object_get(node, "pretokenizers");
	int rc = 0;

	if (!json_is_array(list))
		return err_set(ERR_INPUT, "%s: %s.pretokenizers: a list is wanted", name, field);
	for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
		char *inner = mem_printf("%s[%zu]", field, i);
		rc = parse_node(p, json_array_get(list, i), inner, name, depth + 1);
		free(inner);
	}
	return rc;
}

static int parse_node(struct pre *p, const json_t *node, const char *field, const char *name, int depth)
{
	const char *type = json_get_text(node, "type", NULL);

	if (!type || depth > 8)
		return err_set(ERR_INPUT, "%s: %s: an object with a type is wanted", name, field);
	if (!strcmp(type, "Sequence"))
		return parse_sequence(p, node, field, name, depth);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(type, kinds[i].type))
			return kinds[i].parse(p, node, field, name);
	return tokenizer_refuse(name, field, type);
}

int pre_parse(struct pre *p, const json_t *pre_tokenizer, const char *name)
{
	int rc = 0;

	p->n = 0;
	if (pre_tokenizer && !json_is_null(pre_tokenizer))
		rc = parse_node(p, pre_tokenizer, "pre_tokenizer", name, 0);
	return rc;
}

void pre_release(struct pre *p)
{
	for (int i = 0; i < p->n; i++)
		onig_free(p->steps[i].pattern);
	memset(p, 0, sizeof(*p));
}

/* ---- cutting ------------------------------------------------------------------------------------------------------ */

struct cutter {
	const struct pre *pre;
	struct onig_scratch *scratch;
	pre_piece_fn *piece;
	void *arg;
};

static int cut(const struct cutter *c, int step, const char *text, size_t len, bool at_start);

struct span {
	size_t start, end;
	bool match;
};

/* Matches and what lies between them: the cases where each is a piece (or dropped) as it comes. */
static int cut_plain(const struct cutter *c, int step, const char *text, size_t len, bool at_start)
{
	const struct pre_step *s = &c->pre->steps[step];
	size_t at = 0, start = 0, end = 0;
	int rc = 0, found = 1;

	while (!rc && at < len) {
		found = onig_find(s->pattern, c->scratch, text, len, at, &start, &end);
		if (found < 0)
			return found;
		if (!found)
			start = end = len;
		if (start > at && !(s->behavior == SPLIT_REMOVED && s->invert))
			rc = cut(c, step + 1, text + at, start - at, at_start && at == 0);
		if (!rc && end > start && !(s->behavior == SPLIT_REMOVED && !s->invert))
			rc = cut(c, step + 1, text + start, end - start, at_start && start == 0);
		at = end;
	}
	return rc;
}

static void span_add(struct span **spans, size_t *n, size_t *cap, size_t start, size_t end, bool match)
{
	if (start == end)
		return;
	MEM_GROW(*spans, *n, *cap);
	(*spans)[(*n)++] = (struct span){ start, end, match };
}

/* From the end: a match goes to the span behind it, unless that is a match too. Flags are left as they were read. */
static size_t join_next(struct span *s, size_t n)
{
	size_t top = n;

	for (size_t i = n; i-- > 0;) {
		bool after = i + 1 < n && s[i + 1].match;
		if (s[i].match && !after && top < n) {
			s[top].start = s[i].start;
		} else {
			size_t start = s[i].start, end = s[i].end;
			s[--top].start = start;
			s[top].end = end;
		}
	}
	memmove(s, s + top, (n - top) * sizeof(*s));
	return n - top;
}

/* Joins spans in place as the behaviour says; returns how many are left. */
static size_t join_spans(struct span *s, size_t n, enum split_behavior behavior)
{
	size_t out = 0;

	if (behavior == SPLIT_NEXT)
		return join_next(s, n);
	for (size_t i = 0; i < n; i++) {
		bool before = i > 0 && s[i - 1].match, match = s[i].match;
		bool join = behavior == SPLIT_CONTIGUOUS ? match == before : match && !before;
		size_t start = s[i].start, end = s[i].end;
		if (join && out > 0) {
			s[out - 1].end = end;
			continue;
		}
		s[out].start = start;
		s[out++].end = end;
	}
	return out;
}

static int cut_joined(const struct cutter *c, int step, const char *text, size_t len, bool at_start)
{
	const struct pre_step *s = &c->pre->steps[step];
	struct span *spans = NULL;
	size_t n = 0, cap = 0, at = 0, start, end;
	int rc = 0, found;

	while (at < len && (found = onig_find(s->pattern, c->scratch, text, len, at, &start, &end)) != 0) {
		if (found < 0) {
			rc = found;
			goto out;
		}
		span_add(&spans, &n, &cap, at, start, s->invert);
		span_add(&spans, &n, &cap, start, end, !s->invert);
		at = end;
	}
	span_add(&spans, &n, &cap, at, len, s->invert);
	n = join_spans(spans, n, s->behavior);
	for (size_t i = 0; i < n && !rc; i++)
		rc = cut(c, step + 1, text + spans[i].start, spans[i].end - spans[i].start,
			 at_start && spans[i].start == 0);
out:
	free(spans);
	return rc;
}

/* Spaces to the character of Metaspace, and one in front. */
static char *metaspace(const struct pre_step *s, const char *text, size_t *len, bool at_start)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	char space[4];
	size_t n = utf8_put(space, s->space), at = 0;

	if ((s->prepend == METASPACE_ALWAYS || (s->prepend == METASPACE_FIRST && at_start)) && text[0] != ' ' &&
	    (*len < n || memcmp(text, space, n) != 0))
		buf_add(&out, space, n);
	while (at < *len) {
		const char *hit = memchr(text + at, ' ', *len - at);
		size_t upto = hit ? (size_t)(hit - text) : *len;
		buf_add(&out, text + at, upto - at);
		if (hit)
			buf_add(&out, space, n);
		at = upto + 1;
	}
	*len = out.len;
	return buf_take(&out);
}

static int cut(const struct cutter *c, int step, const char *text, size_t len, bool at_start)
{
	const struct pre_step *s = &c->pre->steps[step];
	char *spaced = NULL;
	int rc;

	if (!len)
		return 0;
	if (step == c->pre->n)
		return c->piece(c->arg, text, len);
	if (s->prefix_space && text[0] != ' ') {
		spaced = mem_alloc(len + 2);
		spaced[0] = ' ';
		memcpy(spaced + 1, text, len++);
		text = spaced;
	}
	if (s->space)
		text = spaced = metaspace(s, text, &len, at_start);
	if (!s->pattern)
		rc = cut(c, step + 1, text, len, at_start);
	else if (s->behavior == SPLIT_ISOLATED || s->behavior == SPLIT_REMOVED)
		rc = cut_plain(c, step, text, len, at_start);
	else
		rc = cut_joined(c, step, text, len, at_start);
	free(spaced);
	return rc;
}

int pre_split(const struct pre *p, struct onig_scratch *s, const char *text, size_t len, bool at_start,
	      pre_piece_fn *piece, void *arg)
{
	const struct cutter c = { p, s, piece, arg };

	return cut(&c, 0, text, len, at_start);
}
