/* scores.c: plain files of scores, what other tools' results are brought in as.
 *
 *	{"id": "q1", "score": 1}
 *	{"id": "q2", "score": 0.5, "weight": 3, "cluster": "c7", "slice": "de"}
 *	{"id": "q3", "score": 1, "repeat": 0}
 *
 * They become one task "scores" with one metric "score": the mean, or the weighted mean where weights are given. Answers to one
 * question ("repeat") are averaged: ten of them are one sample, and how many there are may differ between two files. Such files
 * have ten million lines. So a line of the plainest form, which programs write (no escapes, nothing beyond ASCII, numbers of
 * up to 15 digits without an exponent), is read as it stands; any other line goes through the JSON parser, which finds every
 * mistake. Both give the same numbers: 15 digits over a power of ten below 10^22 are one division of exact numbers. */
#include "base/base.h"

#include <math.h>

#include "evals/evals_int.h"

enum { ID_MAX = 1000, DIGITS = 15, LINE_MAX_BYTES = 1 << 20 };

struct scores {
	struct task_result *t;
	const char *name;
	size_t rows, cap; /* read; room */
	char **repeats;   /* which answer a row is; NULL: there is one of each */
};
struct span { /* s NULL: not given */
	const char *s;
	size_t len;
};
struct line {
	struct span id, cluster, slice, repeat;
	double score, weight;
	bool has_score, has_weight;
};

/* ---- the plainest form ------------------------------------------------------------------------------------------- */

struct cursor {
	const char *at, *end;
};

static bool next_is(struct cursor *c, char wanted)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r'))
		c->at++;
	return c->at < c->end && *c->at == wanted;
}

static bool take(struct cursor *c, char wanted)
{
	bool found = next_is(c, wanted);

	c->at += found;
	return found;
}

/* A quoted text without escapes, of ASCII. */
static bool take_text(struct cursor *c, struct span *out)
{
	if (!take(c, '"'))
		return false;
	out->s = c->at;
	while (c->at < c->end && *c->at >= 0x20 && *c->at < 0x7f && *c->at != '"' && *c->at != '\\')
		c->at++;
	out->len = (size_t)(c->at - out->s);
	return c->at < c->end && *c->at++ == '"';
}

/* Digits with at most one point among them; out: the text of a whole number, else len 0. */
static bool take_number(struct cursor *c, double *x, struct span *out)
{
	static const double powers[] = { 1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
					 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	bool minus;
	int64_t digits = 0;
	int n = 0, behind = -1;
	const char *first;

	minus = take(c, '-');
	first = c->at;
	for (; c->at < c->end; c->at++) {
		if (*c->at == '.' && behind < 0 && n) {
			behind = 0;
			continue;
		}
		if (*c->at < '0' || *c->at > '9')
			break;
		digits = digits * 10 + (*c->at - '0');
		behind += behind >= 0;
		if (++n > DIGITS)
			return false;
	}
	if (!n || behind == 0 || (*first == '0' && n > 1 && first[1] != '.'))
		return false; /* no digits, "1.", "01" */
	*x = (minus ? -1 : 1) * (double)digits / powers[behind > 0 ? behind : 0];
	*out = (struct span){ first - minus, behind < 0 ? (size_t)(c->at - first) + minus : 0 };
	return true;
}

static bool is(const struct span *t, const char *word)
{
	return t->len == strlen(word) && memcmp(t->s, word, t->len) == 0;
}

static bool take_member(struct cursor *c, struct line *l)
{
	struct span key, *to, number;
	double x;

	if (!take_text(c, &key) || !take(c, ':'))
		return false;
	if (is(&key, "score") && !l->has_score)
		return l->has_score = take_number(c, &l->score, &number);
	if (is(&key, "weight") && !l->has_weight)
		return l->has_weight = take_number(c, &l->weight, &number);
	to = is(&key, "id")        ? &l->id
	     : is(&key, "cluster") ? &l->cluster
	     : is(&key, "slice")   ? &l->slice
	     : is(&key, "repeat")  ? &l->repeat
				   : NULL;
	if (!to || to->s)
		return false;
	if (next_is(c, '"'))
		return take_text(c, to) && to->len > 0;
	return take_number(c, &x, to) && to->len > 0 && (*to->s != '-' || x != 0);
}

/* False: the line is of another form, or wrong. */
static bool line_plain(struct line *l, const char *s, size_t len)
{
	struct cursor c = { s, s + len };

	*l = (struct line){ .weight = 1 };
	if (!take(&c, '{'))
		return false;
	do {
		if (!take_member(&c, l))
			return false;
	} while (take(&c, ','));
	if (!take(&c, '}') || !l->id.s || l->id.len > ID_MAX || !l->has_score)
		return false;
	take(&c, '\n'); /* white space behind it */
	return c.at == c.end;
}

/* ---- any form ---------------------------------------------------------------------------------------------------- */

/* A text or a whole number, as text; NULL if it is absent. */
static int member_name(const json_t *v, const char *key, char number[32], struct span *out)
{
	const json_t *name = json_object_get(v, key);

	*out = (struct span){ json_string_value(name), json_string_length(name) };
	if (json_is_integer(name)) {
		snprintf(number, 32, "%lld", (long long)json_integer_value(name));
		*out = (struct span){ number, strlen(number) };
	}
	if ((name && !out->len) || (out->s && memchr(out->s, 0, out->len)))
		return err_set(ERR_INPUT, "\"%s\" must be a text or a whole number", key);
	return 0;
}

static int members_known(const json_t *v)
{
	static const char *const known[] = { "id", "score", "weight", "cluster", "slice", "repeat" };
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)(uintptr_t)v, key, member)
	{
		const char *near;
		bool found = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found |= strcmp(key, known[i]) == 0;
		if (found)
			continue;
		near = opt_nearest(key, known, ARRAY_LEN(known));
		return err_set(ERR_INPUT, "unknown member \"%s\"%s%s%s", key, near ? "; did you mean \"" : "",
			       near ? near : "", near ? "\"?" : "");
	}
	return 0;
}

static int member_number(const json_t *v, const char *key, double least, double *out)
{
	*out = json_number_value(v);
	if (json_is_number(v) && isfinite(*out) && *out > least)
		return 0;
	return err_set(ERR_INPUT, least < 0 ? "the %s is not a number" : "the %s is not a positive number", key);
}

static int line_take(struct scores *r, const struct line *l)
{
	struct task_result *t = r->t;
	struct metric *m = &t->metrics[0];
	struct sample *s = &t->samples[r->rows];

	if (!r->rows && l->has_weight)
		m->weights = mem_array(r->cap, sizeof(double));
	if (!r->rows && l->repeat.s)
		r->repeats = mem_array(r->cap, sizeof(*r->repeats));
	if (!r->repeats != !l->repeat.s)
		return err_set(ERR_INPUT, "\"repeat\" must be in every line or in none");
	if (!m->weights != !l->has_weight)
		return err_set(ERR_INPUT, "\"weight\" must be in every line or in none");
	if (l->has_weight && !(l->weight > 0))
		return err_set(ERR_INPUT, "the weight is not a positive number");
	s->id = mem_strn(l->id.s, l->id.len);
	s->cluster = l->cluster.s ? mem_strn(l->cluster.s, l->cluster.len) : NULL;
	s->slice = l->slice.s ? mem_strn(l->slice.s, l->slice.len) : NULL;
	m->scores[r->rows] = l->score;
	if (m->weights)
		m->weights[r->rows] = l->weight;
	if (r->repeats)
		r->repeats[r->rows] = mem_strn(l->repeat.s, l->repeat.len);
	t->n = ++r->rows;
	return 0;
}

static int line_json(struct scores *r, const json_t *v)
{
	struct line l = { .has_score = true, .has_weight = json_object_get(v, "weight") };
	char id[32], cluster[32], slice[32], repeat[32];
	int rc = json_is_object(v) ? members_known(v) : err_set(ERR_INPUT, "expected a JSON object");

	if (rc)
		return rc;
	if (member_name(v, "id", id, &l.id) || !l.id.s || l.id.len > ID_MAX)
		return err_set(ERR_INPUT, "\"id\" must be text (1 to %d bytes) or a whole number", ID_MAX);
	rc = member_name(v, "cluster", cluster, &l.cluster);
	rc = rc ? rc : member_name(v, "slice", slice, &l.slice);
	rc = rc ? rc : member_name(v, "repeat", repeat, &l.repeat);
	rc = rc ? rc : member_number(json_object_get(v, "score"), "score", -INFINITY, &l.score);
	if (!rc && l.has_weight)
		rc = member_number(json_object_get(v, "weight"), "weight", 0, &l.weight);
	return rc ? rc : line_take(r, &l);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static bool is_blank(const char *s, size_t len)
{
	while (len && (*s == ' ' || *s == '\t' || *s == '\r')) {
		s++;
		len--;
	}
	return !len;
}

static int line_read(struct scores *r, const char *s, size_t len, size_t line)
{
	struct line l;
	json_t *v;
	int rc;

	if (len > LINE_MAX_BYTES)
		return err_set(ERR_INPUT, "%s:%zu: a line of %zu bytes; a score has at most %d", r->name, line, len,
			       LINE_MAX_BYTES);
	if (line_plain(&l, s, len))
		rc = line_take(r, &l);
	else if ((rc = json_parse_line(&v, s, len, r->name, line)) != 0)
		return rc;
	else {
		rc = line_json(r, v);
		json_decref(v);
	}
	return rc ? err_context(rc, "%s:%zu", r->name, line) : 0;
}

/* row: of the sample whose line is wanted; SIZE_MAX: all are read. */
static int lines_walk(struct scores *r, const char *text, size_t len, size_t row, size_t *line)
{
	size_t at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0, seen = 0;
	int rc = 0;

	for (*line = 1; at < len && !rc; ++*line) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;

		if (!is_blank(text + at, n)) {
			if (seen++ == row)
				return 0;
			if (row == SIZE_MAX)
				rc = line_read(r, text + at, n, *line);
		}
		at += n + 1;
	}
	return rc;
}

/* ---- several answers to one question ----------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return !a || !b ? a == b : strcmp(a, b) == 0;
}

/* Row i is one more answer to the question of sample k. */
static int repeat_add(struct scores *r, size_t k, size_t i)
{
	struct sample *first = &r->t->samples[k], *s = &r->t->samples[i];
	struct metric *m = &r->t->metrics[0];

	if (!same_text(first->cluster, s->cluster) || !same_text(first->slice, s->slice) ||
	    (m->weights && m->weights[k] != m->weights[i]))
		return err_set(ERR_INPUT, "the id \"%s\" has another weight, cluster or slice in repeat %s", s->id,
			       r->repeats[i]);
	m->scores[k] += m->scores[i];
	free(s->id);
	free(s->cluster);
	free(s->slice);
	*s = (struct sample){ 0 };
	return 0;
}

static void row_move(struct scores *r, size_t to, size_t from)
{
	struct metric *m = &r->t->metrics[0];

	if (to == from)
		return;
	r->t->samples[to] = r->t->samples[from];
	r->t->samples[from] = (struct sample){ 0 };
	m->scores[to] = m->scores[from];
	if (m->weights)
		m->weights[to] = m->weights[from];
}

/* Rows of one id become one sample, in the order of their first ones: the mean of its answers. *at: the row of a mistake. */
static int repeats_fold(struct scores *r, size_t *at)
{
	struct task_result *t = r->t;
	size_t *answers = mem_array(r->rows + 1, sizeof(*answers)), n = 0;
	struct map ids, seen;
	int rc = 0;

	map_init(&ids);
	map_init(&seen);
	for (*at = 0; *at < r->rows && !rc; *at += !rc) {
		const char *id = t->samples[*at].id;
		char *answer = mem_printf("%zu:%s%s", strlen(id), id, r->repeats[*at]);
		int64_t k;

		if (map_get(&seen, answer, strlen(answer), &k))
			rc = err_set(ERR_INPUT, "the id \"%s\" is there twice with repeat %s", id, r->repeats[*at]);
		map_put(&seen, answer, strlen(answer), 0);
		free(answer);
		if (rc)
			break;
		if (map_get(&ids, id, strlen(id), &k)) {
			rc = repeat_add(r, (size_t)k, *at);
			answers[k] += !rc;
		} else {
			map_put(&ids, id, strlen(id), (int64_t)n);
			row_move(r, n, *at);
			answers[n++] = 1;
		}
	}
	for (size_t i = 0; i < n && !rc; i++)
		t->metrics[0].scores[i] /= (double)answers[i];
	t->n = rc ? r->rows : n;
	map_release(&ids);
	map_release(&seen);
	free(answers);
	return rc;
}

static void repeats_release(struct scores *r)
{
	for (size_t i = 0; i < r->rows && r->repeats; i++)
		free(r->repeats[i]);
	free(r->repeats);
	r->repeats = NULL;
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 1;

	for (const char *p = text, *end = text + len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		n++;
	return n;
}

int task_result_read_scores(struct task_result *out, const char *text, size_t len, const char *name)
{
	size_t lines = count_lines(text, len), line, twice;
	struct task_result t = { .task = mem_str("scores"),
				 .samples = mem_array(lines, sizeof(*t.samples)),
				 .metrics = mem_array(1, sizeof(*t.metrics)),
				 .n_metrics = 1 };
	struct scores r = { .t = &t, .name = name, .cap = lines };
	struct metric *m = &t.metrics[0];
	int rc;

	*m = (struct metric){ .name = mem_str("score"),
			      .filter = mem_str("none"),
			      .higher_is_better = true,
			      .scores = mem_array(lines, sizeof(double)) };
	rc = lines_walk(&r, text, len, SIZE_MAX, &line);
	if (!rc && !r.rows) {
		rc = err_set(ERR_INPUT, "%s: no scores in it", name);
		err_hint(rc, "one line a sample: {\"id\": \"q1\", \"score\": 1}");
	}
	if (!rc && r.repeats && (rc = repeats_fold(&r, &twice)) != 0) {
		lines_walk(&r, text, len, twice, &line);
		err_context(rc, "%s:%zu", name, line);
	}
	repeats_release(&r);
	twice = rc ? SIZE_MAX : sample_ids_twice(t.samples, t.n);
	if (twice != SIZE_MAX) {
		lines_walk(&r, text, len, twice, &line);
		rc = err_set(ERR_INPUT, "%s:%zu: the id \"%s\" is there twice", name, line, t.samples[twice].id);
	}
	if (rc) {
		task_result_release(&t);
		return rc;
	}
	t.n_total = t.n;
	m->binary = !m->weights;
	for (size_t i = 0; i < t.n && m->binary; i++)
		m->binary = m->scores[i] == 0 || m->scores[i] == 1;
	metric_close(m, t.n);
	*out = t;
	return 0;
}
