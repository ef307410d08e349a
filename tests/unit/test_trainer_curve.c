/* test_trainer_curve.c: a curve has every step in it, however often the training was interrupted. */
#include "base/base.h"
#include "base/json.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "runner/trainer.h"

#define STEPS 1003 /* six a point */

static char *dir;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "curve");
}

static int tear_down(void **state)
{
	(void)state;
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

static void steps(struct trainer_curve *c, int from, int to)
{
	for (int i = from; i <= to; i++) {
		const struct train_step s = { .step = i,
					      .steps = STEPS,
					      .loss = 7.0 / i,
					      .lr = 0.001 * i,
					      .grad_norm = i == 6 ? (double)INFINITY : 1,
					      .validation = i % 100 ? (double)NAN : 9.0 / i,
					      .tokens = i,
					      .seconds = 0.5 };
		assert_int_equal(trainer_curve_step(&s, c), 0);
	}
}

static void test_trainer_curve__points_are_means(void **state)
{
	struct trainer_curve c;

	(void)state;
	trainer_curve_open(&c, dir);
	steps(&c, 1, STEPS);
	assert_int_equal(json_array_size(c.points), (STEPS + 5) / 6);
	const json_t *first = json_array_get(c.points, 0);
	assert_int_equal(json_integer_value(json_array_get(first, 0)), 6);
	assert_true(fabs(json_real_value(json_array_get(first, 1)) -
			 7 * (1 + 1 / 2. + 1 / 3. + 1 / 4. + 1 / 5. + 1 / 6.) / 6) < 1e-12);
	assert_true(json_is_null(json_array_get(first, 3))); /* JSON has no infinity */
	assert_true(fabs(json_real_value(json_array_get(first, 4)) - 21 / 3.) < 1e-12);
	assert_int_equal(json_array_size(c.validation), 10);
	trainer_curve_close(&c);
}

/* Kept behind step `kept`; the checkpoint that is found is that of step `back`. */
static void check(int kept, int back)
{
	struct trainer_curve whole, before, c;

	trainer_curve_open(&whole, dir);
	steps(&whole, 1, STEPS);
	trainer_curve_open(&before, dir);
	steps(&before, 1, kept);
	assert_int_equal(trainer_curve_save(&before), 0);
	trainer_curve_open(&c, dir);
	steps(&c, back + 1, STEPS);
	if (back == kept) {
		assert_true(json_equal(c.points, whole.points));
	} else { /* nothing twice, and in order */
		int64_t last = 0;
		for (size_t i = 0; i < json_array_size(c.points); i++) {
			int64_t step = json_integer_value(json_array_get(json_array_get(c.points, i), 0));
			assert_true(step > last);
			last = step;
		}
		assert_int_equal(last, STEPS);
	}
	assert_true(json_equal(c.validation, whole.validation));
	trainer_curve_close(&whole);
	trainer_curve_close(&before);
	trainer_curve_close(&c);
}

static void test_trainer_curve_step__goes_on_with_what_was_kept(void **state)
{
	(void)state;
	check(6, 6);
	check(100, 100);
	check(500, 500);
	check(501, 400); /* the newest checkpoint was damaged */
	check(700, 7);
}

static void test_trainer_curve_step__a_broken_file_is_no_reason_to_fail(void **state)
{
	static const char *const broken[] = { "", "{", "[]", "{\"points\":1,\"validation\":[1,[],[\"a\"]],\"n\":{}}" };
	char *path = path_join(dir, "curve.json");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct trainer_curve c;
		assert_int_equal(fs_write(path, broken[i], strlen(broken[i])), 0);
		trainer_curve_open(&c, dir);
		steps(&c, 995, 1000);
		assert_int_equal(json_array_size(c.points), 1);
		assert_int_equal(json_array_size(c.validation), 1);
		trainer_curve_close(&c);
	}
	free(path);
}

/* A training that ends early still tells of its last steps. */
static void test_trainer_curve_finish__adds_what_is_left(void **state)
{
	struct trainer_curve c;

	(void)state;
	trainer_curve_open(&c, dir);
	steps(&c, 1, 8);
	trainer_curve_finish(&c);
	trainer_curve_finish(&c);
	assert_int_equal(json_array_size(c.points), 2);
	trainer_curve_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trainer_curve__points_are_means),
		cmocka_unit_test(test_trainer_curve_step__goes_on_with_what_was_kept),
		cmocka_unit_test(test_trainer_curve_step__a_broken_file_is_no_reason_to_fail),
		cmocka_unit_test(test_trainer_curve_finish__adds_what_is_left),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
