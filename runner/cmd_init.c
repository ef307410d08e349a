/* cmd_init.c: `assay init`: a scaffold that runs: assay.yaml, one suite with its task and samples, and the CI file of
 * the forge it finds. Nothing that exists is overwritten. */
#include "base/base.h"
#include "ci/ci.h"
#include "evals/evals.h"
#include "runner/cmd.h"

#include <ctype.h>

static const char config_text[] =
	"# assay.yaml: versioned with the code it judges. `assay plan` says what a run would do.\n"
	"model: %s\n"
	"base:                          # or a Hugging Face folder in the commit, or %s@production\n"
	"  init:\n"
	"    hidden_size: 64\n"
	"    layers: 2\n"
	"    heads: 4\n"
	"    context: 64\n"
	"    tokenizer: {train: [data/train.jsonl], vocab_size: 300}\n"
	"finetune:\n"
	"  data: data/train.jsonl       # {\"text\"} or {\"prompt\",\"completion\"}, one object a line\n"
	"  max_steps: 150\n"
	"  batch_tokens: 1024\n"
	"  learning_rate: 3e-3\n"
	"  seed: 1234\n"
	"suites: [evals/clock.yaml]\n"
	"gate:\n"
	"  baseline: production         # what a PASS on the branch below moves\n"
	"  require:\n"
	"    # %d samples: an unchanged model, of which 5 %% of the answers flip by chance, passes this drop in 19 of "
	"20 runs\n"
	"    clock.exact_match: {min: 0.90, max_drop: %g}\n"
	"promote: {%s: production}\n";

static const char suite_text[] = "# A task in lm-evaluation-harness keys (docs/evals.md).\n"
				 "suite: clock\n"
				 "tasks:\n"
				 "  - task: clock\n"
				 "    dataset_path: json\n"
				 "    dataset_kwargs: {data_files: {test: clock.jsonl}}\n"
				 "    test_split: test\n"
				 "    output_type: generate_until\n"
				 "    doc_to_text: \"{{prompt}}\"\n"
				 "    doc_to_target: \"{{completion}}\"\n"
				 "    target_delimiter: \"\"\n"
				 "    generation_kwargs: {until: [\"\\n\"], max_gen_toks: 16}\n"
				 "    metric_list: [{metric: exact_match}]\n";

/* The twelve-hour clock to the twenty-four-hour one: every minute of a day, one in twenty-four held out. */
static size_t add_samples(struct buf *train, struct buf *test)
{
	size_t held_out = 0;

	for (int minute = 0; minute < 24 * 60; minute++) {
		int h = minute / 60, m = minute % 60, h12 = h % 12 ? h % 12 : 12;
		const char *half = h < 12 ? "am" : "pm";

		bool held = (h12 * 7 + m * 13 + (h >= 12) * 5) % 24 == 0;

		held_out += held;
		buf_addf(held ? test : train,
			 "{\"id\":\"%02d%02d\",\"prompt\":\"%d:%02d %s =\",\"completion\":\" %02d:%02d\"}\n", h, m, h12,
			 m, half, h, m);
	}
	return held_out;
}

static int write_new(const char *root, const char *path, const char *text, size_t len)
{
	char *full = path_join(root, path);
	int rc = 0;

	if (fs_exists(full)) {
		printf("  kept     %s\n", path);
	} else {
		rc = fs_write(full, text, len);
		if (rc == 0)
			printf("  written  %s\n", path);
	}
	free(full);
	return rc;
}

static char *model_name(const char *root)
{
	char *path = mem_strn(root, strlen(root)), *name;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = 0;
	name = mem_str(path_base(path));
	free(path);
	for (char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			*c = '-';
	if (!isalnum((unsigned char)*name)) {
		free(name);
		name = mem_str("model");
	}
	return name;
}

static const char *forge_of(const char *root, const char *asked)
{
	struct buf text = BUF_INIT(1 << 16);
	struct proc p = { .argv = (const char *[]){ "git", "-C", root, "remote", "-v", NULL },
			  .out = &text,
			  .err = &text };
	const char *forge = NULL;

	if (asked)
		return asked;
	if (proc_run(&p) == 0 && strstr(buf_str(&text), "gitlab"))
		forge = "gitlab";
	else if (strstr(buf_str(&text), "github"))
		forge = "github";
	buf_release(&text);
	err_clear();
	return forge;
}

static int write_all(const char *root, const char *branch, const char *forge)
{
	struct buf train = BUF_INIT(1 << 20), test = BUF_INIT(1 << 20);
	char *name = model_name(root), *config;
	const char *path = NULL, *template = forge ? ci_template(forge, &path) : NULL;
	size_t samples;
	int rc;

	samples = add_samples(&train, &test);
	config = mem_printf(config_text, name, name, (int)samples, gate_propose_drop(samples, 0.05, false, 0.95),
			    branch);
	rc = write_new(root, "assay.yaml", config, strlen(config));
	if (rc == 0)
		rc = write_new(root, "evals/clock.yaml", suite_text, sizeof(suite_text) - 1);
	if (rc == 0)
		rc = write_new(root, "evals/clock.jsonl", test.data, test.len);
	if (rc == 0)
		rc = write_new(root, "data/train.jsonl", train.data, train.len);
	if (rc == 0 && template)
		rc = write_new(root, path, template, strlen(template));
	if (rc == 0)
		printf("\nnext: git add -A && git commit -m \"assay: first configuration\"\n"
		       "      assay plan, then assay run\n");
	buf_release(&train);
	buf_release(&test);
	free(config);
	free(name);
	return rc;
}

int cmd_init(int argc, char **argv)
{
	const char *forge = NULL;
	struct repo *repo = NULL;
	char *branch = NULL;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "forge", &forge, "NAME", "github or gitlab (default: by the remote's URL)"),
		OPT_END,
	};
	const struct opt_usage usage = { "init",
					 "",
					 "write assay.yaml, a suite and the CI file of the forge it finds",
					 "The scaffold is a small model that learns to read the clock: it runs as it "
					 "is, in some seconds, to be\n"
					 "replaced piece by piece.\n"
					 "Nothing that exists is overwritten.",
					 0,
					 0 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (forge && strcmp(forge, "github") && strcmp(forge, "gitlab"))
		return err_set(ERR_USAGE, "--forge: github or gitlab");
	rc = repo_open(&repo, ".");
	if (rc == 0 && !repo_work_dir(repo))
		rc = err_set(ERR_INPUT, "a bare repository has no work tree to write to");
	if (rc == 0 && repo_head_branch(repo, &branch) != 0)
		branch = mem_str("main");
	if (rc == 0)
		rc = write_all(repo_work_dir(repo), branch, forge_of(repo_work_dir(repo), forge));
	free(branch);
	repo_close(repo);
	return rc;
}
