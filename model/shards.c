/* shards.c: the weights of a Hugging Face folder, one file or many, as one set of named tensors.
 *
 * model.safetensors, or the files that model.safetensors.index.json names beside it. A pickle is never opened: it is a
 * program. A family may leave the prefix out of every name, as the hub's gpt2 does. */
#include "base/base.h"

#include "model/model_int.h"

#define MAX_JSON ((size_t)64 << 20)

void shards_release(struct shards *s)
{
	for (size_t i = 0; i < s->n; i++)
		safetensors_close(&s->files[i]);
	free(s->files);
}

static const struct safetensors_entry *shards_find(const struct shards *s, const char *name,
						   const struct safetensors **in)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct safetensors_entry *e = safetensors_find(&s->files[i], name);
		*in = &s->files[i];
		if (e)
			return e;
	}
	return NULL;
}

static int open_shard(struct shards *s, const char *dir, const char *name)
{
	if (strchr(name, '/') || !path_has_suffix(name, ".safetensors"))
		return err_set(ERR_INPUT, "%s: the index names \"%s\", which is no safetensors file beside it", dir,
			       name);
	char *path = path_join(dir, name);
	int rc = safetensors_open(&s->files[s->n], path);
	free(path);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s: the index names %s, which is not there", dir, name);
	if (!rc)
		s->n++;
	return rc;
}

static int open_index(struct shards *s, const char *dir, const char *path)
{
	json_t *index = NULL, *file;
	const char *tensor;
	struct map seen;
	int rc = json_read(&index, path, MAX_JSON);

	if (rc)
		return rc;
	map_init(&seen);
	json_t *weights = json_object_get(index, "weight_map");
	if (!json_object_size(weights))
		rc = err_set(ERR_INPUT, "%s: weight_map is missing or empty", path);
	s->files = mem_array(json_object_size(weights) + 1, sizeof(*s->files));
	json_object_foreach(weights, tensor, file)
	{
		const char *name = json_string_value(file);
		if (!name)
			rc = err_set(ERR_INPUT, "%s: weight_map: \"%s\" names no file", path, tensor);
		else if (map_put(&seen, name, strlen(name), 0))
			rc = open_shard(s, dir, name);
		if (rc)
			break;
	}
	map_release(&seen);
	json_decref(index);
	return rc;
}

static int no_weights(const char *dir)
{
	static const char *const pickles[] = { "pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt" };
	int rc = err_set(ERR_INPUT, "%s: no model.safetensors", dir);

	for (size_t i = 0; i < ARRAY_LEN(pickles); i++) {
		char *path = path_join(dir, pickles[i]);
		bool there = fs_exists(path);
		free(path);
		if (!there)
			continue;
		rc = err_set(ERR_INPUT, "%s: %s is a pickle, a program that runs when it is read; it is not opened",
			     dir, pickles[i]);
		return err_hint(rc, "save it as safetensors where you trust it: "
				    "AutoModelForCausalLM.from_pretrained(dir).save_pretrained(dir)");
	}
	return err_hint(rc, "name a Hugging Face folder with config.json and model.safetensors");
}

int shards_open(struct shards *s, const char *dir)
{
	char *single = path_join(dir, "model.safetensors"), *index = path_join(dir, "model.safetensors.index.json");
	int rc;

	if (fs_exists(single)) {
		s->files = mem_array(1, sizeof(*s->files));
		rc = safetensors_open(&s->files[0], single);
		s->n = rc ? 0 : 1;
	} else if (fs_exists(index)) {
		rc = open_index(s, dir, index);
	} else {
		rc = no_weights(dir);
	}
	free(single);
	free(index);
	return rc;
}

/* A file may leave the family's prefix out of every name, as the hub's gpt2 does. */
const struct safetensors_entry *shards_tensor(const struct model *m, const struct shards *s, const char *name,
						   const struct safetensors **in)
{
	const struct safetensors_entry *e = shards_find(s, name, in);
	const char *prefix = m->arch->prefix;
	size_t n = prefix ? strlen(prefix) : 0;

	return !e && n && !strncmp(name, prefix, n) ? shards_find(s, name + n, in) : e;
}

