/* tokenizer_int.h: what the files of the tokenizer share. Stays inside model/.
 *
 *	tokenizer.c        tokenizer.json -> struct tokenizer; the way of a text through it
 *	tokenizer_json.c   the file: its two long lists, and the rest
 *	tokenizer_added.c  added tokens: which they are, where they stand in a text
 *	normalize.c        the text that the vocabulary was made for: NFC and its kin, Prepend, Replace
 *	pretokenize.c      pieces: ByteLevel, Split, Digits, Metaspace
 *	tokenizer_bpe.c    a piece -> ids: vocabulary, merges
 *	tokenizer_decode.c ids -> text, also id by id
 *	onig.c             a pattern in Oniguruma's language, run by PCRE2 */
#ifndef MODEL_TOKENIZER_INT_H
#define MODEL_TOKENIZER_INT_H

#include "base/base.h"
#include "base/json.h"
#include "model/model.h"

/* Ceilings for a hostile file; real ones stay far below. */
#define TOKENIZER_MAX_FILE ((size_t)256 << 20)
#define TOKENIZER_MAX_IDS (1 << 22)
#define TOKENIZER_MAX_TEXT ((size_t)1 << 30) /* bytes of one text */
#define TOKENIZER_MAX_STEPS 16
#define TOKENIZER_MAX_ADDED 65536
#define TOKENIZER_ADDED_LEN 1024 /* bytes of one added token: bounds the search at each place of a text */
#define TOKENIZER_MAX_AROUND 64  /* ids a post-processor puts on one side */

/* ---- the byte alphabet of GPT-2: every byte as a printable character -------------------------------------------- */

uint32_t byte_alphabet_char(uint8_t byte);
int byte_alphabet_byte(uint32_t cp); /* -1: not of the alphabet */
/* Adds text, each byte spelt as its character. */
void byte_alphabet_spell(struct buf *out, const char *text, size_t len);

/* ---- onig: patterns ----------------------------------------------------------------------------------------------- */

struct onig;
struct onig_scratch; /* what a search needs to write to; one a thread of work */
#define ONIG_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define ONIG_WORD_SET "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\u200c\u200dⒶ-ⓩ🄰-🅉🅐-🅩🅰-🆉"
#define ONIG_WORD "[" ONIG_WORD_SET "]" /* \w of the regex crate */
/* where names the field for errors. literal: the pattern is plain text. */
int onig_new(struct onig **out, const char *pattern, size_t len, bool literal, const char *where);
void onig_free(struct onig *o);
struct onig_scratch *onig_scratch_new(void);
void onig_scratch_free(struct onig_scratch *s);
/* The first match at or behind at, in valid UTF-8: 1 and its borders, 0 for none, or ERR_INPUT (over the limit). */
int onig_find(const struct onig *o, struct onig_scratch *s, const char *text, size_t len, size_t at, size_t *start,
	      size_t *end);

/* ---- vocabulary and merges -------------------------------------------------------------------------------------- */

struct vocab { /* texts of the ids [0,n) */
	char **texts;
	int32_t n, cap;
	struct map ids;
};
void vocab_release(struct vocab *v);
int32_t vocab_id(const struct vocab *v, const char *text, size_t len); /* -1: none */
void vocab_add(struct vocab *v, const char *text, size_t len);         /* the next id */

struct bpe_pair { /* a slot of the table of merges; rank -1: free */
	uint32_t left, right;
	int32_t rank, id;
};
struct bpe {
	const struct vocab *vocab;
	struct bpe_pair *pairs;
	size_t mask;
	int32_t *made; /* rank -> id */
	int32_t n_merges;
	int32_t byte_id[256]; /* -1: the byte is not in the vocabulary */
	int32_t unk;          /* -1: what is not in the vocabulary is dropped */
	bool fuse_unk, ignore_merges, byte_fallback;
	bool bytes;             /* a piece begins as its bytes; else as its characters, spelt if byte_level */
	bool byte_level;        /* the vocabulary spells bytes by the alphabet of GPT-2 */
	bool split_space;       /* no merge reaches over a border before U+2581 that has another character before it */
	char *prefix, *suffix;  /* of a character that is not the first; of the last one; NULL: none */
	int32_t fallback[256];  /* ids of <0xHH> */
	int32_t char_id[0x800]; /* ids of the first characters, -1: none */
	struct map whole;       /* with ignore_merges: bytes of a token -> id */
};
/* model.vocab and model.merges as they stand in the file. */
struct bpe_word {
	const char *text;
	size_t len;
	int64_t id; /* -1: not an integer */
};
struct bpe_merge {
	const char *line;         /* "a b" of older files, or */
	const char *left, *right; /* ["a","b"]; all NULL: something else */
};
struct bpe_lists {
	struct bpe_word *vocab;
	struct bpe_merge *merges;
	size_t n_vocab, cap_vocab, n_merges, cap_merges;
	bool no_merges; /* not a list */
	char *pool;
};
/* The file, in *root with or without the two lists; they are borrowed from *root or the lists. */
int tokenizer_json_read(json_t **root, struct bpe_lists *lists, const char *text, size_t len, const char *name);
void bpe_lists_release(struct bpe_lists *l);
struct bpe_scratch {
	int32_t *ids, *prev, *next;
	uint64_t *heap;
	size_t cap, heap_n, heap_cap;
	struct buf spelt;
};
/* byte_level: pieces are bytes that the vocabulary spells. v must outlive b. */
int bpe_parse(struct bpe *b, struct vocab *v, const json_t *model, const struct bpe_lists *lists, bool byte_level,
	      const char *name);
void bpe_release(struct bpe *b);
/* Adds the ids of one piece, given as its bytes. heap: use the heap however short the piece is (for the tests). */
void bpe_piece(const struct bpe *b, struct bpe_scratch *s, struct tokens *out, const char *piece, size_t len,
	       bool heap);
void bpe_scratch_release(struct bpe_scratch *s);

/* ---- added tokens ----------------------------------------------------------------------------------------------- */

struct added_token {
	int32_t id;
	bool single_word, lstrip, rstrip, normalized, special;
	char *shown;
};
struct added_node { /* of a trie over bytes; 0: none */
	uint32_t child, sibling;
	int32_t token; /* index into tokens, or -1 */
	uint8_t byte;
};
struct added_trie {
	struct added_node *nodes; /* 0 is the root */
	size_t n, cap;
	uint32_t first[256]; /* child of the root by its byte */
};
struct added {
	struct added_token *tokens;
	size_t n, cap;
	struct added_trie raw, normal; /* those searched before and behind the normalizer */
	bool *special;                 /* by id; size of the vocabulary */
	char **shown;                  /* by id: a normalized token as the normalizer makes it; NULL: as it is */
	struct onig *word;             /* if a token asks for single_word */
};
/* White_Space of Unicode; not Python's str.isspace (which has 1C..1F) and not C's. */
bool is_white_space(uint32_t cp);
/* Appends tokens that the model does not know to v; n: what the content of normalized tokens goes through. */
struct normalize;
int added_parse(struct added *a, struct vocab *v, const json_t *list, const struct normalize *n, const char *name);
void added_release(struct added *a);
/* Calls text() for what is between tokens and token() for tokens, in order; stops at the first failure. */
struct added_sink {
	int (*text)(void *arg, const char *text, size_t len);
	int (*token)(void *arg, int32_t id);
	void *arg;
};
int added_split(const struct added *a, const struct added_trie *trie, struct onig_scratch *s, const char *text,
		size_t len, const struct added_sink *sink);

/* ---- normalizers ------------------------------------------------------------------------------------------------- */

struct replace {
	struct onig *pattern; /* or */
	char *literal, *content;
};
int replace_parse(struct replace *r, const json_t *node, const char *field, const char *name);
void replace_release(struct replace *r);
int replace_run(const struct replace *r, struct onig_scratch *search, struct buf *out, const char *text, size_t len);

enum normalize_kind {
	NORMALIZE_FORM,
	NORMALIZE_PREPEND,
	NORMALIZE_REPLACE,
	NORMALIZE_LOWER,
	NORMALIZE_STRIP,
	NORMALIZE_ACCENTS
};
struct normalize_step {
	enum normalize_kind kind;
	struct form *form; /* the tables of NFC and its kin */
	struct replace replace;
	char *text;
	bool left, right;
};
struct normalize {
	struct normalize_step steps[TOKENIZER_MAX_STEPS];
	int n;
};
int normalize_parse(struct normalize *n, const json_t *node, const char *name, int depth); /* depth: 0 */
void normalize_release(struct normalize *n);
/* Text, which is valid UTF-8, into out, which is cleared. Over the limit of out is ERR_INPUT. */
int normalize_run(const struct normalize *n, struct onig_scratch *search, struct buf *out, const char *text,
		  size_t len);

/* ---- pieces ------------------------------------------------------------------------------------------------------- */

enum split_behavior { SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_PREVIOUS, SPLIT_NEXT, SPLIT_CONTIGUOUS };
enum metaspace_prepend { METASPACE_ALWAYS, METASPACE_FIRST, METASPACE_NEVER };
/* The character and the scheme of a Metaspace, pre-tokenizer or decoder. */
int metaspace_parse(uint32_t *cp, enum metaspace_prepend *prepend, const json_t *node, const char *field,
		    const char *name);
struct pre_step {
	struct onig *pattern; /* NULL: does not cut */
	enum split_behavior behavior;
	bool invert, prefix_space;
	uint32_t space; /* Metaspace: the character that a space becomes; 0: none */
	enum metaspace_prepend prepend;
};
struct pre {
	struct pre_step steps[TOKENIZER_MAX_STEPS];
	int n;
	bool byte_level; /* the last step spells bytes */
};
int pre_parse(struct pre *p, const json_t *pre_tokenizer, const char *name);
void pre_release(struct pre *p);
typedef int pre_piece_fn(void *arg, const char *piece, size_t len);
/* at_start: the text begins where the whole one does. */
int pre_split(const struct pre *p, struct onig_scratch *s, const char *text, size_t len, bool at_start,
	      pre_piece_fn *piece, void *arg);

/* ---- decoders ----------------------------------------------------------------------------------------------------- */

enum decoder_step_kind {
	DECODER_BYTE_LEVEL,
	DECODER_BYTE_FALLBACK,
	DECODER_FUSE,
	DECODER_STRIP,
	DECODER_REPLACE,
	DECODER_METASPACE
};
struct decoder_step {
	enum decoder_step_kind kind;
	bool whole, keep_first; /* behind a step that makes one token of all; Metaspace: never */
	uint32_t cp;
	int64_t start, stop;
	struct replace replace;
};
struct decoder {
	struct decoder_step steps[TOKENIZER_MAX_STEPS];
	int n;
	bool given; /* else: tokens joined by spaces */
};
int decoder_parse(struct decoder *d, const json_t *node, const char *name, int depth); /* depth: 0 */
void decoder_release(struct decoder *d);
const struct decoder *tokenizer_decoder(const struct tokenizer *t);
/* What a decoder is given for an id; NULL: nothing. */
const char *tokenizer_token(const struct tokenizer *t, int32_t id, bool skip_special);

/* ---- errors ------------------------------------------------------------------------------------------------------- */

/* "name: field: what is not supported yet" */
int tokenizer_refuse(const char *name, const char *field, const char *what);
/* A flag that must be absent, null or false; a text that must be absent, null or "". */
int tokenizer_must_be_off(const json_t *obj, const char *key, const char *name, const char *field);

#endif
