/* remote_spell.c: where the continuation begins among a prompt's tokens, told by their texts alone.
 *
 * Servers write a token in one of these ways; the first in which the tokens spell what is scored, byte for byte and from the
 * seam to the end, is the server's:
 *
 *   plain           its characters; "bytes:\xe2\x80" for a part of one (OpenAI)
 *   byte alphabet   GPT-2's: "Ġthe"
 *   pieces          SentencePiece's: "▁the", "<0xE2>"
 *   decoded alone   SentencePiece's again, each piece decoded for itself, so that a space in front of it is lost
 *
 * A token without text has a part of the character behind it. So it counts if that one is scored; and where it stands right
 * before the seam, the token before it must be what the context ends with, else nobody knows what it stands for. U+FFFD for a
 * part of a character spells nothing.
 *
 * All is read from the end, since nothing need be known of the beginning: tokens that the server puts there, and a context that it
 * writes in some other way, take no part. But a context of which the beginning is missing was cut. A token that reaches over
 * the seam is for the tokenizer to judge: whether the harness counts it depends on what the context is alone. */
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
	if (!s)
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
	size_t n;    /* tokens that are not read */
	size_t left; /* bytes that are not spelt */
	size_t lost; /* spaces that the tokens read since the last match may have lost */
	struct buf bytes;
};

/* Reads the token before; false: it does not end what is left. It may not go beyond the byte `from`: *over says that it would. */
static bool read_token(struct reader *r, size_t from, bool *over)
{
	*over = false;
	if (!bytes_of(&r->bytes, r->texts[r->n - 1], r->kind))
		return false;
	if (r->bytes.len && !ends_with(r->text, r->left, &r->bytes))
		return false;
	if (r->bytes.len > r->left - from) {
		*over = true;
		return false;
	}
	r->n--;
	r->lost = r->kind != KIND_ALONE ? 0 : r->bytes.len ? 1 : r->lost + 1;
	r->left -= r->bytes.len;
	return true;
}

/* A space that was lost stands before what is read. */
static bool read_lost(struct reader *r, size_t from)
{
	if (!r->lost || r->left == from || r->text[r->left - 1] != ' ')
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

/* Tokens without text before the seam. lead: the first is the server's own, if nothing is known of it. */
static enum spelt read_empty(struct reader *r, bool lead)
{
	size_t n = r->n;
	bool over, fits;

	while (r->n && bytes_of(&r->bytes, r->texts[r->n - 1], r->kind) && !r->bytes.len)
		r->n--;
	if (r->n == n)
		return SPELT;
	if (!r->n)
		r->n = lead && !r->left;
	if (!r->left)
		return SPELT;
	if (!r->n)
		return SPELT_SHORT;
	const struct reader here = *r;
	fits = read_token(r, 0, &over);
	r->n = here.n;
	r->left = here.left;
	r->lost = here.lost;
	return fits ? SPELT : SPELT_NOT;
}

static enum spelt spell_as(struct seam *out, struct reader *r, size_t from, bool lead)
{
	enum spelt how = read_to(r, from);

	how = how == SPELT ? read_empty(r, lead) : how;
	out->first = r->n;
	out->at = r->n ? r->n - 1 : 0;
	if (how == SPELT && read_to(r, 0) == SPELT_SHORT)
		how = SPELT_SHORT;
	return how;
}

enum spelt spell(struct seam *out, const char *const *texts, size_t n, const char *text, size_t from, bool lead)
{
	enum spelt told = SPELT_NOT;

	for (enum kind kind = KIND_PLAIN; kind < KINDS; kind++) {
		struct reader r = { .texts = texts,
				    .text = text,
				    .kind = kind,
				    .n = n,
				    .left = strlen(text),
				    .bytes = BUF_INIT(BUF_NOLIMIT) };
		struct seam here;
		enum spelt how = spell_as(&here, &r, from, lead);

		buf_release(&r.bytes);
		if (how == SPELT || kind == KIND_PLAIN || (told == SPELT_NOT && how != SPELT_NOT)) {
			*out = here;
			told = how;
		}
		if (how == SPELT)
			break;
	}
	return told;
}
