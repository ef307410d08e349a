/* tokenizer_decode.c: ids back to text, id by id.
 *
 * A decoder of tokenizer.json is a chain of steps over a list of tokens; the result is joined. Here the chain is a
 * stream: a token goes in at the top as soon as it is known, and text comes out at the bottom as soon as no later token
 * can change it. Decoding a whole list is the same stream fed at once, so the two cannot differ.
 *
 * Between steps travel fragments of tokens, with a mark where a token begins and where it ends. Up to Fuse and
 * ByteLevel, which make one token of all, a fragment is a whole token; behind them the one token comes in parts. What
 * each step holds back:
 *
 *	ByteLevel     the bytes of a character that is not complete
 *	ByteFallback  a run of <0xHH> tokens: U+FFFD for each, if the run as a whole is not UTF-8
 *	Strip         characters at an end that may turn out to be the end
 *	Replace       whole tokens; nothing where a token is a fragment, since a match may span two
 *
 * Without a decoder tokens are joined by spaces. To add a decoder: a row in kinds[] and a case in feed(). */
#include "base/base.h"

#include "model/tokenizer_int.h"

enum { AT_START = 1, AT_END = 2 };

struct step_state {
	struct buf held;
	int64_t n;    /* tokens begun */
	int64_t a, b; /* Strip: characters that may still go at the start; those held for the end */
};
struct tokenizer_stream {
	const struct tokenizer *t;
	const struct decoder *d;
	bool skip_special;
	struct buf *out;
	struct onig_scratch *search;
	struct step_state steps[TOKENIZER_MAX_STEPS + 1];
};

/* ---- reading the file --------------------------------------------------------------------------------------------- */

static int parse_plain(struct decoder_step *s, const json_t *node, const char *name)
{
	(void)s;
	(void)node;
	(void)name;
	return 0;
}

static int parse_strip(struct decoder_step *s, const json_t *node, const char *name)
{
	const char *content = json_get_text(node, "content", "");
	size_t used = 0, len = strlen(content);

	s->cp = len ? utf8_next(content, len, &used) : 0;
	s->start = json_get_int(node, "start", 0);
	s->stop = json_get_int(node, "stop", 0);
	if (!len || used != len || s->start < 0 || s->stop < 0 || s->start > 1024 || s->stop > 1024)
		return err_set(ERR_INPUT, "%s: decoder: Strip wants one character, and start and stop from 0 to 1024",
			       name);
	return 0;
}

static int parse_metaspace(struct decoder_step *s, const json_t *node, const char *name)
{
	enum metaspace_prepend prepend;
	int rc = metaspace_parse(&s->cp, &prepend, node, "decoder", name);

	s->keep_first = prepend == METASPACE_NEVER;
	return rc;
}

static int parse_replace(struct decoder_step *s, const json_t *node, const char *name)
{
	return replace_parse(&s->replace, node, "decoder", name);
}

static const struct decoder_kind {
	const char *type;
	int (*parse)(struct decoder_step *s, const json_t *node, const char *name);
} kinds[] = {
	[DECODER_BYTE_LEVEL] = { "ByteLevel", parse_plain },
	[DECODER_BYTE_FALLBACK] = { "ByteFallback", parse_plain },
	[DECODER_FUSE] = { "Fuse", parse_plain },
	[DECODER_STRIP] = { "Strip", parse_strip },
	[DECODER_REPLACE] = { "Replace", parse_replace },
	[DECODER_METASPACE] = { "Metaspace", parse_metaspace },
};

int decoder_parse(struct decoder *d, const json_t *node, const char *name, int depth)
{
	const json_t *list = json_object_get(node, "decoders");
	const char *type = json_get_text(node, "type", NULL);
	bool fused = false;
	int rc = 0;

	if (!node || json_is_null(node))
		return 0;
	if (!type || depth > 8)
		return err_set(ERR_INPUT, "%s: decoder: an object with a type is wanted", name);
	d->given = true;
	if (!strcmp(type, "Sequence")) {
		for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
			const json_t *inner = json_array_get(list, i);
			rc = json_is_object(inner) ? decoder_parse(d, inner, name, depth + 1)
						   : err_set(ERR_INPUT, "%s: decoder: an object is wanted", name);
		}
		return rc;
	}
	if (d->n == TOKENIZER_MAX_STEPS)
		return err_set(ERR_INPUT, "%s: decoder: more than %d steps", name, TOKENIZER_MAX_STEPS);
	for (int i = 0; i < d->n; i++)
		fused |= d->steps[i].kind == DECODER_FUSE || d->steps[i].kind == DECODER_BYTE_LEVEL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(type, kinds[i].type)) {
			struct decoder_step *s = &d->steps[d->n++];
			*s = (struct decoder_step){ .kind = (enum decoder_step_kind)i, .whole = fused };
			return kinds[i].parse(s, node, name);
		}
	return tokenizer_refuse(name, "decoder.type", type);
}

void decoder_release(struct decoder *d)
{
	for (int i = 0; i < d->n; i++)
		replace_release(&d->steps[i].replace);
	memset(d, 0, sizeof(*d));
}

/* ---- the steps ---------------------------------------------------------------------------------------------------- */

static void feed(struct tokenizer_stream *s, int step, const char *text, size_t len, int marks);

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* The byte of <0xHH>, or -1. Rust reads "+F" as a number as well. */
static int fallback_byte(const char *token, size_t len)
{
	if (len != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>' || !is_hex(token[4]) ||
	    !(is_hex(token[3]) || token[3] == '+'))
		return -1;
	return (int)strtol((char[]){ token[3], token[4], '\0' }, NULL, 16);
}

static void flush_fallback(struct tokenizer_stream *s, int step)
{
	struct buf *held = &s->steps[step].held;

	if (!held->len)
		return;
	if (utf8_valid(held->data, held->len, NULL))
		feed(s, step + 1, held->data, held->len, AT_START | AT_END);
	else
		for (size_t i = 0; i < held->len; i++)
			feed(s, step + 1, "\ufffd", 3, AT_START | AT_END);
	buf_clear(held);
}

/* With a fragmented token the run is of that one token, and "<0xHH>" is judged when it is whole. */
static void feed_fallback(struct tokenizer_stream *s, int step, const char *text, size_t len, int marks)
{
	int byte = marks == (AT_START | AT_END) ? fallback_byte(text, len) : -1;

	if (byte >= 0) {
		buf_addc(&s->steps[step].held, (char)byte);
		return;
	}
	flush_fallback(s, step);
	feed(s, step + 1, text, len, marks);
}

/* How many bytes at the end may be the beginning of a character. */
static size_t open_tail(const char *text, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		uint8_t c = (uint8_t)text[len - back];
		size_t wants = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		if (c >= 0xc0)
			return wants > back ? back : 0;
		if (c < 0x80)
			return 0;
	}
	return 0;
}

static void flush_bytes(struct tokenizer_stream *s, int step, size_t keep)
{
	struct step_state *st = &s->steps[step];
	size_t ready = st->held.len - keep;
	struct buf text = BUF_INIT(BUF_NOLIMIT);

	if (!ready)
		return;
	utf8_repair(&text, st->held.data, ready);
	feed(s, step + 1, buf_str(&text), text.len, st->n ? 0 : AT_START);
	st->n = 1;
	memmove(st->held.data, st->held.data + ready, keep);
	st->held.len = keep;
	buf_release(&text);
}

static void feed_bytes(struct tokenizer_stream *s, int step, const char *text, size_t len)
{
	struct buf *held = &s->steps[step].held;

	/* A token that is not wholly of the byte alphabet (an added one with a space, say) stands for itself. */
	if (!byte_alphabet_read(held, text, len))
		buf_add(held, text, len);
	flush_bytes(s, step, open_tail(held->data ? held->data : "", held->len));
}

static void feed_strip(struct tokenizer_stream *s, int step, const char *text, size_t len, int marks)
{
	const struct decoder_step *d = &s->d->steps[step];
	struct step_state *st = &s->steps[step];
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	char content[4];
	size_t n = utf8_put(content, d->cp), used;

	if (marks & AT_START) {
		st->a = d->start;
		st->b = 0;
	}
	for (size_t at = 0; at < len; at += used) {
		bool same = utf8_next(text + at, len - at, &used) == d->cp;
		if (same && st->a > 0) {
			st->a--;
			continue;
		}
		st->a = 0;
		if (same && st->b < d->stop) {
			st->b++;
			continue;
		}
		for (; !same && st->b > 0; st->b--)
			buf_add(&out, content, n);
		buf_add(&out, text + at, used);
	}
	feed(s, step + 1, buf_str(&out), out.len, marks);
	buf_release(&out);
}

static void feed_metaspace(struct tokenizer_stream *s, int step, const char *text, size_t len, int marks)
{
	const struct decoder_step *d = &s->d->steps[step];
	struct step_state *st = &s->steps[step];
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	size_t used;

	st->n += marks & AT_START ? 1 : 0;
	for (size_t at = 0; at < len; at += used) {
		if (utf8_next(text + at, len - at, &used) != d->cp)
			buf_add(&out, text + at, used);
		else if (st->n > 1 || d->keep_first)
			buf_addc(&out, ' ');
	}
	feed(s, step + 1, buf_str(&out), out.len, marks);
	buf_release(&out);
}

static void feed_replace(struct tokenizer_stream *s, int step, const char *text, size_t len, int marks)
{
	struct step_state *st = &s->steps[step];
	struct buf out = BUF_INIT(BUF_NOLIMIT);

	if (marks != (AT_START | AT_END)) {
		buf_add(&st->held, text, len);
		if (!(marks & AT_END))
			return;
		text = buf_str(&st->held);
		len = st->held.len;
	}
	if (replace_run(&s->d->steps[step].replace, s->search, &out, text, len))
		buf_add(&out, text, len); /* over the limit of the search: as it is */
	buf_clear(&st->held);
	feed(s, step + 1, buf_str(&out), out.len, AT_START | AT_END);
	buf_release(&out);
}

/* A fragment into a step; behind the last one it is text. */
static void feed(struct tokenizer_stream *s, int step, const char *text, size_t len, int marks)
{
	struct step_state *st = &s->steps[step];

	if (step == s->d->n) {
		if (marks & AT_START && st->n++ && !s->d->given)
			buf_addc(s->out, ' ');
		buf_add(s->out, text, len);
		return;
	}
	switch (s->d->steps[step].kind) {
	case DECODER_BYTE_LEVEL:
		feed_bytes(s, step, text, len);
		return;
	case DECODER_BYTE_FALLBACK:
		feed_fallback(s, step, text, len, marks);
		return;
	case DECODER_FUSE:
		feed(s, step + 1, text, len, st->n++ ? 0 : AT_START);
		return;
	case DECODER_STRIP:
		feed_strip(s, step, text, len, marks);
		return;
	case DECODER_REPLACE:
		feed_replace(s, step, text, len, marks);
		return;
	case DECODER_METASPACE:
		feed_metaspace(s, step, text, len, marks);
		return;
	}
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

struct tokenizer_stream *tokenizer_stream_new(const struct tokenizer *t, bool skip_special)
{
	struct tokenizer_stream *s = mem_alloc(sizeof(*s));

	s->t = t;
	s->d = tokenizer_decoder(t);
	s->skip_special = skip_special;
	for (int i = 0; i <= TOKENIZER_MAX_STEPS; i++)
		buf_init(&s->steps[i].held, BUF_NOLIMIT);
	for (int i = 0; i < s->d->n; i++)
		if (s->d->steps[i].kind == DECODER_REPLACE && !s->search)
			s->search = onig_scratch_new();
	return s;
}

void tokenizer_stream_free(struct tokenizer_stream *s)
{
	if (!s)
		return;
	for (int i = 0; i <= TOKENIZER_MAX_STEPS; i++)
		buf_release(&s->steps[i].held);
	onig_scratch_free(s->search);
	free(s);
}

void tokenizer_stream_add(struct tokenizer_stream *s, struct buf *out, int32_t id)
{
	const char *text = tokenizer_token(s->t, id, s->skip_special);

	if (!text)
		return;
	s->out = out;
	feed(s, 0, text, strlen(text), AT_START | AT_END);
}

void tokenizer_stream_finish(struct tokenizer_stream *s, struct buf *out)
{
	s->out = out;
	for (int i = 0; i < s->d->n; i++) {
		enum decoder_step_kind kind = s->d->steps[i].kind;
		if (kind == DECODER_BYTE_FALLBACK)
			flush_fallback(s, i);
		if (kind == DECODER_BYTE_LEVEL)
			flush_bytes(s, i, 0);
		if (kind == DECODER_BYTE_LEVEL || kind == DECODER_FUSE)
			feed(s, i + 1, "", 0, AT_END | (s->steps[i].n ? 0 : AT_START));
	}
	for (int i = 0; i <= s->d->n; i++) {
		buf_clear(&s->steps[i].held);
		s->steps[i].n = s->steps[i].a = s->steps[i].b = 0;
	}
}

void tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n, bool skip_special)
{
	struct tokenizer_stream *s = tokenizer_stream_new(t, skip_special);

	for (size_t i = 0; i < n; i++)
		tokenizer_stream_add(s, out, ids[i]);
	tokenizer_stream_finish(s, out);
	tokenizer_stream_free(s);
}
