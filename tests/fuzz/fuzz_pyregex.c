/* fuzz_pyregex.c: a regular expression and a text from anybody: refused, or an answer within the bound.
 *
 * The input is the pattern, a NUL, and the text. What must hold of a pattern that is accepted: every search ends with an
 * answer or with the error of the bound; what is found is valid UTF-8 and no longer than the text; what is left after all
 * matches are taken out is no longer than before, and what stands there with a text (the input's own) put in is valid
 * UTF-8; and asked again it says the same. */
#include "base/base.h"

#include "base/pyregex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int find(const struct pyregex *r, const struct buf *text, int select, struct buf *out, enum pyregex_found *found)
{
	buf_clear(out);
	return pyregex_find(r, text, select, out, found);
}

static void check_find(const struct pyregex *r, const struct buf *text, int select)
{
	struct buf a = BUF_INIT(BUF_NOLIMIT), b = BUF_INIT(BUF_NOLIMIT);
	enum pyregex_found found, again;
	int rc = find(r, text, select, &a, &found);

	must(rc == 0 || rc == ERR_INPUT);
	must(find(r, text, select, &b, &again) == rc);
	if (rc == 0) {
		must(found == again && a.len == b.len && !memcmp(buf_str(&a), buf_str(&b), a.len));
		must(a.len <= text->len && utf8_valid(buf_str(&a), a.len, NULL));
	}
	buf_release(&a);
	buf_release(&b);
}

/* The end of the text is what is put in, so that templates are reached too. */
static void check_sub(const struct pyregex *r, const struct buf *text)
{
	struct buf out = BUF_INIT(1 << 20);
	const char *with = text->len ? memrchr(text->data, '\n', text->len) : NULL;
	int64_t tries = -1;
	int rc;

	with = with ? with + 1 : buf_str(text) + text->len;
	rc = pyregex_sub(r, buf_str(text), text->len, with, (size_t)(buf_str(text) + text->len - with), 0, &out,
			 &tries);
	must((rc == 0 || rc == ERR_INPUT) && tries >= 0);
	must(rc || buf_full(&out) || utf8_valid(buf_str(&out), out.len, NULL));
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t len = end ? (size_t)(end - data) : size, rest = end ? size - len - 1 : 0;
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	char *pattern = mem_strn((const char *)data, len);
	struct pyregex *r = NULL;
	int rc = pyregex_compile(&r, pattern);

	must(rc == 0 || rc == ERR_INPUT);
	if (rc == 0) {
		utf8_repair(&text, end ? (const char *)end + 1 : "", rest);
		check_find(r, &text, 0);
		check_find(r, &text, -1);
		check_sub(r, &text);
		rest = text.len;
		rc = pyregex_remove(r, &text);
		must((rc == 0 || rc == ERR_INPUT) && text.len <= rest);
		must(utf8_valid(buf_str(&text), text.len, NULL));
	}
	pyregex_free(r);
	buf_release(&text);
	free(pattern);
	return 0;
}
