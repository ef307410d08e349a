/* step_train.c: the model: reused, loaded, or trained; at the end run->object names it in the store.
 *
 * Two runs that would train the same key take turns by a lease; the second then finds the first one's result. Work goes
 * on in work/TRUST-KEY beside the store, where an interrupted training left its checkpoint, so that the same commit
 * resumes, of its own trust class only. */
#include "base/base.h"
#include "runner/runner.h"
#include "runner/served.h"

int train_known(struct run *run)
{
	json_t *row = NULL, *output;
	const char *object;
	int rc;

	if (run->options->fresh)
		return 0;
	rc = registry_stage(run->home->registry, "train", run->train_key, run->event.trust, &row);

	if (rc == ERR_NOTFOUND) {
		err_clear();
		return 0;
	}
	if (rc)
		return rc;
	output = json_object_get(row, "output");
	object = json_get_text(output, "object", "");
	if (*object && store_need(run->home->store, object)) {
		snprintf(run->object, sizeof(run->object), "%s", object);
		run->training = json_incref(json_object_get(output, "training"));
	}
	json_decref(row);
	return 0;
}

/* The base as it is: a folder, put into the store. */
static int store_folder(struct run *run, const char *out)
{
	return run->hub.name ? hub_model_export(&run->hub, out) : tree_export(run->tree, run->product->base.text, out);
}

static int make_model(struct run *run, const char *work)
{
	const struct config_finetune *f = &run->product->finetune;
	char *out = path_join(work, "out");
	uint64_t size = 0;
	int rc = fs_remove_tree(out);

	if (rc == 0)
		rc = fs_mkdirs(out);
	if (rc == 0) {
		if (f->present && f->command.n)
			rc = trainer_command(run, work, out);
		else if (f->present || run->product->base.kind == BASE_INIT)
			rc = trainer_own(run, work, out);
		else
			rc = store_folder(run, out);
	}
	if (rc == 0)
		rc = store_put_tree(run->home->store, out, run->object, &size);
	free(out);
	return rc;
}

int step_train(struct run *run)
{
	struct lease *lease = NULL;
	char *name, *work = NULL;
	int rc;

	if (run->repair) {
		run->steps[RUN_TRAIN].status = STEP_SKIPPED;
		return 0;
	}
	if (*run->object) {
		run->steps[RUN_TRAIN].status = STEP_REUSED;
		return 0;
	}
	if (run->location) {
		run->steps[RUN_TRAIN].status = STEP_SKIPPED;
		return served_object(run);
	}
	if (!run->may_train && (run->product->finetune.present || run->product->base.kind == BASE_INIT)) {
		run->steps[RUN_TRAIN].status = STEP_SKIPPED;
		run->left_to_ci = true;
		run_note(run, "this profile trains nothing: training is left to CI");
		return 0;
	}
	name = mem_printf("train-%.16s", run->train_key);
	rc = lease_take(&lease, run->home->store, name, run->options->wait_s);
	if (rc == ERR_BUSY) {
		rc = err_set(ERR_INTERRUPTED, "another run is training this model: %s", err_text());
		err_hint(rc, "try again when it has ended; its result is reused");
	}
	if (rc == 0) /* another run may have trained it while this one waited */
		rc = train_known(run);
	if (rc == 0 && *run->object) {
		run->steps[RUN_TRAIN].status = STEP_REUSED;
	} else if (rc == 0) {
		work = mem_printf("%s/work/%s-%s", store_home(run->home->store),
				  run->options->fresh ? "reproduce" : trust_name(run->event.trust), run->train_key);
		rc = make_model(run, work);
		if (rc == 0 && run->training && json_get_flag(run->training, "resumed", false))
			run->steps[RUN_TRAIN].status = STEP_RESUMED;
		if (rc == 0 || rc != ERR_INTERRUPTED) { /* an interrupted one keeps its checkpoint */
			struct err_saved saved = err_save();

			fs_remove_tree(work);
			err_restore(&saved);
		}
	}
	lease_drop(lease);
	free(work);
	free(name);
	return rc;
}
