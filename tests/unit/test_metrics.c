/* test_metrics.c: scores of single documents and the aggregates, by hand-made suites. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/mt_int.h"
#include "evals/stats_int.h"
#include "evals_fake.h"
#include "tests/unit/metrics_case.h"

static const char *next_reply;
static size_t next_len; /* 0: up to the NUL */

static const char *reply(const char *prompt)
{
	(void)prompt;
	return next_reply;
}

/* exact_match of one answer against one document, with options of metric_list. -1: an error. */
static double exact(const char *options, const char *said, const char *document)
{
	char *task = mem_printf("task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
				"test_split: test\ndoc_to_text: ''\ndoc_to_target: a\n"
				"generation_kwargs: {until: []}\nmetric_list: [{metric: exact_match%s}]\n",
				options);
	struct fake_model m = { .reply = reply, .reply_len = next_len, .log = BUF_INIT(1 << 20) };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { 0 };
	struct suite_result *r = NULL;
	struct suite *s = NULL;
	double score = -1;

	next_reply = said;
	if (!FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", document }) && !suite_run(&r, s, &scorer, &o))
		score = r->tasks[0].metrics[0].scores[0];
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
	free(task);
	return score;
}

static void test_metric_score__exact_match(void **state)
{
	(void)state;
	assert_true(exact("", "Paris", "{\"a\":\"Paris\"}") == 1);
	assert_true(exact("", " Paris", "{\"a\":\"Paris\"}") == 0); /* nothing is stripped */
	assert_true(exact("", "paris", "{\"a\":\"Paris\"}") == 0);
	assert_true(exact("", "3", "{\"a\":3}") == 1);
	assert_true(exact("", "2.5", "{\"a\":2.5}") == 1);
	assert_true(exact("", "True", "{\"a\":true}") == 1);
	assert_true(exact("", "b", "{\"a\":[\"a\",\"b\"]}") == 1); /* any of a list */
	assert_true(exact("", "c", "{\"a\":[\"a\",\"b\"]}") == 0);
	assert_true(exact(", ignore_case: true", "PARIS", "{\"a\":\"paris\"}") == 1);
	assert_true(exact(", ignore_case: true", "\xc3\x89T\xc3\x89 \xce\xa3",
			  "{\"a\":\"\xc3\xa9t\xc3\xa9 \xcf\x83\"}") == 1);
	assert_true(exact(", ignore_case: true", "\xc8\xba", "{\"a\":\"\xe2\xb1\xa5\"}") == 1); /* grows by a byte */
	assert_true(exact(", ignore_case: true", "x", "{\"a\":\"\"}") == 0);
	assert_true(exact(", ignore_punctuation: true", "a.b-c!", "{\"a\":\"{a}[b]~c\"}") == 1);
	assert_true(exact(", ignore_punctuation: true", "a\xe2\x80\x93 b", "{\"a\":\"a b\"}") == 0); /* ASCII only */
	assert_true(exact(", ignore_numbers: true", "a1b22", "{\"a\":\"ab\"}") == 1);
	assert_true(exact(", regexes_to_ignore: [',', '\\$', '(?s).*#### ']", "so\n#### $1,234", "{\"a\":\"1234\"}") ==
		    1);
	assert_true(exact(", regexes_to_ignore: ['\\d+(?=x)']", "12x3", "{\"a\":\"x3\"}") == 1);
	assert_true(exact(", regexes_to_ignore: ['\\W']", "\xc3\xa9-t", "{\"a\":\"\xc3\xa9t\"}") ==
		    1);                                                  /* \W is Unicode's */
	assert_true(exact("", "\xff", "{\"a\":\"\xef\xbf\xbd\"}") == 1); /* broken output */
}

/* A NUL is a character as any other: it ends nothing. */
static void test_metric_score__exact_match_sees_behind_a_nul(void **state)
{
	(void)state;
	next_len = 5;
	assert_true(exact("", "yes\0!", "{\"a\":\"yes\"}") == 0);
	assert_true(exact(", ignore_punctuation: true", "yes\0!", "{\"a\":\"yes\"}") == 0);
	assert_true(exact(", ignore_numbers: true",
			  "yes\0"
			  "1",
			  "{\"a\":\"yes\"}") == 0);
	assert_true(exact(", ignore_case: true", "YES\0N", "{\"a\":\"yes\"}") == 0);
	assert_true(exact(", regexes_to_ignore: ['(?s).s.*']", "yes\0!", "{\"a\":\"y\"}") == 1);
	assert_true(exact(", regexes_to_ignore: ['\\x00!']", "yes\0!", "{\"a\":\"yes\"}") == 1);
	next_len = 0;
}

static void test_metric_score__hostile_regex_is_an_error(void **state)
{
	char text[64];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_true(exact(", regexes_to_ignore: ['(a*)*b']", text, "{\"a\":\"x\"}") >=
		    -1); /* ends, whatever it gives */
	assert_true(exact(", regexes_to_ignore: ['(a|aa)+$(?<=b)']", text, "{\"a\":\"x\"}") == -1);
	assert_non_null(strstr(err_text(), "gave up"));
	assert_true(exact(", regexes_to_ignore: ['(a']", "x", "{\"a\":\"x\"}") == -1);
	assert_non_null(strstr(err_text(), "t.yaml:"));
}

static void score_choice(const struct task_metric *m, const double *ll, size_t n, int gold, double *score)
{
	struct loglik_result results[4];
	char a[] = "a", bb[] = "bb", ccc[] = "ccc", dddd[] = "dddd", *choices[4] = { a, bb, ccc, dddd };
	int golds[1] = { gold };
	struct instance in = { .choices = choices, .n_choices = n, .gold = golds, .n_gold = 1 };
	struct outcome o = { .in = &in, .ll = results };
	struct metric into;

	for (size_t i = 0; i < n; i++)
		results[i] = (struct loglik_result){ ll[i], 1, i == 1, 0 };
	metric_init(&into, m, "none", 1);
	assert_int_equal(metric_score(m, &o, &into, 0), 0);
	*score = into.scores[0];
	metric_release(&into);
}

static struct task_metric *choice_metrics(size_t *n)
{
	struct yaml *y;
	const char text[] =
		"metric_list: [{metric: acc}, {metric: brier_score}, {metric: exact_match}, {metric: acc_bytes}, "
		"{metric: confidence}]";
	struct task_metric *m;
	struct source src = { .path = "x" };

	assert_int_equal(yaml_parse(&y, text, strlen(text), "x"), 0);
	src.y = y;
	src.map = yaml_root(y);
	assert_int_equal(metrics_load(&m, n, &src, OUTPUT_CHOICE), 0);
	yaml_free(y);
	return m;
}

/* As Python's lists have it, at which the harness looks: choice 1 is what the model would write. */
static void test_metric_score__exact_match_counts_from_the_end(void **state)
{
	static const int golds[] = { 1, -2, -1, -3, GOLD_NONE }, want[] = { 1, 1, 0, 0, 0 };
	const double ll[] = { -1.2, -.7, -3 };
	char *choices[3] = { 0 };
	int beyond = -4;
	struct instance in = { .choices = choices, .n_choices = 3, .gold = &beyond, .n_gold = 1 };
	struct task_metric *m;
	double score;
	size_t n;

	(void)state;
	m = choice_metrics(&n);
	for (size_t i = 0; i < ARRAY_LEN(golds); i++) {
		score_choice(&m[2], ll, 3, golds[i], &score);
		assert_true(score == want[i]);
		score_choice(&m[0], ll, 3, golds[i], &score);
		assert_true(score == (golds[i] == 1));
	}
	assert_int_equal(metrics_check(&m[2], 1, &in), ERR_INPUT);
	assert_string_equal(err_text(), "exact_match: the right answer is -4, and there are 3 choices");
	metrics_free(m, n);
}

static void test_metric_score__choices(void **state)
{
	const double ll[] = { -1.2, -.7, -3 }, ties[] = { -1, -1, -1 };
	struct task_metric *m;
	double score;
	size_t n;

	(void)state;
	m = choice_metrics(&n);
	assert_int_equal(n, 5);
	score_choice(&m[4], ll, 3, 0, &score); /* scipy.special.softmax; whatever is right */
	assert_true(fabs(score - 0.585895330377409) < 1e-15);
	score_choice(&m[1], ll, 3, 0, &score);
	assert_true(fabs(score - 0.762280106666648) < 1e-12);
	/* p behind it: of right answer k the score is sum p^2 - 2 p_k + 1, and all three are 3 sum p^2 + 1 */
	double brier[3], squares = -1;
	for (int k = 0; k < 3; k++) {
		score_choice(&m[1], ll, 3, k, &brier[k]);
		squares += brier[k];
	}
	const double p[] = { .3553634812563614, .5858953303774094, .05874118836622916 };
	for (int k = 0; k < 3; k++)
		assert_true(fabs((squares / 3 + 1 - brier[k]) / 2 - p[k]) < 1e-15);
	score_choice(&m[0], ll, 3, 1, &score);
	assert_true(score == 1);
	score_choice(&m[0], ties, 3, 0, &score); /* the first of equals */
	assert_true(score == 1);
	score_choice(&m[0], ties, 3, 1, &score);
	assert_true(score == 0);
	score_choice(&m[0], ll, 3, -1, &score); /* no right answer among them */
	assert_true(score == 0);
	score_choice(&m[2], ll, 3, 1, &score); /* the right one is what greedy decoding gives */
	assert_true(score == 1);
	score_choice(&m[2], ll, 3, -1, &score);
	assert_true(score == 0);
	score_choice(&m[3], ties, 3, 2, &score); /* -1/3 beats -1 */
	assert_true(score == 1);
	metrics_free(m, n);
}

static void test_metric_close__aggregates(void **state)
{
	double ll[] = { -120, -95.5, -210.25, -60, -151, -88 }, w[] = { 40, 30, 65, 22, 50, 27 };
	struct metric m = { .aggregate = AGGREGATE_PERPLEXITY, .scores = ll, .weights = w };

	(void)state;
	metric_close(&m, 6);
	assert_true(fabs(m.value - 22.136375866662508) < 1e-11);
	assert_true(fabs(m.stderr_ - 22.136375866662508 * .06650905214237805) < 1e-11);
	m.aggregate = AGGREGATE_BITS;
	metric_close(&m, 6);
	assert_true(fabs(m.value - log2(22.136375866662508)) < 1e-12);
	assert_true(fabs(m.stderr_ - .06650905214237805 / log(2)) < 1e-12);
	m.aggregate = AGGREGATE_MEAN; /* a weighted mean */
	metric_close(&m, 2);
	assert_true(fabs(m.value - (-120.0 * 40 - 95.5 * 30) / 70) < 1e-9);
	m.weights = NULL;
	metric_close(&m, 1);
	assert_true(m.value == -120 && isnan(m.stderr_));
	ll[0] = -1e6; /* overflows: no standard error is invented */
	m.aggregate = AGGREGATE_PERPLEXITY;
	metric_close(&m, 6);
	assert_true(isinf(m.value) && isnan(m.stderr_));
}

/* What sacrebleu, rouge_score, scikit-learn and numpy's draws make of the same samples (tests/golden/make_metrics.py). */
/* A value that JSON can only write as null says why. */
static void test_task_result_metric_note__of_what_overflows(void **state)
{
	double ll[] = { -1093.4, -820.2 };
	struct metric m = { .name = (char *)"perplexity", .filter = (char *)"none", .scores = ll };
	struct task_result t = { .task = (char *)"long", .n = 2 };
	char *note;

	(void)state;
	m.aggregate = AGGREGATE_PERPLEXITY;
	metric_close(&m, 2);
	note = task_result_metric_note(&t, &m);
	assert_string_equal(note, "task long: perplexity is too large for a number, and has no value; bits_per_byte "
				  "does not overflow");
	free(note);
	t.n = 0; /* nothing asked yet */
	assert_null(task_result_metric_note(&t, &m));
	t.n = 2;
	m.aggregate = AGGREGATE_MEAN;
	metric_close(&m, 2);
	assert_null(task_result_metric_note(&t, &m));
	ll[0] = ll[1] = 1e308;
	m.filter = (char *)"f";
	metric_close(&m, 2);
	note = task_result_metric_note(&t, &m);
	assert_string_equal(note, "task long: perplexity,f is too large for a number, and has no value");
	free(note);
}

static void test_metric_close__as_the_references(void **state)
{
	json_t *doc, *c, *stem;
	const char *word;
	size_t i, n;

	(void)state;
	assert_int_equal(json_read(&doc, "tests/golden/metrics.json", 1 << 20), 0);
	assert_true(json_array_size(json_object_get(doc, "cases")) > 40);
	json_array_foreach(json_object_get(doc, "cases"), i, c)
	{
		double want = json_number_value(json_object_get(c, "value"));
		const json_t *drawn = json_object_get(c, "stderr");
		double within = json_number_value(json_object_get(c, "stderr_within"));
		const json_t *scores = json_object_get(c, "scores");
		struct metric m;

		if (case_run(c, &m, &n))
			fail_msg("case %zu: %s", i, err_text());
		if (!(fabs(m.value - want) <= 1e-9 * fmax(1, fabs(want))))
			fail_msg("case %zu: %s is %.17g, the reference has %.17g", i, m.name, m.value, want);
		for (size_t k = 0; k < json_array_size(scores); k++)
			if (!(fabs(m.scores[k] - json_number_value(json_array_get(scores, k))) <= 1e-9))
				fail_msg("case %zu, sample %zu: %s is %.17g", i, k, m.name, m.scores[k]);
		if (drawn && !(fabs(m.stderr_ - json_number_value(drawn)) <= within + 1e-9))
			fail_msg("case %zu: the error of %s is %.4g, 20,000 draws give %.4g, and %.2g is allowed", i,
				 m.name, m.stderr_, json_number_value(drawn), within);
		if (n == 1 && m.parts && !isnan(m.stderr_))
			fail_msg("case %zu: one sample has a standard error", i);
		metric_release(&m);
	}
	assert_true(json_object_size(json_object_get(doc, "stems")) > 300);
	json_object_foreach(json_object_get(doc, "stems"), word, stem)
	{
		char *got = stem_word(word, strlen(word));

		assert_string_equal(got, json_string_value(stem));
		free(got);
	}
	json_decref(doc);
}

static struct metric text_metric(const char *json, size_t *n)
{
	json_t *c;
	struct metric m;

	assert_int_equal(json_parse(&c, json, strlen(json), "case"), 0);
	if (case_run(c, &m, n))
		fail_msg("%s", err_text());
	json_decref(c);
	return m;
}

/* Three answers whose numbers sacrebleu's own code gave, down to the matches of each. */
static void test_metric_close__sacrebleu_vectors(void **state)
{
	static const char samples[] = "[{\"said\":\"the cat sat on the mat\",\"targets\":[\"the cat is on the mat\"]},"
				      "{\"said\":\"He said: \\\"hello, world!\\\" at 3.5km.\",\"targets\":[\"He said "
				      "\\\"hello, world\\\" at 3.5 km.\"]},"
				      "{\"said\":\"a quick brown fox\",\"targets\":[\"the quick brown fox jumps\"]}]";
	static const struct {
		const char *metric;
		double value;
	} rows[] = { { "bleu", 29.738381190047306 }, { "chrf", 69.16599908279998 }, { "ter", 38.88888888888889 } };
	/* of each: words, words of the reference, matches, totals */
	static const double bleu[3][10] = { { 6, 6, 5, 3, 1, 0, 6, 5, 4, 3 },
					    { 12, 11, 9, 5, 2, 1, 12, 11, 10, 9 },
					    { 4, 5, 3, 2, 1, 0, 4, 3, 2, 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *json = mem_printf("{\"metric\":\"%s\",\"samples\":%s}", rows[i].metric, samples);
		size_t n;
		struct metric m = text_metric(json, &n);

		assert_int_equal(n, 3);
		if (fabs(m.value - rows[i].value) > 1e-12)
			fail_msg("%s: %.17g", rows[i].metric, m.value);
		if (i == 0) {
			assert_int_equal(m.n_parts, 10);
			for (size_t k = 0; k < 30; k++)
				assert_true(m.parts[k] == bleu[k / 10][k % 10]);
		}
		metric_release(&m);
		free(json);
	}
}

/* The standard deviation of F1 over all 5^5 draws of (1,1) (1,0) (0,0) (0,1) (1,1). */
static double all_draws_of_five(void)
{
	const int both[] = { 1, 0, 0, 0, 1 }, one[] = { 0, 1, 0, 1, 0 };
	double mean = 0, square = 0;

	for (int d = 0; d < 3125; d++) {
		int hit = 0, miss = 0;

		for (int k = 0, left = d; k < 5; k++, left /= 5) {
			hit += both[left % 5];
			miss += one[left % 5];
		}
		if (hit) {
			double f = 2.0 * hit / (2 * hit + miss);

			mean += f / 3125;
			square += f * f / 3125;
		}
	}
	return sqrt(square - mean * mean);
}

static void test_corpus_close__error_and_bounds_are_drawn(void **state)
{
#define FIVE                                                                                                           \
	"\"samples\":[{\"ll\":[-2,-1],\"gold\":1},{\"ll\":[-1,-2],\"gold\":1},{\"ll\":[-1,-2],\"gold\":0},"            \
	"{\"ll\":[-2,-1],\"gold\":0},{\"ll\":[-2,-1],\"gold\":1}]}"
	const char *json = "{\"metric\":\"f1\"," FIVE;
	const char *with_average = "{\"metric\":\"f1\",\"options\":{\"average\":\"macro\"}," FIVE;
	double lo, hi, want = all_draws_of_five();
	struct corpus_draws a, b;
	struct metric m, same, macro;
	size_t n;

	(void)state;
	m = text_metric(json, &n);
	assert_true(fabs(m.value - 4.0 / 6) < 1e-15);
	assert_true(fabs(m.stderr_ - want) < 0.1 * want);
	same = m;
	corpus_close(&same, n);
	assert_true(same.stderr_ == m.stderr_); /* no luck in it */
	macro = text_metric(with_average, &n);  /* which has no effect on choices, as in the harness */
	assert_true(macro.value == m.value && macro.stderr_ == m.stderr_);
	metric_release(&macro);
	corpus_draw(&a, &m, NULL, n);
	corpus_draw(&b, &m, NULL, n);
	assert_memory_equal(a.values, b.values, a.n * sizeof(double));
	corpus_bounds(&a, 0.95, &lo, &hi);
	assert_true(lo <= m.value && m.value <= hi && lo < hi && lo >= 0 && hi <= 1);
	corpus_draws_release(&b);
	corpus_draw(&b, &m, &same, n);
	assert_true(b.values[0] == 0 && b.values[b.n - 1] == 0); /* both are drawn together */
	corpus_draws_release(&a);
	corpus_draws_release(&b);
	metric_release(&m);
}

/* Of many samples sums are drawn. TER is a ratio, whose error linearisation gives too, and the error of a group's mean of two
 * of them, which weigh 3 and 1, follows from theirs. That the samples come in a pattern must not matter. */
static void test_corpus_close__error_of_many_samples(void **state)
{
	enum { MANY = 100003, FIRST = 99000, ROW = 5 };
	double *parts = mem_array(MANY, ROW * sizeof(*parts)), *edits = mem_array(MANY, sizeof(*edits)),
	       *words = mem_array(MANY, sizeof(*words)), *own = mem_array(MANY, 2 * sizeof(*own));
	struct metric m = { .aggregate = AGGREGATE_TER, .parts = own, .n_parts = 2 };
	struct metric group = { .aggregate = AGGREGATE_MEMBERS, .parts = parts, .n_parts = ROW };
	struct stats_ratio r, a, b;
	double want;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		double *row = parts + ROW * i;

		words[i] = own[2 * i + 1] = row[4] = 1 + (double)(i * 7 % 23);
		edits[i] = own[2 * i] = row[3] = (double)(i * 5 % 29);
		row[0] = i >= FIRST;
		row[1] = i >= FIRST ? 1 : 3;
		row[2] = AGGREGATE_TER;
		assert_int_equal(corpus_row_check(AGGREGATE_MEMBERS, row, ROW), 0);
	}
	corpus_close(&m, MANY);
	stats_ratio(&r, edits, words, MANY);
	assert_true(fabs(m.value - 100 * r.ratio) < 1e-9);
	assert_true(fabs(m.stderr_ - 100 * r.se) < 0.11 * 100 * r.se);
	corpus_close(&group, MANY);
	stats_ratio(&a, edits, words, FIRST);
	stats_ratio(&b, edits + FIRST, words + FIRST, MANY - FIRST);
	want = 25 * sqrt(9 * a.se * a.se + b.se * b.se);
	assert_true(fabs(group.value - 25 * (3 * a.ratio + b.ratio)) < 1e-9);
	assert_true(fabs(group.stderr_ - want) < 0.11 * want);
	free(parts);
	free(own);
	free(edits);
	free(words);
}

static void test_metric_score__bad_labels_are_errors(void **state)
{
	json_t *c;
	struct metric m;
	size_t n;
	const char three[] = "{\"metric\":\"f1\",\"samples\":[{\"ll\":[-2,-3,-1],\"gold\":1}]}";
	static const char *const none[] = { "{\"metric\":\"likelihood\",\"samples\":[{\"ll\":[-2,-3],\"gold\":-1}]}",
					    "{\"metric\":\"brier_score\",\"samples\":[{\"ll\":[-2,-3],\"gold\":-1}]}" };

	(void)state;
	assert_int_equal(json_parse(&c, three, strlen(three), "case"), 0);
	assert_int_equal(case_run(c, &m, &n), ERR_INPUT);
	assert_non_null(strstr(err_text(), "labels 0 to 1"));
	metric_release(&m);
	json_decref(c);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_int_equal(json_parse(&c, none[i], strlen(none[i]), "case"), 0);
		assert_int_equal(case_run(c, &m, &n), ERR_INPUT);
		assert_non_null(strstr(err_text(), "none of the choices"));
		metric_release(&m);
		json_decref(c);
	}
}

/* What a metric cannot use is found when the task is read, with its row. */
static void test_metrics_check__bad_targets_are_found_at_once(void **state)
{
	static const struct {
		const char *metric, *target, *says;
	} bad[] = {
		{ "{metric: regex_match}", "(",
		  "d.jsonl:2: regex_match: the target is no regular expression: regular expression" },
		{ "{metric: regex_match, pattern: '['}", "a", "t.yaml:7:37: regular expression \"[\"" },
		{ "{metric: json_match}", "{", "d.jsonl:2: json_match: the target is no JSON: {" },
		{ "{metric: json_match, tolerance: -1}", "1", "tolerance" },
		{ "{metric: json_schema}", "{", "d.jsonl:2: json_schema: the target is no JSON" },
		{ "{metric: json_schema}", "{\\\"type\\\":1}", "d.jsonl:2: json_schema: schema, at #/type" },
		{ "{metric: json_schema, schema: {type: 1}}", "1", "t.yaml:7:37: schema, at #/type" },
		{ "{metric: json_schema, schema: gone.json}", "1", "gone.json" },
		{ "{metric: json_schema, schema: s.json}", "1", "at #/maxLength" },
		{ "{metric: bleu, tokenize: mecab}", "1", "no tokenizer \"mecab\" (known: 13a, intl" },
		{ "{metric: chrf, char_order: 7}", "1", "char_order" },
		{ "{metric: ter, tokenize: 13a}", "1", "unknown key \"tokenize\"" },
		{ "{metric: set_match, separator: ''}", "1", "separator" },
		{ "{metric: accuracy}", "1", "accuracy of a written text needs hf_evaluate: true" },
		{ "{metric: f1}", "1", "f1 of a written text needs hf_evaluate: true" },
		{ "{metric: f1, hf_evaluate: true}", "1", "needs average: micro, macro or weighted" },
		{ "{metric: f1, hf_evaluate: true, average: binary}", "1", "t.yaml:7:47: f1 of a written text needs" },
		{ "{metric: accuracy, hf_evaluate: true, average: micro}", "1", "accuracy has no average" },
		{ "{metric: accuracy, hf_evaluate: true}", "x", "d.jsonl:1: accuracy: the target is no integer: true" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *task = mem_printf("task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
					"test_split: test\ndoc_to_text: ''\ndoc_to_target: a\nmetric_list: [%s]\n",
					bad[i].metric);
		char *docs = mem_printf("{\"a\":\"true\"}\n{\"a\":\"%s\"}\n", bad[i].target);
		struct suite *s = NULL;

		if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", docs },
			      { "s.json", "{\"maxLength\":\"x\"}" }) != ERR_INPUT ||
		    !strstr(err_text(), bad[i].says))
			fail_msg("%zu: \"%s\", not \"%s\"", i, err_text(), bad[i].says);
		suite_free(s);
		free(task);
		free(docs);
	}
}

/* The schema's content is a question: another one in the file of the same name makes another digest. */
static void test_metrics_digest__options_are_part_of_it(void **state)
{
	static const struct {
		const char *metric, *schema;
	} tasks[] = {
		{ "{metric: json_schema, schema: s.json}", "{\"type\":\"object\"}" },
		{ "{metric: json_schema, schema: s.json}", "{\"type\":\"array\"}" },
		{ "{metric: json_schema, schema: {type: array}}", "{}" }, /* the same, written in place */
		{ "{metric: bleu}", "{}" },
		{ "{metric: bleu, tokenize: zh}", "{}" },
		{ "{metric: exact_match}", "{}" },
		{ "{metric: exact_match, ignore_case: true}", "{}" },
		{ "{metric: exact_match, ignore_case: false}", "{}" }, /* the same as without */
	};
	struct digest d[ARRAY_LEN(tasks)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++) {
		char *task = mem_printf("task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
					"test_split: test\ndoc_to_text: ''\ndoc_to_target: a\nmetric_list: [%s]\n",
					tasks[i].metric);
		struct suite *s;

		if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", "{\"a\":\"x\"}\n" },
			      { "s.json", tasks[i].schema }))
			fail_msg("%zu: %s", i, err_text());
		d[i] = suite_task_digest(s, 0);
		for (size_t k = 0; k < i; k++) {
			bool same = (i == 2 && k == 1) || (i == 7 && k == 5);

			if (digest_equal(&d[i], &d[k]) != same)
				fail_msg("%zu and %zu", i, k);
		}
		suite_free(s);
		free(task);
	}
}

/* Long repeats are what the searches of TER and ROUGE-L could lose themselves in. */
static void test_metric_score__hostile_texts_end(void **state)
{
	static const char *const names[] = { "bleu", "chrf++", "ter", "rougeL", "rougeLsum" };
	struct buf text = BUF_INIT(1 << 20);

	(void)state;
	for (int i = 0; i < 3000; i++)
		buf_adds(&text, i % 7 ? "a " : "b. ");
	buf_add(&text, "\xff\xc3\xe2\x82", 4);
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		char *yaml = mem_printf("metric_list: [{metric: %s}]", names[k]);
		char *targets[2] = { mem_str(buf_str(&text) + 3), mem_str("") };
		struct instance in = { .targets = targets, .n_targets = 2 };
		struct outcome o = { .in = &in, .text = buf_str(&text), .len = text.len };
		struct source src = { .path = "x" };
		struct task_metric *m;
		struct metric into;
		struct yaml *y;
		size_t n;

		assert_int_equal(yaml_parse(&y, yaml, strlen(yaml), "x"), 0);
		src.y = y;
		src.map = yaml_root(y);
		assert_int_equal(metrics_load(&m, &n, &src, OUTPUT_GENERATE), 0);
		metric_init(&into, m, "none", 1);
		assert_int_equal(metric_score(m, &o, &into, 0), 0);
		assert_true(isfinite(into.scores[0]));
		metric_close(&into, 1);
		assert_true(isfinite(into.value));
		metric_release(&into);
		metrics_free(m, n);
		yaml_free(y);
		free(targets[0]);
		free(targets[1]);
		free(yaml);
	}
	buf_release(&text);
}

/* Its table of two lines would take 400 MB; the same words in lines of 100 take none. */
static void test_metric_score__rouge_lsum_of_lines_too_long_is_an_error(void **state)
{
	(void)state;
	for (int lines = 0; lines < 2; lines++) {
		struct buf text = BUF_INIT(1 << 20);
		char *target;
		struct instance in = { .targets = &target, .n_targets = 1 };
		struct outcome o = { .in = &in };
		struct task_metric *m;
		struct metric into;
		size_t n;
		int rc;

		for (int i = 0; i < (lines ? 1000 : 10000); i++)
			buf_adds(&text, lines && i % 100 == 99 ? "a\n" : "a ");
		target = mem_str(buf_str(&text));
		o.text = target;
		o.len = text.len;
		assert_int_equal(harness_metric(&m, &n, "rougeLsum"), 0);
		metric_init(&into, m, "none", 1);
		rc = metric_score(m, &o, &into, 0);
		assert_int_equal(rc, lines ? 0 : ERR_INPUT);
		if (rc)
			assert_non_null(strstr(err_text(), "10000 words, 10000 in a line"));
		else
			assert_true(into.scores[0] == 1);
		metric_release(&into);
		metrics_free(m, n);
		free(target);
		buf_release(&text);
	}
}

static void test_metric_direction__known_names(void **state)
{
	bool binary;

	(void)state;
	assert_int_equal(metric_direction("acc_norm", &binary), 1);
	assert_true(binary);
	assert_int_equal(metric_direction("bits_per_byte", &binary), -1);
	assert_false(binary);
	assert_int_equal(metric_direction("score", &binary), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metric_score__exact_match),
		cmocka_unit_test(test_metric_score__exact_match_sees_behind_a_nul),
		cmocka_unit_test(test_metric_score__hostile_regex_is_an_error),
		cmocka_unit_test(test_metric_score__choices),
		cmocka_unit_test(test_metric_score__exact_match_counts_from_the_end),
		cmocka_unit_test(test_metric_close__aggregates),
		cmocka_unit_test(test_task_result_metric_note__of_what_overflows),
		cmocka_unit_test(test_metric_close__as_the_references),
		cmocka_unit_test(test_metric_close__sacrebleu_vectors),
		cmocka_unit_test(test_corpus_close__error_and_bounds_are_drawn),
		cmocka_unit_test(test_corpus_close__error_of_many_samples),
		cmocka_unit_test(test_metric_score__bad_labels_are_errors),
		cmocka_unit_test(test_metrics_check__bad_targets_are_found_at_once),
		cmocka_unit_test(test_metrics_digest__options_are_part_of_it),
		cmocka_unit_test(test_metric_score__hostile_texts_end),
		cmocka_unit_test(test_metric_score__rouge_lsum_of_lines_too_long_is_an_error),
		cmocka_unit_test(test_metric_direction__known_names),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
