/* test_report_samples.c: samples of two sides put beside each other: which metric counts, what broke, which way is better,
 * who is on one side only, slices, calibration, and that a group's samples are not counted twice. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "runner/report_samples.h"

enum { N = 4 };

/* Samples s0 … with the answers and, by metric, the scores given. */
static void make(struct task_result *t, const char *const *answers, size_t n)
{
	*t = (struct task_result){ .task = mem_str("de"), .n = n, .n_total = n };
	t->samples = mem_array(n, sizeof(*t->samples));
	for (size_t i = 0; i < n; i++) {
		struct sample *s = &t->samples[i];

		s->id = mem_printf("s%zu", i);
		s->prompt = mem_printf("prompt %zu", i);
		s->target = mem_str("yes");
		s->response = mem_str(answers[i]);
		s->response_len = strlen(answers[i]);
		s->slice = mem_str(i % 2 ? "odd" : "even");
	}
}

static void add_metric(struct task_result *t, const char *name, enum aggregate how, bool up, bool binary,
		       const double *scores)
{
	struct metric *m;

	t->metrics = mem_resize(t->metrics, (t->n_metrics + 1) * sizeof(*t->metrics));
	m = &t->metrics[t->n_metrics++];
	*m = (struct metric){ .name = mem_str(name),
			      .filter = mem_str("none"),
			      .aggregate = how,
			      .higher_is_better = up,
			      .binary = binary,
			      .stderr_ = NAN };
	m->scores = mem_array(t->n, sizeof(double));
	memcpy(m->scores, scores, t->n * sizeof(double));
}

static const json_t *row_of(const struct report_samples *r, const char *id)
{
	const json_t *rows = json_object_get(json_array_get(json_object_get(r->pairs, "tasks"), 0), "rows"), *row;
	size_t i;

	json_array_foreach(rows, i, row) if (!strcmp(json_string_value(json_array_get(row, 0)), id)) return row;
	fail_msg("no row %s", id);
	return NULL;
}

static void test_report_samples__what_broke_is_the_first_right_or_wrong(void **state)
{
	static const char *const before[] = { "yes", "yes", "no", "yes" }, *const after[] = { "yes", "no", "yes",
											      "no" };
	struct task_result a, b;
	struct report_samples r;
	const json_t *task;

	(void)state;
	make(&a, before, N);
	make(&b, after, N);
	/* the first metric is no 0/1 one, and the other way round */
	add_metric(&a, "chrf", AGGREGATE_MEAN, true, false, (double[]){ 0, 0, 0, 0 });
	add_metric(&b, "chrf", AGGREGATE_MEAN, true, false, (double[]){ 1, 1, 1, 1 });
	add_metric(&a, "acc", AGGREGATE_MEAN, true, true, (double[]){ 1, 1, 0, 1 });
	add_metric(&b, "acc", AGGREGATE_MEAN, true, true, (double[]){ 1, 0, 1, 0 });
	report_samples_init(&r, true);
	assert_int_equal(report_samples_add(&r, &a, &b), 0);
	assert_int_equal(r.n_broken, 2);
	assert_int_equal(r.n_fixed, 1);
	assert_string_equal(json_get_text(json_array_get(r.broken, 0), "id", ""), "s1");
	assert_string_equal(json_get_text(json_array_get(r.broken, 0), "before", ""), "yes");
	assert_string_equal(json_get_text(json_array_get(r.broken, 0), "after", ""), "no");
	task = json_array_get(json_object_get(r.pairs, "tasks"), 0);
	assert_int_equal(json_get_int(task, "key", -1), 1);
	assert_true(json_get_flag(task, "binary", false));
	assert_int_equal(json_get_int(r.pairs, "total", 0), 4);
	assert_int_equal(json_get_int(r.pairs, "shown", 0), 4);
	/* two slices a metric */
	assert_int_equal(json_array_size(r.slices), 4);
	assert_string_equal(json_get_text(json_array_get(r.slices, 2), "slice", ""), "even");
	assert_true(json_get_real(json_array_get(r.slices, 2), "baseline", -1) == 0.5);
	assert_true(json_get_real(json_array_get(r.slices, 2), "value", -1) == 1);
	report_samples_release(&r);
	task_result_release(&a);
	task_result_release(&b);
}

static void test_report_samples__who_is_on_one_side_only_is_there(void **state)
{
	static const char *const texts[] = { "a", "b", "c", "d" };
	struct task_result a, b;
	struct report_samples r;

	(void)state;
	make(&a, texts, N);
	make(&b, texts, N - 1);
	free(b.samples[0].id);
	b.samples[0].id = mem_str("new");
	add_metric(&a, "acc", AGGREGATE_MEAN, true, true, (double[]){ 1, 1, 1, 1 });
	add_metric(&b, "acc", AGGREGATE_MEAN, true, true, (double[]){ 0, 1, 1 });
	report_samples_init(&r, true);
	assert_int_equal(report_samples_add(&r, &a, &b), 0);
	assert_int_equal(r.n_broken, 0);
	assert_int_equal(json_get_int(r.pairs, "total", 0), 5);
	assert_true(json_is_null(json_array_get(row_of(&r, "new"), 4)));
	assert_string_equal(json_string_value(json_array_get(row_of(&r, "new"), 5)), "a");
	assert_true(json_is_null(json_array_get(row_of(&r, "s0"), 5)));
	assert_string_equal(json_string_value(json_array_get(row_of(&r, "s3"), 4)), "d");
	assert_true(json_is_null(json_array_get(row_of(&r, "s3"), 7)));
	report_samples_release(&r);
	task_result_release(&a);
	task_result_release(&b);
}

/* bits_per_byte is better when lower; a sample's score is its log-likelihood, which is better when higher. */
static void test_report_samples__a_log_likelihood_is_better_when_higher(void **state)
{
	static const char *const texts[] = { "a", "b" };
	struct task_result b;
	struct report_samples r;
	const json_t *up;

	(void)state;
	make(&b, texts, 2);
	add_metric(&b, "bits_per_byte", AGGREGATE_BITS, false, false, (double[]){ -40, -30 });
	add_metric(&b, "brier_score", AGGREGATE_MEAN, false, false, (double[]){ 0.1, 0.2 });
	report_samples_init(&r, true);
	assert_int_equal(report_samples_add(&r, NULL, &b), 0);
	up = json_object_get(json_array_get(json_object_get(r.pairs, "tasks"), 0), "up");
	assert_true(json_is_true(json_array_get(up, 0)));
	assert_true(json_is_false(json_array_get(up, 1)));
	assert_true(json_is_null(json_array_get(row_of(&r, "s1"), 4)));
	report_samples_release(&r);
	task_result_release(&b);
}

static void test_report_samples__calibration_by_bins(void **state)
{
	static const char *const texts[] = { "a", "b", "c", "d" };
	struct task_result b;
	struct report_samples r;
	const json_t *bins;

	(void)state;
	make(&b, texts, N);
	add_metric(&b, "acc", AGGREGATE_MEAN, true, true, (double[]){ 1, 0, 1, 1 });
	add_metric(&b, "confidence", AGGREGATE_MEAN, true, false, (double[]){ 0.82, 0.88, 0.31, 1.0 });
	report_samples_init(&r, false);
	assert_int_equal(report_samples_add(&r, NULL, &b), 0);
	assert_null(r.pairs);
	bins = json_object_get(json_array_get(r.calibration, 0), "bins");
	assert_int_equal(json_array_size(bins), 3);
	assert_true(fabs(json_number_value(json_array_get(json_array_get(bins, 1), 0)) - 0.85) < 1e-12);
	assert_true(json_number_value(json_array_get(json_array_get(bins, 1), 1)) == 0.5);
	assert_int_equal(json_integer_value(json_array_get(json_array_get(bins, 1), 2)), 2);
	assert_int_equal(json_integer_value(json_array_get(json_array_get(bins, 2), 2)), 1); /* 1.0 is in the last */
	report_samples_release(&r);
	task_result_release(&b);
}

static void test_report_samples__a_group_is_its_members(void **state)
{
	static const char *const texts[] = { "a", "b" };
	struct task_result b;
	struct report_samples r;

	(void)state;
	make(&b, texts, 2);
	add_metric(&b, "acc", AGGREGATE_MEAN, true, true, (double[]){ 1, 0 });
	b.members = mem_array(1, sizeof(*b.members));
	b.members[b.n_members++] = (struct task_member){ mem_str("de"), 2, 1 };
	report_samples_init(&r, true);
	assert_int_equal(report_samples_add(&r, NULL, &b), 0);
	assert_int_equal(json_get_int(r.pairs, "total", -1), 0);
	report_samples_release(&r);
	task_result_release(&b);
}

/* A page is bounded: texts of more than its bytes are counted and left out, those that changed apart from the rest. */
static void test_report_samples__a_page_is_bounded(void **state)
{
	enum { MANY = 20000, LONG = 4000 };
	struct task_result b;
	struct report_samples r;
	char *text = mem_alloc(LONG + 1);
	const char **texts = mem_array(MANY, sizeof(*texts));
	double *scores = mem_array(MANY, sizeof(*scores));

	(void)state;
	memset(text, 'x', LONG);
	text[LONG] = 0;
	for (size_t i = 0; i < MANY; i++)
		texts[i] = text;
	make(&b, texts, MANY);
	add_metric(&b, "acc", AGGREGATE_MEAN, true, true, scores);
	report_samples_init(&r, true);
	assert_int_equal(report_samples_add(&r, NULL, &b), 0);
	assert_int_equal(json_get_int(r.pairs, "total", 0), MANY);
	assert_true(json_get_int(r.pairs, "shown", 0) > 5000);
	assert_true(json_get_int(r.pairs, "shown", 0) < 7000);
	assert_int_equal(json_string_length(json_array_get(row_of(&r, "s0"), 5)), 3000 + 3); /* cut, and "…" */
	report_samples_release(&r);
	task_result_release(&b);
	free(scores);
	free(texts);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_samples__what_broke_is_the_first_right_or_wrong),
		cmocka_unit_test(test_report_samples__who_is_on_one_side_only_is_there),
		cmocka_unit_test(test_report_samples__a_log_likelihood_is_better_when_higher),
		cmocka_unit_test(test_report_samples__calibration_by_bins),
		cmocka_unit_test(test_report_samples__a_group_is_its_members),
		cmocka_unit_test(test_report_samples__a_page_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
