/* rouge.c: ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum as the rouge_score package computes them.
 *
 * Words are runs of a-z and 0-9 after Python's lower(): whatever else stands in a text only parts them, so these metrics say
 * nothing about other scripts. With stemmer: true, words of more than three letters are stemmed (porter.c). Precision and
 * recall are shared n-grams (ROUGE-L: the words of the longest common subsequence) over those of answer and target; a
 * sample's score is F = 2PR / (P + R), 0 to 1, of the target that gives the highest; the value is the mean.
 *
 * ROUGE-Lsum takes lines for sentences: the words of a target's line that lie on its longest common subsequence with any line
 * of the answer are shared, each word no more often than both texts have it. Of several longest subsequences it is the one
 * that the package walks to, so that the same places count.
 *
 * Option: stemmer (false). */
#include "base/base.h"

#include "base/lettercase.h"
#include "evals/mt_int.h"

#define PAIRS_MAX ((uint64_t)1 << 32) /* of words that ROUGE-L compares: some seconds */
#define TABLE_MAX ((uint64_t)1 << 26) /* of two lines, kept whole for ROUGE-Lsum: 256 MiB */

struct rouge {
	bool stemmer;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static void read_words(struct row *out, struct words *w, const struct rouge *r, const char *s, size_t len)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	size_t end;

	case_lower(&text, s, len);
	for (size_t i = 0; i < text.len; i = end + 1) {
		for (end = i; end < text.len && is_letter(text.data[end]);)
			end++;
		if (r->stemmer && end - i > 3) {
			char *stem = stem_word(text.data + i, end - i);

			if (*stem)
				row_add_word(out, w, stem, strlen(stem));
			free(stem);
		} else if (end > i) {
			row_add_word(out, w, text.data + i, end - i);
		}
	}
	buf_release(&text);
}

static double f_measure(size_t shared, size_t said, size_t right)
{
	double p = said ? (double)shared / (double)said : 0, r = right ? (double)shared / (double)right : 0;

	return p + r > 0 ? 2 * p * r / (p + r) : 0;
}

/* Row by row; only the one before is kept. */
static size_t common_subsequence(const struct row *a, const struct row *b)
{
	size_t *best = mem_array(b->n + 1, sizeof(*best)), length;

	for (size_t i = 0; i < a->n; i++) {
		size_t corner = 0;

		for (size_t j = 1; j <= b->n; j++) {
			size_t above = best[j];

			best[j] = a->ids[i] == b->ids[j - 1] ? corner + 1 : above > best[j - 1] ? above : best[j - 1];
			corner = above;
		}
	}
	length = best[b->n];
	free(best);
	return length;
}

/* Marks the places of right that lie on its longest common subsequence with said: from the end, by the whole table. */
static void mark_common(bool *on, const struct row *right, const struct row *said)
{
	size_t wide = said->n + 1, i = right->n, j = said->n;
	uint32_t *length = mem_array(mem_mul(right->n + 1, wide), sizeof(*length));

	for (size_t a = 1; a <= right->n; a++)
		for (size_t b = 1; b <= said->n; b++) {
			uint32_t above = length[(a - 1) * wide + b], left = length[a * wide + b - 1];

			length[a * wide + b] = right->ids[a - 1] == said->ids[b - 1]
						       ? length[(a - 1) * wide + b - 1] + 1
					       : above > left ? above
							      : left;
		}
	while (i && j) {
		if (right->ids[i - 1] == said->ids[j - 1]) {
			on[--i] = true;
			j--;
		} else if (length[i * wide + j - 1] > length[(i - 1) * wide + j]) {
			j--;
		} else {
			i--;
		}
	}
	free(length);
}

typedef int shared_words(const struct row *said, const struct row *right, double *f);

static double f_grams(const struct row *said, const struct row *right, size_t order)
{
	struct grams a, b;
	double f;

	grams_init(&a, said, order);
	grams_init(&b, right, order);
	f = f_measure(grams_shared(&a, &b, 1, order), grams_count(&a, order), grams_count(&b, order));
	grams_release(&a);
	grams_release(&b);
	return f;
}

static int compare_1(const struct row *said, const struct row *right, double *f)
{
	*f = f_grams(said, right, 1);
	return 0;
}

static int compare_2(const struct row *said, const struct row *right, double *f)
{
	*f = f_grams(said, right, 2);
	return 0;
}

static int compare_l(const struct row *said, const struct row *right, double *f)
{
	if ((uint64_t)said->n * right->n > PAIRS_MAX)
		return err_set(ERR_INPUT, "rougeL: an answer of %zu words and a target of %zu are too long to align",
			       said->n, right->n);
	*f = f_measure(common_subsequence(said, right), said->n, right->n);
	return 0;
}

static int score(const struct task_metric *m, const struct outcome *o, struct scored *out, shared_words *compare)
{
	struct row said = { 0 };
	struct words w;
	int rc = 0;

	words_init(&w);
	read_words(&said, &w, m->options, o->text, o->len);
	for (size_t i = 0; i < o->in->n_targets && !rc; i++) {
		struct row right = { 0 };
		double f = 0;

		read_words(&right, &w, m->options, o->in->targets[i], strlen(o->in->targets[i]));
		rc = compare(&said, &right, &f);
		out->score = f > out->score ? f : out->score;
		row_release(&right);
	}
	row_release(&said);
	words_release(&w);
	return rc;
}

/* ---- ROUGE-Lsum -------------------------------------------------------------------------------------------------- */

struct lines { /* of a text, as words */
	struct row *rows;
	size_t n, cap, words;
};

static void lines_read(struct lines *out, struct words *w, const struct rouge *r, const char *s, size_t len)
{
	for (const char *end = s + len; s <= end;) {
		const char *stop = s < end ? memchr(s, '\n', (size_t)(end - s)) : NULL;

		stop = stop ? stop : end;
		MEM_GROW(out->rows, out->n, out->cap);
		out->rows[out->n] = (struct row){ 0 };
		read_words(&out->rows[out->n], w, r, s, (size_t)(stop - s));
		out->words += out->rows[out->n].n;
		if (out->rows[out->n].n) /* a line without words shares nothing */
			out->n++;
		else
			row_release(&out->rows[out->n]);
		s = stop + 1;
	}
}

static void lines_release(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		row_release(&l->rows[i]);
	free(l->rows);
	*l = (struct lines){ 0 };
}

/* How often each word, by its number, stands in the lines; a new array. */
static size_t *lines_count(const struct lines *l, const struct words *w)
{
	size_t *count = mem_array((size_t)w->n + 1, sizeof(*count));

	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->rows[i].n; k++)
			count[l->rows[i].ids[k]]++;
	return count;
}

static size_t lines_shared(const struct lines *said, const struct lines *right, const struct words *w)
{
	size_t *of_said = lines_count(said, w), *of_right = lines_count(right, w), shared = 0;

	for (size_t i = 0; i < right->n; i++) {
		const struct row *line = &right->rows[i];
		bool *on = mem_array(line->n + 1, sizeof(*on));

		for (size_t k = 0; k < said->n; k++)
			mark_common(on, line, &said->rows[k]);
		for (size_t k = 0; k < line->n; k++)
			if (on[k] && of_said[line->ids[k]] && of_right[line->ids[k]]) {
				of_said[line->ids[k]]--;
				of_right[line->ids[k]]--;
				shared++;
			}
		free(on);
	}
	free(of_said);
	free(of_right);
	return shared;
}

/* The longest line of each makes the largest table. */
static int lines_fit(const struct lines *said, const struct lines *right)
{
	size_t a = 0, b = 0;

	for (size_t i = 0; i < said->n; i++)
		a = said->rows[i].n > a ? said->rows[i].n : a;
	for (size_t i = 0; i < right->n; i++)
		b = right->rows[i].n > b ? right->rows[i].n : b;
	if ((uint64_t)said->words * right->words <= PAIRS_MAX && (uint64_t)(a + 1) * (b + 1) <= TABLE_MAX)
		return 0;
	return err_set(ERR_INPUT,
		       "rougeLsum: an answer of %zu words, %zu in a line, and a target of %zu, %zu in a line, are too "
		       "long to align",
		       said->words, a, right->words, b);
}

int score_rouge_lsum(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	struct lines said = { 0 };
	struct words w;
	int rc = 0;

	words_init(&w);
	lines_read(&said, &w, m->options, o->text, o->len);
	for (size_t i = 0; i < o->in->n_targets && !rc; i++) {
		struct lines right = { 0 };
		double f;

		lines_read(&right, &w, m->options, o->in->targets[i], strlen(o->in->targets[i]));
		rc = lines_fit(&said, &right);
		f = rc ? 0 : f_measure(lines_shared(&said, &right, &w), said.words, right.words);
		out->score = f > out->score ? f : out->score;
		lines_release(&right);
	}
	lines_release(&said);
	words_release(&w);
	return rc;
}

/* ---- the metrics ------------------------------------------------------------------------------------------------- */

int score_rouge1(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	return score(m, o, out, compare_1);
}

int score_rouge2(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	return score(m, o, out, compare_2);
}

int score_rouge_l(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	return score(m, o, out, compare_l);
}

static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	struct rouge *r = m->options = mem_alloc(sizeof(*r));

	return yaml_get_flag(src->y, entry, "stemmer", &r->stemmer);
}

static const char *const keys[] = { "stemmer" };
const struct metric_options rouge_options = { keys, ARRAY_LEN(keys), options_load, free };
