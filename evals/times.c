/* times.c: how long each sample took, beside the samples and in none of their digests: equal results are equal bytes at any speed.
 *
 *	"assay-times/1\n" and a zstd frame of one float a sample: seconds, little endian; 0: not known
 *
 * A reader that finds anything else knows no times: they decide nothing. */
#include "base/base.h"

#include <math.h>

#include "base/codec.h"
#include "evals/evals_int.h"

static const char magic[] = "assay-times/1\n";

double task_result_seconds(const struct task_result *t)
{
	double sum = 0;

	for (size_t i = 0; i < t->n; i++)
		sum += t->samples[i].seconds;
	return sum;
}

void task_times_pack(const struct task_result *t, struct buf *out)
{
	float *column = mem_array(t->n + 1, sizeof(*column));

	for (size_t i = 0; i < t->n; i++)
		column[i] = (float)t->samples[i].seconds;
	buf_adds(out, magic);
	codec_pack_fast(out, column, t->n * sizeof(*column));
	free(column);
}

int task_times_read(struct task_result *t, const void *data, size_t len, const char *name)
{
	float *column = mem_array(t->n + 1, sizeof(*column));
	size_t head = sizeof(magic) - 1;
	int rc = 0;

	if (len < head || memcmp(data, magic, head) != 0 ||
	    codec_unpack(CODEC_ZSTD, (const uint8_t *)data + head, len - head, (uint8_t *)column,
			 t->n * sizeof(*column)))
		rc = err_set(ERR_INPUT, "%s: no times of %zu samples", name, t->n);
	for (size_t i = 0; i < t->n && !rc; i++)
		if (!(column[i] >= 0) || !isfinite(column[i]))
			rc = err_set(ERR_INPUT, "%s: the time of sample %zu is none", name, i);
	for (size_t i = 0; i < t->n && !rc; i++)
		t->samples[i].seconds = (double)column[i];
	t->timed = t->timed || !rc;
	free(column);
	return rc;
}
