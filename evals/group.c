/* group.c: a group file names tasks and groups, and says of which metrics it has a value itself.
 *
 *	group: mmlu_stem
 *	task: [mmlu_anatomy, mmlu_astronomy, {task: mmlu_virology, num_fewshot: 5}, {group: other, task: […]}]
 *	aggregate_metric_list: [{metric: acc, weight_by_size: true}]
 *
 * A name is looked for as the harness has it in its index: what the files of a folder call themselves (task, group), or
 * the tag they bear, which stands for all of them in the order of their names. Folders are searched from the group's own
 * outwards, up to the suite's, and each file is read once. Other keys of a group, and those beside a name in its list,
 * replace keys of the tasks beneath; the outer ones win.
 *
 * A task is asked once, however many groups name it. It counts as often as in the harness: once for the group's own list,
 * and again as often as it counts in each group of that list.
 *
 * The result of a group is a task's: the samples of its members, one behind the other, so that it is stored, compared and
 * gated like any. Its value is the mean over all samples or (weight_by_size: false) the mean of the members' means, which
 * weights make of the same samples; its standard error pools the members' variances, as the harness does, so differences
 * between the members do not count as noise. (A task that counts twice is there two tasks, whose noises are no more the
 * same: no test of the gate rests on that number, each weighs the samples.) A metric that is no mean of samples is the mean
 * of the members' values (corpus.c). */
#include "base/base.h"

#include <math.h>

#include "evals/evals_int.h"

enum { LAYERS_MAX = 64, GROUP_DEPTH = 16, NAMES_MAX = 100000, TASKS_MAX = 20000, AGGREGATES_MAX = 100 };
enum {
	GROUPS_MAX = 20000
}; /* that are read, one that several groups name as often: it bounds how often a task counts */

/* ---- names ------------------------------------------------------------------------------------------------------- */

enum name_kind { NAME_TASK, NAME_GROUP, NAME_TAG };
struct named {
	char *name, *path; /* path NULL: a tag */
	enum name_kind kind;
	char **members; /* of a tag */
	size_t n, cap;
};
/* What the files of the folders that were searched call themselves. */
struct names {
	struct named *items;
	size_t n, cap;
	struct map index, files; /* name -> item; the files that were read */
};

static void names_init(struct names *t)
{
	*t = (struct names){ 0 };
	map_init(&t->index);
	map_init(&t->files);
}

static void names_release(struct names *t)
{
	for (size_t i = 0; i < t->n; i++) {
		for (size_t k = 0; k < t->items[i].n; k++)
			free(t->items[i].members[k]);
		free(t->items[i].members);
		free(t->items[i].name);
		free(t->items[i].path);
	}
	free(t->items);
	map_release(&t->index);
	map_release(&t->files);
}

static struct named *names_get(const struct names *t, const char *name)
{
	int64_t i;

	return map_get(&t->index, name, strlen(name), &i) ? &t->items[i] : NULL;
}

/* NULL: the name is taken, the first stays. */
static struct named *names_put(struct names *t, const char *name, const char *path, enum name_kind kind)
{
	if (names_get(t, name))
		return NULL;
	MEM_GROW(t->items, t->n, t->cap);
	map_put(&t->index, name, strlen(name), (int64_t)t->n);
	t->items[t->n] = (struct named){ mem_str(name), path ? mem_str(path) : NULL, kind, NULL, 0, 0 };
	return &t->items[t->n++];
}

static void names_tag(struct names *t, const json_t *tag, const char *task)
{
	struct named *item;

	if (!json_is_string(tag) || !*json_string_value(tag))
		return;
	item = names_get(t, json_string_value(tag));
	if (!item)
		item = names_put(t, json_string_value(tag), NULL, NAME_TAG);
	if (item->kind != NAME_TAG)
		return;
	MEM_GROW(item->members, item->n, item->cap);
	item->members[item->n++] = mem_str(task);
}

static void names_file(struct names *t, const struct task_file *f)
{
	const json_t *group = json_object_get(f->map, "group"), *task = json_object_get(f->map, "task");
	const json_t *tags = json_object_get(f->map, "tag"), *tag;
	size_t i;

	if (json_is_string(group)) {
		names_put(t, json_string_value(group), f->path, NAME_GROUP);
		return;
	}
	if (!json_is_string(task) || !names_put(t, json_string_value(task), f->path, NAME_TASK))
		return;
	names_tag(t, tags, json_string_value(task));
	if (json_is_array(tags))
		json_array_foreach(tags, i, tag)
		{
			names_tag(t, tag, json_string_value(task));
		}
}

struct listing {
	char **paths;
	size_t n, cap;
};

static int listing_add(const char *path, void *arg)
{
	struct listing *l = arg;

	if (!path_has_suffix(path, ".yaml"))
		return 0;
	if (l->n == NAMES_MAX)
		return err_set(ERR_INPUT, "%s: more than %d task files in a folder", path, NAMES_MAX);
	MEM_GROW(l->paths, l->n, l->cap);
	l->paths[l->n++] = mem_str(path);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A file that cannot be read names nothing: whoever wants the name is told that it is not there. */
static int names_folder(struct names *t, const struct eval_files *files, const char *folder)
{
	struct listing l = { 0 };
	struct task_file f;
	int rc = files->list(files->self, folder, listing_add, &l);

	qsort(l.paths, l.n, sizeof(*l.paths), by_text);
	for (size_t i = 0; i < l.n; i++) {
		if (!rc && map_put(&t->files, l.paths[i], strlen(l.paths[i]), 0)) {
			if (task_file_read(&f, files, l.paths[i]) == 0) {
				names_file(t, &f);
				task_file_close(&f);
			} else {
				err_clear();
			}
		}
		free(l.paths[i]);
	}
	free(l.paths);
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct layer { /* keys that replace the tasks' own */
	const struct yaml *y;
	json_t *map;
};
struct reader {
	struct suite *s;
	const struct source *suite;
	struct names *names;
	struct layer layers[LAYERS_MAX]; /* later ones win */
	size_t n_layers, n_read;
	int depth;
};
struct members {
	struct group_member *items;
	size_t n, cap;
	struct map groups; /* names of those that are counted already */
};

static int group_read(struct reader *r, const struct source *src, const char *outer, struct members *out);

static void members_release(struct members *m)
{
	free(m->items);
	map_release(&m->groups);
}

static struct group_member *member_of(struct members *m, size_t task)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->items[i].task == task)
			return &m->items[i];
	MEM_GROW(m->items, m->n, m->cap);
	m->items[m->n] = (struct group_member){ .task = task };
	return &m->items[m->n++];
}

/* Twice in one list is once, of tasks and of groups. */
static void members_add(struct members *m, size_t task)
{
	struct group_member *own = member_of(m, task);

	own->times += !own->direct;
	own->direct = true;
}

static void members_add_group(struct members *m, const char *name, const struct group_member *of, size_t n)
{
	if (!map_put(&m->groups, name, strlen(name), 0))
		return;
	for (size_t i = 0; i < n; i++)
		member_of(m, of[i].task)->times += of[i].times;
}

static int layer_push(struct reader *r, const struct source *src, json_t *map, bool outer)
{
	if (r->n_layers == LAYERS_MAX)
		return yaml_error(src->y, map, NULL, "groups in each other, deeper than %d", LAYERS_MAX);
	if (outer)
		r->layers[r->n_layers] = (struct layer){ src->y, map };
	else {
		memmove(r->layers + 1, r->layers, r->n_layers * sizeof(*r->layers));
		r->layers[0] = (struct layer){ src->y, map };
	}
	r->n_layers++;
	return 0;
}

static void layer_drop(struct reader *r, bool outer)
{
	r->n_layers--;
	if (!outer)
		memmove(r->layers, r->layers + 1, r->n_layers * sizeof(*r->layers));
}

/* The mapping without these keys, its places kept; a new reference. */
static json_t *map_without(struct yaml *y, const json_t *map, const char *const *keys, size_t n)
{
	json_t *rest = json_object();

	yaml_merge(y, rest, y, map, true);
	for (size_t i = 0; i < n; i++)
		json_object_del(rest, keys[i]);
	return rest;
}

static int member_task(struct reader *r, const struct source *src, struct members *out)
{
	size_t task;
	int rc = 0;

	for (size_t i = 0; i < r->n_layers; i++)
		yaml_merge(src->y, src->map, r->layers[i].y, r->layers[i].map, true);
	if (r->s->n >= TASKS_MAX)
		rc = yaml_error(src->y, src->map, NULL, "more than %d tasks in a suite", TASKS_MAX);
	rc = rc ? rc : suite_add(r->s, src, true, &task);
	if (!rc)
		members_add(out, task);
	return rc;
}

static int member_file(struct reader *r, const char *path, struct members *out)
{
	struct source src = { .path = path, .files = r->suite->files, .chat = r->suite->chat };
	struct task_file f;
	int rc = task_file_read(&f, r->suite->files, path);

	if (rc)
		return rc;
	src.y = f.y;
	src.map = f.map;
	rc = json_object_get(f.map, "group") ? group_read(r, &src, NULL, out) : member_task(r, &src, out);
	task_file_close(&f);
	return rc;
}

/* From the group's folder outwards, up to the suite's or to the top of its path. */
static int name_find(struct reader *r, const struct source *src, const char *name, struct named **out)
{
	char *stop = path_dir(r->suite->path), *folder = path_dir(src->path), *outer;
	int rc = 0;

	*out = names_get(r->names, name);
	while (!*out && !rc && src->files->list) {
		rc = names_folder(r->names, src->files, folder);
		*out = names_get(r->names, name);
		if (strcmp(folder, stop) == 0 || !strchr(folder, '/') || strcmp(folder, "/") == 0)
			break;
		outer = path_dir(folder);
		free(folder);
		folder = outer;
	}
	if (!*out && !rc && src->files->list && strcmp(stop, ".") == 0) {
		rc = names_folder(r->names, src->files, ".");
		*out = names_get(r->names, name);
	}
	free(folder);
	free(stop);
	return rc;
}

static int member_named(struct reader *r, const struct source *src, const json_t *at, const char *name,
			struct members *out)
{
	struct named *found;
	int rc = name_find(r, src, name, &found);

	if (rc)
		return rc;
	if (!found) {
		rc = yaml_error(src->y, at, NULL, "no task, group or tag named \"%s\" in the folder of %s", name,
				src->path);
		return err_hint(
			rc,
			"a file of its own that says task: %s, beside the group or in a folder between it and the "
			"suite; what stands in a suite's own list has no name for groups",
			name);
	}
	if (found->kind != NAME_TAG) {
		char *path = mem_str(found->path); /* reading it may move the names */

		rc = member_file(r, path, out);
		free(path);
		return rc;
	}
	qsort(found->members, found->n, sizeof(*found->members), by_text);
	for (size_t i = 0, n = found->n; i < n && !rc; i++) {
		found = names_get(r->names, name);
		rc = member_named(r, src, at, found->members[i], out);
	}
	return rc;
}

/* A task whose keys all stand in the group's list. */
static int member_inline(struct reader *r, const struct source *src, json_t *item, const char *outer, const char *name,
			 struct members *out)
{
	struct source own = *src;
	char *full = mem_printf("%s::%s", outer, name);
	struct task_file included;
	int rc;

	own.map = map_without(src->y, item, NULL, 0);
	json_object_set_new(own.map, "task", json_new_text(full, strlen(full)));
	rc = task_file_include(&included, src->files, own.y, own.map, own.path);
	if (!rc) {
		rc = member_task(r, &own, out);
		task_file_close(&included);
	}
	json_decref(own.map);
	free(full);
	return rc;
}

static int member_mapping(struct reader *r, const struct source *src, json_t *item, const char *outer,
			  struct members *out)
{
	static const char *const group_key[] = { "group" };
	const char *group = NULL, *task = NULL;
	struct source own = *src;
	struct named *found = NULL;
	json_t *rest;
	int rc = yaml_get_text(src->y, item, "group", &group);

	own.map = item;
	if (!rc && group && json_object_get(item, "task"))
		return group_read(r, &own, outer, out);
	rc = rc ? rc : yaml_get_text(src->y, item, "task", &task);
	if (rc)
		return rc;
	if (!group && !task)
		return yaml_error(src->y, item, NULL, "an entry of a group names a task or a group");
	if (task) {
		rc = name_find(r, src, task, &found);
		if (!rc && !found)
			return member_inline(r, src, item, outer, task, out);
	}
	rest = map_without(src->y, item, group_key, 1);
	rc = rc ? rc : layer_push(r, src, rest, true);
	if (!rc) {
		rc = member_named(r, src, item, group ? group : task, out);
		layer_drop(r, true);
	}
	json_decref(rest);
	return rc;
}

static int members_read(struct reader *r, const struct source *src, const char *name, struct members *out)
{
	json_t *list = json_object_get(src->map, "task"), *item;
	size_t i;
	int rc = 0;

	if (json_is_string(list))
		return member_named(r, src, src->map, json_string_value(list), out);
	if (!json_is_array(list) || json_array_size(list) == 0)
		return yaml_error(src->y, src->map, list ? "task" : NULL, "a group needs task: a list of tasks");
	json_array_foreach(list, i, item)
	{
		if (rc)
			break;
		if (json_is_string(item))
			rc = member_named(r, src, list, json_string_value(item), out);
		else if (json_is_object(item))
			rc = member_mapping(r, src, item, name, out);
		else
			rc = yaml_error(src->y, src->map, "task", "entry %zu is neither a name nor a mapping", i + 1);
	}
	return rc;
}

/* ---- what a group has values of ----------------------------------------------------------------------------------- */

static int filters_read(struct group_metric *m, const struct source *src, const json_t *entry)
{
	const json_t *list = json_object_get(entry, "filter_list"), *name;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (json_is_string(list)) {
		m->filters = mem_array(1, sizeof(*m->filters));
		m->filters[m->n_filters++] = mem_str(json_string_value(list));
		return 0;
	}
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > AGGREGATES_MAX)
		return yaml_error(src->y, entry, "filter_list", "filter_list: a filter's name or a list of them");
	m->filters = mem_array(json_array_size(list), sizeof(*m->filters));
	json_array_foreach(list, i, name)
	{
		if (!json_is_string(name))
			return yaml_error(src->y, entry, "filter_list", "filter_list: a filter's name is text");
		m->filters[m->n_filters++] = mem_str(json_string_value(name));
	}
	return 0;
}

static int aggregate_read(struct group_metric *m, const struct source *src, const json_t *entry)
{
	static const char *const known[] = { "metric", "filter_list", "aggregation", "weight_by_size" };
	static const char *const words[] = { "yes", "no", "on", "off", "true", "false", "" };
	const char *name = NULL, *how = "mean";
	const json_t *weighted = json_object_get(entry, "weight_by_size");
	int rc = yaml_check_keys(src->y, entry, "aggregate_metric_list", known, ARRAY_LEN(known));

	rc = rc ? rc : yaml_get_text(src->y, entry, "metric", &name);
	rc = rc ? rc : yaml_get_text(src->y, entry, "aggregation", &how);
	if (!rc && (!name || !*name))
		rc = yaml_error(src->y, entry, NULL, "an entry of aggregate_metric_list needs metric: its name");
	if (!rc && strcmp(how, "mean") != 0)
		rc = yaml_error(src->y, entry, "aggregation", "a group is aggregated by mean, not by %s", how);
	rc = rc ? rc : filters_read(m, src, entry);
	if (rc)
		return rc;
	m->name = mem_str(name);
	/* Python's YAML has these words for true and false, ours keeps them as text */
	for (size_t i = 0; json_is_string(weighted) && i < ARRAY_LEN(words); i++)
		if (!strcasecmp(json_string_value(weighted), words[i]))
			return yaml_error(src->y, entry, "weight_by_size",
					  "weight_by_size must be true or false, not %s", json_string_value(weighted));
	/* the harness takes any value that Python calls true; one of its files says "truez" */
	m->by_size = !weighted || !(json_is_false(weighted) || json_is_null(weighted) ||
				    (json_is_number(weighted) && json_number_value(weighted) == 0));
	return 0;
}

static int aggregates_read(struct group *g, const struct source *src)
{
	json_t *list = json_object_get(src->map, "aggregate_metric_list"), *entry;
	bool one = json_is_object(list);
	size_t n = one ? 1 : json_array_size(list);
	int rc = 0;

	if (!list || json_is_null(list))
		return 0;
	if ((!one && !json_is_array(list)) || n > AGGREGATES_MAX)
		return yaml_error(src->y, src->map, "aggregate_metric_list",
				  "aggregate_metric_list: a list of {metric: name}");
	g->metrics = mem_array(n + 1, sizeof(*g->metrics));
	for (size_t i = 0; i < n && !rc; i++) {
		entry = one ? list : json_array_get(list, i);
		if (!json_is_object(entry))
			return yaml_error(src->y, src->map, "aggregate_metric_list",
					  "aggregate_metric_list: a list of {metric: name}");
		g->n_metrics++;
		rc = aggregate_read(&g->metrics[i], src, entry);
	}
	return rc;
}

static void group_digest(struct group *g, const struct suite *s)
{
	struct digest_ctx *c = digest_new();

	digest_text(c, "assay-group/1");
	digest_text(c, g->name);
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < g->members[i].times; k++)
			digest_add(c, s->tasks[g->members[i].task].digest.bytes, sizeof(g->digest.bytes));
	for (size_t i = 0; i < g->n_metrics; i++) {
		digest_text(c, g->metrics[i].name);
		digest_text(c, g->metrics[i].by_size ? "size" : "equal");
		for (size_t k = 0; k < g->metrics[i].n_filters; k++)
			digest_text(c, g->metrics[i].filters[k]);
		digest_text(c, NULL);
	}
	g->digest = digest_end(c);
}

static struct group *group_named(const struct suite *s, const char *name)
{
	for (size_t i = 0; i < s->n_groups; i++)
		if (strcmp(s->groups[i].name, name) == 0)
			return &s->groups[i];
	return NULL;
}

/* A place for a group, before those within it; *again: it is there already, since two groups name it. */
static int group_place(struct reader *r, const struct source *src, const char *name, bool *again)
{
	const struct group *known = group_named(r->s, name);

	*again = known && known->n_metrics && r->depth > 1;
	if (known && !*again)
		return yaml_error(src->y, src->map, "group",
				  known->n_metrics ? "the suite has two groups named \"%s\""
						   : "group \"%s\" is a member of itself",
				  name);
	if (!known) {
		MEM_GROW(r->s->groups, r->s->n_groups, r->s->cap_groups);
		r->s->groups[r->s->n_groups++] = (struct group){ .name = mem_str(name) };
	}
	return 0;
}

/* Takes it: into its place, or, where the same is there, nowhere. */
static int group_put(struct reader *r, const struct source *src, struct group *g, bool again)
{
	struct group *place = group_named(r->s, g->name);
	int rc = 0;

	group_digest(g, r->s);
	if (again && memcmp(&place->digest, &g->digest, sizeof(g->digest)) != 0)
		rc = yaml_error(src->y, src->map, "group", "the suite has two groups named \"%s\", and they differ",
				g->name);
	if (!again) {
		group_release(place);
		*place = *g;
		*g = (struct group){ 0 };
	}
	return rc;
}

static int group_begin(struct reader *r, const struct source *src, const char *outer, struct group *g)
{
	const char *name = NULL;
	int rc = yaml_get_text(src->y, src->map, "group", &name);

	if (!rc && (!name || !*name || strpbrk(name, ", \t\n")))
		rc = yaml_error(src->y, src->map, "group", "a group needs a name without spaces and commas");
	if (!rc && r->depth > GROUP_DEPTH)
		rc = yaml_error(src->y, src->map, "group", "groups go more than %d deep: does one name itself?",
				GROUP_DEPTH);
	if (!rc && ++r->n_read > GROUPS_MAX)
		rc = yaml_error(src->y, src->map, "group", "groups name each other more than %d times", GROUPS_MAX);
	if (rc)
		return rc;
	g->name = outer ? mem_printf("%s::%s", outer, name) : mem_str(name);
	return aggregates_read(g, src);
}

/* outer: of the group in whose list this one stands, NULL for a file of its own. Its tasks are added to out (NULL: to none). */
static int group_read(struct reader *r, const struct source *src, const char *outer, struct members *out)
{
	static const char *const own_keys[] = { "group", "group_alias", "task", "aggregate_metric_list", "metadata" };
	struct group g = { 0 };
	struct members members = { 0 };
	json_t *rest = map_without(src->y, src->map, own_keys, ARRAY_LEN(own_keys));
	bool again = false;
	int rc;

	map_init(&members.groups);
	r->depth++;
	rc = group_begin(r, src, outer, &g);
	if (!rc && g.n_metrics)
		rc = group_place(r, src, g.name, &again);
	rc = rc ? rc : layer_push(r, src, rest, false);
	if (!rc) {
		rc = members_read(r, src, g.name, &members);
		layer_drop(r, false);
	}
	if (!rc && out)
		members_add_group(out, g.name, members.items, members.n);
	g.n = members.n;
	g.members = mem_copy(members.items, members.n * sizeof(*members.items));
	if (!rc && g.n_metrics)
		rc = group_put(r, src, &g, again);
	group_release(&g);
	members_release(&members);
	json_decref(rest);
	r->depth--;
	return rc;
}

int group_load(struct suite *s, const struct source *suite, const struct source *src)
{
	struct names names;
	struct reader r = { .s = s, .suite = suite, .names = &names };
	int rc;

	names_init(&names);
	rc = group_read(&r, src, NULL, NULL);
	names_release(&names);
	return rc;
}

void group_release(struct group *g)
{
	for (size_t i = 0; i < g->n_metrics; i++) {
		for (size_t k = 0; k < g->metrics[i].n_filters; k++)
			free(g->metrics[i].filters[k]);
		free(g->metrics[i].filters);
		free(g->metrics[i].name);
	}
	free(g->metrics);
	free(g->members);
	free(g->name);
	*g = (struct group){ 0 };
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* What a part of the samples alone would have as value and standard error. */
static struct metric part_of(const struct metric *m, size_t from, size_t n)
{
	struct metric part = { .aggregate = AGGREGATE_MEAN, .scores = m->scores + from };

	metric_close(&part, n);
	return part;
}

/* By size there are weights only where members differ in having the metric or in how often they count (metric_join). */
bool group_is_by_size(const struct task_result *t, const struct metric *m)
{
	bool even = m->weights;
	size_t from = 0;

	for (size_t i = 0; i < t->n_members; from += t->members[i++].n) {
		double each = m->parts ? (double)t->members[i].n : 1, times = (double)t->members[i].times, weight;

		if (!t->members[i].n)
			continue;
		weight = m->parts ? m->parts[from * m->n_parts + 1] : m->weights ? m->weights[from] : times;
		if (weight > 0 && weight != times * each)
			return false;
		even = even && weight == m->weights[0];
	}
	return !even;
}

void group_close(struct task_result *t)
{
	for (size_t k = 0; k < t->n_metrics; k++) {
		struct metric *m = &t->metrics[k];
		double pooled = 0, plain = 0, all = 0, parts = 0;
		size_t from = 0;

		metric_close(m, t->n);
		if (m->parts)
			continue;
		for (size_t i = 0; i < t->n_members; i++, from += t->members[i - 1].n) {
			double n = (double)t->members[i].n, se = part_of(m, from, t->members[i].n).stderr_;
			double times = (double)t->members[i].times;

			if (!t->members[i].n || (m->weights && !(m->weights[from] > 0)))
				continue; /* the member has no such metric */
			pooled += times * (n - 1) * n * se * se;
			plain += times * se * se;
			all += times * n;
			parts += times;
		}
		m->stderr_ = group_is_by_size(t, m) ? sqrt(pooled / (all - parts) / all) : sqrt(plain) / parts;
	}
}

static char *text_or_null(const char *s)
{
	return s ? mem_str(s) : NULL;
}

static void samples_join(struct task_result *t, const struct group *g, const struct suite_result *r)
{
	size_t at = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct task_result *from = &r->tasks[g->members[i].task];

		t->members[i] = (struct task_member){ mem_str(from->task), from->n, g->members[i].times };
		for (size_t k = 0; k < from->n; k++) {
			struct sample *s = &t->samples[at++];

			*s = from->samples[k];
			s->id = mem_printf("%s/%s", from->task, from->samples[k].id);
			s->prompt = text_or_null(s->prompt);
			s->target = text_or_null(s->target);
			s->slice = text_or_null(s->slice);
			s->cluster = text_or_null(s->cluster);
			s->response = s->response ? mem_strn(s->response, s->response_len) : NULL;
			json_incref(s->answers);
		}
	}
}

/* Of a metric that is no mean of its samples: a sample's row of parts (corpus.c). from NULL: its task has no such metric. */
static void member_parts(double *row, const struct metric *from, size_t member, size_t sample, double weight)
{
	double *own = row + 3;

	row[0] = (double)member;
	row[1] = from ? weight : 0;
	row[2] = from ? from->aggregate : 0;
	if (from && from->parts) {
		memcpy(own, from->parts + sample * from->n_parts, from->n_parts * sizeof(double));
	} else if (from) {
		own[0] = from->scores[sample];
		own[1] = from->weights ? from->weights[sample] : 1;
	}
}

struct joined {                     /* a metric over the members of a group */
	const struct metric *first; /* of one that has it */
	size_t having;
	double times, samples; /* of those that have it, each as often as it counts */
	bool mean, binary;     /* all are means of their samples; of 0 and 1 */
	bool even;             /* all count as often, and all have it */
};

static bool metric_survey(struct joined *j, const struct group *g, const struct group_metric *m, const char *filter,
			  const struct suite_result *r)
{
	*j = (struct joined){ .binary = true, .even = true };
	for (size_t i = 0; i < g->n; i++) {
		const struct task_result *t = &r->tasks[g->members[i].task];
		const struct metric *from = task_result_metric(t, m->name, filter);

		j->even = j->even && from && g->members[i].times == g->members[0].times;
		if (!from)
			continue;
		if (!j->first) {
			j->first = from;
			j->mean = from->aggregate == AGGREGATE_MEAN && !from->weights;
		}
		if (from->aggregate != j->first->aggregate || from->n_parts != j->first->n_parts ||
		    (from->aggregate == AGGREGATE_MEAN && from->weights)) {
			log_warn("group %s: %s of its tasks is made in different ways: the group has no value of it",
				 g->name, m->name);
			return false;
		}
		j->binary = j->binary && from->binary;
		j->having++;
		j->times += (double)g->members[i].times;
		j->samples += (double)g->members[i].times * (double)(*t->order ? t->n_total : t->n);
	}
	if (!j->having)
		log_warn("group %s: none of its tasks has %s,%s", g->name, m->name, filter);
	else if (j->having < g->n)
		log_warn("group %s: %zu of its %zu tasks have no %s,%s and do not count for it", g->name,
			 g->n - j->having, g->n, m->name, filter);
	return j->having > 0;
}

/* The metric over the members that have it, as in the harness: the others' samples weigh nothing. A mean is the mean of the
 * samples; anything else keeps what its members' values are made of. False, with a warning: there is none. */
static bool metric_join(struct metric *out, const struct group *g, const struct group_metric *m, const char *filter,
			const struct suite_result *r, size_t n)
{
	struct joined j;
	size_t at = 0;

	*out = (struct metric){ 0 };
	if (!metric_survey(&j, g, m, filter, r))
		return false;
	*out = (struct metric){ .name = mem_str(m->name),
				.filter = mem_str(filter),
				.aggregate = j.mean ? AGGREGATE_MEAN : AGGREGATE_MEMBERS,
				.higher_is_better = j.first->higher_is_better,
				.binary = j.mean && j.binary && m->by_size,
				.scores = mem_array(n, sizeof(double)) };
	if (!j.mean) {
		out->n_parts = 3 + (j.first->n_parts ? j.first->n_parts : 2);
		out->parts = mem_array(n, mem_mul(out->n_parts, sizeof(double)));
	} else if (!m->by_size || !j.even) {
		out->weights = mem_array(n, sizeof(double));
	}
	for (size_t i = 0; i < g->n; i++) {
		const struct task_result *t = &r->tasks[g->members[i].task];
		const struct metric *from = task_result_metric(t, m->name, filter);
		double times = (double)g->members[i].times, size = (double)(*t->order ? t->n_total : t->n);
		bool loglik = from && (from->aggregate == AGGREGATE_PERPLEXITY || from->aggregate == AGGREGATE_BITS);

		for (size_t k = 0; k < t->n; k++, at++) {
			if (from) /* of a log-likelihood the higher is the better; of what is made of it, the lower */
				out->scores[at] = loglik ? -from->scores[k] : from->scores[k];
			if (out->weights)
				out->weights[at] = !from        ? 0
						   : m->by_size ? times
								: times * j.samples / (j.times * size);
			if (out->parts)
				member_parts(out->parts + at * out->n_parts, from, i, k,
					     m->by_size ? times * (double)t->n : times);
		}
	}
	return true;
}

/* A name that the list has not yet; borrowed. */
static void name_add(const char **list, size_t *n, const char *name)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp(list[i], name) == 0)
			return;
	list[(*n)++] = name;
}

/* The filters of a metric: those that the group names, or all that its members have it with. */
static size_t filters_of(const char **list, const struct group *g, const struct group_metric *m,
			 const struct suite_result *r)
{
	size_t n = 0;

	for (size_t k = 0; k < m->n_filters; k++)
		name_add(list, &n, m->filters[k]);
	for (size_t i = 0; i < g->n && !m->n_filters; i++) {
		const struct task_result *t = &r->tasks[g->members[i].task];

		for (size_t k = 0; k < t->n_metrics && n < AGGREGATES_MAX; k++)
			if (strcmp(t->metrics[k].name, m->name) == 0)
				name_add(list, &n, t->metrics[k].filter);
	}
	return n;
}

static void metrics_join(struct task_result *out, const struct group *g, const struct suite_result *r)
{
	for (size_t i = 0; i < g->n_metrics; i++) {
		const char *filters[AGGREGATES_MAX];
		size_t n = filters_of(filters, g, &g->metrics[i], r);

		if (!n)
			log_warn("group %s: none of its tasks has %s", g->name, g->metrics[i].name);
		for (size_t k = 0; k < n; k++) {
			out->metrics = mem_resize(out->metrics, (out->n_metrics + 1) * sizeof(*out->metrics));
			out->n_metrics +=
				metric_join(&out->metrics[out->n_metrics], g, &g->metrics[i], filters[k], r, out->n);
		}
	}
}

bool group_result(struct task_result *out, const struct group *g, const struct suite_result *r)
{
	uint64_t below = UINT64_MAX;

	*out = (struct task_result){ 0 };
	for (size_t i = 0; i < g->n; i++) {
		out->n += r->tasks[g->members[i].task].n;
		out->n_total += r->tasks[g->members[i].task].n_total;
		if (*r->tasks[g->members[i].task].order) {
			memcpy(out->order, r->tasks[g->members[i].task].order, sizeof(out->order));
			below = r->tasks[g->members[i].task].asked_below < below
					? r->tasks[g->members[i].task].asked_below
					: below;
		}
	}
	out->asked_below = *out->order ? below : 0;
	metrics_join(out, g, r);
	if (!out->n_metrics) {
		free(out->metrics);
		return false;
	}
	out->task = mem_str(g->name);
	digest_hex(out->digest, &g->digest);
	out->members = mem_array(g->n, sizeof(*out->members));
	out->n_members = g->n;
	out->samples = mem_array(out->n, sizeof(*out->samples));
	samples_join(out, g, r);
	group_close(out);
	return true;
}
