/* fuzz_safetensors.c: weights from anybody, one file or an index and its shards: refused or read, and then all there.
 *
 * The first byte says how many shards (0: one file); then come the index and three files (fuzz_files.h). What must hold of
 * files that are accepted: every tensor lies in its file, they fill it without hole or overlap, each is found by its name,
 * its elements are read or refused by its type. */
#include "fuzz_files.h"
#include "model/model_int.h"

static const char *const names[] = { "a.safetensors", "b.safetensors", "c.safetensors" };

static bool is_float(const char *dtype)
{
	return !strcmp(dtype, "F32") || !strcmp(dtype, "F16") || !strcmp(dtype, "BF16");
}

static void check_file(const struct safetensors *s)
{
	const uint8_t *at = s->n ? s->entries[0].data : NULL;

	for (size_t i = 0; i < s->n; i++) {
		const struct safetensors_entry *e = &s->entries[i];
		uint64_t count = 1;
		must(e->data == at && e->end >= e->begin && e->end - e->begin <= s->map.len);
		must(e->data >= s->map.data + 8);
		at += e->end - e->begin;
		must(at <= s->map.data + s->map.len);
		must(safetensors_find(s, e->name) == e);
		for (int d = 0; d < e->n_dims; d++)
			count *= e->dims[d];
		must(count == e->count && count <= 2 * s->map.len); /* half a byte each, at least */
		float *x = mem_array((size_t)e->count + 1, sizeof(*x));
		must(safetensors_floats(s, e, x) == (is_float(e->dtype) ? 0 : ERR_INPUT));
		free(x);
		safetensors_drop(s, e->data, (size_t)(e->end - e->begin));
	}
	must(!s->n || at == s->map.data + s->map.len);
	safetensors_metadata(s, "format");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file files[4];
	size_t n = size ? data[0] % 4 : 0;
	struct shards s;

	fuzz_split(files, ARRAY_LEN(files), data, size);
	if (n) {
		fuzz_remove("model.safetensors");
		fuzz_write("model.safetensors.index.json", &files[0]);
		for (size_t i = 0; i < n; i++)
			fuzz_write(names[i], &files[i + 1]);
		for (size_t i = n; i < ARRAY_LEN(names); i++)
			fuzz_remove(names[i]);
	} else {
		fuzz_write("model.safetensors", &files[1]);
	}
	int rc = shards_open(&s, fuzz_dir());
	must(rc == 0 || rc == ERR_INPUT);
	for (size_t i = 0; !rc && i < s.n; i++) {
		const struct safetensors *in = NULL;
		check_file(&s.files[i]);
		for (size_t j = 0; j < s.files[i].n; j++)
			must(shards_find(&s, s.files[i].entries[j].name, &in) == &s.files[i].entries[j] &&
			     in == &s.files[i]);
	}
	shards_release(&s);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, "jsss");
}
