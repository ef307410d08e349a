/* log.c: lines on standard error.
 *
 * Each message is one write, so that lines of two processes do not mix within a line. What is written may quote a commit,
 * a data set or a model, so every message goes through log_safe(): control bytes (escape sequences move cursors, set
 * titles, answer back), C1 controls, bytes that are no UTF-8 and the controls that reorder text (CVE-2021-42574) are shown
 * as escapes, and so is what a forge would read as a command from a CI log ("::set-env" at a line's start, "##[").
 * The level is the one setting of the process; it is set once by main(). */
#include "base/base.h"
#include "base/progress_int.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int current_level = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&current_level, (int)level);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load(&current_level);
}

bool log_is_terminal(void)
{
	return isatty(STDERR_FILENO) == 1;
}

bool log_has_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return log_is_terminal() && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

/* Controls that change the order or the lines of text without being seen. */
static bool is_hidden(uint32_t cp)
{
	return cp == 0x61c || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069);
}

static void add_escaped(struct buf *b, const char *s, size_t used, uint32_t cp, bool bad)
{
	if (cp < 0x20 || cp == 0x7f || (cp >= 0x80 && cp < 0xa0))
		buf_addf(b, "\\x%02x", (unsigned)cp);
	else if (bad)
		for (size_t i = 0; i < used; i++)
			buf_addf(b, "\\x%02x", (unsigned char)s[i]);
	else
		buf_addf(b, "\\u%04x", (unsigned)cp);
}

static void add_safe(struct buf *b, const char *s, size_t len)
{
	bool line_start = true;
	size_t used;

	for (size_t i = 0; i < len; i += used) {
		uint32_t cp = utf8_next(s + i, len - i, &used);
		bool bad = cp == 0xfffd && !(used == 3 && !memcmp(s + i, "\xef\xbf\xbd", 3));

		if (line_start && cp == ':' && i + 1 < len && s[i + 1] == ':')
			buf_adds(b, "\\x3a"); /* GitHub: "::command::" as a line's first word */
		else if (cp == '#' && len - i >= 3 && !memcmp(s + i, "##[", 3))
			buf_adds(b, "\\x23"); /* its older form, anywhere in a line */
		else if (bad || is_hidden(cp) || (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0))
			add_escaped(b, s + i, used, cp, bad);
		else
			buf_add(b, s + i, used);
		line_start = cp == '\n' || (line_start && (cp == ' ' || cp == '\t' || utf8_is_space(cp)));
	}
}

void log_safe(FILE *f, const char *s, size_t len)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	add_safe(&b, s, len);
	fwrite(buf_str(&b), 1, b.len, f);
	buf_release(&b);
}

static PRINTF_LIKE(3, 0) void write_line(const char *label, const char *colour, const char *fmt, va_list args)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	bool coloured = label[0] && log_has_colour();
	char *text = NULL;

	if (vasprintf(&text, fmt, args) < 0)
		return;
	if (coloured)
		buf_adds(&b, colour);
	buf_adds(&b, label);
	if (coloured)
		buf_adds(&b, "\033[0m");
	add_safe(&b, text, strlen(text));
	buf_addc(&b, '\n');
	progress_hide();
	fwrite(b.data, 1, b.len, stderr);
	fflush(stderr);
	buf_release(&b);
	free(text);
}

void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_line("error: ", "\033[1;31m", fmt, args); /* even when quiet */
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	if (log_level() < LOG_WARN)
		return;
	va_start(args, fmt);
	write_line("warning: ", "\033[1;33m", fmt, args);
	va_end(args);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	if (log_level() < LOG_INFO)
		return;
	va_start(args, fmt);
	write_line("", "", fmt, args);
	va_end(args);
}

void log_debug(const char *fmt, ...)
{
	va_list args;

	if (log_level() < LOG_DEBUG)
		return;
	va_start(args, fmt);
	write_line("debug: ", "\033[2m", fmt, args);
	va_end(args);
}
