/* bench_evals.c: what evaluation costs beside the model: samples opened, prompts built, the way to the first batch.
 *
 *	build/bench/bench_evals [FOLDER]
 *
 * The model is one that answers at once, so all that is measured is ours. Medians of five, in seconds of one processor: all of
 * it runs in one thread, and a busy machine changes little. */
#include "base/base.h"

#include <stdlib.h>
#include <time.h>

#include "evals/evals_int.h"

enum { TIMES = 5, SAMPLES = 200000, DOCS = 50000, TASKS = 100, TASK_DOCS = 200 };

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *x)
{
	qsort(x, TIMES, sizeof(*x), compare);
	return x[TIMES / 2];
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, err_text());
	exit(1);
}

/* ---- samples ------------------------------------------------------------------------------------------------------ */

static void make_samples(struct task_result *t)
{
	struct rng rng;

	rng_seed(&rng, 1, 0);
	*t = (struct task_result){ .task = mem_str("t"), .n = SAMPLES, .n_total = SAMPLES, .n_metrics = 2 };
	t->samples = mem_array(SAMPLES, sizeof(*t->samples));
	t->metrics = mem_array(2, sizeof(*t->metrics));
	for (int k = 0; k < 2; k++)
		t->metrics[k] = (struct metric){ .name = mem_str(k ? "likelihood" : "acc"),
						 .filter = mem_str("none"),
						 .binary = !k,
						 .scores = mem_array(SAMPLES, sizeof(double)) };
	for (size_t i = 0; i < SAMPLES; i++) {
		struct sample *s = &t->samples[i];
		struct buf prompt = BUF_INIT(BUF_NOLIMIT);

		for (int w = 0; w < 120; w++)
			buf_addf(&prompt, "word%u ", (unsigned)(rng_u64(&rng) % 5000));
		s->id = mem_printf("question-%zu", i);
		s->prompt = buf_take(&prompt);
		s->target = mem_printf("answer %u", (unsigned)(rng_u64(&rng) % 100000));
		s->response = mem_str(s->target);
		s->response_len = strlen(s->response);
		s->cluster = mem_printf("passage-%zu", i / 4);
		snprintf(s->doc_hash, sizeof(s->doc_hash), "%016llx", (unsigned long long)rng_u64(&rng));
		snprintf(s->prompt_hash, sizeof(s->prompt_hash), "%016llx", (unsigned long long)rng_u64(&rng));
		t->metrics[0].scores[i] = rng_uniform(&rng) < 0.6;
		t->metrics[1].scores[i] = -10 * rng_uniform(&rng);
	}
	for (int k = 0; k < 2; k++)
		metric_close(&t->metrics[k], SAMPLES);
}

static void bench_samples(const char *folder)
{
	double times[4][TIMES], start;
	struct buf packed = BUF_INIT(BUF_NOLIMIT);
	char *path = path_join(folder, "samples");
	struct task_result t, back;
	struct fs_map map;

	make_samples(&t);
	for (int k = 0; k < TIMES; k++) {
		buf_clear(&packed);
		start = cpu_seconds();
		task_result_pack(&t, &packed);
		times[0][k] = cpu_seconds() - start;
	}
	if (fs_write(path, packed.data, packed.len))
		die("write");
	task_result_release(&t);
	for (int k = 0; k < TIMES; k++) {
		start = cpu_seconds();
		if (fs_map_open(&map, path) ||
		    task_result_open(&back, (struct samples_bytes){ map.data, map.len, NULL, NULL }, path))
			die("open");
		times[1][k] = cpu_seconds() - start;
		start = cpu_seconds();
		if (task_result_text(&back, SAMPLES / 2))
			die("text");
		times[2][k] = cpu_seconds() - start;
		start = cpu_seconds();
		digest_bytes(map.data, map.len);
		times[3][k] = cpu_seconds() - start;
		task_result_release(&back);
		fs_map_close(&map);
	}
	printf("%d samples, %.1f MB, %.0f bytes each\n", SAMPLES, (double)packed.len / 1e6,
	       (double)packed.len / SAMPLES);
	printf("  write                          %8.1f ms\n", median(times[0]) * 1e3);
	printf("  open: names, scores, clusters  %8.1f ms\n", median(times[1]) * 1e3);
	printf("  the texts of one               %8.2f ms\n", median(times[2]) * 1e3);
	printf("  SHA-256 of the whole           %8.1f ms\n", median(times[3]) * 1e3);
	buf_release(&packed);
	free(path);
}

/* ---- a model that answers at once ----------------------------------------------------------------------------------- */

static double first_call;
static size_t asked;

static int answer_loglik(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			 const struct scorer_watch *watch)
{
	(void)self;
	(void)watch;
	first_call = first_call > 0 ? first_call : cpu_seconds();
	for (size_t i = 0; i < n; i++) {
		asked += strlen(reqs[i].context);
		out[i] = (struct loglik_result){ -1 - (double)(i % 7), 3, false, 0 };
	}
	return 0;
}

static int answer_text(void *self, const struct generate_until *reqs, size_t n, struct generated *out,
		       const struct scorer_watch *watch)
{
	(void)self;
	(void)watch;
	first_call = first_call > 0 ? first_call : cpu_seconds();
	for (size_t i = 0; i < n; i++) {
		asked += strlen(reqs[i].prompt);
		out[i] = (struct generated){ mem_str("42"), 2, 1, 0 };
	}
	return 0;
}

static int read_file(void *self, const char *path, struct buf *out)
{
	char *whole = path_join(self, path);
	int rc = fs_read(out, whole, out->max);

	free(whole);
	return rc;
}

static void write_task(const char *folder, const char *name, const char *kind, int shots, int docs)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	char *path = mem_printf("%s/%s.jsonl", folder, name);

	for (int i = 0; i < docs; i++)
		buf_addf(&text,
			 "{\"question\":\"Which of these is what number %06d of the catalogue is commonly used for, if "
			 "it is "
			 "wet and the %s is closed?\",\"choices\":[\"a door\",\"the number %02d\",\"an "
			 "umbrella\",\"nothing at "
			 "all\"],\"answer\":%d,\"subject\":\"abstract_algebra\"}\n",
			 i, name, i % 97, i % 4);
	if (fs_write(path, text.data, text.len))
		die("write");
	free(path);
	path = mem_printf("%s/%s-shots.jsonl", folder, name);
	if (fs_write(path, text.data, text.len / (size_t)docs * 10))
		die("write");
	free(path);
	buf_clear(&text);
	buf_addf(&text,
		 "task: %s\ndataset_path: json\ndataset_kwargs: {data_files: {test: %s.jsonl, train: "
		 "%s-shots.jsonl}}\ntest_split: test\ntraining_split: train\n"
		 "output_type: %s\nnum_fewshot: %d\nfewshot_config: {sampler: first_n}\n"
		 "description: \"The following are multiple choice questions (with answers) about "
		 "{{subject|replace('_', ' "
		 "')}}.\\n\\n\"\n"
		 "doc_to_text: \"{{question.strip()}}\\nA. {{choices[0]}}\\nB. {{choices[1]}}\\nC. {{choices[2]}}\\nD. "
		 "{{choices[3]}}\\nAnswer:\"\n",
		 name, name, name, kind, shots);
	buf_adds(&text, strcmp(kind, "multiple_choice") == 0
				? "doc_to_choice: [\"A\", \"B\", \"C\", \"D\"]\ndoc_to_target: answer\n"
				: "doc_to_target: \"{{choices[answer]}}\"\n");
	path = mem_printf("%s/%s.yaml", folder, name);
	if (fs_write(path, text.data, text.len))
		die("write");
	free(path);
	buf_release(&text);
}

/* Loads and runs; what both took, and the way to the first request. */
static void run_suite(const char *folder, const char *name, double *load, double *run, double *first)
{
	const struct scorer scorer = { NULL, answer_loglik, answer_text, NULL };
	const struct eval_files files = { .self = (char *)(uintptr_t)folder, .read = read_file };
	const struct suite_options how = { .seed = 1 };
	struct suite_result *r = NULL;
	struct suite *s = NULL;
	double start = cpu_seconds();

	first_call = 0;
	if (suite_load(&s, name, &files))
		die(name);
	*load = cpu_seconds() - start;
	if (suite_run(&r, s, &scorer, &how))
		die(name);
	*run = cpu_seconds() - start - *load;
	*first = first_call - start;
	suite_result_free(r);
	suite_free(s);
}

static void bench_prompts(const char *folder, const char *name, const char *kind, int shots)
{
	double load[TIMES], run[TIMES], first[TIMES];
	char *file = mem_printf("%s.yaml", name);
	size_t bytes;

	write_task(folder, name, kind, shots, DOCS);
	for (int k = 0; k < TIMES; k++) {
		asked = 0;
		run_suite(folder, file, &load[k], &run[k], &first[k]);
	}
	bytes = asked;
	printf("%s, %d documents, %d shots, %.0f bytes a document\n", kind, DOCS, shots, (double)bytes / DOCS);
	printf("  read, checked                  %8.0f documents/s\n", DOCS / median(load));
	printf("  prompts built, answers scored  %8.0f documents/s\n", DOCS / median(run));
	free(file);
}

static void bench_start(const char *folder)
{
	struct buf suite = BUF_INIT(BUF_NOLIMIT);
	double load[TIMES], run[TIMES], first[TIMES];
	char *path = path_join(folder, "hundred.yaml"), name[32];

	buf_adds(&suite, "suite: hundred\ntasks:\n");
	for (int i = 0; i < TASKS; i++) {
		snprintf(name, sizeof(name), "task_%d", i);
		write_task(folder, name, "multiple_choice", 5, TASK_DOCS);
		buf_addf(&suite, "  - %s.yaml\n", name);
	}
	if (fs_write(path, suite.data, suite.len))
		die("write");
	for (int k = 0; k < TIMES; k++)
		run_suite(folder, "hundred.yaml", &load[k], &run[k], &first[k]);
	printf("a suite of %d tasks of %d documents\n", TASKS, TASK_DOCS);
	printf("  start to first batch           %8.1f ms\n", median(first) * 1e3);
	free(path);
	buf_release(&suite);
}

int main(int argc, char **argv)
{
	char *folder = NULL;

	if (argc > 1)
		folder = mem_str(argv[1]);
	else if (fs_temp_dir(&folder, "/tmp", "bench-evals-"))
		die("temporary folder");
	bench_samples(folder);
	bench_prompts(folder, "choice", "multiple_choice", 0);
	bench_prompts(folder, "shots", "multiple_choice", 5);
	bench_prompts(folder, "written", "generate_until", 5);
	bench_start(folder);
	if (argc == 1)
		fs_remove_tree(folder);
	free(folder);
	return 0;
}
