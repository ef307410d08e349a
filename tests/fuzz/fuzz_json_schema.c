/* fuzz_json_schema.c: a JSON Schema and a value from anybody: the schema refused, or a verdict within the bound.
 *
 * The files of an input are the schema and the value. What must hold of a schema that is accepted: it gives a verdict on the
 * value, twice the same, or the error of the bound; with "not" in front of it the other one. */
#include "fuzz_files.h"

#include "evals/json_int.h"

static int verdict(bool *out, const json_t *schema, const json_t *value)
{
	struct schema *s = NULL;
	int rc = schema_new(&s, schema);

	must(rc == 0 || rc == ERR_INPUT);
	if (rc)
		return ERR_NOTFOUND;
	rc = schema_holds(out, s, value);
	must(rc == 0 || rc == ERR_INPUT);
	schema_free(s);
	return rc;
}

/* References are from the root: a schema that has some means another thing inside another one. */
static bool has_reference(const struct fuzz_file *f)
{
	return memmem(f->data, f->len, "$ref", 4) || memmem(f->data, f->len, "\\u", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file files[2];
	json_t *schema = NULL, *value = NULL, *other;
	bool holds = false, again = false, negated = false;
	int rc;

	fuzz_split(files, 2, data, size);
	if (json_parse(&schema, (const char *)files[0].data, files[0].len, "schema") == 0 &&
	    json_parse(&value, (const char *)files[1].data, files[1].len, "value") == 0) {
		rc = verdict(&holds, schema, value);
		must(verdict(&again, schema, value) == rc && (rc || again == holds));
		other = json_pack("{s:O}", "not", schema);
		if (rc == 0 && !has_reference(&files[0]) && verdict(&negated, other, value) == 0)
			must(negated == !holds);
		json_decref(other);
	}
	json_decref(schema);
	json_decref(value);
	return 0;
}
