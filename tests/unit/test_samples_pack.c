/* test_samples_pack.c: the stored form of results: what it gives back, what it reads when, and every way to break it. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/evals_int.h"

#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* n samples with every kind of column. */
static void make(struct task_result *t, size_t n)
{
	*t = (struct task_result){ .task = mem_str("t"), .n = n, .n_total = n + 2, .n_metrics = 3 };
	snprintf(t->digest, sizeof(t->digest), "%s", DIGEST);
	t->samples = mem_array(n, sizeof(*t->samples));
	t->metrics = mem_array(3, sizeof(*t->metrics));
	t->metrics[0] = (struct metric){ .name = mem_str("acc"),
					 .filter = mem_str("none"),
					 .higher_is_better = true,
					 .binary = true,
					 .scores = mem_array(n, sizeof(double)) };
	t->metrics[1] = (struct metric){ .name = mem_str("ppl"),
					 .filter = mem_str("none"),
					 .aggregate = AGGREGATE_PERPLEXITY,
					 .scores = mem_array(n, sizeof(double)),
					 .weights = mem_array(n, sizeof(double)) };
	t->metrics[2] = (struct metric){ .name = mem_str("ter"),
					 .filter = mem_str("none"),
					 .aggregate = AGGREGATE_TER,
					 .scores = mem_array(n, sizeof(double)),
					 .parts = mem_array(n, 2 * sizeof(double)),
					 .n_parts = 2 };
	for (size_t i = 0; i < n; i++) {
		struct sample *s = &t->samples[i];

		s->id = mem_printf("s%zu \"\xc3\xa9\"", i);
		s->prompt = mem_printf("line\nbreak %zu", i);
		s->target = mem_str("");
		s->response = mem_strn("x\0y", 4);
		s->response_len = 3;
		s->slice = i % 3 ? mem_printf("slice %zu", i % 2) : NULL;
		s->cluster = mem_printf("c%zu", i / 2);
		s->tokens = (int64_t)i;
		snprintf(s->doc_hash, 17, "0123456789abcdef");
		t->metrics[0].scores[i] = i % 2 == 1;
		t->metrics[1].scores[i] = -1.0 / 3 * (double)(i + 1);
		t->metrics[1].weights[i] = (double)i + 1.5;
		t->metrics[2].parts[2 * i] = (double)i;
		t->metrics[2].parts[2 * i + 1] = 7 + (double)i / 3;
	}
	for (int k = 0; k < 3; k++)
		metric_close(&t->metrics[k], n);
}

static void lines_of(const struct task_result *t, struct buf *out)
{
	buf_clear(out);
	task_result_write(t, out);
}

static int opened;
static void count_release(void *self)
{
	(void)self;
	opened--;
}

static int open_bytes(struct task_result *t, const struct buf *b)
{
	opened++;
	return task_result_open(t, (struct samples_bytes){ (const uint8_t *)b->data, b->len, count_release, NULL },
				"f");
}

static void test_task_result_pack__gives_back_what_it_got(void **state)
{
	static const size_t sizes[] = { 1, 255, 256, 257, 1000 };
	struct buf packed = BUF_INIT(BUF_NOLIMIT), before = BUF_INIT(BUF_NOLIMIT), after = BUF_INIT(BUF_NOLIMIT);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		struct task_result t, back;

		make(&t, sizes[k]);
		buf_clear(&packed);
		task_result_pack(&t, &packed);
		lines_of(&t, &before);
		if (open_bytes(&back, &packed))
			fail_msg("%s", err_text());
		assert_null(back.samples[0].prompt);
		assert_true(back.metrics[1].value == t.metrics[1].value);
		assert_int_equal(task_result_text(&back, sizes[k] - 1), 0);
		assert_string_equal(back.samples[sizes[k] - 1].prompt, t.samples[sizes[k] - 1].prompt);
		if (sizes[k] > 256)
			assert_null(back.samples[0].prompt); /* another block */
		assert_int_equal(task_result_texts(&back), 0);
		lines_of(&back, &after);
		assert_int_equal(before.len, after.len);
		assert_memory_equal(before.data, after.data, before.len);
		buf_clear(&after);
		task_result_pack(&back, &after);
		assert_int_equal(after.len, packed.len);
		assert_memory_equal(after.data, packed.data, packed.len);
		task_result_release(&back);
		task_result_release(&t);
		assert_int_equal(opened, 0);
	}
	buf_release(&packed);
	buf_release(&before);
	buf_release(&after);
}

/* Every cut and every changed byte: an error, or what was there before. */
static void test_task_result_open__broken_bytes(void **state)
{
	struct buf packed = BUF_INIT(BUF_NOLIMIT), before = BUF_INIT(BUF_NOLIMIT), after = BUF_INIT(BUF_NOLIMIT);
	struct task_result t, back;
	size_t whole;

	(void)state;
	make(&t, 3);
	task_result_pack(&t, &packed);
	lines_of(&t, &before);
	whole = packed.len;
	for (packed.len = 0; packed.len < whole; packed.len++)
		assert_int_not_equal(open_bytes(&back, &packed), 0);
	for (size_t i = 0; i < whole; i++)
		for (int k = 0; k < 3; k++) {
			char was = packed.data[i];

			packed.data[i] = (char)(was ^ (k == 0 ? 1 : k == 1 ? 0x80 : 0xff));
			if (!open_bytes(&back, &packed)) {
				if (!task_result_texts(&back)) {
					lines_of(&back, &after);
					assert_int_equal(before.len, after.len);
					assert_memory_equal(before.data, after.data, before.len);
				}
				task_result_release(&back);
			}
			packed.data[i] = was;
		}
	assert_int_equal(opened, 0);
	task_result_release(&t);
	buf_release(&packed);
	buf_release(&before);
	buf_release(&after);
}

static void test_task_result_text__names_the_damaged_block(void **state)
{
	struct buf packed = BUF_INIT(BUF_NOLIMIT);
	struct task_result t, back;

	(void)state;
	make(&t, 600);
	task_result_pack(&t, &packed);
	packed.data[30] ^= 1; /* in the first block of three */
	assert_int_equal(open_bytes(&back, &packed), 0);
	assert_int_equal(task_result_text(&back, 300), 0);
	assert_string_equal(back.samples[300].prompt, "line\nbreak 300");
	for (int again = 0; again < 2; again++) {
		assert_int_equal(task_result_text(&back, 7), ERR_IO);
		assert_non_null(
			strstr(err_text(), "f: block 0 with the texts of samples 0 to 255 is damaged (bytes 16 to"));
	}
	task_result_release(&back);
	task_result_release(&t);
	buf_release(&packed);
}

static void test_task_result_open__other_forms(void **state)
{
	struct buf lines = BUF_INIT(BUF_NOLIMIT);
	struct task_result t, back;

	(void)state;
	make(&t, 3);
	task_result_write(&t, &lines); /* what older versions stored */
	assert_int_equal(open_bytes(&back, &lines), 0);
	assert_string_equal(back.samples[2].prompt, "line\nbreak 2");
	assert_int_equal(task_result_text(&back, 2), 0);
	task_result_release(&back);
	buf_clear(&lines);
	buf_adds(&lines, "assay-samples/3\nwhatever follows");
	assert_int_equal(open_bytes(&back, &lines), ERR_INPUT);
	assert_string_equal(err_text(), "f: samples of the form assay-samples/3, which this assay does not know");
	assert_int_equal(opened, 0);
	task_result_release(&t);
	buf_release(&lines);
}

/* A result whose frames are sound and whose numbers are not. */
static void test_task_result_open__lies(void **state)
{
	static const char *const says[] = { "the id \"same\" is there twice", "is not finite", "not positive",
					    "but the samples make it" };
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(says); k++) {
		struct buf packed = BUF_INIT(BUF_NOLIMIT);
		struct task_result t, back;

		make(&t, 4);
		for (size_t i = 1; k == 0 && i < 3; i++) {
			free(t.samples[i].id);
			t.samples[i].id = mem_str("same");
		}
		if (k == 1)
			t.metrics[1].scores[2] = INFINITY;
		if (k == 2)
			t.metrics[1].weights[2] = 0;
		if (k == 3)
			t.metrics[0].value = 0.75;
		task_result_pack(&t, &packed);
		assert_int_equal(open_bytes(&back, &packed), ERR_INPUT);
		if (!strstr(err_text(), says[k]))
			fail_msg("%s", err_text());
		task_result_release(&t);
		buf_release(&packed);
	}
	assert_int_equal(opened, 0);
}

static void test_task_samples_restore__in_any_order(void **state)
{
	const size_t some[] = { 6, 1, 3 }, more[] = { 0, 2 };
	struct buf text = BUF_INIT(BUF_NOLIMIT), before = BUF_INIT(BUF_NOLIMIT), after = BUF_INIT(BUF_NOLIMIT);
	struct task_result t, back;
	bool have[7] = { false };
	size_t n = 0;

	(void)state;
	make(&t, 7);
	make(&back, 7);
	t.samples[some[0]].seconds = 0.5;
	task_samples_write(&t, some, 3, &text);
	task_samples_write(&t, more, 2, &text);
	for (size_t i = 0; i < 7; i++) { /* forget the samples that will be restored */
		if (i == 4 || i == 5)
			continue;
		free(back.samples[i].id);
		free(back.samples[i].prompt);
		free(back.samples[i].target);
		free(back.samples[i].response);
		back.samples[i].id = back.samples[i].prompt = back.samples[i].target = back.samples[i].response = NULL;
		back.metrics[0].scores[i] = back.metrics[1].scores[i] = back.metrics[1].weights[i] = 0;
		back.metrics[2].parts[2 * i] = back.metrics[2].parts[2 * i + 1] = 0;
	}
	assert_int_equal(task_samples_restore(&back, have, text.data, text.len, "kept"), 0);
	for (size_t i = 0; i < 7; i++)
		n += have[i];
	assert_int_equal(n, 5);
	assert_false(have[4] || have[5]);
	assert_true(back.samples[some[0]].seconds == 0.5 && back.samples[some[1]].seconds == 0);
	lines_of(&t, &before);
	lines_of(&back, &after);
	assert_string_equal(before.data, after.data);
	buf_clear(&text);
	buf_adds(&text, "{\"slot\":7,\"id\":\"x\",\"scores\":[1,1,1]}\n");
	assert_int_equal(task_samples_restore(&back, have, text.data, text.len, "kept"), ERR_INPUT);
	assert_string_equal(err_text(), "kept:1: no sample of this task");
	task_result_release(&t);
	task_result_release(&back);
	buf_release(&text);
	buf_release(&before);
	buf_release(&after);
}

/* Times are bytes of their own: the samples' are the same at any speed. */
static void test_task_times__beside_the_samples(void **state)
{
	struct buf slow = BUF_INIT(1 << 20), fast = BUF_INIT(1 << 20), times = BUF_INIT(1 << 20),
		   line = BUF_INIT(1 << 20);
	struct task_result t, back;

	(void)state;
	make(&t, 7);
	make(&back, 7);
	task_result_pack(&t, &fast);
	for (size_t i = 0; i < 7; i++)
		t.samples[i].seconds = (double)i / 8;
	assert_true(task_result_seconds(&t) == 21.0 / 8);
	task_result_pack(&t, &slow);
	assert_int_equal(slow.len, fast.len);
	assert_memory_equal(slow.data, fast.data, fast.len);
	task_sample_write(&t, 3, &line);
	assert_null(strstr(buf_str(&line), "seconds"));
	task_times_pack(&t, &times);
	assert_int_equal(task_times_read(&back, times.data, times.len, "times"), 0);
	for (size_t i = 0; i < 7; i++)
		assert_true(back.samples[i].seconds == (double)i / 8);
	buf_clear(&line);
	task_sample_write(&back, 3, &line);
	assert_non_null(strstr(buf_str(&line), "\"seconds\":0.375,"));
	task_result_release(&back);
	make(&back, 8); /* of other samples, cut short, of another kind, damaged, no time */
	assert_int_equal(task_times_read(&back, times.data, times.len, "times"), ERR_INPUT);
	assert_string_equal(err_text(), "times: no times of 8 samples");
	for (size_t len = 0; len < times.len; len++)
		assert_int_equal(task_times_read(&t, times.data, len, "times"), ERR_INPUT);
	assert_int_equal(task_times_read(&t, fast.data, fast.len, "times"), ERR_INPUT);
	times.data[times.len - 1] ^= 1;
	assert_int_equal(task_times_read(&t, times.data, times.len, "times"), ERR_INPUT);
	t.samples[5].seconds = -1;
	buf_clear(&times);
	task_times_pack(&t, &times);
	assert_int_equal(task_times_read(&back, times.data, times.len, "times"), ERR_INPUT);
	assert_int_equal(task_times_read(&t, times.data, times.len, "times"), ERR_INPUT);
	assert_string_equal(err_text(), "times: the time of sample 5 is none");
	task_result_release(&t);
	task_result_release(&back);
	buf_release(&slow);
	buf_release(&fast);
	buf_release(&times);
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_result_pack__gives_back_what_it_got),
		cmocka_unit_test(test_task_result_open__broken_bytes),
		cmocka_unit_test(test_task_result_text__names_the_damaged_block),
		cmocka_unit_test(test_task_result_open__other_forms),
		cmocka_unit_test(test_task_result_open__lies),
		cmocka_unit_test(test_task_samples_restore__in_any_order),
		cmocka_unit_test(test_task_times__beside_the_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
