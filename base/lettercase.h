/* lettercase.h: upper, lower and title case as Python's str has them: what lm-evaluation-harness, sacrebleu and Jinja mean
 * by lower(). Invalid UTF-8 is read as U+FFFD. Not a part of base.h: kernels/ has no use for it. */
#ifndef BASE_LETTERCASE_H
#define BASE_LETTERCASE_H

#include "base/base.h"

void case_upper(struct buf *out, const char *s, size_t len);
void case_lower(struct buf *out, const char *s, size_t len);
void case_title(struct buf *out, const char *s, size_t len);
void case_capital(struct buf *out, const char *s, size_t len);
bool case_is(const char *s, size_t len, bool upper); /* isupper(), islower() */

#endif
