/* test_sampler.c: which tokens may be drawn, and how often they are. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define V 1000

/* Probabilities at temperature 1: 0.5 of token 3, 0.25 of 7, 0.125 of 11 and of 13; nothing of the others. */
static void logits_of_four(float *x)
{
	for (int i = 0; i < V; i++)
		x[i] = -200;
	x[3] = logf(4.0f);
	x[7] = logf(2.0f);
	x[11] = x[13] = 0;
}

static void draw(int counts[V], const float *x, const struct generate_request *how, int n)
{
	struct sampler s;
	struct rng r;

	rng_seed(&r, how->seed, 0);
	sampler_open(&s, V);
	memset(counts, 0, V * sizeof(int));
	for (int i = 0; i < n; i++) {
		int32_t id = sampler_draw(&s, x, how, &r);
		assert_in_range(id, 0, V - 1);
		counts[id]++;
	}
	sampler_close(&s);
}

static void about(int got, double share)
{
	if (fabs(got - share * 8000) > 250) /* more than five deviations */
		fail_msg("%d of 8000, %g are expected", got, share * 8000);
}

static void test_sampler_draw__in_proportion(void **state)
{
	int n[V];
	float x[V];

	(void)state;
	logits_of_four(x);
	draw(n, x, &(struct generate_request){ .temperature = 1, .seed = 1 }, 8000);
	about(n[3], 0.5);
	about(n[7], 0.25);
	about(n[11], 0.125);
	about(n[13], 0.125);
	assert_int_equal(n[3] + n[7] + n[11] + n[13], 8000);
	draw(n, x, &(struct generate_request){ .temperature = 0.5, .seed = 2 }, 8000); /* squares */
	about(n[3], 16 / 22.0);
	about(n[7], 4 / 22.0);
	about(n[13], 1 / 22.0);
	draw(n, x, &(struct generate_request){ .temperature = 1e-9, .seed = 3 }, 100);
	assert_int_equal(n[3], 100);
}

static void test_sampler_draw__top_k(void **state)
{
	int n[V];
	float x[V];

	(void)state;
	logits_of_four(x);
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_k = 2 }, 8000);
	about(n[3], 2 / 3.0);
	assert_int_equal(n[3] + n[7], 8000);
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_k = 1 }, 100);
	assert_int_equal(n[3], 100);
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_k = 3 }, 8000); /* the third has an equal */
	about(n[11], 0.125);
	about(n[13], 0.125);
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_k = V + 5 }, 8000);
	about(n[3], 0.5);
}

static void test_sampler_draw__top_p(void **state)
{
	static const struct {
		double p;
		int kept; /* of 3, 7, 11 and 13 */
	} cases[] = { { 0.01, 1 }, { 0.49, 1 }, { 0.51, 2 }, { 0.74, 2 }, { 0.76, 4 }, { 1, 4 }, { 0, 4 } };
	int n[V];
	float x[V];

	(void)state;
	logits_of_four(x);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		draw(n, x, &(struct generate_request){ .temperature = 1, .top_p = cases[i].p, .seed = i }, 500);
		assert_true(n[3] > 0);
		assert_int_equal(n[7] > 0, cases[i].kept >= 2);
		assert_int_equal(n[11] > 0, cases[i].kept >= 4);
		assert_int_equal(n[13] > 0, cases[i].kept >= 4);
	}
	/* of the two that top_k leaves, the first has two thirds */
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_k = 2, .top_p = 0.6 }, 500);
	assert_int_equal(n[3], 500);
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_k = 2, .top_p = 0.7 }, 500);
	assert_int_equal(n[3] + n[7], 500);
	assert_true(n[7] > 0);
}

/* Against a plain sort of the whole vocabulary. */
static void test_sampler_draw__top_p_of_a_flat_row(void **state)
{
	int n[V], kept = 0;
	double sum = 0, before = 0;
	float x[V];

	(void)state;
	for (int i = 0; i < V; i++) {
		x[i] = -(float)((i * 7919) % V) / 100;
		sum += exp((double)x[i]);
	}
	for (; before < 0.8 * sum; kept++)
		before += exp(-(double)kept / 100);
	draw(n, x, &(struct generate_request){ .temperature = 1, .top_p = 0.8 }, 20000);
	for (int i = 0; i < V; i++)
		assert_int_equal(n[i] > 0, (i * 7919) % V < kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sampler_draw__in_proportion),
		cmocka_unit_test(test_sampler_draw__top_k),
		cmocka_unit_test(test_sampler_draw__top_p),
		cmocka_unit_test(test_sampler_draw__top_p_of_a_flat_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
