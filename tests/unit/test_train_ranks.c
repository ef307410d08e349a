/* test_train_ranks.c: a step in shares: the same bytes on one device and on several, which here are processes with a CPU back
 * end each; one that is killed, that fails, that is stopped, and that begins with something else. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/train_int.h"

#define FAMILIES "tests/golden/families/"
enum { RANKS_MAX = 5 };

static char *dir;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return fs_temp_dir(&dir, tmp ? tmp : "/tmp", "train-ranks");
}

static int tear_down(void **state)
{
	(void)state;
	fs_remove_tree(dir);
	free(dir);
	return 0;
}

/* ---- the trainings ------------------------------------------------------------------------------------------------- */

struct kind {
	const char *name, *family; /* NULL: fresh weights, more than a piece holds */
	bool lora, dpo, validation;
	int units;
};
static const struct kind kinds[] = {
	{ .name = "full", .family = "qwen3", .units = 20 },
	{ .name = "full, tied, validated", .family = "gpt2", .validation = true, .units = 20 },
	{ .name = "lora with dropout", .family = "smollm2", .lora = true, .units = 20 },
	{ .name = "dpo", .family = "mistral", .dpo = true, .validation = true, .units = 12 },
	{ .name = "by pieces", .units = 9 },
	{ .name = "fewer examples than shares", .family = "llama3", .units = 2 },
};

static void add_units(struct train_data *d, uint64_t seed, int units, bool pairs)
{
	struct rng r;

	rng_seed(&r, seed, 0);
	for (int i = 0; i < units * (pairs ? 2 : 1); i++) {
		int n = 3 + (int)rng_below(&r, 12);
		MEM_GROW(d->examples, d->n, d->cap);
		struct train_example *e = &d->examples[d->n++];
		*e = (struct train_example){ .ids = mem_array((size_t)n, sizeof(int32_t)),
					     .counts = mem_alloc((size_t)n),
					     .n = n,
					     .pair = pairs && i % 2 == 0 };
		for (int k = 0; k < n; k++) {
			e->ids[k] = (int32_t)rng_below(&r, 48);
			e->counts[k] = k >= 2;
		}
	}
}

static struct model *load(const struct kind *k, struct backend *be)
{
	static const char *const all[] = { "all-linear", NULL };
	const struct lora_options o = { .rank = 2, .alpha = 4, .dropout = 0.25, .targets = all };
	char *path = mem_printf(FAMILIES "%s", k->family ? k->family : "llama3");
	struct model_config config;
	struct model *m;

	if (k->family) {
		assert_int_equal(model_load(&m, path, be, &(struct model_load){ .train = !k->lora }), 0);
	} else {
		assert_int_equal(model_folder_config(&config, path), 0);
		config.vocab_size = 9000;
		config.intermediate_size = 301;
		assert_int_equal(model_init(&m, &config, 5, be), 0);
		assert_true(m->n_params > 2 << 16);
	}
	if (k->lora)
		assert_int_equal(model_add_lora(m, &o, 7), 0);
	free(path);
	return m;
}

struct outcome {
	char *bytes;
	size_t n;
	struct train_result result;
	int rc;
};
struct mishap { /* of one rank, behind a step */
	int rank;
	int64_t step;
	enum { NOTHING, KILLED, FAILS, STOPPED, OTHER_DATA, OTHER_KIND } what;
	int64_t first, seen; /* the first step that this rank has seen */
};

static int on_step(const struct train_step *s, void *arg)
{
	struct mishap *x = arg;

	if (!x->seen++)
		x->first = s->step;
	if (x->step != s->step)
		return 0;
	if (x->what == KILLED)
		raise(SIGKILL);
	if (x->what == STOPPED)
		train_stop();
	return x->what == FAILS ? err_hint(err_set(ERR_IO, "its disk is full"), "make room") : 0;
}

static int meet(struct backend *be, const uint8_t *id, int rank, int n, bool (*broken)(void *arg), void *arg)
{
	(void)be, (void)id, (void)rank, (void)n, (void)broken, (void)arg;
	return err_set(ERR_BUG, "they have met");
}

/* One rank's part. */
static struct outcome train_one(const struct kind *k, int shares, struct ranks *link, struct mishap *x,
				const char *checkpoints)
{
	struct train_data data = { 0 }, held = { 0 };
	struct outcome out = { NULL, 0, { 0 }, 0 };
	struct backend *be;
	struct train_options o;
	struct train_hooks hooks = { .checkpoint_dir = checkpoints,
				     .checkpoint_every_s = checkpoints ? 1e-9 : 0,
				     .ranks = link };

	assert_int_equal(backend_open(&be, "cpu", 1), 0);
	struct model *m = load(k, be);
	if (x && x->what == OTHER_KIND) {
		be->numerics = "another/f32";
		be->ranks_join = meet;
	}
	if (x) {
		hooks.step = on_step;
		hooks.arg = x;
	}
	add_units(&data, x && x->what == OTHER_DATA ? 3 : 1, k->units, k->dpo);
	add_units(&held, 2, 5, k->dpo);
	train_options_init(&o);
	o.learning_rate = 0.01;
	o.epochs = 3;
	o.batch_tokens = 64;
	o.micro_tokens = shares == 3 ? 14 : 0; /* several micro-batches a share */
	o.shares = shares;
	o.dpo = k->dpo;
	o.eval_every = 2;
	o.validation = k->validation ? &held : NULL;
	out.rc = train_run(m, &data, &o, &hooks, &out.result);
	if (!out.rc) {
		out.n = (m->lora ? m->lora->n_params : m->n_params) * sizeof(float);
		out.bytes = mem_alloc(out.n);
		be->download(be, out.bytes, m->lora ? m->lora->params : m->params, out.n);
	}
	model_free(m);
	backend_close(be);
	train_data_release(&data);
	train_data_release(&held);
	return out;
}

/* A rank in a process of its own; the others' ends of the sockets are closed there. */
static pid_t start_rank(const struct kind *k, int shares, int rank, int n, int ends[][2], struct mishap *x,
			const char *checkpoints)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (int i = 1; i < n; i++) {
		close(ends[i][0]);
		if (i != rank)
			close(ends[i][1]);
	}
	struct ranks *link = ranks_new(rank, n, &ends[rank][1], NULL);
	struct outcome o = train_one(k, shares, link, x && x->rank == rank ? x : NULL, checkpoints);
	if (o.rc)
		ranks_fail(link, o.rc);
	_exit(o.rc ? -o.rc : 0);
}

static struct outcome train_all(const struct kind *k, int shares, int n, struct mishap *x, const char *checkpoints)
{
	int ends[RANKS_MAX][2], links[RANKS_MAX];
	pid_t pids[RANKS_MAX];

	for (int i = 1; i < n; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
		links[i] = ends[i][0];
	}
	for (int i = 1; i < n; i++)
		pids[i] = start_rank(k, shares, i, n, ends, x, checkpoints);
	for (int i = 1; i < n; i++)
		close(ends[i][1]);
	struct ranks *link = n > 1 ? ranks_new(0, n, links, NULL) : NULL;
	struct outcome out = train_one(k, shares, link, x && (!x->rank || !x->what) ? x : NULL, checkpoints);
	ranks_close(link, out.rc == 0);
	for (int i = 1; i < n; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]); /* none is left behind, whatever came of it */
	return out;
}

static void check_same(const struct kind *k, const char *what, const struct outcome *a, const struct outcome *b)
{
	if (a->rc || b->rc)
		fail_msg("%s, %s: %d and %d: %s", k->name, what, a->rc, b->rc, err_text());
	if (a->n != b->n || memcmp(a->bytes, b->bytes, a->n) != 0)
		fail_msg("%s, %s: other bytes", k->name, what);
	assert_int_equal(a->result.steps, b->result.steps);
	assert_int_equal(a->result.best_step, b->result.best_step);
	assert_memory_equal(&a->result.first_loss, &b->result.first_loss, sizeof(double));
	assert_memory_equal(&a->result.last_loss, &b->result.last_loss, sizeof(double));
}

static void test_train_run__as_many_devices_as_shares_or_fewer_give_the_bytes_of_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (int shares = 2; shares <= 5; shares++) {
			struct outcome alone = train_all(&kinds[i], shares, 1, NULL, NULL);
			for (int n = 2; n <= shares; n++) {
				char what[64];
				struct outcome o = train_all(&kinds[i], shares, n, NULL, NULL);
				snprintf(what, sizeof(what), "%d shares on %d devices", shares, n);
				check_same(&kinds[i], what, &alone, &o);
				free(o.bytes);
			}
			free(alone.bytes);
		}
}

/* The sum of the shares' gradients is that of the step: only roundings differ. */
static void test_train_run__shares_learn_what_a_whole_step_learns(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct outcome whole = train_all(&kinds[i], 0, 1, NULL, NULL),
			       one = train_all(&kinds[i], 1, 1, NULL, NULL);
		struct outcome cut = train_all(&kinds[i], 4, 1, NULL, NULL);
		check_same(&kinds[i], "one share", &whole, &one);
		assert_int_equal(whole.result.steps, cut.result.steps);
		assert_true(fabs(whole.result.last_loss - cut.result.last_loss) < 1e-4 * whole.result.last_loss);
		assert_true(memcmp(whole.bytes, cut.bytes, whole.n) != 0); /* which is why it is part of the key */
		free(whole.bytes);
		free(one.bytes);
		free(cut.bytes);
	}
}

/* ---- mishaps ------------------------------------------------------------------------------------------------------- */

static void check_mishap(const struct kind *k, int what, int rank, int want, const char *text, int64_t goes_on)
{
	char *ckpt = mem_printf("%s/%s-%d-%d", dir, k->name, what, rank);
	struct mishap x = { .rank = rank, .step = 3, .what = what }, none = { 0 };
	struct outcome whole = train_all(k, 3, 3, NULL, NULL), broken = train_all(k, 3, 3, &x, ckpt);

	if (broken.rc != want || !strstr(err_text(), text))
		fail_msg("%s: %d, not %d: %s", k->name, broken.rc, want, err_text());
	struct outcome end = train_all(k, 3, 2, &none, ckpt); /* on other devices, which are fewer */
	assert_int_equal(none.first, goes_on);
	assert_true(end.result.resumed);
	check_same(k, "gone on", &whole, &end);
	free(whole.bytes);
	free(end.bytes);
	free(ckpt);
}

static void test_train_run__a_rank_that_is_killed_ends_all_and_they_go_on(void **state)
{
	(void)state;
	check_mishap(&kinds[1], KILLED, 1, ERR_UNAVAILABLE, "rank 1 has ended", 4);
	check_mishap(&kinds[2], KILLED, 2, ERR_UNAVAILABLE, "rank 2 has ended", 4);
}

static void test_train_run__a_rank_that_fails_says_why(void **state)
{
	(void)state;
	check_mishap(&kinds[0], FAILS, 2, ERR_IO, "rank 2: its disk is full", 4);
	assert_string_equal(err_fix() ? err_fix() : "", "make room");
}

static void test_train_run__any_rank_may_be_asked_to_stop(void **state)
{
	(void)state;
	check_mishap(&kinds[3], STOPPED, 1, ERR_INTERRUPTED, "stopped behind step 4", 5);
	check_mishap(&kinds[3], STOPPED, 0, ERR_INTERRUPTED, "stopped behind step 4", 5);
}

static void test_train_run__ranks_with_other_data_are_refused(void **state)
{
	struct mishap x = { .rank = 1, .what = OTHER_DATA };
	struct outcome o = train_all(&kinds[0], 2, 2, &x, NULL);

	(void)state;
	assert_int_equal(o.rc, ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "rank 1 does not begin with what rank 0 begins with"));
}

/* In two kinds of calls they would wait for one another for ever. */
static void test_train_run__ranks_of_another_kind_are_refused_before_they_meet(void **state)
{
	(void)state;
	for (int rank = 0; rank < 2; rank++) {
		struct mishap x = { .rank = rank, .what = OTHER_KIND };
		struct outcome o = train_all(&kinds[0], 2, 2, &x, NULL);
		assert_int_equal(o.rc, ERR_UNAVAILABLE);
		assert_non_null(strstr(err_text(), "the devices are not of one kind: rank 0 computes by"));
		assert_non_null(strstr(err_text(), "another/f32"));
	}
}

/* What a peer says in one breath; it then lives on, or is gone. */
static bool is_broken_by(const void *said, size_t bytes, bool gone)
{
	int ends[2], links[2] = { -1, -1 };
	bool broken;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	links[1] = ends[0];
	struct ranks *r = ranks_new(0, 2, links, NULL);
	assert_int_equal(write(ends[1], said, bytes), bytes);
	if (gone)
		close(ends[1]);
	err_clear();
	broken = ranks_broken(r);
	assert_int_equal(ranks_broken(r), broken);
	ranks_close(r, false);
	if (!gone)
		close(ends[1]);
	return broken;
}

/* The frames of ranks.c's head: 1 is data, 2 a failure. */
static void test_ranks_broken__a_peer_that_has_hung_up_behind_its_words_is_seen(void **state)
{
	struct said {
		uint32_t kind;
		int32_t code;
		uint64_t bytes;
		char data[5000];
		uint32_t last;
		int32_t last_code;
		uint64_t last_bytes;
		char why[24];
	} x = { 1, 0, sizeof(x.data), "", 2, ERR_IO, sizeof(x.why), "its disk is full\0room" };
	const size_t head = 16;

	(void)state;
	assert_int_equal(offsetof(struct said, data), head);
	assert_int_equal(offsetof(struct said, last) % 8, 0);
	assert_false(is_broken_by(&x, 0, false));
	assert_false(is_broken_by(&x, 7, false)); /* the rest is on its way */
	assert_false(is_broken_by(&x, head + sizeof(x.data), false));
	const size_t cut[] = { 0, 7, head, head + 5, head + sizeof(x.data) };
	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		assert_true(is_broken_by(&x, cut[i], true));
		assert_string_equal(err_text(), "rank 1 has ended");
	}
	assert_true(is_broken_by(&x, sizeof(x), true)); /* and why it has ended is read */
	assert_string_equal(err_text(), "rank 1: its disk is full");
	assert_string_equal(err_fix() ? err_fix() : "", "room");
	x.kind = 9;
	assert_true(is_broken_by(&x, sizeof(x), true));
}

static void test_train_run__more_devices_than_shares_are_refused(void **state)
{
	struct outcome o = train_all(&kinds[0], 2, 3, NULL, NULL);

	(void)state;
	assert_int_equal(o.rc, ERR_INPUT);
	assert_non_null(strstr(err_text(), "no work for 3 devices"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_train_run__as_many_devices_as_shares_or_fewer_give_the_bytes_of_one),
		cmocka_unit_test(test_train_run__shares_learn_what_a_whole_step_learns),
		cmocka_unit_test(test_train_run__a_rank_that_is_killed_ends_all_and_they_go_on),
		cmocka_unit_test(test_train_run__a_rank_that_fails_says_why),
		cmocka_unit_test(test_train_run__any_rank_may_be_asked_to_stop),
		cmocka_unit_test(test_train_run__ranks_with_other_data_are_refused),
		cmocka_unit_test(test_train_run__ranks_of_another_kind_are_refused_before_they_meet),
		cmocka_unit_test(test_ranks_broken__a_peer_that_has_hung_up_behind_its_words_is_seen),
		cmocka_unit_test(test_train_run__more_devices_than_shares_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
