/* harness_folder.c: where evals/harness_write.c writes to. The results come last: without them no reader sees the samples
 * of a write that was cut short. */
#include "runner/harness_folder.h"

static int write_file(void *self, const char *path, const struct buf *text)
{
	char *whole = path_join(self, path);
	int rc = fs_write(whole, text->data, text->len);

	free(whole);
	return rc;
}

int harness_folder_write(const char *dir, const char *model, const struct task_result *tasks, size_t n)
{
	const struct harness_target to = {
		.self = (void *)(uintptr_t)dir, .write = write_file, .model = model, .unix_ns = clock_unix_ns()
	};
	int rc = harness_write(&to, tasks, n);

	return rc ? err_context(rc, "--harness %s", dir) : 0;
}
