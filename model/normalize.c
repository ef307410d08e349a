/* normalize.c: the normalizers of tokenizer.json: a text to the text that the model's vocabulary was made for.
 *
 * A list of steps, each over the whole text of the one before. The Unicode forms follow the tables of the tokenizers
 * library (normalize_table.c), which are older than today's Unicode: a character that came later is left alone, as it is
 * there. A form looks only at the characters that it can change and what stands around them: a table of one bit a
 * character says which; all else is copied as it is, so that plain text costs a look per character.
 *
 * NFC, NFKC: taken apart, marks sorted by class (stable), put together again. Hangul by arithmetic. A run of marks of
 * any length is sorted by counting, so that hostile text costs no more than other text. */
#include "base/base.h"

#include "model/normalize_int.h"
#include "model/tokenizer_int.h"

#define CODE_POINTS 0x110000u
#define MAX_PIECES 32 /* characters of one decomposition; U+FDFA has 18 */

enum { L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11a7, S_BASE = 0xac00, V_N = 21, T_N = 28, S_N = 11172 };

struct piece { /* one character on its way */
	uint32_t cp;
	uint8_t class;
};
struct form {
	bool compose;
	struct map apart; /* character -> index into texts << 8 | length */
	struct map pairs; /* two characters -> the one */
	uint8_t *class;   /* by character */
	uint8_t *changes; /* a bit a character: this form may change it */
	uint32_t *pool;   /* decompositions */
	size_t n, cap;
};

/* ---- the tables of a form ------------------------------------------------------------------------------------------ */

static bool has_bit(const uint8_t *bits, uint32_t cp)
{
	return bits[cp >> 3] >> (cp & 7) & 1;
}

static void set_bit(uint8_t *bits, uint32_t cp)
{
	bits[cp >> 3] |= (uint8_t)(1u << (cp & 7));
}

static const uint32_t *get_apart(const struct form *f, uint32_t cp, size_t *n)
{
	int64_t at;

	if (!map_get(&f->apart, &cp, sizeof(cp), &at))
		return NULL;
	*n = (size_t)at & 0xff;
	return f->pool + (at >> 8);
}

/* Remembers that cp becomes the n characters at parts, the first of which may be taken apart further. */
static void put_apart(struct form *f, uint32_t cp, const uint32_t *parts, size_t n)
{
	size_t first_n = 0, start = f->n;
	const uint32_t *first = get_apart(f, parts[0], &first_n);
	uint32_t all[2 * MAX_PIECES];
	size_t k = 0;

	if (first) {
		memcpy(all, first, first_n * sizeof(*all));
		k = first_n;
	}
	for (size_t i = first ? 1 : 0; i < n && k < ARRAY_LEN(all); i++)
		all[k++] = parts[i];
	for (size_t i = 0; i < k; i++) {
		MEM_GROW(f->pool, f->n, f->cap);
		f->pool[f->n++] = all[i];
	}
	map_put(&f->apart, &cp, sizeof(cp), (int64_t)(start << 8 | k));
}

/* One line of a table: its characters; returns how many, and moves *line behind it. */
static size_t read_line(const char **line, uint32_t out[MAX_PIECES])
{
	const char *p = *line, *end = strchr(p, '\n');
	size_t n = 0, used;

	for (; p < end && n < MAX_PIECES; p += used)
		out[n++] = utf8_next(p, (size_t)(end - p), &used);
	*line = end + 1;
	return n;
}

static uint64_t pair_key(uint32_t a, uint32_t b)
{
	return (uint64_t)a << 32 | b;
}

/* A first part may stand later in the table than what is made of it: rounds, until nothing is taken apart further. */
static void settle(struct form *f)
{
	bool again = true;

	while (again) {
		const char *line = normalize_canonical;
		uint32_t c[MAX_PIECES];
		again = false;
		while (*line) {
			size_t n = read_line(&line, c), have = 0, deeper = 0;
			const uint32_t *parts = get_apart(f, c[1], &have);
			if (n > 2 && parts && get_apart(f, parts[0], &deeper)) {
				uint32_t copy[MAX_PIECES];
				have = have < MAX_PIECES ? have : MAX_PIECES;
				memcpy(copy, parts, have * sizeof(*copy));
				put_apart(f, c[1], copy, have);
				again = true;
			}
		}
	}
}

static void read_tables(struct form *f, bool compatible)
{
	const char *line = normalize_canonical;
	uint32_t c[MAX_PIECES];
	size_t n;

	while (*line) {
		n = read_line(&line, c);
		put_apart(f, c[1], c + 2, n - 2);
		if (c[0] != '=') {
			set_bit(f->changes, c[1]);
			continue;
		}
		if (f->compose) {
			uint64_t key = pair_key(c[2], c[3]);
			map_put(&f->pairs, &key, sizeof(key), c[1]);
			set_bit(f->changes, c[3]);
		} else {
			set_bit(f->changes, c[1]);
		}
	}
	settle(f);
	for (line = normalize_compatible; compatible && *line;) {
		size_t start = f->n;
		n = read_line(&line, c);
		for (size_t i = 1; i < n; i++) {
			MEM_GROW(f->pool, f->n, f->cap);
			f->pool[f->n++] = c[i];
		}
		map_put(&f->apart, &c[0], sizeof(c[0]), (int64_t)(start << 8 | (n - 1)));
		set_bit(f->changes, c[0]);
	}
}

static struct form *form_new(bool compose, bool compatible)
{
	struct form *f = mem_alloc(sizeof(*f));

	map_init(&f->apart);
	map_init(&f->pairs);
	f->compose = compose;
	f->class = mem_array(CODE_POINTS, 1);
	f->changes = mem_array(CODE_POINTS / 8, 1);
	read_tables(f, compatible);
	for (size_t i = 0; i < normalize_n_classes; i++)
		for (uint32_t c = normalize_classes[i].from; c <= normalize_classes[i].to; c++) {
			f->class[c] = normalize_classes[i].class;
			set_bit(f->changes, c);
		}
	for (uint32_t c = S_BASE; !compose && c < S_BASE + S_N; c++)
		set_bit(f->changes, c);
	for (uint32_t c = V_BASE; compose && c <= T_BASE + T_N; c++)
		set_bit(f->changes, c);
	return f;
}

static void form_free(struct form *f)
{
	if (!f)
		return;
	map_release(&f->apart);
	map_release(&f->pairs);
	free(f->class);
	free(f->changes);
	free(f->pool);
	free(f);
}

/* ---- a form at work ------------------------------------------------------------------------------------------------ */

struct pieces {
	struct piece *p;
	size_t n, cap;
};

static void add_piece(const struct form *f, struct pieces *s, uint32_t cp)
{
	MEM_GROW(s->p, s->n, s->cap);
	s->p[s->n++] = (struct piece){ cp, f->class[cp] };
}

static void take_apart(const struct form *f, struct pieces *s, uint32_t cp)
{
	uint32_t i = cp - S_BASE;
	const uint32_t *parts;
	size_t n = 0;

	if (cp >= S_BASE && i < S_N) {
		add_piece(f, s, L_BASE + i / (V_N * T_N));
		add_piece(f, s, V_BASE + i / T_N % V_N);
		if (i % T_N)
			add_piece(f, s, T_BASE + i % T_N);
		return;
	}
	parts = get_apart(f, cp, &n);
	if (!parts)
		add_piece(f, s, cp);
	for (size_t k = 0; k < n; k++)
		add_piece(f, s, parts[k]);
}

/* Stable, by class: counting, for a run that is long. */
static void sort_run(struct piece *p, size_t n)
{
	size_t starts[257] = { 0 };
	struct piece *sorted;

	if (n <= 24) {
		for (size_t i = 1; i < n; i++) {
			struct piece key = p[i];
			size_t k = i;
			for (; k > 0 && p[k - 1].class > key.class; k--)
				p[k] = p[k - 1];
			p[k] = key;
		}
		return;
	}
	sorted = mem_array(n, sizeof(*sorted));
	for (size_t i = 0; i < n; i++)
		starts[p[i].class + 1]++;
	for (size_t i = 1; i < 257; i++)
		starts[i] += starts[i - 1];
	for (size_t i = 0; i < n; i++)
		sorted[starts[p[i].class]++] = p[i];
	memcpy(p, sorted, n * sizeof(*p));
	free(sorted);
}

static void sort_marks(struct pieces *s)
{
	for (size_t i = 0; i < s->n;) {
		size_t start = i;
		if (!s->p[i].class) {
			i++;
			continue;
		}
		while (i < s->n && s->p[i].class)
			i++;
		sort_run(s->p + start, i - start);
	}
}

/* The character that a and b make; 0: none. */
static uint32_t composed(const struct form *f, uint32_t a, uint32_t b)
{
	uint64_t key = pair_key(a, b);
	int64_t cp;

	if (a - L_BASE < 19 && b - V_BASE < V_N)
		return S_BASE + ((a - L_BASE) * V_N + (b - V_BASE)) * T_N;
	if (a - S_BASE < S_N && (a - S_BASE) % T_N == 0 && b > T_BASE && b < T_BASE + T_N)
		return a + (b - T_BASE);
	return map_get(&f->pairs, &key, sizeof(key), &cp) ? (uint32_t)cp : 0;
}

static void put_together(const struct form *f, struct pieces *s)
{
	size_t starter = SIZE_MAX, out = 0;
	int last = -1; /* class of the piece before, since the starter; -1: the starter itself */

	for (size_t i = 0; i < s->n; i++) {
		struct piece p = s->p[i];
		uint32_t whole = 0;
		if (starter != SIZE_MAX && last < (int)p.class)
			whole = composed(f, s->p[starter].cp, p.cp);
		if (whole) {
			s->p[starter].cp = whole;
			continue;
		}
		if (!p.class) {
			starter = out;
			last = -1;
		} else {
			last = p.class;
		}
		s->p[out++] = p;
	}
	s->n = out;
}

static void flush_pieces(const struct form *f, struct pieces *s, struct buf *out)
{
	sort_marks(s);
	if (f->compose)
		put_together(f, s);
	for (size_t i = 0; i < s->n; i++) {
		char utf8[4];
		buf_add(out, utf8, utf8_put(utf8, s->p[i].cp));
	}
	s->n = 0;
}

/* Where nothing changes is copied; around a character that may change, from the one before that cannot to the next. */
static void form_run(const struct form *f, struct buf *out, const char *text, size_t len)
{
	struct pieces s = { 0 };
	size_t done = 0, before = 0, at = 0, used; /* before: where the character before at begins */

	while (at < len) {
		uint32_t cp = utf8_next(text + at, len - at, &used);
		if ((uint8_t)text[at] < 0x80 || !has_bit(f->changes, cp)) {
			before = at;
			at += used;
			continue;
		}
		buf_add(out, text + done, before - done);
		while (before < at) {
			take_apart(f, &s, utf8_next(text + before, len - before, &used));
			before += used;
		}
		for (; at < len; at += used) {
			cp = utf8_next(text + at, len - at, &used);
			if (!has_bit(f->changes, cp))
				break;
			take_apart(f, &s, cp);
		}
		flush_pieces(f, &s, out);
		done = before = at;
	}
	buf_add(out, text + done, len - done);
	free(s.p);
}

/* ---- the other steps ----------------------------------------------------------------------------------------------- */

static uint32_t lower_of(uint32_t cp)
{
	size_t low = 0, high = normalize_n_lower;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (normalize_lower[mid].to < cp)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == normalize_n_lower || cp < normalize_lower[low].from ||
	    (cp - normalize_lower[low].from) % (uint32_t)normalize_lower[low].step)
		return cp;
	return (uint32_t)((int32_t)cp + normalize_lower[low].delta);
}

static bool is_mark(uint32_t cp)
{
	size_t low = 0, high = normalize_n_marks;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (normalize_marks[mid].to < cp)
			low = mid + 1;
		else
			high = mid;
	}
	return low < normalize_n_marks && cp >= normalize_marks[low].from;
}

static void lower_run(struct buf *out, const char *text, size_t len)
{
	size_t used;

	for (size_t at = 0; at < len; at += used) {
		uint32_t cp = utf8_next(text + at, len - at, &used);
		char utf8[4];
		if (cp == 0x130)
			buf_adds(out, "i\u0307");
		else
			buf_add(out, utf8, utf8_put(utf8, lower_of(cp)));
	}
}

static void accents_run(struct buf *out, const char *text, size_t len)
{
	size_t used;

	for (size_t at = 0; at < len; at += used)
		if (!is_mark(utf8_next(text + at, len - at, &used)))
			buf_add(out, text + at, used);
}

static void strip_run(const struct normalize_step *s, struct buf *out, const char *text, size_t len)
{
	size_t start = 0, used;

	while (s->left && start < len && is_white_space(utf8_next(text + start, len - start, &used)))
		start += used;
	while (s->right && len > start) {
		size_t back = len - 1;
		while (back > start && ((uint8_t)text[back] & 0xc0) == 0x80)
			back--;
		if (!is_white_space(utf8_next(text + back, len - back, &used)))
			break;
		len = back;
	}
	buf_add(out, text + start, len - start);
}

/* ---- replace: a step of normalizers and of decoders ------------------------------------------------------------------ */

int replace_parse(struct replace *r, const json_t *node, const char *field, const char *name)
{
	const json_t *pattern = json_object_get(node, "pattern");
	const char *regex = json_get_text(pattern, "Regex", NULL), *literal = json_get_text(pattern, "String", NULL);
	const char *content = json_get_text(node, "content", NULL);
	char *where;
	int rc;

	if ((!regex && !literal) || !content)
		return err_set(ERR_INPUT,
			       "%s: %s: Replace wants a pattern {\"String\": …} or {\"Regex\": …} and a content", name,
			       field);
	r->content = mem_str(content);
	if (literal && *literal) {
		r->literal = mem_str(literal);
		return 0;
	}
	where = mem_printf("%s: %s", name, field);
	rc = onig_new(&r->pattern, regex ? regex : "", regex ? strlen(regex) : 0, false, where);
	free(where);
	return rc;
}

void replace_release(struct replace *r)
{
	free(r->content);
	free(r->literal);
	onig_free(r->pattern);
	memset(r, 0, sizeof(*r));
}

int replace_run(const struct replace *r, struct onig_scratch *search, struct buf *out, const char *text, size_t len)
{
	size_t n = r->literal ? strlen(r->literal) : 0, at = 0, start, end;
	int found;

	while (r->literal && at < len) {
		const char *hit = memmem(text + at, len - at, r->literal, n);
		if (!hit)
			break;
		buf_add(out, text + at, (size_t)(hit - text) - at);
		buf_adds(out, r->content);
		at = (size_t)(hit - text) + n;
	}
	while (r->pattern && at < len && (found = onig_find(r->pattern, search, text, len, at, &start, &end)) != 0) {
		if (found < 0)
			return found;
		buf_add(out, text + at, start - at);
		buf_adds(out, r->content);
		at = end;
	}
	buf_add(out, text + at, len - at);
	return 0;
}

/* ---- reading the file ------------------------------------------------------------------------------------------------ */

static const struct kind {
	const char *type;
	enum normalize_kind kind;
	bool compose, compatible;
} kinds[] = {
	{ "NFC", NORMALIZE_FORM, true, false },
	{ "NFD", NORMALIZE_FORM, false, false },
	{ "NFKC", NORMALIZE_FORM, true, true },
	{ "NFKD", NORMALIZE_FORM, false, true },
	{ "Prepend", NORMALIZE_PREPEND, false, false },
	{ "Replace", NORMALIZE_REPLACE, false, false },
	{ "Lowercase", NORMALIZE_LOWER, false, false },
	{ "Strip", NORMALIZE_STRIP, false, false },
	{ "StripAccents", NORMALIZE_ACCENTS, false, false },
};

static int parse_step(struct normalize *n, const struct kind *kind, const json_t *node, const char *name)
{
	struct normalize_step *s = &n->steps[n->n];

	if (n->n == TOKENIZER_MAX_STEPS)
		return err_set(ERR_INPUT, "%s: normalizer: more than %d steps", name, TOKENIZER_MAX_STEPS);
	n->n++;
	*s = (struct normalize_step){ .kind = kind->kind };
	switch (kind->kind) {
	case NORMALIZE_FORM:
		s->form = form_new(kind->compose, kind->compatible);
		return 0;
	case NORMALIZE_PREPEND:
		s->text = mem_str(json_get_text(node, "prepend", ""));
		return 0;
	case NORMALIZE_REPLACE:
		return replace_parse(&s->replace, node, "normalizer", name);
	case NORMALIZE_STRIP:
		s->left = json_get_flag(node, "strip_left", true);
		s->right = json_get_flag(node, "strip_right", true);
		return 0;
	default:
		return 0;
	}
}

int normalize_parse(struct normalize *n, const json_t *node, const char *name, int depth)
{
	const json_t *list = json_object_get(node, "normalizers");
	const char *type = json_get_text(node, "type", NULL);
	int rc = 0;

	if ((!node || json_is_null(node)) && depth == 0)
		return 0;
	if (!type || depth > 8)
		return err_set(ERR_INPUT, "%s: normalizer: an object with a type is wanted", name);
	if (!strcmp(type, "Sequence")) {
		for (size_t i = 0; i < json_array_size(list) && !rc; i++)
			rc = normalize_parse(n, json_array_get(list, i), name, depth + 1);
		return rc;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(type, kinds[i].type))
			return parse_step(n, &kinds[i], node, name);
	return tokenizer_refuse(name, "normalizer.type", type);
}

void normalize_release(struct normalize *n)
{
	for (int i = 0; i < n->n; i++) {
		form_free(n->steps[i].form);
		replace_release(&n->steps[i].replace);
		free(n->steps[i].text);
	}
	memset(n, 0, sizeof(*n));
}

/* ---- running --------------------------------------------------------------------------------------------------------- */

static int run_step(const struct normalize_step *s, struct onig_scratch *search, struct buf *out, const char *text,
		    size_t len)
{
	switch (s->kind) {
	case NORMALIZE_FORM:
		form_run(s->form, out, text, len);
		return 0;
	case NORMALIZE_PREPEND:
		if (len)
			buf_adds(out, s->text);
		buf_add(out, text, len);
		return 0;
	case NORMALIZE_REPLACE:
		return replace_run(&s->replace, search, out, text, len);
	case NORMALIZE_LOWER:
		lower_run(out, text, len);
		return 0;
	case NORMALIZE_STRIP:
		strip_run(s, out, text, len);
		return 0;
	case NORMALIZE_ACCENTS:
		accents_run(out, text, len);
		return 0;
	}
	return 0;
}

int normalize_run(const struct normalize *n, struct onig_scratch *search, struct buf *out, const char *text, size_t len)
{
	struct buf turn[2];
	int rc = 0;

	buf_init(&turn[0], out->max);
	buf_init(&turn[1], out->max);
	for (int i = 0; i < n->n && !rc; i++) {
		struct buf *to = i + 1 == n->n ? out : &turn[i & 1];
		buf_clear(to);
		rc = run_step(&n->steps[i], search, to, text, len);
		if (!rc && buf_full(to))
			rc = err_set(ERR_INPUT, "the normalizer makes a text of more than %zu bytes", out->max);
		text = buf_str(to);
		len = to->len;
	}
	buf_release(&turn[0]);
	buf_release(&turn[1]);
	return rc;
}
