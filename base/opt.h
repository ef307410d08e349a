/* opt.h: command lines as data. One table a command; usage, --help, --no- and the environment twins fall out of it.
 *
 *	bool json = false; const char *device = "auto"; int64_t limit = 0;
 *	const struct opt opts[] = {
 *		OPT_FLAG('j', "json", &json, "print one JSON document on standard output"),
 *		OPT_TEXT(0, "device", &device, "DEV", "auto, cpu or cuda[:N]"),
 *		OPT_INT('n', "limit", &limit, "N", "at most N samples a task"),
 *		OPT_END
 *	};
 *	rc = opt_parse(&argc, &argv, opts, &usage);
 *
 * --report-dir has the twin ASSAY_REPORT_DIR, read when the flag is absent; not for an option marked OPT_NO_ENV
 * (those that loosen a gate). Values may be given as --name=value or --name value. "--" ends the options. Options and
 * operands may be mixed. OPT_LIST gathers a repeated option. */
#ifndef BASE_OPT_H
#define BASE_OPT_H

enum opt_kind { OPT_KIND_END, OPT_KIND_FLAG, OPT_KIND_TEXT, OPT_KIND_INT, OPT_KIND_REAL, OPT_KIND_LIST };
enum { OPT_NO_ENV = 1, OPT_HIDDEN = 2 };

struct opt_list {
	const char **items;
	size_t n, cap;
};

struct opt {
	enum opt_kind kind;
	char letter; /* 0: none */
	const char *name;
	void *target;    /* bool, const char *, int64_t, double, struct opt_list */
	const char *arg; /* name of the value in help */
	const char *help;
	int flags;
};

/* clang-format off */
#define OPT_FLAG(letter, name, target, help) { OPT_KIND_FLAG, letter, name, target, NULL, help, 0 }
#define OPT_TEXT(letter, name, target, arg, help) { OPT_KIND_TEXT, letter, name, target, arg, help, 0 }
#define OPT_INT(letter, name, target, arg, help) { OPT_KIND_INT, letter, name, target, arg, help, 0 }
#define OPT_REAL(letter, name, target, arg, help) { OPT_KIND_REAL, letter, name, target, arg, help, 0 }
#define OPT_LIST(letter, name, target, arg, help) { OPT_KIND_LIST, letter, name, target, arg, help, 0 }
#define OPT_END { OPT_KIND_END, 0, NULL, NULL, NULL, NULL, 0 }
/* clang-format on */

struct opt_usage {
	const char *command;            /* "run" */
	const char *operands;           /* "[REV]" */
	const char *summary;            /* one line */
	const char *detail;             /* paragraphs and examples, shown by --help; may be NULL */
	int operands_min, operands_max; /* max < 0: any number */
};

/* Removes the options from argv (argv[0] included): afterwards argc counts the operands and argv[0] is the first.
 * ERR_USAGE with the nearest known option named. OPT_HELPED if --help was asked for and printed on standard output. */
enum { OPT_HELPED = 1 };
int opt_parse(int *argc, char ***argv, const struct opt *opts, const struct opt_usage *usage);
void opt_list_release(struct opt_list *list);
/* The known word nearest to a mistyped one, or NULL if none is near. Also used for configuration keys. */
const char *opt_nearest(const char *word, const char *const *known, size_t n);

#endif
