/* test_train_state.c: every kind of training ends with the same bytes: twice, on any threads, with layers computed again,
 * stopped and killed at any step, with damaged checkpoints. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "model/train_int.h"

#define FAMILIES "tests/golden/families/"

static char *dir;
static struct backend *one, *two;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	if (backend_open(&one, "cpu", 1) || backend_open(&two, "cpu", 2))
		return -1;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "train-state");
}

static int tear_down(void **state)
{
	(void)state;
	backend_close(one);
	backend_close(two);
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

/* ---- the kinds --------------------------------------------------------------------------------------------------- */

struct kind {
	const char *name, *family;
	bool lora, dpo, validation, weighted, stops;
	double dropout;
	int eval_every, patience;
};
static const struct kind kinds[] = {
	{ .name = "full", .family = "qwen3" },
	{ .name = "full of another family", .family = "gpt2", .weighted = true },
	{ .name = "validated", .family = "smollm2", .validation = true, .eval_every = 2 },
	{ .name = "validated by epoch, impatient", .family = "qwen2", .validation = true, .patience = 2 },
	{ .name = "lora", .family = "smollm2", .lora = true, .dropout = 0.25, .weighted = true },
	{ .name = "lora, validated", .family = "gpt2", .lora = true, .validation = true, .eval_every = 3 },
	{ .name = "dpo",
	  .family = "mistral",
	  .dpo = true,
	  .validation = true,
	  .eval_every = 2,
	  .patience = 3,
	  .stops = true },
	{ .name = "dpo of factors", .family = "llama3", .dpo = true, .lora = true, .dropout = 0.1 },
};

static void add_example(struct train_data *d, struct rng *r, int n, int prompt, bool pair)
{
	MEM_GROW(d->examples, d->n, d->cap);
	struct train_example *e = &d->examples[d->n++];
	*e = (struct train_example){ .ids = mem_array((size_t)n, sizeof(int32_t)),
				     .counts = mem_alloc((size_t)n),
				     .n = n,
				     .source = d->n_sources ? (int)d->n_sources - 1 : 0,
				     .pair = pair };
	for (int i = 0; i < n; i++) {
		e->ids[i] = (int32_t)rng_below(r, 48);
		e->counts[i] = i >= prompt;
	}
}

static void add_units(struct train_data *d, const struct kind *k, uint64_t seed, int units)
{
	struct rng r;

	rng_seed(&r, seed, 0);
	for (int i = 0; i < units; i++) {
		int n = 3 + (int)rng_below(&r, 12);
		if (k->weighted && i % 8 == 0)
			train_data_source(d, i ? 0.6 : 1.3);
		add_example(d, &r, n, 2, k->dpo);
		if (k->dpo)
			add_example(d, &r, 3 + (int)rng_below(&r, 12), 2, false);
	}
}

static struct model *load(const struct kind *k, struct backend *be)
{
	static const char *const all[] = { "all-linear", NULL };
	const struct lora_options o = { .rank = 2, .alpha = 4, .dropout = k->dropout, .targets = all };
	char *path = mem_printf(FAMILIES "%s", k->family);
	struct model *m;

	assert_int_equal(model_load(&m, path, be, &(struct model_load){ .train = !k->lora }), 0);
	if (k->lora)
		assert_int_equal(model_add_lora(m, &o, 7), 0);
	free(path);
	return m;
}

/* What is trained, behind the training. */
struct outcome {
	char *bytes;
	size_t n;
	struct train_result result;
};

static struct outcome trained(const struct kind *k, struct backend *be, bool checkpointing,
			      const struct train_hooks *hooks, int want)
{
	struct train_data data = { 0 }, held = { 0 };
	struct outcome out = { NULL, 0, { 0 } };
	struct model *m = load(k, be);
	struct train_options o;

	add_units(&data, k, 1, 20);
	add_units(&held, k, 2, 5);
	train_options_init(&o);
	o.learning_rate = 0.01;
	o.epochs = 3;
	o.batch_tokens = 60;
	o.micro_tokens = 26;
	o.checkpointing = checkpointing;
	o.dpo = k->dpo;
	o.eval_every = k->eval_every;
	o.patience = k->patience;
	o.validation = k->validation ? &held : NULL;
	int rc = train_run(m, &data, &o, hooks, &out.result);
	if (rc != want)
		fail_msg("%s: %d, not %d: %s", k->name, rc, want, err_text());
	if (!rc) {
		out.n = (m->lora ? m->lora->n_params : m->n_params) * sizeof(float);
		out.bytes = mem_alloc(out.n);
		be->download(be, out.bytes, m->lora ? m->lora->params : m->params, out.n);
	}
	model_free(m);
	train_data_release(&data);
	train_data_release(&held);
	return out;
}

static void check_same(const struct kind *k, const char *what, const struct outcome *a, struct outcome *b)
{
	const struct train_result *x = &a->result, *y = &b->result;

	if (a->n != b->n || memcmp(a->bytes, b->bytes, a->n) != 0)
		fail_msg("%s: %s: other bytes", k->name, what);
	assert_int_equal(x->steps, y->steps);
	assert_int_equal(x->tokens, y->tokens);
	assert_int_equal(x->best_step, y->best_step);
	assert_int_equal(x->stopped_early, y->stopped_early);
	assert_memory_equal(&x->first_loss, &y->first_loss, sizeof(double));
	assert_memory_equal(&x->last_loss, &y->last_loss, sizeof(double));
	if (x->best_step)
		assert_memory_equal(&x->best_validation, &y->best_validation, sizeof(double));
	free(b->bytes);
}

static void test_train_run__same_bytes_on_any_threads_and_with_checkpointing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct kind *k = &kinds[i];
		struct outcome first = trained(k, one, false, NULL, 0), again = trained(k, one, false, NULL, 0);
		struct outcome threads = trained(k, two, false, NULL, 0), twice = trained(k, two, true, NULL, 0);
		assert_true(first.result.steps >= 8);
		assert_int_equal(first.result.stopped_early, k->stops);
		check_same(k, "again", &first, &again);
		check_same(k, "two threads", &first, &threads);
		check_same(k, "layers computed twice", &first, &twice);
		free(first.bytes);
	}
}

/* ---- interrupted ------------------------------------------------------------------------------------------------- */

struct breaks {
	int64_t stop_at, kill_at; /* steps; 0: none */
	int64_t first, seen;
};

static int on_step(const struct train_step *s, void *arg)
{
	struct breaks *b = arg;

	if (!b->seen++)
		b->first = s->step;
	if (s->step == b->stop_at)
		train_stop();
	return s->step == b->kill_at ? ERR_BUSY : 0; /* nothing is written behind it, as nothing is behind kill -9 */
}

/* Ends at each of the steps, one after the other, in this manner; then to the end. */
static void check_resumed(const struct kind *k, const struct outcome *whole, bool kill, int every)
{
	char *ckpt = mem_printf("%s/%s-%d-%d", dir, k->name, kill, every);
	struct breaks b = { 0 };
	const struct train_hooks hooks = { on_step, &b, ckpt, kill ? 1e-9 : 0, NULL, NULL };

	for (int64_t at = every; at < whole->result.steps; at += every) {
		b = (struct breaks){ .stop_at = kill ? 0 : at, .kill_at = kill ? at : 0 };
		trained(k, at % 2 ? one : two, at % 3 == 0, &hooks, kill ? ERR_BUSY : ERR_INTERRUPTED);
		/* a killed one has done its last step in vain */
		assert_int_equal(b.first, at == every ? 1 : at - every + (kill ? 0 : 1));
	}
	b = (struct breaks){ 0 };
	struct outcome end = trained(k, one, false, &hooks, 0);
	assert_true(b.first > 1 && end.result.resumed);
	check_same(k, kill ? "killed" : "stopped", whole, &end);
	free(ckpt);
}

static void test_train_run__stopped_and_killed_ends_with_the_same_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct outcome whole = trained(&kinds[i], one, false, NULL, 0);
		check_resumed(&kinds[i], &whole, false, 1);
		check_resumed(&kinds[i], &whole, false, 4);
		check_resumed(&kinds[i], &whole, true, 2);
		check_resumed(&kinds[i], &whole, true, 5);
		free(whole.bytes);
	}
}

struct newest {
	char name[256];
	int n, temporary;
};

static int keep_newest(const char *name, void *arg)
{
	struct newest *l = arg;

	if (name[0] == '.') {
		l->temporary++;
		return 0;
	}
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->n++;
	return 0;
}

/* ---- preferences ------------------------------------------------------------------------------------------------- */

static int forwards;
static void (*real_embed)(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T,
			  bool add);

static void counting_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids,
			   int T, bool add)
{
	forwards += !add;
	real_embed(be, out, table, ids, T, add);
}

/* What stands in the newest checkpoint under this name; the caller's. */
static double *stored(const char *in, const char *name, size_t n)
{
	struct newest l = { .n = 0 };
	struct safetensors f;

	assert_int_equal(fs_list(in, keep_newest, &l), 0);
	char *path = path_join(in, l.name);
	assert_int_equal(safetensors_open(&f, path), 0);
	const struct safetensors_entry *e = safetensors_find(&f, name);
	assert_non_null(e);
	assert_string_equal(e->dtype, "F64");
	assert_int_equal(e->count, n);
	double *out = mem_copy(e->data, n * sizeof(double));
	safetensors_close(&f);
	free(path);
	return out;
}

/* An answer of the initial model, scored as texts are: the same bits. */
static void check_reference(const struct kind *k, const double *reference, uint64_t seed, int units)
{
	struct train_data data = { 0 };
	struct model *m = load(k, one);

	add_units(&data, k, seed, units);
	for (size_t i = 0; i < data.n; i++) {
		const struct train_example *e = &data.examples[i];
		const struct score_request r = { e->ids, e->n, e->n - 2 };
		struct score_result got;
		assert_int_equal(score_run(m, &r, 1, &got, NULL), 0);
		assert_memory_equal(&got.logprob, &reference[i], sizeof(double));
	}
	model_free(m);
	train_data_release(&data);
}

/* The initial model's numbers are in every checkpoint, and a training that goes on asks nobody for them. */
static void test_train_run__references_of_preferences_are_computed_once(void **state)
{
	const struct kind *k = &kinds[6];
	char *ckpt = path_join(dir, "references");
	struct breaks b = { .stop_at = 2 };
	const struct train_hooks hooks = { on_step, &b, ckpt, 0, NULL, NULL };

	(void)state;
	assert_true(k->dpo && k->validation);
	real_embed = one->embed;
	one->embed = counting_embed;
	forwards = 0;
	struct outcome whole = trained(k, one, false, NULL, 0);
	int in_one_go = forwards;
	forwards = 0;
	trained(k, one, false, &hooks, ERR_INTERRUPTED);
	double *first = stored(ckpt, "reference", 40), *held = stored(ckpt, "reference_held", 10);
	b = (struct breaks){ .stop_at = 5 };
	trained(k, one, false, &hooks, ERR_INTERRUPTED);
	double *later = stored(ckpt, "reference", 40);
	b = (struct breaks){ 0 };
	struct outcome end = trained(k, one, false, &hooks, 0);
	assert_int_equal(forwards, in_one_go);
	one->embed = real_embed;
	assert_memory_equal(first, later, 40 * sizeof(double));
	check_reference(k, first, 1, 20);
	check_reference(k, held, 2, 5);
	check_same(k, "stopped twice", &whole, &end);
	free(whole.bytes);
	free(first);
	free(later);
	free(held);
	free(ckpt);
}

/* ---- damaged ----------------------------------------------------------------------------------------------------- */

static char *newest_path(const char *in)
{
	struct newest l = { .n = 0 };

	assert_int_equal(fs_list(in, keep_newest, &l), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.temporary, 0);
	return path_join(in, l.name);
}

/* Whatever bit is turned and wherever it is cut, the one before it serves. */
static void test_train_state_read__damaged_in_any_place_is_passed_over(void **state)
{
	const struct kind *k = &kinds[2];
	char *ckpt = path_join(dir, "damaged");
	struct breaks b = { .kill_at = 7 };
	const struct train_hooks hooks = { on_step, &b, ckpt, 1e-9, NULL, NULL };
	struct buf good = BUF_INIT(1 << 20), bad = BUF_INIT(1 << 20);
	struct outcome whole = trained(k, one, false, NULL, 0);
	enum log_level level = log_level();

	(void)state;
	trained(k, one, false, &hooks, ERR_BUSY);
	char *path = newest_path(ckpt);
	assert_int_equal(fs_read(&good, path, 1 << 20), 0);
	log_set_level(LOG_QUIET);
	for (size_t i = 0; i < 24; i++) {
		size_t at = i < 12 ? 8 + i * 37 : i < 23 ? good.len / 24 * i : good.len - 1;
		buf_clear(&bad);
		buf_add(&bad, good.data, i % 6 == 5 ? at : good.len);
		if (i % 6 != 5)
			bad.data[at] ^= (char)(1 << i % 8);
		assert_int_equal(fs_write(path, bad.data, bad.len), 0);
		b = (struct breaks){ .kill_at = 6 };
		trained(k, one, false, &hooks, ERR_BUSY);
		if (b.first != 6) /* from the one of step 5 */
			fail_msg("byte %zu of %zu: goes on with step %lld", at, good.len, (long long)b.first);
	}
	/* both: it begins anew */
	char *older = newest_path(ckpt);
	older[strlen(older) - strlen("6.safetensors")] = '5';
	assert_int_equal(fs_write(older, "", 0), 0);
	b = (struct breaks){ 0 };
	struct outcome end = trained(k, one, false, &hooks, 0);
	log_set_level(level);
	assert_int_equal(b.first, 1);
	check_same(k, "damaged", &whole, &end);
	free(whole.bytes);
	free(path);
	free(older);
	free(ckpt);
	buf_release(&good);
	buf_release(&bad);
}

static void test_train_state_write__removes_what_was_half_written(void **state)
{
	char *ckpt = path_join(dir, "half"), *left = path_join(ckpt, ".assay-tmp-0123");
	struct breaks b = { .stop_at = 3 };
	const struct train_hooks hooks = { on_step, &b, ckpt, 0, NULL, NULL };

	(void)state;
	assert_int_equal(fs_write(left, "half", 4), 0);
	trained(&kinds[0], one, false, &hooks, ERR_INTERRUPTED);
	assert_false(fs_exists(left));
	free(left);
	free(ckpt);
}

/* ---- no room ------------------------------------------------------------------------------------------------------- */

/* As a full disk: no file may grow beyond so many bytes. */
static void limit_files(rlim_t bytes)
{
	struct rlimit l;

	signal(SIGXFSZ, SIG_IGN); /* so that it is an error of write() */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes < l.rlim_max ? bytes : l.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

struct full {
	int64_t from, to, stop_at; /* steps between which the disk is full */
	int64_t first;
};

static int fill_disk(const struct train_step *s, void *arg)
{
	struct full *f = arg;

	f->first = f->first ? f->first : s->step;
	limit_files(s->step >= f->from && s->step < f->to ? 512 : RLIM_INFINITY);
	if (s->step == f->stop_at)
		train_stop();
	return 0;
}

static void test_train_run__goes_on_without_a_checkpoint_that_has_no_room(void **state)
{
	const struct kind *k = &kinds[0];
	char *ckpt = path_join(dir, "full");
	struct full f = { .from = 3, .to = 6 };
	const struct train_hooks hooks = { fill_disk, &f, ckpt, 1e-9, NULL, NULL };
	struct outcome whole = trained(k, one, false, NULL, 0);
	enum log_level level = log_level();
	struct newest l = { .n = 0 };

	(void)state;
	log_set_level(LOG_QUIET);
	struct outcome end = trained(k, one, false, &hooks, 0); /* full for some steps */
	check_same(k, "disk full", &whole, &end);
	free(newest_path(ckpt)); /* two, and nothing half written */

	/* full from step 3 on, and then asked to stop: that checkpoint is the whole point, so it is an error */
	fs_remove_tree(ckpt);
	f = (struct full){ .from = 3, .to = INT64_MAX, .stop_at = 7 };
	trained(k, one, false, &hooks, ERR_IO);
	limit_files(RLIM_INFINITY);
	assert_non_null(strstr(err_text(), "writing a checkpoint"));
	assert_non_null(strstr(err_fix(), "last checkpoint"));
	assert_int_equal(fs_list(ckpt, keep_newest, &l), 0);
	assert_int_equal(l.n, 2);         /* of steps 1 and 2 */
	assert_int_equal(l.temporary, 0); /* nothing half written */
	f = (struct full){ 0 };
	end = trained(k, one, false, &hooks, 0);
	log_set_level(level);
	assert_int_equal(f.first, 3);
	check_same(k, "after a full disk", &whole, &end);
	free(whole.bytes);
	free(ckpt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_train_run__same_bytes_on_any_threads_and_with_checkpointing),
		cmocka_unit_test(test_train_run__stopped_and_killed_ends_with_the_same_bytes),
		cmocka_unit_test(test_train_run__references_of_preferences_are_computed_once),
		cmocka_unit_test(test_train_state_read__damaged_in_any_place_is_passed_over),
		cmocka_unit_test(test_train_state_write__removes_what_was_half_written),
		cmocka_unit_test(test_train_run__goes_on_without_a_checkpoint_that_has_no_room),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
