/* fuzz_rows.h: a file of rows from anybody: rows or bad input, nothing held afterwards, each row an object with its number.
 *
 * What a file may cost is lowered to some megabytes, by pretending that most of it is spent. */
#ifndef FUZZ_ROWS_H
#define FUZZ_ROWS_H

#include "base/base.h"
#include "base/rows_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
typedef int fuzz_reader(struct rows *r, const uint8_t *data, size_t size);

static int each(json_t *value, size_t line, void *arg)
{
	size_t *last = arg;

	if (!json_is_object(value) || line != ++*last)
		abort();
	return 0;
}

static int fuzz_rows(fuzz_reader *reader, const uint8_t *data, size_t size)
{
	size_t last = 0;
	struct rows r = { .name = "fuzz",
			  .each = each,
			  .arg = &last,
			  .out = ((size_t)4 << 30) - (8 << 20),
			  .work = ((size_t)16 << 30) - (32 << 20),
			  .held = ((size_t)1 << 30) - (64 << 20) };
	size_t held = r.held;
	int rc = reader(&r, data, size);

	if ((rc && rc != ERR_INPUT) || r.held != held)
		abort();
	return 0;
}

#endif
