/* shards.c: the weights of a Hugging Face folder, one file or many, as one set of named tensors; in and out.
 *
 * Reading: model.safetensors, or else the files that model.safetensors.index.json names beside it. Which tensor is in
 * which file, the files say and not the index, as for the reference; a name that is in two of them is refused, since which
 * one counts would be a matter of order. A pickle is never opened: it is a program. A family may leave the prefix out of
 * every name, as the hub's gpt2 does.
 *
 * Writing, as huggingface_hub cuts: tensors in the order they come in; one that would lift the shard above the limit
 * begins the next; one that is above the limit alone is a shard by itself, numbered at once, so before the shard that is
 * being filled. One shard is model.safetensors; more are model-00001-of-0000N.safetensors and an index, which is written
 * last. What an older model of another shape has left in the folder goes when the new one is whole, and so does what a
 * process that was killed has left half written. */
#include "base/base.h"

#include "model/model_int.h"

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"
#define MAX_INDEX ((size_t)16 << 20)
#define MAX_FILES 4096

/* ---- reading ----------------------------------------------------------------------------------------------------- */

void shards_release(struct shards *s)
{
	for (size_t i = 0; i < s->n; i++)
		safetensors_close(&s->files[i]);
	free(s->files);
	map_release(&s->names);
	json_decref(s->index);
	*s = (struct shards){ 0 };
}

/* Where a name is: the file above, the entry below. */
static int64_t place_of(size_t file, size_t entry)
{
	return (int64_t)(file << 32 | entry);
}

/* What the index says of a tensor must be so: a reader that goes by it alone would see another model. */
static int check_indexed(const struct shards *s, const struct safetensors *f, const char *name)
{
	const char *where = shards_indexed(s, name);

	if (!s->index || (where && !strcmp(where, path_base(f->path))))
		return 0;
	return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" is there, and the index %s%s", f->path, name,
				where ? "says that it is in " : "does not name it", where ? where : ""),
			"save the model again, into an empty folder");
}

static int add_names(struct shards *s, size_t file)
{
	const struct safetensors *f = &s->files[file];
	int64_t other;

	for (size_t i = 0; i < f->n; i++) {
		const char *name = f->entries[i].name;
		if (map_get(&s->names, name, strlen(name), &other))
			return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" is in %s, too", f->path, name,
						s->files[(uint64_t)other >> 32].path),
					"save the model again, into an empty folder");
		map_put(&s->names, name, strlen(name), place_of(file, i));
		int rc = check_indexed(s, f, name);
		if (rc)
			return rc;
	}
	return 0;
}

static int open_shard(struct shards *s, const char *dir, const char *name)
{
	if (strchr(name, '/') || !path_has_suffix(name, ".safetensors"))
		return err_set(ERR_INPUT, "%s: the index names \"%s\", which is no safetensors file beside it", dir,
			       name);
	if (s->n == MAX_FILES)
		return err_set(ERR_INPUT, "%s: the index names more than %d files", dir, MAX_FILES);
	char *path = path_join(dir, name);
	int rc = safetensors_open(&s->files[s->n], path);
	free(path);
	if (rc == ERR_NOTFOUND)
		rc = err_hint(err_set(ERR_INPUT, "%s: the index names %s, which is not there", dir, name),
			      "fetch the missing file");
	if (!rc)
		s->n++;
	return rc;
}

static int open_index(struct shards *s, const char *dir, const char *path)
{
	const char *tensor;
	struct map seen;
	json_t *file;
	int rc = json_read(&s->index, path, MAX_INDEX);

	if (rc)
		return rc;
	map_init(&seen);
	json_t *weights = json_object_get(s->index, "weight_map");
	if (!json_object_size(weights))
		rc = err_hint(err_set(ERR_INPUT, "%s: weight_map is missing or empty", path), "save the model again");
	size_t most = json_object_size(weights);
	s->files = mem_array(most < MAX_FILES ? most : MAX_FILES, sizeof(*s->files));
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
	return rc;
}

/* pytorch_model.bin, its shards, and what others call theirs; not optimizer.bin or training_args.bin. */
static bool is_pickle(const char *name)
{
	static const char *const ends[] = { ".pt", ".pth", ".pkl", ".ckpt" };
	bool is = !strncmp(name, "pytorch_model", 13) || (!strncmp(name, "model", 5) && path_has_suffix(name, ".bin"));

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		is = is || path_has_suffix(name, ends[i]);
	return is;
}

static int find_pickle(const char *name, void *arg)
{
	char **found = arg;

	if (!*found && is_pickle(name))
		*found = mem_str(name);
	return 0;
}

static int no_weights(const char *dir)
{
	char *pickle = NULL;
	int rc = fs_list(dir, find_pickle, &pickle);

	if (rc)
		return rc;
	if (!pickle)
		return err_hint(err_set(ERR_INPUT, "%s: no " SINGLE, dir),
				"name a Hugging Face folder with config.json and " SINGLE);
	rc = err_set(ERR_INPUT, "%s: %s is a pickle, a program that runs when it is read; it is not opened", dir,
		     pickle);
	free(pickle);
	return err_hint(rc, "save it as safetensors where you trust it: "
			    "AutoModelForCausalLM.from_pretrained(dir).save_pretrained(dir)");
}

int shards_open(struct shards *s, const char *dir)
{
	char *single = path_join(dir, SINGLE), *index = path_join(dir, INDEX);
	int rc;

	*s = (struct shards){ 0 };
	map_init(&s->names);
	if (fs_exists(single)) {
		s->files = mem_array(1, sizeof(*s->files));
		rc = safetensors_open(&s->files[0], single);
		s->n = rc ? 0 : 1;
	} else if (fs_exists(index)) {
		rc = open_index(s, dir, index);
	} else {
		rc = no_weights(dir);
	}
	for (size_t i = 0; !rc && i < s->n; i++)
		rc = add_names(s, i);
	free(single);
	free(index);
	return rc;
}

const struct safetensors_entry *shards_find(const struct shards *s, const char *name, const struct safetensors **in)
{
	int64_t at;

	if (!map_get(&s->names, name, strlen(name), &at))
		return NULL;
	*in = &s->files[(uint64_t)at >> 32];
	return &(*in)->entries[at & 0xffffffff];
}

const char *shards_indexed(const struct shards *s, const char *name)
{
	return json_get_text(json_object_get(s->index, "weight_map"), name, NULL);
}

const struct safetensors_entry *shards_tensor(const struct model *m, const struct shards *s, const char *name,
					      const struct safetensors **in)
{
	const struct safetensors_entry *e = shards_find(s, name, in);
	const char *prefix = m->arch->prefix;
	size_t n = prefix ? strlen(prefix) : 0;

	return !e && n && !strncmp(name, prefix, n) ? shards_find(s, name + n, in) : e;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

#define CURRENT SIZE_MAX /* the number of a shard that is still filled */

struct split {
	size_t *shard;  /* of each tensor, from 0 */
	size_t n, held; /* shards; tensors of the current one */
	uint64_t filled;
};

static void close_current(struct split *s, size_t end)
{
	for (size_t i = 0; i < end; i++)
		s->shard[i] = s->shard[i] == CURRENT ? s->n : s->shard[i];
	s->n++;
	s->held = 0;
	s->filled = 0;
}

static void split_open(struct split *s, const struct safetensors_out *list, size_t n, uint64_t limit)
{
	*s = (struct split){ .shard = mem_array(n + 1, sizeof(*s->shard)) };
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = safetensors_out_bytes(&list[i]);
		if (bytes > limit) {
			s->shard[i] = s->n++;
			continue;
		}
		if (bytes > limit - s->filled)
			close_current(s, i);
		s->shard[i] = CURRENT;
		s->held++;
		s->filled += bytes;
	}
	if (s->held || !s->n)
		close_current(s, n);
}

static char *shard_name(size_t i, size_t n)
{
	return n == 1 ? mem_str(SINGLE) : mem_printf("model-%05zu-of-%05zu.safetensors", i + 1, n);
}

struct part { /* a shard's tensors, and their places in the whole list */
	const size_t *places;
	const void *(*data)(size_t i, void *arg);
	void *arg;
};

static const void *part_data(size_t i, void *arg)
{
	const struct part *p = arg;

	return p->data(p->places[i], p->arg);
}

static int write_shard(const char *dir, const struct split *s, size_t shard, const struct safetensors_out *list,
		       size_t n, const void *(*data)(size_t i, void *arg), void *arg)
{
	struct safetensors_out *own = mem_array(n + 1, sizeof(*own));
	size_t *places = mem_array(n + 1, sizeof(*places)), count = 0;
	char *name = shard_name(shard, s->n), *path = path_join(dir, name);
	struct part part = { places, data, arg };

	for (size_t i = 0; i < n; i++)
		if (s->shard[i] == shard) {
			own[count] = list[i];
			places[count++] = i;
		}
	int rc = safetensors_write(path, own, count, "format", "pt", part_data, &part);
	free(own);
	free(places);
	free(name);
	free(path);
	return rc;
}

static int by_name(const void *a, const void *b, void *list)
{
	const struct safetensors_out *l = list;

	return strcmp(l[*(const size_t *)a].name, l[*(const size_t *)b].name);
}

/* As json.dumps(indent=2, sort_keys=True) has it, and a newline. */
static int write_index(const char *dir, const struct split *s, const struct safetensors_out *list, size_t n)
{
	json_t *index = json_object(), *metadata = json_object(), *weights = json_object();
	size_t *order = mem_array(n + 1, sizeof(*order));
	char *path = path_join(dir, INDEX);
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	uint64_t bytes = 0, count = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t numbers = 1;
		for (int d = 0; d < list[i].n_dims; d++)
			numbers *= (uint64_t)list[i].dims[d];
		order[i] = i;
		count += numbers;
		bytes += safetensors_out_bytes(&list[i]);
	}
	qsort_r(order, n, sizeof(*order), by_name, (void *)(uintptr_t)list);
	json_object_set_new(metadata, "total_parameters", json_integer((json_int_t)count));
	json_object_set_new(metadata, "total_size", json_integer((json_int_t)bytes));
	for (size_t i = 0; i < n; i++) {
		char *name = shard_name(s->shard[order[i]], s->n);
		json_object_set_new(weights, list[order[i]].name, json_string(name));
		free(name);
	}
	json_object_set_new(index, "metadata", metadata);
	json_object_set_new(index, "weight_map", weights);
	json_add_pretty(&text, index);
	int rc = fs_write(path, buf_str(&text), text.len);
	json_decref(index);
	buf_release(&text);
	free(order);
	free(path);
	return rc;
}

struct sweep {
	const char *dir;
	size_t n; /* shards of the new model */
};

static int sweep_one(const char *name, void *arg)
{
	const struct sweep *s = arg;
	size_t i = 0, of = 0;
	int end = 0, rc = 0;
	bool shard = sscanf(name, "model-%5zu-of-%5zu.safetensors%n", &i, &of, &end) == 2 && end && !name[end];
	bool stale = shard ? s->n == 1 || of != s->n || i < 1 || i > of : !strcmp(name, s->n == 1 ? INDEX : SINGLE);

	if (stale) {
		char *path = path_join(s->dir, name);
		rc = fs_remove(path);
		free(path);
	}
	return rc;
}

int shards_write(const char *dir, const struct safetensors_out *list, size_t n, uint64_t limit,
		 const void *(*data)(size_t i, void *arg), void *arg)
{
	struct split split;
	int rc = 0;

	split_open(&split, list, n, limit);
	for (size_t i = 0; !rc && i < split.n; i++)
		rc = write_shard(dir, &split, i, list, n, data, arg);
	if (!rc && split.n > 1)
		rc = write_index(dir, &split, list, n);
	if (!rc)
		rc = fs_list(dir, sweep_one, &(struct sweep){ dir, split.n });
	if (!rc)
		rc = fs_temp_sweep(dir);
	free(split.shard);
	return rc;
}
