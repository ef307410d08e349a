/* fuzz_files.h: inputs that are several files, and mutations that keep their layout.
 *
 * An input is one byte that is the target's own, and then files: two bytes of length (little-endian) and the bytes; the last
 * file is what remains. Half of the mutations are libFuzzer's own, over all of it. The other half change one file: a JSON
 * text by putting something nasty in the place of one of its values, a safetensors file in its header, whose length is then
 * set to be true, or in its data. So most inputs get past the first check. */
#ifndef TESTS_FUZZ_FILES_H
#define TESTS_FUZZ_FILES_H

#include "base/base.h"
#include "base/json.h"

#include <stdio.h>

#define FUZZ_FILES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

struct fuzz_file {
	const uint8_t *data;
	size_t len;
};

static void must(bool ok)
{
	if (!ok) {
		fprintf(stderr, "the last error: %s\n", err_text());
		abort();
	}
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

/* Exactly n files of an input behind its first byte; those that are not there are empty. */
static void fuzz_split(struct fuzz_file *files, size_t n, const uint8_t *data, size_t size)
{
	size_t at = size ? 1 : 0;

	for (size_t i = 0; i < n; i++) {
		size_t left = size - at, len = left;
		if (i + 1 < n) {
			size_t head = left < 2 ? left : 2;
			len = head == 2 ? (size_t)(data[at] | data[at + 1] << 8) : 0;
			at += head;
			len = len < left - head ? len : left - head;
		}
		files[i] = (struct fuzz_file){ data + at, len };
		at += len;
	}
}

static char *fuzz_folder;

static void fuzz_drop_folder(void)
{
	fs_remove_tree(fuzz_folder);
	free(fuzz_folder);
}

/* A folder of this process, that goes when it ends. */
static const char *fuzz_dir(void)
{
	if (!fuzz_folder) {
		must(!fs_temp_dir(&fuzz_folder, fs_is_dir("/dev/shm") ? "/dev/shm" : "/tmp", "fuzz"));
		atexit(fuzz_drop_folder);
	}
	return fuzz_folder;
}

/* Not by fs_write(), which waits for the disk. */
static void fuzz_write(const char *name, const struct fuzz_file *file)
{
	char *path = path_join(fuzz_dir(), name);
	FILE *f = fopen(path, "wb");

	must(f && fwrite(file->data, 1, file->len, f) == file->len && !fclose(f));
	free(path);
}

static void fuzz_remove(const char *name)
{
	char *path = path_join(fuzz_dir(), name);

	must(!fs_remove(path));
	free(path);
}

/* ---- mutation ----------------------------------------------------------------------------------------------------- */

struct fuzz_random {
	uint64_t state;
};

static size_t fuzz_pick(struct fuzz_random *r, size_t n)
{
	r->state = r->state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(r->state >> 33) % n;
}

static json_t *fuzz_nasty(struct fuzz_random *r, const json_t *old)
{
	static const char *const texts[] = { "0",
					     "-1",
					     "1",
					     "2",
					     "3",
					     "8",
					     "1.5",
					     "1e308",
					     "1e-40",
					     "65536",
					     "16777216",
					     "2147483647",
					     "2147483648",
					     "4294967296",
					     "4611686018427387904",
					     "9223372036854775807",
					     "null",
					     "true",
					     "false",
					     "\"\"",
					     "[]",
					     "{}",
					     "[[]]",
					     "\"F16\"",
					     "\"BF16\"",
					     "\"I64\"",
					     "\"yarn\"",
					     "\"llama3\"",
					     "\"linear\"",
					     "\"qwen3\"",
					     "\"gpt2\"",
					     "\"../a.safetensors\"" };

	if (json_is_integer(old) && fuzz_pick(r, 2))
		return json_integer((json_int_t)((uint64_t)json_integer_value(old) + fuzz_pick(r, 9) - 4));
	return json_loads(texts[fuzz_pick(r, ARRAY_LEN(texts))], JSON_DECODE_ANY, NULL);
}

/* Walks down a random way, and changes, drops or doubles what is there. */
static void fuzz_change(struct fuzz_random *r, json_t *v)
{
	size_t n = json_is_object(v) ? json_object_size(v) : json_array_size(v), i = n ? fuzz_pick(r, n) : 0;
	const char *key = NULL;
	json_t *member;

	if (!n)
		return;
	if (json_is_object(v)) {
		void *it = json_object_iter(v);
		while (i--)
			it = json_object_iter_next(v, it);
		key = json_object_iter_key(it);
		member = json_object_iter_value(it);
	} else {
		member = json_array_get(v, i);
	}
	if ((json_object_size(member) || json_array_size(member)) && fuzz_pick(r, 8)) {
		fuzz_change(r, member);
	} else if (key && !fuzz_pick(r, 8)) {
		json_object_del(v, key);
	} else if (key && !fuzz_pick(r, 8)) {
		char *other = mem_printf("%s%c", key, (char)('a' + fuzz_pick(r, 3)));
		json_object_set(v, other, member);
		free(other);
	} else if (key) {
		json_object_set_new(v, key, fuzz_nasty(r, member));
	} else {
		json_array_set_new(v, i, fuzz_nasty(r, member));
	}
}

/* Into out, at most max bytes; gives how many. */
static size_t fuzz_json(struct fuzz_random *r, uint8_t *out, size_t max, const struct fuzz_file *in)
{
	json_t *v = fuzz_pick(r, 4) ? json_loadb((const char *)in->data, in->len, 0, NULL) : NULL;
	size_t len = in->len < max ? in->len : max;

	if (v) {
		fuzz_change(r, v);
		char *text = json_dumps(v, JSON_COMPACT);
		size_t n = text ? strlen(text) : 0;
		bool fits = text && n <= max;
		if (fits)
			memcpy(out, text, n);
		free(text);
		json_decref(v);
		if (fits)
			return n;
	}
	if (len)
		memcpy(out, in->data, len);
	return max ? LLVMFuzzerMutate(out, len, max) : 0;
}

static size_t fuzz_safetensors(struct fuzz_random *r, uint8_t *out, size_t max, const struct fuzz_file *in)
{
	size_t len = 0, header;
	struct fuzz_file text, data;

	for (int i = 7; i >= 0 && in->len >= 8; i--)
		len = len << 8 | in->data[i];
	if (in->len < 8 || len > in->len - 8 || max < 8) {
		len = in->len < max ? in->len : max;
		if (len)
			memcpy(out, in->data, len);
		return max ? LLVMFuzzerMutate(out, len, max) : 0;
	}
	text = (struct fuzz_file){ in->data + 8, len };
	data = (struct fuzz_file){ in->data + 8 + len, in->len - 8 - len };
	if (fuzz_pick(r, 4)) {
		header = fuzz_json(r, out + 8, max - 8, &text);
	} else {
		header = len < max - 8 ? len : max - 8;
		if (header)
			memcpy(out + 8, text.data, header);
	}
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)((uint64_t)header >> 8 * i);
	size_t room = max - 8 - header, n = data.len < room ? data.len : room;
	if (n)
		memcpy(out + 8 + header, data.data, n);
	if (room && !fuzz_pick(r, 4))
		n = LLVMFuzzerMutate(out + 8 + header, n, room);
	return 8 + header + n;
}

/* kinds: a letter for each file, 'j' JSON, 's' safetensors. */
static size_t fuzz_mutate(uint8_t *data, size_t size, size_t max, unsigned int seed, const char *kinds)
{
	struct fuzz_random r = { seed };
	struct fuzz_file files[FUZZ_FILES];
	size_t n = strlen(kinds), which = fuzz_pick(&r, n), at = 1;

	if (fuzz_pick(&r, 2) || size < 3 || max < 64)
		return LLVMFuzzerMutate(data, size, max);
	uint8_t *out = mem_alloc(max);
	fuzz_split(files, n, data, size);
	out[0] = data[0];
	for (size_t i = 0; i < n; i++) {
		size_t head = i + 1 < n ? 2 : 0, room = max - at, len = files[i].len;
		if (room < head)
			break;
		room -= head;
		room = head && room > 65535 ? 65535 : room;
		if (i == which && kinds[i] == 's') {
			len = fuzz_safetensors(&r, out + at + head, room, &files[i]);
		} else if (i == which) {
			len = fuzz_json(&r, out + at + head, room, &files[i]);
		} else {
			len = len < room ? len : room;
			if (len)
				memcpy(out + at + head, files[i].data, len);
		}
		for (size_t b = 0; b < head; b++)
			out[at + b] = (uint8_t)(len >> 8 * b);
		at += head + len;
	}
	memcpy(data, out, at);
	free(out);
	return at;
}

#endif
