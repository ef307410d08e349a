/* tokenizer_int.h: what the files of the tokenizer share. Stays inside model/.
 *
 *	tokenizer.c        tokenizer.json -> struct tokenizer; the way of a text through it; decoding
 *	tokenizer_added.c  added tokens: which they are, where they stand in a text
 *	pretokenize.c      pieces: ByteLevel, Split, Digits
 *	tokenizer_bpe.c    a piece -> ids: vocabulary, merges
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
/* Adds the bytes that a token stands for; false (and nothing added) if a character is not of the alphabet. */
bool byte_alphabet_read(struct buf *out, const char *token, size_t len);

/* ---- onig: patterns ----------------------------------------------------------------------------------------------- */

struct onig;
struct onig_scratch; /* what a search needs to write to; one a thread of work */
#define ONIG_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define ONIG_WORD "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\u200c\u200dⒶ-ⓩ🄰-🅉🅐-🅩🅰-🆉]" /* \w of the regex crate */
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
	struct bpe_pair *pairs;
	size_t mask;
	int32_t *made; /* rank -> id */
	int32_t n_merges;
	int32_t byte_id[256]; /* -1: the byte is not in the vocabulary */
	int32_t unk;          /* -1: what is not in the vocabulary is dropped */
	bool fuse_unk, ignore_merges;
	struct map whole; /* with ignore_merges: bytes of a token -> id */
};
struct bpe_scratch {
	int32_t *ids, *prev, *next;
	uint64_t *heap;
	size_t cap, heap_n, heap_cap;
};
int bpe_parse(struct bpe *b, struct vocab *v, const json_t *model, const char *name);
void bpe_release(struct bpe *b);
/* Adds the ids of one piece, given as its bytes. heap: use the heap however short the piece is (for the tests). */
void bpe_piece(const struct bpe *b, struct bpe_scratch *s, struct tokens *out, const char *piece, size_t len,
	       bool heap);
void bpe_scratch_release(struct bpe_scratch *s);

/* ---- added tokens ----------------------------------------------------------------------------------------------- */

struct added_token {
	int32_t id;
	bool single_word, lstrip, rstrip, normalized, special;
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
	struct onig *word;             /* if a token asks for single_word */
};
/* Appends tokens that the model does not know to v. */
int added_parse(struct added *a, struct vocab *v, const json_t *list, const char *name);
void added_release(struct added *a);
/* Calls text() for what is between tokens and token() for tokens, in order; stops at the first failure. */
struct added_sink {
	int (*text)(void *arg, const char *text, size_t len);
	int (*token)(void *arg, int32_t id);
	void *arg;
};
int added_split(const struct added *a, const struct added_trie *trie, struct onig_scratch *s, const char *text,
		size_t len, const struct added_sink *sink);

/* ---- pieces ------------------------------------------------------------------------------------------------------- */

enum split_behavior { SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_PREVIOUS, SPLIT_NEXT, SPLIT_CONTIGUOUS };
struct pre_step {
	struct onig *pattern; /* NULL: does not cut */
	enum split_behavior behavior;
	bool invert, prefix_space;
};
struct pre {
	struct pre_step steps[TOKENIZER_MAX_STEPS];
	int n;
	bool byte_level; /* the last step spells bytes */
};
int pre_parse(struct pre *p, const json_t *pre_tokenizer, const char *name);
void pre_release(struct pre *p);
typedef int pre_piece_fn(void *arg, const char *piece, size_t len);
int pre_split(const struct pre *p, struct onig_scratch *s, const char *text, size_t len, pre_piece_fn *piece,
	      void *arg);

/* ---- errors ------------------------------------------------------------------------------------------------------- */

/* "name: field: what is not supported yet" */
int tokenizer_refuse(const char *name, const char *field, const char *what);
/* A flag that must be absent, null or false; a text that must be absent, null or "". */
int tokenizer_must_be_off(const json_t *obj, const char *key, const char *name, const char *field);

#endif
