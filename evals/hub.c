/* hub.c: which files hold a split of a data set that a task names as the Hugging Face hub does.
 *
 *	dataset_path: allenai/ai2_arc      the configuration says in which folder: nothing is ever fetched
 *	dataset_name: ARC-Easy             a folder in it, or the beginning of a file's name
 *	test_split: test
 *
 * Beneath that folder a file holds a split if its name is the split's, with a shard's number or not; else if a folder of
 * that name holds it; else if the split's name stands in its name between signs. So the layouts of the hub itself
 * (ARC-Easy/test-00000-of-00001.parquet, data/test-00000-of-00001.parquet), of its caches (snapshots/<revision>/… and
 * ai2_arc-test.arrow) and of save_to_disk (test/data-00000-of-00001.arrow) are found, and a plain test.jsonl. The best of
 * these rules that holds for any file decides; two folders, or two formats, that answer alike are refused. Where the data set
 * says in its README.md which files are whose, that decides instead (hub_card.c). */
#include "base/base.h"

#include "evals/evals_int.h"

enum { HUB_FILES_MAX = 100000 };

static const char *const formats[] = { ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow" };

/* ---- the folder -------------------------------------------------------------------------------------------------- */

struct found {
	char **paths;
	size_t n, cap;
};

static int found_add(const char *path, void *arg)
{
	struct found *f = arg;

	if (f->n == HUB_FILES_MAX)
		return err_set(ERR_INPUT, "%s: more than %d files in a folder of data", path, HUB_FILES_MAX);
	MEM_GROW(f->paths, f->n, f->cap);
	f->paths[f->n++] = mem_str(path);
	return 0;
}

static void found_release(struct found *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->paths[i]);
	free(f->paths);
	*f = (struct found){ 0 };
}

/* "org/name" as hub caches write it in the name of a folder. */
static char *name_joined(const char *prefix, const char *name, const char *slash)
{
	struct buf out = BUF_INIT(1 << 16);

	buf_adds(&out, prefix);
	for (; *name; name++)
		if (*name == '/')
			buf_adds(&out, slash);
		else
			buf_addc(&out, *name);
	return buf_take(&out);
}

static bool name_is_plain(const char *name)
{
	return *name && *name != '/' && !strstr(name, "..") && strlen(name) < 500;
}

/* The files of the data set, and its folder (yours). */
static int hub_find(struct found *out, char **folder, const struct source *src, const char *name)
{
	const struct eval_files *files = src->files;
	const char *given = json_string_value(json_object_get(files->datasets, name));
	const char *root = json_string_value(json_object_get(files->datasets, "*"));
	char *dir = path_dir(src->path), *tries[6] = { 0 };
	int rc = 0;

	*folder = NULL;
	if (given) {
		tries[0] = mem_str(given);
	} else if (name_is_plain(name)) {
		char *joined[3] = { mem_str(name), name_joined("", name, "___"),
				    name_joined("datasets--", name, "--") };
		size_t n = 0;

		for (int i = 0; i < 3; i++) {
			if (root)
				tries[n++] = mem_printf("%s/%s", root, joined[i]);
			free(joined[i]);
		}
		tries[n++] = source_path(dir, name);
		tries[n++] = source_path(".", name);
	}
	for (size_t i = 0; i < ARRAY_LEN(tries) && !rc && !out->n && files->list; i++)
		if (tries[i]) {
			rc = files->list(files->self, tries[i], found_add, out);
			if (out->n && !*folder)
				*folder = mem_str(tries[i]);
		}
	if (!rc && !out->n) {
		rc = given ? yaml_error(src->y, src->map, "dataset_path", "there is no file in %s, the folder of %s",
					given, name)
			   : yaml_error(src->y, src->map, "dataset_path", "the data set %s is not here", name);
		err_hint(rc,
			 "data is never fetched: put its files into a folder and name that: datasets: {%s: folder} in "
			 "assay.yaml, or --datasets DIR for a folder of such folders",
			 name);
	}
	for (size_t i = 0; i < ARRAY_LEN(tries); i++)
		free(tries[i]);
	free(dir);
	return rc;
}

int hub_folder(char **out, const struct source *src, const char *name)
{
	struct found found = { 0 };
	int rc = hub_find(&found, out, src, name);

	found_release(&found);
	return rc;
}

/* ---- the split --------------------------------------------------------------------------------------------------- */

static bool ends_in(const char *path, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && memcmp(path + len - n, suffix, n) == 0;
}

/* *len: of the path without the format, and without what says that it is packed. */
static const char *file_format(const char *path, size_t *len)
{
	static const char *const packed[] = { ".gz", ".zst", ".xz", ".bz2" };

	*len = strlen(path);
	for (size_t i = 0; i < ARRAY_LEN(packed); i++)
		if (ends_in(path, *len, packed[i])) {
			*len -= strlen(packed[i]);
			break;
		}
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (ends_in(path, *len, formats[i])) {
			*len -= strlen(formats[i]);
			return formats[i];
		}
	return NULL;
}

/* A folder of that name in dir, which is len bytes long. */
static bool in_folder(const char *dir, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (size_t at = 0; at < len;) {
		size_t part = strcspn(dir + at, "/");

		if (part == n && memcmp(dir + at, name, n) == 0)
			return true;
		at += part + 1;
	}
	return false;
}

static bool is_sign(char c)
{
	return !((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9');
}

/* name in the text, with a sign or the end of the text on both sides. */
static bool has_word(const char *text, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (size_t at = 0; n && at + n <= len; at++)
		if (memcmp(text + at, name, n) == 0 && (!at || is_sign(text[at - 1])) &&
		    (at + n == len || is_sign(text[at + n])))
			return true;
	return false;
}

/* Without "-00000-of-00002" at the end. */
static size_t without_shard(const char *stem, size_t len)
{
	size_t at = len;

	for (int part = 0; part < 2; part++) {
		size_t end = at;

		while (at && stem[at - 1] >= '0' && stem[at - 1] <= '9')
			at--;
		if (at == end)
			return len;
		if (part == 0 && !(at >= 4 && memcmp(stem + at - 4, "-of-", 4) == 0))
			return len;
		at -= part == 0 ? 4 : 0;
	}
	return at && stem[at - 1] == '-' ? at - 1 : len;
}

enum { RULE_NAME = 1, RULE_FOLDER, RULE_WORD, RULE_NONE };

/* By which rule the file holds the split. rel: its path in the data set's folder. */
static int split_rule(const char *rel, const char *config, const char *split)
{
	const char *slash = strrchr(rel, '/'), *stem = slash ? slash + 1 : rel;
	size_t dirs = slash ? (size_t)(slash - rel) : 0, len, prefix;

	if (!file_format(rel, &len) || rel + len <= stem)
		return RULE_NONE;
	len -= (size_t)(stem - rel);
	if (config && *config && !in_folder(rel, dirs, config)) {
		prefix = strlen(config);
		if (len <= prefix || strncmp(stem, config, prefix) != 0 || !is_sign(stem[prefix]))
			return RULE_NONE;
		stem += prefix + 1;
		len -= prefix + 1;
	}
	len = without_shard(stem, len);
	if (len == strlen(split) && memcmp(stem, split, len) == 0)
		return RULE_NAME;
	if (in_folder(rel, dirs, split))
		return RULE_FOLDER;
	return has_word(stem, len, split) ? RULE_WORD : RULE_NONE;
}

static bool same_source(const char *a, const char *b)
{
	const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
	size_t n = slash_a ? (size_t)(slash_a - a) : 0, m = slash_b ? (size_t)(slash_b - b) : 0, len_a, len_b;

	return n == m && strncmp(a, b, n) == 0 && file_format(a, &len_a) == file_format(b, &len_b);
}

static int path_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Keeps the files that hold the split. */
static int split_choose(struct found *f, const struct source *src, const char *folder, const char *config,
			const char *key, const char *split)
{
	size_t skip = strlen(folder) + 1, kept = 0;
	int best = RULE_NONE, rule;

	for (size_t i = 0; i < f->n; i++) {
		rule = split_rule(f->paths[i] + skip, config, split);
		best = rule < best ? rule : best;
	}
	for (size_t i = 0; i < f->n; i++) {
		if (best < RULE_NONE && split_rule(f->paths[i] + skip, config, split) == best)
			f->paths[kept++] = f->paths[i];
		else
			free(f->paths[i]);
	}
	f->n = kept;
	if (!kept)
		return yaml_error(src->y, src->map, key, "no file in %s holds the split \"%s\"%s%s", folder, split,
				  config && *config ? " of " : "", config && *config ? config : "");
	qsort(f->paths, kept, sizeof(*f->paths), path_order);
	for (size_t i = 1; i < kept; i++)
		if (!same_source(f->paths[0], f->paths[i])) {
			yaml_error(src->y, src->map, key, "the split \"%s\" could be %s or %s", split, f->paths[0],
				   f->paths[i]);
			return err_hint(ERR_INPUT, "name the folder that is meant: dataset_name, or datasets: in "
						   "assay.yaml");
		}
	return 0;
}

/* Keeps what lies beneath dir. */
static void keep_beneath(struct found *f, const char *dir)
{
	size_t len = strlen(dir), kept = 0;

	for (size_t i = 0; i < f->n; i++)
		if (strncmp(f->paths[i], dir, len) == 0 && f->paths[i][len] == '/')
			f->paths[kept++] = f->paths[i];
		else
			free(f->paths[i]);
	f->n = kept;
}

/* Adds what one path or pattern of the card stands for. *format: of all files of the split so far. */
static int add_matches(struct found *out, const struct found *f, const struct hub_card *card, const char *pattern,
		       const char **format)
{
	size_t skip = strlen(card->folder) + 1, before = out->n, len;
	bool glob = data_is_glob(pattern);

	if (data_glob_check(pattern))
		return err_context(ERR_INPUT, "%s/README.md", card->folder);
	while (strncmp(pattern, "./", 2) == 0)
		pattern += 2;
	for (size_t i = 0; i < f->n; i++) {
		const char *rel = f->paths[i] + skip, *own = file_format(rel, &len);

		if (glob ? !own || !data_glob_matches(pattern, rel) : strcmp(pattern, rel) != 0)
			continue;
		if (own && *format && own != *format)
			return yaml_error(card->yaml, card->config, "data_files", "a split of two formats: %s and %s",
					  *format, own);
		*format = own ? own : *format;
		MEM_GROW(out->paths, out->n, out->cap);
		out->paths[out->n++] = mem_str(f->paths[i]);
	}
	if (out->n == before && !glob)
		return yaml_error(card->yaml, card->config, "data_files", "there is no file %s/%s", card->folder,
				  pattern);
	return 0;
}

/* The files that the card gives for the split, in the order of its list; those of a pattern by their names. */
static int split_by_card(struct found *f, const struct source *src, const struct hub_card *card, const char *key,
			 const char *split)
{
	struct found out = { 0 };
	const char *format = NULL;
	json_t *paths = NULL, *path;
	size_t i;
	int rc = hub_card_paths(card, src, key, split, &paths);

	qsort(f->paths, f->n, sizeof(*f->paths), path_order);
	json_array_foreach(paths, i, path)
	{
		if (!rc)
			rc = add_matches(&out, f, card, json_string_value(path), &format);
	}
	if (!rc && !out.n)
		rc = yaml_error(card->yaml, card->config, "data_files", "no file is what the split \"%s\" names",
				split);
	json_decref(paths);
	found_release(f);
	*f = out;
	return rc;
}

/* Beneath the folder of the card, and its data_dir. */
static int split_in_card(struct found *f, const struct source *src, const struct hub_card *card, const char *key,
			 const char *split)
{
	char *dir = card->data_dir ? source_path(card->folder, card->data_dir) : mem_str(card->folder);
	int rc = dir ? 0
		     : yaml_error(card->yaml, card->config, "data_dir", "\"%s\" is not a path beneath it",
				  card->data_dir);

	if (!rc) {
		keep_beneath(f, dir);
		rc = split_choose(f, src, dir, NULL, key, split);
	}
	free(dir);
	return rc;
}

int hub_files(char ***out, size_t *n, struct hub_card *card, const struct source *src, const char *name,
	      const char *key, const char *split)
{
	struct found found = { 0 };
	const char *config = NULL;
	char *folder = NULL;
	int rc = 0;

	*out = NULL;
	*n = 0;
	if (!json_is_null(json_object_get(src->map, "dataset_name")))
		rc = yaml_get_text(src->y, src->map, "dataset_name", &config);
	rc = rc ? rc : hub_find(&found, &folder, src, name);
	rc = rc ? rc : hub_card_open(card, src, found.paths, found.n, folder);
	if (!rc)
		rc = card->files    ? split_by_card(&found, src, card, key, split)
		     : card->folder ? split_in_card(&found, src, card, key, split)
				    : split_choose(&found, src, folder, config, key, split);
	free(folder);
	if (rc) {
		found_release(&found);
		return rc;
	}
	*out = found.paths;
	*n = found.n;
	return 0;
}
