/* remote_spell.c: where the continuation begins among a prompt's tokens, told by their texts alone.
 *
 * Servers write a token in one of these ways. Every one in which the tokens spell what is scored, byte for byte and from the seam
 * to the end, must tell the same seam:
 *
 *   plain           its characters; "bytes:\xe2\x80" for a part of one (OpenAI)
 *   byte alphabet   GPT-2's: "Ġthe"
 *   pieces          SentencePiece's: "▁the", "<0xE2>"
 *   decoded alone   SentencePiece's again, each piece decoded for itself, so that a space in front of it is lost
 *
 * A token without text has a part of the character behind it. U+FFFD for a part of a character spells nothing, and one that was
 * meant cannot be told from it.
 *
 * All is read from the end, since nothing need be known of the beginning: a context that the server writes in some other way takes
 * no part. But the token before the seam must be what the context ends with, since parts of its last character may hide in what is
 * scored; behind a token without text, which may hide parts of anything, it must be the whole context. And a context of which the
 * beginning is missing was cut. A token that reaches over the seam is for the tokenizer to judge: whether the harness counts it
 * depends on what the context is alone.
 *
 * A text without context begins with the prompt. There every token that has a log-probability is the text's, SentencePiece's "▁"
 * in front of it too; and the first one, which has none, must be known to be the server's own. */
#include "base/base.h"

#include "runner/remote_int.h"

enum kind { KIND_PLAIN, KIND_BYTES, KIND_PIECES, KIND_ALONE, KINDS };

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* HH at s, or -1. */
static int hex_byte(const char *s)
{
	int high = hex(s[0]), low = high < 0 ? -1 : hex(s[1]);

	return low < 0 ? -1 : high * 16 + low;
}

static bool add_escaped(struct buf *out, const char *s)
{
	if (strncmp(s, "bytes:\\x", 8) != 0)
		return false;
	for (s += 6; *s; s += 4) {
		int byte = strncmp(s, "\\x", 2) == 0 ? hex_byte(s + 2) : -1;

		if (byte < 0) {
			buf_clear(out);
			return false;
		}
		buf_addc(out, (char)byte);
	}
	return true;
}

static void add_piece(struct buf *out, const char *s)
{
	if (strncmp(s, "<0x", 3) == 0 && hex_byte(s + 3) >= 0 && strcmp(s + 5, ">") == 0) {
		buf_addc(out, (char)hex_byte(s + 3));
		return;
	}
	while (*s)
		if (strncmp(s, "\xe2\x96\x81", 3) == 0) { /* ▁ */
			buf_addc(out, ' ');
			s += 3;
		} else {
			buf_addc(out, *s++);
		}
}

/* The bytes of a token; false: no server of this kind writes it so. */
static bool bytes_of(struct buf *out, const char *s, enum kind kind)
{
	buf_clear(out);
	if (!s || strstr(s, "\xef\xbf\xbd")) /* U+FFFD */
		return false;
	if (kind == KIND_BYTES)
		return byte_alphabet_read(out, s, strlen(s));
	if (kind == KIND_PIECES)
		add_piece(out, s);
	else if (kind == KIND_ALONE || !add_escaped(out, s))
		buf_adds(out, s);
	return true;
}

static bool ends_with(const char *text, size_t len, const struct buf *end)
{
	return end->len <= len && memcmp(text + len - end->len, buf_str(end), end->len) == 0;
}

struct reader { /* from the end to the beginning */
	const char *const *texts;
	const char *text;
	enum kind kind;
	size_t base; /* the byte that SentencePiece may put a space before */
	size_t n;    /* tokens that are not read */
	size_t left; /* bytes that are not spelt */
	size_t lost; /* spaces that the tokens read since the last match may have lost */
	bool put;    /* such a space was read */
	struct buf bytes;
};

/* The token is all that is left, with a space in front that the text does not have. */
static bool has_put(const struct reader *r)
{
	size_t len = r->left - r->base;

	return !r->put && r->bytes.len == len + 1 && *buf_str(&r->bytes) == ' ' &&
	       memcmp(buf_str(&r->bytes) + 1, r->text + r->base, len) == 0;
}

/* Reads the token before; false: it does not end what is left. It may not go beyond the byte `from`: *over says that it would. */
static bool read_token(struct reader *r, size_t from, bool *over)
{
	size_t len;

	*over = false;
	if (!bytes_of(&r->bytes, r->texts[r->n - 1], r->kind))
		return false;
	len = r->bytes.len;
	if (r->left >= r->base && has_put(r)) {
		r->put = true;
		len--;
	} else if (len && !ends_with(r->text, r->left, &r->bytes)) {
		return false;
	}
	if (len > r->left - from) {
		*over = true;
		return false;
	}
	r->n--;
	r->lost = r->kind != KIND_ALONE ? 0 : len ? 1 : r->lost + 1;
	r->left -= len;
	return true;
}

/* A space that was lost stands before what is read, and not in a token of which nothing is known. */
static bool read_lost(struct reader *r, size_t from)
{
	if (!r->lost || r->left == from || r->text[r->left - 1] != ' ' || (r->n && !r->texts[r->n - 1]))
		return false;
	r->lost--;
	r->left--;
	return true;
}

/* Down to the byte `from`. */
static enum spelt read_to(struct reader *r, size_t from)
{
	bool over = false;

	while (r->left > from) {
		if (r->n && read_token(r, from, &over)) {
			if (!r->bytes.len &&
			    !r->text[r->left]) /* it has a part of the character behind it: there is none */
				return SPELT_NOT;
			continue;
		}
		if (!over && read_lost(r, from))
			continue;
		return !r->n ? SPELT_SHORT : over ? SPELT_OVER : SPELT_NOT;
	}
	return SPELT;
}

/* Tokens without text before the seam: how many. */
static size_t read_empty(struct reader *r)
{
	size_t n = r->n;

	while (r->n && bytes_of(&r->bytes, r->texts[r->n - 1], r->kind) && !r->bytes.len)
		r->n--;
	return n - r->n;
}

/* "<s>", "<|endoftext|>", "[CLS]"; not "<0xE2>". */
static bool is_special(const char *s)
{
	size_t len = s ? strlen(s) : 0;
	char open = len > 2 ? *s : 0;

	return (open == '<' && s[len - 1] == '>' && strncmp(s, "<0x", 3) != 0) || (open == '[' && s[len - 1] == ']');
}

/* The byte at which the character that ends the context begins, or the first of a row of the same. */
static size_t last_characters(const char *text, size_t from)
{
	size_t len = 1;

	while (len < from && ((unsigned char)text[from - len] & 0xc0) == 0x80)
		len++;
	from -= len;
	while (from >= len && memcmp(text + from - len, text + from, len) == 0)
		from -= len;
	return from;
}

/* Behind a context, which is read as far as it must be known. */
static enum spelt read_context(struct reader *r, struct seam *out)
{
	const char *scored = r->text + r->left;
	size_t until = last_characters(r->text, r->left), empty = read_empty(r);
	enum spelt how = SPELT;
	bool over;

	out->first = r->n;
	out->at = r->n ? r->n - 1 : 0;
	if (empty)
		return read_to(r, 0);
	if (r->n == 1 && !r->texts[0] && (unsigned char)*scored < 0x80) /* what no other token has of the context */
		return SPELT;
	while (how == SPELT && r->left > until)
		how = !r->n ? SPELT_SHORT : read_token(r, 0, &over) ? SPELT : SPELT_NOT;
	return how != SPELT || read_to(r, 0) != SPELT_SHORT ? how : SPELT_SHORT;
}

/* The context begins with a BOS, and the server put its own in front of that; or says neither. */
static bool begins_twice(const char *second, const char *text)
{
	return (is_special(second) && strncmp(text, second, strlen(second)) == 0) ||
	       (second && !*second && (*text == '<' || *text == '['));
}

/* Behind nothing, or behind the BOS that we wrote. lead: the first token has no log-probability. */
static enum spelt read_begin(struct reader *r, struct seam *out, bool lead)
{
	const char *first = r->texts[0];
	bool over, said = first && *first;

	while (r->n > lead && read_token(r, r->base, &over))
		; /* a part of a character, or the space that was put there */
	out->first = r->n;
	out->at = r->n ? r->n - 1 : 0;
	if (r->text[r->base] && is_special(r->texts[out->first])) /* the server's BOS, or the text's own */
		return SPELT_NOT;
	if (r->base) {
		if (r->n == 1 && (!said || is_special(first)))
			return SPELT;
		enum spelt how = read_to(r, 0);
		return how == SPELT && r->n ? SPELT_NOT : how;
	}
	if (r->n != (size_t)lead) /* without one left, what is scored begins in the first itself */
		return r->n ? SPELT_NOT : SPELT;
	return !r->n || is_special(first) || (r->put && !said) ? SPELT : said ? SPELT_NOT : SPELT_FIRST;
}

static enum spelt spell_as(struct seam *out, struct reader *r, const struct scored *s, bool lead)
{
	const char *second = r->n > lead ? r->texts[lead] : NULL;
	enum spelt how = read_to(r, s->from);

	out->first = r->n;
	out->at = r->n ? r->n - 1 : 0;
	if (how == SPELT_NOT && s->bare && r->n == 1 && !r->texts[0]) /* what is scored begins in it */
		return SPELT_FIRST;
	if (how == SPELT && !s->bare && begins_twice(second, s->text))
		return SPELT_NOT;
	return how != SPELT ? how : s->bare ? read_begin(r, out, lead) : read_context(r, out);
}

/* What one way of writing says outweighs what another does: doubt, first of all. */
static int weight(enum spelt how)
{
	static const int weights[] = {
		[SPELT_NOT] = 0, [SPELT_SHORT] = 1, [SPELT] = 2, [SPELT_FIRST] = 3, [SPELT_OVER] = 4
	};

	return weights[how];
}

enum spelt spell(struct seam *out, const char *const *texts, size_t n, const struct scored *s, bool lead)
{
	enum spelt told = SPELT_NOT;

	for (enum kind kind = KIND_PLAIN; kind < KINDS; kind++) {
		struct reader r = { .texts = texts,
				    .text = s->text,
				    .kind = kind,
				    .base = s->bare ? s->from : 0,
				    .n = n,
				    .left = strlen(s->text),
				    .bytes = BUF_INIT(BUF_NOLIMIT) };
		struct seam here;
		enum spelt how = spell_as(&here, &r, s, lead);

		buf_release(&r.bytes);
		if (how == SPELT && told == SPELT && here.first != out->first)
			return SPELT_NOT;
		if (kind == KIND_PLAIN || weight(how) > weight(told)) {
			*out = here;
			told = how;
		}
	}
	return told;
}
