/* trainer_text.c: the plain text inside training data, for the tokenizer's trainer. */
#include "base/base.h"
#include "base/rows.h"
#include "runner/data_file.h"
#include "runner/trainer.h"

static void add_text(struct buf *out, const json_t *value)
{
	if (json_is_string(value)) {
		buf_add(out, json_string_value(value), json_string_length(value));
		buf_addc(out, '\n');
	}
}

static int add_line(json_t *value, size_t line, void *arg)
{
	static const char *const keys[] = { "text", "prompt", "completion", "chosen", "rejected" };
	json_t *messages = json_object_get(value, "messages"), *m;
	size_t i;

	(void)line;
	for (i = 0; i < ARRAY_LEN(keys); i++)
		add_text(arg, json_object_get(value, keys[i]));
	json_array_foreach(messages, i, m) add_text(arg, json_object_get(m, "content"));
	return 0;
}

int trainer_plain_rows(const char *text, size_t len, const char *name, struct buf *out)
{
	int rc = rows_each(text, len, name, NULL, add_line, out);

	return rc == 0 && buf_full(out) ? err_set(ERR_INPUT, "%s is too large to learn a tokenizer from", name) : rc;
}

int trainer_plain_text(struct tree *t, const char *path, struct buf *out)
{
	struct buf raw = BUF_INIT(out->max);
	int rc = data_file_read(t, path, &raw);

	if (rc == 0 && rows_known(buf_str(&raw), raw.len, path))
		rc = trainer_plain_rows(buf_str(&raw), raw.len, path, out);
	else if (rc == 0)
		buf_add(out, buf_str(&raw), raw.len);
	buf_release(&raw);
	return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "%s: base.init.tokenizer: %s", CONFIG_FILE, err_text()) : rc;
}
