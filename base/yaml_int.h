/* yaml_int.h: shared by base/yaml.c and base/yaml_quoted.c only. */
#ifndef BASE_YAML_INT_H
#define BASE_YAML_INT_H

/* The text of a quoted scalar. s: all between the marks; mark: ' or "; python: the line breaks of YAML 1.1, as below.
 * false: what is wrong at s[*at] is *why. */
bool yaml_unquote(struct buf *out, const char *s, size_t len, char mark, bool python, const char **why, size_t *at);

#endif
