/* scaffold_clock.c: a model that runs as it is, for a repository with nothing in it yet: it learns to read the clock.
 *
 * The twelve-hour clock to the twenty-four-hour one: every minute of a day is a pair, and one in twenty-four is held out and
 * asked. Small enough to train in seconds, and hard enough that an unfinished training fails the floor. */
#include "base/base.h"
#include "runner/scaffold.h"

static const char suite_text[] = "# A task in lm-evaluation-harness keys (docs/evals.md).\n"
				 "suite: clock\n"
				 "tasks:\n"
				 "  - task: clock\n"
				 "    dataset_path: json\n"
				 "    dataset_kwargs: {data_files: {test: clock.jsonl}}\n"
				 "    test_split: test\n"
				 "    output_type: generate_until\n"
				 "    doc_to_text: \"{{prompt}}\"\n"
				 "    doc_to_target: \"{{completion}}\"\n"
				 "    target_delimiter: \"\"\n"
				 "    generation_kwargs: {until: [\"\\n\"], max_gen_toks: 16}\n"
				 "    metric_list: [{metric: exact_match}]\n";

static size_t add_samples(struct buf *train, struct buf *test)
{
	size_t n = 0;

	for (int minute = 0; minute < 24 * 60; minute++) {
		int h = minute / 60, m = minute % 60, h12 = h % 12 ? h % 12 : 12;
		const char *half = h < 12 ? "am" : "pm";
		bool held = (h12 * 7 + m * 13 + (h >= 12) * 5) % 24 == 0;

		n += held;
		buf_addf(held ? test : train,
			 "{\"id\":\"%02d%02d\",\"prompt\":\"%d:%02d %s =\",\"completion\":\" %02d:%02d\"}\n", h, m, h12,
			 m, half, h, m);
	}
	return n;
}

int scaffold_clock(const struct survey *s, const char **train_path, size_t *held)
{
	struct buf train = BUF_INIT(1 << 20), test = BUF_INIT(1 << 20);
	bool free_name = true;
	int rc;

	for (size_t i = 0; i < s->n_names; i++)
		free_name = free_name && strcmp(s->names[i], "data/train.jsonl");
	*train_path = free_name ? "data/train.jsonl" : "data/clock.jsonl";
	*held = add_samples(&train, &test);
	rc = scaffold_file(s, "evals/clock.yaml", suite_text, sizeof(suite_text) - 1, NULL);
	if (rc == 0)
		rc = scaffold_file(s, "evals/clock.jsonl", test.data, test.len, NULL);
	if (rc == 0)
		rc = scaffold_file(s, *train_path, train.data, train.len, NULL);
	buf_release(&train);
	buf_release(&test);
	return rc;
}
