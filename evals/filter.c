/* filter.c: filter_list: what becomes of a text that the model wrote before it is scored.
 *
 * A pipeline takes the responses of one document (one, or `repeats` of them) through its steps; each named pipeline
 * gives every metric once, as "metric,name". The steps and their rules are lm-evaluation-harness's:
 *	regex               the group_select-th match of regex_pattern, of several groups the first that is not empty,
 *	                    without white space around it; fallback where there is none
 *	multi_choice_regex  the same; else the first choice of the document's "choices" that stands in the text, as
 *	                    "(A)"; else the letter behind a colon, as "(A)"; else fallback
 *	remove_whitespace, lowercase, uppercase, map    each response by itself
 *	take_first          the first response, and from then on a text: a later step sees its characters one by one
 *	take_first_k, majority_vote                     fewer responses
 * Where the harness would die of a model's answer (no match of that number; nothing to take), the fallback or an empty
 * text stands. At the end one response must be left: a pipeline that leaves several is refused when it is read.
 *
 * For log-likelihoods only take_first is there: all others work on text. custom is a function in Python; what regex_pos
 * and format_span make is scored by one. */
#include "base/base.h"
#include "base/lettercase.h"

#include "evals/evals_int.h"

enum { FILTERS_MAX = 16, STEPS_MAX = 16, REGEXES_MAX = 32, SELECT_MAX = 1000, LETTERS = 26, NAME_MAX_BYTES = 200 };

enum step_kind {
	STEP_REGEX,
	STEP_CHOICE,
	STEP_STRIP,
	STEP_LOWER,
	STEP_UPPER,
	STEP_MAP,
	STEP_FIRST,
	STEP_FIRST_K,
	STEP_MAJORITY,
};

struct filter_step {
	enum step_kind kind;
	struct pyregex *regex;
	int select;              /* group_select */
	int k;                   /* take_first_k */
	char *fallback;          /* regex: where nothing matches; map: default_value */
	json_t *map;             /* mapping_dict: text -> text */
	struct pyregex **ignore; /* regexes_to_ignore */
	size_t n_ignore;
	bool ignore_case;
	struct pyregex *punctuation; /* ignore_punctuation, or NULL */
};

/* The responses on their way. */
struct responses {
	struct buf *texts;
	size_t n;
	bool scalar; /* behind take_first */
};

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static void text_set(struct buf *text, const char *s)
{
	buf_clear(text);
	buf_adds(text, s);
}

static void text_strip(struct buf *text)
{
	const char *s = buf_str(text);
	size_t used, first = text->len, end = 0;

	for (size_t at = 0; at < text->len; at += used)
		if (!utf8_is_space(utf8_next(s + at, text->len - at, &used))) {
			first = at < first ? at : first;
			end = at + used;
		}
	if (end) {
		memmove(text->data, s + first, end - first);
		text->len = end - first;
		text->data[text->len] = 0;
	} else {
		buf_clear(text);
	}
}

static void text_case(struct buf *text, void (*change)(struct buf *out, const char *s, size_t len))
{
	struct buf out = BUF_INIT(text->max);

	change(&out, buf_str(text), text->len);
	buf_release(text);
	*text = out;
}

static void text_copy(struct buf *to, const struct buf *from)
{
	buf_clear(to);
	buf_add(to, buf_str(from), from->len);
}

static bool text_equal(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && memcmp(buf_str(a), buf_str(b), a->len) == 0;
}

/* re.escape(). */
static void text_escape(struct buf *out, const struct buf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (text->data[i] && strchr("()[]{}?*+-|^$\\.&~# \t\n\r\v\f", text->data[i]))
			buf_addc(out, '\\');
		buf_addc(out, text->data[i]);
	}
}

/* ---- regex ------------------------------------------------------------------------------------------------------- */

static int step_regex(const struct filter_step *s, struct buf *text)
{
	struct buf match = BUF_INIT(text->max);
	enum pyregex_found found;
	int rc = pyregex_find(s->regex, text, s->select, &match, &found);

	if (!rc && found == PYREGEX_TEXT)
		text_copy(text, &match);
	else if (!rc)
		text_set(text, s->fallback);
	if (!rc && found != PYREGEX_NOTHING)
		text_strip(text);
	buf_release(&match);
	return rc;
}

/* ---- multi_choice_regex ------------------------------------------------------------------------------------------ */

struct choice {
	struct buf text, pattern; /* as compared; escaped */
	size_t length, at;        /* of the pattern, in characters; its number */
};

static int ignore(const struct filter_step *s, struct buf *text)
{
	int rc = 0;

	for (size_t i = 0; i < s->n_ignore && !rc; i++)
		rc = pyregex_remove(s->ignore[i], text);
	if (!rc && s->ignore_case)
		text_case(text, case_lower);
	return rc || !s->punctuation ? rc : pyregex_remove(s->punctuation, text);
}

/* The longest first, so that no choice hides behind one that it begins with; equals in their order. */
static int longest_first(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;

	return x->length != y->length ? (x->length < y->length ? 1 : -1) : (x->at > y->at) - (x->at < y->at);
}

static int choices_read(const struct filter_step *s, const struct doc *d, struct choice *out, size_t *n)
{
	const json_t *list = json_object_get(d->value, "choices"), *item;
	size_t i;
	int rc = 0;

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > LETTERS)
		return err_set(ERR_INPUT, "multi_choice_regex needs \"choices\", a list of 1 to %d texts", LETTERS);
	json_array_foreach(list, i, item)
	{
		struct choice *c = &out[i];

		if (!json_is_string(item))
			return err_set(ERR_INPUT, "choices: entry %zu is not text", i);
		*c = (struct choice){ BUF_INIT(BUF_NOLIMIT), BUF_INIT(BUF_NOLIMIT), 0, i };
		++*n;
		text_set(&c->text, json_string_value(item));
		text_strip(&c->text);
		rc = ignore(s, &c->text);
		if (rc)
			return rc;
		text_escape(&c->pattern, &c->text);
		c->length = utf8_count(buf_str(&c->pattern), c->pattern.len);
	}
	return 0;
}

/* What pattern finds in text, stripped; left empty: nothing. */
static int find(const struct filter_step *s, const struct pyregex *r, const struct buf *text, struct buf *out)
{
	enum pyregex_found found;
	int rc = pyregex_find(r, text, s->select, out, &found);

	text_strip(out);
	return rc;
}

static int find_pattern(const struct filter_step *s, const struct buf *pattern, const struct buf *text, struct buf *out)
{
	struct pyregex *r = NULL;
	int rc = pyregex_compile(&r, buf_str(pattern));

	rc = rc ? rc : find(s, r, text, out);
	pyregex_free(r);
	return rc;
}

/* The letter of a choice that stands in the text. */
static int choice_in_text(const struct filter_step *s, struct choice *choices, size_t n, const struct buf *said,
			  struct buf *out)
{
	struct buf pattern = BUF_INIT(BUF_NOLIMIT), text = BUF_INIT(BUF_NOLIMIT);
	const struct choice *same = NULL; /* of equal texts the last one gives the letter */
	int rc;

	text_copy(&text, said);
	rc = ignore(s, &text);
	qsort(choices, n, sizeof(*choices), longest_first);
	for (size_t i = 0; i < n; i++)
		buf_addf(&pattern, "%s%s", i ? "|" : "", buf_str(&choices[i].pattern));
	rc = rc ? rc : find_pattern(s, &pattern, &text, out);
	for (size_t i = 0; i < n && !rc; i++)
		if (text_equal(&choices[i].text, out) && (!same || choices[i].at > same->at))
			same = &choices[i];
	if (same && out->len) {
		buf_clear(out);
		buf_addf(out, "(%c)", (int)('A' + same->at));
	}
	buf_release(&pattern);
	buf_release(&text);
	return rc;
}

/* The letter behind a colon. */
static int letter_in_text(const struct filter_step *s, size_t n, const struct buf *said, struct buf *out)
{
	struct buf pattern = BUF_INIT(1024);
	char letter;
	int rc;

	buf_adds(&pattern, ":[\\s]*(");
	for (size_t i = 0; i < n; i++)
		buf_addf(&pattern, "%s%c", i ? "|" : "", (int)('A' + i));
	buf_addc(&pattern, ')');
	rc = find_pattern(s, &pattern, said, out);
	if (!rc && out->len) {
		letter = out->data[0];
		buf_clear(out);
		buf_addf(out, "(%c)", letter);
	}
	buf_release(&pattern);
	return rc;
}

static int step_choice(const struct filter_step *s, struct buf *text, const struct doc *d)
{
	struct choice choices[LETTERS];
	struct buf match = BUF_INIT(text->max);
	size_t n = 0;
	int rc = choices_read(s, d, choices, &n);

	rc = rc ? rc : find(s, s->regex, text, &match);
	if (!rc && !match.len)
		rc = choice_in_text(s, choices, n, text, &match);
	if (!rc && !match.len)
		rc = letter_in_text(s, n, text, &match);
	if (!rc && match.len)
		text_copy(text, &match);
	else if (!rc)
		text_set(text, s->fallback);
	for (size_t i = 0; i < n; i++) {
		buf_release(&choices[i].text);
		buf_release(&choices[i].pattern);
	}
	buf_release(&match);
	return rc;
}

/* ---- the way through --------------------------------------------------------------------------------------------- */

static void responses_cut(struct responses *r, size_t n)
{
	while (r->n > n)
		buf_release(&r->texts[--r->n]);
}

/* A text becomes its characters. */
static void responses_spread(struct responses *r)
{
	struct buf text = r->texts[0];
	size_t used;

	r->texts = mem_resize(r->texts, (text.len + 1) * sizeof(*r->texts));
	r->n = 0;
	for (size_t at = 0; at < text.len || !r->n; at += used) {
		utf8_next(text.data + at, text.len - at, &used);
		buf_init(&r->texts[r->n], text.max);
		buf_add(&r->texts[r->n++], text.data + at, used);
	}
	r->scalar = false;
	buf_release(&text);
}

static void keep_majority(struct responses *r)
{
	size_t best = 0, most = 0;
	struct buf first = r->texts[0];

	for (size_t i = 0; i < r->n; i++) {
		size_t same = 0;

		for (size_t k = 0; k < r->n; k++)
			same += text_equal(&r->texts[i], &r->texts[k]);
		if (same > most) {
			most = same;
			best = i;
		}
	}
	r->texts[0] = r->texts[best];
	r->texts[best] = first;
	responses_cut(r, 1);
}

static void step_map(const struct filter_step *s, struct buf *text)
{
	bool whole = strlen(buf_str(text)) == text->len; /* no key has a NUL */

	text_set(text, whole ? json_get_text(s->map, buf_str(text), s->fallback) : s->fallback);
}

static int step_each(const struct filter_step *s, struct buf *text, const struct doc *d)
{
	switch (s->kind) {
	case STEP_REGEX:
		return step_regex(s, text);
	case STEP_CHOICE:
		return step_choice(s, text, d);
	case STEP_STRIP:
		text_strip(text);
		return 0;
	case STEP_LOWER:
		text_case(text, case_lower);
		return 0;
	case STEP_UPPER:
		text_case(text, case_upper);
		return 0;
	case STEP_MAP:
		step_map(s, text);
		return 0;
	default:
		return 0;
	}
}

static int step_apply(const struct filter_step *s, struct responses *r, const struct doc *d)
{
	int rc = 0;

	if (r->scalar)
		responses_spread(r);
	switch (s->kind) {
	case STEP_FIRST:
		responses_cut(r, 1);
		r->scalar = true;
		break;
	case STEP_FIRST_K:
		responses_cut(r, (size_t)s->k);
		break;
	case STEP_MAJORITY:
		keep_majority(r);
		break;
	default:
		for (size_t i = 0; i < r->n && !rc; i++)
			rc = step_each(s, &r->texts[i], d);
	}
	return rc;
}

int filter_apply(const struct filter *f, const struct text *texts, size_t n, const struct doc *d, struct buf *out)
{
	struct responses r = { mem_array(n, sizeof(*r.texts)), n, false };
	int rc = 0;

	for (size_t i = 0; i < n; i++) { /* regular expressions need whole characters */
		buf_init(&r.texts[i], BUF_NOLIMIT);
		utf8_repair(&r.texts[i], texts[i].s, texts[i].len);
	}
	for (size_t i = 0; i < f->n && !rc; i++)
		rc = step_apply(&f->steps[i], &r, d);
	if (rc)
		err_context(rc, "filter %s", f->name);
	else
		text_copy(out, &r.texts[0]);
	responses_cut(&r, 0);
	free(r.texts);
	return rc;
}

/* ---- filter_list ------------------------------------------------------------------------------------------------- */

struct step_name {
	const char *name;
	enum step_kind kind;
	const char *keys[7]; /* after "function" */
};
static const struct step_name step_names[] = {
	{ "regex", STEP_REGEX, { "regex_pattern", "group_select", "fallback" } },
	{ "multi_choice_regex",
	  STEP_CHOICE,
	  { "regex_pattern", "group_select", "fallback", "ignore_case", "ignore_punctuation", "regexes_to_ignore" } },
	{ "remove_whitespace", STEP_STRIP, { NULL } },
	{ "lowercase", STEP_LOWER, { NULL } },
	{ "uppercase", STEP_UPPER, { NULL } },
	{ "map", STEP_MAP, { "mapping_dict", "default_value" } },
	{ "take_first", STEP_FIRST, { NULL } },
	{ "take_first_k", STEP_FIRST_K, { "k" } },
	{ "majority_vote", STEP_MAJORITY, { NULL } },
};

static int step_find(const struct step_name **out, const struct source *src, json_t *step, const char *name)
{
	const char *known[ARRAY_LEN(step_names)], *near;

	for (size_t i = 0; i < ARRAY_LEN(step_names); i++) {
		known[i] = step_names[i].name;
		*out = &step_names[i];
		if (strcmp(known[i], name) == 0)
			return 0;
	}
	if (!strcmp(name, "custom") || !strcmp(name, "regex_pos") || !strcmp(name, "format_span") ||
	    !strcmp(name, "decontaminate")) {
		const char *why = !strcmp(name, "custom") ? "runs a function of the task, and Python is not run here"
				  : !strcmp(name, "decontaminate")
					  ? "does nothing in the harness: leave it out"
					  : "is not built: what it makes is scored by a Python "
					    "function of the task, which is not run here";

		yaml_error(src->y, step, "function", "the filter %s %s", name, why);
		return err_hint(ERR_INPUT, "regex, map, lowercase and the like say most of what such a function does");
	}
	near = opt_nearest(name, known, ARRAY_LEN(known));
	return yaml_error(src->y, step, "function", "unknown filter \"%s\"%s%s%s", name,
			  near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int step_regexes(struct filter_step *s, const struct source *src, json_t *step)
{
	json_t *list = json_object_get(step, "regexes_to_ignore"), *item;
	const char *pattern = "#### (\\-?[0-9\\.\\,]+)", *fallback = "[invalid]";
	bool punctuation = false;
	int64_t select = 0;
	size_t i;
	int rc = yaml_get_text(src->y, step, "regex_pattern", &pattern);

	rc = rc ? rc : yaml_get_int(src->y, step, "group_select", -SELECT_MAX, SELECT_MAX, &select);
	rc = rc ? rc : yaml_get_text(src->y, step, "fallback", &fallback);
	rc = rc ? rc : yaml_get_flag(src->y, step, "ignore_case", &s->ignore_case);
	rc = rc ? rc : yaml_get_flag(src->y, step, "ignore_punctuation", &punctuation);
	if (rc)
		return rc;
	s->select = (int)select;
	s->fallback = mem_str(fallback);
	if (pyregex_compile(&s->regex, pattern))
		return yaml_error(src->y, step, "regex_pattern", "%s", err_text());
	if (list && !json_is_null(list) && (!json_is_array(list) || json_array_size(list) > REGEXES_MAX))
		return yaml_error(src->y, step, "regexes_to_ignore", "expected a list of at most %d texts",
				  REGEXES_MAX);
	s->ignore = mem_array(json_array_size(list) + 1, sizeof(struct pyregex *));
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return yaml_error(src->y, step, "regexes_to_ignore", "expected a list of texts");
		if (pyregex_compile(&s->ignore[s->n_ignore], json_string_value(item)))
			return yaml_error(src->y, step, "regexes_to_ignore", "%s", err_text());
		s->n_ignore++;
	}
	return punctuation ? pyregex_punctuation(&s->punctuation) : 0;
}

static int map_load(struct filter_step *s, const struct source *src, json_t *step)
{
	json_t *from = json_object_get(step, "mapping_dict"), *value = json_object_get(step, "default_value");
	const char *key;

	s->map = json_object();
	if (from && !json_is_null(from) && !json_is_object(from))
		return yaml_error(src->y, step, "mapping_dict", "mapping_dict: expected a mapping");
	s->fallback = value ? answer_scalar(value) : mem_str("None");
	if (!s->fallback)
		return yaml_error(src->y, step, "default_value", "default_value: expected text or a number");
	json_object_foreach(from, key, value)
	{
		char *text = answer_scalar(value);

		if (!text)
			return yaml_error(src->y, from, key, "mapping_dict: expected text or a number");
		json_object_set_new(s->map, key, json_new_text(text, strlen(text)));
		free(text);
	}
	return 0;
}

static int step_load(struct filter_step *s, const struct source *src, json_t *step)
{
	const char *keys[8] = { "function" }, *function = NULL;
	const struct step_name *known;
	int64_t k = 0;
	size_t n = 1;
	int rc = yaml_get_text(src->y, step, "function", &function);

	if (!rc && !function)
		rc = yaml_error(src->y, step, NULL, "a step of a filter needs a function");
	rc = rc ? rc : step_find(&known, src, step, function);
	if (rc)
		return rc;
	s->kind = known->kind;
	for (; known->keys[n - 1]; n++)
		keys[n] = known->keys[n - 1];
	rc = yaml_check_keys(src->y, step, function, keys, n);
	if (!rc && (s->kind == STEP_REGEX || s->kind == STEP_CHOICE))
		rc = step_regexes(s, src, step);
	if (!rc && s->kind == STEP_MAP)
		rc = map_load(s, src, step);
	if (!rc && s->kind == STEP_FIRST_K) {
		rc = yaml_get_int(src->y, step, "k", 1, REPEATS_MAX, &k);
		if (!rc && !k)
			rc = yaml_error(src->y, step, NULL, "take_first_k needs k");
	}
	s->k = (int)k;
	return rc;
}

/* How many responses are left? Behind take_first a step sees characters: as many as there happen to be. */
static int check_steps(const struct filter *f, const struct source *src, json_t *pipe, bool text, int repeats)
{
	bool scalar = false, many = repeats > 1;
	int left = repeats;

	for (size_t i = 0; i < f->n; i++) {
		const struct filter_step *s = &f->steps[i];

		if (!text && s->kind != STEP_FIRST)
			return yaml_error(src->y, pipe, "filter",
					  "filter %s works on text, and this output_type gives log-likelihoods",
					  f->name);
		if (scalar)
			many = true;
		if (s->kind == STEP_FIRST_K && (scalar || s->k > left))
			return yaml_error(src->y, pipe, "filter",
					  "take_first_k wants %d responses and there %s %d: set repeats", s->k,
					  left == 1 ? "is" : "are", left);
		if (s->kind == STEP_FIRST_K)
			many = (left = s->k) > 1;
		if (s->kind == STEP_FIRST || s->kind == STEP_MAJORITY) {
			many = false;
			left = 1;
		}
		scalar = s->kind == STEP_FIRST;
	}
	if (!many)
		return 0;
	yaml_error(src->y, pipe, "filter", "filter %s leaves more than one response to score", f->name);
	return err_hint(ERR_INPUT, "end it with take_first, or majority_vote and take_first");
}

static int filter_load(struct filter *f, const struct source *src, json_t *pipe, bool text, int repeats)
{
	static const char *const keys[] = { "name", "filter" };
	json_t *steps, *step;
	const char *name = NULL;
	size_t i;
	int rc;

	if (!json_is_object(pipe))
		return yaml_error(src->y, src->map, "filter_list",
				  "filter_list: expected a list of {name: …, filter: […]}");
	rc = yaml_check_keys(src->y, pipe, "filter_list", keys, ARRAY_LEN(keys));
	rc = rc ? rc : yaml_get_text(src->y, pipe, "name", &name);
	if (rc)
		return rc;
	if (!name || !*name || strlen(name) > NAME_MAX_BYTES || strpbrk(name, ", \t\n"))
		return yaml_error(src->y, pipe, name ? "name" : NULL, "a filter needs a name without spaces or commas");
	f->name = mem_str(name);
	steps = json_object_get(pipe, "filter");
	if (!json_is_array(steps) || json_array_size(steps) > STEPS_MAX)
		return yaml_error(src->y, pipe, steps ? "filter" : NULL, "filter: expected a list of at most %d steps",
				  STEPS_MAX);
	f->steps = mem_array(json_array_size(steps), sizeof(*f->steps));
	json_array_foreach(steps, i, step)
	{
		if (!json_is_object(step))
			return yaml_error(src->y, pipe, "filter", "filter: expected a list of {function: …}");
		rc = step_load(&f->steps[f->n++], src, step);
		if (rc)
			return rc;
	}
	return check_steps(f, src, pipe, text, repeats);
}

int filters_load(struct filter **out, size_t *n, const struct source *src, bool text, int repeats)
{
	json_t *list = json_object_get(src->map, "filter_list"), *pipe;
	struct filter *f = mem_array(FILTERS_MAX, sizeof(*f));
	size_t i;
	int rc = 0;

	*out = f;
	*n = 0;
	if (!list || json_is_null(list)) { /* the first response */
		f[0] = (struct filter){ mem_str("none"), mem_array(1, sizeof(*f->steps)), 1 };
		f[0].steps[0].kind = STEP_FIRST;
		*n = 1;
		return 0;
	}
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > FILTERS_MAX)
		return yaml_error(src->y, src->map, "filter_list", "filter_list: expected a list of 1 to %d pipelines",
				  FILTERS_MAX);
	json_array_foreach(list, i, pipe)
	{
		rc = filter_load(&f[(*n)++], src, pipe, text, repeats);
		for (size_t k = 0; k < i && !rc; k++)
			if (strcmp(f[k].name, f[i].name) == 0)
				rc = yaml_error(src->y, pipe, "name", "two filters are named \"%s\"", f[i].name);
		if (rc)
			return rc;
	}
	return 0;
}

bool filters_trivial(const struct filter *f, size_t n)
{
	return n == 1 && (f->n == 0 || (f->n == 1 && f->steps[0].kind == STEP_FIRST));
}

void filters_free(struct filter *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < f[i].n; k++) {
			struct filter_step *s = &f[i].steps[k];

			pyregex_free(s->regex);
			pyregex_free(s->punctuation);
			for (size_t j = 0; j < s->n_ignore; j++)
				pyregex_free(s->ignore[j]);
			free(s->ignore);
			free(s->fallback);
			json_decref(s->map);
		}
		free(f[i].steps);
		free(f[i].name);
	}
	free(f);
}
