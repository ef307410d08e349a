/* eval_keep.c: samples as they come, appended to a file by the block.
 *
 *	{"assay-keep":1,"key":HEX}\n
 *	{"bytes":…,"packed":…,"task":…,"digest":…,"n":…}\n and a zstd frame of the samples' lines; again and again
 *
 * What a killed process wrote last may be torn: a frame has a checksum, and what does not unpack is cut off with all that
 * is behind it. Nothing is synced: a power cut costs time only. The key names model, questions and all else that can change
 * a score, so what is there is what would be computed again. One process at a time: a second one keeps nothing. */
#include "runner/eval_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "runner/runner.h"

#define KEEP_MAX ((size_t)1 << 34)
#define FRAME_MAX ((int64_t)1 << 30)

struct frame {
	json_t *head;
	char *text;
	size_t len;
};
struct keep {
	struct eval_keep calls;
	char *path;
	int fd;
	struct frame *frames; /* of an earlier process */
	size_t n, cap, restored;
};

/* ---- what is there ------------------------------------------------------------------------------------------------ */

/* A line of JSON at *at; NULL: there is none. */
static json_t *read_line(const struct buf *b, size_t *at)
{
	const char *from = b->data + *at, *nl = b->len > *at ? memchr(from, '\n', b->len - *at) : NULL;
	json_t *v = NULL;

	if (!nl || json_parse(&v, from, (size_t)(nl - from), "kept samples")) {
		err_clear();
		return NULL;
	}
	*at = (size_t)(nl - b->data) + 1;
	return v;
}

/* False: nothing whole begins at *at. */
static bool read_frame(struct keep *k, const struct buf *b, size_t *at)
{
	size_t from = *at;
	json_t *head = read_line(b, &from);
	int64_t bytes = json_get_int(head, "bytes", -1), packed = json_get_int(head, "packed", -1);
	char *text = NULL;

	if (bytes >= 0 && bytes <= FRAME_MAX && packed > 0 && (uint64_t)packed <= b->len - from)
		text = mem_alloc((size_t)bytes + 1);
	if (!text ||
	    codec_unpack(CODEC_ZSTD, (const uint8_t *)b->data + from, (size_t)packed, (uint8_t *)text, (size_t)bytes)) {
		err_clear();
		json_decref(head);
		free(text);
		return false;
	}
	MEM_GROW(k->frames, k->n, k->cap);
	k->frames[k->n++] = (struct frame){ head, text, (size_t)bytes };
	*at = from + (size_t)packed;
	return true;
}

static int write_all(const struct keep *k, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(k->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fs_failed(ERR_IO, k->path, len, "%s", k->path);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static char *head_line(const char *key)
{
	return mem_printf("{\"assay-keep\":1,\"key\":\"%s\"}\n", key);
}

/* New, or torn in its first line: nothing is taken over that somebody else may have written. */
static bool is_torn_head(const struct buf *text, const char *key)
{
	char *line = head_line(key);
	bool torn = text->len < strlen(line) && memcmp(line, buf_str(text), text->len) == 0;

	free(line);
	return torn;
}

static int begin_file(struct keep *k, const char *key)
{
	char *line = head_line(key);
	int rc = ftruncate(k->fd, 0) ? err_errno(ERR_IO, "%s", k->path) : write_all(k, line, strlen(line));

	free(line);
	return rc;
}

static int read_file(struct keep *k, const char *key)
{
	struct buf text = BUF_INIT(KEEP_MAX);
	size_t at = 0;
	json_t *first;
	int rc = fs_read(&text, k->path, KEEP_MAX);

	first = rc ? NULL : read_line(&text, &at);
	if (!rc && !first && !is_torn_head(&text, key)) {
		rc = err_set(ERR_CONFLICT, "%s is no file of kept samples", k->path);
	} else if (!rc && !first) {
		rc = begin_file(k, key);
	} else if (!rc &&
		   (json_get_int(first, "assay-keep", 0) != 1 || strcmp(json_get_text(first, "key", ""), key) != 0)) {
		rc = err_set(ERR_CONFLICT, "%s keeps samples of another model, suite, shard or limit", k->path);
	} else if (!rc) {
		while (read_frame(k, &text, &at))
			;
		if (at < text.len && ftruncate(k->fd, (off_t)at))
			rc = err_errno(ERR_IO, "%s", k->path);
	}
	json_decref(first);
	buf_release(&text);
	return rc;
}

/* ---- the calls ---------------------------------------------------------------------------------------------------- */

static int keep_restore(void *self, struct task_result *r, bool *have)
{
	struct keep *k = self;
	size_t before = k->restored;
	int rc = 0;

	for (size_t i = 0; i < k->n && !rc; i++) {
		const json_t *head = k->frames[i].head;

		if (strcmp(json_get_text(head, "task", ""), r->task) == 0 &&
		    strcmp(json_get_text(head, "digest", ""), r->digest) == 0 &&
		    json_get_int(head, "n", -1) == (int64_t)r->n)
			rc = task_samples_restore(r, have, k->frames[i].text, k->frames[i].len, k->path);
	}
	for (size_t i = 0; i < r->n && !rc; i++)
		k->restored += have[i];
	if (k->restored > before)
		log_info("task %s: %zu of %zu samples are there from before", r->task, k->restored - before, r->n);
	return rc;
}

static int keep_add(void *self, const struct task_result *r, const size_t *slots, size_t n)
{
	struct keep *k = self;
	struct buf text = BUF_INIT(BUF_NOLIMIT), frame = BUF_INIT(BUF_NOLIMIT), all = BUF_INIT(BUF_NOLIMIT);
	json_t *head;
	int rc;

	task_samples_write(r, slots, n, &text);
	codec_pack(&frame, buf_str(&text), text.len);
	head = json_pack("{s:I,s:I,s:s,s:s,s:I}", "bytes", (json_int_t)text.len, "packed", (json_int_t)frame.len,
			 "task", r->task, "digest", r->digest, "n", (json_int_t)r->n);
	json_add(&all, head);
	buf_addc(&all, '\n');
	buf_add(&all, frame.data, frame.len);
	rc = write_all(k, all.data, all.len);
	json_decref(head);
	buf_release(&all);
	buf_release(&frame);
	buf_release(&text);
	if (!rc && *run_stop_flag())
		rc = err_hint(err_set(ERR_INTERRUPTED, "stopped in task %s; the samples that came are kept", r->task),
			      "run it again to go on");
	return rc;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int keep_open(struct keep **out, const char *path, const char *key)
{
	struct keep *k = mem_alloc(sizeof(*k));
	char *dir = path_dir(path);
	int rc = *dir ? fs_mkdirs(dir) : 0;
	struct stat st;

	free(dir);
	*out = NULL;
	*k = (struct keep){ .calls = { k, keep_restore, keep_add }, .path = mem_str(path), .fd = -1 };
	if (rc == 0) {
		k->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (k->fd < 0)
			rc = err_errno(ERR_IO, "%s", path);
		else if (fstat(k->fd, &st) || !S_ISREG(st.st_mode)) /* a pipe would be waited for */
			rc = err_set(ERR_INPUT, "%s is no regular file", path);
	}
	if (rc == 0 && flock(k->fd, LOCK_EX | LOCK_NB)) {
		log_warn("another process is evaluating the same: this one keeps no samples on its way");
		keep_close(k, false);
		return 0;
	}
	rc = rc ? rc : read_file(k, key);
	if (rc)
		keep_close(k, false);
	else
		*out = k;
	return rc;
}

const struct eval_keep *keep_for(struct keep *k)
{
	return k ? &k->calls : NULL;
}

size_t keep_restored(const struct keep *k)
{
	return k ? k->restored : 0;
}

void keep_close(struct keep *k, bool done)
{
	if (!k)
		return;
	if (done && k->fd >= 0)
		fs_remove(k->path);
	if (k->fd >= 0)
		close(k->fd);
	for (size_t i = 0; i < k->n; i++) {
		json_decref(k->frames[i].head);
		free(k->frames[i].text);
	}
	free(k->frames);
	free(k->path);
	free(k);
}
