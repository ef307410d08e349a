/* cmd_reproduce.c: `assay reproduce`: a stored run made again, and whether the same bits came out. */
#include "base/base.h"
#include "runner/budget.h"
#include "runner/cmd.h"
#include "runner/reproduce.h"

static void say(const char *text)
{
	log_safe(stdout, text, strlen(text));
	putchar('\n');
}

static void print_prepared(const json_t *doc)
{
	char took[32];

	clock_duration(took, json_get_real(doc, "seconds", 0));
	printf("%s: all that run %.12s was made of, assembled in %s\n", json_get_text(doc, "prepared", ""),
	       json_get_text(doc, "run", ""), took);
	printf("  code/       commit %.12s, with its data\n", json_get_text(doc, "commit", ""));
	if (json_get_text(doc, "questions", NULL))
		printf("  questions/  commit %.12s, whose suites were asked\n", json_get_text(doc, "questions", ""));
	if (json_get_text(doc, "base", NULL))
		printf("  base/       the base %.12s%s\n", json_get_text(doc, "base", ""),
		       json_array_size(json_object_get(doc, "rebuilt")) ? ", made again" : "");
	puts("  record.json what the run said of itself");
}

static void print_row(const json_t *row)
{
	const char *note = json_get_text(row, "note", NULL);
	bool equal = json_get_flag(row, "equal", false);
	char *text = mem_printf("  %-8s %-28s %s%s%s", json_get_text(row, "what", ""), json_get_text(row, "name", ""),
				equal ? "same" : "differs", note ? ": " : "", note ? note : "");

	say(text);
	free(text);
}

/* Data sets may be many: those that are the same are counted. */
static void print_rows(const json_t *rows)
{
	size_t same = 0, i;
	json_t *row;

	json_array_foreach(rows, i, row) same +=
		json_get_flag(row, "equal", false) && strcmp(json_get_text(row, "what", ""), "data") == 0;
	if (same)
		printf("  %-8s %zu %-26s same\n", "data", same, same > 1 ? "files" : "file");
	json_array_foreach(rows, i, row)
	{
		if (!json_get_flag(row, "equal", false) || strcmp(json_get_text(row, "what", ""), "data") != 0)
			print_row(row);
	}
}

static void print_compared(const json_t *doc)
{
	static const char *const parts[] = { "assemble", "train", "eval" };
	const json_t *seconds = json_object_get(doc, "seconds"), *numerics = json_object_get(doc, "numerics");
	json_t *row;
	size_t i;

	printf("run %.12s of commit %.12s, %s\n", json_get_text(doc, "run", ""), json_get_text(doc, "commit", ""),
	       json_get_text(numerics, "here", ""));
	json_array_foreach(json_object_get(doc, "rebuilt"), i, row)
		printf("  base     %.12s made again by run %.12s\n", json_get_text(row, "object", ""),
		       json_get_text(row, "run", ""));
	print_rows(json_object_get(doc, "compared"));
	for (i = 0; i < ARRAY_LEN(parts); i++) {
		char took[32];

		clock_duration(took, json_get_real(seconds, parts[i], 0));
		printf("%s%s %s", i ? " · " : "  ", parts[i], took);
	}
	putchar('\n');
	if (json_get_flag(doc, "equal", false)) {
		puts("the same bits");
	} else {
		char *text = mem_printf("not the same: %s", json_get_text(doc, "first", ""));

		say(text);
		free(text);
	}
}

int cmd_reproduce(int argc, char **argv)
{
	struct reproduce_options o = { .wait_s = 3600 };
	char id[DIGEST_HEX];
	bool json = false;
	json_t *doc = NULL;
	struct place place;
	uint64_t bytes;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "prepare", &o.prepare, "DIR", "only assemble code, data and base there; run nothing"),
		OPT_TEXT(0, "device", &o.device, "DEV", "where to compute (default: by the recorded numerics class)"),
		OPT_INT(0, "threads", &o.threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &o.memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &o.datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_REAL(0, "wait", &o.wait_s, "SECONDS", "how long to wait for another run of the same work"),
		OPT_FLAG(0, "other-numerics", &o.other_numerics,
			 "go on although this machine's numbers are of another class"),
		OPT_FLAG('j', "json", &json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"reproduce",
		"RUN",
		"make a stored run again and compare the bits",
		"Fetches the commits, gets or makes again the base, trains and evaluates with nothing reused, and "
		"compares\n"
		"digests. Records nothing.\n\n"
		"  assay reproduce dates@v2\n"
		"  assay reproduce dates@production --prepare /tmp/dates    code, data and base; nothing is run\n\n"
		"Exit codes: 0 the same bits, 1 something differs, 64 and above an error.",
		1,
		1
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (o.memory && (rc = budget_parse(&bytes, o.memory)))
		return rc;
	run_stop_on_signals();
	rc = place_open(&place);
	if (rc == 0 && !place.repo)
		rc = err_set(ERR_INPUT, "assay reproduce needs a git repository");
	if (rc == 0)
		rc = place_run(&place, argv[0], id);
	if (rc == 0)
		rc = reproduce(&place.home, place.repo, id, &o, &doc);
	if (rc == 0 && json)
		print_json(doc);
	else if (rc == 0 && o.prepare)
		print_prepared(doc);
	else if (rc == 0)
		print_compared(doc);
	if (rc == 0 && !o.prepare && !json_get_flag(doc, "equal", false))
		rc = 1;
	json_decref(doc);
	place_close(&place);
	return rc;
}
