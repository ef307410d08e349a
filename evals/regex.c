/* regex.c: regular expressions by PCRE2 with UTF and UCP, as PCRE2 has them: the tokenizers' own rules, and the patterns of
 * JSON Schema, whose dialect is JavaScript's. (The regular expressions of task files are Python's: pyregex.c.)
 *
 * Patterns and texts may be strangers': a search ends after REGEX_STEPS steps, with an error, so that neither the time nor
 * the score depends on the machine's patience. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/base.h"

#include <pcre2.h>

#include "evals/metric_int.h"

enum { REGEX_STEPS = 1000000, REGEX_HEAP_KIB = 64 << 10, PATTERN_MAX = 64 << 10 };

struct regex {
	pcre2_code *code;
	pcre2_match_context *limits;
	pcre2_match_data *data;
};

int regex_new(struct regex **out, const char *pattern)
{
	struct regex *re;
	pcre2_code *code;
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	int number;

	*out = NULL;
	if (strlen(pattern) > PATTERN_MAX)
		return err_set(ERR_INPUT, "a regular expression of more than %d KiB", PATTERN_MAX >> 10);
	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &number, &at, NULL);
	if (!code) {
		pcre2_get_error_message(number, why, sizeof(why));
		return err_set(ERR_INPUT, "\"%.200s\": %s at character %zu", pattern, (char *)why, (size_t)at + 1);
	}
	re = mem_alloc(sizeof(*re));
	re->code = code;
	re->limits = pcre2_match_context_create(NULL);
	re->data = pcre2_match_data_create_from_pattern(code, NULL);
	pcre2_set_match_limit(re->limits, REGEX_STEPS);
	pcre2_set_heap_limit(re->limits, REGEX_HEAP_KIB);
	*out = re;
	return 0;
}

void regex_free(struct regex *re)
{
	if (!re)
		return;
	pcre2_match_data_free(re->data);
	pcre2_match_context_free(re->limits);
	pcre2_code_free(re->code);
	free(re);
}

static int gave_up(int number)
{
	PCRE2_UCHAR why[128];

	pcre2_get_error_message(number, why, sizeof(why));
	return err_set(ERR_INPUT, "a regular expression gave up: %s", (char *)why);
}

int regex_replace(struct buf *s, const struct regex *re, const char *with)
{
	size_t size = 2 * s->len + 64;

	for (;;) {
		PCRE2_SIZE got = size;
		char *out = mem_alloc(size);
		int n = pcre2_substitute(re->code, (PCRE2_SPTR)buf_str(s), s->len, 0,
					 PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH, NULL, re->limits,
					 (PCRE2_SPTR)with, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)out, &got);

		if (n >= 0) {
			buf_clear(s);
			buf_add(s, out, got);
		}
		free(out);
		if (n >= 0)
			return 0;
		if (n != PCRE2_ERROR_NOMEMORY || got <= size)
			return gave_up(n);
		size = got;
	}
}

int regex_found(bool *out, const struct regex *re, const char *s, size_t len)
{
	int n = pcre2_match(re->code, (PCRE2_SPTR)s, len, 0, 0, re->data, re->limits);

	*out = n >= 0;
	return n >= 0 || n == PCRE2_ERROR_NOMATCH ? 0 : gave_up(n);
}
