/* test_harness_write.c: whatever tasks, filters, models and samples are called and hold, what is written lies in one folder of
 * the one asked for, and reads back (harness.c) as what it was; what has no form there is refused before a file is written. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "evals/evals_int.h"
#include "evals_fake.h"

enum { FILES = 16, ROWS = 3 };

/* A folder in memory. */
struct disk {
	struct file {
		char *path;
		struct buf text;
	} files[FILES];
	size_t n;
};

static int disk_write(void *self, const char *path, const struct buf *text)
{
	struct disk *d = self;

	assert_true(d->n < FILES);
	d->files[d->n].path = mem_str(path);
	d->files[d->n].text = (struct buf)BUF_INIT(1 << 26);
	buf_add(&d->files[d->n++].text, text->data, text->len);
	return 0;
}

static int disk_read(void *self, const char *path, struct buf *out)
{
	const struct disk *d = self;

	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->files[i].path, path) == 0) {
			buf_add(out, d->files[i].text.data, d->files[i].text.len);
			return 0;
		}
	return err_set(ERR_NOTFOUND, "no file %s", path);
}

static void disk_free(struct disk *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->files[i].path);
		buf_release(&d->files[i].text);
	}
	d->n = 0;
}

/* FOLDER/FILE, both plain names that a file system takes: nothing climbs, hides, or starts at the root. */
static void disk_is_tidy(const struct disk *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const char *path = d->files[i].path, *slash = strchr(path, '/');

		if (!slash || slash == path || slash - path > 255 || *path == '.' || strchr(slash + 1, '/') ||
		    strlen(slash + 1) > 255 ||
		    (strncmp(slash, "/samples_", 9) != 0 && strncmp(slash, "/results_", 9) != 0))
			fail_msg("a file named \"%s\"", path);
		assert_true((size_t)(slash - path) == strcspn(d->files[0].path, "/"));
		assert_memory_equal(path, d->files[0].path, (size_t)(slash - path));
	}
}

/* ---- results made by hand ---------------------------------------------------------------------------------------- */

static void add_metric(struct task_result *t, const char *name, const char *filter, enum aggregate how,
		       const double *scores, const double *weights, const double *labels)
{
	struct metric *m;

	t->metrics = mem_resize(t->metrics, (t->n_metrics + 1) * sizeof(*t->metrics));
	m = &t->metrics[t->n_metrics++];
	*m = (struct metric){ .name = mem_str(name),
			      .filter = mem_str(filter),
			      .aggregate = how,
			      .higher_is_better = true,
			      .n_parts = labels ? 2 : 0 };
	m->scores = mem_array(t->n + 1, sizeof(double));
	memcpy(m->scores, scores, t->n * sizeof(double));
	if (weights) {
		m->weights = mem_array(t->n, sizeof(double));
		memcpy(m->weights, weights, t->n * sizeof(double));
	}
	if (labels) {
		m->parts = mem_array(t->n, 2 * sizeof(double));
		memcpy(m->parts, labels, 2 * t->n * sizeof(double));
	}
	if (t->n)
		metric_close(m, t->n);
}

static struct task_result task_of(const char *name, size_t n)
{
	struct task_result t = {
		.task = mem_str(name), .n = n, .n_total = n, .samples = mem_array(n + 1, sizeof(struct sample))
	};
	struct digest d = digest_bytes(name, strlen(name));

	digest_hex(t.digest, &d);
	for (size_t i = 0; i < n; i++)
		t.samples[i].id = mem_printf("s%zu", i);
	return t;
}

static const double halves[ROWS] = { 0, 0.5, 1 };

static struct task_result plain(const char *name, const char *filter)
{
	struct task_result t = task_of(name, ROWS);

	add_metric(&t, "acc", filter, AGGREGATE_MEAN, halves, NULL, NULL);
	return t;
}

static int write_to(struct disk *d, const char *model, struct task_result *tasks, size_t n)
{
	const struct harness_target to = { d, disk_write, model, 1767225600000000000 };
	int rc = harness_write(&to, tasks, n);

	disk_is_tidy(d);
	return rc;
}

/* Writes and releases them; *again is what was read. */
static void read_back(struct task_result **again, size_t *n_again, const char *model, struct task_result *tasks,
		      size_t n)
{
	struct disk d = { 0 };
	struct eval_files files = { .self = &d, .read = disk_read };

	if (write_to(&d, model, tasks, n) || harness_results_read(again, n_again, &files, d.files[d.n - 1].path))
		fail_msg("model \"%s\", task \"%s\": %s", model, tasks[0].task, err_text());
	assert_int_equal(*n_again, n);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal((*again)[i].task, tasks[i].task);
		assert_string_equal((*again)[i].digest, tasks[i].digest);
		assert_int_equal((*again)[i].n, tasks[i].n);
		for (size_t k = 0; k < tasks[i].n && !tasks[i].n_members; k++)
			assert_string_equal((*again)[i].samples[k].id, tasks[i].samples[k].id);
	}
	disk_free(&d);
}

static void results_free(struct task_result *tasks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		task_result_release(&tasks[i]);
	free(tasks);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void test_harness_write__any_model_is_one_folder(void **state)
{
	static const char *const models[] = {
		"",          ".",           "..",
		"../../etc", "/",           "/etc/passwd",
		"//",        "a/../b",      "\\\\server\\share",
		"...",       ".git",        "a\nb",
		"a\tb",      "\x1b[31mred", "caf\xc3\xa9",
		"\xff\xfe",  "\xc3",        "con:",
		"<>|?*\"[]", " ",           "~",
		"$HOME",     "-rf",
	};
	struct buf name = BUF_INIT(1 << 20);
	struct task_result *again;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		struct task_result t = plain("t", "none");

		read_back(&again, &n, models[i], &t, 1);
		results_free(again, n);
		task_result_release(&t);
	}
	for (int i = 0; i < 5000; i++) /* of a long one the end is kept, and whole code points */
		buf_adds(&name, i % 3 ? "\xe2\x82\xac" : "/");
	for (int i = 0; i < 4; i++) {
		struct task_result t = plain("t", "none");

		struct disk d = { 0 };

		buf_addc(&name, 'x');
		assert_int_equal(write_to(&d, buf_str(&name), &t, 1), 0);
		assert_true(utf8_valid(d.files[0].path, strlen(d.files[0].path), NULL));
		assert_true(strcspn(d.files[0].path, "/") > 100);
		disk_free(&d);
		task_result_release(&t);
	}
	buf_release(&name);
}

static void test_harness_write__any_name_of_a_task_and_filter(void **state)
{
	static const char *const names[] = {
		"t",
		"",
		".",
		"..",
		"...",
		"-",
		" ",
		"a b",
		"a,b",
		"a.b",
		"a_2026-01-01T00-00-00.000000",
		"results",
		"\n",
		"\x01",
		"\x1b[31m",
		"\\..\\..\\x",
		"caf\xc3\xa9",
		"\xf0\x9f\xa6\x8a",
		"%s%n",
		"\"quoted\"",
		"{\"task\":1}",
		"null",
		"__proto__",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			struct task_result tasks[] = { plain(names[i], names[k]), plain("other", "none") }, *again;
			size_t n;

			read_back(&again, &n, "m", tasks, 2);
			assert_int_equal(again[0].n_metrics, 1);
			assert_string_equal(again[0].metrics[0].filter, names[k]);
			assert_memory_equal(again[0].metrics[0].scores, halves, sizeof(halves));
			results_free(again, n);
			task_result_release(&tasks[0]);
			task_result_release(&tasks[1]);
		}
}

/* Refused, and no file is there. */
static void refused(struct task_result *tasks, size_t n, const char *says)
{
	struct disk d = { 0 };
	int rc = write_to(&d, "m", tasks, n);

	if (rc != ERR_INPUT || !strstr(err_text(), says) || d.n)
		fail_msg("%d, %zu files: \"%s\", not \"%s\"", rc, d.n, rc ? err_text() : "", says);
	disk_free(&d);
	for (size_t i = 0; i < n; i++)
		task_result_release(&tasks[i]);
}

static void test_harness_write__what_has_no_form_is_refused(void **state)
{
	static const char *const paths[] = { "/", "../x", "/etc/passwd", "a/b", "x/../../y" };
	char name[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct task_result tasks[] = { plain("first", "none"), plain(paths[i], "none") };

		refused(tasks, 2, "cannot be part of a file's name");
	}
	memset(name, 'x', sizeof(name));
	for (size_t len = 1; len < sizeof(name); len++) { /* up to what a file system takes, and not beyond */
		struct task_result t;

		name[len] = 0;
		t = plain(name, "none");
		if (len > 214) {
			refused(&t, 1, "cannot be part of a file's name");
		} else {
			struct disk d = { 0 };

			assert_int_equal(write_to(&d, "m", &t, 1), 0);
			disk_free(&d);
			task_result_release(&t);
		}
		name[len] = 'x';
	}
	refused((struct task_result[]){ plain("\xff", "none") }, 1, "not UTF-8");
	refused((struct task_result[]){ plain("t", "\xc3") }, 1, "not UTF-8");
	refused((struct task_result[]){ plain("t", "none"), plain("t", "none") }, 2, "two tasks are named t");
	refused((struct task_result[]){ task_of("t", ROWS) }, 1, "task t has no metrics");
	refused((struct task_result[]){ task_of("t", 0) }, 1, "task t has no samples");
	refused(NULL, 0, "no task");
	{
		struct task_result t = plain("t", "none");

		t.shard.n = 2;
		refused(&t, 1, "is a shard");
	}
}

/* ---- contents ---------------------------------------------------------------------------------------------------- */

static void test_harness_write__values_at_the_ends_of_what_a_number_can_be(void **state)
{
	static const double huge[ROWS] = { DBL_MAX, -DBL_MAX, DBL_MAX }, tiny[ROWS] = { 0x1p-1074, -0.0, DBL_MIN },
			    bad[ROWS] = { 0, NAN, INFINITY }, heavy[ROWS] = { DBL_MAX, DBL_MAX, 0x1p-1074 },
			    none[ROWS] = { 1, 0, 1 }, labels[2 * ROWS] = { 0, 1, 0, 0, 1, 1 },
			    outside[2 * ROWS] = { 0, 1, -1, 1, 1, 1 }, wild[2 * ROWS] = { 0, 1e300, 1, 1, 1, 1 },
			    odd[2 * ROWS] = { 0, 0.5, 1, 1, 1, 1 }, nan[2 * ROWS] = { 0, NAN, 1, 1, 1, 1 };
	static const struct {
		const char *name;
		enum aggregate how;
		const double *scores, *weights, *labels;
		bool there; /* in the rows */
	} all[] = {
		{ "acc", AGGREGATE_MEAN, huge, NULL, NULL, true },
		{ "acc_norm", AGGREGATE_MEAN, tiny, NULL, NULL, true },
		{ "exact_match", AGGREGATE_MEAN, bad, NULL, NULL, false },
		{ "doc_id", AGGREGATE_MEAN, halves, NULL, NULL, false },
		{ "metrics", AGGREGATE_MEAN, halves, NULL, NULL, false },
		{ "assay", AGGREGATE_MEAN, halves, NULL, NULL, false },
		{ "perplexity", AGGREGATE_PERPLEXITY, huge, NULL, NULL, true },
		{ "word_perplexity", AGGREGATE_PERPLEXITY, halves, heavy, NULL, true },
		{ "byte_perplexity", AGGREGATE_PERPLEXITY, halves, none, NULL, false },
		{ "bits_per_byte", AGGREGATE_BITS, halves, bad, NULL, false },
		{ "f1", AGGREGATE_F1, none, NULL, labels, true },
		{ "f1", AGGREGATE_F1, none, NULL, outside, false },
		{ "mcc", AGGREGATE_MCC, none, NULL, outside, true },
		{ "mcc", AGGREGATE_MCC, none, NULL, wild, false },
		{ "mcc", AGGREGATE_MCC, none, NULL, odd, false },
		{ "f1", AGGREGATE_F1, none, NULL, nan, false },
		{ "bleu", AGGREGATE_BLEU, none, NULL, NULL, false },
	};
	struct task_result *again;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct task_result t = plain("t", "none");
		const struct metric *m;

		/* parts that no sample of ours has: what a file may say, and no sum is made of them */
		add_metric(&t, all[i].name, "x", all[i].there ? all[i].how : AGGREGATE_MEAN, all[i].scores,
			   all[i].weights, all[i].labels);
		t.metrics[1].aggregate = all[i].how;
		read_back(&again, &n, "m", &t, 1);
		m = task_result_metric(&again[0], all[i].name, "x");
		if (!m != !all[i].there)
			fail_msg("%s (%zu) is %sthere", all[i].name, i, m ? "" : "not ");
		if (m)
			assert_memory_equal(all[i].labels ? m->parts : m->scores,
					    all[i].labels ? all[i].labels : all[i].scores,
					    (all[i].labels ? 2 : 1) * sizeof(halves));
		assert_non_null(task_result_metric(&again[0], "acc", "none")); /* the rest is read all the same */
		results_free(again, n);
		task_result_release(&t);
	}
}

static void test_harness_write__texts_of_any_bytes(void **state)
{
	static const char *const bytes[] = {
		"", "\xff\xfe", "a\nb\r\n", "\x01\x1b[2J", "\"}\n{\"doc_id\":0}", "\xed\xa0\x80", "\xe2\x80\xa8"
	};
	struct task_result *again;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		struct task_result t = plain("t", "none");

		for (size_t k = 0; k < ROWS; k++) {
			t.samples[k].prompt = mem_str(bytes[i]);
			t.samples[k].target = mem_str(bytes[i]);
			t.samples[k].response = mem_copy("a\0b", 3);
			t.samples[k].response_len = 3;
			t.samples[k].slice = mem_str(bytes[i]);
			t.samples[k].cluster = mem_str(bytes[i]);
		}
		read_back(&again, &n, "m", &t, 1);
		assert_memory_equal(again[0].metrics[0].scores, halves, sizeof(halves));
		if (utf8_valid(bytes[i], strlen(bytes[i]), NULL))
			assert_string_equal(again[0].samples[1].slice, bytes[i]);
		results_free(again, n);
		task_result_release(&t);
	}
}

/* Groups whose members are of several sizes and of one mean, so that no value tells how they are weighed; with a member that
 * has no such metric, and one that counts twice. What was exported pairs with what was measured. */
static void test_harness_write__groups_read_back_as_they_were_weighed(void **state)
{
#define LABELLED(name, rows, metric)                                                                                   \
	{                                                                                                              \
		name ".yaml", "task: " name "\ndataset_path: json\ndataset_kwargs: {data_files: {test: " rows "}}\n"   \
			      "test_split: test\noutput_type: multiple_choice\ndoc_to_text: Q\ndoc_to_choice: c\n"     \
			      "doc_to_target: l\nmetric_list: [{metric: " metric "}]\n"                                \
	}
#define HALF "{\"c\":[\"x\",\"yy\"],\"l\":0}\n{\"c\":[\"x\",\"yy\"],\"l\":1}\n"
#define GROUP(name, list, by_size)                                                                                     \
	{                                                                                                              \
		"_" name ".yaml", "group: " name "\ntask: [" list                                                      \
				  "]\naggregate_metric_list: [{metric: acc, weight_by_size: " by_size                  \
				  "}, {metric: f1, weight_by_size: " by_size "}]\n"                                    \
	}
	struct fake_model model = { .log = BUF_INIT(1 << 16) };
	struct scorer scorer = FAKE_SCORER(&model);
	const struct task_result *cand[16], *base[16];
	struct gate_input in = { .candidate = cand, .baseline = base };
	struct suite_result *r = NULL;
	struct task_result *again;
	struct suite *s = NULL;

	(void)state;
	if (FAKE_LOAD(&s, "s.yaml",
		      { "s.yaml", "suite: s\ntasks: [_sized.yaml, _alike.yaml, _sized2.yaml, _alike2.yaml, _one.yaml, "
				  "_even.yaml]\n" },
		      GROUP("sized", "a, b, c, e", "true"), GROUP("alike", "a, b, c, e", "false"),
		      GROUP("sized2", "a, c, {group: in, task: [a, b]}", "true"),
		      GROUP("alike2", "a, c, {group: in, task: [a, b]}", "false"), GROUP("one", "a, c", "false"),
		      GROUP("even", "a, d", "false"), LABELLED("a", "two", "acc"), LABELLED("d", "two", "acc"),
		      LABELLED("b", "four", "acc"), LABELLED("c", "two", "f1"), LABELLED("e", "four", "f1"),
		      { "two", HALF }, { "four", HALF HALF }) ||
	    suite_run(&r, s, &scorer, &(struct suite_options){ 0 }))
		fail_msg("%s", err_text());
	assert_int_equal(r->n, 11);
	read_back(&again, &in.n_baseline, "m", r->tasks, r->n);
	in.n_candidate = r->n;
	for (size_t i = 0; i < r->n; i++) {
		cand[i] = &r->tasks[i];
		base[i] = &again[i];
	}
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->tasks[i].n_metrics; k++) {
			char *why = gate_incomparable(&in, cand[i], &cand[i]->metrics[k]);

			if (why)
				fail_msg("%s", why);
			assert_true(again[i].metrics[k].value == r->tasks[i].metrics[k].value);
			if (r->tasks[i].n_members)
				assert_int_equal(group_is_by_size(&again[i], &again[i].metrics[k]),
						 group_is_by_size(&r->tasks[i], &r->tasks[i].metrics[k]));
		}
	results_free(again, in.n_baseline);
	suite_result_free(r);
	suite_free(s);
	buf_release(&model.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harness_write__any_model_is_one_folder),
		cmocka_unit_test(test_harness_write__any_name_of_a_task_and_filter),
		cmocka_unit_test(test_harness_write__what_has_no_form_is_refused),
		cmocka_unit_test(test_harness_write__values_at_the_ends_of_what_a_number_can_be),
		cmocka_unit_test(test_harness_write__texts_of_any_bytes),
		cmocka_unit_test(test_harness_write__groups_read_back_as_they_were_weighed),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
