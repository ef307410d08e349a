/* fewshot.c: which documents stand in front of a question as shots, and what they say.
 *
 * The pool is fewshot_config.split, else fewshot_split, else the list fewshot_config.samples, else the training, the
 * validation, the test split. first_n takes its first documents. The default sampler is lm-evaluation-harness's: one
 * random.Random(1234) a task (pyrandom.c), from which every document draws in the order of the rows. So that shots do not
 * depend on the order in which documents are asked, or on a limit, all are drawn when the task is read.
 *
 * A document is left out of its own shots only where the name of the pool's split is the test split's (or where neither
 * has a name): one shot more is drawn, and what equals the document is dropped. The random numbers depend on that rule, so
 * it is kept to the letter; where it lets a document see its own answer, a warning says so.
 *
 * What shots say may differ from what is asked (fewshot_config.doc_to_text and so on). A shot is rendered once, however
 * often it is shown. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { SHOTS_MAX = 1000, SEED = 1234 };
#define DRAWN_MAX ((size_t)1 << 28)

static const char *const shot_keys[] = {
	"sampler",       "split",         "process_docs", "fewshot_indices",   "samples",          "doc_to_text",
	"doc_to_choice", "doc_to_target", "gen_prefix",   "fewshot_delimiter", "target_delimiter",
};

static bool given(const json_t *map, const char *key)
{
	const json_t *v = json_object_get(map, key);

	return v && !json_is_null(v);
}

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

/* Documents that are written in the task file itself. */
static int samples_load(struct split *out, const struct source *src, json_t *config)
{
	json_t *list = json_object_get(config, "samples"), *doc;
	size_t i;

	if (!json_is_array(list) || !json_array_size(list))
		return yaml_error(src->y, config, "samples", "samples: expected a list of documents");
	*out = (struct split){ .name = mem_str("samples"), .files = mem_array(1, sizeof(*out->files)) };
	out->files[out->n_files++] = mem_printf("%s: fewshot_config.samples", src->path);
	json_array_foreach(list, i, doc)
	{
		if (!json_is_object(doc))
			return yaml_error(src->y, config, "samples", "samples: entry %zu is not a mapping", i + 1);
		MEM_GROW(out->docs, out->n, out->cap);
		out->docs[out->n++] = (struct doc){ json_incref(doc), out->files[0], i + 1, mem_printf("%zu", i) };
	}
	return 0;
}

static int pool_load(struct fewshot *f, const struct source *src, const struct shot_splits *splits)
{
	static const char *const keys[] = { "training_split", "validation_split", "test_split" };
	const char *names[] = { splits->training, splits->validation, splits->test };
	const char *name = NULL, *key = "fewshot_split";
	json_t *config = json_object_get(src->map, "fewshot_config");
	int rc = given(src->map, key) ? yaml_get_text(src->y, src->map, key, &name) : 0;

	if (!rc && given(config, "split"))
		rc = yaml_get_text(src->y, config, "split", &name);
	if (rc)
		return rc;
	f->leaves_out = name && splits->test ? strcmp(name, splits->test) == 0 : !name && !splits->test;
	if (!name && given(config, "samples"))
		return samples_load(&f->pool, src, config);
	for (size_t i = 0; i < ARRAY_LEN(keys) && !name; i++) {
		name = names[i];
		key = keys[i];
	}
	f->own_answers = strcmp(name, splits->test ? splits->test : splits->validation) == 0 && !f->leaves_out;
	return split_load(&f->pool, src, key, name);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* The harness draws once more than it needs, drops what equals the document, and draws again among the others if that
 * was more than one. */
static void draw_others(struct pyrandom *r, const struct fewshot *f, const struct doc *d, uint32_t *out)
{
	size_t n = (size_t)f->n, kept = 0, others = 0;
	uint32_t *drawn = mem_array(n + 1, sizeof(*drawn)), *rest;

	pyrandom_sample(r, (uint32_t)f->pool.n, drawn, n + 1);
	for (size_t i = 0; i <= n && kept < n; i++)
		if (!json_equal(f->pool.docs[drawn[i]].value, d->value))
			out[kept++] = drawn[i];
	free(drawn);
	if (kept == n)
		return;
	rest = mem_array(f->pool.n, sizeof(*rest));
	for (size_t i = 0; i < f->pool.n; i++)
		if (!json_equal(f->pool.docs[i].value, d->value))
			rest[others++] = (uint32_t)i;
	if (others >= n) {
		pyrandom_sample(r, (uint32_t)others, out, n);
		for (size_t i = 0; i < n; i++)
			out[i] = rest[out[i]];
	} else {
		out[0] = UINT32_MAX;
	}
	free(rest);
}

static void first_others(const struct fewshot *f, const struct doc *d, uint32_t *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->pool.n && kept < (size_t)f->n; i++)
		if (!f->leaves_out || !json_equal(f->pool.docs[i].value, d->value))
			out[kept++] = (uint32_t)i;
	if (kept < (size_t)f->n)
		out[0] = UINT32_MAX;
}

static int draw_all(struct fewshot *f, const struct split *asked)
{
	struct pyrandom r;

	if (mem_mul((size_t)f->n, asked->n) > DRAWN_MAX)
		return err_set(ERR_INPUT, "%d shots for each of %zu documents are too many", f->n, asked->n);
	f->drawn = mem_array(mem_mul((size_t)f->n, asked->n), sizeof(*f->drawn));
	pyrandom_seed(&r, SEED);
	for (size_t i = 0; i < asked->n; i++) {
		uint32_t *out = f->drawn + i * (size_t)f->n;

		if (!f->random)
			first_others(f, &asked->docs[i], out);
		else if (f->leaves_out)
			draw_others(&r, f, &asked->docs[i], out);
		else
			pyrandom_sample(&r, (uint32_t)f->pool.n, out, (size_t)f->n);
		if (out[0] == UINT32_MAX)
			return doc_error(
				err_set(ERR_INPUT,
					"%d shots wanted, but the split \"%s\" has not so many other documents", f->n,
					f->pool.name),
				&asked->docs[i]);
	}
	return 0;
}

/* ---- what a shot says -------------------------------------------------------------------------------------------- */

static const char *choice_at(const json_t *choices, json_int_t at)
{
	return at >= 0 && (size_t)at < json_array_size(choices) ? json_string_value(json_array_get(choices, (size_t)at))
								: NULL;
}

/* The target, the first of a list, or the choice of that number. */
static int shot_answer(struct shot *s, const struct fewshot *f, bool inputs, const json_t *choices, const struct doc *d)
{
	json_t *target;
	const json_t *first;
	int rc = answer_target(&target, &f->target, f->choice.kind != FIELD_NONE, d);

	if (rc)
		return rc;
	s->answered = !json_is_string(target) || json_string_length(target);
	first = json_is_array(target) ? json_array_get(target, 0) : target;
	if (first && json_is_integer(first) && choices && !inputs)
		s->answer = mem_str(choice_at(choices, json_integer_value(first)));
	else if (first)
		s->answer = answer_scalar(first);
	json_decref(target);
	if (!s->answer)
		rc = doc_error(err_set(ERR_INPUT, "as a shot this row needs an answer: doc_to_target gives none"), d);
	return rc;
}

static int shot_render(struct shot *s, const struct fewshot *f, bool inputs, const struct doc *d)
{
	struct buf question = BUF_INIT((size_t)1 << 26), prefix = BUF_INIT((size_t)1 << 26);
	bool choice = f->choice.kind != FIELD_NONE;
	json_t *choices = NULL;
	json_int_t number;
	int rc = answer_question(&question, &number, &f->text, choice, d);

	if (!rc && choice)
		rc = answer_choices(&choices, &f->choice, d);
	if (!rc && (number >= 0) != inputs)
		rc = doc_error(err_set(ERR_INPUT, "doc_to_text gives %s here, and %s in the first document",
				       inputs ? "text" : "a number", inputs ? "a number" : "text"),
			       d);
	if (!rc && inputs) {
		const char *chosen = choice_at(choices, number);

		if (!chosen)
			rc = doc_error(err_set(ERR_INPUT, "doc_to_text is %lld, but there are %zu choices",
					       (long long)number, json_array_size(choices)),
				       d);
		buf_clear(&question);
		buf_adds(&question, chosen ? chosen : "");
	}
	rc = rc ? rc : field_text(&prefix, &f->gen_prefix, d);
	rc = rc ? rc : shot_answer(s, f, inputs, choices, d);
	json_decref(choices);
	s->question = buf_take(&question);
	s->prefix = buf_take(&prefix);
	return rc;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/* A field of the shots: fewshot_config's, else the task's. */
static int shot_field(struct field *f, const struct source *src, const char *key, const struct split *columns)
{
	json_t *config = json_object_get(src->map, "fewshot_config");
	struct source from = *src;

	if (given(config, key))
		from.map = config;
	return field_load(f, &from, key, columns);
}

static int config_load(struct fewshot *f, const struct source *src, const char *target_delimiter, const char *delimiter)
{
	json_t *config = json_object_get(src->map, "fewshot_config");
	const char *sampler = "default";
	int rc = 0;

	if (config && !json_is_null(config)) {
		if (!json_is_object(config))
			return yaml_error(src->y, src->map, "fewshot_config", "fewshot_config: expected a mapping");
		rc = yaml_check_keys(src->y, config, "fewshot_config", shot_keys, ARRAY_LEN(shot_keys));
		if (!rc && given(config, "process_docs"))
			rc = yaml_error(src->y, config, "process_docs", "process_docs comes with a later version");
		if (!rc && given(config, "fewshot_indices"))
			log_warn("%s: fewshot_indices has no effect, as in lm-evaluation-harness", src->path);
		rc = rc ? rc : yaml_get_text(src->y, config, "sampler", &sampler);
		if (!rc && given(config, "target_delimiter"))
			rc = yaml_get_text(src->y, config, "target_delimiter", &target_delimiter);
		if (!rc && given(config, "fewshot_delimiter"))
			rc = yaml_get_text(src->y, config, "fewshot_delimiter", &delimiter);
	}
	if (rc)
		return rc;
	for (size_t i = 4; i < ARRAY_LEN(shot_keys); i++)
		f->own_words |= given(config, shot_keys[i]);
	f->random = strcmp(sampler, "default") == 0;
	if (!f->random && strcmp(sampler, "first_n") != 0)
		return yaml_error(src->y, config, "sampler", "unknown sampler \"%s\" (known: default, first_n)",
				  sampler);
	f->target_delimiter = mem_str(target_delimiter);
	f->delimiter = mem_str(delimiter);
	return 0;
}

int fewshot_load(struct fewshot *f, const struct source *src, const struct shot_splits *splits)
{
	int64_t shots = 0;
	int rc = given(src->map, "num_fewshot") ? yaml_get_int(src->y, src->map, "num_fewshot", 0, SHOTS_MAX, &shots)
						: 0;

	rc = rc ? rc : config_load(f, src, splits->target_delimiter, splits->delimiter);
	if (rc || !shots)
		return rc;
	if (splits->rolling) { /* the harness takes the key, too, and shows none */
		log_warn("%s: num_fewshot has no effect: loglikelihood_rolling has no prompt", src->path);
		return 0;
	}
	f->n = (int)shots;
	rc = pool_load(f, src, splits);
	if (!rc && f->pool.n < (size_t)shots + f->leaves_out)
		rc = yaml_error(src->y, src->map, "num_fewshot",
				"%d shots wanted, but the split \"%s\" has %zu documents%s", f->n, f->pool.name,
				f->pool.n, f->leaves_out ? ", one of which is asked" : "");
	if (!rc && f->own_answers)
		log_warn("%s: shots come from the documents that are asked, and a document may be shown its own "
			 "answer, as in "
			 "lm-evaluation-harness: name another fewshot_split, or make the split test_split",
			 src->path);
	return rc;
}

int fewshot_render(struct fewshot *f, const struct source *src, const struct split *asked, bool inputs)
{
	struct {
		struct field *field;
		const char *key;
	} fields[] = { { &f->text, "doc_to_text" },
		       { &f->target, "doc_to_target" },
		       { &f->choice, "doc_to_choice" },
		       { &f->gen_prefix, "gen_prefix" } };
	int rc = 0;

	if (!f->n)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(fields) && !rc; i++)
		rc = shot_field(fields[i].field, src, fields[i].key, asked);
	rc = rc ? rc : draw_all(f, asked);
	f->shots = mem_array(f->pool.n, sizeof(*f->shots));
	for (size_t i = 0; i < asked->n * (size_t)f->n && !rc; i++) {
		struct shot *s = &f->shots[f->drawn[i]];

		if (!s->question)
			rc = shot_render(s, f, inputs, &f->pool.docs[f->drawn[i]]);
	}
	return rc;
}

const struct shot *fewshot_get(const struct fewshot *f, size_t doc, int i)
{
	return &f->shots[f->drawn[doc * (size_t)f->n + (size_t)i]];
}

void fewshot_release(struct fewshot *f)
{
	field_release(&f->text);
	field_release(&f->target);
	field_release(&f->choice);
	field_release(&f->gen_prefix);
	for (size_t i = 0; f->shots && i < f->pool.n; i++) {
		free(f->shots[i].question);
		free(f->shots[i].answer);
		free(f->shots[i].prefix);
	}
	free(f->shots);
	free(f->drawn);
	free(f->target_delimiter);
	free(f->delimiter);
	split_release(&f->pool);
	*f = (struct fewshot){ 0 };
}
