/* served.c: a model that nobody has in hand: it stands behind a server, at a named location.
 *
 * A commit names it (base: team-vllm); where that is says the machine's own config.yaml or else the target's assay.yaml
 * (locations:), never the candidate's: a pushed commit must not choose where a secret is sent. A folder of that name in the
 * commit comes first.
 *
 * What stands in the store for it is a small object:
 *
 *	{"asked":…,"format":"assay-served/1","location","model","url"}
 *
 * with the time, so that every run has its own: nobody can tell whether the server had the same weights yesterday. So nothing
 * of it is reused, no two runs are identical, and a baseline of this kind has the samples of its own run or none: it cannot
 * be asked again. Its numerics class is "served:MODEL". */
#include "runner/served.h"

#include <time.h>

#include "runner/location.h"

enum { OBJECT_MAX = 1 << 16 };

static int find_location(struct location *out, const struct run *run, const char *name)
{
	const struct config *policy = run_policy(run);
	int rc = location_read(out, store_home(run->home->store), name);

	if (rc == ERR_NOTFOUND && policy && policy->locations)
		rc = location_of(out, policy->yaml, policy->locations, name);
	if (rc != ERR_NOTFOUND)
		return rc;
	err_set(ERR_INPUT,
		"%s: base: the commit has no folder %s, and there is no location of that name in %s/config.yaml or in "
		"the "
		"target's %s",
		CONFIG_FILE, name, store_home(run->home->store), CONFIG_FILE);
	if (run->config.locations && !policy)
		return err_hint(ERR_INPUT, "locations of a commit count once they are on the target branch: until then "
					   "write them into config.yaml");
	return err_hint(ERR_INPUT,
			"a Hugging Face folder, MODEL@ALIAS, {init: {…}}, or locations: {%s: {url: https://HOST/v1, "
			"model: NAME}}",
			name);
}

int served_find(struct run *run)
{
	const struct config_base *b = &run->product->base;
	struct location *l;
	int rc;

	if (b->kind != BASE_FOLDER || strchr(b->text, '/') || tree_is_dir(run->tree, b->text))
		return 0;
	l = mem_alloc(sizeof(*l));
	rc = find_location(l, run, b->text);
	if (rc) {
		free(l);
		return rc;
	}
	run->location = l;
	if (run->product->finetune.present) {
		rc = err_set(ERR_INPUT,
			     "%s: finetune: the base stands behind a server (location %s): there is nothing here "
			     "to train",
			     CONFIG_FILE, l->name);
		return err_hint(rc, "drop finetune to judge the model as it is served");
	}
	return 0;
}

int served_object(struct run *run)
{
	const struct location *l = run->location;
	struct buf text = BUF_INIT(OBJECT_MAX);
	struct timespec now;
	char asked[64];
	json_t *v;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(asked, sizeof(asked), "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
	v = json_pack("{s:s,s:s,s:s,s:s,s:s}", "format", "assay-served/1", "location", l->name, "model", l->model,
		      "url", l->url, "asked", asked);
	json_add(&text, v);
	rc = store_put(run->home->store, buf_str(&text), text.len, run->object);
	json_decref(v);
	buf_release(&text);
	return rc;
}

bool served_is(struct store *s, const char *object, char **model)
{
	struct buf text = BUF_INIT(OBJECT_MAX);
	json_t *v = NULL;
	uint64_t size = 0;
	bool is = false;

	if (*object && store_need(s, object) && store_size(s, object, &size) == 0 && size < OBJECT_MAX &&
	    store_get(s, object, &text, OBJECT_MAX) == 0 && json_parse(&v, buf_str(&text), text.len, object) == 0)
		is = strcmp(json_get_text(v, "format", ""), "assay-served/1") == 0;
	if (is && model)
		*model = mem_str(json_get_text(v, "model", ""));
	err_clear();
	json_decref(v);
	buf_release(&text);
	return is;
}

void served_release(struct run *run)
{
	if (run->location)
		location_release(run->location);
	free(run->location);
	run->location = NULL;
}
