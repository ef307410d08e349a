/* test_hook.c: the pre-push hook is written, run by git and by hand, chained, and taken out.
 *
 * `assay` is a script here that notes its arguments and its standard input and answers with the code in a file. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ci/ci.h"

struct world {
	char dir[64];
	char *hooks, *hook, *chained, *assay;
};

static char *in(const struct world *w, const char *name)
{
	return path_join(w->dir, name);
}

static void write_script(const char *path, const char *text, mode_t mode)
{
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static char *read_all(const char *path)
{
	struct buf b = BUF_INIT(1 << 20);

	if (fs_read(&b, path, 1 << 20))
		buf_adds(&b, "(none)");
	return buf_take(&b);
}

static void assert_file(const char *path, const char *wanted)
{
	char *text = read_all(path);

	assert_string_equal(text, wanted);
	free(text);
}

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	const char *tmp = getenv("TMPDIR");
	char *text;

	snprintf(w->dir, sizeof(w->dir), "%s/assay-hook-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(w->dir))
		return 1;
	w->hooks = in(w, "hooks");
	w->hook = in(w, "hooks/pre-push");
	w->chained = in(w, "hooks/pre-push.assay-chained");
	w->assay = in(w, "it's an assay");
	text = mem_printf("#!/bin/sh\necho \"gate $*\" >>'%s/log'\ncat >>'%s/log'\nexit \"$(cat '%s/code')\"\n", w->dir,
			  w->dir, w->dir);
	write_script(w->assay, text, 0755);
	free(text);
	text = in(w, "code");
	write_script(text, "0\n", 0644);
	free(text);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	fs_remove_tree(w->dir);
	free(w->hooks);
	free(w->hook);
	free(w->chained);
	free(w->assay);
	free(w);
	return 0;
}

static void answer(const struct world *w, const char *code)
{
	char *path = in(w, "code");

	write_script(path, code, 0644);
	free(path);
}

/* An earlier hook that notes its name, arguments and input. */
static void earlier_hook(const struct world *w, mode_t mode)
{
	char *text = mem_printf("#!/bin/sh\necho \"earlier $*\" >>'%s/log'\ncat >>'%s/log'\n", w->dir, w->dir);

	write_script(w->hook, text, mode);
	free(text);
}

static void assert_log(const struct world *w, const char *wanted)
{
	char *path = in(w, "log");

	assert_file(path, wanted);
	free(path);
}

#define REFS "refs/heads/x 1111 refs/heads/x 0000\n"

static int run_hook(const struct world *w, const char *const *env, struct buf *err)
{
	struct buf unused = BUF_INIT(1 << 16);
	struct proc p = { .argv = (const char *[]){ w->hook, "origin", "/some where/else.git", NULL },
			  .env = env,
			  .in = REFS,
			  .in_len = strlen(REFS),
			  .out = &unused,
			  .err = err ? err : &unused,
			  .timeout_s = 30 };

	assert_int_equal(proc_run(&p), 0);
	buf_release(&unused);
	return p.status;
}

static void test_hook_install__asks_with_arguments_and_input(void **state)
{
	struct world *w = *state;
	bool chained = true;
	struct stat st;

	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_false(chained);
	assert_int_equal(stat(w->hook, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS);
}

static void test_hook_install__the_gates_code_stops_the_push(void **state)
{
	struct world *w = *state;
	bool chained;

	earlier_hook(w, 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	answer(w, "2\n");
	assert_int_equal(run_hook(w, NULL, NULL), 2);
	/* and the earlier hook has not run: git-lfs has uploaded nothing */
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS);
}

static void test_hook_install__earlier_hook_gets_the_same_bytes(void **state)
{
	struct world *w = *state;
	bool chained;

	earlier_hook(w, 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_true(chained);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS
		      "earlier origin /some where/else.git\n" REFS);
}

static void test_hook_install__earlier_hook_can_stop_too(void **state)
{
	struct world *w = *state;
	bool chained;

	write_script(w->hook, "#!/bin/sh\nexit 9\n", 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, NULL, NULL), 9);
}

static void test_hook_install__a_hook_git_ignores_stays_ignored(void **state)
{
	struct world *w = *state;
	bool chained, restored;
	struct stat st;

	earlier_hook(w, 0644);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), 0);
	assert_int_equal(stat(w->hook, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_hook_install__twice_is_once(void **state)
{
	struct world *w = *state;
	char *first, *kept;
	bool chained = false;

	earlier_hook(w, 0755);
	kept = read_all(w->hook);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	first = read_all(w->hook);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_true(chained);
	assert_file(w->hook, first);
	assert_file(w->chained, kept);
	free(first);
	free(kept);
}

static void test_hook_install__after_an_interrupted_one(void **state)
{
	struct world *w = *state;
	bool chained = false, restored = false;
	char *kept;

	earlier_hook(w, 0755);
	kept = read_all(w->hook);
	assert_int_equal(link(w->hook, w->chained), 0); /* killed between the link and the rename */
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_true(chained);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), 0);
	assert_file(w->hook, kept);
	free(kept);
}

static void test_hook_install__over_a_manager_that_came_back(void **state)
{
	struct world *w = *state;
	bool chained = false;
	char *kept;

	earlier_hook(w, 0755);
	kept = read_all(w->hook);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	write_script(w->hook, kept, 0755); /* lefthook install writes the same bytes again */
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_true(chained);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS
		      "earlier origin /some where/else.git\n" REFS);
	free(kept);
}

static void test_hook_install__two_foreign_hooks_are_not_lost(void **state)
{
	struct world *w = *state;
	bool chained;

	write_script(w->chained, "one", 0755);
	write_script(w->hook, "two", 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), ERR_EXISTS);
	assert_non_null(err_fix());
	assert_file(w->chained, "one");
	assert_file(w->hook, "two");
}

static void test_hook_install__refuses_what_it_cannot_read(void **state)
{
	struct world *w = *state;
	bool chained;
	struct stat st;

	assert_int_equal(fs_mkdirs(w->hooks), 0);
	assert_int_equal(symlink("nowhere", w->hook), 0);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), ERR_IO);
	assert_int_equal(lstat(w->hook, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(w->hook), 0);
	assert_int_equal(mkdir(w->hook, 0755), 0);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), ERR_IO);
	assert_int_not_equal(lstat(w->chained, &st), 0);
}

static void test_hook_uninstall__restores_exactly(void **state)
{
	struct world *w = *state;
	bool chained, restored = false;
	struct stat before, after;
	char *text;

	earlier_hook(w, 0751);
	text = read_all(w->hook);
	assert_int_equal(stat(w->hook, &before), 0);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), 0);
	assert_true(restored);
	assert_file(w->hook, text);
	assert_int_equal(stat(w->hook, &after), 0);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_false(fs_exists(w->chained));
	free(text);
}

static void test_hook_uninstall__restores_a_link(void **state)
{
	struct world *w = *state;
	bool chained, restored;
	char target[64] = "";

	earlier_hook(w, 0755);
	assert_int_equal(rename(w->hook, w->chained), 0);
	{
		char *real = in(w, "hooks/real");

		assert_int_equal(rename(w->chained, real), 0);
		free(real);
	}
	assert_int_equal(symlink("real", w->hook), 0);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS
		      "earlier origin /some where/else.git\n" REFS);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), 0);
	assert_int_equal(readlink(w->hook, target, sizeof(target) - 1), 4);
	assert_string_equal(target, "real");
}

static void test_hook_uninstall__touches_nothing_of_others(void **state)
{
	struct world *w = *state;
	bool restored = true, chained;

	assert_int_equal(fs_mkdirs(w->hooks), 0);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), ERR_NOTFOUND);
	write_script(w->hook, "#!/bin/sh\n# mine\n", 0755);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), ERR_NOTFOUND);
	assert_false(restored);
	assert_file(w->hook, "#!/bin/sh\n# mine\n");
	assert_int_equal(unlink(w->hook), 0);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &restored), 0);
	assert_false(restored);
	assert_false(fs_exists(w->hook));
}

static void link_tool(const struct world *w, const char *name)
{
	char *to = mem_printf("%s/bin/%s", w->dir, name), *usr = mem_printf("/usr/bin/%s", name);
	char *from = fs_exists(usr) ? mem_str(usr) : mem_printf("/bin/%s", name);

	assert_int_equal(symlink(from, to), 0);
	free(from);
	free(usr);
	free(to);
}

/* PATH with nothing in it but what the hook itself needs. */
static char *bare_path(const struct world *w)
{
	static const char *const tools[] = { "sh", "mktemp", "cat", "rm" };
	char *bin = in(w, "bin"), *path = mem_printf("PATH=%s", bin);

	assert_int_equal(fs_mkdirs(bin), 0);
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		link_tool(w, tools[i]);
	free(bin);
	return path;
}

static void test_hook__a_missing_assay_stops_the_push(void **state)
{
	struct world *w = *state;
	struct buf err = BUF_INIT(1 << 16);
	char *path = bare_path(w);
	bool chained;

	earlier_hook(w, 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(unlink(w->assay), 0);
	assert_int_equal(run_hook(w, (const char *[]){ path, NULL }, &err), 1);
	assert_non_null(strstr(buf_str(&err), "git push --no-verify"));
	assert_log(w, "(none)");
	buf_release(&err);
	free(path);
}

static void test_hook__found_in_path_when_it_has_moved(void **state)
{
	struct world *w = *state;
	char *path = bare_path(w), *moved = in(w, "bin/assay");
	bool chained;

	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(rename(w->assay, moved), 0);
	assert_int_equal(run_hook(w, (const char *[]){ path, NULL }, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS);
	free(path);
	free(moved);
}

static void test_hook__leaves_no_temporary_file(void **state)
{
	struct world *w = *state;
	char *tmp = in(w, "tmp"), *env = mem_printf("TMPDIR=%s", tmp);
	bool chained;

	assert_int_equal(fs_mkdirs(tmp), 0);
	earlier_hook(w, 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, (const char *[]){ env, NULL }, NULL), 0);
	answer(w, "1\n");
	assert_int_equal(run_hook(w, (const char *[]){ env, NULL }, NULL), 1);
	assert_int_equal(rmdir(tmp), 0); /* so it is empty */
	free(tmp);
	free(env);
}

/* Alone, the script needs no program but assay (whose stand-in needs cat), and nowhere to write. */
static void test_hook__alone_it_becomes_assay(void **state)
{
	struct world *w = *state;
	char *bin = in(w, "bin"), *path = mem_printf("PATH=%s", bin), *log = in(w, "log");
	const char *const env[] = { path, "TMPDIR=/nowhere", NULL };
	bool chained;

	assert_int_equal(fs_mkdirs(bin), 0);
	link_tool(w, "sh");
	link_tool(w, "cat");
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, env, NULL), 0);
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS);
	answer(w, "2\n");
	assert_int_equal(run_hook(w, env, NULL), 2);
	/* in front of another it has to keep the input, and says so where it cannot */
	assert_int_equal(unlink(log), 0);
	answer(w, "0\n");
	earlier_hook(w, 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, env, NULL), 1);
	assert_log(w, "(none)");
	free(bin);
	free(path);
	free(log);
}

/* What assay would start itself anew to set (runner/main.c) is set, for it alone; a user's own word stands. */
static void test_hook__sets_the_spins_for_assay_alone(void **state)
{
	struct world *w = *state;
	char *text =
		mem_printf("#!/bin/sh\necho \"$GOMP_SPINCOUNT $OMP_WAIT_POLICY\" >>'%s/log'\ncat >/dev/null\n", w->dir);
	bool chained;

	write_script(w->assay, text, 0755);
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_int_equal(run_hook(w, (const char *[]){ "GOMP_SPINCOUNT=7", NULL }, NULL), 0);
	assert_int_equal(run_hook(w, (const char *[]){ "OMP_WAIT_POLICY=active", NULL }, NULL), 0);
	assert_int_equal(hook_uninstall(w->hooks, "pre-push", &(bool){ false }), 0);
	write_script(w->hook, text, 0755); /* and of an earlier hook behind it */
	assert_int_equal(hook_install(w->hooks, "pre-push", w->assay, &chained), 0);
	assert_int_equal(run_hook(w, NULL, NULL), 0);
	assert_log(w, "1000 \n7 \n active\n1000 \n \n");
	free(text);
}

static void test_hook_install__beside_husky_not_inside_it(void **state)
{
	struct world *w = *state;
	char *inner = in(w, ".husky/_"), *runner = in(w, ".husky/_/h"), *user = in(w, ".husky/pre-push");
	char *log = mem_printf("echo \"earlier $*\" >>'%s/log'\ncat >>'%s/log'\n", w->dir, w->dir), *text;
	bool chained = false, restored = false;
	char *swap = w->hook;

	write_script(runner, "sh -e \"$s\" \"$@\"\n", 0644);
	write_script(user, log, 0644); /* husky runs it though it is not executable */
	assert_int_equal(hook_install(inner, "pre-push", w->assay, &chained), 0);
	assert_true(chained);
	text = read_all(user);
	assert_null(strstr(text, w->dir)); /* this file is committed */
	free(text);
	{
		char *bin = bare_path(w), *to = in(w, "bin/assay");

		assert_int_equal(rename(w->assay, to), 0);
		w->hook = user;
		assert_int_equal(run_hook(w, (const char *[]){ bin, NULL }, NULL), 0);
		w->hook = swap;
		free(bin);
		free(to);
	}
	assert_log(w, "gate hook run pre-push origin /some where/else.git\n" REFS
		      "earlier origin /some where/else.git\n" REFS);
	assert_int_equal(hook_uninstall(inner, "pre-push", &restored), 0);
	assert_true(restored);
	assert_file(user, log);
	free(inner);
	free(runner);
	free(user);
	free(log);
}

static int git(const struct world *w, const char *where, const char *const *args)
{
	const char *argv[16] = { "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", where };
	struct buf out = BUF_INIT(1 << 20);
	struct proc p = { .argv = argv,
			  .env = (const char *[]){ "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE",
						   "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
						   "GIT_TERMINAL_PROMPT=0", NULL },
			  .out = &out,
			  .err = &out,
			  .timeout_s = 60 };

	(void)w;
	for (size_t i = 0; args[i]; i++)
		argv[7 + i] = args[i];
	assert_int_equal(proc_run(&p), 0);
	buf_release(&out);
	return p.status;
}
#define GIT(where, ...) git(w, where, (const char *[]){ __VA_ARGS__, NULL })

static void test_hook__git_itself_is_stopped_and_let_through(void **state)
{
	struct world *w = *state;
	char *bare = in(w, "origin.git"), *work = in(w, "work"), *hooks = in(w, "work/.git/hooks"), *log = in(w, "log"),
	     *text;
	bool chained;

	assert_int_equal(fs_mkdirs(bare), 0);
	assert_int_equal(fs_mkdirs(work), 0);
	assert_int_equal(GIT(bare, "init", "-q", "--bare"), 0);
	assert_int_equal(GIT(work, "init", "-q"), 0);
	assert_int_equal(GIT(work, "remote", "add", "origin", bare), 0);
	assert_int_equal(GIT(work, "commit", "-q", "--allow-empty", "-m", "one"), 0);
	assert_int_equal(hook_install(hooks, "pre-push", w->assay, &chained), 0);
	answer(w, "1\n");
	assert_int_not_equal(GIT(work, "push", "-q", "origin", "HEAD:refs/heads/main"), 0);
	assert_int_not_equal(GIT(bare, "rev-parse", "--verify", "-q", "refs/heads/main"), 0);
	answer(w, "0\n");
	assert_int_equal(GIT(work, "push", "-q", "origin", "HEAD:refs/heads/main"), 0);
	assert_int_equal(GIT(bare, "rev-parse", "--verify", "-q", "refs/heads/main"), 0);
	text = read_all(log);
	assert_non_null(strstr(text, " refs/heads/main 0000000000000000000000000000000000000000\n"));
	free(text);
	free(bare);
	free(work);
	free(hooks);
	free(log);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hook_install__asks_with_arguments_and_input),
		TEST(test_hook_install__the_gates_code_stops_the_push),
		TEST(test_hook_install__earlier_hook_gets_the_same_bytes),
		TEST(test_hook_install__earlier_hook_can_stop_too),
		TEST(test_hook_install__a_hook_git_ignores_stays_ignored),
		TEST(test_hook_install__twice_is_once),
		TEST(test_hook_install__after_an_interrupted_one),
		TEST(test_hook_install__over_a_manager_that_came_back),
		TEST(test_hook_install__two_foreign_hooks_are_not_lost),
		TEST(test_hook_install__refuses_what_it_cannot_read),
		TEST(test_hook_install__beside_husky_not_inside_it),
		TEST(test_hook_uninstall__restores_exactly),
		TEST(test_hook_uninstall__restores_a_link),
		TEST(test_hook_uninstall__touches_nothing_of_others),
		TEST(test_hook__a_missing_assay_stops_the_push),
		TEST(test_hook__found_in_path_when_it_has_moved),
		TEST(test_hook__leaves_no_temporary_file),
		TEST(test_hook__alone_it_becomes_assay),
		TEST(test_hook__sets_the_spins_for_assay_alone),
		TEST(test_hook__git_itself_is_stopped_and_let_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
