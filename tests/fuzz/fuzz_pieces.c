/* fuzz_pieces.c: rows of pieces, sealed files and differences from anybody (a remote, a disk that lies), and cutting anything.
 *
 * The first byte says which. What must hold: a row that is read covers its content without a gap and is written back as it
 * was; what is cut covers all of it; a difference that is read back has the length asked for, and one that we make gives back
 * what it was made of. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok) {
		fprintf(stderr, "the last error: %s\n", err_text());
		abort();
	}
}

static void check_row(const struct pieces *p)
{
	uint64_t at = 0;

	for (size_t i = 0; i < p->len; i++) {
		must(p->items[i].at == at && p->items[i].len > 0);
		at += p->items[i].len;
	}
	must(at == p->size);
}

static void row(const uint8_t *data, size_t size)
{
	struct buf again = BUF_INIT(BUF_NOLIMIT);
	struct pieces p;
	int rc = pieces_read(&p, data, size);

	must(rc == 0 || rc == ERR_INPUT);
	if (rc == 0) {
		check_row(&p);
		pieces_write(&again, &p);
		must(again.len == size && !memcmp(again.data, data, size));
		pieces_release(&p);
	}
	buf_release(&again);
}

static void cut(const uint8_t *data, size_t size)
{
	struct pieces p;

	split_bytes(&p, data, size);
	check_row(&p);
	must(p.size == size);
	pieces_release(&p);
}

static void difference(const uint8_t *data, size_t size)
{
	size_t half = size / 2;
	uint8_t *out = mem_alloc(4096);
	struct buf d = BUF_INIT(BUF_NOLIMIT);
	int rc;

	if (half && half <= 4096) {
		delta_write(&d, data, data + half, half, data[0] % 9);
		must(delta_read(out, half, data + half, (uint8_t *)d.data, d.len) == 0);
		must(!memcmp(out, data, half));
	}
	if (size > 2) {
		size_t len = (size_t)data[0] << 4 | data[1] >> 4;
		uint8_t *base = mem_alloc(4096);

		rc = delta_read(out, len, base, data + 2, size - 2);
		must(rc == 0 || rc == ERR_INPUT);
		free(base);
	}
	buf_release(&d);
	free(out);
}

static void sealed(const uint8_t *data, size_t size)
{
	const uint8_t *body;
	size_t len;

	if (sealed_open(VAULT_RECIPES, data, size, &body, &len) == 0) {
		must(body >= data && body + len <= data + size);
		row(body, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const uint8_t *data, size_t size) = { row, cut, difference, sealed };

	if (size)
		kinds[data[0] % ARRAY_LEN(kinds)](data + 1, size - 1);
	err_clear();
	return 0;
}
