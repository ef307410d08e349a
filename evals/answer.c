/* answer.c: question, choices and right answer of one document, as the harness reads doc_to_text, doc_to_choice and
 * doc_to_target.
 *
 * Where a task has choices, text that is all digits is a number: doc_to_target names the right choice by it, and so does
 * doc_to_text in a task of several inputs, whose choices are the questions. "[…]" is a Python list of answers, where it
 * reads as one. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { CHOICES_MAX = 1000 };

char *answer_scalar(const json_t *v)
{
	struct buf out = BUF_INIT(64);

	if (json_is_string(v))
		return mem_str(json_string_value(v));
	if (json_is_integer(v))
		return mem_printf("%lld", (long long)json_integer_value(v));
	if (json_is_boolean(v))
		return mem_str(json_is_true(v) ? "True" : "False");
	if (json_is_null(v))
		return mem_str("None");
	if (!json_is_real(v))
		return NULL;
	json_add(&out, v);
	return buf_take(&out);
}

static bool all_digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n && n < 10 && !s[n];
}

int answer_target(json_t **out, const struct field *target, bool choice, const struct doc *d)
{
	json_t *v, *list = NULL;
	const char *s;
	int rc = field_eval(&v, target, d);

	*out = NULL;
	if (rc)
		return rc;
	if (target->kind == FIELD_TEMPLATE) {
		s = json_string_value(v);
		if (choice && all_digits(s)) {
			list = json_integer(strtoll(s, NULL, 10));
		} else if (*s == '[' && s[strlen(s) - 1] == ']' && literal_parse(&list, s, strlen(s))) {
			list = NULL; /* text that merely looks like a list */
			err_clear();
		}
	} else if (json_is_boolean(v) && choice) {
		list = json_integer(json_is_true(v));
	}
	if (list) {
		json_decref(v);
		v = list;
	}
	*out = v;
	return 0;
}

int answer_choices(json_t **out, const struct field *field, const struct doc *d)
{
	json_t *v, *list, *choice;
	size_t i;
	int rc = field_eval(&v, field, d);

	*out = NULL;
	if (rc)
		return rc;
	if (field->kind == FIELD_TEMPLATE) {
		rc = literal_parse(&list, json_string_value(v), json_string_length(v));
		json_decref(v);
		if (rc)
			return doc_error(err_context(rc, "doc_to_choice"), d);
		v = list;
	}
	if (!json_is_array(v) || json_array_size(v) == 0 || json_array_size(v) > CHOICES_MAX)
		rc = err_set(ERR_INPUT, "doc_to_choice must give a list of 1 to %d texts", CHOICES_MAX);
	else
		json_array_foreach(v, i, choice)
		{
			if (!json_is_string(choice))
				rc = err_set(ERR_INPUT, "doc_to_choice: choice %zu is not text", i);
		}
	if (rc) {
		json_decref(v);
		return doc_error(rc, d);
	}
	*out = v;
	return 0;
}

int answer_question(struct buf *out, json_int_t *number, const struct field *text, bool choice, const struct doc *d)
{
	json_t *v = NULL;
	int rc = 0;

	*number = -1;
	if (text->kind == FIELD_COLUMN && choice) {
		rc = field_eval(&v, text, d);
		if (!rc && json_is_integer(v) && json_integer_value(v) >= 0)
			*number = json_integer_value(v);
		json_decref(v);
	}
	if (rc || *number >= 0)
		return rc;
	rc = field_text(out, text, d);
	if (!rc && text->kind == FIELD_TEMPLATE && choice && all_digits(buf_str(out)))
		*number = strtoll(buf_str(out), NULL, 10);
	return rc;
}
