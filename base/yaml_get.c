/* yaml_get.c: the tree, read by key: of the wanted type and within its bounds, or an error that says where.
 *
 * A key that is absent leaves *out as it is, so that what stands there before is the default. */
#include "base/yaml.h"

static bool is_known(const char *key, const char *const *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(key, known[i]))
			return true;
	return false;
}

int yaml_check_keys(const struct yaml *y, const json_t *obj, const char *what, const char *const *known, size_t n)
{
	const char *key, *nearest;
	json_t *value;

	if (!json_is_object(obj))
		return yaml_error(y, obj, NULL, "%s must be an object (key: value)", what);
	json_object_foreach((json_t *)(uintptr_t)obj, key, value)
	{
		struct buf list = BUF_INIT(400);
		int rc;

		if (is_known(key, known, n))
			continue;
		nearest = opt_nearest(key, known, n);
		if (nearest)
			return yaml_error(y, obj, key, "unknown key \"%.100s\" in %s; did you mean \"%s\"?", key, what,
					  nearest);
		rc = yaml_error(y, obj, key, "unknown key \"%.100s\" in %s", key, what);
		for (size_t i = 0; i < n; i++)
			buf_addf(&list, "%s%s", i ? ", " : "", known[i]);
		rc = err_hint(rc, "known here: %s%s", buf_str(&list), buf_full(&list) ? ", …" : "");
		buf_release(&list);
		return rc;
	}
	return 0;
}

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "text";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_NULL:
		return "empty";
	default:
		return "true or false";
	}
}

static int wrong_type(const struct yaml *y, const json_t *obj, const char *key, const char *wanted, const json_t *v)
{
	int rc = yaml_error(y, obj, key, "%s must be %s, not %s", key, wanted, type_name(v));

	if (!strcmp(wanted, "text") && (json_is_number(v) || json_is_boolean(v)))
		return err_hint(rc, "quote the value to make it text");
	return rc;
}

int yaml_get_text(const struct yaml *y, const json_t *obj, const char *key, const char **out)
{
	const json_t *v = json_object_get(obj, key);

	if (!v)
		return 0;
	if (!json_is_string(v))
		return wrong_type(y, obj, key, "text", v);
	*out = json_string_value(v);
	return 0;
}

int yaml_get_int(const struct yaml *y, const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out)
{
	const json_t *v = json_object_get(obj, key);
	int64_t x;

	if (!v)
		return 0;
	if (!json_is_integer(v))
		return wrong_type(y, obj, key, "an integer", v);
	x = json_integer_value(v);
	if (x < min || x > max) {
		if (max == INT64_MAX)
			return yaml_error(y, obj, key, "%s is %lld, but must be at least %lld", key, (long long)x,
					  (long long)min);
		return yaml_error(y, obj, key, "%s is %lld, but must be from %lld to %lld", key, (long long)x,
				  (long long)min, (long long)max);
	}
	*out = x;
	return 0;
}

int yaml_get_real(const struct yaml *y, const json_t *obj, const char *key, double min, double max, double *out)
{
	const json_t *v = json_object_get(obj, key);
	double x;

	if (!v)
		return 0;
	if (!json_is_number(v))
		return wrong_type(y, obj, key, "a number", v);
	x = json_number_value(v);
	if (!(x >= min && x <= max)) {
		if (max >= 1e300)
			return yaml_error(y, obj, key, "%s is %g, but must be at least %g", key, x, min);
		return yaml_error(y, obj, key, "%s is %g, but must be from %g to %g", key, x, min, max);
	}
	*out = x;
	return 0;
}

int yaml_get_flag(const struct yaml *y, const json_t *obj, const char *key, bool *out)
{
	const json_t *v = json_object_get(obj, key);

	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return wrong_type(y, obj, key, "true or false", v);
	*out = json_is_true(v);
	return 0;
}

int yaml_get_object(const struct yaml *y, const json_t *obj, const char *key, json_t **out)
{
	json_t *v = json_object_get(obj, key);

	if (!v)
		return 0;
	if (!json_is_object(v))
		return wrong_type(y, obj, key, "an object (key: value)", v);
	*out = v;
	return 0;
}

int yaml_get_array(const struct yaml *y, const json_t *obj, const char *key, json_t **out)
{
	json_t *v = json_object_get(obj, key);

	if (!v)
		return 0;
	if (!json_is_array(v))
		return wrong_type(y, obj, key, "a list", v);
	*out = v;
	return 0;
}
