/* task.c: a task file in lm-evaluation-harness keys becomes a task that can be asked.
 *
 * Every key of the harness is known here. What this version does is read; what it does not do yet is refused by name,
 * unless the key has the value that changes nothing (repeats: 1); a key that the harness does not know either is
 * refused with the nearest one that it does. So a file that loads means here what it means there.
 *
 * The digest covers the questions: the keys that shape prompts, targets and scores with their defaults filled in, and
 * the documents of the evaluated split and of the shots, in order. Not names of files, tags or metadata. Equal digests
 * let samples of two runs pair one to one. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { TASK_NAME_MAX = 200, STOPS_MAX = 64, METRICS_FILTERS_MAX = 64 };

/* All keys of a task file (TaskConfig of the harness), and score, which is ours (score_command.c). */
static const char *const task_keys[] = {
	"task",
	"task_alias",
	"tag",
	"include",
	"custom_dataset",
	"dataset_path",
	"dataset_name",
	"dataset_kwargs",
	"training_split",
	"validation_split",
	"test_split",
	"fewshot_split",
	"process_docs",
	"doc_to_text",
	"doc_to_target",
	"doc_to_image",
	"doc_to_audio",
	"unsafe_code",
	"doc_to_choice",
	"process_results",
	"use_prompt",
	"description",
	"target_delimiter",
	"fewshot_delimiter",
	"fewshot_config",
	"num_fewshot",
	"metric_list",
	"output_type",
	"generation_kwargs",
	"repeats",
	"filter_list",
	"should_decontaminate",
	"doc_to_decontamination_query",
	"gen_prefix",
	"metadata",
	"class",
	"score",
};
/* Those that need Python, pictures or sound. */
static const struct {
	const char *key, *why;
} task_never[] = {
	{ "custom_dataset", "a data set made by Python code is not run here" },
	{ "process_results", "Python code is not run here; metric_list says how answers are scored" },
	{ "use_prompt", "prompts of the promptsource package are not here; write doc_to_text and doc_to_target" },
	{ "doc_to_image", "only text is asked: pictures are not read" },
	{ "doc_to_audio", "only text is asked: sound is not read" },
	{ "class", "a task written in Python is not run here" },
};
static const char *const type_names[] = { "loglikelihood", "loglikelihood_rolling", "multiple_choice",
					  "generate_until" };

static bool key_given(const json_t *map, const char *key)
{
	const json_t *v = json_object_get(map, key);

	return v && !json_is_null(v);
}

static int key_later(const struct source *src, const json_t *at, const char *key, const char *what)
{
	return yaml_error(src->y, at, key, "%s comes with a later version", what);
}

/* Text with a default; null counts as absent. */
static int key_text(const struct source *src, const json_t *map, const char *key, const char **out)
{
	return key_given(map, key) ? yaml_get_text(src->y, map, key, out) : 0;
}

static int key_int(const struct source *src, const json_t *map, const char *key, int64_t min, int64_t max, int64_t *out)
{
	return key_given(map, key) ? yaml_get_int(src->y, map, key, min, max, out) : 0;
}

static int key_flag(const struct source *src, const json_t *map, const char *key, bool *out)
{
	return key_given(map, key) ? yaml_get_flag(src->y, map, key, out) : 0;
}

/* ---- keys one by one --------------------------------------------------------------------------------------------- */

static int task_refuse(const struct source *src)
{
	bool flag = false;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(task_never); i++)
		if (key_given(src->map, task_never[i].key))
			return yaml_error(src->y, src->map, task_never[i].key, "%s: %s", task_never[i].key,
					  task_never[i].why);
	rc = key_flag(src, src->map, "unsafe_code", &flag);
	if (!rc && flag)
		rc = key_later(src, src->map, "unsafe_code", "unsafe_code");
	return rc ? rc : key_flag(src, src->map, "should_decontaminate", &flag); /* without effect on its own */
}

static int task_name(struct task *t, const struct source *src)
{
	const char *name = NULL;
	int rc;

	if (json_is_array(json_object_get(src->map, "task")))
		return yaml_error(src->y, src->map, "task",
				  "a list under task makes a group: group: its_name is missing");
	rc = yaml_get_text(src->y, src->map, "task", &name);
	if (rc)
		return rc;
	if (!name || !*name)
		return yaml_error(src->y, src->map, name ? "task" : NULL, "a task needs a name: task: my_task");
	for (const char *s = name; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == ',' || *s == 127 || s - name >= TASK_NAME_MAX)
			return yaml_error(src->y, src->map, "task",
					  "a task's name is up to %d characters without spaces and commas",
					  TASK_NAME_MAX);
	t->name = mem_str(name);
	return 0;
}

static int task_type(struct task *t, const struct source *src)
{
	const char *type = type_names[OUTPUT_GENERATE], *near;
	int rc = key_text(src, src->map, "output_type", &type);

	if (rc)
		return rc;
	for (int i = 0; i < OUTPUT_TYPES; i++)
		if (strcmp(type, type_names[i]) == 0) {
			t->type = (enum output_type)i;
			return 0;
		}
	near = opt_nearest(type, type_names, ARRAY_LEN(type_names));
	return yaml_error(src->y, src->map, "output_type",
			  "unknown output_type \"%s\" (known: loglikelihood, "
			  "loglikelihood_rolling, multiple_choice, generate_until)%s%s%s",
			  type, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int task_filters(struct task *t, const struct source *src)
{
	int64_t repeats = 1;
	int rc = key_int(src, src->map, "repeats", 1, REPEATS_MAX, &repeats);

	t->repeats = (int)repeats;
	rc = rc ? rc : filters_load(&t->filters, &t->n_filters, src, t->type == OUTPUT_GENERATE, t->repeats);
	rc = rc ? rc : metrics_load(&t->metrics, &t->n_metrics, src, t->type);
	if (!rc && t->n_filters * t->n_metrics > METRICS_FILTERS_MAX)
		rc = yaml_error(src->y, src->map, "filter_list", "%zu filters of %zu metrics each are more than %d",
				t->n_filters, t->n_metrics, METRICS_FILTERS_MAX);
	return rc;
}

static int stops_load(struct task *t, const struct source *src, json_t *kwargs)
{
	json_t *until = json_object_get(kwargs, "until"), *stop;
	size_t i, n = 0;

	t->until = mem_array(STOPS_MAX + 2, sizeof(*t->until));
	if (!until || json_is_null(until)) {
		if (*t->fewshot_delimiter)
			t->until[0] = mem_str(t->fewshot_delimiter);
		return 0;
	}
	if (json_is_string(until) && json_string_length(until)) {
		t->until[0] = mem_str(json_string_value(until));
		return 0;
	}
	if (!json_is_array(until) || json_array_size(until) > STOPS_MAX)
		return yaml_error(src->y, kwargs, "until", "until: expected text or a list of up to %d texts",
				  STOPS_MAX);
	json_array_foreach(until, i, stop)
	{
		if (!json_is_string(stop) || !json_string_length(stop))
			return yaml_error(src->y, kwargs, "until", "until: a stop must be text that is not empty");
		t->until[n++] = mem_str(json_string_value(stop));
	}
	return 0;
}

/* How tokens are drawn. As in the harness, a temperature alone asks for sampling, do_sample: false takes it back, and what
 * does not sample has no use for top_k and top_p: they are checked and forgotten. */
static int sampling_load(struct task *t, const struct source *src, json_t *kwargs)
{
	bool sample = key_given(kwargs, "temperature");
	int64_t top_k = 0;
	int rc;

	t->temperature = 1;
	t->top_p = 1;
	rc = sample ? yaml_get_real(src->y, kwargs, "temperature", 0, 100, &t->temperature) : 0;
	rc = rc ? rc : key_flag(src, kwargs, "do_sample", &sample);
	rc = rc ? rc : key_int(src, kwargs, "top_k", 0, INT32_MAX, &top_k);
	if (!rc && key_given(kwargs, "top_p"))
		rc = yaml_get_real(src->y, kwargs, "top_p", 0, 1, &t->top_p);
	if (!rc && t->top_p == 0)
		rc = yaml_error(src->y, kwargs, "top_p", "top_p must be above 0, and at most 1");
	t->temperature = sample ? t->temperature : 0;
	t->top_k = t->temperature > 0 ? (int)top_k : 0;
	t->top_p = t->temperature > 0 && t->top_p < 1 ? t->top_p : 0;
	return rc;
}

static int task_generation(struct task *t, const struct source *src)
{
	static const char *const known[] = { "until",
					     "max_gen_toks",
					     "max_new_tokens",
					     "max_tokens",
					     "max_completion_tokens",
					     "temperature",
					     "do_sample",
					     "top_k",
					     "top_p",
					     "min_p",
					     "num_beams",
					     "typical_p",
					     "repetition_penalty",
					     "num_return_sequences",
					     "penalty_alpha" };
	static const struct {
		const char *key;
		double neutral; /* the value that changes nothing */
	} later[] = {
		{ "min_p", 0 },     { "num_beams", 1 },    { "repetition_penalty", 1 }, { "num_return_sequences", 1 },
		{ "typical_p", 1 }, { "penalty_alpha", 0 }
	};
	static const char *const limits[] = { "max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens" };
	json_t *none = json_object(), *kwargs = json_object_get(src->map, "generation_kwargs");
	int64_t max_tokens = 256;
	int rc = 0;

	if (!kwargs || json_is_null(kwargs))
		kwargs = none;
	if (!json_is_object(kwargs))
		rc = yaml_error(src->y, src->map, "generation_kwargs", "generation_kwargs: expected a mapping");
	for (size_t i = 0; i < ARRAY_LEN(later) && !rc; i++)
		if (key_given(kwargs, later[i].key) &&
		    json_number_value(json_object_get(kwargs, later[i].key)) != later[i].neutral)
			rc = key_later(src, kwargs, later[i].key, later[i].key);
	if (!rc && kwargs != none)
		rc = yaml_check_keys(src->y, kwargs, "generation_kwargs", known, ARRAY_LEN(known));
	rc = rc ? rc : stops_load(t, src, kwargs);
	for (size_t i = ARRAY_LEN(limits); i-- && !rc;) /* the first given wins: read backwards */
		rc = key_int(src, kwargs, limits[i], 1, 1000000, &max_tokens);
	rc = rc ? rc : sampling_load(t, src, kwargs);
	t->max_tokens = (int)max_tokens;
	json_decref(none);
	return rc;
}

/* ---- data and shots ---------------------------------------------------------------------------------------------- */

static int splits_load(struct task *t, const struct source *src)
{
	const char *splits[3] = { NULL, NULL, NULL }, *eval, *key;
	int rc = key_text(src, src->map, "training_split", &splits[0]);

	rc = rc ? rc : key_text(src, src->map, "validation_split", &splits[1]);
	rc = rc ? rc : key_text(src, src->map, "test_split", &splits[2]);
	if (rc)
		return rc;
	eval = splits[2] ? splits[2] : splits[1];
	key = splits[2] ? "test_split" : "validation_split";
	if (!eval)
		return yaml_error(src->y, src->map, NULL,
				  "task %s: test_split or validation_split must name what is asked", t->name);
	rc = split_load(&t->eval, src, key, eval);
	if (!rc && !t->eval.n)
		rc = yaml_error(
			src->y, src->map, key, "task %s: the split \"%s\" is empty%s: nothing to ask", t->name, eval,
			json_is_object(json_object_get(src->map, "process_docs")) ? " once process_docs has chosen"
										  : "");
	rc = rc ? rc : split_check_ids(&t->eval);
	return rc ? rc
		  : fewshot_load(&t->shots, src,
				 &(struct shot_splits){ splits[0], splits[1], splits[2], t->target_delimiter,
							t->fewshot_delimiter, t->type == OUTPUT_ROLLING });
}

static int task_data(struct task *t, const struct source *src)
{
	struct process_docs process;
	struct source with = *src;
	int rc = process_docs_load(&process, src);

	with.process = &process;
	rc = rc ? rc : splits_load(t, &with);
	process_docs_release(&process);
	return rc;
}

/* The first document says whether the questions are the choices; then the shots are known too. */
static int task_inputs(struct task *t, const struct source *src)
{
	struct buf text = BUF_INIT((size_t)1 << 26);
	json_int_t number = -1;
	int rc = 0;

	if (t->text.kind != FIELD_NONE)
		rc = answer_question(&text, &number, &t->text, t->choice.kind != FIELD_NONE, &t->eval.docs[0]);
	buf_release(&text);
	t->inputs = number >= 0;
	if (!rc && t->inputs && t->type != OUTPUT_CHOICE)
		rc = yaml_error(
			src->y, src->map, "doc_to_text",
			"doc_to_text gives a number: only multiple_choice takes its questions from doc_to_choice");
	return rc ? rc : fewshot_render(&t->shots, src, &t->eval, t->inputs);
}

static int task_fields(struct task *t, const struct source *src)
{
	struct {
		struct field *field;
		const char *key;
	} fields[] = { { &t->text, "doc_to_text" }, { &t->target, "doc_to_target" }, { &t->choice, "doc_to_choice" } };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields) && !rc; i++)
		rc = field_load(fields[i].field, src, fields[i].key, &t->eval);
	rc = rc ? rc : field_load(&t->description, src, "description", &t->eval);
	rc = rc ? rc : field_load(&t->gen_prefix, src, "gen_prefix", &t->eval);
	if (rc)
		return rc;
	if (t->text.kind == FIELD_NONE && t->type != OUTPUT_ROLLING)
		return yaml_error(src->y, src->map, NULL, "task %s needs doc_to_text", t->name);
	if (t->target.kind == FIELD_NONE)
		return yaml_error(src->y, src->map, NULL, "task %s needs doc_to_target", t->name);
	if (t->choice.kind == FIELD_NONE && t->type == OUTPUT_CHOICE)
		return yaml_error(src->y, src->map, NULL, "task %s is multiple_choice and needs doc_to_choice",
				  t->name);
	return task_inputs(t, src);
}

static void size_add(struct suite_size *size, uint64_t bytes)
{
	size->longest = bytes > size->longest ? bytes : size->longest;
	size->total = size->total > UINT64_MAX - bytes ? UINT64_MAX : size->total + bytes;
	size->requests++;
}

static void size_add_instance(struct suite_size *size, const struct task *t, const struct instance *in)
{
	int asked = t->temperature > 0 ? t->repeats : 1;

	if (in->prompts[0].messages) {
		size_add(size, UINT64_MAX);
		return;
	}
	for (int i = 0; t->type == OUTPUT_GENERATE && i < asked; i++)
		size_add(size, strlen(in->prompts[0].text) + (uint64_t)t->max_tokens);
	if (t->type == OUTPUT_ROLLING)
		size_add(size, strlen(in->targets[0]));
	for (size_t i = 0; i < in->n_choices; i++)
		size_add(size, strlen(in->prompts[in->n_prompts > 1 ? i : 0].text) + strlen(in->continuations[i]));
	for (size_t i = 0; i < in->n_choices && metrics_need_alone(t->metrics, t->n_metrics); i++)
		size_add(size, strlen(in->continuations[i]));
}

/* Every document is made into requests once, so that a bad row is found now and not after an hour of evaluation. */
static int task_try(struct task *t)
{
	size_t wrong = 0, first = 0;

	for (size_t i = 0; i < t->eval.n; i++) {
		struct instance in;
		int rc = instance_build(&in, t, &t->eval.docs[i]);

		if (rc)
			return err_context(rc, "task %s", t->name);
		if (slice_check(&t->columns, &t->eval.docs[i])) {
			instance_release(&in);
			return err_context(ERR_INPUT, "task %s", t->name);
		}
		if (metrics_check(t->metrics, t->n_metrics, &in)) {
			instance_release(&in);
			return err_context(doc_error(ERR_INPUT, &t->eval.docs[i]), "task %s", t->name);
		}
		for (size_t k = 0; k < in.n_gold; k++)
			if (in.gold[k] < 0) {
				first = wrong++ ? first : i;
				break;
			}
		size_add_instance(&t->size, t, &in);
		instance_release(&in);
	}
	t->size.generates = t->type == OUTPUT_GENERATE;
	if (wrong)
		t->note = mem_printf("task %s: %zu of %zu documents have a right answer that is not among their "
				     "choices (first: %s:%zu); it counts as wrong",
				     t->name, wrong, t->eval.n, t->eval.docs[first].file, t->eval.docs[first].line);
	return 0;
}

/* ---- digest ------------------------------------------------------------------------------------------------------ */

static void digest_field(struct digest_ctx *c, const struct field *f)
{
	struct buf value = BUF_INIT(BUF_NOLIMIT);

	digest_text(c, f->key);
	digest_text(c, f->kind == FIELD_COLUMN ? "column" : f->kind == FIELD_TEMPLATE ? "template" : "value");
	digest_text(c, f->text);
	if (f->value)
		json_add(&value, f->value);
	digest_text(c, f->value ? buf_str(&value) : NULL);
	buf_release(&value);
}

static void digest_docs(struct digest_ctx *c, const struct split *s, size_t n)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);

	for (size_t i = 0; i < n; i++) {
		buf_clear(&text);
		json_add(&text, s->docs[i].value);
		digest_text(c, buf_str(&text));
	}
	digest_text(c, NULL);
	buf_release(&text);
}

/* What came after the first digests, and says nothing where it is not used, so that those stay what they were. */
static void digest_requests(struct digest_ctx *c, const struct task *t, const struct source *src)
{
	const struct field *shown[] = { &t->shots.text, &t->shots.target, &t->shots.choice, &t->shots.gen_prefix };
	struct buf text = BUF_INIT(BUF_NOLIMIT);

	if (!filters_trivial(t->filters, t->n_filters)) {
		json_add(&text, json_object_get(src->map, "filter_list"));
		digest_text(c, buf_str(&text));
	}
	if (t->repeats > 1) {
		buf_clear(&text);
		buf_addf(&text, "repeats %d", t->repeats);
		digest_text(c, buf_str(&text));
	}
	if (t->system && !t->chat)
		digest_text(c, t->system);
	if (t->shots.n && (t->shots.random || t->shots.own_words)) {
		digest_text(c, t->shots.random ? "default" : "first_n");
		for (size_t i = 0; i < ARRAY_LEN(shown); i++)
			digest_field(c, shown[i]);
		digest_text(c, t->shots.target_delimiter);
		digest_text(c, t->shots.delimiter);
	}
	buf_release(&text);
}

static void task_digest(struct task *t, const struct source *src)
{
	struct digest_ctx *c = digest_new();
	const struct field *fields[] = { &t->text, &t->target, &t->choice, &t->description, &t->gen_prefix };
	char number[64];

	digest_text(c, "assay-task/1");
	digest_text(c, t->name);
	digest_text(c, type_names[t->type]);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		digest_field(c, fields[i]);
	digest_text(c, t->target_delimiter);
	digest_text(c, t->fewshot_delimiter);
	digest_text(c, t->filters[0].name);
	snprintf(number, sizeof(number), "%d %d %.17g", t->shots.n, t->type == OUTPUT_GENERATE ? t->max_tokens : 0,
		 t->type == OUTPUT_GENERATE ? t->temperature : 0);
	digest_text(c, number);
	for (size_t i = 0; t->type == OUTPUT_GENERATE && t->until[i]; i++)
		digest_text(c, t->until[i]);
	digest_text(c, NULL);
	metrics_digest(c, t->metrics, t->n_metrics);
	digest_docs(c, &t->eval, t->eval.n);
	if (t->chat) { /* without, the digest is what it was before there were chats */
		digest_text(c, "chat");
		digest_text(c, t->multiturn ? "multiturn" : NULL);
		digest_text(c, t->system);
	}
	if (t->type == OUTPUT_GENERATE && (t->top_k || t->top_p > 0)) { /* likewise */
		snprintf(number, sizeof(number), "top %d %.17g", t->top_k, t->top_p);
		digest_text(c, number);
	}
	digest_docs(c, &t->shots.pool,
		    t->shots.random ? t->shots.pool.n : (size_t)t->shots.n + (t->shots.n && t->shots.leaves_out));
	digest_requests(c, t, src);
	t->digest = digest_end(c);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

int task_load(struct task *t, const struct source *src)
{
	const char *target_delimiter = " ", *fewshot_delimiter = "\n\n";
	int rc;

	*t = (struct task){ 0 };
	rc = task_file_functions(src);
	rc = rc ? rc : yaml_check_keys(src->y, src->map, "task", task_keys, ARRAY_LEN(task_keys));
	rc = rc ? rc : task_refuse(src);
	rc = rc ? rc : task_name(t, src);
	rc = rc ? rc : task_type(t, src);
	rc = rc ? rc : key_text(src, src->map, "target_delimiter", &target_delimiter);
	rc = rc ? rc : key_text(src, src->map, "fewshot_delimiter", &fewshot_delimiter);
	t->target_delimiter = mem_str(target_delimiter);
	t->fewshot_delimiter = mem_str(fewshot_delimiter);
	t->chat = src->chat.apply;
	t->multiturn = src->chat.multiturn;
	t->system = mem_str(src->chat.system);
	rc = rc ? rc : slice_load(&t->columns, src);
	rc = rc ? rc : task_filters(t, src);
	rc = rc ? rc : task_generation(t, src);
	rc = rc ? rc : task_data(t, src);
	rc = rc ? rc : task_fields(t, src);
	rc = rc ? rc : task_try(t);
	if (rc)
		task_release(t);
	else
		task_digest(t, src);
	return rc;
}

void task_release(struct task *t)
{
	field_release(&t->text);
	field_release(&t->target);
	field_release(&t->choice);
	field_release(&t->description);
	field_release(&t->gen_prefix);
	split_release(&t->eval);
	fewshot_release(&t->shots);
	filters_free(t->filters, t->n_filters);
	metrics_free(t->metrics, t->n_metrics);
	slice_release(&t->columns);
	for (size_t i = 0; t->until && t->until[i]; i++)
		free(t->until[i]);
	free(t->until);
	free(t->name);
	free(t->target_delimiter);
	free(t->fewshot_delimiter);
	free(t->system);
	free(t->note);
	*t = (struct task){ 0 };
}
