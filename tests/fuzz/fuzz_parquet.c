/* fuzz_parquet.c: a Parquet file from anybody (fuzz_rows.h). */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_rows(parquet_rows, data, size);
}
