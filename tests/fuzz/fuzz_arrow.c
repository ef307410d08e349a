/* fuzz_arrow.c: an Arrow file or stream from anybody (fuzz_rows.h). */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_rows(arrow_rows, data, size);
}
