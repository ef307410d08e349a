/* html_text.c: text of strangers into the web page.
 *
 * Two ways, and no third. As content or an attribute in double quotes: cleaned as for every renderer (report_text.c), then
 * the five characters of HTML as entities. As data for the page's script: JSON in which '<', '>' and '&' are written
 * \u003c and so on, so that no "</script>" and no "<!--" can stand in it, whatever a sample says; line ends stay, since an
 * answer of several lines is shown as such, and all other control and hidden characters are made visible as everywhere.
 * The script puts such texts into the page as text nodes only. */
#include "base/base.h"

#include <math.h>
#include "ci/html_int.h"

#define TEXT_MAX ((size_t)1 << 20)

static void escape(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (strchr("&<>\"'", *s))
			buf_addf(out, "&#%d;", *s);
		else
			buf_addc(out, *s);
	}
}

void html_text(struct buf *out, const char *s, size_t max)
{
	struct buf clean = BUF_INIT(TEXT_MAX);

	text_clean(&clean, s, max);
	escape(out, buf_str(&clean));
	buf_release(&clean);
}

void html_name(struct buf *out, const char *s, size_t max)
{
	struct buf text = BUF_INIT(TEXT_MAX);

	html_text(&text, s, max);
	for (const char *p = buf_str(&text); *p; p++) {
		buf_addc(out, *p);
		if (strchr("._,/", *p) && p[1])
			buf_adds(out, "<wbr>");
	}
	buf_release(&text);
}

void html_code(struct buf *out, const json_t *text, size_t max, enum text_cut cut)
{
	struct buf shown = BUF_INIT(TEXT_MAX);

	if (json_is_string(text))
		text_show(&shown, json_string_value(text), json_string_length(text), max, cut);
	if (!shown.len) {
		buf_adds(out, "<em>empty</em>");
	} else {
		buf_adds(out, "<code>");
		escape(out, buf_str(&shown));
		buf_adds(out, "</code>");
	}
	buf_release(&shown);
}

void html_commit(struct buf *out, const char *oid)
{
	bool hex = strlen(oid) >= 40 && strspn(oid, "0123456789abcdef") == strlen(oid);

	buf_adds(out, "<code>");
	html_text(out, oid, hex ? 8 : 12);
	/* the cut of a digest needs no sign */
	if (hex && out->len >= 3 && !memcmp(out->data + out->len - 3, "\xe2\x80\xa6", 3)) {
		out->len -= 3;
		out->data[out->len] = 0;
	}
	buf_adds(out, "</code>");
}

static void json_text(struct buf *out, const char *s, size_t len)
{
	struct text_scan t = { .s = s, .len = len, .lines = true };
	uint32_t cp;

	buf_addc(out, '"');
	while ((cp = text_next(&t)) != 0) {
		char utf8[4];

		if (cp < 0x20 || (cp < 0x80 && strchr("\"\\<>&", (int)cp)))
			buf_addf(out, "\\u%04x", cp);
		else
			buf_add(out, utf8, utf8_put(utf8, cp));
	}
	buf_addc(out, '"');
}

void html_json(struct buf *out, const json_t *value)
{
	const char *key, *comma = "";
	json_t *item;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_STRING:
		json_text(out, json_string_value(value), json_string_length(value));
		break;
	case JSON_ARRAY:
		buf_addc(out, '[');
		json_array_foreach(value, i, item)
		{
			buf_adds(out, i ? "," : "");
			html_json(out, item);
		}
		buf_addc(out, ']');
		break;
	case JSON_OBJECT:
		buf_addc(out, '{');
		json_object_foreach((json_t *)(uintptr_t)value, key, item)
		{
			buf_adds(out, comma);
			json_text(out, key, strlen(key));
			buf_addc(out, ':');
			html_json(out, item);
			comma = ",";
		}
		buf_addc(out, '}');
		break;
	default:
		json_add(out, value);
	}
}

void html_number(struct buf *out, const char *label, double v, int decimals, bool sign)
{
	buf_addf(out, "<td class=\"num\" data-label=\"%s\" data-v=\"", label);
	if (isfinite(v))
		buf_addf(out, "%.17g", v);
	buf_adds(out, "\">");
	if (sign)
		num_add_signed(out, v, decimals);
	else
		num_add(out, v, decimals);
}
