/* progress.c: long work shows itself.
 *
 * On a terminal: one line, redrawn at most ten times a second, with bar, share, rate, time left and a note. In a log (CI):
 * a plain line every ten seconds, so that nobody takes the job for dead, and nothing at all for work that is quicker.
 * The rate is that of the whole work so far: steady, and right for work of equal items. One piece of work at a time; the
 * lock makes progress_at() safe from any thread, and a call that is not due costs one clock reading. */
#include "base/base.h"
#include "base/progress_int.h"

#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_S 0.1
#define LINE_S 10.0
#define BAR_CELLS 24

static struct {
	pthread_mutex_t lock;
	char what[64], unit[24];
	uint64_t total, done;
	double begun_s, shown_s;
	bool active, terminal, blocks, drawn, spoke;
} bar = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool locale_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *v = getenv(names[i]);

		if (v && *v)
			return strstr(v, "UTF-8") || strstr(v, "utf8") || strstr(v, "utf-8") || strstr(v, "UTF8");
	}
	return false;
}

static size_t columns(void)
{
	struct winsize w;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 20)
		return w.ws_col;
	return 80;
}

static void add_bar(struct buf *b, double share)
{
	int full = (int)(share * BAR_CELLS);

	buf_addc(b, '[');
	for (int i = 0; i < BAR_CELLS; i++)
		buf_adds(b, i < full ? (bar.blocks ? "█" : "#") : (bar.blocks ? "░" : "-"));
	buf_addc(b, ']');
}

/* "1234", "12.3 k", "4.56 M" */
static void add_amount(struct buf *b, double x)
{
	if (x >= 1e9)
		buf_addf(b, "%.2f G", x * 1e-9);
	else if (x >= 1e6)
		buf_addf(b, "%.2f M", x * 1e-6);
	else if (x >= 1e4)
		buf_addf(b, "%.1f k", x * 1e-3);
	else
		buf_addf(b, "%.*f%s", x < 10 && x != (double)(uint64_t)x ? 1 : 0, x, bar.unit[0] ? " " : "");
}

static void add_state(struct buf *b, double now, const char *note)
{
	double spent = now - bar.begun_s;
	double rate = spent > 0 ? (double)bar.done / spent : 0;
	double share = bar.total ? (double)bar.done / (double)bar.total : 0;
	char left[32];

	if (share > 1)
		share = 1;
	buf_adds(b, bar.what);
	buf_addc(b, ' ');
	if (bar.terminal && bar.total)
		add_bar(b, share);
	if (bar.total)
		buf_addf(b, " %3.0f%%", share * 100);
	buf_addc(b, ' ');
	add_amount(b, (double)bar.done);
	if (bar.total) {
		buf_adds(b, "/ ");
		add_amount(b, (double)bar.total);
	}
	buf_adds(b, bar.unit);
	if (rate > 0) {
		buf_adds(b, ", ");
		add_amount(b, rate);
		buf_addf(b, "%s/s", bar.unit);
	}
	if (rate > 0 && bar.total > bar.done) {
		clock_duration(left, (double)(bar.total - bar.done) / rate);
		buf_addf(b, ", %s left", left);
	}
	if (note[0])
		buf_addf(b, ", %s", note);
}

/* The line cut to the width of the terminal, without any control of its own. */
static void draw(const char *text)
{
	size_t width = columns() - 1, cells = 0, used;

	fputs("\r\033[K", stderr);
	for (const char *p = text; *p && cells < width; p += used, cells++) {
		uint32_t cp = utf8_next(p, strlen(p), &used);

		if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
			fputc('?', stderr);
		else
			fwrite(p, 1, used, stderr);
	}
	fflush(stderr);
	bar.drawn = true;
}

static void show(double now, const char *note)
{
	struct buf b = BUF_INIT(4096);

	bar.shown_s = now;
	add_state(&b, now, note);
	if (bar.terminal) {
		draw(buf_str(&b));
	} else {
		log_safe(stderr, buf_str(&b), b.len);
		fputc('\n', stderr);
		fflush(stderr);
		bar.spoke = true;
	}
	buf_release(&b);
}

void progress_begin(const char *what, uint64_t total, const char *unit)
{
	const char *term = getenv("TERM");

	pthread_mutex_lock(&bar.lock);
	snprintf(bar.what, sizeof(bar.what), "%s", what);
	snprintf(bar.unit, sizeof(bar.unit), "%s", unit ? unit : "");
	bar.total = total;
	bar.done = 0;
	bar.begun_s = bar.shown_s = clock_seconds();
	bar.terminal = log_is_terminal() && term && strcmp(term, "dumb") != 0;
	bar.blocks = locale_is_utf8();
	bar.active = log_level() >= LOG_INFO;
	bar.drawn = bar.spoke = false;
	pthread_mutex_unlock(&bar.lock);
}

void progress_at(uint64_t done, const char *note_fmt, ...)
{
	char note[160] = "";
	va_list args;
	double now;

	pthread_mutex_lock(&bar.lock);
	bar.done = done;
	now = clock_seconds();
	if (bar.active && now - bar.shown_s >= (bar.terminal ? REDRAW_S : LINE_S)) {
		if (note_fmt) {
			va_start(args, note_fmt);
			vsnprintf(note, sizeof(note), note_fmt, args);
			va_end(args);
		}
		show(now, note);
	}
	pthread_mutex_unlock(&bar.lock);
}

static void hide(void)
{
	if (!bar.drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	bar.drawn = false;
}

void progress_hide(void)
{
	pthread_mutex_lock(&bar.lock);
	hide();
	pthread_mutex_unlock(&bar.lock);
}

void progress_end(void)
{
	pthread_mutex_lock(&bar.lock);
	hide();
	if (bar.active && bar.spoke)
		show(clock_seconds(), "done"); /* a log that has seen it begin sees it end */
	bar.active = false;
	pthread_mutex_unlock(&bar.lock);
}
