/* prompt.c: from a document to the texts that the model sees, laid out as lm-evaluation-harness does without a chat
 * template, so that the same task file asks the same question in both:
 *
 *	description  { shot's text  target_delimiter  answer  fewshot_delimiter } × num_fewshot  own text  [gen_prefix]
 *
 * A gen_prefix starts each answer: one space joins it to the answer, the target_delimiter to the text before it, and
 * either is left out where white space is there already. A shot without an answer brings no delimiters. Shots are the
 * first documents of the pool; where the pool is the evaluated split, one more is drawn and the document itself is
 * left out (the harness does so for the test split only; we never show a document its own answer).
 *
 * An instance is then the document as requests: multiple_choice scores target_delimiter + choice behind the prompt,
 * loglikelihood the target as it is, loglikelihood_rolling the target alone; generate_until keeps the right answers. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { CHOICES_MAX = 1000 };

/* ---- white space at the seams ------------------------------------------------------------------------------------ */

static bool starts_with_space(const char *s, size_t len)
{
	size_t used;

	return len && utf8_is_space(utf8_next(s, len, &used));
}

static bool ends_with_space(const char *s, size_t len)
{
	size_t at = len, used;

	if (!len)
		return false;
	do
		at--;
	while (at && len - at < 4 && ((unsigned char)s[at] & 0xc0) == 0x80);
	return utf8_is_space(utf8_next(s + at, len - at, &used));
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* A scalar as Python's str() would print it; yours. NULL for a list or an object. */
static char *scalar_text(const json_t *v)
{
	struct buf out = BUF_INIT(64);

	if (json_is_string(v))
		return mem_str(json_string_value(v));
	if (json_is_integer(v))
		return mem_printf("%lld", (long long)json_integer_value(v));
	if (json_is_boolean(v))
		return mem_str(json_is_true(v) ? "True" : "False");
	if (json_is_null(v))
		return mem_str("None");
	if (!json_is_real(v))
		return NULL;
	json_add(&out, v);
	return buf_take(&out);
}

static bool all_digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n && n < 10 && !s[n];
}

/* doc_to_target as the harness reads it: a whole number, text, or a list of these. */
static int target_value(json_t **out, const struct task *t, const struct doc *d)
{
	bool choice = t->choice.kind != FIELD_NONE;
	json_t *v, *list = NULL;
	const char *s;
	int rc = field_eval(&v, &t->target, d);

	*out = NULL;
	if (rc)
		return rc;
	if (t->target.kind == FIELD_TEMPLATE) {
		s = json_string_value(v);
		if (choice && all_digits(s)) {
			list = json_integer(strtoll(s, NULL, 10));
		} else if (*s == '[' && s[strlen(s) - 1] == ']' && literal_parse(&list, s, strlen(s))) {
			list = NULL; /* text that merely looks like a list */
			err_clear();
		}
	} else if (json_is_boolean(v) && choice) {
		list = json_integer(json_is_true(v));
	}
	if (list) {
		json_decref(v);
		v = list;
	}
	*out = v;
	return 0;
}

static int choices_value(json_t **out, const struct task *t, const struct doc *d)
{
	json_t *v, *list, *choice;
	size_t i;
	int rc = field_eval(&v, &t->choice, d);

	*out = NULL;
	if (rc)
		return rc;
	if (t->choice.kind == FIELD_TEMPLATE) {
		rc = literal_parse(&list, json_string_value(v), json_string_length(v));
		json_decref(v);
		if (rc)
			return doc_error(err_context(rc, "doc_to_choice"), d);
		v = list;
	}
	if (!json_is_array(v) || json_array_size(v) == 0 || json_array_size(v) > CHOICES_MAX)
		rc = err_set(ERR_INPUT, "doc_to_choice must give a list of 1 to %d texts", CHOICES_MAX);
	else
		json_array_foreach(v, i, choice)
		{
			if (!json_is_string(choice))
				rc = err_set(ERR_INPUT, "doc_to_choice: choice %zu is not text", i);
		}
	if (rc) {
		json_decref(v);
		return doc_error(rc, d);
	}
	*out = v;
	return 0;
}

/* ---- layout ------------------------------------------------------------------------------------------------------ */

/* One question, with its answer or (answer NULL) without. */
static void turn_add(struct buf *out, const struct task *t, const struct buf *question, const char *answer,
		     const struct buf *prefix)
{
	bool seam = prefix->len && question->len && !ends_with_space(question->data, question->len) &&
		    !starts_with_space(prefix->data, prefix->len);

	buf_add(out, buf_str(question), question->len);
	if (seam || (answer && *answer && !prefix->len))
		buf_adds(out, t->target_delimiter);
	if (answer && !*answer)
		return;
	buf_add(out, buf_str(prefix), prefix->len);
	if (!answer)
		return;
	if (prefix->len && !ends_with_space(prefix->data, prefix->len) && !starts_with_space(answer, strlen(answer)))
		buf_addc(out, ' ');
	buf_adds(out, answer);
	buf_adds(out, t->fewshot_delimiter);
}

/* The answer of a shot: the target, the first of a list, or the choice of that number. Yours. */
static int shot_answer(char **out, const struct task *t, const struct doc *d)
{
	json_t *target, *choices, *first;
	int rc = target_value(&target, t, d);

	*out = NULL;
	if (rc)
		return rc;
	first = json_is_array(target) ? json_array_get(target, 0) : target;
	if (first && json_is_integer(first) && t->choice.kind != FIELD_NONE) {
		rc = choices_value(&choices, t, d);
		if (!rc) {
			json_int_t at = json_integer_value(first);

			if (at >= 0 && (size_t)at < json_array_size(choices))
				*out = scalar_text(json_array_get(choices, (size_t)at));
			json_decref(choices);
		}
	} else if (first) {
		*out = scalar_text(first);
	}
	json_decref(target);
	if (!rc && !*out)
		rc = doc_error(err_set(ERR_INPUT, "as a shot this row needs an answer: doc_to_target gives none"), d);
	return rc;
}

/* Calls each() for the shots of a document, in order. */
static int shots_each(const struct task *t, const struct doc *d,
		      int (*each)(const struct buf *question, const char *answer, void *arg), void *arg)
{
	struct buf question = BUF_INIT((size_t)1 << 26);
	char *answer = NULL;
	int left = t->num_fewshot, rc = 0;

	for (size_t i = 0; i < t->pool.n && left > 0 && !rc; i++) {
		const struct doc *shot = &t->pool.docs[i];

		if (t->pool_is_eval && json_equal(shot->value, d->value))
			continue;
		buf_clear(&question);
		rc = field_text(&question, &t->text, shot);
		if (!rc)
			rc = shot_answer(&answer, t, shot);
		if (!rc)
			rc = each(&question, answer, arg);
		free(answer);
		answer = NULL;
		left--;
	}
	buf_release(&question);
	return rc;
}

struct layout {
	const struct task *t;
	const struct buf *prefix;
	struct buf *out;  /* as text */
	json_t *messages; /* as turns */
};

static int shot_text(const struct buf *question, const char *answer, void *arg)
{
	const struct layout *l = arg;

	turn_add(l->out, l->t, question, answer, l->prefix);
	return 0;
}

static int shots_add(struct buf *out, const struct task *t, const struct doc *d, const struct buf *prefix)
{
	struct layout l = { .t = t, .prefix = prefix, .out = out };

	return shots_each(t, d, shot_text, &l);
}

static int question_text(struct buf *out, const struct task *t, const struct doc *d)
{
	int rc = field_text(out, &t->text, d);

	if (!rc && t->choice.kind != FIELD_NONE && all_digits(buf_str(out))) {
		rc = err_set(ERR_INPUT,
			     "doc_to_text gives a number: tasks with several inputs come with a later version");
		doc_error(rc, d);
	}
	return rc;
}

int prompt_build(struct buf *out, const struct task *t, const struct doc *d)
{
	struct buf prefix = BUF_INIT((size_t)1 << 26), question = BUF_INIT((size_t)1 << 26);
	int rc = field_text(out, &t->description, d);

	if (!rc)
		rc = field_text(&prefix, &t->gen_prefix, d);
	if (!rc && t->num_fewshot)
		rc = shots_add(out, t, d, &prefix);
	if (!rc)
		rc = question_text(&question, t, d);
	if (!rc)
		turn_add(out, t, &question, NULL, &prefix);
	if (!rc && buf_full(out))
		rc = doc_error(err_set(ERR_INPUT, "the prompt is larger than %zu MiB", out->max >> 20), d);
	buf_release(&prefix);
	buf_release(&question);
	return rc;
}

/* ---- conversations ------------------------------------------------------------------------------------------------- */

static void message_add(json_t *messages, const char *role, const char *content, size_t len)
{
	json_array_append_new(messages, json_pack("{s:s,s:o}", "role", role, "content", json_new_text(content, len)));
}

/* a and b with the delimiter between them, unless one of them is empty or there is white space at the seam. */
static void delimit(struct buf *out, const char *a, const char *delimiter, const char *b)
{
	buf_adds(out, a);
	if (*a && *b && !ends_with_space(a, strlen(a)) && !starts_with_space(b, strlen(b)))
		buf_adds(out, delimiter);
	buf_adds(out, b);
}

static int shot_turns(const struct buf *question, const char *answer, void *arg)
{
	const struct layout *l = arg;
	struct buf text = BUF_INIT((size_t)1 << 26);

	message_add(l->messages, "user", buf_str(question), question->len);
	delimit(&text, buf_str(l->prefix), " ", answer);
	if (*answer || l->prefix->len)
		message_add(l->messages, "assistant", buf_str(&text), text.len);
	buf_release(&text);
	return 0;
}

/* As the harness builds it: system_instruction and description are the system's message, a gen_prefix the beginning of
 * the answer; shots are turns, or stand in front of the question in one message. */
static int messages_build(struct instance *in, const struct task *t, const struct doc *d)
{
	struct buf prefix = BUF_INIT((size_t)1 << 26), text = BUF_INIT((size_t)1 << 26),
		   part = BUF_INIT((size_t)1 << 26);
	struct layout l = { .t = t, .prefix = &prefix, .out = &text };
	int rc = field_text(&part, &t->description, d);

	l.messages = in->messages = json_array();
	delimit(&text, t->system ? t->system : "", t->fewshot_delimiter, buf_str(&part));
	if (text.len)
		message_add(in->messages, "system", text.data, text.len);
	buf_clear(&text);
	buf_clear(&part);
	if (!rc)
		rc = field_text(&prefix, &t->gen_prefix, d);
	if (!rc && t->num_fewshot)
		rc = shots_each(t, d, t->multiturn ? shot_turns : shot_text, &l);
	if (!rc)
		rc = question_text(&part, t, d);
	buf_add(&text, buf_str(&part), part.len);
	message_add(in->messages, "user", buf_str(&text), text.len);
	in->continues = prefix.len > 0;
	if (in->continues)
		message_add(in->messages, "assistant", prefix.data, prefix.len);
	if (!rc && (buf_full(&text) || buf_full(&part)))
		rc = doc_error(err_set(ERR_INPUT, "the prompt is larger than %zu MiB", text.max >> 20), d);
	buf_release(&prefix);
	buf_release(&text);
	buf_release(&part);
	return rc;
}

int instance_chat(struct instance *in, const struct task *t, const struct scorer *scorer)
{
	struct buf out = BUF_INIT((size_t)1 << 26);
	int rc;

	if (!in->messages)
		return 0;
	if (!scorer->chat) {
		rc = err_set(ERR_INPUT, "task %s is asked through a chat template, and the model has none", t->name);
		return err_hint(rc, "add chat_template.jinja to the model's folder, or drop apply_chat_template");
	}
	rc = scorer->chat(scorer->self, in->messages, in->continues, &out);
	if (!rc && buf_full(&out))
		rc = err_set(ERR_INPUT, "the chat template writes more than %zu MiB", out.max >> 20);
	if (rc) {
		buf_release(&out);
		return err_context(rc, "task %s", t->name);
	}
	free(in->context);
	in->context = buf_take(&out);
	return 0;
}

/* What stands between the prompt and a choice: in a conversation the template has closed the question already. */
static const char *choice_delimiter(const struct task *t)
{
	const char *prefix = t->gen_prefix.text;

	return !t->chat || (prefix && *prefix && !ends_with_space(prefix, strlen(prefix))) ? t->target_delimiter : "";
}

/* ---- instances --------------------------------------------------------------------------------------------------- */

static int instance_target(struct instance *in, const json_t *v, const struct doc *d)
{
	size_t n = json_is_array(v) ? json_array_size(v) : 1;

	in->targets = mem_array(n + 1, sizeof(*in->targets));
	for (size_t i = 0; i < n; i++) {
		char *text = scalar_text(json_is_array(v) ? json_array_get(v, i) : v);

		if (!text)
			return doc_error(
				err_set(ERR_INPUT, "doc_to_target must give text, a number or a list of these"), d);
		in->targets[in->n_targets++] = text;
	}
	if (!n)
		return doc_error(err_set(ERR_INPUT, "doc_to_target gives an empty list"), d);
	return 0;
}

static int choice_index(const struct instance *in, const json_t *gold)
{
	if (json_is_integer(gold)) {
		json_int_t at = json_integer_value(gold);

		return at >= 0 && (size_t)at < in->n_choices ? (int)at : -1;
	}
	for (size_t i = 0; json_is_string(gold) && i < in->n_choices; i++)
		if (strcmp(in->choices[i], json_string_value(gold)) == 0)
			return (int)i;
	return -1;
}

static int instance_choices(struct instance *in, const struct task *t, const struct doc *d)
{
	json_t *choices, *target = NULL;
	int rc = choices_value(&choices, t, d);

	if (rc)
		return rc;
	in->n_choices = json_array_size(choices);
	in->choices = mem_array(in->n_choices, sizeof(*in->choices));
	in->continuations = mem_array(in->n_choices, sizeof(*in->continuations));
	for (size_t i = 0; i < in->n_choices; i++) {
		in->choices[i] = mem_str(json_string_value(json_array_get(choices, i)));
		in->continuations[i] = mem_printf("%s%s", choice_delimiter(t), in->choices[i]);
		if (!*in->continuations[i] && !rc)
			rc = doc_error(err_set(ERR_INPUT, "choice %zu is empty: there is nothing to score", i), d);
	}
	json_decref(choices);
	if (!rc)
		rc = target_value(&target, t, d);
	if (rc)
		return rc;
	in->n_gold = json_is_array(target) ? json_array_size(target) : 1;
	in->gold = mem_array(in->n_gold + 1, sizeof(*in->gold));
	for (size_t i = 0; i < in->n_gold; i++)
		in->gold[i] = choice_index(in, json_is_array(target) ? json_array_get(target, i) : target);
	if (!in->n_gold)
		in->gold[in->n_gold++] = -1;
	json_decref(target);
	return 0;
}

/* The texts that are right, for the types that have no choices to score. */
static int instance_answers(struct instance *in, const struct task *t, const struct doc *d)
{
	json_t *target, *choices, *chosen;
	int rc = target_value(&target, t, d);

	if (!rc && t->type == OUTPUT_GENERATE && t->choice.kind != FIELD_NONE && json_is_integer(target)) {
		rc = choices_value(&choices, t, d);
		if (!rc) {
			json_int_t at = json_integer_value(target);

			chosen = at >= 0 ? json_array_get(choices, (size_t)at) : NULL;
			if (!chosen)
				rc = doc_error(err_set(ERR_INPUT, "doc_to_target is %lld, but there are %zu choices",
						       (long long)at, json_array_size(choices)),
					       d);
			json_decref(target);
			target = json_incref(chosen);
			json_decref(choices);
		}
	}
	if (!rc && t->type != OUTPUT_GENERATE && json_is_array(target))
		rc = doc_error(err_set(ERR_INPUT, "doc_to_target must give one text to score, not a list"), d);
	if (!rc)
		rc = instance_target(in, target, d);
	if (!rc && t->type != OUTPUT_GENERATE && !*in->targets[0])
		rc = doc_error(err_set(ERR_INPUT, "doc_to_target is empty: there is nothing to score"), d);
	json_decref(target);
	return rc;
}

int instance_build(struct instance *out, const struct task *t, const struct doc *d)
{
	struct buf prompt = BUF_INIT((size_t)1 << 26);
	int rc;

	*out = (struct instance){ 0 };
	rc = t->type == OUTPUT_CHOICE ? instance_choices(out, t, d) : instance_answers(out, t, d);
	if (!rc && t->type == OUTPUT_ROLLING)
		buf_adds(&prompt, out->targets[0]);
	else if (!rc)
		rc = t->chat ? messages_build(out, t, d) : prompt_build(&prompt, t, d);
	if (!rc && t->type == OUTPUT_LOGLIK) {
		out->n_choices = 1;
		out->continuations = mem_array(1, sizeof(*out->continuations));
		out->continuations[0] = mem_str(out->targets[0]);
	}
	if (rc) {
		buf_release(&prompt);
		instance_release(out);
		return rc;
	}
	out->context = buf_take(&prompt);
	return 0;
}

void instance_release(struct instance *in)
{
	for (size_t i = 0; i < in->n_choices; i++) {
		if (in->choices)
			free(in->choices[i]);
		if (in->continuations)
			free(in->continuations[i]);
	}
	for (size_t i = 0; i < in->n_targets; i++)
		free(in->targets[i]);
	free(in->choices);
	free(in->continuations);
	free(in->gold);
	free(in->targets);
	free(in->context);
	json_decref(in->messages);
	*in = (struct instance){ 0 };
}

int prompt_own_text(struct buf *question, struct buf *answer, const struct task *t, const struct doc *d)
{
	struct instance in;
	int rc = instance_build(&in, t, d);

	if (rc)
		return rc;
	if (t->type != OUTPUT_ROLLING)
		rc = field_text(question, &t->text, d);
	if (t->type == OUTPUT_CHOICE || t->type == OUTPUT_GENERATE)
		buf_adds(answer, t->target_delimiter);
	if (t->type != OUTPUT_CHOICE)
		buf_adds(answer, in.targets[0]);
	else if (in.gold[0] >= 0)
		buf_adds(answer, in.choices[in.gold[0]]);
	instance_release(&in);
	return rc;
}
