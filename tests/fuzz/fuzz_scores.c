/* fuzz_scores.c: a file of scores from anybody: refused, or samples that mean the same when written by a JSON library.
 *
 * A line of the plainest form is not read by the JSON parser (evals/scores.c). So a file that is accepted is written again with
 * an escape in every line, which sends it there: samples, scores and value must be the same. */
#include "base/base.h"
#include "base/json.h"

#include <math.h>

#include "evals/evals_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* "id" as "\u0069d". */
static int escape_line(json_t *v, size_t line, void *arg)
{
	struct buf *out = arg;
	json_t *id = json_incref(json_object_get(v, "id"));

	(void)line;
	json_object_del(v, "id");
	buf_adds(out, "{\"\\u0069d\":");
	json_add(out, id);
	buf_addc(out, ',');
	{
		struct buf rest = BUF_INIT(BUF_NOLIMIT);

		json_add(&rest, v);
		buf_add(out, rest.data + 1, rest.len - 1);
		buf_release(&rest);
	}
	buf_addc(out, '\n');
	json_decref(id);
	return 0;
}

static void same_text(const char *a, const char *b)
{
	must(!a == !b && (!a || strcmp(a, b) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	struct task_result a, b;
	int rc = task_result_read_scores(&a, (const char *)data, size, "fuzz");

	must(rc == 0 || rc == ERR_INPUT);
	if (rc)
		return 0;
	must(json_lines((const char *)data, size, "fuzz", escape_line, &text) == 0);
	must(task_result_read_scores(&b, buf_str(&text), text.len, "again") == 0);
	must(a.n == b.n && a.n > 0 && a.metrics[0].binary == b.metrics[0].binary &&
	     !a.metrics[0].weights == !b.metrics[0].weights);
	for (size_t i = 0; i < a.n; i++) {
		same_text(a.samples[i].id, b.samples[i].id);
		same_text(a.samples[i].cluster, b.samples[i].cluster);
		same_text(a.samples[i].slice, b.samples[i].slice);
		must(a.metrics[0].scores[i] == b.metrics[0].scores[i] && isfinite(a.metrics[0].scores[i]));
		must(!a.metrics[0].weights || a.metrics[0].weights[i] == b.metrics[0].weights[i]);
	}
	must(a.metrics[0].value == b.metrics[0].value || isnan(a.metrics[0].value));
	task_result_release(&a);
	task_result_release(&b);
	buf_release(&text);
	return 0;
}
