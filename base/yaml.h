/* yaml.h: YAML by libfyaml, read into JSON values that remember where they stood. Needs libfyaml and libjansson.
 *
 * The plain YAML 1.2 core types: null, booleans true and false, integers, reals, text; a quoted scalar is always text.
 * Anchors and aliases are resolved within a bound; duplicate keys, tags that are not of the core schema, more than one
 * document and more than 64 levels are refused. "!function" is refused with the file, line and key. */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/json.h"

struct yaml;
int yaml_parse(struct yaml **out, const char *text, size_t len, const char *name); /* errors: "name:line:col: …" */
/* For files that a Python program reads too, as its library does: "!function NAME" is kept, as the object
 * {YAML_FUNCTION: NAME}, and of a key that stands twice the last counts, with a warning. */
int yaml_parse_python(struct yaml **out, const char *text, size_t len, const char *name);
#define YAML_FUNCTION "!function"
void yaml_free(struct yaml *y);
json_t *yaml_root(const struct yaml *y); /* borrowed; an empty text is an empty object */

/* "name:line:col: " and the text, as ERR_INPUT. at: the object or array; key: its member (the place of the key), or
 * NULL for the value itself. */
int yaml_error(const struct yaml *y, const json_t *at, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The members of a mapping of from come into obj of y: those that obj lacks, or (over) all. Errors about them, and about
 * what stands in them, name the file that they come from. from must live as long as y. */
void yaml_merge(struct yaml *y, json_t *obj, const struct yaml *from, const json_t *members, bool over);
/* Every key of obj must be known; the error names the key and the nearest known one. */
int yaml_check_keys(const struct yaml *y, const json_t *obj, const char *what, const char *const *known, size_t n);
/* Typed members: absent leaves *out as it is; a wrong type is ERR_INPUT naming key, type wanted and type found.
 * Text is borrowed from the document. */
int yaml_get_text(const struct yaml *y, const json_t *obj, const char *key, const char **out);
int yaml_get_int(const struct yaml *y, const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out);
int yaml_get_real(const struct yaml *y, const json_t *obj, const char *key, double min, double max, double *out);
int yaml_get_flag(const struct yaml *y, const json_t *obj, const char *key, bool *out);
int yaml_get_object(const struct yaml *y, const json_t *obj, const char *key, json_t **out);
int yaml_get_array(const struct yaml *y, const json_t *obj, const char *key, json_t **out);

#endif
