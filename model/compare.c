/* compare.c: what differs between two files of weights, in words that help to find out why.
 *
 * Tensors are compared by their bytes, in the order of the first file; of the first one that differs also by value: how
 * many elements, and by how much at most. Bits that differ in one place of the last layer speak of another cause than
 * bits that differ everywhere. */
#include "base/base.h"

#include <math.h>

#include "model/model_int.h"

static bool same_shape(const struct safetensors_entry *a, const struct safetensors_entry *b)
{
	return strcmp(a->dtype, b->dtype) == 0 && a->n_dims == b->n_dims &&
	       memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof(*a->dims)) == 0;
}

static bool same_bytes(const struct safetensors_entry *a, const struct safetensors_entry *b)
{
	return same_shape(a, b) && memcmp(a->data, b->data, (size_t)(a->end - a->begin)) == 0;
}

/* Types that are no numbers to us, and shapes that differ, are told by name alone. */
static void tell_values(struct buf *out, const struct safetensors *sa, const struct safetensors_entry *a,
			const struct safetensors *sb, const struct safetensors_entry *b)
{
	size_t bytes = mem_mul((size_t)a->count, sizeof(float));
	float *x = same_shape(a, b) ? mem_try_aligned(bytes) : NULL, *y = x ? mem_try_aligned(bytes) : NULL;
	double most = 0;
	uint64_t n = 0;

	if (y && safetensors_floats(sa, a, x) == 0 && safetensors_floats(sb, b, y) == 0) {
		for (uint64_t i = 0; i < a->count; i++) {
			double d = fabs((double)x[i] - (double)y[i]);

			n += memcmp(&x[i], &y[i], sizeof(float)) != 0;
			most = d > most ? d : most;
		}
		buf_addf(out, ": %llu of %llu elements, by at most %.3g", (unsigned long long)n,
			 (unsigned long long)a->count, most);
	} else if (!same_shape(a, b)) {
		buf_adds(out, ", in type or shape");
	}
	err_clear();
	free(x);
	free(y);
}

int model_compare_files(struct buf *out, const char *path_a, const char *path_b)
{
	struct safetensors a = { 0 }, b = { 0 };
	const struct safetensors_entry *first = NULL;
	size_t differ = 0, absent = 0;
	int rc = safetensors_open(&a, path_a);

	rc = rc ? rc : safetensors_open(&b, path_b);
	for (size_t i = 0; rc == 0 && i < a.n; i++) {
		const struct safetensors_entry *other = safetensors_find(&b, a.entries[i].name);

		if (!other) {
			absent++;
		} else if (!same_bytes(&a.entries[i], other)) {
			first = first ? first : &a.entries[i];
			differ++;
		}
	}
	if (rc == 0) {
		buf_addf(out, "%zu of %zu tensors differ", differ, a.n);
		if (first) {
			buf_addf(out, ", first %s", first->name);
			tell_values(out, &a, first, &b, safetensors_find(&b, first->name));
		}
		if (absent || b.n > a.n - absent)
			buf_addf(out, "; %zu are only in the first, %zu only in the second", absent,
				 b.n - (a.n - absent));
	}
	safetensors_close(&a);
	safetensors_close(&b);
	return rc;
}
