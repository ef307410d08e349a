/* test_rows.c: every format that rows_each() reads, against what pyarrow and pandas say is in the same files
 * (tests/golden/make_rows.py), and what is refused. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <zlib.h>

#include "base/rows_int.h"

#define GOLDEN "tests/golden/rows"

static int collect(json_t *value, size_t line, void *arg)
{
	struct buf *out = arg;

	(void)line;
	json_add(out, value);
	buf_addc(out, '\n');
	return 0;
}

static int collect_lines(json_t *value, size_t line, void *arg)
{
	buf_addf(arg, "%zu:", line);
	return collect(value, line, arg);
}

static int ignore(json_t *value, size_t line, void *arg)
{
	(void)value;
	(void)line;
	(void)arg;
	return 0;
}

static void read_file(struct buf *out, const char *path)
{
	buf_init(out, 1 << 24);
	if (fs_read(out, path, 1 << 24))
		fail_msg("%s", err_text());
}

static void gives(const char *text, const char *name, const struct rows_options *o, const char *want)
{
	struct buf got = BUF_INIT(1 << 20);

	if (rows_each(text, strlen(text), name, o, collect_lines, &got))
		fail_msg("%s", err_text());
	assert_string_equal(buf_str(&got), want);
	buf_release(&got);
}

static void refuses_bytes(const void *data, size_t len, const char *name, const struct rows_options *o, const char *why)
{
	assert_int_equal(rows_each(data, len, name, o, ignore, NULL), ERR_INPUT);
	if (strcmp(err_text(), why) != 0)
		fail_msg("%s: \"%s\" instead of \"%s\"", name, err_text(), why);
}

static void refuses(const char *text, const char *name, const struct rows_options *o, const char *why)
{
	refuses_bytes(text, strlen(text), name, o, why);
}

/* ---- golden files -------------------------------------------------------------------------------------------------- */

static int compare_file(const char *entry, void *arg)
{
	char *path = mem_printf("%s/%.*s", GOLDEN, (int)(strlen(entry) - 6), entry),
	     *expected = path_join(GOLDEN, entry);
	struct buf data, lines, got = BUF_INIT(1 << 24), want = BUF_INIT(1 << 24);
	size_t *n = arg;

	if (path_has_suffix(entry, ".jsonl") && fs_exists(path)) {
		read_file(&data, path);
		read_file(&lines, expected);
		assert_int_equal(json_lines(buf_str(&lines), lines.len, expected, collect, &want), 0);
		if (rows_each(buf_str(&data), data.len, path, NULL, collect, &got))
			fail_msg("%s", err_text());
		if (strcmp(buf_str(&got), buf_str(&want)) != 0)
			fail_msg("%s:\n%s\ninstead of\n%s", path, buf_str(&got), buf_str(&want));
		buf_release(&data);
		buf_release(&lines);
		++*n;
	}
	free(path);
	free(expected);
	buf_release(&got);
	buf_release(&want);
	return 0;
}

static void test_rows_each__equals_pyarrow(void **state)
{
	size_t n = 0;

	(void)state;
	assert_int_equal(fs_list(GOLDEN, compare_file, &n), 0);
	assert_true(n >= 50);
}

/* Whatever is cut off or flipped: rows or ERR_INPUT, and nothing else. */
static int damage_file(const char *entry, void *arg)
{
	char *path = path_join(GOLDEN, entry);
	struct buf data;
	struct rng r;

	(void)arg;
	read_file(&data, path);
	rng_seed(&r, 5, data.len);
	for (size_t cut = 0; cut < data.len && !path_has_suffix(entry, ".jsonl"); cut += 1 + data.len / 20) {
		uint8_t *part = mem_alloc(cut ? cut : 1); /* of its own, so that a read beyond it is found */
		int rc;

		if (cut)
			memcpy(part, data.data, cut);
		rc = rows_each(part, cut, path, NULL, ignore, NULL);
		assert_true(rc == 0 || rc == ERR_INPUT);
		for (int k = 0; k < 3; k++) {
			size_t at = rng_below(&r, data.len);
			char was = data.data[at];

			data.data[at] = (char)(rng_u64(&r) & 1 ? (int)rng_below(&r, 256) : was ^ 1 << rng_below(&r, 8));
			rc = rows_each(data.data, data.len, path, NULL, ignore, NULL);
			assert_true(rc == 0 || rc == ERR_INPUT);
			data.data[at] = was;
		}
		free(part);
	}
	buf_release(&data);
	free(path);
	return 0;
}

static void test_rows_each__damaged_files_are_bad_input(void **state)
{
	(void)state;
	assert_int_equal(fs_list(GOLDEN, damage_file, NULL), 0);
}

static void test_rows_each__cost_is_bounded(void **state)
{
	static const char *const names[] = { GOLDEN "/flat_v2.parquet", GOLDEN "/nested.arrow", GOLDEN "/types.csv" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct rows r = { .name = names[i], .each = ignore, .out = ((size_t)4 << 30) - 400 };
		struct buf d;
		int rc;

		read_file(&d, names[i]);
		rc = i == 0   ? parquet_rows(&r, (uint8_t *)d.data, d.len)
		     : i == 1 ? arrow_rows(&r, (uint8_t *)d.data, d.len)
			      : csv_rows(&r, d.data, d.len, ',');
		assert_int_equal(rc, ERR_INPUT);
		assert_non_null(strstr(err_text(), "its rows are more than 4 GiB"));
		assert_int_equal(r.held, 0);
		buf_release(&d);
	}
}

static int count_rows(json_t *value, size_t line, void *arg)
{
	(void)value;
	(void)line;
	++*(size_t *)arg;
	return 0;
}

/* A row of three bytes is some hundred as a value: who keeps rows says what they may take. */
static void test_rows_each__memory_of_rows_is_bounded(void **state)
{
	static const char *const names[] = { GOLDEN "/flat_v2.parquet", GOLDEN "/nested.arrow", GOLDEN "/types.csv" };
	struct rows_options o = { .memory = 1 << 20 };
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 20000; i++)
		buf_adds(&text, "{}\n");
	assert_int_equal(rows_each(buf_str(&text), text.len, "d.jsonl", &o, count_rows, &n), ERR_INPUT);
	assert_in_range(n, 1000, 5000);
	assert_non_null(strstr(err_text(), "d.jsonl:"));
	assert_non_null(strstr(err_text(), "take 1 MiB of memory"));
	assert_non_null(err_fix());
	o.memory = 64 << 20;
	assert_int_equal(rows_each(buf_str(&text), text.len, "d.jsonl", &o, count_rows, &n), 0);
	o.memory = 0; /* not kept */
	assert_int_equal(rows_each(buf_str(&text), text.len, "d.jsonl", &o, count_rows, &n), 0);
	buf_clear(&text);
	buf_adds(&text, "{\"data\":[");
	for (int i = 0; i < 20000; i++)
		buf_adds(&text, i ? ",{}" : "{}");
	buf_adds(&text, "]}");
	o = (struct rows_options){ .memory = 1 << 20, .field = "data" };
	n = 0;
	assert_int_equal(rows_each(buf_str(&text), text.len, "d.json", &o, count_rows, &n), ERR_INPUT);
	assert_int_equal(n, 0);
	o.memory = 64 << 20;
	assert_int_equal(rows_each(buf_str(&text), text.len, "d.json", &o, count_rows, &n), 0);
	assert_int_equal(n, 20000);
	buf_release(&text);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf d;

		read_file(&d, names[i]);
		o = (struct rows_options){ .memory = 1 };
		n = 0;
		assert_int_equal(rows_each(d.data, d.len, names[i], &o, count_rows, &n), ERR_INPUT);
		assert_int_equal(n, 0);
		buf_release(&d);
	}
}

/* Whatever the format: a row of a table has no length, what it is made of has. */
static void test_rows_give__a_row_is_bounded(void **state)
{
	struct rows r = { .name = "f.parquet", .each = ignore };

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rows_begin(&r, 1, 64), 0);
		assert_int_equal(rows_give(&r, 31 << 20), 0);
		assert_int_equal(rows_pass(&r, json_null()), 0);
	}
	assert_int_equal(rows_begin(&r, 4, 64), 0);
	assert_int_equal(rows_give(&r, 31 << 20), 0);
	assert_int_equal(rows_give(&r, 2 << 20), ERR_INPUT);
	assert_non_null(strstr(err_text(), "f.parquet:4: a row of more than 32 MiB"));
}

/* What is stored once for all rows is not a row, however much it is; but it is held. */
static void test_rows_each__a_large_dictionary_is_no_row(void **state)
{
	struct rows_options o = { .memory = 30 << 20 };
	struct buf d;
	size_t n = 0;

	(void)state;
	read_file(&d, GOLDEN "/dictionary_large.arrow");
	assert_int_equal(rows_each(d.data, d.len, "f.arrow", NULL, count_rows, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(rows_each(d.data, d.len, "f.arrow", &o, count_rows, &n), ERR_INPUT);
	assert_non_null(strstr(err_text(), "f.arrow:1: the rows up to here take 40 MiB of memory"));
	o.memory = 50 << 20;
	assert_int_equal(rows_each(d.data, d.len, "f.arrow", &o, count_rows, &n), 0);
	buf_release(&d);
}

static void gzip(struct buf *out, const struct buf *text)
{
	z_stream z = { .next_in = (uint8_t *)text->data, .avail_in = (unsigned)text->len };
	uint8_t *packed = mem_alloc(1 << 20);

	z.next_out = packed;
	z.avail_out = 1 << 20;
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_add(out, packed, z.total_out);
	deflateEnd(&z);
	free(packed);
}

/* A file of some thousand bytes does not get all of a large machine; one as large as its rows does. */
static void test_rows_each__packed_rows_swell_so_far(void **state)
{
	struct rows_options o = { .memory = UINT64_MAX };
	struct buf text = BUF_INIT(BUF_NOLIMIT), packed = BUF_INIT(BUF_NOLIMIT);
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++)
		buf_adds(&text, "{}\n");
	assert_int_equal(rows_each(buf_str(&text), text.len, "d.jsonl", &o, count_rows, &n), 0);
	assert_int_equal(n, 1000000);
	gzip(&packed, &text);
	n = 0;
	assert_int_equal(rows_each(packed.data, packed.len, "d.jsonl.gz", &o, count_rows, &n), ERR_INPUT);
	assert_in_range(n, 500000, 999999);
	assert_non_null(strstr(err_text(), "MiB of memory, and the file has "));
	assert_non_null(err_fix());
	o.memory = 0;
	assert_int_equal(rows_each(packed.data, packed.len, "d.jsonl.gz", &o, count_rows, &n), 0);
	buf_release(&text);
	buf_release(&packed);
}

static size_t until_none;

static void *scarce(size_t n)
{
	return until_none && --until_none == 0 ? NULL : malloc(n);
}

/* A value for which there is no memory is an error, and never a null. */
static void test_rows_each__no_memory_is_told(void **state)
{
	static const char *const names[] = { "old_lists.parquet",     "hf.parquet",  "hf.arrow",
					     "dictionary_list.arrow", "delta.arrow", "mixed.csv" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *path = path_join(GOLDEN, names[i]);
		struct buf d, want = BUF_INIT(1 << 20);
		int rc = ERR_UNAVAILABLE;

		read_file(&d, path);
		assert_int_equal(rows_each(d.data, d.len, names[i], NULL, collect, &want), 0);
		json_set_alloc_funcs(scarce, free);
		for (size_t n = 1; rc && n < 100000; n++) {
			struct buf got = BUF_INIT(1 << 20);

			until_none = n;
			rc = rows_each(d.data, d.len, names[i], NULL, collect, &got);
			until_none = 0;
			if (rc && (rc != ERR_UNAVAILABLE || !strstr(err_text(), ": out of memory (")))
				fail_msg("%s, %zu: %d %s", names[i], n, rc, err_text());
			if (!rc)
				assert_string_equal(buf_str(&got), buf_str(&want));
			buf_release(&got);
		}
		json_set_alloc_funcs(malloc, free);
		assert_int_equal(rc, 0);
		buf_release(&d);
		buf_release(&want);
		free(path);
	}
}

static void test_rows_each__work_is_bounded(void **state)
{
	struct rows r = { .name = "f", .each = ignore, .work = ((size_t)16 << 30) - 40 };
	struct buf d;

	(void)state;
	read_file(&d, GOLDEN "/gzip.parquet");
	assert_int_equal(parquet_rows(&r, (uint8_t *)d.data, d.len), ERR_INPUT);
	assert_non_null(strstr(err_text(), "it unpacks to more than 16 GiB"));
	buf_release(&d);
	r = (struct rows){ .name = "f", .each = ignore, .held = ((size_t)1 << 30) - 40 };
	read_file(&d, GOLDEN "/lz4.arrow");
	assert_int_equal(arrow_rows(&r, (uint8_t *)d.data, d.len), ERR_INPUT);
	assert_non_null(strstr(err_text(), "a part of it needs more than 1 GiB"));
	buf_release(&d);
}

/* Row groups may name one column over and over, so what holds nothing costs something. */
static void test_parquet_leaf_peek__pages_of_nothing_are_counted(void **state)
{
	static const uint8_t page[] = { 0x15, 2, 0x15, 0, 0x15, 0, 0 }; /* an index of no bytes */
	struct rows r = { .name = "f", .work = ((size_t)16 << 30) - 25600 };
	const struct parquet_node node = { .name = (char *)(uintptr_t) "c" };
	struct buf pages = BUF_INIT(BUF_NOLIMIT);
	struct parquet_leaf leaf = { .node = &node, .rows = &r, .left = 1 };
	uint32_t def, rep;
	bool there;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_add(&pages, page, sizeof(page));
	leaf.at = (const uint8_t *)pages.data;
	leaf.end = leaf.at + pages.len;
	assert_int_equal(parquet_leaf_peek(&leaf, &there, &def, &rep), ERR_INPUT);
	assert_non_null(strstr(err_text(), "it unpacks to more than 16 GiB"));
	parquet_leaf_release(&leaf);
	buf_release(&pages);
}

static void test_rows_each__what_is_not_supported_is_named(void **state)
{
	struct buf d;

	(void)state;
	read_file(&d, GOLDEN "/brotli.parquet");
	refuses_bytes(d.data, d.len, "b", NULL, "b: column text: compressed by brotli, which is not supported");
	assert_string_equal(err_fix(), "write the file with compression zstd or snappy");
	refuses_bytes(d.data, d.len - 1, "b", NULL, "b: a damaged Parquet file: it is cut off");
	memcpy(d.data + d.len - 4, "PARE", 4);
	refuses_bytes(d.data, d.len, "b", NULL, "b: an encrypted Parquet file is not supported");
	buf_release(&d);
}

/* ---- archives ------------------------------------------------------------------------------------------------------ */

static void test_rows_each__members_of_archives(void **state)
{
	struct rows_options o = { .member = "b/c.csv" };
	struct buf d, got = BUF_INIT(1 << 16);

	(void)state;
	read_file(&d, GOLDEN "/two.zip");
	assert_int_equal(rows_each(d.data, d.len, "two.zip", &o, collect, &got), 0);
	assert_string_equal(buf_str(&got), "{\"q\":1}\n");
	refuses_bytes(d.data, d.len, "two.zip", NULL, "two.zip: an archive of 2 files: a.jsonl, b/c.csv");
	assert_string_equal(err_fix(), "name one of them behind the archive: ARCHIVE/MEMBER");
	o.member = "c.csv";
	refuses_bytes(d.data, d.len, "two.zip", &o,
		      "two.zip: there is no file \"c.csv\" in it (there is: a.jsonl, b/c.csv)");
	buf_release(&d);
	read_file(&d, GOLDEN "/p.jsonl.gz");
	refuses_bytes(d.data, d.len, "p.gz", &o, "p.gz: no archive: it has no member \"c.csv\"");
	buf_release(&d);
	buf_release(&got);
}

/* What comes out is counted, not what goes in. */
static void test_unpack__a_bomb_is_refused(void **state)
{
	struct buf out, d;
	char *inner;

	(void)state;
	read_file(&d, GOLDEN "/p.jsonl.gz");
	assert_int_equal(unpack(&out, &inner, d.data, d.len, "p.gz", NULL, 60), 0);
	assert_int_equal(out.len, 60);
	buf_release(&out);
	assert_int_equal(unpack(&out, &inner, d.data, d.len, "p.gz", NULL, 59), ERR_INPUT);
	assert_non_null(strstr(err_text(), "p.gz: unpacks to more than"));
	/* nor is more unpacked than there is memory for what is kept */
	refuses_bytes(d.data, d.len, "p.gz", &(struct rows_options){ .memory = 59 },
		      "p.gz: unpacks to more than 0 MiB");
	buf_release(&d);
	/* what is passed over on the way to a member is counted too */
	read_file(&d, GOLDEN "/two.zip");
	assert_int_equal(unpack(&out, &inner, d.data, d.len, "two.zip", "b/c.csv", 4), ERR_INPUT);
	assert_int_equal(unpack(&out, &inner, d.data, d.len, "two.zip", "b/c.csv", 8), 0);
	assert_string_equal(inner, "b/c.csv");
	free(inner);
	buf_release(&out);
	buf_release(&d);
}

/* Adds an entry of a tar: type '0' a file, '1' a hard link, '2' a link, '3' and '4' devices, '6' a pipe. */
static void tar_add(struct buf *out, const char *name, char type, const char *link, const char *data)
{
	char head[512] = { 0 };
	unsigned sum = 0;

	snprintf(head, 100, "%s", name);
	snprintf(head + 100, 8, "0000644");
	snprintf(head + 124, 12, "%011o", (unsigned)strlen(data));
	snprintf(head + 136, 12, "%011o", 0);
	memset(head + 148, ' ', 8);
	head[156] = type;
	snprintf(head + 157, 100, "%s", link);
	memcpy(head + 257, "ustar\00000", 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	buf_add(out, head, 512);
	buf_adds(out, data);
	while (out->len % 512)
		buf_addc(out, 0);
}

static void tar_end(struct buf *out)
{
	static const char zeros[1024];

	buf_add(out, zeros, sizeof(zeros));
}

/* What no honest archive has. Nothing is written to disk, so none of it could do harm: but it is no data to trust. */
static void test_rows_each__hostile_archives(void **state)
{
	struct rows_options o = { .member = "a.jsonl" };
	struct buf tar = BUF_INIT(1 << 20), got = BUF_INIT(1 << 16);

	(void)state;
	tar_add(&tar, "../../etc/a.jsonl", '0', "", "{\"q\":1}\n");
	tar_end(&tar);
	refuses_bytes(tar.data, tar.len, "x.tar", NULL, "x.tar: \"../../etc/a.jsonl\" in it leads out of the archive");
	assert_string_equal(err_fix(), "pack the data anew: plain files, each once");
	o.member = "../../etc/a.jsonl";
	refuses_bytes(tar.data, tar.len, "x.tar", &o, "x.tar: \"../../etc/a.jsonl\" in it leads out of the archive");
	buf_clear(&tar);
	tar_add(&tar, "/etc/a.jsonl", '0', "", "{\"q\":1}\n");
	tar_end(&tar);
	refuses_bytes(tar.data, tar.len, "x.tar", NULL, "x.tar: \"/etc/a.jsonl\" in it leads out of the archive");
	buf_clear(&tar);
	tar_add(&tar, "a.jsonl", '0', "", "{\"q\":1}\n");
	tar_add(&tar, "b.jsonl", '2', "a.jsonl", "");
	tar_add(&tar, "c.jsonl", '1', "a.jsonl", "");
	tar_end(&tar);
	assert_int_equal(rows_each(tar.data, tar.len, "x.tar", NULL, collect, &got), 0); /* one file, and links */
	assert_string_equal(buf_str(&got), "{\"q\":1}\n");
	buf_clear(&tar);
	for (const char *type = "346"; *type; type++) { /* devices of characters and of blocks, a pipe */
		tar_add(&tar, "b.jsonl", *type, "", "");
		tar_end(&tar);
		o.member = "b.jsonl";
		refuses_bytes(tar.data, tar.len, "x.tar", &o,
			      "x.tar: \"b.jsonl\" in it is a device or a pipe, and no file");
		o.member = NULL;
		refuses_bytes(tar.data, tar.len, "x.tar", &o, "x.tar: an archive without files");
		buf_clear(&tar);
	}
	tar_add(&tar, "a.jsonl", '0', "", "{\"q\":1}\n");
	tar_add(&tar, "b.jsonl", '2', "a.jsonl", "");
	tar_add(&tar, "c.jsonl", '1', "a.jsonl", "");
	tar_end(&tar);
	o.member = "b.jsonl";
	refuses_bytes(tar.data, tar.len, "x.tar", &o, "x.tar: \"b.jsonl\" in it is a link, and links are not followed");
	o.member = "c.jsonl";
	refuses_bytes(tar.data, tar.len, "x.tar", &o, "x.tar: \"c.jsonl\" in it is a link, and links are not followed");
	buf_clear(&tar);
	tar_add(&tar, "a.jsonl", '0', "", "{\"q\":1}\n");
	tar_add(&tar, "b.jsonl", '0', "", "{\"q\":3}\n");
	tar_add(&tar, "./a.jsonl", '0', "", "{\"q\":2}\n");
	tar_end(&tar);
	o.member = "a.jsonl";
	refuses_bytes(tar.data, tar.len, "x.tar", &o, "x.tar: \"a.jsonl\" in it is there twice");
	o.member = "b.jsonl";
	buf_clear(&got);
	assert_int_equal(rows_each(tar.data, tar.len, "x.tar", &o, collect, &got), 0);
	assert_string_equal(buf_str(&got), "{\"q\":3}\n");
	/* what is behind the member is looked at, too */
	assert_int_equal(rows_each(tar.data, tar.len - 1024 - 600, "x.tar", &o, ignore, NULL), ERR_INPUT);
	buf_release(&tar);
	buf_release(&got);
}

/* The path itself may say which file of an archive is meant. */
static void test_rows_each__a_member_by_the_name(void **state)
{
	struct buf d, got = BUF_INIT(1 << 16);

	(void)state;
	read_file(&d, GOLDEN "/two.zip");
	assert_int_equal(rows_each(d.data, d.len, "data/two.zip/b/c.csv", NULL, collect, &got), 0);
	assert_string_equal(buf_str(&got), "{\"q\":1}\n");
	refuses_bytes(d.data, d.len, "data/two.zip/c.csv", NULL,
		      "data/two.zip/c.csv: there is no file \"c.csv\" in it (there is: a.jsonl, b/c.csv)");
	buf_clear(&got); /* a folder of such a name */
	assert_int_equal(rows_each("{\"q\":4}", 7, "data/two.zip/x.jsonl", NULL, collect, &got), 0);
	assert_string_equal(buf_str(&got), "{\"q\":4}\n");
	buf_release(&d);
	buf_release(&got);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static void test_rows_each__json_arrays(void **state)
{
	const struct rows_options data = { .field = "data" };

	(void)state;
	gives("[]", "a.json", NULL, "");
	gives("\n [ 1 ,\n{\"a\":[\"]\\\"\",2]}\n,\n\"x\"]\n", "a.json", NULL,
	      "2:1\n3:{\"a\":[\"]\\\"\",2]}\n5:\"x\"\n");
	gives("{\"a\":1}\n\n{\"a\":2}\n", "a", NULL, "1:{\"a\":1}\n3:{\"a\":2}\n");
	gives("{\"v\":1,\n\"data\":[{\"a\":1},{\"a\":2}]}", "a.json", &data, "1:{\"a\":1}\n2:{\"a\":2}\n");
	refuses("[1,\n2", "a", NULL, "a:2: not JSON: ',' or ']' expected in an array");
	refuses("[1,\n]", "a", NULL, "a:2:1: not JSON: unexpected token near end of file");
	refuses("[1]\n2", "a", NULL, "a:2: not JSON: text behind the array");
	refuses("[{\"a\":1} {\"a\":2}]", "a", NULL, "a:1: not JSON: ',' or ']' expected in an array");
	refuses("[{\"a\":1},\n{\"a\":1,\"a\":2}]", "a", NULL, "a:2:10: not JSON: duplicate object key near '\"a\"'");
	refuses("{\"v\":1}", "a", &data, "a: there is no array in the field \"data\"");
}

static void test_rows_each__a_line_of_any_length_is_refused(void **state)
{
	size_t n = (size_t)33 << 20;
	char *text = mem_alloc(n + 1);

	(void)state;
	memset(text, 'x', n);
	memcpy(text, "{}\n", 3);
	refuses(text, "a.jsonl", NULL, "a.jsonl:2: a row of more than 32 MiB");
	text[0] = '[';
	text[1] = ' ';
	refuses(text, "a.json", NULL, "a.json:2: a row of more than 32 MiB");
	memcpy(text, "a\n\"", 3);
	refuses(text, "a.csv", NULL, "a.csv:2: a quoted cell without an end");
	free(text);
}

/* ---- CSV ----------------------------------------------------------------------------------------------------------- */

static void test_rows_each__csv(void **state)
{
	const struct rows_options csv = { .format = ROWS_CSV }, semicolon = { .separator = ';' };

	(void)state;
	gives("a,b\n\n1,\"x\ny\"\n2,z\n", "f", &csv, "3:{\"a\":1,\"b\":\"x\\ny\"}\n5:{\"a\":2,\"b\":\"z\"}\n");
	gives("a;b\n1,5;2\n", "f.csv", &semicolon, "2:{\"a\":\"1,5\",\"b\":2}\n");
	gives("", "f.csv", NULL, "");
	gives("{\"a\":1}", "f.jsonl", &csv, "1:{\"a\":1}\n"); /* the name knows better */
	refuses("a,b\n1,2\n1,2,3\n", "f.csv", NULL, "f.csv:3: more cells than the header's 2");
	refuses("a,a\n", "f.csv", NULL, "f.csv:1: two columns are named \"a\"");
	refuses("a\n\n\"x\ny", "f.csv", NULL, "f.csv:3: a quoted cell without an end");
	refuses("a\n\xff\n", "f.csv", NULL, "f.csv:2: invalid UTF-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_each__equals_pyarrow),
		cmocka_unit_test(test_rows_each__damaged_files_are_bad_input),
		cmocka_unit_test(test_rows_each__cost_is_bounded),
		cmocka_unit_test(test_rows_each__memory_of_rows_is_bounded),
		cmocka_unit_test(test_rows_give__a_row_is_bounded),
		cmocka_unit_test(test_rows_each__a_large_dictionary_is_no_row),
		cmocka_unit_test(test_rows_each__packed_rows_swell_so_far),
		cmocka_unit_test(test_rows_each__no_memory_is_told),
		cmocka_unit_test(test_rows_each__work_is_bounded),
		cmocka_unit_test(test_parquet_leaf_peek__pages_of_nothing_are_counted),
		cmocka_unit_test(test_rows_each__what_is_not_supported_is_named),
		cmocka_unit_test(test_rows_each__members_of_archives),
		cmocka_unit_test(test_rows_each__hostile_archives),
		cmocka_unit_test(test_rows_each__a_member_by_the_name),
		cmocka_unit_test(test_unpack__a_bomb_is_refused),
		cmocka_unit_test(test_rows_each__json_arrays),
		cmocka_unit_test(test_rows_each__a_line_of_any_length_is_refused),
		cmocka_unit_test(test_rows_each__csv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
