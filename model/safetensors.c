/* safetensors.c: files of named arrays.
 *
 * Layout: a 64-bit little-endian length N, N bytes of JSON, then the data. The JSON is an object of tensors,
 * name -> {"dtype","shape","data_offsets":[begin,end]} with offsets into the data section, and an optional
 * "__metadata__" of strings. Padding of the JSON is trailing spaces.
 *
 * Reading trusts nothing: every tensor's bytes must equal its shape times its type, the tensors must fill the data
 * section without hole, overlap or remainder, and a name may occur once (the JSON reader refuses duplicates). Only
 * after that is a pointer handed out. Old files are not aligned, so elements are copied, never cast.
 *
 * Writing follows the reference writer, so that equal weights are equal bytes: types by their place in the
 * list below, the last first; then names in byte order, offsets packed, compact JSON with the metadata first, spaces up to a multiple of 8. */
#include "base/base.h"

#include "model/model_int.h"

/* The reference reader takes 100 MB, which as a tree of JSON is gigabytes; a tensor's entry is about 100 bytes. */
#define MAX_HEADER ((size_t)16 << 20)

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int bits;
} dtypes[] = {
	{ "BOOL", 8 },    { "F4", 4 },      { "F6_E2M3", 6 }, { "F6_E3M2", 6 },     { "U8", 8 },          { "I8", 8 },
	{ "F8_E5M2", 8 }, { "F8_E4M3", 8 }, { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 }, { "F8_E5M2FNUZ", 8 }, { "I16", 16 },
	{ "U16", 16 },    { "F16", 16 },    { "BF16", 16 },   { "I32", 32 },        { "U32", 32 },        { "F32", 32 },
	{ "C64", 64 },    { "F64", 64 },    { "I64", 64 },    { "U64", 64 },
};

static int dtype_bits(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(dtypes); i++)
		if (!strcmp(dtypes[i].name, name))
			return dtypes[i].bits;
	return 0;
}

static int bad(const struct safetensors *s, const char *tensor, const char *what)
{
	return err_set(ERR_INPUT, "%s: tensor \"%s\": %s", s->path, tensor, what);
}

static bool read_uint(const json_t *v, uint64_t *out)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static int read_shape(const struct safetensors *s, struct safetensors_entry *e, const json_t *shape)
{
	if (!json_is_array(shape))
		return bad(s, e->name, "shape is missing or no list");
	if (json_array_size(shape) > SAFETENSORS_DIMS)
		return bad(s, e->name, "more than 8 dimensions");
	e->n_dims = (int)json_array_size(shape);
	e->count = 1;
	for (int i = 0; i < e->n_dims; i++) {
		if (!read_uint(json_array_get(shape, (size_t)i), &e->dims[i]))
			return bad(s, e->name, "a dimension is no whole number");
		if (__builtin_mul_overflow(e->count, e->dims[i], &e->count))
			return bad(s, e->name, "the shape overflows 64 bits");
	}
	return 0;
}

static int read_entry(const struct safetensors *s, struct safetensors_entry *e, const char *name, const json_t *v,
		      uint64_t data_len)
{
	const json_t *offsets = json_object_get(v, "data_offsets");
	uint64_t bits;
	int rc, width;

	e->name = name;
	e->dtype = json_get_text(v, "dtype", NULL);
	if (!e->dtype)
		return bad(s, name, "dtype is missing");
	width = dtype_bits(e->dtype);
	if (!width)
		return err_set(ERR_INPUT, "%s: tensor \"%s\": unknown dtype \"%s\"", s->path, name, e->dtype);
	rc = read_shape(s, e, json_object_get(v, "shape"));
	if (rc)
		return rc;
	if (__builtin_mul_overflow(e->count, (uint64_t)width, &bits) || bits % 8)
		return bad(s, name, "the size in bits overflows or is no whole number of bytes");
	if (json_array_size(offsets) != 2 || !read_uint(json_array_get(offsets, 0), &e->begin) ||
	    !read_uint(json_array_get(offsets, 1), &e->end))
		return bad(s, name, "data_offsets must be two whole numbers");
	if (e->end < e->begin || e->end > data_len)
		return err_set(
			ERR_INPUT,
			"%s: tensor \"%s\": data_offsets [%llu,%llu] leave the data section of %llu bytes (is the "
			"file cut short?)",
			s->path, name, (unsigned long long)e->begin, (unsigned long long)e->end,
			(unsigned long long)data_len);
	if (e->end - e->begin != bits / 8)
		return err_set(ERR_INPUT, "%s: tensor \"%s\": %llu bytes, but its shape needs %llu", s->path, name,
			       (unsigned long long)(e->end - e->begin), (unsigned long long)(bits / 8));
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct safetensors_entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The tensors, sorted by offset, must tile the data section exactly. */
static int check_tiling(const struct safetensors *s, uint64_t data_len)
{
	uint64_t at = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->entries[i].begin < at)
			return bad(s, s->entries[i].name, "overlaps the tensor before it");
		if (s->entries[i].begin > at)
			return bad(s, s->entries[i].name, "there is a hole before it");
		at = s->entries[i].end;
	}
	if (at != data_len)
		return err_set(ERR_INPUT, "%s: %llu bytes behind the last tensor", s->path,
			       (unsigned long long)(data_len - at));
	return 0;
}

static int check_metadata(const struct safetensors *s, const json_t *meta)
{
	const char *key;
	json_t *v;

	if (!json_is_object(meta))
		return err_set(ERR_INPUT, "%s: __metadata__ must be an object", s->path);
	json_object_foreach((json_t *)meta, key, v)
	{
		if (!json_is_string(v))
			return err_set(ERR_INPUT, "%s: __metadata__: \"%s\" must be a string", s->path, key);
	}
	return 0;
}

static int read_entries(struct safetensors *s, uint64_t data_at)
{
	uint64_t data_len = s->map.len - data_at;
	const char *name;
	json_t *v;
	int rc;

	s->entries = mem_array(json_object_size(s->header) + 1, sizeof(*s->entries));
	json_object_foreach(s->header, name, v)
	{
		if (!strcmp(name, "__metadata__")) {
			rc = check_metadata(s, v);
		} else if (!json_is_object(v)) {
			rc = bad(s, name, "expected an object");
		} else {
			struct safetensors_entry *e = &s->entries[s->n++];
			rc = read_entry(s, e, name, v, data_len);
			e->data = rc ? NULL : s->map.data + data_at + e->begin;
		}
		if (rc)
			return rc;
	}
	qsort(s->entries, s->n, sizeof(*s->entries), by_offset);
	for (size_t i = 0; i < s->n; i++)
		map_put(&s->by_name, s->entries[i].name, strlen(s->entries[i].name), (int64_t)i);
	return check_tiling(s, data_len);
}

/* Of what comes under the name of a safetensors file and is none: its first bytes, what it is, and the way out. */
static const struct {
	const char *begin, *what, *fix;
} others[] = {
	{ "version https://git-lfs", "a pointer of git-lfs, not the file", "git lfs pull" },
	{ "PK\3\4", "a pickle, a program that runs when it is read",
	  "save the model as safetensors where you trust it: model.save_pretrained(dir)" },
	{ "\x80\2", "a pickle, a program that runs when it is read",
	  "save the model as safetensors where you trust it: model.save_pretrained(dir)" },
	{ "GGUF", "a GGUF file", "take the Hugging Face folder that it was made from" },
};

static int no_header(const struct safetensors *s, uint64_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		size_t n = strlen(others[i].begin);
		if (s->map.len >= n && !memcmp(s->map.data, others[i].begin, n))
			return err_hint(err_set(ERR_INPUT, "%s is %s", s->path, others[i].what), "%s", others[i].fix);
	}
	return err_set(ERR_INPUT,
		       "%s: a header of %llu bytes, at most %zu are read: no safetensors file, or a damaged one",
		       s->path, (unsigned long long)len, MAX_HEADER);
}

static int read_header(struct safetensors *s)
{
	uint64_t len = 0;
	int rc;

	if (s->map.len < 8)
		return err_set(ERR_INPUT, "%s: %zu bytes are too few for a safetensors file", s->path, s->map.len);
	for (int i = 7; i >= 0; i--)
		len = len << 8 | s->map.data[i];
	if (len > MAX_HEADER)
		return no_header(s, len);
	if (len > s->map.len - 8)
		return err_set(ERR_INPUT, "%s: the header ends behind the file: it is cut short", s->path);
	if (len < 2 || s->map.data[8] != '{')
		return err_set(ERR_INPUT, "%s: the header does not begin with {", s->path);
	rc = json_parse(&s->header, (const char *)s->map.data + 8, (size_t)len, s->path);
	if (rc)
		return err_context(rc, "safetensors header");
	if (!json_is_object(s->header))
		return err_set(ERR_INPUT, "%s: the header is no object", s->path);
	return read_entries(s, 8 + len);
}

int safetensors_open(struct safetensors *out, const char *path)
{
	struct safetensors s = { .path = mem_str(path) };
	int rc;

	map_init(&s.by_name);
	rc = fs_map_open(&s.map, path);
	if (rc) {
		s.map = (struct fs_map){ NULL, 0 };
		map_release(&s.by_name);
		free(s.path);
		return rc;
	}
	rc = read_header(&s);
	if (rc) {
		if (!err_fix())
			err_hint(rc, "fetch or save the file again");
		safetensors_close(&s);
		return rc;
	}
	*out = s;
	return 0;
}

void safetensors_close(struct safetensors *s)
{
	if (!s->path)
		return;
	fs_map_close(&s->map);
	json_decref(s->header);
	free(s->entries);
	map_release(&s->by_name);
	free(s->path);
	*s = (struct safetensors){ 0 };
}

const struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name)
{
	int64_t i;

	return map_get(&s->by_name, name, strlen(name), &i) ? &s->entries[i] : NULL;
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
	return json_get_text(json_object_get(s->header, "__metadata__"), key, NULL);
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

/* Elements as they lie in the file: every machine we build for is little-endian, as the format is. */
int safetensors_floats(const struct safetensors *s, const struct safetensors_entry *e, float *out)
{
	if (!strcmp(e->dtype, "F32")) {
		if (e->count)
			memcpy(out, e->data, (size_t)e->count * sizeof(float));
		return 0;
	}
	if (!strcmp(e->dtype, "BF16") || !strcmp(e->dtype, "F16")) {
		elements_widen(out, e->data, e->dtype, (size_t)e->count);
		return 0;
	}
	return err_set(ERR_INPUT, "%s: tensor \"%s\": dtype %s is not supported (only F32, F16, BF16)", s->path,
		       e->name, e->dtype);
}

void safetensors_drop(const struct safetensors *s, const uint8_t *data, size_t len)
{
	fs_map_drop(&s->map, (size_t)(data - s->map.data), len);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static const char *dtype_of(const struct safetensors_out *t)
{
	return t->dtype ? t->dtype : "F32";
}

static size_t dtype_rank(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_LEN(dtypes) && strcmp(dtypes[i].name, name) != 0)
		i++;
	return i;
}

/* Wider types first (dtypes[] has the reference's order), then by name. */
static int in_order(const void *a, const void *b, void *list)
{
	const struct safetensors_out *l = list, *x = &l[*(const size_t *)a], *y = &l[*(const size_t *)b];
	size_t i = dtype_rank(dtype_of(x)), j = dtype_rank(dtype_of(y));

	return i != j ? (i > j ? -1 : 1) : strcmp(x->name, y->name);
}

uint64_t safetensors_out_bytes(const struct safetensors_out *t)
{
	uint64_t n = (uint64_t)dtype_bits(dtype_of(t)) / 8;

	for (int i = 0; i < t->n_dims; i++)
		n *= (uint64_t)t->dims[i];
	return n;
}

static void add_header(struct buf *b, const struct safetensors_out *list, const size_t *order, size_t n,
		       const char *key, const char *value)
{
	uint64_t at = 0;

	buf_adds(b, "{\"__metadata__\":{");
	json_add_text(b, key, strlen(key));
	buf_addc(b, ':');
	json_add_text(b, value, strlen(value));
	buf_addc(b, '}');
	for (size_t i = 0; i < n; i++) {
		const struct safetensors_out *t = &list[order[i]];
		buf_addc(b, ',');
		json_add_text(b, t->name, strlen(t->name));
		buf_addf(b, ":{\"dtype\":\"%s\",\"shape\":[", dtype_of(t));
		for (int d = 0; d < t->n_dims; d++)
			buf_addf(b, "%s%lld", d ? "," : "", (long long)t->dims[d]);
		buf_addf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
			 (unsigned long long)(at + safetensors_out_bytes(t)));
		at += safetensors_out_bytes(t);
	}
	buf_addc(b, '}');
	while (b->len % 8)
		buf_addc(b, ' ');
}

static int write_file(struct fs_temp *f, const struct safetensors_out *list, const size_t *order, size_t n,
		      const struct buf *header, const void *(*data)(size_t i, void *arg), void *arg)
{
	uint8_t len[8];
	int rc;

	for (int i = 0; i < 8; i++)
		len[i] = (uint8_t)((uint64_t)header->len >> 8 * i);
	rc = fs_temp_write(f, len, 8);
	if (!rc)
		rc = fs_temp_write(f, header->data, header->len);
	for (size_t i = 0; !rc && i < n; i++) { /* as they lie in memory, see above */
		const void *p = data(order[i], arg);
		rc = p ? fs_temp_write(f, p, (size_t)safetensors_out_bytes(&list[order[i]])) : ERR_IO;
	}
	return rc;
}

int safetensors_write(const char *path, const struct safetensors_out *list, size_t n, const char *key,
		      const char *value, const void *(*data)(size_t i, void *arg), void *arg)
{
	struct buf header = BUF_INIT(MAX_HEADER);
	size_t *order = mem_array(n + 1, sizeof(*order));
	char *dir = path_dir(path);
	struct fs_temp f;
	int rc;

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), in_order, (void *)list);
	add_header(&header, list, order, n, key, value);
	rc = fs_temp_open(&f, dir);
	if (!rc) {
		rc = write_file(&f, list, order, n, &header, data, arg);
		if (!rc)
			rc = fs_temp_commit(&f, path);
		fs_temp_drop(&f);
	}
	free(dir);
	free(order);
	buf_release(&header);
	return rc;
}
