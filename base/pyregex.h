/* pyregex.h: Python's regular expressions, within a bound of time. Needs libpcre2. */
#ifndef BASE_PYREGEX_H
#define BASE_PYREGEX_H

#include "base/base.h"

struct pyregex; /* a regular expression, compiled */
enum pyregex_found { PYREGEX_NOTHING, PYREGEX_TEXT, PYREGEX_EMPTY /* several groups, all of them empty */ };
/* ERR_INPUT: the pattern is wrong, or no Python. */
int pyregex_compile(struct pyregex **out, const char *pattern);
/* One character of Unicode's punctuation (\p{P}), which Python's re cannot say. */
int pyregex_punctuation(struct pyregex **out);
void pyregex_free(struct pyregex *r);
/* Adds re.findall(pattern, text)[select], of several groups the first that is not empty. PYREGEX_NOTHING: there are not so
 * many matches. text must be UTF-8. ERR_INPUT: it backtracks too much. */
int pyregex_find(const struct pyregex *r, const struct buf *text, int select, struct buf *out,
		 enum pyregex_found *found);
/* re.sub(pattern, "", text). */
int pyregex_remove(const struct pyregex *r, struct buf *text);
/* Adds re.sub(pattern, with, text, count) to out, up to its limit. with is Python's template: \1, \g<2>, \g<name>, \n and their
 * kin. *tries: of ITEMS_MAX, for callers that count work. ERR_INPUT: `with` is wrong, or it backtracks too much. */
int pyregex_sub(const struct pyregex *r, const char *text, size_t len, const char *with, size_t with_len, int64_t count,
		struct buf *out, int64_t *tries);

#endif
