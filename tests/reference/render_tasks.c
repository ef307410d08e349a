/* render_tasks.c: task files as the requests that they make, for check_tasks.py.
 *
 *	render_tasks TASK_FOLDER < jobs.jsonl
 *
 * A job is {"suite", "files": {path: text}, "datasets": {hub name: folder}}: files that are not among "files" come from
 * the folder of task files. One line comes back for each: {"error"}, or {"tasks": [{"task", "docs": [{"contexts",
 * "continuations", "choices", "gold", "targets"}]}]}. Not a part of the product: it needs no model. */
#include "base/base.h"

#include "evals/evals_int.h"

struct world {
	const char *folder;
	const json_t *files;
};

static int world_read(void *self, const char *path, struct buf *out)
{
	const struct world *w = self;
	const char *text = json_string_value(json_object_get(w->files, path));
	char *full;
	int rc;

	if (text) {
		buf_adds(out, text);
		return 0;
	}
	full = mem_printf("%s/%s", w->folder, path);
	rc = fs_is_dir(full) ? err_set(ERR_NOTFOUND, "%s is a folder", path) : fs_read(out, full, (size_t)64 << 20);
	free(full);
	return rc;
}

static int world_list(void *self, const char *folder, int (*each)(const char *path, void *arg), void *arg)
{
	const struct world *w = self;
	size_t len = strlen(folder);
	const char *path;
	json_t *text;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)w->files, path, text)
	{
		if (!rc && strncmp(path, folder, len) == 0 && path[len] == '/')
			rc = each(path, arg);
	}
	return rc;
}

static json_t *texts_json(char *const *texts, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; texts && i < n; i++)
		json_array_append_new(list, json_new_text(texts[i], strlen(texts[i])));
	return list;
}

static json_t *instance_json(const struct instance *in)
{
	json_t *gold = json_array(), *contexts = json_array();

	for (size_t i = 0; i < in->n_prompts; i++)
		json_array_append_new(contexts, json_new_text(in->prompts[i].text, strlen(in->prompts[i].text)));
	for (size_t i = 0; i < in->n_gold; i++)
		json_array_append_new(gold, json_integer(in->gold[i] < 0 ? -1 : in->gold[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "contexts", contexts, "continuations",
			 texts_json(in->continuations, in->n_choices), "choices",
			 texts_json(in->choices, in->n_choices), "gold", gold, "targets",
			 texts_json(in->targets, in->n_targets));
}

static int task_json(json_t **out, const struct task *t)
{
	json_t *docs = json_array();
	int rc = 0;

	for (size_t i = 0; i < t->eval.n && !rc; i++) {
		struct instance in;

		rc = instance_build(&in, t, &t->eval.docs[i]);
		if (rc)
			break;
		json_array_append_new(docs, instance_json(&in));
		instance_release(&in);
	}
	*out = json_pack("{s:s, s:o}", "task", t->name, "docs", docs);
	return rc;
}

static int job(json_t *job, size_t line, void *arg)
{
	struct world w = { arg, json_object_get(job, "files") };
	const struct eval_files files = {
		.self = &w, .read = world_read, .list = world_list, .datasets = json_object_get(job, "datasets")
	};
	struct suite *s = NULL;
	json_t *tasks = json_array(), *task, *answer;
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	int rc = suite_load(&s, json_get_text(job, "suite", ""), &files);

	(void)line;
	for (size_t i = 0; s && i < suite_tasks(s) && !rc; i++) {
		rc = task_json(&task, suite_task(s, i));
		json_array_append_new(tasks, task);
	}
	answer = rc ? json_pack("{s:s}", "error", err_text()) : json_pack("{s:O}", "tasks", tasks);
	json_add(&out, answer);
	buf_addc(&out, '\n');
	fwrite(out.data, 1, out.len, stdout);
	buf_release(&out);
	json_decref(answer);
	json_decref(tasks);
	suite_free(s);
	return 0;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t cap = 0, n = 0;
	ssize_t len;

	if (argc != 2) {
		fprintf(stderr, "usage: render_tasks TASK_FOLDER < jobs.jsonl\n");
		return 64;
	}
	log_set_level(LOG_QUIET);
	while ((len = getline(&line, &cap, stdin)) > 0)
		if (json_lines(line, (size_t)len, "jobs", job, argv[1])) {
			fprintf(stderr, "job %zu: %s\n", n, err_text());
			return 65;
		} else {
			n++;
		}
	free(line);
	return 0;
}
