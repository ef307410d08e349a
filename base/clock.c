/* clock.c: time. Durations come from the monotonic clock, which no administrator turns back; dates from the wall clock,
 * in UTC, by arithmetic on the proleptic Gregorian calendar (no time zone, no locale). */
#include "base/base.h"

#include <time.h>

double clock_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t clock_unix_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void clock_iso(char out[21], int64_t unix_ns)
{
	int64_t s = unix_ns / 1000000000 - (unix_ns % 1000000000 < 0);
	int64_t day = s / 86400 - (s % 86400 < 0);
	unsigned in_day = (unsigned)(s - day * 86400);
	/* days since 0000-03-01: years then end with the leap day, and an era is 400 years */
	int64_t z = day + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	unsigned d = doy - (153 * mp + 2) / 5 + 1;
	unsigned m = mp < 10 ? mp + 3 : mp - 9;
	/* int64 nanoseconds reach from 1677 to 2262: four digits always */
	unsigned y = (unsigned)(era * 400 + yoe + (m <= 2)) % 10000;

	snprintf(out, 21, "%04u-%02u-%02uT%02u:%02u:%02uZ", y, m % 100, d % 100, in_day / 3600 % 100, in_day / 60 % 60,
		 in_day % 60);
}

bool clock_until(const char *text, int64_t *unix_ns)
{
	static const struct {
		const char *form;
		int64_t seconds;
	} forms[] = { { "%Y-%m-%d", 86400 }, { "%Y-%m-%dT%H:%M", 60 }, { "%Y-%m-%dT%H:%M:%S", 1 } };
	char again[40];

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm t = { 0 };
		const char *end = strptime(text, forms[i].form, &t);
		int64_t s;

		if (!end || (*end && strcmp(end, "Z") != 0) || t.tm_year < 70 || t.tm_year > 300)
			continue;
		s = timegm(&t); /* which makes 2 May of 31 April: written again it is another text */
		strftime(again, sizeof(again), forms[i].form, &t);
		if (strncmp(again, text, (size_t)(end - text)) != 0 || strlen(again) != (size_t)(end - text))
			return false;
		*unix_ns = (s + forms[i].seconds) * 1000000000 - 1;
		return true;
	}
	return false;
}

void clock_duration(char out[32], double seconds)
{
	/* rounded before the unit is chosen, so that 59.96 s is "1 m 00 s" and never "60.0 s" */
	double s = seconds > 0 && seconds < 1e12 ? seconds : 0;
	unsigned long long whole = (unsigned long long)(s + 0.5);

	if (s < 0.9995)
		snprintf(out, 32, "%u ms", (unsigned)(s * 1e3 + 0.5));
	else if (s < 59.95)
		snprintf(out, 32, "%.1f s", s);
	else if (whole < 3600)
		snprintf(out, 32, "%llu m %02llu s", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(out, 32, "%llu h %02llu m", whole / 3600, whole / 60 % 60);
	else
		snprintf(out, 32, "%llu d %02llu h", whole / 86400, whole / 3600 % 24);
}
