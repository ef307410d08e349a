/* samples_store.c: from an object's name to samples. The file is mapped, not read: what nobody asks for costs nothing. Where a
 * verdict rests on the numbers, the bytes are first compared with their name. */
#include "runner/samples_store.h"

#include "base/digest.h"

#define SAMPLES_MAX ((size_t)1 << 36)

static void unmap(void *self)
{
	fs_map_close(self);
	free(self);
}

static bool is_whole(const struct fs_map *map, const char *object)
{
	struct digest d = digest_bytes(map->data, map->len);
	char hex[DIGEST_HEX];

	digest_hex(hex, &d);
	return strcmp(hex, object) == 0;
}

/* The store's own word on a damaged object: it moves it aside. What was said of the block stays in front. */
static int tell_store(struct store *s, const char *object, int rc)
{
	struct err_saved saved = err_save();
	struct buf text = BUF_INIT(SAMPLES_MAX);
	int found = store_get(s, object, &text, SAMPLES_MAX);

	buf_release(&text);
	err_restore(&saved);
	return found ? found == ERR_NOTFOUND ? rc : ERR_IO : rc;
}

/* The file may go as soon as it is mapped. */
static int map_object(struct fs_map *map, struct store *s, const char *object)
{
	struct store_view view;
	int rc = store_view_open(&view, s, object);

	if (rc == 0) {
		rc = fs_map_open(map, view.path);
		store_view_close(&view);
	}
	return rc;
}

int samples_open(struct task_result *out, struct store *s, const char *object, bool whole)
{
	struct fs_map *map = mem_alloc(sizeof(*map));
	struct digest check;
	int rc = digest_parse(&check, object);

	*out = (struct task_result){ 0 };
	if (!rc)
		(void)store_need(s, object);
	rc = rc ? rc : map_object(map, s, object);
	if (rc || (whole && !is_whole(map, object))) { /* absent or damaged: the store says it */
		struct buf text = BUF_INIT(SAMPLES_MAX);
		int found = store_get(s, object, &text, SAMPLES_MAX);

		buf_release(&text);
		if (!rc)
			fs_map_close(map);
		free(map);
		return found ? found : err_set(ERR_IO, "object %.12s could not be mapped", object);
	}
	rc = task_result_open(out, (struct samples_bytes){ map->data, map->len, unmap, map }, object);
	return rc == ERR_IO ? tell_store(s, object, rc) : rc;
}

int samples_times_put(json_t *row, const struct task_result *t, struct store *s)
{
	double seconds = task_result_seconds(t);
	struct buf bytes = BUF_INIT(SAMPLES_MAX);
	char hex[DIGEST_HEX];
	int rc;

	if (!(seconds > 0))
		return 0;
	task_times_pack(t, &bytes);
	rc = store_put(s, buf_str(&bytes), bytes.len, hex);
	buf_release(&bytes);
	if (rc)
		return rc;
	json_object_set_new(row, "seconds", json_real(seconds));
	json_object_set_new(row, "times", json_string(hex));
	return 0;
}

void samples_times_get(struct task_result *t, struct store *s, const json_t *row)
{
	const char *object = json_get_text(row, "times", NULL);
	struct buf bytes = BUF_INIT(SAMPLES_MAX);
	struct digest check;

	if (object && digest_parse(&check, object) == 0 && store_need(s, object) &&
	    store_get(s, object, &bytes, SAMPLES_MAX) == 0)
		(void)task_times_read(t, buf_str(&bytes), bytes.len, object);
	err_clear();
	buf_release(&bytes);
}
