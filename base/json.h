/* json.h: JSON by jansson, with the errors a user needs. Not a part of base.h: needs libjansson.
 *
 * Reading is strict: duplicate keys refused, depth bounded (jansson: 2048), file, line and column in the text.
 * Writing is canonical: compact, sorted keys, UTF-8 as it is, reals by the shortest form that reads back. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>

#include "base/base.h"

int json_parse(json_t **out, const char *text, size_t len, const char *name);
int json_read(json_t **out, const char *path, size_t max);
/* One line of a JSONL text: line is its number from 1, for the error "name:line: …". */
int json_parse_line(json_t **out, const char *text, size_t len, const char *name, size_t line);
/* Calls each(value, line, arg) for every line that is not blank; value is borrowed. Stops at the first failure. */
int json_lines(const char *text, size_t len, const char *name, int (*each)(json_t *value, size_t line, void *arg),
	       void *arg);
/* About how many bytes of memory a value takes, beside parts that others hold, too. */
size_t json_memory(const json_t *value);
void json_add(struct buf *out, const json_t *value);        /* canonical bytes */
void json_add_pretty(struct buf *out, const json_t *value); /* two spaces, keys in insertion order, final newline */
/* As a part of a pretty text, at that depth; no final newline. */
void json_add_indented(struct buf *out, const json_t *value, int depth);
void json_add_integer(struct buf *out, int64_t v);
void json_add_real(struct buf *out, double x);                  /* finite */
void json_add_text(struct buf *out, const char *s, size_t len); /* a quoted string; invalid UTF-8 repaired */

/* Members with defaults; NULL or another type gives the default. */
const char *json_get_text(const json_t *obj, const char *key, const char *otherwise); /* borrowed */
int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise);
double json_get_real(const json_t *obj, const char *key, double otherwise); /* integers too */
bool json_get_flag(const json_t *obj, const char *key, bool otherwise);
/* A JSON string with invalid UTF-8 repaired; never NULL. */
json_t *json_new_text(const char *s, size_t len);

#endif
