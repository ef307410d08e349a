/* score_metrics.c: cases of tests/golden/make_metrics.py on standard input, one a line; their values and scores on standard
 * output, one a line. For check_metrics.py. A line {"stem": "word"} gives its stem. */
#include "base/base.h"

#include <stdio.h>

#include "evals/mt_int.h"
#include "tests/unit/metrics_case.h"

static int one_line(json_t *c, size_t line, void *arg)
{
	const char *word = json_get_text(c, "stem", NULL);
	json_t *scores = json_array(), *said;
	struct buf text = BUF_INIT(1 << 30);
	struct metric m;
	size_t n;

	(void)line;
	(void)arg;
	if (word) {
		char *stem = stem_word(word, strlen(word));

		json_add_text(&text, stem, strlen(stem));
		free(stem);
	} else if (case_run(c, &m, &n)) {
		json_add_text(&text, err_text(), strlen(err_text()));
	} else {
		for (size_t i = 0; i < n; i++)
			json_array_append_new(scores, json_real(m.scores[i]));
		said = json_pack("{s:f, s:O, s:o}", "value", m.value, "scores", scores, "stderr",
				 m.stderr_ == m.stderr_ ? json_real(m.stderr_) : json_null());
		json_add(&text, said);
		json_decref(said);
		metric_release(&m);
	}
	puts(buf_str(&text));
	buf_release(&text);
	json_decref(scores);
	return 0;
}

int main(void)
{
	struct buf in = BUF_INIT((size_t)1 << 30);
	char part[1 << 16];
	size_t n;
	int rc;

	while ((n = fread(part, 1, sizeof(part), stdin)) > 0)
		buf_add(&in, part, n);
	rc = json_lines(buf_str(&in), in.len, "standard input", one_line, NULL);
	if (rc)
		fprintf(stderr, "%s\n", err_text());
	buf_release(&in);
	return rc ? 1 : 0;
}
