/* fuzz_tokenizer.c: a tokenizer.json and a text from anybody: refused or read, and then no crash, no half of a character.
 *
 * The input is the file, a NUL, and the text. What must hold of a file that is accepted: the text encodes, or is refused
 * by a limit; decoding the ids id by id and at once is the same, and valid UTF-8; ids are in the vocabulary. */
#include "base/base.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_decode(const struct tokenizer *t, const struct tokens *ids, bool skip)
{
	struct tokenizer_stream *s = tokenizer_stream_new(t, skip);
	struct buf whole = BUF_INIT(BUF_NOLIMIT), parts = BUF_INIT(BUF_NOLIMIT);

	tokenizer_decode(t, &whole, ids->ids, ids->n, skip);
	for (size_t i = 0; i < ids->n; i++) {
		must(ids->ids[i] >= 0 && ids->ids[i] < tokenizer_size(t));
		tokenizer_stream_add(s, &parts, ids->ids[i]);
	}
	must(utf8_valid(buf_str(&parts), parts.len, NULL));
	tokenizer_stream_finish(s, &parts);
	must(parts.len == whole.len && !memcmp(buf_str(&parts), buf_str(&whole), whole.len));
	must(utf8_valid(buf_str(&whole), whole.len, NULL));
	tokenizer_stream_free(s);
	buf_release(&whole);
	buf_release(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t len = end ? (size_t)(end - data) : size, rest = end ? size - len - 1 : 0;
	struct tokenizer *t = NULL;
	struct tokens ids = { 0 };

	if (tokenizer_parse(&t, (const char *)data, len, "fuzz"))
		return 0;
	if (!tokenizer_encode(t, &ids, end ? (const char *)end + 1 : "", rest, true)) {
		check_decode(t, &ids, false);
		check_decode(t, &ids, true);
	}
	ids.n = 0;
	for (int32_t i = 0; i < tokenizer_size(t) && i < 300; i++)
		tokens_add(&ids, i);
	check_decode(t, &ids, false);
	tokens_release(&ids);
	tokenizer_free(t);
	return 0;
}
