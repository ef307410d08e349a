/* prompt.c: from a document to the texts that the model sees, laid out as lm-evaluation-harness does, so that the same
 * task file asks the same question in both. In plain text:
 *
 *	system  { shot's text  target_delimiter  answer  fewshot_delimiter } × num_fewshot  own text  [gen_prefix]
 *
 * with the suite's system_instruction and the description as system. A gen_prefix starts each answer: one space joins it
 * to the answer, the target_delimiter to the text before it, and either is left out where white space is there already.
 * A shot without an answer brings no delimiters. Which documents are shots: fewshot.c. With apply_chat_template the same
 * parts are messages, and the model's template lays them out.
 *
 * An instance is then the document as requests: multiple_choice scores target_delimiter + choice behind the prompt,
 * loglikelihood the target as it is, loglikelihood_rolling the target alone; generate_until keeps the right answers. In a
 * task of several inputs (doc_to_text is the number of the right choice) the choices are the questions, each a prompt of
 * its own, and the target is what follows all of them. */
#include "base/base.h"

#include "evals/evals_int.h"

#define PROMPT_MAX ((size_t)64 << 20)

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

/* ---- layout ------------------------------------------------------------------------------------------------------ */

/* A question and the beginning of its answer; a shot's whole answer behind it. */
struct turn {
	const char *question, *prefix;
	const struct shot *shot; /* NULL: the document itself, without its answer */
	const char *target_delimiter, *delimiter;
};

/* a and b with the delimiter between them, unless one of them is empty or there is white space at the seam. */
static void delimit(struct buf *out, const char *a, const char *delimiter, const char *b)
{
	buf_adds(out, a);
	if (*a && *b && !ends_with_space(a, strlen(a)) && !starts_with_space(b, strlen(b)))
		buf_adds(out, delimiter);
	buf_adds(out, b);
}

static void turn_text(struct buf *out, const struct turn *t)
{
	bool answered = t->shot && t->shot->answered;

	if (*t->prefix) {
		delimit(out, t->question, t->target_delimiter, t->prefix);
		if (answered && *t->shot->answer && !ends_with_space(t->prefix, strlen(t->prefix)) &&
		    !starts_with_space(t->shot->answer, strlen(t->shot->answer)))
			buf_addc(out, ' ');
	} else {
		buf_adds(out, t->question);
		if (answered)
			buf_adds(out, t->target_delimiter);
	}
	if (answered) {
		buf_adds(out, t->shot->answer);
		buf_adds(out, t->delimiter);
	}
}

/* ---- conversations ------------------------------------------------------------------------------------------------- */

static void message_add(json_t *messages, const char *role, const char *content, size_t len)
{
	json_array_append_new(messages, json_pack("{s:s,s:o}", "role", role, "content", json_new_text(content, len)));
}

static void turn_messages(json_t *messages, const struct turn *t)
{
	struct buf text = BUF_INIT(PROMPT_MAX);

	message_add(messages, "user", t->question, strlen(t->question));
	delimit(&text, t->prefix, " ", t->shot && t->shot->answered ? t->shot->answer : "");
	if (text.len || (t->shot && t->shot->answered))
		message_add(messages, "assistant", buf_str(&text), text.len);
	buf_release(&text);
}

/* ---- the prompt ---------------------------------------------------------------------------------------------------- */

static void shots_each(const struct task *t, size_t doc, void (*each)(void *to, const struct turn *turn), void *to)
{
	const struct fewshot *f = &t->shots;

	for (int i = 0; i < f->n; i++) {
		const struct shot *s = fewshot_get(f, doc, i);
		struct turn turn = { s->question, s->prefix, s, f->target_delimiter, f->delimiter };

		each(to, &turn);
	}
}

static void to_text(void *to, const struct turn *turn)
{
	turn_text(to, turn);
}

static void to_messages(void *to, const struct turn *turn)
{
	turn_messages(to, turn);
}

/* What the system says: system_instruction and description. */
static int system_text(struct buf *out, const struct task *t, const struct doc *d)
{
	struct buf description = BUF_INIT(PROMPT_MAX);
	int rc = field_text(&description, &t->description, d);

	delimit(out, t->system ? t->system : "", t->fewshot_delimiter, buf_str(&description));
	buf_release(&description);
	return rc;
}

/* Shots stand in front of the question, in one message of the user, or are turns of their own; a gen_prefix is the
 * beginning of the answer. */
static void prompt_messages(struct prompt *p, const struct task *t, size_t doc, const char *system,
			    const struct turn *own)
{
	struct buf text = BUF_INIT(PROMPT_MAX);

	p->messages = json_array();
	if (*system)
		message_add(p->messages, "system", system, strlen(system));
	if (t->multiturn) {
		shots_each(t, doc, to_messages, p->messages);
		turn_messages(p->messages, own);
		return;
	}
	shots_each(t, doc, to_text, &text);
	buf_adds(&text, own->question);
	message_add(p->messages, "user", buf_str(&text), text.len);
	if (*own->prefix)
		message_add(p->messages, "assistant", own->prefix, strlen(own->prefix));
	buf_release(&text);
}

static void prompt_text(struct prompt *p, const struct task *t, size_t doc, const char *system, const struct turn *own)
{
	struct buf text = BUF_INIT(PROMPT_MAX);

	buf_adds(&text, system);
	shots_each(t, doc, to_text, &text);
	turn_text(&text, own);
	p->text = buf_take(&text);
}

static void to_bytes(void *to, const struct turn *turn)
{
	*(size_t *)to += strlen(turn->question) + strlen(turn->prefix) + strlen(turn->shot->answer) +
			 strlen(turn->target_delimiter) + strlen(turn->delimiter) + 1;
}

/* All prompts of a document together, before one of them is laid out. own: its parts that are not shots. */
static int prompts_check(const struct instance *in, const struct task *t, size_t doc, size_t own)
{
	size_t bytes = own + strlen(t->target_delimiter), longest = 0;

	for (size_t i = 0; t->inputs && i < in->n_choices; i++)
		longest = strlen(in->choices[i]) > longest ? strlen(in->choices[i]) : longest;
	bytes += longest;
	shots_each(t, doc, to_bytes, &bytes);
	if (mem_mul(bytes, in->n_prompts) < PROMPT_MAX)
		return 0;
	return err_set(ERR_INPUT, "the prompt is larger than %zu MiB", PROMPT_MAX >> 20);
}

/* One prompt, or in a task of several inputs one for each of the choices. */
static int prompts_build(struct instance *in, const struct task *t, const struct doc *d)
{
	struct buf system = BUF_INIT(PROMPT_MAX), question = BUF_INIT(PROMPT_MAX), prefix = BUF_INIT(PROMPT_MAX);
	size_t doc = (size_t)(d - t->eval.docs);
	json_int_t number;
	int rc = system_text(&system, t, d);

	rc = rc ? rc : field_text(&prefix, &t->gen_prefix, d);
	rc = rc ? rc : answer_question(&question, &number, &t->text, t->choice.kind != FIELD_NONE, d);
	if (!rc && (number >= 0) != t->inputs)
		rc = doc_error(err_set(ERR_INPUT, "doc_to_text gives %s here, and %s in the first document",
				       t->inputs ? "text" : "a number", t->inputs ? "a number" : "text"),
			       d);
	in->n_prompts = t->inputs ? in->n_choices : 1;
	in->prompts = mem_array(in->n_prompts, sizeof(*in->prompts));
	in->continues = prefix.len > 0;
	if (!rc && prompts_check(in, t, doc, system.len + question.len + prefix.len))
		rc = doc_error(ERR_INPUT, d);
	for (size_t i = 0; i < in->n_prompts && !rc; i++) {
		struct turn own = { .question = t->inputs ? in->choices[i] : buf_str(&question),
				    .prefix = buf_str(&prefix),
				    .target_delimiter = t->inputs ? "" : t->target_delimiter };

		if (t->chat)
			prompt_messages(&in->prompts[i], t, doc, buf_str(&system), &own);
		else
			prompt_text(&in->prompts[i], t, doc, buf_str(&system), &own);
	}
	buf_release(&system);
	buf_release(&question);
	buf_release(&prefix);
	return rc;
}

static int chat_text(struct prompt *p, const struct scorer *scorer, bool continues)
{
	struct buf out = BUF_INIT(PROMPT_MAX);
	int rc = scorer->chat(scorer->self, p->messages, continues, &out);

	if (!rc && buf_full(&out))
		rc = err_set(ERR_INPUT, "the chat template writes more than %zu MiB", out.max >> 20);
	free(p->text);
	p->text = buf_take(&out);
	return rc;
}

int instance_chat(struct instance *in, const struct task *t, const struct scorer *scorer)
{
	int rc = 0;

	if (!t->chat || !in->prompts || !in->prompts[0].messages)
		return 0;
	if (!scorer->chat) {
		rc = err_set(ERR_INPUT, "task %s is asked through a chat template, and the model has none", t->name);
		return err_hint(rc, "add chat_template.jinja to the model's folder, or drop apply_chat_template");
	}
	for (size_t i = 0; i < in->n_prompts && !rc; i++)
		rc = chat_text(&in->prompts[i], scorer, in->continues);
	return rc ? err_context(rc, "task %s", t->name) : 0;
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
		char *text = answer_scalar(json_is_array(v) ? json_array_get(v, i) : v);

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

		return at >= INT32_MIN && at < (json_int_t)in->n_choices ? (int)at : GOLD_NONE;
	}
	for (size_t i = 0; json_is_string(gold) && i < in->n_choices; i++)
		if (strcmp(in->choices[i], json_string_value(gold)) == 0)
			return (int)i;
	return GOLD_NONE;
}

/* The right answers among the choices: doc_to_target's, or with several inputs doc_to_text's. */
static int instance_gold(struct instance *in, const struct task *t, const struct doc *d)
{
	json_t *target = NULL;
	int rc = answer_target(&target, t->inputs ? &t->text : &t->target, true, d);

	if (rc)
		return rc;
	in->n_gold = json_is_array(target) ? json_array_size(target) : 1;
	in->gold = mem_array(in->n_gold + 1, sizeof(*in->gold));
	for (size_t i = 0; i < in->n_gold; i++)
		in->gold[i] = choice_index(in, json_is_array(target) ? json_array_get(target, i) : target);
	if (!in->n_gold)
		in->gold[in->n_gold++] = GOLD_NONE;
	json_decref(target);
	return 0;
}

/* What follows all of several inputs. */
static int inputs_target(char **out, const struct task *t, const struct doc *d)
{
	json_t *target;
	int rc = answer_target(&target, &t->target, false, d);

	*out = NULL;
	if (rc)
		return rc;
	*out = answer_scalar(target);
	json_decref(target);
	return *out ? 0 : doc_error(err_set(ERR_INPUT, "doc_to_target must give the text that follows each input"), d);
}

static int instance_choices(struct instance *in, const struct task *t, const struct doc *d)
{
	json_t *choices;
	char *target = NULL;
	int rc = answer_choices(&choices, &t->choice, d);

	if (rc)
		return rc;
	if (t->inputs)
		rc = inputs_target(&target, t, d);
	in->n_choices = json_array_size(choices);
	in->choices = mem_array(in->n_choices, sizeof(*in->choices));
	in->continuations = mem_array(in->n_choices, sizeof(*in->continuations));
	for (size_t i = 0; i < in->n_choices && !rc; i++) {
		in->choices[i] = mem_str(json_string_value(json_array_get(choices, i)));
		in->continuations[i] = mem_join(choice_delimiter(t), target ? target : in->choices[i]);
		if (!*in->continuations[i])
			rc = doc_error(err_set(ERR_INPUT, "choice %zu is empty: there is nothing to score", i), d);
	}
	json_decref(choices);
	free(target);
	return rc ? rc : instance_gold(in, t, d);
}

/* The texts that are right, for the types that have no choices to score. */
static int instance_answers(struct instance *in, const struct task *t, const struct doc *d)
{
	json_t *target, *choices, *chosen;
	bool choice = t->choice.kind != FIELD_NONE;
	int rc = answer_target(&target, &t->target, choice, d);

	if (!rc && t->type == OUTPUT_GENERATE && choice && json_is_integer(target)) {
		rc = answer_choices(&choices, &t->choice, d);
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
	int rc;

	*out = (struct instance){ 0 };
	rc = t->type == OUTPUT_CHOICE ? instance_choices(out, t, d) : instance_answers(out, t, d);
	if (!rc && t->type == OUTPUT_ROLLING) {
		out->n_prompts = 1;
		out->prompts = mem_array(1, sizeof(*out->prompts));
		out->prompts[0].text = mem_str(out->targets[0]);
	} else if (!rc) {
		rc = prompts_build(out, t, d);
	}
	if (!rc && t->type == OUTPUT_LOGLIK) {
		out->n_choices = 1;
		out->continuations = mem_array(1, sizeof(*out->continuations));
		out->continuations[0] = mem_str(out->targets[0]);
	}
	if (rc)
		instance_release(out);
	return rc;
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
	for (size_t i = 0; in->prompts && i < in->n_prompts; i++) {
		free(in->prompts[i].text);
		json_decref(in->prompts[i].messages);
	}
	free(in->prompts);
	*in = (struct instance){ 0 };
}

int prompt_own_text(struct buf *question, struct buf *answer, const struct task *t, const struct doc *d)
{
	struct instance in;
	int gold, rc = instance_build(&in, t, d);

	if (rc)
		return rc;
	gold = t->type == OUTPUT_CHOICE ? in.gold[0] : -1;
	if (t->inputs && gold >= 0)
		buf_adds(question, in.choices[gold]);
	else if (t->type != OUTPUT_ROLLING && !t->inputs)
		rc = field_text(question, &t->text, d);
	if (t->type == OUTPUT_CHOICE || t->type == OUTPUT_GENERATE)
		buf_adds(answer, t->target_delimiter);
	if (t->type != OUTPUT_CHOICE)
		buf_adds(answer, in.targets[0]);
	else if (gold >= 0)
		buf_adds(answer, t->inputs ? in.continuations[gold] + strlen(choice_delimiter(t)) : in.choices[gold]);
	instance_release(&in);
	return rc;
}
