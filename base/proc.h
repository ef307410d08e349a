/* proc.h: child processes, by argument vector and never through a shell.
 *
 *	struct proc p = { .argv = (const char *[]){ "git", "--version", NULL }, .out = &text };
 *	rc = proc_run(&p);     // 0 if it ran, whatever it answered; p.status is its exit code, 128+N for signal N
 *
 * Standard input is /dev/null unless in is given. */
#ifndef BASE_PROC_H
#define BASE_PROC_H

struct proc {
	const char *const *argv;     /* NULL at the end; argv[0] is looked up in PATH */
	const char *const *env;      /* "NAME=value" to set; "NAME" alone to unset; NULL at the end; may be NULL */
	const char *const *env_keep; /* if given, nothing else is inherited but these names */
	const char *dir;             /* working directory, or NULL */
	const char *in;              /* standard input */
	size_t in_len;
	const char *name; /* of the child in errors; NULL: argv[0] */
	struct buf *out;  /* standard output; NULL: inherited, or handed to line */
	bool full_ends;  /* more than out takes ends the child like a timeout, with ERR_INPUT; else it is thrown away */
	struct buf *err; /* standard error; NULL: inherited, or handed to line; may equal out */
	void (*line)(const char *line, size_t len, void *arg); /* each line of both streams where no buffer is given */
	void *line_arg;
	double timeout_s; /* 0: none; over it the child's group is killed and proc_run gives ERR_UNAVAILABLE */
	bool keeper; /* the child kills all its descendants when told to by SIGUSR1, and is given the time for it */
	int (*before_exec)(void *arg); /* in the child; non-zero ends it with 126 */
	void *before_exec_arg;
	const volatile int *stop; /* if given and it becomes non-zero (by a signal handler): the group is ended,
				   * ERR_INTERRUPTED */

	int status; /* result */
};
int proc_run(struct proc *p);
/* As proc_run; a non-zero status is ERR_IO with the command and the end of its standard error in the text. */
int proc_check(struct proc *p);

#endif
