/* test_report_curve.c: a learning curve in one line, and its best validation loss. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci_int.h"

static void expect(const char *points, size_t max, const char *want)
{
	json_t *v = json_loads(points, 0, NULL);
	struct report_curve c;
	struct buf out = BUF_INIT(1024);

	assert_non_null(v);
	report_curve_make(&c, v, max);
	report_curve_spark(&c, &out);
	assert_string_equal(buf_str(&out), want);
	json_decref(v);
	buf_release(&out);
}

static void test_report_curve_spark__levels_and_holes(void **state)
{
	(void)state;
	expect("[[1,8],[2,4],[3,1]]", 40, "\xe2\x96\x88\xe2\x96\x84\xe2\x96\x81");
	expect("[[1,8,0.1,2,3],[2,null],[3,1]]", 40, "\xe2\x96\x88\xe2\x96\x85\xe2\x96\x81");
	expect("[[1,2],[2,2]]", 40, "\xe2\x96\x81\xe2\x96\x81");
	expect("[[1,3],[2,2],[3,1],[4,1]]", 2, "\xe2\x96\x88\xe2\x96\x81");
}

static void test_report_curve_make__what_is_no_curve_is_none(void **state)
{
	(void)state;
	expect("[]", 40, "");
	expect("[[1,2]]", 40, "");
	expect("[[5,2],[5,1]]", 40, "");
	expect("[[1,null],[2,1]]", 40, "");
	expect("[3,\"x\",{}]", 40, "");
	expect("[[1,2],[2,1]]", 1, "");
}

static void test_report_add_validation__the_lowest_counts(void **state)
{
	json_t *t = json_loads("{\"validation\":[[10,0.9],[20,0.5],[30,null],[40,0.625]]}", 0, NULL);
	struct buf out = BUF_INIT(256);

	(void)state;
	report_add_validation(t, &out);
	assert_string_equal(buf_str(&out), ", validation 0.5 at step 20 (0.625 at the last)");
	buf_clear(&out);
	json_object_clear(t);
	report_add_validation(t, &out);
	report_add_validation(NULL, &out);
	assert_int_equal(out.len, 0);
	json_decref(t);
	buf_release(&out);
}

static void capitals(struct buf *out, const char *s, size_t max)
{
	for (size_t i = 0; s[i] && i < max; i++)
		buf_addc(out, (char)(s[i] - 'a' + 'A'));
}

static void test_report_add_training__words_go_through_the_caller(void **state)
{
	json_t *t =
		json_loads("{\"method\":\"lora\",\"steps\":200,\"tokens\":81920,\"first_loss\":2.5,\"last_loss\":0.5,"
			   "\"seconds\":12,\"validation\":[[200,0.75]]}",
			   0, NULL);
	struct buf out = BUF_INIT(256);

	(void)state;
	report_add_training(t, capitals, &out);
	assert_string_equal(
		buf_str(&out),
		"Trained: LORA, 200 steps, 81920 tokens, loss 2.5 \xe2\x86\x92 0.5, validation 0.75 at step "
		"200, 12.0 s.");
	buf_clear(&out);
	json_object_del(t, "last_loss");
	json_object_set_new(t, "reused", json_true());
	report_add_training(t, capitals, &out);
	assert_string_equal(buf_str(&out), "Trained before, reused: LORA, 200 steps, 81920 tokens, validation 0.75 at "
					   "step 200, 12.0 s.");
	json_decref(t);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_curve_spark__levels_and_holes),
		cmocka_unit_test(test_report_curve_make__what_is_no_curve_is_none),
		cmocka_unit_test(test_report_add_validation__the_lowest_counts),
		cmocka_unit_test(test_report_add_training__words_go_through_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
