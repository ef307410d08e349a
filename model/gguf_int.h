/* gguf_int.h: what the two halves of the GGUF writer share: keys and their types. */
#ifndef MODEL_GGUF_INT_H
#define MODEL_GGUF_INT_H

#include "model/model_int.h"

enum { GGUF_U32 = 4, GGUF_I32 = 5, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9 }; /* of values */
enum { GGUF_TYPE_F32 = 0, GGUF_TYPE_F16 = 1, GGUF_TYPE_Q8_0 = 8, GGUF_TYPE_BF16 = 30 };            /* of tensors */

struct gguf_keys {
	struct buf bytes;
	uint64_t n;
};
void gguf_key_u32(struct gguf_keys *k, const char *name, uint32_t value);
void gguf_key_f32(struct gguf_keys *k, const char *name, float value);
void gguf_key_bool(struct gguf_keys *k, const char *name, bool value);
void gguf_key_text(struct gguf_keys *k, const char *name, const char *value);
void gguf_key_texts(struct gguf_keys *k, const char *name, const char *const *values, size_t n);
/* An array of GGUF_I32 or GGUF_F32. */
void gguf_key_words(struct gguf_keys *k, const char *name, uint32_t type, const void *values, size_t n);

/* gguf_tokenizer.c: tokenizer.ggml.*, from the folder's tokenizer.json. ERR_INPUT if llama.cpp has no name for its rules. */
int gguf_tokenizer_keys(struct gguf_keys *k, const struct model *m, const char *dir);

#endif
