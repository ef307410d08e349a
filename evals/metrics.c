/* metrics.c: what an answer is worth, and how the scores of a task become one number with a standard error.
 *
 * One table names every metric: for which requests it is made, its aggregate, its direction. Per document:
 *	acc          multiple_choice: the likeliest choice is right (the first of equals counts); loglikelihood: greedy
 *	acc_norm     the likeliest per code point of the choice; acc_bytes: per UTF-8 byte (the delimiter does not count)
 *	brier_score  p = softmax(log-likelihoods); sum over the choices of (p - [right])^2
 *	exact_match  generation: equal to a target after the normalisation asked for; multiple_choice: the right choice
 *	             is what greedy decoding gives
 *	perplexity, word_perplexity, byte_perplexity, bits_per_byte: the log-likelihood, weighted by 1, words or bytes
 * and then the mean, exp(-sum / sum of weights) or -sum / (sum of weights ln 2). Standard errors: s / sqrt(n) for the
 * mean, linearisation of the ratio for the rest (stats.c), by the delta method for the perplexities; NaN for n = 1.
 *
 * exact_match normalises as the harness does: regexes_to_ignore, lower case, ASCII punctuation, ASCII digits. Regular
 * expressions run in PCRE2 with a match limit. Lower case is PCRE2's: one code point to one. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/base.h"

#include <math.h>
#include <pcre2.h>

#include "evals/evals_int.h"
#include "evals/stats_int.h"

enum { METRICS_MAX = 32, REGEXES_MAX = 32, REGEX_STEPS = 1000000 };

struct metric_kind {
	const char *name, *aggregation; /* aggregation: what the harness calls it */
	unsigned types;                 /* 1 << output type */
	unsigned defaults;              /* the types that have it when metric_list is absent */
	enum aggregate aggregate;
	bool higher_is_better, binary;
	double (*score)(const struct outcome *o, double *weight); /* NULL: exact_match, which needs its options */
};

struct metric_regex {
	pcre2_code *code;
};

/* ---- scores of one document -------------------------------------------------------------------------------------- */

static bool gold_has(const struct instance *in, size_t choice)
{
	for (size_t i = 0; i < in->n_gold; i++)
		if (in->gold[i] == (int)choice)
			return true;
	return false;
}

/* Is the likeliest choice right? length: what its log-likelihood is divided by; NULL: nothing. */
static double choice_score(const struct outcome *o, size_t (*length)(const char *s))
{
	size_t best = 0;
	double most = 0;

	for (size_t i = 0; i < o->in->n_choices; i++) {
		double value = o->ll[i].logprob;
		size_t by = length ? length(o->in->choices[i]) : 1;

		value = by ? value / (double)by : -INFINITY;
		if (!i || value > most) {
			best = i;
			most = value;
		}
	}
	return gold_has(o->in, best);
}

static size_t length_points(const char *s)
{
	return utf8_count(s, strlen(s));
}

static double score_acc(const struct outcome *o, double *weight)
{
	(void)weight;
	return o->in->n_gold ? choice_score(o, NULL) : o->ll[0].greedy;
}

static double score_acc_norm(const struct outcome *o, double *weight)
{
	(void)weight;
	return choice_score(o, length_points);
}

static double score_acc_bytes(const struct outcome *o, double *weight)
{
	(void)weight;
	return choice_score(o, strlen);
}

static double score_brier(const struct outcome *o, double *weight)
{
	double most = o->ll[0].logprob, sum = 0, brier = 0;

	(void)weight;
	for (size_t i = 1; i < o->in->n_choices; i++)
		most = o->ll[i].logprob > most ? o->ll[i].logprob : most;
	for (size_t i = 0; i < o->in->n_choices; i++)
		sum += exp(o->ll[i].logprob - most);
	for (size_t i = 0; i < o->in->n_choices; i++) {
		double gap = exp(o->ll[i].logprob - most) / sum - (gold_has(o->in, i) ? 1 : 0);

		brier += gap * gap;
	}
	return brier;
}

static double score_loglik(const struct outcome *o, double *weight)
{
	*weight = 1;
	return o->ll[0].logprob;
}

/* Words as re.split(r"\s+", text) counts them: runs of white space, and one. */
static double score_words(const struct outcome *o, double *weight)
{
	const char *s = o->in->targets[0];
	size_t len = strlen(s), used, words = 1;
	bool space = false;

	for (; len; s += used, len -= used) {
		bool is = utf8_is_space(utf8_next(s, len, &used));

		words += is && !space;
		space = is;
	}
	*weight = (double)words;
	return o->ll[0].logprob;
}

static double score_bytes(const struct outcome *o, double *weight)
{
	*weight = (double)strlen(o->in->targets[0]);
	return o->ll[0].logprob;
}

#define CHOICE (1u << OUTPUT_CHOICE)
#define LOGLIK (1u << OUTPUT_LOGLIK)
#define ROLLING (1u << OUTPUT_ROLLING)
#define GENERATE (1u << OUTPUT_GENERATE)

static const struct metric_kind kinds[] = {
	{ "acc", "mean", CHOICE | LOGLIK, CHOICE | LOGLIK, AGGREGATE_MEAN, true, true, score_acc },
	{ "acc_norm", "mean", CHOICE, CHOICE, AGGREGATE_MEAN, true, true, score_acc_norm },
	{ "acc_bytes", "mean", CHOICE, 0, AGGREGATE_MEAN, true, true, score_acc_bytes },
	{ "exact_match", "mean", CHOICE | GENERATE, GENERATE, AGGREGATE_MEAN, true, true, NULL },
	{ "brier_score", "brier_score", CHOICE, 0, AGGREGATE_MEAN, false, false, score_brier },
	{ "perplexity", "perplexity", LOGLIK, LOGLIK, AGGREGATE_PERPLEXITY, false, false, score_loglik },
	{ "word_perplexity", "weighted_perplexity", ROLLING, ROLLING, AGGREGATE_PERPLEXITY, false, false, score_words },
	{ "byte_perplexity", "weighted_perplexity", ROLLING, ROLLING, AGGREGATE_PERPLEXITY, false, false, score_bytes },
	{ "bits_per_byte", "bits_per_byte", ROLLING, ROLLING, AGGREGATE_BITS, false, false, score_bytes },
};
static const char *const kinds_later[] = {
	"acc_mutual_info", "acc_all", "f1",      "mcc",  "bleu",   "chrf",   "ter",    "accuracy", "likelihood",
	"bypass",          "median",  "nanmean", "anls", "rouge1", "rouge2", "rougeL", "em",       "pass@1"
};
static const char *const type_names[] = { "loglikelihood", "loglikelihood_rolling", "multiple_choice",
					  "generate_until" };

const char *metric_kind_name(const struct metric_kind *k)
{
	return k->name;
}

int metric_direction(const char *name, bool *binary)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0) {
			*binary = kinds[i].binary;
			return kinds[i].higher_is_better ? 1 : -1;
		}
	*binary = false;
	return 0;
}

/* ---- exact_match ------------------------------------------------------------------------------------------------- */

/* Every match of code in s replaced. */
static int replace_all(struct buf *s, pcre2_code *code, const char *with, uint32_t options)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	size_t size = 3 * s->len + 64; /* one code point to one: at most 3 bytes for 1 */
	PCRE2_SIZE got = size;
	char *out = mem_alloc(size);
	PCRE2_UCHAR why[128];
	int n;

	pcre2_set_match_limit(limits, REGEX_STEPS);
	n = pcre2_substitute(code, (PCRE2_SPTR)buf_str(s), s->len, 0, PCRE2_SUBSTITUTE_GLOBAL | options, NULL, limits,
			     (PCRE2_SPTR)with, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)out, &got);
	pcre2_match_context_free(limits);
	if (n < 0) {
		free(out);
		pcre2_get_error_message(n, why, sizeof(why));
		return err_set(ERR_INPUT, "exact_match: a regular expression gave up: %s", (char *)why);
	}
	buf_clear(s);
	buf_add(s, out, got);
	free(out);
	return 0;
}

static void drop_bytes(struct buf *s, const char *from, const char *to)
{
	size_t kept = 0;

	for (size_t at = 0; at < s->len; at++) {
		char c = s->data[at];
		bool drop = false;

		for (size_t i = 0; from[i]; i++)
			drop |= c >= from[i] && c <= to[i];
		if (!drop)
			s->data[kept++] = c;
	}
	s->len = kept;
}

static int exact_normal(struct buf *s, const struct task_metric *m)
{
	int rc = 0;

	for (size_t i = 0; i < m->n_regexes && !rc; i++)
		rc = replace_all(s, m->regexes[i].code, "", 0);
	if (!rc && m->ignore_case)
		rc = replace_all(s, m->any->code, "\\L$0", PCRE2_SUBSTITUTE_EXTENDED);
	if (!rc && m->ignore_punctuation)
		drop_bytes(s, "!:[{", "/@`~");
	if (!rc && m->ignore_numbers)
		drop_bytes(s, "0", "9");
	return rc;
}

static int score_exact(const struct task_metric *m, const struct outcome *o, double *score)
{
	struct buf said = BUF_INIT(BUF_NOLIMIT), right = BUF_INIT(BUF_NOLIMIT);
	int rc;

	*score = 0;
	if (o->in->n_gold) { /* multiple choice */
		for (size_t i = 0; i < o->in->n_gold; i++)
			if (o->in->gold[i] >= 0 && o->ll[o->in->gold[i]].greedy)
				*score = 1;
		return 0;
	}
	utf8_repair(&said, o->text, o->len);
	rc = exact_normal(&said, m);
	for (size_t i = 0; i < o->in->n_targets && !rc; i++) {
		buf_clear(&right);
		utf8_repair(&right, o->in->targets[i], strlen(o->in->targets[i]));
		rc = exact_normal(&right, m);
		if (!rc && said.len == right.len && memcmp(buf_str(&said), buf_str(&right), said.len) == 0)
			*score = 1;
	}
	buf_release(&right);
	buf_release(&said);
	return rc;
}

int metric_score(const struct task_metric *m, const struct outcome *o, double *score, double *weight)
{
	*weight = 1;
	if (!m->kind->score)
		return score_exact(m, o, score);
	*score = m->kind->score(o, weight);
	return 0;
}

/* ---- metric_list ------------------------------------------------------------------------------------------------- */

static int regexes_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	json_t *list = json_object_get(entry, "regexes_to_ignore"), *pattern;
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	size_t i;
	int code;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > REGEXES_MAX)
		return yaml_error(src->y, entry, "regexes_to_ignore", "expected a list of at most %d texts",
				  REGEXES_MAX);
	m->regexes = mem_array(json_array_size(list) + 1, sizeof(*m->regexes));
	json_array_foreach(list, i, pattern)
	{
		if (!json_is_string(pattern))
			return yaml_error(src->y, entry, "regexes_to_ignore", "expected a list of texts");
		m->regexes[i].code = pcre2_compile((PCRE2_SPTR)json_string_value(pattern), json_string_length(pattern),
						   PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
		if (!m->regexes[i].code) {
			pcre2_get_error_message(code, why, sizeof(why));
			return yaml_error(src->y, entry, "regexes_to_ignore", "\"%s\": %s at character %zu",
					  json_string_value(pattern), (char *)why, (size_t)at + 1);
		}
		m->n_regexes++;
	}
	return 0;
}

/* What lower case needs: a pattern that matches everything. */
static int lower_load(struct task_metric *m)
{
	PCRE2_SIZE at;
	int code;

	m->any = mem_alloc(sizeof(*m->any));
	m->any->code = pcre2_compile((PCRE2_SPTR) "(?s).+", PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &at, NULL);
	return m->any->code ? 0 : err_set(ERR_UNAVAILABLE, "PCRE2 is built without UTF");
}

static const struct metric_kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static int kind_unknown(const struct source *src, json_t *entry, const char *name)
{
	const char *known[ARRAY_LEN(kinds)], *near;

	for (size_t i = 0; i < ARRAY_LEN(kinds_later); i++)
		if (strcmp(kinds_later[i], name) == 0)
			return yaml_error(src->y, entry, "metric", "metric %s comes with a later version", name);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		known[i] = kinds[i].name;
	near = opt_nearest(name, known, ARRAY_LEN(kinds));
	return yaml_error(src->y, entry, "metric", "unknown metric \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
			  near ? near : "", near ? "\"?" : "");
}

static int metric_options(struct task_metric *m, const struct source *src, json_t *entry)
{
	static const char *const keys[] = {
		"metric",      "aggregation",        "higher_is_better", "hf_evaluate",
		"ignore_case", "ignore_punctuation", "ignore_numbers",   "regexes_to_ignore"
	};
	bool exact = strcmp(m->kind->name, "exact_match") == 0, hf = false, higher = m->kind->higher_is_better;
	const char *aggregation = m->kind->aggregation;
	int rc = yaml_check_keys(src->y, entry, "metric_list", keys, exact ? ARRAY_LEN(keys) : 4);

	rc = rc ? rc : yaml_get_text(src->y, entry, "aggregation", &aggregation);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "higher_is_better", &higher);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "hf_evaluate", &hf);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "ignore_case", &m->ignore_case);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "ignore_punctuation", &m->ignore_punctuation);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "ignore_numbers", &m->ignore_numbers);
	rc = rc ? rc : regexes_load(m, src, entry);
	rc = rc || !m->ignore_case ? rc : lower_load(m);
	if (rc)
		return rc;
	if (strcmp(aggregation, m->kind->aggregation) != 0)
		return yaml_error(src->y, entry, "aggregation",
				  "%s is aggregated by %s; others come with a later version", m->kind->name,
				  m->kind->aggregation);
	if (hf)
		return yaml_error(src->y, entry, "hf_evaluate", "metrics of the evaluate library are not supported");
	if (higher != m->kind->higher_is_better)
		log_warn("%s: higher_is_better of %s is ignored: it is better when %s", src->path, m->kind->name,
			 m->kind->higher_is_better ? "higher" : "lower");
	return 0;
}

static int metric_load(struct task_metric *m, const struct source *src, json_t *entry, enum output_type type)
{
	const char *name = NULL;
	int rc;

	if (!json_is_object(entry))
		return yaml_error(src->y, src->map, "metric_list",
				  "metric_list: expected a list of mappings {metric: …}");
	rc = yaml_get_text(src->y, entry, "metric", &name);
	if (rc)
		return rc;
	if (!name)
		return yaml_error(src->y, entry, NULL, "metric_list: an entry without \"metric\"");
	m->kind = kind_find(name);
	if (!m->kind)
		return kind_unknown(src, entry, name);
	if (!(m->kind->types & 1u << type))
		return yaml_error(src->y, entry, "metric", "%s is not defined for output_type %s", name,
				  type_names[type]);
	return metric_options(m, src, entry);
}

int metrics_load(struct task_metric **out, size_t *n, const struct source *src, enum output_type type)
{
	json_t *list = json_object_get(src->map, "metric_list"), *entry;
	struct task_metric *m = mem_array(METRICS_MAX, sizeof(*m));
	size_t i, len = 0;
	int rc = 0;

	if (!list || json_is_null(list)) {
		for (i = 0; i < ARRAY_LEN(kinds); i++)
			if (kinds[i].defaults & 1u << type)
				m[len++].kind = &kinds[i];
	} else if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > METRICS_MAX) {
		rc = yaml_error(src->y, src->map, "metric_list", "metric_list: expected a list of 1 to %d metrics",
				METRICS_MAX);
	} else {
		json_array_foreach(list, i, entry)
		{
			rc = metric_load(&m[len++], src, entry, type);
			for (size_t k = 0; k + 1 < len && !rc; k++)
				if (m[k].kind == m[len - 1].kind)
					rc = yaml_error(src->y, entry, "metric", "%s is listed twice", m[k].kind->name);
			if (rc)
				break;
		}
	}
	if (rc) {
		metrics_free(m, len);
		return rc;
	}
	*out = m;
	*n = len;
	return 0;
}

void metrics_free(struct task_metric *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < m[i].n_regexes; k++)
			pcre2_code_free(m[i].regexes[k].code);
		free(m[i].regexes);
		if (m[i].any)
			pcre2_code_free(m[i].any->code);
		free(m[i].any);
	}
	free(m);
}

/* ---- aggregates -------------------------------------------------------------------------------------------------- */

static const char *const aggregates[] = { "mean", "perplexity", "bits" };

const char *aggregate_name(enum aggregate a)
{
	return aggregates[a];
}

int aggregate_parse(enum aggregate *out, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(aggregates); i++)
		if (strcmp(aggregates[i], name) == 0) {
			*out = (enum aggregate)i;
			return 0;
		}
	return err_set(ERR_INPUT, "unknown aggregate \"%s\"", name);
}

void metric_init(struct metric *m, const struct task_metric *from, const char *filter, size_t n)
{
	*m = (struct metric){ .name = mem_str(from->kind->name),
			      .filter = mem_str(filter),
			      .aggregate = from->kind->aggregate,
			      .higher_is_better = from->kind->higher_is_better,
			      .binary = from->kind->binary,
			      .scores = mem_array(n, sizeof(double)) };
	if (from->kind->score == score_words || from->kind->score == score_bytes)
		m->weights = mem_array(n, sizeof(double));
}

double *metric_terms(enum aggregate a, const double *scores, const double *weights, size_t n)
{
	double *x = mem_array(n, sizeof(*x));

	for (size_t i = 0; i < n; i++)
		x[i] = weights && a == AGGREGATE_MEAN ? weights[i] * scores[i] : scores[i];
	return x;
}

void metric_close(struct metric *m, size_t n)
{
	double *x = metric_terms(m->aggregate, m->scores, m->weights, n);
	struct stats_ratio r;

	stats_ratio(&r, x, m->weights, n);
	free(x);
	switch (m->aggregate) {
	case AGGREGATE_MEAN:
		m->value = r.ratio;
		m->stderr_ = r.se;
		break;
	case AGGREGATE_PERPLEXITY:
		m->value = exp(-r.ratio);
		m->stderr_ = m->value * r.se;
		break;
	case AGGREGATE_BITS:
		m->value = -r.ratio / M_LN2;
		m->stderr_ = r.se / M_LN2;
		break;
	}
	if (!isfinite(m->stderr_))
		m->stderr_ = NAN;
}

void metric_release(struct metric *m)
{
	free(m->name);
	free(m->filter);
	free(m->scores);
	free(m->weights);
	*m = (struct metric){ 0 };
}
