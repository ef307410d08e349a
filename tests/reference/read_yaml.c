/* read_yaml.c: YAML texts as the JSON values that base/yaml.c makes of them, for check_yaml.py.
 *
 *	read_yaml < texts.jsonl
 *
 * A line is {"text", "python": true for yaml_parse_python()}; back comes {"value"} or {"error"}. Not a part of the
 * product. */
#include "base/base.h"

#include "base/yaml.h"

static int read_one(json_t *job, size_t line, void *arg)
{
	const char *text = json_get_text(job, "text", "");
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	struct yaml *y;
	json_t *answer;

	(void)line;
	(void)arg;
	if ((json_is_true(json_object_get(job, "python")) ? yaml_parse_python : yaml_parse)(&y, text, strlen(text),
											    "text"))
		answer = json_pack("{s:s}", "error", err_text());
	else
		answer = json_pack("{s:O}", "value", yaml_root(y));
	json_add(&out, answer);
	buf_addc(&out, '\n');
	fwrite(out.data, 1, out.len, stdout);
	buf_release(&out);
	json_decref(answer);
	yaml_free(y);
	return 0;
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0, n = 0;
	ssize_t len;

	log_set_level(LOG_QUIET);
	while ((len = getline(&line, &cap, stdin)) > 0)
		if (json_lines(line, (size_t)len, "texts", read_one, NULL)) {
			fprintf(stderr, "text %zu: %s\n", n, err_text());
			return 65;
		} else {
			n++;
		}
	free(line);
	return 0;
}
