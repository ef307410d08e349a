/* fuzz_parquet.c: a Parquet file from anybody: rows or bad input, nothing held afterwards, each row an object.
 *
 * What a file may cost is lowered to some megabytes, by pretending that most of it is spent. */
#include "base/base.h"
#include "base/rows_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(json_t *value, size_t line, void *arg)
{
	size_t *last = arg;

	if (!json_is_object(value) || line != ++*last)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t last = 0;
	struct rows r = { .name = "fuzz",
			  .each = each,
			  .arg = &last,
			  .out = ((size_t)4 << 30) - (8 << 20),
			  .work = ((size_t)16 << 30) - (32 << 20),
			  .held = ((size_t)1 << 30) - (64 << 20) };
	size_t held = r.held;
	int rc = parquet_rows(&r, data, size);

	if ((rc && rc != ERR_INPUT) || r.held != held)
		abort();
	return 0;
}
