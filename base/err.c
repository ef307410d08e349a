/* err.c: the text of the last failure, one per thread.
 *
 * A text is set where the failure is found, grows at the front on its way up (err_context) and is read at one place,
 * by whoever reports. The strings are as long as they need to be and belong to the thread; a key with a destructor
 * frees them when the thread ends. A new text is formatted before the old one is freed, so that err_text() may be an
 * argument of err_set(). errno is left as it was found. */
#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>

struct err_state {
	char *text, *fix;
	bool known; /* to the key, so that the strings go with the thread */
};
static _Thread_local struct err_state state;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void state_release(void *arg)
{
	struct err_state *s = arg;

	free(s->text);
	free(s->fix);
	*s = (struct err_state){ NULL, NULL, false };
}

static void key_make(void)
{
	/* without a key the strings of an ended thread are lost: a leak of two lines, no more */
	if (pthread_key_create(&key, state_release))
		key = 0;
}

static void state_replace(char **field, char *text)
{
	if (!state.known) {
		pthread_once(&key_once, key_make);
		pthread_setspecific(key, &state);
		state.known = true;
	}
	free(*field);
	*field = text;
}

static char *format(const char *fmt, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, args) < 0)
		return mem_str("(an error whose text could not be formatted)");
	return text;
}

int err_set(int code, const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	char *text;

	va_start(args, fmt);
	text = format(fmt, args);
	va_end(args);
	state_replace(&state.text, text);
	state_replace(&state.fix, NULL);
	errno = saved;
	return code;
}

int err_errno(int code, const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	char *text, *whole;

	va_start(args, fmt);
	text = format(fmt, args);
	va_end(args);
	whole = mem_printf("%s: %s", text, strerror(saved));
	free(text);
	state_replace(&state.text, whole);
	state_replace(&state.fix, NULL);
	errno = saved;
	return code;
}

int err_context(int code, const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	char *text, *whole;

	va_start(args, fmt);
	text = format(fmt, args);
	va_end(args);
	whole = mem_printf("%s: %s", text, err_text());
	free(text);
	state_replace(&state.text, whole);
	errno = saved;
	return code;
}

int err_hint(int code, const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	char *text;

	va_start(args, fmt);
	text = format(fmt, args);
	va_end(args);
	state_replace(&state.fix, text);
	errno = saved;
	return code;
}

int err_first(int a, int b)
{
	return a ? a : b;
}

const char *err_text(void)
{
	return state.text ? state.text : "unknown error";
}

const char *err_fix(void)
{
	return state.fix;
}

void err_clear(void)
{
	state_replace(&state.text, NULL);
	state_replace(&state.fix, NULL);
}

struct err_saved err_save(void)
{
	struct err_saved saved = { state.text, state.fix };

	state.text = NULL;
	state.fix = NULL;
	return saved;
}

void err_restore(struct err_saved *saved)
{
	state_replace(&state.text, saved->text);
	state_replace(&state.fix, saved->fix);
	saved->text = NULL;
	saved->fix = NULL;
}

void err_forget(struct err_saved *saved)
{
	free(saved->text);
	free(saved->fix);
	saved->text = NULL;
	saved->fix = NULL;
}

int err_exit_code(int code)
{
	switch (code) {
	case ERR_OK:
		return 0;
	case ERR_NOTFOUND:
	case ERR_EXISTS:
		return 65;
	case ERR_CONFLICT:
	case ERR_BUSY:
		return 75; /* another process is at work: trying again is the fix */
	case ERR_USAGE:
	case ERR_INPUT:
	case ERR_UNAVAILABLE:
	case ERR_BUG:
	case ERR_IO:
	case ERR_INTERRUPTED:
	case ERR_ENV:
		return -code;
	default:
		/* fail closed: a result that nobody handled is our bug, and never a pass */
		return 70;
	}
}
