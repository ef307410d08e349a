/* fuzz_harness.c: results of lm-evaluation-harness from anybody: refused, or results that are stored and read back the same.
 *
 * The files of an input are the results and the samples, which every task of the results gets. */
#include "fuzz_files.h"

#include "evals/evals_int.h"

static int read_either(void *self, const char *path, struct buf *out)
{
	const struct fuzz_file *f = (const struct fuzz_file *)self + (strstr(path, "samples_") ? 1 : 0);

	buf_add(out, f->data, f->len);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file inputs[2];
	const struct eval_files files = { .self = inputs, .read = read_either };
	struct task_result *tasks = NULL;
	size_t n = 0;
	int rc;

	log_set_level(LOG_QUIET);
	fuzz_split(inputs, 2, data, size);
	rc = harness_results_read(&tasks, &n, &files, "d/results_2026-01-01T00-00-00.json");
	must(rc == 0 || rc == ERR_INPUT);
	must(rc || n > 0);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct buf text = BUF_INIT(BUF_NOLIMIT), again = BUF_INIT(BUF_NOLIMIT);
		struct task_result back;
		bool finite = tasks[i].n_metrics > 0;

		for (size_t k = 0; k < tasks[i].n_metrics; k++)
			finite = finite && tasks[i].metrics[k].value - tasks[i].metrics[k].value == 0;
		task_result_write(&tasks[i], &text);
		if (finite && task_result_read(&back, buf_str(&text), text.len, "again") == 0) {
			task_result_write(&back, &again);
			must(text.len == again.len && memcmp(text.data, again.data, text.len) == 0);
			task_result_release(&back);
		} else {
			must(!finite || tasks[i].n_metrics > 64);
		}
		buf_release(&text);
		buf_release(&again);
	}
	for (size_t i = 0; i < n; i++)
		task_result_release(&tasks[i]);
	free(tasks);
	return 0;
}
