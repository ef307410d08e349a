/* skip.c: pushes that somebody sent past the gate, and said so.
 *
 * ASSAY_SKIP=why git push is let through by the pre-push hook at once; what it leaves is a line in $ASSAY_HOME/skipped.jsonl,
 * which `assay status` shows beside the branch. It is no run: nothing was judged, and no alias moves by it. A line is
 * written by one call at the end of the file, so that pushes at the same time keep theirs. */
#include "base/base.h"
#include "runner/skip.h"

#include <fcntl.h>
#include <unistd.h>

#define FILE_MAX ((size_t)64 << 20)

static char *skip_path(struct home *h)
{
	return path_join(store_home(h->store), "skipped.jsonl");
}

int skip_note(struct home *h, const char *commit, const char *remote, const char *ref, const char *reason)
{
	struct buf line = BUF_INIT(1 << 16);
	char *path = skip_path(h), time[21];
	const char *actor = home_actor();
	json_t *note;
	int rc = 0, fd;

	clock_iso(time, clock_unix_ns());
	note = json_pack("{s:s,s:o,s:o,s:o,s:o,s:s}", "commit", commit, "remote", json_new_text(remote, strlen(remote)),
			 "ref", json_new_text(ref, strlen(ref)), "reason", json_new_text(reason, strnlen(reason, 1000)),
			 "actor", json_new_text(actor, strlen(actor)), "time", time);
	json_add(&line, note);
	buf_addc(&line, '\n');
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line.data, line.len) != (ssize_t)line.len || fsync(fd) != 0)
		rc = fs_failed(ERR_IO, path, 0, "%s", path);
	if (fd >= 0)
		close(fd);
	json_decref(note);
	buf_release(&line);
	free(path);
	return rc;
}

/* Each commit's last note, in the order of those. */
int skip_list(json_t **out, struct home *h, size_t n)
{
	struct buf text = BUF_INIT(FILE_MAX);
	char *path = skip_path(h), *save = NULL;
	json_t *by_commit = json_object(), *note;
	const char *commit;
	int rc = fs_read(&text, path, FILE_MAX);

	*out = json_array();
	for (char *line = rc ? NULL : strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (json_parse(&note, line, strlen(line), path) == 0) {
			commit = json_get_text(note, "commit", "");
			json_object_del(by_commit, commit);
			json_object_set(by_commit, commit, note);
			json_decref(note);
		}
	}
	err_clear(); /* a line that a full disk cut short says nothing */
	json_object_foreach(by_commit, commit, note) json_array_append(*out, note);
	while (json_array_size(*out) > n)
		json_array_remove(*out, 0);
	json_decref(by_commit);
	buf_release(&text);
	free(path);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

int skip_find(json_t **out, struct home *h, const char *commit)
{
	json_t *all = NULL, *note;
	size_t i;
	int rc = skip_list(&all, h, SIZE_MAX);

	*out = NULL;
	json_array_foreach(all, i, note) if (strcmp(json_get_text(note, "commit", ""), commit) == 0)
	{
		json_decref(*out);
		*out = json_incref(note);
	}
	json_decref(all);
	return *out ? 0 : rc ? rc : ERR_NOTFOUND;
}
