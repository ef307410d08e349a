/* html_page.c: the page around the parts: one file that needs nothing else.
 *
 * Style and scripts are plain files in ci/html/, embedded by the build and put into the page as they are. The page's
 * Content-Security-Policy allows exactly these bytes, by their SHA-256, and nothing else: no network of any kind, no
 * inline handler, no style attribute, no form. So even a text that got past the escaping could neither run nor call out.
 * The page is the same bytes for the same report: it knows no time of its own. */
#include "base/base.h"
#include "base/digest.h"
#include "base/embed.h"
#include "ci/html_int.h"

#include <assert.h>

/* Files put one behind the other into one element. */
static void assets(struct buf *out, const char *const *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = 0;
		const char *data = embed_file(files[i], &len);

		assert(data);
		buf_add(out, data, len);
	}
}

static void add_hash(struct buf *out, const struct buf *text)
{
	struct digest d = digest_bytes(buf_str(text), text->len);
	char base64[45];

	digest_base64(base64, &d);
	buf_addf(out, " 'sha256-%s'", base64);
}

static void style(struct buf *out)
{
	static const char *const files[] = { "ci/html/page.css" };

	assets(out, files, ARRAY_LEN(files));
}

static void script(struct buf *out, bool samples)
{
	static const char *const files[] = { "ci/html/page.js", "ci/html/words.js", "ci/html/samples.js" };

	assets(out, files, samples ? ARRAY_LEN(files) : 1);
}

void html_page_begin(struct buf *out, const char *title, bool samples)
{
	struct buf css = BUF_INIT(1 << 20), js = BUF_INIT(1 << 20);

	style(&css);
	script(&js, samples);
	buf_adds(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src");
	add_hash(out, &js);
	buf_adds(out, "; style-src");
	add_hash(out, &css);
	buf_adds(out, "; img-src data:; base-uri 'none'; form-action 'none'\">\n"
		      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		      "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" "
		      "content=\"no-referrer\">\n"
		      "<link rel=\"icon\" href=\"data:,\">\n<title>");
	html_text(out, title, 200);
	buf_adds(out, "</title>\n<style>");
	buf_add(out, buf_str(&css), css.len);
	buf_adds(out, "</style>\n</head>\n<body>\n");
	buf_release(&css);
	buf_release(&js);
}

void html_page_end(struct buf *out, bool samples)
{
	struct buf js = BUF_INIT(1 << 20);

	script(&js, samples);
	buf_adds(out, "<script>");
	buf_add(out, buf_str(&js), js.len);
	buf_adds(out, "</script>\n</body>\n</html>\n");
	buf_release(&js);
}
