/* trainer_command.c: a team's own trainer: `finetune: {command: […], inputs: […], output: out/}`.
 *
 * The command comes from a pushed commit, so it runs only where the target's policy allows commands, in a private
 * checkout, without the secrets of this process (only PATH, LANG and the names under env: are handed on), without
 * network, and with nothing writable but its own work tree and a private /tmp: bubblewrap, or Landlock and seccomp where that does
 * not work. `sandbox: external` in the policy says that this whole job already runs in one. Its declared inputs are the key of the result (step_plan.c), and so is
 * the base, whose folder ASSAY_BASE names: the commit's own, in the checkout; a stored version or a model of the hub's cache,
 * which lie where the command must not look, as a copy beside it. Its output is a Hugging Face folder. */
#include "base/base.h"
#include "runner/checkout.h"
#include "runner/runner.h"
#include "runner/sandbox.h"
#include "runner/score_host.h"

#include <sys/stat.h>

static int failed(const struct tail *t, const struct proc *p)
{
	int rc = command_failed(t, p, "finetune.command");

	return rc == ERR_UNAVAILABLE
		       ? rc
		       : err_hint(rc, "its last lines are above; run it by hand in a checkout of the commit");
}

/* Which variables the command may see is the policy's to say: a commit could name the forge's tokens. */
static bool may_see(const struct run *run, const char *name)
{
	const struct texts *allowed = &run->questions->finetune.env;

	if (!run_is_vouched(run))
		return false;
	for (size_t i = 0; i < allowed->n; i++)
		if (strcmp(allowed->items[i], name) == 0)
			return true;
	return false;
}

/* The base as a folder, where the checkout does not have it: *out (yours); NULL where it has, or where there is none. */
static int put_base(char **out, struct run *run, const char *work)
{
	char *dir;
	int rc;

	*out = NULL;
	if (!*run->base_object && !run->hub.name)
		return 0;
	dir = path_join(work, "base");
	rc = fs_remove_tree(dir);
	if (rc == 0 && *run->base_object)
		(void)store_need(run->home->store, run->base_object);
	if (rc == 0)
		rc = *run->base_object ? home_no_weights(store_get_tree(run->home->store, run->base_object, dir),
							 run->base_object)
				       : hub_model_export(&run->hub, dir);
	if (rc == 0)
		*out = dir;
	else
		free(dir);
	return rc;
}

/* What the command calls its base: "ASSAY_BASE=…", yours. It is empty where the weights are fresh. */
static char *base_variable(const struct run *run, const struct sandbox *sandbox, const char *tree, const char *base)
{
	const struct config_base *b = &run->product->base;
	bool wrapped = sandbox_renames(sandbox);

	if (base)
		return mem_printf("ASSAY_BASE=%s", wrapped ? SANDBOX_BASE : base);
	if (b->kind != BASE_FOLDER)
		return mem_str("ASSAY_BASE=");
	return mem_printf("ASSAY_BASE=%s/%s", wrapped ? SANDBOX_TREE : tree, b->text);
}

static int run_command(struct run *run, const char *tree, const char *base)
{
	const struct config_finetune *f = &run->product->finetune;
	struct words argv = { 0 }, keep = { 0 };
	char *commit = mem_printf("ASSAY_COMMIT=%s", run->commit.oid);
	char *replicate = mem_printf("ASSAY_REPLICATE=%lld", (long long)run->options->replicate);
	struct sandbox sandbox = run_sandbox(run);
	char *model = base_variable(run, &sandbox, tree, base);
	const char *env[] = { "HOME=/tmp", commit, replicate, model, NULL };
	struct tail tail = { 0 };
	struct proc p = { .dir = tree,
			  .line = tail_line,
			  .line_arg = &tail,
			  .env = env,
			  .timeout_s = f->timeout_s,
			  .stop = run_stop_flag() };
	int rc = sandbox_check(&sandbox, "finetune.command is a program of the commit");
	size_t prefix;

	sandbox.base = base;
	p.keeper = sandbox_wrap(&sandbox, &argv, tree);
	prefix = argv.n;
	for (size_t i = 0; i < f->command.n; i++)
		argv_add(&argv, f->command.items[i]);
	argv_add(&argv, NULL);
	argv_add(&keep, "PATH");
	argv_add(&keep, "LANG");
	for (size_t i = 0; i < f->env.n; i++) {
		if (may_see(run, f->env.items[i]))
			argv_add(&keep, f->env.items[i]);
		else
			run_note(run,
				 "finetune.env: %s is not handed to the command: %s of the target does not list it",
				 f->env.items[i], CONFIG_FILE);
	}
	argv_add(&keep, NULL);
	p.argv = argv.items;
	p.name = f->command.items[0];
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
	tail_release(&tail);
	argv_release(&argv);
	argv_release(&keep);
	free(replicate);
	free(commit);
	free(model);
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
	char *tree = path_join(work, "tree"), *output = NULL, *dir = NULL, *base = NULL;
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
		rc = put_base(&base, run, work);
	if (rc == 0)
		rc = run_command(run, tree, base);
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
	free(base);
	free(dir);
	free(output);
	free(tree);
	return rc;
}
