/* json_schema.c: does a JSON value satisfy a schema? A subset of JSON Schema 2020-12.
 *
 *	any value  type, enum, const, allOf, anyOf, oneOf, not, if/then/else, $ref
 *	numbers    minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf
 *	texts      minLength, maxLength (code points), pattern (PCRE2, anywhere in the text)
 *	lists      items, prefixItems, minItems, maxItems, uniqueItems
 *	objects    properties, patternProperties, additionalProperties, propertyNames, required, dependentRequired,
 *	           minProperties, maxProperties
 *
 * $ref goes within the schema only: "#" or a JSON pointer behind it ("#/$defs/point"); $defs and definitions hold what it
 * finds. Words that assert nothing are let through (title, description, default, examples, format, $schema, $id, $comment,
 * deprecated, readOnly, writeOnly, content…). Every other word is refused with its place: a schema that is understood in
 * part would pass what it should not.
 *
 * A schema is a stranger's, as the answer is. All patterns are compiled when it is read, and a $ref that comes back to its
 * own schema without going into the value is refused then. A check is bounded in depth and in steps (a step is a keyword
 * looked at); an answer that takes more does not satisfy the schema. As in Python's jsonschema 1.0 is an integer and 1
 * equals 1.0, and true is no number. */
#include "base/base.h"

#include <math.h>

#include "evals/json_int.h"

enum { DEPTH_MAX = 1000, STEPS_MAX = 5000000, SCHEMA_FILE_MAX = 4 << 20, PATTERNS_MAX = 1000 };

struct schema {
	json_t *root;
	struct map patterns; /* text -> index */
	struct regex **regexes;
	size_t n;
};
struct check { /* of one value */
	const struct schema *s;
	size_t steps;
	int depth;
};

static int holds(bool *out, struct check *c, const json_t *schema, const json_t *v);

/* ---- keywords: each sets *out to false where the value breaks it --------------------------------------------------- */

struct place { /* a keyword with its value, in its schema, and the value that is judged */
	const json_t *schema, *word, *v;
	const char *name;
};
typedef int keyword(bool *out, struct check *c, const struct place *p);

static bool has_type(const json_t *v, const char *type)
{
	static const struct {
		const char *name;
		json_type is;
	} types[] = {
		{ "object", JSON_OBJECT }, { "array", JSON_ARRAY }, { "string", JSON_STRING }, { "null", JSON_NULL }
	};

	if (strcmp(type, "number") == 0)
		return json_is_number(v);
	if (strcmp(type, "integer") == 0)
		return number_is_whole(v);
	if (strcmp(type, "boolean") == 0)
		return json_is_boolean(v);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(types[i].name, type) == 0)
			return json_typeof(v) == types[i].is;
	return false;
}

static int word_type(bool *out, struct check *c, const struct place *p)
{
	(void)c;
	*out = json_is_string(p->word) && has_type(p->v, json_string_value(p->word));
	for (size_t i = 0; !*out && i < json_array_size(p->word); i++)
		*out = has_type(p->v, json_string_value(json_array_get(p->word, i)));
	return 0;
}

static int word_const(bool *out, struct check *c, const struct place *p)
{
	(void)c;
	*out = json_same(p->v, p->word, &(struct json_same){ 0 });
	return 0;
}

static int word_enum(bool *out, struct check *c, const struct place *p)
{
	*out = false;
	for (size_t i = 0; !*out && i < json_array_size(p->word); i++) {
		c->steps++;
		*out = json_same(p->v, json_array_get(p->word, i), &(struct json_same){ 0 });
	}
	return 0;
}

/* How many schemas of a list hold; stops behind `most`. */
static int count_holding(size_t *n, struct check *c, const struct place *p, size_t most)
{
	int rc = 0;

	*n = 0;
	for (size_t i = 0; i < json_array_size(p->word) && !rc && *n < most; i++) {
		bool one;

		rc = holds(&one, c, json_array_get(p->word, i), p->v);
		*n += !rc && one;
	}
	return rc;
}

static int word_all_of(bool *out, struct check *c, const struct place *p)
{
	int rc = 0;

	for (size_t i = 0; i < json_array_size(p->word) && !rc && *out; i++)
		rc = holds(out, c, json_array_get(p->word, i), p->v);
	return rc;
}

static int word_any_of(bool *out, struct check *c, const struct place *p)
{
	size_t n;
	int rc = count_holding(&n, c, p, 1);

	*out = n == 1;
	return rc;
}

static int word_one_of(bool *out, struct check *c, const struct place *p)
{
	size_t n;
	int rc = count_holding(&n, c, p, 2);

	*out = n == 1;
	return rc;
}

static int word_not(bool *out, struct check *c, const struct place *p)
{
	int rc = holds(out, c, p->word, p->v);

	*out = !*out;
	return rc;
}

static int word_if(bool *out, struct check *c, const struct place *p)
{
	const json_t *next;
	bool is;
	int rc = holds(&is, c, p->word, p->v);

	next = json_object_get(p->schema, is ? "then" : "else");
	return rc || !next ? rc : holds(out, c, next, p->v);
}

static const json_t *find_ref(const struct schema *s, const char *ref);

static int word_ref(bool *out, struct check *c, const struct place *p)
{
	return holds(out, c, find_ref(c->s, json_string_value(p->word)), p->v);
}

static bool called(const struct place *p, const char *name)
{
	return strcmp(p->name, name) == 0;
}

static int word_number(bool *out, struct check *c, const struct place *p)
{
	double v = json_number_value(p->v), w = json_number_value(p->word);

	(void)c;
	if (!json_is_number(p->v))
		return 0;
	*out = called(p, "minimum")            ? v >= w
	       : called(p, "maximum")          ? v <= w
	       : called(p, "exclusiveMinimum") ? v > w
	       : called(p, "exclusiveMaximum") ? v < w
					       : v / w == floor(v / w); /* multipleOf */
	return 0;
}

static int word_size(bool *out, struct check *c, const struct place *p)
{
	double size, limit = json_number_value(p->word);

	(void)c;
	if (json_is_string(p->v) && strcmp(p->name + 3, "Length") == 0)
		size = (double)utf8_count(json_string_value(p->v), json_string_length(p->v));
	else if (json_is_array(p->v) && strcmp(p->name + 3, "Items") == 0)
		size = (double)json_array_size(p->v);
	else if (json_is_object(p->v) && strcmp(p->name + 3, "Properties") == 0)
		size = (double)json_object_size(p->v);
	else
		return 0;
	*out = strncmp(p->name, "min", 3) == 0 ? size >= limit : size <= limit;
	return 0;
}

static int matches(bool *out, const struct check *c, const char *pattern, const char *text, size_t len)
{
	int64_t at = 0;

	map_get(&c->s->patterns, pattern, strlen(pattern), &at);
	return regex_found(out, c->s->regexes[at], text, len);
}

static int word_pattern(bool *out, struct check *c, const struct place *p)
{
	return json_is_string(p->v)
		       ? matches(out, c, json_string_value(p->word), json_string_value(p->v), json_string_length(p->v))
		       : 0;
}

/* ---- lists and objects ------------------------------------------------------------------------------------------- */

static int word_prefix_items(bool *out, struct check *c, const struct place *p)
{
	int rc = 0;

	for (size_t i = 0; i < json_array_size(p->word) && i < json_array_size(p->v) && !rc && *out; i++)
		rc = holds(out, c, json_array_get(p->word, i), json_array_get(p->v, i));
	return rc;
}

static int word_items(bool *out, struct check *c, const struct place *p)
{
	int rc = 0;

	for (size_t i = json_array_size(json_object_get(p->schema, "prefixItems"));
	     i < json_array_size(p->v) && !rc && *out; i++)
		rc = holds(out, c, p->word, json_array_get(p->v, i));
	return rc;
}

static int word_unique(bool *out, struct check *c, const struct place *p)
{
	for (size_t i = 1; json_is_true(p->word) && i < json_array_size(p->v) && *out; i++)
		for (size_t k = 0; k < i && *out && c->steps < STEPS_MAX; k++) {
			c->steps++;
			*out = !json_same(json_array_get(p->v, i), json_array_get(p->v, k), &(struct json_same){ 0 });
		}
	return 0;
}

static int word_properties(bool *out, struct check *c, const struct place *p)
{
	const char *name;
	json_t *schema;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)p->word, name, schema)
	{
		const json_t *member = json_object_get(p->v, name);

		if (member)
			rc = holds(out, c, schema, member);
		if (rc || !*out)
			break;
	}
	return rc;
}

static int word_pattern_properties(bool *out, struct check *c, const struct place *p)
{
	const char *name, *pattern;
	json_t *member, *schema;
	bool found;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)p->v, name, member)
	{
		json_object_foreach((json_t *)(uintptr_t)p->word, pattern, schema)
		{
			c->steps++;
			rc = matches(&found, c, pattern, name, strlen(name));
			if (!rc && found)
				rc = holds(out, c, schema, member);
			if (rc || !*out)
				return rc;
		}
	}
	return 0;
}

static int word_additional(bool *out, struct check *c, const struct place *p)
{
	const json_t *properties = json_object_get(p->schema, "properties");
	json_t *patterns = json_object_get(p->schema, "patternProperties"), *member, *schema;
	const char *name, *pattern;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)p->v, name, member)
	{
		bool known = json_object_get(properties, name) != NULL;

		json_object_foreach(patterns, pattern, schema)
		{
			c->steps++;
			if (!known)
				rc = matches(&known, c, pattern, name, strlen(name));
			if (rc)
				return rc;
		}
		if (!known)
			rc = holds(out, c, p->word, member);
		if (rc || !*out)
			break;
	}
	return rc;
}

static int word_names(bool *out, struct check *c, const struct place *p)
{
	const char *name;
	json_t *member;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)p->v, name, member)
	{
		json_t *text = json_string(name);

		rc = holds(out, c, p->word, text);
		json_decref(text);
		if (rc || !*out)
			break;
	}
	return rc;
}

static void require(bool *out, const json_t *names, const json_t *v)
{
	for (size_t i = 0; i < json_array_size(names) && *out; i++)
		*out = json_object_get(v, json_string_value(json_array_get(names, i))) != NULL;
}

static int word_required(bool *out, struct check *c, const struct place *p)
{
	(void)c;
	if (json_is_object(p->v))
		require(out, p->word, p->v);
	return 0;
}

static int word_dependent(bool *out, struct check *c, const struct place *p)
{
	const char *name;
	json_t *names;

	(void)c;
	json_object_foreach((json_t *)(uintptr_t)p->word, name, names) if (json_object_get(p->v, name))
		require(out, names, p->v);
	return 0;
}

static int word_nothing(bool *out, struct check *c, const struct place *p)
{
	(void)out;
	(void)c;
	(void)p;
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

enum argument {
	ARG_ANY,
	ARG_TYPE,
	ARG_LIST,
	ARG_FLAG,
	ARG_NUMBER,
	ARG_COUNT,
	ARG_TEXT,
	ARG_TEXTS,
	ARG_PATTERN,
	ARG_TEXTS_MAP,
	/* those that hold schemas */
	ARG_SCHEMA,
	ARG_SCHEMAS,
	ARG_SCHEMA_MAP,
	ARG_PATTERN_MAP,
};
static const struct word {
	const char *name;
	enum argument argument;
	bool same_value; /* its schemas judge the value itself, not a part of it */
	keyword *holds;
} words[] = {
	{ "type", ARG_TYPE, false, word_type },
	{ "enum", ARG_LIST, false, word_enum },
	{ "const", ARG_ANY, false, word_const },
	{ "allOf", ARG_SCHEMAS, true, word_all_of },
	{ "anyOf", ARG_SCHEMAS, true, word_any_of },
	{ "oneOf", ARG_SCHEMAS, true, word_one_of },
	{ "not", ARG_SCHEMA, true, word_not },
	{ "if", ARG_SCHEMA, true, word_if },
	{ "then", ARG_SCHEMA, true, word_nothing }, /* of if */
	{ "else", ARG_SCHEMA, true, word_nothing },
	{ "$ref", ARG_TEXT, true, word_ref },
	{ "minimum", ARG_NUMBER, false, word_number },
	{ "maximum", ARG_NUMBER, false, word_number },
	{ "exclusiveMinimum", ARG_NUMBER, false, word_number },
	{ "exclusiveMaximum", ARG_NUMBER, false, word_number },
	{ "multipleOf", ARG_NUMBER, false, word_number },
	{ "minLength", ARG_COUNT, false, word_size },
	{ "maxLength", ARG_COUNT, false, word_size },
	{ "minItems", ARG_COUNT, false, word_size },
	{ "maxItems", ARG_COUNT, false, word_size },
	{ "minProperties", ARG_COUNT, false, word_size },
	{ "maxProperties", ARG_COUNT, false, word_size },
	{ "pattern", ARG_PATTERN, false, word_pattern },
	{ "prefixItems", ARG_SCHEMAS, false, word_prefix_items },
	{ "items", ARG_SCHEMA, false, word_items },
	{ "uniqueItems", ARG_FLAG, false, word_unique },
	{ "properties", ARG_SCHEMA_MAP, false, word_properties },
	{ "patternProperties", ARG_PATTERN_MAP, false, word_pattern_properties },
	{ "additionalProperties", ARG_SCHEMA, false, word_additional },
	{ "propertyNames", ARG_SCHEMA, false, word_names },
	{ "required", ARG_TEXTS, false, word_required },
	{ "dependentRequired", ARG_TEXTS_MAP, false, word_dependent },
	{ "$defs", ARG_SCHEMA_MAP, false, word_nothing },
	{ "definitions", ARG_SCHEMA_MAP, false, word_nothing },
	{ "$schema", ARG_ANY, false, word_nothing },
	{ "$id", ARG_ANY, false, word_nothing },
	{ "$comment", ARG_ANY, false, word_nothing },
	{ "title", ARG_ANY, false, word_nothing },
	{ "description", ARG_ANY, false, word_nothing },
	{ "default", ARG_ANY, false, word_nothing },
	{ "examples", ARG_ANY, false, word_nothing },
	{ "format", ARG_ANY, false, word_nothing },
	{ "deprecated", ARG_ANY, false, word_nothing },
	{ "readOnly", ARG_ANY, false, word_nothing },
	{ "writeOnly", ARG_ANY, false, word_nothing },
	{ "contentEncoding", ARG_ANY, false, word_nothing },
	{ "contentMediaType", ARG_ANY, false, word_nothing },
};

static const struct word *word_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

/* A value that takes too many steps or levels does not satisfy the schema. */
static int holds(bool *out, struct check *c, const json_t *schema, const json_t *v)
{
	const char *name;
	json_t *word;
	int rc = 0;

	*out = !json_is_false(schema) && c->depth < DEPTH_MAX;
	c->depth++;
	json_object_foreach((json_t *)(uintptr_t)schema, name, word)
	{
		const struct place p = { schema, word, v, name };

		if (++c->steps >= STEPS_MAX)
			*out = false;
		if (rc || !*out)
			break;
		rc = word_find(name)->holds(out, c, &p);
	}
	c->depth--;
	return rc;
}

int schema_holds(bool *out, const struct schema *s, const json_t *v)
{
	struct check c = { .s = s };
	int rc = holds(out, &c, s->root, v);

	*out &= c.steps < STEPS_MAX; /* whatever a "not" made of it */
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
	struct schema *s;
	struct map schemas; /* addresses of all schemas: 0 not looked at, 1 on the way, 2 free of loops */
	int way;            /* how many are on it */
	struct buf where;
};

static int walk(struct reader *r, json_t *schema);

static int fault(const struct reader *r, const char *what)
{
	return err_set(ERR_INPUT, "schema, at #%.300s: %s", buf_str(&r->where), what);
}

static int walk_at(struct reader *r, const char *name, json_t *schema)
{
	size_t len = r->where.len;
	int rc;

	buf_addf(&r->where, "/%.100s", name);
	if (buf_full(&r->where))
		return fault(r, "too deep");
	rc = walk(r, schema);
	r->where.len = len;
	r->where.data[len] = 0;
	return rc;
}

static int add_pattern(struct reader *r, const char *pattern)
{
	struct schema *s = r->s;

	if (map_has(&s->patterns, pattern))
		return 0;
	if (s->n == PATTERNS_MAX)
		return fault(r, "too many patterns");
	if (regex_new(&s->regexes[s->n], pattern))
		return err_context(ERR_INPUT, "schema, at #%.300s: pattern", buf_str(&r->where));
	map_put(&s->patterns, pattern, strlen(pattern), (int64_t)s->n++);
	return 0;
}

static bool are_texts(const json_t *v)
{
	bool texts = json_is_array(v);

	for (size_t i = 0; i < json_array_size(v); i++)
		texts &= json_is_string(json_array_get(v, i));
	return texts;
}

static bool is_type(const json_t *v)
{
	static const char *const types[] = { "object", "array", "string", "null", "number", "integer", "boolean" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (json_is_string(v) && strcmp(json_string_value(v), types[i]) == 0)
			return true;
	return false;
}

/* Is the value of a keyword of its kind? Schemas in it are not looked at. */
static bool argument_fits(const struct word *w, const json_t *v)
{
	bool fits = true;
	const char *name;
	json_t *member;

	switch (w->argument) {
	case ARG_ANY:
	case ARG_SCHEMA:
		return true;
	case ARG_TYPE:
		for (size_t i = 0; i < json_array_size(v); i++)
			fits &= is_type(json_array_get(v, i));
		return json_is_array(v) ? fits : is_type(v);
	case ARG_LIST:
		return json_is_array(v);
	case ARG_FLAG:
		return json_is_boolean(v);
	case ARG_NUMBER:
		return json_is_number(v) && (strcmp(w->name, "multipleOf") != 0 || json_number_value(v) > 0);
	case ARG_COUNT:
		return json_is_number(v) && number_is_whole(v) && json_number_value(v) >= 0;
	case ARG_TEXT:
	case ARG_PATTERN:
		return json_is_string(v);
	case ARG_TEXTS:
		return are_texts(v);
	case ARG_TEXTS_MAP:
		json_object_foreach((json_t *)(uintptr_t)v, name, member) fits &= are_texts(member);
		return json_is_object(v) && fits;
	case ARG_SCHEMAS:
		return json_array_size(v) > 0;
	case ARG_SCHEMA_MAP:
	case ARG_PATTERN_MAP:
		return json_is_object(v);
	}
	return false;
}

static int walk_word(struct reader *r, const struct word *w, json_t *v)
{
	const char *name;
	char number[32];
	json_t *member;
	int rc = 0;
	size_t i;

	if (!argument_fits(w, v))
		return fault(r, "the value is not of the kind that this word takes");
	if (w->argument == ARG_PATTERN)
		return add_pattern(r, json_string_value(v));
	if (w->argument == ARG_SCHEMA)
		return walk(r, v);
	if (w->argument == ARG_SCHEMAS)
		json_array_foreach(v, i, member)
		{
			snprintf(number, sizeof(number), "%zu", i);
			rc = rc ? rc : walk_at(r, number, member);
		}
	if (w->argument == ARG_SCHEMA_MAP || w->argument == ARG_PATTERN_MAP)
		json_object_foreach(v, name, member)
		{
			if (!rc && w->argument == ARG_PATTERN_MAP)
				rc = add_pattern(r, name);
			rc = rc ? rc : walk_at(r, name, member);
		}
	return rc;
}

static int walk(struct reader *r, json_t *schema)
{
	const char *name;
	json_t *v;
	int rc = 0;

	if (json_is_boolean(schema))
		return 0;
	if (!json_is_object(schema))
		return fault(r, "a schema is an object, true or false");
	map_put(&r->schemas, &schema, sizeof(schema), 0);
	json_object_foreach(schema, name, v)
	{
		const struct word *w = word_find(name);
		size_t len = r->where.len;

		buf_addf(&r->where, "/%.100s", name);
		if (buf_full(&r->where))
			return fault(r, "too deep");
		rc = w ? walk_word(r, w, v) : fault(r, "this word is not supported");
		r->where.len = len;
		r->where.data[len] = 0;
		if (rc)
			break;
	}
	return rc;
}

/* What a $ref points to; NULL: nothing. */
static const json_t *find_ref(const struct schema *s, const char *ref)
{
	const json_t *v = s->root;

	if (*ref++ != '#')
		return NULL;
	while (v && *ref) {
		struct buf step = BUF_INIT(1 << 16);
		char *end;

		if (*ref++ != '/')
			v = NULL;
		for (; *ref && *ref != '/'; ref++)
			if (*ref == '~' && (ref[1] == '0' || ref[1] == '1'))
				buf_addc(&step, *++ref == '0' ? '~' : '/');
			else
				buf_addc(&step, *ref);
		v = json_is_array(v) ? json_array_get(v, strtoul(buf_str(&step), &end, 10))
				     : json_object_get(v, buf_str(&step));
		buf_release(&step);
	}
	return v;
}

/* Does judging a value by this schema come back to it before going into the value? */
static int find_loop(struct reader *r, const json_t *schema)
{
	const char *name;
	int64_t seen = 2;
	json_t *v;
	int rc = 0;

	if (json_is_boolean(schema))
		return 0;
	if (!map_get(&r->schemas, &schema, sizeof(schema), &seen))
		return err_set(ERR_INPUT, "schema: $ref points to what is no schema");
	if (seen)
		return seen == 2 ? 0 : err_set(ERR_INPUT, "schema: $ref goes round in a circle");
	if (++r->way > DEPTH_MAX)
		return err_set(ERR_INPUT, "schema: a chain of more than %d references", DEPTH_MAX);
	map_put(&r->schemas, &schema, sizeof(schema), 1);
	json_object_foreach((json_t *)(uintptr_t)schema, name, v)
	{
		const struct word *w = word_find(name);
		const json_t *to;

		if (w->argument == ARG_TEXT) {
			to = find_ref(r->s, json_string_value(v));
			rc = to ? find_loop(r, to)
				: err_set(ERR_INPUT, "schema: there is no %.100s ($ref goes within the schema only)",
					  json_string_value(v));
		} else if (w->same_value && w->argument == ARG_SCHEMA) {
			rc = find_loop(r, v);
		} else if (w->same_value) {
			for (size_t i = 0; i < json_array_size(v) && !rc; i++)
				rc = find_loop(r, json_array_get(v, i));
		}
		if (rc)
			return rc;
	}
	map_put(&r->schemas, &schema, sizeof(schema), 2);
	r->way--;
	return 0;
}

static int find_loops(struct reader *r, const json_t *v)
{
	const char *name;
	json_t *member;
	int64_t seen;
	size_t i;
	int rc = 0;

	if (map_get(&r->schemas, &v, sizeof(v), &seen))
		rc = find_loop(r, v);
	json_object_foreach((json_t *)(uintptr_t)v, name, member) rc = rc ? rc : find_loops(r, member);
	json_array_foreach(v, i, member) rc = rc ? rc : find_loops(r, member);
	return rc;
}

int schema_new(struct schema **out, const json_t *root)
{
	struct schema *s = mem_alloc(sizeof(*s));
	struct reader r = { .s = s, .where = BUF_INIT(1 << 14) };
	int rc;

	s->root = json_deep_copy(root);
	s->regexes = mem_array(PATTERNS_MAX, sizeof(*s->regexes));
	map_init(&s->patterns);
	map_init(&r.schemas);
	rc = walk(&r, s->root);
	rc = rc ? rc : find_loops(&r, s->root);
	map_release(&r.schemas);
	buf_release(&r.where);
	if (rc)
		schema_free(s);
	*out = rc ? NULL : s;
	return rc;
}

void schema_free(struct schema *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		regex_free(s->regexes[i]);
	free(s->regexes);
	map_release(&s->patterns);
	json_decref(s->root);
	free(s);
}

/* ---- json_schema ------------------------------------------------------------------------------------------------- */

/* The schema of a sample: the task's, or (owned) its first target. */
static int schema_of(struct schema **out, const struct task_metric *m, const struct instance *in)
{
	json_t *v;
	int rc;

	*out = m->options;
	if (*out)
		return 0;
	v = answer_json(in->targets[0], strlen(in->targets[0]));
	rc = v ? schema_new(out, v) : err_set(ERR_INPUT, "the target is no JSON: %.60s", in->targets[0]);
	json_decref(v);
	return rc ? err_context(rc, "json_schema") : 0;
}

int check_json_schema(const struct task_metric *m, const struct instance *in)
{
	struct schema *s;
	int rc = schema_of(&s, m, in);

	if (!rc && !m->options)
		schema_free(s);
	return rc;
}

int score_json_schema(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	json_t *v = answer_json(o->text, o->len);
	struct schema *s = NULL;
	bool ok = false;
	int rc = 0;

	if (v) {
		rc = schema_of(&s, m, o->in);
		rc = rc ? rc : schema_holds(&ok, s, v);
	}
	if (s != m->options)
		schema_free(s);
	json_decref(v);
	out->score = ok;
	return rc;
}

/* schema: a mapping, or the name of a JSON file. What it says is a part of the task's digest. */
static int options_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	json_t *v = json_object_get(entry, "schema"), *read = NULL;
	struct schema *s = NULL;
	struct buf text;
	char *used;
	int rc;

	if (!v)
		return 0;
	if (json_is_string(v)) {
		rc = source_read(src->files, src->path, json_string_value(v), SCHEMA_FILE_MAX, &text, &used);
		if (rc)
			return yaml_error(src->y, entry, "schema", "%s", err_text());
		rc = json_parse(&read, buf_str(&text), text.len, used);
		buf_release(&text);
		free(used);
		if (rc)
			return rc;
		json_object_set(m->asked, "schema", read);
		v = read;
	}
	rc = schema_new(&s, v);
	json_decref(read);
	m->options = s;
	return rc ? yaml_error(src->y, entry, "schema", "%s", err_text()) : 0;
}

static void options_free(void *options)
{
	schema_free(options);
}

static const char *const keys[] = { "schema" };
const struct metric_options json_schema_options = { keys, ARRAY_LEN(keys), options_load, options_free };
