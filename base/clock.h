/* clock.h: time. Durations by the monotonic clock, dates by the wall clock in UTC. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

double clock_seconds(void); /* monotonic */
int64_t clock_unix_ns(void);
/* "2026-11-24T03:38:00Z" into out[21]. */
void clock_iso(char out[21], int64_t unix_ns);
/* The last nanosecond of "2026-05-01" (a day in UTC), "2026-05-01T12:30" or "2026-05-01T12:30:05", with or without a Z. false: no
 * such time. */
bool clock_until(const char *text, int64_t *unix_ns);
/* "3 m 12 s", "420 ms" into out[32]. */
void clock_duration(char out[32], double seconds);

#endif
