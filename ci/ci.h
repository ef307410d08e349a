/* ci.h: faces to the world: one report document in, texts out.
 *
 * The report is one JSON document, "format":"assay-report/1" (its members are described in ci/report.c); the runner
 * makes it, renderers turn it into text, `assay post` reads it back as untrusted data. Everything in it that came from
 * a commit, a data set or a model is escaped for where it goes. Equal documents give equal bytes. */
#ifndef ASSAY_CI_H
#define ASSAY_CI_H

#include "base/base.h"
#include "base/json.h"

/* Checks that a document is a report: ERR_INPUT naming the member that is not as described. */
int report_check(const json_t *report);
/* Never cuts the verdict, the footer or the marker (some 2 KB; 20 KB where their texts are hostile); max_bytes 0: no limit. */
void report_markdown(const json_t *report, struct buf *out, size_t max_bytes);
struct report_term {
	int width; /* columns */
	bool colour;
};
void report_terminal(const json_t *report, struct buf *out, const struct report_term *how);
/* A web page in one file, that calls nothing. pairs: the samples, as described in ci/html_samples.c; NULL: none. */
void report_html(const json_t *report, const json_t *pairs, struct buf *out);
/* GitHub: ::error and ::notice lines for standard output; a few, worst first. */
void report_annotations(const json_t *report, struct buf *out);
/* A Code Quality report of GitLab's: a JSON array of issues. */
void report_codequality(const json_t *report, struct buf *out);
/* NAME=value lines for a later job's variables; a name for each of: verdict, exit, run, commit, model, version. */
void report_dotenv(const json_t *report, struct buf *out);
void report_junit(const json_t *report, struct buf *out);       /* a test case a rule */
void report_openmetrics(const json_t *report, struct buf *out); /* ends with "# EOF" */
void report_csv(const json_t *report, struct buf *out);

/* All that goes to a file or another program, by name: "md", "html", …; the terminal is apart, since it has a width. */
struct report_format {
	const char *name, *file; /* file: in a report folder */
	void (*write)(const json_t *report, const json_t *pairs, struct buf *out);
	bool pairs; /* it shows every sample */
};
extern const struct report_format report_formats[];               /* name NULL at the end */
const struct report_format *report_format_find(const char *name); /* NULL: unknown */
enum { REPORT_BYTES_MAX = 1 << 30 };

/* A metric's history on a branch, a document described in ci/report_trend.c. */
void report_trend_terminal(const json_t *trend, struct buf *out, const struct report_term *how);
void report_trend_html(const json_t *trend, struct buf *out);

/* ---- forges: the report as the one comment on a pull or merge request -------------------------------------------------- */

enum forge_kind { FORGE_GITHUB, FORGE_GITEA, FORGE_GITLAB };
const char *forge_name(enum forge_kind kind);

/* Where a report goes: all of it from the CI job that posts, nothing from the report. */
struct forge_place {
	enum forge_kind kind;
	char *api;     /* "https://api.github.com" */
	char *project; /* "owner/name", or GitLab's number */
	char *head;    /* the last commit of the request, or what was pushed */
	char *tested;  /* what the job has checked out, which may be the head merged into its target; NULL: not known */
	int64_t number;       /* of the request; 0: none, or it must be looked for by from */
	char *from;           /* "owner:branch" that the request comes from; NULL */
	int64_t run, attempt; /* of the job: a later one has a larger pair */
	char *url;            /* of that job; NULL */
	bool stranger;        /* the report is of a job that ran a stranger's commit: it may be forged */
};
/* From the environment of GitHub, Gitea, Forgejo or GitLab. ERR_ENV names the variable that is missing; ERR_USAGE: an
 * unknown forge. Release it also after an error. */
int forge_place_read(struct forge_place *out, const char *forge);
/* ERR_INPUT where a report is of another commit than the place's: it is forged, or another job's. */
int forge_place_check(const struct forge_place *p, const json_t *report);
void forge_place_release(struct forge_place *p);

struct forge_post {
	const char *token;  /* sent to the api's host only */
	const char *key;    /* tells several comments on one request apart */
	const char *author; /* whose comments are ours; NULL: the forge is asked */
	double retry_s;     /* before the second try; doubled each time */
	double timeout_s;   /* > 0: one try, of so long; 0: as patient as a job may be */
};
/* MOVED_ON: the request has another head by now, and nothing is written. */
enum forge_done { FORGE_CREATED, FORGE_UPDATED, FORGE_NEWER_STANDS, FORGE_MOVED_ON, FORGE_NO_REQUEST };
/* Writes the comment, or brings the one that is there up to date. ERR_UNAVAILABLE says what is missing, with the lines
 * that add it; ERR_INPUT: the report is of another commit. */
int forge_comment(enum forge_done *done, const struct forge_place *p, const struct forge_post *how,
		  const json_t *report);
/* Marks the head as passed or not. Not of a stranger's report, nor of one about another commit: ERR_INPUT. */
int forge_status(const struct forge_place *p, const struct forge_post *how, const json_t *report);
/* Asks, briefly and without changing anything, whether the token may write comments there. *says (yours): what it may; NULL: the
 * forge gave no answer. ERR_UNAVAILABLE: it may not; the hint has the lines that add it. */
int forge_probe(char **says, const struct forge_place *p, const struct forge_post *how);
/* The comment's text, of at most max bytes. */
void forge_body(struct buf *out, const struct forge_place *p, const char *key, const json_t *report, size_t max);

/* A hook in a repository (name: "pre-push", of a server "pre-receive" and "post-receive"): writes, chains and removes. */
int hook_install(const char *hooks_dir, const char *name, const char *assay_path, bool *chained);
int hook_uninstall(const char *hooks_dir, const char *name, bool *restored);

/* A scaffold for `assay init`: the CI file of a forge ("github", "gitlab", "gitea", "forgejo"). Static text; NULL: unknown forge. */
const char *ci_template(const char *forge, const char **path);

#endif
