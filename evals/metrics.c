/* metrics.c: what an answer is worth, and how the scores of a task become one number with a standard error.
 *
 * One table names every metric: for which requests it is made, its aggregate, its direction, the function that scores a
 * sample, the keys it takes. What a score means stands at the top of the metric's file; those on a whole text are here:
 *	perplexity, word_perplexity, byte_perplexity, bits_per_byte: the log-likelihood, weighted by 1, words or bytes
 *	bypass: 999, of whatever it is
 *
 * Aggregates: the mean, exp(-sum / sum of weights), -sum / (sum of weights ln 2), or a function of the corpus (corpus.c).
 * Standard errors: s / sqrt(n) for the mean, linearisation of the ratio for the weighted ones (stats.c), by the delta method
 * for the perplexities, bootstrap draws for corpora; NaN for n = 1. */
#include "base/base.h"

#include <math.h>

#include "evals/json_int.h"
#include "evals/mt_int.h"
#include "evals/stats_int.h"

enum { METRICS_MAX = 32 };

/* ---- scores of a whole text -------------------------------------------------------------------------------------- */

static int score_loglik(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	out->score = o->ll[0].logprob;
	return 0;
}

/* Words as re.split(r"\s+", text) counts them: runs of white space, and one. */
static int score_words(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	const char *s = o->in->targets[0];
	size_t len = strlen(s), used, words = 1;
	bool space = false;

	for (; len; s += used, len -= used) {
		bool is = utf8_is_space(utf8_next(s, len, &used));

		words += is && !space;
		space = is;
	}
	out->weight = (double)words;
	return score_loglik(m, o, out);
}

static int score_bytes(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	out->weight = (double)strlen(o->in->targets[0]);
	return score_loglik(m, o, out);
}

/* For a task whose answers are kept and not judged: the harness's number. */
static int score_bypass(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	(void)o;
	out->score = 999;
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define CHOICE (1u << OUTPUT_CHOICE)
#define LOGLIK (1u << OUTPUT_LOGLIK)
#define ROLLING (1u << OUTPUT_ROLLING)
#define GENERATE (1u << OUTPUT_GENERATE)

/* clang-format off */
static const struct metric_kind kinds[] = {
	/* name, aggregation, types, defaults, aggregate, higher is better, binary, weighted, parts, score, options, check */
	{ "acc", "mean", CHOICE | LOGLIK, CHOICE | LOGLIK, AGGREGATE_MEAN, true, true, false, 0, score_acc, NULL, NULL },
	{ "acc_norm", "mean", CHOICE, CHOICE, AGGREGATE_MEAN, true, true, false, 0, score_acc_norm, NULL, NULL },
	{ "acc_bytes", "mean", CHOICE, 0, AGGREGATE_MEAN, true, true, false, 0, score_acc_bytes, NULL, NULL },
	{ "acc_mutual_info", "mean", CHOICE, 0, AGGREGATE_MEAN, true, true, false, 0, score_acc_mutual_info, NULL, NULL },
	{ "exact_match", "mean", CHOICE | GENERATE, GENERATE, AGGREGATE_MEAN, true, true, false, 0, score_exact, &exact_options, check_exact },
	{ "brier_score", "brier_score", CHOICE, 0, AGGREGATE_MEAN, false, false, false, 0, score_brier, NULL, check_right },
	{ "confidence", "mean", CHOICE, 0, AGGREGATE_MEAN, true, false, false, 0, score_confidence, NULL, NULL },
	{ "likelihood", "mean", CHOICE, 0, AGGREGATE_MEAN, true, false, false, 0, score_likelihood, NULL, check_right },
	{ "f1", "f1", CHOICE, 0, AGGREGATE_F1, true, false, false, 2, score_labels, &f1_options, check_labels },
	{ "f1", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_label, &label_options, check_label },
	{ "accuracy", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_label, &label_options, check_label },
	{ "mcc", "matthews_corrcoef", CHOICE, 0, AGGREGATE_MCC, true, false, false, 2, score_labels, NULL, check_labels },
	{ "perplexity", "perplexity", LOGLIK, LOGLIK, AGGREGATE_PERPLEXITY, false, false, false, 0, score_loglik, NULL, NULL },
	{ "word_perplexity", "weighted_perplexity", ROLLING, ROLLING, AGGREGATE_PERPLEXITY, false, false, true, 0, score_words, NULL, NULL },
	{ "byte_perplexity", "weighted_perplexity", ROLLING, ROLLING, AGGREGATE_PERPLEXITY, false, false, true, 0, score_bytes, NULL, NULL },
	{ "bits_per_byte", "bits_per_byte", ROLLING, ROLLING, AGGREGATE_BITS, false, false, true, 0, score_bytes, NULL, NULL },
	{ "bleu", "bleu", GENERATE, 0, AGGREGATE_BLEU, true, false, false, 10, score_bleu, &bleu_options, NULL },
	{ "chrf", "chrf", GENERATE, 0, AGGREGATE_CHRF, true, false, false, 18, score_chrf, &chrf_options, NULL },
	{ "chrf++", "chrf++", GENERATE, 0, AGGREGATE_CHRF, true, false, false, 24, score_chrf, &chrfpp_options, NULL },
	{ "ter", "ter", GENERATE, 0, AGGREGATE_TER, false, false, false, 2, score_ter, &ter_options, NULL },
	{ "rouge1", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_rouge1, &rouge_options, NULL },
	{ "rouge2", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_rouge2, &rouge_options, NULL },
	{ "rougeL", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_rouge_l, &rouge_options, NULL },
	{ "rougeLsum", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_rouge_lsum, &rouge_options, NULL },
	{ "token_f1", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_token_f1, &squad_options, NULL },
	{ "set_match", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_set_match, &set_options, NULL },
	{ "set_f1", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_set_f1, &set_options, NULL },
	{ "regex_match", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_pattern, &pattern_options, check_pattern },
	{ "bypass", "bypass", CHOICE | LOGLIK | GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_bypass, NULL, NULL },
	{ "judge", "mean", GENERATE, 0, AGGREGATE_MEAN, true, false, false, 0, score_judge, &judge_options, NULL },
	{ "json_valid", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_json_valid, NULL, NULL },
	{ "json_match", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_json_match, &json_match_options, check_json_match },
	{ "json_schema", "mean", GENERATE, 0, AGGREGATE_MEAN, true, true, false, 0, score_json_schema, &json_schema_options, check_json_schema },
};
/* clang-format on */
static const char *const kinds_later[] = { "acc_all", "anls", "em", "pass@1" };
static const char *const type_names[] = { "loglikelihood", "loglikelihood_rolling", "multiple_choice",
					  "generate_until" };

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

double metric_range(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0 && kinds[i].aggregate == AGGREGATE_MEAN)
			return kinds[i].score == score_bypass ? 0 : kinds[i].score == score_brier ? 2 : 1;
	return 0;
}

bool metrics_need_alone(const struct task_metric *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (m[i].kind->score == score_acc_mutual_info)
			return true;
	return false;
}

int metrics_check(const struct task_metric *m, size_t n, const struct instance *in)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = m[i].kind->check ? m[i].kind->check(&m[i], in) : 0;
	return rc;
}

int metric_score(const struct task_metric *m, const struct outcome *o, struct metric *into, size_t at)
{
	struct scored s = { 0, 1, into->parts ? into->parts + at * into->n_parts : NULL };
	int rc = m->kind->score(m, o, &s);

	into->scores[at] = s.score;
	if (into->weights)
		into->weights[at] = s.weight;
	return rc;
}

/* ---- metric_list ------------------------------------------------------------------------------------------------- */

/* The one for this type, else any of the name: f1 is of choices one thing and of written labels another. */
static const struct metric_kind *kind_find(const char *name, enum output_type type)
{
	const struct metric_kind *any = NULL;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0) {
			if (kinds[i].types & 1u << type)
				return &kinds[i];
			any = &kinds[i];
		}
	return any;
}

/* rc, with the metrics that this output_type has as the fix. */
static int kinds_hint(int rc, enum output_type type)
{
	struct buf names = BUF_INIT(BUF_NOLIMIT);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].types & 1u << type && strcmp(kinds[i].name, "bypass") != 0)
			buf_addf(&names, "%s%s", names.len ? ", " : "", kinds[i].name);
	err_hint(rc, "%s has %s", type_names[type], buf_str(&names));
	buf_release(&names);
	return rc;
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

/* weight_by_size is of a group's list: in a task's it has no effect, as in the harness, and stands in 185 of its files. */
static const char *const common_keys[] = { "metric", "aggregation", "higher_is_better", "hf_evaluate",
					   "weight_by_size" };
enum { KEYS_MAX = 16 };

static int check_keys(const struct task_metric *m, const struct source *src, json_t *entry)
{
	const struct metric_options *o = m->kind->options;
	const char *keys[ARRAY_LEN(common_keys) + KEYS_MAX];
	size_t n = ARRAY_LEN(common_keys);

	memcpy(keys, common_keys, sizeof(common_keys));
	for (size_t i = 0; o && i < o->n_keys && i < KEYS_MAX; i++)
		keys[n++] = o->keys[i];
	return yaml_check_keys(src->y, entry, "metric_list", keys, n);
}

/* The kind's options from an entry; NULL: the defaults. */
static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	json_t *none = json_object();
	int rc = 0;

	m->n_parts = m->kind->n_parts;
	if (entry) {
		m->asked = json_deep_copy(entry);
		for (size_t i = 0; i < ARRAY_LEN(common_keys); i++)
			json_object_del(m->asked, common_keys[i]);
	}
	if (m->kind->options)
		rc = m->kind->options->load(m, src, entry ? entry : none);
	json_decref(none);
	return rc;
}

/* A score of ours is never NaN, so that the mean that leaves NaN out is the mean. */
static bool same_aggregation(const struct metric_kind *k, const char *name)
{
	return strcmp(name, k->aggregation) == 0 ||
	       (strcmp(name, "nanmean") == 0 && strcmp(k->aggregation, "mean") == 0);
}

static int metric_options(struct task_metric *m, const struct source *src, json_t *entry)
{
	bool hf = false, higher = m->kind->higher_is_better;
	const char *aggregation = m->kind->aggregation;
	int rc = check_keys(m, src, entry);

	rc = rc ? rc : yaml_get_text(src->y, entry, "aggregation", &aggregation);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "higher_is_better", &higher);
	rc = rc ? rc : yaml_get_flag(src->y, entry, "hf_evaluate", &hf);
	rc = rc ? rc : options_load(m, src, entry);
	if (rc)
		return rc;
	if (!same_aggregation(m->kind, aggregation))
		return yaml_error(src->y, entry, "aggregation", "%s is aggregated by %s; %s is not built",
				  m->kind->name, m->kind->aggregation, aggregation);
	if (hf && m->kind->options != &label_options)
		return yaml_error(src->y, entry, "hf_evaluate",
				  "of the evaluate library there are accuracy and f1 of written labels only");
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
	m->kind = kind_find(name, type);
	if (!m->kind)
		return kinds_hint(kind_unknown(src, entry, name), type);
	if (!(m->kind->types & 1u << type))
		return kinds_hint(yaml_error(src->y, entry, "metric", "%s is not defined for output_type %s", name,
					     type_names[type]),
				  type);
	return metric_options(m, src, entry);
}

int metrics_load(struct task_metric **out, size_t *n, const struct source *src, enum output_type type)
{
	json_t *list = json_object_get(src->map, "metric_list"), *entry;
	struct task_metric *m = mem_array(METRICS_MAX + 1, sizeof(*m));
	bool scored = json_object_get(src->map, "score") != NULL;
	size_t i, len = 0;
	int rc = 0;

	if (!list || json_is_null(list)) {
		for (i = 0; i < ARRAY_LEN(kinds) && !scored; i++)
			if (kinds[i].defaults & 1u << type) {
				m[len].kind = &kinds[i];
				options_load(&m[len++], src, NULL); /* defaults do not fail */
			}
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
	if (!rc && scored)
		rc = score_command_load(&m[len++], src, type);
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
		if (m[i].options)
			m[i].kind->options->free(m[i].options);
		json_decref(m[i].asked);
	}
	free(m);
}

/* exact_match's four options first, in a form of their own that stored digests have; then what else is asked. */
void metrics_digest(struct digest_ctx *c, const struct task_metric *m, size_t n)
{
	static const char *const flags[][2] = { { "ignore_case", "case" },
						{ "ignore_punctuation", "punctuation" },
						{ "ignore_numbers", "numbers" } };

	for (size_t i = 0; i < n; i++) {
		json_t *asked = m[i].asked ? json_copy(m[i].asked) : json_object();
		struct buf text = BUF_INIT(BUF_NOLIMIT);

		digest_text(c, m[i].kind->name);
		for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
			digest_text(c, json_is_true(json_object_get(asked, flags[k][0])) ? flags[k][1] : NULL);
			json_object_del(asked, flags[k][0]);
		}
		if (json_object_get(asked, "regexes_to_ignore"))
			json_add(&text, json_object_get(asked, "regexes_to_ignore"));
		digest_text(c, buf_str(&text));
		json_object_del(asked, "regexes_to_ignore");
		buf_clear(&text);
		if (json_object_size(asked)) {
			json_add(&text, asked);
			digest_text(c, buf_str(&text));
		}
		buf_release(&text);
		json_decref(asked);
	}
	digest_text(c, NULL);
}

/* ---- aggregates -------------------------------------------------------------------------------------------------- */

static const char *const aggregates[] = { "mean", "perplexity", "bits", "bleu", "chrf", "ter", "f1", "mcc", "members" };

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
	if (from->kind->weighted)
		m->weights = mem_array(n, sizeof(double));
	m->n_parts = from->n_parts;
	if (m->n_parts)
		m->parts = mem_array(n, mem_mul(m->n_parts, sizeof(double)));
}

double *metric_terms(enum aggregate a, const double *scores, const double *weights, size_t n)
{
	double *x = mem_array(n, sizeof(*x));

	for (size_t i = 0; i < n; i++)
		x[i] = weights && a == AGGREGATE_MEAN ? weights[i] * scores[i] : scores[i];
	return x;
}

static void close_ratio(struct metric *m, size_t n)
{
	double *x = metric_terms(m->aggregate, m->scores, m->weights, n);
	struct stats_ratio r;

	stats_ratio(&r, x, m->weights, n);
	free(x);
	m->value = r.ratio;
	m->stderr_ = r.se;
	if (m->aggregate == AGGREGATE_PERPLEXITY) {
		m->value = exp(-r.ratio);
		m->stderr_ = m->value * r.se;
	} else if (m->aggregate == AGGREGATE_BITS) {
		m->value = -r.ratio / M_LN2;
		m->stderr_ = r.se / M_LN2;
	}
}

void metric_close(struct metric *m, size_t n)
{
	if (aggregate_is_corpus(m->aggregate))
		corpus_close(m, n);
	else
		close_ratio(m, n);
	if (!isfinite(m->stderr_))
		m->stderr_ = NAN;
}

void metric_release(struct metric *m)
{
	free(m->name);
	free(m->filter);
	free(m->scores);
	free(m->weights);
	free(m->parts);
	*m = (struct metric){ 0 };
}
