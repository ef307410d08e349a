/* trainer_command.c: a team's own trainer: `finetune: {command: […], inputs: […], output: out/}`.
 *
 * The command comes from a pushed commit, so it runs only where the target's policy allows commands, in a private
 * checkout, without the secrets of this process (only PATH, LANG and the names under env: are handed on), without
 * network, and with nothing writable but its own work tree and a private /tmp: bubblewrap. `sandbox: external` in the
 * policy says that this whole job already runs in one. Its declared inputs are the key of the result (step_plan.c); its
 * output is a Hugging Face folder. */
#include "base/base.h"
#include "runner/checkout.h"
#include "runner/runner.h"

#include <sys/stat.h>

#define LOG_LINES 20

struct tail { /* the last lines of the command's output, for the error */
	char *lines[LOG_LINES];
	size_t n;
};

static void on_line(const char *line, size_t len, void *arg)
{
	struct tail *t = arg;
	size_t slot = t->n++ % LOG_LINES;

	free(t->lines[slot]);
	t->lines[slot] = mem_strn(line, len);
	if (log_level() >= LOG_INFO) {
		fputs("  | ", stderr);
		log_safe(stderr, line, len);
		fputc('\n', stderr);
	}
}

struct words {
	const char **items;
	char **owned; /* those that are ours to free */
	size_t n, cap, n_owned, cap_owned;
};

static void words_release(struct words *w)
{
	for (size_t i = 0; i < w->n_owned; i++)
		free(w->owned[i]);
	free(w->owned);
	free(w->items);
}

static void add(struct words *w, const char *word)
{
	MEM_GROW(w->items, w->n, w->cap);
	w->items[w->n++] = word;
}

static bool bubblewrap_works(void)
{
	struct buf quiet = BUF_INIT(1 << 16);
	struct proc p = { .argv = (const char *[]){ "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL },
			  .out = &quiet,
			  .err = &quiet,
			  .timeout_s = 10 };
	bool works = proc_run(&p) == 0 && p.status == 0;

	buf_release(&quiet);
	err_clear();
	return works;
}

static const char *const hidden[] = { "/root", "/home", "/run" };

/* /home/ann and /root are homes; /home/ann/venv and /run/venv are not. */
static bool is_home(const char *path)
{
	const char *home = getenv("HOME");

	return strcmp(path, "/root") == 0 || (home && strcmp(path, home) == 0) ||
	       (strncmp(path, "/home/", 6) == 0 && !strchr(path + 6, '/'));
}

/* Interpreters that live at home (a virtual environment, pyenv, conda) stay readable: the prefix of each program folder
 * in PATH, but never a home itself, nor ~/.local, where keys are kept too. */
static void keep_interpreters(struct words *w)
{
	char *path = mem_str(getenv("PATH") ? getenv("PATH") : ""), *save = NULL;

	for (char *bin = strtok_r(path, ":", &save); bin; bin = strtok_r(NULL, ":", &save)) {
		char *prefix = path_dir(bin);
		bool at_home = false;

		for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
			size_t n = strlen(hidden[i]);

			at_home = at_home || (strncmp(prefix, hidden[i], n) == 0 && prefix[n] == '/');
		}
		if (at_home && fs_is_dir(bin) && strcmp(path_base(prefix), ".local") != 0 && !is_home(prefix)) {
			MEM_GROW(w->owned, w->n_owned, w->cap_owned);
			w->owned[w->n_owned++] = prefix;
			add(w, "--ro-bind");
			add(w, prefix);
			add(w, prefix);
		} else {
			free(prefix);
		}
	}
	free(path);
}

/* Hides a folder of this machine that may hold secrets; one that is not there need not be hidden. */
static void hide(struct words *w, const char *dir)
{
	if (!dir || dir[0] != '/' || !dir[1] || !fs_is_dir(dir))
		return;
	add(w, "--tmpfs");
	add(w, dir);
}

/* Everything may be read but what assay and git remember (a CI's token stands in .git/config) and what users keep at
 * home; only the checkout may be written. */
static int wrap(const struct run *run, struct words *w, const char *tree)
{
	if (run->questions->sandbox == SANDBOX_EXTERNAL)
		return 0;
	if (run->questions->sandbox == SANDBOX_NONE) {
		err_set(ERR_ENV,
			"finetune.command is a program of the commit, and the target's policy does not allow commands");
		return err_hint(ERR_ENV, "put sandbox: bubblewrap into %s of the target branch", CONFIG_FILE);
	}
	if (!bubblewrap_works()) {
		err_set(ERR_ENV, "the policy wants commands in bubblewrap, which does not work here");
		return err_hint(ERR_ENV,
				"apt-get install bubblewrap and allow user namespaces; or, where the job runs in a "
				"sandbox of its own, sandbox: external");
	}
	add(w, "bwrap");
	add(w, "--unshare-all");
	add(w, "--die-with-parent");
	add(w, "--new-session");
	add(w, "--ro-bind");
	add(w, "/");
	add(w, "/");
	hide(w, getenv("HOME"));
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		hide(w, hidden[i]);
	keep_interpreters(w);
	add(w, "--proc");
	add(w, "/proc");
	add(w, "--dev");
	add(w, "/dev");
	add(w, "--tmpfs");
	add(w, "/tmp");
	hide(w, repo_common_dir(run->repo));
	hide(w, store_home(run->home->store));
	add(w, "--bind");
	add(w, tree);
	add(w, "/tmp/work");
	add(w, "--chdir");
	add(w, "/tmp/work");
	add(w, "--");
	return 0;
}

static int failed(const struct tail *t, const struct proc *p)
{
	struct buf text = BUF_INIT(1 << 16);
	size_t first = t->n > 5 ? t->n - 5 : 0;
	int rc;

	for (size_t i = first; i < t->n; i++)
		buf_addf(&text, "\n  | %.300s", t->lines[i % LOG_LINES]);
	rc = err_set(ERR_INPUT, "finetune.command %s ended with exit code %d%s", p->argv[0], p->status, buf_str(&text));
	buf_release(&text);
	return err_hint(rc, "its last lines are above; run it by hand in a checkout of the commit");
}

/* Which variables the command may see is the policy's to say: a commit could name the forge's tokens. */
static bool may_see(const struct run *run, const char *name)
{
	const struct texts *allowed = &run->questions->finetune.env;

	for (size_t i = 0; i < allowed->n; i++)
		if (strcmp(allowed->items[i], name) == 0)
			return true;
	return false;
}

static int run_command(struct run *run, const char *tree)
{
	const struct config_finetune *f = &run->product->finetune;
	struct words argv = { 0 }, keep = { 0 };
	char *commit = mem_printf("ASSAY_COMMIT=%s", run->commit.oid);
	char *replicate = mem_printf("ASSAY_REPLICATE=%lld", (long long)run->options->replicate);
	const char *env[] = { "HOME=/tmp", commit, replicate, NULL };
	struct tail tail = { { NULL }, 0 };
	struct proc p = { .dir = tree,
			  .line = on_line,
			  .line_arg = &tail,
			  .env = env,
			  .timeout_s = f->timeout_s,
			  .stop = run_stop_flag() };
	int rc = wrap(run, &argv, tree);
	size_t prefix = argv.n;

	for (size_t i = 0; i < f->command.n; i++)
		add(&argv, f->command.items[i]);
	add(&argv, NULL);
	add(&keep, "PATH");
	add(&keep, "LANG");
	for (size_t i = 0; i < f->env.n; i++) {
		if (may_see(run, f->env.items[i]))
			add(&keep, f->env.items[i]);
		else
			run_note(run,
				 "finetune.env: %s is not handed to the command: %s of the target does not list it",
				 f->env.items[i], CONFIG_FILE);
	}
	add(&keep, NULL);
	p.argv = argv.items;
	p.env_keep = keep.items;
	if (rc == 0) {
		log_info("running %s", f->command.items[0]);
		rc = proc_run(&p);
		if (rc == ERR_UNAVAILABLE)
			err_context(rc, "finetune.command");
	}
	if (rc == 0 && p.status != 0) {
		p.argv = argv.items + prefix;
		rc = failed(&tail, &p);
	}
	for (size_t i = 0; i < LOG_LINES; i++)
		free(tail.lines[i]);
	words_release(&argv);
	words_release(&keep);
	free(replicate);
	free(commit);
	return rc;
}

/* What the command left must be a model; whether its numbers are sound, loading it tells (evaluate.c). */
static int check_output(const char *dir, const char *output)
{
	static const char *const needed[] = { "config.json", "tokenizer.json" };
	char *adapter = path_join(dir, "adapter_config.json");
	int rc = 0;

	if (!fs_is_dir(dir)) {
		err_set(ERR_INPUT, "finetune.command wrote no folder %s", output);
		rc = err_hint(
			ERR_INPUT,
			"it must leave a Hugging Face folder there: output names it, relative to the commit's root");
	} else if (fs_exists(adapter)) {
		rc = err_set(ERR_INPUT, "%s holds an adapter: adapters are not loaded yet, merge it into the base",
			     output);
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(needed); i++) {
		char *file = path_join(dir, needed[i]);

		if (!fs_exists(file)) {
			rc = err_set(ERR_INPUT, "finetune.command left no %s in %s", needed[i], output);
			err_hint(rc, "save model and tokenizer there with save_pretrained()");
		}
		free(file);
	}
	free(adapter);
	return rc;
}

struct copy {
	const char *from, *to;
};

static int copy_entry(const char *name, void *arg)
{
	const struct copy *c = arg;
	char *from = path_join(c->from, name), *to = path_join(c->to, name);
	struct stat st;
	int rc = 0;

	if (stat(from, &st) < 0) {
		rc = err_set(ERR_INPUT, "finetune.output: %s is a link to nothing", name);
	} else if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) { /* a pipe would be waited for */
		rc = err_set(ERR_INPUT, "finetune.output: %s is not a regular file", name);
	} else if (S_ISDIR(st.st_mode)) {
		struct copy sub = { from, to };

		rc = fs_mkdirs(to);
		if (rc == 0)
			rc = fs_list(from, copy_entry, &sub);
	} else {
		rc = fs_copy(from, to);
	}
	free(from);
	free(to);
	return rc;
}

int trainer_command(struct run *run, const char *work, const char *out)
{
	char *tree = path_join(work, "tree"), *output = NULL, *dir = NULL;
	double start = clock_seconds();
	int rc = path_check(&output, run->product->finetune.output);

	if (rc)
		err_context(rc, "finetune.output");
	if (rc == 0 && run->options->dirty)
		rc = err_set(ERR_USAGE, "finetune.command runs in a checkout of a commit: not with --dirty");
	if (rc == 0)
		rc = fs_remove_tree(tree);
	if (rc == 0)
		rc = checkout_write(run->repo, run->commit.oid, tree);
	if (rc == 0)
		rc = run_command(run, tree);
	if (rc == 0) {
		struct copy c = { dir = path_join(tree, output), out };

		rc = check_output(dir, output);
		if (rc == 0) /* the output itself may be a link by now, which nobody outside the sandbox must follow */
			rc = checkout_check_inside(tree, dir);
		if (rc == 0)
			rc = checkout_check_links(dir);
		if (rc == 0)
			rc = fs_list(dir, copy_entry, &c);
	}
	if (rc == 0)
		run->training = json_pack("{s:s,s:I,s:I,s:n,s:n,s:f,s:[]}", "method", "command", "steps", (json_int_t)0,
					  "tokens", (json_int_t)0, "first_loss", "last_loss", "seconds",
					  clock_seconds() - start, "curve");
	free(dir);
	free(output);
	free(tree);
	return rc;
}
