/* html_samples.c: the samples of the page, sample by sample, baseline beside candidate.
 *
 * The list itself is made in the browser (html/samples.js): it shows some thirty of perhaps fifty thousand rows at a time.
 * Its data stands in the page as a block of JSON:
 *
 *	{"tasks":[{"task","metrics":[name],"up":[a higher score is better],"key":which metric sorts,"binary":its scores are 0 or 1,
 *	  "rows":[[id, slice|null, prompt, target, before|null, after|null, [scores before]|null, [scores after]|null,
 *	    [tokens, seconds]], …]}],
 *	 "total":samples there are,"shown":samples in the block}
 *
 * before and after are null where one side does not have the sample. Tokens and seconds are the candidate's (else the baseline's);
 * 0: not known. On paper, and without scripts, the samples that
 * broke stand there as a table instead. */
#include "base/base.h"
#include "ci/html_int.h"

enum { PRINTED = 25, CELL_POINTS = 300 };

static void add_printed(struct buf *out, const json_t *report)
{
	const json_t *broken = json_object_get(json_object_get(report, "samples"), "broken"), *s;
	size_t i;

	if (!json_array_size(broken))
		return;
	buf_adds(out,
		 "<table class=\"plain printed\"><thead><tr><th scope=\"col\">broke</th><th scope=\"col\">prompt</th>"
		 "<th scope=\"col\">expected</th><th scope=\"col\">baseline</th><th scope=\"col\">candidate</th></tr>"
		 "</thead><tbody>\n");
	json_array_foreach(broken, i, s)
	{
		if (i == PRINTED)
			break;
		buf_adds(out, "<tr><th scope=\"row\"><bdi>");
		html_text(out, json_get_text(s, "task", ""), 80);
		buf_addc(out, '/');
		html_text(out, json_get_text(s, "id", ""), 80);
		buf_adds(out, "</bdi></th><td>");
		html_code(out, json_object_get(s, "prompt"), CELL_POINTS, TEXT_TAIL);
		buf_adds(out, "</td><td>");
		html_code(out, json_object_get(s, "target"), CELL_POINTS, TEXT_HEAD);
		buf_adds(out, "</td><td>");
		html_code(out, json_object_get(s, "before"), CELL_POINTS, TEXT_HEAD);
		buf_adds(out, "</td><td>");
		html_code(out, json_object_get(s, "after"), CELL_POINTS, TEXT_HEAD);
		buf_adds(out, "</td></tr>\n");
	}
	buf_adds(out, "</tbody></table>\n");
}

void html_samples(struct buf *out, const json_t *report, const json_t *pairs)
{
	const json_t *samples = json_object_get(report, "samples");
	int64_t total = json_get_int(pairs, "total", 0), shown = json_get_int(pairs, "shown", 0);

	if (!shown && !json_array_size(json_object_get(samples, "broken")))
		return;
	buf_adds(out, "<section id=\"samples\"><h2>Samples</h2>\n");
	if (shown < total)
		buf_addf(out,
			 "<p class=\"legend\">%lld of %lld samples are in this page, those that changed first; "
			 "<code>assay samples</code> has all.</p>\n",
			 (long long)shown, (long long)total);
	if (shown)
		buf_adds(out, "<div id=\"list\" hidden></div>\n");
	add_printed(out, report);
	buf_adds(out, "</section>\n");
	if (!shown)
		return;
	buf_adds(out, "<script type=\"application/json\" id=\"pairs\">");
	html_json(out, pairs);
	buf_adds(out, "</script>\n");
}
