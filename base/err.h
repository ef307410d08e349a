/* err.h: errors with context.
 *
 * A function that can fail for an expected reason returns int: 0, or a negative enum err. The text is kept per thread
 * and is meaningful only after a failure. Where the failure is found: return err_set(ERR_INPUT, "no blob %s", hex).
 * On the way up a caller may put one phrase of context in front: return err_context(rc, "suite %s", path). A hint is
 * the fix, shown on a line of its own. Only main() and the report print.
 *
 * The value of a code is the negated exit code of the process (docs/reference.md), except for the few that a caller
 * is expected to handle itself. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
	ERR_OK = 0,
	/* for the caller to handle; exit as 65 or 75 if nobody does */
	ERR_NOTFOUND = -1, /* the thing asked for is not there */
	ERR_EXISTS = -2,   /* it is there already */
	ERR_CONFLICT = -3, /* somebody else changed it first */
	ERR_BUSY = -4,     /* held by another process */
	/* ends of a run */
	ERR_USAGE = -64,       /* the command line */
	ERR_INPUT = -65,       /* configuration, data, model, revision */
	ERR_UNAVAILABLE = -69, /* device, remote, dependency, memory */
	ERR_BUG = -70,         /* a broken invariant of ours */
	ERR_IO = -74,          /* read, write, disk full */
	ERR_INTERRUPTED = -75, /* resumable: try again */
	ERR_ENV = -78,         /* this environment cannot do it safely */
};

/* Sets the thread's text (replacing what was there, and any hint) and returns code. */
int err_set(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As err_set, with ": " and strerror(errno) behind the text. */
int err_errno(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "fmt: " in front of the text; returns code unchanged. */
int err_context(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sets the fix that is shown beneath the text; returns code unchanged. */
int err_hint(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The first failure of two results. */
int err_first(int a, int b);

const char *err_text(void); /* never NULL */
const char *err_fix(void);  /* NULL if there is no hint */
void err_clear(void);
/* Saves and restores the thread's text around clean-up that may fail too. */
struct err_saved {
	char *text, *fix;
};
struct err_saved err_save(void);
void err_restore(struct err_saved *saved);
void err_forget(struct err_saved *saved); /* it is not wanted back */

/* The exit code of the process for a result: 0, 64..78. NOTFOUND and EXISTS are 65, CONFLICT and BUSY 75 (try again);
 * whatever is no enum err (OPT_HELPED, say, that nobody handled) is 70: fail closed. */
int err_exit_code(int code);

#endif
