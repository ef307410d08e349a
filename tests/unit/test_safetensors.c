/* test_safetensors.c: what is read is exactly what the file says; what lies is refused. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "model/model_int.h"

static char *dir;

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "safetensors");
}

static int drop_dir(void **state)
{
	(void)state;
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

/* Writes a file with this header (padded by nothing) and data bytes 0, 1, 2, …; tries to open it. */
static int try_bytes(const char *header, uint64_t header_len, size_t data, struct safetensors *out)
{
	char *path = path_join(dir, "x.safetensors");
	struct buf b = BUF_INIT(1 << 20);

	for (int i = 0; i < 8; i++)
		buf_addc(&b, (char)(header_len >> 8 * i));
	buf_adds(&b, header);
	for (size_t i = 0; i < data; i++)
		buf_addc(&b, (char)i);
	assert_int_equal(fs_write(path, b.data, b.len), 0);
	buf_release(&b);
	int rc = safetensors_open(out, path);
	free(path);
	return rc;
}

static void refuse(const char *header, size_t data, const char *why)
{
	struct safetensors s = { 0 };
	int rc = try_bytes(header, strlen(header), data, &s);

	assert_int_equal(rc, ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	assert_non_null(err_fix());
}

#define T(name, dtype, shape, a, b)                                                                                    \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #a "," #b "]}"

static void test_safetensors_open__reads_three_types_unaligned(void **state)
{
	struct safetensors s = { 0 };
	/* the odd byte in front puts everything off its alignment; spaces behind are padding */
	const char *h = "{" T("a", "U8", "1", 0, 1) "," T("b", "F32", "", 1, 5) "," T("c", "BF16", "2", 5, 9) "," T(
		"d", "F16", "1,1", 9, 11) "," T("e", "F32", "0,3", 11, 11) ",\"__metadata__\":{\"format\":\"pt\"}}   ";
	float x[2];
	uint32_t bits;

	(void)state;
	assert_int_equal(try_bytes(h, strlen(h), 11, &s), 0);
	assert_int_equal(s.n, 5);
	assert_string_equal(safetensors_metadata(&s, "format"), "pt");
	assert_null(safetensors_find(&s, "nobody"));
	assert_int_equal(safetensors_floats(&s, safetensors_find(&s, "b"), x), 0);
	memcpy(&bits, x, 4);
	assert_int_equal(bits, 0x04030201);
	assert_int_equal(safetensors_floats(&s, safetensors_find(&s, "c"), x), 0);
	memcpy(&bits, x + 1, 4);
	assert_int_equal(bits, 0x08070000);
	assert_int_equal(safetensors_floats(&s, safetensors_find(&s, "a"), x), ERR_INPUT); /* U8 is no weight */
	assert_non_null(strstr(err_text(), "U8"));
	safetensors_close(&s);
	safetensors_close(&s); /* twice is harmless */
}

/* bits of half precision -> value: one, a third, largest, smallest, a subnormal, minus, infinity */
static void test_safetensors_floats__half_precision(void **state)
{
	static const struct {
		uint16_t half;
		uint32_t bits;
	} cases[] = { { 0x3c00, 0x3f800000 }, { 0x3555, 0x3eaaa000 }, { 0x7bff, 0x477fe000 }, { 0x0400, 0x38800000 },
		      { 0x0001, 0x33800000 }, { 0x03ff, 0x387fc000 }, { 0x8000, 0x80000000 }, { 0xc000, 0xc0000000 },
		      { 0x7c00, 0x7f800000 }, { 0xfe00, 0xffc00000 }, { 0x8001, 0xb3800000 } };
	char path[] = "x";
	struct safetensors s = { .path = path };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[2] = { (uint8_t)cases[i].half, (uint8_t)(cases[i].half >> 8) };
		struct safetensors_entry e = { .dtype = "F16", .count = 1, .data = bytes };
		float x;
		uint32_t bits;
		assert_int_equal(safetensors_floats(&s, &e, &x), 0);
		memcpy(&bits, &x, 4);
		assert_int_equal(bits, cases[i].bits);
	}
}

static void test_safetensors_open__lies_are_refused(void **state)
{
	struct safetensors s = { 0 };

	(void)state;
	refuse("{" T("a", "F32", "2", 0, 8) "}", 7, "cut short");
	refuse("{" T("a", "F32", "2", 0, 8) "}", 9, "behind the last");
	refuse("{" T("a", "F32", "2", 0, 4) "}", 4, "its shape needs 8");
	refuse("{" T("a", "F32", "1", 0, 4) "," T("b", "F32", "1", 8, 12) "}", 12, "hole");
	refuse("{" T("a", "F32", "1", 4, 8) "}", 8, "hole");
	refuse("{" T("a", "F32", "1", 0, 4) "," T("b", "F32", "1", 2, 6) "}", 6, "overlaps");
	refuse("{" T("a", "F32", "1", 0, 4) "," T("b", "F32", "1", 0, 4) "}", 4, "overlaps");
	refuse("{" T("a", "F32", "1", 0, 4) "," T("a", "F32", "1", 0, 4) "}", 4, "uplicate");
	refuse("{" T("a", "F32", "1", 4, 0) "}", 4, "leave the data");
	refuse("{" T("a", "F32", "-1", 0, 4) "}", 4, "no whole number");
	refuse("{" T("a", "F32", "1.0", 0, 4) "}", 4, "no whole number");
	refuse("{" T("a", "F32", "4294967296,4294967296", 0, 4) "}", 4, "overflow");
	refuse("{" T("a", "F32", "4294967296,4294967296,0", 0, 0) "}", 0, "overflows");
	refuse("{" T("a", "F32", "4611686018427387904", 0, 4) "}", 4, "overflow");
	refuse("{" T("a", "F33", "1", 0, 4) "}", 4, "unknown dtype");
	refuse("{" T("a", "F4", "1", 0, 1) "}", 1, "no whole number of bytes");
	refuse("{" T("a", "F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "8 dimensions");
	refuse("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing");
	refuse("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape is missing");
	refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two whole numbers");
	refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "two whole numbers");
	refuse("{\"a\":7}", 0, "expected an object");
	refuse("{\"__metadata__\":{\"format\":1}}", 0, "must be a string");
	refuse(" {}", 0, "does not begin with {");
	refuse("[]", 0, "does not begin with {");
	refuse("{\"a\"", 0, "safetensors header");
	assert_int_equal(try_bytes("{}", 3, 0, &s), ERR_INPUT); /* longer than the file */
	assert_int_equal(try_bytes("{}", UINT64_MAX, 0, &s), ERR_INPUT);
	assert_int_equal(try_bytes("{}", 200000000, 0, &s), ERR_INPUT);
}

static void test_safetensors_open__numbers_that_overflow_are_refused(void **state)
{
	static const char *const offsets[] = { "0,1152921504606846976",
					       "1152921504606846976,1152921504606846976",
					       "9223372036854775807,9223372036854775807",
					       "4,4",
					       "0,9223372036854775808",
					       "-4,0",
					       "0,4.0",
					       "0,\"4\"",
					       "0,4,8",
					       "0,1e1" };
	static const char *const shapes[] = { "1152921504606846976",
					      "1152921504606846976,16",
					      "9223372036854775807",
					      "2147483648,2147483648,4",
					      "1,-1",
					      "true",
					      "[1]",
					      "18446744073709551616" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		char *h = mem_printf("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%s]}}", offsets[i]);
		refuse(h, 4, "safetensors");
		free(h);
	}
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		char *h = mem_printf("{\"a\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,4]}}", shapes[i]);
		refuse(h, 4, "safetensors");
		free(h);
	}
}

static void test_safetensors_open__headers_that_are_no_plain_json_are_refused(void **state)
{
	struct buf deep = BUF_INIT(1 << 20);

	(void)state;
	buf_adds(&deep, "{\"a\":");
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	refuse(buf_str(&deep), 0, "not JSON");
	buf_release(&deep);
	refuse("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "uplicate");
	refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "uplicate");
	refuse("{\"__metadata__\":[]}", 0, "__metadata__ must be an object");
	refuse("{\"\xff\":{}}", 0, "not JSON");
	refuse("{\"a\\u0000b\":{}}", 0, "not JSON");
	refuse("{} x", 0, "not JSON");
	refuse("{}{}", 0, "not JSON");
}

static void refuse_bytes(const char *bytes, size_t n, const char *why, const char *fix)
{
	struct safetensors s = { 0 };
	char *path = path_join(dir, "other.safetensors");

	assert_int_equal(fs_write(path, bytes, n), 0);
	assert_int_equal(safetensors_open(&s, path), ERR_INPUT);
	if (!strstr(err_text(), why) || !err_fix() || !strstr(err_fix(), fix))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	free(path);
}

static void test_safetensors_open__another_kind_of_file_is_called_by_its_name(void **state)
{
	static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
	static const char zip[] = "PK\3\4\0\0\0\0\10\10\0\0archive/data.pkl";

	(void)state;
	refuse_bytes(lfs, sizeof(lfs) - 1, "git-lfs", "git lfs pull");
	refuse_bytes(zip, sizeof(zip) - 1, "pickle", "save_pretrained");
	refuse_bytes("\x80\2}q\0(X\6", 8, "pickle", "save_pretrained");
	refuse_bytes("GGUF\3\0\0\0\1\0\0\0", 12, "GGUF", "Hugging Face");
	refuse_bytes("\1\0\0\1\0\0\0\0{}", 10, "16777217 bytes, at most 16777216", "again");
	refuse_bytes("\0\0\0\1\0\0\0\0{}", 10, "cut short", "again");
	refuse_bytes("", 0, "too few", "again");
}

static void test_safetensors_open__every_truncation_is_refused(void **state)
{
	struct buf whole = BUF_INIT(1 << 20);
	char *path = path_join(dir, "cut.safetensors");
	struct safetensors s = { 0 };

	(void)state;
	assert_int_equal(fs_read(&whole, "tests/golden/llama/model.safetensors", 1 << 20), 0);
	for (size_t n = 0; n < whole.len; n += n < 2500 ? 41 : 7919) {
		assert_int_equal(fs_write(path, whole.data, n), 0);
		assert_int_equal(safetensors_open(&s, path), ERR_INPUT);
	}
	assert_int_equal(safetensors_open(&s, "/nowhere/x.safetensors"), ERR_NOTFOUND);
	free(path);
	buf_release(&whole);
}

static const void *numbers(size_t i, void *arg)
{
	return (const float *)arg + i % 3;
}

static void test_safetensors_write__reference_order_and_padding(void **state)
{
	static float x[4] = { 1, 2, 3, 4 };
	const struct safetensors_out list[] = { { "b", 1, { 1, 0 }, NULL },
						{ "a", 2, { 1, 2 }, NULL },
						{ "B", 1, { 1, 0 }, NULL },
						{ "h", 1, { 2, 0 }, "BF16" } };
	char *path = path_join(dir, "w.safetensors");
	struct buf b = BUF_INIT(1 << 20);
	struct safetensors s = { 0 };

	(void)state;
	assert_int_equal(safetensors_write(path, list, 4, "format", "pt", numbers, x), 0);
	assert_int_equal(fs_read(&b, path, 1 << 20), 0);
	const char *want =
		"{\"__metadata__\":{\"format\":\"pt\"},\"B\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		"\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
		"\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]},"
		"\"h\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[16,20]}}";
	assert_memory_equal(b.data + 8, want, strlen(want));
	size_t header = (uint8_t)b.data[0] + 256 * (size_t)(uint8_t)b.data[1];
	assert_int_equal(header % 8, 0);
	assert_int_equal(b.len, 8 + header + 20);
	assert_int_equal(safetensors_open(&s, path), 0);
	float got[2];
	assert_int_equal(safetensors_floats(&s, safetensors_find(&s, "a"), got), 0);
	assert_true(got[0] > 1.5f && got[1] > 2.5f && got[1] < 3.5f);
	safetensors_close(&s);
	buf_release(&b);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safetensors_open__reads_three_types_unaligned),
		cmocka_unit_test(test_safetensors_floats__half_precision),
		cmocka_unit_test(test_safetensors_open__lies_are_refused),
		cmocka_unit_test(test_safetensors_open__numbers_that_overflow_are_refused),
		cmocka_unit_test(test_safetensors_open__headers_that_are_no_plain_json_are_refused),
		cmocka_unit_test(test_safetensors_open__another_kind_of_file_is_called_by_its_name),
		cmocka_unit_test(test_safetensors_open__every_truncation_is_refused),
		cmocka_unit_test(test_safetensors_write__reference_order_and_padding),
	};
	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
