/* bench_args.h: name=value arguments of the bench programs: whole numbers, and words. */
#ifndef TESTS_BENCH_ARGS_H
#define TESTS_BENCH_ARGS_H

#include "base/base.h"

struct bench_arg {
	const char *name; /* with its '=' */
	int64_t *to;
};

/* argv[1] is a folder, which is the caller's to read; the rest are arguments. */
static inline int bench_args(const struct bench_arg *args, size_t n, int argc, char **argv)
{
	if (argc < 2)
		return err_set(ERR_USAGE, "which folder? See the head of the source for the arguments");
	for (int i = 2; i < argc; i++) {
		size_t k = 0;
		while (k < n && strncmp(argv[i], args[k].name, strlen(args[k].name)))
			k++;
		if (k == n)
			return err_set(ERR_USAGE, "what is %s?", argv[i]);
		*args[k].to = strtoll(argv[i] + strlen(args[k].name), NULL, 10);
	}
	return 0;
}

/* Takes the word of name out of the arguments, which then are numbers alone. */
static inline const char *bench_word(const char *name, const char *without, int *argc, char **argv)
{
	const char *word = without;
	int n = 0;
	for (int i = 0; i < *argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0)
			word = argv[i] + strlen(name);
		else
			argv[n++] = argv[i];
	*argc = n;
	return word;
}

#endif
