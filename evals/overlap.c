/* overlap.c: are the questions in the training data? Counted, so that a report can say it and a gate can refuse it.
 *
 * A document of a suite is its question and its right answer, as the model sees them, without shots. It overlaps
 *
 *	exact      if the whole of it is a training example. Compared: ASCII lower case, every run of white space and
 *	           ASCII punctuation one border ("1+2= 3" is "1+2=3", and not "12=3"); borders at the ends do not count
 *	13-gram    if 13 words in a row of it stand in a training example. The rule of GPT-3 (appendix C) and of the
 *	           harness's janitor: ASCII lower case, ASCII punctuation deleted, words are what stands between white
 *	           space. A document of fewer than 13 words has none: only the exact rule speaks of it
 *
 * A 13-gram that more than ten documents of one task share, or more than half of them (and at least two), is the frame
 * of the prompt and not a document: it does not count. GPT-3 leaves out what more than ten documents collide with for
 * the same reason.
 *
 * What is indexed are the questions, which are few; the training data goes by once, a line at a time, and is not kept.
 * So memory is that of the questions, some 50 bytes a word, whatever the size of the data. An n-gram's hash is rolled
 * from the hashes of its words; a hit is then compared byte by byte, so a collision of hashes costs time and is never
 * an overlap. A gram that has been met once is not compared again. Whole documents go through a map, which compares
 * keys itself. Left out: answers alone ("yes" is in every training set), paraphrase, case and punctuation beyond ASCII. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { GRAM = 13, FRAME_DOCS = 10, EXAMPLES_MAX = 5 };
#define HASH_BASE 0x9e3779b97f4a7c15u /* odd, so that no power of it is 0 modulo 2^64 */
#define NONE UINT32_MAX

struct gram {
	uint64_t hash;
	size_t at; /* in the text of all documents */
	uint32_t len;
	uint32_t place;     /* of the training line that has it, from 1; 0: none so far */
	uint32_t doc, docs; /* while they are counted: the last document that has it, and how many of the task do */
};
struct overlap_doc {
	char *id;
	uint32_t place;  /* of the training line that is it, from 1 */
	uint32_t same;   /* the document before this one with the same whole text, or NONE */
	size_t first, n; /* its grams */
};
struct overlap_task {
	char *suite, *task;
	size_t first, n; /* documents */
};
struct place {
	uint32_t file, line;
};
struct parts { /* of a text: no word crosses the border of two; borrowed */
	struct part {
		const char *text;
		size_t len;
	} * items;
	size_t n, cap;
};
struct form { /* a text in one of the two forms */
	char *text;
	size_t len, cap;
};
struct words { /* of a text in the form of the n-grams */
	struct form form;
	uint64_t *hashes;
	size_t *starts, n, cap;
};

struct overlap {
	struct overlap_task *tasks;
	struct overlap_doc *docs;
	struct gram *grams;
	uint32_t *of_docs; /* the grams of all documents, one list behind the other */
	uint32_t *slots;   /* grams by hash, from 1 */
	struct place *places;
	char **files;
	size_t n_tasks, n_docs, n_grams, n_of_docs, n_slots, n_places, n_files;
	size_t cap_tasks, cap_docs, cap_grams, cap_of_docs, cap_places, cap_files;
	struct map whole; /* exact form -> the last document that has it */
	struct buf text;  /* of all documents, in the form of the n-grams */
	struct words words;
	struct form exact;
	struct parts parts;
	uint64_t top; /* HASH_BASE to the power of GRAM - 1 */
};

/* ---- the two forms of a text ------------------------------------------------------------------------------------- */

static bool is_punctuation(char c)
{
	return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

/* Length of the white space at s, as Python's str.split() sees it; 0 if there is none. */
static size_t space_at(const char *s, size_t len)
{
	unsigned char c = (unsigned char)*s;
	size_t used;

	if (c < 0x80)
		return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
	return c >= 0xc2 && utf8_is_space(utf8_next(s, len, &used)) ? used : 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* No form is longer than its text and one border. */
static void form_room(struct form *f, size_t more)
{
	if (f->cap - f->len > more)
		return;
	f->cap = (f->len + more + 1) * 2;
	f->text = mem_resize(f->text, f->cap);
}

static void word_end(struct words *w, size_t start)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = start; i < w->form.len; i++)
		h = (h ^ (unsigned char)w->form.text[i]) * 0x100000001b3u;
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		w->hashes = mem_resize(w->hashes, mem_mul(w->cap, sizeof(*w->hashes)));
		w->starts = mem_resize(w->starts, mem_mul(w->cap, sizeof(*w->starts)));
	}
	w->hashes[w->n] = h ^ h >> 29;
	w->starts[w->n++] = start;
}

/* Adds the words of s; a word never crosses the border of two parts, such as question and answer. */
static void words_add(struct words *w, const char *s, size_t len)
{
	struct form *f = &w->form;
	size_t start = SIZE_MAX, space;

	form_room(f, len + 1);
	for (size_t i = 0; i < len;) {
		space = space_at(s + i, len - i);
		if (space || is_punctuation(s[i])) {
			if (space && start != SIZE_MAX) {
				word_end(w, start);
				start = SIZE_MAX;
			}
			i += space ? space : 1;
			continue;
		}
		if (start == SIZE_MAX) {
			if (f->len)
				f->text[f->len++] = ' ';
			start = f->len;
		}
		f->text[f->len++] = lower(s[i++]);
	}
	if (start != SIZE_MAX)
		word_end(w, start);
}

static void exact_add(struct form *f, const char *s, size_t len)
{
	bool border = true;

	form_room(f, len + 1);
	for (size_t i = 0; i < len;) {
		size_t space = space_at(s + i, len - i);

		if (space || is_punctuation(s[i])) {
			border = true;
			i += space ? space : 1;
			continue;
		}
		if (border && f->len)
			f->text[f->len++] = ' ';
		border = false;
		f->text[f->len++] = lower(s[i++]);
	}
}

/* ---- n-grams ------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

/* Where the gram with this hash and text is, or the free slot where it belongs. */
static uint32_t *slot_of(const struct overlap *o, uint64_t hash, const char *text, size_t len)
{
	size_t i = (size_t)mix(hash) & (o->n_slots - 1);

	for (; o->slots[i]; i = (i + 1) & (o->n_slots - 1)) {
		const struct gram *g = &o->grams[o->slots[i] - 1];

		if (g->hash == hash && g->len == len && !memcmp(o->text.data + g->at, text, len))
			break;
	}
	return &o->slots[i];
}

static void slots_grow(struct overlap *o)
{
	o->n_slots = o->n_slots ? o->n_slots * 2 : 1024;
	free(o->slots);
	o->slots = mem_array(o->n_slots, sizeof(*o->slots));
	for (size_t k = 0; k < o->n_grams; k++) {
		size_t i = (size_t)mix(o->grams[k].hash) & (o->n_slots - 1);

		while (o->slots[i])
			i = (i + 1) & (o->n_slots - 1);
		o->slots[i] = (uint32_t)k + 1;
	}
}

/* The hash of words i to i + GRAM - 1, from that of the words one before. */
static uint64_t roll(const struct overlap *o, uint64_t hash, size_t i)
{
	const uint64_t *h = o->words.hashes;

	if (i)
		return (hash - h[i - 1] * o->top) * HASH_BASE + h[i + GRAM - 1];
	for (size_t k = 0; k < GRAM; k++)
		hash = hash * HASH_BASE + h[k];
	return hash;
}

static size_t gram_len(const struct words *w, size_t i)
{
	return (i + GRAM < w->n ? w->starts[i + GRAM] - 1 : w->form.len) - w->starts[i];
}

/* Indexes the grams of the words in hand, which stand at `at` in the text of all documents. */
static int grams_add(struct overlap *o, size_t at)
{
	const struct words *w = &o->words;
	uint64_t hash = 0;

	for (size_t i = 0; i + GRAM <= w->n; i++) {
		size_t len = gram_len(w, i);
		uint32_t *slot;

		if (o->n_grams + 1 >= NONE / 2 || o->n_of_docs + 1 >= NONE || len >= NONE)
			return err_set(ERR_INPUT, "the suites are too large to be compared with the training data");
		if ((o->n_grams + 1) * 2 > o->n_slots)
			slots_grow(o);
		hash = roll(o, hash, i);
		slot = slot_of(o, hash, w->form.text + w->starts[i], len);
		if (!*slot) {
			MEM_GROW(o->grams, o->n_grams, o->cap_grams);
			o->grams[o->n_grams++] = (struct gram){
				.hash = hash, .at = at + w->starts[i], .len = (uint32_t)len, .doc = NONE
			};
			*slot = (uint32_t)o->n_grams;
		}
		MEM_GROW(o->of_docs, o->n_of_docs, o->cap_of_docs);
		o->of_docs[o->n_of_docs++] = *slot - 1;
	}
	return 0;
}

/* ---- the questions --------------------------------------------------------------------------------------------------- */

struct overlap *overlap_new(void)
{
	struct overlap *o = mem_alloc(sizeof(*o));

	map_init(&o->whole);
	buf_init(&o->text, BUF_NOLIMIT);
	o->top = 1;
	for (int i = 1; i < GRAM; i++)
		o->top *= HASH_BASE;
	slots_grow(o);
	return o;
}

void overlap_free(struct overlap *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n_tasks; i++) {
		free(o->tasks[i].suite);
		free(o->tasks[i].task);
	}
	for (size_t i = 0; i < o->n_docs; i++)
		free(o->docs[i].id);
	for (size_t i = 0; i < o->n_files; i++)
		free(o->files[i]);
	free(o->tasks);
	free(o->docs);
	free(o->grams);
	free(o->of_docs);
	free(o->slots);
	free(o->places);
	free(o->files);
	free(o->words.form.text);
	free(o->words.hashes);
	free(o->words.starts);
	free(o->exact.text);
	free(o->parts.items);
	map_release(&o->whole);
	buf_release(&o->text);
	free(o);
}

int overlap_add(struct overlap *o, const char *suite, const struct suite_text *text)
{
	struct overlap_task *t = o->n_tasks ? &o->tasks[o->n_tasks - 1] : NULL;
	struct overlap_doc d = { .same = NONE, .first = o->n_of_docs };
	size_t at = o->text.len;
	int64_t before;
	int rc;

	if (o->n_docs + 1 >= NONE)
		return err_set(ERR_INPUT, "the suites have too many documents");
	if (!t || strcmp(t->task, text->task) || strcmp(t->suite, suite)) {
		MEM_GROW(o->tasks, o->n_tasks, o->cap_tasks);
		t = &o->tasks[o->n_tasks++];
		*t = (struct overlap_task){ mem_str(suite), mem_str(text->task), o->n_docs, 0 };
	}
	o->words.form.len = o->words.n = o->exact.len = 0;
	for (int i = 0; i < 2; i++) {
		const char *part = i ? text->answer : text->question;

		words_add(&o->words, part, strlen(part));
		exact_add(&o->exact, part, strlen(part));
	}
	if (o->words.n >= GRAM)
		buf_add(&o->text, o->words.form.text, o->words.form.len);
	rc = grams_add(o, at);
	if (rc)
		return rc;
	if (o->exact.len) { /* nothing but punctuation is nothing to compare */
		if (map_get(&o->whole, o->exact.text, o->exact.len, &before))
			d.same = (uint32_t)before;
		map_put(&o->whole, o->exact.text, o->exact.len, (int64_t)o->n_docs);
	}
	d.id = mem_str(text->id);
	d.n = o->n_of_docs - d.first;
	MEM_GROW(o->docs, o->n_docs, o->cap_docs);
	o->docs[o->n_docs++] = d;
	t->n++;
	return 0;
}

struct adding {
	struct overlap *o;
	const char *suite;
};

static int add_text(const struct suite_text *text, void *arg)
{
	const struct adding *a = arg;

	return overlap_add(a->o, a->suite, text);
}

int overlap_add_suite(struct overlap *o, const struct suite *s)
{
	struct adding a = { o, suite_name(s) };

	return suite_each_text(s, add_text, &a);
}

/* ---- the training data ------------------------------------------------------------------------------------------------ */

/* The place of a line, made when it is first needed; from 1. */
static uint32_t place_of(struct overlap *o, const char *file, size_t line)
{
	struct place p = { 0, line < NONE ? (uint32_t)line : NONE };

	if (!o->n_files || strcmp(o->files[o->n_files - 1], file)) {
		MEM_GROW(o->files, o->n_files, o->cap_files);
		o->files[o->n_files++] = mem_str(file);
	}
	p.file = (uint32_t)o->n_files - 1;
	if (!o->n_places || memcmp(&o->places[o->n_places - 1], &p, sizeof(p))) {
		MEM_GROW(o->places, o->n_places, o->cap_places);
		o->places[o->n_places++] = p;
	}
	return (uint32_t)o->n_places;
}

static void scan_exact(struct overlap *o, const char *file, size_t line)
{
	const struct parts *p = &o->parts;
	int64_t doc;

	o->exact.len = 0;
	for (size_t i = 0; i < p->n; i++)
		exact_add(&o->exact, p->items[i].text, p->items[i].len);
	if (!o->exact.len || !map_get(&o->whole, o->exact.text, o->exact.len, &doc))
		return;
	for (uint32_t d = (uint32_t)doc; d != NONE && !o->docs[d].place; d = o->docs[d].same)
		o->docs[d].place = place_of(o, file, line);
}

static void scan_grams(struct overlap *o, const char *file, size_t line)
{
	const struct parts *p = &o->parts;
	struct words *w = &o->words;
	uint64_t hash = 0;

	w->form.len = w->n = 0;
	for (size_t i = 0; i < p->n; i++)
		words_add(w, p->items[i].text, p->items[i].len);
	for (size_t i = 0; i + GRAM <= w->n; i++) {
		uint32_t *slot;

		hash = roll(o, hash, i);
		slot = slot_of(o, hash, w->form.text + w->starts[i], gram_len(w, i));
		if (*slot && !o->grams[*slot - 1].place)
			o->grams[*slot - 1].place = place_of(o, file, line);
	}
}

static void scan(struct overlap *o, const char *file, size_t line)
{
	scan_exact(o, file, line);
	scan_grams(o, file, line);
}

static void part_add(struct parts *p, const char *text, size_t len)
{
	MEM_GROW(p->items, p->n, p->cap);
	p->items[p->n++] = (struct part){ text, len };
}

void overlap_scan_text(struct overlap *o, const char *text, size_t len, const char *file, size_t line)
{
	o->parts.n = 0;
	part_add(&o->parts, text, len);
	scan(o, file, line);
}

/* The text itself, or the texts of a message list, whose contents may be lists of parts with a text. */
static void gather(struct parts *p, const json_t *v)
{
	const json_t *item;
	size_t i;

	if (json_is_string(v))
		part_add(p, json_string_value(v), json_string_length(v));
	else if (json_is_array(v))
		json_array_foreach(v, i, item) gather(p, item);
	else if (json_is_object(v))
		gather(p, json_object_get(v, json_object_get(v, "content") ? "content" : "text"));
}

/* Every answer with the message before it: a question stands in a conversation, too. */
static void scan_turns(struct overlap *o, const json_t *messages, const char *file, size_t line)
{
	for (size_t i = 1; i < json_array_size(messages); i++) {
		const json_t *m = json_array_get(messages, i);

		if (strcmp(json_get_text(m, "role", ""), "assistant"))
			continue;
		o->parts.n = 0;
		gather(&o->parts, json_array_get(messages, i - 1));
		gather(&o->parts, m);
		scan_exact(o, file, line);
	}
}

/* Every text of an object whose keys mean nothing to us. */
static void gather_all(struct parts *p, const json_t *v)
{
	const json_t *item;
	const char *key;
	size_t i;

	if (json_is_string(v))
		part_add(p, json_string_value(v), json_string_length(v));
	else if (json_is_array(v))
		json_array_foreach(v, i, item) gather_all(p, item);
	else if (json_is_object(v))
		json_object_foreach((json_t *)(uintptr_t)v, key, item) gather_all(p, item);
}

void overlap_scan_example(struct overlap *o, const json_t *example, const char *file, size_t line)
{
	static const char *const forms[] = { "completion", "chosen", "rejected", "text", "messages" };
	size_t scanned = 0;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const json_t *v = json_object_get(example, forms[i]);

		if (!v)
			continue;
		o->parts.n = 0;
		if (i < 3)
			gather(&o->parts, json_object_get(example, "prompt"));
		gather(&o->parts, v);
		scan(o, file, line);
		scan_turns(o, v, file, line);
		scanned++;
	}
	o->parts.n = 0;
	if (!scanned) {
		gather_all(&o->parts, example);
		scan(o, file, line);
	}
}

/* ---- what came of it --------------------------------------------------------------------------------------------------- */

/* How many documents of the task have each gram. */
static void count_frames(struct overlap *o, const struct overlap_task *t)
{
	const struct overlap_doc *end = &o->docs[t->first + t->n];
	const uint32_t *list = o->of_docs;

	for (const struct overlap_doc *d = &o->docs[t->first]; d < end; d++)
		for (size_t i = 0; i < d->n; i++) {
			o->grams[list[d->first + i]].docs = 0;
			o->grams[list[d->first + i]].doc = NONE;
		}
	for (const struct overlap_doc *d = &o->docs[t->first]; d < end; d++)
		for (size_t i = 0; i < d->n; i++) {
			struct gram *g = &o->grams[list[d->first + i]];

			g->docs += g->doc != (uint32_t)(d - o->docs);
			g->doc = (uint32_t)(d - o->docs);
		}
}

/* The place of the first gram of the document that was met and is no frame; 0: none. */
static uint32_t gram_place(const struct overlap *o, const struct overlap_task *t, const struct overlap_doc *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct gram *g = &o->grams[o->of_docs[d->first + i]];
		bool frame = g->docs > FRAME_DOCS || (g->docs > 1 && (size_t)g->docs * 2 > t->n);

		if (g->place && !frame)
			return g->place;
	}
	return 0;
}

static json_t *example_json(const struct overlap *o, const struct overlap_doc *d, uint32_t place)
{
	const struct place *p = &o->places[place - 1];
	char *where = p->line ? mem_printf("%s:%u", o->files[p->file], p->line) : mem_str(o->files[p->file]);
	json_t *row = json_pack("{s:s,s:s}", "id", d->id, "how", d->place ? "exact" : "13-gram");

	json_object_set_new(row, "where", json_new_text(where, strlen(where)));
	free(where);
	return row;
}

static json_t *task_json(struct overlap *o, const struct overlap_task *t)
{
	json_t *examples = json_array();
	size_t exact = 0, gram = 0, both = 0;

	count_frames(o, t);
	for (size_t i = t->first; i < t->first + t->n; i++) {
		const struct overlap_doc *d = &o->docs[i];
		uint32_t at = gram_place(o, t, d);

		exact += d->place != 0;
		gram += at != 0;
		both += d->place || at;
		if ((d->place || at) && json_array_size(examples) < EXAMPLES_MAX)
			json_array_append_new(examples, example_json(o, d, d->place ? d->place : at));
	}
	return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:o}", "suite", t->suite, "task", t->task, "n", (json_int_t)t->n,
			 "exact", (json_int_t)exact, "ngram", (json_int_t)gram, "documents", (json_int_t)both,
			 "examples", examples);
}

json_t *overlap_json(struct overlap *o)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->n_tasks; i++)
		json_array_append_new(list, task_json(o, &o->tasks[i]));
	return list;
}
