/* progress.h: long work shows itself: a bar with rate and time left on a terminal, a line every ten seconds in a log.
 * One at a time; drawing is rate-limited, so progress_at() may be called for every item. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

void progress_begin(const char *what, uint64_t total, const char *unit);      /* total 0: not known */
void progress_at(uint64_t done, const char *note_fmt, ...) PRINTF_LIKE(2, 3); /* note_fmt may be NULL */
void progress_end(void);                                                      /* clears the bar */

#endif
