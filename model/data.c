/* data.c: training examples from a file of rows, JSONL or another format (base/rows.h).
 *
 * A row is one of {"text"}, {"prompt","completion"}, {"messages":[{"role","content"},…]}, or
 * {"prompt","chosen","rejected"}, which gives two examples; other keys are let be. What counts in the loss: of a text
 * every token that has one before it; of a pair the completion; of messages the words of the assistant; and the
 * end-of-text token, which is appended.
 *
 * Prompt and completion are tokenized apart and joined, since that is what a prompt looks like when the model is asked
 * later: a token never straddles the border. The same holds for messages: the template is rendered for every prefix of
 * the conversation that ends before or behind an answer, and the text is cut at these places. The tokenizer's own
 * first token (where its post-processor adds one) begins every example; templates write theirs themselves. */
#include "base/base.h"

#include "base/rows.h"
#include "model/model_int.h"

struct reader {
	struct train_data *data;
	const struct tokenizer *tok;
	struct template *template;
	const char *name;
	int eos_id, max_len;
	size_t *cut, n;
	bool pair; /* what is finished next is the chosen answer of two */
	struct tokens ids;
	struct buf counts; /* one byte an id */
};

void train_data_source(struct train_data *d, double weight)
{
	MEM_GROW(d->weights, d->n_sources, d->cap_sources);
	d->weights[d->n_sources++] = weight;
}

/* ---- one example ------------------------------------------------------------------------------------------------- */

static int add_part(struct reader *r, const char *text, size_t len, bool special, bool count)
{
	int rc = tokenizer_encode(r->tok, &r->ids, text, len, special);

	while (r->counts.len < r->ids.n)
		buf_addc(&r->counts, count ? 1 : 0);
	return rc;
}

static void add_eos(struct reader *r)
{
	if (r->eos_id < 0)
		return;
	tokens_add(&r->ids, r->eos_id);
	buf_addc(&r->counts, 1);
}

static int wrong(const struct reader *r, size_t line, const char *what)
{
	return err_set(ERR_INPUT, "%s:%zu: %s", r->name, line, what);
}

static int finish(struct reader *r, size_t line)
{
	struct train_data *d = r->data;
	size_t n = r->ids.n;

	if (!n)
		return wrong(r, line, "no token comes out of it");
	if (r->max_len > 0 && n > (size_t)r->max_len) {
		n = (size_t)r->max_len;
		if (r->cut)
			++*r->cut;
	}
	MEM_GROW(d->examples, d->n, d->cap);
	struct train_example *e = &d->examples[d->n++];
	*e = (struct train_example){ .ids = mem_copy(r->ids.ids, n * sizeof(int32_t)),
				     .counts = mem_copy(r->counts.data, n),
				     .n = (int)n,
				     .counts_first = r->counts.data[0],
				     .source = d->n_sources ? (int)d->n_sources - 1 : 0,
				     .pair = r->pair };
	e->counts[0] = 0; /* nothing comes before it to predict it from */
	r->ids.n = 0;
	buf_clear(&r->counts);
	return 0;
}

/* ---- the forms --------------------------------------------------------------------------------------------------- */

static int read_text(struct reader *r, const json_t *v, size_t line)
{
	if (!json_is_string(v))
		return wrong(r, line, "\"text\" must be a string");
	if (!json_string_length(v))
		return wrong(r, line, "\"text\" is empty: remove the line");
	int rc = add_part(r, json_string_value(v), json_string_length(v), true, true);
	add_eos(r);
	return rc;
}

static int read_pair(struct reader *r, const json_t *prompt, const json_t *completion, size_t line)
{
	if (!json_is_string(prompt) || !json_is_string(completion))
		return wrong(r, line, "\"prompt\" and \"completion\" must be strings");
	if (!json_string_length(completion))
		return wrong(r, line, "\"completion\" is empty: nothing to learn; remove the line");
	int rc = add_part(r, json_string_value(prompt), json_string_length(prompt), true, false);
	if (!rc)
		rc = add_part(r, json_string_value(completion), json_string_length(completion), false, true);
	add_eos(r);
	return rc;
}

/* Two examples behind one another, of which the first one says so. */
static int read_preference(struct reader *r, const json_t *prompt, const json_t *chosen, const json_t *rejected,
			   size_t line)
{
	if (!json_is_string(prompt) || !json_is_string(chosen) || !json_is_string(rejected))
		return wrong(r, line, "\"prompt\", \"chosen\" and \"rejected\" must be strings");
	if (!json_string_length(chosen) || !json_string_length(rejected))
		return wrong(r, line, "\"chosen\" or \"rejected\" is empty: nothing to prefer; remove the line");
	if (json_equal(chosen, rejected))
		return wrong(r, line, "\"chosen\" and \"rejected\" are the same: nothing to prefer; remove the line");
	int rc = read_pair(r, prompt, chosen, line);
	r->pair = true;
	if (!rc)
		rc = finish(r, line);
	r->pair = false;
	return rc ? rc : read_pair(r, prompt, rejected, line);
}

/* The first n messages as the template writes them. */
static int render(struct reader *r, const json_t *messages, size_t n, bool generation, struct buf *out)
{
	json_t *context = json_object(), *some = json_array();
	struct tokens bos = { NULL, 0, 0 };
	const char *text = r->eos_id >= 0 ? tokenizer_text(r->tok, r->eos_id) : NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append(some, json_array_get(messages, i));
	json_object_set_new(context, "messages", some);
	json_object_set_new(context, "add_generation_prompt", json_boolean(generation));
	json_object_set_new(context, "eos_token", json_string(text ? text : ""));
	/* the first token is what the post-processor puts before an empty text */
	int rc = tokenizer_encode(r->tok, &bos, "", 0, true);
	text = bos.n ? tokenizer_text(r->tok, bos.ids[0]) : NULL;
	json_object_set_new(context, "bos_token", json_string(text ? text : ""));
	buf_init(out, (size_t)64 << 20);
	if (!rc)
		rc = template_render(r->template, context, out);
	if (!rc && buf_full(out))
		rc = err_set(ERR_INPUT, "the template writes more than 64 MB");
	tokens_release(&bos);
	json_decref(context);
	return rc;
}

static bool begins_with(const struct buf *whole, const struct buf *part)
{
	return part->len <= whole->len && (!part->len || !memcmp(whole->data, part->data, part->len));
}

/* Adds the text from *at to the end of answer i (a message of the assistant), cut where the answer begins. */
static int add_answer(struct reader *r, const json_t *messages, size_t i, const struct buf *all, size_t *at,
		      size_t line)
{
	struct buf before = BUF_INIT(0), behind = BUF_INIT(0);
	int rc = i ? render(r, messages, i, true, &before) : 0; /* templates may look at the first message */

	if (!rc)
		rc = render(r, messages, i + 1, false, &behind);
	if (!rc &&
	    (!begins_with(all, &before) || !begins_with(all, &behind) || before.len < *at || behind.len < before.len)) {
		rc = wrong(r, line,
			   "the chat template writes an answer differently once more messages follow, so what counts "
			   "cannot be told apart");
		err_hint(rc, "split the conversation: one line for each answer, which comes last");
	}
	if (!rc)
		rc = add_part(r, all->data + *at, before.len - *at, false, false);
	if (!rc)
		rc = add_part(r, all->data + before.len, behind.len - before.len, false, true);
	*at = behind.len;
	buf_release(&before);
	buf_release(&behind);
	return rc;
}

static bool answer_ends(const struct reader *r, size_t from)
{
	for (size_t i = from; i < r->ids.n; i++)
		if (r->ids.ids[i] == r->eos_id)
			return true;
	return false;
}

static int read_messages(struct reader *r, const json_t *messages, size_t line)
{
	size_t answers = 0, at = 0, last = 0;
	struct buf all = BUF_INIT(0);

	if (!json_is_array(messages) || !json_array_size(messages))
		return wrong(r, line, "\"messages\" must be a list with at least one message");
	if (!r->template) {
		int rc = wrong(r, line, "\"messages\" need a chat template, and the model has none");
		return err_hint(
			rc,
			"add chat_template.jinja to the model's folder, or write {\"prompt\",\"completion\"} lines");
	}
	for (size_t i = 0; i < json_array_size(messages); i++) {
		const json_t *m = json_array_get(messages, i);
		const char *role = json_get_text(m, "role", NULL);
		if (!role || !json_is_string(json_object_get(m, "content")))
			return err_set(ERR_INPUT, "%s:%zu: message %zu needs \"role\" and \"content\", both strings",
				       r->name, line, i + 1);
		answers += !strcmp(role, "assistant");
	}
	if (!answers)
		return wrong(r, line, "no message of the role \"assistant\": nothing to learn");
	int rc = render(r, messages, json_array_size(messages), false, &all);
	if (rc)
		rc = err_context(rc, "%s:%zu", r->name, line);
	for (size_t i = 0; !rc && i < json_array_size(messages); i++) {
		if (strcmp(json_get_text(json_array_get(messages, i), "role", ""), "assistant") != 0)
			continue;
		last = r->ids.n;
		rc = add_answer(r, messages, i, &all, &at, line);
	}
	if (!rc && at < all.len)
		rc = add_part(r, all.data + at, all.len - at, false, false);
	if (!rc && !answer_ends(r, last)) /* most templates end an answer with it themselves */
		add_eos(r);
	buf_release(&all);
	return rc;
}

/* ---- a file ------------------------------------------------------------------------------------------------------ */

static int no_form(const struct reader *r, const json_t *v, size_t line)
{
	static const char *const keys[] = { "prompt", "completion", "chosen", "rejected" };
	const char *has = NULL, *misses = NULL;
	bool preference = json_object_get(v, "chosen") || json_object_get(v, "rejected");
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (json_object_get(v, keys[i]))
			has = has ? has : keys[i];
		else if (i == 0 || (i == 1) != preference)
			misses = misses ? misses : keys[i];
	}
	if (has)
		rc = err_set(ERR_INPUT, "%s:%zu: \"%s\" without \"%s\"", r->name, line, has, misses);
	else
		rc = wrong(r, line,
			   "none of the keys \"text\", \"prompt\" and \"completion\", \"messages\", \"prompt\", "
			   "\"chosen\" and \"rejected\"");
	return err_hint(rc, "write {\"text\":…}, {\"prompt\":…,\"completion\":…}, {\"messages\":[…]} or "
			    "{\"prompt\":…,\"chosen\":…,\"rejected\":…} on every line");
}

static int read_line(json_t *v, size_t line, void *arg)
{
	struct reader *r = arg;
	const json_t *text = json_object_get(v, "text"), *messages = json_object_get(v, "messages");
	const json_t *prompt = json_object_get(v, "prompt"), *completion = json_object_get(v, "completion");
	const json_t *chosen = json_object_get(v, "chosen"), *rejected = json_object_get(v, "rejected");
	bool pair = prompt && completion, preference = prompt && chosen && rejected;
	int rc;

	if (!json_is_object(v))
		return wrong(r, line, "expected an object");
	if ((text != NULL) + (messages != NULL) + pair + preference > 1)
		return wrong(r, line,
			     "keys of more than one form (\"text\", \"prompt\" and \"completion\", \"messages\", "
			     "\"prompt\", "
			     "\"chosen\" and \"rejected\"): keep one");
	r->ids.n = 0;
	buf_clear(&r->counts);
	if (messages)
		rc = read_messages(r, messages, line);
	else if (pair)
		rc = read_pair(r, prompt, completion, line);
	else if (preference)
		rc = read_preference(r, prompt, chosen, rejected, line);
	else if (text)
		rc = read_text(r, text, line);
	else
		rc = no_form(r, v, line);
	if (!rc)
		rc = finish(r, line);
	r->n += !rc;
	return rc;
}

int train_data_add(struct train_data *d, const struct tokenizer *tok, const char *chat_template, int eos_id,
		   const char *text, size_t len, const char *name, int max_len, size_t *cut)
{
	struct reader r = { .data = d, .tok = tok, .name = name, .eos_id = eos_id, .max_len = max_len, .cut = cut };
	int rc = 0;

	buf_init(&r.counts, BUF_NOLIMIT);
	if (chat_template)
		rc = template_parse_chat(&r.template, chat_template, strlen(chat_template), "chat template");
	if (!rc)
		rc = rows_each(text, len, name, NULL, read_line, &r);
	if (!rc && !r.n)
		rc = err_hint(err_set(ERR_INPUT, "%s: no training example in it", name),
			      "write one JSON object a line: {\"prompt\":…,\"completion\":…} or {\"text\":…}");
	template_free(r.template);
	tokens_release(&r.ids);
	buf_release(&r.counts);
	return rc;
}

static void move_example(struct train_data *to, struct train_example *e, int source)
{
	MEM_GROW(to->examples, to->n, to->cap);
	to->examples[to->n] = *e;
	to->examples[to->n++].source = source;
	e->ids = NULL;
}

/* Units that are drawn leave a gap, which is closed behind. */
void train_data_split(struct train_data *d, struct train_data *held, double share, uint64_t seed)
{
	size_t units = 0, kept = 0, take;
	uint32_t *order = mem_array(d->n + 1, sizeof(*order));
	struct rng r;

	for (size_t i = 0; i < d->n; i += d->examples[i].pair ? 2 : 1)
		order[units++] = (uint32_t)i;
	take = (size_t)(share * (double)units + 0.5);
	take = take < 1 && units > 1 ? 1 : take;
	rng_seed(&r, seed, 0x5b1e);
	rng_shuffle(&r, order, units);
	for (size_t u = 0; u < take; u++) {
		struct train_example *e = &d->examples[order[u]];
		bool pair = e->pair;
		move_example(held, e, 0);
		if (pair)
			move_example(held, e + 1, 0);
	}
	for (size_t i = 0; i < d->n; i++)
		if (d->examples[i].ids)
			d->examples[kept++] = d->examples[i];
	d->n = kept;
	free(order);
}

void train_data_release(struct train_data *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->examples[i].ids);
		free(d->examples[i].counts);
	}
	free(d->examples);
	free(d->weights);
	*d = (struct train_data){ 0 };
}
