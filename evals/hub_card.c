/* hub_card.c: what the README.md of a data set says about its files, as the hub's library reads it.
 *
 *	---
 *	configs:
 *	- config_name: easy
 *	  data_files:
 *	  - split: test
 *	    path: easy/test-*.parquet       or a list; a pattern, from the README's folder
 *	- config_name: hard
 *	  default: true
 *	  data_dir: hard                    without data_files: the splits of this folder, by their names
 *	  sep: ";"                          sep, delimiter, field: as in dataset_kwargs
 *	---
 *
 * Where there is such a list it decides, as there: the configuration of dataset_name, else the only one, the one called
 * "default", or the one that says default: true. What a configuration says of how CSV or JSON is read beyond the three
 * keys is refused by name: left out in silence it would give other rows. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { CARD_MAX = 16 << 20, LISTED = 300 };

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Where the front matter ends: at the "---" behind it. 0: there is none. */
static size_t front_matter(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && strchr(" \t\r\n", text[at]))
		at++;
	if (len - at < 4 || strncmp(text + at, "---", 3) != 0 || !strchr("\r\n", text[at + 3]))
		return 0;
	for (const char *line = strchr(text + at, '\n'); line; line = strchr(line + 1, '\n'))
		if (strncmp(line + 1, "---", 3) == 0 && strspn(line + 4, " \t\r") == strcspn(line + 4, "\n"))
			return (size_t)(line - text) + 1;
	return 0;
}

/* README.md of the folder itself, or of the one snapshot in a hub's cache. NULL: none; yours. */
static int card_path(char **out, const struct source *src, char *const *paths, size_t n, const char *folder)
{
	size_t skip = strlen(folder) + 1;

	*out = NULL;
	for (size_t i = 0; i < n; i++) {
		const char *rel = paths[i] + skip, *base = strrchr(rel, '/');
		bool snapshot = strncmp(rel, "snapshots/", 10) == 0 && base == strchr(rel + 10, '/');

		if (strcmp(base ? base + 1 : rel, "README.md") != 0 || (base && !snapshot))
			continue;
		if (!base) {
			free(*out);
			*out = mem_str(paths[i]);
			return 0;
		}
		if (*out) {
			int rc = yaml_error(src->y, src->map, "dataset_path", "two snapshots are there: %s and %s",
					    *out, paths[i]);

			free(*out);
			*out = NULL;
			return err_hint(rc, "name the folder that is meant: datasets: in assay.yaml");
		}
		*out = mem_str(paths[i]);
	}
	return 0;
}

void hub_card_close(struct hub_card *c)
{
	yaml_free(c->yaml);
	free(c->folder);
	*c = (struct hub_card){ 0 };
}

/* ---- the configuration ------------------------------------------------------------------------------------------- */

static int list_configs(const struct source *src, const json_t *configs, const char *wanted)
{
	struct buf names = BUF_INIT(LISTED);
	json_t *config;
	size_t i;
	int rc;

	json_array_foreach(configs, i, config)
		buf_addf(&names, "%s%s", i ? ", " : "", json_get_text(config, "config_name", "?"));
	rc = wanted ? yaml_error(src->y, src->map, "dataset_name",
				 "the data set has no configuration \"%s\" (there is: %s)", wanted, buf_str(&names))
		    : yaml_error(src->y, src->map, "dataset_path",
				 "the data set has several configurations, of which dataset_name must name one: %s",
				 buf_str(&names));
	buf_release(&names);
	return rc;
}

/* The one that counts without a name. */
static int default_config(const struct hub_card *c, json_t *configs, json_t **out)
{
	json_t *config;
	size_t i;
	int rc = 0;

	*out = NULL;
	json_array_foreach(configs, i, config)
	{
		bool flagged = false;

		rc = yaml_get_flag(c->yaml, config, "default", &flagged);
		if (rc)
			return rc;
		if (json_array_size(configs) > 1 && !flagged &&
		    strcmp(json_get_text(config, "config_name", ""), "default") != 0)
			continue;
		if (*out)
			return yaml_error(
				c->yaml, config, "config_name", "two configurations are the default: %s and %s",
				json_get_text(*out, "config_name", ""), json_get_text(config, "config_name", ""));
		*out = config;
	}
	return 0;
}

/* What it says of the rows. */
static int read_options(struct hub_card *c, const json_t *config)
{
	/* of the library, or of no consequence for the rows */
	static const char *const known[] = { "config_name", "data_files",  "data_dir",     "default",     "sep",
					     "delimiter",   "field",       "version",      "description", "features",
					     "license",     "drop_labels", "drop_metadata" };
	const char *sep = NULL, *delimiter = NULL;
	int rc = yaml_check_keys(c->yaml, config, "a configuration of data", known, ARRAY_LEN(known));

	rc = rc ? rc : yaml_get_text(c->yaml, config, "sep", &sep);
	rc = rc ? rc : yaml_get_text(c->yaml, config, "delimiter", &delimiter);
	rc = rc ? rc : yaml_get_text(c->yaml, config, "field", &c->rows.field);
	rc = rc ? rc : yaml_get_text(c->yaml, config, "data_dir", &c->data_dir);
	sep = sep ? sep : delimiter;
	if (!rc && sep && (strlen(sep) != 1 || !strchr(",;:|\t ", *sep)))
		rc = yaml_error(c->yaml, config, delimiter == sep ? "delimiter" : "sep",
				"the separator must be one of , ; : | a tab and a space");
	c->rows.separator = sep ? *sep : 0;
	return rc;
}

static int choose_config(struct hub_card *c, const struct source *src, json_t *configs, const char *wanted)
{
	json_t *config, *found = NULL;
	size_t i;
	int rc = 0;

	json_array_foreach(configs, i, config)
	{
		if (!json_is_object(config) || !json_get_text(config, "config_name", NULL))
			return yaml_error(c->yaml, yaml_root(c->yaml), "configs", "entry %zu has no config_name",
					  i + 1);
		if (wanted && strcmp(json_get_text(config, "config_name", ""), wanted) == 0)
			found = config;
	}
	rc = default_config(c, configs, wanted ? &config : &found);
	if (!rc && !found)
		return list_configs(src, configs, wanted);
	rc = rc ? rc : read_options(c, found);
	c->files = rc ? NULL : json_object_get(found, "data_files");
	c->config = found;
	if (c->files && !json_is_string(c->files) && !json_array_size(c->files))
		rc = yaml_error(c->yaml, found, "data_files",
				"a path, a list of paths, or a list of {split, path} must stand here");
	return rc;
}

/* *out stays NULL: it says nothing of them. */
static int get_configs(const struct hub_card *c, json_t **out)
{
	json_t *root = yaml_root(c->yaml), *configs = json_object_get(root, "configs");
	bool nothing = json_is_null(configs) || (json_is_array(configs) && !json_array_size(configs));

	return configs && !nothing ? yaml_get_array(c->yaml, root, "configs", out) : 0;
}

int hub_card_open(struct hub_card *c, const struct source *src, char *const *paths, size_t n, const char *folder)
{
	struct buf text = BUF_INIT(CARD_MAX);
	const char *wanted = NULL;
	json_t *configs = NULL;
	char *path = NULL;
	size_t len;
	int rc = card_path(&path, src, paths, n, folder);

	*c = (struct hub_card){ 0 };
	if (!rc && path)
		rc = src->files->read(src->files->self, path, &text);
	len = rc || !path ? 0 : front_matter(buf_str(&text), text.len);
	if (!rc && buf_full(&text))
		rc = err_set(ERR_INPUT, "%s: larger than %d MiB", path, CARD_MAX >> 20);
	if (!rc && len)
		rc = yaml_parse_python(&c->yaml, buf_str(&text), len, path);
	if (!rc && len)
		rc = get_configs(c, &configs);
	if (!rc && !json_is_null(json_object_get(src->map, "dataset_name")))
		rc = yaml_get_text(src->y, src->map, "dataset_name", &wanted);
	if (!rc && json_array_size(configs)) {
		c->folder = path_dir(path);
		rc = choose_config(c, src, configs, wanted);
	}
	free(path);
	buf_release(&text);
	return rc;
}

/* ---- the files of a split ---------------------------------------------------------------------------------------- */

static int add_path(const struct hub_card *c, json_t *out, const json_t *path)
{
	if (!json_is_string(path))
		return yaml_error(c->yaml, c->config, "data_files", "a path must be a text");
	json_array_append_new(out, c->data_dir ? json_sprintf("%s/%s", c->data_dir, json_string_value(path))
					       : json_incref((json_t *)(uintptr_t)path));
	return 0;
}

static int add_paths(const struct hub_card *c, json_t *out, const json_t *paths)
{
	const json_t *path;
	size_t i;
	int rc = 0;

	if (json_is_string(paths))
		return add_path(c, out, paths);
	if (!json_is_array(paths))
		return yaml_error(c->yaml, c->config, "data_files",
				  "a path, a list of paths, or a list of {split, path} must stand here");
	json_array_foreach(paths, i, path)
	{
		rc = add_path(c, out, path);
		if (rc)
			return rc;
	}
	return 0;
}

int hub_card_paths(const struct hub_card *c, const struct source *src, const char *key, const char *split, json_t **out)
{
	struct buf have = BUF_INIT(LISTED);
	bool plain = !json_is_object(json_array_get(c->files, 0));
	const json_t *entry;
	size_t i;
	int rc = 0;

	*out = json_array();
	if (plain) { /* without names there is one split */
		buf_adds(&have, "train");
		rc = strcmp(split, "train") == 0 ? add_paths(c, *out, c->files) : 0;
	}
	json_array_foreach(plain ? NULL : c->files, i, entry)
	{
		const char *name = json_get_text(entry, "split", NULL);

		if (rc)
			break;
		if (!name || json_object_size(entry) != 2 || !json_object_get(entry, "path"))
			rc = yaml_error(c->yaml, c->config, "data_files", "entry %zu is not {split, path}", i + 1);
		else if (strcmp(name, split) == 0 && json_array_size(*out))
			rc = yaml_error(c->yaml, c->config, "data_files", "the split \"%s\" is there twice", split);
		else if (strcmp(name, split) == 0)
			rc = add_paths(c, *out, json_object_get(entry, "path"));
		else
			buf_addf(&have, "%s%s", have.len ? ", " : "", name);
	}
	if (!rc && !json_array_size(*out))
		rc = yaml_error(src->y, src->map, key, "there is no split \"%s\" in %s/README.md (there is: %s)", split,
				c->folder, buf_str(&have));
	buf_release(&have);
	if (rc) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}
